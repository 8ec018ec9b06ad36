/* gguard_model.c - a guard's weights: configuration, decoder, wide part; out of its file.
 *
 * Reads: gguard_read.h.   Read next: gguard_write.c.
 * A decoder of ours becomes floats, which products read fastest; int8 panels and another model's matrices stay where
 * the file lies in memory.
 */
#include "guard/gguard_read.h"
#include "guard/ngram_impl.h"
#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/quantize.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- floats ---------------------------------------------------------------------------------------------- */

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

static void read_tensor(guard_reader *r, const char *name, float *out, size_t rows, size_t cols)
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

/* --- configuration ---------------------------------------------------------------------------------------- */

/* The name in the file, as ours. */
static const char *read_architecture(guard_reader *r)
{
    static const char *const known[] = {"qwen3", "qwen2", "llama", GUARD_ARCH_OTHER};
    const char *s = "";
    size_t len = 0;

    (void)nn_gguf_str(r->g, "general.architecture", &s, &len);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (guard_is_text(s, len, known[i])) return known[i];
    guard_refuse(r, "general.architecture", "qwen3, qwen2, llama or " GUARD_ARCH_OTHER);
    return GUARD_ARCH_OTHER;
}

static void read_config(guard_reader *r, nn_config *c)
{
    const char *arch = read_architecture(r);
    char key[NN_CONFIG_KEY_CAP];

    for (size_t i = 0; i < GUARD_CONFIG_KEYS; i++) {
        nn_config_key_text(key, arch, guard_config_keys[i]);
        *nn_config_size(c, guard_config_keys[i]) = guard_get_size(r, key, 0, (size_t)1 << 30);
    }
    c->memory_rows = guard_get_size(r, GUARD_KEY_MEMORY, 0, (size_t)1 << 30);
    c->n_category = guard_get_size(r, GUARD_KEY_CATEGORIES, 0, (size_t)1 << 30);
    nn_config_key_text(key, arch, NN_KEY_EPS);
    c->norm_eps = guard_get_float(r, key);
    nn_config_key_text(key, arch, NN_KEY_THETA);
    c->rope_theta = guard_get_float(r, key);
    nn_config_key_text(key, arch, NN_KEY_WINDOW);
    if (guard_has_key(r, key)) c->sliding_window = guard_get_size(r, key, 1, (size_t)1 << 30);
    c->rope = guard_get_choice(r, "guard.decoder.rope", "half", "pairs") ? NN_ROPE_HALF : NN_ROPE_PAIRS;
    c->qk_norm = guard_get_bool(r, "guard.decoder.qk_norm");
    c->qkv_bias = guard_get_bool(r, "guard.decoder.qkv_bias");
    c->lm_head = guard_get_bool(r, "guard.decoder.lm_head");
    c->tied = guard_get_bool(r, "guard.decoder.tied");
    c->pool = guard_get_choice(r, "guard.decoder.pool", "last", "mean_max") ? NN_POOL_LAST : NN_POOL_MEAN_MAX;
    c->n_class = 2;
    if (r->st == NN_OK && nn_gguf_find(r->g, GUARD_ROPE_DIVISOR))
        read_tensor(r, GUARD_ROPE_DIVISOR, c->rope_divisor, 1, guard_divisors(c));
}

/* --- int8 ----------------------------------------------------------------------------------------------- */

/* NULL and a refusal unless the file holds such a tensor. */
static const nn_st_tensor *i8_part(guard_reader *r, const char *name, nn_dtype type, size_t rows, size_t cols)
{
    const nn_st_tensor *t = nn_gguf_find(r->g, name);
    const size_t n_dim = rows ? 2 : 1;

    if (t && t->type == type && t->n_dim == n_dim && t->dim[n_dim - 1] == cols && (!rows || t->dim[0] == rows))
        return t;
    r->st = nn_fail(r->err, NN_FILE, "%s: tensor %s is absent or has another type or shape, want %s [%zu, %zu]",
                    r->name, name, type == NN_I8 ? "I8" : "F32", rows, cols);
    return NULL;
}

/* The panels stay where they are. */
static void read_i8(guard_reader *r, nn_model *m, size_t i, const nn_kern *k, float *scale)
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

static void read_i8_model(guard_reader *r, nn_model **m, const nn_config *c)
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

static bool is_i8(guard_reader *r)
{
    const char *s = NULL;
    size_t len = 0;

    if (!nn_gguf_str(r->g, GUARD_KEY_I8, &s, &len)) return false;
    if (!guard_is_text(s, len, GUARD_I8_LAYOUT)) guard_refuse(r, GUARD_KEY_I8, GUARD_I8_LAYOUT);
    return true;
}

