/* Adapters in runs: a script from end to end, on any number of threads, stopped and resumed, and what it leaves. */
#include "guard/classify_impl.h"
#include "guard/train_guard.h"
#include "nn/lora.h"
#include "nn/plat.h"
#include "nn/pretrained.h"
#include "nn/safetensors.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include "tests/test_guard_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A folder of PEFT's for the model on disk, whose adapters have learnt something. */
static void expect_adapters(const char *run, const char *name, const char *set, size_t rank, size_t n)
{
    const char *dir = path_in(path_in(run, "models"), name), *model = set + strlen("model=");
    nn_pretrained *p = NULL;
    nn_lora *l = NULL;
    nn_err err = {NN_OK, ""};
    bool any = false;

    expect_ok(nn_pretrained_open(&p, model, &err), &err);
    expect_ok(nn_lora_load(&l, dir, nn_pretrained_config(p), &err), &err);
    cr_expect(nn_lora_options_of(l)->rank == rank && nn_lora_tensors(l) == n, "%zu tensors", nn_lora_tensors(l));
    const nn_tensor b = nn_lora_tensor(l, 1);
    for (size_t i = 0; i < b.rows * b.cols; i++) any = any || b.data[i] != 0.0f;
    cr_expect(any);
    char *config = read_bytes(path_in(dir, "adapter_config.json"), NULL);
    cr_expect(strstr(config, "/") == NULL, "%s", config);
    free(config);
    nn_lora_free(l);
    nn_pretrained_close(p);
}

/* The guard on disk is the model on disk with the adapters beside it on disk, to the bit. */
static void expect_merged(const char *run, const char *set)
{
    const nn_load_options floats = {.floats = true, .max_t = 160, .no_lm_head = true};
    guard_classifier *g = NULL;
    nn_pretrained *p = NULL;
    nn_model *m = NULL;
    nn_lora *l = NULL;
    nn_err err = {NN_OK, ""};
    nn_exec x;

    expect_ok(guard_classifier_open(&g, path_in(run, "models/05_train_guard.gguf"), &err), &err);
    expect_ok(nn_pretrained_open(&p, set + strlen("model="), &err), &err);
    expect_ok(nn_pretrained_load(&m, p, &floats, &err), &err);
    expect_ok(nn_lora_load(&l, path_in(run, "models/05_train_guard.lora"), nn_model_config(m), &err), &err);
    expect_ok(nn_exec_open(&x, NULL, 1, 16, &err), &err);
    expect_ok(nn_lora_merge(m, l, &x, &err), &err);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor want = nn_model_tensor(m, i);
        nn_tensor got;

        cr_assert(nn_model_find(g->parts.m, want.name, &got), "%s", want.name);
        float *w = malloc(want.rows * want.cols * sizeof *w);
        if (got.data) memcpy(w, got.data, want.rows * want.cols * sizeof *w);
        else expect_ok(nn_dtype_to_f32(w, got.type, got.bytes, want.rows * want.cols, &err), &err);
        expect_same_floats(want.name, w, want.data, want.rows * want.cols);
        free(w);
    }
    nn_exec_free(&x);
    nn_lora_free(l);
    nn_model_free(m);
    nn_pretrained_close(p);
    guard_classifier_close(g);
}

Test(lora_run, guard_and_generator_give_the_same_bytes_however_they_are_run)
{
    const char *script = path_in(copy_scripts("tests/lua/lora.lua", "lora.lua"), "scripts/lora.lua");
    const char *set = foreign_option("llama", NN_TOK_BPE), *one = NULL;
    cli_result r = CLI(NULL, "plan", script, "--set", set);

    expect_status(&r, 0);
    r = expect_same_however_run(script, set, 0.3, &one);
    expect_says(r.out, "adapted");
    expect_merged(one, set);
    expect_adapters(one, "05_train_guard.lora", set, 4, 2 * 3 * 2);
    expect_adapters(one, "06_train_generator.lora", set, 2, 2 * 7 * 2);
}

