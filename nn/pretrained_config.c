/* pretrained_config.c - config.json of a Hugging Face folder.
 *
 * Reads: pretrained_impl.h, json_scan.h.   Read next: pretrained_hf.c (the tensors).
 * What a key means, and what holds when it is absent, is what transformers' configuration classes of the four
 * architectures say (configuration_llama.py, _mistral.py, _qwen2.py, _qwen3.py, modeling_rope_utils.py). Unknown keys
 * are ignored, as there. Known to change the maths in a way that is not computed here, and refused: another hidden_act,
 * attention_bias and mlp_bias (qwen2's own biases of q, k, v are no option of it), rotary scaling other than linear and
 * llama3, partial_rotary_factor, layers of which some have a sliding window and some have none, quantization_config.
 */
#include "nn/arena.h"
#include "nn/json_scan.h"
#include "nn/pretrained_impl.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDTH, FF, LAYERS, HEADS, KV_HEADS, HEAD_DIM, VOCAB, MAX_T, WINDOW, WINDOW_FROM, N_SIZE, /* whole numbers */
    EPS = N_SIZE, THETA, PARTIAL, N_REAL,
    TIED = N_REAL, USE_WINDOW, ATTENTION_BIAS, MLP_BIAS, N_BOOL,
    ARCHITECTURES = N_BOOL, MODEL_TYPE, HIDDEN_ACT, ROPE_SCALING, ROPE_PARAMETERS, LAYER_TYPES, QUANTIZATION, EOS, N_KEY
};
static const char *const keys[N_KEY] = {
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "max_position_embeddings", "sliding_window", "max_window_layers", "rms_norm_eps", "rope_theta",
    "partial_rotary_factor", "tie_word_embeddings", "use_sliding_window", "attention_bias", "mlp_bias", "architectures",
    "model_type", "hidden_act", "rope_scaling", "rope_parameters", "layer_types", "quantization_config", "eos_token_id",
};

/* rope_scaling, and rope_parameters, its newer form, which holds theta as well. */
enum { ROPE_TYPE, OLD_TYPE, FACTOR, LOW, HIGH, ORIGINAL, INNER_THETA, INNER_PARTIAL, FULL, SLIDING, N_ROPE };
static const char *const rope_keys[N_ROPE] = {
    "rope_type", "type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    "rope_theta", "partial_rotary_factor", "full_attention", "sliding_attention",
};

static const struct {
    const char *type, *class_name;
    size_t max_t;    /* when the file does not say */
    size_t head_dim; /* the same; 0: width / heads */
    bool bias, qk_norm;
} families[] = {
    {"llama", "LlamaForCausalLM", 2048, 0, false, false},
    {"mistral", "MistralForCausalLM", 131072, 0, false, false},
    {"qwen2", "Qwen2ForCausalLM", 32768, 0, true, false},
    {"qwen3", "Qwen3ForCausalLM", 32768, 128, false, true},
};
enum { LLAMA, MISTRAL, QWEN2, QWEN3, N_FAMILY };

typedef struct {
    uint64_t seen, null; /* bit of each key: it is there; it is null */
    uint64_t size[N_SIZE];
    double real[N_REAL];
    bool truth[N_BOOL];
    const char *architecture, *model_type, *act, *rope_type;
    double rope[N_ROPE];
    uint64_t rope_seen; /* bit of each number that is there; bit N_ROPE: the object */
    size_t n_full, n_sliding, n_layer_types;
    uint64_t eos[NN_PRETRAINED_STOPS];
    size_t n_eos;
    size_t family;
} values;

static bool is_there(const values *v, int key)
{
    return (v->seen & ~v->null) >> key & 1u;
}

/* --- reading ------------------------------------------------------------------------------------------------ */

/* Text, or another kind of value skipped: "". */
static const char *text_or_skip(nn_cursor *c, nn_json_pool *pool)
{
    const char *s = NULL;

    if (nn_json_peek(c) == NN_JSON_STRING)
        s = nn_json_string(c, pool);
    else
        nn_json_skip(c);
    return s ? s : "";
}

static void read_architectures(nn_cursor *c, nn_json_pool *pool, values *v)
{
    for (size_t n = 0; nn_json_item(c, &n);) {
        const char *name = nn_json_string(c, pool);

        if (n == 1) v->architecture = name;
    }
}

