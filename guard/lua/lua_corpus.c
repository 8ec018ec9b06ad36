/* lua_corpus.c - methods of a corpus: split, where, column, concat, sample, count. Each but count is a stage with a
 * file and a ledger entry.
 *
 * Reads: stage.h.   Read next: lua_run.c.
 */
#include "guard/lua/lua_api.h"
#include "nn/arena.h"
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A corpus of no rows with the columns of `c`: what the plan pass hands on. */
void lua_plan_corpus(lua_State *L, corpus_box *out, const guard_corpus *c, uint64_t rows)
{
    nn_err err = {0};
    if (guard_corpus_pick(&out->c, c, NULL, 0, &err) != NN_OK) lua_host_raise(L, &err);
    out->rows = rows;
}

void lua_plan_column(lua_State *L, guard_corpus *c, const char *name, const char *stage, guard_col_kind kind)
{
    guard_column *col = NULL;
    nn_err err = {0};
    if (guard_corpus_column(c, name, stage, kind, &col, &err) != NN_OK) lua_host_raise(L, &err);
}

void lua_plan_kept(lua_State *L, guard_corpus *c, const char *stage)
{
    lua_plan_column(L, c, "kept", stage, GUARD_COL_BOOL);
    lua_plan_column(L, c, "reason", stage, GUARD_COL_STR);
}

void lua_need_column(lua_State *L, const char *what, const guard_corpus *c, const char *name)
{
    const char *names[64];
    size_t n = 0;
    if (name == NULL || guard_corpus_find(c, name) != NULL) return;
    for (; n < c->n_col && n < sizeof names / sizeof *names; n++) names[n] = c->col[n].name;
    const char *near = guard_nearest(name, names, n);
    if (near != NULL) luaL_error(L, "%s: no column '%s' in the corpus, did you mean '%s'?", what, name, near);
    luaL_error(L, "%s: no column '%s' in the corpus", what, name);
}

