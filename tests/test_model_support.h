/* test_model_support.h - small models and batches with everything in them, for the tests of model, trainer and decoder.
 *
 * Why: sizes are odd on purpose (head width 6, 3 query heads a key head), so that a swapped dimension cannot hide.
 */
#ifndef TEST_MODEL_SUPPORT_H
#define TEST_MODEL_SUPPORT_H
#include "nn/trainer.h"

typedef enum {
    TINY_LLAMA,   /* pairs, tied, no q/k norm, no heads */
    TINY_MISTRAL, /* half, tied, no q/k norm, a sliding window, frequencies divided */
    TINY_QWEN,    /* half, q/k norm, untied, grouped queries */
    TINY_GUARD,   /* half, q/k norm, tied, bias, memory, verdict, category, mean and max */
    TINY_LAST,    /* verdict and category on the last position, no next-token head, memory */
    TINY_KINDS
} tiny_kind;

nn_config tiny_config(tiny_kind kind);
/* Initialised, then spread: norms around 1, weights large enough that every tensor matters. */
nn_model *tiny_model(tiny_kind kind, uint64_t seed);
nn_exec tiny_exec(size_t threads);

#define TINY_ROWS 64
#define TINY_SEG 8
typedef struct {
    size_t start[TINY_SEG + 1];
    int32_t ids[TINY_ROWS], next[TINY_ROWS];
    float next_weight[TINY_ROWS];
    uint32_t slot[4 * TINY_ROWS];
    size_t mem_start[TINY_ROWS + 1];
    float label[TINY_SEG], label_weight[TINY_SEG], offset[TINY_SEG];
    float category[3 * TINY_SEG], category_weight[TINY_SEG];
    nn_batch b;
    nn_targets y;
} tiny_batch;

/* Segments of the given lengths with drawn ids, targets (some absent), weights and memory slots. */
void tiny_fill(tiny_batch *t, const nn_config *c, const size_t *len, size_t n_seg, uint64_t seed);
/* The same rows as segments [first, last) alone; start [last - first + 1] is the caller's room. */
void tiny_part(nn_batch *b, nn_targets *y, size_t *start, const tiny_batch *t, const nn_config *c, size_t first,
               size_t last);
nn_trainer *tiny_trainer(nn_model *m, size_t max_rows);
/* Fails unless every gradient has the same bytes. */
void expect_same_gradients(const char *what, nn_trainer *a, nn_trainer *b, const nn_model *m);
#endif
