#include "guard/train_impl.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include <math.h>
#include <string.h>

/* What building needs beside the result. */
typedef struct {
    guard_units *u;
    const guard_parts *p;
    guard_windows *windows;
    char *text; /* of one window */
    size_t text_cap;
} builder;

static nn_status add_text(builder *k, const guard_row *row, const int32_t *ids, size_t n, nn_err *err)
{
    guard_window_text t;
    guard_row copy = *row;

    guard_window_decode(&t, k->text, k->text_cap, k->p, guard_windows_form(k->windows), ids, n);
    copy.text = (guard_text){t.text, t.len};
    copy.response = (guard_text){t.response, t.response_len};
    copy.context = copy.ops = copy.extra = (guard_text){NULL, 0};
    return guard_corpus_add(k->u->texts, &copy, err);
}

/* Window i of the row that the windows are of. */
static nn_status add_unit(builder *k, size_t row, size_t i, double weight, nn_err *err)
{
    guard_units *u = k->u;
    const int32_t *ids = NULL;
    size_t n = 0, first = 0, last = 0;
    nn_status st;

    guard_windows_at(k->windows, i, &ids, &n, &first, &last);
    const size_t at = u->start[u->n];
    if ((st = nn_grow((void **)&u->ids, &u->ids_cap, at + n, sizeof *u->ids, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->start, &u->start_cap, u->n + 2, sizeof *u->start, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->row, &u->row_cap, u->n + 1, sizeof *u->row, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->form, &u->form_cap, u->n + 1, sizeof *u->form, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->weight, &u->weight_cap, u->n + 1, sizeof *u->weight, err)) != NN_OK) return st;
    memcpy(u->ids + at, ids, n * sizeof *ids);
    u->row[u->n] = row;
    u->form[u->n] = guard_windows_form(k->windows);
    u->weight[u->n] = weight;
    u->start[++u->n] = at + n;
    return add_text(k, &u->rows->row[row], ids, n, err);
}

/* One window from each eighth of what follows the first, drawn by row; all of them when they are few. */
static nn_status add_more(builder *k, size_t row, double weight, const guard_job *job, nn_err *err)
{
    const size_t others = guard_windows_count(k->windows) - 1,
                 n = others < GUARD_UNITS_MORE ? others : GUARD_UNITS_MORE;
    nn_rng rng = guard_job_rng(job, "windows", guard_row_hash(&k->u->rows->row[row]));
    nn_status st = NN_OK;

    for (size_t j = 0; j < n && st == NN_OK; j++) {
        const size_t begin = j * others / n, span = (j + 1) * others / n - begin;
        const size_t pick = begin + (size_t)nn_rng_below(&rng, span);

        st = add_unit(k, row, 1 + pick, weight / (double)n, err);
    }
    return st;
}

static nn_status add_row(builder *k, size_t i, double weight, bool more, const guard_job *job, nn_err *err)
{
    guard_units *u = k->u;
    const guard_row *row = &u->rows->row[i];
    nn_status st;

    if (row->label == GUARD_LABEL_NONE) return NN_OK;
    if ((st = guard_windows_of(k->windows, k->p, row, err)) != NN_OK) return st;
    if ((st = add_unit(k, i, 0, weight, err)) != NN_OK) return st;
    if (more && row->label == GUARD_SAFE && (st = add_more(k, i, weight, job, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&u->group, &u->group_cap, u->n_group + 2, sizeof *u->group, err)) != NN_OK)
        return st;
    u->group[++u->n_group] = u->n;
    u->n_long += guard_windows_count(k->windows) > 1;
    return NN_OK;
}

nn_status guard_weight_column(const double **out, const guard_corpus *c, const char *name, nn_err *err)
{
    const guard_column *col = name ? guard_corpus_find(c, name) : NULL;

    *out = col && col->kind != GUARD_COL_STR ? col->num : NULL;
    if (name && !*out) return nn_fail(err, NN_CONTENT, "weights: no column of numbers called %s", name);
    return NN_OK;
}

nn_status guard_units_build(guard_units *u, const guard_corpus *c, const guard_parts *p, const char *weight_column,
                            bool more, guard_job *job, nn_err *err)
{
    builder k = {u, p, NULL, NULL, p->window * guard_token_bytes(p->tok)};
    const double *weight = NULL;
    nn_status st;

    memset(u, 0, sizeof *u);
    u->rows = c;
    if ((st = guard_weight_column(&weight, c, weight_column, err)) != NN_OK) goto done;
    if ((st = guard_corpus_build(&u->texts, err)) != NN_OK) goto done;
    if ((st = guard_windows_build(&k.windows, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&k.text, k.text_cap, 1, err)) != NN_OK) goto done;
    if ((st = nn_grow((void **)&u->start, &u->start_cap, 1, sizeof *u->start, err)) != NN_OK) goto done;
    if ((st = nn_grow((void **)&u->group, &u->group_cap, 1, sizeof *u->group, err)) != NN_OK) goto done;
    u->start[0] = u->group[0] = 0;
    for (size_t i = 0; i < c->n && st == NN_OK; i++)
        st = add_row(&k, i, weight && !isnan(weight[i]) ? weight[i] : 1.0, more, job, err);
done:
    guard_windows_free(k.windows);
    nn_free(k.text);
    if (st != NN_OK) guard_units_free(u);
    return st;
}

nn_status guard_units_metrics(const guard_units *u, uint64_t step, guard_job *job, nn_err *err)
{
    const nn_status st = guard_job_metric(job, step, "rows", (double)u->n_group, err);

    return st == NN_OK ? guard_job_metric(job, step, "rows_long", (double)u->n_long, err) : st;
}

void guard_units_free(guard_units *u)
{
    if (!u) return;
    nn_free(u->ids);
    nn_free(u->start);
    nn_free(u->row);
    nn_free(u->form);
    nn_free(u->weight);
    nn_free(u->offset);
    nn_free(u->group);
    guard_corpus_free(u->texts);
    memset(u, 0, sizeof *u);
}
