/* sha256_x86.c - SHA-256's compression with x86's SHA extensions. Build with -msha -msse4.1.
 *
 * Reads: sha256_impl.h.
 * Why: a guard's file is hashed when it is opened; of the time from process start to first verdict that was half.
 * 10 MB take 7 ms with these instructions, 36 ms in plain C (an EPYC of 2022). They compute FIPS 180-4's rounds:
 * there is one answer.
 */
#include "nn/sha256_impl.h"

#if defined(__SHA__) && defined(__SSE4_1__)
#include <cpuid.h>
#include <immintrin.h>

/* Intel's manual names the two halves of the state ABEF and CDGH, highest lane first. */
static void load_state(__m128i half[2], const uint32_t s[8])
{
    half[0] = _mm_set_epi32((int)s[0], (int)s[1], (int)s[4], (int)s[5]);
    half[1] = _mm_set_epi32((int)s[2], (int)s[3], (int)s[6], (int)s[7]);
}

static void store_state(uint32_t s[8], const __m128i half[2])
{
    uint32_t lane[8]; /* F E B A  H G D C */

    _mm_storeu_si128((__m128i *)(void *)lane, half[0]);
    _mm_storeu_si128((__m128i *)(void *)(lane + 4), half[1]);
    for (size_t i = 0; i < 4; i++) {
        s[i / 2 * 4 + i % 2] = lane[3 - i];
        s[i / 2 * 4 + i % 2 + 2] = lane[7 - i];
    }
}

static void compress(__m128i half[2], const unsigned char *block)
{
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const __m128i none = _mm_setzero_si128();
    __m128i abef = half[0], cdgh = half[1];
    __m128i w[4] = {none, none, none, none}; /* the last 16 words of the message schedule, four in each */

    for (size_t g = 0; g < 16; g++) { /* four rounds each */
        __m128i *now = &w[g % 4];
        const __m128i one = w[(g + 1) % 4], two = w[(g + 2) % 4], three = w[(g + 3) % 4];

        if (g < 4)
            *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + 16 * g)), big_endian);
        else
            *now = _mm_sha256msg2_epu32(
                _mm_add_epi32(_mm_sha256msg1_epu32(*now, one), _mm_alignr_epi8(three, two, 4)), three);
        const __m128i sum =
            _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)(const void *)(nn_sha256_word + 4 * g)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
    }
    half[0] = _mm_add_epi32(half[0], abef);
    half[1] = _mm_add_epi32(half[1], cdgh);
}

static void blocks_x86(uint32_t state[8], const unsigned char *blocks, size_t n)
{
    __m128i half[2];

    load_state(half, state);
    for (size_t i = 0; i < n; i++) compress(half, blocks + 64 * i);
    store_state(state, half);
}

/* clang 14 has no name for the SHA extensions in __builtin_cpu_supports: leaf 7, EBX bit 29; SSSE3 and SSE4.1: leaf 1,
 * ECX bits 9 and 19. */
nn_sha256_fn nn_sha256_x86(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 29 & 1u)) return NULL;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 9 & 1u) || !(c >> 19 & 1u)) return NULL;
    return blocks_x86;
}
#else
nn_sha256_fn nn_sha256_x86(void)
{
    return NULL;
}
#endif
