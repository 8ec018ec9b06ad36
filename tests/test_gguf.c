/* Tests of nn/fmt_gguf*.c: real files, our own files, hostile files. */
#include "nn/arena.h"
#include "nn/gguf.h"
#include "tests/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- files others made -------------------------------------------------------------------- */

static float *floats_of(const nn_st_tensor *t)
{
    float *x = malloc((t->count ? t->count : 1) * sizeof *x);
    nn_err err = {NN_OK, ""};

    cr_assert(x != NULL);
    expect_ok(nn_dtype_to_f32(x, t->type, t->data, t->count, &err), &err);
    return x;
}

Test(gguf, vocabularies_read_with_their_arrays)
{
    static const struct {
        const char *file, *model;
        size_t tokens;
    } vocab[] = {{"fixtures/tokenizer/ggml-vocab-gpt-2.gguf", "gpt2", 50257},
                 {"fixtures/tokenizer/ggml-vocab-llama-spm.gguf", "llama", 32000},
                 {"fixtures/tokenizer/ggml-vocab-falcon.gguf", "gpt2", 65024},
                 {"fixtures/tokenizer/ggml-vocab-starcoder.gguf", "gpt2", 49152}};

    for (size_t i = 0; i < sizeof vocab / sizeof *vocab; i++) {
        skip_unless_fixture(vocab[i].file);
        nn_gguf *g = NULL;
        nn_err err = {NN_OK, ""};
        const char *s = NULL;
        size_t len = 0, n = 0;
        nn_gg_type type = NN_GG_U8;

        expect_ok(nn_gguf_open(&g, shared_path(vocab[i].file), &err), &err);
        cr_assert(nn_gguf_str(g, "tokenizer.ggml.model", &s, &len));
        cr_expect(len == strlen(vocab[i].model) && memcmp(s, vocab[i].model, len) == 0);
        cr_assert(nn_gguf_array(g, "tokenizer.ggml.tokens", &type, &n));
        cr_expect(type == NN_GG_STRING && n == vocab[i].tokens, "%zu tokens", n);
        cr_expect(nn_gguf_array_str(g, "tokenizer.ggml.tokens", n - 1, &s, &len) && len > 0);
        cr_expect(!nn_gguf_array_str(g, "tokenizer.ggml.tokens", n, &s, &len));
        cr_expect_eq(nn_gguf_tensors(g), 0u);
        nn_gguf_close(g);
    }
}

Test(gguf, getters_convert_only_what_fits)
{
    skip_unless_fixture("fixtures/tokenizer/ggml-vocab-llama-spm.gguf");
    nn_gguf *g = NULL;
    nn_err err = {NN_OK, ""};
    uint64_t u = 0;
    double d = 0.0;
    bool b = false;
    const char *s = NULL;
    size_t len = 0, n = 0;
    nn_gg_type type = NN_GG_U8;

    expect_ok(nn_gguf_open(&g, shared_path("fixtures/tokenizer/ggml-vocab-llama-spm.gguf"), &err), &err);
    cr_expect(nn_gguf_u64(g, "tokenizer.ggml.bos_token_id", &u) && u == 1);
    cr_expect(nn_gguf_f64(g, "tokenizer.ggml.bos_token_id", &d) && d == 1.0);
    cr_expect(!nn_gguf_bool(g, "tokenizer.ggml.bos_token_id", &b));
    cr_expect(!nn_gguf_str(g, "tokenizer.ggml.bos_token_id", &s, &len));
    cr_expect(!nn_gguf_u64(g, "tokenizer.ggml.tokens", &u) && !nn_gguf_f64(g, "absent", &d));
    cr_expect(nn_gguf_array(g, "tokenizer.ggml.scores", &type, &n) && type == NN_GG_F32);
    cr_expect(nn_gguf_array_f64(g, "tokenizer.ggml.scores", n - 1, &d) && d < 0.0);
    cr_expect(!nn_gguf_array_f64(g, "tokenizer.ggml.scores", n, &d));
    cr_expect(!nn_gguf_array_f64(g, "tokenizer.ggml.tokens", 0, &d));
    nn_gguf_close(g);
}

