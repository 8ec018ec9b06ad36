/* tok_open.c - from a file to a tokenizer: read, then built, whatever the format.
 *
 * Reads: tok_read.h, tok_read_impl.h.   Read next: tok_build.c.
 */
#include "nn/tok_read_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <string.h>

/* Makes a tokenizer of what a reader left and frees it; st: how the reader fared. */
static nn_status finish(nn_tok **out, nn_vocab *v, nn_status st, const char *name, nn_err *err)
{
    if (st == NN_OK && (st = nn_tok_build(out, v, err)) != NN_OK) nn_err_prefix(err, name);
    nn_vocab_free(v);
    return st;
}

nn_status nn_tok_from_gguf(nn_tok **out, const nn_gguf *g, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_gguf(&v, g, name, err), name, err);
}

nn_status nn_tok_from_sentencepiece(nn_tok **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_sentencepiece(&v, bytes, len, name, err), name, err);
}

nn_status nn_tok_from_llama2c(nn_tok **out, const void *bytes, size_t len, size_t vocab, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_llama2c(&v, bytes, len, vocab, name, err), name, err);
}
