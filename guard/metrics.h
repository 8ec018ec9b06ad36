/* metrics.h - precision, recall, F1, average precision, ROC AUC, log loss, Brier, with bootstrap intervals.
 *
 * Definitions are scikit-learn 1.2's (ties share a threshold; average precision is the step sum, no interpolation),
 * held to 1e-9 by fixtures/metrics.json. What is undefined for a one-class set is NaN here and null in JSON.
 */
#ifndef GUARD_METRICS_H
#define GUARD_METRICS_H
#include "nn/err.h"
#include <stdint.h>

typedef struct {
    size_t n, positive, flagged; /* flagged: p >= threshold */
    double threshold;
    double precision, recall, f1, fpr; /* at the threshold */
    double average_precision, roc_auc, log_loss, brier;
} guard_metrics;

typedef struct {
    double low, high;
} guard_interval; /* percentile bootstrap, 95% */
typedef struct {
    guard_interval precision, recall, f1, fpr, average_precision, roc_auc;
} guard_intervals;

/* label 0/1, p in [0,1] (scores for ranking may be any; log loss and brier are NaN outside). order scratch inside. */
NN_CHECKED nn_status guard_metrics_compute(guard_metrics *m, const int *label, const double *p, size_t n,
                                           double threshold, nn_err *err);
/* `draws` resamples of rows by nn_rng_at(seed, "bootstrap", draw). */
NN_CHECKED nn_status guard_metrics_bootstrap(guard_intervals *ci, const int *label, const double *p, size_t n,
                                             double threshold, size_t draws, uint64_t seed, nn_err *err);
/* The smallest threshold whose false-positive rate on the safe rows is <= target (scores above it, ties kept out). */
NN_CHECKED nn_status guard_threshold_at_fpr(double *threshold, const int *label, const double *p, size_t n,
                                            double target, nn_err *err);
#endif
