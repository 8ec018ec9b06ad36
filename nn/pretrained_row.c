/* pretrained_row.c - one row of an output matrix: what a model multiplies with to say one token.
 *
 * Reads: pretrained_impl.h.
 */
#include "nn/pretrained_impl.h"

nn_status nn_pretrained_output_row(const nn_pretrained *p, float *out, size_t row, nn_err *err)
{
    const bool hf = p->kind == NN_FROM_HF;
    const char *name = p->config.tied ? hf ? "model.embed_tokens.weight" : "token_embd.weight"
                       : hf           ? "lm_head.weight"
                                      : "output.weight";
    const nn_st_tensor *t = nn_pretrained_find(p, name);
    const size_t C = p->config.width;

    if (!t || t->n_dim != 2 || t->dim[1] != C || row >= t->dim[0])
        return nn_fail(err, NN_USAGE, "%s: tensor %s has no row %zu", p->path, name, row);
    return nn_dtype_to_f32(out, t->type, t->data + row * nn_dtype_bytes(t->type, C), C, err);
}
