/* kern_rows.h - kernels of rows: reductions, sums, norms, rotations.
 *
 * Reads: kern.h. Included by kern_body.h only, after NN_FMAF is defined.   Read next: kern_softmax.h.
 */
#ifndef NN_KERN_ROWS_H
#define NN_KERN_ROWS_H
#include "nn/kern.h"
#include <math.h>

/* Before a loop over the 16 lanes. WHY: gcc 12 unrolls it before it looks for vectors and then finds none. It changes
 * no order, clang needs no such hint. */
#if defined(__GNUC__) && !defined(__clang__)
#define LANES_LOOP _Pragma("GCC unroll 1")
#else
#define LANES_LOOP
#endif

/* --- reductions: 16 lanes by index, then 8-4-2-1 ------------------------------------------- */

static float fold(float lane[NN_LANES])
{
    for (size_t j = 0; j < 8; j++) lane[j] += lane[j + 8];
    for (size_t j = 0; j < 4; j++) lane[j] += lane[j + 4];
    for (size_t j = 0; j < 2; j++) lane[j] += lane[j + 2];
    return lane[0] + lane[1];
}

/* WHY the copy: the tail indexes its lanes by a variable. With one array for both loops clang 14 gives up the vector
 * registers of the first: 0.24 instead of 0.05 ns an element. */
static float kern_dot(const float *a, const float *b, size_t n)
{
    float acc[NN_LANES] = {0}, lane[NN_LANES];

    for (; n >= NN_LANES; n -= NN_LANES, a += NN_LANES, b += NN_LANES)
        for (size_t j = 0; j < NN_LANES; j++) acc[j] = NN_FMAF(a[j], b[j], acc[j]);
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
    for (size_t j = 0; j < n; j++) lane[j] = NN_FMAF(a[j], b[j], lane[j]);
    return fold(lane);
}

static float kern_dot3(const float *a, const float *b, const float *c, size_t n)
{
    float acc[NN_LANES] = {0}, lane[NN_LANES];

    for (; n >= NN_LANES; n -= NN_LANES, a += NN_LANES, b += NN_LANES, c += NN_LANES)
        for (size_t j = 0; j < NN_LANES; j++) acc[j] = NN_FMAF(a[j] * b[j], c[j], acc[j]);
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
    for (size_t j = 0; j < n; j++) lane[j] = NN_FMAF(a[j] * b[j], c[j], lane[j]);
    return fold(lane);
}

/* fmaf(a, 1, lane) is a + lane: one rounding either way. */
static float kern_sum(const float *a, size_t n)
{
    float acc[NN_LANES] = {0}, lane[NN_LANES];

    for (; n >= NN_LANES; n -= NN_LANES, a += NN_LANES)
        for (size_t j = 0; j < NN_LANES; j++) acc[j] += a[j];
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
    for (size_t j = 0; j < n; j++) lane[j] += a[j];
    return fold(lane);
}

/* The larger of each lane and the one w behind it, w = 8, 4, 2, 1. */
static float fold_max(float lane[NN_LANES])
{
    for (size_t j = 0; j < 8; j++) lane[j] = lane[j + 8] > lane[j] ? lane[j + 8] : lane[j];
    for (size_t j = 0; j < 4; j++) lane[j] = lane[j + 4] > lane[j] ? lane[j + 4] : lane[j];
    for (size_t j = 0; j < 2; j++) lane[j] = lane[j + 2] > lane[j] ? lane[j + 2] : lane[j];
    return lane[1] > lane[0] ? lane[1] : lane[0];
}

/* Lanes here too, so that the sign of a zero cannot depend on the table. Every lane starts from a[0]; a later NaN is
 * never larger. The loop's pragma: 0.04 instead of 0.20 ns an element with gcc 12. */
