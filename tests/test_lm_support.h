/* test_lm_support.h - a small world for the generator's tests: requests, a tokenizer, a job that keeps its metrics.
 */
#ifndef TEST_LM_SUPPORT_H
#define TEST_LM_SUPPORT_H
#include "guard/lm.h"

/* n requests of two labels and two categories: what is safe bakes, what is unsafe breaks. */
guard_corpus *toy_corpus(size_t n);
const guard_taxonomy *toy_taxonomy(void); /* fraud, malware */
nn_tok *toy_tok(const guard_corpus *c);
guard_lm_options toy_options(void); /* one layer of 32, seconds */

#define TOY_METRICS 8192
typedef struct {
    guard_job job;
    nn_exec exec;
    uint64_t step[TOY_METRICS];
    char name[TOY_METRICS][24];
    double value[TOY_METRICS];
    size_t n;
    size_t calls, stop_at; /* progress: the stop_at-th call says stop; 0: never */
    uint64_t fail_at_step; /* a metric of this step fails; 0: never */
} toy_job;
/* checkpoint may be NULL. */
void toy_job_open(toy_job *t, size_t threads, const char *checkpoint);
void toy_job_close(toy_job *t);
double toy_metric(const toy_job *t, const char *name, bool last); /* its first or last value */
void expect_same_metrics(const toy_job *a, const toy_job *b);

guard_lm *toy_lm(const guard_corpus *c, const nn_tok *tok, const guard_lm_options *o); /* trained, one thread */
void expect_same_model(const char *what, guard_lm *a, guard_lm *b);
/* A generator's file at path, cut short in many places: each refused; with single bits of its first `most` bytes turned,
 * every `step` bytes: refused or taken, more than one in `share` refused. */
void expect_hostile_files_refused(const char *path, size_t most, size_t step, size_t share);
#endif
