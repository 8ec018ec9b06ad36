#include "guard/job.h"
#include <stdio.h>

bool guard_job_go_on(guard_job *job, uint64_t done, uint64_t total, const char *unit)
{
    return !job || !job->progress || job->progress(job->ctx, done, total, unit);
}

nn_status guard_job_metric(guard_job *job, uint64_t step, const char *name, double value, nn_err *err)
{
    return job && job->metric ? job->metric(job->ctx, step, name, value, err) : NN_OK;
}

nn_rng guard_job_rng(const guard_job *job, const char *purpose, uint64_t row)
{
    char stream[256];
    const int n = snprintf(stream, sizeof stream, "%s/%s", job->stream ? job->stream : "", purpose);

    NN_ASSERT(n > 0 && (size_t)n < sizeof stream);
    (void)n; /* unused when NDEBUG */
    return nn_rng_at(job->seed, stream, row);
}
