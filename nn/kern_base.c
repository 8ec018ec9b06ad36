/* kern_base.c - the table for any machine with IEEE arithmetic: right, not fast.
 *
 * Reads: kern_body.h, kern_fma.h.
 */
#include "nn/kern_fma.h"
#define NN_FMAF nn_fmaf_exact
#define NN_KERN_NAME "base"
#include "nn/kern_body.h"

const nn_kern *const nn_kern_base = &table;
