/* Tests of the command line as a user meets it: verbs, flags, texts, rows, exit statuses (docs/design.md). */
#include "guard/cmd.h"
#include "guard/parapet.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* check with the small run's guard */
#define CHECK(...) CLI(&with_guard, "check", __VA_ARGS__)
static cli_options with_guard;

static void set_guard(void)
{
    with_guard.model = small_guard();
}

TestSuite(cli, .init = set_guard);

static cli_result check_stdin(const char *in, size_t len, const char *flag)
{
    cli_options o = with_guard;

    o.in = in;
    o.in_len = len;
    return CLI(&o, "check", flag, "-");
}

static const char *file_of(const char *name, const char *text)
{
    const char *path = path_in(temp_dir(), name);

    write_text(path, text);
    return path;
}

/* 0 or 1: what a verdict's exit status may be. */
static void expect_verdict(const cli_result *r)
{
    cr_expect(r->status == 0 || r->status == 1, "exit status %d; it said: %.300s", r->status, r->err);
}

static json_t *json_of(const cli_result *r)
{
    json_t *o = json_loads(r->out, JSON_REJECT_DUPLICATES, NULL);

    cr_assert(json_is_object(o), "not a JSON object: %.300s", r->out);
    return o;
}

/* --- verbs and flags ---------------------------------------------------------------------------------- */

Test(cli, an_unknown_verb_names_the_nearest)
{
    const cli_result r = CLI(NULL, "chekc"), far = CLI(NULL, "xyzzyxyzzy"), none = cli_run(NULL, (const char *[]){NULL});

    expect_status(&r, 2);
    expect_says(r.err, "'chekc' is not a verb, did you mean 'check'?");
    expect_status(&far, 2);
    expect_says(far.err, "parapet help");
    expect_status(&none, 2);
}

Test(cli, an_unknown_flag_names_the_nearest)
{
    const cli_result r = CLI(NULL, "check", "--treshold", "0.5", "x"), s = CLI(NULL, "run", "--sed=3", "x.lua");

    expect_status(&r, 2);
    expect_says(r.err, "parapet check: unknown flag '--treshold', did you mean '--threshold'?");
    expect_status(&s, 2);
    expect_says(s.err, "unknown flag '--sed=3', did you mean '--se");
}

Test(cli, every_verb_tells_its_flags)
{
    const cli_result all = CLI(NULL, "help");

    expect_status(&all, 0);
    for (const char *const *verb = (const char *const[]){"run", "plan", "check", "eval", "generate", "audit", "lineage",
                                                         "inspect", "tokenize", "perplexity", "convert", "quantize", "help", NULL};
         *verb; verb++) {
        const cli_result r = CLI(NULL, *verb, "--help"), same = CLI(NULL, "help", *verb);
        char first[64];

        expect_status(&r, 0);
        snprintf(first, sizeof first, "parapet %s", *verb);
        expect_says(r.out, first);
        cr_expect_str_eq(r.out, same.out);
        expect_says(all.out, *verb);
        if (strcmp(*verb, "help") != 0) expect_says(r.out, "\n  --");
    }
}

Test(cli, flags_take_values_both_ways)
{
    const cli_result a = CHECK("--threshold", "0", "--json", "hello"), b = CHECK("--threshold=0", "--json", "hello");
    const cli_result missing = CHECK("hello", "--threshold"), much = CHECK("--json=yes", "hello");

    expect_status(&a, 1); /* every probability is at least 0 */
    cr_expect_str_eq(a.out, b.out);
    expect_status(&missing, 2);
    expect_says(missing.err, "--threshold: no value, want P");
    expect_status(&much, 2);
    expect_says(much.err, "--json: a switch, it takes no value");
}

Test(cli, values_outside_their_range_are_refused)
{
    const cli_result p = CHECK("--threshold", "1.5", "x"), n = CHECK("--max-bytes", "0", "x");
    const cli_result word = CHECK("--threads", "many", "x"), nan = CHECK("--fpr", "nan", "x");
    const cli_result set = CLI(NULL, "plan", "--set", "novalue", "x.lua");

    expect_status(&p, 2);
    expect_says(p.err, "--threshold: '1.5', want a number from 0 to 1");
    expect_status(&n, 2);
    expect_status(&word, 2);
    expect_says(word.err, "--threads: 'many', want a whole number from 1");
    expect_status(&nan, 2);
    expect_status(&set, 2);
    expect_says(set.err, "want NAME=VALUE");
}

