#include "nn/arena.h"
#include "nn/tok.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include <string.h>

/* --- the pre-tokenizer ------------------------------------------------------------------------------- */

typedef enum { LETTER, NUMBER, BLANK, OTHER } kind;

/* [out] n: bytes of the code point at s. */
static kind kind_at(size_t *n, const unsigned char *s, size_t len)
{
    uint32_t cp;
    bool bad;

    *n = nn_utf8_decode(s, len, &cp, &bad); /* U+FFFD is of the kind OTHER */
    if (nn_uni_is_letter(cp)) return LETTER;
    if (nn_uni_is_space(cp)) return BLANK;
    return nn_uni_is_number(cp) ? NUMBER : OTHER;
}

/* Where the run of `want` from `at` ends; [out] last: where its last code point begins. */
static size_t run_end(size_t *last, const unsigned char *s, size_t len, size_t at, kind want)
{
    size_t n;

    *last = at;
    while (at < len && kind_at(&n, s + at, len - at) == want) {
        *last = at;
        at += n;
    }
    return at;
}

/* Bytes of 's 't 'm 'd 're 've 'll at s, 0 for none. */
static size_t contraction(const unsigned char *s, size_t len)
{
    if (len < 2 || s[0] != '\'') return 0;
    if (s[1] == 's' || s[1] == 't' || s[1] == 'm' || s[1] == 'd') return 2;
    if (len < 3) return 0;
    if ((s[1] == 'r' || s[1] == 'v') && s[2] == 'e') return 3;
    return s[1] == 'l' && s[2] == 'l' ? 3 : 0;
}

size_t nn_tok_pretoken(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t short_form = contraction(s, len);
    size_t n, last;

    if (short_form) return short_form;
    const size_t lead = s[0] == ' ' && len > 1 ? 1 : 0;
    const kind k = kind_at(&n, s + lead, len - lead);
    if (k != BLANK) return run_end(&last, s, len, lead, k);
    const size_t end = run_end(&last, s, len, 0, BLANK);
    return end == len || last == 0 ? end : last; /* the last blank before a word belongs to the word */
}

/* --- merging ----------------------------------------------------------------------------------------- */

#define END UINT32_MAX

/* The symbols of one pre-token as a linked list, and a heap of merges to try: rank << 32 | position, smallest first, so
 * that the lowest rank goes first and equal ranks from left to right. An entry is stale when rank[position] differs. */
typedef struct {
    uint64_t *heap;
    size_t n_heap;
    uint32_t *id, *next, *prev, *rank;
} list;

/* Every merge takes one entry and adds at most two: 2n entries are enough for n symbols. */
#define LIST_BYTES (2 * sizeof(uint64_t) + 4 * sizeof(uint32_t)) /* a symbol */

static list list_in(void *scratch, size_t n)
{
    list l = {scratch, 0, NULL, NULL, NULL, NULL};

    l.id = (uint32_t *)(void *)(l.heap + 2 * n);
    l.next = l.id + n;
    l.prev = l.next + n;
    l.rank = l.prev + n;
    return l;
}

static void heap_add(list *l, uint64_t entry)
{
    size_t i = l->n_heap++;

    for (; i > 0 && l->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = entry;
}

static uint64_t heap_take(list *l)
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
static void offer(list *l, const nn_tok *t, uint32_t i)
{
    const uint32_t j = l->next[i];

    l->rank[i] = j == END ? NN_TOK_NO_RANK : nn_tok_rank(t, l->id[i], l->id[j]);
    if (l->rank[i] != NN_TOK_NO_RANK) heap_add(l, (uint64_t)l->rank[i] << 32 | i);
}

static void merge_all(list *l, const nn_tok *t, const unsigned char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        l->id[i] = NN_TOK_BYTES + s[i];
        l->next[i] = i + 1 < n ? (uint32_t)(i + 1) : END;
        l->prev[i] = i > 0 ? (uint32_t)(i - 1) : END;
    }
    for (size_t i = 0; i < n; i++) offer(l, t, (uint32_t)i);
    while (l->n_heap > 0) {
        const uint64_t best = heap_take(l);
        const uint32_t i = (uint32_t)(best & UINT32_MAX), rank = (uint32_t)(best >> 32);

        if (l->rank[i] != rank) continue;
        const uint32_t gone = l->next[i];
        l->id[i] = NN_TOK_MERGES + rank;
        l->next[i] = l->next[gone];
        l->rank[gone] = NN_TOK_NO_RANK;
        if (l->next[i] != END) l->prev[l->next[i]] = i;
        offer(l, t, i);
        if (l->prev[i] != END) offer(l, t, l->prev[i]);
    }
}

/* --- encoding ---------------------------------------------------------------------------------------- */

nn_status nn_tok_buf_reserve(nn_tok_buf *b, size_t n, size_t longest, nn_err *err)
{
    size_t ids_cap = b->ids ? b->cap : 0, start_cap = b->start ? b->cap : 0;
    void *ids = b->ids, *start = b->start;
    nn_status st = NN_OK;

    if (n > SIZE_MAX / LIST_BYTES - b->len || longest > SIZE_MAX / LIST_BYTES)
        return nn_fail(err, NN_LIMIT, "tokenizer: a pre-token of %zu bytes", longest);
    st = nn_grow(&ids, &ids_cap, b->len + n, sizeof *b->ids, err);
    b->ids = ids;
    if (st != NN_OK) return st;
    st = nn_grow(&start, &start_cap, b->len + n, sizeof *b->start, err);
    b->start = start;
    if (st != NN_OK) return st;
    b->cap = ids_cap < start_cap ? ids_cap : start_cap;
    return nn_grow(&b->scratch, &b->scratch_cap, longest * LIST_BYTES, 1, err);
}

static void append(nn_tok_buf *b, uint32_t id, size_t at)
{
    b->ids[b->len] = (int32_t)id;
    b->start[b->len++] = (uint32_t)at;
}

nn_status nn_tok_encode(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, nn_err *err)
{
    const unsigned char *s = (const unsigned char *)text;
    nn_status st = NN_OK;

    if (len >= UINT32_MAX) return nn_fail(err, NN_LIMIT, "tokenizer: a text of %zu bytes, want less than 4 GiB", len);
    for (size_t at = 0, n; at < len; at += n) {
        n = nn_tok_pretoken(text + at, len - at);
        if ((st = nn_tok_buf_reserve(buf, n, n, err)) != NN_OK) return st;
        if (n == 1) {
            append(buf, NN_TOK_BYTES + s[at], at);
            continue;
        }
        list l = list_in(buf->scratch, n);
        merge_all(&l, t, s + at, n);
        for (uint32_t i = 0; i != END; i = l.next[i]) append(buf, l.id[i], at + i);
    }
    return NN_OK;
}

void nn_tok_buf_free(nn_tok_buf *b)
{
    if (!b) return;
    nn_free(b->ids);
    nn_free(b->start);
    nn_free(b->scratch);
    memset(b, 0, sizeof *b);
}
