/* Tests of the server back-end against servers that are busy, break off or say something else. No time is asserted. */
#include "guard/ask/server_impl.h"
#include "nn/arena.h"
#include "tests/support.h"
#include "tests/test_ask_server_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need_libcurl(void)
{
    if (!guard_backend_server_built()) skip_test("built without libcurl");
}

TestSuite(ask_server_bad, .init = need_libcurl);

/* --- a server that has had enough --------------------------------------------------------------------------------- */

static void busy_with(stub_call *c, const char *headers)
{
    if (c->r->seen == 0) stub_status(c, 429, headers, "slow down");
    else stub_echo(c);
}

static void busy(stub_call *c)
{
    busy_with(c, NULL);
}

static void busy_for_none(stub_call *c)
{
    busy_with(c, "Retry-After: 0\r\n");
}

static void busy_for_one(stub_call *c)
{
    busy_with(c, "retry-after: 1\r\n");
}

static void busy_until(stub_call *c)
{
    busy_with(c, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n");
}

static void busy_for_an_hour(stub_call *c)
{
    stub_status(c, 429, "Retry-After: 3600\r\n", "slow down");
}

Test(ask_server_bad, a_busy_server_is_asked_again)
{
    static const stub_behaviour each[] = {busy, busy_for_one, busy_until};

    for (size_t k = 0; k < sizeof each / sizeof *each; k++)
        cr_expect_eq(stub_requests(expect_mended(each[k], 3)), 6u, "behaviour %zu", k);
}

/* A number of looks, and then no more: what should have ended ends the test as a failure. */
static bool has_patience(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    size_t *looks = ctx;

    (void)done, (void)total, (void)unit;
    return (*looks)-- > 0;
}

Test(ask_server_bad, retry_after_goes_before_our_own_waits)
{
    stub_server *s = stub_start(busy_for_none);
    asking *a = asking_of(stub_url(s), 2);
    size_t looks = 100; /* of 0.2 seconds, when nothing comes */
    guard_job job = {.ctx = &looks, .progress = has_patience};

    a->server.backoff = 60.0;
    expect_ok(ask_job(a, &job), &a->err);
    expect_echoes(a);
    forget(a);
}

Test(ask_server_bad, waits_double_up_to_a_minute)
{
    cr_expect(server_wait(0.5, 0) == 0.5 && server_wait(0.5, 1) == 1.0 && server_wait(0.5, 6) == 32.0);
    cr_expect(server_wait(0.5, 7) == 60.0 && server_wait(0.5, 99) == 60.0 && server_wait(0.0, 99) == 0.0);
}

Test(ask_server_bad, a_wait_of_an_hour_is_too_long)
{
    expect_end(busy_for_an_hour, "HTTP 429 ('slow down'), asks to wait 3600 s, want at most 600; what was answered is "
                                 "kept, run again with --resume");
}

/* Question 0 is only taken when the others have been. */
static void first_is_last(stub_call *c)
{
    if (strcmp(stub_prompt(c), "q0") == 0 && c->r->distinct < 4) stub_status(c, 429, NULL, "later");
    else stub_echo(c);
}

Test(ask_server_bad, one_that_waits_holds_up_no_other)
{
    stub_server *s = stub_start(first_is_last);
    asking *a = asking_of(stub_url(s), 4);

    a->server.concurrency = 1;
    a->server.attempts = 100;
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    forget(a);
}

/* Takes requests again when it has said no six times. */
static void enough(stub_call *c)
{
    if (c->r->number < 6) stub_status(c, 429, NULL, "enough");
    else stub_echo(c);
}

/* If every question ran into the limit at once, none would have attempts left to see its end. */
Test(ask_server_bad, when_many_wait_new_ones_wait_too)
{
    stub_server *s = stub_start(enough);
    asking *a = asking_of(stub_url(s), 20);

    a->server.concurrency = 1;
    a->server.attempts = 20;
    a->server.backoff = 0.05;
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    for (size_t i = 0; i < 6; i++) {
        const stub_call c = {stub_request_at(s, i), -1, false};
        cr_expect(strlen(stub_prompt(&c)) == 2 && stub_prompt(&c)[1] <= '1', "request %zu: %s", i, stub_prompt(&c));
    }
    forget(a);
}

/* --- a server that breaks ----------------------------------------------------------------------------------------- */

static void fails_once(stub_call *c)
{
    if (c->r->seen == 0) stub_reply(c, 500, NULL, "<html>oops</html>", 17);
    else stub_echo(c);
}

static void always_503(stub_call *c)
{
    if (strcmp(stub_prompt(c), "q1") == 0) stub_status(c, 503, NULL, "over\tloaded\x1b[1m \xC2\x9B");
    else stub_echo(c);
}

Test(ask_server_bad, a_server_that_fails_is_asked_again)
{
    cr_expect_eq(stub_requests(expect_mended(fails_once, 3)), 6u);
}

Test(ask_server_bad, attempts_come_to_an_end)
{
    stub_server *s = stub_start(always_503);
    asking *a = asking_of(stub_url(s), 2);
    char want[300];

    a->server.concurrency = 1;
    a->server.attempts = 3;
    const nn_status st = ask(a);
    snprintf(want, sizeof want, "server %s: question 2: 3 attempts, the last: HTTP 503 ('over loaded [1m  '); what was "
                                "answered is kept, run again with --resume", stub_url(s));
    cr_expect_eq(st, NN_FILE);
    cr_expect_str_eq(a->err.text, want);
    cr_expect(a->told == 1 && strcmp(a->text[0], "echo: q0") == 0, "what came before was told");
    cr_expect_eq(stub_requests(s), 4u);
    forget(a);
}

static void half_a_body(stub_call *c)
{
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\":[{\"mess";

    if (c->r->seen > 0) {
        stub_echo(c);
        return;
    }
    stub_raw(c, half, sizeof half - 1);
    c->end = true;
}

/* libcurl sends again by itself what an old connection lost, so `seen` may grow without us: gone three times. */
static void gone_before_headers(stub_call *c)
{
    if (c->r->seen > 2) stub_echo(c);
    else c->end = true;
}

static void gone_after_headers(stub_call *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";

    if (c->r->seen == 0) stub_raw(c, head, sizeof head - 1);
    else stub_echo(c);
    c->end = true;
}

static void gone_in_a_chunk(stub_call *c)
{
    static const char part[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"choices\":[";

    if (c->r->seen == 0) stub_raw(c, part, sizeof part - 1);
    else stub_echo(c);
    c->end = true;
}

Test(ask_server_bad, broken_connections_are_tried_again)
{
    static const stub_behaviour each[] = {half_a_body, gone_before_headers, gone_after_headers, gone_in_a_chunk};

    for (size_t k = 0; k < sizeof each / sizeof *each; k++) (void)expect_mended(each[k], 3);
}

static void always_gone(stub_call *c)
{
    c->end = true;
}

Test(ask_server_bad, a_server_that_never_replies_is_named)
{
    expect_end(always_gone, "question 1: 2 attempts, the last: ");
}

static void no_http(stub_call *c)
{
    stub_raw(c, "220 mail.example\r\n", 18);
    c->end = true;
}

Test(ask_server_bad, a_server_of_another_protocol_is_named)
{
    expect_end(no_http, "question 1: a reply that is not HTTP, want a server that can be asked");
}

Test(ask_server_bad, nobody_there_is_named)
{
    stub_server *s = stub_start(stub_echo);
    asking *a = asking_of(stub_url(s), 1);

    stub_stop(s);
    a->server.attempts = 2;
    const nn_status st = ask(a);
    expect_fails(st, NN_FILE, &a->err, "question 1: 2 attempts, the last: Couldn't connect to server");
    forget(a);
}

/* A byte every so often, for longer than the test allows. */
static void drips(stub_call *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

    if (c->r->seen > 0) {
        stub_echo(c);
        return;
    }
    stub_raw(c, head, sizeof head - 1);
    for (int i = 0; i < 10000 && !c->end; i++) {
        stub_raw(c, " ", 1);
        stub_nap(0.02);
    }
    c->end = true;
}

Test(ask_server_bad, a_slow_body_meets_the_deadline)
{
    stub_server *s = stub_start(drips);
    asking *a = asking_of(stub_url(s), 2);
    size_t looks = 2000; /* at every drop */
    guard_job job = {.ctx = &looks, .progress = has_patience};

    a->server.deadline = 0.2;
    a->server.attempts = 20; /* a loaded machine may miss the deadline with good replies too */
    expect_ok(ask_job(a, &job), &a->err);
    expect_echoes(a);
    cr_expect(stub_requests(s) >= 4);
    forget(a);
}

/* --- replies of another form -------------------------------------------------------------------------------------- */

static void chunked(stub_call *c)
{
    static const char body[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "1e\r\n{\"choices\":[{\"message\":{\"conte\r\n14\r\nnt\":\"echo: q0\"}}]  }\r\n"
                               "0\r\n\r\n";

    stub_raw(c, body, sizeof body - 1);
}

Test(ask_server_bad, a_chunked_body_is_a_body)
{
    (void)expect_mended(chunked, 1);
}

/* Bad replies in turn, the last of them for good. */
static void odd(stub_call *c)
{
    static const char *const each[] = {
        "", "hello", "{\"choices\":[", "[]", "{}", "{\"choices\":[]}", "{\"choices\":{}}",
        "{\"choices\":[{\"text\":\"of the other endpoint\"}]}", "{\"choices\":[{\"message\":{\"content\":7}}]}",
        "{\"choices\":[{\"message\":[\"content\"]}]}", "{\"choices\":[{\"message\":{\"content\":\"\xFF\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"\xED\xA0\x80\"}}]}",
        "{\"choices\":[{\"message\":{\"content\":\"\\ud800\"}}]}"};

    if (c->r->seen >= sizeof each / sizeof *each) stub_echo(c);
    else stub_reply(c, 200, NULL, each[c->r->seen], strlen(each[c->r->seen]));
}

static void not_json(stub_call *c)
{
    stub_reply(c, 200, NULL, KEY, strlen(KEY));
}

static void error_with_200(stub_call *c)
{
    stub_status(c, 200, NULL, "the engine is asleep");
}

Test(ask_server_bad, replies_of_another_form_are_failed_attempts)
{
    stub_server *s = stub_start(odd);
    asking *a = asking_of(stub_url(s), 1);

    a->server.backoff = 0.0;
    a->server.attempts = 14;
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    cr_expect_eq(stub_requests(s), 14u);
    forget(a);
    expect_end(not_json, "2 attempts, the last: a reply that is not JSON; what was answered is kept");
    expect_end(error_with_200, "the last: a reply that lacks choices with a text ('the engine is asleep'); what");
}

static void huge(stub_call *c)
{
    const size_t len = 10u << 20;
    char *body = malloc(len);

    if (!body) return;
    memset(body, ' ', len);
    stub_reply(c, 200, NULL, body, len);
    free(body);
}

static void huge_chunks(stub_call *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char chunk[65536 + 9];

    memset(chunk, ' ', sizeof chunk);
    memcpy(chunk, "10000\r\n", 7);
    memcpy(chunk + 7 + 65536, "\r\n", 2);
    stub_raw(c, head, sizeof head - 1);
    for (int i = 0; i < 160 && !c->end; i++) stub_raw(c, chunk, sizeof chunk);
    c->end = true;
}

Test(ask_server_bad, ten_megabytes_are_cut_off)
{
    expect_end(huge, "question 1: a reply of more than 1048576 bytes, want a server that can be asked");
    expect_end(huge_chunks, "question 1: a reply of more than 1048576 bytes");
}

static void long_enough(stub_call *c)
{
    static char text[65000];

    memset(text, 'a', sizeof text - 1);
    stub_answer(c, text);
}

Test(ask_server_bad, a_long_answer_comes_whole)
{
    stub_server *s = stub_start(long_enough);
    asking *a = asking_of(stub_url(s), 1);

    expect_ok(ask(a), &a->err);
    cr_expect_eq(strlen(a->text[0]), 64999u);
    forget(a);
}

static void stops_late(stub_call *c)
{
    stub_answer(c, "one\n\ntwo");
}

static void says_nothing(stub_call *c)
{
    stub_answer(c, "");
}

Test(ask_server_bad, what_follows_the_stop_is_no_part_of_the_answer)
{
    stub_server *s = stub_start(stops_late);
    asking *a = asking_of(stub_url(s), 1), *b = asking_of(stub_url(stub_start(says_nothing)), 1);

    a->ask.stop = b->ask.stop = "\n\n";
    expect_ok(ask(a), &a->err);
    cr_expect_str_eq(a->text[0], "one");
    expect_ok(ask(b), &b->err);
    cr_expect(b->end[0] == GUARD_ANSWERED && b->text[0][0] == '\0');
    forget(a);
    forget(b);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static void busy_then_long(stub_call *c)
{
    if (c->r->seen == 0) busy_for_none(c);
    else long_enough(c);
}

/* The failure that was ordered at allocation n is still to come: nothing has met it and gone on. */
static bool failure_is_left(long n)
{
    nn_status st = NN_OK;

    for (long k = 0; k <= n && st == NN_OK; k++) {
        void *block = NULL;
        st = nn_alloc(&block, 1, 1, NULL);
        nn_free(block);
    }
    return st != NN_OK;
}

Test(ask_server_bad, no_allocation_may_fail_unnoticed)
{
    stub_server *s = stub_start(busy_then_long);
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        asking *a = asking_of(stub_url(s), 2);

        cr_assert(n < 100, "never enough");
        a->server.key = KEY;
        a->server.concurrency = 1;
        nn_alloc_fail_at(n);
        st = guard_backend_server(&a->b, &a->server, &a->err);
        cr_expect((st == NN_OK) == (a->b != NULL));
        if (st == NN_OK) st = guard_backend_ask(a->b, a->q, a->n, &a->ask, take_answer, a, NULL, &a->err);
        if (st == NN_OK) cr_expect(failure_is_left(n), "allocation %ld failed unnoticed", n);
        nn_alloc_fail_at(-1);
        cr_expect(st == NN_OK || st == NN_LIMIT, "%d: %s", (int)st, a->err.text);
        forget(a);
    }
}
