/* fuzz_ask.c - what language models say, and files of their answers. A text that fits some grammar is good; a file of
 * answers writes itself so that it reads back the same. */
#include "guard/ask/answer.h"
#include "guard/ask/store.h"
#include "guard/folder.h"
#include "nn/plat.h"
#include "tests/fuzz.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- a text --------------------------------------------------------------------------------- */

static const char *const words[] = {"safe", "unsafe", "not safe", "\xc3\x84nderung", "1"};
static const guard_answer_field fields[] = {
    {"label", GUARD_FIELD_STRING}, {"score", GUARD_FIELD_NUMBER}, {"sure", GUARD_FIELD_BOOLEAN}};
static const guard_answer_grammar grammars[] = {
    {.kind = GUARD_ANSWER_ONE_OF, .word = words, .n_word = sizeof words / sizeof *words},
    {.kind = GUARD_ANSWER_JSON, .field = fields, .n_field = 3},
    {.kind = GUARD_ANSWER_JSON, .field = fields, .n_field = 1},
    {.kind = GUARD_ANSWER_LIST, .max_items = 3},
    {.kind = GUARD_ANSWER_LIST},
    {.kind = GUARD_ANSWER_TEXT},
};

static void check_answer(const guard_answer *a, const guard_answer_grammar *g, size_t len)
{
    fuzz_must(a->text != NULL && a->n > 0, "what fits says something");
    for (size_t i = 0; i < a->n; i++) {
        fuzz_must(a->text[i].s[a->text[i].n] == '\0', "a zero byte stands behind each text");
        if (g->kind == GUARD_ANSWER_JSON) continue;
        fuzz_must(a->text[i].n > 0 && a->text[i].n <= len, "a text of the answer's own");
    }
    fuzz_must(g->kind != GUARD_ANSWER_ONE_OF || (a->n == 1 && a->which < g->n_word), "one of the words");
    fuzz_must(g->max_items == 0 || a->n <= g->max_items, "no more items than asked for");
    if (g->kind != GUARD_ANSWER_JSON) return;
    fuzz_must(a->n == g->n_field && a->num != NULL, "every field");
    for (size_t i = 0; i < a->n; i++) fuzz_must(isfinite(a->num[i]), "numbers are finite");
}

nn_status fuzz_answer(const uint8_t *bytes, size_t len, nn_err *err)
{
    size_t n_fit = 0;

    for (size_t k = 0; k < sizeof grammars / sizeof *grammars; k++) {
        guard_answer a;
        bool fits = false;
        const nn_status st = guard_answer_parse(&a, &fits, grammars + k, (const char *)bytes, len, err);

        if (st != NN_OK) return st;
        if (fits) check_answer(&a, grammars + k, len);
        else fuzz_must(a.text == NULL && a.num == NULL && a.n == 0, "what does not fit is empty");
        n_fit += fits;
        guard_answer_free(&a);
    }
    return n_fit > 0 ? NN_OK : nn_fail(err, NN_CONTENT, "answer: it fits no grammar, want one");
}

/* --- a file --------------------------------------------------------------------------------- */

/* Notes each address that stands in the bytes as used: all that the store has, since keys and digits need no escapes,
 * unless an input spells them with \u. */
static void use_all(guard_store *s, const uint8_t *bytes, size_t len, nn_err *err)
{
    for (size_t i = 0; i + 64 <= len; i++) {
        char address[NN_SHA256_HEX];

        memcpy(address, bytes + i, 64);
        address[64] = '\0';
        if (memchr(address, '\0', 64) || !guard_is_sha256(address)) continue;
        const guard_stored *a = guard_store_find(s, address);
        if (!a) continue;
        fuzz_must(a->text[a->len] == '\0', "a zero byte stands behind each text");
        fuzz_must(guard_store_used(s, address, err) == NN_OK, "there is room for a note");
    }
}

static void write_used(guard_store *s, const char *path, nn_err *err)
{
    fuzz_must(guard_store_write_used(s, path, err) == NN_OK, "what was read can be written");
}

static void write_and_read(guard_store *s, const uint8_t *bytes, size_t len)
{
    static char first[600], second[600];
    guard_store *again = NULL;
    nn_file a = {NULL, 0, NULL, NULL}, b = a;
    nn_err err = {NN_OK, ""};

    snprintf(first, sizeof first, "%s/first.jsonl", fuzz_folder());
    snprintf(second, sizeof second, "%s/second.jsonl", fuzz_folder());
    use_all(s, bytes, len, &err);
    write_used(s, first, &err);
    fuzz_must(guard_store_build(&again, &err) == NN_OK, "there is room for a store");
    fuzz_must(guard_store_read(again, first, false, &err) == NN_OK, err.text);
    fuzz_must(nn_file_open(&a, first, &err) == NN_OK, "the file is there");
    use_all(again, a.bytes, a.len, &err);
    write_used(again, second, &err);
    fuzz_must(nn_file_open(&b, second, &err) == NN_OK, "the file is there");
    fuzz_must(a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0), "read and written is the same");
    nn_file_close(&a);
    nn_file_close(&b);
    guard_store_free(again);
}

nn_status fuzz_answers(const uint8_t *bytes, size_t len, nn_err *err)
{
    const char *path = fuzz_file("answers.jsonl", bytes, len);
    guard_store *s = NULL, *torn = NULL;
    nn_status st = guard_store_build(&s, err);

    if (st == NN_OK) st = guard_store_read(s, path, false, err);
    fuzz_opened();
    if (st == NN_OK) {
        nn_err e = {NN_OK, ""};

        fuzz_must(guard_store_build(&torn, &e) == NN_OK, "there is room for a store");
        fuzz_must(guard_store_read(torn, path, true, &e) == NN_OK, "a whole file may be torn");
        fuzz_must(guard_store_count(torn) == guard_store_count(s), "a whole file has no torn end");
        write_and_read(s, bytes, len);
    }
    guard_store_free(torn);
    guard_store_free(s);
    return st;
}