Test(gguf, float_weights_equal_the_same_model_in_its_first_format)
{
    skip_unless_fixture("fixtures/llama2xs/llama2xs_f32.gguf");
    skip_unless_fixture("fixtures/llama2xs/model.bin");
    nn_gguf *g = NULL;
    nn_err err = {NN_OK, ""};
    float *want = malloc(512 * 64 * sizeof *want);

    char *bin = read_bytes(shared_path("fixtures/llama2xs/model.bin"), NULL);
    expect_ok(nn_gguf_open(&g, shared_path("fixtures/llama2xs/llama2xs_f32.gguf"), &err), &err);
    const nn_st_tensor *t = nn_gguf_find(g, "token_embd.weight");
    cr_assert(t && t->n_dim == 2 && t->dim[0] == 512 && t->dim[1] == 64);
    float *got = floats_of(t);
    expect_ok(nn_dtype_to_f32(want, NN_F32, (const unsigned char *)bin + 28, t->count, &err), &err);
    expect_same_floats("embedding", got, want, t->count);
    free(got);
    free(want);
    free(bin);
    nn_gguf_close(g);
}

Test(gguf, half_files_are_the_rounded_float_file)
{
    static const char *const file[] = {"fixtures/llama2xs/llama2xs_F16.gguf",
                                       "fixtures/llama2xs/llama2xs_BF16.gguf",
                                       "fixtures/stories260K/stories260K_F16.gguf",
                                       "fixtures/stories260K/stories260K_BF16.gguf"};
    static const char *const full[] = {"fixtures/llama2xs/llama2xs_f32.gguf",
                                       "fixtures/stories260K/stories260K.gguf"};

    for (size_t k = 0; k < 4; k++) {
        skip_unless_fixture(file[k]);
        skip_unless_fixture(full[k / 2]);
        nn_gguf *f = NULL, *h = NULL;
        nn_err err = {NN_OK, ""};

        expect_ok(nn_gguf_open(&f, shared_path(full[k / 2]), &err), &err);
        expect_ok(nn_gguf_open(&h, shared_path(file[k]), &err), &err);
        cr_assert_eq(nn_gguf_tensors(f), nn_gguf_tensors(h));
        for (size_t i = 0; i < nn_gguf_tensors(h); i++) {
            const nn_st_tensor *u = nn_gguf_tensor(h, i), *t = nn_gguf_find(f, u->name);
            const size_t bytes = nn_dtype_bytes(u->type, u->count);

            cr_assert(t && t->count == u->count && bytes > 0, "%s", u->name);
            float *x = floats_of(t);
            unsigned char *rounded = malloc(bytes);
            nn_dtype_from_f32(rounded, u->type, x, t->count);
            cr_expect(memcmp(rounded, u->data, bytes) == 0, "%s: %s", file[k], u->name);
            free(rounded);
            free(x);
        }
        nn_gguf_close(f);
        nn_gguf_close(h);
    }
}

Test(gguf, blocks_of_others_lie_within_half_a_step_of_the_floats)
{
    skip_unless_fixture("fixtures/llama2xs/llama2xs_f32.gguf");
    skip_unless_fixture("fixtures/llama2xs/llama2xs_Q8_0.gguf");
    nn_gguf *f = NULL, *q = NULL;
    nn_err err = {NN_OK, ""};
    size_t blocks = 0;

    expect_ok(nn_gguf_open(&f, shared_path("fixtures/llama2xs/llama2xs_f32.gguf"), &err), &err);
    expect_ok(nn_gguf_open(&q, shared_path("fixtures/llama2xs/llama2xs_Q8_0.gguf"), &err), &err);
    for (size_t i = 0; i < nn_gguf_tensors(q); i++) {
        const nn_st_tensor *u = nn_gguf_tensor(q, i), *t = nn_gguf_find(f, u->name);

        if (u->type != NN_Q8_0) continue;
        cr_assert(t && t->count == u->count);
        float *x = floats_of(t), *y = floats_of(u);
        for (size_t b = 0; b < t->count; b += 32, blocks++) {
            float top = 0.0f;

            for (size_t j = b; j < b + 32; j++) top = fabsf(x[j]) > top ? fabsf(x[j]) : top;
            for (size_t j = b; j < b + 32; j++)
                cr_assert(fabsf(x[j] - y[j]) <= top / 127.0f * 0.51f + top * 0x1p-10f, "%s[%zu]", u->name, j);
        }
        free(x);
        free(y);
    }
    cr_expect(blocks > 1000, "%zu blocks", blocks);
    nn_gguf_close(f);
    nn_gguf_close(q);
}

