/* tok_json_write.c - a tokenizer as tokenizer.json (the `tokenizers` library's serialisation, version 1.0) and
 * tokenizer_config.json: what all have, and the parts of a byte-level BPE.
 *
 * Reads: tok_json_write.h, tok_json_write_impl.h.   Read next: tok_json_write_spm.c; tok_json.c (which reads it back).
 */
#include "nn/tok_json_write.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/tok_json_impl.h"
#include "nn/tok_json_write_impl.h"
#include <stdio.h>
#include <string.h>

typedef nn_tok_json_writer writer;

void nn_tj_put(writer *w, const char *text)
{
    nn_sink_str(&w->s, text);
}

void nn_tj_number(writer *w, size_t n)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%zu", n);
    nn_tj_put(w, digits);
}

void nn_tj_flag(writer *w, const char *before, bool flag)
{
    nn_tj_put(w, before);
    nn_tj_put(w, flag ? "true" : "false");
}

static nn_piece_type type_of(const writer *w, size_t id)
{
    if (w->v) return w->v->piece[id].type;
    return id < NN_TOK_BYTES ? NN_PIECE_CONTROL : NN_PIECE_NORMAL;
}

static bool is_sentencepiece(const writer *w)
{
    return w->v && w->v->model != NN_TOK_BPE;
}

