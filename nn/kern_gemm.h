/* kern_gemm.h - the matrix product of a kernel table: cache blocks around tiles.
 *
 * Reads: kern.h, kern_tile.h, kern_pack.h. Included by kern_body.h only, after NN_FMAF is defined.   Read next: kern_body.h.
 * The promise: C[m][n] is the bytes of   s = C0;  for k ascending: s = fmaf(A[m][k], B[k][n], s);
 * What makes it fast (Goto & van de Geijn 2008, doi:10.1145/1356052.1356053) never reorders a sum:
 *
 *   n0, k0                   B's block is copied once as panels [kc][16]: the second cache holds it
 *     i0 by TILE_ROWS        A's rows are read as they lie (A^T B: from a copied strip): the first cache holds them
 *       n1 by panels         tile(): accumulators stay in registers for kc steps
 *
 * Between two K blocks an accumulator passes through C; a float stored and loaded again is the same float.
 * Ragged columns are panels padded with zeros whose tile lies in a small buffer; padding adds columns, never products to
 * an element that is kept.
 */
#ifndef NN_KERN_GEMM_H
#define NN_KERN_GEMM_H
#include "nn/kern.h"
#include "nn/kern_pack.h"
#include "nn/kern_tile.h"

/* Cache blocks, in floats; a build for a small machine may shrink them, the bytes of a result do not change. */
#ifndef NN_GEMM_KC
#define NN_GEMM_KC 512
#endif
#ifndef NN_GEMM_B
#define NN_GEMM_B 131072 /* a packed block of B: 512 KiB */
#endif
enum {
    KC = NN_GEMM_KC,
    B_BLOCK = NN_GEMM_B,
    A_ROWS = 4 * TILE_ROWS, /* rows of A^T copied together: whole cache lines of each column */
    DIRECT_ROWS = TILE_ROWS, /* with no more rows B's own rows are read in place: copying costs more than it saves */
    EDGE = TILE_ROWS * TILE_PANELS * NN_PANEL,
    GEMM_SCRATCH = B_BLOCK + A_ROWS * KC + EDGE
};
NN_STATIC_ASSERT(KC > 0 && B_BLOCK >= KC * (int)NN_PANEL, gemm_block_holds_a_panel);

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The next piece of `left` when it is cut into equal pieces of at most `most`. */
static size_t even_piece(size_t left, size_t most)
{
    const size_t pieces = (left + most - 1) / most;

    return (left + pieces - 1) / pieces;
}

/* A tile whose last columns are not C's: its rows x cols are copied into the buffer, finished there and copied back. */
static void tile_edge(float *restrict c, size_t ldc, const tile_work *t, size_t rows, size_t cols, size_t panels,
                      float *restrict buffer)
{
    const size_t width = panels * NN_PANEL;

    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++) buffer[i * width + j] = t->resume && j < cols ? c[i * ldc + j] : 0.0f;
    tile(buffer, width, t, rows, panels);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) c[i * ldc + j] = buffer[i * width + j];
}

/* One strip of rows times all N columns. t->b is the first panel. */
static void strip_times_panels(float *c, size_t ldc, tile_work t, size_t rows, size_t N, float *buffer)
{
    for (size_t n = 0; n < N;) {
        const size_t panels = even_piece((N - n + NN_PANEL - 1) / NN_PANEL, tile_panels[rows - 1]);
        const size_t cols = panels * NN_PANEL;

        if (n + cols <= N) tile(c + n, ldc, &t, rows, panels);
        else tile_edge(c + n, ldc, &t, rows, N - n, panels, buffer);
        t.b += panels * t.b_ps;
        n += cols;
    }
}

/* Rows of A^T as strips [kc][TILE_ROWS] one after another, the last narrower. */
static void copy_strips(float *restrict out, const float *restrict a, size_t a_cs, size_t rows, size_t kc)
{
    const size_t whole = rows / TILE_ROWS * TILE_ROWS, rest = rows - whole;
    float *restrict last = out + whole * kc;

    for (size_t k = 0; k < kc; k++, a += a_cs) {
        for (size_t s = 0; s < whole; s += TILE_ROWS)
            for (size_t i = 0; i < TILE_ROWS; i++) out[s * kc + k * TILE_ROWS + i] = a[s + i];
        for (size_t i = 0; i < rest; i++) last[k * rest + i] = a[whole + i];
    }
}

