/* trainer_bwd.c - the decoder's backward pass: model_body.c from its last line to its first.
 *
 * Reads: trainer_impl.h, ops.h.   Read next: optim.c.
 * dx is the gradient of the residual stream; where forward added a branch to the stream, the branch's gradient is
 * computed from dx and then added to it.
 */
#include "nn/trainer_impl.h"
#include <string.h>

static void zero(float *y, size_t n)
{
    memset(y, 0, n * sizeof *y);
}

/* One matrix w of layer l, and the adapter beside it: din (+)= what dy says of `in`, and the gradients there are. */
static void matrix_bwd(nn_trainer *t, const nn_exec *x, size_t l, nn_lora_target target, float *din, float *dw,
                       float *dbias, const float *dy, const float *in, const nn_matrix *w, bool add_din)
{
    const size_t R = t->body.n_rows;

    nn_product_bwd(x, din, dy, w, R, add_din);
    nn_linear_bwd(x, NULL, dw, dbias, dy, in, NULL, R, w->N, w->K, false);
    nn_lora_bwd(&t->body.lora, x, l, target, din, t->of[0], dy, in, R);
}

static void heads_bwd(nn_trainer *t, const nn_exec *x)
{
    const nn_config *c = &t->m->config;
    const nn_body *a = &t->body;
    const nn_segments seg = t->batch.seg;
    const size_t S = seg.n_seg, P = nn_pool_width(c);

    zero(t->dpooled, S * P);
    if (t->target.label)
        nn_linear_bwd(x, t->dpooled, t->grad.verdict, NULL, t->dverdict, a->pooled, t->m->w.verdict, S, c->n_class, P,
                      true);
    if (t->target.category)
        nn_linear_bwd(x, t->dpooled, t->grad.category, NULL, t->dcategory, a->pooled, t->m->w.category, S,
                      c->n_category, P, true);
    nn_pool_bwd(x, t->dhidden, t->dpooled, a->arg, seg, c->pool, c->width);
}

/* out = mid + Wdown swiglu(Wgate n, Wup n), n = norm(mid): dx of out becomes dx of mid */
static void ffn_bwd(nn_trainer *t, size_t l, const nn_exec *x)
{
    const nn_config *c = &t->m->config;
    const nn_block *a = t->body.block + l;
    const nn_layer *w = t->m->w.layer + l;
    const nn_layer_matrices *mx = t->m->mx.layer + l;
    nn_layer *g = t->grad.layer + l;
    const size_t R = t->body.n_rows, C = c->width, F = c->ff;

    matrix_bwd(t, x, l, NN_LORA_DOWN, t->dact, g->down, NULL, t->dx, a->act, &mx->down, false);
    nn_swiglu_bwd(x, t->dgate, t->dup, t->dact, a->gate, a->up, R, F);
    matrix_bwd(t, x, l, NN_LORA_GATE, t->dnorm, g->gate, NULL, t->dgate, a->norm2, &mx->gate, false);
    matrix_bwd(t, x, l, NN_LORA_UP, t->dnorm, g->up, NULL, t->dup, a->norm2, &mx->up, true);
    nn_rmsnorm_bwd(x, t->dx, g->ffn_norm, t->dnorm, a->mid, w->ffn_norm, a->rstd2, R, C);
}

/* mid = x + Wo att: leaves the gradients of the rotated q and k, and of v */
static void att_bwd(nn_trainer *t, size_t l, const nn_exec *x)
{
    const nn_config *c = &t->m->config;
    const nn_block *a = t->body.block + l;
    const size_t R = t->body.n_rows, H = c->heads, K = c->kv_heads, D = c->head_dim;

    matrix_bwd(t, x, l, NN_LORA_O, t->datt, t->grad.layer[l].o, NULL, t->dx, a->att, &t->m->mx.layer[l].o, false);
    zero(t->dq, R * H * D);
    zero(t->dk, R * K * D);
    zero(t->dv, R * K * D);
    nn_attn_bwd(x, t->dq, t->dk, t->dv, t->datt, a->q, a->k, a->v, t->batch.seg, c->sliding_window, H, K, D);
}

