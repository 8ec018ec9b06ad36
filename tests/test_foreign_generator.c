/* Generators over other people's models in runs: the same bytes however a script is run, mistakes told before any
 * work. */
#include "guard/run.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *model_option(const char *kind, nn_tok_model model)
{
    static char set[1024];

    snprintf(set, sizeof set, "model=%s", foreign_file(kind, model, true, NN_F16, 4));
    return set;
}

static void identity_of(char id[65], const char *dir)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_identity(id, dir, &err), &err);
}

Test(foreign_generator, an_adversary_round_gives_the_same_bytes_however_it_is_run)
{
    const char *script = path_in(copy_scripts("tests/lua/foreign_generator.lua", "foreign.lua"), "scripts/foreign.lua");
    const char *set = model_option("mistral", NN_TOK_SPM), *one = path_in(temp_dir(), "run"),
               *two = path_in(temp_dir(), "run"), *stopped = path_in(temp_dir(), "run");
    char id[3][65], generator[512];
    cli_result r = CLI(NULL, "run", script, "--set", set, "--out", one, "--threads", "1");

    expect_status(&r, 0);
    r = CLI(NULL, "run", script, "--set", set, "--out", two, "--threads", "2");
    expect_status(&r, 0);
    const cli_options interrupt = {.signal = SIGINT, .times = 1, .after = 0.7};
    r = CLI(&interrupt, "run", script, "--set", set, "--out", stopped);
    cr_expect(r.status == 130 || r.status == 0, "%d: %s", r.status, r.err);
    r = CLI(NULL, "run", script, "--set", set, "--out", stopped, "--resume");
    expect_status(&r, 0);
    identity_of(id[0], one);
    identity_of(id[1], two);
    identity_of(id[2], stopped);
    cr_expect_str_eq(id[0], id[1]);
    cr_expect_str_eq(id[0], id[2]);
    snprintf(generator, sizeof generator, "%s/models/10_attack.gguf", one);
    r = CLI(NULL, "generate", "--model", generator, "--n", "3");
    expect_status(&r, 0);
}

static void refused(const char *lines, const char *want)
{
    const char *script = path_in(temp_dir(), "script.lua");
    char text[2048];

    snprintf(text, sizeof text,
             "local run = parapet.run { seed = 1, taxonomy = { { name = 'malware', domain = 'd', definition = 'd', "
             "severity = 1 } } }\n"
             "local model = run:open_model(parapet.set.model)\n"
             "local c = run:load('data/seeds.jsonl', { cap = 10 })\n%s\n",
             lines);
    write_bytes(script, text, strlen(text));
    const cli_result r = CLI(NULL, "plan", script, "--set", model_option("qwen3", NN_TOK_BPE));
    cr_expect_neq(r.status, 0, "%s", lines);
    expect_says(r.err, want);
}

Test(foreign_generator, mistakes_are_told_before_any_work)
{
    refused("run:train_generator(c, c, { base = model, layers = 2 })", "train_generator.layers: not with a base");
    refused("run:train_generator(c, c, { base = model, prompt = 'a request: ' })", "the place {label}");
    refused("run:pretrain(c, { base = c })", "base");
    refused("run:train_generator(c, c, {})", "train_tokenizer");
}
