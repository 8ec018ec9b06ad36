/* Language models in scripts: run:backend, run:ask, run:expand; resume, replay, keys, and when servers are asked. */
#include "guard/ask/backend.h"
#include "guard/corpus.h"
#include "guard/folder.h"
#include "guard/run.h"
#include "nn/plat.h"
#include "tests/stub_server.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include "tests/test_run_support.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "sk-test-0123456789abcdefghij"
#define KEY_ENV "STUB_API_KEY"

static const char *script_of(const char *name)
{
    char from[64], to[64];

    snprintf(from, sizeof from, "tests/lua/%s", name);
    snprintf(to, sizeof to, "scripts/%s", name);
    return path_in(copy_scripts(from, name), to);
}

/* The files of two runs are the same but for run.json, which has the --set of each, and what tells of it. */
static void expect_same_but_options(const char *a, const char *b)
{
    static const char *const of_options[] = {"run.json", "report.json", "report.html", "model_card.md", "ledger.jsonl"};
    guard_hashes in[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_folder_list(&in[0], a, true, &err), &err);
    expect_ok(guard_folder_list(&in[1], b, true, &err), &err);
    cr_expect_eq(in[0].n, in[1].n);
    for (size_t i = 0; i < in[0].n; i++) {
        const guard_hash *other = guard_hashes_find(&in[1], in[0].at[i].path);
        bool skip = false;

        for (size_t k = 0; k < sizeof of_options / sizeof *of_options; k++)
            skip = skip || strcmp(in[0].at[i].path, of_options[k]) == 0;
        cr_expect(other != NULL && (skip || strcmp(other->sha256, in[0].at[i].sha256) == 0), "%s", in[0].at[i].path);
    }
    guard_hashes_free(&in[0]);
    guard_hashes_free(&in[1]);
}

static void need_http(void)
{
    if (!guard_backend_server_built()) skip_test("built without libcurl");
}

/* --- rules and a model in this process ------------------------------------------------------------------------- */

Test(lua_ask, rules_answer_in_every_way_and_a_replay_is_the_same_run)
{
    const char *script = script_of("ask.lua"), *one = path_in(temp_dir(), "run"), *two = path_in(temp_dir(), "run");
    cli_result r = CLI(NULL, "plan", script);
    char id[65];

    expect_status(&r, 0);
    expect_says(r.out, "grammar, 48 questions");
    r = CLI(NULL, "run", script, "--out", one, "--threads", "1");
    expect_status(&r, 0);
    cr_expect(strstr(r.err, "were stored") == NULL, "%s", r.err);
    r = CLI(NULL, "run", script, "--out", two, "--answers", one);
    expect_status(&r, 0);
    expect_says(r.err, "48 of 48 answers were stored");
    identity_of(id, one);
    expect_same_run(two, id);
    r = CLI(NULL, "audit", two);
    expect_status(&r, 0);
    r = CLI(NULL, "run", "--out", one, "--resume"); /* a finished run: everything is read back */
    expect_status(&r, 0);
    expect_same_run(one, id);
}

Test(lua_ask, the_report_and_the_ledger_tell_what_became_of_the_questions)
{
    const char *run = path_in(temp_dir(), "run");
    const cli_result r = CLI(NULL, "run", script_of("ask.lua"), "--out", run);

    expect_status(&r, 0);
    char *ledger = read_bytes(path_in(run, "ledger.jsonl"), NULL);
    char *page = read_bytes(path_in(run, "report.html"), NULL);
    expect_says(ledger, "\"note\":{\"backend\":{\"kind\":\"grammar\",\"rules\":\"");
    expect_says(ledger, "\"asked\":48,\"refused\":0,\"retried\":0,\"dropped\":0,\"rows\":");
    expect_says(ledger, "answers/02_expand.jsonl");
    expect_says(page, "grammar: asked 48, retried 0, refused 0, unanswered 0");
    cr_expect(strstr(ledger, "cached") == NULL);
    free(page);
    free(ledger);
}

