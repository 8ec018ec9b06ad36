/* kern_cases.h - one call of every kernel on prepared numbers, for any table.
 *
 * Why: test_kern.c compares each table with plain loops, kern_driver.c hashes the results on other machines; both must
 * run the same calls. A case reads and writes five arrays of n floats and two scalars.
 * The numbers avoid making NaN (its bits differ between CPUs) but hold zeros of both signs, subnormals and values at
 * which exp ends in 0 or infinity.
 */
#ifndef TESTS_KERN_CASES_H
#define TESTS_KERN_CASES_H
#include "nn/kern.h"
#include <stdint.h>
#include <string.h>

enum { CASE_ARRAYS = 5, CASE_MAX = 128, CASE_GUARD = 19 };

/* Arrays in one block, each with guards before and after; x[i] points behind the guard. */
typedef struct {
    float block[CASE_ARRAYS][CASE_GUARD + CASE_MAX + CASE_GUARD];
    float *x[CASE_ARRAYS];
    float scalar[2];
    uint16_t half[CASE_GUARD + CASE_MAX + CASE_GUARD];
} case_data;

static uint32_t case_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static float case_number(uint32_t *state)
{
    const uint32_t kind = case_random(state) % 16;
    const float unit = (float)case_random(state) / 8388608.0f - 1.0f; /* [-1, 1) */

    switch (kind) {
    case 0: return unit < 0.0f ? -0.0f : 0.0f;
    case 1: return unit * 0x1p-140f; /* subnormal */
    case 2: return unit * 200.0f;
    case 3: return unit * 0x1p-20f;
    default: return unit * 4.0f;
    }
}

