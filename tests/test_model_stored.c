/* Models whose matrices stay in their file's types: the bits of the float copy from every way of computing. */
#include "nn/arena.h"
#include "nn/decode.h"
#include "nn/matrix.h"
#include "nn/model_impl.h"
#include "nn/trainer.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <stdlib.h>
#include <string.h>

/* halves: where a block's binary16 numbers stand, the same twice when it has one; plain numbers have their own. */
static const struct {
    nn_dtype type;
    size_t halves[2];
} kinds[] = {{NN_F32, {0, 0}},  {NN_F16, {0, 0}},  {NN_BF16, {0, 0}},     {NN_Q8_0, {0, 0}},     {NN_Q4_0, {0, 0}},
             {NN_Q4_1, {0, 2}}, {NN_Q5_0, {0, 0}}, {NN_Q5_1, {0, 2}},     {NN_Q2_K, {80, 82}},   {NN_Q3_K, {108, 108}},
             {NN_Q4_K, {0, 2}}, {NN_Q5_K, {0, 2}}, {NN_Q6_K, {208, 208}}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void *room(size_t n, size_t bytes)
{
    void *p = calloc(n ? n : 1, bytes);

    cr_assert(p != NULL);
    return p;
}

static uint32_t next(uint32_t *h)
{
    return (*h = *h * 1664525u + 1013904223u) >> 8;
}

/* n weights of a type, of about the size of a model's. */
static unsigned char *some_bytes(size_t kind, size_t n, uint32_t seed)
{
    const nn_dtype type = kinds[kind].type;
    const size_t block = nn_dtype_block(type), each = nn_dtype_bytes(type, block), bytes = nn_dtype_bytes(type, n);
    unsigned char *b = room(bytes, 1);

    if (block == 1) {
        float *x = room(n, sizeof *x);

        for (size_t i = 0; i < n; i++) x[i] = ((float)next(&seed) / 8388608.0f - 1.0f) * 0.2f;
        nn_dtype_from_f32(b, type, x, n);
        free(x);
        return b;
    }
    for (size_t i = 0; i < bytes; i++) b[i] = (unsigned char)(next(&seed) >> 16);
    for (size_t i = 0; i < bytes; i += each)
        for (size_t j = 0; j < 2; j++) {
            unsigned char *high = b + i + kinds[kind].halves[j] + 1;

            *high = (unsigned char)((*high & 0x83u) | 0x10u); /* a half of 2^-11 to 2^-10, of either sign */
        }
    return b;
}

/* --- products -------------------------------------------------------------------------------- */

/* din = dy w, then += it: one chain over N that goes on. */
static void check_backward(const nn_exec *x, const nn_matrix *stored, const float *w, size_t R)
{
    const size_t K = stored->K, N = stored->N;
    float *dy = room(R * N, sizeof *dy), *got = room(R * K, sizeof *got), *want = room(R * K, sizeof *want);
    uint32_t seed = 3;

    for (size_t i = 0; i < R * N; i++) dy[i] = (float)next(&seed) / 8388608.0f - 1.0f;
    memset(got, 0xff, R * K * sizeof *got);
    for (int add = 0; add < 2; add++) {
        nn_product_bwd(x, got, dy, stored, R, add);
        nn_matmul(x, NN_NN, want, dy, w, R, K, N, add);
        expect_same_floats("backward", got, want, R * K);
    }
    free(dy);
    free(got);
    free(want);
}

/* Three matrices of one input, as a block has them. */
static void check_products(const nn_exec *x, size_t kind, size_t R, size_t K)
{
    static const size_t N[] = {1, 100, 17};
    const nn_dtype type = kinds[kind].type;
    unsigned char *bytes[3];
    float *w[3], *y[3], *in = room(R * K, sizeof *in);
    float *bias = room(N[1], sizeof *bias), *want = room(R * N[1], sizeof *want);
    nn_matrix m[3];
    nn_product p[3];
    uint32_t seed = 5;

    for (size_t i = 0; i < R * K; i++) in[i] = (float)next(&seed) / 8388608.0f - 1.0f;
    for (size_t i = 0; i < N[1]; i++) bias[i] = (float)next(&seed) / 8388608.0f;
    for (size_t i = 0; i < 3; i++) {
        bytes[i] = some_bytes(kind, N[i] * K, (uint32_t)(7 + i));
        w[i] = room(N[i] * K, sizeof **w);
        y[i] = room(R * N[i], sizeof **y);
        expect_ok(nn_dtype_to_f32(w[i], type, bytes[i], N[i] * K, NULL), NULL);
        m[i] = (nn_matrix){.N = N[i], .K = K, .bytes = bytes[i], .type = type};
        p[i] = (nn_product){y[i], m + i, i == 1 ? bias : NULL};
        memset(y[i], 0xff, R * N[i] * sizeof **y);
    }
    nn_products_fwd(x, p, 3, in, R, (nn_rows_i8){NULL, NULL});
    for (size_t i = 0; i < 3; i++) {
        nn_linear_fwd(x, want, in, w[i], p[i].bias, R, N[i], K);
        expect_same_floats(nn_dtype_name(type), y[i], want, R * N[i]);
        check_backward(x, m + i, w[i], R);
        free(bytes[i]);
        free(w[i]);
        free(y[i]);
    }
    free(in);
    free(bias);
    free(want);
}

Test(model_stored, products_are_those_of_the_floats)
{
    static const size_t rows[] = {1, 2, 7, 33, 130};

    for (size_t threads = 1; threads <= 3; threads += 2)
        for (size_t kind = 0; kind < KINDS; kind++)
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const size_t block = nn_dtype_block(kinds[kind].type);
                nn_exec x = tiny_exec(threads);

                check_products(&x, kind, rows[i], block == 1 ? 531 : block == 32 ? 544 : 768);
                check_products(&x, kind, rows[i], block == 1 ? 3 : block);
                nn_exec_free(&x);
            }
}

