/* fmt_gguf_write.c - writes GGUF version 3: the same bytes for the same calls.
 *
 * Reads: fmt_gguf.c (the format), sink.h.
 * Keys, infos and data grow in three runs, joined at the end behind the header; tensor data is
 * aligned to 32 bytes unless told otherwise. The finished bytes are read once by our own reader, so a key or tensor put
 * twice is found here and not by who receives the file. Tensors put later are a list instead of a run: the file is then
 * written in pieces, which nobody has whole.
 */
#include "nn/arena.h"
#include "nn/gguf_impl.h"
#include "nn/quantize.h"
#include "nn/sha256.h"
#include "nn/sink.h"
#include <math.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20) /* converted and written at once, or one row */

/* A tensor whose data is written when the file is saved. */
typedef struct {
    nn_dtype type;
    const unsigned char *bytes; /* as they go into the file; else */
    const float *data;          /* [rows, cols]; else */
    nn_gguf_rows_fn fn;
    void *ctx;
    const char *name; /* of fn's, for messages: the caller's */
    size_t rows, cols, len; /* len: bytes in the file */
} later_tensor;

struct nn_gguf_writer {
    nn_sink keys, infos, data, whole;
    size_t n_keys, n_tensors;
    size_t align; /* of tensor data */
    size_t planned; /* bytes of tensors whose data comes later */
    bool later;     /* ours to write, and kept here: */
    later_tensor *tensor;
    size_t n_later, later_cap;
    nn_err err; /* the first refused call */
};

nn_status nn_gguf_writer_build(nn_gguf_writer **out, nn_err *err)
{
    const nn_status st = nn_alloc((void **)out, 1, sizeof **out, err);

    if (st == NN_OK) (*out)->align = NN_GG_ALIGN;
    return st;
}

void nn_gguf_writer_free(nn_gguf_writer *w)
{
    if (!w) return;
    nn_sink_free(&w->keys);
    nn_sink_free(&w->infos);
    nn_sink_free(&w->data);
    nn_sink_free(&w->whole);
    nn_free(w->tensor);
    nn_free(w);
}

/* --- keys --------------------------------------------------------------------------------- */

static void add_string(nn_sink *s, const char *text, size_t len)
{
    nn_sink_u64(s, len);
    nn_sink_add(s, text, len);
}

static void add_f32(nn_sink *s, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    nn_sink_u32(s, bits);
}

/* Key and type; the value follows. */
static void begin_key(nn_gguf_writer *w, const char *key, nn_gg_type type)
{
    w->n_keys++;
    add_string(&w->keys, key, strlen(key));
    nn_sink_u32(&w->keys, (uint32_t)type);
}

static void begin_array(nn_gguf_writer *w, const char *key, nn_gg_type elem, size_t n)
{
    begin_key(w, key, NN_GG_ARRAY);
    nn_sink_u32(&w->keys, (uint32_t)elem);
    nn_sink_u64(&w->keys, n);
}

void nn_gguf_put_u32(nn_gguf_writer *w, const char *key, uint32_t v)
{
    begin_key(w, key, NN_GG_U32);
    nn_sink_u32(&w->keys, v);
}

void nn_gguf_put_u64(nn_gguf_writer *w, const char *key, uint64_t v)
{
    begin_key(w, key, NN_GG_U64);
    nn_sink_u64(&w->keys, v);
}

void nn_gguf_put_f32(nn_gguf_writer *w, const char *key, float v)
{
    begin_key(w, key, NN_GG_F32);
    add_f32(&w->keys, v);
}

void nn_gguf_put_bool(nn_gguf_writer *w, const char *key, bool v)
{
    begin_key(w, key, NN_GG_BOOL);
    nn_sink_u8(&w->keys, v ? 1u : 0u);
}

void nn_gguf_put_str(nn_gguf_writer *w, const char *key, const char *v)
{
    begin_key(w, key, NN_GG_STRING);
    add_string(&w->keys, v, strlen(v));
}

void nn_gguf_put_strs(nn_gguf_writer *w, const char *key, const char *const *v, const size_t *len, size_t n)
{
    begin_array(w, key, NN_GG_STRING, n);
    for (size_t i = 0; i < n; i++) add_string(&w->keys, v[i], len ? len[i] : strlen(v[i]));
}

void nn_gguf_put_f32s(nn_gguf_writer *w, const char *key, const float *v, size_t n)
{
    begin_array(w, key, NN_GG_F32, n);
    for (size_t i = 0; i < n; i++) add_f32(&w->keys, v[i]);
}

