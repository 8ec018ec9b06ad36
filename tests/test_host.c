/* Tests of guard/lua: order, text, options, columns, plans, rules; and five processes that must say the same bytes. */
#include "guard/lua/lua_api.h"
#include "nn/mathf.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CATEGORY "{ name = 'a', domain = 'd', severity = 1, definition = 'one' }"
#define RUN "local run = parapet.run{ taxonomy = {" CATEGORY "}, tokens = { small = 1000, large = 1e9 } }\n"
#define SEEDS RUN "local seeds = run:load 'data/seeds.jsonl'\n"
#define PARTS SEEDS "local a, b = seeds:split{ parts = { 0.5, 0.5 } }\n"
#define TOKENS PARTS "run:train_tokenizer(a)\n"

/* The message of a script that must be refused; lives as long as *err. */
static const char *message(const char *script, nn_err *err)
{
    *err = (nn_err){NN_OK, ""};
    const nn_status st = host_try(script, err);
    cr_expect(st == NN_CONTENT, "status %d, want %d, of %s", (int)st, (int)NN_CONTENT, script);
    return err->text;
}

static void refuse(const char *script, const char *part)
{
    nn_err err;

    expect_says(message(script, &err), part);
}

static void accept(const char *script)
{
    nn_err err = {NN_OK, ""};

    expect_ok(host_try(script, &err), &err);
}

/* A script of tests/lua, which asserts by itself. */
static void run_script(const char *path)
{
    nn_err err = {NN_OK, ""};
    char *text = read_bytes(path, NULL);

    expect_ok(host_try_run(text, &err), &err);
    free(text);
}

/* --- the same in every process --------------------------------------------------------------------- */

Test(host, walks_and_sorts_have_one_order)
{
    run_script("tests/lua/order.lua");
}

Test(host, values_as_text_show_no_address)
{
    run_script("tests/lua/text.lua");
}

Test(host, mathematics_and_draws_are_functions)
{
    run_script("tests/lua/maths.lua");
}

Test(host, transcendental_functions_are_the_librarys_own)
{
    const double x[] = {-7.25, -1.0, -1e-9, 0.1, 1.0, 2.0, 3.14159, 42.0};
    char script[1024];
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        const double y = x[i] > 0.0 ? x[i] : -x[i];

        snprintf(script, sizeof script,
                 "local x, y = %a, %a\n"
                 "assert(math.exp(x) == %a and math.sin(x) == %a and math.cos(x) == %a and math.tanh(x) == %a)\n"
                 "assert(math.log(y) == %a and math.pow(y, x) == %a)",
                 x[i], y, nn_exp(x[i]), nn_sin(x[i]), nn_cos(x[i]), nn_tanh(x[i]), nn_log(y), nn_pow(y, x[i]));
        expect_ok(host_try_run(script, &err), &err);
    }
}

/* What a process prints after walking, sorting, formatting and calling the quickstart's rules on made-up rows. */
Test(host, five_processes_print_the_same_bytes)
{
    const char *first = NULL, *dir = copy_scripts("tests/lua/five.lua", "five.lua");

    for (int i = 0; i < 5; i++) {
        const char *out = path_in(temp_dir(), "run"), *script = path_in(dir, "scripts/five.lua");
        const cli_result r = CLI(NULL, "run", script, "--out", out, "--threads", "1");
        const char *said = strstr(r.err, "five:");

        expect_status(&r, 0);
        cr_assert(said != NULL, "nothing was printed: %.300s", r.err);
        if (!first) first = said;
        const size_t n = (size_t)(strstr(first, "five: end") - first);
        cr_expect(n > 500 && strncmp(first, said, n) == 0, "process %d printed %.400s, want %.400s", i, said, first);
    }
}

Test(host, fields_of_a_file_and_phrases_of_a_lexicon_are_rows_for_rules)
{
    const char *out = path_in(temp_dir(), "run");
    const cli_result first = CLI(NULL, "run", "tests/lua/fields.lua", "--out", out);

    expect_status(&first, 0);
    const cli_result again = CLI(NULL, "run", "tests/lua/fields.lua", "--out", out, "--resume");
    expect_status(&again, 0);
    refuse(RUN "run:load('data/seeds.jsonl', { fields = { structure = 'text' } })",
           "load.fields.structure: want 'string', 'number' or 'boolean'");
    refuse(RUN "run:phrases 'data/seeds.jsonl'", "seeds.jsonl:1: field '");
}

