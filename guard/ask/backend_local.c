/* backend_local.c - questions to a model in this process, many at once.
 *
 * Reads: backend.h, nn/decode.h, nn/tok.h.   Read next: ask.c.
 * Question i is a row of the decoder: its ids are drawn from (seed of the question, "answer", position), so who else is
 * asked beside it, in how many slots and on how many threads, changes nothing. An answer is told as soon as its row
 * ends, while others go on; so what a stopped job has paid for is kept.
 */
#include "guard/ask/backend.h"
#include "guard/folder.h"
#include "nn/arena.h"
#include "nn/decode.h"
#include <stdio.h>
#include <string.h>

#define MAX_SLOTS 256u
/* Questions whose prompts are held at once, to a slot: a slot is refilled without waiting for others, and weights that
 * a decoder packs are packed once in so many. */
#define PER_SLOT 16u
#define MAX_STOPS 32u

typedef struct {
    guard_backend base;
    const nn_model *model;
    const nn_tok *tok;
    const guard_chat *chat;
    unsigned char *banned; /* [vocab] never drawn */
    int32_t stop[MAX_STOPS];
    size_t n_stop;
    size_t slots;
    bool round_inputs;
} local;

/* --- one answer as it comes ------------------------------------------------------------------ */

typedef struct {
    size_t question, at, n; /* its prompt in the session's ids */
    nn_tok_stream stream;
    guard_buf text;
} talk;

typedef struct {
    const local *b;
    const guard_question *q;
    size_t n;
    const guard_ask_options *o;
    size_t stop_len;
    guard_answer_fn answer;
    void *ctx;
    guard_job *job;
    nn_err *err;
    nn_status st; /* not NN_OK: no row goes on */
    size_t done;  /* answers told */
    nn_decoder *decoder;
    nn_tok_buf ids; /* prompts of the part at hand */
    talk *talk;
    nn_decode_row *row;
    size_t n_row, room; /* talks and rows in use; of them */
    int32_t *drawn;     /* [room x max_tokens] */
    char *piece;        /* nn_tok_stream_room */
} session;

static bool ends(const local *b, int32_t id)
{
    for (size_t i = 0; i < b->n_stop; i++)
        if (b->stop[i] == id) return true;
    return false;
}

/* Cuts the text where o->stop begins; only the last `fresh` bytes can complete it. */
static bool cut_at_stop(const session *s, guard_buf *t, size_t fresh)
{
    const size_t n = s->stop_len;

    if (n == 0 || t->len < n) return false;
    for (size_t i = t->len - fresh >= n ? t->len - fresh - n + 1 : 0; i + n <= t->len; i++) {
        if (memcmp(t->bytes + i, s->o->stop, n) != 0) continue;
        t->len = i;
        t->bytes[i] = '\0';
        return true;
    }
    return false;
}

static bool add_piece(session *s, talk *t, size_t n)
{
    guard_buf_add(&t->text, s->piece, n);
    if (s->st == NN_OK) s->st = guard_buf_status(&t->text, s->err);
    return s->st == NN_OK && cut_at_stop(s, &t->text, n);
}

/* Rows that have not begun are passed by, others end with their next token. */
static void halt(session *s)
{
    for (size_t i = 0; i < s->n_row; i++)
        if (s->row[i].n_out == 0) s->row[i].max_new = 0;
}

static void tell(session *s, size_t question, guard_answer_end end, const char *text, size_t len)
{
    if (s->st == NN_OK) s->st = s->answer(s->ctx, question, end, text, len, s->err);
    if (s->st == NN_OK) s->done++;
}

static void on_token(void *ctx, size_t row, size_t pos, int32_t id)
{
    session *s = ctx;
    talk *t = s->talk + row;
    nn_decode_row *r = s->row + row;
    bool over = ends(s->b, id), met = false;

    if (s->st != NN_OK) {
        r->max_new = pos + 1;
        return;
    }
    if (!over) met = add_piece(s, t, nn_tok_stream_add(&t->stream, s->piece, id));
    over = over || met || pos + 1 == r->max_new;
    if (over) {
        r->max_new = pos + 1;
        if (!met) add_piece(s, t, nn_tok_stream_end(&t->stream, s->piece));
        tell(s, t->question, GUARD_ANSWERED, t->text.bytes, t->text.len);
    }
    if (s->st == NN_OK && !guard_job_go_on(s->job, s->done, s->n, "questions"))
        s->st = nn_fail(s->err, NN_STOP, "model: stopped after %zu of %zu questions", s->done, s->n);
    if (s->st != NN_OK) {
        r->max_new = pos + 1;
        halt(s);
    }
}

/* --- prompts ---------------------------------------------------------------------------------- */

static nn_status add_bos(session *s, nn_err *err)
{
    const int32_t bos = nn_tok_bos(s->b->tok);
    nn_status st;

    if (bos < 0 || !(nn_tok_is_own(s->b->tok) || nn_tok_adds_bos(s->b->tok))) return NN_OK;
    if ((st = nn_tok_buf_reserve(&s->ids, 1, 0, err)) != NN_OK) return st;
    s->ids.ids[s->ids.len] = bos;
    s->ids.start[s->ids.len++] = 0;
    return NN_OK;
}

