/* lua_parapet.c - the table `parapet`: run, set, draw; and the assembly of everything a script can call.
 *
 * Reads: lua_api.h.   Read next: lua_run.c.
 */
#include "guard/lua/lua_api.h"
#include "guard/lua/order.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define RUN_TYPE "run"

static const lua_arg run_args[] = {
    {"seed", ARG_INTEGER, 0, 9007199254740991.0, "1", "seed of every draw; --seed overrides it"},
    {"taxonomy", ARG_TABLE, 0, 0, NULL, "list of categories: require 'taxonomy'"},
    {"tokens", ARG_TABLE, 0, 0, "-", "token budgets by name; stages name the one they draw on"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

void lua_check_run(lua_State *L) { luaL_checkudata(L, 1, RUN_TYPE); }

/* --- taxonomy ----------------------------------------------------------------------------- */
static const lua_arg category_args[] = {{"name", ARG_STRING, 0, 0, NULL, "snake_case name"},
                                        {"domain", ARG_STRING, 0, 0, NULL, "group of categories"},
                                        {"severity", ARG_INTEGER, 1, 3, NULL, "1 rude or petty, 2 serious, 3 grave"},
                                        {"definition", ARG_STRING, 0, 0, NULL, "one sentence"},
                                        {"openai", ARG_TABLE, 0, 0, "-", "names in OpenAI's moderation data"},
                                        {"mlcommons", ARG_TABLE, 0, 0, "-", "names of MLCommons' hazards"},
                                        {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* A string of the category at idx into a fixed field, never cut. */
static void take_text(lua_State *L, int idx, const char *name, const char *what, char *out, size_t cap)
{
    const char *text = lua_args_string(L, idx, category_args, name);
    if (strlen(text) >= cap) luaL_error(L, "%s.%s: longer than %d bytes", what, name, (int)cap - 1);
    memcpy(out, text, strlen(text) + 1);
}

/* A field that is a list of strings, joined by commas into out. */
static void join_list(lua_State *L, int idx, const char *name, const char *what, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    const lua_Integer n = lua_args_push(L, idx, name) == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 0;
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_rawgeti(L, -1, i) != LUA_TSTRING) luaL_error(L, "%s.%s[%I]: want a string", what, name, (LUAI_UACINT)i);
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i > 1 ? "," : "", lua_tostring(L, -1));
        if (used >= cap) luaL_error(L, "%s.%s: the list is longer than %d bytes", what, name, (int)cap - 1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_category(lua_State *L, int idx, guard_category *c, size_t number)
{
    char what[32];
    snprintf(what, sizeof what, "taxonomy[%u]", (unsigned)number + 1);
    lua_args_check(L, idx, category_args, what);
    take_text(L, idx, "name", what, c->name, sizeof c->name);
    take_text(L, idx, "domain", what, c->domain, sizeof c->domain);
    take_text(L, idx, "definition", what, c->definition, sizeof c->definition);
    c->severity = (int)lua_args_number(L, idx, category_args, "severity");
    join_list(L, idx, "openai", what, c->openai, sizeof c->openai);
    join_list(L, idx, "mlcommons", what, c->mlcommons, sizeof c->mlcommons);
}

static void read_taxonomy(lua_State *L, int idx, guard_taxonomy *t)
{
    lua_args_push(L, idx, "taxonomy");
    const int list = lua_gettop(L);
    const size_t n = lua_rawlen(L, list);
    if (n < 1 || n > GUARD_MAX_CATEGORY)
        luaL_error(L, "taxonomy: %d categories, want 1 to %d", (int)n, GUARD_MAX_CATEGORY);
    memset(t, 0, sizeof *t);
    for (t->n = 0; t->n < n; t->n++) {
        lua_rawgeti(L, list, (lua_Integer)t->n + 1);
        read_category(L, lua_gettop(L), &t->category[t->n], t->n);
        if (guard_taxonomy_index(t, t->category[t->n].name, strlen(t->category[t->n].name)) < t->n)
            luaL_error(L, "taxonomy[%d]: category '%s' stands twice", (int)t->n + 1, t->category[t->n].name);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* tokens = {name = count}, by name. */
static void read_budgets(lua_State *L, int idx, lua_host *h)
{
    const size_t max = sizeof h->budget / sizeof *h->budget;
    h->n_budget = 0;
    if (lua_args_push(L, idx, "tokens") != LUA_TTABLE) {
        lua_pop(L, 1);
        return;
    }
    const int table = lua_gettop(L);
    const size_t n = (size_t)lua_order_keys(L, table);
    if (n > max) luaL_error(L, "run.tokens: %d budgets, want at most %d", (int)n, (int)max);
    for (size_t i = 0; i < n; i++) {
        host_budget b = {"", 0, 0, 0};
        lua_rawgeti(L, table + 1, (lua_Integer)i + 1);
        lua_pushvalue(L, -1);
        lua_rawget(L, table);
        const double tokens = lua_tonumber(L, -1);
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TNUMBER || !(tokens >= 0.0 && tokens <= 1e15))
            luaL_error(L, "run.tokens: want {name = tokens, ...}, tokens from 0 to 1e15");
        if (lua_rawlen(L, -2) >= sizeof b.name)
            luaL_error(L, "run.tokens.%s: want a name of at most %d bytes", lua_tostring(L, -2),
                       (int)sizeof b.name - 1);
        snprintf(b.name, sizeof b.name, "%s", lua_tostring(L, -2));
        b.declared = (uint64_t)tokens;
        h->budget[i] = b;
        lua_pop(L, 2);
    }
    h->n_budget = n;
    lua_pop(L, 2);
}

/* stack: options -> run */
static int l_run(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    lua_settop(L, 1);
    lua_args_check(L, 1, run_args, "run");
    if (h->run_declared) return luaL_error(L, "parapet.run: called twice, want one run a script");
    read_taxonomy(L, 1, &h->taxonomy);
    read_budgets(L, 1, h);
    if (!h->o.seed_given) h->seed = (uint64_t)lua_args_number(L, 1, run_args, "seed");
    h->run_declared = true;
    (void)lua_newuserdatauv(L, 1, 0);
    luaL_setmetatable(L, RUN_TYPE);
    return 1;
}

/* parapet.draw(stream, key [, n]): a number in [0,1), or a whole number 1..n; a function of its arguments and the seed.
 */
static int l_draw(lua_State *L)
{
    size_t len;
    const char *stream = luaL_checkstring(L, 1), *key = luaL_checklstring(L, 2, &len);
    nn_rng rng = nn_rng_at(lua_host_of(L)->seed, stream, nn_hash64(key, len, 0));
    if (lua_isnoneornil(L, 3)) {
        lua_pushnumber(L, nn_rng_double(&rng));
    } else {
        const lua_Integer n = luaL_checkinteger(L, 3);
        luaL_argcheck(L, n > 0, 3, "want a count above 0");
        lua_pushinteger(L, 1 + (lua_Integer)nn_rng_below(&rng, (uint64_t)n));
    }
    return 1;
}

const lua_fn lua_parapet_fns[] = {
    {"run", l_run, "parapet.run{ seed = 1, taxonomy = .., tokens = {..} } -> run", "Declares the run; once a script.",
     run_args},
    {"draw", l_draw, "parapet.draw(stream, key [, n]) -> number",
     "A random draw as a function of the run's seed, a stream's name and a key: [0,1), or 1..n.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

/* parapet.set: the pairs of --set; an absent name is an error that says how to give it. */
static int l_set_missing(lua_State *L)
{
    lua_push_text(L, 2);
    const char *name = lua_tostring(L, -1);
    return luaL_error(L, "parapet.set.%s: not given, want --set %s=VALUE", name, name);
}

static void push_set(lua_State *L, const lua_host *h)
{
    lua_newtable(L);
    for (size_t i = 0; i < h->o.n_set; i++) {
        const char *eq = strchr(h->o.set[i], '=');
        if (eq == NULL) continue;
        lua_pushlstring(L, h->o.set[i], (size_t)(eq - h->o.set[i]));
        lua_pushstring(L, eq + 1);
        lua_rawset(L, -3);
    }
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, l_set_missing);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* Fills the methods table of a type; a misspelt method raises with the nearest. */
static void methods(lua_State *L, const char *type, const lua_fn *const *fns, size_t n)
{
    char what[32];
    snprintf(what, sizeof what, "method of a %s", type);
    luaL_getmetatable(L, type);
    lua_getfield(L, -1, "__index");
    for (size_t i = 0; i < n; i++) lua_fns_set(L, fns[i]);
    lua_set_strict(L, what);
    lua_pop(L, 2);
}

void lua_parapet_open(lua_State *L)
{
    static const lua_fn *const of_run[] = {lua_run_fns,   lua_model_fns,     lua_train_fns,  lua_generator_fns,
                                           lua_synth_fns, lua_adversary_fns, lua_report_fns, lua_backend_fns,
                                           lua_ask_fns,   lua_expand_fns};
    static const lua_fn *const of_corpus[] = {lua_corpus_fns}, *const of_guard[] = {lua_guard_fns};
    lua_handles_open(L);
    lua_rows_open(L);
    luaL_newmetatable(L, RUN_TYPE);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    methods(L, RUN_TYPE, of_run, sizeof of_run / sizeof *of_run);
    luaL_getmetatable(L, RUN_TYPE);
    lua_getfield(L, -1, "__index");
    lua_pushboolean(L, lua_host_of(L)->o.planning); /* run.planning: which of the two passes this is */
    lua_setfield(L, -2, "planning");
    lua_pop(L, 2);
    methods(L, CORPUS_TYPE, of_corpus, 1);
    methods(L, GUARD_TYPE, of_guard, 1);
    methods(L, GENERATOR_TYPE, NULL, 0);
    methods(L, JUDGES_TYPE, NULL, 0);
    methods(L, MODEL_TYPE, NULL, 0);
    methods(L, BACKEND_TYPE, NULL, 0);

    lua_pushglobaltable(L);
    lua_pushliteral(L, "parapet");
    lua_newtable(L);
    lua_fns_set(L, lua_parapet_fns);
    push_set(L, lua_host_of(L));
    lua_setfield(L, -2, "set");
    lua_set_strict(L, "name in parapet");
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* --- docs --------------------------------------------------------------------------------- */
static void print_args(guard_buf *out, const lua_arg *rows)
{
    for (; rows->name != NULL; rows++) {
        guard_buf_fmt(out, "| `%s` | %s | %s |\n", rows->name,
                      rows->def == NULL             ? "required"
                      : strcmp(rows->def, "-") == 0 ? "optional"
                                                    : rows->def,
                      rows->doc);
    }
}

static void print_more(guard_buf *out, const lua_fn *fns)
{
    for (; fns->name != NULL; fns++) {
        guard_buf_fmt(out, "\n### %s\n\n    %s\n\n%s\n", fns->name, fns->usage, fns->doc);
        if (fns->args == NULL) continue;
        guard_buf_str(out, "\n| option | default | meaning |\n|---|---|---|\n");
        print_args(out, fns->args);
    }
}

static void print_fns(guard_buf *out, const char *title, const lua_fn *fns)
{
    guard_buf_fmt(out, "\n## %s\n", title);
    print_more(out, fns);
}

void lua_api_markdown(guard_buf *out)
{
    guard_buf_str(out, "# The Lua surface\n\nPrinted by `parapet help lua` from the registration tables in guard/lua. "
                       "Scripts see the sandbox of docs/design.md and this.\n");
    print_fns(out, "parapet", lua_parapet_fns);
    print_fns(out, "run: data and tokenizer", lua_run_fns);
    print_fns(out, "run: models of other people", lua_model_fns);
    print_fns(out, "run: training", lua_train_fns);
    print_fns(out, "run: language models", lua_generator_fns);
    print_fns(out, "run: augmentation and curation", lua_synth_fns);
    print_fns(out, "run: language models to ask", lua_backend_fns);
    print_more(out, lua_ask_fns);
    print_more(out, lua_expand_fns);
    print_fns(out, "run: the adversary", lua_adversary_fns);
    print_fns(out, "run: evaluation and report", lua_report_fns);
    print_fns(out, "corpus", lua_corpus_fns);
    print_fns(out, "guard", lua_guard_fns);
}
