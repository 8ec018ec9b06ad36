/* Tests of attention over caches: whoever feeds the rows, one by one or in chunks, gets the bytes of forward. */
#include "nn/ops.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    size_t H, K, D, longest;
} shape;

/* Head widths around the panel of 16, lengths over several panels and tiles, groups of one, three and more than a
 * tile's rows. */
static const shape shapes[] = {{"odd width, groups of three", 6, 2, 7, 70},
                               {"wide", 4, 4, 32, 150},
                               {"a width of one panel and a half", 4, 2, 24, 101},
                               {"one kv head", 3, 1, 16, 64},
                               {"more query heads than a tile has rows", 35, 1, 4, 21}};
/* None, one key, less than a panel, a tile of rows and one more, more than most shapes are long. */
static const size_t windows[] = {0, 1, 9, 33, 100};
enum { SHAPES = sizeof shapes / sizeof *shapes, WINDOWS = sizeof windows / sizeof *windows, SEQS = 3 };

typedef struct {
    shape s;
    size_t window, start[SEQS + 1], fed[SEQS];
    float *q, *k, *v, *want; /* of all sequences end to end */
    float *cache[SEQS];
    float *q_in, *k_in, *v_in, *y; /* of a round */
} replay;

static float *floats(size_t n)
{
    float *x = malloc(n * sizeof *x);

    cr_assert_not_null(x);
    return x;
}

static void replay_open(replay *r, shape s, size_t window)
{
    const size_t len[SEQS] = {s.longest, 1, s.longest / 2 + 3};

    *r = (replay){.s = s, .window = window};
    for (size_t i = 0; i < SEQS; i++) r->start[i + 1] = r->start[i] + len[i];
    const size_t R = r->start[SEQS], qs = R * s.H * s.D, kvs = R * s.K * s.D;
    r->q = floats(qs), r->k = floats(kvs), r->v = floats(kvs), r->want = floats(qs);
    r->q_in = floats(qs), r->k_in = floats(kvs), r->v_in = floats(kvs), r->y = floats(qs);
    fill_random(r->q, qs, 2.0f, 1);
    fill_random(r->k, kvs, 2.0f, 2);
    fill_random(r->v, kvs, 2.0f, 3);
    for (size_t i = 0; i < SEQS; i++) {
        const size_t n = nn_attn_cache_floats(s.longest, s.K, s.D);
        r->cache[i] = floats(n);
        for (size_t j = 0; j < n; j++) r->cache[i][j] = NAN; /* what nobody wrote must not be read */
    }
}

static void replay_free(replay *r)
{
    float *all[] = {r->q, r->k, r->v, r->want, r->q_in, r->k_in, r->v_in, r->y};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    for (size_t i = 0; i < SEQS; i++) free(r->cache[i]);
}

/* One round: up to chunk[i] further rows of sequence i, packed, over the caches. False when nothing was left. */
static bool feed(replay *r, const nn_exec *x, const size_t *chunk)
{
    const size_t q = r->s.H * r->s.D, kv = r->s.K * r->s.D;
    size_t begin[SEQS + 1] = {0}, past[SEQS], first[SEQS], n = 0;
    float *cache[SEQS];

    for (size_t i = 0; i < SEQS; i++) {
        const size_t left = r->start[i + 1] - r->start[i] - r->fed[i], rows = chunk[i] < left ? chunk[i] : left;
        const size_t from = r->start[i] + r->fed[i], to = begin[n];

        if (rows == 0) continue;
        memcpy(r->q_in + to * q, r->q + from * q, rows * q * sizeof *r->q);
        memcpy(r->k_in + to * kv, r->k + from * kv, rows * kv * sizeof *r->k);
        memcpy(r->v_in + to * kv, r->v + from * kv, rows * kv * sizeof *r->v);
        begin[n + 1] = to + rows;
        past[n] = r->fed[i];
        cache[n] = r->cache[i];
        first[n++] = from;
        r->fed[i] += rows;
    }
    if (n == 0) return false;
    nn_attn_cached(x, r->y, r->q_in, r->k_in, r->v_in, cache, past, (nn_segments){begin, n}, r->s.longest,
                   r->window, r->s.H, r->s.K, r->s.D);
    for (size_t i = 0; i < n; i++)
        expect_same_floats(r->s.name, r->y + begin[i] * q, r->want + first[i] * q, (begin[i + 1] - begin[i]) * q);
    return true;
}

static void expect_forward(const char *table, size_t threads, const size_t (*chunk)[SEQS], size_t n_chunk)
{
    for (size_t i = 0; i < SHAPES * WINDOWS; i++) {
        const shape *s = shapes + i % SHAPES;
        nn_exec x = exec_with(table, threads, s->longest);
        replay r;

        replay_open(&r, *s, windows[i / SHAPES]);
        nn_attn_fwd(&x, r.want, r.q, r.k, r.v, (nn_segments){r.start, SEQS}, r.window, s->H, s->K, s->D);
        for (size_t round = 0; feed(&r, &x, chunk[round % n_chunk]); round++) {}
        replay_free(&r);
        nn_exec_free(&x);
    }
}

static const size_t one_by_one[][SEQS] = {{1, 1, 1}};
/* tiles that begin inside a panel, several tiles at once, rows that decode beside rows that prefill */
static const size_t chunks[][SEQS] = {{33, 1, 1}, {1, 1, 7}, {100, 1, 2}};

Test(ops_attn_cache, rows_fed_one_by_one_are_the_bytes_of_forward)
{
    bool supported = false;

    for (size_t i = 0; nn_kern_at(i, &supported); i++)
        if (supported) expect_forward(nn_kern_at(i, &supported)->name, 1, one_by_one, 1);
}

Test(ops_attn_cache, rows_fed_in_chunks_are_the_bytes_of_forward)
{
    bool supported = false;

    for (size_t i = 0; nn_kern_at(i, &supported); i++)
        if (supported) expect_forward(nn_kern_at(i, &supported)->name, 1, chunks, 3);
}

Test(ops_attn_cache, threads_do_not_change_a_bit)
{
    for (size_t threads = 2; threads <= 4; threads++) {
        expect_forward(NULL, threads, one_by_one, 1);
        expect_forward(NULL, threads, chunks, 3);
    }
}

Test(ops_attn_cache, a_cache_too_large_to_count_is_said)
{
    cr_expect_eq(nn_attn_cache_floats(SIZE_MAX - 3, 2, 64), SIZE_MAX / sizeof(float));
    cr_expect_eq(nn_attn_cache_floats(100, SIZE_MAX / 64, 64), SIZE_MAX / sizeof(float));
    cr_expect_eq(nn_attn_cache_floats(33, 2, 20), 2u * 48u * (20u + 32u));
}
