/* Tests of nn/model.h: configuration, tensors, initialisation, prefill. */
#include "nn/mathf.h"
#include "nn/model.h"
#include "nn/decode.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t lengths[] = {5, 1, 24, 7};
#define N_SEG (sizeof lengths / sizeof *lengths)

/* --- configuration ----------------------------------------------------------------------- */

static void expect_refused(nn_config c, const char *part)
{
    nn_err err = {NN_OK, ""};

    expect_fails(nn_config_check(&c, &err), NN_USAGE, &err, part);
}

#define REFUSED(part, field, value_)                                                                                  \
    do {                                                                                                              \
        nn_config c_ = nn_config_default();                                                                           \
        c_.field = value_;                                                                                            \
        expect_refused(c_, part);                                                                                     \
    } while (0)

Test(model, config_names_the_field_that_breaks)
{
    REFUSED("vocab is 0", vocab, 0);
    REFUSED("layers is 0", layers, 0);
    REFUSED("width is 0", width, 0);
    REFUSED("heads is 0", heads, 0);
    REFUSED("kv_heads is 0", kv_heads, 0);
    REFUSED("multiple of kv_heads 3", kv_heads, 3);
    REFUSED("head_dim is 7", head_dim, 7);
    REFUSED("head_dim is 512", head_dim, 512);
    REFUSED("ff is", ff, SIZE_MAX);
    REFUSED("max_t is", max_t, SIZE_MAX / 2);
    REFUSED("memory_rows is", memory_rows, SIZE_MAX);
    REFUSED("n_class is 3", n_class, 3);
    REFUSED("n_category is", n_category, SIZE_MAX);
    REFUSED("tied without lm_head", lm_head, false);
    REFUSED("rope order", rope, (nn_rope_order)9);
    REFUSED("pool", pool, (nn_pool)9);
    REFUSED("rope_theta", rope_theta, 0.0f);
    REFUSED("rope_theta", rope_theta, NAN);
    REFUSED("sliding_window is", sliding_window, SIZE_MAX);
    REFUSED("norm_eps", norm_eps, -1.0f);
    REFUSED("norm_eps", norm_eps, NAN);
}

Test(model, a_divisor_of_a_frequency_is_a_sane_number_or_all_are_0)
{
    static const float bad[] = {0.0f, -1.0f, NAN, INFINITY, 1e-30f};
    nn_config c = nn_config_default();

    nn_rope_linear(c.rope_divisor, c.head_dim, 2.0f);
    cr_expect_eq(nn_config_check(&c, NULL), NN_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        c.rope_divisor[3] = bad[i];
        expect_refused(c, "rope_divisor 3 is");
    }
}

Test(model, default_config_and_all_tiny_ones_pass)
{
    const nn_config c = nn_config_default();
    nn_err err = {NN_OK, ""};

    expect_ok(nn_config_check(&c, &err), &err);
    for (int k = 0; k < TINY_KINDS; k++) {
        const nn_config tiny = tiny_config((tiny_kind)k);
        expect_ok(nn_config_check(&tiny, &err), &err);
    }
}

/* The configurations and the numbers of weights that their makers publish. */
Test(model, models_that_people_have_pass)
{
    static const struct {
        const char *name;
        nn_config c;
        double params;
    } known[] = {
        {"Llama-3.2-1B", {128256, 16, 2048, 32, 8, 64, 8192, 131072, .rope_theta = 5e5f, .tied = true}, 1235814400.0},
        {"Qwen2.5-0.5B", {151936, 24, 896, 14, 2, 64, 4864, 32768, .rope_theta = 1e6f, .qkv_bias = true, .tied = true},
         494032768.0},
        {"Qwen3-0.6B", {151936, 28, 1024, 16, 8, 128, 3072, 40960, .rope_theta = 1e6f, .qk_norm = true, .tied = true},
         596049920.0},
        {"SmolLM2-135M", {49152, 30, 576, 9, 3, 64, 1536, 8192, .rope_theta = 1e5f, .tied = true}, 134515008.0},
        {"SmolLM2-360M", {49152, 32, 960, 15, 5, 64, 2560, 8192, .rope_theta = 1e5f, .tied = true}, 361821120.0},
        {"Mistral-7B-v0.1", {32000, 32, 4096, 32, 8, 128, 14336, 32768, 4096, .rope_theta = 1e4f}, 7241732096.0},
        {"Lite-Oute-1-300M", {32768, 20, 896, 16, 8, 56, 3584, 4096, 4096, .rope_theta = 1e4f}, 299601792.0},
        {"Qwen3-4B", {151936, 36, 2560, 32, 8, 128, 9728, 262144, .rope_theta = 5e6f, .qk_norm = true, .tied = true},
         4022468096.0},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        nn_config c = known[i].c;
        nn_err err = {NN_OK, ""};

        c.norm_eps = 1e-5f;
        c.lm_head = true;
        nn_rope_llama3(c.rope_divisor, c.rope_theta, c.head_dim, 32.0f, 1.0f, 4.0f, 8192);
        expect_ok(nn_config_check(&c, &err), &err);
        if (sizeof(size_t) > 4)
            cr_expect((double)nn_config_params(&c) == known[i].params, "%s: %zu weights, want %.0f", known[i].name,
                      nn_config_params(&c), known[i].params);
    }
}

