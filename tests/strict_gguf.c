/* Version 3 of the format as ggml's docs/gguf.md describes it, and the tensors of llama, qwen2 and qwen3. */
#include "tests/strict_gguf.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEYS = 128, MAX_TENSORS = 512, STRING = 8, ARRAY = 9 };

typedef struct {
    const unsigned char *s;
    size_t len;
} text;

typedef struct {
    text name;
    uint32_t type, elem;
    uint64_t n; /* elements of an array */
    const unsigned char *value;
} key;

typedef struct {
    text name;
    uint64_t dim[4], n_dim, offset, bytes;
    uint32_t type;
} tensor;

typedef struct {
    const unsigned char *b;
    size_t at, len;
    char *why;
    size_t cap;
    bool bad;
    key k[MAX_KEYS];
    size_t n_key;
    tensor t[MAX_TENSORS];
    size_t n_tensor;
} file;

static void fail(file *f, const char *fmt, ...)
{
    va_list args;

    if (f->bad) return;
    f->bad = true;
    va_start(args, fmt);
    vsnprintf(f->why, f->cap, fmt, args);
    va_end(args);
}

static const unsigned char *take(file *f, uint64_t n)
{
    static const unsigned char none[8];

    if (f->bad || n > f->len - f->at) {
        fail(f, "the file ends at %zu", f->at);
        return none;
    }
    f->at += (size_t)n;
    return f->b + f->at - n;
}

static uint64_t number(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = n; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static uint32_t u32(file *f)
{
    return (uint32_t)number(take(f, 4), 4);
}

static uint64_t u64(file *f)
{
    return number(take(f, 8), 8);
}

static text string(file *f)
{
    const uint64_t n = u64(f);
    const text t = {take(f, n), f->bad ? 0 : (size_t)n};

    return t;
}

static bool is(text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.s, s, t.len) == 0;
}

