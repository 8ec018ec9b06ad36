/* run_stage.c - a stage from its begin to its commit: key, outputs, rules, metrics, checkpoint.
 *
 * Reads: run_impl.h.   Read next: run_job.c, audit.c.
 * Why the order at the end: metrics are flushed, outputs hashed, then one append to the ledger makes all of it count,
 * and only then does run.json follow and the checkpoint go. A kill between any two of these steps loses nothing that
 * was counted.
 */
#include "guard/run_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

void guard_run_stage_drop(guard_run *r)
{
    char now[NN_SHA256_HEX];

    if (r->stage_open && r->late.status != NN_OK && guard_folder_hash(now, "", r->checkpoint, NULL) == NN_OK &&
        strcmp(now, r->late_checkpoint) != 0) {
        remove(r->checkpoint); /* should it stay, the resume says what is wrong with it */
    }
    guard_entry_free(&r->stage);
    for (size_t i = 0; i < r->n_pending; i++) guard_entry_free(r->pending + i);
    r->n_pending = 0;
    r->stage_open = false;
    r->checkpoint[0] = '\0';
}

/* --- begin -------------------------------------------------------------------------------- */

/* Ordinal, name, hash of the arguments, hashes of the inputs: one line each. */
static nn_status stage_key(char key[NN_SHA256_HEX], const guard_entry *e, nn_err *err)
{
    guard_buf b = {NULL, 0, 0, NN_OK};

    guard_buf_fmt(&b, "%zu\n%s\n%s\n", e->ordinal, e->name, e->args);
    for (size_t i = 0; i < e->n_in; i++) guard_buf_fmt(&b, "%s\n", e->in[i]);
    const nn_status st = guard_buf_status(&b, err);
    if (st == NN_OK) nn_sha256_hex(b.bytes, b.len, key);
    guard_buf_free(&b);
    return st;
}

static nn_status fill_stage(guard_run *r, const char *name, const char *args, const char *const *input_hash,
                            size_t n_input, nn_err *err)
{
    guard_entry *e = &r->stage;
    nn_status st = NN_OK;

    if (strlen(name) >= sizeof e->name || name[0] == '\0' ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")]) {
        return nn_fail(err, NN_USAGE, "stage '%s': want a name of 1 to %zu letters a-z, digits and _", name,
                       sizeof e->name - 1);
    }
    for (size_t i = 0; i < n_input; i++) {
        if (!guard_is_sha256(input_hash[i])) {
            return nn_fail(err, NN_USAGE, "stage %s: input %zu: hash '%s', want 64 hexadecimal digits", name, i + 1,
                           input_hash[i]);
        }
    }
    e->ordinal = r->ordinal + 1;
    memcpy(e->name, name, strlen(name) + 1);
    nn_sha256_hex(args, strlen(args), e->args);
    if ((st = guard_entry_input(e, input_hash, n_input, err)) != NN_OK) return st;
    return stage_key(e->key, e, err);
}

/* Why a saved stage is not the one that the script asks for now. */
static nn_status check_same(const guard_run *r, const guard_entry *was, nn_err *err)
{
    const guard_entry *now = &r->stage;
    const char *what = "inputs";

    if (strcmp(was->key, now->key) == 0) return NN_OK;
    if (strcmp(was->name, now->name) != 0) {
        return nn_fail(
            err, NN_USAGE,
            "stage %zu: %s holds %s, the script asks for %s; want the script, options and program of the start",
            now->ordinal, r->dir, was->name, now->name);
    }
    if (strcmp(was->args, now->args) != 0) what = "arguments";
    return nn_fail(err, NN_USAGE,
                   "stage %zu %s: its %s changed since %s was begun (key %.12s, want %.12s); want those of the start, "
                   "or a new folder",
                   now->ordinal, now->name, what, r->dir, now->key, was->key);
}

