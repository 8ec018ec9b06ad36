#include "guard/gguard.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_guard_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A saved guard: the file's bytes (free() them) and what was saved. */
typedef struct {
    guard_classifier *g;
    const char *path;
    unsigned char *bytes;
    size_t len;
} saved;

static saved save_guard(bool wide, bool decoder, nn_dtype type)
{
    saved s = {random_guard(wide, decoder, 51), path_in(temp_dir(), "guard.gguf"), NULL, 0};
    nn_err err = {NN_OK, ""};

    s.g->parts.threshold[1] = 0.625f;
    s.g->parts.calibrate_a = 0.75;
    s.g->parts.calibrate_b = -0.125;
    guard_classifier_stamp(s.g, "round two", "abcd", "1234", "CC-BY-4.0");
    expect_ok(guard_classifier_save(s.g, s.path, type, &err), &err);
    s.bytes = (unsigned char *)read_bytes(s.path, &s.len);
    return s;
}

static void saved_free(saved *s)
{
    guard_classifier_close(s->g);
    free(s->bytes);
}

/* --- there and back ------------------------------------------------------------------------------------ */

static void expect_same_guard(const guard_classifier *a, const guard_classifier *b)
{
    const guard_parts *p = guard_classifier_parts(a), *q = guard_classifier_parts(b);
    char tok[2][65];

    nn_tok_hash(p->tok, tok[0]);
    nn_tok_hash(q->tok, tok[1]);
    cr_expect_str_eq(tok[0], tok[1]);
    cr_expect_str_eq(hash_of(a), hash_of(b));
    cr_expect((p->m != NULL) == (q->m != NULL) && (p->wide != NULL) == (q->wide != NULL));
    cr_expect(p->window == q->window && p->stride == q->stride);
    cr_expect_str_eq(p->name, q->name);
    cr_expect_str_eq(p->ledger, q->ledger);
    cr_expect_str_eq(p->corpus, q->corpus);
    cr_expect_eq(memcmp(&p->taxonomy, &q->taxonomy, sizeof p->taxonomy), 0);
    guard_classifier_sha256(a, tok[0]);
    guard_classifier_sha256(b, tok[1]);
    cr_expect(strlen(tok[0]) == 64 && strcmp(tok[0], tok[1]) == 0);
}

static void expect_round_trip(bool wide, bool decoder, nn_dtype type)
{
    saved s = save_guard(wide, decoder, type);
    guard_classifier *file = NULL, *memory = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_open(&file, s.path, &err), &err);
    expect_ok(guard_classifier_open_memory(&memory, s.bytes, s.len, &err), &err);
    expect_same_guard(s.g, file);
    expect_same_guard(s.g, memory);
    expect_ok(guard_classifier_save(file, s.path, type, &err), &err);
    cr_expect(bytes_equal_file(s.path, s.bytes, s.len), "saved again: the same bytes");
    guard_classifier_close(file);
    guard_classifier_close(memory);
    saved_free(&s);
}

Test(gguard, what_is_read_is_what_was_rounded)
{
    const nn_dtype types[] = {NN_F32, NN_F16, NN_BF16, NN_Q8_0, NN_Q4_0, NN_I8};

    for (size_t i = 0; i < 5; i++) {
        expect_round_trip(true, true, types[i]);
        expect_round_trip(true, false, types[i]);
        expect_round_trip(false, true, types[i]);
    }
}

Test(gguard, rounding_twice_is_rounding_once_for_tiny_weights_too)
{
    for (int k = 0; k < 2; k++) {
        const nn_dtype type = k ? NN_Q4_0 : NN_Q8_0;
        guard_classifier *g = random_guard(true, true, 52);
        nn_tensor t;
        nn_err err = {NN_OK, ""};

        cr_assert(nn_model_find(guard_classifier_parts(g)->m, "guard.memory.weight", &t));
        for (size_t i = 0; i < t.rows * t.cols; i++)
            t.data[i] *= exp2f(-(float)(i / 32 % 24)); /* scales down to subnormal f16 */
        expect_ok(guard_classifier_round(g, type, &err), &err);
        const char *const once = hash_of(g);
        expect_ok(guard_classifier_round(g, type, &err), &err);
        cr_expect_str_eq(once, hash_of(g));
        guard_classifier_close(g);
    }
}

