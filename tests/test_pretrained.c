/* Models that others trained, from GGUF and llama2.c files: the oracle's loss and the story from every format; files of
 * our own making, right and wrong. */
#include "nn/arena.h"
#include "nn/decode.h"
#include "tests/support.h"
#include "tests/test_pretrained_support.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XS "fixtures/llama2xs/"

/* Mean loss of the oracle's ids under the model of a file. */
static double oracle_loss(const char *name, bool floats)
{
    static int32_t ids[256];
    static float logprob[256];
    json_error_t where;
    nn_pretrained *p = NULL;
    nn_state *s = NULL;
    nn_exec x;
    nn_err err = {NN_OK, ""};
    double sum = 0.0;

    json_t *root = json_load_file(shared_path(XS "train_oracle.json"), 0, &where);
    cr_assert(root, "%s", where.text);
    const json_t *list = json_object_get(root, "ids");
    const size_t n = json_array_size(list);
    cr_assert(n <= 256);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    nn_model *m = load_model_at(&p, shared_path(name), floats, 256);
    expect_ok(nn_exec_open(&x, NULL, 1, 256, &err), &err);
    expect_ok(nn_state_build(&s, m, n, 1, &err), &err);
    const size_t start[2] = {0, n};
    const nn_batch b = {ids, {start, 1}, NULL, NULL};
    nn_state_logprob(m, s, &x, &b, logprob);
    for (size_t i = 1; i < n; i++) sum -= (double)logprob[i];
    nn_state_free(s);
    nn_exec_free(&x);
    nn_model_free(m);
    nn_pretrained_close(p);
    json_decref(root);
    return sum / (double)(n - 1);
}

Test(pretrained, every_format_has_the_loss_of_pytorch)
{
    static const struct {
        const char *name;
        double tol; /* of the loss of the float weights: what the storage type costs */
    } file[] = {{XS "model.bin", 1e-6}, {XS "llama2xs_f32.gguf", 1e-6},
                {"fixtures/hf/llama2xs-f32", 1e-6}, {"fixtures/hf/llama2xs-bf16", 5e-3},
                {XS "llama2xs_F16.gguf", 2e-4},
                {XS "llama2xs_BF16.gguf", 5e-3}, {XS "llama2xs_Q8_0.gguf", 2e-2}};

    skip_unless_fixture(XS "train_oracle.json");
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        const double loss = oracle_loss(file[i].name, true), stored = oracle_loss(file[i].name, false);
        cr_expect(fabs(loss - 0.928744967) < file[i].tol, "%s: loss %.9f", file[i].name, loss);
        cr_expect(loss == stored, "%s: %.17g as floats, %.17g where it lies", file[i].name, loss, stored);
    }
}

/* --- the story --------------------------------------------------------------------------------------------------- */

#define STORIES "fixtures/stories260K/"

/* Greedy text of 200 tokens after BOS; returns its length. Stored weights with the rounding of the program that made
 * the text: exact sums over the BF16 weights prefer another token at step 185, by 0.002. */
static size_t tell(char *text, const char *name, bool floats)
{
    enum { NEW = 200 };
    nn_pretrained *p = NULL;
    nn_model *m = load_model_at(&p, shared_path(name), floats, 0);
    nn_tok *tok = NULL;
    nn_decoder *d = NULL;
    nn_tok_stream s;
    nn_exec x;
    nn_err err = {NN_OK, ""};
    nn_sampler greedy = nn_sampler_default();
    int32_t out[NEW];
    size_t len = 0;

    expect_ok(nn_pretrained_tok(&tok, p, NULL, &err), &err);
    const int32_t bos = nn_tok_bos(tok);
    cr_expect_eq(bos, 1);
    nn_decode_row row = {.prompt = &bos, .n_prompt = 1, .max_new = NEW, .out = out};
    expect_ok(nn_exec_open(&x, NULL, 1, nn_model_config(m)->max_t, &err), &err);
    expect_ok(nn_decoder_build(&d, m, 1, &err), &err);
    nn_decoder_round_inputs(d, !floats);
    greedy.temperature = 0.0f;
    nn_decode_batch(m, d, &x, &row, 1, &greedy, NULL, NULL);
    nn_tok_stream_init(&s, tok);
    for (size_t i = 0; i < row.n_out; i++) len += nn_tok_stream_add(&s, text + len, out[i]);
    len += nn_tok_stream_end(&s, text + len);
    nn_decoder_free(d);
    nn_exec_free(&x);
    nn_tok_free(tok);
    nn_model_free(m);
    nn_pretrained_close(p);
    return len;
}

