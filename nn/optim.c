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

static size_t tensor_size(const nn_model *m, size_t i)
{
    return m->tensor[i].rows * m->tensor[i].cols;
}

/* Per tensor in table order by the kernel's 16 lanes, then in double. */
static double gradient_norm(const nn_trainer *t, const nn_exec *x)
{
    double square = 0.0;

    for (size_t i = 0; i < t->m->n_tensor; i++)
        square += (double)x->k->dot(t->grad.at[i], t->grad.at[i], tensor_size(t->m, i));
    return sqrt(square);
}

typedef struct {
    const nn_kern *k;
    float *w, *m, *v;
    const float *g;
    nn_adamw_step step;
} adamw_ctx;

static void adamw_piece(void *ctx, size_t first, size_t last, size_t thread)
{
    const adamw_ctx *a = ctx;

    (void)thread;
    a->k->adamw_row(a->w + first, a->m + first, a->v + first, a->g + first, &a->step, last - first);
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
    NN_ASSERT(!t->m->packed.arena.base);
    nn_trainer_fold(t);
    const double norm = gradient_norm(t, x);

    if (isfinite(norm)) {
        const float scale = o->clip > 0.0f && norm > (double)o->clip ? (float)((double)o->clip / norm) : 1.0f;

        t->steps++;
        t->power1 *= (double)o->beta1;
        t->power2 *= (double)o->beta2;
        for (size_t i = 0; i < t->m->n_tensor; i++) {
            const nn_tensor *w = t->m->tensor + i;
            adamw_ctx a = {x->k, w->data, t->moment1.at[i], t->moment2.at[i], t->grad.at[i],
                           {.lr = o->lr * o->lr_scale[w->group], .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
                            .weight_decay = w->decay ? o->weight_decay : 0.0f, .correct1 = (float)(1.0 - t->power1),
                            .correct2 = (float)(1.0 - t->power2), .grad_scale = scale}};

            nn_par_run(&x->par, tensor_size(t->m, i), 8192, adamw_piece, &a);
        }
    }
    nn_trainer_zero(t);
    return norm;
}

size_t nn_trainer_steps(const nn_trainer *t)
{
    return t->steps;
}