Test(gguf, block_types_are_listed_by_their_names)
{
    static const struct {
        const char *file;
        nn_dtype type;
    } kind[] = {{"fixtures/llama2xs/llama2xs_Q4_0.gguf", NN_Q4_0},
                {"fixtures/llama2xs/llama2xs_Q4_1.gguf", NN_Q4_1},
                {"fixtures/llama2xs/llama2xs_Q5_0.gguf", NN_Q5_0},
                {"fixtures/llama2xs/llama2xs_Q5_1.gguf", NN_Q5_1}};

    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        skip_unless_fixture(kind[k].file);
        nn_gguf *g = NULL;
        nn_err err = {NN_OK, ""};
        size_t n = 0;

        expect_ok(nn_gguf_open(&g, shared_path(kind[k].file), &err), &err);
        for (size_t i = 0; i < nn_gguf_tensors(g); i++) n += nn_gguf_tensor(g, i)->type == kind[k].type;
        cr_expect(n > 10, "%s: %zu", kind[k].file, n);
        nn_gguf_close(g);
    }
}

/* --- our own files ------------------------------------------------------------------------ */

static float weights[128];

/* A file with every kind of value and tensor that the writer knows. */
/* Counts the strings of a.strs that are what small_writer put, stops at number `stop`. */
typedef struct {
    size_t seen, stop;
} count_strs;

static bool count_str(void *ctx, size_t i, const char *s, size_t len)
{
    static const char *const want[] = {"one", "", "three"};
    count_strs *c = ctx;

    cr_assert(i < 3 && len == strlen(want[i]) && memcmp(s, want[i], len) == 0, "string %zu", i);
    return ++c->seen != c->stop;
}

static nn_gguf_writer *small_writer(void)
{
    static const char *const words[] = {"one", "", "three"};
    static const float f[] = {0.5f, -1.0f};
    static const int32_t i32[] = {-7, 0, 2147483647};
    nn_gguf_writer *w = NULL;
    nn_err err = {NN_OK, ""};

    for (int i = 0; i < 128; i++) weights[i] = (float)(i % 13 - 6) * 0.25f;
    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    nn_gguf_put_str(w, "general.architecture", "test");
    nn_gguf_put_u32(w, "a.u32", 4000000000u);
    nn_gguf_put_u64(w, "a.u64", 1ull << 60);
    nn_gguf_put_f32(w, "a.f32", 0.1f);
    nn_gguf_put_bool(w, "a.bool", true);
    nn_gguf_put_strs(w, "a.strs", words, NULL, 3);
    nn_gguf_put_f32s(w, "a.f32s", f, 2);
    nn_gguf_put_i32s(w, "a.i32s", i32, 3);
    nn_gguf_put_tensor(w, "t.f32", NN_F32, weights, 2, 3);
    nn_gguf_put_tensor(w, "t.f16", NN_F16, weights, 0, 5);
    nn_gguf_put_tensor(w, "t.bf16", NN_BF16, weights, 7, 1);
    nn_gguf_put_tensor(w, "t.q8", NN_Q8_0, weights, 2, 64);
    return w;
}

