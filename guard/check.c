/* check.c - a session: one text, one verdict, nothing allocated between.
 *
 * Reads: parapet.h, window_batch.h.   Read next: windows.c.
 */
#include "guard/window_batch.h"
#include "nn/arena.h"

#define BATCH_WINDOWS 8u /* a thread */
#define MAX_BYTES_DEFAULT ((size_t)1 << 20)

struct guard_session {
    const guard_parts *parts;
    nn_exec exec;
    guard_windows *windows;
    guard_window_batch *batch;
    size_t max_bytes;
};

nn_status guard_session_open(guard_session **out, const guard_classifier *g, const guard_session_options *o,
                             nn_err *err)
{
    const guard_session_options given = o ? *o : (guard_session_options){NULL, 0, 0};
    const guard_parts *p = &g->parts;
    guard_session *s = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_alloc((void **)&s, 1, sizeof *s, err)) != NN_OK) return st;
    s->parts = p;
    s->max_bytes = given.max_bytes ? given.max_bytes : MAX_BYTES_DEFAULT;
    if ((st = nn_exec_open(&s->exec, given.kernels, given.threads ? given.threads : 1, p->window, err)) != NN_OK)
        goto done;
    const size_t n = BATCH_WINDOWS * s->exec.par.threads;
    if ((st = guard_window_batch_build(&s->batch, p, &s->exec, n * p->window, n, err)) != NN_OK) goto done;
    if ((st = guard_windows_build(&s->windows, err)) != NN_OK) goto done;
    if ((st = guard_windows_reserve(s->windows, p, s->max_bytes, err)) != NN_OK) goto done;
    *out = s;
    s = NULL;
done:
    guard_session_close(s);
    return st;
}

void guard_session_close(guard_session *s)
{
    if (!s) return;
    guard_window_batch_free(s->batch);
    guard_windows_free(s->windows);
    nn_exec_free(&s->exec);
    nn_free(s);
}

static nn_status check_length(const guard_session *s, const char *what, size_t len, nn_err *err)
{
    if (len <= s->max_bytes) return NN_OK;
    return nn_fail(err, NN_LIMIT, "%s: %zu bytes, want at most %zu (--max-bytes)", what, len, s->max_bytes);
}

nn_status guard_check(guard_session *s, const char *text, size_t len, const char *response, size_t response_len,
                      guard_verdict *v, nn_err *err)
{
    nn_status st;

    if ((st = check_length(s, "text", len, err)) != NN_OK) return st;
    if (response && (st = check_length(s, "response", response_len, err)) != NN_OK) return st;
    guard_window_batch_clear(s->batch);
    if ((st = guard_windows_of_text(s->windows, s->parts, text, len, response, response_len, err)) != NN_OK)
        return st;
    if ((st = guard_window_batch_push(s->batch, v, s->windows, err)) != NN_OK) return st;
    return guard_window_batch_flush(s->batch, err);
}
