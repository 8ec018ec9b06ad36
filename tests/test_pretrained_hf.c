/* Hugging Face folders: the maths against transformers' own, configurations that are refused by name, shards, hostile
 * files. */
#include "nn/arena.h"
#include "tests/support.h"
#include "tests/test_pretrained_support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BASE                                                                                                           \
    "{\"hidden_size\": 32, \"intermediate_size\": 56, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "          \
    "\"num_key_value_heads\": 2, \"vocab_size\": 48, \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, "       \
    "\"hidden_act\": \"silu\", \"bos_token_id\": 1, \"eos_token_id\": 2, "
#define LLAMA "\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
#define MISTRAL "\"model_type\": \"mistral\", \"architectures\": [\"MistralForCausalLM\"], "
#define QWEN2 "\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForCausalLM\"], "
#define QWEN3 "\"model_type\": \"qwen3\", \"architectures\": [\"Qwen3ForCausalLM\"], "
#define TIED "\"tie_word_embeddings\": true"
#define UNTIED "\"tie_word_embeddings\": false"

/* What BASE comes to. */
static nn_config base(bool tied)
{
    nn_config c = nn_config_default();

    c.width = 32;
    c.ff = 56;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 8;
    c.vocab = 48;
    c.max_t = 128;
    c.norm_eps = 1e-5f;
    c.qk_norm = false;
    c.tied = tied;
    return c;
}

/* A plain small llama, tied. */
static paper_model *plain(void)
{
    const nn_config c = base(true);

    return paper_of(&c);
}

/* --- the maths -------------------------------------------------------------------------------------------------- */

#define T 24u

typedef struct {
    const char *name, *config;
    bool tied, bias, norm;
    size_t head_dim;
    float want[2][6]; /* rows 12 and 23: tests/gen/hf_tiny.py, transformers 4.55.0 */
} maths_case;

static const maths_case maths[] = {
    {"llama, wide heads", BASE LLAMA "\"head_dim\": 16, \"rope_theta\": 10000.0, " TIED "}", true, false, false, 16,
     {{-2.56142165f, -2.05945203f, -0.685970666f, -2.29503119f, 3.4359424f, -0.738247865f},
      {-1.66923568f, -1.44658762f, -2.14710127f, 1.59294634f, -0.84426385f, 1.32729679f}}},
    {"llama3 scaling",
     BASE LLAMA "\"head_dim\": 16, \"rope_theta\": 10000.0, " UNTIED ", \"rope_scaling\": {\"rope_type\": \"llama3\", "
                "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                "\"original_max_position_embeddings\": 64}}", false, false, false, 16,
     {{2.64979935f, 1.07175617f, -2.40839678f, -0.11544056f, 0.0708016311f, 1.02303021f},
      {-0.0334650199f, -0.698536248f, 1.75561087f, 0.815027607f, 2.57029956f, -0.246995814f}}},
    {"linear scaling",
     BASE LLAMA "\"rope_theta\": 500000.0, " UNTIED ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}}",
     false, false, false, 8,
     {{1.31508052f, -0.641871493f, 1.63739377f, -1.14860941f, -0.538408393f, -0.260460281f},
      {-1.20876657f, -1.54505255f, -2.10596681f, -3.27036937f, -3.98249697f, -2.73610546f}}},
    {"mistral, window 5", BASE MISTRAL "\"rope_theta\": 10000.0, " UNTIED ", \"sliding_window\": 5}", false, false,
     false, 8,
     {{-1.88754283f, -0.301184558f, 0.703450537f, -3.0797021f, -1.79563881f, -2.00724995f},
      {0.400428869f, -4.29742451f, -4.38272922f, -2.50429034f, -2.96114743f, -2.71164588f}}},
    {"qwen2",
     BASE QWEN2 "\"rope_theta\": 1000000.0, " TIED ", \"use_sliding_window\": false, \"sliding_window\": 4096, "
                "\"max_window_layers\": 1}", true, true, false, 8,
     {{0.785723505f, -0.435595824f, 2.06927119f, 1.92323993f, -0.82964344f, 1.95524633f},
      {2.34934481f, 1.18342645f, 2.95993977f, 2.12196682f, 1.02148585f, 0.710794407f}}},
    {"qwen2, window 7",
     BASE QWEN2 "\"rope_theta\": 10000.0, " TIED ", \"use_sliding_window\": true, \"sliding_window\": 7, "
                "\"max_window_layers\": 0}", true, true, false, 8,
     {{1.83285065f, 0.275423631f, 2.86601628f, 2.08522004f, 0.525324489f, 2.30687277f},
      {4.33643671f, 1.27018075f, 3.84765145f, 0.222298642f, 1.260992f, -1.2737604f}}},
    {"qwen3",
     BASE QWEN3 "\"head_dim\": 16, \"rope_theta\": 1000000.0, " TIED ", \"attention_bias\": false, "
                "\"use_sliding_window\": false, \"sliding_window\": null}", true, false, true, 16,
     {{-3.12306905f, -1.34716236f, 1.04493289f, -0.52848981f, 1.44628548f, -1.34744142f},
      {-3.11971133f, -1.29216625f, -1.10021449f, 1.05007795f, -0.6881878f, 0.823954373f}}},
};

