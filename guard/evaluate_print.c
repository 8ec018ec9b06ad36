/* evaluate_print.c - results as JSON and as tables that can be read aloud. */
#include "guard/evaluate.h"
#include "guard/import.h"
#include "nn/arena.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- the fields of a result ---------------------------------------------------------------- */

/* A measured value and its interval. Written once, for writing, reading and the table. */
typedef struct {
    const char *key;
    const char *title; /* column of the table; NULL: JSON only */
    double *value;
    guard_interval *ci; /* NULL: it has none */
} field;

enum { FIELDS = 10 };

static void fields_of(field f[FIELDS], guard_result *r)
{
    const field all[FIELDS] = {
        {"precision", "precision", &r->all.precision, &r->ci.precision},
        {"recall", "recall", &r->all.recall, &r->ci.recall},
        {"f1", "F1", &r->all.f1, &r->ci.f1},
        {"average_precision", "AP", &r->all.average_precision, &r->ci.average_precision},
        {"roc_auc", "AUC", &r->all.roc_auc, &r->ci.roc_auc},
        {"fpr", NULL, &r->all.fpr, &r->ci.fpr},
        {"fpr_twins", "FPR twins", &r->fpr_twins, &r->ci_twins},
        {"fpr_ordinary", "FPR ordinary", &r->fpr_ordinary, &r->ci_ordinary},
        {"log_loss", NULL, &r->all.log_loss, NULL},
        {"brier", NULL, &r->all.brier, NULL},
    };
    memcpy(f, all, sizeof all);
}

typedef struct {
    const char *key;
    size_t *value;
} count_field;

enum { COUNTS = 5 };

static void counts_of(count_field f[COUNTS], guard_result *r)
{
    const count_field all[COUNTS] = {{"n", &r->all.n}, {"positive", &r->all.positive}, {"flagged", &r->all.flagged},
                                     {"n_twins", &r->n_twins}, {"n_ordinary", &r->n_ordinary}};
    memcpy(f, all, sizeof all);
}

/* --- JSON --------------------------------------------------------------------------------- */

static void put_number(guard_buf *b, double v)
{
    if (isnan(v)) guard_json_null(b);
    else guard_json_double(b, v);
}

static void put_interval(guard_buf *b, const guard_interval *ci)
{
    if (isnan(ci->low) || isnan(ci->high)) {
        guard_json_null(b);
        return;
    }
    guard_buf_str(b, "[");
    guard_json_double(b, ci->low);
    guard_buf_str(b, ",");
    guard_json_double(b, ci->high);
    guard_buf_str(b, "]");
}

void guard_result_json(guard_buf *b, const guard_result *r)
{
    guard_result copy = *r;
    count_field count[COUNTS];
    field f[FIELDS];

    counts_of(count, &copy);
    fields_of(f, &copy);
    guard_buf_str(b, "{");
    guard_json_key(b, "guard");
    guard_json_str(b, r->guard, strlen(r->guard));
    guard_json_key(b, "set");
    guard_json_str(b, r->set, strlen(r->set));
    for (size_t i = 0; i < COUNTS; i++) {
        guard_json_key(b, count[i].key);
        guard_json_u64(b, *count[i].value);
    }
    guard_json_key(b, "target_fpr");
    guard_json_double(b, r->target_fpr);
    guard_json_key(b, "threshold");
    guard_json_double(b, r->all.threshold);
    for (size_t i = 0; i < FIELDS; i++) {
        guard_json_key(b, f[i].key);
        put_number(b, *f[i].value);
    }
    guard_json_key(b, "ci");
    guard_buf_str(b, "{");
    for (size_t i = 0; i < FIELDS; i++) {
        if (!f[i].ci) continue;
        guard_json_key(b, f[i].key);
        put_interval(b, f[i].ci);
    }
    guard_buf_str(b, "}}");
}

static bool read_number(double *out, const json_t *v)
{
    *out = json_is_number(v) ? json_number_value(v) : (double)NAN;
    return json_is_number(v) || json_is_null(v);
}

static bool read_interval(guard_interval *out, const json_t *v)
{
    *out = (guard_interval){(double)NAN, (double)NAN};
    if (json_is_null(v)) return true;
    return json_array_size(v) == 2 && read_number(&out->low, json_array_get(v, 0)) &&
           read_number(&out->high, json_array_get(v, 1));
}

