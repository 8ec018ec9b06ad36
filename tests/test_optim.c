/* Tests of nn/trainer.h: the optimiser, checkpoints, ten golden steps. */
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

/* --- the optimiser --------------------------------------------------------------------------- */

static nn_losses train_step(nn_trainer *t, const nn_exec *x, const nn_config *c, uint64_t seed, double *norm)
{
    const nn_adamw o = nn_adamw_default();
    tiny_batch b;

    tiny_fill(&b, c, lengths, N_SEG, seed);
    const nn_losses loss = nn_trainer_fwd(t, x, &b.b, &b.y);
    nn_trainer_bwd(t, x);
    const double before = nn_trainer_step(t, x, &o);
    if (norm) *norm = before;
    return loss;
}

Test(optim, first_step_moves_every_weight_by_the_rate_against_its_gradient)
{
    nn_model *m = tiny_model(TINY_QWEN, 21);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS);
    nn_exec x = tiny_exec(2);
    tiny_batch b;
    nn_adamw o = nn_adamw_default();
    nn_tensor w;
    float g[20], old[20];

    o.weight_decay = 0.5f;
    o.lr_scale[3] = 0.0f; /* heads stand still */
    tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
    nn_trainer_fwd(t, &x, &b.b, &b.y);
    nn_trainer_bwd(t, &x);
    const size_t last = nn_model_tensors(m) - 1;
    w = nn_model_tensor(m, 2); /* blk.0.attn_q */
    const nn_tensor head = nn_model_tensor(m, last);
    cr_assert(w.decay && head.group == 3);
    memcpy(g, nn_trainer_grad(t, 2), sizeof g);
    memcpy(old, w.data, sizeof old);
    const float head_old = head.data[5];
    const double norm = nn_trainer_step(t, &x, &o);

    for (size_t j = 0; j < 20; j++) {
        /* |g| is far above eps: m / sqrt(v) is the sign of g */
        const float want = old[j] - o.lr * ((g[j] > 0.0f ? 1.0f : -1.0f) + o.weight_decay * old[j]);
        expect_close("w", w.data + j, &want, 1, 2e-6);
    }
    cr_expect(head.data[5] == head_old);
    cr_expect(norm > 0.0 && nn_trainer_steps(t) == 1);
    for (size_t j = 0; j < 20; j++) cr_expect(nn_trainer_grad(t, 2)[j] == 0.0f, "gradients are zero after a step");
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_model_free(m);
}

/* Of all gradients: the square root of the sum of squares, and how many are not 0. */
static double gradient_norm(nn_trainer *t, const nn_model *m, size_t *n_nonzero)
{
    double square = 0.0;

    *n_nonzero = 0;
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor w = nn_model_tensor(m, i);
        const float *g = nn_trainer_grad(t, i);

        for (size_t j = 0; j < w.rows * w.cols; j++) {
            square += (double)g[j] * (double)g[j];
            *n_nonzero += g[j] != 0.0f;
        }
    }
    return sqrt(square);
}

/* Large enough that several threads share a tensor's step and the tensors of the norm. */
static double two_steps(size_t threads, char hash[65])
{
    const nn_adamw o = nn_adamw_default();
    nn_config c = tiny_config(TINY_GUARD);
    nn_model *m = NULL;
    nn_exec x = tiny_exec(threads);
    tiny_batch b;
    double norm = 0.0;
    size_t n = 0;

    c.vocab = 700;
    c.width = 48;
    c.ff = 480;
    cr_assert(nn_model_build(&m, &c, NULL) == NN_OK);
    nn_model_init(m, 3);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS);
    for (uint64_t i = 0; i < 2; i++) {
        tiny_fill(&b, &c, lengths, N_SEG, i);
        nn_trainer_fwd_bwd(t, &x, &b.b, &b.y);
        const double want = gradient_norm(t, m, &n);
        norm = nn_trainer_step(t, &x, &o);
        expect_close_double("norm", &norm, &want, 1, 1e-6 * want);
        cr_expect(gradient_norm(t, m, &n) == 0.0 && n == 0, "%zu gradients are left after a step", n);
    }
    nn_model_hash(m, hash);
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_model_free(m);
    return norm;
}

Test(optim, thread_counts_give_the_same_step)
{
    char one[65], many[65];
    const double norm = two_steps(1, one);

    for (size_t threads = 2; threads <= 5; threads++) {
        cr_expect(two_steps(threads, many) == norm);
        cr_expect_str_eq(many, one);
    }
}

