/* sandbox.c - the globals a script sees: an allow-list, made deterministic.
 *
 * Reads: host.h.   Why each replacement stands at its function. The remedies are those of five escapes that work on a plain
 * Lua 5.4 with a hook and a memory cap: endless loops behind pcall, in finalisers, in coroutines, in xpcall's handler, and dumped bytecode.
 */
#include "guard/lua/host.h"
#include "nn/mathf.h"
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

/* --- pairs, next: in sorted key order ------------------------------------------------------
 * Why: Lua's own order changes with the hash seed, that is with the process. */
static int key_rank(lua_State *L, int i)
{
    switch (lua_type(L, i)) {
    case LUA_TBOOLEAN: return 0;
    case LUA_TNUMBER: return 1;
    case LUA_TSTRING: return 2;
    default: return luaL_error(L, "pairs: a key of type %s has no order, want strings, numbers or booleans", luaL_typename(L, i));
    }
}

/* <0, 0, >0 for the keys at absolute indices a, b */
static int key_compare(lua_State *L, int a, int b)
{
    const int ra = key_rank(L, a), rb = key_rank(L, b);
    if (ra != rb) return ra - rb;
    if (ra == 0) return lua_toboolean(L, a) - lua_toboolean(L, b);
    if (ra == 1) return lua_compare(L, a, b, LUA_OPLT) ? -1 : lua_compare(L, b, a, LUA_OPLT);
    size_t la, lb;
    const char *sa = lua_tolstring(L, a, &la), *sb = lua_tolstring(L, b, &lb);
    const int c = memcmp(sa, sb, la < lb ? la : lb);
    return c != 0 ? c : (la > lb) - (la < lb);
}

typedef bool (*less_fn)(lua_State *L, int a, int b); /* values at absolute indices */

static bool less_key(lua_State *L, int a, int b) { return key_compare(L, a, b) < 0; }
static bool less_value(lua_State *L, int a, int b) { return lua_compare(L, a, b, LUA_OPLT); }
/* The comparator is at index 2 of the running function. */
static bool less_call(lua_State *L, int a, int b)
{
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    const bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* One merge of src[lo,mid) and src[mid,hi) into dst; src, dst are stack indices of sequences. Stable: equal keeps left first. */
static void merge(lua_State *L, int src, int dst, lua_Integer lo, lua_Integer mid, lua_Integer hi, less_fn less)
{
    lua_Integer i = lo, j = mid;
    for (lua_Integer k = lo; k < hi; k++) {
        bool right = i >= mid;
        if (i < mid && j < hi) {
            lua_rawgeti(L, src, j);
            lua_rawgeti(L, src, i);
            right = less(L, lua_gettop(L) - 1, lua_gettop(L));
            lua_pop(L, 2);
        }
        lua_rawgeti(L, src, right ? j++ : i++);
        lua_rawseti(L, dst, k);
    }
}

/* Stable merge sort of the sequence [1, n] at absolute index t (bottom-up). */
static void sort_sequence(lua_State *L, int t, lua_Integer n, less_fn less)
{
    lua_createtable(L, 0, 0);
    const int other = lua_gettop(L);
    int src = t, dst = other;

    for (lua_Integer width = 1; width < n; width *= 2) {
        for (lua_Integer lo = 1; lo <= n; lo += 2 * width) {
            const lua_Integer end = n + 1, mid = lo + width < end ? lo + width : end;
            merge(L, src, dst, lo, mid, lo + 2 * width < end ? lo + 2 * width : end, less);
        }
        const int swap = src;
        src = dst;
        dst = swap;
    }
    if (src != t)
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, src, i);
            lua_rawseti(L, t, i);
        }
    lua_settop(L, other - 1);
}

/* Pushes a sequence of the table's keys in order. */
static lua_Integer push_sorted_keys(lua_State *L, int t)
{
    lua_Integer n = 0;
    lua_newtable(L);
    const int keys = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, t) != 0) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, keys, ++n);
    }
    sort_sequence(L, keys, n, less_key);
    return n;
}

