/* backend_server.c - asks a server that speaks OpenAI's protocol: what is sent, and which replies are tried again.
 *
 * Why the waits have no jitter: one process has at most 64 requests under way, whose replies come one by one; and no
 * answer depends on when a question was asked again.
 */
#include "guard/ask/http.h"
#include "guard/ask/secret.h"
#include "guard/ask/server_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <math.h>
#include <string.h>

#define WAIT_MAX 60.0   /* seconds between two attempts, when the server says nothing */
#define ASKED_MAX 600.0 /* seconds that a server may ask for */
#define KEPT "what was answered is kept, run again with --resume"

typedef struct {
    guard_backend base; /* first: a guard_backend * is a server_backend * */
    char *url, *model, *key;
    size_t attempts;
    double backoff;
    bool new_limit;
    guard_http_options reach; /* url and bearer are put in when it is opened */
    guard_http *http;         /* NULL until the first question: a replay asks none and needs no libcurl */
} server_backend;

/* One call of guard_backend_ask. */
typedef struct {
    const server_backend *s;
    const guard_question *q;
    const guard_ask_options *o;
    guard_answer_fn answer;
    void *ctx;
    guard_buf text; /* of the reply that is looked at */
} server_call;

guard_server_options guard_server_default(void)
{
    return (guard_server_options){.concurrency = 4, .attempts = 5, .deadline = 120.0, .backoff = 1.0,
                                  .max_bytes = (size_t)1 << 20};
}

