/* test_config_keys.c - a configuration's keys: which, and in which order, because a file's bytes are its hash. */
#include "guard/gguard.h"
#include "nn/config_keys.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

static nn_config small(void)
{
    nn_config c = nn_config_default();

    c.vocab = 320;
    c.layers = 2;
    c.width = 32;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 8;
    c.ff = 64;
    c.max_t = 128;
    return c;
}

/* The names of all keys in order, each and a newline. */
static void names_of(char *out, size_t cap, nn_gguf_writer *w)
{
    const unsigned char *bytes = NULL;
    size_t len = 0, at = 0, n = 0;
    nn_gguf *g = NULL;
    nn_gg_type type;
    nn_err err = {NN_OK, ""};

    nn_gguf_put_tensor(w, "t", NN_F32, (const float[]){1.0f}, 0, 1);
    expect_ok(nn_gguf_bytes(w, &bytes, &len, &err), &err);
    expect_ok(nn_gguf_open_memory(&g, bytes, len, "keys", &err), &err);
    for (size_t i = 0; i < nn_gguf_keys(g) && at < cap; i++) {
        const char *name = nn_gguf_key(g, i, &n, &type);

        at += (size_t)snprintf(out + at, cap - at, "%.*s\n", (int)n, name);
    }
    nn_gguf_close(g);
}

Test(config_keys, stand_in_the_order_asked_for_and_no_window_is_no_key)
{
    static const nn_config_key keys[] = {NN_KEY_THETA, NN_KEY_WINDOW, NN_KEY_LAYERS};
    nn_config c = small();
    char names[2][512];
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < 2; i++) {
        nn_gguf_writer *w = NULL;

        expect_ok(nn_gguf_writer_build(&w, &err), &err);
        c.sliding_window = 64 * i;
        nn_gguf_put_config(w, &c, "llama", keys, 3);
        names_of(names[i], sizeof names[i], w);
        nn_gguf_writer_free(w);
    }
    cr_expect_str_eq(names[0], "llama.rope.freq_base\nllama.block_count\n");
    cr_expect_str_eq(names[1], "llama.rope.freq_base\nllama.attention.sliding_window\nllama.block_count\n");
}

Test(config_keys, name_the_fields_that_the_published_keys_mean)
{
    nn_config c = small();
    char text[NN_CONFIG_KEY_CAP];

    cr_expect_eq(*nn_config_size(&c, NN_KEY_KV_HEADS), 2);
    cr_expect_eq(*nn_config_size(&c, NN_KEY_VALUE_LENGTH), 8);
    *nn_config_size(&c, NN_KEY_CONTEXT) = 99;
    cr_expect_eq(c.max_t, 99);
    nn_config_key_text(text, "qwen2", NN_KEY_WIDTH);
    cr_expect_str_eq(text, "qwen2.embedding_length");
}

/* The order of every guard that was shipped. */
Test(config_keys, of_a_guard_keep_their_order)
{
    const nn_config c = small();
    nn_gguf_writer *w = NULL;
    char names[1024];
    nn_err err = {NN_OK, ""};

    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    guard_put_config(w, &c);
    names_of(names, sizeof names, w);
    cr_expect_str_eq(names,
                     "qwen3.vocab_size\nqwen3.context_length\nqwen3.embedding_length\nqwen3.block_count\n"
                     "qwen3.feed_forward_length\nqwen3.attention.head_count\nqwen3.attention.head_count_kv\n"
                     "qwen3.attention.key_length\nguard.memory.rows\nguard.category.rows\n"
                     "qwen3.attention.value_length\nqwen3.attention.layer_norm_rms_epsilon\nqwen3.rope.freq_base\n"
                     "guard.decoder.rope\nguard.decoder.qk_norm\nguard.decoder.qkv_bias\nguard.decoder.lm_head\n"
                     "guard.decoder.tied\nguard.decoder.pool\n");
    nn_gguf_writer_free(w);
}
