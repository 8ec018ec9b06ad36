/* json_scan.h - strict JSON read forward, value by value, without a tree: headers, configurations, vocabularies.
 *
 * Reads: cursor.h, unicode.h, decimal.h.   Read next: fmt_safetensors.c, pretrained_config.c, tok_json.c (its users).
 * Why: nn/ has no dependencies, and a tokenizer.json of 17 MB needs no tree. What RFC 8259 forbids is refused (control
 * characters, ill-formed UTF-8, leading zeros, lone surrogates); errors stick in the cursor, so that a reader may go on
 * and check once. To read a value later: remember c->pos before it, nn_json_skip it, nn_cursor_seek back. Private to
 * nn/.
 *
 *     static const char *const names[] = {"dim", "name", "sizes"};
 *     nn_json_fields f = {names, 3, 0, 0, ""};
 *
 *     for (int k = nn_json_field(c, pool, &f); k != NN_JSON_DONE; k = nn_json_field(c, pool, &f)) {
 *         if (k == 0) dim = nn_json_u64(c);
 *         else if (k == 1) name = nn_json_string(c, pool);
 *         else if (k == 2) for (size_t n = 0; nn_json_item(c, &n);) sum += nn_json_f64(c);
 *         else nn_json_skip(c);                     or: nn_cursor_fail(c, "%s: ...", f.key)
 *     }
 *     if (c->status != NN_OK) return c->status;
 */
#ifndef NN_JSON_SCAN_H
#define NN_JSON_SCAN_H
#include "nn/cursor.h"

#define NN_JSON_DEPTH 256u /* arrays and objects within each other that nn_json_skip follows */
#define NN_JSON_DONE (-1)

/* Where decoded strings go. A string never decodes to more bytes than stand between its quotes, so a pool of the text's
 * length + 1 holds them all, each with a zero byte after it. Whoever reads a part twice sets `used` back. */
typedef struct {
    char *bytes;
    size_t used, cap;
} nn_json_pool;

typedef enum {
    NN_JSON_NOTHING, /* the end, an error, or what begins no value */
    NN_JSON_NULL,
    NN_JSON_BOOL,
    NN_JSON_NUMBER,
    NN_JSON_STRING,
    NN_JSON_ARRAY,
    NN_JSON_OBJECT
} nn_json_kind;

/* What comes next, by its first character; blanks before it are gone then. */
nn_json_kind nn_json_peek(nn_cursor *c);

/* True, and consumed, when the next byte after blanks is ch. */
bool nn_json_take(nn_cursor *c, char ch);
/* The same, but anything else is an error. */
void nn_json_expect(nn_cursor *c, char ch);
/* Nothing but blanks may be left. */
void nn_json_end(nn_cursor *c);

/* --- values ---------------------------------------------------------------------------------------------- */

/* A string, decoded into the pool and terminated; NULL after an error. A zero byte inside is refused. */
const char *nn_json_string(nn_cursor *c, nn_json_pool *pool);
/* The same with its length; zero bytes inside are fine. */
const char *nn_json_text(nn_cursor *c, nn_json_pool *pool, size_t *len);
/* An integer 0 .. 2^64-1 without sign, fraction or exponent; 0 after an error. */
uint64_t nn_json_u64(nn_cursor *c);
/* Any number, correctly rounded; one beyond the largest double is refused. */
double nn_json_f64(nn_cursor *c);
bool nn_json_bool(nn_cursor *c);
bool nn_json_null(nn_cursor *c); /* true, and consumed, when null comes next; not an error otherwise */
/* One value of any kind, checked as strictly; to NN_JSON_DEPTH levels. Keys that come twice are not seen. */
void nn_json_skip(nn_cursor *c);

/* --- arrays and objects: nothing after an error, so that a loop over them ends ------------------------------ */

/* Goes to the next element of an array, the first time (*n == 0) over its bracket; false behind the closing one. *n:
 * elements begun. */
bool nn_json_item(nn_cursor *c, size_t *n);
/* The same for an object of any keys: the next key, decoded into the pool, with the cursor before its value. */
const char *nn_json_member(nn_cursor *c, nn_json_pool *pool, size_t *n, size_t *len);

/* An object of which some keys are known. */
typedef struct {
    const char *const *name; /* [n_name], each shorter than 64 bytes */
    size_t n_name;           /* at most 64 */
    uint64_t seen;           /* bit i: name i has come; again it is refused */
    size_t n;                /* members so far */
    char key[64];            /* the last one's, cut when longer */
} nn_json_fields;
/* Index of the next member's name, or n_name for one that is not known; its value must then be read or skipped.
 * NN_JSON_DONE behind the closing brace. The pool is left as it was. */
int nn_json_field(nn_cursor *c, nn_json_pool *pool, nn_json_fields *f);
#endif
