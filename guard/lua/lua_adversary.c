/* lua_adversary.c - run:attack, run:harvest, run:accept: one round of the adversary, each step by its own name.
 *
 * Reads: stage.h, guard/adversary.h.   Read next: scripts/adversary.lua (the reward, the watch, what comes back).
 */
#include "guard/adversary.h"
#include "guard/lua/lua_api.h"
#include "guard/metrics.h"
#include "nn/arena.h"
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- attack: the policy gradient ---------------------------------------------------------- */
static const lua_arg attack_args[] = {
    {"guard", ARG_HANDLE, 0, 0, NULL, "the guard under attack"},
    {"judges", ARG_HANDLE, 0, 0, NULL, "the reward judge is paid for; the three that vote are the watch"},
    {"human", ARG_HANDLE, 0, 0, NULL, "rows that novelty is measured to"},
    {"reward", ARG_FUNCTION, 0, 0, NULL, "reward(row) -> number, over the columns of a rollout"},
    {"watch", ARG_FUNCTION, 0, 0, NULL, "watch(step, now, first) -> true, or false and the reason to stop"},
    {"steps", ARG_INTEGER, 1, 1e6, "10", "policy updates"},
    {"rollouts", ARG_INTEGER, 2, 1e5, "64", "requests written for one update"},
    {"passes", ARG_INTEGER, 1, 100, "2", "passes over the rollouts of one update"},
    {"max_new", ARG_INTEGER, 4, 2048, "40", "tokens of one request"},
    {"tokens", ARG_NUMBER, 0, 1e12, "0", "drawn and trained tokens at most; 0: steps decide"},
    {"budget", ARG_STRING, 0, 0, "-", "budget of parapet.run that the tokens count against"},
    {"lr", ARG_NUMBER, 0, 1, "0.0003", "learning rate"},
    {"clip", ARG_NUMBER, 0.01, 1, "0.2", "of the probability ratio"},
    {"kl", ARG_NUMBER, 0, 10, "0.05", "weight of the KL to the reference"},
    {"unsafe_share", ARG_NUMBER, 0, 1, "0.5", "share of rollouts asked to be unsafe"},
    {"temperature", ARG_NUMBER, 0.01, 10, "1", "of the sampler"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

typedef struct {
    lua_State *L;
    int reward, watch; /* stack indices of the functions */
    guard_watch first;
    bool has_first;
    nn_status status; /* of a watch that raised */
    nn_err *err;
} attack_rules;

static nn_status call_reward(void *ctx, const guard_corpus *c, double *reward, nn_err *err)
{
    const attack_rules *r = ctx;
    return lua_rule_number(r->L, r->reward, "reward", c, reward, err);
}

static void push_watch(lua_State *L, const guard_watch *w)
{
    lua_newtable(L);
#define PUSH(name)                \
    lua_pushnumber(L, w->name);   \
    lua_setfield(L, -2, #name);
    GUARD_WATCH_MAP(PUSH)
#undef PUSH
    lua_set_strict(L, "measurement of a step");
}

/* One question to the watch. */
typedef struct {
    size_t step;
    const guard_watch *now, *first;
    bool go_on;
    char *reason; /* 128 bytes */
} watch_call;

/* stack: call rule -> ; protected */
static int watch_body(lua_State *L)
{
    watch_call *w = lua_touserdata(L, 1);
    lua_pushinteger(L, (lua_Integer)w->step);
    push_watch(L, w->now);
    push_watch(L, w->first);
    lua_call(L, 3, 2);
    w->go_on = lua_toboolean(L, -2);
    snprintf(w->reason, 128, "%s", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "the watch said stop");
    return 0;
}

static bool call_watch(void *ctx, size_t step, const guard_watch *w, char reason[128])
{
    attack_rules *r = ctx;
    char where[64];
    if (!r->has_first) r->first = *w;
    r->has_first = true;
    watch_call call = {step, w, &r->first, false, reason};
    const int status = lua_rule_enter(r->L, r->watch, watch_body, &call);
    if (status == LUA_OK) return call.go_on;
    snprintf(where, sizeof where, "rule 'watch', step %zu: ", step);
    r->status = lua_host_caught(r->L, status, where, r->err);
    return false;
}

static nn_status attack_work(generator_box *out, corpus_box *last, const generator_box *gen, const guard_box *guard,
                             const judges_box *judges, const corpus_box *human, const guard_adversary_options *o,
                             attack_rules *rules, char stopped[128], lua_stage *s, nn_err *err)
{
    rules->err = err;
    nn_status st = guard_lm_clone(&out->g, gen->g, err);
    if (st == NN_OK)
        st = guard_adversary_round(out->g, gen->g, guard->g, judges->reward, judges->judges, human->c, o, call_reward,
                                   call_watch, rules, &last->c, stopped, &s->job, err);
    return rules->status != NN_OK ? rules->status : st;
}

static nn_status attack_stage(lua_host *h, generator_box *out, corpus_box *last, const generator_box *gen,
                              const guard_box *guard, const judges_box *judges, const corpus_box *human,
                              const char *budget, const guard_adversary_options *o, attack_rules *rules, nn_err *err)
{
    lua_stage s;
    char stopped[128] = "";
    guard_buf note = {0};
    const char *hash[] = {gen->hash, guard->hash, judges->hash, human->hash};
    nn_status st = lua_stage_begin(&s, h, "attack", hash, 4, err);
    if (st != NN_OK) return st;
    s.budget = budget;
    if (!s.s.finished) st = attack_work(out, last, gen, guard, judges, human, o, rules, stopped, &s, err);
    if (st == NN_OK) st = lua_stage_generator(&s, out, "", err);
    if (st == NN_OK) st = lua_stage_corpus(&s, last, "_rollouts", err);
    guard_buf_str(&note, "{");
    guard_json_key(&note, "stopped");
    guard_json_str(&note, stopped, strlen(stopped));
    guard_buf_str(&note, "}");
    if (st == NN_OK) st = guard_buf_status(&note, err);
    if (st == NN_OK) st = lua_stage_end(&s, note.bytes, err);
    guard_buf_free(&note);
    return st;
}

static void read_attack(lua_State *L, int idx, guard_adversary_options *o)
{
    *o = guard_adversary_default();
    o->steps = lua_args_size(L, idx, attack_args, "steps");
    o->batch = lua_args_size(L, idx, attack_args, "rollouts");
    o->epochs = lua_args_size(L, idx, attack_args, "passes");
    o->max_new = lua_args_size(L, idx, attack_args, "max_new");
    o->token_budget = (uint64_t)lua_args_number(L, idx, attack_args, "tokens");
    o->lr = (float)lua_args_number(L, idx, attack_args, "lr");
    o->clip = (float)lua_args_number(L, idx, attack_args, "clip");
    o->kl = (float)lua_args_number(L, idx, attack_args, "kl");
    o->unsafe_share = lua_args_number(L, idx, attack_args, "unsafe_share");
    o->sampler.temperature = (float)lua_args_number(L, idx, attack_args, "temperature");
}

/* Plan pass: what guard_adversary_measure writes. */
static void plan_measured(lua_State *L, corpus_box *out, uint64_t rows, const char *stage)
{
    static const char *const numbers[] = {"guard_p", "judge_p", "novelty", "repetition", "words"};
    nn_err err = {0};
    if (guard_corpus_build(&out->c, &err) != NN_OK) lua_host_raise(L, &err);
    out->rows = rows;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        lua_plan_column(L, out->c, numbers[i], stage, GUARD_COL_NUM);
    lua_plan_column(L, out->c, "fooled", stage, GUARD_COL_BOOL);
}

/* Plan pass: reward on a probe rollout, watch on a probe step. */
static nn_status probe_attack(attack_rules *rules, const guard_corpus *c, nn_err *err)
{
    char reason[128];
    const guard_watch w = {0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 10.0, 0.0};
    const nn_status st = lua_rule_probe(rules->L, rules->reward, "reward", c, err);
    if (st != NN_OK) return st;
    rules->err = err;
    (void)call_watch(rules, 1, &w, reason);
    return rules->status;
}

/* stack: run generator options -> generator, corpus of the last step's rollouts */
static int l_attack(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    guard_adversary_options o;
    nn_err err = {0};
    lua_check_run(L);
    const generator_box *gen = luaL_checkudata(L, 2, GENERATOR_TYPE);
    lua_settop(L, 3);
    lua_args_check(L, 3, attack_args, "attack");
    read_attack(L, 3, &o);
    const guard_box *guard = lua_args_guard(L, 3, "guard", false);
    const judges_box *judges = lua_args_judges(L, 3, "judges", false);
    const corpus_box *human = lua_args_corpus(L, 3, "human", false);
    const char *budget = lua_args_string(L, 3, attack_args, "budget");
    attack_rules rules;
    memset(&rules, 0, sizeof rules);
    rules.L = L;
    rules.err = &err;
    lua_args_push(L, 3, "reward");
    rules.reward = lua_gettop(L);
    lua_args_push(L, 3, "watch");
    rules.watch = lua_gettop(L);
    lua_stage_args(L, 3, NULL);
    generator_box *out = lua_push_generator(L);
    corpus_box *last = lua_push_corpus(L);
    if (!h->o.planning) {
        if (attack_stage(h, out, last, gen, guard, judges, human, budget, &o, &rules, &err) != NN_OK)
            return lua_host_raise(L, &err);
        return 2;
    }
    plan_measured(L, last, o.batch, "attack");
    if (probe_attack(&rules, last->c, &err) != NN_OK) return lua_host_raise(L, &err);
    lua_plan_column(L, last->c, "reward", "attack", GUARD_COL_NUM); /* no reward sees a reward or a vote */
    lua_plan_votes(L, last->c, "attack");
    const uint64_t drawn = (uint64_t)o.batch * o.max_new;
    lua_plan_add(L, "attack", "policy gradient", budget,
                 o.token_budget != 0 ? o.token_budget : drawn * (o.steps * (1 + o.epochs) + 1), o.batch, 0, 0);
    return 2;
}

/* --- harvest: what the generator writes now, measured and judged -------------------------- */
static const lua_arg harvest_args[] = {
    {"n", ARG_INTEGER, 1, 1e7, "600", "requests to write"},
    {"round", ARG_INTEGER, 0, 1e6, "1", "written into the column `round`"},
    {"max_new", ARG_INTEGER, 4, 2048, "40", "tokens of one request"},
    {"unsafe_share", ARG_NUMBER, 0, 1, "0.5", "share asked to be unsafe"},
    {"temperature", ARG_NUMBER, 0.01, 10, "1", "of the sampler"},
    {"top_p", ARG_NUMBER, 0.01, 1, "0.95", "nucleus of the sampler"},
    {"guard", ARG_HANDLE, 0, 0, NULL, "the guard under attack"},
    {"judges", ARG_HANDLE, 0, 0, NULL, "whose votes confirm the label"},
    {"human", ARG_HANDLE, 0, 0, NULL, "rows that novelty is measured to"},
    {"tokens", ARG_NUMBER, 0, 1e12, "0", "estimate for the plan's budget; 0: n times max_new"},
    {"budget", ARG_STRING, 0, 0, "-", "budget of parapet.run that the tokens count against"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

typedef struct {
    size_t n, max_new;
    double round, unsafe_share;
    nn_sampler sampler;
    const guard_box *guard;
    const judges_box *judges;
    const corpus_box *human;
} harvest_options;

/* Label and category of request i: draws of the stage's stream. Safe requests carry a category too: they are its twins.
 */
static nn_status harvest_work(guard_corpus **out, const generator_box *gen, const harvest_options *o,
                              const guard_taxonomy *taxonomy, lua_stage *s, nn_err *err)
{
    int *label = NULL;
    size_t *category = NULL;
    guard_column *round = NULL;
    nn_sampler sampler = o->sampler;
    nn_status st = guard_corpus_build(out, err);
    if (st == NN_OK) st = nn_alloc((void **)&label, o->n, sizeof *label, err);
    if (st == NN_OK) st = nn_alloc((void **)&category, o->n, sizeof *category, err);
    for (size_t i = 0; st == NN_OK && i < o->n; i++) {
        nn_rng rng = guard_job_rng(&s->job, "ask", i);
        label[i] = nn_rng_double(&rng) < o->unsafe_share ? GUARD_UNSAFE : GUARD_SAFE;
        category[i] = (size_t)nn_rng_below(&rng, taxonomy->n);
    }
    if (st == NN_OK)
        st = guard_lm_generate(gen->g, *out, NULL, label, category, o->n, &sampler, o->max_new, 0, &s->job, err);
    if (st == NN_OK)
        st = guard_adversary_measure(*out, o->guard->g, o->judges->reward, o->human->c, s->stream, &s->job, err);
    if (st == NN_OK) st = guard_judges_vote(o->judges->judges, *out, s->stream, &s->job, err);
    if (st == NN_OK) st = guard_corpus_column(*out, "round", s->stream, GUARD_COL_NUM, &round, err);
    for (size_t i = 0; st == NN_OK && i < (*out)->n; i++) round->num[i] = o->round;
    nn_free(label);
    nn_free(category);
    return st;
}

static nn_status harvest_stage(lua_host *h, corpus_box *out, const generator_box *gen, const harvest_options *o,
                               const char *budget, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {gen->hash, o->guard->hash, o->judges->hash, o->human->hash};
    nn_status st = lua_stage_begin(&s, h, "harvest", hash, 4, err);
    if (st != NN_OK) return st;
    s.budget = budget;
    if (!s.s.finished) st = harvest_work(&out->c, gen, o, &h->taxonomy, &s, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run generator options -> corpus */
static int l_harvest(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    harvest_options o;
    nn_err err = {0};
    lua_check_run(L);
    const generator_box *gen = luaL_checkudata(L, 2, GENERATOR_TYPE);
    lua_settop(L, 3);
    lua_args_check(L, 3, harvest_args, "harvest");
    o.n = lua_args_size(L, 3, harvest_args, "n");
    o.max_new = lua_args_size(L, 3, harvest_args, "max_new");
    o.round = lua_args_number(L, 3, harvest_args, "round");
    o.unsafe_share = lua_args_number(L, 3, harvest_args, "unsafe_share");
    o.sampler = nn_sampler_default();
    o.sampler.temperature = (float)lua_args_number(L, 3, harvest_args, "temperature");
    o.sampler.top_p = (float)lua_args_number(L, 3, harvest_args, "top_p");
    o.guard = lua_args_guard(L, 3, "guard", false);
    o.judges = lua_args_judges(L, 3, "judges", false);
    o.human = lua_args_corpus(L, 3, "human", false);
    const char *budget = lua_args_string(L, 3, harvest_args, "budget");
    lua_stage_args(L, 3, NULL);
    corpus_box *out = lua_push_corpus(L);
    if (!h->o.planning) {
        if (harvest_stage(h, out, gen, &o, budget, &err) != NN_OK) return lua_host_raise(L, &err);
        return 1;
    }
    const uint64_t tokens = (uint64_t)lua_args_number(L, 3, harvest_args, "tokens");
    plan_measured(L, out, o.n, "harvest");
    lua_plan_votes(L, out->c, "harvest");
    lua_plan_column(L, out->c, "round", "harvest", GUARD_COL_NUM);
    lua_plan_add(L, "harvest", NULL, budget, tokens != 0 ? tokens : (uint64_t)o.n * o.max_new, o.n, 0, 0);
    return 1;
}

/* --- accept: does the candidate lose anything on the validation rows? --------------------- */
static const lua_arg accept_args[] = {
    {"target_fpr", ARG_NUMBER, 0.0001, 0.5, "0.05", "false-positive rate at which recall is compared"},
    {"tolerance", ARG_NUMBER, 0, 1, "0", "recall that may be lost"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* Recall at the threshold that holds the false-positive rate on these rows. */
static nn_status recall_at(double *recall, const guard_classifier *g, const guard_corpus *c, double target,
                           guard_job *job, nn_err *err)
{
    guard_verdict *v = NULL;
    int *label = NULL;
    double *p = NULL, threshold = 0.0;
    size_t n = 0;
    guard_metrics m;
    nn_status st = nn_alloc((void **)&v, c->n, sizeof *v, err);
    if (st == NN_OK) st = nn_alloc((void **)&label, c->n, sizeof *label, err);
    if (st == NN_OK) st = nn_alloc((void **)&p, c->n, sizeof *p, err);
    if (st == NN_OK) st = guard_score(g, c, v, job, err);
    for (size_t i = 0; st == NN_OK && i < c->n; i++)
        if (c->row[i].label != GUARD_LABEL_NONE) {
            label[n] = c->row[i].label;
            p[n++] = (double)v[i].p_unsafe;
        }
    if (st == NN_OK) st = guard_threshold_at_fpr(&threshold, label, p, n, target, err);
    if (st == NN_OK) st = guard_metrics_compute(&m, label, p, n, threshold, err);
    if (st == NN_OK) *recall = m.recall;
    nn_free(v);
    nn_free(label);
    nn_free(p);
    return st;
}

static nn_status accept_work(bool *accepted, guard_buf *note, const guard_box *now, const guard_box *before,
                             const corpus_box *valid, double target, double tolerance, guard_job *job, nn_err *err)
{
    double r_now = 0.0, r_before = 0.0;
    nn_status st = recall_at(&r_now, now->g, valid->c, target, job, err);
    if (st == NN_OK) st = recall_at(&r_before, before->g, valid->c, target, job, err);
    if (st != NN_OK) return st;
    *accepted = r_now >= r_before - tolerance;
    guard_buf_str(note, "{");
    guard_json_key(note, "accepted");
    guard_json_bool(note, *accepted);
    guard_json_key(note, "recall");
    guard_json_double(note, r_now);
    guard_json_key(note, "recall_before");
    guard_json_double(note, r_before);
    guard_json_key(note, "target_fpr");
    guard_json_double(note, target);
    guard_buf_str(note, "}");
    return guard_buf_status(note, err);
}

static nn_status accept_stage(lua_host *h, bool *accepted, const guard_box *now, const guard_box *before,
                              const corpus_box *valid, double target, double tolerance, nn_err *err)
{
    lua_stage s;
    guard_buf note = {0};
    const char *hash[] = {now->hash, before->hash, valid->hash};
    nn_status st = lua_stage_begin(&s, h, "accept", hash, 3, err);
    if (st != NN_OK) return st;
    if (s.s.finished) {
        const char *saved = guard_run_stage_note(h->run, &s.s);
        *accepted = saved != NULL && strstr(saved, "\"accepted\":true") != NULL;
    } else {
        st = accept_work(accepted, &note, now, before, valid, target, tolerance, &s.job, err);
    }
    if (st == NN_OK) st = lua_stage_end(&s, note.bytes, err);
    guard_buf_free(&note);
    return st;
}

/* stack: run candidate guard valid options -> boolean */
static int l_accept(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    bool accepted = true;
    nn_err err = {0};
    lua_check_run(L);
    const guard_box *now = lua_check_guard(L, 2), *before = lua_check_guard(L, 3);
    const corpus_box *valid = lua_check_corpus(L, 4);
    lua_settop(L, 5);
    lua_args_check(L, 5, accept_args, "accept");
    const double target = lua_args_number(L, 5, accept_args, "target_fpr"),
                 tolerance = lua_args_number(L, 5, accept_args, "tolerance");
    lua_stage_args(L, 5, NULL);
    if (h->o.planning) lua_plan_add(L, "accept", NULL, NULL, 0, 0, 0, 0);
    else if (accept_stage(h, &accepted, now, before, valid, target, tolerance, &err) != NN_OK)
        return lua_host_raise(L, &err);
    lua_pushboolean(L, accepted);
    return 1;
}

const lua_fn lua_adversary_fns[] = {
    {"attack", l_attack, "run:attack(generator, options) -> generator, rollouts",
     "Policy gradient: the generator is paid by reward(row) for what fools the guard; the watch stops a policy that "
     "cheats.",
     attack_args},
    {"harvest", l_harvest, "run:harvest(generator, options) -> corpus",
     "New requests with the guard's verdict, the judges' votes and the column `round`.", harvest_args},
    {"accept", l_accept, "run:accept(candidate, guard, valid [, options]) -> boolean",
     "Whether the candidate's recall on the validation rows is no lower at the same false-positive rate.", accept_args},
    {NULL, NULL, NULL, NULL, NULL}};
