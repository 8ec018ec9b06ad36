/* tok_gguf_own.c - a tokenizer out of a GGUF file that tok_gguf_write.c wrote; believes nothing in it.
 *
 * Reads: tok_gguf_write.h, tok_saved.h.   Read next: tok_build.c (who checks a vocabulary).
 * Of another's tokenizer the spelled merges are not read: the ids beside them say the same without a search.
 */
#include "nn/arena.h"
#include "nn/tok_gguf_write.h"
#include "nn/tok_read_impl.h"
#include "nn/tok_saved.h"
#include <string.h>

typedef struct {
    const nn_gguf *g;
    const char *name;
    nn_err *err;
    nn_vocab *v;
    const int32_t *type; /* [n] */
    nn_status st;
} reader;

static nn_status refuse(const char *name, const char *key, const char *want, nn_err *err)
{
    return nn_fail(err, NN_FILE, "%s: key %s is absent or wrong, want %s", name, key, want);
}

/* The numbers of an array, which the caller frees; NN_FILE unless there are n, or a multiple of `step` when n is 0. */
static nn_status take_i32s(int32_t **out, size_t *n, const reader *r, const char *key, size_t want, size_t step)
{
    nn_gg_type type = NN_GG_U8;
    nn_status st;

    *out = NULL;
    *n = 0;
    if (!nn_gguf_array(r->g, key, &type, n) || type != NN_GG_I32 || *n % step != 0 || (want && *n != want))
        return refuse(r->name, key, "ids, as many as belong there", r->err);
    if ((st = nn_alloc((void **)out, *n + 1, sizeof **out, r->err)) != NN_OK) return st;
    (void)nn_gguf_array_i32(r->g, key, *out, *n);
    return NN_OK;
}

static nn_status check_hash(const nn_tok *t, const nn_gguf *g, const char *name, nn_err *err)
{
    const char *s = NULL;
    char hex[65];
    size_t len = 0;

    nn_tok_hash(t, hex);
    if (nn_gguf_str(g, NN_SAVED_HASH, &s, &len) && len == strlen(hex) && memcmp(s, hex, len) == 0) return NN_OK;
    return refuse(name, NN_SAVED_HASH, hex, err);
}

/* --- ours ----------------------------------------------------------------------------------------------- */

static bool is_spelling(void *ctx, size_t id, const char *s, size_t len)
{
    char text[NN_SAVED_SPELLING];

    return len == nn_tok_spelling(ctx, (int32_t)id, text, sizeof text) && memcmp(s, text, len) == 0;
}

/* Merges stand twice: the spelled vocabulary must be the one of the pairs. */
static nn_status check_spelling(nn_tok *t, const nn_gguf *g, const char *name, nn_err *err)
{
    nn_gg_type type = NN_GG_U8;
    size_t n = 0;

    if (!nn_gguf_array(g, NN_SAVED_TOKENS, &type, &n) || n != nn_tok_vocab(t))
        return refuse(name, NN_SAVED_TOKENS, "one spelling an id of the merges", err);
    if (nn_gguf_array_strs(g, NN_SAVED_TOKENS, is_spelling, t)) return NN_OK;
    return refuse(name, NN_SAVED_TOKENS, "the spelling that the merges give", err);
}

static nn_status get_own(nn_tok **out, const reader *r)
{
    int32_t *pair = NULL;
    size_t n = 0;
    nn_err cause = {NN_OK, ""};
    nn_status st = take_i32s(&pair, &n, r, NN_SAVED_MERGES, 0, 2);

    if (st == NN_OK && (st = nn_tok_from_merges(out, pair, n / 2, &cause)) != NN_OK)
        st = nn_fail(r->err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s: key %s: %s", r->name, NN_SAVED_MERGES,
                     cause.text);
    nn_free(pair);
    if (st == NN_OK) st = check_hash(*out, r->g, r->name, r->err);
    return st == NN_OK ? check_spelling(*out, r->g, r->name, r->err) : st;
}

/* --- another's ------------------------------------------------------------------------------------------ */

void nn_saved_options(int32_t option[NN_SAVED_OPTIONS], const nn_vocab *v)
{
    const int32_t o[NN_SAVED_OPTIONS] = {
        (int32_t)v->model, (int32_t)v->pre, v->prefix_space, v->ignore_merges, v->squeeze, v->nfc, v->nfkc,
        v->lowercase,      v->add_bos,      v->add_eos,      v->bos,           v->eos,     v->unk, v->pad};

    memcpy(option, o, sizeof o);
}

bool nn_saved_take_options(nn_vocab *v, const int32_t o[NN_SAVED_OPTIONS])
{
    if (o[0] < 0 || o[0] > NN_TOK_UNIGRAM || o[1] < 0 || o[1] > NN_PRE_FALCON) return false;
    for (size_t i = 2; i < 10; i++)
        if (o[i] != 0 && o[i] != 1) return false;
    v->model = (nn_tok_model)o[0];
    v->pre = (nn_tok_pre)o[1];
    v->prefix_space = o[2];
    v->ignore_merges = o[3];
    v->squeeze = o[4];
    v->nfc = o[5];
    v->nfkc = o[6];
    v->lowercase = o[7];
    v->add_bos = o[8];
    v->add_eos = o[9];
    v->bos = o[10];
    v->eos = o[11];
    v->unk = o[12];
    v->pad = o[13];
    return true;
}

