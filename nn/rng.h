/* rng.h - random draws as a function, not a stream.
 *
 * Why: a draw is a function of (seed, stream name, row id, position), never "the
 * next number". Batch size, thread count, retiring and resuming then change
 * nothing. The mixing function is splitmix64's finaliser (Steele, Lea, Flood 2014)
 * applied over the four words.
 * At most one draw in an expression: gcc and clang evaluate arguments in opposite orders.
 */
#ifndef NN_RNG_H
#define NN_RNG_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t key; /* of (seed, stream, row) */
    uint64_t pos; /* next position; set it to draw anywhere */
} nn_rng;

uint64_t nn_hash64(const void *bytes, size_t len, uint64_t seed); /* stable, portable, not cryptographic */
uint64_t nn_mix64(uint64_t x);

nn_rng nn_rng_at(uint64_t seed, const char *stream, uint64_t row);
uint64_t nn_rng_u64(nn_rng *r);
uint64_t nn_rng_below(nn_rng *r, uint64_t n); /* 0..n-1 without modulo bias, n > 0; one position */
float nn_rng_float(nn_rng *r);                /* [0,1), 24 bits */
double nn_rng_double(nn_rng *r);              /* [0,1), 53 bits */
double nn_rng_normal(nn_rng *r);              /* Box-Muller on nn/mathf; one position */
/* A permutation of 0..n-1 (Fisher-Yates), order[n] owned by the caller. */
void nn_rng_shuffle(nn_rng *r, size_t *order, size_t n);
#endif