static nn_status check_output(const guard_run *r, const guard_entry *e, size_t i, nn_err *err)
{
    const guard_hash *f = e->out.at + i;
    char sha256[NN_SHA256_HEX], *path = NULL;
    nn_status st = guard_path_join(&path, r->dir, f->path, err);

    if (st != NN_OK) return st;
    if (!nn_path_exists(path)) {
        st = nn_fail(err, NN_FILE, "%s: missing, want the output of stage %zu %s with SHA-256 %s", path, e->ordinal,
                     e->name, f->sha256);
    } else if ((st = guard_folder_hash(sha256, r->dir, f->path, err)) == NN_OK && strcmp(sha256, f->sha256) != 0) {
        st = nn_fail(err, NN_FILE, "%s: altered: has SHA-256 %s, want %s as stage %zu %s wrote it", path, sha256,
                     f->sha256, e->ordinal, e->name);
    }
    nn_free(path);
    return st;
}

/* Folders, checkpoint path and metrics for a stage that has to be computed. */
static nn_status open_stage(guard_run *r, nn_err *err)
{
    static const char *const folders[] = {"corpus", "models", "checkpoint"};
    char name[96], folder[RUN_PATH_MAX];
    nn_status st = NN_OK;

    for (size_t i = 0; i < sizeof folders / sizeof *folders && st == NN_OK; i++) {
        char *path = NULL;

        if ((st = guard_path_join(&path, r->dir, folders[i], err)) == NN_OK) st = nn_dir_make(path, err);
        nn_free(path);
    }
    if (st != NN_OK) return st;
    snprintf(name, sizeof name, "%02zu_%s.%.16s", r->stage.ordinal, r->stage.name, r->stage.key);
    snprintf(folder, sizeof folder, "%s/checkpoint", r->dir);
    snprintf(r->checkpoint, sizeof r->checkpoint, "%s/checkpoint/%s", r->dir, name);
    if ((st = guard_run_checkpoints_remove(r, name, err)) != NN_OK) return st;
    r->checkpoint_there = !nn_dir_empty(folder);
    return guard_run_metrics_begin(r, err);
}

nn_status guard_run_stage_begin(guard_run *r, guard_stage *s, const char *name, const char *args,
                                const char *const *input_hash, size_t n_input, nn_err *err)
{
    nn_status st = NN_OK;

    memset(s, 0, sizeof *s);
    if (r->stage_open)
        return nn_fail(err, NN_USAGE, "stage %s: stage %zu %s is not ended yet", name, r->ordinal, r->stage.name);
    guard_run_stage_drop(r);
    if ((st = fill_stage(r, name, args, input_hash, n_input, err)) != NN_OK) return st;
    s->ordinal = r->stage.ordinal;
    memcpy(s->name, r->stage.name, sizeof s->name);
    memcpy(s->key, r->stage.key, sizeof s->key);

    const guard_entry *saved = guard_ledger_stage(&r->ledger, s->ordinal);
    if (saved) {
        if ((st = check_same(r, saved, err)) != NN_OK) return st;
        for (size_t i = 0; i < saved->out.n; i++) {
            if ((st = check_output(r, saved, i, err)) != NN_OK) return st;
        }
        s->finished = true;
    } else if (r->m.finished) {
        return nn_fail(err, NN_USAGE,
                       "stage %zu %s: the finished run %s has no such stage; want the script it was made with",
                       s->ordinal, name, r->dir);
    } else {
        if ((st = open_stage(r, err)) != NN_OK) return st;
        r->stage_open = true;
    }
    r->ordinal = s->ordinal;
    return NN_OK;
}

/* --- outputs and results ------------------------------------------------------------------ */

void guard_run_path(const guard_run *r, const guard_stage *s, const char *kind, const char *suffix, char *out,
                    size_t cap)
{
    snprintf(out, cap, "%s/%s/%02zu_%s%s", r->dir, kind, s->ordinal, s->name, suffix);
}

size_t guard_run_stage_outputs(const guard_run *r, const guard_stage *s)
{
    const guard_entry *e = guard_ledger_stage(&r->ledger, s->ordinal);

    return e ? e->out.n : 0;
}

