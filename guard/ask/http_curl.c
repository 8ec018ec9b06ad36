/* http_curl.c - http.h over libcurl's multi interface: one easy handle a slot, requests waiting in a short list.
 *
 * Sources: libcurl's manual (libcurl-multi, CURLOPT_*, CURLINFO_RETRY_AFTER); RFC 9110, 10.2.3 (Retry-After).
 */
#include "guard/ask/http.h"
#include "guard/ask/http_curl_load.h"
#include "guard/ask/secret.h"
#include "guard/parapet.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

#if LIBCURL_VERSION_NUM < 0x074200
#error "libcurl 7.66 or newer is needed (curl_multi_poll, CURLINFO_RETRY_AFTER); make CURL=0 builds without"
#endif

#define LOOK_UP_MS 200 /* the longest wait before the job is asked again */

typedef struct {
    CURL *easy;
    guard_buf body, reply;
    size_t max_bytes;
    size_t i, attempt; /* what is under way */
    bool busy;
    bool too_long, asks_to_wait; /* of the reply */
} http_slot;

typedef struct {
    size_t i, attempt; /* the next one */
    double due;
} http_waiting;

struct guard_http {
    curl_library curl;
    bool started; /* curl_global_init */
    CURLM *multi;
    struct curl_slist *header;
    http_slot *slot;
    http_waiting *wait; /* room for two of each slot: may_send_new's rule */
    size_t n_slot, n_wait;
};

bool guard_http_built(void)
{
    return true;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t one, size_t n, void *ctx)
{
    http_slot *s = ctx;

    (void)one; /* 1, says libcurl's manual */
    s->too_long = n > s->max_bytes - s->reply.len;
    if (s->too_long) return 0; /* ends the transfer */
    guard_buf_add(&s->reply, bytes, n);
    return s->reply.status == NN_OK ? n : 0;
}

/* One header line without a zero byte. libcurl tells the value of Retry-After, but not whether there was one. */
static size_t take_header(char *line, size_t one, size_t n, void *ctx)
{
    static const char name[] = "retry-after:";
    http_slot *s = ctx;

    (void)one;
    if (n >= sizeof name - 1 && strncasecmp(line, name, sizeof name - 1) == 0) s->asks_to_wait = true;
    return n;
}

/* Unknown ends are taken for accidents of the moment: attempts are counted anyway. */
static bool is_lasting(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH: return true;
    default: return false;
    }
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static bool set_numbers(const curl_library *c, CURL *easy, const guard_http_options *o)
{
    const struct {
        CURLoption option;
        long value;
    } set[] = {
        {CURLOPT_POST, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
        /* One request a connection at a time: what breaks takes one question with it. */
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_TIMEOUT_MS, o->deadline < 1e-3 ? 1L : o->deadline > 1e6 ? 1000000000L : (long)(o->deadline * 1e3)},
#if LIBCURL_VERSION_NUM < 0x075500
        {CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS},
#endif
    };
    bool ok = true;

    for (size_t k = 0; k < sizeof set / sizeof *set; k++)
        ok = ok && c->easy_setopt(easy, set[k].option, set[k].value) == CURLE_OK;
    return ok;
}

static bool set_texts(const curl_library *c, CURL *easy, const guard_http_options *o)
{
    bool ok = c->easy_setopt(easy, CURLOPT_URL, o->url) == CURLE_OK;

    ok = ok && c->easy_setopt(easy, CURLOPT_USERAGENT, "parapet/" PARAPET_VERSION) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075500
    const bool tls = strncmp(o->url, "https:", 6) == 0; /* a libcurl without TLS does not know the word */
    ok = ok && c->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, tls ? "http,https" : "http") == CURLE_OK;
#endif
    return ok && (!o->local || c->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK);
}

static bool set_callbacks(const curl_library *c, http_slot *s, const struct curl_slist *header)
{
    return c->easy_setopt(s->easy, CURLOPT_HTTPHEADER, header) == CURLE_OK &&
           c->easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           c->easy_setopt(s->easy, CURLOPT_WRITEDATA, s) == CURLE_OK &&
           c->easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           c->easy_setopt(s->easy, CURLOPT_HEADERDATA, s) == CURLE_OK &&
           c->easy_setopt(s->easy, CURLOPT_PRIVATE, s) == CURLE_OK;
}

static bool add_header(guard_http *h, const char *line)
{
    struct curl_slist *longer = h->curl.slist_append(h->header, line); /* copies line */

    if (longer) h->header = longer;
    return longer != NULL;
}

/* Lines of every request. An empty Expect: libcurl would ask before a long body, and wait a second for servers that do
 * not answer that. */
static nn_status make_header(guard_http *h, const char *bearer, nn_err *err)
{
    bool ok = add_header(h, "Content-Type: application/json") && add_header(h, "Accept: application/json") &&
              add_header(h, "Expect:");

    if (ok && bearer) {
        char *line = NULL;
        const nn_status st = guard_secret_copy(&line, "Authorization: Bearer ", bearer, err);
        if (st != NN_OK) return st;
        ok = add_header(h, line);
        guard_secret_free(&line);
    }
    return ok ? NN_OK : nn_fail(err, NN_LIMIT, "http: no memory for the headers of a request");
}

