#include "guard/window_batch.h"
#include "guard/ngram_impl.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { GROUP_ROWS = 256 };

/* Multiply-adds of a group that is alone, from which its operations are shared by the threads: some 8 ms in int8, 30M
 * weights and 36 tokens. WHY not less: each operation waits for all threads; where another job holds one's core, that
 * costs up to a slice of the scheduler, about 3 ms, and a verdict of 3 ms took 5.5 on two threads. */
#define SHARED_WORK (1.0e9)

/* Whose window it is. */
typedef struct {
    guard_verdict *v;
    size_t index, first_byte, last_byte;
} owner;

struct guard_window_batch {
    const guard_parts *p;
    const nn_exec *x;
    nn_state **state;  /* one a thread; NULL without decoder */
    size_t group_rows, group_max; /* positions and windows of one group */
    size_t *group;     /* [max_windows + 1] its first window */
    size_t *seg;       /* [threads, group_max + 1] a group's segments */
    float *verdict;    /* [max_windows, 2] */
    float *category;   /* [max_windows, n_category]; NULL without */
    int32_t *ids;    /* [max_rows] */
    size_t *start;   /* [max_windows + 1] */
    char *bytes;     /* decoded texts of the windows */
    size_t bytes_cap, n_bytes;
    guard_window_text *text;  /* [max_windows] */
    owner *who;               /* [max_windows] */
    float *wide;              /* [max_windows] */
    uint32_t *tok_start;      /* [max_rows] scratch */
    guard_slots slots;        /* of all positions */
    guard_features *features; /* one a thread */
    nn_status *failed;        /* one a thread */
    size_t n, max_rows, max_windows;
};

nn_status guard_exec_check(const nn_exec *x, size_t window, nn_err *err)
{
    if (x->scratch_len >= nn_exec_scratch_floats(x->k, window)) return NN_OK;
    return nn_fail(err, NN_USAGE, "guard: windows of %zu tokens, but scratch was opened for shorter sequences",
                   window);
}

/* --- build ------------------------------------------------------------------------------------------- */

/* A text of n bytes has at most 6 n grams; normalising and sorting want scratch (wide.c, ngram.c). Cut
 * characters at a window's ends grow to three bytes each. */
static nn_status features_reserve(guard_features *f, size_t text_bytes, unsigned bits, nn_err *err)
{
    const size_t n = text_bytes + 16, grams = 6 * n + 2, digits = (size_t)1 << ((bits + 1) / 2);
    const size_t normalise = 9 * n + 256, sort = (grams + digits) * sizeof *f->slot;
    size_t slot_cap = f->cap, value_cap = f->cap;
    nn_status st;

    if ((st = nn_grow((void **)&f->slot, &slot_cap, grams, sizeof *f->slot, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&f->value, &value_cap, grams, sizeof *f->value, err)) != NN_OK) return st;
    f->cap = slot_cap < value_cap ? slot_cap : value_cap;
    return guard_features_scratch(f, normalise > sort ? normalise : sort, err);
}

static nn_status slots_reserve(guard_slots *s, size_t rows, size_t bytes, nn_err *err)
{
    nn_status st;

    if ((st = nn_grow((void **)&s->start, &s->pos_cap, rows + 1, sizeof *s->start, err)) != NN_OK) return st;
    return nn_grow((void **)&s->slot, &s->slot_cap, 8 * (rows + bytes) + 1, sizeof *s->slot, err);
}

static nn_status build_arrays(guard_window_batch *b, nn_err *err)
{
    const size_t n = b->max_windows;
    nn_status st;

    if ((st = nn_alloc((void **)&b->ids, b->max_rows, sizeof *b->ids, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->start, n + 1, sizeof *b->start, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->text, n, sizeof *b->text, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->who, n, sizeof *b->who, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->wide, n, sizeof *b->wide, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->tok_start, b->max_rows, sizeof *b->tok_start, err)) != NN_OK) return st;
    return nn_alloc((void **)&b->bytes, b->bytes_cap, 1, err);
}

