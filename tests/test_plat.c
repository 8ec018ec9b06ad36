/* Tests of nn/plat.h: files appear whole or not at all, errors name object and reason, signals stop in two steps. */
#include "nn/plat.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static size_t count_names(const char *dir)
{
    char **names;
    size_t n;

    expect_ok(nn_dir_list(&names, &n, dir, NULL), NULL);
    for (size_t i = 0; i < n; i++) nn_free(names[i]);
    nn_free(names);
    return n;
}

Test(plat, files_small_large_and_empty_open_with_their_bytes)
{
    static const size_t sizes[] = {0, 1, 65536, 65537, 300000};
    static unsigned char bytes[300000];
    const char *dir = temp_dir();

    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 31 + i / 251);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        nn_err err = {NN_OK, ""};
        nn_file mapped, owned;
        const char *path = path_in(dir, "f");

        expect_ok(nn_file_write(path, bytes, sizes[s], &err), &err);
        expect_ok(nn_file_open(&mapped, path, &err), &err);
        expect_ok(nn_file_read(&owned, path, sizeof bytes, &err), &err);
        cr_expect(mapped.len == sizes[s] && owned.len == sizes[s]);
        cr_expect((mapped.map != NULL) == (sizes[s] > 65536));
        cr_expect(sizes[s] == 0 || memcmp(mapped.bytes, bytes, sizes[s]) == 0);
        cr_expect(sizes[s] == 0 || memcmp(owned.bytes, bytes, sizes[s]) == 0);
        nn_file_close(&mapped);
        nn_file_close(&mapped);
        nn_file_close(&owned);
    }
}

Test(plat, read_refuses_more_than_its_limit)
{
    nn_err err = {NN_OK, ""};
    nn_file f;
    const char *path = path_in(temp_dir(), "f");

    write_text(path, "0123456789");
    expect_fails(nn_file_read(&f, path, 9, &err), NN_LIMIT, &err, "f: 10 bytes, want at most 9");
    cr_expect(f.bytes == NULL && f.owned == NULL);
    expect_ok(nn_file_read(&f, path, 10, NULL), NULL);
    nn_file_close(&f);
    err.status = NN_OK;
    expect_fails(nn_file_read(&f, "/dev/zero", 100000, &err), NN_LIMIT, &err, "longer than 100000 bytes");
}

Test(plat, missing_files_and_folders_are_named)
{
    nn_file f;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_file_open(&f, "/nowhere/model.gguf", &err), NN_FILE, &err, "/nowhere/model.gguf: cannot open: No such");
    err.status = NN_OK;
    expect_fails(nn_file_open(&f, "/tmp", &err), NN_FILE, &err, "/tmp: is a folder, want a file");
    err.status = NN_OK;
    expect_fails(nn_file_write("/nowhere/x", "x", 1, &err), NN_FILE, &err, "/nowhere/x: cannot create");
}

Test(plat, write_replaces_whole_and_leaves_nothing_beside)
{
    nn_err err = {NN_OK, ""};
    const char *dir = temp_dir(), *path = path_in(dir, "f");

    expect_ok(nn_file_write(path, "old", 3, &err), &err);
    expect_ok(nn_file_write(path, "new bytes", 9, &err), &err);
    cr_expect(bytes_equal_file(path, "new bytes", 9));
    cr_expect_eq(count_names(dir), 1u);

    cr_assert(mkdir(path_in(dir, "d"), 0700) == 0);
    expect_fails(nn_file_write(path_in(dir, "d"), "x", 1, &err), NN_FILE, &err, "cannot replace");
    cr_expect_eq(count_names(dir), 2u);
}

