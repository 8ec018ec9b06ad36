/* Perplexity against llama.cpp's, file by file (shared/fixtures/README.md), and against its own definition. */
#include "nn/perplexity.h"
#include "nn/pretrained.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XS "fixtures/llama2xs/"

static nn_perplexity of_file(const char *name, const char *text, size_t len, bool exact)
{
    const nn_load_options o = {.max_t = 256};
    nn_pretrained *p = NULL;
    nn_model *m = NULL;
    nn_tok *t = NULL;
    nn_exec x;
    nn_err err = {NN_OK, ""};
    nn_perplexity got;

    expect_ok(nn_pretrained_open(&p, shared_path(name), &err), &err);
    expect_ok(nn_pretrained_tok(&t, p, NULL, &err), &err);
    expect_ok(nn_pretrained_load(&m, p, &o, &err), &err);
    expect_ok(nn_exec_open(&x, NULL, 1, 256, &err), &err);
    expect_ok(nn_perplexity_text(&got, m, &x, t, text, len, 256, exact, NULL, NULL, &err), &err);
    nn_exec_free(&x);
    nn_model_free(m);
    nn_tok_free(t);
    nn_pretrained_close(p);
    return got;
}

Test(perplexity, is_that_of_llama_cpp)
{
    static const struct {
        const char *name;
        double want, tol;
    } file[] = {{"f32", 154.4600, 1e-3},  {"F16", 154.4626, 1e-3},  {"BF16", 154.5505, 1e-3}, {"Q8_0", 155.5271, 1e-2},
                {"Q5_0", 166.6584, 1e-2}, {"Q5_1", 149.1510, 1e-2}, {"Q4_0", 163.9436, 1e-2}, {"Q4_1", 152.2698, 1e-2}};
    size_t len = 0;

    skip_unless_fixture(XS "ppl_text.txt");
    char *text = read_bytes(shared_path(XS "ppl_text.txt"), &len);
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        char name[64];

        snprintf(name, sizeof name, XS "llama2xs_%s.gguf", file[i].name);
        const nn_perplexity got = of_file(name, text, len, false);
        cr_expect(fabs(got.perplexity / file[i].want - 1.0) < file[i].tol, "%s: %.4f, want %.4f", file[i].name,
                  got.perplexity, file[i].want);
        cr_expect(got.scored == 54 * 127 && got.windows == 54 && got.tokens == 13969);
    }
    free(text);
}

/* Against a computation in double, in Python, that shares nothing with this program. */
Test(perplexity, without_rounding_is_that_of_the_weights_alone)
{
    static const struct {
        const char *name;
        double want;
    } file[] = {{XS "llama2xs_BF16.gguf", 155.0427}, {XS "llama2xs_Q5_0.gguf", 163.9448}};
    size_t len = 0;

    skip_unless_fixture(XS "ppl_text.txt");
    char *text = read_bytes(shared_path(XS "ppl_text.txt"), &len);
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        const nn_perplexity got = of_file(file[i].name, text, len, true);
        cr_expect(fabs(got.perplexity - file[i].want) < 2e-3, "%s: %.4f", file[i].name, got.perplexity);
    }
    free(text);
}

static void count_windows(void *ctx, const nn_perplexity *so_far, size_t done)
{
    size_t *n = ctx;

    cr_expect(so_far->windows == done && done == ++*n);
}

/* A uniform model: its perplexity is the size of the vocabulary, without error. */
Test(perplexity, of_a_model_that_knows_nothing_is_its_vocabulary)
{
    nn_config c = nn_config_default();
    int32_t ids[40];
    nn_model *m = NULL;
    nn_exec x;
    nn_perplexity got;
    nn_err err = {NN_OK, ""};
    size_t seen = 0;

    c.vocab = 96;
    c.max_t = 16;
    for (size_t i = 0; i < 40; i++) ids[i] = (int32_t)(i % 96);
    expect_ok(nn_model_build(&m, &c, &err), &err);
    expect_ok(nn_exec_open(&x, NULL, 1, 16, &err), &err);
    expect_ok(nn_perplexity_ids(&got, m, &x, ids, 40, 1, 16, false, count_windows, &seen, &err), &err);
    cr_expect(got.windows == 2 && seen == 2 && got.scored == 14);
    cr_expect(fabs(got.perplexity - 96.0) < 1e-4 && got.error < 1e-3, "%.9g +- %.3g", got.perplexity, got.error);
    expect_fails(nn_perplexity_ids(&got, m, &x, ids, 31, 1, 16, false, NULL, NULL, &err), NN_CONTENT, &err,
                 "want at least 32");
    err = (nn_err){NN_OK, ""};
    expect_fails(nn_perplexity_ids(&got, m, &x, ids, 40, 1, 17, false, NULL, NULL, &err), NN_USAGE, &err, "8 to 16");
    ids[5] = 96;
    err = (nn_err){NN_OK, ""};
    expect_fails(nn_perplexity_ids(&got, m, &x, ids, 40, 1, 16, false, NULL, NULL, &err), NN_CONTENT, &err, "token 5");
    nn_exec_free(&x);
    nn_model_free(m);
}