Test(gguard, four_bits_hold_the_body_and_neither_heads_nor_wide_part)
{
    saved s = save_guard(true, true, NN_Q4_0);
    nn_gguf *f = NULL;
    nn_err err = {NN_OK, ""};
    const struct {
        const char *name;
        nn_dtype type;
    } want[] = {{"blk.1.attn_q.weight", NN_Q4_0}, {"guard.memory.weight", NN_Q4_0}, {"token_embd.weight", NN_Q4_0},
                {"blk.0.ffn_down.weight", NN_F32}, {"cls.output.weight", NN_F32}, {"guard.category.weight", NN_F32},
                {GUARD_WIDE_WEIGHT, NN_Q8_0}, {GUARD_WIDE_IDF, NN_Q8_0}};

    expect_ok(nn_gguf_open_memory(&f, s.bytes, s.len, "guard", &err), &err);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const nn_st_tensor *t = nn_gguf_find(f, want[i].name);
        cr_expect(t && t->type == want[i].type, "%s", want[i].name);
    }
    nn_gguf_close(f);
    saved_free(&s);
}

Test(gguard, other_programs_find_their_keys)
{
    saved s = save_guard(true, true, NN_Q8_0);
    nn_gguf *f = NULL;
    const char *text = NULL;
    size_t len = 0, n = 0;
    uint64_t v = 0;
    nn_gg_type type;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_open_memory(&f, s.bytes, s.len, "guard", &err), &err);
    cr_expect(nn_gguf_str(f, "general.architecture", &text, &len) && len == 5 && memcmp(text, "qwen3", 5) == 0);
    cr_expect(nn_gguf_u64(f, "qwen3.block_count", &v) && v == 2);
    cr_expect(nn_gguf_u64(f, "qwen3.attention.head_count_kv", &v) && v == 2);
    cr_expect(nn_gguf_str(f, "tokenizer.ggml.model", &text, &len) && len == 4 && memcmp(text, "gpt2", 4) == 0);
    cr_expect(nn_gguf_array(f, "tokenizer.ggml.tokens", &type, &n) && n == nn_tok_vocab(s.g->parts.tok));
    cr_expect(nn_gguf_array_str(f, "tokenizer.ggml.tokens", NN_TOK_BYTES + ' ', &text, &len) && len == 2 &&
              memcmp(text, "\xc4\xa0", 2) == 0);
    cr_expect(nn_gguf_array(f, "tokenizer.ggml.merges", &type, &n) && type == NN_GG_STRING &&
              n == nn_tok_vocab(s.g->parts.tok) - NN_TOK_MERGES);
    const nn_st_tensor *q = nn_gguf_find(f, "blk.1.attn_q.weight"),
                       *down = nn_gguf_find(f, "blk.0.ffn_down.weight"),
                       *norm = nn_gguf_find(f, "blk.0.attn_norm.weight");
    cr_assert(q && down && norm);
    cr_expect(q->type == NN_Q8_0 && down->type == NN_F32 && norm->type == NN_F32 && norm->n_dim == 1);
    nn_gguf_close(f);
    saved_free(&s);
}

/* --- what is refused ------------------------------------------------------------------------------------ */

/* Where the value of a key stands: right behind the key's bytes and the 4 bytes of its type. */
static size_t value_of(const saved *s, const char *key)
{
    const size_t n = strlen(key);

    for (size_t i = 8; i + n + 4 < s->len; i++)
        if (memcmp(s->bytes + i, key, n) == 0 && s->bytes[i - 8] == n && s->bytes[i - 7] == 0) return i + n + 4;
    cr_assert(false, "no key %s", key);
    return 0;
}

static void expect_refused(const saved *s, const char *want)
{
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_classifier_open_memory(&g, s->bytes, s->len, &err), NN_FILE, &err, want);
    cr_expect_null(g);
}

/* The file with one byte of a key's value set, at `at` from its beginning. */
static void expect_refused_with(const char *key, size_t at, unsigned byte, const char *want)
{
    saved s = save_guard(true, true, NN_F32);

    s.bytes[value_of(&s, key) + at] = (unsigned char)byte;
    expect_refused(&s, want);
    saved_free(&s);
}

