#include "tests/test_llama2c.h"
#include "nn/arena.h"
#include "nn/cursor.h"
#include "nn/plat.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

/* --- vocabulary ------------------------------------------------------------------------------ */

nn_status llama2c_vocab_read(llama2c_vocab *v, const char *path, size_t n, nn_err *err)
{
    nn_file f = {0};
    nn_cursor c;
    void *bytes = NULL;
    nn_status st;

    memset(v, 0, sizeof *v);
    if ((st = nn_file_open(&f, path, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&bytes, f.len + 1, 1, err)) != NN_OK) goto done;
    v->bytes = bytes;
    nn_cursor_init(&c, f.bytes, f.len, path, err);
    (void)nn_cursor_u32(&c); /* longest piece */
    for (v->n = 0; v->n < n && v->n < 4096 && c.status == NN_OK; v->n++) {
        (void)nn_cursor_f32(&c); /* score */
        const size_t len = nn_cursor_u32(&c);
        const unsigned char *piece = nn_cursor_bytes(&c, len);

        if (piece) memcpy(v->bytes + v->start[v->n], piece, len);
        v->start[v->n + 1] = v->start[v->n] + (piece ? len : 0);
    }
    st = c.status;
done:
    if (st != NN_OK) llama2c_vocab_free(v);
    nn_file_close(&f);
    return st;
}

void llama2c_vocab_free(llama2c_vocab *v)
{
    nn_free(v->bytes);
    memset(v, 0, sizeof *v);
}

size_t llama2c_piece(const llama2c_vocab *v, char *out, int32_t before, int32_t id)
{
    const unsigned char *piece = v->bytes + v->start[id];
    size_t len = v->start[id + 1] - v->start[id];
    unsigned byte;
    char end;

    char text[8] = "";
    if (len == 6) memcpy(text, piece, 6);
    if (len == 6 && sscanf(text, "<0x%02X%c", &byte, &end) == 2 && end == '>') {
        out[0] = (char)byte;
        return 1;
    }
    if (before == 1 && len > 0 && piece[0] == ' ') {
        piece++;
        len--;
    }
    memcpy(out, piece, len);
    return len;
}
