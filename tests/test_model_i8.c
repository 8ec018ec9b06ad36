/* Models with int8 matrices: near the floats, the same bits from every way of computing, nothing believed of a file. */
#include "nn/decode.h"
#include "nn/model_impl.h"
#include "nn/trainer.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t lengths[] = {5, 1, 9, 7};
enum { N_SEG = 4 };

static nn_model *quantized(const nn_model *m, const nn_exec *x)
{
    nn_model *q = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_quantize(&q, m, x->k, &err), &err);
    return q;
}

static nn_state *build_state(const nn_model *m)
{
    nn_state *s = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_state_build(&s, m, TINY_ROWS, TINY_SEG, &err), &err);
    return s;
}

/* |a - b| / |b| over n numbers */
static double distance(const float *a, const float *b, size_t n)
{
    double square = 0.0, norm = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        square += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(square / norm);
}

Test(model_i8, hidden_states_are_near_those_of_the_floats)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 7);
        nn_exec x = tiny_exec(1);
        nn_model *q = quantized(m, &x);
        nn_state *a = build_state(m), *b = build_state(q);
        tiny_batch t;

        tiny_fill(&t, nn_model_config(m), lengths, N_SEG, 2);
        nn_model_fwd(m, a, &x, &t.b);
        nn_model_fwd(q, b, &x, &t.b);
        const double d = distance(nn_state_hidden(b), nn_state_hidden(a), t.start[N_SEG] * nn_model_config(m)->width);
        cr_expect(d > 0.0 && d < 0.03, "kind %d: %g of the norm", k, d);
        nn_state_free(a);
        nn_state_free(b);
        nn_model_free(q);
        nn_model_free(m);
        nn_exec_free(&x);
    }
}

/* By rows and by columns, one thread and three, every table, a clone. */
Test(model_i8, threads_tables_and_clones_change_no_bit)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 7);
        nn_exec one = tiny_exec(1);
        nn_model *q = quantized(m, &one), *copy = NULL;
        const size_t n = nn_model_config(m)->width;
        nn_state *a = build_state(q), *b = NULL;
        char hash[65], copied[65];
        const nn_kern *table = NULL;
        bool supported = false;
        tiny_batch t;

        cr_assert(nn_model_clone(&copy, q, NULL) == NN_OK && nn_model_is_i8(copy));
        nn_model_hash(q, hash);
        nn_model_hash(copy, copied);
        cr_expect_str_eq(hash, copied);
        b = build_state(copy);
        tiny_fill(&t, nn_model_config(m), lengths, N_SEG, 2);
        nn_model_fwd(q, a, &one, &t.b);
        for (size_t i = 0; (table = nn_kern_at(i, &supported)) != NULL; i++) {
            nn_exec x;

            if (!supported) continue;
            cr_assert(nn_exec_open(&x, table->name, 3, TINY_ROWS, NULL) == NN_OK);
            nn_model_fwd(copy, b, &x, &t.b);
            expect_same_floats(table->name, nn_state_hidden(b), nn_state_hidden(a), t.start[N_SEG] * n);
            nn_exec_free(&x);
        }
        nn_state_free(a);
        nn_state_free(b);
        nn_model_free(copy);
        nn_model_free(q);
        nn_model_free(m);
        nn_exec_free(&one);
    }
}