Test(gguard, contradictions_are_refused_with_what_was_expected)
{
    expect_refused_with("guard.version", 0, 2, "guard.version");
    expect_refused_with("guard.prompt_format", 8, 'b', "guard.prompt_format");
    expect_refused_with("guard.window", 0, 200, "want the window's 200");
    expect_refused_with("guard.window", 0, 3, "from 16 to 4096");
    expect_refused_with("guard.stride", 0, 0, "guard.stride");
    expect_refused_with("guard.threshold.rates", 12 + 3, 0, "0.01, 0.02, 0.05, 0.1");
    expect_refused_with("guard.threshold.values", 12 + 3, 0x7f, "want 0 to 1");
    expect_refused_with("guard.calibration", 12 + 3, 0xbf, "calibration"); /* a below 0 */
    expect_refused_with("guard.tokenizer.sha256", 8, 'x', "guard.tokenizer.sha256");
    expect_refused_with("guard.tokenizer.merges", 12 + 1, 9,
                        "guard.tokenizer.merges"); /* an id that is not there yet */
    expect_refused_with("tokenizer.ggml.tokens", 12 + 8, '?', "tokenizer.ggml.tokens");
    expect_refused_with("qwen3.block_count", 0, 3, "blk.2.attn_norm.weight");
    expect_refused_with("qwen3.embedding_length", 2, 1, "model: width");
    expect_refused_with("qwen3.attention.head_count", 0, 3, "multiple of kv_heads");
    expect_refused_with("qwen3.vocab_size", 0, 255, "token_embd.weight");
    expect_refused_with("guard.memory.rows", 3, 0x20, "configuration");
    expect_refused_with("guard.category.rows", 0, 1, "guard.category.weight");
    expect_refused_with("guard.wide.bits", 0, 24, "guard.wide.bits");
    expect_refused_with("guard.decoder", 0, 0, "2 of its configuration"); /* the decoder's tensors are left over */
    expect_refused_with("guard.decoder.pool", 8, 'L', "guard.decoder.pool");
    expect_refused_with("guard.taxonomy.severity", 12 + 3, 9, "guard.taxonomy.severity");
}

/* A tensor's data, found by its first numbers. */
static size_t data_of(const saved *s, const char *name)
{
    nn_gguf *f = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_open_memory(&f, s->bytes, s->len, "guard", &err), &err);
    const nn_st_tensor *t = nn_gguf_find(f, name);
    cr_assert(t != NULL);
    const size_t at = (size_t)(t->data - s->bytes);
    nn_gguf_close(f);
    return at;
}

Test(gguard, weights_that_are_no_numbers_are_refused)
{
    static const char *const names[] = {"blk.0.ffn_up.weight", "guard.wide.weight", "guard.wide.idf",
                                        "output_norm.weight"};

    for (size_t i = 0; i < 4; i++) {
        saved s = save_guard(true, true, NN_F32);

        memcpy(s.bytes + data_of(&s, names[i]) + 20, "\0\0\xc0\x7f", 4);
        expect_refused(&s, names[i]);
        expect_refused(&s, "number 5 is not finite");
        saved_free(&s);
    }
}

Test(gguard, a_missing_tensor_is_named)
{
    saved s = save_guard(true, true, NN_F32);

    for (size_t i = 0; i + 20 < s.len; i++)
        if (memcmp(s.bytes + i, "blk.1.ffn_gate.weight", 21) == 0) s.bytes[i + 4] = '9';
    expect_refused(&s, "blk.1.ffn_gate.weight is absent");
    saved_free(&s);
}

Test(gguard, a_file_that_is_not_there_or_not_a_guard_is_said)
{
    const char *path = path_in(temp_dir(), "other.gguf");
    guard_classifier *g = NULL;
    nn_gguf_writer *w = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_classifier_open(&g, "no/such.gguf", &err), NN_FILE, &err, "no/such.gguf");
    write_text(path, "GGUF? no");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_classifier_open(&g, path, &err), NN_FILE, &err, "other.gguf");
    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    nn_gguf_put_str(w, "general.architecture", "llama");
    err = (nn_err){NN_OK, ""};
    expect_ok(nn_gguf_save(w, path, &err), &err);
    nn_gguf_writer_free(w);
    expect_fails(guard_classifier_open(&g, path, &err), NN_FILE, &err, "guard.version");
}

/* --- hostile bytes -------------------------------------------------------------------------------------- */

static void expect_truncations_refused(nn_dtype type)
{
    saved s = save_guard(true, true, type);
    const size_t data = data_of(&s, "token_embd.weight"), whole = s.len;

    for (size_t len = 0; len < whole; len += len < 64 ? 1 : len < data ? 37 : 4099) {
        unsigned char *copy = malloc(len ? len : 1); /* its own block: a read beyond it is seen by the sanitizer */
        guard_classifier *g = NULL;
        nn_err err = {NN_OK, ""};

        memcpy(copy, s.bytes, len);
        cr_expect_eq(guard_classifier_open_memory(&g, copy, len, &err), NN_FILE, "%zu of %zu bytes: %s", len, whole,
                     err.text);
        guard_classifier_close(g);
        free(copy);
    }
    saved_free(&s);
}

Test(gguard, every_truncation_is_refused)
{
    expect_truncations_refused(NN_Q8_0);
    expect_truncations_refused(NN_I8);
}

