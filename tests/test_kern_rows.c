/* Kernels of the rows of a strip: each row's bytes are those of the kernel of one row, in every table. */
#include "nn/kern.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <string.h>

enum { STRIP_ROWS = 19, STRIP_LD = 112 };

typedef struct {
    float p[STRIP_ROWS * STRIP_LD], dp[STRIP_ROWS * STRIP_LD];
} strips;

/* Row r holds n + r * grow numbers, zeros among them; behind them lies what must not matter. */
static void fill_strips(strips *s, size_t n, size_t grow)
{
    fill_random(s->p, STRIP_ROWS * STRIP_LD, 90.0f, n);
    fill_random(s->dp, STRIP_ROWS * STRIP_LD, 3.0f, n + 100);
    for (size_t r = 0; r < STRIP_ROWS; r++)
        for (size_t i = 0; i < STRIP_LD; i++) {
            float *p = s->p + r * STRIP_LD + i, *dp = s->dp + r * STRIP_LD + i;
            if (i % 7 == 3) *dp = i % 2 ? -0.0f : 0.0f;
            if (i >= n + r * grow) *p = *dp = i % 2 ? INFINITY : NAN;
        }
}

/* Row by row, from the same numbers. */
static void one_by_one(const nn_kern *k, strips *s, size_t n, size_t grow, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        float *p = s->p + r * STRIP_LD, *dp = s->dp + r * STRIP_LD;
        k->softmax_row(p, p, 0.3f, n + r * grow, NULL);
        k->softmax_bwd_row(dp, p, dp, 0.3f, n + r * grow);
    }
}

static void expect_rows(const char *table, const float *got, const float *want, size_t n, size_t grow, size_t rows)
{
    for (size_t r = 0; r < STRIP_ROWS; r++) {
        const size_t values = r < rows ? n + r * grow : STRIP_LD, room = (values + 15) / 16 * 16;
        const float *a = got + r * STRIP_LD, *b = want + r * STRIP_LD;

        cr_assert(memcmp(a, b, values * sizeof *a) == 0, "%s: row %zu of %zu values", table, r, values);
        cr_assert(memcmp(a + room, b + room, (STRIP_LD - room) * sizeof *a) == 0, "%s: written behind row %zu", table,
                  r);
    }
}

Test(kern_rows, a_strip_is_its_rows_one_by_one)
{
    static const size_t rows[] = {1, 7, 8, STRIP_ROWS};
    static strips got, want;
    const nn_kern *k;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++)
        for (size_t n = 1; supported && n <= 84; n += n < 34 ? 1 : 5)
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const size_t grow = n % 3 > 0;

                fill_strips(&got, n, grow);
                fill_strips(&want, n, grow);
                k->softmax_rows(got.p, STRIP_LD, 0.3f, rows[i], n, grow);
                for (size_t r = 0; r < rows[i]; r++)
                    for (size_t j = n + r * grow; j % 16 > 0; j++)
                        cr_assert(got.p[r * STRIP_LD + j] == 0.0f, "%s: no zero behind row %zu", k->name, r);
                k->softmax_bwd_rows(got.dp, got.p, STRIP_LD, 0.3f, rows[i], n, grow);
                one_by_one(k, &want, n, grow, rows[i]);
                expect_rows(k->name, got.p, want.p, n, grow, rows[i]);
                expect_rows(k->name, got.dp, want.dp, n, grow, rows[i]);
            }
}

/* Sixteen products of -1e-60 and one of 1 * -0 leave every lane -0, so the dot is -0 and -0 - -0 = +0. One +0 from
 * behind the row would turn the dot into +0, and the last ds into -0. */
Test(kern_rows, what_lies_behind_a_row_does_not_change_the_sign_of_a_zero)
{
    enum { N = 17 };
    const nn_kern *k;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        float p[32] = {0.0f}, dp[32], want[N];

        if (!supported) continue;
        for (size_t i = 0; i < 32; i++) {
            if (i < N) p[i] = i < 16 ? -1e-30f : 1.0f;
            dp[i] = i < 16 ? 1e-30f : i == 16 ? -0.0f : 1.0f;
        }
        k->softmax_bwd_row(want, p, dp, 1.0f, N);
        k->softmax_bwd_rows(dp, p, 32, 1.0f, 1, N, 1);
        cr_expect(want[16] == 0.0f && !signbit(want[16]));
        expect_same_floats(k->name, dp, want, N);
    }
}
