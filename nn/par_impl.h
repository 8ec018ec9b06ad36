/* par_impl.h - what par.c asks of a team of threads.
 *
 * Reads: par.h.   Read next: par_posix.c.
 */
#ifndef NN_PAR_IMPL_H
#define NN_PAR_IMPL_H
#include "nn/par.h"
#include <stdbool.h>

/* Runs all pieces and waits for them; false, with nothing done, when the team is in a region already. pieces >= 2. */
bool nn_team_run(struct nn_team *team, size_t pieces, size_t n, nn_par_fn fn, void *ctx);
#endif
