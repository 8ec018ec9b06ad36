/* Models written for other programs: by the formats' own rules, and the same weights when they are read back. */
#include "nn/arena.h"
#include "nn/model_write.h"
#include "nn/tok_read.h"
#include "tests/strict_gguf.h"
#include "tests/support.h"
#include "tests/test_pretrained_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- shapes ----------------------------------------------------------------------------------------------------- */

/* ff is no whole number of blocks: the rows of ffn_down become F16 in a file of blocks. */
static nn_config shape(const char *arch)
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
    c.rope_theta = 500000.0f;
    c.qk_norm = strcmp(arch, "qwen3") == 0;
    c.qkv_bias = strcmp(arch, "qwen2") == 0;
    c.sliding_window = strcmp(arch, "mistral") == 0 ? 5 : 0;
    c.tied = strcmp(arch, "qwen2") == 0;
    return c;
}

static const char *const archs[] = {"llama", "mistral", "qwen2", "qwen3"};
enum { ARCHS = 4 };

static bool is_scaled(const nn_config *c)
{
    return c->rope_divisor[0] != 0.0f;
}

/* 0: none, 1: linear, 2: llama3 */
static void scale(nn_config *c, int how)
{
    if (how == 1) nn_rope_linear(c->rope_divisor, c->head_dim, 2.5f);
    if (how == 2) nn_rope_llama3(c->rope_divisor, c->rope_theta, c->head_dim, 8.0f, 1.0f, 4.0f, 1024);
}

/* --- what must come back ---------------------------------------------------------------------------------------- */

/* Row of the model that row r of the file must be: written out pair by pair, first and second of each. */
static size_t wanted_row(bool q_or_k, nn_rope_order from, nn_rope_order to, size_t D, size_t r)
{
    size_t place[2][256]; /* of first and second of pair i, by order */

    if (!q_or_k || from == to) return r;
    for (int order = 0; order < 2; order++)
        for (size_t i = 0; i < D / 2; i++) {
            place[order][2 * i] = order == NN_ROPE_HALF ? i : 2 * i;
            place[order][2 * i + 1] = order == NN_ROPE_HALF ? i + D / 2 : 2 * i + 1;
        }
    for (size_t k = 0; k < D; k++)
        if (place[to][k] == r % D) return r / D * D + place[from][k];
    return r;
}

static nn_dtype wanted_type(const nn_tensor *t, nn_dtype asked, bool gguf)
{
    if (!t->decay && gguf) return NN_F32;
    if (!t->decay) return NN_F32; /* the formula's numbers need more bits than halves have */
    return (asked == NN_Q8_0 || asked == NN_Q4_0) && t->cols % 32 != 0 ? NN_F16 : asked;
}

static void round_row(float *out, const float *x, size_t n, nn_dtype type)
{
    unsigned char bytes[4096];
    nn_err err = {NN_OK, ""};

    cr_assert(nn_dtype_bytes(type, n) <= sizeof bytes);
    nn_dtype_from_f32(bytes, type, x, n);
    expect_ok(nn_dtype_to_f32(out, type, bytes, n, &err), &err);
}

static void expect_weights(const char *what, const nn_model *got, const nn_model *m, nn_dtype type, bool gguf)
{
    const nn_config *c = nn_model_config(m), *d = nn_model_config(got);
    float want[1024];

    cr_assert_eq(nn_model_tensors(got), nn_model_tensors(m), "%s", what);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor a = nn_model_tensor(m, i), b = nn_model_tensor(got, i);
        const bool q_or_k = strstr(a.gguf, "attn_q.weight") || strstr(a.gguf, "attn_k.weight");

        cr_assert(strcmp(a.name, b.name) == 0 && a.rows == b.rows && a.cols == b.cols && a.cols <= 1024, "%s", what);
        for (size_t r = 0; r < a.rows; r++) {
            const size_t from = wanted_row(q_or_k, c->rope, d->rope, c->head_dim, r);

            round_row(want, a.data + from * a.cols, a.cols, wanted_type(&a, type, gguf));
            cr_assert(memcmp(want, b.data + r * a.cols, a.cols * sizeof *want) == 0, "%s: %s row %zu", what, a.name, r);
        }
    }
}

