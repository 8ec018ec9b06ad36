/* Tests of guard/wide*.c on synthetic rows: the optimum, the logit, the folds. */
#include "guard/wide.h"
#include "guard/text.h"
#include "guard/wide_impl.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const nn_par one_thread = {1, NULL};

static guard_text text_of(const char *s)
{
    return (guard_text){s, s ? strlen(s) : 0};
}

static void add(guard_corpus *c, const char *text, const char *response, const char *concept, int label)
{
    guard_row row;
    nn_err err = {NN_OK, ""};

    memset(&row, 0, sizeof row);
    snprintf(row.id, sizeof row.id, "%016zx", c->n);
    row.label = label;
    row.text = text_of(text);
    row.response = text_of(response);
    row.concept = text_of(concept);
    row.source = text_of("test");
    expect_ok(guard_corpus_add(c, &row, &err), &err);
}

/* Sentences of drawn words; an unsafe one holds "glorp" or "vrix" more often than a safe one, so
 * the classes overlap. */
static guard_corpus *sentences(size_t n, uint64_t seed)
{
    static const char *const words[] = {"the", "a", "garden", "river", "paint", "song", "table", "runs", "sees",
                                        "builds", "green", "old"};
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) {
        nn_rng r = nn_rng_at(seed, "sentence", i);
        const int label = i % 3 == 0 ? GUARD_UNSAFE : GUARD_SAFE;
        char text[200] = "", concept[24];

        for (int k = 0; k < 6; k++) {
            strcat(text, words[nn_rng_below(&r, 12)]);
            strcat(text, " ");
        }
        if (nn_rng_below(&r, 10) < (label == GUARD_UNSAFE ? 8u : 1u)) strcat(text, i % 2 ? "glorp" : "vrix");
        snprintf(concept, sizeof concept, "c%zu", i / 2);
        add(c, text, NULL, concept, label);
    }
    return c;
}

static guard_wide_options small_options(void)
{
    guard_wide_options o = guard_wide_default();

    o.bits = 12;
    o.seed = 5;
    return o;
}

static guard_wide *train(const guard_corpus *c, const double *weight, const guard_wide_options *o)
{
    guard_wide *w = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_wide_train(&w, c, weight, o, &one_thread, &err), &err);
    return w;
}

static float logit(const guard_wide *w, const char *text, const char *response)
{
    guard_features f = {0};
    nn_err err = {NN_OK, ""};
    float z = 0.0f;

    expect_ok(guard_wide_text_logit(w, &f, text, strlen(text), response, response ? strlen(response) : 0, &z,
                                    &err), &err);
    guard_features_free(&f);
    return z;
}

static bool same_model(const guard_wide *a, const guard_wide *b)
{
    const size_t bytes = sizeof(float) << a->bits;

    return a->bits == b->bits && a->bias == b->bias && memcmp(a->weight, b->weight, bytes) == 0 &&
           memcmp(a->idf, b->idf, bytes) == 0;
}

/* --- the solver --------------------------------------------------------------------------- */

/* At the primal's optimum w = sum_i C_i sigmoid(-y_i z_i) y_i x_i, in every coordinate and in the
 * bias. */