Test(pretrained, story_is_told_byte_for_byte_from_every_format)
{
    static const char *const file[] = {"stories260K.bin", "stories260K.gguf", "stories260K_F16.gguf",
                                       "stories260K_BF16.gguf"};
    static char text[65536];
    size_t want_len = 0;

    skip_unless_fixture(STORIES "expected_greedy_200.txt");
    char *want = read_bytes(shared_path(STORIES "expected_greedy_200.txt"), &want_len);
    for (size_t i = 0; i < 2 * (sizeof file / sizeof *file); i++) {
        char name[64];

        if (i == 7) continue; /* BF16 as floats: see above */
        snprintf(name, sizeof name, STORIES "%s", file[i / 2]);
        const size_t len = tell(text, name, i % 2 == 1);
        cr_expect(len == want_len && memcmp(text, want, want_len) == 0, "%s: %.*s", name, (int)len, text);
    }
    free(want);
}

Test(pretrained, tokenizer_must_fit_the_model)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    skip_unless_fixture(STORIES "stories260K.gguf");
    nn_pretrained *p = open_model_at(shared_path(STORIES "stories260K.gguf"));
    int32_t stop[4];
    cr_expect(nn_pretrained_stops(p, stop, 4) == 1 && stop[0] == 2);
    expect_ok(nn_pretrained_tok(&t, p, shared_path(STORIES "tok512.bin"), &err), &err);
    cr_expect_eq(nn_tok_vocab(t), 512);
    nn_tok_free(t);
    const char *large = shared_path("fixtures/tokenizer/ggml-vocab-llama-spm.gguf");
    expect_fails(nn_pretrained_tok(&t, p, large, &err), NN_FILE, &err, "want at most the 512");
    cr_expect(t == NULL);
    nn_pretrained_close(p);
}

/* --- GGUF ----------------------------------------------------------------------------------------------------------
 * */

static nn_config small(nn_rope_order rope, bool tied)
{
    nn_config c = nn_config_default();

    c.vocab = 48;
    c.layers = 2;
    c.width = 32;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 16;
    c.ff = 56;
    c.max_t = 64;
    c.norm_eps = 1e-5f;
    c.qk_norm = false;
    c.rope = rope;
    c.tied = tied;
    return c;
}

typedef void (*edit_fn)(nn_gguf_writer *w);

static void put_sizes(nn_gguf_writer *w, const char *arch, const nn_config *c)
{
    const struct {
        const char *key;
        size_t value;
    } size[] = {{"block_count", c->layers},
                {"context_length", c->max_t},
                {"embedding_length", c->width},
                {"feed_forward_length", c->ff},
                {"attention.head_count", c->heads},
                {"attention.head_count_kv", c->kv_heads},
                {"attention.key_length", c->head_dim},
                {"attention.value_length", c->head_dim}};
    char key[96];

    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, size[i].key);
        nn_gguf_put_u32(w, key, (uint32_t)size[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    nn_gguf_put_f32(w, key, c->norm_eps);
}

/* A GGUF file of c with weights by the formula; edit adds keys and tensors. */
static const char *gguf_of(const char *arch, const nn_config *c, const paper_model *m, edit_fn edit)
{
    const char *path = path_in(temp_dir(), "m.gguf");
    nn_gguf_writer *w = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    nn_gguf_put_str(w, "general.architecture", arch);
    put_sizes(w, arch, c);
    if (edit) edit(w);
    for (size_t i = 0; i < m->n; i++)
        nn_gguf_put_tensor(w, m->gguf[i], NN_F32, m->t[i].data, m->t[i].rows, m->t[i].cols);
    expect_ok(nn_gguf_save(w, path, &err), &err);
    nn_gguf_writer_free(w);
    return path;
}

/* Logits of the file equal those of the same weights without a file. */
static void expect_same_logits(const char *path, const nn_config *c, const paper_model *w)
{
    static const int32_t ids[12] = {1, 7, 47, 3, 3, 9, 20, 31, 12, 0, 5, 40};
    nn_pretrained *p = NULL;
    nn_model *m = load_model_at(&p, path, false, 0), *direct = paper_model_of(w, c);
    float *got = logits_of(m, ids, 12), *want = logits_of(direct, ids, 12);

    expect_same_floats(path, got, want, 12 * c->vocab);
    nn_model_free(direct);
    nn_model_free(m);
    nn_pretrained_close(p);
}

static void put_llama(nn_gguf_writer *w)
{
    static const float divisor[8] = {1.0f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 8.0f, 8.0f};

    nn_gguf_put_f32(w, "llama.rope.freq_base", 500000.0f);
    nn_gguf_put_u32(w, "llama.attention.sliding_window", 5);
    nn_gguf_put_u32(w, "llama.rope.dimension_count", 16);
    nn_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 4);
    nn_gguf_put_u32(w, "tokenizer.ggml.eot_token_id", 6);
    nn_gguf_put_str(w, "tokenizer.chat_template", "{{ a }}");
    nn_gguf_put_tensor(w, "rope_freqs.weight", NN_F32, divisor, 0, 8);
}

