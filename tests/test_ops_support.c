#include "tests/test_ops_support.h"
#include "nn/rng.h"
#include <math.h>

void fill_random(float *x, size_t n, float size, uint64_t row)
{
    nn_rng r = nn_rng_at(1, "test_ops", row);

    for (size_t i = 0; i < n; i++) {
        const float v = 2.0f * nn_rng_float(&r) - 1.0f; /* a multiple of 2^-23: sums of a few would be exact */
        x[i] = size * (0.7f * v + 0.3f * v * v * v);    /* full mantissas: the order of a sum shows */
    }
}

double weigh(const float *c, const float *y, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++) sum += (double)c[i] * (double)y[i];
    return sum;
}

/* (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12h: the error is h^4/30 f''''', which leaves room for an h so wide that
 * float rounding in the op does not drown the difference. */
static double difference(scalar_fn f, void *ctx, float *at)
{
    const float h = 0x1p-5f, x = *at;
    double value[4];
    static const float step[4] = {-2.0f, -1.0f, 1.0f, 2.0f};

    for (size_t i = 0; i < 4; i++) {
        *at = x + step[i] * h;
        value[i] = f(ctx);
    }
    *at = x;
    return (8.0 * (value[2] - value[1]) - (value[3] - value[0])) / (12.0 * (double)h);
}

void expect_gradient(const char *name, scalar_fn f, void *ctx, float *at, const float *grad, size_t n, double times)
{
    double worst = 0.0, want = 0.0;
    size_t worst_at = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = difference(f, ctx, at + i);
        const double miss = fabs((double)grad[i] / times - d) / fmax(1.0, fabs(d));

        if (!(miss <= worst)) {
            worst = isnan(miss) ? HUGE_VAL : miss;
            worst_at = i;
            want = d;
        }
    }
    cr_expect(worst <= 1e-4, "%s[%zu of %zu]: gradient %.9g, difference %.9g, miss %.3g", name, worst_at, n,
              (double)grad[worst_at] / times, want, worst);
}

nn_exec exec_with(const char *table, size_t threads, size_t max_t)
{
    nn_exec x;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_exec_open(&x, table, threads, max_t, &err), &err);
    return x;
}
