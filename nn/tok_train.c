#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/tok.h"
#include "nn/tok_impl.h"
#include <string.h>

/* Byte-pair encoding learnt incrementally: distinct pre-tokens are laid out once as linked symbols; every pair knows
 * how often it occurs and where. A merge visits only the places of its pair and changes only the counts beside them.
 *
 *   repeat   (a, b) = the pair of largest count; ties: smallest a, then smallest b
 *            replace a b by the new id everywhere, from left to right        (Sennrich, Haddow, Birch 2016, alg. 1)
 */

#define NONE UINT32_MAX

typedef struct {
    const char *s; /* borrowed from a text */
    uint32_t len;
    uint64_t count;
} word;

typedef struct {
    uint64_t key;   /* left << 32 | right */
    uint64_t count; /* occurrences, each weighted by its word's count */
    uint32_t first, last; /* places, in ascending order of position */
} pair;

typedef struct {
    uint32_t position, next;
} place; /* stale when the symbols at position are no longer the pair */

typedef struct {
    uint64_t count, key;
    uint32_t pair;
} candidate;

/* An open-addressing index: slots hold numbers of elements kept elsewhere, NONE when empty. */
typedef struct {
    uint32_t *slot;
    size_t n_slot;
} table;

typedef struct {
    word *words;
    size_t n_words, words_cap;
    table word_at;
    int32_t *id; /* [n_symbols] -1: merged away */
    uint32_t *next, *prev, *word_of;
    size_t n_symbols;
    pair *pairs;
    size_t n_pairs, pairs_cap;
    table pair_at;
    place *places;
    size_t n_places, places_cap;
    candidate *heap;
    size_t n_heap, heap_cap;
    int32_t *merges;
    uint32_t *bytes; /* of each id */
    size_t n_merges;
} learner;

/* --- the index --------------------------------------------------------------------------------------- */

static nn_status table_resize(table *t, size_t n_slot, nn_err *err)
{
    void *p = NULL;
    const nn_status st = nn_alloc(&p, n_slot, sizeof *t->slot, err);

    if (st != NN_OK) return st;
    nn_free(t->slot);
    t->slot = p;
    t->n_slot = n_slot;
    for (size_t i = 0; i < n_slot; i++) t->slot[i] = NONE;
    return NN_OK;
}

static size_t next_slot(const table *t, size_t i)
{
    return (i + 1) & (t->n_slot - 1);
}

/* --- counting pre-tokens ----------------------------------------------------------------------------- */

static size_t word_slot(const learner *l, const char *s, size_t len)
{
    size_t i = (size_t)nn_hash64(s, len, 0) & (l->word_at.n_slot - 1);

    for (; l->word_at.slot[i] != NONE; i = next_slot(&l->word_at, i)) {
        const word *w = l->words + l->word_at.slot[i];
        if (w->len == len && memcmp(w->s, s, len) == 0) break;
    }
    return i;
}

static nn_status count_word(learner *l, const char *s, size_t len, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = l->words;

    if (2 * l->n_words >= l->word_at.n_slot) {
        const size_t n_slot = l->word_at.n_slot ? 2 * l->word_at.n_slot : 1024;
        if ((st = table_resize(&l->word_at, n_slot, err)) != NN_OK) return st;
        for (size_t i = 0; i < l->n_words; i++)
            l->word_at.slot[word_slot(l, l->words[i].s, l->words[i].len)] = (uint32_t)i;
    }
    const size_t i = word_slot(l, s, len);
    if (l->word_at.slot[i] != NONE) {
        l->words[l->word_at.slot[i]].count++;
        return NN_OK;
    }
    st = nn_grow(&p, &l->words_cap, l->n_words + 1, sizeof *l->words, err);
    l->words = p;
    if (st != NN_OK) return st;
    l->words[l->n_words] = (word){s, (uint32_t)len, 1};
    l->word_at.slot[i] = (uint32_t)l->n_words++;
    l->n_symbols += len;
    return l->n_symbols < NONE ? NN_OK : nn_fail(err, NN_LIMIT, "tokenizer: more than 4 GiB of distinct pre-tokens");
}

static nn_status count_words(learner *l, const char *const *text, const size_t *len, size_t n, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = 0; i < n; i++) {
        if (len[i] >= NONE) return nn_fail(err, NN_LIMIT, "tokenizer: text %zu is longer than 4 GiB", i);
        for (size_t at = 0, bytes; at < len[i]; at += bytes) {
            bytes = nn_tok_pretoken(text[i] + at, len[i] - at);
            if ((st = count_word(l, text[i] + at, bytes, err)) != NN_OK) return st;
        }
    }
    return NN_OK;
}

/* --- pairs and their places -------------------------------------------------------------------------- */