void nn_tj_token(writer *w, size_t id)
{
    const nn_piece_type type = type_of(w, id);
    const bool raw = w->v && type != NN_PIECE_BYTE && (type != NN_PIECE_NORMAL || is_sentencepiece(w));
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

/* SentencePiece's unknown and unused pieces too: what is special is never made from a text. */
static bool is_special(const writer *w, nn_piece_type type)
{
    return type == NN_PIECE_CONTROL || (is_sentencepiece(w) && (type == NN_PIECE_UNKNOWN || type == NN_PIECE_UNUSED));
}

static void put_added(writer *w)
{
    bool first = true;

    nn_tj_put(w, "\"added_tokens\":[");
    for (size_t id = 0; id < nn_tok_vocab(w->t); id++) {
        const nn_piece_type type = type_of(w, id);

        if (!is_special(w, type) && type != NN_PIECE_USER) continue;
        nn_tj_put(w, first ? "\n{\"id\":" : ",\n{\"id\":");
        first = false;
        nn_tj_number(w, id);
        nn_tj_put(w, ",\"content\":");
        nn_tj_token(w, id);
        nn_tj_put(w, ",\"single_word\":false");
        nn_tj_flag(w, ",\"lstrip\":", w->v && w->v->piece[id].lstrip);
        nn_tj_flag(w, ",\"rstrip\":", w->v && w->v->piece[id].rstrip);
        nn_tj_flag(w, ",\"normalized\":false,\"special\":", is_special(w, type));
        nn_tj_put(w, "}");
    }
    nn_tj_put(w, "],\n");
}

static void put_byte_level(writer *w, bool regex)
{
    nn_tj_flag(w, "{\"type\":\"ByteLevel\",\"add_prefix_space\":", w->v && w->v->prefix_space);
    nn_tj_flag(w, ",\"trim_offsets\":true,\"use_regex\":", regex);
    nn_tj_put(w, "}");
}

static void put_split(writer *w, const char *regex)
{
    nn_tj_put(w, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    nn_sink_quoted(&w->s, regex);
    nn_tj_put(w, "},\"behavior\":\"Isolated\",\"invert\":false}");
}

static void put_pre_tokenizer(writer *w)
{
    const nn_tok_pre pre = w->v ? w->v->pre : NN_PRE_GPT2;
    const bool split = pre == NN_PRE_LLAMA3 || pre == NN_PRE_QWEN2;

    nn_tj_put(w, "\"pre_tokenizer\":");
    if (pre != NN_PRE_GPT2) nn_tj_put(w, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    if (pre == NN_PRE_STARCODER) nn_tj_put(w, "{\"type\":\"Digits\",\"individual_digits\":true},");
    if (pre == NN_PRE_FALCON) nn_tj_put(w, "{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"},");
    if (split) {
        put_split(w, nn_tok_json_pattern(pre == NN_PRE_LLAMA3 ? 'L' : 'Q'));
        nn_tj_put(w, ",");
    }
    put_byte_level(w, !split);
    if (pre == NN_PRE_FALCON) {
        nn_tj_put(w, ",{\"type\":\"Digits\",\"individual_digits\":false},");
        put_split(w, nn_tok_json_pattern('3'));
    }
    nn_tj_put(w, pre != NN_PRE_GPT2 ? "]},\n" : ",\n");
}

static void put_special(writer *w, int32_t id)
{
    nn_tj_put(w, "{\"SpecialToken\":{\"id\":");
    nn_tj_token(w, (size_t)id);
    nn_tj_put(w, ",\"type_id\":0}}");
}

static void put_special_entry(writer *w, int32_t id)
{
    nn_tj_token(w, (size_t)id);
    nn_tj_put(w, ":{\"id\":");
    nn_tj_token(w, (size_t)id);
    nn_tj_put(w, ",\"ids\":[");
    nn_tj_number(w, (size_t)id);
    nn_tj_put(w, "],\"tokens\":[");
    nn_tj_token(w, (size_t)id);
    nn_tj_put(w, "]}");
}

/* BOS before a text and EOS behind it, where the model expects them. */
static void put_post_processor(writer *w)
{
    const bool bos = w->v && w->v->add_bos && w->v->bos >= 0, eos = w->v && w->v->add_eos && w->v->eos >= 0;

    if (!bos && !eos) {
        nn_tj_put(w, "\"post_processor\":null,\n");
        return;
    }
    nn_tj_put(w, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[");
    if (bos) put_special(w, w->v->bos);
    nn_tj_put(w, bos ? ",{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}" : "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}");
    if (eos) nn_tj_put(w, ",");
    if (eos) put_special(w, w->v->eos);
    nn_tj_put(w, "],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
                 "\"special_tokens\":{");
    if (bos) put_special_entry(w, w->v->bos);
    if (bos && eos) nn_tj_put(w, ",");
    if (eos) put_special_entry(w, w->v->eos);
    nn_tj_put(w, "}},\n");
}

void nn_tj_merges(writer *w, const int32_t *merge, size_t n, size_t step)
{
    nn_tj_put(w, "\"merges\":[");
    for (size_t i = 0; i < n; i++) {
        nn_tj_put(w, i ? ",\n[" : "\n[");
        nn_tj_token(w, (size_t)merge[step * i]);
        nn_tj_put(w, ",");
        nn_tj_token(w, (size_t)merge[step * i + 1]);
        nn_tj_put(w, "]");
    }
    nn_tj_put(w, "]");
}

void nn_tj_ids(writer *w)
{
    nn_tj_put(w, "\"vocab\":{");
    for (size_t id = 0; id < nn_tok_vocab(w->t); id++) {
        nn_tj_put(w, id ? ",\n" : "\n");
        nn_tj_token(w, id);
        nn_tj_put(w, ":");
        nn_tj_number(w, id);
    }
    nn_tj_put(w, "}");
}

static void put_model(writer *w)
{
    const int32_t *pair = NULL;
    const size_t own = nn_tok_merges(w->t, &pair);

    nn_tj_put(w, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (w->v && w->v->unk >= 0) nn_tj_token(w, (size_t)w->v->unk);
    else nn_tj_put(w, "null");
    nn_tj_put(w, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,");
    nn_tj_flag(w, "\"byte_fallback\":false,\"ignore_merges\":", w->v && w->v->ignore_merges);
    nn_tj_put(w, ",\n");
    nn_tj_ids(w);
    nn_tj_put(w, ",\n");
    if (w->v) nn_tj_merges(w, w->v->merge, w->v->n_merge, 3);
    else nn_tj_merges(w, pair, own, 2);
    nn_tj_put(w, "}}\n");
}

/* --- tokenizer_config.json -------------------------------------------------------------------------------------- */

static void put_name(writer *w, const char *key, int32_t id)
{
    if (id < 0) return;
    nn_tj_put(w, key);
    nn_tj_token(w, (size_t)id);
}

static nn_status put_config(writer *w, const char *chat, size_t chat_len, nn_err *err)
{
    char *text = NULL;
    nn_status st;

    nn_tj_put(w, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"");
    nn_tj_flag(w, ",\n  \"add_bos_token\": ", nn_tok_adds_bos(w->t));
    nn_tj_flag(w, ",\n  \"add_eos_token\": ", nn_tok_adds_eos(w->t));
    put_name(w, ",\n  \"bos_token\": ", nn_tok_bos(w->t));
    put_name(w, ",\n  \"eos_token\": ", nn_tok_eos(w->t));
    put_name(w, ",\n  \"pad_token\": ", nn_tok_pad(w->t));
    if (is_sentencepiece(w)) put_name(w, ",\n  \"unk_token\": ", w->v->unk);
    nn_tj_put(w, ",\n  \"clean_up_tokenization_spaces\": false"); /* else blanks before marks go when ids become text */
    if (chat) {
        if ((st = nn_alloc((void **)&text, chat_len + 1, 1, err)) != NN_OK) return st;
        memcpy(text, chat, chat_len);
        nn_tj_put(w, ",\n  \"chat_template\": ");
        nn_sink_quoted(&w->s, text);
        nn_free(text);
    }
    nn_tj_put(w, "\n}\n");
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

static bool says_the_same(const writer *w, const nn_tok *back)
{
    char hex[2][65];

    if (!w->v) return same_tokens(w->t, back);
    if (is_sentencepiece(w)) return nn_tj_same_spm(w, &back->other->source);
    nn_tok_hash(w->t, hex[0]);
    nn_tok_hash(back, hex[1]);
    return strcmp(hex[0], hex[1]) == 0;
}

static nn_status check(const writer *json, const nn_sink *config, nn_err *err)
{
    nn_tok *back = NULL;
    nn_err cause = {NN_OK, ""};
    nn_status st = nn_tok_from_json(&back, json->s.bytes, json->s.len, config->bytes, config->len, "tokenizer.json",
                                    &cause);

    if (st != NN_OK)
        st = nn_fail(err, st == NN_LIMIT ? st : NN_USAGE, "tokenizer: not to be written (%.300s)", cause.text);
    else if (!says_the_same(json, back))
        st = nn_fail(err, NN_USAGE, "tokenizer: has options that tokenizer.json cannot say");
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
    nn_tj_put(w, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    put_added(w);
    if (is_sentencepiece(w)) {
        nn_tj_spm_normalizer(w);
        nn_tj_spm_pre_tokenizer(w);
    } else {
        nn_tj_put(w, w->v && w->v->nfc ? "\"normalizer\":{\"type\":\"NFC\"},\n" : "\"normalizer\":null,\n");
        put_pre_tokenizer(w);
    }
    put_post_processor(w);
    if (is_sentencepiece(w)) {
        nn_tj_spm_decoder(w);
        nn_tj_spm_model(w);
    } else {
        nn_tj_put(w, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
                     "\"use_regex\":true},\n");
        put_model(w);
    }
}

nn_status nn_tok_write_json(const char *folder, const nn_tok *t, const char *chat, size_t chat_len,
                            nn_tok_json_notes *notes, nn_err *err)
{
    writer json = {.t = t, .v = nn_tok_is_own(t) ? NULL : &t->other->source}, config = {.t = t, .v = json.v};
    nn_status st;

    if (notes) *notes = (nn_tok_json_notes){0};
    if (is_sentencepiece(&json) && (st = nn_tj_find_merges(&json, err)) != NN_OK) goto done;
    put_file(&json);
    if ((st = nn_sink_status(&json.s, err)) != NN_OK) goto done;
    if ((st = put_config(&config, chat, chat_len, err)) != NN_OK) goto done;
    if ((st = check(&json, &config.s, err)) != NN_OK) goto done;
    if ((st = save(&json.s, folder, "tokenizer.json", err)) != NN_OK) goto done;
    st = save(&config.s, folder, "tokenizer_config.json", err);
    if (notes && is_sentencepiece(&json)) nn_tj_note_spm(notes, &json);
done:
    nn_free(json.merge);
    nn_sink_free(&json.s);
    nn_sink_free(&config.s);
    return st;
}
