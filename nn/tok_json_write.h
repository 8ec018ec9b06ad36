/* tok_json_write.h - a byte-level BPE as Hugging Face's files: tokenizer.json and tokenizer_config.json.
 *
 * Reads: tok.h.   Read next: tok_json_write.c; tok_read.h reads them back.
 * Written is only what comes back: our own reader makes a tokenizer of the bytes before there is a file, with the same
 * hash (of ours, whose hash is of its own kind: with the same ids for the bytes of every token).
 */
#ifndef NN_TOK_JSON_WRITE_H
#define NN_TOK_JSON_WRITE_H
#include "nn/tok.h"

/* chat: a template, or NULL. NN_USAGE: another model than byte-level BPE, or options that the two files cannot say. */
NN_CHECKED nn_status nn_tok_write_json(const char *folder, const nn_tok *t, const char *chat, size_t chat_len,
                                       nn_err *err);
#endif
