/* cmd_convert.h - what convert and quantize share.
 *
 * Reads: nn/model_write.h.   Read next: cmd_convert.c.
 */
#ifndef GUARD_CMD_CONVERT_H
#define GUARD_CMD_CONVERT_H
#include "nn/model_write.h"

typedef enum { CONVERT_GUARD, CONVERT_GENERATOR, CONVERT_OTHER } convert_kind;

typedef struct {
    nn_dtype type;         /* NN_DTYPE_OTHER: as they are */
    bool llama_cpp, force;
    const char *tokenizer; /* path, NULL: the model's own */
    const char *adapter;   /* folder, NULL: none */
} convert_wishes;

/* Whose file it is; what is no GGUF file is somebody else's, or none. */
NN_CHECKED nn_status convert_kind_of(convert_kind *kind, const char *path, nn_err *err);
/* f32, f16, bf16, q8_0, q4_0; false for another name. */
bool convert_type(nn_dtype *out, const char *name);
/* `to` must not be `from`, nor be there unless force. */
NN_CHECKED nn_status convert_check_paths(const char *from, const char *to, bool force, nn_err *err);
/* Writes `to` (a file when it ends in .gguf, else a folder) and says so on stdout; what was left out, on stderr. */
NN_CHECKED nn_status convert_model(const char *from, const char *to, const convert_wishes *w, nn_err *err);
#endif
