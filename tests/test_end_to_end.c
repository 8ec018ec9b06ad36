/* Tests of a whole run, small: same bytes over threads, processes, kills and stops; nothing half-written. */
#include "guard/run.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL "scripts/experiments/00_small.lua"

TestSuite(end_to_end, .timeout = 600);

static const char *fresh(void)
{
    return path_in(temp_dir(), "run");
}

static void identity_of(char hash[65], const char *dir)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_identity(hash, dir, &err), &err);
}

static void expect_same_run(const char *dir)
{
    char got[65], want[65];

    identity_of(got, dir);
    identity_of(want, small_run());
    cr_expect_str_eq(got, want, "%s has identity %s, want %s", dir, got, want);
}

/* The table without its last line, which names the folder. */
static void expect_same_table(const char *out)
{
    const char *want = small_table(), *end = strstr(want, "\nrun ");
    const size_t n = (size_t)(end - want);

    cr_assert(end != NULL, "no last line: %.300s", want);
    cr_expect(strncmp(out, want, n) == 0, "the table differs:\n%.800s\nwant:\n%.800s", out, want);
    const char *head = strstr(end, "head "), *got = strstr(out, "head ");
    cr_expect(got && strcmp(head, got) == 0, "%.100s, want %.100s", got ? got : "no head", head);
}

/* --- what a run leaves --------------------------------------------------------------------------------- */

Test(end_to_end, a_run_is_clean_and_says_its_head)
{
    const cli_result audit = CLI(NULL, "audit", small_run());
    const char *table = small_table();

    expect_status(&audit, 0);
    expect_says(table, "wide alone");
    expect_says(table, "verdicts on held-out rows");
    expect_says(table, "tokens guards");
    expect_says(table, "ledger");
    for (const char *const *name = (const char *const[]){"run.json", "ledger.jsonl", "metrics.jsonl", "report.html",
                                                         "report.json", "model_card.md", "guard.gguf",
                                                         "scripts/experiments/00_small.lua", NULL};
         *name; name++) {
        struct stat info;

        cr_expect(stat(path_in(small_run(), *name), &info) == 0 && info.st_size > 0, "%s is missing or empty", *name);
    }
    cr_expect(access(path_in(small_run(), "checkpoint"), F_OK) != 0 || rmdir(path_in(small_run(), "checkpoint")) == 0,
              "a finished run keeps checkpoints");
}

Test(end_to_end, one_and_two_threads_give_the_same_bytes)
{
    const char *one = fresh(), *two = fresh();
    const cli_result a = CLI(NULL, "run", SMALL, "--out", one, "--threads", "1", "--quiet");
    const cli_result b = CLI(NULL, "run", SMALL, "--out", two, "--threads", "2", "--quiet");
    const cli_result audit = CLI(NULL, "audit", one, two);

    expect_status(&a, 0);
    expect_status(&b, 0);
    expect_status(&audit, 0);
    expect_same_run(one);
    expect_same_run(two);
    expect_same_table(a.out);
}

Test(end_to_end, a_changed_byte_is_found)
{
    const char *dir = temp_dir();
    char command[2200], *bytes;
    size_t len = 0;

    snprintf(command, sizeof command, "cp -R '%s' '%s/run'", small_run(), dir);
    cr_assert(system(command) == 0);
    const char *path = path_in(dir, "run/corpus/05_augment.jsonl");
    bytes = read_bytes(path, &len);
    bytes[len / 2] = (char)(bytes[len / 2] ^ 1);
    write_bytes(path, bytes, len);
    const cli_result audit = CLI(NULL, "audit", path_in(dir, "run"));
    expect_status(&audit, 1);
    expect_says(audit.out, "05_augment.jsonl");
    free(bytes);
}

/* --- going on ------------------------------------------------------------------------------------------- */

Test(end_to_end, a_finished_run_is_reprinted_by_resume)
{
    char before[65], after[65];

    identity_of(before, small_run());
    const cli_result again = CLI(NULL, "run", SMALL, "--out", small_run(), "--resume", "--quiet");
    const cli_result alone = CLI(NULL, "run", "--resume", "--out", small_run(), "--quiet");
    expect_status(&again, 0);
    cr_expect_str_eq(again.out, small_table());
    expect_status(&alone, 0);
    cr_expect_str_eq(alone.out, again.out);
    identity_of(after, small_run());
    cr_expect_str_eq(before, after);
}

Test(end_to_end, a_full_folder_without_resume_is_refused)
{
    const cli_result r = CLI(NULL, "run", SMALL, "--out", small_run());

    expect_status(&r, 2);
    expect_says(r.err, "--resume");
}

