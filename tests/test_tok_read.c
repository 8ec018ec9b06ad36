/* Tests of the readers of vocabularies in GGUF and llama2.c files: real ones, small ones, hostile ones. */
#include "nn/arena.h"
#include "nn/tok_read_impl.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- real vocabularies ----------------------------------------------------------------------------------- */

static void read_fixture(nn_vocab *v, nn_gguf **g, const char *name)
{
    nn_err err = {NN_OK, ""};

    skip_unless_fixture(name);
    expect_ok(nn_gguf_open(g, shared_path(name), &err), &err);
    nn_vocab_init(v);
    expect_ok(nn_vocab_from_gguf(v, *g, "x.gguf", &err), &err);
}

static void expect_piece(const nn_vocab *v, size_t id, const char *text, nn_piece_type type)
{
    const nn_piece *p = &v->piece[id];

    cr_expect(p->type == type, "token %zu has type %d", id, (int)p->type);
    cr_expect(p->len == strlen(text) && memcmp(p->text, text, p->len) == 0, "token %zu is \"%.*s\"", id, (int)p->len,
              p->text);
}

static void expect_merge(const nn_vocab *v, size_t i, const char *left, const char *right)
{
    const int32_t *m = v->merge + 3 * i;
    const nn_piece *a = &v->piece[m[0]], *b = &v->piece[m[1]], *both = &v->piece[m[2]];

    cr_expect(a->len == strlen(left) && memcmp(a->text, left, a->len) == 0);
    cr_expect(b->len == strlen(right) && memcmp(b->text, right, b->len) == 0);
    cr_expect(both->len == a->len + b->len && memcmp(both->text, a->text, a->len) == 0);
}

Test(tok_read, gpt2_in_gguf)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-gpt-2.gguf");
    cr_expect(v.model == NN_TOK_BPE && v.pre == NN_PRE_GPT2 && v.n == 50257 && v.n_merge == 50000);
    cr_expect(v.bos == 50256 && v.eos == 50256 && v.unk == -1 && v.pad == -1);
    cr_expect(!v.add_bos && !v.add_eos && !v.prefix_space && !v.ignore_merges && !v.squeeze);
    expect_piece(&v, 0, "!", NN_PIECE_NORMAL);
    expect_piece(&v, 189, "\x01", NN_PIECE_NORMAL); /* byte-level spelling undone */
    expect_piece(&v, 220, " ", NN_PIECE_NORMAL);
    expect_piece(&v, 50255, " gazed", NN_PIECE_NORMAL);
    expect_piece(&v, 50256, "<|endoftext|>", NN_PIECE_CONTROL);
    bool byte[256] = {false}; /* its first 256 tokens are the bytes */
    for (size_t i = 0; i < 256; i++) byte[(unsigned char)v.piece[i].text[0]] = v.piece[i].len == 1;
    for (size_t i = 0; i < 256; i++) cr_expect(byte[i], "byte %zu", i);
    expect_merge(&v, 0, " ", "t");
    expect_merge(&v, 49999, " g", "azed");
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

Test(tok_read, starcoder_and_falcon_in_gguf)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-starcoder.gguf");
    cr_expect(v.pre == NN_PRE_STARCODER && v.n == 49152 && v.n_merge == 48872 && v.unk == 0);
    expect_piece(&v, 0, "<|endoftext|>", NN_PIECE_CONTROL);
    expect_merge(&v, 2, "    ", "    ");
    nn_vocab_free(&v);
    nn_gguf_close(g);
    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-falcon.gguf");
    cr_expect(v.pre == NN_PRE_FALCON && v.n == 65024 && v.n_merge == 64784 && v.bos == 11);
    expect_piece(&v, 0, ">>TITLE<<", NN_PIECE_CONTROL);
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

