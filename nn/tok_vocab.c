#include "nn/tok_vocab.h"
#include "nn/arena.h"
#include <string.h>

void nn_vocab_init(nn_vocab *v)
{
    memset(v, 0, sizeof *v);
    v->bos = v->eos = v->unk = v->pad = -1;
}

void nn_vocab_free(nn_vocab *v)
{
    nn_free(v->piece);
    nn_free(v->merge);
    nn_free(v->pool);
    nn_free(v->charsmap_owned);
    nn_vocab_init(v);
}

/* Room for `more` bytes. Not nn_grow: the pieces' texts point into the old pool until they are moved. */
static nn_status pool_reserve(nn_vocab *v, size_t more, nn_err *err)
{
    size_t cap = v->pool_cap > 0 ? v->pool_cap : 4096;
    void *grown = NULL;
    nn_status st;

    if (more <= v->pool_cap - v->pool_len) return NN_OK;
    if (more > SIZE_MAX / 4 - v->pool_len)
        return nn_fail(err, NN_LIMIT, "vocabulary: texts of more bytes than fit");
    while (cap < v->pool_len + more) cap *= 2;
    if ((st = nn_alloc(&grown, cap, 1, err)) != NN_OK) return st;
    if (v->pool_len > 0) memcpy(grown, v->pool, v->pool_len);
    for (size_t i = 0; i < v->n; i++) v->piece[i].text = (char *)grown + (v->piece[i].text - v->pool);
    nn_free(v->pool);
    v->pool = grown;
    v->pool_cap = cap;
    return NN_OK;
}

nn_status nn_vocab_add(nn_vocab *v, const char *text, size_t len, float score, nn_piece_type type, nn_err *err)
{
    nn_status st;

    if ((st = nn_grow((void **)&v->piece, &v->piece_cap, v->n + 1, sizeof *v->piece, err)) != NN_OK) return st;
    if ((st = pool_reserve(v, len + 1, err)) != NN_OK) return st; /* + 1: an empty text has an address too */
    if (len > 0) memcpy(v->pool + v->pool_len, text, len);
    v->piece[v->n++] = (nn_piece){v->pool + v->pool_len, len, score, type, false, false};
    v->pool_len += len;
    return NN_OK;
}

nn_status nn_vocab_add_merge(nn_vocab *v, int32_t left, int32_t right, int32_t result, nn_err *err)
{
    nn_status st;

    if ((st = nn_grow((void **)&v->merge, &v->merge_cap, 3 * (v->n_merge + 1), sizeof *v->merge, err)) != NN_OK)
        return st;
    int32_t *m = v->merge + 3 * v->n_merge++;
    m[0] = left;
    m[1] = right;
    m[2] = result;
    return NN_OK;
}

nn_status nn_vocab_copy(nn_vocab *to, const nn_vocab *from, nn_err *err)
{
    const size_t n_merge = 3 * from->n_merge;
    void *merge = NULL, *charsmap = NULL;
    nn_status st;

    nn_vocab_init(to);
    if (from->charsmap && (st = nn_alloc(&charsmap, from->charsmap_len + 1, 1, err)) != NN_OK) return st;
    if (charsmap) memcpy(charsmap, from->charsmap, from->charsmap_len);
    to->charsmap = to->charsmap_owned = charsmap;
    for (size_t i = 0; i < from->n; i++) {
        const nn_piece *p = from->piece + i;

        if ((st = nn_vocab_add(to, p->text, p->len, p->score, p->type, err)) != NN_OK) goto fail;
        to->piece[i].lstrip = p->lstrip;
        to->piece[i].rstrip = p->rstrip;
    }
    if ((st = nn_alloc(&merge, n_merge + 1, sizeof *to->merge, err)) != NN_OK) goto fail;
    if (n_merge > 0) memcpy(merge, from->merge, n_merge * sizeof *to->merge);
    const nn_vocab mine = *to;
    *to = *from; /* every option, also one that does not exist yet */
    to->piece = mine.piece;
    to->piece_cap = mine.piece_cap;
    to->pool = mine.pool;
    to->pool_len = mine.pool_len;
    to->pool_cap = mine.pool_cap;
    to->merge = merge;
    to->merge_cap = n_merge + 1;
    to->charsmap = to->charsmap_owned = charsmap;
    return NN_OK;
fail:
    nn_vocab_free(to);
    return st;
}
