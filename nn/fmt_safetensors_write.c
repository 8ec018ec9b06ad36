/* fmt_safetensors_write.c - writes safetensors files: the same bytes for the same input.
 *
 * Reads: fmt_safetensors.c (the format), sink.h.
 * Order is the caller's: metadata first, then the tensors, their data back to back; the header is
 * padded with blanks to 8 bytes so that a mapped file holds aligned floats.
 */
#include "nn/safetensors.h"
#include "nn/sink.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void add_number(nn_sink *s, uint64_t v)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%" PRIu64, v);
    nn_sink_str(s, digits);
}

/* A JSON string; the caller's text is UTF-8. */
static void add_quoted(nn_sink *s, const char *text)
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

static size_t out_count(const nn_st_out *t)
{
    return t->rows ? t->rows * t->cols : t->cols;
}

static void add_metadata(nn_sink *s, const nn_st_pair *meta, size_t n)
{
    nn_sink_str(s, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        if (i) nn_sink_str(s, ",");
        add_quoted(s, meta[i].key);
        nn_sink_str(s, ":");
        add_quoted(s, meta[i].value);
    }
    nn_sink_str(s, "}");
}

/* Returns the end of its data. */
static uint64_t add_tensor(nn_sink *s, const nn_st_out *t, uint64_t begin)
{
    const uint64_t end = begin + nn_dtype_bytes(NN_F32, out_count(t));

    add_quoted(s, t->name);
    nn_sink_str(s, ":{\"dtype\":\"F32\",\"shape\":[");
    if (t->rows) {
        add_number(s, t->rows);
        nn_sink_str(s, ",");
    }
    add_number(s, t->cols);
    nn_sink_str(s, "],\"data_offsets\":[");
    add_number(s, begin);
    nn_sink_str(s, ",");
    add_number(s, end);
    nn_sink_str(s, "]}");
    return end;
}

static void add_header(nn_sink *s, const nn_st_out *tensor, size_t n, const nn_st_pair *meta, size_t n_meta)
{
    uint64_t at = 0;

    nn_sink_str(s, "{");
    if (n_meta) add_metadata(s, meta, n_meta);
    for (size_t i = 0; i < n; i++) {
        if (i || n_meta) nn_sink_str(s, ",");
        at = add_tensor(s, &tensor[i], at);
    }
    nn_sink_str(s, "}");
    nn_sink_pad(s, 8, ' ');
}

nn_status nn_st_write(const char *path, const nn_st_out *tensor, size_t n, const nn_st_pair *meta, size_t n_meta,
                      nn_err *err)
{
    nn_sink s = {0};
    nn_status st;

    nn_sink_u64(&s, 0); /* the header's length, known below */
    add_header(&s, tensor, n, meta, n_meta);
    const uint64_t header_len = s.len - 8;
    for (size_t i = 0; i < n; i++) {
        const size_t count = out_count(&tensor[i]);
        unsigned char *room = nn_sink_room(&s, nn_dtype_bytes(NN_F32, count));

        if (room) nn_dtype_from_f32(room, NN_F32, tensor[i].data, count);
    }
    if ((st = nn_sink_status(&s, err)) == NN_OK) {
        for (size_t i = 0; i < 8; i++) s.bytes[i] = (unsigned char)(header_len >> 8 * i & 0xffu);
        st = nn_file_write(path, s.bytes, s.len, err);
    }
    nn_sink_free(&s);
    return st;
}
