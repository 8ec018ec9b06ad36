/* kern_driver.c - hashes what every kernel computes, without a test framework, for machines reached by cross-compiling.
 *
 * Reads: kern_cases.h.   Used by: .ci/cross.sh, which compares the hash over compilers and machines.
 * Prints "TABLE HASH" for each table this CPU runs, and ends with status 1 when two tables differ or when the emulated
 * fmaf is not the machine's.
 */
#include "nn/kern.h"
#include "nn/kern_fma.h"
#include "nn/quantize.h"
#include "nn/sha256.h"
#include "tests/kern_cases.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The values, low byte first, so that a big-endian machine hashes the same bytes. */
static void hash_floats(nn_sha256 *sha, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte[4];
        uint32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        for (size_t j = 0; j < 4; j++) byte[j] = (unsigned char)(bits >> 8 * j & 0xffu);
        nn_sha256_add(sha, byte, sizeof byte);
    }
}

static void hash_halves(nn_sha256 *sha, const uint16_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte[2] = {(unsigned char)(v[i] & 0xffu), (unsigned char)(v[i] >> 8)};
        nn_sha256_add(sha, byte, sizeof byte);
    }
}

static void hash_rows(const nn_kern *k, nn_sha256 *sha)
{
    static case_data d;

    for (size_t c = 0; c < KERN_CASES; c++)
        for (size_t n = 0; n <= 67; n++) {
            case_fill(&d, n, (uint32_t)(n + 1));
            kern_cases[c].run(k, &d, n);
            hash_floats(sha, d.block[0], sizeof d.block / sizeof d.block[0][0]);
            hash_floats(sha, d.scalar, 2);
            hash_halves(sha, d.half, sizeof d.half / sizeof d.half[0]);
        }
}

static int hash_product(const nn_kern *k, nn_sha256 *sha, int form, size_t M, size_t N, size_t K)
{
    const gemm_layout l = gemm_layout_of(form, M, N, K, 1);
    const size_t p_len = (N + NN_PANEL - 1) / NN_PANEL * NN_PANEL * K;
    float *a = malloc((l.a_len + l.b_len + l.c_len + p_len + k->gemm_scratch) * sizeof *a);

    if (!a) return 1;
    float *b = a + l.a_len, *c = b + l.b_len, *panels = c + l.c_len, *scratch = panels + p_len;
    gemm_fill(a, l.a_len, form == 2 ? l.a_cs : l.a_rs, form == 2 ? M : K, 1);
    gemm_fill(b, l.b_len, form == 1 ? l.b_cs : l.b_rs, form == 1 ? K : N, 2);
    gemm_fill(c, l.c_len, l.ldc, N, 3);
    k->gemm(c, l.ldc, a, l.a_rs, l.a_cs, b, l.b_rs, l.b_cs, M, N, K, M % 2 == 0, scratch);
    hash_floats(sha, c, l.c_len);
    k->pack(panels, b, l.b_rs, l.b_cs, N, K);
    k->gemm_packed(c, l.ldc, a, l.a_rs, l.a_cs, panels, K, M, N, K, true, scratch);
    hash_floats(sha, panels, p_len);
    hash_floats(sha, c, l.c_len);
    free(a);
    return 0;
}

/* Rows and a matrix of case numbers, one row not finite, through quantize_row, sums_i8 and gemm_i8. */
static int hash_i8(const nn_kern *k, nn_sha256 *sha)
{
    enum { M = 9, N = 83, K = 70, COLS = 72, ROWS = 96 };
    static float x[N * K], a_scale[M], w_scale[ROWS], c[M * N];
    static int8_t a[M * COLS], w[ROWS * COLS];
    int32_t sum[ROWS], checked[ROWS];
    uint32_t state = 5;

    for (size_t i = 0; i < N * K; i++) x[i] = case_number(&state);
    nn_quantize_matrix(k, w, w_scale, sum, x, N, K);
    x[3 * K + 5] = INFINITY;
    for (size_t m = 0; m < M; m++) k->quantize_row(a + m * COLS, &a_scale[m], x + m * K, K);
    k->gemm_i8(c, N, a, COLS, a_scale, w, w_scale, sum, M, N, COLS);
    nn_sha256_add(sha, a, sizeof a);
    nn_sha256_add(sha, w, sizeof w);
    hash_floats(sha, a_scale, M);
    hash_floats(sha, w_scale, ROWS);
    hash_floats(sha, c, M * N);
    return !k->sums_i8(checked, w, ROWS, COLS) || memcmp(checked, sum, sizeof sum) != 0;
}

