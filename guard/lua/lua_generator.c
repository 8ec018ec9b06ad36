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
    {"lr", ARG_NUMBER, 0, 1, "0.002", "peak learning rate; with a base 0.00002 unless given, beside adapters 0.0002"},
    {"batch_tokens", ARG_INTEGER, 64, 1e6, "2048", "tokens of one step"},
    {"max_tokens", ARG_INTEGER, 8, 4096, "96", "tokens of one text"},
    {"steps", ARG_INTEGER, 0, 1e9, "0", "steps on each corpus at most; 0: tokens and epochs decide"},
    {"lora", ARG_TABLE, 0, 0, "-", LUA_LORA_DOC},
    {"recompute", ARG_BOOLEAN, 0, 0, "false", LUA_RECOMPUTE_DOC},
    {"base", ARG_HANDLE, 0, 0, "-", "model of run:open_model that training begins with: its shape, its tokenizer"},
    {"prompt", ARG_STRING, 0, 0, "-",
     "what a tokenizer of others reads before a text, with {label} and {category}; '{label} request about "
     "{category}:\\n' unless given"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* A base has its own shape. */
static void read_base(lua_State *L, int idx, const model_box *base, guard_lm_options *o, const char *what)
{
    static const char *const shape[] = {"layers", "width", "heads", "kv_heads", "ff"};
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        if (lua_args_push(L, idx, shape[i]) != LUA_TNIL)
            luaL_error(L, "%s.%s: not with a base, which has its own", what, shape[i]);
        lua_pop(L, 1);
    }
    o->lora = lua_read_lora(L, idx, what);
    if (lua_args_push(L, idx, "lr") == LUA_TNIL) o->adam.lr = o->lora.rank > 0 ? 2e-4f : 2e-5f;
    lua_pop(L, 1);
    o->base = base->p;
    if (guard_lm_config(&o->model, base->tok, &h->taxonomy, o, &err) != NN_OK) lua_host_raise(L, &err);
}

/* The box of the base, or NULL. */
static const model_box *read_generator_options(lua_State *L, int idx, guard_lm_options *o, const char *what)
{
    nn_err err = {0};
    const model_box *base = lua_args_model(L, idx, "base", true);
    if (base == NULL) lua_need_tokenizer(L, what);
    *o = guard_lm_default();
    lua_read_shape(L, idx, generator_args, &o->model, lua_host_of(L)->vocab);
    o->model.lm_head = o->model.tied = true;
    o->epochs = lua_args_number(L, idx, generator_args, "epochs");
    o->token_budget = (uint64_t)lua_args_number(L, idx, generator_args, "tokens");
    o->steps = lua_args_size(L, idx, generator_args, "steps");
    o->recompute = lua_args_boolean(L, idx, generator_args, "recompute");
    o->adam.lr = (float)lua_args_number(L, idx, generator_args, "lr");
    o->batch_tokens = lua_args_size(L, idx, generator_args, "batch_tokens");
    o->max_tokens = lua_args_size(L, idx, generator_args, "max_tokens");
    o->prompt = lua_args_string(L, idx, generator_args, "prompt");
    o->model.max_t = o->max_tokens + 8;
    if (base == NULL && lua_read_lora(L, idx, what).rank > 0)
        luaL_error(L, "%s.lora: only with a base, want base = run:open_model(..)", what);
    if (base != NULL) read_base(L, idx, base, o, what);
    else if (nn_config_check(&o->model, &err) != NN_OK) lua_host_raise(L, &err);
    return base;
}

/* The file that training has written already, as this stage's output. */
static nn_status name_output(lua_stage *s, generator_box *box, nn_err *err)
{
    char *path = NULL;
    const nn_status st = lua_stage_path(s, "models", ".gguf", &path, box->hash, err);
    return st == NN_OK ? lua_file_hash(path, box->hash, err) : st;
}