static float kern_max(const float *a, size_t n)
{
    float acc[NN_LANES], lane[NN_LANES];

    for (size_t j = 0; j < NN_LANES; j++) acc[j] = a[0];
    for (; n >= NN_LANES; n -= NN_LANES, a += NN_LANES)
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) acc[j] = a[j] > acc[j] ? a[j] : acc[j];
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
    for (size_t j = 0; j < n; j++) lane[j] = a[j] > lane[j] ? a[j] : lane[j];
    return fold_max(lane);
}

/* --- vectors --------------------------------------------------------------------------------- */

static void kern_fill(float *y, float value, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = value;
}

static void kern_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void kern_axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = NN_FMAF(a, x[i], y[i]);
}

static void kern_scale(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] *= a;
}

/* --- RMSNorm ----------------------------------------------------------------------------------- */

/* sum = x + add, and its squares' sum in lanes */
static float add_square(float *sum, const float *x, const float *add, size_t n)
{
    float acc[NN_LANES] = {0}, lane[NN_LANES];

    for (; n >= NN_LANES; n -= NN_LANES, sum += NN_LANES, x += NN_LANES, add += NN_LANES) {
        float s[NN_LANES];
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) s[j] = x[j] + add[j];
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) acc[j] = NN_FMAF(s[j], s[j], acc[j]);
        for (size_t j = 0; j < NN_LANES; j++) sum[j] = s[j];
    }
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
    for (size_t j = 0; j < n; j++) {
        const float s = x[j] + add[j];
        sum[j] = s;
        lane[j] = NN_FMAF(s, s, lane[j]);
    }
    return fold(lane);
}

static void kern_rmsnorm_rows(float *y, float *rstd, float *sum, const float *x, const float *add, const float *w,
                              float eps, size_t R, size_t n)
{
    for (size_t r = 0; r < R; r++, y += n, x += n) {
        const float square = add ? add_square(sum, x, add, n) : kern_dot(x, x, n);
        const float s = 1.0f / sqrtf(square / (float)n + eps);
        const float *from = add ? sum : x;

        for (size_t i = 0; i < n; i++) y[i] = from[i] * s * w[i];
        if (rstd) rstd[r] = s;
        if (!add) continue;
        add += n;
        sum += n;
    }
}

static void kern_rmsnorm_bwd_row(float *dx, const float *dy, const float *x, const float *w, float s, float pull,
                                 size_t n)
{
    for (size_t i = 0; i < n; i++) dx[i] = NN_FMAF(s, NN_FMAF(-x[i], pull, w[i] * dy[i]), dx[i]);
}

static void kern_rmsnorm_dw_row(float *dw, const float *dy, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i++) dw[i] = NN_FMAF(x[i] * s, dy[i], dw[i]);
}

/* --- rotary positions: (a, b) -> (a cos - b sin, b cos + a sin) --------------------------------- */

static void rope_half(float *x, const float *cos_t, const float *sin_t, size_t pairs, float direction)
{
    for (size_t i = 0; i < pairs; i++) {
        const float a = x[i], b = x[i + pairs], s = direction * sin_t[i];
        x[i] = NN_FMAF(a, cos_t[i], -(b * s));
        x[i + pairs] = NN_FMAF(b, cos_t[i], a * s);
    }
}

static void rope_pairs(float *x, const float *cos_t, const float *sin_t, size_t pairs, float direction)
{
    for (size_t i = 0; i < pairs; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], s = direction * sin_t[i];
        x[2 * i] = NN_FMAF(a, cos_t[i], -(b * s));
        x[2 * i + 1] = NN_FMAF(b, cos_t[i], a * s);
    }
}

static void kern_rope_row(float *x, const float *cos_t, const float *sin_t, size_t heads, size_t D, bool half,
                          float direction)
{
    for (size_t h = 0; h < heads; h++, x += D)
        if (half) rope_half(x, cos_t, sin_t, D / 2, direction);
        else rope_pairs(x, cos_t, sin_t, D / 2, direction);
}
#endif
