/* peak.c - loops at the limit of a core. */
#include "bench/peak.h"
#include "nn/plat.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { TRIES = 11, CHAINS = 12, STEPS = 1600000, READ_TRIES = 5, STREAMS = 4 };

typedef struct {
    size_t steps;
    const unsigned char *bytes;
    size_t len, streams;
    unsigned long long kept[NN_PAR_MAX]; /* what a loop computed: without a reader it would not be there */
} job;

/* Seconds of fn on every thread at once, the least of `tries`. */
static double fastest(const nn_exec *x, nn_par_fn fn, job *j, size_t tries)
{
    double best = 0.0;

    for (size_t i = 0; i <= tries; i++) { /* the first one warms up */
        const double start = nn_now_s();
        nn_par_run(&x->par, x->par.threads, 1, fn, j);
        const double took = nn_now_s() - start;

        if (i > 0 && (best <= 0.0 || took < best)) best = took;
    }
    return best;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void fma_256(void *ctx, size_t first, size_t last, size_t thread)
{
    job *j = ctx;
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    __m256 c[CHAINS];
    float out[8];

    (void)first, (void)last;
    for (size_t i = 0; i < CHAINS; i++) c[i] = _mm256_set1_ps((float)i);
    for (size_t s = 0; s < j->steps; s++)
        for (size_t i = 0; i < CHAINS; i++) c[i] = _mm256_fmadd_ps(c[i], a, b);
    for (size_t i = 1; i < CHAINS; i++) c[0] = _mm256_add_ps(c[0], c[i]);
    _mm256_storeu_ps(out, c[0]);
    j->kept[thread] = (unsigned long long)out[0];
}

__attribute__((target("avx512f"))) static void fma_512(void *ctx, size_t first, size_t last, size_t thread)
{
    job *j = ctx;
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    __m512 c[CHAINS];
    float out[16];

    (void)first, (void)last;
    for (size_t i = 0; i < CHAINS; i++) c[i] = _mm512_set1_ps((float)i);
    for (size_t s = 0; s < j->steps; s++)
        for (size_t i = 0; i < CHAINS; i++) c[i] = _mm512_fmadd_ps(c[i], a, b);
    for (size_t i = 1; i < CHAINS; i++) c[0] = _mm512_add_ps(c[0], c[i]);
    _mm512_storeu_ps(out, c[0]);
    j->kept[thread] = (unsigned long long)out[0];
}

__attribute__((target("avx512f,avx512vnni"))) static void dot_512(void *ctx, size_t first, size_t last, size_t thread)
{
    job *j = ctx;
    const __m512i a = _mm512_set1_epi32((int)thread + 1), b = _mm512_set1_epi32(3);
    __m512i c[CHAINS];
    int out[16];

    (void)first, (void)last;
    for (size_t i = 0; i < CHAINS; i++) c[i] = _mm512_set1_epi32((int)i);
    for (size_t s = 0; s < j->steps; s++)
        for (size_t i = 0; i < CHAINS; i++) c[i] = _mm512_dpbusd_epi32(c[i], a, b);
    for (size_t i = 1; i < CHAINS; i++) c[0] = _mm512_add_epi32(c[0], c[i]);
    _mm512_storeu_si512(out, c[0]);
    j->kept[thread] = (unsigned long long)out[0];
}

double peak_fma_gflops(const nn_exec *x)
{
    job j = {.steps = STEPS};
    const double steps = (double)STEPS * CHAINS * 2.0 * (double)x->par.threads * 1e-9;
    double best = 0.0;

    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        best = 8.0 * steps / fastest(x, fma_256, &j, TRIES);
    if (__builtin_cpu_supports("avx512f")) {
        const double wide = 16.0 * steps / fastest(x, fma_512, &j, TRIES);
        if (wide > best) best = wide;
    }
    return best;
}

double peak_i8_gops(const nn_exec *x)
{
    job j = {.steps = STEPS};

    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512vnni")) return 0.0;
    return 64.0 * 2.0 * CHAINS * (double)STEPS * (double)x->par.threads / fastest(x, dot_512, &j, TRIES) * 1e-9;
}
#define READ_TARGET __attribute__((target("avx2")))
#else
double peak_fma_gflops(const nn_exec *x)
{
    (void)x;
    return 0.0;
}

double peak_i8_gops(const nn_exec *x)
{
    (void)x;
    return 0.0;
}
#define READ_TARGET
#endif

/* The thread's part of the buffer in `streams` runs side by side, 256 bytes of each in turn. */
READ_TARGET static void read_all(void *ctx, size_t first, size_t last, size_t thread)
{
    job *j = ctx;
    const size_t block = 256 / sizeof(unsigned long long);
    const size_t words = (last - first) / j->streams / 256 * block;
    const unsigned long long *p = (const unsigned long long *)(const void *)(j->bytes + first);
    unsigned long long lane[32] = {0};

    for (size_t i = 0; i < words; i += block)
        for (size_t s = 0; s < j->streams; s++)
            for (size_t l = 0; l < block; l++) lane[l] += p[s * words + i + l];
    for (size_t l = 1; l < block; l++) lane[0] += lane[l];
    j->kept[thread] = lane[0];
}

double peak_read_gbs(const nn_exec *x, const void *bytes, size_t len)
{
    job j = {.bytes = bytes, .len = len};
    double best = 0.0;
    const size_t repeats = len < ((size_t)64 << 20) ? ((size_t)64 << 20) / (len + 1) + 1 : 1;

    for (j.streams = 1; j.streams <= STREAMS; j.streams *= STREAMS)
        for (size_t i = 0; i < READ_TRIES; i++) {
            const double start = nn_now_s();

            for (size_t r = 0; r < repeats; r++) nn_par_run(&x->par, len, len / x->par.threads, read_all, &j);
            const double rate = (double)len * (double)repeats / (nn_now_s() - start) * 1e-9;
            if (rate > best) best = rate;
        }
    return best;
}
