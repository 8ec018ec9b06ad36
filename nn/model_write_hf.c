/* model_write_hf.c - a model as a Hugging Face folder: config.json, generation_config.json, model.safetensors.
 *
 * Reads: model_write_impl.h, safetensors.h.   Read next: pretrained_config.c (which reads it back).
 * Keys are those of transformers' configuration classes of the four architectures. Rotary divisors are said where a
 * rule of theirs gives them: linear, and llama3 with its published turns (1 and 4) and a first length that is a power
 * of two. config.json comes last: a folder that was not finished is no model. Of a model that was there its small files
 * go just before the new weights appear: this one's may lack some, and another's stop ids or tokenizer are no
 * substitute.
 */
#include "nn/arena.h"
#include "nn/model_write_impl.h"
#include "nn/safetensors.h"
#include "nn/sink.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_CAP = 1024 };
#define CONFIG "config.json"
#define GENERATION "generation_config.json"

static const char *const tokenizer_files[] = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                                              "special_tokens_map.json", "added_tokens.json", "vocab.json",
                                              "merges.txt", "chat_template.jinja", NULL};

/* --- numbers and lines ---------------------------------------------------------------------------------------- */

/* `  "key": ` and the comma of the line before. */
static void begin_line(nn_sink *s, const char *key)
{
    nn_sink_str(s, s->len > 2 ? ",\n  \"" : "  \"");
    nn_sink_str(s, key);
    nn_sink_str(s, "\": ");
}

static void put_raw(nn_sink *s, const char *key, const char *value)
{
    begin_line(s, key);
    nn_sink_str(s, value);
}

static void put_text(nn_sink *s, const char *key, const char *value)
{
    begin_line(s, key);
    nn_sink_quoted(s, value);
}

static void put_size(nn_sink *s, const char *key, size_t v)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%zu", v);
    put_raw(s, key, digits);
}

/* The fewest digits that give the float back; whole numbers as such. */
static void print_float(char out[32], float v)
{
    if (v >= 1.0f && v < 1e7f && (float)(uint32_t)v >= v) {
        snprintf(out, 32, "%" PRIu32 ".0", (uint32_t)v);
        return;
    }
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)v);
        const float back = (float)strtod(out, NULL);
        if (!(back < v || back > v)) return;
    }
}

static void put_float(nn_sink *s, const char *key, float v)
{
    char text[32];

    print_float(text, v);
    put_raw(s, key, text);
}

static nn_status end_object(nn_sink *s, const char *folder, const char *name, nn_err *err)
{
    char path[PATH_CAP];
    nn_status st;

    nn_sink_str(s, "\n}\n");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((st = nn_sink_status(s, err)) == NN_OK) st = nn_file_write(path, s->bytes, s->len, err);
    nn_sink_free(s);
    return st;
}

/* --- rotary scaling ------------------------------------------------------------------------------------------- */

static bool same_divisors(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float d = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];

        if (!(d <= b[i] * 0x1p-20f)) return false; /* files hold what other programs rounded */
    }
    return true;
}

/* The length trained first; 0: the divisors are not what the rule gives. */
static size_t llama3_length(const nn_config *c, float factor)
{
    float d[NN_HEAD_MAX / 2];

    for (size_t T = 256; T <= (size_t)1 << 20; T *= 2) {
        nn_rope_llama3(d, c->rope_theta, c->head_dim, factor, 1.0f, 4.0f, T);
        if (same_divisors(c->rope_divisor, d, c->head_dim / 2)) return T;
    }
    return 0;
}

static nn_status put_scaling(nn_sink *s, const nn_config *c, nn_err *err)
{
    const float linear = nn_write_linear(c), factor = linear > 0.0f ? linear : c->rope_divisor[c->head_dim / 2 - 1];
    const size_t length = linear > 0.0f ? 0 : llama3_length(c, factor);
    char number[32], text[192];

    if (linear >= 1.0f && linear <= 1.0f) return NN_OK;
    if (factor < 1.0f || (!(linear > 0.0f) && length == 0))
        return nn_fail(err, NN_USAGE, "model: rope_divisor is what neither linear nor llama3 scaling gives, want one "
                       "of them in a Hugging Face folder (GGUF holds any)");
    print_float(number, factor);
    if (linear > 0.0f)
        snprintf(text, sizeof text, "{\"rope_type\": \"linear\", \"type\": \"linear\", \"factor\": %s}", number);
    else
        snprintf(text, sizeof text, "{\"rope_type\": \"llama3\", \"factor\": %s, \"low_freq_factor\": 1.0, "
                 "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": %zu}", number, length);
    put_raw(s, "rope_scaling", text);
    return NN_OK;
}

/* --- configuration -------------------------------------------------------------------------------------------- */