Test(model, parameter_counts_are_those_of_the_tensors)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 1);
        const nn_config *c = nn_model_config(m);
        size_t all = 0, looked_up = 0;

        for (size_t i = 0; i < nn_model_tensors(m); i++) {
            const nn_tensor t = nn_model_tensor(m, i);
            all += t.rows * t.cols;
            if (t.group == 1 || t.group == 2) looked_up += t.rows * t.cols;
        }
        cr_expect_eq(nn_config_params(c), all);
        cr_expect_eq(nn_config_active_params(c), all - looked_up + (c->tied ? c->vocab * c->width : 0));
        nn_model_free(m);
    }
}

/* --- tensors ------------------------------------------------------------------------------ */

Test(model, tensors_are_found_by_either_name_and_names_are_unique)
{
    nn_model *m = tiny_model(TINY_GUARD, 1);
    nn_tensor t;

    cr_expect(nn_model_find(m, "model.layers.1.self_attn.q_norm.weight", &t));
    cr_expect_eq(t.cols, 6u);
    cr_expect(!t.decay && t.group == 0);
    cr_expect(nn_model_find(m, "blk.0.ffn_down.weight", &t));
    cr_expect_str_eq(t.name, "model.layers.0.mlp.down_proj.weight");
    cr_expect(t.rows == 20 && t.cols == 28 && t.decay);
    cr_expect(nn_model_find(m, "cls.output.weight", &t));
    cr_expect(t.rows == 2 && t.cols == 40 && t.group == 3);
    cr_expect(!nn_model_find(m, "output.weight", &t), "a tied model has no output matrix");
    cr_expect(!nn_model_find(m, "blk.2.ffn_down.weight", &t));
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        cr_expect(nn_model_find(m, nn_model_tensor(m, i).name, &t) && t.data == nn_model_tensor(m, i).data);
        cr_expect(nn_model_find(m, nn_model_tensor(m, i).gguf, &t) && t.data == nn_model_tensor(m, i).data);
    }
    nn_model_free(m);
}

Test(model, initialisation_is_a_function_of_seed_name_and_element)
{
    nn_config c = tiny_config(TINY_QWEN);
    nn_model *m[3] = {NULL, NULL, NULL};
    nn_tensor a, b;
    double square = 0.0;

    for (size_t i = 0; i < 3; i++) {
        c.layers = i == 2 ? 3 : 2; /* more layers and more tensors in front change no other tensor's draws */
        c.memory_rows = i == 2 ? 5 : 0;
        cr_assert(nn_model_build(&m[i], &c, NULL) == NN_OK);
        nn_model_init(m[i], i == 1 ? 8 : 7);
    }
    cr_assert(nn_model_find(m[0], "blk.1.ffn_up.weight", &a) && nn_model_find(m[2], "blk.1.ffn_up.weight", &b));
    expect_same_floats("ffn_up", a.data, b.data, a.rows * a.cols);
    for (size_t j = 0; j < a.rows * a.cols; j++) square += (double)a.data[j] * (double)a.data[j];
    expect_close_double("std", &(double){sqrt(square / (double)(a.rows * a.cols))}, &(double){0.02}, 1, 0.002);
    cr_assert(nn_model_find(m[1], "blk.1.ffn_up.weight", &b));
    cr_expect(memcmp(a.data, b.data, a.rows * a.cols * sizeof *a.data) != 0, "another seed, other weights");
    cr_assert(nn_model_find(m[0], "blk.0.ffn_up.weight", &b));
    cr_expect(memcmp(a.data, b.data, a.rows * a.cols * sizeof *a.data) != 0, "another layer, other weights");
    for (size_t i = 0; i < 3; i++) nn_model_free(m[i]);
}

