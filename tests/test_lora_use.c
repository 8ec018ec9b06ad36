/* Adapters used: generate, perplexity and convert with --adapter, run:open_model { adapter = .. }, merging into stored
 * weights, and what is refused on each of these ways. */
#include "nn/arena.h"
#include "nn/lora.h"
#include "nn/model_write.h"
#include "nn/pretrained.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adapters that say something, for a model on disk. */
static nn_lora *adapters_for(const nn_config *c, unsigned targets)
{
    const nn_lora_options o = {.rank = 3, .alpha = 6.0f, .targets = targets, .seed = 5};
    nn_lora *l = NULL;

    expect_ok(nn_lora_build(&l, c, &o, NULL), NULL);
    for (size_t i = 1; i < nn_lora_tensors(l); i += 2) {
        const nn_tensor t = nn_lora_tensor(l, i);
        nn_rng rng = nn_rng_at(8, "B", i);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const double z = nn_rng_normal(&rng);
            t.data[j] = 0.2f * (float)z;
        }
    }
    return l;
}

typedef struct {
    const char *model, *adapter;
    nn_pretrained *p;
    nn_lora *l;
} setting;

static setting set_up(const char *kind, nn_dtype type, unsigned targets, const char *base)
{
    setting s = {.model = foreign_file(kind, NN_TOK_BPE, true, type, 4), .adapter = path_in(temp_dir(), "adapter")};
    nn_err err = {NN_OK, ""};

    expect_ok(nn_pretrained_open(&s.p, s.model, &err), &err);
    s.l = adapters_for(nn_pretrained_config(s.p), targets);
    expect_ok(nn_lora_save(s.l, nn_pretrained_config(s.p), s.adapter, base, &err), &err);
    return s;
}

static void take_down(setting *s)
{
    nn_lora_free(s->l);
    nn_pretrained_close(s->p);
}

static nn_model *load(const nn_pretrained *p, bool floats)
{
    const nn_load_options o = {.floats = floats};
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_pretrained_load(&m, p, &o, &err), &err);
    return m;
}

static void expect_same_weights(const nn_model *got, const nn_model *want)
{
    nn_model *a = NULL, *b = NULL;

    expect_ok(nn_model_floats(&a, got, NULL), NULL);
    expect_ok(nn_model_floats(&b, want, NULL), NULL);
    for (size_t i = 0; i < nn_model_tensors(b); i++) {
        const nn_tensor t = nn_model_tensor(b, i);
        expect_same_floats(t.name, nn_model_tensor(a, i).data, t.data, t.rows * t.cols);
    }
    nn_model_free(a);
    nn_model_free(b);
}

/* --- merging ------------------------------------------------------------------------------------------------ */

Test(lora_use, merged_where_they_lie_and_as_floats_are_the_same_weights)
{
    static const nn_dtype types[] = {NN_F32, NN_F16, NN_Q8_0, NN_Q4_0};

    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        setting s = set_up(k % 2 ? "llama" : "qwen2", types[k], 1u << NN_LORA_Q | 1u << NN_LORA_DOWN, "base");
        nn_model *plain = load(s.p, true), *floats = NULL, *stored = NULL, *clone = NULL;
        nn_exec x;
        nn_err err = {NN_OK, ""};
        nn_tensor q, v;

        expect_ok(nn_exec_open(&x, NULL, 3, 16, &err), &err);
        expect_ok(nn_lora_merge(plain, s.l, &x, &err), &err); /* beside what loading does */
        expect_ok(nn_pretrained_adapt(s.p, s.adapter, &err), &err);
        floats = load(s.p, true);
        stored = load(s.p, false);
        expect_same_weights(floats, plain);
        expect_same_weights(stored, plain);
        cr_assert(nn_model_find(stored, "blk.1.attn_q.weight", &q) && nn_model_find(stored, "blk.1.attn_v.weight", &v));
        cr_expect(q.type == NN_F32 && q.bytes && v.type == types[k], "only what has an adapter is made floats");
        expect_ok(nn_model_clone(&clone, stored, &err), &err);
        expect_ok(nn_lora_merge(stored, s.l, &x, &err), &err); /* twice, and the clone keeps what it was */
        expect_ok(nn_lora_merge(floats, s.l, &x, &err), &err);
        expect_same_weights(stored, floats);
        nn_model_free(stored);
        expect_same_weights(clone, plain);
        nn_model_free(clone);
        nn_model_free(floats);
        nn_model_free(plain);
        nn_exec_free(&x);
        take_down(&s);
    }
}

