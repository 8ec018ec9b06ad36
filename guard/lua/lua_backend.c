/* lua_backend.c - run:backend: which language model answers a script's questions, and with whose key.
 *
 * Reads: stage.h, guard/ask/backend.h.   Read next: lua_ask.c (the stages that ask).
 * A back-end is declared, not begun: a local model's weights are mapped when the first question is asked, a server is
 * spoken to when there is a question whose answer is not stored, and its key is read from the environment in that
 * moment and forgotten after it. So a plan and a replay need neither. A new run that will ask looks for the key once
 * before it begins: hours of training before the first question are not to end for want of it.
 * Why only variables that end in _API_KEY: a script is somebody else's program and names both the variable and the
 * server; another secret of the environment is not to be had that way.
 */
#include "guard/ask/secret.h"
#include "guard/lua/lua_ask.h"
#include "guard/lua/order.h"
#include "nn/arena.h"
#include "nn/decode.h"
#include "nn/sha256.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STOPS 16
#define KEY_SUFFIX "_API_KEY"
#define MAX_ALTERNATIVES 100000u

static const lua_arg backend_args[] = {
    {"kind", ARG_STRING, 0, 0, NULL, "'local': a model in this process; 'server': OpenAI's protocol; 'grammar': rules"},
    {"model", ARG_ANY, 0, 0, "-", "local: from run:open_model; server: its name there"},
    {"chat", ARG_STRING, 0, 0, "auto",
     "local: name of a chat format, 'auto': the model's own, 'none': the prompt is gone on with as a text"},
    {"slots", ARG_INTEGER, 1, 256, "8", "local: questions at once; memory and speed, no byte of an answer"},
    {"context", ARG_INTEGER, 16, 4096, "1024", "local: tokens of a question and its answer; a longer one is refused"},
    {"url", ARG_STRING, 0, 0, "-", "server: its base address, such as http://127.0.0.1:8080/v1"},
    {"endpoint", ARG_STRING, 0, 0, "chat", "server: 'chat' or 'completion'"},
    {"key_env", ARG_ANY, 0, 0, "-",
     "server: name of the environment variable with the key, ending in " KEY_SUFFIX "; without one no key is sent"},
    {"limit", ARG_STRING, 0, 0, "max_tokens",
     "server: what it calls the most tokens of an answer: 'max_tokens', or 'max_completion_tokens' (OpenAI's newer "
     "models)"},
    {"attempts", ARG_INTEGER, 1, 100, "5", "server: of one question, at 429, 5xx, broken connections and timeouts"},
    {"deadline", ARG_NUMBER, 0.01, 3600, "120", "server: seconds of one attempt"},
    {"backoff", ARG_NUMBER, 0, 60, "1",
     "server: seconds before the second attempt, doubled each time; Retry-After goes before"},
    {"concurrency", ARG_INTEGER, 1, 64, "4", "server: requests at once; no byte of the run folder depends on it"},
    {"max_bytes", ARG_INTEGER, 1000, 1e9, "1000000", "server: of one reply; a longer one is an error"},
    {"rules", ARG_TABLE, 0, 0, "-",
     "grammar: {symbol = {'text with {symbol} and {prompt}', {'another', weight = 2}, ..}, ..}"},
    {"start", ARG_STRING, 0, 0, "start", "grammar: the symbol that an answer begins with"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

enum { LOCAL, SERVER, GRAMMAR, KINDS };
static const char *const kind_names[KINDS] = {"local", "server", "grammar"};

/* What each kind reads, besides `kind`. */
static const char *const kind_options[KINDS][12] = {
    {"model", "chat", "slots", "context"},
    {"url", "model", "endpoint", "limit", "key_env", "attempts", "deadline", "backoff", "concurrency", "max_bytes"},
    {"rules", "start"}};

static size_t read_kind(lua_State *L, int idx)
{
    const char *kind = lua_args_string(L, idx, backend_args, "kind");
    size_t k = 0;
    while (k < KINDS && strcmp(kind, kind_names[k]) != 0) k++;
    if (k == KINDS) luaL_error(L, "backend.kind: '%s', want 'local', 'server' or 'grammar'", kind);
    for (const lua_arg *r = backend_args + 1; r->name != NULL; r++) {
        bool known = false;
        for (const char *const *o = kind_options[k]; *o != NULL; o++) known = known || strcmp(*o, r->name) == 0;
        if (lua_args_push(L, idx, r->name) != LUA_TNIL && !known)
            luaL_error(L, "backend.%s: not for kind = '%s'", r->name, kind);
        lua_pop(L, 1);
    }
    return k;
}

static void hash_text(backend_box *out, const char *text)
{
    nn_sha256_hex(text, strlen(text), out->hash);
}

/* --- a model in this process -------------------------------------------------------------- */
static void read_local(lua_State *L, int idx, backend_box *out)
{
    char names[512], text[256];
    const model_box *m = lua_args_model(L, idx, "model", false);
    const char *chat = lua_args_string(L, idx, backend_args, "chat");
    const size_t most = nn_pretrained_config(m->p)->max_t;
    out->model = m;
    out->slots = lua_args_size(L, idx, backend_args, "slots");
    out->context = lua_args_size(L, idx, backend_args, "context");
    if (out->context > most) out->context = most;
    if (strcmp(chat, "auto") == 0) {
        out->chat = m->chat;
        if (m->chat == NULL)
            luaL_error(L, "backend.chat: the model's chat format is not known, want 'none' or one of %s",
                       guard_chat_names(names, sizeof names));
    } else if (strcmp(chat, "none") != 0 && (out->chat = guard_chat_find(chat)) == NULL) {
        luaL_error(L, "backend.chat: '%s', want 'auto', 'none' or one of %s", chat,
                   guard_chat_names(names, sizeof names));
    }
    out->completes = out->chat == NULL;
    snprintf(text, sizeof text, "local %s %s %zu", m->hash, out->chat != NULL ? guard_chat_name(out->chat) : "-",
             out->context);
    hash_text(out, text);
}

static nn_status load_local(backend_box *b, nn_err *err)
{
    int32_t stop[MAX_STOPS];
    const model_box *m = b->model;
    nn_config c = *nn_pretrained_config(m->p);
    c.max_t = b->context;
    const nn_load_options load = {.max_t = b->context, .extra = nn_decoder_bytes(&c, b->slots)};
    nn_status st = b->weights != NULL ? NN_OK : nn_pretrained_load(&b->weights, m->p, &load, err);
    if (st != NN_OK) return st;
    const guard_local_options o = {.model = b->weights,
                                   .tok = m->tok,
                                   .chat = b->chat,
                                   .hash = m->hash,
                                   .stop = stop,
                                   .n_stop = nn_pretrained_stops(m->p, stop, MAX_STOPS),
                                   .slots = b->slots};
    return guard_backend_local(&b->b, &o, err);
}

nn_status lua_backend_ready(backend_box *b, nn_err *err)
{
    return b->b != NULL ? NN_OK : load_local(b, err);
}

bool lua_backend_is_server(const backend_box *b) { return b->kind == kind_names[SERVER]; }

/* Mapped weights stay in memory while they are used. */
size_t lua_backend_bytes(const backend_box *b)
{
    if (b->model == NULL) return 0;
    const nn_pretrained *p = b->model->p;
    nn_config c = *nn_pretrained_config(p);
    c.max_t = b->context;
    const nn_load_options load = {.max_t = b->context};
    size_t bytes = (size_t)nn_pretrained_bytes(p, &load) + nn_decoder_bytes(&c, b->slots);
    for (size_t i = 0; i < nn_pretrained_tensors(p); i++) {
        const nn_st_tensor t = nn_pretrained_tensor(p, i);
        bytes += nn_dtype_bytes(t.type, t.count);
    }
    return bytes;
}

/* --- a server ----------------------------------------------------------------------------- */
/* A back-end of its own around a server's: it looks for the key when it is asked. */
typedef struct {
    guard_backend base;
    guard_server_options o; /* texts lie in the table of options, which the box keeps */
    const char *key_env;    /* NULL: no key */
    bool allowed;           /* --allow-net */
} keyed;

static nn_status find_key(const keyed *k, const char **key, nn_err *err)
{
    *key = NULL;
    if (k->key_env == NULL) return NN_OK;
    const char *text = getenv(k->key_env);
    if (text == NULL || text[0] == '\0')
        return nn_fail(err, NN_USAGE,
                       "%s: not set in the environment, want the key of %s there (or a back-end without key_env)",
                       k->key_env, k->o.url);
    if (guard_secret_check(text, NULL) != NN_OK)
        return nn_fail(err, NN_USAGE, "%s: holds a blank or a character that no key has, want the key alone",
                       k->key_env);
    *key = text;
    return NN_OK;
}

nn_status lua_backend_has_key(const backend_box *b, nn_err *err)
{
    const char *key;
    return lua_backend_is_server(b) ? find_key((const keyed *)b->b, &key, err) : NN_OK;
}

static nn_status keyed_ask(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                           guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err)
{
    keyed *k = (keyed *)b;
    guard_server_options with = k->o;
    guard_backend *server = NULL;
    if (!k->allowed) /* the second of two walls: who asks has looked before (lua_asking.c) */
        return nn_fail(err, NN_USAGE, "%s: may not be asked, want parapet run --allow-net", k->o.url);
    nn_status st = find_key(k, &with.key, err);
    if (st == NN_OK) st = guard_backend_server(&server, &with, err);
    if (st == NN_OK) st = guard_backend_ask(server, q, n, o, answer, ctx, job, err);
    guard_backend_free(server);
    return st;
}

/* The server's own identity: a key is no part of it, and it speaks to nobody. */
static nn_status build_keyed(backend_box *out, const guard_server_options *o, const char *key_env, bool allowed,
                             nn_err *err)
{
    guard_backend *server = NULL;
    keyed *k = NULL;
    guard_server_options as_asked = *o;
    if (key_env != NULL) as_asked.key = "key"; /* stands for the one to come: where a key may not go is told now */
    nn_status st = guard_backend_server(&server, &as_asked, err);
    if (st == NN_OK) st = nn_alloc((void **)&k, 1, sizeof *k, err);
    if (st != NN_OK) goto done;
    k->base = (guard_backend){server->identity, server->completes, keyed_ask, NULL};
    k->o = *o;
    k->key_env = key_env;
    k->allowed = allowed;
    server->identity = NULL; /* moved */
    out->b = &k->base;
done:
    guard_backend_free(server);
    return st;
}

/* The name of the variable, or NULL. */
static const char *read_key_env(lua_State *L, int idx)
{
    const int type = lua_args_push(L, idx, "key_env");
    const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (type != LUA_TNIL && type != LUA_TSTRING && (type != LUA_TBOOLEAN || lua_toboolean(L, -1)))
        luaL_error(L, "backend.key_env: a %s, want the name of an environment variable", luaL_typename(L, -1));
    lua_pop(L, 1); /* the name stays in the table */
    const size_t n = strlen(name), tail = sizeof KEY_SUFFIX - 1;
    if (n == 0) return NULL;
    if (n <= tail || strcmp(name + n - tail, KEY_SUFFIX) != 0 ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != n)
        luaL_error(L, "backend.key_env: '%s', want a name in capitals that ends in %s, such as OPENAI_API_KEY", name,
                   KEY_SUFFIX);
    return name;
}

static void read_server(lua_State *L, int idx, backend_box *out)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    guard_server_options o = guard_server_default();
    const char *endpoint = lua_args_string(L, idx, backend_args, "endpoint");
    if (lua_args_push(L, idx, "model") != LUA_TSTRING)
        luaL_error(L, "backend.model: a %s, want the model's name on the server", luaL_typename(L, -1));
    o.model = lua_tostring(L, -1);
    if (o.model[0] == '\0' || strlen(o.model) != lua_rawlen(L, -1))
        luaL_error(L, "backend.model: empty or with a zero byte, want the model's name on the server");
    lua_pop(L, 1); /* stays in the table */
    if ((o.url = lua_args_string(L, idx, backend_args, "url")) == NULL)
        luaL_error(L, "backend.url: missing, want the server's address, such as http://127.0.0.1:8080/v1");
    if (strcmp(endpoint, "chat") != 0 && strcmp(endpoint, "completion") != 0)
        luaL_error(L, "backend.endpoint: '%s', want 'chat' or 'completion'", endpoint);
    o.completion = strcmp(endpoint, "completion") == 0;
    const char *limit = lua_args_string(L, idx, backend_args, "limit");
    o.new_limit = strcmp(limit, "max_completion_tokens") == 0;
    if (!o.new_limit && strcmp(limit, "max_tokens") != 0)
        luaL_error(L, "backend.limit: '%s', want 'max_tokens' or 'max_completion_tokens'", limit);
    o.concurrency = lua_args_size(L, idx, backend_args, "concurrency");
    o.attempts = lua_args_size(L, idx, backend_args, "attempts");
    o.deadline = lua_args_number(L, idx, backend_args, "deadline");
    o.backoff = lua_args_number(L, idx, backend_args, "backoff");
    o.max_bytes = lua_args_size(L, idx, backend_args, "max_bytes");
    const char *key_env = read_key_env(L, idx);
    if (build_keyed(out, &o, key_env, h->o.allow_net, &err) != NN_OK) lua_host_raise(L, &err);
    out->completes = o.completion;
    hash_text(out, guard_backend_identity(out->b));
}

/* --- rules -------------------------------------------------------------------------------- */
/* "text" or {"text", weight = 2}, at the top of the stack; the text stays alive in the script's table. */
static void read_alternative(lua_State *L, guard_alternative *a, const char *symbol)
{
    const int at = lua_gettop(L);
    a->weight = 1.0;
    size_t more = 0;
    if (lua_type(L, at) == LUA_TTABLE) {
        for (lua_pushnil(L); lua_next(L, at) != 0; lua_pop(L, 1)) more++;
        lua_pushliteral(L, "weight");
        const int type = lua_rawget(L, at);
        if (type != LUA_TNIL) a->weight = type == LUA_TNUMBER ? lua_tonumber(L, -1) : -1.0;
        more -= type != LUA_TNIL;
        more -= lua_rawgeti(L, at, 1) != LUA_TNIL;
    }
    a->text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (a->text == NULL || strlen(a->text) != lua_rawlen(L, -1) || more > 0)
        luaL_error(L, "backend.rules.%s: want texts and {'text', weight = 2}", symbol);
    lua_settop(L, at - 1);
}

static void read_symbol(lua_State *L, int rules, const char *name, guard_symbol *s)
{
    lua_pushstring(L, name);
    if (lua_rawget(L, rules) != LUA_TTABLE) luaL_error(L, "backend.rules.%s: want a list of texts", name);
    const int list = lua_gettop(L);
    const size_t n = lua_rawlen(L, list);
    if (n < 1 || n > MAX_ALTERNATIVES) luaL_error(L, "backend.rules.%s: want 1 to %d texts", name, MAX_ALTERNATIVES);
    guard_alternative *a = lua_newuserdatauv(L, n * sizeof *a, 0); /* Lua frees it, whatever raises */
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        read_alternative(L, &a[i], name);
    }
    *s = (guard_symbol){name, a, n};
}

