/* Kernels of the rows of a strip: each row's bytes are those of the kernel of one row, in every table. */
#include "nn/kern.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <string.h>

enum { STRIP_ROWS = 19, STRIP_LD = 112 };

/* Row r ends after n + r * grow numbers and begins `window` before that. */
typedef struct {
    size_t rows, n, grow, window;
} layout;

typedef struct {
    float p[STRIP_ROWS * STRIP_LD], dp[STRIP_ROWS * STRIP_LD];
} strips;

static size_t end_of(layout l, size_t r)
{
    return l.n + r * l.grow;
}

static size_t begin_of(layout l, size_t r)
{
    return end_of(l, r) > l.window ? end_of(l, r) - l.window : 0;
}

/* Zeros are among a row's numbers; around it lies what must not matter. */
static void fill_strips(strips *s, layout l)
{
    fill_random(s->p, STRIP_ROWS * STRIP_LD, 90.0f, l.n);
    fill_random(s->dp, STRIP_ROWS * STRIP_LD, 3.0f, l.n + 100);
    for (size_t r = 0; r < STRIP_ROWS; r++)
        for (size_t i = 0; i < STRIP_LD; i++) {
            float *p = s->p + r * STRIP_LD + i, *dp = s->dp + r * STRIP_LD + i;
            if (i % 7 == 3) *dp = i % 2 ? -0.0f : 0.0f;
            if (i < begin_of(l, r) || i >= end_of(l, r)) *p = *dp = i % 2 ? INFINITY : NAN;
        }
}

/* Row by row, from the same numbers; what comes before a row keeps its lanes, as exp(-inf) and as products of -0. */
static void one_by_one(const nn_kern *k, strips *s, layout l)
{
    for (size_t r = 0; r < l.rows; r++) {
        float *p = s->p + r * STRIP_LD, *dp = s->dp + r * STRIP_LD, before[2][STRIP_LD];
        const size_t begin = begin_of(l, r);

        memcpy(before[0], p, sizeof before[0]);
        memcpy(before[1], dp, sizeof before[1]);
        for (size_t i = 0; i < begin; i++) {
            p[i] = -INFINITY;
            dp[i] = -0.0f;
        }
        k->softmax_row(p, p, 0.3f, end_of(l, r), NULL);
        k->softmax_bwd_row(dp, p, dp, 0.3f, end_of(l, r));
        memcpy(p, before[0], begin * sizeof *p);
        memcpy(dp, before[1], begin * sizeof *dp);
    }
}

static void expect_rows(const char *table, const float *got, const float *want, layout l)
{
    for (size_t r = 0; r < STRIP_ROWS; r++) {
        const float *a = got + r * STRIP_LD, *b = want + r * STRIP_LD;
        const size_t begin = r < l.rows ? begin_of(l, r) : 0, end = r < l.rows ? end_of(l, r) : STRIP_LD;
        const size_t skip = begin / 16 * 16, room = (end + 15) / 16 * 16;

        cr_assert(memcmp(a + begin, b + begin, (end - begin) * sizeof *a) == 0, "%s: row %zu of %zu to %zu", table, r,
                  begin, end);
        cr_assert(memcmp(a, b, skip * sizeof *a) == 0, "%s: written before row %zu", table, r);
        cr_assert(memcmp(a + room, b + room, (STRIP_LD - room) * sizeof *a) == 0, "%s: written behind row %zu", table,
                  r);
    }
}

static void expect_zeros_around(const char *table, const float *p, layout l)
{
    for (size_t r = 0; r < l.rows; r++) {
        for (size_t j = end_of(l, r); j % 16 > 0; j++)
            cr_assert(p[r * STRIP_LD + j] == 0.0f, "%s: no zero behind row %zu", table, r);
        for (size_t j = begin_of(l, r); j-- % 16 > 0;)
            cr_assert(p[r * STRIP_LD + j] == 0.0f, "%s: no zero before row %zu", table, r);
    }
}

Test(kern_rows, a_strip_is_its_rows_one_by_one)
{
    static const size_t rows[] = {1, 7, 8, STRIP_ROWS}, windows[] = {SIZE_MAX, 1, 13, 16, 40};
    static strips got, want;
    const nn_kern *k;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++)
        for (size_t n = 1; supported && n <= 84; n += n < 34 ? 1 : 5)
            for (size_t i = 0; i < sizeof rows / sizeof *rows * 5; i++) {
                const layout l = {rows[i / 5], n, n % 3 > 0, windows[i % 5]};

                fill_strips(&got, l);
                fill_strips(&want, l);
                k->softmax_rows(got.p, STRIP_LD, 0.3f, l.rows, n, l.grow, l.window);
                expect_zeros_around(k->name, got.p, l);
                k->softmax_bwd_rows(got.dp, got.p, STRIP_LD, 0.3f, l.rows, n, l.grow, l.window);
                one_by_one(k, &want, l);
                expect_rows(k->name, got.dp, want.dp, l);
                expect_rows(k->name, got.p, want.p, l);
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
        k->softmax_bwd_rows(dp, p, 32, 1.0f, 1, N, 1, SIZE_MAX);
        cr_expect(want[16] == 0.0f && !signbit(want[16]));
        expect_same_floats(k->name, dp, want, N);
    }
}
