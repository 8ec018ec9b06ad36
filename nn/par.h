/* par.h - the only door to threads.
 *
 * Reads: err.h.   Read next: par.c (the split), par_posix.c (the threads), exec.h.
 * Why: threads split independent outputs, never a sum, so neither their number nor which of them does a piece can
 * change a bit. Built without NN_THREADS (make OMP=0, make embedded) the same code runs in one thread.
 * Ownership: nn_par_open owns a team of sleeping threads until nn_par_close; copies of an nn_par borrow it.
 * Threads: one region of a team at a time. A region begun meanwhile, from inside a piece or from another thread, runs
 * whole in its caller. Not for use in a child after fork().
 */
#ifndef NN_PAR_H
#define NN_PAR_H
#include "nn/err.h"
#include <stddef.h>

typedef struct {
    size_t threads;       /* >= 1; a copy may be given fewer than the team has */
    struct nn_team *team; /* NULL: the caller alone */
} nn_par;

#define NN_PAR_MAX 64u

/* One thread: nothing is started, nothing needs closing. */
nn_par nn_par_one(void);
/* threads = 0 asks for the machine's count; more than NN_PAR_MAX gives NN_PAR_MAX; without NN_THREADS always 1. */
NN_CHECKED nn_status nn_par_open(nn_par *par, size_t threads, nn_err *err);
void nn_par_close(nn_par *par); /* ends and joins the threads; fine on a zeroed or already closed one */

/* Work on items [first, last) as piece `thread` of par.threads, the only one with that number at this time. Must not
 * allocate, fail or call Lua. */
typedef void (*nn_par_fn)(void *ctx, size_t first, size_t last, size_t thread);

/* Splits 0..n-1 into one contiguous piece per thread (static), runs them, waits for all.
 * `grain` is the smallest piece worth a thread: n < 2 * grain runs in the caller. */
void nn_par_run(const nn_par *par, size_t n, size_t grain, nn_par_fn fn, void *ctx);
#endif
