/* lua_train.c - run:train_guard, run:train_judges, run:score; guard:only.
 *
 * Reads: stage.h, guard/train_guard.h, guard/lm.h, guard/curate.h.   Read next: lua_synth.c, lua_adversary.c.
 */
#include "guard/folder.h"
#include "guard/label.h"
#include "guard/lua/lua_api.h"
#include "guard/lua/order.h"
#include "nn/arena.h"
#include "nn/sha256.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* --- options of a guard, shared by guards and judges -------------------------------------- */
const lua_arg lua_guard_args[] = {
    {"name", ARG_STRING, 0, 0, "guard", "name in tables and files"},
    {"tokens", ARG_NUMBER, 0, 1e12, "0", "training tokens at most; 0: epochs decide"},
    {"budget", ARG_STRING, 0, 0, "-", "budget of parapet.run that the tokens count against"},
    {"epochs", ARG_NUMBER, 0, 1000, "4", "passes over the corpus at most"},
    {"init", ARG_HANDLE, 0, 0, "-", "guard whose decoder is trained on"},
    {"wide", ARG_BOOLEAN, 0, 0, "true", "the linear part on hashed n-grams"},
    {"decoder", ARG_BOOLEAN, 0, 0, "true", "the decoder on its residual"},
    {"wide_bits", ARG_INTEGER, 8, 24, "17", "2^bits weights of the wide part"},
    {"wide_C", ARG_NUMBER, 1e-6, 1e6, "4", "inverse regularisation of the wide part"},
    {"folds", ARG_INTEGER, 2, 20, "5", "folds of the out-of-fold wide logits"},
    {"layers", ARG_INTEGER, 1, 64, "2", "layers of the decoder"},
    {"width", ARG_INTEGER, 8, 8192, "96", "channels"},
    {"heads", ARG_INTEGER, 1, 128, "4", "query heads"},
    {"kv_heads", ARG_INTEGER, 1, 128, "2", "key and value heads"},
    {"ff", ARG_INTEGER, 8, 65536, "256", "width of the feed-forward"},
    {"memory", ARG_INTEGER, 0, 16777216, "0", "rows of the n-gram memory"},
    {"pool", ARG_STRING, 0, 0, "mean_max", "what the heads read: 'last' or 'mean_max'"},
    {"lr", ARG_NUMBER, 0, 1, "0.002", "peak learning rate; with a base 0.00002 unless given, beside adapters 0.0002"},
    {"memory_lr", ARG_NUMBER, 0, 1000, "1", "learning-rate factor of the memory"},
    {"weight_decay", ARG_NUMBER, 0, 10, "0.1", "AdamW's"},
    {"warmup", ARG_NUMBER, 0, 1, "0.1", "share of the steps"},
    {"batch_tokens", ARG_INTEGER, 64, 1e6, "2048", "tokens of one step"},
    {"category_weight", ARG_NUMBER, 0, 100, "4", "of the category loss, a mean over categories, beside the verdict's 1"},
    {"next_weight", ARG_NUMBER, 0, 100, "0", "of the next-token loss"},
    {"smoothing", ARG_NUMBER, 0, 0.49, "0.02", "label smoothing"},
    {"patience", ARG_INTEGER, 0, 1000, "3", "evaluations without gain before stopping; 0: never"},
    {"weight_column", ARG_STRING, 0, 0, "-", "column with a weight for each training row"},
    {"wide_weight_column", ARG_STRING, 0, 0, "-", "column with one more factor, for the wide part alone"},
    {"warm", ARG_HANDLE, 0, 0, "-",
     "generator of this run: what the decoder shares with it in name and shape begins there"},
    {"base", ARG_HANDLE, 0, 0, "-",
     "model of run:open_model that the decoder begins as, whole: its shape, its tokenizer"},
    LUA_TEMPLATE_ARGS,
    {"labels", ARG_TABLE, 0, 0, "-",
     "with a base: { safe = word, unsafe = word }, the verdict begins as run:label_guard's"},
    {"lora", ARG_TABLE, 0, 0, "-", LUA_LORA_DOC},
    {"recompute", ARG_BOOLEAN, 0, 0, "false", LUA_RECOMPUTE_DOC},
    {"steps", ARG_INTEGER, 0, 1e9, "0", "steps of the decoder at most; 0: tokens and epochs decide"},
    {"focus", ARG_STRING, 0, 0, "-", "column: a pass takes every row with a value there, and `replay` others for each"},
    {"replay", ARG_NUMBER, 0, 1000, "4", "other rows for each row in focus"},
    {"window", ARG_INTEGER, 16, 4096, "256", "tokens seen at once"},
    {"store", ARG_STRING, 0, 0, "q8_0",
     "type that weights are rounded to before thresholds are chosen: f32, bf16, q8_0, q4_0, int8 (fastest; cannot be trained on)"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

nn_dtype lua_read_store(lua_State *L, const char *what, const char *text)
{
    static const struct {
        const char *name;
        nn_dtype type;
    } known[] = {{"f32", NN_F32}, {"bf16", NN_BF16}, {"q8_0", NN_Q8_0}, {"q4_0", NN_Q4_0}, {"int8", NN_I8}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text, known[i].name) == 0) return known[i].type;
    return (nn_dtype)luaL_error(L, "%s.store: '%s', want f32, bf16, q8_0, q4_0 or int8", what, text);
}

static bool is_given(lua_State *L, int idx, const char *name)
{
    const bool given = lua_args_push(L, idx, name) != LUA_TNIL;
    lua_pop(L, 1);
    return given;
}

static size_t size_of(lua_State *L, int idx, const char *name) { return lua_args_size(L, idx, lua_guard_args, name); }
static float float_of(lua_State *L, int idx, const char *name)
{
    return (float)lua_args_number(L, idx, lua_guard_args, name);
}

/* The decoder's shape from options that a guard, a judge and a generator share by name. */
void lua_read_shape(lua_State *L, int idx, const lua_arg *rows, nn_config *m, size_t vocab)
{
    m->layers = lua_args_size(L, idx, rows, "layers");
    m->width = lua_args_size(L, idx, rows, "width");
    m->heads = lua_args_size(L, idx, rows, "heads");
    m->kv_heads = lua_args_size(L, idx, rows, "kv_heads");
    m->ff = lua_args_size(L, idx, rows, "ff");
    m->head_dim = m->heads != 0 ? m->width / m->heads : 0;
    m->vocab = vocab;
}

void lua_read_guard_options(lua_State *L, int idx, guard_train_options *o)
{
    lua_host *h = lua_host_of(L);
    *o = guard_train_default();
    lua_read_shape(L, idx, lua_guard_args, &o->model, h->vocab);
    const char *pool = lua_args_string(L, idx, lua_guard_args, "pool");
    if (strcmp(pool, "last") != 0 && strcmp(pool, "mean_max") != 0)
        luaL_error(L, "pool: '%s', want 'last' or 'mean_max'", pool);
    o->model.pool = strcmp(pool, "last") == 0 ? NN_POOL_LAST : NN_POOL_MEAN_MAX;
    o->model.memory_rows = size_of(L, idx, "memory");
    o->model.n_class = 2;
    o->model.n_category = h->taxonomy.n;
    o->wide = lua_args_boolean(L, idx, lua_guard_args, "wide");
    o->decoder = lua_args_boolean(L, idx, lua_guard_args, "decoder");
    o->wide_options.bits = (unsigned)size_of(L, idx, "wide_bits");
    o->wide_options.C = lua_args_number(L, idx, lua_guard_args, "wide_C");
    o->folds = size_of(L, idx, "folds");
    o->epochs = lua_args_number(L, idx, lua_guard_args, "epochs");
    o->token_budget = (uint64_t)lua_args_number(L, idx, lua_guard_args, "tokens");
    o->batch_tokens = size_of(L, idx, "batch_tokens");
    o->adam.lr = float_of(L, idx, "lr");
    o->adam.weight_decay = float_of(L, idx, "weight_decay");
    o->adam.lr_scale[2] = float_of(L, idx, "memory_lr");
    o->warmup = lua_args_number(L, idx, lua_guard_args, "warmup");
    o->category_weight = float_of(L, idx, "category_weight");
    o->next_weight = float_of(L, idx, "next_weight");
    o->model.lm_head = o->model.tied = o->next_weight > 0.0f;
    o->label_smoothing = float_of(L, idx, "smoothing");
    o->patience = size_of(L, idx, "patience");
    o->steps = size_of(L, idx, "steps");
    o->recompute = lua_args_boolean(L, idx, lua_guard_args, "recompute");
    o->wide_weight_column = lua_args_string(L, idx, lua_guard_args, "wide_weight_column");
    o->focus_column = lua_args_string(L, idx, lua_guard_args, "focus");
    o->replay = lua_args_number(L, idx, lua_guard_args, "replay");
    o->window = size_of(L, idx, "window");
    o->stride = o->window / 2;
    o->model.max_t = o->window;
    o->store = lua_read_store(L, "guard", lua_args_string(L, idx, lua_guard_args, "store"));
    nn_err err = {0};
    if (!o->wide && !o->decoder) luaL_error(L, "a guard without wide part and without decoder, want one of them");
    if (o->decoder && !is_given(L, idx, "base") && nn_config_check(&o->model, &err) != NN_OK) lua_host_raise(L, &err);
}

/* --- adapters ----------------------------------------------------------------------------- */
static const lua_arg lora_args[] = {
    {"rank", ARG_INTEGER, 1, NN_LORA_RANK_MAX, "8", "rows of A and columns of B"},
    {"alpha", ARG_NUMBER, 1e-6, 65536, "16", "what they say is multiplied by alpha / rank"},
    {"dropout", ARG_NUMBER, 0, 0.99, "0", "share of an adapter's input that is 0 in training"},
    {"targets", ARG_TABLE, 0, 0, "-", "list of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj; all"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* The list of modules on top of the stack. */
static unsigned read_targets(lua_State *L, const char *what)
{
    unsigned targets = 0;
    const lua_Integer n = (lua_Integer)lua_rawlen(L, -1);

    for (lua_Integer i = 1; i <= n; i++) {
        nn_lora_target t = 0;
        const char *name = lua_rawgeti(L, -1, i) == LUA_TSTRING ? lua_tostring(L, -1) : "";

        while (t < NN_LORA_TARGETS && strcmp(name, nn_lora_target_name(t)) != 0) t++;
        if (t == NN_LORA_TARGETS)
            luaL_error(L, "%s.lora.targets: '%s', want q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj",
                       what, name);
        targets |= 1u << t;
        lua_pop(L, 1);
    }
    if (targets == 0) luaL_error(L, "%s.lora.targets: none, want one or more", what);
    return targets;
}

nn_lora_options lua_read_lora(lua_State *L, int idx, const char *what)
{
    nn_lora_options o = nn_lora_default();
    char name[64];

    if (lua_args_push(L, idx, "lora") == LUA_TNIL) {
        lua_pop(L, 1);
        return (nn_lora_options){0};
    }
    const int at = lua_gettop(L);
    snprintf(name, sizeof name, "%s.lora", what);
    lua_args_check(L, at, lora_args, name);
    o.rank = lua_args_size(L, at, lora_args, "rank");
    o.alpha = (float)lua_args_number(L, at, lora_args, "alpha");
    o.dropout = (float)lua_args_number(L, at, lora_args, "dropout");
    if (lua_args_push(L, at, "targets") != LUA_TNIL) o.targets = read_targets(L, what);
    lua_settop(L, at - 1);
    return o;
}

/* --- a model of other people to begin as -------------------------------------------------- */
static void refuse_given(lua_State *L, int idx, const char *const *names, size_t n, const char *why)
{
    for (size_t i = 0; i < n; i++)
        if (is_given(L, idx, names[i])) luaL_error(L, "train_guard.%s: %s", names[i], why);
}

/* The base's shape and how it is asked; f is where o->format points. */
static void read_base(lua_State *L, int idx, const model_box *base, guard_train_options *o, guard_format *f)
{
    static const char *const shape[] = {"layers", "width", "heads", "kv_heads", "ff", "memory", "warm"},
                            *const asked[] = {"template", "messages", "response_template", "response_messages",
                                              "labels", "lora"};
    nn_err err = {0};
    if (base == NULL) {
        refuse_given(L, idx, asked, sizeof asked / sizeof *asked, "only with a base, want base = run:open_model(..)");
        return;
    }
    refuse_given(L, idx, shape, sizeof shape / sizeof *shape, "not with a base, which has its own");
    const bool tied = nn_pretrained_config(base->p)->tied, labels = is_given(L, idx, "labels");
    const nn_pool pool = is_given(L, idx, "pool") ? o->model.pool : NN_POOL_LAST;
    const size_t n_category = o->model.n_category;
    if (labels && pool != NN_POOL_LAST) luaL_error(L, "train_guard.labels: want pool = 'last'");
    o->base = base->p;
    o->model = *nn_pretrained_config(base->p);
    o->model.pool = pool;
    o->model.n_class = 2;
    o->model.n_category = n_category;
    o->model.lm_head = o->next_weight > 0.0f;
    o->model.tied = o->model.lm_head && tied;
    o->model.max_t = o->window;
    o->lora = lua_read_lora(L, idx, "train_guard");
    if (o->lora.rank > 0 && is_given(L, idx, "init")) luaL_error(L, "train_guard.lora: not with init");
    if (!is_given(L, idx, "lr")) o->adam.lr = o->lora.rank > 0 ? 2e-4f : 2e-5f;
    nn_status st = guard_check_base(base->p, base->tok, o->window, &err);
    if (is_given(L, idx, "template") || is_given(L, idx, "messages"))
        lua_read_format(L, idx, base, "train_guard", f, o->label);
    else if (labels || is_given(L, idx, "response_template") || is_given(L, idx, "response_messages"))
        luaL_error(L, "train_guard.template: missing, want the prompt's template");
    else if (st == NN_OK) st = guard_format_plain(f, base->tok, &err);
    o->format = f;
    if (st == NN_OK) st = guard_format_check(f, nn_tok_vocab(base->tok), o->window, &err);
    if (st == NN_OK) st = nn_config_check(&o->model, &err);
    if (st != NN_OK) lua_host_raise(L, &err);
}

/* --- models as outputs of stages ---------------------------------------------------------- */
nn_status lua_stage_guard(lua_stage *s, guard_box *box, const char *suffix, nn_dtype type, nn_err *err)
{
    char name[64], *path = NULL;
    snprintf(name, sizeof name, "%s.gguf", suffix);
    nn_status st = lua_stage_path(s, "models", name, &path, box->hash, err);
    if (st != NN_OK) return st;
    const char *dir = guard_run_dir(s->h->run);
    snprintf(box->file, sizeof box->file, "%s", strncmp(path, dir, strlen(dir)) == 0 ? path + strlen(dir) + 1 : path);
    if (!s->s.finished) {
        if ((st = guard_classifier_save(box->g, path, type, err)) != NN_OK) return st;
        guard_classifier_close(box->g); /* from here on the guard is what its file says, as after a resume */
        box->g = NULL;
    }
    if ((st = guard_classifier_open(&box->g, path, err)) != NN_OK) return st;
    guard_classifier_sha256(box->g, box->hash);
    return NN_OK;
}

nn_status lua_file_hash(const char *path, char sha[65], nn_err *err)
{
    return guard_file_hash(sha, path, err);
}

void lua_need_tokenizer(lua_State *L, const char *what)
{
    if (lua_host_of(L)->vocab == 0) luaL_error(L, "%s: no tokenizer yet, want run:train_tokenizer before", what);
}

/* --- adapters as outputs ------------------------------------------------------------------ */
#define ADAPTER ".lora"

const char *lua_adapter_folder(const lua_stage *s, char *out, size_t cap)
{
    guard_run_path(s->h->run, &s->s, "models", ADAPTER, out, cap);
    return out;
}

nn_status lua_stage_adapter(lua_stage *s, nn_err *err)
{
    static const char *const files[] = {ADAPTER "/adapter_config.json", ADAPTER "/adapter_model.safetensors"};
    char sha[65], *path = NULL;
    nn_status st = NN_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && st == NN_OK; i++)
        st = lua_stage_path(s, "models", files[i], &path, sha, err);
    return st;
}

/* --- train_guard -------------------------------------------------------------------------- */
static nn_status train_stage(lua_host *h, guard_box *out, const corpus_box *train, const corpus_box *valid,
                             const guard_box *init, const generator_box *warm, const model_box *base,
                             const char *weight, const char *budget, guard_train_options *o, nn_err *err)
{
    lua_stage s;
    const char *hash[6] = {train->hash, valid->hash, base != NULL ? base->tok_hash : h->tok_hash};
    size_t n = 3;
    if (init != NULL) hash[n++] = init->hash;
    if (warm != NULL) hash[n++] = warm->hash;
    if (base != NULL) hash[n++] = base->hash;
    nn_status st = lua_stage_begin(&s, h, "train_guard", hash, n, err);
    if (st != NN_OK) return st;
    if (warm != NULL) o->warm = guard_lm_model(warm->g);
    s.budget = budget;
    char adapter[512];
    o->adapter = o->lora.rank > 0 ? lua_adapter_folder(&s, adapter, sizeof adapter) : NULL;
    if (!s.s.finished) {
        st = guard_train(&out->g, train->c, valid->c, weight, base != NULL ? base->tok : h->tok, &h->taxonomy,
                         init != NULL ? init->g : NULL, o, &s.job, err);
        if (st != NN_OK) return st;
    }
    st = lua_stage_guard(&s, out, "", o->store, err);
    if (st == NN_OK && o->adapter) st = lua_stage_adapter(&s, err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run train valid options -> guard */
static int l_train_guard(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    guard_train_options o;
    guard_format format;
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *train = lua_check_corpus(L, 2), *valid = lua_check_corpus(L, 3);
    lua_settop(L, 4);
    lua_args_check(L, 4, lua_guard_args, "train_guard");
    const model_box *base = lua_args_model(L, 4, "base", true);
    if (base == NULL) lua_need_tokenizer(L, "train_guard");
    const guard_box *init = lua_args_guard(L, 4, "init", true);
    const generator_box *warm = lua_args_generator(L, 4, "warm", true);
    if (init != NULL && warm != NULL) return luaL_error(L, "train_guard: init and warm, want one of them");
    lua_read_guard_options(L, 4, &o);
    read_base(L, 4, base, &o, &format);
    const char *name = lua_args_string(L, 4, lua_guard_args, "name"),
               *budget = lua_args_string(L, 4, lua_guard_args, "budget");
    const char *weight = lua_args_string(L, 4, lua_guard_args, "weight_column");
    lua_need_column(L, "train_guard.weight_column", train->c, weight);
    lua_need_column(L, "train_guard.focus", train->c, o.focus_column);
    lua_need_column(L, "train_guard.wide_weight_column", train->c, o.wide_weight_column);
    lua_stage_args(L, 4, NULL);
    guard_box *out = lua_push_guard(L);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->wide = o.wide;
    out->decoder = o.decoder;
    if (h->o.planning) {
        const guard_train_cost c = guard_train_plan(&o);
        lua_plan_add(L, "train_guard", name, budget, c.tokens, train->rows, c.params, c.train_bytes);
    } else if (train_stage(h, out, train, valid, init, warm, base, weight, budget, &o, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- train_judges: the guard of another fold and seed, the n-gram judge, the reward judge - */
/* Half of the concepts for the judges that vote, the other half for the one that rewards: none has seen the other's
 * rows. */
static nn_status halves(guard_corpus *half[2], const guard_corpus *train, uint64_t seed, nn_err *err)
{
    static const double parts[] = {0.5, 0.5};
    return guard_corpus_split(half, train, "concept", parts, 2,
                              seed ^ 0x6a756467u /* "judg": not the run's own split */, err);
}

static nn_status build_judges(judges_box *out, const guard_corpus *human, guard_corpus *const half[2], guard_job *job,
                              nn_err *err)
{
    guard_judge_options jo = guard_judge_default();
    guard_wide_options wo = jo.wide;
    wo.seed ^= 0x7277u; /* the reward judge walks its rows in another order, too */
    nn_status st = guard_judges_build(&out->judges, human, out->other, &jo, job, err);
    if (st == NN_OK) st = guard_wide_train(&out->reward, half[1], NULL, &wo, &job->exec->par, err);
    return st;
}

static nn_status judges_stage(lua_host *h, judges_box *out, const corpus_box *train, const corpus_box *valid,
                              const char *budget, const guard_train_options *o, nn_err *err)
{
    lua_stage s;
    guard_box other = {0};
    guard_corpus *half[2] = {NULL, NULL};
    const char *hash[] = {train->hash, valid->hash, h->tok_hash};
    nn_status st = lua_stage_begin(&s, h, "train_judges", hash, 3, err);
    if (st != NN_OK) return st;
    s.budget = budget;
    st = halves(half, train->c, h->seed, err);
    if (st == NN_OK && !s.s.finished)
        st = guard_train(&other.g, half[0], valid->c, NULL, h->tok, &h->taxonomy, NULL, o, &s.job, err);
    if (st == NN_OK) st = lua_stage_guard(&s, &other, "", o->store, err);
    out->other = other.g;
    snprintf(out->hash, sizeof out->hash, "%s", other.hash);
    guard_job job = s.job; /* convex or lookup: seconds, so rebuilt at resume, and counted once */
    if (st == NN_OK) st = build_judges(out, train->c, half, s.s.finished ? &job : &s.job, err);
    guard_corpus_free(half[0]);
    guard_corpus_free(half[1]);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* Options of a guard that the judge among the three does not have. */
static void refuse_judge_options(lua_State *L, int idx)
{
    static const char *const without[] = {"init", "weight_column", "wide_weight_column", "warm", "focus",
                                          "name", "store", "base", "template",
                                          "messages", "response_template", "response_messages", "labels", "lora"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        if (lua_args_push(L, idx, without[i]) != LUA_TNIL) luaL_error(L, "train_judges.%s: not for judges", without[i]);
        lua_pop(L, 1);
    }
}

/* stack: run train valid options -> judges */
static int l_train_judges(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    guard_train_options o;
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *train = lua_check_corpus(L, 2), *valid = lua_check_corpus(L, 3);
    lua_settop(L, 4);
    lua_args_check(L, 4, lua_guard_args, "train_judges");
    refuse_judge_options(L, 4);
    lua_need_tokenizer(L, "train_judges");
    lua_read_guard_options(L, 4, &o);
    o.model_seed = h->seed ^ 0x6f74686572u;
    const char *budget = lua_args_string(L, 4, lua_guard_args, "budget");
    lua_stage_args(L, 4, NULL);
    judges_box *out = lua_push_judges(L);
    if (h->o.planning) {
        const guard_train_cost c = guard_train_plan(&o);
        lua_plan_add(L, "train_judges", NULL, budget, c.tokens, train->rows, c.params, c.train_bytes);
    } else if (judges_stage(h, out, train, valid, budget, &o, &err) != NN_OK) {
        return lua_host_raise(L, &err);
    }
    return 1;
}

/* --- score -------------------------------------------------------------------------------- */
#define MAX_SCORED 7

typedef struct {
    guard_box *guard[MAX_SCORED];
    const char *name[MAX_SCORED];
    size_t n;
} scored;

static nn_status score_stage(lua_host *h, corpus_box *out, const corpus_box *in, const scored *g, nn_err *err)
{
    lua_stage s;
    const char *hash[MAX_SCORED + 1] = {in->hash};
    char suffix[48];
    for (size_t i = 0; i < g->n; i++) hash[i + 1] = g->guard[i]->hash;
    nn_status st = lua_stage_begin(&s, h, "score", hash, g->n + 1, err);
    if (st == NN_OK && !s.s.finished) {
        st = guard_corpus_copy(&out->c, in->c, err);
        for (size_t i = 0; st == NN_OK && i < g->n; i++) {
            snprintf(suffix, sizeof suffix, "_%s", g->name[i]);
            st = guard_score_columns(g->guard[i]->g, out->c, s.stream, suffix, &s.job, err);
        }
    }
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* {name = guard, ...} at idx, by name. Names and guards stay alive in the table. */
static void read_scored(lua_State *L, int idx, scored *g)
{
    luaL_checktype(L, idx, LUA_TTABLE);
    const lua_Integer n = lua_order_keys(L, idx);
    const int keys = lua_gettop(L);
    if (n < 1 || n > MAX_SCORED) luaL_error(L, "score: %d guards, want 1 to %d", (int)n, MAX_SCORED);
    for (g->n = 0; g->n < (size_t)n; g->n++) {
        if (lua_rawgeti(L, keys, (lua_Integer)g->n + 1) != LUA_TSTRING || lua_rawlen(L, -1) > 32)
            luaL_error(L, "score: want {name = guard, ...}, names of at most 32 bytes");
        g->name[g->n] = lua_tostring(L, -1);
        lua_rawget(L, idx);
        g->guard[g->n] = luaL_testudata(L, -1, GUARD_TYPE);
        if (g->guard[g->n] == NULL) luaL_error(L, "score.%s: a %s, want a guard", g->name[g->n], luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    lua_settop(L, keys - 1);
}

/* stack: run corpus {name = guard, ...} -> corpus with p_name, margin_name, loss_name */
static int l_score(lua_State *L)
{
    static const char *const what[] = {"p", "margin", "loss"};
    lua_host *h = lua_host_of(L);
    scored g;
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *in = lua_check_corpus(L, 2);
    lua_settop(L, 3);
    read_scored(L, 3, &g);
    lua_stage_args(L, 3, NULL);
    corpus_box *out = lua_push_corpus(L);
    if (!h->o.planning) {
        if (score_stage(h, out, in, &g, &err) != NN_OK) return lua_host_raise(L, &err);
        return 1;
    }
    lua_plan_corpus(L, out, in->c, in->rows);
    for (size_t i = 0; i < 3 * g.n; i++) {
        char column[48];
        snprintf(column, sizeof column, "%s_%s", what[i % 3], g.name[i / 3]);
        lua_plan_column(L, out->c, column, "score", GUARD_COL_NUM);
    }
    lua_plan_add(L, "score", NULL, NULL, 0, in->rows, 0, 0);
    return 1;
}

/* --- guard:only --------------------------------------------------------------------------- */
static nn_status only_work(lua_host *h, guard_box *out, const guard_box *in, const char *part, const corpus_box *valid,
                           nn_err *err)
{
    guard_job job = {0};
    job.exec = &h->exec;
    job.seed = h->seed;
    job.stream = "only";
    job.progress = lua_progress;
    const nn_status st = guard_classifier_only(&out->g, in->g, part, err);
    return st == NN_OK ? guard_classifier_calibrate(out->g, valid->c, &job, err) : st;
}

/* The name of a part in the keys of later stages: of the whole, the part and what it was calibrated on. */
static void name_part(char hash[65], const char *whole, const char *part, const char *valid)
{
    nn_sha256 s;
    nn_sha256_init(&s);
    nn_sha256_add(&s, whole, strlen(whole));
    nn_sha256_add(&s, part, strlen(part));
    nn_sha256_add(&s, valid, strlen(valid));
    nn_sha256_end_hex(&s, hash);
}

/* stack: guard "wide"|"decoder" valid -> guard: the same weights with the other part switched off */
static int l_only(lua_State *L)
{
    static const char *const parts[] = {"wide", "decoder", NULL};
    const corpus_box *valid = lua_check_corpus(L, 3);
    const guard_box *in = lua_check_guard(L, 1);
    const char *part = parts[luaL_checkoption(L, 2, NULL, parts)];
    nn_err err = {0};
    const bool has = strcmp(part, "wide") == 0 ? in->wide : in->decoder;
    luaL_argcheck(L, has, 2, "the guard was trained without this part");
    guard_box *out = lua_push_guard(L);
    snprintf(out->name, sizeof out->name, "%.40s, %s alone", in->name, part);
    name_part(out->hash, in->hash, part, valid->hash);
    out->derived = true;
    out->wide = strcmp(part, "wide") == 0;
    out->decoder = !out->wide;
    lua_host *h = lua_host_of(L);
    if (!h->o.planning && only_work(h, out, in, part, valid, &err) != NN_OK) return lua_host_raise(L, &err);
    return 1;
}

const lua_fn lua_guard_fns[] = {
    {"only", l_only, "guard:only('wide' | 'decoder', valid) -> guard",
     "The same weights with the other part switched off, calibrated anew on the validation rows.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

const lua_fn lua_train_fns[] = {
    {"train_guard", l_train_guard, "run:train_guard(train, valid [, options]) -> guard",
     "Wide part, then a decoder on its residual; early stopping, calibration and thresholds on the validation rows.",
     lua_guard_args},
    {"train_judges", l_train_judges, "run:train_judges(train, valid [, options]) -> judges",
     "Three judges that vote (n-gram logistic regression, nearest seeds, a guard of another fold and seed) and one of "
     "their own for the reward.",
     lua_guard_args},
    {"score", l_score, "run:score(corpus, { name = guard, ... }) -> corpus",
     "Adds p_name, margin_name and loss_name for each guard.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
