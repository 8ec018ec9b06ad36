/* perplexity.h - how well a model foresees a text, by the protocol that most published numbers follow.
 *
 * Reads: model.h, tok.h.   Read next: perplexity.c.
 * Protocol (llama.cpp's tools/perplexity): the whole text is one row of tokens, BOS first when the model adds it; it
 * is cut into windows of n_ctx, what is left over is dropped, and the first token of each window is replaced by BOS
 * when the model adds it. Scored are the second halves: tokens n_ctx/2 + 1 to n_ctx - 1 of each window, each with all
 * before it in its window as context. Perplexity is exp(mean of -log p).
 * Published numbers contain ggml's arithmetic too: it rounds what enters each product with weights that are not F32
 * (model_round.c), which moves a perplexity by up to 2 per cent. So do we here, unless `exact`: then the number is
 * that of the weights alone, as all else in this program computes. A model of floats has nothing to round.
 */
#ifndef NN_PERPLEXITY_H
#define NN_PERPLEXITY_H
#include "nn/model.h"
#include "nn/tok.h"

typedef struct {
    size_t tokens;     /* of the text, BOS included */
    size_t windows;
    size_t scored;     /* tokens */
    double nll;        /* mean of -log p, natural logarithm */
    double perplexity;
    double error;      /* standard error of the perplexity: that of the mean, times the perplexity */
} nn_perplexity;

/* After each window: `done` of `windows`, and what is known so far. */
typedef void (*nn_perplexity_fn)(void *ctx, const nn_perplexity *so_far, size_t done);

/* n_ctx: 8 on; a text of less than two windows is refused (NN_CONTENT). n_ctx <= config.max_t; tok has no more ids
 * than the model. fn may be NULL. */
NN_CHECKED nn_status nn_perplexity_text(nn_perplexity *out, const nn_model *m, const nn_exec *x, const nn_tok *tok,
                                        const char *text, size_t len, size_t n_ctx, bool exact,
                                        nn_perplexity_fn fn, void *ctx, nn_err *err);
/* The same for tokens; bos >= 0 replaces the first token of each window. */
NN_CHECKED nn_status nn_perplexity_ids(nn_perplexity *out, const nn_model *m, const nn_exec *x, const int32_t *ids,
                                       size_t n, int32_t bos, size_t n_ctx, bool exact, nn_perplexity_fn fn, void *ctx,
                                       nn_err *err);
#endif
