#include "nn/sha256.h"
#include <string.h>

/* FIPS 180-4, section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the
 * first 64 primes; the initial state (5.3.3) uses the square roots of the first 8. */
static const uint32_t round_word[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32u - n);
}

/* One block (6.2.2). */
static void compress(uint32_t state[8], const unsigned char block[64])
{
    uint32_t w[64], v[8];

    /* 1. The message schedule. */
    for (size_t t = 0; t < 16; t++) {
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
               block[4 * t + 3];
    }
    for (size_t t = 16; t < 64; t++) {
        const uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        const uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;

        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }

    /* 2. 64 rounds over a..h = v[0..7]. */
    memcpy(v, state, sizeof v);
    for (size_t t = 0; t < 64; t++) {
        const uint32_t sum1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        const uint32_t t1 = v[7] + sum1 + choice + round_word[t] + w[t];
        const uint32_t sum0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);

        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + sum0 + majority;
    }

    /* 3. Add to the state. */
    for (size_t i = 0; i < 8; i++) state[i] += v[i];
}

void nn_sha256_init(nn_sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memset(s, 0, sizeof *s);
    memcpy(s->state, start, sizeof start);
}

void nn_sha256_add(nn_sha256 *s, const void *bytes, size_t len)
{
    const unsigned char *b = bytes;

    while (len > 0) {
        const size_t used = (size_t)(s->bytes % 64);
        const size_t n = len < 64 - used ? len : 64 - used;

        memcpy(s->block + used, b, n);
        s->bytes += n;
        b += n;
        len -= n;
        if (used + n == 64) compress(s->state, s->block);
    }
}

void nn_sha256_end(nn_sha256 *s, unsigned char digest[32])
{
    static const unsigned char pad[64] = {0x80};
    const uint64_t bits = s->bytes * 8;
    const size_t used = (size_t)(s->bytes % 64);
    unsigned char length[8];

    for (size_t i = 0; i < 8; i++) length[i] = (unsigned char)(bits >> (56 - 8 * i));
    nn_sha256_add(s, pad, used < 56 ? 56 - used : 120 - used);
    nn_sha256_add(s, length, sizeof length);
    for (size_t i = 0; i < 32; i++) digest[i] = (unsigned char)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

void nn_sha256_end_hex(nn_sha256 *s, char hex[NN_SHA256_HEX])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char digest[32];

    nn_sha256_end(s, digest);
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digit[digest[i] >> 4];
        hex[2 * i + 1] = digit[digest[i] & 15];
    }
    hex[64] = '\0';
}

void nn_sha256_hex(const void *bytes, size_t len, char hex[NN_SHA256_HEX])
{
    nn_sha256 s;

    nn_sha256_init(&s);
    nn_sha256_add(&s, bytes, len);
    nn_sha256_end_hex(&s, hex);
}