static void fill_ids(int32_t *ids)
{
    ids[0] = 1;
    for (size_t i = 1; i < T; i++) ids[i] = (int32_t)((7 * i * i + 3 * i + 5) % 48);
}

/* 2e-5: transformers computes norms, softmax and angles in float32, we all of it. */
static void check_maths(const maths_case *k, const char *dir, bool floats)
{
    int32_t ids[T];
    nn_pretrained *p = NULL;
    nn_model *m = load_model_at(&p, dir, floats, 0);

    fill_ids(ids);
    float *got = logits_of(m, ids, T);
    expect_close(k->name, got + T / 2 * 48, k->want[0], 6, 2e-5);
    expect_close(k->name, got + (T - 1) * 48, k->want[1], 6, 2e-5);
    nn_model_free(m);
    nn_pretrained_close(p);
}

Test(pretrained_hf, logits_are_those_of_transformers)
{
    for (size_t i = 0; i < sizeof maths / sizeof *maths; i++) {
        const maths_case *k = maths + i;
        nn_config c = base(k->tied);

        c.head_dim = k->head_dim;
        c.qkv_bias = k->bias;
        c.qk_norm = k->norm;
        const char *dir = paper_folder(paper_of(&c), k->config);
        check_maths(k, dir, true);
        check_maths(k, dir, false);
    }
}

/* --- config.json -------------------------------------------------------------------------------------------------- */

/* The configuration that a text comes to; fails the test unless it is taken. */
static nn_config config_of(const char *text)
{
    nn_pretrained p = {.config = nn_config_default()};
    nn_err err = {NN_OK, ""};
    char name[] = "model";

    p.path = name;
    p.config.qk_norm = false;
    expect_ok(nn_pretrained_read_config(&p, text, strlen(text), "config.json", &err), &err);
    return p.config;
}

static void expect_refused_config(const char *text, const char *part)
{
    nn_pretrained p = {.config = nn_config_default()};
    nn_err err = {NN_OK, ""};
    char name[] = "model";

    p.path = name;
    expect_fails(nn_pretrained_read_config(&p, text, strlen(text), "config.json", &err), NN_FILE, &err, part);
}

static bool same_config(nn_config a, nn_config b)
{
    return a.vocab == b.vocab && a.layers == b.layers && a.width == b.width && a.heads == b.heads &&
           a.kv_heads == b.kv_heads && a.head_dim == b.head_dim && a.ff == b.ff && a.max_t == b.max_t &&
           a.sliding_window == b.sliding_window && a.rope_theta == b.rope_theta && a.norm_eps == b.norm_eps &&
           a.rope == b.rope && a.qk_norm == b.qk_norm && a.qkv_bias == b.qkv_bias && a.tied == b.tied &&
           memcmp(a.rope_divisor, b.rope_divisor, sizeof a.rope_divisor) == 0;
}

