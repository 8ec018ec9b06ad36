/* cmd_eval.c - parapet eval: a guard against files of any importer, as a table or JSON. */
#include "guard/cmd.h"
#include "guard/dataset.h"
#include "guard/evaluate.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag eval_flags[] = {
    {"--model", "FILE", "data/guard.gguf", "guard to use"},
    {"--fpr", "RATE", "0.05", "use the threshold stored for this false-positive rate"},
    {"--format", "NAME", "guessed", "jsonl, toxicchat, openai_moderation, wildguard, harmbench, xstest"},
    {"--task", "NAME", "prompt", "wildguard: prompt or response"},
    {"--functional", "LIST", "all", "harmbench: standard, contextual, copyright"},
    {"--part", "NAME", "both", "wide or decoder: score with one part alone, at threshold 0.5"},
    {"--bootstrap", "N", "1000", "resamples for the intervals"},
    {"--threads", "N", "all", "threads; they change no number"},
    {"--kernels", "NAME", "best", "kernel table: base, avx2, neon; it changes no number"},
    {"--json", NULL, NULL, "one JSON object a file"},
    {NULL, NULL, NULL, NULL}};

typedef struct {
    guard_classifier *g;
    nn_exec exec;
    guard_import import;
    double fpr;
    size_t bootstrap;
    bool json;
} evaluator;

static nn_status open_evaluator(evaluator *e, const cmd_line *line, nn_err *err)
{
    char path[1024];
    uint64_t bootstrap, threads;
    const char *part = cmd_given(line, "--part");
    nn_status st = cmd_number(line, "--bootstrap", 0, 100000, 1000, &bootstrap, err);
    if (st == NN_OK) st = cmd_number(line, "--threads", 1, NN_PAR_MAX, 0, &threads, err);
    if (st == NN_OK) st = cmd_real(line, "--fpr", 0.0001, 0.5, 0.05, &e->fpr, err);
    if (st == NN_OK) st = cmd_model_path(cmd_given(line, "--model"), path, sizeof path, err);
    if (st == NN_OK) st = guard_classifier_open(&e->g, path, err);
    if (st == NN_OK) st = nn_exec_open(&e->exec, cmd_given(line, "--kernels"), (size_t)threads, 4096, err);
    if (st == NN_OK && part != NULL) {
        guard_classifier *only = NULL;
        st = guard_classifier_only(&only, e->g, part, err);
        if (st == NN_OK) {
            guard_classifier_close(e->g);
            e->g = only;
        }
    }
    e->import.format = cmd_given(line, "--format");
    e->import.task = cmd_given(line, "--task");
    e->import.functional = cmd_given(line, "--functional");
    e->bootstrap = (size_t)bootstrap;
    e->json = cmd_given(line, "--json") != NULL;
    return st;
}

static nn_status eval_file(evaluator *e, const char *path, guard_result *r, nn_err *err)
{
    guard_corpus *c = NULL;
    guard_import_report report;
    guard_buf b = {0};
    guard_job job = {0};
    const char *slash = strrchr(path, '/');
    job.exec = &e->exec;
    job.seed = 1;
    job.stream = "eval";
    nn_status st = guard_dataset_read(&c, &report, path, &e->import, err);
    if (st == NN_OK)
        st = guard_evaluate(r, e->g, guard_classifier_name(e->g), c, slash != NULL ? slash + 1 : path, e->fpr,
                            e->bootstrap, &job, err);
    if (st == NN_OK)
        fprintf(stderr, "%s: %s, %zu rows (%zu unsafe, %zu safe), %zu skipped; %s\n", path, report.format, report.rows,
                report.unsafe, report.safe, report.skipped, report.rule);
    if (st == NN_OK && e->json) {
        guard_result_json(&b, r);
        guard_buf_str(&b, "\n");
        st = guard_buf_status(&b, err);
        if (st == NN_OK) fwrite(b.bytes, 1, b.len, stdout);
    }
    guard_buf_free(&b);
    guard_corpus_free(c);
    return st;
}

static nn_status eval_all(const cmd_line *line, nn_err *err)
{
    evaluator e = {0};
    guard_result *r = NULL;
    guard_buf b = {0};
    if (line->n_word == 0) return nn_fail(err, NN_USAGE, "no file, want one or more");
    nn_status st = open_evaluator(&e, line, err);
    if (st == NN_OK) st = nn_alloc((void **)&r, line->n_word, sizeof *r, err);
    for (size_t i = 0; st == NN_OK && i < line->n_word; i++) {
        if (nn_stop_signal() != 0) st = nn_fail(err, NN_STOP, "stopped after %zu of %zu files", i, line->n_word);
        else st = eval_file(&e, line->word[i], &r[i], err);
    }
    if (st == NN_OK && !e.json) {
        guard_result_table(&b, r, line->n_word);
        st = guard_buf_status(&b, err);
        if (st == NN_OK) fwrite(b.bytes, 1, b.len, stdout);
    }
    guard_buf_free(&b);
    nn_free(r);
    nn_exec_free(&e.exec);
    guard_classifier_close(e.g);
    return st;
}

static int eval_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_eval, argc, argv, &err);
    if (st == NN_OK) st = eval_all(&line, &err);
    return cmd_end("eval", st, 0, &err);
}

const cmd_verb cmd_eval = {"eval", "FILE...", "Measures a guard on labelled files: our JSONL or a benchmark's own.",
                           eval_flags, eval_main};
