#include "guard/run.h"
#include "guard/run_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

#define DIR_MAX 300 /* so that every path inside fits RUN_PATH_MAX */
#define SCRIPT_MAX_BYTES ((size_t)16 << 20)

/* --- what stands in a folder -------------------------------------------------------------- */

/* True when dir is absent, empty, or holds only what a kill left before the first file was whole. */
static nn_status no_run_yet(bool *yes, const char *dir, nn_err *err)
{
    char **name = NULL;
    size_t n = 0;
    nn_status st = NN_OK;

    *yes = true;
    if (!nn_path_exists(dir)) return NN_OK;
    if ((st = nn_dir_list(&name, &n, dir, err)) != NN_OK) return st;
    for (size_t i = 0; i < n; i++) {
        const bool ours = strncmp(name[i], GUARD_MANIFEST_FILE, sizeof GUARD_MANIFEST_FILE - 1) == 0;

        if (!ours || !guard_path_is_temp(name[i])) *yes = false;
        nn_free(name[i]);
    }
    nn_free(name);
    return NN_OK;
}

nn_status guard_run_saved_read(guard_run_saved *s, bool *found, const char *dir, nn_err *err)
{
    guard_manifest m;
    bool none = false;
    nn_status st = NN_OK;

    memset(s, 0, sizeof *s);
    *found = false;
    if ((st = no_run_yet(&none, dir, err)) != NN_OK || none) return st;
    if ((st = guard_manifest_read(&m, dir, err)) != NN_OK) return st;
    *s = (guard_run_saved){m.script, m.set, m.n_set, m.seed, m.finished};
    *found = true;
    m.script = NULL; /* moved */
    m.set = NULL;
    m.n_set = 0;
    guard_manifest_free(&m);
    return NN_OK;
}

void guard_run_saved_free(guard_run_saved *s)
{
    nn_free(s->script);
    for (size_t i = 0; i < s->n_set; i++) nn_free(s->set[i]);
    nn_free(s->set);
    memset(s, 0, sizeof *s);
}

/* Removes what killed writes left beside their targets, in every part of the folder. */
static nn_status sweep(const char *dir, nn_err *err)
{
    guard_hashes files = {NULL, 0, 0};
    nn_status st = guard_folder_list(&files, dir, false, err);

    for (size_t i = 0; i < files.n && st == NN_OK; i++) {
        char *path = NULL;

        if (!guard_path_is_temp(files.at[i].path)) continue;
        if ((st = guard_path_join(&path, dir, files.at[i].path, err)) != NN_OK) break;
        if (remove(path) != 0) st = nn_fail(err, NN_FILE, "%s: left by a killed run and cannot be removed", path);
        nn_free(path);
    }
    guard_hashes_free(&files);
    return st;
}

/* --- open --------------------------------------------------------------------------------- */

static nn_status start(guard_run *r, const guard_run_options *o, nn_err *err)
{
    nn_status st = NN_OK;

    if (!o->script) return nn_fail(err, NN_USAGE, "%s: no run to resume there, and no script to start", r->dir);
    if ((st = guard_manifest_init(&r->m, o->script, o->set, o->n_set, o->seed, err)) != NN_OK) return st;
    if ((st = nn_dir_make(r->dir, err)) != NN_OK) return st;
    if ((st = sweep(r->dir, err)) != NN_OK) return st;
    if ((st = guard_manifest_write(&r->m, r->dir, err)) != NN_OK) return st;
    return guard_machine_open(&r->machine, r->dir, false, err);
}

/* A resumed run must be asked for the same thing: nothing else could give the same bytes. */
static nn_status check_options(const guard_run *r, const guard_run_options *o, nn_err *err)
{
    const char *slash = o->script ? strrchr(o->script, '/') : NULL;
    const char *script = slash ? slash + 1 : o->script;

    if (script && strcmp(script, r->m.script) != 0) {
        return nn_fail(err, NN_USAGE, "%s: holds a run of %s, asked to resume %s", r->dir, r->m.script, script);
    }
    if (o->seed != r->m.seed) {
        return nn_fail(err, NN_USAGE, "%s: its seed is %llu, asked for %llu", r->dir, (unsigned long long)r->m.seed,
                       (unsigned long long)o->seed);
    }
    for (size_t i = 0; i < o->n_set || i < r->m.n_set; i++) {
        const char *now = i < o->n_set ? o->set[i] : "nothing", *was = i < r->m.n_set ? r->m.set[i] : "nothing";

        if (strcmp(now, was) != 0)
            return nn_fail(err, NN_USAGE, "%s: --set %zu was %s, asked for %s", r->dir, i + 1, was, now);
    }
    return NN_OK;
}

