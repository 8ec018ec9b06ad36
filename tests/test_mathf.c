/* Tests of nn/mathf.h: distance to long double libm in units of the last place, special values, frozen bits.
 * PARAPET_EXHAUSTIVE=1 runs the float exponential over every float (a few minutes).
 */
#include "nn/mathf.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 40000

/* |got - want| in units of the last place of a type with `digits` bits and smallest exponent `low`. */
static double ulps(double got, long double want, int digits, int low)
{
    if ((long double)got == want) return 0.0;
    if (want == 0.0L || !isfinite(want)) return HUGE_VAL;
    const int e = ilogbl(want) < low ? low : ilogbl(want);
    return (double)fabsl(ldexpl((long double)got - want, digits - 1 - e));
}

static double ulps_double(double got, long double want)
{
    return ulps(got, want, DBL_MANT_DIG, DBL_MIN_EXP - 1);
}

static double ulps_float(float got, long double want)
{
    if (isinf(got) && fabsl(want) > (long double)FLT_MAX) return 0.0;
    return ulps((double)got, want, FLT_MANT_DIG, FLT_MIN_EXP - 1);
}

/* Samples evenly between low and high, or with even exponents when `by_exponent` (both ends positive). */
static double sample(nn_rng *r, double low, double high, bool by_exponent)
{
    const double u = nn_rng_double(r);

    return by_exponent ? exp2(log2(low) + u * (log2(high) - log2(low))) : low + u * (high - low);
}

typedef struct {
    const char *name;
    double (*f)(double);
    long double (*oracle)(long double);
    double low, high;
    bool by_exponent;
    double allowed; /* ulp */
} range_test;

static long double sigmoid_oracle(long double x)
{
    return 1.0L / (1.0L + expl(-x));
}

static long double softplus_oracle(long double x)
{
    return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}

static void check_range(const range_test *t)
{
    double worst = 0.0, at = 0.0;
    nn_rng r = nn_rng_at(1, t->name, 0);

    for (size_t i = 0; i < SAMPLES; i++) {
        double x = sample(&r, t->low, t->high, t->by_exponent);

        for (int side = 0; side < 2; side++, x = -x) { /* even-exponent ranges stand for both signs */
            if (side == 1 && (!t->by_exponent || t->f == nn_log)) break;
            const double miss = ulps_double(t->f(x), t->oracle((long double)x));

            if (miss > worst) {
                worst = miss;
                at = x;
            }
        }
    }
    cr_log_info("%s on [%g, %g]: %.3f ulp at %a", t->name, t->low, t->high, worst, at);
    cr_expect(worst <= t->allowed, "%s(%a): %.3f ulp, allowed %.1f", t->name, at, worst, t->allowed);
}

Test(mathf, doubles_stay_within_their_bounds)
{
    static const range_test row[] = {
        {"exp", nn_exp, expl, -700, 709.7, false, 1.5},
        {"exp", nn_exp, expl, -745.1, -700, false, 1.5},
        {"exp", nn_exp, expl, 1e-18, 700, true, 1.5},
        {"log", nn_log, logl, 5e-324, 1e308, true, 1.5},
        {"log", nn_log, logl, 0.5, 2, false, 1.5},
        {"log", nn_log, logl, 1 - 1e-9, 1 + 1e-9, false, 1.5},
        {"log1p", nn_log1p, log1pl, -0.999, 3, false, 2},
        {"log1p", nn_log1p, log1pl, 1e-300, 0.99, true, 2},
        {"log1p", nn_log1p, log1pl, 1, 1e300, false, 2},
        {"sin", nn_sin, sinl, -10, 10, false, 1.5},
        {"sin", nn_sin, sinl, 1e-300, 0x1p30, true, 1.5},
        {"cos", nn_cos, cosl, -10, 10, false, 1.5},
        {"cos", nn_cos, cosl, 1e-300, 0x1p30, true, 1.5},
        {"sin", nn_sin, sinl, 0x1p30, 0x1p50, true, 1.5},
        {"tanh", nn_tanh, tanhl, 1e-300, 30, true, 2.5},
        {"tanh", nn_tanh, tanhl, -3, 3, false, 2.5},
        {"sigmoid", nn_sigmoid, sigmoid_oracle, -700, 40, false, 2.5},
        {"softplus", nn_softplus, softplus_oracle, -700, 40, false, 2.5},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) check_range(row + i);
}

