/* fmt_safetensors_write.c - writes safetensors files: the same bytes for the same input.
 *
 * Reads: fmt_safetensors.c (the format), sink.h.
 * Order is the caller's: metadata first, then the tensors, their data back to back; the header is
 * padded with blanks to 8 bytes so that a mapped file holds aligned floats. Data goes to the file a piece at a time: a
 * checkpoint is three times a model, and who is training one has no room for three more.
 */
#include "nn/arena.h"
#include "nn/safetensors.h"
#include "nn/sink.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PIECE_FLOATS ((size_t)1 << 16)

static void add_number(nn_sink *s, uint64_t v)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%" PRIu64, v);
    nn_sink_str(s, digits);
}

static size_t count_of(size_t rows, size_t cols)
{
    return rows ? rows * cols : cols;
}

static void add_metadata(nn_sink *s, const nn_st_pair *meta, size_t n)
{
    nn_sink_str(s, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        if (i) nn_sink_str(s, ",");
        nn_sink_quoted(s, meta[i].key);
        nn_sink_str(s, ":");
        nn_sink_quoted(s, meta[i].value);
    }
    nn_sink_str(s, "}");
}

/* Returns the end of its data. */
static uint64_t add_tensor(nn_sink *s, const nn_st_plan *t, uint64_t begin)
{
    const uint64_t end = begin + nn_dtype_bytes(t->type, count_of(t->rows, t->cols));

    nn_sink_quoted(s, t->name);
    nn_sink_str(s, ":{\"dtype\":");
    nn_sink_quoted(s, nn_dtype_name(t->type));
    nn_sink_str(s, ",\"shape\":[");
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

/* The length of the header, the metadata. */
static void begin_header(nn_sink *s, const nn_st_pair *meta, size_t n_meta)
{
    nn_sink_u64(s, 0); /* known in the end */
    nn_sink_str(s, "{");
    if (n_meta) add_metadata(s, meta, n_meta);
}

static nn_status end_header(nn_sink *s, nn_err *err)
{
    nn_sink_str(s, "}");
    nn_sink_pad(s, 8, ' ');
    const nn_status st = nn_sink_status(s, err);
    if (st != NN_OK) return st;
    const uint64_t len = s->len - 8;
    for (size_t i = 0; i < 8; i++) s->bytes[i] = (unsigned char)(len >> 8 * i & 0xffu);
    return NN_OK;
}

nn_status nn_st_head(unsigned char **bytes, size_t *len, const nn_st_plan *tensor, size_t n, const nn_st_pair *meta,
                     size_t n_meta, nn_err *err)
{
    nn_sink s = {0};
    uint64_t at = 0;

    begin_header(&s, meta, n_meta);
    for (size_t i = 0; i < n; i++) {
        if (i || n_meta) nn_sink_str(&s, ",");
        at = add_tensor(&s, &tensor[i], at);
    }
    const nn_status st = end_header(&s, err);
    if (st != NN_OK) nn_sink_free(&s);
    *bytes = s.bytes;
    *len = s.len;
    return st;
}

/* A tensor's floats in the file's byte order, a piece at a time. piece: PIECE_FLOATS of them */
static nn_status put_floats(nn_file_out *f, unsigned char *piece, const float *data, size_t n, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = 0; i < n && st == NN_OK; i += PIECE_FLOATS) {
        const size_t some = n - i < PIECE_FLOATS ? n - i : PIECE_FLOATS;

        nn_dtype_from_f32(piece, NN_F32, data + i, some);
        st = nn_file_out_put(f, piece, nn_dtype_bytes(NN_F32, some), err);
    }
    return st;
}

static nn_status put_all(nn_file_out *f, const nn_sink *head, const nn_st_out *tensor, size_t n, nn_err *err)
{
    unsigned char *piece = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&piece, nn_dtype_bytes(NN_F32, PIECE_FLOATS), 1, err)) != NN_OK) return st;
    st = nn_file_out_put(f, head->bytes, head->len, err);
    for (size_t i = 0; i < n && st == NN_OK; i++)
        st = put_floats(f, piece, tensor[i].data, count_of(tensor[i].rows, tensor[i].cols), err);
    nn_free(piece);
    return st;
}

nn_status nn_st_write(const char *path, const nn_st_out *tensor, size_t n, const nn_st_pair *meta, size_t n_meta,
                      nn_err *err)
{
    nn_file_out *f = NULL;
    nn_sink s = {0};
    uint64_t at = 0;
    nn_status st;

    begin_header(&s, meta, n_meta);
    for (size_t i = 0; i < n; i++) {
        const nn_st_plan t = {tensor[i].name, tensor[i].rows, tensor[i].cols, NN_F32};

        if (i || n_meta) nn_sink_str(&s, ",");
        at = add_tensor(&s, &t, at);
    }
    if ((st = end_header(&s, err)) != NN_OK) goto done;
    if ((st = nn_file_out_open(&f, path, err)) != NN_OK) goto done;
    if ((st = put_all(f, &s, tensor, n, err)) == NN_OK) st = nn_file_out_commit(f, err);
done:
    nn_file_out_close(f);
    nn_sink_free(&s);
    return st;
}