Test(lua_ask, a_local_model_answers_the_same_however_it_is_run)
{
    const char *one = NULL, *script = script_of("ask_local.lua"), *set = foreign_option("llama", NN_TOK_BPE);
    cli_result r = expect_same_however_run(script, set, 0.2, &one);
    const char *again = path_in(temp_dir(), "run");
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};
    char id[65];

    identity_of(id, one);
    r = CLI(NULL, "run", script, "--set", set, "--out", again, "--answers", one); /* nothing is generated */
    expect_status(&r, 0);
    expect_says(r.err, "120 of 120 answers were stored");
    expect_same_run(again, id);
    expect_ok(guard_corpus_read(&c, path_in(one, "corpus/03_expand.jsonl"), &err), &err);
    cr_expect(c->n > 40, "no row was made of 120 answers");
    const guard_row *last = &c->row[c->n - 1];
    expect_says(last->ops.s, "\"op\":\"more\",\"backend\":\"");
    cr_expect_str_eq(last->source.s, "backend/more");
    cr_expect(strlen(last->parents.s) == 16 && last->label == c->row[39].label);
    guard_corpus_free(c);
}

Test(lua_ask, a_plan_says_how_many_tokens_and_how_much_memory_a_local_model_takes)
{
    const cli_result r = CLI(NULL, "plan", script_of("ask_local.lua"), "--set", foreign_option("llama", NN_TOK_BPE));

    expect_status(&r, 0);
    expect_says(r.out, "120 questions, 2880 tokens out");
}

Test(lua_ask, the_experiment_plans_and_runs_with_a_model_that_knows_nothing)
{
    const char *script = "scripts/experiments/03_local_llm.lua", *set = foreign_option("qwen2", NN_TOK_SPM);
    const char *run = path_in(temp_dir(), "run");
    cli_result r = CLI(NULL, "plan", script, "--set", set); /* a model without a chat format has to be told so */

    expect_status(&r, 3);
    expect_says(r.err, "want 'none' or one of");
    r = CLI(NULL, "run", script, "--set", set, "--set", "chat=none", "--set", "rows=30", "--out", run);
    expect_status(&r, 0);
    expect_says(r.out, "guard, curated");
    char *ledger = read_bytes(path_in(run, "ledger.jsonl"), NULL);
    expect_says(ledger, "\"backend\":{\"kind\":\"local\"");
    free(ledger);
    r = CLI(NULL, "audit", run);
    expect_status(&r, 0);
    need_http();
    r = CLI(NULL, "plan", script, "--set", set, "--set", "server=http://127.0.0.1:1/v1");
    expect_status(&r, 0);
    expect_says(r.out, "server, ");
}

/* --- a server -------------------------------------------------------------------------------------------------- */

/* A function of the question alone, but for when it comes. */
static void judge_shuffled(stub_call *c)
{
    static const char *const words[] = {"Safe.", "unsafe", "I do not know", "**Unsafe**"};
    const char *prompt = stub_prompt(c);
    size_t sum = 0;
    char text[600];

    for (const char *s = prompt; *s; s++) sum = 31 * sum + (unsigned char)*s;
    stub_nap(0.002 * (double)(c->r->number * 7 % 5));
    if (strncmp(prompt, "safe or", 7) == 0) {
        stub_answer(c, words[sum % 4]);
    } else {
        snprintf(text, sizeof text, "%zu %.500s", sum % 100, prompt);
        stub_answer(c, text);
    }
}

static const char *set_url(const stub_server *s)
{
    static char text[128];

    snprintf(text, sizeof text, "url=%s", stub_url(s));
    return text;
}

Test(lua_ask, a_server_s_order_and_concurrency_change_nothing)
{
    need_http();
    stub_server *s = stub_start(judge_shuffled);
    const char *script = script_of("ask_server.lua"), *set = set_url(s);
    const char *run[3] = {path_in(temp_dir(), "run"), path_in(temp_dir(), "run"), path_in(temp_dir(), "run")};
    char id[65];

    for (size_t i = 0; i < 2; i++) {
        const cli_result r = CLI(NULL, "run", script, "--set", set, "--out", run[i], "--allow-net");
        expect_status(&r, 0);
    }
    identity_of(id, run[0]);
    expect_same_run(run[1], id);
    const cli_result r =
        CLI(NULL, "run", script, "--set", set, "--set", "concurrency=1", "--out", run[2], "--allow-net");
    expect_status(&r, 0);
    expect_same_but_options(run[0], run[2]);
    stub_stop(s);
}

