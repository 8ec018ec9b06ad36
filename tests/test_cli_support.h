/* test_cli_support.h - running build/parapet as a user would, and Lua hosts inside the test's own process.
 *
 * The program is $PARAPET_BIN (tests/run.sh sets it); without it the test is skipped. Programs run in the repository root.
 */
#ifndef TESTS_TEST_CLI_SUPPORT_H
#define TESTS_TEST_CLI_SUPPORT_H
#include "nn/err.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int status;       /* exit status; 128 + signal when a signal ended it */
    char *out, *err;  /* what it wrote, a zero byte after it; live until the test ends */
    size_t out_len;
    double seconds;
} cli_result;

typedef struct {
    const char *in; /* bytes of standard input; NULL: none */
    size_t in_len;
    const char *out; /* file that standard output goes to instead; cli_result's is then empty */
    const char *model; /* value of PARAPET_MODEL; NULL: unset */
    int signal;        /* sent after `after` seconds, `times` times, a tenth of a second apart */
    int times;
    double after;
} cli_options;

/* Runs the program with the arguments (NULL ends them); o may be NULL. Killed after five minutes. */
cli_result cli_run(const cli_options *o, const char *const *arg);
#define CLI(options, ...) cli_run((options), (const char *const[]){__VA_ARGS__, NULL})
void expect_status(const cli_result *r, int status); /* fails with what it said on stderr */
void expect_says(const char *text, const char *part); /* fails unless text contains part */

/* A fresh folder with a copy of scripts/ and, as scripts/NAME, of the file `extra` (NULL: none). Its path. */
const char *copy_scripts(const char *extra, const char *name);

/* Runs a script with `--set set` on one thread, on two, and stopped by SIGINT about `after` seconds into it (sooner when it
 * was done by then) and resumed: all three have one identity, and the first passes audit. Returns what the first printed;
 * *dir (may be NULL): its folder. */
cli_result expect_same_however_run(const char *script, const char *set, double after, const char **dir);

/* A finished run of scripts/experiments/00_small.lua, made once for all tests of one `make test`, and its guard. */
const char *small_run(void);
const char *small_guard(void);
const char *small_table(void); /* what that run printed */

/* Runs a script's text in a fresh host of this process, in the plan pass. */
nn_status host_try(const char *script, nn_err *err);
/* The same for the text followed by a call of parapet.run with the smallest taxonomy. */
nn_status host_try_run(const char *script, nn_err *err);
#endif
