/* tok_json_impl.h - the state of a tokenizer.json being read; private to tok_json*.c.
 *
 * Reads: tok_read_impl.h, json_scan.h.   Read next: tok_json.c (the file, its vocabulary), tok_json_text.c (normalizer,
 * pre-tokenizer, decoder: what is done to a text), tok_json_special.c (post-processor and tokenizer_config.json).
 */
#ifndef NN_TOK_JSON_IMPL_H
#define NN_TOK_JSON_IMPL_H
#include "nn/json_scan.h"
#include "nn/tok_read_impl.h"

#define NN_TOK_JSON_STEPS 8u   /* pre-tokenizers in a row */
#define NN_TOK_JSON_SPECIALS 4u /* tokens that a post-processor puts around a text */

/* A token of the vocabulary or an added one, before ids are in order. */
typedef struct {
    nn_spelled text;
    uint64_t id;
    float score;
    bool added, special, lstrip, rstrip, normalized;
} nn_tok_json_entry;

typedef struct {
    nn_cursor c;
    nn_json_pool pool; /* all strings of the file */
    nn_vocab *v;
    nn_tok_json_entry *entry; /* [n_entry] as they come, then by id */
    size_t n_entry, entry_cap;
    nn_spelled *token; /* [n] by id */
    size_t n, token_cap;
    nn_spelled_map map;
    nn_err *err;

    /* What the parts said; nn_tok_json_settle makes the vocabulary's options of it. */
    char shape[NN_TOK_JSON_STEPS + 1]; /* one letter a pre-tokenizer */
    bool blanks_marked;   /* ' ' becomes U+2581 */
    bool prepend;         /* U+2581 before every text */
    bool prepend_missing; /* the same, unless it begins with one */
    bool words_apart;     /* Metaspace cuts before each U+2581 */
    bool decodes_bytes;   /* decoder ByteLevel */
    bool decodes_blanks;  /* U+2581 becomes ' ' */
    bool decodes_strip;   /* and the first of a text goes */
    bool unigram, byte_fallback;
} nn_tok_json;

/* --- tok_json.c: tokens and their ids, also of tok_json_parts.c -------------------------------------------- */
nn_tok_json_entry *nn_tok_json_new(nn_tok_json *j); /* one more, zeroed; NULL after a failure, which sticks */
void nn_tok_json_read_ids(nn_tok_json *j, bool added); /* {"text": id, ..} at the cursor */
/* The entries by id, added tokens laid over those of the vocabulary, none missing; then the map of their texts. */
NN_CHECKED nn_status nn_tok_json_order(nn_tok_json *j);
NN_CHECKED nn_status nn_tok_json_add_pieces(nn_tok_json *j); /* to the vocabulary */
void nn_tok_json_free(nn_tok_json *j);

/* --- tok_json_text.c, tok_json_special.c -------------------------------------------------------------------- */
/* Each reads one value at the cursor; errors stick there. */
void nn_tok_json_normalizer(nn_tok_json *j);
void nn_tok_json_pre_tokenizer(nn_tok_json *j);
void nn_tok_json_decoder(nn_tok_json *j);
void nn_tok_json_post_processor(nn_tok_json *j); /* the vocabulary's map is built */

/* "type" of the object at the cursor, which stays before it; "" for null. */
const char *nn_tok_json_type(nn_tok_json *j);
/* The parts together: model and pre-tokenizer, or what about them is not run. The pieces are still to come. */
NN_CHECKED nn_status nn_tok_json_settle(nn_tok_json *j);
/* The pieces against Metaspace's cuts. */
NN_CHECKED nn_status nn_tok_json_check_words(const nn_tok_json *j);
/* The regular expression that the families' files have for L (Llama-3), Q (Qwen2), 2 (GPT-2) or 3 (three digits). */
const char *nn_tok_json_pattern(char letter);
#endif
