/* Tests of nn/lora.h: adapters beside a model, merged into it, and trained beside it. */
#include "nn/lora.h"
#include "nn/arena.h"
#include "nn/lora_impl.h"
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
#define ALL_ROWS 33
#define VOCAB 37

static nn_lora *adapters(const nn_config *c, float dropout, uint64_t seed)
{
    const nn_lora_options o = {.rank = 3, .alpha = 5.0f, .dropout = dropout, .targets = NN_LORA_ALL, .seed = seed};
    nn_lora *l = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_lora_build(&l, c, &o, &err), &err);
    return l;
}

/* The same with B away from zero, so that A matters. */
static nn_lora *spread(const nn_config *c, float dropout, uint64_t seed)
{
    nn_lora *l = adapters(c, dropout, seed);

    for (size_t i = 0; i < nn_lora_tensors(l); i++) {
        const nn_tensor t = nn_lora_tensor(l, i);
        nn_rng rng = nn_rng_at(seed, "spread", i);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const double z = nn_rng_normal(&rng);
            t.data[j] += 0.2f * (float)z;
        }
    }
    return l;
}

static nn_trainer *lora_trainer(nn_model *m, nn_lora *l, bool recompute)
{
    const nn_trainer_options o = {.max_rows = TINY_ROWS, .max_seg = TINY_SEG, .recompute = recompute, .lora = l};
    nn_trainer *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_trainer_build(&t, m, o, &err), &err);
    return t;
}

static void expect_same_adapters(const nn_lora *a, const nn_lora *b)
{
    for (size_t i = 0; i < nn_lora_tensors(a); i++) {
        const nn_tensor t = nn_lora_tensor(a, i);
        expect_same_floats(t.name, t.data, nn_lora_tensor(b, i).data, t.rows * t.cols);
    }
}

/* --- what they are ---------------------------------------------------------------------------- */

Test(lora, begins_as_nothing_and_as_a_function_of_seed_and_name)
{
    const nn_config c = tiny_config(TINY_GUARD);
    nn_lora *a = adapters(&c, 0.0f, 1), *b = adapters(&c, 0.0f, 1), *other = adapters(&c, 0.0f, 2);
    double square = 0.0;
    size_t n = 0;

    cr_assert(nn_lora_tensors(a) == c.layers * NN_LORA_TARGETS * 2);
    cr_expect_str_eq(nn_lora_tensor(a, 0).name, "model.layers.0.self_attn.q_proj.lora_A.weight");
    cr_expect_str_eq(nn_lora_tensor(a, 27).name, "model.layers.1.mlp.down_proj.lora_B.weight");
    expect_same_adapters(a, b);
    cr_expect(memcmp(nn_lora_tensor(a, 0).data, nn_lora_tensor(other, 0).data, 60 * sizeof(float)) != 0);
    for (size_t i = 0; i < nn_lora_tensors(a); i++) {
        const nn_tensor t = nn_lora_tensor(a, i);
        const double bound = 1.0 / sqrt((double)t.cols);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            if (i % 2) cr_expect(t.data[j] == 0.0f, "%s", t.name);
            else cr_expect(fabs((double)t.data[j]) <= bound, "%s", t.name);
            if (i % 2 == 0) square += (double)t.data[j] * (double)t.data[j] / (bound * bound);
            n += i % 2 == 0;
        }
    }
    square /= (double)n; /* of a uniform in +-1: a third */
    expect_close_double("variance", &square, &(double){1.0 / 3.0}, 1, 0.03);
    nn_lora_free(a);
    nn_lora_free(b);
    nn_lora_free(other);
}