/* Everything but the row order, which is the format's. */
static void expect_config(const char *what, const nn_config *got, const nn_config *want, nn_rope_order rope)
{
    cr_expect_eq(got->rope, rope, "%s", what);
    cr_expect(got->vocab == want->vocab && got->layers == want->layers && got->width == want->width &&
              got->heads == want->heads && got->kv_heads == want->kv_heads && got->head_dim == want->head_dim &&
              got->ff == want->ff && got->max_t == want->max_t && got->sliding_window == want->sliding_window, "%s",
              what);
    cr_expect(got->rope_theta == want->rope_theta && got->norm_eps == want->norm_eps && got->tied == want->tied &&
              got->qk_norm == want->qk_norm && got->qkv_bias == want->qkv_bias, "%s", what);
    for (size_t i = 0; i < want->head_dim / 2; i++)
        cr_expect(got->rope_divisor[i] == want->rope_divisor[i], "%s: divisor %zu is %.9g, not %.9g", what, i,
                  (double)got->rope_divisor[i], (double)want->rope_divisor[i]);
}

static void expect_strict(const char *what, const char *path, bool gguf)
{
    char why[256] = "";
    size_t len = 0;
    unsigned char *bytes = (unsigned char *)read_bytes(path, &len);

    cr_expect(gguf ? strict_gguf(bytes, len, why, sizeof why) : strict_safetensors(bytes, len, why, sizeof why),
              "%s: %s", what, why);
    free(bytes);
}

static void expect_same_model(const char *what, const char *path, const nn_model *m, nn_dtype type, bool gguf)
{
    static const int32_t ids[12] = {1, 7, 47, 3, 3, 9, 20, 31, 12, 0, 5, 40};
    const nn_config *c = nn_model_config(m);
    const bool half = !gguf || c->qk_norm || c->qkv_bias;
    nn_pretrained *p = NULL;
    nn_model *got = load_model_at(&p, path, true, 0);

    expect_config(what, nn_model_config(got), c, half ? NN_ROPE_HALF : NN_ROPE_PAIRS);
    expect_weights(what, got, m, type, gguf);
    if (type == NN_F32) { /* the order of sums in a score apart, the same model */
        float *a = logits_of(got, ids, 12), *b = logits_of(m, ids, 12);

        if (c->rope == nn_model_config(got)->rope) expect_same_floats(what, a, b, 12 * c->vocab);
        else expect_close(what, a, b, 12 * c->vocab, 1e-4);
    }
    nn_model_free(got);
    nn_pretrained_close(p);
}

/* --- the matrix ------------------------------------------------------------------------------------------------- */

static void write_and_compare(const nn_model *m, const char *arch, nn_dtype type, bool gguf)
{
    nn_write_options o = nn_write_default();
    const char *dir = temp_dir(), *path = gguf ? path_in(dir, "m.gguf") : dir;
    char what[96];
    nn_err err = {NN_OK, ""};

    o.type = type;
    o.stop[0] = 4;
    o.stop[1] = 6;
    o.n_stop = 2;
    snprintf(what, sizeof what, "%s %s %s %s", arch, gguf ? "GGUF" : "folder", nn_dtype_name(type),
             is_scaled(nn_model_config(m)) ? "scaled" : "");
    if (gguf) expect_ok(nn_model_write_gguf(path, m, NULL, &o, &err), &err);
    else expect_ok(nn_model_write_hf(path, m, NULL, &o, &err), &err);
    expect_strict(what, gguf ? path : path_in(dir, "model.safetensors"), gguf);
    expect_same_model(what, path, m, type, gguf);
    if (gguf) return;
    int32_t stop[4];
    nn_pretrained *p = open_model_at(path);
    cr_expect(nn_pretrained_stops(p, stop, 4) == 2 && stop[0] == 4 && stop[1] == 6, "%s", what);
    cr_expect_str_eq(nn_pretrained_architecture(p), arch);
    nn_pretrained_close(p);
}

static nn_model *make(const nn_config *c)
{
    return paper_model_of(paper_of(c), c);
}

Test(model_write, every_architecture_and_type_comes_back_from_both_formats)
{
    static const nn_dtype types[] = {NN_F32, NN_F16, NN_BF16, NN_Q8_0, NN_Q4_0};

    for (size_t a = 0; a < ARCHS; a++) {
        const nn_config c = shape(archs[a]);
        nn_model *m = make(&c);

        for (size_t t = 0; t < 5; t++) write_and_compare(m, archs[a], types[t], true);
        for (size_t t = 0; t < 3; t++) write_and_compare(m, archs[a], types[t], false);
        nn_model_free(m);
    }
}

