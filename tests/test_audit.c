/* Tests of the audit: one altered byte, one moved line or one stray file gives a finding that names it. */
#include "guard/run.h"
#include "nn/plat.h"
#include "tests/support.h"
#include "tests/test_run_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finished_run(char dir[512])
{
    new_folder(dir);
    fake_run_ok(dir);
}

/* Audits; fails unless there are `want` findings (any when SIZE_MAX) and one contains `part` (NULL: none asked). */
static void expect_findings(const char *dir, size_t want, const char *part)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};
    size_t bad = 0, lines = 0;

    expect_ok(guard_audit(&out, &bad, dir, &err), &err);
    for (size_t i = 0; i < out.len; i++) lines += out.bytes[i] == '\n';
    cr_expect(want == SIZE_MAX ? bad > 0 : bad == want, "%zu findings, want %zu:\n%s", bad, want,
              out.len ? out.bytes : "");
    cr_expect_eq(lines, bad);
    if (part)
        cr_expect(out.len && strstr(out.bytes, part) != NULL, "findings lack \"%s\":\n%s", part,
                  out.len ? out.bytes : "");
    guard_buf_free(&out);
}

/* Lines first and second (from 0) of the ledger change places; second == first: the line goes. */
static void move_line(const char *path, size_t first, size_t second)
{
    char *text = read_bytes(path, NULL), *line[64], *made = malloc(strlen(text) + 1);
    size_t n = 0;

    cr_assert(made != NULL);
    for (char *l = strtok(text, "\n"); l; l = strtok(NULL, "\n")) line[n++] = l;
    made[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (first == second && i == first) continue;
        strcat(made, line[i == first ? second : i == second ? first : i]);
        strcat(made, "\n");
    }
    write_text(path, made);
    free(made);
    free(text);
}

Test(audit, untouched_run_has_no_findings)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    finished_run(dir);
    expect_findings(dir, 0, NULL);
    snprintf(dir, sizeof dir, "%s/run", temp_dir());
    expect_ok(fake_run(dir, (fake_options){false, false, 2, 0}, &err), &err); /* not finished, and nothing wrong */
    expect_findings(dir, 0, NULL);
}

Test(audit, any_changed_byte_of_the_reproducible_half_is_found)
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
                                        "report.json"};
    char dir[512], path[600];

    finished_run(dir);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t len = 0;

        snprintf(path, sizeof path, "%s/%s", dir, names[k]);
        free(read_bytes(path, &len));
        for (size_t i = 0; i < len; i += len / 20 + 1) {
            flip_bit(path, (long)i);
            expect_findings(dir, SIZE_MAX, names[k]);
            flip_bit(path, (long)i);
        }
        flip_bit(path, -1);
        expect_findings(dir, SIZE_MAX, names[k]);
        flip_bit(path, -1);
    }
    expect_findings(dir, 0, NULL);
}

Test(audit, changed_file_names_found_and_expected_hash)
{
    char dir[512], sha256[65], want[300];

    finished_run(dir);
    write_text(path_in(dir, "models/03_train.bin"), "");
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};
    size_t bad = 0;
    expect_ok(guard_audit(&out, &bad, dir, &err), &err);
    cr_assert(bad == 1);
    strcpy(sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"); /* of nothing */
    snprintf(want, sizeof want, "models/03_train.bin: SHA-256 %s, want ", sha256);
    cr_expect(strncmp(out.bytes, want, strlen(want)) == 0, "%s", out.bytes);
    cr_expect(strstr(out.bytes, " as ledger entry 5 says\n") != NULL, "%s", out.bytes);
    guard_buf_free(&out);
}

Test(audit, altered_entry_is_named_once)
{
    char dir[512];

    finished_run(dir);
    replace_text(path_in(dir, "ledger.jsonl"), "\"kept\":2", "\"kept\":3");
    expect_findings(dir, 1, "ledger.jsonl: entry 2: altered: SHA-256 ");
}

Test(audit, altered_last_entry_is_known_by_run_json)
{
    char dir[512];

    finished_run(dir);
    replace_text(path_in(dir, "ledger.jsonl"), "\"name\":\"report\"", "\"name\":\"rapport\"");
    expect_findings(dir, 1, "ledger.jsonl: entry 6: altered: ");
}

