#include "tests/fuzz.h"
#include "nn/arena.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024u

const fuzz_target fuzz_targets[] = {
    {"answer", fuzz_answer, 64 * KIB, 256},
    {"answers", fuzz_answers, 256 * KIB, 64},
    {"csv", fuzz_csv, 1024 * KIB, 256},
    {"gguf", fuzz_gguf, 64 * KIB, 64},
    {"guard", fuzz_guard, 256 * KIB, 256},
    {"hf_folder", fuzz_model_folder, 256 * KIB, 256},
    {"json", fuzz_json, 64 * KIB, 64},
    {"jsonl", fuzz_jsonl, 1024 * KIB, 256},
    {"llama2c", fuzz_model_file, 64 * KIB, 64},
    {"lora", fuzz_lora, 256 * KIB, 256},
    {"model_gguf", fuzz_model_file, 64 * KIB, 64},
    {"safetensors", fuzz_safetensors, 64 * KIB, 64},
    {"tok_gguf", fuzz_tok_gguf, 256 * KIB, 256},
    {"tok_json", fuzz_tok_json, 256 * KIB, 256},
    {"tok_llama2c", fuzz_tok_llama2c, 256 * KIB, 256},
    {"tok_model", fuzz_tok_model, 256 * KIB, 256},
    {"tok_parts", fuzz_tok_parts, 256 * KIB, 256},
    {NULL, NULL, 0, 0},
};

const fuzz_target *fuzz_find(const char *name)
{
    for (const fuzz_target *t = fuzz_targets; t->name; t++) {
        if (name && strcmp(t->name, name) == 0) return t;
    }
    return NULL;
}

void fuzz_must(bool what, const char *sentence)
{
    if (what) return;
    fprintf(stderr, "fuzz: %s\n", sentence);
    abort();
}

void fuzz_opened(void)
{
    nn_alloc_watch(NULL);
}

nn_status fuzz_once(const fuzz_target *t, const uint8_t *bytes, size_t len, nn_err *err)
{
    uint64_t asked = 0;

    *err = (nn_err){NN_OK, ""};
    nn_alloc_watch(&asked);
    const nn_status st = t->use(bytes, len, err);
    nn_alloc_watch(NULL);
    if (st != NN_OK) {
        fuzz_must(st == NN_FILE || st == NN_CONTENT || st == NN_LIMIT, "a file is refused with FILE, CONTENT or LIMIT");
        fuzz_must(err->status == st && err->text[0] != '\0', "a refusal says why");
    } else {
        fuzz_must(err->status == NN_OK && err->text[0] == '\0', "nothing is said against a good file");
    }
    if (asked > t->base + t->per_byte * len) {
        fprintf(stderr, "fuzz: %s: %llu bytes asked for, the file has %zu\n", t->name, (unsigned long long)asked, len);
        abort();
    }
    return st;
}

const nn_exec *fuzz_exec(size_t max_t)
{
    static nn_exec x;
    static size_t made_for;

    if (made_for >= max_t) return &x;
    nn_exec_free(&x);
    fuzz_must(nn_exec_open(&x, NULL, 1, max_t, NULL) == NN_OK, "there is room for one thread");
    made_for = max_t;
    return &x;
}

void fuzz_tensor(const nn_st_tensor *t)
{
    enum { MOST = 4096 }; /* whole blocks of every type */
    float x[MOST];
    const size_t n = t->count < MOST ? t->count : MOST;
    const size_t bad = nn_dtype_not_finite(t->type, t->data, n);

    fuzz_must(bad <= n, "the index of a bad number lies inside");
    if (nn_dtype_to_f32(x, t->type, t->data, n, NULL) != NN_OK) return;
    for (size_t i = 0; i < bad; i++) fuzz_must(isfinite(x[i]), "what is called finite is");
    if (bad < n && (t->type == NN_F32 || t->type == NN_F16 || t->type == NN_BF16)) {
        fuzz_must(!isfinite(x[bad]), "what is called not finite is not");
    }
}

/* --- files ------------------------------------------------------------------------------------- */

static char folder[512];

static void remove_folder(void)
{
    char command[600];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) fprintf(stderr, "fuzz: %s stays behind\n", folder);
}

const char *fuzz_folder(void)
{
    const char *root = getenv("TMPDIR");

    if (folder[0]) return folder;
    snprintf(folder, sizeof folder, "%s/parapet-fuzz-XXXXXX", root && root[0] ? root : "/tmp");
    fuzz_must(mkdtemp(folder) != NULL, "there is a folder for scratch files");
    atexit(remove_folder);
    return folder;
}

static const char *path_of(const char *name)
{
    static char path[4][600]; /* a folder's files may be asked for one after the other */
    static unsigned next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof path[0], "%s/%s", fuzz_folder(), name);
    return p;
}

const char *fuzz_file(const char *name, const uint8_t *bytes, size_t len)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "wb");

    fuzz_must(f != NULL, "a scratch file can be made");
    const size_t n = len ? fwrite(bytes, 1, len, f) : 0;
    fuzz_must(fclose(f) == 0 && n == len, "a scratch file can be written");
    return path;
}

void fuzz_forget(const char *name)
{
    remove(path_of(name));
}

/* Where the next separator begins, `at` or later; len: there is none. */
static size_t separator(const uint8_t *bytes, size_t len, size_t at)
{
    const size_t n = sizeof FUZZ_SEPARATOR - 1;

    while (at + n <= len && memcmp(bytes + at, FUZZ_SEPARATOR, n) != 0) at++;
    return at + n <= len ? at : len;
}

const uint8_t *fuzz_part(const uint8_t *bytes, size_t len, size_t i, size_t *part_len)
{
    size_t begin = 0, end = separator(bytes, len, 0);

    *part_len = 0;
    while (i-- > 0) {
        if (end == len) return NULL;
        begin = end + sizeof FUZZ_SEPARATOR - 1;
        end = separator(bytes, len, begin);
    }
    *part_len = end - begin;
    return bytes + begin;
}

/* FNV-1a over the input (Fowler, Noll, Vo). */
size_t fuzz_pick(const uint8_t *bytes, size_t len, uint32_t salt, size_t n)
{
    uint32_t h = 2166136261u ^ salt;

    for (size_t i = 0; i < len; i++) h = (h ^ bytes[i]) * 16777619u;
    return n ? h % n : 0;
}
