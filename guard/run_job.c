/* run_job.c - what a stage is given while it works: a checkpoint's path, a place for metrics, a stream of draws.
 *
 * Reads: run_impl.h, job.h.   Read next: run_stage.c.
 * Why marks: metrics run ahead of the checkpoint. A checkpoint records how long metrics.jsonl was (mark, flushed before
 * the checkpoint is written); who continues from it cuts the file there (rewind), and who starts anew cuts it to the
 * last stage's end.
 */
#include "guard/run_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

#define METRICS_FLUSH ((size_t)64 << 10) /* bytes kept back: an fsync a step would cost more than the step */

/* --- checkpoint files --------------------------------------------------------------------- */

nn_status guard_run_checkpoints_remove(const guard_run *r, const char *but, nn_err *err)
{
    char **name = NULL, *dir = NULL, *path = NULL;
    size_t n = 0;
    nn_status st = guard_path_join(&dir, r->dir, "checkpoint", err);

    if (st != NN_OK || !nn_path_exists(dir)) goto done;
    if ((st = nn_dir_list(&name, &n, dir, err)) != NN_OK) goto done;
    for (size_t i = 0; i < n; i++) {
        if (but && strncmp(name[i], but, strlen(but)) == 0) continue;
        nn_free(path);
        if ((st = guard_path_join(&path, dir, name[i], err)) != NN_OK) goto done;
        if (remove(path) != 0) {
            st = nn_fail(err, NN_FILE, "%s: cannot be removed, though its stage is finished", path);
            goto done;
        }
    }
done:
    for (size_t i = 0; i < n; i++) nn_free(name[i]);
    nn_free(name);
    nn_free(path);
    nn_free(dir);
    return st;
}

/* --- metrics ------------------------------------------------------------------------------ */

nn_status guard_run_metrics_size(const guard_run *r, uint64_t *len, nn_err *err)
{
    *len = 0;
    return nn_path_exists(r->metrics_path) ? nn_file_size(r->metrics_path, len, err) : NN_OK;
}

static nn_status metrics_cut(guard_run *r, uint64_t len, nn_err *err)
{
    nn_status st = NN_OK;

    guard_buf_clear(&r->metrics);
    if (r->metrics_len != len && (st = nn_file_truncate(r->metrics_path, len, err)) != NN_OK) return st;
    r->metrics_len = len;
    r->rewind_awaited = false;
    return NN_OK;
}

/* A stage that writes before it read a checkpoint has started anew. */
static nn_status metrics_settle(guard_run *r, nn_err *err)
{
    return r->rewind_awaited ? metrics_cut(r, r->metrics_base, err) : NN_OK;
}

nn_status guard_run_metrics_flush(guard_run *r, nn_err *err)
{
    nn_status st = metrics_settle(r, err);

    if (st != NN_OK || r->metrics.len == 0) return st;
    if ((st = nn_file_append(r->metrics_path, r->metrics.bytes, r->metrics.len, err)) != NN_OK) return st;
    r->metrics_len += r->metrics.len;
    guard_buf_clear(&r->metrics);
    return NN_OK;
}

/* Cuts a line that a kill left half written. */
static nn_status metrics_mend(guard_run *r, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    nn_status st = NN_OK;

    if (r->metrics_len == r->metrics_base) return NN_OK;
    if ((st = nn_file_open(&file, r->metrics_path, err)) != NN_OK) return st;
    uint64_t len = file.len;
    while (len > r->metrics_base && file.bytes[len - 1] != '\n') len--;
    nn_file_close(&file);
    return metrics_cut(r, len, err);
}

nn_status guard_run_metrics_begin(guard_run *r, nn_err *err)
{
    nn_status st = NN_OK;

    r->metrics_base = r->ledger.n ? r->ledger.entry[r->ledger.n - 1].metrics : 0;
    r->late = (nn_err){NN_OK, ""};
    if ((st = guard_run_metrics_size(r, &r->metrics_len, err)) != NN_OK) return st;
    if (!r->checkpoint_there) return metrics_cut(r, r->metrics_base, err);
    st = metrics_mend(r, err);
    r->rewind_awaited = true;
    return st;
}

