/* dtype.c - the storage types of weights: sizes, and conversion to and from float.
 *
 * Reads: dtype.h, dtype_blocks.h.   Read next: fmt_safetensors.c, fmt_gguf.c.
 * Bytes are little-endian in the files, so they are put together by shifts: the same on every
 * machine (a compiler turns the shifts into one load where it can). Every conversion rounds to
 * nearest, ties to even.
 */
#include "nn/dtype.h"
#include "nn/dtype_blocks.h"
#include <math.h>

#define F16_MAX 65504.0f

/* --- the table ------------------------------------------------------------------------------ */

/* halves: where a block's d and m stand; equal when it has no m. A block's numbers are finite when these are: no
 * product with a scale of 8 bits and an integer of 8 comes near the largest float. */
static const struct {
    const char *name;
    size_t block, bytes;
    size_t halves[2];
} types[] = {
    {"F32", 1, 4, {0, 0}},
    {"F16", 1, 2, {0, 0}},
    {"BF16", 1, 2, {0, 0}},
    {"Q8_0", BLOCK, Q8_0_BYTES, {0, 0}},
    {"I64", 1, 8, {0, 0}},
    {"I8", 1, 1, {0, 0}},
    {"Q4_0", BLOCK, Q4_0_BYTES, {0, 0}},
    {"Q4_1", BLOCK, Q4_1_BYTES, {0, 2}},
    {"Q5_0", BLOCK, Q5_0_BYTES, {0, 0}},
    {"Q5_1", BLOCK, Q5_1_BYTES, {0, 2}},
    {"Q2_K", BLOCK_K, Q2_K_BYTES, {80, 82}},
    {"Q3_K", BLOCK_K, Q3_K_BYTES, {108, 108}},
    {"Q4_K", BLOCK_K, Q4_K_BYTES, {0, 2}},
    {"Q5_K", BLOCK_K, Q5_K_BYTES, {0, 2}},
    {"Q6_K", BLOCK_K, Q6_K_BYTES, {208, 208}},
    {"other", 0, 0, {0, 0}},
};
NN_STATIC_ASSERT(sizeof types / sizeof *types == NN_DTYPE_OTHER + 1, every_type_has_its_row);

/* --- bits --------------------------------------------------------------------------------- */

static void store_u16(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v & 0xffu);
    p[1] = (unsigned char)(v >> 8 & 0xffu);
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

    for (size_t i = 0; i < BLOCK; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    const float want = top / 127.0f;
    const uint32_t h = float_f16(want < F16_MAX ? want : F16_MAX);
    const float d = f16_float(h);

    store_u16(out, h);
    for (size_t i = 0; i < BLOCK; i++) {
        const float q = d > 0.0f ? rintf(x[i] / d) : 0.0f;
        const int v = fabsf(q) <= 127.0f ? (int)q : (q > 0.0f ? 127 : (q < 0.0f ? -127 : 0)); /* NaN: 0 */

        out[2 + i] = (unsigned char)(v & 0xff);
    }
}

/* --- blocks of 4-bit integers ------------------------------------------------------------- */

/* ggml's rule (ggml/src/ggml-quants.c, quantize_row_q4_0_ref): the number of largest magnitude, the first of equals,
 * becomes exactly -8 steps: d = f16(top / -8), q = min(15, trunc(x / d + 8.5)). The scale before its rounding divides.
 * WHY double: there the last step is one fused operation or two, as the compiler likes; this is the fused one, as
 * gguf-py/gguf/quants.py computes it. */
static void q4_block(unsigned char *out, const float *x)
{
    float top = 0.0f;
    unsigned q[BLOCK];

    for (size_t i = 0; i < BLOCK; i++) top = fabsf(x[i]) > fabsf(top) ? x[i] : top;
    const float d = top / -8.0f, inverse = d < 0.0f || d > 0.0f ? 1.0f / d : 0.0f;
    for (size_t i = 0; i < BLOCK; i++) {
        const float v = (float)((double)x[i] * (double)inverse + 8.5);

        q[i] = v >= 15.0f ? 15u : (v >= 0.0f ? (unsigned)v : 0u); /* NaN, where 1 / d is infinite: 0 */
    }
    store_u16(out, float_f16(d));
    for (size_t i = 0; i < BLOCK / 2; i++) out[2 + i] = (unsigned char)(q[i] | q[i + BLOCK / 2] << 4);
}

