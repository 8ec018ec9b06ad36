#include "guard/ask/backend.h"
#include "nn/arena.h"
#include <math.h>
#include <string.h>

static nn_status check_options(const guard_ask_options *o, nn_err *err)
{
    if (!isfinite(o->temperature) || o->temperature < 0.0f)
        return nn_fail(err, NN_USAGE, "ask: temperature %g, want 0 or more", (double)o->temperature);
    if (!(o->top_p > 0.0f && o->top_p <= 1.0f))
        return nn_fail(err, NN_USAGE, "ask: top_p %g, want more than 0 and at most 1", (double)o->top_p);
    if (o->max_tokens == 0) return nn_fail(err, NN_USAGE, "ask: max_tokens 0, want at least 1");
    if (o->stop && o->stop[0] == '\0') return nn_fail(err, NN_USAGE, "ask: empty stop, want what ends an answer");
    return NN_OK;
}

nn_status guard_backend_ask(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                            guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err)
{
    const nn_status st = check_options(o, err);

    if (st != NN_OK) return st;
    for (size_t i = 0; i < n; i++) {
        if (q[i].n_message == 0 || (b->completes && q[i].n_message != 1))
            return nn_fail(err, NN_USAGE, "ask: question %zu: %zu messages, want %s", i + 1, q[i].n_message,
                           b->completes ? "1: this back-end completes a text" : "at least 1");
    }
    return n == 0 ? NN_OK : b->ask(b, q, n, o, answer, ctx, job, err);
}

void guard_backend_free(guard_backend *b)
{
    if (!b) return;
    if (b->free) b->free(b);
    nn_free(b->identity);
    nn_free(b);
}

const char *guard_backend_identity(const guard_backend *b)
{
    return b->identity;
}

bool guard_backend_completes(const guard_backend *b)
{
    return b->completes;
}

size_t guard_before_stop(const char *text, size_t len, const char *stop)
{
    const size_t n = stop ? strlen(stop) : 0;

    for (size_t i = 0; n > 0 && i + n <= len; i++)
        if (memcmp(text + i, stop, n) == 0) return i;
    return len;
}
