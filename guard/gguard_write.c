/* gguard_write.c - writes guard.gguf, and opens one by its path: the half that needs files.
 *
 * Reads: gguard.h.   Read next: gguard.c.
 */
#include "guard/gguard.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/quantize.h"
#include "nn/sha256.h"
#include <stdio.h>
#include <string.h>

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

/* --- keys ----------------------------------------------------------------------------------------------- */

static const char *architecture(const guard_parts *p)
{
    const nn_config *c = p->m ? nn_model_config(p->m) : NULL;

    return c && c->qk_norm && !c->qkv_bias && c->rope == NN_ROPE_HALF ? GUARD_ARCH_DECODER : GUARD_ARCH_OTHER;
}

static void put_decoder(nn_gguf_writer *w, const char *arch, const nn_config *c)
{
    char key[96];

    for (size_t i = 0; i < GUARD_CONFIG_SIZES; i++) {
        const guard_config_size *s = &guard_config_sizes[i];
        size_t v;

        memcpy(&v, (const char *)c + s->at, sizeof v);
        snprintf(key, sizeof key, "%s%s", s->key[0] == '.' ? arch : "", s->key);
        nn_gguf_put_u32(w, key, (uint32_t)v);
    }
    snprintf(key, sizeof key, "%s.attention.value_length", arch);
    nn_gguf_put_u32(w, key, (uint32_t)c->head_dim);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    nn_gguf_put_f32(w, key, c->norm_eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    nn_gguf_put_f32(w, key, c->rope_theta);
    nn_gguf_put_str(w, "guard.decoder.rope", c->rope == NN_ROPE_HALF ? "half" : "pairs");
    nn_gguf_put_bool(w, "guard.decoder.qk_norm", c->qk_norm);
    nn_gguf_put_bool(w, "guard.decoder.qkv_bias", c->qkv_bias);
    nn_gguf_put_bool(w, "guard.decoder.lm_head", c->lm_head);
    nn_gguf_put_bool(w, "guard.decoder.tied", c->tied);
    nn_gguf_put_str(w, "guard.decoder.pool", c->pool == NN_POOL_LAST ? "last" : "mean_max");
}

static void put_taxonomy(nn_gguf_writer *w, const guard_taxonomy *t)
{
    int32_t severity[GUARD_MAX_CATEGORY];

    for (size_t k = 0; k < GUARD_TAXONOMY_TEXTS; k++) {
        const char *text[GUARD_MAX_CATEGORY];

        for (size_t i = 0; i < t->n; i++) text[i] = (const char *)&t->category[i] + guard_taxonomy_texts[k].at;
        nn_gguf_put_strs(w, guard_taxonomy_texts[k].key, text, NULL, t->n);
    }
    for (size_t i = 0; i < t->n; i++) severity[i] = t->category[i].severity;
    nn_gguf_put_i32s(w, GUARD_KEY_SEVERITY, severity, t->n);
}

static nn_status put_vocabulary(nn_gguf_writer *w, const nn_tok *tok, nn_err *err)
{
    enum { CONTROL = 3, NORMAL = 1 }; /* llama.cpp's token types */
    const size_t n = nn_tok_vocab(tok);
    char text[GUARD_SPELLING_MAX];
    int32_t *type = NULL;
    strings s = {0};
    nn_status st = nn_alloc((void **)&type, n, sizeof *type, err);

    for (size_t id = 0; id < n && st == NN_OK; id++) {
        type[id] = id < NN_TOK_BYTES ? CONTROL : NORMAL;
        st = strings_add(&s, text, nn_tok_spelling(tok, (int32_t)id, text, sizeof text), err);
    }
    if (st == NN_OK) st = strings_put(w, GUARD_KEY_TOKENS, &s, err);
    if (st == NN_OK) nn_gguf_put_i32s(w, "tokenizer.ggml.token_type", type, n);
    strings_free(&s);
    nn_free(type);
    return st;
}

/* "left right", as gpt2's merges are spelled. */
static nn_status put_merges(nn_gguf_writer *w, const nn_tok *tok, nn_err *err)
{
    const int32_t *pair = NULL;
    const size_t n = nn_tok_merges(tok, &pair);
    char text[2 * GUARD_SPELLING_MAX + 1];
    strings s = {0};
    nn_status st = NN_OK;

    for (size_t i = 0; i < n && st == NN_OK; i++) {
        size_t len = nn_tok_spelling(tok, pair[2 * i], text, GUARD_SPELLING_MAX);

        text[len++] = ' ';
        len += nn_tok_spelling(tok, pair[2 * i + 1], text + len, GUARD_SPELLING_MAX);
        st = strings_add(&s, text, len, err);
    }
    if (st == NN_OK) st = strings_put(w, "tokenizer.ggml.merges", &s, err);
    strings_free(&s);
    if (st == NN_OK) nn_gguf_put_i32s(w, GUARD_KEY_TOK_MERGES, pair, 2 * n);
    return st;
}

static nn_status put_tokenizer(nn_gguf_writer *w, const nn_tok *tok, nn_err *err)
{
    char hex[65];
    nn_status st;

    nn_gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    nn_gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2");
    if ((st = put_vocabulary(w, tok, err)) != NN_OK || (st = put_merges(w, tok, err)) != NN_OK) return st;
    nn_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", NN_TOK_BOS);
    nn_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", NN_TOK_EOS);
    nn_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", NN_TOK_PAD);
    nn_tok_hash(tok, hex);
    nn_gguf_put_str(w, GUARD_KEY_TOK_HASH, hex);
    return NN_OK;
}

static void put_guard(nn_gguf_writer *w, const guard_parts *p)
{
    float rate[GUARD_RATES];
    const float calibration[2] = {(float)p->calibrate_a, (float)p->calibrate_b};

    for (size_t i = 0; i < GUARD_RATES; i++) rate[i] = (float)guard_target_rates[i];
    nn_gguf_put_u32(w, GUARD_KEY_VERSION, GUARD_FILE_VERSION);
    nn_gguf_put_str(w, GUARD_KEY_PROMPT, GUARD_PROMPT_FORMAT);
    nn_gguf_put_u32(w, GUARD_KEY_WINDOW, (uint32_t)p->window);
    nn_gguf_put_u32(w, GUARD_KEY_STRIDE, (uint32_t)p->stride);
    nn_gguf_put_f32s(w, GUARD_KEY_RATES, rate, GUARD_RATES);
    nn_gguf_put_f32s(w, GUARD_KEY_THRESHOLDS, p->threshold, GUARD_RATES);
    nn_gguf_put_f32s(w, GUARD_KEY_CALIBRATION, calibration, 2);
    nn_gguf_put_str(w, GUARD_KEY_LEDGER, p->ledger);
    nn_gguf_put_str(w, GUARD_KEY_CORPUS, p->corpus);
    nn_gguf_put_bool(w, GUARD_KEY_DECODER, p->m != NULL);
}

/* --- tensors -------------------------------------------------------------------------------------------- */

static void put_tensor(nn_gguf_writer *w, const char *name, const float *data, size_t rows, size_t cols,
                       nn_dtype type)
{
    nn_gguf_put_tensor(w, name, guard_stored_type(type, rows, cols), data, rows > 1 ? rows : 0, cols);
}

static void put_i8(nn_gguf_writer *w, const nn_tensor *t)
{
    char name[80];

    nn_gguf_put_i8(w, t->gguf, t->i8->panels, t->rows, t->cols);
    snprintf(name, sizeof name, "%s.scale", t->gguf);
    nn_gguf_put_tensor(w, name, NN_F32, t->i8->scale, 0, nn_i8_rows(t->rows));
}

static void put_model(nn_gguf_writer *w, const nn_model *m, nn_dtype type)
{
    const nn_dtype floats = nn_model_is_i8(m) ? NN_F32 : type; /* beside int8: vectors and two small heads */

    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        if (t.i8) put_i8(w, &t);
        else put_tensor(w, t.gguf, t.data, t.rows, t.cols, floats);
    }
}