/* --- options ------------------------------------------------------------------------------------------ */

Test(host, an_unknown_option_names_the_nearest)
{
    refuse(TOKENS "run:train_guard(a, b, { layer = 3 })", "train_guard.layer: unknown, did you mean 'layers'?");
    refuse(RUN "run:load('data/seeds.jsonl', { format = 'jsonl', caps = 3 })", "load.caps: unknown, did you mean 'cap'?");
    refuse("parapet.run{ taxnomy = {} }", "run.taxnomy: unknown, did you mean 'taxonomy'?");
    refuse(SEEDS "seeds:split{ parts = { 0.5, 0.5 }, on = 'id' }", "split.on: unknown");
}

Test(host, all_problems_are_told_at_once)
{
    nn_err err;
    const char *text = message(TOKENS "run:train_guard(a, b, { layers = 'two', width = 7, lrr = 1, heads = 2.5, "
                                      "wide = 1, [3] = 4 })",
                               &err);

    expect_says(text, "train_guard.layers: a string, want a whole number");
    expect_says(text, "train_guard.width: 7.0, want 8.0 to 8192.0");
    expect_says(text, "train_guard.lrr: unknown, did you mean 'lr'?");
    expect_says(text, "train_guard.heads: a number, want a whole number");
    expect_says(text, "train_guard.wide: a number, want true or false");
    expect_says(text, "train_guard: a key that is not a name");
}

Test(host, options_of_the_wrong_kind_are_refused)
{
    refuse(TOKENS "run:train_guard(a, b, 3)", "train_guard: a number, want a table");
    refuse(TOKENS "run:train_guard(a, 3)", "bad argument #2 to 'train_guard' (corpus expected, got number)");
    refuse(TOKENS "run:train_guard(a, b, setmetatable({}, {}))", "a table with a metatable, want a plain one");
    refuse(TOKENS "run:train_guard(a, b, { init = a })", "init: a userdata, want a guard");
    refuse(TOKENS "run:train_guard(a, b, { pool = 'max' })", "pool: 'max', want 'last' or 'mean_max'");
    refuse(TOKENS "run:train_guard(a, b, { store = 'q4' })", "want f32, bf16, q8_0, q4_0 or int8");
    refuse(TOKENS "run:train_guard(a, b, { wide = false, decoder = false })", "want one of them");
    refuse(TOKENS "run:train_judges(a, b, { init = a })", "train_judges.init: not for judges");
    refuse(SEEDS "seeds:split{ parts = { 0.5, 0.4 } }", "they sum to 0.9, want 1");
    refuse(SEEDS "seeds:split{ by = 'text', parts = { 0.5, 0.5 } }", "split.by: 'text', want 'concept' or 'id'");
    refuse(SEEDS "seeds:sample(0)", "want a count above 0");
    refuse(RUN "run.load({}, 'x')", "run expected, got table");
}

Test(host, the_order_of_calls_is_told)
{
    refuse(PARTS "run:train_guard(a, b)", "train_guard: no tokenizer yet, want run:train_tokenizer before");
    refuse(TOKENS "run:train_tokenizer(a)", "called twice, want one tokenizer a run");
    refuse(RUN RUN, "parapet.run: called twice");
    refuse("local x = 1", "never called parapet.run{...}");
}

Test(host, options_that_hold_themselves_are_refused)
{
    refuse(SEEDS "local t = {} t.t = t\n"
                 "run:augment(seeds, { lexicon = 'data/lexicon/concepts.jsonl', structures = t, styles = {} })",
           "nested more than 16 deep");
}

