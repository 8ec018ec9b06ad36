/* par_posix.c - a team of POSIX threads that wait a little awake, then asleep.
 *
 * Reads: par.h, par_impl.h.
 * Why not OpenMP: libgomp's threads spin between regions and ignore its environment once loaded. With another job on
 * one of two cores a training step in two threads then took 4 to 16 times as long as in one; now 1.0 to 1.25
 * (bench/bench_par.c).
 *
 * A region: the caller writes what to do, opens pieces 1, 2, ..., wakes the workers that sleep, does piece 0, and then
 * takes back every piece that is still open: a worker the machine has no core for is not waited for. Whoever turns a
 * piece's `open` from 1 to 0 does it, so a piece is done once; its borders and its number are the same whoever does it.
 *
 * Order in memory: what the caller wrote before opening a piece is seen by whoever takes it (exchange), and what they
 * wrote before counting it done is seen by the caller (left == 0). A sleeper sets its flag, then looks again; a waker
 * sets what the sleeper looks for, then reads the flag: sequentially consistent, so one of the two sees the other.
 * ISO C99 has no atomics; these are the compiler's (gcc, clang).
 */
#define _POSIX_C_SOURCE 200809L
#include "nn/par_impl.h"
#ifdef NN_THREADS
#include "nn/arena.h"
#include "nn/plat.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>

/* How long a waiting thread looks before it sleeps: some times what sleeping and waking up cost. The clock decides who
 * sleeps, never what is computed. Measured: 10 microseconds lose 15% of an idle machine's training step. */
#define AWAKE_S 150e-6

enum { LOOKS = 32, APART = 2 * NN_ALIGN }; /* looks between two readings of the clock */

typedef struct nn_team nn_team;

typedef struct {
    int open;   /* atomic: the piece with this number waits for somebody */
    int asleep; /* atomic: the worker is at `wake` */
    pthread_cond_t wake;
    pthread_t id;
    nn_team *team;
    unsigned char apart[APART]; /* nobody's `open` shares a cache line with another's */
} worker;

struct nn_team {
    /* the region: written by the caller before a piece opens, constant until all are done */
    nn_par_fn fn;
    void *ctx;
    size_t n, pieces;
    unsigned char apart[APART];
    size_t left; /* atomic: pieces opened and not yet done */
    int waiting; /* atomic: the caller is at `done` */
    int busy;    /* atomic: in a region */
    unsigned char apart_too[APART];
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool closing; /* under lock */
    size_t threads;
    worker *worker; /* [threads]; 0 is the caller's and not used */
};

static void look_away(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

typedef struct {
    size_t looks;
    double since;
} vigil;

/* After a look that found nothing; false once that has lasted long enough. */
static bool keep_looking(vigil *v)
{
    look_away();
    if (++v->looks % LOOKS != 0) return true;
    const double now = nn_now_s();
    if (v->looks == LOOKS) v->since = now;
    return now - v->since < AWAKE_S;
}

/* Start of piece t when n items fall into `pieces` pieces whose sizes differ by at most one. */
static size_t piece_start(size_t n, size_t pieces, size_t t)
{
    const size_t extra = n % pieces;

    return n / pieces * t + (t < extra ? t : extra);
}

static bool take(worker *w)
{
    return __atomic_load_n(&w->open, __ATOMIC_RELAXED) && __atomic_exchange_n(&w->open, 0, __ATOMIC_ACQUIRE);
}

static void do_piece(const nn_team *t, size_t piece)
{
    t->fn(t->ctx, piece_start(t->n, t->pieces, piece), piece_start(t->n, t->pieces, piece + 1), piece);
}

/* --- a worker ------------------------------------------------------------------------------------------------ */

/* Returns once the worker's piece was open; false when the team closes. */
static bool wait_for_piece(nn_team *t, worker *w)
{
    vigil v = {0, 0.0};

    do {
        if (__atomic_load_n(&w->open, __ATOMIC_RELAXED)) return true;
    } while (keep_looking(&v));
    pthread_mutex_lock(&t->lock);
    __atomic_store_n(&w->asleep, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&w->open, __ATOMIC_SEQ_CST) && !t->closing) pthread_cond_wait(&w->wake, &t->lock);
    __atomic_store_n(&w->asleep, 0, __ATOMIC_RELAXED);
    const bool stay = !t->closing;
    pthread_mutex_unlock(&t->lock);
    return stay;
}

