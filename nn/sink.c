#include "nn/sink.h"
#include "nn/arena.h"
#include <stdio.h>
#include <string.h>

void nn_sink_free(nn_sink *s)
{
    nn_free(s->bytes);
    memset(s, 0, sizeof *s);
}

unsigned char *nn_sink_room(nn_sink *s, size_t n)
{
    if (s->err.status != NN_OK) return NULL;
    if (n > SIZE_MAX - s->len) {
        nn_fail(&s->err, NN_LIMIT, "a file of more bytes than this machine can address");
        return NULL;
    }
    if (nn_grow((void **)&s->bytes, &s->cap, s->len + n, 1, &s->err) != NN_OK) return NULL;
    s->len += n;
    return s->bytes + (s->len - n);
}

void nn_sink_add(nn_sink *s, const void *bytes, size_t n)
{
    unsigned char *room = n ? nn_sink_room(s, n) : NULL;

    if (room) memcpy(room, bytes, n);
}

void nn_sink_str(nn_sink *s, const char *text)
{
    nn_sink_add(s, text, strlen(text));
}

void nn_sink_quoted(nn_sink *s, const char *text)
{
    nn_sink_str(s, "\"");
    for (; *text; text++) {
        const unsigned char b = (unsigned char)*text;
        char hex[8];

        if (b == '"' || b == '\\') nn_sink_str(s, "\\");
        if (b < 0x20) {
            snprintf(hex, sizeof hex, "\\u%04x", (unsigned)b);
            nn_sink_str(s, hex);
        } else {
            nn_sink_u8(s, b);
        }
    }
    nn_sink_str(s, "\"");
}

void nn_sink_u8(nn_sink *s, unsigned v)
{
    const unsigned char b = (unsigned char)(v & 0xffu);

    nn_sink_add(s, &b, 1);
}

static void add_le(nn_sink *s, uint64_t v, size_t n)
{
    unsigned char *room = nn_sink_room(s, n);

    for (size_t i = 0; room && i < n; i++) room[i] = (unsigned char)(v >> 8 * i & 0xffu);
}

void nn_sink_u32(nn_sink *s, uint32_t v)
{
    add_le(s, v, 4);
}

void nn_sink_u64(nn_sink *s, uint64_t v)
{
    add_le(s, v, 8);
}

void nn_sink_pad(nn_sink *s, size_t step, unsigned fill)
{
    while (s->err.status == NN_OK && s->len % step != 0) nn_sink_u8(s, fill);
}

nn_status nn_sink_status(const nn_sink *s, nn_err *err)
{
    if (s->err.status == NN_OK) return NN_OK;
    return nn_fail(err, s->err.status, "%s", s->err.text);
}
