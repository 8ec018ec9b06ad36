/* prompt.h - prompts with places, filled from rows: the messages of many questions.
 *
 * Reads: backend.h, guard/corpus.h.   Read next: prompt.c, guard/lua/lua_ask.c (prompts as scripts write them).
 * A place is {name}: a field of the row (text, response, category, ..; {label} is safe or unsafe) or a column; what has
 * no value leaves nothing. "{{" is a brace. A text that was filled in is never read for places again: a row that says
 * "{label}" is asked about with these seven characters.
 * Ownership: questions own all their texts; guard_questions_free.
 */
#ifndef GUARD_ASK_PROMPT_H
#define GUARD_ASK_PROMPT_H
#include "guard/ask/backend.h"
#include "guard/corpus.h"

#define GUARD_PROMPT_MESSAGES 16u

/* NN_CONTENT: a brace that is not closed, or a place that is no field and no column of c, with the nearest name. */
NN_CHECKED nn_status guard_prompt_check(const guard_message *m, size_t n, const guard_corpus *c, nn_err *err);

typedef struct {
    guard_buf text; /* of all messages */
    struct guard_prompt_part {
        guard_role role;
        size_t at, len; /* in text */
    } *part;
    size_t n_part, part_cap;
    size_t *end; /* conversation i: parts end[i - 1] to end[i] */
    size_t n, end_cap;
    guard_message *message; /* made by guard_questions_seal, as the questions */
    guard_question *question;
} guard_questions; /* zero it to begin */

void guard_questions_free(guard_questions *q);
/* One more conversation: the templates m filled from a row, or texts as they stand. */
NN_CHECKED nn_status guard_questions_fill(guard_questions *q, const guard_message *m, size_t n, const guard_corpus *c,
                                          size_t row, nn_err *err);
NN_CHECKED nn_status guard_questions_add(guard_questions *q, const guard_message *m, size_t n, nn_err *err);
/* question[i * per + k]: the k-th draw of conversation i; its seed is a function of (seed, stream, row i's id, k).
 * Nothing is added afterwards. */
NN_CHECKED nn_status guard_questions_seal(guard_questions *q, size_t per, const guard_corpus *c, uint64_t seed,
                                          const char *stream, nn_err *err);
#endif
