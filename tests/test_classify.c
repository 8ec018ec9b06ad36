#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_guard_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- windows ------------------------------------------------------------------------------------------ */

static guard_windows *windows_of(const guard_classifier *g, const char *text, size_t len, const char *response)
{
    guard_windows *w = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_windows_build(&w, &err), &err);
    expect_ok(guard_windows_of_text(w, guard_classifier_parts(g), text, len, response,
                                    response ? strlen(response) : 0, &err),
              &err);
    return w;
}

/* n words separated by blanks; free() it. */
static char *long_text(size_t n, uint64_t seed)
{
    static const char *const words[] = {
        "garden", "river", "zorn", "slowly", "bread", "quafe", "a", "stone", "\xc3\xa9t\xc3\xa9", "42"};
    char *text = calloc(n, 9);
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        nn_rng r = nn_rng_at(seed, "text", i);

        snprintf(text + at, 9 * n - at, "%s%s", i ? " " : "", words[nn_rng_below(&r, 10)]);
        at += strlen(text + at);
    }
    return text;
}

Test(windows, empty_text_is_one_window_of_specials)
{
    guard_classifier *g = random_guard(true, false, 3);
    guard_windows *w = windows_of(g, NULL, 0, NULL);
    const int32_t *ids = NULL, want[] = {NN_TOK_BOS, NN_TOK_TASK_PROMPT, NN_TOK_LABEL};
    size_t n = 0, first = 9, last = 9;

    cr_assert_eq(guard_windows_count(w), 1);
    guard_windows_at(w, 0, &ids, &n, &first, &last);
    cr_assert_eq(n, 3);
    cr_expect_arr_eq(ids, want, sizeof want);
    cr_expect(first == 0 && last == 0);
    guard_windows_free(w);
    guard_classifier_close(g);
}

Test(windows, cover_the_text_with_steps_of_at_most_half_the_room)
{
    guard_classifier *g = random_guard(true, false, 3);
    char *text = long_text(300, 5);
    guard_windows *w = windows_of(g, text, strlen(text), NULL);
    size_t end_before = 0, start_before = 0;
    const size_t room = 32 - 3;

    cr_assert_eq(guard_windows_count(w), 1 + (guard_windows_tokens(w) - room + 14) / 15);
    for (size_t i = 0; i < guard_windows_count(w); i++) {
        const int32_t *ids = NULL;
        char back[1024];
        size_t n = 0, first = 0, last = 0;

        guard_windows_at(w, i, &ids, &n, &first, &last);
        cr_assert(n <= 32 && ids[0] == NN_TOK_BOS && ids[1] == NN_TOK_TASK_PROMPT && ids[n - 1] == NN_TOK_LABEL);
        const size_t len = nn_tok_decode(guard_classifier_parts(g)->tok, back, sizeof back, ids, n);
        cr_assert(len == last - first && memcmp(back, text + first, len) == 0, "window %zu is the bytes it names",
                  i);
        cr_assert(i == 0 ? first == 0 : first > start_before && first <= end_before, "no gap before window %zu", i);
        start_before = first;
        end_before = last;
    }
    cr_expect_eq(end_before, strlen(text));
    free(text);
    guard_windows_free(w);
    guard_classifier_close(g);
}

