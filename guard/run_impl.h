/* run_impl.h - the fields of a run, for run.c, run_stage.c, run_job.c and machine.c.
 *
 * Reads: run.h, manifest.h, ledger.h.   Read next: run.c, then run_stage.c.
 */
#ifndef GUARD_RUN_IMPL_H
#define GUARD_RUN_IMPL_H
#include "guard/ledger.h"
#include "guard/manifest.h"
#include "guard/run.h"

#define RUN_PATH_MAX 512

/* machine.json: facts of this machine and this process, outside the reproducible half. */
typedef struct {
    char start[32];
    guard_buf resumes; /* JSON strings, joined by ',' */
    guard_buf facts;   /* ,"key":value ... */
} guard_machine;

struct guard_run {
    char *dir, *ledger_path, *metrics_path, *timing_path;
    guard_manifest m;
    guard_ledger ledger;
    guard_machine machine;
    unsigned char *input_seen; /* of m.inputs: named in this process */
    size_t input_cap;

    /* the stage in work: pending[0..n_pending) are its rules; the stage itself is appended at its end */
    bool stage_open;
    size_t ordinal; /* of the last stage begun */
    guard_entry stage;
    guard_entry *pending;
    size_t n_pending, pending_cap;
    char stream[64], checkpoint[RUN_PATH_MAX];

    /* metrics.jsonl: bytes up to the last committed stage, bytes in the file, lines not yet in it */
    uint64_t metrics_base, metrics_len;
    guard_buf metrics;
    bool checkpoint_there; /* when the stage began: its file, or one that begins with its name */
    bool rewind_awaited; /* the file may run ahead of a checkpoint that was not read yet */
    nn_err late; /* what metrics_mark, which returns no status, could not do; the checkpoint's hash at that moment */
    char late_checkpoint[NN_SHA256_HEX];

    bool (*progress)(void *ctx, uint64_t done, uint64_t total, const char *unit);
    void *progress_ctx;
};

/* Forgets the stage in work, and with it a checkpoint that counts on metrics which did not reach the disk. */
void guard_run_stage_drop(guard_run *r);
/* Removes the files of DIR/checkpoint whose name does not begin with `but` (NULL: all). */
NN_CHECKED nn_status guard_run_checkpoints_remove(const guard_run *r, const char *but, nn_err *err);
/* metrics.jsonl for the stage that begins: what stands after the last committed one stays only while a checkpoint may
 * continue from it. */
NN_CHECKED nn_status guard_run_metrics_begin(guard_run *r, nn_err *err);
NN_CHECKED nn_status guard_run_metrics_flush(guard_run *r, nn_err *err);
/* Size of metrics.jsonl, 0 when absent. */
NN_CHECKED nn_status guard_run_metrics_size(const guard_run *r, uint64_t *len, nn_err *err);

/* Starts machine.json, or takes start and resumes over from the one that is there. */
NN_CHECKED nn_status guard_machine_open(guard_machine *m, const char *dir, bool resumed, nn_err *err);
NN_CHECKED nn_status guard_machine_write(const guard_machine *m, const char *dir, nn_err *err);
void guard_machine_free(guard_machine *m);
#endif
