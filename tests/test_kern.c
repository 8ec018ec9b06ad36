/* Every table of kernels against the plain loops that kern.h promises, bit for bit. */
#include "nn/kern.h"
#include "nn/kern_fma.h"
#include "nn/mathf.h"
#include "tests/kern_cases.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the specification: plain loops with the C library's exact fmaf ------------------------- */

static void plain_gemm(float *c, size_t ldc, const float *a, size_t a_rs, size_t a_cs, const float *b, size_t b_rs,
                       size_t b_cs, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    (void)scratch;
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            float s = accumulate ? c[m * ldc + n] : 0.0f;
            for (size_t k = 0; k < K; k++) s = fmaf(a[m * a_rs + k * a_cs], b[k * b_rs + n * b_cs], s);
            c[m * ldc + n] = s;
        }
}

static void plain_pack(float *panels, const float *b, size_t b_rs, size_t b_cs, size_t N, size_t K)
{
    for (size_t n = 0; n < (N + NN_PANEL - 1) / NN_PANEL * NN_PANEL; n++)
        for (size_t k = 0; k < K; k++)
            panels[(n / NN_PANEL * K + k) * NN_PANEL + n % NN_PANEL] = n < N ? b[k * b_rs + n * b_cs] : 0.0f;
}

static float plain_fold(float lane[NN_LANES])
{
    for (size_t w = NN_LANES / 2; w > 0; w /= 2)
        for (size_t j = 0; j < w; j++) lane[j] = lane[j] + lane[j + w];
    return lane[0];
}

static float plain_dot(const float *a, const float *b, size_t n)
{
    float lane[NN_LANES] = {0};
    for (size_t i = 0; i < n; i++) lane[i % NN_LANES] = fmaf(a[i], b[i], lane[i % NN_LANES]);
    return plain_fold(lane);
}

static float plain_dot3(const float *a, const float *b, const float *c, size_t n)
{
    float lane[NN_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        const float ab = a[i] * b[i];
        lane[i % NN_LANES] = fmaf(ab, c[i], lane[i % NN_LANES]);
    }
    return plain_fold(lane);
}

static float plain_sum(const float *a, size_t n)
{
    float lane[NN_LANES] = {0};
    for (size_t i = 0; i < n; i++) lane[i % NN_LANES] = fmaf(a[i], 1.0f, lane[i % NN_LANES]);
    return plain_fold(lane);
}

static float plain_max(const float *a, size_t n)
{
    float lane[NN_LANES];
    for (size_t j = 0; j < NN_LANES; j++) lane[j] = a[0];
    for (size_t i = 0; i < n; i++)
        if (a[i] > lane[i % NN_LANES]) lane[i % NN_LANES] = a[i];
    for (size_t w = NN_LANES / 2; w > 0; w /= 2)
        for (size_t j = 0; j < w; j++)
            if (lane[j + w] > lane[j]) lane[j] = lane[j + w];
    return lane[0];
}

static void plain_fill(float *y, float value, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = value;
}

static void plain_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = y[i] + x[i];
}

static void plain_axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static void plain_scale(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = y[i] * a;
}

static void plain_rmsnorm_rows(float *y, float *rstd, float *sum, const float *x, const float *add, const float *w,
                               float eps, size_t R, size_t n)
{
    for (size_t r = 0; r < R; r++) {
        if (add)
            for (size_t i = 0; i < n; i++) sum[r * n + i] = x[r * n + i] + add[r * n + i];
        const float *row = (add ? sum : x) + r * n;
        const float mean = plain_dot(row, row, n) / (float)n, s = 1.0f / sqrtf(mean + eps);
        if (rstd) rstd[r] = s;
        for (size_t i = 0; i < n; i++) {
            const float xs = row[i] * s;
            y[r * n + i] = xs * w[i];
        }
    }
}

static void plain_rmsnorm_bwd_row(float *dx, const float *dy, const float *x, const float *w, float s, float pull,
                                  size_t n)
{
    for (size_t i = 0; i < n; i++) dx[i] = fmaf(s, fmaf(-x[i], pull, w[i] * dy[i]), dx[i]);
}

static void plain_rmsnorm_dw_row(float *dw, const float *dy, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i++) dw[i] = fmaf(x[i] * s, dy[i], dw[i]);
}

