/* Tests of guard/curate.h, the measures: loss over folds, similarity, duplicates. */
#include "guard/curate.h"
#include "guard/neighbour.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "tests/support.h"
#include "tests/test_guard_toy.h"
#include <math.h>
#include <string.h>

static nn_err err;
static guard_corpus *corpus;
static nn_tok *tok;
static toy_job job;

static void make_world(void)
{
    err = (nn_err){NN_OK, ""};
    corpus = toy_corpus(96);
    tok = toy_tok(corpus);
    toy_job_open(&job, 1, NULL);
}

static void drop_world(void)
{
    toy_job_close(&job);
    nn_tok_free(tok);
    guard_corpus_free(corpus);
}

TestSuite(curate, .init = make_world, .fini = drop_world);

Test(curate, a_wrong_label_has_a_high_held_out_loss_and_no_label_none)
{
    const guard_wide_options o = toy_wide_options();
    double right = 0.0;

    add_toy_row(corpus, "aaaaaaaaaaaaaaa1", GUARD_UNSAFE, "how do I bake the cake");
    add_toy_row(corpus, "aaaaaaaaaaaaaaa2", GUARD_LABEL_NONE, "how do I bake the cake");
    expect_ok(guard_curate_loss(corpus, 5, &o, "05.curate", &job.job, &err), &err);
    for (size_t i = 0; i < 96; i++) {
        right += column_at(corpus, "loss", i) / 96.0;
        cr_assert_eq(column_at(corpus, "fold", i), (double)guard_fold(&corpus->row[i], 5, o.seed));
    }
    cr_assert(column_at(corpus, "loss", 96) > 1.0 && column_at(corpus, "loss", 96) > 3.0 * right, "%g against %g",
              column_at(corpus, "loss", 96), right);
    cr_assert(isnan(column_at(corpus, "loss", 97)));
    cr_assert_str_eq(guard_corpus_find(corpus, "loss")->stage, "05.curate");
}

Test(curate, a_row_s_loss_is_of_a_model_that_never_saw_its_fold)
{
    guard_wide_options o = toy_wide_options();
    guard_features f = {0};
    guard_corpus *rest = NULL;
    guard_wide *w = NULL;
    size_t pick[96], n = 0;
    float z = 0.0f;

    expect_ok(guard_curate_loss(corpus, 4, &o, "s", &job.job, &err), &err);
    const size_t fold = (size_t)column_at(corpus, "fold", 7);
    for (size_t i = 0; i < corpus->n; i++)
        if ((size_t)column_at(corpus, "fold", i) != fold) pick[n++] = i;
    expect_ok(guard_corpus_pick(&rest, corpus, pick, n, &err), &err);
    expect_ok(guard_wide_train(&w, rest, NULL, &o, &job.exec.par, &err), &err);
    expect_ok(guard_wide_logit(w, &f, &corpus->row[7], &z, &err), &err);
    const double want = nn_softplus(corpus->row[7].label == GUARD_UNSAFE ? -(double)z : (double)z);
    cr_assert_float_eq(column_at(corpus, "loss", 7), want, 0.02 * want + 1e-3, "%g, want %g",
                       column_at(corpus, "loss", 7), want);
    guard_features_free(&f);
    guard_wide_free(w);
    guard_corpus_free(rest);
}

Test(curate, similarity_is_the_cosine_to_the_nearest_of_each_label)
{
    guard_classifier *g = toy_guard(corpus, tok, true);
    guard_corpus *c = NULL, *human = NULL;

    expect_ok(guard_corpus_build(&c, &err), &err);
    expect_ok(guard_corpus_build(&human, &err), &err);
    add_toy_row(human, "1111111111111111", GUARD_SAFE, "how do I bake the bread");
    add_toy_row(human, "2222222222222222", GUARD_UNSAFE, "how do I break a window");
    add_toy_row(human, "3333333333333333", GUARD_SAFE, "zzz qqq 000");
    add_toy_row(human, "4444444444444444", GUARD_LABEL_NONE, "nobody judged this");
    add_toy_row(c, "aaaaaaaaaaaaaaaa", GUARD_SAFE, "how do I bake the bread");   /* the words of a human row */
    add_toy_row(c, "2222222222222222", GUARD_UNSAFE, "how do I break a window"); /* a human row itself */
    add_toy_row(c, "bbbbbbbbbbbbbbbb", GUARD_UNSAFE, "nobody judged this");
    add_toy_row(c, "cccccccccccccccc", GUARD_LABEL_NONE, "how do I bake the bread");
    expect_ok(guard_curate_similarity(c, human, g, "s", &job.job, &err), &err);
    cr_assert_float_eq(column_at(c, "sim", 0), 1.0, 1e-5);
    cr_assert(column_at(c, "sim_other", 0) < 0.999);
    cr_assert(isnan(column_at(c, "sim", 1)), "no other unsafe human row");
    cr_assert(column_at(c, "sim_other", 1) > 0.0);
    cr_assert(column_at(c, "sim", 2) < 0.999, "the row without label never counts");
    cr_assert(isnan(column_at(c, "sim", 3)) && isnan(column_at(c, "sim_other", 3)));
    guard_corpus_free(c);
    guard_corpus_free(human);
    guard_classifier_close(g);
}

