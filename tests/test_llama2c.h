/* test_llama2c.h - reads checkpoints and vocabularies of the llama2.c project; for tests only.
 *
 * Reads: nn/model.h, nn/cursor.h.   Users: test_oracle.c.
 * model.bin: seven int32 (dim, hidden, layers, heads, kv heads, vocab, length), then float32 tensors, each for all
 * layers together: embedding, attention norm, wq, wk, wv, wo, ffn norm, w1 (gate), w2 (down), w3 (up), final norm, two
 * tables of rotary angles. A negative vocab says that an output matrix of its own follows. Rotary pairs are (2i, 2i + 1), norm eps 1e-5.
 */
#ifndef TEST_LLAMA2C_H
#define TEST_LLAMA2C_H
#include "nn/model.h"

NN_CHECKED nn_status llama2c_model(nn_model **out, const char *path, nn_err *err);

typedef struct {
    unsigned char *bytes; /* owned */
    size_t start[4097];
    size_t n;
} llama2c_vocab;

NN_CHECKED nn_status llama2c_vocab_read(llama2c_vocab *v, const char *path, size_t n, nn_err *err);
void llama2c_vocab_free(llama2c_vocab *v);
/* Appends the text of `id` after `before` to out (room is the caller's); returns bytes. A piece after BOS loses its
 * leading blank (the rule of sentencepiece). */
size_t llama2c_piece(const llama2c_vocab *v, char *out, int32_t before, int32_t id);
#endif
