/* lineage_print.c - the answer of `parapet lineage`, for people and as JSON.
 *
 * Unsafe texts are named by hash and length unless they were asked for. A column is shown where its value is new or
 * changed.
 */
#include "guard/lineage.h"
#include <math.h>
#include <string.h>

static const char *label_name(int label)
{
    return label == GUARD_UNSAFE ? "unsafe" : label == GUARD_SAFE ? "safe" : "unlabelled";
}

static bool has_value(const guard_column *col, size_t row)
{
    return col->kind == GUARD_COL_STR ? col->str[row].s != NULL : !isnan(col->num[row]);
}

/* Bit for bit: the same value is the same text in the file. */
static bool same_value(const guard_column *a, size_t row_a, const guard_column *b, size_t row_b)
{
    if (a->kind != b->kind || strcmp(a->stage, b->stage) != 0) return false;
    if (a->kind != GUARD_COL_STR) return memcmp(a->num + row_a, b->num + row_b, sizeof *a->num) == 0;
    const guard_text x = a->str[row_a], y = b->str[row_b];
    return (x.s != NULL) == (y.s != NULL) && x.n == y.n && (x.n == 0 || memcmp(x.s, y.s, x.n) == 0);
}

/* True when the last earlier shelf with this row has the same column and value. */
static bool is_known(const guard_line *l, size_t shelf, const char *id, const guard_column *col, size_t row)
{
    for (size_t i = shelf; i-- > 0;) {
        const size_t at = guard_shelf_find(l->shelf + i, id);

        if (at == LINEAGE_NOWHERE) continue;
        const guard_column *before = guard_corpus_find(l->shelf[i].c, col->name);
        return before && same_value(before, at, col, row);
    }
    return false;
}

static void put_value(guard_buf *b, const guard_column *col, size_t row)
{
    if (col->kind == GUARD_COL_STR) guard_json_str(b, col->str[row].s, col->str[row].n);
    else if (col->kind == GUARD_COL_BOOL) guard_json_bool(b, col->num[row] != 0.0);
    else guard_json_double(b, col->num[row]);
}

static const guard_row *first_place(const guard_line *l, const char *id)
{
    for (size_t i = 0; i < l->n_shelf; i++) {
        const size_t at = guard_shelf_find(l->shelf + i, id);

        if (at != LINEAGE_NOWHERE) return l->shelf[i].c->row + at;
    }
    return NULL;
}

/* --- for people --------------------------------------------------------------------------- */

static void text_line(guard_buf *b, const char *name, guard_text t, bool hide)
{
    char sha256[NN_SHA256_HEX];

    if (!t.s) return;
    guard_buf_fmt(b, "  %-9s ", name);
    if (hide) {
        nn_sha256_hex(t.s, t.n, sha256);
        guard_buf_fmt(b, "hidden: %zu bytes, SHA-256 %s", t.n, sha256);
    } else {
        guard_json_str(b, t.s, t.n); /* escaped: a text must not move the cursor of a terminal */
    }
    guard_buf_str(b, "\n");
}

static void names_line(guard_buf *b, const char *name, guard_text t)
{
    if (!t.s || t.n == 0) return;
    guard_buf_fmt(b, "  %-9s ", name);
    guard_json_str(b, t.s, t.n);
    guard_buf_str(b, "\n");
}

static void text_of_shelf(guard_buf *b, const guard_line *l, size_t shelf, const char *id)
{
    const guard_shelf *s = l->shelf + shelf;
    const size_t at = guard_shelf_find(s, id);

    if (at == LINEAGE_NOWHERE) return;
    guard_buf_fmt(b, "  %02zu %s: %s, ledger entry %zu\n", s->entry->ordinal, s->entry->name, s->file->path,
                  s->entry->n);
    for (size_t i = 0; i < s->c->n_col; i++) {
        const guard_column *col = s->c->col + i;

        if (!has_value(col, at) || is_known(l, shelf, id, col, at)) continue;
        guard_buf_fmt(b, "     %-16s ", col->name);
        put_value(b, col, at);
        guard_buf_fmt(b, "   (%s)\n", col->stage);
    }
}

static void text_of_row(guard_buf *b, const guard_line *l, const guard_visit *v, bool show_text)
{
    const guard_row *r = first_place(l, v->id);

    if (!r) {
        guard_buf_fmt(b, "row %s  generation %zu: in no corpus of this run\n", v->id, v->generation);
        return;
    }
    const bool hide = r->label == GUARD_UNSAFE && !show_text;
    guard_buf_fmt(b, "row %s  generation %zu  %s\n", v->id, v->generation, label_name(r->label));
    text_line(b, "text", r->text, hide);
    text_line(b, "response", r->response, hide);
    text_line(b, "context", r->context, hide);
    names_line(b, "category", r->category);
    names_line(b, "concept", r->concept);
    names_line(b, "source", r->source);
    names_line(b, "parents", r->parents);
    if (r->ops.s) guard_buf_fmt(b, "  %-9s %s\n", "ops", r->ops.s);
    for (size_t i = 0; i < l->ledger.n; i++) { /* stages in order: where it stands, where it was left out */
        const guard_entry *e = l->ledger.entry + i;

        if (e->rule) continue;
        for (size_t k = 0; k < l->n_shelf; k++) {
            if (l->shelf[k].entry == e) text_of_shelf(b, l, k, v->id);
        }
        if (guard_line_drops(l, e, v->id))
            guard_buf_fmt(b, "  %02zu %s: not in its output, ledger entry %zu\n", e->ordinal, e->name, e->n);
    }
}

