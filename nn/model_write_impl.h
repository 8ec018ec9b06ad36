/* model_write_impl.h - the tensors of a model on their way into a file; for model_write*.c only.
 *
 * Reads: model_write.h.   Read next: model_write.c.
 */
#ifndef NN_MODEL_WRITE_IMPL_H
#define NN_MODEL_WRITE_IMPL_H
#include "nn/model_write.h"
#include "nn/plat.h"

typedef struct {
    nn_tensor from;
    nn_dtype type;
    bool turned;  /* rows go into the other rotary order */
    bool merged;  /* an adapter is added to it */
} nn_write_tensor;

typedef struct {
    const nn_model *m;
    nn_rope_order rope;      /* of the file */
    nn_write_tensor *tensor; /* [n] owned; room for one more than the model has */
    size_t n;
    const nn_lora *lora;     /* merged on the way, or NULL */
    nn_exec x;               /* for it: one thread */
    float divisor[NN_HEAD_MAX / 2]; /* of rotary frequencies, where they are a tensor */
} nn_write_plan;

/* Which tensors, of which types. labels: with the verdict head. */
NN_CHECKED nn_status nn_write_plan_make(nn_write_plan *p, const nn_model *m, const nn_write_options *o,
                                        nn_rope_order rope, bool gguf, nn_err *err);
void nn_write_plan_free(nn_write_plan *p);
bool nn_write_is_vector(const nn_tensor *t);
bool nn_write_is_verdict(const nn_tensor *t);
size_t nn_write_bytes(const nn_write_tensor *t);
/* The one number that all divisors are, 1 where there are none; 0 when they differ. */
float nn_write_linear(const nn_config *c);
/* All data in order, each tensor padded with zero bytes to a multiple of align. */
NN_CHECKED nn_status nn_write_data(nn_file_out *f, const nn_write_plan *p, size_t align, nn_err *err);
#endif
