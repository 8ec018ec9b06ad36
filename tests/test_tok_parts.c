/* test_tok_parts.c - folders with vocab.json and merges.txt alone. */
#include "nn/arena.h"
#include "nn/tok_impl.h"
#include "nn/tok_read.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY "fixtures/hf/tiny-random-gpt2"
#define VOCAB "{\"<|endoftext|>\": 0, \"a\": 1, \"b\": 2, \"ab\": 3, \"\xC4\xA0\": 4, \"1\": 5, \"11\": 6}"
#define MERGES "#version: 0.2\na b\n1 1\n"

static nn_tok_part part(const char *text)
{
    return (nn_tok_part){text, text ? strlen(text) : 0};
}

static nn_status open_parts(nn_tok **t, const char *vocab, const char *merges, const char *config, const char *added,
                            const char *special, nn_err *err)
{
    const nn_tok_parts p = {part(vocab), part(merges), part(config), part(added), part(special)};

    return nn_tok_from_parts(t, &p, "folder", err);
}

static nn_tok *take(const char *config, const char *added, const char *special)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(open_parts(&t, VOCAB, MERGES, config, added, special, &err), &err);
    return t;
}

static void expect_refused(const char *vocab, const char *merges, const char *config, const char *added,
                           const char *want)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(open_parts(&t, vocab, merges, config, added, NULL, &err), NN_FILE, &err, want);
    cr_expect(strncmp(err.text, "folder: ", 8) == 0 && !t, "%s", err.text);
}

/* The ids of text as "3 4". */
static void expect_ids(const nn_tok *t, const char *text, const char *want)
{
    char got[128] = "";
    size_t n = 0;
    nn_tok_buf b = {0};
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_encode(t, &b, text, strlen(text), &err), &err);
    for (size_t i = 0; i < b.len; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, i ? " %ld" : "%ld", (long)b.ids[i]);
    cr_expect_str_eq(got, want, "'%s': %s", text, got);
    nn_tok_buf_free(&b);
}

static void copy_file(const char *dir, const char *name)
{
    char path[128];
    size_t len = 0;

    snprintf(path, sizeof path, TINY "/%s", name);
    skip_unless_fixture(path);
    char *bytes = read_bytes(shared_path(path), &len);
    write_bytes(path_in(dir, name), bytes, len);
    free(bytes);
}

Test(tok_parts, a_folder_without_tokenizer_json_has_the_same_tokenizer)
{
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"};
    nn_tok *t[3] = {NULL, NULL, NULL};
    char hex[3][65];
    nn_err err = {NN_OK, ""};

    for (size_t i = 1; i < 3; i++) { /* the first two files alone, then all four */
        const char *dir = temp_dir();

        for (size_t k = 0; k < 2 * i; k++) copy_file(dir, names[k]);
        expect_ok(nn_tok_open(&t[i], dir, 0, &err), &err);
    }
    expect_ok(nn_tok_open(&t[0], shared_path(TINY), 0, &err), &err);
    for (size_t i = 0; i < 3; i++) nn_tok_hash(t[i], hex[i]);
    cr_expect_str_eq(hex[1], hex[0]);
    cr_expect_str_eq(hex[2], hex[0]);
    for (size_t i = 0; i < 3; i++) nn_tok_free(t[i]);
}

Test(tok_parts, the_class_says_how_a_text_is_cut)
{
    nn_tok *gpt = take(NULL, NULL, NULL), *qwen = take("{\"tokenizer_class\": \"Qwen2Tokenizer\"}", NULL, NULL);

    expect_ids(gpt, "ab11 ab", "3 6 4 3");
    expect_ids(qwen, "ab11 ab", "3 5 5 4 3");
    cr_expect(gpt->other->nfc == false && qwen->other->nfc == true);
    cr_expect(nn_tok_bos(gpt) == 0 && nn_tok_eos(gpt) == 0 && nn_tok_bos(qwen) == -1 && nn_tok_eos(qwen) == 0);
    cr_expect(nn_tok_is_control(gpt, 0));
    nn_tok_free(gpt);
    nn_tok_free(qwen);
    gpt = take("{\"tokenizer_class\": null}", NULL, NULL);
    cr_expect(gpt->other->pre == NN_PRE_GPT2);
    nn_tok_free(gpt);
    expect_refused(VOCAB, MERGES, "{\"tokenizer_class\": \"RobertaTokenizer\"}", NULL,
                   "tokenizer_class \"RobertaTokenizer\" with vocab.json and merges.txt is not run");
}

