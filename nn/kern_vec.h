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
 * Where NN_WORDS is defined, vectors of as many words of 32 bits, for weights in files' types: words_turn gives word i
 * of NN_VEC rows (step bytes apart) as w[i], i < 4; the rest does one thing in each element.
 */
#ifndef NN_KERN_VEC_H
#define NN_KERN_VEC_H
#include <stddef.h>
#include <stdint.h>

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
static inline nn_vec vec_from_f16(const unsigned char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
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

#define NN_WORDS
typedef __m512i nn_words;

static inline nn_vec vec_mul(nn_vec a, nn_vec b)
{
    return _mm512_mul_ps(a, b);
}
static inline nn_vec vec_add(nn_vec a, nn_vec b)
{
    return _mm512_add_ps(a, b);
}
static inline nn_vec vec_sub(nn_vec a, nn_vec b)
{
    return _mm512_sub_ps(a, b);
}
static inline nn_words words_load(const unsigned char *p)
{
    return _mm512_loadu_si512(p);
}
static inline nn_words words_and(nn_words w, uint32_t mask)
{
    return _mm512_and_si512(w, _mm512_set1_epi32((int)mask));
}
static inline nn_words words_or(nn_words a, nn_words b)
{
    return _mm512_or_si512(a, b);
}
static inline nn_words words_left(nn_words w, int n)
{
    return _mm512_sllv_epi32(w, _mm512_set1_epi32(n));
}
static inline nn_words words_right(nn_words w, int n)
{
    return _mm512_srlv_epi32(w, _mm512_set1_epi32(n));
}
static inline nn_words words_signed(nn_words w, int b) /* byte b, with its sign */
{
    return _mm512_srai_epi32(words_left(w, 24 - 8 * b), 24);
}
static inline nn_vec words_float(nn_words w) /* of signed integers */
{
    return _mm512_cvtepi32_ps(w);
}
static inline nn_vec words_bits(nn_words w)
{
    return _mm512_castsi512_ps(w);
}
/* Halves of two words: v[0], v[2] of the lower ones of a and b, v[1], v[3] of the upper ones. */
static inline void words_f16(nn_vec v[4], nn_words a, nn_words b)
{
    const __m512i even = _mm512_set_epi32(0x003e003c, 0x003a0038, 0x00360034, 0x00320030, 0x002e002c, 0x002a0028,
                                          0x00260024, 0x00220020, 0x001e001c, 0x001a0018, 0x00160014, 0x00120010,
                                          0x000e000c, 0x000a0008, 0x00060004, 0x00020000);
    const __m512i odd = _mm512_or_si512(even, _mm512_set1_epi16(1));
    const __m512i low = _mm512_permutex2var_epi16(a, even, b), high = _mm512_permutex2var_epi16(a, odd, b);

    v[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(low));
    v[1] = _mm512_cvtph_ps(_mm512_castsi512_si256(high));
    v[2] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(low, 1));
    v[3] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(high, 1));
}

static inline __m512i words_quarters(const unsigned char *p, size_t step)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * step)));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128((const __m128i *)(const void *)(p + 8 * step)));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128((const __m128i *)(const void *)(p + 12 * step)));
}

static inline void words_turn(nn_words w[4], const unsigned char *p, size_t step)
{
    const __m512i r0 = words_quarters(p, step), r1 = words_quarters(p + step, step);
    const __m512i r2 = words_quarters(p + 2 * step, step), r3 = words_quarters(p + 3 * step, step);
    const __m512i low01 = _mm512_unpacklo_epi32(r0, r1), low23 = _mm512_unpacklo_epi32(r2, r3);
    const __m512i high01 = _mm512_unpackhi_epi32(r0, r1), high23 = _mm512_unpackhi_epi32(r2, r3);

    w[0] = _mm512_unpacklo_epi64(low01, low23);
    w[1] = _mm512_unpackhi_epi64(low01, low23);
    w[2] = _mm512_unpacklo_epi64(high01, high23);
    w[3] = _mm512_unpackhi_epi64(high01, high23);
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

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
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
static inline nn_vec vec_from_f16(const unsigned char *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Four floats of rows r and r + 4. */
static inline nn_vec vec_halves(const float *in, size_t step)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(in)), _mm_loadu_ps(in + 4 * step), 1);
}