static void plain_softmax_row(float *p, const float *x, float scale, size_t n, float *log_sum_exp)
{
    for (size_t i = 0; i < n; i++) p[i] = scale * x[i];
    const float m = plain_max(p, n);
    for (size_t i = 0; i < n; i++) p[i] = nn_expf(p[i] - m);
    const float sum = plain_sum(p, n), inverse = 1.0f / sum;
    for (size_t i = 0; i < n; i++) p[i] = p[i] * inverse;
    if (log_sum_exp) *log_sum_exp = m + nn_logf(sum);
}

static float plain_xent_row(float *dz, const float *z, size_t y, float weight, size_t n)
{
    const float z_y = z[y];
    float log_sum_exp = 0.0f;

    plain_softmax_row(dz, z, 1.0f, n, &log_sum_exp);
    dz[y] -= 1.0f;
    plain_scale(dz, weight, n);
    return z_y - log_sum_exp;
}

static void plain_softmax_bwd_row(float *dx, const float *p, const float *dp, float scale, size_t n)
{
    const float dot = plain_dot(p, dp, n);
    for (size_t i = 0; i < n; i++) {
        const float sp = scale * p[i];
        dx[i] = sp * (dp[i] - dot);
    }
}

static void plain_swiglu_row(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float silu = gate[i] / (1.0f + nn_expf(-gate[i]));
        y[i] = silu * up[i];
    }
}

static void plain_swiglu_bwd_row(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gate[i], d = dy[i], u = up[i], denominator = 1.0f + nn_expf(-g), t = 1.0f / denominator;
        const float silu = g / denominator, slope = t * fmaf(g, 1.0f - t, 1.0f), du = d * u;
        dup[i] = d * silu;
        dgate[i] = du * slope;
    }
}

static void plain_rope_row(float *x, const float *cos_t, const float *sin_t, size_t heads, size_t D, bool half,
                           float direction)
{
    for (size_t n = 0; n < heads * (D / 2); n++) {
        const size_t i = n % (D / 2), h = n / (D / 2) * D;
        const size_t at = h + (half ? i : 2 * i), to = h + (half ? i + D / 2 : 2 * i + 1);
        const float a = x[at], b = x[to], s = direction * sin_t[i];
        const float bs = b * s, as = a * s;
        x[at] = fmaf(a, cos_t[i], -bs);
        x[to] = fmaf(b, cos_t[i], as);
    }
}

static void plain_adamw_row(float *w, float *m, float *v, const float *g, const nn_adamw_step *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float g_i = g[i] * s->grad_scale, gg = g_i * g_i;
        m[i] = fmaf(s->beta1, m[i], (1.0f - s->beta1) * g_i);
        v[i] = fmaf(s->beta2, v[i], (1.0f - s->beta2) * gg);
        const float m_hat = m[i] / s->correct1, v_hat = v[i] / s->correct2;
        const float ratio = m_hat / (sqrtf(v_hat) + s->eps);
        w[i] = fmaf(-s->lr, fmaf(s->weight_decay, w[i], ratio), w[i]);
    }
}

/* A 16-bit float by arithmetic: x in units of its last place, rint() rounding ties to even. */
static uint16_t plain_narrow(float x, int fraction_bits, int min_exponent, int max_exponent)
{
    const int inf_exponent = max_exponent - min_exponent + 2;
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    const unsigned sign = (bits >> 31) << 15;
    if (isnan(x))
        return (uint16_t)(sign | (unsigned)inf_exponent << fraction_bits | 1u << (fraction_bits - 1) |
                          ((bits & 0x7fffffu) >> (23 - fraction_bits)));
    if (isinf(x)) return (uint16_t)(sign | (unsigned)inf_exponent << fraction_bits);
    int e = 0;
    (void)frexp(fabs((double)x), &e);
    e = e - 1 < min_exponent ? min_exponent : e - 1;
    double q = rint(ldexp(fabs((double)x), fraction_bits - e));
    if (q >= ldexp(1.0, fraction_bits + 1)) {
        q /= 2.0;
        e++;
    }
    if (e > max_exponent) return (uint16_t)(sign | (unsigned)inf_exponent << fraction_bits);
    const unsigned hidden = 1u << fraction_bits, whole = (unsigned)q;
    if (whole < hidden) return (uint16_t)(sign | whole);
    return (uint16_t)(sign | (unsigned)(e - min_exponent + 1) << fraction_bits | (whole - hidden));
}

