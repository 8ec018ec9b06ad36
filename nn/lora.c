/* lora.c - adapters: build, forward, backward.
 *
 * Reads: lora_impl.h, ops.h.   Read next: trainer.c (steps over them), lora_merge.c, lora_file.c.
 * Nothing of forward is kept for backward: A's product is computed again, r columns beside the matrix's N.
 */
#include "nn/lora_impl.h"
#include "nn/model_impl.h"
#include "nn/op_impl.h"
#include "nn/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *module; /* of params.h: self_attn.q_proj */
} targets[NN_LORA_TARGETS] = {
    {"q_proj", "self_attn.q_proj"}, {"k_proj", "self_attn.k_proj"}, {"v_proj", "self_attn.v_proj"},
    {"o_proj", "self_attn.o_proj"}, {"gate_proj", "mlp.gate_proj"}, {"up_proj", "mlp.up_proj"},
    {"down_proj", "mlp.down_proj"},
};

nn_lora_options nn_lora_default(void)
{
    return (nn_lora_options){.rank = 8, .alpha = 16.0f, .targets = NN_LORA_ALL};
}

const char *nn_lora_target_name(nn_lora_target t)
{
    return targets[t].name;
}

/* --- build ------------------------------------------------------------------------------------ */

void nn_lora_shape(size_t *N, size_t *K, const nn_config *c, nn_lora_target t)
{
    const size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const size_t shape[NN_LORA_TARGETS][2] = {
        [NN_LORA_Q] = {q, c->width},        [NN_LORA_K] = {kv, c->width},    [NN_LORA_V] = {kv, c->width},
        [NN_LORA_O] = {c->width, q},        [NN_LORA_GATE] = {c->ff, c->width}, [NN_LORA_UP] = {c->ff, c->width},
        [NN_LORA_DOWN] = {c->width, c->ff},
    };

    *N = shape[t][0];
    *K = shape[t][1];
}

void nn_lora_name(char out[NN_LORA_NAME], size_t layer, nn_lora_target t, char which)
{
    snprintf(out, NN_LORA_NAME, "model.layers.%zu.%s.lora_%c.weight", layer, targets[t].module, which);
}

static float *tensor_take(nn_lora *l, nn_arena *a, size_t layer, nn_lora_target target, char which, size_t rows,
                          size_t cols)
{
    float *data = nn_arena_take(a, rows, cols * sizeof *data);

    if (l->tensor) {
        nn_tensor *t = l->tensor + l->n_tensor;
        *t = (nn_tensor){.data = data, .rows = rows, .cols = cols, .decay = true, .group = NN_GROUP_BODY};
        nn_lora_name(t->name, layer, target, which);
    }
    l->n_tensor++;
    return data;
}

static void lora_layout(nn_lora *l, nn_arena *a, const nn_config *c)
{
    size_t n = 0;

    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) n += l->o.targets >> t & 1u;
    l->n_tensor = 0;
    l->pair = nn_arena_take(a, c->layers * NN_LORA_TARGETS, sizeof *l->pair);
    l->tensor = nn_arena_take(a, 2 * n * c->layers, sizeof *l->tensor);
    for (size_t layer = 0; layer < c->layers; layer++)
        for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
            nn_lora_pair p = {.tensor = l->n_tensor};

            nn_lora_shape(&p.N, &p.K, c, t);
            if (l->o.targets >> t & 1u) {
                p.a = tensor_take(l, a, layer, t, 'A', l->o.rank, p.K);
                p.b = tensor_take(l, a, layer, t, 'B', p.N, l->o.rank);
            }
            if (l->pair) l->pair[layer * NN_LORA_TARGETS + t] = p;
        }
}

static nn_status check_options(const nn_lora_options *o, nn_err *err)
{
    if (o->rank < 1 || o->rank > NN_LORA_RANK_MAX)
        return nn_fail(err, NN_USAGE, "lora: rank is %zu, want 1 to %u", o->rank, NN_LORA_RANK_MAX);
    if (!(o->alpha > 0.0f && o->alpha <= 65536.0f))
        return nn_fail(err, NN_USAGE, "lora: alpha is %g, want above 0 to 65536", (double)o->alpha);
    if (!(o->dropout >= 0.0f && o->dropout < 1.0f))
        return nn_fail(err, NN_USAGE, "lora: dropout is %g, want 0 to below 1", (double)o->dropout);
    if (o->targets == 0 || o->targets > NN_LORA_ALL)
        return nn_fail(err, NN_USAGE, "lora: no target, want one or more of q_proj to down_proj");
    return NN_OK;
}