/* Ledger against run.json, which lags behind by at most the last stage; then metrics against the ledger. */
static nn_status check_trail(const guard_run *r, nn_err *err)
{
    const guard_ledger *l = &r->ledger;
    const uint64_t recorded = l->n ? l->entry[l->n - 1].metrics : 0;
    uint64_t len = 0;
    nn_status st = NN_OK;

    if (l->n < r->m.count || (r->m.finished && l->n > r->m.count)) {
        return nn_fail(err, NN_FILE, "%s: %zu entries, want %zu as in run.json", r->ledger_path, l->n, r->m.count);
    }
    const char *head = r->m.count ? l->entry[r->m.count - 1].sha256 : guard_ledger_first;
    if (strcmp(head, r->m.head) != 0) {
        return nn_fail(err, NN_FILE, "%s: entry %zu: has hash %.12s, want %.12s as in run.json: altered",
                       r->ledger_path, r->m.count, head, r->m.head);
    }
    if ((st = guard_run_metrics_size(r, &len, err)) != NN_OK) return st;
    if (len >= recorded) return NN_OK;
    return nn_fail(err, NN_FILE, "%s: %llu bytes, want at least %llu as in the ledger", r->metrics_path,
                   (unsigned long long)len, (unsigned long long)recorded);
}

static nn_status resume(guard_run *r, const guard_run_options *o, nn_err *err)
{
    uint64_t len = 0;
    nn_status st = NN_OK;

    if ((st = guard_manifest_read(&r->m, r->dir, err)) != NN_OK) return st;
    if ((st = check_options(r, o, err)) != NN_OK) return st;
    if ((st = guard_ledger_read(&r->ledger, r->ledger_path, err)) != NN_OK) return st;
    if ((st = check_trail(r, err)) != NN_OK) return st;
    void *seen = NULL;
    st = nn_alloc(&seen, r->m.inputs.n, 1, err);
    r->input_seen = seen;
    r->input_cap = r->m.inputs.n;
    if (st != NN_OK || r->m.finished) return st;

    if ((st = sweep(r->dir, err)) != NN_OK) return st;
    if (nn_path_exists(r->ledger_path)) {
        if ((st = nn_file_size(r->ledger_path, &len, err)) != NN_OK) return st;
        if (len > r->ledger.bytes && (st = nn_file_truncate(r->ledger_path, r->ledger.bytes, err)) != NN_OK) return st;
    }
    return guard_machine_open(&r->machine, r->dir, true, err);
}

static nn_status make_paths(guard_run *r, const char *dir, nn_err *err)
{
    size_t len = strlen(dir);
    nn_status st = NN_OK;

    while (len > 1 && dir[len - 1] == '/') len--;
    if (len == 0 || len > DIR_MAX)
        return nn_fail(err, NN_USAGE, "run folder: a path of %zu bytes, want 1 to %d", len, DIR_MAX);
    if ((st = guard_text_copy(&r->dir, dir, len, err)) != NN_OK) return st;
    if ((st = guard_path_join(&r->ledger_path, r->dir, "ledger.jsonl", err)) != NN_OK) return st;
    if ((st = guard_path_join(&r->metrics_path, r->dir, "metrics.jsonl", err)) != NN_OK) return st;
    return guard_path_join(&r->timing_path, r->dir, "timing.jsonl", err);
}

nn_status guard_run_open(guard_run **out, const guard_run_options *o, nn_err *err)
{
    guard_run *r = NULL;
    void *block = NULL;
    bool none = false;
    nn_status st = NN_OK;

    *out = NULL;
    if ((st = nn_alloc(&block, 1, sizeof *r, err)) != NN_OK) return st;
    r = block;
    if ((st = make_paths(r, o->out, err)) != NN_OK) goto done;
    if ((st = no_run_yet(&none, r->dir, err)) != NN_OK) goto done;
    if (none) st = start(r, o, err);
    else if (o->resume) st = resume(r, o, err);
    else
        st =
            nn_fail(err, NN_USAGE, "%s: not empty, want a new folder, or --resume to go on with the run in it", r->dir);
    if (st != NN_OK) goto done;
    *out = r;
    r = NULL;
done:
    guard_run_close(r);
    return st;
}

