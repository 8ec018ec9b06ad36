/* fuzz_lora.c - PEFT's folder: adapter_config.json and adapter_model.safetensors, for one small model; what is taken is
 * merged both ways, written and read again.
 *
 * One input holds the two files with a separator line between them (fuzz_part). Whether the model's rows stand in pairs
 * depends on the input.
 */
#include "nn/arena.h"
#include "nn/lora.h"
#include "tests/fuzz.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static nn_config config_for(const uint8_t *bytes, size_t len)
{
    nn_config c = nn_config_default();

    c.vocab = 3;
    c.layers = 2;
    c.width = 8;
    c.heads = 2;
    c.kv_heads = 1;
    c.head_dim = 4;
    c.ff = 6;
    c.max_t = 4;
    c.qk_norm = false;
    c.rope = fuzz_pick(bytes, len, 7, 2) ? NN_ROPE_PAIRS : NN_ROPE_HALF;
    return c;
}

/* Into floats, and into the same floats where they lie: the same weights, or neither way. */
static void merge(const nn_lora *l, const nn_config *c)
{
    const nn_exec *x = fuzz_exec(4);
    nn_model *floats = NULL, *stored = NULL, *back = NULL;
    unsigned char *bytes[64] = {NULL};

    fuzz_must(nn_model_build(&floats, c, NULL) == NN_OK && nn_model_build_stored(&stored, c, NULL) == NN_OK,
              "there is room for a small model");
    nn_model_init(floats, 3);
    for (size_t i = 0; i < nn_model_tensors(floats); i++) {
        const nn_tensor from = nn_model_tensor(floats, i), to = nn_model_tensor(stored, i);
        const size_t n = from.rows * from.cols;

        if (to.data) memcpy(to.data, from.data, n * sizeof *to.data);
        if (to.data) continue;
        fuzz_must(nn_alloc((void **)&bytes[i], n, 4, NULL) == NN_OK, "there is room for a matrix");
        nn_dtype_from_f32(bytes[i], NN_F32, from.data, n);
        fuzz_must(nn_model_place_stored(stored, i, NN_F32, bytes[i], NULL) == NN_OK, "numbers may be placed");
    }
    const nn_status st = nn_lora_merge(floats, l, x, NULL);
    fuzz_must(st == NN_OK || st == NN_CONTENT, "what fits is merged, unless a sum is infinite");
    fuzz_must(nn_lora_merge(stored, l, x, NULL) == st, "merged as floats and where they lie, or neither way");
    if (st == NN_OK) fuzz_must(nn_model_floats(&back, stored, NULL) == NN_OK, "there is room for its copy");
    for (size_t i = 0; back && i < nn_model_tensors(back); i++) {
        const nn_tensor a = nn_model_tensor(floats, i), b = nn_model_tensor(back, i);
        fuzz_must(memcmp(a.data, b.data, a.rows * a.cols * sizeof *a.data) == 0, "both merges are the same weights");
    }
    nn_model_free(back);
    nn_model_free(stored);
    nn_model_free(floats);
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) nn_free(bytes[i]);
}

static void expect_same(const nn_lora *a, const nn_lora *b)
{
    const nn_lora_options *o = nn_lora_options_of(a), *p = nn_lora_options_of(b);

    fuzz_must(o->rank == p->rank && o->targets == p->targets && !(o->alpha < p->alpha) && !(o->alpha > p->alpha),
              "options are written as they are read");
    for (size_t i = 0; i < nn_lora_tensors(a); i++) {
        const nn_tensor t = nn_lora_tensor(a, i), u = nn_lora_tensor(b, i);

        fuzz_must(memcmp(t.data, u.data, t.rows * t.cols * sizeof *t.data) == 0, "adapters are written as they are");
    }
}

static void use(const nn_lora *l, const nn_config *c)
{
    char path[700];
    nn_lora *back = NULL;

    fuzz_must(nn_lora_fits(l, c, NULL) == NN_OK, "what was loaded for a model fits it");
    for (size_t i = 0; i < nn_lora_tensors(l); i++) {
        const nn_tensor t = nn_lora_tensor(l, i);

        for (size_t j = 0; j < t.rows * t.cols; j++) fuzz_must(isfinite(t.data[j]), "an adapter holds numbers");
    }
    merge(l, c);
    snprintf(path, sizeof path, "%s/again", fuzz_folder());
    fuzz_must(nn_lora_save(l, c, path, nn_lora_base(l), NULL) == NN_OK, "what was read can be written");
    fuzz_must(nn_lora_load(&back, path, c, NULL) == NN_OK, "what was written can be read");
    expect_same(l, back);
    nn_lora_free(back);
}

nn_status fuzz_lora(const uint8_t *bytes, size_t len, nn_err *err)
{
    static const char *const name[] = {"adapter_config.json", "adapter_model.safetensors"};
    const nn_config c = config_for(bytes, len);
    nn_lora *l = NULL;

    for (size_t i = 0; i < 2; i++) {
        size_t n = 0;
        const uint8_t *part = fuzz_part(bytes, len, i, &n);

        fuzz_put_part(name[i], n ? part : NULL, n);
    }
    const nn_status st = nn_lora_load(&l, fuzz_folder(), &c, err);
    fuzz_must((st == NN_OK) == (l != NULL), "adapters exactly when they load");
    fuzz_opened();
    if (l) use(l, &c);
    nn_lora_free(l);
    return st;
}
