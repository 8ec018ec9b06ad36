/* peer_blas.c - OpenBLAS and BLIS. */
#include "bench/peer_blas.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

typedef void (*set_threads_fn)(int n);
typedef void (*set_threads_long_fn)(long n);
typedef const char *(*text_fn)(void);

/* A data pointer to a function pointer, which ISO C has no cast for. */
static void find_symbol(void *library, const char *name, void *function)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    memcpy(function, &symbol, sizeof symbol);
}

/* A BLAS with threads of its own fights with everybody else's OpenMP threads (docs/numbers.md), so the variant that
 * uses OpenMP is taken where Debian puts it before the default one. */
static void open_first(peer_blas *p, const char *const *path, size_t n)
{
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < n && !p->library; i++) p->library = dlopen(path[i], RTLD_NOW | RTLD_LOCAL);
    find_symbol(p->library, "cblas_sgemm", &p->sgemm);
    find_symbol(p->library, "cblas_sgemv", &p->sgemv);
    if (!p->sgemv) p->sgemm = NULL;
}

void peer_openblas_open(peer_blas *p, size_t threads)
{
    static const char *const path[] = {"/usr/lib/x86_64-linux-gnu/openblas-openmp/libopenblas.so.0",
                                       "/usr/lib/aarch64-linux-gnu/openblas-openmp/libopenblas.so.0",
                                       "libopenblas.so.0"};
    set_threads_fn set_threads = NULL;
    text_fn config = NULL;

    open_first(p, path, sizeof path / sizeof path[0]);
    find_symbol(p->library, "openblas_set_num_threads", &set_threads);
    find_symbol(p->library, "openblas_get_config", &config);
    if (set_threads) set_threads((int)threads);
    if (config) snprintf(p->version, sizeof p->version, "%s", config());
}

void peer_blis_open(peer_blas *p, size_t threads)
{
    static const char *const path[] = {"/usr/lib/x86_64-linux-gnu/blis-openmp/libblis.so.4",
                                       "/usr/lib/aarch64-linux-gnu/blis-openmp/libblis.so.4", "libblis.so.4"};
    set_threads_long_fn set_threads = NULL;
    text_fn version = NULL;

    open_first(p, path, sizeof path / sizeof path[0]);
    find_symbol(p->library, "bli_thread_set_num_threads", &set_threads);
    find_symbol(p->library, "bli_info_get_version_str", &version);
    if (set_threads) set_threads((long)threads);
    if (version) snprintf(p->version, sizeof p->version, "BLIS %s", version());
}

void peer_blas_close(peer_blas *p)
{
    p->sgemm = NULL; /* the library stays: OpenMP threads may still sleep in it */
}

void peer_blas_matmul(const peer_blas *p, nn_form form, float *c, const float *a, const float *b, size_t M, size_t N,
                      size_t K)
{
    const int m = (int)M, n = (int)N, k = (int)K;

    p->sgemm(ROW_MAJOR, form == NN_TN ? TRANS : NO_TRANS, form == NN_NT ? TRANS : NO_TRANS, m, n, k, 1.0f, a,
             form == NN_TN ? m : k, b, form == NN_NT ? k : n, 0.0f, c, n);
}

void peer_blas_few(const peer_blas *p, float *c, const float *a, const float *b, size_t M, size_t N, size_t K)
{
    if (M == 1) p->sgemv(ROW_MAJOR, NO_TRANS, (int)N, (int)K, 1.0f, b, (int)K, a, 1, 0.0f, c, 1);
    else peer_blas_matmul(p, NN_NT, c, a, b, M, N, K);
}
