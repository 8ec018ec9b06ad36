/* minhash.h - word n-grams of texts as sets: how much of a text stands in another, and where to look for it.
 *
 * Reads: text.h, corpus.h.   Read next: minhash.c; measure.c (novelty, repetition), curate.c (duplicates).
 * Word = maximal run of letters, marks, digits and apostrophes of the normalised text (text.h). A text of fewer words
 * than a gram has one gram: all its words. Grams are 64-bit hashes, ascending and unique.
 *   resemblance  |A and B| / |A or B|     containment  |A and B| / |A|
 * (Broder 1997, "On the resemblance and containment of documents").
 * A MinHash signature finds likely pairs; what is reported is always counted exactly.
 */
#ifndef GUARD_MINHASH_H
#define GUARD_MINHASH_H
#include "guard/corpus.h"
#include "nn/par.h"

typedef struct {
    uint64_t *gram; /* ascending, unique */
    size_t n;
    size_t total, words; /* grams before duplicates went; words */
    size_t cap, word_cap, scratch_cap;
    uint64_t *word; /* [words] hashes, in order */
    void *scratch;
} guard_shingles; /* zero it to begin */

/* Of a row's text, and of its response behind it; no gram spans the two. order: words of a gram. */
NN_CHECKED nn_status guard_shingles_of(guard_shingles *s, const guard_row *row, size_t order, nn_err *err);
void guard_shingles_free(guard_shingles *s);

/* The sets of all rows of a corpus: row i is gram[start[i]..start[i+1]). */
typedef struct {
    uint64_t *gram;
    size_t *start; /* [n+1] */
    size_t n, cap;
} guard_shingle_sets;
NN_CHECKED nn_status guard_shingle_sets_build(guard_shingle_sets *s, const guard_corpus *c, size_t order,
                                              nn_err *err);
void guard_shingle_sets_free(guard_shingle_sets *s);
/* |A and B| of two ascending sets. */
size_t guard_shingles_common(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b);

/* Which rows hold a gram: exact nearest rows without looking at all of them. */
typedef struct {
    struct guard_shingle_place *place; /* by gram, then row */
    size_t n, rows;
    uint32_t *count; /* [rows] scratch, zero between calls */
    uint32_t *seen;  /* [rows] scratch */
} guard_shingle_index;
NN_CHECKED nn_status guard_shingle_index_build(guard_shingle_index *x, const guard_shingle_sets *s, nn_err *err);
void guard_shingle_index_free(guard_shingle_index *x);
/* The largest number of grams that one indexed row shares with the set. */
size_t guard_shingle_index_most(guard_shingle_index *x, const uint64_t *gram, size_t n);

/* share [s->n]: resemblance to the most similar earlier row, 0 without one. Pairs of resemblance 0.5 are found with
 * probability 0.9999, of 0.3 with 0.95, equal sets always. */
NN_CHECKED nn_status guard_minhash_earlier(double *share, const guard_shingle_sets *s, const nn_par *par,
                                           nn_err *err);
#endif
