#include "nn/cursor.h"
#include <stdio.h>
#include <string.h>

void nn_cursor_init(nn_cursor *c, const void *bytes, size_t len, const char *name, nn_err *err)
{
    *c = (nn_cursor){bytes, len, 0, name, NN_OK, err};
}

size_t nn_cursor_left(const nn_cursor *c)
{
    return c->status == NN_OK ? c->len - c->pos : 0; /* so that a loop over what is left ends */
}

nn_status nn_cursor_fail(nn_cursor *c, const char *fmt, ...)
{
    char text[NN_ERR_MAX];
    va_list args;

    if (c->status != NN_OK) return c->status;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->status = nn_fail(c->err, NN_FILE, "%s: byte %zu: %s", c->name, c->pos, text);
    return c->status;
}

const unsigned char *nn_cursor_bytes(nn_cursor *c, uint64_t n)
{
    if (c->status != NN_OK) return NULL;
    if (n > c->len - c->pos) {
        nn_cursor_fail(c, "ends early: %zu bytes left, want %llu", c->len - c->pos, (unsigned long long)n);
        return NULL;
    }
    const unsigned char *at = c->bytes + c->pos;
    c->pos += (size_t)n;
    return at;
}

/* The next n <= 8 bytes as a little-endian number, written without casts so that any machine agrees. */
static uint64_t little_endian(nn_cursor *c, size_t n)
{
    const unsigned char *b = nn_cursor_bytes(c, n);
    uint64_t v = 0;

    if (!b) return 0;
    for (size_t i = n; i-- > 0;) v = v << 8 | b[i];
    return v;
}

uint8_t nn_cursor_u8(nn_cursor *c)
{
    return (uint8_t)little_endian(c, 1);
}

uint16_t nn_cursor_u16(nn_cursor *c)
{
    return (uint16_t)little_endian(c, 2);
}

uint32_t nn_cursor_u32(nn_cursor *c)
{
    return (uint32_t)little_endian(c, 4);
}

uint64_t nn_cursor_u64(nn_cursor *c)
{
    return little_endian(c, 8);
}

float nn_cursor_f32(nn_cursor *c)
{
    const uint32_t bits = nn_cursor_u32(c);
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

double nn_cursor_f64(nn_cursor *c)
{
    const uint64_t bits = nn_cursor_u64(c);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

void nn_cursor_seek(nn_cursor *c, uint64_t pos)
{
    if (c->status != NN_OK) return;
    if (pos > c->len) {
        nn_cursor_fail(c, "offset %llu lies beyond the end, %zu bytes", (unsigned long long)pos, c->len);
        return;
    }
    c->pos = (size_t)pos;
}

size_t nn_cursor_count(nn_cursor *c, uint64_t claimed, size_t min_bytes, const char *what)
{
    NN_ASSERT(min_bytes > 0);
    if (c->status != NN_OK) return 0;
    const size_t most = (c->len - c->pos) / min_bytes;
    if (claimed > most) {
        nn_cursor_fail(c, "%s: %llu claimed, at most %zu fit", what, (unsigned long long)claimed, most);
        return 0;
    }
    return (size_t)claimed;
}