Test(wide, solution_is_the_optimum_of_the_convex_problem)
{
    guard_corpus *c = sentences(120, 1);
    guard_wide_options o = small_options();
    guard_wide_rows rows;
    guard_wide_work work;
    nn_err err = {NN_OK, ""};
    double weight[120];

    o.max_passes = 2000;
    o.tolerance = 1e-7;
    for (size_t i = 0; i < 120; i++) weight[i] = 0.25 + (double)(i % 5);
    expect_ok(guard_wide_rows_build(&rows, c, weight, &o, &err), &err);
    expect_ok(guard_wide_work_build(&work, &rows, &err), &err);
    guard_wide_solve(&work, &rows, NULL, 0, &o);
    cr_expect(work.passes < 2000, "violation %g", work.violation);

    double *want = calloc(4096, sizeof *want), bias = 0.0, largest = 0.0;
    for (size_t i = 0; i < rows.n; i++) {
        const double y = rows.sign[i], pull = rows.cost[i] * nn_sigmoid(-y * guard_wide_row_logit(&work, &rows,
                                                                                                  i)) * y;

        bias += pull;
        for (size_t e = rows.start[i]; e < rows.start[i + 1]; e++) {
            const uint32_t slot = rows.entry[e] >> 8;

            want[slot] += pull * (double)(work.scale[i] * work.value[rows.entry[e] & 255u] * work.slot[slot].idf);
        }
    }
    for (size_t s = 0; s < 4096; s++) {
        cr_assert(fabs((double)work.slot[s].weight - want[s]) < 2e-5, "slot %zu: %g, want %g", s,
                  (double)work.slot[s].weight, want[s]);
        largest = fabs(want[s]) > largest ? fabs(want[s]) : largest;
    }
    cr_expect(largest > 0.5 && fabs(work.bias - bias) < 2e-5, "bias %g, want %g", work.bias, bias);
    free(want);
    guard_wide_work_free(&work);
    guard_wide_rows_free(&rows);
    guard_corpus_free(c);
}

Test(wide, learns_what_separates_the_classes_and_nothing_else)
{
    guard_corpus *c = sentences(600, 2), *held = sentences(300, 3);
    const guard_wide_options o = small_options();
    guard_wide *w = train(c, NULL, &o);
    size_t wrong = 0;

    for (size_t i = 0; i < held->n; i++) {
        const char *text = held->row[i].text.s;
        const bool marked = strstr(text, "glorp") || strstr(text, "vrix");

        wrong += (logit(w, text, NULL) > 0.0f) != marked;
    }
    cr_expect(wrong <= 6, "%zu of 300 verdicts against the only cause there is", wrong);
    cr_expect(logit(w, "glorp", NULL) > 1.0f && logit(w, "the green garden", NULL) < -0.5f);
    guard_wide_free(w);
    guard_corpus_free(c);
    guard_corpus_free(held);
}

Test(wide, same_input_gives_the_same_bytes)
{
    guard_corpus *c = sentences(100, 4);
    guard_wide_options o = small_options();
    guard_wide *a = train(c, NULL, &o), *b = train(c, NULL, &o);

    cr_expect(same_model(a, b));
    guard_wide_free(b);
    o.seed = 6;
    b = train(c, NULL, &o);
    cr_expect(!same_model(a, b), "another seed takes the rows in another order");
    guard_wide_free(a);
    guard_wide_free(b);
    guard_corpus_free(c);
}

Test(wide, rows_without_label_or_weight_are_as_if_absent)
{
    guard_corpus *c = sentences(60, 5), *more = sentences(60, 5);
    const guard_wide_options o = small_options();
    double weight[62];

    add(more, "glorp glorp vrix unheard", NULL, "x", GUARD_LABEL_NONE);
    add(more, "glorp glorp vrix unheard", NULL, "y", GUARD_SAFE);
    for (size_t i = 0; i < 62; i++) weight[i] = i < 61 ? 1.0 : 0.0;
    weight[60] = (double)NAN; /* of the row without label: not looked at */
    guard_wide *a = train(c, NULL, &o), *b = train(more, weight, &o);
    cr_expect(same_model(a, b));
    guard_wide_free(a);
    guard_wide_free(b);
    guard_corpus_free(c);
    guard_corpus_free(more);
}

/* --- the logit ---------------------------------------------------------------------------- */

Test(wide, logit_is_the_formula_over_the_features)
{
    guard_corpus *c = sentences(200, 6);
    const guard_wide_options o = small_options();
    guard_wide *w = train(c, NULL, &o);
    const char *raw = "The  OLD garden, glorp  !";
    char norm[GUARD_TEXT_ROOM(32)], scratch[GUARD_TEXT_ROOM(32)];
    guard_features f = {0};
    nn_err err = {NN_OK, ""};
    double dot = 0.0, square = 0.0;

    const size_t n = guard_text_normalise(norm, sizeof norm, raw, strlen(raw), scratch);
    expect_ok(guard_features_of(&f, norm, n, o.bits, &err), &err);
    for (size_t i = 0; i < f.n; i++) {
        const double x = (double)(f.value[i] * w->idf[f.slot[i]]);

        dot += x * (double)w->weight[f.slot[i]];
        square += x * x;
    }
    const float want = (float)((double)w->bias + dot / sqrt(square)), got = logit(w, raw, NULL);
    expect_same_floats("logit", &got, &want, 1);
    const float nothing = logit(w, "", NULL);
    expect_same_floats("empty text", &nothing, &w->bias, 1);
    guard_features_free(&f);
    guard_wide_free(w);
    guard_corpus_free(c);
}

