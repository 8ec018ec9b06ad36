/* Tests of guard/ask's model in this process: answers depend on the question alone. */
#include "guard/ask/ask.h"
#include "nn/arena.h"
#include "nn/decode.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include "tests/test_lm_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 40, CONTEXT = 192 };

static nn_err err;
static nn_pretrained *file;
static nn_model *model;
static nn_tok *tok;

static void open_model(void)
{
    const nn_load_options o = {.max_t = CONTEXT};

    err = (nn_err){NN_OK, ""};
    file = foreign_open(foreign_file("qwen2", NN_TOK_BPE, true, NN_F16, 3), &tok);
    expect_ok(nn_pretrained_load(&model, file, &o, &err), &err);
}

static void close_model(void)
{
    nn_model_free(model);
    nn_tok_free(tok);
    nn_pretrained_close(file);
}

TestSuite(ask_local, .init = open_model, .fini = close_model);

/* --- asking ------------------------------------------------------------------------------------------ */

typedef struct {
    guard_buf text[N];
    guard_answer_end end[N];
    size_t told, stop_after; /* progress says stop once so many were told; 0: never */
    size_t fail_at;          /* so many are taken */
} heard;

static nn_status hear(void *ctx, size_t i, guard_answer_end end, const char *text, size_t len, nn_err *e)
{
    heard *h = ctx;

    cr_assert(i < N && text[len] == '\0' && h->text[i].bytes == NULL, "once each");
    if (h->told == h->fail_at) return nn_fail(e, NN_LIMIT, "the disk is full");
    h->told++;
    h->end[i] = end;
    guard_buf_add(&h->text[i], text, len);
    return NN_OK;
}

static bool go_on(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    const heard *h = ctx;

    cr_assert(done == h->told && total == N && strcmp(unit, "questions") == 0);
    return h->stop_after == 0 || done < h->stop_after;
}

static void forget(heard *h)
{
    for (size_t i = 0; i < N; i++) guard_buf_free(&h->text[i]);
    *h = (heard){.fail_at = SIZE_MAX};
}

static guard_message message[N];
static guard_question question[N];

/* Requests of several lengths, some of them the same; seeds differ. */
static void ask_n(void)
{
    static char text[N][128];

    for (size_t i = 0; i < N; i++) {
        const int n = snprintf(text[i], sizeof text[i], "river %.*s stone", (int)(i % 11) * 6,
                               "bread garden zorn blick corn safe unsafe river stone bread garden zorn blick");
        message[i] = (guard_message){GUARD_ROLE_USER, text[i], (size_t)n};
        question[i] = (guard_question){message + i, 1, 100 + i};
    }
}

static const guard_ask_options warm = {1.0f, 0.95f, 12, NULL};

static guard_local_options chat_options(size_t slots)
{
    return (guard_local_options){.model = model, .tok = tok, .chat = guard_chat_find("chatml"), .hash = "abc",
                                 .slots = slots};
}

static nn_status ask(heard *h, const guard_local_options *lo, const guard_ask_options *o, size_t threads)
{
    static toy_job t;
    guard_backend *b = NULL;

    toy_job_open(&t, threads, NULL);
    t.job.ctx = h;
    t.job.progress = go_on;
    if (h->fail_at == 0) h->fail_at = SIZE_MAX;
    expect_ok(guard_backend_local(&b, lo, &err), &err);
    const nn_status st = guard_backend_ask(b, question, N, o, hear, h, &t.job, &err);
    guard_backend_free(b);
    cr_assert(st != NN_OK || t.job.tokens_used > 0);
    toy_job_close(&t);
    return st;
}

static void expect_same(const heard *a, const heard *b, const char *what)
{
    for (size_t i = 0; i < N; i++) {
        cr_assert(a->end[i] == b->end[i] && a->text[i].len == b->text[i].len, "%s: question %zu", what, i);
        cr_assert(a->text[i].len == 0 || memcmp(a->text[i].bytes, b->text[i].bytes, a->text[i].len) == 0,
                  "%s: question %zu: '%s', '%s'", what, i, a->text[i].bytes, b->text[i].bytes);
    }
}

Test(ask_local, slots_threads_and_neighbours_change_no_byte)
{
    static const struct {
        size_t slots, threads;
    } ways[] = {{5, 1}, {1, 2}, {64, 3}, {2, 1}};
    guard_local_options lo = chat_options(1);
    static heard want, got;
    size_t different = 0;

    ask_n();
    expect_ok(ask(&want, &lo, &warm, 1), &err);
    cr_assert_eq(want.told, N);
    for (size_t i = 1; i < N; i++)
        different += want.text[i].len > 0 && strcmp(want.text[i].bytes, want.text[0].bytes) != 0;
    cr_assert_gt(different, N / 2, "%zu answers of their own", different);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        forget(&got);
        lo.slots = ways[w].slots;
        expect_ok(ask(&got, &lo, &warm, ways[w].threads), &err);
        expect_same(&want, &got, "slots and threads");
    }
    forget(&got);
    for (size_t i = 0; i < N; i += 2) message[i].len = 5; /* other neighbours */
    expect_ok(ask(&got, &lo, &warm, 1), &err);
    for (size_t i = 1; i < N; i += 2) cr_assert_str_eq(got.text[i].bytes, want.text[i].bytes);
    forget(&want);
    forget(&got);
}

