/* Products over threads and the linear layer, forward and backward. */
#include "nn/ops.h"
#include "tests/support.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static nn_exec open_exec(const char *kernels, size_t threads)
{
    nn_exec x;
    nn_err err = {0};

    expect_ok(nn_exec_open(&x, kernels, threads, 16, &err), &err);
    return x;
}

static float *numbers(size_t n, uint32_t seed)
{
    float *p = malloc((n + 1) * sizeof *p);

    cr_assert_not_null(p);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    return p;
}

static void plain_matmul(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K,
                         bool accumulate)
{
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            float s = accumulate ? c[m * N + n] : 0.0f;
            for (size_t k = 0; k < K; k++)
                s = fmaf(a[form == NN_TN ? k * M + m : m * K + k], b[form == NN_NT ? n * K + k : k * N + n], s);
            c[m * N + n] = s;
        }
}

static void same_for_all_threads(const char *kernels, nn_form form, size_t M, size_t N, size_t K, bool accumulate)
{
    float *a = numbers(M * K, 1), *b = numbers(N * K, 2), *want = numbers(M * N, 3), *got = numbers(M * N, 3);

    plain_matmul(form, want, a, b, M, N, K, accumulate);
    for (size_t threads = 1; threads <= 8; threads++) {
        nn_exec x = open_exec(kernels, threads);
        float *start = numbers(M * N, 3);
        memcpy(got, start, M * N * sizeof *got);
        nn_matmul(&x, form, got, a, b, M, N, K, accumulate);
        cr_assert(memcmp(got, want, M * N * sizeof *got) == 0, "%s, %zu threads: form %d, M = %zu, N = %zu, K = %zu",
                  x.k->name, threads, (int)form, M, N, K);
        free(start);
        nn_exec_free(&x);
    }
    free(a);
    free(b);
    free(want);
    free(got);
}

Test(linear, products_have_the_textbook_bytes_for_one_to_eight_threads)
{
    static const size_t size[][3] = {{301, 67, 129}, {67, 301, 129}, {1, 3001, 257}, {3001, 1, 257}, {130, 131, 515},
                                     {4, 24, 7000}, {8, 999, 64}, {1, 1, 1}, {97, 2, 600}};

    for (int form = NN_NN; form <= NN_TN; form++)
        for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
            same_for_all_threads(NULL, (nn_form)form, size[i][0], size[i][1], size[i][2], i % 2 == 1);
}

Test(linear, the_base_table_gives_the_same_products)
{
    for (int form = NN_NN; form <= NN_TN; form++) same_for_all_threads("base", (nn_form)form, 67, 131, 129, true);
}

Test(linear, an_empty_product_touches_nothing)
{
    nn_exec x = open_exec(NULL, 2);
    float c = 5.0f;

    nn_matmul(&x, NN_NT, &c, &c, &c, 0, 4, 4, false);
    nn_matmul(&x, NN_NT, &c, &c, &c, 4, 0, 4, false);
    cr_expect_eq(c, 5.0f);
    nn_exec_free(&x);
}

Test(linear, forward_adds_the_bias_to_the_rounded_product)
{
    enum { R = 9, N = 31, C = 17 };
    nn_exec x = open_exec(NULL, 2);
    float *in = numbers(R * C, 1), *w = numbers(N * C, 2), *bias = numbers(N, 3);
    float got[R * N], want[R * N];

    plain_matmul(NN_NT, want, in, w, R, N, C, false);
    nn_linear_fwd(&x, got, in, w, NULL, R, N, C);
    expect_same_floats("without bias", got, want, R * N);
    for (size_t i = 0; i < R * N; i++) want[i] = want[i] + bias[i % N];
    nn_linear_fwd(&x, got, in, w, bias, R, N, C);
    expect_same_floats("with bias", got, want, R * N);
    free(in);
    free(w);
    free(bias);
    nn_exec_free(&x);
}

/* One layer with its gradients, for the tests below. */
typedef struct {
    size_t R, N, C;
    float *in, *w, *bias, *dy, *din, *dw, *dbias;
} layer;

static layer make_layer(size_t R, size_t N, size_t C)
{
    const layer l = {R, N, C, numbers(R * C, 1), numbers(N * C, 2), numbers(N, 3), numbers(R * N, 4),
                     numbers(R * C, 5), numbers(N * C, 6), numbers(N, 7)};
    return l;
}

static void free_layer(layer *l)
{
    free(l->in);
    free(l->w);
    free(l->bias);
    free(l->dy);
    free(l->din);
    free(l->dw);
    free(l->dbias);
}

