/* kern_i8.h - int8 rows and products of a kernel table.
 *
 * Reads: kern.h, kern_vec_i8.h. Included by kern_body.h only.   Read next: quantize.c.
 * Sums of int8 products are exact in int32 for K up to 2^31 / (255 * 127) = 66,311, so every order and every
 * instruction gives the same number; only the one conversion and the two multiplications round.
 */
#ifndef NN_KERN_I8_H
#define NN_KERN_I8_H
#include "nn/kern.h"
#include <string.h>

enum { I8_STEP = 4 * NN_PANEL }; /* bytes of one step of a panel: 16 columns of 4 k */

/* --- a row of activations ----------------------------------------------------------------------------- */

/* The bits of max|x|: as integers they are ordered as the numbers are, infinities above all, NaN above them. */
static int32_t largest_magnitude(const float *x, size_t n)
{
    int32_t largest = 0;

    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

/* WHY not rintf: |x / s| is below 191, also where s is subnormal, so that adding 1.5 * 2^23, whose unit is 1, rounds
 * the quotient (ties to even) into the last bits of the sum: vector code also where rounding is no instruction. The
 * limits as integers, since gcc 12 makes six masks of them as floats: 0.24 instead of 0.18 ns an element.
 * Division, not a product with 127 / max: 0.14 ns, but it overflows for subnormal rows and rounds differently. */
static void quantize_finite(int8_t *restrict q, const float *restrict x, float s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float sum = x[i] / s + 12582912.0f;
        int32_t v;
        memcpy(&v, &sum, sizeof v);
        v -= 0x4b400000; /* the bits of 12582912.0f */
        v = v > 127 ? 127 : v;
        v = v < -127 ? -127 : v;
        q[i] = (int8_t)v;
    }
}

static void kern_quantize_row(int8_t *q, float *scale, const float *x, size_t n)
{
    const int32_t infinity = 0x7f800000, nan = 0x7fc00000, largest = largest_magnitude(x, n);
    float s = 0.0f;

    if (largest < infinity) {
        memcpy(&s, &largest, sizeof s);
        s = s / 127.0f > 0.0f ? s / 127.0f : 1.0f;
        quantize_finite(q, x, s, n);
    } else {
        memcpy(&s, &nan, sizeof s);
        memset(q, 0, n);
    }
    for (size_t i = n; i % 4 != 0; i++) q[i] = 0;
    *scale = s;
}

/* --- products ---------------------------------------------------------------------------------------- */

#if defined(NN_VEC)
#include "nn/kern_vec_i8.h"

enum { I8_PARTS = NN_PANEL / I8_VEC }; /* vectors of a panel */

typedef struct {
    const int8_t *a, *w;
    const float *a_scale, *w_scale;
    const int32_t *w_sum;
    size_t lda, K, cols;
} i8_work;

typedef void (*i8_tile_fn)(float *c, size_t ldc, const i8_work *t);

/* R rows by P panels, as kern_tile.h has them: sums in registers over all of K, each vector of weights loaded once for
 * R rows, each four activations for P panels, straight from where A lies.
 * WHY the pragma: gcc 12 otherwise unrolls these loops too late and keeps the sums in memory. */