static nn_status make_slots(guard_http *h, const guard_http_options *o, nn_err *err)
{
    void *slots = NULL, *waits = NULL;
    nn_status st = nn_alloc(&slots, o->concurrency, sizeof *h->slot, err);

    h->slot = slots;
    if (st == NN_OK) st = nn_alloc(&waits, 2 * o->concurrency, sizeof *h->wait, err);
    h->wait = waits;
    for (; st == NN_OK && h->n_slot < o->concurrency; h->n_slot++) {
        http_slot *s = h->slot + h->n_slot;
        s->max_bytes = o->max_bytes;
        s->easy = h->curl.easy_init();
        if (!s->easy || !set_numbers(&h->curl, s->easy, o) || !set_texts(&h->curl, s->easy, o) ||
            !set_callbacks(&h->curl, s, h->header))
            st = nn_fail(err, NN_LIMIT, "http: libcurl cannot prepare a request (no memory, or built without TLS)");
    }
    return st;
}

nn_status guard_http_build(guard_http **out, const guard_http_options *o, nn_err *err)
{
    void *block = NULL;
    nn_status st = nn_alloc(&block, 1, sizeof(guard_http), err);
    guard_http *h = block;

    *out = NULL;
    if (st != NN_OK) return st;
    if ((st = curl_library_load(&h->curl, err)) != NN_OK) {
        nn_free(h);
        return st;
    }
    /* WHY no flag of our own: libcurl counts these calls, and guard_http_free undoes this one. */
    h->started = h->curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    h->multi = h->started ? h->curl.multi_init() : NULL;
    if (!h->multi) st = nn_fail(err, NN_LIMIT, "http: libcurl cannot start");
    if (st == NN_OK) (void)h->curl.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)o->concurrency);
    if (st == NN_OK) st = make_header(h, o->bearer, err);
    if (st == NN_OK) st = make_slots(h, o, err);
    if (st == NN_OK) *out = h;
    else guard_http_free(h);
    return st;
}

void guard_http_free(guard_http *h)
{
    if (!h) return;
    for (size_t k = 0; k < h->n_slot; k++) {
        h->curl.easy_cleanup(h->slot[k].easy);
        guard_buf_free(&h->slot[k].body);
        guard_buf_free(&h->slot[k].reply);
    }
    if (h->multi) (void)h->curl.multi_cleanup(h->multi);
    for (struct curl_slist *at = h->header; at; at = at->next) guard_secret_wipe(at->data);
    if (h->header) h->curl.slist_free_all(h->header);
    if (h->started) h->curl.global_cleanup();
    nn_free(h->slot);
    nn_free(h->wait);
    nn_free(h);
}

/* --- posting ------------------------------------------------------------------------------------------------------ */

typedef struct {
    guard_http *h;
    const guard_http_fns *f;
    size_t n, next, done; /* requests; the first that was never sent; those that are through */
} http_post;

static nn_status multi_status(const guard_http *h, CURLMcode code, nn_err *err)
{
    if (code == CURLM_OK) return NN_OK;
    return nn_fail(err, code == CURLM_OUT_OF_MEMORY ? NN_LIMIT : NN_FILE, "http: libcurl: %s",
                   h->curl.multi_strerror(code));
}

static nn_status send_one(http_post *p, http_slot *s, size_t i, size_t attempt, nn_err *err)
{
    guard_buf_clear(&s->body);
    guard_buf_clear(&s->reply);
    guard_buf_add(&s->reply, "", 0); /* an empty body is a text too */
    s->i = i;
    s->attempt = attempt;
    s->too_long = s->asks_to_wait = false;
    nn_status st = p->f->body(p->f->ctx, i, &s->body, err);
    if (st == NN_OK) st = guard_buf_status(&s->body, err);
    if (st == NN_OK) st = guard_buf_status(&s->reply, err);
    if (st != NN_OK) return st;
    /* Borrowed until the transfer is over; nothing touches s->body before. */
    const curl_library *c = &p->h->curl;
    if (c->easy_setopt(s->easy, CURLOPT_POSTFIELDS, s->body.bytes) != CURLE_OK ||
        c->easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->body.len) != CURLE_OK)
        return nn_fail(err, NN_LIMIT, "http: libcurl takes no body of %zu bytes", s->body.len);
    st = multi_status(p->h, p->h->curl.multi_add_handle(p->h->multi, s->easy), err);
    s->busy = st == NN_OK;
    return st;
}

/* What waits and comes first: the earliest, then the lowest number. */
static size_t first_waiting(const guard_http *h)
{
    size_t first = 0;

    for (size_t k = 1; k < h->n_wait; k++) {
        const http_waiting *a = h->wait + k, *b = h->wait + first;
        if (a->due < b->due || (a->due <= b->due && a->i < b->i)) first = k;
    }
    return first;
}

/* WHY the second half: a server that takes 60 requests a minute would turn down all of a thousand questions at once,
 * and each would use up its attempts. So at most twice as many as may be under way were sent and are not through. */
