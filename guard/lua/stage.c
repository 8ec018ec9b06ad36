/* stage.c - see stage.h. */
#include "guard/lua/stage.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

void lua_stage_args(lua_State *L, int idx, const char *what)
{
    lua_host *h = lua_host_of(L);
    guard_buf_clear(&h->args);
    guard_buf_str(&h->args, "[");
    guard_json_str(&h->args, what != NULL ? what : "", what != NULL ? strlen(what) : 0);
    guard_buf_str(&h->args, ",");
    lua_args_json(L, idx, &h->args);
    guard_buf_str(&h->args, "]");
    nn_err err = {0};
    if (guard_buf_status(&h->args, &err) != NN_OK) lua_host_raise(L, &err);
}

nn_status lua_stage_begin(lua_stage *s, lua_host *h, const char *name, const char *const *hash, size_t n_hash,
                          nn_err *err)
{
    memset(s, 0, sizeof *s);
    s->h = h;
    if (h->in_rule > 0)
        return nn_fail(err, NN_CONTENT, "%s: a stage inside a rule, want rules that only look at rows", name);
    lua_gc(h->L, LUA_GCCOLLECT,
           0); /* handles nobody holds give back their corpora and models, which Lua cannot weigh */
    const nn_status st = guard_run_stage_begin(h->run, &s->s, name, h->args.bytes, hash, n_hash, err);
    if (st != NN_OK) return st;
    snprintf(s->stream, sizeof s->stream, "%02u.%s", (unsigned)s->s.ordinal, name);
    guard_run_job(h->run, &s->s, &s->job);
    s->job.exec = &h->exec;
    s->job.seed = h->seed;
    s->job.stream = s->stream;
    s->job.progress = lua_progress;
    if (s->s.finished)
        s->job.tokens_used = guard_run_stage_tokens(h->run, &s->s); /* a resumed run prints the same sums */
    s->started = nn_now_s();
    lua_progress_stage(h, name, s->s.finished);
    return NN_OK;
}

nn_status lua_stage_path(lua_stage *s, const char *kind, const char *suffix, char **path, char sha256[65], nn_err *err)
{
    NN_ASSERT(s->n_output < LUA_STAGE_OUTPUTS);
    char *out = s->output[s->n_output];
    nn_status st = NN_OK;
    sha256[0] = '\0';
    if (s->s.finished)
        st = guard_run_stage_output(s->h->run, &s->s, s->n_output, out, sizeof s->output[0], sha256, err);
    else guard_run_path(s->h->run, &s->s, kind, suffix, out, sizeof s->output[0]);
    if (st == NN_OK) s->n_output++;
    *path = out;
    return st;
}

const char *lua_stage_fixed(lua_stage *s, const char *name)
{
    NN_ASSERT(s->n_output < LUA_STAGE_OUTPUTS);
    char *out = s->output[s->n_output++];
    snprintf(out, sizeof s->output[0], "%s/%s", guard_run_dir(s->h->run), name);
    return out;
}

nn_status lua_stage_corpus(lua_stage *s, corpus_box *box, const char *suffix, nn_err *err)
{
    char name[64], *path = NULL;
    snprintf(name, sizeof name, "%s.jsonl", suffix);
    nn_status st = lua_stage_path(s, "corpus", name, &path, box->hash, err);
    if (st != NN_OK) return st;
    st = s->s.finished ? guard_corpus_read(&box->c, path, err) : guard_corpus_write(box->c, path, box->hash, err);
    if (st == NN_OK) box->rows = box->c->n;
    return st;
}

nn_status lua_stage_kept(lua_stage *s, corpus_box *box, const char *rule, nn_err *err)
{
    nn_status st = lua_stage_corpus(s, box, "", err);
    if (st != NN_OK) return st;
    const guard_column *kept = guard_corpus_find(box->c, "kept");
    size_t *pick = NULL, n = 0;
    if ((st = nn_alloc((void **)&pick, box->c->n + 1, sizeof *pick, err)) != NN_OK) return st;
    for (size_t i = 0; i < box->c->n; i++)
        if (kept == NULL || kept->num[i] > 0.0) pick[n++] = i;
    guard_corpus *picked = NULL;
    if (!s->s.finished) st = guard_run_rule(s->h->run, &s->s, rule, n, box->c->n - n, err);
    if (st == NN_OK) st = guard_corpus_pick(&picked, box->c, pick, n, err);
    nn_free(pick);
    if (st != NN_OK) return st;
    guard_corpus_free(box->c);
    box->c = picked;
    box->rows = n;
    return NN_OK;
}

void lua_budget_use(lua_host *h, const char *budget, uint64_t tokens)
{
    for (size_t i = 0; budget != NULL && i < h->n_budget; i++)
        if (strcmp(h->budget[i].name, budget) == 0) h->budget[i].used += tokens;
}

nn_status lua_stage_end(lua_stage *s, const char *note, nn_err *err)
{
    const char *output[LUA_STAGE_OUTPUTS];
    const double seconds = nn_now_s() - s->started;
    nn_status st = NN_OK;
    for (size_t i = 0; i < s->n_output; i++) output[i] = s->output[i];
    if (!s->s.finished) {
        st = guard_run_stage_end(s->h->run, &s->s, output, s->n_output, note, s->job.tokens_used, err);
        if (st == NN_OK) st = guard_run_timing(s->h->run, &s->s, seconds, s->job.tokens_used, err);
    }
    lua_budget_use(s->h, s->budget, s->job.tokens_used);
    lua_progress_end(s->h, seconds, s->job.tokens_used);
    return st;
}

/* --- the plan ----------------------------------------------------------------------------- */
static host_budget *find_budget(lua_host *h, const char *name)
{
    for (size_t i = 0; i < h->n_budget; i++)
        if (strcmp(h->budget[i].name, name) == 0) return &h->budget[i];
    return NULL;
}

void lua_plan_add(lua_State *L, const char *name, const char *detail, const char *budget, uint64_t tokens,
                  uint64_t rows, size_t params, size_t bytes)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    if (h->in_rule > 0) luaL_error(L, "%s: a stage inside a rule, want rules that only look at rows", name);
    if (nn_grow((void **)&h->plan.stage, &h->plan.cap, h->plan.n + 1, sizeof *h->plan.stage, &err) != NN_OK)
        lua_host_raise(L, &err);
    host_plan_stage *s = &h->plan.stage[h->plan.n++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->detail, sizeof s->detail, "%s", detail != NULL ? detail : "");
    s->tokens = tokens;
    s->rows = rows;
    s->params = params;
    s->bytes = bytes;
    if (budget == NULL) return;
    host_budget *b = find_budget(h, budget);
    if (b == NULL)
        luaL_error(L, "%s: budget '%s' is not declared, want a name in parapet.run{ tokens = {...} }", name, budget);
    s->budget = b->name;
    b->planned += tokens;
    if (b->planned > b->declared)
        luaL_error(L, "%s: budget '%s' is overdrawn: %I tokens planned, %I declared", name, budget,
                   (LUAI_UACINT)b->planned, (LUAI_UACINT)b->declared);
}
