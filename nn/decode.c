/* decode.c - many sequences at once over key and value caches.
 *
 * Reads: decode.h, model_impl.h.   Read next: sample.c.
 * Each round feeds one token of every running row: the next of its prompt, or the one just drawn. A row that has its
 * whole prompt behind it draws; a row that ends gives its slot to the next that waits. All products see the running
 * rows as one matrix; the contract (kern.h) makes their number irrelevant.
 */
#include "nn/decode.h"
#include "nn/model_impl.h"
#include <string.h>

typedef struct {
    nn_decode_row *row; /* NULL: free */
    size_t index;       /* of the row among the caller's */
    size_t fed;         /* tokens in the cache */
} slot;

struct nn_decoder {
    nn_arena arena;
    nn_packed packed;           /* of the weights as they are in this batch */
    nn_body body;               /* max_rows = slots */
    size_t n_slot;
    slot *slot;
    float *cache;               /* [L, slots] x cache_floats: keys and values, as attention wants them */
    size_t cache_floats;
    float *hidden, *logits;     /* [slots,C] [slots,V] of the rows that draw */
    unsigned char *scratch;     /* [slots] x scratch_bytes */
    size_t scratch_bytes;
    /* one round, entry i for the i-th running row */
    size_t *active;             /* its slot */
    int32_t *ids;
    size_t *start;              /* [slots + 1] its row: 0, 1, 2, ... */
    size_t *past;               /* positions before its own */
    float **cache_of;           /* its cache of the layer at hand */
    size_t *drawing;            /* entries that draw, in order */
};

static void decoder_layout(nn_decoder *d, nn_arena *a, const nn_config *c)
{
    const size_t n = d->n_slot, caches = n > SIZE_MAX / c->layers ? SIZE_MAX : c->layers * n;

    d->cache_floats = nn_attn_cache_floats(c->max_t, c->kv_heads, c->head_dim);
    nn_body_take(&d->body, a, c, n, n, true);
    d->slot = nn_arena_take(a, n, sizeof *d->slot);
    d->cache = nn_arena_take(a, caches, d->cache_floats * sizeof *d->cache);
    d->hidden = nn_arena_take(a, n, c->width * sizeof *d->hidden);
    d->logits = nn_arena_take(a, n, c->vocab * sizeof *d->logits);
    d->scratch_bytes = (nn_sample_scratch(c->vocab) + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
    d->scratch = nn_arena_take(a, n, d->scratch_bytes);
    d->active = nn_arena_take(a, n, sizeof *d->active);
    d->ids = nn_arena_take(a, n, sizeof *d->ids);
    d->start = nn_arena_take(a, n + 1, sizeof *d->start);
    d->past = nn_arena_take(a, n, sizeof *d->past);
    d->cache_of = nn_arena_take(a, n, sizeof *d->cache_of);
    d->drawing = nn_arena_take(a, n, sizeof *d->drawing);
}

nn_status nn_decoder_build(nn_decoder **out, const nn_model *m, size_t slots, nn_err *err)
{
    nn_decoder *d = NULL;
    void *block = NULL;
    nn_arena dry = {0};
    nn_status st;

    *out = NULL;
    if (slots == 0 || !m->config.lm_head || m->config.memory_rows > 0) {
        st = nn_fail(err, NN_USAGE, "decoder: %zu slots, want one or more; next-token logits; no n-gram memory",
                     slots);
        goto done;
    }
    if ((st = nn_alloc(&block, 1, sizeof *d, err)) != NN_OK) goto done;
    d = block;
    d->n_slot = slots;
    decoder_layout(d, &dry, &m->config);
    if ((st = nn_arena_open(&d->arena, dry.used, err)) != NN_OK) goto done;
    decoder_layout(d, &d->arena, &m->config);
    NN_ASSERT(d->arena.used == dry.used);
    if ((st = nn_packed_build(&d->packed, m, err)) != NN_OK) goto done;
    *out = d;
    d = NULL;
done:
    nn_decoder_free(d);
    return st;
}

void nn_decoder_free(nn_decoder *d)
{
    if (!d) return;
    nn_packed_free(&d->packed);
    nn_arena_free(&d->arena);
    nn_free(d);
}

/* --- one round ---------------------------------------------------------------------------- */

/* nn_body_fwd's steps for one row of each of n sequences. */
static void forward(nn_decoder *d, const nn_model *m, const nn_matrices *mx, const nn_exec *x, size_t n)
{
    const nn_config *c = &m->config;
    nn_body *a = &d->body;

    for (size_t i = 0; i < n; i++) {
        a->pos[i] = (int32_t)d->past[i];
        d->start[i + 1] = i + 1;
    }
    nn_model_embed(m, x, a->block[0].x, d->ids, n);
    for (size_t l = 0; l < c->layers; l++) {
        nn_block *b = a->block + l;

        nn_block_qkv(a, l, m, mx, x, n);
        for (size_t i = 0; i < n; i++)
            d->cache_of[i] = d->cache + (l * d->n_slot + d->active[i]) * d->cache_floats;
        nn_attn_cached(x, b->att, b->q, b->k, b->v, d->cache_of, d->past, (nn_segments){d->start, n}, c->max_t,
                       c->heads, c->kv_heads, c->head_dim);
        nn_block_out(a->last, a, l, m, mx, x, n);
    }
    nn_rmsnorm_fwd(x, a->hidden, a->rstd, a->last, m->w.norm, c->norm_eps, n, c->width);
}

typedef struct {
    nn_decoder *d;
    const nn_model *m;
    const nn_exec *x;
    const nn_sampler *s;
} draw_ctx;

/* Rows draw independently; each thread works alone, with its own scratch of the caller's exec. */
static void draw_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const draw_ctx *w = ctx;
    const size_t V = w->m->config.vocab;
    const nn_exec alone = {.k = w->x->k, .par = nn_par_one(), .scratch = nn_exec_scratch(w->x, thread),
                           .scratch_len = w->x->scratch_len};

    for (size_t j = first; j < last; j++) {
        nn_decode_row *row = w->d->slot[w->d->active[w->d->drawing[j]]].row;
        const size_t p = row->n_out;
        nn_rng rng = row->rng;

        rng.pos += p;
        row->out[p] = nn_sample(&alone, w->s, w->d->logits + j * V, V, &rng, row->logprob ? row->logprob + p : NULL,
                                w->d->scratch + j * w->d->scratch_bytes);
        row->n_out = p + 1;
        row->stopped = row->out[p] == w->s->stop;
    }
}

