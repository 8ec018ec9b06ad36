/* Tests of the ops that look up and gather: embedding, n-gram memory, pooling. */
#include "nn/ops.h"
#include "tests/test_ops_support.h"
#include <string.h>

enum { V = 5, R = 6, C = 9 };
static const int32_t ids[R] = {3, 0, 3, 4, 3, 0}; /* 1 and 2 never occur */
static const uint32_t slot[] = {2, 2, 0, 1, 2, 2, 4};
static const size_t start[R + 1] = {0, 2, 2, 3, 5, 6, 7}; /* row 0 hits slot 2 twice, row 1 none */

typedef struct {
    nn_exec x;
    float table[V * C], c[R * C], y[R * C];
} lookup_case;

static lookup_case lookup_new(void)
{
    lookup_case l = {.x = exec_with(NULL, 1, 16)};

    fill_random(l.table, V * C, 1.0f, 1);
    fill_random(l.c, R * C, 1.0f, 2);
    return l;
}

static double embed_value(void *ctx)
{
    lookup_case *l = ctx;

    nn_embed_fwd(&l->x, l->y, l->table, ids, R, C);
    return weigh(l->c, l->y, R * C);
}

static double memory_value(void *ctx)
{
    lookup_case *l = ctx;

    memset(l->y, 0, sizeof l->y);
    nn_memory_fwd(&l->x, l->y, l->table, slot, start, R, C);
    return weigh(l->c, l->y, R * C);
}

Test(ops_embed, forward_copies_the_rows_of_the_ids)
{
    lookup_case l = lookup_new();

    nn_embed_fwd(&l.x, l.y, l.table, ids, R, C);
    for (size_t r = 0; r < R; r++) expect_same_floats("y", l.y + r * C, l.table + (size_t)ids[r] * C, C);
    nn_exec_free(&l.x);
}

Test(ops_embed, backward_matches_finite_difference)
{
    lookup_case l = lookup_new();
    float dtable[V * C] = {0};

    for (int pass = 0; pass < 2; pass++) nn_embed_bwd(&l.x, dtable, l.c, ids, R, C);
    expect_gradient("dtable", embed_value, &l, l.table, dtable, V * C, 2.0);
    nn_exec_free(&l.x);
}

Test(ops_memory, forward_adds_to_what_is_there_and_skips_rows_without_ngrams)
{
    lookup_case l = lookup_new();
    float want[R * C];

    fill_random(l.y, R * C, 1.0f, 3);
    memcpy(want, l.y, sizeof want);
    nn_memory_fwd(&l.x, l.y, l.table, slot, start, R, C);
    for (size_t r = 0; r < R; r++)
        for (size_t j = start[r]; j < start[r + 1]; j++)
            for (size_t c = 0; c < C; c++) want[r * C + c] += l.table[slot[j] * C + c];
    expect_same_floats("y", l.y, want, R * C);
    nn_exec_free(&l.x);
}

Test(ops_memory, backward_matches_finite_difference)
{
    lookup_case l = lookup_new();
    float dtable[V * C] = {0};

    for (int pass = 0; pass < 2; pass++) nn_memory_bwd(&l.x, dtable, l.c, slot, start, R, C);
    expect_gradient("dtable", memory_value, &l, l.table, dtable, V * C, 2.0);
    nn_exec_free(&l.x);
}

Test(ops_embed, gradient_of_two_halves_is_that_of_the_whole)
{
    lookup_case l = lookup_new();
    float whole[2][V * C] = {{0}}, halves[2][V * C] = {{0}};

    nn_embed_bwd(&l.x, whole[0], l.c, ids, R, C);
    nn_memory_bwd(&l.x, whole[1], l.c, slot, start, R, C);
    for (size_t r = 0; r < R; r += R / 2) {
        nn_embed_bwd(&l.x, halves[0], l.c + r * C, ids + r, R / 2, C);
        nn_memory_bwd(&l.x, halves[1], l.c + r * C, slot, start + r, R / 2, C);
    }
    expect_same_floats("embedding", halves[0], whole[0], V * C);
    expect_same_floats("memory", halves[1], whole[1], V * C);
    nn_exec_free(&l.x);
}

Test(ops_embed, threads_do_not_change_a_bit)
{
    enum { ROWS = 401, WIDE = 250, TABLE = 37, PER_ROW = 3 };
    static float table[TABLE * WIDE], dy[ROWS * WIDE], y[2][ROWS * WIDE], dtable[2][TABLE * WIDE];
    static int32_t id[ROWS];
    static uint32_t at[ROWS * PER_ROW];
    static size_t from[ROWS + 1];

    fill_random(table, TABLE * WIDE, 1.0f, 1);
    fill_random(dy, ROWS * WIDE, 1.0f, 2);
    for (size_t r = 0; r < ROWS; r++) id[r] = (int32_t)(r * r % TABLE);
    for (size_t r = 0; r <= ROWS; r++) from[r] = r * PER_ROW;
    for (size_t j = 0; j < ROWS * PER_ROW; j++) at[j] = (uint32_t)(j * j % TABLE);
    for (size_t threads = 1; threads <= 4; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);
        const size_t to = threads > 1;

        memset(dtable[to], 0, sizeof dtable[to]);
        nn_embed_fwd(&x, y[to], table, id, ROWS, WIDE);
        nn_memory_fwd(&x, y[to], table, at, from, ROWS, WIDE);
        nn_embed_bwd(&x, dtable[to], dy, id, ROWS, WIDE);
        nn_memory_bwd(&x, dtable[to], dy, at, from, ROWS, WIDE);
        nn_exec_free(&x);
        expect_same_floats("y", y[to], y[0], ROWS * WIDE);
        expect_same_floats("dtable", dtable[to], dtable[0], TABLE * WIDE);
    }
}

