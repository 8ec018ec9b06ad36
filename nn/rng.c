#include "nn/rng.h"
#include "nn/err.h"
#include "nn/mathf.h"
#include <math.h>
#include <string.h>

/* 2^64 divided by the golden ratio, odd: the step of splitmix64's counter. */
#define GOLDEN 0x9e3779b97f4a7c15u

/* splitmix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators",
 * with Stafford's variant 13 of the constants): a bijection that lets every input bit flip every
 * output bit with probability near 1/2. */
uint64_t nn_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t nn_hash64(const void *bytes, size_t len, uint64_t seed)
{
    const unsigned char *b = bytes;
    uint64_t h = nn_mix64(seed ^ (uint64_t)len * GOLDEN);

    for (size_t i = 0; i < len; i += 8) {
        const size_t n = len - i < 8 ? len - i : 8;
        uint64_t word = 0; /* little-endian on every machine */

        for (size_t j = 0; j < n; j++) word |= (uint64_t)b[i + j] << 8 * j;
        h = nn_mix64((h + GOLDEN) ^ word);
    }
    return h;
}

nn_rng nn_rng_at(uint64_t seed, const char *stream, uint64_t row)
{
    const uint64_t of_seed = nn_mix64(seed + GOLDEN);
    const uint64_t of_stream = nn_hash64(stream, strlen(stream), of_seed);

    return (nn_rng){nn_mix64((of_stream + GOLDEN) ^ nn_mix64(row + GOLDEN)), 0};
}

/* Position p of a key is output p of the splitmix64 generator that starts from that key. */
uint64_t nn_rng_u64(nn_rng *r)
{
    r->pos++;
    return nn_mix64(r->key + r->pos * GOLDEN);
}

/* *high, *low = a * b in 128 bits, from 32-bit halves (no wider integer in ISO C99). */
static void multiply_wide(uint64_t *high, uint64_t *low, uint64_t a, uint64_t b)
{
    const uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
    const uint64_t mid = a1 * b0 + (a0 * b0 >> 32);
    const uint64_t mid2 = a0 * b1 + (mid & 0xffffffffu);

    *high = a1 * b1 + (mid >> 32) + (mid2 >> 32);
    *low = a * b;
}

/* Lemire 2019 (arXiv:1805.10941): the high half of x * n is uniform once the lowest 2^64 mod n values
 * of the low half are rejected. A rejected x is mixed again, so a draw takes one position in any case. */
uint64_t nn_rng_below(nn_rng *r, uint64_t n)
{
    uint64_t x = nn_rng_u64(r), high = 0, low = 0;

    NN_ASSERT(n > 0);
    const uint64_t reject = (0 - n) % n; /* 2^64 mod n */
    for (;;) {
        multiply_wide(&high, &low, x, n);
        if (low >= reject) return high;
        x = nn_mix64(x + GOLDEN);
    }
}

float nn_rng_float(nn_rng *r)
{
    return (float)(nn_rng_u64(r) >> 40) * 0x1p-24f;
}

static double unit_double(uint64_t x)
{
    return (double)(x >> 11) * 0x1p-53;
}

double nn_rng_double(nn_rng *r)
{
    return unit_double(nn_rng_u64(r));
}

/* Box and Muller 1958: sqrt(-2 log u) cos(2 pi v); u in (0, 1] so that the log is finite. */
double nn_rng_normal(nn_rng *r)
{
    const uint64_t first = nn_rng_u64(r);
    const double u = 1.0 - unit_double(first);
    const double v = unit_double(nn_mix64(first + GOLDEN));

    return sqrt(-2.0 * nn_log(u)) * nn_cos(6.283185307179586 * v);
}

void nn_rng_shuffle(nn_rng *r, size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i-- > 1;) {
        const size_t j = (size_t)nn_rng_below(r, (uint64_t)i + 1);
        const size_t held = order[i];

        order[i] = order[j];
        order[j] = held;
    }
}