static size_t pair_slot(const learner *l, uint64_t key)
{
    size_t i = (size_t)nn_mix64(key) & (l->pair_at.n_slot - 1);

    while (l->pair_at.slot[i] != NONE && l->pairs[l->pair_at.slot[i]].key != key) i = next_slot(&l->pair_at, i);
    return i;
}

static uint64_t key_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static nn_status add_pair(learner *l, uint64_t key, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = l->pairs;

    if (2 * l->n_pairs >= l->pair_at.n_slot) {
        if ((st = table_resize(&l->pair_at, l->pair_at.n_slot ? 2 * l->pair_at.n_slot : 1024, err)) != NN_OK) return st;
        for (size_t i = 0; i < l->n_pairs; i++) l->pair_at.slot[pair_slot(l, l->pairs[i].key)] = (uint32_t)i;
    }
    st = nn_grow(&p, &l->pairs_cap, l->n_pairs + 1, sizeof *l->pairs, err);
    l->pairs = p;
    if (st != NN_OK) return st;
    l->pair_at.slot[pair_slot(l, key)] = (uint32_t)l->n_pairs;
    l->pairs[l->n_pairs++] = (pair){key, 0, NONE, NONE};
    return NN_OK;
}

/* One more place of the pair that begins at position; places of a pair come in ascending order. */
static nn_status count_pair(learner *l, uint32_t position, nn_err *err)
{
    const uint64_t key = key_of(l->id[position], l->id[l->next[position]]);
    nn_status st = NN_OK;
    void *p = l->places;

    if (l->n_places >= NONE) return nn_fail(err, NN_LIMIT, "tokenizer: more than 2^32 pairs in the text");
    if (l->pair_at.n_slot == 0 || l->pair_at.slot[pair_slot(l, key)] == NONE)
        if ((st = add_pair(l, key, err)) != NN_OK) return st;
    st = nn_grow(&p, &l->places_cap, l->n_places + 1, sizeof *l->places, err);
    l->places = p;
    if (st != NN_OK) return st;
    pair *of = l->pairs + l->pair_at.slot[pair_slot(l, key)];
    const uint32_t i = (uint32_t)l->n_places++;
    l->places[i] = (place){position, NONE};
    if (of->first == NONE) of->first = i;
    else l->places[of->last].next = i;
    of->last = i;
    of->count += l->words[l->word_of[position]].count;
    return NN_OK;
}

static void uncount_pair(learner *l, uint32_t position)
{
    const uint64_t key = key_of(l->id[position], l->id[l->next[position]]);

    l->pairs[l->pair_at.slot[pair_slot(l, key)]].count -= l->words[l->word_of[position]].count;
}

static nn_status lay_symbols(learner *l, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;
    size_t at = 0;

    if ((st = nn_alloc(&p, l->n_symbols, sizeof *l->id, err)) != NN_OK) return st;
    l->id = p;
    if ((st = nn_alloc(&p, l->n_symbols, sizeof *l->next, err)) != NN_OK) return st;
    l->next = p;
    if ((st = nn_alloc(&p, l->n_symbols, sizeof *l->prev, err)) != NN_OK) return st;
    l->prev = p;
    if ((st = nn_alloc(&p, l->n_symbols, sizeof *l->word_of, err)) != NN_OK) return st;
    l->word_of = p;
    for (size_t w = 0; w < l->n_words; w++) {
        const size_t end = at + l->words[w].len;
        for (size_t i = 0; at < end; at++, i++) {
            l->id[at] = NN_TOK_BYTES + (int32_t)(unsigned char)l->words[w].s[i];
            l->prev[at] = i > 0 ? (uint32_t)(at - 1) : NONE;
            l->next[at] = at + 1 < end ? (uint32_t)(at + 1) : NONE;
            l->word_of[at] = (uint32_t)w;
        }
    }
    for (size_t i = 0; i < l->n_symbols; i++)
        if (l->next[i] != NONE && (st = count_pair(l, (uint32_t)i, err)) != NN_OK) return st;
    return NN_OK;
}

/* --- the best pair ----------------------------------------------------------------------------------- */