static void put_qwen2(nn_gguf_writer *w)
{
    nn_gguf_put_f32(w, "qwen2.rope.freq_base", 1e6f);
    nn_gguf_put_str(w, "qwen2.rope.scaling.type", "linear");
    nn_gguf_put_f32(w, "qwen2.rope.scaling.factor", 2.0f);
    nn_gguf_put_u32(w, "qwen2.vocab_size", 48);
}

Test(pretrained, gguf_of_each_architecture_is_computed_as_it_says)
{
    nn_config c = small(NN_ROPE_PAIRS, true);
    paper_model *w = paper_of(&c);
    size_t len = 0;
    int32_t stop[4];

    c.rope_theta = 500000.0f;
    c.sliding_window = 5;
    memcpy(c.rope_divisor, (float[8]){1.0f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 8.0f, 8.0f}, 8 * sizeof(float));
    const char *path = gguf_of("llama", &c, w, put_llama);
    expect_same_logits(path, &c, w);
    nn_pretrained *p = open_model_at(path);
    cr_expect(nn_pretrained_stops(p, stop, 4) == 2 && stop[0] == 4 && stop[1] == 6);
    cr_expect(strncmp(nn_pretrained_chat_template(p, &len), "{{ a }}", len) == 0 && len == 7);
    cr_expect(nn_pretrained_gguf(p) && strcmp(nn_pretrained_format(p), "GGUF") == 0);
    nn_pretrained_close(p);

    c = small(NN_ROPE_HALF, false);
    c.qkv_bias = true;
    w = paper_of(&c);
    c.rope_theta = 1e6f;
    for (size_t i = 0; i < 8; i++) c.rope_divisor[i] = 2.0f;
    expect_same_logits(gguf_of("qwen2", &c, w, put_qwen2), &c, w);

    c = small(NN_ROPE_HALF, true);
    c.qk_norm = true;
    w = paper_of(&c);
    expect_same_logits(gguf_of("qwen3", &c, w, NULL), &c, w);
}

static void put_experts(nn_gguf_writer *w) { nn_gguf_put_u32(w, "llama.expert_count", 8); }
static void put_yarn(nn_gguf_writer *w) { nn_gguf_put_str(w, "llama.rope.scaling.type", "yarn"); }
static void put_partial(nn_gguf_writer *w) { nn_gguf_put_u32(w, "llama.rope.dimension_count", 8); }
static void put_vocab(nn_gguf_writer *w) { nn_gguf_put_u32(w, "llama.vocab_size", 49); }
static void put_softcap(nn_gguf_writer *w) { nn_gguf_put_f32(w, "llama.final_logit_softcapping", 30.0f); }
static void put_scale(nn_gguf_writer *w) { nn_gguf_put_f32(w, "llama.embedding_scale", 12.0f); }
static void put_both_ways(nn_gguf_writer *w) { nn_gguf_put_bool(w, "llama.attention.causal", false); }
static void put_guard(nn_gguf_writer *w) { nn_gguf_put_u32(w, "guard.version", 1); }
static void put_extra(nn_gguf_writer *w)
{
    const float x[2] = {0.0f, 1.0f};

    nn_gguf_put_tensor(w, "blk.0.attn_output.bias", NN_F32, x, 0, 2);
}
static void put_freqs(nn_gguf_writer *w)
{
    const float x[8] = {1.0f, 1.0f, 0.0f};

    nn_gguf_put_tensor(w, "rope_freqs.weight", NN_F32, x, 0, 8);
}
static void put_i8(nn_gguf_writer *w)
{
    static const int8_t panels[64 * 32] = {0};

    nn_gguf_put_i8(w, "token_embd.weight", panels, 48, 32);
}

