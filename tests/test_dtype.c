/* The block types of GGUF files: against another implementation, against the floats they came from, NaN scales. */
#include "nn/dtype.h"
#include "nn/gguf.h"
#include "nn/kern.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* halves: where a block's binary16 numbers stand; twice the same when it has one. */
static const struct {
    nn_dtype type;
    size_t halves[2];
    const char *golden;
} blocks[] = {
    /* SHA-256 of the floats that the formulas of gguf-py/gguf/quants.py (ggml-org/llama.cpp), run with numpy 1.24.2,
     * make of fill_blocks' bytes */
    {NN_Q8_0, {0, 0}, "5cd30fbd5c5638425ca4d93fd54f9940b1f1c1e4c3f60f285f19c4f37e27f8c1"},
    {NN_Q4_0, {0, 0}, "b898027311482795e3b3ec86f2c507c723e26e0dc6928abbb93065dd56d30a4c"},
    {NN_Q4_1, {0, 2}, "d85182e3542dad27df10af4ff5cf3885e73b5be8ca540df928f612c4de0ce0b8"},
    {NN_Q5_0, {0, 0}, "b6f81b395603fa9598b52515cd365058012c42a9adccd49c54ae55285d5a5cf0"},
    {NN_Q5_1, {0, 2}, "af296a3c3eaba5b00b390bf5aa1eb3cfddd4e2515319eecf4d760313cc0cf81d"},
    {NN_Q2_K, {80, 82}, "cf016eaa7a2756907febdd6d36568fe6af591f78b1a87598f19692cc62e34bb0"},
    {NN_Q3_K, {108, 108}, "db7d6ecb54fd5d148f9ce7f1f124f7d20362ae967cb403f50fcb74c140c5dabe"},
    {NN_Q4_K, {0, 2}, "31ef4ef4b1ba3983278064e1b2b10cd22f1184a565833a7ae9d517bda9e1c07b"},
    {NN_Q5_K, {0, 2}, "c47acdcad141e20b68ebf360b6910a81e17d548b15ce4561e3c662858a4bb39e"},
    {NN_Q6_K, {208, 208}, "d9b070473ff7851ad3a30bc804f3424c2cb8fcabd2960a0ae058772ae6cda1a6"},
};
enum { KINDS = sizeof blocks / sizeof *blocks, N_BLOCK = 64 };

/* Bytes of a linear congruence; scales with exponents of at most 15, so that they are finite. */
static unsigned char *fill_blocks(size_t kind)
{
    const size_t each = nn_dtype_bytes(blocks[kind].type, 1), n = N_BLOCK * each;
    unsigned char *b = malloc(n);
    uint32_t h = 1;

    cr_assert(b != NULL);
    for (size_t i = 0; i < n; i++) {
        h = h * 1664525u + 1013904223u;
        b[i] = (unsigned char)(h >> 24);
    }
    for (size_t i = 0; i < N_BLOCK; i++)
        for (size_t j = 0; j < 2; j++) b[i * each + blocks[kind].halves[j] + 1] &= 0xbf;
    return b;
}

Test(dtype, blocks_are_the_floats_of_another_implementation)
{
    for (size_t k = 0; k < KINDS; k++) {
        const size_t n = N_BLOCK * nn_dtype_block(blocks[k].type);
        unsigned char *b = fill_blocks(k), *bytes = malloc(4 * n);
        float *x = malloc(n * sizeof *x);
        char hex[65];
        nn_sha256 s;
        nn_err err = {NN_OK, ""};

        cr_assert(x && bytes);
        expect_ok(nn_dtype_to_f32(x, blocks[k].type, b, n, &err), &err);
        nn_dtype_from_f32(bytes, NN_F32, x, n);
        nn_sha256_init(&s);
        nn_sha256_add(&s, bytes, 4 * n);
        nn_sha256_end_hex(&s, hex);
        cr_expect_str_eq(hex, blocks[k].golden, "%s", nn_dtype_name(blocks[k].type));
        free(bytes);
        free(x);
        free(b);
    }
}

Test(dtype, a_scale_that_is_not_finite_is_found_at_its_block)
{
    for (size_t k = 0; k < KINDS; k++) {
        const size_t block = nn_dtype_block(blocks[k].type), each = nn_dtype_bytes(blocks[k].type, block);
        unsigned char *b = fill_blocks(k);

        cr_expect_eq(nn_dtype_not_finite(blocks[k].type, b, N_BLOCK * block), N_BLOCK * block);
        for (size_t j = 0; j < 2; j++) {
            unsigned char *high = b + 37 * each + blocks[k].halves[j] + 1, kept = *high;

            *high = 0xfc; /* minus infinity, or a NaN */
            cr_expect_eq(nn_dtype_not_finite(blocks[k].type, b, N_BLOCK * block), 37 * block, "%s half %zu",
                         nn_dtype_name(blocks[k].type), j);
            *high = kept;
        }
        free(b);
    }
}

