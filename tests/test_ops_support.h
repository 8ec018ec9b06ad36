/* test_ops_support.h - what the tests of the ops share: numbers, full finite differences, executions.
 *
 * Reads: support.h, nn/exec.h.   Read next: test_ops_rows.c, test_ops_attn.c.
 */
#ifndef TESTS_TEST_OPS_SUPPORT_H
#define TESTS_TEST_OPS_SUPPORT_H
#include "nn/exec.h"
#include "tests/support.h"

/* In [-size, size), with full mantissas; a function of `row` and position alone. */
void fill_random(float *x, size_t n, float size, uint64_t row);
/* sum c_i y_i in double: turns an op's output into the one number whose gradient is checked (dy = c). */
double weigh(const float *c, const float *y, size_t n);

typedef double (*scalar_fn)(void *ctx);
/* Moves each at[i] alone and compares the five-point difference of f with grad[i] / times (grad holds `times` backward
 * passes, so that += is checked too). f reads `at` through ctx. */
void expect_gradient(const char *name, scalar_fn f, void *ctx, float *at, const float *grad, size_t n, double times);

nn_exec exec_with(const char *table, size_t threads, size_t max_t); /* free with nn_exec_free */
#endif