void guard_run_close(guard_run *r)
{
    if (!r) return;
    guard_run_stage_drop(r);
    nn_free(r->pending);
    guard_buf_free(&r->metrics);
    guard_machine_free(&r->machine);
    guard_ledger_free(&r->ledger);
    guard_manifest_free(&r->m);
    nn_free(r->input_seen);
    nn_free(r->timing_path);
    nn_free(r->metrics_path);
    nn_free(r->ledger_path);
    nn_free(r->dir);
    nn_free(r);
}

const char *guard_run_dir(const guard_run *r)
{
    return r->dir;
}

uint64_t guard_run_seed(const guard_run *r)
{
    return r->m.seed;
}

bool guard_run_done(const guard_run *r)
{
    return r->m.finished;
}

void guard_run_head(const guard_run *r, char sha256[65], size_t *count)
{
    memcpy(sha256, guard_ledger_head(&r->ledger), NN_SHA256_HEX);
    *count = r->ledger.n;
}

void guard_run_on_progress(guard_run *r, bool (*progress)(void *ctx, uint64_t done, uint64_t total, const char *unit),
                           void *ctx)
{
    r->progress = progress;
    r->progress_ctx = ctx;
}

/* --- scripts and inputs ------------------------------------------------------------------- */

/* Writes scripts/NAME and its hash into run.json; the list stays sorted, so it does not depend on who requires whom
 * first. */
static nn_status save_script(guard_run *r, const char *path, const char *bytes, size_t len, const char *sha256,
                             nn_err *err)
{
    guard_hashes *h = &r->m.scripts;
    char *full = NULL;
    nn_status st = guard_path_join(&full, r->dir, path, err);

    if (st == NN_OK) {
        char *slash = strrchr(full, '/');

        *slash = '\0';
        st = nn_dir_make(full, err);
        *slash = '/';
    }
    if (st == NN_OK) st = nn_file_write(full, bytes, len, err);
    nn_free(full);
    if (st != NN_OK || (st = guard_hashes_add(h, path, sha256, err)) != NN_OK) return st;
    for (size_t i = h->n - 1; i > 0 && strcmp(h->at[i].path, h->at[i - 1].path) < 0; i--) {
        const guard_hash swap = h->at[i];

        h->at[i] = h->at[i - 1];
        h->at[i - 1] = swap;
    }
    return guard_manifest_write(&r->m, r->dir, err);
}

static nn_status script_path(char **out, const char *name, nn_err *err)
{
    *out = NULL;
    if (guard_path_is_inside(name) && !guard_path_is_temp(name)) return guard_path_join(out, "scripts", name, err);
    return nn_fail(err, NN_USAGE, "script %s: not a plain relative path", name);
}

nn_status guard_run_script(guard_run *r, const char *name, const char *bytes, size_t len, nn_err *err)
{
    char sha256[NN_SHA256_HEX], *path = NULL;
    nn_status st = script_path(&path, name, err);

    if (st != NN_OK) return st;
    nn_sha256_hex(bytes, len, sha256);
    const guard_hash *saved = guard_hashes_find(&r->m.scripts, path);
    if (saved && strcmp(saved->sha256, sha256) != 0) {
        st = nn_fail(err, NN_USAGE,
                     "%s: edited since the run began (hash %.12s), want the bytes saved as %s/%s (hash %.12s)", name,
                     sha256, r->dir, path, saved->sha256);
    } else if (!saved && r->m.finished) {
        st = nn_fail(err, NN_USAGE, "%s: not among the scripts of the finished run %s", name, r->dir);
    } else if (!saved) {
        st = save_script(r, path, bytes, len, sha256, err);
    }
    nn_free(path);
    return st;
}

/* By path, or, for a bare name, by the last part when only one script has it. */
static const guard_hash *find_script(const guard_run *r, const char *path)
{
    const guard_hashes *h = &r->m.scripts;
    const guard_hash *found = guard_hashes_find(h, path);
    const char *base = strrchr(path, '/');
    size_t n = 0;

    if (found || base != strchr(path, '/')) return found;
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(strrchr(h->at[i].path, '/'), base) != 0) continue;
        found = h->at + i;
        n++;
    }
    return n == 1 ? found : NULL;
}

