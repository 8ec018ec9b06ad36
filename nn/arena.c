#include "nn/arena.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The only mutable globals of nn/, for tests: the countdown to the allocation that fails, negative: none; and where
 * bytes asked for are summed, NULL: nowhere. */
static long fail_after = -1;
static uint64_t *watched = NULL;

void nn_alloc_fail_at(long n)
{
    fail_after = n;
}

void nn_alloc_watch(uint64_t *asked)
{
    watched = asked;
}

static bool must_fail(void)
{
    if (fail_after < 0) return false;
    return fail_after-- == 0;
}

/* *bytes = count * elem_bytes, or false when that does not fit a size_t. */
static bool bytes_of(size_t *bytes, size_t count, size_t elem_bytes)
{
    if (elem_bytes != 0 && count > SIZE_MAX / elem_bytes) return false;
    *bytes = count * elem_bytes;
    return true;
}

/* Saturates: an absurd request must not look like a small one. */
static void note(size_t bytes)
{
    if (watched) *watched = bytes > UINT64_MAX - *watched ? UINT64_MAX : *watched + bytes;
}

static nn_status no_memory(nn_err *err, size_t count, size_t elem_bytes)
{
    return nn_fail(err, NN_LIMIT, "memory: no room for %zu elements of %zu bytes", count, elem_bytes);
}

nn_status nn_alloc(void **out, size_t count, size_t elem_bytes, nn_err *err)
{
    size_t bytes = 0;

    *out = NULL;
    if (!bytes_of(&bytes, count, elem_bytes)) return no_memory(err, count, elem_bytes);
    note(bytes);
    if (must_fail()) return no_memory(err, count, elem_bytes);
    *out = calloc(bytes ? bytes : 1, 1); /* an empty block is still a block: NULL means failure */
    return *out ? NN_OK : no_memory(err, count, elem_bytes);
}

nn_status nn_grow(void **block, size_t *cap, size_t need, size_t elem_bytes, nn_err *err)
{
    size_t bytes = 0;

    if (need <= *cap && *block) return NN_OK;

    size_t room = *cap < 8 ? 8 : (*cap > SIZE_MAX / 2 ? SIZE_MAX : 2 * *cap);
    if (room < need) room = need;
    if (!bytes_of(&bytes, room, elem_bytes)) return no_memory(err, need, elem_bytes);
    note(bytes);
    if (must_fail()) return no_memory(err, need, elem_bytes);
    void *grown = realloc(*block, bytes ? bytes : 1);
    if (!grown) return no_memory(err, need, elem_bytes);
    *block = grown;
    *cap = room;
    return NN_OK;
}

void nn_free(void *block)
{
    free(block);
}

nn_status nn_arena_open(nn_arena *a, size_t bytes, nn_err *err)
{
    nn_status st = NN_OK;

    *a = (nn_arena){NULL, 0, 0, NULL};
    if (bytes > SIZE_MAX - NN_ALIGN) return no_memory(err, bytes, 1);
    if ((st = nn_alloc(&a->block, bytes + NN_ALIGN, 1, err)) != NN_OK) return st;
    a->base = a->block;
    a->base += (NN_ALIGN - (uintptr_t)a->block % NN_ALIGN) % NN_ALIGN;
    a->cap = bytes;
    return NN_OK;
}

nn_status nn_arena_wrap(nn_arena *a, void *memory, size_t bytes, nn_err *err)
{
    *a = (nn_arena){NULL, 0, 0, NULL};
    if (!memory || (uintptr_t)memory % NN_ALIGN != 0) {
        return nn_fail(err, NN_USAGE, "arena: memory at %zu bytes past a multiple of %u, want a multiple",
                       (size_t)((uintptr_t)memory % NN_ALIGN), NN_ALIGN);
    }
    memset(memory, 0, bytes);
    a->base = memory;
    a->cap = bytes;
    return NN_OK;
}

void nn_arena_free(nn_arena *a)
{
    if (!a) return;
    free(a->block);
    *a = (nn_arena){NULL, 0, 0, NULL};
}

void *nn_arena_take(nn_arena *a, size_t count, size_t elem_bytes)
{
    size_t bytes = 0;
    const bool room = a->used <= SIZE_MAX - (NN_ALIGN - 1);
    const size_t start = room ? (a->used + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN : SIZE_MAX;

    if (!bytes_of(&bytes, count, elem_bytes) || bytes > SIZE_MAX - start) {
        a->used = SIZE_MAX; /* stays there: the next start is SIZE_MAX too */
        return NULL;
    }
    a->used = start + bytes;
    if (!a->base) return NULL;
    NN_ASSERT(a->used <= a->cap); /* the dry run measured the same layout */
    return a->base + start;
}