static void put_wide(nn_gguf_writer *w, const guard_wide *wide, nn_dtype type)
{
    size_t rows, cols;

    guard_wide_shape(wide->bits, &rows, &cols);
    put_tensor(w, GUARD_WIDE_WEIGHT, wide->weight, rows, cols, type);
    put_tensor(w, GUARD_WIDE_IDF, wide->idf, rows, cols, type);
}

static nn_status put_all(nn_gguf_writer *w, const guard_parts *p, nn_dtype type, nn_err *err)
{
    const char *arch = architecture(p);
    nn_status st;

    nn_gguf_put_str(w, "general.architecture", arch);
    nn_gguf_put_str(w, "general.name", p->name);
    nn_gguf_put_str(w, "general.license", p->licence);
    if (p->m && nn_model_is_i8(p->m)) {
        nn_gguf_put_alignment(w, GUARD_I8_ALIGN);
        nn_gguf_put_str(w, GUARD_KEY_I8, GUARD_I8_LAYOUT);
    }
    put_guard(w, p);
    put_taxonomy(w, &p->taxonomy);
    if ((st = put_tokenizer(w, p->tok, err)) != NN_OK) return st;
    if (p->m) put_decoder(w, arch, nn_model_config(p->m));
    if (p->wide) nn_gguf_put_u32(w, GUARD_KEY_WIDE_BITS, p->wide->bits);
    if (p->wide) nn_gguf_put_f32(w, GUARD_KEY_WIDE_BIAS, p->wide->bias);
    if (p->m) put_model(w, p->m, type);
    if (p->wide) put_wide(w, p->wide, type);
    return NN_OK;
}

nn_status guard_classifier_save(guard_classifier *g, const char *path, nn_dtype type, nn_err *err)
{
    nn_gguf_writer *w = NULL;
    const unsigned char *bytes = NULL;
    size_t len = 0;
    nn_status st;

    if ((st = guard_classifier_round(g, type, err)) != NN_OK) goto done;
    if ((st = nn_gguf_writer_build(&w, err)) != NN_OK) goto done;
    if ((st = put_all(w, &g->parts, type, err)) != NN_OK) goto done;
    if ((st = nn_gguf_bytes(w, &bytes, &len, err)) != NN_OK) goto done;
    if ((st = nn_file_write(path, bytes, len, err)) != NN_OK) goto done;
    nn_sha256_hex(bytes, len, g->sha256);
done:
    nn_gguf_writer_free(w);
    return st;
}

nn_status guard_classifier_open(guard_classifier **out, const char *path, nn_err *err)
{
    nn_file file = {0};
    nn_status st;

    *out = NULL;
    if ((st = nn_file_open(&file, path, err)) != NN_OK) return st;
    st = guard_gguf_read(out, file.bytes, file.len, path, err);
    if (st == NN_OK) {
        (*out)->file = file; /* int8 panels lie in it; who asks for its hash reads it then */
        (*out)->close_file = nn_file_close;
    } else {
        nn_file_close(&file);
    }
    return st;
}