/* key orders by left, then by right; no two candidates have the same key. */
static bool better(const candidate *a, const candidate *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static nn_status heap_add(learner *l, uint32_t index, nn_err *err)
{
    const candidate c = {l->pairs[index].count, l->pairs[index].key, index};
    void *p = l->heap;
    const nn_status st = nn_grow(&p, &l->heap_cap, l->n_heap + 1, sizeof *l->heap, err);
    size_t i = l->n_heap;

    l->heap = p;
    if (st != NN_OK) return st;
    for (; i > 0 && better(&c, l->heap + (i - 1) / 2); i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = c;
    l->n_heap++;
    return NN_OK;
}

static candidate heap_take(learner *l)
{
    const candidate top = l->heap[0], c = l->heap[--l->n_heap];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < l->n_heap; i = child) {
        if (child + 1 < l->n_heap && better(l->heap + child + 1, l->heap + child)) child++;
        if (!better(l->heap + child, &c)) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = c;
    return top;
}

static nn_status offer_pairs(learner *l, size_t from, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = from; i < l->n_pairs; i++)
        if (l->pairs[i].count > 1 && (st = heap_add(l, (uint32_t)i, err)) != NN_OK) return st;
    return NN_OK;
}

/* --- merging ----------------------------------------------------------------------------------------- */

/* a b at position becomes the new id; the pairs to its left and right change with it. */
static nn_status merge_at(learner *l, uint32_t position, int32_t new_id, nn_err *err)
{
    const uint32_t gone = l->next[position], left = l->prev[position];
    nn_status st = NN_OK;

    if (left != NONE) uncount_pair(l, left);
    if (l->next[gone] != NONE) uncount_pair(l, gone);
    l->id[position] = new_id;
    l->id[gone] = -1;
    l->next[position] = l->next[gone];
    if (l->next[position] != NONE) l->prev[l->next[position]] = position;
    if (left != NONE && (st = count_pair(l, left, err)) != NN_OK) return st;
    return l->next[position] != NONE ? count_pair(l, position, err) : NN_OK;
}

static nn_status merge_pair(learner *l, uint32_t index, nn_err *err)
{
    const uint64_t key = l->pairs[index].key;
    const int32_t new_id = NN_TOK_MERGES + (int32_t)l->n_merges;
    const int32_t a = (int32_t)(key >> 32), b = (int32_t)(key & UINT32_MAX);
    const size_t n_pairs = l->n_pairs;
    nn_status st = NN_OK;

    l->merges[2 * l->n_merges] = a;
    l->merges[2 * l->n_merges + 1] = b;
    l->bytes[new_id] = l->bytes[a] + l->bytes[b];
    l->n_merges++;
    for (uint32_t i = l->pairs[index].first; i != NONE; i = l->places[i].next) {
        const uint32_t at = l->places[i].position;
        if (l->id[at] != a || l->next[at] == NONE || l->id[l->next[at]] != b) continue;
        if ((st = merge_at(l, at, new_id, err)) != NN_OK) return st;
    }
    return offer_pairs(l, n_pairs, err); /* a pair with the new id is a new pair */
}

static nn_status learn(learner *l, size_t vocab, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;

    if ((st = nn_alloc(&p, 2 * (vocab - NN_TOK_MERGES), sizeof *l->merges, err)) != NN_OK) return st;
    l->merges = p;
    if ((st = nn_alloc(&p, vocab, sizeof *l->bytes, err)) != NN_OK) return st;
    l->bytes = p;
    for (size_t i = NN_TOK_BYTES; i < NN_TOK_MERGES; i++) l->bytes[i] = 1;
    st = offer_pairs(l, 0, err);
    while (st == NN_OK && l->n_heap > 0 && NN_TOK_MERGES + l->n_merges < vocab) {
        const candidate c = heap_take(l);
        const pair *of = l->pairs + c.pair;

        if (of->count < c.count) { /* counts only fall: it waits for its turn again */
            if (of->count > 1) st = heap_add(l, c.pair, err);
        } else if (l->bytes[c.key >> 32] + l->bytes[c.key & UINT32_MAX] <= NN_TOK_LONGEST) {
            st = merge_pair(l, c.pair, err);
        }
    }
    return st;
}

static void learner_free(learner *l)
{
    nn_free(l->words);
    nn_free(l->word_at.slot);
    nn_free(l->id);
    nn_free(l->next);
    nn_free(l->prev);
    nn_free(l->word_of);
    nn_free(l->pairs);
    nn_free(l->pair_at.slot);
    nn_free(l->places);
    nn_free(l->heap);
    nn_free(l->merges);
    nn_free(l->bytes);
}

nn_status nn_tok_train(nn_tok **out, const char *const *text, const size_t *len, size_t n, size_t vocab, nn_err *err)
{
    learner l;
    nn_status st = NN_OK;

    *out = NULL;
    memset(&l, 0, sizeof l);
    if (vocab < NN_TOK_MERGES || vocab > NN_TOK_VOCAB_MAX)
        return nn_fail(err, NN_USAGE, "tokenizer: a vocabulary of %zu, want %d to %u", vocab, NN_TOK_MERGES,
                       NN_TOK_VOCAB_MAX);
    if ((st = count_words(&l, text, len, n, err)) != NN_OK) goto done;
    if ((st = lay_symbols(&l, err)) != NN_OK) goto done;
    if ((st = learn(&l, vocab, err)) != NN_OK) goto done;
    st = nn_tok_from_merges(out, l.merges, l.n_merges, err);
done:
    learner_free(&l);
    return st;
}
