/* lua_api.h - the Lua surface, one registration table a file; `parapet help lua` and docs/lua-api.md are printed from
 * them. */
#ifndef GUARD_LUA_API_H
#define GUARD_LUA_API_H
#include "guard/lua/stage.h"
#include "guard/train_guard.h"

extern const lua_fn lua_corpus_fns[];    /* lua_corpus.c */
extern const lua_fn lua_parapet_fns[];   /* lua_parapet.c: parapet.* */
extern const lua_fn lua_run_fns[];       /* lua_run.c: load, train_tokenizer */
extern const lua_fn lua_train_fns[];     /* lua_train.c: train_guard, train_judges, train_generator, score */
extern const lua_fn lua_generator_fns[]; /* lua_generator.c: train_generator, pretrain */
extern const lua_fn lua_synth_fns[];     /* lua_synth.c: augment, curate */
extern const lua_fn lua_adversary_fns[]; /* lua_adversary.c: adversary, generate */
extern const lua_fn lua_report_fns[];    /* lua_report.c: evaluate, ship, verdicts, report */
extern const lua_fn lua_guard_fns[];     /* lua_train.c: guard:only */
extern const lua_fn lua_model_fns[];     /* lua_models.c: open_model, use_tokenizer, label_guard */
extern const lua_fn lua_backend_fns[];   /* lua_backend.c: backend */
extern const lua_fn lua_ask_fns[];       /* lua_ask.c: ask */
extern const lua_fn lua_expand_fns[];    /* lua_expand.c: expand */

/* The argument at 1 must be the run. */
void lua_check_run(lua_State *L);
void lua_plan_column(lua_State *L, guard_corpus *c, const char *name, const char *stage, guard_col_kind kind);
void lua_plan_kept(lua_State *L, guard_corpus *c,
                   const char *stage); /* the two columns of a rule that keeps or drops */
void lua_plan_votes(lua_State *L, guard_corpus *c, const char *stage); /* what guard_judges_vote writes */
/* A corpus of no rows with all columns of c. */
void lua_plan_corpus(lua_State *L, corpus_box *out, const guard_corpus *c, uint64_t rows);

/* Raises with the nearest name unless c has the column; name NULL: nothing is asked for. */
void lua_need_column(lua_State *L, const char *what, const guard_corpus *c, const char *name);

/* Shared by lua_train.c and lua_adversary.c. */
extern const lua_arg lua_guard_args[];
nn_dtype lua_read_store(lua_State *L, const char *what, const char *text);
/* The decoder's shape from options that a guard, a judge and a generator share by name. */
void lua_read_shape(lua_State *L, int idx, const lua_arg *rows, nn_config *m, size_t vocab);
void lua_need_tokenizer(lua_State *L, const char *what); /* raises without one */
void lua_read_guard_options(lua_State *L, int idx, guard_train_options *o);
NN_CHECKED nn_status lua_stage_guard(lua_stage *s, guard_box *box, const char *suffix, nn_dtype type, nn_err *err);
NN_CHECKED nn_status lua_stage_generator(lua_stage *s, generator_box *box, const char *suffix, nn_err *err);
NN_CHECKED nn_status lua_file_hash(const char *path, char sha[65], nn_err *err);

/* lua_models.c: how another model is asked: rows of options, and what reads them. Without labels label is -1, -1. */
#define LUA_TEMPLATE_ARGS                                                                                              \
    {"template", ARG_TEXT, 0, 0, "-",                                                                                  \
     "text with the place {prompt}, or a list of such texts and { special = '<|token|>' }"},                           \
    {"messages", ARG_TABLE, 0, 0, "-",                                                                                 \
     "instead: list of { role = 'user', text = '.. {prompt} ..' } for the model's chat format"},                       \
    {"response_template", ARG_TEXT, 0, 0, "-",                                                                         \
     "the same with {prompt}, then {response}; without it prompts are judged alone"},                                  \
    {"response_messages", ARG_TABLE, 0, 0, "-", "instead: the same as messages"}
#define LUA_LORA_DOC                                                                                                   \
    "with a base: { rank = 8, alpha = 16, dropout = 0, targets = {'q_proj', ..} }; adapters are trained beside its "    \
    "frozen weights, saved as PEFT's folder and merged"
#define LUA_RECOMPUTE_DOC "activations are computed again in backward: the same weights, less memory, a little slower"
/* Of the table `lora` in the options at idx; rank 0: not given. */
nn_lora_options lua_read_lora(lua_State *L, int idx, const char *what);
/* The folder of a stage's adapters, and its two files as outputs. */
const char *lua_adapter_folder(const lua_stage *s, char *out, size_t cap);
NN_CHECKED nn_status lua_stage_adapter(lua_stage *s, nn_err *err);
void lua_read_format(lua_State *L, int idx, const model_box *m, const char *what, guard_format *f, int32_t label[2]);

/* Text of the whole surface as Markdown. */
void lua_api_markdown(guard_buf *out);
#endif
