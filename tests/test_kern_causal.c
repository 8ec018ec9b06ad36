/* Products of attention's triangle and band: every table gives the bytes of the textbook loop and reads nothing else. */
#include "nn/kern.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 40, ROOM = 3 * MOST, WIDE = 80 }; /* rows, k, columns */

typedef struct {
    float a[MOST * ROOM], b[ROOM * WIDE], panels[ROOM * WIDE], start[MOST * WIDE], got[MOST * WIDE], want[MOST * WIDE];
    float *scratch;
} operands;

static void fill_operands(operands *o, size_t N)
{
    fill_random(o->a, MOST * ROOM, 2.0f, 1);
    fill_random(o->b, ROOM * WIDE, 2.0f, 2);
    fill_random(o->start, MOST * WIDE, 1.0f, 3);
    for (size_t k = 0; k < ROOM; k++)
        for (size_t j = 0; j < WIDE; j++)
            o->panels[j / NN_PANEL * NN_PANEL * ROOM + k * NN_PANEL + j % NN_PANEL] = j < N ? o->b[k * WIDE + j] : 0.0f;
}

/* A band as kern.h says it, of a triangle's rows or of the keys that they see, with or without a window. */
typedef struct {
    const char *name;
    bool transposed, accumulate;
    size_t M, N, K;
    nn_band band;
} product;

static size_t cut(size_t z, size_t origin, size_t most)
{
    const size_t from = z > origin ? z - origin : 0;

    return from < most ? from : most;
}

static bool takes(const product *p, size_t i, size_t k)
{
    return k >= cut(p->band.first + i, p->band.origin, p->K) && k < cut(p->band.end + i, p->band.origin, p->K);
}

static float *element(operands *o, const product *p, size_t i, size_t k)
{
    return p->transposed ? o->a + k * ROOM + i : o->a + i * ROOM + k;
}

/* Each row the chain over its run; what a row does not take becomes NaN before the kernel sees it. */
static void agree(const nn_kern *k, operands *o, const product *p)
{
    fill_operands(o, p->N);
    memcpy(o->got, o->start, sizeof o->got);
    memcpy(o->want, o->start, sizeof o->want);
    for (size_t i = 0; i < p->M; i++)
        for (size_t j = 0; j < p->N; j++) {
            float s = p->accumulate ? o->start[i * WIDE + j] : 0.0f;
            for (size_t n = 0; n < p->K; n++)
                if (takes(p, i, n)) s = fmaf(*element(o, p, i, n), o->b[n * WIDE + j], s);
            o->want[i * WIDE + j] = s;
        }
    for (size_t i = 0; i < p->M; i++)
        for (size_t n = 0; n < p->K; n++)
            if (!takes(p, i, n)) *element(o, p, i, n) = NAN;
    k->gemm_band(o->got, WIDE, o->a, p->transposed ? 1 : ROOM, p->transposed ? ROOM : 1, o->panels, ROOM, p->M, p->N,
                 p->K, p->band, p->accumulate, o->scratch);
    cr_assert(memcmp(o->got, o->want, sizeof o->got) == 0, "%s: %s, M %zu, N %zu, K %zu, band %zu %zu %zu", k->name,
              p->name, p->M, p->N, p->K, p->band.first, p->band.end, p->band.origin);
}

/* Rows that see n, n + 1, .. keys, each the last `window` of them; and the keys that those rows see. */
static void agree_both(const nn_kern *k, operands *o, size_t M, size_t N, size_t n, size_t window, bool accumulate)
{
    const product rows = {"rows", false, accumulate, M, N, n + M, {n, n + window, window}};
    const product keys = {"keys", true, true, M, N, M, {n, n + window, n}};

    agree(k, o, &rows);
    agree(k, o, &keys);
}

Test(kern_causal, every_table_gives_the_textbook_loop)
{
    static const size_t widths[] = {1, 7, 16, 40, 64, 79}, runs[] = {1, 2, 17, 70}, windows[] = {1, 2, 5, 8, 21, ROOM};
    static operands o;
    const nn_kern *k;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        cr_assert_not_null(o.scratch = malloc(k->gemm_scratch * sizeof(float)));
        for (size_t M = 1; M <= MOST; M += M < 10 ? 1 : 5)
            for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
                for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
                    agree_both(k, &o, M, widths[w], runs[(M + w) % 4], windows[i], (M + w + i) % 3 == 0);
        free(o.scratch);
    }
}
