/* Tokenizers in GGUF files: what a guard's file holds comes back with the same hash, and what was changed is refused;
 * in files for other programs there is nothing else than their keys. */
#include "nn/tok_gguf_write.h"
#include "nn/tok_impl.h"
#include "nn/tok_json_write.h"
#include "nn/tok_read.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include "tests/test_guard_support.h"
#include <stdlib.h>
#include <string.h>

static void expect_same_tok(const char *what, const nn_tok *t)
{
    nn_gguf_writer *w = NULL;
    const unsigned char *bytes = NULL;
    nn_gguf *f = NULL;
    nn_tok *back = NULL;
    char hash[2][65];
    size_t len = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    expect_ok(nn_tok_put_gguf(w, t, &err), &err);
    expect_ok(nn_gguf_bytes(w, &bytes, &len, &err), &err);
    expect_ok(nn_gguf_open_memory(&f, bytes, len, what, &err), &err);
    expect_ok(nn_tok_get_gguf(&back, f, what, nn_tok_is_own(t), &err), &err);
    nn_tok_hash(t, hash[0]);
    nn_tok_hash(back, hash[1]);
    cr_expect_str_eq(hash[0], hash[1], "%s", what);
    nn_tok_free(back);
    nn_gguf_close(f);
    nn_gguf_writer_free(w);
}

Test(tok_gguf_write, a_tokenizer_of_any_family_comes_back_from_a_file)
{
    for (int i = 0; i < 3; i++) {
        nn_tok *t = foreign_tok((nn_tok_model)i, i == 1);

        expect_same_tok("made here", t);
        nn_tok_free(t);
    }
}

/* The file with `from` (of a key's value) replaced by as many bytes. */
static void expect_tok_refused(const char *from, const char *to, const char *want)
{
    nn_tok *t = foreign_tok(NN_TOK_SPM, true), *back = NULL;
    nn_gguf_writer *w = NULL;
    const unsigned char *bytes = NULL;
    nn_gguf *f = NULL;
    size_t len = 0, at = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    expect_ok(nn_tok_put_gguf(w, t, &err), &err);
    expect_ok(nn_gguf_bytes(w, &bytes, &len, &err), &err);
    unsigned char *copy = malloc(len);
    memcpy(copy, bytes, len);
    while (at + strlen(from) <= len && memcmp(copy + at, from, strlen(from)) != 0) at++;
    cr_assert_lt(at, len);
    memcpy(copy + at, to, strlen(to));
    expect_ok(nn_gguf_open_memory(&f, copy, len, "changed", &err), &err);
    expect_fails(nn_tok_get_gguf(&back, f, "changed", false, &err), NN_FILE, &err, want);
    cr_expect_null(back);
    nn_gguf_close(f);
    nn_gguf_writer_free(w);
    nn_tok_free(t);
    free(copy);
}

Test(tok_gguf_write, a_changed_tokenizer_is_refused)
{
    char hash[65];
    nn_tok *t = foreign_tok(NN_TOK_SPM, true);

    nn_tok_hash(t, hash);
    nn_tok_free(t);
    expect_tok_refused("<|im_end|>", "<|im_eno|>", "guard.tokenizer.sha256");
    expect_tok_refused(hash, "0123", "guard.tokenizer.sha256");
    expect_tok_refused("<0x41>", "<0xZZ>", "tokenizer.ggml.tokens");
    expect_tok_refused("guard.tokenizer.strips", "guard.tokenizer.strops", "guard.tokenizer.strips");
    expect_tok_refused("guard.tokenizer.options", "guard.tokenizer.optians", "guard.tokenizer.options");
}

Test(tok_gguf_write, the_published_vocabularies_come_back_from_a_file)
{
    static const char *const files[] = {
        "fixtures/tokenizer/ggml-vocab-llama-spm.gguf", "fixtures/tokenizer/ggml-vocab-gpt-2.gguf",
        "fixtures/tokenizer/ggml-vocab-starcoder.gguf", "fixtures/tokenizer/ggml-vocab-falcon.gguf",
        "fixtures/tokenizer/llama2-tokenizer.json",     "fixtures/hf/tiny-random-gpt2/tokenizer.json"};

    for (size_t i = 0; i < 6; i++) skip_unless_fixture(files[i]);
    for (size_t i = 0; i < 6; i++) {
        nn_tok *t = NULL;
        nn_err err = {NN_OK, ""};

        expect_ok(nn_tok_open(&t, shared_path(files[i]), 0, &err), &err);
        expect_same_tok(files[i], t);
        nn_tok_free(t);
    }
}