Test(windows, response_keeps_the_prompts_last_quarter)
{
    guard_classifier *g = random_guard(true, false, 3);
    const guard_parts *p = guard_classifier_parts(g);
    char *prompt = long_text(60, 6), *response = long_text(90, 7), back[1024];
    guard_windows *w = windows_of(g, prompt, strlen(prompt), response);

    cr_assert_gt(guard_windows_count(w), 2);
    for (size_t i = 0; i < guard_windows_count(w); i++) {
        const int32_t *ids = NULL;
        guard_window_text t;
        size_t n = 0, first = 0, last = 0;

        guard_windows_at(w, i, &ids, &n, &first, &last);
        cr_assert(ids[1] == NN_TOK_TASK_RESPONSE && ids[2 + 8] == NN_TOK_RESPONSE && ids[n - 1] == NN_TOK_LABEL &&
                  n <= 32);
        guard_window_decode(&t, back, sizeof back, p, guard_windows_form(w), ids, n);
        cr_assert(t.response != NULL && t.response_len == last - first);
        cr_expect_eq(memcmp(t.response, response + first, t.response_len), 0);
        cr_expect_eq(memcmp(t.text, prompt + strlen(prompt) - t.len, t.len), 0, "the prompt's end");
    }
    free(prompt);
    free(response);
    guard_windows_free(w);
    guard_classifier_close(g);
}

Test(windows, pieces_give_the_tokens_of_the_whole)
{
    guard_classifier *g = random_guard(true, false, 3);
    char *text = long_text(9000, 8);
    guard_windows *w = windows_of(g, text, strlen(text), NULL);
    nn_tok_buf whole = {0};
    nn_err err = {NN_OK, ""};

    cr_assert_gt(strlen(text), 4 * GUARD_PIECE);
    expect_ok(nn_tok_encode(guard_classifier_parts(g)->tok, &whole, text, strlen(text), &err), &err);
    cr_assert_eq(guard_windows_tokens(w), whole.len);
    for (size_t i = 0, at = 0; i < guard_windows_count(w); i++, at += 15) {
        const int32_t *ids = NULL;
        size_t n = 0, first = 0, last = 0;

        guard_windows_at(w, i, &ids, &n, &first, &last);
        cr_assert_arr_eq(ids + 2, whole.ids + at, (n - 3) * sizeof *ids);
        cr_assert_eq(first, whole.start[at]);
        cr_assert_not(guard_windows_repeats(w, i), "no two windows of drawn words are equal");
    }
    nn_tok_buf_free(&whole);
    free(text);
    guard_windows_free(w);
    guard_classifier_close(g);
}

Test(windows, equal_windows_are_marked)
{
    guard_classifier *g = random_guard(true, false, 3);
    char *text = calloc(3, 40000);
    size_t fresh = 0;

    memset(text, 'x', 40000);
    guard_windows *w = windows_of(g, text, 40000, NULL);
    for (size_t i = 0; i < guard_windows_count(w); i++) fresh += !guard_windows_repeats(w, i);
    cr_assert_gt(guard_windows_count(w), 100);
    cr_expect_leq(fresh, 20, "%zu of %zu", fresh, guard_windows_count(w)); /* pieces end in other tokens */
    cr_expect_not(guard_windows_repeats(w, 0));
    free(text);
    guard_windows_free(w);
    guard_classifier_close(g);
}

Test(windows, ill_formed_parts_keep_their_place_in_the_text)
{
    guard_classifier *g = random_guard(true, false, 3);
    const char bad[] = "river \xff\xfe stone \xe2\x82 bread\xc3";
    const size_t len = sizeof bad - 1;
    guard_windows *w = windows_of(g, bad, len, NULL);
    const int32_t *ids = NULL;
    char back[128];
    size_t n = 0, first = 0, last = 0;

    cr_expect_eq(guard_windows_replaced(w), 4);
    guard_windows_at(w, 0, &ids, &n, &first, &last);
    const size_t got = nn_tok_decode(guard_classifier_parts(g)->tok, back, sizeof back, ids, n);
    const char want[] = "river \xef\xbf\xbd\xef\xbf\xbd stone \xef\xbf\xbd bread\xef\xbf\xbd";
    cr_expect(got == sizeof want - 1 && memcmp(back, want, got) == 0);
    cr_expect(first == 0 && last == len);
    guard_windows_free(w);
    guard_classifier_close(g);
}

