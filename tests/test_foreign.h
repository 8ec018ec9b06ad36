/* test_foreign.h - small models and tokenizers of other families, made here, as files. */
#ifndef TEST_FOREIGN_H
#define TEST_FOREIGN_H
#include "guard/template.h"
#include "nn/model.h"
#include "nn/pretrained.h"
#include "nn/tok_vocab.h"

/* Byte-level BPE, SentencePiece's BPE or unigram over letters, with a few words ("safe", "unsafe", "river", ...) and the
 * control tokens <s>, </s>, <|im_start|>, <|im_end|>. bos: whether <s> comes before a text. */
nn_tok *foreign_tok(nn_tok_model model, bool bos);
/* "llama" (pairs), "mistral" (llama with a sliding window), "llama3" (divided frequencies), "qwen2", "qwen3". */
nn_config foreign_config(const char *kind, size_t vocab);
/* A GGUF file of random weights, its matrices in `type`. Lives until the test ends. */
const char *foreign_file(const char *kind, nn_tok_model model, bool tied, nn_dtype type, uint64_t seed);
/* "model=FILE" for --set, a file of F16 matrices. */
const char *foreign_option(const char *kind, nn_tok_model model);
/* `plan` of these lines, after a model and some rows were opened, ends with a message that holds `want`. */
void plan_fails(const char *lines, const char *want);
nn_pretrained *foreign_open(const char *path, nn_tok **tok);
/* Format and labels of templates of text alone; response may be NULL. */
NN_CHECKED nn_status foreign_format(guard_format *f, int32_t label[2], const nn_tok *tok, const char *prompt,
                                    const char *response, const char *safe, const char *unsafe, nn_err *err);
#endif