static nn_status build_decoder(guard_window_batch *b, const nn_model *m, size_t threads, nn_err *err)
{
    const size_t n = b->max_windows, categories = nn_model_config(m)->n_category;
    nn_status st;

    b->group_rows = b->p->window > GROUP_ROWS ? b->p->window : GROUP_ROWS;
    b->group_max = n < b->group_rows ? n : b->group_rows;
    if ((st = nn_alloc((void **)&b->group, n + 1, sizeof *b->group, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->seg, threads, (b->group_max + 1) * sizeof *b->seg, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->verdict, n, 2 * sizeof *b->verdict, err)) != NN_OK) return st;
    if (categories && (st = nn_alloc((void **)&b->category, n, categories * sizeof *b->category, err)) != NN_OK)
        return st;
    if ((st = nn_alloc((void **)&b->state, threads, sizeof(nn_state *), err)) != NN_OK) return st;
    for (size_t t = 0; t < threads && st == NN_OK; t++)
        st = nn_state_build(&b->state[t], m, b->group_rows, b->group_max, err);
    return st;
}

static nn_status build_parts(guard_window_batch *b, size_t window_bytes, nn_err *err)
{
    const guard_parts *p = b->p;
    const size_t threads = b->x->par.threads, rows = p->m ? nn_model_config(p->m)->memory_rows : 0;
    nn_status st = NN_OK;

    if (p->m && (st = build_decoder(b, p->m, threads, err)) != NN_OK) return st;
    if (rows > 0 && (st = slots_reserve(&b->slots, b->max_rows, b->bytes_cap, err)) != NN_OK) return st;
    if (!p->wide) return NN_OK;
    if ((st = nn_alloc((void **)&b->features, threads, sizeof *b->features, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b->failed, threads, sizeof *b->failed, err)) != NN_OK) return st;
    for (size_t t = 0; t < threads && st == NN_OK; t++)
        st = features_reserve(&b->features[t], window_bytes, p->wide->bits, err);
    return st;
}

nn_status guard_window_batch_build(guard_window_batch **out, const guard_parts *p, const nn_exec *x,
                                   size_t max_rows, size_t max_windows, nn_err *err)
{
    const size_t token_bytes = guard_token_bytes(p->tok);
    guard_window_batch *b = NULL;
    nn_status st;

    *out = NULL;
    if ((st = guard_exec_check(x, p->window, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&b, 1, sizeof *b, err)) != NN_OK) return st;
    b->p = p;
    b->x = x;
    b->max_rows = max_rows > p->window ? max_rows : p->window;
    b->max_windows = max_windows < b->max_rows ? max_windows : b->max_rows;
    b->bytes_cap = b->max_rows * token_bytes;
    if ((st = build_arrays(b, err)) == NN_OK) st = build_parts(b, p->window * token_bytes, err);
    if (st != NN_OK) guard_window_batch_free(b);
    else *out = b;
    return st;
}

void guard_window_batch_free(guard_window_batch *b)
{
    if (!b) return;
    for (size_t t = 0; b->features && t < b->x->par.threads; t++) guard_features_free(&b->features[t]);
    nn_free(b->features);
    nn_free(b->failed);
    for (size_t t = 0; b->state && t < b->x->par.threads; t++) nn_state_free(b->state[t]);
    nn_free(b->state);
    nn_free(b->group);
    nn_free(b->seg);
    nn_free(b->verdict);
    nn_free(b->category);
    guard_slots_free(&b->slots);
    nn_free(b->ids);
    nn_free(b->start);
    nn_free(b->text);
    nn_free(b->who);
    nn_free(b->wide);
    nn_free(b->tok_start);
    nn_free(b->bytes);
    nn_free(b);
}

/* --- one batch ----------------------------------------------------------------------------------------- */

bool guard_window_batch_fits(const guard_window_batch *b, size_t n)
{
    return b->n < b->max_windows && b->start[b->n] + n <= b->max_rows;
}