/* --- pooling ------------------------------------------------------------------------------------- */

static const size_t ends[] = {0, 1, R};
static const nn_segments seg = {ends, 2};

typedef struct {
    nn_exec x;
    nn_pool pool;
    float in[R * C], c[2 * 2 * C], y[2 * 2 * C];
    uint32_t arg[2 * C];
} pool_case;

static pool_case pool_new(nn_pool pool)
{
    pool_case p = {.x = exec_with(NULL, 1, 16), .pool = pool};

    fill_random(p.in, R * C, 1.0f, 1);
    fill_random(p.c, 2 * 2 * C, 1.0f, 2);
    for (size_t i = 0; i < R * C; i++) /* rows 1/4 apart in each channel: no step of a difference swaps two */
        p.in[i] = p.in[i] / 16.0f + 0.25f * (float)((5 * (i / C) + i % C) % R);
    return p;
}

static double pool_value(void *ctx)
{
    pool_case *p = ctx;

    nn_pool_fwd(&p->x, p->y, p->arg, p->in, seg, p->pool, C);
    return weigh(p->c, p->y, p->pool == NN_POOL_LAST ? 2 * C : 2 * 2 * C);
}

Test(ops_pool, backward_matches_finite_difference)
{
    static const nn_pool pools[] = {NN_POOL_LAST, NN_POOL_MEAN_MAX};

    for (size_t i = 0; i < 2; i++) {
        pool_case p = pool_new(pools[i]);
        float din[R * C] = {0};

        pool_value(&p);
        for (int pass = 0; pass < 2; pass++) nn_pool_bwd(&p.x, din, p.c, p.arg, seg, pools[i], C);
        expect_gradient(i ? "mean_max" : "last", pool_value, &p, p.in, din, R * C, 2.0);
        nn_exec_free(&p.x);
    }
}

Test(ops_pool, last_is_the_last_row_and_needs_no_arg)
{
    pool_case p = pool_new(NN_POOL_LAST);

    nn_pool_fwd(&p.x, p.y, NULL, p.in, seg, NN_POOL_LAST, C);
    expect_same_floats("segment of one", p.y, p.in, C);
    expect_same_floats("segment of five", p.y + C, p.in + (R - 1) * C, C);
    nn_exec_free(&p.x);
}

Test(ops_pool, the_first_of_equal_maxima_wins)
{
    const float in[] = {-1, 5, /**/ 2, 5, /**/ 2, 4, /**/ 1, 0};
    const float want[] = {1, 3.5f, 2, 5}; /* mean, then maximum */
    const size_t one[] = {0, 4};
    uint32_t arg[2];
    float y[4];
    nn_exec x = exec_with(NULL, 1, 16);

    nn_pool_fwd(&x, y, arg, in, (nn_segments){one, 1}, NN_POOL_MEAN_MAX, 2);
    expect_same_floats("y", y, want, 4);
    cr_expect(arg[0] == 1 && arg[1] == 0, "rows %u and %u", arg[0], arg[1]);
    nn_exec_free(&x);
}

Test(ops_pool, threads_do_not_change_a_bit)
{
    enum { SEGS = 17, LEN = 40, WIDE = 110, N = SEGS * LEN * WIDE };
    static float in[N], dy[SEGS * 2 * WIDE], y[2][SEGS * 2 * WIDE], din[2][N];
    static uint32_t arg[SEGS * WIDE];
    size_t from[SEGS + 1];

    fill_random(in, N, 1.0f, 1);
    fill_random(dy, SEGS * 2 * WIDE, 1.0f, 2);
    for (size_t s = 0; s <= SEGS; s++) from[s] = s * LEN;
    for (size_t threads = 1; threads <= 4; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);
        const size_t to = threads > 1;

        memset(din[to], 0, sizeof din[to]);
        nn_pool_fwd(&x, y[to], arg, in, (nn_segments){from, SEGS}, NN_POOL_MEAN_MAX, WIDE);
        nn_pool_bwd(&x, din[to], dy, arg, (nn_segments){from, SEGS}, NN_POOL_MEAN_MAX, WIDE);
        nn_exec_free(&x);
        expect_same_floats("y", y[to], y[0], SEGS * 2 * WIDE);
        expect_same_floats("din", din[to], din[0], N);
    }
}
