/* wide_solve.c - L2-regularised logistic regression by dual coordinate descent.
 *
 * Source: Yu, Huang, Lin 2011, Machine Learning 85, "Dual coordinate descent methods for logistic
 * regression and maximum entropy models", problem (4) and algorithms 4 and 5; second-order inner
 * steps on whichever of alpha and C - alpha ends below C/2.
 *
 *   primal  min_w  |w|^2 / 2 + sum_i C_i log(1 + exp(-y_i w.x_i))
 *   dual    min_a  |w(a)|^2 / 2 + sum_i a_i log a_i + (C_i - a_i) log(C_i - a_i),  0 < a_i < C_i
 *           w(a) = sum_i a_i y_i x_i
 *
 * One pass takes every row once, in an order drawn for that pass; a step needs w.x_i and then adds
 * (new - old) y_i x_i to w. x_i is the row's (1 + log tf) idf over its norm, and a constant
 * feature whose weight is the bias: its square is regularised like any other weight, which beside
 * rows of norm 1 moves it little. Weights are floats (two of them share a cache line with their
 * idf: the solver lives on random reads), dual variables and sums are doubles.
 */
#include "guard/wide_impl.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "nn/rng.h"
#include <math.h>
#include <string.h>

#define INNER_STEPS 100
#define INNER_TOLERANCE 1e-9

nn_status guard_wide_work_build(guard_wide_work *w, const guard_wide_rows *r, nn_err *err)
{
    nn_status st;

    memset(w, 0, sizeof *w);
    if ((st = nn_alloc((void **)&w->slot, (size_t)1 << r->bits, sizeof *w->slot, err)) != NN_OK ||
        (st = nn_alloc((void **)&w->dual, r->n, 2 * sizeof *w->dual, err)) != NN_OK ||
        (st = nn_alloc((void **)&w->scale, r->n, sizeof *w->scale, err)) != NN_OK ||
        (st = nn_alloc((void **)&w->picked, r->n, sizeof *w->picked, err)) != NN_OK ||
        (st = nn_alloc((void **)&w->order, r->n, sizeof *w->order, err)) != NN_OK) {
        guard_wide_work_free(w);
        return st;
    }
    for (size_t tf = 1; tf <= GUARD_TF_MAX; tf++) w->value[tf] = tf == 1 ? 1.0f : 1.0f + nn_logf((float)tf);
    return NN_OK;
}

void guard_wide_work_free(guard_wide_work *w)
{
    nn_free(w->slot);
    nn_free(w->dual);
    nn_free(w->scale);
    nn_free(w->picked);
    nn_free(w->order);
    memset(w, 0, sizeof *w);
}

/* --- features: idf and norms -------------------------------------------------------------- */

static bool trained(const guard_wide_rows *r, const size_t *fold, size_t out, size_t row)
{
    return r->cost[row] > 0.0 && (!fold || fold[row] != out);
}

static float entry_value(const guard_wide_work *w, uint32_t entry)
{
    return w->value[entry & GUARD_TF_MAX] * w->slot[entry >> 8].idf;
}

/* idf = 1 + log((1 + n) / (1 + df)) over the trained rows; 0 for a slot none of them has, so that
 * it does not count in a norm either. */
static void set_idf(guard_wide_work *w, const guard_wide_rows *r, const size_t *fold, size_t out)
{
    const size_t slots = (size_t)1 << r->bits;
    size_t n = 0;

    memset(w->slot, 0, slots * sizeof *w->slot);
    for (size_t i = 0; i < r->n; i++) {
        if (!trained(r, fold, out, i)) continue;
        n++;
        /* exact below 2^24 */
        for (size_t e = r->start[i]; e < r->start[i + 1]; e++) w->slot[r->entry[e] >> 8].idf += 1.0f;
    }
    for (size_t s = 0; s < slots; s++) {
        const float df = w->slot[s].idf;

        if (df > 0.0f) w->slot[s].idf = 1.0f + nn_logf((float)(n + 1) / (1.0f + df));
    }
}

static void set_scales(guard_wide_work *w, const guard_wide_rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        double square = 0.0;

        for (size_t e = r->start[i]; e < r->start[i + 1]; e++) {
            const double x = (double)entry_value(w, r->entry[e]);

            square += x * x;
        }
        w->scale[i] = square > 0.0 ? (float)(1.0 / sqrt(square)) : 0.0f;
    }
}

