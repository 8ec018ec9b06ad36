#include "nn/mathf.h"
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NN_FMAF fmaf
#include "nn/expf_body.h"

/* Polynomials here are minimax (Remez exchange in 160-bit arithmetic, then rounded to double) unless a
 * comment says Taylor. Names ending in _lo carry what the double before them rounded away. */

#define LN2_HI 0x1.62e42fefa38p-1     /* 42 bits: times an exponent is exact */
#define LN2_LO 0x1.ef35793c7673p-45
#define SHIFTER 0x1.8p52              /* x + SHIFTER rounds x to an integer in the low bits */

static const double not_a_number = (double)NAN;

static uint64_t bits_of(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), by Horner; plain products: the bounds do not need fma. */
static double poly(double x, const double *c, size_t n)
{
    double sum = c[n - 1];

    for (size_t i = n - 1; i-- > 0;) sum = sum * x + c[i];
    return sum;
}

/* *lo = what a + b rounds away (Knuth's two-sum, exact). */
static double two_sum(double *lo, double a, double b)
{
    const double sum = a + b, b_part = sum - a;

    *lo = (a - (sum - b_part)) + (b - b_part);
    return sum;
}

/* *lo = what a * b rounds away (exact barring underflow). */
static double two_prod(double *lo, double a, double b)
{
    const double prod = a * b;

    *lo = fma(a, b, -prod);
    return prod;
}

/* --- exp ---------------------------------------------------------------------------------------- */

/* exp(x + x_lo) = 2^n (1 + p): returns p, n = rint(x / ln 2). |x| <= 1000, or NaN. */
static double exp_reduced(double *n, double x, double x_lo)
{
    static const double q[] = {0x1p-1,
                               0x1.555555555555bp-3,
                               0x1.5555555555503p-5,
                               0x1.111111110ec5ep-7,
                               0x1.6c16c16c304a1p-10,
                               0x1.a01a01b37e135p-13,
                               0x1.a01a0136895a7p-16,
                               0x1.71ddf0211ab11p-19,
                               0x1.27e5b45299eb3p-22,
                               0x1.af6be77347c8dp-26,
                               0x1.1e3d1b0fb7b7ap-29};

    *n = (x * 0x1.71547652b82fep+0 + SHIFTER) - SHIFTER;
    const double head = x - *n * LN2_HI; /* exact */
    const double tail = x_lo - *n * LN2_LO;
    const double r = head + tail;
    const double r_lo = (head - r) + tail;

    return r + (r * r * poly(r, q, sizeof q / sizeof *q) + r_lo);
}

/* v * 2^n in two exact factors, so that a subnormal result is rounded once. |n| <= 2000. */
static double times_power_of_two(double v, double n)
{
    const uint64_t fields = bits_of(n + SHIFTER) - bits_of(SHIFTER) + 2046u;

    return v * from_bits((fields >> 1) << 52) * from_bits((fields - (fields >> 1)) << 52);
}

static double exp_wide(double x, double x_lo)
{
    double n;
    const double p = exp_reduced(&n, x, x_lo);

    return times_power_of_two(1.0 + p, n);
}

double nn_exp(double x)
{
    if (x > 1000.0) x = 1000.0; /* inf from there on, 0 below; NaN passes */
    if (x < -1000.0) x = -1000.0;
    return exp_wide(x, 0.0);
}

float nn_expf(float x)
{
    return nn_expf_body(x);
}

double nn_sigmoid(double x)
{
    const double e = nn_exp(-fabs(x)); /* in (0, 1]: cannot overflow */

    return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

/* tanh x = t / (t + 2), t = exp(2x) - 1 = 2^n p + (2^n - 1); odd, and 1 to double precision from 22 on. */
double nn_tanh(double x)
{
    const double a = fabs(x);
    double n;

    if (a < 0x1p-28) return x;
    if (a > 22.0) return copysign(1.0, x);
    const double p = exp_reduced(&n, 2.0 * a, 0.0);
    const double scale = times_power_of_two(1.0, n);
    const double t = scale * p + (scale - 1.0);
    return copysign(t / (t + 2.0), x);
}

float nn_tanhf(float x)
{
    return (float)nn_tanh((double)x);
}

/* --- log ---------------------------------------------------------------------------------------- */

/* x = 2^e m, m in [sqrt(1/2), sqrt(2)). x positive and finite. */
static double split_exponent(double *e, double x)
{
    double shift = -1023.0;

    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift -= 54.0;
    }
    const uint64_t bits = bits_of(x);
    double m = from_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
    *e = (double)(bits >> 52) + shift;
    if (m >= 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        *e += 1.0;
    }
    return m;
}

