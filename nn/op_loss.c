/* op_loss.c - losses, each with its gradient: next token, verdict, categories.
 *
 * Reads: ops.h, mathf.h.   Read next: trainer.c. Formulas: docs/math.md#losses.
 * The sums over rows are in double, rows ascending: a loss curve is compared by bytes.
 */
#include "nn/mathf.h"
#include "nn/op_impl.h"
#include "nn/ops.h"

typedef struct {
    const nn_exec *x;
    float *logprob, *dlogits;
    const float *logits;
    const int32_t *target;
    const float *weight;
    size_t V;
} xent;

static float weight_of(const xent *o, size_t r)
{
    return o->weight ? o->weight[r] : 1.0f;
}

static void xent_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const xent *o = ctx;
    const nn_kern *k = o->x->k;

    for (size_t r = first; r < last; r++) {
        const float *z = o->logits + r * o->V;
        float *dz = o->dlogits ? o->dlogits + r * o->V : NULL;

        if (o->target[r] < 0) {
            o->logprob[r] = 0.0f;
            if (dz) k->fill(dz, 0.0f, o->V);
            continue;
        }
        NN_ASSERT((size_t)o->target[r] < o->V);
        o->logprob[r] = k->xent_row(dz ? dz : nn_exec_scratch(o->x, thread), z, (size_t)o->target[r], weight_of(o, r),
                                    o->V);
    }
}

/* nn_xent - weighted cross-entropy of a hard target, with its gradient (Bishop 2006, Pattern Recognition and Machine
 * Learning, eq. 4.108 and 4.109).
 *
 *   fwd   log p_y = z_y - log sum_v exp(z_v),  loss = sum_r w_r (-log p_r,y(r))     rows with y = -1 left out
 *   bwd   dz_v = w_r (p_v - [v = y])                            docs/math.md#losses
 *
 *   [out] logprob [R]  dlogits [R,V] (NULL skips; may be logits)
 *   [in]  logits [R,V]  target [R]  weight [R] or NULL for 1
 *   [scratch] without dlogits: V floats of the thread's scratch
 */
double nn_xent(const nn_exec *x, float *logprob, float *dlogits, const float *logits, const int32_t *target,
               const float *weight, size_t R, size_t V)
{
    xent o = {x, logprob, dlogits, logits, target, weight, V};
    double loss = 0.0;

    NN_ASSERT(dlogits || V <= x->scratch_len);
    nn_par_run(&x->par, R, nn_grain(V), xent_rows, &o);
    for (size_t r = 0; r < R; r++)
        if (target[r] >= 0) loss -= (double)weight_of(&o, r) * (double)logprob[r];
    return loss;
}

/* -(y log t + (1 - y) log(1 - t)) with t = sigmoid(z); softplus keeps both logs exact where t is 0 or 1. */
static double binary_xent(double z, double y)
{
    return y * nn_softplus(-z) + (1.0 - y) * nn_softplus(z);
}

/* nn_verdict_loss - the two-row head read as one logit, the wide part's logit added (wide and deep: Cheng et al. 2016,
 * arXiv:1606.07792, eq. 3).
 *
 *   fwd   z = offset + z_unsafe - z_safe,  p = sigmoid(z),  loss = sum_s w_s (-(y log p + (1 - y) log(1 - p)))
 *   bwd   dz_unsafe = w (p - y),  dz_safe = -dz_unsafe          docs/math.md#losses
 *
 *   [out] p [S]  dlogits [S,2] (NULL skips)     [in] logits [S,2] (safe, unsafe)  offset [S] or NULL  y, weight [S]
 * A weight of 0 skips the row's loss and gradient; p is given all the same. WHY double: S numbers cost nothing, and a
 * verdict's probability keeps its last digits. WHY one thread: the same.
 */
double nn_verdict_loss(const nn_exec *x, float *p, float *dlogits, const float *logits, const float *offset,
                       const float *y, const float *weight, size_t S)
{
    double loss = 0.0;

    (void)x;
    for (size_t s = 0; s < S; s++) {
        const double base = offset ? (double)offset[s] : 0.0;
        const double z = base + ((double)logits[2 * s + 1] - (double)logits[2 * s]);
        const double prob = nn_sigmoid(z), w = (double)weight[s];
        const bool learns = weight[s] != 0.0f;

        p[s] = (float)prob;
        if (learns) loss += w * binary_xent(z, (double)y[s]);
        if (dlogits) {
            const float dz = learns ? (float)(w * (prob - (double)y[s])) : 0.0f;
            dlogits[2 * s] = -dz;
            dlogits[2 * s + 1] = dz;
        }
    }
    return loss;
}

/* nn_category_loss - one sigmoid a category; several may hold, and an unknown target teaches nothing (Bishop 2006,
 * eq. 4.90 and 4.91, a row and category at a time).
 *
 *   fwd   p = sigmoid(z),  loss = sum over (s, c) with target >= 0 of w_s (-(y log p + (1 - y) log(1 - p)))
 *   bwd   dz = w_s (p - y), 0 where the target is negative      docs/math.md#losses
 *
 *   [out] p [S,n]  dlogits [S,n] (NULL skips; may be logits)
 *   [in]  logits, target [S,n] (1, 0, negative = unknown)  weight [S], 0 skips
 */
double nn_category_loss(const nn_exec *x, float *p, float *dlogits, const float *logits, const float *target,
                        const float *weight, size_t S, size_t n_category)
{
    double loss = 0.0;

    (void)x;
    for (size_t s = 0; s < S; s++)
        for (size_t i = s * n_category; i < (s + 1) * n_category; i++) {
            const double z = (double)logits[i], prob = nn_sigmoid(z), w = (double)weight[s];
            const bool learns = target[i] >= 0.0f && weight[s] != 0.0f;

            p[i] = (float)prob;
            if (learns) loss += w * binary_xent(z, (double)target[i]);
            if (dlogits) dlogits[i] = learns ? (float)(w * (prob - (double)target[i])) : 0.0f;
        }
    return loss;
}
