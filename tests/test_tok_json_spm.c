/* test_tok_json_spm.c - SentencePiece's BPE and Unigram as tokenizer.json: the ids are the source's, and Llama 2's file
 * is the one that was published. */
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/tok_json_write.h"
#include "nn/tok_read.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include "tests/test_tok_support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LLAMA "fixtures/tokenizer/ggml-vocab-llama-spm.gguf"

/* t, written and read again. */
static nn_tok *again(const nn_tok *t, nn_tok_json_notes *notes)
{
    const char *dir = temp_dir();
    nn_tok *back = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_write_json(dir, t, NULL, 0, notes, &err), &err);
    expect_ok(nn_tok_open(&back, dir, 0, &err), &err);
    cr_assert_eq(nn_tok_vocab(t), nn_tok_vocab(back));
    cr_expect(nn_tok_bos(t) == nn_tok_bos(back) && nn_tok_eos(t) == nn_tok_eos(back) &&
              nn_tok_pad(t) == nn_tok_pad(back) && nn_tok_adds_bos(t) == nn_tok_adds_bos(back) &&
              nn_tok_adds_eos(t) == nn_tok_adds_eos(back));
    return back;
}

typedef struct {
    nn_tok_buf a, b;
} pair;

static void pair_free(pair *p)
{
    nn_tok_buf_free(&p->a);
    nn_tok_buf_free(&p->b);
}

/* Whether both give the same ids. */
static bool same_ids(pair *p, const nn_tok *t, const nn_tok *back, const char *text, size_t len)
{
    nn_err err = {NN_OK, ""};

    p->a.len = p->b.len = 0;
    expect_ok(nn_tok_encode(t, &p->a, text, len, &err), &err);
    expect_ok(nn_tok_encode(back, &p->b, text, len, &err), &err);
    return p->a.len == p->b.len && (p->a.len == 0 || memcmp(p->a.ids, p->b.ids, p->a.len * sizeof *p->a.ids) == 0);
}

static void expect_same_text(pair *p, const nn_tok *t, const nn_tok *back)
{
    char out[2][256] = {"", ""};
    const size_t n = nn_tok_decode(t, out[0], 255, p->a.ids, p->a.len);

    cr_expect(nn_tok_decode(back, out[1], 255, p->b.ids, p->b.len) == n && strcmp(out[0], out[1]) == 0, "'%s': '%s'",
              out[0], out[1]);
}

/* A text of the given words, n of them. */
static size_t random_text(char *out, nn_rng *r, const char *const *word, size_t words, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        const char *w = word[nn_rng_below(r, words)];

        memcpy(out + len, w, strlen(w));
        len += strlen(w);
    }
    out[len] = '\0';
    return len;
}

static const char *const pieces[] = {
    "a",  "aa",               "ab",  "b",   "c",   "d", "e",    " ",  "  ", "\xC3\xA9", BLANK, "\n",
    "\t", "\xE2\x98\x83", "the", " in", "<s>", "<", "0x0A", "12", ".",  "!",        "ing", "\xF0\x9F\x98\x80", "A"};
enum { PIECES = sizeof pieces / sizeof *pieces };

static nn_tok *open_fixture(const char *name)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    skip_unless_fixture(name);
    expect_ok(nn_tok_open(&t, shared_path(name), 0, &err), &err);
    return t;
}

/* --- Llama 2 ------------------------------------------------------------------------------------------------- */

static void expect_same_part(const json_t *a, const json_t *b, const char *key)
{
    char *text = json_dumps(json_object_get(b, key), JSON_COMPACT | JSON_ENCODE_ANY);

    cr_expect(json_equal(json_object_get(a, key), json_object_get(b, key)), "%s: %s", key, text);
    free(text);
}

