/* ask.h - questions about rows, answered once: cache, grammar, one retry, counts.
 *
 * Reads: backend.h, answer.h, store.h.   Read next: ask.c, guard/lua/lua_ask.c.
 * A question's address is the SHA-256 of canonical JSON of back-end identity, messages, options, seed and attempt. An
 * answer that the store has under that address is not asked for again, and one address is asked for once in a call.
 * What does not fit the grammar is asked once more, then dropped: attempt 1 has a seed of its own and a temperature of
 * at least GUARD_ASK_AGAIN, since at 0 the same answer would come. Nothing depends on the order in which answers come.
 */
#ifndef GUARD_ASK_ASK_H
#define GUARD_ASK_ASK_H
#include "guard/ask/answer.h"
#include "guard/ask/backend.h"
#include "guard/ask/store.h"

#define GUARD_ASK_AGAIN 0.3f

typedef struct {
    size_t asked;    /* questions, without second attempts */
    size_t cached;   /* answers that the store had, of all attempts */
    size_t refused;  /* the back-end would not */
    size_t retried;  /* first answers that did not fit */
    size_t dropped;  /* questions left without an answer: refused, or twice not fitting */
    const char *why; /* the first refusal in order of attempts and questions, or NULL; borrowed from the store */
} guard_ask_counts;

typedef struct {
    bool ok;
    guard_answer answer; /* when ok */
} guard_asked;

/* out[n] is the caller's, zeroed; free each answer, also when this fails. counts may be NULL. Questions' seeds are
 * those of attempt 0. offline: an answer that the store lacks is NN_FILE, naming question (from 1), address and
 * back-end. All answers are in the store afterwards, those that came before a failure too, and noted as used: in order
 * of questions, of one question in order of attempts. */
NN_CHECKED nn_status guard_ask(guard_asked *out, guard_ask_counts *counts, guard_backend *b, const guard_question *q,
                               size_t n, const guard_ask_options *o, const guard_answer_grammar *g, guard_store *store,
                               bool offline, guard_job *job, nn_err *err);
/* The address, 64 hex digits and the zero byte. NN_CONTENT: a message or stop is no UTF-8. */
NN_CHECKED nn_status guard_ask_address(char address[65], const guard_backend *b, const guard_question *q,
                                       const guard_ask_options *o, size_t attempt, nn_err *err);
#endif
