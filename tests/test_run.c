/* Tests of guard/run.h: what a folder holds, and what a resume accepts. test_resume.c: how it goes on. */
#include "guard/run.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "tests/support.h"
#include "tests/test_run_support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const set_of_fake[2] = {"data=../shared/data", "size=small"};

static size_t count_lines(const char *path)
{
    size_t n = 0, len = 0;
    char *text = read_bytes(path, &len);

    for (size_t i = 0; i < len; i++) n += text[i] == '\n';
    free(text);
    return n;
}

/* --- what stands in the folder ------------------------------------------------------------ */

Test(run, finished_folder_holds_what_the_contract_lists)
{
    static const char *const names[] = {"run.json",
                                        "scripts/quick.lua",
                                        "scripts/lib/a.lua",
                                        "corpus/01_load.jsonl",
                                        "corpus/02_curate.jsonl",
                                        "models/03_train.bin",
                                        "ledger.jsonl",
                                        "metrics.jsonl",
                                        "report.html",
                                        "report.json",
                                        "machine.json",
                                        "timing.jsonl"};
    char dir[512];

    new_folder(dir);
    fake_run_ok(dir);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect(nn_path_exists(path_in(dir, names[i])), "%s", names[i]);
    cr_expect_eq(count_lines(path_in(dir, "ledger.jsonl")), (size_t)6); /* 4 stages, 2 rules */
    cr_expect_eq(count_lines(path_in(dir, "metrics.jsonl")), (size_t)(2 * FAKE_STEPS));
    cr_expect(nn_dir_empty(path_in(dir, "checkpoint")));
}

Test(run, run_json_has_a_fixed_order_and_strings_for_seed_and_hashes)
{
    char dir[512];

    new_folder(dir);
    fake_run_ok(dir);
    char *text = read_bytes(path_in(dir, "run.json"), NULL);
    static const char head[] =
        "{\"format\":1,\"script\":\"quick.lua\",\"set\":[\"data=../shared/data\",\"size=small\"],\"seed\":\"7\","
        "\"formats\":{\"ledger\":1,\"corpus\":1,\"metrics\":1},\"scripts\":[{\"path\":\"scripts/lib/"
        "a.lua\",\"sha256\":\"";
    cr_expect(strncmp(text, head, sizeof head - 1) == 0, "%s", text);
    cr_expect(strstr(text, "\"inputs\":[{\"path\":\"seeds.jsonl\",\"sha256\":\"") != NULL);
    cr_expect(strstr(text, "\"finished\":true,\"ledger\":{\"count\":6,\"head\":\"") != NULL);
    cr_expect(strstr(text, "\"files\":[{\"path\":\"metrics.jsonl\"") != NULL);
    free(text);
}

Test(run, machine_json_keeps_start_and_counts_resumes)
{
    const guard_run_options o = {NULL, 7, true, "quick.lua", NULL, 0};
    guard_run_options again = o;
    nn_err err = {NN_OK, ""};
    guard_run *r = NULL;
    char dir[512];

    new_folder(dir);
    again.out = dir;
    for (int i = 0; i < 3; i++) {
        expect_ok(guard_run_open(&r, &again, &err), &err);
        expect_ok(guard_run_fact(r, "argv", "[\"parapet\",\"run\"]", &err), &err);
        guard_run_close(r);
    }
    json_error_t why;
    json_t *o2 = json_load_file(path_in(dir, "machine.json"), 0, &why);
    cr_assert(o2 != NULL, "%s", why.text);
    cr_expect_eq(json_array_size(json_object_get(o2, "resumes")), (size_t)2);
    cr_expect_eq(json_array_size(json_object_get(o2, "argv")), (size_t)2);
    cr_expect(json_is_integer(json_object_get(o2, "cpus")));
    cr_expect(strlen(json_string_value(json_object_get(o2, "start"))) == 20);
    json_decref(o2);
}

Test(run, same_script_and_seed_give_the_same_reproducible_half)
{
    char a[512], b[512], id[65];

    new_folder(a);
    new_folder(b);
    fake_run_ok(a);
    fake_run_ok(b);
    identity_of(id, a);
    expect_same_run(b, id);
}

