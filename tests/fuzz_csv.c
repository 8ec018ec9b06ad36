/* fuzz_csv.c - a benchmark's own file, by each importer and by the guess from its header. */
#include "guard/csv.h"
#include "guard/dataset.h"
#include "tests/fuzz.h"

/* The parser alone: fields end with a zero byte and all records are as wide as the first. */
static void parse(const uint8_t *bytes, size_t len)
{
    guard_csv c;
    bool more = true;

    guard_csv_init(&c, (const char *)bytes, len, "x");
    while (guard_csv_next(&c, &more, NULL) == NN_OK && more) {
        fuzz_must(c.n_field == c.width, "records are of one width");
        for (size_t i = 0; i < c.n_field; i++) fuzz_must(c.field[i].s[c.field[i].n] == '\0', "a field is ended");
    }
    guard_csv_free(&c);
}

static nn_status import(const char *path, const guard_import *o, nn_err *err)
{
    guard_import_report report;
    guard_corpus *c = NULL;
    const nn_status st = guard_dataset_read(&c, &report, path, o, err);

    fuzz_must((st == NN_OK) == (c != NULL), "a corpus exactly when the file is good");
    if (c) fuzz_must(c->n == report.rows, "the report counts every row");
    guard_corpus_free(c);
    return st;
}

nn_status fuzz_csv(const uint8_t *bytes, size_t len, nn_err *err)
{
    static const guard_import as[] = {{.format = "toxicchat"}, {.format = "openai_moderation"}, {.format = "wildguard"},
                                      {.format = "wildguard", .task = "response"}, {.format = "harmbench"},
                                      {.format = "harmbench", .functional = "standard,contextual", .cap = 1},
                                      {.format = "xstest"}};
    const guard_import guess = {.max_bytes = 65536};

    parse(bytes, len);
    const char *path = fuzz_file("rows.csv", bytes, len);
    for (size_t i = 0; i < sizeof as / sizeof *as; i++) (void)!import(path, &as[i], NULL);
    return import(path, &guess, err);
}
