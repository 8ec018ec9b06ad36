/* augment_group.c - which seeds belong together: an unsafe request, its safe twin, an ordinary request. */
#include "guard/augment_impl.h"
#include "guard/import.h"
#include "nn/arena.h"
#include <stdlib.h>
#include <string.h>

bool guard_row_is_in(const guard_row *r, const char *lang)
{
    const char *want = lang ? lang : "en";
    const guard_text own = r->lang.s && r->lang.n > 0 ? r->lang : (guard_text){"en", 2};
    const size_t n = strlen(want);

    return own.n >= n && memcmp(own.s, want, n) == 0 && (own.n == n || own.s[n] == '-');
}

static bool usable(const guard_row *r)
{
    return (r->label == GUARD_UNSAFE || r->label == GUARD_SAFE) && !r->response.s && r->text.n > 0;
}

/* --- ordinary rows find a pair of their concept ------------------------------------------- */

typedef struct {
    const guard_row *r;
    size_t at; /* row of an ordinary one, group of an unsafe one */
} candidate;

static int compare_text(guard_text a, guard_text b)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int c = n ? memcmp(a.s, b.s, n) : 0;

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_subject(const guard_row *a, const guard_row *b)
{
    const int c = compare_text(a->concept, b->concept);
    return c ? c : compare_text(a->lang, b->lang);
}

static int by_subject(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    int c = compare_subject(x->r, y->r);

    if (!c) c = strcmp(x->r->id, y->r->id);
    return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* The k-th ordinary row of a concept and language joins the k-th unsafe one, in the order of ids. */
static void join_ordinary(guard_group *group, bool *placed, candidate *unsafe, size_t n_unsafe, candidate *ordinary,
                          size_t n_ordinary)
{
    qsort(unsafe, n_unsafe, sizeof *unsafe, by_subject);
    qsort(ordinary, n_ordinary, sizeof *ordinary, by_subject);
    for (size_t u = 0, o = 0; u < n_unsafe && o < n_ordinary;) {
        const int c = compare_subject(unsafe[u].r, ordinary[o].r);

        if (c == 0 && ordinary[o].r->concept.n > 0) {
            group[unsafe[u].at].row[GUARD_MEMBER_ORDINARY] = ordinary[o].at;
            placed[ordinary[o].at] = true;
        }
        u += c <= 0;
        o += c >= 0;
    }
}

/* --- all groups --------------------------------------------------------------------------- */

typedef struct {
    const guard_corpus *c;
    guard_pairs pairs;
    guard_group *group;
    size_t n;
    size_t *group_of; /* of an unsafe row */
    bool *placed;     /* row stands in a group */
} finder;

static void add_group(finder *f, size_t member, size_t row)
{
    guard_group g = {{GUARD_NO_ROW, GUARD_NO_ROW, GUARD_NO_ROW}, row};

    g.row[member] = row;
    f->group_of[row] = f->n;
    f->group[f->n++] = g;
    f->placed[row] = true;
}

static void place_unsafe(finder *f)
{
    for (size_t i = 0; i < f->c->n; i++) {
        if (f->c->row[i].label == GUARD_UNSAFE && usable(&f->c->row[i])) add_group(f, GUARD_MEMBER_UNSAFE, i);
    }
}

/* In the order of ids, so that the first of several twins is always the same one. */
static void place_twins(finder *f)
{
    for (size_t k = 0; k < f->c->n; k++) {
        const size_t row = f->pairs.by_id[k];

        if (f->c->row[row].label != GUARD_SAFE || !usable(&f->c->row[row])) continue;
        const size_t partner = guard_pairs_partner(&f->pairs, row);
        if (partner == GUARD_NO_ROW || !f->placed[partner]) continue;
        size_t *twin = &f->group[f->group_of[partner]].row[GUARD_MEMBER_TWIN];
        if (*twin != GUARD_NO_ROW) continue;
        *twin = row;
        f->placed[row] = true;
    }
}

static nn_status place_ordinary(finder *f, nn_err *err)
{
    void *unsafe = NULL, *ordinary = NULL;
    size_t n_ordinary = 0;
    nn_status st = NN_OK;

    if ((st = nn_alloc(&unsafe, f->n + 1, sizeof(candidate), err)) != NN_OK) goto done;
    if ((st = nn_alloc(&ordinary, f->c->n + 1, sizeof(candidate), err)) != NN_OK) goto done;
    candidate *u = unsafe, *o = ordinary;
    for (size_t g = 0; g < f->n; g++) u[g] = (candidate){&f->c->row[f->group[g].leader], g};
    for (size_t i = 0; i < f->c->n; i++) {
        if (f->placed[i] || !usable(&f->c->row[i]) || guard_pairs_is_twin(&f->pairs, i)) continue;
        o[n_ordinary++] = (candidate){&f->c->row[i], i};
    }
    join_ordinary(f->group, f->placed, u, f->n, o, n_ordinary);
done:
    nn_free(unsafe);
    nn_free(ordinary);
    return st;
}

static void place_lone(finder *f)
{
    for (size_t i = 0; i < f->c->n; i++) {
        if (f->placed[i] || !usable(&f->c->row[i])) continue;
        add_group(f, guard_pairs_is_twin(&f->pairs, i) ? GUARD_MEMBER_TWIN : GUARD_MEMBER_ORDINARY, i);
    }
}

nn_status guard_groups_find(guard_group **out, size_t *n, const guard_corpus *c, nn_err *err)
{
    finder f = {c, {NULL, NULL}, NULL, 0, NULL, NULL};
    void *group = NULL, *group_of = NULL, *placed = NULL;
    nn_status st = NN_OK;

    *out = NULL;
    *n = 0;
    if ((st = guard_pairs_open(&f.pairs, c, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&group, c->n + 1, sizeof *f.group, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&group_of, c->n + 1, sizeof *f.group_of, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&placed, c->n + 1, sizeof *f.placed, err)) != NN_OK) goto done;
    f.group = group;
    f.group_of = group_of;
    f.placed = placed;
    place_unsafe(&f);
    place_twins(&f);
    if ((st = place_ordinary(&f, err)) != NN_OK) goto done;
    place_lone(&f);
    *out = f.group;
    *n = f.n;
    group = NULL; /* moved to the caller */
done:
    nn_free(group);
    nn_free(group_of);
    nn_free(placed);
    guard_pairs_close(&f.pairs);
    return st;
}
