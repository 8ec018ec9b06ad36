/* adversary.c - one round: draw, measure, pay, watch, learn; until steps, tokens or the watch's patience are used up.
 *
 * Reads: adversary_impl.h, policy.h, checkpoint.h.   Read next: scripts/adversary.lua.
 * Step s looks at the policy after s updates:
 *   1. a label and a category for each group of rollouts; the rollouts; their measures; rewards; the judges' votes
 *   2. the watch. "no": the policy of the step before comes back, the round ends
 *   3. this policy is the good one now; a checkpoint
 *   4. the update (policy.h)
 * After the last update comes one more look (1-3), so that nothing is returned unwatched.
 * Resuming: a checkpoint holds the policy of step s before its update and what the watch saw before s. The watch is
 * told all of it again, so a rule that remembers goes on as if never interrupted; step s is then looked at anew,
 * which gives the same rollouts.
 */
#include "guard/adversary_impl.h"
#include "guard/checkpoint.h"
#include "guard/lm_impl.h"
#include "guard/policy.h"
#include "nn/arena.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUP 8u /* rollouts of one control prefix; our choice */
#define CHECKPOINT_STEPS 4u
#define MICRO_ROWS 2048u /* positions of a micro-batch; memory, never a bit */
#define WATCH_WORDS (sizeof(guard_watch) / sizeof(uint64_t))

NN_STATIC_ASSERT(sizeof(guard_watch) % sizeof(uint64_t) == 0 && sizeof(double) == sizeof(uint64_t), watch_is_doubles);

guard_adversary_options guard_adversary_default(void)
{
    return (guard_adversary_options){.steps = 10,
                                     .batch = 64,
                                     .epochs = 2,
                                     .max_new = 40,
                                     .token_budget = 0,
                                     .lr = 3e-4f,
                                     .clip = 0.2f,
                                     .kl = 0.05f,
                                     .unsafe_share = 0.5,
                                     .sampler = nn_sampler_default()};
}

typedef struct {
    guard_lm *gen;
    const guard_judges *held;
    const guard_adversary_options *o;
    guard_reward_fn reward_fn;
    guard_watch_fn watch_fn;
    void *ctx;
    guard_job *job;
    guard_measure measure;
    guard_policy *policy;
    nn_model *good; /* the policy that the watch approved last */
    uint64_t step, key;
    uint64_t tokens_before; /* of the job, at the round's start */
    guard_watch *seen;      /* [step] what the watch was told */
    size_t seen_cap;
    bool was_good; /* good holds something */
    /* one step */
    size_t group;
    int *label; /* [batch] */
    size_t *category;
    double *value, *advantage; /* [batch] */
    float *ref;
    size_t ref_cap;
    guard_rollout rollout;
    guard_corpus *rows;
} attack;

/* --- 1. a look ------------------------------------------------------------------------------------------- */

/* Group k of a round asks for an unsafe text when k * share + u passes a whole number: every step has its share of
 * them, so what the watch compares between steps is not the luck of their labels. */
static int label_of(const attack *a, uint64_t k)
{
    nn_rng rng = guard_job_rng(a->job, "share", 0);
    const double u = nn_rng_double(&rng), share = a->o->unsafe_share;

    return floor((double)(k + 1) * share + u) > floor((double)k * share + u) ? GUARD_UNSAFE : GUARD_SAFE;
}

static void ask(attack *a)
{
    const size_t n_category = a->gen->taxonomy.n, groups = (a->o->batch + a->group - 1) / a->group;

    for (size_t g = 0; g < groups; g++) {
        nn_rng rng = guard_job_rng(a->job, "ask", a->step * groups + g);
        const int label = label_of(a, a->step * groups + g);
        const size_t category = n_category ? (size_t)nn_rng_below(&rng, n_category) : GUARD_MAX_CATEGORY;

        for (size_t i = g * a->group; i < a->o->batch && i < (g + 1) * a->group; i++) {
            a->label[i] = label;
            a->category[i] = category;
        }
    }
}

