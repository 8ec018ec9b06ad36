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
        const size_t skip = nn_attn_first_of(o, i) / NN_PANEL * NN_PANEL;

        o->k->gemm_packed(strip + i * o->ld + skip, o->ld, rows + i * step, step, 1, keys + (o->base + skip) * o->D,
                          o->D, n, nn_attn_round(nn_attn_keys_of(o, i + n - 1)) - skip, o->D, false, o->gemm);
    }
}

void nn_attn_softmax(const nn_attn_tile *o, float *strip)
{
    o->k->softmax_rows(strip, o->ld, nn_attn_scale(o->D), o->rows, o->seen, o->causal ? 1 : 0, o->window);
}

void nn_attn_softmax_bwd(const nn_attn_tile *o, float *dp, const float *p)
{
    o->k->softmax_bwd_rows(dp, p, o->ld, nn_attn_scale(o->D), o->rows, o->seen, o->causal ? 1 : 0, o->window);
}

/* The window, cut to what a causal tile can see, so that sums with it stay small. */
static size_t window_of(const nn_attn_tile *o)
{
    return smaller(o->window, o->seen + o->rows);
}

void nn_attn_mix(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values, size_t room,
                 bool accumulate)
{
    const float *from = values + o->base * NN_PANEL;
    const size_t w = window_of(o), first = nn_attn_first_of(o, 0);

    if (o->causal)
        o->k->gemm_band(out, step, strip, o->ld, 1, from, room, o->rows, o->D, o->seen + o->rows,
                        (nn_band){o->seen, o->seen + w, w}, accumulate, o->gemm);
    else
        o->k->gemm_packed(out, step, strip + first, o->ld, 1, from + first * NN_PANEL, room, o->rows, o->D,
                          o->seen - first, accumulate, o->gemm);
}

/* Keys from j to `to`, each with the rows that see it: from row j + 1 - seen on, and `window` of them. */
static void spread_some(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values,
                        size_t j, size_t to)
{
    const nn_band rows = {j + 1, j + 1 + window_of(o), o->seen};

    if (j < to)
        o->k->gemm_band(out + j * step, step, strip + j, 1, o->ld, values, NN_ATTN_TILE, to - j, o->D, o->rows, rows,
                        true, o->gemm);
}

/* The keys in the middle are seen by all rows: one plain product, and before and behind it what differs by row. */
void nn_attn_spread(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values)
{
    const size_t end = o->seen + o->rows - 1, own = o->seen - 1;
    const size_t all = smaller(nn_attn_first_of(o, o->rows - 1), own);

    out += o->base * step;
    spread_some(o, out, step, strip, values, nn_attn_first_of(o, 0), all);
    if (all < own)
        o->k->gemm_packed(out + all * step, step, strip + all, 1, o->ld, values, NN_ATTN_TILE, own - all, o->D, o->rows,
                          true, o->gemm);
    spread_some(o, out, step, strip, values, own, end);
}