nn_status guard_window_batch_add(guard_window_batch *b, guard_window_form form, const int32_t *ids, size_t n,
                                 nn_err *err)
{
    const size_t rows = b->p->m ? nn_model_config(b->p->m)->memory_rows : 0, at = b->start[b->n];
    guard_window_text *t = &b->text[b->n];
    nn_status st = NN_OK;

    NN_ASSERT(guard_window_batch_fits(b, n));
    memcpy(b->ids + at, ids, n * sizeof *ids);
    guard_window_decode(t, b->bytes + b->n_bytes, b->bytes_cap - b->n_bytes, b->p, form, ids, n);
    if (rows > 0) st = guard_window_slots(&b->slots, t, b->p, form, ids, n, b->tok_start, rows, err);
    b->n_bytes += t->len + t->response_len;
    b->start[++b->n] = at + n;
    return st;
}

void guard_window_batch_clear(guard_window_batch *b)
{
    b->n = 0;
    b->n_bytes = 0;
    guard_slots_clear(&b->slots);
}

/* Windows in their order, as many in a group as have room. Returns the number of groups. */
static size_t make_groups(guard_window_batch *b)
{
    size_t n = 0;

    b->group[0] = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->start[i + 1] - b->start[b->group[n]] > b->group_rows) b->group[++n] = i;
    b->group[++n] = b->n;
    return n;
}

typedef struct {
    guard_window_batch *b;
    guard_window_fn fn; /* NULL: the heads are wanted */
    void *ctx;
} decode;

static void take_heads(guard_window_batch *b, const nn_state *s, size_t first, size_t n)
{
    const size_t categories = nn_model_config(b->p->m)->n_category;

    memcpy(b->verdict + 2 * first, nn_state_verdict(s), 2 * n * sizeof *b->verdict);
    if (categories)
        memcpy(b->category + first * categories, nn_state_category(s), n * categories * sizeof *b->category);
}

static void decode_group(const decode *d, size_t g, const nn_exec *x, size_t thread)
{
    guard_window_batch *b = d->b;
    const size_t first = b->group[g], n = b->group[g + 1] - first, base = b->start[first];
    size_t *seg = b->seg + thread * (b->group_max + 1);
    nn_state *s = b->state[thread];

    for (size_t i = 0; i <= n; i++) seg[i] = b->start[first + i] - base;
    const nn_batch batch = {b->ids + base, {seg, n}, b->slots.n_pos ? b->slots.slot : NULL,
                            b->slots.n_pos ? b->slots.start + base : NULL};
    if (!d->fn) {
        nn_model_heads_fwd(b->p->m, s, x, &batch);
        take_heads(b, s, first, n);
        return;
    }
    nn_model_fwd(b->p->m, s, x, &batch);
    for (size_t i = 0; i < n; i++)
        d->fn(d->ctx, first + i, nn_state_hidden(s) + seg[i] * nn_model_config(b->p->m)->width, seg[i + 1] - seg[i]);
}

static void decode_groups(void *ctx, size_t first, size_t last, size_t thread)
{
    const decode *d = ctx;
    nn_exec one = *d->b->x;

    one.scratch = nn_exec_scratch(d->b->x, thread);
    one.par = nn_par_one();
    for (size_t g = first; g < last; g++) decode_group(d, g, &one, thread);
}

static void run_decoder(guard_window_batch *b, guard_window_fn fn, void *ctx)
{
    decode d = {b, fn, ctx};

    if (!b->state || b->n == 0) return;
    const size_t groups = make_groups(b);
    const double work = (double)b->start[b->n] * (double)nn_config_active_params(nn_model_config(b->p->m));
    if (groups == 1 && work >= SHARED_WORK) decode_group(&d, 0, b->x, 0);
    else nn_par_run(&b->x->par, groups, 1, decode_groups, &d);
}

