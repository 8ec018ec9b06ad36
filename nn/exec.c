/* exec.c - opens kernels, threads and scratch together.
 *
 * Reads: exec.h, arena.h.   Read next: op_linear.c.
 */
#include "nn/exec.h"
#include "nn/arena.h"
#include <stdint.h>
#include <string.h>

size_t nn_exec_scratch_floats(const nn_kern *k, size_t max_t)
{
    const size_t line = NN_ALIGN / sizeof(float), a_key = NN_STRIP_ROWS + 3u * NN_HEAD_MAX;

    if (max_t > SIZE_MAX / sizeof(float) / a_key / NN_PAR_MAX / 4) return SIZE_MAX / 16;
    const size_t keys = (max_t + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
    return (k->gemm_scratch + a_key * keys + NN_STRIP_ROWS * NN_HEAD_MAX + line - 1) / line * line;
}

void nn_exec_free(nn_exec *x)
{
    nn_par_close(&x->par);
    nn_free(x->scratch);
    memset(x, 0, sizeof *x);
}

nn_status nn_exec_open(nn_exec *x, const char *kernels, size_t threads, size_t max_t, nn_err *err)
{
    const size_t line = NN_ALIGN / sizeof(float);
    nn_status st;
    void *block = NULL;

    memset(x, 0, sizeof *x);
    if ((st = nn_kern_pick(&x->k, kernels, err)) != NN_OK) return st;
    x->scratch_len = nn_exec_scratch_floats(x->k, max_t);
    if (x->scratch_len == SIZE_MAX / 16)
        return nn_fail(err, NN_LIMIT, "max_t: %zu is too long to hold a strip of attention", max_t);
    if ((st = nn_par_open(&x->par, threads, err)) != NN_OK) return st;
    if ((st = nn_alloc(&block, x->par.threads * x->scratch_len + line, sizeof(float), err)) != NN_OK) {
        nn_exec_free(x);
        return st;
    }
    x->scratch = block;
    return NN_OK;
}

/* The block has a cache line to spare, so each thread's part can begin on one. */
float *nn_exec_scratch(const nn_exec *x, size_t thread)
{
    const uintptr_t at = (uintptr_t)x->scratch;
    const size_t skip = (NN_ALIGN - at % NN_ALIGN) % NN_ALIGN / sizeof(float);

    NN_ASSERT(thread < x->par.threads);
    return x->scratch + skip + thread * x->scratch_len;
}
