/* audit.c - is this run folder what the run left, byte for byte?
 *
 * Reads: ledger.h, manifest.h, folder.h.   Read next: lineage.c.
 * Why not guard_ledger_read: resume stops at the first broken link, an audit goes on and names all of them. An entry's
 * number and the hash it expects before it are looked at apart, so that one altered line gives one finding, and so does
 * one that moved.
 */
#include "guard/ledger.h"
#include "guard/manifest.h"
#include "guard/run.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

#define LEDGER_FILE "ledger.jsonl"
#define LEDGER_MAX_BYTES ((size_t)1 << 30)

typedef struct {
    guard_buf *out;
    size_t *bad;
    const char *dir;
    guard_manifest m;
    guard_ledger lines; /* in the order of the file; a line that cannot be read has no name */
    guard_hashes files; /* what stands in the folder */
} audit;

/* The rest of a finding's line, after its object, is written by the caller. */
static void finding(audit *a, const char *object)
{
    guard_buf_fmt(a->out, "%s: ", object);
    ++*a->bad;
}

static void found_expected(audit *a, const char *path, const char *found, const char *expected)
{
    finding(a, path);
    guard_buf_fmt(a->out, "SHA-256 %s, want %s", found, expected);
}

/* --- the chain ---------------------------------------------------------------------------- */

static nn_status read_line(audit *a, const char *line, size_t len, size_t number, nn_err *err)
{
    guard_ledger *l = &a->lines;
    void *block = l->entry;
    nn_err why = {NN_OK, ""};
    char where[64];
    guard_entry e;
    nn_status st = nn_grow(&block, &l->cap, l->n + 1, sizeof *l->entry, err);

    l->entry = block;
    if (st != NN_OK) return st;
    snprintf(where, sizeof where, "entry %zu: altered", number);
    st = guard_entry_parse(&e, line, len, where, &why);
    if (st == NN_LIMIT) return nn_fail(err, st, "%s", why.text);
    if (st != NN_OK) {
        finding(a, LEDGER_FILE);
        guard_buf_fmt(a->out, "%s\n", why.text);
        e.n = number; /* in its place, so that the lines after it are in order */
    }
    l->entry[l->n++] = e;
    return NN_OK;
}

static nn_status read_ledger(audit *a, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    size_t number = 1;
    char *path = NULL;
    nn_status st = guard_path_join(&path, a->dir, LEDGER_FILE, err);

    if (st != NN_OK || !nn_path_exists(path)) goto done;
    if ((st = nn_file_read(&file, path, LEDGER_MAX_BYTES, err)) != NN_OK) goto done;
    for (size_t at = 0; at < file.len && st == NN_OK; number++) {
        const char *line = (const char *)file.bytes + at;
        const char *end = memchr(line, '\n', file.len - at);

        if (!end) {
            finding(a, LEDGER_FILE);
            guard_buf_fmt(a->out, "line %zu: truncated: %zu bytes without a line end\n", number, file.len - at);
            break;
        }
        const size_t len = (size_t)(end - line);
        st = read_line(a, line, len, number, err);
        at += len + 1;
    }
done:
    nn_file_close(&file);
    nn_free(path);
    return st;
}

static const guard_entry *entry_numbered(const guard_ledger *l, size_t n)
{
    if (n >= 1 && n <= l->n && l->entry[n - 1].n == n) return l->entry + n - 1;
    for (size_t i = 0; i < l->n; i++) {
        if (l->entry[i].n == n) return l->entry + i;
    }
    return NULL;
}

/* Numbers count up by one; each entry's prev is the hash of the entry numbered one below, wherever that stands. */
static void check_chain(audit *a)
{
    const guard_ledger *l = &a->lines;
    size_t want = 1;

    for (size_t i = 0; i < l->n; i++) {
        const guard_entry *e = l->entry + i, *before = entry_numbered(l, e->n - 1);
        const char *prev = e->n == 1 ? guard_ledger_first : before && before->name[0] ? before->sha256 : NULL;

        if (e->n != want) {
            finding(a, LEDGER_FILE);
            if (e->n > want)
                guard_buf_fmt(a->out, "entry %zu: out of order: stands where entry %zu is expected\n", e->n, want);
            else guard_buf_fmt(a->out, "entry %zu: out of order: stands after entry %zu\n", e->n, want - 1);
        }
        if (e->n >= want) want = e->n + 1;
        if (!e->name[0] || !prev || strcmp(prev, e->prev) == 0) continue;
        finding(a, LEDGER_FILE);
        guard_buf_fmt(a->out, "entry %zu: altered: SHA-256 %s, want %s as entry %zu says\n", e->n - 1, prev, e->prev,
                      e->n);
    }
}

