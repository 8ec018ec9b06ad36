/* kern_gemm.h - the matrix product of a kernel table, once, in portable C99.
 *
 * Reads: kern.h. Included by kern_body.h only, after NN_FMAF is defined.   Read next: kern_body.h.
 * The promise: C[m][n] is the bytes of   s = C0;  for k ascending: s = fmaf(A[m][k], B[k][n], s);
 * What makes it fast (Goto & van de Geijn 2008, doi:10.1145/1356052.1356053) never reorders a sum:
 *
 *   m0 by MC, k0 by KC       A's block is copied once as panels [kc][MR]: the second cache holds it
 *     n0 by NR               B's panel [kc][NR] is copied when it is needed: the first cache holds it
 *       i0 by MR             tile(): MR x NR accumulators stay in registers for kc steps
 *
 * Between two K blocks an accumulator passes through C; a float stored and loaded again is the same float.
 * Ragged edges are panels padded with zeros whose tile lies in a small buffer; padding adds rows and columns, never
 * products to an element that is kept.
 * WHY 4 x 24: twelve 8-float accumulators, three loads of B and one of A fill the 16 registers of AVX2; gcc 12 and
 * clang 14 keep all twelve in registers (6 x 16 spills with gcc). NEON's 32 registers hold the same 24 of 4 floats.
 */
#ifndef NN_KERN_GEMM_H
#define NN_KERN_GEMM_H
#include "nn/kern.h"

enum {
    MR = 4,         /* rows of a tile */
    NR = 24,        /* columns of a tile, and of every panel of B */
    NARROW = 16,    /* columns of the tile that ends a row of tiles */
    DIRECT_ROWS = 8 /* with fewer rows B's own rows are read in place: copying costs more than it saves */
};
/* Cache blocks, in floats; a build for a small machine may shrink them, the bytes of a result do not change. */
#ifndef NN_GEMM_MC
#define NN_GEMM_MC 512
#endif
#ifndef NN_GEMM_KC
#define NN_GEMM_KC 256
#endif
enum { MC = NN_GEMM_MC, KC = NN_GEMM_KC, GEMM_SCRATCH = MC * KC + KC * NR + MR * NR };
NN_STATIC_ASSERT(MC % MR == 0 && MC > 0 && KC > 0, gemm_blocks_hold_whole_tiles);

/* out[4 p + r] = row r of four, at p: the transpose both kinds of panel need, in the form compilers vectorise. */
static void interleave4(float *restrict out, const float *restrict in, size_t row_step, size_t n)
{
    const float *r0 = in, *r1 = r0 + row_step, *r2 = r1 + row_step, *r3 = r2 + row_step;

    for (size_t p = 0; p < n; p++) {
        out[4 * p] = r0[p];
        out[4 * p + 1] = r1[p];
        out[4 * p + 2] = r2[p];
        out[4 * p + 3] = r3[p];
    }
}

/* One panel of A: out[p][i] = A[i][p], rows beyond `rows` zero. */
static void pack_a_panel(float *restrict out, const float *restrict a, size_t a_rs, size_t a_cs, size_t rows, size_t kc)
{
    if (rows == MR && a_cs == 1) {
        interleave4(out, a, a_rs, kc);
    } else {
        for (size_t p = 0; p < kc; p++)
            for (size_t i = 0; i < MR; i++) out[p * MR + i] = i < rows ? a[i * a_rs + p * a_cs] : 0.0f;
    }
}

/* A's columns lie in memory (A^T B): four panels at once use a whole cache line of each column, 0.5 instead of 1.7
 * cycles an element where the columns are a power of two apart. */
static void pack_a_four_panels(float *restrict out, const float *restrict a, size_t a_cs, size_t kc)
{
    for (size_t p = 0; p < kc; p++)
        for (size_t q = 0; q < 4; q++)
            for (size_t i = 0; i < MR; i++) out[q * MR * kc + p * MR + i] = a[p * a_cs + q * MR + i];
}

static void pack_a(float *restrict out, const float *restrict a, size_t a_rs, size_t a_cs, size_t mc, size_t kc)
{
    size_t i = 0;

    if (a_rs == 1 && a_cs != 1)
        for (; i + 4 * MR <= mc; i += 4 * MR) pack_a_four_panels(out + i * kc, a + i, a_cs, kc);
    for (; i < mc; i += MR)
        pack_a_panel(out + i * kc, a + i * a_rs, a_rs, a_cs, mc - i < MR ? mc - i : (size_t)MR, kc);
}