static float plain_wide(uint16_t h, int fraction_bits, int min_exponent)
{
    const unsigned hidden = 1u << fraction_bits, fraction = h & (hidden - 1u);
    const unsigned exponent = (h & 0x7fffu) >> fraction_bits, top = 0x7fffu >> fraction_bits;
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t bits;
    float f;

    if (exponent == top) {
        bits = 0x7f800000u | (uint32_t)fraction << (23 - fraction_bits);
        if (fraction && fraction_bits == 10) bits |= 0x400000u; /* bf16 is a cut float: copied as it is */
    } else {
        const unsigned whole = exponent ? fraction + hidden : fraction;
        f = (float)ldexp((double)whole, min_exponent - fraction_bits + (int)(exponent ? exponent - 1u : 0u));
        memcpy(&bits, &f, sizeof bits);
    }
    bits |= sign;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void plain_from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = plain_wide(x[i], 7, -126);
}

static void plain_to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = plain_narrow(x[i], 7, -126, 127);
}

static void plain_from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = plain_wide(x[i], 10, -14);
}

static void plain_to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = plain_narrow(x[i], 10, -14, 15);
}

static const nn_kern plain = {
    .name = "plain", .gemm = plain_gemm, .gemm_scratch = 0, .dot = plain_dot, .dot3 = plain_dot3, .sum = plain_sum,
    .max = plain_max, .fill = plain_fill, .add = plain_add, .axpy = plain_axpy, .scale = plain_scale,
    .rmsnorm_rows = plain_rmsnorm_rows, .rmsnorm_bwd_row = plain_rmsnorm_bwd_row,
    .rmsnorm_dw_row = plain_rmsnorm_dw_row, .softmax_row = plain_softmax_row,
    .softmax_bwd_row = plain_softmax_bwd_row, .xent_row = plain_xent_row, .swiglu_row = plain_swiglu_row,
    .swiglu_bwd_row = plain_swiglu_bwd_row, .rope_row = plain_rope_row, .adamw_row = plain_adamw_row,
    .from_bf16 = plain_from_bf16, .to_bf16 = plain_to_bf16, .from_f16 = plain_from_f16, .to_f16 = plain_to_f16,
};

/* --- agreement -------------------------------------------------------------------------------- */

Test(kern, every_table_agrees_bitwise)
{
    static case_data got, want;
    const nn_kern *k;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++)
        for (size_t c = 0; supported && c < KERN_CASES; c++)
            for (size_t n = 0; n <= 67; n++) {
                case_fill(&got, n, (uint32_t)(n + 1));
                case_fill(&want, n, (uint32_t)(n + 1));
                kern_cases[c].run(k, &got, n);
                kern_cases[c].run(&plain, &want, n);
                cr_assert(memcmp(got.block, want.block, sizeof got.block) == 0 &&
                          memcmp(got.half, want.half, sizeof got.half) == 0, "%s: %s, n = %zu", k->name,
                          kern_cases[c].name, n);
                expect_same_floats(kern_cases[c].name, got.scalar, want.scalar, 2);
            }
}

/* One size and form through every table; the gaps between rows hold NaN and must still hold the same bytes after. */
static void agree_on_product(int form, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    const gemm_layout l = gemm_layout_of(form, M, N, K, 3);
    float *a = malloc((l.a_len + l.b_len + 3 * l.c_len + 1) * sizeof *a);
    const nn_kern *k;
    bool supported = false;

    cr_assert_not_null(a);
    float *b = a + l.a_len, *start = b + l.b_len, *want = start + l.c_len, *got = want + l.c_len;
    gemm_fill(a, l.a_len, form == 2 ? l.a_cs : l.a_rs, form == 2 ? M : K, 1);
    gemm_fill(b, l.b_len, form == 1 ? l.b_cs : l.b_rs, form == 1 ? K : N, 2);
    gemm_fill(start, l.c_len, l.ldc, N, 3);
    memcpy(want, start, l.c_len * sizeof *want);
    plain_gemm(want, l.ldc, a, l.a_rs, l.a_cs, b, l.b_rs, l.b_cs, M, N, K, accumulate, NULL);
    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        memcpy(got, start, l.c_len * sizeof *got);
        k->gemm(got, l.ldc, a, l.a_rs, l.a_cs, b, l.b_rs, l.b_cs, M, N, K, accumulate, scratch);
        cr_assert(memcmp(got, want, l.c_len * sizeof *got) == 0, "%s: form %d, %zu x %zu x %zu, accumulate %d", k->name,
                  form, M, N, K, accumulate);
    }
    free(a);
}