Test(model_i8, cached_decoding_gives_the_bits_of_prefill)
{
    enum { NEW = 12 };
    nn_model *m = tiny_model(TINY_QWEN, 31);
    nn_exec x = tiny_exec(2);
    nn_model *q = quantized(m, &x);
    const nn_sampler s = nn_sampler_default();
    const int32_t prompt[] = {3, 1, 4};
    int32_t ids[3 + NEW] = {3, 1, 4};
    float drawn[NEW], prefill[3 + NEW];
    nn_decode_row row = {.prompt = prompt, .n_prompt = 3, .max_new = NEW, .rng = nn_rng_at(1, "i8", 0), .out = ids + 3,
                         .logprob = drawn};
    nn_state *state = build_state(q);
    nn_decoder *d = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_decoder_build(&d, q, 2, &err), &err);
    nn_decode_batch(q, d, &x, &row, 1, &s, NULL, NULL);
    const size_t start[2] = {0, 3 + row.n_out};
    const nn_batch b = {ids, {start, 1}, NULL, NULL};
    nn_state_logprob(q, state, &x, &b, prefill);
    cr_expect_eq(row.n_out, NEW);
    expect_same_floats("logprob", drawn, prefill + 3, row.n_out);
    nn_decoder_free(d);
    nn_state_free(state);
    nn_model_free(q);
    nn_model_free(m);
    nn_exec_free(&x);
}

/* As a file would give them: the panels stay where they are, the scales are copied. */
Test(model_i8, placed_panels_are_the_quantized_model)
{
    nn_model *m = tiny_model(TINY_GUARD, 7), *placed = NULL;
    nn_exec x = tiny_exec(1);
    nn_model *q = quantized(m, &x);
    char hash[65], got[65];
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_build_i8(&placed, nn_model_config(m), &err), &err);
    for (size_t i = 0; i < nn_model_tensors(q); i++) {
        const nn_tensor from = nn_model_tensor(q, i), to = nn_model_tensor(placed, i);

        cr_assert((from.i8 != NULL) == (to.i8 != NULL) && (from.i8 != NULL) == (from.data == NULL));
        if (from.i8) expect_ok(nn_model_place_i8(placed, i, from.i8->panels, from.i8->scale, x.k, &err), &err);
        else memcpy(to.data, from.data, from.rows * from.cols * sizeof *to.data);
    }
    nn_model_hash(q, hash);
    nn_model_hash(placed, got);
    cr_expect_str_eq(got, hash);
    nn_model_free(placed);
    nn_model_free(q);
    nn_model_free(m);
    nn_exec_free(&x);
}

Test(model_i8, bad_bytes_and_training_are_refused)
{
    nn_model *m = tiny_model(TINY_QWEN, 7), *placed = NULL, *again = NULL;
    nn_exec x = tiny_exec(1);
    nn_model *q = quantized(m, &x);
    const nn_tensor t = nn_model_tensor(q, 0);
    const size_t bytes = nn_i8_rows(t.rows) * nn_i8_cols(t.cols);
    int8_t *panels = malloc(bytes);
    float *scale = malloc(nn_i8_rows(t.rows) * sizeof *scale);
    nn_trainer *trainer = NULL;
    nn_err e1 = {0}, e2 = {0}, e3 = {0}, e4 = {0};

    cr_assert(panels && scale && nn_model_build_i8(&placed, nn_model_config(m), NULL) == NN_OK);
    memcpy(panels, t.i8->panels, bytes);
    memcpy(scale, t.i8->scale, nn_i8_rows(t.rows) * sizeof *scale);
    panels[bytes / 2] = -128;
    expect_fails(nn_model_place_i8(placed, 0, panels, scale, x.k, &e1), NN_FILE, &e1, "token_embd.weight: int8 matrix");
    panels[bytes / 2] = 0;
    scale[1] = NAN;
    expect_fails(nn_model_place_i8(placed, 0, panels, scale, x.k, &e2), NN_FILE, &e2, "scale");
    const nn_trainer_options small = {.max_rows = 8, .max_seg = 2};
    expect_fails(nn_trainer_build(&trainer, q, small, &e3), NN_USAGE, &e3, "int8");
    expect_fails(nn_model_quantize(&again, q, x.k, &e4), NN_USAGE, &e4, "int8 already");
    free(scale);
    free(panels);
    nn_model_free(placed);
    nn_model_free(q);
    nn_model_free(m);
    nn_exec_free(&x);
}