nn_status guard_run_read_script(const guard_run *r, const char *name, char **bytes, size_t *len, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    char sha256[NN_SHA256_HEX], *path = NULL, *full = NULL;
    nn_status st = NN_OK;

    *bytes = NULL;
    *len = 0;
    if ((st = script_path(&path, name, err)) != NN_OK) goto done;
    const guard_hash *saved = find_script(r, path);
    if (!saved) goto done;
    if ((st = guard_path_join(&full, r->dir, saved->path, err)) != NN_OK) goto done;
    if ((st = nn_file_read(&file, full, SCRIPT_MAX_BYTES, err)) != NN_OK) goto done;
    nn_sha256_hex(file.bytes, file.len, sha256);
    if (strcmp(sha256, saved->sha256) != 0) {
        st = nn_fail(err, NN_USAGE, "%s: edited since the run began: hash %.12s, want %.12s as saved", full, sha256,
                     saved->sha256);
        goto done;
    }
    *len = file.len;
    st = guard_text_copy(bytes, (const char *)file.bytes, file.len, err);
done:
    nn_file_close(&file);
    nn_free(full);
    nn_free(path);
    return st;
}

/* Two inputs may share a base name, so the k-th of a name is compared with the k-th saved one. */
nn_status guard_run_input(guard_run *r, const char *path, const char *sha256, nn_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    guard_hashes *h = &r->m.inputs;
    size_t at = h->n;
    nn_status st = NN_OK;

    if (!guard_is_sha256(sha256))
        return nn_fail(err, NN_USAGE, "%s: hash %s, want 64 hexadecimal digits", path, sha256);
    if (!guard_path_is_inside(name)) return nn_fail(err, NN_USAGE, "%s: want the path of a file", path);
    for (size_t i = h->n; i-- > 0;) {
        if (strcmp(h->at[i].path, name) != 0) continue;
        if (!r->input_seen[i]) at = i; /* ends at the first that waits */
        else if (strcmp(h->at[i].sha256, sha256) == 0) return NN_OK;
    }
    if (at < h->n) {
        if (strcmp(h->at[at].sha256, sha256) != 0) {
            return nn_fail(err, NN_USAGE, "%s: changed since the run %s began: hash %.12s, want %.12s", path, r->dir,
                           sha256, h->at[at].sha256);
        }
        r->input_seen[at] = 1;
        return NN_OK;
    }
    if (r->m.finished) return nn_fail(err, NN_USAGE, "%s: not among the inputs of the finished run %s", path, r->dir);
    void *seen = r->input_seen;
    st = nn_grow(&seen, &r->input_cap, h->n + 1, 1, err);
    r->input_seen = seen;
    if (st != NN_OK || (st = guard_hashes_add(h, name, sha256, err)) != NN_OK) return st;
    r->input_seen[h->n - 1] = 1;
    return guard_manifest_write(&r->m, r->dir, err);
}

/* --- the end ------------------------------------------------------------------------------ */

/* run.json names by hash what neither the ledger nor its list of scripts does. */
static nn_status list_files(guard_run *r, nn_err *err)
{
    guard_hashes all = {NULL, 0, 0};
    nn_status st = guard_folder_list(&all, r->dir, false, err);

    guard_hashes_free(&r->m.files);
    for (size_t i = 0; i < all.n && st == NN_OK; i++) {
        const char *path = all.at[i].path;
        bool known = strcmp(path, GUARD_MANIFEST_FILE) == 0 || strcmp(path, "ledger.jsonl") == 0;
        char sha256[NN_SHA256_HEX];

        known = known || guard_hashes_find(&r->m.scripts, path);
        for (size_t k = 0; k < r->ledger.n && !known; k++)
            known = guard_hashes_find(&r->ledger.entry[k].out, path) != NULL;
        if (known || (st = guard_folder_hash(sha256, r->dir, path, err)) != NN_OK) continue;
        st = guard_hashes_add(&r->m.files, path, sha256, err);
    }
    guard_hashes_free(&all);
    return st;
}

nn_status guard_run_finish(guard_run *r, nn_err *err)
{
    const size_t saved = r->ledger.n ? r->ledger.entry[r->ledger.n - 1].ordinal : 0;
    size_t count = 0;
    nn_status st = NN_OK;

    if (r->stage_open)
        return nn_fail(err, NN_USAGE, "stage %zu %s: not ended, want its end before the run's", r->ordinal,
                       r->stage.name);
    if (r->ordinal != saved) {
        return nn_fail(err, NN_USAGE,
                       "%s: the script asked for %zu stages, the folder holds %zu; want the script it was made with",
                       r->dir, r->ordinal, saved);
    }
    if (r->m.finished) return NN_OK;
    if ((st = guard_run_checkpoints_remove(r, NULL, err)) != NN_OK) return st; /* the empty folder may stay */
    if ((st = list_files(r, err)) != NN_OK) return st;
    r->m.finished = true;
    guard_run_head(r, r->m.head, &count);
    r->m.count = count;
    if ((st = guard_manifest_write(&r->m, r->dir, err)) != NN_OK) r->m.finished = false;
    return st;
}