/* The same with B packed before, whole and in two runs of k, the second over the columns from 16 on. */
static void agree_on_packed(int form, size_t M, size_t N, size_t K, bool accumulate, float *scratch)
{
    const gemm_layout l = gemm_layout_of(form, M, N, K, 3);
    const size_t p_len = (N + NN_PANEL - 1) / NN_PANEL * NN_PANEL * K, half = K / 2, skip = N > NN_PANEL ? NN_PANEL : 0;
    float *a = malloc((l.a_len + l.b_len + 3 * l.c_len + 2 * p_len + 1) * sizeof *a);
    const nn_kern *k;
    bool supported = false;

    cr_assert_not_null(a);
    float *b = a + l.a_len, *start = b + l.b_len, *want = start + l.c_len, *got = want + l.c_len, *p = got + l.c_len;
    gemm_fill(a, l.a_len, form == 2 ? l.a_cs : l.a_rs, form == 2 ? M : K, 1);
    gemm_fill(b, l.b_len, form == 1 ? l.b_cs : l.b_rs, form == 1 ? K : N, 2);
    gemm_fill(start, l.c_len, l.ldc, N, 3);
    memcpy(want, start, l.c_len * sizeof *want);
    plain_gemm(want, l.ldc, a, l.a_rs, l.a_cs, b, l.b_rs, l.b_cs, M, N, K, accumulate, NULL);
    plain_pack(p + p_len, b, l.b_rs, l.b_cs, N, K);
    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        for (size_t i = 0; i < p_len; i++) p[i] = case_guard();
        k->pack(p, b, l.b_rs, l.b_cs, N, K);
        cr_assert(memcmp(p, p + p_len, p_len * sizeof *p) == 0, "%s: packed, form %d, %zu x %zu", k->name, form, N, K);
        memcpy(got, start, l.c_len * sizeof *got);
        k->gemm_packed(got, l.ldc, a, l.a_rs, l.a_cs, p, K, M, N, K, accumulate, scratch);
        cr_assert(memcmp(got, want, l.c_len * sizeof *got) == 0, "%s: packed, form %d, %zu x %zu x %zu, accumulate %d",
                  k->name, form, M, N, K, accumulate);
        memcpy(got, start, l.c_len * sizeof *got);
        k->gemm_packed(got, l.ldc, a, l.a_rs, l.a_cs, p, K, M, N, half, accumulate, scratch);
        k->gemm_packed(got, l.ldc, a + half * l.a_cs, l.a_rs, l.a_cs, p + half * NN_PANEL, K, M, skip, K - half, true,
                       scratch);
        k->gemm_packed(got + skip, l.ldc, a + half * l.a_cs, l.a_rs, l.a_cs, p + skip * K + half * NN_PANEL, K, M,
                       N - skip, K - half, true, scratch);
        cr_assert(memcmp(got, want, l.c_len * sizeof *got) == 0, "%s: packed in parts, form %d, %zu x %zu x %zu",
                  k->name, form, M, N, K);
    }
    free(a);
}

static float *scratch_for_any_table(void)
{
    size_t most = 0;
    const nn_kern *k;

    for (size_t t = 0; (k = nn_kern_at(t, NULL)) != NULL; t++) most = k->gemm_scratch > most ? k->gemm_scratch : most;
    float *scratch = malloc(most * sizeof *scratch);
    cr_assert_not_null(scratch);
    for (size_t i = 0; i < most; i++) scratch[i] = case_guard();
    return scratch;
}

