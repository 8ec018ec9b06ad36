/* kern_pack.h - copies of B in the order in which tiles read them.
 *
 * Reads: kern_vec.h. Included by kern_gemm.h only.   Read next: kern_gemm.h.
 * Panels are [ceil(N/16)][K][16], columns beyond N zero. Cycles a float, in the second cache: 0.27 for rows, where a
 * plain copy of lines is no faster, 0.31 for columns (16 x 16 squares; 8 x 8 with AVX2).
 */
#ifndef NN_KERN_PACK_H
#define NN_KERN_PACK_H
#include "nn/kern.h"
#include <string.h>

enum { ROW_PANELS = 4 }; /* panels filled at once from rows of B */

/* Any strides, any number of columns. */
static void pack_any(float *restrict out, const float *restrict b, size_t b_rs, size_t b_cs, size_t cols, size_t K)
{
    for (size_t k = 0; k < K; k++)
        for (size_t j = 0; j < NN_PANEL; j++) out[k * NN_PANEL + j] = j < cols ? b[k * b_rs + j * b_cs] : 0.0f;
}

/* B's columns lie in memory (A B^T): squares are transposed in registers. */
static void pack_columns(float *restrict out, const float *restrict b, size_t b_cs, size_t K)
{
    size_t k = 0;

#if defined(NN_VEC)
    for (; k + NN_VEC <= K; k += NN_VEC)
        for (size_t j = 0; j < NN_PANEL; j += NN_VEC)
            vec_transpose(out + k * NN_PANEL + j, NN_PANEL, b + j * b_cs + k, b_cs);
#endif
    pack_any(out + k * NN_PANEL, b + k, 1, b_cs, NN_PANEL, K - k);
}

/* B's rows lie in memory (A B): whole panels, as many as have room side by side. */
static void pack_rows(float *restrict out, size_t panel_k, const float *restrict b, size_t b_rs, size_t panels,
                      size_t K)
{
    for (size_t k = 0; k < K; k++)
        for (size_t j = 0; j < panels; j++)
            memcpy(out + (j * panel_k + k) * NN_PANEL, b + k * b_rs + j * NN_PANEL, NN_PANEL * sizeof *out);
}

/* Panels lie panel_k * 16 floats apart. WHY rows of several panels: one line of a row, then one a page further on, is
 * slower than four lines that lie together: 0.62 against 0.42 cycles a float at K = N = 1024. */
static void pack_panels(float *restrict out, size_t panel_k, const float *restrict b, size_t b_rs, size_t b_cs,
                        size_t N, size_t K)
{
    size_t n = 0;

    if (b_cs == 1)
        for (size_t panels = 0; n + NN_PANEL <= N; n += panels * NN_PANEL) {
            panels = (N - n) / NN_PANEL;
            panels = panels < ROW_PANELS ? panels : ROW_PANELS;
            pack_rows(out + n * panel_k, panel_k, b + n, b_rs, panels, K);
        }
    for (; n < N; n += NN_PANEL) {
        const float *b_n = b + n * b_cs;
        if (N - n < NN_PANEL) pack_any(out + n * panel_k, b_n, b_rs, b_cs, N - n, K);
        else if (b_rs == 1) pack_columns(out + n * panel_k, b_n, b_cs, K);
        else pack_any(out + n * panel_k, b_n, b_rs, b_cs, NN_PANEL, K);
    }
}

static void kern_pack(float *restrict panels, const float *restrict b, size_t b_rs, size_t b_cs, size_t N, size_t K)
{
    pack_panels(panels, K, b, b_rs, b_cs, N, K);
}
#endif
