/* kern_stored.h - products with weights in a file's own type: panels made on the fly, then the tiles of floats.
 *
 * Reads: kern_gemm.h, dtype_blocks.h. Included by kern_body.h only.   Read next: kern_body.h.
 * A block of panels is made in the scratch (rows to floats in the order of the file, then turned to [k][16]) and
 * multiplied while the cache holds it. It holds the floats that nn_dtype_to_f32 gives and the tiles walk k as they always
 * do, so the bits are those of the packed product with a float copy of the matrix, at 2 to 8 bytes less a weight.
 */
#ifndef NN_KERN_STORED_H
#define NN_KERN_STORED_H
#include "nn/dtype_blocks.h"
#include "nn/kern_gemm.h"

enum {
    STORED_K = 512,        /* k of a block: whole blocks of every type */
    STORED_FEW = 4,        /* panels of a block for few rows: as many as a tile takes */
    STORED_ROWS = 8,       /* rows that are few */
    ROW_STEP = STORED_K + 16 /* between rows of floats: not a multiple of a page's part, or they share cache sets */
};
NN_STATIC_ASSERT(STORED_K % NN_BLOCK_MAX == 0 && (int)NN_PANEL * ROW_STEP <= A_ROWS * KC &&
                     STORED_FEW * (int)NN_PANEL * STORED_K <= B_BLOCK,
                 scratch_holds_a_block_of_stored_rows);

typedef struct {
    nn_dtype type;
    const unsigned char *w; /* row 0 */
    size_t row_bytes, N;
} stored_rows;

/* k in [k0, k0 + kc) of columns [n, n + cols) as panels that lie kc * 16 floats apart. */
static void stored_panels(float *restrict out, const stored_rows *s, size_t n, size_t cols, size_t k0, size_t kc,
                          float *restrict room)
{
    const unsigned char *w = s->w + nn_dtype_bytes(s->type, k0);

    for (size_t end = n + cols; n < end; n += NN_PANEL, out += kc * NN_PANEL) {
        const size_t rows = least(end - n, NN_PANEL);

        for (size_t r = 0; r < rows; r++) stored_floats(room + r * ROW_STEP, s->type, w + (n + r) * s->row_bytes, kc);
        if (rows == NN_PANEL) pack_columns(out, room, ROW_STEP, kc);
        else pack_any(out, room, 1, ROW_STEP, rows, kc);
    }
}

static void kern_gemm_stored(float *c, size_t ldc, const float *a, size_t lda, nn_dtype type, const unsigned char *w,
                             size_t M, size_t N, size_t K, float *scratch)
{
    const product g = {.c = c, .a = a, .ldc = ldc, .a_rs = lda, .a_cs = 1, .M = M, .K = K, .scratch = scratch};
    const stored_rows s = {type, w, nn_dtype_bytes(type, K), N};
    const size_t most = M <= STORED_ROWS ? STORED_FEW * NN_PANEL : B_BLOCK / STORED_K / NN_PANEL * NN_PANEL;

    if (K == 0) clear_rows(c, ldc, M, N);
    for (size_t n = 0, nc = 0; n < N; n += nc) {
        nc = least(N - n, most);
        for (size_t k = 0, kc = 0; k < K; k += kc) {
            kc = least(K - k, STORED_K);
            const tile_work t = {.b = scratch, .b_rs = NN_PANEL, .b_ps = kc * NN_PANEL, .kc = kc, .resume = k > 0};

            stored_panels(scratch, &s, n, nc, k, kc, scratch + B_BLOCK);
            rows_times_panels(&g, t, n, nc, k);
        }
    }
}

/* The panels of pack: [K][16] a panel, k piece by piece. */
static void kern_pack_stored(float *panels, nn_dtype type, const unsigned char *w, size_t N, size_t K, float *scratch)
{
    const stored_rows s = {type, w, nn_dtype_bytes(type, K), N};

    for (size_t n = 0; n < N; n += NN_PANEL)
        for (size_t k = 0, kc = 0; k < K; k += kc) {
            kc = least(K - k, STORED_K);
            stored_panels(panels + n * K + k * NN_PANEL, &s, n, least(N - n, NN_PANEL), k, kc, scratch + B_BLOCK);
        }
}

static void kern_from_stored(float *y, nn_dtype type, const unsigned char *x, size_t n)
{
    stored_floats(y, type, x, n);
}
#endif
