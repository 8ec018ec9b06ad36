/* Tests of guard/lua/sandbox.c, host.c and modules.c: one for each way out that a script might try. */
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The script must be refused, with `part` in the message. */
static void refuse(const char *script, const char *part)
{
    nn_err err = {NN_OK, ""};

    expect_fails(host_try_run(script, &err), NN_CONTENT, &err, part);
}

static void accept(const char *script)
{
    nn_err err = {NN_OK, ""};

    expect_ok(host_try_run(script, &err), &err);
}

TestSuite(sandbox, .timeout = 120); /* a script that got out of the sandbox may run for ever */

/* A script file in a fresh folder. */
static const char *script_file(const char *text)
{
    const char *path = path_in(temp_dir(), "script.lua");

    write_text(path, text);
    return path;
}

/* --- what is not there ---------------------------------------------------------------------------- */

Test(sandbox, code_from_strings_and_files_is_not_loaded)
{
    refuse("load('return 1')", "'load' is not for scripts");
    refuse("local f = loadfile('x.lua')", "'loadfile' is not for scripts");
    refuse("dofile('x.lua')", "'dofile' is not for scripts");
    refuse("loadstring('return 1')", "'loadstring' is not for scripts");
}

Test(sandbox, the_machine_is_out_of_reach)
{
    refuse("io.open('/etc/passwd')", "'io' is not for scripts");
    refuse("local x = 1\nos.execute('true')", "script.lua:2: global 'os' is not for scripts");
    refuse("package.loadlib('x', 'y')", "'package' is not for scripts");
    refuse("debug.getregistry()", "'debug' is not for scripts");
    refuse("collectgarbage('stop')", "'collectgarbage' is not for scripts");
}

Test(sandbox, loops_that_no_hook_sees_cannot_be_made)
{
    refuse("coroutine.create(print)", "'coroutine' is not for scripts");
    refuse("xpcall(print, print)", "'xpcall' is not for scripts");
    refuse("setmetatable({}, { __gc = function() while true do end end })", "__gc is not for scripts");
    refuse("setmetatable({}, { __close = print })", "__close is not for scripts");
}

Test(sandbox, a_finaliser_added_later_never_runs)
{
    accept("local mt = {}\n"
           "local t = setmetatable({}, mt)\n"
           "mt.__gc = function() while true do end end\n"
           "t = nil\n"
           "for i = 1, 200 do local s = string.rep('x', 100000 + i) end\n");
}

Test(sandbox, the_collector_is_invisible)
{
    refuse("setmetatable({}, { __mode = 'k' })", "__mode is not for scripts");
    refuse("string.format('%p', {})", "%p shows an address");
    refuse("string.format('\\0%5p', {})", "%p shows an address");
    refuse("string.format('%d%-20p', 1, {})", "%p shows an address");
    accept("assert(string.format('%%p %d', 3) == '%p 3')");
}

Test(sandbox, functions_are_not_dumped_to_bytecode)
{
    refuse("string.dump(function() end)", "'dump' is not for scripts");
    refuse("(''):dump()", "'dump' is not for scripts");
}

Test(sandbox, bytecode_is_not_a_script)
{
    nn_err err = {NN_OK, ""};

    expect_fails(host_try("\033LuaT", &err), NN_CONTENT, &err, "binary chunk");
}

Test(sandbox, the_metatable_of_all_strings_is_locked)
{
    refuse("getmetatable('').__index = nil", "attempt to index a string value");
    refuse("setmetatable('', {})", "bad argument #1 to 'setmetatable'");
    accept("assert(getmetatable('') == 'locked')\n"
           "assert(('x'):rep(3) == 'xxx')\n"
           "assert(not pcall(function() return ('').dump end))");
}

Test(sandbox, metatables_of_the_host_are_locked)
{
    accept("assert(getmetatable(_ENV) == 'locked' and getmetatable(math) == 'locked')\n"
           "assert(not pcall(setmetatable, _ENV, {}))\n"
           "assert(not pcall(setmetatable, math, {}))");
}

