/* quantize.h - weights as int8: from floats into panels, from an untrusted file, and back one row at a time.
 *
 * Reads: kern.h (quantize_row, gemm_i8, the layout).   Read next: quantize.c.
 * Why: a product wants its weights as [ceil(N/16)][K4/4][16][4] with K4 = K rounded up to 4: sixteen columns of four k
 * are the 64 bytes of one step. They are packed when a file is written and used as they lie when it is mapped.
 * Symmetric, one scale a row: w ~ q * scale, scale = max|w| / 127 (1 where that is 0), q in -127..127 (Jacob et al.
 * 2018, arXiv:1712.05877, sec. 2.1, with zero point 0). Sums of rows are not stored: nn_i8_check makes them.
 * Ownership: nothing is allocated; every array is the caller's. Threads: split N at multiples of 16.
 */
#ifndef NN_QUANTIZE_H
#define NN_QUANTIZE_H
#include "nn/kern.h"

/* Columns of a matrix: sums stay exact in int32 in every table (255 * 127 * 2^15 < 2^31), a row fits on the stack. */
#define NN_I8_MAX_K 32768u

size_t nn_i8_rows(size_t N); /* N rounded up to 16: entries of scale and sum */
size_t nn_i8_cols(size_t K); /* K rounded up to 4; a matrix has nn_i8_rows(N) * nn_i8_cols(K) bytes of panels */

/* [out] panels, scale, sum (see above)   [in] w [N,K], K <= NN_I8_MAX_K. Rows and columns of padding are 0, also their
 * scales and sums. */
void nn_quantize_matrix(const nn_kern *k, int8_t *panels, float *scale, int32_t *sum, const float *w, size_t N,
                        size_t K);

/* Panels and scales that came from a file: NN_FILE unless every byte of padding is 0, no byte is -128 and every scale
 * is finite and not negative. [out] sum, what gemm_i8 wants as w_sum. Reads each byte once, at the speed of memory. */
NN_CHECKED nn_status nn_i8_check(const nn_kern *k, int32_t *sum, const int8_t *panels, const float *scale, size_t N,
                                 size_t K, nn_err *err);

/* out[K] = row n as floats: q * scale (an embedding lookup). */
void nn_i8_row(float *out, const int8_t *panels, const float *scale, size_t K, size_t n);
#endif