static bool may_send_new(const http_post *p)
{
    return p->next < p->n && p->h->n_wait <= p->h->n_slot;
}

/* Fills free slots: what has waited long enough before what is new. */
static nn_status send_all(http_post *p, nn_err *err)
{
    guard_http *h = p->h;
    nn_status st = NN_OK;

    for (size_t k = 0; k < h->n_slot && st == NN_OK; k++) {
        http_slot *s = h->slot + k;
        if (s->busy) continue;
        const size_t first = first_waiting(h);
        if (h->n_wait > 0 && h->wait[first].due <= nn_now_s()) {
            const http_waiting w = h->wait[first];
            h->wait[first] = h->wait[--h->n_wait];
            st = send_one(p, s, w.i, w.attempt, err);
        } else if (may_send_new(p)) {
            st = send_one(p, s, p->next, 0, err);
            p->next++;
        } else {
            break;
        }
    }
    return st;
}

static nn_status reply_come(http_post *p, http_slot *s, CURLcode code, nn_err *err)
{
    guard_http *h = p->h;
    guard_http_reply r = {.failure = h->curl.easy_strerror(code), .lasting = is_lasting(code), .retry_after = -1.0,
                          .body = s->reply.bytes, .len = s->reply.len};
    char too_long[64];
    long status = 0;
    curl_off_t seconds = 0;
    double again = -1.0;

    if (s->reply.status != NN_OK) return guard_buf_status(&s->reply, err);
    if (code == CURLE_OUT_OF_MEMORY) return nn_fail(err, NN_LIMIT, "http: libcurl: %s", r.failure);
    if (code == CURLE_UNSUPPORTED_PROTOCOL) r.failure = "a reply that is not HTTP"; /* its own name misleads */
    if (s->too_long) {
        snprintf(too_long, sizeof too_long, "a reply of more than %zu bytes", s->max_bytes);
        r.failure = too_long;
        r.lasting = true;
    } else if (code == CURLE_OK && h->curl.easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) {
        r.status = (int)status;
    }
    if (s->asks_to_wait && h->curl.easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK)
        r.retry_after = seconds > 0 ? (double)seconds : 0.0; /* a date that has passed is below 0 */
    const nn_status st = p->f->reply(p->f->ctx, s->i, s->attempt, &r, &again, err);
    if (st == NN_OK && again >= 0.0) h->wait[h->n_wait++] = (http_waiting){s->i, s->attempt + 1, nn_now_s() + again};
    else p->done++;
    return st;
}

static nn_status take_replies(http_post *p, nn_err *err)
{
    int running = 0, left = 0;
    nn_status st = multi_status(p->h, p->h->curl.multi_perform(p->h->multi, &running), err);

    while (st == NN_OK) {
        const CURLMsg *m = p->h->curl.multi_info_read(p->h->multi, &left);
        http_slot *s = NULL;
        if (!m) break;
        if (m->msg != CURLMSG_DONE) continue;
        const CURLcode code = m->data.result;
        CURL *easy = m->easy_handle;
        if (p->h->curl.easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&s) != CURLE_OK || !s) continue;
        st = multi_status(p->h, p->h->curl.multi_remove_handle(p->h->multi, easy), err); /* m is gone with it */
        s->busy = false;
        if (st == NN_OK) st = reply_come(p, s, code, err);
    }
    return st;
}

/* Until something moves, or something that waits has a slot and is due, or the job is to be asked. */
static nn_status sleep_a_little(const http_post *p, nn_err *err)
{
    const guard_http *h = p->h;
    bool room = false;
    int ms = LOOK_UP_MS;

    for (size_t k = 0; k < h->n_slot; k++) room = room || !h->slot[k].busy;
    if (room && may_send_new(p)) return NN_OK;
    if (room && h->n_wait > 0) {
        const double left = (h->wait[first_waiting(h)].due - nn_now_s()) * 1e3 + 1.0;
        if (left < ms) ms = left > 1.0 ? (int)left : 1;
    }
    return multi_status(h, h->curl.multi_poll(h->multi, NULL, 0, ms, NULL), err);
}

nn_status guard_http_post(guard_http *h, size_t n, const guard_http_fns *f, guard_job *job, nn_err *err)
{
    http_post p = {h, f, n, 0, 0};
    nn_status st = NN_OK;

    h->n_wait = 0;
    while (st == NN_OK && p.done < n) {
        if (!guard_job_go_on(job, p.done, n, "answers"))
            st = nn_fail(err, NN_STOP, "server: stopped after %zu of %zu answers", p.done, n);
        if (st == NN_OK) st = send_all(&p, err);
        if (st == NN_OK) st = take_replies(&p, err);
        if (st == NN_OK && p.done < n) st = sleep_a_little(&p, err);
    }
    for (size_t k = 0; k < h->n_slot; k++) { /* what an error or a stop left under way is broken off */
        if (h->slot[k].busy) (void)h->curl.multi_remove_handle(h->multi, h->slot[k].easy);
        h->slot[k].busy = false;
    }
    return st;
}
