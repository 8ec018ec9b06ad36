/* arena.h - one block of memory, handed out front to back, released at once.
 *
 * Reads: err.h.   Read next: arena.c, then model.h.
 * Why: a model needs hundreds of arrays with one lifetime. A dry arena (base
 * NULL) only counts, so the same layout code first measures, then places.
 * Ownership: the arena owns the block; pointers from nn_arena_take borrow it
 * and die at nn_arena_free. Nobody frees them one by one.
 * Threads: not thread safe; take everything before the parallel part starts.
 */
#ifndef NN_ARENA_H
#define NN_ARENA_H
#include "nn/err.h"
#include <stddef.h>
#include <stdint.h>

#define NN_ALIGN 64u /* bytes: a cache line, and the widest vector */

typedef struct {
    unsigned char *base; /* NULL while measuring */
    size_t used, cap;    /* bytes */
    void *block;         /* what free() gets; NULL when the caller owns the memory */
} nn_arena;

/* Zeroed memory of `bytes`; NN_LIMIT when there is none or bytes is SIZE_MAX. */
NN_CHECKED nn_status nn_arena_open(nn_arena *a, size_t bytes, nn_err *err);
/* Borrows the caller's memory (64-byte aligned), for machines without malloc. */
NN_CHECKED nn_status nn_arena_wrap(nn_arena *a, void *memory, size_t bytes, nn_err *err);
void nn_arena_free(nn_arena *a); /* fine on a zeroed or already freed arena */

/* count elements of elem_bytes, zeroed, 64-byte aligned. Measuring: NULL, and
 * `used` grows; a size that overflows makes used SIZE_MAX, which open() refuses. */
void *nn_arena_take(nn_arena *a, size_t count, size_t elem_bytes);

/* --- single blocks for growing things on the fallible edge ------------------------
 * Every allocation of the library passes here, so that a test can let number n fail. */
NN_CHECKED nn_status nn_alloc(void **out, size_t count, size_t elem_bytes, nn_err *err); /* zeroed */
/* Grows *block to hold `need` elements (doubling); *cap is in elements. New room is not zeroed. */
NN_CHECKED nn_status nn_grow(void **block, size_t *cap, size_t need, size_t elem_bytes,
                             nn_err *err);
void nn_free(void *block); /* NULL is fine */
/* Test hook: the n-th next allocation fails (0 = the next one); negative: none. */
void nn_alloc_fail_at(long n);
/* Test hook: the bytes of every request from now on are added to *asked, those of growing blocks at each step; NULL
 * ends it. So a test sees what a file made us ask for, granted or not. */
void nn_alloc_watch(uint64_t *asked);
#endif
