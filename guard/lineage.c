/* lineage.c - follows a row of a run through its corpora and back to the seeds it was made from. */
#include "guard/lineage.h"
#include "guard/run.h"
#include "nn/arena.h"
#include <string.h>

#define PREFIX_MIN 4
#define CANDIDATES 8 /* named in the message about an ambiguous prefix */

size_t guard_shelf_find(const guard_shelf *s, const char *id)
{
    for (size_t i = 0; i < s->c->n; i++) {
        if (strcmp(s->c->row[i].id, id) == 0) return i;
    }
    return LINEAGE_NOWHERE;
}

/* The shelf that a stage's n-th output is, or NULL when that is no corpus. */
static const guard_shelf *shelf_of(const guard_line *l, const guard_hash *file)
{
    for (size_t i = 0; i < l->n_shelf; i++) {
        if (l->shelf[i].file == file) return l->shelf + i;
    }
    return NULL;
}

bool guard_line_drops(const guard_line *l, const guard_entry *stage, const char *id)
{
    bool was_there = false, wrote = false;

    for (size_t i = 0; i < stage->out.n; i++) {
        const guard_shelf *s = shelf_of(l, stage->out.at + i);

        if (!s) continue;
        wrote = true;
        if (guard_shelf_find(s, id) != LINEAGE_NOWHERE) return false;
    }
    for (size_t i = 0; i < l->n_shelf && wrote && !was_there; i++) {
        const guard_shelf *s = l->shelf + i;

        for (size_t k = 0; k < stage->n_in && !was_there; k++) {
            was_there = strcmp(stage->in[k], s->file->sha256) == 0 && guard_shelf_find(s, id) != LINEAGE_NOWHERE;
        }
    }
    return was_there;
}

/* --- reading the run ---------------------------------------------------------------------- */

static bool is_corpus(const char *path)
{
    const size_t len = strlen(path);

    return strncmp(path, "corpus/", 7) == 0 && len > 13 && strcmp(path + len - 6, ".jsonl") == 0;
}

static nn_status add_shelf(guard_line *l, const char *dir, const guard_entry *e, const guard_hash *file, nn_err *err)
{
    void *block = l->shelf;
    char *path = NULL;
    nn_status st = nn_grow(&block, &l->shelf_cap, l->n_shelf + 1, sizeof *l->shelf, err);

    l->shelf = block;
    if (st != NN_OK || (st = guard_path_join(&path, dir, file->path, err)) != NN_OK) return st;
    guard_shelf *s = l->shelf + l->n_shelf;
    *s = (guard_shelf){e, file, NULL};
    if ((st = guard_corpus_read(&s->c, path, err)) == NN_OK) l->n_shelf++;
    nn_free(path);
    return st;
}

static nn_status open_line(guard_line *l, const char *dir, nn_err *err)
{
    char *path = NULL;
    nn_status st = guard_path_join(&path, dir, "ledger.jsonl", err);

    if (st == NN_OK) st = guard_ledger_read(&l->ledger, path, err);
    nn_free(path);
    for (size_t i = 0; i < l->ledger.n && st == NN_OK; i++) {
        const guard_entry *e = l->ledger.entry + i;

        for (size_t k = 0; k < e->out.n && !e->rule && st == NN_OK; k++) {
            if (is_corpus(e->out.at[k].path)) st = add_shelf(l, dir, e, e->out.at + k, err);
        }
    }
    if (st == NN_OK && l->n_shelf == 0)
        st = nn_fail(err, NN_FILE, "%s: no corpus in its ledger, want a run folder with rows", dir);
    return st;
}

static void close_line(guard_line *l)
{
    for (size_t i = 0; i < l->n_shelf; i++) guard_corpus_free(l->shelf[i].c);
    nn_free(l->shelf);
    nn_free(l->visit);
    guard_ledger_free(&l->ledger);
}

/* --- which rows --------------------------------------------------------------------------- */

