#include "guard/pairs.h"
#include "guard/import.h"
#include "nn/arena.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *id;
    size_t row;
} entry;

static int by_id(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int c = strcmp(x->id, y->id);

    return c ? c : (x->row > y->row) - (x->row < y->row);
}

nn_status guard_pairs_open(guard_pairs *p, const guard_corpus *c, nn_err *err)
{
    void *entries = NULL, *rows = NULL;
    nn_status st = NN_OK;

    *p = (guard_pairs){c, NULL};
    if ((st = nn_alloc(&entries, c->n + 1, sizeof(entry), err)) != NN_OK) goto done;
    if ((st = nn_alloc(&rows, c->n + 1, sizeof(size_t), err)) != NN_OK) goto done;
    entry *e = entries;
    for (size_t i = 0; i < c->n; i++) e[i] = (entry){c->row[i].id, i};
    qsort(e, c->n, sizeof *e, by_id);
    p->by_id = rows;
    for (size_t i = 0; i < c->n; i++) p->by_id[i] = e[i].row;
done:
    nn_free(entries);
    return st;
}

void guard_pairs_close(guard_pairs *p)
{
    nn_free(p->by_id);
    *p = (guard_pairs){NULL, NULL};
}

static size_t row_of(const guard_pairs *p, const char *id, size_t len)
{
    size_t low = 0, high = p->c->n;

    if (len != GUARD_ID_LEN - 1) return GUARD_NO_ROW;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (memcmp(p->c->row[p->by_id[mid]].id, id, len) < 0) low = mid + 1;
        else high = mid;
    }
    if (low == p->c->n || memcmp(p->c->row[p->by_id[low]].id, id, len) != 0) return GUARD_NO_ROW;
    return p->by_id[low];
}

size_t guard_pairs_partner(const guard_pairs *p, size_t row)
{
    const guard_text *list = &p->c->row[row].parents;

    for (size_t at = 0; list->s && at < list->n;) {
        const char *comma = memchr(list->s + at, ',', list->n - at);
        const size_t len = comma ? (size_t)(comma - list->s) - at : list->n - at;
        const size_t parent = row_of(p, list->s + at, len);

        if (parent != GUARD_NO_ROW && p->c->row[parent].label == GUARD_UNSAFE) return parent;
        at += len + 1;
    }
    return GUARD_NO_ROW;
}

/* "kind" as a column, else as an unknown field of the file. */
static bool is_marked(const guard_corpus *c, size_t row)
{
    const guard_column *col = guard_corpus_find(c, "kind");
    const guard_text *extra = &c->row[row].extra;
    guard_members m;

    if (col && col->kind == GUARD_COL_STR && col->str[row].s) return guard_text_is(col->str[row], "twin");
    if (!extra->s) return false;
    guard_members_open(&m, extra->s, extra->n);
    while (guard_members_next(&m)) {
        if (guard_text_is(m.key, "\"kind\"")) return guard_text_is(m.value, "\"twin\"");
    }
    return false;
}

bool guard_pairs_is_twin(const guard_pairs *p, size_t row)
{
    if (p->c->row[row].label != GUARD_SAFE) return false;
    return guard_pairs_partner(p, row) != GUARD_NO_ROW || is_marked(p->c, row);
}
