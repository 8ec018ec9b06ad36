/* cmd_generate_text.c - one text from a language model that somebody trained, printed as it comes.
 *
 * Reads: cmd_generate.h, cmd_adapter.h, chat.h, nn/pretrained.h, nn/decode.h.
 * Only the text goes to standard output: no prompt, no newline of ours unless a terminal reads. Whole characters, after
 * each token. It ends at the model's stop ids, at BOS (another document begins), where --stop would come, after
 * --max-tokens, or on a signal. Control tokens may be drawn and have no text.
 */
#include "guard/chat.h"
#include "guard/cmd_adapter.h"
#include "guard/cmd_generate.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/pretrained.h"
#include <stdio.h>
#include <string.h>

#define PROMPT_MAX_BYTES ((size_t)64 << 20)
#define MAX_STOPS 18
#define MAX_TOKENS 256 /* when none are asked for */

typedef struct {
    nn_pretrained *file;
    nn_tok *tok;
    nn_model *model;
    nn_decoder *decoder;
    nn_exec exec;
    nn_tok_buf prompt;
    const guard_chat *chat; /* NULL: plain text */
    bool goes_on;           /* the text goes on after a prompt */
    int32_t stop[MAX_STOPS];
    size_t n_stop, max_tokens;
} session;

/* --- what is printed ---------------------------------------------------------------------------------------- */

typedef struct {
    const session *s;
    nn_decode_row *row;
    nn_tok_stream stream;
    const char *stop; /* --stop, or NULL */
    size_t stop_len;
    char *held; /* text that may be the beginning of it */
    size_t n_held, cap;
    char last;       /* byte printed last, 0 before the first */
    bool met;        /* --stop has come */
    bool unwritten;  /* standard output is gone */
} printer;

static void print(printer *p, size_t n)
{
    if (n == 0) return;
    if (!cmd_write(p->held, n)) p->unwritten = true;
    p->last = p->held[n - 1];
    memmove(p->held, p->held + n, p->n_held - n);
    p->n_held -= n;
}

/* Prints all that cannot be a part of --stop. */
static void print_up_to_stop(printer *p)
{
    for (size_t i = 0; i < p->n_held && p->stop; i++) {
        const size_t left = p->n_held - i, n = left < p->stop_len ? left : p->stop_len;
        if (memcmp(p->held + i, p->stop, n) != 0) continue;
        print(p, i);
        p->met = n == p->stop_len;
        return;
    }
    print(p, p->n_held);
}

static bool is_stop(const session *s, int32_t id)
{
    for (size_t i = 0; i < s->n_stop; i++)
        if (s->stop[i] == id) return true;
    return false;
}

static void on_token(void *ctx, size_t row, size_t pos, int32_t id)
{
    printer *p = ctx;
    const bool end = is_stop(p->s, id);

    (void)row;
    if (!end) {
        p->n_held += nn_tok_stream_add(&p->stream, p->held + p->n_held, id);
        print_up_to_stop(p);
    }
    if (end || p->met || p->unwritten || nn_stop_signal() != 0) p->row->max_new = pos + 1; /* the row ends here */
}

/* What was held back is text after all, unless it was --stop. */
static void print_rest(printer *p)
{
    if (!p->met) {
        p->n_held += nn_tok_stream_end(&p->stream, p->held + p->n_held);
        print(p, p->n_held);
    }
    if (p->last && p->last != '\n' && nn_is_tty(1)) putchar('\n');
}

