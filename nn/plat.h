/* plat.h - what ISO C lacks: files that map, files that appear whole, clocks, signals.
 *
 * Why: the only files allowed to include POSIX headers are plat_posix.c and plat_memory.c.
 */
#ifndef NN_PLAT_H
#define NN_PLAT_H
#include "nn/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const unsigned char *bytes;
    size_t len;
    void *map;   /* non-NULL: mapped */
    void *owned; /* non-NULL: allocated */
} nn_file;

/* A regular file mapped read-only (small or odd ones are read instead). An empty file is fine: len 0. */
NN_CHECKED nn_status nn_file_open(nn_file *f, const char *path, nn_err *err);
/* Everything of a path, or of standard input for "-", at most max_bytes (NN_LIMIT beyond). */
NN_CHECKED nn_status nn_file_read(nn_file *f, const char *path, size_t max_bytes, nn_err *err);
void nn_file_close(nn_file *f);
/* The bytes of a file in order, some KB a call, until fn is not NN_OK. For what is looked at once: of a mapping every
 * page that was touched counts as this process's memory. */
typedef nn_status (*nn_piece_fn)(void *ctx, const void *bytes, size_t len, nn_err *err);
NN_CHECKED nn_status nn_file_pieces(const char *path, nn_piece_fn fn, void *ctx, nn_err *err);

/* Writes beside the target, fsyncs, renames: the path holds the old bytes or the new ones, never half. */
NN_CHECKED nn_status nn_file_write(const char *path, const void *bytes, size_t len, nn_err *err);
/* The same for a file that is made piece by piece: it is there from commit on, and never when one call failed. A pipe or
 * device is written as it goes; /dev/stdout is refused where it leads to a file. */
typedef struct nn_file_out nn_file_out;
NN_CHECKED nn_status nn_file_out_open(nn_file_out **out, const char *path, nn_err *err);
NN_CHECKED nn_status nn_file_out_put(nn_file_out *o, const void *bytes, size_t len, nn_err *err);
NN_CHECKED nn_status nn_file_out_commit(nn_file_out *o, nn_err *err);
void nn_file_out_close(nn_file_out *o); /* drops what was not committed; fine on NULL */
/* Appends and fsyncs (creating the file); when that fails the file keeps its old length. */
NN_CHECKED nn_status nn_file_append(const char *path, const void *bytes, size_t len, nn_err *err);
/* Cuts to len bytes; a file shorter than that is an error. */
NN_CHECKED nn_status nn_file_truncate(const char *path, uint64_t len, nn_err *err);
NN_CHECKED nn_status nn_file_size(const char *path, uint64_t *len, nn_err *err);
NN_CHECKED nn_status nn_dir_make(const char *path, nn_err *err); /* with parents; existing is fine */
bool nn_path_exists(const char *path);
bool nn_dir_empty(const char *path); /* true when absent */
/* Names in a folder, sorted bytewise, each malloc'ed by nn_alloc; caller frees names[i] and names. */
NN_CHECKED nn_status nn_dir_list(char ***names, size_t *n, const char *path, nn_err *err);

/* Asks for large pages where this memory is not yet in use: what is read again and again from one end to the other. */
void nn_large_pages(void *at, size_t bytes);

double nn_now_s(void);                 /* monotonic; for progress and timing files only */
void nn_time_utc(char out[32]);        /* "2026-01-31T12:00:00Z" */
/* The path with links and dots resolved; NN_FILE when it does not exist. */
NN_CHECKED nn_status nn_path_real(const char *path, char *out, size_t cap, nn_err *err);
bool nn_is_tty(int fd);
size_t nn_cpu_count(void);             /* cores this process may use, at least 1 */
uint64_t nn_peak_rss_bytes(void);      /* 0 when unknown */
/* What this process may still take, UINT64_MAX when nothing says: of the machine's memory and its group's (mapped files
 * count, once they are read), and of its own limits (setrlimit; a file that is mapped counts already). */
uint64_t nn_memory_free_bytes(void);
uint64_t nn_memory_room_bytes(void);
bool nn_exe_dir(char *out, size_t cap); /* folder of the running executable */

/* SIGINT/SIGTERM: the first sets the flag (finish the step, save); the second ends the process. SIGPIPE and SIGXFSZ are
 * ignored: such a write fails and is reported. */
void nn_stop_install(void);
int nn_stop_signal(void); /* 0, or the signal number seen */
#endif
