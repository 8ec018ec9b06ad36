/* fuzz_main.c - libFuzzer's entry. $PARAPET_FUZZ names the target; `make fuzz` sets it. Not part of the tests. */
#include "tests/fuzz.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    target = fuzz_find(getenv("PARAPET_FUZZ"));
    if (target) return 0;
    fprintf(stderr, "PARAPET_FUZZ names no target; want one of\n");
    for (const fuzz_target *t = fuzz_targets; t->name; t++) fprintf(stderr, "  %s\n", t->name);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    nn_err err;

    (void)fuzz_once(target, bytes, len, &err);
    return 0;
}
