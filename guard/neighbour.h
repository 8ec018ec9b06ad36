/* neighbour.h - the nearest rows in an embedding: exact, by products.
 *
 * Reads: nn/ops.h.   Read next: neighbour.c; curate.c (similarity), judges.c (the nearest-seeds vote).
 * Why exact: the number of human rows is thousands; a block of products is what the kernels do best, and it has one
 * value.
 */
#ifndef GUARD_NEIGHBOUR_H
#define GUARD_NEIGHBOUR_H
#include "guard/classify.h"

/* Rows with unit vectors: e [n, width]. */
typedef struct {
    float *e;
    uint64_t *id; /* guard_row_hash */
    int *label;
    size_t n, width;
} guard_points;
/* Embeds all rows of c. */
NN_CHECKED nn_status guard_points_build(guard_points *p, const guard_corpus *c, const guard_classifier *embedder,
                                        guard_job *job, nn_err *err);
void guard_points_free(guard_points *p);

typedef struct {
    float cosine;
    size_t at; /* SIZE_MAX: fewer than k there */
} guard_near;

typedef enum {
    GUARD_NEAR_LABELLED,
    GUARD_NEAR_SAME,
    GUARD_NEAR_OTHER
} guard_near_kind; /* which base rows count, by label */

/* near [query->n, k]: nearest first, of equals the earlier. A base row without label, or with the query's id, never
 * counts. */
NN_CHECKED nn_status guard_neighbours(guard_near *near, size_t k, const guard_points *query, const guard_points *base,
                                      guard_near_kind kind, const nn_exec *x, nn_err *err);
#endif