Test(windows, byte_ranges_count_bytes_as_they_came)
{
    guard_classifier *g = random_guard(true, false, 3);
    char text[512];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 4 == 0 ? '\xff' : (char)('a' + (char)(i % 3)); /* no blanks, a quarter bad */
    guard_windows *w = windows_of(g, text, sizeof text, NULL);
    const size_t n_win = guard_windows_count(w);
    size_t before = 0;

    for (size_t i = 0; i < n_win; i++) {
        const int32_t *ids = NULL;
        size_t n = 0, first = 0, last = 0;

        guard_windows_at(w, i, &ids, &n, &first, &last);
        cr_assert(first <= last && last <= sizeof text && first >= before);
        before = first;
        if (i + 1 == n_win) cr_expect_eq(last, sizeof text);
    }
    cr_expect_eq(guard_windows_replaced(w), sizeof text / 4);
    guard_windows_free(w);
    guard_classifier_close(g);
}

/* --- verdicts ------------------------------------------------------------------------------------------- */

static guard_session *session_of(const guard_classifier *g, size_t threads, size_t max_bytes)
{
    const guard_session_options o = {NULL, threads, max_bytes};
    guard_session *s = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_session_open(&s, g, &o, &err), &err);
    return s;
}

static guard_verdict check(guard_session *s, const char *text, size_t len, const char *response)
{
    guard_verdict v = {0};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_check(s, text, len, response, response ? strlen(response) : 0, &v, &err), &err);
    return v;
}

/* Short, long, empty, with a response, with a zero byte, ill-formed. */
static guard_corpus *mixed_corpus(void)
{
    char *a = long_text(200, 11), *b = long_text(75, 12);
    guard_row row[10] = {row_of("river", NULL, 0),
                         row_of("", NULL, 0),
                         row_of(a, NULL, 1),
                         row_of("zorn", "blick stone", 1),
                         row_of(a, b, 0),
                         row_of("", "", 1),
                         row_of("bad \xff bytes \xc3", NULL, 0),
                         row_of(b, NULL, GUARD_LABEL_NONE),
                         row_of("quafe", NULL, 1),
                         row_of("nul", NULL, 0)};

    row[9].text = (guard_text){"a\0b zorn\0", 9};
    guard_corpus *c = corpus_of(row, 10);
    free(a);
    free(b);
    return c;
}

static void expect_score_equals_check(bool wide, bool decoder, size_t threads)
{
    guard_classifier *g = random_guard(wide, decoder, 21);
    guard_corpus *c = mixed_corpus();
    guard_session *s = session_of(g, 1, 0);
    guard_verdict v[10];
    nn_exec x = open_exec(threads);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_score(g, c, v, &job, &err), &err);
    for (size_t i = 0; i < c->n; i++) {
        const guard_row *r = &c->row[i];
        guard_verdict one = {0};
        char what[64];

        snprintf(what, sizeof what, "row %zu, %zu threads", i, threads);
        expect_ok(guard_check(s, r->text.s, r->text.n, r->response.s, r->response.n, &one, &err), &err);
        expect_same_verdict(what, &v[i], &one);
        cr_expect(isfinite(one.logit) && one.window_count > 0);
    }
    guard_session_close(s);
    nn_exec_free(&x);
    guard_corpus_free(c);
    guard_classifier_close(g);
}

Test(classify, corpus_and_single_checks_give_the_same_bits)
{
    for (size_t threads = 1; threads <= 2; threads++) {
        expect_score_equals_check(true, true, threads);
        expect_score_equals_check(true, false, threads);
        expect_score_equals_check(false, true, threads);
    }
}

