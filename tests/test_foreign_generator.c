/* Generators over other people's models in runs: the same bytes however a script is run, mistakes told before any
 * work. */
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include <stdio.h>
#include <string.h>

Test(foreign_generator, an_adversary_round_gives_the_same_bytes_however_it_is_run)
{
    const char *script = path_in(copy_scripts("tests/lua/foreign_generator.lua", "foreign.lua"), "scripts/foreign.lua");
    const char *one = NULL;
    char generator[512];

    (void)expect_same_however_run(script, foreign_option("mistral", NN_TOK_SPM), 0.7, &one);
    snprintf(generator, sizeof generator, "%s/models/10_attack.gguf", one);
    const cli_result r = CLI(NULL, "generate", "--model", generator, "--n", "3");
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
    const cli_result r = CLI(NULL, "plan", script, "--set", foreign_option("qwen3", NN_TOK_BPE));
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
