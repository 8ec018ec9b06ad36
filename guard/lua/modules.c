/* modules.c - require, below scripts/ only; every script that runs is kept in the run folder.
 *
 * Why: somebody else must be able to run exactly what was run. A module is read once a pass, saved under its own
 * relative name, and at --resume the saved copy runs: an edited file is refused by the run (guard_run_script), not
 * silently mixed in.
 */
#include "guard/lua/host.h"
#include "nn/plat.h"
#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#define MODULE_MAX_BYTES ((size_t)4 << 20)
static const char loaded_key = 'm'; /* its address is the registry key */

/* "templates.styles" -> "templates/styles"; false for anything but letters, digits, '_' and single dots. */
static bool module_path(char *out, size_t cap, const char *name)
{
    size_t n = 0;
    for (const char *c = name; *c != '\0'; c++) {
        const bool dot = *c == '.';
        if (dot && (c == name || c[1] == '.' || c[1] == '\0')) return false;
        if (!dot && !isalnum((unsigned char)*c) && *c != '_') return false;
        if (n + 1 >= cap) return false;
        out[n++] = dot ? '/' : *c;
    }
    out[n] = '\0';
    return n > 0;
}

/* The file of a module (NULL: the entry script) as a full path and as the relative name it is saved under. */
static nn_status locate(const lua_host *h, const char *name, char path[1024], char saved[256], nn_err *err)
{
    char rel[200];
    if (name == NULL) {
        const size_t root = strlen(h->script_root);
        const bool below = strncmp(h->o.script, h->script_root, root) == 0 && h->o.script[root] == '/';
        const char *slash = strrchr(h->o.script, '/');
        snprintf(path, 1024, "%s", h->o.script);
        snprintf(saved, 256, "%s", below ? h->o.script + root + 1 : slash != NULL ? slash + 1 : h->o.script);
        return NN_OK;
    }
    if (!module_path(rel, sizeof rel, name))
        return nn_fail(err, NN_CONTENT,
                       "require '%s': not a module name, want letters, digits, '_' and dots between them", name);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, 1024, i == 0 ? "%s/%s.lua" : "%s/%s/init.lua", h->script_root, rel);
        snprintf(saved, 256, i == 0 ? "%s.lua" : "%s/init.lua", rel);
        if (nn_path_exists(path)) return NN_OK;
    }
    return nn_fail(err, NN_CONTENT, "require '%s': no %s/%s.lua or %s/%s/init.lua", name, h->script_root, rel,
                   h->script_root, rel);
}

/* Links in scripts/ must not lead out of it. */
static nn_status check_inside(const lua_host *h, const char *name, const char *path, nn_err *err)
{
    char real[1024], root[1024];
    nn_status st = nn_path_real(path, real, sizeof real, err);
    if (st == NN_OK) st = nn_path_real(h->script_root, root, sizeof root, err);
    if (st != NN_OK) return st;
    const size_t n = strlen(root);
    if (strncmp(real, root, n) == 0 && (real[n] == '/' || root[n - 1] == '/')) return NN_OK;
    return nn_fail(err, NN_CONTENT, "require '%s': %s leads to %s, outside of %s", name, path, real, root);
}

static nn_status load(lua_host *h, const char *name, nn_file *file, nn_err *err)
{
    char path[1024], saved[256];
    nn_status st = locate(h, name, path, saved, err);
    if (st == NN_OK && name != NULL) st = check_inside(h, name, path, err);
    if (st == NN_OK) st = nn_file_read(file, path, MODULE_MAX_BYTES, err);
    if (st == NN_OK && h->run != NULL) st = guard_run_script(h->run, saved, (const char *)file->bytes, file->len, err);
    return st;
}

/* --- the one operator outside the promise ------------------------------------------------- */
/* The end of a long bracket that opens at s ("[[", "[=["), or s when none does. */
static const char *skip_long(const char *s, const char *end)
{
    const char *c = s + 1;
    size_t level = 0;
    while (c < end && *c == '=') c++, level++;
    if (c >= end || *c != '[') return s;
    for (c++; c < end; c++) {
        size_t k = 0;
        if (*c != ']') continue;
        while (c + 1 + k < end && c[1 + k] == '=') k++;
        if (k == level && c + 1 + k < end && c[1 + k] == ']') return c + k + 2;
    }
    return end;
}

static const char *skip_quoted(const char *s, const char *end)
{
    const char quote = *s++;
    while (s < end && *s != quote && *s != '\n') s += *s == '\\' && s + 1 < end ? 2 : 1;
    return s < end ? s + 1 : end;
}

/* Says where a script uses '^': Lua's power is libm's, whose last bits differ between machines. Strings and comments
 * are passed over. */
static void warn_of_power(const lua_host *h, const char *chunk, const char *s, size_t len)
{
    const char *const end = s + len, *const start = s;
    while (s < end) {
        if (*s == '-' && s + 1 < end && s[1] == '-') {
            const char *after = s + 2 < end && s[2] == '[' ? skip_long(s + 2, end) : s + 2;
            if (after == s + 2)
                while (after < end && *after != '\n') after++;
            s = after;
        } else if (*s == '"' || *s == '\'') {
            s = skip_quoted(s, end);
        } else if (*s == '[' && skip_long(s, end) != s) {
            s = skip_long(s, end);
        } else if (*s++ == '^' && h->o.planning && !h->o.quiet) {
            unsigned line = 1;
            for (const char *c = start; c < s; c++) line += *c == '\n';
            fprintf(stderr, "%s:%u: '^' is outside the promise of same bytes on every machine, want math.pow\n",
                    chunk + 1, line);
        }
    }
}

/* Between the read and the close nothing raises: luaL_loadbufferx is protected, and the names are on the stack already.
 */
void lua_modules_push(lua_State *L, const char *name, const char *chunk)
{
    nn_file file = {0};
    nn_err err = {0};
    int status = LUA_OK;
    const nn_status st = load(lua_host_of(L), name, &file, &err);
    if (st == NN_OK) {
        const char *bytes = file.bytes != NULL ? (const char *)file.bytes : "";
        warn_of_power(lua_host_of(L), chunk, bytes, file.len);
        status = luaL_loadbufferx(L, bytes, file.len, chunk, "t");
    }
    nn_file_close(&file);
    if (st != NN_OK) lua_host_raise(L, &err);
    if (status != LUA_OK) lua_error(L);
}

/* require(name): loads once a pass. stack: name -> value */
static int l_require(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    if (lua_getfield(L, 2, name) == LUA_TBOOLEAN) return luaL_error(L, "require '%s': it requires itself", name);
    if (!lua_isnil(L, 3)) return 1;
    lua_pushboolean(L, 0); /* until it has returned */
    lua_setfield(L, 2, name);
    lua_modules_push(L, name, lua_pushfstring(L, "@%s.lua", name));
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1) || lua_isboolean(L, -1))
        return luaL_error(L, "require '%s': the module returned a %s, want a table or a function", name,
                          luaL_typename(L, -1));
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

void lua_modules_open(lua_State *L)
{
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    lua_pushglobaltable(L);
    lua_pushliteral(L, "require");
    lua_pushcfunction(L, l_require);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}
