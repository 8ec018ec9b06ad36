/* kern_neon.c - the table for AArch64, whose vector unit always has a fused multiply-add.
 *
 * Reads: kern_body.h, kern_vec.h.
 */
#include "nn/kern_impl.h"

#if defined(__aarch64__)
#include <math.h>
#define NN_FMAF fmaf
#define NN_KERN_NAME "neon"
#include "nn/kern_vec.h"
#include "nn/kern_body.h"

const nn_kern *const nn_kern_neon = &table;
#else
const nn_kern *const nn_kern_neon = NULL;
#endif