/* Back through rotation, q/k norm, the projections and the norm: dx of mid becomes dx of x */
static void qkv_bwd(nn_trainer *t, size_t l, const nn_exec *x)
{
    const nn_config *c = &t->m->config;
    const nn_block *a = t->body.block + l;
    const nn_layer *w = t->m->w.layer + l;
    const nn_layer_matrices *mx = t->m->mx.layer + l;
    nn_layer *g = t->grad.layer + l;
    const size_t R = t->body.n_rows, C = c->width, H = c->heads, K = c->kv_heads, D = c->head_dim;
    const bool half = c->rope == NN_ROPE_HALF;

    nn_rope(x, t->dq, t->body.pos, t->m->cos_t, t->m->sin_t, R, H, D, half, -1.0f);
    nn_rope(x, t->dk, t->body.pos, t->m->cos_t, t->m->sin_t, R, K, D, half, -1.0f);
    if (c->qk_norm) {
        zero(t->dq_raw, R * H * D);
        zero(t->dk_raw, R * K * D);
        nn_rmsnorm_bwd(x, t->dq_raw, g->q_norm, t->dq, a->q_raw, w->q_norm, a->rstd_q, R * H, D);
        nn_rmsnorm_bwd(x, t->dk_raw, g->k_norm, t->dk, a->k_raw, w->k_norm, a->rstd_k, R * K, D);
    }
    matrix_bwd(t, x, l, NN_LORA_Q, t->dnorm, g->q, g->q_bias, t->dq_raw, a->norm1, &mx->q, false);
    matrix_bwd(t, x, l, NN_LORA_K, t->dnorm, g->k, g->k_bias, t->dk_raw, a->norm1, &mx->k, true);
    matrix_bwd(t, x, l, NN_LORA_V, t->dnorm, g->v, g->v_bias, t->dv, a->norm1, &mx->v, true);
    nn_rmsnorm_bwd(x, t->dx, g->attn_norm, t->dnorm, a->x, w->attn_norm, a->rstd1, R, C);
}

/* What layer l's forward left in the buffers that all layers share, from its input. */
static void block_again(nn_trainer *t, size_t l, const nn_exec *x)
{
    const nn_config *c = &t->m->config;
    const nn_block *a = t->body.block + l;
    const size_t R = t->body.n_rows;

    nn_block_qkv(&t->body, l, t->m, &t->m->mx, x, R);
    nn_attn_fwd(x, a->att, a->q, a->k, a->v, t->batch.seg, c->sliding_window, c->heads, c->kv_heads, c->head_dim);
    nn_block_out(NULL, &t->body, l, t->m, &t->m->mx, x, R);
    t->held = l;
}

void nn_trainer_body_bwd(nn_trainer *t, const nn_exec *x)
{
    const nn_batch *b = &t->batch;
    const nn_body *a = &t->body;
    const size_t R = a->n_rows, C = t->m->config.width;

    if (t->target.label || t->target.category) heads_bwd(t, x);
    zero(t->dx, R * C);
    nn_rmsnorm_bwd(x, t->dx, t->grad.norm, t->dhidden, a->last, t->m->w.norm, a->rstd, R, C);
    for (size_t l = t->m->config.layers; l-- > 0;) {
        if (t->recompute && t->held != l) block_again(t, l, x);
        ffn_bwd(t, l, x);
        att_bwd(t, l, x);
        qkv_bwd(t, l, x);
    }
    if (t->grad.memory && b->mem_slot) nn_memory_bwd(x, t->grad.memory, t->dx, b->mem_slot, b->mem_start, R, C);
    nn_embed_bwd(x, t->grad.embed, t->dx, b->ids, R, C);
}

void nn_trainer_bwd(nn_trainer *t, const nn_exec *x)
{
    zero(t->dhidden, t->body.n_rows * t->m->config.width);
    if (t->target.next) (void)nn_trainer_next(t, x, true);
    nn_trainer_body_bwd(t, x);
}
