/* safetensors.h - the safetensors format: 8 bytes of header length, a JSON header, raw little-endian data.
 *
 * Reads: dtype.h, plat.h.   Why: training checkpoints, and Hugging Face folders. Header JSON is read by a small
 * strict parser inside (no dependency in nn/). Hostile files are refused with file, place and expectation.
 */
#ifndef NN_SAFETENSORS_H
#define NN_SAFETENSORS_H
#include "nn/dtype.h"
#include "nn/plat.h"

typedef struct {
    const char *name; /* borrowed from the opened file object */
    nn_dtype type;
    size_t dim[4], n_dim; /* row-major, outermost first */
    size_t count;         /* product of dim */
    const unsigned char *data;
} nn_st_tensor;

typedef struct nn_safetensors nn_safetensors;
NN_CHECKED nn_status nn_st_open(nn_safetensors **out, const char *path, nn_err *err);
NN_CHECKED nn_status nn_st_open_memory(nn_safetensors **out, const void *bytes, size_t len, const char *name,
                                       nn_err *err);
void nn_st_close(nn_safetensors *f);
size_t nn_st_count(const nn_safetensors *f);
const nn_st_tensor *nn_st_at(const nn_safetensors *f, size_t i);
const nn_st_tensor *nn_st_find(const nn_safetensors *f, const char *name); /* NULL when absent */
const char *nn_st_meta(const nn_safetensors *f, const char *key);          /* __metadata__ value or NULL */

typedef struct {
    const char *key, *value;
} nn_st_pair;

/* Writes F32 tensors and string metadata in the given order; the same bytes for the same input. */
typedef struct {
    const char *name;
    size_t rows, cols; /* rows 0: 1-D [cols] */
    const float *data;
} nn_st_out;
NN_CHECKED nn_status nn_st_write(const char *path, const nn_st_out *tensor, size_t n, const nn_st_pair *meta,
                                 size_t n_meta, nn_err *err);
/* Everything before the data of tensors of any plain type, which the caller writes behind it, back to back: for models
 * that are not to stand in memory twice. *bytes is the caller's (nn_free). */
typedef struct {
    const char *name;
    size_t rows, cols; /* rows 0: 1-D [cols] */
    nn_dtype type;
} nn_st_plan;
NN_CHECKED nn_status nn_st_head(unsigned char **bytes, size_t *len, const nn_st_plan *tensor, size_t n,
                                const nn_st_pair *meta, size_t n_meta, nn_err *err);
#endif