Test(sandbox, globals_are_declared_or_refused)
{
    refuse("lenght = 3", "global 'lenght' is not declared: write 'local lenght'");
    refuse("local x = pritn", "unknown global 'pritn', did you mean 'print'?");
    refuse("math.flor(1.5)", "unknown function of math 'flor', did you mean 'floor'?");
    refuse("parapet.rum{}", "unknown name in parapet 'rum', did you mean 'run'?");
}

Test(sandbox, the_iterator_of_pairs_ignores_what_it_is_given)
{
    accept("local step, t = pairs({ a = 1 })\n"
           "assert(step(5, 6) == 'a')\n"
           "assert(step('x') == nil)\n"
           "assert(step() == nil)");
}

Test(sandbox, chance_is_a_function_of_its_arguments)
{
    refuse("math.random()", "math.random depends on how often it was called");
    refuse("math.randomseed(1)", "want parapet.draw");
}

/* --- memory and time ------------------------------------------------------------------------------ */

Test(sandbox, a_huge_string_meets_the_memory_cap)
{
    nn_err err = {NN_OK, ""};

    expect_fails(host_try("local s = string.rep('x', 1 << 30)", &err), NN_LIMIT, &err, "memory cap of 512 MiB");
}

Test(sandbox, a_growing_table_meets_the_memory_cap)
{
    nn_err err = {NN_OK, ""};

    expect_fails(host_try("local t = {} for i = 1, 1 << 40 do t[i] = i end", &err), NN_LIMIT, &err, "memory cap");
}

Test(sandbox, deep_recursion_is_an_error)
{
    refuse("local function f() return 1 + f() end f()", "stack overflow");
}

Test(sandbox, an_endless_loop_ends_at_the_first_signal)
{
    const cli_options stop = {.signal = SIGINT, .times = 1, .after = 0.3};
    const cli_result r = CLI(&stop, "plan", script_file("while true do end"));

    expect_status(&r, 130);
    cr_expect(r.seconds < 5.0, "it took %g s", r.seconds);
}

Test(sandbox, an_endless_loop_of_pcalls_ends_at_the_first_signal)
{
    const cli_options stop = {.signal = SIGTERM, .times = 1, .after = 0.3};
    const cli_result r = CLI(&stop, "plan",
                             script_file("while true do\n"
                                         "  pcall(function() while true do pcall(error) end end)\n"
                                         "end"));

    expect_status(&r, 143);
    cr_expect(r.seconds < 5.0, "it took %g s", r.seconds);
}

Test(sandbox, an_endless_sort_ends_at_the_first_signal)
{
    const cli_options stop = {.signal = SIGINT, .times = 1, .after = 0.3};
    const cli_result r = CLI(&stop, "plan",
                             script_file("local t = setmetatable({}, { __len = function() return 1 << 60 end })\n"
                                         "table.sort(t, rawequal)\n"
                                         "while true do table.sort({ 2, 1 }, function() return false end) end"));

    expect_status(&r, 130);
    cr_expect(r.seconds < 5.0, "it took %g s", r.seconds);
}

Test(sandbox, a_pattern_that_backtracks_for_ever_ends_at_the_second_signal)
{
    const cli_options stop = {.signal = SIGINT, .times = 2, .after = 0.3};
    const cli_result r =
        CLI(&stop, "plan",
            script_file("local s = string.rep('a', 2000)\n"
                        "return s:find('a*a*a*a*a*a*a*a*a*a*b')"));

    expect_status(&r, 130);
    cr_expect(r.seconds < 5.0, "it took %g s", r.seconds);
}

Test(sandbox, the_program_says_what_was_asked_for_and_where)
{
    const cli_result r = CLI(NULL, "plan", script_file("local x = 1\n\nos.execute('rm -r x')\n"));

    expect_status(&r, 3);
    expect_says(r.err, "script.lua:3:");
    expect_says(r.err, "'os' is not for scripts");
}

