/* Tests of the server back-end: what is sent, what is refused, where a key may stand, how it stops. */
#include "guard/ask/http.h"
#include "guard/parapet.h"
#include "tests/support.h"
#include "tests/test_ask_server_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need_libcurl(void)
{
    if (!guard_backend_server_built()) skip_test("built without libcurl");
}

TestSuite(ask_server, .init = need_libcurl);

/* --- what is sent ------------------------------------------------------------------------------------------------- */

Test(ask_server, a_chat_is_sent_as_openai_documents_it)
{
    stub_server *s = stub_start(stub_echo);
    asking *a = asking_of(stub_url(s), 1);
    const guard_message m[] = {{GUARD_ROLE_SYSTEM, "be \"brief\"", 10}, {GUARD_ROLE_USER, "a\nb", 3}};
    stub_call c = {NULL, -1, false};

    a->q[0] = (guard_question){m, 2, 7};
    a->ask = (guard_ask_options){0.5f, 0.25f, 9, "\n\n"};
    a->server.key = KEY;
    expect_ok(ask(a), &a->err);
    cr_expect_str_eq(a->text[0], "echo: a\nb");
    const stub_request *r = stub_request_at(s, 0);
    c.r = r;
    cr_expect_str_eq(r->body, "{\"model\":\"stub\",\"messages\":["
                              "{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\"},"
                              "{\"role\":\"user\",\"content\":\"a\\nb\"}],\"temperature\":0.5,\"top_p\":0.25,"
                              "\"max_tokens\":9,\"seed\":7,\"stop\":[\"\\n\\n\"],\"stream\":false}");
    cr_expect(strncmp(r->head, "POST /v1/chat/completions HTTP/1.1\r\n", 36) == 0, "%s", r->head);
    cr_expect_str_eq(stub_header(&c, "Content-Type"), "application/json");
    cr_expect_str_eq(stub_header(&c, "Authorization"), "Bearer " KEY);
    cr_expect_str_eq(stub_header(&c, "User-Agent"), "parapet/" PARAPET_VERSION);
    cr_expect_str_eq(stub_header(&c, "Expect"), "");
    cr_expect_str_eq(stub_header(&c, "Cookie"), "");
    forget(a);
}

Test(ask_server, a_completion_is_sent_as_openai_documents_it)
{
    stub_server *s = stub_start(stub_echo);
    char url[80];
    stub_call c = {NULL, -1, false};

    snprintf(url, sizeof url, "%s//", stub_url(s)); /* slashes at the end are one too many at most */
    asking *a = asking_of(url, 1);
    a->server.completion = true;
    a->server.new_limit = true;
    a->q[0].seed = UINT64_C(0x8000000180000003);
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    c.r = stub_request_at(s, 0);
    cr_expect_str_eq(c.r->body, "{\"model\":\"stub\",\"prompt\":\"q0\",\"temperature\":0.5,\"top_p\":1,"
                                "\"max_completion_tokens\":32,\"seed\":2,\"stream\":false}");
    cr_expect(strncmp(c.r->head, "POST /v1/completions HTTP/1.1\r\n", 31) == 0, "%s", c.r->head);
    cr_expect_str_eq(stub_header(&c, "Authorization"), "");
    forget(a);
}

/* libcurl would ask first whether a long body may come, and servers that do not know that question keep it waiting. */
Test(ask_server, a_long_question_is_sent_at_once)
{
    const size_t len = 3u << 20;
    stub_server *s = stub_start(stub_echo);
    asking *a = asking_of(stub_url(s), 1);
    char *text = malloc(len);

    cr_assert(text != NULL);
    memset(text, 'a', len);
    a->message[0] = (guard_message){GUARD_ROLE_USER, text, len};
    expect_ok(ask(a), &a->err);
    const stub_call c = {stub_request_at(s, 0), -1, false};
    cr_expect_str_eq(stub_header(&c, "Expect"), "");
    cr_expect(c.r->body_len > len);
    free(text);
    forget(a);
}

