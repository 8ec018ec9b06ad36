/* lua_ask.h - what run:ask and run:expand share: a prompt, the grammar of its answers, a back-end, and asking.
 *
 * Reads: lua_api.h, guard/ask/ask.h, guard/ask/prompt.h.   Read next: lua_asking.c, lua_ask.c, lua_expand.c.
 */
#ifndef GUARD_LUA_ASK_H
#define GUARD_LUA_ASK_H
#include "guard/ask/ask.h"
#include "guard/ask/prompt.h"
#include "guard/lua/lua_api.h"

typedef struct {
    const char *what;   /* "ask" or "expand" */
    backend_box *llm;
    guard_ask_options o;
    guard_answer_grammar grammar;
    guard_message message[GUARD_PROMPT_MESSAGES]; /* templates */
    size_t n_message;                             /* 0: a function makes the messages */
    int fn;                                       /* its stack index */
    size_t per;                                   /* questions a row */
    const char *stream;                           /* of the questions' seeds */
} lua_asking;

/* Rows of options that both have; their defaults differ. */
#define LUA_ASK_ARGS(temperature, max_tokens)                                                                          \
    {"prompt", ARG_ANY, 0, 0, NULL,                                                                                    \
     "text with places {column}, {system = .., user = ..}, a list of {role = .., text = ..}, or a function of the "    \
     "row that returns one of these, without places"},                                                                 \
    {"temperature", ARG_NUMBER, 0, 10, temperature, "0: the likeliest answer"},                                        \
    {"top_p", ARG_NUMBER, 0.01, 1, "1", "share of the likeliest tokens that are drawn from"},                          \
    {"max_tokens", ARG_INTEGER, 1, 4096, max_tokens, "of one answer"},                                                 \
    {"stop", ARG_STRING, 0, 0, "-", "text that ends an answer and is not part of it"}

/* Options at idx, checked against rows before; c has the columns that places are looked up in. In the plan pass a
 * prompt that is a function meets a probe row. What is read stays on the stack. */
void lua_asking_read(lua_State *L, int idx, const lua_arg *rows, const guard_corpus *c, lua_asking *a);
/* The answer grammar in the option `answer`. */
void lua_asking_grammar(lua_State *L, int idx, lua_asking *a);
/* One line of the plan; refuses what a new run could not do. */
void lua_asking_plan(lua_State *L, const lua_asking *a, uint64_t rows, uint64_t rows_out);
/* Begins the stage: in hashed, then the back-end. */
NN_CHECKED nn_status lua_asking_begin(lua_stage *s, lua_host *h, const lua_asking *a, const corpus_box *in,
                                      nn_err *err);
/* Asks about every row of c; *out has c->n * per answers, freed by the caller also after a failure. */
NN_CHECKED nn_status lua_asking_ask(lua_State *L, guard_asked **out, guard_ask_counts *counts, lua_asking *a,
                                    const guard_corpus *c, lua_stage *s, nn_err *err);
void lua_asking_free(guard_asked *asked, size_t n);
/* answers/NN_stage.jsonl. */
NN_CHECKED nn_status lua_asking_answers(lua_stage *s, nn_err *err);
/* Appends {"backend":..,"asked":..,..} without its last brace. */
void lua_asking_note(guard_buf *b, const lua_asking *a, const guard_ask_counts *counts);

/* lua_backend.c. A local model's weights are mapped, when they were not before. */
NN_CHECKED nn_status lua_backend_ready(backend_box *b, nn_err *err);
/* What asking a local model takes at most; 0 for others. */
size_t lua_backend_bytes(const backend_box *b);
bool lua_backend_is_server(const backend_box *b);
/* The key that a server's back-end names is in the environment, and can be one; true of others and without a name. */
NN_CHECKED nn_status lua_backend_has_key(const backend_box *b, nn_err *err);
#endif
