/* bench_i8.c - int8 products beside oneDNN's, both with weights packed once, in one process.
 *
 * Ours: gemm_i8 on rows that are int8 already, and the whole of what a layer does (rows rounded from float, then the
 * product). oneDNN: u8 x s8 -> float, its own weight layout, no scales (we multiply by two). The share is of the peak
 * of vpdpbusd, which is measured here. Before timing both are compared with the plain sum, exactly.
 */
#include "bench/bench.h"
#include "bench/peak.h"
#include "bench/peer_dnnl.h"
#include "nn/arena.h"
#include "nn/matrix.h"
#include <string.h>

enum {
    OURS,
    DNNL,
    WHOLE,
    SIDES,
    MOST_M = 1024,
    MOST_NK = 4096 * 1024,
    MOST_MN = 1024 * 4096,
    MOST_K = 1024,
    MOST_CASES = 64
};

static const char about[] = "Gop/s of int8 products, ours beside oneDNN's u8 x s8; ratio > 1: ours is faster.\n"
                            "Case names: 64 768 256 (rows, outputs, inputs).\n";
static const size_t rows[] = {1, 8, 32, 64, 256, 1024};
static const size_t weights[][2] = {{256, 256},  {768, 256},  {1024, 256},  {256, 768},  {512, 512},
                                    {2048, 512}, {2048, 768}, {1024, 1024}, {4096, 1024}};

typedef struct {
    const nn_exec *x;
    peer_dnnl *peer;
    nn_matrix w;
    size_t M;
    float *c;
    const float *in;
    const int8_t *a;
    const float *a_scale;
    nn_rows_i8 room;
} product;

typedef struct {
    bench b;
    nn_arena arena;
    int8_t *w, *panels, *a, *q;
    uint8_t *a_u8;
    float *w_scale, *a_scale, *q_scale, *in, *c;
    int32_t *w_sum;
    double peak, ratio[2][MOST_CASES], gops[2][MOST_CASES]; /* one and eight rows; more */
    size_t n[2];
} program;

static void panels_of(void *ctx, size_t first, size_t last, size_t thread)
{
    const product *p = ctx;
    const nn_matrix *w = &p->w;
    const size_t n0 = first * NN_PANEL, n1 = last * NN_PANEL < w->N ? last * NN_PANEL : w->N;

    (void)thread;
    p->x->k->gemm_i8(p->c + n0, w->N, p->a, w->K, p->a_scale, w->i8 + n0 * w->K, w->scale + n0, w->sum + n0, p->M,
                     n1 - n0, w->K);
}

static void call_ours(void *ctx)
{
    product *p = ctx;
    nn_par_run(&p->x->par, (p->w.N + NN_PANEL - 1) / NN_PANEL, 1, panels_of, p);
}

static void call_whole(void *ctx)
{
    const product *p = ctx;
    const nn_product of = {p->c, &p->w, NULL};

    nn_products_fwd(p->x, &of, 1, p->in, p->M, p->room);
}

static void call_dnnl(void *ctx)
{
    const product *p = ctx;
    peer_dnnl_run(p->peer);
}

/* Panels of w [N,K] with scale 1, K a multiple of 4, N of 16. */
static void pack(program *g, size_t N, size_t K)
{
    for (size_t n = 0; n < N; n++) {
        g->w_sum[n] = 0;
        for (size_t k = 0; k < K; k++) {
            const size_t at = ((n / NN_PANEL * (K / 4) + k / 4) * NN_PANEL + n % NN_PANEL) * 4 + k % 4;

            g->panels[at] = g->w[n * K + k];
            g->w_sum[n] += g->w[n * K + k];
        }
    }
}

static product product_open(program *g, size_t M, size_t N, size_t K)
{
    product p = {.x = &g->b.x, .M = M, .c = g->c, .in = g->in, .a = g->a, .a_scale = g->a_scale};

    pack(g, N, K);
    p.w = (nn_matrix){.N = N, .K = K, .i8 = g->panels, .scale = g->w_scale, .sum = g->w_sum};
    p.room = (nn_rows_i8){g->q, g->q_scale};
    p.peer = peer_dnnl_packed_i8(p.c, g->a_u8, g->w, M, N, K);
    return p;
}

static const char *wrong_side(program *g)
{
    product p = product_open(g, 9, 64, 300);
    const char *wrong = NULL;

    for (size_t i = 0; i < 2; i++) {
        if (i == DNNL && !p.peer) continue;
        if (i == DNNL) call_dnnl(&p);
        else call_ours(&p);
        for (size_t m = 0; m < p.M; m++)
            for (size_t n = 0; n < p.w.N; n++) {
                int32_t sum = 0;

                for (size_t k = 0; k < p.w.K; k++) sum += g->a[m * p.w.K + k] * g->w[n * p.w.K + k];
                if (p.c[m * p.w.N + n] < (float)sum || p.c[m * p.w.N + n] > (float)sum)
                    wrong = i == DNNL ? "oneDNN" : "ours";
            }
    }
    peer_dnnl_free(p.peer);
    return wrong;
}

