#include "tests/test_model_support.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

nn_config tiny_config(tiny_kind kind)
{
    nn_config c = nn_config_default();

    c.vocab = 37;
    c.layers = 2;
    c.width = 20;
    c.heads = 6;
    c.kv_heads = 2;
    c.head_dim = 6;
    c.ff = 28;
    c.max_t = 24;
    if (kind == TINY_LLAMA) {
        c.rope = NN_ROPE_PAIRS;
        c.qk_norm = false;
    }
    if (kind == TINY_MISTRAL) {
        c.qk_norm = false;
        c.sliding_window = 5;
        nn_rope_llama3(c.rope_divisor, c.rope_theta, c.head_dim, 8.0f, 1.0f, 4.0f, c.max_t);
    }
    if (kind == TINY_QWEN) c.tied = false;
    if (kind == TINY_GUARD || kind == TINY_LAST) {
        c.memory_rows = 50;
        c.n_class = 2;
        c.n_category = 3;
    }
    if (kind == TINY_GUARD) {
        c.pool = NN_POOL_MEAN_MAX;
        c.qkv_bias = true;
    }
    if (kind == TINY_LAST) c.lm_head = c.tied = false;
    return c;
}

nn_model *tiny_model(tiny_kind kind, uint64_t seed)
{
    const nn_config c = tiny_config(kind);
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_build(&m, &c, &err), &err);
    nn_model_init(m, seed);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);
        const float base = strstr(t.name, "norm") ? 1.0f : 0.0f;
        nn_rng rng = nn_rng_at(seed, "spread", i);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const double z = nn_rng_normal(&rng);
            t.data[j] = base + 0.25f * (float)z;
        }
    }
    return m;
}

nn_exec tiny_exec(size_t threads)
{
    nn_exec x;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_exec_open(&x, NULL, threads, 64, &err), &err);
    return x;
}

void tiny_fill(tiny_batch *t, const nn_config *c, const size_t *len, size_t n_seg, uint64_t seed)
{
    nn_rng rng = nn_rng_at(seed, "batch", 0);
    size_t R = 0, slots = 0;

    memset(t, 0, sizeof *t);
    for (size_t s = 0; s < n_seg; s++) {
        t->label[s] = nn_rng_float(&rng);
        t->label_weight[s] = s % 3 == 2 ? 0.0f : nn_rng_float(&rng);
        t->offset[s] = 2.0f * nn_rng_float(&rng) - 1.0f;
        t->category_weight[s] = 0.2f + nn_rng_float(&rng);
        for (size_t j = 0; j < 3; j++) t->category[3 * s + j] = (float)nn_rng_below(&rng, 3) - 1.0f;
        for (size_t i = 0; i < len[s]; i++, R++) {
            t->ids[R] = (int32_t)nn_rng_below(&rng, c->vocab);
            t->next[R] = (int32_t)nn_rng_below(&rng, c->vocab + 12) - 12; /* a quarter without target */
            if (t->next[R] < 0) t->next[R] = -1;
            t->next_weight[R] = nn_rng_float(&rng) / 16.0f;
            for (uint64_t n = nn_rng_below(&rng, 4); c->memory_rows && n > 0; n--)
                t->slot[slots++] = (uint32_t)nn_rng_below(&rng, c->memory_rows);
            t->mem_start[R + 1] = slots;
        }
        t->start[s + 1] = R;
    }
    cr_assert(R <= TINY_ROWS && n_seg <= TINY_SEG);
    tiny_part(&t->b, &t->y, t->start, t, c, 0, n_seg);
}

void tiny_part(nn_batch *b, nn_targets *y, size_t *start, const tiny_batch *t, const nn_config *c, size_t first,
               size_t last)
{
    const size_t row = t->start[first];

    for (size_t s = first; s <= last; s++) start[s - first] = t->start[s] - row;
    memset(b, 0, sizeof *b);
    memset(y, 0, sizeof *y);
    b->ids = t->ids + row;
    b->seg.start = start;
    b->seg.n_seg = last - first;
    if (c->memory_rows) {
        b->mem_slot = t->slot;
        b->mem_start = t->mem_start + row;
    }
    if (c->lm_head) {
        y->next = t->next + row;
        y->next_weight = t->next_weight + row;
    }
    if (c->n_class) {
        y->label = t->label + first;
        y->label_weight = t->label_weight + first;
        y->offset = t->offset + first;
    }
    if (c->n_category) {
        y->category = t->category + 3 * first;
        y->category_weight = t->category_weight + first;
    }
}

nn_trainer *tiny_trainer(nn_model *m, size_t max_rows)
{
    const nn_trainer_options o = {.max_rows = max_rows, .max_seg = max_rows < TINY_SEG ? max_rows : TINY_SEG};
    nn_trainer *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_trainer_build(&t, m, o, &err), &err);
    return t;
}

void expect_same_gradients(const char *what, nn_trainer *a, nn_trainer *b, const nn_model *m)
{
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);
        char name[128];

        snprintf(name, sizeof name, "%s: %s", what, t.name);
        expect_same_floats(name, nn_trainer_grad(a, i), nn_trainer_grad(b, i), t.rows * t.cols);
    }
}
