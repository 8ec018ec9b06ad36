/* op_linear.c - matrix products and the linear layer, forward beside backward.
 *
 * Reads: ops.h, kern_gemm.h (what one thread does).   Read next: op_rmsnorm.c; docs/math.md#linear.
 * Why the bytes do not depend on threads: a thread owns whole tiles of C; no sum is ever shared.
 */
#include "nn/ops.h"

enum {
    ROW_TILE = 4,           /* what the kernels compute at once; any value is right, these are fast */
    COLUMN_TILE = 24,
    PIECE_WORK = 1 << 18    /* multiply-adds worth waking a thread for, about 5 us */
};

typedef struct {
    const nn_exec *x;
    float *c;
    const float *a, *b;
    size_t a_rs, a_cs, b_rs, b_cs; /* element strides, as in kern.h */
    size_t M, N, K;
    bool accumulate;
} product;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows [first, last) of C, in tiles. */
static void piece_of_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const product *p = ctx;
    const size_t m0 = first * ROW_TILE, m1 = smaller(last * ROW_TILE, p->M);

    p->x->k->gemm(p->c + m0 * p->N, p->N, p->a + m0 * p->a_rs, p->a_rs, p->a_cs, p->b, p->b_rs, p->b_cs, m1 - m0,
                  p->N, p->K, p->accumulate, nn_exec_scratch(p->x, thread));
}

/* Columns [first, last) of C, in tiles. */
static void piece_of_columns(void *ctx, size_t first, size_t last, size_t thread)
{
    const product *p = ctx;
    const size_t n0 = first * COLUMN_TILE, n1 = smaller(last * COLUMN_TILE, p->N);

    p->x->k->gemm(p->c + n0, p->N, p->a, p->a_rs, p->a_cs, p->b + n0 * p->b_cs, p->b_rs, p->b_cs, p->M, n1 - n0,
                  p->K, p->accumulate, nn_exec_scratch(p->x, thread));
}

void nn_matmul(const nn_exec *x, nn_form form, float *c, const float *a, const float *b, size_t M, size_t N,
               size_t K, bool accumulate)
{
    product p = {x, c, a, b, K, 1, N, 1, M, N, K, accumulate};

    if (form == NN_NT) {
        p.b_rs = 1;
        p.b_cs = K;
    } else if (form == NN_TN) {
        p.a_rs = 1;
        p.a_cs = M;
    }
    if (M == 0 || N == 0) return;
    const bool by_rows = M >= N;
    const size_t items = by_rows ? (M + ROW_TILE - 1) / ROW_TILE : (N + COLUMN_TILE - 1) / COLUMN_TILE;
    const size_t work = by_rows ? ROW_TILE * N * K : COLUMN_TILE * M * K; /* of one item */
    const size_t grain = work >= PIECE_WORK ? 1 : PIECE_WORK / (work + 1) + 1;
    nn_par_run(&x->par, items, grain, by_rows ? piece_of_rows : piece_of_columns, &p);
}

/* y = in w^T + bias; the bias is added last, to the rounded product. */
void nn_linear_fwd(const nn_exec *x, float *y, const float *in, const float *w, const float *bias, size_t R,
                   size_t N, size_t C)
{
    nn_matmul(x, NN_NT, y, in, w, R, N, C, false);
    if (!bias) return;
    for (size_t r = 0; r < R; r++) x->k->add(y + r * N, bias, N);
}

/* nn_linear_bwd - gradients of a linear layer (Rumelhart, Hinton & Williams 1986, eq. 4-8, in matrices).
 *
 *   fwd   y = in w^T + bias
 *   bwd   din (+)= dy w      dw += dy^T in      dbias += sum of dy's rows
 *
 * The sums of dw and dbias run over rows in ascending order: micro-batches give the bytes of one batch.
 */
void nn_linear_bwd(const nn_exec *x, float *din, float *dw, float *dbias, const float *dy, const float *in,
                   const float *w, size_t R, size_t N, size_t C, bool add_din)
{
    if (din) nn_matmul(x, NN_NN, din, dy, w, R, C, N, add_din);
    if (dw) nn_matmul(x, NN_TN, dw, dy, in, N, C, R, true);
    if (!dbias) return;
    for (size_t r = 0; r < R; r++) x->k->add(dbias, dy + r * N, N);
}
