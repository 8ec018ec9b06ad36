/* bench_gemm.c - our matrix products beside OpenBLAS, BLIS and oneDNN, call by call in turn, in one process.
 *
 * Shapes: what training and decoding of small decoders ask for, T tokens through a layer with n outputs and d inputs,
 * in the forms forward (NT), gradient of the input (NN) and of the weights (TN); few rows; and weights packed once.
 * oneDNN stands with the better of its sgemm and its matmul primitive. With constant weights OpenBLAS and BLIS, which
 * keep no packed form, stand with sgemv at one row and sgemm beyond. Before timing, ours is compared with the
 * textbook loop bit for bit and every peer with ours, so that a fast wrong product cannot win and no peer is called
 * wrongly.
 */
#include "bench/bench.h"
#include "bench/peak.h"
#include "bench/peer_blas.h"
#include "bench/peer_dnnl.h"
#include "nn/arena.h"
#include "nn/matrix.h"
#include <math.h>
#include <string.h>

enum { OURS, OPENBLAS, BLIS, DNNL_SGEMM, DNNL_MATMUL, SIDES, LIBRARIES = 3, GROUPS = 4, MAX_CASES = 128 };

static const char about[] =
    "GFLOP/s of float products, ours beside OpenBLAS, BLIS and oneDNN; ratio > 1: ours is faster.\n"
    "Case names: NT 1024 512 128 (form, tokens, outputs, inputs), packed 8 512 512.\n";
static const char *const side_name[SIDES] = {"ours", "OpenBLAS", "BLIS", "oneDNN sgemm", "oneDNN matmul"};
static const char *const library_name[LIBRARIES] = {"OpenBLAS", "BLIS", "oneDNN"};
static const char *const form_name[] = {"NN", "NT", "TN"}; /* nn_form */

/* --- the shapes ----------------------------------------------------------------------------- */
typedef enum { LARGE, THIRTY_TWO, FEW, PACKED } group;

static const char *const group_name[GROUPS] = {"many rows, operands as they lie", "32 rows, operands as they lie",
                                               "1 and 8 rows, operands as they lie", "constant weights, packed"};

typedef struct {
    nn_form form;
    group group;
    size_t T, n, d;
} shape;

static const size_t many[][3] = {{256, 128, 128},    {1024, 512, 128},   {256, 256, 256},   {1024, 1024, 256},
                                 {4096, 1024, 256},  {256, 512, 512},    {1024, 2048, 512}, {4096, 2048, 512},
                                 {256, 32000, 512},  {1024, 768, 768},   {1024, 3072, 768}, {256, 1024, 1024},
                                 {4096, 1024, 1024}, {1024, 4096, 1024}, {256, 32000, 1024}};
static const size_t weights[][2] = {{256, 256},   {1024, 256},  {32000, 256}, {512, 512},   {2048, 512},
                                    {32000, 512}, {1024, 1024}, {4096, 1024}, {32000, 1024}};
static const size_t few[] = {1, 8, 32};

static size_t list_shapes(shape *s)
{
    const size_t n_many = sizeof many / sizeof many[0], n_weights = sizeof weights / sizeof weights[0];
    size_t n = 0;

    for (size_t f = 0; f < 3; f++) {
        static const nn_form order[] = {NN_NT, NN_NN, NN_TN};

        for (size_t i = 0; i < n_many; i++) s[n++] = (shape){order[f], LARGE, many[i][0], many[i][1], many[i][2]};
    }
    for (size_t i = sizeof few / sizeof few[0]; i-- > 0;)
        for (size_t w = 0; w < n_weights; w++)
            s[n++] = (shape){NN_NT, few[i] == 32 ? THIRTY_TWO : FEW, few[i], weights[w][0], weights[w][1]};
    for (size_t i = 0; i < sizeof few / sizeof few[0]; i++)
        for (size_t w = 0; w < n_weights; w++) s[n++] = (shape){NN_NT, PACKED, few[i], weights[w][0], weights[w][1]};
    return n;
}

static void shape_text(char out[BENCH_NAME], const shape *s)
{
    snprintf(out, BENCH_NAME, "%s %zu %zu %zu", s->group == PACKED ? "packed" : form_name[s->form], s->T, s->n, s->d);
}

/* --- one product, by anybody ---------------------------------------------------------------- */
typedef struct {
    const nn_exec *x;
    const peer_blas *openblas, *blis;
    peer_dnnl *matmul;
    nn_form form;
    bool packed;
    size_t M, N, K;
    float *c, *panels;
    const float *a, *b;
} product;