#define NN_WORDS
typedef __m256i nn_words;

static inline nn_vec vec_mul(nn_vec a, nn_vec b)
{
    return _mm256_mul_ps(a, b);
}
static inline nn_vec vec_add(nn_vec a, nn_vec b)
{
    return _mm256_add_ps(a, b);
}
static inline nn_vec vec_sub(nn_vec a, nn_vec b)
{
    return _mm256_sub_ps(a, b);
}
static inline nn_words words_load(const unsigned char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline nn_words words_and(nn_words w, uint32_t mask)
{
    return _mm256_and_si256(w, _mm256_set1_epi32((int)mask));
}
static inline nn_words words_or(nn_words a, nn_words b)
{
    return _mm256_or_si256(a, b);
}
static inline nn_words words_left(nn_words w, int n)
{
    return _mm256_sllv_epi32(w, _mm256_set1_epi32(n));
}
static inline nn_words words_right(nn_words w, int n)
{
    return _mm256_srlv_epi32(w, _mm256_set1_epi32(n));
}
static inline nn_words words_signed(nn_words w, int b) /* byte b, with its sign */
{
    return _mm256_srai_epi32(words_left(w, 24 - 8 * b), 24);
}
static inline nn_vec words_float(nn_words w) /* of signed integers */
{
    return _mm256_cvtepi32_ps(w);
}
static inline nn_vec words_bits(nn_words w)
{
    return _mm256_castsi256_ps(w);
}
static inline __m256i words_pack(nn_words a, nn_words b) /* of words below 2^16, a's then b's */
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
}
/* Halves of two words: v[0], v[2] of the lower ones of a and b, v[1], v[3] of the upper ones. */
static inline void words_f16(nn_vec v[4], nn_words a, nn_words b)
{
    const __m256i low = words_pack(words_and(a, 0xffff), words_and(b, 0xffff));
    const __m256i high = words_pack(words_right(a, 16), words_right(b, 16));

    v[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(low));
    v[1] = _mm256_cvtph_ps(_mm256_castsi256_si128(high));
    v[2] = _mm256_cvtph_ps(_mm256_extracti128_si256(low, 1));
    v[3] = _mm256_cvtph_ps(_mm256_extracti128_si256(high, 1));
}

static inline __m256i words_halves(const unsigned char *p, size_t step)
{
    const __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));

    return _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * step)), 1);
}

static inline void words_turn(nn_words w[4], const unsigned char *p, size_t step)
{
    const __m256i r0 = words_halves(p, step), r1 = words_halves(p + step, step);
    const __m256i r2 = words_halves(p + 2 * step, step), r3 = words_halves(p + 3 * step, step);
    const __m256i low01 = _mm256_unpacklo_epi32(r0, r1), low23 = _mm256_unpacklo_epi32(r2, r3);
    const __m256i high01 = _mm256_unpackhi_epi32(r0, r1), high23 = _mm256_unpackhi_epi32(r2, r3);

    w[0] = _mm256_unpacklo_epi64(low01, low23);
    w[1] = _mm256_unpackhi_epi64(low01, low23);
    w[2] = _mm256_unpacklo_epi64(high01, high23);
    w[3] = _mm256_unpackhi_epi64(high01, high23);
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
static inline nn_vec vec_from_f16(const unsigned char *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
static inline void vec_transpose(float *out, size_t out_step, const float *in, size_t in_step)
{
    for (size_t p = 0; p < NN_VEC; p++)
        for (size_t r = 0; r < NN_VEC; r++) out[p * out_step + r] = in[r * in_step + p];
}
#endif
#endif