static void put_ids(nn_sink *s, const nn_tok *tok, const nn_write_options *o)
{
    char text[NN_WRITE_STOPS * 12 + 2] = "[";
    size_t at = 1;

    if (tok && nn_tok_bos(tok) >= 0) put_size(s, "bos_token_id", (size_t)nn_tok_bos(tok));
    if (tok && nn_tok_pad(tok) >= 0) put_size(s, "pad_token_id", (size_t)nn_tok_pad(tok));
    for (size_t i = 0; i < o->n_stop; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%" PRId32, i ? ", " : "", o->stop[i]);
    if (o->n_stop > 1) snprintf(text + at, sizeof text - at, "]");
    if (o->n_stop > 0) put_raw(s, "eos_token_id", o->n_stop > 1 ? text : text + 1);
    else if (tok && nn_tok_eos(tok) >= 0) put_size(s, "eos_token_id", (size_t)nn_tok_eos(tok));
}

static void put_sizes(nn_sink *s, const nn_config *c)
{
    put_size(s, "vocab_size", c->vocab);
    put_size(s, "hidden_size", c->width);
    put_size(s, "intermediate_size", c->ff);
    put_size(s, "num_hidden_layers", c->layers);
    put_size(s, "num_attention_heads", c->heads);
    put_size(s, "num_key_value_heads", c->kv_heads);
    put_size(s, "head_dim", c->head_dim);
    put_size(s, "max_position_embeddings", c->max_t);
}

static void put_window(nn_sink *s, const nn_config *c, const char *arch)
{
    if (c->sliding_window) put_size(s, "sliding_window", c->sliding_window);
    if (strncmp(arch, "qwen", 4) != 0) return;
    put_raw(s, "use_sliding_window", c->sliding_window ? "true" : "false");
    if (c->sliding_window) put_size(s, "max_window_layers", 0);
}

/* Of the matrices, as PyTorch calls it: what a loader makes of all of them. */
static const char *torch_type(const nn_write_plan *p)
{
    nn_dtype type = NN_DTYPE_OTHER;

    for (size_t i = 0; i < p->n; i++) {
        if (nn_write_is_vector(&p->tensor[i].from)) continue;
        if (type != NN_DTYPE_OTHER && type != p->tensor[i].type) return "float32";
        type = p->tensor[i].type;
    }
    return type == NN_F16 ? "float16" : type == NN_BF16 ? "bfloat16" : "float32";
}

static nn_status write_config(const char *folder, const nn_write_plan *p, const nn_tok *tok, const nn_write_options *o,
                              nn_err *err)
{
    static const struct {
        const char *arch, *of;
    } classes[] = {{"llama", "[\"LlamaForCausalLM\"]"}, {"mistral", "[\"MistralForCausalLM\"]"},
                   {"qwen2", "[\"Qwen2ForCausalLM\"]"}, {"qwen3", "[\"Qwen3ForCausalLM\"]"}};
    const nn_config *c = nn_model_config(p->m);
    const char *arch = nn_write_architecture(c);
    nn_sink s = {0};
    nn_status st;

    nn_sink_str(&s, "{\n");
    for (size_t i = 0; i < 4; i++)
        if (strcmp(classes[i].arch, arch) == 0) put_raw(&s, "architectures", classes[i].of);
    put_text(&s, "model_type", arch);
    put_text(&s, "torch_dtype", torch_type(p));
    put_sizes(&s, c);
    put_text(&s, "hidden_act", "silu");
    if (strcmp(arch, "llama") == 0 || strcmp(arch, "qwen3") == 0) put_raw(&s, "attention_bias", "false");
    put_float(&s, "rms_norm_eps", c->norm_eps);
    put_float(&s, "rope_theta", c->rope_theta);
    if ((st = put_scaling(&s, c, err)) != NN_OK) {
        nn_sink_free(&s);
        return st;
    }
    put_window(&s, c, arch);
    put_raw(&s, "tie_word_embeddings", c->tied || !c->lm_head ? "true" : "false");
    put_ids(&s, tok, o);
    return end_object(&s, folder, CONFIG, err);
}

static nn_status write_generation(const char *folder, const nn_tok *tok, const nn_write_options *o, nn_err *err)
{
    nn_sink s = {0};

    if (!tok && o->n_stop == 0) return NN_OK;
    nn_sink_str(&s, "{\n");
    put_ids(&s, tok, o);
    if (s.len <= 2) { /* a tokenizer without any of them */
        nn_sink_free(&s);
        return NN_OK;
    }
    return end_object(&s, folder, GENERATION, err);
}

/* --- weights -------------------------------------------------------------------------------------------------- */

/* Floats first: then every tensor begins where its numbers may be read whole. */
static nn_status sort_by_width(nn_write_plan *p, nn_err *err)
{
    nn_write_tensor *sorted = NULL;
    size_t n = 0;
    const nn_status st = nn_alloc((void **)&sorted, p->n, sizeof *sorted, err);

    if (st != NN_OK) return st;
    for (int wide = 1; wide >= 0; wide--)
        for (size_t i = 0; i < p->n; i++)
            if ((p->tensor[i].type == NN_F32) == wide) sorted[n++] = p->tensor[i];
    memcpy(p->tensor, sorted, n * sizeof *sorted);
    nn_free(sorted);
    return NN_OK;
}

static nn_status write_head(nn_file_out *f, const nn_write_plan *p, nn_err *err)
{
    static const nn_st_pair meta = {"format", "pt"}; /* transformers wants to be told */
    unsigned char *head = NULL;
    nn_st_plan *t = NULL;
    size_t len = 0;
    nn_status st;

    if ((st = nn_alloc((void **)&t, p->n, sizeof *t, err)) != NN_OK) return st;
    for (size_t i = 0; i < p->n; i++) {
        const nn_tensor *from = &p->tensor[i].from;

        t[i] = (nn_st_plan){from->name, nn_write_is_vector(from) ? 0 : from->rows, from->cols, p->tensor[i].type};
    }
    if ((st = nn_st_head(&head, &len, t, p->n, &meta, 1, err)) == NN_OK) st = nn_file_out_put(f, head, len, err);
    nn_free(head);
    nn_free(t);
    return st;
}

static nn_status drop_files(const char *folder, const char *const *name, nn_err *err)
{
    char path[PATH_CAP];

    for (; *name; name++) {
        snprintf(path, sizeof path, "%s/%s", folder, *name);
        if (nn_path_exists(path) && remove(path) != 0)
            return nn_fail(err, NN_FILE, "%s: cannot remove what is another model's, want a folder without it", path);
    }
    return NN_OK;
}

/* config.json first: what is left when this is cut short is no model. */
static nn_status drop_old(const char *folder, nn_err *err)
{
    static const char *const names[] = {CONFIG, GENERATION, "model.safetensors.index.json", NULL};
    const nn_status st = drop_files(folder, names, err);

    return st == NN_OK ? drop_files(folder, tokenizer_files, err) : st;
}

static nn_status write_weights(const char *folder, const nn_write_plan *p, nn_err *err)
{
    char path[PATH_CAP];
    nn_file_out *f = NULL;
    nn_status st;

    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if ((st = nn_file_out_open(&f, path, err)) != NN_OK) return st;
    if ((st = write_head(f, p, err)) == NN_OK && (st = nn_write_data(f, p, 1, err)) == NN_OK &&
        (st = drop_old(folder, err)) == NN_OK)
        st = nn_file_out_commit(f, err);
    nn_file_out_close(f);
    return st;
}

/* Refused before anything is written. */
static nn_status check(const nn_config *c, const char *folder, const nn_write_options *o, nn_err *err)
{
    nn_sink s = {0};
    nn_status st = NN_OK;

    if (strlen(folder) > PATH_CAP - 64)
        st = nn_fail(err, NN_USAGE, "%.80s...: a path of %zu bytes, want at most %d", folder, strlen(folder),
                     PATH_CAP - 64);
    else if (o->labels || o->llama_cpp)
        st = nn_fail(err, NN_USAGE, "%s: a folder, want a GGUF file for llama.cpp", folder);
    else
        st = put_scaling(&s, c, err);
    nn_sink_free(&s);
    return st;
}

nn_status nn_model_write_hf(const char *folder, const nn_model *m, const nn_tok *tok, const nn_write_options *o,
                            nn_err *err)
{
    nn_write_plan p = {0};
    nn_status st;

    if ((st = nn_write_plan_make(&p, m, o, NN_ROPE_HALF, false, err)) != NN_OK) goto done;
    if ((st = check(nn_model_config(m), folder, o, err)) != NN_OK) goto done;
    if ((st = sort_by_width(&p, err)) != NN_OK) goto done;
    if ((st = nn_dir_make(folder, err)) != NN_OK) goto done;
    if ((st = write_weights(folder, &p, err)) != NN_OK) goto done;
    if ((st = write_generation(folder, tok, o, err)) != NN_OK) goto done;
    st = write_config(folder, &p, tok, o, err);
done:
    nn_write_plan_free(&p);
    return st;
}

/* --- the tokenizer's files -------------------------------------------------------------------------------------- */

static nn_status copy_file(const char *to, const char *from, const char *name, bool *found, nn_err *err)
{
    char path[PATH_CAP];
    nn_file f = {0};
    nn_status st;

    *found = false;
    if (snprintf(path, sizeof path, "%s/%s", from, name) >= PATH_CAP || !nn_path_exists(path)) return NN_OK;
    if ((st = nn_file_open(&f, path, err)) != NN_OK) return st;
    snprintf(path, sizeof path, "%s/%s", to, name);
    st = nn_file_write(path, f.bytes, f.len, err);
    nn_file_close(&f);
    *found = st == NN_OK;
    return st;
}

nn_status nn_model_copy_tokenizer(const char *to, const char *from, size_t *n, nn_err *err)
{
    nn_status st = NN_OK;

    *n = 0;
    for (const char *const *name = tokenizer_files; *name && st == NN_OK; name++) {
        bool found = false;

        st = copy_file(to, from, *name, &found, err);
        *n += found;
    }
    return st;
}
