#include "tests/test_ask_server_support.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

nn_status take_answer(void *ctx, size_t i, guard_answer_end end, const char *text, size_t len, nn_err *err)
{
    asking *a = ctx;

    cr_assert(i < a->n && !a->text[i], "question %zu was answered twice", i);
    cr_assert_eq(text[len], '\0');
    a->text[i] = malloc(len + 1);
    cr_assert(a->text[i] != NULL);
    memcpy(a->text[i], text, len + 1);
    a->end[i] = end;
    a->order[a->told++] = i;
    return a->told == a->stop_after ? nn_fail(err, NN_CONTENT, "the caller has enough") : NN_OK;
}

asking *asking_of(const char *url, size_t n)
{
    asking *a = calloc(1, sizeof *a);

    cr_assert(a != NULL && n <= MOST);
    a->n = n;
    a->server = guard_server_default();
    a->server.url = url;
    a->server.model = "stub";
    a->server.backoff = 0.01;
    a->server.deadline = 20.0;
    a->ask = (guard_ask_options){0.5f, 1.0f, 32, NULL};
    for (size_t i = 0; i < n; i++) {
        snprintf(a->prompt[i], sizeof a->prompt[i], "q%zu", i);
        a->message[i] = (guard_message){GUARD_ROLE_USER, a->prompt[i], strlen(a->prompt[i])};
        a->q[i] = (guard_question){&a->message[i], 1, i};
    }
    return a;
}

nn_status ask_job(asking *a, guard_job *job)
{
    if (!a->b) expect_ok(guard_backend_server(&a->b, &a->server, &a->err), &a->err);
    return guard_backend_ask(a->b, a->q, a->n, &a->ask, take_answer, a, job, &a->err);
}

nn_status ask(asking *a)
{
    return ask_job(a, NULL);
}

void forget(asking *a)
{
    for (size_t i = 0; i < a->n; i++) free(a->text[i]);
    guard_backend_free(a->b);
    free(a);
}

void expect_echoes(const asking *a)
{
    char want[64];

    cr_expect_eq(a->told, a->n);
    for (size_t i = 0; i < a->n; i++) {
        snprintf(want, sizeof want, "echo: q%zu", i);
        cr_expect(a->text[i] && a->end[i] == GUARD_ANSWERED && strcmp(a->text[i], want) == 0, "question %zu: '%s'", i,
                  a->text[i] ? a->text[i] : "(nothing)");
    }
}

stub_server *expect_mended(stub_behaviour behave, size_t n)
{
    stub_server *s = stub_start(behave);
    asking *a = asking_of(stub_url(s), n);

    expect_ok(ask(a), &a->err);
    expect_echoes(a);
    forget(a);
    return s;
}

void expect_end(stub_behaviour behave, const char *part)
{
    stub_server *s = stub_start(behave);
    asking *a = asking_of(stub_url(s), 1);

    a->server.attempts = 2;
    a->server.key = KEY;
    const nn_status st = ask(a);
    expect_fails(st, NN_FILE, &a->err, part);
    cr_expect(strstr(a->err.text, stub_url(s)) != NULL, "%s", a->err.text);
    cr_expect(strstr(a->err.text, KEY) == NULL, "%s", a->err.text);
    cr_expect_eq(a->told, 0u);
    forget(a);
}

void expect_refused(stub_behaviour behave, const char *why)
{
    stub_server *s = stub_start(behave);
    asking *a = asking_of(stub_url(s), 1);

    expect_ok(ask(a), &a->err);
    cr_assert(a->told == 1 && a->end[0] == GUARD_REFUSED);
    cr_expect_str_eq(a->text[0], why);
    cr_expect_eq(stub_requests(s), 1u);
    forget(a);
}