/* What decoding row by row with the same ids gives. */
static void decode_alone(guard_buf *out, const guard_question *q, const guard_chat *chat, const guard_ask_options *o)
{
    unsigned char *banned = calloc(nn_model_config(model)->vocab, 1);
    int32_t drawn[64];
    char piece[4096];
    nn_tok_buf ids = {0};
    nn_decoder *d = NULL;
    nn_exec x;
    nn_tok_stream s;

    expect_ok(nn_exec_open(&x, NULL, 1, CONTEXT, &err), &err);
    expect_ok(guard_chat_encode(&ids, tok, chat, q->message, 1, true, &err), &err);
    for (size_t i = 0; i < nn_tok_vocab(tok); i++) banned[i] = nn_tok_is_control(tok, (int32_t)i);
    banned[nn_tok_eos(tok)] = banned[nn_tok_bos(tok)] = banned[guard_chat_stop(chat, tok)] = 0;
    nn_sampler sampler = {.temperature = o->temperature, .top_p = o->top_p, .banned = banned, .stop = -1};
    nn_decode_row row = {.prompt = ids.ids, .n_prompt = ids.len, .max_new = o->max_tokens, .out = drawn,
                         .rng = nn_rng_at(q->seed, "answer", 0)};
    expect_ok(nn_decoder_build(&d, model, 1, &err), &err);
    nn_decode_batch(model, d, &x, &row, 1, &sampler, NULL, NULL);
    nn_tok_stream_init(&s, tok);
    for (size_t i = 0; i < row.n_out; i++) {
        if (drawn[i] == nn_tok_eos(tok) || drawn[i] == nn_tok_bos(tok) || drawn[i] == guard_chat_stop(chat, tok)) break;
        guard_buf_add(out, piece, nn_tok_stream_add(&s, piece, drawn[i]));
    }
    guard_buf_add(out, piece, nn_tok_stream_end(&s, piece));
    nn_decoder_free(d);
    nn_tok_buf_free(&ids);
    nn_exec_free(&x);
    free(banned);
}

Test(ask_local, an_answer_is_what_the_model_says_to_the_chats_ids)
{
    const guard_local_options lo = chat_options(3);
    static heard got;
    size_t ended = 0;

    ask_n();
    expect_ok(ask(&got, &lo, &warm, 1), &err);
    for (size_t i = 0; i < N; i += 3) {
        guard_buf want = {0};

        decode_alone(&want, question + i, lo.chat, &warm);
        cr_assert(want.len == got.text[i].len && memcmp(want.bytes, got.text[i].bytes, want.len) == 0, "question %zu",
                  i);
        ended += want.len == 0;
        guard_buf_free(&want);
    }
    cr_assert_lt(ended, N / 3 / 2);
    forget(&got);
}

Test(ask_local, an_answer_ends_before_its_stop)
{
    const guard_local_options lo = chat_options(4);
    static heard whole, cut;
    guard_ask_options o = warm;
    size_t n_cut = 0;

    ask_n();
    expect_ok(ask(&whole, &lo, &warm, 1), &err);
    o.stop = "e";
    expect_ok(ask(&cut, &lo, &o, 1), &err);
    for (size_t i = 0; i < N; i++) {
        const char *at = strstr(whole.text[i].bytes, "e");
        const size_t want = at ? (size_t)(at - whole.text[i].bytes) : whole.text[i].len;

        n_cut += at != NULL;
        cr_assert(cut.text[i].len == want, "question %zu: '%s', '%s'", i, whole.text[i].bytes, cut.text[i].bytes);
        cr_assert(strncmp(cut.text[i].bytes, whole.text[i].bytes, want) == 0);
    }
    cr_assert_gt(n_cut, 2);
    forget(&whole);
    forget(&cut);
}

