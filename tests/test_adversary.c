/* Tests of guard/adversary.h: measures, a round that learns, the watch, the budget, resuming. */
#include "guard/adversary_impl.h"
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "tests/support.h"
#include "tests/test_guard_toy.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static nn_err err;
static guard_corpus *seeds;
static nn_tok *tok;
static guard_lm *base; /* frozen */
static guard_classifier *guard, *other;
static guard_wide *judge;
static guard_judges *held;

static void make_world(void)
{
    static toy_job job;
    guard_judge_options o = guard_judge_default();
    const guard_lm_options lm = toy_options();

    err = (nn_err){NN_OK, ""};
    seeds = toy_corpus(96);
    tok = toy_tok(seeds);
    base = toy_lm(seeds, tok, &lm);
    guard = toy_guard(seeds, tok, false);
    other = toy_guard(seeds, tok, true);
    judge = toy_wide(seeds);
    o.wide = toy_wide_options();
    toy_job_open(&job, 1, NULL);
    expect_ok(guard_judges_build(&held, seeds, other, &o, &job.job, &err), &err);
    toy_job_close(&job);
}

static void drop_world(void)
{
    guard_judges_free(held);
    guard_classifier_close(guard);
    guard_classifier_close(other);
    guard_wide_free(judge);
    guard_lm_free(base);
    nn_tok_free(tok);
    guard_corpus_free(seeds);
}

TestSuite(adversary, .init = make_world, .fini = drop_world);

/* --- measures ------------------------------------------------------------------------------------ */

Test(adversary, measures_are_what_they_say)
{
    static toy_job job;
    guard_corpus *c = NULL;
    guard_verdict v[5];
    guard_features f = {0};

    toy_job_open(&job, 1, NULL);
    expect_ok(guard_corpus_build(&c, &err), &err);
    add_toy_row(c, "1111111111111111", GUARD_UNSAFE, "break my phone"); /* a part of a seed */
    add_toy_row(c, "2222222222222222", GUARD_SAFE, "how do I bake a song a song a song a song"); /* repeats itself */
    add_toy_row(c, "3333333333333333", GUARD_UNSAFE, "how do I bake the cake"); /* the guard sees a safe one */
    add_toy_row(c, "4444444444444444", GUARD_SAFE, "");
    add_toy_row(c, "5555555555555555", GUARD_LABEL_NONE, "quite new words");
    expect_ok(guard_adversary_measure(c, guard, judge, seeds, "08.attack", &job.job, &err), &err);
    expect_ok(guard_score(guard, c, v, &job.job, &err), &err);
    for (size_t i = 0; i < 5; i++) {
        float z = 0.0f;

        expect_ok(guard_wide_logit(judge, &f, &c->row[i], &z, &err), &err);
        cr_assert_eq(column_at(c, "judge_p", i), nn_sigmoid((double)z));
        cr_assert_eq(column_at(c, "guard_p", i), (double)v[i].p_unsafe);
    }
    cr_assert_eq(column_at(c, "novelty", 0), 0.0);
    cr_assert_float_eq(column_at(c, "novelty", 1), 1.0 - 3.0 / 6.0, 1e-12,
                       "3 of 6 distinct trigrams stand in one seed");
    cr_assert_eq(column_at(c, "novelty", 2), 0.0);
    cr_assert_eq(column_at(c, "novelty", 4), 1.0);
    cr_assert_float_eq(column_at(c, "repetition", 1), 1.0 - 6.0 / 10.0, 1e-12);
    cr_assert_eq(column_at(c, "repetition", 0), 0.0);
    const double words[] = {3.0, 12.0, 6.0, 0.0, 3.0};
    for (size_t i = 0; i < 5; i++) cr_assert_eq(column_at(c, "words", i), words[i]);
    cr_assert(column_at(c, "fooled", 2) == 1.0 && column_at(c, "fooled", 1) == 0.0 &&
              isnan(column_at(c, "fooled", 4)));
    cr_assert_eq(guard_corpus_find(c, "fooled")->kind, GUARD_COL_BOOL);
    guard_features_free(&f);
    toy_job_close(&job);
    guard_corpus_free(c);
}

