/* stub_server.h - a small HTTP/1.1 server on 127.0.0.1 that behaves as a test tells it, well or badly.
 *
 * Reads: support.h.   Read next: stub_server.c, test_ask_server.c (all its bad manners).
 * Why processes and not threads: the tests are built without threads too (OMP=0), and a behaviour that hangs or breaks
 * off takes nothing with it. The server is a child of the test, every connection a child of the server. A behaviour is
 * a function of the test's own; it sees the test's memory as it was when the server started, and what it changes there
 * nobody sees: what happened is in the records.
 * It ends with the test, however that ends. A program that the test runs (CLI) reaches it by its url like anybody.
 */
#ifndef TESTS_STUB_SERVER_H
#define TESTS_STUB_SERVER_H
#include <stdbool.h>
#include <stddef.h>

#define STUB_HEAD 2048u
#define STUB_BODY 16384u

/* One request, as a behaviour sees it and as it is kept. */
typedef struct {
    size_t number;       /* of all requests to this server, from 0, in the order they came */
    size_t seen;         /* earlier ones with the same body */
    size_t distinct;     /* different bodies so far, this one too */
    char head[STUB_HEAD]; /* request line and header lines; cut when longer */
    char body[STUB_BODY]; /* zero byte after it; cut when longer */
    size_t body_len;      /* as it came */
} stub_request;

typedef struct {
    const stub_request *r;
    int fd;
    bool end; /* close the connection after this reply */
} stub_call;

typedef struct stub_server stub_server;
typedef void (*stub_behaviour)(stub_call *c);

stub_server *stub_start(stub_behaviour behave); /* fails the test when it cannot */
const char *stub_url(const stub_server *s);     /* "http://127.0.0.1:PORT/v1" */
void stub_stop(stub_server *s);                 /* records stay readable */
size_t stub_requests(const stub_server *s);
size_t stub_connections(const stub_server *s);
const stub_request *stub_request_at(const stub_server *s, size_t i); /* the first 512 are kept */

/* --- for behaviours --------------------------------------------------------------------------------------------- */
/* The text of the last message, or the prompt; "" when there is none. Lives until the next call. */
const char *stub_prompt(const stub_call *c);
bool stub_completes(const stub_call *c); /* the path ends with /completions, not /chat/completions */
/* Value of a header line, "" when absent. Lives until the next call. */
const char *stub_header(const stub_call *c, const char *name);
void stub_answer(stub_call *c, const char *text); /* 200 and a proper reply of the endpoint asked, finish_reason stop */
void stub_finish(stub_call *c, const char *text, const char *finish); /* text NULL: null */
void stub_status(stub_call *c, int status, const char *headers, const char *message); /* {"error":{"message":...}} */
void stub_reply(stub_call *c, int status, const char *headers, const char *body, size_t len); /* headers end in \r\n */
void stub_raw(stub_call *c, const char *bytes, size_t len); /* as it stands */
void stub_nap(double seconds);

void stub_echo(stub_call *c); /* behaviour: answers "echo: " and the prompt */
/* The same after 0 to 30 ms, drawn from the body and $STUB_SEED: replies come in another order than questions. */
void stub_echo_shuffled(stub_call *c);
#endif
