/* dtype.c - the storage types of weights: sizes, and conversion to and from float.
 *
 * Reads: dtype.h.   Read next: fmt_safetensors.c, fmt_gguf.c.
 * Bytes are little-endian in the files, so they are put together by shifts: the same on every
 * machine (a compiler turns the shifts into one load where it can). Every conversion rounds to
 * nearest, ties to even.
 */
#include "nn/dtype.h"
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define Q8_BLOCK 32u
#define Q8_BYTES 34u /* an f16 scale, then 32 signed bytes */
#define F16_MAX 65504.0f

/* --- bits --------------------------------------------------------------------------------- */

static uint32_t float_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

static float bits_float(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t load_u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t load_u32(const unsigned char *p)
{
    return load_u16(p) | load_u16(p + 2) << 16;
}

static void store_u16(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v & 0xffu);
    p[1] = (unsigned char)(v >> 8 & 0xffu);
}

/* IEEE 754 binary16. Below 2^-14 the significand is a plain count of 2^-24. */
static float f16_float(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;

    if (exponent == 0) return bits_float(sign | float_bits((float)fraction * 0x1p-24f));
    if (exponent == 31) return bits_float(sign | 0x7f800000u | fraction << 13);
    return bits_float(sign | (exponent + 112u) << 23 | fraction << 13);
}

/* x >> shift, rounded to nearest, ties to even; 1 <= shift <= 31. */
static uint32_t shift_even(uint32_t x, uint32_t shift)
{
    const uint32_t q = x >> shift, rest = x & ((1u << shift) - 1u), half = 1u << (shift - 1u);

    return q + (rest > half || (rest == half && (q & 1u)) ? 1u : 0u);
}

static uint32_t float_f16(float x)
{
    const uint32_t u = float_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;

    if (a > 0x7f800000u) return sign | 0x7e00u | (a >> 13 & 0x1ffu); /* NaN stays NaN, quiet */
    if (a >= 0x477ff000u) return sign | 0x7c00u;                     /* 65520 and more: infinity */
    if (a >= 0x38800000u) return sign | shift_even(a - 0x38000000u, 13);

    const uint32_t shift = 126u - (a >> 23); /* to a count of 2^-24 */
    if (shift > 25u) return sign;
    return sign | shift_even((a & 0x7fffffu) | 0x800000u, shift);
}

static uint32_t float_bf16(float x)
{
    const uint32_t u = float_bits(x);

    if ((u & 0x7fffffffu) > 0x7f800000u) return u >> 16 | 0x40u; /* NaN stays NaN, quiet */
    return shift_even(u, 16);
}

/* --- blocks of 8-bit integers ------------------------------------------------------------- */

/* Scale d = f16(max|x| / 127), q = rint(x / d) clamped to +-127. The *rounded* scale divides, so
 * quantising what was read back gives the same bytes (except where d is a subnormal f16: max|x|
 * below 0.008). */