Test(model_stored, every_table_has_the_same_products_and_panels)
{
    const nn_kern *k = NULL;
    bool supported = false;

    for (size_t i = 0; (k = nn_kern_at(i, &supported)) != NULL; i++) {
        nn_exec x;

        if (!supported) continue;
        cr_assert(nn_exec_open(&x, k->name, 1, 8, NULL) == NN_OK);
        for (size_t kind = 0; kind < KINDS; kind++) {
            const size_t K = 768, N = 35;
            unsigned char *bytes = some_bytes(kind, N * K, 3);
            float *w = room(N * K, sizeof *w), *row = room(N * K, sizeof *row);
            const size_t panels = nn_matrix_panel_floats(N, K);
            float *got = room(panels, sizeof *got), *want = room(panels, sizeof *want);
            const nn_matrix m = {.N = N, .K = K, .bytes = bytes, .type = kinds[kind].type};

            check_products(&x, kind, 2, K);
            expect_ok(nn_dtype_to_f32(w, m.type, bytes, N * K, NULL), NULL);
            k->from_stored(row, m.type, bytes, N * K);
            expect_same_floats("floats", row, w, N * K);
            nn_matrix_pack(&x, want, w, N, K);
            nn_matrix_pack_stored(&x, got, &m);
            expect_same_floats("panels", got, want, panels);
            free(bytes);
            free(w);
            free(row);
            free(got);
            free(want);
        }
        nn_exec_free(&x);
    }
}

/* --- models ---------------------------------------------------------------------------------- */

typedef struct {
    nn_model *m, *floats; /* the same weights */
    unsigned char *bytes[64];
} pair;

/* kind KINDS: every matrix another type. */
static pair pair_of(nn_config c, size_t kind)
{
    pair p = {NULL, NULL, {NULL}};
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_build_stored(&p.m, &c, &err), &err);
    cr_assert(nn_model_is_stored(p.m) && nn_model_tensors(p.m) <= 64);
    for (size_t i = 0; i < nn_model_tensors(p.m); i++) {
        const nn_tensor t = nn_model_tensor(p.m, i);
        uint32_t seed = (uint32_t)i;

        for (size_t j = 0; t.data && j < t.rows * t.cols; j++)
            t.data[j] += ((float)next(&seed) / 8388608.0f - 1.0f) * 0.2f;
        if (t.data) continue;
        const size_t k = kind < KINDS ? kind : (3 * i + 1) % KINDS;
        p.bytes[i] = some_bytes(k, t.rows * t.cols, (uint32_t)i);
        expect_ok(nn_model_place_stored(p.m, i, kinds[k].type, p.bytes[i], &err), &err);
    }
    expect_ok(nn_model_floats(&p.floats, p.m, &err), &err);
    return p;
}

static void pair_free(pair *p)
{
    nn_model_free(p->m);
    nn_model_free(p->floats);
    for (size_t i = 0; i < 64; i++) free(p->bytes[i]);
}

/* Widths that are whole blocks of any type. */
static nn_config wide_config(tiny_kind kind)
{
    nn_config c = tiny_config(kind);

    c.width = 256;
    c.heads = 4;
    c.head_dim = 64;
    c.ff = 512;
    return c;
}

