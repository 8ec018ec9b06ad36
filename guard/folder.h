/* folder.h - the files of a run folder: which of them are reproducible, and their hashes.
 *
 * Reads: buf.h, nn/plat.h, nn/sha256.h.   Read next: manifest.h, ledger.h, audit.c.
 * Why: run, audit and lineage must agree on what "the reproducible half" is, so it is decided here, once: every file
 * below the folder but machine.json, timing.jsonl, log and what stands in checkpoint/. Ownership: a list owns its
 * paths; guard_hashes_free. A zeroed list is empty and valid.
 */
#ifndef GUARD_FOLDER_H
#define GUARD_FOLDER_H
#include "guard/buf.h"
#include "nn/sha256.h"

/* A path inside the folder, '/' between its parts, beside the hash of the file's bytes ("" when it was not asked for).
 */
typedef struct {
    char *path;
    char sha256[NN_SHA256_HEX];
} guard_hash;

typedef struct {
    guard_hash *at;
    size_t n, cap;
} guard_hashes;

NN_CHECKED nn_status guard_hashes_add(guard_hashes *h, const char *path, const char *sha256, nn_err *err);
const guard_hash *guard_hashes_find(const guard_hashes *h, const char *path); /* NULL when absent */
void guard_hashes_free(guard_hashes *h);

NN_CHECKED nn_status guard_text_copy(char **out, const char *s, size_t len, nn_err *err); /* zero byte added; nn_free */
/* JSON members of the folder's files: "key":"value", "key":1, "key":[{"path","sha256"},..]. */
void guard_put_str(guard_buf *b, const char *key, const char *value);
void guard_put_u64(guard_buf *b, const char *key, uint64_t value);
void guard_put_hashes(guard_buf *b, const char *key, const guard_hashes *h);

bool guard_is_sha256(const char *s); /* 64 lower-case hexadecimal digits */
bool guard_path_is_inside(
    const char *path); /* relative, without "..", "." or empty parts, backslashes and control characters */
bool guard_path_is_temp(
    const char *path); /* what nn_file_write leaves beside its target when it is killed: NAME.tmp<digits> */
/* "dir/path" by nn_alloc. */
NN_CHECKED nn_status guard_path_join(char **out, const char *dir, const char *path, nn_err *err);

/* Hash of dir/path; NN_FILE when it cannot be read. */
NN_CHECKED nn_status guard_file_hash(char sha256[NN_SHA256_HEX], const char *path, nn_err *err); /* "" on failure */
NN_CHECKED nn_status guard_folder_hash(char sha256[NN_SHA256_HEX], const char *dir, const char *path, nn_err *err);
/* Every reproducible file, sorted bytewise by path; hashed when asked. */
NN_CHECKED nn_status guard_folder_list(guard_hashes *out, const char *dir, bool hash, nn_err *err);
#endif