Test(cli, after_two_dashes_everything_is_text)
{
    const cli_result text = CHECK("--", "--json"), flag = CHECK("--json"), help = CHECK("--", "--help");

    expect_verdict(&text);
    expect_status(&flag, 2);
    expect_says(flag.err, "0 texts, want one");
    expect_verdict(&help);
    expect_says(help.out, "p(unsafe)");
}

/* The exact fmaf of `base` against the machine's own, through the whole of a verdict. */
Test(cli, sixty_verdicts_agree_between_base_and_the_best_table)
{
    const char *rows = path_in(temp_dir(), "sixty.jsonl");
    char *seeds = read_bytes("data/seeds.jsonl", NULL), *end = seeds;

    for (size_t i = 0; i < 60; i++) end = strchr(end, '\n') + 1;
    write_bytes(rows, seeds, (size_t)(end - seeds));
    free(seeds);
    const char *int8 = path_in(temp_dir(), "int8.gguf");
    const cli_result made = CLI(NULL, "quantize", small_guard(), int8);

    expect_status(&made, 0);
    for (int i = 0; i < 2; i++) {
        const char *guard = i == 0 ? small_guard() : int8;
        const cli_result base = CLI(NULL, "check", "--model", guard, "--kernels", "base", "--jsonl", rows);
        const cli_result best = CLI(NULL, "check", "--model", guard, "--jsonl", rows);
        size_t verdicts = 0;

        for (const char *at = base.out; (at = strstr(at, "\"p_unsafe\"")) != NULL; at++) verdicts++;
        cr_assert_eq(verdicts, 60, "%zu verdicts: %s", verdicts, base.err);
        cr_assert_eq(best.status, base.status);
        cr_assert_str_eq(best.out, base.out);
    }
}

Test(cli, kernels_that_are_not_there_are_refused)
{
    const cli_result r = CHECK("--kernels", "avx9", "x"), run = CLI(NULL, "run", "scripts/experiments/00_small.lua",
                                                                    "--kernels", "avx9", "--out", "nosuch");

    expect_status(&r, 2);
    expect_says(r.err, "avx9");
    expect_status(&run, 2);
    cr_expect(!nn_path_exists("nosuch"));
}

Test(cli, help_names_the_nearest_topic)
{
    const cli_result r = CLI(NULL, "help", "papper"), paper = CLI(NULL, "help", "paper");
    const cli_result version = CLI(NULL, "--version"), flag = CLI(NULL, "--help");

    expect_status(&r, 2);
    expect_says(r.err, "did you mean paper");
    expect_status(&paper, 0);
    expect_says(paper.out, "guard/adversary.c");
    expect_status(&version, 0);
    expect_says(version.out, "parapet " PARAPET_VERSION);
    expect_status(&flag, 0);
}

/* --- texts -------------------------------------------------------------------------------------------- */

Test(cli, a_text_gets_one_line_and_a_status)
{
    const cli_result r = CHECK("how do I whittle a wooden spoon?"), low = CHECK("--threshold", "0", "x");

    expect_verdict(&r);
    expect_says(r.out, "p(unsafe)");
    cr_expect_eq(strchr(r.out, '\n'), r.out + r.out_len - 1);
    expect_status(&low, 1);
    expect_says(low.out, "unsafe");
}

Test(cli, the_verdict_in_json_is_version_1)
{
    static const char *const keys[] = {"version", "flagged", "p_unsafe", "threshold", "categories",
                                       "window",  "tokens",  "bytes_replaced", "model"};
    const cli_result r = CHECK("--json", "how do I kill a process?");
    json_t *o = json_of(&r);

    expect_verdict(&r);
    cr_expect_eq(json_integer_value(json_object_get(o, "version")), 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect(json_object_get(o, keys[i]) != NULL, "no key %s", keys[i]);
    cr_expect_eq(json_object_size(o), sizeof keys / sizeof *keys);
    cr_expect(json_object_size(json_object_get(o, "categories")) > 5);
    cr_expect_eq(json_is_true(json_object_get(o, "flagged")), r.status == 1);
    nn_file model;
    char hex[NN_SHA256_HEX];
    expect_ok(nn_file_open(&model, with_guard.model, NULL), NULL);
    nn_sha256_hex(model.bytes, model.len, hex);
    nn_file_close(&model);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(o, "model"), "sha256")), hex);
    json_decref(o);
}

Test(cli, an_empty_text_has_a_verdict)
{
    const cli_result word = CHECK("--json", ""), in = check_stdin("", 0, "--json"), line = check_stdin("\n", 1, "--json");

    expect_verdict(&word);
    cr_expect_str_eq(word.out, in.out);
    cr_expect_str_eq(word.out, line.out);
}

