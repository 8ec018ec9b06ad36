/* trainer_next.c - next-token loss and its gradient through the output matrix.
 *
 * Reads: trainer_impl.h.   Read next: trainer_bwd.c.
 * Only rows with a target pass the output matrix, some at a time: R*V logits are never there at once. So when forward
 * and backward are asked for apart, backward computes them again; asked for together, a chunk goes from logits to loss
 * to gradients while it is there.
 */
#include "nn/trainer_impl.h"
#include <string.h>

/* dhidden of the chunk's rows, and the output matrix's gradient, if it has one. Chunks come in order, so dW adds rows
 * ascending. */
static void chunk_bwd(nn_trainer *t, const nn_exec *x)
{
    const size_t C = t->m->config.width, V = t->m->config.vocab;
    float *dw = t->grad_output ? t->grad_output : t->grad.output;

    nn_product_bwd(x, t->din, t->lm.logits, &t->m->mx.output, t->lm.n, false);
    nn_linear_bwd(x, NULL, dw, NULL, t->lm.logits, t->lm.in, NULL, t->lm.n, V, C, false);
    for (size_t i = 0; i < t->lm.n; i++)
        memcpy(t->dhidden + t->lm.row[i] * C, t->din + i * C, C * sizeof *t->dhidden);
}

double nn_trainer_next(nn_trainer *t, const nn_exec *x, bool learn)
{
    const nn_targets *y = &t->target;
    const size_t R = t->body.n_rows, C = t->m->config.width;
    double loss = 0.0;

    memset(t->logprob, 0, R * sizeof *t->logprob);
    for (size_t r = 0; nn_lm_next(&t->lm, &r, t->body.hidden, y->next, y->next_weight, R, C);) {
        loss = nn_lm_loss(&t->lm, &t->m->mx.output, x, loss);
        for (size_t i = 0; i < t->lm.n; i++) t->logprob[t->lm.row[i]] = t->lm.logprob[i];
        if (learn) chunk_bwd(t, x);
    }
    return loss;
}
