/* op_attn.c - causal attention with grouped-query heads, over a packed batch or over caches.
 *
 * Reads: ops.h, op_attn_impl.h (tiles and panels).   Read next: op_attn_bwd.c; formulas and an example by hand in
 * docs/math.md#attention.
 * A tile is at most 32 query rows of one head in one segment. Its scores against all keys up to its last row lie in a
 * strip [32, t1] of the thread's scratch: memory grows with T, not with T^2, and every sum runs over its whole row, so
 * nothing is rescaled. With a window the strip begins at the first key that the tile's first row sees.
 *
 * The promise: row t is the bytes of
 *
 *   for j = a..t:  s_j = chain over d of q_d k_jd          chain: one float, from 0, one fmaf a product, ascending
 *   p = softmax_row(s, 1/sqrt(D)) over exactly these values, the sum's lanes by j % 16
 *   y_d = chain over j = a..t of p_j v_jd                  a = 0, with a window of W keys a = max(0, t - W + 1)
 *
 * whoever computes it: a tile of any height, a batch, or a row over a cache. A key that a row does not see never enters
 * a kept sum: each row takes the keys that it alone sees, then those that it shares with its neighbours (one product),
 * then again its own. Adding masked keys with p = 0 would be shorter, and wrong: it turns a sum of -0 into +0, 0 * inf
 * into NaN.
 */
#include "nn/op_attn_impl.h"
#include "nn/op_impl.h"
#include "nn/ops.h"

typedef struct {
    const nn_exec *x;
    float *y;
    const float *q, *k, *v;
    float *const *cache; /* NULL: keys and values are packed into scratch */
    const size_t *past;  /* NULL: 0 each */
    nn_segments seg;
    size_t room;   /* of a cache */
    size_t window; /* 0: none */
    size_t H, K, D;
    bool put; /* whoever attends writes the new keys and values first */
} attention;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t rows_of(const attention *a, size_t s)
{
    return a->seg.start[s + 1] - a->seg.start[s];
}

static size_t past_of(const attention *a, size_t s)
{
    return a->past ? a->past[s] : 0;
}

/* --- panels ---------------------------------------------------------------------------------------- */

static nn_attn_panels panels_at(float *base, size_t room, size_t D)
{
    return (nn_attn_panels){base, base + room * D, room};
}

static size_t panel_floats(size_t room, size_t D)
{
    return room * (D + nn_attn_round(D));
}

size_t nn_attn_cache_floats(size_t max_t, size_t K, size_t D)
{
    if (max_t > SIZE_MAX / 16 - 16 || panel_floats(1, D) > SIZE_MAX / sizeof(float) / (max_t + 16) / (K + 1))
        return SIZE_MAX / sizeof(float);
    return K * panel_floats(nn_attn_round(max_t), D);
}

static nn_attn_panels cache_of(const attention *a, size_t s, size_t kv)
{
    return panels_at(a->cache[s] + kv * panel_floats(a->room, a->D), a->room, a->D);
}

/* Writes the segment's rows to their places: a key is a column of its panel. */
static void put_rows(const attention *a, size_t s, size_t kv)
{
    const nn_attn_panels to = cache_of(a, s, kv);
    const size_t D = a->D, past = past_of(a, s);

    for (size_t i = 0; i < rows_of(a, s); i++) {
        const size_t at = ((a->seg.start[s] + i) * a->K + kv) * D, t = past + i;
        float *key = to.keys + t / NN_PANEL * NN_PANEL * D + t % NN_PANEL, *value = to.values + t * NN_PANEL;

        for (size_t d = 0; d < D; d++) key[d * NN_PANEL] = a->k[at + d];
        for (size_t d = 0; d < D; d++) value[d / NN_PANEL * NN_PANEL * to.room + d % NN_PANEL] = a->v[at + d];
    }
}

