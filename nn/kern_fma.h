/* kern_fma.h - the exact fmaf of the base table, in double arithmetic and without a branch.
 *
 * Read next: kern_base.c.
 * Why: fmaf of a C library is a function call, and slow where the CPU has no such instruction; a loop around it
 * does not vectorise. This one does, with nothing but IEEE doubles and 64-bit integers.
 *
 *   1. p = a b is exact: 24 + 24 bits fit into 53, the exponents into double's.
 *   2. s = p + c rounded, e = what the rounding lost, exact (Knuth's two-sum).
 *   3. When e != 0 and s is even, s moves one step towards e: s is then the sum rounded to odd.
 *   4. The float nearest to s is the float nearest to a b + c, ties and subnormals included, because 53 bits
 *      are at least two more than twice 24 bits need (Boldo & Melquiond 2008, doi:10.1109/TC.2007.70819).
 *
 * Right for all finite inputs, overflow to infinity included; an infinite or NaN input gives IEEE's result (a NaN's
 * payload is not part of the promise).
 */
#ifndef NN_KERN_FMA_H
#define NN_KERN_FMA_H
#include <stdint.h>
#include <string.h>

static inline float nn_fmaf_exact(float a, float b, float c)
{
    const double p = (double)a * (double)b, z = (double)c;
    const double s = p + z;
    const double z_part = s - p;
    const double e = (p - (s - z_part)) + (z - z_part);
    uint64_t bits;

    memcpy(&bits, &s, sizeof bits);
    /* e is NaN when s is infinite or NaN: then neither comparison holds and s stays. */
    const uint64_t away = (uint64_t)((e > 0.0) & (s > 0.0)) | (uint64_t)((e < 0.0) & (s < 0.0));
    const uint64_t back = (uint64_t)((e < 0.0) & (s > 0.0)) | (uint64_t)((e > 0.0) & (s < 0.0));
    const uint64_t even = ~bits & 1u;
    bits += (away & even) - (back & even);

    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return (float)odd;
}
#endif
