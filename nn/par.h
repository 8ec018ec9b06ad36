/* par.h - the only door to threads.
 *
 * Why: threads split independent outputs, never a sum, so the number of threads
 * cannot change a bit. One file holds the OpenMP pragma; OMP=0 runs the same code
 * in one thread.
 */
#ifndef NN_PAR_H
#define NN_PAR_H
#include <stddef.h>

typedef struct {
    size_t threads; /* >= 1 */
} nn_par;

/* threads = 0 asks for the machine's count (at most NN_PAR_MAX); without OpenMP always 1. */
#define NN_PAR_MAX 64u
nn_par nn_par_init(size_t threads);

/* Work on items [first, last) as thread `thread` of par.threads. Must not allocate, fail or call Lua. */
typedef void (*nn_par_fn)(void *ctx, size_t first, size_t last, size_t thread);

/* Splits 0..n-1 into one contiguous piece per thread (static), runs them, waits for all.
 * `grain` is the smallest piece worth a thread: n < 2 * grain runs in the caller. */
void nn_par_run(const nn_par *par, size_t n, size_t grain, nn_par_fn fn, void *ctx);
#endif