/* Values of an adapter's tensor in a checkpoint. */
static float *values_in(const char *path, const char *name, size_t n)
{
    nn_safetensors *f = NULL;
    nn_err err = {NN_OK, ""};
    float *out = malloc(n * sizeof *out);

    expect_ok(nn_st_open(&f, path, &err), &err);
    const nn_st_tensor *t = nn_st_find(f, name);
    cr_assert(t && t->count == n, "%s in %s", name, path);
    expect_ok(nn_dtype_to_f32(out, t->type, t->data, n, &err), &err);
    nn_st_close(f);
    return out;
}

/* Steps so long that the last weights are not the best ones: what is saved and merged is the best. */
Test(lora_run, the_best_adapters_stay_not_the_last)
{
    const char *dir = temp_dir(), *checkpoint = path_in(dir, "01_test"), *adapter = path_in(dir, "adapter");
    guard_corpus *train = word_corpus(120, 1, false), *valid = word_corpus(80, 2, false);
    const guard_taxonomy taxonomy = two_categories();
    guard_train_options o = small_options();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    nn_tok *tok = NULL;
    nn_pretrained *base = foreign_open(foreign_file("qwen2", NN_TOK_BPE, true, NN_F16, 4), &tok);
    guard_classifier *g = NULL;
    nn_lora *l = NULL;
    nn_err err = {NN_OK, ""};

    o.model = *nn_pretrained_config(base);
    o.model.pool = NN_POOL_LAST;
    o.base = base;
    o.lora = nn_lora_default();
    o.adapter = adapter;
    o.wide = false;
    o.window = 48;
    o.stride = 24;
    o.adam.lr = 0.3f;
    o.steps = 8;
    o.evaluate_every = 1;
    job.checkpoint = checkpoint;
    expect_ok(guard_train(&g, train, valid, NULL, tok, &taxonomy, NULL, &o, &job, &err), &err);
    expect_ok(nn_lora_load(&l, adapter, nn_pretrained_config(base), &err), &err);
    const nn_tensor b = nn_lora_tensor(l, 1);
    const size_t n = b.rows * b.cols;
    const char *slot = nn_path_exists(path_in(dir, "01_test.best1")) ? "01_test.best1" : "01_test.best0";
    float *last = values_in(checkpoint, b.name, n), *best = values_in(path_in(dir, slot), b.name, n);
    expect_same_floats("best", b.data, best, n);
    cr_expect(memcmp(last, best, n * sizeof *last) != 0, "the last weights are the best here: this tests nothing");
    free(last);
    free(best);
    nn_lora_free(l);
    guard_classifier_close(g);
    nn_pretrained_close(base);
    nn_tok_free(tok);
    nn_exec_free(&x);
    guard_corpus_free(train);
    guard_corpus_free(valid);
}

Test(lora_run, mistakes_are_told_before_any_work)
{
    plan_fails("run:train_guard(rows, rows, { base = model, lora = { ranks = 2 } })", "rank");
    plan_fails("run:train_guard(rows, rows, { base = model, lora = { rank = 0 } })", "train_guard.lora.rank");
    plan_fails("run:train_guard(rows, rows, { base = model, lora = { targets = { 'lm_head' } } })",
            "'lm_head', want q_proj");
    plan_fails("run:train_guard(rows, rows, { base = model, lora = { targets = {} } })", "targets: none");
    plan_fails("run:use_tokenizer(model)\nrun:train_guard(rows, rows, { lora = {} })", "only with a base");
    plan_fails("run:use_tokenizer(model)\nrun:train_generator(rows, rows, { lora = {} })", "only with a base");
    plan_fails("run:use_tokenizer(model)\nrun:train_judges(rows, rows, { lora = {} })", "not for judges");
    plan_fails("run:train_generator(rows, rows, { base = model, lora = 7 })", "lora");
}