static void call_ours(void *ctx)
{
    const product *p = ctx;
    nn_matmul(p->x, p->form, p->c, p->a, p->b, p->M, p->N, p->K, false);
}

static void call_ours_packed(void *ctx)
{
    const product *p = ctx;
    const nn_matrix w = {.N = p->N, .K = p->K, .panels = p->panels};
    const nn_product y = {p->c, &w, NULL};

    nn_products_fwd(p->x, &y, 1, p->a, p->M, (nn_rows_i8){NULL, NULL}); /* what a model's layers call */
}

static void call_openblas(void *ctx)
{
    const product *p = ctx;
    if (p->packed) peer_blas_few(p->openblas, p->c, p->a, p->b, p->M, p->N, p->K);
    else peer_blas_matmul(p->openblas, p->form, p->c, p->a, p->b, p->M, p->N, p->K);
}

static void call_blis(void *ctx)
{
    const product *p = ctx;
    if (p->packed) peer_blas_few(p->blis, p->c, p->a, p->b, p->M, p->N, p->K);
    else peer_blas_matmul(p->blis, p->form, p->c, p->a, p->b, p->M, p->N, p->K);
}

static void call_dnnl_sgemm(void *ctx)
{
    const product *p = ctx;
    peer_dnnl_sgemm(p->form, p->c, p->a, p->b, p->M, p->N, p->K);
}

static void call_dnnl_matmul(void *ctx)
{
    const product *p = ctx;
    peer_dnnl_run(p->matmul);
}

/* --- the program ---------------------------------------------------------------------------- */
typedef struct {
    bench b;
    nn_arena arena;
    float *a_room, *b_room, *c_room, *panels;
    peer_blas openblas, blis;
    size_t n_group[GROUPS], n_ratio[GROUPS][LIBRARIES], n_best[GROUPS];
    double ratio[GROUPS][LIBRARIES][MAX_CASES], best[GROUPS][MAX_CASES], share[GROUPS][MAX_CASES];
    char best_name[GROUPS][MAX_CASES][BENCH_NAME];
    double peak;
} program;

static void sides_of(bench_side *side, product *p, const program *g)
{
    void (*const call[SIDES])(void *) = {p->packed ? call_ours_packed : call_ours,
                                         g->openblas.sgemm ? call_openblas : NULL, g->blis.sgemm ? call_blis : NULL,
                                         peer_dnnl_version() && !p->packed ? call_dnnl_sgemm : NULL,
                                         p->matmul ? call_dnnl_matmul : NULL};

    for (size_t i = 0; i < SIDES; i++) side[i] = (bench_side){side_name[i], call[i], p};
}

static product product_open(const program *g, const shape *s)
{
    product p = {
        .x = &g->b.x, .openblas = &g->openblas, .blis = &g->blis, .form = s->form, .packed = s->group == PACKED};

    p.c = g->c_room;
    p.a = g->a_room;
    p.b = g->b_room;
    p.panels = g->panels;
    p.M = s->form == NN_TN ? s->n : s->T;
    p.N = s->form == NN_NT ? s->n : s->d;
    p.K = s->form == NN_NT ? s->d : s->form == NN_NN ? s->n : s->T;
    if (p.packed) p.x->k->pack(p.panels, p.b, 1, p.K, p.N, p.K);
    p.matmul = p.packed ? peer_dnnl_packed(p.c, p.a, p.b, p.M, p.N, p.K)
                        : peer_dnnl_plain(p.form, p.c, p.a, p.b, p.M, p.N, p.K);
    return p;
}

static float textbook(const product *p, size_t m, size_t n)
{
    float sum = 0.0f;

    for (size_t k = 0; k < p->K; k++)
        sum = fmaf(p->a[p->form == NN_TN ? k * p->M + m : m * p->K + k],
                   p->b[p->form == NN_NT ? n * p->K + k : k * p->N + n], sum);
    return sum;
}

