/* Tests of guard/policy.h: the ratio of the first pass, the gradient, advantages, and that what is paid for rises. */
#include "guard/lm_impl.h"
#include "guard/policy.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "tests/support.h"
#include "tests/test_lm_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, GROUP = 8, LONGEST = 16 };

static nn_err err;
static guard_corpus *corpus;
static nn_tok *tok;
static guard_lm *gen, *reference;
static toy_job job;

static void make_world(void)
{
    const guard_lm_options o = toy_options();

    err = (nn_err){NN_OK, ""};
    corpus = toy_corpus(96);
    tok = toy_tok(corpus);
    gen = toy_lm(corpus, tok, &o);
    expect_ok(guard_lm_clone(&reference, gen, &err), &err);
    toy_job_open(&job, 1, NULL);
}

static void drop_world(void)
{
    toy_job_close(&job);
    guard_lm_free(gen);
    guard_lm_free(reference);
    nn_tok_free(tok);
    guard_corpus_free(corpus);
}

TestSuite(policy, .init = make_world, .fini = drop_world);

static guard_policy *new_policy(float lr, float clip, float kl, size_t passes, size_t max_rows)
{
    const guard_policy_options o = {lr, clip, kl, passes, max_rows};
    guard_policy *p = NULL;

    expect_ok(guard_policy_build(&p, gen->m, reference->m, &o, &err), &err);
    return p;
}

static void roll_out(guard_rollout *r, uint64_t step, float temperature)
{
    int label[BATCH];
    size_t category[BATCH];
    nn_sampler s = nn_sampler_default();

    s.temperature = temperature;
    for (size_t i = 0; i < BATCH; i++) {
        label[i] = i / GROUP % 2 ? GUARD_UNSAFE : GUARD_SAFE;
        category[i] = i / GROUP / 2;
    }
    expect_ok(guard_rollout_draw(r, gen, label, category, BATCH, &s, LONGEST, step * BATCH, false, &job.job, &err),
              &err);
}

/* --- advantages -------------------------------------------------------------------------------- */

Test(policy, advantages_are_rewards_standardised_within_their_group)
{
    const double reward[] = {1.0, 3.0, 5.0, 5.0, 100.0, 200.0};
    const double want[] = {-1.2247, 0.0, 1.2247, -0.88, 1.0, 0.0};
    double got[6];

    guard_policy_advantage(got, reward, 6, 3);
    expect_close_double("first group", got, want, 3, 1e-4);
    cr_assert_float_eq(got[3] + got[4] + got[5], 0.0, 1e-9);
    cr_assert_float_eq((got[3] * got[3] + got[4] * got[4] + got[5] * got[5]) / 3.0, 1.0, 1e-6);
    const double same[] = {7.0, 7.0, 7.0, 8.0};
    guard_policy_advantage(got, same, 4, 3);
    for (size_t i = 0; i < 4; i++) cr_assert_eq(got[i], 0.0, "equal rewards, and a group of one, teach nothing");
}

/* --- the ratio ----------------------------------------------------------------------------------- */

Test(policy, the_ratio_of_the_first_pass_is_exactly_one)
{
    static float ref[BATCH * 32];
    double advantage[BATCH];
    guard_policy_stats s;

    for (size_t i = 0; i < BATCH; i++) advantage[i] = i % 2 ? 1.0 : -1.0;
    for (size_t k = 0; k < 3; k++) {
        static const float temperature[] = {1.0f, 0.6f, 1.7f};
        guard_policy *p = new_policy(1e-3f, 0.2f, 0.1f, 1, k == 2 ? 64 : 512); /* micro-batches change no bit */
        guard_rollout r = {0};

        roll_out(&r, k, temperature[k]);
        guard_policy_reference(p, &job.exec, &r, ref);
        guard_policy_gradient(p, &job.exec, &r, ref, advantage, &s);
        cr_assert_eq(s.ratio_low, 1.0);
        cr_assert_eq(s.ratio_high, 1.0);
        cr_assert_eq(s.clipped, 0.0);
        cr_assert_eq(guard_policy_kl(&r, ref), 0.0, "the reference has the policy's own weights");
        guard_rollout_free(&r);
        guard_policy_free(p);
    }
}

