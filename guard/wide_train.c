/* wide_train.c - from a corpus to weights, and to out-of-fold logits.
 *
 * Reads: wide.h, wide_impl.h.   Read next: wide_solve.c.
 * The texts become rows once; every fold then trains on the same rows with its own fold left out
 * (weights, idf and all), several folds at a time. A fold's sum depends on nothing that another
 * thread does, so the thread count changes no bit.
 */
#include "guard/wide_impl.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include <math.h>
#include <string.h>

guard_wide_options guard_wide_default(void)
{
    return (guard_wide_options){18, 4.0, 30, 1e-3, 0};
}

static nn_status check_options(const guard_wide_options *o, nn_err *err)
{
    if (o->bits < GUARD_BITS_MIN || o->bits > GUARD_BITS_MAX)
        return nn_fail(err, NN_USAGE, "wide part: bits %u, want %u to %u", o->bits, GUARD_BITS_MIN, GUARD_BITS_MAX);
    if (!(o->C > 0.0 && o->C <= 1e6)) return nn_fail(err, NN_USAGE,
                                                     "wide part: C %g, want above 0, at most 1e6", o->C);
    if (o->max_passes == 0) return nn_fail(err, NN_USAGE, "wide part: 0 passes, want at least 1");
    return NN_OK;
}

/* --- rows --------------------------------------------------------------------------------- */

static nn_status add_row(guard_wide_rows *r, guard_features *f, const guard_row *row, nn_err *err)
{
    nn_status st;

    if ((st = guard_wide_grams(f, r->bits, row->text.s ? row->text.s : "", row->text.n, row->response.s,
                               row->response.n, err)) != NN_OK)
        return st;
    if ((st = nn_grow((void **)&r->entry, &r->entry_cap, r->n_entry + f->n, sizeof *r->entry,
                      err)) != NN_OK) return st;
    for (size_t i = 0, next = 0; i < f->n; i = next) {
        const size_t tf = guard_grams_run(f, i, &next);

        r->entry[r->n_entry++] = f->slot[i] << 8 | (uint32_t)tf;
    }
    return NN_OK;
}

/* C times the row's weight, 0 for a row without label. */
static nn_status row_cost(double *cost, const guard_row *row, const double *weight, size_t i, double C, nn_err *err)
{
    const double w = weight ? weight[i] : 1.0;

    *cost = 0.0;
    if (row->label == GUARD_LABEL_NONE) return NN_OK;
    if (!(w >= 0.0 && w <= 1e6)) return nn_fail(err, NN_CONTENT, "row %s: weight %g, want 0 to 1e6", row->id, w);
    *cost = C * w;
    return NN_OK;
}

nn_status guard_wide_rows_build(guard_wide_rows *r, const guard_corpus *c, const double *weight,
                                const guard_wide_options *o, nn_err *err)
{
    guard_features f = {0};
    nn_status st;

    memset(r, 0, sizeof *r);
    if ((st = check_options(o, err)) != NN_OK) return st;
    r->bits = o->bits;
    if ((st = nn_alloc((void **)&r->start, c->n + 1, sizeof *r->start, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&r->cost, c->n, sizeof *r->cost, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&r->sign, c->n, sizeof *r->sign, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++) {
        if ((st = row_cost(&r->cost[i], &c->row[i], weight, i, o->C, err)) != NN_OK) goto done;
        r->sign[i] = c->row[i].label == GUARD_UNSAFE ? 1 : -1;
        if ((st = add_row(r, &f, &c->row[i], err)) != NN_OK) goto done;
        r->start[i + 1] = r->n_entry;
    }
    r->n = c->n;
done:
    guard_features_free(&f);
    if (st != NN_OK) guard_wide_rows_free(r);
    return st;
}

void guard_wide_rows_free(guard_wide_rows *r)
{
    nn_free(r->entry);
    nn_free(r->start);
    nn_free(r->cost);
    nn_free(r->sign);
    memset(r, 0, sizeof *r);
}

static bool any_trained(const guard_wide_rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->cost[i] > 0.0) return true;
    return false;
}

/* --- one model ---------------------------------------------------------------------------- */

/* The solver's floats become the model's. */
static nn_status take_weights(guard_wide **out, const guard_wide_work *work, unsigned bits, nn_err *err)
{
    const size_t slots = (size_t)1 << bits;
    guard_wide *w = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&w, 1, sizeof *w, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&w->weight, slots, sizeof *w->weight, err)) != NN_OK ||
        (st = nn_alloc((void **)&w->idf, slots, sizeof *w->idf, err)) != NN_OK) {
        guard_wide_free(w);
        return st;
    }
    w->bits = bits;
    w->bias = (float)work->bias;
    for (size_t s = 0; s < slots; s++) {
        w->weight[s] = work->slot[s].weight;
        w->idf[s] = work->slot[s].idf;
    }
    *out = w;
    return NN_OK;
}

