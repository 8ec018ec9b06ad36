/* Tests of nn/par.h: every item once, contiguous pieces, the same bytes for any number of threads. */
#include "nn/par.h"
#include "tests/support.h"
#include <string.h>

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

Test(par, every_item_runs_once_in_contiguous_pieces)
{
    static const size_t sizes[] = {1, 2, 3, 7, 64, 65, 999, 1000};

    for (size_t threads = 1; threads <= 9; threads++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const nn_par par = {threads};
            log_of_pieces l = {{0}, {0}, {0}, {0}};
            size_t at = 0;

            nn_par_run(&par, sizes[s], 1, note_piece, &l);
            for (size_t i = 0; i < sizes[s]; i++) cr_assert_eq(l.seen[i], 1, "item %zu of %zu", i, sizes[s]);
            for (size_t t = 0; t < threads && l.called[t]; t++) {
                cr_assert_eq(l.called[t], 1);
                cr_assert_eq(l.first[t], at);
                at = l.last[t];
            }
            cr_assert_eq(at, sizes[s]);
        }
    }
}

Test(par, small_work_stays_in_the_caller)
{
    const nn_par par = {8};
    log_of_pieces l = {{0}, {0}, {0}, {0}};

    nn_par_run(&par, 19, 10, note_piece, &l);
    cr_expect(l.called[0] == 1 && l.last[0] == 19 && l.called[1] == 0);
    memset(&l, 0, sizeof l);
    nn_par_run(&par, 20, 10, note_piece, &l);
    cr_expect(l.last[0] == 10 && l.called[1] == 1 && l.called[2] == 0);
    memset(&l, 0, sizeof l);
    nn_par_run(&par, 0, 1, note_piece, &l);
    cr_expect(l.called[0] == 0);
}

Test(par, init_gives_at_least_one_thread_and_at_most_the_limit)
{
    cr_expect(nn_par_init(0).threads >= 1 && nn_par_init(0).threads <= NN_PAR_MAX);
    cr_expect_eq(nn_par_init(1).threads, 1u);
    cr_expect(nn_par_init(1000000).threads <= NN_PAR_MAX);
}

static void nest(void *ctx, size_t first, size_t last, size_t thread)
{
    const nn_par par = {4};

    (void)first;
    (void)last;
    nn_par_run(&par, 100, 1, note_piece, (log_of_pieces *)ctx + thread);
}

Test(par, a_region_inside_a_region_still_covers_everything)
{
    static log_of_pieces l[2];
    const nn_par par = {2};

    nn_par_run(&par, 2, 1, nest, l);
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < 100; i++) cr_assert_eq(l[t].seen[i], 1);
    }
}
