/* perplexity.c - perplexity.h, window by window.
 *
 * Reads: perplexity.h, ops.h (nn_xent), mathf.h.
 * Logits of a few rows at a time: a window's would be n_ctx x V floats, half a gigabyte at 1024 x 128k.
 */
#include "nn/perplexity.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include <math.h>
#include <string.h>

#define CTX_MIN 8u
#define CHUNK 32u /* rows whose logits exist at once */

typedef struct {
    const nn_model *m;
    const nn_exec *x;
    nn_state *s;
    int32_t *ids;         /* [n_ctx] of the window */
    float *logits;        /* [CHUNK, V] */
    size_t n_ctx;
    double sum, squares;  /* of -log p */
} run;

static void score_window(run *o)
{
    const size_t start[2] = {0, o->n_ctx}, last = o->n_ctx - 1;
    const nn_batch b = {o->ids, {start, 1}, NULL, NULL};
    const size_t V = nn_model_config(o->m)->vocab;

    nn_model_fwd(o->m, o->s, o->x, &b);
    for (size_t r = o->n_ctx / 2; r < last; r += CHUNK) {
        const size_t n = last - r < CHUNK ? last - r : CHUNK;
        size_t rows[CHUNK];
        float logprob[CHUNK];

        for (size_t i = 0; i < n; i++) rows[i] = r + i;
        nn_state_lm_logits(o->m, o->s, o->x, o->logits, rows, n);
        (void)nn_xent(o->x, logprob, NULL, o->logits, o->ids + r + 1, NULL, n, V);
        for (size_t i = 0; i < n; i++) {
            const double nll = -(double)logprob[i];

            o->sum += nll;
            o->squares += nll * nll;
        }
    }
}

static nn_perplexity result(const run *o, size_t tokens, size_t windows)
{
    nn_perplexity r = {.tokens = tokens, .windows = windows, .scored = windows * (o->n_ctx - 1 - o->n_ctx / 2)};
    const double n = (double)r.scored;

    r.nll = o->sum / n;
    r.perplexity = nn_exp(r.nll);
    const double variance = o->squares / n - r.nll * r.nll;
    r.error = variance > 0.0 && n > 1.0 ? sqrt(variance / (n - 1.0)) * r.perplexity : 0.0;
    return r;
}

static nn_status check(const nn_model *m, const int32_t *ids, size_t n, size_t n_ctx, nn_err *err)
{
    const nn_config *c = nn_model_config(m);

    if (!c->lm_head) return nn_fail(err, NN_USAGE, "perplexity: the model has no next-token logits");
    if (n_ctx < CTX_MIN || n_ctx > c->max_t)
        return nn_fail(err, NN_USAGE, "perplexity: context %zu, want %u to %zu", n_ctx, CTX_MIN, c->max_t);
    if (n / 2 < n_ctx)
        return nn_fail(err, NN_CONTENT, "perplexity: %zu tokens, want at least %zu: two windows of %zu", n, 2 * n_ctx,
                       n_ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= c->vocab)
            return nn_fail(err, NN_CONTENT, "perplexity: token %zu has id %d, want below %zu", i, (int)ids[i],
                           c->vocab);
    return NN_OK;
}

nn_status nn_perplexity_ids(nn_perplexity *out, const nn_model *m, const nn_exec *x, const int32_t *ids, size_t n,
                            int32_t bos, size_t n_ctx, bool exact, nn_perplexity_fn fn, void *ctx, nn_err *err)
{
    run o = {.m = m, .x = x, .n_ctx = n_ctx};
    nn_status st;

    memset(out, 0, sizeof *out);
    if ((st = check(m, ids, n, n_ctx, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&o.ids, n_ctx, sizeof *o.ids, err)) != NN_OK) goto done;
    const size_t V = nn_model_config(m)->vocab;
    if ((st = nn_alloc((void **)&o.logits, CHUNK * V, sizeof *o.logits, err)) != NN_OK) goto done;
    if ((st = nn_state_build(&o.s, m, n_ctx, 1, err)) != NN_OK) goto done;
    nn_state_round_inputs(o.s, !exact);
    for (size_t w = 0; w < n / n_ctx; w++) {
        memcpy(o.ids, ids + w * n_ctx, n_ctx * sizeof *o.ids);
        if (bos >= 0) o.ids[0] = bos;
        score_window(&o);
        *out = result(&o, n, w + 1);
        if (fn) fn(ctx, out, w + 1);
    }
done:
    nn_state_free(o.s);
    nn_free(o.logits);
    nn_free(o.ids);
    return st;
}

nn_status nn_perplexity_text(nn_perplexity *out, const nn_model *m, const nn_exec *x, const nn_tok *tok,
                             const char *text, size_t len, size_t n_ctx, bool exact, nn_perplexity_fn fn, void *ctx,
                             nn_err *err)
{
    const int32_t bos = nn_tok_adds_bos(tok) ? nn_tok_bos(tok) : -1;
    nn_tok_buf b = {0};
    nn_status st = NN_OK;

    memset(out, 0, sizeof *out);
    if (bos >= 0) {
        if ((st = nn_tok_buf_reserve(&b, 1, 0, err)) != NN_OK) goto done;
        b.start[b.len] = 0;
        b.ids[b.len++] = bos;
    }
    if ((st = nn_tok_encode(tok, &b, text, len, err)) != NN_OK) goto done;
    st = nn_perplexity_ids(out, m, x, b.ids, b.len, bos, n_ctx, exact, fn, ctx, err);
done:
    nn_tok_buf_free(&b);
    return st;
}
