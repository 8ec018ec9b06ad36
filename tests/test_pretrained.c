/* Models that others trained, from the files they come in: the oracle's loss from every format. */
#include "nn/pretrained_impl.h"
#include "tests/support.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

#define XS "fixtures/llama2xs/"

/* Mean loss of the oracle's ids under the model of a file; -1 when the file is refused. */
static double oracle_loss(const char *name, bool floats)
{
    static int32_t ids[256];
    static float logprob[256];
    const nn_load_options o = {.floats = floats, .max_t = 256};
    json_error_t where;
    nn_pretrained *p = NULL;
    nn_model *m = NULL;
    nn_state *s = NULL;
    nn_exec x;
    nn_err err = {NN_OK, ""};
    double sum = 0.0;

    json_t *root = json_load_file(shared_path(XS "train_oracle.json"), 0, &where);
    cr_assert(root, "%s", where.text);
    const json_t *list = json_object_get(root, "ids");
    const size_t n = json_array_size(list);
    cr_assert(n <= 256);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    expect_ok(nn_pretrained_open(&p, shared_path(name), &err), &err);
    expect_ok(nn_pretrained_load(&m, p, &o, &err), &err);
    expect_ok(nn_exec_open(&x, NULL, 1, 256, &err), &err);
    expect_ok(nn_state_build(&s, m, n, 1, &err), &err);
    const size_t start[2] = {0, n};
    const nn_batch b = {ids, {start, 1}, NULL, NULL};
    nn_state_logprob(m, s, &x, &b, logprob);
    for (size_t i = 1; i < n; i++) sum -= (double)logprob[i];
    nn_state_free(s);
    nn_exec_free(&x);
    nn_model_free(m);
    nn_pretrained_close(p);
    json_decref(root);
    return sum / (double)(n - 1);
}

Test(pretrained, every_format_has_the_loss_of_pytorch)
{
    static const struct {
        const char *name;
        double tol; /* of the loss of the float weights: what the storage type costs */
    } file[] = {{XS "model.bin", 1e-6}, {XS "llama2xs_f32.gguf", 1e-6}, {"fixtures/hf/llama2xs-f32", 1e-6}, {"fixtures/hf/llama2xs-bf16", 5e-3},
                {XS "llama2xs_F16.gguf", 2e-4},
                {XS "llama2xs_BF16.gguf", 5e-3}, {XS "llama2xs_Q8_0.gguf", 2e-2}};

    skip_unless_fixture(XS "train_oracle.json");
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        const double loss = oracle_loss(file[i].name, true), stored = oracle_loss(file[i].name, false);
        cr_expect(fabs(loss - 0.928744967) < file[i].tol, "%s: loss %.9f", file[i].name, loss);
        cr_expect(loss == stored, "%s: %.17g as floats, %.17g where it lies", file[i].name, loss, stored);
    }
}
