/* Tests of evaluation: twins and ordinary rows apart, one-class sets, JSON and back, tables as people read them. */
#include "guard/dataset.h"
#include "guard/evaluate.h"
#include "guard/pairs.h"
#include "nn/arena.h"
#include "tests/support.h"
#include "tests/test_guard_toy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static guard_corpus *rows_of(const char *const *line, size_t n)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) expect_ok(guard_dataset_line(c, line[i], strlen(line[i]), "rows", &err), &err);
    return c;
}

/* --- which rows are twins ---------------------------------------------------------------------- */

Test(pairs, twins_are_told_by_parent_or_by_mark)
{
    static const char *const line[] = {
        "{\"id\":\"aaaa000000000001\",\"text\":\"u\",\"label\":1,\"kind\":\"unsafe\"}",
        "{\"id\":\"aaaa000000000002\",\"text\":\"by parent\",\"label\":0,\"parent\":[\"ffff000000000000\",\"aaaa000000000001\"]}",
        "{\"id\":\"aaaa000000000003\",\"text\":\"by mark\",\"label\":0,\"severity\":0,\"kind\":\"twin\"}",
        "{\"id\":\"aaaa000000000004\",\"text\":\"a mutation of a safe row\",\"label\":0,\"parent\":[\"aaaa000000000003\"]}",
        "{\"id\":\"aaaa000000000005\",\"text\":\"ordinary\",\"label\":0,\"kind\":\"ordinary\",\"note\":\"twin\"}",
        "{\"id\":\"aaaa000000000006\",\"text\":\"unsafe with an unsafe parent\",\"label\":1,\"parent\":[\"aaaa000000000001\"]}",
        "{\"id\":\"aaaa000000000007\",\"text\":\"by column\",\"label\":0,\"cols\":{\"kind\":\"twin\"}}",
        "{\"id\":\"aaaa000000000008\",\"text\":\"the column decides\",\"label\":0,\"kind\":\"twin\",\"cols\":{\"kind\":\"ordinary\"}}",
    };
    static const bool want[] = {false, true, true, false, false, false, true, false};
    guard_corpus *c = rows_of(line, 8);
    guard_pairs p;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_pairs_open(&p, c, &err), &err);
    for (size_t i = 0; i < 8; i++) cr_expect_eq(guard_pairs_is_twin(&p, i), want[i], "row %zu", i + 1);
    cr_expect_eq(guard_pairs_partner(&p, 1), 0u);
    cr_expect_eq(guard_pairs_partner(&p, 3), GUARD_NO_ROW);
    guard_pairs_close(&p);
    guard_corpus_free(c);
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static guard_result example(const char *guard, const char *set)
{
    guard_result r = {.target_fpr = 0.05,
                      .all = {389, 130, 97, 0.625, 0.8125, 0.604, 0.69, 0.07, 0.805, 0.91, 0.4, 0.12},
                      .ci = {{0.75, 0.88}, {0.51, 0.69}, {0.62, 0.75}, {0.04, 0.1}, {0.74, 0.86}, {0.88, 0.94}},
                      .fpr_twins = 0.31, .fpr_ordinary = 0.0,
                      .ci_twins = {0.23, 0.4}, .ci_ordinary = {0.0, 0.02}, .n_twins = 129, .n_ordinary = 130};

    strcpy(r.guard, guard);
    strcpy(r.set, set);
    return r;
}

static const guard_interval none = {(double)NAN, (double)NAN};

static guard_result all_unsafe(const char *guard, const char *set)
{
    guard_result r = example(guard, set);
    const double nothing = (double)NAN;

    r.all = (guard_metrics){200, 200, 120, 0.625, nothing, 0.6, nothing, nothing, nothing, nothing, nothing, nothing};
    r.ci = (guard_intervals){none, r.ci.recall, none, none, none, none};
    r.fpr_twins = r.fpr_ordinary = nothing;
    r.ci_twins = r.ci_ordinary = none;
    r.n_twins = r.n_ordinary = 0;
    return r;
}

