/* op_linear.c - matrix products and the linear layer, forward beside backward.
 *
 * Reads: ops.h, kern_gemm.h (what one thread does).   Read next: op_rmsnorm.c; docs/math.md#linear.
 * Why the bytes do not depend on threads: a thread owns whole tiles of C; no sum is ever shared.
 */
#include "nn/ops.h"

enum {
    ROW_TILE = 8,           /* rows the kernels compute at once; any value is right, this is fast */
    COPY_WORK = 6,          /* multiply-adds that take as long as copying one float into a panel */
    PIECE_WORK = 1 << 18    /* multiply-adds worth waking a thread for, about 5 us */
};

typedef struct {
    const nn_exec *x;
    float *c;
    const float *a, *b;
    size_t a_rs, a_cs, b_rs, b_cs; /* element strides, as in kern.h */
    size_t M, N, K;
    bool accumulate;
    size_t rows, columns;          /* of a piece */
    size_t across;                 /* pieces beside each other */
} product;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t pieces_of(size_t n, size_t piece)
{
    return (n + piece - 1) / piece;
}

/* Pieces [first, last) of C: a rectangle each. */
static void rectangles(void *ctx, size_t first, size_t last, size_t thread)
{
    const product *p = ctx;
    const nn_kern *k = p->x->k;
    float *scratch = nn_exec_scratch(p->x, thread);

    for (size_t i = first; i < last; i++) {
        const size_t m = i / p->across * p->rows, n = i % p->across * p->columns;
        const size_t rows = smaller(p->rows, p->M - m), columns = smaller(p->columns, p->N - n);
        float *c = p->c + m * p->N + n;

        k->gemm(c, p->N, p->a + m * p->a_rs, p->a_rs, p->a_cs, p->b + n * p->b_cs, p->b_rs, p->b_cs, rows, columns,
                p->K, p->accumulate, scratch);
    }
}

/* Cuts C into at most `pieces` rectangles of whole tiles, so that the largest takes least: its products, and the copies
 * of its part of A and B that each thread makes for itself. WHY no shared copy of B: it would cost a second meeting of
 * the threads, and for the wide products, where copying is dear, threads have columns of their own anyway. */
static void cut(product *p, size_t pieces)
{
    const size_t row_tiles = pieces_of(p->M, ROW_TILE), panels = pieces_of(p->N, NN_PANEL);
    size_t least = SIZE_MAX;

    for (size_t across = 1; across <= smaller(pieces, panels); across++) {
        const size_t down = smaller(pieces / across, row_tiles);
        const size_t rows = smaller(pieces_of(row_tiles, down) * ROW_TILE, p->M);
        const size_t columns = smaller(pieces_of(panels, across) * NN_PANEL, p->N);
        const size_t work = rows * columns + COPY_WORK * (rows + columns);

        if (work >= least) continue;
        least = work;
        p->rows = rows;
        p->columns = columns;
    }
    p->across = pieces_of(p->N, p->columns);
}

void nn_matmul(const nn_exec *x, nn_form form, float *c, const float *a, const float *b, size_t M, size_t N,
               size_t K, bool accumulate)
{
    product p = {.x = x, .c = c, .a = a, .b = b, .a_rs = K, .a_cs = 1, .b_rs = N, .b_cs = 1, .M = M, .N = N, .K = K,
                 .accumulate = accumulate};

    if (form == NN_NT) {
        p.b_rs = 1;
        p.b_cs = K;
    } else if (form == NN_TN) {
        p.a_rs = 1;
        p.a_cs = M;
    }
    if (M == 0 || N == 0) return;
    const size_t worth = M * N / PIECE_WORK * K + M * N % PIECE_WORK * K / PIECE_WORK;

    cut(&p, worth < x->par.threads ? worth + 1 : x->par.threads);
    nn_par_run(&x->par, pieces_of(M, p.rows) * p.across, 1, rectangles, &p);
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
