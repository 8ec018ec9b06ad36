/* bench_par.c - what threads are worth: a training step alone, with threads, and with another job on one core.
 *
 * Prints the microseconds of an empty region (what opening one costs) and, for a training step of a decoder of one
 * million parameters, the median milliseconds in one thread and in THREADS, on the machine as it is and beside a
 * process that only spins, with the median of the rounds' ratios to one thread. All four are measured in turn in
 * every round: machines drift.
 */
#define _POSIX_C_SOURCE 200809L
#include "bench/bench.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "nn/trainer.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEGMENTS = 8, LENGTH = 64, ROWS = SEGMENTS * LENGTH, STEPS = 3, CASES = 4, EMPTY = 2000 };

static const char about[] =
    "Milliseconds of a training step: one thread, N threads, each also beside a process that spins.\n";

typedef struct {
    nn_model *m;
    nn_trainer *t;
    int32_t ids[ROWS], next[ROWS];
    float weight[ROWS];
    size_t start[SEGMENTS + 1];
} lesson;

static nn_status lesson_build(lesson *l, nn_err *err)
{
    nn_config c = nn_config_default();
    nn_rng rng = nn_rng_at(1, "bench", 0);
    nn_status st;

    c.vocab = 2000;
    c.layers = 4;
    c.width = 128;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 32;
    c.ff = 352;
    c.max_t = LENGTH;
    c.lm_head = c.tied = true;
    if ((st = nn_model_build(&l->m, &c, err)) != NN_OK) return st;
    nn_model_init(l->m, 1);
    for (size_t r = 0; r < ROWS; r++) {
        l->ids[r] = (int32_t)nn_rng_below(&rng, c.vocab);
        l->next[r] = (int32_t)nn_rng_below(&rng, c.vocab);
        l->weight[r] = 1.0f / ROWS;
    }
    for (size_t s = 0; s <= SEGMENTS; s++) l->start[s] = s * LENGTH;
    return nn_trainer_build(&l->t, l->m, (nn_trainer_options){.max_rows = ROWS, .max_seg = SEGMENTS}, err);
}

/* Milliseconds of one training step, from STEPS in a row. */
static double step_ms(lesson *l, const nn_exec *x)
{
    const nn_batch b = {.ids = l->ids, .seg = {l->start, SEGMENTS}};
    const nn_targets y = {.next = l->next, .next_weight = l->weight};
    const nn_adamw o = nn_adamw_default();
    const double start = nn_now_s();

    for (size_t i = 0; i < STEPS; i++) {
        nn_trainer_fwd(l->t, x, &b, &y);
        nn_trainer_bwd(l->t, x);
        nn_trainer_step(l->t, x, &o);
    }
    return (nn_now_s() - start) / STEPS * 1e3;
}

static void nothing(void *ctx, size_t first, size_t last, size_t thread)
{
    (void)ctx, (void)first, (void)last, (void)thread;
}

static double empty_us(const nn_exec *x)
{
    const double start = nn_now_s();

    for (size_t i = 0; i < EMPTY; i++) nn_par_run(&x->par, x->par.threads, 1, nothing, NULL);
    return (nn_now_s() - start) / EMPTY * 1e6;
}

/* A process that takes a core. */
static pid_t spinner_start(void)
{
    const pid_t pid = fork();

    if (pid != 0) return pid;
    for (volatile unsigned i = 0;; i++) continue;
}

static void spinner_stop(pid_t pid)
{
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void measure(bench *b, lesson *l, const nn_exec *one, const nn_exec *many)
{
    const size_t rounds = b->rounds;
    static const char *const name[CASES] = {"1 thread", "threads", "1 thread, busy core", "threads, busy core"};
    double ms[CASES][BENCH_MAX_ROUNDS], ratio[CASES][BENCH_MAX_ROUNDS], empty[BENCH_MAX_ROUNDS];

    step_ms(l, many); /* caches and pages */
    for (size_t r = 0; r < rounds; r++) {
        empty[r] = empty_us(many);
        for (size_t i = 0; i < CASES; i++) {
            const pid_t pid = i < 2 ? 0 : spinner_start();

            ms[i][r] = step_ms(l, i % 2 ? many : one);
            spinner_stop(pid);
        }
        for (size_t i = 0; i < CASES; i++) ratio[i][r] = ms[i][r] / ms[0][r];
    }
    const double region = bench_median(empty, rounds);
    printf("empty region of %zu threads %9.2f us\n", many->par.threads, region);
    bench_note(b, "empty region", "us", region, "", 0.0, 0.0);
    for (size_t i = 0; i < CASES; i++) {
        const double time = bench_median(ms[i], rounds); /* sorts: least and most stand at the ends */
        const double share = bench_median(ratio[i], rounds);

        printf("%-20s %9.2f ms (%.2f to %.2f), %.2f of 1 thread\n", name[i], time, ms[i][0], ms[i][rounds - 1],
               share);
        bench_note(b, name[i], "ms", time, "1 thread", time / share, 1.0 / share);
    }
}

int main(int argc, char **argv)
{
    lesson *l = calloc(1, sizeof *l);
    nn_exec one = {0};
    nn_err err = {NN_OK, ""};
    bench b;
    int status = 1;

    bench_begin(&b, &(bench_subject){"par", about, 15, LENGTH, false, 0.0}, argc, argv);
    if (!l || lesson_build(l, &err) != NN_OK || nn_exec_open(&one, NULL, 1, LENGTH, &err) != NN_OK) {
        fprintf(stderr, "bench_par: %s\n", l ? err.text : "no memory");
        goto done;
    }
    printf("%zu weights, %d rows a step, rounds of %d steps\n", nn_config_params(nn_model_config(l->m)), ROWS, STEPS);
    measure(&b, l, &one, &b.x);
    status = bench_end(&b);
done:
    nn_exec_free(&one);
    if (l) nn_trainer_free(l->t);
    if (l) nn_model_free(l->m);
    free(l);
    return status;
}