Test(tok_read, llama_in_gguf)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-llama-spm.gguf");
    cr_expect(v.model == NN_TOK_SPM && v.n == 32000 && v.n_merge == 0);
    cr_expect(v.unk == 0 && v.bos == 1 && v.eos == 2 && v.pad == -1);
    cr_expect(v.add_bos && !v.add_eos && v.prefix_space && !v.squeeze);
    expect_piece(&v, 0, "<unk>", NN_PIECE_UNKNOWN);
    expect_piece(&v, 1, "<s>", NN_PIECE_CONTROL);
    cr_expect(v.piece[3].len == 1 && v.piece[3].text[0] == 0 && v.piece[3].type == NN_PIECE_BYTE);
    cr_expect(v.piece[258].len == 1 && (unsigned char)v.piece[258].text[0] == 255);
    expect_piece(&v, 259, "\xe2\x96\x81\xe2\x96\x81", NN_PIECE_NORMAL);
    cr_expect(v.piece[31999].score == -31740.0f);
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

Test(tok_read, defaults_of_the_llama_family_hold_without_keys)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/stories260K/stories260K.gguf");
    cr_expect(v.model == NN_TOK_SPM && v.n == 512 && v.bos == 1 && v.eos == 2 && v.unk == 0);
    cr_expect(v.pad == -1, "4294967295 says that there is none");
    cr_expect(v.add_bos && !v.add_eos && v.prefix_space);
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

/* --- llama2.c -------------------------------------------------------------------------------------------- */

Test(tok_read, llama2c_and_gguf_hold_the_same_vocabulary)
{
    nn_err err = {NN_OK, ""};
    nn_gguf *g = NULL;
    size_t len = 0;
    nn_vocab a, b;

    read_fixture(&a, &g, "fixtures/stories260K/stories260K.gguf");
    skip_unless_fixture("fixtures/stories260K/tok512.bin");
    char *bytes = read_bytes(shared_path("fixtures/stories260K/tok512.bin"), &len);
    for (size_t vocab = 0; vocab <= 512; vocab += 512) { /* 0: until the file ends */
        nn_vocab_init(&b);
        expect_ok(nn_vocab_from_llama2c(&b, bytes, len, vocab, "tok512.bin", &err), &err);
        cr_assert(a.n == b.n && b.model == NN_TOK_SPM && b.bos == 1 && b.eos == 2 && b.unk == 0);
        cr_expect(b.add_bos && b.prefix_space);
        for (size_t i = 0; i < a.n; i++) {
            const nn_piece *p = &a.piece[i], *q = &b.piece[i];

            cr_expect(p->len == q->len && memcmp(p->text, q->text, p->len) == 0 && p->type == q->type, "token %zu", i);
            cr_expect(p->score == q->score || p->type != NN_PIECE_NORMAL, "token %zu", i);
        }
        nn_vocab_free(&b);
    }
    expect_fails(nn_vocab_from_llama2c(&b, bytes, len, 511, "tok.bin", &err), NN_FILE, &err,
                 "bytes after the 511 tokens of the model");
    nn_vocab_free(&b);
    memset(&err, 0, sizeof err);
    expect_fails(nn_vocab_from_llama2c(&b, bytes, len, 513, "tok.bin", &err), NN_FILE, &err, "ends early");
    nn_vocab_free(&b);
    nn_vocab_free(&a);
    nn_gguf_close(g);
    free(bytes);
}

/* --- hostile files --------------------------------------------------------------------------------------- */

typedef nn_status (*read_fn)(nn_vocab *v, const void *bytes, size_t len, nn_err *err);

static nn_status read_exact(read_fn fn, const unsigned char *bytes, size_t len)
{
    unsigned char *exact = malloc(len + 1); /* one too many, so that 0 is fine; moved to the end for the sanitizer */
    nn_err err = {NN_OK, ""};
    nn_vocab v;

    memcpy(exact + 1, bytes, len);
    nn_vocab_init(&v);
    const nn_status st = fn(&v, exact + 1, len, &err);
    cr_expect(st == NN_OK || (st == NN_FILE && strncmp(err.text, "x: ", 3) == 0), "status %d: %s", (int)st, err.text);
    nn_vocab_free(&v);
    free(exact);
    return st;
}

