/* kern_gemm.h - the matrix product of a kernel table: cache blocks around tiles.
 *
 * Reads: kern.h, kern_tile.h, kern_pack.h. Included by kern_body.h only, after NN_FMAF is defined.
 * Read next: kern_body.h.
 * The promise: C[m][n] is the bytes of   s = C0;  for k ascending: s = fmaf(A[m][k], B[k][n], s);
 * What makes it fast (Goto & van de Geijn 2008, doi:10.1145/1356052.1356053) never reorders a sum:
 *
 *   n0, k0                   B's block is copied once as panels [kc][16]: the second cache holds it
 *     i0 by TILE_ROWS        A's rows are read as they lie (A^T B: mostly from a copied strip)
 *       n1 by panels         tile(): accumulators stay in registers for kc steps
 *
 * Between two K blocks an accumulator passes through C; a float stored and loaded again is the same float.
 * Ragged columns are panels padded with zeros whose tile lies in a small buffer; padding adds columns, never products
 * to an element that is kept.
 * Tried and left: asking early for the next rows of A or the next block of B, huge pages for the block (no gain), rows
 * of A copied side by side (0.90 to 0.95), a small block that stays in the first cache for few rows (0.94).
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
    KC_COPIED = (KC + 1) / 2, /* where A is copied too: 1.03 to 1.05 of the speed at 1024 x 1024 x 4096 */
    B_BLOCK = NN_GEMM_B,
    A_ROWS = 8 * TILE_ROWS,   /* rows of A^T copied together: several cache lines of each column */
    A_STEP = 768,             /* A^T is read as it lies when its columns are closer than this */
    A_DIRECT = 262144,        /* and the whole is no larger: copying costs more than it saves */
    FEW_ROWS = 64,            /* with no more rows, B's own rows are read as they lie */
    SOME_ROWS = 256,          /* and with so many when B is no larger than its block */
    EDGE = TILE_ROWS * TILE_PANELS * NN_PANEL,
    GEMM_SCRATCH = B_BLOCK + A_ROWS * KC + EDGE
};
NN_STATIC_ASSERT(KC > 0 && B_BLOCK >= KC * (int)NN_PANEL, gemm_block_holds_a_panel);

typedef struct {
    float *c;
    const float *a, *b;
    size_t ldc, a_rs, a_cs, M, K;
    size_t b_rs, b_cs, b_ps; /* b_ps: from one panel of a B that is read as it lies to the next; 0: B is packed first */
    bool accumulate;
    float *scratch; /* a block of B, rows of A, the edge */
} product;

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

/* Rows of A^T as strips [kc][TILE_ROWS] one after another, the last narrower. WHY not panels of 16 like B: a tile would
 * use half of each cache line, 0.94 to 0.98 of the speed. */
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

/* A^T is copied into strips unless its columns are near each other. */
static bool copies_a(const product *g)
{
    const bool near = g->a_cs < A_STEP && g->M * g->K <= A_DIRECT;

    return g->a_rs == 1 && g->a_cs != 1 && g->M > TILE_ROWS && !near;
}

/* Columns n0 to n0 + N of the product for k0 to k0 + kc; t holds B. */
static void rows_times_panels(const product *g, tile_work t, size_t n0, size_t N, size_t k0)
{
    const bool copy = copies_a(g);
    const float *a = g->a + k0 * g->a_cs;
    float *strips = g->scratch + B_BLOCK, *edge = strips + A_ROWS * KC;

    t.a_rs = g->a_rs;
    t.a_cs = g->a_cs;
    for (size_t m = 0, rows = 0; m < g->M; m += rows) {
        const size_t at = m % A_ROWS;
        rows = copy ? least(g->M - m, TILE_ROWS) : even_piece(g->M - m, TILE_ROWS);
        t.a = a + m * g->a_rs;
        if (copy && at == 0) copy_strips(strips, t.a, g->a_cs, least(g->M - m, A_ROWS), t.kc);
        if (copy) {
            t.a = strips + at * t.kc;
            t.a_cs = rows;
        }
        strip_times_panels(g->c + m * g->ldc + n0, g->ldc, t, rows, N, edge);
    }
}

/* Columns n0 to n1, block by block, k ascending. */
static void columns_of_product(const product *g, size_t n0, size_t n1)
{
    const bool pack = g->b_ps == 0;
    const size_t most_k = copies_a(g) ? KC_COPIED : KC;

    for (size_t n = n0, nc = 0; n < n1 && g->K > 0; n += nc) {
        nc = least(n1 - n, B_BLOCK / least(g->K, most_k) / NN_PANEL * NN_PANEL);
        for (size_t k = 0, kc = 0; k < g->K; k += kc) {
            kc = even_piece(g->K - k, most_k);
            tile_work t = {.kc = kc, .resume = g->accumulate || k > 0};
            t.b = pack ? g->scratch : g->b + k * g->b_rs + n / NN_PANEL * g->b_ps;
            t.b_rs = pack ? NN_PANEL : g->b_rs;
            t.b_ps = pack ? kc * NN_PANEL : g->b_ps;
            if (pack) pack_panels(g->scratch, kc, g->b + k * g->b_rs + n * g->b_cs, g->b_rs, g->b_cs, nc, kc);
            rows_times_panels(g, t, n, nc, k);
        }
    }
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
    const product g = {.c = c, .a = a, .b = panels, .ldc = ldc, .a_rs = a_rs, .a_cs = a_cs, .M = M, .K = K,
                       .b_rs = NN_PANEL, .b_ps = panel_k * NN_PANEL, .accumulate = accumulate, .scratch = scratch};

    if (K == 0 && !accumulate) clear_rows(c, ldc, M, N);
    columns_of_product(&g, 0, N);
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
    product g = {.c = c, .a = a, .b = b, .ldc = ldc, .a_rs = a_rs, .a_cs = a_cs, .M = M, .K = K,
                 .b_rs = b_rs, .b_cs = b_cs, .accumulate = accumulate, .scratch = scratch};
    size_t n = 0;

    if (K == 0 && !accumulate) clear_rows(c, ldc, M, N);
    if (M == 1 && b_rs == 1 && b_cs != 1) {
        row_times_columns(c, a, a_cs, b, b_cs, N, K, accumulate);
        return;
    }
    if (b_cs == 1 && (M <= FEW_ROWS || (M <= SOME_ROWS && K * N <= B_BLOCK))) { /* whole panels lie ready in B's rows */
        n = N / NN_PANEL * NN_PANEL;
        g.b_ps = NN_PANEL;
        columns_of_product(&g, 0, n);
        g.b_ps = 0;
    }
    columns_of_product(&g, n, N);
}
#endif
