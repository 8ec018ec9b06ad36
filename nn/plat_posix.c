/* 2008 for everything; the resource usage call is in its XSI part, the set of cores we may use is Linux's own. */
#define _XOPEN_SOURCE 700
#ifdef __linux__
#define _GNU_SOURCE
#include <sched.h>
#endif
#include "nn/plat.h"
#include "nn/arena.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_BLOCK 65536u /* files up to this size are read: a mapping costs a page and a system call anyway */

/* --- errors ------------------------------------------------------------------------------------- */

/* "path: cannot VERB: reason", with NN_LIMIT for what more disk or memory would cure. */
static nn_status fail_errno(nn_err *err, const char *path, const char *verb)
{
    const int cause = errno;
    const bool limit = cause == ENOSPC || cause == EDQUOT || cause == EFBIG || cause == ENOMEM || cause == EMFILE;

    return nn_fail(err, limit ? NN_LIMIT : NN_FILE, "%s: cannot %s: %s", path, verb, strerror(cause));
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Reads fd to its end into f, at most max_bytes. `expect` is a first guess of the length. */
static nn_status read_all(nn_file *f, int fd, const char *path, size_t expect, size_t max_bytes, nn_err *err)
{
    nn_status st = NN_OK;
    size_t cap = 0;

    if (expect > max_bytes) expect = max_bytes;
    if ((st = nn_grow(&f->owned, &cap, expect + 1, 1, err)) != NN_OK) return st;
    for (;;) {
        unsigned char *to = f->owned;
        const ssize_t n = read(fd, to + f->len, cap - f->len);

        if (n < 0 && errno == EINTR) {
            if (nn_stop_signal()) return nn_fail(err, NN_STOP, "%s: stopped while reading", path);
            continue;
        }
        if (n < 0) return fail_errno(err, path, "read");
        if (n == 0) break;
        f->len += (size_t)n;
        if (f->len > max_bytes) return nn_fail(err, NN_LIMIT, "%s: longer than %zu bytes", path, max_bytes);
        if (f->len == cap && (st = nn_grow(&f->owned, &cap, f->len + READ_BLOCK, 1, err)) != NN_OK) return st;
    }
    f->bytes = f->owned;
    return NN_OK;
}

/* Opens for reading and refuses folders, whose open() succeeds. */
static nn_status open_input(int *fd, struct stat *info, const char *path, nn_err *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return fail_errno(err, path, "open");
    if (fstat(*fd, info) != 0) return fail_errno(err, path, "look at");
    if (S_ISDIR(info->st_mode)) return nn_fail(err, NN_FILE, "%s: is a folder, want a file", path);
    return NN_OK;
}

nn_status nn_file_open(nn_file *f, const char *path, nn_err *err)
{
    nn_status st = NN_OK;
    struct stat info;
    int fd = -1;

    *f = (nn_file){NULL, 0, NULL, NULL};
    if ((st = open_input(&fd, &info, path, err)) != NN_OK) goto done;
    if (!S_ISREG(info.st_mode) || info.st_size <= (off_t)READ_BLOCK) {
        st = read_all(f, fd, path, READ_BLOCK, SIZE_MAX - 1, err);
        goto done;
    }
    if ((uintmax_t)info.st_size > SIZE_MAX) {
        st = nn_fail(err, NN_LIMIT, "%s: longer than this machine can map", path);
        goto done;
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        st = fail_errno(err, path, "map");
        goto done;
    }
    *f = (nn_file){map, (size_t)info.st_size, map, NULL};
done:
    if (fd >= 0) close(fd);
    if (st != NN_OK) nn_file_close(f);
    return st;
}

nn_status nn_file_pieces(const char *path, nn_piece_fn fn, void *ctx, nn_err *err)
{
    struct stat info;
    void *piece = NULL;
    int fd = -1;
    nn_status st;

    if ((st = open_input(&fd, &info, path, err)) != NN_OK) goto done;
    if ((st = nn_alloc(&piece, READ_BLOCK, 1, err)) != NN_OK) goto done;
    while (st == NN_OK) {
        const ssize_t n = read(fd, piece, READ_BLOCK);

        if (n == 0) break;
        if (n > 0) st = fn(ctx, piece, (size_t)n, err);
        else if (errno != EINTR) st = fail_errno(err, path, "read");
    }
done:
    nn_free(piece);
    if (fd >= 0) close(fd);
    return st;
}

nn_status nn_file_read(nn_file *f, const char *path, size_t max_bytes, nn_err *err)
{
    nn_status st = NN_OK;
    struct stat info;
    int fd = -1;

    *f = (nn_file){NULL, 0, NULL, NULL};
    if (max_bytes > SIZE_MAX - READ_BLOCK) max_bytes = SIZE_MAX - READ_BLOCK;
    if (strcmp(path, "-") == 0) {
        st = read_all(f, STDIN_FILENO, "standard input", READ_BLOCK, max_bytes, err);
        goto done;
    }
    if ((st = open_input(&fd, &info, path, err)) != NN_OK) goto done;
    if (S_ISREG(info.st_mode) && (uintmax_t)info.st_size > max_bytes) {
        st = nn_fail(err, NN_LIMIT, "%s: %lld bytes, want at most %zu", path, (long long)info.st_size, max_bytes);
        goto done;
    }
    st = read_all(f, fd, path, S_ISREG(info.st_mode) ? (size_t)info.st_size : READ_BLOCK, max_bytes, err);
done:
    if (fd >= 0) close(fd);
    if (st != NN_OK) nn_file_close(f);
    return st;
}

void nn_file_close(nn_file *f)
{
    if (!f) return;
    if (f->map) munmap(f->map, f->len);
    nn_free(f->owned);
    *f = (nn_file){NULL, 0, NULL, NULL};
}

/* --- writing ------------------------------------------------------------------------------------ */

static nn_status write_all(int fd, const char *path, const void *bytes, size_t len, nn_err *err)
{
    const unsigned char *from = bytes;

    while (len > 0) {
        const ssize_t n = write(fd, from, len);

        if (n < 0 && errno == EINTR) continue; /* a stop request must not leave half a file */
        if (n < 0) return fail_errno(err, path, "write");
        from += n;
        len -= (size_t)n;
    }
    return NN_OK;
}

/* Pipes and terminals cannot be synced; that is no failure. */
static nn_status sync_fd(int fd, const char *path, nn_err *err)
{
    if (fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP) return NN_OK;
    return fail_errno(err, path, "flush to disk");
}

/* close() may report a late write error; fd becomes -1 either way. */
static nn_status close_output(int *fd, const char *path, nn_err *err)
{
    const int closed = close(*fd);

    *fd = -1;
    return closed == 0 ? NN_OK : fail_errno(err, path, "close");
}

/* Makes a rename in path's folder survive a power cut. */
static nn_status sync_folder_of(const char *path, nn_err *err)
{
    nn_status st = NN_OK;
    void *copy = NULL;
    const size_t len = strlen(path);

    if ((st = nn_alloc(&copy, len + 2, 1, err)) != NN_OK) return st;
    char *folder = copy;
    memcpy(folder, path, len + 1);
    char *slash = strrchr(folder, '/');
    if (!slash) strcpy(folder, ".");
    else slash[slash == folder ? 1 : 0] = '\0';

    const int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        st = sync_fd(fd, folder, err);
        close(fd);
    }
    nn_free(copy);
    return st;
}

