/* sandbox.c - the globals a script sees: an allow-list, made deterministic.
 *
 * Reads: host.h, order.h.   Why each replacement stands at its function. The remedies are those of escapes that work on
 * a plain Lua 5.4 with a hook and a memory cap: endless loops behind pcall, in finalisers, in coroutines, in xpcall's
 * handler, and dumped bytecode. One is left: a pattern that backtracks for hours is a loop in C where no hook runs; the
 * second Ctrl-C ends it, and what was finished is saved.
 */
#include "guard/lua/host.h"
#include "guard/lua/order.h"
#include "nn/mathf.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

/* --- text of values: no addresses --------------------------------------------------------- */
static bool is_plain(int type)
{
    return type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
}

void lua_push_text(lua_State *L, int i)
{
    const int type = lua_type(L, i);
    if (is_plain(type)) {
        luaL_tolstring(L, i, NULL);
        return;
    }
    if (luaL_getmetafield(L, i, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
        luaL_tolstring(L, i, NULL);
        return;
    }
    const int name = luaL_getmetafield(L, i, "__name");
    if (name == LUA_TSTRING) return;
    if (name != LUA_TNIL) lua_pop(L, 1);
    lua_pushstring(L, lua_typename(L, type));
}

static int l_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_push_text(L, 1);
    return 1;
}

/* string.format with %s through push_text; %p is refused. upvalue: the original */
static int l_format(lua_State *L)
{
    size_t len;
    const char *fmt = luaL_checklstring(L, 1, &len);
    const int n = lua_gettop(L);
    for (size_t c = 0; c < len; c++) { /* by length: a format may hold zero bytes */
        if (fmt[c] != '%') continue;
        c++;
        while (c < len && fmt[c] != '\0' && strchr("-+ #0123456789.", fmt[c]) != NULL) c++;
        if (c < len && fmt[c] == 'p')
            return luaL_error(L, "string.format: %%p shows an address, which differs in every process");
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    for (int i = 3; i <= n + 1; i++) {
        if (is_plain(lua_type(L, i))) continue;
        lua_push_text(L, i);
        lua_replace(L, i);
    }
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

/* print goes to stderr: stdout belongs to results. Quiet in the plan pass, so that nothing is said twice. */
static int l_print(lua_State *L)
{
    const int n = lua_gettop(L);
    const lua_host *h = lua_host_of(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, '\t');
        lua_push_text(L, i);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    if (!h->o.planning && !h->o.quiet) lua_writestringerror("%s", lua_tostring(L, -1));
    return 0;
}

/* --- setmetatable without finalisers: a __gc that loops cannot be stopped, __mode shows the */
static int l_setmetatable(lua_State *L)
{
    static const char *const refused[] = {"__gc", "__mode", "__close"};
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "setmetatable: the metatable is locked");
    for (size_t i = 0; lua_istable(L, 2) && i < sizeof refused / sizeof *refused; i++) {
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "setmetatable: %s is not for scripts", refused[i]);
        lua_pop(L, 1);
    }
    lua_setmetatable(L, 1);
    return 1;
}

/* --- math on nn/mathf --------------------------------------------------------------------- */
static int l_exp(lua_State *L)
{
    lua_pushnumber(L, nn_exp(luaL_checknumber(L, 1)));
    return 1;
}
static int l_sin(lua_State *L)
{
    lua_pushnumber(L, nn_sin(luaL_checknumber(L, 1)));
    return 1;
}
static int l_cos(lua_State *L)
{
    lua_pushnumber(L, nn_cos(luaL_checknumber(L, 1)));
    return 1;
}
static int l_tanh(lua_State *L)
{
    lua_pushnumber(L, nn_tanh(luaL_checknumber(L, 1)));
    return 1;
}
static int l_pow(lua_State *L)
{
    lua_pushnumber(L, nn_pow(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
    return 1;
}
static int l_log(lua_State *L)
{
    const double x = nn_log(luaL_checknumber(L, 1));
    lua_pushnumber(L, lua_isnoneornil(L, 2) ? x : x / nn_log(luaL_checknumber(L, 2)));
    return 1;
}
static int l_no_random(lua_State *L)
{
    return luaL_error(L, "math.random depends on how often it was called; want parapet.draw(stream, key [, n]), a "
                         "function of its arguments");
}

/* --- what is copied from the standard libraries ------------------------------------------- */
static void copy_fields(lua_State *L, const char *from, const char *const *names)
{
    lua_newtable(L);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (from != NULL) lua_getglobal(L, from);
        else lua_pushglobaltable(L);
        lua_getfield(L, -1, names[i]);
        lua_setfield(L, -3, names[i]);
        lua_pop(L, 1);
    }
}

static const char *const base_names[] = {"assert", "error",  "getmetatable", "ipairs",   "pcall", "rawequal", "rawget",
                                         "rawlen", "rawset", "select",       "tonumber", "type",  "_VERSION", NULL};
static const char *const string_names[] = {"byte", "char",     "find", "gmatch",  "gsub", "len",    "lower", "match",
                                           "pack", "packsize", "rep",  "reverse", "sub",  "unpack", "upper", NULL};
static const char *const table_names[] = {"concat", "insert", "move", "pack", "remove", "unpack", NULL};
static const char *const math_names[] = {"abs",        "ceil", "floor",      "fmod", "huge", "max",
                                         "maxinteger", "min",  "mininteger", "modf", "pi",   "sqrt",
                                         "tointeger",  "type", "ult",        NULL};
static const char *const utf8_names[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};

static void open_standard(lua_State *L)
{
    luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
    luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
    luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
    luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
    luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 1);
    lua_settop(L, 0);
}

