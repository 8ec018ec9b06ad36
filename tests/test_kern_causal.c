/* Products of attention's triangle: every table gives the bytes of the textbook loop, reading nothing outside a run. */
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

/* want = chain of row i over k in [from, to); A transposed: its element (i, k) is a[k][i] */
static void plain_run(operands *o, size_t i, size_t N, size_t from, size_t to, bool transposed, bool accumulate)
{
    for (size_t j = 0; j < N; j++) {
        float s = accumulate ? o->start[i * WIDE + j] : 0.0f;
        for (size_t k = from; k < to; k++)
            s = fmaf(transposed ? o->a[k * ROOM + i] : o->a[i * ROOM + k], o->b[k * WIDE + j], s);
        o->want[i * WIDE + j] = s;
    }
}

static void agree(const nn_kern *k, operands *o, size_t M, size_t N, size_t n, bool accumulate)
{
    memcpy(o->got, o->start, sizeof o->got);
    memcpy(o->want, o->start, sizeof o->want);
    for (size_t i = 0; i < M; i++) plain_run(o, i, N, 0, n + i, false, accumulate);
    for (size_t i = 0; i < M; i++) o->a[i * ROOM + n + i] = NAN; /* what the row does not take */
    k->gemm_causal(o->got, WIDE, o->a, ROOM, o->panels, ROOM, M, N, n, accumulate, o->scratch);
    cr_assert(memcmp(o->got, o->want, sizeof o->got) == 0, "%s: causal, M %zu, N %zu, n %zu, accumulate %d", k->name, M,
              N, n, accumulate);
}

static void agree_transposed(const nn_kern *k, operands *o, size_t M, size_t N)
{
    memcpy(o->got, o->start, sizeof o->got);
    memcpy(o->want, o->start, sizeof o->want);
    for (size_t i = 0; i < M; i++) plain_run(o, i, N, i, M, true, true);
    for (size_t i = 1; i < M; i++) o->a[(i - 1) * ROOM + i] = NAN;
    k->gemm_causal_t(o->got, WIDE, o->a, ROOM, o->panels, ROOM, M, N, o->scratch);
    cr_assert(memcmp(o->got, o->want, sizeof o->got) == 0, "%s: transposed, M %zu, N %zu", k->name, M, N);
}

Test(kern_causal, every_table_gives_the_textbook_loop)
{
    static const size_t widths[] = {1, 7, 16, 40, 64, 79}, runs[] = {1, 2, 17, 70};
    static operands o;
    const nn_kern *k;
    bool supported = false;

    for (size_t t = 0; (k = nn_kern_at(t, &supported)) != NULL; t++) {
        if (!supported) continue;
        cr_assert_not_null(o.scratch = malloc(k->gemm_scratch * sizeof(float)));
        for (size_t M = 1; M <= MOST; M += M < 10 ? 1 : 5)
            for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
                const size_t n = runs[(M + w) % 4];

                fill_operands(&o, widths[w]);
                agree(k, &o, M, widths[w], n, (M + w) % 3 == 0);
                fill_operands(&o, widths[w]);
                agree_transposed(k, &o, M, widths[w]);
            }
        free(o.scratch);
    }
}
