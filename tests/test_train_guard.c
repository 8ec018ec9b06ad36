#include "guard/train_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_guard_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what it learns --------------------------------------------------------------------------------- */

static double learnt(bool wide, bool decoder, bool xor_rule, double epochs)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_corpus *test = word_corpus(100, 3, xor_rule);

    o.wide = wide;
    o.decoder = decoder;
    o.epochs = epochs;
    guard_classifier *g = trained_guard(&o, xor_rule, &job);
    const double ap = average_precision_of(g, test, &job);

    cr_expect((guard_classifier_parts(g)->wide != NULL) == wide &&
              (guard_classifier_parts(g)->m != NULL) == decoder);
    guard_corpus_free(test);
    guard_classifier_close(g);
    nn_exec_free(&x);
    return ap;
}

Test(train_guard, wide_alone_learns_marked_words)
{
    cr_expect_gt(learnt(true, false, false, 1.0), 0.95);
}

Test(train_guard, decoder_alone_learns_marked_words)
{
    cr_expect_gt(learnt(false, true, false, 8.0), 0.95);
}

Test(train_guard, both_parts_learn_marked_words)
{
    cr_expect_gt(learnt(true, true, false, 2.0), 0.95);
}

Test(train_guard, decoder_adds_what_no_sum_of_ngrams_can_tell)
{
    const double wide = learnt(true, false, true, 1.0), both = learnt(true, true, true, 40.0);

    cr_expect(wide < 0.8 && both > 0.95, "wide %g, both %g", wide, both);
}

/* The decoder's residual depends on the folds, the wide part only by the scale that is fitted on its
 * out-of-fold logits. */
Test(train_guard, decoder_learns_on_out_of_fold_logits)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    char decoder[2][65];

    o.epochs = 1.0;
    o.store = NN_F32;
    guard_classifier *g[2];
    for (size_t i = 0; i < 2; i++) {
        o.folds = i == 0 ? 2 : 5;
        g[i] = trained_guard(&o, false, &job);
        nn_model_hash(guard_classifier_parts(g[i])->m, decoder[i]);
    }
    const float *w = guard_classifier_parts(g[0])->wide->weight, *v = guard_classifier_parts(g[1])->wide->weight;
    size_t largest = 0;
    for (size_t i = 0; i < 1u << 12; i++) largest = fabsf(w[i]) > fabsf(w[largest]) ? i : largest;
    const float scale = w[largest] / v[largest];
    cr_expect(scale > 0.5f && scale < 2.0f && scale != 1.0f, "scale %g", (double)scale);
    for (size_t i = 0; i < 1u << 12; i++)
        cr_assert(fabsf(w[i] - scale * v[i]) <= 1e-5f, "slot %zu: %g, want %g", i, (double)w[i],
                  (double)(scale * v[i]));
    cr_expect_str_neq(decoder[0], decoder[1]);
    for (size_t i = 0; i < 2; i++) guard_classifier_close(g[i]);
    nn_exec_free(&x);
}

Test(train_guard, same_bytes_for_one_and_two_threads_and_another_seed_gives_others)
{
    guard_train_options o = small_options();
    char *hash[3];

    o.epochs = 2.0;
    o.next_weight = 0.1f;
    o.model.memory_rows = 256;
    o.model.tied = true;
    for (size_t i = 0; i < 3; i++) {
        nn_exec x = open_exec(i < 2 ? i + 1 : 1);
        guard_job job = job_of(&x);

        if (i == 2) job.seed = 8;
        guard_classifier *g = trained_guard(&o, false, &job);
        hash[i] = hash_of(g);
        guard_classifier_close(g);
        nn_exec_free(&x);
    }
    cr_expect_str_eq(hash[0], hash[1]);
    cr_expect_str_neq(hash[0], hash[2]);
}

/* --- budget, metrics, stopping ----------------------------------------------------------------------- */

