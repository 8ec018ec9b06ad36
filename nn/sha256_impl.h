/* sha256_impl.h - the compression of many blocks, in plain C and with a CPU's own instructions; for nn/sha256*.c.
 *
 * Reads: sha256.h.   Read next: sha256_x86.c.
 */
#ifndef NN_SHA256_IMPL_H
#define NN_SHA256_IMPL_H
#include "nn/sha256.h"

/* Takes n blocks of 64 bytes into the state. */
typedef void (*nn_sha256_fn)(uint32_t state[8], const unsigned char *blocks, size_t n);

extern const uint32_t nn_sha256_word[64]; /* FIPS 180-4, section 4.2.2 */
void nn_sha256_plain(uint32_t state[8], const unsigned char *blocks, size_t n);
/* NULL where these instructions were not compiled in or this CPU lacks them. WHY not asked once and kept: nn/ has no
 * mutable globals. WHY not asked for every hash: under a virtual machine the question costs 10 microseconds. */
nn_sha256_fn nn_sha256_x86(void);
#endif
