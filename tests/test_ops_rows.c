/* Tests of the ops that work row by row: RMSNorm, rotary positions, SwiGLU. */
#include "nn/ops.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <string.h>

enum { R = 3, C = 21, BIG_R = 301, BIG_C = 260 };

typedef struct {
    nn_exec x;
    float in[R * C], w[C], c[R * C], y[R * C], rstd[R];
} norm_case;

static double norm_value(void *ctx)
{
    norm_case *n = ctx;

    nn_rmsnorm_fwd(&n->x, n->y, NULL, n->in, n->w, 1e-5f, R, C);
    return weigh(n->c, n->y, R * C);
}

static norm_case norm_new(void)
{
    norm_case n = {.x = exec_with(NULL, 1, 16)};

    fill_random(n.in, R * C, 1.0f, 1);
    fill_random(n.w, C, 1.0f, 2);
    fill_random(n.c, R * C, 1.0f, 3);
    return n;
}

Test(ops_rmsnorm, forward_is_the_formula_in_double)
{
    norm_case n = norm_new();
    float want[R * C];

    nn_rmsnorm_fwd(&n.x, n.y, n.rstd, n.in, n.w, 1e-5f, R, C);
    for (size_t r = 0; r < R; r++) {
        double mean = 0.0;
        for (size_t i = 0; i < C; i++) mean += (double)n.in[r * C + i] * (double)n.in[r * C + i] / C;
        for (size_t i = 0; i < C; i++)
            want[r * C + i] = (float)((double)n.w[i] * (double)n.in[r * C + i] / sqrt(mean + 1e-5));
        cr_expect(fabs((double)n.rstd[r] * sqrt(mean + 1e-5) - 1.0) < 1e-6);
    }
    expect_close("y", n.y, want, R * C, 1e-6);
    nn_rmsnorm_fwd(&n.x, n.in, NULL, n.in, n.w, 1e-5f, R, C);
    expect_same_floats("in place", n.in, n.y, R * C);
    nn_exec_free(&n.x);
}

Test(ops_rmsnorm, backward_matches_finite_difference)
{
    norm_case n = norm_new();
    float din[R * C] = {0}, dw[C] = {0};

    nn_rmsnorm_fwd(&n.x, n.y, n.rstd, n.in, n.w, 1e-5f, R, C);
    for (int pass = 0; pass < 2; pass++) nn_rmsnorm_bwd(&n.x, din, dw, n.c, n.in, n.w, n.rstd, R, C);
    expect_gradient("din", norm_value, &n, n.in, din, R * C, 2.0);
    expect_gradient("dw", norm_value, &n, n.w, dw, C, 2.0);
    nn_exec_free(&n.x);
}

Test(ops_rmsnorm, weight_gradient_of_two_halves_is_that_of_the_whole)
{
    norm_case n = norm_new();
    float whole[C] = {0}, halves[C] = {0};

    nn_rmsnorm_fwd(&n.x, n.y, n.rstd, n.in, n.w, 1e-5f, R, C);
    nn_rmsnorm_bwd(&n.x, NULL, whole, n.c, n.in, n.w, n.rstd, R, C);
    nn_rmsnorm_bwd(&n.x, NULL, halves, n.c, n.in, n.w, n.rstd, 1, C);
    nn_rmsnorm_bwd(&n.x, NULL, halves, n.c + C, n.in + C, n.w, n.rstd + 1, R - 1, C);
    expect_same_floats("dw", halves, whole, C);
    nn_exec_free(&n.x);
}

Test(ops_rmsnorm, threads_do_not_change_a_bit)
{
    static float in[BIG_R * BIG_C], dy[BIG_R * BIG_C], y[2][BIG_R * BIG_C], din[2][BIG_R * BIG_C];
    static float w[BIG_C], dw[2][BIG_C], rstd[BIG_R];

    fill_random(in, BIG_R * BIG_C, 2.0f, 1);
    fill_random(dy, BIG_R * BIG_C, 2.0f, 2);
    fill_random(w, BIG_C, 1.0f, 3);
    for (size_t threads = 1; threads <= 4; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);
        const size_t to = threads > 1;

        memset(din[to], 0, sizeof din[to]);
        memset(dw[to], 0, sizeof dw[to]);
        nn_rmsnorm_fwd(&x, y[to], rstd, in, w, 1e-6f, BIG_R, BIG_C);
        nn_rmsnorm_bwd(&x, din[to], dw[to], dy, in, w, rstd, BIG_R, BIG_C);
        nn_exec_free(&x);
        expect_same_floats("y", y[to], y[0], BIG_R * BIG_C);
        expect_same_floats("din", din[to], din[0], BIG_R * BIG_C);
        expect_same_floats("dw", dw[to], dw[0], BIG_C);
    }
}

/* --- rotary positions ------------------------------------------------------------------------- */

