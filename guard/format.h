/* format.h - the ids around a judged text: what a model reads before it, between prompt and response, and after it.
 *
 * Reads: nn/tok.h.   Read next: format.c, template.h (a format from a text with places), windows.h (its user).
 * Ours: BOS TASK_PROMPT text LABEL, and BOS TASK_RESPONSE prompt-tail RESPONSE response LABEL. Another model's comes
 * from a prompt template and is made of its own tokens.
 * Why ids and not the template: tokens are what the model sees, what a guard's file must give back exactly, and what
 * windows are counted in.
 * Ownership: a value without pointers; guard_parts holds one.
 */
#ifndef GUARD_FORMAT_H
#define GUARD_FORMAT_H
#include "nn/tok.h"

#define GUARD_FORMAT_IDS 1024u /* of all parts together */

typedef enum {
    GUARD_PROMPT_LEAD,
    GUARD_PROMPT_TAIL,
    GUARD_RESPONSE_LEAD,
    GUARD_RESPONSE_MID, /* between prompt and response */
    GUARD_RESPONSE_TAIL,
    GUARD_FORMAT_PARTS
} guard_format_part;

/* How the text in a place is encoded. */
typedef enum {
    GUARD_PLACE_MORE,  /* as text that goes on after other tokens */
    GUARD_PLACE_FIRST, /* as the first text that the model sees */
    GUARD_PLACE_BLANK  /* with a blank before it. WHY: "Text: {prompt}" is read as "Text:" and " hello", the tokens that
                          the model knows, not as "Text: " and "hello" */
} guard_place;

typedef struct {
    int32_t id[GUARD_FORMAT_IDS]; /* parts one after the other */
    uint32_t start[GUARD_FORMAT_PARTS + 1];
    bool response;               /* whether responses can be judged */
    guard_place prompt, context, answer; /* the prompt where it is judged; before a response; the response */
} guard_format;

void guard_format_own(guard_format *f);
bool guard_format_empty(const guard_format *f); /* zeroed: not chosen yet */
bool guard_format_equal(const guard_format *a, const guard_format *b);
const int32_t *guard_format_ids(const guard_format *f, guard_format_part part, size_t *n);
size_t guard_format_count(const guard_format *f, guard_format_part part);
/* Ids that a window has beside prompt and response. */
size_t guard_format_fixed(const guard_format *f, bool response);
/* Appends to a part, behind which nothing stands yet; false when there is no room. */
bool guard_format_add(guard_format *f, guard_format_part part, const int32_t *ids, size_t n);
/* Ids within the vocabulary, and room for text in a window of `window` ids. NN_USAGE says what is wrong. */
NN_CHECKED nn_status guard_format_check(const guard_format *f, size_t vocab, size_t window, nn_err *err);
#endif