Test(mathf, multiples_of_a_quarter_turn_keep_their_digits)
{
    double worst = 0.0;

    for (int n = 1; n < 20000; n++) {
        const double x = (double)n * 1.5707963267948966; /* sin or cos is tiny: the reduction's digits show */
        const double a = ulps_double(nn_sin(x), sinl((long double)x)), b = ulps_double(nn_cos(x), cosl((long double)x));

        worst = fmax(worst, fmax(a, b));
    }
    cr_expect(worst <= 1.5, "%.3f ulp", worst);
}

Test(mathf, pow_stays_within_two_ulp)
{
    double worst = 0.0, at_x = 0.0, at_y = 0.0;
    nn_rng r = nn_rng_at(1, "pow", 0);

    for (size_t i = 0; i < 4 * SAMPLES; i++) {
        const bool near_one = i % 2 == 0;
        const double x = near_one ? sample(&r, 0.5, 2, false) : sample(&r, 1e-300, 1e300, true);
        const double y = sample(&r, -1, 1, false) * 700 / fabs(log(x));
        const double miss = ulps_double(nn_pow(x, y), powl((long double)x, (long double)y));

        if (miss > worst) {
            worst = miss;
            at_x = x;
            at_y = y;
        }
    }
    cr_log_info("pow: %.3f ulp at %a, %a", worst, at_x, at_y);
    cr_expect(worst <= 2.0, "pow(%a, %a): %.3f ulp", at_x, at_y, worst);
}

Test(mathf, floats_stay_within_their_bounds)
{
    nn_rng r = nn_rng_at(1, "floats", 0);

    for (size_t i = 0; i < SAMPLES; i++) {
        const float pos = (float)sample(&r, 1e-44, 3e38, true), mid = (float)sample(&r, -100, 100, false);
        const float y = (float)sample(&r, -1, 1, false) * 85.0f / (0.01f + fabsf(nn_logf(pos)));
        const long double m = (long double)mid, p = (long double)pos;

        cr_assert(ulps_float(nn_expf(mid), expl(m)) <= 1.0, "expf(%a)", (double)mid);
        cr_assert(ulps_float(nn_logf(pos), logl(p)) <= 0.501, "logf(%a)", (double)pos);
        cr_assert(ulps_float(nn_sinf(mid), sinl(m)) <= 0.501, "sinf(%a)", (double)mid);
        cr_assert(ulps_float(nn_cosf(mid), cosl(m)) <= 0.501, "cosf(%a)", (double)mid);
        cr_assert(ulps_float(nn_tanhf(mid / 10), tanhl((long double)(mid / 10))) <= 0.501, "tanhf(%a)", (double)mid);
        cr_assert(ulps_float(nn_powf(pos, y), powl(p, (long double)y)) <= 0.501, "powf(%a, %a)", (double)pos, (double)y);
    }
}

/* Worst miss of nn_expf over the floats whose bit patterns are start, start + step, ... below end. */
static double worst_expf(uint32_t start, uint32_t end, uint32_t step)
{
    double worst = 0.0;

    for (uint32_t bits = start; bits < end; bits += step) {
        float x;

        memcpy(&x, &bits, sizeof x);
        worst = fmax(worst, ulps_float(nn_expf(x), expl((long double)x)));
    }
    return worst;
}

/* Below 2^-30 the result is 1 +- one rounding; beyond +-110 it is 0 or inf: the patterns between are what matters. */
Test(mathf, expf_is_within_one_ulp_of_every_float_sampled_or_all)
{
    const uint32_t step = getenv("PARAPET_EXHAUSTIVE") ? 1u : 1009u;
    const double plus = worst_expf(0x30800000u, 0x42dc0000u, step);
    const double minus = worst_expf(0xb0800000u, 0xc2cff1b5u, step); /* to log of half the smallest float */

    cr_log_info("expf: %.4f ulp above 0, %.4f below", plus, minus);
    cr_expect(plus <= 1.0 && minus <= 1.0, "%.4f, %.4f ulp", plus, minus);
    cr_expect(nn_expf(1e-10f) == 1.0f && nn_expf(0.0f) == 1.0f && nn_expf(-0.0f) == 1.0f);
}

