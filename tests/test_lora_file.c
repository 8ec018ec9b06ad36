/* Tests of nn/lora_file.c: PEFT's folder, written and read. */
#include "nn/arena.h"
#include "nn/lora.h"
#include "nn/rng.h"
#include "nn/safetensors.h"
#include "tests/support.h"
#include "tests/test_model_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t lengths[] = {9, 1, 14, 6, 3};
enum { N_SEG = 5, ROWS = 33 };

/* Adapters of q, k, o and down that say something. */
static nn_lora *adapters(const nn_config *c)
{
    const nn_lora_options o = {.rank = 3, .alpha = 4.5f, .dropout = 0.1f,
                               .targets = 1u << NN_LORA_Q | 1u << NN_LORA_K | 1u << NN_LORA_O | 1u << NN_LORA_DOWN};
    nn_lora *l = NULL;

    expect_ok(nn_lora_build(&l, c, &o, NULL), NULL);
    for (size_t i = 0; i < nn_lora_tensors(l); i++) {
        const nn_tensor t = nn_lora_tensor(l, i);
        nn_rng rng = nn_rng_at(3, "spread", i);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const double z = nn_rng_normal(&rng);
            t.data[j] = 0.3f * (float)z;
        }
    }
    return l;
}

static const char *saved(const nn_lora *l, const nn_config *c)
{
    const char *dir = path_in(temp_dir(), "adapter");
    nn_err err = {NN_OK, ""};

    expect_ok(nn_lora_save(l, c, dir, "some/base \"7B\"", &err), &err);
    return dir;
}

Test(lora_file, what_is_written_is_read_to_the_same_bytes)
{
    for (int k = 0; k < TINY_KINDS; k++) {
        const nn_config c = tiny_config((tiny_kind)k);
        nn_lora *l = adapters(&c), *back = NULL;
        const char *dir = saved(l, &c);
        nn_err err = {NN_OK, ""};

        expect_ok(nn_lora_load(&back, dir, &c, &err), &err);
        const nn_lora_options *o = nn_lora_options_of(back), *want = nn_lora_options_of(l);
        cr_expect(o->rank == 3 && o->alpha == 4.5f && o->dropout == 0.1f && o->targets == want->targets);
        cr_assert(nn_lora_tensors(back) == nn_lora_tensors(l));
        for (size_t i = 0; i < nn_lora_tensors(l); i++) {
            const nn_tensor t = nn_lora_tensor(l, i);
            expect_same_floats(t.name, nn_lora_tensor(back, i).data, t.data, t.rows * t.cols);
        }
        nn_lora_free(l);
        nn_lora_free(back);
    }
}