struct nn_file_out {
    char *path, *beside; /* behind this struct, in one block */
    int fd;              /* -1: closed */
    bool made;           /* the file beside is there */
    bool in_place;       /* a device or a pipe: a rename would replace /dev/stdout by a file */
};

/* /dev/stdout, where it leads to a file: a rename would replace that link, for everybody. */
static bool names_an_open_file(const char *path)
{
    static const char open_files[] = "/proc/";
    char to[sizeof open_files - 1];

    return readlink(path, to, sizeof to) == (ssize_t)sizeof to && memcmp(to, open_files, sizeof to) == 0;
}

nn_status nn_file_out_open(nn_file_out **out, const char *path, nn_err *err)
{
    const size_t len = strlen(path), room = sizeof(nn_file_out) + 2 * len + 34;
    struct stat info;
    void *block = NULL;
    nn_status st;

    *out = NULL;
    const bool there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode))
        return nn_fail(err, NN_FILE, "%s: cannot replace a folder, want a file or a free path", path);
    if (there && S_ISREG(info.st_mode) && names_an_open_file(path))
        return nn_fail(err, NN_FILE, "%s: leads to a file that another name has, want that name", path);
    if ((st = nn_alloc(&block, room, 1, err)) != NN_OK) return st;
    nn_file_out *o = block;
    o->in_place = there && !S_ISREG(info.st_mode);
    o->path = (char *)(o + 1);
    o->beside = o->path + len + 1;
    memcpy(o->path, path, len + 1);
    snprintf(o->beside, len + 33, "%s.tmp%ld", path, (long)getpid());
    o->fd = o->in_place ? open(path, O_WRONLY | O_CLOEXEC)
                        : open(o->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd < 0) {
        st = fail_errno(err, path, "create");
        nn_free(block);
        return st;
    }
    o->made = !o->in_place;
    *out = o;
    return NN_OK;
}

