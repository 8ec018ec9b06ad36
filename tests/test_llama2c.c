#include "tests/test_llama2c.h"
#include "nn/cursor.h"
#include "nn/plat.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

/* --- model --------------------------------------------------------------------------------- */

static size_t positive(nn_cursor *c, const char *what)
{
    const int32_t v = (int32_t)nn_cursor_u32(c);

    if (v <= 0) (void)nn_cursor_fail(c, "%s is %d, want a positive number", what, (int)v);
    return v > 0 ? (size_t)v : 1;
}

static nn_config read_config(nn_cursor *c)
{
    nn_config o = nn_config_default();

    o.width = positive(c, "dim");
    o.ff = positive(c, "hidden_dim");
    o.layers = positive(c, "n_layers");
    o.heads = positive(c, "n_heads");
    o.kv_heads = positive(c, "n_kv_heads");
    const int32_t vocab = (int32_t)nn_cursor_u32(c);
    o.max_t = positive(c, "seq_len");
    o.vocab = vocab < 0 ? (size_t)-(int64_t)vocab : (size_t)vocab;
    o.tied = vocab > 0;
    o.head_dim = o.width / o.heads;
    o.qk_norm = false;
    o.rope = NN_ROPE_PAIRS;
    o.norm_eps = 1e-5f;
    return o;
}

/* One kind of tensor for all layers, or for none ("blk." absent). */
static void read_kind(nn_cursor *c, const nn_model *m, const char *gguf, bool in_layer)
{
    for (size_t l = 0; l < (in_layer ? nn_model_config(m)->layers : 1); l++) {
        char name[64];
        nn_tensor t;

        if (in_layer)
            snprintf(name, sizeof name, "blk.%zu.%s", l, gguf);
        else
            snprintf(name, sizeof name, "%s", gguf);
        cr_assert(nn_model_find(m, name, &t), "%s", name);
        for (size_t j = 0; j < t.rows * t.cols; j++) t.data[j] = nn_cursor_f32(c);
    }
}

static void read_weights(nn_cursor *c, const nn_model *m)
{
    static const char *const kinds[] = {"attn_norm.weight", "attn_q.weight",   "attn_k.weight",
                                        "attn_v.weight",    "attn_output.weight", "ffn_norm.weight",
                                        "ffn_gate.weight",  "ffn_down.weight", "ffn_up.weight"};
    const nn_config *o = nn_model_config(m);

    read_kind(c, m, "token_embd.weight", false);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) read_kind(c, m, kinds[i], true);
    read_kind(c, m, "output_norm.weight", false);
    (void)nn_cursor_bytes(c, (uint64_t)o->max_t * o->head_dim * sizeof(float)); /* angles: ours are computed */
    if (!o->tied) read_kind(c, m, "output.weight", false);
    if (nn_cursor_left(c) != 0) (void)nn_cursor_fail(c, "%zu bytes after the end", nn_cursor_left(c));
}

nn_status llama2c_model(nn_model **out, const char *path, nn_err *err)
{
    nn_file f = {0};
    nn_cursor c;
    nn_model *m = NULL;
    nn_status st;

    *out = NULL;
    if ((st = nn_file_open(&f, path, err)) != NN_OK) goto done;
    nn_cursor_init(&c, f.bytes, f.len, path, err);
    const nn_config o = read_config(&c);
    if ((st = c.status) != NN_OK) goto done;
    if ((st = nn_config_check(&o, err)) != NN_OK) goto done;
    if (nn_config_params(&o) > f.len / sizeof(float)) {
        st = nn_cursor_fail(&c, "%zu bytes, too few for its weights", f.len);
        goto done;
    }
    if ((st = nn_model_build(&m, &o, err)) != NN_OK) goto done;
    read_weights(&c, m);
    if ((st = c.status) != NN_OK) goto done;
    *out = m;
    m = NULL;
done:
    nn_model_free(m);
    nn_file_close(&f);
    return st;
}

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

/* --- the reader's own tests -------------------------------------------------------------------- */

Test(llama2c, truncated_and_impossible_headers_are_refused)
{
    const char *path = path_in(temp_dir(), "m.bin");
    const int32_t good[7] = {8, 12, 1, 2, 1, 16, 4};
    nn_model *m = NULL;

    for (size_t i = 0; i < 7; i++) {
        int32_t bad[7];
        nn_err err = {NN_OK, ""};

        memcpy(bad, good, sizeof bad);
        bad[i] = i == 5 ? 0 : -3;
        write_bytes(path, bad, sizeof bad);
        cr_expect(llama2c_model(&m, path, &err) != NN_OK && !m && err.text[0], "field %zu", i);
    }
    for (size_t len = 0; len <= sizeof good; len++) {
        nn_err err = {NN_OK, ""};

        write_bytes(path, good, len);
        cr_expect(llama2c_model(&m, path, &err) == NN_FILE && !m, "%zu bytes", len);
    }
}
