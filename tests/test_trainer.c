/* Tests of nn/trainer.h: the gradient and its reproducibility. The optimiser and checkpoints: test_optim.c. */
#include "nn/rng.h"
#include "nn/trainer.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t lengths[] = {9, 1, 14, 6, 3};
#define N_SEG (sizeof lengths / sizeof *lengths)

/* --- the gradient ------------------------------------------------------------------------- */

/* Moves w along d and back; the slope of the loss by central differences. */
static double slope(nn_trainer *t, const nn_exec *x, const tiny_batch *b, float *w, const float *d, size_t n,
                    double h)
{
    double loss[2];
    float *kept = malloc(n * sizeof *kept);

    memcpy(kept, w, n * sizeof *kept);
    for (int side = 0; side < 2; side++) {
        const double step = side ? -h : h;
        for (size_t j = 0; j < n; j++) w[j] = (float)((double)kept[j] + step * (double)d[j]);
        loss[side] = nn_trainer_fwd(t, x, &b->b, &b->y).loss;
    }
    memcpy(w, kept, n * sizeof *kept);
    free(kept);
    return (loss[0] - loss[1]) / (2.0 * h);
}

/* Direction: the gradient's own plus an equally long random one, so that neither a missing nor an invented part hides. */
static void direction(float *d, const float *g, size_t n, double norm, uint64_t row)
{
    nn_rng rng = nn_rng_at(11, "direction", row);

    for (size_t j = 0; j < n; j++) {
        const double z = nn_rng_normal(&rng);
        d[j] = (float)((double)g[j] / norm + z / sqrt((double)n));
    }
}

static void check_tensor(nn_trainer *t, const nn_exec *x, const tiny_batch *b, const nn_tensor *w, const float *g,
                         uint64_t row)
{
    const size_t n = w->rows * w->cols;
    float *d = malloc(n * sizeof *d);
    double norm = 0.0, want = 0.0;

    for (size_t j = 0; j < n; j++) norm += (double)g[j] * (double)g[j];
    norm = sqrt(norm);
    cr_expect(norm > 1e-4, "%s: a gradient of norm %g tests nothing", w->name, norm);
    direction(d, g, n, norm, row);
    for (size_t j = 0; j < n; j++) want += (double)g[j] * (double)d[j];
    const double got = slope(t, x, b, w->data, d, n, 4e-3);
    const double noise = 1e-4; /* of two float losses over the step */
    cr_expect(fabs(got - want) <= 4e-3 * fabs(want) + noise, "%s: slope %g, gradient says %g", w->name, got, want);
    free(d);
}

Test(trainer, gradient_of_every_tensor_matches_finite_differences)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        nn_trainer *t = tiny_trainer(m, TINY_ROWS);
        nn_exec x = tiny_exec(1);
        tiny_batch b;

        tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
        nn_trainer_fwd(t, &x, &b.b, &b.y);
        nn_trainer_bwd(t, &x);
        for (size_t i = 0; i < nn_model_tensors(m); i++) {
            const nn_tensor w = nn_model_tensor(m, i);
            check_tensor(t, &x, &b, &w, nn_trainer_grad(t, i), i);
        }
        nn_exec_free(&x);
        nn_trainer_free(t);
        nn_model_free(m);
    }
}

Test(trainer, losses_are_the_sum_of_their_parts)
{
    nn_model *m = tiny_model(TINY_GUARD, 21);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS);
    nn_exec x = tiny_exec(1);
    tiny_batch b;
    double next = 0.0;

    tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
    const nn_losses all = nn_trainer_fwd(t, &x, &b.b, &b.y);
    for (size_t r = 0; r < b.start[N_SEG]; r++) {
        next -= (double)b.next_weight[r] * (double)nn_trainer_logprob(t)[r];
        cr_expect((nn_trainer_logprob(t)[r] == 0.0f) == (b.next[r] < 0));
    }
    cr_expect(all.next_loss > 0.0 && all.label_loss > 0.0 && all.category_loss > 0.0);
    expect_close_double("sum", &all.loss, &(double){all.next_loss + all.label_loss + all.category_loss}, 1, 0.0);
    expect_close_double("next", &all.next_loss, &next, 1, 1e-12);
    b.y.category = NULL;
    b.y.next = NULL;
    const nn_losses label = nn_trainer_fwd(t, &x, &b.b, &b.y);
    expect_close_double("label alone", &label.loss, &all.label_loss, 1, 0.0);
    for (size_t s = 0; s < N_SEG; s++) cr_expect(nn_trainer_p(t)[s] > 0.0f && nn_trainer_p(t)[s] < 1.0f);
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_model_free(m);
}