Test(lora, options_and_shapes_that_cannot_be_are_refused)
{
    nn_config c = tiny_config(TINY_LLAMA);
    nn_lora_options o = nn_lora_default();
    nn_model *m = tiny_model(TINY_LLAMA, 21);
    nn_lora *l = NULL, *wide = NULL;
    nn_trainer *t = NULL;
    nn_state *s = NULL;
    nn_err e[7] = {{NN_OK, ""}};

    o.rank = 0;
    expect_fails(nn_lora_build(&l, &c, &o, &e[0]), NN_USAGE, &e[0], "rank is 0");
    o.rank = 4;
    o.alpha = 0.0f;
    expect_fails(nn_lora_build(&l, &c, &o, &e[1]), NN_USAGE, &e[1], "alpha");
    o.alpha = 4.0f;
    o.dropout = 1.0f;
    expect_fails(nn_lora_build(&l, &c, &o, &e[2]), NN_USAGE, &e[2], "dropout");
    o.dropout = 0.0f;
    o.targets = 0;
    expect_fails(nn_lora_build(&l, &c, &o, &e[3]), NN_USAGE, &e[3], "target");
    o.targets = 1u << NN_LORA_DOWN;
    c.ff++;
    expect_ok(nn_lora_build(&wide, &c, &o, NULL), NULL);
    const nn_trainer_options small = {.max_rows = 8, .max_seg = 2, .lora = wide};
    expect_fails(nn_trainer_build(&t, m, small, &e[4]), NN_USAGE, &e[4], "down_proj [20, 29], the model's is [20, 28]");
    expect_fails(nn_state_build_lora(&s, m, wide, 8, 2, &e[5]), NN_USAGE, &e[5], "down_proj");
    nn_exec x = tiny_exec(1);
    expect_fails(nn_lora_merge(m, wide, &x, &e[6]), NN_USAGE, &e[6], "down_proj");
    nn_exec_free(&x);
    nn_lora_free(wide);
    nn_model_free(m);
}

/* --- beside a model and in it ----------------------------------------------------------------- */

/* logits [ALL_ROWS, vocab]: of the next token, where the model has them */
static void forward(float *hidden, float *logits, const nn_model *m, const nn_lora *l, const nn_exec *x)
{
    const nn_config *c = nn_model_config(m);
    nn_state *s = NULL;
    tiny_batch b;
    nn_err err = {NN_OK, ""};

    tiny_fill(&b, c, lengths, N_SEG, 4);
    expect_ok(nn_state_build_lora(&s, m, l, TINY_ROWS, TINY_SEG, &err), &err);
    nn_model_fwd(m, s, x, &b.b);
    memcpy(hidden, nn_state_hidden(s), ALL_ROWS * c->width * sizeof *hidden);
    if (c->lm_head) {
        size_t rows[ALL_ROWS];

        for (size_t r = 0; r < ALL_ROWS; r++) rows[r] = r;
        nn_state_lm_logits(m, s, x, logits, rows, ALL_ROWS);
    }
    nn_state_free(s);
}

static double norm_of(const float *a, const float *b, size_t n)
{
    double square = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (b ? (double)b[i] : 0.0);
        square += d * d;
    }
    return sqrt(square);
}

/* Bound: rounding differs by some units in the last place of a product; two layers here keep that below 2^-19 of the
 * norm, where what the adapters say is a tenth of it and more. */
Test(lora, merged_is_unmerged_but_for_rounding)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        const nn_config *c = nn_model_config(m);
        const size_t n = ALL_ROWS * c->width;
        nn_lora *l = spread(c, 0.5f, 3), *silent = adapters(c, 0.0f, 3);
        nn_exec x = tiny_exec(2);
        float plain[ALL_ROWS * 20], beside[ALL_ROWS * 20], merged[ALL_ROWS * 20];
        float said_l[ALL_ROWS * VOCAB], beside_l[ALL_ROWS * VOCAB], merged_l[ALL_ROWS * VOCAB];

        forward(plain, said_l, m, NULL, &x);
        forward(beside, said_l, m, silent, &x);
        expect_same_floats("adapters that say nothing", beside, plain, n);
        forward(beside, beside_l, m, l, &x);
        expect_ok(nn_lora_merge(m, l, &x, NULL), NULL);
        forward(merged, merged_l, m, NULL, &x);
        const double size = norm_of(beside, NULL, n), said = norm_of(beside, plain, n);
        const double off = norm_of(beside, merged, n);
        cr_expect(off < size * 0x1p-19, "kind %d: %g of %g", k, off, size);
        cr_expect(said > 0.1 * size, "kind %d: %g of %g", k, said, size);
        if (c->lm_head) {
            const size_t n_l = ALL_ROWS * c->vocab;
            const double size_l = norm_of(beside_l, NULL, n_l), off_l = norm_of(beside_l, merged_l, n_l);
            cr_assert(c->vocab == VOCAB);
            cr_expect(off_l < size_l * 0x1p-19, "kind %d: logits: %g of %g", k, off_l, size_l);
        }
        nn_exec_free(&x);
        nn_lora_free(silent);
        nn_lora_free(l);
        nn_model_free(m);
    }
}

