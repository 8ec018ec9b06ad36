/* lora.h - low-rank adapters: a small learnt correction beside each frozen matrix of a model.
 *
 * Reads: model.h.   Read next: lora.c, trainer.h (which trains them), lora_merge.c, lora_file.c (PEFT's folders);
 * docs/math.md#lora.
 * Source: Hu et al. 2021, arXiv:2106.09685, eq. 3:   y = W x + (alpha / r) B A x,   A [r,K], B [N,r].
 * Why: of a model of 135 million weights 2 million are trained, so gradients and moments are small; and the matrices
 * they stand beside may stay in their file's type, where they lie. What was learnt is a file of its own, or is added to
 * the weights (merged), after which nothing reminds of it.
 * Ownership: owns its tensors; a trainer and a state borrow it. Threads: shared freely while nobody trains it.
 */
#ifndef NN_LORA_H
#define NN_LORA_H
#include "nn/model.h"

typedef enum {
    NN_LORA_Q, NN_LORA_K, NN_LORA_V, NN_LORA_O, NN_LORA_GATE, NN_LORA_UP, NN_LORA_DOWN, NN_LORA_TARGETS
} nn_lora_target;

#define NN_LORA_ALL ((1u << NN_LORA_TARGETS) - 1u)
#define NN_LORA_RANK_MAX 1024u

typedef struct {
    size_t rank;      /* r; 0 where adapters may be absent: none */
    float alpha;
    float dropout;    /* share of what enters an adapter that is 0 in training (nn_trainer_fwd_bwd), 0: none */
    unsigned targets; /* bit of each nn_lora_target */
    uint64_t seed;    /* of A's first values and of dropout */
} nn_lora_options;

nn_lora_options nn_lora_default(void); /* rank 8, alpha 16, no dropout, all seven matrices */
const char *nn_lora_target_name(nn_lora_target t); /* "q_proj", ... as Hugging Face's modules are called */

typedef struct nn_lora nn_lora; /* opaque; fields in lora_impl.h */

/* For models of this shape. A uniform in +-1/sqrt(K) (He et al. 2015, arXiv:1502.01852, with slope sqrt(5), as PEFT), B
 * zero: adapters that say nothing yet. A function of (seed, tensor name, element). */
NN_CHECKED nn_status nn_lora_build(nn_lora **out, const nn_config *c, const nn_lora_options *o, nn_err *err);
void nn_lora_free(nn_lora *l);
const nn_lora_options *nn_lora_options_of(const nn_lora *l);
/* Layer by layer, target by target, A then B: model.layers.0.self_attn.q_proj.lora_A.weight [r,K], ...lora_B.weight
 * [N,r]. In the row order of the model they are for. */
size_t nn_lora_tensors(const nn_lora *l);
nn_tensor nn_lora_tensor(const nn_lora *l, size_t i);
/* Whether models of this configuration have the matrices it is for; NN_USAGE names the first that differs. */
NN_CHECKED nn_status nn_lora_fits(const nn_lora *l, const nn_config *c, nn_err *err);
const char *nn_lora_base(const nn_lora *l); /* base_model_name_or_path of the folder it came from, "": none */

/* --- merging: lora_merge.c --------------------------------------------------------------------------------- */
/* w = fmaf(alpha / r, (B A)_w, w) for each weight w of the targets; (B A) adds in ascending rank. Results then differ
 * from those of adapters beside the model by rounding: W x + s B (A x) is not (W + s B A) x. Of a stored model the
 * matrices with an adapter become floats that it owns, the others stay where they lie; a packed copy is dropped.
 * NN_USAGE: int8, or adapters of another shape. NN_CONTENT: a sum that is infinite, by tensor: the model is then of no
 * use. */
NN_CHECKED nn_status nn_lora_merge(nn_model *m, const nn_lora *l, const nn_exec *x, nn_err *err);
/* The same for rows [first, first + n) of one matrix, of which nothing else needs to be there: for files that are
 * written row by row. tensor: its name in the model.
 *   [inout] w [n,K]   [scratch] z [n,K] */
bool nn_lora_touches(const nn_lora *l, const char *tensor); /* whether an adapter stands beside it */
void nn_lora_add_rows(const nn_lora *l, const nn_exec *x, const char *tensor, float *w, float *z, size_t first,
                      size_t n);

/* A state whose model is computed with adapters beside it. l is borrowed; NULL: nn_state_build. */
NN_CHECKED nn_status nn_state_build_lora(nn_state **out, const nn_model *m, const nn_lora *l, size_t max_rows,
                                         size_t max_seg, nn_err *err);

/* --- PEFT's folder: adapter_config.json and adapter_model.safetensors (lora_file.c) ------------------------ */
/* `base` is what base_model_name_or_path says. c: the model they were trained beside; where its rows of q and k stand
 * in pairs (GGUF's llama, llama2.c), they are written in Hugging Face's order, halves. */
NN_CHECKED nn_status nn_lora_save(const nn_lora *l, const nn_config *c, const char *folder, const char *base,
                                  nn_err *err);
/* Reads such a folder for models of c, back into their order. Refused by name: another peft_type, an option that
 * changes the maths (use_dora, use_rslora, rank_pattern, ...), a module that is no target here, a tensor missing, of
 * another rank or shape, or that nothing asks for, a number that is not finite. */
NN_CHECKED nn_status nn_lora_load(nn_lora **out, const char *folder, const nn_config *c, nn_err *err);
#endif