static nn_status draw(session *s, const generate_wishes *w, const char *stop, nn_err *err)
{
    nn_decode_row row = {.prompt = s->prompt.ids, .n_prompt = s->prompt.len, .max_new = s->max_tokens,
                         .rng = nn_rng_at(w->seed, "generate", 0)};
    printer p = {.s = s, .row = &row, .stop = stop, .stop_len = stop ? strlen(stop) : 0};
    nn_status st;

    p.cap = p.stop_len + 2 * nn_tok_stream_room(s->tok);
    if ((st = nn_alloc((void **)&p.held, p.cap, 1, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&row.out, s->max_tokens, sizeof *row.out, err)) != NN_OK) goto done;
    if (s->goes_on) nn_tok_stream_continue(&p.stream, s->tok);
    else nn_tok_stream_init(&p.stream, s->tok);
    nn_decode_batch(s->model, s->decoder, &s->exec, &row, 1, &w->sampler, on_token, &p);
    print_rest(&p);
    if (nn_stop_signal() != 0) st = nn_fail(err, NN_STOP, "stopped after %zu tokens", row.n_out);
done:
    nn_free(p.held);
    nn_free(row.out);
    return st;
}

/* --- what is asked -------------------------------------------------------------------------------------------- */

static nn_status read_prompt(nn_file *f, const char *given, const char **text, size_t *len, nn_err *err)
{
    *text = given ? given : "";
    *len = strlen(*text);
    if (!given || strcmp(given, "-") != 0) return NN_OK;
    const nn_status st = nn_file_read(f, "-", PROMPT_MAX_BYTES, err);
    if (st == NN_OK && f->bytes) *text = (const char *)f->bytes;
    *len = f->len;
    return st;
}

static nn_status add_bos(session *s, nn_err *err)
{
    const nn_status st = nn_tok_buf_reserve(&s->prompt, 1, 0, err);

    if (st != NN_OK) return st;
    s->prompt.ids[s->prompt.len] = nn_tok_bos(s->tok);
    s->prompt.start[s->prompt.len++] = 0;
    return NN_OK;
}

static nn_status plain_prompt(session *s, const char *text, size_t len, nn_err *err)
{
    nn_status st = NN_OK;

    if (len == 0 && nn_tok_bos(s->tok) < 0)
        return nn_fail(err, NN_USAGE, "%s: its tokenizer has no token that begins a text, want --prompt",
                       nn_pretrained_path(s->file));
    if (len == 0 || (nn_tok_adds_bos(s->tok) && nn_tok_bos(s->tok) >= 0)) st = add_bos(s, err);
    s->goes_on = len > 0;
    return st == NN_OK && len > 0 ? nn_tok_encode(s->tok, &s->prompt, text, len, err) : st;
}

static nn_status find_chat(session *s, const char *name, nn_err *err)
{
    char names[256];
    size_t len = 0;
    const char *text = nn_pretrained_chat_template(s->file, &len);

    if (name[0] != '\0') {
        s->chat = guard_chat_find(name);
        return s->chat ? NN_OK
                       : nn_fail(err, NN_USAGE, "--chat: '%s' is no family, want one of %s", name,
                                 guard_chat_names(names, sizeof names));
    }
    if (!text)
        return nn_fail(err, NN_USAGE, "--chat: %s has no chat template, want --chat NAME: %s",
                       nn_pretrained_path(s->file), guard_chat_names(names, sizeof names));
    return guard_chat_of_template(&s->chat, text, len, err);
}

static nn_status chat_prompt(session *s, const char *name, const char *system, const char *text, size_t len,
                             nn_err *err)
{
    const guard_message m[] = {{GUARD_ROLE_SYSTEM, system, system ? strlen(system) : 0}, {GUARD_ROLE_USER, text, len}};
    nn_status st = find_chat(s, name, err);

    if (st == NN_OK && len == 0) st = nn_fail(err, NN_USAGE, "--chat: no message, want --prompt TEXT");
    if (st != NN_OK) return st;
    return guard_chat_encode(&s->prompt, s->tok, s->chat, system ? m : m + 1, system ? 2 : 1, true, err);
}