static nn_status get_options(const reader *r)
{
    int32_t option[NN_SAVED_OPTIONS];

    if (!nn_gguf_array_i32(r->g, NN_SAVED_OPTION_KEY, option, NN_SAVED_OPTIONS) || !nn_saved_take_options(r->v, option))
        return refuse(r->name, NN_SAVED_OPTION_KEY, "fourteen numbers of a tokenizer's options", r->err);
    (void)nn_gguf_array_bytes(r->g, NN_SAVED_CHARSMAP, &r->v->charsmap, &r->v->charsmap_len);
    return NN_OK;
}

static nn_status add_piece(const reader *r, size_t id, const char *s, size_t len)
{
    static const nn_piece_type types[] = {NN_PIECE_NORMAL, NN_PIECE_NORMAL, NN_PIECE_UNKNOWN, NN_PIECE_CONTROL,
                                          NN_PIECE_USER,   NN_PIECE_UNUSED, NN_PIECE_BYTE};
    const int32_t type = r->type[id];
    double score = 0.0;
    unsigned char byte = 0;
    nn_status st;

    if (type < 1 || type > 6) return refuse(r->name, NN_SAVED_TYPES, "types from 1 to 6", r->err);
    if (r->v->model != NN_TOK_BPE && !nn_gguf_array_f64(r->g, NN_SAVED_SCORES, id, &score))
        return refuse(r->name, NN_SAVED_SCORES, "a score a token", r->err);
    if (types[type] == NN_PIECE_BYTE) {
        if (!nn_byte_spelled(&byte, s, len)) return refuse(r->name, NN_SAVED_TOKENS, "bytes as <0x0A>", r->err);
        return nn_vocab_add(r->v, (const char *)&byte, 1, (float)score, NN_PIECE_BYTE, r->err);
    }
    if ((st = nn_vocab_add(r->v, s, len, (float)score, types[type], r->err)) != NN_OK) return st;
    if (r->v->model != NN_TOK_BPE || types[type] != NN_PIECE_NORMAL || nn_vocab_unspell_last(r->v)) return NN_OK;
    return refuse(r->name, NN_SAVED_TOKENS, "bytes spelled as characters", r->err);
}

static bool take_piece(void *ctx, size_t id, const char *s, size_t len)
{
    reader *r = ctx;

    r->st = add_piece(r, id, s, len);
    return r->st == NN_OK;
}

static nn_status get_pieces(reader *r)
{
    nn_gg_type type = NN_GG_U8;
    int32_t *types = NULL;
    size_t n = 0, n_type = 0;
    nn_status st;

    if (!nn_gguf_array(r->g, NN_SAVED_TOKENS, &type, &n) || type != NN_GG_STRING || n == 0)
        return refuse(r->name, NN_SAVED_TOKENS, "the texts of all ids", r->err);
    if ((st = take_i32s(&types, &n_type, r, NN_SAVED_TYPES, n, 1)) != NN_OK) return st;
    r->type = types;
    (void)nn_gguf_array_strs(r->g, NN_SAVED_TOKENS, take_piece, r);
    r->type = NULL;
    nn_free(types);
    return r->st;
}

static nn_status get_merges(const reader *r)
{
    int32_t *merge = NULL;
    size_t n = 0;
    nn_status st = take_i32s(&merge, &n, r, NN_SAVED_MERGES, 0, 3);

    for (size_t i = 0; i < n && st == NN_OK; i += 3)
        st = nn_vocab_add_merge(r->v, merge[i], merge[i + 1], merge[i + 2], r->err);
    nn_free(merge);
    return st;
}

static nn_status get_strips(const reader *r)
{
    int32_t *strip = NULL;
    size_t n = 0;
    nn_status st = take_i32s(&strip, &n, r, NN_SAVED_STRIPS, 0, 2);

    for (size_t i = 0; i < n && st == NN_OK; i += 2) {
        if (strip[i] < 0 || (size_t)strip[i] >= r->v->n || strip[i + 1] < 1 || strip[i + 1] > 3) {
            st = refuse(r->name, NN_SAVED_STRIPS, "ids and sides", r->err);
            break;
        }
        r->v->piece[strip[i]].lstrip = (strip[i + 1] & 1) != 0;
        r->v->piece[strip[i]].rstrip = (strip[i + 1] & 2) != 0;
    }
    nn_free(strip);
    return st;
}

static nn_status get_other(nn_tok **out, reader *r)
{
    nn_err cause = {NN_OK, ""};
    nn_status st;

    if ((st = get_options(r)) != NN_OK) return st;
    if ((st = get_pieces(r)) != NN_OK) return st;
    if ((st = get_merges(r)) != NN_OK) return st;
    if ((st = get_strips(r)) != NN_OK) return st;
    if ((st = nn_tok_build(out, r->v, &cause)) != NN_OK) return nn_fail(r->err, st, "%s: %s", r->name, cause.text);
    return check_hash(*out, r->g, r->name, r->err);
}

nn_status nn_tok_get_gguf(nn_tok **out, const nn_gguf *g, const char *name, bool own, nn_err *err)
{
    nn_vocab v;
    reader r = {g, name, err, &v, NULL, NN_OK};

    *out = NULL;
    nn_vocab_init(&v);
    const nn_status st = own ? get_own(out, &r) : get_other(out, &r);
    nn_vocab_free(&v);
    if (st == NN_OK) return NN_OK;
    nn_tok_free(*out);
    *out = NULL;
    return st;
}
