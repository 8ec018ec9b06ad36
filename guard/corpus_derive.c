/* corpus_derive.c - corpora made from corpora: chosen rows, two in a row, parts that share no concept. */
#include "guard/corpus.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- rows and columns from one corpus to another -------------------------------------------- */

static const char *kind_name(guard_col_kind kind)
{
    return kind == GUARD_COL_NUM ? "number" : kind == GUARD_COL_BOOL ? "true or false" : "text";
}

/* Values of src's column for rows pick[0..n), which became the rows from `base` on in out. */
static nn_status append_column(guard_corpus *out, size_t base, const guard_column *from, const size_t *pick,
                               size_t n, nn_err *err)
{
    const guard_column *there = guard_corpus_find(out, from->name);
    guard_column *to = there ? &out->col[there - out->col] : NULL;
    nn_status st = NN_OK;

    if (!to) st = guard_corpus_column(out, from->name, from->stage, from->kind, &to, err);
    if (st != NN_OK) return st;
    if (to->kind != from->kind) {
        return nn_fail(err, NN_CONTENT, "column %s: %s in one corpus, %s in the other, want one kind", from->name,
                       kind_name(to->kind), kind_name(from->kind));
    }
    for (size_t i = 0; i < n && st == NN_OK; i++) {
        if (from->kind != GUARD_COL_STR) {
            to->num[base + i] = from->num[pick[i]];
        } else if (from->str[pick[i]].s) {
            st = guard_corpus_set_str(out, to, base + i, from->str[pick[i]].s, from->str[pick[i]].n, err);
        }
    }
    return st;
}

static nn_status append(guard_corpus *out, const guard_corpus *src, const size_t *pick, size_t n, nn_err *err)
{
    const size_t base = out->n;
    nn_status st = NN_OK;

    for (size_t i = 0; i < n && st == NN_OK; i++) {
        NN_ASSERT(pick[i] < src->n);
        st = guard_corpus_add(out, &src->row[pick[i]], err);
    }
    for (size_t i = 0; i < src->n_col && st == NN_OK; i++) {
        st = append_column(out, base, &src->col[i], pick, n, err);
    }
    return st;
}

nn_status guard_corpus_pick(guard_corpus **out, const guard_corpus *c, const size_t *pick, size_t n, nn_err *err)
{
    guard_corpus *made = NULL;
    nn_status st = NN_OK;

    *out = NULL;
    if ((st = guard_corpus_build(&made, err)) != NN_OK) return st;
    if ((st = append(made, c, pick, n, err)) == NN_OK) *out = made;
    else guard_corpus_free(made);
    return st;
}

nn_status guard_corpus_copy(guard_corpus **out, const guard_corpus *c, nn_err *err)
{
    size_t *all = NULL;
    nn_status st = nn_alloc((void **)&all, c->n, sizeof *all, err);

    *out = NULL;
    for (size_t i = 0; st == NN_OK && i < c->n; i++) all[i] = i;
    if (st == NN_OK) st = guard_corpus_pick(out, c, all, c->n, err);
    nn_free(all);
    return st;
}

/* --- rows by id --------------------------------------------------------------------------- */

typedef struct {
    const char *id;
    size_t at;
} id_entry;

static int by_id(const void *a, const void *b)
{
    const id_entry *x = a, *y = b;
    const int c = strcmp(x->id, y->id);

    if (c) return c;
    return (x->at > y->at) - (x->at < y->at);
}

static nn_status index_ids(id_entry **out, const guard_corpus *c, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, c->n, sizeof(id_entry), err);

    *out = block;
    if (st != NN_OK) return st;
    for (size_t i = 0; i < c->n; i++) (*out)[i] = (id_entry){c->row[i].id, i};
    qsort(*out, c->n, sizeof **out, by_id);
    return NN_OK;
}

/* The first row of that id, or SIZE_MAX. */
static size_t row_of_id(const id_entry *index, size_t n, const char *id)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (strcmp(index[mid].id, id) < 0) low = mid + 1;
        else high = mid;
    }
    return low < n && strcmp(index[low].id, id) == 0 ? index[low].at : SIZE_MAX;
}

