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

/* "exact": the same by a computation in double, in Python, that shares nothing with this program. */
Test(perplexity, is_that_of_llama_cpp)
{
    static const struct {
        const char *name;
        double want, tol, exact;
    } file[] = {{"f32", 154.4600, 1e-3, 154.4790},  {"F16", 154.4626, 1e-3, 154.4602},  {"BF16", 154.5505, 1e-3, 155.0427},
                {"Q8_0", 155.5271, 1e-2, 155.7472}, {"Q5_0", 166.6584, 1e-2, 163.9448}, {"Q5_1", 149.1510, 1e-2, 148.9125},
                {"Q4_0", 163.9436, 1e-2, 163.2782}, {"Q4_1", 152.2698, 1e-2, 151.6351}};
    size_t len = 0;

    skip_unless_fixture(XS "ppl_text.txt");
    char *text = read_bytes(shared_path(XS "ppl_text.txt"), &len);
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        char name[64];

        snprintf(name, sizeof name, XS "llama2xs_%s.gguf", file[i].name);
        const nn_perplexity got = of_file(name, text, len, false), exact = of_file(name, text, len, true);
        cr_expect(fabs(got.perplexity / file[i].want - 1.0) < file[i].tol, "%s: %.4f, want %.4f", file[i].name,
                  got.perplexity, file[i].want);
        cr_expect(fabs(exact.perplexity - file[i].exact) < 2e-3, "%s: %.4f, want %.4f", file[i].name, exact.perplexity,
                  file[i].exact);
        cr_expect(got.scored == 54 * 127 && got.windows == 54 && got.tokens == 13969);
    }
    free(text);
}
