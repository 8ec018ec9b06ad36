/* report_series.c - metrics.jsonl as curves of bounded length: every value is in one bucket, buckets grow in pairs.
 *
 * A curve keeps at most REPORT_BUCKETS points. When they are full, neighbours are joined and a bucket holds twice as
 * many values from then on; a point is the mean of its values, with their extremes beside it. So what is drawn depends
 * on the file alone, and a spike stays visible however long the run was.
 */
#include "guard/report_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While reading, x and y are sums. */
static void join_pairs(report_series *s)
{
    for (size_t i = 0; i < REPORT_BUCKETS / 2; i++) {
        const report_point *a = s->at + 2 * i, *b = a + 1;

        s->at[i] = (report_point){a->x + b->x, a->y + b->y, a->lo < b->lo ? a->lo : b->lo,
                                  a->hi > b->hi ? a->hi : b->hi, a->n + b->n};
    }
    s->n = REPORT_BUCKETS / 2;
    s->per *= 2;
}

static void add_value(report_series *s, double step, double value)
{
    if (s->count == 0) s->first = s->min = s->max = value;
    s->last = value;
    if (value < s->min) s->min = value;
    if (value > s->max) s->max = value;
    s->count++;
    if (s->n > 0 && s->at[s->n - 1].n < s->per) {
        report_point *p = s->at + s->n - 1;

        p->x += step;
        p->y += value;
        if (value < p->lo) p->lo = value;
        if (value > p->hi) p->hi = value;
        p->n++;
        return;
    }
    if (s->n == REPORT_BUCKETS) join_pairs(s);
    s->at[s->n++] = (report_point){step, value, value, value, 1};
}

static void means(report_series *s)
{
    for (size_t i = 0; i < s->n; i++) {
        s->at[i].x /= (double)s->at[i].n;
        s->at[i].y /= (double)s->at[i].n;
    }
}

const report_series *report_series_find(const report_facts *f, size_t ordinal, const char *name)
{
    for (size_t i = 0; i < f->n_series; i++) {
        if (f->series[i]->ordinal == ordinal && strcmp(f->series[i]->name, name) == 0) return f->series[i];
    }
    return NULL;
}

/* Lines of a stage repeat the same names in turn, so the search begins behind the last hit. */
static report_series *find_next(report_facts *f, size_t ordinal, const char *name)
{
    for (size_t k = 0; k < f->n_series; k++) {
        const size_t i = (f->series_at + 1 + k) % f->n_series;

        if (f->series[i]->ordinal != ordinal || strcmp(f->series[i]->name, name) != 0) continue;
        f->series_at = i;
        return f->series[i];
    }
    return NULL;
}

/* NULL in *out when there are too many. */
static nn_status series_of(report_series **out, report_facts *f, size_t ordinal, const char *name, nn_err *err)
{
    void *list = f->series, *block = NULL;
    nn_status st = NN_OK;

    *out = find_next(f, ordinal, name);
    if (*out) return NN_OK;
    if (f->n_series == REPORT_SERIES) {
        f->series_left_out++;
        return NN_OK;
    }
    st = nn_grow(&list, &f->series_cap, f->n_series + 1, sizeof *f->series, err);
    f->series = list;
    if (st != NN_OK || (st = nn_alloc(&block, 1, sizeof **f->series, err)) != NN_OK) return st;
    *out = block;
    (*out)->ordinal = ordinal;
    (*out)->per = 1;
    snprintf((*out)->name, sizeof (*out)->name, "%s", name);
    f->series_at = f->n_series;
    f->series[f->n_series++] = *out;
    return NN_OK;
}

/* {"stage":"04_train_guard","step":10,"name":"loss","value":0.5} */
static nn_status add_line(report_facts *f, const char *line, size_t len, const char *where, nn_err *err)
{
    json_error_t why;
    json_t *o = json_loadb(line, len, 0, &why);
    const char *stage = json_string_value(json_object_get(o, "stage"));
    const char *name = json_string_value(json_object_get(o, "name"));
    const json_t *step = json_object_get(o, "step"), *value = json_object_get(o, "value");
    report_series *s = NULL;
    nn_status st = NN_OK;

    if (!stage || !name || strlen(name) >= sizeof s->name || !json_is_integer(step) || !json_is_number(value)) {
        st = nn_fail(err, NN_FILE, "%s: not a metric, want stage, step, name and value", where);
    } else {
        st = series_of(&s, f, strtoul(stage, NULL, 10), name, err);
    }
    if (s) add_value(s, json_number_value(step), json_number_value(value));
    json_decref(o);
    return st;
}

nn_status report_series_read(report_facts *f, nn_err *err)
{
    const uint64_t counted = f->n_entry ? f->ledger.entry[f->n_entry - 1].metrics : 0;
    nn_file file = {NULL, 0, NULL, NULL};
    char *path = NULL, where[400];
    size_t at = 0;
    nn_status st = guard_path_join(&path, f->dir, "metrics.jsonl", err);

    if (st != NN_OK || counted == 0) goto done;
    if ((st = nn_file_open(&file, path, err)) != NN_OK) goto done;
    if (file.len < counted) {
        st = nn_fail(err, NN_FILE, "%s: %zu bytes, want at least %llu as in the ledger", path, file.len,
                     (unsigned long long)counted);
        goto done;
    }
    const char *text = (const char *)file.bytes;
    for (size_t line = 1; at < counted && st == NN_OK; line++) {
        const char *end = memchr(text + at, '\n', (size_t)counted - at);
        const size_t len = end ? (size_t)(end - (text + at)) : (size_t)counted - at;

        snprintf(where, sizeof where, "%s:%zu", path, line);
        st = add_line(f, text + at, len, where, err);
        at += len + 1;
    }
    for (size_t i = 0; i < f->n_series; i++) means(f->series[i]);
done:
    nn_file_close(&file);
    nn_free(path);
    return st;
}
