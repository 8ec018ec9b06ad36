/* slurp.c - the whole bytes of a file, unpacked when they are gzip (RFC 1952, one member or several). */
#include "guard/dataset.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <string.h>
#include <zlib.h>

static voidpf zip_alloc(voidpf ctx, uInt count, uInt size)
{
    void *block = NULL;

    (void)ctx;
    return nn_alloc(&block, count, size, NULL) == NN_OK ? block : NULL;
}

static void zip_free(voidpf ctx, voidpf block)
{
    (void)ctx;
    nn_free(block);
}

typedef struct {
    char *bytes;
    size_t len, cap;
} growing;

/* One call of inflate into fresh room; sizes go through uInt, so a step is at most 1 GiB. */
static nn_status step(int *code, growing *out, z_stream *z, const unsigned char *in, size_t left, size_t max,
                      const char *path, nn_err *err)
{
    const size_t most = (size_t)1 << 30;
    void *block = out->bytes;

    if (out->len > max)
        return nn_fail(err, NN_LIMIT, "%s: more than %zu bytes when unpacked, want at most that", path, max);
    const nn_status st = nn_grow(&block, &out->cap, out->len + 65536, 1, err);
    out->bytes = block;
    if (st != NN_OK) return st;

    const size_t room = out->cap - out->len - 1; /* the zero byte after the end */
    z->next_in = (Bytef *)(size_t)in;            /* zlib reads it only */
    z->avail_in = (uInt)(left < most ? left : most);
    z->next_out = (Bytef *)out->bytes + out->len;
    z->avail_out = (uInt)(room < most ? room : most);
    const uInt before = z->avail_out;
    *code = inflate(z, Z_NO_FLUSH);
    out->len += before - z->avail_out;
    return NN_OK;
}

static nn_status gunzip(growing *out, const unsigned char *in, size_t len, size_t max, const char *path,
                        nn_err *err)
{
    z_stream z = {0};
    nn_status st = NN_OK;
    size_t pos = 0;

    z.zalloc = zip_alloc;
    z.zfree = zip_free;
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) return nn_fail(err, NN_LIMIT, "%s: no memory to unpack it", path);
    for (;;) {
        int code = Z_OK;
        const size_t len_before = out->len;

        if ((st = step(&code, out, &z, in + pos, len - pos, max, path, err)) != NN_OK) break;
        const size_t used = (size_t)(z.next_in - (in + pos));
        pos += used;
        if (code == Z_STREAM_END) {
            if (pos == len) break;
            code = inflateReset(&z); /* another member follows */
        } else if (code == Z_BUF_ERROR || (code == Z_OK && used == 0 && out->len == len_before)) {
            st = nn_fail(err, NN_FILE, "%s: byte %zu: gzip data ends early, want a whole file", path, pos);
            break;
        }
        if (code == Z_OK) continue;
        if (code == Z_MEM_ERROR) st = nn_fail(err, NN_LIMIT, "%s: no memory to unpack it", path);
        else
            st = nn_fail(err, NN_FILE, "%s: byte %zu: damaged gzip data (%s)", path, pos,
                         z.msg ? z.msg : "not gzip");
        break;
    }
    inflateEnd(&z);
    if (st == NN_OK && out->len > max) {
        st = nn_fail(err, NN_LIMIT, "%s: %zu bytes when unpacked, want at most %zu", path, out->len, max);
    }
    return st;
}

static nn_status copy(growing *out, const nn_file *f, size_t max, const char *path, nn_err *err)
{
    void *block = NULL;

    if (f->len > max) return nn_fail(err, NN_LIMIT, "%s: %zu bytes, want at most %zu", path, f->len, max);
    const nn_status st = nn_alloc(&block, f->len + 1, 1, err);
    if (st != NN_OK) return st;
    out->bytes = block;
    out->len = f->len;
    if (f->len) memcpy(out->bytes, f->bytes, f->len);
    return NN_OK;
}

nn_status guard_slurp(char **bytes, size_t *len, const char *path, size_t max, nn_err *err)
{
    growing out = {NULL, 0, 0};
    nn_file f = {0};
    nn_status st = NN_OK;

    *bytes = NULL;
    *len = 0;
    st = strcmp(path, "-") == 0 ? nn_file_read(&f, path, max, err) : nn_file_open(&f, path, err);
    if (st != NN_OK) return st;
    if (f.len >= 2 && f.bytes[0] == 0x1f && f.bytes[1] == 0x8b) st = gunzip(&out, f.bytes, f.len, max, path, err);
    else st = copy(&out, &f, max, path, err);
    nn_file_close(&f);
    if (st != NN_OK) {
        nn_free(out.bytes);
        return st;
    }
    out.bytes[out.len] = '\0';
    *bytes = out.bytes;
    *len = out.len;
    return NN_OK;
}