Test(end_to_end, other_options_at_resume_are_refused)
{
    const cli_result seed = CLI(NULL, "run", SMALL, "--out", small_run(), "--resume", "--seed", "2");
    const cli_result script = CLI(NULL, "run", "scripts/quickstart.lua", "--out", small_run(), "--resume");
    const cli_result set = CLI(NULL, "run", SMALL, "--out", small_run(), "--resume", "--set", "a=b");

    expect_status(&seed, 2);
    expect_says(seed.err, "seed");
    expect_status(&script, 2);
    expect_says(script.err, "quickstart.lua");
    expect_status(&set, 2);
}

/* Stopped or killed after `seconds`, then resumed until it is done. */
static cli_result interrupted(const char *dir, const char *script, int with, double seconds)
{
    const cli_options stop = {.signal = with, .times = 1, .after = seconds};

    return CLI(&stop, "run", script, "--out", dir, "--resume", "--quiet", "--threads", "1");
}

Test(end_to_end, an_edited_script_at_resume_is_named)
{
    const char *dir = copy_scripts(NULL, NULL), *run = path_in(dir, "run");
    const char *script = path_in(dir, "scripts/experiments/00_small.lua"), *rules = path_in(dir, "scripts/curation.lua");
    char *text;
    size_t len = 0;

    const cli_result stopped = interrupted(run, script, SIGINT, 0.3);
    expect_status(&stopped, 130);
    text = read_bytes(rules, &len);
    write_text(rules, "-- edited\n");
    FILE *f = fopen(rules, "ab");
    cr_assert(f && fwrite(text, 1, len, f) == len && fclose(f) == 0);
    free(text);
    const cli_result edited = CLI(NULL, "run", script, "--out", run, "--resume", "--quiet");
    expect_status(&edited, 2);
    expect_says(edited.err, "curation.lua");
    expect_says(edited.err, "edited");
}

Test(end_to_end, a_stop_saves_and_resume_gives_the_same_bytes)
{
    const char *dir = fresh();
    cli_result r = {0, NULL, NULL, 0, 0.0};
    int stops = 0;

    for (int i = 0; i < 200; i++) {
        /* Short at first, for a machine that needs a second for the whole; then longer, for one that needs minutes. */
        r = interrupted(dir, SMALL, i % 2 ? SIGINT : SIGTERM, 0.3 + (i < 4 ? 0.0 : 0.4 * (double)(i - 3)));
        if (r.status == 0) break;
        expect_status(&r, i % 2 ? 130 : 143);
        expect_says(r.err, "stop");
        stops++;
    }
    expect_status(&r, 0);
    cr_expect(stops >= 2, "only %d stops", stops);
    expect_same_run(dir);
    expect_same_table(r.out);
}

/* A draw for the moments of the kills; it differs between test runs on purpose and is printed when something fails. */
static double moment(unsigned *state, double span)
{
    *state = *state * 1103515245u + 12345u;
    return span * (double)(*state >> 8 & 0xffff) / 65536.0;
}

Test(end_to_end, kills_at_random_moments_give_the_same_bytes)
{
    const int want = getenv("STRESS") ? 20 : 5;
    const unsigned seed = (unsigned)getpid();
    unsigned state = seed;
    const char *dir = fresh();
    cli_result r = {0, NULL, NULL, 0, 0.0};
    int kills = 0;

    for (int i = 0; kills < want && i < 400; i++) {
        r = interrupted(dir, SMALL, SIGKILL, 0.02 + moment(&state, 1.0 + 0.1 * (double)i));
        if (r.status == 0) { /* done before its kill: another run */
            expect_same_run(dir);
            dir = fresh();
            continue;
        }
        expect_status(&r, 128 + SIGKILL);
        kills++;
    }
    r = CLI(NULL, "run", SMALL, "--out", dir, "--resume", "--quiet");
    cr_expect(r.status == 0, "seed %u, %d kills: exit status %d: %.400s", seed, kills, r.status, r.err);
    const cli_result audit = CLI(NULL, "audit", dir);
    expect_status(&audit, 0);
    expect_same_run(dir);
    expect_same_table(r.out);
}

/* --- limits ----------------------------------------------------------------------------------------------- */

Test(end_to_end, a_folder_that_cannot_be_made_is_told)
{
    const char *file = path_in(temp_dir(), "file");

    write_text(file, "x");
    const cli_result r = CLI(NULL, "run", SMALL, "--out", path_in(file, "run"), "--quiet");
    cr_expect(r.status == 4 || r.status == 5, "exit status %d: %.300s", r.status, r.err);
    expect_says(r.err, "file");
}