/* Symbols in the order of their names, but the one to begin with first. */
static void read_grammar(lua_State *L, int idx, backend_box *out)
{
    nn_err err = {0};
    const char *start = lua_args_string(L, idx, backend_args, "start");
    if (lua_args_push(L, idx, "rules") != LUA_TTABLE)
        luaL_error(L, "backend.rules: missing, want {start = {'text', ..}, ..}");
    const int rules = lua_gettop(L);
    const size_t n = (size_t)lua_order_keys(L, rules);
    const int keys = lua_gettop(L);
    guard_symbol *symbol = lua_newuserdatauv(L, (n + 1) * sizeof *symbol, 0);
    size_t used = 1;
    symbol[0].name = NULL;
    luaL_checkstack(L, n < 100000 ? (int)(3 * n) + 16 : 1000000, "too many symbols");
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, keys, (lua_Integer)i + 1) != LUA_TSTRING) luaL_error(L, "backend.rules: want {name = {..}}");
        const char *name = lua_tostring(L, -1); /* stays on the stack, as the alternatives */
        read_symbol(L, rules, name, strcmp(name, start) == 0 ? &symbol[0] : &symbol[used++]);
    }
    if (symbol[0].name == NULL) luaL_error(L, "backend.start: no rules for '%s'", start);
    if (guard_backend_grammar(&out->b, symbol, n, &err) != NN_OK) lua_host_raise(L, &err);
    lua_settop(L, rules - 1);
    hash_text(out, guard_backend_identity(out->b));
}

/* --- together ----------------------------------------------------------------------------- */
/* stack: run options -> backend */
static int l_backend(lua_State *L)
{
    lua_check_run(L);
    lua_settop(L, 2);
    lua_args_check(L, 2, backend_args, "backend");
    const size_t kind = read_kind(L, 2);
    backend_box *out = lua_push_backend(L);
    out->kind = kind_names[kind];
    lua_pushvalue(L, 2); /* the options hold the model and the texts that the back-end borrows */
    (void)lua_setiuservalue(L, -2, 1);
    if (kind == LOCAL) read_local(L, 2, out);
    else if (kind == SERVER) read_server(L, 2, out);
    else read_grammar(L, 2, out);
    return 1;
}

const lua_fn lua_backend_fns[] = {
    {"backend", l_backend, "run:backend{ kind = .., .. } -> backend",
     "A language model to ask: in this process, on a server (parapet run --allow-net), or rules. docs/backends.md.",
     backend_args},
    {NULL, NULL, NULL, NULL, NULL}};
