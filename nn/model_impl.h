/* model_impl.h - the inside of a model and of what runs it; for nn/ and its tests only.
 *
 * Reads: model.h, params.h.   Read next: model.c, model_body.c.
 * Why one body: prefill, training and decoding must give the same bits, so they run the same functions on the same
 * kinds of buffers (nn_block). The trainer keeps one nn_block a layer for backward; in inference all layers share one.
 * Ownership: everything here lives in the arena of the object that holds it.
 */
#ifndef NN_MODEL_IMPL_H
#define NN_MODEL_IMPL_H
#include "nn/lora_impl.h"
#include "nn/matrix.h"
#include "nn/model.h"
#include "nn/params.h"

/* --- weights ---------------------------------------------------------------------------- */
#define NN_FIELD(field, name, gguf, rows, cols, init, decay, group, when) float *field;

typedef struct {
    NN_PARAMS_LAYER(NN_FIELD)
} nn_layer;

/* One value for every weight: the weights themselves, their gradients or a moment. Absent tensors are NULL. */
typedef struct {
    NN_PARAMS_FRONT(NN_FIELD)
    nn_layer *layer; /* [L] */
    NN_PARAMS_BACK(NN_FIELD)
    float **at; /* [n_tensor] the same pointers in the order of the table */
} nn_weights;
#undef NN_FIELD

typedef enum { NN_INIT_ZERO, NN_INIT_ONE, NN_INIT_NORMAL, NN_INIT_RESIDUAL, NN_INIT_SMALL } nn_init;
enum { NN_GROUP_BODY, NN_GROUP_EMBED, NN_GROUP_MEMORY, NN_GROUP_HEADS, NN_GROUPS };

/* The matrices that a forward pass multiplies with, in the form it shall use. */
typedef struct {
    nn_matrix q, k, v, o, gate, up, down;
} nn_layer_matrices;

typedef struct {
    nn_layer_matrices *layer; /* [L] */
    nn_matrix output;         /* of next-token logits; the embedding when tied; N = 0 without */
} nn_matrices;

/* A packed copy of a model's matrices (model_pack.c). */
typedef struct {
    nn_arena arena;
    nn_matrices mx;
    float **panels; /* [matrices] mx's panels, to be written */
} nn_packed;

struct nn_model {
    nn_config config;
    nn_arena arena;
    nn_weights w;
    nn_matrices mx;   /* of w, row-major; after nn_model_pack with panels from `packed` */
    nn_packed packed; /* empty until then */
    nn_tensor *tensor; /* [n_tensor] */
    nn_init *init;     /* [n_tensor] */
    float ***slot;     /* [n_tensor] the field of w that holds it */
    nn_i8_tensor *i8;  /* [n_tensor] of an int8 model, else NULL */
    bool stored;       /* matrices lie where nn_model_place_stored was told */
    nn_arena own_i8;   /* panels of an int8 model that was not read from a file */
    nn_arena own_stored; /* matrices of a stored model that no file holds: adapters were merged into them */
    size_t n_tensor;
    float *cos_t, *sin_t; /* [max_t, D/2] */
};

size_t nn_pool_width(const nn_config *c); /* P*C */
size_t nn_config_tensors(const nn_config *c);
/* Takes room for one value for every weight, in table order. */
void nn_weights_take(nn_weights *w, nn_arena *a, const nn_config *c);

/* The same for the guard's two heads alone; the others are NULL. */
void nn_weights_take_heads(nn_weights *w, nn_arena *a, const nn_config *c);

/* Takes room for one description a matrix. */
void nn_matrices_take(nn_matrices *mx, nn_arena *a, const nn_config *c);
/* Describes m's weights as they lie. */
void nn_matrices_plain(nn_matrices *mx, const nn_model *m);
/* The product that reads tensor i, or NULL: lookups only. */
nn_matrix *nn_model_matrix(nn_model *m, size_t i);
/* Tensor i of a stored model lies there from now on; place_stored has looked at it, or who made it has. */
void nn_model_publish(nn_model *m, size_t i, nn_dtype type, const unsigned char *bytes);
/* Whether m's own memory holds this matrix of a stored model. */
bool nn_model_owns(const nn_model *m, const nn_tensor *t);
/* to's floats from those of the same tensor in another model, floats or stored. */
void nn_tensor_copy(const nn_tensor *to, const nn_tensor *from);
NN_CHECKED nn_status nn_model_clone_i8(nn_model **out, const nn_model *m, nn_err *err);
/* Room for a packed copy of m's matrices; its bytes come with nn_packed_fill, again whenever weights changed. */
NN_CHECKED nn_status nn_packed_build(nn_packed *p, const nn_model *m, nn_err *err);
void nn_packed_fill(nn_packed *p, const nn_model *m, const nn_exec *x);
void nn_packed_free(nn_packed *p);

