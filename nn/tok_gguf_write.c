/* tok_gguf_write.c - a tokenizer as keys of a GGUF file.
 *
 * Reads: tok_gguf_write.h, tok_impl.h.   Read next: tok_gguf_own.c (who reads them).
 */
#include "nn/tok_gguf_write.h"
#include "nn/arena.h"
#include "nn/tok_impl.h"
#include "nn/tok_saved.h"
#include <string.h>

#define NN_CHARSMAP "tokenizer.ggml.precompiled_charsmap" /* as converters of T5 write it */

/* --- strings in a row ---------------------------------------------------------------------------------- */

/* Many short strings for one array; text grows, so places are kept as offsets until the end. */
typedef struct {
    char *bytes;
    size_t len, cap;
    size_t *start; /* [n+1] */
    size_t n, start_cap;
} strings;

static void strings_free(strings *s)
{
    nn_free(s->bytes);
    nn_free(s->start);
}

static nn_status strings_add(strings *s, const char *text, size_t len, nn_err *err)
{
    nn_status st;

    if ((st = nn_grow((void **)&s->bytes, &s->cap, s->len + len + 1, 1, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&s->start, &s->start_cap, s->n + 2, sizeof *s->start, err)) != NN_OK) return st;
    memcpy(s->bytes + s->len, text, len);
    s->start[s->n++] = s->len;
    s->len += len;
    s->start[s->n] = s->len;
    return NN_OK;
}

static nn_status strings_put(nn_gguf_writer *w, const char *key, const strings *s, nn_err *err)
{
    const char **at = NULL;
    size_t *len = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&at, s->n + 1, sizeof *at, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&len, s->n + 1, sizeof *len, err)) != NN_OK) goto done;
    for (size_t i = 0; i < s->n; i++) {
        at[i] = s->bytes + s->start[i];
        len[i] = s->start[i + 1] - s->start[i];
    }
    nn_gguf_put_strs(w, key, at, len, s->n);
done:
    nn_free(len);
    nn_free((void *)at);
    return st;
}

/* --- vocabulary and merges ------------------------------------------------------------------------------ */

/* Types as the format counts them. */
static int32_t type_of(const nn_tok *t, size_t id)
{
    static const int32_t types[] = {[NN_PIECE_NORMAL] = 1, [NN_PIECE_UNKNOWN] = 2, [NN_PIECE_CONTROL] = 3,
                                    [NN_PIECE_USER] = 4,   [NN_PIECE_UNUSED] = 5,  [NN_PIECE_BYTE] = 6};

    if (!t->other) return id < NN_TOK_BYTES ? 3 : 1;
    return types[t->other->source.piece[id].type];
}

static nn_status put_vocabulary(nn_gguf_writer *w, const nn_tok *t, nn_err *err)
{
    const size_t n = nn_tok_vocab(t);
    char text[NN_SAVED_SPELLING];
    int32_t *type = NULL;
    strings s = {0};
    nn_status st = nn_alloc((void **)&type, n, sizeof *type, err);

    for (size_t id = 0; id < n && st == NN_OK; id++) {
        type[id] = type_of(t, id);
        st = strings_add(&s, text, nn_tok_spelling(t, (int32_t)id, text, sizeof text), err);
    }
    if (st == NN_OK) st = strings_put(w, NN_SAVED_TOKENS, &s, err);
    if (st == NN_OK) nn_gguf_put_i32s(w, NN_SAVED_TYPES, type, n);
    strings_free(&s);
    nn_free(type);
    return st;
}

/* "left right", as gpt2's merges are spelled; `step` ids a merge. */
static nn_status put_merges(nn_gguf_writer *w, const nn_tok *t, const int32_t *merge, size_t n, size_t step,
                            nn_err *err)
{
    char text[2 * NN_SAVED_SPELLING + 1];
    strings s = {0};
    nn_status st = NN_OK;

    for (size_t i = 0; i < n && st == NN_OK; i++) {
        size_t len = nn_tok_spelling(t, merge[step * i], text, NN_SAVED_SPELLING);

        text[len++] = ' ';
        len += nn_tok_spelling(t, merge[step * i + 1], text + len, NN_SAVED_SPELLING);
        st = strings_add(&s, text, len, err);
    }
    if (st == NN_OK) st = strings_put(w, "tokenizer.ggml.merges", &s, err);
    strings_free(&s);
    return st;
}

/* --- another's ------------------------------------------------------------------------------------------ */

/* A list of merges as scores: what comes earlier scores higher. The list itself has no key in these families. */
static void scores_of_merges(float *score, const nn_vocab *v)
{
    float next = 0.0f; /* whole numbers: below 2^24 merges each is a float */

    for (size_t id = 0; id < v->n; id++) score[id] = 1.0f;
    for (size_t i = 0; i < v->n_merge; i++) {
        float *s = score + v->merge[3 * i + 2];

        if (*s > 0.0f) *s = next--;
    }
    for (size_t id = 0; id < v->n; id++)
        if (score[id] > 0.0f) score[id] = NN_TOK_MADE >> v->piece[id].type & 1u ? next : 0.0f;
}

static nn_status put_scores(nn_gguf_writer *w, const nn_vocab *v, bool plain, nn_err *err)
{
    float *score = NULL;
    const nn_status st = nn_alloc((void **)&score, v->n, sizeof *score, err);

    if (st != NN_OK) return st;
    for (size_t id = 0; id < v->n; id++) score[id] = v->piece[id].score;
    if (plain && v->n_merge) scores_of_merges(score, v);
    nn_gguf_put_f32s(w, NN_SAVED_SCORES, score, v->n);
    nn_free(score);
    return NN_OK;
}

