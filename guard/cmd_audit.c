/* cmd_audit.c - parapet audit and parapet lineage: what a run folder can prove. */
#include "guard/cmd.h"
#include "guard/run.h"
#include <stdio.h>

static const cmd_flag audit_flags[] = {
    {"--identity", NULL, NULL, "print one hash over the reproducible half, nothing else"}, {NULL, NULL, NULL, NULL}};

static nn_status audit_words(const cmd_line *line, guard_buf *out, size_t *bad, nn_err *err)
{
    char hash[65];
    if (line->n_word < 1 || line->n_word > 2)
        return nn_fail(err, NN_USAGE, "%zu folders, want one, or two to compare", line->n_word);
    if (cmd_given(line, "--identity") != NULL) {
        const nn_status st = guard_run_identity(hash, line->word[0], err);
        if (st == NN_OK) guard_buf_fmt(out, "%s\n", hash);
        return st;
    }
    nn_status st = line->n_word == 1 ? guard_audit(out, bad, line->word[0], err)
                                     : guard_audit_compare(out, bad, line->word[0], line->word[1], err);
    if (st != NN_OK || *bad > 0) return st;
    if ((st = guard_run_identity(hash, line->word[0], err)) != NN_OK) return st;
    if (line->n_word == 1) guard_buf_fmt(out, "%s: as it was left, identity %s\n", line->word[0], hash);
    else guard_buf_fmt(out, "%s and %s: the same bytes, identity %s\n", line->word[0], line->word[1], hash);
    return st;
}

static int audit_main(int argc, char **argv)
{
    cmd_line line;
    guard_buf out = {0};
    size_t bad = 0;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_audit, argc, argv, &err);
    if (st == NN_OK) st = audit_words(&line, &out, &bad, &err);
    if (st == NN_OK) st = guard_buf_status(&out, &err);
    if (st == NN_OK) fwrite(out.bytes, 1, out.len, stdout);
    guard_buf_free(&out);
    return cmd_end("audit", st, bad > 0 ? 1 : 0, &err);
}

const cmd_verb cmd_audit = {
    "audit", "RUN [RUN2]", "Checks a run folder's chain and hashes, or compares two. Exit status 1: something differs.",
    audit_flags, audit_main};

static const cmd_flag lineage_flags[] = {{"--run", "DIR", "runs/quickstart", "run folder"},
                                         {"--show", NULL, NULL, "show unsafe texts too"},
                                         {"--json", NULL, NULL, "as JSON"},
                                         {NULL, NULL, NULL, NULL}};

static int lineage_main(int argc, char **argv)
{
    cmd_line line;
    guard_buf out = {0};
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_lineage, argc, argv, &err);
    if (st == NN_OK && line.n_word != 1)
        st = nn_fail(&err, NN_USAGE, "%zu ids, want one (4 digits or more of it)", line.n_word);
    if (st == NN_OK) {
        const char *dir = cmd_given(&line, "--run");
        st = guard_lineage(&out, dir != NULL ? dir : "runs/quickstart", line.word[0],
                           cmd_given(&line, "--show") != NULL, cmd_given(&line, "--json") != NULL, &err);
    }
    if (st == NN_OK) st = guard_buf_status(&out, &err);
    if (st == NN_OK) fwrite(out.bytes, 1, out.len, stdout);
    guard_buf_free(&out);
    return cmd_end("lineage", st, 0, &err);
}

const cmd_verb cmd_lineage = {"lineage", "ID",
                              "Follows a row back to its seeds: parents, operations, measurements, decisions.",
                              lineage_flags, lineage_main};