static void *work(void *arg)
{
    worker *w = arg;
    nn_team *t = w->team;

    while (wait_for_piece(t, w)) {
        if (!take(w)) continue; /* the caller was faster */
        do_piece(t, (size_t)(w - t->worker));
        if (__atomic_sub_fetch(&t->left, 1, __ATOMIC_SEQ_CST) == 0 && __atomic_load_n(&t->waiting, __ATOMIC_SEQ_CST)) {
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->done);
            pthread_mutex_unlock(&t->lock);
        }
    }
    return NULL;
}

/* --- the caller ---------------------------------------------------------------------------------------------- */

static void open_piece(nn_team *t, worker *w)
{
    __atomic_store_n(&w->open, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&w->asleep, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&t->lock);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&t->lock);
}

static void wait_for_all(nn_team *t)
{
    vigil v = {0, 0.0};

    do {
        if (__atomic_load_n(&t->left, __ATOMIC_ACQUIRE) == 0) return;
    } while (keep_looking(&v));
    pthread_mutex_lock(&t->lock);
    __atomic_store_n(&t->waiting, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&t->left, __ATOMIC_SEQ_CST) != 0) pthread_cond_wait(&t->done, &t->lock);
    __atomic_store_n(&t->waiting, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&t->lock);
}

bool nn_team_run(nn_team *t, size_t pieces, size_t n, nn_par_fn fn, void *ctx)
{
    NN_ASSERT(pieces >= 2 && pieces <= t->threads);
    if (__atomic_exchange_n(&t->busy, 1, __ATOMIC_ACQUIRE)) return false;
    t->fn = fn;
    t->ctx = ctx;
    t->n = n;
    t->pieces = pieces;
    __atomic_store_n(&t->left, pieces - 1, __ATOMIC_RELAXED);
    for (size_t i = 1; i < pieces; i++) open_piece(t, &t->worker[i]);
    do_piece(t, 0);
    for (size_t i = 1; i < pieces; i++) {
        if (!take(&t->worker[i])) continue;
        do_piece(t, i);
        __atomic_sub_fetch(&t->left, 1, __ATOMIC_RELAXED);
    }
    wait_for_all(t);
    __atomic_store_n(&t->busy, 0, __ATOMIC_RELEASE);
    return true;
}

/* --- beginning and end --------------------------------------------------------------------------------------- */

/* Ends and joins workers 1..started-1. */
static void team_free(nn_team *t, size_t started)
{
    pthread_mutex_lock(&t->lock);
    t->closing = true;
    for (size_t i = 1; i < started; i++) pthread_cond_signal(&t->worker[i].wake);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 1; i < started; i++) {
        pthread_join(t->worker[i].id, NULL);
        pthread_cond_destroy(&t->worker[i].wake);
    }
    pthread_cond_destroy(&t->done);
    pthread_mutex_destroy(&t->lock);
    nn_free(t->worker);
    nn_free(t);
}

/* A worker takes no signals: the main thread's reads and writes are what they should interrupt. */
static int start_worker(nn_team *t, size_t i)
{
    worker *w = &t->worker[i];
    sigset_t all, before;

    w->team = t;
    int cause = pthread_cond_init(&w->wake, NULL);
    if (cause != 0) return cause;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    cause = pthread_create(&w->id, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause != 0) pthread_cond_destroy(&w->wake);
    return cause;
}

static nn_status team_build(nn_team **out, size_t threads, nn_err *err)
{
    nn_team *t = NULL;
    nn_status st;
    int cause = 0;

    if ((st = nn_alloc((void **)&t, 1, sizeof *t, err)) != NN_OK) return st;
    if ((st = nn_alloc((void **)&t->worker, threads, sizeof *t->worker, err)) != NN_OK) {
        nn_free(t);
        return st;
    }
    t->threads = threads;
    pthread_mutex_init(&t->lock, NULL); /* with default attributes neither can fail where memory is at hand */
    pthread_cond_init(&t->done, NULL);
    for (size_t i = 1; i < threads; i++) {
        if ((cause = start_worker(t, i)) == 0) continue;
        team_free(t, i);
        return nn_fail(err, NN_LIMIT, "threads: cannot start number %zu of %zu: %s", i + 1, threads, strerror(cause));
    }
    *out = t;
    return NN_OK;
}

nn_status nn_par_open(nn_par *par, size_t threads, nn_err *err)
{
    *par = nn_par_one();
    if (threads == 0) threads = nn_cpu_count();
    if (threads > NN_PAR_MAX) threads = NN_PAR_MAX;
    if (threads < 2) return NN_OK;
    const nn_status st = team_build(&par->team, threads, err);
    if (st == NN_OK) par->threads = threads;
    return st;
}

void nn_par_close(nn_par *par)
{
    if (par->team) team_free(par->team, par->team->threads);
    *par = (nn_par){0, NULL};
}
#endif
