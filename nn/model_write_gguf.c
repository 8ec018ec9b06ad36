/* model_write_gguf.c - a model as a GGUF file: the ggml project's published keys, llama.cpp's tensor names.
 *
 * Reads: model_write_impl.h, gguf.h, tok_gguf_write.h.   Read next: pretrained_gguf.c (which reads it back).
 * Rotary divisors that are all one number are rope.scaling.factor, others the tensor rope_freqs.weight; llama.cpp has
 * that tensor for llama alone, and sees no sliding window in any of these architectures.
 */
#include "nn/arena.h"
#include "nn/config_keys.h"
#include "nn/model_write_impl.h"
#include "nn/tok_gguf_write.h"
#include <stdio.h>
#include <string.h>

#define POOLING_RANK 4u /* llama.cpp's enum llama_pooling_type: the classifier's head reads the last position */

/* --- keys ----------------------------------------------------------------------------------------------------- */

static const char *architecture_of(const nn_config *c)
{
    const char *arch = nn_write_architecture(c);

    return strcmp(arch, "mistral") == 0 ? "llama" : arch;
}

static void put_config(nn_gguf_writer *w, const nn_config *c, const char *arch)
{
    static const nn_config_key keys[] = {NN_KEY_VOCAB,        NN_KEY_CONTEXT,   NN_KEY_WIDTH, NN_KEY_LAYERS, NN_KEY_FF,
                                         NN_KEY_HEADS,        NN_KEY_KV_HEADS,  NN_KEY_KEY_LENGTH,
                                         NN_KEY_VALUE_LENGTH, NN_KEY_ROPE_DIMS, NN_KEY_EPS,   NN_KEY_THETA,
                                         NN_KEY_WINDOW};
    const float factor = nn_write_linear(c);
    char key[96];

    nn_gguf_put_config(w, c, arch, keys, sizeof keys / sizeof *keys);
    if (!(factor > 1.0f || (factor > 0.0f && factor < 1.0f))) return;
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    nn_gguf_put_str(w, key, "linear");
    snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
    nn_gguf_put_f32(w, key, factor);
}

/* llama.cpp's number of a whole file's type, where all matrices have one that it counts. */
static void put_file_type(nn_gguf_writer *w, const nn_write_plan *p)
{
    static const struct {
        nn_dtype type;
        uint32_t number;
    } known[] = {{NN_F32, 0}, {NN_F16, 1}, {NN_Q4_0, 2}, {NN_Q8_0, 7}, {NN_BF16, 32}};
    const nn_dtype type = p->tensor[0].type;
    bool blocks = false, same = true;

    for (size_t i = 0; i < p->n; i++) {
        const nn_tensor *from = &p->tensor[i].from;

        blocks = blocks || nn_dtype_block(p->tensor[i].type) > 1;
        same = same && (nn_write_is_vector(from) || nn_write_is_verdict(from) || p->tensor[i].type == type);
    }
    for (size_t i = 0; same && i < sizeof known / sizeof *known; i++)
        if (known[i].type == type) nn_gguf_put_u32(w, "general.file_type", known[i].number);
    if (blocks) nn_gguf_put_u32(w, "general.quantization_version", 2);
}

static void put_labels(nn_gguf_writer *w, const char *arch)
{
    static const char *const label[] = {"safe", "unsafe"};
    char key[96];

    snprintf(key, sizeof key, "%s.pooling_type", arch);
    nn_gguf_put_u32(w, key, POOLING_RANK);
    snprintf(key, sizeof key, "%s.classifier.output_labels", arch);
    nn_gguf_put_strs(w, key, label, NULL, 2);
}

/* --- tokenizer ------------------------------------------------------------------------------------------------ */

static nn_status put_chat(nn_gguf_writer *w, const nn_write_options *o, nn_err *err)
{
    char *text = NULL;
    const nn_status st = nn_alloc((void **)&text, o->chat_len + 1, 1, err);

    if (st != NN_OK) return st;
    memcpy(text, o->chat, o->chat_len);
    nn_gguf_put_str(w, "tokenizer.chat_template", text);
    nn_free(text);
    return NN_OK;
}

static nn_status put_tokenizer(nn_gguf_writer *w, const nn_tok *tok, const nn_write_options *o, nn_err *err)
{
    static const char *const keys[NN_WRITE_STOPS_GGUF] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    size_t n = 0;
    nn_status st;

    if ((st = nn_tok_put_gguf_plain(w, tok, err)) != NN_OK) return st;
    for (size_t i = 0; i < o->n_stop && n < NN_WRITE_STOPS_GGUF; i++)
        if (o->stop[i] != nn_tok_eos(tok)) nn_gguf_put_u32(w, keys[n++], (uint32_t)o->stop[i]);
    return o->chat ? put_chat(w, o, err) : NN_OK;
}

/* --- what llama.cpp would get wrong ----------------------------------------------------------------------------- */

