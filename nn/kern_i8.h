/* kern_i8.h - int8 rows and products of a kernel table.
 *
 * Reads: kern.h. Included by kern_body.h only.   Read next: op_products.c.
 * Sums of int8 products are exact in int32 for K up to 2^31 / (255 * 127) = 66,311, so every order and every
 * instruction gives the same number; only the one conversion and the two multiplications round.
 */
#ifndef NN_KERN_I8_H
#define NN_KERN_I8_H
#include "nn/kern.h"
#include <math.h>

static void kern_quantize_row(int8_t *q, float *scale, const float *x, size_t n)
{
    float largest = 0.0f;

    for (size_t i = 0; i < n; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    const float s = largest > 0.0f ? largest / 127.0f : 1.0f;
    for (size_t i = 0; i < n; i++) {
        float v = rintf(x[i] / s);
        v = v > 127.0f ? 127.0f : v;
        v = v < -127.0f ? -127.0f : v;
        q[i] = (int8_t)v;
    }
    for (size_t i = n; i % 4 != 0; i++) q[i] = 0;
    *scale = s;
}

static void kern_gemm_i8(float *c, size_t ldc, const int8_t *a, size_t lda, const float *a_scale, const int8_t *w,
                         const float *w_scale, const int32_t *w_sum, size_t M, size_t N, size_t K)
{
    (void)w_sum;
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            const int8_t *w_n = w + n / NN_PANEL * K * NN_PANEL + n % NN_PANEL * 4;
            int32_t sum = 0;

            for (size_t k = 0; k < K; k++) sum += a[m * lda + k] * w_n[k / 4 * 4 * NN_PANEL + k % 4];
            c[m * ldc + n] = (float)sum * (a_scale[m] * w_scale[n]);
        }
}

static bool kern_sums_i8(int32_t *w_sum, const int8_t *w, size_t N, size_t K)
{
    int8_t least = 0;

    for (size_t i = 0; i < N * K; i++) least = w[i] < least ? w[i] : least;
    for (size_t n = 0; n < N; n++) w_sum[n] = 0;
    for (size_t i = 0; i < N * K; i++) w_sum[i / (NN_PANEL * K) * NN_PANEL + i / 4 % NN_PANEL] += w[i];
    return least > -128;
}
#endif
