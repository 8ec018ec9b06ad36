/* sha256.h - SHA-256 (FIPS 180-4): names of rows, files, tokenizers, ledger entries. */
#ifndef NN_SHA256_H
#define NN_SHA256_H
#include <stddef.h>
#include <stdint.h>

#define NN_SHA256_HEX 65 /* 64 digits and the zero byte */

typedef struct {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
} nn_sha256;

void nn_sha256_init(nn_sha256 *s);
void nn_sha256_add(nn_sha256 *s, const void *bytes, size_t len);
void nn_sha256_end(nn_sha256 *s, unsigned char digest[32]);
void nn_sha256_hex(const void *bytes, size_t len, char hex[NN_SHA256_HEX]); /* all at once */
void nn_sha256_end_hex(nn_sha256 *s, char hex[NN_SHA256_HEX]);
#endif
