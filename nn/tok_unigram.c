#include "nn/arena.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"

/* The most probable segmentation of a text into pieces (Kudo 2018, arXiv:1804.10959, sec. 3.2), by Viterbi's algorithm:
 *
 *   best(0) = 0,   best(end) = max over pieces s[at, end) of best(at) + log p(piece)
 *
 * A character that is no piece counts as unknown, 10 below the lowest log-probability (as SentencePiece has it). Of
 * equal sums the one that begins first stays. Words are segmented one by one where no piece goes over their
 * beginnings. */

#define NODE_FITS (sizeof(node) <= NN_TOK_LIST_BYTES) /* what buf's scratch has for a byte */

typedef struct {
    double best; /* WHY double: sums over long texts then order as the scores do, wherever a text was cut */
    uint32_t from;
    int32_t id;    /* of the piece that ends here; -1: an unknown character, -2: not reached */
    uint32_t next; /* on the best path: where the piece ends that begins here */
} node;

static void offer(node *at, size_t from, double sum, int32_t id)
{
    if (at->id != -2 && sum <= at->best) return;
    *at = (node){sum, (uint32_t)from, id, 0};
}

/* Offers every piece that begins at s[at], and the character there as unknown when it is no piece. Returns its
 * bytes. */
static size_t offer_all(node *path, const nn_tok *t, const unsigned char *s, size_t len, size_t at)
{
    const nn_tok_other *o = t->other;
    uint32_t cp, edge = 0;
    bool bad, single = false;
    const size_t bytes = nn_utf8_decode(s + at, len - at, &cp, &bad);

    for (size_t end = at; end < len && (edge = nn_tok_trie_step(&o->piece, edge, s[end])) != 0; end++) {
        const int32_t id = o->piece.id[edge];
        if (id < 0) continue;
        single = single || end + 1 == at + bytes;
        offer(path + end + 1, at, path[at].best + (double)o->score[id], id);
    }
    if (!single) offer(path + at + bytes, at, path[at].best + (double)o->unk_score, -1);
    return bytes;
}

static void encode_word(const nn_tok *t, nn_tok_buf *buf, const char *s, size_t at, size_t n, size_t first)
{
    node *path = buf->scratch;

    NN_ASSERT(NODE_FITS);
    for (size_t i = 0; i <= n; i++) path[i].id = -2;
    path[0] = (node){0.0, 0, -1, 0};
    for (size_t i = 0; i < n;) i += offer_all(path, t, (const unsigned char *)s + at, n, i);
    for (uint32_t end = (uint32_t)n; end > 0; end = path[end].from) path[path[end].from].next = end;
    for (uint32_t i = 0; i < n; i = path[i].next) {
        const int32_t id = path[path[i].next].id;
        if (id >= 0) nn_tok_append(buf, (uint32_t)id, at + i);
        else nn_tok_append_unknown(t, buf, s, at + i, path[i].next - i, first);
    }
}

nn_status nn_tok_unigram_encode(const nn_tok *t, nn_tok_buf *buf, const char *s, size_t len, nn_err *err)
{
    const size_t first = buf->len;
    nn_status st = NN_OK;

    for (size_t at = 0, n; at < len; at += n) {
        n = nn_tok_word_end(t, s, len, at) - at;
        if ((st = nn_tok_buf_reserve(buf, n, n + 1, err)) != NN_OK) return st;
        encode_word(t, buf, s, at, n, first);
    }
    return NN_OK;
}
