/* trainer.h - forward with everything saved, backward, clip, AdamW.
 *
 * Reads: model.h.   Read next: trainer.c, optim.c; the rows of a training batch come from guard/.
 * Why: the gradient is exact and bit-reproducible, so micro-batches, threads and resuming cannot change a run.
 * AdamW: Loshchilov & Hutter 2017, arXiv:1711.05101, alg. 2; the powers of beta are running products.
 * With adapters (lora.h) the model's weights stay as they are, floats or stored, and have no gradients; what is trained
 * is the adapters and the guard's two heads.
 * Ownership: owns gradients, moments and activations in one arena; borrows the model and the adapters, and changes what
 * it trains.
 */
#ifndef NN_TRAINER_H
#define NN_TRAINER_H
#include "nn/lora.h"

typedef struct {
    size_t max_rows, max_seg; /* room of one micro-batch */
    /* Of each layer only its input is kept; backward computes the rest again (Chen et al. 2016, arXiv:1604.06174). The
     * same bits, a forward pass more, and one layer's activations instead of all. */
    bool recompute;
    nn_lora *lora; /* NULL: all weights are trained; else these adapters, and the model's heads */
} nn_trainer_options;

typedef struct nn_trainer nn_trainer;

NN_CHECKED nn_status nn_trainer_build(nn_trainer **out, nn_model *m, nn_trainer_options o, nn_err *err);
void nn_trainer_free(nn_trainer *t);
/* For the plan: what build would take; adapters are the caller's. */
size_t nn_trainer_bytes(const nn_config *c, nn_trainer_options o);

/* The same before there are adapters, and with them: o.lora is not read. SIZE_MAX / 2 when there can be none such. */
size_t nn_trainer_bytes_lora(const nn_config *c, nn_trainer_options o, const nn_lora_options *l);

/* What to learn from a batch. Any part may be absent (NULL). All weights already carry the 1/n of the mean the caller
 * wants. */
typedef struct {
    const int32_t *next;          /* [R] next-token target of each row, -1 none */
    const float *next_weight;     /* [R] */
    const float *label;           /* [S] in [0,1] */
    const float *label_weight;    /* [S] 0 skips */
    const float *offset;          /* [S] the wide part's logit, or NULL */
    const float *category;        /* [S,n_category] 1, 0, negative unknown; or NULL */
    const float *category_weight; /* [S] */
} nn_targets;

typedef struct {
    double loss; /* the sum below */
    double next_loss, label_loss, category_loss;
} nn_losses;

/* Forward and loss; saves what backward needs. Getters as on nn_state. */
nn_losses nn_trainer_fwd(nn_trainer *t, const nn_exec *x, const nn_batch *b, const nn_targets *y);
const float *nn_trainer_logprob(const nn_trainer *t); /* [R] of next, after fwd */
const float *nn_trainer_p(const nn_trainer *t);       /* [S] p(unsafe), after fwd with label */
/* Both at once, for targets whose weights are final: the bits of fwd and then bwd, but next-token logits are computed
 * once instead of twice. Here, and only here, adapters drop out: a loss that is only looked at, and a policy's ratios,
 * are of the model as it is. */
nn_losses nn_trainer_fwd_bwd(nn_trainer *t, const nn_exec *x, const nn_batch *b, const nn_targets *y);
/* Adds this batch's gradients; the batch and targets of the last fwd must still be there. next_weight is read here,
 * not in fwd: a policy gradient may set it from nn_trainer_logprob in between. */
void nn_trainer_bwd(nn_trainer *t, const nn_exec *x);
void nn_trainer_zero(nn_trainer *t); /* gradients to 0 */
/* Same shape as nn_model_tensor(m, tensor). A tied embedding's gradient is two sums (as input, as output) that this
 * adds up: ask after the last micro-batch of a step, or the later ones round differently. NULL: it is not trained. */
float *nn_trainer_grad(nn_trainer *t, size_t tensor);
float *nn_trainer_lora_grad(nn_trainer *t, size_t tensor); /* the same of nn_lora_tensor(l, tensor) */

typedef struct {
    float lr, beta1, beta2, eps, weight_decay;
    float clip;        /* global gradient norm, 0: none */
    float lr_scale[4]; /* by nn_tensor.group */
} nn_adamw;

nn_adamw nn_adamw_default(void); /* 1e-3, 0.9, 0.95, 1e-8, 0.1, clip 1, scales 1 */
/* Clips, steps, zeroes the gradients; returns the norm before clipping. A norm that is not finite: no step, gradients
 * dropped. */
double nn_trainer_step(nn_trainer *t, const nn_exec *x, const nn_adamw *o);
size_t nn_trainer_steps(const nn_trainer *t);

/* Linear warm-up to 1 over warmup steps, then cosine to `floor` at total. */
double nn_schedule_cosine(size_t step, size_t warmup, size_t total, double floor);

/* Checkpoint: what is trained, its moments, step and running products as safetensors; meta is one JSON string kept
 * beside them. Loading into a trainer of another shape is refused by tensor name. */
NN_CHECKED nn_status nn_trainer_save(const nn_trainer *t, const char *path, const char *meta, nn_err *err);
NN_CHECKED nn_status nn_trainer_load(nn_trainer *t, const char *path, char **meta,
                                     nn_err *err); /* *meta by nn_alloc, or pass NULL */
#endif