/* --- gradients -------------------------------------------------------------------------------- */

typedef struct {
    nn_trainer *t;
    const nn_exec *x;
    const tiny_batch *b;
    bool drop; /* fwd_bwd: adapters drop out */
} losing;

static double loss_of(const losing *o)
{
    if (!o->drop) return nn_trainer_fwd(o->t, o->x, &o->b->b, &o->b->y).loss;
    nn_trainer_zero(o->t);
    return nn_trainer_fwd_bwd(o->t, o->x, &o->b->b, &o->b->y).loss;
}

/* Along the gradient's own direction and a random one of the same length, by central differences. */
static void check_slope(const losing *o, const nn_tensor *w, const float *of_loss, uint64_t row)
{
    const size_t n = w->rows * w->cols;
    const double h = 2e-3, norm = norm_of(of_loss, NULL, n);
    float *kept = malloc(n * sizeof *kept), *g = malloc(n * sizeof *g);
    nn_rng rng = nn_rng_at(11, "direction", row);
    double loss[2] = {0.0, 0.0}, want = 0.0;

    memcpy(kept, w->data, n * sizeof *kept);
    memcpy(g, of_loss, n * sizeof *g);
    cr_expect(norm > 1e-4, "%s: a gradient of norm %g tests nothing", w->name, norm);
    for (int side = 0; side < 2; side++) {
        rng.pos = 0;
        want = 0.0;
        for (size_t j = 0; j < n; j++) {
            const double z = nn_rng_normal(&rng), d = (double)g[j] / norm + z / sqrt((double)n);
            want += d * (double)g[j];
            w->data[j] = (float)((double)kept[j] + (side ? -h : h) * d);
        }
        loss[side] = loss_of(o);
    }
    memcpy(w->data, kept, n * sizeof *kept);
    const double got = (loss[0] - loss[1]) / (2.0 * h);
    cr_expect(fabs(got - want) <= 4e-3 * fabs(want) + 2e-4, "%s: slope %g, gradient says %g", w->name, got, want);
    free(kept);
    free(g);
}

/* Of m, whose matrices may be stored. */
static void check_gradients_of(nn_model *m, float dropout)
{
    const nn_config *c = nn_model_config(m);
    nn_lora *l = spread(c, dropout, 5);
    nn_trainer *t = lora_trainer(m, l, false), *fixed = lora_trainer(m, l, false);
    nn_exec x = tiny_exec(1);
    tiny_batch b;
    const losing o = {fixed, &x, &b, dropout > 0.0f};

    tiny_fill(&b, c, lengths, N_SEG, 4);
    nn_trainer_fwd_bwd(t, &x, &b.b, &b.y);
    for (size_t i = 0; i < nn_lora_tensors(l); i++) {
        const nn_tensor w = nn_lora_tensor(l, i);
        check_slope(&o, &w, nn_trainer_lora_grad(t, i), i);
    }
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor w = nn_model_tensor(m, i);
        const bool head = strcmp(w.name, "cls.output.weight") == 0 || strcmp(w.name, "guard.category.weight") == 0;

        cr_expect((nn_trainer_grad(t, i) != NULL) == head, "%s", w.name);
        if (head) check_slope(&o, &w, nn_trainer_grad(t, i), 1000 + i);
    }
    nn_exec_free(&x);
    nn_trainer_free(fixed);
    nn_trainer_free(t);
    nn_lora_free(l);
}

static void check_gradients(tiny_kind kind, float dropout)
{
    nn_model *m = tiny_model(kind, 21);

    check_gradients_of(m, dropout);
    nn_model_free(m);
}

