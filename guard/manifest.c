#include "guard/manifest.h"
#include "guard/buf.h"
#include "guard/ledger.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1 /* of the folder; the formats of single files stand beside it */
#define MANIFEST_MAX_BYTES ((size_t)64 << 20)

static const char sum_key[] = ",\"sum\":\"";

nn_status guard_manifest_init(guard_manifest *m, const char *script, const char *const *set, size_t n_set,
                              uint64_t seed, nn_err *err)
{
    const char *slash = strrchr(script, '/');
    const char *base = slash ? slash + 1 : script;
    void *block = NULL;
    nn_status st = NN_OK;

    memset(m, 0, sizeof *m);
    m->seed = seed;
    memcpy(m->head, guard_ledger_first, sizeof m->head);
    if ((st = guard_text_copy(&m->script, base, strlen(base), err)) != NN_OK) return st;
    if ((st = nn_alloc(&block, n_set, sizeof *m->set, err)) != NN_OK) return st;
    m->set = block;
    for (size_t i = 0; i < n_set && st == NN_OK; i++) {
        st = guard_text_copy(m->set + i, set[i], strlen(set[i]), err);
        m->n_set = i + 1;
    }
    return st;
}

void guard_manifest_free(guard_manifest *m)
{
    nn_free(m->script);
    for (size_t i = 0; i < m->n_set; i++) nn_free(m->set[i]);
    nn_free(m->set);
    guard_hashes_free(&m->scripts);
    guard_hashes_free(&m->inputs);
    guard_hashes_free(&m->files);
    memset(m, 0, sizeof *m);
}

/* --- writing ------------------------------------------------------------------------------ */

static void manifest_print(guard_buf *b, const guard_manifest *m)
{
    guard_buf_fmt(b, "{\"format\":%d", FORMAT);
    guard_put_str(b, "script", m->script);
    guard_json_key(b, "set");
    guard_buf_str(b, "[");
    for (size_t i = 0; i < m->n_set; i++) {
        guard_json_comma(b);
        guard_json_str(b, m->set[i], strlen(m->set[i]));
    }
    guard_buf_str(b, "],\"seed\":\"");
    guard_json_u64(b, m->seed);
    guard_buf_str(b, "\",\"formats\":{\"ledger\":1,\"corpus\":1,\"metrics\":1}");
    guard_put_hashes(b, "scripts", &m->scripts);
    guard_put_hashes(b, "inputs", &m->inputs);
    guard_json_key(b, "finished");
    guard_json_bool(b, m->finished);
    guard_buf_str(b, ",\"ledger\":{\"count\":");
    guard_json_u64(b, m->count);
    guard_put_str(b, "head", m->head);
    guard_buf_str(b, "}");
    if (m->finished) guard_put_hashes(b, "files", &m->files);
}

nn_status guard_manifest_write(const guard_manifest *m, const char *dir, nn_err *err)
{
    guard_buf b = {NULL, 0, 0, NN_OK};
    char *path = NULL, sum[NN_SHA256_HEX];
    nn_status st = guard_path_join(&path, dir, GUARD_MANIFEST_FILE, err);

    manifest_print(&b, m);
    if (st == NN_OK) st = guard_buf_status(&b, err);
    if (st == NN_OK) {
        nn_sha256_hex(b.bytes, b.len, sum);
        guard_buf_str(&b, sum_key);
        guard_buf_str(&b, sum);
        guard_buf_str(&b, "\"}\n");
        st = guard_buf_status(&b, err);
    }
    if (st == NN_OK) st = nn_file_write(path, b.bytes, b.len, err);
    guard_buf_free(&b);
    nn_free(path);
    return st;
}

/* --- reading ------------------------------------------------------------------------------ */

static nn_status bad(const char *path, const char *what, nn_err *err)
{
    return nn_fail(err, NN_FILE, "%s: %s, want what parapet wrote there", path, what);
}

/* The file ends with its own sum. */
static nn_status check_sum(const char *path, const char *text, size_t len, nn_err *err)
{
    const size_t tail = sizeof sum_key - 1 + 64 + 3; /* ,"sum":"<64>"}\n */
    char sum[NN_SHA256_HEX];

    if (len < tail) return bad(path, "too short", err);
    const char *at = text + len - tail;
    nn_sha256_hex(text, len - tail, sum);
    if (memcmp(at, sum_key, sizeof sum_key - 1) != 0 || memcmp(text + len - 3, "\"}\n", 3) != 0)
        return bad(path, "no sum at its end", err);
    at += sizeof sum_key - 1;
    if (memcmp(at, sum, 64) == 0) return NN_OK;
    return nn_fail(err, NN_FILE, "%s: altered: its bytes have sum %.12s, want %.12s as it says", path, sum, at);
}

