/* dataset_line.c - one JSON object as a row: its own fields, values of columns, everything else as it came. */
#include "guard/import.h"
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_MAX_BYTES = 1 << 20 };

/* What a line is read into; row borrows from root, from the line and from the buffers. */
typedef struct {
    guard_corpus *c;
    const char *where;
    guard_row row;
    guard_buf category, parents, ops, extra;
    json_t *cols; /* values of columns, or NULL */
} line_reader;

static nn_status bad(const line_reader *r, const char *field, guard_text raw, const char *want, nn_err *err)
{
    return guard_field_fail(r->where, field, raw, want, err);
}

/* --- fields of a row ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t at;
} text_fields[] = {
    {"text", offsetof(guard_row, text)},       {"response", offsetof(guard_row, response)},
    {"context", offsetof(guard_row, context)}, {"lang", offsetof(guard_row, lang)},
    {"source", offsetof(guard_row, source)},   {"concept", offsetof(guard_row, concept)},
};

static guard_text *text_field(guard_row *row, const char *name)
{
    for (size_t i = 0; i < sizeof text_fields / sizeof *text_fields; i++) {
        if (strcmp(text_fields[i].name, name) == 0) return (guard_text *)(void *)((char *)row + text_fields[i].at);
    }
    return NULL;
}

static nn_status read_label(line_reader *r, guard_text raw, nn_err *err)
{
    if (guard_text_is(raw, "0")) r->row.label = GUARD_SAFE;
    else if (guard_text_is(raw, "1")) r->row.label = GUARD_UNSAFE;
    else if (!guard_text_is(raw, "null")) return bad(r, "label", raw, "0, 1 or null", err);
    return NN_OK;
}

/* A name or a list of names, joined by commas; a comma inside a name becomes a semicolon. */
static nn_status read_names(line_reader *r, const char *field, guard_buf *b, guard_text *out, const json_t *v,
                            guard_text raw, nn_err *err)
{
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;

    if (json_is_null(v)) return NN_OK;
    guard_buf_add(b, "", 0); /* an empty list is there, and empty */
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_is_array(v) ? json_array_get(v, i) : v;
        const size_t start = b->len + (i > 0);

        if (!json_is_string(name)) return bad(r, field, raw, "a name or a list of names", err);
        if (i > 0) guard_buf_add(b, ",", 1);
        guard_buf_add(b, json_string_value(name), json_string_length(name));
        for (size_t j = start; j < b->len; j++) {
            if (b->bytes[j] == ',') b->bytes[j] = ';';
        }
    }
    *out = (guard_text){b->bytes, b->len};
    return guard_buf_status(b, err);
}

/* Line ends between tokens would break a row's line in two; inside strings JSON has none. */
static void add_one_line(guard_buf *b, guard_text raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.s[i] != '\n' && raw.s[i] != '\r') guard_buf_add(b, raw.s + i, 1);
    }
}

static bool is_row_id(const json_t *v)
{
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    return strlen(s) == GUARD_ID_LEN - 1 && strspn(s, "0123456789abcdef") == GUARD_ID_LEN - 1;
}

static nn_status read_member(line_reader *r, const char *key, json_t *v, guard_text raw_key, guard_text raw,
                             nn_err *err)
{
    guard_text *text = text_field(&r->row, key);

    if (text) {
        if (json_is_null(v)) return NN_OK;
        if (!json_is_string(v)) return bad(r, key, raw, "a string", err);
        *text = (guard_text){json_string_value(v), json_string_length(v)};
        return NN_OK;
    }
    if (strcmp(key, "label") == 0) return read_label(r, raw, err);
    if (strcmp(key, "category") == 0) return read_names(r, key, &r->category, &r->row.category, v, raw, err);
    if (strcmp(key, "parent") == 0) return read_names(r, key, &r->parents, &r->row.parents, v, raw, err);
    if (strcmp(key, "id") == 0 && is_row_id(v)) {
        strcpy(r->row.id, json_string_value(v));
        return NN_OK;
    }
    if (strcmp(key, "ops") == 0) {
        if (!json_is_array(v)) return bad(r, key, raw, "a list", err);
        add_one_line(&r->ops, raw);
        r->row.ops = (guard_text){r->ops.bytes, r->ops.len};
        return guard_buf_status(&r->ops, err);
    }
    if (strcmp(key, "cols") == 0) {
        if (!json_is_object(v)) return bad(r, key, raw, "an object", err);
        r->cols = v;
        return NN_OK;
    }
    /* Unknown, or an id that is not one of ours: kept as it came. */
    if (strcmp(key, "id") == 0) {
        guard_extra_key(&r->extra, (guard_text){key, strlen(key)});
    } else {
        guard_json_comma(&r->extra);
        guard_buf_add(&r->extra, raw_key.s, raw_key.n);
        guard_buf_str(&r->extra, ":");
    }
    add_one_line(&r->extra, raw);
    return NN_OK;
}

nn_status guard_row_check(const guard_row *row, const char *where, size_t max_bytes, nn_err *err)
{
    const size_t most = max_bytes ? max_bytes : DEFAULT_MAX_BYTES;
    const struct {
        const char *name;
        size_t n;
    } part[] = {{"text", row->text.n}, {"response", row->response.n}, {"context", row->context.n}};

    if (!row->text.s || (row->text.n == 0 && max_bytes != GUARD_ANY_TEXT))
        return guard_field_fail(where, "text", row->text, "a text that is not empty", err);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (part[i].n <= most) continue;
        return nn_fail(err, NN_LIMIT, "%s: %s: %zu bytes, want at most %zu", where, part[i].name, part[i].n, most);
    }
    return NN_OK;
}

