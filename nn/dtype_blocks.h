/* dtype_blocks.h - how each storage type lies in bytes, and the loops that make floats of it.
 *
 * Reads: dtype.h. Included by dtype.c, and by kern_stored.h so that each kernel table has these loops with its own
 * instructions.   Read next: kern_stored.h.
 * The layouts are those of GGUF files (ggml project, ggml/src/ggml-common.h; the formulas as gguf-py/gguf/quants.py
 * computes them, in float, one rounding an operation). Numbers of more than a byte are little-endian. In the tables, q
 * is an element's integer, x its value, d and m halves (IEEE binary16); groups share a scale.
 * Loops run over 16 or 32 elements with constant shifts, which compilers turn into vectors. Every operation is one of
 * IEEE's, so the floats are the same wherever they are made.
 */
#ifndef NN_DTYPE_BLOCKS_H
#define NN_DTYPE_BLOCKS_H
#include "nn/dtype.h"
#include <stdint.h>
#include <string.h>

enum {
    BLOCK = 32,        /* elements of Q4_0 to Q8_0 */
    BLOCK_K = 256,     /* of the types with _K */
    Q4_0_BYTES = 18,
    Q4_1_BYTES = 20,
    Q5_0_BYTES = 22,
    Q5_1_BYTES = 24,
    Q8_0_BYTES = 34,
    Q2_K_BYTES = 84,
    Q3_K_BYTES = 110,
    Q4_K_BYTES = 144,
    Q5_K_BYTES = 176,
    Q6_K_BYTES = 210
};

/* --- plain numbers ------------------------------------------------------------------------- */

static inline uint32_t load_u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t load_u32(const unsigned char *p)
{
    return load_u16(p) | load_u16(p + 2) << 16;
}

static inline float bits_float(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint32_t float_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

/* IEEE 754 binary16. Shifted into a float's place it is 2^112 too small, subnormals included; the product is exact. */
static inline float f16_float(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, a = h & 0x7fffu;
    const uint32_t finite = float_bits(bits_float(a << 13) * 0x1p112f);

    return bits_float(sign | (a >= 0x7c00u ? 0x7f800000u | (a << 13 & 0x7fffffu) : finite));
}

static inline void f32_floats(float *out, const unsigned char *x, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = bits_float(load_u32(x + 4 * i));
}

static inline void f16_floats(float *out, const unsigned char *x, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = f16_float(load_u16(x + 2 * i));
}

static inline void bf16_floats(float *out, const unsigned char *x, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = bits_float(load_u16(x + 2 * i) << 16);
}

/* --- blocks of 32 -------------------------------------------------------------------------- */

/* Q8_0:  d, then 32 signed bytes q.   x = d q
 * WHY signed bytes read as such: compilers make vectors of this; of b < 128 ? b : b - 256 they did not (start-up). */
static inline void q8_0_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block));
    const int8_t *q = (const int8_t *)(block + 2);

    for (size_t i = 0; i < BLOCK; i++) out[i] = d * (float)q[i];
}

/* Q4_0:  d, then 16 bytes: byte j is element j in its low half, element j + 16 in its high one.   x = d (q - 8) */
static inline void q4_0_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block));
    const unsigned char *q = block + 2;

    for (size_t j = 0; j < 16; j++) out[j] = d * (float)((q[j] & 15) - 8);
    for (size_t j = 0; j < 16; j++) out[16 + j] = d * (float)((q[j] >> 4) - 8);
}

/* Q4_1:  d, m, then as Q4_0.   x = d q + m */
static inline void q4_1_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block)), m = f16_float(load_u16(block + 2));
    const unsigned char *q = block + 4;

    for (size_t j = 0; j < 16; j++) out[j] = d * (float)(q[j] & 15) + m;
    for (size_t j = 0; j < 16; j++) out[16 + j] = d * (float)(q[j] >> 4) + m;
}

/* Q5_0:  d, 4 bytes whose bit i is the fifth bit of element i, then as Q4_0.   x = d (q - 16) */
static inline void q5_0_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block));
    const uint32_t high = load_u32(block + 2);
    const unsigned char *q = block + 6;

    for (uint32_t j = 0; j < 16; j++) out[j] = d * (float)((int32_t)((q[j] & 15u) | (high >> j & 1u) << 4) - 16);
    for (uint32_t j = 0; j < 16; j++)
        out[16 + j] = d * (float)((int32_t)((uint32_t)(q[j] >> 4) | (high >> (16 + j) & 1u) << 4) - 16);
}

