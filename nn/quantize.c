/* quantize.c - int8 matrices: packing, checking, looking up a row.
 *
 * Reads: quantize.h.   Read next: kern_i8.h (what multiplies them).
 */
#include "nn/quantize.h"
#include <float.h>
#include <string.h>

enum { STEP = 4 * NN_PANEL }; /* bytes of one step: 16 columns of 4 k */

size_t nn_i8_rows(size_t N)
{
    return (N + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
}

size_t nn_i8_cols(size_t K)
{
    return (K + 3) / 4 * 4;
}

/* Row n begins here; its bytes of k are at [k / 4 * STEP + k % 4]. */
static size_t row_start(size_t n, size_t cols)
{
    return n / NN_PANEL * cols * NN_PANEL + n % NN_PANEL * 4;
}

void nn_quantize_matrix(const nn_kern *k, int8_t *panels, float *scale, int32_t *sum, const float *w, size_t N,
                        size_t K)
{
    const size_t rows = nn_i8_rows(N), cols = nn_i8_cols(K);
    int8_t q[NN_I8_MAX_K];

    NN_ASSERT(K <= NN_I8_MAX_K);
    memset(panels, 0, rows * cols);
    for (size_t n = 0; n < rows; n++) {
        int8_t *to = panels + row_start(n, cols);
        scale[n] = 0.0f;
        sum[n] = 0;
        if (n >= N) continue;
        k->quantize_row(q, &scale[n], w + n * K, K);
        for (size_t i = 0; i < cols; i += 4) memcpy(to + i / 4 * STEP, q + i, 4);
        for (size_t i = 0; i < K; i++) sum[n] += q[i];
    }
}

/* Bytes of row n from column `from` on are 0. */
static bool zero_from(const int8_t *panels, size_t n, size_t cols, size_t from)
{
    const int8_t *row = panels + row_start(n, cols);
    int any = 0;

    for (size_t i = from; i < cols; i++) any |= row[i / 4 * STEP + i % 4];
    return any == 0;
}

nn_status nn_i8_check(const nn_kern *k, int32_t *sum, const int8_t *panels, const float *scale, size_t N, size_t K,
                      nn_err *err)
{
    const size_t rows = nn_i8_rows(N), cols = nn_i8_cols(K);

    if (K > NN_I8_MAX_K)
        return nn_fail(err, NN_FILE, "int8 matrix: %zu columns, want at most %u", K, NN_I8_MAX_K);
    if (!k->sums_i8(sum, panels, rows, cols))
        return nn_fail(err, NN_FILE, "int8 matrix: a weight of -128, want -127 to 127");
    for (size_t n = 0; n < rows; n++) {
        if (!zero_from(panels, n, cols, n < N ? K : 0))
            return nn_fail(err, NN_FILE, "int8 matrix: row %zu: padding that is not 0", n);
        if (!(scale[n] >= 0.0f && scale[n] <= FLT_MAX))
            return nn_fail(err, NN_FILE, "int8 matrix: row %zu: scale %g, want finite and not negative", n,
                           (double)scale[n]);
    }
    return NN_OK;
}

void nn_i8_row(float *out, const int8_t *panels, const float *scale, size_t K, size_t n)
{
    const int8_t *row = panels + row_start(n, nn_i8_cols(K));
    const float s = scale[n];
    size_t i = 0;

    for (; i + 4 <= K; i += 4, row += STEP)
        for (size_t j = 0; j < 4; j++) out[i + j] = (float)row[j] * s;
    for (size_t j = 0; i + j < K; j++) out[i + j] = (float)row[j] * s;
}