/* So slowly that a whole run takes longer than the first kill waits. */
static void judge_slowly(stub_call *c)
{
    stub_nap(0.015);
    judge_shuffled(c);
}

Test(lua_ask, a_killed_run_asks_nothing_twice)
{
    need_http();
    stub_server *s = stub_start(judge_slowly);
    const char *script = script_of("ask_server.lua"), *set = set_url(s);
    const char *whole = path_in(temp_dir(), "run"), *killed = path_in(temp_dir(), "run");
    cli_result r = CLI(NULL, "run", script, "--set", set, "--out", whole, "--allow-net");
    char id[65];

    expect_status(&r, 0);
    const size_t all = stub_requests(s);
    cli_options kill_it = {.signal = SIGKILL, .times = 1, .after = 0.1};
    size_t kills = 0;
    for (r.status = 1; r.status != 0 && kills < 20; kills++) {
        r = CLI(&kill_it, "run", script, "--set", set, "--out", killed, "--allow-net", "--resume");
        cr_assert(r.status == 0 || r.status == 128 + SIGKILL, "%d: %s", r.status, r.err);
        kill_it.after += 0.05;
    }
    identity_of(id, whole);
    expect_same_run(killed, id);
    cr_expect(kills > 1, "done before it could be killed");
    /* What was under way when a run was killed, four requests at most, nobody has the answer of. */
    cr_expect(stub_requests(s) <= 2 * all + 4 * (kills - 1), "%zu requests, %zu of a whole run, %zu kills",
              stub_requests(s), all, kills - 1);
    stub_stop(s);
}

/* Fails once, in the middle of the second stage of a run. */
static void falters(stub_call *c)
{
    if (c->r->number == 40) stub_status(c, 503, "", "overloaded, key " KEY);
    else judge_shuffled(c);
}

Test(lua_ask, a_server_that_gives_up_stops_the_run_which_goes_on_later)
{
    need_http();
    stub_server *s = stub_start(falters);
    const char *script = script_of("ask_server.lua"), *set = set_url(s);
    const char *broken = path_in(temp_dir(), "run"), *whole = path_in(temp_dir(), "run");
    char id[65];

    cli_result r =
        CLI(NULL, "run", script, "--set", set, "--set", "attempts=1", "--out", broken, "--allow-net");
    expect_status(&r, 4);
    expect_says(r.err, "HTTP 503");
    expect_says(r.err, "--resume");
    r = CLI(NULL, "run", "--out", broken, "--allow-net", "--resume");
    expect_status(&r, 0);
    r = CLI(NULL, "run", script, "--set", set, "--set", "attempts=1", "--out", whole, "--allow-net");
    expect_status(&r, 0);
    identity_of(id, whole);
    expect_same_run(broken, id);
    stub_stop(s);
}

Test(lua_ask, a_damaged_journal_is_named_and_can_be_done_without)
{
    need_http();
    stub_server *s = stub_start(falters);
    const char *script = script_of("ask_server.lua"), *set = set_url(s), *run = path_in(temp_dir(), "run");
    char command[1200];

    cli_result r = CLI(NULL, "run", script, "--set", set, "--set", "attempts=1", "--out", run, "--allow-net");
    expect_status(&r, 4);
    snprintf(command, sizeof command, "sed -i '1s/address/adress/' '%s'/checkpoint/*.answers", run);
    cr_assert(system(command) == 0);
    r = CLI(NULL, "run", "--out", run, "--allow-net", "--resume");
    expect_status(&r, 4);
    expect_says(r.err, ".answers:1: no answer, want an object");
    expect_says(r.err, "without this file its questions are asked again");
    snprintf(command, sizeof command, "rm '%s'/checkpoint/*.answers", run);
    cr_assert(system(command) == 0);
    r = CLI(NULL, "run", "--out", run, "--allow-net", "--resume");
    expect_status(&r, 0);
    stub_stop(s);
}

