/* Tests of attention: bytes of the textbook loop, differences, decoding, masking, threads, the example of docs/math.md. */
#include "nn/ops.h"
#include "tests/test_ops_support.h"
#include <math.h>
#include <string.h>

/* Sizes around the tile of 32 rows, odd head width, three query heads to a kv head. */
enum { ROWS = 1 + 70 + 32 + 33 + 3, LONGEST = 70, H = 6, K = 2, D = 7, GROUP = H / K };
static const size_t start[] = {0, 1, 71, 103, 136, 139};
static const nn_segments seg = {start, 5};

typedef struct {
    float q[ROWS * H * D], k[ROWS * K * D], v[ROWS * K * D], dy[ROWS * H * D];
    float y[ROWS * H * D], dq[ROWS * H * D], dk[ROWS * K * D], dv[ROWS * K * D];
} tensors;

static void fill_inputs(tensors *t)
{
    fill_random(t->q, ROWS * H * D, 2.0f, 1);
    fill_random(t->k, ROWS * K * D, 2.0f, 2);
    fill_random(t->v, ROWS * K * D, 2.0f, 3);
    fill_random(t->dy, ROWS * H * D, 2.0f, 4);
    fill_random(t->dq, ROWS * H * D, 1.0f, 5); /* gradients accumulate, so they start anywhere */
    fill_random(t->dk, ROWS * K * D, 1.0f, 6);
    fill_random(t->dv, ROWS * K * D, 1.0f, 7);
}

/* None; smaller than 16 lanes, a kernel's tile and a tile of rows, at and around each; larger than a segment. */
static const size_t windows[] = {0, 1, 2, 5, 7, 15, 16, 17, 31, 32, 33, 45, 69, LONGEST, 1000, SIZE_MAX};
enum { WINDOWS = sizeof windows / sizeof *windows };

static void run_both(const nn_exec *x, tensors *t, size_t window)
{
    nn_attn_fwd(x, t->y, t->q, t->k, t->v, seg, window, H, K, D);
    nn_attn_bwd(x, t->dq, t->dk, t->dv, t->dy, t->q, t->k, t->v, seg, window, H, K, D);
}

static void expect_same_outputs(const tensors *got, const tensors *want)
{
    expect_same_floats("y", got->y, want->y, ROWS * H * D);
    expect_same_floats("dq", got->dq, want->dq, ROWS * H * D);
    expect_same_floats("dk", got->dk, want->dk, ROWS * K * D);
    expect_same_floats("dv", got->dv, want->dv, ROWS * K * D);
}

/* One query row as op_attn.c's header says it; dk and dv continue chains that earlier rows began. A masked key's score
 * is -inf: it keeps its place among softmax's lanes and takes no part in any other sum. */
static void textbook_row(const nn_kern *kern, tensors *t, size_t begin, size_t row, size_t h, size_t window)
{
    const size_t n = row - begin + 1, q_at = (row * H + h) * D, first = window > 0 && n > window ? n - window : 0;
    float p[LONGEST] = {0}, ds[LONGEST] = {0};
    const float scale = (float)(1.0 / sqrt((double)D));

    for (size_t j = 0; j < first; j++) p[j] = -INFINITY;
    for (size_t j = first; j < n; j++) {
        const size_t at = ((begin + j) * K + h / GROUP) * D;
        for (size_t d = 0; d < D; d++) p[j] = fmaf(t->q[q_at + d], t->k[at + d], p[j]);
        for (size_t d = 0; d < D; d++) ds[j] = fmaf(t->dy[q_at + d], t->v[at + d], ds[j]);
    }
    kern->softmax_row(p, p, scale, n, NULL);
    kern->softmax_bwd_row(ds, p, ds, scale, n);
    for (size_t d = 0; d < D; d++) t->y[q_at + d] = 0.0f;
    for (size_t j = first; j < n; j++)
        for (size_t d = 0; d < D; d++) {
            const size_t at = ((begin + j) * K + h / GROUP) * D + d;
            t->y[q_at + d] = fmaf(p[j], t->v[at], t->y[q_at + d]);
            t->dq[q_at + d] = fmaf(ds[j], t->k[at], t->dq[q_at + d]);
            t->dk[at] = fmaf(ds[j], t->q[q_at + d], t->dk[at]);
            t->dv[at] = fmaf(p[j], t->dy[q_at + d], t->dv[at]);
        }
}

