/* config_keys.c - the table of config_keys.h. */
#include "nn/config_keys.h"
#include <stddef.h>
#include <stdio.h>

static const struct {
    const char *name;
    size_t at; /* of the field in nn_config */
} table[NN_CONFIG_KEYS] = {
    [NN_KEY_VOCAB] = {"vocab_size", offsetof(nn_config, vocab)},
    [NN_KEY_CONTEXT] = {"context_length", offsetof(nn_config, max_t)},
    [NN_KEY_WIDTH] = {"embedding_length", offsetof(nn_config, width)},
    [NN_KEY_LAYERS] = {"block_count", offsetof(nn_config, layers)},
    [NN_KEY_FF] = {"feed_forward_length", offsetof(nn_config, ff)},
    [NN_KEY_HEADS] = {"attention.head_count", offsetof(nn_config, heads)},
    [NN_KEY_KV_HEADS] = {"attention.head_count_kv", offsetof(nn_config, kv_heads)},
    [NN_KEY_KEY_LENGTH] = {"attention.key_length", offsetof(nn_config, head_dim)},
    [NN_KEY_VALUE_LENGTH] = {"attention.value_length", offsetof(nn_config, head_dim)},
    [NN_KEY_ROPE_DIMS] = {"rope.dimension_count", offsetof(nn_config, head_dim)},
    [NN_KEY_WINDOW] = {"attention.sliding_window", offsetof(nn_config, sliding_window)},
    [NN_KEY_EPS] = {"attention.layer_norm_rms_epsilon", offsetof(nn_config, norm_eps)},
    [NN_KEY_THETA] = {"rope.freq_base", offsetof(nn_config, rope_theta)},
};

void nn_config_key_text(char out[NN_CONFIG_KEY_CAP], const char *arch, nn_config_key k)
{
    snprintf(out, NN_CONFIG_KEY_CAP, "%.40s.%s", arch, table[k].name);
}

size_t *nn_config_size(nn_config *c, nn_config_key k)
{
    NN_ASSERT(k < NN_KEY_EPS);
    return (size_t *)(void *)((char *)c + table[k].at);
}
