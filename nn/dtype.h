/* dtype.h - the storage types of weights in files: sizes, and conversion to and from float.
 *
 * Reads: err.h.   Read next: dtype.c, safetensors.h and gguf.h (who have tensors of these types).
 */
#ifndef NN_DTYPE_H
#define NN_DTYPE_H
#include "nn/err.h"

typedef enum { NN_F32, NN_F16, NN_BF16, NN_Q8_0, NN_I64, NN_I8, NN_DTYPE_OTHER } nn_dtype;
size_t nn_dtype_bytes(nn_dtype t, size_t n); /* bytes of n elements; Q8_0: 34 per 32 */

/* Any tensor to floats (F32, F16, BF16, Q8_0). */
NN_CHECKED nn_status nn_dtype_to_f32(float *out, nn_dtype type, const unsigned char *data, size_t n, nn_err *err);
void nn_dtype_from_f32(unsigned char *out, nn_dtype type, const float *data, size_t n); /* F32 F16 BF16 Q8_0 */
/* Index of the first number that is no number or infinite, n when there is none: seen from the storage, before or instead
 * of converting. */
size_t nn_dtype_not_finite(nn_dtype type, const unsigned char *data, size_t n);
#endif