Test(pretrained, gguf_that_is_not_computed_is_refused_by_name)
{
    static const struct {
        edit_fn edit;
        const char *part;
    } bad[] = {{put_experts, "llama.expert_count"},
               {put_yarn, "llama.rope.scaling.type, want none or linear"},
               {put_partial, "llama.rope.dimension_count"},
               {put_vocab, "token_embd.weight: shape [48, 32], want [49, 32]"},
               {put_softcap, "final_logit_softcapping"},
               {put_scale, "embedding_scale"},
               {put_both_ways, "llama.attention.causal"},
               {put_guard, "a guard of this project"},
               {put_extra, "blk.0.attn_output.bias is none"},
               {put_freqs, "number 2 is not positive"}};
    const nn_config c = small(NN_ROPE_PAIRS, true);
    paper_model *w = paper_of(&c);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused_model(gguf_of("llama", &c, w, bad[i].edit), bad[i].part);
    expect_refused_model(gguf_of("gemma2", &c, w, NULL), "architecture gemma2");
    expect_refused_model(gguf_of("qwen2", &c, w, NULL), "blk.0.attn_q.bias is missing, want [64]");
    paper_drop(w, "model.embed_tokens.weight");
    expect_refused_model(gguf_of("llama", &c, w, NULL), "token_embd.weight is missing");
    expect_refused_model(gguf_of("llama", &c, w, put_i8), "token_embd.weight: ");
}

Test(pretrained, the_projects_own_files_are_recognised)
{
    expect_refused_model("data/guard.gguf", "a guard of this project, want `parapet check");
}

/* --- llama2.c ------------------------------------------------------------------------------------------------------
 * */

#define BIN_ROOM 131072u

typedef struct {
    unsigned char bytes[BIN_ROOM];
    size_t len;
} bin_file;

static void put_u32(bin_file *f, uint32_t v)
{
    for (size_t i = 0; i < 4; i++) f->bytes[f->len++] = (unsigned char)(v >> (8 * i));
}

static void put_floats(bin_file *f, const float *x, size_t n)
{
    cr_assert(f->len + 4 * n <= BIN_ROOM);
    for (size_t i = 0; i < n; i++) {
        uint32_t u;

        memcpy(&u, x + i, sizeof u);
        put_u32(f, u);
    }
}

/* One kind of tensor, of all layers. */
static void put_kind(bin_file *f, const paper_model *w, const nn_config *c, const char *gguf, bool in_layer)
{
    for (size_t l = 0; l < (in_layer ? c->layers : 1); l++) {
        char name[80];
        size_t i = 0;

        if (in_layer) snprintf(name, sizeof name, "blk.%zu.%s", l, gguf);
        else snprintf(name, sizeof name, "%s", gguf);
        while (strcmp(w->gguf[i], name) != 0) cr_assert(++i < w->n, "%s", name);
        put_floats(f, w->t[i].data, (w->t[i].rows ? w->t[i].rows : 1) * w->t[i].cols);
    }
}

static void put_numbers(bin_file *f, const nn_config *c, bool negative)
{
    const size_t n[] = {c->width, c->ff, c->layers, c->heads, c->kv_heads, c->vocab, c->max_t};

    for (size_t i = 0; i < 7; i++) put_u32(f, i == 5 && negative ? (uint32_t)-(int32_t)n[i] : (uint32_t)n[i]);
}