/* Q5_1:  d, m, then as Q5_0.   x = d q + m */
static inline void q5_1_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block)), m = f16_float(load_u16(block + 2));
    const uint32_t high = load_u32(block + 4);
    const unsigned char *q = block + 8;

    for (uint32_t j = 0; j < 16; j++) out[j] = d * (float)(int32_t)((q[j] & 15u) | (high >> j & 1u) << 4) + m;
    for (uint32_t j = 0; j < 16; j++)
        out[16 + j] = d * (float)(int32_t)((uint32_t)(q[j] >> 4) | (high >> (16 + j) & 1u) << 4) + m;
}

/* --- blocks of 256 ------------------------------------------------------------------------- */

/* Two bits each: byte 32 h + j of 64 is, from the lowest bits up, elements 128 h + 32 s + j, s = 0..3.
 *
 * Q2_K:  16 bytes (a group of 16 elements each: scale in the low half, minimum in the high), 64 bytes q, d, m.
 *        x = (d scale) q - m minimum */
static inline void q2_k_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block + 80)), m = f16_float(load_u16(block + 82));

    for (size_t g = 0; g < 16; g++) { /* group g: 128 h + 32 s + 16 (g % 2) */
        const unsigned char *q = block + 16 + 32 * (g / 8) + 16 * (g % 2);
        const unsigned shift = 2u * (unsigned)(g / 2 % 4);
        const float scale = d * (float)(block[g] & 15), low = m * (float)(block[g] >> 4);

        for (size_t j = 0; j < 16; j++) out[16 * g + j] = scale * (float)(q[j] >> shift & 3) - low;
    }
}

/* Q3_K:  32 bytes (bit 4 h + s of byte j belongs to element 128 h + 32 s + j; 0: 4 is taken off), 64 bytes as Q2_K's,
 *        12 bytes (16 scales of 6 bits, less 32: scale g has its low bits in half g / 8 of byte g % 8, its upper two
 *        in byte 8 + g % 4 from bit 2 (g / 4) on), d.   x = (d scale) q */
static inline float q3_k_scale(const unsigned char *b, unsigned g)
{
    const int low4 = b[g % 8] >> 4 * (g / 8) & 15, high2 = b[8 + g % 4] >> 2 * (g / 4) & 3;

    return (float)((low4 | high2 << 4) - 32);
}

static inline void q3_k_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block + 108));

    for (unsigned g = 0; g < 16; g++) {
        const unsigned char *high = block + 16 * (g % 2), *q = block + 32 + 32 * (g / 8) + 16 * (g % 2);
        const unsigned shift = 2 * (g / 2 % 4), bit = g / 2;
        const float scale = d * q3_k_scale(block + 96, g);

        for (size_t j = 0; j < 16; j++)
            out[16 * g + j] = scale * (float)((q[j] >> shift & 3) + (high[j] >> bit & 1) * 4 - 4);
    }
}

/* Scale and minimum of group g (32 elements), 6 bits each in 12 bytes: groups 0..3 have theirs in bytes g and 4 + g; of
 * 4..7 the low four bits are the halves of byte 4 + g, the upper two those above groups 0..3's. */
static inline void k_scales(const unsigned char *b, size_t g, float *scale, float *low)
{
    const int s = g < 4 ? b[g] & 63 : (b[4 + g] & 15) | b[g - 4] >> 6 << 4;
    const int m = g < 4 ? b[4 + g] & 63 : b[4 + g] >> 4 | b[g] >> 6 << 4;

    *scale = (float)s;
    *low = (float)m;
}

/* Q4_K:  d, m, 12 bytes of scales and minima, 128 bytes: byte 32 p + j is element 64 p + j in its low half, element
 *        64 p + 32 + j in its high one.   x = (d scale) q - m minimum */
static inline void q4_k_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block)), m = f16_float(load_u16(block + 2));

    for (size_t g = 0; g < 8; g++) {
        const unsigned char *q = block + 16 + 32 * (g / 2);
        const unsigned shift = 4u * (unsigned)(g % 2);
        float scale, low;

        k_scales(block + 4, g, &scale, &low);
        scale *= d;
        low *= m;
        for (size_t j = 0; j < 32; j++) out[32 * g + j] = scale * (float)(q[j] >> shift & 15) - low;
    }
}

