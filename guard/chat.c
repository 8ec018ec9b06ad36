/* chat.c - the families, and a conversation written as one of them.
 *
 * Reads: chat.h.   Read next: chat_template.c.
 * A pattern is text with marks in braces: {<|im_start|>} is that token, {bos} and {eos} are the tokenizer's own, and
 * {?<|user|>} is a token where the vocabulary has it and plain text where not. No family writes a brace itself.
 * Facts: the templates named in chat_template.c; docs/models.md says which models use which family.
 */
#include "guard/chat.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <stdio.h>
#include <string.h>

typedef enum {
    OWN_TURN,   /* the system text is a turn like another */
    FIRST_USER, /* it goes into the first turn of the user, after that turn's lead */
    LAST_USER,  /* into the last one */
    NOWHERE     /* the template refuses it */
} place;

struct guard_chat {
    const char *name;
    const char *begin;                           /* before everything */
    const char *lead[GUARD_ROLES], *tail[GUARD_ROLES];
    const char *answer;                          /* makes the assistant speak */
    const char *stop;                            /* mark that ends its turn */
    const char *system;                          /* system text when none is given; NULL: no system turn then */
    place place;
    bool trim;                                   /* contents lose the white space at both ends */
};

#define IM(role) "{<|im_start|>}" role "\n"
#define IM_END "{<|im_end|>}\n"
#define HEADER(role) "{<|start_header_id|>}" role "{<|end_header_id|>}\n\n"

/* Llama 3.1 and later say two dates in every system turn. Llama 3.2's template takes the second one from the clock
 * where there is a clock, else it is this one. A prompt that changes with the day would not give the same bytes, so it
 * is always this one. */
#define LLAMA31_DATES "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"

static const guard_chat family[] = {
    {"chatml", "", {IM("system"), IM("user"), IM("assistant")}, {IM_END, IM_END, IM_END}, IM("assistant"),
     "<|im_end|>", NULL, OWN_TURN, false},
    {"bos-chatml", "{bos}", {IM("system"), IM("user"), IM("assistant")}, {IM_END, IM_END, IM_END}, IM("assistant"),
     "<|im_end|>", NULL, OWN_TURN, false},
    {"qwen2", "", {IM("system"), IM("user"), IM("assistant")}, {IM_END, IM_END, IM_END}, IM("assistant"), "<|im_end|>",
     "You are a helpful assistant.", OWN_TURN, false},
    {"qwen2.5", "", {IM("system"), IM("user"), IM("assistant")}, {IM_END, IM_END, IM_END}, IM("assistant"),
     "<|im_end|>", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", OWN_TURN, false},
    {"qwen3", "", {IM("system"), IM("user"), IM("assistant")}, {IM_END, IM_END, IM_END}, IM("assistant"),
     "<|im_end|>", NULL, OWN_TURN, false},
    {"smollm2", "", {IM("system"), IM("user"), IM("assistant")}, {IM_END, IM_END, IM_END}, IM("assistant"),
     "<|im_end|>", "You are a helpful AI assistant named SmolLM, trained by Hugging Face", OWN_TURN, false},
    {"llama2", "", {"<<SYS>>\n", "{bos}[INST] ", " "}, {"\n<</SYS>>\n\n", " [/INST]", " {eos}"}, "", "{eos}", NULL,
     FIRST_USER, true},
    {"llama3", "{bos}", {HEADER("system"), HEADER("user"), HEADER("assistant")},
     {"{<|eot_id|>}", "{<|eot_id|>}", "{<|eot_id|>}"}, HEADER("assistant"), "<|eot_id|>", NULL, OWN_TURN, true},
    {"llama3.1", "{bos}", {HEADER("system") LLAMA31_DATES, HEADER("user"), HEADER("assistant")},
     {"{<|eot_id|>}", "{<|eot_id|>}", "{<|eot_id|>}"}, HEADER("assistant"), "<|eot_id|>", "", OWN_TURN, true},
    {"mistral", "{bos}", {"", "[INST] ", ""}, {"", " [/INST]", "{eos}"}, "", "{eos}", NULL, NOWHERE, false},
    {"mistral-v1", "{bos}", {"", " [INST] ", " "}, {"\n\n", " [/INST]", "{eos}"}, "", "{eos}", NULL, FIRST_USER,
     false},
    {"mistral-v3", "{bos}", {"", "{[INST]} ", " "}, {"\n\n", "{[/INST]}", "{eos}"}, "", "{eos}", NULL, LAST_USER,
     false},
    {"mistral-tekken", "{bos}", {"", "{[INST]}", ""}, {"\n\n", "{[/INST]}", "{eos}"}, "", "{eos}", NULL, LAST_USER,
     false},
    {"zephyr", "", {"{?<|system|>}\n", "{?<|user|>}\n", "{?<|assistant|>}\n"}, {"{eos}\n", "{eos}\n", "{eos}\n"},
     "{?<|assistant|>}\n", "{eos}", NULL, OWN_TURN, false},
    {"tulu", "", {"{?<|system|>}\n", "{?<|user|>}\n", "{?<|assistant|>}\n"}, {"\n", "\n", "{eos}\n"},
     "{?<|assistant|>}\n", "{eos}", NULL, OWN_TURN, false},
};

enum { FAMILIES = sizeof family / sizeof *family };

const char *const guard_role_names[GUARD_ROLES] = {"system", "user", "assistant"};

const guard_chat *guard_chat_find(const char *name)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(family[i].name, name) == 0) return family + i;
    return NULL;
}

