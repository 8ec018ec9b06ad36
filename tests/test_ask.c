/* Tests of guard/ask/ask.h: who is asked what, and how often. */
#include "guard/ask/ask.h"
#include "nn/arena.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include "tests/test_ask_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 12 };

static const char *const words[] = {"yes", "no"};
static const guard_answer_grammar verdict = {.kind = GUARD_ANSWER_ONE_OF, .word = words, .n_word = 2};
static const guard_ask_options cold = {.top_p = 1.0f, .max_tokens = 8};

/* --- a back-end that counts -------------------------------------------------------------------------- */

/* What it says depends on the question alone: a text that begins with 'o' gets nonsense first, with 'n' nonsense
 * always, with 'r' it is refused; others get "yes" or "no" by their seed. */
typedef struct {
    guard_backend base;
    size_t calls, told;
    uint64_t order;   /* answers come in an order of this seed */
    size_t fail_at;   /* after so many answers nobody answers any more */
    bool forget;      /* the last question of a call */
    float temperature[2 * N]; /* of each question told, and its seed */
    uint64_t seed[2 * N];
} counting;

static nn_status tell(counting *c, const guard_question *q, size_t i, const guard_ask_options *o,
                      guard_answer_fn answer, void *ctx, nn_err *e)
{
    const char first = q->message->text[0];
    const bool again = o->temperature > 0.0f;
    const char *text = first == 'n' || (first == 'o' && !again) ? "hm" : q->seed % 2 ? "Yes." : "No.";

    if (c->told == c->fail_at) return nn_fail(e, NN_FILE, "server: nobody answers");
    c->temperature[c->told % (2 * N)] = o->temperature;
    c->seed[c->told % (2 * N)] = q->seed;
    c->told++;
    if (first == 'r') return answer(ctx, i, GUARD_REFUSED, "content filter", 14, e);
    return answer(ctx, i, GUARD_ANSWERED, text, strlen(text), e);
}

static nn_status count_and_answer(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                                  guard_answer_fn answer, void *ctx, guard_job *job, nn_err *e)
{
    counting *c = (counting *)b;
    size_t order[N];
    nn_rng rng = nn_rng_at(c->order, "order", 0);
    nn_status st = NN_OK;

    (void)job;
    cr_assert(n <= N);
    c->calls++;
    nn_rng_shuffle(&rng, order, n);
    for (size_t k = 0; k < n - c->forget && st == NN_OK; k++)
        st = tell(c, q + order[k], order[k], o, answer, ctx, e);
    return st;
}

static char identity[] = "{\"kind\":\"counting\"}";

static counting counting_backend(uint64_t order)
{
    return (counting){.base = {.identity = identity, .ask = count_and_answer}, .order = order, .fail_at = SIZE_MAX};
}

/* --- questions --------------------------------------------------------------------------------------- */

typedef struct {
    guard_message message[N];
    guard_question q[N];
    guard_asked out[N];
    guard_ask_counts counts;
} round_of;

static void ask_about(round_of *r, const char *const *text)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < N; i++) {
        r->message[i] = (guard_message){GUARD_ROLE_USER, text[i], strlen(text[i])};
        r->q[i] = (guard_question){r->message + i, 1, i};
    }
}

static const char *const mixed[N] = {"a", "b", "odd", "never", "refuse", "c", "d", "odd2", "e", "f", "g", "h"};

static nn_status ask(round_of *r, counting *c, guard_store *s, bool offline)
{
    ask_about(r, mixed);
    return guard_ask(r->out, &r->counts, &c->base, r->q, N, &cold, &verdict, s, offline, NULL, &err);
}

static void free_round(round_of *r)
{
    for (size_t i = 0; i < N; i++) guard_answer_free(&r->out[i].answer);
}

TestSuite(ask, .init = open_store, .fini = close_store);

static void expect_mixed(const round_of *r)
{
    for (size_t i = 0; i < N; i++) {
        const bool left = i == 3 || i == 4, again = mixed[i][0] == 'o';

        cr_assert_eq(r->out[i].ok, !left, "question %zu", i);
        if (!left && !again) cr_assert_eq(r->out[i].answer.which, i % 2 ? 0 : 1, "question %zu", i);
    }
    cr_assert(r->counts.asked == N && r->counts.refused == 1 && r->counts.retried == 3 && r->counts.dropped == 2);
    cr_assert_str_eq(r->counts.why, "content filter");
}

Test(ask, what_does_not_fit_is_asked_once_more_then_dropped)
{
    counting c = counting_backend(1);
    round_of r;

    expect_ok(ask(&r, &c, store, false), &err);
    expect_mixed(&r);
    cr_assert(c.calls == 2 && c.told == N + 3 && r.counts.cached == 0);
    for (size_t i = 0; i < N; i++) cr_assert(c.temperature[i] == 0.0f);
    for (size_t i = N; i < c.told; i++)
        cr_assert(c.temperature[i] == GUARD_ASK_AGAIN && c.seed[i] > N, "another draw: %g", (double)c.temperature[i]);
    free_round(&r);
}