static nn_status roll_out(attack *a, nn_err *err)
{
    const uint64_t first = a->step * a->o->batch;
    nn_status st;

    guard_rollout_free(&a->rollout);
    guard_corpus_free(a->rows);
    a->rows = NULL;
    ask(a);
    if ((st = guard_corpus_build(&a->rows, err)) != NN_OK) return st;
    if ((st = guard_rollout_draw(&a->rollout, a->gen, a->label, a->category, a->o->batch, &a->o->sampler,
                                 a->o->max_new, first, false, a->job, err)) != NN_OK)
        return st;
    if ((st = guard_rollout_rows(a->rows, &a->rollout, a->gen, a->label, a->category, first, a->job, err)) != NN_OK)
        return st;
    if ((st = nn_grow((void **)&a->ref, &a->ref_cap, a->rollout.start[a->rollout.n], sizeof *a->ref, err)) != NN_OK)
        return st;
    guard_policy_reference(a->policy, a->job->exec, &a->rollout, a->ref);
    return NN_OK;
}

static nn_status pay(attack *a, nn_err *err)
{
    guard_column *col = NULL;
    nn_status st;

    if ((st = a->reward_fn(a->ctx, a->rows, a->value, err)) != NN_OK) return st;
    if ((st = guard_corpus_column(a->rows, "reward", a->job->stream, GUARD_COL_NUM, &col, err)) != NN_OK) return st;
    for (size_t i = 0; i < a->rows->n; i++) {
        if (!isfinite(a->value[i]))
            return nn_fail(err, NN_CONTENT, "reward of row %s is not finite, want a number", a->rows->row[i].id);
        col->num[i] = a->value[i];
    }
    return NN_OK;
}

static double column_mean(const guard_corpus *c, const char *name)
{
    const guard_column *col = guard_corpus_find(c, name);
    double sum = 0.0;

    for (size_t i = 0; i < c->n; i++) sum += col->num[i];
    return sum / (double)c->n;
}

static nn_status summarise(guard_watch *w, const attack *a, nn_err *err)
{
    const guard_corpus *c = a->rows;
    const double *judge_p = guard_corpus_find(c, "judge_p")->num, *words = guard_corpus_find(c, "words")->num;
    const double n = (double)c->n;

    memset(w, 0, sizeof *w);
    w->reward = column_mean(c, "reward");
    w->kl = guard_policy_kl(&a->rollout, a->ref);
    w->fooled = column_mean(c, "fooled");
    w->held_judges = column_mean(c, "majority");
    w->repetition = column_mean(c, "repetition");
    for (size_t i = 0; i < c->n; i++) {
        w->reward_judge += (c->row[i].label == GUARD_UNSAFE ? judge_p[i] : 1.0 - judge_p[i]) / n;
        w->length += (double)(a->rollout.start[i + 1] - a->rollout.start[i] - a->rollout.prefix[i]) / n;
        w->empty += (words[i] == 0.0 ? 1.0 : 0.0) / n;
    }
    return guard_measure_distinct2(&w->distinct2, c, err);
}