static nn_state *build_state(const nn_model *m)
{
    nn_state *s = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_state_build(&s, m, TINY_ROWS, TINY_SEG, &err), &err);
    return s;
}

static const size_t lengths[] = {5, 1, 9, 7};
enum { N_SEG = 4, ALL = 22 };

/* Everything that a forward pass gives. */
static void expect_same_results(const nn_model *got, const nn_model *want, const nn_exec *x)
{
    const nn_config *c = nn_model_config(want);
    nn_state *a = build_state(got), *b = build_state(want);
    float *z = room(2 * ALL * c->vocab, sizeof *z);
    size_t rows[ALL];
    tiny_batch t;

    for (size_t i = 0; i < ALL; i++) rows[i] = i;
    tiny_fill(&t, c, lengths, N_SEG, 2);
    nn_model_fwd(got, a, x, &t.b);
    nn_model_fwd(want, b, x, &t.b);
    expect_same_floats("hidden", nn_state_hidden(a), nn_state_hidden(b), ALL * c->width);
    if (c->n_class) expect_same_floats("verdict", nn_state_verdict(a), nn_state_verdict(b), 2 * N_SEG);
    if (c->n_category)
        expect_same_floats("category", nn_state_category(a), nn_state_category(b), N_SEG * c->n_category);
    if (c->lm_head) {
        nn_state_lm_logits(got, a, x, z, rows, ALL);
        nn_state_lm_logits(want, b, x, z + ALL * c->vocab, rows, ALL);
        expect_same_floats("logits", z, z + ALL * c->vocab, ALL * c->vocab);
    }
    free(z);
    nn_state_free(a);
    nn_state_free(b);
}

Test(model_stored, results_are_those_of_the_floats)
{
    for (size_t kind = 0; kind <= KINDS; kind++) {
        pair p = pair_of(wide_config(TINY_QWEN), kind);
        nn_exec x = tiny_exec(2);

        expect_same_results(p.m, p.floats, &x);
        nn_exec_free(&x);
        pair_free(&p);
    }
}

/* Memory, heads, biases, a tied output; rows that are no whole blocks; the copy that products read fastest. */
Test(model_stored, guards_and_packed_copies_give_the_same)
{
    for (int kind = 0; kind < TINY_KINDS; kind++)
        for (size_t type = 0; type < 3; type++) {
            pair p = pair_of(tiny_config((tiny_kind)kind), type);
            nn_exec x = tiny_exec(3);
            nn_model *copy = NULL;
            nn_err err = {NN_OK, ""};

            expect_same_results(p.m, p.floats, &x);
            expect_ok(nn_model_clone(&copy, p.m, &err), &err);
            cr_expect(nn_model_is_stored(copy) && !nn_model_is_stored(p.floats));
            expect_ok(nn_model_pack(copy, &x, &err), &err);
            expect_same_results(copy, p.floats, &x);
            nn_model_unpack(copy);
            expect_same_results(copy, p.floats, &x);
            nn_model_free(copy);
            nn_exec_free(&x);
            pair_free(&p);
        }
}

static void decode(const nn_model *m, const nn_exec *x, int32_t *out, float *logprob)
{
    enum { NEW = 12 };
    static const int32_t prompt[] = {3, 1, 4};
    const nn_sampler s = nn_sampler_default();
    nn_decode_row row = {.prompt = prompt, .n_prompt = 3, .max_new = NEW, .rng = nn_rng_at(1, "stored", 0), .out = out,
                         .logprob = logprob};
    nn_decoder *d = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_decoder_build(&d, m, 2, &err), &err);
    nn_decode_batch(m, d, x, &row, 1, &s, NULL, NULL);
    cr_expect_eq(row.n_out, NEW);
    nn_decoder_free(d);
}

Test(model_stored, decoding_draws_what_the_floats_draw)
{
    pair p = pair_of(wide_config(TINY_LLAMA), KINDS);
    nn_exec x = tiny_exec(2);
    int32_t a[12], b[12];
    float la[12], lb[12];

    decode(p.m, &x, a, la);
    decode(p.floats, &x, b, lb);
    cr_expect_arr_eq(a, b, sizeof a);
    expect_same_floats("logprob", la, lb, 12);
    nn_exec_free(&x);
    pair_free(&p);
}

