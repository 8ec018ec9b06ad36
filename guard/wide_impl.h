/* wide_impl.h - the rows and the solver of the wide part. Private to guard/wide*.c and its tests.
 *
 * Reads: wide.h, ngram_impl.h.   Read next: wide_solve.c.
 * Rows are one block: entry = slot << 8 | count, so 30 million grams take 120 MB; values are
 * computed where they are used.
 */
#ifndef GUARD_WIDE_IMPL_H
#define GUARD_WIDE_IMPL_H
#include "guard/ngram_impl.h"
#include "guard/wide.h"

typedef struct {
    uint32_t *entry;
    size_t n_entry, entry_cap;
    size_t *start; /* [n+1] */
    double *cost;  /* [n] C times the row's weight; 0: the row is not trained on */
    int *sign;     /* [n] +1 unsafe, -1 safe */
    size_t n;
    unsigned bits;
} guard_wide_rows;

/* One weight and its idf, together because they are always read together. */
typedef struct {
    float weight, idf;
} guard_wide_slot;

/* What one solver run needs; sized once, reused by every fold of a thread. */
typedef struct {
    guard_wide_slot *slot; /* [2^bits] */
    double *dual;          /* [2n] alpha and C - alpha, both kept: either may be tiny */
    float *scale;          /* [n] 1 / norm of the row */
    size_t *picked, *order; /* [n] the trained rows, and this pass's permutation of them */
    float value[GUARD_TF_MAX + 1]; /* 1 + log tf */
    double bias;
    size_t passes;         /* run */
    double violation;      /* of the last pass */
} guard_wide_work;

#define GUARD_WIDE_BIAS 1.0 /* value of the constant feature */

/* Salts of the grams: what is judged, and the prompt before a judged response. */
enum { GUARD_SALT_JUDGED = 0, GUARD_SALT_PROMPT = 1 };

/* f->slot = the sorted grams, with repeats, of a prompt, or of a response (not NULL) and its prompt. */
NN_CHECKED nn_status guard_wide_grams(guard_features *f, unsigned bits, const char *text, size_t len,
                                      const char *response, size_t response_len, nn_err *err);

NN_CHECKED nn_status guard_wide_rows_build(guard_wide_rows *r, const guard_corpus *c, const double *weight,
                                           const guard_wide_options *o, nn_err *err);
void guard_wide_rows_free(guard_wide_rows *r);
NN_CHECKED nn_status guard_wide_work_build(guard_wide_work *w, const guard_wide_rows *r, nn_err *err);
void guard_wide_work_free(guard_wide_work *w);
/* Trains on the rows with cost > 0 and fold[i] != out (fold NULL: all). Allocates nothing, depends
 * on nothing left in w. */
void guard_wide_solve(guard_wide_work *w, const guard_wide_rows *r, const size_t *fold, size_t out,
                      const guard_wide_options *o);
double guard_wide_row_logit(const guard_wide_work *w, const guard_wide_rows *r, size_t row);
#endif