void nn_gguf_put_i32s(nn_gguf_writer *w, const char *key, const int32_t *v, size_t n)
{
    begin_array(w, key, NN_GG_I32, n);
    for (size_t i = 0; i < n; i++) nn_sink_u32(&w->keys, (uint32_t)v[i]);
}

void nn_gguf_put_u8s(nn_gguf_writer *w, const char *key, const unsigned char *v, size_t n)
{
    begin_array(w, key, NN_GG_U8, n);
    nn_sink_add(&w->keys, v, n);
}

/* --- tensors ------------------------------------------------------------------------------ */

/* What floats can be written as. */
static bool type_id(nn_dtype type, uint32_t *id)
{
    return (type == NN_F32 || type == NN_F16 || type == NN_BF16 || type == NN_Q8_0 || type == NN_Q4_0) &&
           nn_gg_type_id(type, id);
}

void nn_gguf_put_alignment(nn_gguf_writer *w, uint32_t align)
{
    NN_ASSERT(w->n_tensors == 0 && align >= NN_GG_ALIGN && align <= 4096 && (align & (align - 1)) == 0);
    nn_gguf_put_u32(w, "general.alignment", align);
    w->align = align;
}

/* Name, shape, type and place of a tensor whose data comes next. */
static void begin_tensor(nn_gguf_writer *w, const char *name, size_t rows, size_t cols, uint32_t type)
{
    w->n_tensors++;
    NN_ASSERT(w->planned == 0 || w->data.len == 0); /* all planned, or none */
    nn_sink_pad(&w->data, w->align, 0);
    add_string(&w->infos, name, strlen(name));
    nn_sink_u32(&w->infos, rows ? 2 : 1);
    nn_sink_u64(&w->infos, cols);
    if (rows) nn_sink_u64(&w->infos, rows);
    nn_sink_u32(&w->infos, type);
    nn_sink_u64(&w->infos, w->planned ? w->planned : w->data.len);
}

void nn_gguf_put_later(nn_gguf_writer *w)
{
    NN_ASSERT(w->n_tensors == 0);
    w->later = true;
}

static void add_later(nn_gguf_writer *w, later_tensor t)
{
    if (nn_grow((void **)&w->tensor, &w->later_cap, w->n_later + 1, sizeof *w->tensor, &w->err) != NN_OK) return;
    w->tensor[w->n_later++] = t;
    w->planned += (t.len + w->align - 1) / w->align * w->align;
}

void nn_gguf_put_i8(nn_gguf_writer *w, const char *name, const int8_t *panels, size_t rows, size_t cols)
{
    const size_t r = nn_i8_rows(rows), c = nn_i8_cols(cols);

    begin_tensor(w, name, r, c, NN_GG_TYPE_I8);
    if (w->later) add_later(w, (later_tensor){.bytes = (const unsigned char *)panels, .len = r * c});
    else nn_sink_add(&w->data, panels, r * c);
}

void nn_gguf_put_stored(nn_gguf_writer *w, const char *name, nn_dtype type, const unsigned char *bytes, size_t rows,
                        size_t cols)
{
    uint32_t id = 0;

    if (!nn_dtype_is_weights(type) || !nn_gg_type_id(type, &id) || cols % nn_dtype_block(type) != 0) {
        nn_fail(&w->err, NN_USAGE, "tensor %s: rows of %zu numbers of type %s, want whole blocks of weights", name,
                cols, nn_dtype_name(type));
        return;
    }
    const size_t len = rows * nn_dtype_bytes(type, cols);

    begin_tensor(w, name, rows, cols, id);
    if (w->later) add_later(w, (later_tensor){.bytes = bytes, .len = len});
    else nn_sink_add(&w->data, bytes, len);
}

/* A weight that is not a number must never reach a file. */
static bool all_finite(const float *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(data[i])) return false;
    return true;
}

/* Whether floats can be written so; *id is the type's number. */
static bool check_floats(nn_gguf_writer *w, const char *name, nn_dtype type, size_t cols, uint32_t *id)
{
    if (!type_id(type, id)) {
        nn_fail(&w->err, NN_USAGE, "tensor %s: a storage type for reading only, want F32, F16, BF16, Q8_0 or Q4_0",
                name);
        return false;
    }
    if (cols % nn_dtype_block(type) == 0) return true;
    nn_fail(&w->err, NN_USAGE, "tensor %s: rows of %zu numbers in %s, want a multiple of %zu", name, cols,
            nn_dtype_name(type), nn_dtype_block(type));
    return false;
}

