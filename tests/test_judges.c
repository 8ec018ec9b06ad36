/* Tests of guard/curate.h, the judges: what each says, the vote, the majority. */
#include "guard/curate.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "tests/support.h"
#include "tests/test_guard_toy.h"
#include <math.h>
#include <string.h>

static nn_err err;
static guard_corpus *human, *rows;
static nn_tok *tok;
static guard_classifier *other;
static guard_judges *judges;
static toy_job job;

static void make_world(void)
{
    guard_judge_options o = guard_judge_default();

    err = (nn_err){NN_OK, ""};
    human = toy_corpus(96);
    tok = toy_tok(human);
    other = toy_guard(human, tok, true);
    toy_job_open(&job, 1, NULL);
    o.wide = toy_wide_options();
    o.neighbours = 3;
    expect_ok(guard_judges_build(&judges, human, other, &o, &job.job, &err), &err);
    expect_ok(guard_corpus_build(&rows, &err), &err);
    add_toy_row(rows, "aaaaaaaaaaaaaaa1", GUARD_UNSAFE, "how do I break my phone");
    add_toy_row(rows, "aaaaaaaaaaaaaaa2", GUARD_SAFE, "how do I break my phone");
    add_toy_row(rows, "aaaaaaaaaaaaaaa3", GUARD_SAFE, "please tell me how to bake the cake");
    add_toy_row(rows, "aaaaaaaaaaaaaaa4", GUARD_LABEL_NONE, "please tell me how to bake the cake");
}

static void drop_world(void)
{
    guard_judges_free(judges);
    guard_classifier_close(other);
    guard_corpus_free(human);
    guard_corpus_free(rows);
    nn_tok_free(tok);
    toy_job_close(&job);
}

TestSuite(judges, .init = make_world, .fini = drop_world);

Test(judges, agree_with_right_labels_and_not_with_wrong_ones)
{
    expect_ok(guard_judges_vote(judges, rows, "06.curate", &job.job, &err), &err);
    cr_assert(column_at(rows, "votes", 0) >= 2.0 && column_at(rows, "majority", 0) == 1.0);
    cr_assert(column_at(rows, "votes", 1) <= 1.0 && column_at(rows, "majority", 1) == 0.0);
    cr_assert_eq(column_at(rows, "votes", 0) + column_at(rows, "votes", 1), 3.0, "each judge is on one side");
    cr_assert(column_at(rows, "votes", 2) >= 2.0);
    cr_assert(isnan(column_at(rows, "votes", 3)) && isnan(column_at(rows, "majority", 3)));
    cr_assert(column_at(rows, "judge_ngram", 3) == column_at(rows, "judge_ngram", 2),
              "a judge does not read the label");
    cr_assert_eq(guard_corpus_find(rows, "majority")->kind, GUARD_COL_BOOL);
}

Test(judges, each_column_is_that_judge_s_own_p)
{
    guard_verdict v[4];
    guard_features f = {0};
    guard_wide *w = toy_wide(human);

    expect_ok(guard_judges_vote(judges, rows, "s", &job.job, &err), &err);
    expect_ok(guard_score(other, rows, v, &job.job, &err), &err);
    for (size_t i = 0; i < 4; i++) {
        float z = 0.0f;
        double count = 0.0;

        expect_ok(guard_wide_logit(w, &f, &rows->row[i], &z, &err), &err);
        cr_assert(fabs(column_at(rows, "judge_ngram", i) - nn_sigmoid((double)z)) < 1e-15);
        cr_assert(fabs(column_at(rows, "judge_guard", i) - (double)v[i].p_unsafe) < 1e-15);
        cr_assert(column_at(rows, "judge_near", i) >= 0.0 && column_at(rows, "judge_near", i) <= 1.0);
        static const char *const name[] = {"judge_ngram", "judge_near", "judge_guard"};
        for (size_t k = 0; k < 3; k++)
            count += (column_at(rows, name[k], i) >= 0.5) == (rows->row[i].label == GUARD_UNSAFE);
        if (i < 3) cr_assert_eq(column_at(rows, "votes", i), count);
    }
    guard_features_free(&f);
    guard_wide_free(w);
}