Test(classify, verdict_is_the_worst_window_and_names_its_bytes)
{
    guard_classifier *g = random_guard(true, true, 22);
    guard_session *s = session_of(g, 1, 0);
    char *text = long_text(120, 13), part[1024];
    const guard_verdict whole = check(s, text, strlen(text), NULL);
    guard_windows *w = windows_of(g, text, strlen(text), NULL);
    float worst = -INFINITY;
    size_t at = 0;

    cr_assert_gt(guard_windows_count(w), 4);
    for (size_t i = 0; i < guard_windows_count(w); i++) {
        const int32_t *ids = NULL;
        size_t n = 0, first = 0, last = 0;

        guard_windows_at(w, i, &ids, &n, &first, &last);
        memcpy(part, text + first, last - first);
        const guard_verdict one = check(s, part, last - first, NULL);
        if (one.tokens != n - 3) continue; /* cut inside a pre-token: another tokenization */
        cr_expect(one.logit <= whole.logit);
        if (one.logit > worst) {
            worst = one.logit;
            at = i;
        }
    }
    cr_expect(whole.window_count == guard_windows_count(w) && whole.window_end > whole.window_start);
    if (worst == whole.logit) cr_expect_eq(at, whole.window_index);
    free(text);
    guard_windows_free(w);
    guard_session_close(s);
    guard_classifier_close(g);
}

/* What the wide part says of one marked word in ten thousand others: as much as in its window alone. */
Test(classify, a_marked_word_weighs_as_much_in_a_long_text)
{
    guard_classifier *g = random_guard(true, false, 23);
    guard_session *s = session_of(g, 1, 0);
    const char alone[] = "the quiet garden blick over the morning table";
    char *text = calloc(1, 200000);

    for (size_t i = 0; i < 2000; i++) memcpy(text + 40 * i, "the quiet garden over the morning table ", 40);
    const size_t calm_len = strlen(text);
    const guard_verdict calm = check(s, text, calm_len, NULL), near = check(s, alone, sizeof alone - 1, NULL);
    memcpy(text + calm_len / 2 / 40 * 40 + 10, "blick ", 6); /* for "garden" */
    const guard_verdict buried = check(s, text, calm_len, NULL);

    cr_expect(buried.logit > calm.logit + 0.5f * (near.logit - calm.logit), "alone %g, buried %g, calm %g",
              (double)near.logit, (double)buried.logit, (double)calm.logit);
    cr_expect(buried.window_start < calm_len / 2 + 400 && buried.window_end + 400 > calm_len / 2);
    free(text);
    guard_session_close(s);
    guard_classifier_close(g);
}

Test(classify, too_long_names_limit_and_size)
{
    guard_classifier *g = random_guard(true, true, 24);
    guard_session *s = session_of(g, 1, 100);
    char *text = long_text(60, 14);
    guard_verdict v = {0};
    nn_err err = {NN_OK, ""}, second = {NN_OK, ""};

    (void)check(s, text, 100, NULL);
    (void)check(s, text, 100, text + strlen(text) - 100);
    expect_fails(guard_check(s, text, 101, NULL, 0, &v, &err), NN_LIMIT, &err,
                 "101 bytes, want at most 100 (--max-bytes)");
    expect_fails(guard_check(s, "a", 1, text, 101, &v, &second), NN_LIMIT, &second, "response: 101 bytes");
    free(text);
    guard_session_close(s);
    guard_classifier_close(g);
}

Test(classify, nothing_is_allocated_after_open)
{
    enum { MOST = 20000 };
    guard_classifier *g = random_guard(true, true, 25);
    guard_session *s = session_of(g, 1, MOST);
    char *words = long_text(4000, 15), *bad = malloc(MOST), *run = malloc(MOST);
    guard_verdict v = {0};

    for (size_t i = 0; i < MOST; i++) {
        nn_rng r = nn_rng_at(1, "bytes", i);
        bad[i] = (char)(unsigned char)nn_rng_below(&r, 256);
        run[i] = 'a';
    }
    const char *const texts[] = {words, bad, run};
    for (size_t i = 0; i < 3; i++) {
        nn_alloc_fail_at(0);
        const nn_status alone = guard_check(s, texts[i], MOST, NULL, 0, &v, NULL);
        const nn_status both = guard_check(s, texts[i], MOST, texts[(i + 1) % 3], MOST, &v, NULL);
        nn_alloc_fail_at(-1);
        cr_expect(alone == NN_OK && both == NN_OK, "text %zu: %d, %d", i, (int)alone, (int)both);
    }
    free(words);
    free(bad);
    free(run);
    guard_session_close(s);
    guard_classifier_close(g);
}

