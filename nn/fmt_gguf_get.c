/* fmt_gguf_get.c - what an opened GGUF file answers: tensors by name, keys by type.
 *
 * Reads: fmt_gguf.c, which checked every length; the values themselves are read here, again
 * through a cursor.
 */
#include "nn/cursor.h"
#include "nn/gguf_impl.h"

/* --- tensors and keys --------------------------------------------------------------------- */

size_t nn_gguf_tensors(const nn_gguf *g)
{
    return g->n_tensor;
}

const nn_st_tensor *nn_gguf_tensor(const nn_gguf *g, size_t i)
{
    NN_ASSERT(i < g->n_tensor);
    return &g->tensor[i];
}

const nn_st_tensor *nn_gguf_find(const nn_gguf *g, const char *name)
{
    const size_t i = nn_gg_find(g->tensor_order, g->n_tensor, name);

    return i < g->n_tensor ? &g->tensor[i] : NULL;
}

size_t nn_gguf_keys(const nn_gguf *g)
{
    return g->n_entry;
}

const char *nn_gguf_key(const nn_gguf *g, size_t i, size_t *len, nn_gg_type *type)
{
    NN_ASSERT(i < g->n_entry);
    *len = g->entry[i].key_len;
    *type = g->entry[i].type;
    return g->entry[i].key;
}

/* --- typed values ------------------------------------------------------------------------- */

static const nn_gg_entry *find_entry(const nn_gguf *g, const char *key)
{
    const size_t i = nn_gg_find(g->key_order, g->n_entry, key);

    return i < g->n_entry ? &g->entry[i] : NULL;
}

typedef enum { NOT_A_NUMBER, UNSIGNED, SIGNED, REAL } number_kind;

typedef struct {
    number_kind kind;
    uint64_t u;
    int64_t i;
    double f;
} number;

static int64_t sign_extend(uint64_t v, unsigned bits)
{
    const uint64_t top = 1ull << (bits - 1);

    return v & top ? -(int64_t)(~v & (top - 1)) - 1 : (int64_t)v;
}

/* Element i of a run of values of one type. */
static number read_number(const nn_gg_entry *e, nn_gg_type type, size_t i)
{
    const size_t width = nn_gg_bytes(type);
    number v = {NOT_A_NUMBER, 0, 0, 0.0};
    nn_cursor c;

    nn_cursor_init(&c, e->value, e->value_len, "value", NULL);
    nn_cursor_seek(&c, (uint64_t)i * width);
    switch (type) {
    case NN_GG_U8: v = (number){UNSIGNED, nn_cursor_u8(&c), 0, 0.0}; break;
    case NN_GG_U16: v = (number){UNSIGNED, nn_cursor_u16(&c), 0, 0.0}; break;
    case NN_GG_U32: v = (number){UNSIGNED, nn_cursor_u32(&c), 0, 0.0}; break;
    case NN_GG_U64: v = (number){UNSIGNED, nn_cursor_u64(&c), 0, 0.0}; break;
    case NN_GG_I8: v = (number){SIGNED, 0, sign_extend(nn_cursor_u8(&c), 8), 0.0}; break;
    case NN_GG_I16: v = (number){SIGNED, 0, sign_extend(nn_cursor_u16(&c), 16), 0.0}; break;
    case NN_GG_I32: v = (number){SIGNED, 0, sign_extend(nn_cursor_u32(&c), 32), 0.0}; break;
    case NN_GG_I64: v = (number){SIGNED, 0, sign_extend(nn_cursor_u64(&c), 64), 0.0}; break;
    case NN_GG_F32: v = (number){REAL, 0, 0, (double)nn_cursor_f32(&c)}; break;
    case NN_GG_F64: v = (number){REAL, 0, 0, nn_cursor_f64(&c)}; break;
    case NN_GG_BOOL:
    case NN_GG_STRING:
    case NN_GG_ARRAY: break;
    }
    return v;
}

/* Every number as a double; an integer beyond 2^53 does not fit. */
static bool number_f64(number v, double *out)
{
    const uint64_t most = 1ull << 53;

    if (v.kind == NOT_A_NUMBER) return false;
    if (v.kind == UNSIGNED && v.u > most) return false;
    if (v.kind == SIGNED && (v.i > (int64_t)most || v.i < -(int64_t)most)) return false;
    *out = v.kind == UNSIGNED ? (double)v.u : (v.kind == SIGNED ? (double)v.i : v.f);
    return true;
}

