/* peer_blas.h - a BLAS found when the program starts: OpenBLAS or BLIS through their C interface.
 *
 * Why dlopen: `make bench` builds and runs on a machine that has neither, and two libraries that export the same
 * names can be in one process.
 */
#ifndef BENCH_PEER_BLAS_H
#define BENCH_PEER_BLAS_H
#include "nn/ops.h"

typedef void (*peer_sgemm_fn)(int order, int ta, int tb, int M, int N, int K, float alpha, const float *a, int lda,
                              const float *b, int ldb, float beta, float *c, int ldc);
typedef void (*peer_sgemv_fn)(int order, int ta, int M, int N, float alpha, const float *a, int lda, const float *x,
                              int step_x, float beta, float *y, int step_y);

typedef struct {
    void *library;
    peer_sgemm_fn sgemm; /* NULL: not there */
    peer_sgemv_fn sgemv;
    char version[128];
} peer_blas;

void peer_openblas_open(peer_blas *p, size_t threads); /* libopenblas.so.0, the OpenMP variant first */
void peer_blis_open(peer_blas *p, size_t threads);     /* libblis.so.4, the same */
void peer_blas_close(peer_blas *p);

/* C = A B in one of the three forms, dense row-major, C overwritten. */
void peer_blas_matmul(const peer_blas *p, nn_form form, float *c, const float *a, const float *b, size_t M, size_t N,
                      size_t K);
/* C = A B^T at its best for few rows: one row is sgemv. */
void peer_blas_few(const peer_blas *p, float *c, const float *a, const float *b, size_t M, size_t N, size_t K);
#endif
