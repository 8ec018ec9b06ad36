/* test_run_support.h - a small run that writes everything a real one does: scripts, inputs, rules, metrics, a
 * checkpoint.
 *
 * Why: run, ledger, audit and lineage are shown on the same folder. Stages: 1 load (two rows), 2 curate (two rules, a
 * dropped row, a new row with parents), 3 train (30 steps, a checkpoint every 5), 4 report. A stage that went on from
 * the wrong place would write other bytes: the model is a hash over all steps.
 */
#ifndef TESTS_TEST_RUN_SUPPORT_H
#define TESTS_TEST_RUN_SUPPORT_H
#include "guard/run.h"

#define FAKE_STEPS 30

/* What a run may do differently. */
typedef struct {
    bool resume;
    bool ignore_checkpoint; /* train anew although one is there */
    size_t stop_after;      /* end without a word after this many stages; 0: finish */
    size_t stop_at_step;    /* leave training at this step as a request to stop would; 0: never */
} fake_options;

extern const fake_options fake_resume; /* resume, nothing else */
nn_status fake_run(const char *dir, fake_options o, nn_err *err);
void fake_run_ok(const char *dir);                  /* a whole one; fails the test otherwise */
void identity_of(char sha256[65], const char *dir); /* fails the test when it has none */
/* Name of a folder that is not there yet. */
void new_folder(char out[512]);
void expect_same_run(const char *dir, const char *identity);
/* The file with one bit of the byte at `at` (from the end when negative) turned. */
void flip_bit(const char *path, long at);
/* dir/name with the first `from` replaced by `to`. */
void replace_text(const char *path, const char *from, const char *to);
#endif
