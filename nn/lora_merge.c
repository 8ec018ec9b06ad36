/* lora_merge.c - adapters into the weights they stand beside, some rows at a time.
 *
 * Reads: lora_impl.h, model_impl.h.   Read next: model_write.c, pretrained_load.c (who merges).
 * One function makes the sum, for any rows of one matrix; whoever holds the matrix decides how many at once. Bits do
 * not depend on that: each element of B A is one ascending chain of r products.
 */
#include "nn/lora_impl.h"
#include "nn/model_impl.h"
#include <math.h>
#include <string.h>

#define MERGE_ROWS 256u /* our choice: scratch of a few MB, and products large enough to be cut for threads */

bool nn_lora_touches(const nn_lora *l, const char *tensor)
{
    return nn_lora_beside(l, tensor) != NULL;
}

void nn_lora_add_rows(const nn_lora *l, const nn_exec *x, const char *tensor, float *w, float *z, size_t first,
                      size_t n)
{
    const nn_lora_pair *p = nn_lora_beside(l, tensor);
    const size_t r = l->o.rank;

    NN_ASSERT(p && first + n <= p->N);
    nn_matmul(x, NN_NN, z, p->b + first * r, p->a, n, p->K, r, false);
    x->k->axpy(w, l->scale, z, n * p->K);
}

/* --- a model ---------------------------------------------------------------------------------- */

typedef struct {
    const nn_lora *l;
    const nn_exec *x;
    float *w, *z; /* [MERGE_ROWS, the widest K] */
} merging;

static nn_status check_sum(const float *w, const char *tensor, size_t first, size_t n, nn_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(w[i]))
            return nn_fail(err, NN_CONTENT, "lora: %s: weight %zu is infinite with its adapter, want finite sums",
                           tensor, first + i);
    return NN_OK;
}

static size_t rows_from(const nn_tensor *t, size_t first)
{
    return t->rows - first < MERGE_ROWS ? t->rows - first : MERGE_ROWS;
}

static nn_status merge_floats(const merging *g, const nn_tensor *t, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t first = 0; first < t->rows && st == NN_OK; first += MERGE_ROWS) {
        const size_t n = rows_from(t, first);

        nn_lora_add_rows(g->l, g->x, t->name, t->data + first * t->cols, g->z, first, n);
        st = check_sum(t->data + first * t->cols, t->name, first * t->cols, n * t->cols, err);
    }
    return st;
}

/* out: rows of F32. What a merge before this one has left in the old block comes along as it is. */
static nn_status merge_stored(const merging *g, unsigned char *out, const nn_tensor *t, nn_err *err)
{
    const size_t from_row = nn_dtype_bytes(t->type, t->cols), to_row = nn_dtype_bytes(NN_F32, t->cols);
    nn_status st = NN_OK;

    if (!nn_lora_touches(g->l, t->name)) {
        memcpy(out, t->bytes, t->rows * to_row);
        return NN_OK;
    }
    for (size_t first = 0; first < t->rows && st == NN_OK; first += MERGE_ROWS) {
        const size_t n = rows_from(t, first);

        st = nn_dtype_to_f32(g->w, t->type, t->bytes + first * from_row, n * t->cols, err);
        if (st != NN_OK) break;
        nn_lora_add_rows(g->l, g->x, t->name, g->w, g->z, first, n);
        if ((st = check_sum(g->w, t->name, first * t->cols, n * t->cols, err)) != NN_OK) break;
        nn_dtype_from_f32(out + first * to_row, NN_F32, g->w, n * t->cols);
    }
    return st;
}

static bool moves(const nn_model *m, const nn_tensor *t, const nn_lora *l)
{
    return nn_lora_touches(l, t->name) || nn_model_owns(m, t);
}

/* The matrices with adapters, as floats in a block of the model's own. */
static nn_status merge_all_stored(const merging *g, nn_model *m, nn_err *err)
{
    nn_arena dry = {0}, own = {0};
    nn_status st;

    for (size_t i = 0; i < m->n_tensor; i++)
        if (moves(m, m->tensor + i, g->l))
            (void)nn_arena_take(&dry, m->tensor[i].rows, nn_dtype_bytes(NN_F32, m->tensor[i].cols));
    if ((st = nn_arena_open(&own, dry.used, err)) != NN_OK) return st;
    for (size_t i = 0; i < m->n_tensor && st == NN_OK; i++) {
        const nn_tensor *t = m->tensor + i;

        if (!moves(m, t, g->l)) continue;
        unsigned char *bytes = nn_arena_take(&own, t->rows, nn_dtype_bytes(NN_F32, t->cols));
        if ((st = merge_stored(g, bytes, t, err)) == NN_OK) nn_model_publish(m, i, NN_F32, bytes);
    }
    /* WHY both ways: what was published lies in the new block, and a model that is of no use is still freed. */
    if (st == NN_OK) nn_arena_free(&m->own_stored);
    else nn_arena_free(&own);
    if (st == NN_OK) m->own_stored = own;
    return st;
}

nn_status nn_lora_merge(nn_model *m, const nn_lora *l, const nn_exec *x, nn_err *err)
{
    merging g = {.l = l, .x = x};
    size_t most = 0;
    nn_status st;

    if (nn_model_is_i8(m))
        return nn_fail(err, NN_USAGE, "lora: merging into weights that are int8, want floats or a file's types");
    if ((st = nn_lora_fits(l, &m->config, err)) != NN_OK) return st;
    for (nn_lora_target t = 0; t < NN_LORA_TARGETS; t++) {
        const nn_lora_pair *p = nn_lora_at(l, 0, t);

        if (p->a && p->K > most) most = p->K;
    }
    if ((st = nn_alloc((void **)&g.z, MERGE_ROWS, most * sizeof *g.z, err)) != NN_OK) goto done;
    if (m->stored && (st = nn_alloc((void **)&g.w, MERGE_ROWS, most * sizeof *g.w, err)) != NN_OK) goto done;
    nn_model_unpack(m);
    if (m->stored) st = merge_all_stored(&g, m, err);
    for (size_t i = 0; !m->stored && i < m->n_tensor && st == NN_OK; i++)
        if (nn_lora_touches(l, m->tensor[i].name)) st = merge_floats(&g, m->tensor + i, err);
done:
    nn_free(g.w);
    nn_free(g.z);
    return st;
}