Test(host, a_taxonomy_is_checked_as_a_whole)
{
    refuse("parapet.run{ taxonomy = {} }", "taxonomy: 0 categories, want 1 to");
    refuse("parapet.run{ taxonomy = {" CATEGORY ", " CATEGORY "} }", "category 'a' stands twice");
    refuse("parapet.run{ taxonomy = {{ name = 'a', domain = 'd', severity = 4, definition = 'x' }} }",
           "taxonomy[1].severity: 4.0, want 1.0 to 3.0");
    refuse("parapet.run{ taxonomy = {{ name = string.rep('a', 400), domain = 'd', severity = 1, definition = 'x' }} }",
           "taxonomy[1].name: longer than");
    refuse("parapet.run{ taxonomy = {{ name = 'a', domain = 'd', severity = 1, definition = 'x', openai = { 3 } }} }",
           "taxonomy[1].openai[1]: want a string");
}

/* --- names ------------------------------------------------------------------------------------------------ */

Test(host, an_unknown_column_names_the_nearest)
{
    refuse(SEEDS "seeds:where(function(row) return row.lable == 1 end, 'rule')",
           "rule 'rule', probe row: script.lua:3: row.lable: no such column, did you mean 'label'?");
    refuse(SEEDS "seeds:column('n', function(row) return #row.txt end)", "did you mean 'text'?");
    refuse(TOKENS "run:train_guard(a, b, { focus = 'round' })", "train_guard.focus: no column 'round'");
    refuse(SEEDS "local x = seeds:column('loss', function() return 1 end)\n"
                 "x:where(function(row) return row.los > 0 end)",
           "row.los: no such column, did you mean 'loss'?");
}

Test(host, an_unknown_method_names_the_nearest)
{
    refuse(RUN "run:agument()", "unknown method of a run 'agument', did you mean 'augment'?");
    refuse(SEEDS "seeds:wher()", "unknown method of a corpus 'wher', did you mean 'where'?");
}

/* --- rules ------------------------------------------------------------------------------------------------- */

Test(host, rows_are_read_only_and_live_as_long_as_their_rule)
{
    refuse(SEEDS "seeds:where(function(row) row.text = 'x' end)", "row.text: rows are read-only");
    refuse(SEEDS "local kept\n"
                 "seeds:where(function(row) kept = row return true end)\n"
                 "local x = kept.text",
           "row: expired; a row lives only while its rule runs");
    refuse(SEEDS "local kept\n"
                 "pcall(seeds.where, seeds, function(row) kept = row error('on purpose') end)\n"
                 "local x = kept.text",
           "row: expired");
}

Test(host, a_rule_begins_no_stage)
{
    refuse(SEEDS "seeds:where(function() seeds:sample(3) return true end)", "sample: a stage inside a rule");
    accept(SEEDS "seeds:where(function() return seeds:count(function() return true end) >= 0 end)");
}

Test(host, a_rule_that_exhausts_memory_is_a_limit)
{
    nn_err err = {NN_OK, ""};

    expect_fails(host_try(SEEDS "seeds:where(function() return string.rep('x', 1 << 30) == '' end, 'fat')", &err),
                 NN_LIMIT, &err, "rule 'fat', probe row: script: its values need more than the memory cap");
}

Test(host, the_status_is_that_of_the_error_that_ended_the_script)
{
    nn_err err = {NN_OK, ""};

    refuse(RUN "local ok = pcall(run.load, run, 'data/nosuch.jsonl')\nerror('mine')", "script.lua:3: mine");
    expect_fails(host_try(RUN "local ok, text = pcall(run.load, run, 'data/nosuch.jsonl')\nerror(text, 0)", &err),
                 NN_FILE, &err, "nosuch.jsonl");
    refuse("error({})", "an error value without text");
}

Test(host, what_a_rule_returns_is_checked_row_by_row)
{
    const char *dir = copy_scripts("tests/lua/bad_rule.lua", "bad_rule.lua");
    const cli_result r = CLI(NULL, "run", path_in(dir, "scripts/bad_rule.lua"), "--out", path_in(dir, "run"));

    expect_status(&r, 3);
    expect_says(r.err, "rule 'half', row ");
    expect_says(r.err, "returned a number, want true or false");
}

/* --- plans ------------------------------------------------------------------------------------------------- */

