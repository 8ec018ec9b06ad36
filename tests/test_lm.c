/* Tests of guard/lm.h: what is learnt from, the same bytes after any interruption, what is drawn, hostile files. */
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include "tests/support.h"
#include "tests/test_lm_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_err err;
static guard_corpus *corpus;
static nn_tok *tok;

static void make_world(void)
{
    err = (nn_err){NN_OK, ""};
    corpus = toy_corpus(96);
    tok = toy_tok(corpus);
}

static void drop_world(void)
{
    guard_corpus_free(corpus);
    nn_tok_free(tok);
}

TestSuite(lm, .init = make_world, .fini = drop_world);

/* --- units -------------------------------------------------------------------------------------- */

/* A generator that has learnt nothing. */
static guard_lm *raw_lm(guard_lm_options *o)
{
    o->epochs = 0.0;
    return toy_lm(corpus, tok, o);
}

static void add_row(guard_corpus *c, const char *text, const char *response, int label, const char *category)
{
    guard_row row = {.label = label, .text = {text, strlen(text)}};

    if (response) row.response = (guard_text){response, strlen(response)};
    if (category) row.category = (guard_text){category, strlen(category)};
    expect_ok(guard_corpus_add(c, &row, &err), &err);
}

Test(lm, only_text_and_its_end_are_learnt)
{
    guard_lm_options o = toy_options();
    guard_lm *g = raw_lm(&o);
    guard_corpus *c = NULL;
    guard_lm_units u = {0};
    int32_t next[64];

    expect_ok(guard_corpus_build(&c, &err), &err);
    add_row(c, "bake", NULL, GUARD_SAFE, "unheard of,malware");
    add_row(c, "no label", NULL, GUARD_LABEL_NONE, NULL);
    add_row(c, "its label judges the answer", "no", GUARD_UNSAFE, NULL);
    add_row(c, "break", NULL, GUARD_UNSAFE, "unheard of");
    expect_ok(guard_lm_units_add(&u, g, c, &o, &err), &err);
    cr_assert_eq(u.n, 2);

    const int32_t prefix[] = {NN_TOK_BOS, NN_TOK_TASK_PROMPT, NN_TOK_SAFE, NN_TOK_CATEGORY + 1};
    cr_assert_eq(u.prefix[0], 4);
    cr_assert(memcmp(u.ids, prefix, sizeof prefix) == 0);
    const size_t n = u.start[1] - u.start[0], targets = guard_lm_unit_targets(next, &u, 0);
    cr_assert_eq(targets, n - 4 + 1, "the text's %zu tokens and the end", n - 4);
    for (size_t r = 0; r < n; r++)
        cr_assert_eq(next[r], r < 3 ? -1 : r + 1 < n ? u.ids[r + 1] : NN_TOK_EOS, "position %zu", r);
    cr_assert_eq(u.prefix[1], 3, "an unknown category has no token");
    cr_assert_eq(u.ids[u.start[1] + 2], NN_TOK_UNSAFE);

    guard_lm_units_free(&u);
    guard_corpus_free(c);
    guard_lm_free(g);
}

Test(lm, a_long_request_is_cut_and_has_no_end_plain_text_is_learnt_whole)
{
    guard_lm_options o = toy_options();
    guard_lm *g = raw_lm(&o);
    guard_corpus *c = NULL;
    guard_lm_units cut = {0}, plain = {0};
    int32_t next[64];
    size_t pieces = 0;

    expect_ok(guard_corpus_build(&c, &err), &err);
    add_row(c, "0123456789 abcdefghij 0123456789 zyxwvutsrq 0123456789 jklmnopqrs", NULL, GUARD_SAFE, NULL);
    expect_ok(guard_lm_units_add(&cut, g, c, &o, &err), &err);
    cr_assert_eq(cut.start[1], 3 + o.max_tokens);
    cr_assert_not(cut.end[0]);
    cr_assert_eq(guard_lm_unit_targets(next, &cut, 0), o.max_tokens);
    cr_assert_eq(next[3 + o.max_tokens - 1], -1);

    o.plain = true;
    expect_ok(guard_lm_units_add(&plain, g, c, &o, &err), &err);
    cr_assert(plain.n >= 2);
    for (size_t i = 0; i < plain.n; i++) {
        cr_assert_eq(plain.ids[plain.start[i]], NN_TOK_BOS);
        cr_assert_eq(plain.end[i], i + 1 == plain.n);
        pieces += plain.start[i + 1] - plain.start[i] - 1;
    }
    nn_tok_buf b = {0};
    expect_ok(nn_tok_encode(tok, &b, c->row[0].text.s, c->row[0].text.n, &err), &err);
    cr_assert_eq(pieces, b.len);

    nn_tok_buf_free(&b);
    guard_lm_units_free(&cut);
    guard_lm_units_free(&plain);
    guard_corpus_free(c);
    guard_lm_free(g);
}