static void measure(program *g, size_t M, size_t N, size_t K, const char *name)
{
    product p = product_open(g, M, N, K);
    const double ops = 2e-9 * (double)M * (double)N * (double)K;
    const bench_side side[SIDES] = {
        {"ours", call_ours, &p}, {"oneDNN", p.peer ? call_dnnl : NULL, &p}, {"whole", call_whole, &p}};
    const size_t k = M > 8;
    bench_times t;

    const double peak = peak_i8_gops(&g->b.x);
    if (peak > g->peak) g->peak = peak; /* the best of the run: others can only lower it */
    bench_turns(&g->b, &t, side, SIDES);
    const double ours = ops / t.time[OURS];
    printf("%-16s %8.1f %4.0f%%", name, ours, g->peak > 0.0 ? 100.0 * ours / g->peak : 0.0);
    if (p.peer) {
        printf(" %8.1f %6.2f (%.2f-%.2f)", ops / t.time[DNNL], t.ratio[DNNL], t.low[DNNL], t.high[DNNL]);
        g->ratio[k][g->n[k]] = t.ratio[DNNL];
    }
    printf("   %8.1f %4.0f%%\n", ops / t.time[WHOLE], g->peak > 0.0 ? 100.0 * ops / t.time[WHOLE] / g->peak : 0.0);
    fflush(stdout);
    g->gops[k][g->n[k]++] = ours;
    bench_note(&g->b, name, "Gop/s", ours, p.peer ? "oneDNN u8s8" : "", p.peer ? ops / t.time[DNNL] : 0.0,
               t.ratio[DNNL]);
    if (g->peak > 0.0) bench_note(&g->b, name, "Gop/s", ours, "vpdpbusd peak", g->peak, ours / g->peak);
    bench_note(&g->b, name, "Gop/s", ops / t.time[WHOLE], "without rounding of rows", ours,
               t.time[OURS] / t.time[WHOLE]);
    peer_dnnl_free(p.peer);
}

static nn_status rooms(program *g, nn_err *err)
{
    nn_status st = nn_arena_open(&g->arena, (size_t)64 << 20, err);

    if (st != NN_OK) return st;
    g->w = nn_arena_take(&g->arena, MOST_NK, 1);
    g->panels = nn_arena_take(&g->arena, MOST_NK, 1);
    g->a = nn_arena_take(&g->arena, MOST_M * MOST_K, 1);
    g->a_u8 = nn_arena_take(&g->arena, MOST_M * MOST_K, 1);
    g->q = nn_arena_take(&g->arena, MOST_M * MOST_K, 1);
    g->w_scale = nn_arena_take(&g->arena, 4096, sizeof(float));
    g->w_sum = nn_arena_take(&g->arena, 4096, sizeof(int32_t));
    g->a_scale = nn_arena_take(&g->arena, MOST_M, sizeof(float));
    g->q_scale = nn_arena_take(&g->arena, MOST_M, sizeof(float));
    g->in = nn_arena_take(&g->arena, MOST_M * MOST_K, sizeof(float));
    g->c = nn_arena_take(&g->arena, MOST_MN, sizeof(float));
    for (size_t i = 0; i < MOST_NK; i++) g->w[i] = (int8_t)((int)(i * 2654435761u % 255u) - 127);
    for (size_t i = 0; i < MOST_M * MOST_K; i++) {
        g->a[i] = (int8_t)(i * 2246822519u % 128u); /* both sides' type */
        g->a_u8[i] = (uint8_t)g->a[i];
        g->in[i] = (float)g->a[i] / 127.0f;
    }
    for (size_t i = 0; i < 4096; i++) g->w_scale[i] = 1.0f;
    for (size_t i = 0; i < MOST_M; i++) g->a_scale[i] = 1.0f;
    return NN_OK;
}

int main(int argc, char **argv)
{
    static program g;
    nn_err err = {NN_OK, ""};
    char name[BENCH_NAME];
    const size_t n_weights = sizeof weights / sizeof weights[0], n_rows = sizeof rows / sizeof rows[0];

    bench_begin(&g.b, &(bench_subject){"i8", about, 9, 64, true, 0.0}, argc, argv);
    if (rooms(&g, &err) != NN_OK) {
        fprintf(stderr, "bench_i8: %s\n", err.text);
        return 5;
    }
    if (!peer_dnnl_version()) bench_skip(&g.b, "built without oneDNN 2 (make bench-peers, then build again)");
    const char *wrong = wrong_side(&g);
    if (wrong) {
        fprintf(stderr, "bench_i8: the product of %s is wrong\n", wrong);
        return 1;
    }
    g.peak = peak_i8_gops(&g.b.x);
    printf("# peak %.1f Gop/s; peer %s. Case; Gop/s: ours, of peak; oneDNN, ours / oneDNN (quartiles); ours with "
           "rounding of the "
           "rows, of peak\n",
           g.peak, peer_dnnl_version() ? peer_dnnl_version() : "-");
    for (size_t i = 0; i < n_rows * n_weights; i++) {
        const size_t M = rows[i / n_weights], *w = weights[i % n_weights];

        snprintf(name, sizeof name, "%zu %zu %zu", M, w[0], w[1]);
        if (bench_wants(&g.b, name) && (!g.b.quick || g.b.only || i % 5 == 0)) measure(&g, M, w[0], w[1], name);
    }
    for (size_t k = 0; k < 2; k++) {
        if (g.n[k] == 0) continue;
        printf("%s: ours %.1f Gop/s (geometric mean)", k ? "32 rows and more" : "1 and 8 rows",
               bench_mean_ratio(g.gops[k], g.n[k]));
        if (peer_dnnl_version()) printf(", %.3f of oneDNN", bench_mean_ratio(g.ratio[k], g.n[k]));
        printf("\n");
    }
    nn_arena_free(&g.arena);
    return bench_end(&g.b);
}