Test(wide, a_response_is_judged_with_its_prompt_under_another_salt)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};
    const guard_wide_options o = small_options();

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (int i = 0; i < 40; i++) { /* the word in the answer decides; in the prompt it says nothing */
        add(c, i & 2 ? "please glorp now" : "please sing now", i & 1 ? "sure glorp it" : "sure sing it", NULL,
            i & 1);
        add(c, i & 1 ? "only glorp here" : "only songs here", NULL, NULL, i & 1);
    }
    guard_wide *w = train(c, NULL, &o);
    cr_expect(logit(w, "please sing now", "sure glorp it") > 0.5f && logit(w, "please glorp now",
                                                                           "sure sing it") < -0.5f);
    cr_expect(logit(w, "only glorp here", NULL) > 0.5f);
    cr_expect(logit(w, "sing", "glorp") > logit(w, "glorp", "sing") + 0.5f,
              "the same words, in each other's place");
    cr_expect(logit(w, "glorp", NULL) != logit(w, "", "glorp"), "the task is a feature");
    guard_wide_free(w);
    guard_corpus_free(c);
}

Test(wide, any_bytes_have_a_finite_logit)
{
    guard_corpus *c = sentences(60, 7);
    const guard_wide_options o = small_options();
    guard_wide *w = train(c, NULL, &o);
    guard_features f = {0};
    nn_err err = {NN_OK, ""};
    unsigned char text[3000];
    float z = NAN;

    for (uint64_t draw = 0; draw < 50; draw++) {
        nn_rng r = nn_rng_at(9, "bytes", draw);

        for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)nn_rng_below(&r, draw % 2 ? 256 : 8);
        expect_ok(guard_wide_text_logit(w, &f, (const char *)text, sizeof text, NULL, 0, &z, &err), &err);
        cr_assert(isfinite(z));
    }
    /* one character that folds to 18 */
    for (size_t i = 0; i + 3 <= sizeof text; i += 3) memcpy(text + i, "\xef\xb7\xba", 3);
    expect_ok(guard_wide_text_logit(w, &f, (const char *)text, sizeof text, NULL, 0, &z, &err), &err);
    cr_expect(isfinite(z));
    guard_features_free(&f);
    guard_wide_free(w);
    guard_corpus_free(c);
}

Test(wide, checking_allocates_nothing_after_a_text_as_long)
{
    guard_corpus *c = sentences(60, 8);
    const guard_wide_options o = small_options();
    guard_wide *w = train(c, NULL, &o);
    guard_features f = {0};
    nn_err err = {NN_OK, ""};
    float z = 0.0f;

    expect_ok(guard_wide_logit(w, &f, &c->row[0], &z, &err), &err);
    guard_row shorter = c->row[0];
    shorter.text.n -= 3;
    nn_alloc_fail_at(0);
    const nn_status st = guard_wide_logit(w, &f, &shorter, &z, &err);
    nn_alloc_fail_at(-1);
    expect_ok(st, &err);
    guard_features_free(&f);
    guard_wide_free(w);
    guard_corpus_free(c);
}

/* --- folds -------------------------------------------------------------------------------- */

