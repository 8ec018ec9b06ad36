/* tok_kind.c - what a tokenizer is, in words: for prints.
 *
 * Reads: tok_impl.h.
 */
#include "nn/tok_impl.h"

const char *nn_tok_kind(const nn_tok *t)
{
    static const char *const bpe[] = {"byte-level BPE, gpt-2", "byte-level BPE, llama-3", "byte-level BPE, qwen2",
                                      "byte-level BPE, starcoder", "byte-level BPE, falcon"};

    if (!t->other) return "byte-level BPE, gpt-2, of parapet";
    if (t->other->model == NN_TOK_SPM) return "SentencePiece BPE";
    if (t->other->model == NN_TOK_UNIGRAM) return "unigram";
    NN_ASSERT((size_t)t->other->pre < sizeof bpe / sizeof *bpe);
    return bpe[t->other->pre];
}
