/* args.c - see args.h. */
#include "guard/lua/args.h"
#include "guard/lua/host.h"
#include "guard/lua/order.h"
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static const lua_arg *find_row(const lua_arg *rows, const char *name)
{
    for (const lua_arg *r = rows; r->name != NULL; r++)
        if (strcmp(r->name, name) == 0) return r;
    return NULL;
}

static const char *kind_text(lua_arg_kind kind)
{
    static const char *const text[] = {"a number",   "a whole number", "a string",        "true or false",
                                       "a function", "a table",        "a stage's result", "a string or a list of parts",
                                       "a value"};
    return text[kind];
}

static bool kind_fits(lua_State *L, int i, lua_arg_kind kind)
{
    switch (kind) {
    case ARG_NUMBER: return lua_type(L, i) == LUA_TNUMBER;
    case ARG_INTEGER: {
        int whole = 0;
        (void)lua_tointegerx(L, i, &whole);
        return lua_type(L, i) == LUA_TNUMBER && whole != 0;
    }
    case ARG_STRING: return lua_type(L, i) == LUA_TSTRING;
    case ARG_BOOLEAN: return lua_isboolean(L, i);
    case ARG_FUNCTION: return lua_isfunction(L, i);
    case ARG_TABLE: return lua_istable(L, i);
    case ARG_ANY: return true;
    case ARG_TEXT: return lua_type(L, i) == LUA_TSTRING || lua_istable(L, i);
    default: return lua_isuserdata(L, i);
    }
}