Test(tok_json_spm, llama_2_is_written_as_it_was_published)
{
    static const char *const parts[] = {"added_tokens", "normalizer", "pre_tokenizer", "decoder"};
    static const char *const of_model[] = {"type", "vocab", "unk_token", "fuse_unk", "byte_fallback", "ignore_merges"};
    nn_tok *t = open_fixture(LLAMA);
    const char *dir = temp_dir();
    nn_tok_json_notes notes = {1, 1, true};
    nn_err err = {NN_OK, ""};

    skip_unless_fixture("fixtures/tokenizer/llama2-tokenizer.json");
    expect_ok(nn_tok_write_json(dir, t, NULL, 0, &notes, &err), &err);
    cr_expect(notes.ties == 14 && notes.users == 0 && !notes.other_space); /* runs of blanks: all score -1e9 */
    json_t *ours = json_load_file(path_in(dir, "tokenizer.json"), JSON_REJECT_DUPLICATES, NULL);
    json_t *theirs = json_load_file(shared_path("fixtures/tokenizer/llama2-tokenizer.json"), 0, NULL);
    cr_assert(ours && theirs);
    for (size_t i = 0; i < 4; i++) expect_same_part(ours, theirs, parts[i]);
    json_t *a = json_object_get(ours, "model"), *b = json_object_get(theirs, "model");
    for (size_t i = 0; i < 6; i++) expect_same_part(a, b, of_model[i]);
    a = json_object_get(a, "merges");
    b = json_object_get(b, "merges");
    cr_assert_eq(json_array_size(a), json_array_size(b));
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *m = json_array_get(a, i);
        char text[128];

        snprintf(text, sizeof text, "%s %s", json_string_value(json_array_get(m, 0)),
                 json_string_value(json_array_get(m, 1)));
        cr_assert_str_eq(text, json_string_value(json_array_get(b, i)), "merge %zu", i);
    }
    json_decref(ours);
    json_decref(theirs);
    nn_tok_free(t);
}

Test(tok_json_spm, suites_and_naughty_strings_get_the_ids_of_the_source)
{
    static const char *const files[] = {LLAMA, "fixtures/llama2xs/llama2xs_f32.gguf",
                                        "fixtures/stories260K/stories260K.gguf"};

    skip_unless_fixture("fixtures/text/blns.json");
    json_t *list = json_load_file(shared_path("fixtures/text/blns.json"), JSON_ALLOW_NUL, NULL);
    char *suite = read_bytes(shared_path("fixtures/tokenizer/ggml-vocab-llama-spm.gguf.inp"), NULL);
    pair p = {0};

    for (size_t k = 0; k < 3; k++) {
        nn_tok *t = open_fixture(files[k]), *back = again(t, NULL);

        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *s = json_array_get(list, i);

            cr_expect(same_ids(&p, t, back, json_string_value(s), json_string_length(s)), "%s: string %zu", files[k],
                      i);
            expect_same_text(&p, t, back);
        }
        for (const char *s = suite, *end; s; s = end ? end + 21 : NULL) {
            end = strstr(s, "\n__ggml_vocab_test__\n");
            cr_expect(same_ids(&p, t, back, s, end ? (size_t)(end - s) : strlen(s)), "%s: '%.40s'", files[k], s);
        }
        nn_tok_free(back);
        nn_tok_free(t);
    }
    pair_free(&p);
    free(suite);
    json_decref(list);
}

Test(tok_json_spm, random_strings_get_the_ids_of_the_source)
{
    static const char *const files[] = {LLAMA, "fixtures/stories260K/stories260K.gguf"};
    pair p = {0};
    char text[512];

    for (size_t k = 0; k < 2; k++) {
        nn_tok *t = open_fixture(files[k]), *back = again(t, NULL);
        nn_rng r = nn_rng_at(11, "tok_json_spm", k);

        for (size_t i = 0; i < 4000; i++) {
            const size_t len = random_text(text, &r, pieces, i % 2 ? PIECES : 9, 1 + nn_rng_below(&r, 40));

            cr_assert(same_ids(&p, t, back, text, len), "%s: '%s'", files[k], text);
        }
        nn_tok_free(back);
        nn_tok_free(t);
    }
    pair_free(&p);
}

