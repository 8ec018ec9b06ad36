/* stage.h - what every stage call does around its C function: key, saved result or work, outputs, ledger, tokens,
 * progress.
 *
 * Reads: handles.h, guard/run.h.   Read next: lua_run.c.
 * A stage function has this shape:
 *     if ((st = lua_stage_begin(&s, h, "augment", hashes, n, err)) != NN_OK) return st;
 *     if (!s.s.finished && (st = guard_augment(&out->c, ...)) != NN_OK) goto fail;
 *     if ((st = lua_stage_corpus(&s, out, "", err)) != NN_OK) goto fail;        saves it, or loads what a finished
 * stage saved return lua_stage_end(&s, NULL, err); The canonical options are in h->args, put there by the binding.
 */
#ifndef GUARD_LUA_STAGE_H
#define GUARD_LUA_STAGE_H
#include "guard/lua/handles.h"

#define LUA_STAGE_OUTPUTS 8

typedef struct {
    lua_host *h;
    guard_stage s;
    guard_job job;
    char stream[64];
    char output[LUA_STAGE_OUTPUTS][512];
    size_t n_output;
    double started; /* seconds, for timing.jsonl only */
    const char *budget;
} lua_stage;

NN_CHECKED nn_status lua_stage_begin(lua_stage *s, lua_host *h, const char *name, const char *const *hash,
                                     size_t n_hash, nn_err *err);
/* Output corpus: written (all rows) or read back. suffix "" or "_train". box->hash and rows are set. */
NN_CHECKED nn_status lua_stage_corpus(lua_stage *s, corpus_box *box, const char *suffix, nn_err *err);
/* Like lua_stage_corpus, for a corpus with a column `kept`: the file holds every row and why; the box then holds the
 * kept ones. */
NN_CHECKED nn_status lua_stage_kept(lua_stage *s, corpus_box *box, const char *rule, nn_err *err);
/* Path for an output made by the caller; a finished stage's is checked against its recorded hash. */
NN_CHECKED nn_status lua_stage_path(lua_stage *s, const char *kind, const char *suffix, char **path, char sha256[65],
                                    nn_err *err);
/* Path of an output with a name of its own, in the run folder itself. */
const char *lua_stage_fixed(lua_stage *s, const char *name);
NN_CHECKED nn_status lua_stage_end(lua_stage *s, const char *note, nn_err *err);

/* Plan pass: one line of the plan, and the tokens onto their budget (NULL: none). Raises when the budget is not
 * declared or overdrawn. */
void lua_plan_add(lua_State *L, const char *name, const char *detail, const char *budget, uint64_t tokens,
                  uint64_t rows, size_t params, size_t bytes);
void lua_budget_use(lua_host *h, const char *budget, uint64_t tokens);

/* Puts the options at idx (and a text before them, or NULL) into h->args as canonical JSON. */
void lua_stage_args(lua_State *L, int idx, const char *what);

/* progress.c: one line on stderr, rewritten on a terminal; also the time left of the stage. */
bool lua_progress(void *ctx, uint64_t done, uint64_t total, const char *unit);
void lua_progress_stage(lua_host *h, const char *name, bool finished);
void lua_progress_end(lua_host *h, double seconds, uint64_t tokens);
/* How many answers of the stage were stored already: it depends on what was asked before, so it stands nowhere else. */
void lua_progress_stored(const lua_host *h, size_t stored, size_t answers);
/* That questions of the stage have no answer, and why the first was refused (NULL: none was). */
void lua_progress_unanswered(const lua_host *h, size_t dropped, size_t asked, const char *why);
#endif