/* Lists the running rows and their next token; returns their number, *n_draw those whose logits are wanted. */
static size_t plan_round(nn_decoder *d, size_t *n_draw)
{
    size_t n = 0;

    *n_draw = 0;
    for (size_t i = 0; i < d->n_slot; i++) {
        slot *s = d->slot + i;

        if (!s->row) continue;
        d->active[n] = i;
        d->ids[n] = s->fed < s->row->n_prompt ? s->row->prompt[s->fed] : s->row->out[s->fed - s->row->n_prompt];
        d->past[n] = s->fed++;
        if (s->fed >= s->row->n_prompt) d->drawing[(*n_draw)++] = n;
        n++;
    }
    return n;
}

/* Gives free slots to waiting rows; rows that want nothing pass by. Returns the next waiting row. */
static size_t fill_slots(nn_decoder *d, nn_decode_row *rows, size_t next, size_t n, size_t max_t)
{
    (void)max_t; /* read by the assertion only */
    for (size_t i = 0; i < d->n_slot; i++) {
        if (d->slot[i].row) continue;
        while (next < n && rows[next].max_new == 0) next++;
        if (next == n) return n;
        NN_ASSERT(rows[next].n_prompt >= 1 && rows[next].n_prompt <= max_t);
        d->slot[i] = (slot){rows + next, next, 0};
        next++;
    }
    return next;
}

void nn_decode_batch(const nn_model *m, nn_decoder *d, const nn_exec *x, nn_decode_row *rows, size_t n,
                     const nn_sampler *s, void (*on_token)(void *ctx, size_t row, size_t pos, int32_t id), void *ctx)
{
    const size_t C = m->config.width, max_t = m->config.max_t;
    draw_ctx draw = {d, m, x, s};
    const bool ready = m->mx.output.panels || m->mx.output.i8; /* the model has its packed form already */
    const nn_matrices *mx = ready ? &m->mx : &d->packed.mx;
    size_t n_draw = 0;

    if (!ready) nn_packed_fill(&d->packed, m, x);

    for (size_t i = 0; i < n; i++) {
        rows[i].n_out = 0;
        rows[i].stopped = false;
    }
    memset(d->slot, 0, d->n_slot * sizeof *d->slot);
    for (size_t next = 0;;) {
        next = fill_slots(d, rows, next, n, max_t);
        const size_t running = plan_round(d, &n_draw);
        if (running == 0) return;

        forward(d, m, mx, x, running);
        for (size_t j = 0; j < n_draw; j++)
            memcpy(d->hidden + j * C, d->body.hidden + d->drawing[j] * C, C * sizeof *d->hidden);
        const nn_product head = {d->logits, &mx->output, NULL};
        if (n_draw) nn_products_fwd(x, &head, 1, d->hidden, n_draw, d->body.rows_i8);
        nn_par_run(&x->par, n_draw, 4, draw_rows, &draw);

        for (size_t j = 0; j < n_draw; j++) {
            slot *done = d->slot + d->active[d->drawing[j]];
            const nn_decode_row *row = done->row;

            if (on_token) on_token(ctx, done->index, row->n_out - 1, row->out[row->n_out - 1]);
            if (row->stopped || row->n_out == row->max_new || done->fed == max_t) done->row = NULL;
        }
    }
}
