/* Tests of guard/metrics.h: scikit-learn's numbers, one-class sets, intervals and thresholds. */
#include "guard/dataset.h"
#include "guard/metrics.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* got is NaN where the fixture says null. */
static void expect_number(const char *name, const json_t *c, const char *key, double got)
{
    const json_t *v = json_object_get(c, key);

    cr_assert(v != NULL, "%s: no %s", name, key);
    if (json_is_null(v)) cr_expect(isnan(got), "%s: %s %.17g, want none", name, key, got);
    else
        cr_expect(fabs(got - json_number_value(v)) <= 1e-9, "%s: %s %.17g, want %.17g", name, key, got,
                  json_number_value(v));
}

static void compare_case(const json_t *c)
{
    const json_t *label = json_object_get(c, "label"), *score = json_object_get(c, "score");
    const char *name = json_string_value(json_object_get(c, "name"));
    const size_t n = json_array_size(label);
    int *y = calloc(n, sizeof *y);
    double *p = calloc(n, sizeof *p);
    nn_err err = {NN_OK, ""};
    guard_metrics m;

    cr_assert(y && p && n == json_array_size(score));
    for (size_t i = 0; i < n; i++) {
        y[i] = (int)json_integer_value(json_array_get(label, i));
        p[i] = json_number_value(json_array_get(score, i));
    }
    expect_ok(guard_metrics_compute(&m, y, p, n, json_number_value(json_object_get(c, "threshold")), &err), &err);
    expect_number(name, c, "precision", m.precision);
    expect_number(name, c, "recall", m.recall);
    expect_number(name, c, "f1", m.f1);
    expect_number(name, c, "average_precision", m.average_precision);
    expect_number(name, c, "roc_auc", m.roc_auc);
    expect_number(name, c, "log_loss", m.log_loss);
    expect_number(name, c, "brier", m.brier);
    free(y);
    free(p);
}

Test(metrics, equal_to_scikit_learn)
{
    skip_unless_fixture("fixtures/metrics.json");
    json_t *root = json_load_file(shared_path("fixtures/metrics.json"), 0, NULL);
    const json_t *cases = json_object_get(root, "cases");

    cr_assert_eq(json_array_size(cases), 6u);
    for (size_t i = 0; i < json_array_size(cases); i++) compare_case(json_array_get(cases, i));
    json_decref(root);
}

static const int five_label[] = {0, 1, 1, 0, 1};
static const double five_score[] = {0.1, 0.4, 0.3, 0.3, 0.2};

Test(metrics, five_rows_by_hand)
{
    guard_metrics m;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_metrics_compute(&m, five_label, five_score, 5, 0.3, &err), &err);
    cr_expect(m.n == 5 && m.positive == 3 && m.flagged == 3);
    cr_expect_float_eq(m.precision, 2.0 / 3.0, 1e-15);
    cr_expect_float_eq(m.recall, 2.0 / 3.0, 1e-15);
    cr_expect_float_eq(m.fpr, 0.5, 1e-15);
    cr_expect_float_eq(m.average_precision, (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0, 1e-15);
    /* pairs (unsafe, safe): 0.4 beats both, 0.3 ties one and beats one, 0.2 beats one: 4.5 of 6 */
    cr_expect_float_eq(m.roc_auc, 4.5 / 6.0, 1e-15);
}

Test(metrics, one_class_sets_say_what_is_defined)
{
    static const int safe[] = {0, 0, 0};
    static const double p[] = {0.9, 0.2, 0.1};
    guard_metrics m;
    guard_intervals ci;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_metrics_compute(&m, safe, p, 3, 0.5, &err), &err);
    cr_expect_float_eq(m.fpr, 1.0 / 3.0, 1e-15);
    cr_expect(isnan(m.recall) && isnan(m.f1) && isnan(m.average_precision) && isnan(m.roc_auc));
    expect_ok(guard_metrics_bootstrap(&ci, safe, p, 3, 0.5, 100, 1, &err), &err);
    cr_expect(ci.fpr.low >= 0.0 && ci.fpr.high > 0.0 && isnan(ci.recall.low) && isnan(ci.roc_auc.high));

    expect_ok(guard_metrics_compute(&m, NULL, NULL, 0, 0.5, &err), &err);
    cr_expect(m.n == 0 && isnan(m.brier));
}

Test(metrics, bad_labels_and_scores_are_refused)
{
    static const int two[] = {0, 2};
    static const int one[] = {1};
    static const double p[] = {0.5, 0.5}, beyond[] = {1.5};
    const double nan_score[] = {(double)NAN};
    guard_metrics m;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_metrics_compute(&m, two, p, 2, 0.5, &err), NN_CONTENT, &err, "row 2: label 2");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_metrics_compute(&m, one, nan_score, 1, 0.5, &err), NN_CONTENT, &err, "score not finite");
    err = (nn_err){NN_OK, ""};
    expect_ok(guard_metrics_compute(&m, one, beyond, 1, 0.5, &err), &err);
    cr_expect(isnan(m.log_loss) && isnan(m.brier) && m.recall == 1.0);
}

enum { N_DRAWN = 400 };

static void drawn_rows(int *label, double *p)
{
    nn_rng rng = nn_rng_at(3, "test", 0);

    for (size_t i = 0; i < N_DRAWN; i++) {
        const double u = nn_rng_double(&rng);
        label[i] = (int)nn_rng_below(&rng, 2);
        p[i] = 0.1 * floor(10.0 * (0.6 * u + 0.4 * label[i])); /* ties too */
    }
}

