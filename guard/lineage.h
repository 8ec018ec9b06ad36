/* lineage.h - where a row of a run stands, shared by lineage.c (finds it) and lineage_print.c (says it).
 *
 * Reads: ledger.h, corpus.h.   Read next: lineage.c.
 * A shelf is one corpus file of a run in the order of the ledger. A visit is one row of the answer: the row asked for
 * is generation 0, its parents are generation 1, and so on to the seeds.
 */
#ifndef GUARD_LINEAGE_H
#define GUARD_LINEAGE_H
#include "guard/corpus.h"
#include "guard/ledger.h"

#define LINEAGE_NOWHERE SIZE_MAX

typedef struct {
    const guard_entry *entry; /* of the stage that wrote it */
    const guard_hash *file;
    guard_corpus *c;
} guard_shelf;

typedef struct {
    char id[GUARD_ID_LEN];
    size_t generation;
} guard_visit;

typedef struct {
    guard_ledger ledger;
    guard_shelf *shelf;
    size_t n_shelf, shelf_cap;
    guard_visit *visit;
    size_t n_visit, visit_cap;
} guard_line;

/* The row of that id on the shelf, or LINEAGE_NOWHERE. */
size_t guard_shelf_find(const guard_shelf *s, const char *id);
/* True when a stage read a shelf that holds the row and wrote corpora of which none does. */
bool guard_line_drops(const guard_line *l, const guard_entry *stage, const char *id);

void guard_line_text(guard_buf *b, const guard_line *l, bool show_text);
void guard_line_json(guard_buf *b, const guard_line *l, bool show_text);
#endif
