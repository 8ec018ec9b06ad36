/* dataset_json.c - JSON text: parsed by jansson, and split into members as they were written. */
#include "guard/import.h"
#include "nn/arena.h"
#include <jansson.h>
#include <string.h>

/* --- members as they stand ----------------------------------------------------------------- */

/* The text is known to be valid JSON, so the scan only has to find where things end. */
static const char *after_string(const char *s)
{
    for (s++; *s != '"'; s++) {
        if (*s == '\\') s++;
    }
    return s + 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *after_value(const char *s, const char *end)
{
    size_t depth = 0;

    while (s < end) {
        if (*s == '"') {
            s = after_string(s);
        } else if (*s == '{' || *s == '[') {
            depth++, s++;
        } else if (*s == '}' || *s == ']') {
            if (depth == 0) break;
            depth--, s++;
        } else {
            if (depth == 0 && (*s == ',' || is_blank(*s))) break;
            s++;
            continue; /* inside a number or a word, or between elements */
        }
        if (depth == 0) break;
    }
    return s;
}

static const char *skip(const char *s, const char *end, char mark)
{
    while (s < end && (is_blank(*s) || *s == mark)) s++;
    return s;
}

void guard_members_open(guard_members *m, const char *object, size_t len)
{
    *m = (guard_members){object, object + len, {NULL, 0}, {NULL, 0}};
    m->at = skip(m->at, m->end, '{');
}

bool guard_members_next(guard_members *m)
{
    const char *s = skip(m->at, m->end, ',');

    if (s >= m->end || *s != '"') return false;
    m->key.s = s;
    s = after_string(s);
    m->key.n = (size_t)(s - m->key.s);
    s = skip(s, m->end, ':');
    m->value.s = s;
    m->at = after_value(s, m->end);
    m->value.n = (size_t)(m->at - s);
    return true;
}

/* --- parsing ------------------------------------------------------------------------------- */

/* jansson refuses \u0000 in a key. A copy in which keys have \ufffd there. The text is valid up to that key, but maybe
 * not beyond: string ends are searched with the end of the text in sight. */
static nn_status without_null_keys(char **out, const char *bytes, size_t len, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, len + 1, 1, err);
    char *copy = block;

    *out = copy;
    if (st != NN_OK) return st;
    memcpy(copy, bytes, len);
    for (size_t i = 0; i < len; i++) {
        if (copy[i] != '"') continue;
        const size_t start = i;
        for (i++; i < len && copy[i] != '"'; i++) {
            if (copy[i] == '\\') i++;
        }
        size_t colon = i + 1;
        while (colon < len && is_blank(copy[colon])) colon++;
        if (colon >= len || copy[colon] != ':') continue;
        for (size_t j = start + 1; j + 6 <= i; j++) {
            if (copy[j] != '\\') continue;
            if (memcmp(copy + j, "\\u0000", 6) == 0) memcpy(copy + j, "\\ufffd", 6);
            j++; /* the escaped character */
        }
    }
    return NN_OK;
}

static nn_status parse_failed(const json_error_t *e, const char *where, nn_err *err)
{
    if (json_error_code(e) == json_error_out_of_memory)
        return nn_fail(err, NN_LIMIT, "%s: no memory for this JSON", where);
    return nn_fail(err, NN_CONTENT, "%s: JSON: %s at byte %d, want valid JSON", where, e->text, e->position);
}

nn_status guard_json_parse(json_t **out, const char *bytes, size_t len, bool unique, const char *where, nn_err *err)
{
    /* Integers as reals: those beyond 64 bits are valid JSON too; who needs the digits looks at the text. */
    const size_t flags =
        JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | (unique ? JSON_REJECT_DUPLICATES : 0);
    json_error_t e = {0};

    *out = NULL;
    if (memchr(bytes, 0, len)) { /* jansson would stop there and be content */
        return nn_fail(err, NN_CONTENT, "%s: JSON: a zero byte, want UTF-8 text", where);
    }
    *out = json_loadb(bytes, len, flags, &e);
    if (!*out && json_error_code(&e) == json_error_null_byte_in_key) {
        char *copy = NULL;
        const nn_status st = without_null_keys(&copy, bytes, len, err);
        if (st != NN_OK) return st;
        *out = json_loadb(copy, len, flags, &e);
        nn_free(copy);
    }
    return *out ? NN_OK : parse_failed(&e, where, err);
}