static float case_guard(void)
{
    const uint32_t bits = 0x7fc0dead;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void case_fill(case_data *d, size_t n, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 12345u;

    for (size_t i = 0; i < CASE_ARRAYS; i++) {
        for (size_t j = 0; j < CASE_GUARD + CASE_MAX + CASE_GUARD; j++) d->block[i][j] = case_guard();
        d->x[i] = d->block[i] + CASE_GUARD;
        for (size_t j = 0; j < n; j++) d->x[i][j] = case_number(&state);
    }
    d->scalar[0] = d->scalar[1] = 0.0f;
    for (size_t j = 0; j < CASE_GUARD + CASE_MAX + CASE_GUARD; j++)
        d->half[j] = (uint16_t)(case_random(&state) & 0xffffu);
}

static void case_dot(const nn_kern *k, case_data *d, size_t n) { d->scalar[0] = k->dot(d->x[0], d->x[1], n); }
static void case_dot3(const nn_kern *k, case_data *d, size_t n)
{
    d->scalar[0] = k->dot3(d->x[0], d->x[1], d->x[2], n);
}
static void case_sum(const nn_kern *k, case_data *d, size_t n) { d->scalar[0] = k->sum(d->x[0], n); }
static void case_max(const nn_kern *k, case_data *d, size_t n)
{
    if (n > 0) d->scalar[0] = k->max(d->x[0], n);
}
static void case_fill_row(const nn_kern *k, case_data *d, size_t n) { k->fill(d->x[0], 0.75f, n); }
static void case_add(const nn_kern *k, case_data *d, size_t n) { k->add(d->x[0], d->x[1], n); }
static void case_axpy(const nn_kern *k, case_data *d, size_t n) { k->axpy(d->x[0], 0.3f, d->x[1], n); }
static void case_scale(const nn_kern *k, case_data *d, size_t n) { k->scale(d->x[0], -1.7f, n); }
static void case_rmsnorm(const nn_kern *k, case_data *d, size_t n)
{
    k->rmsnorm_rows(d->x[0], d->scalar, NULL, d->x[1], NULL, d->x[2], 1e-3f, n > 0, n);
}
static void case_rmsnorm_rows(const nn_kern *k, case_data *d, size_t n)
{
    k->rmsnorm_rows(d->x[0], d->scalar, NULL, d->x[1], NULL, d->x[2], 1e-3f, n > 1 ? 2 : 0, n / 2);
}
static void case_rmsnorm_add(const nn_kern *k, case_data *d, size_t n)
{
    k->rmsnorm_rows(d->x[0], d->scalar, d->x[1], d->x[1], d->x[3], d->x[2], 1e-3f, n > 1 ? 2 : 0, n / 2);
}
static void case_xent(const nn_kern *k, case_data *d, size_t n)
{
    if (n > 0) d->scalar[0] = k->xent_row(d->x[0], d->x[1], n / 3, -0.7f, n);
}
static void case_rmsnorm_bwd(const nn_kern *k, case_data *d, size_t n)
{
    k->rmsnorm_bwd_row(d->x[0], d->x[1], d->x[2], d->x[3], 0.37f, 0.11f, n);
}
static void case_rmsnorm_dw(const nn_kern *k, case_data *d, size_t n)
{
    k->rmsnorm_dw_row(d->x[0], d->x[1], d->x[2], 0.37f, n);
}
static void case_softmax(const nn_kern *k, case_data *d, size_t n)
{
    if (n > 0) k->softmax_row(d->x[0], d->x[1], 0.7f, n, d->scalar);
}
static void case_softmax_inplace(const nn_kern *k, case_data *d, size_t n)
{
    if (n > 0) k->softmax_row(d->x[0], d->x[0], 1.0f, n, NULL);
}
static void case_softmax_bwd(const nn_kern *k, case_data *d, size_t n)
{
    k->softmax_bwd_row(d->x[0], d->x[1], d->x[2], 0.7f, n);
}
static void case_softmax_bwd_inplace(const nn_kern *k, case_data *d, size_t n)
{
    k->softmax_bwd_row(d->x[0], d->x[1], d->x[0], 0.7f, n);
}
static void case_swiglu(const nn_kern *k, case_data *d, size_t n) { k->swiglu_row(d->x[0], d->x[1], d->x[2], n); }
static void case_swiglu_bwd(const nn_kern *k, case_data *d, size_t n)
{
    k->swiglu_bwd_row(d->x[0], d->x[1], d->x[2], d->x[3], d->x[4], n);
}
static void case_rope_half(const nn_kern *k, case_data *d, size_t n)
{
    k->rope_row(d->x[0], d->x[1], d->x[2], 1, n / 2 * 2, true, 1.0f);
}
static void case_rope_pairs(const nn_kern *k, case_data *d, size_t n)
{
    k->rope_row(d->x[0], d->x[1], d->x[2], 3, n / 6 * 2, false, -1.0f);
}
static void case_adamw(const nn_kern *k, case_data *d, size_t n)
{
    const nn_adamw_step s = {1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.19f, 0.0975f, 0.6f};

    for (size_t i = 0; i < n; i++) d->x[2][i] = d->x[2][i] < 0.0f ? -d->x[2][i] : d->x[2][i]; /* v >= 0 */
    k->adamw_row(d->x[0], d->x[1], d->x[2], d->x[3], &s, n);
}
static void case_from_bf16(const nn_kern *k, case_data *d, size_t n)
{
    k->from_bf16(d->x[0], d->half + CASE_GUARD, n);
}
static void case_to_bf16(const nn_kern *k, case_data *d, size_t n) { k->to_bf16(d->half + CASE_GUARD, d->x[0], n); }
static void case_from_f16(const nn_kern *k, case_data *d, size_t n)
{
    k->from_f16(d->x[0], d->half + CASE_GUARD, n);
}
static void case_to_f16(const nn_kern *k, case_data *d, size_t n) { k->to_f16(d->half + CASE_GUARD, d->x[0], n); }

typedef struct {
    const char *name;
    void (*run)(const nn_kern *k, case_data *d, size_t n);
} kern_case;

static const kern_case kern_cases[] = {
    {"dot", case_dot}, {"dot3", case_dot3}, {"sum", case_sum}, {"max", case_max}, {"fill", case_fill_row},
    {"add", case_add}, {"axpy", case_axpy}, {"scale", case_scale}, {"rmsnorm_rows, one", case_rmsnorm},
    {"rmsnorm_rows, two", case_rmsnorm_rows}, {"rmsnorm_rows of a sum", case_rmsnorm_add}, {"xent_row", case_xent},
    {"rmsnorm_bwd_row", case_rmsnorm_bwd}, {"rmsnorm_dw_row", case_rmsnorm_dw}, {"softmax_row", case_softmax},
    {"softmax_row in place", case_softmax_inplace}, {"softmax_bwd_row", case_softmax_bwd},
    {"softmax_bwd_row in place", case_softmax_bwd_inplace}, {"swiglu_row", case_swiglu},
    {"swiglu_bwd_row", case_swiglu_bwd}, {"rope_row half", case_rope_half}, {"rope_row pairs", case_rope_pairs},
    {"adamw_row", case_adamw}, {"from_bf16", case_from_bf16}, {"to_bf16", case_to_bf16},
    {"from_f16", case_from_f16}, {"to_f16", case_to_f16},
};
enum { KERN_CASES = sizeof kern_cases / sizeof kern_cases[0] };

/* --- products: one size and form, with gaps of guards between rows --------------------------- */

typedef struct {
    size_t a_rs, a_cs, b_rs, b_cs, ldc;
    size_t a_len, b_len, c_len;
} gemm_layout;

/* form 0: A B, 1: A B^T, 2: A^T B, as they lie in memory; every row is `gap` floats longer than its data. */
static gemm_layout gemm_layout_of(int form, size_t M, size_t N, size_t K, size_t gap)
{
    const size_t a_ld = (form == 2 ? M : K) + gap, b_ld = (form == 1 ? K : N) + gap;
    const gemm_layout l = {
        .a_rs = form == 2 ? 1 : a_ld, .a_cs = form == 2 ? a_ld : 1,
        .b_rs = form == 1 ? 1 : b_ld, .b_cs = form == 1 ? b_ld : 1,
        .ldc = N + gap,
        .a_len = (form == 2 ? K : M) * a_ld, .b_len = (form == 1 ? N : K) * b_ld, .c_len = M * (N + gap),
    };
    return l;
}

/* Numbers where rows x cols data lie, guards in the gaps. */
static void gemm_fill(float *p, size_t len, size_t row_step, size_t data, uint32_t seed)
{
    uint32_t state = seed;

    for (size_t i = 0; i < len; i++) p[i] = i % row_step < data ? case_number(&state) : case_guard();
}
#endif
