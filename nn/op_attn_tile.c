/* op_attn_tile.c - scores, softmax and weighted sums of a tile of query rows.
 *
 * Reads: op_attn_impl.h (what a tile is).   Read next: op_attn.c.
 */
#include "nn/op_attn_impl.h"
#include <math.h>

enum { BLOCK = 8 }; /* rows of the triangle that share a product */

float nn_attn_scale(size_t D)
{
    return (float)(1.0 / sqrt((double)D)); /* in double: the float nearest to the real number */
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A panel's worth of rows at a time, so that a causal tile leaves out the panels that none of them sees. */
void nn_attn_scores(const nn_attn_tile *o, float *strip, const float *rows, size_t step, const float *keys)
{
    for (size_t i = 0, n; i < o->rows; i += n) {
        n = o->causal ? smaller(o->rows - i, NN_PANEL) : o->rows;
        o->k->gemm_packed(strip + i * o->ld, o->ld, rows + i * step, step, 1, keys, o->D, n,
                          nn_attn_round(nn_attn_keys_of(o, i + n - 1)), o->D, false, o->gemm);
    }
}

void nn_attn_softmax(const nn_attn_tile *o, float *strip)
{
    o->k->softmax_rows(strip, o->ld, nn_attn_scale(o->D), o->rows, o->seen, o->causal ? 1 : 0);
}

/* n rows from row i on, keys [from, from + K): what all of them see */
static void mix_shared(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values,
                       size_t room, size_t i, size_t n, size_t from, size_t K, bool accumulate)
{
    o->k->gemm_packed(out + i * step, step, strip + i * o->ld + from, o->ld, 1, values + from * NN_PANEL, room, n, o->D,
                      K, accumulate, o->gemm);
}

/* The keys that all rows see in one product, then the triangle: eight rows' shared keys at a time, and what is left of
 * each row alone. Every row's chain runs over its keys in ascending order. */
void nn_attn_mix(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values, size_t room,
                 bool accumulate)
{
    mix_shared(o, out, step, strip, values, room, 0, o->rows, 0, o->seen, accumulate);
    if (!o->causal) return;
    for (size_t b = 0; b < o->rows; b += BLOCK) {
        const size_t n = smaller(o->rows - b, BLOCK);

        if (b > 0) mix_shared(o, out, step, strip, values, room, b, n, o->seen, b, true);
        for (size_t i = 1; i < n; i++) mix_shared(o, out, step, strip, values, room, b + i, 1, o->seen + b, i, true);
    }
}
