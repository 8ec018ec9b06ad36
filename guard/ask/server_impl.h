/* server_impl.h - what the files of the server back-end share: addresses, and the meaning of replies.
 *
 * Reads: backend.h, secret.h.   Read next: server_url.c, server_reply.c, then backend_server.c.
 * Source: OpenAI's API reference (chat completions, completions), and the error bodies of servers that follow it.
 */
#ifndef GUARD_ASK_SERVER_IMPL_H
#define GUARD_ASK_SERVER_IMPL_H
#include "guard/ask/backend.h"

/* NN_USAGE unless url is http://HOST[:PORT][/PATH] or https:// of that form: no user, password, query or fragment.
 * *local: the host is this machine by its name or number. With a key, http is for such hosts alone, and the key may not
 * stand in the url. A text that may hold a secret is not quoted. */
NN_CHECKED nn_status server_url_check(const char *url, const char *key, bool *local, nn_err *err);

typedef enum { SERVER_ANSWER, SERVER_REFUSAL, SERVER_ODD } server_said;

/* A reply's body of a status 2xx. ANSWER: text is the answer. REFUSAL, and ODD (not of the form that is documented):
 * one line that says why. The key stands in none of them. err: memory alone. */
NN_CHECKED nn_status server_reply_parse(server_said *said, guard_buf *text, const char *body, size_t len,
                                        bool completion, const char *key, nn_err *err);
/* Appends what the body of another status says, " ('...')": a line of about 200 bytes without control characters and
 * without any part of the key; nothing when it says nothing in a form that is known. */
NN_CHECKED nn_status server_message(guard_buf *out, const char *body, size_t len, const char *key, nn_err *err);
/* Seconds before the attempt after number `attempt` (from 0), when the server asks for none: they double, up to 60. */
double server_wait(double backoff, size_t attempt);
#endif
