#include "tests/test_run_support.h"
#include "guard/dataset.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const fake_options fake_resume = {true, false, 0, 0};

static const char script[] = "-- a script\nreturn 1\n";
static const char rows[] = "{\"id\":\"aaaa000000000001\",\"text\":\"how to kill a "
                           "process\",\"label\":0,\"source\":\"seeds\",\"concept\":\"process\"}\n"
                           "{\"id\":\"bbbb000000000002\",\"text\":\"a request that is "
                           "refused\",\"label\":1,\"source\":\"seeds\",\"category\":[\"fraud\"]}\n";
static const char more[] =
    "{\"id\":\"aaaa100000000003\",\"text\":\"HOW TO KILL A PROCESS\",\"label\":0,\"source\":\"augment\","
    "\"parent\":[\"aaaa000000000001\",\"bbbb000000000002\"],\"ops\":[\"style:upper\"]}\n";

static nn_status add_lines(guard_corpus *c, const char *lines, nn_err *err)
{
    nn_status st = NN_OK;

    while (*lines && st == NN_OK) {
        const size_t len = strcspn(lines, "\n");

        st = guard_dataset_line(c, lines, len, "test rows", err);
        lines += len + 1;
    }
    return st;
}

static nn_status save_corpus(guard_run *r, guard_stage *s, const guard_corpus *c, char sha256[65], nn_err *err)
{
    char path[512];
    const char *output[1] = {path};
    nn_status st = NN_OK;

    guard_run_path(r, s, "corpus", ".jsonl", path, sizeof path);
    if ((st = guard_corpus_write(c, path, sha256, err)) != NN_OK) return st;
    return guard_run_stage_end(r, s, output, 1, NULL, 0, err);
}

static nn_status stage_load(guard_run *r, char out[65], nn_err *err)
{
    guard_corpus *c = NULL;
    guard_stage s;
    char input[65], path[512];
    const char *in[1] = {input};
    nn_status st = NN_OK;

    nn_sha256_hex(rows, sizeof rows - 1, input);
    if ((st = guard_run_input(r, "../data/seeds.jsonl", input, err)) != NN_OK) return st;
    if ((st = guard_run_stage_begin(r, &s, "load", "{\"path\":\"seeds.jsonl\"}", in, 1, err)) != NN_OK) return st;
    if (s.finished) return guard_run_stage_output(r, &s, 0, path, sizeof path, out, err);
    if ((st = guard_corpus_build(&c, err)) == NN_OK) st = add_lines(c, rows, err);
    if (st == NN_OK) st = save_corpus(r, &s, c, out, err);
    guard_corpus_free(c);
    return st;
}

static nn_status add_columns(guard_corpus *c, nn_err *err)
{
    guard_column *loss = NULL, *kept = NULL, *reason = NULL;
    nn_status st = NN_OK;

    if ((st = guard_corpus_column(c, "loss", "02_curate", GUARD_COL_NUM, &loss, err)) != NN_OK) return st;
    for (size_t i = 0; i < c->n; i++) loss->num[i] = 0.25 * (double)(i + 1);
    if ((st = guard_corpus_column(c, "kept", "02_curate", GUARD_COL_BOOL, &kept, err)) != NN_OK) return st;
    for (size_t i = 0; i < c->n; i++) kept->num[i] = i != 2;
    if ((st = guard_corpus_column(c, "reason", "02_curate", GUARD_COL_STR, &reason, err)) != NN_OK) return st;
    return guard_corpus_set_str(c, reason, 2, "loss over 0.7", 13, err);
}

static nn_status stage_curate(guard_run *r, const char *in_hash, char out[65], nn_err *err)
{
    guard_corpus *c = NULL;
    guard_stage s;
    char path[512];
    nn_status st = NN_OK;

    if ((st = guard_run_stage_begin(r, &s, "curate", "{\"folds\":5}", &in_hash, 1, err)) != NN_OK) return st;
    if (s.finished) return guard_run_stage_output(r, &s, 0, path, sizeof path, out, err);
    if ((st = guard_run_rule(r, &s, "keep", 2, 1, err)) != NN_OK) return st;
    if ((st = guard_run_rule(r, &s, "hard", 1, 2, err)) != NN_OK) return st;
    if ((st = guard_corpus_build(&c, err)) == NN_OK) st = add_lines(c, rows, err);
    if (st == NN_OK) st = add_lines(c, more, err);
    if (st == NN_OK) st = add_columns(c, err);
    if (st == NN_OK) st = save_corpus(r, &s, c, out, err);
    guard_corpus_free(c);
    return st;
}

/* Checkpoint: "step mark hash\n". */
static nn_status train_from(guard_job *job, size_t *step, char state[65], nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    unsigned long long mark = 0;
    nn_status st = NN_OK;

    if (!nn_path_exists(job->checkpoint)) return NN_OK;
    if ((st = nn_file_read(&file, job->checkpoint, 4096, err)) != NN_OK) return st;
    char text[200] = "";
    memcpy(text, file.bytes, file.len < sizeof text - 1 ? file.len : sizeof text - 1);
    nn_file_close(&file);
    if (sscanf(text, "%zu %llu %64s", step, &mark, state) != 3)
        return nn_fail(err, NN_FILE, "%s: not a checkpoint", job->checkpoint);
    return job->metrics_rewind(job->ctx, mark, err);
}