/* --- columns ------------------------------------------------------------------------------- */

/* A name that no column may have is the file's fault here, not the caller's. */
static nn_status add_column(line_reader *r, const char *name, const char *stage, guard_col_kind kind,
                            guard_column **out, nn_err *err)
{
    nn_err why = {NN_OK, ""};
    const nn_status st = guard_corpus_column(r->c, name, stage, kind, out, &why);

    if (st == NN_OK) return st;
    return nn_fail(err, st == NN_USAGE ? NN_CONTENT : st, "%s: %s", r->where, why.text);
}

/* {"columns":[[name, stage, kind], ...]}: the first line of a corpus that has columns. */
static nn_status read_columns(line_reader *r, const json_t *list, nn_err *err)
{
    const guard_text none = {"", 0};
    guard_column *made = NULL;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_string_value(json_array_get(one, 0)),
                   *stage = json_string_value(json_array_get(one, 1));
        const char *kind = json_string_value(json_array_get(one, 2));
        guard_col_kind k = GUARD_COL_NUM;

        if (!name || !stage || !kind) return bad(r, "columns", none, "lists of name, stage and kind", err);
        if (strcmp(kind, "bool") == 0) k = GUARD_COL_BOOL;
        else if (strcmp(kind, "str") == 0) k = GUARD_COL_STR;
        else if (strcmp(kind, "num") != 0) return bad(r, "columns", none, "a kind num, bool or str", err);
        const nn_status st = add_column(r, name, stage, k, &made, err);
        if (st != NN_OK) return st;
    }
    return NN_OK;
}

/* Values of the row just added. A column that no first line declared takes its kind from its first value. */
static nn_status read_cols(line_reader *r, nn_err *err)
{
    const size_t row = r->c->n - 1;
    const char *name;
    json_t *v;

    json_object_foreach(r->cols, name, v)
    {
        const guard_col_kind kind = json_is_string(v)    ? GUARD_COL_STR
                                    : json_is_boolean(v) ? GUARD_COL_BOOL
                                                         : GUARD_COL_NUM;
        const guard_column *there = guard_corpus_find(r->c, name);
        guard_column *col = there ? &r->c->col[there - r->c->col] : NULL;
        nn_status st = NN_OK;

        if (!col) st = add_column(r, name, "", kind, &col, err);
        if (st != NN_OK) return st;
        if (col->kind != kind || (kind == GUARD_COL_NUM && !json_is_number(v))) {
            return bad(r, name, (guard_text){"", 0}, "a value of the column's kind", err);
        }
        if (kind == GUARD_COL_STR) {
            st = guard_corpus_set_str(r->c, col, row, json_string_value(v), json_string_length(v), err);
        } else {
            col->num[row] = kind == GUARD_COL_BOOL ? (double)json_is_true(v) : json_number_value(v);
        }
        if (st != NN_OK) return st;
    }
    return NN_OK;
}

/* --- a line -------------------------------------------------------------------------------- */

/* jansson walks members in the order of the text, so its keys and the scan's slices go side by side. */
static nn_status read_object(line_reader *r, json_t *root, const char *line, size_t len, nn_err *err)
{
    guard_members raw;
    const char *key;
    json_t *v;

    guard_members_open(&raw, line, len);
    guard_buf_str(&r->extra, "{");
    json_object_foreach(root, key, v)
    {
        const bool more = guard_members_next(&raw);
        NN_ASSERT(more);
        (void)more; /* unused when NDEBUG */
        const nn_status st = read_member(r, key, v, raw.key, raw.value, err);
        if (st != NN_OK) return st;
    }
    r->row.extra = guard_extra_end(&r->extra);
    return guard_buf_status(&r->extra, err);
}

nn_status guard_dataset_line_limit(guard_corpus *c, const char *line, size_t len, const char *where,
                                   size_t max_bytes, bool *repaired, nn_err *err)
{
    line_reader r = {.c = c, .where = where, .row = {.label = GUARD_LABEL_NONE}};
    guard_text valid = {line, len};
    guard_buf spare = {0};
    json_t *root = NULL;
    nn_status st = NN_OK;

    if ((st = guard_text_repair(&valid, &spare, repaired, err)) != NN_OK) goto done;
    if ((st = guard_json_parse(&root, valid.s, valid.n, true, where, err)) != NN_OK) goto done;
    if (!json_is_object(root)) {
        st = nn_fail(err, NN_CONTENT, "%s: line: not an object, want one JSON object a line", where);
        goto done;
    }
    const json_t *columns = json_object_get(root, "columns");
    if (columns && !json_object_get(root, "text")) {
        st = read_columns(&r, columns, err);
        goto done;
    }
    if ((st = read_object(&r, root, valid.s, valid.n, err)) != NN_OK) goto done;
    if ((st = guard_row_check(&r.row, where, max_bytes, err)) != NN_OK) goto done;
    if ((st = guard_corpus_add(c, &r.row, err)) != NN_OK) goto done;
    if (r.cols) st = read_cols(&r, err);
done:
    json_decref(root);
    guard_buf_free(&r.category);
    guard_buf_free(&r.parents);
    guard_buf_free(&r.ops);
    guard_buf_free(&r.extra);
    guard_buf_free(&spare);
    return st;
}

nn_status guard_dataset_line(guard_corpus *c, const char *line, size_t len, const char *where, nn_err *err)
{
    bool repaired = false;
    return guard_dataset_line_limit(c, line, len, where, 0, &repaired, err);
}