double guard_wide_row_logit(const guard_wide_work *w, const guard_wide_rows *r, size_t row)
{
    double dot = 0.0;

    for (size_t e = r->start[row]; e < r->start[row + 1]; e++)
        dot += (double)(entry_value(w, r->entry[e]) * w->slot[r->entry[e] >> 8].weight);
    return w->bias + dot * (double)w->scale[row];
}

static void add_row(guard_wide_work *w, const guard_wide_rows *r, size_t row, double step)
{
    const float by = (float)(step * (double)w->scale[row]);

    for (size_t e = r->start[row]; e < r->start[row + 1]; e++)
        w->slot[r->entry[e] >> 8].weight += by * entry_value(w, r->entry[e]);
    w->bias += step * GUARD_WIDE_BIAS * GUARD_WIDE_BIAS;
}

/* --- one dual variable -------------------------------------------------------------------- */

/* The minimiser over 0 < z < C of z log z + (C-z) log(C-z) + a/2 (z-old)^2 + b (z-old), known to
 * lie in (0, C/2]. Newton steps; one that would leave the interval goes a tenth of the way to 0
 * instead (the paper's xi), which converges. */
static double inner_newton(double old, double C, double a, double b)
{
    double z = old <= 0.5 * C ? old : 0.1 * old;

    for (int i = 0; i < INNER_STEPS; i++) {
        const double slope = nn_log(z / (C - z)) + a * (z - old) + b;

        if (fabs(slope) < INNER_TOLERANCE) break;
        const double next = z - slope / (a + C / (z * (C - z)));
        z = next > 0.0 && next < C ? next : 0.1 * z;
    }
    return z;
}

/* Takes one coordinate step; returns how far the variable was from its optimum, in log-odds. */
static double step_row(guard_wide_work *w, const guard_wide_rows *r, size_t row)
{
    double *alpha = &w->dual[2 * row], *rest = &w->dual[2 * row + 1];
    const double C = r->cost[row], y = (double)r->sign[row], before = *alpha;
    const double a = (w->scale[row] > 0.0f ? 1.0 : 0.0) + GUARD_WIDE_BIAS * GUARD_WIDE_BIAS;
    const double b = y * guard_wide_row_logit(w, r, row);
    const double off = fabs(nn_log(*alpha / *rest) + b);

    if (a * (0.5 * C - *alpha) + b >= 0.0) { /* the slope at C/2: alpha ends below it */
        *alpha = inner_newton(*alpha, C, a, b);
        *rest = C - *alpha;
    } else {
        *rest = inner_newton(*rest, C, a, -b);
        *alpha = C - *rest;
    }
    add_row(w, r, row, (*alpha - before) * y);
    return off;
}

/* --- all of them -------------------------------------------------------------------------- */

/* Lists the trained rows in w->picked and returns their number. alpha starts near 0, the paper's
 * choice, and so does w. */
static size_t start_dual(guard_wide_work *w, const guard_wide_rows *r, const size_t *fold, size_t out)
{
    size_t n = 0;

    w->bias = 0.0;
    for (size_t i = 0; i < r->n; i++) {
        if (!trained(r, fold, out, i)) continue;
        const double alpha = 1e-3 * r->cost[i] < 1e-8 ? 1e-3 * r->cost[i] : 1e-8;

        w->dual[2 * i] = alpha;
        w->dual[2 * i + 1] = r->cost[i] - alpha;
        add_row(w, r, i, alpha * (double)r->sign[i]);
        w->picked[n++] = i;
    }
    return n;
}

void guard_wide_solve(guard_wide_work *w, const guard_wide_rows *r, const size_t *fold, size_t out,
                      const guard_wide_options *o)
{
    set_idf(w, r, fold, out);
    set_scales(w, r);
    const size_t n = start_dual(w, r, fold, out);
    w->violation = 0.0;
    for (w->passes = 0; w->passes < o->max_passes; w->passes++) {
        nn_rng draws = nn_rng_at(o->seed, "wide", w->passes);

        nn_rng_shuffle(&draws, w->order, n);
        w->violation = 0.0;
        for (size_t i = 0; i < n; i++) {
            const double off = step_row(w, r, w->picked[w->order[i]]);

            w->violation = off > w->violation ? off : w->violation;
        }
        if (w->violation < o->tolerance) break;
    }
}
