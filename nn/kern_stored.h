/* kern_stored.h - products with weights in a file's own type: panels made on the fly, then the tiles of floats.
 *
 * Reads: kern_gemm.h, dtype_blocks.h. Included by kern_body.h only.   Read next: kern_body.h.
 * A block of panels is made in the scratch and multiplied while the cache holds it. Its floats are those of
 * nn_dtype_to_f32 and the tiles walk k as they always do, so the bits are those of the packed product with a float copy
 * of the matrix, which need not be there. Panels are made by kern_turn.h, where the table has vectors of words; else
 * rows become floats, which are turned then.
 */
#ifndef NN_KERN_STORED_H
#define NN_KERN_STORED_H
#include "nn/dtype_blocks.h"
#include "nn/kern_gemm.h"
#include "nn/kern_turn.h"

/* Asks for what will be read a few steps later, into the second cache: 16 rows in turns are more streams than a machine
 * follows by itself (out of memory: F16 1.7, Q4_0 1.3 times the speed), and rows 2048 bytes apart would push each other
 * out of the first cache. Changes no value. */
#if defined(__GNUC__) || defined(__clang__)
#define NN_SOON(p) __builtin_prefetch((const void *)((uintptr_t)(p) + 256u), 0, 2)
#else
#define NN_SOON(p) ((void)(p))
#endif

enum {
    STORED_K = 512,        /* k of a block: whole blocks of every type */
    STORED_FEW = 4,        /* panels of a block for few rows: as many as a tile takes */
    STORED_FEW_K = 128,    /* and its k, unless the type's block is longer: the first cache holds it */
    STORED_ROWS = 8,       /* rows that are few */
    ROW_STEP = STORED_K + 16 /* between rows of floats: not a multiple of a page's part, or they share cache sets */
};
NN_STATIC_ASSERT(STORED_K % NN_BLOCK_MAX == 0 && (int)NN_PANEL * ROW_STEP <= A_ROWS * KC &&
                     STORED_FEW * (int)NN_PANEL * STORED_K <= B_BLOCK,
                 scratch_holds_a_block_of_stored_rows);

typedef struct {
    nn_dtype type;
    const unsigned char *w; /* row 0 */
    size_t row_bytes;
} stored_rows;

/* n elements of a row. WHY not the portable loop for halves: it has six operations where these machines have one. */
static void row_floats(float *restrict out, nn_dtype type, const unsigned char *restrict x, size_t n)
{
    size_t i = 0;

#if defined(NN_VEC)
    for (; type == NN_F16 && i + NN_VEC <= n; i += NN_VEC) vec_store(out + i, vec_from_f16(x + 2 * i));
    if (type == NN_F16) x += 2 * i;
#endif
    stored_floats(out + i, type, x, n - i);
}

/* Any type, any number of rows and of k: rows of floats, then turned. */
static void turn_any(float *restrict out, nn_dtype type, const unsigned char *w, size_t row_bytes, size_t rows,
                     size_t k, float *restrict room)
{
    for (size_t r = 0; r < rows; r++) row_floats(room + r * ROW_STEP, type, w + r * row_bytes, k);
    if (rows == NN_PANEL) pack_columns(out, room, ROW_STEP, k);
    else pack_any(out, room, 1, ROW_STEP, rows, k);
}

/* A panel [kc][16] of `rows` rows from w on. */
static void stored_panel(float *restrict out, nn_dtype type, const unsigned char *w, size_t row_bytes, size_t rows,
                         size_t kc, float *restrict room)
{
    size_t k = 0;

#if defined(NN_WORDS)
    const turn_row turn = turn_of(type);

    if (turn.fn && rows == NN_PANEL)
        for (; k + turn.k <= kc; k += turn.k, w += turn.bytes) {
            for (size_t r = 0; r < NN_PANEL; r++)
                for (size_t i = 0; i < turn.bytes; i += LINE) NN_SOON(w + r * row_bytes + i);
            for (size_t j = 0; j < NN_PANEL; j += NN_VEC) turn.fn(out + k * NN_PANEL + j, w + j * row_bytes, row_bytes);
        }
#endif
    if (k < kc) turn_any(out + k * NN_PANEL, type, w, row_bytes, rows, kc - k, room);
}

/* k in [k0, k0 + kc) of columns [n, n + cols) as panels that lie kc * 16 floats apart. */
static void stored_panels(float *restrict out, const stored_rows *s, size_t n, size_t cols, size_t k0, size_t kc,
                          float *restrict room)
{
    const unsigned char *w = s->w + nn_dtype_bytes(s->type, k0);

    for (size_t end = n + cols; n < end; n += NN_PANEL, out += kc * NN_PANEL)
        stored_panel(out, s->type, w + n * s->row_bytes, s->row_bytes, least(end - n, NN_PANEL), kc, room);
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void kern_gemm_stored(float *c, size_t ldc, const float *a, size_t lda, nn_dtype type, const unsigned char *w,
                             size_t M, size_t N, size_t K, float *scratch)
{
    const product g = {.c = c, .a = a, .ldc = ldc, .a_rs = lda, .a_cs = 1, .M = M, .K = K, .scratch = scratch};
    const stored_rows s = {type, w, nn_dtype_bytes(type, K)};
    const bool few = M <= STORED_ROWS;
    const size_t most_k = few ? most(STORED_FEW_K, nn_dtype_block(type)) : STORED_K;
    const size_t most_n = few ? STORED_FEW * NN_PANEL : B_BLOCK / STORED_K / NN_PANEL * NN_PANEL;

    if (K == 0) clear_rows(c, ldc, M, N);
    for (size_t n = 0, nc = 0; n < N; n += nc) {
        nc = least(N - n, most_n);
        for (size_t k = 0, kc = 0; k < K; k += kc) {
            kc = least(K - k, most_k);
            const tile_work t = {.b = scratch, .b_rs = NN_PANEL, .b_ps = kc * NN_PANEL, .kc = kc, .resume = k > 0};

            stored_panels(scratch, &s, n, nc, k, kc, scratch + B_BLOCK);
            rows_times_panels(&g, t, n, nc, k);
        }
    }
}

/* The panels of pack: [K][16] a panel, k piece by piece. */
static void kern_pack_stored(float *panels, nn_dtype type, const unsigned char *w, size_t N, size_t K, float *scratch)
{
    const stored_rows s = {type, w, nn_dtype_bytes(type, K)};

    for (size_t n = 0; n < N; n += NN_PANEL)
        for (size_t k = 0, kc = 0; k < K; k += kc) {
            kc = least(K - k, STORED_K);
            stored_panels(panels + n * K + k * NN_PANEL, &s, n, least(N - n, NN_PANEL), k, kc, scratch + B_BLOCK);
        }
}

static void kern_from_stored(float *y, nn_dtype type, const unsigned char *x, size_t n)
{
    row_floats(y, type, x, n);
}
#endif
