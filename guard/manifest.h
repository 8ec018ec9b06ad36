/* manifest.h - run.json: what was run, on what, and where the ledger stands.
 *
 * Reads: folder.h; jansson for JSON.   Read next: run.c (writes), audit.c (reads).
 *
 *   {"format":1,"script":"quickstart.lua","set":["data=../shared/data"],"seed":"1",
 *    "formats":{"ledger":1,"corpus":1,"metrics":1},"scripts":[{"path","sha256"}],"inputs":[{"path","sha256"}],
 *    "finished":true,"ledger":{"count":12,"head":".."},"files":[{"path","sha256"}],"sum":".."}
 *
 * inputs name files outside the folder by base name. files: what a finished run holds beside ledger outputs and scripts
 * (metrics.jsonl, for one). sum is the SHA-256 of all bytes before ',"sum"', so that a changed seed or option is seen
 * too. The count may lag behind the ledger by one stage when a run was killed between the two writes; it never runs
 * ahead.
 */
#ifndef GUARD_MANIFEST_H
#define GUARD_MANIFEST_H
#include "guard/folder.h"
#include <stdint.h>

#define GUARD_MANIFEST_FILE "run.json"

typedef struct {
    char *script; /* base name */
    char **set;   /* [n_set] "name=value", in the order given */
    size_t n_set;
    uint64_t seed;
    guard_hashes scripts, inputs, files;
    bool finished;
    size_t count; /* ledger entries */
    char head[NN_SHA256_HEX];
} guard_manifest;

NN_CHECKED nn_status guard_manifest_init(guard_manifest *m, const char *script, const char *const *set, size_t n_set,
                                         uint64_t seed, nn_err *err); /* copies; free it also on failure */
/* dir/run.json. NN_FILE when it is absent, not ours, of another version, or its sum does not fit. */
NN_CHECKED nn_status guard_manifest_read(guard_manifest *m, const char *dir, nn_err *err);
NN_CHECKED nn_status guard_manifest_write(const guard_manifest *m, const char *dir, nn_err *err);
void guard_manifest_free(guard_manifest *m);
#endif