Test(policy, after_a_step_ratios_move_and_the_clip_holds)
{
    static float ref[BATCH * 32];
    double advantage[BATCH];
    guard_policy_stats s;
    guard_policy *p = new_policy(1e-2f, 0.05f, 0.1f, 3, 512);
    guard_rollout r = {0};

    for (size_t i = 0; i < BATCH; i++) advantage[i] = i % 2 ? 1.0 : -1.0;
    roll_out(&r, 0, 1.0f);
    guard_policy_reference(p, &job.exec, &r, ref);
    cr_assert(guard_policy_update(p, &job.exec, &r, ref, advantage, &s));
    cr_assert(s.ratio_low < 0.95 && s.ratio_high > 1.05, "%g to %g", s.ratio_low, s.ratio_high);
    cr_assert(s.clipped > 0.05 && s.clipped < 0.95, "%g of the tokens", s.clipped);
    guard_rollout_free(&r);
    guard_policy_free(p);
}

/* --- the gradient ---------------------------------------------------------------------------------- */

/* J of the header in double, from the log-probabilities of the model as it is now. */
static double objective(const guard_rollout *r, const float *ref, const double *advantage, double clip, double kl)
{
    static float now[BATCH * 32];
    size_t start[BATCH + 1], drawn = 0;
    nn_state *s = NULL;
    double sum = 0.0;

    for (size_t i = 0; i <= BATCH; i++) start[i] = r->start[i];
    const nn_batch b = {r->ids, {start, BATCH}, NULL, NULL};
    expect_ok(nn_state_build(&s, gen->m, r->start[BATCH], BATCH, &err), &err);
    nn_state_logprob(gen->m, s, &job.exec, &b, now);
    nn_state_free(s);
    for (size_t i = 0; i < BATCH; i++)
        for (size_t t = r->start[i] + r->prefix[i]; t < r->start[i + 1]; t++, drawn++) {
            const double ratio = nn_exp((double)now[t] - (double)r->logprob[t]),
                         far = (double)ref[t] - (double)now[t];
            const double held = ratio < 1.0 - clip ? 1.0 - clip : ratio > 1.0 + clip ? 1.0 + clip : ratio;
            const double a = advantage[i] * ratio, b_ = advantage[i] * held;

            sum += (a < b_ ? a : b_) - kl * (nn_exp(far) - far - 1.0);
        }
    return sum / (double)drawn;
}

/* Each tensor along its own gradient: the difference of J must be minus the gradient's, which is that of -J. Off the
 * first pass (weights moved, reference far), so that ratio, clip and KL all take part. */
Test(policy, the_gradient_is_that_of_the_objective)
{
    static float ref[BATCH * 32];
    double advantage[BATCH];
    guard_policy_stats s;
    guard_policy *p = new_policy(1e-2f, 0.3f, 0.5f, 2, 100);
    guard_rollout r = {0};

    for (size_t i = 0; i < BATCH; i++) advantage[i] = 0.5 + (double)(i % 5) - 2.0;
    roll_out(&r, 0, 1.0f);
    guard_policy_reference(p, &job.exec, &r, ref);
    cr_assert(guard_policy_update(p, &job.exec, &r, ref, advantage, &s));
    guard_policy_gradient(p, &job.exec, &r, ref, advantage, &s);
    cr_assert(s.clipped > 0.01, "the clip takes part: %g", s.clipped);
    cr_assert(guard_policy_kl(&r, ref) == 0.0);
    for (size_t i = 0; i < nn_model_tensors(gen->m); i++) {
        const nn_tensor w = nn_model_tensor(gen->m, i);
        const float *g = nn_trainer_grad(guard_policy_trainer(p), i);
        const size_t n = w.rows * w.cols;
        const double h = 2e-4; /* small: the clip has corners */
        float *kept = malloc(n * sizeof *kept);
        double norm = 0.0, side[2];

        for (size_t j = 0; j < n; j++) norm += (double)g[j] * (double)g[j];
        norm = sqrt(norm);
        memcpy(kept, w.data, n * sizeof *kept);
        for (int k = 0; k < 2; k++) {
            for (size_t j = 0; j < n; j++) w.data[j] = (float)((double)kept[j] + (k ? -h : h) * (double)g[j] / norm);
            side[k] = objective(&r, ref, advantage, 0.3, 0.5);
        }
        memcpy(w.data, kept, n * sizeof *kept);
        free(kept);
        const double slope = (side[0] - side[1]) / (2.0 * h);
        cr_expect(norm > 1e-4 && fabs(slope + norm) < 0.03 * norm + 2e-3, "%s: slope %g, gradient %g", w.name, slope,
                  norm);
    }
    guard_rollout_free(&r);
    guard_policy_free(p);
}