Test(pretrained_hf, absent_keys_mean_what_transformers_says)
{
    const nn_config least = config_of("{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 56, "
                                      "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"vocab_size\": 48}");
    nn_config want = base(false);

    want.kv_heads = 4;
    want.max_t = 2048;
    want.norm_eps = 1e-6f;
    cr_expect(same_config(least, want));
    cr_expect_eq(config_of(BASE MISTRAL TIED "}").sliding_window, 4096);
    cr_expect_eq(config_of(BASE MISTRAL "\"sliding_window\": null, " TIED "}").sliding_window, 0);
    cr_expect_eq(config_of(BASE QWEN2 "\"sliding_window\": 9, " TIED "}").sliding_window, 0);
    cr_expect_eq(config_of(BASE LLAMA "\"sliding_window\": 9, " TIED "}").sliding_window, 0, "llama has none");
    cr_expect_eq(config_of(BASE QWEN3 TIED "}").head_dim, 128, "qwen3's default");
    cr_expect_eq(config_of(BASE LLAMA "\"head_dim\": null, " TIED "}").head_dim, 8);
    cr_expect(same_config(config_of(BASE LLAMA "\"rope_theta\": 5000, \"rope_scaling\": null, " TIED "}"),
                          config_of(BASE LLAMA "\"rope_parameters\": {\"rope_theta\": 5e3, "
                                    "\"rope_type\": \"default\"}, " TIED "}")), "the newer form");
    cr_expect(same_config(config_of(BASE LLAMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 3}, " TIED "}"),
                          config_of(BASE "\"rope_parameters\": {\"rope_theta\": 1e4, \"rope_type\": \"linear\", "
                                    "\"factor\": 3.0}, " LLAMA TIED "}")), "the newer form, scaled");
    cr_expect(same_config(config_of(BASE MISTRAL "\"layer_types\": [\"full_attention\", \"full_attention\"], "
                                    UNTIED "}"),
                          config_of(BASE MISTRAL "\"sliding_window\": null, " UNTIED "}")));
    cr_expect(same_config(config_of(BASE "\"architectures\": [\"LlamaForCausalLM\"], " TIED "}"),
                          config_of(BASE LLAMA "\"torch_dtype\": \"float16\", \"pretraining_tp\": 1, "
                                    "\"x\": [{}, 1e400], " TIED "}")), "keys that do not matter");
}

Test(pretrained_hf, configurations_that_are_not_computed_are_refused_by_name)
{
    static const char *const bad[][2] = {
        {BASE "\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"]}", "gpt2 (GPT2LMHeadModel)"},
        {BASE "\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"]}",
         "LlamaForSequenceClassification"},
        {BASE "\"model_type\": \"qwen2\", \"architectures\": [\"LlamaForCausalLM\"]}", "qwen2 (LlamaForCausalLM)"},
        {BASE "\"architectures\": [\"MixtralForCausalLM\"]}", "MixtralForCausalLM"},
        {BASE TIED "}", "architecture"},
        {"{" LLAMA "\"hidden_size\": 32}", "intermediate_size"},
        {BASE LLAMA "\"head_dim\": 0}", "head_dim"},
        {BASE LLAMA "\"head_dim\": 7}", "head_dim"},
        {BASE LLAMA "\"head_dim\": -8}", "config.json: byte"},
        {BASE LLAMA "\"attention_bias\": true}", "attention_bias"},
        {BASE LLAMA "\"mlp_bias\": true}", "mlp_bias"},
        {BASE QWEN3 "\"attention_bias\": true}", "attention_bias"},
        {BASE LLAMA "\"partial_rotary_factor\": 0.5}", "partial_rotary_factor"},
        {BASE LLAMA "\"quantization_config\": {\"quant_method\": \"gptq\"}}", "quantization_config"},
        {BASE LLAMA "\"rope_theta\": 0}", "rope_theta"},
        {BASE LLAMA "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}}", "yarn"},
        {BASE LLAMA "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}}", "dynamic"},
        {BASE LLAMA "\"rope_scaling\": {\"type\": \"linear\"}}", "factor"},
        {BASE LLAMA "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 4}}", "low_freq_factor"},
        {BASE LLAMA "\"rope_parameters\": {\"full_attention\": {}}}", "each type of layer"},
        {BASE LLAMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
                    "\"rope_parameters\": {\"rope_theta\": 1}}", "one of the two"},
        {BASE QWEN2 "\"use_sliding_window\": true, \"max_window_layers\": 1}", "1 of 2 layers"},
        {BASE MISTRAL "\"layer_types\": [\"full_attention\", \"sliding_attention\"]}", "1 of 2 layers"},
        {BASE QWEN3 "\"layer_types\": [\"full_attention\", \"linear_attention\"]}", "layer_types"},
        {BASE QWEN3 "\"layer_types\": [\"sliding_attention\", \"sliding_attention\"]}", "no window"},
        {BASE LLAMA "\"vocab_size\": 48}", "vocab_size"},
        {BASE LLAMA TIED, "config.json: byte"},
        {"[]", "config.json: byte"},
        {"", "config.json: byte"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect_refused_config(bad[i][0], bad[i][1]);
    expect_refused_config("{\"hidden_act\": \"gelu\", " LLAMA "\"hidden_size\": 32, \"intermediate_size\": 56, "
                          "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"vocab_size\": 48}", "gelu");
}

