/* decimal.c - exact rounding of decimal numbers by long division (Clinger 1990, algorithm AlgorithmM, restated).
 *
 * Reads: decimal.h.
 * Why so plain: value = N / D with integers of at most 3,800 bits; scaled so that 1 <= N / D < 2, one compare and one
 * subtraction give each of the 53 bits, and what is left decides the rounding.
 */
#include "nn/decimal.h"
#include "nn/err.h"
#include <string.h>

/* N: 769 digits or 10^308, below 2^2556; D: 10^(769 + 324), below 2^3632; 64 bits more for the scaling. */
#define LIMBS 120u
#define EXP_MIN (-1022) /* of a normal double */
#define EXP_MAX 1023
#define DIGITS_BELOW 1100 /* 10^-1100 times 769 digits is far below half of the smallest double */

typedef struct {
    uint32_t limb[LIMBS]; /* least significant first */
    size_t n;             /* no zero limb on top */
} big;

static void big_times_plus(big *a, uint32_t factor, uint32_t carry)
{
    for (size_t i = 0; i < a->n; i++) {
        const uint64_t v = (uint64_t)a->limb[i] * factor + carry;

        a->limb[i] = (uint32_t)(v & UINT32_MAX);
        carry = (uint32_t)(v >> 32);
    }
    if (carry == 0) return;
    NN_ASSERT(a->n < LIMBS);
    a->limb[a->n++] = carry;
}

static void big_times_power_of_ten(big *a, int64_t k)
{
    for (; k >= 9; k -= 9) big_times_plus(a, 1000000000u, 0);
    for (; k > 0; k--) big_times_plus(a, 10u, 0);
}

static int64_t big_bits(const big *a)
{
    uint32_t top = a->limb[a->n - 1];
    int64_t bits = 32 * (int64_t)(a->n - 1);

    for (; top != 0; top >>= 1) bits++;
    return bits;
}

static void big_shift_left(big *a, int64_t bits)
{
    const size_t whole = (size_t)(bits / 32), part = (size_t)(bits % 32);

    if (part > 0) big_times_plus(a, 1u << part, 0);
    if (whole == 0) return;
    NN_ASSERT(a->n + whole <= LIMBS);
    memmove(a->limb + whole, a->limb, a->n * sizeof *a->limb);
    memset(a->limb, 0, whole * sizeof *a->limb);
    a->n += whole;
}

static int big_compare(const big *a, const big *b)
{
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (size_t i = a->n; i-- > 0;)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* a -= b, a >= b */
static void big_subtract(big *a, const big *b)
{
    uint32_t borrow = 0;

    for (size_t i = 0; i < a->n; i++) {
        const uint64_t take = (uint64_t)(i < b->n ? b->limb[i] : 0) + borrow;

        borrow = take > a->limb[i];
        a->limb[i] = (uint32_t)((a->limb[i] - take) & UINT32_MAX);
    }
    while (a->n > 0 && a->limb[a->n - 1] == 0) a->n--;
}

static double from_bits(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* num / den 2^e with 1 <= num / den < 2. */
static double rounded(big *num, const big *den, int64_t e)
{
    const int64_t lost = e < EXP_MIN ? EXP_MIN - e : 0; /* a subnormal has fewer bits */
    uint64_t q = 0;

    if (e > EXP_MAX) return from_bits(UINT64_C(0x7ff) << 52);
    if (lost > 53) return 0.0;
    for (int64_t i = lost; i < 53; i++) {
        q <<= 1;
        if (big_compare(num, den) >= 0) {
            big_subtract(num, den);
            q |= 1;
        }
        big_times_plus(num, 2, 0);
    }
    const int half = big_compare(num, den);
    if (half > 0 || (half == 0 && q % 2 == 1)) q++;
    /* Added, not or-ed: the carry of a q that became 2^53 belongs to the exponent. */
    return from_bits(lost > 0 ? q : ((uint64_t)(e - EXP_MIN) << 52) + q);
}

double nn_decimal_f64(const char *digit, size_t n, int64_t exp10)
{
    big num = {{0}, 0}, den = {{1}, 1};

    NN_ASSERT(n <= NN_DECIMAL_DIGITS + 1);
    while (n > 0 && *digit == '0') digit++, n--;
    if (n == 0 || exp10 < -DIGITS_BELOW) return 0.0;
    if (exp10 > EXP_MAX || (int64_t)n + exp10 > 310) return from_bits(UINT64_C(0x7ff) << 52);
    for (size_t i = 0; i < n; i++) big_times_plus(&num, 10u, (uint32_t)(digit[i] - '0'));
    if (exp10 > 0) big_times_power_of_ten(&num, exp10);
    else big_times_power_of_ten(&den, -exp10);

    int64_t e = big_bits(&num) - big_bits(&den);
    big_shift_left(e > 0 ? &den : &num, e > 0 ? e : -e);
    if (big_compare(&num, &den) < 0) {
        big_times_plus(&num, 2, 0);
        e--;
    }
    return rounded(&num, &den, e);
}
