#include "guard/lm_impl.h"
#include "nn/arena.h"

guard_lm_options guard_lm_default(void)
{
    guard_lm_options o = {.model = nn_config_default(),
                          .epochs = 8.0,
                          .token_budget = 0,
                          .batch_tokens = 2048,
                          .adam = nn_adamw_default(),
                          .warmup = 0.1,
                          .max_tokens = 96,
                          .plain = false,
                          .model_seed = 0};

    o.model.layers = 3;
    o.model.lm_head = o.model.tied = true;
    o.adam.lr = 2e-3f;
    return o;
}

nn_status guard_lm_build(guard_lm **out, nn_model *m, const nn_tok *tok, const guard_taxonomy *taxonomy, nn_err *err)
{
    const nn_config *c = nn_model_config(m);
    const int32_t *pairs = NULL;
    void *block = NULL;
    nn_status st;

    *out = NULL;
    if (c->vocab != nn_tok_vocab(tok) || !c->lm_head || c->memory_rows > 0)
        return nn_fail(err, NN_USAGE,
                       "generator: a model of %zu ids for a tokenizer of %zu, want one vocabulary, next-token logits "
                       "and no memory",
                       c->vocab, nn_tok_vocab(tok));
    if ((st = nn_alloc(&block, 1, sizeof(guard_lm), err)) != NN_OK) return st;
    guard_lm *g = block;
    const size_t n_merges = nn_tok_merges(tok, &pairs);
    if ((st = nn_tok_from_merges(&g->tok, pairs, n_merges, err)) != NN_OK) {
        nn_free(g);
        return st;
    }
    if (taxonomy) g->taxonomy = *taxonomy;
    g->m = m;
    *out = g;
    return NN_OK;
}

void guard_lm_free(guard_lm *g)
{
    if (!g) return;
    nn_model_free(g->m);
    nn_tok_free(g->tok);
    nn_free(g);
}

nn_status guard_lm_clone(guard_lm **out, const guard_lm *g, nn_err *err)
{
    nn_model *m = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_model_clone(&m, g->m, err)) != NN_OK) return st;
    if ((st = guard_lm_build(out, m, g->tok, &g->taxonomy, err)) != NN_OK) nn_model_free(m);
    return st;
}

nn_model *guard_lm_model(guard_lm *g)
{
    return g->m;
}

const nn_tok *guard_lm_tok(const guard_lm *g)
{
    return g->tok;
}

const guard_taxonomy *guard_lm_taxonomy(const guard_lm *g)
{
    return &g->taxonomy;
}

size_t guard_lm_prefix(const guard_lm *g, int label, size_t category, int32_t ids[8])
{
    size_t n = 0;

    ids[n++] = NN_TOK_BOS;
    ids[n++] = NN_TOK_TASK_PROMPT;
    if (label != GUARD_LABEL_NONE) ids[n++] = label == GUARD_UNSAFE ? NN_TOK_UNSAFE : NN_TOK_SAFE;
    if (category < g->taxonomy.n) ids[n++] = NN_TOK_CATEGORY + (int32_t)category;
    return n;
}
