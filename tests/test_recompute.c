/* nn/trainer.h with recompute: the same bits from less memory. */
#include "nn/trainer.h"
#include "tests/support.h"
#include "tests/test_model_support.h"

static const size_t lengths[] = {9, 1, 14, 6, 3};
#define N_SEG (sizeof lengths / sizeof *lengths)

static nn_trainer *recomputing(nn_model *m)
{
    const nn_trainer_options o = {.max_rows = TINY_ROWS, .max_seg = TINY_SEG, .recompute = true};
    nn_trainer *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_trainer_build(&t, m, o, &err), &err);
    return t;
}

/* At once, then apart and backward twice, which begins with what the first left in the shared buffers. */
Test(recompute, gradients_are_those_of_kept_activations)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        nn_trainer *kept = tiny_trainer(m, TINY_ROWS), *again = recomputing(m);
        nn_exec x1 = tiny_exec(1), x3 = tiny_exec(3);
        tiny_batch b;

        tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
        const nn_losses want = nn_trainer_fwd_bwd(kept, &x1, &b.b, &b.y);
        const nn_losses got = nn_trainer_fwd_bwd(again, &x3, &b.b, &b.y);
        expect_close_double("losses", &got.loss, &want.loss, 4, 0.0);
        expect_same_gradients("at once", again, kept, m);
        nn_trainer_fwd(kept, &x1, &b.b, &b.y);
        nn_trainer_fwd(again, &x3, &b.b, &b.y);
        for (int i = 0; i < 2; i++) {
            nn_trainer_bwd(kept, &x1);
            nn_trainer_bwd(again, &x3);
        }
        expect_same_gradients("twice", again, kept, m);
        nn_exec_free(&x1);
        nn_exec_free(&x3);
        nn_trainer_free(again);
        nn_trainer_free(kept);
        nn_model_free(m);
    }
}

/* 8 more layers cost their weights, gradients and moments, and one row of the stream each. */
Test(recompute, bytes_grow_with_the_inputs_of_layers_alone)
{
    enum { ROWS = 4096, MORE = 8, LINE = 64 };
    nn_config c = nn_config_default();
    nn_trainer_options o = {.max_rows = ROWS, .max_seg = 1, .recompute = true};
    const size_t before = nn_trainer_bytes(&c, o), params = nn_config_params(&c);

    c.layers += MORE;
    const size_t weights = 3 * (nn_config_params(&c) - params) * sizeof(float);
    const size_t stream = MORE * ROWS * c.width * sizeof(float), after = nn_trainer_bytes(&c, o);
    cr_expect(after - before >= weights + stream);
    cr_expect(after - before <= weights + stream + (size_t)MORE * 64 * LINE, "%zu", after - before - weights - stream);
    o.recompute = false;
    cr_expect(nn_trainer_bytes(&c, o) > 2 * after);
}
