#include "nn/arena.h"
#include "nn/tok.h"
#include "nn/tok_impl.h"
#include <string.h>

/* --- merging ----------------------------------------------------------------------------------------- */

nn_tok_list nn_tok_list_in(void *scratch, size_t n)
{
    nn_tok_list l = {scratch, 0, NN_TOK_END, NULL, NULL, NULL, NULL, NULL};

    l.id = (uint32_t *)(void *)(l.heap + 2 * n);
    l.next = l.id + n;
    l.prev = l.next + n;
    l.rank = l.prev + n;
    l.result = l.rank + n;
    return l;
}

static void heap_add(nn_tok_list *l, uint64_t entry)
{
    size_t i = l->n_heap++;

    for (; i > 0 && l->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = entry;
}

static uint64_t heap_take(nn_tok_list *l)
{
    const uint64_t top = l->heap[0], entry = l->heap[--l->n_heap];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < l->n_heap; i = child) {
        if (child + 1 < l->n_heap && l->heap[child + 1] < l->heap[child]) child++;
        if (l->heap[child] >= entry) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = entry;
    return top;
}

/* Looks up the pair that begins at position i and offers its merge. */
static void offer(nn_tok_list *l, const nn_tok *t, uint32_t i)
{
    const uint32_t j = l->next[i];

    l->rank[i] = NN_TOK_NO_RANK;
    if (j == NN_TOK_END) return;
    const nn_tok_slot *merge = nn_tok_merge_of(t, l->id[i], l->id[j]);
    if (merge->rank == NN_TOK_NO_RANK) return;
    l->rank[i] = merge->rank;
    l->result[i] = merge->result;
    heap_add(l, (uint64_t)merge->rank << 32 | i);
}

void nn_tok_merge_all(nn_tok_list *l, const nn_tok *t)
{
    for (uint32_t i = l->first; i != NN_TOK_END; i = l->next[i]) offer(l, t, i);
    while (l->n_heap > 0) {
        const uint64_t best = heap_take(l);
        const uint32_t i = (uint32_t)(best & UINT32_MAX), rank = (uint32_t)(best >> 32);

        if (l->rank[i] != rank) continue;
        const uint32_t gone = l->next[i];
        l->id[i] = l->result[i];
        l->next[i] = l->next[gone];
        l->rank[gone] = NN_TOK_NO_RANK;
        if (l->next[i] != NN_TOK_END) l->prev[l->next[i]] = i;
        offer(l, t, i);
        if (l->prev[i] != NN_TOK_END) offer(l, t, l->prev[i]);
    }
}

/* --- encoding ---------------------------------------------------------------------------------------- */

nn_status nn_tok_buf_reserve(nn_tok_buf *b, size_t n, size_t longest, nn_err *err)
{
    size_t ids_cap = b->ids ? b->cap : 0, start_cap = b->start ? b->cap : 0;
    void *ids = b->ids, *start = b->start;
    nn_status st = NN_OK;

    if (n > SIZE_MAX / NN_TOK_LIST_BYTES - b->len || longest > SIZE_MAX / NN_TOK_LIST_BYTES)
        return nn_fail(err, NN_LIMIT, "tokenizer: a pre-token of %zu bytes", longest);
    st = nn_grow(&ids, &ids_cap, b->len + n, sizeof *b->ids, err);
    b->ids = ids;
    if (st != NN_OK) return st;
    st = nn_grow(&start, &start_cap, b->len + n, sizeof *b->start, err);
    b->start = start;
    if (st != NN_OK) return st;
    b->cap = ids_cap < start_cap ? ids_cap : start_cap;
    return nn_grow(&b->scratch, &b->scratch_cap, longest * NN_TOK_LIST_BYTES, 1, err);
}

void nn_tok_append(nn_tok_buf *b, uint32_t id, size_t at)
{
    b->ids[b->len] = (int32_t)id;
    b->start[b->len++] = (uint32_t)at;
}

void nn_tok_link(nn_tok_list *l, uint32_t *last, uint32_t at, uint32_t id)
{
    l->id[at] = id;
    l->prev[at] = *last;
    l->next[at] = NN_TOK_END;
    if (*last == NN_TOK_END) l->first = at;
    else l->next[*last] = at;
    *last = at;
}

void nn_tok_merge_bytes(const nn_tok *t, nn_tok_buf *buf, const unsigned char *s, size_t n, size_t at)
{
    const int32_t *id = t->other ? t->other->byte_id : NULL;
    nn_tok_list l = nn_tok_list_in(buf->scratch, n);
    uint32_t last = NN_TOK_END;

    for (uint32_t i = 0; i < n; i++)
        if (!id) nn_tok_link(&l, &last, i, NN_TOK_BYTES + (uint32_t)s[i]);
        else if (id[s[i]] >= 0) nn_tok_link(&l, &last, i, (uint32_t)id[s[i]]);
    nn_tok_merge_all(&l, t);
    for (uint32_t i = l.first; i != NN_TOK_END; i = l.next[i]) nn_tok_append(buf, l.id[i], at + i);
}

static nn_status encode_ours(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, nn_err *err)
{
    const unsigned char *s = (const unsigned char *)text;
    nn_status st = NN_OK;

    for (size_t at = 0, n; at < len; at += n) {
        n = nn_tok_pretoken(text + at, len - at);
        if ((st = nn_tok_buf_reserve(buf, n, n, err)) != NN_OK) return st;
        if (n == 1) nn_tok_append(buf, NN_TOK_BYTES + (uint32_t)s[at], at);
        else nn_tok_merge_bytes(t, buf, s + at, n, at);
    }
    return NN_OK;
}

static nn_status encode(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, bool begins, nn_err *err)
{
    if (len >= UINT32_MAX) return nn_fail(err, NN_LIMIT, "tokenizer: a text of %zu bytes, want less than 4 GiB", len);
    if (t->other) return t->other->encode(t, buf, text, len, begins, err);
    return encode_ours(t, buf, text, len, err);
}

nn_status nn_tok_encode(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, nn_err *err)
{
    return encode(t, buf, text, len, true, err);
}

nn_status nn_tok_encode_more(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, nn_err *err)
{
    return encode(t, buf, text, len, false, err);
}

bool nn_tok_cuts_before(const nn_tok *t, const char *text, size_t i)
{
    return t->other ? t->other->cuts(t, text, i) : nn_tok_pre_cuts(text, i);
}

void nn_tok_buf_free(nn_tok_buf *b)
{
    if (!b) return;
    nn_free(b->ids);
    nn_free(b->start);
    nn_free(b->scratch);
    nn_free(b->text);
    nn_free(b->from);
    memset(b, 0, sizeof *b);
}
