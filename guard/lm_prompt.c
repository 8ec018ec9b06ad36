/* lm_prompt.c - what stands before a text: which label and category are asked for, as ids.
 *
 * Reads: lm_impl.h.   Read next: lm_units.c.
 * All prefixes are made once, when the generator is: asking for one cannot fail.
 * Text that goes on after a sentence is encoded as such (nn_tok_encode_more). A sentence should not end in a blank:
 * most tokenizers join it with the word after it, which the model then sees without.
 */
#include "guard/lm_impl.h"
#include "nn/arena.h"
#include <string.h>

int32_t guard_lm_begin(const nn_tok *tok)
{
    return nn_tok_is_own(tok) || nn_tok_adds_bos(tok) ? nn_tok_bos(tok) : -1;
}

void guard_lm_prompt_free(guard_lm_prompt *p)
{
    nn_free(p->text);
    nn_free(p->ids);
    memset(p, 0, sizeof *p);
}

static const char *label_word(int label)
{
    return label == GUARD_UNSAFE ? "unsafe" : label == GUARD_SAFE ? "safe" : "any";
}

static bool begins_with(const char *s, const char *word)
{
    return strncmp(s, word, strlen(word)) == 0;
}

/* --- prefixes --------------------------------------------------------------------------------------------- */

typedef struct {
    guard_lm_prompt *p;
    const nn_tok *tok;
    const guard_taxonomy *taxonomy;
    nn_tok_buf b; /* of one sentence */
    size_t cap;   /* of p->ids */
} writer;

static nn_status put(writer *w, size_t at, const int32_t *ids, size_t n, nn_err *err)
{
    guard_lm_prompt *p = w->p;
    const nn_status st = nn_grow((void **)&p->ids, &w->cap, p->start[at + 1] + n, sizeof *p->ids, err);

    if (st != NN_OK) return st;
    if (n > 0) memcpy(p->ids + p->start[at + 1], ids, n * sizeof *ids);
    p->start[at + 1] += n;
    return NN_OK;
}

static nn_status put_control(writer *w, size_t at, int label, size_t category, nn_err *err)
{
    int32_t ids[GUARD_LM_PREFIX];
    size_t n = 0;

    ids[n++] = NN_TOK_BOS;
    ids[n++] = NN_TOK_TASK_PROMPT;
    if (label != GUARD_LABEL_NONE) ids[n++] = label == GUARD_UNSAFE ? NN_TOK_UNSAFE : NN_TOK_SAFE;
    if (category < w->p->n_category) ids[n++] = NN_TOK_CATEGORY + (int32_t)category;
    return put(w, at, ids, n, err);
}

/* The sentence with its words put in. */
static void write_sentence(guard_buf *b, const char *text, const char *label, const char *category)
{
    while (*text) {
        if (begins_with(text, "{label}")) {
            guard_buf_str(b, label);
            text += strlen("{label}");
        } else if (begins_with(text, "{category}")) {
            guard_buf_str(b, category);
            text += strlen("{category}");
        } else {
            guard_buf_add(b, text++, 1);
        }
    }
}

static nn_status put_sentence(writer *w, size_t at, int label, size_t category, nn_err *err)
{
    const int32_t bos = guard_lm_begin(w->tok);
    const char *name = category < w->p->n_category ? w->taxonomy->category[category].name : "anything";
    guard_buf text = {0};
    nn_status st;

    write_sentence(&text, w->p->text, label_word(label), name);
    w->b.len = 0;
    if ((st = guard_buf_status(&text, err)) != NN_OK) goto done;
    if (bos >= 0 && (st = put(w, at, &bos, 1, err)) != NN_OK) goto done;
    if ((st = nn_tok_encode(w->tok, &w->b, text.bytes, text.len, err)) == NN_OK)
        st = put(w, at, w->b.ids, w->b.len, err);
done:
    guard_buf_free(&text);
    return st;
}

static nn_status put_all(writer *w, nn_err *err)
{
    const size_t each = w->p->n_category + 1;
    nn_status st;

    for (size_t at = 0; at < 3 * each; at++) {
        const int label = (int)(at / each) - 1;

        w->p->start[at + 1] = w->p->start[at];
        st = w->p->text ? put_sentence(w, at, label, at % each, err) : put_control(w, at, label, at % each, err);
        if (st != NN_OK) return st;
        const size_t n = w->p->start[at + 1] - w->p->start[at];
        if (n > w->p->room) w->p->room = n;
        if (n == 0 || n > GUARD_LM_PROMPT_IDS)
            return nn_fail(err, NN_USAGE, "generator: prompt of %zu tokens, want 1 to %u", n, GUARD_LM_PROMPT_IDS);
    }
    return NN_OK;
}

/* --- build -------------------------------------------------------------------------------------------------- */

static nn_status take_text(guard_lm_prompt *p, const nn_tok *tok, const char *text, nn_err *err)
{
    if (nn_tok_is_own(tok))
        return text ? nn_fail(err, NN_USAGE, "generator: a prompt, want none with a tokenizer of our own") : NN_OK;
    if (!text) text = GUARD_LM_PROMPT;
    if (strlen(text) > GUARD_LM_PROMPT_BYTES || !strstr(text, "{label}"))
        return nn_fail(err, NN_USAGE, "generator: prompt of %zu bytes, want at most %u and the place {label}",
                       strlen(text), GUARD_LM_PROMPT_BYTES);
    const nn_status st = nn_alloc((void **)&p->text, strlen(text) + 1, 1, err);
    if (st == NN_OK) memcpy(p->text, text, strlen(text) + 1);
    return st;
}

nn_status guard_lm_prompt_build(guard_lm_prompt *p, const nn_tok *tok, const guard_taxonomy *taxonomy,
                                const char *text, nn_err *err)
{
    writer w = {.p = p, .tok = tok, .taxonomy = taxonomy};
    nn_status st;

    memset(p, 0, sizeof *p);
    p->n_category = taxonomy ? taxonomy->n : 0;
    p->room = nn_tok_is_own(tok) ? GUARD_LM_PREFIX : 0;
    if ((st = take_text(p, tok, text, err)) == NN_OK) st = put_all(&w, err);
    nn_tok_buf_free(&w.b);
    if (st != NN_OK) guard_lm_prompt_free(p);
    return st;
}

const int32_t *guard_lm_prefix(const guard_lm *g, int label, size_t category, size_t *n)
{
    const guard_lm_prompt *p = &g->prompt;
    const size_t each = p->n_category + 1, row = label == GUARD_LABEL_NONE ? 0 : label == GUARD_UNSAFE ? 2 : 1,
                 at = row * each + (category < p->n_category ? category : p->n_category);

    *n = p->start[at + 1] - p->start[at];
    return p->ids + p->start[at];
}

const char *guard_lm_prompt_text(const guard_lm *g)
{
    return g->prompt.text;
}
