/* lm.h - the generator: a language model of requests, steered by control tokens.
 *
 * Reads: nn/trainer.h, nn/decode.h, corpus.h, job.h.   Row format: BOS TASK_PROMPT (SAFE | UNSAFE) CATEGORY+c text
 * EOS; loss on text and EOS only. It writes requests, never answers.
 */
#ifndef GUARD_LM_H
#define GUARD_LM_H
#include "guard/corpus.h"
#include "guard/job.h"
#include "guard/taxonomy.h"
#include "nn/decode.h"
#include "nn/tok.h"
#include "nn/trainer.h"

typedef struct guard_lm guard_lm; /* model + tokenizer + taxonomy; owns copies */

typedef struct {
    nn_config model; /* vocab, max_t set by the stage */
    double epochs;
    uint64_t token_budget; /* 0: epochs decide */
    size_t batch_tokens;
    nn_adamw adam;
    double warmup;
    size_t max_tokens; /* of one text */
    bool plain;        /* next-token training on plain text (pretraining): no control tokens */
    uint64_t model_seed;
} guard_lm_options;
guard_lm_options guard_lm_default(void);

NN_CHECKED nn_status guard_lm_train(guard_lm **out, const guard_corpus *train, const guard_corpus *valid,
                                    const nn_tok *tok, const guard_taxonomy *taxonomy, const guard_lm *init,
                                    const guard_lm_options *o, guard_job *job, nn_err *err);
void guard_lm_free(guard_lm *g);
NN_CHECKED nn_status guard_lm_clone(guard_lm **out, const guard_lm *g, nn_err *err);
nn_model *guard_lm_model(guard_lm *g);
const nn_tok *guard_lm_tok(const guard_lm *g);
const guard_taxonomy *guard_lm_taxonomy(const guard_lm *g);
NN_CHECKED nn_status guard_lm_save(const guard_lm *g, const char *path, nn_err *err); /* GGUF, F32 */
NN_CHECKED nn_status guard_lm_open(guard_lm **out, const char *path, nn_err *err);
/* Ids of the control prefix for (label, category index or GUARD_MAX_CATEGORY); returns its length (<= 8). */
size_t guard_lm_prefix(const guard_lm *g, int label, size_t category, int32_t ids[8]);
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
