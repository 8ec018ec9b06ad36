/* trainer_file.c - a trainer between two steps as one safetensors file, and back.
 *
 * Reads: trainer_impl.h, safetensors.h.
 * What is saved: the weights that are trained (with adapters those and the heads) under their own names, the two moments
 * as adam_m.NAME and adam_v.NAME, the number of steps and the running products of the betas (the bits of the doubles, in
 * hex), and the caller's text. Gradients and activations are not: save after a step.
 * Loading checks everything first and then copies, so a refused file leaves the trainer as it was.
 */
#include "nn/safetensors.h"
#include "nn/trainer_impl.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 3u /* weight, first moment, second moment */
#define NAME_BYTES 80u
#define NUMBER_BYTES 24u
#define FORMAT "parapet-trainer-1"

static void tensor_name(char name[NAME_BYTES], const nn_trainer *t, size_t i)
{
    static const char prefix[KINDS][8] = {"", "adam_m.", "adam_v."};

    snprintf(name, NAME_BYTES, "%s%s", prefix[i % KINDS], nn_trainer_trained(t, i / KINDS).w->name);
}

static float *tensor_data(const nn_trainer *t, size_t i)
{
    const nn_trained p = nn_trainer_trained(t, i / KINDS);
    float *const kind[KINDS] = {p.data, p.moment1, p.moment2};

    return kind[i % KINDS];
}

static void double_to_hex(char out[NUMBER_BYTES], double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    snprintf(out, NUMBER_BYTES, "%016" PRIx64, bits);
}

nn_status nn_trainer_save(const nn_trainer *t, const char *path, const char *meta, nn_err *err)
{
    const size_t n = KINDS * nn_trainer_n_trained(t);
    char steps[NUMBER_BYTES], power1[NUMBER_BYTES], power2[NUMBER_BYTES];
    void *tensors = NULL, *names = NULL;
    nn_status st;

    if ((st = nn_alloc(&tensors, n, sizeof(nn_st_out), err)) != NN_OK) goto done;
    if ((st = nn_alloc(&names, n, NAME_BYTES, err)) != NN_OK) goto done;
    nn_st_out *out = tensors;
    for (size_t i = 0; i < n; i++) {
        const nn_tensor *w = nn_trainer_trained(t, i / KINDS).w;
        char *name = (char *)names + i * NAME_BYTES;

        tensor_name(name, t, i);
        out[i].name = name;
        out[i].rows = w->rows == 1 ? 0 : w->rows;
        out[i].cols = w->cols;
        out[i].data = tensor_data(t, i);
    }
    snprintf(steps, sizeof steps, "%zu", t->steps);
    double_to_hex(power1, t->power1);
    double_to_hex(power2, t->power2);
    const nn_st_pair pair[] = {{"format", FORMAT},      {"steps", steps}, {"beta1_power", power1},
                               {"beta2_power", power2}, {"meta", meta ? meta : ""}};
    st = nn_st_write(path, out, n, pair, sizeof pair / sizeof *pair, err);
done:
    nn_free(names);
    nn_free(tensors);
    return st;
}

/* --- load --------------------------------------------------------------------------------- */

/* A whole metadata value as a number in the given base. */
static nn_status read_number(uint64_t *out, const nn_safetensors *f, const char *path, const char *key, int base,
                             nn_err *err)
{
    const char *text = nn_st_meta(f, key);
    char *end = NULL;

    *out = 0;
    if (text && strlen(text) < NUMBER_BYTES && text[0] != '-' && text[0] != '\0')
        *out = (uint64_t)strtoull(text, &end, base);
    if (end == NULL || *end != '\0')
        return nn_fail(err, NN_FILE, "%s: metadata %s is \"%.24s\", want a number in base %d", path, key,
                       text ? text : "(absent)", base);
    return NN_OK;
}