Test(lora_use, a_merge_counts_what_it_allocates_and_reports_each_failure)
{
    setting s = set_up("llama", NN_Q8_0, NN_LORA_ALL, "base");
    const nn_load_options o = {.floats = false};
    nn_model *m = NULL;
    nn_status st = NN_LIMIT;
    uint64_t plain = nn_pretrained_bytes(s.p, &o), touched = 0;

    for (size_t i = 0; i < nn_lora_tensors(s.l); i += 2)
        touched += (uint64_t)nn_lora_tensor(s.l, i).cols * nn_lora_tensor(s.l, i + 1).rows * sizeof(float);
    expect_ok(nn_pretrained_adapt(s.p, s.adapter, NULL), NULL);
    cr_expect(nn_pretrained_bytes(s.p, &o) == plain + touched);
    for (long n = 0; st != NN_OK; n++) {
        nn_alloc_fail_at(n);
        st = nn_pretrained_load(&m, s.p, &o, NULL);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !m), "allocation %ld", n);
    }
    nn_model_free(m);
    take_down(&s);
}

/* --- converting --------------------------------------------------------------------------------------------- */

/* As the weights are and then rounded, in either order of rows. */
static void check_converted(const char *kind, nn_dtype from, const char *out, const char *type, nn_dtype want)
{
    setting s = set_up(kind, from, NN_LORA_ALL, "base");
    const char *to = path_in(temp_dir(), out), *by_hand = path_in(temp_dir(), "by_hand.gguf");
    nn_write_options o = nn_write_default();
    nn_pretrained *a = NULL, *b = NULL;
    nn_err err = {NN_OK, ""};
    const cli_result r = type ? CLI(NULL, "convert", s.model, to, "--adapter", s.adapter, "--type", type)
                              : CLI(NULL, "convert", s.model, to, "--adapter", s.adapter);

    expect_status(&r, 0);
    expect_says(r.out, " with ");
    expect_ok(nn_pretrained_adapt(s.p, s.adapter, &err), &err);
    nn_model *merged = load(s.p, true);
    o.type = want;
    expect_ok(nn_model_write_gguf(by_hand, merged, NULL, &o, &err), &err);
    expect_ok(nn_pretrained_open(&a, to, &err), &err);
    expect_ok(nn_pretrained_open(&b, by_hand, &err), &err);
    nn_model *got = load(a, true), *wanted = load(b, true), *halves = NULL;
    if (nn_model_config(got)->rope == nn_model_config(wanted)->rope) {
        expect_same_weights(got, wanted);
    } else { /* a folder of llama's has rows in halves: compared as a file of it */
        const char *again = path_in(temp_dir(), "again.gguf");
        nn_pretrained *c = NULL;
        expect_ok(nn_model_write_gguf(again, got, NULL, &o, &err), &err);
        expect_ok(nn_pretrained_open(&c, again, &err), &err);
        halves = load(c, true);
        expect_same_weights(halves, wanted);
        nn_model_free(halves);
        nn_pretrained_close(c);
    }
    nn_model_free(got);
    nn_model_free(wanted);
    nn_model_free(merged);
    nn_pretrained_close(a);
    nn_pretrained_close(b);
    take_down(&s);
}

Test(lora_use, convert_merges_as_floats_and_rounds_to_the_type)
{
    check_converted("llama", NN_F16, "m.gguf", "f32", NN_F32);
    check_converted("llama", NN_F16, "m.gguf", NULL, NN_F16);
    check_converted("qwen2", NN_Q8_0, "m.gguf", NULL, NN_Q8_0);
    check_converted("qwen3", NN_BF16, "m.gguf", "q4_0", NN_Q4_0);
    check_converted("llama", NN_F32, "folder", NULL, NN_F32);
}

/* --- the verbs ---------------------------------------------------------------------------------------------- */

static const char *some_text(void)
{
    const char *path = path_in(temp_dir(), "text.txt");
    char text[4096] = "";

    for (size_t i = 0; i < 60; i++) strcat(text, i % 3 ? "safe stone river " : "unsafe bread garden. ");
    write_text(path, text);
    return path;
}

