#include "guard/metrics.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "nn/rng.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A row as ranking sees it. Rows of equal score and label are interchangeable, so nothing below depends on
 * the order in which rows were given. */
typedef struct {
    double p;
    int label;
    size_t at;
} ranked;

static int by_score_down(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    if (x->label != y->label) return x->label < y->label ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static nn_status rank_rows(ranked **out, const int *label, const double *p, size_t n, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, n, sizeof(ranked), err);

    *out = NULL;
    if (st != NN_OK) return st;
    ranked *r = block;
    for (size_t i = 0; i < n; i++) {
        if ((label[i] != 0 && label[i] != 1) || isnan(p[i]) || isinf(p[i])) {
            nn_free(r);
            return nn_fail(err, NN_CONTENT,
                           "metrics: row %zu: label %d, score %s, want label 0 or 1 and a finite score", i + 1,
                           label[i], isnan(p[i]) || isinf(p[i]) ? "not finite" : "finite");
        }
        r[i] = (ranked){p[i], label[i], i};
    }
    qsort(r, n, sizeof *r, by_score_down);
    *out = r;
    return NN_OK;
}

static double ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : (double)NAN;
}

/* One pass down the ranking; row i counts weight[i] times (NULL: once). With TP, FP the rows passed so far and P, N all
 * of a label, a group of equal scores is one threshold:
 *
 *   average precision   sum over groups of (TP - TP_before) / P * TP / (TP + FP)
 *   ROC AUC             sum over groups of (FP - FP_before) / N * (TP + TP_before) / 2 / P      (trapezoids)
 *
 * Fills what depends on the ranking; log loss and Brier are left alone. */
static void rank_metrics(guard_metrics *m, const ranked *r, const uint32_t *weight, size_t n, double threshold)
{
    double tp = 0.0, fp = 0.0, tp_flagged = 0.0, fp_flagged = 0.0, ap = 0.0, area = 0.0;

    for (size_t i = 0; i < n;) {
        const double tp_before = tp, fp_before = fp, p = r[i].p;

        for (; i < n && r[i].p == p; i++) {
            const double w = weight ? (double)weight[i] : 1.0;
            if (r[i].label) tp += w;
            else fp += w;
        }
        if (tp > tp_before) ap += (tp - tp_before) * (tp / (tp + fp));
        area += (fp - fp_before) * 0.5 * (tp + tp_before);
        if (p >= threshold) {
            tp_flagged = tp;
            fp_flagged = fp;
        }
    }
    m->n = (size_t)(tp + fp);
    m->positive = (size_t)tp;
    m->flagged = (size_t)(tp_flagged + fp_flagged);
    m->threshold = threshold;
    m->precision = m->flagged ? tp_flagged / (tp_flagged + fp_flagged) : 0.0; /* scikit-learn's zero_division */
    m->recall = ratio(tp_flagged, tp);
    m->f1 = tp > 0.0 ? 2.0 * tp_flagged / (tp_flagged + fp_flagged + tp) : (double)NAN;
    m->fpr = ratio(fp_flagged, fp);
    m->average_precision = ratio(ap, tp);
    m->roc_auc = ratio(area, tp * fp);
}

/* Log loss: -mean(log of the probability given to the label), clipped to [eps, 1 - eps] with eps = 1e-7, about the
 * resolution of a float below 1: one sure mistake then costs 16.1, not infinity. Brier 1950: mean((p - label)^2).
 * Both want probabilities. */
static void probability_metrics(guard_metrics *m, const ranked *r, size_t n)
{
    const double eps = 1e-7;
    double loss = 0.0, square = 0.0;
    bool probabilities = n > 0;

    for (size_t i = 0; i < n; i++) {
        const double p = r[i].p, clipped = p < eps ? eps : p > 1.0 - eps ? 1.0 - eps : p;
        const double miss = p - (double)r[i].label;

        if (p < 0.0 || p > 1.0) probabilities = false;
        loss -= nn_log(r[i].label ? clipped : 1.0 - clipped);
        square += miss * miss;
    }
    m->log_loss = probabilities ? loss / (double)n : (double)NAN;
    m->brier = probabilities ? square / (double)n : (double)NAN;
}

nn_status guard_metrics_compute(guard_metrics *m, const int *label, const double *p, size_t n, double threshold,
                                nn_err *err)
{
    ranked *r = NULL;
    const nn_status st = rank_rows(&r, label, p, n, err);

    memset(m, 0, sizeof *m);
    if (st != NN_OK) return st;
    rank_metrics(m, r, NULL, n, threshold);
    probability_metrics(m, r, n);
    nn_free(r);
    return NN_OK;
}

/* --- bootstrap ---------------------------------------------------------------------------- */