/* What /dev/stdout is where output goes to a file: as root a rename would replace it. */
Test(plat, a_link_to_an_open_file_is_not_replaced)
{
    const char *dir = temp_dir(), *file = path_in(dir, "file"), *link = path_in(dir, "stdout");
    char to[64];
    struct stat info;
    nn_err err = {NN_OK, ""};
    FILE *f = fopen(file, "w");

    cr_assert(f != NULL);
    snprintf(to, sizeof to, "/proc/self/fd/%d", fileno(f));
    cr_assert(symlink(to, link) == 0);
    if (stat(link, &info) != 0) skip_test("no /proc/self/fd");
    expect_fails(nn_file_write(link, "x", 1, &err), NN_FILE, &err, "stdout: leads to a file that another name has");
    cr_expect(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    cr_expect_eq(count_names(dir), 2);
    fclose(f);
}

Test(plat, a_full_disk_is_a_limit)
{
    nn_err err = {NN_OK, ""};

    expect_fails(nn_file_write("/dev/full", "x", 1, &err), NN_LIMIT, &err, "/dev/full: cannot write: No space");
    err.status = NN_OK;
    expect_fails(nn_file_append("/dev/full", "x", 1, &err), NN_LIMIT, &err, "cannot write");
}

Test(plat, append_and_truncate_keep_lengths)
{
    nn_err err = {NN_OK, ""};
    const char *path = path_in(temp_dir(), "ledger");
    uint64_t len = 0;

    expect_ok(nn_file_append(path, "one\n", 4, &err), &err);
    expect_ok(nn_file_append(path, "two\n", 4, &err), &err);
    expect_ok(nn_file_size(path, &len, &err), &err);
    cr_expect(len == 8);
    expect_ok(nn_file_truncate(path, 4, &err), &err);
    cr_expect(bytes_equal_file(path, "one\n", 4));
    expect_fails(nn_file_truncate(path, 5, &err), NN_FILE, &err, "4 bytes, want at least 5");
}

Test(plat, folders_are_made_with_parents_and_listed_in_order)
{
    nn_err err = {NN_OK, ""};
    const char *dir = temp_dir(), *deep = path_in(dir, "a/b//c/");
    char **names;
    size_t n;

    cr_expect(nn_dir_empty(dir) && nn_dir_empty(path_in(dir, "absent")));
    expect_ok(nn_dir_make(deep, &err), &err);
    expect_ok(nn_dir_make(deep, &err), &err);
    cr_expect(nn_path_exists(deep) && !nn_dir_empty(dir));
    write_text(path_in(dir, "a/b/\xc3\xa9"), "");
    write_text(path_in(dir, "a/b/Z"), "");
    write_text(path_in(dir, "a/b/10"), "");
    expect_ok(nn_dir_list(&names, &n, path_in(dir, "a/b"), &err), &err);
    cr_assert_eq(n, 4u);
    cr_expect_str_eq(names[0], "10");
    cr_expect_str_eq(names[1], "Z");
    cr_expect_str_eq(names[2], "c");
    cr_expect_str_eq(names[3], "\xc3\xa9");
    for (size_t i = 0; i < n; i++) nn_free(names[i]);
    nn_free(names);
    expect_fails(nn_dir_make(path_in(dir, "a/b/Z/x"), &err), NN_FILE, &err, "Z");
}

Test(plat, real_paths_have_no_links_and_no_dots)
{
    nn_err err = {NN_OK, ""};
    char want[1024], got[1024];
    const char *dir = temp_dir();

    expect_ok(nn_dir_make(path_in(dir, "a/b"), &err), &err);
    cr_assert(symlink("a/b", path_in(dir, "link")) == 0);
    expect_ok(nn_path_real(path_in(dir, "a/b"), want, sizeof want, &err), &err);
    expect_ok(nn_path_real(path_in(dir, "link/../b/."), got, sizeof got, &err), &err);
    cr_expect_str_eq(got, want);
    expect_fails(nn_path_real(path_in(dir, "a/b"), got, 5, &err), NN_LIMIT, &err, "want below 5");
    err.status = NN_OK;
    expect_fails(nn_path_real(path_in(dir, "none"), got, sizeof got, &err), NN_FILE, &err, "none: cannot resolve");
}

/* Runs each builder with allocation 0, 1, 2, ... failing until it succeeds. */
Test(plat, every_failed_allocation_is_reported_and_cleaned_up)
{
    const char *dir = temp_dir(), *path = path_in(dir, "f");
    size_t failures = 0;

    for (long n = 0;; n++) {
        nn_err err = {NN_OK, ""};
        nn_file f = {NULL, 0, NULL, NULL};
        char **names = NULL;
        size_t count = 0;

        nn_alloc_fail_at(n);
        nn_status st = nn_dir_make(path_in(dir, "x/y"), &err);
        if (st == NN_OK) st = nn_file_write(path, "abc", 3, &err);
        if (st == NN_OK) st = nn_file_open(&f, path, &err);
        if (st == NN_OK) st = nn_dir_list(&names, &count, dir, &err);
        nn_alloc_fail_at(-1);
        nn_file_close(&f);
        for (size_t i = 0; i < count; i++) nn_free(names[i]);
        nn_free(names);
        if (st == NN_OK) break;
        cr_assert(st == NN_LIMIT && err.status == NN_LIMIT, "allocation %ld: %s", n, err.text);
        failures++;
    }
    cr_expect(failures == 7, "%zu allocations failed", failures);
    cr_expect_eq(count_names(dir), 2u, "nothing lies beside");
}

Test(plat, clocks_and_machine_facts_are_sane)
{
    char now[32], dir[1024];
    const double start = nn_now_s();

    cr_expect(nn_now_s() >= start);
    nn_time_utc(now);
    cr_expect(strlen(now) == 20 && now[10] == 'T' && now[19] == 'Z', "%s", now);
    cr_expect(nn_cpu_count() >= 1);
    cr_expect(nn_peak_rss_bytes() > 100000);
    cr_expect(nn_exe_dir(dir, sizeof dir) && nn_path_exists(path_in(dir, "test_all")));
    cr_expect(!nn_exe_dir(dir, 4));
}

/* A child that installs the handlers, raises `times` SIGTERM and leaves with 7 if it still lives. */
static int status_after_signals(int times)
{
    int status = 0;
    const pid_t child = fork();

    if (child == 0) {
        nn_stop_install();
        raise(SIGPIPE);
        for (int i = 0; i < times; i++) raise(SIGTERM);
        _exit(nn_stop_signal() == (times ? SIGTERM : 0) ? 7 : 8);
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

Test(plat, the_first_signal_asks_and_the_second_ends)
{
    int status = status_after_signals(0);

    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = status_after_signals(1);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = status_after_signals(2);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* A child reads a pipe that never ends; the stop request must get it out. */
Test(plat, a_stop_request_ends_a_waiting_read)
{
    int ends[2], status = 0;

    cr_assert(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        nn_file f;

        dup2(ends[0], STDIN_FILENO);
        nn_stop_install();
        cr_assert(write(ends[1], "x", 1) == 1);
        alarm(20); /* ends a child that the signal does not */
        _exit(nn_file_read(&f, "-", 1000, NULL) == NN_STOP ? 7 : 8);
    }
    const struct timespec nap = {0, 20000000};
    while (waitpid(child, &status, WNOHANG) == 0) { /* until a signal meets the read */
        nanosleep(&nap, NULL);
        kill(child, SIGINT);
        nanosleep(&nap, NULL);
    }
    close(ends[0]);
    close(ends[1]);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);
}

/* --- memory ---------------------------------------------------------------------------------------------- */

Test(plat, free_memory_is_known_where_linux_says_it)
{
    const uint64_t there = nn_memory_free_bytes();

    cr_expect(there > 0);
    if (nn_path_exists("/proc/meminfo")) cr_expect(there < UINT64_MAX >> 8, "%llu", (unsigned long long)there);
}

/* Alone in a child, whose limits end with it. */
Test(plat, own_limits_leave_less_room)
{
    const int kind[] = {RLIMIT_AS, RLIMIT_DATA};

    for (size_t i = 0; i < 2; i++) {
        int status = 0;
        const pid_t child = fork();

        if (child == 0) {
            struct rlimit r;
            const uint64_t before = nn_memory_room_bytes();

            if (getrlimit(kind[i], &r) != 0) _exit(1);
            r.rlim_cur = (rlim_t)1 << 44; /* more than a sanitizer maps */
            if (r.rlim_max != RLIM_INFINITY && r.rlim_cur > r.rlim_max) _exit(0);
            if (setrlimit(kind[i], &r) != 0) _exit(2);
            const uint64_t after = nn_memory_room_bytes();
            _exit(after < before && after <= (uint64_t)1 << 44 ? 0 : 3);
        }
        cr_assert(waitpid(child, &status, 0) == child);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "limit %zu: status %x", i, (unsigned)status);
    }
}
