/* args.h - options of a stage: one table of rows says name, kind, bounds, default and meaning; checks, help and docs
 * read it.
 *
 * Why: a typo in a script must be an error with the nearest name before any work, and all problems are told at once.
 */
#ifndef GUARD_LUA_ARGS_H
#define GUARD_LUA_ARGS_H
#include "guard/buf.h"
#include <lua.h>

typedef enum { ARG_NUMBER, ARG_INTEGER, ARG_STRING, ARG_BOOLEAN, ARG_FUNCTION, ARG_TABLE, ARG_HANDLE,
               ARG_TEXT /* a string, or a list of its parts */,
               ARG_ANY /* looked at by who reads it */ } lua_arg_kind;

typedef struct {
    const char *name;
    lua_arg_kind kind;
    double min, max; /* of numbers */
    const char *def; /* as text; NULL: required; "-": may be absent */
    const char *doc;
} lua_arg;

/* Checks the table at idx (nil counts as {}) against rows (ended by a NULL name); raises with every problem,
 * "what.name: problem, want ...". A copy takes its place on the stack: whatever a rule does to the script's own table,
 * what is read from this one stays and stays alive. */
void lua_args_check(lua_State *L, int idx, const lua_arg *rows, const char *what);
double lua_args_number(lua_State *L, int idx, const lua_arg *rows, const char *name);
size_t lua_args_size(lua_State *L, int idx, const lua_arg *rows, const char *name);
bool lua_args_boolean(lua_State *L, int idx, const lua_arg *rows, const char *name);
const char *lua_args_string(lua_State *L, int idx, const lua_arg *rows,
                            const char *name); /* NULL when absent; borrowed from the table */
/* Pushes the value (nil when absent) and returns its type. */
int lua_args_push(lua_State *L, int idx, const char *name);

/* The value at idx as canonical JSON: keys sorted, functions as "function", handles by their hash (metafield __hash).
 * Raises on what has no text. */
void lua_args_json(lua_State *L, int idx, guard_buf *out);

/* One function of the Lua surface: its text is the documentation. */
typedef struct {
    const char *name;
    lua_CFunction fn;
    const char *usage, *doc;
    const lua_arg *args; /* options of its table, or NULL */
} lua_fn;

/* Fills the table on top of the stack. */
void lua_fns_set(lua_State *L, const lua_fn *fns);
#endif
