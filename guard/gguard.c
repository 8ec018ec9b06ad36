/* gguard.c - reads guard.gguf from memory; believes nothing in it.
 *
 * Reads: gguard.h.   Read next: gguard_write.c.
 * Order: version and format, then vocabulary (against its hash and its spelling), then configuration (against
 * the tensors that are there, before anything of its size is allocated), then weights (shape, type, finite).
 * What is wrong is NN_FILE with file, key and expectation.
 */
#include "guard/gguard.h"
#include "guard/ngram_impl.h"
#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/quantize.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The file, its name, and the first failure: getters do nothing after it. */
typedef struct {
    const nn_gguf *g;
    const char *name;
    nn_err *err;
    nn_status st;
} reader;

/* --- typed keys ----------------------------------------------------------------------------------------- */

static void refuse(reader *r, const char *key, const char *want)
{
    if (r->st == NN_OK)
        r->st = nn_fail(r->err, NN_FILE, "%s: key %s is absent or wrong, want %s", r->name, key, want);
}

static size_t get_size(reader *r, const char *key, size_t low, size_t high)
{
    char want[64];
    uint64_t v = 0;

    if (r->st != NN_OK) return low;
    if (nn_gguf_u64(r->g, key, &v) && v >= low && v <= high) return (size_t)v;
    snprintf(want, sizeof want, "a whole number from %zu to %zu", low, high);
    refuse(r, key, want);
    return low;
}

static float get_float(reader *r, const char *key)
{
    double v = 0.0;

    if (r->st == NN_OK && (!nn_gguf_f64(r->g, key, &v) || !isfinite(v))) refuse(r, key, "a finite number");
    return (float)v;
}

static bool get_bool(reader *r, const char *key)
{
    bool v = false;

    if (r->st == NN_OK && !nn_gguf_bool(r->g, key, &v)) refuse(r, key, "true or false");
    return v;
}

static bool is_text(const char *s, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(s, want, len) == 0;
}

/* One of two words. */
static bool get_choice(reader *r, const char *key, const char *yes, const char *no)
{
    const char *s = NULL;
    char want[64];
    size_t len = 0;

    if (r->st != NN_OK) return false;
    if (nn_gguf_str(r->g, key, &s, &len) && (is_text(s, len, yes) || is_text(s, len, no)))
        return is_text(s, len, yes);
    snprintf(want, sizeof want, "%s or %s", yes, no);
    refuse(r, key, want);
    return false;
}

/* A C string of less than cap bytes. */
static bool copy_text(char *out, size_t cap, const char *s, size_t len)
{
    if (len >= cap || (len > 0 && memchr(s, 0, len))) return false;
    if (len > 0) memcpy(out, s, len);
    out[len] = '\0';
    return true;
}

static void get_text(reader *r, const char *key, char *out, size_t cap)
{
    const char *s = NULL;
    size_t len = 0;

    if (r->st == NN_OK && (!nn_gguf_str(r->g, key, &s, &len) || !copy_text(out, cap, s, len)))
        refuse(r, key, "a short text");
}

/* Exactly n finite numbers. */
static void get_floats(reader *r, const char *key, double *out, size_t n)
{
    nn_gg_type type = NN_GG_U8;
    size_t have = 0;

    if (r->st != NN_OK) return;
    bool good = nn_gguf_array(r->g, key, &type, &have) && have == n;
    for (size_t i = 0; i < n && good; i++) good = nn_gguf_array_f64(r->g, key, i, &out[i]) && isfinite(out[i]);
    if (!good) refuse(r, key, "as many finite numbers as there are places");
}

/* --- the guard's own keys ------------------------------------------------------------------------------- */

static void read_format(reader *r)
{
    const char *s = NULL;
    uint64_t version = 0;
    size_t len = 0;

    if (!nn_gguf_u64(r->g, GUARD_KEY_VERSION, &version) || version != GUARD_FILE_VERSION)
        refuse(r, GUARD_KEY_VERSION, "1: a guard that this program can read");
    if (r->st == NN_OK && (!nn_gguf_str(r->g, GUARD_KEY_PROMPT, &s, &len) || !is_text(s, len, GUARD_PROMPT_FORMAT)))
        refuse(r, GUARD_KEY_PROMPT, GUARD_PROMPT_FORMAT);
}

