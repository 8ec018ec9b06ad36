/* op_pool.c - a segment becomes one row: its last row, or mean and maximum of all.
 *
 * Reads: ops.h.   Read next: op_loss.c. Formulas: docs/math.md#pooling.
 */
#include "nn/op_impl.h"
#include "nn/ops.h"
#include <string.h>

typedef struct {
    const nn_kern *k;
    float *y, *din;
    uint32_t *arg_out;
    const float *in, *dy;
    const uint32_t *arg;
    nn_segments seg;
    nn_pool pool;
    size_t C;
} pooling;

/* [out] y [2C]: the mean, then the maximum; arg [C]. A comparison is exact, so this loop needs no kernel. */
static void mean_max(const pooling *o, float *y, uint32_t *arg, size_t begin, size_t end)
{
    const size_t C = o->C;
    float *max = y + C;

    o->k->fill(y, 0.0f, C);
    memcpy(max, o->in + begin * C, C * sizeof *max);
    for (size_t c = 0; c < C; c++) arg[c] = (uint32_t)begin;
    for (size_t r = begin; r < end; r++) {
        const float *x_r = o->in + r * C;

        o->k->add(y, x_r, C);
        for (size_t c = 0; c < C; c++) {
            arg[c] = x_r[c] > max[c] ? (uint32_t)r : arg[c];
            max[c] = x_r[c] > max[c] ? x_r[c] : max[c];
        }
    }
    o->k->scale(y, 1.0f / (float)(end - begin), C);
}

static void fwd_segments(void *ctx, size_t first, size_t last, size_t thread)
{
    const pooling *o = ctx;

    (void)thread;
    for (size_t s = first; s < last; s++) {
        const size_t begin = o->seg.start[s], end = o->seg.start[s + 1];

        NN_ASSERT(end > begin);
        if (o->pool == NN_POOL_LAST)
            memcpy(o->y + s * o->C, o->in + (end - 1) * o->C, o->C * sizeof *o->y);
        else
            mean_max(o, o->y + s * 2 * o->C, o->arg_out + s * o->C, begin, end);
    }
}

static size_t mean_length(nn_segments seg)
{
    return seg.n_seg ? (seg.start[seg.n_seg] - seg.start[0]) / seg.n_seg : 0;
}

/* nn_pool_fwd - what a head reads of a segment [b, e) of n rows (mean beside maximum: Howard & Ruder 2018,
 * arXiv:1801.06146, sec. 3.3 "concat pooling").
 *
 *   fwd   last       y = x_(e-1)
 *         mean_max   y_c = (sum over rows of x_rc) (1/n)
 *                    y_(C+c) = max over rows of x_rc,  arg_c = the first row that has it
 *
 *   [out] y [S, P*C] (P = 1 or 2)  arg [S,C], row numbers of the batch, NULL allowed for last     [in] in [R,C]
 */
void nn_pool_fwd(const nn_exec *x, float *y, uint32_t *arg, const float *in, nn_segments seg, nn_pool pool, size_t C)
{
    pooling o = {.k = x->k, .y = y, .arg_out = arg, .in = in, .seg = seg, .pool = pool, .C = C};

    NN_ASSERT(arg || pool == NN_POOL_LAST);
    nn_par_run(&x->par, seg.n_seg, nn_grain(mean_length(seg) * C), fwd_segments, &o);
}

static void bwd_segments(void *ctx, size_t first, size_t last, size_t thread)
{
    const pooling *o = ctx;
    const size_t C = o->C;

    (void)thread;
    for (size_t s = first; s < last; s++) {
        const size_t begin = o->seg.start[s], end = o->seg.start[s + 1];

        if (o->pool == NN_POOL_LAST) {
            o->k->add(o->din + (end - 1) * C, o->dy + s * C, C);
            continue;
        }
        const float *dmean = o->dy + s * 2 * C, *dmax = dmean + C;
        const uint32_t *arg = o->arg + s * C;

        for (size_t r = begin; r < end; r++) o->k->axpy(o->din + r * C, 1.0f / (float)(end - begin), dmean, C);
        for (size_t c = 0; c < C; c++) o->din[arg[c] * C + c] += dmax[c];
    }
}

/* nn_pool_bwd - gradient of the above; the maximum's gradient goes to the row that held it.
 *
 *   bwd   last       dx_(e-1) += dy
 *         mean_max   dx_rc += (1/n) dy_c for all rows, then dx_(arg_c),c += dy_(C+c)
 *
 *   [inout] din [R,C] (NULL skips)     [in] dy [S, P*C]  arg [S,C] as forward left it
 */
void nn_pool_bwd(const nn_exec *x, float *din, const float *dy, const uint32_t *arg, nn_segments seg, nn_pool pool,
                 size_t C)
{
    pooling o = {.k = x->k, .din = din, .dy = dy, .arg = arg, .seg = seg, .pool = pool, .C = C};

    if (din) nn_par_run(&x->par, seg.n_seg, nn_grain(mean_length(seg) * C), bwd_segments, &o);
}
