#include "tests/test_foreign.h"
#include "nn/gguf.h"
#include "nn/rng.h"
#include "nn/tok_gguf_write.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include <stdio.h>
#include <string.h>

static const char *const words[] = {"safe", "unsafe", "river", "garden", "stone", "bread", "zorn", "blick", "corn"};
static const char *const controls[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};
enum { WORDS = sizeof words / sizeof *words, CONTROLS = sizeof controls / sizeof *controls };

static void add(nn_vocab *v, const char *text, size_t len, float score, nn_piece_type type)
{
    nn_err err = {NN_OK, ""};

    expect_ok(nn_vocab_add(v, text, len, score, type, &err), &err);
}

static int32_t id_of(const nn_vocab *v, const char *text, size_t len)
{
    for (size_t id = 0; id < v->n; id++)
        if (v->piece[id].type == NN_PIECE_NORMAL && v->piece[id].len == len &&
            memcmp(v->piece[id].text, text, len) == 0)
            return (int32_t)id;
    return -1;
}

/* The beginnings of a word as pieces; in BPE each is the merge of the one before and a letter. */
static void add_word(nn_vocab *v, const char *text, size_t first)
{
    const size_t len = strlen(text);
    nn_err err = {NN_OK, ""};

    for (size_t n = first + 1; n <= len; n++) {
        if (id_of(v, text, n) >= 0) continue;
        add(v, text, n, (float)n, NN_PIECE_NORMAL); /* longer ones first */
        if (v->model != NN_TOK_BPE) continue;
        const int32_t left = id_of(v, text, n - 1), right = id_of(v, text + n - 1, 1);
        expect_ok(nn_vocab_add_merge(v, left, right, (int32_t)v->n - 1, &err), &err);
    }
}

nn_tok *foreign_tok(nn_tok_model model, bool bos)
{
    const char *const blank = model == NN_TOK_BPE ? " " : "\xe2\x96\x81";
    char text[32];
    nn_vocab v;
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    nn_vocab_init(&v);
    v.model = model;
    v.pre = NN_PRE_QWEN2;
    v.prefix_space = model != NN_TOK_BPE;
    add(&v, "<unk>", 5, 0.0f, NN_PIECE_UNKNOWN);
    for (size_t i = 0; i < CONTROLS; i++) add(&v, controls[i], strlen(controls[i]), 0.0f, NN_PIECE_CONTROL);
    v.piece[1].rstrip = v.piece[3].lstrip = true;
    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)(unsigned char)b;

        add(&v, &c, 1, 0.0f, model == NN_TOK_BPE ? NN_PIECE_NORMAL : NN_PIECE_BYTE);
    }
    if (model != NN_TOK_BPE) add(&v, blank, strlen(blank), -2.0f, NN_PIECE_NORMAL);
    for (char c = 'a'; model != NN_TOK_BPE && c <= 'z'; c++) add(&v, &c, 1, -3.0f, NN_PIECE_NORMAL);
    for (size_t i = 0; i < WORDS; i++) {
        snprintf(text, sizeof text, "%s%s", blank, words[i]);
        add_word(&v, text, strlen(blank)); /* before the words alone, so that BPE takes the blank first */
    }
    for (size_t i = 0; i < WORDS; i++) add_word(&v, words[i], 1);
    v.unk = 0;
    v.bos = 1;
    v.eos = 2;
    v.add_bos = bos;
    expect_ok(nn_tok_build(&t, &v, &err), &err);
    nn_vocab_free(&v);
    return t;
}

/* --- models ---------------------------------------------------------------------------------------------- */

nn_config foreign_config(const char *kind, size_t vocab)
{
    nn_config c = nn_config_default();

    c.vocab = vocab;
    c.layers = 2;
    c.width = 32;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 8;
    c.ff = 64;
    c.max_t = 192;
    c.norm_eps = 1e-5f;
    c.qk_norm = strcmp(kind, "qwen3") == 0;
    c.qkv_bias = strcmp(kind, "qwen2") == 0;
    c.rope = kind[0] == 'q' ? NN_ROPE_HALF : NN_ROPE_PAIRS;
    if (strcmp(kind, "mistral") == 0) c.sliding_window = 12;
    for (size_t i = 0; strcmp(kind, "llama3") == 0 && i < c.head_dim / 2; i++) c.rope_divisor[i] = 1.0f + (float)i;
    return c;
}

