/* lua_run.c - run:load and run:train_tokenizer: where a run begins.
 *
 * Reads: stage.h, guard/dataset.h.   Read next: lua_synth.c, lua_train.c.
 */
#include "guard/dataset.h"
#include "guard/lua/lua_api.h"
#include "guard/lua/order.h"
#include "nn/arena.h"
#include "nn/gguf.h"
#include "nn/plat.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* --- load --------------------------------------------------------------------------------- */
static const lua_arg load_args[] = {
    {"format", ARG_STRING, 0, 0, "-",
     "jsonl, toxicchat, openai_moderation, wildguard, harmbench or xstest; guessed when absent"},
    {"task", ARG_STRING, 0, 0, "-", "wildguard: prompt or response"},
    {"functional", ARG_STRING, 0, 0, "-", "harmbench: comma list of standard, contextual, copyright"},
    {"cap", ARG_INTEGER, 1, 1e9, "0", "at most this many rows, drawn by the run's seed"},
    {"fields", ARG_TABLE, 0, 0, "-",
     "the file's own fields that become columns: {structure = 'string', severity = 'number', checked = 'boolean'}"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

#define PLAN_ROW_BYTES 150u /* of a .jsonl row, for the plan's estimate; .gz counts fourfold */

#define FIELDS_MAX 16u

typedef struct {
    const char *name[FIELDS_MAX]; /* kept alive by the options' table */
    guard_col_kind kind[FIELDS_MAX];
    size_t n;
} load_fields;

static guard_col_kind field_kind(lua_State *L, const char *name, const char *kind)
{
    static const char *const known[] = {"number", "boolean", "string"}; /* as guard_col_kind */
    for (size_t i = 0; i < 3; i++)
        if (kind != NULL && strcmp(kind, known[i]) == 0) return (guard_col_kind)i;
    return (guard_col_kind)luaL_error(L, "load.fields.%s: want 'string', 'number' or 'boolean'", name);
}

static void read_fields(lua_State *L, int idx, load_fields *f)
{
    f->n = 0;
    if (lua_args_push(L, idx, "fields") != LUA_TTABLE) return;
    const int fields = lua_gettop(L);
    const size_t n = (size_t)lua_order_keys(L, fields);
    if (n > FIELDS_MAX) luaL_error(L, "load.fields: %d, want %d at most", (int)n, (int)FIELDS_MAX);
    for (; f->n < n; f->n++) {
        if (lua_rawgeti(L, fields + 1, (lua_Integer)f->n + 1) != LUA_TSTRING) luaL_error(L, "load.fields: want names");
        f->name[f->n] = lua_tostring(L, -1);
        if (strlen(f->name[f->n]) >= sizeof(((guard_column *)0)->name))
            luaL_error(L, "load.fields: a name of %d bytes, want 47 at most", (int)strlen(f->name[f->n]));
        lua_rawget(L, fields);
        f->kind[f->n] = field_kind(L, f->name[f->n], lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL);
        lua_pop(L, 1);
    }
}

/* Reads the rows; the ledger is told by which rule and how many. */
static nn_status load_work(lua_stage *s, corpus_box *out, const char *path, const guard_import *o,
                           const load_fields *f, char note[256], nn_err *err)
{
    guard_import_report r = {0};
    nn_status st = guard_dataset_read(&out->c, &r, path, o, err);
    for (size_t i = 0; i < f->n && st == NN_OK; i++)
        st = guard_dataset_column(out->c, f->name[i], s->stream, f->kind[i], err);
    if (st != NN_OK) return st;
    snprintf(note, 256,
             "{\"format\":\"%s\",\"rows\":%zu,\"skipped\":%zu,\"safe\":%zu,\"unsafe\":%zu,\"unlabelled\":%zu,"
             "\"repaired\":%zu}",
             r.format, r.rows, r.skipped, r.safe, r.unsafe, r.unlabelled, r.repaired);
    return lua_stage_corpus(s, out, "", err);
}

static nn_status load_stage(lua_host *h, corpus_box *out, const char *path, const guard_import *o,
                            const load_fields *f, nn_err *err)
{
    lua_stage s;
    char sha[65], note[256];
    const char *hash[] = {sha};
    nn_status st = lua_file_hash(path, sha, err);
    if (st == NN_OK) st = guard_run_input(h->run, path, sha, err);
    if (st == NN_OK) st = lua_stage_begin(&s, h, "load", hash, 1, err);
    if (st != NN_OK) return st;
    st = s.s.finished ? lua_stage_corpus(&s, out, "", err) : load_work(&s, out, path, o, f, note, err);
    return st == NN_OK ? lua_stage_end(&s, s.s.finished ? NULL : note, err) : st;
}

static uint64_t estimate_rows(const char *path, size_t cap)
{
    uint64_t len = 0;
    const size_t n = strlen(path);
    if (nn_file_size(path, &len, NULL) != NN_OK) return 0;
    if (n > 3 && strcmp(path + n - 3, ".gz") == 0) len *= 4;
    len /= PLAN_ROW_BYTES;
    return cap != 0 && len > cap ? cap : len;
}

/* stack: run path options -> corpus */
static int l_load(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    char path[1024];
    nn_err err = {0};
    lua_check_run(L);
    const char *asked = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, load_args, "load");
    guard_import o = {0};
    o.format = lua_args_string(L, 3, load_args, "format");
    o.task = lua_args_string(L, 3, load_args, "task");
    o.functional = lua_args_string(L, 3, load_args, "functional");
    o.cap = lua_args_size(L, 3, load_args, "cap");
    o.seed = h->seed;
    load_fields f;
    read_fields(L, 3, &f);
    if (lua_host_resolve(h, asked, path, sizeof path, &err) != NN_OK) return lua_host_raise(L, &err);
    const char *base = strrchr(path, '/');
    lua_stage_args(L, 3,
                   base != NULL ? base + 1 : path); /* the name, not the place: a run is the same on another machine */
    corpus_box *out = lua_push_corpus(L);
    if (h->o.planning) {
        if (guard_corpus_build(&out->c, &err) != NN_OK) return lua_host_raise(L, &err);
        for (size_t i = 0; i < f.n; i++) lua_plan_column(L, out->c, f.name[i], "load", f.kind[i]);
        out->rows = estimate_rows(path, o.cap);
        lua_plan_add(L, "load", base != NULL ? base + 1 : path, NULL, 0, out->rows, 0, 0);
    } else if (load_stage(h, out, path, &o, &f, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- tokenizer ---------------------------------------------------------------------------- */
static const lua_arg tokenizer_args[] = {
    {"vocab", ARG_INTEGER, 320, 65536, "2048", "ids, the 64 reserved and 256 bytes included"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

static nn_status train_texts(nn_tok **out, const guard_corpus *c, size_t vocab, nn_err *err)
{
    const char **text = NULL;
    size_t *len = NULL, n = 0;
    nn_status st = nn_alloc((void **)&text, 2 * c->n, sizeof *text, err);
    if (st == NN_OK) st = nn_alloc((void **)&len, 2 * c->n, sizeof *len, err);
    for (size_t i = 0; st == NN_OK && i < c->n; i++) {
        const guard_text part[] = {c->row[i].text, c->row[i].response};
        for (size_t k = 0; k < 2; k++)
            if (part[k].s != NULL) {
                text[n] = part[k].s;
                len[n++] = part[k].n;
            }
    }
    if (st == NN_OK) st = nn_tok_train(out, text, len, n, vocab, err);
    nn_free((void *)text);
    nn_free(len);
    return st;
}

static nn_status save_tok(const nn_tok *t, const char *path, nn_err *err)
{
    nn_gguf_writer *w = NULL;
    const int32_t *pairs = NULL;
    const size_t n = nn_tok_merges(t, &pairs);
    nn_status st = nn_gguf_writer_build(&w, err);
    if (st != NN_OK) return st;
    nn_gguf_put_str(w, "general.architecture", "tokenizer");
    nn_gguf_put_i32s(w, "tokenizer.merges", pairs, 2 * n);
    st = nn_gguf_save(w, path, err);
    nn_gguf_writer_free(w);
    return st;
}

static nn_status load_tok(nn_tok **out, const char *path, nn_err *err)
{
    nn_gguf *g = NULL;
    int32_t *pairs = NULL;
    size_t n = 0;
    nn_gg_type type;
    nn_status st = nn_gguf_open(&g, path, err);
    if (st != NN_OK) return st;
    if (!nn_gguf_array(g, "tokenizer.merges", &type, &n) || n % 2 != 0)
        st = nn_fail(err, NN_FILE, "%s: no tokenizer.merges, want a tokenizer written by a run", path);
    if (st == NN_OK) st = nn_alloc((void **)&pairs, n, sizeof *pairs, err);
    for (size_t i = 0; st == NN_OK && i < n; i++) {
        double v = 0.0;
        if (!nn_gguf_array_f64(g, "tokenizer.merges", i, &v) || !(v >= 0.0 && v <= INT32_MAX))
            st = nn_fail(err, NN_FILE, "%s: merge %zu is not an id", path, i);
        else pairs[i] = (int32_t)v;
    }
    if (st == NN_OK) st = nn_tok_from_merges(out, pairs, n / 2, err);
    nn_free(pairs);
    nn_gguf_close(g);
    return st;
}

static nn_status tokenizer_stage(lua_host *h, const corpus_box *in, size_t vocab, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash};
    char *path = NULL, sha[65];
    nn_status st = lua_stage_begin(&s, h, "train_tokenizer", hash, 1, err);
    if (st == NN_OK) st = lua_stage_path(&s, "models", ".gguf", &path, sha, err);
    if (st == NN_OK && !s.s.finished) {
        st = train_texts(&h->tok, in->c, vocab, err);
        if (st == NN_OK) st = save_tok(h->tok, path, err);
    } else if (st == NN_OK) {
        st = load_tok(&h->tok, path, err);
    }
    if (st != NN_OK) return st;
    nn_tok_hash(h->tok, h->tok_hash);
    return lua_stage_end(&s, NULL, err);
}

/* stack: run corpus options -> nothing; the run's tokenizer is set */
static int l_train_tokenizer(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *in = lua_check_corpus(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, tokenizer_args, "train_tokenizer");
    const size_t vocab = lua_args_size(L, 3, tokenizer_args, "vocab");
    lua_stage_args(L, 3, NULL);
    if (h->vocab != 0) return luaL_error(L, "train_tokenizer: called twice, want one tokenizer a run");
    h->vocab = vocab;
    if (h->o.planning) lua_plan_add(L, "train_tokenizer", NULL, NULL, 0, in->rows, 0, 0);
    else if (tokenizer_stage(h, in, vocab, &err) != NN_OK) return lua_host_raise(L, &err);
    return 0;
}

const lua_fn lua_run_fns[] = {{"load", l_load, "run:load(path [, options]) -> corpus",
                               "Rows of a file below data/, a root given with --set, or the run folder; our JSONL or a "
                               "benchmark's own file, .gz too.",
                               load_args},
                              {"train_tokenizer", l_train_tokenizer, "run:train_tokenizer(corpus [, options])",
                               "Byte-level BPE on the training part; one a run, shared by guard, generator and judges.",
                               tokenizer_args},
                              {NULL, NULL, NULL, NULL, NULL}};