Test(model_write, rows_of_neighbouring_pairs_are_turned_for_a_folder_and_stay_in_gguf)
{
    for (size_t a = 0; a < 2; a++) {
        nn_config c = shape(archs[a]);

        c.rope = NN_ROPE_PAIRS;
        nn_model *m = make(&c);
        write_and_compare(m, archs[a], NN_F32, true);
        write_and_compare(m, archs[a], NN_F32, false);
        write_and_compare(m, archs[a], NN_Q4_0, true);
        nn_model_free(m);
    }
}

Test(model_write, rotary_scaling_is_said_in_the_words_of_the_format)
{
    for (int how = 1; how <= 2; how++)
        for (size_t a = 0; a < ARCHS; a++) {
            nn_config c = shape(archs[a]);

            scale(&c, how);
            nn_model *m = make(&c);
            write_and_compare(m, archs[a], NN_F32, true);
            write_and_compare(m, archs[a], NN_F32, false);
            nn_model_free(m);
        }
}

/* --- as it is --------------------------------------------------------------------------------------------------- */

Test(model_write, a_file_written_again_as_it_is_has_the_same_bytes)
{
    static const nn_dtype types[] = {NN_F32, NN_F16, NN_BF16, NN_Q8_0, NN_Q4_0};

    for (size_t t = 0; t < 5; t++) {
        const nn_config c = shape("llama");
        const char *first = path_in(temp_dir(), "a.gguf"), *again = path_in(temp_dir(), "b.gguf");
        nn_model *m = make(&c);
        nn_write_options o = nn_write_default();
        nn_pretrained *p = NULL;
        size_t len = 0;
        nn_err err = {NN_OK, ""};

        o.type = types[t];
        expect_ok(nn_model_write_gguf(first, m, NULL, &o, &err), &err);
        nn_model *stored = load_model_at(&p, first, false, 0);
        o.type = NN_DTYPE_OTHER;
        expect_ok(nn_model_write_gguf(again, stored, NULL, &o, &err), &err);
        char *bytes = read_bytes(first, &len);
        cr_expect(bytes_equal_file(again, bytes, len), "%s", nn_dtype_name(types[t]));
        free(bytes);
        nn_model_free(stored);
        nn_pretrained_close(p);
        nn_model_free(m);
    }
}

Test(model_write, halves_and_q4_0_are_the_bytes_that_llama_cpp_makes)
{
    static const struct {
        nn_dtype type;
        const char *name;
    } file[] = {{NN_F16, "fixtures/llama2xs/llama2xs_F16.gguf"}, {NN_BF16, "fixtures/llama2xs/llama2xs_BF16.gguf"},
                {NN_Q4_0, "fixtures/llama2xs/llama2xs_Q4_0.gguf"}};

    for (size_t i = 0; i < 3; i++) {
        skip_unless_fixture(file[i].name);
        const char *path = path_in(temp_dir(), "m.gguf");
        nn_write_options o = nn_write_default();
        nn_pretrained *p = NULL;
        nn_gguf *got = NULL, *want = NULL;
        size_t n = 0;
        nn_err err = {NN_OK, ""};

        nn_model *m = load_model_at(&p, shared_path("fixtures/llama2xs/llama2xs_f32.gguf"), false, 0);
        o.type = file[i].type;
        expect_ok(nn_model_write_gguf(path, m, NULL, &o, &err), &err);
        expect_ok(nn_gguf_open(&got, path, &err), &err);
        expect_ok(nn_gguf_open(&want, shared_path(file[i].name), &err), &err);
        for (size_t t = 0; t < nn_gguf_tensors(want); t++) {
            const nn_st_tensor *a = nn_gguf_tensor(want, t), *b = nn_gguf_find(got, a->name);

            cr_assert(b != NULL, "%s", a->name);
            if (a->type != b->type) continue; /* the output matrix, which they leave in Q8_0 */
            n++;
            cr_expect(memcmp(a->data, b->data, nn_dtype_bytes(a->type, a->count)) == 0, "%s", a->name);
        }
        cr_expect_geq(n + 1, nn_gguf_tensors(want));
        nn_gguf_close(want);
        nn_gguf_close(got);
        nn_model_free(m);
        nn_pretrained_close(p);
    }
}

/* --- a classifier ------------------------------------------------------------------------------------------------ */

