/* template.h - a prompt template, as a script writes it, on its way to a format of ids.
 *
 * Reads: format.h, buf.h.   Read next: template.c, label.h (a verdict from a model's own words).
 * A template is text with special tokens by name between and the places {prompt} and {response}: first and last of its
 * kind, prompt before response. Special tokens are never made from text, so a row's text cannot forge one.
 * A blank at the end of a text goes to what follows, a place or a label: tokenizers join a blank with the word after
 * it. The token that begins a text (BOS) comes first where the tokenizer adds it and the template does not name it.
 */
#ifndef GUARD_TEMPLATE_H
#define GUARD_TEMPLATE_H
#include "guard/buf.h"
#include "guard/format.h"

#define GUARD_TEMPLATE_PARTS 64

typedef enum { GUARD_PART_TEXT, GUARD_PART_SPECIAL, GUARD_PART_PROMPT, GUARD_PART_RESPONSE } guard_part_kind;

typedef struct {
    guard_buf text; /* of all parts */
    struct {
        guard_part_kind kind;
        size_t at, len; /* in text */
    } part[GUARD_TEMPLATE_PARTS];
    size_t n;
} guard_template; /* zero it to begin; guard_template_free */

void guard_template_free(guard_template *t);
/* Text with the places {prompt} and {response}; goes on with the text before it. */
NN_CHECKED nn_status guard_template_text(guard_template *t, const char *text, size_t len, nn_err *err);
/* The same where tok's control tokens are spelled out between, as chat formats are (chat.h). */
NN_CHECKED nn_status guard_template_marked(guard_template *t, const nn_tok *tok, const char *text, size_t len,
                                           nn_err *err);
/* A special token by its spelling: "<|im_start|>". */
NN_CHECKED nn_status guard_template_special(guard_template *t, const char *name, size_t len, nn_err *err);

/* A format for models that nobody trained to be asked: "Request: {prompt}\nVerdict:", and with "Answer: {response}". */
NN_CHECKED nn_status guard_format_plain(guard_format *f, const nn_tok *tok, nn_err *err);
/* The format of prompts, and of responses where there is a template for them (NULL: they cannot be judged). safe and
 * unsafe, or both NULL: the words whose first tokens, in their place after the template, become label[0] and label[1].
 * NN_CONTENT: what is wrong with a template or a word. */
NN_CHECKED nn_status guard_format_of_templates(guard_format *f, int32_t label[2], const nn_tok *tok,
                                               const guard_template *prompt, const guard_template *response,
                                               const char *safe, const char *unsafe, nn_err *err);
#endif
