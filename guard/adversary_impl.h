/* adversary_impl.h - what measures rollouts, ready to be used many times. Private to adversary.c, measure.c and their
 * tests. */
#ifndef GUARD_ADVERSARY_IMPL_H
#define GUARD_ADVERSARY_IMPL_H
#include "guard/adversary.h"
#include "guard/minhash.h"

typedef struct {
    const guard_classifier *guard;
    const guard_wide *judge;
    guard_shingle_sets sets; /* word trigrams of the seeds */
    guard_shingle_index index;
} guard_measure;

NN_CHECKED nn_status guard_measure_build(guard_measure *m, const guard_classifier *guard,
                                         const guard_wide *reward_judge, const guard_corpus *seeds, nn_err *err);
void guard_measure_free(guard_measure *m);
NN_CHECKED nn_status guard_measure_rows(guard_measure *m, guard_corpus *c, const char *stage, const guard_job *job,
                                        nn_err *err);
/* Distinct word bigrams of all rows over all their bigrams, 1 when there are none. */
NN_CHECKED nn_status guard_measure_distinct2(double *share, const guard_corpus *c, nn_err *err);
#endif