Test(lora, gradient_of_every_adapter_and_head_matches_finite_differences)
{
    for (int k = 0; k < TINY_KINDS; k++) check_gradients((tiny_kind)k, 0.0f);
}

Test(lora, gradient_under_dropout_is_that_of_the_masked_model)
{
    check_gradients(TINY_LLAMA, 0.4f);
    check_gradients(TINY_GUARD, 0.4f);
}

/* Half of what enters is dropped: another loss than without, and another one in the next step. */
Test(lora, dropout_is_of_the_step_and_of_training_alone)
{
    nn_model *m = tiny_model(TINY_LLAMA, 21);
    const nn_config *c = nn_model_config(m);
    nn_lora *l = spread(c, 0.5f, 5), *none = spread(c, 0.0f, 5);
    nn_trainer *t = lora_trainer(m, l, false), *plain = lora_trainer(m, none, false);
    nn_adamw still = nn_adamw_default();
    nn_exec x = tiny_exec(1);
    tiny_batch b;

    still.lr = 0.0f;
    tiny_fill(&b, c, lengths, N_SEG, 4);
    const double want = nn_trainer_fwd(plain, &x, &b.b, &b.y).loss;
    cr_expect(nn_trainer_fwd(t, &x, &b.b, &b.y).loss == want, "looked at, nothing drops out");
    const double first = nn_trainer_fwd_bwd(t, &x, &b.b, &b.y).loss;
    nn_trainer_zero(t);
    cr_expect(first != want && nn_trainer_fwd_bwd(t, &x, &b.b, &b.y).loss == first);
    nn_trainer_step(t, &x, &still);
    cr_expect(nn_trainer_fwd_bwd(t, &x, &b.b, &b.y).loss != first);
    nn_exec_free(&x);
    nn_trainer_free(plain);
    nn_trainer_free(t);
    nn_lora_free(none);
    nn_lora_free(l);
    nn_model_free(m);
}

Test(lora, micro_batches_threads_and_recomputing_give_the_same_bytes)
{
    static const size_t cut[] = {0, 1, 3, N_SEG};

    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 21);
        const nn_config *c = nn_model_config(m);
        nn_lora *l = spread(c, 0.3f, 5);
        nn_trainer *whole = lora_trainer(m, l, false), *parts = lora_trainer(m, l, true);
        nn_exec x1 = tiny_exec(1), x3 = tiny_exec(3);
        tiny_batch b;

        tiny_fill(&b, c, lengths, N_SEG, 4);
        nn_trainer_fwd_bwd(whole, &x1, &b.b, &b.y);
        for (size_t i = 0; i + 1 < sizeof cut / sizeof *cut; i++) {
            size_t start[N_SEG + 1];
            nn_batch part;
            nn_targets y;

            tiny_part(&part, &y, start, &b, c, cut[i], cut[i + 1]);
            nn_trainer_fwd_bwd(parts, &x3, &part, &y);
        }
        for (size_t i = 0; i < nn_lora_tensors(l); i++) {
            const nn_tensor t = nn_lora_tensor(l, i);
            expect_same_floats(t.name, nn_trainer_lora_grad(parts, i), nn_trainer_lora_grad(whole, i), t.rows * t.cols);
        }
        nn_exec_free(&x1);
        nn_exec_free(&x3);
        nn_trainer_free(parts);
        nn_trainer_free(whole);
        nn_lora_free(l);
        nn_model_free(m);
    }
}

/* --- frozen weights in their file's types ----------------------------------------------------- */

typedef struct {
    nn_model *stored, *floats; /* the same weights */
    unsigned char *bytes[64];
} pair;