/* Ours bit for bit, the others to rounding. NULL, or who is wrong. */
static const char *wrong_side(const program *g, const shape *s)
{
    product p = product_open(g, s);
    bench_side side[SIDES];
    const char *wrong = NULL;

    sides_of(side, &p, g);
    for (size_t i = 0; i < SIDES && !wrong; i++) {
        if (!side[i].call) continue;
        for (size_t j = 0; j < p.M * p.N; j++) p.c[j] = NAN;
        side[i].call(&p);
        for (size_t m = 0; m < p.M && !wrong; m++)
            for (size_t n = 0; n < p.N; n++) {
                const float want = textbook(&p, m, n), got = p.c[m * p.N + n];

                if (i == OURS ? memcmp(&want, &got, sizeof got) != 0 : !(fabsf(want - got) < 1e-3f))
                    wrong = side[i].name;
            }
    }
    peer_dnnl_free(p.matmul);
    return wrong;
}

static void measure(program *g, const shape *s, const char *name)
{
    product p = product_open(g, s);
    const double flop = 2e-9 * (double)p.M * (double)p.N * (double)p.K;
    const group k = s->group;
    bench_side side[SIDES];
    bench_times t;
    size_t best = 0;
    double of_library[LIBRARIES] = {0};

    sides_of(side, &p, g);
    const double peak = peak_fma_gflops(&g->b.x);
    if (peak > g->peak) g->peak = peak; /* the best of the run: others can only lower it */
    bench_turns(&g->b, &t, side, SIDES);
    for (size_t i = 1; i < SIDES; i++) {
        const size_t l = i <= BLIS ? i - 1 : LIBRARIES - 1;

        if (!side[i].call) continue;
        bench_note(&g->b, name, "GFLOP/s", flop / t.time[OURS], side_name[i], flop / t.time[i], t.ratio[i]);
        if (best == 0 || t.time[i] < t.time[best]) best = i;
        if (of_library[l] <= 0.0 || t.ratio[i] < of_library[l]) of_library[l] = t.ratio[i];
    }
    printf("%-22s %8.1f %4.0f%%", name, flop / t.time[OURS],
           g->peak > 0.0 ? 100.0 * flop / t.time[OURS] / g->peak : 0.0);
    for (size_t i = 1; i < SIDES; i++) {
        if (side[i].call) printf(" %8.1f", flop / t.time[i]);
        else printf(" %8s", "-");
    }
    for (size_t l = 0; l < LIBRARIES; l++) {
        if (of_library[l] <= 0.0) continue;
        printf(" %6.2f", of_library[l]);
        g->ratio[k][l][g->n_ratio[k][l]++] = of_library[l];
    }
    if (best) {
        printf("   %5.2f (%.2f-%.2f) %s", t.ratio[best], t.low[best], t.high[best], side_name[best]);
        g->best[k][g->n_best[k]] = t.ratio[best];
        snprintf(g->best_name[k][g->n_best[k]++], BENCH_NAME, "%s", name);
    }
    printf("\n");
    fflush(stdout);
    g->share[k][g->n_group[k]++] = flop / t.time[OURS];
    peer_dnnl_free(p.matmul);
}

static void summary(program *g, group k)
{
    char name[BENCH_NAME];
    size_t worst = 0, under = 0;

    if (g->n_group[k] == 0) return;
    printf("%s, %zu shapes: ours %.1f GFLOP/s (geometric mean)", group_name[k], g->n_group[k],
           bench_mean_ratio(g->share[k], g->n_group[k]));
    snprintf(name, sizeof name, "geometric mean: %s", group_name[k]);
    for (size_t l = 0; l < LIBRARIES; l++) {
        const double mean = bench_mean_ratio(g->ratio[k][l], g->n_ratio[k][l]);

        if (g->n_ratio[k][l]) printf(", %.3f of %s", mean, library_name[l]);
        if (g->n_ratio[k][l]) bench_note(&g->b, name, "ratio", mean, library_name[l], 1.0, mean);
    }
    for (size_t i = 1; i < g->n_best[k]; i++)
        if (g->best[k][i] < g->best[k][worst]) worst = i;
    for (size_t i = 0; i < g->n_best[k]; i++) under += g->best[k][i] < 0.85;
    if (g->n_best[k]) {
        printf(", %.3f of the best; worst %.2f at %s, %zu under 0.85", bench_mean_ratio(g->best[k], g->n_best[k]),
               g->best[k][worst], g->best_name[k][worst], under);
        snprintf(name, sizeof name, "worst: %s", group_name[k]);
        bench_note(&g->b, name, "ratio", g->best[k][worst], "best of all", 1.0, g->best[k][worst]);
    }
    printf("\n");
}

