/* model.h - a decoder-only transformer: configuration, weights, and what computing with it needs.
 *
 * Reads: ops.h, arena.h.   Read next: params.h (the table of tensors), model.c, trainer.h, decode.h.
 * Why three objects: nn_model holds configuration and constant weights and is shared freely between threads; nn_state
 * (here and in decode.h) holds the activations of one user; nn_trainer holds gradients, moments and saved
 * activations. Each is one arena. The architecture is qwen3's (RMSNorm, q/k norm, grouped-query attention, half-split
 * RoPE, SwiGLU, no biases), with switches for Llama (no q/k norm, interleaved or half RoPE, stretched frequencies),
 * Qwen2 (biases) and Mistral (sliding window). The guard adds a verdict head, a category head and an n-gram memory.
 */
#ifndef NN_MODEL_H
#define NN_MODEL_H
#include "nn/arena.h"
#include "nn/dtype.h"
#include "nn/ops.h"

typedef enum { NN_ROPE_HALF, NN_ROPE_PAIRS } nn_rope_order;

typedef struct {
    size_t vocab, layers, width, heads, kv_heads, head_dim, ff; /* V L C H K D F */
    size_t max_t;                                               /* longest segment */
    size_t sliding_window; /* positions that one sees, its own included; 0: all before it (Mistral: arXiv:2310.06825) */
    float rope_theta, norm_eps;
    nn_rope_order rope;
    /* The frequency of rotary pair i < head_dim / 2 is divided by entry i; all 0: none. What rope_scaling linear and
     * llama3 come to (nn_rope_linear, nn_rope_llama3), and what a GGUF file holds as rope_freqs.weight. */
    float rope_divisor[NN_HEAD_MAX / 2];
    bool qk_norm, qkv_bias;
    bool lm_head;       /* next-token logits exist (tied or not) */
    bool tied;          /* the output matrix is the embedding */
    size_t memory_rows; /* 0: no n-gram memory */
    size_t n_class;     /* 0 or 2: rows of the verdict head (safe, unsafe) */
    size_t n_category;  /* rows of the category head, 0: none */
    nn_pool pool;       /* what the heads read */
} nn_config;

nn_config nn_config_default(void); /* 4 layers, width 128, a guard's flags off */
/* Every relation between the fields (heads divide, D even, sizes that multiply within limits). */
NN_CHECKED nn_status nn_config_check(const nn_config *c, nn_err *err);
size_t nn_config_params(const nn_config *c); /* number of weights, memory included */
size_t
nn_config_active_params(const nn_config *c); /* weights multiplied per token: without embedding and memory rows */

typedef struct nn_model nn_model; /* opaque; fields in model_impl.h */

/* A matrix of an int8 model (quantize.h): panels are borrowed from the file or the model, the rest is the model's. */
typedef struct {
    const int8_t *panels; /* [nn_i8_rows(rows), nn_i8_cols(cols)]; NULL until placed */
    float *scale;         /* [nn_i8_rows(rows)] */
    int32_t *sum;         /* [the same] */
} nn_i8_tensor;

/* One tensor of the model, for files, optimiser, checks and prints. Order is the table's; pointers are borrowed. */
typedef struct {
    char name[64]; /* our name, Hugging Face style: model.layers.0.self_attn.q_proj.weight */
    char gguf[64]; /* blk.0.attn_q.weight */
    float *data;   /* [rows, cols] or [cols] when rows == 1; NULL when i8 or bytes is there, or shall be */
    size_t rows, cols;
    bool decay;   /* weight decay applies (2-D) */
    size_t group; /* learning-rate group: 0 body, 1 embedding, 2 memory, 3 heads */
    const nn_i8_tensor *i8; /* NULL: floats, or stored */
    const unsigned char *bytes; /* stored: rows of nn_dtype_bytes(type, cols); NULL: floats, int8, or not placed yet */
    nn_dtype type;              /* of bytes */
} nn_tensor;

/* Weights zeroed (norms one); owned by the caller until nn_model_free. */
NN_CHECKED nn_status nn_model_build(nn_model **out, const nn_config *c, nn_err *err);
void nn_model_free(nn_model *m);
/* Initialisation: normal(0, 0.02), output projections scaled by 1/sqrt(2L) (Radford et al. 2019), memory and heads
 * small; a function of (seed, tensor name, element). */
void nn_model_init(nn_model *m, uint64_t seed);
void nn_model_init_heads(nn_model *m, uint64_t seed); /* of verdict and categories alone, as nn_model_init */
const nn_config *nn_model_config(const nn_model *m);
size_t nn_model_tensors(const nn_model *m);
nn_tensor nn_model_tensor(const nn_model *m, size_t i);
/* By our name or the gguf name; false when absent. */
bool nn_model_find(const nn_model *m, const char *name, nn_tensor *out);
NN_CHECKED nn_status nn_model_clone(nn_model **out, const nn_model *m, nn_err *err);
/* SHA-256 over names, shapes and bytes of all tensors, in order; of a stored one the type's name too, unless it is F32: a
 * stored model of F32 has the hash of its float copy. */