/* B's columns lie in memory (A B^T): four at a time are transposed through a small buffer. */
static void pack_b_columns(float *restrict out, const float *restrict b, size_t b_cs, size_t cols, size_t kc)
{
    enum { STEP = 32 };
    float four[4 * STEP];
    size_t j = 0;

    for (; j + 4 <= cols; j += 4)
        for (size_t p = 0; p < kc; p += STEP) {
            const size_t n = kc - p < STEP ? kc - p : (size_t)STEP;
            interleave4(four, b + j * b_cs + p, b_cs, n);
            for (size_t q = 0; q < n; q++)
                for (size_t r = 0; r < 4; r++) out[(p + q) * NR + j + r] = four[4 * q + r];
        }
    for (; j < NR; j++)
        for (size_t p = 0; p < kc; p++) out[p * NR + j] = j < cols ? b[j * b_cs + p] : 0.0f;
}

/* One panel of B: out[p][j] = B[p][j], columns beyond `cols` zero. */
static void pack_b(float *restrict out, const float *restrict b, size_t b_rs, size_t b_cs, size_t cols, size_t kc)
{
    if (b_rs == 1 && b_cs != 1) {
        pack_b_columns(out, b, b_cs, cols, kc);
    } else if (b_cs == 1 && cols == NR) {
        for (size_t p = 0; p < kc; p++)
            for (size_t j = 0; j < NR; j++) out[p * NR + j] = b[p * b_rs + j];
    } else {
        for (size_t p = 0; p < kc; p++)
            for (size_t j = 0; j < NR; j++) out[p * NR + j] = j < cols ? b[p * b_rs + j * b_cs] : 0.0f;
    }
}

/* c[MR][NR] (+)= panel of A [kc][MR] times rows of B, b_step floats apart. The innermost loop of all. */
static void tile_wide(float *restrict c, size_t ldc, const float *restrict a, const float *restrict b, size_t b_step,
                      size_t kc, bool resume)
{
    float acc[MR][NR];

    for (size_t i = 0; i < MR; i++)
        for (size_t j = 0; j < NR; j++) acc[i][j] = resume ? c[i * ldc + j] : 0.0f;
    for (size_t p = 0; p < kc; p++, a += MR, b += b_step)
        for (size_t i = 0; i < MR; i++) {
            const float a_ip = a[i];
            for (size_t j = 0; j < NR; j++) acc[i][j] = NN_FMAF(a_ip, b[j], acc[i][j]);
        }
    for (size_t i = 0; i < MR; i++)
        for (size_t j = 0; j < NR; j++) c[i * ldc + j] = acc[i][j];
}

/* The same for c[MR][NARROW]. WHY the pragma: gcc 12 unrolls a loop of 16 before it looks for vectors and then finds
 * none, 7 GFLOP/s instead of 100. It changes no order, clang needs no such hint. */
static void tile_narrow(float *restrict c, size_t ldc, const float *restrict a, const float *restrict b, size_t b_step,
                        size_t kc, bool resume)
{
    float acc[MR][NARROW];

    for (size_t i = 0; i < MR; i++)
        for (size_t j = 0; j < NARROW; j++) acc[i][j] = resume ? c[i * ldc + j] : 0.0f;
    for (size_t p = 0; p < kc; p++, a += MR, b += b_step)
        for (size_t i = 0; i < MR; i++) {
            const float a_ip = a[i];
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1
#endif
            for (size_t j = 0; j < NARROW; j++) acc[i][j] = NN_FMAF(a_ip, b[j], acc[i][j]);
        }
    for (size_t i = 0; i < MR; i++)
        for (size_t j = 0; j < NARROW; j++) c[i * ldc + j] = acc[i][j];
}

/* A tile at the edge: its rows x cols are copied into the buffer, finished there and copied back. */
static void tile_edge(float *restrict c, size_t ldc, size_t rows, size_t cols, const float *restrict a,
                      const float *restrict b, size_t b_step, size_t kc, bool resume, float *restrict buffer)
{
    for (size_t i = 0; i < MR; i++)
        for (size_t j = 0; j < NR; j++)
            buffer[i * NR + j] = resume && i < rows && j < cols ? c[i * ldc + j] : 0.0f;
    if (cols > NARROW) tile_wide(buffer, NR, a, b, b_step, kc, true);
    else tile_narrow(buffer, NR, a, b, b_step, kc, true);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) c[i * ldc + j] = buffer[i * NR + j];
}

/* How many of the columns left to take next: 25 to 32 are two narrow tiles rather than a wide one and a scrap, so that
 * widths like 32, 64 and 128 waste nothing. */