Test(lora_use, generate_and_perplexity_are_those_of_the_merged_file)
{
    setting s = set_up("llama", NN_F16, 1u << NN_LORA_Q | 1u << NN_LORA_V | 1u << NN_LORA_UP, "org/other-7B");
    const char *merged = path_in(temp_dir(), "merged.gguf"), *text = some_text();
    const cli_result c = CLI(NULL, "convert", s.model, merged, "--adapter", s.adapter, "--type", "f32");
    const cli_result a = CLI(NULL, "perplexity", "--exact", "--context", "64", "--model", s.model, "--adapter",
                             s.adapter, text);
    const cli_result b = CLI(NULL, "perplexity", "--exact", "--context", "64", "--model", merged, text);
    const cli_result plain = CLI(NULL, "perplexity", "--exact", "--context", "64", "--model", s.model, text);
    const cli_result g = CLI(NULL, "generate", "--exact", "--seed", "3", "--model", s.model, "--adapter", s.adapter,
                             "--prompt", "stone", "--max-tokens", "60", "--threads", "2");
    const cli_result h = CLI(NULL, "generate", "--exact", "--seed", "3", "--model", merged, "--prompt", "stone",
                             "--max-tokens", "60");

    expect_status(&c, 0);
    expect_status(&a, 0);
    expect_status(&b, 0);
    cr_expect_str_eq(a.out, b.out);
    cr_expect_str_neq(a.out, plain.out);
    expect_status(&g, 0);
    expect_status(&h, 0);
    cr_expect(g.out_len > 0 && strcmp(g.out, h.out) == 0, "%s\n%s", g.out, h.out);
    expect_says(a.err, "the adapter says its base is org/other-7B");
    expect_says(c.err, "parapet convert: the adapter says its base is org/other-7B");
    expect_says(g.err, "parapet generate: the adapter says its base is org/other-7B");
    cr_expect_str_eq(b.err, "");
    take_down(&s);
}

Test(lora_use, a_base_of_the_same_name_is_no_news)
{
    setting s = set_up("qwen2", NN_F16, NN_LORA_ALL, "some/where/else");
    const char *slash = strrchr(s.model, '/');
    char name[300];

    snprintf(name, sizeof name, "somebody/%s", slash + 1);
    expect_ok(nn_lora_save(s.l, nn_pretrained_config(s.p), s.adapter, name, NULL), NULL);
    const char *dir = temp_dir(), *same = path_in(dir, slash + 1), *q4 = path_in(dir, "tiny-Q4_0.gguf");
    const cli_result r = CLI(NULL, "generate", "--model", s.model, "--adapter", s.adapter, "--prompt", "stone",
                             "--max-tokens", "4");
    expect_status(&r, 0);
    cr_expect_str_eq(r.err, "");
    expect_ok(nn_lora_save(s.l, nn_pretrained_config(s.p), s.adapter, "tiny.gguf", NULL), NULL);
    cr_assert(symlink(s.model, q4) == 0 && symlink(s.model, same) == 0);
    const cli_result q = CLI(NULL, "generate", "--model", q4, "--adapter", s.adapter, "--max-tokens", "4");
    const cli_result n = CLI(NULL, "generate", "--model", same, "--adapter", s.adapter, "--max-tokens", "4");
    cr_expect_str_eq(q.err, "");
    expect_says(n.err, "its base is tiny.gguf");
    take_down(&s);
}

Test(lora_use, what_is_trained_beside_a_merged_model_does_not_name_its_file_alone)
{
    setting s = set_up("llama", NN_F16, NN_LORA_ALL, "base");
    char plain[256], adapted[256], want[300];
    nn_err err = {NN_OK, ""};

    nn_pretrained_base_name(s.p, plain, sizeof plain);
    cr_expect_str_eq(plain, strrchr(s.model, '/') + 1);
    expect_ok(nn_pretrained_adapt(s.p, s.adapter, &err), &err);
    nn_pretrained_base_name(s.p, adapted, sizeof adapted);
    snprintf(want, sizeof want, "adapted %s", plain);
    cr_expect_str_eq(adapted, want);
    expect_ok(nn_lora_save(s.l, nn_pretrained_config(s.p), s.adapter, adapted, &err), &err);
    const cli_result r = CLI(NULL, "generate", "--model", s.model, "--adapter", s.adapter, "--max-tokens", "4");
    expect_says(r.err, "its base is adapted ");
    take_down(&s);
}

/* --- refusals ------------------------------------------------------------------------------------------------ */

static void replace(const char *dir, const char *from, const char *to)
{
    const char *path = path_in(dir, "adapter_config.json");
    char *text = read_bytes(path, NULL), *at = strstr(text, from), out[4096];

    cr_assert(at != NULL, "%s", from);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    write_text(path, out);
    free(text);
}

static const char *opening_script(void)
{
    const char *dir = copy_scripts(NULL, NULL), *script = path_in(dir, "scripts/wrong.lua");

    write_text(script, "local run = parapet.run { taxonomy = require 'taxonomy' }\n"
                       "run:open_model(parapet.set.model, { adapter = parapet.set.adapter })\n");
    return script;
}

/* On every way in: by name, as a file that is wrong, and nothing is left of what was to be written. */
static void expect_refused(const setting *s, const char *part)
{
    const char *out = path_in(temp_dir(), "out.gguf"), *script = opening_script();
    char model[1100], adapter[1100];

    snprintf(model, sizeof model, "model=%s", s->model);
    snprintf(adapter, sizeof adapter, "adapter=%s", s->adapter);
    const cli_result r[] = {
        CLI(NULL, "generate", "--model", s->model, "--adapter", s->adapter, "--prompt", "stone", "--max-tokens", "4"),
        CLI(NULL, "perplexity", "--model", s->model, "--adapter", s->adapter, some_text()),
        CLI(NULL, "convert", s->model, out, "--adapter", s->adapter),
        CLI(NULL, "plan", script, "--set", model, "--set", adapter)};

    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        expect_status(&r[i], 4);
        expect_says(r[i].err, part);
        if (i < 3) cr_expect_eq(r[i].out_len, 0, "%s", r[i].out);
    }
    cr_expect(fopen(out, "rb") == NULL);
}

