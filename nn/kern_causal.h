/* kern_causal.h - products of attention's triangle or, with a window, its band: each row of C has its own run of k.
 *
 * Reads: kern.h, kern_gemm.h (tiles). Included by kern_body.h only.   Read next: op_attn_tile.c.
 * What a tile's rows share of k is one tile; the steps that a row has alone, before and behind, fewer than TILE_ROWS
 * each, are tiles of one row that go on through C. So no key that a row does not see enters its chain.
 */
#ifndef NN_KERN_CAUSAL_H
#define NN_KERN_CAUSAL_H
#include "nn/kern_gemm.h"

typedef struct {
    size_t from, to;
} k_run;

static size_t above(size_t z, size_t origin)
{
    return z > origin ? z - origin : 0;
}

static k_run run_of(nn_band band, size_t row, size_t K)
{
    const size_t to = least(above(band.end + row, band.origin), K);

    return (k_run){least(above(band.first + row, band.origin), to), to};
}

typedef struct {
    float *c;
    const float *a, *panels;
    size_t ldc, a_rs, a_cs, b_ps, N;
    float *edge;
} band_work;

/* Rows m to m + rows over k in r; the sums go on from C or from 0. */
static void band_piece(const band_work *w, size_t m, size_t rows, k_run r, bool resume)
{
    const tile_work t = {.a = w->a + m * w->a_rs + r.from * w->a_cs, .b = w->panels + r.from * NN_PANEL,
                         .a_rs = w->a_rs, .a_cs = w->a_cs, .b_rs = NN_PANEL, .b_ps = w->b_ps, .kc = r.to - r.from,
                         .resume = resume};

    if (t.kc > 0 || !resume) strip_times_panels(w->c + m * w->ldc, w->ldc, t, rows, w->N, w->edge);
}

/* Both ends of a run only rise with the row: the last row's beginning and the first row's end bound what all share. */
static void kern_gemm_band(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *panels,
                           size_t panel_k, size_t M, size_t N, size_t K, nn_band band, bool accumulate, float *scratch)
{
    const band_work w = {c, a, panels, ldc, a_rs, a_cs, panel_k * NN_PANEL, N, scratch};

    for (size_t m = 0, rows = 0; m < M; m += rows) {
        rows = least(M - m, TILE_ROWS);
        const k_run first = run_of(band, m, K), all = {run_of(band, m + rows - 1, K).from, first.to};
        const bool shared = all.from < all.to, leads = shared && first.from < all.from;

        for (size_t i = m; !shared && i < m + rows; i++) band_piece(&w, i, 1, run_of(band, i, K), accumulate);
        if (!shared) continue;
        for (size_t i = m; leads && i < m + rows; i++)
            band_piece(&w, i, 1, (k_run){run_of(band, i, K).from, all.from}, accumulate);
        band_piece(&w, m, rows, all, accumulate || leads);
        for (size_t i = m + 1; i < m + rows; i++) band_piece(&w, i, 1, (k_run){all.to, run_of(band, i, K).to}, true);
    }
}
#endif