static size_t next_columns(size_t left)
{
    if (left <= NR) return left;
    return left <= 2 * NARROW ? (size_t)NARROW : (size_t)NR;
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

/* One row times B whose rows lie in memory: 64 columns at a time stay in registers over all k. */
static void row_times_rows(float *restrict c, const float *restrict a, size_t a_cs, const float *restrict b,
                           size_t b_rs, size_t N, size_t K, bool accumulate)
{
    enum { WIDE = 64 };
    size_t n = 0;

    for (; n + WIDE <= N; n += WIDE) {
        float acc[WIDE];
        for (size_t j = 0; j < WIDE; j++) acc[j] = accumulate ? c[n + j] : 0.0f;
        for (size_t p = 0; p < K; p++) {
            const float *b_p = b + p * b_rs + n;
            const float a_p = a[p * a_cs];
            for (size_t j = 0; j < WIDE; j++) acc[j] = NN_FMAF(a_p, b_p[j], acc[j]);
        }
        for (size_t j = 0; j < WIDE; j++) c[n + j] = acc[j];
    }
    if (n == N) return;
    if (!accumulate)
        for (size_t j = n; j < N; j++) c[j] = 0.0f;
    for (size_t p = 0; p < K; p++) {
        const float a_p = a[p * a_cs];
        for (size_t j = n; j < N; j++) c[j] = NN_FMAF(a_p, b[p * b_rs + j], c[j]);
    }
}

/* A packed block of A times kc rows of B. */
static void block_times_panels(float *restrict c, size_t ldc, const float *restrict a_block, const float *restrict b,
                               size_t b_rs, size_t b_cs, size_t mc, size_t N, size_t kc, bool resume,
                               float *restrict scratch)
{
    float *panel = scratch, *buffer = scratch + (size_t)KC * NR;

    for (size_t n = 0, cols = 0; n < N; n += cols) {
        cols = next_columns(N - n);
        const bool whole = cols == NR || cols == NARROW, in_place = b_cs == 1 && whole && mc <= DIRECT_ROWS;
        const float *b_n = in_place ? b + n : panel;
        const size_t b_step = in_place ? b_rs : (size_t)NR;

        if (!in_place) pack_b(panel, b + n * b_cs, b_rs, b_cs, cols, kc);
        for (size_t i = 0; i < mc; i += MR) {
            const float *a_i = a_block + i * kc;
            const size_t rows = mc - i < MR ? mc - i : (size_t)MR;
            float *c_tile = c + i * ldc + n;
            if (rows < MR || !whole) tile_edge(c_tile, ldc, rows, cols, a_i, b_n, b_step, kc, resume, buffer);
            else if (cols == NR) tile_wide(c_tile, ldc, a_i, b_n, b_step, kc, resume);
            else tile_narrow(c_tile, ldc, a_i, b_n, b_step, kc, resume);
        }
    }
}

static void kern_gemm(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *b, size_t b_rs,
                      size_t b_cs, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    if (M == 1 && b_rs == 1) {
        row_times_columns(c, a, a_cs, b, b_cs, N, K, accumulate);
        return;
    }
    if (M == 1 && b_cs == 1) {
        row_times_rows(c, a, a_cs, b, b_rs, N, K, accumulate);
        return;
    }
    if (K == 0 && !accumulate)
        for (size_t m = 0; m < M; m++)
            for (size_t n = 0; n < N; n++) c[m * ldc + n] = 0.0f;
    for (size_t m = 0; m < M; m += MC) {
        const size_t mc = M - m < MC ? M - m : (size_t)MC;
        for (size_t k = 0; k < K; k += KC) {
            const size_t kc = K - k < KC ? K - k : (size_t)KC;
            pack_a(scratch, a + m * a_rs + k * a_cs, a_rs, a_cs, mc, kc);
            block_times_panels(c + m * ldc, ldc, scratch, b + k * b_rs, b_rs, b_cs, mc, N, kc, accumulate || k > 0,
                               scratch + (size_t)MC * KC);
        }
    }
}
/* --- B packed before ----------------------------------------------------------------------------------- */

static void kern_pack(float *restrict panels, const float *restrict b, size_t b_rs, size_t b_cs, size_t N, size_t K)
{
    for (size_t n = 0; n < N; n += NN_PANEL, panels += K * NN_PANEL)
        for (size_t k = 0; k < K; k++)
            for (size_t j = 0; j < NN_PANEL; j++)
                panels[k * NN_PANEL + j] = n + j < N ? b[k * b_rs + (n + j) * b_cs] : 0.0f;
}

static void kern_gemm_packed(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *panels,
                             size_t panel_k, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    for (size_t n = 0; n < N; n += NN_PANEL, panels += panel_k * NN_PANEL) {
        const size_t cols = N - n < NN_PANEL ? N - n : (size_t)NN_PANEL;
        kern_gemm(c + n, ldc, a, a_rs, a_cs, panels, NN_PANEL, 1, M, cols, K, accumulate, scratch);
    }
}
#endif
