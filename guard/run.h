/* run.h - the run folder: what a run leaves behind, and how a killed run goes on.
 *
 * Reads: corpus.h, nn/plat.h, nn/sha256.h.   Read next: run.c, ledger.h, guard/lua/host.h.
 * Reproducible half, hashed: run.json, scripts/, corpus/NN_stage.jsonl, ledger.jsonl, metrics.jsonl, models/,
 * report.html, report.json. Not reproducible, never hashed: machine.json, timing.jsonl, log, checkpoint/.
 *
 * A stage is finished when its ledger entry is in the file: outputs are written (beside, fsync, rename) before it. Its
 * key is (ordinal, name, hash of arguments, hashes of inputs). On resume a finished stage returns what it saved; the
 * first unfinished one continues from its checkpoint, and metrics are truncated to the recorded length. Calls about a
 * stage that begin found finished (metric, rule, timing, end) do nothing.
 *
 * metrics.jsonl, a line: {"stage":"04_train_guard","step":10,"name":"loss","value":0.5}
 * Threads: none of this is thread safe, and one process at a time works in a folder.
 */
#ifndef GUARD_RUN_H
#define GUARD_RUN_H
#include "guard/buf.h"
#include "guard/corpus.h"
#include "guard/job.h"

typedef struct guard_run guard_run;

typedef struct {
    const char *out; /* folder */
    uint64_t seed;
    bool resume;
    const char *script;     /* path as given */
    const char *const *set; /* "name=value" pairs */
    size_t n_set;
} guard_run_options;

/* New: the folder must be absent or empty (else NN_USAGE naming --resume). Resume: reads run.json, checks the ledger's
 * chain, truncates what is torn. */
NN_CHECKED nn_status guard_run_open(guard_run **out, const guard_run_options *o, nn_err *err);
void guard_run_close(guard_run *r);
const char *guard_run_dir(const guard_run *r);
uint64_t guard_run_seed(const guard_run *r);
bool guard_run_done(const guard_run *r); /* a finished run */
/* One more fact for machine.json (kernels, threads, argv); json is any JSON value; once a key. Host, CPU, compiler and
 * times stand there already; a finished run's stays as it is. */
NN_CHECKED nn_status guard_run_fact(guard_run *r, const char *key, const char *json, nn_err *err);
/* Who is told how far a stage is: guard_run_job puts a call to it into job->progress. */
void guard_run_on_progress(guard_run *r, bool (*progress)(void *ctx, uint64_t done, uint64_t total, const char *unit),
                           void *ctx);

/* What a folder was started with, for a resume that does not repeat the options. *found is false when there is no run
 * yet (absent, empty, or killed before its first file). Options given to a resume must be these: guard_run_open says
 * which differ. */
typedef struct {
    char *script; /* base name: a name for guard_run_read_script */
    char **set;
    size_t n_set;
    uint64_t seed;
    bool finished;
} guard_run_saved;
NN_CHECKED nn_status guard_run_saved_read(guard_run_saved *s, bool *found, const char *dir, nn_err *err);
void guard_run_saved_free(guard_run_saved *s);

/* scripts/: a script's bytes as used. New run: saved. Resume: an edited copy is NN_USAGE, naming it. */
NN_CHECKED nn_status guard_run_script(guard_run *r, const char *name, const char *bytes, size_t len, nn_err *err);
/* The saved bytes (by nn_alloc, zero byte after them); NULL when none of that name was saved. A name without '/' also
 * finds the only script of that name in a subfolder. A saved copy that was edited is NN_USAGE. */
NN_CHECKED nn_status guard_run_read_script(const guard_run *r, const char *name, char **bytes, size_t *len,
                                           nn_err *err);
/* An input file: base name and SHA-256 into run.json; changed at resume is NN_USAGE. */
NN_CHECKED nn_status guard_run_input(guard_run *r, const char *path, const char *sha256, nn_err *err);

/* --- stages ------------------------------------------------------------------------------ */
typedef struct {
    size_t ordinal;
    char name[48];
    char key[65];
    bool finished; /* its outputs are in the folder: load them instead of computing */
} guard_stage;