static nn_status make_prompt(session *s, const cmd_line *line, nn_err *err)
{
    const char *chat = cmd_given(line, "--chat"), *text = "";
    nn_file in = {0};
    size_t len = 0;
    nn_status st = read_prompt(&in, cmd_given(line, "--prompt"), &text, &len, err);

    if (st == NN_OK && chat) st = chat_prompt(s, chat, cmd_given(line, "--system"), text, len, err);
    else if (st == NN_OK) st = plain_prompt(s, text, len, err);
    nn_file_close(&in);
    return st;
}

/* The last token drawn is not fed back, so it needs no place. */
static nn_status fit_context(session *s, const cmd_line *line, nn_err *err)
{
    const size_t context = nn_pretrained_config(s->file)->max_t, n = s->prompt.len;
    uint64_t asked = 0;

    if (n > context)
        return nn_fail(err, NN_LIMIT, "%s: the prompt has %zu tokens, want at most the model's context, %zu",
                       nn_pretrained_path(s->file), n, context);
    const size_t room = context - n + 1;
    const nn_status st = cmd_number(line, "--max-tokens", 1, UINT32_MAX, MAX_TOKENS < room ? MAX_TOKENS : room, &asked,
                                    err);
    if (st == NN_OK && asked > room)
        return nn_fail(err, NN_LIMIT,
                       "--max-tokens %llu: the model's context of %zu has room for %zu after the prompt's %zu",
                       (unsigned long long)asked, context, room, n);
    s->max_tokens = (size_t)asked;
    return st;
}

static void find_stops(session *s)
{
    s->n_stop = nn_pretrained_stops(s->file, s->stop, MAX_STOPS - 2);
    if (nn_tok_bos(s->tok) >= 0) s->stop[s->n_stop++] = nn_tok_bos(s->tok);
    if (s->chat && guard_chat_stop(s->chat, s->tok) >= 0) s->stop[s->n_stop++] = guard_chat_stop(s->chat, s->tok);
}

/* --- together --------------------------------------------------------------------------------------------------- */

static nn_status load(session *s, const generate_wishes *w, bool exact, nn_err *err)
{
    nn_config c = *nn_pretrained_config(s->file);
    nn_load_options o = {.max_t = s->prompt.len + s->max_tokens - 1};
    nn_status st;

    c.max_t = o.max_t;
    o.extra = nn_decoder_bytes(&c, 1);
    if ((st = nn_pretrained_load(&s->model, s->file, &o, err)) != NN_OK) return st;
    if ((st = nn_exec_open(&s->exec, NULL, (size_t)w->threads, o.max_t, err)) != NN_OK) return st;
    if ((st = nn_decoder_build(&s->decoder, s->model, 1, err)) != NN_OK) return st;
    nn_decoder_round_inputs(s->decoder, !exact);
    return NN_OK;
}

nn_status generate_text(const cmd_line *line, const char *model, const generate_wishes *w, nn_err *err)
{
    const char *stop = cmd_given(line, "--stop");
    session s = {0};
    nn_status st;

    if (stop && stop[0] == '\0') return nn_fail(err, NN_USAGE, "--stop: no text, want what ends the output");
    if ((st = nn_pretrained_open(&s.file, model, err)) != NN_OK) goto done;
    if ((st = nn_pretrained_tok(&s.tok, s.file, cmd_given(line, "--tokenizer"), err)) != NN_OK) goto done;
    if ((st = cmd_adapt(line, s.file, err)) != NN_OK) goto done;
    if ((st = make_prompt(&s, line, err)) != NN_OK) goto done;
    if ((st = fit_context(&s, line, err)) != NN_OK) goto done;
    find_stops(&s);
    if ((st = load(&s, w, cmd_given(line, "--exact") != NULL, err)) != NN_OK) goto done;
    st = draw(&s, w, stop, err);
done:
    nn_decoder_free(s.decoder);
    nn_exec_free(&s.exec);
    nn_model_free(s.model);
    nn_tok_buf_free(&s.prompt);
    nn_tok_free(s.tok);
    nn_pretrained_close(s.file);
    return st;
}
