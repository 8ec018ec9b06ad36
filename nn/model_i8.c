/* model_i8.c - models whose matrices are int8: made from floats, or placed where a file lies in memory.
 *
 * Reads: model_impl.h, quantize.h.   Read next: model_stored.c (the other form, and clones and lookups of all forms),
 * op_products.c (which multiplies with them).
 * Nothing is unpacked: a product and a lookup read the bytes where they are. Scales (4 bytes a row) are copied, because a
 * file's may lie in another byte order; sums of rows (4 bytes a row) are made while the bytes are checked.
 */
#include "nn/model_impl.h"
#include <string.h>

bool nn_model_is_i8(const nn_model *m)
{
    return m->i8 != NULL;
}

/* Panels, scale and sum of tensor i are there: products may read them. */
static void publish(nn_model *m, size_t i, const int8_t *panels)
{
    nn_matrix *to = nn_model_matrix(m, i);

    m->i8[i].panels = panels;
    if (!to) return;
    to->i8 = panels;
    to->scale = m->i8[i].scale;
    to->sum = m->i8[i].sum;
}

nn_status nn_model_place_i8(nn_model *m, size_t i, const int8_t *panels, const float *scale, const nn_kern *k,
                            nn_err *err)
{
    NN_ASSERT(i < m->n_tensor && m->tensor[i].i8);
    const nn_tensor *t = m->tensor + i;
    const size_t rows = nn_i8_rows(t->rows);
    const nn_status st = nn_i8_check(k, m->i8[i].sum, panels, scale, t->rows, t->cols, err);

    if (st != NN_OK) {
        nn_err_prefix(err, t->gguf);
        return st;
    }
    memcpy(m->i8[i].scale, scale, rows * sizeof *scale);
    publish(m, i, panels);
    return NN_OK;
}

/* --- with panels of their own ---------------------------------------------------------------- */

static size_t panel_bytes(const nn_tensor *t)
{
    return nn_i8_rows(t->rows) * nn_i8_cols(t->cols);
}

/* An int8 model of m's shape with room for every panel; to[i] is where tensor i's go. */
static nn_status build_owned(nn_model **out, const nn_model *m, nn_err *err)
{
    nn_arena dry = {0};
    nn_status st;

    if ((st = nn_model_build_i8(out, &m->config, err)) != NN_OK) return st;
    for (size_t i = 0; i < (*out)->n_tensor; i++)
        if ((*out)->tensor[i].i8) (void)nn_arena_take(&dry, panel_bytes((*out)->tensor + i), 1);
    if ((st = nn_arena_open(&(*out)->own_i8, dry.used, err)) == NN_OK) return NN_OK;
    nn_model_free(*out);
    *out = NULL;
    return st;
}

nn_status nn_model_quantize(nn_model **out, const nn_model *m, const nn_kern *k, nn_err *err)
{
    nn_model *floats = NULL;
    nn_status st;

    *out = NULL;
    if (nn_model_is_stored(m)) {
        if ((st = nn_model_floats(&floats, m, err)) != NN_OK) return st;
        st = nn_model_quantize(out, floats, k, err);
        nn_model_free(floats);
        return st;
    }
    if (nn_model_is_i8(m)) return nn_fail(err, NN_USAGE, "model: is int8 already, want float weights");
    for (size_t i = 0; i < m->n_tensor; i++)
        if (m->tensor[i].cols > NN_I8_MAX_K)
            return nn_fail(err, NN_LIMIT, "model: %s has rows of %zu numbers, int8 takes up to %u", m->tensor[i].name,
                           m->tensor[i].cols, NN_I8_MAX_K);
    if ((st = build_owned(out, m, err)) != NN_OK) return st;
    for (size_t i = 0; i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i, *to = (*out)->tensor + i;

        if (!to->i8) {
            nn_tensor_copy(to, from);
            continue;
        }
        int8_t *panels = nn_arena_take(&(*out)->own_i8, panel_bytes(to), 1);
        nn_quantize_matrix(k, panels, (*out)->i8[i].scale, (*out)->i8[i].sum, from->data, from->rows, from->cols);
        publish(*out, i, panels);
    }
    return NN_OK;
}

nn_status nn_model_clone_i8(nn_model **out, const nn_model *m, nn_err *err)
{
    const nn_status st = build_owned(out, m, err);

    for (size_t i = 0; st == NN_OK && i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i, *to = (*out)->tensor + i;

        if (!to->i8) {
            nn_tensor_copy(to, from);
            continue;
        }
        int8_t *panels = nn_arena_take(&(*out)->own_i8, panel_bytes(to), 1);
        memcpy(panels, from->i8->panels, panel_bytes(to));
        memcpy((*out)->i8[i].scale, from->i8->scale, nn_i8_rows(to->rows) * sizeof(float));
        memcpy((*out)->i8[i].sum, from->i8->sum, nn_i8_rows(to->rows) * sizeof(int32_t));
        publish(*out, i, panels);
    }
    return st;
}

nn_status nn_model_dequantize(nn_model **out, const nn_model *m, nn_err *err)
{
    *out = NULL;
    if (!nn_model_is_i8(m)) return nn_fail(err, NN_USAGE, "model: its weights are not int8, want int8");
    const nn_status st = nn_model_build(out, &m->config, err);

    for (size_t i = 0; st == NN_OK && i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i, *to = (*out)->tensor + i;

        if (!from->i8) nn_tensor_copy(to, from);
        for (size_t r = 0; from->i8 && r < from->rows; r++)
            nn_i8_row(to->data + r * to->cols, from->i8->panels, from->i8->scale, from->cols, r);
    }
    return st;
}
