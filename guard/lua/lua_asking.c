/* lua_asking.c - see lua_ask.h: reading prompts and grammars, and asking with a journal beside the checkpoint.
 *
 * Why a journal: an answer of somebody else's model is an input that cannot be computed again. It is on disk before the
 * next one is waited for, so a killed run asks nothing twice; what the stage used then becomes its file in answers/.
 */
#include "guard/lua/lua_ask.h"
#include "guard/lua/order.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORDS 256u
#define MAX_FIELDS 32u

/* --- prompts ------------------------------------------------------------------------------ */
/* The text in field `name` of the table at idx into the next message; the string stays on the stack. False: nil. */
static bool read_field(lua_State *L, int idx, const char *name, guard_role role, guard_message *m)
{
    lua_pushstring(L, name);
    const int type = lua_rawget(L, idx);
    if (type == LUA_TNIL) return false;
    if (type != LUA_TSTRING) luaL_error(L, "prompt.%s: a %s, want a text", name, luaL_typename(L, -1));
    m->role = role;
    m->text = lua_tolstring(L, -1, &m->len);
    return true;
}

/* Raises when the table at idx has a key that is neither a place of 1 to `listed` nor one of `names`, ended by NULL. */
static void check_names(lua_State *L, int idx, const char *where, size_t listed, const char *const *names,
                        const char *want)
{
    const lua_Integer n = lua_order_keys(L, idx);
    const int keys = lua_gettop(L);
    for (lua_Integer i = 1; i <= n; i++) {
        const char *name = lua_rawgeti(L, keys, i) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        const lua_Integer place = name == NULL && lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        bool known = place >= 1 && place <= (lua_Integer)listed;
        for (const char *const *k = names; *k != NULL && name != NULL; k++) known = known || strcmp(*k, name) == 0;
        if (!known) luaL_error(L, "%s.%s: unknown, want %s", where, luaL_tolstring(L, -1, NULL), want);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_listed(lua_State *L, int list, size_t i, guard_message *m)
{
    static const char *const names[] = {"role", "text", NULL};
    size_t role = 0;
    if (lua_rawgeti(L, list, (lua_Integer)i + 1) != LUA_TTABLE)
        luaL_error(L, "prompt[%d]: want { role = 'user', text = '..' }", (int)i + 1);
    const int at = lua_gettop(L);
    check_names(L, at, lua_pushfstring(L, "prompt[%d]", (int)i + 1), 0, names, "role and text");
    lua_pushliteral(L, "role");
    const char *name = lua_rawget(L, at) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    while (role < GUARD_ROLES && strcmp(name, guard_role_names[role]) != 0) role++;
    if (role == GUARD_ROLES)
        luaL_error(L, "prompt[%d].role: '%s', want system, user or assistant", (int)i + 1, name);
    if (role == GUARD_ROLE_SYSTEM && i > 0) luaL_error(L, "prompt[%d]: a system text, want it first", (int)i + 1);
    if (!read_field(L, at, "text", (guard_role)role, m)) luaL_error(L, "prompt[%d].text: missing", (int)i + 1);
}

/* The value at idx as messages; their texts stay on the stack. */
static size_t read_messages(lua_State *L, int idx, guard_message *m, bool completes)
{
    static const char *const names[] = {"system", "user", NULL}, *const none[] = {NULL};
    size_t n = 0;
    luaL_checkstack(L, 5 * (int)GUARD_PROMPT_MESSAGES + 16, "no room for messages");
    if (lua_type(L, idx) == LUA_TSTRING) {
        m[n].role = GUARD_ROLE_USER;
        m[n].text = lua_tolstring(L, idx, &m[n].len);
        n++;
    } else if (lua_type(L, idx) != LUA_TTABLE) {
        luaL_error(L, "prompt: a %s, want a text, {system = .., user = ..} or a list of messages",
                   luaL_typename(L, idx));
    } else if (lua_rawlen(L, idx) > 0) {
        const size_t all = lua_rawlen(L, idx);
        if (all > GUARD_PROMPT_MESSAGES)
            luaL_error(L, "prompt: %d messages, want at most %d", (int)all, (int)GUARD_PROMPT_MESSAGES);
        check_names(L, idx, "prompt", all, none, "messages alone in a list of them");
        for (; n < all; n++) read_listed(L, idx, n, &m[n]);
    } else {
        check_names(L, idx, "prompt", 0, names, "system and user");
        if (read_field(L, idx, "system", GUARD_ROLE_SYSTEM, &m[n])) n++;
        if (!read_field(L, idx, "user", GUARD_ROLE_USER, &m[n++])) luaL_error(L, "prompt.user: missing, want a text");
    }
    if (m[n - 1].role != GUARD_ROLE_USER) luaL_error(L, "prompt: ends with no user's text, want one to answer to");
    if (completes && n > 1)
        luaL_error(L, "prompt: %d messages for a back-end that completes one text, want one user's text", (int)n);
    return n;
}

/* What a prompt's function returned, as a question. */
typedef struct {
    const lua_asking *a;
    guard_questions *q; /* NULL: only looked at */
} taker;

static nn_status take_prompt(lua_State *L, void *ctx, size_t row, nn_err *err)
{
    const taker *t = ctx;
    guard_message m[GUARD_PROMPT_MESSAGES];
    (void)row;
    const size_t n = read_messages(L, lua_gettop(L) - 1, m, t->a->llm->completes);
    return t->q != NULL ? guard_questions_add(t->q, m, n, err) : NN_OK;
}

static void read_prompt(lua_State *L, int idx, const guard_corpus *c, lua_asking *a)
{
    taker t = {a, NULL};
    nn_err err = {0};
    nn_status st = NN_OK;
    if (lua_args_push(L, idx, "prompt") == LUA_TFUNCTION) {
        a->fn = lua_gettop(L);
        if (lua_host_of(L)->o.planning) st = lua_rule_each(L, a->fn, "prompt", c, true, take_prompt, &t, &err);
    } else {
        a->n_message = read_messages(L, lua_gettop(L), a->message, a->llm->completes);
        st = guard_prompt_check(a->message, a->n_message, c, &err);
    }
    if (st != NN_OK) lua_host_raise(L, &err);
}

/* --- grammars of answers ------------------------------------------------------------------ */
static void read_words(lua_State *L, int list, lua_asking *a)
{
    const size_t n = lua_rawlen(L, list);
    if (n < 2 || n > MAX_WORDS) luaL_error(L, "%s.answer.one_of: %d words, want 2 to %d", a->what, (int)n, MAX_WORDS);
    const char **word = lua_newuserdatauv(L, n * sizeof *word, 0);
    luaL_checkstack(L, (int)n + 8, "too many words");
    for (size_t i = 0; i < n; i++) { /* they stay on the stack */
        word[i] = lua_rawgeti(L, list, (lua_Integer)i + 1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        if (word[i] == NULL || strlen(word[i]) != lua_rawlen(L, -1))
            luaL_error(L, "%s.answer.one_of[%d]: want a word", a->what, (int)i + 1);
    }
    a->grammar = (guard_answer_grammar){.kind = GUARD_ANSWER_ONE_OF, .word = word, .n_word = n};
    nn_err err = {0};
    if (guard_answer_check(&a->grammar, &err) != NN_OK) luaL_error(L, "%s.answer.one_of: %s", a->what, err.text);
}

static void read_fields(lua_State *L, int table, lua_asking *a)
{
    static const char *const kinds[] = {"string", "number", "boolean"};
    const size_t n = (size_t)lua_order_keys(L, table);
    const int keys = lua_gettop(L);
    if (n < 1 || n > MAX_FIELDS) luaL_error(L, "%s.answer.json: %d fields, want 1 to %d", a->what, (int)n, MAX_FIELDS);
    guard_answer_field *field = lua_newuserdatauv(L, n * sizeof *field, 0);
    luaL_checkstack(L, 2 * (int)n + 8, "too many fields");
    for (size_t i = 0; i < n; i++) { /* they stay on the stack */
        size_t kind = 0;
        if (lua_rawgeti(L, keys, (lua_Integer)i + 1) != LUA_TSTRING)
            luaL_error(L, "%s.answer.json: want { field = 'string', 'number' or 'boolean' }", a->what);
        field[i].name = lua_tostring(L, -1);
        lua_pushvalue(L, -1);
        const char *text = lua_rawget(L, table) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        while (kind < 3 && strcmp(text, kinds[kind]) != 0) kind++;
        if (kind == 3)
            luaL_error(L, "%s.answer.json.%s: want 'string', 'number' or 'boolean'", a->what, field[i].name);
        field[i].kind = (guard_field_kind)kind;
    }
    a->grammar = (guard_answer_grammar){.kind = GUARD_ANSWER_JSON, .field = field, .n_field = n};
}

static const lua_arg list_args[] = {{"max", ARG_INTEGER, 1, 100, "5", "items of one answer"},
                                    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};
static const lua_arg answer_kinds[] = {{"one_of", ARG_TABLE, 0, 0, "-", "words"},
                                       {"json", ARG_TABLE, 0, 0, "-", "fields and their kinds"},
                                       {"list", ARG_TABLE, 0, 0, "-", "{ max = 5 }"},
                                       {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

void lua_asking_grammar(lua_State *L, int idx, lua_asking *a)
{
    size_t given = 0;
    const int type = lua_args_push(L, idx, "answer");
    const int table = lua_gettop(L);
    a->grammar = (guard_answer_grammar){.kind = GUARD_ANSWER_TEXT};
    if (type == LUA_TNIL || (type == LUA_TSTRING && strcmp(lua_tostring(L, -1), "text") == 0)) return;
    if (type != LUA_TTABLE)
        luaL_error(L, "%s.answer: want 'text', { one_of = {..} }, { json = {..} } or { list = {..} }", a->what);
    lua_args_check(L, table, answer_kinds, "answer");
    for (const lua_arg *r = answer_kinds; r->name != NULL; r++) {
        if (lua_args_push(L, table, r->name) == LUA_TNIL) continue;
        const int value = lua_gettop(L);
        if (given++ > 0) luaL_error(L, "%s.answer: two kinds, want one of one_of, json and list", a->what);
        if (r == answer_kinds) {
            read_words(L, value, a);
        } else if (r == answer_kinds + 1) {
            read_fields(L, value, a);
        } else {
            lua_args_check(L, value, list_args, "answer.list");
            const size_t max = lua_args_size(L, value, list_args, "max");
            a->grammar = (guard_answer_grammar){.kind = GUARD_ANSWER_LIST, .max_items = max};
        }
    }
    if (given == 0) luaL_error(L, "%s.answer: empty, want one of one_of, json and list", a->what);
}

void lua_asking_read(lua_State *L, int idx, const lua_arg *rows, const guard_corpus *c, lua_asking *a)
{
    a->o.temperature = (float)lua_args_number(L, idx, rows, "temperature");
    a->o.top_p = (float)lua_args_number(L, idx, rows, "top_p");
    a->o.max_tokens = lua_args_size(L, idx, rows, "max_tokens");
    a->o.stop = lua_args_string(L, idx, rows, "stop");
    if (a->llm->model != NULL && a->o.max_tokens >= a->llm->context)
        luaL_error(L, "%s.max_tokens: %d, want fewer than the back-end's context of %d", a->what, (int)a->o.max_tokens,
                   (int)a->llm->context);
    lua_asking_grammar(L, idx, a);
    read_prompt(L, idx, c, a);
}

/* --- the plan ----------------------------------------------------------------------------- */
void lua_asking_plan(lua_State *L, const lua_asking *a, uint64_t rows, uint64_t rows_out)
{
    const lua_host *h = lua_host_of(L);
    const uint64_t questions = rows * a->per;
    const size_t params =
        a->llm->model != NULL ? nn_config_params(nn_pretrained_config(a->llm->model->p)) : 0;
    char detail[96];
    nn_err err = {0};
    if (lua_backend_is_server(a->llm) && h->o.out != NULL && !h->o.resume && h->o.answers == NULL) {
        if (!h->o.allow_net)
            luaL_error(L, "%s: its questions go to a server, want --allow-net, or --answers RUN for another run's "
                          "answers", a->what);
        if (!guard_backend_server_built())
            luaL_error(L, "%s: its questions go to a server, and this program was built without libcurl, want a build "
                          "with it, or --answers RUN for another run's answers", a->what);
        if (lua_backend_has_key(a->llm, &err) != NN_OK) lua_host_raise(L, &err);
    }
    if (a->llm->model != NULL)
        snprintf(detail, sizeof detail, "%llu questions, %llu tokens out", (unsigned long long)questions,
                 (unsigned long long)(questions * a->o.max_tokens));
    else snprintf(detail, sizeof detail, "%s, %llu questions", a->llm->kind, (unsigned long long)questions);
    lua_plan_add(L, a->what, detail, NULL, 0, rows_out, params, lua_backend_bytes(a->llm));
}

/* --- asking ------------------------------------------------------------------------------- */
nn_status lua_asking_begin(lua_stage *s, lua_host *h, const lua_asking *a, const corpus_box *in, nn_err *err)
{
    const char *hash[] = {in->hash, a->llm->hash};
    return lua_stage_begin(s, h, a->what, hash, 2, err);
}

/* The answers there are: of the other run, and of this run's stages that are finished. */
static nn_status open_store(lua_host *h, nn_err *err)
{
    if (h->store != NULL) return NN_OK;
    nn_status st = guard_store_build(&h->store, err);
    if (st == NN_OK && h->o.answers != NULL) st = guard_store_read_run(h->store, h->o.answers, err);
    if (st == NN_OK) st = guard_store_read_run(h->store, guard_run_dir(h->run), err);
    if (st == NN_OK) return NN_OK;
    guard_store_free(h->store);
    h->store = NULL;
    return st;
}

static nn_status make_questions(lua_State *L, guard_questions *q, lua_asking *a, const guard_corpus *c,
                                const lua_stage *s, nn_err *err)
{
    taker t = {a, q};
    nn_status st = NN_OK;
    if (a->fn != 0) st = lua_rule_each(L, a->fn, "prompt", c, false, take_prompt, &t, err);
    for (size_t i = 0; a->fn == 0 && i < c->n && st == NN_OK; i++)
        st = guard_questions_fill(q, a->message, a->n_message, c, i, err);
    return st == NN_OK ? guard_questions_seal(q, a->per, c, s->job.seed, a->stream, err) : st;
}

static nn_status read_journal(guard_store *store, const char *path, nn_err *err)
{
    nn_err why = {0};
    const nn_status st = guard_store_read(store, path, true, &why);
    if (st == NN_OK) return NN_OK;
    return nn_fail(err, st, "%s%s", why.text, st == NN_LIMIT ? "" : "; without this file its questions are asked again");
}

static nn_status ask_with_journal(guard_asked *out, guard_ask_counts *counts, lua_asking *a, const guard_questions *q,
                                  lua_stage *s, nn_err *err)
{
    lua_host *h = s->h;
    char journal[600];
    nn_err why = {0};
    const bool offline = lua_backend_is_server(a->llm) && !h->o.allow_net;
    snprintf(journal, sizeof journal, "%s.answers", s->job.checkpoint);
    nn_status st = open_store(h, err);
    if (st == NN_OK && nn_path_exists(journal)) st = read_journal(h->store, journal, err);
    if (st == NN_OK) st = lua_backend_ready(a->llm, err);
    if (st == NN_OK) st = guard_store_journal(h->store, journal, err);
    if (st != NN_OK) return st;
    st = guard_ask(out, counts, a->llm->b, q->question, q->n * a->per, &a->o, &a->grammar, h->store, offline, &s->job,
                   &why);
    if (st != NN_OK && offline) st = nn_fail(err, st, "%s: without --allow-net: %s", s->stream, why.text);
    else if (st != NN_OK) st = nn_fail(err, st, "%s", why.text);
    const nn_status closed = guard_store_journal(h->store, NULL, st == NN_OK ? err : NULL);
    return st == NN_OK ? closed : st;
}

nn_status lua_asking_ask(lua_State *L, guard_asked **out, guard_ask_counts *counts, lua_asking *a,
                         const guard_corpus *c, lua_stage *s, nn_err *err)
{
    guard_questions q = {0};
    nn_status st = make_questions(L, &q, a, c, s, err);
    memset(counts, 0, sizeof *counts);
    *out = NULL;
    if (st == NN_OK) st = nn_alloc((void **)out, c->n * a->per, sizeof **out, err);
    if (st == NN_OK) st = ask_with_journal(*out, counts, a, &q, s, err);
    s->job.tokens_used = 0; /* of those that were not stored: a resumed run has fewer, and the ledger must not tell */
    if (st == NN_OK) lua_progress_stored(s->h, counts->cached, counts->asked + counts->retried);
    if (st == NN_OK) lua_progress_unanswered(s->h, counts->dropped, counts->asked, counts->why);
    guard_questions_free(&q);
    return st;
}

void lua_asking_free(guard_asked *asked, size_t n)
{
    for (size_t i = 0; asked != NULL && i < n; i++) guard_answer_free(&asked[i].answer);
    nn_free(asked);
}

nn_status lua_asking_answers(lua_stage *s, nn_err *err)
{
    char dir[512], sha[65], *path = NULL;
    nn_status st = lua_stage_path(s, "answers", ".jsonl", &path, sha, err);
    if (st != NN_OK || s->s.finished) return st;
    snprintf(dir, sizeof dir, "%s/answers", guard_run_dir(s->h->run));
    if ((st = nn_dir_make(dir, err)) != NN_OK) return st;
    return guard_store_write_used(s->h->store, path, err);
}

void lua_asking_note(guard_buf *b, const lua_asking *a, const guard_ask_counts *counts)
{
    const struct {
        const char *key;
        size_t v;
    } of[] = {{"asked", counts->asked},
              {"refused", counts->refused},
              {"retried", counts->retried},
              {"dropped", counts->dropped}};
    guard_buf_str(b, "{\"backend\":");
    guard_buf_str(b, guard_backend_identity(a->llm->b));
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        guard_json_key(b, of[i].key);
        guard_json_u64(b, of[i].v);
    }
}
