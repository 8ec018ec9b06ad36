/* fmt_safetensors.c - reads safetensors files.
 *
 * Reads: safetensors.h, json_scan.h.   Read next: fmt_safetensors_write.c, fmt_gguf.c.
 * Format: u64 header length, a JSON object {"name": {"dtype", "shape", "data_offsets": [begin,
 * end)}, "__metadata__": {..}}, then the data, offsets counted from its first byte. As the format
 * demands, the tensors cover the data exactly: no overlap, no hole, no rest. So a flipped bit in
 * an offset, a cut file and appended bytes are all refused.
 */
#include "nn/arena.h"
#include "nn/json_scan.h"
#include "nn/safetensors.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX (100u * 1024u * 1024u) /* the reference implementation's own limit */
#define DIM_MAX 4u
#define META_MAX 1024u /* entries; each is compared with those before it */

typedef struct {
    const char *key, *value;
} meta_pair;

typedef struct {
    uint64_t begin, end; /* in the data */
    const char *name;
    size_t index;
} extent;

struct nn_safetensors {
    nn_file file; /* len 0 when the caller owns the bytes */
    nn_st_tensor *tensor;
    extent *by_name; /* [n] sorted by name */
    meta_pair *meta;
    char *names; /* pool of all decoded strings */
    size_t n, tensor_cap, extent_cap, n_meta, meta_cap;
};

/* Element types the format names; width 0 is never looked up. */
static const struct {
    const char *name;
    nn_dtype type;
    size_t width;
} dtypes[] = {
    {"F32", NN_F32, 4},        {"F16", NN_F16, 2},        {"BF16", NN_BF16, 2},      {"I64", NN_I64, 8},
    {"F64", NN_DTYPE_OTHER, 8}, {"U64", NN_DTYPE_OTHER, 8}, {"I32", NN_DTYPE_OTHER, 4}, {"U32", NN_DTYPE_OTHER, 4},
    {"I16", NN_DTYPE_OTHER, 2}, {"U16", NN_DTYPE_OTHER, 2}, {"I8", NN_DTYPE_OTHER, 1},  {"U8", NN_DTYPE_OTHER, 1},
    {"BOOL", NN_DTYPE_OTHER, 1}, {"F8_E4M3", NN_DTYPE_OTHER, 1}, {"F8_E5M2", NN_DTYPE_OTHER, 1},
};

/* --- one entry of the header -------------------------------------------------------------- */

/* "dtype": its type, and *width its bytes an element. */
static nn_dtype read_dtype(nn_cursor *c, nn_json_pool *pool, size_t *width)
{
    const char *name = nn_json_string(c, pool);

    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *width = dtypes[i].width;
            return dtypes[i].type;
        }
    }
    if (name) nn_cursor_fail(c, "dtype %.40s is not one this reader knows", name);
    return NN_DTYPE_OTHER;
}

/* "shape": dimensions, their product checked against what an address can hold. */
static void read_shape(nn_cursor *c, nn_st_tensor *t)
{
    size_t room = SIZE_MAX / 16; /* bytes of any type still fit */
    bool empty = false;

    t->n_dim = 0;
    t->count = 1;
    nn_json_expect(c, '[');
    if (nn_json_take(c, ']')) return;
    do {
        const uint64_t d = nn_json_u64(c);

        if (c->status != NN_OK) return;
        if (t->n_dim == DIM_MAX) {
            nn_cursor_fail(c, "a tensor of more than %u dimensions", DIM_MAX);
            return;
        }
        if (d > room) {
            nn_cursor_fail(c, "a shape whose product overflows");
            return;
        }
        t->dim[t->n_dim++] = (size_t)d;
        if (d == 0) {
            empty = true;
        } else {
            room /= (size_t)d;
            t->count *= (size_t)d;
        }
    } while (nn_json_take(c, ','));
    if (empty) t->count = 0;
    nn_json_expect(c, ']');
}

static void read_offsets(nn_cursor *c, extent *e)
{
    nn_json_expect(c, '[');
    e->begin = nn_json_u64(c);
    nn_json_expect(c, ',');
    e->end = nn_json_u64(c);
    nn_json_expect(c, ']');
    if (c->status == NN_OK && e->begin > e->end) nn_cursor_fail(c, "data_offsets that end before they begin");
}

