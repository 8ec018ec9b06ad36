/* lm_file.c - the generator as one GGUF file: its architecture's keys, its tokenizer, its taxonomy's names, F32
 * weights.
 *
 * Reads: lm_impl.h, gguard.h (what an architecture is called), nn/gguf.h, nn/tok_gguf_write.h.
 * Version 1 has a tokenizer of ours, as its merges; version 2 one of another family, as that is written, and the
 * sentence that stands before a text.
 * A model of the first is small and becomes floats, which products read fastest; one of the second stays where the file
 * is mapped. Opening believes nothing: sizes are compared with the tensors in the file before anything as large as they
 * claim is allocated.
 */
#include "guard/gguard.h"
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include "nn/config_keys.h"
#include "nn/tok_gguf_write.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define KIND "generator"
#define VERSION_OWN 1u
#define VERSION_OTHER 2u
#define LONGEST_TEXT (4096u + GUARD_LM_PROMPT_IDS) /* tokens: what a stage may ask for */
#define PROMPT_KEY "generator.prompt"
#define MERGE_ROWS 64u /* our choice: some tens of KB of scratch a thousand channels */

/* The configuration's keys in the order of the file, and what a size may be at most. */
static const nn_config_key keys[] = {
    NN_KEY_VOCAB,      NN_KEY_LAYERS, NN_KEY_WIDTH,   NN_KEY_HEADS,        NN_KEY_KV_HEADS,
    NN_KEY_KEY_LENGTH, NN_KEY_FF,     NN_KEY_CONTEXT, NN_KEY_VALUE_LENGTH, NN_KEY_THETA,
    NN_KEY_EPS,        NN_KEY_WINDOW,
};
enum { KEYS = sizeof keys / sizeof *keys, SIZE_KEYS = 8 };
static const uint64_t most[SIZE_KEYS] = {(uint64_t)1 << 24, 1024, (uint64_t)1 << 20, 1024, 1024, 1024,
                                         (uint64_t)1 << 20, LONGEST_TEXT};

/* "qwen3." and the name of a key. */
typedef struct {
    char text[NN_CONFIG_KEY_CAP];
} arch_key;

static const char *key_of(arch_key *k, const char *arch, nn_config_key which)
{
    nn_config_key_text(k->text, arch, which);
    return k->text;
}

/* --- save ---------------------------------------------------------------------------------------------- */

/* Ours are qwen3's keys whatever the shape, as always. */
static const char *arch_of(const guard_lm *g)
{
    return nn_tok_is_own(g->tok) ? "qwen3" : guard_architecture(nn_model_config(g->m));
}

static void put_config(nn_gguf_writer *w, const nn_config *c, const char *arch)
{
    nn_gguf_put_config(w, c, arch, keys, KEYS);
    nn_gguf_put_bool(w, "generator.rope_pairs", c->rope == NN_ROPE_PAIRS);
    nn_gguf_put_bool(w, "generator.qk_norm", c->qk_norm);
    nn_gguf_put_bool(w, "generator.qkv_bias", c->qkv_bias);
    nn_gguf_put_bool(w, "generator.tied", c->tied);
}

static void put_names(nn_gguf_writer *w, const guard_taxonomy *t)
{
    const char *name[GUARD_MAX_CATEGORY];

    for (size_t i = 0; i < t->n; i++) name[i] = t->category[i].name;
    nn_gguf_put_strs(w, "generator.taxonomy", name, NULL, t->n);
}

static void put_own_tok(nn_gguf_writer *w, const nn_tok *tok)
{
    const int32_t *pairs = NULL;
    char hash[65];

    nn_tok_hash(tok, hash);
    nn_gguf_put_str(w, "generator.tokenizer.sha256", hash);
    const size_t n_merges = nn_tok_merges(tok, &pairs);
    nn_gguf_put_i32s(w, "generator.tokenizer.merges", pairs, 2 * n_merges);
}

static nn_status put_other_tok(nn_gguf_writer *w, const guard_lm *g, nn_err *err)
{
    nn_gguf_put_str(w, PROMPT_KEY, g->prompt.text);
    return nn_tok_put_gguf(w, g->tok, err);
}