/* --- folders ------------------------------------------------------------------------------------------------------ */

static const char *const plain_config = BASE LLAMA TIED "}";

/* The loaded model has the bytes of w. */
static void expect_weights(const char *dir, const paper_model *w)
{
    const nn_config c = base(true);
    char got[65], want[65];
    nn_pretrained *p = NULL;
    nn_model *m = load_model_at(&p, dir, true, 0), *direct = paper_model_of(w, &c);

    nn_model_hash(m, got);
    nn_model_hash(direct, want);
    cr_expect_str_eq(got, want);
    cr_expect_str_eq(nn_pretrained_format(p), "Hugging Face folder");
    cr_expect_str_eq(nn_pretrained_architecture(p), "llama");
    nn_model_free(direct);
    nn_model_free(m);
    nn_pretrained_close(p);
}

/* Two shards and an index of them; returns the folder. */
static const char *sharded(const paper_model *w, const char *index)
{
    const char *dir = temp_dir();

    write_text(path_in(dir, "config.json"), plain_config);
    paper_write(w, dir, "a.safetensors", 0, w->n / 2);
    paper_write(w, dir, "b.safetensors", w->n / 2, w->n);
    write_text(path_in(dir, "model.safetensors.index.json"), index);
    return dir;
}

/* The right index; tensor `but` is placed in `file`, or left out when that is NULL. */
static const char *index_of(const paper_model *w, const char *but, const char *file)
{
    static char text[8192];
    size_t len = (size_t)snprintf(text, sizeof text, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    bool first = true;

    for (size_t i = 0; i < w->n; i++) {
        const bool other = strcmp(w->name[i], but) == 0;
        const char *at = other ? file : i < w->n / 2 ? "a.safetensors" : "b.safetensors";

        if (!at) continue;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\"%s\": \"%s\"", first ? "" : ", ", w->name[i], at);
        first = false;
    }
    snprintf(text + len, sizeof text - len, "}}");
    return text;
}

Test(pretrained_hf, one_file_and_two_shards_hold_the_same_model)
{
    const paper_model *w = plain();

    expect_weights(paper_folder(w, plain_config), w);
    expect_weights(sharded(w, index_of(w, "", NULL)), w);
}

Test(pretrained_hf, an_index_that_lies_is_refused)
{
    paper_model *w = plain();
    const char *norm = "model.norm.weight"; /* in b */

    expect_refused_model(sharded(w, index_of(w, norm, "c.safetensors")), "c.safetensors is missing");
    expect_refused_model(sharded(w, index_of(w, norm, "../b.safetensors")), "want a name in the same folder");
    expect_refused_model(sharded(w, index_of(w, norm, "a.safetensors")), "model.norm.weight is not in a.safetensors");
    expect_refused_model(sharded(w, index_of(w, norm, NULL)), "which the index does not place there");
    expect_refused_model(sharded(w, "{\"weight_map\": {}}"), "no tensors");
    expect_refused_model(sharded(w, "{\"weight_map\": {\"a\": 1}}"), "byte");
    /* in both shards: whatever the index says of the second one */
    paper_add(w, w->name[0], 48, 32);
    const size_t n = w->n;
    w->n = n - 1;
    const char *index = index_of(w, "", NULL);
    w->n = n;
    const char *dir = temp_dir();
    write_text(path_in(dir, "config.json"), plain_config);
    paper_write(w, dir, "a.safetensors", 0, (n - 1) / 2);
    paper_write(w, dir, "b.safetensors", (n - 1) / 2, n);
    write_text(path_in(dir, "model.safetensors.index.json"), index);
    expect_refused_model(dir, "which the index does not place there");
}

