/* checkpoint.h - what a training stage keeps between two steps: its trainer, a few words, where the metrics stood.
 *
 * Reads: job.h, nn/trainer.h.   Read next: lm_train.c, adversary.c (its users).
 * Why: a killed stage goes on to the same bytes only if everything that a step reads is a function of what stands
 * here. The key is a hash of data and options: a checkpoint of another stage is refused, not continued.
 */
#ifndef GUARD_CHECKPOINT_H
#define GUARD_CHECKPOINT_H
#include "guard/job.h"
#include "nn/trainer.h"

/* Where metrics.jsonl stands now: the value to save. 0 without metrics. */
uint64_t guard_checkpoint_mark(guard_job *job);
/* Nothing happens when the job keeps no checkpoint. */
NN_CHECKED nn_status guard_checkpoint_save(const nn_trainer *t, guard_job *job, uint64_t key, uint64_t mark,
                                           const uint64_t *word, size_t n_word, nn_err *err);
/* *word stays NULL when there is none; else it is the caller's (nn_free), the trainer is restored and the metrics are
 * cut to the mark. Fewer than min_word words, or another key: NN_FILE. */
NN_CHECKED nn_status guard_checkpoint_load(nn_trainer *t, guard_job *job, uint64_t key, size_t min_word,
                                           uint64_t **word, size_t *n_word, nn_err *err);
#endif
