/* bench.h - what the benchmark programs share: arguments, turns, medians, lines of results.csv.
 *
 * Reads: exec.h.   Read next: bench.c, then bench_gemm.c (the first subject).
 * Why turns: a machine's speed drifts within minutes, the ratio of two neighbours in time hardly does. So every case
 * runs its sides A B C A B C, the order moving on by one each round, and a ratio is the median of the rounds' ratios.
 * Before a side's turn all threads of the side before must have stopped spinning (bench_turns waits for that), and
 * its first call is not timed: it wakes the side's own threads and brings the caches to its layout. bench_begin
 * starts the program again with the environment it prints, because OpenMP's library reads its variables when it is
 * loaded.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include "nn/exec.h"
#include <stdio.h>
#include <sys/types.h>

enum { BENCH_SIDES = 6, BENCH_MAX_ROUNDS = 101, BENCH_NAME = 64, BENCH_MAX_ROWS = 2048 };

typedef struct {
    char name[BENCH_NAME], unit[16], peer[BENCH_NAME];
    double ours, theirs, ratio;
} bench_row;

typedef struct {
    const char *name, *about; /* about: lines of --help */
    size_t rounds, max_t;     /* unless asked otherwise; the longest sequence attention will see */
    bool pinned;              /* peers in this process: each thread on its own core */
    double block_s;           /* shortest time of a side's turn; 0: 4 ms */
} bench_subject;

typedef struct {
    const char *subject;
    size_t threads, rounds;
    bool quick, pinned;
    const char *only, *csv; /* NULL: every case, no file */
    double block_s;         /* shortest time of one side's turn */
    nn_exec x;
    pid_t child; /* a peer's process, or 0: its threads too must rest before a turn */
    size_t skipped;
    double began_s, own_s, busy_s; /* when it began: the clock, CPU time of this program, of all */
    double load;                   /* of the last minute, then */
    bench_row *row;                /* [BENCH_MAX_ROWS] */
    size_t n_row;
} bench;

/* Reads --threads N --rounds N --quick --only TEXT --csv FILE; --help prints `about` and ends, anything else is
 * exit 2. Opens the threads. A failure ends the program. */
void bench_begin(bench *b, const bench_subject *s, int argc, char **argv);
/* Prints what was skipped and how busy others kept the machine; appends the rows. Returns the exit status. */
int bench_end(bench *b);
bool bench_wants(const bench *b, const char *name);
/* A peer or a part that is not there: visible and counted. */
void bench_skip(bench *b, const char *what);
/* One line of results.csv. peer "" : ours alone. ratio > 1: ours is better. */
void bench_note(bench *b, const char *name, const char *unit, double ours, const char *peer, double theirs,
                double ratio);

typedef struct {
    const char *name;
    void (*call)(void *ctx); /* NULL: not there */
    void *ctx;
} bench_side;

typedef struct {
    double time[BENCH_SIDES];  /* seconds of one call, median; 0 when not there */
    double ratio[BENCH_SIDES]; /* median over the rounds of time[i] / time[0]; > 1: side 0 is faster */
    double low[BENCH_SIDES], high[BENCH_SIDES]; /* quartiles of that ratio */
} bench_times;

void bench_turns(const bench *b, bench_times *out, const bench_side *side, size_t n);
double bench_median(double *v, size_t n);               /* sorts v */
double bench_mean_ratio(const double *ratio, size_t n); /* geometric mean; 0 of nothing */
/* Until no thread of this process runs but the caller's, and none of the child. */
void bench_settle(const bench *b);
double bench_now_s(void);
#endif
