/* ask.c - questions in two waves: what the store lacks is asked, what does not fit is asked once more.
 *
 * Reads: ask.h.   Read next: answer.c, store.c; backend_local.c, backend_server.c, backend_grammar.c.
 */
#include "guard/ask/ask.h"
#include "guard/folder.h"
#include "nn/arena.h"
#include "nn/sha256.h"
#include "nn/unicode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 2 };

/* --- addresses ------------------------------------------------------------------------------ */

static guard_question question_of(const guard_question *q, size_t attempt)
{
    guard_question again = *q;
    nn_rng r = nn_rng_at(q->seed, "ask/again", attempt);

    if (attempt > 0) again.seed = nn_rng_u64(&r);
    return again;
}

static guard_ask_options options_of(const guard_ask_options *o, size_t attempt)
{
    guard_ask_options again = *o;

    if (attempt > 0 && again.temperature < GUARD_ASK_AGAIN) again.temperature = GUARD_ASK_AGAIN;
    return again;
}

/* Ill-formed texts would be written alike and so have one address. */
static nn_status put_text(guard_buf *b, const char *key, const char *s, size_t n, nn_err *err)
{
    size_t bad = 0;

    nn_utf8_repair(NULL, s, n, &bad);
    if (bad) return nn_fail(err, NN_CONTENT, "its %s is not UTF-8, want text", key);
    guard_json_key(b, key);
    guard_json_str(b, s, n);
    return NN_OK;
}

static nn_status put_messages(guard_buf *b, const guard_question *q, nn_err *err)
{
    nn_status st = NN_OK;

    guard_json_key(b, "messages");
    guard_buf_str(b, "[");
    for (size_t i = 0; i < q->n_message && st == NN_OK; i++) {
        guard_json_comma(b);
        guard_buf_str(b, "{");
        guard_put_str(b, "role", guard_role_names[q->message[i].role]);
        st = put_text(b, "text", q->message[i].text, q->message[i].len, err);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]");
    return st;
}

static nn_status put_options(guard_buf *b, const guard_ask_options *o, nn_err *err)
{
    guard_json_key(b, "temperature");
    guard_json_float(b, o->temperature);
    guard_json_key(b, "top_p");
    guard_json_float(b, o->top_p);
    guard_put_u64(b, "max_tokens", o->max_tokens);
    return o->stop ? put_text(b, "stop", o->stop, strlen(o->stop), err) : NN_OK;
}

nn_status guard_ask_address(char address[65], const guard_backend *b, const guard_question *q,
                            const guard_ask_options *o, size_t attempt, nn_err *err)
{
    const guard_question question = question_of(q, attempt);
    const guard_ask_options options = options_of(o, attempt);
    guard_buf text = {0};
    nn_status st;

    address[0] = '\0';
    guard_buf_str(&text, "{\"backend\":");
    guard_buf_str(&text, guard_backend_identity(b));
    if ((st = put_messages(&text, &question, err)) != NN_OK) goto done;
    if ((st = put_options(&text, &options, err)) != NN_OK) goto done;
    guard_put_u64(&text, "seed", question.seed);
    guard_put_u64(&text, "attempt", attempt);
    guard_buf_str(&text, "}");
    if ((st = guard_buf_status(&text, err)) == NN_OK) nn_sha256_hex(text.bytes, text.len, address);
done:
    guard_buf_free(&text);
    return st;
}

/* --- one wave ------------------------------------------------------------------------------- */

typedef char address_text[NN_SHA256_HEX];

typedef struct {
    address_text address;
    size_t index; /* of the question */
} asked;

typedef struct {
    guard_asked *out;
    guard_ask_counts counts;
    guard_backend *b;
    const guard_question *q;
    size_t n;
    const guard_ask_options *o;
    const guard_answer_grammar *g;
    guard_store *store;
    bool offline;
    guard_job *job;
    size_t *wanted; /* questions of this wave, in order */
    size_t n_wanted;
    address_text *address; /* [n x ATTEMPTS], empty where an attempt was not made */
    asked *missing;        /* [n] sorted by address, later by question */
    guard_question *send;  /* [n] */
    size_t n_missing;
} wave;

static int by_address(const void *a, const void *b)
{
    const asked *x = a, *y = b;
    const int order = memcmp(x->address, y->address, sizeof x->address);

    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b)
{
    const asked *x = a, *y = b;

    return (x->index > y->index) - (x->index < y->index);
}

/* The error says whose it is. */
static nn_status name_question(const wave *w, size_t i, nn_status st, nn_err *err)
{
    char where[64];

    snprintf(where, sizeof where, "question %zu of %zu", i + 1, w->n);
    nn_err_prefix(err, where);
    return st;
}

