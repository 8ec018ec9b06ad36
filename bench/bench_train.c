/* bench_train.c - training steps beside PyTorch's, some of ours and some of its in turn.
 *
 * A step: forward, next-token loss at every position, backward, clip, AdamW. Operations are counted as six for each
 * weight that a token is multiplied by (twice forward, four times backward) and three times the forward of causal
 * attention; the share is of the peak of fused multiply-adds measured beside each case. The last columns are a step
 * that trains a class only. PyTorch (peer_train.py) is a process that waits while we run, with the OpenMP variant of
 * OpenBLAS in front and a malloc that keeps its pages (15% faster than its default here); it is asked for one step at
 * a time.
 */
#include "bench/bench.h"
#include "bench/peak.h"
#include "bench/peer_process.h"
#include "bench/shapes.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "nn/trainer.h"
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 128, MOST_SEGMENTS = 32, MOST_ROWS = LENGTH * MOST_SEGMENTS, TRAINED = 3 };

#define TURN_S 0.8 /* PyTorch's steps after a rest are a third slower than those that follow each other */

static const char about[] = "Tokens per second of training steps, ours beside PyTorch's; ratio > 1: ours is faster.\n"
                            "Case names: 10m 8x128, 10m 32x128. PYTHON=path, PEER=folder of peer_train.py (bench).\n";
static const size_t batches[] = {8, 32};

typedef struct {
    bench b;
    int32_t ids[MOST_ROWS], next[MOST_ROWS];
    float next_weight[MOST_ROWS], label[MOST_SEGMENTS], label_weight[MOST_SEGMENTS];
    size_t start[MOST_SEGMENTS + 1];
    bool no_peer;
} program;

typedef struct {
    program *g;
    nn_trainer *t;
    size_t segments;
    bool head; /* next tokens; else a class */
} lesson;

static void lesson_step(void *ctx)
{
    const lesson *l = ctx;
    program *g = l->g;
    const nn_batch b = {.ids = g->ids, .seg = {g->start, l->segments}};
    const nn_adamw o = nn_adamw_default();
    nn_targets y = {0};

    if (l->head) {
        y.next = g->next;
        y.next_weight = g->next_weight;
    } else {
        y.label = g->label;
        y.label_weight = g->label_weight;
    }
    nn_trainer_fwd_bwd(l->t, &g->b.x, &b, &y);
    nn_trainer_step(l->t, &g->b.x, &o);
}

static void fill(program *g, size_t vocab, size_t segments)
{
    nn_rng rng = nn_rng_at(1, "bench", 0);
    const size_t rows = segments * LENGTH;

    for (size_t r = 0; r < rows; r++) {
        g->ids[r] = (int32_t)nn_rng_below(&rng, vocab);
        g->next[r] = (int32_t)nn_rng_below(&rng, vocab);
        g->next_weight[r] = 1.0f / (float)rows;
    }
    for (size_t s = 0; s < segments; s++) {
        g->label[s] = (float)(s % 2);
        g->label_weight[s] = 1.0f / (float)segments;
    }
    for (size_t s = 0; s <= segments; s++) g->start[s] = s * LENGTH;
}

/* --- the peer ------------------------------------------------------------------------------- */
static void peer_step(void *ctx)
{
    char answer[128];

    if (!peer_process_ask(ctx, "1", answer, sizeof answer)) {
        fprintf(stderr, "bench_train: PyTorch has ended\n");
        exit(1);
    }
}

static const char *or_else(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    return v && *v ? v : otherwise;
}

/* OpenBLAS with threads of its own under OpenMP's is several times slower (docs/numbers.md). */
static const char *blas_folder(void)
{
    if (nn_path_exists("/usr/lib/x86_64-linux-gnu/openblas-openmp"))
        return "/usr/lib/x86_64-linux-gnu/openblas-openmp";
    return "/usr/lib/aarch64-linux-gnu/openblas-openmp";
}

static bool peer_open(program *g, peer_process *p, const shape_row *s, size_t segments)
{
    char number[7][24], path[64 + 256], folder[256], script[512], answer[512];
    const size_t value[7] = {s->vocab, s->width, s->layers, s->heads, s->ff, segments, LENGTH};
    char threads[24];
    const nn_config c = shape_config(s, LENGTH);

    if (g->no_peer) return false;
    for (size_t i = 0; i < 7; i++) snprintf(number[i], sizeof number[i], "%zu", value[i]);
    snprintf(threads, sizeof threads, "%zu", g->b.threads);
    snprintf(folder, sizeof folder, "%s", blas_folder());
    snprintf(path, sizeof path, "LD_LIBRARY_PATH=%s", folder);
    snprintf(script, sizeof script, "%s/peer_train.py", or_else("PEER", "bench"));
    const char *const argv[] = {"env",
                                path,
                                "MALLOC_MMAP_MAX_=0",
                                "MALLOC_TRIM_THRESHOLD_=17179869184",
                                "MALLOC_TOP_PAD_=67108864",
                                or_else("PYTHON", "/usr/bin/python3"),
                                script,
                                number[0],
                                number[1],
                                number[2],
                                number[3],
                                number[4],
                                number[5],
                                number[6],
                                threads,
                                NULL};

    if (!peer_process_open(p, argv) || !peer_process_ask(p, NULL, answer, sizeof answer) ||
        strncmp(answer, "ready ", 6) != 0) {
        bench_skip(&g->b, "no PyTorch (make bench-peers; PYTHON=path of a python3 that has it)");
        g->no_peer = true;
    } else if (strtoul(answer + 6, NULL, 10) != nn_config_params(&c)) {
        fprintf(stderr, "bench_train: PyTorch's model has %s weights, ours %zu\n", answer + 6, nn_config_params(&c));
        exit(1);
    } else {
        printf("# %s\n", answer);
        g->b.child = p->pid;
        return true;
    }
    peer_process_close(p);
    return false;
}