typedef struct {
    char *log; /* "step name value" lines, as a run folder would keep them */
    size_t len, cap;
    uint64_t asked, stop_at; /* calls of progress; the one that says no */
    uint64_t done, total;
    size_t evaluations;
} recorder;

static bool record_progress(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    recorder *r = ctx;

    if (strcmp(unit, "tokens") != 0) return true;
    r->done = done;
    r->total = total;
    return ++r->asked != r->stop_at;
}

static nn_status record_metric(void *ctx, uint64_t step, const char *name, double value, nn_err *err)
{
    recorder *r = ctx;
    char line[96];
    const int n = snprintf(line, sizeof line, "%llu %s %a\n", (unsigned long long)step, name, value);
    const nn_status st = nn_grow((void **)&r->log, &r->cap, r->len + (size_t)n + 1, 1, err);

    if (st != NN_OK) return st;
    memcpy(r->log + r->len, line, (size_t)n + 1);
    r->len += (size_t)n;
    r->evaluations += strcmp(name, "valid_loss") == 0;
    return NN_OK;
}

static uint64_t record_mark(void *ctx)
{
    return ((recorder *)ctx)->len;
}

static nn_status record_rewind(void *ctx, uint64_t mark, nn_err *err)
{
    recorder *r = ctx;

    if (mark > r->len)
        return nn_fail(err, NN_FILE, "metrics: %zu bytes, want %llu", r->len, (unsigned long long)mark);
    r->len = (size_t)mark;
    if (r->log) r->log[r->len] = '\0';
    return NN_OK;
}

static guard_job recording_job(const nn_exec *x, recorder *r)
{
    guard_job job = job_of(x);

    job.ctx = r;
    job.progress = record_progress;
    job.metric = record_metric;
    job.metrics_mark = record_mark;
    job.metrics_rewind = record_rewind;
    return job;
}

Test(train_guard, token_budget_is_never_exceeded_and_reported)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    recorder r = {.log = NULL};
    guard_job job = recording_job(&x, &r);

    o.token_budget = 5000;
    guard_classifier *g = trained_guard(&o, false, &job);
    cr_expect(job.tokens_used <= 5000 && job.tokens_used > 4900, "%llu", (unsigned long long)job.tokens_used);
    cr_expect_eq(r.total, 5000);
    cr_expect_eq(r.evaluations, 8, "eight evaluations of a run");
    cr_expect(strstr(r.log, "1 rows 0x1.ep+7\n1 rows_long 0x0p+0\n") != NULL, "240 rows, none long");
    cr_expect(strstr(r.log, "1 loss ") != NULL && strstr(r.log, "1 lr ") != NULL &&
              strstr(r.log, "1 grad_norm ") != NULL);
    nn_free(r.log);
    guard_classifier_close(g);
    nn_exec_free(&x);
}

Test(train_guard, patience_ends_a_run_and_the_best_weights_stay)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    recorder r = {.log = NULL};
    guard_job job = recording_job(&x, &r);

    o.patience = 2;
    o.evaluate_every = 3;
    o.epochs = 60.0;
    o.adam.lr = 0.03f; /* overshoots soon */
    guard_classifier *g = trained_guard(&o, true, &job);
    cr_expect_lt(r.done, r.total, "it ended before its epochs");
    double best = HUGE_VAL, value = 0.0, last[2] = {0.0, 0.0};
    for (const char *at = r.log; (at = strstr(at, "valid_loss ")) != NULL; at++) {
        value = strtod(at + 11, NULL);
        best = value < best ? value : best;
        last[0] = last[1];
        last[1] = value;
    }
    cr_expect(last[0] > best && last[1] > best);
    nn_free(r.log);
    guard_classifier_close(g);
    nn_exec_free(&x);
}

/* --- resume --------------------------------------------------------------------------------------------- */