Test(lua_ask, a_replay_needs_neither_network_nor_key)
{
    need_http();
    stub_server *s = stub_start(judge_shuffled);
    const char *script = script_of("ask_server.lua"), *set = set_url(s), *key_env = "key_env=" KEY_ENV;
    const char *run = path_in(temp_dir(), "run"), *again = path_in(temp_dir(), "run");
    char id[65];

    setenv(KEY_ENV, KEY, 1);
    cli_result r = CLI(NULL, "run", script, "--set", set, "--set", key_env, "--out", run, "--allow-net");
    expect_status(&r, 0);
    cr_expect(strstr(stub_request_at(s, 0)->head, "Bearer " KEY) != NULL, "%s", stub_request_at(s, 0)->head);
    const size_t asked = stub_requests(s);
    unsetenv(KEY_ENV);
    r = CLI(NULL, "run", script, "--set", set, "--set", key_env, "--out", again, "--answers", run);
    expect_status(&r, 0);
    identity_of(id, run);
    expect_same_run(again, id);
    cr_expect_eq(stub_requests(s), asked);
    r = CLI(NULL, "run", script, "--set", set, "--set", key_env, "--set", "endpoint=completion", "--out",
            path_in(temp_dir(), "run"), "--answers", run); /* other questions */
    expect_status(&r, 4);
    expect_says(r.err, "--allow-net");
    expect_says(r.err, "question 1");
    cr_expect_eq(stub_requests(s), asked);
    stub_stop(s);
}

static void will_not(stub_call *c)
{
    if (strstr(stub_prompt(c), "another way")) stub_status(c, 400, "", "not for us");
    else stub_answer(c, "safe");
}

Test(lua_ask, questions_without_an_answer_are_told_with_the_reason)
{
    need_http();
    stub_server *s = stub_start(will_not);
    const char *script = script_of("ask_server.lua"), *set = set_url(s), *run = path_in(temp_dir(), "run");
    char command[1200];

    cli_result r = CLI(NULL, "run", script, "--set", set, "--out", run, "--allow-net");
    expect_status(&r, 0);
    expect_says(r.err, "30 of 30 questions without an answer; the first refusal: HTTP 400 ('not for us')");
    char *page = read_bytes(path_in(run, "report.html"), NULL);
    expect_says(page, "server stub: asked 30, retried 0, refused 30, unanswered 30");
    free(page);
    /* Answers of another run are whatever somebody wrote there. */
    snprintf(command, sizeof command, "sed -i 's/not for/not \\\\u001b[2J/' '%s/answers/02_expand.jsonl'", run);
    cr_assert(system(command) == 0);
    r = CLI(NULL, "run", script, "--set", set, "--out", path_in(temp_dir(), "run"), "--answers", run);
    expect_status(&r, 0);
    expect_says(r.err, "HTTP 400 ('not ?[2J us')");
    cr_expect(strchr(r.err, '\x1b') == NULL, "%s", r.err);
    r = CLI(NULL, "run", script, "--set", set, "--out", path_in(temp_dir(), "run"), "--allow-net", "--quiet");
    expect_status(&r, 0);
    cr_expect_str_eq(r.err, "");
    stub_stop(s);
}

/* --- keys and permission --------------------------------------------------------------------------------------- */

static void echoes_the_key(stub_call *c)
{
    char text[300];

    snprintf(text, sizeof text, "no: '%.100s'", stub_header(c, "Authorization"));
    if (c->r->number % 5 == 1) stub_status(c, 429, "Retry-After: 0\r\n", text);
    else if (c->r->number % 5 == 3) stub_status(c, 400, "", text);
    else if (c->r->number > 25) stub_status(c, 401, "", text);
    else judge_shuffled(c);
}

