/* kern_softmax.h - kernels with an exponential: softmax, cross-entropy, SwiGLU.
 *
 * Reads: kern.h, kern_rows.h, expf_body.h. Included by kern_body.h only.   Read next: kern_body.h.
 * Softmax is three passes over a row: scale and maximum, exponential and sum, times 1/sum. A row's last, partial block
 * of 16 is filled up with -inf: never larger than a maximum that starts from the row's first value, and exp of it adds
 * +0 to a lane, which is the lane (a sum of exps is never -0). So no loop has a remainder.
 */
#ifndef NN_KERN_SOFTMAX_H
#define NN_KERN_SOFTMAX_H
#include "nn/expf_body.h"
#include "nn/kern.h"
#include "nn/kern_rows.h"
#include "nn/mathf.h"
#include <math.h>
#include <string.h>

static size_t whole_blocks(size_t n)
{
    return (n + NN_LANES - 1) / NN_LANES * NN_LANES;
}

/* p *= scale; lanes of the maximum go on. n a multiple of 16, here and in exp_sum. */
static inline void scale_max(float lane[NN_LANES], float *p, float scale, size_t n)
{
    float acc[NN_LANES];

    for (size_t j = 0; j < NN_LANES; j++) acc[j] = lane[j];
    for (size_t i = 0; i < n; i += NN_LANES)
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) {
            const float v = p[i + j] * scale;
            p[i + j] = v;
            acc[j] = v > acc[j] ? v : acc[j];
        }
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
}

/* p = exp(p - m); lanes of the sum go on. */
static inline void exp_sum(float lane[NN_LANES], float *p, float m, size_t n)
{
    float acc[NN_LANES];

    for (size_t j = 0; j < NN_LANES; j++) acc[j] = lane[j];
    for (size_t i = 0; i < n; i += NN_LANES)
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) {
            const float v = nn_expf_body(p[i + j] - m);
            p[i + j] = v;
            acc[j] += v;
        }
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = acc[j];
}

/* Lanes of the maximum before anything was looked at: every lane starts from the first value. */
static void start_max(float lane[NN_LANES], float first)
{
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = first;
}

/* p = exp(scale x - m); the maximum goes to *m. A row that must not be written behind: the last block is done aside. */
static float exp_row(float *p, const float *x, float scale, size_t n, float *m)
{
    const size_t whole = n / NN_LANES * NN_LANES, rest = n - whole;
    float tail[NN_LANES], lane[NN_LANES], sum[NN_LANES] = {0};

    if (p != x) memcpy(p, x, n * sizeof *p);
    for (size_t j = 0; j < NN_LANES; j++) tail[j] = -HUGE_VALF;
    for (size_t j = 0; j < rest; j++) tail[j] = p[whole + j];
    start_max(lane, p[0] * scale);
    scale_max(lane, p, scale, whole);
    scale_max(lane, tail, scale, NN_LANES);
    *m = fold_max(lane);
    exp_sum(sum, p, *m, whole);
    exp_sum(sum, tail, *m, NN_LANES);
    for (size_t j = 0; j < rest; j++) p[whole + j] = tail[j];
    return fold(sum);
}

static void kern_softmax_row(float *p, const float *x, float scale, size_t n, float *log_sum_exp)
{
    float m = 0.0f;
    const float sum = exp_row(p, x, scale, n, &m);

    kern_scale(p, 1.0f / sum, n);
    if (log_sum_exp) *log_sum_exp = m + nn_logf(sum);
}

/* Where a row that ends at n begins. */
static size_t row_begin(size_t n, size_t window)
{
    return n > window ? n - window : 0;
}

static size_t first_block(size_t begin)
{
    return begin / NN_LANES * NN_LANES;
}

/* The last block of a row of n: what lies behind the row becomes `value`. */
static void fill_block(float *row, size_t n, float value)
{
    float *last = row + n / NN_LANES * NN_LANES;
    const size_t rest = n % NN_LANES;

    if (rest > 0)
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) last[j] = j < rest ? last[j] : value;
}

/* The first block of a row that begins at `begin`: what lies before the row becomes `value`. */
static void fill_before(float *row, size_t begin, float value)
{
    float *block = row + first_block(begin);
    const size_t before = begin % NN_LANES;

    if (before > 0)
        LANES_LOOP for (size_t j = 0; j < NN_LANES; j++) block[j] = j < before ? value : block[j];
}

/* WHY pass by pass over eight rows: the folds and the division of one row take longer than its vectors, but do not wait
 * for those of the next. 44 instead of 61 ns for a row of 80 (gcc, avx512), 100 as one call of softmax_row.
 * Whole blocks before a row are left out: each would add +0 to every lane of a sum that is +0 there. */
