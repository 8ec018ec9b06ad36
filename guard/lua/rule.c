/* rule.c - a row as a rule sees it, and calling a rule on every row.
 *
 * Reads: handles.h.   Why: rules are Lua functions over columns. A row is one userdata, moved along the corpus, dead
 * after the call; an unknown column raises with the nearest name; a column without value reads as nil (NUM, BOOL) or ""
 * (STR).
 */
#include "guard/lua/handles.h"
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROW_TYPE "row"

typedef struct {
    const guard_corpus *c; /* NULL: expired */
    size_t i;
    bool probe; /* plan pass: every column has a harmless value */
} row_view;

static int push_text(lua_State *L, guard_text t)
{
    if (t.s == NULL) lua_pushliteral(L, "");
    else lua_pushlstring(L, t.s, t.n);
    return 1;
}

/* Pushes a field of the row itself; false when name is none. */
static bool push_field(lua_State *L, const row_view *v, const char *name)
{
    static const guard_row probe = {.id = "probe", .label = GUARD_UNSAFE};
    const guard_row *r = v->probe ? &probe : &v->c->row[v->i];
    guard_text t = {NULL, 0};
    if (!guard_row_field(&t, r, name)) return false;
    if (strcmp(name, "label") == 0) {
        if (r->label == GUARD_LABEL_NONE) lua_pushnil(L);
        else lua_pushinteger(L, r->label);
    } else if (v->probe) {
        lua_pushliteral(L, "probe");
    } else {
        push_text(L, t);
    }
    return true;
}

static void push_column(lua_State *L, const row_view *v, const guard_column *col)
{
    if (col->kind == GUARD_COL_STR) {
        if (v->probe) lua_pushliteral(L, "");
        else push_text(L, col->str[v->i]);
        return;
    }
    const double value = v->probe ? 0.5 : col->num[v->i];
    if (isnan(value)) lua_pushnil(L);
    else if (col->kind == GUARD_COL_BOOL) lua_pushboolean(L, value != 0.0);
    else lua_pushnumber(L, value);
}

static int raise_unknown(lua_State *L, const row_view *v, const char *name)
{
    const char *names[GUARD_ROW_FIELDS + 64];
    size_t n = 0;
    for (; guard_row_fields[n] != NULL; n++) names[n] = guard_row_fields[n];
    for (size_t i = 0; i < v->c->n_col && i < 64; i++) names[n++] = v->c->col[i].name;
    const char *near = guard_nearest(name, names, n);
    return near != NULL ? luaL_error(L, "row.%s: no such column, did you mean '%s'?", name, near)
                        : luaL_error(L, "row.%s: no such column", name);
}

/* stack: row name -> value */
static int l_row_index(lua_State *L)
{
    const row_view *v = luaL_checkudata(L, 1, ROW_TYPE);
    const char *name = luaL_checkstring(L, 2);
    if (v->c == NULL) return luaL_error(L, "row: expired; a row lives only while its rule runs");
    if (push_field(L, v, name)) return 1;
    const guard_column *col = guard_corpus_find(v->c, name);
    if (col == NULL) return raise_unknown(L, v, name);
    push_column(L, v, col);
    return 1;
}

static int l_row_newindex(lua_State *L)
{
    lua_push_text(L, 2);
    return luaL_error(L, "row.%s: rows are read-only; a rule returns its verdict", lua_tostring(L, -1));
}

void lua_rows_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__index", l_row_index}, {"__newindex", l_row_newindex}, {NULL, NULL}};
    luaL_newmetatable(L, ROW_TYPE);
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* --- calling ------------------------------------------------------------------------------ */

int lua_rule_enter(lua_State *L, int fn, lua_CFunction body, void *ctx)
{
    lua_host *h = lua_host_of(L);
    fn = lua_absindex(L, fn);
    lua_pushcfunction(L, body); /* none of these three allocates, so nothing raises outside of the call */
    lua_pushlightuserdata(L, ctx);
    lua_pushvalue(L, fn);
    h->in_rule++;
    const int status = lua_pcall(L, 2, 0, 0);
    h->in_rule--;
    return status;
}

/* One walk over rows. `i` and `view` tell the caller where it stood when it raised. */
typedef struct {
    const guard_corpus *c;
    bool probe;
    bool *keep;             /* verdicts wanted, or NULL */
    double *value;          /* numbers wanted, or NULL */
    lua_rule_fn take;       /* called with what the function returned, or NULL */
    void *ctx;
    guard_corpus *annotate; /* gets kept and reason, or NULL */
    size_t kept, reason;    /* their columns */
    size_t i;
    row_view *view;
    const char *problem; /* with what the rule returned */
    const char *type;    /* of that */
    nn_status st;        /* of annotating */
    nn_err *err;
} rule_walk;