const guard_chat *guard_chat_at(size_t i)
{
    return i < FAMILIES ? family + i : NULL;
}

const char *guard_chat_name(const guard_chat *c)
{
    return c->name;
}

const char *guard_chat_names(char *out, size_t cap)
{
    size_t used = 0;

    for (size_t i = 0; i < FAMILIES && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i > 0 ? ", " : "", family[i].name);
    return out;
}

/* --- a conversation in pieces ----------------------------------------------------------------------------- */

/* Texts side by side are one piece: a tokenizer sees the mark "user\n" and what follows as one text, as the models'
 * own tokenizers do with a rendered template. */
typedef struct {
    size_t start, len; /* in text */
    bool mark;         /* a token by its spelling, or "bos", "eos" */
} piece;

typedef struct {
    const nn_tok *tok; /* NULL: every mark counts as there */
    guard_buf text;
    piece *at;
    size_t n, cap;
} pieces;

static nn_status add_piece(pieces *p, const char *s, size_t len, bool mark, nn_err *err)
{
    const size_t start = p->text.len;
    nn_status st;

    if (len == 0) return NN_OK;
    guard_buf_add(&p->text, s, len);
    if (!mark && p->n > 0 && !p->at[p->n - 1].mark) {
        p->at[p->n - 1].len += len;
        return NN_OK;
    }
    if ((st = nn_grow((void **)&p->at, &p->cap, p->n + 1, sizeof *p->at, err)) != NN_OK) return st;
    p->at[p->n++] = (piece){start, len, mark};
    return NN_OK;
}

static nn_status add_pattern(pieces *p, const char *pattern, nn_err *err)
{
    nn_status st = NN_OK;

    while (*pattern && st == NN_OK) {
        const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL;
        if (!close) return add_piece(p, pattern, strlen(pattern), false, err);
        const bool may = open[1] == '?';
        const char *name = open + 1 + may;
        const size_t len = (size_t)(close - name);

        st = add_piece(p, pattern, (size_t)(open - pattern), false, err);
        if (st == NN_OK)
            st = add_piece(p, name, len, !may || !p->tok || nn_tok_find(p->tok, name, len) >= 0, err);
        pattern = close + 1;
    }
    return st;
}

/* Python's str.strip(), which is what templates trim with. */
static bool is_blank(uint32_t cp)
{
    return nn_uni_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
}

static void trim(const char **s, size_t *len)
{
    const char *t = *s;
    size_t n = *len, end = 0;
    uint32_t cp;
    bool bad;

    while (n > 0) {
        const size_t used = nn_utf8_decode((const unsigned char *)t, n, &cp, &bad);
        if (bad || !is_blank(cp)) break;
        t += used;
        n -= used;
    }
    for (size_t i = 0, used; i < n; i += used) {
        used = nn_utf8_decode((const unsigned char *)t + i, n - i, &cp, &bad);
        if (bad || !is_blank(cp)) end = i + used;
    }
    *s = t;
    *len = end;
}

/* What stands between a turn's lead and tail: its text, behind the system text where that belongs into it. */
static nn_status add_content(pieces *p, const guard_chat *c, const guard_message *m, const guard_message *system,
                             nn_err *err)
{
    guard_buf b = {0};

    if (system) {
        guard_buf_str(&b, c->lead[GUARD_ROLE_SYSTEM]);
        guard_buf_add(&b, system->text, system->len);
        guard_buf_str(&b, c->tail[GUARD_ROLE_SYSTEM]);
    }
    guard_buf_add(&b, m->text, m->len);
    nn_status st = guard_buf_status(&b, err);
    if (st == NN_OK) {
        const char *s = b.len > 0 ? b.bytes : "";
        size_t len = b.len;
        if (c->trim) trim(&s, &len);
        st = add_piece(p, s, len, false, err);
    }
    guard_buf_free(&b);
    return st;
}

static nn_status add_turn(pieces *p, const guard_chat *c, const guard_message *m, const guard_message *system,
                          nn_err *err)
{
    nn_status st = add_pattern(p, c->lead[m->role], err);

    if (st == NN_OK) st = add_content(p, c, m, system, err);
    return st == NN_OK ? add_pattern(p, c->tail[m->role], err) : st;
}

