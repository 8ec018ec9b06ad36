#include "nn/mathf.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_guard_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The mean loss against Platt's targets at (a, b). */
static double platt_loss(const guard_verdict *v, const guard_corpus *c, double a, double b)
{
    double n1 = 0.0, n0 = 0.0, loss = 0.0;

    for (size_t i = 0; i < c->n; i++) *(c->row[i].label ? &n1 : &n0) += 1.0;
    for (size_t i = 0; i < c->n; i++) {
        const double t = c->row[i].label ? (n1 + 1.0) / (n1 + 2.0) : 1.0 / (n0 + 2.0),
                     z = a * (double)v[i].logit + b;

        loss += t * log1p(exp(-z)) + (1.0 - t) * log1p(exp(z));
    }
    return loss / (double)c->n;
}

Test(calibrate, is_the_minimum_of_platts_loss)
{
    guard_classifier *g = random_guard(true, true, 41);
    guard_corpus *valid = word_corpus(120, 5, false);
    guard_verdict v[120];
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_calibrate(g, valid, &job, &err), &err);
    expect_ok(guard_score(g, valid, v, &job, &err), &err);
    const double a = guard_classifier_parts(g)->calibrate_a, b = guard_classifier_parts(g)->calibrate_b;
    const double best = platt_loss(v, valid, a, b);
    cr_assert(a > 0.0 && (double)(float)a == a && (double)(float)b == b);
    for (int i = 0; i < 8; i++) {
        const double da = 0.01 * (i % 3 - 1) * a, db = 0.01 * (i / 3 - 1);
        cr_expect(platt_loss(v, valid, a + da, b + db) >= best - 1e-9, "(%g, %g) is better than (%g, %g)", a + da,
                  b + db, a, b);
    }
    cr_expect(v[0].p_unsafe == guard_calibrated(guard_classifier_parts(g), v[0].logit));
    nn_exec_free(&x);
    guard_corpus_free(valid);
    guard_classifier_close(g);
}

Test(calibrate, thresholds_hold_their_rates_on_the_rows_they_were_chosen_on)
{
    guard_classifier *g = random_guard(true, false, 42);
    guard_corpus *valid = word_corpus(400, 6, true);
    guard_verdict *v = calloc(valid->n, sizeof *v);
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_calibrate(g, valid, &job, &err), &err);
    expect_ok(guard_score(g, valid, v, &job, &err), &err);
    for (size_t r = 0; r < GUARD_RATES; r++) {
        const float threshold = guard_classifier_threshold(g, guard_target_rates[r]);
        size_t safe = 0, flagged = 0;

        for (size_t i = 0; i < valid->n; i++) {
            safe += valid->row[i].label == GUARD_SAFE;
            flagged += valid->row[i].label == GUARD_SAFE && v[i].p_unsafe >= threshold;
        }
        cr_expect((double)flagged / (double)safe <= guard_target_rates[r], "rate %g: %zu of %zu",
                  guard_target_rates[r], flagged, safe);
        cr_expect(r == 0 || threshold <= guard_classifier_threshold(g, guard_target_rates[r - 1]));
    }
    cr_expect_eq(guard_classifier_threshold(g, 0), guard_classifier_threshold(g, 0.05), "the default rate");
    cr_expect_eq(guard_classifier_threshold(g, 0.03), guard_classifier_threshold(g, 0.02), "the nearest rate");
    free(v);
    nn_exec_free(&x);
    guard_corpus_free(valid);
    guard_classifier_close(g);
}

/* label: of every row; GUARD_LABEL_NONE leaves nothing to choose on. */
static guard_classifier *calibrated_on(int label)
{
    guard_classifier *g = random_guard(true, false, 43);
    guard_row row[3] = {row_of("river", NULL, label), row_of("stone", NULL, label), row_of("bread", NULL, label)};
    guard_corpus *valid = corpus_of(row, 3);
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_calibrate(g, valid, &job, &err), &err);
    nn_exec_free(&x);
    guard_corpus_free(valid);
    return g;
}

Test(calibrate, one_class_leaves_the_logit_as_it_is)
{
    for (int label = GUARD_LABEL_NONE; label <= GUARD_UNSAFE; label++) {
        guard_classifier *g = calibrated_on(label);
        const guard_parts *p = guard_classifier_parts(g);

        cr_expect(p->calibrate_a == 1.0 && p->calibrate_b == 0.0);
        cr_expect((p->threshold[0] == 0.5f) == (label != GUARD_SAFE), "label %d: threshold %g", label,
                  (double)p->threshold[0]);
        guard_classifier_close(g);
    }
}

Test(calibrate, rows_that_contradict_the_guard_do_not_turn_it_round)
{
    guard_classifier *g = random_guard(true, false, 44);
    guard_corpus *valid = word_corpus(100, 7, false);
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < valid->n; i++) valid->row[i].label = !valid->row[i].label;
    expect_ok(guard_classifier_calibrate(g, valid, &job, &err), &err);
    cr_expect(guard_classifier_parts(g)->calibrate_a == 1.0);
    nn_exec_free(&x);
    guard_corpus_free(valid);
    guard_classifier_close(g);
}