enum { T = 40, HEADS = 2, D = 6, ROPE_N = R * HEADS * D };

typedef struct {
    nn_exec x;
    float in[ROPE_N], c[ROPE_N], cos_t[T * D / 2], sin_t[T * D / 2];
    int32_t pos[R];
    bool half;
} rope_case;

static rope_case rope_new(bool half)
{
    rope_case o = {.x = exec_with(NULL, 1, 16), .pos = {0, 7, T - 1}, .half = half};

    nn_rope_table(o.cos_t, o.sin_t, 10000.0f, NULL, T, D);
    fill_random(o.in, ROPE_N, 1.0f, 1);
    fill_random(o.c, ROPE_N, 1.0f, 2);
    return o;
}

static double rope_value(void *ctx)
{
    rope_case *o = ctx;
    float y[ROPE_N];

    memcpy(y, o->in, sizeof y);
    nn_rope(&o->x, y, o->pos, o->cos_t, o->sin_t, R, HEADS, D, o->half, 1.0f);
    return weigh(o->c, y, ROPE_N);
}

Test(ops_rope, table_holds_the_angles_of_the_paper)
{
    rope_case o = rope_new(true);

    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < D / 2; i++) {
            const double angle = (double)t * pow(10000.0, -2.0 * (double)i / D);
            cr_expect(fabs((double)o.cos_t[t * (D / 2) + i] - cos(angle)) < 6e-8);
            cr_expect(fabs((double)o.sin_t[t * (D / 2) + i] - sin(angle)) < 6e-8);
        }
    nn_exec_free(&o.x);
}

Test(ops_rope, interpolated_positions_lie_between_those_trained)
{
    rope_case o = rope_new(true);
    float divisor[D / 2], cos_t[T * D / 2], sin_t[T * D / 2];

    nn_rope_linear(divisor, D, 4.0f);
    nn_rope_table(cos_t, sin_t, 10000.0f, divisor, T, D);
    for (size_t t = 0; t < T; t += 4) { /* a quarter is exact, so the bytes are those of position t / 4 */
        expect_same_floats("cos", cos_t + t * (D / 2), o.cos_t + t / 4 * (D / 2), D / 2);
        expect_same_floats("sin", sin_t + t * (D / 2), o.sin_t + t / 4 * (D / 2), D / 2);
    }
    for (size_t i = 0; i < D / 2; i++) divisor[i] = i == 1 ? 2.0f : 0.0f; /* 0: this one not */
    nn_rope_table(cos_t, sin_t, 10000.0f, divisor, T, D);
    for (size_t i = 0; i < D / 2; i++) {
        const size_t t = i == 1 ? 4 : 8;
        cr_expect_eq(cos_t[8 * (D / 2) + i], o.cos_t[t * (D / 2) + i]);
    }
    nn_exec_free(&o.x);
}

/* The divisors of Llama 3.2 1B and 3.1 8B; the blends among them were computed elsewhere, from wavelengths. */
Test(ops_rope, llama3_stretches_the_long_wavelengths_alone)
{
    static const float small[] = {1.65132925f, 3.2922621f, 9.66672898f};
    static const float large[] = {1.20748387f, 1.55341463f, 2.02631321f, 2.69452969f, 3.68425253f, 5.25732659f};
    float divisor[64];

    nn_rope_llama3(divisor, 500000.0f, 64, 32.0f, 1.0f, 4.0f, 8192);
    for (size_t i = 0; i < 15; i++) cr_expect_eq(divisor[i], 1.0f);
    expect_close("3.2 1B", divisor + 15, small, 3, 1e-6);
    for (size_t i = 18; i < 32; i++) cr_expect_eq(divisor[i], 32.0f);
    nn_rope_llama3(divisor, 500000.0f, 128, 8.0f, 1.0f, 4.0f, 8192);
    for (size_t i = 0; i < 29; i++) cr_expect_eq(divisor[i], 1.0f);
    expect_close("3.1 8B", divisor + 29, large, 6, 1e-6);
    for (size_t i = 35; i < 64; i++) cr_expect_eq(divisor[i], 8.0f);
}

/* One pair, which turns by 1 a position, so original_max_t / (2 pi) turns: 5.09 are more than 4, the frequency stays;
 * 0.95 are less than 1; 3.02 keep (3.02 - 1) / (4 - 1) = 0.675. */
Test(ops_rope, llama3_by_hand)
{
    static const struct {
        size_t original_max_t;
        float want;
    } by_hand[] = {{32, 1.0f}, {6, 10.0f}, {19, 1.0f / (0.3253520f / 10.0f + 0.6746480f)}};
    float divisor;

    for (size_t i = 0; i < sizeof by_hand / sizeof *by_hand; i++) {
        nn_rope_llama3(&divisor, 1.0f, 2, 10.0f, 1.0f, 4.0f, by_hand[i].original_max_t);
        expect_close("divisor", &divisor, &by_hand[i].want, 1, 1e-5);
    }
}

