/* kern_tile.h - a tile of C kept in registers over a run of k: the innermost loop of all products.
 *
 * Reads: kern_vec.h. Included by kern_gemm.h only, after NN_FMAF is defined.   Read next: kern_pack.h.
 * A tile is R rows by P panels of NN_PANEL columns. For each k it adds A's R numbers times B's row of each panel, one
 * fused multiply-add an element. Everything is a stride, so that the same tile serves packed panels of B and B as it
 * lies, rows of A as they lie (no copy for A B and A B^T) and A's copied strips:
 *   A[i][k] = a[i * a_rs + k * a_cs]        B[k][16 j ..] = b[k * b_rs + j * b_ps ..]
 */
#ifndef NN_KERN_TILE_H
#define NN_KERN_TILE_H
#include "nn/kern.h"

/* Asks for a cache line that will be stored to: a tile asks for C's when it begins, 1.01 to 1.02 of the speed where C
 * lies beyond the second cache. Changes no value. */
#if defined(__GNUC__) || defined(__clang__)
#define NN_FETCH(p) __builtin_prefetch(p, 1)
#else
#define NN_FETCH(p) ((void)(p))
#endif

typedef struct {
    const float *a, *b;
    size_t a_rs, a_cs, b_rs, b_ps, kc;
    bool resume; /* the accumulators start from C, not from zero */
} tile_work;

typedef void (*tile_fn)(float *c, size_t ldc, const tile_work *t);

#if defined(NN_VEC)
/* WHY a macro: R and P must be known at compile time for the accumulators to be registers.
 * WHY the pragma: gcc 12 otherwise unrolls these loops too late and stores the accumulators to the stack at the end. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif
enum { PARTS = NN_PANEL / NN_VEC }; /* vectors of a panel */

#define TILE(R, P)                                                                                       \
    static void tile_##R##_##P(float *restrict c, size_t ldc, const tile_work *t)                         \
    {                                                                                                    \
        const float *restrict a = t->a, *restrict b = t->b;                                               \
        const size_t a_rs = t->a_rs, a_cs = t->a_cs, b_rs = t->b_rs, b_ps = t->b_ps;                      \
        nn_vec acc[R][(P) * PARTS];                                                                      \
                                                                                                         \
        for (size_t i = 0; i < (R); i++)                                                                 \
            for (size_t j = 0; j < (P); j++) NN_FETCH(c + i * ldc + j * NN_PANEL);                         \
        UNROLL for (size_t i = 0; i < (R); i++)                                                          \
            UNROLL for (size_t j = 0; j < (P) * PARTS; j++)                                              \
                acc[i][j] = t->resume ? vec_load(c + i * ldc + j * NN_VEC) : vec_all(0.0f);               \
        for (size_t k = t->kc; k > 0; k--, a += a_cs, b += b_rs) {                                        \
            nn_vec b_k[(P) * PARTS];                                                                     \
            UNROLL for (size_t j = 0; j < (P) * PARTS; j++)                                              \
                b_k[j] = vec_load(b + j / PARTS * b_ps + j % PARTS * NN_VEC);                             \
            UNROLL for (size_t i = 0; i < (R); i++) {                                                    \
                const nn_vec a_i = vec_all(a[i * a_rs]);                                                 \
                UNROLL for (size_t j = 0; j < (P) * PARTS; j++) acc[i][j] = vec_fma(a_i, b_k[j], acc[i][j]); \
            }                                                                                            \
        }                                                                                                \
        UNROLL for (size_t i = 0; i < (R); i++)                                                          \
            UNROLL for (size_t j = 0; j < (P) * PARTS; j++) vec_store(c + i * ldc + j * NN_VEC, acc[i][j]); \
    }

#if defined(__AVX512F__)
/* 8 x 48 is 24 of 32 registers, three loads of B and eight of A for 24 multiply-adds. Fewer rows: more panels, so that
 * enough chains run side by side and several streams of memory. */
enum { TILE_ROWS = 8, TILE_PANELS = 4 };
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2)
TILE(1, 3) TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3) TILE(7, 3) TILE(8, 3)
TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4) TILE(5, 4) TILE(6, 4)
static const tile_fn tile_of[TILE_PANELS][TILE_ROWS] = {
    {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1},
    {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2, tile_7_2, tile_8_2},
    {tile_1_3, tile_2_3, tile_3_3, tile_4_3, tile_5_3, tile_6_3, tile_7_3, tile_8_3},
    {tile_1_4, tile_2_4, tile_3_4, tile_4_4, tile_5_4, tile_6_4, NULL, NULL},
};
static const unsigned char tile_panels[TILE_ROWS] = {4, 4, 4, 4, 4, 4, 3, 3}; /* of a tile with so many rows less 1 */
#else
/* AVX2 has 16 registers: 6 x 16 is twelve accumulators of 8. NEON has 32 of 4: 6 x 16 is 24 of them. */
enum { TILE_ROWS = 6, TILE_PANELS = 4 };
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2)
TILE(1, 3)
TILE(1, 4)
static const tile_fn tile_of[TILE_PANELS][TILE_ROWS] = {
    {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1},
    {tile_1_2, tile_2_2, tile_3_2, NULL, NULL, NULL},
    {tile_1_3, NULL, NULL, NULL, NULL, NULL},
    {tile_1_4, NULL, NULL, NULL, NULL, NULL},
};
static const unsigned char tile_panels[TILE_ROWS] = {4, 2, 2, 1, 1, 1};
#endif

static void tile(float *c, size_t ldc, const tile_work *t, size_t rows, size_t panels)
{
    tile_of[panels - 1][rows - 1](c, ldc, t);
}

#else
/* The specification, for any machine. */
enum { TILE_ROWS = 4, TILE_PANELS = 1 };
static const unsigned char tile_panels[TILE_ROWS] = {1, 1, 1, 1};

static void tile(float *restrict c, size_t ldc, const tile_work *t, size_t rows, size_t panels)
{
    float acc[TILE_ROWS][TILE_PANELS * NN_PANEL];
    const size_t cols = panels * NN_PANEL;

    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) acc[i][j] = t->resume ? c[i * ldc + j] : 0.0f;
    for (size_t k = 0; k < t->kc; k++)
        for (size_t i = 0; i < rows; i++) {
            const float a_ik = t->a[i * t->a_rs + k * t->a_cs];
            const float *b_k = t->b + k * t->b_rs;
            for (size_t j = 0; j < NN_PANEL; j++) acc[i][j] = NN_FMAF(a_ik, b_k[j], acc[i][j]);
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) c[i * ldc + j] = acc[i][j];
}
#endif
#endif
