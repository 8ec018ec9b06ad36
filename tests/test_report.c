/* test_report.c - the report of a run full of hostile texts: same bytes, well formed, nothing unsafe in the open. */
#include "guard/report.h"
#include "guard/report_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "tests/support.h"
#include "tests/test_report_support.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const report_run usual = {400, 120, false};
static const char *const names[] = {"report.html", "report.json", "model_card.md"};

static json_t *read_json(const char *dir)
{
    size_t len = 0;
    char *bytes = read_bytes(path_in(dir, "report.json"), &len);
    json_error_t why;
    json_t *o = json_loadb(bytes, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);

    cr_assert(o != NULL, "report.json:%d: %s", why.line, why.text);
    free(bytes);
    return o;
}

static const json_t *at(const json_t *list, size_t i)
{
    return json_array_get(list, i);
}

static const json_t *get(const json_t *o, const char *key)
{
    return json_object_get(o, key);
}

static const char *new_run(report_run o)
{
    const char *dir = path_in(temp_dir(), "run");

    report_run_make(dir, o);
    return dir;
}

Test(report, same_folder_gives_the_same_bytes_before_and_after_the_run_is_finished)
{
    const char *a = new_run(usual), *b = new_run(usual);
    nn_err err = {NN_OK, ""};

    remove(path_in(b, "machine.json"));
    expect_ok(guard_report_write(b, &err), &err); /* again, now that the ledger holds the report's own entry */
    for (size_t i = 0; i < 3; i++) {
        size_t len = 0;
        char *bytes = read_bytes(path_in(a, names[i]), &len);

        cr_expect(bytes_equal_file(path_in(b, names[i]), bytes, len), "%s differs", names[i]);
        free(bytes);
    }
}

Test(report, page_is_well_formed_and_escapes_hostile_names_and_texts)
{
    const char *dir = new_run(usual);
    char *page = read_bytes(path_in(dir, "report.html"), NULL);

    expect_html(page);
    cr_expect(count_of(page, "qu&quot;ick&lt;u&gt;.lua") > 0);
    cr_expect(count_of(page, "[U+202E]revo \xe2\x90\x81\xe2\x90\x80z") > 0, "what does not show is named");
    cr_expect(count_of(page, "a majority &lt;of&gt; judges") > 0);
    free(page);
}

Test(report, unsafe_texts_are_folded_and_some_never_shown)
{
    const char *dir = new_run(usual);
    char *page = read_bytes(path_in(dir, "report.html"), NULL), *data = read_bytes(path_in(dir, "report.json"), NULL);

    cr_expect(count_of(page, HIDDEN_WORD) > 10);
    cr_expect(count_of(page, OPEN_WORD) > 4);
    cr_expect(count_of(page, NEVER_WORD) == 0);
    cr_expect(count_of(page, "never shown") > 0);
    cr_expect(count_of(page, "unsafe, fraud") + count_of(page, "unsafe, cyber") + count_of(page, "unsafe, "
                                                                                                 "violence") > 0);
    cr_expect(count_of(data, HIDDEN_WORD) == 0);
    cr_expect(count_of(data, OPEN_WORD) > 4);
    free(page);
    free(data);
}

Test(report, data_say_what_the_run_did)
{
    const char *dir = new_run(usual);
    json_t *o = read_json(dir);
    const json_t *rounds = get(o, "rounds"), *results = get(o, "results"), *stages = get(o, "stages");

    cr_expect_str_eq(json_string_value(get(get(o, "run"), "seed")), "7");
    cr_expect(json_array_size(get(get(o, "run"), "inputs")) == 1);
    cr_expect(json_array_size(stages) == 17);
    const json_t *curated = at(get(at(stages, 3), "corpora"), 0), *tiers = get(curated, "tiers");
    cr_expect(json_integer_value(get(curated, "rows")) == 400);
    cr_expect(json_integer_value(get(curated, "kept")) == 340);
    cr_expect(json_array_size(tiers) == 4);
    cr_expect_str_eq(json_string_value(get(at(tiers, 0), "tier")), "human-written");
    cr_expect(json_integer_value(get(at(tiers, 0), "kept")) == 100);
    cr_expect(json_integer_value(get(at(tiers, 1), "kept")) == 80);
    cr_expect(json_array_size(results) == 8);
    cr_expect(json_integer_value(get(at(results, 0), "positive")) == 100);
    cr_expect(json_array_size(get(get(at(results, 0), "ci"), "roc_auc")) == 2);
    cr_expect(json_real_value(get(at(results, 0), "brier")) > 0.0);
    cr_expect(json_is_null(get(at(results, 4), "precision")), "one class");
    cr_expect(json_array_size(get(o, "curves")) == 4);
    cr_expect(json_array_size(rounds) == 2);
    cr_expect(json_is_false(get(at(rounds, 0), "accepted")));
    cr_expect(json_is_true(get(at(rounds, 1), "accepted")));
    cr_expect(json_real_value(get(at(rounds, 0), "recall_before")) == 0.84);
    cr_expect_str_eq(json_string_value(get(at(rounds, 1), "stopped")), "reward rises <while> judges stop believing");
    cr_expect(json_integer_value(get(at(rounds, 0), "hard_negatives")) == 7);
    cr_expect(json_integer_value(get(get(o, "model"), "weights")) == 64);
    json_decref(o);
}

