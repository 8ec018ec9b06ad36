/* evaluate.h - guards against sets: the table that ends a run, `parapet eval`, and report.json.
 *
 * Reads: classify.h, metrics.h.   One-class sets give recall or false-positive rate only; what is undefined is null.
 */
#ifndef GUARD_EVALUATE_H
#define GUARD_EVALUATE_H
#include "guard/classify.h"
#include "guard/metrics.h"

typedef struct {
    char guard[64], set[64];
    double target_fpr; /* whose stored threshold was used */
    guard_metrics all;
    guard_intervals ci;
    double fpr_twins, fpr_ordinary; /* safe rows with / without a parent pair or twin mark; NaN when none */
    guard_interval ci_twins, ci_ordinary;
    size_t n_twins, n_ordinary;
} guard_result;

/* Labelled rows only. A safe row is a twin when a column or extra field "kind" says "twin" or a parent of its is an
 * unsafe row of c (pairs.h). */
NN_CHECKED nn_status guard_evaluate(guard_result *r, const guard_classifier *g, const char *guard_name,
                                    const guard_corpus *c, const char *set_name, double target_fpr, size_t bootstrap,
                                    guard_job *job, nn_err *err);
/* One object with fixed keys; what is undefined, or has no interval, is null. */
void guard_result_json(guard_buf *b, const guard_result *r);
/* The notes of evaluate stages, one JSON object {"results": [...]} a line, as one table for each set. */
NN_CHECKED nn_status guard_results_print(guard_buf *out, const char *notes, nn_err *err);
/* A caption, a header line and one line a result, in whole percent with 95% intervals; "-" where undefined. About 100
 * columns. The first column names what differs: the guard, the set or both. */
void guard_result_table(guard_buf *b, const guard_result *r, size_t n);
#endif