/* upvalues: keys, position.   stack: t k -> k' v' */
static int pairs_step(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
    for (;;) {
        lua_rawgeti(L, lua_upvalueindex(1), ++at);
        if (lua_isnil(L, -1)) return 1;
        lua_pushvalue(L, -1);
        lua_rawget(L, 1);
        if (!lua_isnil(L, -1)) break; /* a key removed during the walk is passed over */
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(2));
    return 2;
}

/* stack: t -> step t nil */
static int l_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    push_sorted_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_step, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* stack: t k? -> k' v' or nil; linear in the table: use pairs for walks */
static int l_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    const lua_Integer n = push_sorted_keys(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, i);
        if (lua_isnil(L, 2) || key_compare(L, lua_gettop(L), 2) > 0) {
            lua_pushvalue(L, -1);
            lua_rawget(L, 1);
            return 2;
        }
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    return 1;
}

/* table.sort(t [, less]): stable, so ties keep their order in every process. */
static int l_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const bool own = !lua_isnoneornil(L, 2);
    if (own) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    sort_sequence(L, 1, luaL_len(L, 1), own ? less_call : less_value);
    return 0;
}

/* --- text of values: no addresses --------------------------------------------------------- */
static void push_text(lua_State *L, int i)
{
    const int type = lua_type(L, i);
    const bool plain = type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING;
    if (plain || luaL_getmetafield(L, i, "__tostring") != LUA_TNIL) {
        if (!plain) lua_pop(L, 1);
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
    push_text(L, 1);
    return 1;
}

/* string.format with %s through push_text; %p is refused. upvalue: the original */
static int l_format(lua_State *L)
{
    const char *fmt = luaL_checkstring(L, 1);
    const int n = lua_gettop(L);
    for (const char *c = fmt; *c != '\0'; c++) {
        if (*c != '%') continue;
        c++;
        while (*c != '\0' && strchr("-+ #0123456789.", *c) != NULL) c++;
        if (*c == 'p') return luaL_error(L, "string.format: %%p shows an address, which differs in every process");
        if (*c == '\0') break;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    for (int i = 3; i <= n + 1; i++) {
        const int type = lua_type(L, i);
        if (type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TNIL || type == LUA_TBOOLEAN) continue;
        push_text(L, i);
        lua_replace(L, i);
    }
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

/* print goes to stderr: stdout belongs to results. Quiet in the plan pass, so that nothing is said twice. */
static int l_print(lua_State *L)
{
    const int n = lua_gettop(L);
    luaL_Buffer b;
    lua_host *h = lua_host_of(L);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, '\t');
        push_text(L, i);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    if (!h->o.planning && !h->o.quiet) lua_writestringerror("%s", lua_tostring(L, -1));
    return 0;
}

/* --- setmetatable without finalisers: a __gc that loops cannot be stopped, __mode shows the collector ------ */
static int l_setmetatable(lua_State *L)
{
    static const char *const refused[] = {"__gc", "__mode", "__close"};
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "setmetatable: the metatable is locked");
    for (size_t i = 0; lua_istable(L, 2) && i < sizeof refused / sizeof *refused; i++) {
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "setmetatable: %s is not for scripts", refused[i]);
        lua_pop(L, 1);
    }
    lua_setmetatable(L, 1);
    return 1;
}

/* --- math on nn/mathf ---------------------------------------------------------------------- */
static int l_exp(lua_State *L) { lua_pushnumber(L, nn_exp(luaL_checknumber(L, 1))); return 1; }
static int l_sin(lua_State *L) { lua_pushnumber(L, nn_sin(luaL_checknumber(L, 1))); return 1; }
static int l_cos(lua_State *L) { lua_pushnumber(L, nn_cos(luaL_checknumber(L, 1))); return 1; }
static int l_tanh(lua_State *L) { lua_pushnumber(L, nn_tanh(luaL_checknumber(L, 1))); return 1; }
static int l_pow(lua_State *L) { lua_pushnumber(L, nn_pow(luaL_checknumber(L, 1), luaL_checknumber(L, 2))); return 1; }
static int l_log(lua_State *L)
{
    const double x = nn_log(luaL_checknumber(L, 1));
    lua_pushnumber(L, lua_isnoneornil(L, 2) ? x : x / nn_log(luaL_checknumber(L, 2)));
    return 1;
}
static int l_no_random(lua_State *L)
{
    return luaL_error(L, "math.random depends on how often it was called; want parapet.draw(stream, key [, n]), a function of its arguments");
}