/* --- names that are not there ------------------------------------------------------------- */
static const char *const withheld[] = {"collectgarbage", "coroutine",  "debug", "dofile",  "dump", "io",    "load",
                                       "loadfile",       "loadstring", "os",    "package", "warn", "xpcall"};

/* stack: table key; raises with the nearest name. upvalue: what the table's names are */
static int l_unknown(lua_State *L)
{
    const char *names[128], *what = lua_tostring(L, lua_upvalueindex(1));
    size_t n = 0;
    if (lua_type(L, 2) != LUA_TSTRING) return luaL_error(L, "unknown %s of type %s", what, luaL_typename(L, 2));
    for (size_t i = 0; i < sizeof withheld / sizeof *withheld; i++)
        if (strcmp(lua_tostring(L, 2), withheld[i]) == 0)
            return luaL_error(L, "%s '%s' is not for scripts: an experiment cannot touch the machine", what,
                              withheld[i]);
    lua_pushnil(L);
    while (lua_next(L, 1) != 0 && n < sizeof names / sizeof *names) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) names[n++] = lua_tostring(L, -1);
    }
    const char *wrong = lua_tostring(L, 2), *near = guard_nearest(wrong, names, n);
    return near != NULL ? luaL_error(L, "unknown %s '%s', did you mean '%s'?", what, wrong, near)
                        : luaL_error(L, "unknown %s '%s'", what, wrong);
}

static int l_global_new(lua_State *L)
{
    lua_push_text(L, 2);
    return luaL_error(L, "global '%s' is not declared: write 'local %s'", lua_tostring(L, -1), lua_tostring(L, -1));
}

void lua_set_strict(lua_State *L, const char *what)
{
    lua_createtable(L, 0, 3);
    lua_pushstring(L, what);
    lua_pushcclosure(L, l_unknown, 1);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* The copied library `from` with our own functions in it, as a field of the environment. */
static void open_library(lua_State *L, int env, const char *from, const char *const *names, const luaL_Reg *own)
{
    char what[32];
    snprintf(what, sizeof what, "function of %s", from);
    copy_fields(L, from, names);
    if (own != NULL) luaL_setfuncs(L, own, 0);
    lua_set_strict(L, what);
    lua_setfield(L, env, from);
}

/* Methods of strings are those of the sandbox, and the metatable that all strings share is locked. */
static void open_strings(lua_State *L, int env)
{
    copy_fields(L, LUA_STRLIBNAME, string_names);
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, l_format, 1);
    lua_setfield(L, -3, "format");
    lua_pop(L, 1);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    lua_set_strict(L, "function of string");
    lua_setfield(L, env, LUA_STRLIBNAME);
}

void lua_sandbox_open(lua_State *L)
{
    static const luaL_Reg base_own[] = {{"next", lua_order_next}, {"pairs", lua_order_pairs},
                                        {"print", l_print},       {"setmetatable", l_setmetatable},
                                        {"tostring", l_tostring}, {NULL, NULL}};
    static const luaL_Reg table_own[] = {{"sort", lua_order_sort}, {NULL, NULL}};
    static const luaL_Reg math_own[] = {
        {"cos", l_cos}, {"exp", l_exp},   {"log", l_log},          {"pow", l_pow},
        {"sin", l_sin}, {"tanh", l_tanh}, {"random", l_no_random}, {"randomseed", l_no_random},
        {NULL, NULL}};
    open_standard(L);
    copy_fields(L, NULL, base_names);
    const int env = lua_gettop(L);
    luaL_setfuncs(L, base_own, 0);
    open_strings(L, env);
    open_library(L, env, LUA_TABLIBNAME, table_names, table_own);
    open_library(L, env, LUA_MATHLIBNAME, math_names, math_own);
    open_library(L, env, LUA_UTF8LIBNAME, utf8_names, NULL);

    lua_set_strict(L, "global");
    lua_getmetatable(L, env);
    lua_pushcfunction(L, l_global_new);
    lua_setfield(L, -2, "__newindex");
    lua_pop(L, 1);
    lua_pushvalue(L, env); /* the environment replaces the globals of the whole state */
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_settop(L, 0);
}
