#include "guard/neighbour.h"
#include "nn/arena.h"
#include "nn/ops.h"
#include <string.h>

enum { QUERIES = 128, BASES = 512 }; /* one block of cosines: 256 KB */

nn_status guard_points_build(guard_points *p, const guard_corpus *c, const guard_classifier *embedder, guard_job *job,
                             nn_err *err)
{
    guard_job quiet = *job; /* embedding is a part of a stage that tells its own progress */
    nn_status st;

    quiet.progress = NULL;
    memset(p, 0, sizeof *p);
    p->n = c->n;
    p->width = guard_embed_width(embedder);
    if (p->width == 0) return nn_fail(err, NN_USAGE, "embedding: the guard has no decoder, want one");
    if (p->width > SIZE_MAX / sizeof *p->e / (c->n + 1))
        return nn_fail(err, NN_LIMIT, "embedding: %zu rows of %zu numbers", c->n, p->width);
    if ((st = nn_alloc((void **)&p->e, c->n * p->width, sizeof *p->e, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&p->id, c->n, sizeof *p->id, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&p->label, c->n, sizeof *p->label, err)) != NN_OK) goto done;
    for (size_t i = 0; i < c->n; i++) {
        p->id[i] = guard_row_hash(&c->row[i]);
        p->label[i] = c->row[i].label;
    }
    if (c->n > 0) st = guard_embed(embedder, c, p->e, &quiet, err);
done:
    if (st != NN_OK) guard_points_free(p);
    return st;
}

void guard_points_free(guard_points *p)
{
    nn_free(p->e);
    nn_free(p->id);
    nn_free(p->label);
    memset(p, 0, sizeof *p);
}

typedef struct {
    guard_near *near;
    size_t k;
    const guard_points *query, *base;
    guard_near_kind kind;
    const float *cosine; /* [QUERIES, n_base] of this block */
    size_t first_query, first_base, n_base;
} block;

static bool counts(const block *b, size_t query, size_t base)
{
    const int label = b->base->label[base], own = b->query->label[query];

    if (label == GUARD_LABEL_NONE || b->base->id[base] == b->query->id[query]) return false;
    if (b->kind == GUARD_NEAR_LABELLED) return true;
    return own != GUARD_LABEL_NONE && (label == own) == (b->kind == GUARD_NEAR_SAME);
}

/* Base rows come in ascending order, so one of equal cosine stays behind those that are there. */
static void insert(guard_near *list, size_t k, float cosine, size_t at)
{
    size_t i = k;

    if (list[k - 1].at != SIZE_MAX && !(cosine > list[k - 1].cosine)) return;
    for (; i > 1 && (list[i - 2].at == SIZE_MAX || cosine > list[i - 2].cosine); i--) list[i - 1] = list[i - 2];
    list[i - 1] = (guard_near){cosine, at};
}

static void insert_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const block *b = ctx;

    (void)thread;
    for (size_t i = first; i < last; i++)
        for (size_t j = 0; j < b->n_base; j++)
            if (counts(b, b->first_query + i, b->first_base + j))
                insert(b->near + (b->first_query + i) * b->k, b->k, b->cosine[i * b->n_base + j], b->first_base + j);
}

nn_status guard_neighbours(guard_near *near, size_t k, const guard_points *query, const guard_points *base,
                           guard_near_kind kind, const nn_exec *x, nn_err *err)
{
    void *room = NULL;
    const size_t W = query->width;
    nn_status st;

    NN_ASSERT(k > 0 && query->width == base->width);
    for (size_t i = 0; i < query->n * k; i++) near[i] = (guard_near){0.0f, SIZE_MAX};
    if ((st = nn_alloc(&room, (size_t)QUERIES * BASES, sizeof(float), err)) != NN_OK) return st;
    float *const cosine = room;
    for (size_t q = 0; q < query->n; q += QUERIES)
        for (size_t j = 0; j < base->n; j += BASES) {
            const size_t n_query = query->n - q < QUERIES ? query->n - q : QUERIES,
                         n_base = base->n - j < BASES ? base->n - j : BASES;
            block b = {near, k, query, base, kind, cosine, q, j, n_base};

            nn_matmul(x, NN_NT, cosine, query->e + q * W, base->e + j * W, n_query, n_base, W, false);
            nn_par_run(&x->par, n_query, 16, insert_rows, &b);
        }
    nn_free(room);
    return NN_OK;
}
