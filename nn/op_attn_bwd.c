/* op_attn_bwd.c - the gradient of attention; forward's strip is computed again.
 *
 * Reads: ops.h, op_attn_impl.h, op_attn.c (the promise).   Read next: model_body.c; formulas in docs/math.md#attention.
 */
#include "nn/op_attn_impl.h"
#include "nn/op_impl.h"
#include "nn/ops.h"

enum { TILE = NN_ATTN_TILE };

typedef struct {
    const nn_exec *x;
    float *dq, *dk, *dv;
    const float *dy, *q, *k, *v;
    nn_segments seg;
    size_t window, H, K, D; /* window 0: none */
} gradient;

/* One kv head of one segment, packed for all its query heads and tiles. */
typedef struct {
    float *p, *dp;         /* strips [TILE, T] */
    float *k_keys, *v_keys; /* for the scores q.k and dp = dy.v */
    float *k_values;        /* for dq */
    float *q_rows, *dy_rows; /* a tile's rows as values, for dk and dv */
    size_t room;
} workplace;

static workplace workplace_at(const gradient *a, float *base, size_t len)
{
    const size_t D = a->D, wide = nn_attn_round(D), room = nn_attn_round(len);
    workplace w = {.room = room, .p = base};

    w.dp = w.p + TILE * room;
    w.k_keys = w.dp + TILE * room;
    w.v_keys = w.k_keys + room * D;
    w.k_values = w.v_keys + room * D;
    w.q_rows = w.k_values + room * wide;
    w.dy_rows = w.q_rows + TILE * wide;
    NN_ASSERT(a->x->k->gemm_scratch + (size_t)(w.dy_rows + TILE * wide - base) <= a->x->scratch_len);
    return w;
}

static float *shifted(float *y, size_t by) /* NULL stays NULL */
{
    return y ? y + by : NULL;
}

/* Tile o of a head; q, dy, dq point at its first row, dk and dv at the segment's. */
static void bwd_tile(const gradient *a, const nn_attn_tile *o, const workplace *w, const float *q, const float *dy,
                     float *dq, float *dk, float *dv)
{
    const size_t q_step = a->H * a->D, kv_step = a->K * a->D;

    nn_attn_scores(o, w->p, q, q_step, w->k_keys); /* the strip of forward, again */
    nn_attn_softmax(o, w->p);
    if (dv) {
        nn_attn_pack_values(o->k, w->dy_rows, TILE, dy, q_step, o->rows, a->D);
        nn_attn_spread(o, dv, kv_step, w->p, w->dy_rows);
    }
    if (!dq && !dk) return;
    nn_attn_scores(o, w->dp, dy, q_step, w->v_keys);
    nn_attn_softmax_bwd(o, w->dp, w->p); /* dp holds ds from here */
    if (dq) nn_attn_mix(o, dq, q_step, w->dp, w->k_values, w->room, true);
    if (dk) {
        nn_attn_pack_values(o->k, w->q_rows, TILE, q, q_step, o->rows, a->D);
        nn_attn_spread(o, dk, kv_step, w->dp, w->q_rows);
    }
}

/* dk and dv add the group's query heads in ascending order, each head's rows too: so one thread does all of them. */
static void bwd_group(const gradient *a, size_t thread, size_t s, size_t kv)
{
    const size_t begin = a->seg.start[s], len = a->seg.start[s + 1] - begin, group = a->H / a->K, D = a->D;
    const size_t q_step = a->H * D, kv_step = a->K * D, kv_at = (begin * a->K + kv) * D;
    float *scratch = nn_exec_scratch(a->x, thread);
    const workplace w = workplace_at(a, scratch + a->x->k->gemm_scratch, len);

    nn_attn_pack_keys(a->x->k, w.k_keys, a->k + kv_at, kv_step, len, D);
    if (a->dq || a->dk) nn_attn_pack_keys(a->x->k, w.v_keys, a->v + kv_at, kv_step, len, D);
    if (a->dq) nn_attn_pack_values(a->x->k, w.k_values, w.room, a->k + kv_at, kv_step, len, D);
    for (size_t h = kv * group; h < (kv + 1) * group; h++)
        for (size_t t0 = 0; t0 < len; t0 += TILE) {
            const size_t rows = len - t0 < TILE ? len - t0 : (size_t)TILE;
            const size_t q_at = begin * q_step + h * D + t0 * q_step;
            nn_attn_tile o = {.k = a->x->k, .gemm = scratch, .rows = rows, .D = D, .causal = true};

            nn_attn_place(&o, t0 + 1, a->window);
            bwd_tile(a, &o, &w, a->q + q_at, a->dy + q_at, shifted(a->dq, q_at), shifted(a->dk, kv_at),
                     shifted(a->dv, kv_at));
        }
}

static size_t work_of(const gradient *a, size_t s)
{
    const size_t len = a->seg.start[s + 1] - a->seg.start[s];

    return a->window && a->window < len ? len * a->window : len * len;
}

/* Work is counted in squares of lengths, or lengths times windows; (segment, kv head) belongs to the thread in whose
 * share it begins. */
static void bwd_share(void *ctx, size_t first, size_t last, size_t thread)
{
    const gradient *a = ctx;
    size_t at = 0;

    for (size_t s = 0; s < a->seg.n_seg; s++)
        for (size_t kv = 0; kv < a->K; kv++, at += work_of(a, s))
            if (at >= first && at < last) bwd_group(a, thread, s, kv);
}

/* nn_attn_bwd - gradient of the above (softmax's: Bridle 1990, doi:10.1007/978-3-642-76153-9_28).
 *
 *   bwd   dp_tj = dy_t . v_j,  ds_tj = p_tj (dp_tj - sum_i p_ti dp_ti) / sqrt(D)
 *         dq_t += sum over j <= t of ds_tj k_j          j ascending
 *         dk_j += sum over t >= j of ds_tj q_t          query heads of the group ascending, in each t ascending
 *         dv_j += sum over t >= j of p_tj dy_t          the same order; with a window W all over t - W < j <= t
 *
 *   [inout] dq [R,H,D]  dk, dv [R,K,D]  (NULL skips)     [in] dy, q [R,H,D]  k, v [R,K,D]
 *   [scratch] two strips a thread, and a head's keys and values three times as panels
 * WHY threads do not share a kv head of a segment: a thread with a part of its keys needs the whole strip of every row
 * that sees them, two of the five products. A batch has more segments than threads.
 */
void nn_attn_bwd(const nn_exec *x, float *dq, float *dk, float *dv, const float *dy, const float *q, const float *k,
                 const float *v, nn_segments seg, size_t window, size_t H, size_t K, size_t D)
{
    gradient a = {.x = x, .dq = dq, .dk = dk, .dv = dv, .dy = dy, .q = q, .k = k, .v = v,
                  .seg = seg, .window = window, .H = H, .K = K, .D = D};
    size_t work = 0;

    NN_ASSERT(K > 0 && H % K == 0);
    for (size_t s = 0; s < seg.n_seg; s++) work += K * work_of(&a, s);
    nn_par_run(&x->par, work, nn_grain(H / K * D), bwd_share, &a);
}