Test(run, metric_that_is_not_finite_is_refused)
{
    const char *dir = temp_dir();
    const guard_run_options o = {dir, 1, false, "a.lua", NULL, 0};
    nn_err err = {NN_OK, ""};
    guard_run *r = NULL;
    guard_stage s;

    expect_ok(guard_run_open(&r, &o, &err), &err);
    expect_ok(guard_run_stage_begin(r, &s, "train", "{}", NULL, 0, &err), &err);
    const double zero = 0.0;
    expect_fails(guard_run_metric(r, &s, 3, "loss", zero / zero, &err), NN_CONTENT, &err,
                 "01_train: step 3: metric loss is not finite");
    guard_run_close(r);
}

/* --- opening ------------------------------------------------------------------------------ */

Test(run, folder_that_is_not_empty_needs_resume)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    fake_run_ok(dir);
    expect_fails(fake_run(dir, (fake_options){false, false, 0, 0}, &err), NN_USAGE, &err, "--resume");
}

Test(run, folder_of_something_else_is_not_resumed)
{
    nn_err err = {NN_OK, ""};
    const char *dir = temp_dir();

    write_text(path_in(dir, "letter.txt"), "dear");
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "run.json");
}

Test(run, resume_of_nothing_starts)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    new_folder(dir);
    expect_ok(nn_dir_make(dir, &err), &err);
    write_text(path_in(dir, "run.json.tmp123"), "{\"for"); /* killed while its first file was written */
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    cr_expect(!nn_path_exists(path_in(dir, "run.json.tmp123")));
}

Test(run, resume_of_a_finished_run_changes_nothing)
{
    nn_err err = {NN_OK, ""};
    char dir[512], id[65];

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    char *machine = read_bytes(path_in(dir, "machine.json"), NULL);
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    expect_same_run(dir, id);
    const guard_run_options o = {dir, 7, true, NULL, set_of_fake, 2};
    guard_run *r = NULL;
    expect_ok(guard_run_open(&r, &o, &err), &err);
    cr_expect(guard_run_done(r));
    expect_ok(guard_run_fact(r, "threads", "3", &err), &err);
    guard_run_close(r);
    cr_expect(bytes_equal_file(path_in(dir, "machine.json"), machine, strlen(machine)));
    free(machine);
}

Test(run, resume_with_other_options_names_them)
{
    static const char *const set[1] = {"size=large"};
    guard_run_options o = {NULL, 8, true, "elsewhere/quick.lua", NULL, 0};
    guard_run *r = NULL;
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    fake_run_ok(dir);
    o.out = dir;
    expect_fails(guard_run_open(&r, &o, &err), NN_USAGE, &err, "seed is 7, asked for 8");
    cr_expect(r == NULL);
    o.seed = 7;
    o.script = "other.lua";
    err.status = NN_OK;
    expect_fails(guard_run_open(&r, &o, &err), NN_USAGE, &err, "run of quick.lua, asked to resume other.lua");
    o.script = NULL;
    o.set = set;
    o.n_set = 1;
    err.status = NN_OK;
    expect_fails(guard_run_open(&r, &o, &err), NN_USAGE, &err, "--set 1 was data=../shared/data, asked for size=large");
}

Test(run, saved_options_can_be_read_back)
{
    guard_run_saved s;
    nn_err err = {NN_OK, ""};
    bool found = true;
    char dir[512];

    new_folder(dir);
    expect_ok(guard_run_saved_read(&s, &found, dir, &err), &err);
    cr_expect(!found);
    fake_run_ok(dir);
    expect_ok(guard_run_saved_read(&s, &found, dir, &err), &err);
    cr_assert(found);
    cr_expect_str_eq(s.script, "quick.lua");
    cr_expect(s.seed == 7 && s.n_set == 2 && s.finished);
    cr_expect_str_eq(s.set[1], "size=small");
    guard_run_saved_free(&s);
}

Test(run, folder_that_cannot_be_made_says_so)
{
    nn_err err = {NN_OK, ""};
    const char *dir = temp_dir();

    write_text(path_in(dir, "file"), "x");
    expect_fails(fake_run(path_in(dir, "file/run"), (fake_options){false, false, 0, 0}, &err), NN_FILE, &err, "file");
}