static nn_status encode(session *s, const guard_question *q, nn_err *err)
{
    const local *b = s->b;
    nn_status st;

    if (b->chat) return guard_chat_encode(&s->ids, b->tok, b->chat, q->message, q->n_message, true, err);
    if ((st = add_bos(s, err)) != NN_OK) return st;
    return nn_tok_encode(b->tok, &s->ids, q->message->text, q->message->len, err);
}

static void refuse(session *s, size_t question, size_t n)
{
    char why[200];
    const size_t context = nn_model_config(s->b->model)->max_t;

    if (n == 0) snprintf(why, sizeof why, "no prompt, want at least one token");
    else
        snprintf(why, sizeof why, "prompt of %zu tokens and answer of up to %zu, want %zu at most together", n,
                 s->o->max_tokens, context + 1);
    tell(s, question, GUARD_REFUSED, why, strlen(why));
}

/* Question i becomes a row, unless it does not fit: the last token drawn is not fed back and needs no place. */
static void begin(session *s, size_t i)
{
    const local *b = s->b;
    const size_t at = s->ids.len, context = nn_model_config(b->model)->max_t;
    const guard_question *q = s->q + i;
    char where[48];

    if ((s->st = encode(s, q, s->err)) != NN_OK) {
        snprintf(where, sizeof where, "question %zu", i + 1);
        nn_err_prefix(s->err, where);
        return;
    }
    const size_t n = s->ids.len - at;
    if (n == 0 || n > context || s->o->max_tokens - 1 > context - n) {
        s->ids.len = at;
        refuse(s, i, n);
        return;
    }
    talk *t = s->talk + s->n_row;
    t->question = i;
    t->at = at;
    t->n = n;
    guard_buf_clear(&t->text);
    guard_buf_str(&t->text, ""); /* a zero byte also behind nothing */
    if (b->chat || q->message->len == 0) nn_tok_stream_init(&t->stream, b->tok);
    else nn_tok_stream_continue(&t->stream, b->tok);
    s->n_row++;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Questions [first, last). */
static void ask_part(session *s, size_t first, size_t last)
{
    const nn_sampler sampler = {.temperature = s->o->temperature, .top_p = s->o->top_p, .banned = s->b->banned,
                                .stop = -1};

    s->n_row = s->ids.len = 0;
    for (size_t i = first; i < last && s->st == NN_OK; i++) begin(s, i);
    if (s->st != NN_OK) return;
    for (size_t k = 0; k < s->n_row; k++) {
        const talk *t = s->talk + k;
        s->row[k] = (nn_decode_row){.prompt = s->ids.ids + t->at,
                                    .n_prompt = t->n,
                                    .max_new = s->o->max_tokens,
                                    .out = s->drawn + k * s->o->max_tokens,
                                    .rng = nn_rng_at(s->q[t->question].seed, "answer", 0)};
    }
    nn_decode_batch(s->b->model, s->decoder, s->job->exec, s->row, s->n_row, &sampler, on_token, s);
    for (size_t k = 0; k < s->n_row; k++) s->job->tokens_used += s->row[k].n_out;
}

static nn_status open_session(session *s, nn_err *err)
{
    const local *b = s->b;
    const size_t slots = b->slots < s->n ? b->slots : s->n, context = nn_model_config(b->model)->max_t;
    nn_status st;

    /* No row draws more than there are positions: a larger max_tokens fits no question. */
    const size_t each = s->o->max_tokens < context ? s->o->max_tokens : context;
    s->room = slots * PER_SLOT < s->n ? slots * PER_SLOT : s->n;
    if ((st = nn_alloc((void **)&s->talk, s->room, sizeof *s->talk, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&s->row, s->room, sizeof *s->row, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&s->drawn, s->room * each, sizeof *s->drawn, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&s->piece, nn_tok_stream_room(b->tok), 1, err)) != NN_OK) return st;
    if ((st = nn_decoder_build(&s->decoder, b->model, slots, err)) != NN_OK) return st;
    nn_decoder_round_inputs(s->decoder, b->round_inputs);
    return NN_OK;
}

static void close_session(session *s)
{
    for (size_t i = 0; i < s->room && s->talk; i++) guard_buf_free(&s->talk[i].text);
    nn_free(s->talk);
    nn_free(s->row);
    nn_free(s->drawn);
    nn_free(s->piece);
    nn_tok_buf_free(&s->ids);
    nn_decoder_free(s->decoder);
}

static nn_status ask(guard_backend *base, const guard_question *q, size_t n, const guard_ask_options *o,
                     guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err)
{
    const local *b = (const local *)base;
    session s = {.b = b, .q = q, .n = n, .o = o, .answer = answer, .ctx = ctx, .job = job, .err = err};

    NN_ASSERT(job && job->exec);
    if (nn_exec_scratch_floats(job->exec->k, nn_model_config(b->model)->max_t) > job->exec->scratch_len)
        return nn_fail(err, NN_LIMIT, "model: loaded for %zu tokens, more than there is scratch for",
                       nn_model_config(b->model)->max_t);
    s.stop_len = o->stop ? strlen(o->stop) : 0;
    s.st = open_session(&s, err);
    for (size_t i = 0; i < n && s.st == NN_OK; i += s.room) ask_part(&s, i, n - i < s.room ? n : i + s.room);
    close_session(&s);
    return s.st;
}

/* --- build ------------------------------------------------------------------------------------ */

static nn_status add_stop(local *b, int32_t id, nn_err *err)
{
    if (id < 0 || ends(b, id)) return NN_OK;
    if (b->n_stop == MAX_STOPS)
        return nn_fail(err, NN_USAGE, "model: more than %u ids that end a text, want at most that", MAX_STOPS);
    b->stop[b->n_stop++] = id;
    return NN_OK;
}

static nn_status find_stops(local *b, const guard_local_options *o, nn_err *err)
{
    nn_status st;

    if ((st = add_stop(b, nn_tok_eos(o->tok), err)) != NN_OK) return st;
    if ((st = add_stop(b, nn_tok_bos(o->tok), err)) != NN_OK) return st;
    if (o->chat && (st = add_stop(b, guard_chat_stop(o->chat, o->tok), err)) != NN_OK) return st;
    for (size_t i = 0; i < o->n_stop; i++)
        if ((st = add_stop(b, o->stop[i], err)) != NN_OK) return st;
    return NN_OK;
}

/* What has no text: control tokens, ids that the tokenizer does not have. Those that end an answer may be drawn. */
static nn_status ban(local *b, nn_err *err)
{
    const size_t V = nn_model_config(b->model)->vocab, n = nn_tok_vocab(b->tok);
    const nn_status st = nn_alloc((void **)&b->banned, V, 1, err);

    if (st != NN_OK) return st;
    for (size_t i = 0; i < V; i++) {
        size_t len = 0;

        if (i < n) (void)nn_tok_bytes(b->tok, (int32_t)i, &len);
        b->banned[i] = (len == 0 || nn_tok_is_control(b->tok, (int32_t)i)) && !ends(b, (int32_t)i);
    }
    return NN_OK;
}

static nn_status identify(local *b, const guard_local_options *o, nn_err *err)
{
    guard_buf t = {0};

    guard_buf_str(&t, "{\"kind\":\"local\"");
    guard_put_str(&t, "model", o->hash);
    guard_json_key(&t, "chat");
    if (o->chat) guard_json_str(&t, guard_chat_name(o->chat), strlen(guard_chat_name(o->chat)));
    else guard_json_null(&t);
    guard_json_key(&t, "stop");
    guard_buf_str(&t, "[");
    for (size_t i = 0; i < b->n_stop; i++) {
        guard_json_comma(&t);
        guard_json_u64(&t, (uint64_t)b->stop[i]);
    }
    guard_buf_str(&t, "]");
    guard_put_u64(&t, "context", nn_model_config(o->model)->max_t);
    guard_json_key(&t, "round_inputs");
    guard_json_bool(&t, o->round_inputs);
    guard_buf_str(&t, "}");
    nn_status st = guard_buf_status(&t, err);
    if (st == NN_OK) st = guard_text_copy(&b->base.identity, t.bytes, t.len, err);
    guard_buf_free(&t);
    return st;
}

static void local_free(guard_backend *b)
{
    nn_free(((local *)b)->banned);
}

nn_status guard_backend_local(guard_backend **out, const guard_local_options *o, nn_err *err)
{
    const nn_config *c = nn_model_config(o->model);
    local *b = NULL;
    nn_status st;

    *out = NULL;
    if (o->slots == 0 || o->slots > MAX_SLOTS)
        return nn_fail(err, NN_USAGE, "model: %zu slots, want 1 to %u", o->slots, MAX_SLOTS);
    if (!c->lm_head || c->memory_rows > 0)
        return nn_fail(err, NN_USAGE, "model: it writes no text, want next-token logits and no n-gram memory");
    if (nn_tok_vocab(o->tok) > c->vocab)
        return nn_fail(err, NN_USAGE, "model: %zu ids, the tokenizer %zu, want one vocabulary", c->vocab,
                       nn_tok_vocab(o->tok));
    if ((st = nn_alloc((void **)&b, 1, sizeof *b, err)) != NN_OK) return st;
    b->base.ask = ask;
    b->base.free = local_free;
    b->base.completes = o->chat == NULL;
    b->model = o->model;
    b->tok = o->tok;
    b->chat = o->chat;
    b->slots = o->slots;
    b->round_inputs = o->round_inputs;
    if ((st = find_stops(b, o, err)) != NN_OK) goto done;
    if ((st = ban(b, err)) != NN_OK) goto done;
    if ((st = identify(b, o, err)) != NN_OK) goto done;
    *out = &b->base;
    b = NULL;
done:
    if (b) guard_backend_free(&b->base);
    return st;
}
