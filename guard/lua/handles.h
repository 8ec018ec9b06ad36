/* handles.h - what a script holds: corpora, guards, generators, judges, models of other people, back-ends.
 *
 * Why: a C-owned object lives in a box: the box first, the object second, so that an error between the two leaks
 * nothing; Lua's collector closes it. Scripts never see pointers. Every handle has a hash, which names it in the keys
 * of later stages.
 */
#ifndef GUARD_LUA_HANDLES_H
#define GUARD_LUA_HANDLES_H
#include "guard/ask/backend.h"
#include "guard/classify.h"
#include "guard/corpus.h"
#include "guard/curate.h"
#include "guard/chat.h"
#include "guard/lm.h"
#include "guard/lua/args.h"
#include "guard/lua/host.h"
#include "nn/pretrained.h"

typedef struct {
    guard_corpus *c; /* plan pass: no rows, but the columns that the stage declared */
    char hash[65];   /* of the corpus file's bytes */
    uint64_t rows;   /* rows, or the plan's estimate */
} corpus_box;

typedef struct {
    guard_classifier *g;                /* NULL in the plan pass */
    char hash[65], name[64], file[256]; /* file: below the run folder; "" in the plan pass */
    bool wide, decoder, derived;        /* derived: a part of another, without a file */
} guard_box;

typedef struct {
    guard_lm *g;
    char hash[65];
} generator_box;

typedef struct {
    guard_judges *judges;
    guard_wide *reward;      /* the reward judge: a model of its own, no vote */
    guard_classifier *other; /* the guard of another fold and seed that the judges embed with */
    char hash[65];
} judges_box;

typedef struct {
    nn_pretrained *p; /* opened, in the plan pass too; weights are loaded by the stages that need them */
    nn_tok *tok;
    const guard_chat *chat;                  /* NULL: none that we know */
    char hash[65], tok_hash[65], name[64]; /* hash: of weights and tokenizer; "" in the plan pass */
} model_box;

typedef struct {
    guard_backend *b;         /* NULL: a local model that nothing was asked yet */
    nn_model *weights;        /* of a local model, mapped */
    const model_box *model;   /* NULL: not local; kept alive by the box's user value, as the options are */
    const guard_chat *chat;   /* of a local one; NULL: it completes */
    size_t slots, context;    /* of a local one */
    const char *kind;         /* "local", "server", "grammar" */
    bool completes;
    char hash[65];            /* of what its answers depend on; without a model's weights in the plan pass */
} backend_box;

#define CORPUS_TYPE "corpus"
#define GUARD_TYPE "guard"
#define GENERATOR_TYPE "generator"
#define JUDGES_TYPE "judges"
#define MODEL_TYPE "model"
#define BACKEND_TYPE "backend"

void lua_handles_open(lua_State *L); /* makes the six metatables */

/* New empty boxes on the stack. */
corpus_box *lua_push_corpus(lua_State *L);
guard_box *lua_push_guard(lua_State *L);
generator_box *lua_push_generator(lua_State *L);
judges_box *lua_push_judges(lua_State *L);
model_box *lua_push_model(lua_State *L);
backend_box *lua_push_backend(lua_State *L); /* with a user value */

/* The box at a stack index, raising with the argument's number otherwise. */
corpus_box *lua_check_corpus(lua_State *L, int arg);
guard_box *lua_check_guard(lua_State *L, int arg);
model_box *lua_check_model(lua_State *L, int arg);
backend_box *lua_check_backend(lua_State *L, int arg);
/* The box in field `name` of the table at idx: the value stays alive in the table. NULL when absent and optional. */
corpus_box *lua_args_corpus(lua_State *L, int idx, const char *name, bool optional);
guard_box *lua_args_guard(lua_State *L, int idx, const char *name, bool optional);
generator_box *lua_args_generator(lua_State *L, int idx, const char *name, bool optional);
judges_box *lua_args_judges(lua_State *L, int idx, const char *name, bool optional);
model_box *lua_args_model(lua_State *L, int idx, const char *name, bool optional);

/* --- rules: Lua functions over rows (rule.c) ---------------------------------------------- */
/* Calls the function at stack index fn on every row; keep[n] gets its verdicts. annotate (NULL: none; may be c) gets
 * the columns `kept` and `reason`. Errors are caught, so C callers clean up: "rule 'name', row id: ...". */
NN_CHECKED nn_status lua_rule_bool(lua_State *L, int fn, const char *name, const guard_corpus *c, bool *keep,
                                   guard_corpus *annotate, const char *stage, nn_err *err);
/* The same for a rule that returns a number. */
NN_CHECKED nn_status lua_rule_number(lua_State *L, int fn, const char *name, const guard_corpus *c, double *value,
                                     nn_err *err);
/* Plan pass: calls the rule once on a probe row with c's columns. */
NN_CHECKED nn_status lua_rule_probe(lua_State *L, int fn, const char *name, const guard_corpus *c, nn_err *err);
/* Calls the function and hands what it returned (two values at the top of the stack) to `take`, inside the protected
 * call: it may raise. probe: once, on a probe row. */
typedef nn_status (*lua_rule_fn)(lua_State *L, void *ctx, size_t row, nn_err *err);
NN_CHECKED nn_status lua_rule_each(lua_State *L, int fn, const char *name, const guard_corpus *c, bool probe,
                                   lua_rule_fn take, void *ctx, nn_err *err);
/* What the others are made of: body(ctx, function at fn) protected, with the host in a rule. The Lua status; an error
 * value is left on the stack for lua_host_caught. */
int lua_rule_enter(lua_State *L, int fn, lua_CFunction body, void *ctx);
void lua_rows_open(lua_State *L);
#endif
