/* Tests of nn/dtype.c and nn/fmt_safetensors*.c: conversions, real files, hostile files. */
#include "nn/arena.h"
#include "nn/safetensors.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define F32_FILE "fixtures/hf/llama2xs-f32/model.safetensors"
#define BF16_FILE "fixtures/hf/llama2xs-bf16/model.safetensors"

/* --- conversions -------------------------------------------------------------------------- */

Test(dtype, every_half_survives_the_way_to_float_and_back)
{
    for (unsigned h = 0; h < 0x10000u; h++) {
        const unsigned char in[2] = {(unsigned char)(h & 0xffu), (unsigned char)(h >> 8)};
        unsigned char back[2];
        float x = 0.0f;

        expect_ok(nn_dtype_to_f32(&x, NN_F16, in, 1, NULL), NULL);
        nn_dtype_from_f32(back, NN_F16, &x, 1);
        if (isnan(x)) cr_assert((back[1] & 0x7c) == 0x7c && ((back[1] & 3) || back[0]), "NaN %04x lost", h);
        else cr_assert(memcmp(in, back, 2) == 0, "half %04x", h);
    }
}

/* The nearest of all halves by search, ties to the even one. */
static unsigned nearest_half(float x)
{
    unsigned best = 0;
    double miss = HUGE_VAL;

    for (unsigned h = 0; h < 0x7c00u; h++) {
        const unsigned char b[2] = {(unsigned char)(h & 0xffu), (unsigned char)(h >> 8)};
        float y = 0.0f;

        expect_ok(nn_dtype_to_f32(&y, NN_F16, b, 1, NULL), NULL);
        const double d = fabs((double)y - (double)x);
        if (d < miss || (d == miss && h % 2 == 0)) {
            miss = d;
            best = h;
        }
    }
    return best;
}

Test(dtype, halves_round_to_nearest_even)
{
    const float x[] = {0.0f,      0x1p-26f, 0x1p-25f, 0x1.8p-25f, 0x1.8p-24f, 0x1.004p-14f, 0x1.ffdp-15f, 0.1f,
                       1.0f / 3.0f,
                       1.00048828125f, 1.00146484375f, 3.1415927f, 2047.5f, 2048.5f, 4099.0f, 65504.0f, 65519.0f};

    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        unsigned char got[2];

        nn_dtype_from_f32(got, NN_F16, &x[i], 1);
        cr_expect_eq((unsigned)got[0] + 256u * got[1], nearest_half(x[i]), "%a", (double)x[i]);
    }
    const float big = 65520.0f;
    unsigned char got[2];
    nn_dtype_from_f32(got, NN_F16, &big, 1);
    cr_expect(got[1] == 0x7c && got[0] == 0, "65520 becomes infinity");
}

Test(dtype, bfloat_rounds_to_nearest_even)
{
    const float in[] = {1.0f, 0x1.01p0f, 0x1.03p0f, 0x1.02p0f, -0x1.010002p0f, 3.4e38f};
    const float want[] = {1.0f, 1.0f, 0x1.04p0f, 0x1.02p0f, -0x1.02p0f, HUGE_VALF};
    unsigned char b[12];
    float got[6];

    nn_dtype_from_f32(b, NN_BF16, in, 6);
    expect_ok(nn_dtype_to_f32(got, NN_BF16, b, 6, NULL), NULL);
    got[5] = isinf(got[5]) || got[5] > 3.38e38f ? HUGE_VALF : 0.0f;
    expect_same_floats("bf16", got, want, 6);
}

Test(dtype, blocks_hold_the_largest_and_quantise_to_themselves)
{
    float x[64], y[64];
    unsigned char a[68], b[68];

    for (int i = 0; i < 64; i++) x[i] = (float)((i * 37) % 64 - 31) * (i < 32 ? 0.01f : 3.0f);
    nn_dtype_from_f32(a, NN_Q8_0, x, 64);
    expect_ok(nn_dtype_to_f32(y, NN_Q8_0, a, 64, NULL), NULL);
    for (int i = 0; i < 64; i++) {
        const float top = i < 32 ? 0.32f : 96.0f;

        cr_assert(fabsf(y[i] - x[i]) <= top / 127.0f * 0.501f + top * 0x1p-11f, "%d: %g for %g", i,
                  (double)y[i], (double)x[i]);
    }
    nn_dtype_from_f32(b, NN_Q8_0, y, 64);
    cr_expect(memcmp(a, b, sizeof a) == 0);

    const float odd[32] = {NAN, HUGE_VALF, -HUGE_VALF, 1e38f};
    nn_dtype_from_f32(a, NN_Q8_0, odd, 32); /* no undefined conversion; the sanitizers watch */
    cr_expect(a[2] == 0 && a[3] == 127 && a[4] == 129);
}