static nn_status add_visit(guard_line *l, const char *id, size_t len, size_t generation, nn_err *err)
{
    void *block = l->visit;
    nn_status st = NN_OK;

    if (len >= GUARD_ID_LEN) return NN_OK; /* not one of our ids */
    for (size_t i = 0; i < l->n_visit; i++) {
        if (strncmp(l->visit[i].id, id, len) == 0 && l->visit[i].id[len] == '\0') return NN_OK;
    }
    st = nn_grow(&block, &l->visit_cap, l->n_visit + 1, sizeof *l->visit, err);
    l->visit = block;
    if (st != NN_OK) return st;
    guard_visit *v = l->visit + l->n_visit++;
    memset(v, 0, sizeof *v);
    memcpy(v->id, id, len);
    v->generation = generation;
    return NN_OK;
}

/* The one id that begins with prefix, as the first visit. */
static nn_status resolve(guard_line *l, const char *dir, const char *prefix, nn_err *err)
{
    const size_t len = strlen(prefix);
    char names[CANDIDATES * (GUARD_ID_LEN + 1) + 8] = "";
    nn_status st = NN_OK;

    if (len < PREFIX_MIN)
        return nn_fail(err, NN_USAGE, "row '%s': want at least %d digits of its id", prefix, PREFIX_MIN);
    for (size_t i = 0; i < l->n_shelf; i++) {
        for (size_t k = 0; k < l->shelf[i].c->n && st == NN_OK; k++) {
            const char *id = l->shelf[i].c->row[k].id;

            if (strncmp(id, prefix, len) == 0) st = add_visit(l, id, strlen(id), 0, err);
        }
    }
    if (st != NN_OK || l->n_visit == 1) return st;
    if (l->n_visit == 0)
        return nn_fail(err, NN_USAGE, "row '%s': no corpus of %s holds an id that begins so", prefix, dir);
    for (size_t i = 0; i < l->n_visit && i < CANDIDATES; i++) {
        strcat(names, " ");
        strcat(names, l->visit[i].id);
    }
    if (l->n_visit > CANDIDATES) strcat(names, " ...");
    return nn_fail(err, NN_USAGE, "row '%s': %zu ids begin so, want one of%s", prefix, l->n_visit, names);
}

/* Parents of every visited row behind it; the list grows while it is walked, and a row is visited once, so circles end.
 */
static nn_status add_parents(guard_line *l, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t v = 0; v < l->n_visit; v++) {
        for (size_t i = 0; i < l->n_shelf; i++) {
            const size_t at = guard_shelf_find(l->shelf + i, l->visit[v].id);
            const guard_text none = {NULL, 0}, p = at == LINEAGE_NOWHERE ? none : l->shelf[i].c->row[at].parents;

            for (size_t from = 0; from < p.n;) {
                const char *comma = memchr(p.s + from, ',', p.n - from);
                const size_t len = comma ? (size_t)(comma - (p.s + from)) : p.n - from;

                if (len && (st = add_visit(l, p.s + from, len, l->visit[v].generation + 1, err)) != NN_OK) return st;
                from += len + 1;
            }
            if (at != LINEAGE_NOWHERE) break; /* rows are immutable: the first place says it all */
        }
    }
    return NN_OK;
}

nn_status guard_lineage(guard_buf *out, const char *dir, const char *id, bool show_text, bool json, nn_err *err)
{
    guard_line l;
    nn_status st = NN_OK;

    memset(&l, 0, sizeof l);
    if ((st = open_line(&l, dir, err)) != NN_OK) goto done;
    if ((st = resolve(&l, dir, id, err)) != NN_OK) goto done;
    if ((st = add_parents(&l, err)) != NN_OK) goto done;
    if (json) guard_line_json(out, &l, show_text);
    else guard_line_text(out, &l, show_text);
    st = guard_buf_status(out, err);
done:
    close_line(&l);
    return st;
}