Test(dtype, sizes_and_names_are_the_formats)
{
    static const struct {
        nn_dtype type;
        size_t block, bytes;
        const char *name;
    } want[] = {{NN_F32, 1, 4, "F32"},       {NN_BF16, 1, 2, "BF16"},     {NN_Q8_0, 32, 34, "Q8_0"},
                {NN_Q4_0, 32, 18, "Q4_0"},   {NN_Q4_1, 32, 20, "Q4_1"},   {NN_Q5_0, 32, 22, "Q5_0"},
                {NN_Q5_1, 32, 24, "Q5_1"},   {NN_Q2_K, 256, 84, "Q2_K"},  {NN_Q3_K, 256, 110, "Q3_K"},
                {NN_Q4_K, 256, 144, "Q4_K"}, {NN_Q5_K, 256, 176, "Q5_K"}, {NN_Q6_K, 256, 210, "Q6_K"}};

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        cr_expect_eq(nn_dtype_block(want[i].type), want[i].block);
        cr_expect_eq(nn_dtype_bytes(want[i].type, 3 * want[i].block), 3 * want[i].bytes, "%s", want[i].name);
        cr_expect_str_eq(nn_dtype_name(want[i].type), want[i].name);
        cr_expect(nn_dtype_is_weights(want[i].type));
    }
    cr_expect_eq(nn_dtype_block(NN_DTYPE_OTHER), 0u);
    cr_expect_eq(nn_dtype_bytes(NN_DTYPE_OTHER, 7), 0u);
}

/* --- files others made ---------------------------------------------------------------------- */

static float *floats_of(const nn_st_tensor *t)
{
    float *x = malloc(t->count * sizeof *x);
    nn_err err = {NN_OK, ""};

    cr_assert(x != NULL);
    expect_ok(nn_dtype_to_f32(x, t->type, t->data, t->count, &err), &err);
    return x;
}

/* |quantised - float| / |float| over all matrices of a type. Halves or bits that are swapped give far more. */
Test(dtype, quantised_files_are_near_the_float_file)
{
    static const struct {
        const char *file;
        nn_dtype type;
        double most;
    } kind[] = {{"fixtures/llama2xs/llama2xs_Q8_0.gguf", NN_Q8_0, 0.006},
                {"fixtures/llama2xs/llama2xs_Q5_0.gguf", NN_Q5_0, 0.05},
                {"fixtures/llama2xs/llama2xs_Q5_1.gguf", NN_Q5_1, 0.05},
                {"fixtures/llama2xs/llama2xs_Q4_0.gguf", NN_Q4_0, 0.10},
                {"fixtures/llama2xs/llama2xs_Q4_1.gguf", NN_Q4_1, 0.10}};

    skip_unless_fixture("fixtures/llama2xs/llama2xs_f32.gguf");
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        skip_unless_fixture(kind[k].file);
        nn_gguf *f = NULL, *q = NULL;
        nn_err err = {NN_OK, ""};
        double apart = 0.0, norm = 0.0;

        expect_ok(nn_gguf_open(&f, shared_path("fixtures/llama2xs/llama2xs_f32.gguf"), &err), &err);
        expect_ok(nn_gguf_open(&q, shared_path(kind[k].file), &err), &err);
        for (size_t i = 0; i < nn_gguf_tensors(q); i++) {
            const nn_st_tensor *u = nn_gguf_tensor(q, i), *t = nn_gguf_find(f, u->name);

            if (u->type != kind[k].type) continue;
            cr_assert(t && t->count == u->count);
            float *x = floats_of(t), *y = floats_of(u);
            for (size_t j = 0; j < t->count; j++) {
                const double d = (double)y[j] - (double)x[j];

                apart += d * d;
                norm += (double)x[j] * (double)x[j];
            }
            free(x);
            free(y);
        }
        const double share = sqrt(apart / norm);
        cr_expect(norm > 0.0 && share < kind[k].most, "%s: %g of the norm", kind[k].file, share);
        nn_gguf_close(f);
        nn_gguf_close(q);
    }
}

/* Blocks of falling size; one of zeros, two in which the largest magnitude stands twice. */
static float *fill_floats(size_t n)
{
    float *x = malloc(n * sizeof *x);
    uint32_t h = 1;

    cr_assert(x && n >= 96);
    for (size_t i = 0; i < n; i++) {
        h = h * 1664525u + 1013904223u;
        x[i] = (float)ldexp((double)(h >> 8) - 8388608.0, -23 - (int)(i / 32 % 12));
    }
    memset(x, 0, 32 * sizeof *x);
    x[32 + 3] = x[64 + 9] = -2.0f;
    x[32 + 7] = x[64 + 5] = 2.0f;
    return x;
}

Test(dtype, floats_become_the_q4_0_blocks_of_another_implementation)
{
    enum { N = 64 * 32 };
    unsigned char bytes[64 * 18];
    float *x = fill_floats(N), back[N];
    char hex[65];
    nn_sha256 s;
    nn_err err = {NN_OK, ""};

    nn_dtype_from_f32(bytes, NN_Q4_0, x, N);
    nn_sha256_init(&s);
    nn_sha256_add(&s, bytes, sizeof bytes);
    nn_sha256_end_hex(&s, hex);
    /* gguf-py/gguf/quants.py (ggml-org/llama.cpp), run with numpy 1.24.2, of the same floats */
    cr_expect_str_eq(hex, "9f3839519ae4a322d94f34814e871226172d1ca8b1e4c6c7ca1238792eda94de");
    expect_ok(nn_dtype_to_f32(back, NN_Q4_0, bytes, N, &err), &err);
    cr_expect(back[32 + 3] == -2.0f && back[32 + 7] == 1.75f, "the first of equals is met exactly: %g %g",
              (double)back[32 + 3], (double)back[32 + 7]);
    cr_expect(back[64 + 5] == 2.0f && back[64 + 9] == -1.75f);
    free(x);
}