/* A stop that begins in one token and ends in another: two neighbouring bytes of a whole answer. */
Test(ask_local, a_stop_may_reach_over_tokens)
{
    const guard_local_options lo = chat_options(4);
    static heard whole, cut;
    guard_ask_options o = warm;
    char stop[4] = "";
    size_t met = 0;

    ask_n();
    expect_ok(ask(&whole, &lo, &warm, 1), &err);
    for (size_t i = 0; i < N && met == 0; i++) {
        for (size_t k = 1; k + 3 < whole.text[i].len && met == 0; k++) {
            const char *s = whole.text[i].bytes + k;
            if ((unsigned char)s[0] >= 0x80 || (unsigned char)s[1] >= 0x80 || (unsigned char)s[2] >= 0x80) continue;
            memcpy(stop, s, 3);
            o.stop = stop;
            forget(&cut);
            expect_ok(ask(&cut, &lo, &o, 1), &err);
            const size_t want = (size_t)(strstr(whole.text[i].bytes, stop) - whole.text[i].bytes);
            cr_assert_eq(cut.text[i].len, want, "'%s' in '%s': '%s'", stop, whole.text[i].bytes, cut.text[i].bytes);
            met++;
        }
    }
    cr_assert_gt(met, 0);
    forget(&whole);
    forget(&cut);
}

Test(ask_local, what_does_not_fit_into_the_context_is_refused_with_the_numbers)
{
    const guard_local_options lo = chat_options(4);
    static char longest[4000];
    static heard got;

    ask_n();
    memset(longest, 'x', sizeof longest - 1);
    message[3] = (guard_message){GUARD_ROLE_USER, longest, sizeof longest - 1};
    message[N - 1] = message[3];
    expect_ok(ask(&got, &lo, &warm, 1), &err);
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(got.end[i], i == 3 || i == N - 1 ? GUARD_REFUSED : GUARD_ANSWERED, "%zu", i);
    cr_assert(strstr(got.text[3].bytes, "answer of up to 12, want 193 at most together"), "%s", got.text[3].bytes);
    forget(&got);
}

/* The last token drawn is not fed back, so prompt and answer may have one token more than there are positions. */
Test(ask_local, the_last_place_of_the_context_is_used)
{
    const guard_local_options lo = chat_options(1);
    nn_tok_buf ids = {0};
    guard_ask_options o = warm;
    static heard got;

    ask_n();
    for (size_t i = 1; i < N; i++) message[i] = message[0];
    expect_ok(guard_chat_encode(&ids, tok, lo.chat, message, 1, true, &err), &err);
    o.max_tokens = CONTEXT + 1 - ids.len;
    expect_ok(ask(&got, &lo, &o, 1), &err);
    cr_assert_eq(got.end[0], GUARD_ANSWERED);
    forget(&got);
    o.max_tokens++;
    guard_backend *b = NULL;
    static toy_job t;
    toy_job_open(&t, 1, NULL);
    expect_ok(guard_backend_local(&b, &lo, &err), &err);
    got.fail_at = SIZE_MAX;
    expect_ok(guard_backend_ask(b, question, N, &o, hear, &got, &t.job, &err), &err);
    cr_assert_eq(got.end[0], GUARD_REFUSED);
    guard_backend_free(b);
    toy_job_close(&t);
    nn_tok_buf_free(&ids);
    forget(&got);
}

Test(ask_local, a_stopped_job_has_told_what_was_finished)
{
    const guard_local_options lo = chat_options(3);
    static heard want, got;

    ask_n();
    expect_ok(ask(&want, &lo, &warm, 1), &err);
    got.stop_after = 7;
    cr_assert_eq(ask(&got, &lo, &warm, 1), NN_STOP);
    cr_assert_eq(got.told, 7);
    for (size_t i = 0; i < N; i++)
        cr_assert(!got.text[i].bytes || strcmp(got.text[i].bytes, want.text[i].bytes) == 0, "question %zu", i);
    forget(&want);
    forget(&got);
}

Test(ask_local, an_answer_that_cannot_be_kept_ends_the_call)
{
    const guard_local_options lo = chat_options(3);
    static heard got;

    ask_n();
    got.fail_at = 5;
    expect_fails(ask(&got, &lo, &warm, 1), NN_LIMIT, &err, "the disk is full");
    cr_assert_eq(got.told, 5);
    forget(&got);
}

Test(ask_local, without_a_chat_it_goes_on_with_the_text)
{
    guard_local_options lo = chat_options(4);
    static heard got, again;

    ask_n();
    lo.chat = NULL;
    message[2].len = 0; /* what begins a text stands before it */
    expect_ok(ask(&got, &lo, &warm, 1), &err);
    lo.slots = 1;
    expect_ok(ask(&again, &lo, &warm, 2), &err);
    expect_same(&got, &again, "plain");
    cr_assert_eq(got.end[2], GUARD_ANSWERED);
    forget(&got);
    forget(&again);
    question[1].n_message = 2;
    expect_fails(ask(&got, &lo, &warm, 1), NN_USAGE, &err, "question 2: 2 messages, want 1");
}