Test(dtype, the_first_number_that_is_not_finite_is_found)
{
    static const nn_dtype types[] = {NN_F32, NN_F16, NN_BF16, NN_Q8_0};
    enum { N = 96 };
    unsigned char good[4 * N], b[4 * N];
    float x[N];

    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < N; i++) x[i] = (float)i * (i % 2 ? 600.0f : -1e-3f); /* up to 57000: an f16 */
        nn_dtype_from_f32(good, types[k], x, N);
        cr_expect_eq(nn_dtype_not_finite(types[k], good, N), N);
        for (size_t bit = 0; bit < 8 * nn_dtype_bytes(types[k], N); bit++) { /* one byte all ones but this bit */
            size_t first = 0;

            memcpy(b, good, sizeof b);
            b[bit / 8] = (unsigned char)(0xFFu ^ 1u << bit % 8);
            expect_ok(nn_dtype_to_f32(x, types[k], b, N, NULL), NULL);
            while (first < N && isfinite(x[first])) first++;
            cr_assert_eq(nn_dtype_not_finite(types[k], b, N), first, "type %zu bit %zu", k, bit);
        }
    }
}

Test(dtype, types_without_weights_are_refused)
{
    nn_err err = {NN_OK, ""};
    const unsigned char b[34] = {0};
    float x[32];

    expect_fails(nn_dtype_to_f32(x, NN_I64, b, 1, &err), NN_FILE, &err, "want F32");
    err.status = NN_OK;
    expect_fails(nn_dtype_to_f32(x, NN_Q8_0, b, 31, &err), NN_FILE, &err, "multiple of 32");
    cr_expect_eq(nn_dtype_bytes(NN_Q8_0, 64), 68u);
    cr_expect_eq(nn_dtype_bytes(NN_BF16, 3), 6u);
}

/* --- files others made -------------------------------------------------------------------- */

Test(safetensors, hugging_face_folder_reads)
{
    skip_unless_fixture("fixtures/hf/tiny-random-gpt2/model.safetensors");
    nn_safetensors *f = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_st_open(&f, shared_path("fixtures/hf/tiny-random-gpt2/model.safetensors"), &err), &err);
    const nn_st_tensor *t = nn_st_find(f, "transformer.h.0.attn.c_attn.weight");
    cr_assert(t != NULL);
    cr_expect(t->type == NN_F32 && t->n_dim == 2 && t->dim[0] == 32 && t->dim[1] == 96 && t->count == 3072);
    cr_expect_str_eq(nn_st_meta(f, "format"), "pt");
    cr_expect_null(nn_st_meta(f, "absent"));
    cr_expect_null(nn_st_find(f, "absent"));
    cr_expect_str_eq(nn_st_at(f, 0)->name, "transformer.h.0.attn.c_attn.bias");
    nn_st_close(f);
}

Test(safetensors, weights_equal_the_same_model_in_another_format)
{
    skip_unless_fixture(F32_FILE);
    skip_unless_fixture("fixtures/llama2xs/model.bin");
    nn_safetensors *f = NULL;
    nn_err err = {NN_OK, ""};
    size_t len = 0;

    /* model.bin: seven int32 of configuration, then the embedding [512,64]. */
    char *bin = read_bytes(shared_path("fixtures/llama2xs/model.bin"), &len);
    expect_ok(nn_st_open(&f, shared_path(F32_FILE), &err), &err);
    const nn_st_tensor *t = nn_st_find(f, "model.embed_tokens.weight");
    cr_assert(t && t->n_dim == 2 && t->dim[0] == 512 && t->dim[1] == 64);
    float *got = malloc(t->count * sizeof *got), *want = malloc(t->count * sizeof *want);
    expect_ok(nn_dtype_to_f32(got, t->type, t->data, t->count, &err), &err);
    expect_ok(nn_dtype_to_f32(want, NN_F32, (const unsigned char *)bin + 28, t->count, &err), &err);
    expect_same_floats("embedding", got, want, t->count);
    free(got);
    free(want);
    free(bin);
    nn_st_close(f);
}