/* --- what is finite -------------------------------------------------------------------------- */

/* Exponents of all ones: infinity or NaN. */
#define F16_EXPONENT 0x7c00u
#define BF16_EXPONENT 0x7f80u
#define F32_EXPONENT 0x7f800000u

/* Whether one of the next numbers, 16 or 32 bits wide, has them. WHY no way out of the loop: so it becomes vectors, and
 * all of a model is looked at when it is opened. */
static bool any_not_finite(const unsigned char *data, size_t n, size_t width, uint32_t exponent)
{
    unsigned bad = 0;

    if (width == 2)
        for (size_t i = 0; i < n; i++) bad |= (load_u16(data + 2 * i) & exponent) == exponent;
    else
        for (size_t i = 0; i < n; i++) bad |= (load_u32(data + 4 * i) & exponent) == exponent;
    return bad != 0;
}

static size_t plain_not_finite(const unsigned char *data, size_t n, size_t width, uint32_t exponent)
{
    enum { PIECE = 1024 };
    size_t i = 0, piece = PIECE;

    while (i < n) {
        piece = n - i < piece ? n - i : piece;
        if (!any_not_finite(data + i * width, piece, width, exponent)) i += piece;
        else if (piece > 1) piece = 1; /* in here */
        else break;
    }
    return i;
}

static bool f16_finite(const unsigned char *h)
{
    return (load_u16(h) & F16_EXPONENT) != F16_EXPONENT;
}

/* --- the public face ---------------------------------------------------------------------- */

size_t nn_dtype_block(nn_dtype t)
{
    return types[t].block;
}

size_t nn_dtype_bytes(nn_dtype t, size_t n)
{
    const size_t block = types[t].block;

    return block == 0 ? 0 : (n / block + (n % block != 0)) * types[t].bytes;
}

const char *nn_dtype_name(nn_dtype t)
{
    return types[t].name;
}

bool nn_dtype_is_weights(nn_dtype t)
{
    return t != NN_I64 && t != NN_I8 && t != NN_DTYPE_OTHER; /* I8 says nothing without its scales: quantize.h */
}

nn_status nn_dtype_to_f32(float *out, nn_dtype type, const unsigned char *data, size_t n, nn_err *err)
{
    if (!nn_dtype_is_weights(type))
        return nn_fail(err, NN_FILE, "tensor type %s holds no weights, want F32, F16, BF16 or Q8_0 to Q6_K",
                       types[type].name);
    if (n % types[type].block != 0)
        return nn_fail(err, NN_FILE, "%s data: %zu numbers, want a multiple of %zu", types[type].name, n,
                       types[type].block);
    stored_floats(out, type, data, n);
    return NN_OK;
}

size_t nn_dtype_not_finite(nn_dtype type, const unsigned char *data, size_t n)
{
    const size_t block = types[type].block, *half = types[type].halves;

    if (!nn_dtype_is_weights(type)) return n;
    if (type == NN_F32) return plain_not_finite(data, n, 4, F32_EXPONENT);
    if (block == 1) return plain_not_finite(data, n, 2, type == NN_F16 ? F16_EXPONENT : BF16_EXPONENT);
    for (size_t i = 0; i < n; i += block, data += types[type].bytes)
        if (!f16_finite(data + half[0]) || !f16_finite(data + half[1])) return i;
    return n;
}

void nn_dtype_from_f32(unsigned char *out, nn_dtype type, const float *data, size_t n)
{
    const bool blocks = type == NN_Q8_0 || type == NN_Q4_0;

    NN_ASSERT(type == NN_F32 || type == NN_F16 || type == NN_BF16 || (blocks && n % BLOCK == 0));
    if (type == NN_Q4_0) {
        for (size_t i = 0; i < n / BLOCK; i++) q4_block(out + i * Q4_0_BYTES, data + i * BLOCK);
    } else if (type == NN_Q8_0) {
        for (size_t i = 0; i < n / BLOCK; i++) q8_block(out + i * Q8_0_BYTES, data + i * BLOCK);
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