nn_status guard_corpus_concat(guard_corpus **out, const guard_corpus *a, const guard_corpus *b, nn_err *err)
{
    const size_t most = a->n > b->n ? a->n : b->n;
    guard_corpus *made = NULL;
    id_entry *index = NULL;
    void *block = NULL;
    nn_status st = NN_OK;
    size_t n = 0;

    *out = NULL;
    if ((st = nn_alloc(&block, most, sizeof(size_t), err)) != NN_OK) goto done;
    size_t *pick = block;
    if ((st = index_ids(&index, a, err)) != NN_OK) goto done;
    if ((st = guard_corpus_build(&made, err)) != NN_OK) goto done;

    for (size_t i = 0; i < a->n; i++) pick[i] = i;
    if ((st = append(made, a, pick, a->n, err)) != NN_OK) goto done;
    for (size_t i = 0; i < b->n; i++) {
        if (row_of_id(index, a->n, b->row[i].id) == SIZE_MAX) pick[n++] = i;
    }
    if ((st = append(made, b, pick, n, err)) != NN_OK) goto done;
    *out = made;
    made = NULL;
done:
    guard_corpus_free(made);
    nn_free(index);
    nn_free(block);
    return st;
}

/* --- parts -------------------------------------------------------------------------------- */

/* The row whose id is the key of `row`: itself, or, following first parents that stand in c, the row it
 * comes from: a safe twin follows its unsafe partner, a mutation its seed. A circle ends after c->n steps. */
static size_t root_of(const guard_corpus *c, const id_entry *index, size_t row)
{
    for (size_t step = 0; step < c->n; step++) {
        const guard_text *p = &c->row[row].parents;
        char id[GUARD_ID_LEN] = "";

        if (!p->s || p->n < GUARD_ID_LEN - 1) break;
        memcpy(id, p->s, GUARD_ID_LEN - 1);
        const size_t parent = row_of_id(index, c->n, id);
        if (parent == SIZE_MAX || parent == row) break;
        row = parent;
    }
    return row;
}

static uint64_t key_of(const guard_corpus *c, const id_entry *index, size_t row, bool by_concept)
{
    const guard_text *concept = &c->row[row].concept;

    if (by_concept && concept->s && concept->n) return nn_hash64(concept->s, concept->n, 0);
    return guard_row_hash(&c->row[root_of(c, index, row)]);
}

/* Part of a key: where its draw falls among the shares, laid end to end. */
static size_t part_of(uint64_t key, const double *parts, size_t n_part, uint64_t seed)
{
    nn_rng rng = nn_rng_at(seed, "split", key);
    const double u = nn_rng_double(&rng);
    double end = 0.0;
    size_t last = 0; /* the last part with a share takes what rounding leaves over */

    for (size_t p = 0; p < n_part; p++) {
        end += parts[p];
        if (parts[p] > 0.0) last = p;
        if (u < end) return p;
    }
    return last;
}

static nn_status check_parts(const double *parts, size_t n_part, nn_err *err)
{
    double sum = 0.0;

    for (size_t p = 0; p < n_part; p++) {
        if (!(parts[p] >= 0.0)) return nn_fail(err, NN_USAGE, "split: part %zu is negative, want a share", p + 1);
        sum += parts[p];
    }
    if (!(fabs(sum - 1.0) <= 1e-9)) return nn_fail(err, NN_USAGE, "split: the %zu parts do not sum to 1", n_part);
    return NN_OK;
}

nn_status guard_corpus_split(guard_corpus **out, const guard_corpus *c, const char *by, const double *parts,
                             size_t n_part, uint64_t seed, nn_err *err)
{
    const bool by_concept = by && strcmp(by, "concept") == 0;
    id_entry *index = NULL;
    void *block = NULL;
    nn_status st = NN_OK;

    for (size_t p = 0; p < n_part; p++) out[p] = NULL;
    if (by && !by_concept && strcmp(by, "id") != 0) {
        return nn_fail(err, NN_USAGE, "split: by '%s', want concept or id", by);
    }
    if ((st = check_parts(parts, n_part, err)) != NN_OK) return st;
    if ((st = nn_alloc(&block, 2 * c->n, sizeof(size_t), err)) != NN_OK) goto done;
    size_t *part = block, *pick = part + c->n;
    if ((st = index_ids(&index, c, err)) != NN_OK) goto done;

    for (size_t i = 0; i < c->n; i++) part[i] = part_of(key_of(c, index, i, by_concept), parts, n_part, seed);
    for (size_t p = 0; p < n_part && st == NN_OK; p++) {
        size_t n = 0;
        for (size_t i = 0; i < c->n; i++) {
            if (part[i] == p) pick[n++] = i;
        }
        st = guard_corpus_pick(&out[p], c, pick, n, err);
    }
done:
    for (size_t p = 0; p < n_part && st != NN_OK; p++) {
        guard_corpus_free(out[p]);
        out[p] = NULL;
    }
    nn_free(index);
    nn_free(block);
    return st;
}
