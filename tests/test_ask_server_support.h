/* test_ask_server_support.h - questions for a stub server, and what is expected of the answers. */
#ifndef TESTS_TEST_ASK_SERVER_SUPPORT_H
#define TESTS_TEST_ASK_SERVER_SUPPORT_H
#include "guard/ask/backend.h"
#include "tests/stub_server.h"

#define MOST 64u
#define KEY "sk-test-0123456789abcdef"

typedef struct {
    guard_backend *b;
    guard_server_options server;
    guard_ask_options ask;
    guard_message message[MOST];
    guard_question q[MOST];
    char prompt[MOST][32];
    size_t n;
    /* what came */
    char *text[MOST];
    guard_answer_end end[MOST];
    size_t order[MOST], told, stop_after;
    nn_err err;
} asking;

/* n questions "q0", "q1", ... for a server; change fields, then ask(). forget() frees it. */
asking *asking_of(const char *url, size_t n);
nn_status ask_job(asking *a, guard_job *job);
nn_status ask(asking *a);
void forget(asking *a);
/* Counts and keeps answers of the asking in ctx; each question's may come once. */
nn_status take_answer(void *ctx, size_t i, guard_answer_end end, const char *text, size_t len, nn_err *err);

/* Every question i was answered with "echo: q<i>". */
void expect_echoes(const asking *a);
/* Starts a server, asks it n questions, wants echoes for all. */
stub_server *expect_mended(stub_behaviour behave, size_t n);
/* One question, two attempts, with a key: the call ends with this message, which names the server and not the key. */
void expect_end(stub_behaviour behave, const char *part);
/* One question is refused with these words, and not repeated. */
void expect_refused(stub_behaviour behave, const char *why);
#endif
