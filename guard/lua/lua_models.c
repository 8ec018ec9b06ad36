/* lua_models.c - run:open_model, run:use_tokenizer, run:label_guard: other people's models in a run.
 *
 * Reads: stage.h, guard/label.h, nn/pretrained.h.   Read next: lua_train.c (train_guard with a base).
 * Opening reads descriptions, not weights: a plan of a run costs no more, and a stage maps or copies what it needs.
 */
#include "guard/label.h"
#include "guard/lua/lua_api.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* --- open_model --------------------------------------------------------------------------- */
static const lua_arg model_args[] = {
    {"tokenizer", ARG_STRING, 0, 0, "-", "file or folder of its tokenizer, where the model does not carry it"},
    {"chat", ARG_STRING, 0, 0, "-", "name of its chat format; the model's own template is recognised"},
    {"adapter", ARG_STRING, 0, 0, "-", "folder of PEFT's (LoRA) for this model: it is the model with these merged"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Of a Hugging Face folder: what a model is read from. */
static bool is_part(const char *name)
{
    return ends_with(name, ".json") || ends_with(name, ".safetensors") || ends_with(name, ".model") ||
           ends_with(name, ".jinja");
}

/* One hash of a folder: names and hashes of its parts. */
static nn_status folder_hash(const char *dir, char sha[65], nn_err *err)
{
    char **name = NULL, path[1280], hex[65];
    size_t n = 0;
    nn_sha256 all;
    nn_sha256_init(&all);
    nn_status st = nn_dir_list(&name, &n, dir, err);
    for (size_t i = 0; st == NN_OK && i < n; i++) {
        if (!is_part(name[i])) continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name[i]) >= sizeof path)
            st = nn_fail(err, NN_CONTENT, "%s: a path too long", dir);
        if (st == NN_OK && (st = lua_file_hash(path, hex, err)) != NN_OK) break;
        nn_sha256_add(&all, name[i], strlen(name[i]) + 1);
        nn_sha256_add(&all, hex, sizeof hex);
    }
    for (size_t i = 0; i < n; i++) nn_free(name[i]);
    nn_free(name);
    nn_sha256_end_hex(&all, sha);
    return st;
}

