/* train_guard.h - trains a guard: the wide part first, then the decoder on its residual.
 *
 * Reads: classify.h, nn/trainer.h.   Read next: train_guard.c, train_impl.h.
 * Steps: tokenizer given; wide part by dual coordinate descent; out-of-fold wide logits, and from them the wide part's
 * scale; decoder with AdamW on packed rows of variable length, verdict + category (+ next-token) loss; early stopping
 * on validation loss; rounding to the storage type; calibration and thresholds on validation rows.
 */
#ifndef GUARD_TRAIN_GUARD_H
#define GUARD_TRAIN_GUARD_H
#include "guard/classify.h"
#include "nn/pretrained.h"
#include "nn/trainer.h"

typedef struct {
    bool wide, decoder;
    guard_wide_options wide_options;
    size_t folds;                 /* of the out-of-fold wide logits */
    nn_config model;              /* vocab, n_class, n_category, max_t are set by the stage */
    double epochs;                /* upper bound; the token budget may end it before */
    uint64_t token_budget;        /* tokens seen in training, 0: epochs decide */
    size_t batch_tokens;          /* of one step */
    nn_adamw adam;
    double warmup;                /* share of the steps */
    float category_weight, next_weight; /* of the losses beside the verdict's 1 */
    float label_smoothing;
    size_t evaluate_every;        /* steps between validation losses, 0: 8 times a run */
    size_t patience;              /* evaluations without gain before stopping, 0: never */
    size_t window, stride;
    nn_dtype store;               /* type that weights are rounded to */
    const char *focus_column;     /* NUM column or NULL: a pass of the decoder takes every row with a value there */
    double replay;                /* and this many other rows for each of them, drawn anew each pass */
    const char *wide_weight_column; /* NUM column or NULL: one more factor on a row's weight, of the wide part alone */
    size_t steps;                 /* of the decoder at most, 0: tokens decide */
    const nn_pretrained *base;    /* NULL, or a model to begin as: `model` is its configuration, tok its tokenizer */
    const guard_format *format;   /* NULL: ours, with another's tokenizer guard_format_plain */
    int32_t label[2];             /* with a base: ids whose output rows the verdict head begins as; -1: small */
    nn_lora_options lora;         /* with a base; rank 0: all its weights are trained. The seed is the job's */
    const char *adapter;          /* with them: folder that they are also saved in (PEFT's), or NULL */
    bool recompute;               /* nn_trainer_options: less memory, a forward pass more */
    const nn_model *warm;         /* NULL, or a language model: tensors of the same name and shape begin as its */
    uint64_t model_seed;          /* 0: from the job's stream */
} guard_train_options;

guard_train_options guard_train_default(void);

/* train rows may carry a NUM column named by weight_column (NULL: ones). init: continue from this guard's decoder (same
 * tokenizer and shapes), or NULL. The classifier's parts own a copy of tok. Per-row losses are the caller's:
 * guard_score_columns. Training tokens count against the budget and into job->tokens_used, validation tokens do not. */
NN_CHECKED nn_status guard_train(guard_classifier **out, const guard_corpus *train, const guard_corpus *valid,
                                 const char *weight_column, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                 const guard_classifier *init, const guard_train_options *o, guard_job *job,
                                 nn_err *err);
/* For the plan: weights, bytes while training, tokens. */
typedef struct { size_t params, active_params; size_t train_bytes; uint64_t tokens; } guard_train_cost;
guard_train_cost guard_train_plan(const guard_train_options *o);
#endif