nn_status guard_run_metric(guard_run *r, const guard_stage *s, uint64_t step, const char *name, double value,
                           nn_err *err)
{
    char stage[64];
    nn_status st = NN_OK;

    if (s->finished) return NN_OK;
    NN_ASSERT(r->stage_open && s->ordinal == r->ordinal);
    if (r->late.status != NN_OK) return nn_fail(err, r->late.status, "%s", r->late.text);
    if ((st = metrics_settle(r, err)) != NN_OK) return st;
    snprintf(stage, sizeof stage, "%02zu_%s", s->ordinal, s->name);
    guard_buf_str(&r->metrics, "{");
    guard_put_str(&r->metrics, "stage", stage);
    guard_put_u64(&r->metrics, "step", step);
    guard_put_str(&r->metrics, "name", name);
    guard_json_key(&r->metrics, "value");
    guard_json_double(&r->metrics, value);
    guard_buf_str(&r->metrics, "}\n");
    if (r->metrics.status == NN_CONTENT) {
        return nn_fail(err, NN_CONTENT, "stage %s: step %llu: metric %s is not finite", stage, (unsigned long long)step,
                       name);
    }
    if ((st = guard_buf_status(&r->metrics, err)) != NN_OK) return st;
    return r->metrics.len < METRICS_FLUSH ? NN_OK : guard_run_metrics_flush(r, err);
}

nn_status guard_run_timing(guard_run *r, const guard_stage *s, double seconds, uint64_t tokens, nn_err *err)
{
    guard_buf b = {NULL, 0, 0, NN_OK};
    nn_status st = NN_OK;

    if (s->finished) return NN_OK;
    guard_buf_fmt(&b, "{\"stage\":\"%02zu_%s\",\"seconds\":", s->ordinal, s->name);
    guard_json_double(&b, seconds);
    guard_put_u64(&b, "tokens", tokens);
    guard_buf_str(&b, "}\n");
    if ((st = guard_buf_status(&b, err)) == NN_OK) st = nn_file_append(r->timing_path, b.bytes, b.len, err);
    guard_buf_free(&b);
    return st;
}

/* --- what a job is given ------------------------------------------------------------------ */

static guard_stage stage_in_work(const guard_run *r)
{
    guard_stage s = {r->ordinal, "", "", false};

    memcpy(s.name, r->stage.name, sizeof s.name);
    return s;
}

static bool job_progress(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    const guard_run *r = ctx;

    return r->progress ? r->progress(r->progress_ctx, done, total, unit) : true;
}

static nn_status job_metric(void *ctx, uint64_t step, const char *name, double value, nn_err *err)
{
    guard_run *r = ctx;
    const guard_stage s = stage_in_work(r);

    return guard_run_metric(r, &s, step, name, value, err);
}

/* The lines before the mark must be on disk before the checkpoint that names it. */
static uint64_t job_mark(void *ctx)
{
    guard_run *r = ctx;
    const nn_status st = guard_run_metrics_flush(r, &r->late);

    if (st == NN_OK) return r->metrics_len;
    if (guard_folder_hash(r->late_checkpoint, "", r->checkpoint, NULL) != NN_OK)
        r->late_checkpoint[0] = '\0'; /* none yet */
    return r->metrics_len + r->metrics.len;
}

static nn_status job_rewind(void *ctx, uint64_t mark, nn_err *err)
{
    guard_run *r = ctx;

    if (mark < r->metrics_base || mark > r->metrics_len) {
        return nn_fail(
            err, NN_FILE,
            "%s: checkpoint wants %llu bytes of metrics, want %llu to %llu; without this file the stage starts over",
            r->checkpoint, (unsigned long long)mark, (unsigned long long)r->metrics_base,
            (unsigned long long)r->metrics_len);
    }
    return metrics_cut(r, mark, err);
}

void guard_run_job(guard_run *r, const guard_stage *s, guard_job *job)
{
    NN_ASSERT(s->finished || (r->stage_open && s->ordinal == r->ordinal));
    snprintf(r->stream, sizeof r->stream, "%02zu.%s", s->ordinal, s->name);
    job->seed = r->m.seed;
    job->stream = r->stream;
    job->checkpoint = r->checkpoint[0] ? r->checkpoint : NULL;
    job->ctx = r;
    job->progress = job_progress;
    job->metric = job_metric;
    job->metrics_mark = job_mark;
    job->metrics_rewind = job_rewind;
}