Test(report, long_curves_are_thinned_and_keep_their_spikes)
{
    const char *dir = new_run((report_run){40, 3000, false});
    json_t *o = read_json(dir);
    const json_t *loss = at(get(o, "metrics"), 0), *points = get(loss, "step_mean_low_high");
    size_t spikes = 0;

    cr_assert_str_eq(json_string_value(get(loss, "metric")), "loss");
    cr_expect(json_integer_value(get(loss, "values")) == 3000);
    cr_expect(json_array_size(points) > REPORT_BUCKETS / 2 && json_array_size(points) <= REPORT_BUCKETS);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const double high = json_number_value(at(at(points, i), 3));
        spikes += high == 9.5 || high == 9.75;
    }
    cr_expect(spikes == 2, "one joined from pairs, one added to a bucket");
    cr_expect(json_real_value(get(loss, "max")) == 9.75);
    char *page = read_bytes(path_in(dir, "report.html"), NULL);
    expect_html(page);
    free(page);
    json_decref(o);
}

Test(report, run_without_training_and_evaluation_still_has_one)
{
    const char *dir = new_run((report_run){0, 0, true});
    char *page = read_bytes(path_in(dir, "report.html"), NULL), *card = read_bytes(path_in(dir, "model_card.md"), NULL);
    json_t *o = read_json(dir);

    expect_html(page);
    cr_expect(count_of(page, "evaluated no guard") == 1);
    cr_expect(count_of(page, "no adversarial round") == 1);
    cr_expect(count_of(card, "shipped no guard") == 1);
    cr_expect(json_is_null(get(o, "model")));
    json_decref(o);
    free(page);
    free(card);
}

Test(report, model_card_tells_use_data_numbers_limits_and_how_to_do_it_again)
{
    const char *dir = new_run(usual);
    char *card = read_bytes(path_in(dir, "model_card.md"), NULL);

    cr_expect(count_of(card, "# Model card: quick &lt;i&gt;start&lt;/i&gt; \\| one\n") == 1);
    cr_expect(count_of(card, "| se\\|eds&lt;b&gt;.jsonl | `") == 1);
    cr_expect(count_of(card, "trained on 340 rows: 170 unsafe, 170 safe.") == 1);
    cr_expect(count_of(card, "| 5.0% | 0.7100 |") == 1);
    cr_expect(count_of(card, "21.0% of the twins, 2.0% of ordinary requests") == 1);
    cr_expect(count_of(card, "2 rounds against a small generator, and 1 of the guards") == 1);
    cr_expect(count_of(card, "Weights: CC-BY-4.0.") == 1);
    cr_expect(count_of(card, "    parapet run 'scripts/qu\"ick<u>.lua' --seed 7 --set data=../shared/data --set "
                             "'x='\\''</dd><script>`$(id) ' --out runs/again\n") == 1);
    free(card);
}

Test(report, precision_recall_points_are_those_of_the_thresholds)
{
    static const int label[] = {1, 0, 1, 1, 0, 0};
    static const double p[] = {0.9, 0.8, 0.7, 0.7, 0.7, 0.1};
    report_point out[REPORT_CURVE];
    nn_err err = {NN_OK, ""};
    size_t n = 0;

    expect_ok(report_pr(out, &n, label, p, 6, &err), &err);
    cr_assert(n == 2);
    cr_expect(out[0].x == 1.0 / 3.0 && out[0].y == 1.0);
    cr_expect(out[1].x == 1.0 && out[1].y == 0.6, "three scores of 0.7 are one threshold");
    expect_ok(report_pr(out, &n, label + 4, p + 4, 2, &err), &err);
    cr_expect(n == 0, "one class has no curve");
}

Test(report, names_beyond_the_room_are_counted_together)
{
    report_counts c;
    size_t order[REPORT_NAMES];

    memset(&c, 0, sizeof c);
    for (size_t i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof name, "reason %zu", i);
        const size_t got = report_counts_add(&c, name, strlen(name));
        cr_expect(got == (i < REPORT_NAMES ? i : REPORT_NAMES));
    }
    report_counts_add(&c, "reason 5", 8);
    report_counts_order(order, &c);
    cr_expect(c.n == REPORT_NAMES && c.other == 100 - REPORT_NAMES);
    cr_expect(order[0] == 5 && order[1] == 0 && order[2] == 1 && order[3] == 10, "by count, then by name");
}

static void expect_broken(const char *dir, const char *name, const char *text, const char *message)
{
    nn_err err = {NN_OK, ""};

    write_text(path_in(dir, name), text);
    expect_fails(guard_report_write(dir, &err), NN_FILE, &err, message);
}

Test(report, damaged_files_are_named)
{
    const char *dir = new_run(usual);
    nn_err err = {NN_OK, ""};

    expect_broken(dir, "metrics.jsonl", "{}\n", "metrics.jsonl: 3 bytes, want at least");
    expect_broken(dir, "corpus/01_load.jsonl", "{\"text\":1}\n", "01_load.jsonl:1: not a row");
    expect_fails(guard_report_write(temp_dir(), &err), NN_FILE, &err, "run.json");
}

Test(report, failing_memory_leaves_the_old_report)
{
    const char *dir = new_run((report_run){16, 4, false});
    nn_status st = NN_LIMIT;
    char *before = read_bytes(path_in(dir, "report.html"), NULL);

    for (long n = 0; st != NN_OK && n < 100000; n += 1 + n / 40) {
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = guard_report_write(dir, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "%s", err.text);
        cr_assert(bytes_equal_file(path_in(dir, "report.html"), before, strlen(before)));
    }
    cr_expect(st == NN_OK);
    free(before);
}
