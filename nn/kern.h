/* kern.h - the table of kernels: every loop that contains a fused multiply-add, an exp or a reduction.
 *
 * Reads: err.h, dtype.h.   Read next: kern_body.h (the kernels, once), kern_pick.c (which table this CPU gets), ops.h.
 * The contract, in every table (docs/design.md, "The fast kernel gives the bytes of the textbook loop"):
 *   products    each output element is ONE float accumulator, started from 0 (or from C when accumulating);
 *               products are added in ascending k, each by one fused multiply-add. Tiles split M and N, never K.
 *   reductions  lane[i % 16] = fmaf(a_i, b_i, lane[i % 16]), i from the start of the row; then the fold 8-4-2-1:
 *               lane[j] += lane[j + 8] for j < 8, then + 4, + 2, + 1.
 *   the rest    element by element, in the expression written in kern_body.h.
 * So all tables, vector widths, thread counts and compilers give the same bytes.
 * Tables: base (exact fmaf emulated in double arithmetic: right, not fast), avx2, avx512, neon. NN_KERNELS=name forces one.
 */
#ifndef NN_KERN_H
#define NN_KERN_H
#include "nn/dtype.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NN_LANES 16u
#define NN_PANEL 16u /* columns of a packed panel, fp32 and int8 */

typedef struct {
    float lr, beta1, beta2, eps, weight_decay;
    float correct1, correct2; /* 1 - beta1^t, 1 - beta2^t: running products kept by the optimiser */
    float grad_scale;         /* the clip factor, applied to g first */
} nn_adamw_step;

/* Row i takes k from above(first + i) to min(above(end + i), K), where above(z) = max(z, origin) - origin: both ends
 * are 0 at first, then rise by one a row. first <= end. */
typedef struct {
    size_t first, end, origin;
} nn_band;