void nn_gguf_put_rows(nn_gguf_writer *w, const char *name, nn_dtype type, nn_gguf_rows_fn fn, void *ctx, size_t rows,
                      size_t cols)
{
    uint32_t id = 0;

    NN_ASSERT(w->later);
    if (!check_floats(w, name, type, cols, &id)) return;
    begin_tensor(w, name, rows, cols, id);
    add_later(w, (later_tensor){.type = type, .fn = fn, .ctx = ctx, .name = name, .rows = rows ? rows : 1,
                                .cols = cols, .len = (rows ? rows : 1) * nn_dtype_bytes(type, cols)});
}

void nn_gguf_put_tensor(nn_gguf_writer *w, const char *name, nn_dtype type, const float *data, size_t rows,
                        size_t cols)
{
    const size_t n = rows ? rows * cols : cols;
    uint32_t id = 0;

    if (!check_floats(w, name, type, cols, &id)) return;
    if (!all_finite(data, n)) {
        nn_fail(&w->err, NN_CONTENT, "tensor %s: holds a NaN or an infinity", name);
        return;
    }
    begin_tensor(w, name, rows, cols, id);
    if (w->later) {
        add_later(w, (later_tensor){.type = type, .data = data, .rows = rows ? rows : 1, .cols = cols,
                                    .len = nn_dtype_bytes(type, n)});
        return;
    }
    unsigned char *room = nn_sink_room(&w->data, nn_dtype_bytes(type, n));
    if (room) nn_dtype_from_f32(room, type, data, n);
}

void nn_gguf_plan_tensor(nn_gguf_writer *w, const char *name, nn_dtype type, size_t rows, size_t cols)
{
    const size_t bytes = (rows ? rows : 1) * nn_dtype_bytes(type, cols);
    uint32_t id = 0;

    NN_ASSERT(w->data.len == 0 && !w->later && nn_gg_type_id(type, &id) && cols % nn_dtype_block(type) == 0);
    (void)nn_gg_type_id(type, &id);
    begin_tensor(w, name, rows, cols, id);
    w->planned += (bytes + w->align - 1) / w->align * w->align;
}

/* --- the whole file ----------------------------------------------------------------------- */

/* Everything before the data, and padding up to it. */
static nn_status join_head(nn_gguf_writer *w, nn_err *err)
{
    nn_sink *s = &w->whole;
    nn_status st;

    if (w->err.status != NN_OK) return nn_fail(err, w->err.status, "%s", w->err.text);
    if ((st = nn_sink_status(&w->keys, err)) != NN_OK || (st = nn_sink_status(&w->infos, err)) != NN_OK ||
        (st = nn_sink_status(&w->data, err)) != NN_OK)
        return st;
    nn_sink_free(s);
    nn_sink_u32(s, NN_GG_MAGIC);
    nn_sink_u32(s, NN_GG_VERSION);
    nn_sink_u64(s, w->n_tensors);
    nn_sink_u64(s, w->n_keys);
    nn_sink_add(s, w->keys.bytes, w->keys.len);
    nn_sink_add(s, w->infos.bytes, w->infos.len);
    nn_sink_pad(s, w->align, 0);
    return nn_sink_status(s, err);
}

static nn_status join(nn_gguf_writer *w, nn_err *err)
{
    nn_sink *s = &w->whole;
    const nn_status st = join_head(w, err);

    NN_ASSERT(w->planned == 0 && !w->later);
    if (st != NN_OK) return st;
    nn_sink_add(s, w->data.bytes, w->data.len);
    nn_sink_pad(s, w->align, 0);
    return nn_sink_status(s, err);
}

nn_status nn_gguf_head(nn_gguf_writer *w, const unsigned char **bytes, size_t *len, size_t *align, nn_err *err)
{
    const nn_status st = join_head(w, err);

    *bytes = st == NN_OK ? w->whole.bytes : NULL;
    *len = st == NN_OK ? w->whole.len : 0;
    *align = w->align;
    return st;
}

nn_status nn_gguf_bytes(nn_gguf_writer *w, const unsigned char **bytes, size_t *len, nn_err *err)
{
    nn_gguf *check = NULL;
    nn_status st;

    *bytes = NULL;
    *len = 0;
    if ((st = join(w, err)) != NN_OK) return st;
    if ((st = nn_gguf_open_memory(&check, w->whole.bytes, w->whole.len, "gguf writer", err)) != NN_OK) return st;
    nn_gguf_close(check);
    *bytes = w->whole.bytes;
    *len = w->whole.len;
    return NN_OK;
}