static nn_status put_all(nn_gguf_writer *w, const guard_lm *g, nn_err *err)
{
    const bool own = nn_tok_is_own(g->tok);
    nn_status st = NN_OK;

    nn_gguf_put_str(w, "general.architecture", arch_of(g));
    nn_gguf_put_str(w, "general.name", KIND);
    nn_gguf_put_u32(w, "generator.version", own ? VERSION_OWN : VERSION_OTHER);
    put_config(w, nn_model_config(g->m), arch_of(g));
    if (own) put_own_tok(w, g->tok);
    else st = put_other_tok(w, g, err);
    put_names(w, &g->taxonomy);
    return st;
}

/* A matrix on its way into the file. */
typedef struct {
    nn_tensor t;
    const nn_lora *l; /* or NULL: nothing is merged into it */
    const nn_exec *x;
    float *z; /* [MERGE_ROWS, cols] */
} merge_ctx;

static nn_status merged_rows(void *ctx, float *out, size_t first, size_t n, nn_err *err)
{
    const merge_ctx *m = ctx;
    const size_t cols = m->t.cols, row = nn_dtype_bytes(m->t.type, cols);
    nn_status st = NN_OK;

    if (m->t.data) memcpy(out, m->t.data + first * cols, n * cols * sizeof *out);
    else st = nn_dtype_to_f32(out, m->t.type, m->t.bytes + first * row, n * cols, err);
    for (size_t i = 0; m->l && i < n && st == NN_OK; i += MERGE_ROWS) {
        const size_t some = n - i < MERGE_ROWS ? n - i : MERGE_ROWS;
        nn_lora_add_rows(m->l, m->x, m->t.name, out + i * cols, m->z, first + i, some);
    }
    return st;
}

/* m [tensors of g] lives until the file is saved. */
static void put_model(nn_gguf_writer *w, const guard_lm *g, const nn_lora *l, const nn_exec *x, merge_ctx *m, float *z)
{
    for (size_t i = 0; i < nn_model_tensors(g->m); i++) {
        const nn_tensor t = nn_model_tensor(g->m, i);
        const size_t rows = t.rows == 1 ? 0 : t.rows;
        const bool merged = l && nn_lora_touches(l, t.name);

        m[i] = (merge_ctx){t, merged ? l : NULL, x, z};
        if (t.data && !merged) nn_gguf_put_tensor(w, t.gguf, NN_F32, t.data, rows, t.cols);
        else nn_gguf_put_rows(w, t.gguf, NN_F32, merged_rows, &m[i], rows, t.cols);
    }
    guard_put_divisors(w, nn_model_config(g->m));
}

nn_status guard_lm_write(const guard_lm *g, const nn_lora *l, const nn_exec *x, const char *path, nn_err *err)
{
    const nn_config *c = nn_model_config(g->m);
    const size_t q = c->heads * c->head_dim, wide = q > c->ff ? q : c->ff, cols = wide > c->width ? wide : c->width;
    nn_gguf_writer *w = NULL;
    merge_ctx *m = NULL;
    float *z = NULL;
    nn_status st;

    if (l && (st = nn_lora_fits(l, c, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&m, nn_model_tensors(g->m), sizeof *m, err)) != NN_OK) goto done;
    if (l && (st = nn_alloc((void **)&z, MERGE_ROWS, cols * sizeof *z, err)) != NN_OK) goto done;
    if ((st = nn_gguf_writer_build(&w, err)) != NN_OK) goto done;
    nn_gguf_put_later(w);
    if ((st = put_all(w, g, err)) != NN_OK) goto done;
    put_model(w, g, l, x, m, z);
    st = nn_gguf_save(w, path, err);
done:
    nn_gguf_writer_free(w);
    nn_free(z);
    nn_free(m);
    return st;
}

nn_status guard_lm_save(const guard_lm *g, const char *path, nn_err *err)
{
    return guard_lm_write(g, NULL, NULL, path, err);
}

/* --- open ---------------------------------------------------------------------------------------------- */

static const char *get_arch(const nn_gguf *f, bool own)
{
    static const char *const known[] = {"qwen3", "qwen2", "llama", GUARD_ARCH_OTHER};
    const char *s = "";
    size_t len = 0;

    if (own) return "qwen3";
    (void)nn_gguf_str(f, "general.architecture", &s, &len);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == len && memcmp(known[i], s, len) == 0) return known[i];
    return NULL;
}

