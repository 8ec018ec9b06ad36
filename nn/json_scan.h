/* json_scan.h - strict JSON read forward, token by token, for the header of a safetensors file.
 *
 * Reads: cursor.h, unicode.h.   Read next: fmt_safetensors.c (the only user).
 * Why: nn/ has no dependencies, and that header needs four things: punctuation, strings,
 * non-negative integers and nothing else. What RFC 8259 forbids is refused (control characters,
 * ill-formed UTF-8, leading zeros, lone surrogates); errors stick in the cursor. Private to nn/.
 */
#ifndef NN_JSON_SCAN_H
#define NN_JSON_SCAN_H
#include "nn/cursor.h"

/* Where decoded strings go. A string never decodes to more bytes than stand between its quotes, so
 * a pool of the text's length holds them all, each with a zero byte after it. */
typedef struct {
    char *bytes;
    size_t used, cap;
} nn_json_pool;

/* True, and consumed, when the next byte after blanks is ch. */
bool nn_json_take(nn_cursor *c, char ch);
/* The same, but anything else is an error. */
void nn_json_expect(nn_cursor *c, char ch);
/* A string, decoded into the pool and terminated; NULL after an error. A zero byte inside is
 * refused. */
const char *nn_json_string(nn_cursor *c, nn_json_pool *pool);
/* An integer 0 .. 2^64-1 without sign, fraction or exponent; 0 after an error. */
uint64_t nn_json_u64(nn_cursor *c);
/* Nothing but blanks may be left. */
void nn_json_end(nn_cursor *c);
#endif
