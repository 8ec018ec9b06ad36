/* Kernels, threads and scratch opened together. */
#include "nn/arena.h"
#include "nn/exec.h"
#include "tests/support.h"
#include <stdint.h>

Test(exec, each_thread_has_its_own_scratch_on_a_cache_line)
{
    nn_exec x;
    nn_err err = {0};

    expect_ok(nn_exec_open(&x, NULL, 3, 100, &err), &err);
    cr_assert(x.scratch_len >= x.k->gemm_scratch + (NN_STRIP_ROWS + 3u * NN_HEAD_MAX) * 100u);
    for (size_t t = 0; t < x.par.threads; t++) {
        float *s = nn_exec_scratch(&x, t);
        cr_expect_eq((uintptr_t)s % NN_ALIGN, 0u);
        for (size_t i = 0; i < x.scratch_len; i++) {
            cr_assert_eq(s[i], 0.0f, "thread %zu overlaps another at %zu", t, i);
            s[i] = 1.0f;
        }
    }
    nn_exec_free(&x);
}

Test(exec, a_table_that_does_not_exist_is_refused)
{
    nn_exec x;
    nn_err err = {0};

    expect_fails(nn_exec_open(&x, "abacus", 1, 16, &err), NN_USAGE, &err, "kernels=abacus");
    nn_exec_free(&x);
}

Test(exec, a_sequence_too_long_for_memory_is_refused)
{
    nn_exec x;
    nn_err err = {0};

    expect_fails(nn_exec_open(&x, NULL, 1, SIZE_MAX / 4, &err), NN_LIMIT, &err, "max_t");
    nn_exec_free(&x);
}

Test(exec, no_memory_is_a_status_and_leaves_nothing_behind)
{
    nn_exec x;
    nn_err err = {0};

    nn_alloc_fail_at(0);
    cr_expect_eq(nn_exec_open(&x, NULL, 1, 16, &err), NN_LIMIT);
    nn_alloc_fail_at(-1);
    cr_expect_null(x.scratch);
    nn_exec_free(&x);
    nn_exec_free(&x);
}