/* Nothing below dir, and nothing that was said, holds the key. */
static void expect_no_key(const char *dir, const cli_result *r)
{
    char command[1200];

    snprintf(command, sizeof command, "grep -r -l -e '%s' -e '%.12s' '%s'", KEY, KEY, dir);
    cr_expect(system(command) != 0, "the key stands in the run folder");
    cr_expect(strstr(r->out, KEY) == NULL && strstr(r->err, KEY) == NULL);
    cr_expect(strstr(r->err, "0123456789") == NULL, "%s", r->err);
}

Test(lua_ask, a_key_stands_nowhere)
{
    need_http();
    stub_server *s = stub_start(echoes_the_key);
    const char *script = script_of("ask_server.lua"), *run = path_in(temp_dir(), "run");

    setenv(KEY_ENV, KEY, 1);
    cli_result r =
        CLI(NULL, "run", script, "--set", set_url(s), "--set", "key_env=" KEY_ENV, "--out", run, "--allow-net");
    expect_status(&r, 4);
    expect_says(r.err, "HTTP 401");
    expect_no_key(run, &r);
    stub_stop(s);
    s = stub_start(judge_shuffled);
    run = path_in(temp_dir(), "run");
    r = CLI(NULL, "run", script, "--set", set_url(s), "--set", "key_env=" KEY_ENV, "--out", run, "--allow-net");
    expect_status(&r, 0);
    expect_no_key(run, &r);
    stub_stop(s);
}

Test(lua_ask, without_permission_nothing_is_asked_and_nothing_begun)
{
    need_http();
    stub_server *s = stub_start(judge_shuffled);
    const char *script = script_of("ask_server.lua"), *run = path_in(temp_dir(), "run"), *set = set_url(s);
    cli_result r = CLI(NULL, "run", script, "--set", set, "--out", run);

    expect_status(&r, 3);
    expect_says(r.err, "--allow-net");
    cr_expect(!nn_path_exists(run));
    r = CLI(NULL, "plan", script, "--set", set); /* a plan connects to nobody */
    expect_status(&r, 0);
    expect_says(r.out, "server, 30 questions");
    r = CLI(NULL, "run", script, "--set", set, "--out", run, "--resume");
    expect_status(&r, 4);
    expect_says(r.err, "--allow-net");
    unsetenv(KEY_ENV);
    run = path_in(temp_dir(), "run");
    r = CLI(NULL, "run", script, "--set", set, "--set", "key_env=" KEY_ENV, "--out", run, "--allow-net");
    expect_status(&r, 2);
    expect_says(r.err, KEY_ENV ": not set");
    cr_expect(!nn_path_exists(run));
    setenv(KEY_ENV, "two words", 1);
    r = CLI(NULL, "run", script, "--set", set, "--set", "key_env=" KEY_ENV, "--out", run, "--allow-net");
    expect_status(&r, 2);
    expect_says(r.err, "the key alone");
    cr_expect(strstr(r.err, "two words") == NULL && !nn_path_exists(run));
    r = CLI(NULL, "run", script, "--set", set, "--set", "key_env=" KEY_ENV, "--out", run, "--allow-net", "--resume");
    expect_status(&r, 2); /* what is resumed may have its answers: it is looked for when there is a question */
    expect_says(r.err, "the key alone");
    cr_expect(nn_path_exists(run));
    cr_expect_eq(stub_requests(s), 0);
    r = CLI(NULL, "run", script, "--set", set, "--out", run, "--answers", path_in(temp_dir(), "none"));
    expect_status(&r, 2);
    r = CLI(NULL, "run", script, "--set", set, "--out", run, "--answers", temp_dir());
    expect_status(&r, 2);
    expect_says(r.err, "has no answers/ in it");
    stub_stop(s);
}

/* --- what a script gets wrong --------------------------------------------------------------------------------- */

#define SEEDS                                                                                                          \
    "local run = parapet.run{ taxonomy = {{ name = 'a', domain = 'd', severity = 1, definition = 'one' }} }\n"         \
    "local seeds = run:load 'data/seeds.jsonl'\n"                                                                      \
    "local llm = run:backend { kind = 'grammar', rules = { start = { 'yes' } } }\n"

