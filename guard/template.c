#include "guard/template.h"
#include "nn/arena.h"
#include <string.h>

#define SPECIAL_MAX 256u /* bytes of a special token's spelling */

void guard_template_free(guard_template *t)
{
    guard_buf_free(&t->text);
    t->n = 0;
}

/* --- parts ---------------------------------------------------------------------------------------------- */

static nn_status add_part(guard_template *t, guard_part_kind kind, const char *text, size_t len, nn_err *err)
{
    const bool more = kind == GUARD_PART_TEXT && t->n > 0 && t->part[t->n - 1].kind == GUARD_PART_TEXT;

    if (kind == GUARD_PART_TEXT && len == 0) return NN_OK;
    if (!more && t->n == GUARD_TEMPLATE_PARTS)
        return nn_fail(err, NN_CONTENT, "template: more than %d parts", GUARD_TEMPLATE_PARTS);
    if (!more) {
        t->part[t->n].kind = kind;
        t->part[t->n].at = t->text.len;
        t->part[t->n++].len = 0;
    }
    t->part[t->n - 1].len += len;
    guard_buf_add(&t->text, text, len);
    return guard_buf_status(&t->text, err);
}

/* The place that text begins with, by its bytes; 0 when none. */
static size_t place_at(const char *text, size_t len, guard_part_kind *kind)
{
    static const char *const names[] = {"{prompt}", "{response}"};

    for (size_t i = 0; i < 2; i++) {
        const size_t n = strlen(names[i]);

        if (len < n || memcmp(text, names[i], n) != 0) continue;
        *kind = i == 0 ? GUARD_PART_PROMPT : GUARD_PART_RESPONSE;
        return n;
    }
    return 0;
}

nn_status guard_template_text(guard_template *t, const char *text, size_t len, nn_err *err)
{
    size_t from = 0;
    nn_status st = NN_OK;

    for (size_t i = 0; i < len && st == NN_OK;) {
        guard_part_kind kind = GUARD_PART_TEXT;
        const size_t n = place_at(text + i, len - i, &kind);

        i += n ? n : 1;
        if (n == 0) continue;
        if ((st = add_part(t, GUARD_PART_TEXT, text + from, i - n - from, err)) == NN_OK)
            st = add_part(t, kind, NULL, 0, err);
        from = i;
    }
    return st == NN_OK ? add_part(t, GUARD_PART_TEXT, text + from, len - from, err) : st;
}

nn_status guard_template_special(guard_template *t, const char *name, size_t len, nn_err *err)
{
    return add_part(t, GUARD_PART_SPECIAL, name, len, err);
}

/* --- text with special tokens spelled out ------------------------------------------------------------------- */

/* The longest control token that text begins with: its bytes, 0 when there is none. */
static size_t special_at(const nn_tok *tok, const int32_t *control, size_t n, const char *text, size_t len)
{
    size_t best = 0;

    for (size_t i = 0; i < n; i++) {
        char name[SPECIAL_MAX];
        const size_t m = nn_tok_spelling(tok, control[i], name, sizeof name);

        if (m > best && m <= len && m <= sizeof name && memcmp(text, name, m) == 0) best = m;
    }
    return best;
}

static nn_status control_ids(int32_t **out, size_t *n, const nn_tok *tok, nn_err *err)
{
    const size_t vocab = nn_tok_vocab(tok);
    const nn_status st = nn_alloc((void **)out, vocab, sizeof **out, err);

    *n = 0;
    for (size_t id = 0; st == NN_OK && id < vocab; id++)
        if (nn_tok_is_control(tok, (int32_t)id)) (*out)[(*n)++] = (int32_t)id;
    return st;
}

nn_status guard_template_marked(guard_template *t, const nn_tok *tok, const char *text, size_t len, nn_err *err)
{
    int32_t *control = NULL;
    size_t n = 0, from = 0;
    nn_status st = control_ids(&control, &n, tok, err);

    for (size_t i = 0; i < len && st == NN_OK;) {
        const size_t mark = special_at(tok, control, n, text + i, len - i);

        i += mark ? mark : 1;
        if (mark == 0) continue;
        if ((st = guard_template_text(t, text + from, i - mark - from, err)) == NN_OK)
            st = guard_template_special(t, text + i - mark, mark, err);
        from = i;
    }
    nn_free(control);
    return st == NN_OK ? guard_template_text(t, text + from, len - from, err) : st;
}

/* --- a format from one template ------------------------------------------------------------------------- */

