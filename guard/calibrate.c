/* calibrate.c - from logits to probabilities and thresholds, on validation rows.
 *
 * Reads: classify_impl.h, metrics.h.
 * Calibration: p = sigmoid(a z + b) by maximum likelihood with regularised targets (Platt 1999, "Probabilistic
 * outputs for support vector machines", sec. 2.2): (n1 + 1) / (n1 + 2) for unsafe rows, 1 / (n0 + 2) for safe
 * ones. Newton's method with backtracking (Lin, Lin,
 * Weng 2007, Machine Learning 68, alg. 1). a and b are floats, as the file holds them.
 * Thresholds are chosen on the calibrated p of whole rows, worst window each, which is what checking compares
 * with them.
 */
#include "guard/classify_impl.h"
#include "guard/metrics.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include <math.h>

#define NEWTON_STEPS 100
#define GRADIENT_SMALL 1e-7 /* of the mean, per row */
#define RIDGE 1e-12         /* keeps the Hessian invertible */
#define STEP_LEAST 1e-10
#define DECREASE 1e-4 /* Armijo's share of the promised decrease */

typedef struct {
    const double *z;
    const int *label;
    size_t n;
    double high, low; /* targets */
} platt;

static double target(const platt *f, size_t i)
{
    return f->label[i] == GUARD_UNSAFE ? f->high : f->low;
}

static double mean_loss(const platt *f, double a, double b)
{
    double loss = 0.0;

    for (size_t i = 0; i < f->n; i++) {
        const double s = a * f->z[i] + b, t = target(f, i);
        loss += t * nn_softplus(-s) + (1.0 - t) * nn_softplus(s);
    }
    return loss / (double)f->n;
}

typedef struct {
    double ga, gb, haa, hab, hbb;
} slopes;

static slopes mean_slopes(const platt *f, double a, double b)
{
    slopes d = {0.0, 0.0, RIDGE, 0.0, RIDGE};

    for (size_t i = 0; i < f->n; i++) {
        const double p = nn_sigmoid(a * f->z[i] + b), w = p * (1.0 - p) / (double)f->n;
        const double r = (p - target(f, i)) / (double)f->n, z = f->z[i];

        d.ga += r * z;
        d.gb += r;
        d.haa += w * z * z;
        d.hab += w * z;
        d.hbb += w;
    }
    return d;
}

/* One Newton step with backtracking; false when it is at the minimum. */
static bool newton_step(const platt *f, double *a, double *b)
{
    const slopes d = mean_slopes(f, *a, *b);
    const double det = d.haa * d.hbb - d.hab * d.hab, before = mean_loss(f, *a, *b);

    if ((fabs(d.ga) < GRADIENT_SMALL && fabs(d.gb) < GRADIENT_SMALL) || !(det > 0.0)) return false;
    const double da = -(d.hbb * d.ga - d.hab * d.gb) / det, db = -(d.haa * d.gb - d.hab * d.ga) / det;
    const double promised = d.ga * da + d.gb * db;
    for (double step = 1.0; step >= STEP_LEAST; step *= 0.5) {
        if (!(mean_loss(f, *a + step * da, *b + step * db) < before + DECREASE * step * promised)) continue;
        *a += step * da;
        *b += step * db;
        return true;
    }
    return false;
}

void guard_platt(double *a, double *b, const double *z, const int *label, size_t n)
{
    double to_a = 1.0, to_b = 0.0;
    size_t n1 = 0;

    *a = 1.0;
    *b = 0.0;
    for (size_t i = 0; i < n; i++) n1 += label[i] == GUARD_UNSAFE;
    if (n1 == 0 || n1 == n) return; /* of one class alone nothing can be calibrated */
    const platt f = {z, label, n, ((double)n1 + 1.0) / ((double)n1 + 2.0), 1.0 / ((double)(n - n1) + 2.0)};
    for (int i = 0; i < NEWTON_STEPS && newton_step(&f, &to_a, &to_b); i++) continue;
    const float fa = (float)to_a, fb = (float)to_b;
    if (!(fa > 0.0f) || !isfinite(fa) || !isfinite(fb)) return;
    *a = (double)fa;
    *b = (double)fb;
}

static nn_status choose_thresholds(guard_parts *p, double *z, const int *label, size_t n, nn_err *err)
{
    for (size_t i = 0; i < n; i++) z[i] = (double)guard_calibrated(p, (float)z[i]);
    for (size_t r = 0; r < GUARD_RATES; r++) {
        double threshold = 0.5;
        const nn_status st = guard_threshold_at_fpr(&threshold, label, z, n, guard_target_rates[r], err);

        if (st != NN_OK) return st;
        p->threshold[r] = (float)threshold; /* exact: metrics.h gives floats */
    }
    return NN_OK;
}

nn_status guard_classifier_calibrate(guard_classifier *g, const guard_corpus *valid, guard_job *job, nn_err *err)
{
    guard_parts *p = &g->parts;
    guard_verdict *v = NULL;
    double *z = NULL;
    int *label = NULL;
    size_t n = 0, n1 = 0;
    nn_status st;

    guard_parts_uncalibrated(p);
    if ((st = nn_alloc((void **)&v, valid->n, sizeof *v, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&z, valid->n, sizeof *z, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&label, valid->n, sizeof *label, err)) != NN_OK) goto done;
    if ((st = guard_score(g, valid, v, job, err)) != NN_OK) goto done;
    for (size_t i = 0; i < valid->n; i++) {
        if (valid->row[i].label == GUARD_LABEL_NONE) continue;
        z[n] = (double)v[i].logit;
        label[n++] = valid->row[i].label;
        n1 += valid->row[i].label == GUARD_UNSAFE;
    }
    guard_platt(&p->calibrate_a, &p->calibrate_b, z, label, n);
    if (n1 < n) st = choose_thresholds(p, z, label, n, err);
done:
    nn_free(label);
    nn_free(z);
    nn_free(v);
    return st;
}