nn_status guard_run_stage_output(const guard_run *r, const guard_stage *s, size_t i, char *path, size_t cap,
                                 char sha256[65], nn_err *err)
{
    const guard_entry *e = guard_ledger_stage(&r->ledger, s->ordinal);
    nn_status st = NN_OK;

    if (!e || i >= e->out.n) {
        return nn_fail(err, NN_USAGE, "stage %zu %s: output %zu asked for, it has %zu", s->ordinal, s->name, i,
                       e ? e->out.n : 0);
    }
    if ((st = check_output(r, e, i, err)) != NN_OK) return st;
    if ((size_t)snprintf(path, cap, "%s/%s", r->dir, e->out.at[i].path) >= cap) {
        return nn_fail(err, NN_LIMIT, "%s/%s: path longer than %zu bytes", r->dir, e->out.at[i].path, cap - 1);
    }
    memcpy(sha256, e->out.at[i].sha256, NN_SHA256_HEX);
    return NN_OK;
}

const char *guard_run_stage_note(const guard_run *r, const guard_stage *s)
{
    const guard_entry *e = guard_ledger_stage(&r->ledger, s->ordinal);

    return e ? e->note : NULL;
}

uint64_t guard_run_stage_tokens(const guard_run *r, const guard_stage *s)
{
    const guard_entry *e = guard_ledger_stage(&r->ledger, s->ordinal);

    return e ? e->tokens : 0;
}

/* --- end ---------------------------------------------------------------------------------- */

/* A rule's lines repeat the key, arguments and inputs of its stage. */
static nn_status copy_stage(guard_entry *to, const guard_entry *stage, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, stage->n_in, sizeof *stage->in, err);

    memset(to, 0, sizeof *to);
    if (st != NN_OK) return st;
    to->rule = true;
    to->ordinal = stage->ordinal;
    memcpy(to->key, stage->key, sizeof to->key);
    memcpy(to->args, stage->args, sizeof to->args);
    to->in = block;
    to->n_in = stage->n_in;
    if (to->n_in) memcpy(to->in, stage->in, to->n_in * sizeof *to->in);
    return NN_OK;
}

/* Room for the rules there are, `more` of them, and the stage's own entry after the last. */
static nn_status pending_room(guard_run *r, size_t more, nn_err *err)
{
    void *block = r->pending;
    const nn_status st = nn_grow(&block, &r->pending_cap, r->n_pending + more + 1, sizeof *r->pending, err);

    r->pending = block;
    return st;
}

nn_status guard_run_rule(guard_run *r, const guard_stage *s, const char *rule, size_t kept, size_t dropped, nn_err *err)
{
    guard_entry e;
    char note[80];
    nn_status st = NN_OK;

    if (s->finished) return NN_OK;
    NN_ASSERT(r->stage_open && s->ordinal == r->ordinal);
    if (rule[0] == '\0' || strlen(rule) >= sizeof e.name) {
        return nn_fail(err, NN_USAGE, "rule '%s': want a name of 1 to %zu bytes", rule, sizeof e.name - 1);
    }
    if ((st = pending_room(r, 1, err)) != NN_OK) return st;
    if ((st = copy_stage(&e, &r->stage, err)) != NN_OK) return st;
    memcpy(e.name, rule, strlen(rule) + 1);
    snprintf(note, sizeof note, "{\"kept\":%zu,\"dropped\":%zu}", kept, dropped);
    if ((st = guard_text_copy(&e.note, note, strlen(note), err)) != NN_OK) {
        guard_entry_free(&e);
        return st;
    }
    r->pending[r->n_pending++] = e;
    return NN_OK;
}

static nn_status check_note(const guard_run *r, const char *note, nn_err *err)
{
    json_error_t why;
    json_t *o = json_loads(note, JSON_REJECT_DUPLICATES, &why);
    const bool good = json_is_object(o) && !strchr(note, '\n');

    json_decref(o);
    if (good) return NN_OK;
    return nn_fail(err, NN_USAGE, "stage %zu %s: note is not a JSON object on one line", r->ordinal, r->stage.name);
}