/* One line more in the list of problems (lua_pushfstring's formats). */
static void problem(lua_State *L, int list, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    lua_pushvfstring(L, fmt, args);
    va_end(args);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

static void unknown_option(lua_State *L, int list, const lua_arg *rows, const char *what, const char *key)
{
    const char *names[64];
    size_t n = 0;
    for (const lua_arg *r = rows; r->name != NULL && n < 64; r++) names[n++] = r->name;
    const char *near = guard_nearest(key, names, n);
    if (near != NULL) problem(L, list, "%s.%s: unknown, did you mean '%s'?", what, key, near);
    else problem(L, list, "%s.%s: unknown option", what, key);
}

static void check_unknown(lua_State *L, int idx, int list, const lua_arg *rows, const char *what)
{
    const lua_Integer n_key = lua_order_keys(L, idx);
    const int keys = lua_gettop(L);
    for (lua_Integer i = 1; i <= n_key; i++) {
        lua_rawgeti(L, keys, i);
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        if (key == NULL) problem(L, list, "%s: a key that is not a name, want {name = value}", what);
        else if (find_row(rows, key) == NULL) unknown_option(L, list, rows, what, key);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void check_row(lua_State *L, int idx, int list, const lua_arg *r, const char *what)
{
    lua_getfield(L, idx, r->name);
    const int at = lua_gettop(L);
    if (lua_isnil(L, at)) {
        if (r->def == NULL) problem(L, list, "%s.%s: missing, want %s", what, r->name, kind_text(r->kind));
    } else if (!kind_fits(L, at, r->kind)) {
        problem(L, list, "%s.%s: a %s, want %s", what, r->name, luaL_typename(L, at), kind_text(r->kind));
    } else if (r->kind == ARG_STRING && strlen(lua_tostring(L, at)) != lua_rawlen(L, at)) {
        problem(L, list, "%s.%s: a zero byte, want a text without", what, r->name);
    } else if (r->kind == ARG_NUMBER || r->kind == ARG_INTEGER) {
        const double v = lua_tonumber(L, at);
        if (!(v >= r->min && v <= r->max))
            problem(L, list, "%s.%s: %f, want %f to %f", what, r->name, v, r->min, r->max);
    }
    lua_settop(L, at - 1);
}

/* Raises with all that is in the list, one a line. */
static void raise_problems(lua_State *L, int list)
{
    const lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1) luaL_addstring(&b, "\n");
        lua_rawgeti(L, list, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    luaL_error(L, "%s", lua_tostring(L, -1));
}

/* A plain copy takes the place of the table at idx, or of nil. */
static void take_copy(lua_State *L, int idx, const char *what)
{
    lua_newtable(L);
    if (lua_isnil(L, idx)) {
        lua_replace(L, idx);
        return;
    }
    if (!lua_istable(L, idx)) luaL_error(L, "%s: a %s, want a table", what, luaL_typename(L, idx));
    if (lua_getmetatable(L, idx)) luaL_error(L, "%s: a table with a metatable, want a plain one", what);
    lua_pushnil(L);
    while (lua_next(L, idx) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, idx);
}

void lua_args_check(lua_State *L, int idx, const lua_arg *rows, const char *what)
{
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 16, "no room for options");
    take_copy(L, idx, what);
    lua_newtable(L);
    const int list = lua_gettop(L);
    check_unknown(L, idx, list, rows, what);
    for (const lua_arg *r = rows; r->name != NULL; r++) check_row(L, idx, list, r, what);
    if (lua_rawlen(L, list) > 0) raise_problems(L, list);
    lua_settop(L, list - 1);
}

double lua_args_number(lua_State *L, int idx, const lua_arg *rows, const char *name)
{
    const lua_arg *r = find_row(rows, name);
    NN_ASSERT(r != NULL);
    const int type = lua_getfield(L, idx, name);
    const double v = type == LUA_TNIL ? strtod(r->def, NULL) : lua_tonumber(L, -1);
    lua_pop(L, 1);
    return v;
}

size_t lua_args_size(lua_State *L, int idx, const lua_arg *rows, const char *name)
{
    const double v = lua_args_number(L, idx, rows, name);
    return v > 0.0 ? (size_t)v : 0;
}

bool lua_args_boolean(lua_State *L, int idx, const lua_arg *rows, const char *name)
{
    const lua_arg *r = find_row(rows, name);
    NN_ASSERT(r != NULL);
    const bool v = lua_getfield(L, idx, name) == LUA_TNIL ? strcmp(r->def, "true") == 0 : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

const char *lua_args_string(lua_State *L, int idx, const lua_arg *rows, const char *name)
{
    const lua_arg *r = find_row(rows, name);
    NN_ASSERT(r != NULL);
    const char *v = lua_getfield(L, idx, name) == LUA_TNIL ? (strcmp(r->def, "-") == 0 ? NULL : r->def)
                                                           : lua_tostring(L, -1);
    lua_pop(L, 1);
    return v;
}

int lua_args_push(lua_State *L, int idx, const char *name) { return lua_getfield(L, idx, name); }

/* --- canonical JSON ----------------------------------------------------------------------- */
#define JSON_DEPTH 16 /* tables in tables; a table that holds itself ends here */

static void json_value(lua_State *L, int idx, guard_buf *out, int depth);

static void json_table(lua_State *L, int idx, guard_buf *out, int depth)
{
    if (depth == JSON_DEPTH) luaL_error(L, "options: tables nested more than %d deep", JSON_DEPTH);
    const lua_Integer n = lua_order_keys(L, idx);
    const int keys = lua_gettop(L);
    guard_buf_str(out, "{");
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, keys, i);
        guard_json_key(out, luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
        lua_rawget(L, idx);
        json_value(L, lua_gettop(L), out, depth + 1);
        lua_settop(L, keys);
    }
    guard_buf_str(out, "}");
    lua_settop(L, keys - 1);
}

static void json_value(lua_State *L, int idx, guard_buf *out, int depth)
{
    size_t n;
    const char *s;
    luaL_checkstack(L, 16, "options nested too deeply");
    switch (lua_type(L, idx)) {
    case LUA_TNIL: guard_json_null(out); return;
    case LUA_TBOOLEAN: guard_json_bool(out, lua_toboolean(L, idx)); return;
    case LUA_TNUMBER: guard_json_double(out, lua_tonumber(L, idx)); return;
    case LUA_TSTRING: break;
    case LUA_TTABLE: json_table(L, idx, out, depth); return;
    case LUA_TFUNCTION: guard_json_str(out, "function", 8); return;
    default: /* a handle: its hash */
        if (luaL_getmetafield(L, idx, "__hash") == LUA_TNIL)
            luaL_error(L, "options: a %s cannot be an option", luaL_typename(L, idx));
        lua_pushvalue(L, idx);
        lua_call(L, 1, 1);
        idx = lua_gettop(L);
    }
    s = lua_tolstring(L, idx, &n);
    guard_json_str(out, s, n);
}

void lua_args_json(lua_State *L, int idx, guard_buf *out)
{
    const int top = lua_gettop(L);
    json_value(L, lua_absindex(L, idx), out, 0);
    lua_settop(L, top);
}

void lua_fns_set(lua_State *L, const lua_fn *fns)
{
    for (; fns->name != NULL; fns++) {
        lua_pushcfunction(L, fns->fn);
        lua_setfield(L, -2, fns->name);
    }
}
