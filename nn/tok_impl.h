/* tok_impl.h - the inside of an nn_tok, shared by tok.c, tok_encode.c and tok_train.c.
 *
 * Reads: tok.h.
 */
#ifndef NN_TOK_IMPL_H
#define NN_TOK_IMPL_H
#include "nn/tok.h"

#define NN_TOK_LONGEST 256u     /* bytes of one token */
#define NN_TOK_VOCAB_MAX 1048576u
#define NN_TOK_NO_RANK UINT32_MAX

typedef struct {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank; /* index of the merge, NN_TOK_NO_RANK in an empty slot */
} nn_tok_slot;

struct nn_tok {
    size_t n_merges;
    int32_t *pairs;    /* [n_merges, 2] */
    char *bytes;       /* of all ids from NN_TOK_BYTES on, one after the other */
    uint32_t *start;   /* [256 + n_merges + 1] where each begins in bytes */
    nn_tok_slot *slot; /* open addressing */
    size_t n_slot;     /* a power of two, at most half full */
};

/* Rank of the merge of left and right, NN_TOK_NO_RANK when there is none. */
uint32_t nn_tok_rank(const nn_tok *t, uint32_t left, uint32_t right);
/* Bytes of the pre-token at s (len > 0), at least 1: the longest match of GPT-2's pattern (Radford et al. 2019),
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * where an ill-formed byte is neither blank, letter nor number. */
size_t nn_tok_pretoken(const char *s, size_t len);
#endif