static void put_items(void *ctx, size_t first, size_t last, size_t thread)
{
    const attention *a = ctx;

    (void)thread;
    for (size_t item = first; item < last; item++) put_rows(a, item / a->K, item % a->K);
}

static void pack_rows(const attention *a, nn_attn_panels to, size_t s, size_t kv)
{
    const size_t at = (a->seg.start[s] * a->K + kv) * a->D, step = a->K * a->D, n = rows_of(a, s);

    nn_attn_pack_keys(a->x->k, to.keys, a->k + at, step, n, a->D);
    nn_attn_pack_values(a->x->k, to.values, to.room, a->v + at, step, n, a->D);
}

/* --- tiles ----------------------------------------------------------------------------------------- */

/* The tiles of one (segment, kv head). A lone row: the group's query heads are the rows, all see the same keys. More
 * rows: tiles of one query head each, heads in order. */
static size_t tiles_of(const attention *a, size_t s)
{
    const size_t group = a->H / a->K, n = rows_of(a, s);

    return n == 1 ? (group + NN_ATTN_TILE - 1) / NN_ATTN_TILE : group * ((n + NN_ATTN_TILE - 1) / NN_ATTN_TILE);
}

typedef struct {
    nn_attn_tile o;
    size_t at, step; /* of its first row, and to the next, in q and y */
} placed_tile;

static placed_tile tile_at(const attention *a, size_t s, size_t kv, size_t i)
{
    const size_t group = a->H / a->K, n = rows_of(a, s), per_head = (n + NN_ATTN_TILE - 1) / NN_ATTN_TILE;
    placed_tile t = {.o = {.k = a->x->k, .D = a->D, .causal = n > 1}};
    size_t row = a->seg.start[s], head = kv * group;

    if (n == 1) {
        head += i * NN_ATTN_TILE;
        t.o.rows = smaller(group - i * NN_ATTN_TILE, NN_ATTN_TILE);
        nn_attn_place(&t.o, past_of(a, s) + 1, a->window);
        t.step = a->D;
    } else {
        const size_t t0 = i % per_head * NN_ATTN_TILE;
        row += t0;
        head += i / per_head;
        t.o.rows = smaller(n - t0, NN_ATTN_TILE);
        nn_attn_place(&t.o, past_of(a, s) + t0 + 1, a->window);
        t.step = a->H * a->D;
    }
    t.at = (row * a->H + head) * a->D;
    return t;
}

static size_t work_of(const placed_tile *t)
{
    return t->o.rows * t->o.ld;
}

static void attend(const attention *a, placed_tile *t, float *scratch, float *strip, nn_attn_panels p)
{
    t->o.gemm = scratch;
    nn_attn_scores(&t->o, strip, a->q + t->at, t->step, p.keys);
    nn_attn_softmax(&t->o, strip);
    nn_attn_mix(&t->o, a->y + t->at, t->step, strip, p.values, p.room, false);
}

/* --- items ----------------------------------------------------------------------------------------- */

/* Where the keys of (segment, kv head) are; packs or writes them when it is this thread's to do. */
static nn_attn_panels prepare(const attention *a, float *room, size_t s, size_t kv)
{
    if (a->cache) {
        if (a->put) put_rows(a, s, kv);
        return cache_of(a, s, kv);
    }
    const nn_attn_panels p = panels_at(room, nn_attn_round(rows_of(a, s)), a->D);
    pack_rows(a, p, s, kv);
    return p;
}

/* Work is counted in scores; a tile belongs to the thread in whose share its first score falls. So shares are even
 * whatever the lengths are, and late tiles, which see more keys, count for more. */
