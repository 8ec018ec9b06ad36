/* corpus_io.c - a corpus as JSONL: the same corpus, the same bytes.
 *
 * One row a line, keys in a fixed order, unknown fields as they came, values of columns last. A corpus that has
 * columns starts with a line that declares them, {"columns":[[name, stage, kind], ...]}, so that who wrote a column
 * survives the file.
 */
#include "guard/corpus.h"
#include "guard/dataset.h"
#include "guard/import.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_text(guard_buf *b, const char *key, guard_text t)
{
    if (!t.s) return;
    guard_json_key(b, key);
    guard_json_str(b, t.s, t.n);
}

/* "a,b" -> ["a","b"]; "" -> [] */
static void put_names(guard_buf *b, const char *key, guard_text t)
{
    if (!t.s) return;
    guard_json_key(b, key);
    guard_buf_str(b, "[");
    for (size_t at = 0; t.n && at <= t.n;) {
        const char *start = t.s + at;
        const char *comma = memchr(start, ',', t.n - at);
        const size_t n = comma ? (size_t)(comma - start) : t.n - at;

        guard_json_comma(b);
        guard_json_str(b, start, n);
        at += n + 1;
    }
    guard_buf_str(b, "]");
}

/* The members of a JSON object, without its braces. */
static void put_members(guard_buf *b, guard_text object)
{
    if (!object.s || object.n <= 2) return;
    guard_json_comma(b);
    guard_buf_add(b, object.s + 1, object.n - 2);
}

/* A missing value (NaN) is a missing key; an infinity is an error, as everywhere. */
static void put_cols(guard_buf *b, const guard_corpus *c, size_t row)
{
    bool open = false;

    for (size_t i = 0; i < c->n_col; i++) {
        const guard_column *col = &c->col[i];
        const bool text = col->kind == GUARD_COL_STR;

        if (text ? !col->str[row].s : isnan(col->num[row])) continue;
        if (!open) {
            guard_json_key(b, "cols");
            guard_buf_str(b, "{");
            open = true;
        }
        guard_json_key(b, col->name);
        if (text) guard_json_str(b, col->str[row].s, col->str[row].n);
        else if (col->kind == GUARD_COL_BOOL) guard_json_bool(b, col->num[row] != 0.0);
        else guard_json_double(b, col->num[row]);
    }
    if (open) guard_buf_str(b, "}");
}

void guard_corpus_json(guard_buf *b, const guard_corpus *c, size_t row)
{
    const guard_row *r = &c->row[row];

    guard_buf_str(b, "{\"id\":\"");
    guard_buf_str(b, r->id);
    guard_buf_str(b, "\"");
    put_text(b, "text", r->text);
    put_text(b, "response", r->response);
    put_text(b, "context", r->context);
    guard_json_key(b, "label");
    if (r->label == GUARD_LABEL_NONE) guard_json_null(b);
    else guard_json_u64(b, (uint64_t)r->label);
    put_names(b, "category", r->category);
    put_text(b, "concept", r->concept);
    put_text(b, "lang", r->lang);
    put_text(b, "source", r->source);
    put_names(b, "parent", r->parents);
    if (r->ops.s) {
        guard_json_key(b, "ops");
        guard_buf_add(b, r->ops.s, r->ops.n);
    }
    put_members(b, r->extra);
    put_cols(b, c, row);
    guard_buf_str(b, "}\n");
}

static void put_columns(guard_buf *b, const guard_corpus *c)
{
    static const char *const kind[] = {"num", "bool", "str"};

    if (c->n_col == 0) return;
    guard_buf_str(b, "{\"columns\":[");
    for (size_t i = 0; i < c->n_col; i++) {
        guard_json_comma(b);
        guard_buf_str(b, "[");
        guard_json_str(b, c->col[i].name, strlen(c->col[i].name));
        guard_json_comma(b);
        guard_json_str(b, c->col[i].stage, strlen(c->col[i].stage));
        guard_json_comma(b);
        guard_json_str(b, kind[c->col[i].kind], strlen(kind[c->col[i].kind]));
        guard_buf_str(b, "]");
    }
    guard_buf_str(b, "]}\n");
}

nn_status guard_corpus_write(const guard_corpus *c, const char *path, char sha256[65], nn_err *err)
{
    guard_buf b = {0};
    nn_status st = NN_OK;

    put_columns(&b, c);
    for (size_t i = 0; i < c->n; i++) guard_corpus_json(&b, c, i);
    if ((st = guard_buf_status(&b, err)) == NN_OK) st = nn_file_write(path, b.bytes ? b.bytes : "", b.len, err);
    else nn_err_prefix(err, path);
    if (st == NN_OK && sha256) nn_sha256_hex(b.bytes ? b.bytes : "", b.len, sha256);
    guard_buf_free(&b);
    return st;
}

/* Row by row, so that naming a corpus needs no second copy of it. */
void guard_corpus_hash(const guard_corpus *c, char sha256[65])
{
    guard_buf b = {0};
    nn_sha256 s;

    nn_sha256_init(&s);
    put_columns(&b, c);
    if (b.len) nn_sha256_add(&s, b.bytes, b.len);
    for (size_t i = 0; i < c->n; i++) {
        guard_buf_clear(&b);
        guard_corpus_json(&b, c, i);
        if (b.len) nn_sha256_add(&s, b.bytes, b.len);
    }
    nn_sha256_end_hex(&s, sha256);
    guard_buf_free(&b);
}

nn_status guard_corpus_read(guard_corpus **out, const char *path, nn_err *err)
{
    guard_corpus *c = NULL;
    char *bytes = NULL, where[400];
    size_t len = 0, pos = 0;
    nn_status st = NN_OK;

    *out = NULL;
    if ((st = guard_slurp(&bytes, &len, path, GUARD_FILE_MAX, err)) != NN_OK) goto done;
    if ((st = guard_corpus_build(&c, err)) != NN_OK) goto done;
    for (size_t line = 1; pos < len; line++) {
        const char *end = memchr(bytes + pos, '\n', len - pos);
        bool repaired = false;

        snprintf(where, sizeof where, "%s:%zu", path, line);
        if (!end) {
            st = nn_fail(err, NN_FILE, "%s: line: cut short, want a line end", where);
            goto done;
        }
        const size_t n = (size_t)(end - (bytes + pos));
        st = guard_dataset_line_limit(c, bytes + pos, n, where, GUARD_ANY_TEXT, &repaired, err);
        if (st != NN_OK) goto done;
        pos += n + 1;
    }
    *out = c;
    c = NULL;
done:
    guard_corpus_free(c);
    nn_free(bytes);
    return st;
}