Test(safetensors, bfloat_file_is_the_rounded_float_file)
{
    skip_unless_fixture(F32_FILE);
    skip_unless_fixture(BF16_FILE);
    nn_safetensors *f = NULL, *b = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_st_open(&f, shared_path(F32_FILE), &err), &err);
    expect_ok(nn_st_open(&b, shared_path(BF16_FILE), &err), &err);
    cr_assert_eq(nn_st_count(f), nn_st_count(b));
    for (size_t i = 0; i < nn_st_count(f); i++) {
        const nn_st_tensor *t = nn_st_at(f, i), *u = nn_st_find(b, t->name);

        cr_assert(u && u->type == NN_BF16 && u->count == t->count, "%s", t->name);
        float *x = malloc(t->count * sizeof *x);
        unsigned char *rounded = malloc(2 * t->count);
        expect_ok(nn_dtype_to_f32(x, t->type, t->data, t->count, &err), &err);
        nn_dtype_from_f32(rounded, NN_BF16, x, t->count);
        cr_expect(memcmp(rounded, u->data, 2 * t->count) == 0, "%s", t->name);
        free(rounded);
        free(x);
    }
    nn_st_close(f);
    nn_st_close(b);
}

/* --- our own files ------------------------------------------------------------------------ */

static const float six[6] = {1.0f, -2.5f, 0.0f, 3.25f, 1e-30f, -7.0f};

static void write_small(const char *path)
{
    const nn_st_out tensor[] = {{"a.weight", 2, 3, six}, {"b\"\\\n\xc3\xa9", 0, 2, six + 1}, {"none", 0, 0, six}};
    const nn_st_pair meta[] = {{"step", "12"}, {"note", "{\"x\": 1}"}};
    nn_err err = {NN_OK, ""};

    expect_ok(nn_st_write(path, tensor, 3, meta, 2, &err), &err);
}

Test(safetensors, written_file_reads_back_and_is_the_same_bytes_again)
{
    const char *path = path_in(temp_dir(), "a.safetensors"), *again = path_in(temp_dir(), "b.safetensors");
    nn_safetensors *f = NULL;
    nn_err err = {NN_OK, ""};
    float x[6];
    size_t len = 0;

    write_small(path);
    write_small(again);
    char *bytes = read_bytes(again, &len);
    cr_expect(bytes_equal_file(path, bytes, len));
    free(bytes);

    expect_ok(nn_st_open(&f, path, &err), &err);
    cr_assert_eq(nn_st_count(f), 3u);
    const nn_st_tensor *a = nn_st_find(f, "a.weight"), *b = nn_st_find(f, "b\"\\\n\xc3\xa9");
    cr_assert(a && b && nn_st_find(f, "none") && nn_st_find(f, "none")->count == 0);
    cr_expect(a->n_dim == 2 && a->dim[0] == 2 && a->dim[1] == 3 && b->n_dim == 1 && b->dim[0] == 2);
    expect_ok(nn_dtype_to_f32(x, a->type, a->data, 6, &err), &err);
    expect_same_floats("a.weight", x, six, 6);
    cr_expect_str_eq(nn_st_meta(f, "note"), "{\"x\": 1}");
    nn_st_close(f);
}

/* --- hostile files ------------------------------------------------------------------------ */

/* Opens a header with `data_len` bytes behind it; the bytes stand in their own block so that a
 * sanitizer sees the end. */
static nn_status open_header(const char *header, size_t data_len, nn_err *err)
{
    const size_t n = strlen(header), len = 8 + n + data_len;
    unsigned char *file = calloc(len, 1);
    nn_safetensors *f = NULL;

    cr_assert(file != NULL);
    for (size_t i = 0; i < 8; i++) file[i] = (unsigned char)((unsigned long long)n >> 8 * i & 0xff);
    memcpy(file + 8, header, n);
    *err = (nn_err){NN_OK, ""};
    const nn_status st = nn_st_open_memory(&f, file, len, "x", err);
    cr_expect((st == NN_OK) == (f != NULL));
    nn_st_close(f);
    free(file);
    return st;
}