Test(gguf, written_file_reads_back)
{
    nn_gguf_writer *w = small_writer();
    const char *path = path_in(temp_dir(), "a.gguf");
    nn_gguf *g = NULL;
    nn_err err = {NN_OK, ""};
    uint64_t u = 0;
    double d = 0.0;
    bool b = false;
    const char *s = NULL;
    size_t len = 0;
    nn_gg_type type = NN_GG_U8;

    expect_ok(nn_gguf_save(w, path, &err), &err);
    expect_ok(nn_gguf_open(&g, path, &err), &err);
    cr_expect_eq(nn_gguf_keys(g), 8u);
    cr_expect(strncmp(nn_gguf_key(g, 0, &len, &type), "general.architecture", len) == 0 && type == NN_GG_STRING);
    cr_expect(nn_gguf_u64(g, "a.u32", &u) && u == 4000000000u);
    cr_expect(nn_gguf_u64(g, "a.u64", &u) && u == 1ull << 60 && !nn_gguf_f64(g, "a.u64", &d));
    cr_expect(nn_gguf_f64(g, "a.f32", &d) && d == (double)0.1f && !nn_gguf_u64(g, "a.f32", &u));
    cr_expect(nn_gguf_bool(g, "a.bool", &b) && b);
    cr_expect(nn_gguf_array_str(g, "a.strs", 1, &s, &len) && len == 0);
    cr_expect(nn_gguf_array_str(g, "a.strs", 2, &s, &len) && len == 5 && memcmp(s, "three", 5) == 0);
    cr_expect(nn_gguf_array_f64(g, "a.i32s", 0, &d) && d == -7.0 && nn_gguf_array_f64(g, "a.f32s", 1, &d) &&
              d == -1.0);
    int32_t i32[3] = {0, 0, 0};
    count_strs all = {0, 9}, two = {0, 2};
    cr_expect(nn_gguf_array_i32(g, "a.i32s", i32, 3) && i32[0] == -7 && i32[2] == INT32_MAX);
    cr_expect(!nn_gguf_array_i32(g, "a.i32s", i32, 2) && !nn_gguf_array_i32(g, "a.f32s", i32, 2));
    cr_expect(nn_gguf_array_strs(g, "a.strs", count_str, &all) && all.seen == 3);
    cr_expect(!nn_gguf_array_strs(g, "a.strs", count_str, &two) && two.seen == 2);
    cr_expect(!nn_gguf_array_strs(g, "a.i32s", count_str, &two) && !nn_gguf_array_strs(g, "none", count_str, &two));
    const nn_st_tensor *t = nn_gguf_find(g, "t.f32"), *q = nn_gguf_find(g, "t.q8");
    cr_assert(t && q && nn_gguf_find(g, "t.f16") && nn_gguf_find(g, "t.bf16") && !nn_gguf_find(g, "t"));
    cr_expect(t->n_dim == 2 && t->dim[0] == 2 && t->dim[1] == 3 && q->dim[0] == 2 && q->dim[1] == 64 &&
              q->type == NN_Q8_0);
    float *x = floats_of(t), *y = floats_of(q);
    expect_same_floats("t.f32", x, weights, 6);
    expect_close("t.q8", y, weights, 128, 0.007);
    free(x);
    free(y);
    nn_gguf_close(g);
    nn_gguf_writer_free(w);
}

Test(gguf, the_same_calls_give_the_same_bytes)
{
    nn_gguf_writer *a = small_writer(), *b = small_writer();
    const unsigned char *x = NULL, *y = NULL, *again = NULL;
    size_t n = 0, m = 0, k = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_bytes(a, &x, &n, &err), &err);
    expect_ok(nn_gguf_bytes(b, &y, &m, &err), &err);
    cr_assert(n == m && n % 32 == 0 && memcmp(x, y, n) == 0);
    expect_ok(nn_gguf_bytes(a, &again, &k, &err), &err); /* asking twice changes nothing */
    cr_expect(k == m && memcmp(again, y, m) == 0);
    nn_gguf_writer_free(a);
    nn_gguf_writer_free(b);
}

Test(gguf, writer_refuses_what_a_reader_would)
{
    static const float bad[32] = {NAN};
    const unsigned char *bytes = NULL;
    size_t n = 0;

    for (int k = 0; k < 5; k++) {
        static const char *const part[] = {"NaN", "multiple of 32", "reading only", "a.u32 twice", "t.f32 twice"};
        static const nn_status want[] = {NN_CONTENT, NN_USAGE, NN_USAGE, NN_FILE, NN_FILE};
        nn_gguf_writer *w = small_writer();
        nn_err err = {NN_OK, ""};

        if (k == 0) nn_gguf_put_tensor(w, "bad", NN_F32, bad, 0, 32);
        if (k == 1) nn_gguf_put_tensor(w, "bad", NN_Q8_0, weights, 3, 16);
        if (k == 2) nn_gguf_put_tensor(w, "bad", NN_I64, weights, 3, 16);
        if (k == 3) nn_gguf_put_u32(w, "a.u32", 1);
        if (k == 4) nn_gguf_put_tensor(w, "t.f32", NN_F32, weights, 0, 1);
        expect_fails(nn_gguf_bytes(w, &bytes, &n, &err), want[k], &err, part[k]);
        cr_expect_null(bytes);
        nn_gguf_writer_free(w);
    }
}

/* --- hostile files ------------------------------------------------------------------------ */

/* A file put together by hand, in a block that a sanitizer guards. */
typedef struct {
    unsigned char b[512];
    size_t n;
} hand;

static void put_int(hand *h, unsigned long long v, size_t width)
{
    for (size_t i = 0; i < width; i++) h->b[h->n++] = (unsigned char)(v >> 8 * i & 0xff);
}

static void put_name(hand *h, const char *s, size_t n)
{
    put_int(h, n, 8);
    memcpy(h->b + h->n, s, n);
    h->n += n;
}

