/* pretrained_gguf.c - what a GGUF file says about its model (the ggml project's published keys).
 *
 * Reads: pretrained_impl.h, gguf.h.   Read next: pretrained.c (tensors against the configuration).
 * Architectures: llama (Mistral's files say llama too): converters reorder the rows of q and k, rotary pairs are
 * (2i, 2i + 1); qwen2, qwen3: half-split. Keys that would change the maths in a way that we do not compute are refused:
 * experts, rotary scaling other than linear, rotary positions of a part of a head, layers that differ, bidirectional
 * attention, soft caps and scales of logits, embeddings or residuals. rope_freqs.weight (Llama 3) holds rotary
 * divisors.
 */
#include "nn/pretrained_impl.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    nn_pretrained *p;
    const nn_gguf *g;
    nn_err *err;
    nn_status st; /* the first failure; getters do nothing after it */
    char key[96]; /* the one that was asked for last */
} reader;

/* --- typed keys ----------------------------------------------------------------------------------------------- */

static void name_key(reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->p->architecture, suffix);
}

static void refuse(reader *r, const char *want)
{
    if (r->st == NN_OK) r->st = nn_fail(r->err, NN_FILE, "%s: key %s, want %s", r->p->path, r->key, want);
}

static bool has_key(const nn_gguf *g, const char *key)
{
    const size_t want = strlen(key);

    for (size_t i = 0; i < nn_gguf_keys(g); i++) {
        size_t len = 0;
        nn_gg_type type;
        const char *k = nn_gguf_key(g, i, &len, &type);

        if (len == want && memcmp(k, key, len) == 0) return true;
    }
    return false;
}

static bool is_text(const char *s, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(s, want, len) == 0;
}

/* One number for all layers, given once or as an array of one a layer. */
static bool get_u64(const reader *r, uint64_t *out)
{
    nn_gg_type type;
    size_t n = 0;
    double first = 0.0, v = 0.0;

    if (nn_gguf_u64(r->g, r->key, out)) return true;
    if (!nn_gguf_array(r->g, r->key, &type, &n) || n == 0 || n > r->p->config.layers) return false;
    if (!nn_gguf_array_f64(r->g, r->key, 0, &first) || !(first >= 0.0 && first < 0x1p53)) return false;
    for (size_t i = 1; i < n; i++)
        if (!nn_gguf_array_f64(r->g, r->key, i, &v) || v != first) return false;
    *out = (uint64_t)first;
    return (double)*out == first;
}

/* fallback 0: the key must be there. */
static size_t get_size(reader *r, const char *suffix, size_t fallback)
{
    uint64_t v = 0;

    name_key(r, suffix);
    if (r->st != NN_OK) return 1;
    if (fallback > 0 && !has_key(r->g, r->key)) return fallback;
    if (get_u64(r, &v) && v > 0 && v <= INT32_MAX) return (size_t)v;
    refuse(r, "a positive number, the same for all layers");
    return 1;
}

static float get_float(reader *r, const char *suffix, float fallback)
{
    double v = 0.0;

    name_key(r, suffix);
    if (r->st != NN_OK || (fallback > 0.0f && !has_key(r->g, r->key))) return fallback;
    if (!nn_gguf_f64(r->g, r->key, &v) || !(v > 0.0 && v < 1e30)) refuse(r, "a positive number");
    return (float)v;
}

/* A key that must say `want` if it is there at all. */
static void expect_number(reader *r, const char *suffix, double want)
{
    double v = want;
    char text[64];

    name_key(r, suffix);
    if (r->st != NN_OK || !has_key(r->g, r->key)) return;
    snprintf(text, sizeof text, "%g or none: what it asks for is not computed here", want);
    if (!nn_gguf_f64(r->g, r->key, &v) || v != want) refuse(r, text);
}

/* --- architecture and configuration --------------------------------------------------------------------------- */

/* Files of this project's own runs are models of another kind to the user. */
static void refuse_ours(reader *r)
{
    if (has_key(r->g, "guard.version"))
        r->st = nn_fail(r->err, NN_FILE, "%s: a guard of this project, want `parapet check --model`", r->p->path);
    else if (has_key(r->g, "generator.version"))
        r->st = nn_fail(r->err, NN_FILE, "%s: a generator of a run of this project, want `parapet generate` with --n",
                        r->p->path);
}

static void read_architecture(reader *r)
{
    nn_pretrained *p = r->p;
    const char *s = NULL;
    size_t len = 0;

    if (!nn_gguf_str(r->g, "general.architecture", &s, &len)) {
        r->st = nn_fail(r->err, NN_FILE, "%s: key general.architecture is absent, want llama, qwen2 or qwen3", p->path);
        return;
    }
    if (!is_text(s, len, "llama") && !is_text(s, len, "qwen2") && !is_text(s, len, "qwen3")) {
        r->st = nn_fail(r->err, NN_FILE, "%s: architecture %.*s is not one that runs here, want llama, qwen2 or qwen3",
                        p->path, (int)(len < 40 ? len : 40), s);
        return;
    }
    memcpy(p->architecture, s, len);
    p->config.rope = p->architecture[0] == 'l' ? NN_ROPE_PAIRS : NN_ROPE_HALF;
    p->config.qkv_bias = is_text(s, len, "qwen2");
    p->config.qk_norm = is_text(s, len, "qwen3");
}

/* Rows of the embedding, which the key repeats where it is there. */
static size_t read_vocab(reader *r)
{
    const nn_st_tensor *t = nn_gguf_find(r->g, "token_embd.weight");
    const size_t rows = t && t->n_dim == 2 ? t->dim[0] : 1; /* absent or otherwise: settle refuses it */

    return get_size(r, "vocab_size", rows ? rows : 1);
}