Test(classify, every_failing_allocation_of_a_session_is_said)
{
    guard_classifier *g = random_guard(true, true, 25);
    long n = 0;

    for (nn_status st = NN_LIMIT; st != NN_OK; n++) {
        const guard_session_options o = {NULL, 1, 1000};
        guard_session *s = NULL;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = guard_session_open(&s, g, &o, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK ? s != NULL : st == NN_LIMIT && s == NULL, "allocation %ld: %s", n, err.text);
        guard_session_close(s);
    }
    cr_expect_gt(n, 10);
    guard_classifier_close(g);
}

Test(classify, weights_that_overflow_flag_the_text)
{
    guard_classifier *g = random_guard(false, true, 26);
    nn_tensor t;

    cr_assert(nn_model_find(guard_classifier_parts(g)->m, "cls.output.weight", &t));
    for (size_t i = 0; i < t.rows * t.cols; i++) t.data[i] = i < t.cols ? 3e38f : -3e38f;
    guard_session *s = session_of(g, 1, 0);
    const guard_verdict v = check(s, "river", 5, NULL);
    t.data[0] = NAN;
    const guard_verdict nan = check(s, "river", 5, NULL);

    cr_expect(!isnan(v.p_unsafe));
    cr_expect(nan.flagged && nan.p_unsafe == 1.0f);
    guard_session_close(s);
    guard_classifier_close(g);
}

Test(classify, ill_formed_bytes_are_scored_as_the_replacement_character)
{
    guard_classifier *g = random_guard(true, true, 27);
    guard_session *s = session_of(g, 1, 0);
    guard_verdict bad = check(s, "zorn \xff stone", 12, NULL);
    const guard_verdict good = check(s, "zorn \xef\xbf\xbd stone", 14, NULL);

    cr_expect(bad.bytes_replaced == 1 && good.bytes_replaced == 0);
    bad.bytes_replaced = 0;
    bad.window_end += 2;
    expect_same_verdict("U+FFFD", &bad, &good);
    guard_session_close(s);
    guard_classifier_close(g);
}

/* --- one part alone ------------------------------------------------------------------------------------- */

Test(classify, parts_alone_sum_to_the_whole)
{
    guard_classifier *g = random_guard(true, true, 28), *part[2] = {NULL, NULL}, *none = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_only(&part[0], g, "wide", &err), &err);
    expect_ok(guard_classifier_only(&part[1], g, "decoder", &err), &err);
    guard_session *s[3] = {session_of(g, 1, 0), session_of(part[0], 1, 0), session_of(part[1], 1, 0)};
    const guard_verdict v[3] = {check(s[0], "zorn bread", 10, NULL), check(s[1], "zorn bread", 10, NULL),
                                check(s[2], "zorn bread", 10, NULL)};

    cr_expect(v[0].wide_logit == v[1].logit && v[0].decoder_logit == v[2].logit &&
              v[0].logit == v[1].logit + v[2].logit);
    cr_expect(v[1].n_category == 0 && v[2].n_category == 2);
    cr_expect(guard_classifier_threshold(part[0], 0) == 0.5f);
    expect_fails(guard_classifier_only(&none, part[0], "decoder", &err), NN_USAGE, &err, "has no decoder");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_classifier_only(&none, g, "both", &err), NN_USAGE, &err, "want wide or decoder");
    for (size_t i = 0; i < 3; i++) guard_session_close(s[i]);
    guard_classifier_close(part[0]);
    guard_classifier_close(part[1]);
    guard_classifier_close(g);
}