Test(optim, norm_that_is_not_finite_drops_the_gradient)
{
    nn_model *m = tiny_model(TINY_LLAMA, 21);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS);
    const nn_adamw o = nn_adamw_default();
    nn_exec x = tiny_exec(1);
    char before[65], after[65];

    nn_model_hash(m, before);
    nn_trainer_grad(t, 3)[1] = NAN;
    cr_expect(isnan(nn_trainer_step(t, &x, &o)));
    nn_model_hash(m, after);
    cr_expect_str_eq(before, after);
    cr_expect(nn_trainer_steps(t) == 0 && nn_trainer_grad(t, 3)[1] == 0.0f);
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_model_free(m);
}

Test(optim, schedule_warms_up_and_follows_the_cosine)
{
    const double got[] = {nn_schedule_cosine(0, 4, 12, 0.1),  nn_schedule_cosine(3, 4, 12, 0.1),
                          nn_schedule_cosine(4, 4, 12, 0.1),  nn_schedule_cosine(8, 4, 12, 0.1),
                          nn_schedule_cosine(12, 4, 12, 0.1), nn_schedule_cosine(99, 4, 12, 0.1),
                          nn_schedule_cosine(0, 0, 1, 0.1),   nn_schedule_cosine(0, 0, 0, 0.1)};
    const double want[] = {0.25, 1.0, 1.0, 0.55, 0.1, 0.1, 1.0, 0.1};

    expect_close_double("schedule", got, want, sizeof got / sizeof *got, 1e-15);
}

/* --- checkpoints ------------------------------------------------------------------------------ */

Test(checkpoint, save_load_continue_equals_uninterrupted)
{
    nn_model *m = tiny_model(TINY_GUARD, 21), *n = tiny_model(TINY_GUARD, 22);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS), *u = tiny_trainer(n, TINY_ROWS);
    nn_exec x = tiny_exec(1);
    const char *path = path_in(temp_dir(), "c.safetensors"), *again = path_in(temp_dir(), "d.safetensors");
    nn_err err = {NN_OK, ""};
    char *meta = NULL, a[65], b[65];
    size_t len = 0;

    for (uint64_t i = 0; i < 3; i++) train_step(t, &x, nn_model_config(m), i, NULL);
    train_step(u, &x, nn_model_config(n), 77, NULL); /* another past, to be forgotten */
    expect_ok(nn_trainer_save(t, path, "{\"epoch\": 2}", &err), &err);
    expect_ok(nn_trainer_load(u, path, &meta, &err), &err);
    cr_expect_str_eq(meta, "{\"epoch\": 2}");
    cr_expect_eq(nn_trainer_steps(u), 3u);
    expect_ok(nn_trainer_save(u, again, "{\"epoch\": 2}", &err), &err);
    char *bytes = read_bytes(path, &len);
    cr_expect(bytes_equal_file(again, bytes, len), "a checkpoint of a loaded checkpoint has its bytes");
    for (uint64_t i = 3; i < 6; i++) {
        train_step(t, &x, nn_model_config(m), i, NULL);
        train_step(u, &x, nn_model_config(n), i, NULL);
    }
    nn_model_hash(m, a);
    nn_model_hash(n, b);
    cr_expect_str_eq(a, b);
    free(bytes);
    nn_free(meta);
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_trainer_free(u);
    nn_model_free(m);
    nn_model_free(n);
}

Test(checkpoint, another_shape_is_refused_by_tensor_name)
{
    nn_model *guard = tiny_model(TINY_GUARD, 21), *llama = tiny_model(TINY_LLAMA, 21), *wide = NULL;
    nn_config c = tiny_config(TINY_GUARD);
    const char *path = path_in(temp_dir(), "c.safetensors");

    c.ff++;
    cr_assert(nn_model_build(&wide, &c, NULL) == NN_OK);
    nn_trainer *t = tiny_trainer(guard, 8), *u = tiny_trainer(llama, 8), *v = tiny_trainer(wide, 8);
    nn_err e1 = {NN_OK, ""}, e2 = {NN_OK, ""}, e3 = {NN_OK, ""};

    cr_assert(nn_trainer_save(t, path, NULL, NULL) == NN_OK);
    expect_fails(nn_trainer_load(v, path, NULL, &e1), NN_FILE, &e1, "model.layers.0.mlp.gate_proj.weight");
    expect_fails(nn_trainer_load(u, path, NULL, &e2), NN_FILE, &e2, "tensors, want");
    cr_assert(nn_trainer_save(u, path, NULL, NULL) == NN_OK);
    expect_fails(nn_trainer_load(t, path, NULL, &e3), NN_FILE, &e3, "guard.memory.weight is missing");
    nn_trainer_free(t);
    nn_trainer_free(u);
    nn_trainer_free(v);
    nn_model_free(guard);
    nn_model_free(llama);
    nn_model_free(wide);
}

