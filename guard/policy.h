/* policy.h - one policy-gradient update of a language model from rollouts and their rewards.
 *
 * Reads: lm.h, nn/trainer.h.   Read next: policy.c, then adversary.c (where rewards come from).
 * With new, old and ref the log-probabilities of a drawn token t under the model being trained, under the model that
 * drew it and under the frozen reference, A the advantage of its rollout, r_t = exp(new - old), N all drawn tokens of
 * the batch:
 *
 *   J = 1/N sum_t [ min(r_t A, clip(r_t, 1-e, 1+e) A) - b k3_t ]                    maximised
 *   k3_t = exp(ref - new) - (ref - new) - 1
 *
 *   PPO's clipped surrogate: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
 *   k3, an estimator of KL(new || ref) that is never negative: Schulman 2020, "Approximating KL divergence"; inside
 *   the objective: Shao et al. 2024, arXiv:2402.03300, eq. 3 and 4. Group-relative advantage: the same, sec. 4.1.2.
 *   N tokens, not rollouts, in the mean: our choice, so that a long rollout's token counts as much as a short one's.
 *
 * As cross-entropy weights: nn_trainer_bwd adds the gradient of sum_t w_t (-new_t), so with w_t = dJ/dnew_t it
 * descends on -J:
 *
 *   w_t = 1/N [ A r_t u_t + b (exp(ref - new) - 1) ],  u_t = 0 where the clip holds:
 *         A > 0 and r_t > 1+e,  or  A < 0 and r_t < 1-e;  else 1
 *
 * On the first pass new has the bits of old (attention keeps its contract, CONTRACTS 1.4), so r_t is exactly 1.
 */
#ifndef GUARD_POLICY_H
#define GUARD_POLICY_H
#include "guard/lm.h"

typedef struct {
    float lr, clip, kl;
    size_t passes;   /* over one batch of rollouts, one optimiser step each */
    size_t max_rows; /* positions of one micro-batch; at least the longest rollout */
} guard_policy_options;

typedef struct {
    double grad_norm, clipped, ratio_low, ratio_high; /* of the last pass; clipped: share of tokens */
} guard_policy_stats;

typedef struct guard_policy guard_policy; /* owns a trainer of `m`; borrows both models */

NN_CHECKED nn_status guard_policy_build(guard_policy **out, nn_model *m, const nn_model *reference,
                                        const guard_policy_options *o, nn_err *err);
void guard_policy_free(guard_policy *p);
nn_trainer *guard_policy_trainer(guard_policy *p); /* for checkpoints */

/* ref [start[n]]: log-probability of every id under the reference, 0 at the first of a rollout. */
void guard_policy_reference(guard_policy *p, const nn_exec *x, const guard_rollout *r, float *ref);
/* Nats a rollout: the mean over rollouts of the sum of k3 with new = logprob of the rollout (as it drew). */
double guard_policy_kl(const guard_rollout *r, const float *ref);
/* advantage [n]: rewards of each group of `group` neighbours (the last may be smaller) minus their mean, over their
 * deviation. */
void guard_policy_advantage(double *advantage, const double *reward, size_t n, size_t group);
/* Adds the gradient of -J to the trainer. */
void guard_policy_gradient(guard_policy *p, const nn_exec *x, const guard_rollout *r, const float *ref,
                           const double *advantage, guard_policy_stats *stats);
/* All passes. False: a norm was not finite, that pass changed nothing. */
bool guard_policy_update(guard_policy *p, const nn_exec *x, const guard_rollout *r, const float *ref,
                         const double *advantage, guard_policy_stats *stats);
#endif
