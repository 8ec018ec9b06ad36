/* gguard_write.c - writes guard.gguf, and opens one by its path: the half that needs files.
 *
 * Reads: gguard.h.   Read next: gguard.c.
 */
#include "guard/gguard.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/quantize.h"
#include "nn/tok_gguf_write.h"
#include <stdio.h>
#include <string.h>

/* --- keys ----------------------------------------------------------------------------------------------- */

void guard_put_config(nn_gguf_writer *w, const nn_config *c)
{
    static const nn_config_key last[] = {NN_KEY_VALUE_LENGTH, NN_KEY_EPS, NN_KEY_THETA, NN_KEY_WINDOW};
    const char *arch = guard_architecture(c);

    nn_gguf_put_config(w, c, arch, guard_config_keys, GUARD_CONFIG_KEYS);
    nn_gguf_put_u32(w, GUARD_KEY_MEMORY, (uint32_t)c->memory_rows);
    nn_gguf_put_u32(w, GUARD_KEY_CATEGORIES, (uint32_t)c->n_category);
    nn_gguf_put_config(w, c, arch, last, sizeof last / sizeof *last);
    nn_gguf_put_str(w, "guard.decoder.rope", c->rope == NN_ROPE_HALF ? "half" : "pairs");
    nn_gguf_put_bool(w, "guard.decoder.qk_norm", c->qk_norm);
    nn_gguf_put_bool(w, "guard.decoder.qkv_bias", c->qkv_bias);
    nn_gguf_put_bool(w, "guard.decoder.lm_head", c->lm_head);
    nn_gguf_put_bool(w, "guard.decoder.tied", c->tied);
    nn_gguf_put_str(w, "guard.decoder.pool", c->pool == NN_POOL_LAST ? "last" : "mean_max");
}

void guard_put_divisors(nn_gguf_writer *w, const nn_config *c)
{
    if (guard_has_divisors(c)) nn_gguf_put_tensor(w, GUARD_ROPE_DIVISOR, NN_F32, c->rope_divisor, 0, guard_divisors(c));
}

static void put_format(nn_gguf_writer *w, const guard_format *f)
{
    const int32_t place[3] = {(int32_t)f->prompt, (int32_t)f->context, (int32_t)f->answer};

    for (size_t i = 0; i < GUARD_FORMAT_PARTS; i++) {
        size_t n = 0;
        const int32_t *ids = guard_format_ids(f, (guard_format_part)i, &n);

        nn_gguf_put_i32s(w, guard_format_keys[i], ids, n);
    }
    nn_gguf_put_bool(w, GUARD_KEY_RESPONSE, f->response);
    nn_gguf_put_i32s(w, GUARD_KEY_PLACES, place, 3);
}

nn_status guard_put_tokenizer(nn_gguf_writer *w, const guard_parts *p, nn_err *err)
{
    if (!nn_tok_is_own(p->tok)) put_format(w, &p->format);
    return nn_tok_put_gguf(w, p->tok, err);
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

static void put_guard(nn_gguf_writer *w, const guard_parts *p)
{
    float rate[GUARD_RATES];
    const float calibration[2] = {(float)p->calibrate_a, (float)p->calibrate_b};

    for (size_t i = 0; i < GUARD_RATES; i++) rate[i] = (float)guard_target_rates[i];
    nn_gguf_put_u32(w, GUARD_KEY_VERSION, GUARD_FILE_VERSION);
    nn_gguf_put_str(w, GUARD_KEY_PROMPT, nn_tok_is_own(p->tok) ? GUARD_PROMPT_FORMAT : GUARD_PROMPT_OTHER);
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
                       nn_dtype stored)
{
    nn_gguf_put_tensor(w, name, stored, data, rows > 1 ? rows : 0, cols);
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
    /* beside int8 and what stays in its file's type: vectors and two small heads */
    const nn_dtype floats = nn_model_is_i8(m) || nn_model_is_stored(m) ? NN_F32 : type;

    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        if (t.i8) put_i8(w, &t);
        else if (!t.data) nn_gguf_put_stored(w, t.gguf, t.type, t.bytes, t.rows, t.cols);
        else put_tensor(w, t.gguf, t.data, t.rows, t.cols, guard_tensor_type(floats, &t));
    }
}

static void put_wide(nn_gguf_writer *w, const guard_wide *wide, nn_dtype type)
{
    size_t rows, cols;

    guard_wide_shape(wide->bits, &rows, &cols);
    const nn_dtype stored = guard_wide_type(type, rows, cols);
    put_tensor(w, GUARD_WIDE_WEIGHT, wide->weight, rows, cols, stored);
    put_tensor(w, GUARD_WIDE_IDF, wide->idf, rows, cols, stored);
}

static nn_status put_all(nn_gguf_writer *w, const guard_parts *p, nn_dtype type, nn_err *err)
{
    const nn_config *c = p->m ? nn_model_config(p->m) : NULL;
    nn_status st;

    nn_gguf_put_str(w, "general.architecture", c ? guard_architecture(c) : GUARD_ARCH_OTHER);
    nn_gguf_put_str(w, "general.name", p->name);
    nn_gguf_put_str(w, "general.license", p->licence);
    if (p->m && nn_model_is_i8(p->m)) {
        nn_gguf_put_alignment(w, GUARD_I8_ALIGN);
        nn_gguf_put_str(w, GUARD_KEY_I8, GUARD_I8_LAYOUT);
    }
    put_guard(w, p);
    put_taxonomy(w, &p->taxonomy);
    if ((st = guard_put_tokenizer(w, p, err)) != NN_OK) return st;
    if (c) guard_put_config(w, c);
    if (p->wide) nn_gguf_put_u32(w, GUARD_KEY_WIDE_BITS, p->wide->bits);
    if (p->wide) nn_gguf_put_f32(w, GUARD_KEY_WIDE_BIAS, p->wide->bias);
    if (p->m) put_model(w, p->m, type);
    if (c) guard_put_divisors(w, c);
    if (p->wide) put_wide(w, p->wide, type);
    return NN_OK;
}

nn_status guard_classifier_save(guard_classifier *g, const char *path, nn_dtype type, nn_err *err)
{
    nn_gguf_writer *w = NULL;
    char hex[65];
    nn_status st;

    if ((st = guard_classifier_round(g, type, err)) != NN_OK) goto done;
    if ((st = nn_gguf_writer_build(&w, err)) != NN_OK) goto done;
    nn_gguf_put_later(w);
    if ((st = put_all(w, &g->parts, type, err)) != NN_OK) goto done;
    if ((st = nn_gguf_save_hashed(w, path, hex, err)) == NN_OK) memcpy(g->sha256, hex, sizeof hex);
done:
    nn_gguf_writer_free(w);
    return st;
}

nn_status guard_classifier_open(guard_classifier **out, const char *path, nn_err *err)
{
    guard_mapping *map = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_alloc((void **)&map, 1, sizeof *map, err)) != NN_OK) return st;
    map->users = 1;
    map->close = nn_file_close;
    if ((st = nn_file_open(&map->file, path, err)) == NN_OK &&
        (st = guard_gguf_read(out, map->file.bytes, map->file.len, path, err)) == NN_OK) {
        (*out)->mapping = map; /* matrices lie in it; who asks for its hash reads it then */
        return NN_OK;
    }
    nn_file_close(&map->file);
    nn_free(map);
    return st;
}