Test(ops_attn, forward_and_backward_are_the_bytes_of_the_textbook_loop)
{
    static tensors got, want;
    bool supported = false;

    for (size_t i = 0; nn_kern_at(i, &supported); i++) {
        if (!supported) continue;
        nn_exec x = exec_with(nn_kern_at(i, &supported)->name, 1, LONGEST);

        for (size_t w = 0; w < WINDOWS; w++) {
            fill_inputs(&got);
            fill_inputs(&want);
            run_both(&x, &got, windows[w]);
            for (size_t s = 0; s < seg.n_seg; s++)
                for (size_t h = 0; h < H; h++)
                    for (size_t r = start[s]; r < start[s + 1]; r++)
                        textbook_row(x.k, &want, start[s], r, h, windows[w]);
            expect_same_outputs(&got, &want);
        }
        nn_exec_free(&x);
    }
}

Test(ops_attn, a_window_as_long_as_the_segments_is_none)
{
    static tensors all, cut;
    nn_exec x = exec_with(NULL, 1, LONGEST);

    fill_inputs(&all);
    run_both(&x, &all, 0);
    for (size_t window = LONGEST; window <= LONGEST + 1; window++) {
        fill_inputs(&cut);
        run_both(&x, &cut, window);
        expect_same_outputs(&cut, &all);
    }
    fill_inputs(&cut);
    run_both(&x, &cut, LONGEST - 1);
    cr_expect(memcmp(cut.y, all.y, sizeof cut.y) != 0, "the last row of the longest segment has lost a key");
    nn_exec_free(&x);
}

Test(ops_attn, threads_do_not_change_a_bit)
{
    static tensors one, more;

    for (size_t w = 0; w < WINDOWS; w += 5)
        for (size_t threads = 1; threads <= 4; threads++) {
            nn_exec x = exec_with(NULL, threads, LONGEST);
            tensors *t = threads > 1 ? &more : &one;

            fill_inputs(t);
            run_both(&x, t, windows[w]);
            expect_same_outputs(t, &one);
            nn_exec_free(&x);
        }
}

Test(ops_attn, a_gradient_left_out_changes_no_other)
{
    static tensors all, some;
    nn_exec x = exec_with(NULL, 1, LONGEST);

    fill_inputs(&all);
    fill_inputs(&some);
    run_both(&x, &all, 0);
    nn_attn_bwd(&x, some.dq, NULL, NULL, some.dy, some.q, some.k, some.v, seg, 0, H, K, D);
    nn_attn_bwd(&x, NULL, some.dk, NULL, some.dy, some.q, some.k, some.v, seg, 0, H, K, D);
    nn_attn_bwd(&x, NULL, NULL, some.dv, some.dy, some.q, some.k, some.v, seg, 0, H, K, D);
    memcpy(some.y, all.y, sizeof some.y);
    expect_same_outputs(&some, &all);
    nn_exec_free(&x);
}

Test(ops_attn, later_rows_and_other_segments_cannot_reach_a_row)
{
    static tensors clean, poisoned;
    const size_t begin = start[1], cut = begin + 45; /* inside a tile of the second segment */
    nn_exec x = exec_with(NULL, 1, LONGEST);

    fill_inputs(&clean);
    fill_inputs(&poisoned);
    for (size_t i = 0; i < ROWS * K * D; i++)
        if (i < begin * K * D || i >= cut * K * D) {
            poisoned.k[i] = i % 2 ? NAN : INFINITY;
            poisoned.v[i] = i % 2 ? INFINITY : NAN;
        }
    run_both(&x, &clean, 0);
    run_both(&x, &poisoned, 0);
    expect_same_floats("y", poisoned.y + begin * H * D, clean.y + begin * H * D, (cut - begin) * H * D);
    expect_same_floats("dq", poisoned.dq + begin * H * D, clean.dq + begin * H * D, (cut - begin) * H * D);
    nn_exec_free(&x);
}

Test(ops_attn, rows_behind_the_window_cannot_reach_a_row)
{
    static tensors clean, poisoned;
    const size_t begin = start[1], gone = begin + 21, end = start[2]; /* the keys before `gone` are nothing */

    for (size_t window = 1; window < 45; window += window < 9 ? 1 : 7) {
        nn_exec x = exec_with(NULL, 1, LONGEST);
        const size_t from = gone + window - 1; /* the first row that sees none of them */

        fill_inputs(&clean);
        fill_inputs(&poisoned);
        for (size_t i = begin * K * D; i < gone * K * D; i++) {
            poisoned.k[i] = i % 2 ? NAN : INFINITY;
            poisoned.v[i] = i % 2 ? INFINITY : NAN;
        }
        for (size_t i = begin * H * D; i < from * H * D; i++) poisoned.q[i] = poisoned.dy[i] = NAN;
        run_both(&x, &clean, window);
        run_both(&x, &poisoned, window);
        expect_same_floats("y", poisoned.y + from * H * D, clean.y + from * H * D, (end - from) * H * D);
        expect_same_floats("dq", poisoned.dq + from * H * D, clean.dq + from * H * D, (end - from) * H * D);
        expect_same_floats("dk", poisoned.dk + from * K * D, clean.dk + from * K * D, (end - from) * K * D);
        expect_same_floats("dv", poisoned.dv + from * K * D, clean.dv + from * K * D, (end - from) * K * D);
        nn_exec_free(&x);
    }
}

