/* text.h - the text as the wide part and the n-gram memory see it.
 *
 * Reads: nn/unicode.h.   Read next: text.c, ngram.h (its user).
 * Normalisation (measured: +0.04 M over raw text): NFKC + case folding + confusables (nn/unicode.h), URLs and @mentions
 * dropped, blanks before punctuation joined, runs of blanks made one, runs of more than three equal characters cut to
 * three. Precisely:
 *   - a URL begins with http:// or https:// anywhere, or with www. where a word begins, and ends before the next blank;
 *   - a mention is an @ that begins a word (no letter, mark, digit or _ before it) with all of these that follow, at
 *     least one;
 *   - both leave a blank; a blank before one of , . ! ? ; : goes, so do blanks at both ends; any white space is one.
 * The rules look at what has been written so far, so normalising twice changes nothing.
 */
#ifndef GUARD_TEXT_H
#define GUARD_TEXT_H
#include "nn/err.h"
#include <stddef.h>

/* Bytes needed; writes at most cap, whole code points. Input should be valid UTF-8 (repair first); ill-formed parts
 * read as U+FFFD. scratch: GUARD_TEXT_ROOM(len) bytes, which may be out itself when cap is as large; with scratch NULL
 * nothing is written and the answer is the bound GUARD_TEXT_ROOM(len). Allocates nothing. */
size_t guard_text_normalise(char *out, size_t cap, const char *s, size_t len, char *scratch);
/* Enough for out and for scratch: folding grows no code point more than fourfold, the other rules only shorten. */
#define GUARD_TEXT_ROOM(len) (4u * (len) + 64u)
#endif
