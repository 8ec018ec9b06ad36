/* shapes.h - the decoders that bench_train and bench_infer measure: Llama's architecture at five sizes.
 *
 * No q/k norm, one key head a query head, SwiGLU, tied output matrix (300m: its own); the sizes of docs/numbers.md.
 */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H
#include "nn/model.h"

enum { SHAPES = 5 };

typedef struct {
    const char *name;
    size_t vocab, width, layers, heads, ff;
    bool tied;
} shape_row;

extern const shape_row shape_table[SHAPES];

nn_config shape_config(const shape_row *s, size_t max_t);
double shape_weights(const nn_config *c, bool head); /* that a token is multiplied by; the output matrix when asked */
/* Multiply-adds times two of one token's forward in a sequence of T: products of the weights (of the output matrix
 * when asked) and of causal attention, whose rows see half of T on average. */
double shape_flop(const nn_config *c, size_t T, bool head);
#endif
