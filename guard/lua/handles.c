/* handles.c - see handles.h. */
#include "guard/lua/handles.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

static int l_corpus_gc(lua_State *L)
{
    corpus_box *b = lua_touserdata(L, 1);
    guard_corpus_free(b->c);
    b->c = NULL;
    return 0;
}

static int l_guard_gc(lua_State *L)
{
    guard_box *b = lua_touserdata(L, 1);
    guard_classifier_close(b->g);
    b->g = NULL;
    return 0;
}

static int l_generator_gc(lua_State *L)
{
    generator_box *b = lua_touserdata(L, 1);
    guard_lm_free(b->g);
    b->g = NULL;
    return 0;
}

static int l_judges_gc(lua_State *L)
{
    judges_box *b = lua_touserdata(L, 1);
    guard_judges_free(b->judges);
    guard_wide_free(b->reward);
    guard_classifier_close(b->other);
    memset(b, 0, sizeof *b);
    return 0;
}

static int l_model_gc(lua_State *L)
{
    model_box *b = lua_touserdata(L, 1);
    nn_tok_free(b->tok);
    nn_pretrained_close(b->p);
    memset(b, 0, sizeof *b);
    return 0;
}

static int l_backend_gc(lua_State *L)
{
    backend_box *b = lua_touserdata(L, 1);
    guard_backend_free(b->b);
    nn_model_free(b->weights);
    memset(b, 0, sizeof *b);
    return 0;
}

/* All boxes carry their hash; this finds it by type. */
static int l_hash(lua_State *L)
{
    const char *hash = NULL;
    void *b;
    if ((b = luaL_testudata(L, 1, CORPUS_TYPE)) != NULL) hash = ((corpus_box *)b)->hash;
    else if ((b = luaL_testudata(L, 1, GUARD_TYPE)) != NULL) hash = ((guard_box *)b)->hash;
    else if ((b = luaL_testudata(L, 1, GENERATOR_TYPE)) != NULL) hash = ((generator_box *)b)->hash;
    else if ((b = luaL_testudata(L, 1, JUDGES_TYPE)) != NULL) hash = ((judges_box *)b)->hash;
    else if ((b = luaL_testudata(L, 1, MODEL_TYPE)) != NULL) hash = ((model_box *)b)->hash;
    else if ((b = luaL_testudata(L, 1, BACKEND_TYPE)) != NULL) hash = ((backend_box *)b)->hash;
    lua_pushstring(L, hash != NULL ? hash : "");
    return 1;
}

static void metatable(lua_State *L, const char *type, lua_CFunction gc)
{
    luaL_newmetatable(L, type);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, l_hash);
    lua_setfield(L, -2, "__hash");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L); /* methods, filled by their own file */
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void lua_handles_open(lua_State *L)
{
    metatable(L, CORPUS_TYPE, l_corpus_gc);
    metatable(L, GUARD_TYPE, l_guard_gc);
    metatable(L, GENERATOR_TYPE, l_generator_gc);
    metatable(L, JUDGES_TYPE, l_judges_gc);
    metatable(L, MODEL_TYPE, l_model_gc);
    metatable(L, BACKEND_TYPE, l_backend_gc);
}

static void *push_box(lua_State *L, const char *type, size_t size)
{
    void *b = lua_newuserdatauv(L, size, 1);
    memset(b, 0, size);
    luaL_setmetatable(L, type);
    return b;
}

corpus_box *lua_push_corpus(lua_State *L) { return push_box(L, CORPUS_TYPE, sizeof(corpus_box)); }
guard_box *lua_push_guard(lua_State *L) { return push_box(L, GUARD_TYPE, sizeof(guard_box)); }
generator_box *lua_push_generator(lua_State *L) { return push_box(L, GENERATOR_TYPE, sizeof(generator_box)); }
judges_box *lua_push_judges(lua_State *L) { return push_box(L, JUDGES_TYPE, sizeof(judges_box)); }
model_box *lua_push_model(lua_State *L) { return push_box(L, MODEL_TYPE, sizeof(model_box)); }
backend_box *lua_push_backend(lua_State *L) { return push_box(L, BACKEND_TYPE, sizeof(backend_box)); }

corpus_box *lua_check_corpus(lua_State *L, int arg) { return luaL_checkudata(L, arg, CORPUS_TYPE); }
guard_box *lua_check_guard(lua_State *L, int arg) { return luaL_checkudata(L, arg, GUARD_TYPE); }
model_box *lua_check_model(lua_State *L, int arg) { return luaL_checkudata(L, arg, MODEL_TYPE); }
backend_box *lua_check_backend(lua_State *L, int arg) { return luaL_checkudata(L, arg, BACKEND_TYPE); }

static void *field_box(lua_State *L, int idx, const char *name, const char *type, bool optional)
{
    lua_getfield(L, idx, name);
    void *b = luaL_testudata(L, -1, type);
    const bool absent = lua_isnil(L, -1);
    if (b == NULL && !(absent && optional)) luaL_error(L, "%s: a %s, want a %s", name, luaL_typename(L, -1), type);
    lua_pop(L, 1);
    return b;
}

corpus_box *lua_args_corpus(lua_State *L, int idx, const char *name, bool optional)
{
    return field_box(L, idx, name, CORPUS_TYPE, optional);
}
guard_box *lua_args_guard(lua_State *L, int idx, const char *name, bool optional)
{
    return field_box(L, idx, name, GUARD_TYPE, optional);
}
generator_box *lua_args_generator(lua_State *L, int idx, const char *name, bool optional)
{
    return field_box(L, idx, name, GENERATOR_TYPE, optional);
}
judges_box *lua_args_judges(lua_State *L, int idx, const char *name, bool optional)
{
    return field_box(L, idx, name, JUDGES_TYPE, optional);
}
model_box *lua_args_model(lua_State *L, int idx, const char *name, bool optional)
{
    return field_box(L, idx, name, MODEL_TYPE, optional);
}
