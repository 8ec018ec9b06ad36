/* trainer.c - room for everything, forward with all activations kept, losses.
 *
 * Reads: trainer_impl.h.   Read next: trainer_bwd.c, optim.c, trainer_file.c.
 */
#include "nn/trainer_impl.h"
#include <string.h>

/* --- build ------------------------------------------------------------------------------ */

static void scratch_take(nn_trainer *t, nn_arena *a, const nn_config *c, size_t R, size_t S)
{
    const size_t stream = c->width * sizeof(float), q = c->heads * c->head_dim * sizeof(float),
                 kv = c->kv_heads * c->head_dim * sizeof(float), ff = c->ff * sizeof(float);

    t->dx = nn_arena_take(a, R, stream);
    t->dhidden = nn_arena_take(a, R, stream);
    t->dnorm = nn_arena_take(a, R, stream);
    t->dq = nn_arena_take(a, R, q);
    t->dk = nn_arena_take(a, R, kv);
    t->dv = nn_arena_take(a, R, kv);
    t->dq_raw = c->qk_norm ? nn_arena_take(a, R, q) : t->dq;
    t->dk_raw = c->qk_norm ? nn_arena_take(a, R, kv) : t->dk;
    t->datt = nn_arena_take(a, R, q);
    t->dgate = nn_arena_take(a, R, ff);
    t->dup = nn_arena_take(a, R, ff);
    t->dact = nn_arena_take(a, R, ff);
    t->din = c->lm_head ? nn_arena_take(a, t->lm.cap, stream) : NULL;
    t->dpooled = nn_arena_take(a, S, nn_pool_width(c) * sizeof(float));
}

static size_t heads_of(const nn_config *c)
{
    return (c->n_class > 0 ? 1u : 0u) + (c->n_category > 0 ? 1u : 0u);
}

/* Gradients and moments. */
static void trained_take(nn_trainer *t, nn_arena *a, const nn_config *c, const nn_lora *l)
{
    nn_weights *const kind[3] = {&t->grad, &t->moment1, &t->moment2};
    const size_t n = l ? nn_lora_tensors(l) : 0;

    for (size_t i = 0; i < 3; i++) {
        if (!l) {
            nn_weights_take(kind[i], a, c);
            continue;
        }
        nn_weights_take_heads(kind[i], a, c);
        t->of[i] = nn_arena_take(a, n, sizeof **t->of);
        for (size_t j = 0; j < n; j++) {
            const nn_tensor w = nn_lora_tensor(l, j);
            float *room = nn_arena_take(a, w.rows, w.cols * sizeof *room);
            if (t->of[i]) t->of[i][j] = room;
        }
    }
    t->square = nn_arena_take(a, l ? n + heads_of(c) : nn_config_tensors(c), sizeof *t->square);
    t->grad_output = !l && c->lm_head && c->tied ? nn_arena_take(a, c->vocab, c->width * sizeof(float)) : NULL;
}

static void trainer_layout(nn_trainer *t, nn_arena *a, const nn_config *c, nn_trainer_options o)
{
    const size_t R = o.max_rows, S = o.max_seg;

    trained_take(t, a, c, o.lora);
    nn_body_take(&t->body, a, c, R, S, o.recompute ? NN_KEEP_INPUTS : NN_KEEP_ALL);
    nn_lora_room_take(&t->body.lora, a, o.lora, R);
    nn_lm_take(&t->lm, a, c, NN_LM_CHUNK);
    t->logprob = nn_arena_take(a, R, sizeof(float));
    if (c->n_class) {
        t->p = nn_arena_take(a, S, sizeof(float));
        t->dverdict = nn_arena_take(a, S, c->n_class * sizeof(float));
    }
    if (c->n_category) {
        t->p_category = nn_arena_take(a, S, c->n_category * sizeof(float));
        t->dcategory = nn_arena_take(a, S, c->n_category * sizeof(float));
    }
    scratch_take(t, a, c, R, S);
}

size_t nn_trainer_bytes(const nn_config *c, nn_trainer_options o)
{
    nn_trainer t = {0};
    nn_arena dry = {0};

    trainer_layout(&t, &dry, c, o);
    return dry.used;
}

size_t nn_trainer_bytes_lora(const nn_config *c, nn_trainer_options o, const nn_lora_options *l)
{
    nn_lora *lora = NULL;

    if (nn_lora_build(&lora, c, l, NULL) != NN_OK) return SIZE_MAX / 2;
    o.lora = lora;
    const size_t bytes = nn_trainer_bytes(c, o) + lora->arena.used;
    nn_lora_free(lora);
    return bytes;
}

nn_status nn_trainer_build(nn_trainer **out, nn_model *m, nn_trainer_options o, nn_err *err)
{
    nn_trainer *t = NULL;
    void *block = NULL;
    nn_status st;

    *out = NULL;
    if (o.max_rows == 0 || o.max_seg == 0 || o.max_seg > o.max_rows) {
        st = nn_fail(err, NN_USAGE, "trainer: %zu rows in %zu segments, want at least one row a segment", o.max_rows,
                     o.max_seg);
        goto done;
    }
    if (nn_model_is_i8(m)) {
        st = nn_fail(err, NN_USAGE, "trainer: the model's weights are int8, want float");
        goto done;
    }
    if (nn_model_is_stored(m) && !o.lora) {
        st = nn_fail(err, NN_USAGE, "trainer: the model's weights are in their file's types, want a float copy");
        goto done;
    }
    if (o.lora && (st = nn_lora_fits(o.lora, &m->config, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&block, 1, sizeof *t, err)) != NN_OK) goto done;
    t = block;
    if ((st = nn_arena_open(&t->arena, nn_trainer_bytes(&m->config, o), err)) != NN_OK) goto done;
    trainer_layout(t, &t->arena, &m->config, o);
    t->m = m;
    t->recompute = o.recompute;
    t->lora = o.lora;
    if (!o.lora) nn_model_unpack(m); /* a packed copy would grow old */
    t->power1 = t->power2 = 1.0;
    *out = t;
    t = NULL;
done:
    nn_trainer_free(t);
    return st;
}