nn_status nn_file_out_put(nn_file_out *o, const void *bytes, size_t len, nn_err *err)
{
    return write_all(o->fd, o->path, bytes, len, err);
}

nn_status nn_file_out_commit(nn_file_out *o, nn_err *err)
{
    nn_status st;

    if (!o->in_place && (st = sync_fd(o->fd, o->path, err)) != NN_OK) return st;
    if ((st = close_output(&o->fd, o->path, err)) != NN_OK) return st;
    if (o->in_place) return NN_OK;
    if (rename(o->beside, o->path) != 0) return fail_errno(err, o->path, "replace");
    o->made = false;
    return sync_folder_of(o->path, err);
}

void nn_file_out_close(nn_file_out *o)
{
    if (!o) return;
    if (o->fd >= 0) close(o->fd);
    if (o->made) unlink(o->beside);
    nn_free(o);
}

nn_status nn_file_write(const char *path, const void *bytes, size_t len, nn_err *err)
{
    nn_file_out *o = NULL;
    nn_status st;

    if ((st = nn_file_out_open(&o, path, err)) == NN_OK && (st = nn_file_out_put(o, bytes, len, err)) == NN_OK)
        st = nn_file_out_commit(o, err);
    nn_file_out_close(o);
    return st;
}

nn_status nn_file_append(const char *path, const void *bytes, size_t len, nn_err *err)
{
    nn_status st = NN_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0) return fail_errno(err, path, "open for appending");
    const off_t before = lseek(fd, 0, SEEK_END);
    st = write_all(fd, path, bytes, len, err);
    if (st == NN_OK) st = sync_fd(fd, path, err);
    if (st != NN_OK && before >= 0 && ftruncate(fd, before) != 0) {
        nn_err_prefix(err, "half a record may stand at the end"); /* the reader of a ledger checks its last line */
    }
    if (st == NN_OK) st = close_output(&fd, path, err);
    if (fd >= 0) close(fd);
    return st;
}

nn_status nn_file_truncate(const char *path, uint64_t len, nn_err *err)
{
    nn_status st = NN_OK;
    uint64_t have = 0;

    if ((st = nn_file_size(path, &have, err)) != NN_OK) return st;
    if (have < len) {
        return nn_fail(err, NN_FILE, "%s: %llu bytes, want at least %llu", path, (unsigned long long)have,
                       (unsigned long long)len);
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, path, "open for writing");
    st = ftruncate(fd, (off_t)len) == 0 ? sync_fd(fd, path, err) : fail_errno(err, path, "cut");
    close(fd);
    return st;
}

nn_status nn_file_size(const char *path, uint64_t *len, nn_err *err)
{
    struct stat info;

    *len = 0;
    if (stat(path, &info) != 0) return fail_errno(err, path, "look at");
    if (!S_ISREG(info.st_mode)) return nn_fail(err, NN_FILE, "%s: not a regular file", path);
    *len = (uint64_t)info.st_size;
    return NN_OK;
}

/* --- folders ------------------------------------------------------------------------------------ */

/* mkdir that accepts an existing folder. */
static nn_status make_one(const char *path, nn_err *err)
{
    struct stat info;

    if (mkdir(path, 0777) == 0) return NN_OK;
    if (errno == EEXIST && stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) return NN_OK;
        return nn_fail(err, NN_FILE, "%s: exists and is not a folder", path);
    }
    return fail_errno(err, path, "create");
}

nn_status nn_dir_make(const char *path, nn_err *err)
{
    nn_status st = NN_OK;
    void *copy = NULL;
    const size_t len = strlen(path);

    if ((st = nn_alloc(&copy, len + 1, 1, err)) != NN_OK) return st;
    char *part = copy;
    memcpy(part, path, len);
    for (size_t i = 1; i < len && st == NN_OK; i++) { /* each prefix that ends before a slash */
        if (part[i] != '/') continue;
        part[i] = '\0';
        st = make_one(part, err);
        part[i] = '/';
    }
    if (st == NN_OK) st = make_one(part, err);
    nn_free(copy);
    return st;
}