static void refuse(const char *lines, const char *part)
{
    char script[4096];
    nn_err err = {NN_OK, ""};

    snprintf(script, sizeof script, SEEDS "%s", lines);
    const nn_status st = host_try(script, &err);
    cr_expect(st == NN_CONTENT || st == NN_USAGE, "status %d of %s", (int)st, lines);
    expect_says(err.text, part);
}

Test(lua_ask, mistakes_in_prompts_are_told_before_any_work)
{
    refuse("run:ask(llm, seeds, {})", "ask.prompt: missing");
    refuse("run:ask(llm, seeds, { prompt = '{txt}' })", "{txt}: no such column, did you mean {text}?");
    refuse("run:ask(llm, seeds, { prompt = { system = '{verdict}', user = 'x' } })", "{verdict}: no such column");
    refuse("run:ask(llm, seeds, { prompt = 'a { b' })", "a brace that is not closed");
    refuse("run:ask(llm, seeds, { prompt = 'a {} b' })", "not the name of a column");
    refuse("run:ask(llm, seeds, { prompt = { system = 'x' } })", "prompt.user: missing");
    refuse("run:ask(llm, seeds, { prompt = { user = 3 } })", "prompt.user: a number, want a text");
    refuse("run:ask(llm, seeds, { prompt = { { role = 'you', text = 'x' } } })", "prompt[1].role: 'you'");
    refuse("run:ask(llm, seeds, { prompt = { { role = 'user', text = 'x' }, { role = 'assistant', text = 'x' } } })",
           "ends with no user's text");
    refuse("run:ask(llm, seeds, { prompt = { { role = 'user', text = 'x' }, { role = 'system', text = 'x' } } })",
           "a system text, want it first");
    refuse("run:ask(llm, seeds, { prompt = 7 })", "prompt: a number");
    refuse("run:ask(llm, seeds, { prompt = { user = 'x', sistem = 'y' } })", "prompt.sistem: unknown, want system");
    refuse("run:ask(llm, seeds, { prompt = { { role = 'user', text = 'x', txt = 'y' } } })", "prompt[1].txt: unknown");
    refuse("run:ask(llm, seeds, { prompt = { { role = 'user', text = 'x' }, user = 'y' } })",
           "prompt.user: unknown, want messages alone");
    refuse("run:ask(llm, seeds, { prompt = 'x', stop = 'a\\0b' })", "ask.stop: a zero byte");
    refuse("run:ask(llm, seeds, { prompt = function(row) return row.txt end })", "row.txt: no such column");
    refuse("run:ask(llm, seeds, { prompt = function(row) return 7 end })", "probe row: ");
    refuse("run:ask(llm, seeds, { prompt = function(row) seeds:sample(3) end })", "a stage inside a rule");
    refuse("run:ask(seeds, seeds, { prompt = 'x' })", "backend expected");
}

Test(lua_ask, mistakes_in_answers_and_columns_are_told_before_any_work)
{
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = 'word' })", "ask.answer: want 'text'");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = {} })", "ask.answer: empty");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_off = {} } })",
           "answer.one_off: unknown, did you mean 'one_of'");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_of = { 'a' } } })", "1 words, want 2");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_of = { 'a', 'a' } } })", "'a' twice");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_of = { 'a', 'A' } } })", "ask.answer.one_of: 'A' twice");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_of = { 'a', 'b ' } } })", "word 2: 'b ', want one line");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_of = { 'a', 'b\\0' } } })", "one_of[2]: want a word");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { json = { a = 'text' } } })", "answer.json.a: want 'string'");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { one_of = { 'a', 'b' }, json = { a = 'string' } } })",
           "two kinds");
    refuse("run:ask(llm, seeds, { prompt = 'x', answer = { list = {} } })", "only for run:expand");
    refuse("run:ask(llm, seeds, { prompt = 'x', column = 'text' })", "'text' is a field of every row");
    refuse("run:ask(llm, seeds, { prompt = 'x', column = 'a b' })", "ask.column: 'a b'");
    refuse("run:ask(llm, seeds, { prompt = 'x', column = 'kept' })", "where dropped rows say why");
    refuse("run:ask(llm, seeds, { prompt = 'x', unanswered = 'guess' })", "want 'drop' or 'keep'");
    refuse("run:ask(llm, seeds, { prompt = 'x' }):where(function(row) return row.answr == 'x' end)",
           "row.answr: no such column, did you mean 'answer'?");
    refuse("run:expand(llm, seeds, { prompt = 'x', answer = { one_of = { 'a', 'b' } } })",
           "expand.answer: want 'text'");
    refuse("run:expand(llm, seeds, { prompt = 'x', label = 'other' })", "expand.label: want 'keep'");
    refuse("run:expand(llm, seeds, { prompt = 'x', name = 'a/b' })", "expand.name: 'a/b'");
    refuse("run:expand(llm, seeds, { prompt = 'x', min_bytes = 9, max_bytes = 8 })", "expand.min_bytes: 9, want at most");
    refuse("run:expand(llm, seeds, { prompt = 'x', column = 'y' })", "expand.column: unknown");
}