Test(ask_server, identity_has_everything_but_the_key)
{
    asking *a = asking_of("https://example.org/v1/", 0);

    a->server.key = KEY;
    a->server.model = "a/\"b\"";
    expect_ok(ask(a), &a->err);
    cr_expect_str_eq(guard_backend_identity(a->b), "{\"kind\":\"server\",\"url\":\"https://example.org/v1\","
                                                   "\"model\":\"a/\\\"b\\\"\",\"endpoint\":\"chat\"}");
    cr_expect(!guard_backend_completes(a->b));
    forget(a);
}

Test(ask_server, replies_in_another_order_change_nothing)
{
    for (int seed = 1; seed <= 2; seed++) {
        cr_assert(setenv("STUB_SEED", seed == 1 ? "1" : "2", 1) == 0);
        stub_server *s = stub_start(stub_echo_shuffled);
        asking *a = asking_of(stub_url(s), 40);

        a->server.concurrency = 8;
        expect_ok(ask(a), &a->err);
        expect_echoes(a);
        cr_expect_eq(stub_requests(s), 40u);
        forget(a);
    }
}

Test(ask_server, connections_are_used_again)
{
    stub_server *s = stub_start(stub_echo);
    asking *a = asking_of(stub_url(s), 12);

    a->server.concurrency = 2;
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    cr_expect(stub_connections(s) <= 2, "%zu connections", stub_connections(s));
    forget(a);
}

/* --- refusals and errors ------------------------------------------------------------------------------------------ */

static void refuses_400(stub_call *c)
{
    stub_status(c, 400, NULL, "flagged by the content filter");
}

static void refuses_413(stub_call *c)
{
    stub_reply(c, 413, NULL, "no JSON", 7);
}

static void refuses_422(stub_call *c)
{
    static const char body[] = "{\"detail\":\"prompt too long\"}";

    stub_reply(c, 422, NULL, body, sizeof body - 1);
}

static void filters(stub_call *c)
{
    stub_finish(c, "half of an ans", "content_filter");
}

static void gives_null(stub_call *c)
{
    stub_finish(c, NULL, "stop");
}

static void says_no(stub_call *c)
{
    static const char body[] = "{\"choices\":[{\"message\":{\"refusal\":\"I will not.\"},\"finish_reason\":\"stop\"}]}";

    stub_reply(c, 200, NULL, body, sizeof body - 1);
}

Test(ask_server, refusals_are_told_and_not_repeated)
{
    expect_refused(refuses_400, "HTTP 400 ('flagged by the content filter')");
    expect_refused(refuses_413, "HTTP 413");
    expect_refused(refuses_422, "HTTP 422 ('prompt too long')");
    expect_refused(filters, "content filter");
    expect_refused(gives_null, "no text");
    expect_refused(says_no, "I will not.");
}

/* As a real one does, with the key whole, in part, and in capitals. */
static void echoes_key(stub_call *c)
{
    char message[700];

    snprintf(message, sizeof message, "%s is wrong: sk-test-01234567..., SK-TEST-0123456789ABCDEF",
             stub_header(c, "Authorization"));
    stub_status(c, 401, NULL, message);
}

/* The cut of long messages falls into the key. */
static void echoes_key_late(stub_call *c)
{
    char message[700];

    memset(message, 'x', 190);
    snprintf(message + 190, sizeof message - 190, "%s", stub_header(c, "Authorization"));
    stub_status(c, 500, NULL, message);
}

static void forbids(stub_call *c)
{
    stub_status(c, 403, NULL, "no");
}

static void has_not(stub_call *c)
{
    stub_status(c, 404, NULL, "no such model");
}

static void wants_money(stub_call *c)
{
    stub_reply(c, 402, NULL, "", 0);
}

