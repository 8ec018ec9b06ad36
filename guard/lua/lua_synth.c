/* lua_synth.c - run:augment, run:phrases and run:curate: templates and rules written in Lua become plans and measurements in C.
 *
 * Reads: stage.h, guard/augment.h, guard/curate.h.   Read next: scripts/templates, scripts/curation.lua.
 */
#include "guard/augment.h"
#include "guard/lua/lua_api.h"
#include "guard/lua/order.h"
#include "nn/arena.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* --- augment ------------------------------------------------------------------------------ */
static const lua_arg augment_args[] = {
    {"lexicon", ARG_STRING, 0, 0, NULL, "JSONL of concepts with acts and their safe twins (tier 1)"},
    {"structures", ARG_TABLE, 0, 0, NULL, "list of frames {name, pattern, weight} (tiers 1 and 2)"},
    {"styles", ARG_TABLE, 0, 0, NULL, "list of mutations {name, kind, weight, rate, words | pieces} (tier 3)"},
    {"per_seed", ARG_TABLE, 0, 0, "-", "new rows a seed: {concept = 3, structure = 1, style = 1}"},
    {"style_share", ARG_NUMBER, 0, 1, "0.35", "share of concept and structure rows that also get a style"},
    {"max_rows", ARG_INTEGER, 0, 1e8, "0", "new rows at most; 0: no bound"},
    {"max_bytes", ARG_INTEGER, 16, 1e6, "2000", "longer texts are not made"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};
static const lua_arg per_seed_args[] = {{"concept", ARG_INTEGER, 0, 1000, "3", "tier 1"},
                                        {"structure", ARG_INTEGER, 0, 1000, "1", "tier 2"},
                                        {"style", ARG_INTEGER, 0, 1000, "1", "tier 3"},
                                        {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};
static const lua_arg frame_args[] = {{"name", ARG_STRING, 0, 0, NULL, ""},
                                     {"pattern", ARG_STRING, 0, 0, NULL, ""},
                                     {"weight", ARG_NUMBER, 0, 1e6, "1", ""},
                                     {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};
static const lua_arg style_args[] = {{"name", ARG_STRING, 0, 0, NULL, ""},    {"kind", ARG_STRING, 0, 0, NULL, ""},
                                     {"weight", ARG_NUMBER, 0, 1e6, "1", ""}, {"rate", ARG_NUMBER, 0, 1, "0.1", ""},
                                     {"words", ARG_TABLE, 0, 0, "-", ""},     {"pieces", ARG_TABLE, 0, 0, "-", ""},
                                     {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

/* Arrays below live in userdata left on the stack: Lua frees them, whatever raises. */
static void *stack_array(lua_State *L, size_t n, size_t size)
{
    void *p = lua_newuserdatauv(L, (n + 1) * size, 0);
    memset(p, 0, (n + 1) * size);
    return p;
}

static size_t count_of(const char *pattern, const char *slot)
{
    size_t n = 0;
    for (const char *at = pattern; (at = strstr(at, slot)) != NULL; at++) n++;
    return n;
}

static void read_frames(lua_State *L, int idx, guard_augment_plan *plan)
{
    lua_args_push(L, idx, "structures");
    const int list = lua_gettop(L);
    const size_t n = lua_rawlen(L, list);
    guard_frame *frame = stack_array(L, n, sizeof *frame);
    for (size_t i = 0; i < n; i++) {
        char what[48];
        snprintf(what, sizeof what, "structures[%u]", (unsigned)i + 1);
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        const int at = lua_gettop(L);
        lua_args_check(L, at, frame_args, what);
        frame[i].name = lua_args_string(L, at, frame_args, "name");
        frame[i].pattern = lua_args_string(L, at, frame_args, "pattern");
        frame[i].weight = lua_args_number(L, at, frame_args, "weight");
        if (count_of(frame[i].pattern, "{act}") + count_of(frame[i].pattern, "{text}") != 1)
            luaL_error(L, "%s '%s': want {act} or {text}, once, in the pattern", what, frame[i].name);
        lua_pop(L, 1); /* the strings stay alive in the script's table */
    }
    plan->frame = frame;
    plan->n_frame = n;
}

static guard_style_kind style_kind(lua_State *L, const char *what, const char *kind)
{
    static const char *const names[] = {"lower",   "upper",     "typo",    "drop_punctuation", "leet",  "spaces",
                                        "stretch", "homoglyph", "replace", "prefix",           "suffix"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(kind, names[i]) == 0) return (guard_style_kind)i;
    const char *near = guard_nearest(kind, names, sizeof names / sizeof *names);
    return (guard_style_kind)luaL_error(L, "%s.kind: '%s' is none, did you mean '%s'?", what, kind,
                                        near != NULL ? near : names[0]);
}

/* pieces = {..}, as they stand. */
static void read_pieces(lua_State *L, int at, guard_style *s)
{
    const size_t n = lua_args_push(L, at, "pieces") == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    const int pieces = lua_gettop(L);
    const char **from = stack_array(L, n, sizeof *from);
    for (s->n = 0; s->n < n; s->n++) {
        lua_rawgeti(L, pieces, (lua_Integer)s->n + 1);
        if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "style '%s'.pieces: want strings", s->name);
        from[s->n] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    s->from = from;
}

/* words = {from = to}, in key order. */
static void read_words(lua_State *L, int at, guard_style *s)
{
    if (lua_args_push(L, at, "words") != LUA_TTABLE) luaL_error(L, "style '%s': want words = {from = to}", s->name);
    const int words = lua_gettop(L);
    const size_t n = (size_t)lua_order_keys(L, words);
    const char **from = stack_array(L, n, sizeof *from), **to = stack_array(L, n, sizeof *to);
    for (s->n = 0; s->n < n; s->n++) {
        const bool key = lua_rawgeti(L, words + 1, (lua_Integer)s->n + 1) == LUA_TSTRING;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, words) != LUA_TSTRING || !key) luaL_error(L, "style '%s'.words: want strings", s->name);
        from[s->n] = lua_tostring(L, -2);
        to[s->n] = lua_tostring(L, -1);
        lua_pop(L, 2);
    }
    s->from = from;
    s->to = to;
}

static void read_styles(lua_State *L, int idx, guard_augment_plan *plan)
{
    lua_args_push(L, idx, "styles");
    const int list = lua_gettop(L);
    const size_t n = lua_rawlen(L, list);
    guard_style *style = stack_array(L, n, sizeof *style);
    luaL_checkstack(L, n < 10000 ? (int)(5 * n) + 16 : 1000000, "too many styles");
    for (size_t i = 0; i < n; i++) {
        char what[48];
        snprintf(what, sizeof what, "styles[%u]", (unsigned)i + 1);
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        const int at = lua_gettop(L);
        lua_args_check(L, at, style_args, what);
        style[i].name = lua_args_string(L, at, style_args, "name");
        style[i].kind = style_kind(L, what, lua_args_string(L, at, style_args, "kind"));
        style[i].weight = lua_args_number(L, at, style_args, "weight");
        style[i].rate = lua_args_number(L, at, style_args, "rate");
        if (style[i].kind == GUARD_STYLE_REPLACE)
            read_words(L, at, &style[i]); /* both leave their arrays on the stack */
        else if (style[i].kind > GUARD_STYLE_REPLACE) read_pieces(L, at, &style[i]);
    }
    plan->style = style;
    plan->n_style = n;
}

static void read_plan(lua_State *L, int idx, guard_augment_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    plan->style_share = lua_args_number(L, idx, augment_args, "style_share");
    plan->max_rows = lua_args_size(L, idx, augment_args, "max_rows");
    plan->max_bytes = lua_args_size(L, idx, augment_args, "max_bytes");
    lua_args_push(L, idx, "per_seed");
    const int per = lua_gettop(L);
    lua_args_check(L, per, per_seed_args, "per_seed");
    plan->per_seed_concept = lua_args_size(L, per, per_seed_args, "concept");
    plan->per_seed_structure = lua_args_size(L, per, per_seed_args, "structure");
    plan->per_seed_style = lua_args_size(L, per, per_seed_args, "style");
    read_frames(L, idx, plan);
    read_styles(L, idx, plan);
}

static nn_status augment_stage(lua_host *h, corpus_box *out, const corpus_box *in, const char *lexicon_path,
                               guard_augment_plan *plan, nn_err *err)
{
    lua_stage s;
    guard_lexicon *lexicon = NULL;
    char sha[65];
    nn_status st = lua_file_hash(lexicon_path, sha, err);
    const char *hash[] = {in->hash, sha};
    if (st == NN_OK) st = guard_run_input(h->run, lexicon_path, sha, err);
    if (st == NN_OK) st = lua_stage_begin(&s, h, "augment", hash, 2, err);
    if (st != NN_OK) return st;
    if (!s.s.finished && (st = guard_lexicon_read(&lexicon, lexicon_path, err)) == NN_OK) {
        plan->concept = guard_lexicon_concepts(lexicon, &plan->n_concept);
        plan->lang = guard_lexicon_lang(lexicon);
        st = guard_augment(&out->c, in->c, plan, &s.job, err);
    }
    guard_lexicon_free(lexicon);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run seeds templates -> corpus */
static int l_augment(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    char path[1024];
    guard_augment_plan plan;
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *in = lua_check_corpus(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, augment_args, "augment");
    lua_stage_args(L, 3, NULL);
    corpus_box *out = lua_push_corpus(L);
    read_plan(L, 3, &plan);
    if (lua_host_resolve(h, lua_args_string(L, 3, augment_args, "lexicon"), path, sizeof path, &err) != NN_OK)
        return lua_host_raise(L, &err);
    if (!h->o.planning) {
        if (augment_stage(h, out, in, path, &plan, &err) != NN_OK) return lua_host_raise(L, &err);
    } else {
        static const char *const columns[] = {"tier", "frame", "style"};
        uint64_t rows = in->rows * (plan.per_seed_concept + plan.per_seed_structure + plan.per_seed_style);
        if (plan.max_rows != 0 && rows > plan.max_rows) rows = plan.max_rows;
        lua_plan_corpus(L, out, in->c, in->rows + rows);
        for (size_t i = 0; i < 3; i++) lua_plan_column(L, out->c, columns[i], "augment", GUARD_COL_STR);
        lua_plan_add(L, "augment", "concept, structure, style", NULL, 0, out->rows, 0, 0);
    }
    lua_pushvalue(L, 4);
    return 1;
}

/* --- phrases ------------------------------------------------------------------------------ */
static nn_status phrases_of(guard_corpus **out, const char *path, nn_err *err)
{
    guard_lexicon *lexicon = NULL;
    nn_status st = guard_lexicon_read(&lexicon, path, err);
    if (st == NN_OK) st = guard_lexicon_rows(out, lexicon, err);
    guard_lexicon_free(lexicon);
    return st;
}

static nn_status phrases_stage(lua_host *h, corpus_box *out, const char *path, nn_err *err)
{
    lua_stage s;
    char sha[65];
    const char *hash[] = {sha};
    nn_status st = lua_file_hash(path, sha, err);
    if (st == NN_OK) st = guard_run_input(h->run, path, sha, err);
    if (st == NN_OK) st = lua_stage_begin(&s, h, "phrases", hash, 1, err);
    if (st == NN_OK && !s.s.finished) st = phrases_of(&out->c, path, err);
    if (st == NN_OK) st = lua_stage_corpus(&s, out, "", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run path -> corpus */
static int l_phrases(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    char path[1024];
    nn_err err = {0};
    lua_check_run(L);
    const char *asked = luaL_checkstring(L, 2);
    if (lua_host_resolve(h, asked, path, sizeof path, &err) != NN_OK) return lua_host_raise(L, &err);
    const char *base = strrchr(path, '/');
    base = base != NULL ? base + 1 : path;
    lua_settop(L, 2);
    lua_pushnil(L);
    lua_stage_args(L, 3, base);
    corpus_box *out = lua_push_corpus(L);
    if (!h->o.planning) {
        if (phrases_stage(h, out, path, &err) != NN_OK) return lua_host_raise(L, &err);
    } else {
        guard_corpus *all = NULL;
        if (phrases_of(&all, path, &err) != NN_OK) return lua_host_raise(L, &err);
        out->rows = all->n;
        guard_corpus_free(all);
        if (guard_corpus_build(&out->c, &err) != NN_OK) return lua_host_raise(L, &err);
        lua_plan_add(L, "phrases", base, NULL, 0, out->rows, 0, 0);
    }
    return 1;
}

/* --- curate ------------------------------------------------------------------------------- */
static const lua_arg curate_args[] = {
    {"human", ARG_HANDLE, 0, 0, NULL, "corpus of human-written rows that similarity is measured to"},
    {"judges", ARG_HANDLE, 0, 0, NULL, "from run:train_judges"},
    {"folds", ARG_INTEGER, 2, 20, "5", "folds of the held-out loss"},
    {"keep", ARG_FUNCTION, 0, 0, NULL, "rule: keep(row) -> true, or false and the reason"},
    {NULL, ARG_NUMBER, 0, 0, NULL, NULL}};

void lua_plan_votes(lua_State *L, guard_corpus *c, const char *stage)
{
    static const char *const numbers[] = {"judge_ngram", "judge_near", "judge_guard", "votes"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        lua_plan_column(L, c, numbers[i], stage, GUARD_COL_NUM);
    lua_plan_column(L, c, "majority", stage, GUARD_COL_BOOL);
}

/* Measures all columns, then asks the rule. The function is at stack index `rule`. */
static nn_status curate_work(lua_State *L, int rule, corpus_box *out, const corpus_box *in, const corpus_box *human,
                             const judges_box *judges, size_t folds, lua_stage *s, nn_err *err)
{
    const guard_wide_options wide = guard_judge_default().wide;
    bool *keep = NULL;
    nn_status st = nn_alloc((void **)&keep, in->c->n, sizeof *keep, err);
    if (st == NN_OK) st = guard_corpus_copy(&out->c, in->c, err);
    if (st == NN_OK) st = guard_curate_loss(out->c, folds, &wide, s->stream, &s->job, err);
    if (st == NN_OK) st = guard_curate_similarity(out->c, human->c, judges->other, s->stream, &s->job, err);
    if (st == NN_OK) st = guard_curate_duplicates(out->c, s->stream, &s->job, err);
    if (st == NN_OK) st = guard_judges_vote(judges->judges, out->c, s->stream, &s->job, err);
    if (st == NN_OK) st = lua_rule_bool(L, rule, "keep", out->c, keep, out->c, s->stream, err);
    nn_free(keep);
    return st;
}

static nn_status curate_stage(lua_State *L, int rule, corpus_box *out, const corpus_box *in, const corpus_box *human,
                              const judges_box *judges, size_t folds, nn_err *err)
{
    lua_stage s;
    const char *hash[] = {in->hash, human->hash, judges->hash};
    nn_status st = lua_stage_begin(&s, lua_host_of(L), "curate", hash, 3, err);
    if (st == NN_OK && !s.s.finished) st = curate_work(L, rule, out, in, human, judges, folds, &s, err);
    if (st == NN_OK) st = lua_stage_kept(&s, out, "keep", err);
    return st == NN_OK ? lua_stage_end(&s, NULL, err) : st;
}

/* stack: run corpus options -> corpus */
static int l_curate(lua_State *L)
{
    lua_host *h = lua_host_of(L);
    nn_err err = {0};
    lua_check_run(L);
    const corpus_box *in = lua_check_corpus(L, 2);
    lua_settop(L, 3);
    lua_args_check(L, 3, curate_args, "curate");
    const corpus_box *human = lua_args_corpus(L, 3, "human", false);
    const judges_box *judges = lua_args_judges(L, 3, "judges", false);
    const size_t folds = lua_args_size(L, 3, curate_args, "folds");
    lua_stage_args(L, 3, NULL);
    corpus_box *out = lua_push_corpus(L);
    lua_args_push(L, 3, "keep");
    const int rule = lua_gettop(L);
    if (!h->o.planning) {
        if (curate_stage(L, rule, out, in, human, judges, folds, &err) != NN_OK) return lua_host_raise(L, &err);
    } else {
        static const char *const numbers[] = {"fold", "loss", "sim", "sim_other", "dup"};
        lua_plan_corpus(L, out, in->c, in->rows);
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            lua_plan_column(L, out->c, numbers[i], "curate", GUARD_COL_NUM);
        lua_plan_votes(L, out->c, "curate");
        if (lua_rule_probe(L, rule, "keep", out->c, &err) != NN_OK) return lua_host_raise(L, &err);
        lua_plan_kept(L, out->c, "curate");
        lua_plan_add(L, "curate", "loss, similarity, judges", NULL, 0, in->rows, 0, 0);
    }
    lua_pushvalue(L, 4);
    return 1;
}

const lua_fn lua_synth_fns[] = {{"augment", l_augment, "run:augment(seeds, templates) -> corpus",
                                 "The seeds and what three tiers make of them: concept expansion, query structures, "
                                 "style mutations, each with safe twins.",
                                 augment_args},
                                {"phrases", l_phrases, "run:phrases(lexicon) -> corpus",
                                 "The phrases of a lexicon as rows, bare: seeds for concepts that no seed was written for. "
                                 "A twin's parent is the act of its number.",
                                 NULL},
                                {"curate", l_curate, "run:curate(corpus, options) -> corpus",
                                 "Measures held-out loss, similarity, duplicates and votes; the rows that keep(row) is "
                                 "true for. The file keeps every row and why.",
                                 curate_args},
                                {NULL, NULL, NULL, NULL, NULL}};
