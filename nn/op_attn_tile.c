/* op_attn_tile.c - scores, softmax and weighted sums of a tile of query rows.
 *
 * Reads: op_attn_impl.h (what a tile is).   Read next: op_attn.c.
 */
#include "nn/op_attn_impl.h"
#include <math.h>

float nn_attn_scale(size_t D)
{
    return (float)(1.0 / sqrt((double)D)); /* in double: the float nearest to the real number */
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void nn_attn_pack_keys(const nn_kern *k, float *keys, const float *rows, size_t step, size_t n, size_t D)
{
    k->pack(keys, rows, 1, step, n, D);
}

void nn_attn_pack_values(const nn_kern *k, float *values, size_t room, const float *rows, size_t step, size_t n,
                         size_t D)
{
    for (size_t d = 0; d < D; d += NN_PANEL)
        k->pack(values + d * room, rows + d, step, 1, smaller(D - d, NN_PANEL), n);
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

void nn_attn_softmax_bwd(const nn_attn_tile *o, float *dp, const float *p)
{
    o->k->softmax_bwd_rows(dp, p, o->ld, nn_attn_scale(o->D), o->rows, o->seen, o->causal ? 1 : 0);
}

void nn_attn_mix(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values, size_t room,
                 bool accumulate)
{
    if (o->causal)
        o->k->gemm_causal(out, step, strip, o->ld, values, room, o->rows, o->D, o->seen, accumulate, o->gemm);
    else
        o->k->gemm_packed(out, step, strip, o->ld, 1, values, room, o->rows, o->D, o->seen, accumulate, o->gemm);
}

void nn_attn_spread(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values)
{
    const size_t before = o->seen - 1; /* keys that all rows see; then each row's own and those before it */

    o->k->gemm_packed(out, step, strip, 1, o->ld, values, NN_ATTN_TILE, before, o->D, o->rows, true, o->gemm);
    o->k->gemm_causal_t(out + before * step, step, strip + before, o->ld, values, NN_ATTN_TILE, o->rows, o->D, o->gemm);
}
