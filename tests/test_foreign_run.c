/* Other people's models in runs: scripts from end to end, on any number of threads, stopped and gone on with. */
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The script in tests/lua: the same bytes on one thread, on two, and stopped on the way. */
Test(foreign_run, every_role_gives_the_same_bytes_however_it_is_run)
{
    const char *script = path_in(copy_scripts("tests/lua/foreign.lua", "foreign.lua"), "scripts/foreign.lua");
    const cli_result r = expect_same_however_run(script, foreign_option("qwen2", NN_TOK_BPE), 0.5, NULL);

    expect_says(r.out, "again");
}

Test(foreign_run, a_changed_model_is_not_the_run_s)
{
    const char *script = path_in(copy_scripts("tests/lua/foreign.lua", "foreign.lua"), "scripts/foreign.lua");
    const char *set = foreign_option("qwen2", NN_TOK_BPE), *out = path_in(temp_dir(), "run");
    const cli_options interrupt = {.signal = SIGINT, .times = 1, .after = 0.3};
    size_t len = 0;
    cli_result r = CLI(&interrupt, "run", script, "--set", set, "--out", out);

    char *bytes = read_bytes(set + strlen("model="), &len);
    bytes[len - 1] = (char)(bytes[len - 1] ^ 1);
    write_bytes(set + strlen("model="), bytes, len);
    r = CLI(NULL, "run", script, "--set", set, "--out", out, "--resume");
    expect_status(&r, 2);
    expect_says(r.err, "changed since the run");
    free(bytes);
}

Test(foreign_run, the_experiment_plans_runs_and_its_guard_checks)
{
    const char *script = "scripts/experiments/05_pretrained.lua", *set = foreign_option("qwen2", NN_TOK_SPM),
               *out = path_in(temp_dir(), "run");
    cli_result r = CLI(NULL, "plan", script, "--set", set);

    expect_status(&r, 0);
    expect_says(r.out, "label_guard");
    r = CLI(NULL, "run", script, "--set", set, "--out", out);
    expect_status(&r, 0);
    expect_says(r.out, "20 steps and wide");
    r = CLI(NULL, "check", "--model", path_in(out, "guard.gguf"), "--json", "bread for the river");
    cr_expect(r.status == 0 || r.status == 1, "%s", r.err);
    expect_says(r.out, "\"p_unsafe\"");
    r = CLI(NULL, "check", "--model", path_in(out, "guard.gguf"), "--response", "yes", "bread");
    expect_status(&r, 3);
    expect_says(r.err, "prompts alone");
    r = CLI(NULL, "check", "--model", set + strlen("model="), "bread");
    expect_status(&r, 4);
    expect_says(r.err, "run:label_guard");
}

/* --- what a script gets wrong --------------------------------------------------------------------------------- */

Test(foreign_run, mistakes_are_told_before_any_work)
{
#define LABELS "labels = { safe = ' safe', unsafe = ' unsafe' }"
    plan_fails("run:label_guard(model, rows, { " LABELS " })", "template: missing");
    plan_fails("run:label_guard(model, rows, { template = 'x' })", "label_guard.labels: missing");
    plan_fails("run:label_guard(model, rows, { template = 'x', " LABELS " })", "no place {prompt}");
    plan_fails("run:label_guard(model, rows, { template = '{prompt}', messages = {}, " LABELS " })",
               "want one of them");
    plan_fails("run:label_guard(model, rows, { messages = { { role = 'user', text = '{prompt}' } }, " LABELS " })",
            "chat format is not known");
    plan_fails("run:label_guard(model, rows, { template = { '{prompt}', { special = '<|x|>' } }, " LABELS " })",
               "<|x|>");
    plan_fails("run:label_guard(model, rows, { template = { 7 }, " LABELS " })", "template[1]");
    plan_fails("run:train_guard(rows, rows, { template = '{prompt}' })", "no tokenizer yet");
    plan_fails("run:train_guard(rows, rows, { base = model, layers = 3 })", "layers: not with a base");
    plan_fails("run:train_guard(rows, rows, { base = model, window = 1024 })", "context of");
    plan_fails("run:train_guard(rows, rows, { base = model, template = '{prompt}.', pool = 'mean_max', " LABELS " })",
            "want pool = 'last'");
    plan_fails("run:use_tokenizer(model)\nrun:train_tokenizer(rows)", "called twice");
    plan_fails("run:use_tokenizer(model)\nrun:use_tokenizer(model)", "want one a run");
    plan_fails("run:use_tokenizer(model)\nrun:train_guard(rows, rows, { template = '{prompt}' })", "only with a base");
    plan_fails("run:open_model('/etc/hosts')", "outside what a script may open");
    plan_fails("run:open_model(parapet.set.model, { chat = 'nobody' })", "open_model.chat");
}