Test(tok_parts, tokens_beside_the_vocabulary_and_which_are_special)
{
    nn_tok *t = take("{\"eos_token\": \"<e>\", \"additional_special_tokens\": [\"<c>\", {\"content\": \"<d>\"}]}",
                     "{\"<e>\": 7, \"<c>\": 8, \"<d>\": 9, \"<u>\": 10}", "{\"pad_token\": {\"content\": \"<u2>\"}}");

    expect_ids(t, "a<u>b", "1 10 2");
    for (int32_t id = 7; id < 10; id++) cr_expect(nn_tok_is_control(t, id));
    cr_expect(!nn_tok_is_control(t, 10) && nn_tok_eos(t) == 7 && nn_tok_pad(t) == -1);
    nn_tok_free(t);
    t = take("{\"added_tokens_decoder\": {\"0\": {\"content\": \"<|endoftext|>\", \"special\": true}, \"8\": "
             "{\"content\": \"<x>\", \"lstrip\": true}, \"7\": {\"content\": \"<e>\", \"special\": true, "
             "\"__type\": \"AddedToken\"}}, \"pad_token\": \"<e>\"}", "{\"<other>\": 7}", NULL);
    expect_ids(t, "a <x>b", "1 8 2");
    cr_expect(nn_tok_is_control(t, 7) && nn_tok_pad(t) == 7 && nn_tok_vocab(t) == 9);
    nn_tok_free(t);
}

Test(tok_parts, what_lies_is_refused_by_file_and_place)
{
    expect_refused("{}", MERGES, NULL, NULL, "vocab.json: byte 2: no tokens");
    expect_refused("[1]", MERGES, NULL, NULL, "vocab.json: byte 0");
    expect_refused(VOCAB "x", MERGES, NULL, NULL, "vocab.json: byte");
    expect_refused("{\"a\": 0, \"b\": 5}", MERGES, NULL, NULL, "id 5, but there are at most 2 ids");
    expect_refused("{\"a\": 0, \"b\": 0}", MERGES, NULL, NULL, "id 0 twice");
    expect_refused("{\"a\": 0, \"\xE2\x98\x83\": 1}", "", NULL, NULL, "spells no byte");
    expect_refused(VOCAB, "#version: 0.2\na\n", NULL, NULL, "merges.txt: merge 0: \"a\", want two tokens");
    expect_refused(VOCAB, "a b\na c\n", NULL, NULL, "merges.txt: merge 1: \"c\" is no token");
    expect_refused(VOCAB, MERGES, "{\"added_tokens_decoder\": {\"x\": {\"content\": \"y\"}}}", NULL, "want an id");
    expect_refused(VOCAB, MERGES, "{\"added_tokens_decoder\": {\"99999999999999\": {\"content\": \"y\"}}}", NULL,
                   "want an id");
    expect_refused(VOCAB, MERGES, "{\"added_tokens_decoder\": {\"7\": {}}}", NULL, "without id or content");
    expect_refused(VOCAB, MERGES, "{\"added_tokens_decoder\": {\"1\": {\"content\": \"y\"}}}", NULL, "is \"a\" in the");
    expect_refused(VOCAB, MERGES, NULL, "{\"y\": 70}", "has id 70");
    expect_refused(VOCAB, MERGES, "{\"tokenizer_class\": 7}", NULL, "tokenizer_config.json: byte");
}

Test(tok_parts, cut_at_any_byte_nothing_breaks_and_every_failed_allocation_is_reported)
{
    static const char config[] = "{\"added_tokens_decoder\": {\"7\": {\"content\": \"<e>\"}}, \"eos_token\": \"<e>\"}";
    nn_status st = NN_LIMIT;

    for (size_t n = 0; n < sizeof config - 1; n++) {
        const nn_tok_parts p = {part(VOCAB), part(MERGES), {config, n}, {NULL, 0}, {NULL, 0}};
        nn_tok *t = NULL;
        nn_err err = {NN_OK, ""};

        cr_expect(nn_tok_from_parts(&t, &p, "folder", &err) == NN_FILE && !t, "%zu bytes", n);
    }
    for (long n = 0; st != NN_OK; n++) {
        nn_tok *t = NULL;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = open_parts(&t, VOCAB, MERGES, config, NULL, NULL, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK ? t != NULL : st == NN_LIMIT && !t, "allocation %ld: %s", n, err.text);
        nn_tok_free(t);
    }
}