/* args: canonical JSON of the options; inputs: hashes (corpora, models) in order. */
NN_CHECKED nn_status guard_run_stage_begin(guard_run *r, guard_stage *s, const char *name, const char *args,
                                           const char *const *input_hash, size_t n_input, nn_err *err);
/* DIR/KIND/NN_NAME + suffix for an output of this stage: "runs/a/corpus/03_augment.jsonl" of kind "corpus" and suffix
 * ".jsonl". out holds at least 512. */
void guard_run_path(const guard_run *r, const guard_stage *s, const char *kind, const char *suffix, char *out,
                    size_t cap);
/* Output `i` of a finished stage: path (with the folder) and hash as recorded. NN_FILE when it is gone or altered,
 * NN_USAGE beyond the last. */
NN_CHECKED nn_status guard_run_stage_output(const guard_run *r, const guard_stage *s, size_t i, char *path, size_t cap,
                                            char sha256[65], nn_err *err);
/* Small results as JSON ("note") of a finished stage, or NULL. */
const char *guard_run_stage_note(const guard_run *r, const guard_stage *s);
uint64_t guard_run_stage_tokens(const guard_run *r, const guard_stage *s); /* as recorded at its end */
size_t guard_run_stage_outputs(const guard_run *r, const guard_stage *s);  /* how many a finished stage has */
/* The commit point: appends the ledger entry with outputs (paths with the folder or below it, hashed here), note (JSON
 * object on one line, or NULL) and used tokens. A file belongs to one stage: a path that an earlier one recorded is
 * NN_USAGE. */
NN_CHECKED nn_status guard_run_stage_end(guard_run *r, guard_stage *s, const char *const *output, size_t n_output,
                                         const char *note, uint64_t tokens, nn_err *err);
/* A rule's entry: name, what it decided, hash of the corpus it read and wrote. */
NN_CHECKED nn_status guard_run_rule(guard_run *r, const guard_stage *s, const char *rule, size_t kept, size_t dropped,
                                    nn_err *err);
/* Fills job->seed, stream, checkpoint, ctx, progress, metric, metrics_mark, metrics_rewind for this stage; borrowed
 * from the run until the next stage. A stage may keep more files beside its checkpoint, under names that begin with it;
 * all go when the stage is finished. */
void guard_run_job(guard_run *r, const guard_stage *s, guard_job *job);
NN_CHECKED nn_status guard_run_metric(guard_run *r, const guard_stage *s, uint64_t step, const char *name, double value,
                                      nn_err *err);
NN_CHECKED nn_status guard_run_timing(guard_run *r, const guard_stage *s, double seconds, uint64_t tokens,
                                      nn_err *err); /* timing.jsonl */

/* Writes run.json with ledger head and count, machine.json; marks the run finished. */
NN_CHECKED nn_status guard_run_finish(guard_run *r, nn_err *err);
void guard_run_head(const guard_run *r, char sha256[65], size_t *count);

/* --- audit and lineage --------------------------------------------------------------------- */
/* Findings as lines in out; *bad counts them. Compares chain, hashes of every reproducible file, missing and unexpected
 * files. */
NN_CHECKED nn_status guard_audit(guard_buf *out, size_t *bad, const char *dir, nn_err *err);
/* Two folders' reproducible halves, byte by byte. */
NN_CHECKED nn_status guard_audit_compare(guard_buf *out, size_t *bad, const char *a, const char *b, nn_err *err);
/* Hash over all reproducible files (path, sha256), sorted: one line that names the run. */
NN_CHECKED nn_status guard_run_identity(char sha256[65], const char *dir, nn_err *err);
/* A row (id prefix of >= 4 digits) through all corpora: where it first stood, parents, ops, columns by stage, why kept
 * or dropped; recursively to its seeds. show_text false hides unsafe text. */
NN_CHECKED nn_status guard_lineage(guard_buf *out, const char *dir, const char *id, bool show_text, bool json,
                                   nn_err *err);
#endif