/* stack: ... verdict reason -> the same */
static bool take_verdict(lua_State *L, rule_walk *w)
{
    const int type = lua_type(L, -2);
    w->type = lua_typename(L, type);
    w->problem = type != LUA_TBOOLEAN && type != LUA_TNIL ? "want true or false" : NULL;
    if (w->problem != NULL) return false;
    w->keep[w->i] = lua_toboolean(L, -2);
    if (w->annotate == NULL) return true;
    guard_column *col = w->annotate->col;
    col[w->kept].num[w->i] = w->keep[w->i] ? 1.0 : 0.0;
    if (lua_type(L, -1) != LUA_TSTRING) return true;
    const char *reason = lua_tostring(L, -1);
    w->st = guard_corpus_set_str(w->annotate, &col[w->reason], w->i, reason, strlen(reason), w->err);
    return w->st == NN_OK;
}

/* stack: ... number any -> the same */
static bool take_number(lua_State *L, rule_walk *w)
{
    w->type = luaL_typename(L, -2);
    w->value[w->i] = lua_tonumber(L, -2);
    w->problem = lua_type(L, -2) != LUA_TNUMBER || !isfinite(w->value[w->i]) ? "want a finite number" : NULL;
    return w->problem == NULL;
}

/* stack: walk rule -> ; protected */
static int walk_body(lua_State *L)
{
    rule_walk *w = lua_touserdata(L, 1);
    row_view *v = lua_newuserdatauv(L, sizeof *v, 0);
    v->c = w->c;
    v->i = 0;
    v->probe = w->probe;
    luaL_setmetatable(L, ROW_TYPE);
    w->view = v;
    const size_t n = w->probe ? 1 : w->c->n;
    for (w->i = 0; w->i < n; w->i++) {
        v->i = w->i;
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_call(L, 1, 2);
        if (w->keep != NULL && !take_verdict(L, w)) break;
        if (w->value != NULL && !take_number(L, w)) break;
        if (w->take != NULL && (w->st = w->take(L, w->ctx, w->i, w->err)) != NN_OK) break;
        lua_settop(L, 3);
    }
    v->c = NULL;
    return 0;
}

static nn_status walk(lua_State *L, int fn, const char *name, rule_walk *w)
{
    char where[128];
    w->st = NN_OK;
    w->view = NULL;
    w->problem = NULL;
    w->i = 0;
    const int status = lua_rule_enter(L, fn, walk_body, w);
    if (status != LUA_OK && w->view != NULL) w->view->c = NULL; /* no collection between the raise and here */
    if (w->probe) snprintf(where, sizeof where, "rule '%.48s', probe row: ", name);
    else snprintf(where, sizeof where, "rule '%.48s', row %s: ", name, w->i < w->c->n ? w->c->row[w->i].id : "none");
    if (status != LUA_OK) return lua_host_caught(L, status, where, w->err);
    if (w->problem != NULL) return nn_fail(w->err, NN_CONTENT, "%sreturned a %s, %s", where, w->type, w->problem);
    return w->st;
}

nn_status lua_rule_bool(lua_State *L, int fn, const char *name, const guard_corpus *c, bool *keep,
                        guard_corpus *annotate, const char *stage, nn_err *err)
{
    rule_walk w = {.c = c, .keep = keep, .annotate = annotate, .err = err};
    guard_column *kept = NULL, *reason = NULL;
    nn_status st = NN_OK;
    if (annotate != NULL) {
        st = guard_corpus_column(annotate, "kept", stage, GUARD_COL_BOOL, &kept, err);
        if (st == NN_OK) w.kept = (size_t)(kept - annotate->col);
        if (st == NN_OK) st = guard_corpus_column(annotate, "reason", stage, GUARD_COL_STR, &reason, err);
        if (st == NN_OK) w.reason = (size_t)(reason - annotate->col);
    }
    return st == NN_OK ? walk(L, fn, name, &w) : st;
}

nn_status lua_rule_number(lua_State *L, int fn, const char *name, const guard_corpus *c, double *value, nn_err *err)
{
    rule_walk w = {.c = c, .value = value, .err = err};
    return walk(L, fn, name, &w);
}

nn_status lua_rule_probe(lua_State *L, int fn, const char *name, const guard_corpus *c, nn_err *err)
{
    rule_walk w = {.c = c, .probe = true, .err = err};
    return walk(L, fn, name, &w);
}

nn_status lua_rule_each(lua_State *L, int fn, const char *name, const guard_corpus *c, bool probe, lua_rule_fn take,
                        void *ctx, nn_err *err)
{
    rule_walk w = {.c = c, .probe = probe, .take = take, .ctx = ctx, .err = err};
    return walk(L, fn, name, &w);
}
