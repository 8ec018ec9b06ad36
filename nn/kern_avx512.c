/* kern_avx512.c - the table for x86 with AVX-512 and its int8 products (Ice Lake 2019, Zen 4 2022 onwards).
 * Build with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c -mprefer-vector-width=512.
 *
 * Reads: kern_body.h, kern_vec.h.
 * Why, where the peak of fp32 equals AVX2's: 32 registers hold a tile of 8 x 48, and half as many instructions leave
 * the front end and the load ports time.
 */
#include "nn/kern_impl.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    defined(__AVX512VNNI__) && defined(__FMA__)
#include <math.h>
#define NN_FMAF fmaf
#define NN_KERN_NAME "avx512"
#include "nn/kern_vec.h"
#include "nn/kern_body.h"

const nn_kern *const nn_kern_avx512 = &table;
#else
const nn_kern *const nn_kern_avx512 = NULL;
#endif