/* --- scripts and inputs ------------------------------------------------------------------- */

static guard_run *open_again(const char *dir)
{
    const guard_run_options o = {dir, 1, true, "a.lua", NULL, 0};
    nn_err err = {NN_OK, ""};
    guard_run *r = NULL;

    expect_ok(guard_run_open(&r, &o, &err), &err);
    return r;
}

Test(run, edited_script_is_refused_at_resume_naming_both)
{
    const char *dir = temp_dir();
    nn_err err = {NN_OK, ""};
    guard_run *r = open_again(dir);

    expect_ok(guard_run_script(r, "rules/keep.lua", "return 1", 8, &err), &err);
    guard_run_close(r);
    r = open_again(dir);
    expect_ok(guard_run_script(r, "rules/keep.lua", "return 1", 8, &err), &err);
    expect_fails(guard_run_script(r, "rules/keep.lua", "return 2", 8, &err), NN_USAGE, &err,
                 "rules/keep.lua: edited since the run began");
    cr_expect(strstr(err.text, "/scripts/rules/keep.lua (hash ") != NULL, "%s", err.text);
    guard_run_close(r);
}

Test(run, saved_script_is_read_back_unless_it_was_edited)
{
    const char *dir = temp_dir();
    nn_err err = {NN_OK, ""};
    guard_run *r = open_again(dir);
    char *bytes = NULL;
    size_t len = 0;

    expect_ok(guard_run_script(r, "experiments/one.lua", "return 1", 8, &err), &err);
    expect_ok(guard_run_read_script(r, "one.lua", &bytes, &len, &err), &err); /* by its base name, as run.json has it */
    cr_assert(bytes != NULL);
    cr_expect(len == 8 && strcmp(bytes, "return 1") == 0);
    nn_free(bytes);
    expect_ok(guard_run_read_script(r, "two.lua", &bytes, &len, &err), &err);
    cr_expect(bytes == NULL);
    write_text(path_in(dir, "scripts/experiments/one.lua"), "return 3");
    expect_fails(guard_run_read_script(r, "experiments/one.lua", &bytes, &len, &err), NN_USAGE, &err,
                 "edited since the run began");
    guard_run_close(r);
}

Test(run, script_name_cannot_leave_the_folder)
{
    static const char *const names[] = {"../a.lua",  "/etc/a.lua", "a//b.lua",   "",
                                        "a/./b.lua", "a\\b.lua",   "a.lua.tmp12"};
    const char *dir = temp_dir();
    guard_run *r = open_again(dir);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        nn_err err = {NN_OK, ""};
        expect_fails(guard_run_script(r, names[i], "x", 1, &err), NN_USAGE, &err, "not a plain relative path");
    }
    guard_run_close(r);
}

Test(run, changed_input_is_refused_at_resume)
{
    static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const char *dir = temp_dir();
    nn_err err = {NN_OK, ""};
    guard_run *r = open_again(dir);

    expect_ok(guard_run_input(r, "train/rows.jsonl", a, &err), &err);
    expect_ok(guard_run_input(r, "dev/rows.jsonl", b, &err), &err); /* same base name, another file */
    expect_ok(guard_run_input(r, "train/rows.jsonl", a, &err), &err);
    guard_run_close(r);
    r = open_again(dir);
    expect_ok(guard_run_input(r, "train/rows.jsonl", a, &err), &err);
    expect_fails(
        guard_run_input(r, "dev/rows.jsonl", "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", &err),
        NN_USAGE, &err, "dev/rows.jsonl: changed since the run");
    guard_run_close(r);
}

/* --- stages ------------------------------------------------------------------------------- */

Test(run, finished_stage_whose_output_is_altered_names_file_and_hashes)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    expect_ok(fake_run(dir, (fake_options){false, false, 2, 0}, &err), &err);
    flip_bit(path_in(dir, "corpus/01_load.jsonl"), 20);
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "corpus/01_load.jsonl: altered: has SHA-256 ");
    cr_expect(strstr(err.text, ", want ") != NULL && strstr(err.text, "stage 1 load") != NULL, "%s", err.text);
    remove(path_in(dir, "corpus/01_load.jsonl"));
    err.status = NN_OK;
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "corpus/01_load.jsonl: missing, want ");
    new_folder(dir);
    fake_run_ok(dir);
    write_text(path_in(dir, "report.html"),
               "other"); /* the report stage never asks for its outputs: begin looks at them */
    err.status = NN_OK;
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "report.html: altered: has SHA-256 ");
}

