/* config_keys.h - the numbers of a configuration as keys of a GGUF file: written in one place, whoever's file it is.
 *
 * Reads: model.h, gguf.h.   Read next: config_keys_write.c; pretrained_gguf.c reads them in anybody's file.
 * Guards, generators and converted models have the same keys in different orders: the order of a file's keys is part
 * of its bytes, and its bytes are its hash, so each kind keeps the order that its first file had.
 */
#ifndef NN_CONFIG_KEYS_H
#define NN_CONFIG_KEYS_H
#include "nn/gguf.h"
#include "nn/model.h"

typedef enum {
    NN_KEY_VOCAB,
    NN_KEY_CONTEXT,
    NN_KEY_WIDTH,
    NN_KEY_LAYERS,
    NN_KEY_FF,
    NN_KEY_HEADS,
    NN_KEY_KV_HEADS,
    NN_KEY_KEY_LENGTH,
    NN_KEY_VALUE_LENGTH, /* the same number: heads of keys and values are equally wide here */
    NN_KEY_ROPE_DIMS,    /* and all of a head is turned */
    NN_KEY_WINDOW,       /* left out where there is none */
    NN_KEY_EPS,          /* floats from here on */
    NN_KEY_THETA,
    NN_CONFIG_KEYS
} nn_config_key;

/* "qwen3.block_count" */
#define NN_CONFIG_KEY_CAP 96
void nn_config_key_text(char out[NN_CONFIG_KEY_CAP], const char *arch, nn_config_key k);
/* The field that a key before NN_KEY_EPS holds; in a configuration that may be changed. */
size_t *nn_config_size(nn_config *c, nn_config_key k);

/* n keys in this order. */
void nn_gguf_put_config(nn_gguf_writer *w, const nn_config *c, const char *arch, const nn_config_key *keys, size_t n);
#endif