/* A resample, written out row by row. */
static double auc_of_draw(const int *label, const double *p, uint64_t draw)
{
    int y[N_DRAWN];
    double q[N_DRAWN];
    guard_metrics m;
    nn_rng rng = nn_rng_at(7, "bootstrap", draw);

    for (size_t i = 0; i < N_DRAWN; i++) {
        const size_t at = (size_t)nn_rng_below(&rng, N_DRAWN);
        y[i] = label[at];
        q[i] = p[at];
    }
    cr_assert(guard_metrics_compute(&m, y, q, N_DRAWN, 0.5, NULL) == NN_OK);
    return m.roc_auc;
}

Test(metrics, intervals_hold_the_estimate_and_shrink_with_it)
{
    int label[N_DRAWN];
    double p[N_DRAWN];
    guard_metrics m;
    guard_intervals ci;
    nn_err err = {NN_OK, ""};

    drawn_rows(label, p);
    expect_ok(guard_metrics_compute(&m, label, p, N_DRAWN, 0.5, &err), &err);
    expect_ok(guard_metrics_bootstrap(&ci, label, p, N_DRAWN, 0.5, 1000, 7, &err), &err);
    cr_expect(ci.roc_auc.low < m.roc_auc && m.roc_auc < ci.roc_auc.high);
    cr_expect(ci.f1.low < m.f1 && m.f1 < ci.f1.high && ci.fpr.low < m.fpr && m.fpr < ci.fpr.high);
    /* the binomial's width for recall: 2 * 1.96 * sqrt(r (1 - r) / positives) */
    const double width = 3.92 * sqrt(m.recall * (1.0 - m.recall) / (double)m.positive);
    cr_expect_float_eq(ci.recall.high - ci.recall.low, width, 0.15 * width);
}

/* Ranks stand for rows: after sorting the rows themselves, a draw is the plain resample. */
Test(metrics, one_draw_is_a_plain_resample)
{
    static const double few[] = {0.9, 0.8, 0.7, 0.6, 0.5};
    int label[N_DRAWN];
    double p[N_DRAWN];
    guard_intervals ci;
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < N_DRAWN; i++) { /* already in the order of the ranking */
        p[i] = few[i / 80];
        label[i] = i % 80 < 60 - i / 10;
    }
    expect_ok(guard_metrics_bootstrap(&ci, label, p, N_DRAWN, 0.5, 1, 7, &err), &err);
    cr_expect_float_eq(ci.roc_auc.low, auc_of_draw(label, p, 0), 1e-12);
    cr_expect(ci.roc_auc.low == ci.roc_auc.high);
}

Test(metrics, intervals_do_not_depend_on_the_order_of_rows)
{
    int label[N_DRAWN], turned[N_DRAWN];
    double p[N_DRAWN], q[N_DRAWN];
    guard_intervals a, b;
    nn_err err = {NN_OK, ""};

    drawn_rows(label, p);
    for (size_t i = 0; i < N_DRAWN; i++) {
        turned[i] = label[N_DRAWN - 1 - i];
        q[i] = p[N_DRAWN - 1 - i];
    }
    expect_ok(guard_metrics_bootstrap(&a, label, p, N_DRAWN, 0.5, 200, 7, &err), &err);
    expect_ok(guard_metrics_bootstrap(&b, turned, q, N_DRAWN, 0.5, 200, 7, &err), &err);
    cr_expect(memcmp(&a, &b, sizeof a) == 0);
}

static size_t flagged_safe(const int *label, const double *p, size_t n, double threshold)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) k += !label[i] && p[i] >= threshold;
    return k;
}

Test(metrics, the_threshold_keeps_the_rate_and_is_the_smallest)
{
    static const double target[] = {0.0, 0.01, 0.05, 0.1, 0.29, 0.5, 1.0};
    int label[100] = {0};
    double p[100], t = 0.0;
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < 100; i++) p[i] = (double)(float)((double)(i * 37 % 100) / 100.0);
    for (size_t i = 0; i < sizeof target / sizeof *target; i++) {
        expect_ok(guard_threshold_at_fpr(&t, label, p, 100, target[i], &err), &err);
        cr_expect_eq(flagged_safe(label, p, 100, t), (size_t)(target[i] * 100.0 + 0.5), "target %g", target[i]);
        cr_expect(t == (double)(float)t, "a threshold stored as float is the same");
    }
}

Test(metrics, ties_at_the_threshold_are_kept_out)
{
    static const int label[] = {0, 0, 0, 0, 1, 1};
    static const double p[] = {0.1, 0.7, 0.7, 0.7, 0.7, 0.9}, below[] = {-3.0, -1.0, -1.0, -2.0, -0.5, 4.0};
    double t = 0.0;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_threshold_at_fpr(&t, label, p, 6, 0.5, &err), &err);
    cr_expect(t > 0.7 && t < 0.7001);
    expect_ok(guard_threshold_at_fpr(&t, label, below, 6, 0.25, &err), &err);
    cr_expect(t > -1.0 && t < -0.9999);
    expect_ok(guard_threshold_at_fpr(&t, label, below, 6, 0.5, &err), &err);
    cr_expect(t > -2.0 && t < -1.9999, "both rows of the tie are allowed");

    static const int unsafe[] = {1};
    expect_fails(guard_threshold_at_fpr(&t, unsafe, p, 1, 0.5, &err), NN_CONTENT, &err, "no safe row");
}
