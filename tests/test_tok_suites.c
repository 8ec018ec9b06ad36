/* Tests of other people's tokenizers against what their own software gives: llama.cpp's suites, and texts that come
 * back. */
#include "nn/tok_impl.h"
#include "nn/tok_read.h"
#include "tests/support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "fixtures/tokenizer/"

static const char *const vocabularies[] = {"ggml-vocab-gpt-2", "ggml-vocab-starcoder", "ggml-vocab-falcon",
                                           "ggml-vocab-llama-spm"};

static const char *file_of(const char *name, const char *end)
{
    static char path[128];

    (void)snprintf(path, sizeof path, FOLDER "%s%s", name, end);
    return path;
}

static nn_tok *open_tok(const char *file)
{
    nn_tok *t = NULL;
    nn_gguf *g = NULL;
    nn_err err = {NN_OK, ""};

    skip_unless_fixture(file);
    expect_ok(nn_gguf_open(&g, shared_path(file), &err), &err);
    expect_ok(nn_tok_from_gguf(&t, g, file, &err), &err);
    nn_gguf_close(g);
    return t;
}

static void encode(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len)
{
    nn_err err = {NN_OK, ""};

    b->len = 0;
    expect_ok(nn_tok_encode(t, b, text, len, &err), &err);
    for (size_t i = 0; i < b->len; i++) cr_assert(b->ids[i] >= 0 && (size_t)b->ids[i] < nn_tok_vocab(t));
}

/* --- suites ------------------------------------------------------------------------------------------ */

/* A line of the suite's output: " 17 250 9". */
static bool same_ids(const nn_tok_buf *b, const char *line)
{
    char *end;

    for (size_t i = 0; i < b->len; i++) {
        const long want = strtol(line, &end, 10);
        if (end == line || b->ids[i] != want) return false;
        line = end;
    }
    return line[strspn(line, " ")] == '\n' || line[strspn(line, " ")] == '\0';
}

/* Starts ascend, lie in the text, and without normalisation a token's bytes stand where it starts. */
static void expect_starts(const nn_tok *t, const nn_tok_buf *b, const char *text, size_t len)
{
    for (size_t i = 0; i < b->len; i++) {
        size_t n;
        const char *bytes = nn_tok_bytes(t, b->ids[i], &n);
        const bool own = i == 0 && t->other->prefix_space;

        cr_assert(b->start[i] < len && (i == 0 || b->start[i] >= b->start[i - 1]), "token %zu of '%.40s'", i, text);
        const bool same = b->start[i] + n <= len && memcmp(text + b->start[i], bytes, n) == 0;
        cr_assert(same || own || strstr(text, "\xE2\x96\x81"), "token %zu of '%.40s' starts at %lu", i, text,
                  (unsigned long)b->start[i]);
    }
}

static void expect_suite(const nn_tok *t, const char *name)
{
    static const char gap[] = "\n__ggml_vocab_test__\n";
    nn_tok_buf b;
    size_t right = 0, n = 0;
    char *in = read_bytes(shared_path(file_of(name, ".gguf.inp")), NULL);
    char *out = read_bytes(shared_path(file_of(name, ".gguf.out")), NULL);
    const char *line = out;

    memset(&b, 0, sizeof b);
    for (char *s = in, *next; s; s = next, n++) {
        char *end = strstr(s, gap);
        next = end ? end + sizeof gap - 1 : NULL;
        const size_t len = end ? (size_t)(end - s) : strlen(s);
        encode(t, &b, s, len);
        const bool same = same_ids(&b, line);
        cr_expect(same, "%s: case %zu: '%.60s'", name, n, s);
        expect_starts(t, &b, s, len);
        right += same;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    cr_expect(right == 47 && n == 47, "%s: %zu of %zu", name, right, n);
    nn_tok_buf_free(&b);
    free(in);
    free(out);
}

Test(tok_suites, every_vocabulary_gives_the_published_ids)
{
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) {
        nn_tok *t = open_tok(file_of(vocabularies[i], ".gguf"));

        expect_suite(t, vocabularies[i]);
        nn_tok_free(t);
    }
}

