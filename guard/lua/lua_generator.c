/* lua_generator.c - run:train_generator, run:pretrain: language models of requests and of plain text.
 *
 * Reads: stage.h, guard/lm.h.   Read next: lua_adversary.c.
 */
#include "guard/lua/lua_api.h"
#include <lauxlib.h>
#include <stdio.h>

nn_status lua_stage_generator(lua_stage *s, generator_box *box, const char *suffix, nn_err *err)
{
    char name[64], *path = NULL;
    snprintf(name, sizeof name, "%s.gguf", suffix);
    nn_status st = lua_stage_path(s, "models", name, &path, box->hash, err);
    if (st == NN_OK) st = s->s.finished ? guard_lm_open(&box->g, path, err) : guard_lm_save(box->g, path, err);
    return st == NN_OK ? lua_file_hash(path, box->hash, err) : st;
}

/* --- train_generator ---------------------------------------------------------------------- */
static const lua_arg generator_args[] = {
    {"tokens", ARG_NUMBER, 0, 1e12, "0", "training tokens at most, both corpora together; 0: epochs decide"},
    {"budget", ARG_STRING, 0, 0, "-", "budget of parapet.run that the tokens count against"},
    {"epochs", ARG_NUMBER, 0, 1000, "8", "passes over each corpus at most"},
    {"tune_share", ARG_NUMBER, 0.01, 0.99, "0.4", "share of the tokens for the picked rows, after the corpus"},
    {"layers", ARG_INTEGER, 1, 64, "3", "layers"},
    {"width", ARG_INTEGER, 8, 8192, "128", "channels"},
    {"heads", ARG_INTEGER, 1, 128, "4", "query heads"},
    {"kv_heads", ARG_INTEGER, 1, 128, "2", "key and value heads"},
    {"ff", ARG_INTEGER, 8, 65536, "352", "width of the feed-forward"},
    {"lr", ARG_NUMBER, 0, 1, "0.002", "peak learning rate"},
    {"batch_tokens", ARG_INTEGER, 64, 1e6, "2048", "tokens of one step"},
    {"max_tokens", ARG_INTEGER, 8, 4096, "96", "tokens of one text"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

static void read_generator_options(lua_State *L, int idx, guard_lm_options *o)
{
    nn_err err = {0};
    *o = guard_lm_default();
    lua_read_shape(L, idx, generator_args, &o->model, lua_host_of(L)->vocab);
    o->model.lm_head = o->model.tied = true;
    o->epochs = lua_args_number(L, idx, generator_args, "epochs");
    o->token_budget = (uint64_t)lua_args_number(L, idx, generator_args, "tokens");
    o->adam.lr = (float)lua_args_number(L, idx, generator_args, "lr");
    o->batch_tokens = lua_args_size(L, idx, generator_args, "batch_tokens");
    o->max_tokens = lua_args_size(L, idx, generator_args, "max_tokens");
    o->model.max_t = o->max_tokens + 8;
    if (nn_config_check(&o->model, &err) != NN_OK) lua_host_raise(L, &err);
}

static nn_status generator_stage(lua_host *h, const char *name, generator_box *out, const corpus_box *c,
                                 const generator_box *init, const char *budget, const guard_lm_options *o, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {c->hash, h->tok_hash, init != NULL ? init->hash : NULL};
    nn_status st = lua_stage_begin(&s, h, name, hash, init != NULL ? 3 : 2, err);
    if (st != NN_OK) return st;
    s.budget = budget;
    if (!s.s.finished)
        st = guard_lm_train(&out->g, c->c, NULL, h->tok, &h->taxonomy, init != NULL ? init->g : NULL, o, &s.job, err);
    if (st == NN_OK) st = lua_stage_generator(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* First all of the corpus, then the rows that the small guard picked: two stages, each with its checkpoint.
 * stack: run corpus picked options -> generator */
static int l_train_generator(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    guard_lm_options o;
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *all = lua_check_corpus(L, 2), *picked = lua_check_corpus(L, 3);
    lua_settop(L, 4);
    lua_args_check(L, 4, generator_args, "train_generator");
    lua_need_tokenizer(L, "train_generator");
    read_generator_options(L, 4, &o);
    const char *budget = lua_args_string(L, 4, generator_args, "budget");
    const uint64_t tokens = o.token_budget;
    if (budget != NULL && tokens == 0)
        return luaL_error(L, "train_generator.tokens: missing, want them beside a budget");
    const double share = lua_args_number(L, 4, generator_args, "tune_share");
    lua_stage_args(L, 4, NULL);
    generator_box *base = lua_push_generator(L), *out = lua_push_generator(L);
    if (h->o.planning) {
        const nn_trainer_options t = {o.batch_tokens + o.max_tokens, o.batch_tokens};
        lua_plan_add(L, "train_generator", "corpus", budget, (uint64_t)((double)tokens * (1.0 - share)), all->rows,
                     nn_config_params(&o.model), nn_trainer_bytes(&o.model, t));
        lua_plan_add(L, "tune_generator", "picked rows", budget, (uint64_t)((double)tokens * share), picked->rows,
                     nn_config_params(&o.model), nn_trainer_bytes(&o.model, t));
        return 1;
    }
    o.token_budget = (uint64_t)((double)tokens * (1.0 - share));
    if (generator_stage(h, "train_generator", base, all, NULL, budget, &o, &err) != NN_OK)
        return lua_host_raise(L, &err);
    o.token_budget = (uint64_t)((double)tokens * share);
    o.adam.lr *= 0.5f;
    if (generator_stage(h, "tune_generator", out, picked, base, budget, &o, &err) != NN_OK)
        return lua_host_raise(L, &err);
    return 1;
}

/* --- pretrain ------------------------------------------------------------------------------- */
/* stack: run corpus options -> generator: a language model of plain text, no control tokens */
static int l_pretrain(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    guard_lm_options o;
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *all = lua_check_corpus(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, generator_args, "pretrain");
    lua_need_tokenizer(L, "pretrain");
    if (lua_args_push(L, 3, "tune_share") != LUA_TNIL) return luaL_error(L, "pretrain.tune_share: not for pretraining");
    read_generator_options(L, 3, &o);
    o.plain = true;
    const char *budget = lua_args_string(L, 3, generator_args, "budget");
    if (budget != NULL && o.token_budget == 0)
        return luaL_error(L, "pretrain.tokens: missing, want them beside a budget");
    lua_stage_args(L, 3, NULL);
    generator_box *out = lua_push_generator(L);
    if (h->o.planning) {
        const nn_trainer_options t = {o.batch_tokens + o.max_tokens, o.batch_tokens};
        lua_plan_add(L, "pretrain", NULL, budget, o.token_budget, all->rows, nn_config_params(&o.model),
                     nn_trainer_bytes(&o.model, t));
    } else if (generator_stage(h, "pretrain", out, all, NULL, budget, &o, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

const lua_fn lua_generator_fns[] = {
    {"train_generator", l_train_generator, "run:train_generator(corpus, picked [, options]) -> generator",
     "A language model of requests with control tokens: on the corpus, then on the picked rows.", generator_args},
    {"pretrain", l_pretrain, "run:pretrain(corpus [, options]) -> generator",
     "Next-token training on plain text, labels ignored; train_guard{ warm = .. } begins from what it has learnt.",
     generator_args},
    {NULL, NULL, NULL, NULL, NULL}};