static bool read_name(char out[64], const json_t *v)
{
    const char *s = json_string_value(v);

    if (!s || strlen(s) > 63) return false;
    strcpy(out, s);
    return true;
}

/* What guard_result_json wrote. NULL, or the key whose value is not as it wrote it. */
static const char *read_result(guard_result *r, const json_t *o)
{
    count_field count[COUNTS];
    field f[FIELDS];

    memset(r, 0, sizeof *r);
    counts_of(count, r);
    fields_of(f, r);
    if (!read_name(r->guard, json_object_get(o, "guard"))) return "guard";
    if (!read_name(r->set, json_object_get(o, "set"))) return "set";
    for (size_t i = 0; i < COUNTS; i++) {
        const json_t *v = json_object_get(o, count[i].key);

        if (!json_is_number(v) || !(json_number_value(v) >= 0.0 && json_number_value(v) < 0x1p53)) return count[i].key;
        *count[i].value = (size_t)json_number_value(v); /* guard_json_parse reads every number as a double */
    }
    if (!read_number(&r->target_fpr, json_object_get(o, "target_fpr"))) return "target_fpr";
    if (!read_number(&r->all.threshold, json_object_get(o, "threshold"))) return "threshold";
    for (size_t i = 0; i < FIELDS; i++) {
        if (!read_number(f[i].value, json_object_get(o, f[i].key))) return f[i].key;
        if (f[i].ci && !read_interval(f[i].ci, json_object_get(json_object_get(o, "ci"), f[i].key))) return "ci";
    }
    return NULL;
}

/* --- the table ---------------------------------------------------------------------------- */

enum { CELL = 32, GAP = 2 };

/* "81 (76-86)": whole percent, as fine as a few hundred rows can tell. */
static void write_cell(char out[CELL], double value, const guard_interval *ci)
{
    char v[32], low[32], high[32];

    if (isnan(value)) {
        strcpy(out, "-");
        return;
    }
    guard_fmt_fixed(v, 100.0 * value, 0);
    if (isnan(ci->low) || isnan(ci->high)) {
        snprintf(out, CELL, "%.8s", v);
        return;
    }
    guard_fmt_fixed(low, 100.0 * ci->low, 0);
    guard_fmt_fixed(high, 100.0 * ci->high, 0);
    snprintf(out, CELL, "%.8s (%.8s-%.8s)", v, low, high);
}

/* Columns on a terminal, one a code point. */
static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void pad(guard_buf *b, const char *s, size_t width, bool last)
{
    guard_buf_str(b, s);
    for (size_t n = width_of(s); n < width + GAP && !last; n++) guard_buf_str(b, " ");
}

typedef struct {
    bool guards, sets; /* more than one of them: each line names it */
    size_t first;      /* width of the first column */
    size_t width[FIELDS];
} layout;

static void name_of(char out[160], const guard_result *r, const layout *l)
{
    if (l->guards && l->sets) snprintf(out, 160, "%s, %s", r->guard, r->set);
    else snprintf(out, 160, "%s", l->sets ? r->set : r->guard);
    if (l->sets) snprintf(out + strlen(out), 160 - strlen(out), " (%zu)", r->all.n);
}

static void measure_columns(layout *l, const guard_result *r, size_t n)
{
    char name[160], cell[CELL];
    field f[FIELDS];

    memset(l, 0, sizeof *l);
    for (size_t i = 1; i < n; i++) {
        l->guards = l->guards || strcmp(r[i].guard, r[0].guard) != 0;
        l->sets = l->sets || strcmp(r[i].set, r[0].set) != 0;
    }
    l->first = l->sets ? strlen("set (rows)") : strlen("guard");
    for (size_t i = 0; i < n; i++) {
        guard_result copy = r[i];

        name_of(name, &r[i], l);
        if (width_of(name) > l->first) l->first = width_of(name);
        fields_of(f, &copy);
        for (size_t k = 0; k < FIELDS; k++) {
            if (!f[k].title) continue;
            write_cell(cell, *f[k].value, f[k].ci);
            if (l->width[k] < strlen(f[k].title)) l->width[k] = strlen(f[k].title);
            if (l->width[k] < strlen(cell)) l->width[k] = strlen(cell);
        }
    }
}

