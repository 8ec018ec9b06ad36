/* fuzz_json.c - any text through the JSON scanner, three ways: skipped, walked value by value, and by jansson with the
 * rows' rules, which must agree on what JSON is.
 */
#include "guard/import.h"
#include "nn/arena.h"
#include "nn/json_scan.h"
#include "tests/fuzz.h"
#include <jansson.h>
#include <string.h>

#define DEEPEST 64u /* that the walk follows, so that it may call itself */

/* Stands for the whole text of one walk. */
typedef struct {
    nn_cursor c;
    nn_json_pool pool;
    bool too_deep, number; /* a number: the scanner refuses one beyond double only when it is asked for */
} walk;

static void walk_value(walk *w, size_t depth)
{
    size_t n = 0, len = 0;

    w->too_deep |= depth > DEEPEST;
    if (w->too_deep) return;
    switch (nn_json_peek(&w->c)) {
    case NN_JSON_NULL: /* by its first letter */
        if (!nn_json_null(&w->c)) nn_json_skip(&w->c);
        break;
    case NN_JSON_BOOL: (void)nn_json_bool(&w->c); break;
    case NN_JSON_NUMBER:
        w->number = true;
        (void)nn_json_f64(&w->c);
        break;
    case NN_JSON_STRING: (void)nn_json_text(&w->c, &w->pool, &len); break;
    case NN_JSON_ARRAY:
        while (nn_json_item(&w->c, &n)) walk_value(w, depth + 1);
        break;
    case NN_JSON_OBJECT:
        while (nn_json_member(&w->c, &w->pool, &n, &len)) walk_value(w, depth + 1);
        break;
    case NN_JSON_NOTHING: nn_json_expect(&w->c, '['); break;
    }
}

static bool jansson_takes(const uint8_t *bytes, size_t len)
{
    json_t *root = NULL;
    const bool good = guard_json_parse(&root, (const char *)bytes, len, false, "x", NULL) == NN_OK;

    json_decref(root);
    return good;
}

/* Brackets open at once, at most; strings are not looked into, so that it may be too many. */
static size_t depth_of(const uint8_t *bytes, size_t len)
{
    size_t depth = 0;

    for (size_t i = 0; i < len; i++) depth += bytes[i] == '[' || bytes[i] == '{';
    return depth;
}

nn_status fuzz_json(const uint8_t *bytes, size_t len, nn_err *err)
{
    walk w = {.pool = {NULL, 0, len + 1}};
    nn_cursor skip;
    void *pool = NULL;

    if (nn_alloc(&pool, len + 1, 1, err) != NN_OK) return NN_LIMIT;
    w.pool.bytes = pool;
    nn_cursor_init(&skip, bytes, len, "x", err);
    nn_json_skip(&skip);
    nn_json_end(&skip);

    nn_cursor_init(&w.c, bytes, len, "x", NULL);
    walk_value(&w, 0);
    nn_json_end(&w.c);
    if (!w.too_deep && !w.number) fuzz_must(w.c.status == skip.status, "skipping and walking take the same");
    if (!w.too_deep && w.c.status == NN_OK) fuzz_must(skip.status == NN_OK, "what is walked can be skipped");
    if (!w.number && depth_of(bytes, len) < NN_JSON_DEPTH)
        fuzz_must(jansson_takes(bytes, len) == (skip.status == NN_OK), "two readers of JSON agree");
    nn_free(pool);
    return skip.status;
}