typedef struct nn_kern {
    const char *name;

    /* C[M,N] = A[M,K] B[K,N] (or += when accumulate). Element strides: A[m][k] = a[m*a_rs + k*a_cs] and so on, so
     * that the three forms of training (A B, A B^T, A^T B) are one kernel. ldc is C's row stride. One thread; scratch
     * holds gemm_scratch floats. */
    void (*gemm)(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *b, size_t b_rs,
                 size_t b_cs, size_t M, size_t N, size_t K, bool accumulate, float *scratch);
    size_t gemm_scratch; /* floats */

    /* The same product over a B that was packed before: panels [ceil(N/16)][K][16], one layout in every table, columns
     * beyond N zero. panel_k is the K that pack was told (the step between panels is panel_k * 16 floats), so that a
     * product over k in [k0, k0 + K) of a taller B passes panels + k0 * 16, and one over columns from 16 j on passes
     * panels + j * panel_k * 16. */
    void (*pack)(float *panels, const float *b, size_t b_rs, size_t b_cs, size_t N, size_t K);
    void (*gemm_packed)(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *panels,
                        size_t panel_k, size_t M, size_t N, size_t K, bool accumulate, float *scratch);

    /* A product of which each row of C has its own run of k, those of nn_band: attention's triangle, or its band. What
     * lies outside a row's run is not read. B is packed, as above. */
    void (*gemm_band)(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *panels,
                      size_t panel_k, size_t M, size_t N, size_t K, nn_band band, bool accumulate, float *scratch);

    /* Weights in a file's own type (dtype.h): row after row of nn_dtype_bytes(type, K) bytes, K whole blocks.
     * gemm_stored: C[M,N] = A[M,K] w^T, the bits of gemm_packed over pack_stored's panels, which are those of pack over
     * the rows' floats. A's rows lie lda floats apart. Row n begins at w + n * nn_dtype_bytes(type, K), so any n may be
     * the start of a call. scratch as for gemm. */
    void (*gemm_stored)(float *c, size_t ldc, const float *a, size_t lda, nn_dtype type, const unsigned char *w, size_t M,
                        size_t N, size_t K, float *scratch);
    void (*pack_stored)(float *panels, nn_dtype type, const unsigned char *w, size_t N, size_t K, float *scratch);
    void (*from_stored)(float *y, nn_dtype type, const unsigned char *x, size_t n); /* nn_dtype_to_f32 */

    /* int8 (docs/design.md, "int8"). A row of activations: *scale = max|x| / 127 (1 when that is 0), q = rint(x / scale)
     * clamped to +-127; q[n .. n rounded up to 4) = 0. A row with an infinity or a NaN: *scale = the NaN 0x7fc00000, all
     * q = 0, so that its products are NaN. */
    void (*quantize_row)(int8_t *q, float *scale, const float *x, size_t n);
    /* C[m][n] = (float)(sum over k of a[m][k] w[n][k]) * (a_scale[m] * w_scale[n]); the sum is exact in int32.
     * a [M][lda], lda and K multiples of 4, zero-padded. w: panels [ceil(N/16)][K/4][16][4], rows beyond N zero, no
     * -128 anywhere. w_sum[n] = sum over k of w[n][k], for tables whose instruction wants unsigned activations; N rounded
     * up to 16 entries in w_scale and w_sum. Any n0 that is a multiple of 16 may be the start of a call. */
    void (*gemm_i8)(float *c, size_t ldc, const int8_t *a, size_t lda, const float *a_scale, const int8_t *w,
                    const float *w_scale, const int32_t *w_sum, size_t M, size_t N, size_t K);
    /* w_sum of such panels, N and K rounded up already; false when a byte is -128. */
    bool (*sums_i8)(int32_t *w_sum, const int8_t *w, size_t N, size_t K);

    float (*dot)(const float *a, const float *b, size_t n);                  /* 16 lanes */
    float (*dot3)(const float *a, const float *b, const float *c, size_t n); /* sum fmaf(a*b, c, lane) */
    float (*sum)(const float *a, size_t n);                                  /* 16 lanes, fmaf(a, 1, lane) */
    float (*max)(const float *a, size_t n);                                  /* n > 0 */

    void (*fill)(float *y, float value, size_t n);
    void (*add)(float *y, const float *x, size_t n);           /* y += x */
    void (*axpy)(float *y, float a, const float *x, size_t n); /* y = fmaf(a, x, y) */
    void (*scale)(float *y, float a, size_t n);                /* y *= a */

    /* RMSNorm of R rows: s = 1/sqrt(dot(x, x)/n + eps), y_i = (x_i * s) * w_i; rstd_r = s unless NULL. y == x is fine.
     * With add (not NULL) the rows are sum = x + add, which is kept; sum == x is fine. */
    void (*rmsnorm_rows)(float *y, float *rstd, float *sum, const float *x, const float *add, const float *w, float eps,
                         size_t R, size_t n);
    /* dx_i = fmaf(s, fmaf(-x_i, pull, w_i * dy_i), dx_i), pull = s^2/n sum w dy x */
    void (*rmsnorm_bwd_row)(float *dx, const float *dy, const float *x, const float *w, float s, float pull,
                            size_t n);
    /* dw_i = fmaf(x_i * s, dy_i, dw_i) */
    void (*rmsnorm_dw_row)(float *dw, const float *dy, const float *x, float s, size_t n);

    /* p_i = exp(scale * x_i - m) / sum with m = max(scale * x), the sum in 16 lanes and one division 1/sum;
     * *log_sum_exp (may be NULL) = m + log(sum). p == x is fine. n > 0. */
    void (*softmax_row)(float *p, const float *x, float scale, size_t n, float *log_sum_exp);
    /* dx_i = scale * p_i * (dp_i - dot(p, dp)); dx == dp is fine */
    void (*softmax_bwd_row)(float *dx, const float *p, const float *dp, float scale, size_t n);

    /* The same for the rows of a strip, ld floats apart, of which row r ends after n + r * grow values and begins
     * `window` values before that, or at 0 (SIZE_MAX: always). Lanes keep counting from 0. Strips have room: in the
     * blocks of 16 where a row begins and ends softmax_rows writes zeros around it and softmax_bwd_rows reads them
     * around p's. scale > 0, window > 0. */
    void (*softmax_rows)(float *p, size_t ld, float scale, size_t rows, size_t n, size_t grow, size_t window);
    void (*softmax_bwd_rows)(float *dp, const float *p, size_t ld, float scale, size_t rows, size_t n, size_t grow,
                             size_t window);
    /* dz_i = (softmax(z)_i - [i == y]) * weight; returns log softmax(z)_y as z_y - (m + log(sum)). dz == z is fine. */
    float (*xent_row)(float *dz, const float *z, size_t y, float weight, size_t n);

    /* y = silu(gate) * up; silu(g) = g / (1 + exp(-g)) */
    void (*swiglu_row)(float *y, const float *gate, const float *up, size_t n);
    void (*swiglu_bwd_row)(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                           size_t n); /* overwrites */

    /* Rotates the D values of each head in place by cos[D/2], sin[D/2]; half: pairs (i, i + D/2), else (2i, 2i + 1).
     * direction +1 forward, -1 backward (the transpose). */
    void (*rope_row)(float *x, const float *cos_t, const float *sin_t, size_t heads, size_t D, bool half,
                     float direction);

    void (*adamw_row)(float *w, float *m, float *v, const float *g, const nn_adamw_step *s, size_t n);

    void (*from_bf16)(float *y, const uint16_t *x, size_t n);
    void (*to_bf16)(uint16_t *y, const float *x, size_t n); /* round to nearest even */
    void (*from_f16)(float *y, const uint16_t *x, size_t n);
    void (*to_f16)(uint16_t *y, const float *x, size_t n);
} nn_kern;

/* The table named by `name`, or with NULL the one NN_KERNELS names, or the best for this CPU.
 * Unknown or unsupported: NN_USAGE with the names that would do. */
NN_CHECKED nn_status nn_kern_pick(const nn_kern **out, const char *name, nn_err *err);
/* All tables compiled in, in order; NULL past the end. *supported tells whether this CPU runs it. */
const nn_kern *nn_kern_at(size_t i, bool *supported);
#endif