/* Thresholds stand beside the rates they were chosen for; other rates than ours would be another meaning. */
static void read_calibration(reader *r, guard_parts *p)
{
    double rate[GUARD_RATES] = {0}, threshold[GUARD_RATES] = {0}, ab[2] = {1.0, 0.0};

    get_floats(r, GUARD_KEY_RATES, rate, GUARD_RATES);
    get_floats(r, GUARD_KEY_THRESHOLDS, threshold, GUARD_RATES);
    get_floats(r, GUARD_KEY_CALIBRATION, ab, 2);
    for (size_t i = 0; i < GUARD_RATES; i++) {
        if (r->st == NN_OK && (float)rate[i] != (float)guard_target_rates[i])
            refuse(r, GUARD_KEY_RATES, "0.01, 0.02, 0.05, 0.1");
        p->threshold[i] = (float)threshold[i];
    }
    p->calibrate_a = ab[0];
    p->calibrate_b = ab[1];
}

static void read_taxonomy(reader *r, guard_taxonomy *t)
{
    double severity[GUARD_MAX_CATEGORY];
    nn_gg_type type = NN_GG_U8;
    size_t n = 0;

    if (r->st != NN_OK) return;
    if (!nn_gguf_array(r->g, GUARD_KEY_SEVERITY, &type, &n) || n > GUARD_MAX_CATEGORY) {
        refuse(r, GUARD_KEY_SEVERITY, "numbers of at most 48 categories");
        return;
    }
    get_floats(r, GUARD_KEY_SEVERITY, severity, n);
    for (size_t k = 0; k < GUARD_TAXONOMY_TEXTS; k++) {
        const guard_taxonomy_text *text = &guard_taxonomy_texts[k];
        size_t have = 0;

        if (r->st == NN_OK && (!nn_gguf_array(r->g, text->key, &type, &have) || have != n))
            refuse(r, text->key, "one text a category");
        for (size_t i = 0; i < n && r->st == NN_OK; i++) {
            const char *s = NULL;
            size_t len = 0;

            if (!nn_gguf_array_str(r->g, text->key, i, &s, &len) ||
                !copy_text((char *)&t->category[i] + text->at, text->cap, s, len))
                refuse(r, text->key, "short texts");
        }
    }
    for (size_t i = 0; i < n && r->st == NN_OK; i++) {
        if (severity[i] != rint(severity[i]) || severity[i] < 0.0 || severity[i] > 9.0)
            refuse(r, GUARD_KEY_SEVERITY, "whole numbers, 0 to 9");
        else t->category[i].severity = (int)severity[i];
    }
    t->n = n;
}

static void read_guard(reader *r, guard_parts *p)
{
    read_format(r);
    get_text(r, "general.name", p->name, sizeof p->name);
    get_text(r, "general.license", p->licence, sizeof p->licence);
    p->window = get_size(r, GUARD_KEY_WINDOW, GUARD_WINDOW_MIN, GUARD_WINDOW_MAX);
    p->stride = get_size(r, GUARD_KEY_STRIDE, 1, GUARD_WINDOW_MAX);
    read_calibration(r, p);
    get_text(r, GUARD_KEY_LEDGER, p->ledger, sizeof p->ledger);
    get_text(r, GUARD_KEY_CORPUS, p->corpus, sizeof p->corpus);
    read_taxonomy(r, &p->taxonomy);
}

/* --- vocabulary ----------------------------------------------------------------------------------------- */

static nn_status read_merges(reader *r, nn_tok **tok)
{
    nn_gg_type type = NN_GG_U8;
    int32_t *pair = NULL;
    size_t n = 0;

    if (!nn_gguf_array(r->g, GUARD_KEY_TOK_MERGES, &type, &n) || type != NN_GG_I32 || n % 2 != 0) {
        refuse(r, GUARD_KEY_TOK_MERGES, "pairs of ids");
        return r->st;
    }
    if ((r->st = nn_alloc((void **)&pair, n + 1, sizeof *pair, r->err)) != NN_OK) return r->st;
    (void)nn_gguf_array_i32(r->g, GUARD_KEY_TOK_MERGES, pair, n);
    nn_err cause = {NN_OK, ""};
    const nn_status st = nn_tok_from_merges(tok, pair, n / 2, &cause);
    if (st != NN_OK)
        r->st = nn_fail(r->err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s: key %s: %s", r->name,
                        GUARD_KEY_TOK_MERGES, cause.text);
    nn_free(pair);
    return r->st;
}

