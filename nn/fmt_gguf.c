/* fmt_gguf.c - reads GGUF version 3 from memory.
 *
 * Reads: gguf.h, gguf_impl.h, cursor.h.   Read next: fmt_gguf_get.c, fmt_gguf_open.c, fmt_gguf_write.c.
 * Format: magic, version, number of tensors, number of keys; keys with typed values; tensor infos
 * (name, dimensions innermost first, type, offset); padding to the alignment; tensor data. Counts
 * are believed only as far as the bytes that are left could hold them, so a small file cannot ask
 * for much memory. Refused: names twice, tensors that overlap or leave the file, more bytes after
 * the last tensor than padding, arrays of arrays, big-endian files.
 */
#include "nn/arena.h"
#include "nn/cursor.h"
#include "nn/gguf_impl.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_MAX 65536u
#define KEY_MIN_BYTES 13u    /* length, type, one byte of value */
#define TENSOR_MIN_BYTES 24u /* length, number of dimensions, type, offset */
#define DIM_MAX 4u

/* Tensor types whose size is known; of those without a name here (I16 I32 F64) alone the size. */
static const struct {
    uint32_t id;
    nn_dtype type;
    size_t bytes; /* of an element, where the type does not say */
} types[] = {
    {NN_GG_TYPE_F32, NN_F32, 0},   {NN_GG_TYPE_F16, NN_F16, 0}, {NN_GG_TYPE_BF16, NN_BF16, 0},
    {NN_GG_TYPE_Q8_0, NN_Q8_0, 0}, {NN_GG_TYPE_I8, NN_I8, 0},   {NN_GG_TYPE_I64, NN_I64, 0},
    {2, NN_Q4_0, 0},               {3, NN_Q4_1, 0},             {6, NN_Q5_0, 0},
    {7, NN_Q5_1, 0},               {10, NN_Q2_K, 0},            {11, NN_Q3_K, 0},
    {12, NN_Q4_K, 0},              {13, NN_Q5_K, 0},            {14, NN_Q6_K, 0},
    {25, NN_DTYPE_OTHER, 2},       {26, NN_DTYPE_OTHER, 4},     {28, NN_DTYPE_OTHER, 8},
};

bool nn_gg_type_id(nn_dtype type, uint32_t *id)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type != type || type == NN_DTYPE_OTHER) continue;
        *id = types[i].id;
        return true;
    }
    return false;
}

/* --- names -------------------------------------------------------------------------------- */

static int name_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const size_t both = a_len < b_len ? a_len : b_len;
    const int order = both ? memcmp(a, b, both) : 0;

    return order ? order : (a_len < b_len ? -1 : a_len > b_len);
}

static int compare_names(const void *x, const void *y)
{
    const nn_gg_name *a = x, *b = y;
    const int order = name_order(a->name, a->len, b->name, b->len);

    return order ? order : (a->index < b->index ? -1 : a->index > b->index);
}

/* Sorts; a name that stands twice is an error. */
static nn_status sort_names(nn_cursor *c, nn_gg_name *order, size_t n, const char *what)
{
    if (n) qsort(order, n, sizeof *order, compare_names);
    for (size_t i = 1; i < n; i++) {
        const nn_gg_name *a = &order[i - 1], *b = &order[i];

        if (name_order(a->name, a->len, b->name, b->len) == 0)
            return nn_cursor_fail(c, "%s %.*s twice", what, (int)(b->len < 80 ? b->len : 80), b->name);
    }
    return NN_OK;
}

size_t nn_gg_find(const nn_gg_name *order, size_t n, const char *name)
{
    const size_t len = strlen(name);
    size_t lo = 0, hi = n;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int cmp = name_order(name, len, order[mid].name, order[mid].len);

        if (cmp == 0) return order[mid].index;
        if (cmp < 0) hi = mid;
        else lo = mid + 1;
    }
    return n;
}

/* --- keys and values ---------------------------------------------------------------------- */

