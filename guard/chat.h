/* chat.h - how chat models want a conversation written: a table of families by name.
 *
 * Reads: nn/tok.h, buf.h.   Read next: chat.c (the families, writing them), chat_template.c (templates we have read).
 * Why no template language: a chat template is a program in the model's file. We do not run programs of files. A
 * template is recognised by the SHA-256 of its text, among those that were read and whose conversations came out byte for
 * byte as one of our families writes them; any other one is refused, with its hash, and the caller names a family or none.
 * Why tokens and not text: marks of roles that are tokens go in by id, and what people say is encoded as text, which
 * never makes a control token; so no text can end its turn or open another. In families whose marks are plain text
 * (llama2, mistral, mistral-v1; tulu and zephyr where the vocabulary lacks their marks) it can: that is how those models
 * were trained.
 * Threads: the tables are constant.
 */
#ifndef GUARD_CHAT_H
#define GUARD_CHAT_H
#include "guard/buf.h"
#include "nn/tok.h"

typedef struct guard_chat guard_chat;

typedef enum { GUARD_ROLE_SYSTEM, GUARD_ROLE_USER, GUARD_ROLE_ASSISTANT, GUARD_ROLES } guard_role;
extern const char *const guard_role_names[GUARD_ROLES]; /* in scripts and in OpenAI's protocol */

typedef struct {
    guard_role role;
    const char *text;
    size_t len;
} guard_message; /* a system text first or not at all; then user and assistant in turns */

/* NULL when no family has that name. */
const guard_chat *guard_chat_find(const char *name);
/* The i-th family, NULL after the last. */
const guard_chat *guard_chat_at(size_t i);
const char *guard_chat_name(const guard_chat *c);
/* "chatml, llama2, ...", for messages. Returns out. */
const char *guard_chat_names(char *out, size_t cap);
/* The family a model's template belongs to. NN_CONTENT when it is none that we have read: its hash, and what to do. */
NN_CHECKED nn_status guard_chat_of_template(const guard_chat **out, const char *text, size_t len, nn_err *err);

/* Appends the ids of the conversation, and with `answer` what makes the model speak next. Nothing else goes before or
 * after: what begins a text (BOS) is part of the family. NN_CONTENT: messages out of turn, a system text where the
 * family has no place for one, or a mark that the tokenizer does not have, by name. */
NN_CHECKED nn_status guard_chat_encode(nn_tok_buf *ids, const nn_tok *tok, const guard_chat *c, const guard_message *m,
                                       size_t n, bool answer, nn_err *err);
/* The same as text, marks spelled out; bos and eos are the spellings of those two. */
NN_CHECKED nn_status guard_chat_text(guard_buf *out, const guard_chat *c, const guard_message *m, size_t n, bool answer,
                                     const char *bos, const char *eos, nn_err *err);
/* The token that ends the model's turn; -1 when the tokenizer does not have it. */
int32_t guard_chat_stop(const guard_chat *c, const nn_tok *tok);
#endif
