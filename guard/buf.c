#include "guard/buf.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void guard_buf_free(guard_buf *b)
{
    if (!b) return;
    nn_free(b->bytes);
    *b = (guard_buf){NULL, 0, 0, NN_OK};
}

void guard_buf_clear(guard_buf *b)
{
    b->len = 0;
    b->status = NN_OK;
    if (b->bytes) b->bytes[0] = '\0';
}

/* Room for `more` bytes and the zero byte after them; false once anything has failed. */
static bool make_room(guard_buf *b, size_t more)
{
    void *block = b->bytes;

    if (b->status != NN_OK) return false;
    if (more > SIZE_MAX - b->len - 1) {
        b->status = NN_LIMIT;
        return false;
    }
    b->status = nn_grow(&block, &b->cap, b->len + more + 1, 1, NULL);
    b->bytes = block;
    return b->status == NN_OK;
}

void guard_buf_add(guard_buf *b, const void *bytes, size_t len)
{
    if (!make_room(b, len)) return;
    if (len) memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
    b->bytes[b->len] = '\0';
}

void guard_buf_str(guard_buf *b, const char *s)
{
    guard_buf_add(b, s, strlen(s));
}

void guard_buf_fmt(guard_buf *b, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    const int need = vsnprintf(NULL, 0, fmt, args);
    if (need < 0) {
        b->status = NN_LIMIT;
    } else if (make_room(b, (size_t)need)) {
        vsnprintf(b->bytes + b->len, (size_t)need + 1, fmt, again);
        b->len += (size_t)need;
    }
    va_end(again);
    va_end(args);
}

nn_status guard_buf_status(const guard_buf *b, nn_err *err)
{
    switch (b->status) {
    case NN_OK: return NN_OK;
    case NN_CONTENT:
        return nn_fail(err, NN_CONTENT, "number: not finite after %zu bytes of JSON, want a finite one", b->len);
    default: return nn_fail(err, b->status, "memory: no room for a text of more than %zu bytes", b->len);
    }
}

/* --- numbers ------------------------------------------------------------------------------ */

/* What printf writes depends on LC_NUMERIC in one place: whatever is neither digit, sign nor exponent
 * is the decimal point, of one byte or several. */
static void point_only(char *s)
{
    char *to = s;

    for (const char *from = s; *from;) {
        if (strchr("0123456789+-e", *from)) {
            *to++ = *from++;
            continue;
        }
        *to++ = '.';
        while (*from && !strchr("0123456789+-e", *from)) from++;
    }
    *to = '\0';
}

static bool odd_number(char *out, double v)
{
    if (!isnan(v) && !isinf(v)) return false;
    strcpy(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf"); /* some libraries print "-nan" */
    return true;
}

/* "-0" would be read back as an integer without a sign. */
static void keep_sign(char *out)
{
    if (strcmp(out, "-0") == 0) strcpy(out, "-0.0");
}

void guard_fmt_double(char *out, double v)
{
    if (odd_number(out, v)) return;
    snprintf(out, 32, "%.17g", v);
    point_only(out);
    keep_sign(out);
}

void guard_fmt_fixed(char *out, double v, int digits)
{
    if (odd_number(out, v)) return;
    if (snprintf(out, 32, "%.*f", digits, v) >= 32) snprintf(out, 32, "%.*e", digits < 16 ? digits : 16, v);
    point_only(out);
}

void guard_json_float(guard_buf *b, float v)
{
    char text[32];

    if (isnan(v) || isinf(v)) {
        if (b->status == NN_OK) b->status = NN_CONTENT;
        return;
    }
    snprintf(text, sizeof text, "%.9g", (double)v);
    point_only(text);
    keep_sign(text);
    guard_buf_str(b, text);
}

void guard_json_double(guard_buf *b, double v)
{
    char text[32];

    if (isnan(v) || isinf(v)) {
        if (b->status == NN_OK) b->status = NN_CONTENT;
        return;
    }
    guard_fmt_double(text, v);
    guard_buf_str(b, text);
}

void guard_json_u64(guard_buf *b, uint64_t v)
{
    char text[21];
    size_t at = sizeof text;

    text[--at] = '\0';
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    guard_buf_str(b, text + at);
}

/* --- the rest of JSON --------------------------------------------------------------------- */

void guard_json_bool(guard_buf *b, bool v)
{
    guard_buf_str(b, v ? "true" : "false");
}

void guard_json_null(guard_buf *b)
{
    guard_buf_str(b, "null");
}

/* Line ends too need none: several rows may stand in one buffer. */
void guard_json_comma(guard_buf *b)
{
    if (b->len && !strchr("{[:\n", b->bytes[b->len - 1])) guard_buf_add(b, ",", 1);
}

void guard_json_key(guard_buf *b, const char *key)
{
    guard_json_comma(b);
    guard_json_str(b, key, strlen(key));
    guard_buf_add(b, ":", 1);
}

/* c is a quote, a backslash or a control character. */
static void escape(guard_buf *b, char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *at = c ? strchr(plain, c) : NULL;

    if (at) {
        const char pair[2] = {'\\', letter[at - plain]};
        guard_buf_add(b, pair, 2);
    } else {
        guard_buf_fmt(b, "\\u%04x", (unsigned)c);
    }
}

void guard_json_str(guard_buf *b, const char *s, size_t len)
{
    size_t start = 0; /* of the run not yet copied */

    guard_buf_add(b, "\"", 1);
    for (size_t i = 0; i < len;) {
        const unsigned char c = (unsigned char)s[i];
        size_t used = 1;
        bool bad = false;
        uint32_t cp = c;

        if (c >= 0x80) used = nn_utf8_decode((const unsigned char *)s + i, len - i, &cp, &bad);
        if (!bad && c != '"' && c != '\\' && c >= 0x20) {
            i += used;
            continue;
        }
        guard_buf_add(b, s + start, i - start);
        if (bad) guard_buf_str(b, "\xef\xbf\xbd");
        else escape(b, s[i]);
        i += used;
        start = i;
    }
    guard_buf_add(b, s + start, len - start);
    guard_buf_add(b, "\"", 1);
}