/* On the way through a template: what was written, and what the next text or place finds before it. */
typedef struct {
    guard_format *f;
    const nn_tok *tok;
    const guard_template *t;
    guard_format_part part, last; /* being written; the template's tail */
    nn_tok_buf ids;               /* scratch */
    bool first; /* no text yet, or none behind a special token: SentencePiece's families put a blank there */
    bool blank;                   /* the text before ended in one, which goes to what follows */
    size_t run_at, run_len;       /* the text that the template ends with, without that blank */
    bool run_first;
} writer;

static nn_status add_ids(writer *w, const int32_t *ids, size_t n, nn_err *err)
{
    if (guard_format_add(w->f, w->part, ids, n)) return NN_OK;
    return nn_fail(err, NN_CONTENT, "template: more than %u tokens", GUARD_FORMAT_IDS);
}

static nn_status encode(writer *w, bool first, const char *text, size_t len, nn_err *err)
{
    w->ids.len = 0;
    return first ? nn_tok_encode(w->tok, &w->ids, text, len, err) : nn_tok_encode_more(w->tok, &w->ids, text, len, err);
}

static nn_status write_text(writer *w, size_t i, nn_err *err)
{
    const size_t at = w->t->part[i].at, len = w->t->part[i].len;
    const char *text = w->t->text.bytes + at;
    const bool follows = i + 1 == w->t->n || w->t->part[i + 1].kind != GUARD_PART_SPECIAL;
    nn_status st;

    w->blank = follows && text[len - 1] == ' ';
    w->run_at = at;
    w->run_len = len - w->blank;
    w->run_first = w->first;
    if (w->run_len == 0) return NN_OK;
    if ((st = encode(w, w->first, text, w->run_len, err)) != NN_OK) return st;
    w->first = false;
    return add_ids(w, w->ids.ids, w->ids.len, err);
}

static nn_status write_special(writer *w, size_t i, nn_err *err)
{
    const char *name = w->t->text.bytes + w->t->part[i].at;
    const size_t len = w->t->part[i].len;
    const int32_t id = nn_tok_find(w->tok, name, len);

    if (id < 0)
        return nn_fail(err, NN_CONTENT, "template: special token \"%.*s\" is not in the model's tokenizer",
                       (int)(len < 64 ? len : 64), name);
    w->run_len = 0;
    w->first = true;
    return add_ids(w, &id, 1, err);
}

static nn_status write_place(writer *w, guard_part_kind kind, nn_err *err)
{
    const bool answer = kind == GUARD_PART_RESPONSE, responses = w->last == GUARD_RESPONSE_TAIL;
    const guard_format_part before = !responses ? GUARD_PROMPT_LEAD : answer ? GUARD_RESPONSE_MID : GUARD_RESPONSE_LEAD;

    if (w->part != before || (answer && !responses))
        return nn_fail(err, NN_CONTENT, responses ? "template for responses: want {prompt} once, then {response} once"
                                                  : "template: want {prompt} once and no {response}");
    *(answer ? &w->f->answer : responses ? &w->f->context : &w->f->prompt) =
        w->blank ? GUARD_PLACE_BLANK : w->first ? GUARD_PLACE_FIRST : GUARD_PLACE_MORE;
    w->part = (guard_format_part)(w->part + 1);
    w->first = w->blank = false;
    w->run_len = 0;
    return NN_OK;
}

static nn_status write_bos(writer *w, nn_err *err)
{
    const int32_t bos = nn_tok_bos(w->tok);
    const guard_template *t = w->t;

    if (bos < 0 || !nn_tok_adds_bos(w->tok)) return NN_OK;
    if (t->n > 0 && t->part[0].kind == GUARD_PART_SPECIAL &&
        nn_tok_find(w->tok, t->text.bytes + t->part[0].at, t->part[0].len) == bos)
        return NN_OK;
    return add_ids(w, &bos, 1, err);
}

static nn_status write_template(writer *w, nn_err *err)
{
    nn_status st = write_bos(w, err);

    for (size_t i = 0; i < w->t->n && st == NN_OK; i++) {
        const guard_part_kind kind = w->t->part[i].kind;

        st = kind == GUARD_PART_TEXT      ? write_text(w, i, err)
             : kind == GUARD_PART_SPECIAL ? write_special(w, i, err)
                                          : write_place(w, kind, err);
    }
    if (st == NN_OK && w->part != w->last)
        return nn_fail(err, NN_CONTENT, "template: no place {%s}, want one",
                       w->part == GUARD_RESPONSE_MID ? "response" : "prompt");
    return st;
}