Test(lora_file, names_shapes_and_keys_are_those_of_peft)
{
    const nn_config c = tiny_config(TINY_QWEN);
    nn_lora *l = adapters(&c);
    const char *dir = saved(l, &c);
    char *text = read_bytes(path_in(dir, "adapter_config.json"), NULL);
    nn_safetensors *f = NULL;

    cr_expect_str_eq(text, "{\n  \"base_model_name_or_path\": \"some/base \\\"7B\\\"\",\n  \"bias\": \"none\",\n"
                           "  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n"
                           "  \"lora_alpha\": 4.5,\n  \"lora_dropout\": 0.1,\n  \"modules_to_save\": null,\n"
                           "  \"peft_type\": \"LORA\",\n  \"r\": 3,\n"
                           "  \"target_modules\": [\"q_proj\", \"k_proj\", \"o_proj\", \"down_proj\"],\n"
                           "  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": false\n}\n");
    expect_ok(nn_st_open(&f, path_in(dir, "adapter_model.safetensors"), NULL), NULL);
    cr_expect(nn_st_count(f) == 16);
    const nn_st_tensor *a = nn_st_find(f, "base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight");
    const nn_st_tensor *b = nn_st_find(f, "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
    cr_assert(a && b);
    cr_expect(a->dim[0] == 3 && a->dim[1] == 20 && b->dim[0] == 20 && b->dim[1] == 3);
    nn_st_close(f);
    free(text);
    nn_lora_free(l);
}

/* Rows of a head in pairs (2i, 2i + 1) to halves (i, i + D/2). */
static void to_halves(float *w, size_t heads, size_t D, size_t cols)
{
    float *old = malloc(D * cols * sizeof *old);

    for (size_t h = 0; h < heads; h++, w += D * cols) {
        memcpy(old, w, D * cols * sizeof *old);
        for (size_t n = 0; n < D; n++)
            memcpy(w + (n % 2 * (D / 2) + n / 2) * cols, old + n * cols, cols * sizeof *w);
    }
    free(old);
}

static void hidden(float *out, const nn_model *m, const nn_lora *l)
{
    nn_exec x = tiny_exec(1);
    nn_state *s = NULL;
    tiny_batch b;

    tiny_fill(&b, nn_model_config(m), lengths, N_SEG, 4);
    expect_ok(nn_state_build_lora(&s, m, l, TINY_ROWS, TINY_SEG, NULL), NULL);
    nn_model_fwd(m, s, &x, &b.b);
    memcpy(out, nn_state_hidden(s), ROWS * nn_model_config(m)->width * sizeof *out);
    nn_state_free(s);
    nn_exec_free(&x);
}

/* One model in both orders, and one adapter saved beside the first: both say the same. */
Test(lora_file, adapters_of_a_base_in_pairs_serve_its_hugging_face_form)
{
    nn_model *pairs = tiny_model(TINY_LLAMA, 21), *halves = NULL;
    nn_config c = *nn_model_config(pairs);
    nn_lora *l = adapters(&c), *moved = NULL;
    const char *dir = saved(l, &c);
    float got[ROWS * 20], want[ROWS * 20], plain[ROWS * 20];

    c.rope = NN_ROPE_HALF;
    expect_ok(nn_model_build(&halves, &c, NULL), NULL);
    for (size_t i = 0; i < nn_model_tensors(halves); i++) {
        const nn_tensor from = nn_model_tensor(pairs, i), to = nn_model_tensor(halves, i);

        memcpy(to.data, from.data, to.rows * to.cols * sizeof *to.data);
        if (strstr(to.name, "q_proj")) to_halves(to.data, c.heads, c.head_dim, c.width);
        if (strstr(to.name, "k_proj")) to_halves(to.data, c.kv_heads, c.head_dim, c.width);
    }
    expect_ok(nn_lora_load(&moved, dir, &c, NULL), NULL);
    hidden(want, pairs, l);
    hidden(got, halves, moved);
    hidden(plain, pairs, NULL);
    expect_close("hidden", got, want, ROWS * c.width, 2e-5);
    cr_expect(memcmp(plain, want, sizeof plain) != 0);
    nn_lora_free(l);
    nn_lora_free(moved);
    nn_model_free(pairs);
    nn_model_free(halves);
}

/* --- what is refused ------------------------------------------------------------------------ */

static void expect_refused(const char *dir, const nn_config *c, const char *part)
{
    nn_lora *l = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_lora_load(&l, dir, c, &err), NN_FILE, &err, part);
    cr_expect(l == NULL);
}

/* The folder's configuration with one piece of text replaced. */
static void replace(const char *dir, const char *from, const char *to)
{
    const char *path = path_in(dir, "adapter_config.json");
    char *text = read_bytes(path, NULL), *at = strstr(text, from), out[2048];

    cr_assert(at != NULL, "%s", from);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    write_text(path, out);
    free(text);
}

Test(lora_file, options_that_change_the_maths_are_refused_by_name)
{
    static const struct { const char *from, *to, *part; } cases[] = {
        {"\"LORA\"", "\"IA3\"", "peft_type is IA3, want LORA"},
        {"\"use_dora\": false", "\"use_dora\": true", "use_dora: an option that is not computed here"},
        {"\"use_rslora\": false", "\"use_rslora\": true", "use_rslora: "},
        {"\"use_dora\": false", "\"rank_pattern\": {\"q_proj\": 2}", "rank_pattern: "},
        {"\"use_dora\": false", "\"layers_to_transform\": [0]", "layers_to_transform: "},
        {"\"use_dora\": false", "\"something_new\": 3", "something_new: "},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "modules_to_save: "},
        {"\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true", "fan_in_fan_out: "},
        {"\"none\"", "\"all\"", "bias is all, want none"},
        {"\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"", "init_lora_weights is pissa"},
        {"\"q_proj\"", "\"lm_head\"", "target_modules: lm_head, want q_proj"},
        {"[\"q_proj\", \"k_proj\", \"o_proj\", \"down_proj\"]", "\"all-linear\"", "target_modules is not a list"},
        {"[\"q_proj\", \"k_proj\", \"o_proj\", \"down_proj\"]", "[]", "target_modules is empty"},
        {"\"r\": 3,", "", "r is missing"},
        {"\"r\": 3", "\"r\": 0", "want 1 to 1024"},
        {"\"r\": 3", "\"r\": 18446744073709551615", "want 1 to 1024"},
        {"\"lora_alpha\": 4.5", "\"lora_alpha\": 0", "lora_alpha is 0"},
        {"\"lora_dropout\": 0.1", "\"lora_dropout\": 1.5", "lora_dropout is 1.5"},
        {"\"r\": 3,", "\"r\": 3, \"r\": 3,", "r"},
    };
    const nn_config c = tiny_config(TINY_QWEN);
    nn_lora *l = adapters(&c);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = saved(l, &c);

        replace(dir, cases[i].from, cases[i].to);
        expect_refused(dir, &c, cases[i].part);
    }
    nn_lora_free(l);
}