/* --- learning ---------------------------------------------------------------------------------------- */

/* Paid: the share of letters 'a'. A toy, but one that the model wrote rarely before. */
static double share_of_a(const guard_row *row)
{
    size_t n = 0;

    for (size_t i = 0; i < row->text.n; i++) n += row->text.s[i] == 'a';
    return row->text.n ? (double)n / (double)row->text.n : 0.0;
}

static double train(guard_policy *p, size_t steps, double *first, double *kl)
{
    static float ref[BATCH * 32];
    double reward[BATCH], advantage[BATCH], mean = 0.0;
    guard_policy_stats s;

    for (size_t step = 0; step <= steps; step++) {
        guard_rollout r = {0};
        guard_corpus *c = NULL;
        int label[BATCH] = {0};
        size_t category[BATCH] = {0};

        roll_out(&r, step, 1.0f);
        expect_ok(guard_corpus_build(&c, &err), &err);
        expect_ok(guard_rollout_rows(c, &r, gen, label, category, step * BATCH, &job.job, &err), &err);
        mean = 0.0;
        for (size_t i = 0; i < BATCH; i++) mean += (reward[i] = share_of_a(&c->row[i])) / BATCH;
        if (step == 0) *first = mean;
        guard_policy_reference(p, &job.exec, &r, ref);
        *kl = guard_policy_kl(&r, ref);
        cr_assert(isfinite(*kl) && *kl >= 0.0, "step %zu: KL %g", step, *kl);
        guard_policy_advantage(advantage, reward, BATCH, GROUP);
        if (step < steps) cr_assert(guard_policy_update(p, &job.exec, &r, ref, advantage, &s));
        guard_corpus_free(c);
        guard_rollout_free(&r);
    }
    return mean;
}

Test(policy, what_is_paid_for_rises)
{
    guard_policy *p = new_policy(1e-2f, 0.2f, 0.0f, 2, 512);
    double first = 0.0, kl = 0.0;
    const double last = train(p, 25, &first, &kl);

    cr_assert(last > 2.0 * first && last > 0.15, "share of 'a' from %g to %g, KL %g", first, last, kl);
    guard_policy_free(p);
}

Test(policy, a_price_on_the_kl_keeps_the_policy_near_its_reference)
{
    double first = 0.0, kl_free = 0.0, kl_held = 0.0;
    guard_policy *p = new_policy(1e-2f, 0.2f, 0.0f, 2, 512);

    (void)train(p, 12, &first, &kl_free);
    guard_policy_free(p);
    guard_lm_free(gen);
    expect_ok(guard_lm_clone(&gen, reference, &err), &err);
    p = new_policy(1e-2f, 0.2f, 2.0f, 2, 512);
    (void)train(p, 12, &first, &kl_held);
    cr_assert(kl_held < 0.5 * kl_free, "KL %g free, %g held", kl_free, kl_held);
    guard_policy_free(p);
}