/* --- what is copied from the standard libraries --------------------------------------------- */
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

static const char *const base_names[] = {"assert", "error", "getmetatable", "ipairs", "pcall", "rawequal", "rawget", "rawlen",
                                         "rawset", "select", "tonumber", "type", "_VERSION", NULL};
static const char *const string_names[] = {"byte", "char", "find", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize",
                                           "rep", "reverse", "sub", "unpack", "upper", NULL};
static const char *const table_names[] = {"concat", "insert", "move", "pack", "remove", "unpack", NULL};
static const char *const math_names[] = {"abs", "ceil", "floor", "fmod", "huge", "max", "maxinteger", "min", "mininteger", "modf",
                                         "pi", "sqrt", "tointeger", "type", "ult", NULL};
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

/* A misspelt global is an error with the nearest name; so is making one. */
static int l_global_unknown(lua_State *L)
{
    const char *names[128];
    size_t n = 0;
    const char *wrong = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    lua_pushnil(L);
    while (lua_next(L, 1) != 0 && n < 128) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) names[n++] = lua_tostring(L, -1);
    }
    const char *near = guard_nearest(wrong, names, n);
    return near != NULL ? luaL_error(L, "unknown global '%s', did you mean '%s'?", wrong, near)
                        : luaL_error(L, "unknown global '%s'", wrong);
}
static int l_global_new(lua_State *L)
{
    return luaL_error(L, "global '%s' is not declared: write 'local %s'", luaL_tolstring(L, 2, NULL), luaL_tolstring(L, 2, NULL));
}

void lua_sandbox_open(lua_State *L)
{
    static const luaL_Reg base_own[] = {{"next", l_next}, {"pairs", l_pairs}, {"print", l_print}, {"setmetatable", l_setmetatable},
                                        {"tostring", l_tostring}, {NULL, NULL}};
    static const luaL_Reg math_own[] = {{"cos", l_cos}, {"exp", l_exp}, {"log", l_log}, {"pow", l_pow}, {"sin", l_sin}, {"tanh", l_tanh},
                                        {"random", l_no_random}, {"randomseed", l_no_random}, {NULL, NULL}};
    open_standard(L);
    copy_fields(L, NULL, base_names);
    const int env = lua_gettop(L);
    luaL_setfuncs(L, base_own, 0);

    copy_fields(L, LUA_STRLIBNAME, string_names);
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, l_format, 1);
    lua_setfield(L, -3, "format");
    lua_pop(L, 1);
    lua_pushliteral(L, ""); /* methods of strings are those of the sandbox, and their metatable is locked */
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    lua_setfield(L, env, LUA_STRLIBNAME);

    copy_fields(L, LUA_TABLIBNAME, table_names);
    lua_pushcfunction(L, l_sort);
    lua_setfield(L, -2, "sort");
    lua_setfield(L, env, LUA_TABLIBNAME);
    copy_fields(L, LUA_MATHLIBNAME, math_names);
    luaL_setfuncs(L, math_own, 0);
    lua_setfield(L, env, LUA_MATHLIBNAME);
    copy_fields(L, LUA_UTF8LIBNAME, utf8_names);
    lua_setfield(L, env, LUA_UTF8LIBNAME);

    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, l_global_unknown);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_global_new);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, env);

    lua_pushvalue(L, env); /* the environment replaces the globals of the whole state */
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_settop(L, 0);
}
