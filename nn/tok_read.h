/* tok_read.h - the files that tokenizers come in.
 *
 * Reads: tok_vocab.h, gguf.h.   Read next: tok_gguf.c, tok_json.c (Hugging Face), tok_model.c (SentencePiece's protobuf),
 * tok_llama2c.c.
 * Every file is hostile: bounded cursor, nothing allocated that is only claimed, a refusal names the file, the place and
 * the expectation. A normalizer, pre-tokenizer or option that we do not run is refused by name, never skipped.
 */
#ifndef NN_TOK_READ_H
#define NN_TOK_READ_H
#include "nn/gguf.h"
#include "nn/tok.h"

/* tokenizer.ggml.*: models gpt2 (with tokenizer.ggml.pre), llama, t5. name is for messages. */
NN_CHECKED nn_status nn_tok_from_gguf(nn_tok **out, const nn_gguf *g, const char *name, nn_err *err);
/* tokenizer.json: BPE (byte-level, or with byte fallback) and Unigram. config: bytes of tokenizer_config.json, or NULL; it
 * says whether BOS and EOS are added and which they are. */
NN_CHECKED nn_status nn_tok_from_json(nn_tok **out, const void *bytes, size_t len, const void *config, size_t config_len,
                                      const char *name, nn_err *err);
/* GPT-2's old layout: vocab.json, merges.txt and what may lie beside them, as bytes; of the last three NULL: none. */
typedef struct {
    const void *bytes;
    size_t len;
} nn_tok_part;
typedef struct {
    nn_tok_part vocab, merges;
    nn_tok_part config, added, special; /* tokenizer_config.json, added_tokens.json, special_tokens_map.json */
} nn_tok_parts;
NN_CHECKED nn_status nn_tok_from_parts(nn_tok **out, const nn_tok_parts *p, const char *name, nn_err *err);
/* tokenizer.model: BPE and Unigram. */
NN_CHECKED nn_status nn_tok_from_sentencepiece(nn_tok **out, const void *bytes, size_t len, const char *name,
                                               nn_err *err);
/* llama2.c's tokenizer.bin: `vocab` pieces with scores. */
NN_CHECKED nn_status nn_tok_from_llama2c(nn_tok **out, const void *bytes, size_t len, size_t vocab, const char *name,
                                         nn_err *err);
/* A file of any of the four, told apart by its content (a tokenizer_config.json beside a tokenizer.json is read), or a
 * Hugging Face folder (tokenizer.json, else tokenizer.model, else vocab.json and merges.txt). vocab: ids of the model,
 * 0 when unknown (llama2.c's file needs it). */
NN_CHECKED nn_status nn_tok_open(nn_tok **out, const char *path, size_t vocab, nn_err *err);
#endif
