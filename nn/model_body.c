/* model_body.c - the decoder's forward pass: the one body that prefill, training and decoding run.
 *
 * Reads: model_impl.h, ops.h.   Read next: trainer_bwd.c (the same, backwards), decode.c (the same, over caches).
 */
#include "nn/model_impl.h"
#include <string.h>

/* --- buffers ---------------------------------------------------------------------------- */

/* All but x. */
static void block_take(nn_block *b, nn_arena *a, const nn_config *c, size_t R)
{
    const size_t stream = c->width * sizeof(float), q = c->heads * c->head_dim * sizeof(float),
                 kv = c->kv_heads * c->head_dim * sizeof(float), ff = c->ff * sizeof(float);

    b->norm1 = nn_arena_take(a, R, stream);
    b->rstd1 = nn_arena_take(a, R, sizeof(float));
    b->q = nn_arena_take(a, R, q);
    b->k = nn_arena_take(a, R, kv);
    b->v = nn_arena_take(a, R, kv);
    b->q_raw = c->qk_norm ? nn_arena_take(a, R, q) : b->q;
    b->k_raw = c->qk_norm ? nn_arena_take(a, R, kv) : b->k;
    b->rstd_q = c->qk_norm ? nn_arena_take(a, R, c->heads * sizeof(float)) : NULL;
    b->rstd_k = c->qk_norm ? nn_arena_take(a, R, c->kv_heads * sizeof(float)) : NULL;
    b->att = nn_arena_take(a, R, q);
    b->mid = nn_arena_take(a, R, stream);
    b->norm2 = nn_arena_take(a, R, stream);
    b->rstd2 = nn_arena_take(a, R, sizeof(float));
    b->gate = nn_arena_take(a, R, ff);
    b->up = nn_arena_take(a, R, ff);
    b->act = nn_arena_take(a, R, ff);
}

static size_t widest_input(const nn_config *c)
{
    const size_t att = c->heads * c->head_dim, most = c->width > c->ff ? c->width : c->ff;

    return most > att ? most : att;
}

void nn_body_take(nn_body *b, nn_arena *a, const nn_config *c, size_t max_rows, size_t max_seg, nn_keep keep)
{
    const bool share = keep == NN_KEEP_LAST;
    nn_block one = {0};

    memset(b, 0, sizeof *b);
    b->max_rows = max_rows;
    b->max_seg = max_seg;
    b->block = nn_arena_take(a, c->layers, sizeof *b->block);
    for (size_t l = 0; l < c->layers; l++) {
        if (l == 0 || !share) one.x = nn_arena_take(a, max_rows, c->width * sizeof *one.x);
        if (l == 0 || keep == NN_KEEP_ALL) block_take(&one, a, c, max_rows);
        if (b->block) b->block[l] = one;
    }
    b->last = share ? one.x : nn_arena_take(a, max_rows, c->width * sizeof(float));
    b->rstd = nn_arena_take(a, max_rows, sizeof(float));
    b->hidden = nn_arena_take(a, max_rows, c->width * sizeof(float));
    b->sum = nn_arena_take(a, max_rows, c->width * sizeof(float));
    b->rows_i8.q = nn_arena_take(a, max_rows, nn_i8_cols(widest_input(c)));
    b->rows_i8.scale = nn_arena_take(a, max_rows, sizeof(float));
    b->pos = nn_arena_take(a, max_rows, sizeof *b->pos);
    b->pooled = nn_arena_take(a, max_seg, nn_pool_width(c) * sizeof(float));
    b->arg = nn_arena_take(a, max_seg, c->width * sizeof *b->arg);
    if (c->n_class) b->verdict = nn_arena_take(a, max_seg, c->n_class * sizeof(float));
    if (c->n_category) b->category = nn_arena_take(a, max_seg, c->n_category * sizeof(float));
}

/* --- one block --------------------------------------------------------------------------- */

typedef struct {
    const nn_kern *k;
    float *out;
    const float *stream, *add;
    size_t C;
} stream_ctx;

static void stream_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const stream_ctx *s = ctx;
    const size_t at = first * s->C, n = (last - first) * s->C;

    (void)thread;
    if (s->out != s->stream) memcpy(s->out + at, s->stream + at, n * sizeof *s->out);
    s->k->add(s->out + at, s->add + at, n);
}

/* out = stream + add; out may be stream */
static void stream_add(const nn_exec *x, float *out, const float *stream, const float *add, size_t R, size_t C)
{
    stream_ctx s = {x->k, out, stream, add, C};

    nn_par_run(&x->par, R, 64, stream_rows, &s);
}

