/* check_baseline.c - what a reader of one surface fact alone would score; it should be chance. */
#include "guard/metrics.h"
#include "nn/arena.h"
#include "tests/check_text.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_FOLDS = 8, DRAWS = 1000 };

void check_baseline(check_report *r, const char *name, const int *label, const double *score, size_t n)
{
    guard_metrics m;
    guard_intervals ci;
    nn_err err = {0};

    if (guard_metrics_compute(&m, label, score, n, 0.5, &err) != NN_OK ||
        guard_metrics_bootstrap(&ci, label, score, n, 0.5, DRAWS, 1, &err) != NN_OK) {
        check_finding(r, "%s: %s", name, err.text);
        return;
    }
    const bool fair = ci.roc_auc.low <= 0.5 && ci.roc_auc.high >= 0.5;
    fprintf(r->out, "baseline %-36s ROC AUC %.3f [%.3f %.3f]%s\n", name, m.roc_auc, ci.roc_auc.low, ci.roc_auc.high,
            fair ? "" : "  betrays the label");
    r->findings += !fair;
}

typedef struct {
    uint64_t key;
    size_t row;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

void check_learn(double *score, const uint64_t *key, const size_t *fold, const int *label, size_t n, double unsafe,
                 double all)
{
    keyed *k = check_alloc(n, sizeof *k);

    for (size_t i = 0; i < n; i++) k[i] = (keyed){key[i], i};
    qsort(k, n, sizeof *k, by_key);
    for (size_t i = 0, end = 0; i < n; i = end) {
        size_t in_fold[MAX_FOLDS] = {0}, unsafe_in[MAX_FOLDS] = {0}, unsafes = 0;

        for (end = i; end < n && k[end].key == k[i].key; end++) {
            const size_t row = k[end].row;

            in_fold[fold[row]]++;
            unsafe_in[fold[row]] += label[row] == 1;
            unsafes += label[row] == 1;
        }
        for (size_t j = i; j < end; j++) {
            const size_t f = fold[k[j].row];

            score[k[j].row] = (unsafe + (double)(unsafes - unsafe_in[f])) / (all + (double)(end - i - in_fold[f]));
        }
    }
    nn_free(k);
}
