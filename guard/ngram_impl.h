/* ngram_impl.h - inside ngram.c, for wide_train.c: grams before they become features.
 *
 * Why: training keeps counts (one byte) instead of values, and a row may be two texts under two
 * salts. Private to guard/.
 */
#ifndef GUARD_NGRAM_IMPL_H
#define GUARD_NGRAM_IMPL_H
#include "guard/ngram.h"

#define GUARD_BITS_MIN 4u
#define GUARD_BITS_MAX 24u /* a slot and a count share 32 bits in training */
#define GUARD_TF_MAX 255u  /* more occurrences count as this many */

/* Appends the slots of text's grams to f->slot, in reading order, with repeats; another salt gives
 * other slots. f->n = 0 begins a row. */
NN_CHECKED nn_status guard_grams_add(guard_features *f, const char *text, size_t len, unsigned bits,
                                     uint64_t salt, nn_err *err);
/* One more gram that stands for `what` (a flag of the row). */
NN_CHECKED nn_status guard_grams_flag(guard_features *f, uint64_t what, unsigned bits, nn_err *err);
/* Ascending slots, still with repeats. Uses f->scratch. */
NN_CHECKED nn_status guard_grams_sort(guard_features *f, unsigned bits, nn_err *err);
/* How often slot[i] stands there from i on, at most GUARD_TF_MAX; *next is where the next slot
 * begins. */
size_t guard_grams_run(const guard_features *f, size_t i, size_t *next);
/* Repeats become values 1 + log tf. */
void guard_grams_count(guard_features *f);
/* f->scratch of at least `bytes`. */
NN_CHECKED nn_status guard_features_scratch(guard_features *f, size_t bytes, nn_err *err);
#endif