size_t nn_pretrained_read_ids(nn_cursor *c, uint64_t *ids, size_t cap)
{
    size_t n = 0;

    if (nn_json_null(c)) return 0;
    if (nn_json_peek(c) == NN_JSON_NUMBER) {
        const double id = nn_json_f64(c);
        ids[0] = id >= 0.0 && id < 0x1p31 ? (uint64_t)id : UINT64_MAX;
        return 1;
    }
    for (size_t i = 0; nn_json_item(c, &i);) {
        const double id = nn_json_f64(c);
        if (n < cap) ids[n++] = id >= 0.0 && id < 0x1p31 ? (uint64_t)id : UINT64_MAX;
    }
    return n;
}

static void read_layer_types(nn_cursor *c, nn_json_pool *pool, values *v)
{
    for (size_t n = 0; nn_json_item(c, &n);) {
        const size_t before = pool->used;
        const char *type = nn_json_string(c, pool);

        if (!type) return;
        v->n_full += strcmp(type, "full_attention") == 0;
        v->n_sliding += strcmp(type, "sliding_attention") == 0;
        v->n_layer_types++;
        pool->used = before;
    }
}

static void read_rope(nn_cursor *c, nn_json_pool *pool, values *v)
{
    nn_json_fields f = {rope_keys, N_ROPE, 0, 0, ""};
    const char *old = NULL;

    if (v->rope_seen) (void)nn_cursor_fail(c, "rope_scaling and rope_parameters, want one of the two");
    for (int k = nn_json_field(c, pool, &f); k != NN_JSON_DONE; k = nn_json_field(c, pool, &f)) {
        if (k == ROPE_TYPE)
            v->rope_type = nn_json_string(c, pool);
        else if (k == OLD_TYPE)
            old = nn_json_string(c, pool);
        else if (k == FULL || k == SLIDING)
            (void)nn_cursor_fail(c, "rotary parameters for each type of layer, want one set for all");
        else if (k == N_ROPE)
            nn_json_skip(c);
        else if (!nn_json_null(c)) {
            v->rope[k] = nn_json_f64(c);
            v->rope_seen |= (uint64_t)1 << k;
        }
    }
    if (!v->rope_type) v->rope_type = old;
    v->rope_seen |= (uint64_t)1 << N_ROPE;
}

static void read_value(nn_cursor *c, nn_json_pool *pool, values *v, int k)
{
    if (k < N_SIZE)
        v->size[k] = nn_json_u64(c);
    else if (k < N_REAL)
        v->real[k] = nn_json_f64(c);
    else if (k < N_BOOL)
        v->truth[k] = nn_json_bool(c);
    else if (k == HIDDEN_ACT)
        v->act = nn_json_string(c, pool);
    else if (k == ROPE_SCALING || k == ROPE_PARAMETERS)
        read_rope(c, pool, v);
    else if (k == LAYER_TYPES)
        read_layer_types(c, pool, v);
    else if (k == EOS)
        v->n_eos = nn_pretrained_read_ids(c, v->eos, NN_PRETRAINED_STOPS);
    else
        nn_json_skip(c);
}

/* Twice over the file: an architecture that we do not run is named before its other keys are understood. */
static void read_object(nn_cursor *c, nn_json_pool *pool, values *v, bool names_only)
{
    nn_json_fields f = {keys, N_KEY, 0, 0, ""};

    nn_cursor_seek(c, 0);
    for (int k = nn_json_field(c, pool, &f); k != NN_JSON_DONE; k = nn_json_field(c, pool, &f)) {
        if (names_only && k == MODEL_TYPE)
            v->model_type = text_or_skip(c, pool);
        else if (names_only && k == ARCHITECTURES && nn_json_peek(c) == NN_JSON_ARRAY)
            read_architectures(c, pool, v);
        else if (names_only || k == N_KEY)
            nn_json_skip(c);
        else if (nn_json_null(c))
            v->null |= (uint64_t)1 << k;
        else
            read_value(c, pool, v, k);
    }
    v->seen = f.seen;
    nn_json_end(c);
}

/* --- understanding ------------------------------------------------------------------------------------------ */

/* model_type and the first of architectures must name the same one of ours; one of them may be absent. */
static nn_status find_family(values *v, const char *name, nn_err *err)
{
    const char *type = v->model_type ? v->model_type : "", *made = v->architecture ? v->architecture : "";

    for (v->family = 0; v->family < N_FAMILY; v->family++) {
        const bool same_type = strcmp(type, families[v->family].type) == 0;
        const bool same_class = strcmp(made, families[v->family].class_name) == 0;

        if ((same_type || !*type) && (same_class || !*made) && (same_type || same_class)) return NN_OK;
    }
    return nn_fail(err, NN_FILE, "%s: architecture %.60s%s%.60s%s is not one that runs here, want LlamaForCausalLM, "
                   "MistralForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM", name, *type ? type : made,
                   *type && *made ? " (" : "", *type ? made : "", *type && *made ? ")" : "");
}