#if defined(__GNUC__) && !defined(__clang__)
#define I8_UNROLL _Pragma("GCC unroll 16")
#else
#define I8_UNROLL
#endif
#define I8_TILE(R, P)                                                                                    \
    static void i8_tile_##R##_##P(float *restrict c, size_t ldc, const i8_work *t)                        \
    {                                                                                                    \
        const int8_t *restrict a = t->a, *restrict w = t->w;                                              \
        const size_t lda = t->lda, panel = t->K * NN_PANEL, last = ((P) - 1) * NN_PANEL;                  \
        i8_vec acc[R][(P) * I8_PARTS];                                                                   \
                                                                                                         \
        I8_UNROLL for (size_t j = 0; j < (P) * I8_PARTS; j++)                                            \
            I8_UNROLL for (size_t i = 0; i < (R); i++) acc[i][j] = i8_start(t->w_sum + j * I8_VEC);       \
        for (size_t k = t->K; k > 0; k -= 4, a += 4, w += I8_STEP) {                                      \
            i8_vec w_k[(P) * I8_PARTS];                                                                  \
            I8_UNROLL for (size_t j = 0; j < (P) * I8_PARTS; j++)                                        \
                w_k[j] = i8_load(w + j / I8_PARTS * panel + j % I8_PARTS * I8_VEC * 4);                   \
            I8_UNROLL for (size_t i = 0; i < (R); i++) {                                                 \
                const i8_vec a_i = i8_all(a + i * lda);                                                  \
                I8_UNROLL for (size_t j = 0; j < (P) * I8_PARTS; j++) acc[i][j] = i8_dot(acc[i][j], a_i, w_k[j]); \
            }                                                                                            \
        }                                                                                                \
        I8_UNROLL for (size_t i = 0; i < (R); i++) {                                                     \
            float edge[NN_PANEL] = {0};                                                                  \
            I8_UNROLL for (size_t j = 0; j < (P) * I8_PARTS; j++) {                                      \
                const size_t n = j * I8_VEC;                                                             \
                float *out = n >= last && t->cols < last + NN_PANEL ? edge + (n - last) : c + i * ldc + n; \
                i8_store(out, acc[i][j], t->a_scale[i], t->w_scale + n);                                 \
            }                                                                                            \
            if (t->cols < last + NN_PANEL) memcpy(c + i * ldc + last, edge, (t->cols - last) * sizeof *c); \
        }                                                                                                \
    }

#if defined(__AVX512F__)
/* 6 x 64 is 24 of 32 registers; four loads of weights and six of activations for 24 products. 95 to 100% of the peak
 * from 4 rows on; 12 x 32 and 8 x 48 gave 90 to 97. */
enum { I8_ROWS = 6, I8_PANELS = 4 };
I8_TILE(1, 1) I8_TILE(2, 1) I8_TILE(3, 1) I8_TILE(4, 1) I8_TILE(5, 1) I8_TILE(6, 1)
I8_TILE(1, 2) I8_TILE(2, 2) I8_TILE(3, 2) I8_TILE(4, 2) I8_TILE(5, 2) I8_TILE(6, 2)
I8_TILE(1, 3) I8_TILE(2, 3) I8_TILE(3, 3) I8_TILE(4, 3) I8_TILE(5, 3) I8_TILE(6, 3)
I8_TILE(1, 4) I8_TILE(2, 4) I8_TILE(3, 4) I8_TILE(4, 4) I8_TILE(5, 4) I8_TILE(6, 4)
static const i8_tile_fn i8_tiles[I8_PANELS][I8_ROWS] = {
    {i8_tile_1_1, i8_tile_2_1, i8_tile_3_1, i8_tile_4_1, i8_tile_5_1, i8_tile_6_1},
    {i8_tile_1_2, i8_tile_2_2, i8_tile_3_2, i8_tile_4_2, i8_tile_5_2, i8_tile_6_2},
    {i8_tile_1_3, i8_tile_2_3, i8_tile_3_3, i8_tile_4_3, i8_tile_5_3, i8_tile_6_3},
    {i8_tile_1_4, i8_tile_2_4, i8_tile_3_4, i8_tile_4_4, i8_tile_5_4, i8_tile_6_4},
};
#else
/* AVX2: 8 of 16 registers are sums, the rest is what one product takes. NEON: 16 of 32. */
enum { I8_ROWS = 4, I8_PANELS = 1 };
I8_TILE(1, 1) I8_TILE(2, 1) I8_TILE(3, 1) I8_TILE(4, 1)
static const i8_tile_fn i8_tiles[I8_PANELS][I8_ROWS] = {{i8_tile_1_1, i8_tile_2_1, i8_tile_3_1, i8_tile_4_1}};
#endif

/* Rows of A whose bytes stay in the second cache while all panels pass: 2048 rows of 2816 go from 389 to 431 Gop/s. */
enum { I8_BLOCK = 1 << 18 };

/* Panels outside, rows inside: a panel is read once, A from the second cache. Rows are dealt out evenly: 8 are 4 + 4,
 * not 6 + 2. */
