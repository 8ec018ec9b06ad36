/* cmd_inspect_model.c - a model that somebody trained and that we run: configuration, tokenizer, memory.
 *
 * Reads: cmd_inspect.h, chat.h, nn/decode.h, nn/trainer.h.
 */
#include "guard/chat.h"
#include "guard/cmd_inspect.h"
#include "nn/decode.h"
#include "nn/sha256.h"
#include "nn/trainer.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- configuration ------------------------------------------------------------------------------------------ */

static bool has_divisors(const nn_config *c)
{
    for (size_t i = 0; i < c->head_dim / 2; i++)
        if (c->rope_divisor[i] != 0.0f && c->rope_divisor[i] != 1.0f) return true;
    return false;
}

static void write_config(inspection *r, const nn_config *c)
{
    inspect_begin(r, "configuration");
    inspect_u64(r, "layers", c->layers);
    inspect_u64(r, "width", c->width);
    inspect_u64(r, "heads", c->heads);
    inspect_u64(r, "kv_heads", c->kv_heads);
    inspect_u64(r, "head_dim", c->head_dim);
    inspect_u64(r, "feed_forward", c->ff);
    inspect_u64(r, "vocabulary", c->vocab);
    inspect_u64(r, "context", c->max_t);
    if (c->sliding_window) inspect_u64(r, "sliding_window", c->sliding_window);
    inspect_text(r, "rope_order", c->rope == NN_ROPE_HALF ? "half" : "pairs");
    inspect_float(r, "rope_theta", (double)c->rope_theta);
    inspect_bool(r, "rope_scaled", has_divisors(c));
    inspect_float(r, "norm_eps", (double)c->norm_eps);
    inspect_bool(r, "qk_norm", c->qk_norm);
    inspect_bool(r, "qkv_bias", c->qkv_bias);
    inspect_bool(r, "tied_output", c->tied);
    inspect_u64(r, "parameters", nn_config_params(c));
    inspect_u64(r, "parameters_of_a_token", nn_config_active_params(c));
    inspect_end(r);
}

/* --- tokenizer -------------------------------------------------------------------------------------------------- */

static void write_special(inspection *r, const char *key, const nn_tok *tok, int32_t id)
{
    char spelling[256];

    if (id < 0) return;
    const size_t len = nn_tok_spelling(tok, id, spelling, sizeof spelling);
    inspect_begin(r, key);
    inspect_u64(r, "id", (uint64_t)id);
    inspect_str(r, "spelling", spelling, len < sizeof spelling ? len : sizeof spelling);
    inspect_end(r);
}

void inspect_tokenizer(inspection *r, const nn_tok *tok)
{
    size_t n_control = 0;

    for (size_t i = 0; i < nn_tok_vocab(tok); i++) n_control += nn_tok_is_control(tok, (int32_t)i);
    inspect_text(r, "kind", nn_tok_kind(tok));
    inspect_u64(r, "ids", nn_tok_vocab(tok));
    inspect_u64(r, "control_ids", n_control);
    write_special(r, "bos", tok, nn_tok_bos(tok));
    write_special(r, "eos", tok, nn_tok_eos(tok));
    write_special(r, "pad", tok, nn_tok_pad(tok));
    inspect_bool(r, "adds_bos", nn_tok_adds_bos(tok));
    inspect_bool(r, "adds_eos", nn_tok_adds_eos(tok));
}

static void write_chat(inspection *r, const nn_pretrained *p)
{
    const guard_chat *chat = NULL;
    size_t len = 0;
    const char *text = nn_pretrained_chat_template(p, &len);
    char hex[NN_SHA256_HEX];

    if (!text) {
        inspect_text(r, "chat_format", "none");
    } else if (guard_chat_of_template(&chat, text, len, NULL) == NN_OK) {
        inspect_text(r, "chat_format", guard_chat_name(chat));
    } else {
        inspect_text(r, "chat_format", "unknown: use --chat NAME");
        nn_sha256_hex(text, len, hex);
        inspect_text(r, "chat_template_sha256", hex);
    }
}