static nn_status refuse(const char *name, const char *key, const char *problem, nn_err *err)
{
    return nn_fail(err, NN_FILE, "%s: key %s: %s", name, key, problem);
}

static nn_status check_options(const values *v, const char *name, nn_err *err)
{
    static const int required[] = {WIDTH, FF, LAYERS, HEADS, VOCAB};

    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        if (!is_there(v, required[i])) return refuse(name, keys[required[i]], "is absent, want a number", err);
    for (int k = 0; k < N_SIZE; k++)
        if (is_there(v, k) && (v->size[k] > INT32_MAX || (v->size[k] == 0 && k != WINDOW_FROM && k != WINDOW)))
            return refuse(name, keys[k], "want a positive number below 2^31", err);
    if (v->act && strcmp(v->act, "silu") != 0 && strcmp(v->act, "swish") != 0)
        return nn_fail(err, NN_FILE, "%s: key hidden_act: %.40s, want silu", name, v->act);
    if (is_there(v, ATTENTION_BIAS) && v->truth[ATTENTION_BIAS])
        return refuse(name, keys[ATTENTION_BIAS], "true, want false: the output projection has no bias here", err);
    if (is_there(v, MLP_BIAS) && v->truth[MLP_BIAS])
        return refuse(name, keys[MLP_BIAS], "true, want false: no biases in the feed-forward part", err);
    if (is_there(v, QUANTIZATION))
        return refuse(name, keys[QUANTIZATION], "want weights of type F32, F16 or BF16", err);
    if ((is_there(v, PARTIAL) && (v->real[PARTIAL] < 1.0 || v->real[PARTIAL] > 1.0)) ||
        ((v->rope_seen >> INNER_PARTIAL & 1u) && (v->rope[INNER_PARTIAL] < 1.0 || v->rope[INNER_PARTIAL] > 1.0)))
        return refuse(name, keys[PARTIAL], "want 1: all of a head is rotated", err);
    return NN_OK;
}

static nn_status set_sizes(nn_config *c, const values *v, const char *name, nn_err *err)
{
    c->width = (size_t)v->size[WIDTH];
    c->ff = (size_t)v->size[FF];
    c->layers = (size_t)v->size[LAYERS];
    c->heads = (size_t)v->size[HEADS];
    c->vocab = (size_t)v->size[VOCAB];
    c->kv_heads = is_there(v, KV_HEADS) ? (size_t)v->size[KV_HEADS] : c->heads;
    c->max_t = is_there(v, MAX_T) ? (size_t)v->size[MAX_T] : families[v->family].max_t;
    c->head_dim = families[v->family].head_dim;
    if (is_there(v, HEAD_DIM)) c->head_dim = (size_t)v->size[HEAD_DIM];
    if (c->head_dim == 0 && c->width % c->heads != 0)
        return nn_fail(err, NN_FILE, "%s: key hidden_size: %zu, want a multiple of num_attention_heads %zu", name,
                       c->width, c->heads);
    if (c->head_dim == 0) c->head_dim = c->width / c->heads;
    c->norm_eps = is_there(v, EPS) ? (float)v->real[EPS] : 1e-6f;
    c->rope = NN_ROPE_HALF;
    c->tied = is_there(v, TIED) && v->truth[TIED];
    c->qkv_bias = families[v->family].bias;
    c->qk_norm = families[v->family].qk_norm;
    return NN_OK;
}

/* Mistral's window holds in all layers; Qwen's, where it is used, from layer max_window_layers on. Llama has none,
 * whatever the key says. */
static nn_status set_window(nn_config *c, const values *v, const char *name, nn_err *err)
{
    const bool qwen = v->family == QWEN2 || v->family == QWEN3;
    const size_t from = is_there(v, WINDOW_FROM) ? (size_t)v->size[WINDOW_FROM] : 28;
    size_t sliding = c->layers;

    c->sliding_window = 0;
    if (v->family == LLAMA) return NN_OK;
    if (v->family == MISTRAL) c->sliding_window = v->seen >> WINDOW & 1u ? (size_t)v->size[WINDOW] : 4096;
    if (qwen && v->truth[USE_WINDOW]) {
        c->sliding_window = v->seen >> WINDOW & 1u ? (size_t)v->size[WINDOW] : 4096;
        sliding = from < c->layers ? c->layers - from : 0;
    }
    if (is_there(v, LAYER_TYPES)) {
        if (v->n_layer_types != c->layers || v->n_full + v->n_sliding != c->layers)
            return refuse(name, keys[LAYER_TYPES], "want full_attention or sliding_attention for each layer", err);
        if (v->n_sliding > 0 && c->sliding_window == 0)
            return refuse(name, keys[LAYER_TYPES], "layers with a sliding window, but no window", err);
        sliding = v->n_sliding;
    }
    if (sliding == 0) c->sliding_window = 0;
    if (c->sliding_window > 0 && sliding != c->layers)
        return nn_fail(err, NN_FILE, "%s: %zu of %zu layers have a sliding window, want all or none", name, sliding,
                       c->layers);
    return NN_OK;
}