Test(ask_local, messages_out_of_turn_name_the_question)
{
    const guard_local_options lo = chat_options(4);
    static heard got;

    ask_n();
    message[4].role = GUARD_ROLE_ASSISTANT;
    expect_fails(ask(&got, &lo, &warm, 1), NN_CONTENT, &err, "question 5: ");
    cr_assert_eq(got.told, 0);
    forget(&got);
}

Test(ask_local, the_identity_says_what_an_answer_depends_on)
{
    static const int32_t more[] = {7, 2, -1};
    guard_local_options o[5];
    char id[5][256];

    for (size_t i = 0; i < 5; i++) o[i] = chat_options(4);
    o[1].chat = NULL;
    o[2].hash = "abd";
    o[3].round_inputs = true;
    o[4].stop = more;
    o[4].n_stop = 3;
    for (size_t i = 0; i < 5; i++) {
        guard_backend *b = NULL;

        expect_ok(guard_backend_local(&b, o + i, &err), &err);
        snprintf(id[i], sizeof id[i], "%s", guard_backend_identity(b));
        cr_assert_eq(guard_backend_completes(b), i == 1);
        guard_backend_free(b);
        for (size_t k = 0; k < i; k++) cr_assert_str_neq(id[i], id[k]);
    }
    cr_assert_str_eq(id[0], "{\"kind\":\"local\",\"model\":\"abc\",\"chat\":\"chatml\",\"stop\":[2,1,4],"
                            "\"context\":192,\"round_inputs\":false}");
    cr_assert(strstr(id[4], "\"stop\":[2,1,4,7],") != NULL, "%s", id[4]);
}

Test(ask_local, what_writes_no_text_is_refused)
{
    guard_local_options o = chat_options(0);
    guard_backend *b = NULL;

    expect_fails(guard_backend_local(&b, &o, &err), NN_USAGE, &err, "0 slots");
    cr_assert_null(b);
}

Test(ask_local, every_failing_allocation_is_reported)
{
    const guard_local_options lo = chat_options(4);
    static heard got;
    static toy_job t;
    nn_status st = NN_LIMIT;

    ask_n();
    toy_job_open(&t, 1, NULL);
    for (long n = 0; st != NN_OK; n++) {
        guard_backend *b = NULL;

        cr_assert(n < 2000);
        forget(&got);
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = guard_backend_local(&b, &lo, &err);
        if (st == NN_OK) st = guard_backend_ask(b, question, N, &warm, hear, &got, &t.job, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld: %s", n, err.text);
        guard_backend_free(b);
    }
    cr_assert_eq(got.told, N);
    forget(&got);
    toy_job_close(&t);
}

/* Through guard_ask, on the shared model: words of a story are no verdict, and that is counted. */
Test(ask_local, a_model_that_knows_nothing_is_counted_out)
{
    static const char *const words[] = {"safe", "unsafe"};
    static const guard_answer_grammar verdict = {.kind = GUARD_ANSWER_ONE_OF, .word = words, .n_word = 2},
                                      any = {.kind = GUARD_ANSWER_TEXT};
    const char *name = "fixtures/llama2xs/llama2xs_F16.gguf";
    const nn_load_options load = {.max_t = 128};
    const guard_ask_options o = {0.0f, 1.0f, 8, NULL};
    nn_pretrained *p = NULL;
    nn_model *m = NULL;
    nn_tok *t = NULL;
    guard_backend *b = NULL;
    guard_store *store = NULL;
    guard_ask_counts counts;
    static guard_asked out[N];
    static toy_job job;

    skip_unless_fixture(name);
    ask_n();
    toy_job_open(&job, 2, NULL);
    expect_ok(nn_pretrained_open(&p, shared_path(name), &err), &err);
    expect_ok(nn_pretrained_tok(&t, p, NULL, &err), &err);
    expect_ok(nn_pretrained_load(&m, p, &load, &err), &err);
    const guard_local_options lo = {.model = m, .tok = t, .hash = "x", .slots = 8};
    expect_ok(guard_backend_local(&b, &lo, &err), &err);
    expect_ok(guard_store_build(&store, &err), &err);
    expect_ok(guard_ask(out, &counts, b, question, 6, &o, &verdict, store, false, &job.job, &err), &err);
    cr_assert(counts.retried == 6 && counts.dropped == 6 && counts.refused == 0);
    memset(out, 0, sizeof out);
    expect_ok(guard_ask(out, &counts, b, question, 6, &o, &any, store, true, &job.job, &err), &err);
    cr_assert(counts.cached == 6 && counts.dropped == 0);
    for (size_t i = 0; i < 6; i++) {
        cr_assert(out[i].ok && out[i].answer.text[0].n > 0);
        guard_answer_free(&out[i].answer);
    }
    guard_store_free(store);
    guard_backend_free(b);
    toy_job_close(&job);
    nn_model_free(m);
    nn_tok_free(t);
    nn_pretrained_close(p);
}