static bool same(text a, text b)
{
    return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

/* --- keys ----------------------------------------------------------------------------------------------------- */

static void skip_value(file *f, uint32_t type)
{
    static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

    if (type > 12) fail(f, "value type %u", type);
    else if (type == STRING) (void)string(f);
    else if (type == 7 && *take(f, 1) > 1) fail(f, "a bool that is neither 0 nor 1");
    else if (type != 7) (void)take(f, bytes[type]);
}

static void check_key_name(file *f, text t)
{
    if (t.len == 0 || t.len > 65535) fail(f, "a key of %zu bytes", t.len);
    for (size_t i = 0; i < t.len && !f->bad; i++) {
        const unsigned char c = t.s[i];
        const bool dot = c == '.';

        if (!dot && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
            fail(f, "key %.*s: not lower_snake_case", (int)t.len, t.s);
        if (dot && (i == 0 || i + 1 == t.len || t.s[i - 1] == '.')) fail(f, "key %.*s: an empty part", (int)t.len, t.s);
    }
    for (size_t i = 0; i < f->n_key && !f->bad; i++)
        if (same(f->k[i].name, t)) fail(f, "key %.*s twice", (int)t.len, t.s);
}

static void read_key(file *f)
{
    key k = {string(f), 0, 0, 0, NULL};

    check_key_name(f, k.name);
    k.type = u32(f);
    if (k.type == ARRAY) {
        k.elem = u32(f);
        k.n = u64(f);
    }
    k.value = f->b + f->at;
    if (k.type != ARRAY) skip_value(f, k.type);
    else if (k.elem == ARRAY) fail(f, "key %.*s: arrays within each other", (int)k.name.len, k.name.s);
    for (uint64_t i = 0; i < k.n && !f->bad; i++) skip_value(f, k.elem);
    if (!f->bad) f->k[f->n_key++] = k;
}

static const key *find(const file *f, const char *name)
{
    for (size_t i = 0; i < f->n_key; i++)
        if (is(f->k[i].name, name)) return f->k + i;
    return NULL;
}

/* A required key of this type. */
static const key *want(file *f, const char *name, uint32_t type)
{
    static const key none;
    const key *k = find(f, name);

    if (!k || k->type != type) fail(f, "key %s: absent, or not of type %u", name, type);
    return f->bad ? &none : k;
}

static uint64_t want_u32(file *f, const char *arch, const char *suffix)
{
    char name[96];

    snprintf(name, sizeof name, "%s.%s", arch, suffix);
    const key *k = want(f, name, 4);
    return f->bad ? 1 : number(k->value, 4);
}

/* --- tensors -------------------------------------------------------------------------------------------------- */

/* Elements and bytes of a block. */
static bool block_of(uint32_t type, uint64_t *n, uint64_t *bytes)
{
    static const uint64_t known[][3] = {{0, 1, 4},     {1, 1, 2},     {30, 1, 2},    {2, 32, 18},   {3, 32, 20},
                                        {6, 32, 22},   {7, 32, 24},   {8, 32, 34},   {10, 256, 84}, {11, 256, 110},
                                        {12, 256, 144}, {13, 256, 176}, {14, 256, 210}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i][0] == type) {
            *n = known[i][1];
            *bytes = known[i][2];
            return true;
        }
    return false;
}

static void read_tensor(file *f)
{
    tensor t = {string(f), {1, 1, 1, 1}, 0, 0, 0, 0};
    uint64_t n = 1, bytes = 0;

    if (t.name.len == 0 || t.name.len > 64) fail(f, "a tensor's name of %zu bytes", t.name.len);
    for (size_t i = 0; i < f->n_tensor; i++)
        if (same(f->t[i].name, t.name)) fail(f, "tensor %.*s twice", (int)t.name.len, t.name.s);
    t.n_dim = u32(f);
    if (t.n_dim < 1 || t.n_dim > 4) fail(f, "tensor %.*s: dimensions", (int)t.name.len, t.name.s);
    for (size_t i = 0; i < t.n_dim && !f->bad; i++)
        if ((t.dim[i] = u64(f)) == 0 || t.dim[i] > 1u << 20) fail(f, "a dimension of no or too many elements");
    t.type = u32(f);
    t.offset = u64(f);
    if (f->bad) return;
    if (!block_of(t.type, &n, &bytes) || t.dim[0] % n != 0)
        fail(f, "tensor %.*s: type %u with rows of %u", (int)t.name.len, t.name.s, t.type, (unsigned)t.dim[0]);
    t.bytes = t.dim[0] / n * bytes * t.dim[1] * t.dim[2] * t.dim[3];
    f->t[f->n_tensor++] = t;
}

static void zeros_up_to(file *f, size_t end, const char *where)
{
    while (!f->bad && f->at < end)
        if (*take(f, 1) != 0) fail(f, "padding that is not zero %s", where);
}

/* Back to back but for the padding, the file's end included. */
static void check_data(file *f, size_t align)
{
    const size_t header = f->at, data = (header + align - 1) / align * align;

    zeros_up_to(f, data, "before the data");
    for (size_t i = 0; i < f->n_tensor && !f->bad; i++) {
        const tensor *t = f->t + i;

        if (t->offset != f->at - data)
            fail(f, "tensor %.*s: a gap, an overlap or another order", (int)t->name.len, t->name.s);
        (void)take(f, t->bytes);
        zeros_up_to(f, data + (f->at - data + align - 1) / align * align, "behind a tensor");
    }
    if (f->at != f->len) fail(f, "%zu bytes behind the last tensor", f->len - f->at);
}

static void want_tensor(file *f, const char *name, uint64_t rows, uint64_t cols, size_t *seen)
{
    for (size_t i = 0; i < f->n_tensor; i++) {
        const tensor *t = f->t + i;

        if (!is(t->name, name)) continue;
        (*seen)++;
        if (t->dim[0] != cols || (rows ? t->n_dim != 2 || t->dim[1] != rows : t->n_dim != 1))
            fail(f, "tensor %s: another shape", name);
        if (!rows && t->type != 0) fail(f, "tensor %s: a vector that is not F32", name);
        return;
    }
    fail(f, "tensor %s is missing", name);
}

/* --- the model ------------------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t C, F, H, K, D, V, L;
} sizes;

static void check_layer(file *f, const sizes *s, const char *arch, unsigned l, size_t *seen)
{
    const bool qwen2 = strcmp(arch, "qwen2") == 0, qwen3 = strcmp(arch, "qwen3") == 0;
    const struct {
        const char *name;
        uint64_t rows, cols;
        bool there;
    } all[] = {{"attn_norm.weight", 0, s->C, true}, {"ffn_norm.weight", 0, s->C, true},
               {"attn_q.weight", s->H * s->D, s->C, true}, {"attn_k.weight", s->K * s->D, s->C, true},
               {"attn_v.weight", s->K * s->D, s->C, true}, {"attn_output.weight", s->C, s->H * s->D, true},
               {"attn_q.bias", 0, s->H * s->D, qwen2}, {"attn_k.bias", 0, s->K * s->D, qwen2},
               {"attn_v.bias", 0, s->K * s->D, qwen2}, {"attn_q_norm.weight", 0, s->D, qwen3},
               {"attn_k_norm.weight", 0, s->D, qwen3}, {"ffn_gate.weight", s->F, s->C, true},
               {"ffn_up.weight", s->F, s->C, true}, {"ffn_down.weight", s->C, s->F, true}};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char name[80];

        snprintf(name, sizeof name, "blk.%u.%s", l, all[i].name);
        if (all[i].there) want_tensor(f, name, all[i].rows, all[i].cols, seen);
    }
}

static bool has_tensor(const file *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensor; i++)
        if (is(f->t[i].name, name)) return true;
    return false;
}

static void check_model(file *f, const char *arch)
{
    const sizes s = {want_u32(f, arch, "embedding_length"), want_u32(f, arch, "feed_forward_length"),
                     want_u32(f, arch, "attention.head_count"), want_u32(f, arch, "attention.head_count_kv"),
                     want_u32(f, arch, "rope.dimension_count"), want_u32(f, arch, "vocab_size"),
                     want_u32(f, arch, "block_count")};
    char name[96];
    size_t seen = 0;

    (void)want_u32(f, arch, "context_length");
    snprintf(name, sizeof name, "%s.attention.layer_norm_rms_epsilon", arch);
    (void)want(f, name, 6);
    snprintf(name, sizeof name, "%s.rope.freq_base", arch);
    (void)want(f, name, 6);
    want_tensor(f, "token_embd.weight", s.V, s.C, &seen);
    want_tensor(f, "output_norm.weight", 0, s.C, &seen);
    if (has_tensor(f, "output.weight")) want_tensor(f, "output.weight", s.V, s.C, &seen);
    if (has_tensor(f, "rope_freqs.weight")) want_tensor(f, "rope_freqs.weight", 0, s.D / 2, &seen);
    snprintf(name, sizeof name, "%s.classifier.output_labels", arch);
    if (find(f, name)) want_tensor(f, "cls.output.weight", find(f, name)->n, s.C, &seen);
    for (uint64_t l = 0; l < s.L && !f->bad; l++) check_layer(f, &s, arch, (unsigned)l, &seen);
    if (seen != f->n_tensor) fail(f, "%zu tensors, of which the architecture has %zu", f->n_tensor, seen);
}

static void check_tokenizer(file *f)
{
    static const char *const ids[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                      "tokenizer.ggml.padding_token_id", "tokenizer.ggml.eot_token_id"};
    const key *scores = find(f, "tokenizer.ggml.scores"), *merges = find(f, "tokenizer.ggml.merges");

    if (!find(f, "tokenizer.ggml.model")) return;
    const key *tokens = want(f, "tokenizer.ggml.tokens", ARRAY), *types = want(f, "tokenizer.ggml.token_type", ARRAY);
    (void)want(f, "tokenizer.ggml.model", STRING);
    if (tokens->elem != STRING || types->elem != 5 || types->n != tokens->n) fail(f, "tokens and their types");
    if (scores && (scores->type != ARRAY || scores->elem != 6 || scores->n != tokens->n)) fail(f, "scores");
    if (merges && (merges->type != ARRAY || merges->elem != STRING)) fail(f, "merges");
    for (size_t i = 0; i < sizeof ids / sizeof *ids && !f->bad; i++)
        if (find(f, ids[i]) && number(want(f, ids[i], 4)->value, 4) >= tokens->n) fail(f, "%s is no token", ids[i]);
}

bool strict_gguf(const unsigned char *bytes, size_t len, char *why, size_t cap)
{
    static file f;
    size_t align = 32;

    f = (file){.b = bytes, .len = len, .why = why, .cap = cap};
    if (u32(&f) != 0x46554747u || u32(&f) != 3) fail(&f, "not version 3 of GGUF");
    const uint64_t n_tensor = u64(&f), n_key = u64(&f);
    if (n_tensor > MAX_TENSORS || n_key > MAX_KEYS) fail(&f, "more than these tests write");
    for (uint64_t i = 0; i < n_key && !f.bad; i++) read_key(&f);
    for (uint64_t i = 0; i < n_tensor && !f.bad; i++) read_tensor(&f);
    if (find(&f, "general.alignment")) align = (size_t)number(want(&f, "general.alignment", 4)->value, 4);
    if (!f.bad && (align == 0 || align % 8 != 0)) fail(&f, "alignment %zu", align);
    if (!f.bad) check_data(&f, align);
    bool blocks = false;
    for (size_t i = 0; i < f.n_tensor; i++) blocks = blocks || (f.t[i].type > 1 && f.t[i].type != 30);
    if (blocks) (void)want(&f, "general.quantization_version", 4);
    const key *arch = want(&f, "general.architecture", STRING);
    if (f.bad) return false;
    const text name = {arch->value + 8, (size_t)number(arch->value, 8)};
    if (is(name, "llama")) check_model(&f, "llama");
    else if (is(name, "qwen2")) check_model(&f, "qwen2");
    else if (is(name, "qwen3")) check_model(&f, "qwen3");
    else fail(&f, "architecture %.*s", (int)name.len, name.s);
    check_tokenizer(&f);
    return !f.bad;
}