static nn_status get_hashes(guard_hashes *h, const json_t *list, const char *path, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = 0; i < json_array_size(list) && st == NN_OK; i++) {
        const json_t *f = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(f, "path"));
        const char *sha256 = json_string_value(json_object_get(f, "sha256"));

        if (!name || !guard_path_is_inside(name)) return bad(path, "a path that leaves the folder", err);
        if (!sha256 || !guard_is_sha256(sha256)) return bad(path, "a hash that is not 64 hexadecimal digits", err);
        st = guard_hashes_add(h, name, sha256, err);
    }
    return st;
}

static bool get_seed(uint64_t *seed, const char *s)
{
    char *end = NULL;

    if (!s || s[0] < '0' || s[0] > '9') return false;
    errno = 0;
    *seed = strtoull(s, &end, 10);
    return errno == 0 && *end == '\0';
}

/* The options that must be as at the start: script, set, seed. */
static nn_status get_options(guard_manifest *m, const json_t *o, const char *path, nn_err *err)
{
    const char *script = json_string_value(json_object_get(o, "script"));
    const json_t *set = json_object_get(o, "set");
    const size_t n_set = json_array_size(set);
    const char **pair = NULL;
    void *block = NULL;
    uint64_t seed = 0;
    nn_status st = nn_alloc(&block, n_set, sizeof *pair, err);

    if (st != NN_OK) return st;
    pair = block;
    for (size_t i = 0; i < n_set; i++) {
        pair[i] = json_string_value(json_array_get(set, i));
        if (!pair[i]) script = NULL;
    }
    if (!script || !json_is_array(set) || !get_seed(&seed, json_string_value(json_object_get(o, "seed")))) {
        st = bad(path, "no script, set and seed", err);
    } else {
        st = guard_manifest_init(m, script, pair, n_set, seed, err);
    }
    nn_free(block);
    return st;
}

static nn_status get_fields(guard_manifest *m, const json_t *o, const char *path, nn_err *err)
{
    const json_t *ledger = json_object_get(o, "ledger");
    const json_t *count = json_object_get(ledger, "count");
    const char *head = json_string_value(json_object_get(ledger, "head"));
    nn_status st = NN_OK;

    if (json_integer_value(json_object_get(o, "format")) != FORMAT)
        return bad(path, "another format of run folder", err);
    if (!json_is_integer(count) || json_integer_value(count) < 0 || !head || !guard_is_sha256(head)) {
        return bad(path, "no ledger count and head", err);
    }
    if ((st = get_options(m, o, path, err)) != NN_OK) return st;
    m->count = (size_t)json_integer_value(count);
    memcpy(m->head, head, sizeof m->head);
    m->finished = json_is_true(json_object_get(o, "finished"));
    if ((st = get_hashes(&m->scripts, json_object_get(o, "scripts"), path, err)) != NN_OK) return st;
    if ((st = get_hashes(&m->inputs, json_object_get(o, "inputs"), path, err)) != NN_OK) return st;
    return get_hashes(&m->files, json_object_get(o, "files"), path, err);
}

nn_status guard_manifest_read(guard_manifest *m, const char *dir, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    json_t *o = NULL;
    json_error_t why;
    char *path = NULL;
    nn_status st = NN_OK;

    memset(m, 0, sizeof *m);
    if ((st = guard_path_join(&path, dir, GUARD_MANIFEST_FILE, err)) != NN_OK) goto done;
    if ((st = nn_file_read(&file, path, MANIFEST_MAX_BYTES, err)) != NN_OK) goto done;
    if ((st = check_sum(path, (const char *)file.bytes, file.len, err)) != NN_OK) goto done;
    o = json_loadb((const char *)file.bytes, file.len, JSON_REJECT_DUPLICATES, &why);
    st = json_is_object(o) ? get_fields(m, o, path, err) : bad(path, "not a JSON object", err);
done:
    json_decref(o);
    nn_file_close(&file);
    nn_free(path);
    if (st != NN_OK) guard_manifest_free(m);
    return st;
}
