/* lm_impl.h - inside the generator. Private to guard/lm*.c, rollout.c and their tests.
 *
 * Reads: lm.h.   Read next: lm.c, lm_prompt.c, lm_units.c, lm_train.c, rollout.c.
 */
#ifndef GUARD_LM_IMPL_H
#define GUARD_LM_IMPL_H
#include "guard/lm.h"

#define GUARD_LM_PREFIX 8u /* room of a prefix of control tokens */
#define GUARD_LM_PREFIXES (3u * (GUARD_MAX_CATEGORY + 1u))

/* --- what stands before a text: lm_prompt.c ------------------------------------------------------ */
typedef struct {
    char *text;                           /* owned; NULL: control tokens of ours */
    int32_t *ids;                         /* of all prefixes, one after the other */
    size_t start[GUARD_LM_PREFIXES + 1]; /* by label, then category; the last category is none */
    size_t n_category;
    size_t room; /* positions that a model needs for any of them */
} guard_lm_prompt;
/* text NULL: GUARD_LM_PROMPT, or the control tokens where tok is ours. Overwrites p, which is empty on failure. */
NN_CHECKED nn_status guard_lm_prompt_build(guard_lm_prompt *p, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                           const char *text, nn_err *err);
void guard_lm_prompt_free(guard_lm_prompt *p);
/* What begins a plain text: BOS, or nothing where a tokenizer adds none. */
int32_t guard_lm_begin(const nn_tok *tok); /* -1: nothing */

struct guard_lm {
    nn_model *m;
    nn_gguf *file; /* in which m's matrices lie, or NULL: m has its own, or who made it keeps them */
    nn_tok *tok;
    guard_taxonomy taxonomy;
    guard_lm_prompt prompt;
    unsigned char *banned; /* [vocab] never drawn: control tokens, and ids that the tokenizer has no bytes for */
    int32_t eos;
};

/* Whether a model of this configuration, a tokenizer and prefixes of `room` ids go together. */
NN_CHECKED nn_status guard_lm_check(const nn_config *c, const nn_tok *tok, size_t room, nn_err *err);
/* Copies tok, taxonomy and prompt (as guard_lm_prompt_build takes it); moves m (on failure the caller keeps it). */
NN_CHECKED nn_status guard_lm_build(guard_lm **out, nn_model *m, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                    const char *prompt, nn_err *err);

/* guard_lm_save, with adapters merged into what is written, and not into g; l NULL: none. */
NN_CHECKED nn_status guard_lm_write(const guard_lm *g, const nn_lora *l, const nn_exec *x, const char *path,
                                    nn_err *err);

/* --- texts as the model is trained on them: lm_units.c ------------------------------------------ */
/* Unit i: positions [start[i], start[i+1]) of ids; from position prefix[i]-1 on each one has the next as its target,
 * the last one EOS when end[i] (a text that was cut has no end). A prefix may be empty. */
typedef struct {
    int32_t *ids;
    size_t n_ids, ids_cap;
    size_t *start; /* [n+1] */
    size_t *prefix;
    bool *end;
    size_t n, cap;
    int32_t eos;
} guard_lm_units;
NN_CHECKED nn_status guard_lm_units_add(guard_lm_units *u, const guard_lm *g, const guard_corpus *c,
                                        const guard_lm_options *o, nn_err *err);
void guard_lm_units_free(guard_lm_units *u);
/* Next-token targets of a unit: next [length], -1 where there is none; returns how many there are. */
size_t guard_lm_unit_targets(int32_t *next, const guard_lm_units *u, size_t i);

/* --- drawing without an audience: rollout.c ----------------------------------------------------- */
/* ids and log-probabilities of n requests; label and category [n]. Adds the drawn tokens to job->tokens_used. Tells
 * progress in rows when `tell`. */
NN_CHECKED nn_status guard_rollout_draw(guard_rollout *r, const guard_lm *g, const int *label, const size_t *category,
                                        size_t n, const nn_sampler *s, size_t max_new, uint64_t first_row, bool tell,
                                        guard_job *job, nn_err *err);
/* The texts of a rollout as rows. */
NN_CHECKED nn_status guard_rollout_rows(guard_corpus *out, const guard_rollout *r, const guard_lm *g,
                                        const int *label, const size_t *category, uint64_t first_row,
                                        const guard_job *job, nn_err *err);
#endif