Test(cli, the_newline_of_echo_is_not_part_of_the_text)
{
    const cli_result word = CHECK("--json", "hello there"), in = check_stdin("hello there\n", 12, "--json");

    cr_expect_str_eq(word.out, in.out);
}

Test(cli, zero_bytes_are_text_too)
{
    const cli_result r = check_stdin("how to\0kill a process", 21, "--json"), cut = check_stdin("how to", 6, "--json");
    json_t *a = json_of(&r), *b = json_of(&cut);

    expect_verdict(&r);
    cr_expect(json_integer_value(json_object_get(a, "tokens")) > json_integer_value(json_object_get(b, "tokens")));
    json_decref(a);
    json_decref(b);
}

Test(cli, ill_formed_utf8_is_counted)
{
    const cli_result r = check_stdin("caf\xff and \xc3", 10, "--json"), words = check_stdin("caf\xff", 4, "--explain");
    json_t *o = json_of(&r);

    expect_verdict(&r);
    cr_expect_eq(json_integer_value(json_object_get(o, "bytes_replaced")), 2);
    expect_says(words.out, "U+FFFD");
    json_decref(o);
}

Test(cli, a_long_text_is_refused_by_its_limit_never_cut)
{
    const size_t n = 1 << 20;
    char *text = calloc(n + 3, 1);

    cr_assert(text != NULL);
    memset(text, 'a', n + 2);
    const cli_result over = check_stdin(text, n + 1, "--json"), far = check_stdin(text, n + 2, "--json");
    const cli_result small = CHECK("--max-bytes", "10", "hello hello"), fits = CHECK("--max-bytes", "11", "hello hello");
    expect_status(&over, 5);
    expect_says(over.err, "1048576");
    expect_status(&far, 5);
    expect_status(&small, 5);
    expect_says(small.err, "10");
    expect_verdict(&fits);
    free(text);
}

Test(cli, a_response_is_judged_after_its_prompt)
{
    const cli_result prompt = CHECK("--json", "how do I bake bread?");
    const cli_result both = CHECK("--json", "--response", "With flour and time.", "how do I bake bread?");

    expect_verdict(&both);
    cr_expect_str_neq(prompt.out, both.out);
}

Test(cli, colour_is_never_asked_for)
{
    const cli_result plain = CHECK("hello");

    cr_expect(strchr(plain.out, '\033') == NULL);
    cr_expect(strchr(plain.err, '\033') == NULL);
}

/* --- models --------------------------------------------------------------------------------------------- */

Test(cli, a_missing_model_is_named)
{
    const cli_options gone = {.model = "nosuch.gguf"};
    const cli_result flag = CLI(NULL, "check", "--model", "nosuch.gguf", "x"), env = CLI(&gone, "check", "x");
    const cli_result eval = CLI(&gone, "eval", "data/seeds.jsonl"), inspect = CLI(NULL, "inspect", "nosuch.gguf");

    expect_status(&flag, 4);
    expect_says(flag.err, "nosuch.gguf");
    expect_status(&env, 4);
    expect_status(&eval, 4);
    expect_status(&inspect, 4);
}

Test(cli, a_truncated_or_altered_model_is_refused)
{
    const char *cut = path_in(temp_dir(), "cut.gguf");
    size_t len = 0;
    char *bytes = read_bytes(with_guard.model, &len);
    const size_t keep[] = {0, 3, 8, len / 2, len - 1};

    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        write_bytes(cut, bytes, keep[i]);
        const cli_result r = CLI(NULL, "check", "--model", cut, "x");
        expect_status(&r, 4);
        expect_says(r.err, "cut.gguf");
    }
    for (size_t i = 0; i < 64; i++) { /* the header: magic, version, counts, first keys */
        bytes[i] = (char)(bytes[i] ^ 0x40);
        write_bytes(cut, bytes, len);
        bytes[i] = (char)(bytes[i] ^ 0x40);
        const cli_result r = CLI(NULL, "check", "--model", cut, "x");
        cr_expect(r.status == 4 || r.status == 0 || r.status == 1, "byte %zu: exit status %d: %.200s", i, r.status, r.err);
        cr_expect(i >= 16 || r.status == 4, "byte %zu: exit status %d, want 4", i, r.status);
    }
    free(bytes);
}