Test(ask, what_the_store_has_is_not_asked_again)
{
    counting c = counting_backend(1);
    round_of r;

    expect_ok(ask(&r, &c, store, false), &err);
    free_round(&r);
    c.told = c.calls = 0;
    expect_ok(ask(&r, &c, store, true), &err);
    expect_mixed(&r);
    cr_assert(c.calls == 0 && r.counts.cached == N + 3);
    free_round(&r);
}

Test(ask, the_same_question_is_asked_once_in_a_call)
{
    counting c = counting_backend(3);
    round_of r;

    ask_about(&r, mixed);
    for (size_t i = 6; i < N; i++) r.q[i] = r.q[i - 6];
    expect_ok(guard_ask(r.out, &r.counts, &c.base, r.q, N, &cold, &verdict, store, false, NULL, &err), &err);
    cr_assert(c.told == 6 + 2, "%zu", c.told);
    cr_assert(r.counts.asked == N && r.counts.cached == 0 && r.counts.refused == 2 && r.counts.dropped == 4);
    for (size_t i = 6; i < N; i++) cr_assert_eq(r.out[i].ok, r.out[i - 6].ok);
    free_round(&r);
}

Test(ask, no_question_is_no_call)
{
    counting c = counting_backend(3);
    guard_ask_counts counts;

    expect_ok(guard_ask(NULL, &counts, &c.base, NULL, 0, &cold, &verdict, store, true, NULL, &err), &err);
    cr_assert(c.calls == 0 && counts.asked == 0);
}

Test(ask, the_order_of_answers_changes_no_byte_of_the_file)
{
    const char *first = path_in(temp_dir(), "a.jsonl"), *second = path_in(temp_dir(), "b.jsonl");

    for (uint64_t order = 1; order < 4; order++) {
        counting c = counting_backend(order);
        round_of r;
        size_t len = 0;

        fresh_store();
        expect_ok(ask(&r, &c, store, false), &err);
        expect_ok(guard_store_write_used(store, order == 1 ? first : second, &err), &err);
        if (order > 1) {
            char *bytes = read_bytes(first, &len);
            cr_assert(len > 0 && bytes_equal_file(second, bytes, len));
            free(bytes);
        }
        free_round(&r);
    }
}

Test(ask, the_file_of_a_stage_is_all_that_a_replay_needs)
{
    const char *path = path_in(temp_dir(), "a.jsonl");
    counting c = counting_backend(1);
    round_of r;

    expect_ok(ask(&r, &c, store, false), &err);
    expect_ok(guard_store_write_used(store, path, &err), &err);
    free_round(&r);
    fresh_store();
    expect_ok(guard_store_read(store, path, false, &err), &err);
    c.calls = 0;
    expect_ok(ask(&r, &c, store, true), &err);
    expect_mixed(&r);
    cr_assert_eq(c.calls, 0);
    free_round(&r);
}

Test(ask, a_failing_backend_leaves_what_came_and_a_resumed_call_asks_for_the_rest)
{
    const char *journal = path_in(temp_dir(), "journal");
    counting c = counting_backend(5);
    round_of r;

    expect_ok(guard_store_journal(store, journal, &err), &err);
    c.fail_at = 7;
    expect_fails(ask(&r, &c, store, false), NN_FILE, &err, "nobody answers");
    free_round(&r);
    fresh_store();
    expect_ok(guard_store_read(store, journal, true, &err), &err);
    expect_ok(guard_store_journal(store, journal, &err), &err);
    cr_assert_eq(guard_store_count(store), 7);
    c = counting_backend(6);
    expect_ok(ask(&r, &c, store, false), &err);
    expect_mixed(&r);
    cr_assert(c.told == N + 3 - 7 && r.counts.cached == 7);
    free_round(&r);
    fresh_store();
    expect_ok(guard_store_read(store, journal, false, &err), &err);
    cr_assert_eq(guard_store_count(store), N + 3);
}

Test(ask, offline_a_missing_answer_is_named)
{
    char address[65];
    counting c = counting_backend(1);
    round_of r;

    ask_about(&r, mixed);
    expect_ok(guard_ask(r.out, &r.counts, &c.base, r.q, 5, &cold, &verdict, store, false, NULL, &err), &err);
    free_round(&r);
    expect_fails(ask(&r, &c, store, true), NN_FILE, &err, "question 6 of 12");
    expect_ok(guard_ask_address(address, &c.base, r.q + 5, &cold, 0, NULL), &err);
    cr_assert(strstr(err.text, address) && strstr(err.text, "{\"kind\":\"counting\"}"), "%s", err.text);
    free_round(&r);
}

Test(ask, a_backend_that_forgets_a_question_is_found_out)
{
    counting c = counting_backend(1);
    round_of r;

    c.forget = true;
    expect_fails(ask(&r, &c, store, false), NN_CONTENT, &err, "without an answer");
    free_round(&r);
}