Test(kern, products_of_odd_sizes_are_the_textbook_loop)
{
    static const size_t size[] = {1, 2, 3, 4, 5, 8, 9, 23, 24, 25, 67};
    const size_t n = sizeof size / sizeof size[0];
    float *scratch = scratch_for_any_table();

    for (int form = 0; form < 3; form++)
        for (size_t i = 0; i < n * n * n; i++)
            agree_on_product(form, size[i % n], size[i / n % n], size[i / n / n], i % 2 == 0, scratch);
    free(scratch);
}

/* Every height of a tile by every number of panels, whole and ragged. */
Test(kern, tiles_of_every_shape_are_the_textbook_loop)
{
    static const size_t width[] = {1, 15, 16, 17, 32, 47, 48, 64, 79, 96, 113};
    float *scratch = scratch_for_any_table();

    for (size_t m = 1; m <= 17; m++)
        for (size_t i = 0; i < sizeof width / sizeof width[0]; i++) {
            agree_on_product((int)(i % 3), m, width[i], 19, m % 2 == 0, scratch);
            agree_on_packed((int)((i + m) % 3), m, width[i], 37, m % 2 == 1, scratch);
        }
    free(scratch);
}

Test(kern, packed_products_are_the_textbook_loop)
{
    float *scratch = scratch_for_any_table();

    for (int form = 0; form < 3; form++) {
        agree_on_packed(form, 1, 131, 1030, true, scratch);
        agree_on_packed(form, 7, 300, 33, false, scratch);
        agree_on_packed(form, 67, 129, 515, true, scratch);
        agree_on_packed(form, 2, 700, 520, true, scratch);
        agree_on_packed(form, 3, 5, 0, false, scratch);
        agree_on_packed(form, 3, 5, 0, true, scratch);
    }
    free(scratch);
}

Test(kern, products_larger_than_every_cache_block_are_the_textbook_loop)
{
    float *scratch = scratch_for_any_table();

    for (int form = 0; form < 3; form++) {
        agree_on_product(form, 1, 131, 521, true, scratch);
        agree_on_product(form, 5, 25, 1030, true, scratch);
        agree_on_product(form, 1030, 7, 259, false, scratch);
        agree_on_product(form, 130, 131, 513, true, scratch);
        agree_on_product(form, 9, 1100, 300, true, scratch);
    }
    free(scratch);
}

Test(kern, a_product_over_nothing_is_zero_or_what_was_there)
{
    float *scratch = scratch_for_any_table();

    for (int form = 0; form < 3; form++)
        for (size_t m = 1; m < 6; m += 4) {
            agree_on_product(form, m, 30, 0, false, scratch);
            agree_on_product(form, m, 30, 0, true, scratch);
        }
    free(scratch);
}

/* Neither operand contiguous: the form no op uses, the contract still covers. */
Test(kern, products_with_any_strides_are_the_textbook_loop)
{
    enum { M = 7, N = 29, K = 11 };
    static float a[M * K * 6], b[K * N * 6], want[M * N], got[M * N];
    float *scratch = scratch_for_any_table();
    const nn_kern *k;
    bool supported = false;

    gemm_fill(a, sizeof a / sizeof *a, 2, 2, 5);
    gemm_fill(b, sizeof b / sizeof *b, 2, 2, 6);
    plain_gemm(want, N, a, 3, 3 * M, b, 2, 2 * K, M, N, K, false, NULL);
    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        k->gemm(got, N, a, 3, 3 * M, b, 2, 2 * K, M, N, K, false, scratch);
        expect_same_floats(k->name, got, want, M * N);
        k->gemm(got, N, a, 3, 3 * M, b, 2, 2 * K, 1, N, K, false, scratch);
        expect_same_floats(k->name, got, want, N);
    }
    free(scratch);
}

/* --- the emulated fmaf -------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void same_fma(float a, float b, float c)
{
    const float got = nn_fmaf_exact(a, b, c), want = fmaf(a, b, c);

    if (isnan(want) && isnan(got)) return;
    cr_assert(memcmp(&got, &want, sizeof got) == 0, "fmaf(%a, %a, %a): got %a, want %a", (double)a, (double)b,
              (double)c, (double)got, (double)want);
}

Test(kern, emulated_fma_equals_the_library_on_random_bits)
{
    uint32_t state = 7;

    for (size_t i = 0; i < 1000000; i++) {
        const uint32_t a = case_random(&state) << 16 ^ case_random(&state);
        const uint32_t b = case_random(&state) << 16 ^ case_random(&state);
        const uint32_t c = case_random(&state) << 16 ^ case_random(&state);
        same_fma(from_bits(a), from_bits(b), from_bits(c));
    }
}

/* Where double rounding would err: c cancels the product, or puts it exactly beside a tie; results at the edge of
 * subnormals and of overflow. */