static void read_sizes(reader *r, nn_config *c)
{
    c->layers = get_size(r, "block_count", 0);
    c->width = get_size(r, "embedding_length", 0);
    c->ff = get_size(r, "feed_forward_length", 0);
    c->heads = get_size(r, "attention.head_count", 0);
    c->kv_heads = get_size(r, "attention.head_count_kv", c->heads);
    c->max_t = get_size(r, "context_length", 0);
    if (r->st != NN_OK) return;
    c->head_dim = get_size(r, "attention.key_length", c->width / c->heads ? c->width / c->heads : 1);
    if (get_size(r, "attention.value_length", c->head_dim) != c->head_dim)
        refuse(r, "the same as attention.key_length");
    if (get_size(r, "rope.dimension_count", c->head_dim) != c->head_dim)
        refuse(r, "the width of a head: all of it rotated");
    c->vocab = read_vocab(r);
    c->tied = !nn_gguf_find(r->g, "output.weight");
    c->norm_eps = get_float(r, "attention.layer_norm_rms_epsilon", 0.0f);
    c->rope_theta = get_float(r, "rope.freq_base", 10000.0f);
    name_key(r, "attention.sliding_window");
    if (has_key(r->g, r->key)) {
        uint64_t window = 0;

        if (!get_u64(r, &window) || window > INT32_MAX) refuse(r, "a number of positions, the same for all layers");
        c->sliding_window = (size_t)window; /* 0: none */
    }
}

static void refuse_other_maths(reader *r)
{
    static const char *const scale[] = {"logit_scale", "embedding_scale", "residual_scale"};
    static const char *const zero[] = {"expert_count", "attn_logit_softcapping", "final_logit_softcapping",
                                       "attention.clamp_kqv", "attention.max_alibi_bias", "attention.shared_kv_layers"};
    bool causal = true;

    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) expect_number(r, zero[i], 0.0);
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++) expect_number(r, scale[i], 1.0);
    name_key(r, "attention.scale");
    if (has_key(r->g, r->key)) refuse(r, "none: scores are divided by the root of the head's width");
    name_key(r, "attention.causal");
    if (has_key(r->g, r->key) && !(nn_gguf_bool(r->g, r->key, &causal) && causal)) refuse(r, "true");
}

/* --- rotary scaling ------------------------------------------------------------------------------------------- */

static void read_divisors(reader *r, nn_config *c)
{
    const nn_st_tensor *t = nn_gguf_find(r->g, "rope_freqs.weight");

    if (r->st != NN_OK || !t) return;
    if (t->type != NN_F32 || t->n_dim != 1 || t->count != c->head_dim / 2) {
        r->st = nn_fail(r->err, NN_FILE, "%s: tensor rope_freqs.weight, want %zu numbers of type F32", r->p->path,
                        c->head_dim / 2);
        return;
    }
    r->st = nn_dtype_to_f32(c->rope_divisor, t->type, t->data, t->count, r->err);
    for (size_t i = 0; i < t->count && r->st == NN_OK; i++)
        if (!(c->rope_divisor[i] > 0.0f && c->rope_divisor[i] < 1e30f))
            r->st = nn_fail(r->err, NN_FILE, "%s: tensor rope_freqs.weight: number %zu is not positive and finite",
                            r->p->path, i);
}

static void read_rope_scaling(reader *r, nn_config *c)
{
    const char *s = NULL;
    size_t len = 0;
    float factor = 1.0f;

    read_divisors(r, c);
    name_key(r, "rope.scaling.type");
    if (has_key(r->g, r->key) && !(nn_gguf_str(r->g, r->key, &s, &len) &&
                                   (is_text(s, len, "none") || is_text(s, len, "linear"))))
        refuse(r, "none or linear");
    if (s && is_text(s, len, "linear")) factor = get_float(r, "rope.scaling.factor", 0.0f);
    if (!s) factor = get_float(r, "rope.scale_linear", 1.0f); /* the key's older name, without a type */
    if (r->st != NN_OK || !(factor > 1.0f || factor < 1.0f)) return;
    for (size_t i = 0; i < c->head_dim / 2; i++)
        c->rope_divisor[i] = (c->rope_divisor[i] > 0.0f ? c->rope_divisor[i] : 1.0f) * factor;
}

/* --- the rest ------------------------------------------------------------------------------------------------- */

static void read_tokens(reader *r)
{
    static const char *const stops[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
    uint64_t id = 0;

    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        if (nn_gguf_u64(r->g, stops[i], &id)) nn_pretrained_stop(r->p, id);
    if (!nn_gguf_str(r->g, "tokenizer.chat_template", &r->p->chat, &r->p->chat_len)) r->p->chat = NULL;
}

nn_status nn_pretrained_read_gguf(nn_pretrained *p, nn_err *err)
{
    reader r = {p, p->gguf, err, NN_OK, ""};

    refuse_ours(&r);
    if (r.st == NN_OK) read_architecture(&r);
    if (r.st == NN_OK) read_sizes(&r, &p->config);
    refuse_other_maths(&r);
    if (r.st == NN_OK && (r.st = nn_pretrained_check_config(p, err)) == NN_OK) read_rope_scaling(&r, &p->config);
    if (r.st == NN_OK) r.st = nn_pretrained_check_config(p, err);
    for (size_t i = 0; i < nn_gguf_tensors(p->gguf) && r.st == NN_OK; i++)
        r.st = nn_pretrained_add(p, nn_gguf_tensor(p->gguf, i), err);
    if (r.st == NN_OK) read_tokens(&r);
    return r.st == NN_OK ? nn_pretrained_settle(p, err) : r.st;
}
