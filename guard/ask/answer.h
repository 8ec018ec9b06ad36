/* answer.h - the declared grammar of an answer: what a model's text must be to count as one.
 *
 * Reads: guard/buf.h.   Read next: ask.h (who retries and drops), guard/lua/lua_ask.c (how scripts declare it).
 * Why: models decorate. The grammar says what is looked for, and nothing that does not fit is guessed at: it is
 * counted, asked once more, dropped.
 */
#ifndef GUARD_ASK_ANSWER_H
#define GUARD_ASK_ANSWER_H
#include "guard/buf.h"
#include "guard/corpus.h"

typedef enum { GUARD_ANSWER_TEXT, GUARD_ANSWER_ONE_OF, GUARD_ANSWER_JSON, GUARD_ANSWER_LIST } guard_answer_kind;
typedef enum { GUARD_FIELD_STRING, GUARD_FIELD_NUMBER, GUARD_FIELD_BOOLEAN } guard_field_kind;
typedef struct {
    const char *name;
    guard_field_kind kind;
} guard_answer_field;

/* What a reasoning model thinks first, <think>...</think> at the very beginning, is not part of the answer; thoughts
 * without an end are no answer. "Blank" is white space of Unicode.
 * TEXT    the answer without blanks around it; not empty
 * ONE_OF  exactly one of `word`, letters' case ignored, as a word of its own in the first line that has a letter or a
 *         digit. "Unsafe." is unsafe and never safe, "un-safe" neither; of two words that begin in one place the longer
 *         one counts. The same word twice is one. Negations are not understood: "This is not safe" is safe, unless "not
 *         safe" is a word too. So ask for the word alone.
 * JSON    the first object in the answer (a fence or words around it are ignored) with all of `field`, of their kinds;
 *         other fields are ignored. An object begins at a brace before a quote or a closing brace. Nothing behind a
 *         first object that is broken, cut off, or has a key twice is looked at.
 * LIST    lines that begin with a number ("1." "2)" "(3)", to 999) or a dash (also * + and a bullet) and a blank, or,
 *         when no line does, all lines that are not empty; the first max_items of them (0: all); the mark and a pair of
 *         quotes around an item are not part of it. Lines of a fence are none. A JSON array of strings at the beginning
 *         of a line is a list too. */
typedef struct {
    guard_answer_kind kind;
    const char *const *word;
    size_t n_word;
    const guard_answer_field *field;
    size_t n_field;
    size_t max_items;
} guard_answer_grammar;

typedef struct {
    size_t which; /* ONE_OF: index into word */
    /* TEXT: one; LIST: n; JSON: one a field, in the grammar's order; numbers and booleans also in num. */
    guard_text *text;
    double *num;
    size_t n;
} guard_answer; /* zero it to begin; free with guard_answer_free */

/* NN_USAGE, by name: a word of ONE_OF that no answer could say, or that another one says too but for letters' case. */
NN_CHECKED nn_status guard_answer_check(const guard_answer_grammar *g, nn_err *err);
/* *fits says whether it parsed; an answer that does not is no error. err: memory alone. */
NN_CHECKED nn_status guard_answer_parse(guard_answer *a, bool *fits, const guard_answer_grammar *g, const char *text,
                                        size_t len, nn_err *err);
void guard_answer_free(guard_answer *a);
#endif