nn_status guard_wide_train(guard_wide **out, const guard_corpus *c, const double *weight,
                           const guard_wide_options *o, const nn_par *par, nn_err *err)
{
    guard_wide_rows rows;
    guard_wide_work work = {0};
    nn_status st;

    (void)par; /* coordinate descent is one chain of steps */
    *out = NULL;
    if ((st = guard_wide_rows_build(&rows, c, weight, o, err)) != NN_OK) return st;
    if (!any_trained(&rows)) {
        st = nn_fail(err, NN_CONTENT, "wide part: none of %zu rows has a label and a weight", c->n);
        goto done;
    }
    if ((st = guard_wide_work_build(&work, &rows, err)) != NN_OK) goto done;
    guard_wide_solve(&work, &rows, NULL, 0, o);
    st = take_weights(out, &work, o->bits, err);
done:
    guard_wide_work_free(&work);
    guard_wide_rows_free(&rows);
    return st;
}

/* --- folds -------------------------------------------------------------------------------- */

size_t guard_fold(const guard_row *row, size_t folds, uint64_t seed)
{
    const char *key = row->concept.s ? row->concept.s : row->id;
    const size_t len = row->concept.s ? row->concept.n : strlen(row->id);
    nn_rng draw = nn_rng_at(seed, "fold", nn_hash64(key, len, 0));

    NN_ASSERT(folds > 0);
    return (size_t)nn_rng_below(&draw, folds);
}

typedef struct {
    float *z;
    const guard_wide_rows *rows;
    const size_t *fold;
    guard_wide_work *work; /* one a thread */
    const guard_wide_options *o;
} fold_job;

static void solve_folds(void *ctx, size_t first, size_t last, size_t thread)
{
    const fold_job *job = ctx;

    for (size_t k = first; k < last; k++) {
        guard_wide_work *w = &job->work[thread];

        guard_wide_solve(w, job->rows, job->fold, k, job->o);
        for (size_t i = 0; i < job->rows->n; i++)
            if (job->fold[i] == k) job->z[i] = (float)guard_wide_row_logit(w, job->rows, i);
    }
}

nn_status guard_wide_out_of_fold(float *z, const guard_corpus *c, const double *weight, size_t folds,
                                 const guard_wide_options *o, const nn_par *par, nn_err *err)
{
    guard_wide_rows rows;
    guard_wide_work *work = NULL;
    size_t *fold = NULL;
    const size_t threads = par->threads < folds ? par->threads : folds;
    nn_status st;

    if (folds < 2) return nn_fail(err, NN_USAGE, "wide part: %zu folds, want at least 2", folds);
    if ((st = guard_wide_rows_build(&rows, c, weight, o, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&fold, c->n, sizeof *fold, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&work, threads, sizeof *work, err)) != NN_OK) goto done;
    for (size_t t = 0; t < threads; t++)
        if ((st = guard_wide_work_build(&work[t], &rows, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++) fold[i] = guard_fold(&c->row[i], folds, o->seed);
    const nn_par some = {threads, par->team};
    nn_par_run(&some, folds, 1, solve_folds, &(fold_job){z, &rows, fold, work, o});
done:
    for (size_t t = 0; work && t < threads; t++) guard_wide_work_free(&work[t]);
    nn_free(work);
    nn_free(fold);
    guard_wide_rows_free(&rows);
    return st;
}
