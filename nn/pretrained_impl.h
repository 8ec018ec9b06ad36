/* pretrained_impl.h - the inside of an opened model of somebody else's, and what its readers share; for nn/ and its
 * tests only.
 *
 * Reads: pretrained.h.   Read next: pretrained.c.
 * A reader (one a format) fills architecture, config, the list of tensors, stops and chat template;
 * nn_pretrained_settle then compares the tensors with what the configuration asks for.
 */
#ifndef NN_PRETRAINED_IMPL_H
#define NN_PRETRAINED_IMPL_H
#include "nn/cursor.h"
#include "nn/pretrained.h"

#define NN_PRETRAINED_STOPS 16u

typedef enum { NN_FROM_HF, NN_FROM_GGUF, NN_FROM_LLAMA2C } nn_pretrained_kind;

struct nn_pretrained {
    char *path; /* owned */
    nn_pretrained_kind kind;
    char architecture[48];
    nn_config config;
    nn_st_tensor *tensor; /* [n_tensor] as the file has them; names and data borrowed from below */
    size_t n_tensor, tensor_cap;
    size_t *order; /* [n_tensor] sorted by name */
    const char *chat; /* not terminated; NULL: none */
    size_t chat_len;
    int32_t stop[NN_PRETRAINED_STOPS];
    size_t n_stop;
    nn_lora *lora; /* merged when the model is loaded; NULL: none */
    /* what the above borrows from */
    nn_gguf *gguf;
    nn_safetensors **shard; /* [n_shard] */
    size_t n_shard, shard_cap;
    nn_file file; /* a llama2.c file */
    char *names;  /* of tensors in a llama2.c file; of shards in a folder's index */
    char *chat_owned;
};

/* A tensor that a configuration asks for. */
typedef struct {
    const char *name, *gguf;
    size_t rows, cols; /* rows 1 and not a matrix: one dimension */
    bool matrix;
} nn_wanted;
typedef nn_status (*nn_wanted_fn)(void *ctx, const nn_wanted *w);
/* Calls fn for each in the order of params.h until one is not NN_OK. */
nn_status nn_pretrained_wanted(const nn_config *c, nn_wanted_fn fn, void *ctx);

/* --- readers ------------------------------------------------------------------------------------------------ */
/* Appends a tensor whose name and data stay where they are. */
NN_CHECKED nn_status nn_pretrained_add(nn_pretrained *p, const nn_st_tensor *t, nn_err *err);
void nn_pretrained_stop(nn_pretrained *p, uint64_t id); /* ignores one that the model has not, or that is there */
/* Sorts, then: every tensor that the config asks for is there once with its shape, and none that it does not ask for.
 * */
NN_CHECKED nn_status nn_pretrained_settle(nn_pretrained *p, nn_err *err);
/* nn_config_check with the file's name before it. */
NN_CHECKED nn_status nn_pretrained_check_config(const nn_pretrained *p, nn_err *err);
/* By its name in the file; NULL when absent. After settle. */
const nn_st_tensor *nn_pretrained_find(const nn_pretrained *p, const char *name);
/* A file whose mapping this process may not have is refused with both numbers. */
NN_CHECKED nn_status nn_pretrained_fits(const char *path, nn_err *err);

NN_CHECKED nn_status nn_pretrained_read_hf(nn_pretrained *p, nn_err *err);
NN_CHECKED nn_status nn_pretrained_read_gguf(nn_pretrained *p, nn_err *err);    /* p->gguf is open */
NN_CHECKED nn_status nn_pretrained_read_llama2c(nn_pretrained *p, nn_err *err); /* p->file is open */

/* config.json, from memory: fills architecture, config and stops. */
NN_CHECKED nn_status nn_pretrained_read_config(nn_pretrained *p, const void *bytes, size_t len, const char *name,
                                               nn_err *err);
/* A number, an array of them, or null: how many, at most cap; what is no id becomes UINT64_MAX. */
size_t nn_pretrained_read_ids(nn_cursor *c, uint64_t *ids, size_t cap);

/* A GGUF or llama2.c file in memory, which the caller keeps; name is for messages. */
NN_CHECKED nn_status nn_pretrained_open_memory(nn_pretrained **out, const void *bytes, size_t len, const char *name,
                                               nn_err *err);
#endif