size_t nn_gg_bytes(nn_gg_type type)
{
    switch (type) {
    case NN_GG_U8:
    case NN_GG_I8:
    case NN_GG_BOOL: return 1;
    case NN_GG_U16:
    case NN_GG_I16: return 2;
    case NN_GG_U32:
    case NN_GG_I32:
    case NN_GG_F32: return 4;
    case NN_GG_U64:
    case NN_GG_I64:
    case NN_GG_F64: return 8;
    case NN_GG_STRING:
    case NN_GG_ARRAY: break;
    }
    return 0;
}

const char *nn_gg_string(nn_cursor *c, size_t *len)
{
    const uint64_t n = nn_cursor_u64(c);
    const unsigned char *s = nn_cursor_bytes(c, n);

    *len = s ? (size_t)n : 0;
    return (const char *)s;
}

static void check_bools(nn_cursor *c, const unsigned char *b, size_t n)
{
    for (size_t i = 0; b && i < n; i++)
        if (b[i] > 1) nn_cursor_fail(c, "a truth value of %u, want 0 or 1", (unsigned)b[i]);
}

/* An array's strings, walked once: their places go into str_at. */
static nn_status read_strings(nn_gguf *g, nn_cursor *c, nn_gg_entry *e)
{
    nn_status st = NN_OK;

    if ((st = nn_grow((void **)&g->str_at, &g->str_cap, g->n_str + e->n, sizeof *g->str_at, c->err)) != NN_OK)
        return st;
    e->first = g->n_str;
    for (size_t i = 0; i < e->n; i++) {
        size_t len = 0;

        g->str_at[g->n_str++] = (size_t)(c->bytes + c->pos - e->value);
        (void)nn_gg_string(c, &len);
        if (c->status != NN_OK) return c->status;
    }
    e->value_len = (size_t)(c->bytes + c->pos - e->value);
    return NN_OK;
}

static nn_status read_array(nn_gguf *g, nn_cursor *c, nn_gg_entry *e)
{
    const uint32_t elem = nn_cursor_u32(c);
    const uint64_t claimed = nn_cursor_u64(c);

    if (c->status != NN_OK) return c->status;
    if (elem > NN_GG_F64 || elem == NN_GG_ARRAY)
        return nn_cursor_fail(c, "array of type %" PRIu32 ", want numbers, truth values or strings", elem);
    e->elem = (nn_gg_type)elem;
    const size_t width = nn_gg_bytes(e->elem);
    e->n = nn_cursor_count(c, claimed, width ? width : 8, "array elements");
    e->value = nn_cursor_bytes(c, 0);
    if (c->status != NN_OK) return c->status;
    if (e->elem == NN_GG_STRING) return read_strings(g, c, e);
    e->value_len = e->n * width;
    (void)nn_cursor_bytes(c, e->value_len);
    if (e->elem == NN_GG_BOOL) check_bools(c, e->value, e->n);
    return c->status;
}

static nn_status read_entry(nn_gguf *g, nn_cursor *c, nn_gg_entry *e)
{
    e->key = nn_gg_string(c, &e->key_len);
    const uint32_t type = nn_cursor_u32(c);
    if (c->status != NN_OK) return c->status;
    if (type > NN_GG_F64) return nn_cursor_fail(c, "value of type %" PRIu32 ", want 0 to %d", type, (int)NN_GG_F64);
    e->type = (nn_gg_type)type;
    if (e->type == NN_GG_ARRAY) return read_array(g, c, e);
    if (e->type == NN_GG_STRING) {
        e->value = (const unsigned char *)nn_gg_string(c, &e->value_len);
        return c->status;
    }
    e->value_len = nn_gg_bytes(e->type);
    e->value = nn_cursor_bytes(c, e->value_len);
    if (e->type == NN_GG_BOOL) check_bools(c, e->value, 1);
    return c->status;
}

static nn_status read_entries(nn_gguf *g, nn_cursor *c, uint64_t claimed)
{
    nn_status st;

    const size_t n = nn_cursor_count(c, claimed, KEY_MIN_BYTES, "keys");
    if (c->status != NN_OK) return c->status;
    if ((st = nn_alloc((void **)&g->entry, n, sizeof *g->entry, c->err)) != NN_OK ||
        (st = nn_alloc((void **)&g->key_order, n, sizeof *g->key_order, c->err)) != NN_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        if ((st = read_entry(g, c, &g->entry[i])) != NN_OK) return st;
        g->key_order[i] = (nn_gg_name){g->entry[i].key, g->entry[i].key_len, i};
    }
    g->n_entry = n;
    return sort_names(c, g->key_order, n, "key");
}

