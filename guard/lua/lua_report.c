/* lua_report.c - run:evaluate, run:ship, run:verdicts, run:report: how a run ends.
 *
 * Reads: stage.h, guard/evaluate.h, guard/report.h.   Read next: guard/cmd_run.c, which prints what is gathered here.
 */
#include "guard/evaluate.h"
#include "guard/lua/lua_api.h"
#include "guard/report.h"
#include "nn/arena.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define MAX_GUARDS 24
#define MAX_SETS 48

typedef struct {
    const char *name;
    union {
        guard_box *guard;
        corpus_box *corpus;
    } box;
} named_box;

#define MAX_NAME 30 /* bytes: names become parts of columns */

/* Entry i of the list at idx, {name, handle}. The string and the handle stay alive in the script's table. */
static named_box read_entry(lua_State *L, int idx, size_t i, const char *type)
{
    const int top = lua_gettop(L);
    named_box out;
    if (lua_rawgeti(L, idx, (lua_Integer)i + 1) != LUA_TTABLE || lua_rawgeti(L, top + 1, 1) != LUA_TSTRING)
        luaL_error(L, "evaluate: entry %d: want { 'name', %s }", (int)i + 1, type);
    lua_rawgeti(L, top + 1, 2);
    void *b = luaL_testudata(L, top + 3, type);
    out.name = lua_tostring(L, top + 2);
    if (b == NULL)
        luaL_error(L, "evaluate: entry %d ('%s'): a %s, want a %s", (int)i + 1, out.name, luaL_typename(L, top + 3),
                   type);
    if (strlen(out.name) > MAX_NAME)
        luaL_error(L, "evaluate: '%s': want a name of at most %d bytes", out.name, MAX_NAME);
    if (strcmp(type, GUARD_TYPE) == 0) out.box.guard = b;
    else out.box.corpus = b;
    lua_settop(L, top);
    return out;
}

/* {{name, handle}, ...} at idx; type tells which. */
static size_t read_named(lua_State *L, int idx, const char *type, named_box *out, size_t max)
{
    luaL_checktype(L, idx, LUA_TTABLE);
    const size_t n = lua_rawlen(L, idx);
    if (n < 1 || n > max) luaL_error(L, "evaluate: %d entries, want 1 to %d", (int)n, (int)max);
    for (size_t i = 0; i < n; i++) {
        out[i] = read_entry(L, idx, i, type);
        for (size_t k = 0; k < i; k++)
            if (strcmp(out[k].name, out[i].name) == 0) luaL_error(L, "evaluate: '%s' stands twice", out[i].name);
    }
    return n;
}