void guard_window_batch_hidden(guard_window_batch *b, guard_window_fn fn, void *ctx)
{
    run_decoder(b, fn, ctx);
}

static void wide_windows(void *ctx, size_t first, size_t last, size_t thread)
{
    guard_window_batch *b = ctx;

    for (size_t i = first; i < last; i++) {
        const guard_window_text *t = &b->text[i];
        const nn_status st = guard_wide_text_logit(b->p->wide, &b->features[thread], t->text, t->len, t->response,
                                                   t->response_len, &b->wide[i], NULL);

        if (st != NN_OK) b->failed[thread] = st;
    }
}

/* --- verdicts ------------------------------------------------------------------------------------------- */

static void take_category(guard_verdict *v, const float *logit, size_t n)
{
    v->n_category = n;
    for (size_t c = 0; c < n; c++) v->category[c] = (float)nn_sigmoid((double)logit[c]);
}

/* The worst window is the one of the largest logit, the first of equals. A logit that is not a number says that
 * the weights overflowed on this text: it counts as unsafe, so that no text can switch the guard off. */
static void take_window(guard_window_batch *b, size_t i)
{
    const owner *o = &b->who[i];
    const float *head = b->verdict ? b->verdict + 2 * i : NULL;
    const float wide = b->p->wide ? b->wide[i] : 0.0f, decoder = head ? head[1] - head[0] : 0.0f;
    const float sum = wide + decoder, logit = isnan(sum) ? FLT_MAX : sum;
    const size_t n = b->category ? nn_model_config(b->p->m)->n_category : 0;
    guard_verdict *v = o->v;

    if (v->logit >= logit) return;
    v->logit = logit;
    v->wide_logit = wide;
    v->decoder_logit = decoder;
    v->p_unsafe = guard_calibrated(b->p, logit);
    v->flagged = v->p_unsafe >= v->threshold;
    v->window_index = o->index;
    v->window_start = o->first_byte;
    v->window_end = o->last_byte;
    take_category(v, n ? b->category + i * n : NULL, n);
}

nn_status guard_window_batch_flush(guard_window_batch *b, nn_err *err)
{
    if (b->n == 0) return NN_OK;
    if (b->p->wide) {
        memset(b->failed, 0, b->x->par.threads * sizeof *b->failed);
        nn_par_run(&b->x->par, b->n, 1, wide_windows, b);
        for (size_t t = 0; t < b->x->par.threads; t++)
            if (b->failed[t] != NN_OK)
                return nn_fail(err, b->failed[t], "guard: no room for the n-grams of a window");
    }
    run_decoder(b, NULL, NULL);
    for (size_t i = 0; i < b->n; i++) take_window(b, i);
    guard_window_batch_clear(b);
    return NN_OK;
}

static void start_verdict(guard_verdict *v, const guard_parts *p, const guard_windows *w)
{
    memset(v, 0, sizeof *v);
    v->logit = -INFINITY;
    v->threshold = p->threshold[GUARD_DEFAULT_RATE];
    v->window_count = guard_windows_count(w);
    v->tokens = guard_windows_tokens(w);
    v->bytes_replaced = guard_windows_replaced(w);
}

nn_status guard_window_batch_push(guard_window_batch *b, guard_verdict *v, guard_windows *w, nn_err *err)
{
    nn_status st = NN_OK;

    start_verdict(v, b->p, w);
    for (size_t i = 0; i < guard_windows_count(w) && st == NN_OK; i++) {
        const int32_t *ids = NULL;
        owner o = {v, i, 0, 0};
        size_t n = 0;

        if (guard_windows_repeats(w, i)) continue;
        guard_windows_at(w, i, &ids, &n, &o.first_byte, &o.last_byte);
        if (!guard_window_batch_fits(b, n)) st = guard_window_batch_flush(b, err);
        if (st != NN_OK) break;
        b->who[b->n] = o;
        st = guard_window_batch_add(b, guard_windows_form(w), ids, n, err);
    }
    return st;
}
