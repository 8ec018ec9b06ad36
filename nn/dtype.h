/* dtype.h - the storage types of weights in files: sizes, names, and conversion to and from float.
 *
 * Reads: err.h.   Read next: dtype_blocks.h (the layouts), dtype.c, safetensors.h and gguf.h (who have tensors of these
 * types).
 */
#ifndef NN_DTYPE_H
#define NN_DTYPE_H
#include "nn/err.h"
#include <stdbool.h>

typedef enum {
    NN_F32,
    NN_F16,
    NN_BF16,
    NN_Q8_0,
    NN_I64,
    NN_I8,
    /* Blocks of small integers with common scales: but for Q4_0, for reading only. */
    NN_Q4_0,
    NN_Q4_1,
    NN_Q5_0,
    NN_Q5_1,
    NN_Q2_K,
    NN_Q3_K,
    NN_Q4_K,
    NN_Q5_K,
    NN_Q6_K,
    NN_DTYPE_OTHER
} nn_dtype;

#define NN_BLOCK_MAX 256u /* the longest block */

size_t nn_dtype_block(nn_dtype t);           /* elements of a block, 1 of a plain number; 0 of NN_DTYPE_OTHER */
size_t nn_dtype_bytes(nn_dtype t, size_t n); /* bytes of n elements; a block that is begun counts whole */
const char *nn_dtype_name(nn_dtype t);       /* "F32", "Q4_K", ..., "other" */
bool nn_dtype_is_weights(nn_dtype t);        /* whether the numbers mean something by themselves: not I64, I8, other */

/* Any tensor of weights to floats; n is a multiple of the block. */
NN_CHECKED nn_status nn_dtype_to_f32(float *out, nn_dtype type, const unsigned char *data, size_t n, nn_err *err);
void nn_dtype_from_f32(unsigned char *out, nn_dtype type, const float *data, size_t n); /* F32 F16 BF16 Q8_0 Q4_0 */
/* Index of the first number that is no number or infinite (of a block: its first), n when there is none: seen from the
 * storage, before or instead of converting. */
size_t nn_dtype_not_finite(nn_dtype type, const unsigned char *data, size_t n);
#endif
