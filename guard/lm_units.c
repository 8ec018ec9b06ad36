/* lm_units.c - the texts of a corpus as the generator is trained on them: prefix, text, end.
 *
 * Reads: lm_impl.h.   Read next: lm_train.c.
 */
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include <string.h>

void guard_lm_units_free(guard_lm_units *u)
{
    nn_free(u->ids);
    nn_free(u->start);
    nn_free(u->prefix);
    nn_free(u->end);
    memset(u, 0, sizeof *u);
}

/* One growth for the three arrays of units: their rooms are equal. */
static nn_status units_room(guard_lm_units *u, size_t n_ids, nn_err *err)
{
    size_t cap[3] = {u->cap, u->cap, u->cap};
    nn_status st;

    if ((st = nn_grow((void **)&u->ids, &u->ids_cap, u->n_ids + n_ids, sizeof *u->ids, err)) != NN_OK) return st;
    if (u->n + 2 <= u->cap) return NN_OK;
    if ((st = nn_grow((void **)&u->start, &cap[0], u->n + 2, sizeof *u->start, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->prefix, &cap[1], u->n + 2, sizeof *u->prefix, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->end, &cap[2], u->n + 2, sizeof *u->end, err)) != NN_OK) return st;
    u->cap = cap[0];
    return NN_OK;
}

static nn_status add_unit(guard_lm_units *u, const int32_t *prefix, size_t n_prefix, const int32_t *text,
                          size_t n_text, bool end, nn_err *err)
{
    const nn_status st = units_room(u, n_prefix + n_text, err);

    if (st != NN_OK) return st;
    if (n_prefix) memcpy(u->ids + u->n_ids, prefix, n_prefix * sizeof *prefix);
    if (n_text) memcpy(u->ids + u->n_ids + n_prefix, text, n_text * sizeof *text);
    u->start[u->n] = u->n_ids;
    u->n_ids += n_prefix + n_text;
    u->start[u->n + 1] = u->n_ids;
    u->prefix[u->n] = n_prefix;
    u->end[u->n] = end;
    u->n++;
    return NN_OK;
}

/* The first name of the row's list that the taxonomy knows. */
static size_t first_category(const guard_taxonomy *t, const guard_text *list)
{
    for (size_t at = 0; list->s && at < list->n;) {
        const char *name = list->s + at, *comma = memchr(name, ',', list->n - at);
        const size_t len = comma ? (size_t)(comma - name) : list->n - at, i = guard_taxonomy_index(t, name, len);

        if (i < t->n) return i;
        at += len + 1;
    }
    return GUARD_MAX_CATEGORY;
}

/* Plain text is cut into pieces that all are learnt from; of a request, what fits. */
static nn_status add_text(guard_lm_units *u, const guard_lm *g, const guard_row *row, const nn_tok_buf *b,
                          const guard_lm_options *o, nn_err *err)
{
    const int32_t begin = guard_lm_begin(g->tok);
    nn_status st = NN_OK;

    if (!o->plain) {
        const size_t n = b->len < o->max_tokens ? b->len : o->max_tokens;
        size_t n_prefix = 0;
        const int32_t *prefix = guard_lm_prefix(g, row->label, first_category(&g->taxonomy, &row->category), &n_prefix);

        return add_unit(u, prefix, n_prefix, b->ids, n, n == b->len, err);
    }
    for (size_t at = 0; at < b->len && st == NN_OK;) {
        const size_t n = b->len - at < o->max_tokens ? b->len - at : o->max_tokens;

        st = add_unit(u, &begin, begin >= 0, b->ids + at, n, at + n == b->len, err);
        at += n;
    }
    return st;
}

/* A request goes on after what asks for it. */
static nn_status encode(nn_tok_buf *b, const guard_lm *g, const guard_row *row, bool plain, nn_err *err)
{
    b->len = 0;
    return (plain ? nn_tok_encode : nn_tok_encode_more)(g->tok, b, row->text.s, row->text.n, err);
}

/* What is learnt from: plain text, or requests with a label. A label that judges a response says nothing about the
 * request. */
static bool is_learnt(const guard_row *row, bool plain)
{
    return row->text.s && row->text.n > 0 && (plain || (row->label != GUARD_LABEL_NONE && !row->response.s));
}

nn_status guard_lm_units_add(guard_lm_units *u, const guard_lm *g, const guard_corpus *c, const guard_lm_options *o,
                             nn_err *err)
{
    nn_tok_buf b = {0};
    nn_status st = NN_OK;

    u->eos = g->eos;
    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        const guard_row *row = &c->row[i];

        if (!is_learnt(row, o->plain)) continue;
        if ((st = encode(&b, g, row, o->plain, err)) == NN_OK) st = add_text(u, g, row, &b, o, err);
    }
    nn_tok_buf_free(&b);
    return st;
}

size_t guard_lm_unit_targets(int32_t *next, const guard_lm_units *u, size_t i)
{
    const int32_t *ids = u->ids + u->start[i];
    const size_t n = u->start[i + 1] - u->start[i];
    size_t targets = 0;

    for (size_t r = 0; r < n; r++) {
        const bool last = r + 1 == n;

        next[r] = r + 1 < u->prefix[i] || (last && !u->end[i]) ? -1 : last ? u->eos : ids[r + 1];
        targets += next[r] >= 0;
    }
    return targets;
}