/* e ln 2 + log(1 + f) + lo for 1 + f in [sqrt(1/2), sqrt(2)).
 *   s = f / (2 + f),  log(1 + f) = 2 s + s R(s^2) = f - (f^2/2 - s (f^2/2 + R))
 * The second form (K. C. Ng's) adds a small correction to the exact f. */
static double log_sum(double e, double f, double lo)
{
    static const double c[] = {0x1.5555555555555p-1, 0x1.9999999999c2ap-2, 0x1.24924924493b7p-2,
                               0x1.c71c723b0ab6ap-3, 0x1.745ce65c1bf4fp-3, 0x1.3b1f6f81563b8p-3,
                               0x1.0f75d3a412eccp-3, 0x1.0e93ec3047033p-3};
    const double s = f / (2.0 + f), z = s * s;
    const double half_square = 0.5 * f * f;
    const double tail = s * (half_square + z * poly(z, c, sizeof c / sizeof *c));

    return e * LN2_HI - ((half_square - (tail + (e * LN2_LO + lo))) - f);
}

double nn_log(double x)
{
    double e;

    if (!(x > 0.0)) return x == 0.0 ? -HUGE_VAL : not_a_number;
    if (x > 0x1.fffffffffffffp+1023) return x;
    const double m = split_exponent(&e, x);
    return log_sum(e, m - 1.0, 0.0);
}

float nn_logf(float x)
{
    return (float)nn_log((double)x);
}

double nn_log1p(double x)
{
    double e, lost;

    if (x > -0.29 && x < 0.41) return log_sum(0.0, x, 0.0);
    if (!(x > -1.0)) return x == -1.0 ? -HUGE_VAL : not_a_number;
    const double u = two_sum(&lost, 1.0, x);
    if (u > 0x1.fffffffffffffp+1023) return u;
    const double m = split_exponent(&e, u);
    return log_sum(e, m - 1.0, lost / u); /* log(u + lost) = log u + lost / u to first order */
}

double nn_softplus(double x)
{
    return (x > 0.0 ? x : 0.0) + nn_log1p(nn_exp(-fabs(x)));
}

/* --- pow ---------------------------------------------------------------------------------------- */

/* log x as a sum of two doubles, relative error about 2^-64; x positive and finite.
 *   log m = 2 s + 2/3 s^3 + s^5 T(s^2), s = (m-1)/(m+1): two terms in double-double, T (Taylor) in double. */
static double log_wide(double *lo, double x)
{
    static const double t[] = {2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13, 2.0 / 15,
                               2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23, 2.0 / 25};
    double e, den_lo, z_lo, cube_lo, third_lo, sum_lo, rest_lo;
    const double m = split_exponent(&e, x);

    /* 1. s by one division and its remainder. m - 1 is exact. */
    const double den = two_sum(&den_lo, m, 1.0), num = m - 1.0;
    const double s = num / den;
    const double s_lo = (fma(-s, den, num) - s * den_lo) / den;

    /* 2. 2/3 s^3, keeping the first-order errors. */
    const double z = two_prod(&z_lo, s, s);
    z_lo += 2.0 * s * s_lo;
    const double cube = two_prod(&cube_lo, s, z);
    cube_lo += s * z_lo + s_lo * z;
    const double third = two_prod(&third_lo, cube, 0x1.5555555555555p-1);
    third_lo += cube * 0x1.5555555555555p-55 + cube_lo * 0x1.5555555555555p-1;

    /* 3. Large to small: e ln 2, 2 s, the cube, the tail. */
    const double sum = two_sum(&sum_lo, e * LN2_HI, 2.0 * s);
    const double rest = two_sum(&rest_lo, sum, third);
    const double small = sum_lo + rest_lo + 2.0 * s_lo + third_lo + cube * z * poly(z, t, sizeof t / sizeof *t);
    return two_sum(lo, rest, small + e * LN2_LO);
}

static bool is_integer(double y)
{
    return rint(y) == y;
}

static bool is_odd(double y)
{
    return is_integer(y) && !is_integer(0.5 * y);
}