static nn_status check_llama_cpp(const nn_config *c, const char *arch, const nn_tok *tok, nn_err *err)
{
    if (!tok) return nn_fail(err, NN_USAGE, "model: no tokenizer, want one: llama.cpp does not load a file without");
    if (c->sliding_window && c->sliding_window < c->max_t)
        return nn_fail(err, NN_USAGE, "model: a sliding window of %zu positions, want none: llama.cpp would attend to "
                       "all %zu", c->sliding_window, c->max_t);
    if (nn_write_linear(c) == 0.0f && strcmp(arch, "llama") != 0)
        return nn_fail(err, NN_USAGE, "model: rotary frequencies divided each by its own number, want one factor: "
                       "llama.cpp has no rope_freqs.weight for %s", arch);
    if (nn_tok_vocab(tok) != c->vocab)
        return nn_fail(err, NN_USAGE, "model: %zu rows of embedding for %zu tokens, want as many: llama.cpp counts the "
                       "tokens", c->vocab, nn_tok_vocab(tok));
    return NN_OK;
}

static nn_status check_labels(const nn_config *c, nn_err *err)
{
    if (c->n_class == 2 && c->pool == NN_POOL_LAST && c->qk_norm) return NN_OK;
    if (c->n_class == 2 && c->pool != NN_POOL_LAST)
        return nn_fail(err, NN_USAGE, "verdict head: it reads mean and maximum of all positions (pool mean_max), want "
                       "pool last, which llama.cpp calls rank: of its poolings (none, mean, cls, last, rank) none has "
                       "a maximum, and no head follows its mean");
    return nn_fail(err, NN_USAGE, "verdict head: %s, want one of two rows on the last position of a qwen3: what "
                   "llama.cpp's classifiers read", c->n_class != 2 ? "there is none" : "the model is none");
}

/* --- the file ------------------------------------------------------------------------------------------------- */

/* Behind the model's: last, so that the first is the embedding. */
static void add_divisors(nn_write_plan *p)
{
    const nn_config *c = nn_model_config(p->m);
    nn_write_tensor *t = p->tensor + p->n;

    if (nn_write_linear(c) > 0.0f) return;
    memcpy(p->divisor, c->rope_divisor, sizeof p->divisor);
    *t = (nn_write_tensor){.type = NN_F32};
    snprintf(t->from.name, sizeof t->from.name, "rope_freqs.weight");
    snprintf(t->from.gguf, sizeof t->from.gguf, "rope_freqs.weight");
    t->from.data = p->divisor;
    t->from.rows = 1;
    t->from.cols = c->head_dim / 2;
    p->n++;
}

static nn_status put_all(nn_gguf_writer *w, const nn_write_plan *p, const nn_tok *tok, const nn_write_options *o,
                         nn_err *err)
{
    const nn_config *c = nn_model_config(p->m);
    const char *arch = architecture_of(c);

    nn_gguf_put_str(w, "general.architecture", arch);
    if (o->name) nn_gguf_put_str(w, "general.name", o->name);
    put_file_type(w, p);
    put_config(w, c, arch);
    if (o->labels) put_labels(w, arch);
    const nn_status st = tok ? put_tokenizer(w, tok, o, err) : NN_OK;
    for (size_t i = 0; i < p->n; i++) {
        const nn_write_tensor *t = p->tensor + i;

        nn_gguf_plan_tensor(w, t->from.gguf, t->type, nn_write_is_vector(&t->from) ? 0 : t->from.rows, t->from.cols);
    }
    return st;
}

nn_status nn_model_write_gguf(const char *path, const nn_model *m, const nn_tok *tok, const nn_write_options *o,
                              nn_err *err)
{
    const nn_config *c = nn_model_config(m);
    const bool half = c->qk_norm || c->qkv_bias;
    const unsigned char *head = NULL;
    size_t len = 0, align = 0;
    nn_gguf_writer *w = NULL;
    nn_file_out *f = NULL;
    nn_write_plan p = {0};
    nn_status st;

    if ((st = nn_write_plan_make(&p, m, o, half ? NN_ROPE_HALF : NN_ROPE_PAIRS, true, err)) != NN_OK) goto done;
    if (o->labels && (st = check_labels(c, err)) != NN_OK) goto done;
    if (o->llama_cpp && (st = check_llama_cpp(c, architecture_of(c), tok, err)) != NN_OK) goto done;
    add_divisors(&p);
    if ((st = nn_gguf_writer_build(&w, err)) != NN_OK) goto done;
    if ((st = put_all(w, &p, tok, o, err)) != NN_OK) goto done;
    if ((st = nn_gguf_head(w, &head, &len, &align, err)) != NN_OK) goto done;
    if ((st = nn_file_out_open(&f, path, err)) != NN_OK) goto done;
    if ((st = nn_file_out_put(f, head, len, err)) != NN_OK) goto done;
    if ((st = nn_write_data(f, &p, align, err)) != NN_OK) goto done;
    st = nn_file_out_commit(f, err);
done:
    nn_file_out_close(f);
    nn_gguf_writer_free(w);
    nn_write_plan_free(&p);
    return st;
}
