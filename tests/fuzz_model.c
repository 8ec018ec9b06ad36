/* fuzz_model.c - other people's models: a GGUF or llama2.c file, a Hugging Face folder; what opens computes and
 * decodes.
 *
 * A folder comes as one input, its files one behind the other with a separator line between them (fuzz_part).
 */
#include "nn/arena.h"
#include "nn/decode.h"
#include "nn/pretrained_impl.h"
#include "tests/fuzz.h"
#include <string.h>

#define POSITIONS 16u
#define SLACK 16384u /* bytes of small things */
#define MEMORY ((uint64_t)16 << 20) /* bytes that a model may take here */

static void *room(size_t count, size_t size)
{
    void *block = NULL;

    fuzz_must(nn_alloc(&block, count, size, NULL) == NN_OK, "there is room for a small model");
    return block;
}

static nn_model *load(const nn_pretrained *p, bool as_floats)
{
    nn_load_options o = {.floats = as_floats, .max_t = POSITIONS, .pool = NN_POOL_LAST, .memory = MEMORY};
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};
    uint64_t asked = 0;

    nn_alloc_watch(&asked);
    const nn_status st = nn_pretrained_load(&m, p, &o, &err);
    nn_alloc_watch(NULL);
    fuzz_must(asked <= nn_pretrained_bytes(p, &o) + SLACK, "loading allocates what was said before");

    fuzz_must((st == NN_OK) == (m != NULL), "a model exactly when it loads");
    fuzz_must(st == NN_OK || ((st == NN_FILE || st == NN_LIMIT) && err.text[0]),
              "a refusal has its status and says why");
    return m;
}

/* [2,V] logits behind the first and the last of a few ids. */
static float *logits_of(const nn_model *m, const nn_exec *x)
{
    const nn_config *c = nn_model_config(m);
    const size_t n = c->max_t < 5 ? c->max_t : 5, start[2] = {0, n}, rows[2] = {0, n - 1};
    int32_t ids[5];
    nn_state *s = NULL;
    float *logits = room(2 * c->vocab, sizeof *logits);

    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)((7 * i + 1) % c->vocab);
    const nn_batch b = {.ids = ids, .seg = {start, 1}};
    fuzz_must(nn_state_build(&s, m, n, 1, NULL) == NN_OK, "there is room for a few positions");
    nn_model_fwd(m, s, x, &b);
    nn_state_lm_logits(m, s, x, logits, rows, 2);
    nn_state_free(s);
    return logits;
}

static void decode(const nn_model *m, const nn_exec *x)
{
    const int32_t prompt[1] = {0};
    const size_t vocab = nn_model_config(m)->vocab;
    int32_t drawn[6] = {0};
    nn_decode_row row = {.prompt = prompt, .n_prompt = 1, .max_new = 6, .rng = nn_rng_at(1, "fuzz", 0), .out = drawn};
    nn_decoder *d = NULL;
    const nn_sampler s = nn_sampler_default();

    fuzz_must(nn_decoder_build(&d, m, 1, NULL) == NN_OK, "there is room for one sequence");
    nn_decode_batch(m, d, x, &row, 1, &s, NULL, NULL);
    for (size_t i = 0; i < row.n_out; i++)
        fuzz_must(drawn[i] >= 0 && (size_t)drawn[i] < vocab, "a drawn id is below the vocabulary's size");
    nn_decoder_free(d);
}

/* Floats and the file's own types give the same bits (nn/matrix.h). */
static void compute(const nn_pretrained *p)
{
    const nn_exec *x = fuzz_exec(POSITIONS);
    nn_model *f = load(p, true), *s = load(p, false);

    fuzz_must((f == NULL) == (s == NULL), "a model loads as floats and as it lies, or neither way");
    if (f && s) {
        float *a = logits_of(f, x), *b = logits_of(s, x);

        fuzz_must(memcmp(a, b, 2 * nn_model_config(f)->vocab * sizeof *a) == 0, "stored weights give the floats' bits");
        nn_free(a);
        nn_free(b);
        decode(s, x);
    }
    nn_model_free(f);
    nn_model_free(s);
}

static void look_up(const nn_pretrained *p)
{
    size_t len = 0, sum = 0;
    int32_t stop[32];
    const char *chat = nn_pretrained_chat_template(p, &len);
    const nn_load_options o = {.max_t = POSITIONS};

    for (size_t i = 0; chat && i < len; i++) sum += (unsigned char)chat[i];
    for (size_t i = nn_pretrained_stops(p, stop, 32); i-- > 0;)
        fuzz_must(stop[i] >= 0 && (size_t)stop[i] < nn_pretrained_config(p)->vocab, "a stop is an id");
    for (size_t i = 0; i < nn_pretrained_tensors(p); i++) {
        const nn_st_tensor t = nn_pretrained_tensor(p, i);

        fuzz_must(nn_pretrained_find(p, t.name) != NULL, "a tensor is found by its name");
        if (t.type != NN_DTYPE_OTHER) fuzz_tensor(&t);
    }
    fuzz_must(nn_config_check(nn_pretrained_config(p), NULL) == NN_OK, "an opened model's configuration is sound");
    fuzz_must(nn_pretrained_bytes(p, &o) + sum > 0, "a model takes memory");
}

static nn_status finish(nn_pretrained *p, nn_status st, const uint8_t *bytes, size_t len)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    fuzz_must((st == NN_OK) == (p != NULL), "a model exactly when it opens");
    fuzz_opened();
    if (!p) return st;
    look_up(p);
    if (nn_pretrained_tok(&t, p, NULL, &err) == NN_OK) {
        fuzz_must(nn_tok_vocab(t) <= nn_pretrained_config(p)->vocab, "a tokenizer has no more ids than its model");
        fuzz_tok_use(t, bytes, len);
    } else {
        fuzz_must(err.text[0] != '\0', "a refusal says why");
    }
    nn_tok_free(t);
    compute(p);
    nn_pretrained_close(p);
    return st;
}

nn_status fuzz_model_file(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_pretrained *p = NULL;
    const nn_status st = nn_pretrained_open_memory(&p, bytes, len, "x", err);

    return finish(p, st, bytes, len);
}

/* A safetensors file whose header's length is not to be believed gets one that its last brace suggests. */
static void mend_length(uint8_t *file, size_t n)
{
    uint64_t length = 0;
    size_t end = n;

    if (n < 10) return;
    for (size_t i = 0; i < 8; i++) length |= (uint64_t)file[i] << 8 * i;
    if (length <= n - 8 && file[8] == '{') return;
    while (end > 8 && file[end - 1] != '}') end--;
    for (size_t i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i & 0xff);
}

void fuzz_put_part(const char *name, const uint8_t *part, size_t n)
{
    if (!part) {
        fuzz_forget(name);
        return;
    }
    uint8_t *copy = room(n, 1);

    if (n) memcpy(copy, part, n);
    if (strstr(name, ".safetensors") && !strstr(name, ".json")) mend_length(copy, n);
    (void)fuzz_file(name, copy, n);
    nn_free(copy);
}

nn_status fuzz_model_folder(const uint8_t *bytes, size_t len, nn_err *err)
{
    static const char *const name[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                                       "generation_config.json", "model.safetensors.index.json", "second.safetensors"};
    nn_pretrained *p = NULL;

    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        size_t n = 0;
        const uint8_t *part = fuzz_part(bytes, len, i, &n);

        fuzz_put_part(name[i], n ? part : NULL, n);
    }
    const nn_status st = nn_pretrained_open(&p, fuzz_folder(), err);
    return finish(p, st, bytes, len);
}
