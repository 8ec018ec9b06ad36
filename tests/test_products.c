/* Several products of one input: rows or columns split, packed or int8, against each matrix alone in one thread. */
#include "nn/matrix.h"
#include "tests/support.h"
#include "tests/test_ops_support.h"
#include <stdlib.h>
#include <string.h>

enum { N_MATRIX = 3, K_IN = 61 }; /* K is no multiple of 4 */

/* Three matrices and their inputs in every form. */
typedef struct {
    size_t R, N[N_MATRIX];
    float *in, *w[N_MATRIX], *panels[N_MATRIX], *bias, *y[N_MATRIX], *want[N_MATRIX];
    int8_t *i8[N_MATRIX];
    float *scale[N_MATRIX];
    int32_t *sum[N_MATRIX];
    nn_matrix m[N_MATRIX];
    nn_rows_i8 room;
} fixture;

static void *room(size_t n, size_t bytes)
{
    void *p = calloc(n, bytes);

    cr_assert(p != NULL);
    return p;
}

static void numbers(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

static void open_fixture(fixture *f, const nn_exec *x, size_t R, const size_t N[N_MATRIX])
{
    memset(f, 0, sizeof *f);
    f->R = R;
    f->in = room(R * K_IN, sizeof(float));
    numbers(f->in, R * K_IN, 1);
    f->room = (nn_rows_i8){room(R, nn_i8_cols(K_IN)), room(R, sizeof(float))};
    f->bias = room(N[0], sizeof(float));
    numbers(f->bias, N[0], 9);
    for (size_t i = 0; i < N_MATRIX; i++) {
        const size_t n = N[i], rows = nn_i8_rows(n);

        f->N[i] = n;
        f->w[i] = room(n * K_IN, sizeof(float));
        numbers(f->w[i], n * K_IN, (uint32_t)(2 + i));
        f->panels[i] = room(nn_matrix_panel_floats(n, K_IN), sizeof(float));
        f->i8[i] = room(rows * nn_i8_cols(K_IN), 1);
        f->scale[i] = room(rows, sizeof(float));
        f->sum[i] = room(rows, sizeof(int32_t));
        f->y[i] = room(R * n, sizeof(float));
        f->want[i] = room(R * n, sizeof(float));
        nn_matrix_pack(x, f->panels[i], f->w[i], n, K_IN);
        nn_quantize_matrix(x->k, f->i8[i], f->scale[i], f->sum[i], f->w[i], n, K_IN);
        f->m[i] = (nn_matrix){.N = n, .K = K_IN, .w = f->w[i]};
    }
}

static void close_fixture(fixture *f)
{
    for (size_t i = 0; i < N_MATRIX; i++) {
        free(f->w[i]);
        free(f->panels[i]);
        free(f->i8[i]);
        free(f->scale[i]);
        free(f->sum[i]);
        free(f->y[i]);
        free(f->want[i]);
    }
    free(f->in);
    free(f->bias);
    free(f->room.q);
    free(f->room.scale);
}

static void run_all(fixture *f, const nn_exec *x)
{
    const nn_product p[N_MATRIX] = {{f->y[0], &f->m[0], f->bias}, {f->y[1], &f->m[1], NULL}, {f->y[2], &f->m[2], NULL}};

    for (size_t i = 0; i < N_MATRIX; i++) memset(f->y[i], 0xff, f->R * f->N[i] * sizeof(float));
    nn_products_fwd(x, p, N_MATRIX, f->in, f->R, f->room);
}

/* One dot product after the other, by the contract's text. */
static void want_i8(fixture *f, const nn_exec *x)
{
    const size_t K4 = nn_i8_cols(K_IN);
    int8_t q[K_IN + 3];

    for (size_t r = 0; r < f->R; r++) {
        float s = 0.0f;
        x->k->quantize_row(q, &s, f->in + r * K_IN, K_IN);
        for (size_t i = 0; i < N_MATRIX; i++)
            for (size_t n = 0; n < f->N[i]; n++) {
                const int8_t *row = f->i8[i] + n / 16 * K4 * 16 + n % 16 * 4;
                int32_t sum = 0;
                for (size_t k = 0; k < K_IN; k++) sum += q[k] * row[k / 4 * 64 + k % 4];
                const float y = (float)sum * (s * f->scale[i][n]);
                f->want[i][r * f->N[i] + n] = i == 0 ? y + f->bias[n] : y;
            }
    }
}

static void check_shape(size_t R, const size_t N[N_MATRIX])
{
    for (size_t threads = 1; threads <= 5; threads += 2) {
        nn_exec x;
        nn_err err = {NN_OK, ""};
        fixture f;

        expect_ok(nn_exec_open(&x, NULL, threads, 8, &err), &err);
        open_fixture(&f, &x, R, N);
        for (size_t i = 0; i < N_MATRIX; i++)
            nn_linear_fwd(&x, f.want[i], f.in, f.w[i], i == 0 ? f.bias : NULL, R, N[i], K_IN);
        run_all(&f, &x);
        for (size_t i = 0; i < N_MATRIX; i++) expect_same_floats("row-major", f.y[i], f.want[i], R * N[i]);
        for (size_t i = 0; i < N_MATRIX; i++) f.m[i].panels = f.panels[i];
        run_all(&f, &x);
        for (size_t i = 0; i < N_MATRIX; i++) expect_same_floats("panels", f.y[i], f.want[i], R * N[i]);
        for (size_t i = 0; i < N_MATRIX; i++) {
            f.m[i].i8 = f.i8[i];
            f.m[i].scale = f.scale[i];
            f.m[i].sum = f.sum[i];
        }
        want_i8(&f, &x);
        run_all(&f, &x);
        for (size_t i = 0; i < N_MATRIX; i++) expect_same_floats("int8", f.y[i], f.want[i], R * N[i]);
        close_fixture(&f);
        nn_exec_free(&x);
    }
}

Test(products, many_rows_are_split_by_rows)
{
    check_shape(2001, (const size_t[N_MATRIX]){70, 33, 16});
}

Test(products, few_rows_are_split_by_columns)
{
    check_shape(101, (const size_t[N_MATRIX]){1500, 49, 777});
}

Test(products, one_row_and_ragged_matrices)
{
    check_shape(1, (const size_t[N_MATRIX]){47, 1, 17});
}