/* The last entry has no follower to vouch for it; run.json does. */
static void check_head(audit *a)
{
    const guard_ledger *l = &a->lines;
    const guard_entry *last = a->m.count ? entry_numbered(l, a->m.count) : NULL;

    if (l->n < a->m.count) {
        finding(a, LEDGER_FILE);
        guard_buf_fmt(a->out, "truncated: %zu entries, want %zu as run.json says\n", l->n, a->m.count);
    } else if (a->m.finished && l->n > a->m.count) {
        finding(a, LEDGER_FILE);
        guard_buf_fmt(a->out, "%zu entries, want %zu as run.json says\n", l->n, a->m.count);
    }
    if (!last || !last->name[0] || strcmp(last->sha256, a->m.head) == 0) return;
    finding(a, LEDGER_FILE);
    guard_buf_fmt(a->out, "entry %zu: altered: SHA-256 %s, want %s as run.json says\n", last->n, last->sha256,
                  a->m.head);
}

/* --- the files ---------------------------------------------------------------------------- */

/* One recorded file against what stands there; `by` says who recorded it. */
static void check_file(audit *a, const guard_hash *want, const char *by, size_t n)
{
    const guard_hash *have = guard_hashes_find(&a->files, want->path);

    if (have && strcmp(have->sha256, want->sha256) == 0) return;
    if (have) {
        found_expected(a, want->path, have->sha256, want->sha256);
    } else {
        finding(a, want->path);
        guard_buf_fmt(a->out, "missing, want SHA-256 %s", want->sha256);
    }
    if (n) guard_buf_fmt(a->out, " as %s %zu says\n", by, n);
    else guard_buf_fmt(a->out, " as %s says\n", by);
}

static void check_files(audit *a)
{
    const guard_hashes *lists[] = {&a->m.scripts, &a->m.files};

    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        for (size_t i = 0; i < lists[k]->n; i++) check_file(a, lists[k]->at + i, GUARD_MANIFEST_FILE, 0);
    }
    for (size_t i = 0; i < a->lines.n; i++) {
        const guard_entry *e = a->lines.entry + i;

        for (size_t k = 0; k < e->out.n && !e->rule; k++)
            check_file(a, e->out.at + k, "ledger entry", e->n); /* rules repeat them */
    }
}

static bool is_recorded(const audit *a, const char *path)
{
    if (strcmp(path, GUARD_MANIFEST_FILE) == 0 || strcmp(path, LEDGER_FILE) == 0) return true;
    if (guard_hashes_find(&a->m.scripts, path) || guard_hashes_find(&a->m.files, path)) return true;
    for (size_t i = 0; i < a->lines.n; i++) {
        if (guard_hashes_find(&a->lines.entry[i].out, path)) return true;
    }
    return false;
}

/* A run that is not finished may hold outputs that are not committed yet. */
static void check_unexpected(audit *a)
{
    for (size_t i = 0; i < a->files.n && a->m.finished; i++) {
        if (is_recorded(a, a->files.at[i].path)) continue;
        finding(a, a->files.at[i].path);
        guard_buf_str(a->out, "unexpected: neither the ledger nor run.json names it\n");
    }
}

nn_status guard_audit(guard_buf *out, size_t *bad, const char *dir, nn_err *err)
{
    nn_err why = {NN_OK, ""};
    audit a;
    nn_status st = NN_OK;

    memset(&a, 0, sizeof a);
    a.out = out;
    a.bad = bad;
    a.dir = dir;
    *bad = 0;
    if ((st = guard_folder_list(&a.files, dir, true, err)) != NN_OK) goto done;
    if (!guard_hashes_find(&a.files, GUARD_MANIFEST_FILE)) {
        st = nn_fail(err, NN_FILE, "%s: no %s, want a run folder", dir, GUARD_MANIFEST_FILE);
        goto done;
    }
    st = guard_manifest_read(&a.m, dir, &why);
    if (st == NN_LIMIT) {
        nn_fail(err, st, "%s", why.text);
        goto done;
    }
    const bool readable = st == NN_OK;
    if (!readable) {
        finding(&a, GUARD_MANIFEST_FILE);
        guard_buf_fmt(out, "%s\n", why.text);
    }
    if ((st = read_ledger(&a, err)) != NN_OK) goto done;
    check_chain(&a);
    if (readable) check_head(&a);
    check_files(&a);
    check_unexpected(&a);
    st = guard_buf_status(out, err);
done:
    guard_hashes_free(&a.files);
    guard_ledger_free(&a.lines);
    guard_manifest_free(&a.m);
    return st;
}

