/* lm_impl.h - inside the generator. Private to guard/lm*.c, rollout.c and their tests.
 *
 * Reads: lm.h.   Read next: lm.c, lm_units.c, lm_train.c, rollout.c.
 */
#ifndef GUARD_LM_IMPL_H
#define GUARD_LM_IMPL_H
#include "guard/lm.h"

#define GUARD_LM_PREFIX 8u /* room of a control prefix */

struct guard_lm {
    nn_model *m;
    nn_tok *tok;
    guard_taxonomy taxonomy;
};

/* Copies tok and taxonomy; moves m (on failure the caller keeps it). */
NN_CHECKED nn_status guard_lm_build(guard_lm **out, nn_model *m, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                    nn_err *err);

/* --- texts as the model is trained on them: lm_units.c ------------------------------------------ */
/* Unit i: positions [start[i], start[i+1]) of ids; from position prefix[i]-1 on each one has the next as its target,
 * the last one EOS when end[i] (a text that was cut has no end). */
typedef struct {
    int32_t *ids;
    size_t n_ids, ids_cap;
    size_t *start; /* [n+1] */
    size_t *prefix;
    bool *end;
    size_t n, cap;
} guard_lm_units;
NN_CHECKED nn_status guard_lm_units_add(guard_lm_units *u, const guard_lm *g, const guard_corpus *c,
                                        const guard_lm_options *o, nn_err *err);
void guard_lm_units_free(guard_lm_units *u);
/* Next-token targets of a unit: next [length], -1 where there is none; returns how many there are. */
size_t guard_lm_unit_targets(int32_t *next, const guard_lm_units *u, size_t i);

/* --- drawing without an audience: rollout.c ----------------------------------------------------- */
/* ids and log-probabilities of n requests; label and category [n]. Adds the drawn tokens to job->tokens_used. Tells
 * progress in rows when `tell`. */
NN_CHECKED nn_status guard_rollout_draw(guard_rollout *r, const guard_lm *g, const int *label, const size_t *category,
                                        size_t n, const nn_sampler *s, size_t max_new, uint64_t first_row, bool tell,
                                        guard_job *job, nn_err *err);
/* The texts of a rollout as rows. */
NN_CHECKED nn_status guard_rollout_rows(guard_corpus *out, const guard_rollout *r, const guard_lm *g,
                                        const int *label, const size_t *category, uint64_t first_row,
                                        const guard_job *job, nn_err *err);
#endif
