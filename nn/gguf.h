/* gguf.h - GGUF v3: typed metadata and tensors in one file (published specification of the ggml project).
 *
 * Reads: cursor.h, safetensors.h (dtypes).   Why: what ships. Reader: version 3, little-endian, every length checked.
 * Writer: same bytes for same input.
 */
#ifndef NN_GGUF_H
#define NN_GGUF_H
#include "nn/safetensors.h"

typedef enum {
    NN_GG_U8,
    NN_GG_I8,
    NN_GG_U16,
    NN_GG_I16,
    NN_GG_U32,
    NN_GG_I32,
    NN_GG_F32,
    NN_GG_BOOL,
    NN_GG_STRING,
    NN_GG_ARRAY,
    NN_GG_U64,
    NN_GG_I64,
    NN_GG_F64
} nn_gg_type; /* values of the format */

typedef struct nn_gguf nn_gguf;
NN_CHECKED nn_status nn_gguf_open(nn_gguf **out, const char *path, nn_err *err);
/* Borrows bytes for the life of the object. */
NN_CHECKED nn_status nn_gguf_open_memory(nn_gguf **out, const void *bytes, size_t len, const char *name, nn_err *err);
void nn_gguf_close(nn_gguf *g);
size_t nn_gguf_tensors(const nn_gguf *g);
const nn_st_tensor *nn_gguf_tensor(const nn_gguf *g, size_t i);
const nn_st_tensor *nn_gguf_find(const nn_gguf *g, const char *name);
/* Typed getters: false when absent or of another type (integers convert when they fit). Strings are borrowed, not
 * terminated. */
bool nn_gguf_u64(const nn_gguf *g, const char *key, uint64_t *out);
bool nn_gguf_f64(const nn_gguf *g, const char *key, double *out);
bool nn_gguf_bool(const nn_gguf *g, const char *key, bool *out);
bool nn_gguf_str(const nn_gguf *g, const char *key, const char **out, size_t *len);
bool nn_gguf_array(const nn_gguf *g, const char *key, nn_gg_type *type, size_t *n);
bool nn_gguf_array_str(const nn_gguf *g, const char *key, size_t i, const char **out, size_t *len);
bool nn_gguf_array_f64(const nn_gguf *g, const char *key, size_t i, double *out); /* any number type */
/* Whole arrays, without looking the key up for every element: exactly n I32 numbers; all strings in order until fn says
 * no. False as above, or when fn did. */
bool nn_gguf_array_i32(const nn_gguf *g, const char *key, int32_t *out, size_t n);
bool nn_gguf_array_bytes(const nn_gguf *g, const char *key, const unsigned char **out, size_t *n); /* of U8 or I8 */
typedef bool (*nn_gguf_str_fn)(void *ctx, size_t i, const char *s, size_t len);
bool nn_gguf_array_strs(const nn_gguf *g, const char *key, nn_gguf_str_fn fn, void *ctx);
size_t nn_gguf_keys(const nn_gguf *g);
const char *nn_gguf_key(const nn_gguf *g, size_t i, size_t *len, nn_gg_type *type);

typedef struct nn_gguf_writer nn_gguf_writer;
NN_CHECKED nn_status nn_gguf_writer_build(nn_gguf_writer **out, nn_err *err);
void nn_gguf_writer_free(nn_gguf_writer *w);
/* Sticky: the first failure is returned by save. Order of calls is the order in the file. */
void nn_gguf_put_u32(nn_gguf_writer *w, const char *key, uint32_t v);
void nn_gguf_put_u64(nn_gguf_writer *w, const char *key, uint64_t v);
void nn_gguf_put_f32(nn_gguf_writer *w, const char *key, float v);
void nn_gguf_put_bool(nn_gguf_writer *w, const char *key, bool v);
void nn_gguf_put_str(nn_gguf_writer *w, const char *key, const char *v);
void nn_gguf_put_strs(nn_gguf_writer *w, const char *key, const char *const *v,
                      const size_t *len /* NULL: terminated */, size_t n);
void nn_gguf_put_f32s(nn_gguf_writer *w, const char *key, const float *v, size_t n);
void nn_gguf_put_i32s(nn_gguf_writer *w, const char *key, const int32_t *v, size_t n);
void nn_gguf_put_u8s(nn_gguf_writer *w, const char *key, const unsigned char *v, size_t n);
/* The data is converted and copied now. rows 0: 1-D. */
void nn_gguf_put_tensor(nn_gguf_writer *w, const char *name, nn_dtype type, const float *data, size_t rows,
                        size_t cols);
/* Weights in a type of dtype.h, as they are: [rows, cols]. */
void nn_gguf_put_stored(nn_gguf_writer *w, const char *name, nn_dtype type, const unsigned char *bytes, size_t rows,
                        size_t cols);
/* Panels of quantize.h as they are: a 2-D tensor [nn_i8_rows(rows), nn_i8_cols(cols)] of type I8. */
void nn_gguf_put_i8(nn_gguf_writer *w, const char *name, const int8_t *panels, size_t rows, size_t cols);
/* A tensor whose data the caller writes behind nn_gguf_head, each padded with zero bytes to *align: for models that are
 * not to stand in memory twice. All of a file's tensors are planned, or none; such a file is not saved here. Its name
 * must not come twice: nobody reads it again here. */
void nn_gguf_plan_tensor(nn_gguf_writer *w, const char *name, nn_dtype type, size_t rows, size_t cols);
NN_CHECKED nn_status nn_gguf_head(nn_gguf_writer *w, const unsigned char **bytes, size_t *len, size_t *align,
                                  nn_err *err); /* borrowed */
/* From here on tensors are not copied: their data stays where it is, unchanged, until nn_gguf_save converts and writes it
 * piece by piece, so that no part of a model stands in memory twice. Before the first tensor. The file has the same bytes;
 * no name may come twice, since nobody reads the file again here, and nn_gguf_bytes is not for such a writer. */
void nn_gguf_put_later(nn_gguf_writer *w);
/* Such a tensor whose rows are made when they are written: fn fills out [n, cols] with rows first to first + n, in
 * ascending order. ctx lives until then too. rows 0: 1-D, one row. */
typedef nn_status (*nn_gguf_rows_fn)(void *ctx, float *out, size_t first, size_t n, nn_err *err);
void nn_gguf_put_rows(nn_gguf_writer *w, const char *name, nn_dtype type, nn_gguf_rows_fn fn, void *ctx, size_t rows,
                      size_t cols);
/* Every tensor put from here on begins at a multiple of `align` (a power of two, 32 to 4096); before the first one. */
void nn_gguf_put_alignment(nn_gguf_writer *w, uint32_t align);
NN_CHECKED nn_status nn_gguf_save(nn_gguf_writer *w, const char *path, nn_err *err);
/* The same, and the SHA-256 of the file's bytes. */
NN_CHECKED nn_status nn_gguf_save_hashed(nn_gguf_writer *w, const char *path, char hex[65], nn_err *err);
NN_CHECKED nn_status nn_gguf_bytes(nn_gguf_writer *w, const unsigned char **bytes, size_t *len,
                                   nn_err *err); /* borrowed */
#endif