/* p_0 v_0 = -1e-60 rounds to -0 and p_1 v_1 = -0: row 1 is -0. A masked 0 * v_2 added to it would make +0. */
Test(ops_attn, a_masked_key_does_not_change_the_sign_of_a_zero)
{
    const float q[] = {1.0f, 1.0f, 1.0f}, k[] = {0.0f, 69.0f, 0.0f}, v[] = {-1e-30f, -0.0f, 1.0f};
    const size_t ends[] = {0, 3};
    float y[3];
    nn_exec x = exec_with(NULL, 1, 3);

    nn_attn_fwd(&x, y, q, k, v, (nn_segments){ends, 1}, 0, 1, 1, 1);
    cr_expect(y[1] == 0.0f && signbit(y[1]), "got %a", (double)y[1]);
    nn_exec_free(&x);
}

/* --- finite differences --------------------------------------------------------------------------- */

enum { FR = 7, FH = 4, FK = 2, FD = 3 };
static const size_t few_start[] = {0, 5, 7};
static const nn_segments few = {few_start, 2};

typedef struct {
    nn_exec x;
    size_t window;
    float q[FR * FH * FD], k[FR * FK * FD], v[FR * FK * FD], c[FR * FH * FD], y[FR * FH * FD];
} few_case;

static double few_value(void *ctx)
{
    few_case *t = ctx;

    nn_attn_fwd(&t->x, t->y, t->q, t->k, t->v, few, t->window, FH, FK, FD);
    return weigh(t->c, t->y, FR * FH * FD);
}

Test(ops_attn, backward_matches_finite_difference)
{
    for (size_t window = 0; window <= 5; window++) {
        few_case t = {.x = exec_with(NULL, 1, FR), .window = window};
        float dq[FR * FH * FD] = {0}, dk[FR * FK * FD] = {0}, dv[FR * FK * FD] = {0};

        fill_random(t.q, FR * FH * FD, 1.0f, 1);
        fill_random(t.k, FR * FK * FD, 1.0f, 2);
        fill_random(t.v, FR * FK * FD, 1.0f, 3);
        fill_random(t.c, FR * FH * FD, 1.0f, 4);
        for (int pass = 0; pass < 2; pass++)
            nn_attn_bwd(&t.x, dq, dk, dv, t.c, t.q, t.k, t.v, few, window, FH, FK, FD);
        expect_gradient("dq", few_value, &t, t.q, dq, FR * FH * FD, 2.0);
        expect_gradient("dk", few_value, &t, t.k, dk, FR * FK * FD, 2.0);
        expect_gradient("dv", few_value, &t, t.v, dv, FR * FK * FD, 2.0);
        nn_exec_free(&t.x);
    }
}

/* The numbers of docs/math.md#attention-by-hand, where each is derived. */
Test(ops_attn, the_example_of_the_handbook)
{
    const float ln3 = 1.0986122886681098f;
    const float q[] = {1, 1, 0, 0, /**/ 0, 2 * ln3, 0, 0}, k[] = {1, 0, 0, 0, /**/ 0, 1, 0, 0};
    const float v[] = {4, 0, 0, 8, /**/ 0, 4, 8, 0}, dy[] = {1, 0, 0, 0, /**/ 1, 2, 0, 1};
    const float want_y[] = {4, 0, 0, 8, /**/ 1, 3, 6, 2};
    const float want_dq[] = {0, 0, 0, 0, /**/ 0.375f, -0.375f, 0, 0};
    const float want_dk[] = {0, 0.75f * ln3, 0, 0, /**/ 0, -0.75f * ln3, 0, 0};
    const float want_dv[] = {1.25f, 0.5f, 0, 0.25f, /**/ 0.75f, 1.5f, 0, 0.75f};
    const size_t ends[] = {0, 2};
    float y[8], dq[8] = {0}, dk[8] = {0}, dv[8] = {0};
    nn_exec x = exec_with(NULL, 1, 2);

    nn_attn_fwd(&x, y, q, k, v, (nn_segments){ends, 1}, 0, 1, 1, 4);
    nn_attn_bwd(&x, dq, dk, dv, dy, q, k, v, (nn_segments){ends, 1}, 0, 1, 1, 4);
    expect_close("y", y, want_y, 8, 1e-6);
    expect_close("dq", dq, want_dq, 8, 1e-6);
    expect_close("dk", dk, want_dk, 8, 1e-6);
    expect_close("dv", dv, want_dv, 8, 1e-6);
    nn_exec_free(&x);
}