static bool is_spelling(void *ctx, size_t id, const char *s, size_t len)
{
    char text[GUARD_SPELLING_MAX];

    return len == nn_tok_spelling(ctx, (int32_t)id, text, sizeof text) && memcmp(s, text, len) == 0;
}

static void check_vocabulary(reader *r, nn_tok *tok)
{
    const char *s = NULL;
    char hex[65];
    nn_gg_type type = NN_GG_U8;
    size_t len = 0, n = 0;

    nn_tok_hash(tok, hex);
    if (!nn_gguf_str(r->g, GUARD_KEY_TOK_HASH, &s, &len) || !is_text(s, len, hex)) {
        refuse(r, GUARD_KEY_TOK_HASH, hex);
        return;
    }
    if (!nn_gguf_array(r->g, GUARD_KEY_TOKENS, &type, &n) || n != nn_tok_vocab(tok))
        refuse(r, GUARD_KEY_TOKENS, "one spelling an id of the merges");
    else if (!nn_gguf_array_strs(r->g, GUARD_KEY_TOKENS, is_spelling, tok))
        refuse(r, GUARD_KEY_TOKENS, "the spelling that the merges give");
}

/* --- weights -------------------------------------------------------------------------------------------- */

/* Numbers of the tensors whose size is known: these lie in the file. */
static size_t weights_in_file(const nn_gguf *g)
{
    size_t n = 0;

    for (size_t i = 0; i < nn_gguf_tensors(g); i++) {
        const nn_st_tensor *t = nn_gguf_tensor(g, i);

        if (t->type != NN_DTYPE_OTHER) n += t->count;
    }
    return n;
}

static void read_tensor(reader *r, const char *name, float *out, size_t rows, size_t cols)
{
    const nn_st_tensor *t = r->st == NN_OK ? nn_gguf_find(r->g, name) : NULL;
    const size_t n_dim = rows > 1 ? 2 : 1, n = rows * cols;

    if (r->st != NN_OK) return;
    if (!t || t->n_dim != n_dim || t->dim[n_dim - 1] != cols || (n_dim == 2 && t->dim[0] != rows)) {
        r->st = nn_fail(r->err, NN_FILE, "%s: tensor %s is absent or has another shape, want [%zu, %zu]", r->name,
                        name, rows, cols);
        return;
    }
    nn_err cause = {NN_OK, ""};
    if (nn_dtype_to_f32(out, t->type, t->data, n, &cause) != NN_OK) {
        r->st = nn_fail(r->err, NN_FILE, "%s: tensor %s: %s", r->name, name, cause.text);
        return;
    }
    const size_t bad = nn_dtype_not_finite(t->type, t->data, n);
    if (bad < n) r->st = nn_fail(r->err, NN_FILE, "%s: tensor %s: number %zu is not finite", r->name, name, bad);
}

