/* gguard_keys.c - the tables of gguard.h. */
#include "guard/gguard.h"
#include <stddef.h>

#define ROOM(field) sizeof(((guard_category *)0)->field)
#define TEXT(field) {"guard.taxonomy." #field, offsetof(guard_category, field), ROOM(field)}

const guard_taxonomy_text guard_taxonomy_texts[GUARD_TAXONOMY_TEXTS] = {
    TEXT(name), TEXT(domain), TEXT(definition), TEXT(openai), TEXT(mlcommons),
};

/* A leading dot: below the architecture's name. */
const guard_config_size guard_config_sizes[GUARD_CONFIG_SIZES] = {
    {".vocab_size", offsetof(nn_config, vocab)},
    {".context_length", offsetof(nn_config, max_t)},
    {".embedding_length", offsetof(nn_config, width)},
    {".block_count", offsetof(nn_config, layers)},
    {".feed_forward_length", offsetof(nn_config, ff)},
    {".attention.head_count", offsetof(nn_config, heads)},
    {".attention.head_count_kv", offsetof(nn_config, kv_heads)},
    {".attention.key_length", offsetof(nn_config, head_dim)},
    {"guard.memory.rows", offsetof(nn_config, memory_rows)},
    {"guard.category.rows", offsetof(nn_config, n_category)},
};
