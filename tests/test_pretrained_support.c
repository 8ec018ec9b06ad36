#include "tests/test_pretrained_support.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The list keeps what was given out reachable for the leak checker. */
void *keep_bytes(size_t n)
{
    struct link {
        struct link *before;
        double bytes[1]; /* more follow */
    };
    static struct link *newest = NULL;
    struct link *l = calloc(1, sizeof *l + n);

    cr_assert(l != NULL);
    l->before = newest;
    newest = l;
    return l->bytes;
}

/* --- weights --------------------------------------------------------------------------------------------------- */

float paper_weight(const char *name, size_t i)
{
    uint32_t x = 0x811c9dc5u; /* FNV-1a of the name, then 32 bits mixed */

    for (const char *s = name; *s; s++) x = (x ^ (uint32_t)(unsigned char)*s) * 0x01000193u;
    x += (uint32_t)i * 0x9e3779b1u;
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    x ^= x >> 16;
    const double v = ((double)(x >> 8) - 8388608.0) / 16777216.0;
    return (float)(strstr(name, "norm") ? 1.0 + v / 2.0 : v);
}

static void add_named(paper_model *w, const char *name, const char *gguf, size_t rows, size_t cols)
{
    const size_t count = (rows ? rows : 1) * cols;
    float *data = keep_bytes(count * sizeof *data);

    cr_assert(w->n < PAPER_TENSORS);
    for (size_t i = 0; i < count; i++) data[i] = paper_weight(name, i);
    snprintf(w->name[w->n], sizeof w->name[0], "%s", name);
    snprintf(w->gguf[w->n], sizeof w->gguf[0], "%s", gguf);
    w->data[w->n] = data;
    w->t[w->n] = (nn_st_out){w->name[w->n], rows, cols, data};
    w->n++;
}

static nn_status add_wanted(void *ctx, const nn_wanted *w)
{
    add_named(ctx, w->name, w->gguf, w->matrix ? w->rows : 0, w->cols);
    return NN_OK;
}

paper_model *paper_of(const nn_config *c)
{
    paper_model *w = keep_bytes(sizeof *w);

    (void)nn_pretrained_wanted(c, add_wanted, w);
    return w;
}

size_t paper_find(const paper_model *w, const char *name)
{
    size_t i = 0;

    while (i < w->n && strcmp(w->name[i], name) != 0) i++;
    cr_assert(i < w->n, "%s", name);
    return i;
}

void paper_add(paper_model *w, const char *name, size_t rows, size_t cols)
{
    add_named(w, name, name, rows, cols);
}

void paper_drop(paper_model *w, const char *name)
{
    const size_t i = paper_find(w, name), last = --w->n;

    memcpy(w->name[i], w->name[last], sizeof w->name[0]);
    memcpy(w->gguf[i], w->gguf[last], sizeof w->gguf[0]);
    w->data[i] = w->data[last];
    w->t[i] = w->t[last];
    w->t[i].name = w->name[i];
}

nn_model *paper_model_of(const paper_model *w, const nn_config *c)
{
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_build(&m, c, &err), &err);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        memcpy(t.data, w->data[paper_find(w, t.name)], t.rows * t.cols * sizeof *t.data);
    }
    return m;
}

/* --- files ----------------------------------------------------------------------------------------------------- */

void paper_write(const paper_model *w, const char *dir, const char *name, size_t first, size_t last)
{
    nn_err err = {NN_OK, ""};

    expect_ok(nn_st_write(path_in(dir, name), w->t + first, last - first, NULL, 0, &err), &err);
}

const char *paper_folder(const paper_model *w, const char *config)
{
    const char *dir = temp_dir();

    write_text(path_in(dir, "config.json"), config);
    paper_write(w, dir, "model.safetensors", 0, w->n);
    return dir;
}

void expect_refused_model(const char *path, const char *part)
{
    nn_pretrained *p = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_pretrained_open(&p, path, &err), NN_FILE, &err, part);
    cr_expect(p == NULL, "%s", part);
}

nn_pretrained *open_model_at(const char *path)
{
    nn_pretrained *p = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_pretrained_open(&p, path, &err), &err);
    return p;
}

nn_model *load_model_at(nn_pretrained **p, const char *path, bool floats, size_t max_t)
{
    const nn_load_options o = {.floats = floats, .max_t = max_t};
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};

    *p = open_model_at(path);
    expect_ok(nn_pretrained_load(&m, *p, &o, &err), &err);
    return m;
}

float *logits_of(const nn_model *m, const int32_t *ids, size_t n)
{
    const size_t start[2] = {0, n}, V = nn_model_config(m)->vocab;
    const nn_batch b = {ids, {start, 1}, NULL, NULL};
    float *logits = keep_bytes(n * V * sizeof *logits);
    size_t rows[256];
    nn_state *s = NULL;
    nn_exec x;
    nn_err err = {NN_OK, ""};

    cr_assert(n <= 256);
    for (size_t i = 0; i < n; i++) rows[i] = i;
    expect_ok(nn_exec_open(&x, NULL, 1, n, &err), &err);
    expect_ok(nn_state_build(&s, m, n, 1, &err), &err);
    nn_model_fwd(m, s, &x, &b);
    nn_state_lm_logits(m, s, &x, logits, rows, n);
    nn_state_free(s);
    nn_exec_free(&x);
    return logits;
}