/* --- tensors ------------------------------------------------------------------------------ */

typedef struct {
    uint64_t begin, bytes; /* bytes 0: empty, or of a type whose size is not known */
    size_t index;
} extent;

/* Dimensions, innermost first in the file; the product is checked against what an address can hold. */
static void read_dims(nn_cursor *c, nn_st_tensor *t)
{
    const uint32_t n_dim = nn_cursor_u32(c);
    size_t room = SIZE_MAX / 16; /* bytes of any type still fit */
    bool empty = false;

    if (n_dim > DIM_MAX) nn_cursor_fail(c, "a tensor of %" PRIu32 " dimensions, want at most %u", n_dim, DIM_MAX);
    if (c->status != NN_OK) return;
    t->n_dim = n_dim;
    t->count = 1;
    for (size_t i = n_dim; i-- > 0;) {
        const uint64_t d = nn_cursor_u64(c);

        if (d > room) {
            nn_cursor_fail(c, "dimensions whose product overflows");
            return;
        }
        t->dim[i] = (size_t)d;
        if (d == 0) {
            empty = true;
        } else {
            room /= (size_t)d;
            t->count *= (size_t)d;
        }
    }
    if (empty) t->count = 0;
}

/* The type and with it the bytes; *known is false when the size is not known. */
static uint64_t read_type(nn_cursor *c, nn_st_tensor *t, bool *known)
{
    const uint32_t id = nn_cursor_u32(c);
    const size_t inner = t->n_dim ? t->dim[t->n_dim - 1] : 1;

    t->type = NN_DTYPE_OTHER;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const size_t block = nn_dtype_block(types[i].type);

        if (types[i].id != id) continue;
        t->type = types[i].type;
        if (block == 0) return t->count * types[i].bytes;
        if (inner % block != 0) nn_cursor_fail(c, "rows of %zu elements in a type of blocks of %zu", inner, block);
        return nn_dtype_bytes(t->type, t->count);
    }
    *known = false;
    return 0;
}

/* Infos as they stand; names are still in the file, in tensor_order. */
static nn_status read_infos(nn_gguf *g, nn_cursor *c, extent *e, size_t n, bool *known)
{
    size_t names = 0;
    nn_status st;

    for (size_t i = 0; i < n; i++) {
        nn_gg_name *name = &g->tensor_order[i];

        name->index = i;
        name->name = nn_gg_string(c, &name->len);
        if (name->name && memchr(name->name, 0, name->len)) nn_cursor_fail(c, "a tensor name with a zero byte");
        names += name->len + 1; /* at most what the file holds, plus n */
        read_dims(c, &g->tensor[i]);
        e[i].bytes = read_type(c, &g->tensor[i], known);
        e[i].begin = nn_cursor_u64(c);
        e[i].index = i;
        if (c->status != NN_OK) return c->status;
    }
    if ((st = nn_alloc((void **)&g->names, names, 1, c->err)) != NN_OK) return st;
    char *at = g->names;
    for (size_t i = 0; i < n; i++) {
        nn_gg_name *name = &g->tensor_order[i];

        if (name->len) memcpy(at, name->name, name->len);
        name->name = g->tensor[i].name = at;
        at += name->len + 1; /* the block came zeroed */
    }
    g->n_tensor = n;
    return sort_names(c, g->tensor_order, n, "tensor");
}

static int compare_extents(const void *x, const void *y)
{
    const extent *a = x, *b = y;

    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1; /* empty tensors first */
    return a->index < b->index ? -1 : a->index > b->index;
}