static void attend_share(void *ctx, size_t first, size_t last, size_t thread)
{
    const attention *a = ctx;
    float *scratch = nn_exec_scratch(a->x, thread), *strip = scratch + a->x->k->gemm_scratch;
    size_t at = 0;

    for (size_t s = 0; s < a->seg.n_seg; s++) {
        const size_t ld = nn_attn_round(past_of(a, s) + rows_of(a, s));
        NN_ASSERT(a->x->k->gemm_scratch + NN_ATTN_TILE * ld + (a->cache ? 0 : panel_floats(ld, a->D)) <=
                  a->x->scratch_len);
        for (size_t kv = 0; kv < a->K; kv++) {
            nn_attn_panels p = {NULL, NULL, 0};

            for (size_t i = 0; i < tiles_of(a, s); i++) {
                placed_tile t = tile_at(a, s, kv, i);
                if (at >= first && at < last) {
                    if (!p.keys) p = prepare(a, strip + NN_ATTN_TILE * ld, s, kv);
                    attend(a, &t, scratch, strip, p);
                }
                at += work_of(&t);
            }
        }
    }
}

static void attend_all(const attention *a)
{
    size_t work = 0;

    NN_ASSERT(a->K > 0 && a->H % a->K == 0);
    for (size_t s = 0; s < a->seg.n_seg; s++)
        for (size_t i = 0; i < tiles_of(a, s); i++) {
            const placed_tile t = tile_at(a, s, 0, i);
            work += a->K * work_of(&t);
        }
    nn_par_run(&a->x->par, work, nn_grain(a->D), attend_share, (void *)a);
}

/* nn_attn_fwd - causal scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1) with H/K query
 * heads to a kv head (Ainslie et al. 2023, arXiv:2305.13245, sec. 2.2).
 *
 *   fwd   s_tj = q_t . k_j,  p_t = softmax(s_t / sqrt(D)) over j <= t,  y_t = sum_j p_tj v_j
 *         with a window W > 0 (Jiang et al. 2023, arXiv:2310.06825, sec. 2) over t - W < j <= t
 *
 *   [out] y [R,H,D]     [in] q [R,H,D]  k, v [R,K,D]  K divides H; query head h reads kv head h / (H/K)
 *   [scratch] a strip of 32 x longest segment a thread, and its keys and values of one head as panels
 */
void nn_attn_fwd(const nn_exec *x, float *y, const float *q, const float *k, const float *v, nn_segments seg,
                 size_t window, size_t H, size_t K, size_t D)
{
    attention a = {.x = x, .y = y, .q = q, .k = k, .v = v, .seg = seg, .window = window, .H = H, .K = K, .D = D};

    attend_all(&a);
}

/* nn_attn_cached - the same for rows that continue sequences: the bytes of nn_attn_fwd's rows at those positions.
 *
 *   put   row i of segment s is position t = past_s + i: its k and v go to cache_s
 *   fwd   as nn_attn_fwd over the positions 0..t of that cache, or the last of them that the window holds
 *
 *   [out] y [R,H,D]     [inout] cache_s [nn_attn_cache_floats(max_t, K, D)]
 *   [in]  q [R,H,D]  k, v [R,K,D]  past [S], past_s + rows of s <= max_t
 *   [scratch] a strip of 32 x longest len a thread
 * With one row a segment whoever attends to a kv head writes its key first, else all are written before.
 */
void nn_attn_cached(const nn_exec *x, float *y, const float *q, const float *k, const float *v, float *const *cache,
                    const size_t *past, nn_segments seg, size_t max_t, size_t window, size_t H, size_t K,
                    size_t D)
{
    attention a = {.x = x, .y = y, .q = q, .k = k, .v = v, .cache = cache, .past = past, .seg = seg,
                   .room = nn_attn_round(max_t), .window = window, .H = H, .K = K, .D = D};
    const size_t rows = seg.n_seg ? seg.start[seg.n_seg] - seg.start[0] : 0;

    for (size_t s = 0; s < seg.n_seg; s++) NN_ASSERT(past[s] + rows_of(&a, s) <= max_t);
    a.put = rows == seg.n_seg && H / K <= NN_ATTN_TILE;
    if (!a.put) nn_par_run(&x->par, seg.n_seg * K, nn_grain(rows * D), put_items, &a);
    attend_all(&a);
}
