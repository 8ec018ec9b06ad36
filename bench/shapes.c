/* shapes.c - the table of decoders. */
#include "bench/shapes.h"

const shape_row shape_table[SHAPES] = {{"1m", 4096, 128, 4, 4, 384, true},
                                       {"10m", 8192, 256, 8, 4, 768, true},
                                       {"30m", 8192, 512, 8, 8, 1536, true},
                                       {"125m", 32000, 768, 12, 12, 2048, true},
                                       {"300m", 32000, 1024, 20, 16, 2816, false}};

nn_config shape_config(const shape_row *s, size_t max_t)
{
    nn_config c = nn_config_default();

    c.vocab = s->vocab;
    c.layers = s->layers;
    c.width = s->width;
    c.heads = c.kv_heads = s->heads;
    c.head_dim = s->width / s->heads;
    c.ff = s->ff;
    c.max_t = max_t;
    c.qk_norm = false;
    c.lm_head = true;
    c.tied = s->tied;
    return c;
}

double shape_weights(const nn_config *c, bool head)
{
    const double C = (double)c->width, A = (double)(c->heads * c->head_dim), K = (double)(c->kv_heads * c->head_dim);

    return (double)c->layers * (2.0 * C * A + 2.0 * C * K + 3.0 * C * (double)c->ff) +
           (head ? C * (double)c->vocab : 0.0);
}

double shape_flop(const nn_config *c, size_t T, bool head)
{
    const double scores_and_values = 2.0 * (double)(c->heads * c->head_dim) * 0.5 * (double)(T + 1);

    return 2.0 * (shape_weights(c, head) + (double)c->layers * scores_and_values);
}