static hand header(unsigned long long tensors, unsigned long long keys)
{
    hand h = {{'G', 'G', 'U', 'F'}, 4};

    put_int(&h, 3, 4);
    put_int(&h, tensors, 8);
    put_int(&h, keys, 8);
    return h;
}

static void put_info(hand *h, const char *name, unsigned long long cols, unsigned type, unsigned long long offset)
{
    put_name(h, name, strlen(name));
    put_int(h, 1, 4);
    put_int(h, cols, 8);
    put_int(h, type, 4);
    put_int(h, offset, 8);
}

static void put_data(hand *h, size_t n)
{
    while (h->n % 32) h->b[h->n++] = 0;
    for (size_t i = 0; i < n; i++) h->b[h->n++] = 0;
}

static nn_status open_bytes(const unsigned char *bytes, size_t n, nn_err *err)
{
    unsigned char *copy = malloc(n ? n : 1);
    nn_gguf *g = NULL;

    cr_assert(copy != NULL);
    memcpy(copy, bytes, n);
    *err = (nn_err){NN_OK, ""};
    const nn_status st = nn_gguf_open_memory(&g, copy, n, "x", err);
    cr_expect((st == NN_OK) == (g != NULL) && (st == NN_OK || err->text[0]));
    nn_gguf_close(g);
    free(copy);
    return st;
}

static void refused(const hand *h, const char *part)
{
    nn_err err;
    const nn_status st = open_bytes(h->b, h->n, &err);

    cr_expect(st == NN_FILE && strstr(err.text, part), "status %d, \"%s\" lacks \"%s\"", (int)st, err.text, part);
}

Test(gguf, counts_that_the_file_cannot_hold_are_refused)
{
    hand h = header(1ull << 62, 0);
    refused(&h, "tensors");
    h = header(0, ~0ull);
    refused(&h, "keys");
    h = header(0, 1);
    put_name(&h, "k", 1);
    put_int(&h, NN_GG_ARRAY, 4);
    put_int(&h, NN_GG_U64, 4);
    put_int(&h, 1ull << 61, 8); /* times 8 is 0 in 64 bits */
    refused(&h, "array elements");
    h = header(0, 1);
    put_int(&h, 1ull << 63, 8);
    put_int(&h, 0, 8);
    refused(&h, "ends early");
}

Test(gguf, headers_that_lie_are_refused_with_their_reason)
{
    hand h = header(0, 0);
    h.b[4] = 2;
    refused(&h, "version 2");
    h.b[4] = 0;
    h.b[7] = 3;
    refused(&h, "big-endian");
    h.b[0] = 'g';
    refused(&h, "does not begin with GGUF");

    h = header(0, 1);
    put_name(&h, "k", 1);
    put_int(&h, 13, 4);
    put_int(&h, 0, 8);
    refused(&h, "type 13");
    h = header(0, 1);
    put_name(&h, "k", 1);
    put_int(&h, NN_GG_BOOL, 4);
    put_int(&h, 2, 1);
    refused(&h, "truth value");
    h = header(0, 1);
    put_name(&h, "k", 1);
    put_int(&h, NN_GG_ARRAY, 4);
    put_int(&h, NN_GG_ARRAY, 4);
    put_int(&h, 0, 8);
    refused(&h, "array of type 9");
    for (unsigned align = 0; align < 200000; align = align * 3 + 5) { /* none is a power of two */
        h = header(0, 1);
        put_name(&h, "general.alignment", 17);
        put_int(&h, NN_GG_U32, 4);
        put_int(&h, align, 4);
        refused(&h, "general.alignment");
    }
    h = header(0, 2);
    for (int i = 0; i < 2; i++) {
        put_name(&h, "k", 1);
        put_int(&h, NN_GG_U8, 4);
        put_int(&h, 1, 1);
    }
    refused(&h, "key k twice");
}

