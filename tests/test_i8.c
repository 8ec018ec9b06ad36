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
