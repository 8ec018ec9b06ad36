/* fuzz.h - what a hostile file is held against: one function a format, and what must be true of each input.
 *
 * Read next: fuzz.c (the rules), fuzz_<format>.c (one a format), fuzz_main.c (libFuzzer's entry), test_fuzz_replay.c.
 * A target does what a user's open does and then uses what it got: looks everything up, encodes, decodes, computes.
 * It returns the status of the open; what it finds wrong by itself ends the process (fuzz_must).
 * Why one table for the fuzzer and for the tests: an input that the fuzzer found is a test the moment its file lies in
 * tests/corpus/<format>, with any compiler and without libFuzzer.
 * Threads: none; the scratch files are the process' own.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H
#include "nn/exec.h"
#include "nn/safetensors.h"
#include "nn/tok.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *name; /* also its folder below tests/corpus */
    nn_status (*use)(const uint8_t *bytes, size_t len, nn_err *err);
    /* Bytes that opening may ask for: `base`, and `per_byte` for each byte of the input. About twice what the hungriest
     * seed needs, so that what a file merely claims shows. */
    uint64_t base, per_byte;
} fuzz_target;

extern const fuzz_target fuzz_targets[]; /* ends with a NULL name */
const fuzz_target *fuzz_find(const char *name); /* NULL: none */

/* One input: the target, and what holds for every one. A refusal has a status of its own kind and a sentence; nothing
 * is allocated because it is claimed. Returns the target's status. */
nn_status fuzz_once(const fuzz_target *t, const uint8_t *bytes, size_t len, nn_err *err);

/* For targets: the file is open; what is asked for from here on is its user's choice. */
void fuzz_opened(void);
/* Ends the process with the sentence when `what` is false. */
void fuzz_must(bool what, const char *sentence);
/* The bytes as a file or, below a folder of this process alone, under a name; the path stays valid until the next call
 * with that name. */
const char *fuzz_file(const char *name, const uint8_t *bytes, size_t len);
const char *fuzz_folder(void);
void fuzz_forget(const char *name); /* no such file any more */
/* Part i of an input that stands for several files, a line of FUZZ_SEPARATOR between two; NULL: there are fewer. */
#define FUZZ_SEPARATOR "\n====\n"
const uint8_t *fuzz_part(const uint8_t *bytes, size_t len, size_t i, size_t *part_len);
/* The same as a file of the folder, or no such file when part is NULL; a safetensors file whose header's length is not to
 * be believed gets another one. */
void fuzz_put_part(const char *name, const uint8_t *part, size_t n);
/* One thread, sequences of at most max_t; opened once a process. */
const nn_exec *fuzz_exec(size_t max_t);
/* Encodes, decodes and streams a fixed text and the end of the input. */
void fuzz_tok_use(const nn_tok *t, const uint8_t *bytes, size_t len);
/* The numbers of a tensor: what is called finite is, and nothing else. */
void fuzz_tensor(const nn_st_tensor *t);
/* A number between 0 and n - 1 that depends on the input and on `salt` only. */
size_t fuzz_pick(const uint8_t *bytes, size_t len, uint32_t salt, size_t n);

/* --- the targets, in alphabetical order ------------------------------------------------------- */
nn_status fuzz_answer(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_answers(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_csv(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_gguf(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_guard(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_json(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_jsonl(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_lora(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_model_file(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_model_folder(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_safetensors(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_tok_gguf(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_tok_json(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_tok_llama2c(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_tok_model(const uint8_t *bytes, size_t len, nn_err *err);
nn_status fuzz_tok_parts(const uint8_t *bytes, size_t len, nn_err *err);
#endif
