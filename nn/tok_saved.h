/* tok_saved.h - keys that tok_gguf_write.c writes and tok_gguf_own.c reads. Private to the two.
 *
 * Reads: tok_vocab.h.
 */
#ifndef NN_TOK_SAVED_H
#define NN_TOK_SAVED_H
#include "nn/tok_vocab.h"

#define NN_SAVED_TOKENS "tokenizer.ggml.tokens"
#define NN_SAVED_TYPES "tokenizer.ggml.token_type"
#define NN_SAVED_SCORES "tokenizer.ggml.scores"
#define NN_SAVED_HASH "guard.tokenizer.sha256"
#define NN_SAVED_MERGES "guard.tokenizer.merges" /* ours: pairs of ids; another's: with the result */
#define NN_SAVED_OPTION_KEY "guard.tokenizer.options"
#define NN_SAVED_STRIPS "guard.tokenizer.strips"
#define NN_SAVED_CHARSMAP "guard.tokenizer.charsmap"
#define NN_SAVED_SPELLING 8192u /* bytes: the longest piece, a byte as up to three, and room */

enum { NN_SAVED_OPTIONS = 14 };
void nn_saved_options(int32_t option[NN_SAVED_OPTIONS], const nn_vocab *v);
/* false: a number that is none of its option's values. Ids are nn_tok_build's to check. */
bool nn_saved_take_options(nn_vocab *v, const int32_t option[NN_SAVED_OPTIONS]);
#endif