Test(pretrained_hf, tensors_and_configuration_must_agree)
{
    paper_model *w = plain();

    paper_drop(w, "model.layers.1.mlp.up_proj.weight");
    expect_refused_model(paper_folder(w, plain_config), "model.layers.1.mlp.up_proj.weight is missing, want [56, 32]");
    w = plain();
    paper_add(w, "model.layers.0.self_attn.q_proj.bias", 0, 32);
    expect_refused_model(paper_folder(w, plain_config), "q_proj.bias is none that llama has");
    w = plain();
    paper_drop(w, "model.norm.weight");
    paper_add(w, "model.norm.weight", 0, 31);
    expect_refused_model(paper_folder(w, plain_config), "shape [31], want [32]");
    w = plain();
    paper_drop(w, "model.layers.0.self_attn.k_proj.weight");
    paper_add(w, "model.layers.0.self_attn.k_proj.weight", 32, 16);
    expect_refused_model(paper_folder(w, plain_config), "shape [32, 16], want [16, 32]");
    expect_refused_model(paper_folder(plain(), BASE LLAMA UNTIED "}"), "lm_head.weight is missing, want [48, 32]");
    expect_refused_model(paper_folder(plain(), BASE QWEN2 TIED "}"), "q_proj.bias is missing, want [32]");
    w = plain();
    w->data[paper_find(w, "model.norm.weight")][3] = NAN;
    const char *dir = paper_folder(w, plain_config);
    nn_pretrained *p = open_model_at(dir);
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};
    const nn_load_options o = {.floats = false};
    expect_fails(nn_pretrained_load(&m, p, &o, &err), NN_FILE, &err, "model.norm.weight: number 3");
    cr_expect(m == NULL);
    nn_pretrained_close(p);
}

Test(pretrained_hf, tensors_without_weights_of_their_own_are_forgiven)
{
    paper_model *w = plain();
    const size_t embed = paper_find(w, "model.embed_tokens.weight");

    paper_add(w, "model.layers.0.self_attn.rotary_emb.inv_freq", 0, 4);
    paper_add(w, "lm_head.weight", 48, 32);
    memcpy(w->data[paper_find(w, "lm_head.weight")], w->data[embed], 48 * 32 * sizeof(float));
    expect_weights(paper_folder(w, plain_config), w);
    w->data[paper_find(w, "lm_head.weight")][1] += 1.0f;
    expect_refused_model(paper_folder(w, plain_config), "lm_head.weight is none");
}

Test(pretrained_hf, a_folder_says_what_it_lacks)
{
    const paper_model *w = plain();
    const char *dir = temp_dir();

    expect_refused_model(dir, "a folder without config.json");
    write_text(path_in(dir, "config.json"), plain_config);
    expect_refused_model(dir, "no weights, want model.safetensors");
    paper_write(w, dir, "model.safetensors", 0, w->n);
    expect_refused_model(path_in(dir, "model.safetensors"), "no llama2.c file");
    skip_unless_fixture("fixtures/hf/tiny-random-gpt2/config.json");
    expect_refused_model(shared_path("fixtures/hf/tiny-random-gpt2"), "gpt2 (GPT2LMHeadModel)");
}

/* --- what stands beside ------------------------------------------------------------------------------------- */

static void expect_stops(const char *dir, size_t n, int32_t a, int32_t b)
{
    nn_pretrained *p = open_model_at(dir);
    int32_t ids[4] = {-1, -1, -1, -1};

    cr_expect_eq(nn_pretrained_stops(p, ids, 4), n);
    cr_expect(ids[0] == a && ids[1] == b, "%d %d", (int)ids[0], (int)ids[1]);
    nn_pretrained_close(p);
}

