/* trainer_impl.h - the inside of a trainer; for nn/ and its tests only.
 *
 * Reads: model_impl.h, trainer.h.   Read next: trainer.c (build, forward), trainer_next.c, trainer_bwd.c, optim.c,
 * trainer_file.c.
 */
#ifndef NN_TRAINER_IMPL_H
#define NN_TRAINER_IMPL_H
#include "nn/model_impl.h"
#include "nn/trainer.h"

struct nn_trainer {
    nn_arena arena;
    nn_model *m; /* borrowed */
    bool recompute;
    size_t held; /* recompute: the layer of which the shared buffers hold the activations */

    /* what step needs; with adapters the three are of the guard's heads alone, and `of` the adapters' own */
    nn_weights grad, moment1, moment2;
    nn_lora *lora; /* borrowed, or NULL */
    float **of[3]; /* [n of their tensors] gradients, first and second moments */
    float *grad_output;     /* [V,C] the output matrix's share of a tied embedding's gradient; NULL when not tied */
    float *square;          /* [n_trained] of each tensor's gradient, of the last step */
    size_t steps;
    double power1, power2;  /* beta1^steps, beta2^steps as running products */

    /* what backward needs of the last forward */
    nn_body body;
    nn_lm_chunk lm;
    nn_batch batch;
    nn_targets target;
    float *logprob;                          /* [R] */
    float *p, *p_category;                   /* [S] [S,n_category] */
    float *dverdict, *dcategory;             /* [S,2] [S,n_category] gradients of the heads' logits */

    /* [scratch] of backward */
    float *dx, *dhidden, *dnorm;             /* [R,C] */
    float *dq, *dk, *dv, *dq_raw, *dk_raw;   /* [R,H,D] [R,K,D]; raw: the same buffers without q/k norm */
    float *datt;                             /* [R,H,D] */
    float *dgate, *dup, *dact;               /* [R,F] */
    float *din;                              /* [lm.cap,C] */
    float *dpooled;                          /* [S,P*C] */
};

/* One tensor that is trained. All of the model's, or the adapters' and then the guard's heads. */
typedef struct {
    const nn_tensor *w;
    float *data, *grad, *moment1, *moment2;
} nn_trained;

size_t nn_trainer_n_trained(const nn_trainer *t);
nn_trained nn_trainer_trained(const nn_trainer *t, size_t i);

/* Loss and log-probabilities of the last forward's rows with a next-token target; when `learn`, also their gradient into
 * dhidden (rows with a target are overwritten) and into that of the output matrix. */
double nn_trainer_next(nn_trainer *t, const nn_exec *x, bool learn);
/* From dhidden and the heads' losses down to the embedding. */
void nn_trainer_body_bwd(nn_trainer *t, const nn_exec *x);
/* Closes the sum of a tied embedding's gradient: adds the output matrix's share, which is then 0. */
void nn_trainer_fold(nn_trainer *t, const nn_par *par);
#endif