/* x^y = sign exp(y log |x|); special values as in ISO C99, F.9.4.4. */
double nn_pow(double x, double y)
{
    const double a = fabs(x);
    const double sign = signbit(x) && is_odd(y) ? -1.0 : 1.0;
    double log_lo = 0.0, prod_lo = 0.0;

    if (y == 0.0 || x == 1.0) return 1.0;
    if (isnan(x) || isnan(y)) return not_a_number;
    if (x < 0.0 && !isinf(x) && !is_integer(y)) return not_a_number;
    if (a == 1.0) return sign;

    double log_a = isinf(a) ? HUGE_VAL : -HUGE_VAL;
    if (a > 0.0 && !isinf(a)) log_a = log_wide(&log_lo, a);
    const double prod = y * log_a;
    if (prod > 1000.0) return sign * HUGE_VAL;
    if (prod < -1000.0) return sign * 0.0;
    prod_lo = fma(y, log_a, -prod) + y * log_lo;
    return sign * exp_wide(prod, prod_lo);
}

float nn_powf(float x, float y)
{
    return (float)nn_pow((double)x, (double)y);
}

/* --- sin and cos -------------------------------------------------------------------------------- */

/* x = n pi/2 + r + *r_lo, |r| <= pi/4 (Cody and Waite, three parts of pi/2, products kept exact).
 * Returns r; *quadrant = n mod 4. |x| < 2^50. */
static double reduce_quarter(double *r_lo, unsigned *quadrant, double x)
{
    double lost_1, lost_2, sum_1, sum_2;
    const double shifted = x * 0x1.45f306dc9c883p-1 + SHIFTER, n = shifted - SHIFTER;
    const double prod_1 = two_prod(&lost_1, n, 0x1.921fb54442d18p+0);
    const double prod_2 = two_prod(&lost_2, n, 0x1.1a62633145c07p-54);

    *quadrant = (unsigned)(bits_of(shifted) & 3u);
    double r = two_sum(&sum_1, x - prod_1, -lost_1); /* x - prod_1 is exact */
    r = two_sum(&sum_2, r, -prod_2);
    return two_sum(r_lo, r, sum_1 + sum_2 - lost_2 + n * 0x1.f1976b7ed8fb8p-110);
}

/* sin(r + r_lo), |r| <= pi/4: r + (r^3 S(r^2) + r_lo (1 - r^2/2)). */
static double sin_reduced(double r, double r_lo)
{
    static const double c[] = {-0x1.5555555555555p-3, 0x1.111111111110bp-7,
                               -0x1.a01a01a018b23p-13, 0x1.71de3a533dc5ap-19,
                               -0x1.ae64529d246d3p-26, 0x1.612095726b923p-33, -0x1.aaa67eae0ee62p-41};
    const double z = r * r;

    return r + (r * z * poly(z, c, sizeof c / sizeof *c) + r_lo * (1.0 - 0.5 * z));
}

/* cos(r + r_lo), |r| <= pi/4: 1 - r^2/2 is rounded once, what it lost joins r^4 C(r^2) - r r_lo. */
static double cos_reduced(double r, double r_lo)
{
    static const double c[] = {0x1.5555555555555p-5,  -0x1.6c16c16c16c12p-10,
                               0x1.a01a01a0191d5p-16, -0x1.27e4fb7638465p-22,
                               0x1.1eed8cde95aa4p-29, -0x1.93937499c61c9p-37, 0x1.aade85e46fbf8p-45};
    const double z = r * r, half = 0.5 * z, head = 1.0 - half;

    return head + (((1.0 - head) - half) + (z * z * poly(z, c, sizeof c / sizeof *c) - r * r_lo));
}

/* sin(x + turns pi/2) */
static double sin_from_quadrant(double x, unsigned turns)
{
    double r_lo;
    unsigned quadrant;

    if (!(fabs(x) < 0x1p50)) return not_a_number;
    const double r = reduce_quarter(&r_lo, &quadrant, x);
    const unsigned q = (quadrant + turns) & 3u;
    const double v = q & 1u ? cos_reduced(r, r_lo) : sin_reduced(r, r_lo);
    return q & 2u ? -v : v;
}

double nn_sin(double x)
{
    return x == 0.0 ? x : sin_from_quadrant(x, 0); /* keeps the sign of zero */
}

double nn_cos(double x)
{
    return sin_from_quadrant(x, 1);
}

float nn_sinf(float x)
{
    return (float)nn_sin((double)x);
}

float nn_cosf(float x)
{
    return (float)nn_cos((double)x);
}
