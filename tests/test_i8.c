/* Int8: rows, packed matrices, products of every table against plain loops, bit for bit. */
#include "nn/quantize.h"
#include "tests/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In [-4, 4), often far smaller, sometimes 0, subnormal or large. */
static float number(uint32_t *state)
{
    static const float size[8] = {4.0f, 4.0f, 4.0f, 4.0f, 0x1p-20f, 0x1p-140f, 200.0f, 0.0f};

    *state = *state * 1664525u + 1013904223u;
    const float unit = (float)(*state >> 8) / 8388608.0f - 1.0f;
    *state = *state * 1664525u + 1013904223u;
    return unit * size[*state >> 29];
}

/* --- matrices ---------------------------------------------------------------------------------------- */

typedef struct {
    size_t N, K, rows, cols;
    int8_t *panels;
    float *scale, *w, *row;
    int32_t *sum;
} matrix;

static void *room(size_t count, size_t bytes)
{
    void *p = malloc(count * bytes + 1);
    cr_assert_not_null(p);
    return p;
}

static matrix matrix_of(size_t N, size_t K, uint32_t seed)
{
    const nn_kern *k = nn_kern_at(0, NULL);
    matrix m = {.N = N, .K = K, .rows = nn_i8_rows(N), .cols = nn_i8_cols(K)};
    uint32_t state = seed;

    m.panels = room(m.rows, m.cols);
    m.scale = room(m.rows, sizeof *m.scale);
    m.sum = room(m.rows, sizeof *m.sum);
    m.w = room(N * K, sizeof *m.w);
    m.row = room(K, sizeof *m.row);
    for (size_t i = 0; i < N * K; i++) m.w[i] = number(&state);
    nn_quantize_matrix(k, m.panels, m.scale, m.sum, m.w, N, K);
    return m;
}

static void matrix_free(matrix *m)
{
    free(m->panels);
    free(m->scale);
    free(m->sum);
    free(m->w);
    free(m->row);
}

static size_t place(const matrix *m, size_t n, size_t k)
{
    return ((n / 16 * (m->cols / 4) + k / 4) * 16 + n % 16) * 4 + k % 4;
}

Test(i8, a_packed_matrix_holds_each_rounded_weight_in_its_place)
{
    static const size_t size[][2] = {{1, 1}, {3, 4}, {16, 8}, {17, 5}, {33, 67}, {48, 256}};

    for (size_t c = 0; c < sizeof size / sizeof size[0]; c++) {
        matrix m = matrix_of(size[c][0], size[c][1], 7);
        for (size_t n = 0; n < m.rows; n++) {
            float largest = 0.0f;
            int32_t sum = 0;
            for (size_t k = 0; n < m.N && k < m.K; k++) largest = fmaxf(largest, fabsf(m.w[n * m.K + k]));
            const float s = largest / 127.0f > 0.0f ? largest / 127.0f : 1.0f;
            cr_assert_eq(m.scale[n], n < m.N ? s : 0.0f);
            for (size_t k = 0; k < m.cols; k++) {
                const float want = n < m.N && k < m.K ? rintf(m.w[n * m.K + k] / s) : 0.0f;
                cr_assert_eq(m.panels[place(&m, n, k)], (int)fminf(fmaxf(want, -127.0f), 127.0f), "%zu %zu", n, k);
                sum += m.panels[place(&m, n, k)];
            }
            cr_assert_eq(m.sum[n], sum);
        }
        matrix_free(&m);
    }
}

Test(i8, a_row_comes_back_within_half_a_step)
{
    matrix m = matrix_of(37, 67, 8);

    for (size_t n = 0; n < m.N; n++) {
        nn_i8_row(m.row, m.panels, m.scale, m.K, n);
        for (size_t k = 0; k < m.K; k++) {
            cr_assert_eq(m.row[k], (float)m.panels[place(&m, n, k)] * m.scale[n]);
            cr_assert_leq(fabsf(m.row[k] - m.w[n * m.K + k]), 0.5001f * m.scale[n]);
        }
    }
    matrix_free(&m);
}

/* By every table; what the last says. */
static nn_status check(const matrix *m, nn_err *err)
{
    int32_t *sum = room(m->rows, sizeof *sum);
    nn_status st = NN_OK;
    bool supported = false;
    const nn_kern *k;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        err->status = NN_OK;
        for (size_t n = 0; n < m->rows; n++) sum[n] = 99;
        st = nn_i8_check(k, sum, m->panels, m->scale, m->N, m->K, err);
        if (st == NN_OK) cr_assert_arr_eq(sum, m->sum, m->rows * sizeof *sum, "%s", k->name);
    }
    free(sum);
    return st;
}

Test(i8, check_accepts_what_quantize_made_and_finds_its_sums)
{
    static const size_t size[][2] = {{1, 1}, {17, 5}, {33, 68}, {16, 1023}, {20, 1024}, {18, 2051}};
    nn_err err = {0};

    for (size_t c = 0; c < sizeof size / sizeof size[0]; c++) {
        matrix m = matrix_of(size[c][0], size[c][1], 9);
        expect_ok(check(&m, &err), &err);
        for (size_t n = 0; n < m.N; n++) { /* the largest and the smallest sums there are */
            m.sum[n] = 0;
            for (size_t k = 0; k < m.K; k++) m.sum[n] += m.panels[place(&m, n, k)] = n % 2 ? 127 : -127;
        }
        expect_ok(check(&m, &err), &err);
        matrix_free(&m);
    }
}