Test(lora_file, options_that_say_nothing_are_read_over)
{
    const nn_config c = tiny_config(TINY_QWEN);
    nn_lora *l = adapters(&c), *back = NULL;
    const char *dir = saved(l, &c);
    nn_err err = {NN_OK, ""};

    replace(dir, "\"use_dora\": false",
            "\"alpha_pattern\": {}, \"auto_mapping\": null, \"corda_config\": null, \"exclude_modules\": [ ], "
            "\"layers_pattern\": null, \"loftq_config\": { }, \"megatron_core\": \"megatron.core\", "
            "\"peft_version\": \"0.19.1\", \"qalora_group_size\": 16, \"revision\": null, \"use_bdlora\": null");
    expect_ok(nn_lora_load(&back, dir, &c, &err), &err);
    nn_lora_free(back);
    nn_lora_free(l);
}

Test(lora_file, another_rank_base_or_set_of_tensors_is_refused_by_name)
{
    const nn_config c = tiny_config(TINY_QWEN);
    nn_config other = c;
    nn_lora *l = adapters(&c);
    const char *dir = saved(l, &c);

    replace(dir, "\"r\": 3", "\"r\": 4");
    expect_refused(dir, &c, "layers.0.self_attn.q_proj.lora_A.weight has 60 values, 20 in a row, want [4, 20]");
    dir = saved(l, &c);
    other.layers = 3;
    expect_refused(dir, &other, "model.layers.2.self_attn.q_proj.lora_A.weight is missing");
    other.layers = 1;
    expect_refused(dir, &other, "layers.1.self_attn.q_proj.lora_A.weight, which no target of a model of 1 layers");
    other = c;
    other.ff = 30;
    expect_refused(dir, &other, "layers.0.mlp.down_proj.lora_A.weight has 84 values, 28 in a row, want [3, 30]");
    replace(dir, ", \"down_proj\"", "");
    expect_refused(dir, &c, "layers.0.mlp.down_proj.lora_A.weight, which no target");
    replace(dir, "\"o_proj\"", "\"o_proj\", \"down_proj\", \"v_proj\"");
    expect_refused(dir, &c, "layers.0.self_attn.v_proj.lora_A.weight is missing");
    nn_lora_tensor(l, 2).data[7] = NAN;
    dir = saved(l, &c);
    expect_refused(dir, &c, "k_proj.lora_A.weight: weight 7 is a NaN or an infinity");
    remove(path_in(dir, "adapter_model.safetensors"));
    expect_refused(dir, &c, "adapter_model.safetensors");
    nn_lora_free(l);
}

Test(lora_file, cut_and_broken_configurations_are_refused_and_ask_for_little)
{
    const nn_config c = tiny_config(TINY_QWEN);
    nn_lora *l = adapters(&c), *back = NULL;
    const char *dir = saved(l, &c), *path = path_in(dir, "adapter_config.json");
    uint64_t asked = 0;
    size_t len = 0;
    char *text = read_bytes(path, &len);

    nn_alloc_watch(&asked);
    for (size_t n = 0; n + 1 < len; n++) {
        write_bytes(path, text, n);
        cr_expect(nn_lora_load(&back, dir, &c, NULL) == NN_FILE && !back, "%zu bytes", n);
        text[n] ^= 4;
        write_bytes(path, text, len);
        if (nn_lora_load(&back, dir, &c, NULL) == NN_OK) nn_lora_free(back);
        text[n] ^= 4;
    }
    nn_alloc_watch(NULL);
    cr_expect(asked < 2 * len * (64 << 10), "%llu", (unsigned long long)asked);
    free(text);
    nn_lora_free(l);
}

Test(lora_file, each_failed_allocation_is_reported)
{
    const nn_config c = tiny_config(TINY_LLAMA);
    nn_lora *l = adapters(&c);
    const char *dir = path_in(temp_dir(), "adapter");
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        nn_lora *back = NULL;

        nn_alloc_fail_at(n);
        if ((st = nn_lora_save(l, &c, dir, "base", NULL)) == NN_OK) st = nn_lora_load(&back, dir, &c, NULL);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !back), "allocation %ld", n);
        nn_lora_free(back);
    }
    nn_lora_free(l);
}