/* Cut anywhere it is refused; any flipped bit is refused or harmless. */
static void expect_sturdy(read_fn fn, unsigned char *bytes, size_t len)
{
    cr_assert(read_exact(fn, bytes, len) == NN_OK);
    for (size_t n = 0; n < len; n++) cr_expect(read_exact(fn, bytes, n) == NN_FILE, "%zu of %zu bytes taken", n, len);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        (void)read_exact(fn, bytes, len);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static nn_status read_llama2c(nn_vocab *v, const void *bytes, size_t len, nn_err *err)
{
    return nn_vocab_from_llama2c(v, bytes, len, 5, "x", err);
}

Test(tok_read, hostile_llama2c_files_are_refused)
{
    unsigned char file[] = "\5\0\0\0" "\0\0\0\0\5\0\0\0<unk>" "\0\0\0\0\3\0\0\0<s>" "\0\0\0\0\4\0\0\0</s>"
                           "\0\0\0\0\2\0\0\0ab" "\0\0\200\277\2\0\0\0 b";

    expect_sturdy(read_llama2c, file, sizeof file - 1);
    file[0] = 4;
    cr_expect(read_exact(read_llama2c, file, sizeof file - 1) == NN_FILE, "a token longer than the longest");
}

static nn_status read_gguf(nn_vocab *v, const void *bytes, size_t len, nn_err *err)
{
    nn_gguf *g = NULL;
    nn_status st = nn_gguf_open_memory(&g, bytes, len, "x", err);

    if (st == NN_OK) st = nn_vocab_from_gguf(v, g, "x", err);
    nn_gguf_close(g);
    return st;
}

/* A small file: `model`, tokens "a", "b", "ab", "<e>" and what `more` puts. */
static nn_gguf_writer *small_gguf(const char *model, const char *pre, const char *merge, const int32_t types[4])
{
    static const char *const tokens[] = {"a", "b", "ab", "<e>"};
    static const float scores[] = {-1, -2, -3, 0};
    nn_gguf_writer *w = NULL;

    expect_ok(nn_gguf_writer_build(&w, NULL), NULL);
    if (model) nn_gguf_put_str(w, "tokenizer.ggml.model", model);
    if (pre) nn_gguf_put_str(w, "tokenizer.ggml.pre", pre);
    nn_gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, NULL, 4);
    nn_gguf_put_f32s(w, "tokenizer.ggml.scores", scores, 4);
    if (merge) nn_gguf_put_strs(w, "tokenizer.ggml.merges", &merge, NULL, 1);
    if (types) nn_gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 4);
    return w;
}

static void expect_gguf(nn_gguf_writer *w, const char *refusal)
{
    const unsigned char *bytes = NULL;
    nn_err err = {NN_OK, ""};
    size_t len = 0;
    nn_vocab v;

    nn_vocab_init(&v);
    expect_ok(nn_gguf_bytes(w, &bytes, &len, NULL), NULL);
    if (refusal) expect_fails(read_gguf(&v, bytes, len, &err), NN_FILE, &err, refusal);
    else expect_ok(read_gguf(&v, bytes, len, &err), &err);
    nn_vocab_free(&v);
    nn_gguf_writer_free(w);
}

static const int32_t small_types[4] = {1, 1, 1, 3};

Test(tok_read, what_gguf_must_say_is_said_in_the_refusal)
{
    const int32_t eight[4] = {1, 1, 8, 3}, byte[4] = {1, 1, 6, 3};

    expect_gguf(small_gguf("gpt2", "gpt-2", "a b", small_types), NULL);
    expect_gguf(small_gguf("gpt2", "gpt-2", "a b", NULL), NULL);
    expect_gguf(small_gguf("gpt2", "gpt-2", "b a", small_types), "merge 0: \"ba\" is no token");
    expect_gguf(small_gguf("gpt2", "gpt-2", "a c", small_types), "merge 0: \"c\" is no token");
    expect_gguf(small_gguf("gpt2", "gpt-2", "c b", small_types), "merge 0: \"c\" is no token");
    expect_gguf(small_gguf("gpt2", "gpt-2", "ab", small_types), "want two tokens with a blank between");
    expect_gguf(small_gguf("gpt2", "gpt-2", " ", small_types), "want two tokens with a blank between");
    expect_gguf(small_gguf("gpt2", "gpt-2", "a ", small_types), "merge 0: \"\" is no token");
    expect_gguf(small_gguf("gpt2", "gpt-2", NULL, small_types), "tokenizer.ggml.merges: not there");
    expect_gguf(small_gguf("gpt2", "viking", "a b", small_types), "pre-tokenizer \"viking\" is not known");
    expect_gguf(small_gguf("gpt2", "default", "a b", small_types), "pre-tokenizer \"default\" is not known");
    expect_gguf(small_gguf("gpt2", NULL, "a b", small_types), "tokenizer.ggml.pre: not there");
    expect_gguf(small_gguf("bert", NULL, NULL, small_types), "tokenizer \"bert\" is not known, want gpt2, llama or t5");
    expect_gguf(small_gguf(NULL, NULL, NULL, small_types), "the file has no tokenizer");
    expect_gguf(small_gguf("gpt2", "gpt-2", "a b", eight), "token 2 has type 8");
    expect_gguf(small_gguf("gpt2", "gpt-2", "a b", byte), "token 2 is a byte");
    expect_gguf(small_gguf("llama", NULL, NULL, small_types), NULL);
}