static void put_caption(guard_buf *b, const guard_result *r, const layout *l)
{
    char rate[32];

    guard_fmt_fixed(rate, 100.0 * r->target_fpr, r->target_fpr < 0.01 ? 2 : 0);
    if (!l->sets) {
        guard_buf_fmt(b, "%s: %zu rows (%zu unsafe, %zu safe twins, %zu ordinary)\n", r->set, r->all.n, r->all.positive,
                      r->n_twins, r->n_ordinary);
    } else if (!l->guards) {
        guard_buf_fmt(b, "%s\n", r->guard);
    }
    guard_buf_fmt(b, "Threshold: %s%% false positives (FPR) on validation rows. ", rate);
    guard_buf_str(b, "Values in percent, 95% intervals in brackets.\n");
}

static void put_header(guard_buf *b, const layout *l)
{
    guard_result none;
    field f[FIELDS];

    memset(&none, 0, sizeof none);
    fields_of(f, &none);
    pad(b, l->sets ? (l->guards ? "guard, set (rows)" : "set (rows)") : "guard", l->first, false);
    for (size_t k = 0; k < FIELDS; k++) {
        if (f[k].title) pad(b, f[k].title, l->width[k], strcmp(f[k].key, "fpr_ordinary") == 0);
    }
    guard_buf_str(b, "\n");
}

static void put_line(guard_buf *b, const guard_result *r, const layout *l)
{
    guard_result copy = *r;
    char name[160], cell[CELL];
    field f[FIELDS];

    fields_of(f, &copy);
    name_of(name, r, l);
    pad(b, name, l->first, false);
    for (size_t k = 0; k < FIELDS; k++) {
        if (!f[k].title) continue;
        write_cell(cell, *f[k].value, f[k].ci);
        pad(b, cell, l->width[k], strcmp(f[k].key, "fpr_ordinary") == 0);
    }
    guard_buf_str(b, "\n");
}

void guard_result_table(guard_buf *b, const guard_result *r, size_t n)
{
    layout l;

    if (n == 0) return;
    measure_columns(&l, r, n);
    put_caption(b, r, &l);
    put_header(b, &l);
    for (size_t i = 0; i < n; i++) put_line(b, &r[i], &l);
}

/* --- notes of a run ------------------------------------------------------------------------ */

static nn_status print_note(guard_buf *out, const char *line, size_t len, const char *where, nn_err *err)
{
    json_t *root = NULL;
    void *block = NULL;
    const char *wrong = NULL;
    nn_status st = guard_json_parse(&root, line, len, true, where, err);

    const json_t *list = json_object_get(root, "results");
    const size_t n = json_array_size(list);
    if (st == NN_OK && n == 0) st = nn_fail(err, NN_CONTENT, "%s: results: missing or empty, want a list", where);
    if (st == NN_OK) st = nn_alloc(&block, n, sizeof(guard_result), err);
    guard_result *r = block;
    for (size_t i = 0; i < n && st == NN_OK; i++) {
        if ((wrong = read_result(&r[i], json_array_get(list, i))) == NULL) continue;
        st = nn_fail(err, NN_CONTENT, "%s: results[%zu].%s: missing or of another kind, want what evaluate wrote",
                     where, i, wrong);
    }
    if (st == NN_OK) guard_result_table(out, r, n);
    nn_free(block);
    json_decref(root);
    return st;
}

nn_status guard_results_print(guard_buf *out, const char *notes, nn_err *err)
{
    char where[48];
    nn_status st = NN_OK;
    bool first = true;

    for (size_t number = 1; *notes && st == NN_OK; number++) {
        const size_t len = strcspn(notes, "\n");

        snprintf(where, sizeof where, "evaluation %zu", number);
        if (len > 0 && !first) guard_buf_str(out, "\n");
        if (len > 0) {
            st = print_note(out, notes, len, where, err);
            first = false;
        }
        notes += len + (notes[len] == '\n');
    }
    return st == NN_OK ? guard_buf_status(out, err) : st;
}
