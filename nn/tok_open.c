/* tok_open.c - from a file to a tokenizer: which format it is, read, then built.
 *
 * Reads: tok_read.h, tok_read_impl.h, plat.h.   Read next: tok_build.c.
 */
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/tok_read_impl.h"
#include <stdio.h>
#include <string.h>

#define PATH_MAX_LEN 4096u

/* Makes a tokenizer of what a reader left and frees it; st: how the reader fared. */
static nn_status finish(nn_tok **out, nn_vocab *v, nn_status st, const char *name, nn_err *err)
{
    if (st == NN_OK && (st = nn_tok_build(out, v, err)) != NN_OK) nn_err_prefix(err, name);
    nn_vocab_free(v);
    return st;
}

nn_status nn_tok_from_gguf(nn_tok **out, const nn_gguf *g, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_gguf(&v, g, name, err), name, err);
}

nn_status nn_tok_from_sentencepiece(nn_tok **out, const void *bytes, size_t len, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_sentencepiece(&v, bytes, len, name, err), name, err);
}

nn_status nn_tok_from_llama2c(nn_tok **out, const void *bytes, size_t len, size_t vocab, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_llama2c(&v, bytes, len, vocab, name, err), name, err);
}

nn_status nn_tok_from_json(nn_tok **out, const void *bytes, size_t len, const void *config, size_t config_len,
                           const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_json(&v, bytes, len, config, config_len, name, err), name, err);
}

nn_status nn_tok_from_parts(nn_tok **out, const nn_tok_parts *p, const char *name, nn_err *err)
{
    nn_vocab v;

    *out = NULL;
    nn_vocab_init(&v);
    return finish(out, &v, nn_vocab_from_parts(&v, p, name, err), name, err);
}

/* --- by path --------------------------------------------------------------------------------------------- */

typedef enum { NO_FORMAT, GGUF, JSON, PROTOBUF, LLAMA2C } format;

/* A protocol buffer begins with the key of its first piece (0x0a) and, after one to three bytes of length, that of the
 * piece's text; llama2.c's file with a small 32-bit number, whose bytes 2 and 3 are zero, which is no key. */
static format format_of(const unsigned char *b, size_t len)
{
    size_t i = 0;

    if (len < 4) return NO_FORMAT;
    if (memcmp(b, "GGUF", 4) == 0) return GGUF;
    if (b[2] == 0 && b[3] == 0) return LLAMA2C;
    if (b[0] == 0x0a && b[1] != '{' && b[1] > 1 && memchr(b + 2, 0x0a, len < 5 ? len - 2 : 3)) return PROTOBUF;
    while (i < len && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r')) i++;
    return i < len && b[i] == '{' ? JSON : NO_FORMAT;
}

/* "folder/name", the folder being path itself or where path lies; false when there is no such file. */
static bool find_beside(char *out, const char *path, bool is_folder, const char *name)
{
    const char *slash = strrchr(path, '/');
    const size_t folder = is_folder ? strlen(path) : (slash ? (size_t)(slash - path) : 0);
    const char *between = is_folder || slash ? "/" : "";
    const int n = snprintf(out, PATH_MAX_LEN, "%.*s%s%s", (int)folder, path, between, name);

    return n > 0 && (size_t)n < PATH_MAX_LEN && nn_path_exists(out);
}

static nn_status open_gguf(nn_tok **out, const char *path, nn_err *err)
{
    nn_gguf *g = NULL;
    nn_status st = nn_gguf_open(&g, path, err);

    if (st == NN_OK) st = nn_tok_from_gguf(out, g, path, err);
    nn_gguf_close(g);
    return st;
}

/* The formats that a tokenizer_config.json may lie beside. */
static nn_status open_with_config(nn_tok **out, const nn_file *f, format kind, const char *path, nn_err *err)
{
    char beside[PATH_MAX_LEN];
    nn_file config = {0};
    nn_vocab v;
    nn_status st = NN_OK;

    nn_vocab_init(&v);
    if (find_beside(beside, path, false, "tokenizer_config.json")) st = nn_file_open(&config, beside, err);
    const void *bytes = config.len > 0 ? config.bytes : NULL;
    if (st == NN_OK && kind == JSON) {
        st = nn_vocab_from_json(&v, f->bytes, f->len, bytes, config.len, path, err);
    } else if (st == NN_OK) {
        st = nn_vocab_from_sentencepiece(&v, f->bytes, f->len, path, err);
        if (st == NN_OK && bytes) st = nn_vocab_configure(&v, bytes, config.len, beside, err);
        if (st == NN_OK) st = nn_vocab_check_specials(&v, path, err);
    }
    st = finish(out, &v, st, path, err);
    nn_file_close(&config);
    return st;
}

static nn_status open_file(nn_tok **out, const char *path, size_t vocab, nn_err *err)
{
    nn_file f = {0};
    nn_status st;

    if ((st = nn_file_open(&f, path, err)) != NN_OK) return st;
    const format kind = format_of(f.bytes, f.len);
    if (kind == GGUF) st = open_gguf(out, path, err);
    else if (kind == LLAMA2C) st = nn_tok_from_llama2c(out, f.bytes, f.len, vocab, path, err);
    else if (kind != NO_FORMAT) st = open_with_config(out, &f, kind, path, err);
    else
        st = nn_fail(err, NN_FILE,
                     "%s: no tokenizer, want a tokenizer.json, a SentencePiece model, a GGUF file or llama2.c's "
                     "tokenizer.bin",
                     path);
    nn_file_close(&f);
    return st;
}

/* vocab.json and merges.txt are there, the others may be. */
static nn_status open_parts(nn_tok **out, const char *folder, nn_err *err)
{
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json",
                                        "special_tokens_map.json"};
    enum { FILES = sizeof names / sizeof *names };
    nn_file f[FILES];
    nn_tok_part part[FILES] = {{NULL, 0}};
    char path[PATH_MAX_LEN];
    nn_status st = NN_OK;

    memset(f, 0, sizeof f);
    for (size_t i = 0; i < FILES && st == NN_OK; i++) {
        if (!find_beside(path, folder, true, names[i])) continue;
        if ((st = nn_file_open(&f[i], path, err)) == NN_OK) part[i] = (nn_tok_part){f[i].bytes, f[i].len};
    }
    if (st == NN_OK) {
        const nn_tok_parts p = {part[0], part[1], part[2], part[3], part[4]};

        st = nn_tok_from_parts(out, &p, folder, err);
    }
    for (size_t i = 0; i < FILES; i++) nn_file_close(&f[i]);
    return st;
}

nn_status nn_tok_open(nn_tok **out, const char *path, size_t vocab, nn_err *err)
{
    char inside[PATH_MAX_LEN];
    char **names = NULL;
    size_t n = 0;

    *out = NULL;
    if (find_beside(inside, path, true, "tokenizer.json") || find_beside(inside, path, true, "tokenizer.model"))
        return open_file(out, inside, vocab, err);
    if (find_beside(inside, path, true, "vocab.json") && find_beside(inside, path, true, "merges.txt"))
        return open_parts(out, path, err);
    if (nn_dir_list(&names, &n, path, NULL) != NN_OK) return open_file(out, path, vocab, err);
    for (size_t i = 0; i < n; i++) nn_free(names[i]);
    nn_free(names);
    return nn_fail(err, NN_FILE, "%s: no tokenizer.json, no tokenizer.model, and not vocab.json with merges.txt in this "
                   "folder", path);
}
