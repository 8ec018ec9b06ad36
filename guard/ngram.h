/* ngram.h - hashed n-grams: features of the wide part, slots of the n-gram memory.
 *
 * Wide: word 1-2-grams and in-word character 2-5-grams of the normalised text; value
 * (1 + log tf) idf, L2 norm 1 (Weinberger et al. 2009, arXiv:0902.2206). Word = maximal run of letters, marks,
 * digits, apostrophe; any other non-blank character, and each Han or hiragana one, is a word of its own. Character
 * grams see the word with '<' and '>' at its ends, by code points; a word of one other character has none. Memory:
 * for each token position the slots of token 1-3-grams ending there, the character 3-5-grams that end in it, and
 * for each word that ends in it, or is still open at its end, the word so far: its grams with '>', its own gram and
 * the word bigram. Causal: position t sees text up to token t only, so the slots of a beginning are the beginning
 * of the slots. Order is fixed (ascending slot for wide; the order above for memory), so every sum has one value.
 */
#ifndef GUARD_NGRAM_H
#define GUARD_NGRAM_H
#include "nn/err.h"
#include "nn/tok.h"

typedef struct {
    uint32_t *slot; /* ascending, unique */
    float *value;   /* raw: 1 + log tf; the wide model applies idf and the norm */
    size_t n, cap;
    void *scratch;
    size_t scratch_cap;
} guard_features; /* zero it to begin; guard_features_free */

/* text is normalised. bits: 2^bits slots. NN_LIMIT when memory runs out; sized once it never
 * allocates again for texts as long. */
NN_CHECKED nn_status guard_features_of(guard_features *f, const char *text, size_t len, unsigned bits, nn_err *err);
void guard_features_free(guard_features *f);

typedef struct {
    uint32_t *slot;
    size_t *start; /* [n_tokens + 1] */
    size_t n_slot, slot_cap, n_pos, pos_cap;
} guard_slots; /* zero it to begin */

/* ids/byte starts come from nn_tok_encode over `text`; `lead` special positions before the text and
 * `tail` after get no slots. rows = size of the memory. */
NN_CHECKED nn_status guard_slots_add(guard_slots *s, const char *text, size_t len, const int32_t *ids,
                                     const uint32_t *start, size_t n, size_t lead, size_t tail, size_t rows,
                                     nn_err *err);
void guard_slots_clear(guard_slots *s);
void guard_slots_free(guard_slots *s);
#endif