static nn_status read_power(double *out, const nn_safetensors *f, const char *path, const char *key, nn_err *err)
{
    uint64_t bits;
    const nn_status st = read_number(&bits, f, path, key, 16, err);

    memcpy(out, &bits, sizeof *out);
    if (st != NN_OK) return st;
    if (!(*out >= 0.0 && *out <= 1.0))
        return nn_fail(err, NN_FILE, "%s: metadata %s is %g, want 0 to 1", path, key, *out);
    return NN_OK;
}

static nn_status check_tensor(const nn_trainer *t, size_t i, const nn_safetensors *f, const char *path, nn_err *err)
{
    const nn_tensor *w = nn_trainer_trained(t, i / KINDS).w;
    const bool flat = w->rows == 1;
    char name[NAME_BYTES];

    tensor_name(name, t, i);
    const nn_st_tensor *have = nn_st_find(f, name);
    if (!have) return nn_fail(err, NN_FILE, "%s: %s is missing", path, name);
    if (have->type != NN_F32) return nn_fail(err, NN_FILE, "%s: %s is not stored as F32", path, name);
    if (have->n_dim != (flat ? 1u : 2u) || have->dim[have->n_dim - 1] != w->cols || have->count != w->rows * w->cols)
        return nn_fail(err, NN_FILE, "%s: %s has %zu values in %zu dimensions, want [%zu, %zu]", path, name,
                       have->count, have->n_dim, w->rows, w->cols);
    return NN_OK;
}

static nn_status check_file(const nn_trainer *t, const nn_safetensors *f, const char *path, nn_err *err)
{
    const size_t n = KINDS * nn_trainer_n_trained(t);
    const char *format = nn_st_meta(f, "format");
    nn_status st;

    if (!format || strcmp(format, FORMAT) != 0)
        return nn_fail(err, NN_FILE, "%s: format is \"%.24s\", want a checkpoint (%s)", path,
                       format ? format : "(absent)", FORMAT);
    for (size_t i = 0; i < n; i++)
        if ((st = check_tensor(t, i, f, path, err)) != NN_OK) return st;
    if (nn_st_count(f) != n)
        return nn_fail(err, NN_FILE, "%s: %zu tensors, want %zu", path, nn_st_count(f), n);
    return NN_OK;
}

static nn_status copy_text(char **out, const char *text, nn_err *err)
{
    void *block = NULL;
    const size_t bytes = strlen(text) + 1;
    const nn_status st = nn_alloc(&block, bytes, 1, err);

    if (st == NN_OK) memcpy(block, text, bytes);
    *out = block;
    return st;
}

nn_status nn_trainer_load(nn_trainer *t, const char *path, char **meta, nn_err *err)
{
    nn_safetensors *f = NULL;
    char *text = NULL;
    uint64_t steps = 0;
    double power1 = 1.0, power2 = 1.0;
    nn_status st;

    if (meta) *meta = NULL;
    if ((st = nn_st_open(&f, path, err)) != NN_OK) goto done;
    if ((st = check_file(t, f, path, err)) != NN_OK) goto done;
    if ((st = read_number(&steps, f, path, "steps", 10, err)) != NN_OK) goto done;
    if ((st = read_power(&power1, f, path, "beta1_power", err)) != NN_OK) goto done;
    if ((st = read_power(&power2, f, path, "beta2_power", err)) != NN_OK) goto done;
    const char *stored = nn_st_meta(f, "meta");
    if (meta && (st = copy_text(&text, stored ? stored : "", err)) != NN_OK) goto done;

    for (size_t i = 0; i < KINDS * nn_trainer_n_trained(t) && st == NN_OK; i++) {
        char name[NAME_BYTES];

        tensor_name(name, t, i);
        const nn_st_tensor *have = nn_st_find(f, name);
        st = nn_dtype_to_f32(tensor_data(t, i), have->type, have->data, have->count, err);
    }
    if (st != NN_OK) goto done;
    t->steps = (size_t)steps;
    t->power1 = power1;
    t->power2 = power2;
    nn_trainer_zero(t);
    if (meta) {
        *meta = text;
        text = NULL;
    }
done:
    nn_free(text);
    nn_st_close(f);
    return st;
}