/* --- labels --------------------------------------------------------------------------------------------- */

/* The first token of a word after the text that the template ends with: both are encoded together, because that is
 * how the model met them. */
static nn_status find_label(writer *w, int32_t *label, const char *word, nn_err *err)
{
    guard_buf b = {0};
    size_t n_run = 0;
    nn_status st;

    guard_buf_add(&b, w->t->text.bytes + w->run_at, w->run_len);
    if (w->blank) guard_buf_str(&b, " ");
    guard_buf_str(&b, word);
    if ((st = guard_buf_status(&b, err)) != NN_OK) goto done;
    size_t have = 0;
    const int32_t *tail = guard_format_ids(w->f, w->last, &have);
    if (w->run_len > 0) {
        if ((st = encode(w, w->run_first, b.bytes, w->run_len, err)) != NN_OK) goto done;
        n_run = w->ids.len;
    }
    if ((st = encode(w, w->run_first, b.bytes, b.len, err)) != NN_OK) goto done;
    if (w->ids.len <= n_run || memcmp(w->ids.ids, tail + have - n_run, n_run * sizeof *tail) != 0)
        st = nn_fail(err, NN_CONTENT,
                     "label \"%s\": no token of its own after the template's end, want a template that ends before the "
                     "word",
                     word);
    else *label = w->ids.ids[n_run];
done:
    guard_buf_free(&b);
    return st;
}

static nn_status find_labels(writer *w, int32_t label[2], const char *safe, const char *unsafe, nn_err *err)
{
    nn_status st;

    if ((st = find_label(w, &label[0], safe, err)) != NN_OK) return st;
    if ((st = find_label(w, &label[1], unsafe, err)) != NN_OK) return st;
    if (label[0] != label[1]) return NN_OK;
    return nn_fail(err, NN_CONTENT,
                   "labels \"%s\" and \"%s\" begin with the same token %d, want words that differ there", safe, unsafe,
                   (int)label[0]);
}

static nn_status write_one(guard_format *f, int32_t label[2], const nn_tok *tok, const guard_template *t,
                           guard_format_part from, guard_format_part last, const char *safe, const char *unsafe,
                           nn_err *err)
{
    writer w = {.f = f, .tok = tok, .t = t, .part = from, .last = last, .first = true};
    nn_status st = write_template(&w, err);

    if (st == NN_OK && safe) st = find_labels(&w, label, safe, unsafe, err);
    nn_tok_buf_free(&w.ids);
    return st;
}

nn_status guard_format_of_templates(guard_format *f, int32_t label[2], const nn_tok *tok, const guard_template *prompt,
                                    const guard_template *response, const char *safe, const char *unsafe, nn_err *err)
{
    int32_t again[2] = {-1, -1};
    nn_status st;

    NN_ASSERT((safe == NULL) == (unsafe == NULL));
    memset(f, 0, sizeof *f);
    label[0] = label[1] = -1;
    if ((st = write_one(f, label, tok, prompt, GUARD_PROMPT_LEAD, GUARD_PROMPT_TAIL, safe, unsafe, err)) != NN_OK ||
        !response)
        return st;
    f->response = true;
    st = write_one(f, again, tok, response, GUARD_RESPONSE_LEAD, GUARD_RESPONSE_TAIL, safe, unsafe, err);
    if (st != NN_OK || (again[0] == label[0] && again[1] == label[1])) return st;
    return nn_fail(err, NN_CONTENT,
                   "labels: other first tokens after the template for responses (%d, %d) than after the one for "
                   "prompts (%d, %d), want the same",
                   (int)again[0], (int)again[1], (int)label[0], (int)label[1]);
}

nn_status guard_format_plain(guard_format *f, const nn_tok *tok, nn_err *err)
{
    static const char ask[] = "Request: {prompt}\nVerdict:",
                      answered[] = "Request: {prompt}\nAnswer: {response}\nVerdict:";
    guard_template prompt = {0}, response = {0};
    int32_t none[2];
    nn_status st;

    if ((st = guard_template_text(&prompt, ask, sizeof ask - 1, err)) == NN_OK &&
        (st = guard_template_text(&response, answered, sizeof answered - 1, err)) == NN_OK)
        st = guard_format_of_templates(f, none, tok, &prompt, &response, NULL, NULL, err);
    guard_template_free(&prompt);
    guard_template_free(&response);
    return st;
}
