/* curate.h - what curation measures; what is kept is a rule in Lua over these columns.
 *
 * Reads: classify.h.   Read next: curate.c, judges.c, neighbour.h, minhash.h.
 * Loss: held-out loss of each row from wide models over folds (Northcutt et al. 2021, arXiv:1911.00068, uses the same
 * out-of-fold idea), so a row never judges itself.
 * Similarity: cosine to the nearest human-written row of the same
 * label and of the other label, in the embedding of a guard. Judges: n-gram logistic regression, nearest seeds, a
 * guard of another fold and seed; a vote each, the majority counts. None of the three is used as reward.
 * Duplicates:
 * MinHash over word trigrams (Broder 1997) against rows before it.
 */
#ifndef GUARD_CURATE_H
#define GUARD_CURATE_H
#include "guard/classify.h"

typedef struct guard_judges guard_judges; /* owns the n-gram judge and the seeds' embedding, borrows the guard */

typedef struct {
    guard_wide_options wide;
    size_t neighbours; /* k of the nearest-seeds vote */
} guard_judge_options;
guard_judge_options guard_judge_default(void);

/* human: the seeds. other: a guard trained on another fold and seed (its decoder also gives the embedding); borrowed:
 * the caller frees it after the judges. */
NN_CHECKED nn_status guard_judges_build(guard_judges **out, const guard_corpus *human, const guard_classifier *other,
                                        const guard_judge_options *o, guard_job *job, nn_err *err);
void guard_judges_free(guard_judges *j);
/* Columns judge_ngram, judge_near, judge_guard (p unsafe of each, at even odds), votes (0..3 that agree with the
 * row's label), majority (bool: votes >= 2); votes and majority have no value in a row without label. */
NN_CHECKED nn_status guard_judges_vote(const guard_judges *j, guard_corpus *c, const char *stage, guard_job *job,
                                       nn_err *err);

/* Column loss (held-out over folds), fold. */
NN_CHECKED nn_status guard_curate_loss(guard_corpus *c, size_t folds, const guard_wide_options *o, const char *stage,
                                       guard_job *job, nn_err *err);
/* Columns sim (to the nearest human row of the same label), sim_other (of the other label). A human row does not
 * match itself; no value where there is no such row. */
NN_CHECKED nn_status guard_curate_similarity(guard_corpus *c, const guard_corpus *human,
                                             const guard_classifier *embedder, const char *stage, guard_job *job,
                                             nn_err *err);
/* Column dup: share of word trigrams in common with the most similar earlier row (estimated by MinHash, checked
 * exactly), 0..1. */
NN_CHECKED nn_status guard_curate_duplicates(guard_corpus *c, const char *stage, guard_job *job, nn_err *err);
#endif