static nn_status train_step(guard_job *job, size_t step, char state[65], nn_err *err)
{
    char text[200];
    nn_status st = NN_OK;

    snprintf(text, sizeof text, "%s after %zu", state, step);
    nn_sha256_hex(text, strlen(text), state);
    if ((st = guard_job_metric(job, step, "loss", 1.0 / (double)(step + 1), err)) != NN_OK) return st;
    if ((st = guard_job_metric(job, step, "norm", (double)step / 3.0, err)) != NN_OK) return st;
    if (step % 5 != 4) return NN_OK;
    snprintf(text, sizeof text, "%zu %llu %s\n", step + 1, (unsigned long long)job->metrics_mark(job->ctx), state);
    return nn_file_write(job->checkpoint, text, strlen(text), err);
}

static nn_status stage_train(guard_run *r, const char *in_hash, fake_options o, nn_err *err)
{
    guard_stage s;
    guard_job job;
    char path[512], state[65] = "seed";
    const char *output[1] = {path};
    size_t step = 0;
    nn_status st = NN_OK;

    memset(&job, 0, sizeof job);
    if ((st = guard_run_stage_begin(r, &s, "train", "{\"steps\":30}", &in_hash, 1, err)) != NN_OK) return st;
    if (s.finished) return guard_run_stage_output(r, &s, 0, path, sizeof path, state, err);
    guard_run_job(r, &s, &job);
    if (!o.ignore_checkpoint && (st = train_from(&job, &step, state, err)) != NN_OK) return st;
    for (; step < FAKE_STEPS; step++) {
        if (o.stop_at_step && step == o.stop_at_step) return nn_fail(err, NN_STOP, "stopped at step %zu", step);
        if ((st = train_step(&job, step, state, err)) != NN_OK) return st;
    }
    guard_run_path(r, &s, "models", ".bin", path, sizeof path);
    if ((st = nn_file_write(path, state, strlen(state), err)) != NN_OK) return st;
    if ((st = guard_run_timing(r, &s, 0.5, 1000, err)) != NN_OK) return st;
    return guard_run_stage_end(r, &s, output, 1, "{\"threshold\":0.5}", 1000, err);
}

static nn_status stage_report(guard_run *r, nn_err *err)
{
    static const char *const output[2] = {"report.html", "report.json"};
    guard_stage s;
    nn_status st = NN_OK;

    if ((st = guard_run_stage_begin(r, &s, "report", "{}", NULL, 0, err)) != NN_OK || s.finished) return st;
    for (size_t i = 0; i < 2 && st == NN_OK; i++) {
        char path[512];

        snprintf(path, sizeof path, "%s/%s", guard_run_dir(r), output[i]);
        st = nn_file_write(path, output[i], strlen(output[i]), err);
    }
    return st == NN_OK ? guard_run_stage_end(r, &s, output, 2, NULL, 0, err) : st;
}

nn_status fake_run(const char *dir, fake_options o, nn_err *err)
{
    static const char *const set[2] = {"data=../shared/data", "size=small"};
    const guard_run_options open = {dir, 7, o.resume, "scripts/quick.lua", set, 2};
    guard_run *r = NULL;
    char loaded[65], curated[65];
    nn_status st = NN_OK;

    if ((st = guard_run_open(&r, &open, err)) != NN_OK) return st;
    if ((st = guard_run_script(r, "quick.lua", script, sizeof script - 1, err)) != NN_OK) goto done;
    if ((st = guard_run_script(r, "lib/a.lua", "return 2\n", 9, err)) != NN_OK) goto done;
    if ((st = stage_load(r, loaded, err)) != NN_OK || o.stop_after == 1) goto done;
    if ((st = stage_curate(r, loaded, curated, err)) != NN_OK || o.stop_after == 2) goto done;
    if ((st = stage_train(r, curated, o, err)) != NN_OK || o.stop_after == 3) goto done;
    if ((st = stage_report(r, err)) != NN_OK || o.stop_after == 4) goto done;
    st = guard_run_finish(r, err);
done:
    guard_run_close(r);
    return st;
}

void fake_run_ok(const char *dir)
{
    nn_err err = {NN_OK, ""};

    expect_ok(fake_run(dir, (fake_options){false, false, 0, 0}, &err), &err);
}

void identity_of(char sha256[65], const char *dir)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_run_identity(sha256, dir, &err), &err);
}

void new_folder(char out[512])
{
    snprintf(out, 512, "%s/run", temp_dir());
}

void expect_same_run(const char *dir, const char *identity)
{
    char got[65];

    identity_of(got, dir);
    cr_expect_str_eq(got, identity);
}

void flip_bit(const char *path, long at)
{
    size_t len = 0;
    char *bytes = read_bytes(path, &len);
    const size_t i = at >= 0 ? (size_t)at : len - (size_t)-at;

    cr_assert(i < len);
    bytes[i] = (char)(bytes[i] ^ 1);
    write_bytes(path, bytes, len);
    free(bytes);
}

void replace_text(const char *path, const char *from, const char *to)
{
    size_t len = 0;
    char *bytes = read_bytes(path, &len);
    char *at = strstr(bytes, from);

    cr_assert(at != NULL, "%s lacks %s", path, from);
    const size_t head = (size_t)(at - bytes), room = len + strlen(to) + 1;
    char *made = malloc(room);
    cr_assert(made != NULL);
    memcpy(made, bytes, head);
    strcpy(made + head, to);
    memcpy(made + head + strlen(to), at + strlen(from), len - head - strlen(from));
    write_bytes(path, made, len - strlen(from) + strlen(to));
    free(made);
    free(bytes);
}
