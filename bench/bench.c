/* bench.c - arguments, turns, medians, results.csv. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "bench/bench.h"
#include "nn/plat.h"
#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef BENCH_FLAGS
#define BENCH_FLAGS "unknown"
#endif
#if defined(__clang__)
#define BENCH_COMPILER __VERSION__
#elif defined(__GNUC__)
#define BENCH_COMPILER "gcc " __VERSION__
#else
#define BENCH_COMPILER "unknown"
#endif

#define CSV_HEAD "date,cpu,compiler,flags,table,threads,load,others,subject,case,unit,ours,peer,peer_value,ratio\n"
#define SELF_MARK "PARAPET_BENCH"
#define CLOCKS_S 0.02 /* what the machine's clock, which counts hundredths, and ours can differ by */
#define QUIET 0.08    /* of a core: what others may take of a run */

static const char *const peer_count[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"};
static const char *const peer_free[] = {"OMP_PROC_BIND",  "OMP_PLACES",        "OMP_WAIT_POLICY", "OMP_DYNAMIC",
                                        "GOMP_SPINCOUNT", "OPENBLAS_CORETYPE", "BLIS_ARCH_TYPE",  "DNNL_MAX_CPU_ISA"};

/* --- clocks --------------------------------------------------------------------------------- */
double bench_now_s(void)
{
    return nn_now_s();
}

static double process_cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* This process and its children that have ended. */
static double own_cpu_s(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_CHILDREN, &u) != 0) return process_cpu_s();
    return process_cpu_s() + (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Seconds all cores were busy since the machine started, interrupts and a hypervisor's theft included; 0 when
 * unknown. */
static double machine_busy_s(void)
{
    FILE *f = fopen("/proc/stat", "r");
    double v[8] = {0};

    if (!f) return 0.0;
    const int n =
        fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]);

    fclose(f);
    return n == 8 ? (v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / (double)sysconf(_SC_CLK_TCK) : 0.0;
}

static double load_now(void)
{
    FILE *f = fopen("/proc/loadavg", "r");
    double load = 0.0;

    if (!f) return 0.0;
    if (fscanf(f, "%lf", &load) != 1) load = 0.0;
    fclose(f);
    return load;
}

/* The state letter of a thread; 0 when it has ended. */
static int thread_state(const char *tasks, const char *id)
{
    char path[320], text[512];

    snprintf(path, sizeof path, "%s/%s/stat", tasks, id);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *end = strrchr(text, ')'); /* of the name, which may hold anything */
    return end && end[1] == ' ' ? end[2] : 0;
}

/* The kernel's state of each thread, not CPU time: that of a thread which runs on another core is brought up to date
 * only every few milliseconds, and OpenMP's threads spin for 5 to 15 after a region. */
static size_t threads_running(pid_t pid)
{
    char tasks[48];
    size_t n = 0;

    snprintf(tasks, sizeof tasks, "/proc/%ld/task", (long)pid);
    DIR *d = opendir(tasks);

    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.' && thread_state(tasks, e->d_name) == 'R';
    closedir(d);
    return n;
}

void bench_settle(const bench *b)
{
    const struct timespec nap = {0, 300000};

    if (b->threads == 1 && b->child == 0) return;
    for (size_t i = 0; i < 1000; i++) {
        if (threads_running(getpid()) <= 1 && (b->child == 0 || threads_running(b->child) == 0)) return;
        nanosleep(&nap, NULL);
    }
}

/* --- arguments ------------------------------------------------------------------------------ */
static const char *value_of(const bench *b, int argc, char **argv, int *i)
{
    if (*i + 1 < argc) return argv[++*i];
    fprintf(stderr, "bench_%s: %s wants a value\n", b->subject, argv[*i]);
    exit(2);
}