/* --- activations ------------------------------------------------------------------------ */
typedef struct {
    float *x;                  /* [R,C] the residual stream that enters */
    float *norm1, *rstd1;      /* [R,C] [R] */
    float *q_raw, *k_raw;      /* [R,H,D] [R,K,D] before q/k norm; without that norm the same buffers as q, k */
    float *rstd_q, *rstd_k;    /* [R,H] [R,K], NULL without */
    float *q, *k, *v;          /* normalised and rotated; [R,H,D] [R,K,D] [R,K,D] */
    float *att;                /* [R,H,D] */
    float *mid;                /* [R,C] the stream after attention */
    float *norm2, *rstd2;      /* [R,C] [R] */
    float *gate, *up, *act;    /* [R,F] */
} nn_block;

typedef struct {
    nn_block *block;           /* [L]; shared: all the same buffers, or all but x (nn_keep) */
    float *last, *rstd;        /* [R,C] the stream after the last block; [R] */
    float *hidden;             /* [R,C] after the final norm */
    float *sum;                /* [R,C] a product on its way into the stream */
    nn_rows_i8 rows_i8;        /* [scratch] one product's input in int8 */
    int32_t *pos;              /* [R] */
    float *pooled;             /* [S,P*C] */
    uint32_t *arg;             /* [S,C] the row that held each maximum */
    float *verdict, *category; /* [S,2] [S,n_category]; NULL without the head */
    size_t max_rows, max_seg;
    size_t n_rows;             /* of the last forward */
    bool round_inputs;         /* of stored products, as ggml does (model_round.c) */
    nn_lora_room lora;         /* adapters beside the matrices, or none */
} nn_body;

/* Of which layers' activations something is left after forward: of all (training), their inputs alone (training that
 * computes the rest again), or the last one's (inference). */
typedef enum { NN_KEEP_ALL, NN_KEEP_INPUTS, NN_KEEP_LAST } nn_keep;

void nn_body_take(nn_body *b, nn_arena *a, const nn_config *c, size_t max_rows, size_t max_seg, nn_keep keep);
/* Embedding, memory, blocks, final norm, pooling, heads. */
void nn_body_fwd(nn_body *a, const nn_model *m, const nn_exec *x, const nn_batch *b);
/* The same heads, in inference: rows that they do not read stop early. */
void nn_body_heads_fwd(nn_body *a, const nn_model *m, const nn_exec *x, const nn_batch *b);

/* The two halves of a block around attention: stream to q, k, v; then att to the stream `out`, which may be a->x; NULL:
 * up to a->act alone.
 * mx: m->mx, or a packed copy of it. Of `body` the first R positions and the scratch are used. */
void nn_block_qkv(nn_body *body, size_t l, const nn_model *m, const nn_matrices *mx, const nn_exec *x, size_t R);
void nn_block_out(float *out, nn_body *body, size_t l, const nn_model *m, const nn_matrices *mx, const nn_exec *x,
                  size_t R);

/* Rounds in [R,K], about to be multiplied with w, in place, where b says so. */
void nn_round_inputs(const nn_body *b, const nn_exec *x, float *in, const nn_matrix *w, size_t R);
/* The same for keys and values as ggml's caches hold them: in F16. */
void nn_round_cached(const nn_body *b, const nn_exec *x, const nn_block *a, const nn_layer_matrices *w, size_t R);

/* Rows of the embedding, and the memory's sums added to them, from whichever form the model has. */
void nn_model_embed(const nn_model *m, const nn_exec *x, float *y, const int32_t *ids, size_t R);
void nn_model_memory(const nn_model *m, const nn_exec *x, float *y, const uint32_t *slot, const size_t *start, size_t R);

/* --- next-token logits, some rows at a time ---------------------------------------------- */
#define NN_LM_CHUNK 128u /* rows whose loss is one partial sum; a chunk is a multiple of it */

typedef struct {
    size_t cap, n;           /* rows there is room for, rows in use */
    size_t *row;             /* [cap] their numbers in the batch */
    float *in;               /* [cap,C] their hidden states */
    nn_rows_i8 rows_i8;      /* [scratch] `in` in int8 */
    float *logits;           /* [cap,V] */
    int32_t *target;         /* [cap] */
    float *weight, *logprob; /* [cap] */
} nn_lm_chunk;

void nn_lm_take(nn_lm_chunk *k, nn_arena *a, const nn_config *c, size_t rows); /* nothing without an LM head */
/* Gathers the next rows from *r on that have a target (>= 0) and moves *r past them; false when none is left.
 * weight [R] NULL: ones. */
bool nn_lm_next(nn_lm_chunk *k, size_t *r, const float *hidden, const int32_t *target, const float *weight, size_t R,
                size_t C);
/* Goes on with the sum `loss` over the gathered rows; the logits become their gradient. head [V,C]: m->mx.output, or
 * another form of it. */
double nn_lm_loss(nn_lm_chunk *k, const nn_matrix *head, const nn_exec *x, double loss);
const float *nn_output_weight(const nn_model *m); /* [V,C]; the embedding when tied */
#endif