/* Divisors of rotary frequencies, where the file has some. */
static nn_status get_divisors(nn_config *c, const nn_gguf *f, const char *path, nn_err *err)
{
    const nn_st_tensor *t = nn_gguf_find(f, GUARD_ROPE_DIVISOR);
    const size_t n = guard_divisors(c);

    if (!t) return NN_OK;
    if (t->type != NN_F32 || t->n_dim != 1 || t->dim[0] != n || n == 0)
        return nn_fail(err, NN_FILE, "%s: tensor %s is of another shape, want F32 [%zu]", path, GUARD_ROPE_DIVISOR, n);
    return nn_dtype_to_f32(c->rope_divisor, t->type, t->data, n, err);
}

static nn_status get_sizes(nn_config *c, const nn_gguf *f, const char *arch, const char *path, nn_err *err)
{
    arch_key k = {""};
    uint64_t value = 0;

    for (size_t i = 0; i < SIZE_KEYS; i++) {
        if (!nn_gguf_u64(f, key_of(&k, arch, keys[i]), &value) || value > most[i])
            return nn_fail(err, NN_FILE, "%s: key %s is absent or too large, want at most %llu", path, k.text,
                           (unsigned long long)most[i]);
        *nn_config_size(c, keys[i]) = (size_t)value;
    }
    if (nn_gguf_u64(f, key_of(&k, arch, NN_KEY_WINDOW), &value)) c->sliding_window = (size_t)value;
    return NN_OK;
}

static nn_status get_config(nn_config *c, const nn_gguf *f, bool own, const char *path, nn_err *err)
{
    const char *arch = get_arch(f, own);
    double theta = 0.0, eps = 0.0;
    bool pairs = false;
    arch_key k = {""};
    nn_status st;

    *c = nn_config_default();
    if (!arch)
        return nn_fail(err, NN_FILE, "%s: key general.architecture, want qwen3, qwen2, llama or %s", path,
                       GUARD_ARCH_OTHER);
    if ((st = get_sizes(c, f, arch, path, err)) != NN_OK) return st;
    if (!nn_gguf_f64(f, key_of(&k, arch, NN_KEY_THETA), &theta) ||
        !nn_gguf_f64(f, key_of(&k, arch, NN_KEY_EPS), &eps) ||
        !nn_gguf_bool(f, "generator.rope_pairs", &pairs) || !nn_gguf_bool(f, "generator.qk_norm", &c->qk_norm) ||
        !nn_gguf_bool(f, "generator.qkv_bias", &c->qkv_bias) || !nn_gguf_bool(f, "generator.tied", &c->tied))
        return nn_fail(err, NN_FILE, "%s: a key of the model's shape is absent, want all of a generator's", path);
    c->rope_theta = (float)theta;
    c->norm_eps = (float)eps;
    c->rope = pairs ? NN_ROPE_PAIRS : NN_ROPE_HALF;
    c->lm_head = true;
    c->memory_rows = c->n_class = c->n_category = 0;
    if ((st = get_divisors(c, f, path, err)) != NN_OK) return st;
    if (nn_config_check(c, err) == NN_OK) return NN_OK;
    if (err) err->status = NN_FILE;
    nn_err_prefix(err, path);
    return NN_FILE;
}

static nn_status check_hash(const nn_tok *tok, const nn_gguf *f, const char *path, nn_err *err)
{
    const char *said = NULL;
    char hash[65];
    size_t len = 0;

    nn_tok_hash(tok, hash);
    if (!nn_gguf_str(f, "generator.tokenizer.sha256", &said, &len) || len != strlen(hash) ||
        memcmp(said, hash, len) != 0)
        return nn_fail(err, NN_FILE, "%s: the tokenizer is not the one whose hash the file names, want %s", path,
                       hash);
    return NN_OK;
}

