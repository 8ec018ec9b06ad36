/* decode.c - many sequences at once over key and value caches.
 *
 * Reads: decode.h, model_impl.h.   Read next: sample.c.
 * A round is one packed batch: of each running row the token just drawn, or the next piece of its prompt. A row that
 * has its whole prompt behind it draws; a row that ends gives its slot to the next that waits. All products see the
 * rows of the round as one matrix; the contract (kern.h) makes their number irrelevant.
 * Past the last attention only the rows that draw go on. Logits are the largest thing here (V to a row): they are made
 * and drawn from some rows at a time, while the cache holds them.
 */
#include "nn/decode.h"
#include "nn/model_impl.h"
#include "nn/plat.h"
#include <string.h>

enum {
    ROUND_ROWS = 128, /* room in a round, unless there are more slots */
    DRAW_ROWS = 64,   /* whose logits exist at once */
    TILE_ROWS = 8     /* pieces of DRAW_ROWS are multiples of this: what a product takes at once */
};

typedef struct {
    nn_decode_row *row; /* NULL: free */
    size_t index;       /* of the row among the caller's */
    size_t fed;         /* tokens in the cache */
} slot;

struct nn_decoder {
    nn_arena arena;
    nn_packed packed;           /* of the weights as they are in this batch; empty where the model has a form to read */
    nn_body body;               /* max_rows = room */
    size_t n_slot, room, n_logits;
    slot *slot;
    float *cache;               /* [L, slots] x cache_floats: keys and values, as attention wants them */
    size_t cache_floats;
    float *logits;              /* [n_logits,V] */
    unsigned char *scratch;     /* [n_logits] x scratch_bytes, one a thread: a piece has a row at least */
    size_t scratch_bytes;
    /* one round: segment i is the rows of the i-th running slot */
    size_t *active;             /* [slots] its slot */
    size_t *start;              /* [slots + 1] its rows */
    size_t *past;               /* [slots] positions before its first */
    float **cache_of;           /* [slots] its cache of the layer at hand */
    int32_t *ids;               /* [room] of the rows */
    size_t *drawing;            /* [slots] segments whose last row draws, in order */
    size_t n_active, n_draw;
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void decoder_layout(nn_decoder *d, nn_arena *a, const nn_config *c)
{
    const size_t n = d->n_slot, caches = n > SIZE_MAX / c->layers ? SIZE_MAX : c->layers * n;

    d->room = n < ROUND_ROWS ? ROUND_ROWS : n;
    d->n_logits = smaller(n, DRAW_ROWS);
    d->cache_floats = nn_attn_cache_floats(c->max_t, c->kv_heads, c->head_dim);
    nn_body_take(&d->body, a, c, d->room, n, NN_KEEP_LAST);
    d->slot = nn_arena_take(a, n, sizeof *d->slot);
    d->cache = nn_arena_take(a, caches, d->cache_floats * sizeof *d->cache);
    d->logits = nn_arena_take(a, d->n_logits, c->vocab * sizeof *d->logits);
    d->scratch_bytes = (nn_sample_scratch(c->vocab) + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
    d->scratch = nn_arena_take(a, d->n_logits, d->scratch_bytes);
    d->active = nn_arena_take(a, n, sizeof *d->active);
    d->start = nn_arena_take(a, n + 1, sizeof *d->start);
    d->past = nn_arena_take(a, n, sizeof *d->past);
    d->cache_of = nn_arena_take(a, n, sizeof *d->cache_of);
    d->ids = nn_arena_take(a, d->room, sizeof *d->ids);
    d->drawing = nn_arena_take(a, n, sizeof *d->drawing);
}

size_t nn_decoder_bytes(const nn_config *c, size_t slots)
{
    nn_decoder d = {.n_slot = slots};
    nn_arena dry = {0};

    decoder_layout(&d, &dry, c);
    return dry.used;
}

/* Whether the model has a form that products read as it is: packed by its owner, int8, or in its file's types. */
static bool has_form(const nn_model *m)
{
    return m->mx.output.panels || m->mx.output.i8 || m->stored;
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
    if (!has_form(m) && (st = nn_packed_build(&d->packed, m, err)) != NN_OK) goto done;
    nn_large_pages(d->packed.arena.base, d->packed.arena.cap); /* 10M, one row and thread: 1.2 times the tokens */
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

void nn_decoder_round_inputs(nn_decoder *d, bool on)
{
    d->body.round_inputs = on;
}

/* --- one round ---------------------------------------------------------------------------- */

/* The next n tokens of a row: of its prompt, or the one drawn last. */
static void next_ids(int32_t *ids, const slot *s, size_t n)
{
    if (s->fed < s->row->n_prompt)
        memcpy(ids, s->row->prompt + s->fed, n * sizeof *ids);
    else
        *ids = s->row->out[s->fed - s->row->n_prompt];
}

/* Lists the running rows and what each is fed: one token, and prompts as much more as there is room for. */
static void plan_round(nn_decoder *d)
{
    size_t spare = d->room, R = 0;

    d->n_active = d->n_draw = 0;
    for (size_t i = 0; i < d->n_slot; i++) spare -= d->slot[i].row != NULL;
    for (size_t i = 0; i < d->n_slot; i++) {
        slot *s = d->slot + i;
        if (!s->row) continue;
        const size_t left = s->fed < s->row->n_prompt ? s->row->n_prompt - s->fed : 1, n = smaller(left, 1 + spare);

        spare -= n - 1;
        next_ids(d->ids + R, s, n);
        for (size_t t = 0; t < n; t++) d->body.pos[R + t] = (int32_t)(s->fed + t);
        d->active[d->n_active] = i;
        d->start[d->n_active] = R;
        d->past[d->n_active] = s->fed;
        R += n;
        s->fed += n;
        if (s->fed >= s->row->n_prompt) d->drawing[d->n_draw++] = d->n_active;
        d->n_active++;
    }
    d->start[d->n_active] = R;
}

/* Rows that draw move to the front, in their order. */
static void keep_drawing(const nn_decoder *d, float *x, size_t width)
{
    for (size_t j = 0; j < d->n_draw; j++) {
        const size_t r = d->start[d->drawing[j] + 1] - 1;
        if (r != j) memcpy(x + j * width, x + r * width, width * sizeof *x);
    }
}

/* nn_body_fwd's steps over the caches; body.hidden gets the rows that draw. */
static void forward(nn_decoder *d, const nn_model *m, const nn_matrices *mx, const nn_exec *x)
{
    const nn_config *c = &m->config;
    const nn_segments seg = {d->start, d->n_active};
    nn_body *a = &d->body;
    size_t R = d->start[d->n_active];

    nn_model_embed(m, x, a->block[0].x, d->ids, R);
    for (size_t l = 0; l < c->layers; l++) {
        nn_block *b = a->block + l;

        nn_block_qkv(a, l, m, mx, x, R);
        for (size_t i = 0; i < d->n_active; i++)
            d->cache_of[i] = d->cache + (l * d->n_slot + d->active[i]) * d->cache_floats;
        nn_attn_cached(x, b->att, b->q, b->k, b->v, d->cache_of, d->past, seg, c->max_t, c->sliding_window, c->heads,
                       c->kv_heads, c->head_dim);
        if (l + 1 == c->layers) {
            keep_drawing(d, b->x, c->width);
            keep_drawing(d, b->att, c->heads * c->head_dim);
            R = d->n_draw;
        }
        if (R) nn_block_out(a->last, a, l, m, mx, x, R);
    }
    if (R) nn_rmsnorm_fwd(x, a->hidden, a->rstd, a->last, m->w.norm, c->norm_eps, R, c->width);
}

/* --- drawing ------------------------------------------------------------------------------- */

typedef struct {
    nn_decoder *d;
    const nn_exec *x;
    const nn_sampler *s;
    size_t V, at; /* the logits' first row among those that draw */
} draw_ctx;

static slot *slot_of(const nn_decoder *d, size_t j)
{
    return d->slot + d->active[d->drawing[j]];
}

/* Rows draw independently; each thread works alone, with its own scratch of the caller's exec. */
static void draw_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const draw_ctx *w = ctx;
    const nn_exec alone = {.k = w->x->k, .par = nn_par_one(), .scratch = nn_exec_scratch(w->x, thread),
                           .scratch_len = w->x->scratch_len};

    for (size_t j = first; j < last; j++) {
        nn_decode_row *row = slot_of(w->d, w->at + j)->row;
        const size_t p = row->n_out;
        nn_rng rng = row->rng;

        rng.pos += p;
        row->out[p] = nn_sample(&alone, w->s, w->d->logits + j * w->V, w->V, &rng,
                                row->logprob ? row->logprob + p : NULL,
                                w->d->scratch + thread * w->d->scratch_bytes);
        row->n_out = p + 1;
        row->stopped = row->out[p] == w->s->stop;
    }
}

static void draw_all(nn_decoder *d, const nn_matrix *output, const nn_exec *x, const nn_sampler *s)
{
    const size_t pieces = (d->n_draw + DRAW_ROWS - 1) / DRAW_ROWS, V = output->N;
    size_t n = 0;

    for (size_t at = 0; at < d->n_draw; at += n) {
        const size_t even = (d->n_draw + pieces - 1) / pieces, step = (even + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
        const nn_product head = {d->logits, output, NULL};
        draw_ctx draw = {d, x, s, V, at};

        n = smaller(d->n_draw - at, step);
        nn_round_inputs(&d->body, x, d->body.hidden + at * output->K, output, n);
        nn_products_fwd(x, &head, 1, d->body.hidden + at * output->K, n, d->body.rows_i8);
        nn_par_run(&x->par, n, 1, draw_rows, &draw);
    }
}

/* --- rows come and go ------------------------------------------------------------------------ */

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
    const nn_matrices *mx = has_form(m) ? &m->mx : &d->packed.mx;
    const size_t max_t = m->config.max_t;

    NN_ASSERT(has_form(m) || d->packed.panels);
    if (!has_form(m)) nn_packed_fill(&d->packed, m, x);
    for (size_t i = 0; i < n; i++) {
        rows[i].n_out = 0;
        rows[i].stopped = false;
    }
    memset(d->slot, 0, d->n_slot * sizeof *d->slot);
    for (size_t next = 0;;) {
        next = fill_slots(d, rows, next, n, max_t);
        plan_round(d);
        if (d->n_active == 0) return;
        forward(d, m, mx, x);
        draw_all(d, &mx->output, x, s);
        for (size_t j = 0; j < d->n_draw; j++) {
            slot *done = slot_of(d, j);
            const nn_decode_row *row = done->row;

            if (on_token) on_token(ctx, done->index, row->n_out - 1, row->out[row->n_out - 1]);
            if (row->stopped || row->n_out == row->max_new || done->fed == max_t) done->row = NULL;
        }
    }
}