Test(ask_server, errors_say_what_to_check_and_never_the_key)
{
    expect_end(echoes_key, "question 1: HTTP 401 ('Bearer [key] is wrong: [key]..., [key]'), want a key that it takes");
    expect_end(echoes_key_late, "xxxBearer [ke...'); what was answered is kept");
    expect_end(forbids, "HTTP 403 ('no'), want a key that it takes");
    expect_end(has_not, "HTTP 404 ('no such model'), want an address and a model that it has");
    expect_end(wants_money, "HTTP 402, want a server that takes such requests");
}

static void answers_key(stub_call *c)
{
    char text[700];

    snprintf(text, sizeof text, "you said %s", stub_header(c, "Authorization"));
    stub_answer(c, text);
}

Test(ask_server, the_key_is_no_part_of_an_answer)
{
    asking *a = asking_of(stub_url(stub_start(answers_key)), 1);

    a->server.key = KEY;
    expect_ok(ask(a), &a->err);
    cr_expect_str_eq(a->text[0], "you said Bearer [key]");
    forget(a);
}

static char elsewhere[160];

static void redirects(stub_call *c)
{
    stub_reply(c, 307, elsewhere, "", 0);
}

Test(ask_server, redirects_are_not_followed)
{
    stub_server *other = stub_start(stub_echo);

    snprintf(elsewhere, sizeof elsewhere, "Location: %s/chat/completions\r\n", stub_url(other));
    expect_end(redirects, "HTTP 307, want an address that does not redirect");
    cr_expect_eq(stub_requests(other), 0u);
}

/* The environment's proxy is for other machines: it would see the key. */
Test(ask_server, no_proxy_for_this_machine)
{
    stub_server *s = stub_start(stub_echo), *proxy = stub_start(stub_echo);
    asking *a = asking_of(stub_url(s), 1);

    cr_assert(setenv("http_proxy", stub_url(proxy), 1) == 0);
    a->server.key = KEY;
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    cr_expect_eq(stub_requests(proxy), 0u);
    forget(a);
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static void only_q0(stub_call *c)
{
    if (strcmp(stub_prompt(c), "q0") == 0) stub_echo(c);
    else stub_nap(100.0);
}

static bool until_one_is_done(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    (void)ctx, (void)total, (void)unit;
    return done < 1;
}

Test(ask_server, a_stop_breaks_off_what_is_under_way)
{
    asking *a = asking_of(stub_url(stub_start(only_q0)), 8);
    guard_job job = {.progress = until_one_is_done};

    const nn_status st = ask_job(a, &job);
    expect_fails(st, NN_STOP, &a->err, "server: stopped after 1 of 8 answers");
    cr_expect(a->told == 1 && strcmp(a->text[0], "echo: q0") == 0);
    forget(a);
}

Test(ask_server, a_caller_that_has_enough_ends_the_call)
{
    asking *a = asking_of(stub_url(stub_start(stub_echo)), 8);

    a->stop_after = 3;
    const nn_status st = ask(a);
    expect_fails(st, NN_CONTENT, &a->err, "the caller has enough");
    cr_expect_eq(a->told, 3u);
    a->err.status = NN_OK; /* and the next call finds everything in order */
    for (size_t i = 0; i < a->n; i++) {
        free(a->text[i]);
        a->text[i] = NULL;
    }
    a->told = a->stop_after = 0;
    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    forget(a);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static void expect_no(const guard_server_options *o, const char *part)
{
    guard_backend *b = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_backend_server(&b, o, &err), NN_USAGE, &err, part);
    cr_expect(b == NULL && strstr(err.text, "secret") == NULL, "%s", err.text);
}

Test(ask_server, addresses_that_mean_two_things_are_refused)
{
    static const char *const bad[] = {
        "", "127.0.0.1:8080", "ftp://127.0.0.1/", "file:///etc/passwd", "HTTP://127.0.0.1/", "http://", "http:///v1",
        "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:/v1", "http://127.0.0.1:80x/",
        "http://me:secret@127.0.0.1/", "http://127.0.0.1/v1?key=secret", "http://127.0.0.1/v1#secret", "http://a b/",
        "http://127.0.0.1/\r\nX: y", "http://[::1/", "http://127.0.0.1\\evil/", "http://\xC3\xA9.org/"};
    asking *a = asking_of("", 0);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        a->server.url = bad[i];
        expect_no(&a->server, "server: url");
    }
    forget(a);
}

