/* test_pretrained_support.h - small models on disk as others write them: weights by a formula, folders and files of
 * them.
 *
 * Why a formula: tests/gen/hf_tiny.py computes the same numbers, so what transformers makes of them can be compared.
 */
#ifndef TEST_PRETRAINED_SUPPORT_H
#define TEST_PRETRAINED_SUPPORT_H
#include "nn/pretrained_impl.h"
#include "nn/safetensors.h"

#define PAPER_TENSORS 48u

/* The tensors of a configuration, to be changed by a test before they are written. Never freed: small, and a test's
 * process ends. */
typedef struct {
    size_t n;
    char name[PAPER_TENSORS][80], gguf[PAPER_TENSORS][80];
    nn_st_out t[PAPER_TENSORS];
    float *data[PAPER_TENSORS];
} paper_model;

/* Zeroed memory that lives as long as the test's process. */
void *keep_bytes(size_t n);
float paper_weight(const char *name, size_t i); /* of Hugging Face's name */
paper_model *paper_of(const nn_config *c);
size_t paper_find(const paper_model *w, const char *name); /* must be there */
void paper_add(paper_model *w, const char *name, size_t rows, size_t cols); /* weights by the formula */
void paper_drop(paper_model *w, const char *name);
/* Tensors [first, last) as DIR/name. */
void paper_write(const paper_model *w, const char *dir, const char *name, size_t first, size_t last);
/* A fresh folder with config.json and model.safetensors. */
const char *paper_folder(const paper_model *w, const char *config);
nn_model *paper_model_of(const paper_model *w, const nn_config *c); /* the same weights without a file */

/* Opens; fails the test unless it is refused with NN_FILE and a message that contains part. */
void expect_refused_model(const char *path, const char *part);
nn_pretrained *open_model_at(const char *path);
/* Opens, loads, closes nothing of what the model needs: *p is closed by the caller after the model. */
nn_model *load_model_at(nn_pretrained **p, const char *path, bool floats, size_t max_t);
/* Next-token logits of all rows [n, V] of one segment. */
float *logits_of(const nn_model *m, const int32_t *ids, size_t n);
#endif