bool guard_backend_server_built(void)
{
    return guard_http_built();
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void write_messages(guard_buf *b, const guard_question *q)
{
    guard_json_key(b, "messages");
    guard_buf_str(b, "[");
    for (size_t m = 0; m < q->n_message; m++) {
        guard_json_comma(b);
        guard_buf_str(b, "{");
        const char *role = guard_role_names[q->message[m].role];
        guard_json_key(b, "role");
        guard_json_str(b, role, strlen(role));
        guard_json_key(b, "content");
        guard_json_str(b, q->message[m].text, q->message[m].len);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]");
}

/* Servers take seeds of different widths, some with a sign: all 64 bits folded into 31, small ones as they are. */
static uint64_t seed_of(uint64_t seed)
{
    return (seed ^ (seed >> 31) ^ (seed >> 62)) & 0x7FFFFFFFu;
}

static void write_options(guard_buf *b, const guard_ask_options *o, bool new_limit, uint64_t seed)
{
    guard_json_key(b, "temperature");
    guard_json_float(b, o->temperature);
    guard_json_key(b, "top_p");
    guard_json_float(b, o->top_p);
    guard_json_key(b, new_limit ? "max_completion_tokens" : "max_tokens");
    guard_json_u64(b, o->max_tokens);
    guard_json_key(b, "seed");
    guard_json_u64(b, seed_of(seed));
    if (o->stop) {
        guard_json_key(b, "stop");
        guard_buf_str(b, "[");
        guard_json_str(b, o->stop, strlen(o->stop));
        guard_buf_str(b, "]");
    }
    guard_json_key(b, "stream");
    guard_json_bool(b, false);
}

static nn_status write_request(void *ctx, size_t i, guard_buf *b, nn_err *err)
{
    const server_call *c = ctx;
    const guard_question *q = c->q + i;

    guard_buf_str(b, "{");
    guard_json_key(b, "model");
    guard_json_str(b, c->s->model, strlen(c->s->model));
    if (c->s->base.completes) {
        guard_json_key(b, "prompt");
        guard_json_str(b, q->message[0].text, q->message[0].len);
    } else {
        write_messages(b, q);
    }
    write_options(b, c->o, c->s->new_limit, q->seed);
    guard_buf_str(b, "}");
    return guard_buf_status(b, err);
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

static nn_status tell(server_call *c, size_t i, guard_answer_end end, nn_err *err)
{
    if (end == GUARD_ANSWERED) { /* some servers leave the stop in */
        c->text.len = guard_before_stop(c->text.bytes, c->text.len, c->o->stop);
        c->text.bytes[c->text.len] = '\0';
    }
    return c->answer(c->ctx, i, end, c->text.bytes, c->text.len, err);
}

/* The call ends; c->text says why, `want` what to do. */
static nn_status give_up(const server_call *c, size_t i, const char *want, nn_err *err)
{
    return nn_fail(err, NN_FILE, "server %.120s: question %zu: %.255s, %s", c->s->url, i + 1, c->text.bytes, want);
}

double server_wait(double backoff, size_t attempt)
{
    double wait = backoff;

    for (size_t k = 0; k < attempt && wait < WAIT_MAX; k++) wait *= 2.0;
    return wait < WAIT_MAX ? wait : WAIT_MAX;
}

/* Seconds before the next attempt, or the end of the call. */
static nn_status try_again(const server_call *c, size_t i, size_t attempt, const guard_http_reply *r, double *again,
                           nn_err *err)
{
    if (attempt + 1 >= c->s->attempts)
        return nn_fail(err, NN_FILE, "server %.120s: question %zu: %zu attempts, the last: %.255s; " KEPT, c->s->url,
                       i + 1, attempt + 1, c->text.bytes);
    if (r->retry_after > ASKED_MAX)
        return nn_fail(err, NN_FILE, "server %.120s: question %zu: %.255s, asks to wait %.0f s, want at most %.0f; "
                       KEPT, c->s->url, i + 1, c->text.bytes, r->retry_after, ASKED_MAX);
    *again = r->retry_after >= 0.0 ? r->retry_after : server_wait(c->s->backoff, attempt);
    return NN_OK;
}

static nn_status take_answer(server_call *c, size_t i, size_t attempt, const guard_http_reply *r, double *again,
                             nn_err *err)
{
    server_said said = SERVER_ODD;
    const nn_status st =
        server_reply_parse(&said, &c->text, r->body, r->len, c->s->base.completes, c->s->key, err);

    if (st != NN_OK) return st;
    if (said == SERVER_ODD) return try_again(c, i, attempt, r, again, err);
    return tell(c, i, said == SERVER_ANSWER ? GUARD_ANSWERED : GUARD_REFUSED, err);
}

/* What a status of 300 and above asks of the user. */
static const char *advice(const server_call *c, int status)
{
    if (status < 400) return "want an address that does not redirect (a key would go along)";
    if (status == 404) return "want an address and a model that it has";
    if (status != 401 && status != 403) return "want a server that takes such requests";
    return c->s->key ? "want a key that it takes" : "want a key: none was given";
}

static nn_status take_reply(void *ctx, size_t i, size_t attempt, const guard_http_reply *r, double *again, nn_err *err)
{
    server_call *c = ctx;
    const int status = r->status;

    guard_buf_clear(&c->text);
    if (status >= 200 && status < 300) return take_answer(c, i, attempt, r, again, err);
    if (status == 0) {
        guard_buf_str(&c->text, r->failure);
        const nn_status st = guard_buf_status(&c->text, err);
        if (st != NN_OK) return st;
        return r->lasting ? give_up(c, i, "want a server that can be asked", err)
                          : try_again(c, i, attempt, r, again, err);
    }
    guard_buf_fmt(&c->text, "HTTP %d", status);
    const nn_status st = server_message(&c->text, r->body, r->len, c->s->key, err);
    if (st != NN_OK) return st;
    if (status == 400 || status == 413 || status == 422) return tell(c, i, GUARD_REFUSED, err);
    const bool passes = status >= 500 || status == 408 || status == 425 || status == 429;
    if (passes) return try_again(c, i, attempt, r, again, err);
    return give_up(c, i, advice(c, status), err);
}

static nn_status open_http(server_backend *s, nn_err *err)
{
    guard_http_options http = s->reach;
    guard_buf url = {NULL, 0, 0, NN_OK};

    guard_buf_str(&url, s->url);
    guard_buf_str(&url, s->base.completes ? "/completions" : "/chat/completions");
    nn_status st = guard_buf_status(&url, err);
    http.url = url.bytes;
    http.bearer = s->key;
    if (st == NN_OK) st = guard_http_build(&s->http, &http, err);
    guard_buf_free(&url);
    return st;
}

static nn_status server_ask(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                            guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err)
{
    server_backend *s = (server_backend *)b;
    server_call c = {s, q, o, answer, ctx, {NULL, 0, 0, NN_OK}};
    const guard_http_fns fns = {write_request, take_reply, &c};

    nn_status st = s->http ? NN_OK : open_http(s, err);

    if (st == NN_OK) st = guard_http_post(s->http, n, &fns, job, err);
    guard_buf_free(&c.text);
    return st;
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static nn_status check_numbers(const guard_server_options *o, nn_err *err)
{
    if (o->concurrency < 1 || o->concurrency > 64)
        return nn_fail(err, NN_USAGE, "server: concurrency %zu, want 1 to 64", o->concurrency);
    if (o->attempts < 1 || o->attempts > 100)
        return nn_fail(err, NN_USAGE, "server: attempts %zu, want 1 to 100", o->attempts);
    if (!(o->deadline >= 0.001 && o->deadline <= 86400.0))
        return nn_fail(err, NN_USAGE, "server: deadline %.3f, want 0.001 to 86400 seconds", o->deadline);
    if (!(o->backoff >= 0.0 && o->backoff <= WAIT_MAX))
        return nn_fail(err, NN_USAGE, "server: backoff %.3f, want 0 to %.0f seconds", o->backoff, WAIT_MAX);
    if (o->max_bytes < 1 || o->max_bytes > (size_t)1 << 30)
        return nn_fail(err, NN_USAGE, "server: max_bytes %zu, want 1 to 1 GiB", o->max_bytes);
    return NN_OK;
}

static nn_status check_model(const char *model, const char *key, nn_err *err)
{
    const size_t len = model ? strlen(model) : 0;
    size_t replaced = 0;

    if (len == 0 || len > 512) return nn_fail(err, NN_USAGE, "server: model's name of %zu bytes, want 1 to 512", len);
    (void)nn_utf8_repair(NULL, model, len, &replaced);
    if (replaced) return nn_fail(err, NN_USAGE, "server: model's name is no UTF-8 text");
    if (guard_secret_in(model, key)) return nn_fail(err, NN_USAGE, "server: model's name holds the key");
    return NN_OK;
}

static nn_status check_options(const guard_server_options *o, bool *local, nn_err *err)
{
    nn_status st = o->key ? guard_secret_check(o->key, err) : NN_OK;

    if (st == NN_OK) st = server_url_check(o->url ? o->url : "", o->key, local, err);
    if (st == NN_OK) st = check_model(o->model, o->key, err);
    return st == NN_OK ? check_numbers(o, err) : st;
}

static nn_status write_identity(server_backend *s, nn_err *err)
{
    guard_buf b = {NULL, 0, 0, NN_OK};
    const char *endpoint = s->base.completes ? "completion" : "chat";

    guard_buf_str(&b, "{");
    guard_json_key(&b, "kind");
    guard_json_str(&b, "server", 6);
    guard_json_key(&b, "url");
    guard_json_str(&b, s->url, strlen(s->url));
    guard_json_key(&b, "model");
    guard_json_str(&b, s->model, strlen(s->model));
    guard_json_key(&b, "endpoint");
    guard_json_str(&b, endpoint, strlen(endpoint));
    guard_buf_str(&b, "}");
    s->base.identity = b.bytes; /* moves */
    return guard_buf_status(&b, err);
}

static void server_free(guard_backend *b)
{
    server_backend *s = (server_backend *)b;

    guard_http_free(s->http);
    guard_secret_free(&s->key);
    nn_free(s->url);
    nn_free(s->model);
}

nn_status guard_backend_server(guard_backend **out, const guard_server_options *o, nn_err *err)
{
    bool local = false;
    void *block = NULL;

    *out = NULL;
    nn_status st = check_options(o, &local, err);
    if (st == NN_OK) st = nn_alloc(&block, 1, sizeof(server_backend), err);
    if (st != NN_OK) return st;
    server_backend *s = block;
    s->base.ask = server_ask;
    s->base.free = server_free;
    s->base.completes = o->completion;
    s->attempts = o->attempts;
    s->backoff = o->backoff;
    s->new_limit = o->new_limit;
    s->reach = (guard_http_options){.local = local, .concurrency = o->concurrency, .deadline = o->deadline,
                                    .max_bytes = o->max_bytes};
    if ((st = guard_secret_copy(&s->url, "", o->url, err)) != NN_OK) goto done;
    for (size_t n = strlen(s->url); n > 0 && s->url[n - 1] == '/'; n--) s->url[n - 1] = '\0';
    if ((st = guard_secret_copy(&s->model, "", o->model, err)) != NN_OK) goto done;
    if (o->key && (st = guard_secret_copy(&s->key, "", o->key, err)) != NN_OK) goto done;
    if ((st = write_identity(s, err)) != NN_OK) goto done;
    *out = &s->base;
    s = NULL;
done:
    if (s) guard_backend_free(&s->base);
    return st;
}