static size_t count_of(const bench *b, int argc, char **argv, int *i, size_t most)
{
    const char *flag = argv[*i], *text = value_of(b, argc, argv, i);
    char *end = NULL;
    const unsigned long v = strtoul(text, &end, 10);

    if (*text >= '0' && *text <= '9' && *end == '\0' && v >= 1 && v <= most) return (size_t)v;
    fprintf(stderr, "bench_%s: %s %s: want 1..%zu\n", b->subject, flag, text, most);
    exit(2);
}

static void arguments(bench *b, const char *about, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            printf("bench_%s [--threads N] [--rounds N] [--quick] [--only TEXT] [--csv FILE]\n%s"
                   "--threads %zu, --rounds %zu; --quick takes fewer cases and rounds; --only takes the cases whose "
                   "name\n"
                   "contains TEXT; --csv appends the results to FILE.\n",
                   b->subject, about, b->threads, b->rounds);
            exit(0);
        } else if (strcmp(argv[i], "--quick") == 0) b->quick = true;
        else if (strcmp(argv[i], "--threads") == 0) b->threads = count_of(b, argc, argv, &i, NN_PAR_MAX);
        else if (strcmp(argv[i], "--rounds") == 0) b->rounds = count_of(b, argc, argv, &i, BENCH_MAX_ROUNDS);
        else if (strcmp(argv[i], "--only") == 0) b->only = value_of(b, argc, argv, &i);
        else if (strcmp(argv[i], "--csv") == 0) b->csv = value_of(b, argc, argv, &i);
        else {
            fprintf(stderr, "bench_%s: unknown argument %s; --help lists them\n", b->subject, argv[i]);
            exit(2);
        }
    }
}

/* --- who runs where -------------------------------------------------------------------------
 * Without pinning the scheduler often wakes a worker on the core of its caller and leaves both there for tens of
 * milliseconds (products of 1 ms then take 1.9), when another pool's threads slept there just before; side by side in
 * one process that is noise that hits whoever comes next. So thread t of ours and of OpenMP's pool both stand on the
 * t-th core we may use. */
#define PINS "GOMP_CPU_AFFINITY"

typedef struct {
    size_t n, arrived;
    int cpu[NN_PAR_MAX];
} pins;

static void pins_ask(const bench *b)
{
    char text[NN_PAR_MAX * 8] = "";
    cpu_set_t set;
    size_t n = 0;

    unsetenv(PINS);
    if (!b->pinned || sched_getaffinity(0, sizeof set, &set) != 0) return;
    for (int cpu = 0; cpu < CPU_SETSIZE && n < b->threads; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &set)) continue;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", n ? " " : "", cpu);
        n++;
    }
    if (n == b->threads) setenv(PINS, text, 1);
}

static bool pins_read(pins *p)
{
    const char *text = getenv(PINS);

    p->n = p->arrived = 0;
    while (text && *text && p->n < NN_PAR_MAX) {
        char *end = NULL;
        p->cpu[p->n++] = (int)strtol(text, &end, 10);
        if (end == text) return false;
        text = end + strspn(end, " ");
    }
    return p->n > 0;
}

static void stand_on(const pins *p, size_t first, size_t last)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (size_t i = first; i < last; i++) CPU_SET((size_t)p->cpu[i], &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) perror("bench: sched_setaffinity");
}

/* Waits until every thread has come, so that no thread does two pieces. */
static void stand_on_own(void *ctx, size_t first, size_t last, size_t thread)
{
    pins *p = ctx;

    (void)first, (void)last;
    __atomic_add_fetch(&p->arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&p->arrived, __ATOMIC_SEQ_CST) < p->n) sched_yield();
    stand_on(p, thread, thread + 1);
}

/* The same program again, with the environment that the peers are to see. */
static void start_again(const bench *b, char **argv)
{
    char count[24];

    if (getenv(SELF_MARK)) return;
    pins_ask(b);
    snprintf(count, sizeof count, "%zu", b->threads);
    for (size_t i = 0; i < sizeof peer_count / sizeof peer_count[0]; i++) setenv(peer_count[i], count, 1);
    for (size_t i = 0; i < sizeof peer_free / sizeof peer_free[0]; i++) unsetenv(peer_free[i]);
    setenv(SELF_MARK, "1", 1);
    execv("/proc/self/exe", argv);
    perror("bench: /proc/self/exe"); /* goes on: without peers nothing is lost */
}

