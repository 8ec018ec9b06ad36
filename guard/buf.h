/* buf.h - a growing byte buffer that writes JSON with one format for every number.
 *
 * Why: the reproducible half of a run folder is compared byte by byte, so floats (%.9g), doubles (%.17g), key order
 * and escapes are decided here, once, whatever the locale. Sticky: the first failure stays and later calls do
 * nothing; check status once, at the end.
 * Ownership: owns its bytes; guard_buf_free. A zeroed guard_buf is empty and
 * valid.
 */
#ifndef GUARD_BUF_H
#define GUARD_BUF_H
#include "nn/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    char *bytes; /* zero-terminated after every call */
    size_t len, cap;
    nn_status status;
} guard_buf;

void guard_buf_free(guard_buf *b);
void guard_buf_clear(guard_buf *b);
void guard_buf_add(guard_buf *b, const void *bytes, size_t len);
void guard_buf_str(guard_buf *b, const char *s);
void guard_buf_fmt(guard_buf *b, const char *fmt, ...)
    NN_PRINTF(2, 3); /* no %f %g: numbers go through guard_json_* */
NN_CHECKED nn_status guard_buf_status(const guard_buf *b, nn_err *err);

/* JSON pieces; the caller writes braces and calls guard_json_key, which puts the comma. */
void guard_json_key(guard_buf *b, const char *key);           /* ,"key": (no comma after { or [) */
void guard_json_str(guard_buf *b, const char *s, size_t len); /* quoted; ill-formed UTF-8 becomes U+FFFD */
void guard_json_float(guard_buf *b, float v);                 /* %.9g; NaN and infinities set the sticky NN_CONTENT */
void guard_json_double(guard_buf *b, double v);               /* %.17g */
void guard_json_u64(guard_buf *b, uint64_t v);
void guard_json_bool(guard_buf *b, bool v);
void guard_json_null(guard_buf *b);
void guard_json_comma(guard_buf *b); /* a comma unless after { [ or : */
/* The number as text, the same bytes in every locale; out holds at least 32. */
void guard_fmt_double(char *out, double v);
void guard_fmt_fixed(char *out, double v, int digits); /* for tables: -1234.500 */
#endif