Test(evaluate, json_has_fixed_keys_and_null_for_the_undefined)
{
    const guard_result full = example("a \"guard\"", "test"), half = all_unsafe("g", "t");
    guard_buf b = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};

    guard_result_json(&b, &full);
    guard_buf_str(&b, "\n");
    guard_result_json(&b, &half);
    expect_ok(guard_buf_status(&b, &err), &err);
    cr_expect_str_eq(
        b.bytes,
        "{\"guard\":\"a \\\"guard\\\"\",\"set\":\"test\",\"n\":389,\"positive\":130,\"flagged\":97,\"n_twins\":129,\"n_ordinary\":130,"
        "\"target_fpr\":0.050000000000000003,\"threshold\":0.625,\"precision\":0.8125,\"recall\":0.60399999999999998,"
        "\"f1\":0.68999999999999995,\"average_precision\":0.80500000000000005,\"roc_auc\":0.91000000000000003,"
        "\"fpr\":0.070000000000000007,\"fpr_twins\":0.31,\"fpr_ordinary\":0,\"log_loss\":0.40000000000000002,\"brier\":0.12,"
        "\"ci\":{\"precision\":[0.75,0.88],\"recall\":[0.51000000000000001,0.68999999999999995],\"f1\":[0.62,0.75],"
        "\"average_precision\":[0.73999999999999999,0.85999999999999999],\"roc_auc\":[0.88,0.93999999999999995],"
        "\"fpr\":[0.040000000000000001,0.10000000000000001],\"fpr_twins\":[0.23000000000000001,0.40000000000000002],"
        "\"fpr_ordinary\":[0,0.02]}}\n"
        "{\"guard\":\"g\",\"set\":\"t\",\"n\":200,\"positive\":200,\"flagged\":120,\"n_twins\":0,\"n_ordinary\":0,"
        "\"target_fpr\":0.050000000000000003,\"threshold\":0.625,\"precision\":null,\"recall\":0.59999999999999998,\"f1\":null,"
        "\"average_precision\":null,\"roc_auc\":null,\"fpr\":null,\"fpr_twins\":null,\"fpr_ordinary\":null,\"log_loss\":null,"
        "\"brier\":null,\"ci\":{\"precision\":null,\"recall\":[0.51000000000000001,0.68999999999999995],\"f1\":null,"
        "\"average_precision\":null,\"roc_auc\":null,\"fpr\":null,\"fpr_twins\":null,\"fpr_ordinary\":null}}");
    guard_buf_free(&b);
}

/* --- tables --------------------------------------------------------------------------------------- */

static const char one_set[] =
    "test: 389 rows (130 unsafe, 129 safe twins, 130 ordinary)\n"
    "Threshold: 5% false positives (FPR) on validation rows. Values in percent, 95% intervals in brackets.\n"
    "guard            precision   recall      F1          AP          AUC         FPR twins   FPR ordinary\n"
    "wide alone       81 (75-88)  60 (51-69)  69 (62-75)  80 (74-86)  91 (88-94)  31 (23-40)  0 (0-2)\n"
    "guard, augment\xC3\xA9  81 (75-88)  60 (51-69)  69 (62-75)  80 (74-86)  91 (88-94)  31 (23-40)  0 (0-2)\n";

Test(evaluate, a_table_of_guards_reads_aloud)
{
    const guard_result r[] = {example("wide alone", "test"), example("guard, augment\xC3\xA9", "test")};
    guard_buf b = {NULL, 0, 0, NN_OK};

    guard_result_table(&b, r, 2);
    cr_expect_str_eq(b.bytes, one_set, "%s", b.bytes);
    guard_buf_free(&b);
}

Test(evaluate, a_table_of_sets_names_them_and_dashes_the_undefined)
{
    guard_result r[] = {example("quickstart", "toxic.csv"), all_unsafe("quickstart", "h.csv")};
    guard_buf b = {NULL, 0, 0, NN_OK};

    r[1].ci.recall = none;
    guard_result_table(&b, r, 2);
    cr_expect_str_eq(b.bytes,
                     "quickstart\n"
                     "Threshold: 5% false positives (FPR) on validation rows. Values in percent, 95% intervals in brackets.\n"
                     "set (rows)       precision   recall      F1          AP          AUC         FPR twins   FPR ordinary\n"
                     "toxic.csv (389)  81 (75-88)  60 (51-69)  69 (62-75)  80 (74-86)  91 (88-94)  31 (23-40)  0 (0-2)\n"
                     "h.csv (200)      -           60          -           -           -           -           -\n", "%s", b.bytes);
    guard_buf_clear(&b);
    guard_result_table(&b, r, 0);
    cr_expect_eq(b.len, 0u);
    guard_buf_free(&b);
}