/* A decoder packs float models, its third allocation; of a stored one it takes no copy. */
Test(model_stored, a_decoder_makes_no_float_copy)
{
    pair p = pair_of(wide_config(TINY_LLAMA), 1);
    nn_err err = {NN_OK, ""};
    nn_decoder *d = NULL;
    const nn_tensor q = nn_model_tensor(p.m, 2);

    cr_assert(q.bytes && !q.data && q.type == NN_F16 && q.bytes == p.bytes[2]);
    nn_alloc_fail_at(2);
    expect_ok(nn_decoder_build(&d, p.m, 1, &err), &err);
    nn_decoder_free(d);
    nn_alloc_fail_at(2);
    expect_fails(nn_decoder_build(&d, p.floats, 1, &err), NN_LIMIT, &err, "");
    nn_alloc_fail_at(-1);
    pair_free(&p);
}

Test(model_stored, hashes_tell_types_and_weights_apart)
{
    pair f32 = pair_of(tiny_config(TINY_QWEN), 0), f16 = pair_of(tiny_config(TINY_QWEN), 1);
    char a[65], b[65], c[65];
    nn_model *copy = NULL;
    nn_tensor t;

    nn_model_hash(f32.m, a);
    nn_model_hash(f32.floats, b);
    cr_expect_str_eq(a, b, "F32 is the floats");
    nn_model_hash(f16.m, a);
    nn_model_hash(f16.floats, b);
    cr_expect_str_neq(a, b);
    cr_assert(nn_model_clone(&copy, f16.m, NULL) == NN_OK);
    nn_model_hash(copy, c);
    cr_expect_str_eq(a, c);
    cr_assert(nn_model_find(copy, "blk.1.ffn_down.weight", &t) && t.bytes && t.rows == 20 && t.cols == 28);
    f16.bytes[2][0] ^= 1;
    nn_model_hash(copy, c);
    cr_expect_str_neq(a, c);
    nn_model_free(copy);
    pair_free(&f32);
    pair_free(&f16);
}

Test(model_stored, int8_of_it_is_int8_of_the_floats)
{
    pair p = pair_of(wide_config(TINY_QWEN), KINDS);
    nn_exec x = tiny_exec(1);
    nn_model *a = NULL, *b = NULL;
    char of_a[65], of_b[65];

    cr_assert(nn_model_quantize(&a, p.m, x.k, NULL) == NN_OK && nn_model_quantize(&b, p.floats, x.k, NULL) == NN_OK);
    nn_model_hash(a, of_a);
    nn_model_hash(b, of_b);
    cr_expect_str_eq(of_a, of_b);
    nn_model_free(a);
    nn_model_free(b);
    nn_exec_free(&x);
    pair_free(&p);
}

/* --- what is refused ------------------------------------------------------------------------- */

static void expect_refused(nn_model *m, nn_dtype type, const unsigned char *bytes, const char *part)
{
    nn_err err = {NN_OK, ""};

    expect_fails(nn_model_place_stored(m, 2, type, bytes, &err), NN_FILE, &err, part);
    cr_expect(strncmp(err.text, "blk.0.attn_q.weight: ", 21) == 0, "%s", err.text);
}

Test(model_stored, types_shapes_and_numbers_that_do_not_fit_are_refused)
{
    pair p = pair_of(tiny_config(TINY_QWEN), 1);
    nn_trainer *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_refused(p.m, NN_I8, p.bytes[2], "type I8");
    expect_refused(p.m, NN_DTYPE_OTHER, p.bytes[2], "type other");
    expect_refused(p.m, NN_Q4_K, p.bytes[2], "rows of 20 weights in type Q4_K, want a multiple of 256");
    p.bytes[2][2 * 123 + 1] = 0x7c; /* infinity */
    p.bytes[2][2 * 123] = 0;
    expect_refused(p.m, NN_F16, p.bytes[2], "weight 123 is a NaN or an infinity");
    const nn_trainer_options small = {.max_rows = 8, .max_seg = 2};
    expect_fails(nn_trainer_build(&t, p.m, small, &err), NN_USAGE, &err, "want a float copy");
    pair_free(&p);
}

Test(model_stored, each_failed_allocation_is_reported)
{
    const nn_config c = tiny_config(TINY_GUARD);
    pair p = pair_of(c, 1);
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        nn_model *built = NULL, *copy = NULL, *floats = NULL;

        nn_alloc_fail_at(n);
        if ((st = nn_model_build_stored(&built, &c, NULL)) == NN_OK && (st = nn_model_clone(&copy, p.m, NULL)) == NN_OK)
            st = nn_model_floats(&floats, p.m, NULL);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !floats), "allocation %ld", n);
        nn_model_free(built);
        nn_model_free(copy);
        nn_model_free(floats);
    }
    pair_free(&p);
}