static void read_config(reader *r, nn_config *c)
{
    const char *arch = get_choice(r, "general.architecture", GUARD_ARCH_DECODER, GUARD_ARCH_OTHER)
                           ? GUARD_ARCH_DECODER
                           : GUARD_ARCH_OTHER;
    char key[96];

    for (size_t i = 0; i < GUARD_CONFIG_SIZES; i++) {
        const guard_config_size *s = &guard_config_sizes[i];

        snprintf(key, sizeof key, "%s%s", s->key[0] == '.' ? arch : "", s->key);
        const size_t v = get_size(r, key, 0, (size_t)1 << 30);
        memcpy((char *)c + s->at, &v, sizeof v);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    c->norm_eps = get_float(r, key);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    c->rope_theta = get_float(r, key);
    c->rope = get_choice(r, "guard.decoder.rope", "half", "pairs") ? NN_ROPE_HALF : NN_ROPE_PAIRS;
    c->qk_norm = get_bool(r, "guard.decoder.qk_norm");
    c->qkv_bias = get_bool(r, "guard.decoder.qkv_bias");
    c->lm_head = get_bool(r, "guard.decoder.lm_head");
    c->tied = get_bool(r, "guard.decoder.tied");
    c->pool = get_choice(r, "guard.decoder.pool", "last", "mean_max") ? NN_POOL_LAST : NN_POOL_MEAN_MAX;
    c->n_class = 2;
}

/* --- int8 ----------------------------------------------------------------------------------------------- */

/* NULL and a refusal unless the file holds such a tensor. */
static const nn_st_tensor *i8_part(reader *r, const char *name, nn_dtype type, size_t rows, size_t cols)
{
    const nn_st_tensor *t = nn_gguf_find(r->g, name);
    const size_t n_dim = rows ? 2 : 1;

    if (t && t->type == type && t->n_dim == n_dim && t->dim[n_dim - 1] == cols && (!rows || t->dim[0] == rows)) return t;
    r->st = nn_fail(r->err, NN_FILE, "%s: tensor %s is absent or has another type or shape, want %s [%zu, %zu]", r->name,
                    name, type == NN_I8 ? "I8" : "F32", rows, cols);
    return NULL;
}

/* The panels stay where they are. */
static void read_i8(reader *r, nn_model *m, size_t i, const nn_kern *k, float *scale)
{
    const nn_tensor t = nn_model_tensor(m, i);
    const size_t rows = nn_i8_rows(t.rows);
    char name[80];

    snprintf(name, sizeof name, "%s.scale", t.gguf);
    const nn_st_tensor *panels = i8_part(r, t.gguf, NN_I8, rows, nn_i8_cols(t.cols));
    const nn_st_tensor *scales = panels ? i8_part(r, name, NN_F32, 0, rows) : NULL;
    if (!scales) return;
    nn_err cause = {NN_OK, ""};
    if (nn_dtype_to_f32(scale, NN_F32, scales->data, rows, &cause) != NN_OK ||
        nn_model_place_i8(m, i, (const int8_t *)panels->data, scale, k, &cause) != NN_OK)
        r->st = nn_fail(r->err, NN_FILE, "%s: %s", r->name, cause.text);
}

static void read_i8_model(reader *r, nn_model **m, const nn_config *c)
{
    const nn_kern *k = NULL;
    float *scale = NULL;
    size_t most = 0;

    if ((r->st = nn_kern_pick(&k, NULL, r->err)) != NN_OK) return;
    if ((r->st = nn_model_build_i8(m, c, r->err)) != NN_OK) return;
    for (size_t i = 0; i < nn_model_tensors(*m); i++) {
        const size_t rows = nn_model_tensor(*m, i).rows;
        most = rows > most ? rows : most;
    }
    r->st = nn_alloc((void **)&scale, nn_i8_rows(most), sizeof *scale, r->err);
    for (size_t i = 0; i < nn_model_tensors(*m) && r->st == NN_OK; i++) {
        const nn_tensor t = nn_model_tensor(*m, i);

        if (t.i8) read_i8(r, *m, i, k, scale);
        else read_tensor(r, t.gguf, t.data, t.rows, t.cols);
    }
    nn_free(scale);
}

static bool is_i8(reader *r)
{
    const char *s = NULL;
    size_t len = 0;

    if (!nn_gguf_str(r->g, GUARD_KEY_I8, &s, &len)) return false;
    if (!is_text(s, len, GUARD_I8_LAYOUT)) refuse(r, GUARD_KEY_I8, GUARD_I8_LAYOUT);
    return true;
}

/* Nothing of the claimed size is allocated before the file was seen to hold that many numbers. */
static void read_model(reader *r, nn_model **m)
{
    nn_config c = nn_config_default();
    nn_err cause = {NN_OK, ""};

    read_config(r, &c);
    if (r->st != NN_OK) return;
    if (nn_config_check(&c, &cause) != NN_OK) {
        r->st = nn_fail(r->err, NN_FILE, "%s: %s", r->name, cause.text);
    } else if (nn_config_params(&c) > weights_in_file(r->g) || c.max_t > GUARD_WINDOW_MAX) {
        r->st = nn_fail(r->err, NN_FILE,
                        "%s: configuration of %zu weights and %zu positions, want at most the file's %zu and %d",
                        r->name, nn_config_params(&c), c.max_t, weights_in_file(r->g), GUARD_WINDOW_MAX);
    } else if (is_i8(r)) {
        if (r->st == NN_OK) read_i8_model(r, m, &c);
    } else if ((r->st = nn_model_build(m, &c, r->err)) == NN_OK) {
        for (size_t i = 0; i < nn_model_tensors(*m); i++) {
            const nn_tensor t = nn_model_tensor(*m, i);

            read_tensor(r, t.gguf, t.data, t.rows, t.cols);
        }
    }
}

static void read_wide(reader *r, guard_wide **out)
{
    const size_t bits = get_size(r, GUARD_KEY_WIDE_BITS, GUARD_BITS_MIN, GUARD_BITS_MAX);
    guard_wide *w = NULL;
    size_t rows, cols;

    if (r->st != NN_OK) return;
    guard_wide_shape((unsigned)bits, &rows, &cols);
    if (rows * cols > weights_in_file(r->g)) {
        refuse(r, GUARD_KEY_WIDE_BITS, "no more weights than the file holds");
        return;
    }
    if ((r->st = nn_alloc((void **)&w, 1, sizeof *w, r->err)) != NN_OK) return;
    *out = w;
    w->bits = (unsigned)bits;
    w->bias = get_float(r, GUARD_KEY_WIDE_BIAS);
    if (r->st == NN_OK) r->st = nn_alloc((void **)&w->weight, rows, cols * sizeof *w->weight, r->err);
    if (r->st == NN_OK) r->st = nn_alloc((void **)&w->idf, rows, cols * sizeof *w->idf, r->err);
    read_tensor(r, GUARD_WIDE_WEIGHT, w->weight, rows, cols);
    read_tensor(r, GUARD_WIDE_IDF, w->idf, rows, cols);
}

static bool has_key(const nn_gguf *g, const char *key)
{
    uint64_t v = 0;

    return nn_gguf_u64(g, key, &v);
}

/* An int8 one has its scales beside it. */
static size_t model_tensors(const nn_model *m)
{
    size_t n = 0;

    for (size_t i = 0; i < nn_model_tensors(m); i++) n += nn_model_tensor(m, i).i8 ? 2 : 1;
    return n;
}

static void read_weights(reader *r, guard_parts *p)
{
    if (get_bool(r, GUARD_KEY_DECODER)) read_model(r, &p->m);
    if (r->st == NN_OK && has_key(r->g, GUARD_KEY_WIDE_BITS)) read_wide(r, &p->wide);
    const size_t want = (p->m ? model_tensors(p->m) : 0) + (p->wide ? 2 : 0);
    if (r->st == NN_OK && nn_gguf_tensors(r->g) != want)
        r->st = nn_fail(r->err, NN_FILE, "%s: %zu tensors, want the %zu of its configuration", r->name,
                        nn_gguf_tensors(r->g), want);
}

/* --- the whole file ------------------------------------------------------------------------------------- */

static void build(reader *r, guard_classifier **out, const guard_parts *p)
{
    nn_err cause = {NN_OK, ""};
    const nn_status st = r->st == NN_OK ? guard_classifier_build(out, p, &cause) : NN_OK;

    if (st != NN_OK) r->st = nn_fail(r->err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s: %s", r->name, cause.text);
}

nn_status guard_gguf_read(guard_classifier **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_gguf *g = NULL;
    guard_parts p;

    *out = NULL;
    memset(&p, 0, sizeof p);
    const nn_status st = nn_gguf_open_memory(&g, bytes, len, name, err);
    if (st != NN_OK) return st;
    reader r = {g, name, err, NN_OK};
    read_guard(&r, &p);
    if (r.st == NN_OK && read_merges(&r, &p.tok) == NN_OK) check_vocabulary(&r, p.tok);
    if (r.st == NN_OK) read_weights(&r, &p);
    build(&r, out, &p);
    if (r.st == NN_OK) {
        (*out)->bytes = bytes;
        (*out)->len = len;
    } else {
        nn_tok_free(p.tok);
        nn_model_free(p.m);
        guard_wide_free(p.wide);
    }
    nn_gguf_close(g);
    return r.st;
}

nn_status guard_classifier_open_memory(guard_classifier **out, const void *bytes, size_t len, nn_err *err)
{
    return guard_gguf_read(out, bytes, len, "guard in memory", err);
}
