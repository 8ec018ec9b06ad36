/* fuzz_jsonl.c - rows as a user's file has them; what was taken writes itself so that it reads back the same. */
#include "guard/buf.h"
#include "guard/dataset.h"
#include "guard/import.h"
#include "tests/fuzz.h"
#include <string.h>

/* Columns are declared by a line of their own, which single rows do not carry. */
static void write_and_read(const guard_corpus *c)
{
    guard_buf first = {0}, second = {0};
    guard_corpus *again = NULL;

    for (size_t i = 0; i < c->n && c->n_col == 0; i++) {
        nn_err err = {NN_OK, ""};
        bool repaired = false;

        guard_buf_clear(&first);
        guard_buf_clear(&second);
        guard_corpus_json(&first, c, i);
        fuzz_must(guard_corpus_build(&again, &err) == NN_OK, "there is room for one row");
        const nn_status st =
            guard_dataset_line_limit(again, first.bytes, first.len, "again", GUARD_ANY_TEXT, &repaired, &err);
        fuzz_must(st == NN_OK, err.text);
        fuzz_must(again->n == 1 && !repaired, "a row that was written is one good row");
        guard_corpus_json(&second, again, 0);
        fuzz_must(first.len == second.len && memcmp(first.bytes, second.bytes, first.len) == 0,
                  "a row writes the bytes it was read from");
        guard_corpus_free(again);
        again = NULL;
    }
    guard_buf_free(&first);
    guard_buf_free(&second);
}

nn_status fuzz_jsonl(const uint8_t *bytes, size_t len, nn_err *err)
{
    const guard_import o = {.format = "jsonl", .max_bytes = 65536};
    guard_import_report report;
    guard_corpus *c = NULL;
    const nn_status st = guard_dataset_read(&c, &report, fuzz_file("rows.jsonl", bytes, len), &o, err);

    fuzz_must((st == NN_OK) == (c != NULL), "a corpus exactly when the file is good");
    fuzz_opened();
    if (c) {
        fuzz_must(c->n == report.rows && report.rows == report.safe + report.unsafe + report.unlabelled,
                  "the report counts every row");
        write_and_read(c);
    }
    guard_corpus_free(c);
    return st;
}
