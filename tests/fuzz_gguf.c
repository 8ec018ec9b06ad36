/* fuzz_gguf.c - a GGUF file, then every key by every getter and every tensor of it. */
#include "nn/gguf.h"
#include "tests/fuzz.h"
#include <string.h>

static bool count_string(void *ctx, size_t i, const char *s, size_t len)
{
    size_t *sum = ctx;

    for (size_t k = 0; k < len; k++) *sum += (unsigned char)s[k];
    return i < 1000;
}

/* Whatever its type is, no getter may harm. */
static void get_all(const nn_gguf *g, const char *key)
{
    uint64_t u;
    double d;
    bool b;
    const char *s;
    size_t len, n = 0, sum = 0;
    nn_gg_type type;
    int32_t i32[64];

    (void)nn_gguf_u64(g, key, &u);
    (void)nn_gguf_f64(g, key, &d);
    (void)nn_gguf_bool(g, key, &b);
    if (nn_gguf_str(g, key, &s, &len)) (void)count_string(&sum, 0, s, len);
    if (!nn_gguf_array(g, key, &type, &n)) return;
    for (size_t i = 0; i <= n && i < 40; i++) {
        const size_t at = i < 20 ? i : n + 20 - i; /* both ends, and one beyond */

        if (nn_gguf_array_str(g, key, at, &s, &len)) {
            fuzz_must(at < n, "no string beyond the end");
            (void)count_string(&sum, 0, s, len);
        }
        if (nn_gguf_array_f64(g, key, at, &d)) fuzz_must(at < n, "no number beyond the end");
    }
    (void)nn_gguf_array_strs(g, key, count_string, &sum);
    if (n <= 64) (void)nn_gguf_array_i32(g, key, i32, n);
}

static void look_up(const nn_gguf *g)
{
    for (size_t i = 0; i < nn_gguf_keys(g); i++) {
        char key[256];
        size_t len = 0;
        nn_gg_type type;
        const char *name = nn_gguf_key(g, i, &len, &type);

        if (len >= sizeof key || memchr(name, '\0', len)) continue;
        memcpy(key, name, len);
        key[len] = '\0';
        get_all(g, key);
    }
    for (size_t i = 0; i < nn_gguf_tensors(g); i++) {
        const nn_st_tensor *t = nn_gguf_tensor(g, i);

        fuzz_must(nn_gguf_find(g, t->name) == t, "a tensor is found by its name");
        if (t->type != NN_DTYPE_OTHER) fuzz_tensor(t);
    }
}

nn_status fuzz_gguf(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_gguf *g = NULL;
    const nn_status st = nn_gguf_open_memory(&g, bytes, len, "x", err);

    fuzz_must((st == NN_OK) == (g != NULL), "an object exactly when it opens");
    fuzz_opened();
    if (g) look_up(g);
    nn_gguf_close(g);
    return st;
}
