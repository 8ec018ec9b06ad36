#include "guard/evaluate.h"
#include "guard/pairs.h"
#include "nn/arena.h"
#include <math.h>
#include <string.h>

/* The labelled rows of a set, or some of them. */
typedef struct {
    int *label;
    double *p;
    size_t n;
} judged;

static nn_status judged_open(judged *j, size_t most, nn_err *err)
{
    void *label = NULL, *p = NULL;
    nn_status st = nn_alloc(&label, most + 1, sizeof *j->label, err);

    if (st == NN_OK) st = nn_alloc(&p, most + 1, sizeof *j->p, err);
    *j = (judged){label, p, 0};
    return st;
}

static void judged_free(judged *j)
{
    nn_free(j->label);
    nn_free(j->p);
}

static void judged_add(judged *j, int label, float p)
{
    j->label[j->n] = label;
    j->p[j->n++] = (double)p;
}

/* --- what is defined ---------------------------------------------------------------------- */

static const guard_interval no_interval = {(double)NAN, (double)NAN};

/* Of a set with one class only recall (unsafe rows) or the false-positive rate (safe rows) says something about the
 * guard: precision and F1 would be facts about the set's make-up. */
static void clear_undefined(guard_metrics *m, guard_intervals *ci)
{
    const double recall = m->recall, fpr = m->fpr;
    const guard_interval recall_ci = ci->recall, fpr_ci = ci->fpr;

    if (m->positive > 0 && m->positive < m->n) return;
    m->precision = m->recall = m->f1 = m->fpr = (double)NAN;
    m->average_precision = m->roc_auc = m->log_loss = m->brier = (double)NAN;
    *ci = (guard_intervals){no_interval, no_interval, no_interval, no_interval, no_interval, no_interval};
    if (m->positive > 0) {
        m->recall = recall;
        ci->recall = recall_ci;
    } else {
        m->fpr = fpr;
        ci->fpr = fpr_ci;
    }
}

static nn_status measure(guard_metrics *m, guard_intervals *ci, const judged *j, double threshold, size_t bootstrap,
                         uint64_t seed, nn_err *err)
{
    nn_status st = guard_metrics_compute(m, j->label, j->p, j->n, threshold, err);

    if (st == NN_OK) st = guard_metrics_bootstrap(ci, j->label, j->p, j->n, threshold, bootstrap, seed, err);
    if (st == NN_OK) clear_undefined(m, ci);
    return st;
}

/* --- a guard on a set --------------------------------------------------------------------- */

/* At most the room of a name, whole characters. */
static void copy_name(char out[64], const char *name)
{
    size_t n = strlen(name);

    if (n > 63) {
        n = 63;
        while (n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80) n--;
    }
    memcpy(out, name, n);
    out[n] = '\0';
}

typedef struct {
    judged all, twins, ordinary;
    guard_verdict *verdict;
    guard_pairs pairs;
} sets;

static nn_status sets_open(sets *s, const guard_corpus *c, nn_err *err)
{
    void *verdict = NULL;
    nn_status st = NN_OK;

    if ((st = judged_open(&s->all, c->n, err)) != NN_OK) return st;
    if ((st = judged_open(&s->twins, c->n, err)) != NN_OK) return st;
    if ((st = judged_open(&s->ordinary, c->n, err)) != NN_OK) return st;
    st = nn_alloc(&verdict, c->n + 1, sizeof *s->verdict, err);
    s->verdict = verdict;
    return st == NN_OK ? guard_pairs_open(&s->pairs, c, err) : st;
}

static void sets_close(sets *s)
{
    judged_free(&s->all);
    judged_free(&s->twins);
    judged_free(&s->ordinary);
    nn_free(s->verdict);
    guard_pairs_close(&s->pairs);
}

static void sort_rows(sets *s, const guard_corpus *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const int label = c->row[i].label;
        const float p = s->verdict[i].p_unsafe;

        if (label != GUARD_SAFE && label != GUARD_UNSAFE) continue;
        judged_add(&s->all, label, p);
        if (label == GUARD_SAFE) judged_add(guard_pairs_is_twin(&s->pairs, i) ? &s->twins : &s->ordinary, label, p);
    }
}

static nn_status part_fpr(double *fpr, guard_interval *ci, size_t *n, const judged *j, double threshold,
                          size_t bootstrap, uint64_t seed, nn_err *err)
{
    guard_metrics m;
    guard_intervals all;
    nn_status st = NN_OK;

    *fpr = (double)NAN;
    *ci = no_interval;
    *n = j->n;
    if (j->n == 0 || (st = measure(&m, &all, j, threshold, bootstrap, seed, err)) != NN_OK) return st;
    *fpr = m.fpr;
    *ci = all.fpr;
    return NN_OK;
}

nn_status guard_evaluate(guard_result *r, const guard_classifier *g, const char *guard_name, const guard_corpus *c,
                         const char *set_name, double target_fpr, size_t bootstrap, guard_job *job, nn_err *err)
{
    const double threshold = (double)guard_classifier_threshold(g, target_fpr);
    sets s;
    nn_status st = NN_OK;

    memset(r, 0, sizeof *r);
    memset(&s, 0, sizeof s);
    copy_name(r->guard, guard_name);
    copy_name(r->set, set_name);
    r->target_fpr = target_fpr;
    if ((st = sets_open(&s, c, err)) != NN_OK) goto done;
    if ((st = guard_score(g, c, s.verdict, job, err)) != NN_OK) goto done;
    sort_rows(&s, c);
    if (s.all.n == 0) {
        st = nn_fail(err, NN_CONTENT, "%s: no labelled row among %zu, want at least one", r->set, c->n);
        goto done;
    }
    if ((st = measure(&r->all, &r->ci, &s.all, threshold, bootstrap, job->seed, err)) != NN_OK) goto done;
    st = part_fpr(&r->fpr_twins, &r->ci_twins, &r->n_twins, &s.twins, threshold, bootstrap, job->seed, err);
    if (st != NN_OK) goto done;
    st = part_fpr(&r->fpr_ordinary, &r->ci_ordinary, &r->n_ordinary, &s.ordinary, threshold, bootstrap, job->seed, err);
done:
    sets_close(&s);
    return st;
}
