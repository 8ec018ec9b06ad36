/* Tests of nn/par.h: every item once, the same pieces whoever does them, regions in regions, threads that end. */
#include "nn/arena.h"
#include "nn/par.h"
#include "tests/support.h"
#include <pthread.h>
#include <string.h>
#include <time.h>

typedef struct {
    unsigned char seen[1000];
    size_t first[NN_PAR_MAX], last[NN_PAR_MAX];
    unsigned char called[NN_PAR_MAX];
} log_of_pieces;

static void note_piece(void *ctx, size_t first, size_t last, size_t thread)
{
    log_of_pieces *l = ctx;

    for (size_t i = first; i < last; i++) l->seen[i]++;
    l->first[thread] = first;
    l->last[thread] = last;
    l->called[thread]++;
}

static nn_par open_par(size_t threads)
{
    nn_par par;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_par_open(&par, threads, &err), &err);
    return par;
}

/* Pieces 0..pieces-1 were done once each, touch, and differ in size by at most one. */
static void expect_split(const log_of_pieces *l, size_t n, size_t pieces)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) cr_assert_eq(l->seen[i], 1, "item %zu of %zu", i, n);
    for (size_t t = 0; t < pieces; t++) {
        cr_assert_eq(l->called[t], 1, "piece %zu of %zu", t, pieces);
        cr_assert_eq(l->first[t], at);
        cr_assert(l->last[t] - at == n / pieces || l->last[t] - at == n / pieces + 1);
        at = l->last[t];
    }
    cr_assert_eq(at, n);
    for (size_t t = pieces; t < NN_PAR_MAX; t++) cr_assert_eq(l->called[t], 0);
}

Test(par, every_item_runs_once_in_contiguous_pieces)
{
    static const size_t sizes[] = {1, 2, 3, 7, 64, 65, 999, 1000};

    for (size_t threads = 1; threads <= 9; threads++) {
        nn_par par = open_par(threads);
        const size_t most = par.threads; /* 1 in a build without threads */

        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            log_of_pieces l = {{0}, {0}, {0}, {0}};

            nn_par_run(&par, sizes[s], 1, note_piece, &l);
            expect_split(&l, sizes[s], most < sizes[s] ? most : sizes[s]);
        }
        nn_par_close(&par);
    }
}

Test(par, small_work_stays_in_the_caller)
{
    nn_par par = open_par(8);
    log_of_pieces l = {{0}, {0}, {0}, {0}};

    nn_par_run(&par, 19, 10, note_piece, &l);
    expect_split(&l, 19, 1);
    memset(&l, 0, sizeof l);
    nn_par_run(&par, 20, 10, note_piece, &l);
    expect_split(&l, 20, par.threads > 1 ? 2 : 1);
    memset(&l, 0, sizeof l);
    nn_par_run(&par, 0, 1, note_piece, &l);
    cr_expect(l.called[0] == 0);
    nn_par_close(&par);
}

Test(par, a_copy_may_use_fewer_threads)
{
    nn_par par = open_par(5);
    log_of_pieces l = {{0}, {0}, {0}, {0}};
    nn_par few = par;

    few.threads = par.threads < 3 ? par.threads : 3;
    nn_par_run(&few, 100, 1, note_piece, &l);
    expect_split(&l, 100, few.threads);
    nn_par_close(&par);
}

Test(par, open_gives_at_least_one_thread_and_at_most_the_limit)
{
    static const size_t asked[] = {0, 1, 2, NN_PAR_MAX, 1000000};

    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        nn_par par = open_par(asked[i]);

        cr_expect(par.threads >= 1 && par.threads <= NN_PAR_MAX);
        cr_expect(par.threads == 1 || asked[i] == 0 || par.threads == asked[i] || asked[i] > NN_PAR_MAX);
        cr_expect(asked[i] != 1 || !par.team);
        nn_par_close(&par);
        nn_par_close(&par);
    }
    cr_expect(nn_par_one().threads == 1 && !nn_par_one().team);
}

Test(par, no_memory_is_a_status_and_leaves_no_thread_behind)
{
    nn_par par;
    nn_err err = {NN_OK, ""};
    nn_status st = NN_LIMIT;
    long n = 0;

    for (; st == NN_LIMIT && n < 10; n++) {
        nn_alloc_fail_at(n);
        st = nn_par_open(&par, 4, &err);
        nn_alloc_fail_at(-1);
        if (st == NN_LIMIT) cr_expect(par.threads == 1 && !par.team);
        err = (nn_err){NN_OK, ""};
    }
    cr_expect_eq(st, NN_OK);
    cr_expect_eq(n, par.threads > 1 ? 3 : 1);
    nn_par_close(&par);
}

/* --- pieces that wait, sleep and nest -------------------------------------------------------------------------- */

