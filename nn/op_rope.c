/* op_rope.c - rotary positions, forward and backward in one function.
 *
 * Reads: ops.h, mathf.h.   Read next: op_attn.c. Formulas: docs/math.md#rope.
 * Why a table: angles are computed once in double on nn/mathf and rounded to float, so that a position has the same
 * two numbers on every machine, in training and in decoding.
 */
#include "nn/mathf.h"
#include "nn/op_impl.h"
#include "nn/ops.h"

/* nn_rope_table - cosines and sines of the angles (Su et al. 2021, arXiv:2104.09864, sec. 3.2.2).
 *
 *   angle(t, i) = t theta^(-2i/D),  t < T, i < D/2
 *
 *   [out] cos_t, sin_t [T, D/2]; in double until the last rounding
 */
void nn_rope_table(float *cos_t, float *sin_t, float theta, size_t T, size_t D)
{
    const size_t pairs = D / 2;

    NN_ASSERT(D % 2 == 0);
    for (size_t i = 0; i < pairs; i++) {
        const double frequency = nn_pow((double)theta, -2.0 * (double)i / (double)D);

        for (size_t t = 0; t < T; t++) {
            const double angle = (double)t * frequency;
            cos_t[t * pairs + i] = (float)nn_cos(angle);
            sin_t[t * pairs + i] = (float)nn_sin(angle);
        }
    }
}

typedef struct {
    const nn_kern *k;
    float *v;
    const int32_t *pos;
    const float *cos_t, *sin_t;
    size_t heads, D;
    bool half;
    float direction;
} rope;

static void rotate_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const rope *o = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++) {
        const size_t at = (size_t)o->pos[r] * (o->D / 2);
        float *v_r = o->v + r * o->heads * o->D;

        NN_ASSERT(o->pos[r] >= 0);
        for (size_t h = 0; h < o->heads; h++)
            o->k->rope_row(v_r + h * o->D, o->cos_t + at, o->sin_t + at, o->D, o->half, o->direction);
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
    rope o = {x->k, v, pos, cos_t, sin_t, heads, D, half, direction};

    nn_par_run(&x->par, R, nn_grain(heads * D), rotate_rows, &o);
}
