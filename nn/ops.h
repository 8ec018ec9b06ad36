/* ops.h - the mathematics, forward beside backward, written as calls of kernels.
 *
 * Reads: exec.h.   Read next: op_rmsnorm.c (the simplest), op_attn.c (the hardest), model.c; formulas in docs/math.md.
 * Shapes are row-major. B batch, T time, C channels, H heads, K kv heads, D head width, F feed-forward width,
 * V vocabulary, R rows of a packed batch (the sum of the segments' lengths), S segments.
 * Roles: [out] overwritten, [inout] accumulated (+=), [in] read, [scratch].
 * Gradients accumulate; the caller zeroes. A weight's gradient adds its rows in ascending order, so N micro-batches
 * give the bytes of one batch. Nothing here can fail. A NULL gradient pointer skips that gradient.
 */
#ifndef NN_OPS_H
#define NN_OPS_H
#include "nn/exec.h"
#include <stdint.h>

/* Rows of several sequences laid end to end: segment s is rows [start[s], start[s+1]); start has n_seg + 1 entries.
 */
typedef struct {
    const size_t *start;
    size_t n_seg;
} nn_segments;

/* --- products: op_linear.c -------------------------------------------------------------- */
typedef enum { NN_NN, NN_NT, NN_TN } nn_form; /* C = A B, A B^T, A^T B; A, B, C dense row-major */
void nn_matmul(const nn_exec *x, nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K,
               bool accumulate);
/* y [R,N] = in [R,C] w [N,C]^T (+ bias [N] or NULL) */
void nn_linear_fwd(const nn_exec *x, float *y, const float *in, const float *w, const float *bias, size_t R, size_t N,
                   size_t C);
/* [inout] din [R,C] (+= when add_din, else overwritten), dw [N,C], dbias [N]   [in] dy [R,N] */
void nn_linear_bwd(const nn_exec *x, float *din, float *dw, float *dbias, const float *dy, const float *in,
                   const float *w, size_t R, size_t N, size_t C, bool add_din);

/* --- embedding and n-gram memory: op_embed.c -------------------------------------------- */
/* y [R,C] = table[id] */
void nn_embed_fwd(const nn_exec *x, float *y, const float *table, const int32_t *ids, size_t R, size_t C);
void nn_embed_bwd(const nn_exec *x, float *dtable, const float *dy, const int32_t *ids, size_t R, size_t C);
/* y_r += sum over j in [start[r], start[r+1]) of table[slot[j]], in order (a hashed table of n-gram vectors; Joulin
 * et al. 2016, arXiv:1607.01759, sec. 2.1; Svenstrup et al. 2017, arXiv:1709.03933) */
void nn_memory_fwd(const nn_exec *x, float *y, const float *table, const uint32_t *slot, const size_t *start,
                   size_t R, size_t C);
void nn_memory_bwd(const nn_exec *x, float *dtable, const float *dy, const uint32_t *slot, const size_t *start,
                   size_t R, size_t C);

/* --- RMSNorm: op_rmsnorm.c -------------------------------------------------------------- */
void nn_rmsnorm_fwd(const nn_exec *x, float *y, float *rstd, const float *in, const float *w, float eps, size_t R,
                    size_t C); /* rstd [R], may be NULL */
/* sum = in + add, y = rmsnorm(sum): the bytes of the two alone. sum == in is fine. */
void nn_add_rmsnorm_fwd(const nn_exec *x, float *y, float *rstd, float *sum, const float *in, const float *add,
                        const float *w, float eps, size_t R, size_t C);
void nn_rmsnorm_bwd(const nn_exec *x, float *din, float *dw, const float *dy, const float *in, const float *w,
                    const float *rstd, size_t R, size_t C);

/* --- rotary positions: op_rope.c (Su et al. 2021, arXiv:2104.09864, eq. 34) ------------- */
/* [out] cos_t, sin_t [T, D/2]: angle of position t, pair i = t * theta^(-2i/D) / divisor_i; divisor [D/2], or NULL or
 * all 0: not divided */
void nn_rope_table(float *cos_t, float *sin_t, float theta, const float *divisor, size_t T, size_t D);
/* Divisors [D/2] that stretch a model's context; bad numbers give divisors that nn_config_check refuses.
 * Position interpolation (Chen et al. 2023, arXiv:2306.15595, eq. 3): factor for all. */
void nn_rope_linear(float *divisor, size_t D, float factor);
/* Llama 3.1's rule ("llama3" in Hugging Face's rope_scaling; Grattafiori et al. 2024, arXiv:2407.21783): wavelengths
 * above original_max_t / low_freq_factor are stretched by factor, those below original_max_t / high_freq_factor not at
 * all, between them by a blend of the two frequencies. */
void nn_rope_llama3(float *divisor, float theta, size_t D, float factor, float low_freq_factor, float high_freq_factor,
                    size_t original_max_t);
/* [inout] v [R, heads, D]; pos [R] the position of each row; direction +1 / -1 (backward) */
void nn_rope(const nn_exec *x, float *v, const int32_t *pos, const float *cos_t, const float *sin_t, size_t R,
             size_t heads, size_t D, bool half, float direction);
