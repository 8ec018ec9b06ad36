/* tok_gguf_write.h - a tokenizer into a GGUF file of ours, and out of it again: the same ids, the same hash.
 *
 * Reads: tok.h, gguf.h.   Read next: tok_gguf_write.c, tok_gguf_own.c.
 * Under tokenizer.ggml.* stands what other programs read: the family's algorithm, spellings, types, scores, merges.
 * What those keys cannot say stands under guard.tokenizer.*: of ours the merges as pairs of ids, because two of its
 * ids may have the same bytes; of other families normalisation, stripping of blanks, merges beside SentencePiece's
 * pieces.
 */
#ifndef NN_TOK_GGUF_WRITE_H
#define NN_TOK_GGUF_WRITE_H
#include "nn/gguf.h"
#include "nn/tok.h"

NN_CHECKED nn_status nn_tok_put_gguf(nn_gguf_writer *w, const nn_tok *t, nn_err *err);
/* tokenizer.ggml.* alone, for models that other programs load. A SentencePiece BPE that came as a list of merges gets
 * the scores that order its pieces in the same way. */
NN_CHECKED nn_status nn_tok_put_gguf_plain(nn_gguf_writer *w, const nn_tok *t, nn_err *err);
/* What put_gguf wrote, compared with the hash beside it. own: whether it is one of ours. NN_FILE with name and key. */
NN_CHECKED nn_status nn_tok_get_gguf(nn_tok **out, const nn_gguf *g, const char *name, bool own, nn_err *err);
#endif
