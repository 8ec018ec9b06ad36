/* dataset.h - rows from files: our JSONL and the benchmarks' own files.
 *
 * Reads: corpus.h; jansson for JSON, zlib for .gz.   Read next: import_<benchmark>.c, dataset_column.c
 * Label rules are those of the published protocols (CONTRACTS: ToxicChat user_input/toxicity; OpenAI Moderation any
 * category; WildGuardMix by task; HarmBench all unsafe; XSTest label column) and are said in
 * guard_import_report.rule.
 */
#ifndef GUARD_DATASET_H
#define GUARD_DATASET_H
#include "guard/corpus.h"

typedef struct {
    const char *format; /* NULL: guess by header or first line. jsonl toxicchat openai_moderation wildguard harmbench
                           xstest */
    const char *task;   /* wildguard: "prompt" (default) or "response" */
    const char *functional; /* harmbench: comma list of standard, contextual, copyright; NULL all */
    size_t cap;             /* at most this many rows, 0 all; a seeded sample, in file order */
    uint64_t seed;
    size_t max_bytes; /* of one text; 0: 1 MiB; longer rows are NN_LIMIT naming file, line and limit */
} guard_import;

typedef struct {
    char format[24];
    const char *rule;     /* the label rule, one sentence */
    size_t rows, skipped; /* skipped: no label in the file's own sense, or not chosen by functional */
    size_t safe, unsafe, unlabelled;
    size_t repaired; /* rows with ill-formed UTF-8, kept as U+FFFD */
} guard_import_report;

/* Reads path (gzip by its magic bytes). CONTENT errors say "file:line: field: problem, want ...". Labels other than
 * 0, 1, null are refused. */
NN_CHECKED nn_status guard_dataset_read(guard_corpus **out, guard_import_report *report, const char *path,
                                        const guard_import *o, nn_err *err);
/* One JSONL object as a row appended to c; `where` names it in messages. Unknown fields go to extra; an id that is
 * not 16 hex digits is kept there as id_in_file. Ill-formed UTF-8 becomes U+FFFD. A line {"columns":..} of a corpus
 * file declares columns and adds no row. */
NN_CHECKED nn_status guard_dataset_line(guard_corpus *c, const char *line, size_t len, const char *where,
                                        nn_err *err);
/* A column `name` of values that the rows keep in extra under that name; none where absent or null. NN_CONTENT names the
 * row whose value is of another kind. */
NN_CHECKED nn_status guard_dataset_column(guard_corpus *c, const char *name, const char *stage, guard_col_kind kind,
                                          nn_err *err);
/* The whole bytes of a file, gunzipped when it is gzip, at most max bytes. *bytes by nn_alloc. */
NN_CHECKED nn_status guard_slurp(char **bytes, size_t *len, const char *path, size_t max, nn_err *err);
#endif
