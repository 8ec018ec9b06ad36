/* cmd_inspect_print.c - facts as lines of text or members of a JSON object.
 *
 * Reads: cmd_inspect.h.
 */
#include "guard/cmd_inspect.h"
#include <stdio.h>
#include <string.h>

#define KEY_WIDTH 46    /* of a line's first column */
#define SHOWN_BYTES 120 /* of a string, in text */

/* "  key              " */
static void key_column(inspection *r, const char *key)
{
    const size_t indent = 2 * r->depth, len = strlen(key);

    guard_buf_fmt(&r->out, "%*s%s%*s", (int)indent, "", key,
                  indent + len < KEY_WIDTH ? (int)(KEY_WIDTH - indent - len) : 1, "");
}

static void put_key(inspection *r, const char *key)
{
    if (r->json) guard_json_key(&r->out, key);
    else key_column(r, key);
}

static void end_line(inspection *r)
{
    if (!r->json) guard_buf_str(&r->out, "\n");
}

void inspect_begin(inspection *r, const char *section)
{
    if (r->json) {
        guard_json_key(&r->out, section);
        guard_buf_str(&r->out, "{");
    } else {
        guard_buf_fmt(&r->out, "%*s%s\n", (int)(2 * r->depth), "", section);
    }
    r->depth++;
}

void inspect_end(inspection *r)
{
    if (r->json) guard_buf_str(&r->out, "}");
    r->depth--;
}

static void add_plain(guard_buf *b, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char c = s[i] >= 32 && s[i] < 127 ? s[i] : '.';
        guard_buf_add(b, &c, 1);
    }
}

void inspect_str(inspection *r, const char *key, const char *s, size_t len)
{
    put_key(r, key);
    if (r->json) {
        guard_json_str(&r->out, s, len);
        return;
    }
    add_plain(&r->out, s, len < SHOWN_BYTES ? len : SHOWN_BYTES);
    if (len > SHOWN_BYTES) guard_buf_fmt(&r->out, "... (%zu bytes)", len);
    end_line(r);
}

void inspect_text(inspection *r, const char *key, const char *s)
{
    put_key(r, key);
    if (r->json) guard_json_str(&r->out, s, strlen(s));
    else guard_buf_str(&r->out, s);
    end_line(r);
}

void inspect_u64(inspection *r, const char *key, uint64_t v)
{
    put_key(r, key);
    guard_json_u64(&r->out, v);
    end_line(r);
}

void inspect_float(inspection *r, const char *key, double v)
{
    put_key(r, key);
    if (v != v || v - v != 0.0) guard_buf_str(&r->out, r->json ? "null" : v != v ? "not a number" : "infinite");
    else if ((double)(float)v == v) guard_json_float(&r->out, (float)v); /* as short as tells it apart */
    else guard_json_double(&r->out, v);
    end_line(r);
}

void inspect_bool(inspection *r, const char *key, bool v)
{
    put_key(r, key);
    guard_json_bool(&r->out, v);
    end_line(r);
}

void inspect_bytes(inspection *r, const char *key, uint64_t v)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    char text[32];
    double of = (double)v;
    size_t u = 0;

    if (r->json) {
        inspect_u64(r, key, v);
        return;
    }
    while (of >= 1024.0 && u + 1 < sizeof unit / sizeof *unit) {
        of /= 1024.0;
        u++;
    }
    guard_fmt_fixed(text, of, u == 0 ? 0 : 1);
    key_column(r, key);
    guard_buf_fmt(&r->out, "%s %s\n", text, unit[u]);
}

/* --- parts of a file ------------------------------------------------------------------------------------- */

static void metadata_value(inspection *r, const nn_gguf *g, const char *key, nn_gg_type type)
{
    uint64_t u = 0;
    double d = 0.0;
    bool b = false;
    const char *s = NULL;
    size_t n = 0;
    nn_gg_type of;
    char text[48];

    if (type == NN_GG_STRING && nn_gguf_str(g, key, &s, &n)) {
        inspect_str(r, key, s, n);
    } else if (type == NN_GG_BOOL && nn_gguf_bool(g, key, &b)) {
        inspect_bool(r, key, b);
    } else if (type == NN_GG_ARRAY && nn_gguf_array(g, key, &of, &n)) {
        snprintf(text, sizeof text, "[%zu values]", n);
        inspect_text(r, key, text);
    } else if (nn_gguf_u64(g, key, &u)) {
        inspect_u64(r, key, u);
    } else if (nn_gguf_f64(g, key, &d)) {
        inspect_float(r, key, d);
    } else {
        inspect_text(r, key, "a negative number or another type");
    }
}

void inspect_metadata(inspection *r, const nn_gguf *g)
{
    inspect_begin(r, "metadata");
    for (size_t i = 0; i < nn_gguf_keys(g); i++) {
        size_t len = 0;
        nn_gg_type type;
        char key[256];
        const char *name = nn_gguf_key(g, i, &len, &type);
        snprintf(key, sizeof key, "%.*s", (int)(len < sizeof key ? len : sizeof key - 1), name);
        metadata_value(r, g, key, type);
    }
    inspect_end(r);
}

void inspect_tensors_begin(inspection *r)
{
    if (r->keys_only) return;
    if (r->json) {
        guard_json_key(&r->out, "tensors");
        guard_buf_str(&r->out, "[");
    } else {
        guard_buf_str(&r->out, "tensors\n");
    }
}

static void tensor_json(inspection *r, const nn_st_tensor *t)
{
    guard_json_comma(&r->out);
    guard_buf_str(&r->out, "{");
    inspect_str(r, "name", t->name, strlen(t->name));
    inspect_text(r, "type", nn_dtype_name(t->type));
    guard_json_key(&r->out, "shape");
    guard_buf_str(&r->out, "[");
    for (size_t i = 0; i < t->n_dim; i++) {
        guard_json_comma(&r->out);
        guard_json_u64(&r->out, t->dim[i]);
    }
    guard_buf_str(&r->out, "]}");
}

static void tensor_text(inspection *r, const nn_st_tensor *t)
{
    const size_t len = strlen(t->name), shown = len < 80 ? len : 80;

    guard_buf_str(&r->out, "  ");
    add_plain(&r->out, t->name, shown);
    guard_buf_fmt(&r->out, "%*s %-5s [", (int)(shown + 2 < KEY_WIDTH ? KEY_WIDTH - shown - 2 : 0), "",
                  nn_dtype_name(t->type));
    for (size_t i = 0; i < t->n_dim; i++) guard_buf_fmt(&r->out, "%s%zu", i > 0 ? ", " : "", t->dim[i]);
    guard_buf_str(&r->out, "]\n");
}

void inspect_tensor(inspection *r, const nn_st_tensor *t, inspect_sums *sums)
{
    sums->n++;
    sums->weights += t->count;
    sums->bytes += nn_dtype_bytes(t->type, t->count);
    if (r->keys_only) return;
    if (r->json) tensor_json(r, t);
    else tensor_text(r, t);
}

void inspect_tensors_end(inspection *r, const inspect_sums *sums)
{
    if (r->json) {
        if (!r->keys_only) guard_buf_str(&r->out, "]");
        inspect_u64(r, "n_tensors", sums->n);
        inspect_u64(r, "n_weights", sums->weights);
        inspect_u64(r, "data_bytes", sums->bytes);
    } else {
        guard_buf_fmt(&r->out, "%zu tensors, %llu weights, %llu bytes of data\n", sums->n,
                      (unsigned long long)sums->weights, (unsigned long long)sums->bytes);
    }
}
