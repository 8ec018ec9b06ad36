/* Tests of guard/run.h: a run that was stopped, killed or starved goes on to the same bytes. */
#include "guard/run.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_run_support.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

Test(resume, after_any_stage_gives_the_same_bytes)
{
    char dir[512], id[65];

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    for (size_t n = 1; n <= 4; n++) {
        nn_err err = {NN_OK, ""};

        new_folder(dir);
        expect_ok(fake_run(dir, (fake_options){false, false, n, 0}, &err), &err);
        expect_ok(fake_run(dir, fake_resume, &err), &err);
        expect_same_run(dir, id);
    }
}

Test(resume, stopped_training_goes_on_from_its_checkpoint_to_the_same_bytes)
{
    char dir[512], id[65];

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    for (size_t step = 1; step < FAKE_STEPS; step += 4) {
        nn_err err = {NN_OK, ""};

        new_folder(dir);
        cr_expect(fake_run(dir, (fake_options){false, false, 0, step}, &err) == NN_STOP);
        err.status = NN_OK;
        expect_ok(fake_run(dir, (fake_options){true, step % 3 == 0, 0, 0}, &err), &err); /* some start training anew */
        expect_same_run(dir, id);
    }
}

Test(resume, files_beside_the_checkpoint_count_and_go_with_it)
{
    const char *dir = temp_dir();
    const guard_run_options o = {dir, 1, true, "a.lua", NULL, 0};
    nn_err err = {NN_OK, ""};
    guard_run *r = NULL;
    guard_stage s;
    guard_job job;
    char beside[600];
    uint64_t mark = 0;

    for (int pass = 0; pass < 2; pass++) {
        memset(&job, 0, sizeof job);
        expect_ok(guard_run_open(&r, &o, &err), &err);
        expect_ok(guard_run_stage_begin(r, &s, "adversary", "{}", NULL, 0, &err), &err);
        guard_run_job(r, &s, &job);
        snprintf(beside, sizeof beside, "%s.generator", job.checkpoint);
        if (pass == 1) expect_ok(job.metrics_rewind(job.ctx, mark, &err), &err);
        expect_ok(guard_job_metric(&job, 1, "reward", 0.5, &err), &err);
        mark = job.metrics_mark(job.ctx);
        if (pass == 0) write_text(beside, "state");
        else expect_ok(guard_run_stage_end(r, &s, NULL, 0, NULL, 0, &err), &err);
        guard_run_close(r);
    }
    cr_expect(!nn_path_exists(beside));
    cr_expect(nn_dir_empty(path_in(dir, "checkpoint")));
}

Test(resume, torn_ledger_metrics_and_leftovers_are_mended)
{
    nn_err err = {NN_OK, ""};
    char dir[512], id[65];

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    new_folder(dir);
    cr_expect(fake_run(dir, (fake_options){false, false, 0, 12}, &err) == NN_STOP);
    err.status = NN_OK;
    expect_ok(nn_file_append(path_in(dir, "metrics.jsonl"), "{\"stage\":\"03_train\",\"st", 23, &err), &err);
    expect_ok(nn_file_append(path_in(dir, "ledger.jsonl"), "{\"n\":5,\"kind\":\"st", 17, &err), &err);
    write_text(path_in(dir, "models/03_train.bin.tmp4242"), "half");
    write_text(path_in(dir, "checkpoint/02_curate.0000000000000000"), "old");
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    expect_same_run(dir, id);
}

Test(resume, rules_without_their_stage_are_taken_back)
{
    nn_err err = {NN_OK, ""};
    char dir[512], id[65];

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    char *ledger = read_bytes(path_in(dir, "ledger.jsonl"), NULL);
    new_folder(dir);
    expect_ok(fake_run(dir, (fake_options){false, false, 1, 0}, &err), &err);
    const char *second = strchr(ledger, '\n') + 1;
    const size_t two = (size_t)(strchr(strchr(second, '\n') + 1, '\n') + 1 - second); /* both rules of stage 2 */
    expect_ok(nn_file_append(path_in(dir, "ledger.jsonl"), second, two, &err), &err);
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    expect_same_run(dir, id);
    free(ledger);
}

Test(resume, checkpoint_that_outran_its_metrics_is_refused)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    cr_expect(fake_run(dir, (fake_options){false, false, 0, 12}, &err) == NN_STOP);
    err.status = NN_OK;
    expect_ok(nn_file_truncate(path_in(dir, "metrics.jsonl"), 100, &err), &err);
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "checkpoint wants ");
}

