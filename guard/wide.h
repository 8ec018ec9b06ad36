/* wide.h - the wide part: logistic regression on hashed n-grams, solved by dual coordinate descent.
 *
 * Reads: ngram.h, corpus.h.   Solver: Yu, Huang, Lin 2011, "Dual coordinate descent methods for
 * logistic regression and maximum entropy models", Machine Learning 85, alg. 5. Convex: solved
 * first, in seconds, then fixed; the decoder learns the residual on out-of-fold logits. Also the
 * n-gram judge of curation. Ownership: owns weights and idf.
 */
#ifndef GUARD_WIDE_H
#define GUARD_WIDE_H
#include "guard/corpus.h"
#include "guard/ngram.h"
#include "nn/par.h"

typedef struct {
    unsigned bits;      /* 2^bits weights */
    double C;           /* inverse regularisation */
    size_t max_passes;
    /* stop when no dual variable of a pass was further than this from its optimum, in log-odds */
    double tolerance;
    uint64_t seed;      /* order of coordinates */
} guard_wide_options;
guard_wide_options guard_wide_default(void); /* bits 18, C 4, 30 passes, 1e-3 */

typedef struct {
    unsigned bits;
    float bias;
    float *weight; /* [2^bits], idf multiplied in is NOT: z = bias + sum_j weight_j idf_j v_j / norm */
    float *idf;    /* [2^bits] */
} guard_wide;

/* What is trained on: prompt text, or response with the prompt's grams under another hash seed when
 * row has a response. weight may be NULL (ones). Rows without label are ignored. */
NN_CHECKED nn_status guard_wide_train(guard_wide **out, const guard_corpus *c, const double *weight,
                                      const guard_wide_options *o, const nn_par *par, nn_err *err);
void guard_wide_free(guard_wide *w);
/* Logit of one row; f is the caller's scratch. */
NN_CHECKED nn_status guard_wide_logit(const guard_wide *w, guard_features *f, const guard_row *row, float *z,
                                      nn_err *err);
NN_CHECKED nn_status guard_wide_text_logit(const guard_wide *w, guard_features *f, const char *text, size_t len,
                                           const char *response, size_t response_len, float *z, nn_err *err);
/* Out-of-fold logits for all labelled rows: fold = by concept (or id when it has none) via
 * nn_rng_at(seed, "fold", hash). z [c->n]. */
NN_CHECKED nn_status guard_wide_out_of_fold(float *z, const guard_corpus *c, const double *weight, size_t folds,
                                            const guard_wide_options *o, const nn_par *par, nn_err *err);
/* The fold of a row, the same everywhere (loss over folds, judges). */
size_t guard_fold(const guard_row *row, size_t folds, uint64_t seed);
#endif