Test(evaluate, notes_come_back_as_one_table_a_set)
{
    const guard_result r[] = {example("wide alone", "test"), example("guard, augment\xC3\xA9", "test"), all_unsafe("one", "harm")};
    guard_buf notes = {NULL, 0, 0, NN_OK}, out = {NULL, 0, 0, NN_OK}, other = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};

    guard_buf_str(&notes, "{\"results\":[");
    guard_result_json(&notes, &r[0]);
    guard_buf_str(&notes, ",");
    guard_result_json(&notes, &r[1]);
    guard_buf_str(&notes, "]}\n{\"results\":[");
    guard_result_json(&notes, &r[2]);
    guard_buf_str(&notes, "]}");
    expect_ok(guard_results_print(&out, notes.bytes, &err), &err);
    guard_result_table(&other, &r[2], 1);
    cr_assert_eq(out.len, sizeof one_set - 1 + 1 + other.len, "%s", out.bytes);
    cr_expect_eq(memcmp(out.bytes, one_set, sizeof one_set - 1), 0, "%s", out.bytes);
    cr_expect_str_eq(out.bytes + sizeof one_set, other.bytes);
    guard_buf_free(&notes);
    guard_buf_free(&out);
    guard_buf_free(&other);
}

Test(evaluate, a_note_of_another_shape_is_refused)
{
    static const struct {
        const char *notes, *part;
    } bad[] = {{"{\"results\":[{\"guard\":\"g\",\"set\":7}]}", "evaluation 1: results[0].set"},
               {"{\"results\":[]}", "results: missing or empty"},
               {"\n{\"results\"", "evaluation 2"}};

    for (size_t i = 0; i < 3; i++) {
        guard_buf out = {NULL, 0, 0, NN_OK};
        nn_err err = {NN_OK, ""};

        expect_fails(guard_results_print(&out, bad[i].notes, &err), NN_CONTENT, &err, bad[i].part);
        guard_buf_free(&out);
    }
}

/* --- a guard on a set ------------------------------------------------------------------------------- */

static const char *const set_lines[] = {
    "{\"id\":\"aaaa000000000001\",\"text\":\"steal the blue bicycle\",\"label\":1}",
    "{\"id\":\"aaaa000000000002\",\"text\":\"lock the blue bicycle\",\"label\":0,\"parent\":[\"aaaa000000000001\"]}",
    "{\"id\":\"aaaa000000000003\",\"text\":\"water the green fern\",\"label\":0}",
    "{\"id\":\"aaaa000000000004\",\"text\":\"steal a loaf of bread\",\"label\":1}",
    "{\"id\":\"aaaa000000000005\",\"text\":\"slice a loaf of bread\",\"label\":0,\"kind\":\"twin\"}",
    "{\"id\":\"aaaa000000000006\",\"text\":\"sing a song of rain\",\"label\":0}",
    "{\"id\":\"aaaa000000000007\",\"text\":\"nobody judged this\",\"label\":null}",
    "{\"id\":\"aaaa000000000008\",\"text\":\"steal a look at the moon\",\"label\":0}",
};

typedef struct {
    guard_corpus *c;
    nn_tok *tok;
    guard_classifier *g;
    nn_exec exec;
    guard_job job;
} bench;

static bench open_bench(void)
{
    bench b = {.c = rows_of(set_lines, 8)};
    nn_err err = {NN_OK, ""};

    b.tok = toy_tok(b.c);
    b.g = toy_guard(b.c, b.tok, false);
    expect_ok(nn_exec_open(&b.exec, NULL, 1, 64, &err), &err);
    b.job = (guard_job){.seed = 3, .stream = "09.evaluate"};
    return b;
}

static void close_bench(bench *b)
{
    guard_classifier_close(b->g);
    nn_tok_free(b->tok);
    nn_exec_free(&b->exec);
    guard_corpus_free(b->c);
}

static guard_result evaluated(bench *b, const guard_corpus *c, size_t bootstrap)
{
    guard_result r;
    nn_err err = {NN_OK, ""};

    b->job.exec = &b->exec;
    expect_ok(guard_evaluate(&r, b->g, "toy", c, "set", 0.05, bootstrap, &b->job, &err), &err);
    return r;
}

