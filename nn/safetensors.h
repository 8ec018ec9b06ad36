/* safetensors.h - the safetensors format: 8 bytes of header length, a JSON header, raw little-endian data.
 *
 * Reads: cursor.h, plat.h.   Why: training checkpoints, and Hugging Face folders. Header JSON is read by a small
 * strict parser inside (no dependency in nn/). Hostile files are refused with file, place and expectation.
 */
#ifndef NN_SAFETENSORS_H
#define NN_SAFETENSORS_H
#include "nn/plat.h"

typedef enum { NN_F32, NN_F16, NN_BF16, NN_Q8_0, NN_I64, NN_I8, NN_DTYPE_OTHER } nn_dtype;
size_t nn_dtype_bytes(nn_dtype t, size_t n); /* bytes of n elements; Q8_0: 34 per 32 */

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

/* Writes F32 tensors and string metadata in the given order; the same bytes for the same input. */
typedef struct {
    const char *name;
    size_t rows, cols; /* rows 0: 1-D [cols] */
    const float *data;
} nn_st_out;
typedef struct {
    const char *key, *value;
} nn_st_pair;
NN_CHECKED nn_status nn_st_write(const char *path, const nn_st_out *tensor, size_t n, const nn_st_pair *meta,
                                 size_t n_meta, nn_err *err);
/* Any tensor to floats (F32, F16, BF16, Q8_0). */
NN_CHECKED nn_status nn_dtype_to_f32(float *out, nn_dtype type, const unsigned char *data, size_t n, nn_err *err);
void nn_dtype_from_f32(unsigned char *out, nn_dtype type, const float *data, size_t n); /* F32 F16 BF16 Q8_0 */
/* Index of the first number that is no number or infinite, n when there is none: seen from the storage, before or instead
 * of converting. */
size_t nn_dtype_not_finite(nn_dtype type, const unsigned char *data, size_t n);
#endif
