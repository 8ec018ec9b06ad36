/* score.c - verdicts, columns and embeddings of a whole corpus.
 *
 * Reads: classify.h, window_batch.h.   Read next: calibrate.c.
 * Rows go through in their order; a batch holds windows of several rows, which changes no bit.
 */
#include "guard/window_batch.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BATCH_ROWS 2048u /* positions, or one window when that is more */
#define BATCH_WINDOWS 256u
#define TELL_EVERY 64u /* corpus rows between two calls of progress */

typedef struct {
    guard_window_batch *batch;
    guard_windows *windows;
} scorer;

static nn_status scorer_open(scorer *s, const guard_parts *p, const guard_job *job, nn_err *err)
{
    nn_status st;

    memset(s, 0, sizeof *s);
    if ((st = guard_window_batch_build(&s->batch, p, job->exec, BATCH_ROWS, BATCH_WINDOWS, err)) != NN_OK)
        return st;
    return guard_windows_build(&s->windows, err);
}

static void scorer_close(scorer *s)
{
    guard_window_batch_free(s->batch);
    guard_windows_free(s->windows);
}

static nn_status tell(guard_job *job, size_t done, size_t total, nn_err *err)
{
    if (done % TELL_EVERY != 0 && done != total) return NN_OK;
    return guard_job_go_on(job, done, total, "rows")
               ? NN_OK
               : nn_fail(err, NN_STOP, "scoring: stopped after %zu of %zu rows", done, total);
}

nn_status guard_score(const guard_classifier *g, const guard_corpus *c, guard_verdict *v, guard_job *job,
                      nn_err *err)
{
    const guard_parts *p = &g->parts;
    scorer s;
    nn_status st = scorer_open(&s, p, job, err);

    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        if ((st = guard_windows_of(s.windows, p, &c->row[i], err)) != NN_OK) break;
        if ((st = guard_window_batch_push(s.batch, &v[i], s.windows, err)) == NN_OK)
            st = tell(job, i + 1, c->n, err);
    }
    if (st == NN_OK) st = guard_window_batch_flush(s.batch, err);
    scorer_close(&s);
    return st;
}

/* --- columns -------------------------------------------------------------------------------------------- */

static nn_status add_column(guard_corpus *c, const char *what, const char *suffix, const char *stage,
                            const double *value, nn_err *err)
{
    guard_column *col = NULL;
    char name[sizeof col->name];
    nn_status st;

    if ((size_t)snprintf(name, sizeof name, "%s%s", what, suffix) >= sizeof name)
        return nn_fail(err, NN_USAGE, "column %s%s: a name too long, want at most %zu bytes", what, suffix,
                       sizeof name - 1);
    if ((st = guard_corpus_column(c, name, stage, GUARD_COL_NUM, &col, err)) != NN_OK) return st;
    memcpy(col->num, value, c->n * sizeof *value);
    return NN_OK;
}

/* log(p / (1 - p)), finite where a float p has rounded to 0 or 1. */
static double log_odds(double p)
{
    const double least = 1e-9, q = p < least ? least : p > 1.0 - least ? 1.0 - least : p;

    return nn_log(q) - nn_log(1.0 - q);
}

nn_status guard_score_columns(const guard_classifier *g, guard_corpus *c, const char *stage, const char *suffix,
                              guard_job *job, nn_err *err)
{
    const guard_parts *part = &g->parts;
    const double border = log_odds((double)part->threshold[GUARD_DEFAULT_RATE]);
    guard_verdict *v = NULL;
    double *value = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&v, c->n, sizeof *v, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&value, c->n, 3 * sizeof *value, err)) != NN_OK) goto done;
    if ((st = guard_score(g, c, v, job, err)) != NN_OK) goto done;
    double *p = value, *margin = value + c->n, *loss = margin + c->n;
    for (size_t i = 0; i < c->n; i++) {
        const double z = part->calibrate_a * (double)v[i].logit + part->calibrate_b;
        const int label = c->row[i].label;

        p[i] = (double)v[i].p_unsafe;
        margin[i] = z - border;
        loss[i] = label == GUARD_LABEL_NONE ? (double)NAN : nn_softplus(label == GUARD_UNSAFE ? -z : z);
    }
    if ((st = add_column(c, "p", suffix, stage, p, err)) != NN_OK) goto done;
    if ((st = add_column(c, "margin", suffix, stage, margin, err)) != NN_OK) goto done;
    st = add_column(c, "loss", suffix, stage, loss, err);
done:
    nn_free(value);
    nn_free(v);
    return st;
}

/* --- embeddings ----------------------------------------------------------------------------------------- */

size_t guard_embed_width(const guard_classifier *g)
{
    return g->parts.m ? nn_model_config(g->parts.m)->width : 0;
}

typedef struct {
    float *e; /* [windows, C] */
    const nn_kern *k;
    size_t C;
} embedding;

/* A window's row of e: the mean of its hidden states over the Euclidean norm of that. */
static void embed_window(void *ctx, size_t window, const float *hidden, size_t rows)
{
    const embedding *o = ctx;
    float *e = o->e + window * o->C;

    o->k->fill(e, 0.0f, o->C);
    for (size_t r = 0; r < rows; r++) o->k->add(e, hidden + r * o->C, o->C);
    o->k->scale(e, 1.0f / (float)rows, o->C);
    const float norm = sqrtf(o->k->dot(e, e, o->C));
    if (norm > 0.0f) o->k->scale(e, 1.0f / norm, o->C);
}

static void embed_flush(scorer *s, float *e, size_t C, const nn_kern *k)
{
    embedding o = {e, k, C};

    guard_window_batch_hidden(s->batch, embed_window, &o);
    guard_window_batch_clear(s->batch);
}

nn_status guard_embed(const guard_classifier *g, const guard_corpus *c, float *e, guard_job *job, nn_err *err)
{
    const guard_parts *p = &g->parts;
    const size_t C = guard_embed_width(g);
    size_t flushed = 0;
    scorer s;
    nn_status st;

    if (!p->m) return nn_fail(err, NN_USAGE, "embedding: guard %s has no decoder, want one", p->name);
    st = scorer_open(&s, p, job, err);
    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        const int32_t *ids = NULL;
        size_t n = 0, first = 0, last = 0;

        if ((st = guard_windows_of(s.windows, p, &c->row[i], err)) != NN_OK) break;
        guard_windows_at(s.windows, 0, &ids, &n, &first, &last);
        if (!guard_window_batch_fits(s.batch, n)) {
            embed_flush(&s, e + flushed * C, C, job->exec->k);
            flushed = i;
        }
        st = guard_window_batch_add(s.batch, guard_windows_form(s.windows), ids, n, err);
        if (st == NN_OK) st = tell(job, i + 1, c->n, err);
    }
    if (st == NN_OK) embed_flush(&s, e + flushed * C, C, job->exec->k);
    scorer_close(&s);
    return st;
}