/* All M rows times a block of B; b, its steps, kc and resume come in t. scratch: A_ROWS * KC, then EDGE. */
static void rows_times_panels(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, tile_work t, size_t M,
                              size_t N, float *scratch)
{
    const bool copy = a_rs == 1 && a_cs != 1 && M > TILE_ROWS;
    float *buffer = scratch + (size_t)A_ROWS * KC;

    for (size_t m = 0, mg = 0; m < M; m += mg) {
        mg = least(M - m, A_ROWS);
        if (copy) copy_strips(scratch, a + m, a_cs, mg, t.kc);
        for (size_t i = 0, rows = 0; i < mg; i += rows) {
            rows = copy ? least(mg - i, TILE_ROWS) : even_piece(mg - i, TILE_ROWS);
            t.a = copy ? scratch + i * t.kc : a + (m + i) * a_rs;
            t.a_rs = copy ? 1 : a_rs;
            t.a_cs = copy ? rows : a_cs;
            strip_times_panels(c + (m + i) * ldc, ldc, t, rows, N, buffer);
        }
    }
}

/* Columns of B that fit into its block at a time. */
static size_t block_columns(size_t left, size_t K)
{
    return least(left, B_BLOCK / least(K, KC) / NN_PANEL * NN_PANEL);
}

/* A sum of no products. */
static void clear_rows(float *c, size_t ldc, size_t M, size_t N)
{
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) c[m * ldc + n] = 0.0f;
}

static void kern_gemm_packed(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *panels,
                             size_t panel_k, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    tile_work t = {.b_rs = NN_PANEL, .b_ps = panel_k * NN_PANEL};

    if (K == 0 && !accumulate) clear_rows(c, ldc, M, N);
    for (size_t n = 0, nc = 0; n < N && K > 0; n += nc) {
        nc = block_columns(N - n, K);
        for (size_t k = 0; k < K; k += t.kc) {
            t.kc = even_piece(K - k, KC);
            t.resume = accumulate || k > 0;
            t.b = panels + n * panel_k + k * NN_PANEL;
            rows_times_panels(c + n, ldc, a + k * a_cs, a_rs, a_cs, t, M, nc, scratch);
        }
    }
}

/* One row times B whose columns lie in memory: eight chains side by side hide the latency of a chain, and B is read
 * once, in place. Nothing is transposed, so this is scalar: as fast as memory delivers, not as fast as the cache. */
static void row_times_columns(float *restrict c, const float *restrict a, size_t a_cs, const float *restrict b,
                              size_t b_cs, size_t N, size_t K, bool accumulate)
{
    enum { CHAINS = 8 };
    size_t n = 0;

    for (; n + CHAINS <= N; n += CHAINS) {
        const float *b_n = b + n * b_cs;
        float acc[CHAINS];
        for (size_t j = 0; j < CHAINS; j++) acc[j] = accumulate ? c[n + j] : 0.0f;
        for (size_t p = 0; p < K; p++)
            for (size_t j = 0; j < CHAINS; j++) acc[j] = NN_FMAF(a[p * a_cs], b_n[j * b_cs + p], acc[j]);
        for (size_t j = 0; j < CHAINS; j++) c[n + j] = acc[j];
    }
    for (; n < N; n++) {
        float s = accumulate ? c[n] : 0.0f;
        for (size_t p = 0; p < K; p++) s = NN_FMAF(a[p * a_cs], b[n * b_cs + p], s);
        c[n] = s;
    }
}

static void kern_gemm(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *b, size_t b_rs,
                      size_t b_cs, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    float *block = scratch, *room = scratch + B_BLOCK;
    tile_work t = {.b = b, .b_rs = b_rs, .b_ps = NN_PANEL, .kc = K, .resume = accumulate};
    size_t n = 0;

    if (K == 0 && !accumulate) clear_rows(c, ldc, M, N);
    if (M == 1 && b_rs == 1 && b_cs != 1) {
        row_times_columns(c, a, a_cs, b, b_cs, N, K, accumulate);
        return;
    }
    if (b_cs == 1 && M <= DIRECT_ROWS) { /* whole panels lie ready in B's rows */
        n = N / NN_PANEL * NN_PANEL;
        rows_times_panels(c, ldc, a, a_rs, a_cs, t, M, n, room);
    }
    t.b = block;
    t.b_rs = NN_PANEL;
    for (size_t nc = 0; n < N && K > 0; n += nc) {
        nc = block_columns(N - n, K);
        for (size_t k = 0; k < K; k += t.kc) {
            t.kc = even_piece(K - k, KC);
            t.b_ps = t.kc * NN_PANEL;
            t.resume = accumulate || k > 0;
            pack_panels(block, t.kc, b + k * b_rs + n * b_cs, b_rs, b_cs, nc, t.kc);
            rows_times_panels(c + n, ldc, a + k * a_cs, a_rs, a_cs, t, M, nc, room);
        }
    }
}
#endif
