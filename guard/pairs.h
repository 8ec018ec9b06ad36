/* pairs.h - which safe rows are twins of an unsafe one, and of which.
 *
 * Reads: corpus.h.   Read next: augment_group.c and evaluate.c, its two users.
 * Why: augmentation must give a pair the same frame and style, and evaluation must count false positives on twins
 * apart; both must mean the same rows. A safe row is a twin when a parent of its is an unsafe row of the corpus, or
 * when a column or an extra field "kind" says "twin" (its partner may be in another file). Private to guard/.
 * Ownership: borrows the corpus, owns its index.
 */
#ifndef GUARD_PAIRS_H
#define GUARD_PAIRS_H
#include "guard/corpus.h"

#define GUARD_NO_ROW SIZE_MAX

typedef struct {
    const guard_corpus *c;
    size_t *by_id; /* row numbers in the order of (id, row) */
} guard_pairs;

NN_CHECKED nn_status guard_pairs_open(guard_pairs *p, const guard_corpus *c, nn_err *err);
void guard_pairs_close(guard_pairs *p);
/* The unsafe row that `row` names first among its parents, or GUARD_NO_ROW. */
size_t guard_pairs_partner(const guard_pairs *p, size_t row);
bool guard_pairs_is_twin(const guard_pairs *p, size_t row);
#endif