Test(checkpoint, truncated_or_altered_files_are_refused_and_change_nothing)
{
    nn_model *m = tiny_model(TINY_LLAMA, 21), *n = tiny_model(TINY_LLAMA, 22);
    nn_trainer *t = tiny_trainer(m, 8), *u = tiny_trainer(n, 8);
    const char *path = path_in(temp_dir(), "c.safetensors");
    char before[65], after[65];
    size_t len = 0;

    nn_model_hash(n, before);
    cr_assert(nn_trainer_save(t, path, "{}", NULL) == NN_OK);
    char *bytes = read_bytes(path, &len), *at = NULL;
    for (size_t cut = 0; cut < len; cut += cut < 600 ? 7 : len / 13) {
        nn_err err = {NN_OK, ""};

        write_bytes(path, bytes, cut);
        cr_expect(nn_trainer_load(u, path, NULL, &err) == NN_FILE && err.text[0], "cut at %zu of %zu", cut, len);
    }
    static const char *const altered[][2] = {{"\"steps\":\"0\"", "\"steps\":\"x\""},
                                             {"3ff0000000000000", "7ff8000000000000"},
                                             {"adam_m.model.norm.weight", "adam_x.model.norm.weight"},
                                             {"parapet-trainer-1", "parapet-trainer-9"}};
    for (size_t i = 0; i < sizeof altered / sizeof *altered; i++) {
        nn_err err = {NN_OK, ""};
        const size_t n_key = strlen(altered[i][0]);

        for (at = bytes + 8; memcmp(at, altered[i][0], n_key) != 0;) at++;
        memcpy(at, altered[i][1], n_key);
        write_bytes(path, bytes, len);
        cr_expect(nn_trainer_load(u, path, NULL, &err) == NN_FILE && err.text[0], "%s", altered[i][1]);
        memcpy(at, altered[i][0], n_key);
    }
    nn_model_hash(n, after);
    cr_expect_str_eq(before, after);
    free(bytes);
    nn_trainer_free(t);
    nn_trainer_free(u);
    nn_model_free(m);
    nn_model_free(n);
}

Test(checkpoint, save_and_load_survive_every_failed_allocation)
{
    nn_model *m = tiny_model(TINY_LLAMA, 21);
    nn_trainer *t = tiny_trainer(m, 8);
    const char *path = path_in(temp_dir(), "c.safetensors");
    long n = 0;

    for (int loading = 0; loading < 2; loading++) {
        for (n = 0;; n++) {
            nn_err err = {NN_OK, ""};
            char *meta = NULL;

            nn_alloc_fail_at(n);
            const nn_status st = loading ? nn_trainer_load(t, path, &meta, &err) : nn_trainer_save(t, path, "m", &err);
            nn_alloc_fail_at(-1);
            cr_expect((meta != NULL) == (loading && st == NN_OK));
            nn_free(meta);
            if (st == NN_OK) break;
            cr_assert(st == NN_LIMIT, "%s", err.text);
        }
        cr_expect(n >= 2);
    }
    nn_trainer_free(t);
    nn_model_free(m);
}

/* --- golden ------------------------------------------------------------------------------------ */

#define GOLDEN "tests/golden/train_10.txt"
#define STEPS 10

/* Ten steps of a guard with every part: the loss of each in hex, exactly. */
static void golden_losses(double loss[STEPS], const char *kernels)
{
    const nn_config c = tiny_config(TINY_GUARD);
    nn_model *m = NULL;
    nn_exec x;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_exec_open(&x, kernels, 1, c.max_t, &err), &err);
    expect_ok(nn_model_build(&m, &c, &err), &err);
    nn_model_init(m, 1);
    nn_trainer *t = tiny_trainer(m, TINY_ROWS);
    for (uint64_t i = 0; i < STEPS; i++) loss[i] = train_step(t, &x, &c, i % 3, NULL).loss;
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_model_free(m);
}

Test(trainer, ten_steps_give_the_golden_losses)
{
    double loss[STEPS];
    char text[64 * STEPS], *at = text;

    golden_losses(loss, NULL);
    if (getenv("PARAPET_GOLDEN")) {
        for (size_t i = 0; i < STEPS; i++) at += sprintf(at, "%a\n", loss[i]);
        write_text(GOLDEN, text);
    }
    char *want = read_bytes(GOLDEN, NULL);
    at = want;
    for (size_t i = 0; i < STEPS; i++) {
        const double w = strtod(at, &at);
        cr_expect(loss[i] == w, "step %zu: loss %a, golden %a", i, loss[i], w);
    }
    cr_expect(loss[STEPS - 1] < loss[0], "ten steps learn something");
    free(want);
}

Test(trainer, base_kernels_give_the_golden_losses)
{
    double best[STEPS], base[STEPS];

    golden_losses(best, NULL);
    golden_losses(base, "base");
    for (size_t i = 0; i < STEPS; i++) cr_expect(best[i] == base[i], "step %zu: %a, base %a", i, best[i], base[i]);
}
