/* gguard_read.h - between the files that read a guard.gguf: the file on its way through them.
 *
 * Reads: gguard.h.   Read next: gguard.c (order of reading), gguard_get.c (typed keys), gguard_model.c (weights).
 */
#ifndef GUARD_GGUARD_READ_H
#define GUARD_GGUARD_READ_H
#include "guard/gguard.h"

/* The file, its name, and the first failure: nothing is done after it. */
typedef struct {
    const nn_gguf *g;
    const char *name;
    nn_err *err;
    nn_status st;
} guard_reader;

void guard_refuse(guard_reader *r, const char *key, const char *want);
size_t guard_get_size(guard_reader *r, const char *key, size_t low, size_t high);
float guard_get_float(guard_reader *r, const char *key);
bool guard_get_bool(guard_reader *r, const char *key);
bool guard_get_choice(guard_reader *r, const char *key, const char *yes, const char *no); /* one of two words */
void guard_get_text(guard_reader *r, const char *key, char *out, size_t cap);
void guard_get_floats(guard_reader *r, const char *key, double *out, size_t n); /* exactly n finite numbers */
bool guard_is_text(const char *s, size_t len, const char *want);
bool guard_copy_text(char *out, size_t cap, const char *s, size_t len); /* a C string of less than cap bytes */
bool guard_has_key(const guard_reader *r, const char *key);             /* of any type */

/* gguard_tok.c: p->tok, by its hash, with its spelling; and p->format, which is made of its ids. */
void guard_read_tokenizer(guard_reader *r, guard_parts *p);
/* gguard_model.c: decoder and wide part; every tensor of the file is one of theirs. */
void guard_read_weights(guard_reader *r, guard_parts *p);
#endif
