/* adversary.h - the generator turned against the guard by policy gradient.
 *
 * Reads: curate.h, lm.h.   Read next: adversary.c, measure.c, policy.h (the formulas); scripts/adversary.lua.
 * One round: roll out requests for drawn (label, category); measure them (guard's p, reward judge's p, novelty,
 * repetition, length, log-ratio to the frozen reference); the reward is a function in Lua over these columns;
 * advantages are rewards standardised within the rollouts of one control prefix (Shao et al. 2024, arXiv:2402.03300,
 * group-relative baseline); REINFORCE with PPO's clipped ratio (Schulman et al. 2017, arXiv:1707.06347, eq. 7) and a
 * penalty on KL to the reference (k3 estimator). The reward judge is none of curation's three: their agreement on
 * rollouts is the watch against reward hacking.
 */
#ifndef GUARD_ADVERSARY_H
#define GUARD_ADVERSARY_H
#include "guard/classify.h"
#include "guard/curate.h"
#include "guard/lm.h"

typedef struct {
    size_t steps;          /* policy updates */
    size_t batch;          /* rollouts a step */
    size_t epochs;         /* passes over one batch, ratio clipped */
    size_t max_new;        /* tokens of one rollout */
    uint64_t token_budget; /* drawn + trained tokens; 0: steps decide */
    float lr, clip, kl;
    double unsafe_share; /* of drawn labels */
    nn_sampler sampler;
} guard_adversary_options;
guard_adversary_options guard_adversary_default(void);

/* Reward of every row of c, written into reward[c->n]; called between steps, never inside a parallel part (Lua sits
 * behind it). */
typedef nn_status (*guard_reward_fn)(void *ctx, const guard_corpus *c, double *reward, nn_err *err);

/* What the watch sees each step, means over the rollouts; also written as metrics, under these names and in this order.
 * kl: nats a rollout to the reference, k3.   fooled: share that the guard gets wrong.
 * reward_judge: its p of the label that was asked for.   held_judges: share whose label a majority of the held judges
 * confirms.   distinct2: distinct word bigrams of the batch over all of them.   length: tokens.
 * empty: share without a word. */
#define GUARD_WATCH_MAP(X)                                                                                            \
    X(reward) X(kl) X(fooled) X(reward_judge) X(held_judges) X(distinct2) X(repetition) X(length) X(empty)

#define GUARD_WATCH_FIELD(name) double name;
typedef struct {
    GUARD_WATCH_MAP(GUARD_WATCH_FIELD)
} guard_watch;
#undef GUARD_WATCH_FIELD
/* Step s has seen s updates; after the last update the watch is asked once more. false ends the round, keeping the
 * generator of the last good step; reason for the ledger. After a resume it is first told all earlier steps again. */
typedef bool (*guard_watch_fn)(void *ctx, size_t step, const guard_watch *w, char reason[128]);

/* Updates gen in place. reference: frozen copy taken by the caller. reward_judge: an independent wide model. On
 * return `last` (may be NULL) gets the measured rollouts of the last step, with the columns reward and
 * guard_judges_vote's. stopped: why the round ended early, or "". */
NN_CHECKED nn_status guard_adversary_round(guard_lm *gen, const guard_lm *reference, const guard_classifier *guard,
                                           const guard_wide *reward_judge, const guard_judges *held,
                                           const guard_corpus *seeds, const guard_adversary_options *o,
                                           guard_reward_fn reward, guard_watch_fn watch, void *ctx,
                                           guard_corpus **last, char stopped[128], guard_job *job, nn_err *err);
/* Measures rows from any generator: columns guard_p, fooled (bool), judge_p (reward judge), novelty (1 - nearest
 * trigram overlap with seeds), repetition, words. */
NN_CHECKED nn_status guard_adversary_measure(guard_corpus *c, const guard_classifier *guard,
                                             const guard_wide *reward_judge, const guard_corpus *seeds,
                                             const char *stage, guard_job *job, nn_err *err);
#endif
