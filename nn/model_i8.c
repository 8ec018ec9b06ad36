/* model_i8.c - models whose matrices are int8: made from floats, or placed where a file lies in memory.
 *
 * Reads: model_impl.h, quantize.h.   Read next: op_products.c (which multiplies with them).
 * Nothing is unpacked: a product and a lookup read the bytes where they are. Scales (4 bytes a row) are copied, because a
 * file's may lie in another byte order; sums of rows (4 bytes a row) are made while the bytes are checked.
 */
#include "nn/model_impl.h"
#include "nn/op_impl.h"
#include <string.h>

bool nn_model_is_i8(const nn_model *m)
{
    return m->i8 != NULL;
}

/* The product that reads tensor i, or NULL: lookups only. */
static nn_matrix *matrix_of(nn_model *m, size_t i)
{
    const nn_config *c = &m->config;
    float **const slot = m->slot[i];

    if (slot == &m->w.output || (slot == &m->w.embed && c->lm_head && c->tied)) return &m->mx.output;
    for (size_t l = 0; l < c->layers; l++) {
        nn_layer *w = m->w.layer + l;
        nn_layer_matrices *to = m->mx.layer + l;
        float **const field[] = {&w->q, &w->k, &w->v, &w->o, &w->gate, &w->up, &w->down};
        nn_matrix *const matrix[] = {&to->q, &to->k, &to->v, &to->o, &to->gate, &to->up, &to->down};

        for (size_t f = 0; f < sizeof field / sizeof *field; f++)
            if (field[f] == slot) return matrix[f];
    }
    return NULL;
}

/* Panels, scale and sum of tensor i are there: products may read them. */
static void publish(nn_model *m, size_t i, const int8_t *panels)
{
    nn_matrix *to = matrix_of(m, i);

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

static void copy_floats(const nn_tensor *to, const nn_tensor *from)
{
    memcpy(to->data, from->data, to->rows * to->cols * sizeof *to->data);
}

nn_status nn_model_quantize(nn_model **out, const nn_model *m, const nn_kern *k, nn_err *err)
{
    nn_status st;

    *out = NULL;
    if (nn_model_is_i8(m)) return nn_fail(err, NN_USAGE, "model: is int8 already, want float weights");
    for (size_t i = 0; i < m->n_tensor; i++)
        if (m->tensor[i].cols > NN_I8_MAX_K)
            return nn_fail(err, NN_LIMIT, "model: %s has rows of %zu numbers, int8 takes up to %u", m->tensor[i].name,
                           m->tensor[i].cols, NN_I8_MAX_K);
    if ((st = build_owned(out, m, err)) != NN_OK) return st;
    for (size_t i = 0; i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i, *to = (*out)->tensor + i;

        if (!to->i8) {
            copy_floats(to, from);
            continue;
        }
        int8_t *panels = nn_arena_take(&(*out)->own_i8, panel_bytes(to), 1);
        nn_quantize_matrix(k, panels, (*out)->i8[i].scale, (*out)->i8[i].sum, from->data, from->rows, from->cols);
        publish(*out, i, panels);
    }
    return NN_OK;
}

static nn_status clone_i8(nn_model **out, const nn_model *m, nn_err *err)
{
    const nn_status st = build_owned(out, m, err);

    for (size_t i = 0; st == NN_OK && i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i, *to = (*out)->tensor + i;

        if (!to->i8) {
            copy_floats(to, from);
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

nn_status nn_model_clone(nn_model **out, const nn_model *m, nn_err *err)
{
    if (nn_model_is_i8(m)) return clone_i8(out, m, err);
    const nn_status st = nn_model_build(out, &m->config, err);

    for (size_t i = 0; st == NN_OK && i < m->n_tensor; i++) copy_floats((*out)->tensor + i, m->tensor + i);
    return st;
}

/* --- lookups ------------------------------------------------------------------------------------ */

typedef struct {
    const nn_exec *x;
    float *y;
    const nn_i8_tensor *table;
    const int32_t *ids;
    const uint32_t *slot;
    const size_t *start;
    size_t C;
} lookup;

static void embed_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *o = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++)
        nn_i8_row(o->y + r * o->C, o->table->panels, o->table->scale, o->C, (size_t)o->ids[r]);
}

/* y_r += row by row, each first made floats in the thread's scratch. */
static void memory_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *o = ctx;
    float *row = nn_exec_scratch(o->x, thread);

    for (size_t r = first; r < last; r++)
        for (size_t j = o->start[r]; j < o->start[r + 1]; j++) {
            nn_i8_row(row, o->table->panels, o->table->scale, o->C, o->slot[j]);
            o->x->k->add(o->y + r * o->C, row, o->C);
        }
}

static const nn_i8_tensor *table_of(const nn_model *m, float *const *slot)
{
    size_t i = 0;

    while (m->slot[i] != slot) i++;
    return m->i8 + i;
}

void nn_model_embed(const nn_model *m, const nn_exec *x, float *y, const int32_t *ids, size_t R)
{
    const size_t C = m->config.width;

    if (!nn_model_is_i8(m)) {
        nn_embed_fwd(x, y, m->w.embed, ids, R, C);
        return;
    }
    lookup o = {.x = x, .y = y, .table = table_of(m, &m->w.embed), .ids = ids, .C = C};
    nn_par_run(&x->par, R, nn_grain(C), embed_rows, &o);
}

void nn_model_memory(const nn_model *m, const nn_exec *x, float *y, const uint32_t *slot, const size_t *start, size_t R)
{
    const size_t C = m->config.width;

    if (!slot || m->config.memory_rows == 0) return;
    if (!nn_model_is_i8(m)) {
        nn_memory_fwd(x, y, m->w.memory, slot, start, R, C);
        return;
    }
    NN_ASSERT(C <= x->scratch_len);
    lookup o = {.x = x, .y = y, .table = table_of(m, &m->w.memory), .slot = slot, .start = start, .C = C};
    nn_par_run(&x->par, R, nn_grain(C), memory_rows, &o);
}