Test(model, hash_follows_the_bytes_and_a_clone_has_them)
{
    nn_model *m = tiny_model(TINY_GUARD, 3), *copy = NULL;
    char first[65], second[65];

    cr_assert(nn_model_clone(&copy, m, NULL) == NN_OK);
    nn_model_hash(m, first);
    nn_model_hash(copy, second);
    cr_expect_str_eq(first, second);
    nn_model_tensor(copy, nn_model_tensors(copy) - 1).data[0] += 1e-6f;
    nn_model_hash(copy, second);
    cr_expect_str_neq(first, second);
    nn_model_free(copy);
    nn_model_free(m);
}

/* --- prefill ------------------------------------------------------------------------------ */

static nn_state *build_state(const nn_model *m)
{
    nn_state *s = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_state_build(&s, m, TINY_ROWS, TINY_SEG, &err), &err);
    return s;
}

Test(model, a_segment_gives_the_same_bits_alone_and_among_others)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 5);
        const nn_config *c = nn_model_config(m);
        const size_t P = c->pool == NN_POOL_MEAN_MAX ? 2 * c->width : c->width;
        nn_state *all = build_state(m), *one = build_state(m);
        nn_exec x = tiny_exec(1);
        tiny_batch t;

        tiny_fill(&t, c, lengths, N_SEG, 2);
        nn_model_fwd(m, all, &x, &t.b);
        for (size_t s = 0; s < N_SEG; s++) {
            size_t start[2];
            nn_batch b;
            nn_targets y;

            tiny_part(&b, &y, start, &t, c, s, s + 1);
            nn_model_fwd(m, one, &x, &b);
            expect_same_floats("hidden", nn_state_hidden(one), nn_state_hidden(all) + t.start[s] * c->width,
                               lengths[s] * c->width);
            expect_same_floats("pooled", nn_state_pooled(one), nn_state_pooled(all) + s * P, P);
            if (c->n_class) expect_same_floats("verdict", nn_state_verdict(one), nn_state_verdict(all) + 2 * s, 2);
            if (c->n_category)
                expect_same_floats("category", nn_state_category(one), nn_state_category(all) + 3 * s, 3);
        }
        cr_expect((nn_state_verdict(all) != NULL) == (c->n_class > 0));
        nn_exec_free(&x);
        nn_state_free(one);
        nn_state_free(all);
        nn_model_free(m);
    }
}

/* Packed weights: the same bits; packed again after a change: the change is seen; a trainer takes them away. */
Test(model, packed_weights_give_the_same_bits)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 5);
        const size_t C = nn_model_config(m)->width;
        nn_state *plain = build_state(m), *packed = build_state(m);
        nn_trainer *t = NULL;
        nn_exec x = tiny_exec(1 + (size_t)k % 3);
        tiny_batch b;

        tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 2);
        for (int change = 0; change < 2; change++) {
            for (size_t i = 0; change && i < nn_model_tensors(m); i++) nn_model_tensor(m, i).data[0] += 0.25f;
            nn_model_unpack(m);
            nn_model_fwd(m, plain, &x, &b.b);
            cr_assert(nn_model_pack(m, &x, NULL) == NN_OK);
            nn_model_fwd(m, packed, &x, &b.b);
            expect_same_floats("hidden", nn_state_hidden(packed), nn_state_hidden(plain), b.start[N_SEG] * C);
        }
        cr_assert(nn_trainer_build(&t, m, (nn_trainer_options){.max_rows = 8, .max_seg = 2}, NULL) == NN_OK);
        for (size_t i = 0; i < nn_model_tensors(m); i++) nn_model_tensor(m, i).data[0] += 1.0f;
        nn_model_fwd(m, plain, &x, &b.b);
        nn_model_unpack(m);
        nn_model_fwd(m, packed, &x, &b.b);
        expect_same_floats("hidden", nn_state_hidden(packed), nn_state_hidden(plain), b.start[N_SEG] * C);
        nn_trainer_free(t);
        nn_exec_free(&x);
        nn_state_free(packed);
        nn_state_free(plain);
        nn_model_free(m);
    }
}