Test(classify, contradictory_parts_are_refused)
{
    guard_classifier *g = random_guard(false, true, 29), *made = NULL;
    const guard_parts good = *guard_classifier_parts(g);
    guard_parts p = good;
    nn_err err = {NN_OK, ""};

    p.m = NULL;
    expect_fails(guard_classifier_build(&made, &p, &err), NN_USAGE, &err, "neither wide part nor decoder");
    p = good;
    p.window = 64;
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_classifier_build(&made, &p, &err), NN_USAGE, &err,
                 "decoder of 32 positions, want the window's 64");
    p = good;
    p.taxonomy.n = 1;
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_classifier_build(&made, &p, &err), NN_USAGE, &err, "category head of 2 rows");
    guard_classifier_close(g);
}

/* --- columns and embeddings ----------------------------------------------------------------------------- */

Test(classify, columns_hold_p_margin_and_loss)
{
    guard_classifier *g = random_guard(true, true, 30);
    guard_corpus *c = mixed_corpus();
    guard_verdict v[10];
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_score(g, c, v, &job, &err), &err);
    expect_ok(guard_score_columns(g, c, "03_score", "_late", &job, &err), &err);
    const guard_column *p = guard_corpus_find(c, "p_late"), *margin = guard_corpus_find(c, "margin_late"),
                       *loss = guard_corpus_find(c, "loss_late");
    cr_assert(p && margin && loss);
    for (size_t i = 0; i < c->n; i++) {
        const double q = (double)v[i].p_unsafe, want = c->row[i].label == GUARD_UNSAFE ? -log(q) : -log(1.0 - q);

        cr_expect(p->num[i] == q && (margin->num[i] >= 0.0) == (q >= 0.5));
        if (c->row[i].label == GUARD_LABEL_NONE) cr_expect(isnan(loss->num[i]));
        else
            cr_expect(fabs(loss->num[i] - want) < 1e-3 * (1.0 + want), "row %zu: %g, want %g", i, loss->num[i],
                      want);
    }
    nn_exec_free(&x);
    guard_corpus_free(c);
    guard_classifier_close(g);
}

Test(classify, embeddings_have_norm_one_and_do_not_see_their_neighbours)
{
    guard_classifier *g = random_guard(true, true, 31);
    guard_corpus *c = mixed_corpus();
    const size_t C = guard_embed_width(g);
    float *all = calloc(c->n * C, sizeof *all), *one = calloc(C, sizeof *one);
    nn_exec x = open_exec(2), y = open_exec(1);
    guard_job job = job_of(&x), alone = job_of(&y);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_embed(g, c, all, &job, &err), &err);
    for (size_t i = 0; i < c->n; i++) {
        guard_corpus *single = corpus_of(&c->row[i], 1);
        double norm = 0.0;

        expect_ok(guard_embed(g, single, one, &alone, &err), &err);
        expect_same_floats("embedding", all + i * C, one, C);
        for (size_t k = 0; k < C; k++) norm += (double)one[k] * (double)one[k];
        cr_expect(fabs(norm - 1.0) < 1e-5);
        guard_corpus_free(single);
    }
    free(all);
    free(one);
    nn_exec_free(&x);
    nn_exec_free(&y);
    guard_corpus_free(c);
    guard_classifier_close(g);
}

static bool refuse_to_go_on(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    (void)ctx;
    (void)unit;
    return done + 1 > total + 1;
}

Test(classify, scoring_stops_when_asked)
{
    guard_classifier *g = random_guard(true, false, 32);
    guard_corpus *c = mixed_corpus();
    guard_verdict v[10];
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_err err = {NN_OK, ""};

    job.progress = refuse_to_go_on;
    expect_fails(guard_score(g, c, v, &job, &err), NN_STOP, &err, "stopped after 10 of 10 rows");
    nn_exec_free(&x);
    guard_corpus_free(c);
    guard_classifier_close(g);
}
