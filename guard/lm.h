/* lm.h - the generator: a language model of requests, steered by what stands before them.
 *
 * Reads: nn/trainer.h, nn/decode.h, nn/pretrained.h, corpus.h, job.h.   Read next: lm_prompt.c, lm_units.c, lm_train.c.
 * Row format: BOS TASK_PROMPT (SAFE | UNSAFE) CATEGORY+c text EOS; loss on text and EOS only. Another model's tokenizer
 * has no such tokens: there a sentence with the places {label} and {category} stands before the text, and its EOS ends
 * it. It writes requests, never answers.
 */
#ifndef GUARD_LM_H
#define GUARD_LM_H
#include "guard/corpus.h"
#include "guard/job.h"
#include "guard/taxonomy.h"
#include "nn/decode.h"
#include "nn/pretrained.h"
#include "nn/tok.h"
#include "nn/trainer.h"

typedef struct guard_lm guard_lm; /* model + tokenizer + taxonomy; owns copies, or the file that it was opened from */

#define GUARD_LM_PROMPT "{label} request about {category}:\n" /* "safe", "unsafe", "any"; "anything" */
#define GUARD_LM_PROMPT_BYTES 1024u                           /* of such a sentence, at most */
#define GUARD_LM_PROMPT_IDS 512u                              /* of one with its words put in */

typedef struct {
    nn_config model; /* vocab, max_t set by the stage; not read with a base */
    double epochs;
    uint64_t token_budget; /* 0: epochs decide */
    uint64_t steps;        /* optimiser steps at most, 0: no bound */
    size_t batch_tokens;
    nn_adamw adam;
    double warmup;
    size_t max_tokens; /* of one text */
    bool plain;        /* next-token training on plain text (pretraining): no control tokens */
    uint64_t model_seed;
    const nn_pretrained *base; /* NULL, or the model whose weights are the beginning; its vocabulary is tok's */
    nn_lora_options lora;      /* with a base, or init; rank 0: all weights are trained. The seed is the job's */
    const char *adapter;       /* with them: folder that they are also saved in (PEFT's), or NULL */
    const char *file;          /* with them: where the merged model is written, and then opened from; NULL: it is made
                                * in memory, as floats */
    bool recompute;            /* nn_trainer_options: less memory, a forward pass more */
    const char *prompt;        /* NULL: GUARD_LM_PROMPT; not for a tokenizer of ours, whose ids say it */
} guard_lm_options;
guard_lm_options guard_lm_default(void);

/* With adapters the weights of base or init stay in their file's types, where they lie, while the adapters are trained.
 */
NN_CHECKED nn_status guard_lm_train(guard_lm **out, const guard_corpus *train, const guard_corpus *valid,
                                    const nn_tok *tok, const guard_taxonomy *taxonomy, const guard_lm *init,
                                    const guard_lm_options *o, guard_job *job, nn_err *err);
/* Positions that training holds at once, with texts and what stands before them up to max_t; for the plan. */
size_t guard_lm_train_rows(const guard_lm_options *o, size_t max_t);
/* Bytes of the trainer, and of adapters, for a model of c. */
size_t guard_lm_trainer_bytes(const guard_lm_options *o, const nn_config *c);
/* The model that training begins with, its weights apart; says what is wrong with base, tokenizer or prompt. */
NN_CHECKED nn_status guard_lm_config(nn_config *c, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                     const guard_lm_options *o, nn_err *err);
void guard_lm_free(guard_lm *g);
/* Its weights are floats, which can be trained. */
NN_CHECKED nn_status guard_lm_clone(guard_lm **out, const guard_lm *g, nn_err *err);
nn_model *guard_lm_model(guard_lm *g);
const nn_tok *guard_lm_tok(const guard_lm *g);
const guard_taxonomy *guard_lm_taxonomy(const guard_lm *g);
NN_CHECKED nn_status guard_lm_save(const guard_lm *g, const char *path, nn_err *err); /* GGUF, F32 */
/* Of another's tokenizer: its matrices stay where the file is mapped. */
NN_CHECKED nn_status guard_lm_open(guard_lm **out, const char *path, nn_err *err);
/* Ids that ask for (label, category index or GUARD_MAX_CATEGORY), at least one. */
const int32_t *guard_lm_prefix(const guard_lm *g, int label, size_t category, size_t *n);
const char *guard_lm_prompt_text(const guard_lm *g); /* the sentence; NULL: control tokens */
/* n new rows: label and category of each given; draws from nn_rng_at(job seed, stream/generate, first_row + i). Rows
 * get source "generator", ops, id. Empty texts are kept (the caller's rule drops them). ids/logprob of each text may
 * be kept for the policy gradient through `rollout` (NULL: not wanted). */
typedef struct {
    int32_t *ids;   /* all prefix + drawn ids, packed */
    float *logprob; /* aligned with ids; 0 on prefixes */
    size_t *start;  /* [n+1] */
    size_t *prefix; /* [n] length of each prefix */
    size_t n;
} guard_rollout;
void guard_rollout_free(guard_rollout *r);
NN_CHECKED nn_status guard_lm_generate(const guard_lm *g, guard_corpus *out, guard_rollout *rollout, const int *label,
                                       const size_t *category, size_t n, const nn_sampler *s, size_t max_new,
                                       uint64_t first_row, guard_job *job, nn_err *err);
#endif
