/* Tests of the losses: values, gradients, what is skipped, in place, at the ends of the range, threads. */
#include "nn/ops.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <string.h>

enum { R = 5, V = 19 };
static const int32_t target[R] = {3, -1, 18, 0, 3};
static const float weight[R] = {0.5f, 1.0f, 0.25f, -1.0f, 0.0f}; /* a negative weight is a policy gradient's */

typedef struct {
    nn_exec x;
    float logits[R * V], logprob[R];
} xent_case;

static xent_case xent_new(void)
{
    xent_case t = {.x = exec_with(NULL, 1, 16)};

    fill_random(t.logits, R * V, 3.0f, 1);
    return t;
}

static double xent_value(void *ctx)
{
    xent_case *t = ctx;

    return nn_xent(&t->x, t->logprob, NULL, t->logits, target, weight, R, V);
}

Test(ops_xent, loss_and_log_probability_are_the_formula_in_double)
{
    xent_case t = xent_new();
    const double loss = xent_value(&t);
    double want = 0.0;
    float logprob[R] = {0};

    for (size_t r = 0; r < R; r++) {
        double sum = 0.0;
        if (target[r] < 0) continue;
        for (size_t v = 0; v < V; v++) sum += exp((double)t.logits[r * V + v]);
        const double log_p = (double)t.logits[r * V + (size_t)target[r]] - log(sum);
        logprob[r] = (float)log_p;
        want -= (double)weight[r] * log_p;
    }
    expect_close("logprob", t.logprob, logprob, R, 1e-6);
    expect_close_double("loss", &loss, &want, 1, 1e-6);
    nn_exec_free(&t.x);
}

Test(ops_xent, gradient_matches_finite_difference)
{
    xent_case t = xent_new();
    float dlogits[R * V];

    nn_xent(&t.x, t.logprob, dlogits, t.logits, target, weight, R, V);
    expect_gradient("dlogits", xent_value, &t, t.logits, dlogits, R * V, 1.0);
    for (size_t v = 0; v < V; v++) cr_expect(dlogits[V + v] == 0.0f, "the row without target has a gradient");
    nn_exec_free(&t.x);
}

Test(ops_xent, in_place_and_without_gradient_are_the_same_bytes)
{
    xent_case t = xent_new();
    float dlogits[R * V], alone[R], in_place[R];
    const double loss = nn_xent(&t.x, t.logprob, dlogits, t.logits, target, weight, R, V);

    cr_expect(nn_xent(&t.x, alone, NULL, t.logits, target, weight, R, V) == loss);
    cr_expect(nn_xent(&t.x, in_place, t.logits, t.logits, target, weight, R, V) == loss);
    expect_same_floats("logprob alone", alone, t.logprob, R);
    expect_same_floats("logprob in place", in_place, t.logprob, R);
    expect_same_floats("dlogits in place", t.logits, dlogits, R * V);
    nn_exec_free(&t.x);
}

Test(ops_xent, no_weight_means_one)
{
    static const float ones[R] = {1, 1, 1, 1, 1};
    xent_case t = xent_new();
    float with[R * V], without[R * V];
    const double loss = nn_xent(&t.x, t.logprob, with, t.logits, target, ones, R, V);

    cr_expect(nn_xent(&t.x, t.logprob, without, t.logits, target, NULL, R, V) == loss);
    expect_same_floats("dlogits", without, with, R * V);
    nn_exec_free(&t.x);
}

Test(ops_xent, threads_do_not_change_a_bit)
{
    enum { ROWS = 301, WIDE = 300 };
    static float logits[ROWS * WIDE], d[2][ROWS * WIDE], logprob[2][ROWS], alone[ROWS];
    static int32_t y[ROWS];
    double loss[2] = {0.0, 0.0};

    fill_random(logits, ROWS * WIDE, 9.0f, 1);
    for (size_t r = 0; r < ROWS; r++) y[r] = (int32_t)(r % (WIDE + 1)) - 1;
    for (size_t threads = 1; threads <= 4; threads++) {
        nn_exec x = exec_with(NULL, threads, 16);
        const size_t to = threads > 1;

        loss[to] = nn_xent(&x, logprob[to], d[to], logits, y, NULL, ROWS, WIDE);
        nn_xent(&x, alone, NULL, logits, y, NULL, ROWS, WIDE);
        nn_exec_free(&x);
        cr_expect(loss[to] == loss[0], "%.17g and %.17g", loss[to], loss[0]);
        expect_same_floats("logprob", logprob[to], logprob[0], ROWS);
        expect_same_floats("logprob alone", alone, logprob[0], ROWS);
        expect_same_floats("dlogits", d[to], d[0], ROWS * WIDE);
    }
}

/* --- the verdict head --------------------------------------------------------------------------- */

enum { S = 4 };
static const float label[S] = {1.0f, 0.0f, 0.75f, 1.0f}, label_weight[S] = {1.0f, 0.5f, 0.25f, 0.0f};
static const float offset[S] = {0.5f, -1.0f, 2.0f, 0.0f};

typedef struct {
    nn_exec x;
    float logits[S * 2], p[S];
} verdict_case;