static nn_status path_hash(const char *path, char sha[65], nn_err *err)
{
    return lua_file_hash(path, sha, NULL) == NN_OK ? NN_OK : folder_hash(path, sha, err);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* What a script asks for; NULL: not given. */
typedef struct {
    const char *model, *tok, *adapter; /* paths */
    const char *chat;
} model_paths;

/* The model without its weights, its tokenizer, and the way it wants conversations. */
static nn_status open_model(model_box *out, const model_paths *from, nn_err *err)
{
    const char *chat = from->chat;
    size_t len = 0;
    nn_status st;
    if ((st = nn_pretrained_open(&out->p, from->model, err)) != NN_OK) return st;
    if ((st = nn_pretrained_tok(&out->tok, out->p, from->tok, err)) != NN_OK) return st;
    if (from->adapter != NULL && (st = nn_pretrained_adapt(out->p, from->adapter, err)) != NN_OK) return st;
    nn_tok_hash(out->tok, out->tok_hash);
    const char *template = nn_pretrained_chat_template(out->p, &len);
    if (chat != NULL && (out->chat = guard_chat_find(chat)) == NULL) {
        char names[512];
        return nn_fail(err, NN_CONTENT, "open_model.chat: '%s', want one of %s", chat,
                       guard_chat_names(names, sizeof names));
    }
    /* One that is not recognised matters to who writes messages: said there. */
    if (chat == NULL && template != NULL && guard_chat_of_template(&out->chat, template, len, NULL) != NN_OK)
        out->chat = NULL;
    return NN_OK;
}

/* An input of the run and its hash; path NULL: neither. */
static nn_status model_input(lua_host *h, const char *path, char sha[65], nn_err *err)
{
    sha[0] = '\0';
    if (path == NULL) return NN_OK;
    const nn_status st = path_hash(path, sha, err);
    return st == NN_OK ? guard_run_input(h->run, path, sha, err) : st;
}

/* What the ledger says of a model; of an adapter also the name it gives its base, which nothing is compared with. */
static void add_note(guard_buf *b, const model_box *m)
{
    const nn_lora *l = nn_pretrained_adapter(m->p);
    guard_buf_fmt(b, "{\"architecture\":\"%.40s\",\"format\":\"%s\",\"weights\":%zu,\"tokenizer\":\"%s\"",
                  nn_pretrained_architecture(m->p), nn_pretrained_format(m->p),
                  nn_config_params(nn_pretrained_config(m->p)), m->tok_hash);
    if (l != NULL) {
        guard_buf_fmt(b, ",\"adapter_rank\":%zu,\"adapter_base\":", nn_lora_options_of(l)->rank);
        guard_json_str(b, nn_lora_base(l), strlen(nn_lora_base(l)));
    }
    guard_buf_str(b, "}");
}

/* The hash of weights, tokenizer and adapter; all are inputs of the run. */
static nn_status model_stage(lua_host *h, model_box *out, const model_paths *from, nn_err *err)
{
    lua_stage s;
    guard_buf note = {0};
    char sha[65], tok_sha[65], adapter_sha[65];
    nn_status st = model_input(h, from->model, sha, err);
    if (st == NN_OK) st = model_input(h, from->tok, tok_sha, err);
    if (st == NN_OK) st = model_input(h, from->adapter, adapter_sha, err);
    const char *hash[] = {sha, out->tok_hash, adapter_sha};
    if (st == NN_OK) st = lua_stage_begin(&s, h, "open_model", hash, from->adapter != NULL ? 3 : 2, err);
    if (st != NN_OK) return st;
    nn_sha256 all;
    nn_sha256_init(&all);
    nn_sha256_add(&all, sha, sizeof sha);
    nn_sha256_add(&all, out->tok_hash, sizeof out->tok_hash);
    if (from->adapter != NULL) nn_sha256_add(&all, adapter_sha, sizeof adapter_sha);
    nn_sha256_end_hex(&all, out->hash);
    add_note(&note, out);
    if ((st = guard_buf_status(&note, err)) == NN_OK) st = lua_stage_end(&s, s.s.finished ? NULL : note.bytes, err);
    guard_buf_free(&note);
    return st;
}

/* The path that option `name` asks for, in room; the option becomes its last part: names, not places, so that a run is
 * the same on another machine. NULL when it is not given. */
static const char *option_path(lua_State *L, const char *name, char *room, size_t cap)
{
    const char *asked = lua_args_string(L, 3, model_args, name);
    nn_err err = {0};
    if (asked == NULL) return NULL;
    if (lua_host_resolve(lua_host_of(L), asked, room, cap, &err) != NN_OK) lua_host_raise(L, &err);
    lua_pushstring(L, base_name(room));
    lua_setfield(L, 3, name);
    return room;
}

/* stack: run path options -> model */
static int l_open_model(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    char path[1024], tok[1024], adapter[1024];
    nn_err err = {0};
    lua_check_run(L);
    const char *asked = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, model_args, "open_model");
    if (lua_host_resolve(h, asked, path, sizeof path, &err) != NN_OK) return lua_host_raise(L, &err);
    const model_paths from = {path, option_path(L, "tokenizer", tok, sizeof tok),
                              option_path(L, "adapter", adapter, sizeof adapter),
                              lua_args_string(L, 3, model_args, "chat")};
    model_box *out = lua_push_model(L);
    snprintf(out->name, sizeof out->name, "%.60s", base_name(path));
    lua_stage_args(L, 3, out->name);
    if (open_model(out, &from, &err) != NN_OK) return lua_host_raise(L, &err);
    if (h->o.planning) {
        lua_plan_add(L, "open_model", out->name, NULL, 0, 0, nn_config_params(nn_pretrained_config(out->p)), 0);
    } else if (model_stage(h, out, &from, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- use_tokenizer ------------------------------------------------------------------------ */
static nn_status tokenizer_stage(lua_host *h, const model_box *m, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {m->tok_hash};
    nn_status st = lua_stage_begin(&s, h, "use_tokenizer", hash, 1, err);
    if (st == NN_OK) st = nn_tok_clone(&h->tok, m->tok, err);
    if (st != NN_OK) return st;
    snprintf(h->tok_hash, sizeof h->tok_hash, "%s", m->tok_hash);
    return lua_stage_end(&s, NULL, err);
}

/* stack: run model -> nothing; the run's tokenizer is set */
static int l_use_tokenizer(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    lua_check_run(L);
    const model_box *m = lua_check_model(L, 2);
    if (h->vocab != 0) return luaL_error(L, "use_tokenizer: the run has a tokenizer, want one a run");
    h->vocab = nn_tok_vocab(m->tok);
    lua_settop(L, 2);
    lua_pushnil(L);
    lua_stage_args(L, 3, m->name);
    if (h->o.planning) lua_plan_add(L, "use_tokenizer", m->name, NULL, 0, 0, 0, 0);
    else if (tokenizer_stage(h, m, &err) != NN_OK) return lua_host_raise(L, &err);
    return 0;
}

/* --- templates ---------------------------------------------------------------------------- */
/* A list of texts and {special = name}, at the top of the stack. */
static void read_parts(lua_State *L, guard_template *t, const char *what)
{
    nn_err err = {0};
    const int list = lua_gettop(L);
    const lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    for (lua_Integer i = 1; i <= n; i++) {
        size_t len = 0;
        nn_status st = NN_OK;
        if (lua_rawgeti(L, list, i) == LUA_TTABLE) lua_getfield(L, -1, "special");
        const bool special = lua_gettop(L) > list + 1;
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "%s[%I]: want a text or {special = 'name of a token'}", what, (LUAI_UACINT)i);
        const char *text = lua_tolstring(L, -1, &len);
        st = special ? guard_template_special(t, text, len, &err) : guard_template_text(t, text, len, &err);
        if (st != NN_OK) lua_host_raise(L, &err);
        lua_settop(L, list);
    }
}

/* A list of {role = .., text = ..}, at the top of the stack, as the model's chat format writes it before its answer. */
static void read_messages(lua_State *L, guard_template *t, const model_box *m, const char *what)
{
    lua_host *h = lua_host_of(L);
    guard_message message[8];
    char bos[256] = "", eos[256] = "";
    nn_err err = {0};
    const int list = lua_gettop(L);
    const size_t n = lua_rawlen(L, list);
    if (m->chat == NULL)
        luaL_error(L, "%s: the model's chat format is not known, want run:open_model(.., { chat = NAME }) or a template",
                   what);
    if (n < 1 || n > sizeof message / sizeof *message) luaL_error(L, "%s: %d messages, want 1 to 8", what, (int)n);
    for (size_t i = 0; i < n; i++) { /* the values stay on the stack */
        size_t role = 0;
        luaL_checkstack(L, 8, "no room for messages");
        if (lua_rawgeti(L, list, (lua_Integer)i + 1) != LUA_TTABLE || lua_getfield(L, -1, "role") != LUA_TSTRING ||
            lua_getfield(L, -2, "text") != LUA_TSTRING)
            luaL_error(L, "%s[%d]: want { role = 'user', text = '..' }", what, (int)i + 1);
        while (role < GUARD_ROLES && strcmp(lua_tostring(L, -2), guard_role_names[role]) != 0) role++;
        if (role == GUARD_ROLES)
            luaL_error(L, "%s[%d].role: '%s', want system, user or assistant", what, (int)i + 1, lua_tostring(L, -2));
        message[i].role = (guard_role)role;
        message[i].text = lua_tolstring(L, -1, &message[i].len);
    }
    guard_buf_clear(&h->chat);
    (void)nn_tok_spelling(m->tok, nn_tok_bos(m->tok), bos, sizeof bos - 1);
    (void)nn_tok_spelling(m->tok, nn_tok_eos(m->tok), eos, sizeof eos - 1);
    nn_status st = guard_chat_text(&h->chat, m->chat, message, n, true, bos, eos, &err);
    if (st == NN_OK) st = guard_template_marked(t, m->tok, h->chat.bytes, h->chat.len, &err);
    if (st != NN_OK) lua_host_raise(L, &err);
    lua_settop(L, list);
}

/* One of the two options into t; false when neither is given. */
static bool read_template(lua_State *L, int idx, const model_box *m, guard_template *t, const char *text,
                          const char *messages, const char *what)
{
    nn_err err = {0};
    size_t len = 0;
    guard_template_free(t);
    const int type = lua_args_push(L, idx, text);
    if (type == LUA_TTABLE) {
        read_parts(L, t, text);
    } else if (type == LUA_TSTRING) {
        const char *s = lua_tolstring(L, -1, &len);
        if (guard_template_text(t, s, len, &err) != NN_OK) lua_host_raise(L, &err);
    }
    lua_pop(L, 1);
    const bool conversation = lua_args_push(L, idx, messages) == LUA_TTABLE;
    if (conversation && type != LUA_TNIL) luaL_error(L, "%s: %s and %s, want one of them", what, text, messages);
    if (conversation) read_messages(L, t, m, messages);
    lua_pop(L, 1);
    return conversation || type != LUA_TNIL;
}

/* The two words of the option labels, which stay on the stack; NULL when it is not given. */
static void read_labels(lua_State *L, int idx, const char *word[2], const char *what)
{
    static const char *const names[2] = {"safe", "unsafe"};
    word[0] = word[1] = NULL;
    if (lua_args_push(L, idx, "labels") != LUA_TTABLE) return;
    const int table = lua_gettop(L);
    for (size_t i = 0; i < 2; i++) {
        if (lua_getfield(L, table, names[i]) != LUA_TSTRING || lua_rawlen(L, -1) == 0)
            luaL_error(L, "%s.labels: want { safe = 'word', unsafe = 'word' }", what);
        word[i] = lua_tostring(L, -1);
    }
}

void lua_read_format(lua_State *L, int idx, const model_box *m, const char *what, guard_format *f, int32_t label[2])
{
    lua_host *h = lua_host_of(L);
    const char *word[2];
    nn_err err = {0};
    const int top = lua_gettop(L);
    if (!read_template(L, idx, m, &h->prompt, "template", "messages", what))
        luaL_error(L, "%s.template: missing, want a text with the place {prompt}, or messages", what);
    const bool response = read_template(L, idx, m, &h->response, "response_template", "response_messages", what);
    read_labels(L, idx, word, what);
    const nn_status st = guard_format_of_templates(f, label, m->tok, &h->prompt, response ? &h->response : NULL,
                                                   word[0], word[1], &err);
    lua_settop(L, top);
    if (st != NN_OK) lua_host_raise(L, &err);
}

/* --- label_guard -------------------------------------------------------------------------- */
static const lua_arg label_args[] = {
    {"name", ARG_STRING, 0, 0, "label guard", "name in tables and files"},
    LUA_TEMPLATE_ARGS,
    {"labels", ARG_TABLE, 0, 0, NULL,
     "{ safe = word, unsafe = word }: what the model would say next; first tokens count"},
    {"window", ARG_INTEGER, 16, 4096, "256", "tokens seen at once, the template's included"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* Matrices stay where the model's file lies until the guard is in a file of its own. */
static nn_status label_work(lua_stage *s, guard_box *out, const model_box *m, const corpus_box *valid,
                            const guard_format *f, const int32_t label[2], const guard_label_options *o, nn_err *err)
{
    nn_status st = guard_from_labels(&out->g, m->p, m->tok, f, label, o, err);
    return st == NN_OK ? guard_classifier_calibrate(out->g, valid->c, &s->job, err) : st;
}

static nn_status label_stage(lua_host *h, guard_box *out, const model_box *m, const corpus_box *valid,
                             const guard_format *f, const int32_t label[2], const guard_label_options *o, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {m->hash, valid->hash};
    nn_status st = lua_stage_begin(&s, h, "label_guard", hash, 2, err);
    if (st == NN_OK && !s.s.finished) st = label_work(&s, out, m, valid, f, label, o, err);
    if (st == NN_OK) st = lua_stage_guard(&s, out, "", NN_F32, err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* Mapped matrices stay in memory while they are used. */
static size_t label_bytes(const nn_pretrained *p, size_t window)
{
    const nn_load_options load = {.max_t = window, .n_class = 2, .no_lm_head = true};
    size_t bytes = (size_t)nn_pretrained_bytes(p, &load);
    for (size_t i = 0; i < nn_pretrained_tensors(p); i++) {
        const nn_st_tensor t = nn_pretrained_tensor(p, i);
        bytes += nn_dtype_bytes(t.type, t.count);
    }
    return bytes;
}

/* stack: run model valid options -> guard */
static int l_label_guard(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    guard_format f;
    int32_t label[2];
    nn_err err = {0};
    lua_check_run(L);
    const model_box *m = lua_check_model(L, 2);
    const corpus_box *valid = lua_check_corpus(L, 3);
    lua_settop(L, 4);
    lua_args_check(L, 4, label_args, "label_guard");
    lua_read_format(L, 4, m, "label_guard", &f, label);
    const size_t window = lua_args_size(L, 4, label_args, "window");
    const char *name = lua_args_string(L, 4, label_args, "name");
    const guard_label_options o = {name, window, window / 2, &h->taxonomy};
    if (guard_check_base(m->p, m->tok, window, &err) != NN_OK ||
        guard_format_check(&f, nn_tok_vocab(m->tok), window, &err) != NN_OK)
        return lua_host_raise(L, &err);
    lua_stage_args(L, 4, m->name);
    guard_box *out = lua_push_guard(L);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->decoder = true;
    if (h->o.planning) {
        lua_plan_add(L, "label_guard", name, NULL, 0, valid->rows, nn_config_params(nn_pretrained_config(m->p)),
                     label_bytes(m->p, window));
    } else if (label_stage(h, out, m, valid, &f, label, &o, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

const lua_fn lua_model_fns[] = {
    {"open_model", l_open_model, "run:open_model(path [, options]) -> model",
     "A model that somebody trained: a Hugging Face folder, a GGUF or a llama2.c file, below data/ or a root given "
     "with --set.",
     model_args},
    {"use_tokenizer", l_use_tokenizer, "run:use_tokenizer(model)",
     "The model's tokenizer is the run's, instead of run:train_tokenizer.", NULL},
    {"label_guard", l_label_guard, "run:label_guard(model, valid, options) -> guard",
     "The model as it is, asked through a template: the verdict is the logit of the unsafe word's first token against "
     "the safe one's, calibrated with thresholds on the validation rows.",
     label_args},
    {NULL, NULL, NULL, NULL, NULL}};
