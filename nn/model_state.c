/* model_state.c - inference over whole segments: one layer's buffers, results read through getters.
 *
 * Reads: model_impl.h.   Read next: decode.c (one token at a time), trainer.c.
 */
#include "nn/model_impl.h"
#include <string.h>

struct nn_state {
    nn_arena arena;
    nn_body body;
    nn_lm_chunk lm;
    int32_t *target; /* [R] of nn_state_logprob; NULL without an LM head */
};

static void state_layout(nn_state *s, nn_arena *a, const nn_config *c, const nn_lora *l, size_t max_rows,
                         size_t max_seg)
{
    nn_body_take(&s->body, a, c, max_rows, max_seg, NN_KEEP_LAST);
    nn_lora_room_take(&s->body.lora, a, l, max_rows);
    nn_lm_take(&s->lm, a, c, NN_LM_CHUNK);
    s->target = c->lm_head ? nn_arena_take(a, max_rows, sizeof *s->target) : NULL;
}

nn_status nn_state_build_lora(nn_state **out, const nn_model *m, const nn_lora *l, size_t max_rows, size_t max_seg,
                              nn_err *err)
{
    nn_state *s = NULL;
    void *block = NULL;
    nn_arena dry = {0};
    nn_status st;

    *out = NULL;
    if (l && (st = nn_lora_fits(l, &m->config, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&block, 1, sizeof *s, err)) != NN_OK) goto done;
    s = block;
    state_layout(s, &dry, &m->config, l, max_rows, max_seg);
    if ((st = nn_arena_open(&s->arena, dry.used, err)) != NN_OK) goto done;
    state_layout(s, &s->arena, &m->config, l, max_rows, max_seg);
    NN_ASSERT(s->arena.used == dry.used);
    *out = s;
    s = NULL;
done:
    nn_state_free(s);
    return st;
}

nn_status nn_state_build(nn_state **out, const nn_model *m, size_t max_rows, size_t max_seg, nn_err *err)
{
    return nn_state_build_lora(out, m, NULL, max_rows, max_seg, err);
}

void nn_state_free(nn_state *s)
{
    if (!s) return;
    nn_arena_free(&s->arena);
    nn_free(s);
}

void nn_model_fwd(const nn_model *m, nn_state *s, const nn_exec *x, const nn_batch *b)
{
    nn_body_fwd(&s->body, m, x, b);
}

void nn_model_heads_fwd(const nn_model *m, nn_state *s, const nn_exec *x, const nn_batch *b)
{
    nn_body_heads_fwd(&s->body, m, x, b);
}

const float *nn_state_hidden(const nn_state *s)
{
    return s->body.hidden;
}

const float *nn_state_pooled(const nn_state *s)
{
    return s->body.pooled;
}

const float *nn_state_verdict(const nn_state *s)
{
    return s->body.verdict;
}

const float *nn_state_category(const nn_state *s)
{
    return s->body.category;
}

void nn_state_round_inputs(nn_state *s, bool on)
{
    s->body.round_inputs = on;
}

void nn_state_lm_logits(const nn_model *m, const nn_state *s, const nn_exec *x, float *out, const size_t *rows,
                        size_t n)
{
    const size_t C = m->config.width, V = m->config.vocab;

    NN_ASSERT(m->config.lm_head);
    for (size_t i = 0; i < n; i += NN_LM_CHUNK) {
        const size_t n_chunk = n - i < NN_LM_CHUNK ? n - i : NN_LM_CHUNK;

        for (size_t j = 0; j < n_chunk; j++) {
            NN_ASSERT(rows[i + j] < s->body.n_rows);
            memcpy(s->lm.in + j * C, s->body.hidden + rows[i + j] * C, C * sizeof *s->lm.in);
        }
        const nn_product head = {out + i * V, &m->mx.output, NULL};
        nn_round_inputs(&s->body, x, s->lm.in, &m->mx.output, n_chunk);
        nn_products_fwd(x, &head, 1, s->lm.in, n_chunk, s->lm.rows_i8);
    }
}

void nn_state_logprob(const nn_model *m, nn_state *s, const nn_exec *x, const nn_batch *b, float *logprob)
{
    const nn_segments seg = b->seg;
    const size_t R = seg.start[seg.n_seg];

    NN_ASSERT(m->config.lm_head);
    nn_model_fwd(m, s, x, b);
    for (size_t i = 0; i < seg.n_seg; i++) {
        for (size_t r = seg.start[i]; r + 1 < seg.start[i + 1]; r++) s->target[r] = b->ids[r + 1];
        s->target[seg.start[i + 1] - 1] = -1;
    }
    memset(logprob, 0, R * sizeof *logprob);
    for (size_t r = 0; nn_lm_next(&s->lm, &r, s->body.hidden, s->target, NULL, R, m->config.width);) {
        (void)nn_lm_loss(&s->lm, &m->mx.output, x, 0.0);
        for (size_t i = 0; i < s->lm.n; i++) logprob[s->lm.row[i] + 1] = s->lm.logprob[i];
    }
}