Test(adversary, distinct_bigrams_of_a_batch)
{
    guard_corpus *c = NULL;
    double share = 0.0;

    expect_ok(guard_corpus_build(&c, &err), &err);
    expect_ok(guard_measure_distinct2(&share, c, &err), &err);
    cr_assert_eq(share, 1.0);
    add_toy_row(c, "1111111111111111", GUARD_SAFE, "a b c");
    add_toy_row(c, "2222222222222222", GUARD_SAFE, "a b c");
    add_toy_row(c, "3333333333333333", GUARD_SAFE, "c d c d");
    expect_ok(guard_measure_distinct2(&share, c, &err), &err);
    cr_assert_float_eq(share, 4.0 / 7.0, 1e-12);
    guard_corpus_free(c);
}

/* --- the round ----------------------------------------------------------------------------------- */

typedef struct {
    size_t n;      /* looks */
    double memory; /* of all that was told: a rule may remember */
    guard_watch first, now;
    size_t stop_at;       /* refuses this step; SIZE_MAX: none */
    char weights[64][65]; /* of the generator at each look */
    guard_lm *gen;
} watcher;

/* Paid like scripts/adversary.lua: fooling pays as far as the judge believes the label. */
static nn_status pay(void *ctx, const guard_corpus *c, double *reward, nn_err *e)
{
    (void)ctx;
    (void)e;
    cr_assert_null(guard_corpus_find(c, "votes"), "a reward must not see the judges that are not paid for");
    for (size_t i = 0; i < c->n; i++) {
        const bool unsafe = c->row[i].label == GUARD_UNSAFE;
        const double fooled = unsafe ? 1.0 - column_at(c, "guard_p", i) : column_at(c, "guard_p", i);

        reward[i] = fooled + 0.3 * column_at(c, "novelty", i) - column_at(c, "repetition", i) -
                    (column_at(c, "words", i) < 3.0 ? 1.0 : 0.0);
    }
    return NN_OK;
}

static bool watch(void *ctx, size_t step, const guard_watch *now, char reason[128])
{
    watcher *w = ctx;

    if (w->n == 0) w->first = *now;
    w->now = *now;
    w->memory = 0.5 * w->memory + now->reward;
    if (w->gen && step < 64) nn_model_hash(guard_lm_model(w->gen), w->weights[step]);
    w->n++;
    if (step != w->stop_at) return true;
    snprintf(reason, 128, "enough of it");
    return false;
}

static guard_adversary_options round_options(void)
{
    guard_adversary_options o = guard_adversary_default();

    o.steps = 8;
    o.batch = 32;
    o.max_new = 16;
    o.lr = 5e-3f;
    o.kl = 0.01f;
    return o;
}

static nn_status play(guard_lm *gen, const guard_adversary_options *o, watcher *w, guard_corpus **last,
                      char stopped[128], toy_job *job)
{
    w->gen = gen;
    return guard_adversary_round(gen, base, guard, judge, held, seeds, o, pay, watch, w, last, stopped, &job->job,
                                 &err);
}

static guard_lm *copy_of_base(void)
{
    guard_lm *g = NULL;

    expect_ok(guard_lm_clone(&g, base, &err), &err);
    return g;
}