void bench_begin(bench *b, const bench_subject *s, int argc, char **argv)
{
    nn_err err = {NN_OK, ""};
    pins p;

    *b = (bench){.subject = s->name, .threads = 1, .rounds = s->rounds, .pinned = s->pinned};
    arguments(b, s->about, argc, argv);
    start_again(b, argv);
    b->pinned = pins_read(&p) && p.n == b->threads;
    if (b->pinned) stand_on(&p, 0, p.n); /* OpenMP has already put the caller on one core; the team counts cores */
    if (b->quick && b->rounds > 3) b->rounds = 3;
    b->block_s = (s->block_s > 0.0 ? s->block_s : 4e-3) / (b->quick ? 4.0 : 1.0);
    b->load = load_now();
    b->row = calloc(BENCH_MAX_ROWS, sizeof *b->row);
    if (!b->row || nn_exec_open(&b->x, NULL, b->threads, s->max_t, &err) != NN_OK) {
        fprintf(stderr, "bench_%s: %s\n", s->name, b->row ? err.text : "no memory");
        exit(5);
    }
    b->threads = b->x.par.threads;
    if (b->pinned && b->threads == p.n) nn_par_run(&b->x.par, p.n, 1, stand_on_own, &p);
    b->began_s = nn_now_s();
    b->own_s = own_cpu_s();
    b->busy_s = machine_busy_s();
    printf("# %s: table %s, %zu thread%s %s; OMP_NUM_THREADS=%zu, OMP_WAIT_POLICY unset; %zu rounds, load %.2f\n",
           s->name, b->x.k->name, b->threads, b->threads == 1 ? "" : "s",
           b->pinned ? "pinned, ours and OpenMP's alike" : "not pinned", b->threads, b->rounds, b->load);
}

bool bench_wants(const bench *b, const char *name)
{
    return !b->only || strstr(name, b->only);
}

void bench_skip(bench *b, const char *what)
{
    printf("skip: %s\n", what);
    b->skipped++;
}

/* --- results.csv ---------------------------------------------------------------------------- */
static void cpu_name(char *out, size_t cap)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(out, cap, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(out, cap, "%s", colon + 2);
        out[strcspn(out, "\n")] = '\0';
        break;
    }
    if (f) fclose(f);
}

/* A field without what ends a field. */
static void put_text(FILE *f, const char *text)
{
    for (; *text; text++) fputc(strchr(",\"\r\n", *text) ? ' ' : *text, f);
    fputc(',', f);
}

static bool put_rows(const bench *b, double others)
{
    char date[32], cpu[128];
    const bool fresh = !nn_path_exists(b->csv);
    FILE *f = fopen(b->csv, "a");

    if (!f) return false;
    nn_time_utc(date);
    cpu_name(cpu, sizeof cpu);
    if (fresh) fputs(CSV_HEAD, f);
    for (size_t i = 0; i < b->n_row; i++) {
        const bench_row *r = &b->row[i];

        put_text(f, date);
        put_text(f, cpu);
        put_text(f, BENCH_COMPILER);
        put_text(f, BENCH_FLAGS);
        put_text(f, b->x.k->name);
        fprintf(f, "%zu,%.2f,%.3f,", b->threads, b->load, others);
        put_text(f, b->subject);
        put_text(f, r->name);
        put_text(f, r->unit);
        fprintf(f, "%.5g,", r->ours);
        put_text(f, r->peer);
        if (r->peer[0]) fprintf(f, "%.5g,%.4f\n", r->theirs, r->ratio);
        else fputs(",\n", f);
    }
    return fclose(f) == 0;
}