Test(ops_rope, position_zero_changes_nothing_and_pairs_are_the_ones_named)
{
    for (int half = 0; half < 2; half++) {
        rope_case o = rope_new(half);
        float y[ROPE_N];
        const float *in = o.in + HEADS * D, *cos_t = o.cos_t + 7 * (D / 2), *sin_t = o.sin_t + 7 * (D / 2);
        const size_t a = half ? 1 : 2, b = half ? 1 + D / 2 : 3; /* pair 1 */

        memcpy(y, o.in, sizeof y);
        nn_rope(&o.x, y, o.pos, o.cos_t, o.sin_t, R, HEADS, D, o.half, 1.0f);
        expect_same_floats("position 0", y, o.in, HEADS * D);
        const float want[2] = {in[a] * cos_t[1] - in[b] * sin_t[1], in[b] * cos_t[1] + in[a] * sin_t[1]};
        const float got[2] = {y[HEADS * D + a], y[HEADS * D + b]};
        expect_close("position 7", got, want, 2, 1e-6);
        nn_exec_free(&o.x);
    }
}

Test(ops_rope, backward_matches_finite_difference)
{
    for (int half = 0; half < 2; half++) {
        rope_case o = rope_new(half);
        float dx[ROPE_N];

        memcpy(dx, o.c, sizeof dx);
        nn_rope(&o.x, dx, o.pos, o.cos_t, o.sin_t, R, HEADS, D, o.half, -1.0f);
        expect_gradient("dx", rope_value, &o, o.in, dx, ROPE_N, 1.0);
        nn_exec_free(&o.x);
    }
}

Test(ops_rope, a_product_of_two_rows_depends_on_their_distance_alone)
{
    rope_case o = rope_new(true);
    static const int32_t at[2][2] = {{3, 11}, {20, 28}};
    double product[2];

    for (size_t i = 0; i < 2; i++) {
        float v[2 * D];

        memcpy(v, o.in, sizeof v);
        nn_rope(&o.x, v, at[i], o.cos_t, o.sin_t, 2, 1, D, true, 1.0f);
        product[i] = weigh(v, v + D, D);
    }
    cr_expect(fabs(product[0] - product[1]) < 1e-6, "%.9g and %.9g", product[0], product[1]);
    nn_exec_free(&o.x);
}

Test(ops_rope, threads_do_not_change_a_bit)
{
    enum { ROWS = 700, WIDE = 64 };
    static float cos_t[T * WIDE / 2], sin_t[T * WIDE / 2], one[ROWS * 2 * WIDE], more[ROWS * 2 * WIDE];
    int32_t pos[ROWS];

    nn_rope_table(cos_t, sin_t, 1e6f, NULL, T, WIDE);
    for (size_t r = 0; r < ROWS; r++) pos[r] = (int32_t)(r % T);
    for (size_t threads = 1; threads <= 4; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);
        float *v = threads > 1 ? more : one;

        fill_random(v, ROWS * 2 * WIDE, 1.0f, 1);
        nn_rope(&x, v, pos, cos_t, sin_t, ROWS, 2, WIDE, true, 1.0f);
        nn_exec_free(&x);
        expect_same_floats("v", v, one, ROWS * 2 * WIDE);
    }
}

/* --- SwiGLU -------------------------------------------------------------------------------------- */

/* --- fused: the bytes of the parts ------------------------------------------------------- */

enum { F_ROWS = 2000, F_HEADS = 6, F_KV = 2, F_D = 12, F_T = 9 }; /* enough rows for several threads */

Test(ops_rows, a_sum_and_its_norm_are_the_bytes_of_both_alone)
{
    static float in[F_ROWS * C], add[F_ROWS * C], sum[F_ROWS * C], y[F_ROWS * C], want[F_ROWS * C];
    static float w[C], rstd[F_ROWS], s[F_ROWS];

    for (size_t threads = 1; threads <= 3; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);

        fill_random(in, F_ROWS * C, 1.0f, 1);
        fill_random(add, F_ROWS * C, 1.0f, 2);
        fill_random(w, C, 1.0f, 3);
        nn_add_rmsnorm_fwd(&x, y, rstd, sum, in, add, w, 1e-5f, F_ROWS, C);
        x.k->add(in, add, F_ROWS * C);
        expect_same_floats("sum", sum, in, F_ROWS * C);
        nn_rmsnorm_fwd(&x, want, s, in, w, 1e-5f, F_ROWS, C);
        expect_same_floats("y", y, want, F_ROWS * C);
        expect_same_floats("rstd", rstd, s, F_ROWS);
        nn_exec_free(&x);
    }
}