void nn_model_hash(const nn_model *m, char hex[65]);

/* From here on the weights are constant: makes the copy that products read fastest (the same bits, as many bytes again).
 * After weights changed: again. x's threads do the work. */
NN_CHECKED nn_status nn_model_pack(nn_model *m, const nn_exec *x, nn_err *err);
void nn_model_unpack(nn_model *m); /* weights may change; fine on a model that is not packed */

/* --- int8 (CONTRACTS 1.7; quantize.h): every matrix but the guard's two heads. For inference only. --- */
/* The int8 form of a float model; *out owns all its bytes. */
NN_CHECKED nn_status nn_model_quantize(nn_model **out, const nn_model *m, const nn_kern *k, nn_err *err);
/* A model whose int8 matrices are still to be placed, one by one; its other weights as nn_model_build leaves them. */
NN_CHECKED nn_status nn_model_build_i8(nn_model **out, const nn_config *c, nn_err *err);
/* Tensor i, an int8 one, lies at `panels`, which the caller keeps alive; scale [nn_i8_rows(rows)] is copied. Both are
 * checked (nn_i8_check). The model may be used when the last one is placed. */
NN_CHECKED nn_status nn_model_place_i8(nn_model *m, size_t i, const int8_t *panels, const float *scale,
                                       const nn_kern *k, nn_err *err);
bool nn_model_is_i8(const nn_model *m);
/* The float model that an int8 one computes with: each weight is its scale * q. For writing, not to be trained on. */
NN_CHECKED nn_status nn_model_dequantize(nn_model **out, const nn_model *m, nn_err *err);

/* --- stored (dtype.h): every matrix but the guard's two heads stays in its file's type, where it lies. For inference
 * only; bit for bit the results of nn_model_floats. --- */
/* A model whose matrices have no memory of their own and are still to be placed, one by one; its other weights as
 * nn_model_build leaves them. */
NN_CHECKED nn_status nn_model_build_stored(nn_model **out, const nn_config *c, nn_err *err);
/* Tensor i, a matrix, lies at `bytes` (rows of nn_dtype_bytes(type, cols)), which the caller keeps alive, and so for
 * clones. NN_FILE: a type that holds no weights, columns that are no whole blocks, a weight that is not finite (tensor
 * and index named). The model may be used when the last one is placed. */
NN_CHECKED nn_status nn_model_place_stored(nn_model *m, size_t i, nn_dtype type, const unsigned char *bytes, nn_err *err);
bool nn_model_is_stored(const nn_model *m);
/* A float model with the same weights, which can be trained; of a float model a clone. */
NN_CHECKED nn_status nn_model_floats(nn_model **out, const nn_model *m, nn_err *err);

/* A packed batch: R rows of S segments, each segment's positions from 0. */
typedef struct {
    const int32_t *ids; /* [R] */
    nn_segments seg;
    const uint32_t *mem_slot; /* n-gram memory rows, or NULL */
    const size_t *mem_start;  /* [R+1] */
} nn_batch;

/* --- inference over whole segments ("prefill"): one layer's activations, reused --------- */
typedef struct nn_state nn_state; /* opaque, one arena, one user */
NN_CHECKED nn_status nn_state_build(nn_state **out, const nn_model *m, size_t max_rows, size_t max_seg, nn_err *err);
void nn_state_free(nn_state *s);
/* Runs the body; afterwards the getters below read the results, valid until the next call on this state. */
void nn_model_fwd(const nn_model *m, nn_state *s, const nn_exec *x, const nn_batch *b);
/* The same for what the heads read and say alone; hidden states are not to be read afterwards. WHY: where the last
 * position is pooled, the last block computes no other any further than its key and value: a tenth of eight layers. */
void nn_model_heads_fwd(const nn_model *m, nn_state *s, const nn_exec *x, const nn_batch *b);
/* From now on what enters a product with a stored matrix is rounded as ggml's kernels round it: to F16 or BF16 where the
 * weights are that, to blocks of 8-bit integers where they are blocks, and keys and values to F16. For numbers to compare
 * with llama.cpp's; nn_model_fwd and nn_state_lm_logits do it. */
void nn_state_round_inputs(nn_state *s, bool on);
const float *nn_state_hidden(const nn_state *s);   /* [R,C] after the final norm */
const float *nn_state_pooled(const nn_state *s);   /* [S, P*C] (config.pool) */
const float *nn_state_verdict(const nn_state *s);  /* [S,2] logits safe, unsafe; NULL without the head */
const float *nn_state_category(const nn_state *s); /* [S,n_category] logits; NULL without */
/* Next-token logits of chosen rows: out [n,V]; rows are row numbers of the last forward. */
void nn_state_lm_logits(const nn_model *m, const nn_state *s, const nn_exec *x, float *out, const size_t *rows,
                        size_t n);
/* Runs nn_model_fwd, then: logprob [R], entry r = log p(ids[r] | before) within its segment; the first row of a
 * segment gets 0. */
void nn_state_logprob(const nn_model *m, nn_state *s, const nn_exec *x, const nn_batch *b, float *logprob);
#endif
