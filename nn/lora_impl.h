/* lora_impl.h - the inside of adapters, and how the model's body and the trainer compute with them.
 *
 * Reads: lora.h.   Read next: lora.c, lora_merge.c; model_body.c and trainer_bwd.c (their callers).
 */
#ifndef NN_LORA_IMPL_H
#define NN_LORA_IMPL_H
#include "nn/lora.h"

/* One adapter. Its tensors are numbers `tensor` (A) and tensor + 1 (B) of the adapters'. */
typedef struct {
    float *a, *b; /* [r,K] [N,r]; NULL: none beside this matrix */
    size_t N, K, tensor;
} nn_lora_pair;

struct nn_lora {
    nn_lora_options o;
    float scale; /* alpha / r */
    nn_arena arena;
    size_t layers, n_tensor;
    nn_lora_pair *pair; /* [L, NN_LORA_TARGETS] */
    nn_tensor *tensor;  /* [n_tensor] */
    char base[256];     /* what a folder says it was trained beside, "": nothing; cut where it is longer */
};

#define NN_LORA_NAME 64u

/* Rows and columns of the matrix that an adapter stands beside. */
void nn_lora_shape(size_t *N, size_t *K, const nn_config *c, nn_lora_target t);
void nn_lora_name(char out[NN_LORA_NAME], size_t layer, nn_lora_target t, char which); /* 'A' or 'B' */
const nn_lora_pair *nn_lora_at(const nn_lora *l, size_t layer, nn_lora_target t);
/* The adapter beside the matrix of this name (params.h), NULL where none is. */
const nn_lora_pair *nn_lora_beside(const nn_lora *l, const char *tensor);

/* What computing beside a model needs. */
typedef struct {
    const nn_lora *lora; /* NULL: no adapters, and nothing below */
    float *h, *dh;       /* [scratch] [R,r] */
    float *wide;         /* [scratch] [R, the widest input or output] */
    float *in;           /* [scratch] [R, the widest input]; NULL without dropout */
    bool drop;           /* dropout is on: its masks are a function of (seed, tensor, step, row, element) */
    size_t step, row;    /* training steps before; rows of the step before this batch */
} nn_lora_room;

void nn_lora_room_take(nn_lora_room *o, nn_arena *a, const nn_lora *l, size_t max_rows);

/* y [R,N] = fmaf(alpha / r, B (A in), y), each product one ascending chain. Nothing where there is no adapter. */
void nn_lora_fwd(const nn_lora_room *o, const nn_exec *x, size_t layer, nn_lora_target t, float *y, const float *in,
                 size_t R);
/* [inout] din [R,K]   grad: of the adapters' tensors, A and B of this one += theirs   [in] dy [R,N], in [R,K] */
void nn_lora_bwd(const nn_lora_room *o, const nn_exec *x, size_t layer, nn_lora_target t, float *din,
                 float *const *grad, const float *dy, const float *in, size_t R);
#endif