static inline void strip_softmax(float *p, size_t ld, float scale, size_t rows, size_t n, size_t grow, size_t window)
{
    enum { TOGETHER = 8 };

    for (size_t first = 0; first < rows; first += TOGETHER, p += TOGETHER * ld, n += TOGETHER * grow) {
        const size_t count = rows - first < TOGETHER ? rows - first : (size_t)TOGETHER;
        float m[TOGETHER];

        for (size_t r = 0; r < count; r++) {
            float lane[NN_LANES], *row = p + r * ld;
            const size_t end = n + r * grow, begin = row_begin(end, window), skip = first_block(begin);
            start_max(lane, row[begin] * scale);
            fill_before(row, begin, -HUGE_VALF);
            fill_block(row, end, -HUGE_VALF);
            scale_max(lane, row + skip, scale, whole_blocks(end) - skip);
            m[r] = fold_max(lane);
        }
        for (size_t r = 0; r < count; r++) {
            const size_t skip = first_block(row_begin(n + r * grow, window));
            float lane[NN_LANES] = {0};
            exp_sum(lane, p + r * ld + skip, m[r], whole_blocks(n + r * grow) - skip);
            m[r] = 1.0f / fold(lane);
        }
        for (size_t r = 0; r < count; r++) {
            const size_t skip = first_block(row_begin(n + r * grow, window));
            kern_scale(p + r * ld + skip, m[r], whole_blocks(n + r * grow) - skip);
        }
    }
}

/* WHY two calls: of the one without a window the compiler leaves nothing but the rows. */
static void kern_softmax_rows(float *p, size_t ld, float scale, size_t rows, size_t n, size_t grow, size_t window)
{
    if (window >= n + rows * grow) strip_softmax(p, ld, scale, rows, n, grow, SIZE_MAX);
    else strip_softmax(p, ld, scale, rows, n, grow, window);
}

/* y = softmax(scale x):  dx = scale p (dp - sum p dp) */
static void kern_softmax_bwd_row(float *dx, const float *p, const float *dp, float scale, size_t n)
{
    const float dot = kern_dot(p, dp, n);

    if (dx != dp) memcpy(dx, dp, n * sizeof *dx);
    for (size_t i = 0; i < n; i++) dx[i] = scale * p[i] * (dx[i] - dot);
}

/* Around a row p is 0; with dp = -0 there the product is -0, which changes no lane. */
static inline void strip_softmax_bwd(float *dp, const float *p, size_t ld, float scale, size_t rows, size_t n,
                                     size_t grow, size_t window)
{
    for (size_t r = 0; r < rows; r++, dp += ld, p += ld, n += grow) {
        const size_t begin = row_begin(n, window), skip = first_block(begin);

        fill_before(dp, begin, -0.0f);
        fill_block(dp, n, -0.0f);
        const float dot = kern_dot(p + skip, dp + skip, whole_blocks(n) - skip);
        for (size_t i = skip; i < whole_blocks(n); i++) dp[i] = scale * p[i] * (dp[i] - dot);
    }
}

static void kern_softmax_bwd_rows(float *dp, const float *p, size_t ld, float scale, size_t rows, size_t n, size_t grow,
                                  size_t window)
{
    if (window >= n + rows * grow) strip_softmax_bwd(dp, p, ld, scale, rows, n, grow, SIZE_MAX);
    else strip_softmax_bwd(dp, p, ld, scale, rows, n, grow, window);
}

static float kern_xent_row(float *dz, const float *z, size_t y, float weight, size_t n)
{
    const float z_y = z[y]; /* read first: dz may be z */
    float m = 0.0f;
    const float sum = exp_row(dz, z, 1.0f, n, &m), inverse = 1.0f / sum, e_y = dz[y];

    for (size_t i = 0; i < n; i++) dz[i] = dz[i] * inverse * weight;
    dz[y] = (e_y * inverse - 1.0f) * weight;
    return z_y - (m + nn_logf(sum));
}

/* --- SwiGLU -------------------------------------------------------------------------------------- */

static void kern_swiglu_row(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = gate[i] / (1.0f + nn_expf_body(-gate[i])) * up[i];
}

/* silu(g) = g t with t = 1 / (1 + exp(-g)):  silu'(g) = t (1 + g (1 - t)) */
static void kern_swiglu_bwd_row(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                                size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gate[i], d = dy[i], u = up[i];
        const float denominator = 1.0f + nn_expf_body(-g);
        const float t = 1.0f / denominator;
        dup[i] = d * (g / denominator);
        dgate[i] = d * u * (t * NN_FMAF(g, 1.0f - t, 1.0f));
    }
}
#endif