Test(model, heads_alone_say_the_same)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        nn_model *m = tiny_model((tiny_kind)k, 5);
        const nn_config *c = nn_model_config(m);
        nn_state *whole = build_state(m), *heads = build_state(m);
        nn_exec x = tiny_exec(1 + (size_t)k % 3);
        tiny_batch b;

        tiny_fill(&b, c, lengths, N_SEG, 2);
        nn_model_fwd(m, whole, &x, &b.b);
        nn_model_heads_fwd(m, heads, &x, &b.b);
        expect_same_floats("pooled", nn_state_pooled(heads), nn_state_pooled(whole), N_SEG * c->width);
        if (c->n_class) expect_same_floats("verdict", nn_state_verdict(heads), nn_state_verdict(whole), 2 * N_SEG);
        if (c->n_category)
            expect_same_floats("category", nn_state_category(heads), nn_state_category(whole), N_SEG * c->n_category);
        nn_exec_free(&x);
        nn_state_free(whole);
        nn_state_free(heads);
        nn_model_free(m);
    }
}

/* Two layers of a window of 5: position 8 is the last that hears of position 0. */
Test(model, a_token_reaches_as_far_as_the_windows_of_all_layers)
{
    nn_model *m = tiny_model(TINY_MISTRAL, 5);
    const size_t C = nn_model_config(m)->width, reach = 2 * (nn_model_config(m)->sliding_window - 1);
    nn_state *before = build_state(m), *after = build_state(m);
    nn_exec x = tiny_exec(1);
    tiny_batch b;

    tiny_fill(&b, nn_model_config(m), &(size_t){24}, 1, 2);
    nn_model_fwd(m, before, &x, &b.b);
    b.ids[0] = (b.ids[0] + 1) % 37;
    nn_model_fwd(m, after, &x, &b.b);
    const float *a = nn_state_hidden(before), *h = nn_state_hidden(after);
    for (size_t t = 0; t < 24; t++)
        cr_expect((memcmp(a + t * C, h + t * C, C * sizeof *h) != 0) == (t <= reach), "position %zu", t);
    nn_exec_free(&x);
    nn_state_free(after);
    nn_state_free(before);
    nn_model_free(m);
}

Test(model, divided_frequencies_change_the_hidden_state)
{
    nn_config c = tiny_config(TINY_LLAMA);
    nn_state *state[2];
    nn_model *m[2];
    nn_exec x = tiny_exec(1);
    tiny_batch b;

    tiny_fill(&b, &c, lengths, N_SEG, 2);
    for (size_t i = 0; i < 2; i++) {
        if (i) nn_rope_linear(c.rope_divisor, c.head_dim, 2.0f);
        cr_assert(nn_model_build(&m[i], &c, NULL) == NN_OK);
        nn_model_init(m[i], 5);
        state[i] = build_state(m[i]);
        nn_model_fwd(m[i], state[i], &x, &b.b);
    }
    const float *plain = nn_state_hidden(state[0]), *divided = nn_state_hidden(state[1]);
    expect_same_floats("position 0", divided, plain, c.width);
    cr_expect(memcmp(divided + c.width, plain + c.width, c.width * sizeof *plain) != 0, "position 1");
    for (size_t i = 0; i < 2; i++) {
        nn_state_free(state[i]);
        nn_model_free(m[i]);
    }
    nn_exec_free(&x);
}

Test(model, memory_and_order_of_tokens_change_the_hidden_state)
{
    nn_model *m = tiny_model(TINY_GUARD, 5);
    const size_t C = nn_model_config(m)->width, at = 23 * C;
    nn_state *s = build_state(m);
    nn_exec x = tiny_exec(1);
    tiny_batch t;
    float with[20];

    tiny_fill(&t, nn_model_config(m), &lengths[2], 1, 2);
    nn_model_fwd(m, s, &x, &t.b);
    memcpy(with, nn_state_hidden(s) + at, sizeof with);
    t.b.mem_slot = NULL;
    nn_model_fwd(m, s, &x, &t.b);
    cr_expect(memcmp(with, nn_state_hidden(s) + at, sizeof with) != 0, "the memory is heard");
    memcpy(with, nn_state_hidden(s) + at, sizeof with);
    t.ids[0] = (t.ids[0] + 1) % 37;
    nn_model_fwd(m, s, &x, &t.b);
    cr_expect(memcmp(with, nn_state_hidden(s) + at, sizeof with) != 0, "the first token is seen by the last");
    memcpy(with, nn_state_hidden(s), sizeof with);
    t.ids[1] = (t.ids[1] + 1) % 37;
    nn_model_fwd(m, s, &x, &t.b);
    cr_expect(memcmp(with, nn_state_hidden(s), sizeof with) == 0, "the second token is not seen by the first");
    nn_exec_free(&x);
    nn_state_free(s);
    nn_model_free(m);
}