Test(i8, check_finds_minus_128_wherever_it_stands)
{
    matrix m = matrix_of(35, 1030, 10);
    nn_err err = {0};

    for (size_t n = 0; n < m.N; n++)
        for (size_t k = n; k < m.K; k += 37) {
            const int8_t kept = m.panels[place(&m, n, k)];
            m.panels[place(&m, n, k)] = -128;
            expect_fails(check(&m, &err), NN_FILE, &err, "-128");
            m.panels[place(&m, n, k)] = kept;
        }
    expect_ok(check(&m, &err), &err);
    matrix_free(&m);
}

Test(i8, check_finds_padding_that_is_not_zero)
{
    matrix m = matrix_of(35, 66, 11);
    nn_err err = {0};

    for (size_t n = 0; n < m.rows; n++)
        for (size_t k = n < m.N ? m.K : 0; k < m.cols; k++) {
            m.panels[place(&m, n, k)] = (int8_t)(n % 2 ? 1 : -127);
            expect_fails(check(&m, &err), NN_FILE, &err, "padding");
            m.panels[place(&m, n, k)] = 0;
        }
    expect_ok(check(&m, &err), &err);
    matrix_free(&m);
}

Test(i8, check_refuses_scales_that_are_no_scales_and_rows_too_long)
{
    static const float bad[] = {-1.0f, -0x1p-149f, INFINITY, -INFINITY, NAN};
    matrix m = matrix_of(17, 8, 12);
    nn_err err = {0};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (size_t n = 0; n < m.rows; n += 5) {
            const float kept = m.scale[n];
            m.scale[n] = bad[i];
            expect_fails(check(&m, &err), NN_FILE, &err, "scale");
            m.scale[n] = kept;
        }
    expect_ok(check(&m, &err), &err);
    m.K = (size_t)NN_I8_MAX_K + 1;
    expect_fails(check(&m, &err), NN_FILE, &err, "columns");
    matrix_free(&m);
}

/* --- rows of activations --------------------------------------------------------------------------------- */

/* kern.h in plain words. A row that is not finite has the one NaN as its scale, and zeros. */
static void plain_quantize_row(int8_t *q, float *scale, const float *x, size_t n)
{
    const uint32_t nan = 0x7fc00000;
    float largest = 0.0f;
    bool finite = true;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) finite = false;
        largest = fmaxf(largest, fabsf(x[i]));
    }
    *scale = largest / 127.0f == 0.0f ? 1.0f : largest / 127.0f;
    if (!finite) memcpy(scale, &nan, sizeof nan);
    for (size_t i = 0; i < n; i++) q[i] = finite ? (int8_t)fmaxf(fminf(rintf(x[i] / *scale), 127.0f), -127.0f) : 0;
    for (size_t i = n; i < (n + 3) / 4 * 4; i++) q[i] = 0;
}

enum { ROW = 300, GUARD = 77 };

/* Every table, from an unaligned start; what follows the padding keeps its bytes. */
static void agree_on_row(const float *x, size_t n)
{
    int8_t want[ROW], got[ROW];
    float want_scale = -2.0f, got_scale = -3.0f;
    const nn_kern *k;
    bool supported = false;

    memset(want, GUARD, sizeof want);
    plain_quantize_row(want, &want_scale, x, n);
    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        memset(got, GUARD, sizeof got);
        k->quantize_row(got, &got_scale, x, n);
        expect_same_floats(k->name, &got_scale, &want_scale, 1);
        for (size_t i = 0; i < ROW; i++)
            cr_assert_eq(got[i], want[i], "%s, n = %zu: [%zu] is %d, want %d", k->name, n, i, got[i], want[i]);
    }
}

Test(i8, rows_of_every_length_are_rounded_alike_in_every_table)
{
    static float x[ROW];
    uint32_t state = 3;

    for (size_t n = 0; n < ROW - 8; n++) {
        for (size_t i = 0; i < n; i++) x[i + n % 3] = number(&state);
        agree_on_row(x + n % 3, n);
    }
}

/* Whole rows of one size of number: where max / 127 is subnormal, is 0, or rounds so far that max / scale is not
 * 127. */
Test(i8, rows_of_every_magnitude_are_rounded_alike_in_every_table)
{
    static float x[67];
    uint32_t state = 4;

    for (int e = -149; e <= 127; e++)
        for (int r = 0; r < 4; r++) {
            for (size_t i = 0; i < 67; i++) x[i] = ldexpf(number(&state) / 256.0f, e);
            x[e + 149 < 67 ? e + 149 : 5] = ldexpf(r % 2 ? 1.0f : -1.9f, e);
            agree_on_row(x, 67);
        }
}

