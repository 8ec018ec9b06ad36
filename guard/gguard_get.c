/* gguard_get.c - typed keys of a guard's file, each refused with what was expected of it.
 *
 * Reads: gguard_read.h.   Read next: gguard.c.
 */
#include "guard/gguard_read.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void guard_refuse(guard_reader *r, const char *key, const char *want)
{
    if (r->st == NN_OK)
        r->st = nn_fail(r->err, NN_FILE, "%s: key %s is absent or wrong, want %s", r->name, key, want);
}

size_t guard_get_size(guard_reader *r, const char *key, size_t low, size_t high)
{
    char want[64];
    uint64_t v = 0;

    if (r->st != NN_OK) return low;
    if (nn_gguf_u64(r->g, key, &v) && v >= low && v <= high) return (size_t)v;
    snprintf(want, sizeof want, "a whole number from %zu to %zu", low, high);
    guard_refuse(r, key, want);
    return low;
}

float guard_get_float(guard_reader *r, const char *key)
{
    double v = 0.0;

    if (r->st == NN_OK && (!nn_gguf_f64(r->g, key, &v) || !isfinite(v))) guard_refuse(r, key, "a finite number");
    return (float)v;
}

bool guard_get_bool(guard_reader *r, const char *key)
{
    bool v = false;

    if (r->st == NN_OK && !nn_gguf_bool(r->g, key, &v)) guard_refuse(r, key, "true or false");
    return v;
}

bool guard_is_text(const char *s, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(s, want, len) == 0;
}

/* One of two words. */
bool guard_get_choice(guard_reader *r, const char *key, const char *yes, const char *no)
{
    const char *s = NULL;
    char want[64];
    size_t len = 0;

    if (r->st != NN_OK) return false;
    if (nn_gguf_str(r->g, key, &s, &len) && (guard_is_text(s, len, yes) || guard_is_text(s, len, no)))
        return guard_is_text(s, len, yes);
    snprintf(want, sizeof want, "%s or %s", yes, no);
    guard_refuse(r, key, want);
    return false;
}

/* A C string of less than cap bytes. */
bool guard_copy_text(char *out, size_t cap, const char *s, size_t len)
{
    if (len >= cap || (len > 0 && memchr(s, 0, len))) return false;
    if (len > 0) memcpy(out, s, len);
    out[len] = '\0';
    return true;
}

void guard_get_text(guard_reader *r, const char *key, char *out, size_t cap)
{
    const char *s = NULL;
    size_t len = 0;

    if (r->st == NN_OK && (!nn_gguf_str(r->g, key, &s, &len) || !guard_copy_text(out, cap, s, len)))
        guard_refuse(r, key, "a short text");
}

/* Exactly n finite numbers. */
void guard_get_floats(guard_reader *r, const char *key, double *out, size_t n)
{
    nn_gg_type type = NN_GG_U8;
    size_t have = 0;

    if (r->st != NN_OK) return;
    bool good = nn_gguf_array(r->g, key, &type, &have) && have == n;
    for (size_t i = 0; i < n && good; i++) good = nn_gguf_array_f64(r->g, key, i, &out[i]) && isfinite(out[i]);
    if (!good) guard_refuse(r, key, "as many finite numbers as there are places");
}

bool guard_has_key(const guard_reader *r, const char *key)
{
    nn_gg_type type = NN_GG_U8;
    size_t len = 0;

    for (size_t i = 0; i < nn_gguf_keys(r->g); i++) {
        const char *k = nn_gguf_key(r->g, i, &len, &type);

        if (guard_is_text(k, len, key)) return true;
    }
    return false;
}