Test(gguf, tensors_that_lie_are_refused_with_their_reason)
{
    hand h = header(1, 0);
    put_info(&h, "a", 8, 0, 32);
    put_data(&h, 32);
    refused(&h, "ends early");
    h = header(1, 0);
    put_info(&h, "a", 8, 0, 1ull << 63);
    put_data(&h, 32);
    refused(&h, "beyond the data");
    h = header(1, 0);
    put_info(&h, "a", 1ull << 62, 0, 0);
    put_data(&h, 32);
    refused(&h, "overflow");
    h = header(1, 0);
    put_info(&h, "a", 8, 0, 4);
    put_data(&h, 64);
    refused(&h, "multiple of 32");
    h = header(2, 0);
    put_info(&h, "a", 16, 0, 0);
    put_info(&h, "b", 8, 0, 32);
    put_data(&h, 64);
    refused(&h, "inside the tensor before");
    h = header(2, 0);
    put_info(&h, "a", 8, 0, 0);
    put_info(&h, "a", 8, 0, 32);
    put_data(&h, 64);
    refused(&h, "tensor a twice");
    h = header(1, 0);
    put_info(&h, "a", 31, 8, 0);
    put_data(&h, 64);
    refused(&h, "blocks of 32");
    h = header(1, 0);
    put_info(&h, "a", 8, 0, 0);
    put_data(&h, 64);
    refused(&h, "after the last tensor");
    h = header(1, 0);
    put_name(&h, "a\0b", 3);
    put_int(&h, 0, 4);
    put_int(&h, 0, 4);
    put_int(&h, 0, 8);
    put_data(&h, 32);
    refused(&h, "zero byte");
    h = header(1, 0);
    put_name(&h, "abcdefgh", 8);
    put_int(&h, 5, 4);
    put_int(&h, 5, 8);
    refused(&h, "5 dimensions");
}

Test(gguf, alignment_key_moves_the_data)
{
    hand h = header(1, 1);
    nn_gguf *g = NULL;
    nn_err err = {NN_OK, ""};

    put_name(&h, "general.alignment", 17);
    put_int(&h, NN_GG_U32, 4);
    put_int(&h, 8, 4);
    put_info(&h, "a", 1, 0, 0);
    while (h.n % 8) h.b[h.n++] = 0;
    put_int(&h, 0x3f800000u, 4);
    expect_ok(nn_gguf_open_memory(&g, h.b, h.n, "x", &err), &err);
    float *x = floats_of(nn_gguf_find(g, "a"));
    cr_expect_eq(x[0], 1.0f);
    free(x);
    nn_gguf_close(g);
}

Test(gguf, an_unknown_type_is_listed_without_its_size)
{
    hand h = header(1, 0);
    nn_gguf *g = NULL;
    nn_err err = {NN_OK, ""};

    put_info(&h, "a", 8, 999, 0);
    put_data(&h, 40);
    expect_ok(nn_gguf_open_memory(&g, h.b, h.n, "x", &err), &err);
    cr_expect(nn_gguf_tensor(g, 0)->type == NN_DTYPE_OTHER && nn_gguf_tensor(g, 0)->count == 8);
    nn_gguf_close(g);
}

Test(gguf, cut_at_every_byte_is_refused_and_flipped_bits_never_crash)
{
    nn_gguf_writer *w = small_writer();
    const unsigned char *bytes = NULL;
    size_t len = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_bytes(w, &bytes, &len, &err), &err);
    unsigned char *copy = malloc(len);
    cr_assert(copy != NULL);
    memcpy(copy, bytes, len);
    /* The last padding may be missing: the last tensor's 136 bytes end 24 before the file does. */
    for (size_t n = 0; n < len - 24; n++)
        cr_expect(open_bytes(copy, n, &err) == NN_FILE, "cut at %zu of %zu", n, len);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        copy[bit / 8] = (unsigned char)(copy[bit / 8] ^ (1u << bit % 8));
        (void)open_bytes(copy, len, &err);
        copy[bit / 8] = (unsigned char)(copy[bit / 8] ^ (1u << bit % 8));
    }
    free(copy);
    nn_gguf_writer_free(w);
}

Test(gguf, each_failed_allocation_is_reported)
{
    nn_gguf_writer *w = small_writer();
    const unsigned char *bytes = NULL;
    size_t len = 0;
    nn_status st = NN_LIMIT;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_bytes(w, &bytes, &len, &err), &err);
    for (long n = 0; st != NN_OK; n++) {
        nn_alloc_fail_at(n);
        st = open_bytes(bytes, len, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld", n);
    }
    nn_gguf_writer_free(w);

    st = NN_LIMIT;
    for (long n = 0; st != NN_OK; n++) {
        err = (nn_err){NN_OK, ""};
        w = NULL;
        nn_alloc_fail_at(n);
        st = nn_gguf_writer_build(&w, &err);
        if (st == NN_OK) {
            nn_gguf_put_u32(w, "k", 1);
            nn_gguf_put_tensor(w, "t", NN_F32, weights, 0, 4);
            st = nn_gguf_bytes(w, &bytes, &len, &err);
        }
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld", n);
        nn_gguf_writer_free(w);
    }
}