/* --- modules -------------------------------------------------------------------------------------- */

Test(sandbox, require_stays_below_scripts)
{
    refuse("require '../x'", "not a module name");
    refuse("require '..x'", "not a module name");
    refuse("require '/etc/passwd'", "not a module name");
    refuse("require 'a..b'", "not a module name");
    refuse("require ''", "not a module name");
    refuse("require 'nosuch'", "require 'nosuch': no ");
}

Test(sandbox, a_module_that_is_a_link_out_of_scripts_is_refused)
{
    const char *dir = temp_dir(), *script = path_in(dir, "script.lua");
    const char *secret = path_in(temp_dir(), "secret.lua");

    write_text(secret, "return { 1 }");
    write_text(script, "local x = require 'secret'");
    cr_assert(symlink(secret, path_in(dir, "secret.lua")) == 0);
    const cli_result r = CLI(NULL, "plan", script);
    expect_status(&r, 3);
    expect_says(r.err, "require 'secret'");
    expect_says(r.err, "outside of");
}

Test(sandbox, a_module_that_requires_itself_is_told_so)
{
    const char *dir = temp_dir(), *script = path_in(dir, "script.lua");

    write_text(script, "require 'a'");
    write_text(path_in(dir, "a.lua"), "return require 'b'");
    write_text(path_in(dir, "b.lua"), "return require 'a'");
    const cli_result r = CLI(NULL, "plan", script);
    expect_status(&r, 3);
    expect_says(r.err, "require 'a': it requires itself");
}

/* --- files ---------------------------------------------------------------------------------------- */

#define SMALLEST "local run = parapet.run{ taxonomy = {{ name = 'a', domain = 'd', severity = 1, definition = 'one' }} }\n"

static cli_result load_file(const char *path, const char *set)
{
    char text[2048];

    snprintf(text, sizeof text, SMALLEST "run:load('%s')", path);
    return set ? CLI(NULL, "plan", script_file(text), "--set", set) : CLI(NULL, "plan", script_file(text));
}

Test(sandbox, load_opens_only_below_its_roots)
{
    const char *dir = temp_dir(), *rows = path_in(dir, "rows.jsonl");
    char set[1200];

    write_text(rows, "{\"text\":\"hello\",\"label\":0}\n");
    snprintf(set, sizeof set, "rows=%s", dir);
    const cli_result outside = load_file(rows, NULL), inside = load_file(rows, set);
    const cli_result climbing = load_file("data/../Makefile", NULL), absolute = load_file("/etc/passwd", NULL);
    expect_status(&outside, 3);
    expect_says(outside.err, "outside what a script may open");
    expect_status(&inside, 0);
    expect_status(&climbing, 3);
    expect_says(climbing.err, "outside what a script may open");
    expect_status(&absolute, 3);
}

Test(sandbox, a_link_out_of_data_is_refused)
{
    const char *dir = temp_dir(), *data = path_in(dir, "data"), *script = path_in(dir, "scripts/script.lua");

    cr_assert(mkdir(data, 0700) == 0 && mkdir(path_in(dir, "scripts"), 0700) == 0);
    cr_assert(symlink("/etc/passwd", path_in(data, "rows.jsonl")) == 0);
    write_text(path_in(data, "good.jsonl"), "{\"text\":\"hello\",\"label\":0}\n");
    write_text(script, SMALLEST "run:load('data/good.jsonl')\nrun:load('data/rows.jsonl')");
    const cli_result r = CLI(NULL, "plan", script);
    expect_status(&r, 3);
    expect_says(r.err, "script.lua:3: data/rows.jsonl: outside what a script may open");
}

Test(sandbox, a_missing_file_is_named)
{
    const cli_result r = load_file("data/nosuch.jsonl", NULL);

    expect_status(&r, 4);
    expect_says(r.err, "nosuch.jsonl");
}