Test(evaluate, parts_of_the_safe_rows_are_counted_apart)
{
    bench b = open_bench();
    guard_verdict v[8];
    nn_err err = {NN_OK, ""};
    const guard_result r = evaluated(&b, b.c, 200);
    size_t flagged = 0, twins = 0, ordinary = 0;

    expect_ok(guard_score(b.g, b.c, v, &b.job, &err), &err);
    for (size_t i = 0; i < 8; i++) {
        const bool over = v[i].p_unsafe >= 0.5f; /* the toy's threshold */

        flagged += over && i != 6;
        twins += over && (i == 1 || i == 4);
        ordinary += over && (i == 2 || i == 5 || i == 7);
    }
    cr_expect_eq(r.all.n, 7u);
    cr_expect_eq(r.all.positive, 2u);
    cr_expect_eq(r.all.flagged, flagged);
    cr_expect_eq(r.n_twins, 2u);
    cr_expect_eq(r.n_ordinary, 3u);
    cr_expect_eq(r.fpr_twins, (double)twins / 2.0);
    cr_expect_eq(r.fpr_ordinary, (double)ordinary / 3.0);
    cr_expect_eq(r.all.threshold, 0.5);
    cr_expect_eq(r.target_fpr, 0.05);
    cr_expect(r.ci.roc_auc.low <= r.all.roc_auc && r.all.roc_auc <= r.ci.roc_auc.high);
    cr_expect(r.ci_ordinary.low <= r.fpr_ordinary && r.fpr_ordinary <= r.ci_ordinary.high);
    close_bench(&b);
}

Test(evaluate, the_run_seed_decides_the_intervals)
{
    bench b = open_bench();
    const guard_result x = evaluated(&b, b.c, 50), y = evaluated(&b, b.c, 50);
    const guard_result bare = evaluated(&b, b.c, 0);

    cr_expect_eq(memcmp(&x.ci, &y.ci, sizeof x.ci), 0);
    cr_expect(isnan(bare.ci.recall.low) && isnan(bare.ci_ordinary.high) && !isnan(bare.all.recall));
    close_bench(&b);
}

Test(evaluate, one_class_sets_leave_the_rest_undefined)
{
    static const size_t unsafe[] = {0, 3}, safe[] = {2, 5, 6}, nobody[] = {6};
    bench b = open_bench();
    guard_corpus *u = NULL, *s = NULL, *n = NULL;
    guard_result r;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_pick(&u, b.c, unsafe, 2, &err), &err);
    expect_ok(guard_corpus_pick(&s, b.c, safe, 3, &err), &err);
    expect_ok(guard_corpus_pick(&n, b.c, nobody, 1, &err), &err);
    r = evaluated(&b, u, 20);
    cr_expect(!isnan(r.all.recall) && !isnan(r.ci.recall.low));
    cr_expect(isnan(r.all.precision) && isnan(r.all.f1) && isnan(r.all.fpr) && isnan(r.all.roc_auc) && isnan(r.ci.f1.low));
    cr_expect(isnan(r.fpr_twins) && isnan(r.fpr_ordinary));
    r = evaluated(&b, s, 20);
    cr_expect(!isnan(r.all.fpr) && !isnan(r.fpr_ordinary) && r.n_ordinary == 2);
    cr_expect(isnan(r.all.precision) && isnan(r.all.recall) && isnan(r.all.average_precision) && isnan(r.fpr_twins));
    expect_fails(guard_evaluate(&r, b.g, "toy", n, "empty set", 0.05, 20, &b.job, &err), NN_CONTENT, &err, "empty set: no labelled row");
    guard_corpus_free(u);
    guard_corpus_free(s);
    guard_corpus_free(n);
    close_bench(&b);
}

Test(evaluate, every_allocation_may_fail)
{
    bench b = open_bench();
    nn_status st = NN_LIMIT;
    long n = 0;

    b.job.exec = &b.exec;
    for (; st != NN_OK; n++) {
        guard_result r;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = guard_evaluate(&r, b.g, "toy", b.c, "set", 0.05, 5, &b.job, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld: %s", n, err.text);
        cr_assert_lt(n, 2000);
    }
    cr_expect_gt(n, 10);
    close_bench(&b);
}