/* Rooms for the largest of the shapes that will run. */
static nn_status rooms(program *g, const shape *s, const bool *chosen, size_t n, nn_err *err)
{
    size_t most[3] = {64 * 1024, 64 * 1024, 64 * 1024};
    nn_status st;

    for (size_t i = 0; i < n; i++) {
        const size_t in = s[i].T * s[i].d, w = (s[i].n + NN_PANEL) * s[i].d, out = s[i].T * s[i].n;
        const size_t need[3] = {s[i].form == NN_NT ? in : out, s[i].form == NN_TN ? in : w,
                                s[i].form == NN_NT   ? out
                                : s[i].form == NN_NN ? in
                                                     : w};

        for (size_t j = 0; j < 3 && chosen[i]; j++)
            if (need[j] > most[j]) most[j] = need[j];
    }
    if ((st = nn_arena_open(&g->arena, (most[0] + 2 * most[1] + most[2]) * sizeof(float) + 4 * NN_ALIGN, err)) !=
        NN_OK)
        return st;
    g->a_room = nn_arena_take(&g->arena, most[0], sizeof(float));
    g->b_room = nn_arena_take(&g->arena, most[1], sizeof(float));
    g->c_room = nn_arena_take(&g->arena, most[2], sizeof(float));
    g->panels = nn_arena_take(&g->arena, most[1], sizeof(float));
    for (size_t i = 0; i < most[0]; i++) g->a_room[i] = (float)(i * 2654435761u % 2048u) / 1024.0f - 1.0f;
    for (size_t i = 0; i < most[1]; i++) g->b_room[i] = (float)(i * 2246822519u % 2048u) / 1024.0f - 1.0f;
    return NN_OK;
}

static void open_peers(program *g)
{
    peer_openblas_open(&g->openblas, g->b.threads);
    peer_blis_open(&g->blis, g->b.threads);
    if (!g->openblas.sgemm) bench_skip(&g->b, "no libopenblas.so.0 (make bench-peers)");
    if (!g->blis.sgemm) bench_skip(&g->b, "no libblis.so.4 (make bench-peers)");
    if (!peer_dnnl_version()) bench_skip(&g->b, "built without oneDNN 2 (make bench-peers, then build again)");
    printf("# peers: %s; %s; %s\n", g->openblas.sgemm ? g->openblas.version : "-",
           g->blis.sgemm ? g->blis.version : "-", peer_dnnl_version() ? peer_dnnl_version() : "-");
}

int main(int argc, char **argv)
{
    static program g;
    static const shape odd[] = {{NN_NT, LARGE, 37, 53, 300},
                                {NN_NN, LARGE, 37, 53, 30},
                                {NN_TN, LARGE, 300, 37, 53},
                                {NN_NT, PACKED, 1, 53, 300},
                                {NN_NT, PACKED, 9, 53, 300}};
    shape s[MAX_CASES];
    char name[BENCH_NAME];
    bool chosen[MAX_CASES];
    nn_err err = {NN_OK, ""};
    const size_t n = list_shapes(s);

    bench_begin(&g.b, &(bench_subject){"gemm", about, 7, 64, true, 0.0}, argc, argv);
    for (size_t i = 0; i < n; i++) {
        shape_text(name, &s[i]);
        chosen[i] = bench_wants(&g.b, name) && (!g.b.quick || g.b.only || i % 5 == 0);
    }
    if (rooms(&g, s, chosen, n, &err) != NN_OK) {
        fprintf(stderr, "bench_gemm: %s\n", err.text);
        return 5;
    }
    open_peers(&g);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const char *wrong = wrong_side(&g, &odd[i]);

        if (!wrong) continue;
        fprintf(stderr, "bench_gemm: %s: the product of %s is wrong\n", group_name[odd[i].group], wrong);
        return 1;
    }
    g.peak = peak_fma_gflops(&g.b.x);
    printf("# peak %.1f GFLOP/s. Case; GFLOP/s: ours, of peak, OpenBLAS, BLIS, oneDNN sgemm, oneDNN matmul; ours / "
           "OpenBLAS, BLIS, "
           "better oneDNN; ours / best (quartiles)\n",
           g.peak);
    for (size_t i = 0; i < n; i++) {
        shape_text(name, &s[i]);
        if (chosen[i]) measure(&g, &s[i], name);
    }
    for (size_t k = 0; k < GROUPS; k++) summary(&g, (group)k);
    peer_blas_close(&g.openblas);
    peer_blas_close(&g.blis);
    nn_arena_free(&g.arena);
    return bench_end(&g.b);
}
