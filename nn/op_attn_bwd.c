/* op_attn_bwd.c - the gradient of attention; forward's strip is computed again.
 *
 * Reads: ops.h, op_attn.c (the promise).   Read next: model_body.c; formulas in docs/math.md#attention.
 */
#include "nn/op_attn_impl.h"
#include "nn/op_impl.h"
#include "nn/ops.h"

enum { TILE = NN_ATTN_TILE };

/* Query rows [t0, t1) of one head in one segment against keys [0, t1) of its kv head. Pointers handed to the functions
 * below start at row 0 of the segment; *_step floats lie between two rows. */
typedef struct {
    const nn_kern *k;
    float *gemm;      /* [scratch] of the product kernel */
    float *p, *dp;    /* [scratch] strips [TILE, ld]; dp for backward only */
    size_t ld, t0, t1, D, q_step, kv_step;
    float scale;
} tile;

/* The strips lie behind the product kernel's own room; rows start at multiples of 16 floats. */
static tile tile_at(const nn_exec *x, size_t thread, size_t t0, size_t len, size_t H, size_t K, size_t D)
{
    float *scratch = nn_exec_scratch(x, thread), *strips = scratch + x->k->gemm_scratch;
    const size_t t1 = len - t0 < TILE ? len : t0 + TILE, ld = (t1 + 15) / 16 * 16;

    NN_ASSERT(x->k->gemm_scratch + 2 * TILE * ld <= x->scratch_len);
    return (tile){x->k, scratch, strips, strips + TILE * ld, ld, t0, t1, D, H * D, K * D, nn_attn_scale(D)};
}

/* strip[t][j] = rows_t . keys_j for all keys up to the tile's end; what lies behind the diagonal is never read. */
static void rows_dot_keys(const tile *o, float *strip, const float *rows, const float *keys)
{
    o->k->gemm(strip, o->ld, rows + o->t0 * o->q_step, o->q_step, 1, keys, 1, o->kv_step, o->t1 - o->t0, o->t1, o->D,
               false, o->gemm);
}

static void softmax_rows(const tile *o)
{
    o->k->softmax_rows(o->p, o->ld, o->scale, o->t1 - o->t0, o->t0 + 1, 1);
}

static void softmax_bwd_rows(const tile *o)
{
    o->k->softmax_bwd_rows(o->dp, o->p, o->ld, o->scale, o->t1 - o->t0, o->t0 + 1, 1);
}

/* out_t (+)= sum over j <= t of strip[t][j] keys_j, j ascending: the square before the tile, then the triangle. */
static void strip_times_keys(const tile *o, float *out, const float *strip, const float *keys, bool accumulate)
{
    const float *triangle = keys + o->t0 * o->kv_step;

    o->k->gemm(out + o->t0 * o->q_step, o->q_step, strip, o->ld, 1, keys, o->kv_step, 1, o->t1 - o->t0, o->D, o->t0,
               accumulate, o->gemm);
    for (size_t t = o->t0; t < o->t1; t++)
        o->k->gemm(out + t * o->q_step, o->q_step, strip + (t - o->t0) * o->ld + o->t0, o->ld, 1, triangle,
                   o->kv_step, 1, 1, o->D, t - o->t0 + 1, true, o->gemm);
}

/* out_j += sum over t >= j in the tile of strip[t][j] rows_t, t ascending: the transpose of the above. */
static void strip_times_rows(const tile *o, float *out, const float *strip, const float *rows)
{
    o->k->gemm(out, o->kv_step, strip, 1, o->ld, rows + o->t0 * o->q_step, o->q_step, 1, o->t0, o->D, o->t1 - o->t0,
               true, o->gemm);
    for (size_t j = o->t0; j < o->t1; j++)
        o->k->gemm(out + j * o->kv_step, o->kv_step, strip + (j - o->t0) * o->ld + j, 1, o->ld, rows + j * o->q_step,
                   o->q_step, 1, 1, o->D, o->t1 - j, true, o->gemm);
}

typedef struct {
    const nn_exec *x;
    float *dq, *dk, *dv;
    const float *dy, *q, *k, *v;
    nn_segments seg;
    size_t H, K, D;
} attention;

static float *shifted(float *gradient, size_t by) /* NULL stays NULL */
{
    return gradient ? gradient + by : NULL;
}

/* All tiles of query head h in segment s; dq, dk, dv as far as wanted. */
static void bwd_head(const attention *a, size_t thread, size_t h, size_t s)
{
    const size_t begin = a->seg.start[s], len = a->seg.start[s + 1] - begin;
    const size_t q_at = (begin * a->H + h) * a->D;
    const size_t kv_at = (begin * a->K + h / (a->H / a->K)) * a->D;
    const float *q = a->q + q_at, *dy = a->dy + q_at, *k = a->k + kv_at, *v = a->v + kv_at;
    float *dq = shifted(a->dq, q_at), *dk = shifted(a->dk, kv_at), *dv = shifted(a->dv, kv_at);

    for (size_t t0 = 0; t0 < len; t0 += TILE) {
        const tile o = tile_at(a->x, thread, t0, len, a->H, a->K, a->D);

        rows_dot_keys(&o, o.p, q, k); /* the strip of forward, again */
        softmax_rows(&o);
        if (dv) strip_times_rows(&o, dv, o.p, dy);
        if (!dq && !dk) continue;
        rows_dot_keys(&o, o.dp, dy, v);
        softmax_bwd_rows(&o); /* dp holds ds from here */
        if (dq) strip_times_keys(&o, dq, o.dp, k, true);
        if (dk) strip_times_rows(&o, dk, o.dp, q);
    }
}

/* A thread owns (segment, kv head): dk and dv add the group's query heads in ascending order, each head's rows too. */
static void bwd_items(void *ctx, size_t first, size_t last, size_t thread)
{
    const attention *a = ctx;
    const size_t group = a->H / a->K;

    for (size_t item = first; item < last; item++)
        for (size_t g = 0; g < group; g++) bwd_head(a, thread, item % a->K * group + g, item / a->K);
}

/* nn_attn_bwd - gradient of the above (softmax's: Bridle 1990, doi:10.1007/978-3-642-76153-9_28).
 *
 *   bwd   dp_tj = dy_t . v_j,  ds_tj = p_tj (dp_tj - sum_i p_ti dp_ti) / sqrt(D)
 *         dq_t += sum over j <= t of ds_tj k_j          j ascending
 *         dk_j += sum over t >= j of ds_tj q_t          query heads of the group ascending, in each t ascending
 *         dv_j += sum over t >= j of p_tj dy_t          the same order
 *
 *   [inout] dq [R,H,D]  dk, dv [R,K,D]  (NULL skips)     [in] dy, q [R,H,D]  k, v [R,K,D]
 *   [scratch] two strips a thread
 */
void nn_attn_bwd(const nn_exec *x, float *dq, float *dk, float *dv, const float *dy, const float *q, const float *k,
                 const float *v, nn_segments seg, size_t H, size_t K, size_t D)
{
    attention a = {.x = x, .dq = dq, .dk = dk, .dv = dv, .dy = dy, .q = q, .k = k, .v = v,
                   .seg = seg, .H = H, .K = K, .D = D};
    const size_t rows = seg.n_seg ? (seg.start[seg.n_seg] - seg.start[0]) / seg.n_seg : 0;

    NN_ASSERT(K > 0 && H % K == 0);
    nn_par_run(&x->par, seg.n_seg * K, nn_grain(H / K * rows * rows * D), bwd_items, &a);
}
