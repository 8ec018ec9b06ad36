/* host.c - the life of a script: capped memory, the stop hook, errors with their status, paths it may open. */
#include "guard/lua/host.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOOK_STEPS 100000 /* instructions between two looks at the stop flag: well under a millisecond */

lua_host *lua_host_of(lua_State *L) { return *(lua_host **)lua_getextraspace(L); }

/* Lua's allocator with a cap. Lua needs malloc's own growth rules, so this is realloc, counted. */
static void *capped_alloc(void *ud, void *block, size_t old, size_t want)
{
    lua_host *h = ud;
    const size_t had = block != NULL ? old : 0; /* without a block, `old` is a type tag */
    if (want == 0) {
        free(block);
        h->mem_used -= had;
        return NULL;
    }
    if (want > had && want - had > h->mem_cap - h->mem_used) return NULL;
    void *grown = realloc(block, want);
    if (grown != NULL) h->mem_used = h->mem_used - had + want;
    return grown;
}

/* After a stop every instruction raises, so a loop of pcalls ends too. */
static void stop_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (nn_stop_signal() == 0) return;
    lua_sethook(L, stop_hook, LUA_MASKCOUNT, 1);
    nn_err err = {0};
    (void)nn_fail(&err, NN_STOP, "script: stopped by a signal; finished stages are saved, --resume goes on");
    lua_host_raise(L, &err);
}

int lua_host_raise(lua_State *L, const nn_err *err)
{
    lua_host *h = lua_host_of(L);
    h->raised.status = err->status;
    snprintf(h->raised.text, sizeof h->raised.text, "%s",
             err->text[0] != '\0' ? err->text : nn_status_text(err->status));
    return luaL_error(L, "%s", h->raised.text);
}

nn_status lua_host_caught(lua_State *L, int status, const char *where, nn_err *err)
{
    const lua_host *h = lua_host_of(L);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error value without text";
    nn_status st = NN_CONTENT;
    if (status == LUA_ERRMEM) {
        st = NN_LIMIT;
        text = "script: its values need more than the memory cap of 512 MiB";
    } else if (h->raised.status != NN_OK && strstr(text, h->raised.text) != NULL) {
        st = h->raised.status; /* by text: a script may have caught an earlier one and failed on its own now */
    }
    (void)nn_fail(err, st, "%s%s", where, text);
    lua_pop(L, 1);
    return st;
}

/* --- where scripts and data live ---------------------------------------------------------- */
static void copy_path(char *out, size_t cap, const char *s, size_t n)
{
    const size_t len = n < cap - 1 ? n : cap - 1;
    memcpy(out, s, len);
    out[len] = '\0';
}

/* The folder part of a path; "." without one. */
static void folder_of(char *out, size_t cap, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) copy_path(out, cap, ".", 1);
    else copy_path(out, cap, path, slash == path ? 1 : (size_t)(slash - path));
}

/* require looks below the nearest folder named scripts/ above the entry script, else beside it. */
static void find_roots(lua_host *h)
{
    folder_of(h->script_root, sizeof h->script_root, h->o.script);
    char probe[512];
    copy_path(probe, sizeof probe, h->script_root, strlen(h->script_root));
    for (size_t len = strlen(probe); len > 0; len--) {
        if (probe[len] != '\0' && probe[len] != '/') continue;
        probe[len] = '\0';
        const char *slash = strrchr(probe, '/');
        if (strcmp(slash != NULL ? slash + 1 : probe, "scripts") != 0) continue;
        copy_path(h->script_root, sizeof h->script_root, probe, len);
        break;
    }
    folder_of(h->project_root, sizeof h->project_root, h->script_root);
}

static bool has_prefix(const char *path, const char *root)
{
    const size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0' || (n > 0 && root[n - 1] == '/'));
}

