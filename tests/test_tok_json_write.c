/* Tokenizers as Hugging Face's files: what is written comes back with the same hash, or nothing is written. */
#include "nn/tok_json_write.h"
#include "nn/tok_read.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include "tests/test_guard_support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_comes_back(const char *what, const nn_tok *t)
{
    const char *dir = temp_dir();
    nn_tok *back = NULL;
    char hex[2][65];
    json_error_t where;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_write_json(dir, t, "{{ \"a\" }}\n", 10, NULL, &err), &err);
    json_t *root = json_load_file(path_in(dir, "tokenizer.json"), JSON_REJECT_DUPLICATES, &where);
    cr_assert(root != NULL, "%s: %s", what, where.text);
    json_decref(root);
    root = json_load_file(path_in(dir, "tokenizer_config.json"), JSON_REJECT_DUPLICATES, &where);
    cr_assert(root != NULL, "%s: %s", what, where.text);
    cr_expect_str_eq(json_string_value(json_object_get(root, "chat_template")), "{{ \"a\" }}\n");
    json_decref(root);
    expect_ok(nn_tok_open(&back, dir, 0, &err), &err);
    nn_tok_hash(t, hex[0]);
    nn_tok_hash(back, hex[1]);
    if (!nn_tok_is_own(t)) cr_expect_str_eq(hex[0], hex[1], "%s", what);
    cr_expect(nn_tok_bos(back) == nn_tok_bos(t) && nn_tok_eos(back) == nn_tok_eos(t), "%s", what);
    nn_tok_free(back);
}

/* All bytes, one merge, tokens that are matched as they stand and such that are never made. */
static nn_tok *small_tok(nn_tok_pre pre, bool around, bool options)
{
    static const char *const added[] = {"<s>", "</s>", "<\"pad\\>", "<code>", "caf\xC3\xA9"};
    nn_vocab v;
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    nn_vocab_init(&v);
    v.model = NN_TOK_BPE;
    v.pre = pre;
    for (size_t i = 0; i < 5; i++)
        expect_ok(nn_vocab_add(&v, added[i], strlen(added[i]), 0.0f, i < 3 ? NN_PIECE_CONTROL : NN_PIECE_USER, &err),
                  &err);
    v.piece[1].rstrip = v.piece[3].lstrip = true;
    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)(unsigned char)b;

        expect_ok(nn_vocab_add(&v, &c, 1, 0.0f, NN_PIECE_NORMAL, &err), &err);
    }
    expect_ok(nn_vocab_add(&v, "\n\n", 2, 0.0f, NN_PIECE_NORMAL, &err), &err);
    expect_ok(nn_vocab_add_merge(&v, 5 + '\n', 5 + '\n', 261, &err), &err);
    v.bos = 0;
    v.eos = 1;
    v.pad = 2;
    v.add_bos = around;
    v.add_eos = around && options;
    v.ignore_merges = v.nfc = options;
    v.prefix_space = options && !around;
    expect_ok(nn_tok_build(&t, &v, &err), &err);
    nn_vocab_free(&v);
    return t;
}

Test(tok_json_write, byte_level_vocabularies_come_back_with_their_hash)
{
    static const char *const files[] = {"fixtures/tokenizer/ggml-vocab-gpt-2.gguf",
                                        "fixtures/tokenizer/ggml-vocab-starcoder.gguf",
                                        "fixtures/tokenizer/ggml-vocab-falcon.gguf"};

    for (int i = 0; i < 20; i++) {
        nn_tok *t = small_tok((nn_tok_pre)(i % 5), i / 5 % 2 == 1, i / 10 == 1);
        char what[32];

        snprintf(what, sizeof what, "made here, %d", i);
        expect_comes_back(what, t);
        nn_tok_free(t);
    }
    for (size_t i = 0; i < 3; i++) {
        nn_tok *t = NULL;
        nn_err err = {NN_OK, ""};

        skip_unless_fixture(files[i]);
        expect_ok(nn_tok_open(&t, shared_path(files[i]), 0, &err), &err);
        expect_comes_back(files[i], t);
        nn_tok_free(t);
    }
}

Test(tok_json_write, a_tokenizer_of_ours_gives_the_same_ids)
{
    static const char text[] = "zorn blick 12 words, and\n  \xC3\xA4 more";
    const char *dir = temp_dir();
    nn_tok *t = word_tok(400), *back = NULL;
    nn_tok_buf a = {0}, b = {0};
    nn_err err = {NN_OK, ""};

    expect_comes_back("ours", t);
    expect_ok(nn_tok_write_json(dir, t, NULL, 0, NULL, &err), &err);
    expect_ok(nn_tok_open(&back, dir, 0, &err), &err);
    expect_ok(nn_tok_encode(t, &a, text, sizeof text - 1, &err), &err);
    expect_ok(nn_tok_encode(back, &b, text, sizeof text - 1, &err), &err);
    cr_expect(a.len == b.len && memcmp(a.ids, b.ids, a.len * sizeof *a.ids) == 0);
    nn_tok_buf_free(&a);
    nn_tok_buf_free(&b);
    nn_tok_free(back);
    nn_tok_free(t);
}

Test(tok_json_write, what_the_file_cannot_say_is_refused_and_leaves_no_file)
{
    const char *dir = temp_dir();
    nn_tok *t = foreign_tok(NN_TOK_BPE, true); /* a piece that is nothing but unknown: no added token says that */
    nn_err err = {NN_OK, ""};

    expect_fails(nn_tok_write_json(dir, t, NULL, 0, NULL, &err), NN_USAGE, &err, "tokenizer.json cannot say");
    cr_expect(!fopen(path_in(dir, "tokenizer.json"), "rb"));
    nn_tok_free(t);
}