Test(i8, halves_go_to_the_even_step)
{
    static const float x[8] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -126.5f};
    static const int8_t want[8] = {127, 0, 2, 2, 0, -2, -2, -126};
    const nn_kern *k;
    int8_t q[8];
    float scale = 0.0f;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        k->quantize_row(q, &scale, x, 8);
        cr_assert_eq(scale, 1.0f);
        cr_assert_arr_eq(q, want, 8, "%s", k->name);
    }
}

Test(i8, rows_of_zeros_and_of_what_is_no_number)
{
    static const float odd[] = {0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 3.4028235e38f, -3.4028235e38f, INFINITY, -INFINITY,
                                NAN, -NAN};
    static float x[40];

    for (size_t o = 0; o < sizeof odd / sizeof odd[0]; o++)
        for (size_t n = 1; n < 40; n++) {
            for (size_t i = 0; i < 40; i++) x[i] = odd[o];
            agree_on_row(x, n);
            for (size_t i = 0; i < 40; i++) x[i] = i == n / 2 ? odd[o] : (float)i - 7.5f;
            agree_on_row(x, n);
        }
}

/* --- products -------------------------------------------------------------------------------------------------- */

/* [M,N] from rows of A and the panels of a matrix, columns n0 on; each gap between rows holds a guard. */
static void agree_on_product(const matrix *m, size_t n0, const int8_t *a, size_t lda, const float *a_scale, size_t M)
{
    const size_t N = m->N - n0, ldc = N + 3;
    float *want = room(M * ldc, sizeof *want), *got = room(M * ldc, sizeof *got);
    const nn_kern *k;
    bool supported = false;

    for (size_t i = 0; i < M * ldc; i++) want[i] = -1234.5f;
    for (size_t r = 0; r < M; r++)
        for (size_t n = 0; n < N; n++) {
            int32_t sum = 0;
            for (size_t i = 0; i < m->cols; i++) sum += a[r * lda + i] * m->panels[place(m, n0 + n, i)];
            want[r * ldc + n] = (float)sum * (a_scale[r] * m->scale[n0 + n]);
        }
    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        for (size_t i = 0; i < M * ldc; i++) got[i] = -1234.5f;
        k->gemm_i8(got, ldc, a, lda, a_scale, m->panels + n0 * m->cols, m->scale + n0, m->sum + n0, M, N, m->cols);
        cr_assert(memcmp(got, want, M * ldc * sizeof *got) == 0, "%s: %zu x %zu x %zu from %zu", k->name, M, m->N,
                  m->K, n0);
    }
    free(want);
    free(got);
}

/* Random rows, one of them not finite, packed behind each other with a gap. */
static void agree_on_size(size_t M, size_t N, size_t K)
{
    const nn_kern *k = nn_kern_at(0, NULL);
    matrix m = matrix_of(N, K, (uint32_t)(N * 131 + K));
    const size_t lda = m.cols + 8;
    int8_t *a = room(M, lda);
    float *a_scale = room(M, sizeof *a_scale);
    uint32_t state = (uint32_t)(M + 1);

    memset(a, GUARD, M * lda);
    for (size_t r = 0; r < M; r++) {
        for (size_t i = 0; i < K; i++) m.row[i] = number(&state);
        if (r == 5) m.row[K / 2] = NAN;
        k->quantize_row(a + r * lda, &a_scale[r], m.row, K);
    }
    for (size_t n0 = 0; n0 < N; n0 += 32) agree_on_product(&m, n0, a, lda, a_scale, M);
    free(a);
    free(a_scale);
    matrix_free(&m);
}

Test(i8, products_of_odd_sizes_are_the_plain_loop)
{
    static const size_t K[] = {4, 8, 17, 36, 67, 128};

    for (size_t M = 1; M <= 67; M = M < 14 ? M + 1 : M * 2 - 5)
        for (size_t N = 1; N <= 67; N = N < 18 || N > 62 ? N + 1 : N + 9) agree_on_size(M, N, K[(M + N) % 6]);
}

Test(i8, products_over_long_rows_are_the_plain_loop)
{
    for (size_t K = 132; K <= 1024; K = K * 2 - 4) agree_on_size(7, 83, K);
    agree_on_size(13, 129, 1024);
    agree_on_size(131, 17, 4096); /* A is more than a block of rows */
}

/* The largest sums there are, of both signs, where an instruction could saturate. */
Test(i8, products_of_extremes_are_exact)
{
    enum { M = 7, N = 70, K = 4096 };
    static int8_t a[M * K];
    static float a_scale[M];
    matrix m = matrix_of(N, K, 2);

    for (size_t r = 0; r < M; r++) a_scale[r] = 0x1p-10f;
    for (size_t i = 0; i < M * K; i++) a[i] = (int8_t)(i / K % 3 == 0 ? -127 : i / K % 3 == 1 || i % 2 ? 127 : -127);
    for (size_t n = 0; n < N; n++) {
        m.sum[n] = 0;
        for (size_t k = 0; k < K; k++)
            m.sum[n] += m.panels[place(&m, n, k)] = (int8_t)(n % 4 == 0 || (n % 4 == 3 && k % 2) ? -127 : 127);
    }
    agree_on_product(&m, 0, a, K, a_scale, M);
    matrix_free(&m);
}