/* --- in pieces ---------------------------------------------------------------------------- */

typedef struct {
    nn_file_out *f;
    nn_sha256 sha;
    unsigned char *piece; /* in the file's type */
    float *floats;        /* of rows that are made */
} saving;

static nn_status put_bytes(saving *s, const void *bytes, size_t len, nn_err *err)
{
    if (len == 0) return NN_OK;
    nn_sha256_add(&s->sha, bytes, len);
    return nn_file_out_put(s->f, bytes, len, err);
}

static size_t rows_a_piece(const later_tensor *t)
{
    const size_t row = nn_dtype_bytes(t->type, t->cols), many = PIECE_BYTES / row ? PIECE_BYTES / row : 1;

    return many < t->rows ? many : t->rows;
}

/* Rows [first, first + n) as floats: where they are, or made now. */
static nn_status take_rows(const float **x, const saving *s, const later_tensor *t, size_t first, size_t n, nn_err *err)
{
    nn_status st;

    *x = t->fn ? s->floats : t->data + first * t->cols;
    if (!t->fn) return NN_OK;
    if ((st = t->fn(t->ctx, s->floats, first, n, err)) != NN_OK) return st;
    if (all_finite(s->floats, n * t->cols)) return NN_OK;
    return nn_fail(err, NN_CONTENT, "tensor %s: holds a NaN or an infinity in rows %zu to %zu", t->name, first,
                   first + n - 1);
}

static nn_status put_converted(saving *s, const later_tensor *t, nn_err *err)
{
    const size_t step = rows_a_piece(t), row = nn_dtype_bytes(t->type, t->cols);
    const float *x = NULL;
    nn_status st;

    if ((st = nn_alloc((void **)&s->piece, step, row, err)) != NN_OK) goto done;
    if (t->fn && (st = nn_alloc((void **)&s->floats, step, t->cols * sizeof *s->floats, err)) != NN_OK) goto done;
    for (size_t first = 0; first < t->rows && st == NN_OK; first += step) {
        const size_t n = t->rows - first < step ? t->rows - first : step;

        if ((st = take_rows(&x, s, t, first, n, err)) != NN_OK) break;
        nn_dtype_from_f32(s->piece, t->type, x, n * t->cols);
        st = put_bytes(s, s->piece, n * row, err);
    }
done:
    nn_free(s->floats);
    nn_free(s->piece);
    s->floats = NULL;
    s->piece = NULL;
    return st;
}

static nn_status put_all(saving *s, const nn_gguf_writer *w, nn_err *err)
{
    static const unsigned char zero[4096];
    nn_status st = put_bytes(s, w->whole.bytes, w->whole.len, err);

    for (size_t i = 0; i < w->n_later && st == NN_OK; i++) {
        const later_tensor *t = w->tensor + i;
        const size_t over = t->len % w->align;

        st = t->bytes ? put_bytes(s, t->bytes, t->len, err) : put_converted(s, t, err);
        if (st == NN_OK && over) st = put_bytes(s, zero, w->align - over, err);
    }
    return st;
}

static nn_status save_later(nn_gguf_writer *w, const char *path, char hex[65], nn_err *err)
{
    saving s = {.f = NULL};
    nn_status st;

    nn_sha256_init(&s.sha);
    if ((st = join_head(w, err)) != NN_OK) return st;
    if ((st = nn_file_out_open(&s.f, path, err)) != NN_OK) return st;
    if ((st = put_all(&s, w, err)) == NN_OK) st = nn_file_out_commit(s.f, err);
    nn_file_out_close(s.f);
    nn_sha256_end_hex(&s.sha, hex);
    return st;
}

nn_status nn_gguf_save_hashed(nn_gguf_writer *w, const char *path, char hex[65], nn_err *err)
{
    const unsigned char *bytes = NULL;
    size_t len = 0;
    nn_status st;

    hex[0] = '\0';
    if (w->later) return save_later(w, path, hex, err);
    if ((st = nn_gguf_bytes(w, &bytes, &len, err)) != NN_OK) return st;
    if ((st = nn_file_write(path, bytes, len, err)) == NN_OK) nn_sha256_hex(bytes, len, hex);
    return st;
}

nn_status nn_gguf_save(nn_gguf_writer *w, const char *path, nn_err *err)
{
    char hex[65];

    return nn_gguf_save_hashed(w, path, hex, err);
}
