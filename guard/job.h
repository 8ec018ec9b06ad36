/* job.h - what every long stage is given: how to compute, where its randomness comes from, whom to tell.
 *
 * Why: stages live below the run folder and the scripts; they report upwards through these calls and know nothing of
 * files but the checkpoint path.
 */
#ifndef GUARD_JOB_H
#define GUARD_JOB_H
#include "nn/exec.h"
#include "nn/rng.h"
#include <stdint.h>

typedef struct guard_job {
    const nn_exec *exec;
    uint64_t seed;          /* of the run */
    const char *stream;     /* stage's stream prefix, e.g. "04.train_guard": draws use "<stream>/<purpose>" */
    const char *checkpoint; /* path of this stage's checkpoint file, or NULL: none is kept */
    void *ctx;
    /* done of total units (tokens, rows, steps); returns false when the user asked to stop: save the checkpoint and
     * return NN_STOP. May be NULL. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total, const char *unit);
    /* One number of one step into metrics.jsonl. May be NULL. */
    nn_status (*metric)(void *ctx, uint64_t step, const char *name, double value, nn_err *err);
    /* Lengths to record in a checkpoint so that a resumed stage can truncate what it had written after it. May be
     * NULL. */
    uint64_t (*metrics_mark)(void *ctx);
    nn_status (*metrics_rewind)(void *ctx, uint64_t mark, nn_err *err);
    uint64_t tokens_used; /* stages add here; the run prints it against the declared budget */
} guard_job;

bool guard_job_go_on(guard_job *job, uint64_t done, uint64_t total, const char *unit);
nn_status guard_job_metric(guard_job *job, uint64_t step, const char *name, double value, nn_err *err);
/* Draws of (job seed, "<stream>/<purpose>", row). */
nn_rng guard_job_rng(const guard_job *job, const char *purpose, uint64_t row);
#endif
