#include "nn/arena.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include <stdlib.h>
#include <string.h>

/* SentencePiece's BPE (Kudo, Richardson 2018, arXiv:1808.06226): characters are symbols, and the neighbours whose
 * union is the piece of the highest score merge first, of equal scores the leftmost. Every way to put a piece
 * together from two pieces is looked up once, when the tokenizer is built: merging is then the same as with a list of
 * merges. */

static int32_t piece_of(const nn_tok *t, const char *s, size_t len)
{
    const unsigned char c = (unsigned char)s[0];

    if (len == 1 && c < 0x80) return t->other->char_id[c];
    return nn_tok_lookup(t, s, len, NN_TOK_MADE);
}

nn_status nn_tok_spm_encode(const nn_tok *t, nn_tok_buf *buf, const char *s, size_t len, nn_err *err)
{
    const size_t first = buf->len;
    nn_status st = NN_OK;

    for (size_t at = 0, n; at < len; at += n) {
        n = nn_tok_word_end(t, s, len, at) - at;
        if ((st = nn_tok_buf_reserve(buf, n, n, err)) != NN_OK) return st;
        nn_tok_list l = nn_tok_list_in(buf->scratch, n);
        uint32_t last = NN_TOK_END;
        for (size_t i = 0, bytes; i < n; i += bytes) {
            uint32_t cp;
            bool bad;
            bytes = nn_utf8_decode((const unsigned char *)s + at + i, n - i, &cp, &bad);
            const int32_t id = piece_of(t, s + at + i, bytes);
            nn_tok_link(&l, &last, (uint32_t)i, id < 0 ? NN_TOK_NO_ID : (uint32_t)id);
        }
        nn_tok_merge_all(&l, t);
        for (uint32_t i = l.first; i != NN_TOK_END; i = l.next[i]) {
            const size_t end = l.next[i] == NN_TOK_END ? n : l.next[i];
            if (l.id[i] != NN_TOK_NO_ID) nn_tok_append(buf, l.id[i], at + i);
            else nn_tok_append_unknown(t, buf, s, at + i, end - i, first);
        }
    }
    return NN_OK;
}

/* --- merges from scores ------------------------------------------------------------------------------ */

typedef struct {
    float score;
    uint32_t id;
} scored;

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;

    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : (x->id > y->id ? 1 : 0);
}

typedef struct {
    int32_t left, right;
} cut;

/* The ways to cut the piece in two pieces, the shortest left first. */
static size_t cuts_of(cut out[NN_PIECE_LONGEST_SPM], const nn_tok *t, uint32_t id)
{
    size_t len, n = 0;
    const char *s = nn_tok_text(t, id, &len);

    if (len == 0 || piece_of(t, s, len) != (int32_t)id) return 0; /* an id before it has the same text */
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)s[i] & 0xC0u) == 0x80) continue;
        const int32_t left = piece_of(t, s, i), right = left < 0 ? -1 : piece_of(t, s + i, len - i);
        if (right >= 0) out[n++] = (cut){left, right};
    }
    return n;
}

/* Pieces that text can make, the highest score first. */
static nn_status sort_pieces(scored **out, size_t *n, const nn_vocab *v, nn_err *err)
{
    void *p = NULL;
    const nn_status st = nn_alloc(&p, v->n, sizeof(scored), err);

    *out = p;
    *n = 0;
    if (st != NN_OK) return st;
    for (size_t id = 0; id < v->n; id++)
        if (NN_TOK_MADE >> v->piece[id].type & 1u) (*out)[(*n)++] = (scored){v->piece[id].score, (uint32_t)id};
    qsort(*out, *n, sizeof **out, by_score);
    return NN_OK;
}

nn_status nn_tok_spm_merges(nn_tok *t, const nn_vocab *v, nn_err *err)
{
    cut c[NN_PIECE_LONGEST_SPM];
    nn_status st = NN_OK;
    scored *list = NULL;
    size_t n = 0, n_merges = 0;

    if ((st = sort_pieces(&list, &n, v, err)) != NN_OK) return st;
    for (size_t i = 0; i < n; i++) n_merges += cuts_of(c, t, list[i].id);
    st = nn_tok_slots(t, n_merges, err);
    uint32_t rank = 0;
    for (size_t i = 0; i < n && st == NN_OK; i++) {
        if (i > 0 && list[i].score < list[i - 1].score) rank++;
        for (size_t k = cuts_of(c, t, list[i].id), j = 0; j < k; j++) {
            nn_tok_slot *slot = nn_tok_merge_of(t, (uint32_t)c[j].left, (uint32_t)c[j].right);
            if (slot->rank != NN_TOK_NO_RANK) continue;
            *slot = (nn_tok_slot){(uint64_t)(uint32_t)c[j].left << 32 | (uint32_t)c[j].right, rank, list[i].id};
        }
    }
    nn_free(list);
    return st;
}

/* Which way to a piece comes first changes no ids that we know of; this is the order of the published files. */
static int by_ids(const void *a, const void *b)
{
    const cut *x = a, *y = b;

    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : (x->right > y->right ? 1 : 0);
}

nn_status nn_tok_spm_list(int32_t **merge, size_t *n, size_t *ties, const nn_tok *t, nn_err *err)
{
    cut c[NN_PIECE_LONGEST_SPM];
    nn_status st = NN_OK;
    scored *list = NULL;
    size_t n_piece = 0, at = 0;
    float last = 0.0f;

    *n = *ties = 0;
    if ((st = sort_pieces(&list, &n_piece, &t->other->source, err)) != NN_OK) return st;
    for (size_t i = 0; i < n_piece; i++) *n += cuts_of(c, t, list[i].id);
    if ((st = nn_alloc((void **)merge, 3 * *n + 1, sizeof **merge, err)) != NN_OK) goto done;
    for (size_t i = 0; i < n_piece; i++) {
        const size_t k = cuts_of(c, t, list[i].id);

        if (k == 0) continue;
        *ties += at > 0 && !(list[i].score < last);
        last = list[i].score;
        qsort(c, k, sizeof *c, by_ids);
        for (size_t j = 0; j < k; j++) {
            (*merge)[at++] = c[j].left;
            (*merge)[at++] = c[j].right;
            (*merge)[at++] = (int32_t)list[i].id;
        }
    }
done:
    nn_free(list);
    return st;
}