/* 1. norm   2. three projections, and what adapters add   3. q/k norm over each head's D values   4. rotation */
void nn_block_qkv(nn_body *body, size_t l, const nn_model *m, const nn_matrices *mx, const nn_exec *x, size_t R)
{
    const nn_config *c = &m->config;
    const nn_layer *w = m->w.layer + l;
    const nn_layer_matrices *mat = mx->layer + l;
    nn_block *a = body->block + l;
    const nn_heads q = {a->q, a->rstd_q, a->q_raw, c->qk_norm ? w->q_norm : NULL, c->heads};
    const nn_heads k = {a->k, a->rstd_k, a->k_raw, c->qk_norm ? w->k_norm : NULL, c->kv_heads};
    const nn_product qkv[] = {
        {a->q_raw, &mat->q, w->q_bias}, {a->k_raw, &mat->k, w->k_bias}, {a->v, &mat->v, w->v_bias}};

    nn_rmsnorm_fwd(x, a->norm1, a->rstd1, a->x, w->attn_norm, c->norm_eps, R, c->width);
    nn_round_inputs(body, x, a->norm1, &mat->q, R);
    nn_products_fwd(x, qkv, 3, a->norm1, R, body->rows_i8);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_Q, a->q_raw, a->norm1, R);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_K, a->k_raw, a->norm1, R);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_V, a->v, a->norm1, R);
    nn_qk_rope(x, q, k, c->norm_eps, body->pos, m->cos_t, m->sin_t, R, c->head_dim, c->rope == NN_ROPE_HALF, 1.0f);
    nn_round_cached(body, x, a, mat, R);
}

/* mid = x + att Wo;  out = mid + Wdown swiglu(Wgate n, Wup n) with n = norm(mid) */
void nn_block_out(float *out, nn_body *body, size_t l, const nn_model *m, const nn_matrices *mx, const nn_exec *x,
                  size_t R)
{
    const nn_config *c = &m->config;
    const nn_layer *w = m->w.layer + l;
    const nn_layer_matrices *mat = mx->layer + l;
    nn_block *a = body->block + l;
    const size_t C = c->width, F = c->ff;
    const nn_product o = {body->sum, &mat->o, NULL}, down = {body->sum, &mat->down, NULL};
    const nn_product gate_up[] = {{a->gate, &mat->gate, NULL}, {a->up, &mat->up, NULL}};

    nn_round_inputs(body, x, a->att, &mat->o, R);
    nn_products_fwd(x, &o, 1, a->att, R, body->rows_i8);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_O, body->sum, a->att, R);
    nn_add_rmsnorm_fwd(x, a->norm2, a->rstd2, a->mid, a->x, body->sum, w->ffn_norm, c->norm_eps, R, C);
    nn_round_inputs(body, x, a->norm2, &mat->gate, R);
    nn_products_fwd(x, gate_up, 2, a->norm2, R, body->rows_i8);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_GATE, a->gate, a->norm2, R);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_UP, a->up, a->norm2, R);
    nn_swiglu_fwd(x, a->act, a->gate, a->up, R, F);
    if (!out) return;
    nn_round_inputs(body, x, a->act, &mat->down, R);
    nn_products_fwd(x, &down, 1, a->act, R, body->rows_i8);
    nn_lora_fwd(&body->lora, x, l, NN_LORA_DOWN, body->sum, a->act, R);
    stream_add(x, out, a->mid, body->sum, R, C);
}

/* --- the whole --------------------------------------------------------------------------- */

static void positions(int32_t *pos, nn_segments seg, size_t max_t)
{
    (void)max_t; /* read by the assertion only */
    for (size_t s = 0; s < seg.n_seg; s++) {
        NN_ASSERT(seg.start[s] < seg.start[s + 1] && seg.start[s + 1] - seg.start[s] <= max_t);
        for (size_t r = seg.start[s]; r < seg.start[s + 1]; r++) pos[r] = (int32_t)(r - seg.start[s]);
    }
}

static void heads_fwd(nn_body *a, const nn_model *m, const nn_exec *x, size_t S)
{
    const nn_config *c = &m->config;
    const size_t P = nn_pool_width(c);

    if (a->verdict) nn_linear_fwd(x, a->verdict, a->pooled, m->w.verdict, NULL, S, c->n_class, P);
    if (a->category) nn_linear_fwd(x, a->category, a->pooled, m->w.category, NULL, S, c->n_category, P);
}

/* The last row of each segment becomes row s of x and att: rows only move to the front. */
static void keep_tails(nn_block *a, nn_segments seg, size_t C, size_t att)
{
    for (size_t s = 0; s < seg.n_seg; s++) {
        const size_t r = seg.start[s + 1] - 1;

        memmove(a->x + s * C, a->x + r * C, C * sizeof *a->x);
        memmove(a->att + s * att, a->att + r * att, att * sizeof *a->att);
    }
}

