/* tok_json_write.c - a byte-level BPE as tokenizer.json (the `tokenizers` library's serialisation, version 1.0) and
 * tokenizer_config.json.
 *
 * Reads: tok_json_write.h, tok_impl.h, sink.h.   Read next: tok_json.c (which reads it back).
 */
#include "nn/tok_json_write.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/sink.h"
#include "nn/tok_impl.h"
#include "nn/tok_json_impl.h"
#include "nn/tok_read.h"
#include "nn/tok_saved.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    nn_sink s;
    const nn_tok *t;
    const nn_vocab *v; /* NULL: ours */
    char text[NN_SAVED_SPELLING + 1];
} writer;

static void put(writer *w, const char *text)
{
    nn_sink_str(&w->s, text);
}

static void put_number(writer *w, size_t n)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%zu", n);
    put(w, digits);
}

static void put_flag(writer *w, const char *before, bool flag)
{
    put(w, before);
    put(w, flag ? "true" : "false");
}

static nn_piece_type type_of(const writer *w, size_t id)
{
    if (w->v) return w->v->piece[id].type;
    return id < NN_TOK_BYTES ? NN_PIECE_CONTROL : NN_PIECE_NORMAL;
}

/* As the vocabulary has it: bytes as GPT-2 prints them, what was added as it is. */
static void put_token(writer *w, size_t id)
{
    const bool raw = w->v && type_of(w, id) != NN_PIECE_NORMAL;
    size_t len;

    if (raw) {
        len = w->v->piece[id].len < NN_SAVED_SPELLING ? w->v->piece[id].len : NN_SAVED_SPELLING;
        memcpy(w->text, w->v->piece[id].text, len);
    } else {
        len = nn_tok_spelling(w->t, (int32_t)id, w->text, NN_SAVED_SPELLING);
    }
    w->text[len < NN_SAVED_SPELLING ? len : NN_SAVED_SPELLING] = '\0';
    nn_sink_quoted(&w->s, w->text);
}

/* --- the parts ------------------------------------------------------------------------------------------------ */

static void put_added(writer *w)
{
    bool first = true;

    put(w, "\"added_tokens\":[");
    for (size_t id = 0; id < nn_tok_vocab(w->t); id++) {
        const nn_piece_type type = type_of(w, id);

        if (type != NN_PIECE_CONTROL && type != NN_PIECE_USER) continue;
        put(w, first ? "\n{\"id\":" : ",\n{\"id\":");
        first = false;
        put_number(w, id);
        put(w, ",\"content\":");
        put_token(w, id);
        put(w, ",\"single_word\":false");
        put_flag(w, ",\"lstrip\":", w->v && w->v->piece[id].lstrip);
        put_flag(w, ",\"rstrip\":", w->v && w->v->piece[id].rstrip);
        put_flag(w, ",\"normalized\":false,\"special\":", type == NN_PIECE_CONTROL);
        put(w, "}");
    }
    put(w, "],\n");
}

static void put_byte_level(writer *w, bool regex)
{
    put_flag(w, "{\"type\":\"ByteLevel\",\"add_prefix_space\":", w->v && w->v->prefix_space);
    put_flag(w, ",\"trim_offsets\":true,\"use_regex\":", regex);
    put(w, "}");
}