/* Rows of word_corpus and some safe ones of several windows. */
static guard_corpus *corpus_with_long_rows(void)
{
    guard_corpus *c = word_corpus(200, 1, true), *more = word_corpus(64, 4, false);
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < 8; i++) {
        char text[2048] = "";

        for (size_t j = 0; j < 8; j += 2) /* even rows are safe */
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s %s ", more->row[8 * i + j].text.s,
                     more->row[8 * i + j].text.s);
        const guard_row row = row_of(text, NULL, GUARD_SAFE);
        expect_ok(guard_corpus_add(c, &row, &err), &err);
    }
    guard_corpus_free(more);
    return c;
}

/* Stops at each progress call of `stops`, resuming in between, then to the end. */
static char *interrupted(const guard_train_options *o, const uint64_t *stops, size_t n_stop, recorder *r,
                         uint64_t *tokens)
{
    const char *checkpoint = path_in(temp_dir(), "01_test");
    guard_corpus *train = corpus_with_long_rows(),
                 *valid = word_corpus(80, 2, false); /* another rule: it gets worse soon */
    const guard_taxonomy t = two_categories();
    nn_tok *tok = word_tok(400);
    char *hash = NULL;

    for (size_t i = 0; i <= n_stop; i++) {
        nn_exec x = open_exec(1 + i % 2);
        guard_job job = recording_job(&x, r);
        guard_classifier *g = NULL;
        nn_err err = {NN_OK, ""};

        job.checkpoint = checkpoint;
        r->asked = 0;
        r->stop_at = i < n_stop ? stops[i] : 0;
        const nn_status st = guard_train(&g, train, valid, NULL, tok, &t, NULL, o, &job, &err);
        cr_assert_eq(st, i < n_stop ? NN_STOP : NN_OK, "part %zu: %s", i, err.text);
        if (g) hash = hash_of(g);
        *tokens = job.tokens_used;
        guard_classifier_close(g);
        nn_exec_free(&x);
    }
    nn_tok_free(tok);
    guard_corpus_free(train);
    guard_corpus_free(valid);
    return hash;
}

Test(train_guard, resumed_run_gives_the_bytes_and_metrics_of_a_whole_one)
{
    guard_train_options o = small_options();
    const uint64_t stops[] = {1, 3, 30, 1, 11};
    recorder whole = {.log = NULL}, parts = {.log = NULL};
    uint64_t tokens[2];

    o.epochs = 5.0;
    o.evaluate_every = 7;
    o.patience = 100;
    o.adam.lr = 0.03f; /* the best weights come early and must survive the stops */
    const char *const a = interrupted(&o, NULL, 0, &whole, &tokens[0]), *const b = interrupted(&o, stops, 5, &parts,
                                                                                               &tokens[1]);
    cr_expect_str_eq(a, b);
    cr_expect_str_eq(whole.log, parts.log);
    cr_expect_eq(tokens[0], tokens[1]);
    nn_free(whole.log);
    nn_free(parts.log);
}

Test(train_guard, damaged_checkpoints_are_refused_by_name)
{
    guard_train_options o = small_options();
    const char *checkpoint = path_in(temp_dir(), "01_test");
    recorder r = {.stop_at = 12};
    nn_exec x = open_exec(1);
    guard_job job = recording_job(&x, &r);
    guard_corpus *train = word_corpus(240, 1, false), *valid = word_corpus(80, 2, false);
    const guard_taxonomy t = two_categories();
    nn_tok *tok = word_tok(400);
    guard_classifier *g = NULL;
    size_t len = 0;
    nn_err err = {NN_OK, ""};

    job.checkpoint = checkpoint;
    o.evaluate_every = 5;
    cr_assert_eq(guard_train(&g, train, valid, NULL, tok, &t, NULL, &o, &job, &err), NN_STOP);
    char *bytes = read_bytes(checkpoint, &len);
    for (size_t i = 0; i < 3; i++) {
        char *copy = malloc(len);

        memcpy(copy, bytes, len);
        if (i == 1) copy[len / 6] = (char)(copy[len / 6] ^ 0x10); /* within the weights */
        write_bytes(checkpoint, copy, i == 0 ? len - 1 : len);
        if (i == 2) o.token_budget = 777; /* another stage's options */
        err = (nn_err){NN_OK, ""};
        expect_fails(guard_train(&g, train, valid, NULL, tok, &t, NULL, &o, &job, &err), NN_FILE, &err, "01_test");
        cr_expect_null(g);
        free(copy);
    }
    free(bytes);
    nn_free(r.log);
    nn_exec_free(&x);
    nn_tok_free(tok);
    guard_corpus_free(train);
    guard_corpus_free(valid);
}

