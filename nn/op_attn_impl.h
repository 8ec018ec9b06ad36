/* op_attn_impl.h - a tile of attention: what forward, backward and decoding share.
 *
 * Reads: kern.h, exec.h.   Read next: op_attn.c, op_attn_bwd.c; for nn/op_attn*.c only.
 * A tile is a few query rows that see (nearly) the same keys of one kv head. Keys and values are read as panels, in the
 * layout of k->pack, so that 16 neighbours lie side by side whatever the head width is:
 *
 *   keys    [T/16][D][16]    16 keys side by side:    scores   rows x D  times  D x T
 *   values  [D/16][T][16]    16 columns side by side: sums     rows x T  times  T x D
 *
 * Forward packs them once for all query rows and heads that share them; a cache holds them so from the start.
 */
#ifndef NN_OP_ATTN_IMPL_H
#define NN_OP_ATTN_IMPL_H
#include "nn/exec.h"

enum { NN_ATTN_TILE = NN_STRIP_ROWS / 2 }; /* 32 rows: backward keeps two strips */

typedef struct {
    float *keys, *values;
    size_t room; /* T of the panels: a multiple of 16 */
} nn_attn_panels;

/* Row i sees the keys up to seen + i when causal, else up to seen: the last `window` of them. Keys are counted from
 * `base`, a multiple of 16 before which no row sees any; without a window it is 0. Scores are row i of a strip, ld
 * floats to a row. */
typedef struct {
    const nn_kern *k;
    float *gemm; /* [scratch] of the product kernel */
    size_t rows, seen, window, base, ld, D;
    bool causal;
} nn_attn_tile;

static inline size_t nn_attn_round(size_t n)
{
    return (n + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
}

static inline size_t nn_attn_keys_of(const nn_attn_tile *o, size_t i)
{
    return o->causal ? o->seen + i : o->seen;
}

/* The first key that row i sees. */
static inline size_t nn_attn_first_of(const nn_attn_tile *o, size_t i)
{
    const size_t end = nn_attn_keys_of(o, i);

    return end > o->window ? end - o->window : 0;
}

/* Sets seen, window, base and ld; rows and causal are there. Without the window the first row would see `seen` keys;
 * window 0: no window. */
static inline void nn_attn_place(nn_attn_tile *o, size_t seen, size_t window)
{
    o->seen = seen;
    o->window = window ? window : SIZE_MAX;
    o->base = nn_attn_first_of(o, 0) / NN_PANEL * NN_PANEL;
    o->seen -= o->base;
    o->ld = nn_attn_round(nn_attn_keys_of(o, o->rows - 1));
}

/* n rows, step floats apart, as panels; what room has behind them is zero (keys) or untouched (values). */
void nn_attn_pack_keys(const nn_kern *k, float *keys, const float *rows, size_t step, size_t n, size_t D);
void nn_attn_pack_values(const nn_kern *k, float *values, size_t room, const float *rows, size_t step, size_t n,
                         size_t D);
/* Keys, values and out below are those of the whole sequence; the strip begins at key `base`.
 * strip[i][j] = rows_i . key_j for the keys that row i sees and some beside them, which are never read. */
void nn_attn_scores(const nn_attn_tile *o, float *strip, const float *rows, size_t step, const float *keys);
/* Each row over exactly the keys that it sees. */
void nn_attn_softmax(const nn_attn_tile *o, float *strip);
void nn_attn_softmax_bwd(const nn_attn_tile *o, float *dp, const float *p);
/* out_i (+)= sum over the keys j that row i sees of strip[i][j] values_j, j ascending */
void nn_attn_mix(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values, size_t room,
                 bool accumulate);
/* out_j += sum over the rows i that see key j of strip[i][j] values_i, i ascending: the transpose, for a causal tile.
 * values: the tile's rows as panels with room NN_ATTN_TILE. */
void nn_attn_spread(const nn_attn_tile *o, float *out, size_t step, const float *strip, const float *values);
float nn_attn_scale(size_t D); /* 1/sqrt(D) */
#endif
