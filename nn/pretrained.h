/* pretrained.h - a model that somebody trained, as it lies on disk: a Hugging Face folder, a GGUF file, a llama2.c
 * file.
 *
 * Reads: model.h, lora.h, tok_read.h, safetensors.h.   Read next: pretrained.c (what the three have in common),
 * pretrained_hf.c, pretrained_gguf.c, pretrained_llama2c.c (how each says what it holds).
 * Why an object before the model: a file is opened, understood and checked first (architecture, shapes, tensors, types,
 * memory), and nothing large is allocated or read until all of it agrees. `parapet inspect` needs no more than this.
 * Architectures: llama, mistral (sliding window), qwen2 (biases), qwen3 (q/k norm); another one is refused by its name.
 * Ownership: owns the mapped files; a model loaded without `floats` borrows them and must be freed first.
 */
#ifndef NN_PRETRAINED_H
#define NN_PRETRAINED_H
#include "nn/gguf.h"
#include "nn/lora.h"
#include "nn/model.h"
#include "nn/tok_read.h"

typedef struct nn_pretrained nn_pretrained;

/* path: a folder with config.json, or a file told apart by its content. NN_FILE: what is wrong, where, and what was
 * expected: an architecture or option we do not run, a tensor missing, twice, of another shape or type than the
 * configuration asks for, or that nothing asks for. */
NN_CHECKED nn_status nn_pretrained_open(nn_pretrained **out, const char *path, nn_err *err);
void nn_pretrained_close(nn_pretrained *p);

const char *nn_pretrained_path(const nn_pretrained *p);
const char *nn_pretrained_format(const nn_pretrained *p);       /* "Hugging Face folder", "GGUF", "llama2.c" */
const char *nn_pretrained_architecture(const nn_pretrained *p); /* as the file calls it: "llama", "qwen2", ... */
const nn_config *nn_pretrained_config(const nn_pretrained *p);  /* max_t: the file's context length */
/* Tensors as the file has them. */
size_t nn_pretrained_tensors(const nn_pretrained *p);
nn_st_tensor nn_pretrained_tensor(const nn_pretrained *p, size_t i);
const nn_gguf *nn_pretrained_gguf(const nn_pretrained *p); /* NULL when it is none: its metadata, for prints */
/* The chat template in the file, not terminated; NULL when there is none. */
const char *nn_pretrained_chat_template(const nn_pretrained *p, size_t *len);
/* Ids that end a text (generation_config.json, else config.json, else the tokenizer keys); returns how many, at most
 * cap. */
size_t nn_pretrained_stops(const nn_pretrained *p, int32_t *ids, size_t cap);

/* Its tokenizer. tok_path NULL: the one it carries (GGUF), has beside it in its folder (tokenizer.json,
 * tokenizer.model), or, for llama2.c, tok<vocab>.bin or tokenizer.bin beside the file. More ids in the model than in
 * the tokenizer are fine (padded embeddings), fewer are not. */
NN_CHECKED nn_status nn_pretrained_tok(nn_tok **out, const nn_pretrained *p, const char *tok_path, nn_err *err);

/* From here on this is the model with the adapters of this folder (PEFT's, lora.h) merged: matrices that have one are
 * loaded as floats with it added. Once a file; refused as nn_lora_load refuses. What the folder says about its base is
 * not compared with anything, since the same model lies under another name on every machine. */
NN_CHECKED nn_status nn_pretrained_adapt(nn_pretrained *p, const char *folder, nn_err *err);
const nn_lora *nn_pretrained_adapter(const nn_pretrained *p); /* NULL: none */
/* What adapters that are trained beside it call their base: the last part of its path, "adapted NAME" where others are
 * merged into it, since beside the file alone they would be wrong and would fit. */
void nn_pretrained_base_name(const nn_pretrained *p, char *out, size_t cap);

typedef struct {
    bool floats;     /* a copy of every weight as float, which can be trained; else in the file's types, mapped */
    size_t max_t;    /* positions, 0: the file's; more than these is computed as its rotary rule says */
    size_t n_class;  /* rows of a verdict head to add, 0 or 2; left as nn_model_build leaves it */
    size_t n_category; /* the same for categories */
    nn_pool pool;
    bool no_lm_head; /* no next-token logits, and no output matrix of its own: a classifier does not need them */
    uint64_t extra;  /* bytes that the caller will need besides, for the check of memory */
    uint64_t memory; /* bytes there are, 0: what the machine has free */
} nn_load_options;

/* Weights that are not finite are refused by tensor and index. NN_LIMIT, before anything is allocated or read, when the
 * model needs more memory than there is: both numbers are named. */
NN_CHECKED nn_status nn_pretrained_load(nn_model **out, const nn_pretrained *p, const nn_load_options *o, nn_err *err);
/* Row `row` of the output matrix, out [width]: the embedding's when it is tied. */
NN_CHECKED nn_status nn_pretrained_output_row(const nn_pretrained *p, float *out, size_t row, nn_err *err);
/* Bytes of the model such a load allocates, to within a few hundred a tensor; mapped bytes are not counted. */
uint64_t nn_pretrained_bytes(const nn_pretrained *p, const nn_load_options *o);
#endif
