/* classify_impl.h - the inside of a classifier; for guard/ and its tests only.
 *
 * Reads: classify.h.   Read next: classify.c, window_batch.h, gguard.c.
 */
#ifndef GUARD_CLASSIFY_IMPL_H
#define GUARD_CLASSIFY_IMPL_H
#include "guard/classify.h"

#define GUARD_DEFAULT_RATE 2u /* index into guard_target_rates */

/* An opened file, shared by the guards whose matrices lie in it: one, and parts of it (guard_classifier_only). Guards
 * that share one are closed by one thread at a time. */
typedef struct {
    size_t users;
    nn_file file;
    void (*close)(nn_file *);
} guard_mapping;

struct guard_classifier {
    guard_parts parts;
    char sha256[65];   /* of the file it was saved to; "": of the bytes it was read from */
    const void *bytes; /* those, NULL for none: an int8 model's panels lie there */
    size_t len;
    guard_mapping *mapping; /* the same, when it was opened by path; NULL: the caller keeps the bytes */
};

/* p = sigmoid(a z + b), the same bits wherever it is computed. */
float guard_calibrated(const guard_parts *p, float logit);
/* Platt's fit: sigmoid(a z + b) for the labels. 1 and 0, which leave z as it is, when the rows are of one
 * class, or contradict z: a is always above 0, because the worst window must stay the one of the largest p. */
void guard_platt(double *a, double *b, const double *z, const int *label, size_t n);
void guard_parts_uncalibrated(guard_parts *p); /* thresholds 0.5, a = 1, b = 0 */
/* Whether x has scratch for attention over a window. */
NN_CHECKED nn_status guard_exec_check(const nn_exec *x, size_t window, nn_err *err);
/* The type a matrix of this shape has in a file of type `type`: vectors and rows that its blocks do not divide stay F32.
 */
nn_dtype guard_stored_type(nn_dtype type, size_t rows, size_t cols);
/* The same of a tensor of the decoder, and of the wide part: in a file of Q4_0 the two heads are F32 and the wide part is
 * Q8_0, which it is beside int8 too. */
nn_dtype guard_tensor_type(nn_dtype type, const nn_tensor *t);
nn_dtype guard_wide_type(nn_dtype type, size_t rows, size_t cols);
/* The wide part's 2^bits numbers as a matrix, for files. */
void guard_wide_shape(unsigned bits, size_t *rows, size_t *cols);

/* The whole file from memory; name is for messages. */
NN_CHECKED nn_status guard_gguf_read(guard_classifier **out, const void *bytes, size_t len, const char *name,
                                     nn_err *err);
#endif