Test(audit, unreadable_entry_is_named_once)
{
    char dir[512];

    finished_run(dir);
    replace_text(path_in(dir, "ledger.jsonl"), "{\"n\":3,", "{\"n\":3 ");
    expect_findings(dir, 1, "ledger.jsonl: entry 3: altered: a line that is not a JSON object");
}

Test(audit, entries_out_of_order_are_named)
{
    char dir[512];

    finished_run(dir);
    move_line(path_in(dir, "ledger.jsonl"), 1, 2);
    expect_findings(dir, 2, "ledger.jsonl: entry 3: out of order: stands where entry 2 is expected");
}

Test(audit, truncated_ledger_is_known_by_run_json)
{
    char dir[512];

    finished_run(dir);
    move_line(path_in(dir, "ledger.jsonl"), 5, 5);
    expect_findings(dir, SIZE_MAX, "ledger.jsonl: truncated: 5 entries, want 6 as run.json says");
}

Test(audit, removed_entry_is_named)
{
    char dir[512];

    finished_run(dir);
    move_line(path_in(dir, "ledger.jsonl"), 0, 0);
    expect_findings(dir, SIZE_MAX, "ledger.jsonl: entry 2: out of order: stands where entry 1 is expected");
}

Test(audit, missing_and_unexpected_files_are_named)
{
    char dir[512];

    finished_run(dir);
    remove(path_in(dir, "corpus/02_curate.jsonl"));
    expect_findings(dir, 1, "corpus/02_curate.jsonl: missing, want SHA-256 ");
    write_text(path_in(dir, "corpus/extra.jsonl"), "{}\n");
    expect_findings(dir, 2, "corpus/extra.jsonl: unexpected");
    write_text(path_in(dir, "log"), "anything"); /* not of the reproducible half */
    expect_findings(dir, 2, NULL);
}

Test(audit, folder_without_run_json_is_an_error)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};
    size_t bad = 0;

    expect_fails(guard_audit(&out, &bad, temp_dir(), &err), NN_FILE, &err, "no run.json, want a run folder");
    guard_buf_free(&out);
}

/* --- two folders -------------------------------------------------------------------------- */

static void expect_comparison(const char *a, const char *b, size_t want, const char *text)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};
    size_t bad = 0;

    expect_ok(guard_audit_compare(&out, &bad, a, b, &err), &err);
    cr_expect(bad == want, "%zu differences, want %zu:\n%s", bad, want, out.len ? out.bytes : "");
    cr_expect_str_eq(out.len ? out.bytes : "", text);
    guard_buf_free(&out);
}

Test(audit, same_runs_compare_equal_whatever_the_machine)
{
    char a[512], b[512];

    finished_run(a);
    finished_run(b);
    write_text(path_in(b, "machine.json"), "{}");
    write_text(path_in(b, "log"), "x");
    expect_comparison(a, b, 0, "");
}

Test(audit, comparison_names_the_byte_where_files_part)
{
    char a[512], b[512], want[800];

    finished_run(a);
    finished_run(b);
    write_text(path_in(a, "report.html"), "one\ntwo\nthree\n");
    write_text(path_in(b, "report.html"), "one\ntwX\nthree\n!");
    expect_comparison(a, b, 1, "report.html: differs from byte 6 (line 2, column 3); 14 and 15 bytes\n");
    write_text(path_in(b, "report.html"), "one\ntwo\nthree\n!");
    expect_comparison(a, b, 1, "report.html: differs from byte 14 (line 4, column 1); 14 and 15 bytes\n");
    write_text(path_in(a, "report.html"), "one\ntwo\nthree\n!");
    write_text(path_in(b, "corpus/x.jsonl"), "");
    remove(path_in(b, "scripts/lib/a.lua"));
    snprintf(want, sizeof want, "corpus/x.jsonl: only in %.200s\nscripts/lib/a.lua: only in %.200s\n", b, a);
    expect_comparison(a, b, 2, want);
}

Test(audit, identity_is_the_hash_of_sha256sum_lines)
{
    char dir[512], id[65], again[65];

    finished_run(dir);
    identity_of(id, dir);
    write_text(path_in(dir, "machine.json"), "{\"other\":1}");
    write_text(path_in(dir, "timing.jsonl"), "");
    identity_of(again, dir);
    cr_expect_str_eq(again, id);
    flip_bit(path_in(dir, "metrics.jsonl"), 40);
    identity_of(again, dir);
    cr_expect_str_neq(again, id);
}