static nn_status set_llama3(nn_config *c, const values *v, const char *name, nn_err *err)
{
    const uint64_t wanted = 1u << FACTOR | 1u << LOW | 1u << HIGH | 1u << ORIGINAL;

    if ((v->rope_seen & wanted) != wanted || !(v->rope[LOW] > 0.0 && v->rope[LOW] < v->rope[HIGH]) ||
        !(v->rope[HIGH] < 1e6) || !(v->rope[ORIGINAL] >= 1.0 && v->rope[ORIGINAL] < 0x1p31))
        return refuse(name, keys[ROPE_SCALING], "llama3 wants factor, low_freq_factor below high_freq_factor, and "
                      "original_max_position_embeddings", err);
    nn_rope_llama3(c->rope_divisor, c->rope_theta, c->head_dim, (float)v->rope[FACTOR], (float)v->rope[LOW],
                   (float)v->rope[HIGH], (size_t)v->rope[ORIGINAL]);
    return NN_OK;
}

/* The head's width and theta are within nn_config_check's limits. */
static nn_status set_rope(nn_config *c, const values *v, const char *name, nn_err *err)
{
    const char *type = v->rope_type ? v->rope_type : "default";
    const bool scaled = strcmp(type, "linear") == 0 || strcmp(type, "llama3") == 0;

    if (scaled && !((v->rope_seen >> FACTOR & 1u) && v->rope[FACTOR] >= 1.0 && v->rope[FACTOR] < 1e6))
        return refuse(name, keys[ROPE_SCALING], "want a factor from 1 on", err);
    if (strcmp(type, "llama3") == 0) return set_llama3(c, v, name, err);
    if (strcmp(type, "linear") == 0) {
        if (v->rope[FACTOR] > 1.0) nn_rope_linear(c->rope_divisor, c->head_dim, (float)v->rope[FACTOR]);
        return NN_OK;
    }
    if (strcmp(type, "default") == 0) return NN_OK;
    return nn_fail(err, NN_FILE, "%s: key rope_scaling: type %.40s, want linear, llama3 or default", name, type);
}

static nn_status understand(nn_pretrained *p, const values *v, const char *name, nn_err *err)
{
    nn_config *c = &p->config;
    nn_status st;

    snprintf(p->architecture, sizeof p->architecture, "%s", families[v->family].type);
    if ((st = check_options(v, name, err)) != NN_OK) return st;
    if ((st = set_sizes(c, v, name, err)) != NN_OK) return st;
    if ((st = set_window(c, v, name, err)) != NN_OK) return st;
    c->rope_theta = is_there(v, THETA) ? (float)v->real[THETA] : 10000.0f;
    if (v->rope_seen >> INNER_THETA & 1u) c->rope_theta = (float)v->rope[INNER_THETA];
    if ((st = nn_pretrained_check_config(p, err)) != NN_OK) return st;
    if ((st = set_rope(c, v, name, err)) != NN_OK) return st;
    if ((st = nn_pretrained_check_config(p, err)) != NN_OK) return st;
    for (size_t i = 0; i < v->n_eos; i++) nn_pretrained_stop(p, v->eos[i]);
    return NN_OK;
}

nn_status nn_pretrained_read_config(nn_pretrained *p, const void *bytes, size_t len, const char *name, nn_err *err)
{
    values v = {0};
    nn_json_pool pool = {NULL, 0, 2 * len + 2}; /* two passes */
    nn_cursor c;
    nn_status st;

    nn_cursor_init(&c, bytes, len, name, err);
    if ((st = nn_alloc((void **)&pool.bytes, pool.cap, 1, err)) != NN_OK) return st;
    read_object(&c, &pool, &v, true);
    st = c.status == NN_OK ? find_family(&v, name, err) : c.status;
    if (st == NN_OK) {
        read_object(&c, &pool, &v, false);
        st = c.status == NN_OK ? understand(p, &v, name, err) : c.status;
    }
    nn_free(pool.bytes);
    return st;
}