/* --- training ------------------------------------------------------------------------------------- */

static guard_lm *trained(toy_job *t, size_t threads, const char *checkpoint, const guard_lm_options *o,
                         nn_status want)
{
    guard_lm *g = NULL;

    toy_job_open(t, threads, checkpoint);
    const nn_status st = guard_lm_train(&g, corpus, corpus, tok, toy_taxonomy(), NULL, o, &t->job, &err);
    cr_assert_eq(st, want, "%s", err.text);
    toy_job_close(t);
    return g;
}

Test(lm, learns_in_seconds_and_with_the_same_bytes_for_any_thread_count)
{
    static toy_job one, three;
    const guard_lm_options o = toy_options();
    guard_lm *a = trained(&one, 1, NULL, &o, NN_OK), *b = trained(&three, 3, NULL, &o, NN_OK);

    cr_assert(toy_metric(&one, "loss", true) < 0.4 * toy_metric(&one, "loss", false), "%g to %g nats a token",
              toy_metric(&one, "loss", false), toy_metric(&one, "loss", true));
    cr_assert(toy_metric(&one, "valid_loss", true) < toy_metric(&one, "valid_loss", false));
    expect_same_metrics(&one, &three);
    expect_same_model("threads", a, b);
    guard_lm_free(a);
    guard_lm_free(b);
}

Test(lm, a_stopped_or_broken_run_resumes_to_the_same_bytes)
{
    static toy_job whole, part;
    const guard_lm_options o = toy_options();
    const char *path = path_in(temp_dir(), "lm.safetensors");
    guard_lm *want = trained(&whole, 1, NULL, &o, NN_OK), *g = NULL;

    toy_job_open(&part, 1, path);
    part.stop_at = 7;
    cr_assert_eq(guard_lm_train(&g, corpus, corpus, tok, toy_taxonomy(), NULL, &o, &part.job, &err), NN_STOP);
    cr_assert_null(g);
    err = (nn_err){NN_OK, ""};
    part.fail_at_step = 60; /* ten steps after the checkpoint of step 50 */
    cr_assert_eq(guard_lm_train(&g, corpus, corpus, tok, toy_taxonomy(), NULL, &o, &part.job, &err), NN_LIMIT);
    cr_assert_eq(part.step[part.n - 1], 59);
    err = (nn_err){NN_OK, ""};
    part.fail_at_step = 0;
    part.job.tokens_used = 0;
    expect_ok(guard_lm_train(&g, corpus, corpus, tok, toy_taxonomy(), NULL, &o, &part.job, &err), &err);
    expect_same_metrics(&whole, &part);
    expect_same_model("resume", want, g);
    cr_assert_eq(part.job.tokens_used, whole.job.tokens_used);
    toy_job_close(&part);
    guard_lm_free(want);
    guard_lm_free(g);
}

Test(lm, a_checkpoint_of_other_options_is_refused)
{
    static toy_job t;
    guard_lm_options o = toy_options();
    guard_lm *g = NULL;

    toy_job_open(&t, 1, path_in(temp_dir(), "lm.safetensors"));
    t.stop_at = 3;
    cr_assert_eq(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &t.job, &err), NN_STOP);
    err = (nn_err){NN_OK, ""};
    o.adam.lr *= 2.0f;
    expect_fails(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &t.job, &err), NN_FILE, &err,
                 "other data or options");
    cr_assert_null(g);
    toy_job_close(&t);
}

