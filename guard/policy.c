#include "guard/policy.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include <math.h>
#include <string.h>

/* exp(ref - new) of a token that the policy left far behind; a larger one would only say "very far". */
#define FAR 20.0f
#define DEVIATION_EPS 1e-6 /* rewards that are all equal teach nothing; others keep their scale */

struct guard_policy {
    guard_policy_options o;
    nn_trainer *t;
    const nn_model *reference;
    nn_state *state; /* of the reference */
    nn_adamw adam;
    int32_t *next; /* [max_rows] */
    float *weight; /* [max_rows] */
    size_t *start; /* [max_rows + 1] */
};

nn_status guard_policy_build(guard_policy **out, nn_model *m, const nn_model *reference,
                             const guard_policy_options *o, nn_err *err)
{
    guard_policy *p = NULL;
    nn_status st;

    *out = NULL;
    if (o->max_rows == 0 || o->passes == 0 || !(o->lr >= 0.0f) || !(o->clip > 0.0f) || !(o->kl >= 0.0f))
        return nn_fail(err, NN_USAGE, "policy: no rows, no passes, or a negative lr, clip or kl");
    if ((st = nn_alloc((void **)&p, 1, sizeof *p, err)) != NN_OK) return st;
    p->o = *o;
    p->reference = reference;
    p->adam = nn_adamw_default();
    p->adam.lr = o->lr;
    p->adam.weight_decay = 0.0f; /* the KL holds the weights, not their norm */
    const nn_trainer_options room = {.max_rows = o->max_rows, .max_seg = o->max_rows};
    if ((st = nn_trainer_build(&p->t, m, room, err)) != NN_OK) goto done;
    if ((st = nn_state_build(&p->state, reference, o->max_rows, o->max_rows, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&p->next, o->max_rows, sizeof *p->next, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&p->weight, o->max_rows, sizeof *p->weight, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&p->start, o->max_rows + 1, sizeof *p->start, err)) != NN_OK) goto done;
    *out = p;
    p = NULL;
done:
    guard_policy_free(p);
    return st;
}

void guard_policy_free(guard_policy *p)
{
    if (!p) return;
    nn_trainer_free(p->t);
    nn_state_free(p->state);
    nn_free(p->next);
    nn_free(p->weight);
    nn_free(p->start);
    nn_free(p);
}

nn_trainer *guard_policy_trainer(guard_policy *p)
{
    return p->t;
}

/* Rollouts [first, ..) as a micro-batch of as many as fit; returns the first that does not. */
static size_t pack(guard_policy *p, nn_batch *b, const guard_rollout *r, size_t first)
{
    const size_t base = r->start[first];
    size_t i = first;

    NN_ASSERT(r->start[first + 1] - base <= p->o.max_rows);
    for (; i < r->n && r->start[i + 1] - base <= p->o.max_rows; i++) p->start[i - first] = r->start[i] - base;
    p->start[i - first] = r->start[i] - base;
    *b = (nn_batch){r->ids + base, {p->start, i - first}, NULL, NULL};
    return i;
}

void guard_policy_reference(guard_policy *p, const nn_exec *x, const guard_rollout *r, float *ref)
{
    for (size_t i = 0; i < r->n;) {
        const size_t base = r->start[i];
        nn_batch b;

        i = pack(p, &b, r, i);
        nn_state_logprob(p->reference, p->state, x, &b, ref + base);
    }
}

static float ref_over_new(float ref, float now)
{
    const float d = ref - now;

    return nn_expf(d < FAR ? d : FAR);
}

double guard_policy_kl(const guard_rollout *r, const float *ref)
{
    double sum = 0.0;

    for (size_t i = 0; i < r->n; i++)
        for (size_t t = r->start[i] + r->prefix[i]; t < r->start[i + 1]; t++)
            sum += (double)ref_over_new(ref[t], r->logprob[t]) - ((double)ref[t] - (double)r->logprob[t]) - 1.0;
    return r->n ? sum / (double)r->n : 0.0;
}