/* --- options -------------------------------------------------------------------------------------------- */

Test(train_guard, continues_from_a_guard_of_the_same_shape_only)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_corpus *train = word_corpus(60, 1, false), *valid = word_corpus(20, 2, false);
    const guard_taxonomy t = two_categories();
    guard_classifier *first = trained_guard(&o, false, &job), *next = NULL;
    nn_tok *tok = word_tok(400), *other = word_tok(380);
    nn_err err = {NN_OK, ""};

    o.epochs = 1.0;
    o.adam.lr = 0.0f;
    o.store = NN_F32;
    expect_ok(guard_train(&next, train, valid, NULL, tok, &t, first, &o, &job, &err), &err);
    char before[65], after[65];
    nn_model_hash(guard_classifier_parts(first)->m, before);
    nn_model_hash(guard_classifier_parts(next)->m, after);
    cr_expect_str_eq(before, after, "a rate of 0 leaves the weights");
    guard_classifier_close(next);
    expect_fails(guard_train(&next, train, valid, NULL, other, &t, first, &o, &job, &err), NN_USAGE, &err,
                 "tokenizer");
    o.model.layers = 2;
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_train(&next, train, valid, NULL, tok, &t, first, &o, &job, &err), NN_USAGE, &err,
                 "another shape");
    guard_classifier_close(first);
    nn_tok_free(tok);
    nn_tok_free(other);
    guard_corpus_free(train);
    guard_corpus_free(valid);
    nn_exec_free(&x);
}

Test(train_guard, a_window_beyond_the_scratch_is_refused)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1); /* for 64 positions */
    guard_job job = job_of(&x);
    guard_corpus *train = word_corpus(20, 1, false);
    const guard_taxonomy t = two_categories();
    nn_tok *tok = word_tok(400);
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    o.window = 2048;
    expect_fails(guard_train(&g, train, train, NULL, tok, &t, NULL, &o, &job, &err), NN_USAGE, &err,
                 "windows of 2048 tokens");
    nn_tok_free(tok);
    guard_corpus_free(train);
    nn_exec_free(&x);
}

Test(train_guard, one_class_or_a_missing_column_is_said)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_corpus *train = word_corpus(20, 1, false);
    const guard_taxonomy t = two_categories();
    nn_tok *tok = word_tok(400);
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_train(&g, train, train, "worth", tok, &t, NULL, &o, &job, &err), NN_CONTENT, &err, "worth");
    o.focus_column = "round";
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_train(&g, train, train, NULL, tok, &t, NULL, &o, &job, &err), NN_CONTENT, &err, "round");
    for (size_t i = 0; i < train->n; i++) train->row[i].label = GUARD_SAFE;
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_train(&g, train, train, NULL, tok, &t, NULL, &o, &job, &err), NN_CONTENT, &err,
                 "20 safe and 0 unsafe");
    nn_tok_free(tok);
    guard_corpus_free(train);
    nn_exec_free(&x);
}

static uint64_t tokens_of_one_epoch(guard_corpus *c, const char *focus, double replay)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_corpus *valid = word_corpus(10, 2, false);
    const guard_taxonomy t = two_categories();
    nn_tok *tok = word_tok(400);
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    o.wide = false;
    o.epochs = 1.0;
    o.focus_column = focus;
    o.replay = replay;
    expect_ok(guard_train(&g, c, valid, NULL, tok, &t, NULL, &o, &job, &err), &err);
    guard_classifier_close(g);
    nn_tok_free(tok);
    guard_corpus_free(valid);
    nn_exec_free(&x);
    return job.tokens_used;
}