/* Queries, or keys: with w y = rope(rmsnorm(in, w)), else y is rotated in place and the rest unused. */
typedef struct {
    float *y, *rstd;      /* [R, heads, D]  [R, heads] or NULL */
    const float *in, *w;  /* [R, heads, D]  [D] or NULL */
    size_t heads;
} nn_heads;
/* Both in one region; the bytes of nn_rmsnorm_fwd (a row a head) and nn_rope. */
void nn_qk_rope(const nn_exec *x, nn_heads q, nn_heads k, float eps, const int32_t *pos, const float *cos_t,
                const float *sin_t, size_t R, size_t D, bool half, float direction);

/* --- causal attention: op_attn*.c (Vaswani et al. 2017, arXiv:1706.03762, eq. 1; GQA: arXiv:2305.13245) --- */
/* Each segment attends to itself. q [R,H,D]  k, v [R,K,D]  y [R,H,D]. Strip of scores of a tile of query rows, no
 * running rescale. window: the keys that a row sees, its own included (arXiv:2310.06825); 0: all up to its own. */
void nn_attn_fwd(const nn_exec *x, float *y, const float *q, const float *k, const float *v, nn_segments seg,
                 size_t window, size_t H, size_t K, size_t D);
/* Recomputes the strip. [inout] dq, dk, dv; dk and dv add the group's query heads in order, in each the query rows.
 */
void nn_attn_bwd(const nn_exec *x, float *dq, float *dk, float *dv, const float *dy, const float *q, const float *k,
                 const float *v, nn_segments seg, size_t window, size_t H, size_t K, size_t D);
/* Rows that continue sequences: row i of segment s is position past[s] + i of the sequence whose keys and values of
 * this layer are in cache[s]. Writes its k and v there, then attends to the positions up to its own: bit for bit the
 * row that nn_attn_fwd gives at that position. Decoding is one row a segment, prefill more; a batch may hold both.
 * q, y [R,H,D]  k, v [R,K,D]; past[s] + rows of s <= max_t; no cache twice. */
void nn_attn_cached(const nn_exec *x, float *y, const float *q, const float *k, const float *v, float *const *cache,
                    const size_t *past, nn_segments seg, size_t max_t, size_t window, size_t H, size_t K,
                    size_t D);
/* Floats of one cache: K x max_t x 2D, max_t and the values' D rounded up to 16 (op_attn_impl.h says how they lie).
 * Nothing needs to be cleared between sequences. Too many to count: SIZE_MAX / sizeof(float). */
size_t nn_attn_cache_floats(size_t max_t, size_t K, size_t D);

/* --- SwiGLU: op_swiglu.c (Shazeer 2020, arXiv:2002.05202, eq. 6) ------------------------- */
void nn_swiglu_fwd(const nn_exec *x, float *y, const float *gate, const float *up, size_t R, size_t F);
/* [out] dgate, dup: overwritten, they have one reader */
void nn_swiglu_bwd(const nn_exec *x, float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                   size_t R, size_t F);

/* --- pooling a segment to one row: op_pool.c -------------------------------------------- */
typedef enum { NN_POOL_LAST, NN_POOL_MEAN_MAX } nn_pool; /* C or 2C values a segment: mean, then max */
/* y [S, P*C]; arg [S,C] (the batch row that held each maximum; first wins) may be NULL for LAST */
void nn_pool_fwd(const nn_exec *x, float *y, uint32_t *arg, const float *in, nn_segments seg, nn_pool pool, size_t C);
void nn_pool_bwd(const nn_exec *x, float *din, const float *dy, const uint32_t *arg, nn_segments seg, nn_pool pool,
                 size_t C);

/* --- losses: op_loss.c ------------------------------------------------------------------- */
/* Weighted cross-entropy with soft labels left to the caller: one hard target a row, -1 skips the row.
 * loss = sum_r weight_r * -log p_r(target_r);  [out] logprob [R] (0 where skipped), dlogits [R,V] = weight_r (p -
 * onehot) (may equal logits, NULL skips). weight NULL: 1 each. Masked prompts, class loss, policy gradient and DPO
 * are this one op. Returns the loss, in double, rows ascending. Without dlogits it uses V floats of the thread's
 * scratch (scratch_len is over 130,000). */
double nn_xent(const nn_exec *x, float *logprob, float *dlogits, const float *logits, const int32_t *target,
               const float *weight, size_t R, size_t V);
/* Two-row verdict head: z = offset + logit_unsafe - logit_safe (offset: the wide part's logit, or NULL),
 * loss = sum_s weight_s * BCE(sigmoid(z), y_s), y in [0,1]. [out] p [S], dlogits [S,2] (NULL skips). weight 0: p
 * alone. */
double nn_verdict_loss(const nn_exec *x, float *p, float *dlogits, const float *logits, const float *offset,
                       const float *y, const float *weight, size_t S);
/* Category head: sigmoid with masked targets: target 1, 0, or negative = unknown. weight [S]. */
double nn_category_loss(const nn_exec *x, float *p, float *dlogits, const float *logits, const float *target,
                        const float *weight, size_t S, size_t n_category);
#endif