/* t as other programs read it; no key of ours is there. */
static nn_tok *plain_again(const nn_tok *t)
{
    nn_gguf_writer *w = NULL;
    const unsigned char *bytes = NULL;
    nn_gguf *f = NULL;
    nn_tok *back = NULL;
    nn_gg_type type;
    size_t len = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    expect_ok(nn_tok_put_gguf_plain(w, t, &err), &err);
    expect_ok(nn_gguf_bytes(w, &bytes, &len, &err), &err);
    expect_ok(nn_gguf_open_memory(&f, bytes, len, "plain", &err), &err);
    for (size_t i = 0; i < nn_gguf_keys(f); i++) {
        const char *key = nn_gguf_key(f, i, &len, &type);

        cr_expect(len > 15 && memcmp(key, "tokenizer.ggml.", 15) == 0, "%.*s", (int)len, key);
    }
    expect_ok(nn_tok_from_gguf(&back, f, "plain", &err), &err);
    nn_gguf_close(f);
    nn_gguf_writer_free(w);
    return back;
}

Test(tok_gguf_write, for_other_programs_there_is_no_key_of_ours)
{
    for (int i = 0; i < 3; i++) {
        nn_tok *t = foreign_tok((nn_tok_model)i, i == 1), *back = plain_again(t);

        cr_expect_eq(nn_tok_vocab(t), nn_tok_vocab(back));
        nn_tok_free(back);
        nn_tok_free(t);
    }
    nn_tok *own = word_tok(330), *back = plain_again(own);
    cr_expect_eq(nn_tok_vocab(own), nn_tok_vocab(back));
    nn_tok_free(back);
    nn_tok_free(own);
}

Test(tok_gguf_write, whether_merges_are_ignored_goes_out_with_the_name_of_the_pattern)
{
    nn_tok *t = foreign_tok(NN_TOK_BPE, false);
    nn_err err = {NN_OK, ""};

    for (int ignore = 0; ignore < 2; ignore++) {
        nn_vocab v;
        nn_tok *llama3 = NULL;

        expect_ok(nn_vocab_copy(&v, &t->other->source, &err), &err);
        v.pre = NN_PRE_LLAMA3;
        v.ignore_merges = ignore;
        expect_ok(nn_tok_build(&llama3, &v, &err), &err);
        nn_tok *back = plain_again(llama3);
        cr_expect(back->other->source.pre == NN_PRE_LLAMA3);
        cr_expect_eq(back->other->source.ignore_merges, ignore == 1);
        nn_tok_free(back);
        nn_tok_free(llama3);
        nn_vocab_free(&v);
    }
    nn_tok_free(t);
}

Test(tok_gguf_write, a_list_of_merges_becomes_scores_that_give_the_same_ids)
{
    static const char text[] = "Once upon a time, the  river\n\tran 12.50 \xE2\x98\x83 ways   and aaaaaaaaa back";
    const char *dir = temp_dir();
    nn_tok *t = NULL, *other = NULL;
    nn_tok_buf a = {0}, b = {0};
    bool same = false;
    nn_err err = {NN_OK, ""};

    skip_unless_fixture("fixtures/tokenizer/ggml-vocab-llama-spm.gguf");
    expect_ok(nn_tok_open(&other, shared_path("fixtures/tokenizer/ggml-vocab-llama-spm.gguf"), 0, &err), &err);
    expect_ok(nn_tok_write_json(dir, other, NULL, 0, NULL, &err), &err);
    expect_ok(nn_tok_open(&t, dir, 0, &err), &err);
    nn_tok *back = plain_again(t);
    expect_ok(nn_tok_encode(t, &a, text, sizeof text - 1, &err), &err);
    expect_ok(nn_tok_encode(back, &b, text, sizeof text - 1, &err), &err);
    cr_expect(a.len == b.len && memcmp(a.ids, b.ids, a.len * sizeof *a.ids) == 0);
    expect_ok(nn_tok_same_spm(&same, back, t, &err), &err);
    cr_expect(same);
    expect_ok(nn_tok_same_spm(&same, other, t, &err), &err);
    cr_expect(same, "SentencePiece's own scores");
    expect_ok(nn_tok_same_spm(&same, t, t, &err), &err);
    cr_expect(!same, "merges on both sides");
    nn_tok_buf_free(&a);
    nn_tok_buf_free(&b);
    nn_tok_free(other);
    nn_tok_free(back);
    nn_tok_free(t);
}
