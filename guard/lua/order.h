/* order.h - walks and sorts of Lua tables that are the same in every process.
 *
 * Read next: order.c, sandbox.c.   Why: Lua's own order of keys changes with the hash seed, that is with the process,
 * and its table.sort moves ties.
 */
#ifndef GUARD_LUA_ORDER_H
#define GUARD_LUA_ORDER_H
#include <lua.h>

/* Pushes the sequence of the keys of the table at t (false, true, numbers, strings by byte) and returns its length;
 * raises on a key that has no order. */
lua_Integer lua_order_keys(lua_State *L, int t);

/* The sandbox's pairs, next and table.sort. */
int lua_order_pairs(lua_State *L);
int lua_order_next(lua_State *L);
int lua_order_sort(lua_State *L);
#endif
