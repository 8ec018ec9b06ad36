/* dataset_column.c - a field that a file's rows carry and we do not know, as a column that rules can read.
 *
 * Reads: dataset.h, import.h (JSON).
 */
#include "guard/dataset.h"
#include "guard/import.h"
#include <jansson.h>
#include <string.h>

static const char *const kind_text[] = {"a number", "true or false", "a string"};

static bool is_of(const json_t *v, guard_col_kind kind)
{
    if (kind == GUARD_COL_STR) return json_is_string(v);
    return kind == GUARD_COL_NUM ? json_is_number(v) : json_is_boolean(v);
}

static nn_status set_value(guard_corpus *c, guard_column *col, size_t i, const json_t *v, nn_err *err)
{
    if (!v || json_is_null(v)) return NN_OK;
    if (!is_of(v, col->kind))
        return nn_fail(err, NN_CONTENT, "row %s: %s: another kind of value, want %s", c->row[i].id, col->name,
                       kind_text[col->kind]);
    if (col->kind == GUARD_COL_STR)
        return guard_corpus_set_str(c, col, i, json_string_value(v), json_string_length(v), err);
    col->num[i] = col->kind == GUARD_COL_NUM ? json_number_value(v) : (double)json_is_true(v);
    return NN_OK;
}

nn_status guard_dataset_column(guard_corpus *c, const char *name, const char *stage, guard_col_kind kind, nn_err *err)
{
    guard_column *col = NULL;
    nn_status st = guard_corpus_column(c, name, stage, kind, &col, err);

    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        const guard_text extra = c->row[i].extra;
        json_t *o = NULL;

        if (!extra.s) continue;
        if ((st = guard_json_parse(&o, extra.s, extra.n, false, c->row[i].id, err)) != NN_OK) break;
        st = set_value(c, col, i, json_object_get(o, name), err);
        json_decref(o);
    }
    return st;
}