Test(cli, inspect_prints_what_a_model_holds)
{
    const cli_result r = CLI(NULL, "inspect", with_guard.model), keys = CLI(NULL, "inspect", "--keys", with_guard.model);
    const cli_result not_one = CLI(NULL, "inspect", "Makefile");

    expect_status(&r, 0);
    expect_says(r.out, "general.architecture");
    expect_says(r.out, " weights, ");
    cr_expect(keys.out_len < r.out_len);
    expect_status(&not_one, 4);
}

Test(cli, quantize_writes_a_guard_that_judges)
{
    const char *int8 = path_in(temp_dir(), "int8.gguf"), *f32 = path_in(temp_dir(), "f32.gguf");
    const cli_result made = CLI(NULL, "quantize", small_guard(), int8);
    const cli_result wide = CLI(NULL, "quantize", "--type", "f32", small_guard(), f32);
    const char *q4 = path_in(temp_dir(), "q4.gguf");
    const cli_result four = CLI(NULL, "quantize", "--type", "q4_0", small_guard(), q4);
    const cli_result c = CLI(NULL, "check", "--model", q4, "hello there");
    const cli_result a = CLI(NULL, "check", "--model", int8, "hello there");
    const cli_result b = CLI(NULL, "check", "--model", f32, "hello there");
    const cli_result back = CLI(NULL, "quantize", "--type", "q8_0", int8, f32);
    const cli_result kind = CLI(NULL, "quantize", "--type", "q3", int8, f32);
    const cli_result one = CLI(NULL, "quantize", int8), gone = CLI(NULL, "quantize", "nosuch.gguf", f32);

    expect_status(&made, 0);
    expect_says(made.out, "int8.gguf");
    expect_status(&wide, 0);
    cr_expect(a.status == b.status && a.status <= 1);
    expect_status(&four, 0);
    expect_says(four.out, " bytes, q4_0; from ");
    cr_expect(c.status == b.status && strtoul(strstr(four.out, "gguf: ") + 6, NULL, 10) <
                                          strtoul(strstr(made.out, "gguf: ") + 6, NULL, 10), "%s%s", four.out, made.out);
    expect_status(&back, 2);
    expect_says(back.err, "int8");
    expect_status(&kind, 2);
    expect_says(kind.err, "want int8, q8_0, q4_0, bf16 or f32");
    expect_status(&one, 2);
    expect_status(&gone, 4);
    const cli_result itself = CLI(NULL, "quantize", f32, f32), out = CLI(NULL, "convert", f32, int8, "--force");
    const cli_result cpp = CLI(NULL, "convert", f32, int8, "--force", "--for", "llama.cpp");

    expect_status(&itself, 2);
    expect_says(itself.err, "the model that is read");
    expect_status(&out, 2);
    expect_says(out.err, "want --for llama.cpp");
    expect_status(&cpp, 2);
    expect_says(cpp.err, "it reads mean and maximum of all positions (pool mean_max), want pool last");
}

/* --- rows ------------------------------------------------------------------------------------------------- */

Test(cli, rows_go_out_as_they_came_with_a_verdict)
{
    static const char rows[] = "{\"text\":\"hello\",\"label\":0,\"note\":{\"deep\":{\"er\":1}}}\n"
                               "{\"text\":\"how do I kill a process?\",\"mine\":[1,2]}\n";
    cli_options o = with_guard;
    size_t n = 0;

    o.in = rows;
    o.in_len = sizeof rows - 1;
    const cli_result r = CLI(&o, "check", "--jsonl"), file = CHECK("--jsonl", file_of("rows.jsonl", rows));
    expect_verdict(&r);
    cr_expect_str_eq(r.out, file.out);
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n"), n++) {
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

        cr_assert(json_is_object(row), "not an object: %s", line);
        cr_expect(json_is_object(json_object_get(json_object_get(row, "verdict"), "window")));
        if (n == 0) cr_expect(json_object_get(json_object_get(row, "note"), "deep") != NULL);
        if (n == 1) cr_expect_eq(json_array_size(json_object_get(row, "mine")), 2);
        json_decref(row);
    }
    cr_expect_eq(n, 2);
}

Test(cli, rows_keep_their_columns)
{
    char path[600];

    snprintf(path, sizeof path, "%s/corpus/02_split_3.jsonl", small_run());
    const cli_result r = CHECK("--jsonl", path);
    expect_verdict(&r);
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

        cr_assert(json_is_object(json_object_get(row, "verdict")), "no verdict in: %.200s", line);
        json_decref(row);
    }
}

