/* model_write.h - a model as other programs read it: a GGUF file, or a Hugging Face folder.
 *
 * Reads: model.h, lora.h, tok.h.   Read next: model_write.c (what both share), model_write_gguf.c, model_write_hf.c;
 * pretrained.h reads them back.
 * What is written is the language model: embedding, layers, last norm, output matrix. The guard's category head and its
 * n-gram memory have no place there; its verdict head has one in llama.cpp's classifiers alone (options.labels).
 * Row order of q and k: Hugging Face's rotary pairs are halves of a head, those of GGUF's llama are neighbours; rows of
 * a model in the other order are permuted, which moves weights and changes none. Logits then differ by the order in
 * which a score's products are added.
 * Memory: tensors go to the file one by one, through a buffer of about a MiB; the file appears when it is whole.
 */
#ifndef NN_MODEL_WRITE_H
#define NN_MODEL_WRITE_H
#include "nn/lora.h"
#include "nn/model.h"
#include "nn/tok.h"

#define NN_WRITE_STOPS 16u
#define NN_WRITE_STOPS_GGUF 2u /* that the format has keys for besides the tokenizer's EOS; others are left out */

typedef struct {
    /* Of matrices: F32, F16, BF16; GGUF also Q8_0, Q4_0, where one whose rows are no whole blocks is F16; the embedding
     * as the others. NN_DTYPE_OTHER: each as it is (in a folder, blocks as F32). Vectors are F32 in GGUF; in a folder
     * they have this type where that loses nothing, else F32. The verdict head is F32. A matrix that has the type
     * already keeps its bytes. */
    nn_dtype type;
    const char *name; /* general.name; NULL: none */
    int32_t stop[NN_WRITE_STOPS]; /* ids that end a text; the first is the tokenizer's EOS where there is none */
    size_t n_stop;
    const char *chat; /* template, or NULL */
    size_t chat_len;
    const nn_lora *lora; /* merged on the way: as floats, then rounded to the matrix's type; NULL: none */
    bool labels;      /* GGUF: the verdict head too, as llama.cpp's classifier of two labels, safe and unsafe */
    bool llama_cpp;   /* GGUF: refuse what llama.cpp would ignore or not load */
} nn_write_options;
nn_write_options nn_write_default(void); /* as it is, nothing besides */

/* "llama", "mistral", "qwen2", "qwen3": by biases, q/k norm and window; NULL where none has this shape. In GGUF files
 * mistral is llama. */
const char *nn_write_architecture(const nn_config *c);

/* NN_USAGE: an architecture that has no name, a type that the format has not, or that a matrix with an adapter would
 * keep and that is only read here, rotary divisors that it cannot say, by name. NN_CONTENT: a weight that is infinite in the
 * type asked for, by tensor. tok NULL: none is written. */
NN_CHECKED nn_status nn_model_write_gguf(const char *path, const nn_model *m, const nn_tok *tok,
                                         const nn_write_options *o, nn_err *err);
/* config.json, generation_config.json, model.safetensors. The folder is made; of one that is there the files go that
 * say something about a model (configuration, index of weights, tokenizer), once the new weights are written beside the
 * old ones, and all others stay. tok: for the ids of BOS, EOS and padding alone, or NULL. */
NN_CHECKED nn_status nn_model_write_hf(const char *folder, const nn_model *m, const nn_tok *tok,
                                       const nn_write_options *o, nn_err *err);
/* The files of a tokenizer, byte for byte, from one folder to another; *n: how many there were. */
NN_CHECKED nn_status nn_model_copy_tokenizer(const char *to, const char *from, size_t *n, nn_err *err);
#endif