Test(ops_rows, queries_and_keys_together_are_the_bytes_of_each_alone)
{
    static float raw[F_ROWS * F_HEADS * F_D], q[F_ROWS * F_HEADS * F_D], want_q[F_ROWS * F_HEADS * F_D];
    static float k[F_ROWS * F_KV * F_D], want_k[F_ROWS * F_KV * F_D], s[F_ROWS * F_HEADS], want_s[F_ROWS * F_HEADS];
    float w[F_D], cos_t[F_T * F_D / 2], sin_t[F_T * F_D / 2];
    static int32_t pos[F_ROWS];

    nn_rope_table(cos_t, sin_t, 100.0f, NULL, F_T, F_D);
    fill_random(raw, F_ROWS * F_HEADS * F_D, 1.0f, 1);
    fill_random(w, F_D, 1.0f, 2);
    for (size_t r = 0; r < F_ROWS; r++) pos[r] = (int32_t)(r % F_T);
    for (size_t threads = 1; threads <= 3; threads++)
        for (int half = 0; half < 2; half++) {
            nn_exec x = exec_with(NULL, threads, 16);

            memcpy(k, raw, sizeof k); /* keys without a norm: rotated in place */
            memcpy(want_k, raw, sizeof k);
            nn_qk_rope(&x, (nn_heads){q, s, raw, w, F_HEADS}, (nn_heads){k, NULL, NULL, NULL, F_KV}, 1e-5f, pos, cos_t,
                       sin_t, F_ROWS, F_D, half, 1.0f);
            nn_rmsnorm_fwd(&x, want_q, want_s, raw, w, 1e-5f, F_ROWS * F_HEADS, F_D);
            nn_rope(&x, want_q, pos, cos_t, sin_t, F_ROWS, F_HEADS, F_D, half, 1.0f);
            nn_rope(&x, want_k, pos, cos_t, sin_t, F_ROWS, F_KV, F_D, half, 1.0f);
            expect_same_floats("q", q, want_q, F_ROWS * F_HEADS * F_D);
            expect_same_floats("k", k, want_k, F_ROWS * F_KV * F_D);
            expect_same_floats("rstd", s, want_s, F_ROWS * F_HEADS);
            nn_exec_free(&x);
        }
}

typedef struct {
    nn_exec x;
    float gate[R * C], up[R * C], c[R * C], y[R * C];
} swiglu_case;

static double swiglu_value(void *ctx)
{
    swiglu_case *s = ctx;

    nn_swiglu_fwd(&s->x, s->y, s->gate, s->up, R, C);
    return weigh(s->c, s->y, R * C);
}

static swiglu_case swiglu_new(void)
{
    swiglu_case s = {.x = exec_with(NULL, 1, 16)};

    fill_random(s.gate, R * C, 4.0f, 1);
    fill_random(s.up, R * C, 1.0f, 2);
    fill_random(s.c, R * C, 1.0f, 3);
    return s;
}

Test(ops_swiglu, forward_is_the_formula_in_double)
{
    swiglu_case s = swiglu_new();
    float want[R * C];

    nn_swiglu_fwd(&s.x, s.y, s.gate, s.up, R, C);
    for (size_t i = 0; i < R * C; i++)
        want[i] = (float)((double)s.gate[i] / (1.0 + exp(-(double)s.gate[i])) * (double)s.up[i]);
    expect_close("y", s.y, want, R * C, 1e-6);
    nn_exec_free(&s.x);
}

Test(ops_swiglu, backward_matches_finite_difference)
{
    swiglu_case s = swiglu_new();
    float dgate[R * C], dup[R * C];

    nn_swiglu_bwd(&s.x, dgate, dup, s.c, s.gate, s.up, R, C);
    expect_gradient("dgate", swiglu_value, &s, s.gate, dgate, R * C, 1.0);
    expect_gradient("dup", swiglu_value, &s, s.up, dup, R * C, 1.0);
    nn_exec_free(&s.x);
}

Test(ops_swiglu, threads_do_not_change_a_bit)
{
    enum { N = BIG_R * BIG_C };
    static float gate[N], up[N], dy[N], y[2][N], dgate[2][N], dup[2][N];

    fill_random(gate, N, 4.0f, 1);
    fill_random(up, N, 4.0f, 2);
    fill_random(dy, N, 4.0f, 3);
    for (size_t threads = 1; threads <= 4; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);
        const size_t to = threads > 1;

        nn_swiglu_fwd(&x, y[to], gate, up, BIG_R, BIG_C);
        nn_swiglu_bwd(&x, dgate[to], dup[to], dy, gate, up, BIG_R, BIG_C);
        nn_exec_free(&x);
        expect_same_floats("y", y[to], y[0], N);
        expect_same_floats("dgate", dgate[to], dgate[0], N);
        expect_same_floats("dup", dup[to], dup[0], N);
    }
}
