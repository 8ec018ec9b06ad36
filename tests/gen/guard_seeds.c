/* guard_seeds.c - writes the seeds of tests/corpus/guard, which only the library itself can write: their vocabulary is
 * in the file by its hash. `make fuzz-seeds` runs it: guard_seeds tests/corpus/guard
 *
 * Three guards of no use: a wide part of 64 slots; the same with a decoder of width 2; a model of somebody else's, the
 * seed model_gguf/ok_llama, with its tokenizer.
 */
#include "guard/classify.h"
#include "guard/corpus.h"
#include "nn/plat.h"
#include "nn/pretrained.h"
#include <stdio.h>
#include <string.h>

static nn_status make_corpus(guard_corpus **c, nn_err *err)
{
    static const char *const text[] = {"how do I fold a crane", "a flagged request", "tell me a story",
                                       "another flagged one"};
    nn_status st = guard_corpus_build(c, err);

    for (int i = 0; i < 4 && st == NN_OK; i++) {
        const guard_row row = {.label = i % 2, .text = {text[i], strlen(text[i])}};

        st = guard_corpus_add(*c, &row, err);
    }
    return st;
}

static nn_config tiny(const nn_tok *tok, size_t window)
{
    nn_config m = nn_config_default();

    m.vocab = nn_tok_vocab(tok);
    m.layers = 1;
    m.width = m.head_dim = 2;
    m.heads = m.kv_heads = m.ff = 1;
    m.max_t = window;
    m.lm_head = m.tied = false;
    m.n_class = m.n_category = 2;
    return m;
}

static guard_parts parts(void)
{
    const guard_taxonomy two = {.n = 2,
                                .category = {{.name = "first", .definition = "the first kind", .severity = 1},
                                             {.name = "second", .openai = "S,H", .severity = 3}}};
    return (guard_parts){.name = "seed", .taxonomy = two, .window = 16, .stride = 8, .calibrate_a = 1.0,
                         .threshold = {0.5f, 0.5f, 0.5f, 0.5f}};
}

static nn_status save(guard_parts *p, const char *path, nn_dtype type, nn_err *err)
{
    guard_classifier *g = NULL;
    nn_status st = guard_classifier_build(&g, p, err);

    if (st != NN_OK) return st;
    st = guard_classifier_save(g, path, type, err);
    guard_classifier_close(g);
    return st;
}

static nn_status make_foreign(const char *path, const char *model, nn_err *err)
{
    const nn_load_options o = {.floats = true, .max_t = 16, .n_class = 2, .n_category = 2, .no_lm_head = true};
    const int32_t lead[] = {1, 3}, tail[] = {4};
    guard_parts p = parts();
    nn_pretrained *from = NULL;
    nn_status st;

    if ((st = nn_pretrained_open(&from, model, err)) != NN_OK) return st;
    if ((st = nn_pretrained_tok(&p.tok, from, NULL, err)) != NN_OK) return st;
    if ((st = nn_pretrained_load(&p.m, from, &o, err)) != NN_OK) return st;
    (void)(guard_format_add(&p.format, GUARD_PROMPT_LEAD, lead, 2) &&
           guard_format_add(&p.format, GUARD_PROMPT_TAIL, tail, 1));
    st = save(&p, path, NN_F32, err);
    nn_pretrained_close(from);
    return st;
}

static nn_status make_guard(const char *path, const guard_corpus *c, bool decoder, nn_err *err)
{
    guard_parts p = parts();
    const char *const text[] = {"aa", "abab"};
    const size_t len[] = {2, 4};
    guard_wide_options o = guard_wide_default();
    const nn_par par = nn_par_one();
    nn_status st;

    o.bits = 6;
    if ((st = nn_tok_train(&p.tok, text, len, 2, 321, err)) != NN_OK) return st;
    if ((st = guard_wide_train(&p.wide, c, NULL, &o, &par, err)) != NN_OK) return st;
    const nn_config m = tiny(p.tok, p.window);
    if (decoder) {
        if ((st = nn_model_build(&p.m, &m, err)) != NN_OK) return st;
        nn_model_init(p.m, 1);
    }
    return save(&p, path, NN_F16, err);
}

int main(int argc, char **argv)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};
    char path[512], model[512];

    if (argc != 2) return 2;
    nn_status st = nn_dir_make(argv[1], &err);
    if (st == NN_OK) st = make_corpus(&c, &err);
    for (int decoder = 0; decoder < 2 && st == NN_OK; decoder++) {
        snprintf(path, sizeof path, "%s/%s", argv[1], decoder ? "ok_decoder" : "ok_wide");
        st = make_guard(path, c, decoder, &err);
    }
    snprintf(path, sizeof path, "%s/ok_foreign", argv[1]);
    snprintf(model, sizeof model, "%s/../model_gguf/ok_llama", argv[1]);
    if (st == NN_OK) st = make_foreign(path, model, &err);
    guard_corpus_free(c);
    if (st != NN_OK) fprintf(stderr, "%s\n", err.text);
    return (int)st;
}