Test(cli, a_bad_row_is_named_by_its_line_and_nothing_is_printed)
{
    static const char *const bad[] = {"{\"text\":\"a\"}\n[1]\n", "{\"text\":\"a\"}\n{\"text\":\n",
                                      "{\"text\":\"a\"}\n{\"text\":\"b\",\"label\":2}\n", "{\"text\":\"a\"}\n{\"label\":1}\n"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const cli_result r = CHECK("--jsonl", file_of("rows.jsonl", bad[i]));

        expect_status(&r, 3);
        expect_says(r.err, "rows.jsonl:2");
        cr_expect_eq(r.out_len, 0);
    }
}

Test(cli, a_csv_with_an_open_quote_is_content)
{
    const cli_result r = CLI(&with_guard, "eval",
                             file_of("open.csv", "prompt,type,label\n\"how do I,homonyms,safe\nanother,homonyms,unsafe\n"));

    expect_status(&r, 3);
    expect_says(r.err, "open.csv");
    expect_says(r.err, "quote");
}

Test(cli, eval_prints_a_table_or_json)
{
    const cli_result table = CLI(&with_guard, "eval", "--bootstrap", "20", "data/seeds.jsonl", "--threads", "1");
    const cli_result missing = CLI(&with_guard, "eval", "nosuch.csv"), none = CLI(&with_guard, "eval");
    const cli_result part = CLI(&with_guard, "eval", "--part", "wide", "--bootstrap", "20", "--json", "data/seeds.jsonl");
    json_t *o = json_of(&part);

    expect_status(&table, 0);
    expect_says(table.out, "precision");
    expect_says(table.err, "rows");
    expect_status(&missing, 4);
    expect_status(&none, 2);
    expect_status(&part, 0);
    json_decref(o);
}

/* --- other verbs ------------------------------------------------------------------------------------------ */

static void expect_full(const cli_result *r)
{
    expect_status(r, 5);
    expect_says(r->err, "standard output: cannot be written");
}

Test(cli, a_full_disk_under_standard_output_is_a_limit)
{
    cli_options full = with_guard;

    if (!nn_path_exists("/dev/full")) skip_test("no /dev/full here");
    full.out = "/dev/full";
    const cli_result check = CLI(&full, "check", "x"), inspect = CLI(&full, "inspect"), help = CLI(&full, "help");
    const cli_result plan = CLI(&full, "plan", "scripts/quickstart.lua"), audit = CLI(&full, "audit", "--identity", small_run());
    expect_full(&check);
    expect_full(&inspect);
    expect_full(&help);
    expect_full(&plan);
    expect_full(&audit);
}

Test(cli, generate_writes_one_request_a_line)
{
    char model[600];

    snprintf(model, sizeof model, "%s/models/11_train_generator.gguf", small_run());
    const cli_result a = CLI(NULL, "generate", "--model", model, "--n", "5", "--max-tokens", "8");
    const cli_result b = CLI(NULL, "generate", "--model", model, "--n", "5", "--max-tokens", "8", "--threads", "2");
    const cli_result none = CLI(NULL, "generate"), label = CLI(NULL, "generate", "--model", model, "--label", "both");
    const cli_result category = CLI(NULL, "generate", "--model", model, "--category", "nosuch");
    size_t lines = 0;

    expect_status(&a, 0);
    for (const char *c = a.out; *c; c++) lines += *c == '\n';
    cr_expect_eq(lines, 5);
    cr_expect_str_eq(a.out, b.out);
    expect_status(&none, 2);
    expect_status(&label, 2);
    expect_status(&category, 2);
}

Test(cli, audit_and_lineage_name_what_they_cannot_find)
{
    const cli_result audit = CLI(NULL, "audit", "nosuch"), none = CLI(NULL, "audit");
    const cli_result lineage = CLI(NULL, "lineage", "--run", small_run(), "ffffffffffffffff");
    const cli_result many = CLI(NULL, "lineage", "--run", small_run());

    expect_status(&audit, 4);
    expect_says(audit.err, "nosuch");
    expect_status(&none, 2);
    cr_expect(lineage.status == 2 || lineage.status == 3, "exit status %d: %s", lineage.status, lineage.err);
    expect_status(&many, 2);
}

Test(cli, a_missing_script_is_a_file)
{
    const cli_result r = CLI(NULL, "plan", "nosuch.lua"), two = CLI(NULL, "plan", "a.lua", "b.lua");
    const cli_result none = CLI(NULL, "run", "--resume");

    expect_status(&r, 4);
    expect_says(r.err, "nosuch.lua");
    expect_status(&two, 2);
    expect_says(two.err, "2 scripts, want one");
    expect_status(&none, 2);
}
