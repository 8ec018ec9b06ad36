/* fmt_gguf_open.c - a GGUF file by its path: mapped, then read as memory (fmt_gguf.c). */
#include "nn/gguf_impl.h"

nn_status nn_gguf_open(nn_gguf **out, const char *path, nn_err *err)
{
    nn_file file = {0};
    nn_status st;

    *out = NULL;
    if ((st = nn_file_open(&file, path, err)) != NN_OK) return st;
    if ((st = nn_gguf_open_memory(out, file.bytes, file.len, path, err)) != NN_OK) {
        nn_file_close(&file);
        return st;
    }
    (*out)->file = file;
    (*out)->close_file = nn_file_close;
    return NN_OK;
}
