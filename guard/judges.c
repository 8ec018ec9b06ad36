/* judges.c - three judges that err differently, and their vote.
 *
 * Reads: curate.h, neighbour.h.   Read next: measure.c (the reward judge is none of these).
 *   n-gram     logistic regression trained on the human rows
 *   near       the k nearest human rows in the embedding of `other`, each with its cosine as weight:
 *              p = sum of max(0, cos_i) [unsafe_i] / sum of max(0, cos_i), 1/2 when all weights are 0
 *   guard      `other`, a guard of another fold and seed: its calibrated p
 * Each p is then moved to even odds: seeds are one third unsafe, and a judge that knows nothing should not vote
 * "safe" for that reason alone. With pi the share of unsafe human rows, p' = p (1 - pi) / (p (1 - pi) + (1 - p) pi).
 * A judge agrees with a label when its p' is on that side of 1/2. A human row is not its own neighbour.
 */
#include "guard/curate.h"
#include "guard/neighbour.h"
#include "nn/arena.h"
#include "nn/mathf.h"

enum { JUDGES = 3, MAJORITY = 2 };

struct guard_judges {
    guard_wide *ngram;
    guard_points human;
    const guard_classifier *other; /* borrowed */
    size_t neighbours;
    double prior; /* pi */
};

guard_judge_options guard_judge_default(void)
{
    return (guard_judge_options){.wide = guard_wide_default(), .neighbours = 8};
}

/* Share of unsafe rows among the labelled ones; 1/2 when one class is missing: there are no odds to even. */
static double unsafe_share(const guard_corpus *c)
{
    size_t labelled = 0, unsafe = 0;

    for (size_t i = 0; i < c->n; i++) {
        labelled += c->row[i].label != GUARD_LABEL_NONE;
        unsafe += c->row[i].label == GUARD_UNSAFE;
    }
    return unsafe == 0 || unsafe == labelled ? 0.5 : (double)unsafe / (double)labelled;
}

nn_status guard_judges_build(guard_judges **out, const guard_corpus *human, const guard_classifier *other,
                             const guard_judge_options *o, guard_job *job, nn_err *err)
{
    guard_judges *j = NULL;
    nn_status st;

    *out = NULL;
    if (o->neighbours == 0) return nn_fail(err, NN_USAGE, "judges: 0 neighbours, want at least 1");
    if ((st = nn_alloc((void **)&j, 1, sizeof *j, err)) != NN_OK) return st;
    j->other = other;
    j->neighbours = o->neighbours;
    j->prior = unsafe_share(human);
    if ((st = guard_wide_train(&j->ngram, human, NULL, &o->wide, &job->exec->par, err)) != NN_OK) goto done;
    if ((st = guard_points_build(&j->human, human, other, job, err)) != NN_OK) goto done;
    *out = j;
    j = NULL;
done:
    guard_judges_free(j);
    return st;
}

void guard_judges_free(guard_judges *j)
{
    if (!j) return;
    guard_wide_free(j->ngram);
    guard_points_free(&j->human);
    nn_free(j);
}

/* --- each judge's p, [c->n] ----------------------------------------------------------------------------- */

static nn_status ask_ngram(double *p, const guard_judges *j, const guard_corpus *c, nn_err *err)
{
    guard_features f = {0};
    nn_status st = NN_OK;

    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        float z = 0.0f;

        st = guard_wide_logit(j->ngram, &f, &c->row[i], &z, err);
        p[i] = nn_sigmoid((double)z);
    }
    guard_features_free(&f);
    return st;
}

static double weighted_share(const guard_near *near, size_t k, const int *label)
{
    double unsafe = 0.0, all = 0.0;

    for (size_t i = 0; i < k && near[i].at != SIZE_MAX; i++) {
        const double w = near[i].cosine > 0.0f ? (double)near[i].cosine : 0.0;

        all += w;
        if (label[near[i].at] == GUARD_UNSAFE) unsafe += w;
    }
    return all > 0.0 ? unsafe / all : 0.5;
}

static nn_status ask_near(double *p, const guard_judges *j, const guard_corpus *c, guard_job *job, nn_err *err)
{
    guard_points rows = {0};
    guard_near *near = NULL;
    const size_t k = j->neighbours;
    nn_status st;

    if ((st = guard_points_build(&rows, c, j->other, job, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&near, c->n * k, sizeof *near, err)) != NN_OK) goto done;
    if ((st = guard_neighbours(near, k, &rows, &j->human, GUARD_NEAR_LABELLED, job->exec, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++) p[i] = weighted_share(near + i * k, k, j->human.label);
done:
    guard_points_free(&rows);
    nn_free(near);
    return st;
}

static nn_status ask_guard(double *p, const guard_judges *j, const guard_corpus *c, guard_job *job, nn_err *err)
{
    guard_verdict *v = NULL;
    guard_job quiet = *job;
    nn_status st;

    quiet.progress = NULL;
    if ((st = nn_alloc((void **)&v, c->n, sizeof *v, err)) != NN_OK) return st;
    if (c->n > 0) st = guard_score(j->other, c, v, &quiet, err);
    for (size_t i = 0; i < c->n && st == NN_OK; i++) p[i] = (double)v[i].p_unsafe;
    nn_free(v);
    return st;
}

/* --- the vote ---------------------------------------------------------------------------------------------- */

static nn_status count_votes(guard_corpus *c, const char *stage, double *const p[JUDGES], nn_err *err)
{
    guard_column *votes = NULL, *majority = NULL;
    nn_status st;

    if ((st = guard_corpus_column(c, "votes", stage, GUARD_COL_NUM, &votes, err)) != NN_OK) return st;
    double *const count = votes->num; /* stays in place when the next column is added; the column's struct may move */
    if ((st = guard_corpus_column(c, "majority", stage, GUARD_COL_BOOL, &majority, err)) != NN_OK) return st;
    for (size_t i = 0; i < c->n; i++) {
        const int label = c->row[i].label;
        size_t n = 0;

        if (label == GUARD_LABEL_NONE) continue; /* nothing to agree with: no value */
        for (size_t k = 0; k < JUDGES; k++) n += (p[k][i] >= 0.5) == (label == GUARD_UNSAFE);
        count[i] = (double)n;
        majority->num[i] = n >= MAJORITY ? 1.0 : 0.0;
    }
    return NN_OK;
}

static void even_odds(double *p, size_t n, double prior)
{
    for (size_t i = 0; i < n; i++) {
        const double unsafe = p[i] * (1.0 - prior), safe = (1.0 - p[i]) * prior;
        p[i] = unsafe / (unsafe + safe);
    }
}

nn_status guard_judges_vote(const guard_judges *j, guard_corpus *c, const char *stage, guard_job *job, nn_err *err)
{
    static const char *const name[JUDGES] = {"judge_ngram", "judge_near", "judge_guard"};
    double *p[JUDGES] = {NULL, NULL, NULL};
    nn_status st = NN_OK;

    for (size_t k = 0; k < JUDGES && st == NN_OK; k++) {
        guard_column *col = NULL;

        if ((st = guard_corpus_column(c, name[k], stage, GUARD_COL_NUM, &col, err)) == NN_OK) p[k] = col->num;
    }
    if (st != NN_OK) return st;
    if ((st = ask_ngram(p[0], j, c, err)) != NN_OK) return st;
    if ((st = ask_near(p[1], j, c, job, err)) != NN_OK) return st;
    if ((st = ask_guard(p[2], j, c, job, err)) != NN_OK) return st;
    for (size_t k = 0; k < JUDGES; k++) even_odds(p[k], c->n, j->prior);
    return count_votes(c, stage, p, err);
}
