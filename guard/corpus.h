/* corpus.h - the one thing that passes between stages: rows with named columns.
 *
 * Reads: buf.h, nn/arena.h.   Read next: dataset.h (rows from files), run.h (where they are kept).
 * Why: stages measure and add columns (loss, margin, similarity, votes, reward); rules, written in Lua, read them by
 * name; nothing hides in a stage's own state. A column says which stage wrote it. A row's id is 16 hex digits of
 * SHA-256(stage, parent ids, operation, draw index): it depends on no order, thread or shard.
 * Ownership: the corpus
 * owns all its strings and columns. Rows are immutable once added; corpora derived from it copy what they need.
 */
#ifndef GUARD_CORPUS_H
#define GUARD_CORPUS_H
#include "guard/buf.h"

#define GUARD_ID_LEN 17 /* 16 hex digits and the zero byte */

typedef struct {
    const char *s; /* NULL: absent */
    size_t n;      /* bytes; s[n] is 0, and s may hold zero bytes before */
} guard_text;

enum { GUARD_LABEL_NONE = -1, GUARD_SAFE = 0, GUARD_UNSAFE = 1 };

typedef struct {
    char id[GUARD_ID_LEN];
    int label; /* of the response when there is one, else of the prompt */
    guard_text text, response, context;
    guard_text category; /* names joined by ',' in the order of the file; absent = unknown */
    guard_text lang, source, concept;
    guard_text parents; /* ids joined by ',' */
    guard_text ops;     /* JSON array of what made it, or absent */
    guard_text extra;   /* JSON object of unknown fields, kept as they came, or absent */
} guard_row;

typedef enum { GUARD_COL_NUM, GUARD_COL_BOOL, GUARD_COL_STR } guard_col_kind;

typedef struct {
    char name[48];  /* "loss", "p@guard2" */
    char stage[48]; /* the stage that wrote it */
    guard_col_kind kind;
    double *num;     /* NUM, BOOL: one a row; NaN = no value */
    guard_text *str; /* STR: one a row */
} guard_column;

typedef struct guard_corpus {
    guard_row *row;
    size_t n, row_cap;
    guard_column *col;
    size_t n_col, col_cap;
    struct guard_chunk *chunks; /* string storage */
} guard_corpus;

NN_CHECKED nn_status guard_corpus_build(guard_corpus **out, nn_err *err);
void guard_corpus_free(guard_corpus *c);

/* Copies the row's strings in; an empty id is filled by a hash of ("row", parents, source, text, response, context).
 * Existing columns get "no value". */
NN_CHECKED nn_status guard_corpus_add(guard_corpus *c, const guard_row *row, nn_err *err);
/* A new column (replacing one of that name), values "no value" at first; borrowed until the next call that adds a
 * column. */
NN_CHECKED nn_status guard_corpus_column(guard_corpus *c, const char *name, const char *stage, guard_col_kind kind,
                                         guard_column **out, nn_err *err);
const guard_column *guard_corpus_find(const guard_corpus *c, const char *name); /* NULL when absent */
NN_CHECKED nn_status guard_corpus_set_str(guard_corpus *c, guard_column *col, size_t row, const char *s, size_t n,
                                          nn_err *err);
/* Rows pick[0..n) with all columns, in that order. */
NN_CHECKED nn_status guard_corpus_pick(guard_corpus **out, const guard_corpus *c, const size_t *pick, size_t n,
                                       nn_err *err);
NN_CHECKED nn_status guard_corpus_copy(guard_corpus **out, const guard_corpus *c,
                                       nn_err *err); /* all rows, all columns */
/* b's rows after a's; columns are united by name (kinds must agree); a row whose id a already holds is skipped. */
NN_CHECKED nn_status guard_corpus_concat(guard_corpus **out, const guard_corpus *a, const guard_corpus *b,
                                         nn_err *err);
/* parts: `n_part` shares that sum to 1. Rows of one key stay together: the concept when by is "concept", else the id.
 * A row without concept has the key of its first parent's first parent ... that stands in c, so a pair, or a seed and
 * what was made from it, is never parted. Key -> part by nn_rng_at(seed, "split", hash(key)): independent of row
 * order. out[n_part] owned by the caller. */
NN_CHECKED nn_status guard_corpus_split(guard_corpus **out, const guard_corpus *c, const char *by,
                                        const double *parts, size_t n_part, uint64_t seed, nn_err *err);

void guard_row_id(char id[GUARD_ID_LEN], const char *stage, const char *parents, const char *op, uint64_t draw);
bool guard_row_has_category(const guard_row *r, const char *name);
/* A row's own fields by name, as rules and prompts know them; the label is "safe", "unsafe" or absent. false: no such
 * field. */
bool guard_row_field(guard_text *out, const guard_row *r, const char *name);
extern const char *const guard_row_fields[]; /* their names, NULL after the last */
#define GUARD_ROW_FIELDS 11u
uint64_t guard_row_hash(const guard_row *r); /* of the id: the row word of nn_rng_at */

/* One JSONL line: fixed key order, row fields, then "cols":{"loss":..}, no value = no key. guard_corpus_write gives
 * the whole file's bytes: when there are columns a first line {"columns":[[name, stage, "num"|"bool"|"str"], ...]},
 * then the rows. */
void guard_corpus_json(guard_buf *b, const guard_corpus *c, size_t row);
NN_CHECKED nn_status guard_corpus_write(const guard_corpus *c, const char *path, char sha256[65], nn_err *err);
/* Reads what guard_corpus_write wrote, columns included, to a corpus that writes the same bytes. */
NN_CHECKED nn_status guard_corpus_read(guard_corpus **out, const char *path, nn_err *err);
void guard_corpus_hash(const guard_corpus *c, char sha256[65]); /* of the bytes that write would give */
#endif