static nn_status generator_stage(lua_host *h, const char *name, generator_box *out, const corpus_box *c,
                                 const generator_box *init, const model_box *base, const char *budget,
                                 guard_lm_options *o, nn_err *err)
{
    lua_stage s;
    char adapter[512], file[512];
    const char *hash[4] = {c->hash, base != NULL ? base->tok_hash : h->tok_hash};
    size_t n = 2;
    if (init != NULL) hash[n++] = init->hash;
    if (base != NULL) hash[n++] = base->hash;
    nn_status st = lua_stage_begin(&s, h, name, hash, n, err);
    if (st != NN_OK) return st;
    s.budget = budget;
    o->adapter = o->lora.rank > 0 ? lua_adapter_folder(&s, adapter, sizeof adapter) : NULL;
    o->file = NULL;
    if (o->lora.rank > 0) {
        guard_run_path(h->run, &s.s, "models", ".gguf", file, sizeof file);
        o->file = file;
    }
    if (!s.s.finished)
        st = guard_lm_train(&out->g, c->c, NULL, base != NULL ? base->tok : h->tok, &h->taxonomy,
                            init != NULL ? init->g : NULL, o, &s.job, err);
    if (st == NN_OK) st = o->file && !s.s.finished ? name_output(&s, out, err) : lua_stage_generator(&s, out, "", err);
    if (st == NN_OK && o->adapter) st = lua_stage_adapter(&s, err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* Of the file, mapped: it stays in memory while it is used. */
static size_t mapped_bytes(const nn_pretrained *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < nn_pretrained_tensors(p); i++) {
        const nn_st_tensor t = nn_pretrained_tensor(p, i);
        bytes += nn_dtype_bytes(t.type, t.count);
    }
    return bytes;
}

/* Peak memory: the trainer; of a base also its floats, and what tuning begins with beside them. With adapters the
 * weights lie where they are mapped: in the base's file, in the one that is written in F32, of tuning in two of those. */
static size_t training_bytes(const guard_lm_options *o, bool tuning)
{
    const size_t copies = tuning ? 2 : 1, floats = copies * nn_config_params(&o->model) * sizeof(float);
    if (o->base != NULL && o->lora.rank > 0)
        return guard_lm_trainer_bytes(o, &o->model) + mapped_bytes(o->base) + floats;
    if (o->base == NULL)
        return nn_trainer_bytes(&o->model, (nn_trainer_options){.max_rows = o->batch_tokens + o->max_tokens,
                                                                .max_seg = o->batch_tokens,
                                                                .recompute = o->recompute});
    return guard_lm_trainer_bytes(o, &o->model) + floats;
}

/* What the plan expects: steps are an upper bound too. */
static uint64_t planned_tokens(const guard_lm_options *o, double share)
{
    const uint64_t most = (uint64_t)o->steps * o->batch_tokens, asked = (uint64_t)((double)o->token_budget * share);
    return most != 0 && (asked == 0 || most < asked) ? most : asked;
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
    const model_box *model = read_generator_options(L, 4, &o, "train_generator");
    const char *budget = lua_args_string(L, 4, generator_args, "budget");
    const uint64_t tokens = o.token_budget;
    if (budget != NULL && tokens == 0)
        return luaL_error(L, "train_generator.tokens: missing, want them beside a budget");
    const double share = lua_args_number(L, 4, generator_args, "tune_share");
    lua_stage_args(L, 4, NULL);
    generator_box *base = lua_push_generator(L), *out = lua_push_generator(L); /* base: of tuning */
    if (h->o.planning) {
        lua_plan_add(L, "train_generator", "corpus", budget, planned_tokens(&o, 1.0 - share), all->rows,
                     nn_config_params(&o.model), training_bytes(&o, false));
        lua_plan_add(L, "tune_generator", "picked rows", budget, planned_tokens(&o, share), picked->rows,
                     nn_config_params(&o.model), training_bytes(&o, true));
        return 1;
    }
    o.token_budget = (uint64_t)((double)tokens * (1.0 - share));
    if (generator_stage(h, "train_generator", base, all, NULL, model, budget, &o, &err) != NN_OK)
        return lua_host_raise(L, &err);
    o.token_budget = (uint64_t)((double)tokens * share);
    o.adam.lr *= 0.5f;
    if (generator_stage(h, "tune_generator", out, picked, base, model, budget, &o, &err) != NN_OK)
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
    if (lua_args_push(L, 3, "tune_share") != LUA_TNIL) return luaL_error(L, "pretrain.tune_share: not for pretraining");
    const model_box *model = read_generator_options(L, 3, &o, "pretrain");
    o.plain = true;
    const char *budget = lua_args_string(L, 3, generator_args, "budget");
    if (budget != NULL && o.token_budget == 0)
        return luaL_error(L, "pretrain.tokens: missing, want them beside a budget");
    lua_stage_args(L, 3, NULL);
    generator_box *out = lua_push_generator(L);
    if (h->o.planning) {
        lua_plan_add(L, "pretrain", NULL, budget, planned_tokens(&o, 1.0), all->rows, nn_config_params(&o.model),
                     training_bytes(&o, false));
    } else if (generator_stage(h, "pretrain", out, all, NULL, model, budget, &o, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

const lua_fn lua_generator_fns[] = {
    {"train_generator", l_train_generator, "run:train_generator(corpus, picked [, options]) -> generator",
     "A language model of requests, asked for by label and category: on the corpus, then on the picked rows. With a "
     "base it is that model which goes on learning.",
     generator_args},
    {"pretrain", l_pretrain, "run:pretrain(corpus [, options]) -> generator",
     "Next-token training on plain text, labels ignored; train_guard{ warm = .. } begins from what it has learnt.",
     generator_args},
    {NULL, NULL, NULL, NULL, NULL}};
