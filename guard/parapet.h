/* parapet.h - the public C API: open a guard, open a session, check a text, read a verdict.
 *
 * Read next: classify.h (how it is built and saved), cmd_check.c (a user).
 * guard_classifier is immutable after open and shared between threads; guard_session is one per thread. Nothing is
 * allocated after guard_session_open, there is no global state, nothing is printed. A verdict is a value, never an
 * error.
 *
 *     guard_classifier *g = NULL;  guard_session *s = NULL;  nn_err err = {0};
 *     if (guard_classifier_open(&g, "guard.gguf", &err) || guard_session_open(&s, g, NULL, &err)) {
 *         puts(err.text);
 *         return 1;
 *     }
 *     guard_verdict v;
 *     if (guard_check(s, text, strlen(text), NULL, 0, &v, &err) == NN_OK && v.flagged) ...
 */
#ifndef GUARD_PARAPET_H
#define GUARD_PARAPET_H
#include "guard/taxonomy.h"
#include "nn/err.h"
#include <stdbool.h>

#define PARAPET_VERSION "0.1.0"

typedef struct guard_classifier guard_classifier;
typedef struct guard_session guard_session;

typedef struct {
    const char *kernels; /* NULL: best */
    size_t threads;      /* 0 = 1: small models run one thread per request */
    size_t max_bytes;    /* longest text, 0: 1 MiB; 24 bytes are reserved for each, which only long texts touch */
} guard_session_options;

typedef struct {
    bool flagged;
    float p_unsafe;     /* calibrated, of the worst window */
    float threshold;
    float logit, wide_logit, decoder_logit; /* of the worst window, before calibration */
    size_t n_category;
    float category[GUARD_MAX_CATEGORY]; /* p of each category, worst window */
    size_t window_index, window_count;
    size_t window_start, window_end; /* bytes of the judged text */
    size_t tokens;
    size_t bytes_replaced; /* ill-formed UTF-8 parts scored as U+FFFD */
} guard_verdict;

NN_CHECKED nn_status guard_classifier_open(guard_classifier **out, const char *path, nn_err *err);
/* Borrows the bytes for the life of the classifier. */
NN_CHECKED nn_status guard_classifier_open_memory(guard_classifier **out, const void *bytes, size_t len, nn_err *err);
void guard_classifier_close(guard_classifier *g);
const guard_taxonomy *guard_classifier_taxonomy(const guard_classifier *g);
const char *guard_classifier_name(const guard_classifier *g);
/* Of the file, in hex; empty when never saved. Reads the whole file each time: a verdict does not wait for it. */
void guard_classifier_sha256(const guard_classifier *g, char hex[65]);
const char *guard_classifier_ledger(const guard_classifier *g); /* ledger head, may be empty */
/* The stored threshold for the nearest stored target false-positive rate; 0 asks for the default rate. */
float guard_classifier_threshold(const guard_classifier *g, double target_fpr);

NN_CHECKED nn_status guard_session_open(guard_session **out, const guard_classifier *g,
                                        const guard_session_options *o, nn_err *err);
void guard_session_close(guard_session *s);
/* Judges the prompt, or the response when response is not NULL. NN_LIMIT names the byte limit. */
NN_CHECKED nn_status guard_check(guard_session *s, const char *text, size_t len, const char *response,
                                 size_t response_len, guard_verdict *v, nn_err *err);
#endif
