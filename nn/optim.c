/* optim.c - AdamW with clipping, and the schedule of its rate.
 *
 * Reads: trainer_impl.h.
 */
#include "nn/mathf.h"
#include "nn/trainer_impl.h"
#include <math.h>
#include <string.h>

nn_adamw nn_adamw_default(void)
{
    const nn_adamw o = {.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f, .clip = 1.0f,
                        .lr_scale = {1.0f, 1.0f, 1.0f, 1.0f}};

    return o;
}

double nn_schedule_cosine(size_t step, size_t warmup, size_t total, double floor)
{
    const double pi = 3.14159265358979323846;

    if (step < warmup) return (double)(step + 1) / (double)warmup;
    if (step >= total) return floor;
    return floor + (1.0 - floor) * 0.5 * (1.0 + nn_cos(pi * (double)(step - warmup) / (double)(total - warmup)));
}

enum {
    PIECE = 8192, /* elements worth a thread */
    CACHED = 2048 /* elements whose weight, moments and gradient the first cache holds */
};

static size_t tensor_size(const nn_trainer *t, size_t i)
{
    const nn_tensor *w = nn_trainer_trained(t, i).w;

    return w->rows * w->cols;
}

/* --- the norm --------------------------------------------------------------------------------------------- */

typedef struct {
    const nn_trainer *t;
    const nn_kern *k;
} norm_ctx;

/* Elements [first, last) of all tensors end to end: a tensor is the piece's that holds its first element. */
static void norm_piece(void *ctx, size_t first, size_t last, size_t thread)
{
    const norm_ctx *o = ctx;
    const size_t n = nn_trainer_n_trained(o->t);
    size_t at = 0;

    (void)thread;
    for (size_t i = 0; i < n && at < last; at += tensor_size(o->t, i++)) {
        const float *g = nn_trainer_trained(o->t, i).grad;
        if (at >= first) o->t->square[i] = o->k->dot(g, g, tensor_size(o->t, i));
    }
}

/* Each tensor by the kernel's 16 lanes, then in double, in table order. */
static double gradient_norm(const nn_trainer *t, const nn_exec *x)
{
    norm_ctx o = {t, x->k};
    double square = 0.0;
    const size_t n_trained = nn_trainer_n_trained(t);
    size_t n = 0;

    for (size_t i = 0; i < n_trained; i++) n += tensor_size(t, i);
    nn_par_run(&x->par, n, PIECE, norm_piece, &o);
    for (size_t i = 0; i < n_trained; i++) square += (double)t->square[i];
    return sqrt(square);
}

/* --- the step ---------------------------------------------------------------------------------------------- */

typedef struct {
    const nn_kern *k;
    float *w, *m, *v, *g;
    nn_adamw_step step;
} adamw_ctx;

/* The gradient becomes 0 for the next step while it is in the first cache: a pass over memory less. */
static void adamw_piece(void *ctx, size_t first, size_t last, size_t thread)
{
    const adamw_ctx *a = ctx;

    (void)thread;
    for (size_t i = first; i < last; i += CACHED) {
        const size_t n = last - i < CACHED ? last - i : (size_t)CACHED;

        a->k->adamw_row(a->w + i, a->m + i, a->v + i, a->g + i, &a->step, n);
        memset(a->g + i, 0, n * sizeof *a->g);
    }
}

/* nn_trainer_step - one step of AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101, alg. 2) after clipping by the global
 * norm (Pascanu et al. 2013, arXiv:1211.5063, alg. 1).
 *
 *   g <- g min(1, clip / |g|)      m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2
 *   w <- w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w)
 *
 * A norm that is not finite changes nothing but the gradients, which are dropped: one broken batch must not end a run;
 * the returned norm tells. */
double nn_trainer_step(nn_trainer *t, const nn_exec *x, const nn_adamw *o)
{
    NN_ASSERT(t->lora || !t->m->packed.arena.base);
    nn_trainer_fold(t, &x->par);
    const double norm = gradient_norm(t, x);

    if (!isfinite(norm)) {
        nn_trainer_zero(t);
        return norm;
    }
    const float scale = o->clip > 0.0f && norm > (double)o->clip ? (float)((double)o->clip / norm) : 1.0f;
    t->steps++;
    t->power1 *= (double)o->beta1;
    t->power2 *= (double)o->beta2;
    t->body.lora.row = 0;
    for (size_t i = 0; i < nn_trainer_n_trained(t); i++) {
        const nn_trained p = nn_trainer_trained(t, i);
        const nn_tensor *w = p.w;
        adamw_ctx a = {x->k, p.data, p.moment1, p.moment2, p.grad,
                       {.lr = o->lr * o->lr_scale[w->group], .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
                        .weight_decay = w->decay ? o->weight_decay : 0.0f, .correct1 = (float)(1.0 - t->power1),
                        .correct2 = (float)(1.0 - t->power2), .grad_scale = scale}};

        nn_par_run(&x->par, tensor_size(t, i), PIECE, adamw_piece, &a);
    }
    return norm;
}

size_t nn_trainer_steps(const nn_trainer *t)
{
    return t->steps;
}
