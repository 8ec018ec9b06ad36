/* report_pr.c - precision and recall at every threshold, thinned to what a page can show. */
#include "guard/report_impl.h"
#include "nn/arena.h"
#include <stdlib.h>

typedef struct {
    double p;
    size_t row;
    int label;
} ranked;

/* Rows differ, so the order is total. */
static int by_p(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->p != y->p) return x->p > y->p ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* One point for each threshold, scores that tie together; of the points that share a 1/200 of recall the last stays,
 * which is where the curve enters the next one, and of those with the same recall the first, which is the highest. */
static size_t walk(report_point out[REPORT_CURVE], const ranked *r, size_t n, size_t positive)
{
    size_t hits = 0, at = 0;
    uint64_t slot = 0;

    for (size_t i = 0; i < n; i++) {
        const size_t before = hits;

        hits += (size_t)r[i].label;
        while (i + 1 < n && r[i + 1].p == r[i].p) hits += (size_t)r[++i].label;
        if (hits == before) continue;
        const double recall = (double)hits / (double)positive, precision = (double)hits / (double)(i + 1);
        const uint64_t now = (uint64_t)(recall * (REPORT_CURVE - 2));
        if (at == 0 || now != slot) at++;
        slot = now;
        out[at - 1] = (report_point){recall, precision, precision, precision, 1};
    }
    return at;
}

nn_status report_pr(report_point out[REPORT_CURVE], size_t *n_out, const int *label, const double *p, size_t n,
                    nn_err *err)
{
    void *block = NULL;
    size_t positive = 0;

    *n_out = 0;
    const nn_status st = nn_alloc(&block, n + 1, sizeof(ranked), err);
    if (st != NN_OK) return st;
    ranked *r = block;
    for (size_t i = 0; i < n; i++) {
        r[i] = (ranked){p[i], i, label[i]};
        positive += (size_t)label[i];
    }
    if (positive > 0 && positive < n) {
        qsort(r, n, sizeof *r, by_p);
        *n_out = walk(out, r, n, positive);
    }
    nn_free(block);
    return NN_OK;
}