nn_status lua_host_resolve(const lua_host *h, const char *path, char *resolved, size_t cap, nn_err *err)
{
    char beside[1024], root[512];
    if (strlen(path) + strlen(h->project_root) + 2 > sizeof beside)
        return nn_fail(err, NN_CONTENT, "a path of %zu bytes, want at most %zu", strlen(path),
                       sizeof beside - strlen(h->project_root) - 2);
    copy_path(beside, sizeof beside, path, strlen(path));
    if (path[0] != '/' && !nn_path_exists(path)) /* not below the working folder: beside the scripts */
        snprintf(beside, sizeof beside, "%s/%s", h->project_root, path);
    nn_status st = nn_path_real(beside, resolved, cap, err);
    if (st != NN_OK) return st;

    const char *const fixed[] = {"data", h->o.out};
    for (size_t i = 0; i < 2; i++)
        if (fixed[i] != NULL && nn_path_real(fixed[i], root, sizeof root, NULL) == NN_OK && has_prefix(resolved, root))
            return NN_OK;
    snprintf(beside, sizeof beside, "%s/data", h->project_root);
    if (nn_path_real(beside, root, sizeof root, NULL) == NN_OK && has_prefix(resolved, root)) return NN_OK;
    for (size_t i = 0; i < h->o.n_set; i++) {
        const char *value = strchr(h->o.set[i], '=');
        if (value != NULL && nn_path_real(value + 1, root, sizeof root, NULL) == NN_OK && has_prefix(resolved, root))
            return NN_OK;
    }
    return nn_fail(
        err, NN_CONTENT,
        "%s: outside what a script may open, want a path below data/, the run folder, or a root given with --set",
        path);
}

/* --- open, run, close --------------------------------------------------------------------- */
nn_status lua_host_open(lua_host *h, const host_options *o, nn_err *err)
{
    memset(h, 0, sizeof *h);
    h->o = *o;
    h->mem_cap = HOST_MEMORY_CAP;
    h->seed = o->seed_given ? o->seed : 1;
    find_roots(h);
    nn_status st = nn_exec_open(&h->exec, o->kernels, o->threads, HOST_MAX_T, err);
    if (st != NN_OK) return st;
    h->L = lua_newstate(capped_alloc, h);
    if (h->L == NULL) return nn_fail(err, NN_LIMIT, "lua: no memory for a state");
    *(lua_host **)lua_getextraspace(h->L) = h;
    return NN_OK;
}

void lua_host_close(lua_host *h)
{
    if (h->L != NULL) lua_close(h->L); /* first: its userdata own corpora and models */
    nn_exec_free(&h->exec);
    nn_tok_free(h->tok);
    nn_free(h->plan.stage);
    guard_buf_free(&h->evaluations);
    guard_buf_free(&h->verdicts);
    guard_buf_free(&h->args);
    guard_store_free(h->store);
    guard_buf_free(&h->chat);
    guard_template_free(&h->prompt);
    guard_template_free(&h->response);
    memset(h, 0, sizeof *h);
}

/* stack: nothing; runs protected */
static int l_entry(lua_State *L)
{
    lua_sandbox_open(L);
    lua_modules_open(L);
    lua_parapet_open(L);
    lua_sethook(L, stop_hook, LUA_MASKCOUNT, HOOK_STEPS);
    lua_host *h = lua_host_of(L);
    const char *slash = strrchr(h->o.script, '/');
    lua_modules_push(L, NULL, lua_pushfstring(L, "@%s", slash != NULL ? slash + 1 : h->o.script));
    lua_call(L, 0, 0);
    if (!h->run_declared) return luaL_error(L, "%s: never called parapet.run{...}", h->o.script);
    return 0;
}

nn_status lua_host_run(lua_host *h, nn_err *err)
{
    h->raised.status = NN_OK;
    lua_pushcfunction(h->L, l_entry);
    const int status = lua_pcall(h->L, 0, 0, 0);
    return status == LUA_OK ? NN_OK : lua_host_caught(h->L, status, "", err);
}