Test(lm, a_token_budget_is_used_and_never_overdrawn)
{
    static toy_job t;
    guard_lm_options o = toy_options();

    o.token_budget = 3000;
    guard_lm *g = trained(&t, 1, NULL, &o, NN_OK);
    cr_assert(t.job.tokens_used <= 3000 && t.job.tokens_used > 3000 - o.batch_tokens, "%llu used",
              (unsigned long long)t.job.tokens_used);
    guard_lm_free(g);
}

Test(lm, tuning_goes_on_from_the_weights_it_is_given)
{
    static toy_job t;
    const guard_lm_options o = toy_options();
    guard_lm *base = toy_lm(corpus, tok, &o), *tuned = NULL, *alone = NULL;

    toy_job_open(&t, 1, NULL);
    expect_ok(guard_lm_train(&tuned, corpus, NULL, tok, toy_taxonomy(), base, &o, &t.job, &err), &err);
    const double first = toy_metric(&t, "loss", false);
    t.n = 0;
    expect_ok(guard_lm_train(&alone, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &t.job, &err), &err);
    cr_assert(first < 0.5 * toy_metric(&t, "loss", false), "%g after training, %g before", first,
              toy_metric(&t, "loss", false));
    toy_job_close(&t);
    guard_lm_free(base);
    guard_lm_free(tuned);
    guard_lm_free(alone);
}

/* --- drawing ---------------------------------------------------------------------------------------- */

enum { N_DRAW = 70 }; /* more than the decoder's slots */

static guard_corpus *draw(const guard_lm *g, size_t threads, size_t n, uint64_t first, guard_rollout *r)
{
    static toy_job t;
    guard_corpus *c = NULL;
    int label[N_DRAW];
    size_t category[N_DRAW];
    const nn_sampler s = nn_sampler_default();

    for (size_t i = 0; i < n; i++) {
        label[i] = (first + i) % 2 ? GUARD_UNSAFE : GUARD_SAFE;
        category[i] = (first + i) % 3; /* 2 is none */
    }
    toy_job_open(&t, threads, NULL);
    expect_ok(guard_corpus_build(&c, &err), &err);
    expect_ok(guard_lm_generate(g, c, r, label, category, n, &s, 20, first, &t.job, &err), &err);
    if (r)
        cr_assert_eq(t.job.tokens_used, r->start[n] - 4 * n + (n - first % 3) / 3 + (first % 3 == 2),
                     "prefixes are not drawn");
    toy_job_close(&t);
    return c;
}

Test(lm, a_drawn_row_depends_on_no_neighbour_and_no_thread)
{
    const guard_lm_options o = toy_options();
    guard_lm *g = toy_lm(corpus, tok, &o);
    guard_corpus *all = draw(g, 1, N_DRAW, 0, NULL), *threads = draw(g, 3, N_DRAW, 0, NULL),
                 *alone = draw(g, 1, 1, 66, NULL);
    char a[65], b[65];

    guard_corpus_hash(all, a);
    guard_corpus_hash(threads, b);
    cr_assert_str_eq(a, b);
    cr_assert_eq(alone->row[0].text.n, all->row[66].text.n);
    cr_assert(memcmp(alone->row[0].text.s, all->row[66].text.s, alone->row[0].text.n) == 0);
    cr_assert_str_eq(alone->row[0].id, all->row[66].id);
    guard_corpus_free(all);
    guard_corpus_free(threads);
    guard_corpus_free(alone);
    guard_lm_free(g);
}

Test(lm, writes_what_the_control_tokens_ask_for)
{
    const guard_lm_options o = toy_options();
    guard_lm *g = toy_lm(corpus, tok, &o);
    guard_rollout r = {0};
    guard_corpus *c = draw(g, 1, N_DRAW, 0, &r);
    size_t right = 0;

    for (size_t i = 0; i < c->n; i++) {
        const guard_row *row = &c->row[i];
        char want[96];

        right += i % 3 != 2 && strstr(row->text.s, i % 2 ? "break" : "bake") != NULL;
        cr_assert_eq(row->label, i % 2 ? GUARD_UNSAFE : GUARD_SAFE);
        cr_assert_str_eq(row->source.s, "generator");
        if (i % 3 == 2)
            snprintf(want, sizeof want, "[{\"generate\":{\"label\":%zu,\"category\":null,\"draw\":%zu}}]", i % 2, i);
        else
            snprintf(want, sizeof want, "[{\"generate\":{\"label\":%zu,\"category\":\"%s\",\"draw\":%zu}}]", i % 2,
                     i % 3 ? "malware" : "fraud", i);
        cr_assert_str_eq(row->ops.s, want);
        for (size_t t = r.start[i] + r.prefix[i]; t < r.start[i + 1]; t++)
            cr_assert(r.ids[t] >= NN_TOK_BYTES || (r.ids[t] == NN_TOK_EOS && t + 1 == r.start[i + 1]));
    }
    cr_assert(right > N_DRAW * 2 / 3 * 8 / 10, "%zu of %u say what was asked", right,
              N_DRAW * 2 / 3); /* no row was learnt without a category */
    guard_rollout_free(&r);
    guard_corpus_free(c);
    guard_lm_free(g);
}

