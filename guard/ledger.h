/* ledger.h - ledger.jsonl: one line a stage or rule, each carrying the hash of the line before.
 *
 * Reads: folder.h, buf.h; jansson for JSON.   Read next: run_stage.c (writes), audit.c and lineage.c (read).
 *
 *   {"n":1,"kind":"stage"|"rule","ordinal":3,"name":"curate","key":"..","args":"..","in":["sha256",..],
 *    "out":[{"path":"corpus/03_curate.jsonl","sha256":".."}],"note":{..}|null,"tokens":0,"metrics":812,"prev":".."}
 *
 * n counts lines from 1; ordinal counts stages from 1, and a rule has its stage's. prev is the SHA-256 of the line
 * before without its newline, 64 zeros in the first. A rule's lines stand before its stage's, which is the commit: all
 * are appended at once, and rules without their stage are what a crash left. Ownership: a ledger owns its entries.
 */
#ifndef GUARD_LEDGER_H
#define GUARD_LEDGER_H
#include "guard/buf.h"
#include "guard/folder.h"

typedef struct {
    size_t n, ordinal;
    bool rule;
    char name[48];
    char key[NN_SHA256_HEX], args[NN_SHA256_HEX], prev[NN_SHA256_HEX];
    char (*in)[NN_SHA256_HEX]; /* [n_in] */
    size_t n_in;
    guard_hashes out;
    char *note; /* JSON object as it was given, or NULL */
    uint64_t tokens, metrics;
    char sha256[NN_SHA256_HEX]; /* of this line */
} guard_entry;

typedef struct {
    guard_entry *entry;
    size_t n, cap;
    uint64_t bytes; /* length of the file that these entries make */
} guard_ledger;

extern const char guard_ledger_first[NN_SHA256_HEX]; /* 64 zeros */

void guard_entry_free(guard_entry *e);
NN_CHECKED nn_status guard_entry_input(guard_entry *e, const char *const *hash, size_t n, nn_err *err); /* copies */
/* One line without its newline; NN_FILE "where: problem, want ...". */
NN_CHECKED nn_status guard_entry_parse(guard_entry *e, const char *line, size_t len, const char *where, nn_err *err);

/* What was committed, in order: the chain must hold (NN_FILE names the entry), a torn last line and rules without their
 * stage are left out; l->bytes is where they begin. An absent file is an empty ledger. */
NN_CHECKED nn_status guard_ledger_read(guard_ledger *l, const char *path, nn_err *err);
void guard_ledger_free(guard_ledger *l);
/* Numbers e[0..n), chains them, appends them with one write and moves them into l. On failure the file is as before. */
NN_CHECKED nn_status guard_ledger_append(guard_ledger *l, const char *path, guard_entry *e, size_t n, nn_err *err);
const char *guard_ledger_head(const guard_ledger *l);
const guard_entry *guard_ledger_stage(const guard_ledger *l, size_t ordinal); /* NULL when not committed */
#endif