Test(run, stage_that_is_not_the_saved_one_says_what_changed)
{
    static const char *const a[1] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const b[1] = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};
    const struct {
        const char *name, *args;
        const char *const *in;
        const char *message;
    } try[] = {{"augment", "{}", a, "holds load, the script asks for augment"},
               {"load", "{\"x\":1}", a, "stage 1 load: its arguments changed"},
               {"load", "{}", b, "stage 1 load: its inputs changed"},
               {"load", "{}", a, NULL}};
    const char *dir = temp_dir();
    nn_err err = {NN_OK, ""};
    guard_stage s;
    guard_run *r = open_again(dir);

    expect_ok(guard_run_stage_begin(r, &s, "load", "{}", a, 1, &err), &err);
    expect_ok(guard_run_stage_end(r, &s, NULL, 0, "{\"rows\":2}", 12, &err), &err);
    guard_run_close(r);
    for (size_t i = 0; i < sizeof try / sizeof *try; i++) {
        r = open_again(dir);
        err.status = NN_OK;
        const nn_status st = guard_run_stage_begin(r, &s, try[i].name, try[i].args, try[i].in, 1, &err);
        if (try[i].message) expect_fails(st, NN_USAGE, &err, try[i].message);
        else expect_ok(st, &err);
        cr_expect(s.finished == !try[i].message);
        if (s.finished) cr_expect_str_eq(guard_run_stage_note(r, &s), "{\"rows\":2}");
        if (s.finished) cr_expect_eq(guard_run_stage_tokens(r, &s), (uint64_t)12);
        guard_run_close(r);
    }
}

Test(run, file_belongs_to_one_stage)
{
    static const char *const output[1] = {"guard.gguf"};
    const char *dir = temp_dir();
    nn_err err = {NN_OK, ""};
    guard_stage s;
    guard_run *r = open_again(dir);

    write_text(path_in(dir, "guard.gguf"), "x");
    expect_ok(guard_run_stage_begin(r, &s, "ship", "{}", NULL, 0, &err), &err);
    expect_ok(guard_run_stage_end(r, &s, output, 1, NULL, 0, &err), &err);
    expect_ok(guard_run_stage_begin(r, &s, "ship", "{}", NULL, 0, &err), &err);
    expect_fails(guard_run_stage_end(r, &s, output, 1, NULL, 0, &err), NN_USAGE, &err,
                 "already an output of stage 1 ship");
    guard_run_close(r);
}

Test(run, note_that_is_not_one_line_of_json_is_refused)
{
    static const char *const notes[] = {"[1]", "{\"a\":", "{\"a\":\n1}", ""};
    const char *dir = temp_dir();
    guard_run *r = open_again(dir);
    guard_stage s;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_stage_begin(r, &s, "x", "{}", NULL, 0, &err), &err);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        err.status = NN_OK;
        expect_fails(guard_run_stage_end(r, &s, NULL, 0, notes[i], 0, &err), NN_USAGE, &err,
                     "note is not a JSON object");
    }
    guard_run_close(r);
}

Test(run, script_with_fewer_stages_than_the_folder_is_refused)
{
    const char *dir = temp_dir();
    nn_err err = {NN_OK, ""};
    guard_stage s;
    guard_run *r = open_again(dir);

    expect_ok(guard_run_stage_begin(r, &s, "x", "{}", NULL, 0, &err), &err);
    expect_fails(guard_run_finish(r, &err), NN_USAGE, &err, "stage 1 x: not ended");
    expect_ok(guard_run_stage_end(r, &s, NULL, 0, NULL, 0, &err), &err);
    guard_run_close(r);
    r = open_again(dir);
    err.status = NN_OK;
    expect_fails(guard_run_finish(r, &err), NN_USAGE, &err, "asked for 0 stages, the folder holds 1");
    guard_run_close(r);
}