static void put_split(writer *w, const char *regex)
{
    put(w, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    nn_sink_quoted(&w->s, regex);
    put(w, "},\"behavior\":\"Isolated\",\"invert\":false}");
}

static void put_pre_tokenizer(writer *w)
{
    const nn_tok_pre pre = w->v ? w->v->pre : NN_PRE_GPT2;
    const bool split = pre == NN_PRE_LLAMA3 || pre == NN_PRE_QWEN2;

    put(w, "\"pre_tokenizer\":");
    if (pre != NN_PRE_GPT2) put(w, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    if (pre == NN_PRE_STARCODER) put(w, "{\"type\":\"Digits\",\"individual_digits\":true},");
    if (pre == NN_PRE_FALCON) put(w, "{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"},");
    if (split) {
        put_split(w, nn_tok_json_pattern(pre == NN_PRE_LLAMA3 ? 'L' : 'Q'));
        put(w, ",");
    }
    put_byte_level(w, !split);
    if (pre == NN_PRE_FALCON) {
        put(w, ",{\"type\":\"Digits\",\"individual_digits\":false},");
        put_split(w, nn_tok_json_pattern('3'));
    }
    put(w, pre != NN_PRE_GPT2 ? "]},\n" : ",\n");
}

static void put_special(writer *w, int32_t id)
{
    put(w, "{\"SpecialToken\":{\"id\":");
    put_token(w, (size_t)id);
    put(w, ",\"type_id\":0}}");
}

static void put_special_entry(writer *w, int32_t id)
{
    put_token(w, (size_t)id);
    put(w, ":{\"id\":");
    put_token(w, (size_t)id);
    put(w, ",\"ids\":[");
    put_number(w, (size_t)id);
    put(w, "],\"tokens\":[");
    put_token(w, (size_t)id);
    put(w, "]}");
}

/* BOS before a text and EOS behind it, where the model expects them. */
static void put_post_processor(writer *w)
{
    const bool bos = w->v && w->v->add_bos && w->v->bos >= 0, eos = w->v && w->v->add_eos && w->v->eos >= 0;

    if (!bos && !eos) {
        put(w, "\"post_processor\":null,\n");
        return;
    }
    put(w, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[");
    if (bos) put_special(w, w->v->bos);
    put(w, bos ? ",{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}" : "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}");
    if (eos) put(w, ",");
    if (eos) put_special(w, w->v->eos);
    put(w, "],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
           "\"special_tokens\":{");
    if (bos) put_special_entry(w, w->v->bos);
    if (bos && eos) put(w, ",");
    if (eos) put_special_entry(w, w->v->eos);
    put(w, "}},\n");
}

static void put_merges(writer *w)
{
    const int32_t *pair = NULL;
    const size_t step = w->v ? 3 : 2, own = nn_tok_merges(w->t, &pair), n = w->v ? w->v->n_merge : own;

    if (w->v) pair = w->v->merge;
    put(w, "\"merges\":[");
    for (size_t i = 0; i < n; i++) {
        put(w, i ? ",\n[" : "\n[");
        put_token(w, (size_t)pair[step * i]);
        put(w, ",");
        put_token(w, (size_t)pair[step * i + 1]);
        put(w, "]");
    }
    put(w, "]");
}

static void put_model(writer *w)
{
    put(w, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (w->v && w->v->unk >= 0) put_token(w, (size_t)w->v->unk);
    else put(w, "null");
    put(w, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,");
    put_flag(w, "\"byte_fallback\":false,\"ignore_merges\":", w->v && w->v->ignore_merges);
    put(w, ",\n\"vocab\":{");
    for (size_t id = 0; id < nn_tok_vocab(w->t); id++) {
        put(w, id ? ",\n" : "\n");
        put_token(w, id);
        put(w, ":");
        put_number(w, id);
    }
    put(w, "},\n");
    put_merges(w);
    put(w, "}}\n");
}

/* --- tokenizer_config.json -------------------------------------------------------------------------------------- */

static void put_name(writer *w, const char *key, int32_t id)
{
    if (id < 0) return;
    put(w, key);
    put_token(w, (size_t)id);
}

static nn_status put_config(writer *w, const char *chat, size_t chat_len, nn_err *err)
{
    char *text = NULL;
    nn_status st;

    put_flag(w, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"add_bos_token\": ", nn_tok_adds_bos(w->t));
    put_flag(w, ",\n  \"add_eos_token\": ", nn_tok_adds_eos(w->t));
    put_name(w, ",\n  \"bos_token\": ", nn_tok_bos(w->t));
    put_name(w, ",\n  \"eos_token\": ", nn_tok_eos(w->t));
    put_name(w, ",\n  \"pad_token\": ", nn_tok_pad(w->t));
    if (chat) {
        if ((st = nn_alloc((void **)&text, chat_len + 1, 1, err)) != NN_OK) return st;
        memcpy(text, chat, chat_len);
        put(w, ",\n  \"chat_template\": ");
        nn_sink_quoted(&w->s, text);
        nn_free(text);
    }
    put(w, "\n}\n");
    return nn_sink_status(&w->s, err);
}

/* --- what comes back -------------------------------------------------------------------------------------------- */

static bool same_tokens(const nn_tok *a, const nn_tok *b)
{
    if (nn_tok_vocab(a) != nn_tok_vocab(b)) return false;
    for (size_t id = 0; id < nn_tok_vocab(a); id++) {
        size_t n = 0, m = 0;
        const char *s = nn_tok_bytes(a, (int32_t)id, &n), *t = nn_tok_bytes(b, (int32_t)id, &m);

        if (n != m || (n && memcmp(s, t, n) != 0)) return false;
    }
    return true;
}

static nn_status check(const nn_tok *t, const nn_sink *json, const nn_sink *config, nn_err *err)
{
    nn_tok *back = NULL;
    char hex[2][65];
    nn_err cause = {NN_OK, ""};
    nn_status st = nn_tok_from_json(&back, json->bytes, json->len, config->bytes, config->len, "tokenizer.json",
                                    &cause);

    if (st != NN_OK) {
        st = nn_fail(err, st == NN_LIMIT ? st : NN_USAGE, "tokenizer: not to be written (%.300s)", cause.text);
    } else {
        nn_tok_hash(t, hex[0]);
        nn_tok_hash(back, hex[1]);
        if (nn_tok_is_own(t) ? !same_tokens(t, back) : strcmp(hex[0], hex[1]) != 0)
            st = nn_fail(err, NN_USAGE, "tokenizer: has options that tokenizer.json cannot say");
    }
    nn_tok_free(back);
    return st;
}

static nn_status save(const nn_sink *s, const char *folder, const char *name, nn_err *err)
{
    char path[1024];

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return nn_fail(err, NN_USAGE, "%.80s...: a path that long", folder);
    return nn_file_write(path, s->bytes, s->len, err);
}

static void put_file(writer *w)
{
    put(w, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    put_added(w);
    put(w, w->v && w->v->nfc ? "\"normalizer\":{\"type\":\"NFC\"},\n" : "\"normalizer\":null,\n");
    put_pre_tokenizer(w);
    put_post_processor(w);
    put(w, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
           "\"use_regex\":true},\n");
    put_model(w);
}

nn_status nn_tok_write_json(const char *folder, const nn_tok *t, const char *chat, size_t chat_len, nn_err *err)
{
    writer json = {.t = t, .v = nn_tok_is_own(t) ? NULL : &t->other->source}, config = {.t = t, .v = json.v};
    nn_status st;

    if (json.v && json.v->model != NN_TOK_BPE)
        return nn_fail(err, NN_USAGE, "tokenizer: %s, want byte-level BPE", nn_tok_kind(t));
    put_file(&json);
    if ((st = nn_sink_status(&json.s, err)) != NN_OK) goto done;
    if ((st = put_config(&config, chat, chat_len, err)) != NN_OK) goto done;
    if ((st = check(t, &json.s, &config.s, err)) != NN_OK) goto done;
    if ((st = save(&json.s, folder, "tokenizer.json", err)) != NN_OK) goto done;
    st = save(&config.s, folder, "tokenizer_config.json", err);
done:
    nn_sink_free(&json.s);
    nn_sink_free(&config.s);
    return st;
}