/* --- a case --------------------------------------------------------------------------------- */
/* Tokens per second of ours (and the peer's) at one size; class only when `head` is false. */
static nn_status measure(program *g, const shape_row *s, size_t segments, bool head, peer_process *p,
                         bench_times *out, nn_err *err)
{
    nn_config c = shape_config(s, LENGTH);
    nn_model *m = NULL;
    lesson l = {.g = g, .segments = segments, .head = head};
    nn_status st;

    c.n_class = head ? 0 : 2;
    if ((st = nn_model_build(&m, &c, err)) != NN_OK) goto done;
    nn_model_init(m, 1);
    const nn_trainer_options room = {.max_rows = segments * LENGTH, .max_seg = segments};
    if ((st = nn_trainer_build(&l.t, m, room, err)) != NN_OK) goto done;
    const bench_side side[] = {{"ours", lesson_step, &l}, {"PyTorch", p && p->pid ? peer_step : NULL, p}};
    bench_turns(&g->b, out, side, 2);
done:
    nn_trainer_free(l.t);
    nn_model_free(m);
    return st;
}

static nn_status one_case(program *g, const shape_row *s, size_t segments, const char *name, nn_err *err)
{
    const nn_config c = shape_config(s, LENGTH);
    const double tokens = (double)(segments * LENGTH), peak = peak_fma_gflops(&g->b.x);
    const double with = 3e-9 * shape_flop(&c, LENGTH, true), without = 3e-9 * shape_flop(&c, LENGTH, false);
    bench_times t, class_only;
    peer_process p = {0};
    char text[2 * BENCH_NAME];
    nn_status st;

    fill(g, s->vocab, segments);
    const bool peer = peer_open(g, &p, s, segments);
    st = measure(g, s, segments, true, &p, &t, err);
    peer_process_close(&p);
    g->b.child = 0;
    if (st != NN_OK || (st = measure(g, s, segments, false, NULL, &class_only, err)) != NN_OK) return st;

    const double ours = tokens / t.time[0], share = peak > 0.0 ? ours * with / peak : 0.0;
    const double of_class = tokens / class_only.time[0], class_share = peak > 0.0 ? of_class * without / peak : 0.0;
    printf("%-12s %9.0f %4.0f%%", name, ours, 100.0 * share);
    if (peer)
        printf(" %9.0f %4.0f%% %6.2f (%.2f-%.2f)", tokens / t.time[1], 100.0 * share / ours * tokens / t.time[1],
               t.ratio[1], t.low[1], t.high[1]);
    printf("   class only %9.0f %4.0f%%   peak %.1f\n", of_class, 100.0 * class_share, peak);
    fflush(stdout);
    bench_note(&g->b, name, "tok/s", ours, peer ? "PyTorch" : "", peer ? tokens / t.time[1] : 0.0, t.ratio[1]);
    snprintf(text, sizeof text, "%s share", name);
    bench_note(&g->b, text, "GFLOP/s", ours * with, "FMA peak", peak, share);
    snprintf(text, sizeof text, "%s class only", name);
    bench_note(&g->b, text, "tok/s", of_class, "", 0.0, 0.0);
    snprintf(text, sizeof text, "%s class only share", name);
    bench_note(&g->b, text, "GFLOP/s", of_class * without, "FMA peak", peak, class_share);
    return NN_OK;
}

int main(int argc, char **argv)
{
    static program g;
    nn_err err = {NN_OK, ""};
    char name[BENCH_NAME];

    bench_begin(&g.b, &(bench_subject){"train", about, 5, LENGTH, false, TURN_S}, argc, argv);
    printf(
        "# Case; tokens per second and share of peak: ours, PyTorch, ours / PyTorch (quartiles); class only: ours\n");
    for (size_t i = 0; i < TRAINED; i++)
        for (size_t j = 0; j < sizeof batches / sizeof batches[0]; j++) {
            snprintf(name, sizeof name, "%s %zux%d", shape_table[i].name, batches[j], LENGTH);
            if (!bench_wants(&g.b, name) || (g.b.quick && !g.b.only && (i == 2 || j == 1))) continue;
            if (one_case(&g, &shape_table[i], batches[j], name, &err) == NN_OK) continue;
            fprintf(stderr, "bench_train: %s: %s\n", name, err.text);
            return 5;
        }
    return bench_end(&g.b);
}