static double verdict_value(void *ctx)
{
    verdict_case *t = ctx;

    return nn_verdict_loss(&t->x, t->p, NULL, t->logits, offset, label, label_weight, S);
}

Test(ops_verdict, gradient_matches_finite_difference)
{
    verdict_case t = {.x = exec_with(NULL, 1, 16)};
    float dlogits[S * 2];

    fill_random(t.logits, S * 2, 2.0f, 1);
    nn_verdict_loss(&t.x, t.p, dlogits, t.logits, offset, label, label_weight, S);
    expect_gradient("dlogits", verdict_value, &t, t.logits, dlogits, S * 2, 1.0);
    nn_exec_free(&t.x);
}

Test(ops_verdict, without_offset_it_is_the_softmax_of_two_rows)
{
    static const float logits[] = {1.0f, -0.5f}, y = 1.0f, w = 1.0f;
    const double p = exp(-0.5) / (exp(1.0) + exp(-0.5)), want_loss = -log(p);
    const float want_p = (float)p, want_d[] = {(float)(1.0 - p), (float)(p - 1.0)};
    float got_p = 0.0f, d[2];
    nn_exec x = exec_with(NULL, 1, 16);
    const double loss = nn_verdict_loss(&x, &got_p, d, logits, NULL, &y, &w, 1);

    expect_close("p", &got_p, &want_p, 1, 1e-7);
    expect_close("dlogits", d, want_d, 2, 1e-7);
    expect_close_double("loss", &loss, &want_loss, 1, 1e-12);
    nn_exec_free(&x);
}

Test(ops_verdict, extreme_logits_stay_finite_and_sure)
{
    static const float logits[] = {-400.0f, 400.0f, /**/ 400.0f, -400.0f, /**/ -400.0f, 400.0f};
    static const float y[] = {1.0f, 0.0f, 0.0f}, w[] = {1.0f, 1.0f, 1.0f};
    static const float want_p[] = {1.0f, 0.0f, 1.0f};
    float p[3], d[6];
    nn_exec x = exec_with(NULL, 1, 16);

    cr_expect(nn_verdict_loss(&x, p, d, logits, NULL, y, w, 2) == 0.0, "two sure and right rows cost something");
    cr_expect(nn_verdict_loss(&x, p, d, logits, NULL, y, w, 3) == 800.0, "the wrong row costs its logit");
    expect_close("p", p, want_p, 3, 1e-30);
    cr_expect(d[4] == -1.0f && d[5] == 1.0f);
    nn_exec_free(&x);
}

Test(ops_verdict, weight_zero_gives_the_probability_alone)
{
    static const float logits[] = {0.0f, 2.0f}, y = NAN, w = 0.0f;
    float p = 0.0f, d[2] = {1.0f, 1.0f};
    nn_exec x = exec_with(NULL, 1, 16);

    cr_expect(nn_verdict_loss(&x, &p, d, logits, NULL, &y, &w, 1) == 0.0);
    cr_expect(d[0] == 0.0f && d[1] == 0.0f && p > 0.88f && p < 0.89f);
    nn_exec_free(&x);
}

/* --- categories ------------------------------------------------------------------------------------ */

enum { N = 3 };
static const float mask[S * N] = {1, 0, -1, /**/ 0, 0, 1, /**/ -1, -1, -1, /**/ 1, 1, 1};

typedef struct {
    nn_exec x;
    float logits[S * N], p[S * N];
} category_case;

static double category_value(void *ctx)
{
    category_case *t = ctx;

    return nn_category_loss(&t->x, t->p, NULL, t->logits, mask, label_weight, S, N);
}

Test(ops_category, gradient_matches_finite_difference)
{
    category_case t = {.x = exec_with(NULL, 1, 16)};
    float dlogits[S * N];

    fill_random(t.logits, S * N, 2.0f, 1);
    nn_category_loss(&t.x, t.p, dlogits, t.logits, mask, label_weight, S, N);
    expect_gradient("dlogits", category_value, &t, t.logits, dlogits, S * N, 1.0);
    nn_exec_free(&t.x);
}

Test(ops_category, an_unknown_target_and_a_weight_of_zero_teach_nothing)
{
    category_case t = {.x = exec_with(NULL, 1, 16)};
    float dlogits[S * N];
    double want = 0.0;

    fill_random(t.logits, S * N, 2.0f, 1);
    const double loss = nn_category_loss(&t.x, t.p, dlogits, t.logits, mask, label_weight, S, N);
    for (size_t i = 0; i < S * N; i++) {
        const double p = 1.0 / (1.0 + exp(-(double)t.logits[i])), w = (double)label_weight[i / N];
        const bool learns = mask[i] >= 0.0f && w > 0.0;
        if (learns) want -= w * log(mask[i] > 0.0f ? p : 1.0 - p);
        cr_expect(learns == (dlogits[i] != 0.0f), "element %zu", i);
        cr_expect(fabs((double)t.p[i] - p) < 1e-7, "p[%zu]", i);
    }
    expect_close_double("loss", &loss, &want, 1, 1e-12);
    nn_exec_free(&t.x);
}
