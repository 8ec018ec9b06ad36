#include "nn/par.h"
#include "nn/err.h"
#ifdef _OPENMP
#include <omp.h>
#endif

nn_par nn_par_init(size_t threads)
{
    size_t most = 1;

#ifdef _OPENMP
    if (threads == 0) threads = (size_t)omp_get_num_procs();
    most = NN_PAR_MAX;
#endif
    if (threads < 1) threads = 1;
    return (nn_par){threads < most ? threads : most};
}

/* Start of piece t when n items fall into `pieces` pieces whose sizes differ by at most one. */
static size_t piece_start(size_t n, size_t pieces, size_t t)
{
    const size_t extra = n % pieces;

    return n / pieces * t + (t < extra ? t : extra);
}

void nn_par_run(const nn_par *par, size_t n, size_t grain, nn_par_fn fn, void *ctx)
{
    const size_t enough = grain > 1 ? n / grain : n;
    const size_t pieces = par->threads < enough ? par->threads : enough;

    NN_ASSERT(par->threads >= 1 && par->threads <= NN_PAR_MAX);
    if (n == 0) return;
    if (pieces < 2) { /* no region at all: nothing to wake, nothing to wait for */
        fn(ctx, 0, n, 0);
        return;
    }
    const int count = (int)pieces;
#ifdef _OPENMP
#pragma omp parallel for num_threads(count) schedule(static, 1)
#endif
    for (int t = 0; t < count; t++) {
        const size_t piece = (size_t)t;

        fn(ctx, piece_start(n, pieces, piece), piece_start(n, pieces, piece + 1), piece);
    }
}
