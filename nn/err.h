/* err.h - one status and one sentence for everything that can fail.
 *
 * Read next: arena.h, cursor.h.
 * Why: the library never prints and never exits. A fallible function returns an
 * nn_status and, when the caller gave an nn_err, leaves there the first cause:
 * "object: problem, want expectation". The status values are the exit statuses
 * of the command line, so the mapping is written once, here.
 * Threads: an nn_err belongs to one thread.
 */
#ifndef NN_ERR_H
#define NN_ERR_H
#include <stdarg.h>
#include <stddef.h>

#define NN_STATUS_MAP(X)                                                       \
    X(OK, 0, "done")                                                           \
    X(USAGE, 2, "wrong use of a flag, an option or an argument")               \
    X(CONTENT, 3, "content of a row or a script that cannot be used")          \
    X(FILE, 4, "a file that cannot be opened or is not what it should be")     \
    X(LIMIT, 5, "out of memory, disk or another limit")                        \
    X(STOP, 130, "stopped on request; what was finished is saved")

#define NN_STATUS_ENUM(name, value, text) NN_##name = (value),
typedef enum { NN_STATUS_MAP(NN_STATUS_ENUM) NN_STATUS_END_ } nn_status;
#undef NN_STATUS_ENUM

#define NN_ERR_MAX 512

typedef struct {
    nn_status status;
    char text[NN_ERR_MAX];
} nn_err;

#if defined(__GNUC__) || defined(__clang__)
#define NN_CHECKED __attribute__((warn_unused_result))
#define NN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define NN_CHECKED
#define NN_PRINTF(fmt, args)
#endif

/* A broken contract between our own functions; active unless NDEBUG. */
#ifdef NDEBUG
#define NN_ASSERT(cond) ((void)0)
#else
#include <assert.h>
#define NN_ASSERT(cond) assert(cond)
#endif

/* A check at compile time: an array type of size -1 when cond is false. */
#define NN_STATIC_ASSERT(cond, name) typedef char nn_static_assert_##name[(cond) ? 1 : -1]

/* Writes the first cause into err (NULL is fine; a cause already there stays) and
 * returns status, so that `return nn_fail(err, NN_FILE, "%s: ...", path);` reads well. */
nn_status nn_fail(nn_err *err, nn_status status, const char *fmt, ...) NN_PRINTF(3, 4);
nn_status nn_failv(nn_err *err, nn_status status, const char *fmt, va_list args);

/* The same cause with "prefix: " before it, for a caller who knows the object's name. */
void nn_err_prefix(nn_err *err, const char *prefix);

const char *nn_status_text(nn_status status); /* never NULL */
#endif
