/* op_rmsnorm.c - RMSNorm, forward beside backward.
 *
 * Reads: ops.h.   Read next: op_swiglu.c, op_attn.c.
 * Also serves q/k norm (one row per head: R = rows * heads, C = head width). Formulas: docs/math.md#rmsnorm.
 */
#include "nn/op_impl.h"
#include "nn/ops.h"

typedef struct {
    const nn_kern *k;
    float *y, *rstd_out, *sum;
    float *din, *dw;
    const float *dy, *in, *add, *w, *rstd;
    float eps;
    size_t R, C;
} norm;

static void fwd_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const norm *n = ctx;
    const size_t at = first * n->C;

    (void)thread;
    n->k->rmsnorm_rows(n->y + at, n->rstd_out ? n->rstd_out + first : NULL, n->add ? n->sum + at : NULL, n->in + at,
                       n->add ? n->add + at : NULL, n->w, n->eps, last - first, n->C);
}

/* nn_rmsnorm_fwd - scales each row to unit root mean square (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4).
 *
 *   fwd   s = 1/sqrt(mean(x^2) + eps),  y_i = w_i x_i s        (s saved as rstd)
 *
 *   [out] y [R,C]  rstd [R] or NULL     [in] in [R,C]  w [C]   y == in is fine
 */
void nn_rmsnorm_fwd(const nn_exec *x, float *y, float *rstd, const float *in, const float *w, float eps, size_t R,
                    size_t C)
{
    norm n = {.k = x->k, .y = y, .rstd_out = rstd, .in = in, .w = w, .eps = eps, .R = R, .C = C};

    nn_par_run(&x->par, R, nn_grain(C), fwd_rows, &n);
}

/* nn_add_rmsnorm_fwd - a branch joins the residual stream, and the norm that reads it: one pass over memory.
 *
 *   fwd   sum = in + add,  y = rmsnorm(sum)
 *
 *   [out] y, sum [R,C]  rstd [R] or NULL     [in] in, add [R,C]  w [C]   sum == in is fine
 */
void nn_add_rmsnorm_fwd(const nn_exec *x, float *y, float *rstd, float *sum, const float *in, const float *add,
                        const float *w, float eps, size_t R, size_t C)
{
    norm n = {.k = x->k, .y = y, .rstd_out = rstd, .sum = sum, .in = in, .add = add, .w = w, .eps = eps, .R = R,
              .C = C};

    nn_par_run(&x->par, R, nn_grain(C), fwd_rows, &n);
}

static void bwd_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const norm *n = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++) {
        const float *x_r = n->in + r * n->C, *dy_r = n->dy + r * n->C;
        const float s = n->rstd[r];
        const float dot = n->k->dot3(n->w, dy_r, x_r, n->C); /* sum_j w_j dy_j x_j, 16 lanes */
        const float pull = s * s * dot / (float)n->C;        /* x_i^2's share in the mean */

        n->k->rmsnorm_bwd_row(n->din + r * n->C, dy_r, x_r, n->w, s, pull, n->C);
    }
}

/* A thread owns channels, not rows: dw_i adds all rows, in ascending order. */
static void bwd_channels(void *ctx, size_t first, size_t last, size_t thread)
{
    const norm *n = ctx;

    (void)thread;
    for (size_t r = 0; r < n->R; r++) {
        const size_t at = r * n->C + first;
        n->k->rmsnorm_dw_row(n->dw + first, n->dy + at, n->in + at, n->rstd[r], last - first);
    }
}

/* nn_rmsnorm_bwd - gradient of the above.
 *
 *   bwd   dx_i += s (w_i dy_i - x_i s^2/C sum_j w_j dy_j x_j)
 *         dw_i += s x_i dy_i                                   docs/math.md#rmsnorm
 *
 *   [inout] din [R,C]  dw [C]     [in] dy, in [R,C]  w [C]  rstd [R]
 */
void nn_rmsnorm_bwd(const nn_exec *x, float *din, float *dw, const float *dy, const float *in, const float *w,
                    const float *rstd, size_t R, size_t C)
{
    norm n = {.k = x->k, .din = din, .dw = dw, .dy = dy, .in = in, .w = w, .rstd = rstd, .R = R, .C = C};

    if (din) nn_par_run(&x->par, R, nn_grain(C), bwd_rows, &n);
    if (dw) nn_par_run(&x->par, C, nn_grain(R), bwd_channels, &n);
}
