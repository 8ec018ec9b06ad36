#include "guard/import.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <string.h>

bool guard_text_is(guard_text t, const char *s)
{
    return t.s && t.n == strlen(s) && memcmp(t.s, s, t.n) == 0;
}

nn_status guard_text_repair(guard_text *t, guard_buf *b, bool *repaired, nn_err *err)
{
    size_t replaced = 0;
    const size_t need = nn_utf8_repair(NULL, t->s, t->n, &replaced);
    void *block = b->bytes;

    *repaired = replaced > 0;
    if (!*repaired) return NN_OK;
    if (need == SIZE_MAX) return nn_fail(err, NN_LIMIT, "memory: no room for a text of %zu bytes", need);
    const nn_status st = nn_grow(&block, &b->cap, need + 1, 1, err);
    b->bytes = block;
    if (st != NN_OK) return st;
    b->len = nn_utf8_repair(b->bytes, t->s, t->n, &replaced);
    b->bytes[b->len] = '\0';
    *t = (guard_text){b->bytes, b->len};
    return NN_OK;
}

const guard_field *guard_record_find(const guard_record *rec, const char *name)
{
    for (size_t i = 0; i < rec->n; i++) {
        if (guard_text_is(rec->field[i].name, name)) return &rec->field[i];
    }
    return NULL;
}

/* Only printable ASCII of the value is shown: a message goes to a terminal. */
nn_status guard_field_fail(const char *where, const char *field, guard_text value, const char *want, nn_err *err)
{
    char shown[28];
    size_t n = 0;

    if (!value.s) return nn_fail(err, NN_CONTENT, "%s: %s: missing, want %s", where, field, want);
    for (; n < value.n && n < 24; n++) {
        const char c = value.s[n];
        shown[n] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    strcpy(shown + n, value.n > n ? "..." : "");
    return nn_fail(err, NN_CONTENT, "%s: %s: is '%s', want %s", where, field, shown, want);
}

nn_status guard_record_text(guard_text *out, const guard_record *rec, const char *name, bool or_empty, nn_err *err)
{
    const guard_field *f = guard_record_find(rec, name);
    const guard_text none = {NULL, 0};

    *out = none;
    if (!f || (!f->value.s && !or_empty)) return guard_field_fail(rec->where, name, none, "a text", err);
    if (f->json) return guard_field_fail(rec->where, name, f->value, "a text", err);
    if (f->value.n == 0 && !or_empty)
        return guard_field_fail(rec->where, name, f->value, "a text that is not empty", err);
    *out = f->value;
    return NN_OK;
}

nn_status guard_record_label(int *label, bool *skip, const guard_record *rec, const char *name, const char *safe,
                             const char *unsafe, nn_err *err)
{
    const guard_field *f = guard_record_find(rec, name);
    const guard_text value = f ? f->value : (guard_text){NULL, 0};
    char want[96];

    *skip = f && value.n == 0;
    if (*skip) return NN_OK;
    if (guard_text_is(value, safe)) *label = GUARD_SAFE;
    else if (guard_text_is(value, unsafe)) *label = GUARD_UNSAFE;
    else {
        want[0] = '\0';
        strncat(want, safe, 40);
        strcat(want, " or ");
        strncat(want, unsafe, 40);
        return guard_field_fail(rec->where, name, value, want, err);
    }
    return NN_OK;
}

void guard_extra_key(guard_buf *b, guard_text name)
{
    static const char *const own[] = {"id",     "text",    "response", "context", "label", "category", "lang",
                                      "source", "concept", "parent",   "ops",     "cols",  "columns"};

    guard_json_comma(b);
    guard_json_str(b, name.s, name.n);
    for (size_t i = 0; i < sizeof own / sizeof *own && b->len; i++) {
        if (!guard_text_is(name, own[i])) continue;
        b->len--; /* the closing quote */
        guard_buf_str(b, "_in_file\"");
    }
    guard_buf_str(b, ":");
}

static bool among(const char *const *list, guard_text name)
{
    while (*list && !guard_text_is(name, *list)) list++;
    return *list != NULL;
}

void guard_record_rest(guard_buf *b, const guard_record *rec, const char *const *used)
{
    for (size_t i = 0; i < rec->n; i++) {
        const guard_field *f = &rec->field[i];

        if (among(used, f->name)) continue;
        guard_extra_key(b, f->name);
        if (!f->value.s) guard_json_null(b);
        else if (f->json) guard_buf_add(b, f->value.s, f->value.n);
        else guard_json_str(b, f->value.s, f->value.n);
    }
}

guard_text guard_extra_end(guard_buf *b)
{
    guard_buf_str(b, "}");
    return b->len > 2 ? (guard_text){b->bytes, b->len} : (guard_text){NULL, 0};
}
