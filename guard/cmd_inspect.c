/* cmd_inspect.c - parapet inspect: what a model on disk holds: configuration, tokenizer, memory, metadata, tensors.
 *
 * Reads: cmd_inspect.h.   Read next: cmd_inspect_model.c, cmd_inspect_print.c.
 * A file that we can read but not run still shows its metadata and tensors; then it is refused by what is wrong.
 */
#include "guard/cmd_inspect.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/safetensors.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag inspect_flags[] = {{"--keys", NULL, NULL, "no tensors"},
                                         {"--json", NULL, NULL, "one JSON object"},
                                         {NULL, NULL, NULL, NULL}};

static nn_status inspect_safetensors(inspection *r, const char *path, nn_err *err)
{
    nn_safetensors *f = NULL;
    inspect_sums sums = {0};
    const nn_status st = nn_st_open(&f, path, err);

    if (st != NN_OK) return st;
    inspect_text(r, "format", "safetensors");
    inspect_tensors_begin(r);
    for (size_t i = 0; i < nn_st_count(f); i++) inspect_tensor(r, nn_st_at(f, i), &sums);
    inspect_tensors_end(r, &sums);
    nn_st_close(f);
    return NN_OK;
}

/* The tokenizer of a model that we may not run, as reading it went; moves tok in. */
static void write_tokenizer(inspection *r, nn_tok *tok, nn_status st, const nn_err *err)
{
    inspect_begin(r, "tokenizer");
    if (st == NN_OK) inspect_tokenizer(r, tok);
    else inspect_text(r, "problem", err->text);
    inspect_end(r);
    nn_tok_free(tok);
}

static void write_gguf(inspection *r, const nn_gguf *g, const char *what)
{
    inspect_sums sums = {0};
    nn_tok *tok = NULL;
    nn_err err = {0};

    inspect_text(r, "format", what);
    const nn_status st = nn_tok_from_gguf(&tok, g, "the vocabulary", &err);
    write_tokenizer(r, tok, st, &err);
    inspect_metadata(r, g);
    inspect_tensors_begin(r);
    for (size_t i = 0; i < nn_gguf_tensors(g); i++) inspect_tensor(r, nn_gguf_tensor(g, i), &sums);
    inspect_tensors_end(r, &sums);
}

/* Ours say so; of the others, those that we run say more than their metadata. */
static nn_status inspect_gguf(inspection *r, const char *path, nn_err *err)
{
    nn_gguf *g = NULL;
    nn_pretrained *p = NULL;
    uint64_t version;
    nn_status st = nn_gguf_open(&g, path, err);

    if (st != NN_OK) return st;
    if (nn_gguf_u64(g, "guard.version", &version)) write_gguf(r, g, "GGUF, a guard of parapet");
    else if (nn_gguf_u64(g, "generator.version", &version)) write_gguf(r, g, "GGUF, the generator of a run");
    else if ((st = nn_pretrained_open(&p, path, err)) == NN_OK) st = inspect_pretrained(r, p, err);
    else write_gguf(r, g, "GGUF");
    nn_pretrained_close(p);
    nn_gguf_close(g);
    return st;
}

/* The tensors of every .safetensors file of a folder, in the order of their names. */
static nn_status folder_tensors(inspection *r, const char *path, nn_err *err)
{
    inspect_sums sums = {0};
    char **name = NULL;
    size_t n = 0;
    nn_status st = nn_dir_list(&name, &n, path, err);

    inspect_tensors_begin(r);
    for (size_t i = 0; i < n; i++) {
        static const char tail[] = ".safetensors";
        const size_t len = strlen(name[i]);
        nn_safetensors *f = NULL;
        char file[1400];

        snprintf(file, sizeof file, "%s/%s", path, name[i]);
        if (st == NN_OK && len >= sizeof tail && strcmp(name[i] + len - sizeof tail + 1, tail) == 0)
            st = nn_st_open(&f, file, err);
        for (size_t k = 0; f && k < nn_st_count(f); k++) inspect_tensor(r, nn_st_at(f, k), &sums);
        nn_st_close(f);
        nn_free(name[i]);
    }
    inspect_tensors_end(r, &sums);
    nn_free(name);
    return st;
}