static void q8_block(unsigned char *out, const float *x)
{
    float top = 0.0f;

    for (size_t i = 0; i < Q8_BLOCK; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    const float want = top / 127.0f;
    const uint32_t h = float_f16(want < F16_MAX ? want : F16_MAX);
    const float d = f16_float(h);

    store_u16(out, h);
    for (size_t i = 0; i < Q8_BLOCK; i++) {
        const float q = d > 0.0f ? rintf(x[i] / d) : 0.0f;
        const int v = fabsf(q) <= 127.0f ? (int)q : (q > 0.0f ? 127 : (q < 0.0f ? -127 : 0)); /* NaN: 0 */

        out[2 + i] = (unsigned char)(v & 0xff);
    }
}

/* WHY signed bytes read as such: compilers make vectors of this; of b < 128 ? b : b - 256 they did not (start-up). */
static void q8_block_float(float *out, const unsigned char *block)
{
    const float d = f16_float(load_u16(block));
    const int8_t *q = (const int8_t *)(block + 2);

    for (size_t i = 0; i < Q8_BLOCK; i++) out[i] = d * (float)q[i];
}

/* Exponents of all ones: infinity or NaN. A block's numbers are finite when its scale is: 127 times the largest f16
 * is. */
static bool f16_finite(uint32_t h)
{
    return (h & 0x7c00u) != 0x7c00u;
}

static bool f32_finite(uint32_t u)
{
    return (u & 0x7f800000u) != 0x7f800000u;
}

/* --- the public face ---------------------------------------------------------------------- */

size_t nn_dtype_bytes(nn_dtype t, size_t n)
{
    switch (t) {
    case NN_F32: return 4 * n;
    case NN_F16:
    case NN_BF16: return 2 * n;
    case NN_Q8_0: return (n + Q8_BLOCK - 1) / Q8_BLOCK * Q8_BYTES;
    case NN_I64: return 8 * n;
    case NN_I8: return n;
    case NN_DTYPE_OTHER: break;
    }
    return 0;
}

nn_status nn_dtype_to_f32(float *out, nn_dtype type, const unsigned char *data, size_t n, nn_err *err)
{
    switch (type) {
    case NN_F32:
        for (size_t i = 0; i < n; i++) out[i] = bits_float(load_u32(data + 4 * i));
        return NN_OK;
    case NN_F16:
        for (size_t i = 0; i < n; i++) out[i] = f16_float(load_u16(data + 2 * i));
        return NN_OK;
    case NN_BF16:
        for (size_t i = 0; i < n; i++) out[i] = bits_float(load_u16(data + 2 * i) << 16);
        return NN_OK;
    case NN_Q8_0:
        if (n % Q8_BLOCK != 0) return nn_fail(err, NN_FILE, "Q8_0 data: %zu numbers, want a multiple of 32", n);
        for (size_t i = 0; i < n / Q8_BLOCK; i++) q8_block_float(out + i * Q8_BLOCK, data + i * Q8_BYTES);
        return NN_OK;
    case NN_I64:
    case NN_I8: /* says nothing without its scales: quantize.h */
    case NN_DTYPE_OTHER: break;
    }
    return nn_fail(err, NN_FILE, "tensor type that holds no weights, want F32, F16, BF16 or Q8_0");
}

size_t nn_dtype_not_finite(nn_dtype type, const unsigned char *data, size_t n)
{
    size_t i = 0;

    switch (type) {
    case NN_F32:
        while (i < n && f32_finite(load_u32(data + 4 * i))) i++;
        return i;
    case NN_F16:
        while (i < n && f16_finite(load_u16(data + 2 * i))) i++;
        return i;
    case NN_BF16:
        while (i < n && f32_finite(load_u16(data + 2 * i) << 16)) i++;
        return i;
    case NN_Q8_0:
        while (i < n && f16_finite(load_u16(data + i / Q8_BLOCK * Q8_BYTES))) i += Q8_BLOCK;
        return i;
    case NN_I64:
    case NN_I8: /* says nothing without its scales: quantize.h */
    case NN_DTYPE_OTHER: break;
    }
    return n;
}

void nn_dtype_from_f32(unsigned char *out, nn_dtype type, const float *data, size_t n)
{
    NN_ASSERT(type == NN_F32 || type == NN_F16 || type == NN_BF16 || (type == NN_Q8_0 && n % Q8_BLOCK == 0));
    if (type == NN_Q8_0) {
        for (size_t i = 0; i < n / Q8_BLOCK; i++) q8_block(out + i * Q8_BYTES, data + i * Q8_BLOCK);
    } else if (type == NN_F32) {
        for (size_t i = 0; i < n; i++) {
            const uint32_t u = float_bits(data[i]);

            store_u16(out + 4 * i, u & 0xffffu);
            store_u16(out + 4 * i + 2, u >> 16);
        }
    } else {
        for (size_t i = 0; i < n; i++)
            store_u16(out + 2 * i, type == NN_F16 ? float_f16(data[i]) : float_bf16(data[i]));
    }
}