/* A flipped bit is refused, or gives a guard that still answers. */
static void expect_flips_survived(nn_dtype type)
{
    saved s = save_guard(true, true, type);
    const size_t data = data_of(&s, "token_embd.weight");
    size_t refused = 0, tried = 0;

    for (size_t i = 0; i < data; i += 1 + i / 60) {
        nn_rng r = nn_rng_at(5, "flip", i);
        const unsigned char bit = (unsigned char)(1u << nn_rng_below(&r, 8));
        guard_classifier *g = NULL;
        nn_err err = {NN_OK, ""};

        s.bytes[i] ^= bit;
        const nn_status st = guard_classifier_open_memory(&g, s.bytes, s.len, &err);
        s.bytes[i] ^= bit;
        tried++;
        refused += st != NN_OK;
        cr_assert(st == NN_OK || (st == NN_FILE && !g && err.text[0] != '\0'), "byte %zu: %d %s", i, (int)st,
                  err.text);
        guard_classifier_close(g);
    }
    cr_expect(tried > 200 && refused > tried / 4, "%zu of %zu refused", refused, tried);
    saved_free(&s);
}

Test(gguard, flipped_bits_never_break_the_reader)
{
    expect_flips_survived(NN_Q8_0);
    expect_flips_survived(NN_I8);
}

static void expect_failing_allocations_said(nn_dtype type)
{
    saved s = save_guard(true, true, type);
    long n = 0;

    for (nn_status st = NN_LIMIT; st != NN_OK; n++) {
        guard_classifier *g = NULL;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = guard_classifier_open_memory(&g, s.bytes, s.len, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK ? g != NULL : st == NN_LIMIT && g == NULL, "allocation %ld: %d %s", n, (int)st,
                  err.text);
        guard_classifier_close(g);
    }
    cr_expect_gt(n, 15);
    saved_free(&s);
}

Test(gguard, every_failing_allocation_of_open_is_said)
{
    expect_failing_allocations_said(NN_Q8_0);
    expect_failing_allocations_said(NN_I8);
}

/* --- int8 ------------------------------------------------------------------------------------------------ */

/* Verdicts of the file are the verdicts of what was quantised in memory; a copy with one part works; no way back. */
Test(gguard, an_int8_guard_judges_from_the_file_as_in_memory)
{
    saved s = save_guard(true, true, NN_I8);
    guard_classifier *file = NULL, *alone = NULL;
    guard_session *a = NULL, *b = NULL;
    guard_verdict va, vb;
    const char *text = "abel blick corn";
    nn_gguf *f = NULL;
    nn_err err = {NN_OK, ""}, back = {NN_OK, ""};

    expect_ok(guard_classifier_open(&file, s.path, &err), &err);
    cr_assert(nn_model_is_i8(guard_classifier_parts(file)->m));
    expect_ok(guard_session_open(&a, s.g, NULL, &err), &err);
    expect_ok(guard_session_open(&b, file, NULL, &err), &err);
    expect_ok(guard_check(a, text, strlen(text), NULL, 0, &va, &err), &err);
    expect_ok(guard_check(b, text, strlen(text), NULL, 0, &vb, &err), &err);
    expect_same_verdict("int8", &va, &vb);
    expect_ok(nn_gguf_open_memory(&f, s.bytes, s.len, "guard", &err), &err);
    const nn_st_tensor *q = nn_gguf_find(f, "blk.0.attn_q.weight");
    cr_assert(q && q->type == NN_I8);
    cr_expect_eq((size_t)(q->data - s.bytes) % 64, 0, "a step of a panel is one cache line of a mapped file");
    nn_gguf_close(f);
    expect_ok(guard_classifier_only(&alone, file, "decoder", &err), &err);
    expect_fails(guard_classifier_save(file, s.path, NN_Q8_0, &back), NN_USAGE, &back, "int8");
    guard_session_close(a);
    guard_session_close(b);
    guard_classifier_close(file); /* `alone` has its own panels */
    expect_ok(guard_session_open(&a, alone, NULL, &err), &err);
    expect_ok(guard_check(a, text, strlen(text), NULL, 0, &va, &err), &err);
    guard_session_close(a);
    guard_classifier_close(alone);
    saved_free(&s);
}

Test(gguard, a_weight_that_is_no_number_is_never_written)
{
    guard_classifier *g = random_guard(true, true, 53);
    const char *path = path_in(temp_dir(), "nan.gguf");
    nn_tensor t;
    nn_err err = {NN_OK, ""};

    cr_assert(nn_model_find(guard_classifier_parts(g)->m, "output_norm.weight", &t));
    t.data[3] = NAN;
    expect_fails(guard_classifier_save(g, path, NN_F32, &err), NN_CONTENT, &err, "output_norm.weight");
    cr_expect_null(fopen(path, "rb"));
    guard_classifier_close(g);
}
