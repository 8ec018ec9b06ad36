/* op_swiglu.c - the gated feed-forward's elementwise middle, forward beside backward.
 *
 * Reads: ops.h.   Read next: op_rope.c. Formulas: docs/math.md#swiglu.
 * Rows are independent and contiguous, so a piece of rows is one call of the kernel.
 */
#include "nn/op_impl.h"
#include "nn/ops.h"

typedef struct {
    const nn_kern *k;
    float *y, *dgate, *dup;
    const float *dy, *gate, *up;
    size_t F;
} swiglu;

static void fwd_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const swiglu *s = ctx;
    const size_t at = first * s->F;

    (void)thread;
    s->k->swiglu_row(s->y + at, s->gate + at, s->up + at, (last - first) * s->F);
}

/* nn_swiglu_fwd - SwiGLU without its matrices (Shazeer 2020, arXiv:2002.05202, eq. 6).
 *
 *   fwd   t = 1/(1 + exp(-g)),  y = g t u                       (g = gate, u = up; silu(g) = g t)
 *
 *   [out] y [R,F]     [in] gate, up [R,F]
 */
void nn_swiglu_fwd(const nn_exec *x, float *y, const float *gate, const float *up, size_t R, size_t F)
{
    swiglu s = {.k = x->k, .y = y, .gate = gate, .up = up, .F = F};

    nn_par_run(&x->par, R, nn_grain(F), fwd_rows, &s);
}

static void bwd_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const swiglu *s = ctx;
    const size_t at = first * s->F;

    (void)thread;
    s->k->swiglu_bwd_row(s->dgate + at, s->dup + at, s->dy + at, s->gate + at, s->up + at, (last - first) * s->F);
}

/* nn_swiglu_bwd - gradient of the above; the sigmoid is computed again, nothing is saved.
 *
 *   bwd   dg = dy u t (1 + g (1 - t))
 *         du = dy g t                                           docs/math.md#swiglu
 *
 *   [out] dgate, dup [R,F]     [in] dy, gate, up [R,F]
 * WHY overwritten, unlike other gradients: gate and up have this one reader, so there is nothing to add to.
 */
void nn_swiglu_bwd(const nn_exec *x, float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                   size_t R, size_t F)
{
    swiglu s = {.k = x->k, .dgate = dgate, .dup = dup, .dy = dy, .gate = gate, .up = up, .F = F};

    nn_par_run(&x->par, R, nn_grain(F), bwd_rows, &s);
}