/* A matrix of random blocks of each type, its scales made finite, through from_stored, pack_stored and gemm_stored. */
static int hash_stored(const nn_kern *k, nn_sha256 *sha)
{
    enum { M = 3, N = 19, K = 512, PANELS = 32 * K };
    static unsigned char w[N * K * 4];
    static float a[M * K], y[K], c[M * N], panels[PANELS];
    uint32_t state = 11;
    float *scratch = malloc(k->gemm_scratch * sizeof *scratch);

    if (!scratch) return 1;
    for (size_t i = 0; i < M * K; i++) a[i] = case_number(&state);
    for (nn_dtype type = NN_F32; type < NN_DTYPE_OTHER; type++) {
        if (!nn_dtype_is_weights(type)) continue;
        /* 0x00..0x3b in every byte: no half, bfloat or float with such a high byte is infinite or no number. */
        for (size_t i = 0; i < sizeof w; i++) {
            state = state * 1664525u + 1013904223u;
            w[i] = (unsigned char)((state >> 24) % 0x3cu);
        }
        k->from_stored(y, type, w, K);
        k->gemm_stored(c, N, a, K, type, w, M, N, K, scratch);
        k->pack_stored(panels, type, w, N, K, scratch);
        hash_floats(sha, y, K);
        hash_floats(sha, c, M * N);
        hash_floats(sha, panels, PANELS);
    }
    free(scratch);
    return 0;
}

static int hash_table(const nn_kern *k, char hex[NN_SHA256_HEX])
{
    static const size_t size[][3] = {{1, 67, 129}, {2, 25, 31}, {7, 49, 300}, {66, 71, 65}, {515, 9, 17}};
    nn_sha256 sha;
    int failed = 0;

    nn_sha256_init(&sha);
    hash_rows(k, &sha);
    for (int form = 0; form < 3; form++)
        for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
            failed |= hash_product(k, &sha, form, size[i][0], size[i][1], size[i][2]);
    failed |= hash_i8(k, &sha);
    failed |= hash_stored(k, &sha);
    nn_sha256_end_hex(&sha, hex);
    return failed;
}

/* Random bits; a product of neighbouring magnitude makes cancellation and ties frequent. */
static int emulated_fma_differs(void)
{
    uint32_t state = 9;

    for (size_t i = 0; i < 300000; i++) {
        const float a = case_number(&state), b = case_number(&state);
        const float c = i % 2 ? case_number(&state) : -(a * b) * (i % 4 ? 1.0f : 0x1p-24f);
        const float got = nn_fmaf_exact(a, b, c), want = fmaf(a, b, c);
        if (memcmp(&got, &want, sizeof got) != 0) {
            printf("fmaf(%a, %a, %a): emulated %a, machine %a\n", (double)a, (double)b, (double)c, (double)got,
                   (double)want);
            return 1;
        }
    }
    return 0;
}

int main(void)
{
    char first[NN_SHA256_HEX] = "", hex[NN_SHA256_HEX];
    const nn_kern *k;
    bool supported = false;
    int failed = emulated_fma_differs();

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        failed |= hash_table(k, hex);
        printf("%s %s\n", k->name, hex);
        if (first[0] == '\0') memcpy(first, hex, sizeof first);
        failed |= strcmp(first, hex) != 0;
    }
    return failed;
}