bool nn_gguf_u64(const nn_gguf *g, const char *key, uint64_t *out)
{
    const nn_gg_entry *e = find_entry(g, key);

    if (!e) return false;
    const number v = read_number(e, e->type, 0);
    if (v.kind != UNSIGNED && (v.kind != SIGNED || v.i < 0)) return false;
    *out = v.kind == UNSIGNED ? v.u : (uint64_t)v.i;
    return true;
}

bool nn_gguf_f64(const nn_gguf *g, const char *key, double *out)
{
    const nn_gg_entry *e = find_entry(g, key);

    return e && number_f64(read_number(e, e->type, 0), out);
}

bool nn_gguf_bool(const nn_gguf *g, const char *key, bool *out)
{
    const nn_gg_entry *e = find_entry(g, key);

    if (!e || e->type != NN_GG_BOOL) return false;
    *out = e->value[0] != 0;
    return true;
}

bool nn_gguf_str(const nn_gguf *g, const char *key, const char **out, size_t *len)
{
    const nn_gg_entry *e = find_entry(g, key);

    if (!e || e->type != NN_GG_STRING) return false;
    *out = (const char *)e->value;
    *len = e->value_len;
    return true;
}

bool nn_gguf_array(const nn_gguf *g, const char *key, nn_gg_type *type, size_t *n)
{
    const nn_gg_entry *e = find_entry(g, key);

    if (!e || e->type != NN_GG_ARRAY) return false;
    *type = e->elem;
    *n = e->n;
    return true;
}

bool nn_gguf_array_str(const nn_gguf *g, const char *key, size_t i, const char **out, size_t *len)
{
    const nn_gg_entry *e = find_entry(g, key);
    nn_cursor c;

    if (!e || e->type != NN_GG_ARRAY || e->elem != NN_GG_STRING || i >= e->n) return false;
    nn_cursor_init(&c, e->value, e->value_len, key, NULL);
    nn_cursor_seek(&c, g->str_at[e->first + i]);
    *out = nn_gg_string(&c, len);
    return true;
}

bool nn_gguf_array_f64(const nn_gguf *g, const char *key, size_t i, double *out)
{
    const nn_gg_entry *e = find_entry(g, key);

    return e && e->type == NN_GG_ARRAY && i < e->n && number_f64(read_number(e, e->elem, i), out);
}

bool nn_gguf_array_i32(const nn_gguf *g, const char *key, int32_t *out, size_t n)
{
    const nn_gg_entry *e = find_entry(g, key);
    nn_cursor c;

    if (!e || e->type != NN_GG_ARRAY || e->elem != NN_GG_I32 || e->n != n) return false;
    nn_cursor_init(&c, e->value, e->value_len, key, NULL);
    for (size_t i = 0; i < n; i++) {
        const uint32_t v = nn_cursor_u32(&c);

        out[i] = v <= INT32_MAX ? (int32_t)v : -(int32_t)(UINT32_MAX - v) - 1; /* two's complement */
    }
    return true;
}

bool nn_gguf_array_bytes(const nn_gguf *g, const char *key, const unsigned char **out, size_t *n)
{
    const nn_gg_entry *e = find_entry(g, key);

    if (!e || e->type != NN_GG_ARRAY || (e->elem != NN_GG_U8 && e->elem != NN_GG_I8)) return false;
    *out = e->value;
    *n = e->n;
    return true;
}

bool nn_gguf_array_strs(const nn_gguf *g, const char *key, nn_gguf_str_fn fn, void *ctx)
{
    const nn_gg_entry *e = find_entry(g, key);
    nn_cursor c;

    if (!e || e->type != NN_GG_ARRAY || e->elem != NN_GG_STRING) return false;
    nn_cursor_init(&c, e->value, e->value_len, key, NULL);
    for (size_t i = 0; i < e->n; i++) {
        size_t len = 0;
        const char *s = nn_gg_string(&c, &len);

        if (!fn(ctx, i, s, len)) return false;
    }
    return true;
}