Test(lora_use, a_wrong_adapter_is_refused_by_name_on_every_way, .timeout = 120)
{
    setting s = set_up("llama", NN_F16, 1u << NN_LORA_Q | 1u << NN_LORA_DOWN, "base");
    nn_config other = *nn_pretrained_config(s.p);

    replace(s.adapter, "\"r\": 3", "\"r\": 5");
    expect_refused(&s, "layers.0.self_attn.q_proj.lora_A.weight has 96 values, 32 in a row, want [5, 32]");
    replace(s.adapter, "\"r\": 5", "\"r\": 3");
    replace(s.adapter, "\"q_proj\"", "\"q_proj\", \"v_proj\"");
    expect_refused(&s, "layers.0.self_attn.v_proj.lora_A.weight is missing");
    other.ff *= 2;
    nn_lora *l = adapters_for(&other, 1u << NN_LORA_Q | 1u << NN_LORA_DOWN);
    expect_ok(nn_lora_save(l, &other, s.adapter, "base", NULL), NULL);
    expect_refused(&s, "layers.0.mlp.down_proj.lora_A.weight has 384 values, 128 in a row, want [3, 64]");
    nn_lora_free(l);
    remove(path_in(s.adapter, "adapter_model.safetensors"));
    expect_refused(&s, "adapter_model.safetensors");
    take_down(&s);
}

Test(lora_use, what_takes_no_adapter_says_so)
{
    setting s = set_up("llama", NN_F16, NN_LORA_ALL, "base");
    const char *out = path_in(temp_dir(), "out.gguf");
    const cli_result guard = CLI(NULL, "convert", small_guard(), out, "--for", "llama.cpp", "--adapter", s.adapter);

    expect_status(&guard, 2);
    expect_says(guard.err, "--adapter");
    take_down(&s);
}

/* --- scripts -------------------------------------------------------------------------------------------------- */

Test(lora_use, a_script_opens_the_merged_model_and_its_hash_is_another, .timeout = 120)
{
    setting s = set_up("qwen2", NN_F16, NN_LORA_ALL, "some/base");
    const char *dir = copy_scripts(NULL, NULL), *script = path_in(dir, "scripts/open.lua"), *run = path_in(dir, "run");
    char model[1100], adapter[1100];

    write_text(script,
               "local run = parapet.run { taxonomy = require 'taxonomy', seed = 2 }\n"
               "local plain = run:open_model(parapet.set.model)\n"
               "local model = run:open_model(parapet.set.model, { adapter = parapet.set.adapter })\n"
               "run:use_tokenizer(model)\n"
               "local seeds = run:load('data/seeds.jsonl', { cap = 40 })\n"
               "for _, m in ipairs { plain, model } do\n"
               "    local guard = run:label_guard(m, seeds, { name = 'g', template = 'stone {prompt} river',\n"
               "                                              window = 64, labels = { safe = 'safe', unsafe = 'unsafe' } })\n"
               "end\n");
    snprintf(model, sizeof model, "model=%s", s.model);
    snprintf(adapter, sizeof adapter, "adapter=%s", s.adapter);
    const cli_result r = CLI(NULL, "run", script, "--out", run, "--set", model, "--set", adapter);
    expect_status(&r, 0);
    char *ledger = read_bytes(path_in(run, "ledger.jsonl"), NULL);
    expect_says(ledger, "\"adapter_base\":\"some/base\"");
    cr_expect(strstr(ledger, s.adapter) == NULL, "a place, not a name");
    free(ledger);
    /* the second guard holds the sum in F32 where the first has the file's F16 */
    nn_gguf *a = NULL, *b = NULL;
    nn_err err = {NN_OK, ""};
    expect_ok(nn_gguf_open(&a, path_in(run, "models/05_label_guard.gguf"), &err), &err);
    expect_ok(nn_gguf_open(&b, path_in(run, "models/06_label_guard.gguf"), &err), &err);
    cr_expect(nn_gguf_find(a, "blk.0.attn_q.weight")->type == NN_F16);
    cr_expect(nn_gguf_find(b, "blk.0.attn_q.weight")->type == NN_F32);
    nn_gguf_close(a);
    nn_gguf_close(b);
    const cli_result audit = CLI(NULL, "audit", run);
    expect_status(&audit, 0);
    take_down(&s);
}
