/* order.c - see order.h. */
#include "guard/lua/order.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

/* --- keys --------------------------------------------------------------------------------- */

static int key_rank(lua_State *L, int i)
{
    switch (lua_type(L, i)) {
    case LUA_TBOOLEAN: return 0;
    case LUA_TNUMBER: return 1;
    case LUA_TSTRING: return 2;
    default:
        return luaL_error(L, "table: a key of type %s has no order, want strings, numbers or booleans",
                          luaL_typename(L, i));
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

/* --- stable merge sort -------------------------------------------------------------------- */

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

/* One merge of src[lo,mid) and src[mid,hi) into dst; src, dst are stack indices of sequences. Stable: equal keeps left
 * first, and a comparator that contradicts itself only gives a strange order. */
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

/* The sequence [1, n] at absolute index t, bottom-up. */
static void sort_sequence(lua_State *L, int t, lua_Integer n, less_fn less)
{
    luaL_checkstack(L, 8, "no room to sort");
    lua_newtable(L);
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
    for (lua_Integer i = 1; src != t && i <= n; i++) {
        lua_rawgeti(L, src, i);
        lua_rawseti(L, t, i);
    }
    lua_settop(L, other - 1);
}

/* Length without the metamethod: a __len of 1e18 would be a loop in C that no signal ends. */
int lua_order_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const bool own = !lua_isnoneornil(L, 2);
    if (own) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    sort_sequence(L, 1, (lua_Integer)lua_rawlen(L, 1), own ? less_call : less_value);
    return 0;
}

/* --- walks -------------------------------------------------------------------------------- */

lua_Integer lua_order_keys(lua_State *L, int t)
{
    lua_Integer n = 0;
    t = lua_absindex(L, t);
    luaL_checkstack(L, 8, "no room for keys");
    lua_newtable(L);
    const int keys = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, t) != 0) {
        lua_pop(L, 1);
        (void)key_rank(L, lua_gettop(L));
        lua_pushvalue(L, -1);
        lua_rawseti(L, keys, ++n);
    }
    sort_sequence(L, keys, n, less_key);
    return n;
}

/* The table is an upvalue: what a script hands to the iterator does not matter.
 * upvalues: table, keys, position.   stack: any -> key value, or nil */
static int pairs_step(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
    lua_settop(L, 0);
    for (;;) {
        lua_rawgeti(L, lua_upvalueindex(2), ++at);
        if (lua_isnil(L, 1)) return 1;
        lua_pushvalue(L, 1);
        lua_rawget(L, lua_upvalueindex(1));
        if (!lua_isnil(L, 2)) break; /* a key removed during the walk is passed over */
        lua_settop(L, 0);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(3));
    return 2;
}

/* stack: t -> step t nil */
int lua_order_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_order_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_step, 3);
    lua_insert(L, 1);
    lua_pushnil(L);
    return 3;
}

/* stack: t k? -> k' v' or nil; linear in the table: use pairs for walks */
int lua_order_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    const lua_Integer n = lua_order_keys(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, i);
        if (lua_isnil(L, 2) || key_compare(L, 4, 2) > 0) {
            lua_pushvalue(L, 4);
            lua_rawget(L, 1);
            return 2;
        }
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    return 1;
}
