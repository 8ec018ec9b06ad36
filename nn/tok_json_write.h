/* tok_json_write.h - a tokenizer as Hugging Face's files: tokenizer.json and tokenizer_config.json.
 *
 * Reads: tok.h.   Read next: tok_json_write.c; tok_read.h reads them back.
 * Written is only what comes back: our own reader makes a tokenizer of the bytes before there is a file. Byte-level BPE
 * comes back with the same hash (of ours, whose hash is of its own kind: with the same ids for the bytes of every
 * token). SentencePiece's BPE has scores, and the file a list of merges: they are what the scores stand for, in the
 * order of the published files. Its unused pieces become special tokens, which are never made from text either.
 */
#ifndef NN_TOK_JSON_WRITE_H
#define NN_TOK_JSON_WRITE_H
#include "nn/tok.h"

/* Where Hugging Face's library may split some texts otherwise than this tokenizer does; all zero: nowhere known. */
typedef struct {
    size_t ties;      /* pieces whose score another has: here the leftmost merges first, there the first listed */
    size_t users;     /* pieces matched as they stand, where the library puts a blank of its own behind each */
    bool other_space; /* it drops all white space at the end of a text, this one blanks alone */
} nn_tok_json_notes;

/* chat: a template, or NULL. notes may be NULL. NN_USAGE: options that the two files cannot say. */
NN_CHECKED nn_status nn_tok_write_json(const char *folder, const nn_tok *t, const char *chat, size_t chat_len,
                                       nn_tok_json_notes *notes, nn_err *err);
/* Of a SentencePiece BPE with scores and one with merges: whether they are the same, but for what `ties` counts. Of
 * others false. */
NN_CHECKED nn_status nn_tok_same_spm(bool *same, const nn_tok *scores, const nn_tok *merges, nn_err *err);
#endif