/* A alone: B is zero, so that the model begins as it was. */
static void init(nn_lora *l)
{
    for (size_t i = 0; i < l->n_tensor; i += 2) {
        const nn_tensor *a = l->tensor + i;
        const double bound = 1.0 / sqrt((double)a->cols);
        nn_rng rng = nn_rng_at(l->o.seed, a->name, 0);

        for (size_t j = 0; j < a->rows * a->cols; j++) {
            const double u = nn_rng_double(&rng);
            a->data[j] = (float)((2.0 * u - 1.0) * bound);
        }
    }
}

nn_status nn_lora_build(nn_lora **out, const nn_config *c, const nn_lora_options *o, nn_err *err)
{
    nn_lora *l = NULL;
    nn_arena dry = {0};
    nn_status st;

    *out = NULL;
    if ((st = nn_config_check(c, err)) != NN_OK) goto done;
    if ((st = check_options(o, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&l, 1, sizeof *l, err)) != NN_OK) goto done;
    l->o = *o;
    l->scale = o->alpha / (float)o->rank;
    l->layers = c->layers;
    lora_layout(l, &dry, c);
    if ((st = nn_arena_open(&l->arena, dry.used, err)) != NN_OK) goto done;
    lora_layout(l, &l->arena, c);
    NN_ASSERT(l->arena.used == dry.used);
    init(l);
    *out = l;
    l = NULL;
done:
    nn_lora_free(l);
    return st;
}

void nn_lora_free(nn_lora *l)
{
    if (!l) return;
    nn_arena_free(&l->arena);
    nn_free(l);
}

const nn_lora_options *nn_lora_options_of(const nn_lora *l)
{
    return &l->o;
}

size_t nn_lora_tensors(const nn_lora *l)
{
    return l->n_tensor;
}

nn_tensor nn_lora_tensor(const nn_lora *l, size_t i)
{
    NN_ASSERT(i < l->n_tensor);
    return l->tensor[i];
}

const nn_lora_pair *nn_lora_at(const nn_lora *l, size_t layer, nn_lora_target t)
{
    return l->pair + layer * NN_LORA_TARGETS + t;
}

const nn_lora_pair *nn_lora_beside(const nn_lora *l, const char *tensor)
{
    static const char before[] = "model.layers.";
    char *module = NULL;

    if (strncmp(tensor, before, sizeof before - 1) != 0) return NULL;
    const unsigned long layer = strtoul(tensor + sizeof before - 1, &module, 10);
    if (layer >= l->layers || *module++ != '.') return NULL;
    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
        const size_t n = strlen(targets[t].module);

        if (strncmp(module, targets[t].module, n) != 0 || strcmp(module + n, ".weight") != 0) continue;
        return nn_lora_at(l, layer, t)->a ? nn_lora_at(l, layer, t) : NULL;
    }
    return NULL;
}

const char *nn_lora_base(const nn_lora *l)
{
    return l->base;
}

nn_status nn_lora_fits(const nn_lora *l, const nn_config *c, nn_err *err)
{
    if (l->layers != c->layers)
        return nn_fail(err, NN_USAGE, "lora: adapters of %zu layers, the model has %zu", l->layers, c->layers);
    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
        const nn_lora_pair *p = nn_lora_at(l, 0, t);
        size_t N, K;

        nn_lora_shape(&N, &K, c, t);
        if (p->a && (p->N != N || p->K != K))
            return nn_fail(err, NN_USAGE, "lora: an adapter of %s [%zu, %zu], the model's is [%zu, %zu]",
                           targets[t].name, p->N, p->K, N, K);
    }
    return NN_OK;
}

/* --- room ------------------------------------------------------------------------------------- */

void nn_lora_room_take(nn_lora_room *o, nn_arena *a, const nn_lora *l, size_t max_rows)
{
    size_t in = 1, out = 1;

    memset(o, 0, sizeof *o);
    o->lora = l;
    if (!l) return;
    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
        const nn_lora_pair *p = nn_lora_at(l, 0, t);

        if (p->a && p->K > in) in = p->K;
        if (p->a && p->N > out) out = p->N;
    }
    o->h = nn_arena_take(a, max_rows, l->o.rank * sizeof(float));
    o->dh = nn_arena_take(a, max_rows, l->o.rank * sizeof(float));
    o->wide = nn_arena_take(a, max_rows, (in > out ? in : out) * sizeof(float));
    if (l->o.dropout > 0.0f) o->in = nn_arena_take(a, max_rows, in * sizeof(float));
}