static bin_file *version_0(const nn_config *c, const paper_model *w)
{
    static const char *const first[] = {"attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight",
                                        "attn_output.weight", "ffn_norm.weight", "ffn_gate.weight", "ffn_down.weight",
                                        "ffn_up.weight"};
    static const float angles[64 * 8] = {0};
    bin_file *f = keep_bytes(sizeof *f);

    put_numbers(f, c, !c->tied);
    put_kind(f, w, c, "token_embd.weight", false);
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) put_kind(f, w, c, first[i], true);
    put_kind(f, w, c, "output_norm.weight", false);
    put_floats(f, angles, c->max_t * c->head_dim);
    if (!c->tied) put_kind(f, w, c, "output.weight", false);
    return f;
}

static bin_file *version_1(const nn_config *c, const paper_model *w)
{
    static const char *const last[] = {"attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight",
                                       "ffn_gate.weight", "ffn_down.weight", "ffn_up.weight"};
    bin_file *f = keep_bytes(sizeof *f);

    put_u32(f, 0x616b3432u);
    put_u32(f, 1);
    put_numbers(f, c, false);
    f->bytes[f->len] = c->tied;
    f->len = 256;
    put_kind(f, w, c, "attn_norm.weight", true);
    put_kind(f, w, c, "ffn_norm.weight", true);
    put_kind(f, w, c, "output_norm.weight", false);
    put_kind(f, w, c, "token_embd.weight", false);
    for (size_t i = 0; i < sizeof last / sizeof *last; i++) put_kind(f, w, c, last[i], true);
    if (!c->tied) put_kind(f, w, c, "output.weight", false);
    return f;
}

static const char *saved(const bin_file *f)
{
    const char *path = path_in(temp_dir(), "m.bin");

    write_bytes(path, f->bytes, f->len);
    return path;
}

Test(pretrained, llama2c_files_of_both_versions_hold_the_same_model)
{
    for (size_t tied = 0; tied < 2; tied++) {
        nn_config c = small(NN_ROPE_PAIRS, tied == 1);

        c.head_dim = 8;
        const paper_model *w = paper_of(&c);
        expect_same_logits(saved(version_0(&c, w)), &c, w);
        expect_same_logits(saved(version_1(&c, w)), &c, w);
    }
}

Test(pretrained, llama2c_file_must_be_as_long_as_its_numbers_say)
{
    nn_config c = small(NN_ROPE_PAIRS, true);
    nn_pretrained *p = NULL;

    c.head_dim = 8;
    const paper_model *w = paper_of(&c);
    bin_file *f = version_0(&c, w);
    for (size_t len = 0; len < f->len; len += len < 40 ? 1 : 997) {
        nn_err err = {NN_OK, ""};

        const nn_status st = nn_pretrained_open_memory(&p, f->bytes, len, "m.bin", &err);
        cr_expect(st == NN_FILE && !p, "%zu: %s", len, err.text);
    }
    for (size_t i = 0; i < 7; i++) { /* each number: 0, negative, other, 2^31 - 1 */
        static const uint32_t wrong[] = {0, 0x80000000u, 0xffffffffu, 3, 0x7fffffffu};
        unsigned char keep[4];

        memcpy(keep, f->bytes + 4 * i, 4);
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            nn_err err = {NN_OK, ""};

            for (size_t b = 0; b < 4; b++) f->bytes[4 * i + b] = (unsigned char)(wrong[k] >> (8 * b));
            cr_expect(nn_pretrained_open_memory(&p, f->bytes, f->len, "m.bin", &err) == NN_FILE && !p, "%zu %zu", i, k);
        }
        memcpy(f->bytes + 4 * i, keep, 4);
    }
    nn_err err = {NN_OK, ""};
    expect_fails(nn_pretrained_open_memory(&p, f->bytes, f->len + 4, "m.bin", &err), NN_FILE, &err, "m.bin: byte 28: ");
    f = version_1(&c, w);
    f->bytes[4] = 2;
    err = (nn_err){NN_OK, ""};
    expect_fails(nn_pretrained_open_memory(&p, f->bytes, f->len, "m.bin", &err), NN_FILE, &err, "version 2 (int8)");
    err = (nn_err){NN_OK, ""};
    expect_fails(nn_pretrained_open_memory(&p, "hello, world", 12, "m.bin", &err), NN_FILE, &err, "m.bin");
}