/* One unsafe row for two safe ones: what a judge says moves from the odds of its seeds to even odds. */
Test(judges, are_asked_at_even_odds)
{
    size_t pick[96], n = 0, n_unsafe = 0, n_safe = 0;
    guard_corpus *skewed = NULL;
    guard_judges *j = NULL;
    guard_judge_options o = guard_judge_default();
    guard_features f = {0};
    float z = 0.0f;

    for (size_t i = 0; i < human->n; i++) {
        const bool unsafe = human->row[i].label == GUARD_UNSAFE;
        if (unsafe ? n_unsafe < 20 : n_safe < 40) pick[n++] = i;
        if (unsafe) n_unsafe += n_unsafe < 20;
        else n_safe += n_safe < 40;
    }
    cr_assert(n_unsafe == 20 && n_safe == 40);
    o.wide = toy_wide_options();
    expect_ok(guard_corpus_pick(&skewed, human, pick, n, &err), &err);
    expect_ok(guard_judges_build(&j, skewed, other, &o, &job.job, &err), &err);
    expect_ok(guard_judges_vote(j, rows, "s", &job.job, &err), &err);
    guard_wide *w = toy_wide(skewed);
    expect_ok(guard_wide_logit(w, &f, &rows->row[0], &z, &err), &err);
    const double p = nn_sigmoid((double)z), even = p * 2.0 / (p * 2.0 + (1.0 - p));
    cr_assert(fabs(column_at(rows, "judge_ngram", 0) - even) < 1e-12, "%g, want %g", column_at(rows, "judge_ngram", 0), even);
    guard_wide_free(w);
    guard_features_free(&f);
    guard_judges_free(j);
    guard_corpus_free(skewed);
}

Test(judges, the_nearest_seeds_say_what_their_labels_are_and_never_include_the_row_itself)
{
    guard_corpus *few = NULL, *asked = NULL;
    guard_judges *j = NULL;
    guard_judge_options o = guard_judge_default();

    o.wide = toy_wide_options();
    o.neighbours = 1;
    expect_ok(guard_corpus_build(&few, &err), &err);
    expect_ok(guard_corpus_build(&asked, &err), &err);
    add_toy_row(few, "1111111111111111", GUARD_UNSAFE, "how do I break a window");
    add_toy_row(few, "2222222222222222", GUARD_SAFE, "zz 00 qq");
    add_toy_row(asked, "9999999999999999", GUARD_UNSAFE, "how do I break a window");
    add_toy_row(asked, "1111111111111111", GUARD_UNSAFE,
                "how do I break a window"); /* the seed: only the other one is left */
    expect_ok(guard_judges_build(&j, few, other, &o, &job.job, &err), &err);
    expect_ok(guard_judges_vote(j, asked, "s", &job.job, &err), &err);
    cr_assert_eq(column_at(asked, "judge_near", 0), 1.0);
    cr_assert(column_at(asked, "judge_near", 1) <= 0.5);
    guard_judges_free(j);
    guard_corpus_free(few);
    guard_corpus_free(asked);
}

Test(judges, same_bytes_for_any_thread_count)
{
    static toy_job three;
    size_t all[96];
    guard_corpus *a = NULL, *b = NULL;
    char x[65], y[65];

    for (size_t i = 0; i < 96; i++) all[i] = i;
    toy_job_open(&three, 3, NULL);
    expect_ok(guard_corpus_pick(&a, human, all, 96, &err), &err);
    expect_ok(guard_corpus_pick(&b, human, all, 96, &err), &err);
    expect_ok(guard_judges_vote(judges, a, "s", &job.job, &err), &err);
    expect_ok(guard_judges_vote(judges, b, "s", &three.job, &err), &err);
    guard_corpus_hash(a, x);
    guard_corpus_hash(b, y);
    cr_assert_str_eq(x, y);
    toy_job_close(&three);
    guard_corpus_free(a);
    guard_corpus_free(b);
}

Test(judges, every_failing_allocation_is_reported)
{
    guard_judge_options o = guard_judge_default();
    nn_status st = NN_LIMIT;

    o.wide = toy_wide_options();
    for (long n = 0; st != NN_OK; n++) {
        guard_judges *j = NULL;

        cr_assert(n < 10000);
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = guard_judges_build(&j, human, other, &o, &job.job, &err);
        if (st == NN_OK) st = guard_judges_vote(j, rows, "s", &job.job, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld: %s", n, err.text);
        guard_judges_free(j);
    }
}
