/* store.h - answers by address: what a model said is an input, kept in the run folder and hashed like one.
 *
 * Reads: guard/folder.h, nn/sha256.h.   Read next: store.c, ask.h.
 * Files: answers/NN_stage.jsonl, one object a line: {"address":64 hex,"end":"answered"|"refused","text":"..."}, in
 * order of questions and attempts: an output of its stage, in the ledger. While the stage works, answers are appended
 * to a journal beside its checkpoint, each line flushed as it comes; a resumed stage reads it (a torn last line is
 * dropped) and it goes when the stage is finished. A replay reads answers/ of another run's folder. Lines are untrusted:
 * a bad one is refused with file and line.
 * Why flushed and not synced: a process that is killed loses nothing that it flushed. When the machine itself goes
 * down, the last answers may be lost; they are asked for again, and a half-written end is dropped as a torn line is.
 * A text that is no UTF-8 is never an answer of a back-end (they refuse it), so JSON holds every text.
 */
#ifndef GUARD_ASK_STORE_H
#define GUARD_ASK_STORE_H
#include "guard/buf.h"

typedef struct guard_store guard_store;
typedef struct {
    bool refused;
    const char *text; /* text[len] is 0 */
    size_t len;
} guard_stored; /* borrowed until the store is freed */

NN_CHECKED nn_status guard_store_build(guard_store **out, nn_err *err);
void guard_store_free(guard_store *s);
size_t guard_store_count(const guard_store *s); /* addresses */
/* All of a file's answers. An address with another answer than before is NN_CONTENT: two files disagree, by their
 * names. torn_end_allowed: what stands after the last line end is left out. */
NN_CHECKED nn_status guard_store_read(guard_store *s, const char *path, bool torn_end_allowed, nn_err *err);
/* Every .jsonl in answers/ of a run folder, in name order; none is no error. */
NN_CHECKED nn_status guard_store_read_run(guard_store *s, const char *dir, nn_err *err);
const guard_stored *guard_store_find(const guard_store *s, const char address[65]); /* NULL: none */
NN_CHECKED nn_status guard_store_put(guard_store *s, const char address[65], bool refused, const char *text, size_t len,
                                     nn_err *err);
/* From now on every put of something new is appended here too and flushed. A file that is there is gone on with, a torn
 * last line cut off (read it first). NULL closes it. */
NN_CHECKED nn_status guard_store_journal(guard_store *s, const char *path, nn_err *err);
/* guard_ask notes the address of each answer that it used, in order; an address counts once. */
NN_CHECKED nn_status guard_store_used(guard_store *s, const char address[65], nn_err *err);
/* The answers used since the last such call, in order, as the file of a stage. */
NN_CHECKED nn_status guard_store_write_used(guard_store *s, const char *path, nn_err *err);
#endif
