/* kern_causal.h - products of attention's triangle: each row of C has its own run of k.
 *
 * Reads: kern.h, kern_gemm.h (tiles). Included by kern_body.h only.   Read next: op_attn_tile.c.
 * What a tile's rows share of k is one tile; the steps that a row has alone, fewer than TILE_ROWS, are a tile of one
 * row that goes on from C. So no key that a row does not see enters its chain.
 */
#ifndef NN_KERN_CAUSAL_H
#define NN_KERN_CAUSAL_H
#include "nn/kern_gemm.h"

/* C's row i: k from 0 to n + i. */
static void kern_gemm_causal(float *c, size_t ldc, const float *a, size_t lda, const float *panels, size_t panel_k,
                             size_t M, size_t N, size_t n, bool accumulate, float *scratch)
{
    tile_work t = {.a_rs = lda, .a_cs = 1, .b_rs = NN_PANEL, .b_ps = panel_k * NN_PANEL};

    for (size_t m = 0, rows = 0; m < M; m += rows) {
        const size_t shared = n + m;

        rows = least(M - m, TILE_ROWS);
        t.a = a + m * lda;
        t.b = panels;
        t.kc = shared;
        t.resume = accumulate;
        strip_times_panels(c + m * ldc, ldc, t, rows, N, scratch);
        t.b = panels + shared * NN_PANEL;
        t.resume = true;
        for (size_t i = 1; i < rows; i++) {
            t.a = a + (m + i) * lda + shared;
            t.kc = i;
            strip_times_panels(c + (m + i) * ldc, ldc, t, 1, N, scratch);
        }
    }
}

/* C += A^T B for a square A of M rows: C's row i takes k from i to M. */
static void kern_gemm_causal_t(float *c, size_t ldc, const float *a, size_t lda, const float *panels, size_t panel_k,
                               size_t M, size_t N, float *scratch)
{
    tile_work t = {.a_rs = 1, .a_cs = lda, .b_rs = NN_PANEL, .b_ps = panel_k * NN_PANEL, .resume = true};

    for (size_t m = 0, rows = 0; m < M; m += rows) {
        rows = least(M - m, TILE_ROWS);
        const size_t shared = m + rows - 1; /* the first k of the last row: from there on all take it */

        for (size_t i = m; i < shared; i++) {
            t.a = a + i * lda + i;
            t.b = panels + i * NN_PANEL;
            t.kc = shared - i;
            strip_times_panels(c + i * ldc, ldc, t, 1, N, scratch);
        }
        t.a = a + shared * lda + m;
        t.b = panels + shared * NN_PANEL;
        t.kc = M - shared;
        strip_times_panels(c + m * ldc, ldc, t, rows, N, scratch);
    }
}
#endif