Test(host, a_budget_is_declared_and_not_overdrawn)
{
    refuse(TOKENS "run:train_guard(a, b, { tokens = 2000, budget = 'small' })",
           "train_guard: budget 'small' is overdrawn: 2000 tokens planned, 1000 declared");
    refuse(TOKENS "run:train_guard(a, b, { tokens = 20, budget = 'smal' })", "budget 'smal' is not declared");
    refuse(TOKENS "local all = { layers = 1, budget = 'large' }\nrun:train_generator(a, a, all)",
           "train_generator.tokens: missing, want them beside a budget");
    refuse("parapet.run{ taxonomy = {" CATEGORY "}, tokens = { 5 } }", "run.tokens: want {name = tokens, ...}");
    refuse("local t = {} for i = 1, 9 do t['b' .. i] = 1 end\n"
           "pcall(parapet.run, { taxonomy = {" CATEGORY "}, tokens = t })\n"
           "parapet.run{ taxonomy = {" CATEGORY "}, tokens = t }",
           "run.tokens: 9 budgets, want at most 8");
}

Test(host, a_plan_says_where_the_power_operator_stands)
{
    const cli_result r = CLI(NULL, "plan", "tests/lua/power.lua");

    expect_status(&r, 0);
    expect_says(r.err, "power.lua:8: '^' is outside the promise");
    cr_assert_null(strchr(strchr(r.err, '\n') + 1, '\n'), "one line and no more: %s", r.err);
}

Test(host, the_shipped_scripts_have_a_plan)
{
    const cli_result quick = CLI(NULL, "plan", "scripts/quickstart.lua");
    const cli_result small = CLI(NULL, "plan", "scripts/experiments/00_small.lua");
    const cli_result json = CLI(NULL, "plan", "scripts/experiments/00_small.lua", "--json");

    expect_status(&quick, 0);
    expect_status(&small, 0);
    expect_status(&json, 0);
    expect_says(quick.out, "budget guards");
    expect_says(quick.out, "attack");
    expect_says(small.out, "train_tokenizer");
    expect_says(json.out, "{\"stages\":[{\"stage\":\"load\"");
}

Test(host, the_run_knows_which_pass_it_is_in)
{
    accept(RUN "assert(run.planning == true)");
}

Test(host, set_values_reach_the_script)
{
    const char *script = path_in(temp_dir(), "script.lua");

    write_text(script, RUN "assert(parapet.set.name == 'a=b' and parapet.set.empty == '')\nlocal x = parapet.set.data");
    const cli_result r = CLI(NULL, "plan", script, "--set", "name=a=b", "--set", "empty=");
    expect_status(&r, 3);
    expect_says(r.err, "parapet.set.data: not given, want --set data=VALUE");
}

/* --- documentation -------------------------------------------------------------------------------------------- */

static void expect_documented(const char *table, const lua_fn *fns)
{
    for (const lua_fn *f = fns; f->name; f++) {
        cr_expect(f->fn != NULL && f->usage && f->usage[0] && f->doc && f->doc[0], "%s: %s lacks usage or doc", table,
                  f->name);
        cr_expect(strstr(f->usage, f->name) != NULL, "%s: the usage of %s does not name it", table, f->name);
        for (const lua_arg *a = f->args; a && a->name; a++)
            cr_expect(a->doc && a->doc[0], "%s: %s: option %s lacks its meaning", table, f->name, a->name);
    }
}

Test(host, every_function_has_usage_and_meaning)
{
    expect_documented("parapet", lua_parapet_fns);
    expect_documented("run", lua_run_fns);
    expect_documented("models", lua_model_fns);
    expect_documented("train", lua_train_fns);
    expect_documented("generator", lua_generator_fns);
    expect_documented("synth", lua_synth_fns);
    expect_documented("adversary", lua_adversary_fns);
    expect_documented("report", lua_report_fns);
    expect_documented("corpus", lua_corpus_fns);
    expect_documented("guard", lua_guard_fns);
}

Test(host, the_committed_surface_is_what_help_prints)
{
    const cli_result r = CLI(NULL, "help", "lua");

    expect_status(&r, 0);
    cr_expect(bytes_equal_file("docs/lua-api.md", r.out, r.out_len),
              "docs/lua-api.md is old: build/parapet help lua >docs/lua-api.md");
}
