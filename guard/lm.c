#include "guard/lm_impl.h"
#include "nn/arena.h"

guard_lm_options guard_lm_default(void)
{
    guard_lm_options o = {.model = nn_config_default(),
                          .epochs = 8.0,
                          .token_budget = 0,
                          .steps = 0,
                          .batch_tokens = 2048,
                          .adam = nn_adamw_default(),
                          .warmup = 0.1,
                          .max_tokens = 96,
                          .plain = false,
                          .model_seed = 0,
                          .base = NULL,
                          .prompt = NULL};

    o.model.layers = 3;
    o.model.lm_head = o.model.tied = true;
    o.adam.lr = 2e-3f;
    return o;
}

nn_status guard_lm_check(const nn_config *c, const nn_tok *tok, size_t room, nn_err *err)
{
    const size_t ids = nn_tok_vocab(tok);

    if (c->vocab < ids || (nn_tok_is_own(tok) && c->vocab > ids) || !c->lm_head || c->memory_rows > 0)
        return nn_fail(err, NN_USAGE,
                       "generator: a model of %zu ids for a tokenizer of %zu, want one vocabulary, next-token logits "
                       "and no memory",
                       c->vocab, ids);
    if (nn_tok_eos(tok) < 0)
        return nn_fail(err, NN_USAGE, "generator: tokenizer %s has no token that ends a text (EOS), want one",
                       nn_tok_kind(tok));
    if (c->max_t <= room)
        return nn_fail(err, NN_USAGE, "generator: room for %zu tokens, want more than %zu", c->max_t, room);
    return NN_OK;
}

/* Of ours these are the reserved ids. An embedding may have more rows than the tokenizer has ids. */
static nn_status ban(guard_lm *g, nn_err *err)
{
    const size_t V = nn_model_config(g->m)->vocab, ids = nn_tok_vocab(g->tok);
    const nn_status st = nn_alloc((void **)&g->banned, V, 1, err);

    for (size_t i = 0; i < V && st == NN_OK; i++) {
        size_t len = 0;

        if (i < ids) (void)nn_tok_bytes(g->tok, (int32_t)i, &len);
        g->banned[i] = len == 0 || nn_tok_is_control(g->tok, (int32_t)i);
    }
    return st;
}

nn_status guard_lm_build(guard_lm **out, nn_model *m, const nn_tok *tok, const guard_taxonomy *taxonomy,
                         const char *prompt, nn_err *err)
{
    guard_lm *g = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_alloc((void **)&g, 1, sizeof *g, err)) != NN_OK) return st;
    g->m = m;
    g->eos = nn_tok_eos(tok);
    if (taxonomy) g->taxonomy = *taxonomy;
    if ((st = nn_tok_clone(&g->tok, tok, err)) != NN_OK) goto done;
    if ((st = guard_lm_prompt_build(&g->prompt, tok, &g->taxonomy, prompt, err)) != NN_OK) goto done;
    if ((st = guard_lm_check(nn_model_config(m), tok, g->prompt.room, err)) != NN_OK) goto done;
    if ((st = ban(g, err)) != NN_OK) goto done;
    *out = g;
    return NN_OK;
done:
    g->m = NULL;
    guard_lm_free(g);
    return st;
}

void guard_lm_free(guard_lm *g)
{
    if (!g) return;
    nn_model_free(g->m);
    nn_gguf_close(g->file);
    nn_tok_free(g->tok);
    guard_lm_prompt_free(&g->prompt);
    nn_free(g->banned);
    nn_free(g);
}

nn_status guard_lm_clone(guard_lm **out, const guard_lm *g, nn_err *err)
{
    nn_model *m = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_model_floats(&m, g->m, err)) != NN_OK) return st;
    if ((st = guard_lm_build(out, m, g->tok, &g->taxonomy, g->prompt.text, err)) != NN_OK) nn_model_free(m);
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