Test(model_write, a_verdict_head_goes_out_as_a_classifier_of_two_labels)
{
    nn_config c = shape("qwen3");
    nn_write_options o = nn_write_default();
    const char *path = path_in(temp_dir(), "m.gguf");
    nn_gguf *g = NULL;
    uint64_t pooling = 0;
    const char *label = NULL;
    char why[256] = "";
    size_t len = 0, n = 0;
    nn_gg_type type;
    nn_err err = {NN_OK, ""};

    c.n_class = 2;
    c.n_category = 3;
    c.memory_rows = 64;
    c.lm_head = c.tied = false;
    c.pool = NN_POOL_LAST;
    nn_model *m = make(&c);
    o.type = NN_Q4_0;
    o.labels = true;
    expect_ok(nn_model_write_gguf(path, m, NULL, &o, &err), &err);
    char *bytes = read_bytes(path, &len);
    cr_expect(strict_gguf((unsigned char *)bytes, len, why, sizeof why), "%s", why);
    free(bytes);
    expect_ok(nn_gguf_open(&g, path, &err), &err);
    cr_expect(nn_gguf_u64(g, "qwen3.pooling_type", &pooling) && pooling == 4);
    cr_expect(nn_gguf_array(g, "qwen3.classifier.output_labels", &type, &n) && n == 2);
    cr_expect(nn_gguf_array_str(g, "qwen3.classifier.output_labels", 1, &label, &len) && len == 6 &&
              memcmp(label, "unsafe", 6) == 0);
    nn_tensor head;
    cr_assert(nn_model_find(m, "cls.output.weight", &head));
    const nn_st_tensor *t = nn_gguf_find(g, "cls.output.weight");
    cr_expect(t && t->type == NN_F32 && memcmp(t->data, head.data, t->count * 4) == 0);
    cr_expect(!nn_gguf_find(g, "guard.memory.weight") && !nn_gguf_find(g, "guard.category.weight"));
    nn_gguf_close(g);
    nn_model_free(m);
    c.pool = NN_POOL_MEAN_MAX;
    m = make(&c);
    expect_fails(nn_model_write_gguf(path, m, NULL, &o, &err), NN_USAGE, &err, "mean and maximum");
    nn_model_free(m);
}

/* --- tokenizers ------------------------------------------------------------------------------------------------- */

Test(model_write, a_tokenizer_comes_back_with_its_model)
{
    static const char *const files[] = {"fixtures/stories260K/stories260K.gguf", "fixtures/llama2xs/llama2xs_f32.gguf"};

    for (size_t i = 0; i < 2; i++) {
        skip_unless_fixture(files[i]);
        const char *path = path_in(temp_dir(), "m.gguf");
        nn_write_options o = nn_write_default();
        nn_pretrained *p = NULL, *q = NULL;
        nn_model *m = load_model_at(&p, shared_path(files[i]), false, 0);
        nn_tok *tok = NULL, *back = NULL;
        char hex[2][65], why[256] = "";
        nn_err err = {NN_OK, ""};

        expect_ok(nn_pretrained_tok(&tok, p, NULL, &err), &err);
        o.n_stop = nn_pretrained_stops(p, o.stop, NN_WRITE_STOPS);
        o.llama_cpp = true;
        o.name = "again";
        expect_ok(nn_model_write_gguf(path, m, tok, &o, &err), &err);
        size_t len = 0;
        char *bytes = read_bytes(path, &len);
        cr_expect(strict_gguf((unsigned char *)bytes, len, why, sizeof why), "%s: %s", files[i], why);
        free(bytes);
        nn_model *got = load_model_at(&q, path, false, 0);
        expect_ok(nn_pretrained_tok(&back, q, NULL, &err), &err);
        nn_tok_hash(tok, hex[0]);
        nn_tok_hash(back, hex[1]);
        cr_expect_str_eq(hex[0], hex[1], "%s", files[i]);
        nn_model_hash(m, hex[0]);
        nn_model_hash(got, hex[1]);
        cr_expect_str_eq(hex[0], hex[1], "%s", files[i]);
        nn_tok_free(back);
        nn_tok_free(tok);
        nn_model_free(got);
        nn_pretrained_close(q);
        nn_model_free(m);
        nn_pretrained_close(p);
    }
}