static nn_status place_data(nn_gguf *g, nn_cursor *c, extent *e, uint64_t align, bool known)
{
    const uint64_t gap = (align - c->pos % align) % align;
    uint64_t end = 0;

    /* A file of keys alone may end without the padding. */
    if (g->n_tensor > 0 || nn_cursor_left(c) >= gap) (void)nn_cursor_bytes(c, gap);
    const size_t base = c->pos;
    if (g->n_tensor) qsort(e, g->n_tensor, sizeof *e, compare_extents);
    for (size_t i = 0; i < g->n_tensor && c->status == NN_OK; i++) {
        nn_st_tensor *t = &g->tensor[e[i].index];

        if (e[i].begin % align != 0)
            return nn_cursor_fail(c, "%.80s: offset %" PRIu64 ", want a multiple of %" PRIu64, t->name,
                                  e[i].begin, align);
        if (e[i].begin < end)
            return nn_cursor_fail(c, "%.80s: offset %" PRIu64 " lies inside the tensor before it", t->name,
                                  e[i].begin);
        if (e[i].begin > c->len - base)
            return nn_cursor_fail(c, "%.80s: offset %" PRIu64 " lies beyond the data", t->name, e[i].begin);
        nn_cursor_seek(c, base + e[i].begin);
        t->data = nn_cursor_bytes(c, e[i].bytes);
        end = e[i].begin + e[i].bytes;
    }
    if (c->status == NN_OK && known && nn_cursor_left(c) >= align)
        return nn_cursor_fail(c, "%zu bytes after the last tensor, want less than %" PRIu64, nn_cursor_left(c),
                              align);
    return c->status;
}

static nn_status read_tensors(nn_gguf *g, nn_cursor *c, uint64_t claimed, uint64_t align)
{
    extent *e = NULL;
    bool known = true;
    nn_status st;

    const size_t n = nn_cursor_count(c, claimed, TENSOR_MIN_BYTES, "tensors");
    if (c->status != NN_OK) return c->status;
    if ((st = nn_alloc((void **)&e, n, sizeof *e, c->err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&g->tensor, n, sizeof *g->tensor, c->err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&g->tensor_order, n, sizeof *g->tensor_order, c->err)) != NN_OK) goto done;
    if ((st = read_infos(g, c, e, n, &known)) != NN_OK) goto done;
    st = place_data(g, c, e, align, known);
done:
    nn_free(e);
    return st;
}

/* --- the whole file ----------------------------------------------------------------------- */

static nn_status parse(nn_gguf *g, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_cursor c;
    uint64_t align = NN_GG_ALIGN;
    nn_status st;

    nn_cursor_init(&c, bytes, len, name, err);
    const uint32_t magic = nn_cursor_u32(&c);
    const uint32_t version = nn_cursor_u32(&c);
    const uint64_t n_tensor = nn_cursor_u64(&c);
    const uint64_t n_key = nn_cursor_u64(&c);
    if (c.status != NN_OK) return c.status;
    if (magic != NN_GG_MAGIC) return nn_cursor_fail(&c, "does not begin with GGUF");
    if (version != NN_GG_VERSION)
        return nn_cursor_fail(&c, "version %" PRIu32 "%s, want 3", version,
                              version == NN_GG_VERSION << 24 ? " (a big-endian file)" : "");
    if ((st = read_entries(g, &c, n_key)) != NN_OK) return st;
    if (nn_gg_find(g->key_order, g->n_entry, "general.alignment") != g->n_entry &&
        (!nn_gguf_u64(g, "general.alignment", &align) || align < 8 || align > ALIGN_MAX ||
         (align & (align - 1)) != 0))
        return nn_cursor_fail(&c, "general.alignment, want a power of two from 8 to %u", ALIGN_MAX);
    return read_tensors(g, &c, n_tensor, align);
}

nn_status nn_gguf_open_memory(nn_gguf **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_gguf *g = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_alloc((void **)&g, 1, sizeof *g, err)) != NN_OK) return st;
    if ((st = parse(g, bytes, len, name, err)) != NN_OK) {
        nn_gguf_close(g);
        return st;
    }
    *out = g;
    return NN_OK;
}

void nn_gguf_close(nn_gguf *g)
{
    if (!g) return;
    if (g->close_file) g->close_file(&g->file);
    nn_free(g->entry);
    nn_free(g->key_order);
    nn_free(g->str_at);
    nn_free(g->tensor);
    nn_free(g->tensor_order);
    nn_free(g->names);
    nn_free(g);
}
