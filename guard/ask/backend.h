/* backend.h - a language model as a tool of the pipeline, whoever runs it: asked in batches, answering text.
 *
 * Reads: guard/chat.h (messages), guard/job.h.   Read next: ask.h (cache, retries and grammars on top of it),
 * backend_local.c, backend_server.c, backend_grammar.c.
 * Why one interface: augmentation, generation and judging ask; what answers is the user's choice: a model in this
 * process, a server that speaks OpenAI's protocol, or rules. A back-end knows nothing of rows, caches or run folders.
 * Order: answers may come in any order and nothing may depend on it; each carries the number of its question.
 * Threads: one call of guard_backend_ask at a time; the callback is called on the caller's thread.
 */
#ifndef GUARD_ASK_BACKEND_H
#define GUARD_ASK_BACKEND_H
#include "guard/chat.h"
#include "guard/job.h"
#include "guard/lm.h"
#include "nn/pretrained.h"

/* One question. Borrowed. */
typedef struct {
    const guard_message *message; /* completion: one message, whose text is the prompt as it stands */
    size_t n_message;
    uint64_t seed; /* of this draw: same seed, same question -> same answer, where the back-end can promise it */
} guard_question;

typedef struct {
    float temperature;  /* 0: the likeliest, and the seed means nothing */
    float top_p;        /* 1: all */
    size_t max_tokens;  /* of one answer */
    const char *stop;   /* text that ends an answer and is not part of it, or NULL */
} guard_ask_options;

/* How one question ended. REFUSED: the back-end will not answer this question however often it is asked (a content
 * filter, a prompt too long); text says why. An end of another kind is an error of the whole call. */
typedef enum { GUARD_ANSWERED, GUARD_REFUSED } guard_answer_end;
/* Answer number i, once each. text[len] is 0; borrowed until the call returns. An error stops the call. */
typedef nn_status (*guard_answer_fn)(void *ctx, size_t i, guard_answer_end end, const char *text, size_t len,
                                     nn_err *err);

typedef struct guard_backend guard_backend;
/* Asks all n. NN_STOP when the job was stopped: what came is told already. NN_FILE: nobody answers (after retries), the
 * message names the server without its key; answers that came before have been told. */
NN_CHECKED nn_status guard_backend_ask(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                                       guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err);
void guard_backend_free(guard_backend *b);
/* Canonical JSON of what answers, on one line: kind and everything that an answer depends on (hash of weights and
 * template, or address, model and endpoint, or hash of the rules); never a key. It is part of a question's address. */
const char *guard_backend_identity(const guard_backend *b);
bool guard_backend_completes(const guard_backend *b); /* takes one text instead of messages */

/* --- (a) a model in this process ------------------------------------------------------------------------------- */
typedef struct {
    const nn_model *model; /* borrowed, as tok and chat */
    const nn_tok *tok;
    const guard_chat *chat; /* NULL: completes the text of one message */
    const char *hash;       /* of weights and tokenizer; copied */
    const int32_t *stop;    /* ids that end an answer besides EOS, BOS and the family's (nn_pretrained_stops); copied */
    size_t n_stop;
    size_t slots;           /* questions at once, 1 to 256: memory and speed, never a byte of an answer */
    bool round_inputs;      /* nn_decoder_round_inputs */
} guard_local_options;
/* An answer is text alone: control tokens are never drawn but where they end it. A question whose prompt and max_tokens
 * do not fit into the model's max_t is REFUSED with the numbers; so max_t is part of the identity. The caller's exec
 * must have room for max_t. */
NN_CHECKED nn_status guard_backend_local(guard_backend **out, const guard_local_options *o, nn_err *err);

/* --- (b) a server that speaks OpenAI's protocol ----------------------------------------------------------------- */
typedef struct {
    const char *url;      /* base, such as http://127.0.0.1:8080/v1; http or https, without user and password */
    const char *model;    /* as the server names it */
    const char *key;      /* bearer token or NULL; copied, wiped at free, written nowhere */
    bool completion;      /* /completions instead of /chat/completions */
    bool new_limit;       /* max_tokens is called max_completion_tokens there: newer models of OpenAI refuse the old name */
    size_t concurrency;   /* requests in flight, 1 to 64 */
    size_t attempts;      /* of one question, the first included: 429, 5xx, broken connections, timeouts are retried */
    double deadline;      /* seconds of one attempt */
    double backoff;       /* seconds before the second attempt; doubles, at most 60; Retry-After goes before it */
    size_t max_bytes;     /* of one reply's body; a longer one is an error */
} guard_server_options;
guard_server_options guard_server_default(void);
/* Checks what it is given and connects to nobody. In a program that was built without libcurl asking is NN_USAGE; what
 * the back-end is called, and so answers that are stored, can be had. */
NN_CHECKED nn_status guard_backend_server(guard_backend **out, const guard_server_options *o, nn_err *err);
bool guard_backend_server_built(void);

/* --- (c) rules ------------------------------------------------------------------------------------------------- */
/* A grammar: symbols, each with weighted alternatives; "{name}" in an alternative is another symbol, "{prompt}" the
 * text of the question's last message, "{{" a brace. Expansion begins at symbol 0 and draws by the question's seed.
 * Temperature, top_p and max_tokens mean nothing to rules: an expansion is whole. It ends, whatever the rules: at most
 * GUARD_GRAMMAR_STEPS alternatives are written out, the shortest ones when those run low; one of more than
 * GUARD_GRAMMAR_BYTES (prompts put in count) is REFUSED. */
#define GUARD_GRAMMAR_STEPS 4096u
#define GUARD_GRAMMAR_BYTES ((size_t)1 << 20)
typedef struct {
    const char *text;
    double weight; /* > 0 */
} guard_alternative;
typedef struct {
    const char *name;
    const guard_alternative *alternative;
    size_t n;
} guard_symbol;
/* Copies the rules. NN_USAGE, by name: an unknown symbol, one that never ends or not within GUARD_GRAMMAR_STEPS, a
 * weight that is none. */
NN_CHECKED nn_status guard_backend_grammar(guard_backend **out, const guard_symbol *symbol, size_t n, nn_err *err);

/* --- for who writes a back-end ---------------------------------------------------------------------------------- */
/* Bytes of the answer before its stop begins; all of them when stop is NULL or not there. */
size_t guard_before_stop(const char *text, size_t len, const char *stop);
struct guard_backend {
    char *identity;
    bool completes;
    nn_status (*ask)(guard_backend *b, const guard_question *q, size_t n, const guard_ask_options *o,
                     guard_answer_fn answer, void *ctx, guard_job *job, nn_err *err);
    void (*free)(guard_backend *b); /* all but identity and the struct itself; NULL: nothing */
};
#endif
