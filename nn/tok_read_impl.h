/* tok_read_impl.h - what the readers of tokenizer files share: from a file to an nn_vocab, one function a format.
 *
 * Reads: tok_vocab.h, tok_read.h.   Read next: tok_spelled.c, tok_gguf.c.   Private to the readers and their tests.
 * Why apart from tok_read.h: a vocabulary can be looked at before a tokenizer is made of it.
 */
#ifndef NN_TOK_READ_IMPL_H
#define NN_TOK_READ_IMPL_H
#include "nn/tok_read.h"
#include "nn/tok_vocab.h"

#define NN_TOK_IDS_MAX 1048576u /* ids of any tokenizer */

/* --- one function a format; v is initialised, and to be freed whatever they return ------------------------- */
NN_CHECKED nn_status nn_vocab_from_gguf(nn_vocab *v, const nn_gguf *g, const char *name, nn_err *err);
NN_CHECKED nn_status nn_vocab_from_json(nn_vocab *v, const void *bytes, size_t len, const void *config,
                                        size_t config_len, const char *name, nn_err *err);
NN_CHECKED nn_status nn_vocab_from_parts(nn_vocab *v, const nn_tok_parts *p, const char *name, nn_err *err);
NN_CHECKED nn_status nn_vocab_from_sentencepiece(nn_vocab *v, const void *bytes, size_t len, const char *name,
                                                 nn_err *err);
NN_CHECKED nn_status nn_vocab_from_llama2c(nn_vocab *v, const void *bytes, size_t len, size_t vocab, const char *name,
                                           nn_err *err);

/* What a tokenizer_config.json says of BOS, EOS, padding and a prefix; names of no token are none. place: what messages
 * call it. */
NN_CHECKED nn_status nn_vocab_configure(nn_vocab *v, const void *config, size_t len, const char *place, nn_err *err);

/* --- the texts of a vocabulary as its file spells them ------------------------------------------------------ */
typedef struct {
    const char *text; /* borrowed */
    size_t len;
} nn_spelled;

/* Ids by their text. */
typedef struct {
    const nn_spelled *list; /* borrowed, [n] */
    size_t n, n_slot;
    int32_t *slot; /* open addressing, -1: empty */
    char *joined;  /* scratch for the two parts of a merge */
    size_t joined_cap;
    const char *name; /* the file, for messages */
} nn_spelled_map;

/* Refuses a text that comes twice (an empty one excepted: it is never found). */
NN_CHECKED nn_status nn_spelled_map_build(nn_spelled_map *m, const nn_spelled *list, size_t n, const char *name,
                                          nn_err *err);
void nn_spelled_map_free(nn_spelled_map *m); /* fine on a zeroed one */
int32_t nn_spelled_find(const nn_spelled_map *m, const char *text, size_t len); /* -1: none */
/* Appends the merge of two texts; one that is no token, or whose parts make none, is refused by its number and text. */
NN_CHECKED nn_status nn_spelled_merge(nn_vocab *v, nn_spelled_map *m, const nn_spelled *left, const nn_spelled *right,
                                      nn_err *err);
/* The same for "left right"; the blank that parts them is the first after the first byte. */
NN_CHECKED nn_status nn_spelled_merge_line(nn_vocab *v, nn_spelled_map *m, const char *line, size_t len, nn_err *err);

/* Undoes GPT-2's spelling of bytes as characters in the piece added last. False when a character spells no byte. */
bool nn_vocab_unspell_last(nn_vocab *v);
/* The byte that "<0x0A>" spells; false when text is not of that form. */
bool nn_byte_spelled(unsigned char *byte, const char *text, size_t len);
/* Refuses a vocabulary whose special ids are no ids, or that adds a BOS or EOS it lacks. */
NN_CHECKED nn_status nn_vocab_check_specials(const nn_vocab *v, const char *name, nn_err *err);
#endif