static void put_keys(nn_gguf_writer *w, const char *arch, const nn_config *c)
{
    const struct {
        const char *key;
        size_t v;
    } sizes[] = {{"vocab_size", c->vocab}, {"context_length", c->max_t}, {"embedding_length", c->width},
                 {"block_count", c->layers}, {"feed_forward_length", c->ff}, {"attention.head_count", c->heads},
                 {"attention.head_count_kv", c->kv_heads}, {"attention.key_length", c->head_dim},
                 {"attention.value_length", c->head_dim}, {"rope.dimension_count", c->head_dim},
                 {"attention.sliding_window", c->sliding_window}};
    char key[96];

    nn_gguf_put_str(w, "general.architecture", arch);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, sizes[i].key);
        if (sizes[i].v) nn_gguf_put_u32(w, key, (uint32_t)sizes[i].v);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    nn_gguf_put_f32(w, key, c->norm_eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    nn_gguf_put_f32(w, key, c->rope_theta);
}

static nn_model *random_weights(const nn_config *c, uint64_t seed)
{
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_build(&m, c, &err), &err);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);
        nn_rng rng = nn_rng_at(seed, t.name, 0);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const double z = nn_rng_normal(&rng);
            t.data[j] = (t.rows == 1 ? 1.0f : 0.0f) + 0.2f * (float)z;
        }
    }
    return m;
}

const char *foreign_file(const char *kind, nn_tok_model model, bool tied, nn_dtype type, uint64_t seed)
{
    const char *path = path_in(temp_dir(), "model.gguf"), *arch = kind[0] == 'q' ? kind : "llama";
    nn_tok *tok = foreign_tok(model, true);
    nn_config c = foreign_config(kind, nn_tok_vocab(tok));
    nn_gguf_writer *w = NULL;
    nn_err err = {NN_OK, ""};

    c.tied = tied;
    nn_model *m = random_weights(&c, seed);
    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    put_keys(w, arch, &c);
    expect_ok(nn_tok_put_gguf(w, tok, &err), &err);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        nn_gguf_put_tensor(w, t.gguf, t.rows > 1 ? type : NN_F32, t.data, t.rows > 1 ? t.rows : 0, t.cols);
    }
    if (strcmp(kind, "llama3") == 0)
        nn_gguf_put_tensor(w, "rope_freqs.weight", NN_F32, c.rope_divisor, 0, c.head_dim / 2);
    expect_ok(nn_gguf_save(w, path, &err), &err);
    nn_gguf_writer_free(w);
    nn_model_free(m);
    nn_tok_free(tok);
    return path;
}

nn_pretrained *foreign_open(const char *path, nn_tok **tok)
{
    nn_pretrained *p = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_pretrained_open(&p, path, &err), &err);
    expect_ok(nn_pretrained_tok(tok, p, NULL, &err), &err);
    return p;
}

static void add_text(guard_template *t, const char *text)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_template_text(t, text, strlen(text), &err), &err);
}

nn_status foreign_format(guard_format *f, int32_t label[2], const nn_tok *tok, const char *prompt,
                         const char *response, const char *safe, const char *unsafe, nn_err *err)
{
    guard_template p = {0}, r = {0};

    add_text(&p, prompt);
    if (response) add_text(&r, response);
    const nn_status st = guard_format_of_templates(f, label, tok, &p, response ? &r : NULL, safe, unsafe, err);
    guard_template_free(&p);
    guard_template_free(&r);
    return st;
}

const char *foreign_option(const char *kind, nn_tok_model model)
{
    static char set[1024];

    snprintf(set, sizeof set, "model=%s", foreign_file(kind, model, true, NN_F16, 4));
    return set;
}

void plan_fails(const char *lines, const char *want)
{
    const char *dir = copy_scripts(NULL, NULL), *script = path_in(dir, "scripts/wrong.lua");
    char text[2048];

    snprintf(text, sizeof text,
             "local run = parapet.run { taxonomy = require 'taxonomy' }\n"
             "local model = run:open_model(parapet.set.model)\n"
             "local rows = run:load('data/seeds.jsonl', { cap = 20 })\n%s\n",
             lines);
    write_text(script, text);
    const cli_result r = CLI(NULL, "plan", script, "--set", foreign_option("qwen2", NN_TOK_BPE));
    cr_expect(r.status == 2 || r.status == 3, "%d: %s", r.status, r.err);
    expect_says(r.err, want);
}