/* What the store lacks, each address once, in order of questions. */
static nn_status find_missing(wave *w, size_t attempt, nn_err *err)
{
    size_t n = 0;
    nn_status st;

    w->n_missing = 0;
    for (size_t k = 0; k < w->n_wanted; k++) {
        const size_t i = w->wanted[k];
        char *address = w->address[i * ATTEMPTS + attempt];

        if ((st = guard_ask_address(address, w->b, w->q + i, w->o, attempt, err)) != NN_OK)
            return name_question(w, i, st, err);
        if (guard_store_find(w->store, address)) {
            w->counts.cached++;
            continue;
        }
        memcpy(w->missing[w->n_missing].address, address, sizeof w->missing->address);
        w->missing[w->n_missing++].index = i;
    }
    if (w->n_missing == 0) return NN_OK;
    qsort(w->missing, w->n_missing, sizeof *w->missing, by_address);
    for (size_t k = 0; k < w->n_missing; k++) {
        const asked *m = w->missing + k;
        if (n == 0 || memcmp(m->address, w->missing[n - 1].address, sizeof m->address) != 0) w->missing[n++] = *m;
    }
    w->n_missing = n;
    qsort(w->missing, n, sizeof *w->missing, by_index);
    return NN_OK;
}

static nn_status on_answer(void *ctx, size_t i, guard_answer_end end, const char *text, size_t len, nn_err *err)
{
    wave *w = ctx;

    NN_ASSERT(i < w->n_missing);
    return guard_store_put(w->store, w->missing[i].address, end == GUARD_REFUSED, text, len, err);
}

static nn_status send_missing(wave *w, size_t attempt, nn_err *err)
{
    const guard_ask_options o = options_of(w->o, attempt);
    nn_status st;

    if (w->n_missing == 0) return NN_OK;
    if (w->offline)
        return nn_fail(err, NN_FILE, "question %zu of %zu: no stored answer, want one; address %s, back-end %s",
                       w->missing[0].index + 1, w->n, w->missing[0].address, guard_backend_identity(w->b));
    for (size_t k = 0; k < w->n_missing; k++) w->send[k] = question_of(w->q + w->missing[k].index, attempt);
    if ((st = guard_backend_ask(w->b, w->send, w->n_missing, &o, on_answer, w, w->job, err)) != NN_OK) return st;
    for (size_t k = 0; k < w->n_missing; k++) {
        if (!guard_store_find(w->store, w->missing[k].address))
            return nn_fail(err, NN_CONTENT, "question %zu of %zu: left without an answer by %s",
                           w->missing[k].index + 1, w->n, guard_backend_identity(w->b));
    }
    return NN_OK;
}

/* Reads this wave's answers; what does not fit is wanted in the next one. */
static nn_status take_answers(wave *w, size_t attempt, nn_err *err)
{
    size_t again = 0;

    for (size_t k = 0; k < w->n_wanted; k++) {
        const size_t i = w->wanted[k];
        const guard_stored *s = guard_store_find(w->store, w->address[i * ATTEMPTS + attempt]);

        if (!s->refused) {
            const nn_status st = guard_answer_parse(&w->out[i].answer, &w->out[i].ok, w->g, s->text, s->len, err);
            if (st != NN_OK) return st;
            if (!w->out[i].ok) w->wanted[again++] = i;
        } else {
            if (!w->counts.why) w->counts.why = s->text;
            w->counts.refused++;
            w->counts.dropped++;
        }
    }
    if (attempt + 1 < ATTEMPTS) w->counts.retried += again;
    else w->counts.dropped += again;
    w->n_wanted = again;
    return NN_OK;
}

static nn_status note_used(wave *w, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t k = 0; k < w->n * ATTEMPTS && st == NN_OK; k++)
        if (w->address[k][0]) st = guard_store_used(w->store, w->address[k], err);
    return st;
}

static nn_status open_wave(wave *w, nn_err *err)
{
    nn_status st;

    if (w->n > SIZE_MAX / ATTEMPTS) return nn_fail(err, NN_LIMIT, "ask: %zu questions", w->n);
    if ((st = nn_alloc((void **)&w->wanted, w->n, sizeof *w->wanted, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&w->address, w->n * ATTEMPTS, sizeof *w->address, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&w->missing, w->n, sizeof *w->missing, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&w->send, w->n, sizeof *w->send, err)) != NN_OK) return st;
    for (size_t i = 0; i < w->n; i++) w->wanted[i] = i;
    w->n_wanted = w->n;
    w->counts.asked = w->n;
    return NN_OK;
}

nn_status guard_ask(guard_asked *out, guard_ask_counts *counts, guard_backend *b, const guard_question *q, size_t n,
                    const guard_ask_options *o, const guard_answer_grammar *g, guard_store *store, bool offline,
                    guard_job *job, nn_err *err)
{
    wave w = {.out = out, .b = b, .q = q, .n = n, .o = o, .g = g, .store = store, .offline = offline, .job = job};
    nn_status st = open_wave(&w, err);

    for (size_t attempt = 0; attempt < ATTEMPTS && st == NN_OK; attempt++) {
        if ((st = find_missing(&w, attempt, err)) != NN_OK) break;
        if ((st = send_missing(&w, attempt, err)) != NN_OK) break;
        st = take_answers(&w, attempt, err);
    }
    if (st == NN_OK) st = note_used(&w, err);
    if (counts) *counts = w.counts;
    nn_free(w.wanted);
    nn_free(w.address);
    nn_free(w.missing);
    nn_free(w.send);
    return st;
}
