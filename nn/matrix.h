/* matrix.h - a weight matrix in the forms products read it, and products of one input with several matrices.
 *
 * Reads: ops.h.   Read next: op_products.c, model_pack.c (who makes the forms).
 * Why four forms: training changes weights every step and reads them row-major; inference reads the same matrix thousands
 * of times, so its copy is made once, in the order in which the kernels walk it; int8 is a quarter of the bytes and four
 * times the speed, with a cost in quality that is measured (docs/numbers.md); stored is what a file holds, used where it
 * is mapped, at no memory of its own and a share of the speed.
 * All but int8 give the same bits. Ownership: borrows everything.
 */
#ifndef NN_MATRIX_H
#define NN_MATRIX_H
#include "nn/ops.h"
#include "nn/quantize.h"

typedef struct {
    size_t N, K;         /* out, in */
    const float *w;      /* [N,K] row-major; NULL where only int8 is there */
    const float *panels; /* [ceil(N/16)][K][16]; NULL: not packed */
    const int8_t *i8;    /* [ceil(N/16)][ceil(K/4)][16][4]; NULL: none, otherwise the form that is used */
    const float *scale;  /* [N rounded up to 16] of the int8 rows */
    const int32_t *sum;  /* [the same] sums of the int8 rows */
    const unsigned char *bytes; /* N rows of nn_dtype_bytes(type, K); NULL: not stored. Used unless panels are there */
    nn_dtype type;
} nn_matrix;

size_t nn_matrix_panel_floats(size_t N, size_t K);
/* [out] panels: the packed form of w [N,K] */
void nn_matrix_pack(const nn_exec *x, float *panels, const float *w, size_t N, size_t K);
void nn_matrix_pack_stored(const nn_exec *x, float *panels, const nn_matrix *m); /* the same, of m->bytes */

/* One product of several that read the same rows: y [R,N] = in [R,K] w^T (+ bias [N] or NULL). */
typedef struct {
    float *y;
    const nn_matrix *w;
    const float *bias;
} nn_product;

/* [scratch] rows in int8: q [R, nn_i8_cols(K)], scale [R]; needed where a matrix is int8, else {NULL, NULL}. */
typedef struct {
    int8_t *q;
    float *scale;
} nn_rows_i8;

/* din [R,K] = dy [R,N] w, or += when add: the chain over N ascending, which goes on with din when adding. w: plain rows of
 * floats, or stored, of which blocks of rows are made floats on the way; the same bits. */
void nn_product_bwd(const nn_exec *x, float *din, const float *dy, const nn_matrix *w, size_t R, bool add);

/* All n products of in [R,K], in one parallel region unless the matrices are plain rows of floats (then all are). */
void nn_products_fwd(const nn_exec *x, const nn_product *p, size_t n, const float *in, size_t R, nn_rows_i8 room);
#endif
