/* Tests of GGUF files written in pieces: the bytes of a file that was made whole, nothing left of one that failed. */
#include "nn/arena.h"
#include "nn/gguf.h"
#include "nn/plat.h"
#include "nn/quantize.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5003, COLS = 96 }; /* two pieces and a part of one, in F32 */

static float *numbers(void)
{
    float *x = malloc(sizeof *x * ROWS * COLS);
    nn_rng rng = nn_rng_at(1, "later", 0);

    cr_assert(x != NULL);
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++) x[i] = nn_rng_float(&rng) - 0.5f;
    return x;
}

static nn_status copy_rows(void *ctx, float *out, size_t first, size_t n, nn_err *err)
{
    const float *x = ctx;

    (void)err;
    memcpy(out, x + first * COLS, n * COLS * sizeof *out);
    return NN_OK;
}

/* made: rows of the F16 tensor are made when they are written. */
static nn_gguf_writer *writer(float *x, bool later, bool made)
{
    static const unsigned char blocks[3 * 18] = {1, 2, 3};
    static int8_t panels[16 * 8];
    nn_gguf_writer *w = NULL;

    expect_ok(nn_gguf_writer_build(&w, NULL), NULL);
    if (later) nn_gguf_put_later(w);
    nn_gguf_put_str(w, "general.architecture", "none");
    nn_gguf_put_alignment(w, 64);
    nn_gguf_put_tensor(w, "a", NN_F32, x, ROWS, COLS);
    nn_gguf_put_tensor(w, "b", NN_Q8_0, x, ROWS, COLS);
    nn_gguf_put_tensor(w, "c", NN_F32, x, 0, 7);
    nn_gguf_put_stored(w, "d", NN_Q4_0, blocks, 3, 32);
    nn_gguf_put_i8(w, "e", panels, 3, 7);
    if (made) nn_gguf_put_rows(w, "f", NN_F16, copy_rows, x, ROWS, COLS);
    else nn_gguf_put_tensor(w, "f", NN_F16, x, ROWS, COLS);
    nn_gguf_put_tensor(w, "g", NN_Q4_0, x, 5, 32);
    return w;
}

Test(gguf_later, a_file_in_pieces_has_the_bytes_of_one_made_whole)
{
    const char *whole = path_in(temp_dir(), "whole.gguf"), *pieces = path_in(temp_dir(), "pieces.gguf");
    float *x = numbers();
    char a[65], b[65], c[65];
    size_t len = 0;
    nn_err err = {NN_OK, ""};
    nn_gguf_writer *w = writer(x, false, false);

    expect_ok(nn_gguf_save_hashed(w, whole, a, &err), &err);
    nn_gguf_writer_free(w);
    char *bytes = read_bytes(whole, &len);
    nn_sha256_hex(bytes, len, c);
    cr_expect_str_eq(a, c);
    for (int made = 0; made < 2; made++) {
        w = writer(x, true, made);
        expect_ok(nn_gguf_save_hashed(w, pieces, b, &err), &err);
        nn_gguf_writer_free(w);
        cr_expect_str_eq(b, a);
        cr_expect(bytes_equal_file(pieces, bytes, len));
    }
    free(bytes);
    free(x);
}

static nn_status made_up_rows(void *ctx, float *out, size_t first, size_t n, nn_err *err)
{
    (void)ctx;
    (void)err;
    for (size_t i = 0; i < n * COLS; i++) out[i] = (float)(first % 7) - 3.0f;
    return NN_OK;
}

Test(gguf_later, little_is_allocated_for_much)
{
    const char *path = path_in(temp_dir(), "pieces.gguf");
    nn_gguf_writer *w = NULL;
    uint64_t asked = 0, bytes = 0;

    nn_alloc_watch(&asked);
    expect_ok(nn_gguf_writer_build(&w, NULL), NULL);
    nn_gguf_put_later(w);
    nn_gguf_put_rows(w, "weight", NN_F16, made_up_rows, NULL, 40000, COLS);
    expect_ok(nn_gguf_save(w, path, NULL), NULL);
    nn_gguf_writer_free(w);
    nn_alloc_watch(NULL);
    expect_ok(nn_file_size(path, &bytes, NULL), NULL);
    cr_expect(bytes > 7u << 20 && asked < 4u << 20, "%llu bytes for %llu", (unsigned long long)asked,
              (unsigned long long)bytes); /* a piece of 1 MiB and its floats */
}

Test(gguf_later, what_is_no_number_is_refused_and_leaves_no_file)
{
    const char *path = path_in(temp_dir(), "pieces.gguf");
    float *x = numbers();

    x[4000 * COLS + 3] = NAN;
    for (int made = 0; made < 2; made++) {
        nn_gguf_writer *w = NULL;
        nn_err err = {NN_OK, ""};

        expect_ok(nn_gguf_writer_build(&w, NULL), NULL);
        nn_gguf_put_later(w);
        if (made) nn_gguf_put_rows(w, "weight", NN_Q8_0, copy_rows, x, ROWS, COLS);
        else nn_gguf_put_tensor(w, "weight", NN_Q8_0, x, ROWS, COLS);
        expect_fails(nn_gguf_save(w, path, &err), NN_CONTENT, &err, "tensor weight: holds a NaN or an infinity");
        nn_gguf_writer_free(w);
    }
    cr_expect(!nn_path_exists(path));
    free(x);
}

Test(gguf_later, each_failed_allocation_is_reported)
{
    const char *path = path_in(temp_dir(), "pieces.gguf");
    float *x = numbers();
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        nn_gguf_writer *w = NULL;

        nn_alloc_fail_at(n);
        if ((st = nn_gguf_writer_build(&w, NULL)) == NN_OK) {
            nn_gguf_put_later(w);
            nn_gguf_put_str(w, "general.architecture", "none");
            nn_gguf_put_tensor(w, "a", NN_Q8_0, x, ROWS, COLS);
            nn_gguf_put_rows(w, "b", NN_F16, copy_rows, x, ROWS, COLS);
            st = nn_gguf_save(w, path, NULL);
        }
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld: %d", n, (int)st);
        if (nn_path_exists(path)) { /* the last allocation is for its folder's sake: it is whole */
            nn_gguf *g = NULL;
            expect_ok(nn_gguf_open(&g, path, NULL), NULL);
            nn_gguf_close(g);
        }
        nn_gguf_writer_free(w);
    }
    free(x);
}
