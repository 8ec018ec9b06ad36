/* op_impl.h - what the op files share: how large a piece of work is worth a thread.
 *
 * Reads: exec.h.   Read next: op_rmsnorm.c (the simplest op).
 * Why: starting threads costs microseconds. A piece below 16384 elements runs faster in the caller; the split
 * never changes a bit, because threads split outputs and no sum.
 */
#ifndef NN_OP_IMPL_H
#define NN_OP_IMPL_H
#include <stddef.h>

enum { NN_PIECE = 16384 };

/* How many items of `elements` each make a piece worth a thread: at least 1. */
static inline size_t nn_grain(size_t elements)
{
    return 1 + NN_PIECE / (elements + 1);
}
#endif
