/* check_text.h - what make check-data measures texts with: words, grams of words, near-duplicates, baselines.
 *
 * Reads: nn/unicode.h, guard/metrics.h.   Read next: check_text.c, check_baseline.c, then check_data.h.
 * Why: memory that runs out ends the program here (status 5): it is a tool, and the library under test never sees it.
 * A word is a run of letters, marks and digits after case folding; each Chinese or Japanese character is one.
 */
#ifndef TESTS_CHECK_TEXT_H
#define TESTS_CHECK_TEXT_H
#include "nn/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    FILE *out;
    size_t findings, skips;
} check_report;
void check_finding(check_report *r, const char *fmt, ...) NN_PRINTF(2, 3); /* one line, counted */

void *check_alloc(size_t count, size_t bytes); /* zeroed; nn_free frees it */
void check_need(nn_status st, const nn_err *err); /* ends the program unless st is NN_OK */

typedef struct {
    uint64_t *word; /* hashes, in order */
    size_t n, cap;
    char *fold; /* scratch */
    size_t fold_cap;
} check_words; /* zero it to begin */
void check_words_read(check_words *w, const char *s, size_t len);
void check_words_free(check_words *w);

/* Which rows hold a gram. Add, then sort, then ask. */
typedef struct {
    uint64_t gram;
    uint32_t row;
} check_place;
typedef struct {
    check_place *place; /* sorted: by gram, then row; each once */
    size_t n, cap, rows;
    uint32_t *size; /* [rows] grams of a row; there once sorted */
} check_index;
uint64_t check_gram(const uint64_t *word, size_t n);
/* All grams of `order` words; a text of fewer words, but at least `least`, is one gram. */
void check_index_add(check_index *x, const check_words *w, size_t order, size_t least, size_t row);
void check_index_sort(check_index *x, size_t rows);
size_t check_index_find(const check_index *x, uint64_t gram); /* its first place, or where it would be */
void check_index_free(check_index *x);

/* Pairs of rows that share half of the smaller one's grams (of a text with under five also half of the larger one's),
 * unless `fine` says they may. name[row] is printed. */
typedef bool (*check_fine)(const void *ctx, size_t a, size_t b);
void check_duplicates(check_report *r, const check_index *x, const char *const *name, check_fine fine, const void *ctx);
/* A document whose words hold a gram of the index (of `order` words): a finding, once a document. */
void check_document(check_report *r, const check_index *x, size_t order, const char *const *name, const char *path);

/* ROC AUC of a score that should know nothing of the label; a finding unless its 95% bootstrap interval holds 0.5. */
void check_baseline(check_report *r, const char *name, const int *label, const double *score, size_t n);
/* score[i]: share of unsafe rows with i's key in the other folds, smoothed by unsafe of all rows. */
void check_learn(double *score, const uint64_t *key, const size_t *fold, const int *label, size_t n, double unsafe,
                 double all);
#endif