/* Ids of pieces that take the white space on one side: id and side (1 before, 2 behind, 3 both) in turn. */
static nn_status put_strips(nn_gguf_writer *w, const nn_vocab *v, nn_err *err)
{
    int32_t *strip = NULL;
    size_t n = 0;
    const nn_status st = nn_alloc((void **)&strip, 2 * v->n, sizeof *strip, err);

    if (st != NN_OK) return st;
    for (size_t id = 0; id < v->n; id++) {
        const int32_t sides = (v->piece[id].lstrip ? 1 : 0) + (v->piece[id].rstrip ? 2 : 0);

        if (!sides) continue;
        strip[n++] = (int32_t)id;
        strip[n++] = sides;
    }
    nn_gguf_put_i32s(w, NN_SAVED_STRIPS, strip, n);
    nn_free(strip);
    return NN_OK;
}

static void put_special(nn_gguf_writer *w, const char *key, int32_t id)
{
    if (id >= 0) nn_gguf_put_u32(w, key, (uint32_t)id);
}

static void put_options(nn_gguf_writer *w, const nn_vocab *v, bool plain)
{
    int32_t option[NN_SAVED_OPTIONS];

    nn_saved_options(option, v);
    if (!plain) nn_gguf_put_i32s(w, NN_SAVED_OPTION_KEY, option, NN_SAVED_OPTIONS);
    put_special(w, "tokenizer.ggml.bos_token_id", v->bos);
    put_special(w, "tokenizer.ggml.eos_token_id", v->eos);
    put_special(w, "tokenizer.ggml.unknown_token_id", v->unk);
    put_special(w, "tokenizer.ggml.padding_token_id", v->pad);
    nn_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", v->add_bos);
    nn_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", v->add_eos);
    nn_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", v->prefix_space);
    nn_gguf_put_bool(w, "tokenizer.ggml.remove_extra_whitespaces", v->squeeze);
    if (v->charsmap) nn_gguf_put_u8s(w, plain ? NN_CHARSMAP : NN_SAVED_CHARSMAP, v->charsmap, v->charsmap_len);
}

/* tokenizer.ggml.pre: how a text is cut, and with llama-bpe that a word which is a token needs no merges. Llama 3's
 * pattern without that is smaug-bpe. WHY plain alone: in files of ours the option has a key, and their bytes stay. */
static const char *pre_name(const nn_vocab *v, bool plain)
{
    static const char *const pres[] = {[NN_PRE_GPT2] = "gpt-2", [NN_PRE_LLAMA3] = "llama-bpe", [NN_PRE_QWEN2] = "qwen2",
                                       [NN_PRE_STARCODER] = "starcoder", [NN_PRE_FALCON] = "falcon"};

    return plain && v->pre == NN_PRE_LLAMA3 && !v->ignore_merges ? "smaug-bpe" : pres[v->pre];
}

static nn_status put_other(nn_gguf_writer *w, const nn_tok *t, bool plain, nn_err *err)
{
    static const char *const models[] = {[NN_TOK_BPE] = "gpt2", [NN_TOK_SPM] = "llama", [NN_TOK_UNIGRAM] = "t5"};
    const nn_vocab *v = &t->other->source;
    nn_status st;

    nn_gguf_put_str(w, "tokenizer.ggml.model", models[v->model]);
    if (v->model == NN_TOK_BPE) nn_gguf_put_str(w, "tokenizer.ggml.pre", pre_name(v, plain));
    if ((st = put_vocabulary(w, t, err)) != NN_OK) return st;
    if (v->model != NN_TOK_BPE && (st = put_scores(w, v, plain, err)) != NN_OK) return st;
    if (v->model == NN_TOK_BPE && (st = put_merges(w, t, v->merge, v->n_merge, 3, err)) != NN_OK) return st;
    if (!plain) nn_gguf_put_i32s(w, NN_SAVED_MERGES, v->merge, 3 * v->n_merge);
    put_options(w, v, plain);
    return plain ? NN_OK : put_strips(w, v, err);
}

/* --- ours ----------------------------------------------------------------------------------------------- */

static nn_status put_own(nn_gguf_writer *w, const nn_tok *t, bool plain, nn_err *err)
{
    const int32_t *pair = NULL;
    const size_t n = nn_tok_merges(t, &pair);
    nn_status st;

    nn_gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    nn_gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2");
    if ((st = put_vocabulary(w, t, err)) != NN_OK || (st = put_merges(w, t, pair, n, 2, err)) != NN_OK) return st;
    if (!plain) nn_gguf_put_i32s(w, NN_SAVED_MERGES, pair, 2 * n);
    nn_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", NN_TOK_BOS);
    nn_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", NN_TOK_EOS);
    nn_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", NN_TOK_PAD);
    return NN_OK;
}

nn_status nn_tok_put_gguf(nn_gguf_writer *w, const nn_tok *t, nn_err *err)
{
    const nn_status st = nn_tok_is_own(t) ? put_own(w, t, false, err) : put_other(w, t, false, err);
    char hex[65];

    if (st != NN_OK) return st;
    nn_tok_hash(t, hex);
    nn_gguf_put_str(w, NN_SAVED_HASH, hex);
    return NN_OK;
}

nn_status nn_tok_put_gguf_plain(nn_gguf_writer *w, const nn_tok *t, nn_err *err)
{
    return nn_tok_is_own(t) ? put_own(w, t, true, err) : put_other(w, t, true, err);
}