Test(ask_server, an_endpoint_is_no_base)
{
    static const char *const bad[] = {"http://127.0.0.1/v1/chat/completions", "http://127.0.0.1/v1/completions/"};
    asking *a = asking_of("", 0);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        a->server.url = bad[i];
        expect_no(&a->server, "want the base, without /chat/completions");
    }
    forget(a);
}

Test(ask_server, keys_do_not_travel_in_clear)
{
    static const char *const far[] = {"http://example.org/v1", "http://10.0.0.1:8080", "http://127.0.0.1.example.org/",
                                      "http://localhost.example.org/", "http://128.0.0.1/", "http://127.1/",
                                      "http://127.0.0.256/", "http://127.0.0.01/", "http://[::2]/"};
    static const char *const near[] = {"http://localhost:8080/v1", "http://127.0.0.1/", "http://127.8.9.255:1",
                                       "http://[::1]:80", "https://example.org"};
    asking *a = asking_of("", 0);

    a->server.key = KEY;
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        a->server.url = far[i];
        expect_no(&a->server, "with a key: http would send the key in clear to another machine");
    }
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        guard_backend *b = NULL;
        a->server.url = near[i];
        expect_ok(guard_backend_server(&b, &a->server, &a->err), &a->err);
        guard_backend_free(b);
    }
    forget(a);
}

Test(ask_server, options_out_of_range_are_refused)
{
    asking *a = asking_of("http://127.0.0.1/v1", 0);
    const guard_server_options good = a->server;
    guard_server_options o = good;

    o.key = "";
    expect_no(&o, "key: empty");
    o.key = "secret with blanks";
    expect_no(&o, "key: character 7 of 18 is a blank");
    o.key = "secret\r\nX-Evil: 1";
    expect_no(&o, "key: character 7 of 17");
    o = good, o.url = "https://example.org/a-secret/v1", o.key = "a-secret";
    expect_no(&o, "url holds the key");
    o = good, o.model = "a-secret:7b", o.key = "a-secret";
    expect_no(&o, "model's name holds the key");
    o = good, o.model = NULL;
    expect_no(&o, "model");
    o = good, o.model = "\xFF";
    expect_no(&o, "no UTF-8");
    o = good, o.concurrency = 65;
    expect_no(&o, "concurrency 65, want 1 to 64");
    o = good, o.attempts = 0;
    expect_no(&o, "attempts 0");
    o = good, o.deadline = 0.0;
    expect_no(&o, "deadline");
    o = good, o.backoff = -1.0;
    expect_no(&o, "backoff");
    o = good, o.max_bytes = 0;
    expect_no(&o, "max_bytes");
    forget(a);
}

Test(ask_server_none, a_program_without_libcurl_says_how_to_get_it)
{
    guard_server_options o = guard_server_default();
    guard_backend *b = NULL;
    nn_err err = {NN_OK, ""};

    if (guard_backend_server_built()) {
        cr_expect(guard_http_built());
        return;
    }
    o.url = "http://127.0.0.1/v1";
    o.model = "stub";
    expect_ok(guard_backend_server(&b, &o, &err), &err); /* stored answers have addresses */
    const guard_message m = {GUARD_ROLE_USER, "q", 1};
    const guard_question q = {&m, 1, 1};
    const guard_ask_options ask_o = {0.0f, 1.0f, 8, NULL};
    expect_fails(guard_backend_ask(b, &q, 1, &ask_o, NULL, NULL, NULL, &err), NN_USAGE, &err, "built without libcurl");
    guard_backend_free(b);
}
