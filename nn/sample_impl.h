/* sample_impl.h - what the two files of the sampler share.
 *
 * Reads: decode.h.   Read next: sample.c, sample_cut.c.
 */
#ifndef NN_SAMPLE_IMPL_H
#define NN_SAMPLE_IMPL_H
#include "nn/decode.h"

/* How far two sums of the same n numbers, none negative, may lie apart whatever their order, and u times such a sum
 * from u times the other: each is within n 2^-53 of the real one (Higham 2002, Accuracy and Stability of Numerical
 * Algorithms, sec. 4.2). A place and its goal are four sums; this is twice theirs. */
static inline double nn_chain_slack(size_t n, double whole)
{
    return whole * (double)(n + 8) * 0x1p-50;
}

/* The sum of p [n], not as a chain: eight side by side. */
double nn_sum_by_eight(const float *p, size_t n);

/* The candidate drawn with u in [0,1) after the sampler's top-k and top-p, of n with probabilities p, which are
 * destroyed. [scratch] room [n] */
size_t nn_sample_cut(const nn_sampler *s, float *p, uint32_t *room, size_t n, double u);
#endif
