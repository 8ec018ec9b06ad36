#include "guard/format.h"
#include <string.h>

#define ROOM_LEAST 4u /* ids of text in a window */

void guard_format_own(guard_format *f)
{
    static const int32_t ids[] = {NN_TOK_BOS, NN_TOK_TASK_PROMPT, NN_TOK_LABEL,   NN_TOK_BOS,
                                  NN_TOK_TASK_RESPONSE, NN_TOK_RESPONSE, NN_TOK_LABEL};
    static const uint32_t start[GUARD_FORMAT_PARTS + 1] = {0, 2, 3, 5, 6, 7};

    memset(f, 0, sizeof *f);
    memcpy(f->id, ids, sizeof ids);
    memcpy(f->start, start, sizeof start);
    f->response = true;
}

bool guard_format_empty(const guard_format *f)
{
    return f->start[GUARD_FORMAT_PARTS] == 0;
}

bool guard_format_equal(const guard_format *a, const guard_format *b)
{
    return memcmp(a->start, b->start, sizeof a->start) == 0 &&
           memcmp(a->id, b->id, a->start[GUARD_FORMAT_PARTS] * sizeof *a->id) == 0 && a->response == b->response &&
           a->prompt == b->prompt && a->context == b->context && a->answer == b->answer;
}

const int32_t *guard_format_ids(const guard_format *f, guard_format_part part, size_t *n)
{
    *n = guard_format_count(f, part);
    return f->id + f->start[part];
}

size_t guard_format_count(const guard_format *f, guard_format_part part)
{
    return f->start[part + 1] - f->start[part];
}

size_t guard_format_fixed(const guard_format *f, bool response)
{
    return response ? f->start[GUARD_FORMAT_PARTS] - f->start[GUARD_RESPONSE_LEAD] : f->start[GUARD_RESPONSE_LEAD];
}

bool guard_format_add(guard_format *f, guard_format_part part, const int32_t *ids, size_t n)
{
    const size_t at = f->start[part + 1];

    NN_ASSERT(at == f->start[GUARD_FORMAT_PARTS]); /* nothing stands behind it */
    if (n > GUARD_FORMAT_IDS - at) return false;
    if (n > 0) memcpy(f->id + at, ids, n * sizeof *ids);
    for (size_t i = (size_t)part + 1; i <= GUARD_FORMAT_PARTS; i++) f->start[i] = (uint32_t)(at + n);
    return true;
}

nn_status guard_format_check(const guard_format *f, size_t vocab, size_t window, nn_err *err)
{
    const size_t prompt = guard_format_fixed(f, false), response = guard_format_fixed(f, true) + window / 4;

    for (size_t i = 0; i < f->start[GUARD_FORMAT_PARTS]; i++)
        if (f->id[i] < 0 || (size_t)f->id[i] >= vocab)
            return nn_fail(err, NN_USAGE, "prompt format: id %d, want one below the vocabulary's %zu", (int)f->id[i],
                           vocab);
    if (prompt == 0)
        return nn_fail(err, NN_USAGE, "prompt format: nothing beside the text, want at least one token around it");
    if (prompt + ROOM_LEAST > window)
        return nn_fail(err, NN_USAGE,
                       "prompt format: %zu tokens beside the text, want a window of at least %zu, not %zu", prompt,
                       prompt + ROOM_LEAST, window);
    if (f->response && response + ROOM_LEAST > window)
        return nn_fail(err, NN_USAGE,
                       "prompt format: %zu tokens beside prompt and response and a quarter of the window for the "
                       "prompt, want a window larger than %zu",
                       guard_format_fixed(f, true), window);
    return NN_OK;
}