Test(lm, ill_formed_draws_become_valid_text)
{
    guard_lm_options o = toy_options();
    guard_lm *g = raw_lm(&o); /* near uniform: half of its bytes are above 127 */
    guard_corpus *c = draw(g, 1, N_DRAW, 0, NULL);
    size_t repaired = 0;

    for (size_t i = 0; i < c->n; i++) {
        size_t bad = 0;

        (void)nn_utf8_repair(NULL, c->row[i].text.s, c->row[i].text.n, &bad);
        cr_assert_eq(bad, 0);
        repaired += strstr(c->row[i].text.s, "\xef\xbf\xbd") != NULL;
    }
    cr_assert(repaired > 0);
    guard_corpus_free(c);
    guard_lm_free(g);
}

/* --- the file ----------------------------------------------------------------------------------------- */

Test(lm, a_saved_generator_is_the_same_generator)
{
    const guard_lm_options o = toy_options();
    const char *dir = temp_dir(), *first = path_in(dir, "a.gguf"), *second = path_in(dir, "b.gguf");
    guard_lm *g = toy_lm(corpus, tok, &o), *h = NULL;
    size_t len = 0;

    expect_ok(guard_lm_save(g, first, &err), &err);
    expect_ok(guard_lm_open(&h, first, &err), &err);
    expect_same_model("file", g, h);
    cr_assert_eq(guard_lm_taxonomy(h)->n, 2);
    cr_assert_str_eq(guard_lm_taxonomy(h)->category[1].name, "malware");
    expect_ok(guard_lm_save(h, second, &err), &err);
    char *bytes = read_bytes(first, &len);
    cr_assert(bytes_equal_file(second, bytes, len));
    free(bytes);
    guard_lm_free(g);
    guard_lm_free(h);
}

Test(lm, a_hostile_file_is_refused_or_harmless)
{
    const guard_lm_options o = toy_options();
    const char *path = path_in(temp_dir(), "hostile.gguf");
    guard_lm *g = toy_lm(corpus, tok, &o);

    expect_ok(guard_lm_save(g, path, &err), &err);
    expect_hostile_files_refused(path, 4000, 7, 3); /* the keys and the first tensors' places */
    guard_lm_free(g);
}

Test(lm, every_failing_allocation_is_reported)
{
    const guard_lm_options o = toy_options();
    const char *path = path_in(temp_dir(), "oom.gguf");
    guard_lm *g = toy_lm(corpus, tok, &o), *h = NULL;
    nn_status st = NN_LIMIT;

    expect_ok(guard_lm_save(g, path, &err), &err);
    for (long n = 0; st != NN_OK; n++) {
        cr_assert(n < 1000);
        nn_alloc_fail_at(n);
        st = guard_lm_open(&h, path, NULL);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !h), "allocation %ld: status %d", n, (int)st);
    }
    guard_lm_free(h);
    guard_lm_free(g);
}

Test(lm, every_failing_allocation_of_training_is_reported)
{
    static toy_job t;
    guard_lm_options o = toy_options();
    nn_status st = NN_LIMIT;

    o.token_budget = 600;
    toy_job_open(&t, 1, NULL);
    for (long n = 0; st != NN_OK; n++) {
        guard_lm *g = NULL;

        cr_assert(n < 10000);
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = guard_lm_train(&g, corpus, corpus, tok, toy_taxonomy(), NULL, &o, &t.job, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !g), "allocation %ld: %s", n, err.text);
        guard_lm_free(g);
        t.n = 0;
    }
    toy_job_close(&t);
}
