/* cmd_inspect.c - parapet inspect: what a model file holds: metadata, tensors, types, memory. */
#include "guard/cmd.h"
#include "nn/gguf.h"
#include "nn/plat.h"
#include "nn/safetensors.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag inspect_flags[] = {{"--keys", NULL, NULL, "metadata only"}, {NULL, NULL, NULL, NULL}};

/* Strings come from a file: what is not printable ASCII is shown as a dot. */
static void print_plain(const char *s, size_t len, size_t most)
{
    for (size_t i = 0; i < len && i < most; i++) putchar(s[i] >= 32 && s[i] < 127 ? s[i] : '.');
    if (len > most) printf("... (%zu bytes)", len);
}

static void print_value(const nn_gguf *g, const char *key, nn_gg_type type)
{
    uint64_t u = 0;
    double d = 0.0;
    bool b = false;
    const char *s = NULL;
    size_t n = 0;
    nn_gg_type of;
    if (type == NN_GG_STRING && nn_gguf_str(g, key, &s, &n)) print_plain(s, n, 96);
    else if (type == NN_GG_BOOL && nn_gguf_bool(g, key, &b)) printf("%s", b ? "true" : "false");
    else if (type == NN_GG_ARRAY && nn_gguf_array(g, key, &of, &n)) printf("[%zu values]", n);
    else if (nn_gguf_u64(g, key, &u)) printf("%llu", (unsigned long long)u);
    else if (nn_gguf_f64(g, key, &d)) printf("%.9g", d);
    putchar('\n');
}

static void print_tensor(const nn_st_tensor *t)
{
    print_plain(t->name, strlen(t->name), 60);
    printf("%*s %-5s [", (int)(strlen(t->name) < 48 ? 48 - strlen(t->name) : 1), "", nn_dtype_name(t->type));
    for (size_t i = 0; i < t->n_dim; i++) printf("%s%zu", i > 0 ? ", " : "", t->dim[i]);
    puts("]");
}

static nn_status inspect_gguf(const char *path, bool keys_only, nn_err *err)
{
    nn_gguf *g = NULL;
    size_t weights = 0, bytes = 0;
    const nn_status st = nn_gguf_open(&g, path, err);
    if (st != NN_OK) return st;
    for (size_t i = 0; i < nn_gguf_keys(g); i++) {
        size_t len = 0;
        nn_gg_type type;
        const char *key = nn_gguf_key(g, i, &len, &type);
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(len < 255 ? len : 255), key);
        print_plain(name, strlen(name), 60);
        printf("%*s ", (int)(len < 48 ? 48 - len : 1), "");
        print_value(g, name, type);
    }
    for (size_t i = 0; i < nn_gguf_tensors(g); i++) {
        const nn_st_tensor *t = nn_gguf_tensor(g, i);
        weights += t->count;
        bytes += nn_dtype_bytes(t->type, t->count);
        if (!keys_only) print_tensor(t);
    }
    printf("%zu tensors, %zu weights, %zu bytes of data\n", nn_gguf_tensors(g), weights, bytes);
    nn_gguf_close(g);
    return NN_OK;
}

static nn_status inspect_safetensors(const char *path, bool keys_only, nn_err *err)
{
    nn_safetensors *f = NULL;
    size_t weights = 0;
    const nn_status st = nn_st_open(&f, path, err);
    if (st != NN_OK) return st;
    for (size_t i = 0; i < nn_st_count(f); i++) {
        if (!keys_only) print_tensor(nn_st_at(f, i));
        weights += nn_st_at(f, i)->count;
    }
    printf("%zu tensors, %zu weights\n", nn_st_count(f), weights);
    nn_st_close(f);
    return NN_OK;
}

static nn_status inspect_file(const char *path, bool keys_only, nn_err *err)
{
    nn_file f = {0};
    const nn_status st = nn_file_open(&f, path, err);
    if (st != NN_OK) return st;
    const bool gguf = f.len >= 4 && memcmp(f.bytes, "GGUF", 4) == 0;
    nn_file_close(&f);
    return gguf ? inspect_gguf(path, keys_only, err) : inspect_safetensors(path, keys_only, err);
}

static int inspect_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    char path[1024];
    nn_status st = cmd_parse(&line, &cmd_inspect, argc, argv, &err);
    if (st == NN_OK && line.n_word > 1) st = nn_fail(&err, NN_USAGE, "%zu files, want one", line.n_word);
    if (st == NN_OK) st = cmd_model_path(line.n_word == 1 ? line.word[0] : NULL, path, sizeof path, &err);
    if (st == NN_OK) st = inspect_file(path, cmd_given(&line, "--keys") != NULL, &err);
    return cmd_end("inspect", st, 0, &err);
}

const cmd_verb cmd_inspect = {"inspect", "[FILE]", "Prints the metadata and tensors of a GGUF or safetensors file.",
                              inspect_flags, inspect_main};
