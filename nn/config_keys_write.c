/* config_keys_write.c - a configuration into a GGUF file. */
#include "nn/config_keys.h"

void nn_gguf_put_config(nn_gguf_writer *w, const nn_config *c, const char *arch, const nn_config_key *keys, size_t n)
{
    nn_config copy = *c; /* whose fields may be pointed at */
    char text[NN_CONFIG_KEY_CAP];

    for (size_t i = 0; i < n; i++) {
        nn_config_key_text(text, arch, keys[i]);
        if (keys[i] == NN_KEY_EPS) nn_gguf_put_f32(w, text, c->norm_eps);
        else if (keys[i] == NN_KEY_THETA) nn_gguf_put_f32(w, text, c->rope_theta);
        else if (keys[i] != NN_KEY_WINDOW || c->sliding_window)
            nn_gguf_put_u32(w, text, (uint32_t)*nn_config_size(&copy, keys[i]));
    }
}
