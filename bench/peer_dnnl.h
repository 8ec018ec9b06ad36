/* peer_dnnl.h - oneDNN's matrix products, when its version 2 was there at compile time.
 *
 * Why several: for operands as they lie oneDNN has dnnl_sgemm and the matmul primitive, and either is the faster one
 * on some shapes; for weights that stay it packs them once into a layout of its own choice (tag `any`). A peer is
 * measured at its best, so all are offered. Everything is created before timing; run only executes.
 */
#ifndef BENCH_PEER_DNNL_H
#define BENCH_PEER_DNNL_H
#include "nn/ops.h"

typedef struct peer_dnnl peer_dnnl;

const char *peer_dnnl_version(void); /* NULL: not there */

/* C = A B in one of the three forms, dense row-major. */
void peer_dnnl_sgemm(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K);
/* The same as a primitive on the operands as they lie. NULL on failure. The operands are borrowed. */
peer_dnnl *peer_dnnl_plain(nn_form form, float *c, const float *a, const float *b, size_t M, size_t N, size_t K);
/* C [M,N] = A [M,K] W [N,K]^T with W packed here, once. */
peer_dnnl *peer_dnnl_packed(float *c, const float *a, const float *w, size_t M, size_t N, size_t K);
/* The same in u8 x s8 -> float, without scales (less work than ours does). */
peer_dnnl *peer_dnnl_packed_i8(float *c, const uint8_t *a, const int8_t *w, size_t M, size_t N, size_t K);
void peer_dnnl_run(peer_dnnl *p);
void peer_dnnl_free(peer_dnnl *p);
#endif