Test(wide, out_of_fold_logits_come_from_models_that_never_saw_the_concept)
{
    guard_corpus *c = sentences(90, 10);
    const guard_wide_options o = small_options();
    nn_err err = {NN_OK, ""};
    float z[90], want[90];
    double weight[90];
    guard_features f = {0};

    expect_ok(guard_wide_out_of_fold(z, c, NULL, 3, &o, &one_thread, &err), &err);
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < 90; i++) weight[i] = guard_fold(&c->row[i], 3, o.seed) == k ? 0.0 : 1.0;
        guard_wide *w = train(c, weight, &o);
        for (size_t i = 0; i < 90; i++)
            if (weight[i] == 0.0) expect_ok(guard_wide_logit(w, &f, &c->row[i], &want[i], &err), &err);
        guard_wide_free(w);
    }
    expect_close("out of fold", z, want, 90, 1e-5);
    guard_features_free(&f);
    guard_corpus_free(c);
}

Test(wide, threads_change_no_bit)
{
    guard_corpus *c = sentences(90, 11);
    const guard_wide_options o = small_options();
    nn_err err = {NN_OK, ""};
    float z[90], again[90];

    expect_ok(guard_wide_out_of_fold(z, c, NULL, 5, &o, &one_thread, &err), &err);
    for (size_t threads = 2; threads <= 7; threads++) {
        nn_par par;

        expect_ok(nn_par_open(&par, threads, &err), &err);
        expect_ok(guard_wide_out_of_fold(again, c, NULL, 5, &o, &par, &err), &err);
        expect_same_floats("out of fold", again, z, 90);
        nn_par_close(&par);
    }
    guard_corpus_free(c);
}

Test(wide, folds_keep_concepts_together_and_are_even)
{
    guard_corpus *c = sentences(2000, 12);
    size_t n[4] = {0};

    for (size_t i = 0; i < c->n; i++) {
        cr_assert(guard_fold(&c->row[i], 4, 1) == guard_fold(&c->row[i - i % 2], 4, 1));
        n[guard_fold(&c->row[i], 4, 1)]++;
    }
    for (size_t k = 0; k < 4; k++) cr_expect(n[k] > 400 && n[k] < 600, "fold %zu: %zu", k, n[k]);
    guard_corpus_free(c);
}

/* --- refusals ----------------------------------------------------------------------------- */

Test(wide, bad_options_and_rows_are_refused)
{
    guard_corpus *c = sentences(4, 13), *empty = sentences(0, 13);
    const guard_wide_options good = small_options();
    guard_wide_options o = good;
    guard_wide *w = NULL;
    double weight[4] = {1.0, -1.0, 1.0, 1.0};
    float z[4];
    nn_err err = {NN_OK, ""};

    expect_fails(guard_wide_train(&w, empty, NULL, &good, &one_thread, &err), NN_CONTENT, &err, "none of 0 rows");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_wide_train(&w, c, weight, &good, &one_thread, &err), NN_CONTENT, &err, "weight -1");
    err = (nn_err){NN_OK, ""};
    weight[1] = (double)NAN;
    expect_fails(guard_wide_train(&w, c, weight, &good, &one_thread, &err), NN_CONTENT, &err, "weight");
    err = (nn_err){NN_OK, ""};
    o.bits = 30;
    expect_fails(guard_wide_train(&w, c, NULL, &o, &one_thread, &err), NN_USAGE, &err, "bits 30");
    err = (nn_err){NN_OK, ""};
    o = good;
    o.C = (double)NAN;
    expect_fails(guard_wide_train(&w, c, NULL, &o, &one_thread, &err), NN_USAGE, &err, "C ");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_wide_out_of_fold(z, c, NULL, 1, &good, &one_thread, &err), NN_USAGE, &err, "1 folds");
    cr_expect_null(w);
    guard_corpus_free(c);
    guard_corpus_free(empty);
}

Test(wide, each_failed_allocation_is_reported)
{
    guard_corpus *c = sentences(6, 14);
    guard_wide_options o = small_options();
    nn_status st = NN_LIMIT;
    nn_err err;
    float z[6];

    o.bits = 6;
    for (long n = 0; st != NN_OK; n++) {
        guard_wide *w = NULL;

        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = guard_wide_train(&w, c, NULL, &o, &one_thread, &err);
        if (st == NN_OK) st = guard_wide_out_of_fold(z, c, NULL, 2, &o, &one_thread, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld", n);
        guard_wide_free(w);
    }
    guard_corpus_free(c);
}