bool nn_path_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool nn_dir_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = true;

    if (!dir) return errno == ENOENT;
    for (const struct dirent *e = readdir(dir); e && empty; e = readdir(dir)) empty = is_dots(e->d_name);
    closedir(dir);
    return empty;
}

/* Bytewise: strcmp compares as unsigned char. Names in a folder differ, so the order is total. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

nn_status nn_dir_list(char ***names, size_t *n, const char *path, nn_err *err)
{
    nn_status st = NN_OK;
    void *list = NULL;
    size_t used = 0, cap = 0;
    DIR *dir = opendir(path);

    *names = NULL;
    *n = 0;
    if (!dir) return fail_errno(err, path, "open");
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        void *name = NULL;
        const size_t len = strlen(e->d_name);

        if (is_dots(e->d_name)) continue;
        if ((st = nn_grow(&list, &cap, used + 1, sizeof(char *), err)) != NN_OK) goto done;
        if ((st = nn_alloc(&name, len + 1, 1, err)) != NN_OK) goto done;
        memcpy(name, e->d_name, len);
        ((char **)list)[used++] = name;
    }
    if (used > 0) qsort(list, used, sizeof(char *), compare_names);
    *names = list;
    *n = used;
    list = NULL;
done:
    for (size_t i = 0; list && i < used; i++) nn_free(((char **)list)[i]);
    nn_free(list);
    closedir(dir);
    return st;
}

nn_status nn_path_real(const char *path, char *out, size_t cap, nn_err *err)
{
    char *real = realpath(path, NULL); /* the one block here that malloc gives: POSIX leaves no other way */

    if (!real) return fail_errno(err, path, "resolve");
    const size_t len = strlen(real);
    const bool fits = len < cap;
    if (fits) memcpy(out, real, len + 1);
    free(real);
    return fits ? NN_OK : nn_fail(err, NN_LIMIT, "%s: its full path has %zu bytes, want below %zu", path, len, cap);
}

/* --- the machine -------------------------------------------------------------------------------- */

/* Whole pages of 2 MiB within [at, at + bytes); elsewhere, or when refused, nothing is lost but speed. */
void nn_large_pages(void *at, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = (uintptr_t)1 << 21, first = ((uintptr_t)at + page - 1) / page * page,
                    last = ((uintptr_t)at + bytes) / page * page;

    if (at && first < last)
        (void)madvise((unsigned char *)at + (first - (uintptr_t)at), (size_t)(last - first), MADV_HUGEPAGE);
#else
    (void)at;
    (void)bytes;
#endif
}

double nn_now_s(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0.0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void nn_time_utc(char out[32])
{
    const time_t now = time(NULL);
    struct tm utc;

    out[0] = '\0';
    if (gmtime_r(&now, &utc)) strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

bool nn_is_tty(int fd)
{
    return isatty(fd) == 1;
}

size_t nn_cpu_count(void)
{
#ifdef __linux__
    cpu_set_t set; /* a container or taskset may allow fewer than the machine has */

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return (size_t)CPU_COUNT(&set);
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (size_t)n : 1;
}

uint64_t nn_peak_rss_bytes(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0) return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024u;
#endif
}

bool nn_exe_dir(char *out, size_t cap)
{
    if (cap == 0) return false;
    const ssize_t n = readlink("/proc/self/exe", out, cap - 1);
    out[0 < n ? n : 0] = '\0';
    if (n <= 0 || (size_t)n == cap - 1) return false; /* unknown, or cut */
    char *slash = strrchr(out, '/');
    if (!slash) return false;
    slash[slash == out ? 1 : 0] = '\0';
    return true;
}

/* --- signals ------------------------------------------------------------------------------------ */

static volatile sig_atomic_t stop_signal = 0;

/* The second request ends the process by the signal's own action, so that the shell sees 130 or 143. */
static void on_stop(int sig)
{
    if (stop_signal != 0) {
        signal(sig, SIG_DFL);
        raise(sig); /* delivered when this handler returns */
        return;
    }
    stop_signal = sig;
}

void nn_stop_install(void)
{
    struct sigaction act;

    memset(&act, 0, sizeof act);
    sigemptyset(&act.sa_mask);
    act.sa_handler = on_stop; /* without SA_RESTART: a read from a terminal ends */
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    act.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &act, NULL);
    sigaction(SIGXFSZ, &act, NULL); /* a write over the limit then fails like one on a full disk */
}

int nn_stop_signal(void)
{
    return (int)stop_signal;
}
