#include "nn/err.h"
#include <stdio.h>
#include <string.h>

nn_status nn_failv(nn_err *err, nn_status status, const char *fmt, va_list args)
{
    if (err && err->status == NN_OK) {
        err->status = status;
        vsnprintf(err->text, sizeof err->text, fmt, args);
    }
    return status;
}

nn_status nn_fail(nn_err *err, nn_status status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    nn_failv(err, status, fmt, args);
    va_end(args);
    return status;
}

void nn_err_prefix(nn_err *err, const char *prefix)
{
    static const char sep[] = ": ";

    if (!err || err->status == NN_OK) return;

    /* The end of the old text is what gives way when both do not fit. */
    const size_t room = sizeof err->text - 1;
    size_t head = strlen(prefix);
    if (head + sizeof sep - 1 > room) head = room - (sizeof sep - 1);
    const size_t start = head + sizeof sep - 1;
    size_t tail = strlen(err->text);
    if (tail > room - start) tail = room - start;

    memmove(err->text + start, err->text, tail);
    memcpy(err->text, prefix, head);
    memcpy(err->text + head, sep, sizeof sep - 1);
    err->text[start + tail] = '\0';
}

const char *nn_status_text(nn_status status)
{
#define STATUS_CASE(name, value, text)                                                             \
    case NN_##name: return text;
    switch (status) {
        NN_STATUS_MAP(STATUS_CASE)
    case NN_STATUS_END_: break;
    }
#undef STATUS_CASE
    return "unknown status";
}
