#include "guard/train_impl.h"
#include "nn/arena.h"
#include <string.h>

#define SHORTEST 3u /* positions of the window of an empty text */

nn_trainer_options guard_train_room(const guard_train_options *o)
{
    const size_t rows = o->batch_tokens > o->window ? o->batch_tokens : o->window;

    return (nn_trainer_options){.max_rows = rows, .max_seg = rows / SHORTEST, .recompute = o->recompute};
}

nn_status guard_train_batch_build(guard_train_batch *b, const guard_parts *p, const nn_config *c,
                                  const guard_train_options *o, nn_err *err)
{
    const nn_trainer_options room = guard_train_room(o);
    const size_t R = room.max_rows, S = room.max_seg;
    nn_status st;

    memset(b, 0, sizeof *b);
    b->p = p;
    b->c = c;
    b->o = o;
    b->max_rows = R;
    b->max_seg = S;
    b->text_cap = o->window * guard_token_bytes(p->tok);
    if ((st = nn_alloc((void **)&b->ids, R, sizeof *b->ids, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->next, R, sizeof *b->next, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->next_weight, R, sizeof *b->next_weight, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->start, S + 1, sizeof *b->start, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->label, S, sizeof *b->label, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->label_weight, S, sizeof *b->label_weight, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->offset, S, sizeof *b->offset, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->category_weight, S, sizeof *b->category_weight, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->category, S, (c->n_category + 1) * sizeof *b->category, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->tok_start, o->window, sizeof *b->tok_start, err)) != NN_OK ||
        (st = nn_alloc((void **)&b->text, b->text_cap, 1, err)) != NN_OK)
        guard_train_batch_free(b);
    return st;
}

void guard_train_batch_free(guard_train_batch *b)
{
    nn_free(b->ids);
    nn_free(b->next);
    nn_free(b->next_weight);
    nn_free(b->start);
    nn_free(b->label);
    nn_free(b->label_weight);
    nn_free(b->offset);
    nn_free(b->category_weight);
    nn_free(b->category);
    nn_free(b->tok_start);
    nn_free(b->text);
    guard_slots_free(&b->slots);
    memset(b, 0, sizeof *b);
}

void guard_train_batch_clear(guard_train_batch *b, const guard_units *u)
{
    b->u = u;
    b->n = b->n_next = 0;
    guard_slots_clear(&b->slots);
}

size_t guard_train_batch_tokens(const guard_train_batch *b)
{
    return b->start[b->n];
}

bool guard_train_batch_fits(const guard_train_batch *b, size_t unit, size_t max_tokens)
{
    const size_t n = b->u->start[unit + 1] - b->u->start[unit];

    if (b->n == 0) return true;
    return b->n < b->max_seg && b->start[b->n] + n <= max_tokens && b->start[b->n] + n <= b->max_rows;
}

/* Every category is 0 for a safe row; an unsafe row without a category we know teaches this head nothing. */
static void set_category(guard_train_batch *b, const guard_row *row)
{
    const size_t n = b->c->n_category;
    const guard_taxonomy *t = &b->p->taxonomy;
    float *y = b->category + b->n * n;
    const uint64_t mask = guard_taxonomy_mask(t, row->category.s, row->category.n, NULL);
    const bool known = row->label == GUARD_SAFE || mask != 0;

    for (size_t c = 0; c < n; c++)
        y[c] = !known ? -1.0f : row->label == GUARD_UNSAFE && (mask >> c & 1) ? 1.0f : 0.0f;
    b->category_weight[b->n] = known ? 1.0f : 0.0f;
}

/* Text tokens are predicted, the format's are not: they are no language. */
static void set_next(guard_train_batch *b, guard_window_spans s, size_t at, size_t n, float weight)
{
    const size_t context = at + s.lead, judged = context + s.context + s.mid;

    for (size_t r = at; r < at + n; r++) {
        const size_t next = r + 1;
        const bool text = (next >= context && next < context + s.context) || (next >= judged && next < judged + s.text);

        b->next[r] = text ? b->ids[r + 1] : -1;
        b->next_weight[r] = weight;
        b->n_next += text;
    }
}

nn_status guard_train_batch_add(guard_train_batch *b, size_t unit, nn_err *err)
{
    const guard_units *u = b->u;
    const guard_row *row = &u->rows->row[u->row[unit]];
    const size_t n = u->start[unit + 1] - u->start[unit], at = b->start[b->n];
    const int32_t *ids = u->ids + u->start[unit];
    const guard_window_form form = u->form[unit];
    const float weight = (float)u->weight[unit], smooth = b->o->label_smoothing;
    guard_window_text t;
    nn_status st;

    NN_ASSERT(b->n < b->max_seg && at + n <= b->max_rows);
    memcpy(b->ids + at, ids, n * sizeof *ids);
    if (b->c->memory_rows > 0) {
        guard_window_decode(&t, b->text, b->text_cap, b->p, form, ids, n);
        st = guard_window_slots(&b->slots, &t, b->p, form, ids, n, b->tok_start, b->c->memory_rows, err);
        if (st != NN_OK) return st;
    }
    b->label[b->n] = row->label == GUARD_UNSAFE ? 1.0f - 0.5f * smooth : 0.5f * smooth;
    b->label_weight[b->n] = weight;
    b->offset[b->n] = u->offset ? u->offset[unit] : 0.0f;
    set_category(b, row);
    b->category_weight[b->n] *= weight;
    set_next(b, guard_window_spans_of(&b->p->format, form, n), at, n, weight);
    b->start[++b->n] = at + n;
    return NN_OK;
}

/* Verdict: mean over windows. Categories: mean over windows and categories. Next token: mean over predicted
 * tokens. */
void guard_train_batch_close(guard_train_batch *b, bool learn, nn_batch *batch, nn_targets *y)
{
    const guard_train_options *o = b->o;
    const bool category = learn && o->category_weight > 0.0f && b->c->n_category > 0,
               next = learn && o->next_weight > 0.0f && b->n_next > 0;
    const float share = learn ? 1.0f / (float)b->n : 1.0f;
    const float category_share = category ? o->category_weight * share / (float)b->c->n_category : 0.0f;
    const float next_share = next ? o->next_weight / (float)b->n_next : 0.0f;

    for (size_t s = 0; s < b->n; s++) {
        if (!learn) b->label[s] = b->label[s] > 0.5f ? 1.0f : 0.0f; /* no smoothing where losses are compared */
        b->label_weight[s] = learn ? b->label_weight[s] * share : 1.0f;
        b->category_weight[s] *= category_share;
    }
    for (size_t r = 0; r < b->start[b->n]; r++) b->next_weight[r] *= next_share;
    const bool memory = b->slots.n_pos > 0;
    *batch = (nn_batch){b->ids, {b->start, b->n}, memory ? b->slots.slot : NULL, memory ? b->slots.start : NULL};
    *y = (nn_targets){.next = next ? b->next : NULL,
                      .next_weight = b->next_weight,
                      .label = b->label,
                      .label_weight = b->label_weight,
                      .offset = b->u->offset ? b->offset : NULL,
                      .category = category ? b->category : NULL,
                      .category_weight = b->category_weight};
}
