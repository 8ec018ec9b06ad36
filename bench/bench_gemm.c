/* bench_gemm.c - our matrix product beside OpenBLAS, call by call in turn, in one process.
 *
 * Usage: bench_gemm [THREADS]        THREADS is 1 unless given.
 * Prints GFLOP/s (median of the rounds) of both and the median of the rounds' ratios ours / OpenBLAS. Machines drift;
 * a ratio of neighbours in time drifts less. OpenBLAS is looked for when the program starts (libopenblas.so.0; set
 * LD_LIBRARY_PATH for one elsewhere); without it its columns are empty and the skip is counted.
 * Before timing, one result is compared with the textbook loop, so that a fast wrong product cannot win.
 */
#include "nn/ops.h"
#include "nn/plat.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

typedef void (*sgemm_fn)(int order, int ta, int tb, int M, int N, int K, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);
typedef void (*set_threads_fn)(int n);

typedef struct {
    nn_form form;
    size_t M, N, K;
} shape;

static const shape shapes[] = {
    {NN_NT, 512, 512, 512},  {NN_NN, 512, 512, 512},  {NN_TN, 512, 512, 512},   {NN_NT, 256, 128, 128},
    {NN_NT, 1024, 512, 128}, {NN_NT, 1024, 1024, 256}, {NN_NN, 1024, 1024, 256}, {NN_TN, 1024, 1024, 256},
    {NN_NT, 256, 8192, 256}, {NN_TN, 512, 128, 1024}, {NN_NT, 1, 512, 512},     {NN_NT, 1, 1024, 1024},
    {NN_NT, 2, 512, 512},    {NN_NT, 4, 512, 512},    {NN_NT, 8, 512, 512},     {NN_NT, 8, 2048, 512},
    {NN_NT, 32, 512, 512},   {NN_NT, 32, 1024, 1024}, {NN_NN, 1, 512, 512},     {NN_NN, 8, 512, 512},
};

/* A data pointer to a function pointer, which ISO C has no cast for. */
static void find_symbol(void *library, const char *name, void *function)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    memcpy(function, &symbol, sizeof symbol);
}

static void ours(const nn_exec *x, const shape *s, float *c, const float *a, const float *b)
{
    nn_matmul(x, s->form, c, a, b, s->M, s->N, s->K, false);
}

static void theirs(sgemm_fn sgemm, const shape *s, float *c, const float *a, const float *b)
{
    const int M = (int)s->M, N = (int)s->N, K = (int)s->K;

    sgemm(ROW_MAJOR, s->form == NN_TN ? TRANS : NO_TRANS, s->form == NN_NT ? TRANS : NO_TRANS, M, N, K, 1.0f, a,
          s->form == NN_TN ? M : K, b, s->form == NN_NT ? K : N, 0.0f, c, N);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, by_value);
    return v[ROUNDS / 2];
}

/* Seconds of one call, from `reps` in a row. */
static double seconds(const nn_exec *x, sgemm_fn sgemm, const shape *s, float *c, const float *a, const float *b,
                      size_t reps)
{
    const double start = nn_now_s();
    for (size_t i = 0; i < reps; i++) {
        if (sgemm) theirs(sgemm, s, c, a, b);
        else ours(x, s, c, a, b);
    }
    return (nn_now_s() - start) / (double)reps;
}

static void measure(const nn_exec *x, sgemm_fn sgemm, const shape *s, float *c, const float *a, const float *b)
{
    const double flop = 2.0 * (double)s->M * (double)s->N * (double)s->K;
    const size_t reps = (size_t)(1e8 / flop) + 1;
    double us[ROUNDS], them[ROUNDS], ratio[ROUNDS];

    for (size_t r = 0; r < ROUNDS; r++) {
        us[r] = flop / seconds(x, NULL, s, c, a, b, reps) * 1e-9;
        them[r] = sgemm ? flop / seconds(x, sgemm, s, c, a, b, reps) * 1e-9 : 0.0;
        ratio[r] = sgemm ? us[r] / them[r] : 0.0;
    }
    printf("%s %5zu %5zu %5zu %8.1f", s->form == NN_NN ? "NN" : s->form == NN_NT ? "NT" : "TN", s->M, s->N, s->K,
           median(us));
    if (sgemm) printf(" %8.1f %6.2f", median(them), median(ratio));
    printf("\n");
    fflush(stdout);
}

static bool textbook_bytes(const nn_exec *x, float *c, const float *a, const float *b)
{
    const shape s = {NN_NT, 37, 53, 300};

    ours(x, &s, c, a, b);
    for (size_t m = 0; m < s.M; m++)
        for (size_t n = 0; n < s.N; n++) {
            float sum = 0.0f;
            for (size_t k = 0; k < s.K; k++) sum = fmaf(a[m * s.K + k], b[n * s.K + k], sum);
            if (memcmp(&sum, &c[m * s.N + n], sizeof sum) != 0) return false;
        }
    return true;
}

int main(int argc, char **argv)
{
    const size_t threads = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1, room = (size_t)4 << 20;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    sgemm_fn sgemm = NULL;
    set_threads_fn set_threads = NULL;
    nn_exec x = {0};
    nn_err err = {0};
    float *a = malloc(room * sizeof *a), *b = malloc(room * sizeof *b), *c = malloc(room * sizeof *c);
    int status = 1;

    if (!a || !b || !c || nn_exec_open(&x, NULL, threads, 1, &err) != NN_OK) {
        fprintf(stderr, "bench_gemm: %s\n", err.status ? err.text : "no memory");
        goto done;
    }
    find_symbol(library, "cblas_sgemm", &sgemm);
    find_symbol(library, "openblas_set_num_threads", &set_threads);
    if (set_threads) set_threads((int)threads);
    for (size_t i = 0; i < room; i++) {
        a[i] = (float)(i * 2654435761u % 2048u) / 1024.0f - 1.0f;
        b[i] = (float)(i * 2246822519u % 2048u) / 1024.0f - 1.0f;
    }
    if (!textbook_bytes(&x, c, a, b)) {
        fprintf(stderr, "bench_gemm: the product is not the textbook loop's\n");
        goto done;
    }
    printf("table %s, %zu thread%s; GFLOP/s: ours, OpenBLAS, ratio\n", x.k->name, x.par.threads,
           x.par.threads == 1 ? "" : "s");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) measure(&x, sgemm, &shapes[i], c, a, b);
    if (!sgemm) printf("skip: no libopenblas.so.0, nothing to compare with\n");
    printf("%d skipped\n", sgemm ? 0 : 1);
    status = 0;
done:
    nn_exec_free(&x);
    if (library) dlclose(library);
    free(a);
    free(b);
    free(c);
    return status;
}