/* {"dtype": .., "shape": .., "data_offsets": ..}: each key once, in any order, no other. */
static void read_tensor(nn_cursor *c, nn_json_pool *pool, nn_st_tensor *t, extent *e)
{
    unsigned seen = 0;
    size_t width = 0;

    nn_json_expect(c, '{');
    do {
        const char *key = nn_json_string(c, pool);
        unsigned bit = 0;

        if (!key) return;
        nn_json_expect(c, ':');
        if (strcmp(key, "dtype") == 0) {
            bit = 1;
            t->type = read_dtype(c, pool, &width);
        } else if (strcmp(key, "shape") == 0) {
            bit = 2;
            read_shape(c, t);
        } else if (strcmp(key, "data_offsets") == 0) {
            bit = 4;
            read_offsets(c, e);
        } else {
            nn_cursor_fail(c, "key \"%.40s\", want dtype, shape or data_offsets", key);
        }
        if (seen & bit) nn_cursor_fail(c, "key \"%.40s\" twice", key);
        seen |= bit;
    } while (nn_json_take(c, ','));
    nn_json_expect(c, '}');
    if (c->status == NN_OK && seen != 7) nn_cursor_fail(c, "a tensor without dtype, shape or data_offsets");
    if (c->status == NN_OK && e->end - e->begin != (uint64_t)t->count * width)
        nn_cursor_fail(c, "%.80s: data_offsets span %" PRIu64 " bytes, shape and dtype want %zu", t->name,
                       e->end - e->begin, t->count * width);
}

static nn_status read_metadata(nn_safetensors *f, nn_cursor *c, nn_json_pool *pool)
{
    nn_json_expect(c, '{');
    if (nn_json_take(c, '}')) return c->status;
    do {
        if (f->n_meta == META_MAX) return nn_cursor_fail(c, "more than %u metadata entries", META_MAX);
        nn_status st = nn_grow((void **)&f->meta, &f->meta_cap, f->n_meta + 1, sizeof *f->meta, c->err);

        if (st != NN_OK) return st;
        meta_pair *m = &f->meta[f->n_meta];
        m->key = nn_json_string(c, pool);
        nn_json_expect(c, ':');
        m->value = nn_json_string(c, pool);
        if (c->status != NN_OK) return c->status;
        for (size_t i = 0; i < f->n_meta; i++)
            if (strcmp(f->meta[i].key, m->key) == 0)
                return nn_cursor_fail(c, "metadata key \"%.40s\" twice", m->key);
        f->n_meta++;
    } while (nn_json_take(c, ','));
    nn_json_expect(c, '}');
    return c->status;
}

static nn_status read_header(nn_safetensors *f, nn_cursor *c, nn_json_pool *pool)
{
    bool metadata = false;

    nn_json_expect(c, '{');
    if (nn_json_take(c, '}')) {
        nn_json_end(c);
        return c->status;
    }
    do {
        const char *name = nn_json_string(c, pool);
        nn_status st;

        nn_json_expect(c, ':');
        if (c->status != NN_OK) return c->status;
        if (strcmp(name, "__metadata__") == 0) {
            if (metadata) return nn_cursor_fail(c, "__metadata__ twice");
            metadata = true;
            if ((st = read_metadata(f, c, pool)) != NN_OK) return st;
            continue;
        }
        if ((st = nn_grow((void **)&f->tensor, &f->tensor_cap, f->n + 1, sizeof *f->tensor, c->err)) != NN_OK ||
            (st = nn_grow((void **)&f->by_name, &f->extent_cap, f->n + 1, sizeof *f->by_name, c->err)) != NN_OK)
            return st;
        memset(&f->tensor[f->n], 0, sizeof *f->tensor);
        memset(&f->by_name[f->n], 0, sizeof *f->by_name);
        f->tensor[f->n].name = f->by_name[f->n].name = name;
        f->by_name[f->n].index = f->n;
        read_tensor(c, pool, &f->tensor[f->n], &f->by_name[f->n]);
        if (c->status != NN_OK) return c->status;
        f->n++;
    } while (nn_json_take(c, ','));
    nn_json_expect(c, '}');
    nn_json_end(c);
    return c->status;
}

/* --- the whole file ----------------------------------------------------------------------- */

