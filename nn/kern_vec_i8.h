/* kern_vec_i8.h - the vectors that the inner loops of int8 products are written with.
 *
 * Reads: nothing. Included by kern_i8.h in tables that have vectors (kern_vec.h); the base table is plain loops.
 * A vector holds I8_VEC columns: their int32 sums, or four bytes of weights of each, or the same four bytes of
 * activations for each. Every instruction set gives the exact sums, so the bits are those of the plain loops:
 *
 *   i8_start(w_sum)           sums before the first product
 *   i8_all(a)                 four activations in every column
 *   i8_dot(acc, a, w)         acc + a0 w0 + a1 w1 + a2 w2 + a3 w3 in every column
 *   i8_ones()                 1 for each activation, for sums that start at 0
 *   i8_least(x, w)            the smaller of each pair of bytes
 *   i8_store(c, acc, s, ws)   c = (float)acc * (s * ws)
 *
 * WHY int32 vectors as the type of everything: gcc 12 copies __m512i accumulators before and after vpdpbusd, whose
 * operand it holds as int32, and spills a tile of 24: 232 instead of 465 Gop/s.
 */
#ifndef NN_KERN_VEC_I8_H
#define NN_KERN_VEC_I8_H
#include <stdint.h>
#include <string.h>

static inline int32_t i8_four(const int8_t *a)
{
    int32_t v;
    memcpy(&v, a, sizeof v);
    return v;
}

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
enum { I8_VEC = 16 };
typedef int32_t i8_vec __attribute__((vector_size(64)));

static inline i8_vec i8_load(const int8_t *w)
{
    return (i8_vec)_mm512_loadu_si512(w);
}
static inline void i8_put(void *out, i8_vec v)
{
    _mm512_storeu_si512(out, (__m512i)v);
}
/* vpdpbusd wants unsigned bytes: a + 128, so that the sum starts from -128 times the sum of the weights. */
static inline i8_vec i8_all(const int8_t *a)
{
    return (i8_vec)_mm512_xor_si512(_mm512_set1_epi32(i8_four(a)), _mm512_set1_epi8(-128));
}
static inline i8_vec i8_start(const int32_t *w_sum)
{
    return (i8_vec)_mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(w_sum), 7));
}
static inline i8_vec i8_dot(i8_vec acc, i8_vec a, i8_vec w)
{
    return (i8_vec)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)a, (__m512i)w);
}
static inline i8_vec i8_ones(void)
{
    return (i8_vec)_mm512_set1_epi8(1);
}
static inline i8_vec i8_least(i8_vec x, i8_vec w)
{
    return (i8_vec)_mm512_min_epi8((__m512i)x, (__m512i)w);
}
static inline void i8_store(float *c, i8_vec acc, float s, const float *ws)
{
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(s), _mm512_loadu_ps(ws));
    _mm512_storeu_ps(c, _mm512_mul_ps(_mm512_cvtepi32_ps((__m512i)acc), scale));
}

#elif defined(__AVX2__)
#include <immintrin.h>
enum { I8_VEC = 8 };
typedef int32_t i8_vec __attribute__((vector_size(32)));

static inline i8_vec i8_load(const int8_t *w)
{
    return (i8_vec)_mm256_loadu_si256((const __m256i *)(const void *)w);
}
static inline void i8_put(void *out, i8_vec v)
{
    _mm256_storeu_si256((__m256i *)out, (__m256i)v);
}
static inline i8_vec i8_all(const int8_t *a)
{
    return (i8_vec)_mm256_set1_epi32(i8_four(a));
}
static inline i8_vec i8_start(const int32_t *w_sum)
{
    (void)w_sum;
    return (i8_vec)_mm256_setzero_si256();
}
/* vpmaddubsw wants one operand unsigned: |a| and w with the sign of a. Pairs stay within 2 * 127 * 127 < 2^15 since
 * -128 never occurs. */
static inline i8_vec i8_dot(i8_vec acc, i8_vec a, i8_vec w)
{
    const __m256i size = _mm256_abs_epi8((__m256i)a), turned = _mm256_sign_epi8((__m256i)w, (__m256i)a);
    const __m256i pairs = _mm256_maddubs_epi16(size, turned);
    return acc + (i8_vec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
static inline i8_vec i8_ones(void)
{
    return (i8_vec)_mm256_set1_epi8(1);
}
static inline i8_vec i8_least(i8_vec x, i8_vec w)
{
    return (i8_vec)_mm256_min_epi8((__m256i)x, (__m256i)w);
}
static inline void i8_store(float *c, i8_vec acc, float s, const float *ws)
{
    const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(s), _mm256_loadu_ps(ws));
    _mm256_storeu_ps(c, _mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)acc), scale));
}

#elif defined(__aarch64__)
#include <arm_neon.h>
enum { I8_VEC = 4 };
typedef int32x4_t i8_vec;

static inline i8_vec i8_load(const int8_t *w)
{
    return vreinterpretq_s32_s8(vld1q_s8(w));
}
static inline void i8_put(void *out, i8_vec v)
{
    vst1q_s8(out, vreinterpretq_s8_s32(v));
}
static inline i8_vec i8_all(const int8_t *a)
{
    return vdupq_n_s32(i8_four(a));
}
static inline i8_vec i8_start(const int32_t *w_sum)
{
    (void)w_sum;
    return vdupq_n_s32(0);
}
/* Without the dot product of ARMv8.2: products of bytes fit 16 bits, and so does the sum of the two that vpaddq makes,
 * since -128 never occurs. */
static inline i8_vec i8_dot(i8_vec acc, i8_vec a, i8_vec w)
{
    const int8x16_t x = vreinterpretq_s8_s32(a), y = vreinterpretq_s8_s32(w);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(acc, y, x);
#else
    return vpadalq_s16(acc, vpaddq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)), vmull_high_s8(x, y)));
#endif
}
static inline i8_vec i8_ones(void)
{
    return vreinterpretq_s32_s8(vdupq_n_s8(1));
}
static inline i8_vec i8_least(i8_vec x, i8_vec w)
{
    return vreinterpretq_s32_s8(vminq_s8(vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(w)));
}
static inline void i8_store(float *c, i8_vec acc, float s, const float *ws)
{
    vst1q_f32(c, vmulq_f32(vcvtq_f32_s32(acc), vmulq_n_f32(vld1q_f32(ws), s)));
}
#endif
#endif