Test(tok_read, families_have_defaults)
{
    static const char *const models[] = {"llama", "t5"};
    static const int32_t want[2][4] = {{0, 1, 2, -1}, {2, -1, 1, 0}}; /* unknown, BOS, EOS, padding */

    for (int i = 0; i < 2; i++) {
        nn_gguf_writer *w = small_gguf(models[i], NULL, NULL, small_types);
        const unsigned char *bytes = NULL;
        size_t len = 0;
        nn_vocab v;

        nn_vocab_init(&v);
        expect_ok(nn_gguf_bytes(w, &bytes, &len, NULL), NULL);
        expect_ok(read_gguf(&v, bytes, len, NULL), NULL);
        cr_expect(v.model == (i == 0 ? NN_TOK_SPM : NN_TOK_UNIGRAM) && v.prefix_space && !v.squeeze && !v.charsmap);
        cr_expect(v.unk == want[i][0] && v.bos == want[i][1] && v.eos == want[i][2] && v.pad == want[i][3]);
        cr_expect(v.add_bos == (i == 0) && v.add_eos == (i == 1) && v.piece[1].score == -2.0f);
        nn_vocab_free(&v);
        nn_gguf_writer_free(w);
    }
}

Test(tok_read, ids_and_flags_in_gguf_are_checked)
{
    nn_gguf_writer *w = small_gguf("gpt2", "gpt-2", "a b", small_types);
    nn_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 4);
    expect_gguf(w, "tokenizer.ggml.bos_token_id: 4, want below 4");
    w = small_gguf("gpt2", "gpt-2", "a b", small_types);
    nn_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    nn_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    expect_gguf(w, "a BOS is to be added, but none is named");
    w = small_gguf("gpt2", "gpt-2", "a b", small_types);
    nn_gguf_put_u64(w, "tokenizer.ggml.eos_token_id", UINT64_C(1) << 63);
    expect_gguf(w, "want below 4");
    w = small_gguf("gpt2", "gpt-2", "a b", small_types);
    nn_gguf_put_str(w, "tokenizer.ggml.eos_token_id", "3");
    expect_gguf(w, "tokenizer.ggml.eos_token_id: no id");
    w = small_gguf("gpt2", "gpt-2", "a b", small_types);
    nn_gguf_put_u32(w, "tokenizer.ggml.add_bos_token", 1);
    expect_gguf(w, "tokenizer.ggml.add_bos_token: no truth value");
}

Test(tok_read, hostile_gguf_vocabularies_are_refused)
{
    nn_gguf_writer *w = small_gguf("gpt2", "llama-bpe", "a b", small_types);
    const unsigned char *bytes = NULL;
    size_t len = 0;

    nn_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 3);
    expect_ok(nn_gguf_bytes(w, &bytes, &len, NULL), NULL);
    unsigned char *copy = malloc(len);
    memcpy(copy, bytes, len);
    cr_assert(read_exact(read_gguf, copy, len) == NN_OK);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        (void)read_exact(read_gguf, copy, len);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free(copy);
    nn_gguf_writer_free(w);
}

Test(tok_read, texts_that_come_twice_and_odd_spellings)
{
    static const char *const odd[] = {"a", "\xe4\xb8\x80", "b"}, *const twice[] = {"a", "b", "a"};
    const char *merge = "a b";

    for (int i = 0; i < 2; i++) {
        nn_gguf_writer *w = NULL;

        expect_ok(nn_gguf_writer_build(&w, NULL), NULL);
        nn_gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
        nn_gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2");
        nn_gguf_put_strs(w, "tokenizer.ggml.tokens", i == 0 ? odd : twice, NULL, 3);
        nn_gguf_put_strs(w, "tokenizer.ggml.merges", &merge, NULL, 1);
        expect_gguf(w, i == 0 ? "token 1: \"\xe4\xb8\x80\" has a character that spells no byte"
                              : "token 2: \"a\" is token 0 already");
    }
}

