/* import.h - what the importers share: a record of a benchmark's file, and the steps from it to a row.
 *
 * Reads: dataset.h.   Read next: import_toxicchat.c, the shortest one; dataset.c, which calls them.
 * Why: CSV and JSONL exports of one benchmark hold the same fields, so an importer sees named fields and never a file.
 * Every label rule stands in exactly one import_<benchmark>.c. Private to guard/.
 * Ownership: fields borrow from the file or from the parsed line; rows borrow from fields and from the scratch.
 */
#ifndef GUARD_IMPORT_H
#define GUARD_IMPORT_H
#include "guard/dataset.h"

#define GUARD_FILE_MAX ((size_t)2 << 30) /* bytes of one data file, unpacked */

typedef struct {
    guard_text name, value; /* value absent: null */
    bool json;              /* value is JSON text: a number, true, an array; else a string's bytes */
} guard_field;

typedef struct {
    const char *where; /* "file:line" for messages */
    const guard_field *field;
    size_t n;
} guard_record;

typedef struct {
    guard_buf text, category, extra; /* cleared before each record */
} guard_scratch;

typedef struct {
    const char *format, *rule;
    const char *const *need; /* columns of the header, NULL at the end */
    /* Fills *row (zeroed, label none) from rec; *skip when the record has no label in the file's own sense. */
    nn_status (*row)(guard_row *row, bool *skip, guard_scratch *s, const guard_record *rec, const guard_import *o,
                     nn_err *err);
    nn_status (*check)(const guard_import *o, nn_err *err); /* of the options, once; NULL: nothing to check */
} guard_importer;

extern const guard_importer guard_import_toxicchat, guard_import_openai_moderation, guard_import_wildguard,
    guard_import_harmbench, guard_import_xstest;

/* --- import.c: fields of a record ---------------------------------------------------------- */
const guard_field *guard_record_find(const guard_record *rec, const char *name); /* NULL when absent */
bool guard_text_is(guard_text t, const char *s);
/* Ill-formed UTF-8 in t becomes U+FFFD, in a copy that b holds; *repaired says whether. */
NN_CHECKED nn_status guard_text_repair(guard_text *t, guard_buf *b, bool *repaired, nn_err *err);
/* A string that must be there; may be empty only when `or_empty`. */
NN_CHECKED nn_status guard_record_text(guard_text *out, const guard_record *rec, const char *name, bool or_empty,
                                       nn_err *err);
/* Label by two words, "0"/"1" or "safe"/"unsafe"; *skip when the field is empty or null. */
NN_CHECKED nn_status guard_record_label(int *label, bool *skip, const guard_record *rec, const char *name,
                                        const char *safe, const char *unsafe, nn_err *err);
/* "where: field: problem ..., want <want>", with the start of the value. */
nn_status guard_field_fail(const char *where, const char *field, guard_text value, const char *want, nn_err *err);
/* Writes all fields but those of `used` (NULL at the end) as members of the object under way in b. */
void guard_record_rest(guard_buf *b, const guard_record *rec, const char *const *used);
/* The key of an unknown field, unless it is one of a row's own: then with "_in_file" behind it. */
void guard_extra_key(guard_buf *b, guard_text name);
/* Closes the object that guard_record_rest filled; {} is absent. */
guard_text guard_extra_end(guard_buf *b);

/* --- dataset_line.c: JSON ------------------------------------------------------------------ */
struct json_t; /* jansson's */
/* RFC 8259, any value at the top; NULL on failure with "where: problem". unique refuses a key that stands twice.
 * jansson keeps keys as C strings: a zero byte in a key becomes U+FFFD. */
NN_CHECKED nn_status guard_json_parse(struct json_t **out, const char *bytes, size_t len, bool unique,
                                      const char *where, nn_err *err);
/* The members of an object as they stand in its text, in order: key with its quotes, and value. */
typedef struct {
    const char *at, *end;
    guard_text key, value;
} guard_members;
void guard_members_open(guard_members *m, const char *object, size_t len); /* of text that guard_json_parse took */
bool guard_members_next(guard_members *m);
/* guard_dataset_line with a limit on one text (0: 1 MiB; GUARD_ANY_TEXT: none, and it may be empty, as what a generator
 * wrote may be); *repaired as above. */
#define GUARD_ANY_TEXT SIZE_MAX
NN_CHECKED nn_status guard_dataset_line_limit(guard_corpus *c, const char *line, size_t len, const char *where,
                                              size_t max_bytes, bool *repaired, nn_err *err);
/* NN_LIMIT when text, response or context is longer; NN_CONTENT when the text is empty. */
NN_CHECKED nn_status guard_row_check(const guard_row *row, const char *where, size_t max_bytes, nn_err *err);
#endif