static void sleep_ms(long ms)
{
    const struct timespec t = {0, ms * 1000000L};

    nanosleep(&t, NULL);
}

typedef struct {
    log_of_pieces l;
    pthread_mutex_t lock;
    size_t pieces, here;
    bool alone;
} meeting;

/* Each piece waits until all have begun: ten seconds is never reached unless a worker sleeps on. */
static void meet(void *ctx, size_t first, size_t last, size_t thread)
{
    meeting *m = ctx;
    bool all = false;

    note_piece(&m->l, first, last, thread);
    for (int ms = 0; !all && ms < 10000; ms++) {
        pthread_mutex_lock(&m->lock);
        if (ms == 0) m->here++;
        all = m->here == m->pieces;
        pthread_mutex_unlock(&m->lock);
        if (!all) sleep_ms(1);
    }
    pthread_mutex_lock(&m->lock);
    if (!all) m->alone = true;
    pthread_mutex_unlock(&m->lock);
}

Test(par, pieces_run_at_the_same_time_also_after_a_sleep)
{
    nn_par par = open_par(3);

    for (size_t round = 0; round < 8; round++) {
        meeting m = {.lock = PTHREAD_MUTEX_INITIALIZER, .pieces = par.threads};

        if (round % 2) sleep_ms(5); /* long enough for all workers to be asleep */
        nn_par_run(&par, 30, 1, meet, &m);
        cr_assert(!m.alone, "round %zu: a worker did not wake", round);
        expect_split(&m.l, 30, par.threads);
    }
    nn_par_close(&par);
}

static void slow_worker(void *ctx, size_t first, size_t last, size_t thread)
{
    if (thread > 0) sleep_ms(5);
    note_piece(ctx, first, last, thread);
}

Test(par, a_caller_that_is_done_first_sleeps_until_all_are)
{
    nn_par par = open_par(3);

    for (size_t round = 0; round < 8; round++) {
        log_of_pieces l = {{0}, {0}, {0}, {0}};

        nn_par_run(&par, 30, 1, slow_worker, &l);
        expect_split(&l, 30, par.threads);
    }
    nn_par_close(&par);
}

typedef struct {
    float x[4096];
    float sum[NN_PAR_MAX];
} sums;

static void add_up(void *ctx, size_t first, size_t last, size_t thread)
{
    sums *s = ctx;

    s->sum[thread] = 0.0f;
    for (size_t i = first; i < last; i++) {
        s->x[i] += 1.0f / (float)(i + 1);
        s->sum[thread] += s->x[i];
    }
}

/* Short regions in a row: a late worker must meet the region that is open, not the one it was woken for. */
Test(par, short_regions_in_a_row_lose_nothing)
{
    enum { ROUNDS = 20000, N = 37 };
    static sums s;
    nn_par par = open_par(4);

    memset(&s, 0, sizeof s);
    for (size_t round = 0; round < ROUNDS; round++) nn_par_run(&par, N - round % 5, 1, add_up, &s);
    for (size_t i = 0; i < N; i++) {
        float want = 0.0f;
        for (size_t round = 0; round < ROUNDS; round++)
            if (i < N - round % 5) want += 1.0f / (float)(i + 1);
        cr_assert_eq(s.x[i], want, "item %zu: %g, want %g", i, (double)s.x[i], (double)want);
    }
    nn_par_close(&par);
}

typedef struct {
    const nn_par *par;
    log_of_pieces l[4];
} nested;

static void nest(void *ctx, size_t first, size_t last, size_t thread)
{
    nested *n = ctx;

    (void)thread;
    for (size_t i = first; i < last; i++) nn_par_run(n->par, 100, 1, note_piece, &n->l[i]);
}

Test(par, a_region_inside_a_region_runs_whole_in_its_thread)
{
    static nested n;
    nn_par par = open_par(4);

    n.par = &par;
    nn_par_run(&par, 4, 1, nest, &n);
    for (size_t i = 0; i < 4; i++) expect_split(&n.l[i], 100, 1);
    nn_par_close(&par);
}

static void *run_many(void *arg)
{
    for (size_t i = 0; i < 200; i++) nn_par_run(((nested *)arg)->par, 100, 1, note_piece, &((nested *)arg)->l[0]);
    return NULL;
}

Test(par, two_callers_of_one_team_do_not_disturb_each_other)
{
    static nested n, other;
    nn_par par = open_par(2);
    pthread_t id;

    n.par = other.par = &par;
    cr_assert_eq(pthread_create(&id, NULL, run_many, &other), 0);
    run_many(&n);
    cr_assert_eq(pthread_join(id, NULL), 0);
    for (size_t i = 0; i < 100; i++) cr_assert(n.l[0].seen[i] == 200 && other.l[0].seen[i] == 200, "item %zu", i);
    nn_par_close(&par);
}