/* --- dropout (Srivastava et al. 2014, jmlr v15: scaled up in training, nothing later) --------- */

typedef struct {
    nn_rng rng;
    float *y;
    const float *x;
    float p, keep; /* 1 / (1 - p) */
    size_t K, row;
} dropping;

static void drop_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const dropping *d = ctx;
    nn_rng rng = d->rng;

    (void)thread;
    rng.pos = (uint64_t)(d->row + first) * d->K;
    for (size_t i = first * d->K; i < last * d->K; i++)
        d->y[i] = nn_rng_float(&rng) < d->p ? 0.0f : d->x[i] * d->keep;
}

/* y = x under the mask of this adapter's rows. WHY B's name: A's stream at step 0 drew its first values. */
static void drop(const nn_lora_room *o, const nn_exec *x, const nn_lora_pair *p, float *y, const float *in, size_t R)
{
    const nn_lora *l = o->lora;
    dropping d = {.rng = nn_rng_at(l->o.seed, l->tensor[p->tensor + 1].name, o->step), .y = y, .x = in,
                  .p = l->o.dropout, .keep = 1.0f / (1.0f - l->o.dropout), .K = p->K, .row = o->row};

    nn_par_run(&x->par, R, nn_grain(p->K), drop_rows, &d);
}

static const float *entering(const nn_lora_room *o, const nn_exec *x, const nn_lora_pair *p, const float *in, size_t R)
{
    if (!o->drop || !o->in) return in;
    drop(o, x, p, o->in, in, R);
    return o->in;
}

/* --- forward and backward --------------------------------------------------------------------- */

typedef struct {
    const nn_kern *k;
    float *y;
    const float *z;
    float scale;
    size_t N;
} adding;

static void add_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const adding *a = ctx;

    (void)thread;
    a->k->axpy(a->y + first * a->N, a->scale, a->z + first * a->N, (last - first) * a->N);
}

static void add_scaled(const nn_exec *x, float *y, float scale, const float *z, size_t R, size_t N)
{
    adding a = {x->k, y, z, scale, N};

    nn_par_run(&x->par, R, nn_grain(N), add_rows, &a);
}

void nn_lora_fwd(const nn_lora_room *o, const nn_exec *x, size_t layer, nn_lora_target t, float *y, const float *in,
                 size_t R)
{
    if (!o->lora) return;
    const nn_lora_pair *p = nn_lora_at(o->lora, layer, t);
    const size_t r = o->lora->o.rank;
    if (!p->a) return;
    const float *xs = entering(o, x, p, in, R);

    nn_linear_fwd(x, o->h, xs, p->a, NULL, R, r, p->K);
    nn_linear_fwd(x, o->wide, o->h, p->b, NULL, R, p->N, r);
    add_scaled(x, y, o->lora->scale, o->wide, R, p->N);
}

/* nn_lora_bwd - gradients of an adapter (Hu et al. 2021, arXiv:2106.09685, eq. 3, by the chain rule).
 *
 *   fwd   h = A x,  y += s B h                                  s = alpha / r, x after dropout
 *   bwd   dB += dy^T (s h)      dh = s (dy B)      dA += dh^T x      dx += dh A        docs/math.md#lora
 *
 * Sums over rows are ascending chains that go on with the next micro-batch, as all gradients of weights do. Without
 * dropout dx goes on with the chain that the matrix's own dy W began; with it dh A is a sum of its own, masked, added.
 */
void nn_lora_bwd(const nn_lora_room *o, const nn_exec *x, size_t layer, nn_lora_target t, float *din,
                 float *const *grad, const float *dy, const float *in, size_t R)
{
    if (!o->lora) return;
    const nn_lora_pair *p = nn_lora_at(o->lora, layer, t);
    const size_t r = o->lora->o.rank;
    if (!p->a) return;
    const float *xs = entering(o, x, p, in, R);

    nn_linear_fwd(x, o->h, xs, p->a, NULL, R, r, p->K);
    x->k->scale(o->h, o->lora->scale, R * r);
    nn_linear_bwd(x, o->dh, grad[p->tensor + 1], NULL, dy, o->h, p->b, R, p->N, r, false);
    x->k->scale(o->dh, o->lora->scale, R * r);
    nn_linear_bwd(x, xs == in ? din : o->wide, grad[p->tensor], NULL, o->dh, xs, p->a, R, r, p->K, xs == in);
    if (xs == in) return;
    drop(o, x, p, o->wide, o->wide, R);
    add_scaled(x, din, 1.0f, o->wide, R, p->K);
}
