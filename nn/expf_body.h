/* expf_body.h - the float exponential, written once for mathf.c and for every kernel table.
 *
 * Reads: nothing.   Read next: mathf.c, kern_body.h (its two users).
 * Why: kernels inline exp so that the compiler vectorises it; mathf.c offers it as a function. The
 * bits agree because the text is the same. NN_FMAF names the exact fused multiply-add of the
 * including file (fmaf, or the emulation of the base table).
 *
 *   exp(x) = 2^n exp(r),  n = rint(x / ln 2),  r = x - n ln 2 in [-0.347, 0.347]
 *   exp(r) = 1 + r + r^2 q(r): q of degree 4 is minimax in relative error (Remez exchange in 120-bit
 *   arithmetic, coefficients then rounded to float): 2^-27.7 before rounding errors.
 *
 * No branch, no conversion between float and int: NaN in gives NaN out without undefined behaviour.
 */
#ifndef NN_EXPF_BODY_H
#define NN_EXPF_BODY_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef NN_FMAF
#error "define NN_FMAF before including nn/expf_body.h"
#endif

static inline float nn_expf_body(float x)
{
    /* 1. n by adding 1.5 * 2^23: the sum's last bits are then rint(x / ln 2). */
    const float shifter = 12582912.0f;
    const float shifted = x * 0x1.715476p+0f + shifter;
    const float n = shifted - shifter;

    /* 2. r; ln 2 is split so that n * ln2_hi is exact (15 bits) and the first subtraction too. */
    float r = NN_FMAF(-n, 0x1.62e4p-1f, x);
    r = NN_FMAF(-n, 0x1.7f7d1cp-20f, r);

    /* 3. 1 + r + r^2 q(r), by Horner. */
    float p = 0x1.6a2346p-10f;
    p = NN_FMAF(p, r, 0x1.123a6cp-7f);
    p = NN_FMAF(p, r, 0x1.5558f4p-5f);
    p = NN_FMAF(p, r, 0x1.55549p-3f);
    p = NN_FMAF(p, r, 0x1.fffffcp-2f);
    p = NN_FMAF(p, r, 1.0f);
    p = NN_FMAF(p, r, 1.0f);

    /* 4. Times 2^n as two factors: each is a normal float (exponent fields 52..191), so only the last
     *    product rounds and subnormal results are right. The two fields add up to n + 254. */
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    const uint32_t fields = bits - 0x4b400000u + 254u;
    const uint32_t bits_a = (fields >> 1) << 23, bits_b = (fields - (fields >> 1)) << 23;
    float scale_a, scale_b;
    memcpy(&scale_a, &bits_a, sizeof scale_a);
    memcpy(&scale_b, &bits_b, sizeof scale_b);
    const float y = p * scale_a * scale_b;

    /* 5. Beyond these ends what stands in y is noise. A NaN fails both comparisons and stays.
     * WHY here and not as clamps of x: gcc 12 carries the constants through all of the above and blends five times,
     * 0.53 instead of 0.40 ns an element in the avx2 table, 0.40 instead of 0.30 in avx512. */
    const float below_inf = x > 89.0f ? HUGE_VALF : y;
    return x < -104.0f ? 0.0f : below_inf;
}
#endif
