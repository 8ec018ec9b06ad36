/* machine.c - machine.json: where and when a run was made. Never hashed, never compared. */
#include "guard/run_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <jansson.h>
#include <string.h>

#define MACHINE_FILE "machine.json"
#define MACHINE_MAX_BYTES ((size_t)1 << 20)

/* First line of the file that `key` begins, without the key, or of the file when key is NULL; "unknown" when there is
 * none. */
static void line_of(char *out, size_t cap, const char *path, const char *key)
{
    nn_file file = {NULL, 0, NULL, NULL};
    const char *from = NULL;

    out[0] = '\0';
    if (nn_file_read(&file, path, MACHINE_MAX_BYTES, NULL) == NN_OK) {
        const char *text = (const char *)file.bytes;
        const size_t head = key ? strlen(key) : 0;

        for (size_t i = 0; i + head < file.len && !from; i++) {
            if ((i == 0 || text[i - 1] == '\n') && memcmp(text + i, key ? key : "", head) == 0) from = text + i + head;
        }
        if (from) {
            size_t left = file.len - (size_t)(from - text), n = 0;

            while (left && strchr(" \t:", *from)) from++, left--;
            while (n < left && n + 1 < cap && from[n] != '\n') n++;
            memcpy(out, from, n);
            out[n] = '\0';
        }
    }
    nn_file_close(&file);
    if (!out[0]) strncat(out, "unknown", cap - 1);
}

/* The times of an earlier process; whatever is not readable is left out, since nothing depends on it. */
static void take_over(guard_machine *m, const char *path)
{
    nn_file file = {NULL, 0, NULL, NULL};
    json_error_t why;

    if (nn_file_read(&file, path, MACHINE_MAX_BYTES, NULL) != NN_OK) return;
    json_t *o = json_loadb((const char *)file.bytes, file.len, 0, &why);
    const char *start = json_string_value(json_object_get(o, "start"));
    const json_t *resumes = json_object_get(o, "resumes");

    if (start && strlen(start) < sizeof m->start) memcpy(m->start, start, strlen(start) + 1);
    for (size_t i = 0; i < json_array_size(resumes); i++) {
        const char *at = json_string_value(json_array_get(resumes, i));

        if (!at) continue;
        if (m->resumes.len) guard_buf_str(&m->resumes, ",");
        guard_json_str(&m->resumes, at, strlen(at));
    }
    json_decref(o);
    nn_file_close(&file);
}

nn_status guard_machine_open(guard_machine *m, const char *dir, bool resumed, nn_err *err)
{
    char now[32], *path = NULL;
    nn_status st = guard_path_join(&path, dir, MACHINE_FILE, err);

    if (st != NN_OK) return st;
    nn_time_utc(now);
    if (resumed) {
        take_over(m, path);
        if (m->resumes.len) guard_buf_str(&m->resumes, ",");
        guard_json_str(&m->resumes, now, strlen(now));
    }
    if (!m->start[0]) memcpy(m->start, now, sizeof now);
    nn_free(path);
    return guard_machine_write(m, dir, err);
}

nn_status guard_machine_write(const guard_machine *m, const char *dir, nn_err *err)
{
    guard_buf b = {NULL, 0, 0, NN_OK};
    char host[128], cpu[128], *path = NULL;
    nn_status st = guard_path_join(&path, dir, MACHINE_FILE, err);

    line_of(host, sizeof host, "/proc/sys/kernel/hostname", NULL);
    line_of(cpu, sizeof cpu, "/proc/cpuinfo", "model name");
    guard_buf_str(&b, "{");
    guard_put_str(&b, "host", host);
    guard_put_str(&b, "cpu", cpu);
    guard_put_u64(&b, "cpus", nn_cpu_count());
#ifdef __clang__
    guard_put_str(&b, "compiler", __VERSION__);
#elif defined(__GNUC__)
    guard_put_str(&b, "compiler", "gcc " __VERSION__);
#else
    guard_put_str(&b, "compiler", "unknown");
#endif
    guard_put_str(&b, "start", m->start);
    guard_json_key(&b, "resumes");
    guard_buf_str(&b, "[");
    guard_buf_add(&b, m->resumes.bytes, m->resumes.len);
    guard_buf_str(&b, "]");
    guard_buf_add(&b, m->facts.bytes, m->facts.len);
    guard_buf_str(&b, "}\n");
    if (st == NN_OK) st = guard_buf_status(&m->resumes, err);
    if (st == NN_OK) st = guard_buf_status(&m->facts, err);
    if (st == NN_OK) st = guard_buf_status(&b, err);
    if (st == NN_OK) st = nn_file_write(path, b.bytes, b.len, err);
    guard_buf_free(&b);
    nn_free(path);
    return st;
}

void guard_machine_free(guard_machine *m)
{
    guard_buf_free(&m->resumes);
    guard_buf_free(&m->facts);
}

nn_status guard_run_fact(guard_run *r, const char *key, const char *json, nn_err *err)
{
    json_error_t why;

    if (r->m.finished) return NN_OK; /* it was made elsewhere, or at another time */
    json_t *v = json_loads(json, JSON_DECODE_ANY, &why);
    if (!v) return nn_fail(err, NN_USAGE, "machine fact %s: not JSON (%s)", key, why.text);
    json_decref(v);
    guard_buf_str(&r->machine.facts, ",");
    guard_json_str(&r->machine.facts, key, strlen(key));
    guard_buf_str(&r->machine.facts, ":");
    guard_buf_str(&r->machine.facts, json);
    return guard_machine_write(&r->machine, r->dir, err);
}