enum { N_RESAMPLED = 6 };

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y); /* equal doubles are the same value: their order cannot be seen */
}

/* The q-quantile of sorted v[n], linear between neighbours. */
static double quantile(const double *v, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t low = (size_t)at;

    return low + 1 < n ? v[low] + (at - (double)low) * (v[low + 1] - v[low]) : v[n - 1];
}

/* v[draws] of one metric; draws where it is undefined (all rows of one class) do not count. */
static guard_interval interval_of(double *v, size_t draws)
{
    size_t n = 0;

    for (size_t d = 0; d < draws; d++) {
        if (!isnan(v[d])) v[n++] = v[d];
    }
    if (n == 0) return (guard_interval){(double)NAN, (double)NAN};
    qsort(v, n, sizeof *v, by_value);
    return (guard_interval){quantile(v, n, 0.025), quantile(v, n, 0.975)};
}

/* Efron 1979, percentile method. Sorted once; a draw counts how often each rank was drawn, then makes one pass. */
nn_status guard_metrics_bootstrap(guard_intervals *ci, const int *label, const double *p, size_t n,
                                  double threshold, size_t draws, uint64_t seed, nn_err *err)
{
    guard_interval *const out[N_RESAMPLED] = {&ci->precision,         &ci->recall, &ci->f1, &ci->fpr,
                                              &ci->average_precision, &ci->roc_auc};
    void *weights = NULL, *values = NULL;
    ranked *r = NULL;
    nn_status st = NN_OK;

    for (size_t k = 0; k < N_RESAMPLED; k++) *out[k] = (guard_interval){(double)NAN, (double)NAN};
    if ((st = rank_rows(&r, label, p, n, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&weights, n, sizeof(uint32_t), err)) != NN_OK) goto done;
    if (draws > SIZE_MAX / N_RESAMPLED) draws = SIZE_MAX / N_RESAMPLED; /* nn_alloc refuses it */
    if ((st = nn_alloc(&values, draws * N_RESAMPLED, sizeof(double), err)) != NN_OK) goto done;

    uint32_t *weight = weights;
    double *v = values;
    for (size_t d = 0; d < draws; d++) {
        nn_rng rng = nn_rng_at(seed, "bootstrap", (uint64_t)d);
        guard_metrics m = {0};

        memset(weight, 0, n * sizeof *weight);
        for (size_t i = 0; i < n; i++) weight[nn_rng_below(&rng, (uint64_t)n)]++;
        rank_metrics(&m, r, weight, n, threshold);
        const double got[N_RESAMPLED] = {m.precision, m.recall, m.f1, m.fpr, m.average_precision, m.roc_auc};
        for (size_t k = 0; k < N_RESAMPLED; k++) v[k * draws + d] = got[k];
    }
    for (size_t k = 0; k < N_RESAMPLED && draws; k++) *out[k] = interval_of(v + k * draws, draws);
done:
    nn_free(values);
    nn_free(weights);
    nn_free(r);
    return st;
}

/* --- threshold ---------------------------------------------------------------------------- */

/* The smallest float above v: exact as a float and as a double, so a threshold kept as float does not let a tie in. */
static double next_above(double v)
{
    float f = (float)v;
    uint32_t bits = 0;

    if ((double)f > v) return (double)f;
    if (f == 0.0f) return (double)0x1p-149f;
    memcpy(&bits, &f, sizeof bits);
    bits = f > 0.0f ? bits + 1 : bits - 1; /* away from zero above it, towards zero below */
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

nn_status guard_threshold_at_fpr(double *threshold, const int *label, const double *p, size_t n, double target,
                                 nn_err *err)
{
    size_t safe = 0, allowed = 0;
    ranked *r = NULL;
    nn_status st = NN_OK;

    *threshold = (double)NAN;
    if (!(target >= 0.0 && target <= 1.0))
        return nn_fail(err, NN_USAGE, "threshold: the target rate is not in 0..1, want a share");
    if ((st = rank_rows(&r, label, p, n, err)) != NN_OK) return st;
    for (size_t i = 0; i < n; i++) safe += r[i].label == 0;
    if (safe == 0) {
        nn_free(r);
        return nn_fail(err, NN_CONTENT, "threshold: no safe row among %zu, want at least one", n);
    }
    while (allowed < safe && (double)(allowed + 1) / (double)safe <= target) allowed++;

    *threshold = r[n - 1].p; /* every row may be flagged */
    for (size_t i = 0, seen = 0; i < n; i++) {
        if (r[i].label == 1) continue;
        if (seen++ == allowed) {
            *threshold = next_above(r[i].p);
            break;
        }
    }
    nn_free(r);
    return NN_OK;
}