/* --- vocabularies made here ------------------------------------------------------------------------------------ */

/* Of equal texts the first is left: tokenizer.json names ids by their texts. */
static nn_vocab without_doubles(nn_vocab v)
{
    nn_vocab out = vocab_of(v.model);
    nn_err err = {NN_OK, ""};

    for (size_t i = out.n; i < v.n; i++) {
        bool again = false;

        for (size_t k = 0; k < i; k++)
            again = again || (v.piece[k].len == v.piece[i].len &&
                              memcmp(v.piece[k].text, v.piece[i].text, v.piece[i].len) == 0);
        if (again) continue;
        expect_ok(nn_vocab_add(&out, v.piece[i].text, v.piece[i].len, v.piece[i].score, v.piece[i].type, &err), &err);
    }
    nn_vocab_free(&v);
    return out;
}

Test(tok_json_spm, random_vocabularies_give_the_ids_of_the_source)
{
    pair p = {0};
    char text[512];

    for (uint64_t seed = 0; seed < 60; seed++) {
        const nn_tok_model model = seed % 2 ? NN_TOK_UNIGRAM : NN_TOK_SPM;
        nn_vocab v = without_doubles(random_vocab(model, seed, 60, 0));
        nn_rng r = nn_rng_at(12, "tok_json_spm", seed);
        nn_tok_json_notes notes = {0};

        v.squeeze = seed % 3 == 0;
        v.prefix_space = seed % 5 != 0;
        v.prefix_unless_blank = v.prefix_space && seed % 7 == 0;
        nn_tok *t = toy_build(&v), *back = again(t, &notes);
        cr_expect(notes.ties == 0 && notes.other_space == v.squeeze);
        for (size_t i = 0; i < 200; i++) {
            const size_t len = random_text(text, &r, pieces, 14, 1 + nn_rng_below(&r, 30));

            /* Metaspace puts no blank before a sign for one. */
            if (v.squeeze && strncmp(text + strspn(text, " "), BLANK, 3) == 0) continue;
            cr_expect(same_ids(&p, t, back, text, len), "seed %d: '%s'", (int)seed, text);
            expect_same_text(&p, t, back);
        }
        nn_tok_free(back);
        nn_tok_free(t);
        nn_vocab_free(&v);
    }
    pair_free(&p);
}

/* What stands in the parts of the file, and what is said of it. */
static void expect_notes(const nn_vocab *v, size_t ties, size_t users, bool other_space, const char *part)
{
    const char *dir = temp_dir();
    nn_tok *t = toy_build(v), *back = NULL;
    nn_tok_json_notes notes = {9, 9, true};
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_write_json(dir, t, NULL, 0, &notes, &err), &err);
    cr_expect(notes.ties == ties && notes.users == users && notes.other_space == other_space, "%s: %zu, %zu, %d", part,
              notes.ties, notes.users, notes.other_space);
    char *text = read_bytes(path_in(dir, "tokenizer.json"), NULL);
    cr_expect(strstr(text, part) != NULL, "%s", part);
    free(text);
    expect_ok(nn_tok_open(&back, dir, 0, &err), &err);
    nn_tok_free(back);
    nn_tok_free(t);
}

