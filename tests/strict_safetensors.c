/* safetensors as its README describes it (huggingface/safetensors, "Format"), read with another JSON library. */
#include "tests/strict_gguf.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(char *why, size_t cap, const char *what, const char *name)
{
    snprintf(why, cap, "%s: %s", name, what);
    return false;
}

static bool check_metadata(const json_t *meta, char *why, size_t cap)
{
    const char *key;
    json_t *v;

    if (!json_is_object(meta)) return refuse(why, cap, "no object", "__metadata__");
    json_object_foreach((json_t *)meta, key, v)
        if (!json_is_string(v)) return refuse(why, cap, "a value that is no string", "__metadata__");
    return true;
}

/* A tensor that begins at *at and ends at what *at is then. */
static bool check_tensor(const char *name, const json_t *t, size_t *at, char *why, size_t cap)
{
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}};
    const char *type = json_string_value(json_object_get(t, "dtype"));
    const json_t *shape = json_object_get(t, "shape"), *place = json_object_get(t, "data_offsets");
    size_t bytes = 0;

    if (!json_is_object(t) || json_object_size(t) != 3 || !type || !json_is_array(shape) || json_array_size(place) != 2)
        return refuse(why, cap, "want dtype, shape and data_offsets", name);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(type, types[i].name) == 0) bytes = types[i].bytes;
    if (!bytes) return refuse(why, cap, "dtype", name);
    if (*at % bytes != 0) return refuse(why, cap, "begins in the middle of a number", name);
    for (size_t i = 0; i < json_array_size(shape); i++) bytes *= (size_t)json_integer_value(json_array_get(shape, i));
    if ((size_t)json_integer_value(json_array_get(place, 0)) != *at)
        return refuse(why, cap, "a gap or an overlap", name);
    *at += bytes;
    if ((size_t)json_integer_value(json_array_get(place, 1)) != *at) return refuse(why, cap, "its end", name);
    return true;
}

bool strict_safetensors(const unsigned char *bytes, size_t len, char *why, size_t cap)
{
    size_t n = 0, at = 0;
    json_error_t where;
    const char *key;
    json_t *t;

    if (len < 8) return refuse(why, cap, "too short", "file");
    for (size_t i = 8; i-- > 0;) n = n << 8 | bytes[i];
    if (n > len - 8 || n % 8 != 0 || bytes[8] != '{') return refuse(why, cap, "length or first byte", "header");
    for (size_t i = 8; i < 8 + n; i++)
        if (bytes[i] == 0) return refuse(why, cap, "padded with something else than blanks", "header");
    json_t *root = json_loadb((const char *)bytes + 8, n, JSON_REJECT_DUPLICATES, &where);
    if (!root) return refuse(why, cap, where.text, "header");
    bool good = true;
    json_object_foreach(root, key, t) {
        if (!good) break;
        good = strcmp(key, "__metadata__") == 0 ? check_metadata(t, why, cap) : check_tensor(key, t, &at, why, cap);
    }
    if (good && at != len - 8 - n) good = refuse(why, cap, "bytes behind the last tensor, or too few", "file");
    json_decref(root);
    return good;
}