Test(ask, options_and_questions_that_mean_nothing_are_refused)
{
    static const guard_ask_options bad[] = {{-1.0f, 1.0f, 8, NULL}, {0.0f, 0.0f, 8, NULL}, {0.0f, 1.5f, 8, NULL},
                                            {0.0f, 1.0f, 0, NULL},  {0.0f, 1.0f, 8, ""}};
    static const char *const part[] = {"temperature", "top_p", "top_p", "max_tokens", "stop"};
    counting c = counting_backend(1);
    round_of r;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask_about(&r, mixed);
        err = (nn_err){NN_OK, ""};
        expect_fails(guard_ask(r.out, NULL, &c.base, r.q, N, bad + i, &verdict, store, false, NULL, &err), NN_USAGE,
                     &err, part[i]);
    }
    ask_about(&r, mixed);
    r.q[2].n_message = 0;
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_ask(r.out, NULL, &c.base, r.q, N, &cold, &verdict, store, false, NULL, &err), NN_USAGE, &err,
                 "0 messages");
    ask_about(&r, mixed);
    r.message[0] = (guard_message){GUARD_ROLE_USER, "\xff", 1};
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_ask(r.out, NULL, &c.base, r.q, N, &cold, &verdict, store, false, NULL, &err), NN_CONTENT, &err,
                 "question 1 of ");
    cr_expect(strstr(err.text, "its text is not UTF-8") != NULL, "%s", err.text);
    cr_assert_eq(c.calls, 0);
}

/* --- addresses --------------------------------------------------------------------------------------- */

Test(ask, an_address_is_the_hash_of_everything_that_was_asked)
{
    static const char canon[] = "{\"backend\":{\"kind\":\"counting\"},"
                                "\"messages\":[{\"role\":\"user\",\"text\":\"a\"}],"
                                "\"temperature\":0,\"top_p\":1,\"max_tokens\":8,\"seed\":0,\"attempt\":0}";
    char want[65], got[9][65];
    counting c = counting_backend(1);
    guard_ask_options o = cold;
    round_of r;

    ask_about(&r, mixed);
    nn_sha256_hex(canon, strlen(canon), want);
    expect_ok(guard_ask_address(got[0], &c.base, r.q, &o, 0, &err), &err);
    cr_assert_str_eq(got[0], want);
    expect_ok(guard_ask_address(got[1], &c.base, r.q, &o, 1, &err), &err);
    o.stop = "x";
    expect_ok(guard_ask_address(got[2], &c.base, r.q, &o, 0, &err), &err);
    o.top_p = 0.5f;
    expect_ok(guard_ask_address(got[3], &c.base, r.q, &o, 0, &err), &err);
    o.max_tokens = 9;
    expect_ok(guard_ask_address(got[4], &c.base, r.q, &o, 0, &err), &err);
    o.temperature = 1.0f;
    expect_ok(guard_ask_address(got[5], &c.base, r.q, &o, 0, &err), &err);
    r.q[0].seed = 1;
    expect_ok(guard_ask_address(got[6], &c.base, r.q, &o, 0, &err), &err);
    r.message[0].role = GUARD_ROLE_SYSTEM;
    expect_ok(guard_ask_address(got[7], &c.base, r.q, &o, 0, &err), &err);
    c.base.identity = strcpy(malloc(3), "{}");
    expect_ok(guard_ask_address(got[8], &c.base, r.q, &o, 0, &err), &err);
    free(c.base.identity);
    for (size_t i = 0; i < 9; i++)
        for (size_t k = 0; k < i; k++) cr_assert_str_neq(got[i], got[k], "%zu and %zu", i, k);
}

/* --- memory ------------------------------------------------------------------------------------------ */

/* Everything from an empty store to files and back. */
static nn_status whole_way(round_of *r, const char *dir)
{
    static const guard_alternative start[] = {{"{word}", 1.0}, {"n{word}", 2.0}}, word[] = {{"yes", 1.0}, {"no", 1.0}};
    static const guard_symbol rules[] = {{"start", start, 2}, {"word", word, 2}};
    const char *journal = path_in(dir, "journal"), *used = path_in(dir, "used");
    guard_backend *b = NULL;
    guard_store *s = NULL, *t = NULL;
    nn_status st;

    ask_about(r, mixed);
    if ((st = guard_store_build(&s, &err)) != NN_OK) goto done;
    if ((st = guard_store_build(&t, &err)) != NN_OK) goto done;
    if ((st = guard_backend_grammar(&b, rules, 2, &err)) != NN_OK) goto done;
    if ((st = guard_store_journal(s, journal, &err)) != NN_OK) goto done;
    st = guard_ask(r->out, &r->counts, b, r->q, N, &cold, &verdict, s, false, NULL, &err);
    if (st != NN_OK) goto done;
    if ((st = guard_store_write_used(s, used, &err)) != NN_OK) goto done;
    st = guard_store_read(t, used, false, &err);
done:
    guard_backend_free(b);
    guard_store_free(s);
    guard_store_free(t);
    free_round(r);
    return st;
}

Test(ask, every_failing_allocation_is_reported)
{
    const char *dir = temp_dir();
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        round_of r;

        cr_assert(n < 5000);
        remove(path_in(dir, "journal"));
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = whole_way(&r, dir);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld: %s", n, err.text);
    }
}
