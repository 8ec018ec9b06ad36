/* exec.h - how to compute: which kernels, how many threads, whose scratch.
 *
 * Reads: kern.h, par.h.   Read next: ops.h.
 * Ownership: owns the threads and the scratch of each; a copy borrows them. One nn_exec per calling thread.
 */
#ifndef NN_EXEC_H
#define NN_EXEC_H
#include "nn/kern.h"
#include "nn/par.h"

typedef struct {
    const nn_kern *k;
    nn_par par;
    float *scratch;     /* par.threads x scratch_len */
    size_t scratch_len; /* floats for one thread: nn_exec_scratch_floats */
} nn_exec;

#define NN_STRIP_ROWS 64u
#define NN_HEAD_MAX 256u /* the widest head */

/* Floats of one thread's part for sequences of max_t: a product's packing room, a strip of attention, and the keys and
 * values of one head three times (what backward wants packed). Linear in max_t; SIZE_MAX / 16 when that is too long. */
size_t nn_exec_scratch_floats(const nn_kern *k, size_t max_t);

/* kernels NULL: the best; threads 0: all. max_t: the longest sequence attention will see. */
NN_CHECKED nn_status nn_exec_open(nn_exec *x, const char *kernels, size_t threads, size_t max_t, nn_err *err);
void nn_exec_free(nn_exec *x);
/* One thread's part, on a cache line. The first k->gemm_scratch floats are for k->gemm, so that an op may call it while
 * the rest holds its own. */
float *nn_exec_scratch(const nn_exec *x, size_t thread);
#endif