Test(pretrained_hf, generation_config_says_where_a_text_ends)
{
    const char *dir = paper_folder(plain(), plain_config), *path = path_in(dir, "generation_config.json");

    expect_stops(dir, 1, 2, -1);
    write_text(path, "{\"eos_token_id\": [7, 5, 7, 4711], \"temperature\": 0.6}");
    expect_stops(dir, 2, 7, 5);
    write_text(path, "{\"eos_token_id\": null}");
    expect_stops(dir, 1, 2, -1);
    write_text(path, "{\"eos_token_id\": 9}");
    expect_stops(dir, 1, 9, -1);
    write_text(path, "{\"eos_token_id\": \"x\"}");
    expect_refused_model(dir, "generation_config.json: byte");
}

static void expect_template(const char *dir, const char *want)
{
    nn_pretrained *p = open_model_at(dir);
    size_t len = 0;
    const char *got = nn_pretrained_chat_template(p, &len);

    if (!want) cr_expect(got == NULL);
    else cr_expect(got && len == strlen(want) && memcmp(got, want, len) == 0, "%.*s", (int)len, got ? got : "");
    nn_pretrained_close(p);
}

Test(pretrained_hf, chat_template_in_the_three_places_it_has_had)
{
    const char *dir = paper_folder(plain(), plain_config), *path = path_in(dir, "tokenizer_config.json");

    expect_template(dir, NULL);
    write_text(path, "{\"model_max_length\": 1000000000000000019884624838656, \"chat_template\": \"a\\n{{ b }}\"}");
    expect_template(dir, "a\n{{ b }}");
    write_text(path, "{\"chat_template\": [{\"name\": \"tools\", \"template\": \"x\"}, "
                     "{\"template\": \"y\", \"name\": \"default\"}]}");
    expect_template(dir, "y");
    write_text(path, "{\"chat_template\": null}");
    expect_template(dir, NULL);
    write_text(path_in(dir, "chat_template.jinja"), "{{ z }}\n");
    expect_template(dir, "{{ z }}\n");
}

/* --- memory -------------------------------------------------------------------------------------------------- */

Test(pretrained_hf, too_little_memory_is_said_before_anything_is_taken)
{
    nn_pretrained *p = open_model_at(paper_folder(plain(), plain_config));
    nn_load_options o = {.floats = true, .memory = 50000};
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};
    char part[64];

    snprintf(part, sizeof part, "needs %llu bytes", (unsigned long long)nn_pretrained_bytes(p, &o));
    nn_alloc_fail_at(0); /* an allocation would be refused with other words */
    expect_fails(nn_pretrained_load(&m, p, &o, &err), NN_LIMIT, &err, part);
    nn_alloc_fail_at(-1);
    cr_expect(strstr(err.text, "50000 are free") && m == NULL, "%s", err.text);

    o.memory = nn_pretrained_bytes(p, &o);
    err = (nn_err){NN_OK, ""};
    expect_ok(nn_pretrained_load(&m, p, &o, &err), &err);
    nn_model_free(m);
    o.extra = 1;
    expect_fails(nn_pretrained_load(&m, p, &o, &err), NN_LIMIT, &err, "1 besides");
    o.extra = UINT64_MAX;
    err = (nn_err){NN_OK, ""};
    expect_fails(nn_pretrained_load(&m, p, &o, &err), NN_LIMIT, &err, "besides");
    nn_pretrained_close(p);
}

Test(pretrained_hf, each_failed_allocation_is_reported)
{
    const paper_model *w = plain();
    const char *dir = sharded(w, index_of(w, "", NULL));
    const nn_load_options o = {.floats = false};
    nn_status st = NN_LIMIT;
    long n = 0;

    write_text(path_in(dir, "generation_config.json"), "{\"eos_token_id\": 9}");
    write_text(path_in(dir, "tokenizer_config.json"), "{\"chat_template\": \"a\"}");
    for (; st != NN_OK && n < 500; n++) {
        nn_pretrained *p = NULL;
        nn_model *m = NULL;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = nn_pretrained_open(&p, dir, &err);
        if (st == NN_OK) st = nn_pretrained_load(&m, p, &o, &err);
        nn_alloc_fail_at(-1);
        cr_expect(st == NN_OK || (st == NN_LIMIT && !m), "allocation %ld: %s", n, err.text);
        nn_model_free(m);
        nn_pretrained_close(p);
    }
    cr_expect(st == NN_OK && n > 20);
}
