#include "nn/sha256.h"
#include "nn/sha256_impl.h"
#include <string.h>

enum { BLOCK = 64, LONG = 1 << 16 }; /* bytes; LONG: worth asking the CPU what it has (sha256_impl.h) */

/* FIPS 180-4, section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the
 * first 64 primes; the initial state (5.3.3) uses the square roots of the first 8. */
const uint32_t nn_sha256_word[64] = {
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

/* One round (6.2.2, step 3). WHY pointers: instead of moving a to b, b to c ... the caller hands the variables on under
 * their next names; moving them was most of the time. */
static inline void step(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g,
                        uint32_t *h, uint32_t word)
{
    const uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), choice = (e & f) ^ (~e & g);
    const uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
    const uint32_t t1 = *h + sum1 + choice + word;

    *d += t1;
    *h = t1 + sum0 + majority;
}

/* One block (6.2.2). */
static void compress(uint32_t state[8], const unsigned char *block)
{
    uint32_t w[64];

    /* 1. The message schedule, with the round's constant added afterwards. */
    for (size_t t = 0; t < 16; t++) {
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
               block[4 * t + 3];
    }
    for (size_t t = 16; t < 64; t++) {
        const uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        const uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;

        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    for (size_t t = 0; t < 64; t++) w[t] += nn_sha256_word[t];

    /* 2. 64 rounds, eight at a time: then the variables have their names back. */
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (size_t t = 0; t < 64; t += 8) {
        step(a, b, c, &d, e, f, g, &h, w[t]);
        step(h, a, b, &c, d, e, f, &g, w[t + 1]);
        step(g, h, a, &b, c, d, e, &f, w[t + 2]);
        step(f, g, h, &a, b, c, d, &e, w[t + 3]);
        step(e, f, g, &h, a, b, c, &d, w[t + 4]);
        step(d, e, f, &g, h, a, b, &c, w[t + 5]);
        step(c, d, e, &f, g, h, a, &b, w[t + 6]);
        step(b, c, d, &e, f, g, h, &a, w[t + 7]);
    }

    /* 3. Add to the state. */
    const uint32_t v[8] = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; i++) state[i] += v[i];
}

void nn_sha256_plain(uint32_t state[8], const unsigned char *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) compress(state, blocks + BLOCK * i);
}

void nn_sha256_init(nn_sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memset(s, 0, sizeof *s);
    memcpy(s->state, start, sizeof start);
}

/* Whole blocks, where they lie. */
static void add_blocks(nn_sha256 *s, const unsigned char *b, size_t n)
{
    const nn_sha256_fn fast = n * BLOCK >= LONG ? nn_sha256_x86() : NULL;

    if (fast) fast(s->state, b, n);
    else nn_sha256_plain(s->state, b, n);
}

void nn_sha256_add(nn_sha256 *s, const void *bytes, size_t len)
{
    const unsigned char *b = bytes;
    const size_t used = (size_t)(s->bytes % BLOCK), rest = used ? BLOCK - used : 0, fill = len < rest ? len : rest;

    s->bytes += len;
    if (fill > 0) memcpy(s->block + used, b, fill); /* completes the block that was begun, or tries to */
    if (used > 0 && used + fill == BLOCK) add_blocks(s, s->block, 1);
    if (len <= fill) return;
    b += fill;
    len -= fill;
    add_blocks(s, b, len / BLOCK);
    if (len % BLOCK) memcpy(s->block, b + len / BLOCK * BLOCK, len % BLOCK);
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
