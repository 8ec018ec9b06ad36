/* par.c - how work is split; alone, also all of one-threaded builds.
 *
 * Reads: par.h, par_impl.h.   Read next: par_posix.c.
 */
#include "nn/par.h"
#include "nn/par_impl.h"

nn_par nn_par_one(void)
{
    return (nn_par){1, NULL};
}

#ifndef NN_THREADS
nn_status nn_par_open(nn_par *par, size_t threads, nn_err *err)
{
    (void)threads;
    (void)err;
    *par = nn_par_one();
    return NN_OK;
}

void nn_par_close(nn_par *par)
{
    *par = (nn_par){0, NULL};
}

bool nn_team_run(struct nn_team *team, size_t pieces, size_t n, nn_par_fn fn, void *ctx)
{
    (void)team, (void)pieces, (void)n, (void)fn, (void)ctx;
    return false;
}
#endif

void nn_par_run(const nn_par *par, size_t n, size_t grain, nn_par_fn fn, void *ctx)
{
    const size_t enough = grain > 1 ? n / grain : n;
    const size_t pieces = par->threads < enough ? par->threads : enough;

    NN_ASSERT(par->threads == 1 || (par->team && par->threads > 1 && par->threads <= NN_PAR_MAX));
    if (n == 0) return;
    if (pieces >= 2 && nn_team_run(par->team, pieces, n, fn, ctx)) return;
    fn(ctx, 0, n, 0); /* no region at all: nothing to wake, nothing to wait for */
}
