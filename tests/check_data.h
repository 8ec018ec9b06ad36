/* check_data.h - the two halves of make check-data: the seeds, and the written corpus. */
#ifndef TESTS_CHECK_DATA_H
#define TESTS_CHECK_DATA_H
#include "guard/dataset.h"
#include "tests/check_text.h"

enum { CHECK_FOLDS = 5, CHECK_SHINGLE = 8 }; /* words of a sentence that must not stand in two places */

void check_seeds(check_report *r, const guard_corpus *seeds, char *const *document, size_t n_document);

/* What a row of data/corpus says beside the fields of guard_row (docs/corpus.md, "A row"). */
typedef enum { CHECK_UNSAFE, CHECK_TWIN, CHECK_ORDINARY, CHECK_RESPONSE, CHECK_KINDS } check_kind;
typedef struct {
    check_kind kind; /* CHECK_KINDS: none of them */
    int severity;    /* 0: absent or not 1..3 */
    size_t structure, voice, category; /* index in its table; the table's length when it is none of them */
    bool has_subject, has_severity;
    size_t file; /* which file it stands in */
    size_t parent; /* row of a twin's parent; the corpus' n without one */
} check_facts;

typedef struct {
    guard_corpus *c;
    check_facts *fact;   /* [c->n] */
    size_t fact_cap;
    const char **name;   /* [c->n] ids, borrowed from c */
    char (*category)[32]; /* of scripts/taxonomy.lua, in its order */
    size_t n_category, n_file;
} check_rows;

extern const char *const check_kind_name[CHECK_KINDS];
enum { CHECK_STRUCTURES = 11, CHECK_VOICES = 12, CHECK_LANGUAGES = 10 };
/* The grid's columns and the unsafe rows that a category should have of each. */
extern const struct check_cell {
    const char *name;
    size_t want;
} check_structure[CHECK_STRUCTURES];

typedef struct {
    const char *folder, *taxonomy;
    const char *dev;  /* folder of evaluation sets, or NULL */
    bool complete;    /* a short cell is a finding */
    const guard_corpus *seeds;
    char *const *document;
    size_t n_document;
} check_corpus_options;
/* Everything; prints counts and findings. */
void check_corpus(check_report *r, const check_corpus_options *o);

/* Its parts. */
bool check_rows_read(check_rows *x, check_report *r, const char *folder, const char *taxonomy);
void check_rows_free(check_rows *x);
void check_schema(check_report *r, const check_rows *x);
void check_counts(check_report *r, const check_rows *x, bool complete);
void check_growth(check_report *r, const check_rows *x);
void check_artefacts(check_report *r, const check_rows *x);
void check_near(check_report *r, const check_rows *x, const guard_corpus *seeds);
void check_dev(check_report *r, const check_rows *x, const char *dev);
void check_sentences(check_report *r, const check_rows *x, char *const *document, size_t n_document);
#endif
