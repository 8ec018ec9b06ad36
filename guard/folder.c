#include "guard/folder.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8 /* folders below the run folder; a link that leads back up ends here */

/* --- paths -------------------------------------------------------------------------------- */

nn_status guard_text_copy(char **out, const char *s, size_t len, nn_err *err)
{
    void *block = NULL;
    const nn_status st = nn_alloc(&block, len + 1, 1, err);

    *out = block;
    if (st == NN_OK && len) memcpy(*out, s, len);
    return st;
}

bool guard_is_sha256(const char *s)
{
    return strspn(s, "0123456789abcdef") == 64 && s[64] == '\0';
}

/* One part of a path, between two slashes. */
static bool part_is_plain(const char *s, size_t len)
{
    if (len == 0 || (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')))) return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == '\\' || s[i] == 0x7f) return false;
    }
    return true;
}

bool guard_path_is_inside(const char *path)
{
    for (;;) {
        const size_t len = strcspn(path, "/");

        if (!part_is_plain(path, len)) return false;
        if (path[len] == '\0') return true;
        path += len + 1;
    }
}

bool guard_path_is_temp(const char *path)
{
    const char *at = strrchr(path, '.');

    return at && strncmp(at, ".tmp", 4) == 0 && at[4] && at[4 + strspn(at + 4, "0123456789")] == '\0';
}

nn_status guard_path_join(char **out, const char *dir, const char *path, nn_err *err)
{
    const size_t head = strlen(dir), tail = strlen(path);
    void *block = NULL;
    const nn_status st = nn_alloc(&block, head + tail + 2, 1, err);

    *out = block;
    if (st != NN_OK) return st;
    memcpy(*out, dir, head);
    if (head && tail) (*out)[head] = '/';
    memcpy(*out + head + (head && tail), path, tail);
    return NN_OK;
}

/* --- lists -------------------------------------------------------------------------------- */

nn_status guard_hashes_add(guard_hashes *h, const char *path, const char *sha256, nn_err *err)
{
    void *block = h->at;
    nn_status st = nn_grow(&block, &h->cap, h->n + 1, sizeof *h->at, err);

    h->at = block;
    if (st != NN_OK) return st;
    guard_hash *f = h->at + h->n;
    memset(f, 0, sizeof *f);
    if ((st = guard_text_copy(&f->path, path, strlen(path), err)) != NN_OK) return st;
    if (sha256) strncat(f->sha256, sha256, sizeof f->sha256 - 1);
    h->n++;
    return NN_OK;
}

const guard_hash *guard_hashes_find(const guard_hashes *h, const char *path)
{
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->at[i].path, path) == 0) return h->at + i;
    }
    return NULL;
}

void guard_hashes_free(guard_hashes *h)
{
    for (size_t i = 0; i < h->n; i++) nn_free(h->at[i].path);
    nn_free(h->at);
    *h = (guard_hashes){NULL, 0, 0};
}

/* Paths are different, so the order is total. */
static int by_path(const void *a, const void *b)
{
    return strcmp(((const guard_hash *)a)->path, ((const guard_hash *)b)->path);
}

/* --- JSON --------------------------------------------------------------------------------- */

void guard_put_str(guard_buf *b, const char *key, const char *value)
{
    guard_json_key(b, key);
    guard_json_str(b, value, strlen(value));
}

void guard_put_u64(guard_buf *b, const char *key, uint64_t value)
{
    guard_json_key(b, key);
    guard_json_u64(b, value);
}

void guard_put_hashes(guard_buf *b, const char *key, const guard_hashes *h)
{
    guard_json_key(b, key);
    guard_buf_str(b, "[");
    for (size_t i = 0; i < h->n; i++) {
        guard_json_comma(b);
        guard_buf_str(b, "{");
        guard_put_str(b, "path", h->at[i].path);
        guard_put_str(b, "sha256", h->at[i].sha256);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]");
}

/* --- the folder --------------------------------------------------------------------------- */

static nn_status add_piece(void *ctx, const void *bytes, size_t len, nn_err *err)
{
    (void)err;
    nn_sha256_add(ctx, bytes, len);
    return NN_OK;
}

nn_status guard_file_hash(char sha256[NN_SHA256_HEX], const char *path, nn_err *err)
{
    nn_sha256 s;

    nn_sha256_init(&s);
    sha256[0] = '\0';
    const nn_status st = nn_file_pieces(path, add_piece, &s, err);
    if (st == NN_OK) nn_sha256_end_hex(&s, sha256);
    return st;
}

nn_status guard_folder_hash(char sha256[NN_SHA256_HEX], const char *dir, const char *path, nn_err *err)
{
    char *full = NULL;
    nn_status st;

    sha256[0] = '\0';
    if ((st = guard_path_join(&full, dir, path, err)) == NN_OK) st = guard_file_hash(sha256, full, err);
    nn_free(full);
    return st;
}

/* Facts of one machine, and what a stage in work keeps for itself. */
static bool is_private(const char *path)
{
    static const char *const names[] = {"machine.json", "timing.jsonl", "log", "checkpoint"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(path, names[i]) == 0) return true;
    }
    return false;
}

/* Adds the files of dir/below: what cannot be listed as a folder is a file. */
static nn_status walk(guard_hashes *out, const char *dir, const char *below, size_t depth, nn_err *err)
{
    char **name = NULL, *full = NULL, *path = NULL;
    size_t n = 0;
    nn_status st = NN_OK;

    if (depth > DEPTH_MAX)
        return nn_fail(err, NN_FILE, "%s/%s: more than %d folders deep, want a run folder", dir, below, DEPTH_MAX);
    if ((st = guard_path_join(&full, dir, below, err)) != NN_OK) goto done;
    st = nn_dir_list(&name, &n, full, depth == 0 ? err : NULL);
    if (st == NN_FILE && depth > 0) st = guard_hashes_add(out, below, NULL, err);
    else if (st == NN_LIMIT) nn_fail(err, NN_LIMIT, "memory: no room for the names in %s", full);
    for (size_t i = 0; i < n && st == NN_OK; i++) {
        nn_free(path);
        st = guard_path_join(&path, below, name[i], err);
        if (st == NN_OK && !(depth == 0 && is_private(path))) st = walk(out, dir, path, depth + 1, err);
    }
done:
    for (size_t i = 0; i < n; i++) nn_free(name[i]);
    nn_free(name);
    nn_free(path);
    nn_free(full);
    return st;
}

nn_status guard_folder_list(guard_hashes *out, const char *dir, bool hash, nn_err *err)
{
    nn_status st = walk(out, dir, "", 0, err);

    if (st == NN_OK && out->n) qsort(out->at, out->n, sizeof *out->at, by_path);
    for (size_t i = 0; i < out->n && hash && st == NN_OK; i++) {
        st = guard_folder_hash(out->at[i].sha256, dir, out->at[i].path, err);
    }
    return st;
}