/* Q5_K:  d, m, scales and minima as Q4_K, 32 bytes (bit g of byte j is the fifth bit of element 32 g + j), 128 bytes as
 *        Q4_K's.   x = (d scale) q - m minimum */
static inline void q5_k_floats(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block)), m = f16_float(load_u16(block + 2));
    const unsigned char *high = block + 16;

    for (size_t g = 0; g < 8; g++) {
        const unsigned char *q = block + 48 + 32 * (g / 2);
        const unsigned shift = 4u * (unsigned)(g % 2), bit = (unsigned)g;
        float scale, low;

        k_scales(block + 4, g, &scale, &low);
        scale *= d;
        low *= m;
        for (size_t j = 0; j < 32; j++)
            out[32 * g + j] = scale * (float)((q[j] >> shift & 15) + (high[j] >> bit & 1) * 16) - low;
    }
}

/* Q6_K:  128 bytes (of half h, 64: byte 64 h + 32 t + j is element 128 h + 32 t + j in its low half, 64 elements on in
 *        its high one), 64 bytes of upper bits as Q2_K's, 16 signed scales of 16 elements, d.
 *        x = (d scale) (q - 32) */
static inline void q6_k_floats(float *out, const unsigned char *block)
{
    const int8_t *scales = (const int8_t *)(block + 192);
    const float d = f16_float(load_u16(block + 208));

    for (size_t g = 0; g < 16; g++) { /* 128 h + 32 s + 16 (g % 2) */
        const size_t h = g / 8, s = g / 2 % 4, at = 16 * (g % 2);
        const unsigned char *q = block + 64 * h + 32 * (s % 2) + at, *high = block + 128 + 32 * h + at;
        const unsigned shift = 4u * (unsigned)(s / 2), shift2 = 2u * (unsigned)s;
        const float scale = d * (float)scales[g];

        for (size_t j = 0; j < 16; j++)
            out[16 * g + j] = scale * (float)((q[j] >> shift & 15) + (high[j] >> shift2 & 3) * 16 - 32);
    }
}

/* --- any of them --------------------------------------------------------------------------- */

#define NN_BLOCKS(floats, elements, bytes)                                                                             \
    for (size_t i = 0; i < n / (elements); i++) floats(out + i * (elements), x + i * (bytes))

/* n elements, whole blocks. The types that hold no weights give nothing. */
static inline void stored_floats(float *out, nn_dtype type, const unsigned char *x, size_t n)
{
    switch (type) {
    case NN_F32: f32_floats(out, x, n); break;
    case NN_F16: f16_floats(out, x, n); break;
    case NN_BF16: bf16_floats(out, x, n); break;
    case NN_Q8_0: NN_BLOCKS(q8_0_floats, BLOCK, Q8_0_BYTES); break;
    case NN_Q4_0: NN_BLOCKS(q4_0_floats, BLOCK, Q4_0_BYTES); break;
    case NN_Q4_1: NN_BLOCKS(q4_1_floats, BLOCK, Q4_1_BYTES); break;
    case NN_Q5_0: NN_BLOCKS(q5_0_floats, BLOCK, Q5_0_BYTES); break;
    case NN_Q5_1: NN_BLOCKS(q5_1_floats, BLOCK, Q5_1_BYTES); break;
    case NN_Q2_K: NN_BLOCKS(q2_k_floats, BLOCK_K, Q2_K_BYTES); break;
    case NN_Q3_K: NN_BLOCKS(q3_k_floats, BLOCK_K, Q3_K_BYTES); break;
    case NN_Q4_K: NN_BLOCKS(q4_k_floats, BLOCK_K, Q4_K_BYTES); break;
    case NN_Q5_K: NN_BLOCKS(q5_k_floats, BLOCK_K, Q5_K_BYTES); break;
    case NN_Q6_K: NN_BLOCKS(q6_k_floats, BLOCK_K, Q6_K_BYTES); break;
    case NN_I64:
    case NN_I8:
    case NN_DTYPE_OTHER: break;
    }
}
#undef NN_BLOCKS
#endif
