/* train_impl.h - between the files that train a guard: windows to learn from, batches, the loop.
 *
 * Reads: train_guard.h, windows.h.   Read next: train_units.c, train_batch.c, train_loop.c, train_guard.c.
 * What is learnt from is windows, not rows ("units"): the first window of every labelled row, and of a safe row
 * longer than a window some more, of which each pass takes one. The wide part is solved on the same windows'
 * texts, so its out-of-fold logit stands beside every unit. Private to guard/ and its tests.
 */
#ifndef GUARD_TRAIN_IMPL_H
#define GUARD_TRAIN_IMPL_H
#include "guard/train_guard.h"
#include "guard/windows.h"

#define GUARD_UNITS_MORE 8u /* windows kept of a long safe row beside the first, one from each eighth of the text */

typedef struct {
    int32_t *ids;        /* windows end to end */
    size_t *start;       /* [n+1] of unit i in ids */
    size_t *row;         /* [n] in the corpus */
    guard_window_form *form; /* [n] */
    double *weight;      /* [n] of the loss; more windows of a row share one weight */
    float *offset;       /* [n] the wide part's logit, or NULL */
    size_t *group;       /* [n_group+1] units of one row: the first window, then the others */
    guard_corpus *texts; /* [n] the rows, each with its window's text: what the wide part is solved on */
    const guard_corpus *rows;
    size_t n_long; /* rows longer than a window */
    size_t n, n_group, ids_cap, start_cap, row_cap, form_cap, weight_cap, group_cap;
} guard_units;

/* The values of a column of numbers, NULL for no name; NN_CONTENT when there is no such column. */
NN_CHECKED nn_status guard_weight_column(const double **out, const guard_corpus *c, const char *name, nn_err *err);
/* Labelled rows of c; weight_column NULL: ones. more: also further windows of long safe rows. */
NN_CHECKED nn_status guard_units_build(guard_units *u, const guard_corpus *c, const guard_parts *p,
                                       const char *weight_column, bool more, guard_job *job, nn_err *err);
void guard_units_free(guard_units *u);
/* Metrics rows and rows_long (longer than a window). */
NN_CHECKED nn_status guard_units_metrics(const guard_units *u, uint64_t step, guard_job *job, nn_err *err);

/* --- batches: windows side by side, no padding ---------------------------------------------------------- */
typedef struct {
    const guard_units *u;
    const guard_parts *p;
    const nn_config *c;
    const guard_train_options *o;
    int32_t *ids, *next;
    size_t *start;                                          /* [max_seg+1] */
    float *next_weight;                                     /* [max_rows] */
    float *label, *label_weight, *offset, *category_weight; /* [max_seg] */
    float *category;                                        /* [max_seg, n_category] */
    guard_slots slots;
    char *text; /* scratch: one window */
    size_t text_cap;
    uint32_t *tok_start; /* scratch */
    size_t n, n_next, max_rows, max_seg;
} guard_train_batch;

NN_CHECKED nn_status guard_train_batch_build(guard_train_batch *b, const guard_parts *p, const nn_config *c,
                                             const guard_train_options *o, nn_err *err);
void guard_train_batch_free(guard_train_batch *b);
/* Of a trainer for such batches; lora is the caller's to add. */
nn_trainer_options guard_train_room(const guard_train_options *o);
void guard_train_batch_clear(guard_train_batch *b, const guard_units *u);
/* An empty batch takes any window. */
bool guard_train_batch_fits(const guard_train_batch *b, size_t unit, size_t max_tokens);
size_t guard_train_batch_tokens(const guard_train_batch *b);
NN_CHECKED nn_status guard_train_batch_add(guard_train_batch *b, size_t unit, nn_err *err);
/* The weights become shares of a mean over the windows. learn false: the verdict's loss alone, weight 1 a
 * window. */
void guard_train_batch_close(guard_train_batch *b, bool learn, nn_batch *batch, nn_targets *y);

/* --- the decoder ---------------------------------------------------------------------------------------- */
/* Trains m in place, or lora beside it and its heads, and leaves the best weights there. units and valid carry offsets
 * when there is a wide part. */
NN_CHECKED nn_status guard_train_decoder(nn_model *m, nn_lora *lora, const guard_parts *p, const guard_units *units,
                                         const guard_units *valid, const guard_train_options *o, guard_job *job,
                                         nn_err *err);
#endif