static void write_tokenizer(inspection *r, const nn_pretrained *p)
{
    nn_tok *tok = NULL;
    nn_err err = {0};
    int32_t stop[16];

    inspect_begin(r, "tokenizer");
    if (nn_pretrained_tok(&tok, p, NULL, &err) == NN_OK) inspect_tokenizer(r, tok);
    else inspect_text(r, "problem", err.text);
    for (size_t i = 0, n = nn_pretrained_stops(p, stop, 16); i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "stop_%zu", i);
        inspect_u64(r, key, (uint64_t)stop[i]);
    }
    write_chat(r, p);
    inspect_end(r);
    nn_tok_free(tok);
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

static uint64_t mapped_bytes(const nn_pretrained *p)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < nn_pretrained_tensors(p); i++) {
        const nn_st_tensor t = nn_pretrained_tensor(p, i);
        sum += nn_dtype_bytes(t.type, t.count);
    }
    return sum;
}

/* One text of max_t tokens, as generate draws it. */
static uint64_t run_bytes(const nn_pretrained *p, size_t max_t)
{
    const nn_load_options o = {.max_t = max_t};
    nn_config c = *nn_pretrained_config(p);

    c.max_t = max_t;
    return nn_pretrained_bytes(p, &o) + nn_decoder_bytes(&c, 1);
}

/* All weights as floats, gradients, moments and activations of one text of max_t tokens at a time. */
static uint64_t train_bytes(const nn_pretrained *p, size_t max_t)
{
    const nn_load_options o = {.floats = true, .max_t = max_t};
    nn_config c = *nn_pretrained_config(p);

    c.max_t = max_t;
    return nn_pretrained_bytes(p, &o) + nn_trainer_bytes(&c, (nn_trainer_options){.max_rows = max_t, .max_seg = 1});
}

static void write_memory(inspection *r, const nn_pretrained *p)
{
    const size_t context = nn_pretrained_config(p)->max_t, at[] = {256, 2048, context};
    char key[48];

    inspect_begin(r, "memory");
    inspect_bytes(r, "mapped", mapped_bytes(p));
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        if (at[i] > context || (i < 2 && at[i] == context)) continue;
        snprintf(key, sizeof key, "run_%zu_tokens", at[i]);
        inspect_bytes(r, key, run_bytes(p, at[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        if (i > 0 && at[i] > context) continue;
        const size_t tokens = at[i] < context ? at[i] : context;
        snprintf(key, sizeof key, "train_%zu_tokens", tokens);
        inspect_bytes(r, key, train_bytes(p, tokens));
    }
    inspect_end(r);
}

/* --- config.json ----------------------------------------------------------------------------------------------- */

void inspect_config_json(inspection *r, const char *path)
{
    char name[1200];
    const char *key;
    json_t *value;

    snprintf(name, sizeof name, "%s/config.json", path);
    json_t *config = json_load_file(name, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(config)) {
        inspect_begin(r, "metadata");
        json_object_foreach(config, key, value)
        {
            char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
            if (json_is_string(value)) inspect_str(r, key, json_string_value(value), json_string_length(value));
            else if (json_is_integer(value) && json_integer_value(value) >= 0)
                inspect_u64(r, key, (uint64_t)json_integer_value(value));
            else if (text) inspect_str(r, key, text, strlen(text));
            free(text);
        }
        inspect_end(r);
    }
    json_decref(config);
}

/* --- together ----------------------------------------------------------------------------------------------------- */

nn_status inspect_pretrained(inspection *r, const nn_pretrained *p, nn_err *err)
{
    inspect_sums sums = {0};

    inspect_text(r, "format", nn_pretrained_format(p));
    inspect_str(r, "architecture", nn_pretrained_architecture(p), strlen(nn_pretrained_architecture(p)));
    write_config(r, nn_pretrained_config(p));
    write_tokenizer(r, p);
    write_memory(r, p);
    if (nn_pretrained_gguf(p)) inspect_metadata(r, nn_pretrained_gguf(p));
    else inspect_config_json(r, nn_pretrained_path(p));
    inspect_tensors_begin(r);
    for (size_t i = 0; i < nn_pretrained_tensors(p); i++) {
        const nn_st_tensor t = nn_pretrained_tensor(p, i);
        inspect_tensor(r, &t, &sums);
    }
    inspect_tensors_end(r, &sums);
    return guard_buf_status(&r->out, err);
}
