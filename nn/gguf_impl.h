/* gguf_impl.h - inside an opened GGUF file. Private to fmt_gguf*.c.
 *
 * Why apart: the reader works on memory alone, so that it links on a machine without files;
 * fmt_gguf_open.c adds the path.
 */
#ifndef NN_GGUF_IMPL_H
#define NN_GGUF_IMPL_H
#include "nn/cursor.h"
#include "nn/gguf.h"

typedef struct {
    const char *key; /* key_len bytes in the file, not terminated */
    size_t key_len;
    nn_gg_type type, elem;      /* elem: of an array */
    const unsigned char *value; /* value_len bytes, for an array its elements */
    size_t value_len, n;        /* n: elements of an array */
    size_t first;               /* array of strings: string i starts at value + str_at[first + i] */
} nn_gg_entry;

/* A name and what it names, for search and for finding duplicates. */
typedef struct {
    const char *name;
    size_t len, index;
} nn_gg_name;

struct nn_gguf {
    nn_file file;
    void (*close_file)(nn_file *); /* NULL: the caller owns the bytes */
    nn_gg_entry *entry;
    nn_gg_name *key_order; /* [n_entry] sorted */
    size_t n_entry;
    size_t *str_at;
    size_t n_str, str_cap;
    nn_st_tensor *tensor;
    nn_gg_name *tensor_order; /* [n_tensor] sorted */
    char *names;              /* tensor names, terminated */
    size_t n_tensor;
};

/* The numbers of the format that reader and writer share. */
#define NN_GG_MAGIC 0x46554747u /* "GGUF" as a little-endian u32 */
#define NN_GG_VERSION 3u
#define NN_GG_ALIGN 32u /* of tensor data, unless general.alignment says otherwise */
#define NN_GG_TYPE_F32 0u
#define NN_GG_TYPE_F16 1u
#define NN_GG_TYPE_Q8_0 8u
#define NN_GG_TYPE_I8 24u
#define NN_GG_TYPE_I64 27u
#define NN_GG_TYPE_BF16 30u

/* The format's number of a type that has a name here; false without one. */
bool nn_gg_type_id(nn_dtype type, uint32_t *id);
/* The index of a name in a sorted table, or n when it is not there. */
size_t nn_gg_find(const nn_gg_name *order, size_t n, const char *name);
/* Bytes of one value; 0 for strings and arrays. */
size_t nn_gg_bytes(nn_gg_type type);
/* A string of the format: u64 length, then the bytes; NULL after an error. */
const char *nn_gg_string(nn_cursor *c, size_t *len);
#endif
