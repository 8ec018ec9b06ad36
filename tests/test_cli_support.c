#include "tests/test_cli_support.h"
#include "tests/test_run_support.h"
#include "guard/lua/host.h"
#include "tests/support.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_SECONDS 300.0

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void nap(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&t, NULL);
}

static void redirect(int fd, const char *path, int flags)
{
    const int file = open(path, flags, 0600);

    if (file < 0 || dup2(file, fd) < 0) _exit(99);
    close(file);
}

/* In the child: never returns. */
static void become(const char *bin, const char *const *arg, const cli_options *o, const char *in, const char *out,
                   const char *err)
{
    const char *argv[300] = {"parapet"};

    for (size_t i = 0; arg[i] && i + 2 < sizeof argv / sizeof *argv; i++) argv[i + 1] = arg[i];
    redirect(0, in, O_RDONLY);
    redirect(1, out, O_WRONLY | O_CREAT | O_TRUNC);
    redirect(2, err, O_WRONLY | O_CREAT | O_TRUNC);
    if (o->model) setenv("PARAPET_MODEL", o->model, 1);
    else unsetenv("PARAPET_MODEL");
    execv(bin, (char *const *)(size_t)argv);
    _exit(98);
}

/* Waits, sending the signals that were asked for. */
static int wait_for(pid_t child, const cli_options *o, double started)
{
    int sent = 0, status = 0;

    while (waitpid(child, &status, WNOHANG) == 0) {
        const double t = now() - started;

        if (sent < o->times && t >= o->after + 0.1 * sent) {
            kill(child, o->signal);
            sent++;
        }
        if (t > LIMIT_SECONDS) kill(child, SIGKILL);
        nap(0.002);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The bytes of a file, kept until the test's process ends, where the leak checker sees them. */
static char *kept_bytes(const char *path, size_t *len)
{
    struct link {
        struct link *before;
        char *bytes;
    };
    static struct link *newest = NULL;
    struct link *l = calloc(1, sizeof *l);

    cr_assert(l != NULL);
    l->before = newest;
    l->bytes = read_bytes(path, len);
    newest = l;
    return l->bytes;
}

cli_result cli_run(const cli_options *o, const char *const *arg)
{
    static const cli_options none;
    const char *bin = getenv("PARAPET_BIN"), *dir = temp_dir();
    const char *in = path_in(dir, "in"), *out = path_in(dir, "out"), *err = path_in(dir, "err");
    cli_result r = {0, NULL, NULL, 0, 0.0};

    if (!bin || access(bin, X_OK) != 0) skip_test("PARAPET_BIN names no program");
    if (!o) o = &none;
    write_bytes(in, o->in ? o->in : "", o->in ? o->in_len : 0);
    write_text(out, "");
    const double started = now();
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) become(bin, arg, o, in, o->out ? o->out : out, err);
    r.status = wait_for(child, o, started);
    r.seconds = now() - started;
    r.out = kept_bytes(out, &r.out_len);
    r.err = kept_bytes(err, NULL);
    return r;
}

void expect_status(const cli_result *r, int status)
{
    cr_expect(r->status == status, "exit status %d, want %d; it said: %.600s", r->status, status, r->err);
}

void expect_says(const char *text, const char *part)
{
    cr_expect(strstr(text, part) != NULL, "\"%.600s\" lacks \"%s\"", text, part);
}

const char *copy_scripts(const char *extra, const char *name)
{
    const char *dir = temp_dir();
    char command[2200], *text = NULL;
    size_t len = 0;

    snprintf(command, sizeof command, "cp -R scripts '%s/scripts'", dir);
    cr_assert(system(command) == 0);
    if (!extra) return dir;
    text = read_bytes(extra, &len);
    snprintf(command, sizeof command, "scripts/%s", name);
    write_bytes(path_in(dir, command), text, len);
    free(text);
    return dir;
}

/* --- one small run for all tests ---------------------------------------------------------------- */

static const char *shared_dir(void)
{
    const char *root = getenv("TMPDIR");
    char name[64];

    snprintf(name, sizeof name, "parapet-small-%ld", (long)getppid()); /* of the runner: one a test run */
    return path_in(root && root[0] ? root : "/tmp", name);
}

const char *small_run(void)
{
    const char *dir = shared_dir(), *run = path_in(dir, "run"), *done = path_in(dir, "table");

    (void)mkdir(dir, 0700);
    const int lock = open(path_in(dir, "lock"), O_RDWR | O_CREAT, 0600);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    if (access(done, R_OK) != 0) {
        const cli_result r = CLI(NULL, "run", "scripts/experiments/00_small.lua", "--out", run, "--resume", "--quiet");

        cr_assert(r.status == 0, "00_small.lua: exit status %d: %.600s", r.status, r.err);
        write_bytes(done, r.out, r.out_len);
    }
    close(lock);
    return run;
}

const char *small_guard(void)
{
    return path_in(small_run(), "guard.gguf");
}

const char *small_table(void)
{
    (void)small_run();
    return kept_bytes(path_in(shared_dir(), "table"), NULL);
}

/* --- hosts ---------------------------------------------------------------------------------------- */

nn_status host_try(const char *script, nn_err *err)
{
    const char *path = path_in(temp_dir(), "script.lua");
    const host_options o = {.script = path, .planning = true, .threads = 1};
    lua_host h;

    write_text(path, script);
    nn_status st = lua_host_open(&h, &o, err);
    if (st == NN_OK) st = lua_host_run(&h, err);
    lua_host_close(&h);
    return st;
}

nn_status host_try_run(const char *script, nn_err *err)
{
    static const char run[] =
        "\nparapet.run{ taxonomy = {{ name = 'a', domain = 'd', severity = 1, definition = 'one' }} }\n";
    char *all = malloc(strlen(script) + sizeof run);

    cr_assert(all != NULL);
    strcpy(all, script);
    strcat(all, run);
    const nn_status st = host_try(all, err);
    free(all);
    return st;
}

/* --- one script, run in three ways ---------------------------------------------------------------------------- */

/* A folder of a run that a signal stopped before its end. */
static const char *stopped_run(const char *script, const char *set, double after)
{
    for (int tries = 0; tries < 6; tries++, after /= 2) {
        const char *dir = path_in(temp_dir(), "run");
        const cli_options interrupt = {.signal = SIGINT, .times = 1, .after = after};
        const cli_result r = CLI(&interrupt, "run", script, "--set", set, "--out", dir);

        if (r.status == 130) return dir;
        cr_assert_eq(r.status, 0, "%d: %s", r.status, r.err);
    }
    cr_assert_fail("%s: done before it could be stopped", script);
    return NULL;
}

cli_result expect_same_however_run(const char *script, const char *set, double after, const char **dir)
{
    const char *one = path_in(temp_dir(), "run"), *two = path_in(temp_dir(), "run");
    const cli_result first = CLI(NULL, "run", script, "--set", set, "--out", one, "--threads", "1");
    char id[3][65];

    expect_status(&first, 0);
    cli_result r = CLI(NULL, "run", script, "--set", set, "--out", two, "--threads", "2");
    expect_status(&r, 0);
    const char *stopped = stopped_run(script, set, after);
    r = CLI(NULL, "run", script, "--set", set, "--out", stopped, "--resume");
    expect_status(&r, 0);
    identity_of(id[0], one);
    identity_of(id[1], two);
    identity_of(id[2], stopped);
    cr_expect_str_eq(id[0], id[1]);
    cr_expect_str_eq(id[0], id[2]);
    r = CLI(NULL, "audit", one);
    expect_status(&r, 0);
    if (dir) *dir = one;
    return first;
}