/* --- stored ---------------------------------------------------------------------------------------------- */

/* Matrices stay where they are; vectors and heads are the model's own. */
static void place_stored(guard_reader *r, nn_model *m, size_t i)
{
    const nn_tensor t = nn_model_tensor(m, i);
    const nn_st_tensor *from = nn_gguf_find(r->g, t.gguf);
    nn_err cause = {NN_OK, ""};

    if (!from || from->n_dim != 2 || from->dim[0] != t.rows || from->dim[1] != t.cols)
        r->st = nn_fail(r->err, NN_FILE, "%s: tensor %s is absent or has another shape, want [%zu, %zu]", r->name,
                        t.gguf, t.rows, t.cols);
    else if (nn_model_place_stored(m, i, from->type, from->data, &cause) != NN_OK)
        r->st = nn_fail(r->err, NN_FILE, "%s: %s", r->name, cause.text);
}

static void read_stored_model(guard_reader *r, nn_model **m, const nn_config *c)
{
    if ((r->st = nn_model_build_stored(m, c, r->err)) != NN_OK) return;
    for (size_t i = 0; i < nn_model_tensors(*m) && r->st == NN_OK; i++) {
        const nn_tensor t = nn_model_tensor(*m, i);

        if (!t.data) place_stored(r, *m, i);
        else read_tensor(r, t.gguf, t.data, t.rows, t.cols);
    }
}

static void read_float_model(guard_reader *r, nn_model **m, const nn_config *c)
{
    if ((r->st = nn_model_build(m, c, r->err)) != NN_OK) return;
    for (size_t i = 0; i < nn_model_tensors(*m); i++) {
        const nn_tensor t = nn_model_tensor(*m, i);

        read_tensor(r, t.gguf, t.data, t.rows, t.cols);
    }
}

/* Nothing of the claimed size is allocated before the file was seen to hold that many numbers. */
static void read_model(guard_reader *r, nn_model **m, bool stored)
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
    } else if (stored) {
        read_stored_model(r, m, &c);
    } else {
        read_float_model(r, m, &c);
    }
}

static void read_wide(guard_reader *r, guard_wide **out)
{
    const size_t bits = guard_get_size(r, GUARD_KEY_WIDE_BITS, GUARD_BITS_MIN, GUARD_BITS_MAX);
    guard_wide *w = NULL;
    size_t rows, cols;

    if (r->st != NN_OK) return;
    guard_wide_shape((unsigned)bits, &rows, &cols);
    if (rows * cols > weights_in_file(r->g)) {
        guard_refuse(r, GUARD_KEY_WIDE_BITS, "no more weights than the file holds");
        return;
    }
    if ((r->st = nn_alloc((void **)&w, 1, sizeof *w, r->err)) != NN_OK) return;
    *out = w;
    w->bits = (unsigned)bits;
    w->bias = guard_get_float(r, GUARD_KEY_WIDE_BIAS);
    if (r->st == NN_OK) r->st = nn_alloc((void **)&w->weight, rows, cols * sizeof *w->weight, r->err);
    if (r->st == NN_OK) r->st = nn_alloc((void **)&w->idf, rows, cols * sizeof *w->idf, r->err);
    read_tensor(r, GUARD_WIDE_WEIGHT, w->weight, rows, cols);
    read_tensor(r, GUARD_WIDE_IDF, w->idf, rows, cols);
}

/* An int8 one has its scales beside it; divisors of frequencies are a tensor by llama.cpp's custom. */
static size_t model_tensors(const nn_model *m)
{
    size_t n = 0;

    for (size_t i = 0; i < nn_model_tensors(m); i++) n += nn_model_tensor(m, i).i8 ? 2 : 1;
    return n + guard_has_divisors(nn_model_config(m));
}

void guard_read_weights(guard_reader *r, guard_parts *p)
{
    if (guard_get_bool(r, GUARD_KEY_DECODER)) read_model(r, &p->m, !nn_tok_is_own(p->tok));
    if (r->st == NN_OK && guard_has_key(r, GUARD_KEY_WIDE_BITS)) read_wide(r, &p->wide);
    const size_t want = (p->m ? model_tensors(p->m) : 0) + (p->wide ? 2 : 0);
    if (r->st == NN_OK && nn_gguf_tensors(r->g) != want)
        r->st = nn_fail(r->err, NN_FILE, "%s: %zu tensors, want the %zu of its configuration", r->name,
                        nn_gguf_tensors(r->g), want);
}

