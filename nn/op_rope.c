/* op_rope.c - rotary positions, forward and backward in one function.
 *
 * Reads: ops.h, mathf.h.   Read next: op_attn.c. Formulas: docs/math.md#rope.
 * Why a table: angles are computed once in double on nn/mathf and rounded to float, so that a position has the same
 * two numbers on every machine, in training and in decoding.
 */
#include "nn/mathf.h"
#include "nn/op_impl.h"
#include "nn/ops.h"

/* --- the table ----------------------------------------------------------------------------- */

static double frequency_of(float theta, size_t i, size_t D)
{
    return nn_pow((double)theta, -2.0 * (double)i / (double)D);
}

/* nn_rope_table - cosines and sines of the angles (Su et al. 2021, arXiv:2104.09864, sec. 3.2.2).
 *
 *   angle(t, i) = t theta^(-2i/D) / divisor_i,  t < T, i < D/2;  a divisor of 0 is none
 *
 *   [out] cos_t, sin_t [T, D/2]; in double until the last rounding     [in] divisor [D/2] or NULL
 */
void nn_rope_table(float *cos_t, float *sin_t, float theta, const float *divisor, size_t T, size_t D)
{
    const size_t pairs = D / 2;

    NN_ASSERT(D % 2 == 0);
    for (size_t i = 0; i < pairs; i++) {
        const double by = divisor && divisor[i] != 0.0f ? (double)divisor[i] : 1.0;
        const double frequency = frequency_of(theta, i, D) / by;

        for (size_t t = 0; t < T; t++) {
            const double angle = (double)t * frequency;
            cos_t[t * pairs + i] = (float)nn_cos(angle);
            sin_t[t * pairs + i] = (float)nn_sin(angle);
        }
    }
}

/* nn_rope_linear - position interpolation (Chen et al. 2023, arXiv:2306.15595, eq. 3): t is turned as t / factor.
 *
 *   [out] divisor [D/2]
 */
void nn_rope_linear(float *divisor, size_t D, float factor)
{
    for (size_t i = 0; i < D / 2; i++) divisor[i] = factor;
}

/* nn_rope_llama3 - what Llama 3.1 does to reach 128k positions (Grattafiori et al. 2024, arXiv:2407.21783; the rule and
 * its parameters' names: Hugging Face transformers, modeling_rope_utils.py, _compute_llama3_parameters).
 *
 *   1. wavelength     l_i = 2 pi / f_i  positions
 *   2. turns          n_i = original_max_t / l_i          that a pair makes within the length trained first
 *   3. share kept     g_i = (n_i - low) / (high - low), not below 0 nor above 1
 *   4. new frequency  f_i ((1 - g_i) / factor + g_i), so the divisor is 1 / ((1 - g_i) / factor + g_i)
 *
 *   [out] divisor [D/2]     low < high
 */
void nn_rope_llama3(float *divisor, float theta, size_t D, float factor, float low_freq_factor, float high_freq_factor,
                    size_t original_max_t)
{
    const double two_pi = 6.283185307179586, low = (double)low_freq_factor, high = (double)high_freq_factor;

    for (size_t i = 0; i < D / 2; i++) {
        const double turns = (double)original_max_t * frequency_of(theta, i, D) / two_pi;
        const double kept = (turns - low) / (high - low);

        if (turns < low) divisor[i] = factor;
        else if (turns > high) divisor[i] = 1.0f;
        else divisor[i] = (float)(1.0 / ((1.0 - kept) / (double)factor + kept));
    }
}

/* --- rotation ------------------------------------------------------------------------------ */

typedef struct {
    const nn_kern *k;
    nn_heads q, kv; /* kv.heads may be 0 */
    const int32_t *pos;
    const float *cos_t, *sin_t;
    float eps;
    size_t D;
    bool half;
    float direction;
} rope;

/* The heads of one row: normalised when there is a norm, then rotated while they are at hand. */
static void do_heads(const rope *o, const nn_heads *v, size_t r)
{
    const size_t at = r * v->heads * o->D, angle = (size_t)o->pos[r] * (o->D / 2);

    if (v->w)
        o->k->rmsnorm_rows(v->y + at, v->rstd ? v->rstd + r * v->heads : NULL, NULL, v->in + at, NULL, v->w, o->eps,
                           v->heads, o->D);
    o->k->rope_row(v->y + at, o->cos_t + angle, o->sin_t + angle, v->heads, o->D, o->half, o->direction);
}

static void do_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const rope *o = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++) {
        NN_ASSERT(o->pos[r] >= 0);
        do_heads(o, &o->q, r);
        do_heads(o, &o->kv, r);
    }
}

/* nn_rope - rotates each pair of each head by its position's angle (Su et al. 2021, arXiv:2104.09864, eq. 34).
 *
 *   fwd   (a, b) -> (a cos - b sin, b cos + a sin)              direction +1
 *   bwd   the transpose, a rotation by the opposite angle:      direction -1, applied to the gradient
 *   pairs (i, i + D/2) when half, else (2i, 2i + 1)             docs/math.md#rope
 *
 *   [inout] v [R, heads, D] rotated in place     [in] pos [R]  cos_t, sin_t [T, D/2], every pos < T
 */
void nn_rope(const nn_exec *x, float *v, const int32_t *pos, const float *cos_t, const float *sin_t, size_t R,
             size_t heads, size_t D, bool half, float direction)
{
    rope o = {.k = x->k, .q = {.y = v, .heads = heads}, .pos = pos, .cos_t = cos_t, .sin_t = sin_t, .D = D,
              .half = half, .direction = direction};

    nn_par_run(&x->par, R, nn_grain(heads * D), do_rows, &o);
}

/* nn_qk_rope - queries and keys together: each head's norm (when w is there), then its rotation; one region, one pass.
 *
 *   fwd   y = rope(rmsnorm(in, w))  or, without w, y = rope(y)
 *
 *   of q and of k:  [out] y [R, heads, D]  rstd [R, heads] or NULL     [in] in [R, heads, D]  w [D]
 *   without w:      [inout] y
 */
void nn_qk_rope(const nn_exec *x, nn_heads q, nn_heads k, float eps, const int32_t *pos, const float *cos_t,
                const float *sin_t, size_t R, size_t D, bool half, float direction)
{
    rope o = {.k = x->k, .q = q, .kv = k, .pos = pos, .cos_t = cos_t, .sin_t = sin_t, .eps = eps, .D = D,
              .half = half, .direction = direction};

    nn_par_run(&x->par, R, nn_grain((q.heads + k.heads) * D), do_rows, &o);
}