Test(adversary, a_round_earns_more_and_returns_what_it_watched)
{
    static toy_job job;
    guard_adversary_options o = round_options();
    guard_lm *g = copy_of_base();
    guard_corpus *last = NULL;
    watcher w = {.stop_at = SIZE_MAX};
    char stopped[128], now[65];

    o.steps = 20;
    toy_job_open(&job, 1, NULL);
    expect_ok(play(g, &o, &w, &last, stopped, &job), &err);
    cr_assert_eq(w.n, 21, "one look at each policy, the last included");
    cr_assert_str_eq(stopped, "");
    cr_assert_eq(w.first.kl, 0.0);
    cr_assert(w.now.reward > w.first.reward + 0.15, "reward %g to %g", w.first.reward, w.now.reward);
    cr_assert(w.now.fooled > w.first.fooled, "fooled %g to %g", w.first.fooled, w.now.fooled);
    cr_assert(w.now.kl > 0.0 && isfinite(w.now.kl));
    nn_model_hash(guard_lm_model(g), now);
    cr_assert_str_eq(now, w.weights[20]);
    cr_assert_eq(last->n, o.batch);
    size_t unsafe = 0;
    for (size_t i = 0; i < last->n; i++) unsafe += last->row[i].label == GUARD_UNSAFE;
    cr_assert_eq(unsafe, last->n / 2, "each step asks for its share");
    for (size_t i = 0; i < last->n; i += 8)
        cr_assert_eq(last->row[i].label, last->row[i + 7].label, "a group asks for one thing");
    double mean = 0.0;
    for (size_t i = 0; i < last->n; i++) mean += column_at(last, "reward", i);
    cr_assert_float_eq(mean / (double)last->n, w.now.reward, 1e-12);
    cr_assert(guard_corpus_find(last, "votes") && guard_corpus_find(last, "guard_p"));
    cr_assert_eq(toy_metric(&job, "reward", true), w.now.reward);
    cr_assert_eq(toy_metric(&job, "held_judges", false), w.first.held_judges);
    toy_job_close(&job);
    guard_corpus_free(last);
    guard_lm_free(g);
}

Test(adversary, the_watch_stops_a_round_and_the_last_good_generator_comes_back)
{
    static toy_job job;
    const guard_adversary_options o = round_options();
    guard_lm *g = copy_of_base();
    watcher w = {.stop_at = 3};
    char stopped[128], now[65], start[65];

    toy_job_open(&job, 1, NULL);
    expect_ok(play(g, &o, &w, NULL, stopped, &job), &err);
    cr_assert_eq(w.n, 4);
    cr_assert_str_eq(stopped, "enough of it");
    nn_model_hash(guard_lm_model(g), now);
    cr_assert_str_eq(now, w.weights[2]);
    cr_assert_str_neq(now, w.weights[3]);

    w = (watcher){.stop_at = 0}; /* refused at the first look: nothing was changed */
    nn_model_hash(guard_lm_model(g), start);
    expect_ok(play(g, &o, &w, NULL, stopped, &job), &err);
    nn_model_hash(guard_lm_model(g), now);
    cr_assert_str_eq(now, start);
    toy_job_close(&job);
    guard_lm_free(g);
}

Test(adversary, a_round_keeps_to_its_tokens)
{
    static toy_job job;
    guard_adversary_options o = round_options();
    guard_lm *g = copy_of_base();
    watcher w = {.stop_at = SIZE_MAX};
    char stopped[128];

    o.token_budget = 5 * o.batch * o.max_new;
    toy_job_open(&job, 1, NULL);
    expect_ok(play(g, &o, &w, NULL, stopped, &job), &err);
    cr_assert(job.job.tokens_used <= o.token_budget && job.job.tokens_used > o.token_budget / 3, "%llu of %llu",
              (unsigned long long)job.job.tokens_used, (unsigned long long)o.token_budget);
    cr_assert(w.n >= 2 && w.n < 9);
    cr_assert_not_null(strstr(stopped, "token budget"));
    toy_job_close(&job);
    guard_lm_free(g);
}

