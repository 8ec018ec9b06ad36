/* Tests of guard_lineage: a row is followed to its seeds, its columns by stage, and unsafe text stays hidden. */
#include "guard/run.h"
#include "tests/support.h"
#include "tests/test_run_support.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void finished_run(char dir[512])
{
    new_folder(dir);
    fake_run_ok(dir);
}

static void lineage_of(guard_buf *out, const char *dir, const char *id, bool show_text, bool json)
{
    nn_err err = {NN_OK, ""};

    guard_buf_clear(out);
    expect_ok(guard_lineage(out, dir, id, show_text, json, &err), &err);
    cr_assert(out->bytes != NULL);
}

static void expect_lines(const guard_buf *out, const char *part)
{
    cr_expect(strstr(out->bytes, part) != NULL, "lacks \"%s\":\n%s", part, out->bytes);
}

Test(lineage, row_is_followed_to_its_parents_with_columns_by_stage)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    char dir[512];

    finished_run(dir);
    lineage_of(&out, dir, "aaaa1", false, false);
    expect_lines(&out, "row aaaa100000000003  generation 0  safe\n  text      \"HOW TO KILL A PROCESS\"\n");
    expect_lines(&out, "  parents   \"aaaa000000000001,bbbb000000000002\"\n  ops       [\"style:upper\"]\n");
    expect_lines(&out,
                 "  02 curate: corpus/02_curate.jsonl, ledger entry 4\n     loss             0.75   (02_curate)\n"
                 "     kept             false   (02_curate)\n     reason           \"loss over 0.7\"   (02_curate)\n");
    expect_lines(&out, "row aaaa000000000001  generation 1  safe\n");
    expect_lines(&out, "  01 load: corpus/01_load.jsonl, ledger entry 1\n  02 curate: ");
    cr_expect(strstr(out.bytes, "01 load") > strstr(out.bytes, "row aaaa000000000001"),
              "a row stands where it was made, not before");
    guard_buf_free(&out);
}

Test(lineage, unsafe_text_is_hidden_unless_asked_for)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    char dir[512];

    finished_run(dir);
    for (int json = 0; json < 2; json++) {
        lineage_of(&out, dir, "aaaa1", false, json != 0);
        cr_expect(strstr(out.bytes, "a request that is refused") == NULL, "%s", out.bytes);
        expect_lines(&out, json ? "{\"bytes\":25,\"sha256\":\"" : "hidden: 25 bytes, SHA-256 ");
        lineage_of(&out, dir, "aaaa1", true, json != 0);
        expect_lines(&out, "\"a request that is refused\"");
    }
    guard_buf_free(&out);
}

Test(lineage, prefix_of_several_rows_lists_them)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};
    char dir[512];

    finished_run(dir);
    expect_fails(guard_lineage(&out, dir, "aaaa", false, false, &err), NN_USAGE, &err,
                 "row 'aaaa': 2 ids begin so, want one of aaaa000000000001 aaaa100000000003");
    err.status = NN_OK;
    expect_fails(guard_lineage(&out, dir, "aaa", false, false, &err), NN_USAGE, &err, "want at least 4 digits");
    err.status = NN_OK;
    expect_fails(guard_lineage(&out, dir, "ffff", false, false, &err), NN_USAGE, &err, "no corpus of ");
    guard_buf_free(&out);
}

Test(lineage, json_has_rows_stages_and_columns)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    json_error_t why;
    char dir[512];

    finished_run(dir);
    lineage_of(&out, dir, "aaaa1", false, true);
    json_t *o = json_loads(out.bytes, JSON_REJECT_DUPLICATES, &why);
    cr_assert(o != NULL, "%s: %s", why.text, out.bytes);
    const json_t *rows = json_object_get(o, "rows"), *first = json_array_get(rows, 0);
    cr_expect_eq(json_array_size(rows), (size_t)3);
    cr_expect_str_eq(json_string_value(json_object_get(first, "id")), "aaaa100000000003");
    cr_expect_eq(json_array_size(json_object_get(first, "parents")), (size_t)2);
    const json_t *stage = json_array_get(json_object_get(first, "stages"), 0);
    const json_t *loss = json_object_get(json_object_get(stage, "columns"), "loss");
    cr_expect(json_real_value(json_object_get(loss, "value")) == 0.75);
    cr_expect_str_eq(json_string_value(json_object_get(loss, "stage")), "02_curate");
    cr_expect(json_is_false(json_object_get(json_object_get(json_object_get(stage, "columns"), "kept"), "value")));
    cr_expect(json_integer_value(json_object_get(json_array_get(rows, 2), "generation")) == 1);
    json_decref(o);
    guard_buf_free(&out);
}

/* Writes rows [from, to) of three as the output of a stage. */
static void stage_of_rows(guard_run *r, const char *name, const char *in, size_t from, size_t to, char sha256[65])
{
    static const char *const id[3] = {"1111000000000001", "2222000000000002", "3333000000000003"};
    static const char *const parent[3] = {"3333000000000003", "1111000000000001", "2222000000000002"}; /* a circle */
    char path[512];
    const char *output[1] = {path};
    nn_err err = {NN_OK, ""};
    guard_corpus *c = NULL;
    guard_column *col = NULL;
    guard_stage s;

    expect_ok(guard_run_stage_begin(r, &s, name, "{}", &in, in ? 1 : 0, &err), &err);
    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = from; i < to; i++) {
        guard_row row;

        memset(&row, 0, sizeof row);
        strcpy(row.id, id[i]);
        row.text = (guard_text){"text", 4};
        row.parents = (guard_text){parent[i], 16};
        expect_ok(guard_corpus_add(c, &row, &err), &err);
    }
    expect_ok(guard_corpus_column(c, "p", "01_load", GUARD_COL_NUM, &col, &err), &err);
    for (size_t i = 0; i < c->n; i++) col->num[i] = 0.5;
    guard_run_path(r, &s, "corpus", ".jsonl", path, sizeof path);
    expect_ok(guard_corpus_write(c, path, sha256, &err), &err);
    expect_ok(guard_run_stage_end(r, &s, output, 1, NULL, 0, &err), &err);
    guard_corpus_free(c);
}

Test(lineage, dropped_rows_circles_and_unchanged_columns)
{
    const char *dir = temp_dir();
    const guard_run_options o = {dir, 1, false, "a.lua", NULL, 0};
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};
    guard_run *r = NULL;
    char all[65], some[65];

    expect_ok(guard_run_open(&r, &o, &err), &err);
    stage_of_rows(r, "load", NULL, 0, 3, all);
    stage_of_rows(r, "select", all, 0, 2, some);
    guard_run_close(r);
    lineage_of(&out, dir, "3333", false, false);
    expect_lines(&out, "row 3333000000000003  generation 0  safe\n");
    expect_lines(&out, "  02 select: not in its output, ledger entry 2\nrow 2222000000000002  generation 1  safe\n");
    expect_lines(&out, "row 1111000000000001  generation 2  safe\n");
    expect_lines(
        &out, "     p                0.5   (01_load)\n  02 select: corpus/02_select.jsonl, ledger entry 2\nrow 1111");
    lineage_of(&out, dir, "3333", false, true);
    expect_lines(&out, "\"left_out_by\":[2]");
    guard_buf_free(&out);
}

Test(lineage, folder_without_a_ledger_is_an_error)
{
    guard_buf out = {NULL, 0, 0, NN_OK};
    nn_err err = {NN_OK, ""};

    expect_fails(guard_lineage(&out, temp_dir(), "aaaa1", false, false, &err), NN_FILE, &err,
                 "no corpus in its ledger");
    guard_buf_free(&out);
}
