/* Tests of nn/arena.h: measuring equals placing, sizes that overflow are refused, the n-th allocation fails. */
#include "nn/arena.h"
#include "tests/support.h"
#include <stdint.h>
#include <string.h>

/* One layout, used dry and real. */
static void lay_out(nn_arena *a, void *at[4])
{
    at[0] = nn_arena_take(a, 3, sizeof(float));
    at[1] = nn_arena_take(a, 0, sizeof(float));
    at[2] = nn_arena_take(a, 1000, sizeof(double));
    at[3] = nn_arena_take(a, 1, 1);
}

Test(arena, a_dry_run_measures_what_the_real_one_uses)
{
    nn_arena dry = {NULL, 0, 0, NULL}, real;
    void *at[4];

    lay_out(&dry, at);
    for (size_t i = 0; i < 4; i++) cr_expect_null(at[i]);
    cr_assert(nn_arena_open(&real, dry.used, NULL) == NN_OK);
    lay_out(&real, at);
    cr_expect_eq(real.used, dry.used);
    cr_expect_eq(real.used, real.cap);
    nn_arena_free(&real);
    nn_arena_free(&real);
}

Test(arena, pieces_are_aligned_zeroed_and_apart)
{
    nn_arena a;
    void *at[4];

    cr_assert(nn_arena_open(&a, 16384, NULL) == NN_OK);
    lay_out(&a, at);
    for (size_t i = 0; i < 4; i++) cr_expect_eq((uintptr_t)at[i] % NN_ALIGN, 0u);
    memset(at[0], 0xff, 3 * sizeof(float));
    for (size_t i = 0; i < 1000; i++) cr_assert(((double *)at[2])[i] == 0.0);
    nn_arena_free(&a);
}

Test(arena, sizes_that_overflow_are_refused_at_open)
{
    nn_err err = {NN_OK, ""};
    nn_arena dry = {NULL, 0, 0, NULL}, real;

    nn_arena_take(&dry, SIZE_MAX / 2, 4);
    cr_expect_eq(dry.used, SIZE_MAX);
    nn_arena_take(&dry, 1, 1);
    cr_expect_eq(dry.used, SIZE_MAX, "an overflow stays");
    expect_fails(nn_arena_open(&real, dry.used, &err), NN_LIMIT, &err, "no room");
    cr_expect_null(real.base);

    dry.used = 0;
    nn_arena_take(&dry, SIZE_MAX - 8, 1);
    nn_arena_take(&dry, 64, 1);
    cr_expect_eq(dry.used, SIZE_MAX, "a sum that overflows too");
}

Test(arena, wrap_borrows_zeroes_and_wants_alignment)
{
    static unsigned char memory[512];
    nn_err err = {NN_OK, ""};
    unsigned char *aligned = memory + (NN_ALIGN - (uintptr_t)memory % NN_ALIGN) % NN_ALIGN;
    nn_arena a;

    aligned[5] = 7;
    cr_assert(nn_arena_wrap(&a, aligned, 256, &err) == NN_OK);
    cr_expect_eq(aligned[5], 0);
    cr_expect(nn_arena_take(&a, 10, 1) == (void *)aligned);
    nn_arena_free(&a); /* must not free what it borrowed */
    expect_fails(nn_arena_wrap(&a, aligned + 4, 64, &err), NN_USAGE, &err, "want a multiple");
}

Test(arena, grow_doubles_and_keeps_the_contents)
{
    void *block = NULL;
    size_t cap = 0, moves = 0;

    for (size_t n = 1; n <= 10000; n++) {
        const size_t before = cap;

        cr_assert(nn_grow(&block, &cap, n, sizeof(size_t), NULL) == NN_OK);
        moves += cap != before;
        ((size_t *)block)[n - 1] = n;
    }
    for (size_t n = 1; n <= 10000; n++) cr_assert_eq(((size_t *)block)[n - 1], n);
    cr_expect(moves < 20, "%zu moves", moves);
    nn_free(block);
}

Test(arena, grow_that_fails_leaves_the_block)
{
    nn_err err = {NN_OK, ""};
    void *block = NULL;
    size_t cap = 0;

    cr_assert(nn_grow(&block, &cap, 4, 4, NULL) == NN_OK);
    void *held = block;
    const size_t room = cap;
    expect_fails(nn_grow(&block, &cap, SIZE_MAX / 2, 4, &err), NN_LIMIT, &err, "no room");
    cr_expect(block == held && cap == room);
    nn_free(block);
}

Test(arena, the_chosen_allocation_fails_once)
{
    nn_err err = {NN_OK, ""};
    void *first, *second, *third;

    nn_alloc_fail_at(1);
    cr_expect(nn_alloc(&first, 1, 8, &err) == NN_OK);
    expect_fails(nn_alloc(&second, 1, 8, &err), NN_LIMIT, &err, "1 elements of 8 bytes");
    cr_expect(nn_alloc(&third, 1, 8, NULL) == NN_OK);
    cr_expect_null(second);
    nn_free(first);
    nn_free(second);
    nn_free(third);
    nn_alloc_fail_at(-1);
}

Test(arena, empty_blocks_are_blocks_and_overflow_is_refused)
{
    nn_err err = {NN_OK, ""};
    void *block;

    cr_assert(nn_alloc(&block, 0, 8, &err) == NN_OK);
    cr_expect_not_null(block);
    nn_free(block);
    expect_fails(nn_alloc(&block, SIZE_MAX / 4, 8, &err), NN_LIMIT, &err, "no room");
}

Test(arena, what_is_asked_for_is_summed_granted_or_not)
{
    uint64_t asked = 0;
    void *block = NULL, *grown = NULL;
    size_t cap = 0;

    nn_alloc_watch(&asked);
    cr_assert(nn_alloc(&block, 3, 100, NULL) == NN_OK);
    cr_assert(nn_grow(&grown, &cap, 10, 4, NULL) == NN_OK);
    cr_expect_eq(asked, 340u);
    nn_free(block);
    for (size_t i = 0; i < 3; i++) {
        nn_alloc_fail_at(0);
        cr_expect(nn_alloc(&block, SIZE_MAX / 2, 1, NULL) == NN_LIMIT);
    }
    cr_expect_eq(asked, UINT64_MAX);
    nn_alloc_watch(NULL);
    cr_assert(nn_alloc(&block, 1, 1, NULL) == NN_OK);
    cr_expect_eq(asked, UINT64_MAX);
    nn_free(block);
    nn_free(grown);
}