/* --- two folders -------------------------------------------------------------------------- */

/* Where two files part: byte offset, line and column. Their hashes differ already. */
static nn_status first_difference(guard_buf *out, const char *dir_a, const char *dir_b, const char *path, nn_err *err)
{
    nn_file a = {NULL, 0, NULL, NULL}, b = {NULL, 0, NULL, NULL};
    char *path_a = NULL, *path_b = NULL;
    size_t at = 0, line = 1, start = 0;
    nn_status st = NN_OK;

    if ((st = guard_path_join(&path_a, dir_a, path, err)) != NN_OK) goto done;
    if ((st = guard_path_join(&path_b, dir_b, path, err)) != NN_OK) goto done;
    if ((st = nn_file_open(&a, path_a, err)) != NN_OK) goto done;
    if ((st = nn_file_open(&b, path_b, err)) != NN_OK) goto done;
    for (; at < a.len && at < b.len && a.bytes[at] == b.bytes[at]; at++) {
        if (a.bytes[at] != '\n') continue;
        line++;
        start = at + 1;
    }
    guard_buf_fmt(out, "%s: differs from byte %zu (line %zu, column %zu); %zu and %zu bytes\n", path, at, line,
                  at - start + 1, a.len, b.len);
done:
    nn_file_close(&a);
    nn_file_close(&b);
    nn_free(path_a);
    nn_free(path_b);
    return st;
}

nn_status guard_audit_compare(guard_buf *out, size_t *bad, const char *a, const char *b, nn_err *err)
{
    guard_hashes in_a = {NULL, 0, 0}, in_b = {NULL, 0, 0};
    size_t i = 0, k = 0;
    nn_status st = NN_OK;

    *bad = 0;
    if ((st = guard_folder_list(&in_a, a, true, err)) != NN_OK) goto done;
    if ((st = guard_folder_list(&in_b, b, true, err)) != NN_OK) goto done;
    while ((i < in_a.n || k < in_b.n) && st == NN_OK) { /* both lists are sorted */
        const int order = i == in_a.n ? 1 : k == in_b.n ? -1 : strcmp(in_a.at[i].path, in_b.at[k].path);

        if (order < 0) guard_buf_fmt(out, "%s: only in %s\n", in_a.at[i].path, a);
        else if (order > 0) guard_buf_fmt(out, "%s: only in %s\n", in_b.at[k].path, b);
        const bool differ = order == 0 && strcmp(in_a.at[i].sha256, in_b.at[k].sha256) != 0;
        if (differ) st = first_difference(out, a, b, in_a.at[i].path, err);
        if (differ || order != 0) ++*bad;
        i += order <= 0;
        k += order >= 0;
    }
    if (st == NN_OK) st = guard_buf_status(out, err);
done:
    guard_hashes_free(&in_a);
    guard_hashes_free(&in_b);
    return st;
}

/* SHA-256 over "<sha256>  <path>\n" of every reproducible file, sorted by path: what sha256sum prints. */
nn_status guard_run_identity(char sha256[65], const char *dir, nn_err *err)
{
    guard_hashes files = {NULL, 0, 0};
    nn_sha256 s;
    nn_status st = guard_folder_list(&files, dir, true, err);

    sha256[0] = '\0';
    nn_sha256_init(&s);
    for (size_t i = 0; i < files.n && st == NN_OK; i++) {
        nn_sha256_add(&s, files.at[i].sha256, 64);
        nn_sha256_add(&s, "  ", 2);
        nn_sha256_add(&s, files.at[i].path, strlen(files.at[i].path));
        nn_sha256_add(&s, "\n", 1);
    }
    if (st == NN_OK) nn_sha256_end_hex(&s, sha256);
    guard_hashes_free(&files);
    return st;
}