static void i8_block(float *c, size_t ldc, i8_work t, size_t M, size_t N)
{
    const int8_t *a = t.a;
    const float *a_scale = t.a_scale;

    for (size_t n = 0; n < N; n += t.cols) {
        t.cols = N - n < I8_PANELS * NN_PANEL ? N - n : (size_t)I8_PANELS * NN_PANEL;
        for (size_t m = 0, rows = 0; m < M; m += rows) {
            const size_t tiles = (M - m + I8_ROWS - 1) / I8_ROWS;
            rows = (M - m + tiles - 1) / tiles;
            t.a = a + m * t.lda;
            t.a_scale = a_scale + m;
            i8_tiles[(t.cols - 1) / NN_PANEL][rows - 1](c + m * ldc + n, ldc, &t);
        }
        t.w += t.cols * t.K; /* the last step may be short: nothing follows */
        t.w_scale += t.cols;
        t.w_sum += t.cols;
    }
}

static void kern_gemm_i8(float *c, size_t ldc, const int8_t *a, size_t lda, const float *a_scale, const int8_t *w,
                         const float *w_scale, const int32_t *w_sum, size_t M, size_t N, size_t K)
{
    const size_t fit = I8_BLOCK / (lda + 1), block = fit < I8_ROWS ? (size_t)I8_ROWS : fit / I8_ROWS * I8_ROWS;

    for (size_t m = 0; m < M; m += block) {
        const i8_work t = {a + m * lda, w, a_scale + m, w_scale, w_sum, lda, K, 0};
        i8_block(c + m * ldc, ldc, t, M - m < block ? M - m : block, N);
    }
}

/* A product with ones, and the smallest byte. */
static bool kern_sums_i8(int32_t *w_sum, const int8_t *w, size_t N, size_t K)
{
    const i8_vec ones = i8_ones();
    i8_vec least = ones;
    int8_t bytes[sizeof least], smallest = 0;

    for (size_t n = 0; n < N; n += NN_PANEL) {
        i8_vec acc[I8_PARTS];
        for (size_t j = 0; j < I8_PARTS; j++) acc[j] = ones - ones;
        for (size_t k = 0; k < K; k += 4, w += I8_STEP)
            for (size_t j = 0; j < I8_PARTS; j++) {
                const i8_vec w_k = i8_load(w + j * I8_VEC * 4);
                acc[j] = i8_dot(acc[j], ones, w_k);
                least = i8_least(least, w_k);
            }
        for (size_t j = 0; j < I8_PARTS; j++) i8_put(w_sum + n + j * I8_VEC, acc[j]);
    }
    i8_put(bytes, least);
    for (size_t i = 0; i < sizeof bytes; i++) smallest = bytes[i] < smallest ? bytes[i] : smallest;
    return smallest > -128;
}

#else /* the specification */

static void kern_gemm_i8(float *c, size_t ldc, const int8_t *a, size_t lda, const float *a_scale, const int8_t *w,
                         const float *w_scale, const int32_t *w_sum, size_t M, size_t N, size_t K)
{
    (void)w_sum;
    for (size_t n = 0; n < N; n += NN_PANEL, w += K * NN_PANEL)
        for (size_t m = 0; m < M; m++) {
            const size_t cols = N - n < NN_PANEL ? N - n : (size_t)NN_PANEL;
            int32_t sum[NN_PANEL] = {0};

            for (size_t k = 0; k < K; k += 4)
                for (size_t j = 0; j < NN_PANEL; j++)
                    for (size_t i = 0; i < 4; i++)
                        sum[j] += a[m * lda + k + i] * w[k * NN_PANEL + 4 * j + i];
            for (size_t j = 0; j < cols; j++)
                c[m * ldc + n + j] = (float)sum[j] * (a_scale[m] * w_scale[n + j]);
        }
}

static bool kern_sums_i8(int32_t *w_sum, const int8_t *w, size_t N, size_t K)
{
    int8_t least = 0;

    for (size_t i = 0; i < N * K; i++) least = w[i] < least ? w[i] : least;
    for (size_t n = 0; n < N; n += NN_PANEL, w += K * NN_PANEL) {
        int32_t sum[NN_PANEL] = {0};
        for (size_t k = 0; k < K; k += 4)
            for (size_t j = 0; j < NN_PANEL; j++)
                for (size_t i = 0; i < 4; i++) sum[j] += w[k * NN_PANEL + 4 * j + i];
        for (size_t j = 0; j < NN_PANEL; j++) w_sum[n + j] = sum[j];
    }
    return least > -128;
}
#endif
#endif