Test(tok_json_spm, what_a_list_of_merges_or_the_library_does_otherwise_is_counted)
{
    nn_vocab v = llama_like();

    toy_add(&v, "lh", 0.0f, NN_PIECE_NORMAL); /* as "hi" has it */
    expect_notes(&v, 1, 0, false, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\"");
    toy_add(&v, "<code>", 0.0f, NN_PIECE_USER);
    toy_add(&v, "<pad7>", 0.0f, NN_PIECE_UNUSED);
    expect_notes(&v, 1, 1, false, "\"content\":\"<pad7>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                                  "\"normalized\":false,\"special\":true}");
    v.prefix_unless_blank = true;
    expect_notes(&v, 1, 0, false, "\"normalizer\":null,\n\"pre_tokenizer\":{\"type\":\"Metaspace\"");
    v.squeeze = true;
    expect_notes(&v, 1, 0, true, "\"strip_left\":false,\"strip_right\":true");
    v.prefix_space = v.prefix_unless_blank = false;
    expect_notes(&v, 1, 0, true, "\"strip_left\":true,\"strip_right\":true");
    nn_vocab_free(&v);
}

Test(tok_json_spm, unigram_keeps_its_scores_its_charsmap_and_its_bytes)
{
    static const char *const word[] = {"h", "hl", "a", "b", " ", "\xC3\xA9", "\xE2\x98\x83", "<x>"};
    unsigned char map[CHARSMAP_ROOM];
    pair p = {0};
    char text[128];

    for (int i = 0; i < 8; i++) {
        nn_vocab v = without_doubles(random_vocab(NN_TOK_UNIGRAM, 77, 40, 0));
        nn_rng r = nn_rng_at(13, "tok_json_spm", 0);
        nn_err err = {NN_OK, ""};

        toy_add(&v, "<x>", -1.0f / 3.0f, NN_PIECE_USER);
        for (unsigned b = 0; b < 256 && i % 2; b++)
            expect_ok(nn_vocab_add(&v, (char[]){(char)b}, 1, -5.0f, NN_PIECE_BYTE, &err), &err);
        v.charsmap = map;
        v.charsmap_len = small_charsmap(map) - (size_t)(i % 3); /* its last bytes are zeros: all lengths of base64 */
        v.prefix_space = i < 4;
        v.squeeze = i % 4 < 2;
        v.nfkc = i == 5;
        v.lowercase = i == 6;
        v.pad = 0;
        v.eos = 1;
        v.add_eos = i % 2;
        nn_tok *t = toy_build(&v), *back = again(t, NULL);
        for (size_t k = 0; k < 100; k++) {
            const size_t len = random_text(text, &r, word, 8, 1 + nn_rng_below(&r, 20));

            cr_expect(same_ids(&p, t, back, text, len), "%d: '%s'", i, text);
        }
        nn_tok_free(back);
        nn_tok_free(t);
        nn_vocab_free(&v);
    }
    pair_free(&p);
}

Test(tok_json_spm, families_made_here_come_back)
{
    pair p = {0};

    for (int i = 0; i < 4; i++) {
        nn_tok *t = foreign_tok(i % 2 ? NN_TOK_SPM : NN_TOK_UNIGRAM, i / 2 == 1), *back = again(t, NULL);

        cr_expect(same_ids(&p, t, back, "the river is unsafe, safely", 27));
        cr_expect(p.a.len > 4);
        nn_tok_free(back);
        nn_tok_free(t);
    }
    pair_free(&p);
}

Test(tok_json_spm, two_pieces_of_one_text_are_refused_and_leave_no_file)
{
    const char *dir = temp_dir();
    nn_vocab v = llama_like();
    nn_err err = {NN_OK, ""};

    toy_add(&v, "hi", -3.0f, NN_PIECE_NORMAL);
    nn_tok *t = toy_build(&v);
    expect_fails(nn_tok_write_json(dir, t, NULL, 0, NULL, &err), NN_USAGE, &err, "is token 3 already");
    cr_expect(!fopen(path_in(dir, "tokenizer.json"), "rb"));
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_json_spm, every_failing_allocation_is_reported)
{
    const char *dir = temp_dir();
    nn_vocab v = llama_like();
    nn_tok *t = toy_build(&v);
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = nn_tok_write_json(dir, t, "x", 1, NULL, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld: %s", n, err.text);
        cr_assert(n < 4000);
    }
    nn_tok_free(t);
    nn_vocab_free(&v);
}