static nn_status check_turns(const guard_chat *c, const guard_message *m, size_t n, bool answer, nn_err *err)
{
    const bool system = n > 0 && m[0].role == GUARD_ROLE_SYSTEM;

    if (system && c->place == NOWHERE)
        return nn_fail(err, NN_CONTENT, "chat format %s: it has no place for a system text", c->name);
    for (size_t i = system; i < n; i++) {
        const guard_role want = (i - system) % 2 == 0 ? GUARD_ROLE_USER : GUARD_ROLE_ASSISTANT;
        if (m[i].role != want)
            return nn_fail(err, NN_CONTENT, "chat format %s: message %zu is the %s's, want the %s's", c->name, i + 1,
                           guard_role_names[m[i].role], guard_role_names[want]);
    }
    if (n == system) return nn_fail(err, NN_CONTENT, "chat format %s: no message of the user, want one", c->name);
    if (answer && m[n - 1].role != GUARD_ROLE_USER)
        return nn_fail(err, NN_CONTENT, "chat format %s: the last message is the assistant's, want the user's",
                       c->name);
    return NN_OK;
}

static nn_status render(pieces *p, const guard_chat *c, const guard_message *m, size_t n, bool answer, nn_err *err)
{
    const guard_message usual = {GUARD_ROLE_SYSTEM, c->system, c->system ? strlen(c->system) : 0};
    const guard_message *system = n > 0 && m[0].role == GUARD_ROLE_SYSTEM ? m : c->system ? &usual : NULL;
    const size_t first = n > 0 && m[0].role == GUARD_ROLE_SYSTEM;
    const size_t last = n > 0 && m[n - 1].role == GUARD_ROLE_ASSISTANT ? n - 2 : n - 1;
    const size_t holder = c->place == FIRST_USER ? first : c->place == LAST_USER ? last : n;
    nn_status st;

    if ((st = check_turns(c, m, n, answer, err)) != NN_OK) return st;
    if ((st = add_pattern(p, c->begin, err)) != NN_OK) return st;
    if (system && c->place == OWN_TURN && (st = add_turn(p, c, system, NULL, err)) != NN_OK) return st;
    for (size_t i = first; i < n; i++)
        if ((st = add_turn(p, c, m + i, i == holder ? system : NULL, err)) != NN_OK) return st;
    if (answer) st = add_pattern(p, c->answer, err);
    return st == NN_OK ? guard_buf_status(&p->text, err) : st;
}

static void free_pieces(pieces *p)
{
    guard_buf_free(&p->text);
    nn_free(p->at);
}

/* --- as ids and as text ------------------------------------------------------------------------------------- */

static bool is_mark(const char *s, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(s, name, len) == 0;
}

static int32_t mark_id(const nn_tok *tok, const char *s, size_t len)
{
    if (is_mark(s, len, "bos")) return nn_tok_bos(tok);
    if (is_mark(s, len, "eos")) return nn_tok_eos(tok);
    return nn_tok_find(tok, s, len);
}

/* A tokenizer without BOS has nothing to begin with: templates write an empty one. */
static nn_status put_mark(nn_tok_buf *ids, const nn_tok *tok, const guard_chat *c, const char *s, size_t len,
                          nn_err *err)
{
    const int32_t id = mark_id(tok, s, len);
    nn_status st;

    if (id < 0 && is_mark(s, len, "bos")) return NN_OK;
    if (id < 0)
        return nn_fail(err, NN_CONTENT, "chat format %s: the tokenizer has no token '%.*s', want another format",
                       c->name, (int)len, s);
    if ((st = nn_tok_buf_reserve(ids, 1, 0, err)) != NN_OK) return st;
    ids->ids[ids->len] = id;
    ids->start[ids->len++] = 0;
    return NN_OK;
}

nn_status guard_chat_encode(nn_tok_buf *ids, const nn_tok *tok, const guard_chat *c, const guard_message *m, size_t n,
                            bool answer, nn_err *err)
{
    pieces p = {.tok = tok};
    nn_status st = render(&p, c, m, n, answer, err);

    for (size_t i = 0; i < p.n && st == NN_OK; i++) {
        const char *s = p.text.bytes + p.at[i].start;
        st = p.at[i].mark ? put_mark(ids, tok, c, s, p.at[i].len, err) : nn_tok_encode(tok, ids, s, p.at[i].len, err);
    }
    free_pieces(&p);
    return st;
}

nn_status guard_chat_text(guard_buf *out, const guard_chat *c, const guard_message *m, size_t n, bool answer,
                          const char *bos, const char *eos, nn_err *err)
{
    pieces p = {0};
    nn_status st = render(&p, c, m, n, answer, err);

    for (size_t i = 0; i < p.n && st == NN_OK; i++) {
        const char *s = p.text.bytes + p.at[i].start;
        if (p.at[i].mark && is_mark(s, p.at[i].len, "bos")) guard_buf_str(out, bos);
        else if (p.at[i].mark && is_mark(s, p.at[i].len, "eos")) guard_buf_str(out, eos);
        else guard_buf_add(out, s, p.at[i].len);
    }
    free_pieces(&p);
    return st == NN_OK ? guard_buf_status(out, err) : st;
}

int32_t guard_chat_stop(const guard_chat *c, const nn_tok *tok)
{
    return strcmp(c->stop, "{eos}") == 0 ? nn_tok_eos(tok) : nn_tok_find(tok, c->stop, strlen(c->stop));
}
