/* op_embed.c - token embedding and the n-gram memory, forward beside backward.
 *
 * Reads: ops.h.   Read next: op_rmsnorm.c. Formulas: docs/math.md#embedding.
 * Both look rows up in a table. Backward, two rows of the batch may hit the same table row, so a thread owns a piece
 * of the channels and walks all rows of the batch in order: each element of the table keeps one chain of sums.
 */
#include "nn/op_impl.h"
#include "nn/ops.h"
#include <string.h>

typedef struct {
    const nn_kern *k;
    float *y, *dtable;
    const float *table, *dy;
    const int32_t *ids;
    const uint32_t *slot;
    const size_t *start;
    size_t R, C;
} lookup;

static void embed_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *l = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++) {
        NN_ASSERT(l->ids[r] >= 0);
        memcpy(l->y + r * l->C, l->table + (size_t)l->ids[r] * l->C, l->C * sizeof *l->y);
    }
}

/* nn_embed_fwd - the table's row of each token (Bengio et al. 2003, jmlr.org/papers/v3/bengio03a, sec. 2).
 *
 *   fwd   y_r = table[id_r]
 *
 *   [out] y [R,C]     [in] table [V,C]  ids [R] in 0..V-1
 */
void nn_embed_fwd(const nn_exec *x, float *y, const float *table, const int32_t *ids, size_t R, size_t C)
{
    lookup l = {.k = x->k, .y = y, .table = table, .ids = ids, .R = R, .C = C};

    nn_par_run(&x->par, R, nn_grain(C), embed_rows, &l);
}

static void embed_channels(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *l = ctx;

    (void)thread;
    for (size_t r = 0; r < l->R; r++)
        l->k->add(l->dtable + (size_t)l->ids[r] * l->C + first, l->dy + r * l->C + first, last - first);
}

/* nn_embed_bwd - gradient of the above: a token's row adds the gradients of the places where it stood.
 *
 *   bwd   dtable[v] += sum over r with id_r = v of dy_r         r ascending
 *
 *   [inout] dtable [V,C] (NULL skips)     [in] dy [R,C]  ids [R]
 */
void nn_embed_bwd(const nn_exec *x, float *dtable, const float *dy, const int32_t *ids, size_t R, size_t C)
{
    lookup l = {.k = x->k, .dtable = dtable, .dy = dy, .ids = ids, .R = R, .C = C};

    if (dtable) nn_par_run(&x->par, C, nn_grain(R), embed_channels, &l);
}

static void memory_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *l = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++)
        for (size_t j = l->start[r]; j < l->start[r + 1]; j++)
            l->k->add(l->y + r * l->C, l->table + (size_t)l->slot[j] * l->C, l->C);
}

/* nn_memory_fwd - adds the vectors of the n-grams that end at each token (Joulin et al. 2016, arXiv:1607.01759,
 * sec. 2.1; hashed into a fixed number of rows: Svenstrup et al. 2017, arXiv:1709.03933).
 *
 *   fwd   y_r += sum over j in [start_r, start_(r+1)) of table[slot_j]      j ascending
 *
 *   [inout] y [R,C]     [in] table [M,C]  slot [start[R]] in 0..M-1  start [R+1]
 */
void nn_memory_fwd(const nn_exec *x, float *y, const float *table, const uint32_t *slot, const size_t *start,
                   size_t R, size_t C)
{
    lookup l = {.k = x->k, .y = y, .table = table, .slot = slot, .start = start, .R = R, .C = C};
    const size_t slots = R ? start[R] - start[0] : 0;

    if (R) nn_par_run(&x->par, R, nn_grain(slots / R * C), memory_rows, &l);
}

static void memory_channels(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *l = ctx;

    (void)thread;
    for (size_t r = 0; r < l->R; r++)
        for (size_t j = l->start[r]; j < l->start[r + 1]; j++)
            l->k->add(l->dtable + (size_t)l->slot[j] * l->C + first, l->dy + r * l->C + first, last - first);
}

/* nn_memory_bwd - gradient of the above; dy passes on to y unchanged, the caller keeps it.
 *
 *   bwd   dtable[m] += sum over (r, j) with slot_j = m of dy_r              r, then j ascending
 *
 *   [inout] dtable [M,C] (NULL skips)     [in] dy [R,C]  slot, start as forward
 */
void nn_memory_bwd(const nn_exec *x, float *dtable, const float *dy, const uint32_t *slot, const size_t *start,
                   size_t R, size_t C)
{
    lookup l = {.k = x->k, .dtable = dtable, .dy = dy, .slot = slot, .start = start, .R = R, .C = C};

    if (dtable && R) nn_par_run(&x->par, C, nn_grain(start[R] - start[0]), memory_channels, &l);
}