/* --- evaluate ----------------------------------------------------------------------------- */
static const lua_arg evaluate_args[] = {
    {"target_fpr", ARG_NUMBER, 0.0001, 0.5, "0.05",
     "which stored threshold is used: the one chosen on validation rows for this rate"},
    {"bootstrap", ARG_INTEGER, 0, 1e5, "500", "resamples for the intervals"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* One set: every guard's probabilities as columns of its file, and a result each. */
static nn_status evaluate_set(guard_result *r, corpus_box *out, const named_box *guard, size_t n, const named_box *set,
                              double target, size_t bootstrap, lua_stage *s, nn_err *err)
{
    const guard_corpus *in = set->box.corpus->c;
    char suffix[MAX_NAME + 2];
    nn_status st = guard_corpus_copy(&out->c, in, err);
    for (size_t g = 0; st == NN_OK && g < n; g++) {
        snprintf(suffix, sizeof suffix, "@%s", guard[g].name);
        st = guard_score_columns(guard[g].box.guard->g, out->c, s->stream, suffix, &s->job, err);
        if (st == NN_OK)
            st = guard_evaluate(&r[g], guard[g].box.guard->g, guard[g].name, in, set->name, target, bootstrap, &s->job,
                                err);
    }
    return st;
}

static void results_json(guard_buf *note, const guard_result *r, size_t n)
{
    guard_buf_str(note, "{");
    guard_json_key(note, "results");
    guard_buf_str(note, "[");
    for (size_t i = 0; i < n; i++) {
        guard_json_comma(note);
        guard_result_json(note, &r[i]);
    }
    guard_buf_str(note, "]}");
}

/* Sets are evaluated one stage each, so that a killed run goes on with the next set. */
static nn_status evaluate_stage(lua_host *h, const named_box *guard, size_t n, const named_box *set, double target,
                                size_t bootstrap, nn_err *err)
{
    lua_stage s;
    corpus_box out = {0};
    guard_buf note = {0};
    guard_result *r = NULL;
    const char *hash[MAX_GUARDS + 1] = {set->box.corpus->hash};
    for (size_t g = 0; g < n; g++) hash[g + 1] = guard[g].box.guard->hash;
    nn_status st = lua_stage_begin(&s, h, "evaluate", hash, n + 1, err);
    if (st == NN_OK) st = nn_alloc((void **)&r, n, sizeof *r, err);
    if (st != NN_OK) return st;
    if (!s.s.finished) st = evaluate_set(r, &out, guard, n, set, target, bootstrap, &s, err);
    if (st == NN_OK && !s.s.finished) results_json(&note, r, n);
    if (st == NN_OK && !s.s.finished) st = guard_buf_status(&note, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, &out, "", err);
    const char *text = s.s.finished ? guard_run_stage_note(h->run, &s.s) : note.bytes;
    if (st == NN_OK && text != NULL) {
        guard_buf_str(&h->evaluations, h->evaluations.len > 0 ? "\n" : "");
        guard_buf_str(&h->evaluations, text);
    }
    if (st == NN_OK) st = lua_stage_end(&s, note.bytes, err);
    guard_corpus_free(out.c);
    guard_buf_free(&note);
    nn_free(r);
    return st;
}

/* stack: run guards sets options -> nothing; the table is printed when the run ends */
static int l_evaluate(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    named_box guard[MAX_GUARDS], set[MAX_SETS];
    char what[128];
    nn_err err = {0};
    lua_check_run(L);
    lua_settop(L, 4);
    lua_args_check(L, 4, evaluate_args, "evaluate");
    const size_t n = read_named(L, 2, GUARD_TYPE, guard, MAX_GUARDS),
                 n_set = read_named(L, 3, CORPUS_TYPE, set, MAX_SETS);
    const double target = lua_args_number(L, 4, evaluate_args, "target_fpr");
    const size_t bootstrap = lua_args_size(L, 4, evaluate_args, "bootstrap");
    for (size_t i = 0; i < n_set; i++) {
        lua_stage_args(L, 4, set[i].name);
        snprintf(what, sizeof what, "%s, %u guards", set[i].name, (unsigned)n);
        if (h->o.planning) lua_plan_add(L, "evaluate", what, NULL, 0, set[i].box.corpus->rows, 0, 0);
        else if (evaluate_stage(h, guard, n, &set[i], target, bootstrap, &err) != NN_OK) return lua_host_raise(L, &err);
    }
    return 0;
}

/* --- ship --------------------------------------------------------------------------------- */
static const lua_arg ship_args[] = {
    {"name", ARG_STRING, 0, 0, "guard", "name inside the file"},
    {"store", ARG_STRING, 0, 0, "q8_0",
     "type of the tensors: f32, bf16, q8_0, q4_0, int8; the guard's own unless it was trained with another. Another model's "
     "matrices stay as they are unless this is given"},
    {"licence", ARG_STRING, 0, 0, "-", "of the weights: what the rows they learnt from allow"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* A fresh copy from the file, because the one at hand goes on in the script under its own name. */
static nn_status ship_work(lua_host *h, const guard_box *in, const char *name, const char *licence, nn_dtype type,
                           bool given, const char *path, nn_err *err)
{
    guard_classifier *g = NULL;
    char head[65], source[1024];
    size_t count = 0;
    snprintf(source, sizeof source, "%s/%s", guard_run_dir(h->run), in->file);
    guard_run_head(h->run, head, &count);
    nn_status st = guard_classifier_open(&g, source, err);
    if (st == NN_OK) guard_classifier_stamp(g, name, head, NULL, licence);
    if (st == NN_OK && given && type != NN_I8) st = guard_classifier_floats(g, err);
    if (st == NN_OK) st = guard_classifier_save(g, path, type, err);
    guard_classifier_close(g);
    return st;
}

static nn_status ship_stage(lua_host *h, const guard_box *in, const char *name, const char *licence, nn_dtype type,
                            bool given, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash};
    nn_status st = lua_stage_begin(&s, h, "ship", hash, 1, err);
    if (st != NN_OK) return st;
    const char *path = lua_stage_fixed(&s, "guard.gguf");
    if (!s.s.finished) st = ship_work(h, in, name, licence, type, given, path, err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run guard options -> nothing; <run>/guard.gguf stands */
static int l_ship(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    lua_check_run(L);
    const guard_box *in = lua_check_guard(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, ship_args, "ship");
    const char *name = lua_args_string(L, 3, ship_args, "name"), *licence = lua_args_string(L, 3, ship_args, "licence");
    const nn_dtype type = lua_read_store(L, "ship", lua_args_string(L, 3, ship_args, "store"));
    const bool given = lua_args_push(L, 3, "store") != LUA_TNIL;
    lua_pop(L, 1);
    luaL_argcheck(L, !in->derived, 2, "want a guard from a training stage, not a part of one");
    lua_stage_args(L, 3, NULL);
    if (h->o.planning) lua_plan_add(L, "ship", "guard.gguf", NULL, 0, 0, 0, 0);
    else if (ship_stage(h, in, name, licence, type, given, &err) != NN_OK) return lua_host_raise(L, &err);
    return 0;
}

/* --- verdicts: a few held-out rows, drawn by the run, for people to look at --------------- */
#define SHOWN_BYTES 60

/* The start of a text on one line: control characters would move the terminal's cursor. */
static void add_plain(guard_buf *b, guard_text t)
{
    size_t n = t.n < SHOWN_BYTES ? t.n : SHOWN_BYTES;
    while (n > 0 && n < t.n && ((unsigned char)t.s[n] & 0xc0u) == 0x80u) n--; /* not in the middle of a character */
    for (size_t i = 0; i < n; i++) {
        const char c = t.s[i];
        if ((unsigned char)c < 32 || c == 127) guard_buf_str(b, " ");
        else guard_buf_add(b, &c, 1);
    }
    guard_buf_str(b, n < t.n ? "...\n" : "\n");
}

static void add_verdict(guard_buf *b, const guard_row *r, const guard_verdict *v)
{
    static const char *const label[] = {"nothing", "safe", "unsafe"};
    char p[32];
    guard_fmt_fixed(p, (double)v->p_unsafe, 3);
    guard_buf_fmt(b, "  %s  p(unsafe) %s  %-7s  labelled %-7s  ", r->id, p, v->flagged ? "flagged" : "passed",
                  label[r->label + 1]);
    if (r->label != GUARD_UNSAFE) add_plain(b, r->text);
    else guard_buf_fmt(b, "[hidden, %zu bytes: parapet lineage %s --show]\n", r->text.n, r->id);
}

static nn_status verdicts_work(lua_host *h, const guard_box *g, const corpus_box *c, size_t n, nn_err *err)
{
    nn_rng rng = nn_rng_at(h->seed, "verdicts", 0);
    guard_session *s = NULL;
    guard_verdict v;
    size_t *order = NULL;
    const guard_session_options o = {h->o.kernels, h->exec.par.threads, 0};
    nn_status st = nn_alloc((void **)&order, c->c->n, sizeof *order, err);
    if (st == NN_OK) st = guard_session_open(&s, g->g, &o, err);
    if (st == NN_OK) nn_rng_shuffle(&rng, order, c->c->n);
    for (size_t i = 0; st == NN_OK && i < n && i < c->c->n; i++) {
        const guard_row *r = &c->c->row[order[i]];
        st = guard_check(s, r->text.s, r->text.n, r->response.s, r->response.n, &v, err);
        if (st == NN_OK) add_verdict(&h->verdicts, r, &v);
    }
    guard_session_close(s);
    nn_free(order);
    return st == NN_OK ? guard_buf_status(&h->verdicts, err) : st;
}

/* stack: run guard corpus n -> nothing; printed when the run ends */
static int l_verdicts(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    lua_check_run(L);
    const guard_box *g = lua_check_guard(L, 2);
    const corpus_box *c = lua_check_corpus(L, 3);
    const lua_Integer n = luaL_optinteger(L, 4, 3);
    luaL_argcheck(L, n >= 1 && n <= 1000, 4, "want 1 to 1000");
    if (!h->o.planning && verdicts_work(h, g, c, (size_t)n, &err) != NN_OK) return lua_host_raise(L, &err);
    return 0;
}

/* --- report ------------------------------------------------------------------------------- */
static nn_status report_stage(lua_host *h, nn_err *err)
{
    static const char *const files[] = {"report.html", "report.json", "model_card.md"};
    lua_stage s;
    nn_status st = lua_stage_begin(&s, h, "report", NULL, 0, err);
    if (st == NN_OK && !s.s.finished) st = guard_report_write(guard_run_dir(h->run), err);
    for (size_t i = 0; st == NN_OK && i < sizeof files / sizeof *files; i++) (void)lua_stage_fixed(&s, files[i]);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run -> nothing */
static int l_report(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    lua_check_run(L);
    lua_settop(L, 1);
    lua_pushnil(L);
    lua_stage_args(L, 2, NULL);
    if (h->o.planning) lua_plan_add(L, "report", "report.html, report.json, model_card.md", NULL, 0, 0, 0, 0);
    else if (report_stage(h, &err) != NN_OK) return lua_host_raise(L, &err);
    return 0;
}

const lua_fn lua_report_fns[] = {
    {"evaluate", l_evaluate, "run:evaluate({{name, guard}, ..}, {{name, corpus}, ..} [, options])",
     "Metrics with intervals at the stored threshold, a row for each guard and set; the table is printed when the run "
     "ends.",
     evaluate_args},
    {"ship", l_ship, "run:ship(guard [, options])",
     "Writes guard.gguf into the run folder, stamped with the ledger's head.", ship_args},
    {"verdicts", l_verdicts, "run:verdicts(guard, corpus [, n])",
     "n rows drawn by the run's stream and what the guard says; unsafe text is hidden.", NULL},
    {"report", l_report, "run:report()", "report.html, report.json and the model card, from the run folder alone.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL}};