Test(tok_read, any_allocation_may_fail)
{
    nn_gguf_writer *w = small_gguf("gpt2", "gpt-2", "a b", small_types);
    const unsigned char *bytes = NULL;
    size_t len = 0;
    long n = 0;

    expect_ok(nn_gguf_bytes(w, &bytes, &len, NULL), NULL);
    for (;; n++) {
        nn_err err = {NN_OK, ""};
        nn_vocab v;

        nn_vocab_init(&v);
        nn_alloc_fail_at(n);
        const nn_status st = read_gguf(&v, bytes, len, &err);
        nn_alloc_fail_at(-1);
        nn_vocab_free(&v);
        if (st == NN_OK) break;
        cr_expect(st == NN_LIMIT, "allocation %ld: %s", n, err.text);
    }
    cr_expect(n > 8, "%ld", n);
    nn_gguf_writer_free(w);
}

/* --- by path --------------------------------------------------------------------------------------------- */

static void expect_opens(const char *name, size_t vocab, size_t want)
{
    nn_err err = {NN_OK, ""};
    nn_tok *t = NULL;

    skip_unless_fixture(name);
    expect_ok(nn_tok_open(&t, shared_path(name), vocab, &err), &err);
    cr_expect(nn_tok_vocab(t) == want, "%s: %zu", name, nn_tok_vocab(t));
    nn_tok_free(t);
}

Test(tok_read, files_are_told_apart_by_their_content)
{
    expect_opens("fixtures/tokenizer/ggml-vocab-gpt-2.gguf", 0, 50257);
    expect_opens("fixtures/tokenizer/llama2-tokenizer.json", 0, 32000);
    expect_opens("fixtures/stories260K/tok512.bin", 512, 512);
    expect_opens("fixtures/stories260K/tok512.bin", 0, 512);
    expect_opens("fixtures/stories260K/stories260K.gguf", 512, 512);
}

Test(tok_read, a_folder_opens_with_its_config)
{
    nn_err err = {NN_OK, ""};
    nn_tok *t = NULL;

    skip_unless_fixture("fixtures/hf/tiny-random-gpt2/tokenizer.json");
    expect_ok(nn_tok_open(&t, shared_path("fixtures/hf/tiny-random-gpt2"), 1000, &err), &err);
    cr_expect(nn_tok_vocab(t) == 1000);
    cr_expect(nn_tok_bos(t) == 0 && nn_tok_eos(t) == 0, "named in tokenizer_config.json alone");
    cr_expect(nn_tok_find(t, "<|endoftext|>", 13) == 0 && nn_tok_is_control(t, 0));
    nn_tok_free(t);
}

static void expect_not_opened(const char *path, const char *part)
{
    nn_err err = {NN_OK, ""};
    nn_tok *t = NULL;

    expect_fails(nn_tok_open(&t, path, 0, &err), NN_FILE, &err, part);
    cr_expect(strncmp(err.text, path, strlen(path)) == 0 && t == NULL, "%s", err.text);
}

Test(tok_read, what_is_no_tokenizer_is_refused_by_path)
{
    const char *dir = temp_dir();

    expect_not_opened(dir, "no tokenizer.json, no tokenizer.model, and not vocab.json with merges.txt in this folder");
    expect_not_opened(path_in(dir, "absent"), "absent");
    write_text(path_in(dir, "empty"), "");
    expect_not_opened(path_in(dir, "empty"), "no tokenizer, want");
    write_text(path_in(dir, "text"), "hello, world");
    expect_not_opened(path_in(dir, "text"), "no tokenizer, want");
    write_text(path_in(dir, "list"), "[1, 2, 3]");
    expect_not_opened(path_in(dir, "list"), "no tokenizer, want");
    write_text(path_in(dir, "x.json"), "\n{\"model\": {}}");
    expect_not_opened(path_in(dir, "x.json"), "model without \"vocab\"");
}