void guard_policy_advantage(double *advantage, const double *reward, size_t n, size_t group)
{
    for (size_t g = 0; g < n; g += group) {
        const size_t end = n - g < group ? n : g + group;
        const double count = (double)(end - g);
        double mean = 0.0, square = 0.0;

        for (size_t i = g; i < end; i++) mean += reward[i];
        mean /= count;
        for (size_t i = g; i < end; i++) square += (reward[i] - mean) * (reward[i] - mean);
        for (size_t i = g; i < end; i++) advantage[i] = (reward[i] - mean) / (sqrt(square / count) + DEVIATION_EPS);
    }
}

/* --- the gradient ------------------------------------------------------------------------------------------ */

/* Row t-1 of a rollout predicts id t: a target where t was drawn. */
static void set_targets(guard_policy *p, const guard_rollout *r, size_t first, size_t end)
{
    const size_t base = r->start[first];

    for (size_t i = first; i < end; i++)
        for (size_t t = r->start[i]; t < r->start[i + 1]; t++) {
            const bool drawn = t + 1 < r->start[i + 1] && t + 1 >= r->start[i] + r->prefix[i];

            p->next[t - base] = drawn ? r->ids[t + 1] : -1;
            p->weight[t - base] = 0.0f;
        }
}

/* N w_t of the header's formula. */
static float token_weight(const guard_policy *p, float advantage, float ratio, float pull, bool *clipped)
{
    *clipped = (advantage > 0.0f && ratio > 1.0f + p->o.clip) || (advantage < 0.0f && ratio < 1.0f - p->o.clip);
    return (*clipped ? 0.0f : advantage * ratio) + p->o.kl * (pull - 1.0f);
}

static void set_weights(guard_policy *p, const guard_rollout *r, const float *ref, const double *advantage,
                        size_t first, size_t end, float mean, guard_policy_stats *stats)
{
    const size_t base = r->start[first];
    const float *now = nn_trainer_logprob(p->t);

    for (size_t i = first; i < end; i++)
        for (size_t t = r->start[i] + r->prefix[i]; t < r->start[i + 1]; t++) {
            const size_t row = t - 1 - base;
            const float ratio = nn_expf(now[row] - r->logprob[t]);
            bool clipped = false;

            p->weight[row] = mean *
                             token_weight(p, (float)advantage[i], ratio, ref_over_new(ref[t], now[row]), &clipped);
            stats->clipped += clipped;
            if ((double)ratio < stats->ratio_low) stats->ratio_low = (double)ratio;
            if ((double)ratio > stats->ratio_high) stats->ratio_high = (double)ratio;
        }
}

static size_t drawn_tokens(const guard_rollout *r)
{
    size_t n = r->start[r->n];

    for (size_t i = 0; i < r->n; i++) n -= r->prefix[i];
    return n;
}

void guard_policy_gradient(guard_policy *p, const nn_exec *x, const guard_rollout *r, const float *ref,
                           const double *advantage, guard_policy_stats *stats)
{
    const size_t N = drawn_tokens(r);

    *stats = (guard_policy_stats){0.0, 0.0, 1.0, 1.0};
    if (N == 0) return;
    for (size_t i = 0; i < r->n;) {
        nn_batch b;
        const size_t first = i;
        nn_targets y = {.next = p->next, .next_weight = p->weight};

        i = pack(p, &b, r, i);
        set_targets(p, r, first, i);
        (void)nn_trainer_fwd(p->t, x, &b, &y);
        set_weights(p, r, ref, advantage, first, i, 1.0f / (float)N, stats); /* read by the backward pass */
        nn_trainer_bwd(p->t, x);
    }
    stats->clipped /= (double)N;
}

bool guard_policy_update(guard_policy *p, const nn_exec *x, const guard_rollout *r, const float *ref,
                         const double *advantage, guard_policy_stats *stats)
{
    bool finite = true;

    for (size_t pass = 0; pass < p->o.passes && finite; pass++) {
        guard_policy_gradient(p, x, r, ref, advantage, stats);
        stats->grad_norm = nn_trainer_step(p->t, x, &p->adam);
        finite = isfinite(stats->grad_norm);
    }
    return finite;
}