Test(lua_ask, mistakes_in_backends_are_told_before_any_work)
{
#define SERVER(more) "run:backend { kind = 'server', url = 'http://127.0.0.1:1/v1', model = 'm', " more " }"
    refuse("run:backend {}", "backend.kind: missing");
    refuse("run:backend { kind = 'oracle' }", "backend.kind: 'oracle', want 'local', 'server' or 'grammar'");
    refuse("run:backend { kind = 'grammar' }", "backend.rules: missing");
    refuse("run:backend { kind = 'grammar', rules = { start = { 'x' } }, slots = 3 }",
           "backend.slots: not for kind = 'grammar'");
    refuse("run:backend { kind = 'grammar', rules = { begin = { 'x' } } }", "no rules for 'start'");
    refuse("run:backend { kind = 'grammar', rules = { start = 'x' } }", "backend.rules.start: want a list");
    refuse("run:backend { kind = 'grammar', rules = { start = { 3 } } }", "backend.rules.start: want texts");
    refuse("run:backend { kind = 'grammar', rules = { start = { '{nobody}' } } }", "nobody");
    refuse("run:backend { kind = 'grammar', rules = { start = { { 'x', weigth = 2 } } } }", "start: want texts");
    refuse("run:backend { kind = 'grammar', rules = { start = { { 'x', 'y' } } } }", "start: want texts");
    refuse("run:backend { kind = 'local', model = 'x' }", "model: a string, want a model");
    need_http();
    refuse("run:backend { kind = 'server', model = 'm' }", "backend.url: missing");
    refuse("run:backend { kind = 'server', url = 'http://127.0.0.1:1/v1' }", "backend.model: a nil");
    refuse("run:backend { kind = 'server', url = 'file:///etc/hosts', model = 'm' }", "http");
    refuse("run:backend { kind = 'server', url = 'http://127.0.0.1:1/v1\\0', model = 'm' }", "backend.url: a zero byte");
    refuse("run:backend { kind = 'server', url = 'http://127.0.0.1:1/v1', model = 'm\\0' }", "backend.model: empty or");
    refuse("run:backend { kind = 'server', url = 'http://a.example/v1', model = 'm', key_env = 'X_API_KEY' }",
           "http would send the key in clear");
    refuse(SERVER("endpoint = 'embed'"), "backend.endpoint: 'embed'");
    refuse(SERVER("key_env = 'HOME'"), "ends in _API_KEY");
    refuse(SERVER("key_env = 'x_API_KEY'"), "in capitals");
    refuse(SERVER("key_env = 7"), "backend.key_env: a number");
    refuse(SERVER("concurrency = 65"), "backend.concurrency: 65");
    refuse("run:ask(" SERVER("endpoint = 'completion', key_env = false")
           ", seeds, { prompt = { system = 'a', user = 'b' } })",
           "completes one text");
    refuse("print(tostring(" SERVER("key_env = ''") ".key_env))", "unknown method of a backend");
}
