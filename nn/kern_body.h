/* kern_body.h - every kernel, once, in portable C99 that compilers turn into vector code.
 *
 * Reads: kern.h (the contract), kern_gemm.h (products), kern_rows.h, kern_softmax.h.   Read next: kern_base.c,
 * kern_avx2.c.
 * An instance file defines NN_FMAF (the exact fused multiply-add: fmaf, or an emulation) and NN_KERN_NAME (a string),
 * includes this file, and publishes the static `table` under its own name.
 * Why no intrinsics: arrays of accumulators whose sizes are known at compile time vectorise with gcc and clang, for
 * every instruction set, and the text stays the specification. Build with -O3 -ffp-contract=off -fno-math-errno: the
 * last lets sqrtf be one instruction and changes no value.
 * In-place calls named in kern.h as fine are served by loops over one pointer, so that they vectorise too.
 */
#ifndef NN_KERN_BODY_H
#define NN_KERN_BODY_H
#include "nn/kern.h"
#include "nn/kern_causal.h"
#include "nn/kern_gemm.h"
#include "nn/kern_i8.h"
#include "nn/kern_impl.h"
#include "nn/kern_rows.h"
#include "nn/kern_softmax.h"
#include "nn/kern_stored.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* A float expression rounds at every step. Where a compiler keeps more (x87; gcc for s390x under -std=c99) it needs
 * -fexcess-precision=fast or -mfpmath=sse. */
NN_STATIC_ASSERT(FLT_EVAL_METHOD == 0, floats_are_rounded_at_every_step);

/* --- AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101, alg. 2), element by element:
 *
 *   g <- grad_scale g
 *   m <- fmaf(beta1, m, (1 - beta1) g)          v <- fmaf(beta2, v, (1 - beta2) (g g))
 *   w <- w - lr (m / correct1 / (sqrt(v / correct2) + eps) + weight_decay w)
 *        as fmaf(-lr, fmaf(weight_decay, w, ratio), w) */
static void kern_adamw_row(float *restrict w, float *restrict m, float *restrict v, const float *restrict g,
                           const nn_adamw_step *s, size_t n)
{
    const nn_adamw_step o = *s; /* a copy: the loop's stores cannot change it */
    const float rest1 = 1.0f - o.beta1, rest2 = 1.0f - o.beta2;

    for (size_t i = 0; i < n; i++) {
        const float g_i = g[i] * o.grad_scale;
        const float m_i = NN_FMAF(o.beta1, m[i], rest1 * g_i);
        const float v_i = NN_FMAF(o.beta2, v[i], rest2 * (g_i * g_i));
        const float ratio = m_i / o.correct1 / (sqrtf(v_i / o.correct2) + o.eps);
        m[i] = m_i;
        v[i] = v_i;
        w[i] = NN_FMAF(-o.lr, NN_FMAF(o.weight_decay, w[i], ratio), w[i]);
    }
}

/* --- 16-bit formats, in integer arithmetic so that every machine agrees, NaN payloads included --- */

static inline float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void kern_from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = float_of((uint32_t)x[i] << 16);
}

/* Half a unit less one, plus the last kept bit: ties go to even. A NaN keeps its upper payload and becomes quiet. */
static void kern_to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = bits_of(x[i]);
        const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
        const uint32_t nan = (u >> 16) | 0x40u;
        y[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}

/* Shifted into a float's place the half is 2^112 too small, subnormals included; the product is exact. */
static void kern_from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t sign = (uint32_t)(x[i] & 0x8000u) << 16, a = (uint32_t)(x[i] & 0x7fffu);
        const uint32_t finite = bits_of(float_of(a << 13) * 0x1p112f);
        const uint32_t quiet = a > 0x7c00u ? 0x400000u : 0u;
        const uint32_t special = 0x7f800000u | ((a << 13) & 0x7fffffu) | quiet;
        y[i] = float_of(sign | (a >= 0x7c00u ? special : finite));
    }
}

/* Normal: rebias and round in integers, a carry runs into the exponent as it should. Subnormal: 0.5f has the unit
 * 2^-24 of half's subnormals, so adding it rounds there, ties to even. */
static void kern_to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = bits_of(x[i]), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
        const uint32_t normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
        const uint32_t subnormal = bits_of(float_of(a < 0x38800000u ? a : 0u) + 0.5f) - 0x3f000000u;
        const uint32_t nan = 0x7e00u | ((a >> 13) & 0x3ffu);
        uint32_t h = a < 0x38800000u ? subnormal : normal;
        h = a >= 0x47800000u ? 0x7c00u : h;
        h = a > 0x7f800000u ? nan : h;
        y[i] = (uint16_t)(sign | h);
    }
}

/* --- the table ------------------------------------------------------------------------------------ */

static const nn_kern table = {
    .name = NN_KERN_NAME,
    .gemm = kern_gemm,
    .gemm_scratch = GEMM_SCRATCH,
    .pack = kern_pack,
    .gemm_packed = kern_gemm_packed,
    .gemm_band = kern_gemm_band,
    .gemm_stored = kern_gemm_stored,
    .pack_stored = kern_pack_stored,
    .from_stored = kern_from_stored,
    .quantize_row = kern_quantize_row,
    .gemm_i8 = kern_gemm_i8,
    .sums_i8 = kern_sums_i8,
    .dot = kern_dot,
    .dot3 = kern_dot3,
    .sum = kern_sum,
    .max = kern_max,
    .fill = kern_fill,
    .add = kern_add,
    .axpy = kern_axpy,
    .scale = kern_scale,
    .rmsnorm_rows = kern_rmsnorm_rows,
    .rmsnorm_bwd_row = kern_rmsnorm_bwd_row,
    .rmsnorm_dw_row = kern_rmsnorm_dw_row,
    .softmax_row = kern_softmax_row,
    .softmax_bwd_row = kern_softmax_bwd_row,
    .softmax_rows = kern_softmax_rows,
    .softmax_bwd_rows = kern_softmax_bwd_rows,
    .xent_row = kern_xent_row,
    .swiglu_row = kern_swiglu_row,
    .swiglu_bwd_row = kern_swiglu_bwd_row,
    .rope_row = kern_rope_row,
    .adamw_row = kern_adamw_row,
    .from_bf16 = kern_from_bf16,
    .to_bf16 = kern_to_bf16,
    .from_f16 = kern_from_f16,
    .to_f16 = kern_to_f16,
};
#endif
