/* test_llama2c.h - reads vocabularies of the llama2.c project; for tests only.
 *
 * Users: test_oracle.c.
 */
#ifndef TEST_LLAMA2C_H
#define TEST_LLAMA2C_H
#include "nn/err.h"
#include <stddef.h>
#include <stdint.h>

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
