/* secret.h - a key: looked at, copied, wiped, and taken out of texts that others wrote.
 *
 * Reads: guard/buf.h.   Read next: backend_server.c, http_curl.c (who hold one).
 * Why: a key may stand in nothing that is kept or shown, and servers echo keys (in the message of a 401, some a part of
 * it). So every text of a server that we quote passes guard_secret_hide.
 */
#ifndef GUARD_ASK_SECRET_H
#define GUARD_ASK_SECRET_H
#include "guard/buf.h"

#define GUARD_SECRET_MAX 4096u /* bytes of a key */
#define GUARD_SECRET_PART 8u   /* characters of one that nobody writes by accident */

/* NN_USAGE, not quoting it, unless it is 1 to GUARD_SECRET_MAX printable ASCII characters without blanks. */
NN_CHECKED nn_status guard_secret_check(const char *key, nn_err *err);
/* prefix and key in one string. */
NN_CHECKED nn_status guard_secret_copy(char **out, const char *prefix, const char *key, nn_err *err);
/* The key stands in the text, and is long enough to be one: many servers take any word. key may be NULL. */
bool guard_secret_in(const char *text, const char *key);
void guard_secret_wipe(char *key);  /* zeroes up to the zero byte; NULL is fine */
void guard_secret_free(char **key); /* wipes first */

/* Appends text with "[key]" for every stretch of at least `least` bytes that stands in the key too (the whole key, when
 * it is shorter), letters' case ignored. key NULL: the text as it stands. */
void guard_secret_hide(guard_buf *out, const char *text, size_t len, const char *key, size_t least);
#endif
