/* http.h - one address, posted to many times at once: the only room that knows libcurl.
 *
 * Reads: guard/buf.h, guard/job.h.   Read next: http_curl.c (with libcurl), http_none.c (without), backend_server.c.
 * Only http and https; redirects are not followed (a key would go along); certificates are verified; proxies only from
 * the environment, and never for this machine's own addresses; no cookies, no files.
 * Threads: one call of guard_http_post at a time. Building calls curl_global_init, which may run in several threads at
 * once from libcurl 7.84 on; before, build in one.
 * Signals: whoever builds ignores SIGPIPE (nn_stop_install does): a TLS connection that breaks while it is written to
 * raises it.
 */
#ifndef GUARD_ASK_HTTP_H
#define GUARD_ASK_HTTP_H
#include "guard/buf.h"
#include "guard/job.h"

typedef struct {
    int status;          /* 0: no reply; failure says why (connection refused, timed out, broken off, too long) */
    const char *failure; /* one line without address or headers */
    bool lasting;        /* a failure that asking again cannot mend: unknown host, bad certificate, too long a body */
    const char *body;    /* body[len] is 0; borrowed until the callback returns */
    size_t len;
    double retry_after; /* seconds that the server asked for; -1: it did not. A date is turned into seconds from now */
} guard_http_reply;

typedef struct {
    const char *url;    /* checked by the caller; copied, as bearer */
    const char *bearer; /* Authorization: Bearer, or NULL; our copies are wiped when they are freed */
    bool local;         /* an address of this machine: no proxy */
    size_t concurrency;
    double deadline; /* seconds of one attempt */
    size_t max_bytes; /* of a reply's body; receiving ends there */
} guard_http_options;

/* What is posted, and what becomes of replies. A status that is not NN_OK stops all. */
typedef struct {
    /* Appends the JSON of request i; called before each attempt, so that only what is under way takes memory. */
    nn_status (*body)(void *ctx, size_t i, guard_buf *body, nn_err *err);
    /* *again is -1: done with i. Set it to the seconds (>= 0) after which i is to be sent again. attempt counts from
     * 0. */
    nn_status (*reply)(void *ctx, size_t i, size_t attempt, const guard_http_reply *r, double *again, nn_err *err);
    void *ctx;
} guard_http_fns;

typedef struct guard_http guard_http;

bool guard_http_built(void);
NN_CHECKED nn_status guard_http_build(guard_http **out, const guard_http_options *o, nn_err *err);
void guard_http_free(guard_http *h);
/* Posts requests 0 to n - 1, lower numbers first. What waits to be sent again holds up no other, until more wait than
 * may be under way at once: then the server has had enough, and new requests wait too. Asks the job whether to go on at
 * least four times a second: NN_STOP. */
NN_CHECKED nn_status guard_http_post(guard_http *h, size_t n, const guard_http_fns *f, guard_job *job, nn_err *err);
#endif
