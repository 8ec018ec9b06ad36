/* http_none.c - http.h without libcurl: says so. */
#include "guard/ask/http.h"

bool guard_http_built(void)
{
    return false;
}

static nn_status not_built(nn_err *err)
{
    return nn_fail(err, NN_USAGE, "server: this program was built without libcurl, want a build with it: "
                                  "install its headers (libcurl4-openssl-dev), then make without CURL=0");
}

nn_status guard_http_build(guard_http **out, const guard_http_options *o, nn_err *err)
{
    (void)o;
    *out = NULL;
    return not_built(err);
}

void guard_http_free(guard_http *h)
{
    (void)h;
}

nn_status guard_http_post(guard_http *h, size_t n, const guard_http_fns *f, guard_job *job, nn_err *err)
{
    (void)h, (void)n, (void)f, (void)job;
    return not_built(err);
}
