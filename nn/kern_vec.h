/* kern_vec.h - the vectors that the inner loops of products are written with.
 *
 * Reads: nothing. Included by the instance files that have vectors, before kern_body.h; base does not, so that it is
 * the plain loops on every machine.   Read next: kern_tile.h.
 * Why not plain arrays: gcc 12 and clang 14 vectorise an array of accumulators only for some of its shapes (4 x 24 yes,
 * 6 x 16 spills), and the transpose of a square in registers they do not find at all. Measured against the plain arrays
 * before (AVX2, one thread): 1.5 times at A B^T of 64 x 256 x 64, 1.4 at 32 x 512 x 512 with AVX-512; 1.36 and 1.19
 * with AVX2. Every operation here is one IEEE operation in each element, so these are the bits of the plain loops,
 * which stay beside them and are what the base table runs.
 *
 * An instruction set: nn_vec, NN_VEC floats in it, vec_load, vec_store, vec_all (one float everywhere), vec_fma
 * (a b + c, rounded once) and vec_transpose: out[p * out_step + r] = in[r * in_step + p], a square of NN_VEC.
 */
#ifndef NN_KERN_VEC_H
#define NN_KERN_VEC_H
#include <stddef.h>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define NN_VEC 16u
typedef __m512 nn_vec;

static inline nn_vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vec_store(float *p, nn_vec v)
{
    _mm512_storeu_ps(p, v);
}
static inline nn_vec vec_all(float f)
{
    return _mm512_set1_ps(f);
}
static inline nn_vec vec_fma(nn_vec a, nn_vec b, nn_vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* Four floats of rows r, r + 4, r + 8, r + 12 in the four quarters. WHY masked loads: they bring the quarters together
 * on the load ports, so that only 32 of the 64 shuffles of a 16 x 16 transpose are left. */
static inline nn_vec vec_quarters(const float *in, size_t step)
{
    nn_vec v = _mm512_castps128_ps512(_mm_loadu_ps(in));
    v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps(in + 4 * step));
    v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps(in + 8 * step));
    return _mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps(in + 12 * step));
}

static inline void vec_transpose(float *out, size_t out_step, const float *in, size_t in_step)
{
    for (size_t p = 0; p < NN_VEC; p += 4, in += 4, out += 4 * out_step) {
        const nn_vec r0 = vec_quarters(in, in_step), r1 = vec_quarters(in + in_step, in_step);
        const nn_vec r2 = vec_quarters(in + 2 * in_step, in_step), r3 = vec_quarters(in + 3 * in_step, in_step);
        const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
        const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
        const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
        const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
        vec_store(out, _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23)));
        vec_store(out + out_step, _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23)));
        vec_store(out + 2 * out_step, _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23)));
        vec_store(out + 3 * out_step, _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23)));
    }
}

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define NN_VEC 8u
typedef __m256 nn_vec;

static inline nn_vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vec_store(float *p, nn_vec v)
{
    _mm256_storeu_ps(p, v);
}
static inline nn_vec vec_all(float f)
{
    return _mm256_set1_ps(f);
}
static inline nn_vec vec_fma(nn_vec a, nn_vec b, nn_vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* Four floats of rows r and r + 4. */
static inline nn_vec vec_halves(const float *in, size_t step)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(in)), _mm_loadu_ps(in + 4 * step), 1);
}

static inline void vec_transpose(float *out, size_t out_step, const float *in, size_t in_step)
{
    for (size_t p = 0; p < NN_VEC; p += 4, in += 4, out += 4 * out_step) {
        const nn_vec r0 = vec_halves(in, in_step), r1 = vec_halves(in + in_step, in_step);
        const nn_vec r2 = vec_halves(in + 2 * in_step, in_step), r3 = vec_halves(in + 3 * in_step, in_step);
        const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
        const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
        const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
        const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
        vec_store(out, _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23)));
        vec_store(out + out_step, _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23)));
        vec_store(out + 2 * out_step, _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23)));
        vec_store(out + 3 * out_step, _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23)));
    }
}

#elif defined(__aarch64__)
#include <arm_neon.h>
#define NN_VEC 4u
typedef float32x4_t nn_vec;

static inline nn_vec vec_load(const float *p)
{
    return vld1q_f32(p);
}
static inline void vec_store(float *p, nn_vec v)
{
    vst1q_f32(p, v);
}
static inline nn_vec vec_all(float f)
{
    return vdupq_n_f32(f);
}
static inline nn_vec vec_fma(nn_vec a, nn_vec b, nn_vec c)
{
    return vfmaq_f32(c, a, b);
}
static inline void vec_transpose(float *out, size_t out_step, const float *in, size_t in_step)
{
    for (size_t p = 0; p < NN_VEC; p++)
        for (size_t r = 0; r < NN_VEC; r++) out[p * out_step + r] = in[r * in_step + p];
}
#endif
#endif