Test(safetensors, headers_that_lie_are_refused_with_their_reason)
{
    static const struct {
        const char *header, *part;
        size_t data;
    } bad[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "ends early", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "after the last tensor", 9},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "want 12", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "end before they begin", 8},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         "no overlap", 6},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[5,7]}}",
         "no hole", 7},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         "a twice", 2},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", "overflow", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}", "overflow", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,0]}}", "64 bits", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", "4 dimensions", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "integer", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,4]}}", "']'", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", "']'", 4},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", "F33", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "without dtype", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "twice", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"colour\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "colour", 4},
        {"{\"a\\u0000\":{}}", "zero byte", 0},
        {"{\"a\\ud800\":{}}", "surrogate", 0},
        {"{\"a\xff\":{}}", "UTF-8", 0},
        {"{\"a\x01\":{}}", "control", 0},
        {"{\"a\\x\":{}}", "escape", 0},
        {"{\"a", "closing quote", 0},
        {"{\"__metadata__\":{\"a\":1}}", "'\"'", 0},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "twice", 0},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "twice", 0},
        {"{} x", "more text", 0},
        {"{},", "more text", 0},
        {"[]", "'{'", 0},
        {"", "'{'", 0},
    };
    nn_err err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const nn_status st = open_header(bad[i].header, bad[i].data, &err);

        cr_expect(st == NN_FILE && strstr(err.text, bad[i].part), "%s: status %d, \"%s\" lacks \"%s\"",
                  bad[i].header,
                  (int)st, err.text, bad[i].part);
    }
    expect_ok(open_header("{}  ", 0, &err), &err);
    expect_ok(open_header("{\"\\u00e9\\ud83d\\ude00\":{\"shape\":[],\"dtype\":\"F64\",\"data_offsets\":[0,8]}}",
                          8, &err), &err);
}

Test(safetensors, a_header_length_of_any_size_is_checked)
{
    const unsigned long long lengths[] = {1ull << 63, ~0ull, 100ull << 20, (100ull << 20) + 1, 9, 8};
    nn_err err;
    nn_safetensors *f = NULL;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char file[16] = {0};

        for (size_t k = 0; k < 8; k++) file[k] = (unsigned char)(lengths[i] >> 8 * k & 0xff);
        err = (nn_err){NN_OK, ""};
        cr_expect(nn_st_open_memory(&f, file, sizeof file, "x", &err) == NN_FILE, "%llu", lengths[i]);
    }
}

/* Opens a copy in a block of exactly n bytes. */
static nn_status open_copy(const char *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1);
    nn_safetensors *f = NULL;
    nn_err err = {NN_OK, ""};

    cr_assert(copy != NULL);
    memcpy(copy, bytes, n);
    const nn_status st = nn_st_open_memory(&f, copy, n, "x", &err);
    cr_expect((st == NN_OK) == (f != NULL) && (st == NN_OK || err.text[0]));
    nn_st_close(f);
    free(copy);
    return st;
}

Test(safetensors, cut_at_every_byte_is_refused_and_flipped_bits_never_crash)
{
    const char *path = path_in(temp_dir(), "a.safetensors");
    size_t len = 0;

    write_small(path);
    char *bytes = read_bytes(path, &len);
    cr_assert(open_copy(bytes, len) == NN_OK);
    for (size_t n = 0; n < len; n++) cr_expect(open_copy(bytes, n) == NN_FILE, "cut at %zu", n);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        (void)open_copy(bytes, len);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
    free(bytes);
}

Test(safetensors, each_failed_allocation_is_reported)
{
    const char *path = path_in(temp_dir(), "a.safetensors"), *again = path_in(temp_dir(), "b.safetensors");
    const nn_st_out tensor = {"a", 2, 3, six};
    nn_status st = NN_LIMIT;
    nn_err err;

    write_small(path);
    for (long n = 0; st != NN_OK; n++) {
        nn_safetensors *f = NULL;

        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = nn_st_open(&f, path, &err);
        nn_alloc_fail_at(-1);
        cr_assert((st == NN_OK && f) || (st == NN_LIMIT && !f && err.text[0]), "allocation %ld", n);
        nn_st_close(f);
    }
    st = NN_LIMIT;
    for (long n = 0; st != NN_OK; n++) {
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = nn_st_write(again, &tensor, 1, NULL, 0, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld", n);
    }
}