/* tails: of the last block's outputs only each segment's last row is wanted. A row's bits do not depend on the others
 * that are computed with it, so what is wanted is the same. */
static void body_fwd(nn_body *a, const nn_model *m, const nn_exec *x, const nn_batch *b, bool tails)
{
    const nn_config *c = &m->config;
    const size_t R = b->seg.start[b->seg.n_seg];
    size_t kept = R;

    NN_ASSERT(b->seg.n_seg > 0 && b->seg.start[0] == 0 && R <= a->max_rows && b->seg.n_seg <= a->max_seg);
    positions(a->pos, b->seg, c->max_t);

    nn_model_embed(m, x, a->block[0].x, b->ids, R);
    nn_model_memory(m, x, a->block[0].x, b->mem_slot, b->mem_start, R);
    for (size_t l = 0; l < c->layers; l++) {
        nn_block *blk = a->block + l;

        nn_block_qkv(a, l, m, &m->mx, x, R);
        nn_attn_fwd(x, blk->att, blk->q, blk->k, blk->v, b->seg, c->sliding_window, c->heads, c->kv_heads,
                    c->head_dim);
        if (tails && l + 1 == c->layers) {
            keep_tails(blk, b->seg, c->width, c->heads * c->head_dim);
            kept = b->seg.n_seg;
        }
        nn_block_out(l + 1 < c->layers ? a->block[l + 1].x : a->last, a, l, m, &m->mx, x, kept);
    }
    nn_rmsnorm_fwd(x, a->hidden, a->rstd, a->last, m->w.norm, c->norm_eps, kept, c->width);
    a->n_rows = tails ? 0 : R;
}

void nn_body_fwd(nn_body *a, const nn_model *m, const nn_exec *x, const nn_batch *b)
{
    body_fwd(a, m, x, b, false);
    nn_pool_fwd(x, a->pooled, a->arg, a->hidden, b->seg, m->config.pool, m->config.width);
    heads_fwd(a, m, x, b->seg.n_seg);
}

void nn_body_heads_fwd(nn_body *a, const nn_model *m, const nn_exec *x, const nn_batch *b)
{
    if (m->config.pool != NN_POOL_LAST) {
        nn_body_fwd(a, m, x, b);
        return;
    }
    body_fwd(a, m, x, b, true);
    memcpy(a->pooled, a->hidden, b->seg.n_seg * m->config.width * sizeof *a->pooled);
    heads_fwd(a, m, x, b->seg.n_seg);
}

/* --- next-token logits ------------------------------------------------------------------- */

void nn_lm_take(nn_lm_chunk *k, nn_arena *a, const nn_config *c, size_t rows)
{
    memset(k, 0, sizeof *k);
    if (!c->lm_head) return;
    k->cap = rows;
    k->row = nn_arena_take(a, rows, sizeof *k->row);
    k->in = nn_arena_take(a, rows, c->width * sizeof *k->in);
    k->rows_i8.q = nn_arena_take(a, rows, nn_i8_cols(c->width));
    k->rows_i8.scale = nn_arena_take(a, rows, sizeof(float));
    k->logits = nn_arena_take(a, rows, c->vocab * sizeof *k->logits);
    k->target = nn_arena_take(a, rows, sizeof *k->target);
    k->weight = nn_arena_take(a, rows, sizeof *k->weight);
    k->logprob = nn_arena_take(a, rows, sizeof *k->logprob);
}

const float *nn_output_weight(const nn_model *m)
{
    return m->config.tied ? m->w.embed : m->w.output;
}

bool nn_lm_next(nn_lm_chunk *k, size_t *r, const float *hidden, const int32_t *target, const float *weight, size_t R,
                size_t C)
{
    for (k->n = 0; *r < R && k->n < k->cap; ++*r) {
        if (target[*r] < 0) continue;
        memcpy(k->in + k->n * C, hidden + *r * C, C * sizeof *k->in);
        k->row[k->n] = *r;
        k->target[k->n] = target[*r];
        k->weight[k->n] = weight ? weight[*r] : 1.0f;
        k->n++;
    }
    return k->n > 0;
}

double nn_lm_loss(nn_lm_chunk *k, const nn_matrix *head, const nn_exec *x, double loss)
{
    const nn_product logits = {k->logits, head, NULL};

    nn_products_fwd(x, &logits, 1, k->in, k->n, k->rows_i8);
    for (size_t i = 0; i < k->n; i += NN_LM_CHUNK) { /* partial sums that do not depend on cap */
        const size_t n = k->n - i < NN_LM_CHUNK ? k->n - i : NN_LM_CHUNK;
        float *z = k->logits + i * head->N;

        loss += nn_xent(x, k->logprob + i, z, z, k->target + i, k->weight + i, n, head->N);
    }
    return loss;
}
