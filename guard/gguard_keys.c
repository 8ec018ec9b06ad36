/* gguard_keys.c - the tables of gguard.h, and what a configuration is called. */
#include "guard/gguard.h"
#include <stddef.h>

#define ROOM(field) sizeof(((guard_category *)0)->field)
#define TEXT(field) {"guard.taxonomy." #field, offsetof(guard_category, field), ROOM(field)}

const guard_taxonomy_text guard_taxonomy_texts[GUARD_TAXONOMY_TEXTS] = {
    TEXT(name), TEXT(domain), TEXT(definition), TEXT(openai), TEXT(mlcommons),
};

const nn_config_key guard_config_keys[GUARD_CONFIG_KEYS] = {
    NN_KEY_VOCAB, NN_KEY_CONTEXT, NN_KEY_WIDTH,    NN_KEY_LAYERS,
    NN_KEY_FF,    NN_KEY_HEADS,   NN_KEY_KV_HEADS, NN_KEY_KEY_LENGTH,
};

const char *const guard_format_keys[GUARD_FORMAT_PARTS] = {
    [GUARD_PROMPT_LEAD] = "guard.format.prompt_lead",
    [GUARD_PROMPT_TAIL] = "guard.format.prompt_tail",
    [GUARD_RESPONSE_LEAD] = "guard.format.response_lead",
    [GUARD_RESPONSE_MID] = "guard.format.response_mid",
    [GUARD_RESPONSE_TAIL] = "guard.format.response_tail",
};

const char *guard_architecture(const nn_config *c)
{
    if (c->qk_norm) return !c->qkv_bias && c->rope == NN_ROPE_HALF ? "qwen3" : GUARD_ARCH_OTHER;
    if (c->qkv_bias) return c->rope == NN_ROPE_HALF ? "qwen2" : GUARD_ARCH_OTHER;
    return c->rope == NN_ROPE_PAIRS ? "llama" : GUARD_ARCH_OTHER;
}

size_t guard_divisors(const nn_config *c)
{
    return c->head_dim <= NN_HEAD_MAX ? c->head_dim / 2 : 0;
}

bool guard_has_divisors(const nn_config *c)
{
    for (size_t i = 0; i < guard_divisors(c); i++)
        if (c->rope_divisor[i] != 0.0f) return true;
    return false;
}