static pair pair_of(tiny_kind kind, nn_dtype type)
{
    nn_config c = tiny_config(kind);
    pair p = {NULL, NULL, {NULL}};
    nn_err err = {NN_OK, ""};

    if (nn_dtype_block(type) > 1) {
        c.width = 64;
        c.heads = 4;
        c.head_dim = 32;
        c.ff = 96;
    }
    expect_ok(nn_model_build_stored(&p.stored, &c, &err), &err);
    nn_model_init_heads(p.stored, 3);
    cr_assert(nn_model_tensors(p.stored) <= 64);
    for (size_t i = 0; i < nn_model_tensors(p.stored); i++) {
        const nn_tensor t = nn_model_tensor(p.stored, i);
        const size_t n = t.rows * t.cols;
        nn_rng rng = nn_rng_at(1, "weights", i);
        float *w = malloc(n * sizeof *w);

        if (t.data) {
            free(w);
            continue;
        }
        for (size_t j = 0; j < n; j++) {
            const double z = nn_rng_normal(&rng);
            w[j] = 0.25f * (float)z;
        }
        p.bytes[i] = malloc(nn_dtype_bytes(type, n));
        nn_dtype_from_f32(p.bytes[i], type, w, n);
        expect_ok(nn_model_place_stored(p.stored, i, type, p.bytes[i], &err), &err);
        free(w);
    }
    expect_ok(nn_model_floats(&p.floats, p.stored, &err), &err);
    return p;
}

static void pair_free(pair *p)
{
    nn_model_free(p->stored);
    nn_model_free(p->floats);
    for (size_t i = 0; i < 64; i++) free(p->bytes[i]);
}

static void some_steps(nn_trainer *t, const nn_exec *x, const nn_config *c, uint64_t first, uint64_t last)
{
    nn_adamw o = nn_adamw_default();
    tiny_batch b;

    o.lr = 0.02f;
    for (uint64_t i = first; i < last; i++) {
        tiny_fill(&b, c, lengths, N_SEG, i);
        nn_trainer_fwd_bwd(t, x, &b.b, &b.y);
        nn_trainer_step(t, x, &o);
    }
}

static void check_stored(tiny_kind kind, nn_dtype type)
{
    pair p = pair_of(kind, type);
    const nn_config *c = nn_model_config(p.stored);
    nn_lora *a = adapters(c, 0.2f, 9), *b = adapters(c, 0.2f, 9), *start = adapters(c, 0.2f, 9);
    nn_trainer *t = lora_trainer(p.stored, a, true), *u = lora_trainer(p.floats, b, false);
    nn_exec x3 = tiny_exec(3), x1 = tiny_exec(1);
    nn_tensor head, same;

    some_steps(t, &x3, c, 0, 4);
    some_steps(u, &x1, c, 0, 4);
    expect_same_adapters(a, b);
    cr_expect(memcmp(nn_lora_tensor(a, 0).data, nn_lora_tensor(start, 0).data, 20 * sizeof(float)) != 0);
    if (nn_model_find(p.stored, "cls.output.weight", &head) && nn_model_find(p.floats, "cls.output.weight", &same))
        expect_same_floats("verdict", head.data, same.data, head.rows * head.cols);
    nn_exec_free(&x3);
    nn_exec_free(&x1);
    nn_trainer_free(t);
    nn_trainer_free(u);
    nn_lora_free(a);
    nn_lora_free(b);
    nn_lora_free(start);
    pair_free(&p);
}

Test(lora, beside_stored_weights_is_trained_to_the_bytes_of_floats)
{
    for (int k = 0; k < TINY_KINDS; k++) check_stored((tiny_kind)k, NN_F16);
    check_stored(TINY_LLAMA, NN_Q8_0);
    check_stored(TINY_LAST, NN_Q8_0);
    check_stored(TINY_QWEN, NN_BF16);
}