Test(model_write, a_folder_of_another_program_is_the_same_model_as_gguf_and_as_a_folder_again)
{
    static const int32_t ids[8] = {1, 400, 300, 29, 5, 77, 200, 9};

    skip_unless_fixture("fixtures/hf/llama2xs-bf16");
    const char *dir = temp_dir();
    nn_write_options o = nn_write_default();
    nn_pretrained *p = NULL, *q = NULL;
    nn_model *m = load_model_at(&p, shared_path("fixtures/hf/llama2xs-bf16"), false, 0);
    char hex[2][65];
    nn_err err = {NN_OK, ""};

    o.type = NN_BF16;
    expect_ok(nn_model_write_gguf(path_in(dir, "m.gguf"), m, NULL, &o, &err), &err);
    nn_model *g = load_model_at(&q, path_in(dir, "m.gguf"), false, 0);
    float *a = logits_of(m, ids, 8), *b = logits_of(g, ids, 8);
    expect_close("logits", b, a, 8 * nn_model_config(m)->vocab, 1e-3);
    expect_ok(nn_model_write_hf(path_in(dir, "hf"), g, NULL, &o, &err), &err);
    expect_strict("folder", path_in(dir, "hf/model.safetensors"), false);
    nn_pretrained *r = NULL;
    nn_model *h = load_model_at(&r, path_in(dir, "hf"), false, 0);
    nn_model_hash(m, hex[0]);
    nn_model_hash(h, hex[1]);
    cr_expect_str_eq(hex[0], hex[1], "turned twice, no row has moved");
    nn_model_free(h);
    nn_pretrained_close(r);
    nn_model_free(g);
    nn_pretrained_close(q);
    nn_model_free(m);
    nn_pretrained_close(p);
}

/* F16 as Hugging Face's folders have it: of floats, and of the F16 file that llama.cpp made of the same floats. */
Test(model_write, a_folder_in_f16_holds_the_halves_that_llama_cpp_makes)
{
    static const char *const from[] = {"fixtures/llama2xs/llama2xs_f32.gguf", "fixtures/llama2xs/llama2xs_F16.gguf"};
    static const int32_t ids[8] = {1, 400, 300, 29, 5, 77, 200, 9};
    const char *dir = temp_dir(), *weights = path_in(dir, "0/model.safetensors");
    nn_write_options o = nn_write_default();
    float *logit[2] = {NULL, NULL};
    size_t len = 0, halves = 0;
    nn_err err = {NN_OK, ""};

    o.type = NN_F16;
    for (size_t i = 0; i < 2; i++) {
        const char *folder = path_in(dir, i ? "1" : "0");
        nn_pretrained *p = NULL, *q = NULL;

        skip_unless_fixture(from[i]);
        nn_model *m = load_model_at(&p, shared_path(from[i]), false, 0);
        expect_ok(nn_model_write_hf(folder, m, NULL, &o, &err), &err);
        nn_model *back = load_model_at(&q, folder, false, 0);
        logit[i] = logits_of(i ? m : back, ids, 8);
        for (size_t k = 0; i == 0 && k < nn_model_tensors(back); k++)
            halves += nn_model_tensor(back, k).bytes && nn_model_tensor(back, k).type == NN_F16;
        nn_model_free(back);
        nn_pretrained_close(q);
        nn_model_free(m);
        nn_pretrained_close(p);
    }
    cr_expect(halves > 10, "%zu matrices in F16", halves);
    expect_strict("folder", weights, false);
    char *config = read_bytes(path_in(dir, "0/config.json"), NULL), *bytes = read_bytes(weights, &len);
    cr_expect(strstr(config, "\"torch_dtype\": \"float16\"") != NULL);
    cr_expect(bytes_equal_file(path_in(dir, "1/model.safetensors"), bytes, len));
    expect_close("logits", logit[0], logit[1], 8 * 512, 1e-3); /* rows of the file and of its turned copy */
    free(bytes);
    free(config);
}

Test(model_write, the_files_of_a_tokenizer_are_copied_byte_for_byte)
{
    const char *from = temp_dir(), *to = temp_dir();
    size_t n = 0;
    nn_err err = {NN_OK, ""};

    write_text(path_in(from, "tokenizer.json"), "{ }");
    write_text(path_in(from, "merges.txt"), "");
    write_text(path_in(from, "model.safetensors"), "not of a tokenizer");
    expect_ok(nn_model_copy_tokenizer(to, from, &n, &err), &err);
    cr_expect(n == 2 && bytes_equal_file(path_in(to, "tokenizer.json"), "{ }", 3));
    cr_expect(bytes_equal_file(path_in(to, "merges.txt"), "", 0));
    expect_ok(nn_model_copy_tokenizer(to, path_in(from, "none"), &n, &err), &err);
    cr_expect_eq(n, 0);
}

