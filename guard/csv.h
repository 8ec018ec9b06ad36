/* csv.h - records of a CSV text: RFC 4180, with quoted line ends, doubled quotes, CRLF and a byte order mark.
 *
 * Reads: buf.h.   Read next: dataset.c (its user).
 * Why: the benchmarks publish CSV whose texts span lines; a parser that guesses shifts labels against texts, so
 * what the RFC forbids is refused with its line: a quote left open, text after a closing quote, a record of another
 * width, a zero byte. Ill-formed UTF-8 is repaired, and said.
 * Ownership: borrows the bytes and the name, owns the current record; guard_csv_free. Private to guard/.
 */
#ifndef GUARD_CSV_H
#define GUARD_CSV_H
#include "guard/corpus.h"

typedef struct {
    const char *bytes, *name;
    size_t len, pos;
    size_t line;       /* of pos, from 1 */
    size_t width;      /* fields of the first record */
    size_t at_line;    /* where the current record starts */
    guard_text *field; /* of the current record, valid until the next call */
    size_t n_field, field_cap;
    bool repaired;         /* ill-formed UTF-8 became U+FFFD in it */
    guard_buf text, spare; /* its bytes, a zero byte after each field */
} guard_csv;

void guard_csv_init(guard_csv *c, const char *bytes, size_t len, const char *name);
void guard_csv_free(guard_csv *c);
/* The next record; *more false at the end. Empty lines between records are passed over. */
NN_CHECKED nn_status guard_csv_next(guard_csv *c, bool *more, nn_err *err);
#endif