static nn_status inspect_folder(inspection *r, const char *path, nn_err *err)
{
    nn_pretrained *p = NULL;
    nn_status st = nn_pretrained_open(&p, path, err);

    if (st == NN_OK) {
        st = inspect_pretrained(r, p, err);
    } else {
        nn_tok *tok = NULL;
        nn_err problem = {0};
        inspect_text(r, "format", "folder");
        const nn_status read = nn_tok_open(&tok, path, 0, &problem);
        write_tokenizer(r, tok, read, &problem);
        inspect_config_json(r, path);
        const nn_status tensors = folder_tensors(r, path, NULL);
        if (tensors != NN_OK) inspect_text(r, "problem", "a file of weights that cannot be read");
    }
    nn_pretrained_close(p);
    return st;
}

static nn_status inspect_path(inspection *r, const char *path, nn_err *err)
{
    nn_file f = {0};
    nn_pretrained *p = NULL;
    char inside[1200];

    snprintf(inside, sizeof inside, "%s/.", path);
    if (nn_path_exists(inside)) return inspect_folder(r, path, err);
    nn_status st = nn_file_open(&f, path, err);
    if (st != NN_OK) return st;
    const bool gguf = f.len >= 4 && memcmp(f.bytes, "GGUF", 4) == 0;
    const bool safetensors = f.len > 8 && f.bytes[8] == '{';
    nn_file_close(&f);
    if (gguf) return inspect_gguf(r, path, err);
    if (safetensors) return inspect_safetensors(r, path, err);
    st = nn_pretrained_open(&p, path, err);
    if (st == NN_OK) st = inspect_pretrained(r, p, err);
    nn_pretrained_close(p);
    return st;
}

/* What was read of a file is shown even when it is refused. */
static nn_status inspect(const char *path, const cmd_line *line, nn_err *err)
{
    inspection r = {.json = cmd_given(line, "--json") != NULL, .keys_only = cmd_given(line, "--keys") != NULL};
    nn_err refused = {0};

    if (r.json) guard_buf_str(&r.out, "{");
    if (r.json) inspect_u64(&r, "version", 1);
    inspect_str(&r, "path", path, strlen(path));
    const size_t begun = r.out.len;
    nn_status st = inspect_path(&r, path, &refused);
    const bool any = r.out.len > begun;
    if (st != NN_OK) nn_fail(err, st, "%s", refused.text);
    if (st != NN_OK && r.json) inspect_text(&r, "refused", refused.text);
    if (r.json) guard_buf_str(&r.out, "}\n");
    if (st == NN_OK) st = guard_buf_status(&r.out, err);
    if (any && guard_buf_status(&r.out, NULL) == NN_OK) fwrite(r.out.bytes, 1, r.out.len, stdout);
    guard_buf_free(&r.out);
    return st;
}

static int inspect_main(int argc, char **argv)
{
    cmd_line line;
    nn_err err = {0};
    char path[1024];
    nn_status st = cmd_parse(&line, &cmd_inspect, argc, argv, &err);

    if (st == NN_OK && line.n_word > 1) st = nn_fail(&err, NN_USAGE, "%zu files, want one", line.n_word);
    if (st == NN_OK) st = cmd_model_path(line.n_word == 1 ? line.word[0] : NULL, path, sizeof path, &err);
    if (st == NN_OK) st = inspect(path, &line, &err);
    return cmd_end("inspect", st, 0, &err);
}

const cmd_verb cmd_inspect = {"inspect", "[FILE | FOLDER]",
                              "Prints what a model on disk holds: configuration, tokenizer, memory, metadata, tensors.",
                              inspect_flags, inspect_main};