void guard_line_text(guard_buf *b, const guard_line *l, bool show_text)
{
    for (size_t i = 0; i < l->n_visit; i++) text_of_row(b, l, l->visit + i, show_text);
}

/* --- as JSON ------------------------------------------------------------------------------ */

static void json_text(guard_buf *b, const char *name, guard_text t, bool hide)
{
    char sha256[NN_SHA256_HEX];

    if (!t.s) return;
    guard_json_key(b, name);
    if (!hide) {
        guard_json_str(b, t.s, t.n);
        return;
    }
    nn_sha256_hex(t.s, t.n, sha256);
    guard_buf_str(b, "{");
    guard_put_u64(b, "bytes", t.n);
    guard_put_str(b, "sha256", sha256);
    guard_buf_str(b, "}");
}

/* "a,b" -> ["a","b"] */
static void json_names(guard_buf *b, const char *name, guard_text t)
{
    if (!t.s) return;
    guard_json_key(b, name);
    guard_buf_str(b, "[");
    for (size_t at = 0; at < t.n;) {
        const char *comma = memchr(t.s + at, ',', t.n - at);
        const size_t len = comma ? (size_t)(comma - (t.s + at)) : t.n - at;

        guard_json_comma(b);
        guard_json_str(b, t.s + at, len);
        at += len + 1;
    }
    guard_buf_str(b, "]");
}

static void json_of_shelf(guard_buf *b, const guard_line *l, size_t shelf, const char *id)
{
    const guard_shelf *s = l->shelf + shelf;
    const size_t at = guard_shelf_find(s, id);

    if (at == LINEAGE_NOWHERE) return;
    guard_json_comma(b);
    guard_buf_str(b, "{");
    guard_put_u64(b, "ordinal", s->entry->ordinal);
    guard_put_str(b, "stage", s->entry->name);
    guard_put_u64(b, "entry", s->entry->n);
    guard_put_str(b, "path", s->file->path);
    guard_json_key(b, "columns");
    guard_buf_str(b, "{");
    for (size_t i = 0; i < s->c->n_col; i++) {
        const guard_column *col = s->c->col + i;

        if (!has_value(col, at) || is_known(l, shelf, id, col, at)) continue;
        guard_json_key(b, col->name);
        guard_buf_str(b, "{");
        guard_json_key(b, "value");
        put_value(b, col, at);
        guard_put_str(b, "stage", col->stage);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "}}");
}

static void json_of_row(guard_buf *b, const guard_line *l, const guard_visit *v, bool show_text)
{
    const guard_row *r = first_place(l, v->id);
    const bool hide = r && r->label == GUARD_UNSAFE && !show_text;

    guard_put_str(b, "id", v->id);
    guard_put_u64(b, "generation", v->generation);
    guard_json_key(b, "found");
    guard_json_bool(b, r != NULL);
    if (!r) return;
    guard_json_key(b, "label");
    if (r->label == GUARD_LABEL_NONE) guard_json_null(b);
    else guard_json_u64(b, r->label == GUARD_UNSAFE);
    json_text(b, "text", r->text, hide);
    json_text(b, "response", r->response, hide);
    json_text(b, "context", r->context, hide);
    json_names(b, "category", r->category);
    json_text(b, "concept", r->concept, false);
    json_text(b, "source", r->source, false);
    json_names(b, "parents", r->parents);
    if (r->ops.s) {
        guard_json_key(b, "ops");
        guard_buf_add(b, r->ops.s, r->ops.n);
    }
    guard_json_key(b, "stages");
    guard_buf_str(b, "[");
    for (size_t i = 0; i < l->n_shelf; i++) json_of_shelf(b, l, i, v->id);
    guard_buf_str(b, "]");
    guard_json_key(b, "left_out_by");
    guard_buf_str(b, "[");
    for (size_t i = 0; i < l->ledger.n; i++) {
        if (l->ledger.entry[i].rule || !guard_line_drops(l, l->ledger.entry + i, v->id)) continue;
        guard_json_comma(b);
        guard_json_u64(b, l->ledger.entry[i].n);
    }
    guard_buf_str(b, "]");
}

void guard_line_json(guard_buf *b, const guard_line *l, bool show_text)
{
    guard_buf_str(b, "{\"version\":1,\"rows\":[");
    for (size_t i = 0; i < l->n_visit; i++) {
        guard_json_comma(b);
        guard_buf_str(b, "{");
        json_of_row(b, l, l->visit + i, show_text);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]}\n");
}