Test(kern, emulated_fma_equals_the_library_near_ties_and_edges)
{
    static const uint32_t edge[] = {0u, 1u, 2u, 0x7fffffu, 0x800000u, 0x800001u, 0x33800000u, 0x33800001u, 0x3f7fffffu,
                                    0x3f800000u, 0x3f800001u, 0x4b800000u, 0x7f7fffffu, 0x7f800000u};
    const size_t n = sizeof edge / sizeof edge[0];
    uint32_t state = 8;

    for (size_t i = 0; i < n * n * n * 8; i++) {
        const uint32_t signs = (uint32_t)(i % 8);
        same_fma(from_bits(edge[i / 8 % n] | (signs & 1u) << 31), from_bits(edge[i / 8 / n % n] | (signs & 2u) << 30),
                 from_bits(edge[i / 8 / n / n] | (signs & 4u) << 29));
    }
    for (size_t i = 0; i < 300000; i++) {
        const uint32_t exponent = 1u + case_random(&state) % 200u;
        const float a = from_bits(exponent << 23 | (case_random(&state) & 0x7fffffu));
        const float b = from_bits((255u - exponent / 2u - 60u) << 23 | (case_random(&state) & 0x7fffffu));
        const float c = -(a * b);
        same_fma(a, b, c);
        same_fma(a, b, c * 0x1p-24f);
        same_fma(a, b, c * 0x1p24f);
        same_fma(a, b, c * 0x1.000002p25f);
        same_fma(a, from_bits(0x34000000u), from_bits(exponent << 23 | 1u));
    }
}

/* --- 16-bit formats ------------------------------------------------------------------------------- */

Test(kern, half_floats_survive_a_round_trip)
{
    static uint16_t all[65536], back[65536];
    static float wide[65536], want[65536];
    const nn_kern *k;
    bool supported = false;

    for (size_t i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        k->from_f16(wide, all, 65536);
        plain_from_f16(want, all, 65536);
        cr_assert(memcmp(wide, want, sizeof wide) == 0, "%s from_f16", k->name);
        k->to_f16(back, wide, 65536);
        for (size_t i = 0; i < 65536; i++)
            cr_assert(back[i] == (isnan(wide[i]) ? all[i] | 0x200u : all[i]), "%s f16 %zx", k->name, i);
        k->from_bf16(wide, all, 65536);
        k->to_bf16(back, wide, 65536);
        for (size_t i = 0; i < 65536; i++)
            cr_assert(back[i] == (isnan(wide[i]) ? all[i] | 0x40u : all[i]), "%s bf16 %zx", k->name, i);
    }
}

/* Every float whose upper bits are any half's, with the lower bits at and beside the tie. */
Test(kern, narrowing_rounds_to_nearest_even)
{
    static const uint32_t low[] = {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu, 0x7fffu, 0x8000u, 0x8001u};
    enum { N = 65536 };
    static float x[N];
    static uint16_t got[N], want[N];
    const nn_kern *k;
    bool supported = false;

    for (size_t l = 0; l < sizeof low / sizeof low[0]; l++) {
        for (uint32_t i = 0; i < N; i++) x[i] = from_bits(i << 16 | (low[l] ^ (i & 1u) << 13));
        for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
            if (!supported) continue;
            k->to_f16(got, x, N);
            plain_to_f16(want, x, N);
            for (size_t i = 0; i < N; i++) cr_assert_eq(got[i], want[i], "%s to_f16(%a)", k->name, (double)x[i]);
            k->to_bf16(got, x, N);
            plain_to_bf16(want, x, N);
            for (size_t i = 0; i < N; i++) cr_assert_eq(got[i], want[i], "%s to_bf16(%a)", k->name, (double)x[i]);
        }
    }
}
