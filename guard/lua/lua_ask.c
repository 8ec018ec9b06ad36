/* lua_ask.c - run:ask: a question about every row, its answer as columns: a judge made of a language model.
 *
 * Reads: lua_ask.h.   Read next: lua_asking.c, lua_expand.c, docs/backends.md.
 */
#include "guard/lua/lua_ask.h"
#include "nn/arena.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

static const lua_arg ask_args[] = {
    LUA_ASK_ARGS("0", "64"),
    {"answer", ARG_ANY, 0, 0, "text",
     "'text', { one_of = {'safe', 'unsafe'} }, or { json = { label = 'string', score = 'number', sure = 'boolean' } }"},
    {"column", ARG_STRING, 0, 0, "answer", "column of the answer; of a JSON object column_field, one a field"},
    {"unanswered", ARG_STRING, 0, 0, "drop",
     "rows without an answer that fits: 'drop', their reason kept in the file, or 'keep' without a value"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

#define NAME_MAX_BYTES 47u

/* --- columns ------------------------------------------------------------------------------ */
static guard_col_kind column_kind(const guard_answer_grammar *g, size_t i)
{
    static const guard_col_kind kinds[] = {GUARD_COL_STR, GUARD_COL_NUM, GUARD_COL_BOOL};
    return g->kind == GUARD_ANSWER_JSON ? kinds[g->field[i].kind] : GUARD_COL_STR;
}

static size_t column_count(const guard_answer_grammar *g) { return g->kind == GUARD_ANSWER_JSON ? g->n_field : 1; }

static void column_name(char out[128], const guard_answer_grammar *g, const char *column, size_t i)
{
    snprintf(out, 128, "%.47s%s%.47s", column, g->kind == GUARD_ANSWER_JSON ? "_" : "",
             g->kind == GUARD_ANSWER_JSON ? g->field[i].name : "");
}

/* Names that rules and prompts can say, and that hide nothing. */
static void check_name(lua_State *L, const char *name, bool drop)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const size_t n = strlen(name);
    if (n < 1 || n > NAME_MAX_BYTES || name[strspn(name, word)] != '\0' || strchr("0123456789", name[0]) != NULL)
        luaL_error(L, "ask.column: '%s', want a name of 1 to %d letters, digits and _", name, (int)NAME_MAX_BYTES);
    for (const char *const *f = guard_row_fields; *f != NULL; f++)
        if (strcmp(*f, name) == 0) luaL_error(L, "ask.column: '%s' is a field of every row, want another name", name);
    if (drop && (strcmp(name, "kept") == 0 || strcmp(name, "reason") == 0))
        luaL_error(L, "ask.column: '%s' is where dropped rows say why, want another name", name);
}

/* What the answers say, into columns of c. */
static nn_status write_column(guard_corpus *c, const lua_asking *a, const guard_asked *asked, const char *name,
                              size_t i, const char *stage, nn_err *err)
{
    guard_column *col = NULL;
    const guard_answer_grammar *g = &a->grammar;
    nn_status st = guard_corpus_column(c, name, stage, column_kind(g, i), &col, err);
    for (size_t r = 0; r < c->n && st == NN_OK; r++) {
        if (!asked[r].ok) continue;
        const guard_answer *said = &asked[r].answer;
        if (col->kind != GUARD_COL_STR) {
            col->num[r] = said->num[i];
        } else if (g->kind == GUARD_ANSWER_ONE_OF) { /* as the script spells it */
            const char *word = g->word[said->which];
            st = guard_corpus_set_str(c, col, r, word, strlen(word), err);
        } else {
            st = guard_corpus_set_str(c, col, r, said->text[i].s, said->text[i].n, err);
        }
    }
    return st;
}

static nn_status write_columns(guard_corpus *c, const lua_asking *a, const guard_asked *asked, const char *column,
                               const char *stage, nn_err *err)
{
    nn_status st = NN_OK;
    for (size_t i = 0; i < column_count(&a->grammar) && st == NN_OK; i++) {
        char name[128];
        column_name(name, &a->grammar, column, i);
        st = write_column(c, a, asked, name, i, stage, err);
    }
    return st;
}

/* kept and reason, as a rule would write them. */
static nn_status mark_dropped(guard_corpus *c, const guard_asked *asked, const char *stage, nn_err *err)
{
    static const char why[] = "no answer that fits";
    guard_column *kept = NULL, *reason = NULL;
    nn_status st = guard_corpus_column(c, "reason", stage, GUARD_COL_STR, &reason, err);
    for (size_t r = 0; r < c->n && st == NN_OK; r++)
        if (!asked[r].ok) st = guard_corpus_set_str(c, reason, r, why, sizeof why - 1, err);
    if (st == NN_OK) st = guard_corpus_column(c, "kept", stage, GUARD_COL_BOOL, &kept, err);
    for (size_t r = 0; r < c->n && st == NN_OK; r++) kept->num[r] = asked[r].ok ? 1.0 : 0.0;
    return st;
}

/* --- the stage ---------------------------------------------------------------------------- */
static nn_status ask_work(lua_State *L, corpus_box *out, const corpus_box *in, lua_asking *a, const char *column,
                          bool drop, lua_stage *s, guard_buf *note, nn_err *err)
{
    guard_asked *asked = NULL;
    guard_ask_counts counts;
    nn_status st = lua_asking_ask(L, &asked, &counts, a, in->c, s, err);
    if (st == NN_OK) st = guard_corpus_copy(&out->c, in->c, err);
    if (st == NN_OK) st = write_columns(out->c, a, asked, column, s->stream, err);
    if (st == NN_OK && drop) st = mark_dropped(out->c, asked, s->stream, err);
    lua_asking_free(asked, in->c->n * a->per);
    if (st != NN_OK) return st;
    lua_asking_note(note, a, &counts);
    guard_buf_str(note, "}");
    return guard_buf_status(note, err);
}

static nn_status ask_stage(lua_State *L, corpus_box *out, const corpus_box *in, lua_asking *a, const char *column,
                           bool drop, nn_err *err)
{
    lua_stage s;
    guard_buf note = {0};
    nn_status st = lua_asking_begin(&s, lua_host_of(L), a, in, err);
    if (st == NN_OK && !s.s.finished) st = ask_work(L, out, in, a, column, drop, &s, &note, err);
    if (st == NN_OK) st = drop ? lua_stage_kept(&s, out, "answered", err) : lua_stage_corpus(&s, out, "", err);
    if (st == NN_OK) st = lua_asking_answers(&s, err);
    if (st == NN_OK) st = lua_stage_end(&s, s.s.finished ? NULL : note.bytes, err);
    guard_buf_free(&note);
    return st;
}

static void plan_ask(lua_State *L, corpus_box *out, const corpus_box *in, const lua_asking *a, const char *column,
                     bool drop)
{
    lua_plan_corpus(L, out, in->c, in->rows);
    for (size_t i = 0; i < column_count(&a->grammar); i++) {
        char name[128];
        column_name(name, &a->grammar, column, i);
        lua_plan_column(L, out->c, name, "ask", column_kind(&a->grammar, i));
    }
    if (drop) lua_plan_kept(L, out->c, "ask");
    lua_asking_plan(L, a, in->rows, in->rows);
}

/* stack: run backend corpus options -> corpus */
static int l_ask(lua_State *L)
{
    lua_asking a = {.what = "ask", .per = 1, .stream = "ask"};
    nn_err err = {0};
    lua_check_run(L);
    a.llm = lua_check_backend(L, 2);
    const corpus_box *in = lua_check_corpus(L, 3);
    lua_settop(L, 4);
    lua_args_check(L, 4, ask_args, "ask");
    const char *column = lua_args_string(L, 4, ask_args, "column");
    const char *unanswered = lua_args_string(L, 4, ask_args, "unanswered");
    const bool drop = strcmp(unanswered, "drop") == 0;
    if (!drop && strcmp(unanswered, "keep") != 0)
        luaL_error(L, "ask.unanswered: '%s', want 'drop' or 'keep'", unanswered);
    lua_stage_args(L, 4, a.llm->kind);
    lua_asking_read(L, 4, ask_args, in->c, &a);
    if (a.grammar.kind == GUARD_ANSWER_LIST) luaL_error(L, "ask.answer.list: only for run:expand");
    for (size_t i = 0; i < column_count(&a.grammar); i++) {
        char name[128];
        column_name(name, &a.grammar, column, i);
        check_name(L, strlen(column) > NAME_MAX_BYTES ? column : name, drop);
    }
    corpus_box *out = lua_push_corpus(L);
    if (lua_host_of(L)->o.planning) plan_ask(L, out, in, &a, column, drop);
    else if (ask_stage(L, out, in, &a, column, drop, &err) != NN_OK) return lua_host_raise(L, &err);
    return 1;
}

const lua_fn lua_ask_fns[] = {
    {"ask", l_ask, "run:ask(backend, corpus, { prompt = .., answer = .., column = .. }) -> corpus",
     "Asks about every row; what answers say stands in columns that rules read. Answers are kept in answers/ and never "
     "asked for twice; what does not fit is asked once more, then counted and dropped.",
     ask_args},
    {NULL, NULL, NULL, NULL, NULL}};