Test(curate, neighbours_are_those_of_a_plain_search_for_any_thread_count)
{
    enum { N = 300, M = 700, W = 12, K = 5 };
    static float query[N * W], base[M * W];
    static uint64_t query_id[N], base_id[M];
    static int query_label[N], base_label[M];
    static guard_near one[N * K], three[N * K];
    guard_points q = {query, query_id, query_label, N, W}, b = {base, base_id, base_label, M, W};
    nn_exec x;
    nn_rng rng = nn_rng_at(1, "points", 0);

    for (size_t i = 0; i < N * W; i++) query[i] = nn_rng_float(&rng) - 0.5f;
    for (size_t i = 0; i < M * W; i++)
        base[i] = i / W % 7 == 6 ? base[i - W] : nn_rng_float(&rng) - 0.5f; /* equal rows: ties */
    for (size_t i = 0; i < N; i++) {
        query_id[i] = i;
        query_label[i] = (int)(i % 3) - 1;
    }
    for (size_t i = 0; i < M; i++) {
        base_id[i] = i % 2 ? i : i + 100000;
        base_label[i] = (int)(i % 5 % 3) - 1;
    }
    expect_ok(nn_exec_open(&x, NULL, 3, 64, &err), &err);
    for (int kind = GUARD_NEAR_LABELLED; kind <= GUARD_NEAR_OTHER; kind++) {
        expect_ok(guard_neighbours(one, K, &q, &b, (guard_near_kind)kind, &job.exec, &err), &err);
        expect_ok(guard_neighbours(three, K, &q, &b, (guard_near_kind)kind, &x, &err), &err);
        for (size_t i = 0; i < N; i++) {
            size_t before = 0; /* allowed rows that are nearer than the last, or as near and earlier */
            const guard_near *near = one + i * K;

            for (size_t k = 0; k < K; k++) cr_assert(near[k].at == three[i * K + k].at);
            if (query_label[i] < 0 && kind != GUARD_NEAR_LABELLED) {
                cr_assert_eq(near[0].at, SIZE_MAX);
                continue;
            }
            for (size_t j = 0; j < M; j++) {
                const bool allowed = base_label[j] >= 0 && base_id[j] != query_id[i] &&
                                     (kind == GUARD_NEAR_LABELLED ||
                                      (base_label[j] == query_label[i]) == (kind == GUARD_NEAR_SAME));
                float dot = 0.0f;

                for (size_t w = 0; w < W; w++) dot = fmaf(query[i * W + w], base[j * W + w], dot);
                before += allowed && (dot > near[K - 1].cosine || (dot == near[K - 1].cosine && j < near[K - 1].at));
            }
            cr_assert_eq(before, K - 1, "kind %d, query %zu", kind, i);
            for (size_t k = 1; k < K; k++)
                cr_assert(near[k - 1].cosine > near[k].cosine ||
                          (near[k - 1].cosine == near[k].cosine && near[k - 1].at < near[k].at));
        }
    }
    nn_exec_free(&x);
}

Test(curate, a_repeated_row_is_a_duplicate_of_the_earlier_one)
{
    guard_corpus *c = NULL;

    expect_ok(guard_corpus_build(&c, &err), &err);
    add_toy_row(c, "1111111111111111", GUARD_SAFE, "show me how to bake a very large loaf of bread today");
    add_toy_row(c, "2222222222222222", GUARD_SAFE, "something else entirely stands in this row");
    add_toy_row(c, "3333333333333333", GUARD_SAFE, "Show me how to bake a very large loaf of bread today!");
    add_toy_row(c, "4444444444444444", GUARD_SAFE, "show me how to bake a very large loaf of bread now");
    add_toy_row(c, "5555555555555555", GUARD_SAFE, "");
    expect_ok(guard_curate_duplicates(c, "s", &job.job, &err), &err);
    const double want[] = {0.0, 0.0, 1.0, 9.0 / 11.0, 0.0};
    for (size_t i = 0; i < 5; i++)
        cr_assert_float_eq(column_at(c, "dup", i), want[i], 1e-12, "row %zu: %g", i, column_at(c, "dup", i));
    guard_corpus_free(c);
}

Test(curate, stops_when_asked)
{
    const guard_wide_options o = toy_wide_options();

    job.stop_at = 1;
    cr_assert_eq(guard_curate_loss(corpus, 5, &o, "s", &job.job, &err), NN_STOP);
    job.calls = 0;
    cr_assert_eq(guard_curate_duplicates(corpus, "s", &job.job, NULL), NN_STOP);
}