/* On failure *out may already hold a tokenizer: the caller frees it in any case. */
static nn_status get_own_tok(nn_tok **out, const nn_gguf *f, const char *path, nn_err *err)
{
    static const char key[] = "generator.tokenizer.merges";
    nn_gg_type type = NN_GG_ARRAY;
    size_t n = 0;
    void *block = NULL;
    nn_status st;

    *out = NULL;
    if (!nn_gguf_array(f, key, &type, &n) || type != NN_GG_I32 || n % 2 != 0)
        return nn_fail(err, NN_FILE, "%s: key %s is not an array of pairs of ids", path, key);
    if ((st = nn_alloc(&block, n, sizeof(int32_t), err)) != NN_OK) return st;
    int32_t *const pairs = block;
    for (size_t i = 0; i < n; i++) {
        double v = -1.0;

        (void)nn_gguf_array_f64(f, key, i, &v); /* the type was checked: it is there */
        pairs[i] = (int32_t)v;
    }
    if ((st = nn_tok_from_merges(out, pairs, n / 2, err)) != NN_OK) {
        nn_err_prefix(err, path);
        if (st != NN_LIMIT) st = NN_FILE;
    }
    nn_free(block);
    return st == NN_OK ? check_hash(*out, f, path, err) : st;
}

/* prompt, by nn_alloc: NULL where ids of ours say it. */
static nn_status get_prompt(char **prompt, const nn_gguf *f, const char *path, nn_err *err)
{
    const char *s = NULL;
    size_t len = 0;
    nn_status st;

    if (!nn_gguf_str(f, PROMPT_KEY, &s, &len) || len == 0 || len > GUARD_LM_PROMPT_BYTES || memchr(s, 0, len))
        return nn_fail(err, NN_FILE, "%s: key %s is absent or wrong, want a text of at most %u bytes", path, PROMPT_KEY,
                       GUARD_LM_PROMPT_BYTES);
    if ((st = nn_alloc((void **)prompt, len + 1, 1, err)) == NN_OK) memcpy(*prompt, s, len);
    return st;
}

static nn_status get_names(guard_taxonomy *t, const nn_gguf *f, const char *path, nn_err *err)
{
    static const char key[] = "generator.taxonomy";
    nn_gg_type type = NN_GG_ARRAY;
    size_t n = 0;

    memset(t, 0, sizeof *t);
    if (!nn_gguf_array(f, key, &type, &n) || (n > 0 && type != NN_GG_STRING) || n > GUARD_MAX_CATEGORY)
        return nn_fail(err, NN_FILE, "%s: key %s is not an array of at most %u names", path, key, GUARD_MAX_CATEGORY);
    for (size_t i = 0; i < n; i++) {
        const char *name = NULL;
        size_t len = 0;

        if (!nn_gguf_array_str(f, key, i, &name, &len) || len == 0 || len >= sizeof t->category[i].name ||
            memchr(name, '\0', len))
            return nn_fail(err, NN_FILE, "%s: category %zu has a name of %zu bytes, want 1 to %zu", path, i, len,
                           sizeof t->category[i].name - 1);
        memcpy(t->category[i].name, name, len);
    }
    t->n = n;
    return NN_OK;
}

/* What the shape claims must be what the tensors hold, before memory is taken for it. */
static nn_status check_size(const nn_config *c, const nn_gguf *f, const char *path, nn_err *err)
{
    size_t held = 0;

    for (size_t i = 0; i < nn_gguf_tensors(f); i++) held += nn_gguf_tensor(f, i)->count; /* each lies in the file */
    held -= guard_has_divisors(c) ? guard_divisors(c) : 0;
    if (held != nn_config_params(c))
        return nn_fail(err, NN_FILE, "%s: tensors hold %zu weights, want the %zu of the model's shape", path, held,
                       nn_config_params(c));
    return NN_OK;
}

static nn_status find_tensor(const nn_st_tensor **out, const nn_tensor *w, const nn_gguf *f, const char *path,
                             nn_err *err)
{
    const nn_st_tensor *t = *out = nn_gguf_find(f, w->gguf);
    const bool vector = w->rows == 1;

    if (t && t->type == NN_F32 && t->n_dim == (vector ? 1u : 2u) && t->dim[0] == (vector ? w->cols : w->rows) &&
        (vector || t->dim[1] == w->cols))
        return NN_OK;
    return nn_fail(err, NN_FILE, "%s: tensor %s is absent or of another shape, want F32 [%zu, %zu]", path, w->gguf,
                   w->rows, w->cols);
}

