/* curate.c - loss over folds, similarity to human rows, duplicates: each a column, nothing decided.
 *
 * Reads: curate.h, neighbour.h, minhash.h.   Read next: judges.c; scripts/curation.lua decides.
 */
#include "guard/curate.h"
#include "guard/minhash.h"
#include "guard/neighbour.h"
#include "nn/arena.h"
#include "nn/mathf.h"

static nn_status stopped(nn_err *err)
{
    return nn_fail(err, NN_STOP, "curate: stopped");
}

nn_status guard_curate_loss(guard_corpus *c, size_t folds, const guard_wide_options *o, const char *stage,
                            guard_job *job, nn_err *err)
{
    guard_column *col = NULL;
    float *z = NULL;
    nn_status st;

    if (!guard_job_go_on(job, 0, c->n, "rows")) return stopped(err);
    if ((st = nn_alloc((void **)&z, c->n, sizeof *z, err)) != NN_OK) return st;
    if ((st = guard_wide_out_of_fold(z, c, NULL, folds, o, &job->exec->par, err)) != NN_OK) goto done;
    if ((st = guard_corpus_column(c, "fold", stage, GUARD_COL_NUM, &col, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++) col->num[i] = (double)guard_fold(&c->row[i], folds, o->seed);
    if ((st = guard_corpus_column(c, "loss", stage, GUARD_COL_NUM, &col, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++)
        if (c->row[i].label != GUARD_LABEL_NONE)
            col->num[i] = nn_softplus(c->row[i].label == GUARD_UNSAFE ? -(double)z[i]
                                                                      : (double)z[i]); /* -log p of the label */
    if (!guard_job_go_on(job, c->n, c->n, "rows")) st = stopped(err);
done:
    nn_free(z);
    return st;
}

static nn_status put_nearest(guard_corpus *c, const char *name, guard_near_kind kind, guard_near *near,
                             const guard_points *rows, const guard_points *human, const char *stage, guard_job *job,
                             nn_err *err)
{
    guard_column *col = NULL;
    nn_status st;

    if ((st = guard_neighbours(near, 1, rows, human, kind, job->exec, err)) != NN_OK) return st;
    if ((st = guard_corpus_column(c, name, stage, GUARD_COL_NUM, &col, err)) != NN_OK) return st;
    for (size_t i = 0; i < c->n; i++)
        if (near[i].at != SIZE_MAX) col->num[i] = (double)near[i].cosine;
    return NN_OK;
}

nn_status guard_curate_similarity(guard_corpus *c, const guard_corpus *human, const guard_classifier *embedder,
                                  const char *stage, guard_job *job, nn_err *err)
{
    guard_points rows = {0}, base = {0};
    guard_near *near = NULL;
    nn_status st;

    if (!guard_job_go_on(job, 0, c->n, "rows")) return stopped(err);
    if ((st = guard_points_build(&base, human, embedder, job, err)) != NN_OK) goto done;
    if ((st = guard_points_build(&rows, c, embedder, job, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&near, c->n, sizeof *near, err)) != NN_OK) goto done;
    if ((st = put_nearest(c, "sim", GUARD_NEAR_SAME, near, &rows, &base, stage, job, err)) != NN_OK) goto done;
    if ((st = put_nearest(c, "sim_other", GUARD_NEAR_OTHER, near, &rows, &base, stage, job, err)) != NN_OK) goto done;
    if (!guard_job_go_on(job, c->n, c->n, "rows")) st = stopped(err);
done:
    guard_points_free(&rows);
    guard_points_free(&base);
    nn_free(near);
    return st;
}

nn_status guard_curate_duplicates(guard_corpus *c, const char *stage, guard_job *job, nn_err *err)
{
    guard_shingle_sets sets = {0};
    guard_column *col = NULL;
    nn_status st;

    if (!guard_job_go_on(job, 0, c->n, "rows")) return stopped(err);
    if ((st = guard_shingle_sets_build(&sets, c, 3, err)) != NN_OK) return st;
    if ((st = guard_corpus_column(c, "dup", stage, GUARD_COL_NUM, &col, err)) == NN_OK)
        st = guard_minhash_earlier(col->num, &sets, &job->exec->par, err);
    guard_shingle_sets_free(&sets);
    if (st == NN_OK && !guard_job_go_on(job, c->n, c->n, "rows")) st = stopped(err);
    return st;
}
