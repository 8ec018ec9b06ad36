/* support.h - what several tests need: closeness with the worst index, fixtures, scratch files.
 *
 * Why: a test should read as its sentence. Everything here either works or fails the running test.
 * Fixtures live in $PARAPET_SHARED/fixtures (default ../shared/fixtures beside the repository); a
 * test whose fixture is missing says "skip: ..." on stderr and is counted as skipped.
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H
#include "nn/err.h"
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>

/* Fails unless |got[i] - want[i]| <= tol * max(1, |want[i]|) for all i; names the worst i. NaN fails. */
void expect_close(const char *name, const float *got, const float *want, size_t n, double tol);
void expect_close_double(const char *name, const double *got, const double *want, size_t n, double tol);
/* Fails unless the bytes are equal; names the first element that differs. */
void expect_same_floats(const char *name, const float *got, const float *want, size_t n);
/* Fails with the error's own sentence unless status is NN_OK. */
void expect_ok(nn_status status, const nn_err *err);
/* Fails unless status is `want` and err's text contains `part`. */
void expect_fails(nn_status status, nn_status want, const nn_err *err, const char *part);

/* Path of a file below the shared folder: "fixtures/llama2xs/config.json". Paths stay valid until the test ends. */
const char *shared_path(const char *name);
void skip_unless_fixture(const char *name); /* same names; ends the test when the file is absent */
void skip_test(const char *why);            /* prints, counts, ends the test */

/* A fresh folder of this call alone, removed by the next run of the tests. */
const char *temp_dir(void);
const char *path_in(const char *dir, const char *name); /* "dir/name" */
void write_bytes(const char *path, const void *bytes, size_t len);
void write_text(const char *path, const char *text);
char *read_bytes(const char *path, size_t *len); /* zero byte after the end; free() it; len may be NULL */
bool bytes_equal_file(const char *path, const void *bytes, size_t len);
#endif