static nn_status tell_metrics(const attack *a, const guard_watch *w, nn_err *err)
{
    nn_status st = NN_OK;

#define TELL(name) \
    if (st == NN_OK) st = guard_job_metric(a->job, a->step, #name, w->name, err);
    GUARD_WATCH_MAP(TELL)
#undef TELL
    return st;
}

static nn_status look(attack *a, guard_watch *w, nn_err *err)
{
    nn_status st;

    if ((st = roll_out(a, err)) != NN_OK) return st;
    if ((st = guard_measure_rows(&a->measure, a->rows, a->job->stream, a->job, err)) != NN_OK) return st;
    if ((st = pay(a, err)) != NN_OK) return st;
    if ((st = guard_judges_vote(a->held, a->rows, a->job->stream, a->job, err)) != NN_OK)
        return st; /* after pay: no reward sees a vote */
    if ((st = summarise(w, a, err)) != NN_OK) return st;
    return tell_metrics(a, w, err);
}

/* --- 2. and 3. what is kept ------------------------------------------------------------------------------ */

static void copy_weights(nn_model *to, const nn_model *from)
{
    for (size_t i = 0; i < nn_model_tensors(from); i++) {
        const nn_tensor t = nn_model_tensor(from, i);

        memcpy(nn_model_tensor(to, i).data, t.data, t.rows * t.cols * sizeof *t.data);
    }
}

static nn_status remember(attack *a, const guard_watch *w, nn_err *err)
{
    const nn_status st = nn_grow((void **)&a->seen, &a->seen_cap, (size_t)a->step + 1, sizeof *a->seen, err);

    if (st == NN_OK) a->seen[a->step] = *w;
    return st;
}

/* mark and tokens: as they were before this step's look. */
static nn_status save(attack *a, uint64_t mark, uint64_t tokens, nn_err *err)
{
    const size_t n = 2 + (size_t)a->step * WATCH_WORDS;
    uint64_t *word = NULL;
    nn_status st;

    if (!a->job->checkpoint) return NN_OK;
    if ((st = nn_alloc((void **)&word, n, sizeof *word, err)) != NN_OK) return st;
    word[0] = a->step;
    word[1] = tokens;
    if (a->step > 0) memcpy(word + 2, a->seen, (size_t)a->step * sizeof *a->seen);
    st = guard_checkpoint_save(guard_policy_trainer(a->policy), a->job, a->key, mark, word, n, err);
    nn_free(word);
    return st;
}

static nn_status resume(attack *a, nn_err *err)
{
    uint64_t *word = NULL;
    size_t n = 0;
    char reason[128] = "";
    guard_watch w;
    nn_status st = guard_checkpoint_load(guard_policy_trainer(a->policy), a->job, a->key, 2, &word, &n, err);

    if (st != NN_OK || !word) return st;
    if (word[0] > a->o->steps || (n - 2) % WATCH_WORDS != 0 || (n - 2) / WATCH_WORDS != word[0]) {
        st = nn_fail(err, NN_FILE, "%s: %zu words for step %llu, want those of this stage", a->job->checkpoint, n,
                     (unsigned long long)word[0]);
        goto done;
    }
    for (a->step = 0; a->step < word[0] && st == NN_OK; a->step++) {
        memcpy(&w, word + 2 + a->step * WATCH_WORDS, sizeof w);
        (void)a->watch_fn(a->ctx, (size_t)a->step, &w, reason); /* it said yes before */
        st = remember(a, &w, err);
    }
    a->job->tokens_used = a->tokens_before + word[1];
done:
    nn_free(word);
    return st;
}

/* --- 4. the round ---------------------------------------------------------------------------------------- */

/* Tokens of one more update at most, and of the look after it. */
static bool affordable(const attack *a)
{
    const uint64_t look_tokens = (uint64_t)a->o->batch * a->o->max_new, used = a->job->tokens_used - a->tokens_before;

    return a->o->token_budget == 0 || used + look_tokens * (a->o->epochs + 1) <= a->o->token_budget;
}

static nn_status update(attack *a, nn_err *err)
{
    guard_policy_stats s;
    nn_status st;

    guard_policy_advantage(a->advantage, a->value, a->rollout.n, a->group);
    if (!guard_policy_update(a->policy, a->job->exec, &a->rollout, a->ref, a->advantage, &s))
        return nn_fail(err, NN_CONTENT, "attack: step %llu: the gradient is not finite, want a lower learning rate",
                       (unsigned long long)a->step);
    for (size_t i = 0; i < a->rollout.n; i++)
        a->job->tokens_used += a->o->epochs * (a->rollout.start[i + 1] - a->rollout.start[i] - a->rollout.prefix[i]);
    if ((st = guard_job_metric(a->job, a->step, "grad_norm", s.grad_norm, err)) != NN_OK) return st;
    return guard_job_metric(a->job, a->step, "clipped", s.clipped, err);
}

static void give_up(attack *a, char stopped[128], const char *reason)
{
    if (a->was_good) copy_weights(a->gen->m, a->good);
    snprintf(stopped, 128, "%s", reason);
}

static nn_status run_round(attack *a, char stopped[128], nn_err *err)
{
    nn_status st = resume(a, err);

    while (st == NN_OK) {
        const uint64_t mark = guard_checkpoint_mark(a->job), tokens = a->job->tokens_used - a->tokens_before;
        char reason[128] = "";
        guard_watch w;

        if ((st = look(a, &w, err)) != NN_OK) break;
        if (!a->watch_fn(a->ctx, (size_t)a->step, &w, reason)) {
            give_up(a, stopped, reason);
            break;
        }
        copy_weights(a->good, a->gen->m);
        a->was_good = true;
        const bool go_on = guard_job_go_on(a->job, a->step, a->o->steps, "steps");
        if (!go_on || a->step % CHECKPOINT_STEPS == 0) st = save(a, mark, tokens, err);
        if (st == NN_OK && !go_on)
            st = nn_fail(err, NN_STOP, "attack: stopped at step %llu", (unsigned long long)a->step);
        if (st != NN_OK || a->step == a->o->steps) break;
        if (!affordable(a)) {
            snprintf(stopped, 128, "the token budget is used up after %llu updates", (unsigned long long)a->step);
            break;
        }
        if ((st = remember(a, &w, err)) == NN_OK) st = update(a, err);
        a->step++;
    }
    return st;
}

/* --- build ----------------------------------------------------------------------------------------------- */

static uint64_t round_key(const attack *a)
{
    const guard_adversary_options *o = a->o;
    const double number[] = {
        (double)o->batch,         (double)o->epochs,       (double)o->max_new, (double)o->lr,
        (double)o->clip,          (double)o->kl,           o->unsafe_share,    (double)o->sampler.temperature,
        (double)o->sampler.top_k, (double)o->sampler.top_p};
    char model[65];

    nn_model_hash(a->gen->m, model);
    return nn_hash64(number, sizeof number, nn_hash64(model, sizeof model, a->job->seed));
}

static nn_status build(attack *a, const guard_lm *reference, nn_err *err)
{
    const size_t n = a->o->batch, longest = nn_model_config(a->gen->m)->max_t;
    const guard_policy_options p = {.lr = a->o->lr,
                                    .clip = a->o->clip,
                                    .kl = a->o->kl,
                                    .passes = a->o->epochs,
                                    .max_rows = longest > MICRO_ROWS ? longest : MICRO_ROWS};
    nn_status st;

    a->group = n >= 2 * GROUP ? GROUP : n >= 4 ? (n + 1) / 2 : n; /* an advantage needs two rollouts of one prefix */
    a->key = round_key(a);
    if ((st = guard_policy_build(&a->policy, a->gen->m, reference->m, &p, err)) != NN_OK) return st;
    if ((st = nn_model_clone(&a->good, a->gen->m, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&a->label, n, sizeof *a->label, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&a->category, n, sizeof *a->category, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&a->value, n, sizeof *a->value, err)) != NN_OK) return st;
    return nn_alloc((void **)&a->advantage, n, sizeof *a->advantage, err);
}

static void free_attack(attack *a)
{
    guard_measure_free(&a->measure);
    guard_policy_free(a->policy);
    nn_model_free(a->good);
    nn_free(a->seen);
    nn_free(a->label);
    nn_free(a->category);
    nn_free(a->value);
    nn_free(a->advantage);
    nn_free(a->ref);
    guard_rollout_free(&a->rollout);
    guard_corpus_free(a->rows);
}

nn_status guard_adversary_round(guard_lm *gen, const guard_lm *reference, const guard_classifier *guard,
                                const guard_wide *reward_judge, const guard_judges *held, const guard_corpus *seeds,
                                const guard_adversary_options *o, guard_reward_fn reward, guard_watch_fn watch,
                                void *ctx, guard_corpus **last, char stopped[128], guard_job *job, nn_err *err)
{
    attack a = {.gen = gen,
                .held = held,
                .o = o,
                .reward_fn = reward,
                .watch_fn = watch,
                .ctx = ctx,
                .job = job,
                .tokens_before = job->tokens_used};
    nn_status st;

    if (last) *last = NULL;
    stopped[0] = '\0';
    if (o->batch < 2 || o->max_new == 0 || o->epochs == 0 || !(o->unsafe_share >= 0.0 && o->unsafe_share <= 1.0))
        return nn_fail(
            err, NN_USAGE,
            "attack: %zu rollouts of %zu tokens, %zu passes, unsafe share %g, want 2, 1, 1 or more and 0 to 1",
            o->batch, o->max_new, o->epochs, o->unsafe_share);
    if ((st = guard_measure_build(&a.measure, guard, reward_judge, seeds, err)) == NN_OK)
        st = build(&a, reference, err);
    if (st == NN_OK) st = run_round(&a, stopped, err);
    if (st == NN_OK && last) {
        *last = a.rows;
        a.rows = NULL;
    }
    free_attack(&a);
    return st;
}