/* --- what is refused -------------------------------------------------------------------------------------------- */

static void expect_not_written(const nn_model *m, nn_write_options o, bool gguf, nn_status st, const char *part)
{
    const char *dir = temp_dir(), *path = gguf ? path_in(dir, "m.gguf") : path_in(dir, "hf/config.json");
    nn_err err = {NN_OK, ""};
    size_t len = 0;

    if (gguf) expect_fails(nn_model_write_gguf(path, m, NULL, &o, &err), st, &err, part);
    else expect_fails(nn_model_write_hf(path_in(dir, "hf"), m, NULL, &o, &err), st, &err, part);
    FILE *f = fopen(path, "rb");
    cr_expect(f == NULL, "%s: a file is there of %zu bytes", part, len);
    if (f) fclose(f);
}

static nn_model *edited(const char *arch, void (*edit)(nn_config *c))
{
    nn_config c = shape(arch);

    edit(&c);
    return make(&c);
}

static void add_norms(nn_config *c)
{
    c->qk_norm = true;
}

static void use_pairs(nn_config *c)
{
    c->rope = NN_ROPE_PAIRS;
}

static void divide_oddly(nn_config *c)
{
    for (size_t i = 0; i < c->head_dim / 2; i++) c->rope_divisor[i] = 1.0f + (float)i;
}

Test(model_write, shapes_and_types_without_a_name_are_refused)
{
    nn_write_options o = nn_write_default(), cpp = o, blocks = o, labels = o;
    nn_model *both = edited("qwen2", add_norms), *pairs = edited("qwen2", use_pairs);
    nn_model *odd = edited("qwen3", divide_oddly), *fine = edited("mistral", use_pairs);

    cpp.llama_cpp = true;
    labels.labels = true;
    blocks.type = NN_Q4_0;
    expect_not_written(both, o, true, NN_USAGE, "want the shape of llama");
    expect_not_written(pairs, o, false, NN_USAGE, "want the shape of llama");
    expect_not_written(odd, o, false, NN_USAGE, "neither linear nor llama3");
    expect_not_written(fine, blocks, false, NN_USAGE, "type Q4_0");
    blocks.type = NN_Q6_K;
    expect_not_written(fine, blocks, true, NN_USAGE, "type Q6_K");
    expect_not_written(fine, cpp, true, NN_USAGE, "no tokenizer");
    expect_not_written(fine, cpp, false, NN_USAGE, "want a GGUF file");
    expect_not_written(fine, labels, true, NN_USAGE, "there is none");
    nn_model_free(both);
    nn_model_free(pairs);
    nn_model_free(odd);
    nn_model_free(fine);
}

Test(model_write, a_weight_that_the_type_cannot_hold_is_refused_by_its_place)
{
    const nn_config c = shape("llama");
    nn_model *m = make(&c);
    nn_tensor t;
    nn_write_options o = nn_write_default();

    cr_assert(nn_model_find(m, "blk.1.ffn_gate.weight", &t));
    t.data[70] = 1e6f;
    o.type = NN_F16;
    expect_not_written(m, o, true, NN_CONTENT, "mlp.gate_proj.weight: number 70 is too large for F16");
    expect_not_written(m, o, false, NN_CONTENT, "number 70");
    t.data[70] = NAN;
    o.type = NN_Q8_0;
    expect_not_written(m, o, true, NN_CONTENT, "number 70 is infinite or no number");
    nn_model_free(m);
}

Test(model_write, each_failed_allocation_is_reported)
{
    const nn_config c = shape("qwen3");
    nn_model *m = make(&c);
    const nn_write_options o = nn_write_default();
    const char *dir = temp_dir();

    for (int gguf = 0; gguf < 2; gguf++) {
        nn_status st = NN_LIMIT;

        for (long n = 0; st != NN_OK; n++) {
            nn_err err = {NN_OK, ""};

            nn_alloc_fail_at(n);
            st = gguf ? nn_model_write_gguf(path_in(dir, "m.gguf"), m, NULL, &o, &err)
                      : nn_model_write_hf(path_in(dir, "hf"), m, NULL, &o, &err);
            nn_alloc_fail_at(-1);
            cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld: %s", n, err.text);
        }
    }
    nn_model_free(m);
}
