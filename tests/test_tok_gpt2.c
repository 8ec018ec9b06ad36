/* Test of nn/tok.h with a vocabulary made by others: GPT-2's merges give GPT-2's ids on its published cases. */
#include "nn/gguf.h"
#include "nn/tok.h"
#include "tests/support.h"
#include <stdlib.h>
#include <string.h>

static nn_tok *build(const int32_t *pairs, size_t n)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_from_merges(&t, pairs, n, &err), &err);
    return t;
}

#define N_BYTES ((size_t)(NN_TOK_MERGES - NN_TOK_BYTES))
#define JOINED_MAX 1024u /* bytes of a spelled token or merge */

/* A spelled token and its number, in lists sorted by spelling. */
typedef struct {
    const char *s;
    size_t len;
    int32_t id;
} spelled;

static int by_spelling(const void *a, const void *b)
{
    const spelled *x = a, *y = b;
    const int c = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);

    if (c != 0) return c;
    return x->len != y->len ? (x->len < y->len ? -1 : 1) : (x->id < y->id ? -1 : 1);
}

static int32_t find_spelling(const spelled *list, size_t n, const char *s, size_t len)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        const int c = memcmp(list[mid].s, s, list[mid].len < len ? list[mid].len : len);
        if (c == 0 && list[mid].len == len) return list[mid].id;
        if (c < 0 || (c == 0 && list[mid].len < len)) low = mid + 1;
        else high = mid;
    }
    return -1;
}

/* The two parts of merge i, "left right" in the file. */
typedef struct {
    const char *left, *right;
    size_t left_len, right_len;
} merge;

static merge merge_at(const nn_gguf *file, size_t i)
{
    const char *s = NULL;
    size_t len = 0;

    cr_assert(nn_gguf_array_str(file, "tokenizer.ggml.merges", i, &s, &len));
    const char *gap = memchr(s, ' ', len);
    cr_assert(gap != NULL && len < JOINED_MAX);
    const size_t left = (size_t)(gap - s);
    return (merge){s, gap + 1, left, len - left - 1};
}

/* Every spelling of the file's tokens with its number there. */
static spelled *read_theirs(size_t *n, const nn_gguf *file)
{
    nn_gg_type type;

    cr_assert(nn_gguf_array(file, "tokenizer.ggml.tokens", &type, n) && type == NN_GG_STRING);
    spelled *list = calloc(*n, sizeof *list);
    cr_assert(list != NULL);
    for (size_t i = 0; i < *n; i++) {
        cr_assert(nn_gguf_array_str(file, "tokenizer.ggml.tokens", i, &list[i].s, &list[i].len));
        list[i].id = (int32_t)i;
    }
    qsort(list, *n, sizeof *list, by_spelling);
    return list;
}

/* Merges spelled in the file as pairs of our ids, which follow the same order. */
static nn_tok *read_ours(const nn_gguf *file)
{
    nn_gg_type type;
    size_t n_merges;
    nn_tok *bytes = build(NULL, 0);

    cr_assert(nn_gguf_array(file, "tokenizer.ggml.merges", &type, &n_merges) && type == NN_GG_STRING);
    const size_t n = N_BYTES + n_merges;
    spelled *list = calloc(n, sizeof *list);
    char *text = calloc(n, JOINED_MAX);
    int32_t *pairs = calloc(2 * n_merges, sizeof *pairs);
    cr_assert(list && text && pairs);
    for (size_t i = 0; i < n; i++) {
        char *s = text + JOINED_MAX * i;
        list[i] = (spelled){s, 0, NN_TOK_BYTES + (int32_t)i};
        if (i < N_BYTES) {
            list[i].len = nn_tok_spelling(bytes, list[i].id, s, JOINED_MAX);
            continue;
        }
        const merge m = merge_at(file, i - N_BYTES);
        memcpy(s, m.left, m.left_len);
        memcpy(s + m.left_len, m.right, m.right_len);
        list[i].len = m.left_len + m.right_len;
    }
    qsort(list, n, sizeof *list, by_spelling);
    for (size_t i = 0; i < n_merges; i++) {
        const merge m = merge_at(file, i);
        pairs[2 * i] = find_spelling(list, n, m.left, m.left_len);
        pairs[2 * i + 1] = find_spelling(list, n, m.right, m.right_len);
    }
    nn_tok *t = build(pairs, n_merges);
    nn_tok_free(bytes);
    free(list);
    free(text);
    free(pairs);
    return t;
}

typedef struct {
    spelled *theirs;
    size_t n_theirs;
    nn_tok *tok;
} gpt2;

/* The case's ids as the suite prints them: " 17 250 9". The empty case after the last separator has no line. */
static bool same_ids(const gpt2 *g, nn_tok_buf *b, const char *text, size_t len, const char *line)
{
    nn_err err = {NN_OK, ""};

    b->len = 0;
    expect_ok(nn_tok_encode(g->tok, b, text, len, &err), &err);
    for (size_t i = 0; i < b->len; i++) {
        char s[JOINED_MAX], *end;
        const size_t n = nn_tok_spelling(g->tok, b->ids[i], s, sizeof s);
        const long want = strtol(line, &end, 10);

        if (end == line || find_spelling(g->theirs, g->n_theirs, s, n) != want) return false;
        line = end;
    }
    return line[strspn(line, " \n")] == '\0' || line[strspn(line, " ")] == '\n';
}

Test(tok_gpt2, suite_gives_the_published_ids)
{
    static const char gap[] = "\n__ggml_vocab_test__\n";
    nn_tok_buf b;
    size_t right = 0, n = 0, len;

    skip_unless_fixture("fixtures/tokenizer/ggml-vocab-gpt-2.gguf");
    nn_gguf *file = NULL;
    nn_err err = {NN_OK, ""};
    gpt2 g = {NULL, 0, NULL};
    expect_ok(nn_gguf_open(&file, shared_path("fixtures/tokenizer/ggml-vocab-gpt-2.gguf"), &err), &err);
    g.theirs = read_theirs(&g.n_theirs, file);
    g.tok = read_ours(file);
    char *in = read_bytes(shared_path("fixtures/tokenizer/ggml-vocab-gpt-2.gguf.inp"), &len);
    char *out = read_bytes(shared_path("fixtures/tokenizer/ggml-vocab-gpt-2.gguf.out"), NULL);
    memset(&b, 0, sizeof b);
    const char *line = out;
    for (char *s = in, *next; s; s = next, n++) {
        char *end = strstr(s, gap);
        next = end ? end + sizeof gap - 1 : NULL;
        const bool same = same_ids(&g, &b, s, end ? (size_t)(end - s) : strlen(s), line);
        cr_expect(same, "case %zu: '%.60s'", n, s);
        right += same;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    cr_expect(right == 47 && n == 47, "%zu of %zu", right, n);
    free(in);
    free(out);
    free(g.theirs);
    nn_tok_buf_free(&b);
    nn_tok_free(g.tok);
    nn_gguf_close(file);
}