Test(train_guard, focus_takes_its_rows_and_replays_others)
{
    guard_row row[40];
    guard_column *col = NULL;
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < 40; i++) row[i] = row_of("a", NULL, (int)(i % 2)); /* 4 positions each */
    guard_corpus *c = corpus_of(row, 40);
    expect_ok(guard_corpus_column(c, "round", "05", GUARD_COL_NUM, &col, &err), &err);
    for (size_t i = 0; i < 5; i++) col->num[i] = 1.0;
    cr_expect_eq(tokens_of_one_epoch(c, NULL, 3.0), 40 * 4);
    cr_expect_eq(tokens_of_one_epoch(c, "round", 0.0), 5 * 4);
    cr_expect_eq(tokens_of_one_epoch(c, "round", 3.0), 20 * 4);
    cr_expect_eq(tokens_of_one_epoch(c, "round", 100.0), 40 * 4);
    guard_corpus_free(c);
}

Test(train_guard, warm_start_takes_tensors_of_the_same_name_and_shape)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_model *lm = NULL;
    nn_config c = o.model;
    nn_tensor a, b;
    nn_tok *tok = word_tok(400);
    nn_err err = {NN_OK, ""};

    c.vocab = nn_tok_vocab(tok);
    c.lm_head = c.tied = true;
    c.ff = 96; /* another shape: these begin as they would without */
    expect_ok(nn_model_build(&lm, &c, &err), &err);
    nn_model_init(lm, 77);
    o.warm = lm;
    o.adam.lr = 0.0f;
    o.epochs = 1.0;
    o.store = NN_F32;
    guard_classifier *g = trained_guard(&o, false, &job);
    cr_assert(nn_model_find(guard_classifier_parts(g)->m, "model.embed_tokens.weight", &a) &&
              nn_model_find(lm, a.name, &b));
    expect_same_floats(a.name, a.data, b.data, a.rows * a.cols);
    cr_assert(nn_model_find(guard_classifier_parts(g)->m, "model.layers.0.mlp.up_proj.weight", &a));
    cr_expect_eq(a.rows, 64);
    nn_tok_free(tok);
    nn_model_free(lm);
    guard_classifier_close(g);
    nn_exec_free(&x);
}

Test(train_guard, wide_weight_column_counts_for_the_wide_part_alone)
{
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_corpus *train = word_corpus(120, 1, false), *valid = word_corpus(40, 2, false);
    const guard_taxonomy t = two_categories();
    guard_column *col = NULL;
    nn_tok *tok = word_tok(400);
    guard_classifier *g[4];
    char decoder[2][65];
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_column(train, "worth", "01", GUARD_COL_NUM, &col, &err), &err);
    for (size_t i = 0; i < train->n; i += 3) col->num[i] = 0.1; /* the others have no value: 1 */
    o.epochs = 1.0;
    for (size_t i = 0; i < 4; i++) {
        o.wide = i < 2;
        o.decoder = !o.wide;
        o.wide_weight_column = i % 2 == 0 ? NULL : "worth";
        expect_ok(guard_train(&g[i], train, valid, NULL, tok, &t, NULL, &o, &job, &err), &err);
        if (o.decoder) nn_model_hash(guard_classifier_parts(g[i])->m, decoder[i - 2]);
    }
    cr_expect_neq(guard_classifier_parts(g[0])->wide->bias, guard_classifier_parts(g[1])->wide->bias);
    cr_expect_str_eq(decoder[0], decoder[1]);
    for (size_t i = 0; i < 4; i++) guard_classifier_close(g[i]);
    nn_tok_free(tok);
    guard_corpus_free(train);
    guard_corpus_free(valid);
    nn_exec_free(&x);
}

/* --- units and batches ---------------------------------------------------------------------------------- */