Test(model, logprob_is_the_log_softmax_of_the_logits_before)
{
    nn_model *m = tiny_model(TINY_LLAMA, 5);
    const size_t V = nn_model_config(m)->vocab;
    nn_state *s = build_state(m);
    nn_exec x = tiny_exec(2);
    tiny_batch t;
    float logprob[TINY_ROWS], *logits = malloc(TINY_ROWS * V * sizeof *logits);
    size_t rows[TINY_ROWS];

    tiny_fill(&t, nn_model_config(m), lengths, N_SEG, 2);
    nn_state_logprob(m, s, &x, &t.b, logprob);
    const size_t R = t.start[N_SEG];
    for (size_t r = 0; r < R; r++) rows[r] = R - 1 - r; /* any order */
    nn_state_lm_logits(m, s, &x, logits, rows, R);
    for (size_t i = 0; i < N_SEG; i++) {
        cr_expect_eq(logprob[t.start[i]], 0.0f);
        for (size_t r = t.start[i] + 1; r < t.start[i + 1]; r++) {
            const float *z = logits + (R - r) * V; /* of row r - 1 */
            double sum = 0.0;

            for (size_t v = 0; v < V; v++) sum += nn_exp((double)z[v]);
            const float want = (float)((double)z[t.ids[r]] - nn_log(sum));
            expect_close("logprob", logprob + r, &want, 1, 2e-6);
        }
    }
    free(logits);
    nn_exec_free(&x);
    nn_state_free(s);
    nn_model_free(m);
}

/* --- memory -------------------------------------------------------------------------------- */

static nn_status build_all(nn_err *err)
{
    const nn_config c = tiny_config(TINY_QWEN);
    nn_model *m = NULL, *copy = NULL;
    nn_state *s = NULL;
    nn_trainer *t = NULL;
    nn_decoder *d = NULL;
    nn_status st;

    if ((st = nn_model_build(&m, &c, err)) != NN_OK) goto done;
    if ((st = nn_model_clone(&copy, m, err)) != NN_OK) goto done;
    if ((st = nn_state_build(&s, m, 8, 2, err)) != NN_OK) goto done;
    if ((st = nn_trainer_build(&t, m, (nn_trainer_options){.max_rows = 8, .max_seg = 2}, err)) != NN_OK) goto done;
    st = nn_decoder_build(&d, m, 3, err);
done:
    cr_expect(st == NN_OK || d == NULL);
    nn_decoder_free(d);
    nn_trainer_free(t);
    nn_state_free(s);
    nn_model_free(copy);
    nn_model_free(m);
    return st;
}

Test(model, every_builder_survives_every_failed_allocation)
{
    long n = 0;

    for (;; n++) {
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        const nn_status st = build_all(&err);
        nn_alloc_fail_at(-1);
        if (st == NN_OK) break;
        cr_assert(st == NN_LIMIT && err.text[0] != '\0');
    }
    cr_expect_eq(n, 11, "%ld allocations: an object and an arena each, and the decoder's packed weights", n);
}

Test(model, sizes_that_no_machine_has_are_refused_not_wrapped)
{
    nn_model *m = tiny_model(TINY_QWEN, 1);
    nn_state *s = NULL;
    nn_decoder *d = NULL;
    nn_trainer *t = NULL;
    nn_err err = {NN_OK, ""};

    cr_expect(nn_state_build(&s, m, SIZE_MAX / 16, 1, &err) == NN_LIMIT);
    cr_expect(nn_decoder_build(&d, m, SIZE_MAX / 16, &err) == NN_LIMIT);
    cr_expect(nn_trainer_build(&t, m, (nn_trainer_options){.max_rows = SIZE_MAX / 16, .max_seg = 1}, &err) == NN_LIMIT);
    cr_expect(nn_trainer_build(&t, m, (nn_trainer_options){.max_rows = 0, .max_seg = 0}, &err) == NN_USAGE);
    cr_expect(!s && !d && !t);
    nn_model_free(m);
}