/* Tensor i of m: its floats, or where they lie in the file. */
static nn_status get_tensor(nn_model *m, size_t i, const nn_gguf *f, const char *path, nn_err *err)
{
    const nn_tensor w = nn_model_tensor(m, i);
    const nn_st_tensor *t = NULL;
    nn_status st;

    if ((st = find_tensor(&t, &w, f, path, err)) != NN_OK) return st;
    const size_t bad = nn_dtype_not_finite(t->type, t->data, t->count);
    if (bad < t->count)
        return nn_fail(err, NN_FILE, "%s: tensor %s: weight %zu is not finite", path, w.gguf, bad);
    if (w.data) return nn_dtype_to_f32(w.data, t->type, t->data, t->count, err);
    return nn_model_place_stored(m, i, t->type, t->data, err);
}

static nn_status get_model(nn_model **out, const nn_config *c, bool stored, const nn_gguf *f, const char *path,
                           nn_err *err)
{
    nn_status st;

    if ((st = check_size(c, f, path, err)) != NN_OK) return st;
    if ((st = stored ? nn_model_build_stored(out, c, err) : nn_model_build(out, c, err)) != NN_OK) return st;
    for (size_t i = 0; i < nn_model_tensors(*out) && st == NN_OK; i++) st = get_tensor(*out, i, f, path, err);
    return st;
}

/* A file whose parts are fine and do not go together is the file's fault. */
static nn_status build(guard_lm **out, nn_model *m, const nn_tok *tok, const guard_taxonomy *t, const char *prompt,
                       const char *path, nn_err *err)
{
    nn_err cause = {NN_OK, ""};
    const nn_status st = guard_lm_build(out, m, tok, t, prompt, &cause);

    return st == NN_OK ? st : nn_fail(err, st == NN_LIMIT ? NN_LIMIT : NN_FILE, "%s: %s", path, cause.text);
}

/* What read_parts has read; all of it is the caller's, also after a failure. */
typedef struct {
    nn_model *m;
    nn_tok *tok;
    char *prompt;
    guard_taxonomy taxonomy;
} parts;

static nn_status read_parts(parts *p, const nn_gguf *f, const char *path, nn_err *err)
{
    uint64_t version = 0;
    nn_config c;
    nn_status st;

    if (!nn_gguf_u64(f, "generator.version", &version) || version < VERSION_OWN || version > VERSION_OTHER)
        return nn_fail(err, NN_FILE, "%s: not a generator of version %u or %u", path, VERSION_OWN, VERSION_OTHER);
    const bool own = version == VERSION_OWN;
    if ((st = get_config(&c, f, own, path, err)) != NN_OK) return st;
    if (own) st = get_own_tok(&p->tok, f, path, err);
    else if ((st = nn_tok_get_gguf(&p->tok, f, path, false, err)) == NN_OK) st = get_prompt(&p->prompt, f, path, err);
    if (st != NN_OK) return st;
    const size_t ids = nn_tok_vocab(p->tok);
    if (c.vocab < ids || (own && c.vocab > ids))
        return nn_fail(err, NN_FILE, "%s: %zu ids in the tokenizer, %zu in the model, want one vocabulary", path, ids,
                       c.vocab);
    if ((st = get_names(&p->taxonomy, f, path, err)) != NN_OK) return st;
    return get_model(&p->m, &c, !own, f, path, err);
}

nn_status guard_lm_open(guard_lm **out, const char *path, nn_err *err)
{
    parts p;
    nn_gguf *f = NULL;
    nn_status st;

    *out = NULL;
    memset(&p, 0, sizeof p);
    if ((st = nn_gguf_open(&f, path, err)) != NN_OK) return st;
    if ((st = read_parts(&p, f, path, err)) == NN_OK) st = build(out, p.m, p.tok, &p.taxonomy, p.prompt, path, err);
    if (st == NN_OK) p.m = NULL;
    nn_model_free(p.m);
    nn_tok_free(p.tok);
    nn_free(p.prompt);
    if (st == NN_OK && nn_model_is_stored((*out)->m)) (*out)->file = f;
    else nn_gguf_close(f);
    return st;
}
