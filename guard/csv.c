#include "guard/csv.h"
#include "guard/import.h"
#include "nn/arena.h"
#include <string.h>

void guard_csv_init(guard_csv *c, const char *bytes, size_t len, const char *name)
{
    memset(c, 0, sizeof *c);
    c->bytes = bytes;
    c->name = name;
    c->len = len;
    c->line = 1;
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) c->pos = 3;
}

void guard_csv_free(guard_csv *c)
{
    nn_free(c->field);
    guard_buf_free(&c->text);
    guard_buf_free(&c->spare);
    memset(c, 0, sizeof *c);
}

/* True, and consumed, at LF, CRLF or a lone CR. */
static bool take_line_end(guard_csv *c)
{
    const size_t before = c->pos;

    if (c->pos < c->len && c->bytes[c->pos] == '\r') c->pos++;
    if (c->pos < c->len && c->bytes[c->pos] == '\n') c->pos++;
    if (c->pos == before) return false;
    c->line++;
    return true;
}

/* After the opening quote, up to and with the closing one. A doubled quote is one. */
static nn_status take_quoted(guard_csv *c, nn_err *err)
{
    const size_t opened = c->line;

    for (;;) {
        const char *at = c->bytes + c->pos;
        const char *quote = memchr(at, '"', c->len - c->pos);

        if (!quote) return nn_fail(err, NN_CONTENT, "%s:%zu: quote left open, want a closing one", c->name, opened);
        const size_t n = (size_t)(quote - at);
        for (size_t i = 0; i < n; i++) {
            if (at[i] == '\n' || (at[i] == '\r' && at[i + 1] != '\n')) c->line++;
        }
        guard_buf_add(&c->text, at, n);
        c->pos += n + 1;
        if (c->pos >= c->len || c->bytes[c->pos] != '"') return NN_OK;
        guard_buf_add(&c->text, "\"", 1);
        c->pos++;
    }
}

static nn_status take_field(guard_csv *c, nn_err *err)
{
    const size_t before = c->text.len;
    const bool quoted = c->pos < c->len && c->bytes[c->pos] == '"';
    nn_status st = NN_OK;

    if (quoted) {
        c->pos++;
        if ((st = take_quoted(c, err)) != NN_OK) return st;
        if (c->pos < c->len && !memchr(",\r\n", c->bytes[c->pos], 3)) {
            return nn_fail(err, NN_CONTENT,
                           "%s:%zu: field %zu: text after its closing quote, want a comma or a line end", c->name,
                           c->line, c->n_field + 1);
        }
    } else {
        const size_t start = c->pos;
        while (c->pos < c->len && !memchr(",\r\n", c->bytes[c->pos], 3)) c->pos++;
        guard_buf_add(&c->text, c->bytes + start, c->pos - start);
    }
    if ((st = guard_buf_status(&c->text, err)) != NN_OK) return st;
    if (memchr(c->text.bytes + before, 0, c->text.len - before)) {
        return nn_fail(err, NN_CONTENT, "%s:%zu: field %zu: a zero byte, want UTF-8 text", c->name, c->at_line,
                       c->n_field + 1);
    }
    guard_buf_add(&c->text, "", 1);
    c->n_field++;
    return guard_buf_status(&c->text, err);
}

/* Fields point into the record only now that it has stopped moving; the zero bytes say where each ends. */
static nn_status point_fields(guard_csv *c, nn_err *err)
{
    guard_text all = {c->text.bytes, c->text.len};
    void *fields = c->field;
    nn_status st = guard_text_repair(&all, &c->spare, &c->repaired, err);

    if (st == NN_OK) st = nn_grow(&fields, &c->field_cap, c->n_field, sizeof *c->field, err);
    c->field = fields;
    if (st != NN_OK) return st;
    for (size_t i = 0; i < c->n_field; i++) {
        c->field[i] = (guard_text){all.s, strlen(all.s)};
        all.s += c->field[i].n + 1;
    }
    return NN_OK;
}

nn_status guard_csv_next(guard_csv *c, bool *more, nn_err *err)
{
    nn_status st = NN_OK;

    *more = false;
    c->n_field = 0;
    guard_buf_clear(&c->text);
    while (take_line_end(c)) continue;
    if (c->pos >= c->len) return NN_OK;

    c->at_line = c->line;
    for (;;) {
        if ((st = take_field(c, err)) != NN_OK) return st;
        if (c->pos >= c->len || c->bytes[c->pos] != ',') break;
        c->pos++;
    }
    take_line_end(c);
    if (c->width == 0) c->width = c->n_field;
    if (c->n_field != c->width) {
        return nn_fail(err, NN_CONTENT, "%s:%zu: %zu fields, want %zu as in the header", c->name, c->at_line,
                       c->n_field, c->width);
    }
    if ((st = point_fields(c, err)) != NN_OK) return st;
    *more = true;
    return NN_OK;
}