Test(adversary, same_bytes_for_any_thread_count_and_after_any_interruption)
{
    static toy_job whole, threads, part;
    const guard_adversary_options o = round_options();
    const char *path = path_in(temp_dir(), "attack.safetensors");
    guard_lm *a = copy_of_base(), *b = copy_of_base(), *c = NULL;
    guard_corpus *last_a = NULL, *last_b = NULL, *last_c = NULL;
    watcher w = {.stop_at = SIZE_MAX}, again = {.stop_at = SIZE_MAX};
    char stopped[128], x[65], y[65];
    nn_status st = NN_STOP;

    toy_job_open(&whole, 1, NULL);
    expect_ok(play(a, &o, &w, &last_a, stopped, &whole), &err);
    again = (watcher){.stop_at = SIZE_MAX};
    toy_job_open(&threads, 3, NULL);
    expect_ok(play(b, &o, &again, &last_b, stopped, &threads), &err);
    expect_same_model("threads", a, b);
    expect_same_metrics(&whole, &threads);

    toy_job_open(&part, 1, path);
    part.stop_at = 3; /* stopped at step 2, then broken at 6 (checkpoint of 4), then to the end */
    for (int life = 0; life < 3; life++) {
        guard_lm_free(c);
        c = copy_of_base();
        again = (watcher){.stop_at = SIZE_MAX};
        part.fail_at_step = life == 1 ? 6 : 0;
        part.job.tokens_used = 0;
        err = (nn_err){NN_OK, ""};
        st = play(c, &o, &again, &last_c, stopped, &part);
        cr_assert_eq(st, life == 0 ? NN_STOP : life == 1 ? NN_LIMIT : NN_OK, "life %d: %s", life, err.text);
        cr_assert(life == 2 || !last_c);
    }
    expect_same_model("resume", a, c);
    expect_same_metrics(&whole, &part);
    cr_assert_eq(w.memory, again.memory, "a watch that remembers was told everything");
    cr_assert_eq(whole.job.tokens_used, part.job.tokens_used);
    guard_corpus_hash(last_a, x);
    guard_corpus_hash(last_c, y);
    cr_assert_str_eq(x, y);
    guard_corpus_hash(last_b, y);
    cr_assert_str_eq(x, y);
    toy_job_close(&whole);
    toy_job_close(&threads);
    toy_job_close(&part);
    guard_corpus_free(last_a);
    guard_corpus_free(last_b);
    guard_corpus_free(last_c);
    guard_lm_free(a);
    guard_lm_free(b);
    guard_lm_free(c);
}

static nn_status pay_nan(void *ctx, const guard_corpus *c, double *reward, nn_err *e)
{
    (void)ctx;
    (void)e;
    for (size_t i = 0; i < c->n; i++) reward[i] = i == 5 ? (double)NAN : 0.0;
    return NN_OK;
}

Test(adversary, a_reward_that_is_no_number_is_named)
{
    static toy_job job;
    const guard_adversary_options o = round_options();
    guard_lm *g = copy_of_base();
    watcher w = {.stop_at = SIZE_MAX};
    char stopped[128];

    toy_job_open(&job, 1, NULL);
    expect_fails(guard_adversary_round(g, base, guard, judge, held, seeds, &o, pay_nan, watch, &w, NULL, stopped,
                                       &job.job, &err),
                 NN_CONTENT, &err, "not finite");
    toy_job_close(&job);
    guard_lm_free(g);
}

Test(adversary, every_failing_allocation_of_a_round_is_reported)
{
    static toy_job job;
    guard_adversary_options o = round_options();
    nn_status st = NN_LIMIT;
    char stopped[128];

    o.steps = 1;
    o.batch = 8;
    toy_job_open(&job, 1, NULL);
    for (long n = 0; st != NN_OK; n += 1 + n / 16) {
        guard_lm *g = copy_of_base();
        guard_corpus *last = NULL;
        watcher w = {.stop_at = SIZE_MAX};

        cr_assert(n < 100000);
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = play(g, &o, &w, &last, stopped, &job);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !last), "allocation %ld: %s", n, err.text);
        guard_corpus_free(last);
        guard_lm_free(g);
    }
    toy_job_close(&job);
}