Test(lora, gradient_beside_stored_weights_matches_finite_differences)
{
    static const struct {
        tiny_kind kind;
        nn_dtype type;
    } cases[] = {{TINY_GUARD, NN_F16}, {TINY_LLAMA, NN_BF16}, {TINY_LAST, NN_Q8_0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pair p = pair_of(cases[i].kind, cases[i].type);

        check_gradients_of(p.stored, 0.0f);
        pair_free(&p);
    }
}

Test(lora, training_leaves_the_frozen_weights_and_learns)
{
    nn_model *m = tiny_model(TINY_QWEN, 21);
    const nn_config *c = nn_model_config(m);
    nn_lora *l = adapters(c, 0.0f, 9);
    nn_trainer *t = lora_trainer(m, l, false);
    nn_adamw o = nn_adamw_default();
    nn_exec x = tiny_exec(1);
    char before[65], after[65];
    tiny_batch b;

    o.lr = 0.01f;
    nn_model_hash(m, before);
    tiny_fill(&b, c, lengths, N_SEG, 4);
    const double first = nn_trainer_fwd(t, &x, &b.b, &b.y).loss;
    for (int i = 0; i < 60; i++) {
        nn_trainer_fwd_bwd(t, &x, &b.b, &b.y);
        nn_trainer_step(t, &x, &o);
    }
    nn_model_hash(m, after);
    cr_expect_str_eq(before, after);
    cr_expect(nn_trainer_fwd(t, &x, &b.b, &b.y).loss < 0.7 * first);
    nn_exec_free(&x);
    nn_trainer_free(t);
    nn_lora_free(l);
    nn_model_free(m);
}

Test(lora, trainer_holds_nothing_for_frozen_weights)
{
    nn_config c = nn_config_default();
    nn_trainer_options o = {.max_rows = 64, .max_seg = 1};
    nn_lora *l = NULL;

    c.n_class = 2;
    c.vocab = 50000;
    expect_ok(nn_lora_build(&l, &c, &(nn_lora_options){.rank = 4, .alpha = 4.0f, .targets = 1}, NULL), NULL);
    const size_t full = nn_trainer_bytes(&c, o);
    o.lora = l;
    const size_t few = nn_trainer_bytes(&c, o);
    cr_expect(full - few > (3 * nn_config_params(&c) + c.vocab * c.width) * sizeof(float) - 1000000, "%zu, %zu", full,
              few);
    nn_lora_free(l);
}

/* --- checkpoints ------------------------------------------------------------------------------ */

Test(lora, checkpoint_continues_to_the_bytes_of_one_run)
{
    nn_model *m = tiny_model(TINY_LAST, 21), *n = tiny_model(TINY_LAST, 21);
    const nn_config *c = nn_model_config(m);
    nn_lora *a = adapters(c, 0.3f, 9), *b = adapters(c, 0.3f, 9);
    nn_trainer *t = lora_trainer(m, a, false), *u = lora_trainer(n, b, true), *full = tiny_trainer(n, TINY_ROWS);
    nn_exec x = tiny_exec(1);
    const char *path = path_in(temp_dir(), "c.safetensors");
    nn_err err = {NN_OK, ""}, refused = {NN_OK, ""};
    char one[65], two[65];

    some_steps(t, &x, c, 0, 3);
    some_steps(u, &x, c, 7, 8); /* another past, to be forgotten */
    expect_ok(nn_trainer_save(t, path, "", &err), &err);
    expect_ok(nn_trainer_load(u, path, NULL, &err), &err);
    some_steps(t, &x, c, 3, 5);
    some_steps(u, &x, c, 3, 5);
    expect_same_adapters(a, b);
    nn_model_hash(m, one);
    nn_model_hash(n, two);
    cr_expect_str_eq(one, two);
    expect_fails(nn_trainer_load(full, path, NULL, &refused), NN_FILE, &refused, "embed_tokens.weight is missing");
    nn_exec_free(&x);
    nn_trainer_free(full);
    nn_trainer_free(t);
    nn_trainer_free(u);
    nn_lora_free(a);
    nn_lora_free(b);
    nn_model_free(m);
    nn_model_free(n);
}

Test(lora, each_failed_allocation_is_reported)
{
    const nn_lora_options o = nn_lora_default();
    nn_model *m = tiny_model(TINY_GUARD, 21);
    nn_exec x = tiny_exec(1);
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        nn_lora *l = NULL;
        nn_state *s = NULL;
        nn_trainer *t = NULL;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        if ((st = nn_lora_build(&l, nn_model_config(m), &o, &err)) == NN_OK &&
            (st = nn_state_build_lora(&s, m, l, 8, 2, &err)) == NN_OK &&
            (st = nn_trainer_build(&t, m, (nn_trainer_options){.max_rows = 8, .max_seg = 2, .lora = l}, &err)) == NN_OK)
            st = nn_lora_merge(m, l, &x, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld", n);
        nn_trainer_free(t);
        nn_state_free(s);
        nn_lora_free(l);
    }
    nn_exec_free(&x);
    nn_model_free(m);
}
