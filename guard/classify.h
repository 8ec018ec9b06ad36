/* classify.h - the guard as the pipeline sees it: its parts, its rows, its file.
 *
 * Reads: parapet.h, wide.h, nn/model.h, nn/tok.h, job.h.   Read next: classify.c (windows, verdict), gguard.c
 * (the file), train_guard.h.
 * The verdict's logit is wide + decoder; each part is a switch. The decoder may be another's model with its own
 * tokenizer and prompt format (format.h, label.h). Window 256 tokens, stride half (CONTRACTS 3); the verdict is the
 * worst window.
 */
#ifndef GUARD_CLASSIFY_H
#define GUARD_CLASSIFY_H
#include "guard/corpus.h"
#include "guard/format.h"
#include "guard/job.h"
#include "guard/parapet.h"
#include "guard/wide.h"
#include "nn/model.h"
#include "nn/safetensors.h"
#include "nn/tok.h"

#define GUARD_RATES 4
extern const double guard_target_rates[GUARD_RATES]; /* 0.01 0.02 0.05 0.10; default 0.05 */

/* The parts; guard_classifier_build moves ownership of m, wide and tok into the classifier (also on failure it
 * frees nothing: the caller keeps them). */
typedef struct {
    char name[64];
    nn_tok *tok;      /* required */
    nn_model *m;      /* NULL: wide alone */
    guard_wide *wide; /* NULL: decoder alone */
    guard_taxonomy taxonomy;
    guard_format format;   /* empty: ours, which needs our tokenizer */
    size_t window, stride; /* tokens */
    float threshold[GUARD_RATES];
    double calibrate_a, calibrate_b; /* p = sigmoid(a z + b) */
    char ledger[65], corpus[65];
    char licence[64]; /* of the weights, "" unstated */
} guard_parts;

NN_CHECKED nn_status guard_classifier_build(guard_classifier **out, const guard_parts *p, nn_err *err);
const guard_parts *guard_classifier_parts(const guard_classifier *g);
/* The same weights with one part switched off ("wide", "decoder"), thresholds and calibration unset; copies. */
NN_CHECKED nn_status guard_classifier_only(guard_classifier **out, const guard_classifier *g, const char *part,
                                           nn_err *err);
/* Weights rounded to the storage type, as the file will hold them (dtype NN_F32, NN_F16, NN_BF16, NN_Q8_0, NN_Q4_0, NN_I8),
 * so that thresholds are chosen on what ships. NN_I8 is the form that products read (nn_model_quantize): smaller and faster,
 * and no longer to be trained. In NN_Q4_0 and NN_I8 the two heads stay floats, and the wide part is Q8_0. */
NN_CHECKED nn_status guard_classifier_round(guard_classifier *g, nn_dtype type, nn_err *err);
/* Matrices that lie in their file's types stay so when a guard is rounded (int8 excepted); after this they are
 * floats, and are rounded as every other's. */
NN_CHECKED nn_status guard_classifier_floats(guard_classifier *g, nn_err *err);
/* Rounds to `type` first, so that what is in memory is what the file holds. */
NN_CHECKED nn_status guard_classifier_save(guard_classifier *g, const char *path, nn_dtype type, nn_err *err);

/* Names written into the file: NULL leaves one as it is. ledger and corpus are hex hashes. */
void guard_classifier_stamp(guard_classifier *g, const char *name, const char *ledger, const char *corpus,
                            const char *licence);

/* Calibration (Platt 1999) and the thresholds of guard_target_rates, from validation rows; windows as in
 * checking. */
NN_CHECKED nn_status guard_classifier_calibrate(guard_classifier *g, const guard_corpus *valid, guard_job *job,
                                                nn_err *err);

/* Verdicts of all rows, batched and threaded, the same bytes as guard_check one by one. v [c->n]. */
NN_CHECKED nn_status guard_score(const guard_classifier *g, const guard_corpus *c, guard_verdict *v, guard_job *job,
                                 nn_err *err);
/* Adds columns p, margin (logit - threshold's logit), loss (-log p of the label; no value without label), named
 * "<what><suffix>". */
NN_CHECKED nn_status guard_score_columns(const guard_classifier *g, guard_corpus *c, const char *stage,
                                         const char *suffix, guard_job *job, nn_err *err);
/* Embeddings: mean over the first window of the decoder's last hidden state, L2 norm 1; e [c->n, width]. Needs
 * a decoder. */
size_t guard_embed_width(const guard_classifier *g);
NN_CHECKED nn_status guard_embed(const guard_classifier *g, const guard_corpus *c, float *e, guard_job *job,
                                 nn_err *err);

/* The ids of one row's windows, as the model sees them; shared with training. What the wide part and the memory
 * see of a window is a function of its ids and its form alone (windows.h). */
typedef struct guard_windows guard_windows;
NN_CHECKED nn_status guard_windows_build(guard_windows **out, nn_err *err);
void guard_windows_free(guard_windows *w);
NN_CHECKED nn_status guard_windows_of(guard_windows *w, const guard_parts *p, const guard_row *row, nn_err *err);
size_t guard_windows_count(const guard_windows *w);
/* What the windows of one row have in common: the task, and how many ids the prompt's tail has before a response. */
typedef struct {
    bool response;
    uint32_t context;
} guard_window_form;
guard_window_form guard_windows_form(const guard_windows *w);
/* Window i: ids (valid until the next call on w), length, byte range of the judged text. */
void guard_windows_at(guard_windows *w, size_t i, const int32_t **ids, size_t *n, size_t *first_byte,
                      size_t *last_byte);
#endif
