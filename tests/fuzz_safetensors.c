/* fuzz_safetensors.c - a safetensors file, then every tensor and value of it.
 *
 * A mutation that changes the header's length meets its end at the first eight bytes, so that a refused input is tried
 * once more with the length its last brace suggests.
 */
#include "nn/arena.h"
#include "nn/safetensors.h"
#include "tests/fuzz.h"
#include <string.h>

static void look_up(const nn_safetensors *f)
{
    for (size_t i = 0; i < nn_st_count(f); i++) {
        const nn_st_tensor *t = nn_st_at(f, i);

        fuzz_must(nn_st_find(f, t->name) == t, "a tensor is found by its name");
        fuzz_tensor(t);
    }
    (void)nn_st_meta(f, "format");
    fuzz_must(nn_st_find(f, "no tensor has this name") == NULL, "nothing is found that is not there");
}

static nn_status open_and_look(const uint8_t *bytes, size_t len, nn_err *err)
{
    nn_safetensors *f = NULL;
    const nn_status st = nn_st_open_memory(&f, bytes, len, "x", err);

    fuzz_must((st == NN_OK) == (f != NULL), "an object exactly when it opens");
    if (f) look_up(f);
    nn_st_close(f);
    return st;
}

nn_status fuzz_safetensors(const uint8_t *bytes, size_t len, nn_err *err)
{
    const nn_status st = open_and_look(bytes, len, err);
    void *copy = NULL;
    size_t end = len;

    while (end > 8 && bytes[end - 1] != '}') end--;
    if (st == NN_OK || end <= 8 || nn_alloc(&copy, len, 1, NULL) != NN_OK) return st;
    uint8_t *mended = copy;
    memcpy(mended, bytes, len);
    for (size_t i = 0; i < 8; i++) mended[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i & 0xff);
    (void)open_and_look(mended, len, NULL);
    nn_free(copy);
    return st;
}