Test(linear, backward_is_three_plain_sums_with_rows_ascending)
{
    layer l = make_layer(37, 29, 53), want = make_layer(37, 29, 53);
    nn_exec x = open_exec(NULL, 3);

    plain_matmul(NN_NN, want.din, l.dy, l.w, l.R, l.C, l.N, true);
    plain_matmul(NN_TN, want.dw, l.dy, l.in, l.N, l.C, l.R, true);
    for (size_t r = 0; r < l.R; r++)
        for (size_t n = 0; n < l.N; n++) want.dbias[n] = want.dbias[n] + l.dy[r * l.N + n];
    nn_linear_bwd(&x, l.din, l.dw, l.dbias, l.dy, l.in, l.w, l.R, l.N, l.C, true);
    expect_same_floats("din", l.din, want.din, l.R * l.C);
    expect_same_floats("dw", l.dw, want.dw, l.N * l.C);
    expect_same_floats("dbias", l.dbias, want.dbias, l.N);

    plain_matmul(NN_NN, want.din, l.dy, l.w, l.R, l.C, l.N, false);
    nn_linear_bwd(&x, l.din, NULL, NULL, l.dy, l.in, l.w, l.R, l.N, l.C, false);
    expect_same_floats("din overwritten", l.din, want.din, l.R * l.C);
    expect_same_floats("dw left alone", l.dw, want.dw, l.N * l.C);
    free_layer(&l);
    free_layer(&want);
    nn_exec_free(&x);
}

Test(linear, micro_batches_give_the_gradient_bytes_of_one_batch)
{
    layer whole = make_layer(61, 19, 23), parts = make_layer(61, 19, 23);
    nn_exec x = open_exec(NULL, 1);
    const size_t cut[] = {0, 1, 26, 61};

    nn_linear_bwd(&x, whole.din, whole.dw, whole.dbias, whole.dy, whole.in, whole.w, 61, 19, 23, false);
    for (size_t i = 0; i < 3; i++)
        nn_linear_bwd(&x, parts.din + cut[i] * 23, parts.dw, parts.dbias, parts.dy + cut[i] * 19,
                      parts.in + cut[i] * 23, parts.w, cut[i + 1] - cut[i], 19, 23, false);
    expect_same_floats("din", parts.din, whole.din, 61 * 23);
    expect_same_floats("dw", parts.dw, whole.dw, 19 * 23);
    expect_same_floats("dbias", parts.dbias, whole.dbias, 19);
    free_layer(&whole);
    free_layer(&parts);
    nn_exec_free(&x);
}

/* The scalar whose gradient is tested: sum of dy times y. */
static double weighted_output(const nn_exec *x, const layer *l)
{
    float *y = malloc(l->R * l->N * sizeof *y);
    double sum = 0.0;

    cr_assert_not_null(y);
    nn_linear_fwd(x, y, l->in, l->w, l->bias, l->R, l->N, l->C);
    for (size_t i = 0; i < l->R * l->N; i++) sum += (double)y[i] * (double)l->dy[i];
    free(y);
    return sum;
}

/* The layer is linear in each argument, so a large step has no error of its own. */
static void difference_agrees(const nn_exec *x, const layer *l, const char *name, float *v, const float *dv, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float v_i = v[i], step = 1.0f;
        v[i] = v_i + step;
        const double up = weighted_output(x, l);
        v[i] = v_i - step;
        const double slope = (up - weighted_output(x, l)) / 2.0;
        v[i] = v_i;
        cr_expect(fabs(slope - (double)dv[i]) < 1e-4, "%s[%zu]: slope %g, gradient %g", name, i, slope, (double)dv[i]);
    }
}

Test(linear, backward_matches_finite_difference)
{
    layer l = make_layer(3, 5, 4);
    nn_exec x = open_exec(NULL, 1);

    memset(l.dw, 0, l.N * l.C * sizeof *l.dw);
    memset(l.dbias, 0, l.N * sizeof *l.dbias);
    nn_linear_bwd(&x, l.din, l.dw, l.dbias, l.dy, l.in, l.w, l.R, l.N, l.C, false);
    difference_agrees(&x, &l, "in", l.in, l.din, l.R * l.C);
    difference_agrees(&x, &l, "w", l.w, l.dw, l.N * l.C);
    difference_agrees(&x, &l, "bias", l.bias, l.dbias, l.N);
    free_layer(&l);
    nn_exec_free(&x);
}