Test(trainer, forward_gives_the_bits_of_prefill)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        const nn_config *c = nn_model_config(m);
        nn_trainer *t = tiny_trainer(m, TINY_ROWS);
        nn_state *s = NULL;
        nn_exec x = tiny_exec(1);
        tiny_batch b;
        float logprob[TINY_ROWS];

        cr_assert(nn_state_build(&s, m, TINY_ROWS, TINY_SEG, NULL) == NN_OK);
        tiny_fill(&b, c, lengths, N_SEG, 4);
        for (size_t i = 0; i < N_SEG; i++)
            for (size_t r = b.start[i]; r < b.start[i + 1]; r++)
                b.next[r] = r + 1 < b.start[i + 1] ? b.ids[r + 1] : -1;
        b.y.offset = NULL;
        nn_trainer_fwd(t, &x, &b.b, &b.y);
        nn_model_fwd(m, s, &x, &b.b);
        if (c->n_class) {
            for (size_t i = 0; i < N_SEG; i++) {
                const float *z = nn_state_verdict(s) + 2 * i;
                const float want = 1.0f / (1.0f + expf(z[0] - z[1]));
                expect_close("p", nn_trainer_p(t) + i, &want, 1, 1e-6);
            }
        }
        if (c->lm_head) {
            nn_state_logprob(m, s, &x, &b.b, logprob);
            for (size_t i = 0; i < N_SEG; i++)
                expect_same_floats("logprob", logprob + b.start[i] + 1, nn_trainer_logprob(t) + b.start[i],
                                   lengths[i] - 1);
        }
        nn_state_free(s);
        nn_exec_free(&x);
        nn_trainer_free(t);
        nn_model_free(m);
    }
}

/* --- one gradient, however it is computed --------------------------------------------------- */

Test(trainer, micro_batches_give_the_gradient_bytes_of_one_batch)
{
    static const size_t cut[] = {0, 1, 3, N_SEG};

    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        nn_trainer *whole = tiny_trainer(m, TINY_ROWS), *parts = tiny_trainer(m, 24);
        nn_exec x = tiny_exec(1);
        tiny_batch b;

        tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
        nn_trainer_fwd(whole, &x, &b.b, &b.y);
        nn_trainer_bwd(whole, &x);
        for (size_t i = 0; i + 1 < sizeof cut / sizeof *cut; i++) {
            size_t start[N_SEG + 1];
            nn_batch part;
            nn_targets y;

            tiny_part(&part, &y, start, &b, nn_model_config(m), cut[i], cut[i + 1]);
            nn_trainer_fwd(parts, &x, &part, &y);
            nn_trainer_bwd(parts, &x);
        }
        expect_same_gradients("parts", parts, whole, m);
        nn_exec_free(&x);
        nn_trainer_free(parts);
        nn_trainer_free(whole);
        nn_model_free(m);
    }
}

/* One micro-batch apart, the next one at once, against both apart, in other threads. */
Test(trainer, forward_and_backward_at_once_are_the_bytes_of_both_apart)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        nn_trainer *apart = tiny_trainer(m, TINY_ROWS), *once = tiny_trainer(m, TINY_ROWS);
        nn_exec x1 = tiny_exec(1), x3 = tiny_exec(3);
        tiny_batch b, next;

        tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
        tiny_fill(&next, nn_model_config(m), lengths, N_SEG, 5);
        nn_trainer_fwd(apart, &x1, &next.b, &next.y);
        nn_trainer_bwd(apart, &x1);
        nn_trainer_fwd(once, &x3, &next.b, &next.y);
        nn_trainer_bwd(once, &x3);
        const nn_losses want = nn_trainer_fwd(apart, &x1, &b.b, &b.y);
        nn_trainer_bwd(apart, &x1);
        const nn_losses got = nn_trainer_fwd_bwd(once, &x3, &b.b, &b.y);
        expect_close_double("losses", &got.loss, &want.loss, 4, 0.0);
        if (nn_model_config(m)->lm_head)
            expect_same_floats("logprob", nn_trainer_logprob(once), nn_trainer_logprob(apart), b.start[N_SEG]);
        if (nn_model_config(m)->n_class)
            expect_same_floats("p", nn_trainer_p(once), nn_trainer_p(apart), N_SEG);
        expect_same_gradients("at once", once, apart, m);
        nn_exec_free(&x1);
        nn_exec_free(&x3);
        nn_trainer_free(once);
        nn_trainer_free(apart);
        nn_model_free(m);
    }
}