/* Hashes one output; a file belongs to one stage, so that a finished stage can be trusted at resume. */
static nn_status add_output(guard_run *r, const char *output, nn_err *err)
{
    const size_t head = strlen(r->dir);
    char sha256[NN_SHA256_HEX];
    nn_status st = NN_OK;

    if (strncmp(output, r->dir, head) == 0 && output[head] == '/') output += head + 1;
    if (!guard_path_is_inside(output) || guard_path_is_temp(output)) {
        return nn_fail(err, NN_USAGE, "stage %s: output %s: want a path inside %s", r->stage.name, output, r->dir);
    }
    for (size_t i = 0; i < r->ledger.n; i++) {
        if (!guard_hashes_find(&r->ledger.entry[i].out, output)) continue;
        return nn_fail(err, NN_USAGE, "stage %s: output %s: already an output of stage %zu %s", r->stage.name, output,
                       r->ledger.entry[i].ordinal, r->ledger.entry[i].name);
    }
    if (guard_hashes_find(&r->stage.out, output))
        return nn_fail(err, NN_USAGE, "stage %s: output %s: named twice", r->stage.name, output);
    if ((st = guard_folder_hash(sha256, r->dir, output, err)) != NN_OK) return st;
    return guard_hashes_add(&r->stage.out, output, sha256, err);
}

/* Outputs and metrics length into the pending rules, then the stage itself behind them. */
static nn_status seal(guard_run *r, const char *const *output, size_t n_output, const char *note, uint64_t tokens,
                      nn_err *err)
{
    nn_status st = NN_OK;

    guard_hashes_free(&r->stage.out);
    for (size_t i = 0; i < n_output; i++) {
        if ((st = add_output(r, output[i], err)) != NN_OK) return st;
    }
    nn_free(r->stage.note);
    r->stage.note = NULL;
    if (note && (st = guard_text_copy(&r->stage.note, note, strlen(note), err)) != NN_OK) return st;
    r->stage.tokens = tokens;
    r->stage.metrics = r->metrics_len;
    for (size_t i = 0; i < r->n_pending; i++) {
        guard_entry *e = r->pending + i;

        guard_hashes_free(&e->out);
        e->metrics = r->metrics_len;
        for (size_t k = 0; k < n_output; k++) {
            const guard_hash *f = r->stage.out.at + k;

            if ((st = guard_hashes_add(&e->out, f->path, f->sha256, err)) != NN_OK) return st;
        }
    }
    return pending_room(r, 0, err);
}

nn_status guard_run_stage_end(guard_run *r, guard_stage *s, const char *const *output, size_t n_output,
                              const char *note, uint64_t tokens, nn_err *err)
{
    nn_status st = NN_OK;

    if (s->finished) return NN_OK;
    NN_ASSERT(r->stage_open && s->ordinal == r->ordinal);
    if (note && (st = check_note(r, note, err)) != NN_OK) return st;
    if (r->late.status != NN_OK) return nn_fail(err, r->late.status, "%s", r->late.text);
    if ((st = guard_run_metrics_flush(r, err)) != NN_OK) return st;
    if ((st = seal(r, output, n_output, note, tokens, err)) != NN_OK) return st;

    r->pending[r->n_pending++] = r->stage;
    memset(&r->stage, 0, sizeof r->stage);
    if ((st = guard_ledger_append(&r->ledger, r->ledger_path, r->pending, r->n_pending, err)) != NN_OK) {
        r->stage = r->pending[--r->n_pending];
        return st;
    }
    guard_run_stage_drop(r);
    guard_run_head(r, r->m.head, &r->m.count);
    if ((st = guard_manifest_write(&r->m, r->dir, err)) != NN_OK) return st;
    return guard_run_checkpoints_remove(r, NULL, err);
}