Test(tok_suites, llama2_from_hugging_face_gives_sentencepieces_ids)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    skip_unless_fixture(FOLDER "llama2-tokenizer.json");
    expect_ok(nn_tok_open(&t, shared_path(FOLDER "llama2-tokenizer.json"), 0, &err), &err);
    expect_suite(t, "ggml-vocab-llama-spm");
    nn_tok_free(t);
}

/* --- back to text ------------------------------------------------------------------------------------ */

typedef void check_fn(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len);

static void each_naughty_string(check_fn *check)
{
    skip_unless_fixture("fixtures/text/blns.json");
    json_t *list = json_load_file(shared_path("fixtures/text/blns.json"), JSON_ALLOW_NUL, NULL);
    nn_tok_buf b;

    cr_assert(json_is_array(list) && json_array_size(list) > 400);
    memset(&b, 0, sizeof b);
    for (size_t k = 0; k < sizeof vocabularies / sizeof *vocabularies; k++) {
        nn_tok *t = open_tok(file_of(vocabularies[k], ".gguf"));
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *s = json_array_get(list, i);
            check(t, &b, json_string_value(s), json_string_length(s));
        }
        nn_tok_free(t);
    }
    nn_tok_buf_free(&b);
    json_decref(list);
}

/* Falcon and StarCoder have no token for some bytes; the two others have all. */
static bool has_all_bytes(const nn_tok *t, const char *text, size_t len)
{
    bool all = true;

    for (size_t i = 0; i < len; i++) all = all && t->other->byte_id[(unsigned char)text[i]] >= 0;
    return all || t->other->model != NN_TOK_BPE;
}

static void expect_back(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len)
{
    encode(t, b, text, len);
    char *back = malloc(len + 1);
    cr_assert(back != NULL);
    const size_t got = nn_tok_decode(t, back, len, b->ids, b->len);
    const bool same = got == len && memcmp(back, text, len) == 0;
    cr_assert_eq(same, has_all_bytes(t, text, len), "'%.60s' comes back as '%.*s'", text, (int)len, back);
    free(back);
    expect_starts(t, b, text, len);
}

Test(tok_suites, naughty_strings_come_back_byte_for_byte)
{
    each_naughty_string(expect_back);
}

static bool is_whole(const char *s, size_t len)
{
    return len == 0 || (((unsigned char)s[0] & 0xC0u) != 0x80);
}

/* Token by token the same text comes out as at once, in whole characters. */
static void expect_streamed(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len)
{
    nn_tok_stream s;
    size_t n = 0;

    if (!has_all_bytes(t, text, len)) return;
    char *out = malloc(len + nn_tok_stream_room(t));
    cr_assert(out != NULL);
    encode(t, b, text, len);
    nn_tok_stream_init(&s, t);
    for (size_t i = 0; i < b->len; i++) {
        const size_t more = nn_tok_stream_add(&s, out + n, b->ids[i]);
        cr_assert(is_whole(out + n, more), "'%.60s': half a character", text);
        n += more;
        cr_assert(n <= len && memcmp(out, text, n) == 0, "'%.60s' streams '%.*s'", text, (int)n, out);
    }
    cr_assert(nn_tok_stream_end(&s, out + n) == 0 && n == len, "'%.60s': %zu bytes, want %zu", text, n, len);
    free(out);
}

Test(tok_suites, naughty_strings_stream_in_whole_characters)
{
    each_naughty_string(expect_streamed);
}

/* Both sides of every cut give the ids of the whole. */
static void expect_cuts(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len)
{
    nn_err err = {NN_OK, ""};
    nn_tok_buf parts;

    memset(&parts, 0, sizeof parts);
    encode(t, b, text, len);
    for (size_t i = 1; i < len; i++) {
        if (!nn_tok_cuts_before(t, text, i)) continue;
        parts.len = 0;
        expect_ok(nn_tok_encode(t, &parts, text, i, &err), &err);
        expect_ok(nn_tok_encode_more(t, &parts, text + i, len - i, &err), &err);
        const bool same = parts.len == b->len && memcmp(parts.ids, b->ids, b->len * sizeof *b->ids) == 0;
        cr_assert(same, "'%.60s' cut at %zu", text, i);
    }
    nn_tok_buf_free(&parts);
}

Test(tok_suites, a_text_cut_where_it_may_be_gives_the_same_ids)
{
    each_naughty_string(expect_cuts);
}
