/* bench_adapt.c - memory and time of training a model of the shape of SmolLM2-135M: all weights, or adapters beside them.
 *
 * Each case is a process of its own, because a process's peak only grows: random weights (what they are costs nothing
 * more or less), two steps of next-token training on 4 x 256 tokens, then the peak of its resident memory, what
 * nn_trainer_bytes said, and the seconds of the second step. Adapters: rank 8 beside all seven matrices.
 */
#include "bench/bench.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "nn/trainer.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LENGTH = 256, SEGMENTS = 4, ROWS = LENGTH * SEGMENTS };

static const char about[] = "Peak memory (MB) and seconds a step of training a 135M model, all of it or adapters.\n"
                            "Case names: all, all recompute, lora f32, lora f32 recompute, lora bf16 recompute.\n";

typedef struct {
    const char *name;
    bool lora, stored, recompute;
} adapt_case;

static const adapt_case cases[] = {
    {"all", false, false, false},
    {"all recompute", false, false, true},
    {"lora f32", true, false, false},
    {"lora f32 recompute", true, false, true},
    {"lora bf16", true, true, false},
    {"lora bf16 recompute", true, true, true},
};

typedef struct {
    double peak_mb, trainer_mb, step_s;
} adapt_result;

/* SmolLM2-135M's config.json. */
static nn_config shape(void)
{
    nn_config c = nn_config_default();

    c.vocab = 49152;
    c.layers = 30;
    c.width = 576;
    c.heads = 9;
    c.kv_heads = 3;
    c.head_dim = 64;
    c.ff = 1536;
    c.max_t = LENGTH;
    c.rope_theta = 100000.0f;
    c.norm_eps = 1e-5f;
    c.qk_norm = false;
    return c;
}

static float next_weight(uint64_t *h)
{
    *h = *h * 6364136223846793005u + 1442695040888963407u;
    return ((float)(*h >> 40) / 8388608.0f - 1.0f) * 0.03f;
}

/* Bytes of a stored matrix are as long-lived as the process. */
static nn_status fill(nn_model *m, nn_err *err)
{
    uint64_t h = 1;
    nn_status st = NN_OK;

    for (size_t i = 0; i < nn_model_tensors(m) && st == NN_OK; i++) {
        const nn_tensor t = nn_model_tensor(m, i);
        unsigned char *bytes = NULL;

        for (size_t j = 0; t.data && t.rows > 1 && j < t.rows * t.cols; j++) t.data[j] = next_weight(&h);
        if (t.data) continue;
        if ((st = nn_alloc((void **)&bytes, t.rows, nn_dtype_bytes(NN_BF16, t.cols), err)) != NN_OK) return st;
        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const float w = next_weight(&h);
            nn_dtype_from_f32(bytes + 2 * j, NN_BF16, &w, 1);
        }
        st = nn_model_place_stored(m, i, NN_BF16, bytes, err);
    }
    return st;
}

static void two_steps(nn_trainer *t, const nn_exec *x, const nn_config *c, adapt_result *out)
{
    static int32_t ids[ROWS], next[ROWS];
    static float weight[ROWS];
    size_t start[SEGMENTS + 1];
    const nn_adamw o = nn_adamw_default();
    nn_rng rng = nn_rng_at(1, "bench", 0);

    for (size_t r = 0; r < ROWS; r++) {
        ids[r] = (int32_t)nn_rng_below(&rng, c->vocab);
        next[r] = (int32_t)nn_rng_below(&rng, c->vocab);
        weight[r] = 1.0f / ROWS;
    }
    for (size_t s = 0; s <= SEGMENTS; s++) start[s] = s * LENGTH;
    const nn_batch b = {.ids = ids, .seg = {start, SEGMENTS}};
    const nn_targets y = {.next = next, .next_weight = weight};
    for (int i = 0; i < 2; i++) {
        const double from = bench_now_s();

        nn_trainer_fwd_bwd(t, x, &b, &y);
        nn_trainer_step(t, x, &o);
        out->step_s = bench_now_s() - from;
    }
}

static nn_status measure(const adapt_case *k, size_t threads, adapt_result *out, nn_err *err)
{
    const nn_config c = shape();
    const nn_lora_options lo = nn_lora_default();
    nn_trainer_options o = {.max_rows = ROWS, .max_seg = SEGMENTS, .recompute = k->recompute};
    nn_model *m = NULL;
    nn_trainer *t = NULL;
    nn_exec x;
    nn_status st;

    if ((st = nn_exec_open(&x, NULL, threads, LENGTH, err)) != NN_OK) return st;
    if ((st = (k->stored ? nn_model_build_stored : nn_model_build)(&m, &c, err)) != NN_OK) goto done;
    if ((st = fill(m, err)) != NN_OK) goto done;
    if (k->lora && (st = nn_lora_build(&o.lora, &c, &lo, err)) != NN_OK) goto done;
    if ((st = nn_trainer_build(&t, m, o, err)) != NN_OK) goto done;
    two_steps(t, &x, &c, out);
    out->trainer_mb = (double)nn_trainer_bytes(&c, o) * 1e-6;
    out->peak_mb = (double)nn_peak_rss_bytes() * 1e-6;
done:
    nn_trainer_free(t);
    nn_lora_free(o.lora);
    nn_model_free(m);
    nn_exec_free(&x);
    return st;
}

/* In a process of its own; false when it failed. */
static bool apart(const adapt_case *k, size_t threads, adapt_result *out)
{
    nn_err err = {NN_OK, ""};
    int end[2], status = 0;

    if (pipe(end) != 0) return false;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        const nn_status st = measure(k, threads, out, &err);

        if (st != NN_OK) fprintf(stderr, "bench_adapt: %s: %s\n", k->name, err.text);
        const bool told = st == NN_OK && write(end[1], out, sizeof *out) == (ssize_t)sizeof *out;
        _exit(told ? 0 : 5);
    }
    close(end[1]);
    const bool got = pid > 0 && read(end[0], out, sizeof *out) == (ssize_t)sizeof *out;
    close(end[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && got && status == 0;
}

int main(int argc, char **argv)
{
    static bench b;
    char text[2 * BENCH_NAME];

    bench_begin(&b, &(bench_subject){"adapt", about, 1, LENGTH, false, 0.0}, argc, argv);
    printf("# Case; peak of resident memory, of it the trainer's (MB); seconds of a step of %d tokens\n", ROWS);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapt_result r = {0.0, 0.0, 0.0};

        if ((b.only && strcmp(b.only, cases[i].name) != 0) || (b.quick && !b.only && i != 5)) continue;
        if (!apart(&cases[i], b.threads, &r)) return 5;
        printf("%-20s %7.0f MB  %7.0f MB  %6.2f s\n", cases[i].name, r.peak_mb, r.trainer_mb, r.step_s);
        fflush(stdout);
        bench_note(&b, cases[i].name, "MB", r.peak_mb, "", 0.0, 0.0);
        snprintf(text, sizeof text, "%s step", cases[i].name);
        bench_note(&b, text, "s", r.step_s, "", 0.0, 0.0);
    }
    return bench_end(&b);
}