void nn_trainer_free(nn_trainer *t)
{
    if (!t) return;
    nn_arena_free(&t->arena);
    nn_free(t);
}

/* --- forward ----------------------------------------------------------------------------- */

static nn_losses forward(nn_trainer *t, const nn_exec *x, const nn_batch *b, const nn_targets *y, bool learn)
{
    const nn_config *c = &t->m->config;
    const size_t S = b->seg.n_seg;
    nn_losses out = {0.0, 0.0, 0.0, 0.0};

    NN_ASSERT((!y->next || c->lm_head) && (!y->label || c->n_class) && (!y->category || c->n_category));
    t->batch = *b;
    t->target = *y;
    t->body.lora.drop = learn;
    t->body.lora.step = t->steps;
    nn_body_fwd(&t->body, t->m, x, b);
    t->held = c->layers - 1;
    if (learn) memset(t->dhidden, 0, t->body.n_rows * c->width * sizeof *t->dhidden);
    if (y->next) out.next_loss = nn_trainer_next(t, x, learn);
    if (y->label)
        out.label_loss =
            nn_verdict_loss(x, t->p, t->dverdict, t->body.verdict, y->offset, y->label, y->label_weight, S);
    if (y->category)
        out.category_loss = nn_category_loss(x, t->p_category, t->dcategory, t->body.category, y->category,
                                             y->category_weight, S, c->n_category);
    out.loss = out.next_loss + out.label_loss + out.category_loss;
    return out;
}

nn_losses nn_trainer_fwd(nn_trainer *t, const nn_exec *x, const nn_batch *b, const nn_targets *y)
{
    return forward(t, x, b, y, false);
}

nn_losses nn_trainer_fwd_bwd(nn_trainer *t, const nn_exec *x, const nn_batch *b, const nn_targets *y)
{
    const nn_losses out = forward(t, x, b, y, true);

    nn_trainer_body_bwd(t, x);
    t->body.lora.row += t->body.n_rows;
    return out;
}

const float *nn_trainer_logprob(const nn_trainer *t)
{
    return t->logprob;
}

const float *nn_trainer_p(const nn_trainer *t)
{
    return t->p;
}

/* --- what is trained ---------------------------------------------------------------------- */

size_t nn_trainer_n_trained(const nn_trainer *t)
{
    return t->lora ? t->lora->n_tensor + heads_of(&t->m->config) : t->m->n_tensor;
}

/* The heads are the last rows of the table of tensors. */
nn_trained nn_trainer_trained(const nn_trainer *t, size_t i)
{
    const size_t n = t->lora ? t->lora->n_tensor : 0;

    if (i < n) {
        const nn_tensor *w = t->lora->tensor + i;
        return (nn_trained){w, w->data, t->of[0][i], t->of[1][i], t->of[2][i]};
    }
    if (t->lora) i += t->m->n_tensor - nn_trainer_n_trained(t);
    return (nn_trained){t->m->tensor + i, t->m->tensor[i].data, t->grad.at[i], t->moment1.at[i], t->moment2.at[i]};
}

/* --- gradients as the caller sees them --------------------------------------------------- */

static void fold_piece(void *ctx, size_t first, size_t last, size_t thread)
{
    nn_trainer *t = ctx;

    (void)thread;
    for (size_t i = first; i < last; i++) {
        t->grad.embed[i] += t->grad_output[i];
        t->grad_output[i] = 0.0f;
    }
}

void nn_trainer_fold(nn_trainer *t, const nn_par *par)
{
    if (t->grad_output) nn_par_run(par, t->m->config.vocab * t->m->config.width, 8192, fold_piece, t);
}

void nn_trainer_zero(nn_trainer *t)
{
    const nn_config *c = &t->m->config;

    t->body.lora.row = 0;
    for (size_t i = 0; i < nn_trainer_n_trained(t); i++) {
        const nn_trained p = nn_trainer_trained(t, i);
        memset(p.grad, 0, p.w->rows * p.w->cols * sizeof *p.grad);
    }
    if (t->grad_output) memset(t->grad_output, 0, c->vocab * c->width * sizeof(float));
}

float *nn_trainer_grad(nn_trainer *t, size_t tensor)
{
    NN_ASSERT(tensor < t->m->n_tensor);
    const nn_par one = nn_par_one();

    if (t->grad_output && t->grad.at[tensor] == t->grad.embed) nn_trainer_fold(t, &one);
    return t->grad.at[tensor];
}

float *nn_trainer_lora_grad(nn_trainer *t, size_t tensor)
{
    NN_ASSERT(t->lora && tensor < t->lora->n_tensor);
    return t->of[0][tensor];
}
