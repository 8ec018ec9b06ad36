/* kern_avx2.c - the table for x86 with AVX2, FMA and F16C. Build with -mavx2 -mfma -mf16c.
 *
 * Reads: kern_body.h, kern_vec.h.
 */
#include "nn/kern_impl.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <math.h>
#define NN_FMAF fmaf
#define NN_KERN_NAME "avx2"
#include "nn/kern_vec.h"
#include "nn/kern_body.h"

const nn_kern *const nn_kern_avx2 = &table;
#else
const nn_kern *const nn_kern_avx2 = NULL;
#endif