Test(mathf, ends_and_nan_behave)
{
    const float finf = HUGE_VALF;
    const double inf = HUGE_VAL, nan_value = (double)NAN;

    cr_expect(nn_expf(-104.0f) == 0.0f && nn_expf(-finf) == 0.0f && nn_expf(finf) == finf && nn_expf(88.73f) == finf);
    cr_expect(nn_exp(-inf) == 0.0 && nn_exp(inf) == inf && nn_exp(710.0) == inf && nn_exp(-746.0) == 0.0);
    cr_expect(nn_exp(0.0) == 1.0 && nn_exp(-745.0) > 0.0);
    cr_expect(isnan(nn_expf(NAN)) && isnan(nn_exp(nan_value)) && isnan(nn_log(nan_value)) && isnan(nn_sin(nan_value)));
    cr_expect(isnan(nn_tanh(nan_value)) && isnan(nn_log1p(nan_value)) && isnan(nn_sigmoid(nan_value)));
    cr_expect(isnan(nn_softplus(nan_value)) && isnan(nn_log(-1.0)) && isnan(nn_log1p(-1.5)) && isnan(nn_sin(inf)));
    cr_expect(nn_log(0.0) == -inf && nn_log(-0.0) == -inf && nn_log(inf) == inf && nn_log(1.0) == 0.0);
    cr_expect(nn_log1p(-1.0) == -inf && nn_log1p(inf) == inf && nn_log1p(0.0) == 0.0);
    cr_expect(nn_tanh(inf) == 1.0 && nn_tanh(-inf) == -1.0 && nn_tanh(0.0) == 0.0);
    cr_expect(signbit(nn_sin(-0.0)) && signbit(nn_tanh(-0.0)) && nn_cos(0.0) == 1.0);
    cr_expect(nn_sigmoid(inf) == 1.0 && nn_sigmoid(-inf) == 0.0 && nn_sigmoid(0.0) == 0.5);
    cr_expect(nn_softplus(-inf) == 0.0 && nn_softplus(inf) == inf && nn_softplus(800.0) == 800.0);
}

/* Against libm, which follows ISO C99 F.9.4.4: the same class, sign and exact value. */
Test(mathf, pow_has_the_special_values_of_the_standard)
{
    const double v[] = {0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1e300, -1e300, 1e-310, 0x1p53, HUGE_VAL, -HUGE_VAL, (double)NAN};
    const size_t n = sizeof v / sizeof *v;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const double got = nn_pow(v[i], v[j]), want = pow(v[i], v[j]);

            if (isnan(want)) cr_expect(isnan(got), "pow(%g, %g): %g, want NaN", v[i], v[j], got);
            else cr_expect(ulps_double(got, (long double)want) <= 2 && signbit(got) == signbit(want),
                           "pow(%g, %g): %a, want %a", v[i], v[j], got, want);
        }
    }
    cr_expect(nn_pow(3.0, 2.0) == 9.0 && nn_pow(10.0, 3.0) == 1000.0 && nn_pow(-2.0, 3.0) == -8.0);
}

/* One hash over many results: every compiler, flag and machine must give it. */
Test(mathf, bits_never_change)
{
    double (*const fn[])(double) = {nn_exp, nn_log, nn_sin, nn_cos, nn_tanh, nn_log1p, nn_sigmoid, nn_softplus};
    uint64_t h = 0;
    nn_rng r = nn_rng_at(1, "bits", 0);

    for (size_t i = 0; i < 20000; i++) {
        const double u = nn_rng_double(&r), x = nn_exp(13 * u - 6), y = 2 * u; /* no libm on the way */
        const double d = fn[i % 8](i % 16 < 8 ? x : y), p = nn_pow(x, y);
        const float f = nn_expf((float)(50.0 - x));

        h = nn_hash64(&d, sizeof d, h);
        h = nn_hash64(&p, sizeof p, h);
        h = nn_hash64(&f, sizeof f, h);
    }
    cr_expect(h == UINT64_C(0x1c25badb3b9355f0), "hash %llx", (unsigned long long)h);
}