Test(resume, truncated_or_altered_ledger_is_refused_at_resume)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    expect_ok(fake_run(dir, (fake_options){false, false, 3, 0}, &err), &err);
    flip_bit(path_in(dir, "ledger.jsonl"), 60);
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "ledger.jsonl: entry ");
    flip_bit(path_in(dir, "ledger.jsonl"), 60);
    replace_text(path_in(dir, "ledger.jsonl"), "\"tokens\":1000",
                 "\"tokens\":1001"); /* of the last entry: only run.json knows */
    err.status = NN_OK;
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "ledger.jsonl: entry 5: has hash ");
    replace_text(path_in(dir, "ledger.jsonl"), "\"tokens\":1001", "\"tokens\":1000");
    err.status = NN_OK;
    expect_ok(nn_file_truncate(path_in(dir, "ledger.jsonl"), 700, &err), &err);
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "entries, want 5 as in run.json");
}

Test(resume, changed_run_json_is_refused_at_resume)
{
    nn_err err = {NN_OK, ""};
    char dir[512];

    new_folder(dir);
    expect_ok(fake_run(dir, (fake_options){false, false, 1, 0}, &err), &err);
    replace_text(path_in(dir, "run.json"), "\"seed\":\"7\"", "\"seed\":\"8\"");
    expect_fails(fake_run(dir, fake_resume, &err), NN_FILE, &err, "run.json: altered");
}

/* Sleeps that long, then kills; true when the child had ended well before. */
static bool kill_after(pid_t child, long microseconds)
{
    struct timespec t = {0, 0};
    int status = 0;

    t.tv_sec = microseconds / 1000000;
    t.tv_nsec = microseconds % 1000000 * 1000;
    nanosleep(&t, NULL);
    kill(child, SIGKILL);
    cr_assert(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) cr_assert(WEXITSTATUS(status) == 0, "the resumed run failed with %d", WEXITSTATUS(status));
    return WIFEXITED(status);
}

Test(resume, twenty_kills_at_random_moments_give_the_same_bytes)
{
    char dir[512], id[65];
    nn_rng rng = nn_rng_at(1, "kill", 0);
    size_t kills = 0, runs = 0;

    new_folder(dir);
    const double began = nn_now_s();
    fake_run_ok(dir);
    const double whole = 1e6 * (nn_now_s() - began); /* microseconds */
    identity_of(id, dir);
    new_folder(dir);
    while (kills < 20 || runs == 0) {
        const pid_t child = fork();

        cr_assert(child >= 0);
        if (child == 0) {
            nn_err err = {NN_OK, ""};
            const nn_status st = fake_run(dir, fake_resume, &err);
            if (st != NN_OK) fprintf(stderr, "%s\n", err.text);
            _exit((int)st);
        }
        const bool ended = kill_after(child, (long)(nn_rng_double(&rng) * 0.6 * whole));
        kills += !ended;
        if (!ended) continue;
        expect_same_run(dir, id);
        runs++;
        new_folder(dir);
    }
    nn_err err = {NN_OK, ""};
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    expect_same_run(dir, id);
}

/* --- when something runs out -------------------------------------------------------------- */

Test(resume, full_disk_is_a_limit_and_leaves_a_folder_that_goes_on)
{
    struct rlimit was, low;
    nn_err err = {NN_OK, ""};
    char dir[512], id[65];
    size_t failed = 0;

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    signal(SIGXFSZ, SIG_IGN); /* a write over the limit then fails like one on a full disk */
    cr_assert(getrlimit(RLIMIT_FSIZE, &was) == 0);
    new_folder(dir);
    for (rlim_t bytes = 64; bytes < 8192; bytes += 300) {
        low = was;
        low.rlim_cur = bytes;
        cr_assert(setrlimit(RLIMIT_FSIZE, &low) == 0);
        err = (nn_err){NN_OK, ""};
        const nn_status st = fake_run(dir, fake_resume, &err);
        cr_assert(setrlimit(RLIMIT_FSIZE, &was) == 0);
        if (st == NN_OK) break;
        cr_expect(st == NN_LIMIT, "status %d: %s", (int)st, err.text);
        cr_expect(strstr(err.text, dir) != NULL, "%s", err.text);
        failed++;
    }
    cr_expect(failed > 5, "%zu", failed);
    err = (nn_err){NN_OK, ""};
    expect_ok(fake_run(dir, fake_resume, &err), &err);
    expect_same_run(dir, id);
}

Test(resume, every_allocation_may_fail_and_the_run_still_goes_on)
{
    char dir[512], id[65];
    nn_status st = NN_LIMIT;

    new_folder(dir);
    fake_run_ok(dir);
    identity_of(id, dir);
    new_folder(dir);
    for (long n = 0; st != NN_OK && n < 5000; n += n < 400 ? 1 : 7) {
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = fake_run(dir, fake_resume, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld: status %d: %s", n, (int)st, err.text);
        cr_assert(st == NN_OK || err.text[0], "allocation %ld: no message", n);
    }
    cr_expect(st == NN_OK);
    expect_same_run(dir, id);
}