void bench_note(bench *b, const char *name, const char *unit, double ours, const char *peer, double theirs,
                double ratio)
{
    if (b->n_row == BENCH_MAX_ROWS) return;
    bench_row *r = &b->row[b->n_row++];
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->unit, sizeof r->unit, "%s", unit);
    snprintf(r->peer, sizeof r->peer, "%s", peer);
    r->ours = ours;
    r->theirs = theirs;
    r->ratio = ratio;
}

int bench_end(bench *b)
{
    const double wall = nn_now_s() - b->began_s, all = machine_busy_s() - b->busy_s, own = own_cpu_s() - b->own_s;
    const double others = all > own + CLOCKS_S ? (all - own - CLOCKS_S) / wall : 0.0;
    int status = 0;

    printf("# %s: %.0f s; others took %.0f%% of a core%s; %zu skipped\n", b->subject, wall, 100.0 * others,
           others > QUIET ? " (NOT QUIET)" : "", b->skipped);
    if (b->csv && !put_rows(b, others)) {
        fprintf(stderr, "bench_%s: cannot write %s\n", b->subject, b->csv);
        status = 4;
    }
    nn_exec_free(&b->x);
    free(b->row);
    return status;
}

/* --- turns ---------------------------------------------------------------------------------- */
static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, size_t n)
{
    if (n == 0) return 0.0;
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

double bench_mean_ratio(const double *ratio, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++) sum += log(ratio[i]);
    return n ? exp(sum / (double)n) : 0.0;
}

#define LONG_S 0.3      /* a call this long hardly notices its first microseconds, and is noticed by whoever waits: */
#define LONG_SIDE_S 5.0 /* fewer rounds then, so that a side's take no longer, but three */

/* Seconds of one call, from `reps` in a row. */
static double turn(const bench *b, const bench_side *s, size_t reps, bool warm)
{
    bench_settle(b);
    if (warm) s->call(s->ctx);
    const double start = nn_now_s();

    for (size_t i = 0; i < reps; i++) s->call(s->ctx);
    return (nn_now_s() - start) / (double)reps;
}

void bench_turns(const bench *b, bench_times *out, const bench_side *side, size_t n)
{
    static double time[BENCH_SIDES][BENCH_MAX_ROUNDS], ratio[BENCH_MAX_ROUNDS];
    size_t reps[BENCH_SIDES] = {0}, rounds = b->rounds;
    bool is_long[BENCH_SIDES] = {false};

    *out = (bench_times){{0.0}, {0.0}, {0.0}, {0.0}};
    for (size_t i = 0; i < n; i++) {
        if (!side[i].call) continue;
        double once = turn(b, &side[i], 1, false);

        if (once < LONG_S) once = turn(b, &side[i], 1, false);
        reps[i] = (size_t)(b->block_s / (once + 1e-9)) + 1;
        is_long[i] = once > LONG_S;
        while (is_long[i] && rounds > 3 && (double)rounds * once > LONG_SIDE_S) rounds--;
    }
    for (size_t tries = 0; tries < 3; tries++) {
        const double wall = nn_now_s(), busy = machine_busy_s() - own_cpu_s();

        for (size_t r = 0; r < rounds; r++)
            for (size_t j = 0; j < n; j++) {
                const size_t i = (r + j) % n;

                if (side[i].call) time[i][r] = turn(b, &side[i], reps[i], !is_long[i]);
            }
        /* Again, when others took much. */
        if (b->child != 0 || machine_busy_s() - own_cpu_s() - busy < QUIET * (nn_now_s() - wall) + CLOCKS_S) break;
    }
    for (size_t i = n; i-- > 0;) { /* side 0 last: the median sorts its times */
        if (!side[i].call) continue;
        for (size_t r = 0; r < rounds; r++) ratio[r] = time[i][r] / time[0][r];
        out->ratio[i] = bench_median(ratio, rounds);
        out->low[i] = ratio[rounds / 4];
        out->high[i] = ratio[rounds - 1 - rounds / 4];
        out->time[i] = bench_median(time[i], rounds);
    }
}
