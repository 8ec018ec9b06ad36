/* Tests that replay tests/corpus: every seed and every input that a fuzzer once found, through the target's own function
 * (fuzz.h), with any compiler. A file whose name begins with "ok" must open, one with "bad" must be refused. */
#include "nn/arena.h"
#include "nn/plat.h"
#include "tests/fuzz.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In a block of exactly its length, so that a sanitizer sees the end. */
static nn_status replay_file(const fuzz_target *t, const char *path, nn_err *err)
{
    size_t len = 0;
    char *read = read_bytes(path, &len);
    uint8_t *bytes = malloc(len ? len : 1);

    cr_assert(bytes != NULL);
    memcpy(bytes, read, len);
    free(read);
    const nn_status st = fuzz_once(t, bytes, len, err);
    free(bytes);
    return st;
}

static void replay(const char *name)
{
    char **file = NULL;
    size_t n = 0, good = 0;
    nn_err err = {NN_OK, ""};
    const char *dir = path_in("tests/corpus", name);
    const fuzz_target *t = fuzz_find(name);

    cr_assert(t != NULL, "no target %s", name);
    expect_ok(nn_dir_list(&file, &n, dir, &err), &err);
    for (size_t i = 0; i < n; i++) {
        const nn_status st = replay_file(t, path_in(dir, file[i]), &err);

        if (strncmp(file[i], "ok", 2) == 0) cr_expect(st == NN_OK, "%s/%s: %s", dir, file[i], err.text);
        if (strncmp(file[i], "bad", 3) == 0) cr_expect(st != NN_OK, "%s/%s: taken", dir, file[i]);
        good += st == NN_OK;
        nn_free(file[i]);
    }
    nn_free(file);
    cr_expect(n >= 3 && good >= 1, "%s: %zu files, %zu of them good", dir, n, good);
}

Test(fuzz_replay, answer) { replay("answer"); }
Test(fuzz_replay, answers) { replay("answers"); }
Test(fuzz_replay, csv) { replay("csv"); }
Test(fuzz_replay, gguf) { replay("gguf"); }
Test(fuzz_replay, guard) { replay("guard"); }
Test(fuzz_replay, hf_folder) { replay("hf_folder"); }
Test(fuzz_replay, json) { replay("json"); }
Test(fuzz_replay, jsonl) { replay("jsonl"); }
Test(fuzz_replay, llama2c) { replay("llama2c"); }
Test(fuzz_replay, lora) { replay("lora"); }
Test(fuzz_replay, model_gguf) { replay("model_gguf"); }
Test(fuzz_replay, safetensors) { replay("safetensors"); }
Test(fuzz_replay, tok_gguf) { replay("tok_gguf"); }
Test(fuzz_replay, tok_json) { replay("tok_json"); }
Test(fuzz_replay, tok_llama2c) { replay("tok_llama2c"); }
Test(fuzz_replay, tok_model) { replay("tok_model"); }

/* A folder without a target, or a target without seeds, would be a test that nobody runs. */
Test(fuzz_replay, every_folder_has_a_target_and_every_target_a_folder)
{
    char **dir = NULL;
    size_t n = 0, targets = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_dir_list(&dir, &n, "tests/corpus", &err), &err);
    for (size_t i = 0; i < n; i++) {
        cr_expect(fuzz_find(dir[i]) != NULL, "tests/corpus/%s has no target", dir[i]);
        nn_free(dir[i]);
    }
    nn_free(dir);
    while (fuzz_targets[targets].name) targets++;
    cr_expect(targets == n, "%zu targets, %zu folders", targets, n);
}
