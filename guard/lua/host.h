/* host.h - one Lua state that runs an experiment: sandbox, determinism, modules, plan, stop.
 *
 * Reads: guard/run.h, lua.h.   Read next: sandbox.c (what scripts may see), lua_corpus.c, lua_run.c (the stages).
 * Why: a script is somebody else's program. It sees an allow-list of functions, opens nothing but data/, the roots
 * given with --set and its run folder, gets its memory from a capped allocator and can always be stopped. The same
 * script gives the same bytes: pairs walks in key order, table.sort is stable, tostring shows no address, math's
 * transcendental functions are nn/mathf's. A script runs twice: the plan pass (planning = true) checks arguments,
 * declares columns and calls each rule on a probe row; then the real pass. Ownership: the host owns the state, the plan
 * and the nn_exec; it borrows the run.
 */
#ifndef GUARD_LUA_HOST_H
#define GUARD_LUA_HOST_H
#include "guard/ask/store.h"
#include "guard/nearest.h"
#include "guard/run.h"
#include "guard/taxonomy.h"
#include "guard/template.h"
#include "nn/tok.h"
#include <lua.h>

#define HOST_MEMORY_CAP ((size_t)512 << 20) /* bytes of Lua values; corpora and models are not Lua's */
#define HOST_MAX_T 4224 /* longest sequence a stage may ask for: 4096 tokens of options and their control tokens */

/* One stage as the plan pass saw it. */
typedef struct {
    char name[48], detail[96];
    const char *budget;    /* name of the token budget, or NULL */
    uint64_t tokens, rows; /* estimates: training tokens, rows out */
    size_t params, bytes;  /* weights, peak memory */
} host_plan_stage;

typedef struct {
    host_plan_stage *stage;
    size_t n, cap;
} host_plan;

typedef struct host_budget {
    char name[32];
    uint64_t declared, planned, used; /* tokens */
} host_budget;

typedef struct {
    const char *script;     /* path of the entry script */
    const char *const *set; /* "name=value" */
    size_t n_set;
    uint64_t seed;
    bool seed_given; /* --seed overrides the script's */
    const char *out; /* run folder; NULL: plan only */
    bool resume, planning, quiet, json;
    bool allow_net;      /* servers may be asked */
    const char *answers; /* folder of another run whose answers count as given, or NULL */
    const char *kernels;
    size_t threads;
} host_options;

typedef struct lua_host {
    lua_State *L;
    host_options o;
    guard_run *run;    /* NULL while planning, and until parapet.run is called */
    bool run_declared; /* parapet.run was called */
    uint64_t seed;
    nn_exec exec;
    host_plan plan;
    host_budget budget[8];
    size_t n_budget;
    guard_taxonomy taxonomy;
    nn_tok *tok; /* of the run, after run:train_tokenizer or run:use_tokenizer */
    char tok_hash[65];
    size_t vocab;           /* asked for; 0 before run:train_tokenizer */
    char script_root[512];  /* folder that require looks in */
    char project_root[512]; /* its parent: "data/..." is looked up here when not below the working folder */
    size_t mem_used, mem_cap;
    nn_err raised;    /* the last error of ours that became a Lua error: what lua_host_caught knows it by */
    unsigned in_rule; /* rules under way: they may look at rows, not begin stages */
    uint64_t stage_done, stage_total; /* progress */
    guard_buf evaluations;            /* one JSON object a line: what run:evaluate found, printed when the run ends */
    guard_buf verdicts;               /* lines of run:verdicts */
    guard_template prompt, response;  /* of the stage being called, and the text of a conversation; here, so that */
    guard_buf chat;                   /* an error cannot leak them */
    guard_store *store; /* answers of language models; NULL until the first stage that asks */
    guard_buf args; /* canonical options of the stage being called; here, so that an error cannot leak it */
} lua_host;

/* Runs the script once (one pass). Errors carry the Lua message and the status behind it (NN_CONTENT for the script's
 * own). */
NN_CHECKED nn_status lua_host_open(lua_host *h, const host_options *o, nn_err *err);
NN_CHECKED nn_status lua_host_run(lua_host *h, nn_err *err);
void lua_host_close(lua_host *h);
lua_host *lua_host_of(lua_State *L);

/* Raises err as a Lua error; never returns. Everything not owned by a userdata must have been released. */
int lua_host_raise(lua_State *L, const nn_err *err);
/* Takes the error value that a protected call left on the stack and returns its status: of lua_host_raise, else
 * NN_LIMIT for the memory cap, else NN_CONTENT. err gets "<where><text>". */
nn_status lua_host_caught(lua_State *L, int status, const char *where, nn_err *err);

/* --- sandbox.c ---------------------------------------------------------------------------- */
void lua_sandbox_open(lua_State *L);                 /* fills the globals of a fresh state */
void lua_push_text(lua_State *L, int i);             /* the value as tostring shows it: no addresses */
void lua_set_strict(lua_State *L, const char *what); /* table on top: an absent field raises with the nearest name */

/* modules.c: require below script_root, or from the run folder's scripts/ at resume; every script read is saved into
 * the run. */
void lua_modules_open(lua_State *L);
/* Pushes a module's function (NULL: the entry script's), or raises. name and chunk must be on the stack. */
void lua_modules_push(lua_State *L, const char *name, const char *chunk);
/* True when a script may open this path. resolved (cap bytes) gets the path to open. */
NN_CHECKED nn_status lua_host_resolve(const lua_host *h, const char *path, char *resolved, size_t cap, nn_err *err);
/* lua_parapet.c: the table `parapet` and everything that hangs on it. */
void lua_parapet_open(lua_State *L);
#endif
