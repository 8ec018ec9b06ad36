/* model_stored.c - models whose matrices stay in their file's types; and what all forms of weights share: clones, float
 * copies, lookups of rows.
 *
 * Reads: model_impl.h, dtype.h.   Read next: op_products.c, kern_stored.h (which multiply with them).
 * A stored matrix is a pointer: nothing is converted when it is placed, only looked at once for numbers that are none.
 * Vectors (norms, biases) and the guard's two heads are floats of the model, a thousandth of the weights.
 */
#include "nn/model_impl.h"
#include "nn/op_impl.h"
#include <string.h>

bool nn_model_is_stored(const nn_model *m)
{
    return m->stored;
}

nn_matrix *nn_model_matrix(nn_model *m, size_t i)
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

/* --- placing ------------------------------------------------------------------------------- */

void nn_model_publish(nn_model *m, size_t i, nn_dtype type, const unsigned char *bytes)
{
    nn_matrix *to = nn_model_matrix(m, i);

    m->tensor[i].type = type;
    m->tensor[i].bytes = bytes;
    if (!to) return;
    to->type = type;
    to->bytes = bytes;
}

bool nn_model_owns(const nn_model *m, const nn_tensor *t)
{
    const uintptr_t at = (uintptr_t)t->bytes, base = (uintptr_t)m->own_stored.base;

    return t->bytes && m->own_stored.base && at >= base && at < base + m->own_stored.used;
}

nn_status nn_model_place_stored(nn_model *m, size_t i, nn_dtype type, const unsigned char *bytes, nn_err *err)
{
    NN_ASSERT(m->stored && i < m->n_tensor && !m->tensor[i].data);
    const nn_tensor *t = m->tensor + i;

    if (!nn_dtype_is_weights(type))
        return nn_fail(err, NN_FILE, "%s: type %s, want F32, F16, BF16 or Q8_0 to Q6_K", t->gguf, nn_dtype_name(type));
    if (t->cols % nn_dtype_block(type) != 0)
        return nn_fail(err, NN_FILE, "%s: rows of %zu weights in type %s, want a multiple of %zu", t->gguf, t->cols,
                       nn_dtype_name(type), nn_dtype_block(type));
    const size_t n = t->rows * t->cols, bad = nn_dtype_not_finite(type, bytes, n);
    if (bad < n)
        return nn_fail(err, NN_FILE, "%s: weight %zu is a NaN or an infinity, want finite numbers", t->gguf, bad);
    nn_model_publish(m, i, type, bytes);
    return NN_OK;
}

/* --- copies -------------------------------------------------------------------------------- */

void nn_tensor_copy(const nn_tensor *to, const nn_tensor *from)
{
    const size_t n = to->rows * to->cols;

    if (from->data) {
        memcpy(to->data, from->data, n * sizeof *to->data);
        return;
    }
    NN_ASSERT(from->bytes);
    const nn_status st = nn_dtype_to_f32(to->data, from->type, from->bytes, n, NULL);
    NN_ASSERT(st == NN_OK); /* placing has checked type and shape */
    (void)st;
}

nn_status nn_model_floats(nn_model **out, const nn_model *m, nn_err *err)
{
    *out = NULL;
    if (nn_model_is_i8(m)) return nn_fail(err, NN_USAGE, "model: its weights are int8, want floats or a file's types");
    const nn_status st = nn_model_build(out, &m->config, err);

    for (size_t i = 0; st == NN_OK && i < m->n_tensor; i++) nn_tensor_copy((*out)->tensor + i, m->tensor + i);
    return st;
}

/* Matrices that m holds itself, in memory of the clone's own. */
static nn_status clone_own(nn_model *to, const nn_model *m, nn_err *err)
{
    nn_status st;

    if (!m->own_stored.base) return NN_OK;
    if ((st = nn_arena_open(&to->own_stored, m->own_stored.used, err)) != NN_OK) return st;
    for (size_t i = 0; i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i;
        const size_t row = nn_dtype_bytes(from->type, from->cols);

        if (!nn_model_owns(m, from)) continue;
        unsigned char *bytes = nn_arena_take(&to->own_stored, from->rows, row);
        memcpy(bytes, from->bytes, from->rows * row);
        nn_model_publish(to, i, from->type, bytes);
    }
    return NN_OK;
}

/* The same bytes, and floats of its own. */
static nn_status clone_stored(nn_model **out, const nn_model *m, nn_err *err)
{
    nn_status st = nn_model_build_stored(out, &m->config, err);

    for (size_t i = 0; st == NN_OK && i < m->n_tensor; i++) {
        const nn_tensor *from = m->tensor + i;

        if (from->data) nn_tensor_copy((*out)->tensor + i, from);
        else nn_model_publish(*out, i, from->type, from->bytes);
    }
    if (st == NN_OK) st = clone_own(*out, m, err);
    if (st == NN_OK) return st;
    nn_model_free(*out);
    *out = NULL;
    return st;
}

nn_status nn_model_clone(nn_model **out, const nn_model *m, nn_err *err)
{
    if (nn_model_is_i8(m)) return nn_model_clone_i8(out, m, err);
    return nn_model_is_stored(m) ? clone_stored(out, m, err) : nn_model_floats(out, m, err);
}

/* --- lookups -------------------------------------------------------------------------------- */

typedef struct {
    const nn_exec *x;
    float *y;
    const nn_tensor *table;
    const int32_t *ids;
    const uint32_t *slot;
    const size_t *start;
    size_t C;
} lookup;

/* out [C] = row r of the table, int8 or stored */
static void row_floats(const lookup *o, float *out, size_t r)
{
    const nn_tensor *t = o->table;

    if (t->i8) nn_i8_row(out, t->i8->panels, t->i8->scale, o->C, r);
    else o->x->k->from_stored(out, t->type, t->bytes + r * nn_dtype_bytes(t->type, o->C), o->C);
}

static void embed_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *o = ctx;

    (void)thread;
    for (size_t r = first; r < last; r++) row_floats(o, o->y + r * o->C, (size_t)o->ids[r]);
}

/* y_r += row by row, each first made floats in the thread's scratch. */
static void memory_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const lookup *o = ctx;
    float *row = nn_exec_scratch(o->x, thread);

    for (size_t r = first; r < last; r++)
        for (size_t j = o->start[r]; j < o->start[r + 1]; j++) {
            row_floats(o, row, o->slot[j]);
            o->x->k->add(o->y + r * o->C, row, o->C);
        }
}

static const nn_tensor *table_of(const nn_model *m, float *const *slot)
{
    size_t i = 0;

    while (m->slot[i] != slot) i++;
    return m->tensor + i;
}

void nn_model_embed(const nn_model *m, const nn_exec *x, float *y, const int32_t *ids, size_t R)
{
    const size_t C = m->config.width;

    if (m->w.embed) {
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
    if (m->w.memory) {
        nn_memory_fwd(x, y, m->w.memory, slot, start, R, C);
        return;
    }
    NN_ASSERT(C <= x->scratch_len);
    lookup o = {.x = x, .y = y, .table = table_of(m, &m->w.memory), .slot = slot, .start = start, .C = C};
    nn_par_run(&x->par, R, nn_grain(C), memory_rows, &o);
}