/* More rows than pass the output matrix at once: 1176 rows with a target against 49 batches of 24. */
Test(trainer, rows_beyond_one_chunk_of_logits_give_the_same_bytes)
{
    enum { T = 24, S = 49, R = S * T };
    static int32_t ids[R], next[R];
    static float weight[R];
    size_t start[S + 1];
    nn_model *m = tiny_model(TINY_LLAMA, 21);
    nn_trainer *whole = NULL, *parts = tiny_trainer(m, T);
    nn_exec x = tiny_exec(2);
    nn_rng rng = nn_rng_at(2, "rows", 0);

    cr_assert(nn_trainer_build(&whole, m, (nn_trainer_options){.max_rows = R, .max_seg = S}, NULL) == NN_OK);
    for (size_t r = 0; r < R; r++) {
        ids[r] = (int32_t)nn_rng_below(&rng, 37);
        next[r] = (int32_t)nn_rng_below(&rng, 37);
        weight[r] = nn_rng_float(&rng) / R;
    }
    for (size_t s = 0; s <= S; s++) start[s] = s * T;
    const nn_batch all = {ids, {start, S}, NULL, NULL};
    const nn_targets y = {.next = next, .next_weight = weight};
    nn_trainer_fwd_bwd(whole, &x, &all, &y);
    for (size_t s = 0; s < S; s++) {
        const nn_batch b = {ids + s * T, {start, 1}, NULL, NULL};
        const nn_targets y_s = {.next = next + s * T, .next_weight = weight + s * T};

        nn_trainer_fwd(parts, &x, &b, &y_s);
        expect_same_floats("logprob", nn_trainer_logprob(parts), nn_trainer_logprob(whole) + s * T, T);
        nn_trainer_bwd(parts, &x);
    }
    expect_same_gradients("chunks", parts, whole, m);
    nn_exec_free(&x);
    nn_trainer_free(parts);
    nn_trainer_free(whole);
    nn_model_free(m);
}

Test(trainer, thread_counts_give_the_same_bytes)
{
    for (size_t threads = 2; threads <= 3; threads++) {
        nn_model *m = tiny_model(TINY_GUARD, 21);
        nn_trainer *one = tiny_trainer(m, TINY_ROWS), *many = tiny_trainer(m, TINY_ROWS);
        nn_exec x1 = tiny_exec(1), xn = tiny_exec(threads);
        tiny_batch b;

        tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
        const double loss1 = nn_trainer_fwd(one, &x1, &b.b, &b.y).loss;
        const double lossn = nn_trainer_fwd(many, &xn, &b.b, &b.y).loss;
        nn_trainer_bwd(one, &x1);
        nn_trainer_bwd(many, &xn);
        cr_expect(loss1 == lossn);
        expect_same_gradients("threads", many, one, m);
        nn_exec_free(&x1);
        nn_exec_free(&xn);
        nn_trainer_free(one);
        nn_trainer_free(many);
        nn_model_free(m);
    }
}

Test(trainer, class_loss_alone_leaves_the_output_matrix_untouched)
{
    nn_config c = tiny_config(TINY_GUARD);
    nn_model *m = NULL;
    nn_tensor w;
    nn_exec x = tiny_exec(1);
    tiny_batch b;

    c.tied = false;
    cr_assert(nn_model_build(&m, &c, NULL) == NN_OK);
    nn_model_init(m, 3);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS);
    tiny_fill(&b, &c, lengths, N_SEG, 4);
    b.y.next = NULL;
    nn_trainer_fwd(t, &x, &b.b, &b.y);
    nn_trainer_bwd(t, &x);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const float *g = nn_trainer_grad(t, i);
        bool any = false;

        w = nn_model_tensor(m, i);
        for (size_t j = 0; j < w.rows * w.cols; j++) any = any || g[j] != 0.0f;
        cr_expect(any == (strcmp(w.name, "lm_head.weight") != 0), "%s", w.name);
    }
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_model_free(m);
}

Test(trainer, next_weights_are_read_by_backward)
{
    nn_model *m = tiny_model(TINY_LLAMA, 21);
    nn_trainer *before = tiny_trainer(m, TINY_ROWS), *between = tiny_trainer(m, TINY_ROWS);
    nn_exec x = tiny_exec(1);
    tiny_batch b;

    tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
    nn_trainer_fwd(before, &x, &b.b, &b.y);
    nn_trainer_bwd(before, &x);
    float kept[TINY_ROWS];
    memcpy(kept, b.next_weight, sizeof kept);
    memset(b.next_weight, 0, sizeof b.next_weight);
    cr_expect(nn_trainer_fwd(between, &x, &b.b, &b.y).loss == 0.0);
    memcpy(b.next_weight, kept, sizeof kept);
    nn_trainer_bwd(between, &x);
    expect_same_gradients("weights set between", between, before, m);
    nn_exec_free(&x);
    nn_trainer_free(between);
    nn_trainer_free(before);
    nn_model_free(m);
}
