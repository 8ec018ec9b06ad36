/* test_tok_support.h - small vocabularies for the tests of nn/tok_build.c and what follows from it. */
#ifndef TESTS_TEST_TOK_SUPPORT_H
#define TESTS_TEST_TOK_SUPPORT_H
#include "nn/tok_impl.h"

#define BLANK "\xE2\x96\x81" /* U+2581 */
#define CHARSMAP_ROOM 8192u

void toy_add(nn_vocab *v, const char *text, float score, nn_piece_type type);
nn_tok *toy_build(const nn_vocab *v);
nn_vocab vocab_of(nn_tok_model model); /* <unk> is id 0, <s> 1 */
/* SPM with a blank before a text: 2 to 8 are _hi hi _ h i l _h, then the 256 bytes from 9 on. */
nn_vocab llama_like(void);
/* BPE: the bytes, 256 "ab", 257 control "<|end|>", 258 and 259 user "<x>" and "<x><y>", 260 "abc" without a merge. */
nn_vocab byte_level(void);
/* Random pieces over a, b, an accented letter and the blank, each of which is a piece. scores: so many different
 * ones, 0 for all different. */
nn_vocab random_vocab(nn_tok_model model, uint64_t seed, size_t n, unsigned scores);
/* A charsmap that makes "h" to "i" and "hl" to nothing; returns its bytes. */
size_t small_charsmap(unsigned char *out);
/* The ids of text as "3 4 5"; more: of a continuation. Stays until the next call. */
const char *ids_of(const nn_tok *t, const char *text, bool more);

#define expect_ids(t, text, want) \
    cr_expect(strcmp(ids_of(t, text, false), want) == 0, "'%s': %s, want %s", text, ids_of(t, text, false), want)
#endif