/* --- split -------------------------------------------------------------------------------- */
static const lua_arg split_args[] = {{"by", ARG_STRING, 0, 0, "concept", "what stays together: 'concept' or 'id'"},
                                     {"parts", ARG_TABLE, 0, 0, NULL, "shares that sum to 1, e.g. {0.6, 0.2, 0.2}"},
                                     {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

static size_t read_parts(lua_State *L, int idx, double parts[LUA_STAGE_OUTPUTS])
{
    double sum = 0.0;
    lua_args_push(L, idx, "parts");
    const size_t n = lua_rawlen(L, -1);
    if (n < 2 || n > LUA_STAGE_OUTPUTS) luaL_error(L, "split.parts: %d parts, want 2 to %d", (int)n, LUA_STAGE_OUTPUTS);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        parts[i] = lua_tonumber(L, -1);
        if (!(parts[i] > 0.0)) luaL_error(L, "split.parts[%d]: want a share above 0", (int)i + 1);
        sum += parts[i];
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    if (fabs(sum - 1.0) > 1e-9) luaL_error(L, "split.parts: they sum to %f, want 1", sum);
    return n;
}

static nn_status split_stage(lua_host *h, corpus_box *const *out, const corpus_box *in, const char *by,
                             const double *parts, size_t n, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash};
    guard_corpus *part[LUA_STAGE_OUTPUTS] = {NULL};
    nn_status st = lua_stage_begin(&s, h, "split", hash, 1, err);
    if (st == NN_OK && !s.s.finished) st = guard_corpus_split(part, in->c, by, parts, n, h->seed, err);
    for (size_t i = 0; i < n; i++) out[i]->c = part[i];
    for (size_t i = 0; i < n && st == NN_OK; i++) {
        char suffix[16];
        snprintf(suffix, sizeof suffix, "_%u", (unsigned)(i + 1));
        st = lua_stage_corpus(&s, out[i], suffix, err);
    }
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: corpus options -> part1 part2 ... */
static int l_split(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    const corpus_box *in = lua_check_corpus(L, 1);
    double parts[LUA_STAGE_OUTPUTS];
    corpus_box *out[LUA_STAGE_OUTPUTS];
    nn_err err = {0};
    lua_settop(L, 2);
    lua_args_check(L, 2, split_args, "split");
    const char *by = lua_args_string(L, 2, split_args, "by");
    const size_t n = read_parts(L, 2, parts);
    if (strcmp(by, "concept") != 0 && strcmp(by, "id") != 0)
        luaL_error(L, "split.by: '%s', want 'concept' or 'id'", by);
    lua_stage_args(L, 2, NULL);
    for (size_t i = 0; i < n; i++) out[i] = lua_push_corpus(L);
    if (h->o.planning) {
        for (size_t i = 0; i < n; i++) lua_plan_corpus(L, out[i], in->c, (uint64_t)((double)in->rows * parts[i]));
        lua_plan_add(L, "split", by, NULL, 0, in->rows, 0, 0);
    } else if (split_stage(h, out, in, by, parts, n, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return (int)n;
}

/* --- where -------------------------------------------------------------------------------- */
static nn_status where_work(lua_State *L, guard_corpus **out, const guard_corpus *in, const char *name,
                            const char *stage, nn_err *err)
{
    bool *keep = NULL;
    nn_status st = nn_alloc((void **)&keep, in->n, sizeof *keep, err);
    if (st == NN_OK) st = guard_corpus_copy(out, in, err);
    if (st == NN_OK) st = lua_rule_bool(L, 2, name, in, keep, *out, stage, err);
    nn_free(keep);
    return st;
}

static nn_status where_stage(lua_State *L, corpus_box *out, const corpus_box *in, const char *name, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash};
    nn_status st = lua_stage_begin(&s, lua_host_of(L), "where", hash, 1, err);
    if (st == NN_OK && !s.s.finished) st = where_work(L, &out->c, in->c, name, s.stream, err);
    if (st == NN_OK) st = lua_stage_kept(&s, out, name, err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: corpus rule name? -> corpus */
static int l_where(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    const corpus_box *in = lua_check_corpus(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    const char *name = luaL_optstring(L, 3, "where");
    nn_err err = {0};
    lua_settop(L, 3);
    lua_stage_args(L, 2, name);
    corpus_box *out = lua_push_corpus(L);
    if (h->o.planning) {
        if (lua_rule_probe(L, 2, name, in->c, &err) != NN_OK) return lua_host_raise(L, &err);
        lua_plan_corpus(L, out, in->c, in->rows);
        lua_plan_kept(L, out->c, "where");
        lua_plan_add(L, "where", name, NULL, 0, in->rows, 0, 0);
    } else if (where_stage(L, out, in, name, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- column: a rule that returns a number becomes a column -------------------------------- */
static nn_status column_work(lua_State *L, guard_corpus **out, const guard_corpus *in, const char *name,
                             const char *stage, nn_err *err)
{
    double *value = NULL;
    guard_column *col = NULL;
    nn_status st = nn_alloc((void **)&value, in->n, sizeof *value, err);
    if (st == NN_OK) st = lua_rule_number(L, 3, name, in, value, err);
    if (st == NN_OK) st = guard_corpus_copy(out, in, err);
    if (st == NN_OK) st = guard_corpus_column(*out, name, stage, GUARD_COL_NUM, &col, err);
    if (st == NN_OK && in->n > 0) memcpy(col->num, value, in->n * sizeof *value);
    nn_free(value);
    return st;
}

static nn_status column_stage(lua_State *L, corpus_box *out, const corpus_box *in, const char *name, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash};
    nn_status st = lua_stage_begin(&s, lua_host_of(L), "column", hash, 1, err);
    if (st == NN_OK && !s.s.finished) st = column_work(L, &out->c, in->c, name, s.stream, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: corpus name rule -> corpus */
static int l_column(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    const corpus_box *in = lua_check_corpus(L, 1);
    const char *name = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    nn_err err = {0};
    lua_settop(L, 3);
    luaL_argcheck(L, strlen(name) > 0 && strlen(name) < sizeof(((guard_column *)0)->name), 2,
                  "want a name of 1 to 47 bytes");
    lua_stage_args(L, 3, name);
    corpus_box *out = lua_push_corpus(L);
    if (h->o.planning) {
        if (lua_rule_probe(L, 3, name, in->c, &err) != NN_OK) return lua_host_raise(L, &err);
        lua_plan_corpus(L, out, in->c, in->rows);
        lua_plan_column(L, out->c, name, "column", GUARD_COL_NUM);
        lua_plan_add(L, "column", name, NULL, 0, in->rows, 0, 0);
    } else if (column_stage(L, out, in, name, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- concat, sample ----------------------------------------------------------------------- */
#define CONCAT_MAX 64

/* One after the other; each step frees the one before. */
static nn_status concat_work(guard_corpus **out, corpus_box *const *part, size_t n, nn_err *err)
{
    nn_status st = guard_corpus_concat(out, part[0]->c, part[1]->c, err);
    for (size_t i = 2; i < n && st == NN_OK; i++) {
        guard_corpus *both = NULL;
        st = guard_corpus_concat(&both, *out, part[i]->c, err);
        guard_corpus_free(*out);
        *out = both;
    }
    return st;
}

static nn_status concat_stage(lua_host *h, corpus_box *out, corpus_box *const *part, size_t n, nn_err *err)
{
    lua_stage s;
    const char *hash[CONCAT_MAX];
    for (size_t i = 0; i < n; i++) hash[i] = part[i]->hash;
    nn_status st = lua_stage_begin(&s, h, "concat", hash, n, err);
    if (st == NN_OK && !s.s.finished) st = concat_work(&out->c, part, n, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: a b ... -> corpus */
static int l_concat(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    corpus_box *part[CONCAT_MAX];
    const int n = lua_gettop(L);
    nn_err err = {0};
    luaL_argcheck(L, n >= 2 && n <= CONCAT_MAX, 2, "want 1 to 63 other corpora");
    for (int i = 0; i < n; i++) part[i] = lua_check_corpus(L, i + 1);
    lua_pushnil(L);
    lua_stage_args(L, n + 1, NULL);
    corpus_box *out = lua_push_corpus(L);
    if (h->o.planning) {
        if (concat_work(&out->c, part, (size_t)n, &err) != NN_OK) return lua_host_raise(L, &err);
        for (int i = 0; i < n; i++) out->rows += part[i]->rows;
        lua_plan_add(L, "concat", NULL, NULL, 0, out->rows, 0, 0);
    } else if (concat_stage(h, out, part, (size_t)n, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* n rows drawn without replacement, in their old order. */
static nn_status sample_work(guard_corpus **out, const guard_corpus *in, size_t n, uint64_t seed, const char *stream,
                             nn_err *err)
{
    size_t *order = NULL, kept = 0;
    bool *take = NULL;
    nn_status st = nn_alloc((void **)&order, in->n, sizeof *order, err);
    if (st == NN_OK) st = nn_alloc((void **)&take, in->n, sizeof *take, err);
    if (st == NN_OK) {
        nn_rng rng = nn_rng_at(seed, stream, 0);
        nn_rng_shuffle(&rng, order, in->n);
        for (size_t i = 0; i < in->n && i < n; i++) take[order[i]] = true;
        for (size_t i = 0; i < in->n; i++)
            if (take[i]) order[kept++] = i;
        st = guard_corpus_pick(out, in, order, kept, err);
    }
    nn_free(order);
    nn_free(take);
    return st;
}

static nn_status sample_stage(lua_host *h, corpus_box *out, const corpus_box *in, size_t n, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash};
    nn_status st = lua_stage_begin(&s, h, "sample", hash, 1, err);
    if (st == NN_OK && !s.s.finished) st = sample_work(&out->c, in->c, n, h->seed, s.stream, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: corpus n -> corpus */
static int l_sample(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    const corpus_box *in = lua_check_corpus(L, 1);
    const lua_Integer n = luaL_checkinteger(L, 2);
    nn_err err = {0};
    luaL_argcheck(L, n > 0, 2, "want a count above 0");
    lua_settop(L, 2);
    lua_stage_args(L, 2, NULL);
    corpus_box *out = lua_push_corpus(L);
    if (h->o.planning) {
        lua_plan_corpus(L, out, in->c, in->rows < (uint64_t)n ? in->rows : (uint64_t)n);
        lua_plan_add(L, "sample", NULL, NULL, 0, out->rows, 0, 0);
    } else if (sample_stage(h, out, in, (size_t)n, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- looking ------------------------------------------------------------------------------ */
/* stack: corpus -> number of rows; in the plan pass the estimate */
static int l_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lua_check_corpus(L, 1)->rows);
    return 1;
}

/* stack: corpus rule -> how many rows it is true for */
static int l_count(lua_State *L)
{
    const corpus_box *in = lua_check_corpus(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    nn_err err = {0};
    nn_status st = NN_OK;
    lua_Integer n = 0;
    if (lua_host_of(L)->o.planning) st = lua_rule_probe(L, 2, "count", in->c, &err);
    else {
        bool *keep = lua_newuserdatauv(L, in->c->n + 1, 0); /* Lua's memory: nothing to free when the rule raises */
        st = lua_rule_bool(L, 2, "count", in->c, keep, NULL, "", &err);
        for (size_t i = 0; st == NN_OK && i < in->c->n; i++) n += keep[i];
    }
    if (st != NN_OK) return lua_host_raise(L, &err);
    lua_pushinteger(L, n);
    return 1;
}

/* stack: corpus -> {names of columns} */
static int l_columns(lua_State *L)
{
    const corpus_box *in = lua_check_corpus(L, 1);
    lua_newtable(L);
    for (size_t i = 0; i < in->c->n_col; i++) {
        lua_pushstring(L, in->c->col[i].name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

const lua_fn lua_corpus_fns[] = {
    {"split", l_split, "corpus:split{ by = 'concept', parts = {..} } -> corpus, corpus, ...",
     "Parts whose keys never meet: what the test asks about was never seen in training.", split_args},
    {"where", l_where, "corpus:where(rule [, name]) -> corpus",
     "Rows for which rule(row) is true; its second result is the reason kept beside a dropped row.", NULL},
    {"column", l_column, "corpus:column(name, rule) -> corpus", "A new column with the number that rule(row) returns.",
     NULL},
    {"concat", l_concat, "corpus:concat(other, ...) -> corpus", "The rows of all; an id already there is skipped.",
     NULL},
    {"sample", l_sample, "corpus:sample(n) -> corpus", "n rows drawn by the run's seed, in their old order.", NULL},
    {"size", l_size, "corpus:size() -> number", "Rows; in the plan pass an estimate.", NULL},
    {"count", l_count, "corpus:count(rule) -> number", "Rows for which rule(row) is true.", NULL},
    {"columns", l_columns, "corpus:columns() -> {name, ...}", "Names of the columns that stages wrote.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