static int by_index(size_t a, size_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_offset(const void *x, const void *y)
{
    const extent *a = x, *b = y;

    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1; /* empty tensors first */
    return by_index(a->index, b->index);
}

static int compare_name(const void *x, const void *y)
{
    const extent *a = x, *b = y;
    const int order = strcmp(a->name, b->name);

    return order ? order : by_index(a->index, b->index);
}

/* Tensors in order of their data must follow each other without gap up to the last byte. Then sorts
 * by name. */
static nn_status place_data(nn_safetensors *f, nn_cursor *data)
{
    uint64_t at = 0;

    if (f->n) qsort(f->by_name, f->n, sizeof *f->by_name, compare_offset);
    for (size_t i = 0; i < f->n; i++) {
        const extent *e = &f->by_name[i];

        if (e->begin != at)
            return nn_cursor_fail(data, "%.80s: data begins at %" PRIu64 ", want %" PRIu64 " (no overlap, no hole)",
                                  e->name, e->begin, at);
        f->tensor[e->index].data = nn_cursor_bytes(data, e->end - e->begin);
        if (data->status != NN_OK) return data->status;
        at = e->end;
    }
    if (nn_cursor_left(data) > 0)
        return nn_cursor_fail(data, "%zu bytes after the last tensor", nn_cursor_left(data));

    if (f->n) qsort(f->by_name, f->n, sizeof *f->by_name, compare_name);
    for (size_t i = 1; i < f->n; i++)
        if (strcmp(f->by_name[i - 1].name, f->by_name[i].name) == 0)
            return nn_cursor_fail(data, "tensor %.80s twice", f->by_name[i].name);
    return NN_OK;
}

static nn_status parse(nn_safetensors *f, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_cursor c, header;
    nn_json_pool pool = {NULL, 0, 0};
    nn_status st;

    nn_cursor_init(&c, bytes, len, name, err);
    const uint64_t header_len = nn_cursor_u64(&c);
    if (c.status == NN_OK && header_len > HEADER_MAX)
        return nn_cursor_fail(&c, "header length %" PRIu64 ", want at most %u", header_len, HEADER_MAX);
    (void)nn_cursor_bytes(&c, header_len);
    if (c.status != NN_OK) return c.status;

    nn_cursor_init(&header, bytes, c.pos, name, err);
    nn_cursor_seek(&header, 8);
    pool.cap = (size_t)header_len + 1;
    if ((st = nn_alloc((void **)&f->names, pool.cap, 1, err)) != NN_OK) return st;
    pool.bytes = f->names;
    if ((st = read_header(f, &header, &pool)) != NN_OK) return st;
    return place_data(f, &c);
}

nn_status nn_st_open_memory(nn_safetensors **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_safetensors *f = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_alloc((void **)&f, 1, sizeof *f, err)) != NN_OK) return st;
    if ((st = parse(f, bytes, len, name, err)) != NN_OK) {
        nn_st_close(f);
        return st;
    }
    *out = f;
    return NN_OK;
}

nn_status nn_st_open(nn_safetensors **out, const char *path, nn_err *err)
{
    nn_file file = {0};
    nn_status st;

    *out = NULL;
    if ((st = nn_file_open(&file, path, err)) != NN_OK) return st;
    if ((st = nn_st_open_memory(out, file.bytes, file.len, path, err)) != NN_OK) {
        nn_file_close(&file);
        return st;
    }
    (*out)->file = file;
    return NN_OK;
}

void nn_st_close(nn_safetensors *f)
{
    if (!f) return;
    nn_file_close(&f->file);
    nn_free(f->tensor);
    nn_free(f->by_name);
    nn_free(f->meta);
    nn_free(f->names);
    nn_free(f);
}

size_t nn_st_count(const nn_safetensors *f)
{
    return f->n;
}

const nn_st_tensor *nn_st_at(const nn_safetensors *f, size_t i)
{
    NN_ASSERT(i < f->n);
    return &f->tensor[i];
}

const nn_st_tensor *nn_st_find(const nn_safetensors *f, const char *name)
{
    size_t lo = 0, hi = f->n;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int order = strcmp(name, f->by_name[mid].name);

        if (order == 0) return &f->tensor[f->by_name[mid].index];
        if (order < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

const char *nn_st_meta(const nn_safetensors *f, const char *key)
{
    for (size_t i = 0; i < f->n_meta; i++)
        if (strcmp(f->meta[i].key, key) == 0) return f->meta[i].value;
    return NULL;
}
