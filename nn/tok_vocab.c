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
