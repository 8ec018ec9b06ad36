/* cursor.h - reads untrusted bytes without ever leaving them.
 *
 * Reads: err.h.   Read next: fmt_safetensors.c, fmt_gguf.c (its users).
 * Why: a file claims lengths. The cursor believes none of them: every read is
 * checked against what is left, the first failure sticks with the byte where it
 * happened, and later reads return zeros, so a parser may check once at the end
 * of each record.
 * Ownership: borrows the bytes and the name.
 */
#ifndef NN_CURSOR_H
#define NN_CURSOR_H
#include "nn/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const unsigned char *bytes;
    size_t len, pos;
    const char *name; /* object named in messages */
    nn_status status; /* sticky */
    nn_err *err;      /* may be NULL */
} nn_cursor;

void nn_cursor_init(nn_cursor *c, const void *bytes, size_t len, const char *name, nn_err *err);
size_t nn_cursor_left(const nn_cursor *c);
uint8_t nn_cursor_u8(nn_cursor *c);
uint16_t nn_cursor_u16(nn_cursor *c); /* little-endian on every machine */
uint32_t nn_cursor_u32(nn_cursor *c);
uint64_t nn_cursor_u64(nn_cursor *c);
float nn_cursor_f32(nn_cursor *c);
double nn_cursor_f64(nn_cursor *c);
/* n bytes in place, or NULL (and the sticky error) when fewer are left. */
const unsigned char *nn_cursor_bytes(nn_cursor *c, uint64_t n);
void nn_cursor_seek(nn_cursor *c, uint64_t pos);
/* A 64-bit count of elements of at least min_bytes each that must still fit; 0 and the sticky error otherwise. */
size_t nn_cursor_count(nn_cursor *c, uint64_t claimed, size_t min_bytes, const char *what);
/* "name: byte pos: message" (first cause stays); returns the status to hand up. */
nn_status nn_cursor_fail(nn_cursor *c, const char *fmt, ...) NN_PRINTF(2, 3);
#endif
