/* http.h - HTTP requests, many at once: the only room that knows libcurl.
 *
 * Reads: guard/buf.h, guard/job.h.   Read next: http_curl.c (with libcurl), http_none.c (without), backend_server.c.
 * Only http and https; redirects are not followed (a key would go along); proxies only from the environment; no cookies,
 * no files.
 */
#ifndef GUARD_ASK_HTTP_H
#define GUARD_ASK_HTTP_H
#include "guard/buf.h"
#include "guard/job.h"

typedef struct {
    const char *url;
    const char *body; /* JSON, posted */
    size_t body_len;
} guard_http_request;

typedef struct {
    int status;         /* 0: no reply; failure says why (connection refused, timed out, broken off, too long) */
    const char *failure; /* without the request's headers */
    bool lasting;       /* a failure that asking again cannot mend: unknown host, bad certificate, too long a body */
    const char *body;   /* body[len] is 0 */
    size_t len;
    double retry_after; /* seconds that the server asked for; -1: it did not. A date is turned into seconds from now */
} guard_http_reply;

typedef struct {
    const char *bearer; /* Authorization: Bearer, or NULL; borrowed */
    size_t concurrency;
    double deadline; /* seconds of one attempt */
    size_t max_bytes;
} guard_http_options;

typedef struct guard_http guard_http;
/* A reply to request i. Return the seconds after which to send it again (>= 0), or -1: done with it. *st not NN_OK stops
 * all. */
typedef double (*guard_http_fn)(void *ctx, size_t i, size_t attempt, const guard_http_reply *r, nn_status *st,
                                nn_err *err);

bool guard_http_built(void);
NN_CHECKED nn_status guard_http_build(guard_http **out, const guard_http_options *o, nn_err *err);
void guard_http_free(guard_http *h);
/* Posts all n; waits of one request hold up no other. Asks the job whether to go on at least four times a second. */
NN_CHECKED nn_status guard_http_post(guard_http *h, const guard_http_request *r, size_t n, guard_http_fn reply, void *ctx,
                                     guard_job *job, nn_err *err);
#endif