Test(train_units, long_safe_rows_have_more_windows_that_share_one_weight)
{
    guard_classifier *g = random_guard(true, false, 3);
    char text[4000] = "";
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_units u;
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < 500; i++) memcpy(text + 8 * i, "garden ", 8);
    for (size_t i = 0; i < 3999; i++)
        if (text[i] == '\0') text[i] = 'z';
    text[3999] = '\0';
    guard_row row[3] = {row_of(text, NULL, GUARD_SAFE), row_of(text, NULL, GUARD_UNSAFE),
                        row_of("stone", NULL, GUARD_LABEL_NONE)};
    row[1].id[0] = 'b'; /* another row of the same text */
    guard_corpus *c = corpus_of(row, 3);
    expect_ok(guard_units_build(&u, c, guard_classifier_parts(g), NULL, true, &job, &err), &err);
    cr_assert(u.n_group == 2 && u.group[1] == 1 + GUARD_UNITS_MORE && u.n == 2 + GUARD_UNITS_MORE);
    double more = 0.0;
    for (size_t i = 1; i < u.group[1]; i++) more += u.weight[i];
    cr_expect(u.weight[0] == 1.0 && fabs(more - 1.0) < 1e-9 && u.weight[u.group[1]] == 1.0);
    cr_expect(u.texts->n == u.n && strcmp(u.texts->row[3].id, c->row[0].id) == 0 && u.texts->row[3].text.n < 500);
    guard_units_free(&u);
    guard_corpus_free(c);
    nn_exec_free(&x);
    guard_classifier_close(g);
}

Test(train_units, categories_of_safe_rows_are_zero_and_unknown_ones_masked)
{
    guard_classifier *g = random_guard(true, true, 3);
    guard_train_options o = small_options();
    guard_row row[4] = {row_of("stone", NULL, GUARD_SAFE), row_of("zorn", NULL, GUARD_UNSAFE),
                        row_of("zorn", NULL, GUARD_UNSAFE), row_of("zorn bread", NULL, GUARD_UNSAFE)};
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_train_batch b;
    guard_units u;
    nn_batch batch;
    nn_targets y;
    nn_err err = {NN_OK, ""};

    row[1].category = (guard_text){"second", 6};
    row[3].category = (guard_text){"something else", 14};
    guard_corpus *c = corpus_of(row, 4);
    expect_ok(guard_units_build(&u, c, guard_classifier_parts(g), NULL, true, &job, &err), &err);
    expect_ok(guard_train_batch_build(&b, guard_classifier_parts(g), nn_model_config(guard_classifier_parts(g)->m),
                                      &o, &err),
              &err);
    guard_train_batch_clear(&b, &u);
    for (size_t i = 0; i < u.n; i++) expect_ok(guard_train_batch_add(&b, i, &err), &err);
    guard_train_batch_close(&b, true, &batch, &y);
    const float want[] = {0, 0, 0, 1, -1, -1, -1, -1};
    expect_same_floats("targets", y.category, want, 8);
    cr_expect(y.category_weight[0] > 0.0f && y.category_weight[1] > 0.0f && y.category_weight[2] == 0.0f &&
              y.category_weight[3] == 0.0f);
    cr_expect(y.label_weight[0] == 0.25f && y.label[0] == 0.01f && y.label[1] == 0.99f && y.offset == NULL &&
              y.next == NULL);
    cr_expect_eq(batch.seg.start[4], u.start[4], "no padding");
    guard_train_batch_free(&b);
    guard_units_free(&u);
    guard_corpus_free(c);
    nn_exec_free(&x);
    guard_classifier_close(g);
}

Test(train_guard, plan_counts_weights_and_memory)
{
    guard_train_options o = small_options();

    o.model.vocab = 400;
    o.token_budget = 1234;
    const guard_train_cost both = guard_train_plan(&o);
    o.decoder = false;
    const guard_train_cost wide = guard_train_plan(&o);
    cr_expect(wide.params == 1u << 12 && wide.tokens == 0 && both.tokens == 1234);
    cr_expect(both.params > wide.params + 400 * 32 && both.active_params < both.params &&
              both.train_bytes > 4 * 4 * both.active_params);
}
