/* rule.c - a row as a rule sees it, and calling a rule on every row.
 *
 * Reads: handles.h.   Why: rules are Lua functions over columns. A row is one userdata, moved along the corpus, dead after the call; an unknown
 * column raises with the nearest name; a column without value reads as nil (NUM, BOOL) or "" (STR).
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
    bool probe;            /* plan pass: every column has a harmless value */
} row_view;

static const char *const field_names[] = {"id", "text", "response", "context", "label", "category", "lang", "source", "concept", "parents", "ops"};
enum { N_FIELDS = sizeof field_names / sizeof *field_names };

static int push_text(lua_State *L, guard_text t)
{
    if (t.s == NULL) lua_pushliteral(L, "");
    else lua_pushlstring(L, t.s, t.n);
    return 1;
}

/* Pushes a field of the row itself; false when name is none. */
static bool push_field(lua_State *L, const row_view *v, const char *name)
{
    size_t f = 0;
    while (f < N_FIELDS && strcmp(field_names[f], name) != 0) f++;
    if (f == N_FIELDS) return false;
    if (v->probe) {
        if (strcmp(name, "label") == 0) lua_pushinteger(L, 1);
        else lua_pushliteral(L, "probe");
        return true;
    }
    const guard_row *r = &v->c->row[v->i];
    const guard_text text[] = {{r->id, strlen(r->id)}, r->text, r->response, r->context, {NULL, 0}, r->category, r->lang, r->source, r->concept,
                               r->parents, r->ops};
    if (strcmp(name, "label") != 0) push_text(L, text[f]);
    else if (r->label == GUARD_LABEL_NONE) lua_pushnil(L);
    else lua_pushinteger(L, r->label);
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
    const char *names[N_FIELDS + 64];
    size_t n = 0;
    for (size_t i = 0; i < N_FIELDS; i++) names[n++] = field_names[i];
    for (size_t i = 0; i < v->c->n_col && n < N_FIELDS + 64; i++) names[n++] = v->c->col[i].name;
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
    return luaL_error(L, "row.%s: rows are read-only; a rule returns its verdict", luaL_tolstring(L, 2, NULL));
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

static row_view *push_row(lua_State *L, const guard_corpus *c, bool probe)
{
    row_view *v = lua_newuserdatauv(L, sizeof *v, 0);
    v->c = c;
    v->i = 0;
    v->probe = probe;
    luaL_setmetatable(L, ROW_TYPE);
    return v;
}

/* Calls fn(row) with `want` results on top of the stack. */
static nn_status call_rule(lua_State *L, int fn, int row, int want, const char *name, const row_view *v, nn_err *err)
{
    lua_host *h = lua_host_of(L);
    lua_pushvalue(L, fn);
    lua_pushvalue(L, row);
    h->raised = NN_OK;
    if (lua_pcall(L, 1, want, 0) == LUA_OK) return NN_OK;
    const nn_status st = h->raised != NN_OK ? h->raised : NN_CONTENT;
    const char *text = lua_tostring(L, -1);
    (void)nn_fail(err, st, "rule '%s', %s: %s", name, v->probe ? "probe row" : v->c->row[v->i].id, text != NULL ? text : "an error without text");
    lua_pop(L, 1);
    return st;
}

static nn_status annotate_row(guard_corpus *c, size_t i, const char *stage, bool keep, const char *reason, nn_err *err)
{
    guard_column *col = NULL;
    nn_status st = NN_OK;
    if (guard_corpus_find(c, "kept") == NULL) st = guard_corpus_column(c, "kept", stage, GUARD_COL_BOOL, &col, err);
    if (st == NN_OK && guard_corpus_find(c, "reason") == NULL) st = guard_corpus_column(c, "reason", stage, GUARD_COL_STR, &col, err);
    if (st != NN_OK) return st;
    for (size_t k = 0; k < c->n_col; k++) {
        if (strcmp(c->col[k].name, "kept") == 0) c->col[k].num[i] = keep ? 1.0 : 0.0;
        else if (strcmp(c->col[k].name, "reason") == 0 && reason != NULL)
            st = guard_corpus_set_str(c, &c->col[k], i, reason, strlen(reason), err);
    }
    return st;
}

nn_status lua_rule_bool(lua_State *L, int fn, const char *name, const guard_corpus *c, bool *keep, guard_corpus *annotate, const char *stage,
                        nn_err *err)
{
    const int top = lua_gettop(L);
    nn_status st = NN_OK;
    fn = lua_absindex(L, fn);
    row_view *v = push_row(L, c, false);
    for (v->i = 0; v->i < c->n && st == NN_OK; v->i++) {
        if ((st = call_rule(L, fn, top + 1, 2, name, v, err)) != NN_OK) break;
        const int type = lua_type(L, -2);
        if (type != LUA_TBOOLEAN && type != LUA_TNIL) {
            st = nn_fail(err, NN_CONTENT, "rule '%s', %s: returned a %s, want true or false", name, c->row[v->i].id, lua_typename(L, type));
            break;
        }
        keep[v->i] = lua_toboolean(L, -2);
        if (annotate != NULL) {
            const char *reason = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
            st = annotate_row(annotate, v->i, stage, keep[v->i], reason, err);
        }
        lua_pop(L, 2);
    }
    v->c = NULL;
    lua_settop(L, top);
    return st;
}

nn_status lua_rule_number(lua_State *L, int fn, const char *name, const guard_corpus *c, double *value, nn_err *err)
{
    const int top = lua_gettop(L);
    nn_status st = NN_OK;
    fn = lua_absindex(L, fn);
    row_view *v = push_row(L, c, false);
    for (v->i = 0; v->i < c->n && st == NN_OK; v->i++) {
        if ((st = call_rule(L, fn, top + 1, 1, name, v, err)) != NN_OK) break;
        value[v->i] = lua_tonumber(L, -1);
        if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(value[v->i]))
            st = nn_fail(err, NN_CONTENT, "rule '%s', %s: returned no finite number", name, c->row[v->i].id);
        lua_pop(L, 1);
    }
    v->c = NULL;
    lua_settop(L, top);
    return st;
}

nn_status lua_rule_probe(lua_State *L, int fn, const char *name, const guard_corpus *c, nn_err *err)
{
    const int top = lua_gettop(L);
    fn = lua_absindex(L, fn);
    row_view *v = push_row(L, c, true);
    const nn_status st = call_rule(L, fn, top + 1, 1, name, v, err);
    v->c = NULL;
    lua_settop(L, top);
    return st;
}
