/* bench_start.c - one verdict: from the start of a process, and in one that is warm, alone and beside another job.
 *
 *   start    posix_spawn of `parapet check TEXT` to its end, page cache warm: what the shell's user waits for
 *   verdict  guard_check of a text of 64 tokens in this process; one thread and N, each also beside a process that
 * only spins, all four in turn. The promise: with a core taken, N threads are no worse than 1.5 times one thread. Two
 * guards: the shipped one, and a decoder of ten million random weights stored as int8, written to a temporary file.
 */
#define _POSIX_C_SOURCE 200809L
#include "bench/bench.h"
#include "bench/shapes.h"
#include "guard/classify.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CASES = 4,
    TOKENS = 64,
    CALLS = 20,
    VOCAB = 8192,
    WINDOW = 256,
    MOST_CALLS = BENCH_MAX_ROUNDS * CALLS,
    TEXT = 2048
};

static const char about[] =
    "Milliseconds to a verdict: from the start of a process, and warm, alone and beside a process that spins.\n"
    "Run it from the repository (data/guard.gguf, data/seeds.jsonl).\n";
static const char *const condition[CASES] = {"1 thread", "threads", "1 thread, busy core", "threads, busy core"};

extern char **environ;

/* --- a guard of ten million weights ---------------------------------------------------------- */
static void fill(nn_model *m)
{
    uint32_t h = 1;

    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);

        for (size_t j = 0; t.rows > 1 && j < t.rows * t.cols; j++) {
            h = h * 1664525u + 1013904223u;
            t.data[j] = ((float)(h >> 8) / 8388608.0f - 1.0f) * 0.03f;
        }
    }
}

static nn_status tokenizer(nn_tok **out, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    nn_status st = nn_file_read(&file, "data/seeds.jsonl", (size_t)1 << 24, err);

    if (st == NN_OK) {
        const char *text = (const char *)file.bytes;
        st = nn_tok_train(out, &text, &file.len, 1, VOCAB, err);
    }
    nn_file_close(&file);
    return st;
}

static nn_status write_guard(const char *path, nn_err *err)
{
    guard_classifier *g = NULL;
    guard_parts p = {.name = "bench", .window = WINDOW, .stride = WINDOW / 2, .calibrate_a = 1.0};
    nn_config c = shape_config(&shape_table[1], WINDOW);
    nn_status st;

    c.qk_norm = true;
    c.lm_head = c.tied = false;
    c.n_class = 2;
    c.pool = NN_POOL_MEAN_MAX;
    for (size_t i = 0; i < GUARD_RATES; i++) p.threshold[i] = 0.5f;
    if ((st = tokenizer(&p.tok, err)) != NN_OK) goto done;
    c.vocab = nn_tok_vocab(p.tok);
    if ((st = nn_model_build(&p.m, &c, err)) != NN_OK) goto done;
    fill(p.m);
    if ((st = guard_classifier_build(&g, &p, err)) != NN_OK) goto done;
    p.tok = NULL; /* both moved */
    p.m = NULL;
    st = guard_classifier_save(g, path, NN_I8, err);
done:
    guard_classifier_close(g);
    nn_model_free(p.m);
    nn_tok_free(p.tok);
    return st;
}

/* --- the start of a process ------------------------------------------------------------------ */
/* Milliseconds from spawn to the end; negative when it could not run or said neither safe nor flagged. */
static double start_ms(const char *parapet, const char *model, const char *text)
{
    const char *const argv[] = {parapet, "check", "--model", model, text, NULL};
    union {
        const char *const *in;
        char *const *out;
    } lent = {argv}; /* posix_spawn reads, but says char *const * */
    posix_spawn_file_actions_t quiet;
    pid_t pid = 0;
    int status = -1;

    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    const double start = nn_now_s();
    const bool ran =
        posix_spawn(&pid, parapet, &quiet, NULL, lent.out, environ) == 0 && waitpid(pid, &status, 0) == pid;
    const double ms = (nn_now_s() - start) * 1e3;
    posix_spawn_file_actions_destroy(&quiet);
    return ran && WIFEXITED(status) && WEXITSTATUS(status) <= 1 ? ms : -1.0;
}

static void two_notes(bench *b, const char *name, double p50, double p95)
{
    char text[2 * BENCH_NAME];

    snprintf(text, sizeof text, "%s p50", name);
    bench_note(b, text, "ms", p50, "", 0.0, 0.0);
    snprintf(text, sizeof text, "%s p95", name);
    bench_note(b, text, "ms", p95, "", 0.0, 0.0);
}

static void measure_start(bench *b, const char *who, const char *parapet, const char *model, const char *text)
{
    static double ms[MOST_CALLS];
    const size_t n = b->rounds * 3;
    char name[BENCH_NAME];

    snprintf(name, sizeof name, "%s start", who);
    if (!bench_wants(b, name)) return;
    for (size_t i = 0; i < n + 3; i++) { /* three to warm up */
        const double took = start_ms(parapet, model, text);

        if (took < 0.0) {
            bench_skip(b, "parapet check does not run");
            return;
        }
        if (i >= 3) ms[i - 3] = took;
    }
    const double p50 = bench_median(ms, n), p95 = ms[n * 95 / 100];
    printf("%-36s %8.2f ms p50 %8.2f p95 (%.2f to %.2f)\n", name, p50, p95, ms[0], ms[n - 1]);
    two_notes(b, name, p50, p95);
}

/* --- a warm one ------------------------------------------------------------------------------ */
static pid_t spinner_start(void)
{
    fflush(stdout);
    const pid_t pid = fork();

    if (pid != 0) return pid;
    for (volatile unsigned i = 0;; i++) continue;
}

static void spinner_stop(pid_t pid)
{
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The words of a text until the guard sees TOKENS of them. */
static void text_of(char text[TEXT], guard_session *s)
{
    static const char *const word[] = {"please", "tell", "me",      "how",    "the",
                                       "garden", "was",  "painted", "before", "morning"};
    guard_verdict v = {.tokens = 0};

    text[0] = '\0';
    for (size_t i = 0; v.tokens < TOKENS && strlen(text) + 16 < TEXT; i++) {
        snprintf(text + strlen(text), TEXT - strlen(text), "%s%s", i ? " " : "",
                 word[i % (sizeof word / sizeof word[0])]);
        if (guard_check(s, text, strlen(text), NULL, 0, &v, NULL) != NN_OK) return;
    }
}

static void measure_verdict(bench *b, const char *who, guard_session *const session[2], const char *text)
{
    static double ms[CASES][MOST_CALLS], middle[CASES][BENCH_MAX_ROUNDS], ratio[BENCH_MAX_ROUNDS];
    char name[2 * BENCH_NAME];
    guard_verdict v;
    double alone = 0.0;

    snprintf(name, sizeof name, "%s verdict", who);
    if (!bench_wants(b, name)) return;
    for (size_t r = 0; r < b->rounds; r++)
        for (size_t i = 0; i < CASES; i++) {
            const pid_t pid = i < 2 ? 0 : spinner_start();
            double one[CALLS];

            (void)!guard_check(session[i % 2], text, strlen(text), NULL, 0, &v, NULL);
            for (size_t j = 0; j < CALLS; j++) {
                const double start = nn_now_s();

                (void)!guard_check(session[i % 2], text, strlen(text), NULL, 0, &v, NULL);
                one[j] = ms[i][r * CALLS + j] = (nn_now_s() - start) * 1e3;
            }
            spinner_stop(pid);
            middle[i][r] = bench_median(one, CALLS);
        }
    for (size_t i = 0; i < CASES; i++) {
        const size_t n = b->rounds * CALLS;
        const double p50 = bench_median(ms[i], n), p95 = ms[i][n * 95 / 100];

        for (size_t r = 0; r < b->rounds; r++) ratio[r] = middle[i][r] / middle[0][r];
        const double worse = bench_median(ratio, b->rounds);
        if (i == 0) alone = p50;
        snprintf(name, sizeof name, "%s verdict, %s", who, condition[i]);
        printf("%-36s %8.3f ms p50 %8.3f p95, %.2f of 1 thread alone\n", name, p50, p95, worse);
        bench_note(b, name, "ms", p50, "1 thread", alone, 1.0 / worse);
        two_notes(b, name, p50, p95);
    }
}

static nn_status measure(bench *b, const char *who, const char *parapet, const char *model, nn_err *err)
{
    guard_classifier *g = NULL;
    guard_session *session[2] = {NULL, NULL};
    char text[TEXT];
    nn_status st;

    if ((st = guard_classifier_open(&g, model, err)) != NN_OK) goto done;
    for (size_t i = 0; i < 2; i++) {
        const guard_session_options o = {.threads = i ? b->threads : 1};
        if ((st = guard_session_open(&session[i], g, &o, err)) != NN_OK) goto done;
    }
    text_of(text, session[0]);
    measure_start(b, who, parapet, model, text);
    measure_verdict(b, who, session, text);
done:
    guard_session_close(session[0]);
    guard_session_close(session[1]);
    guard_classifier_close(g);
    return st;
}

int main(int argc, char **argv)
{
    char parapet[4096 + 16] = "", path[] = "/tmp/parapet-bench-XXXXXX";
    nn_err err = {NN_OK, ""};
    bench b;
    nn_status st = NN_OK;

    bench_begin(&b, &(bench_subject){"start", about, 15, 64, false, 0.0}, argc, argv);
    if (nn_exe_dir(parapet, 4096)) strcat(parapet, "/parapet");
    if (nn_path_exists("data/guard.gguf")) st = measure(&b, "shipped", parapet, "data/guard.gguf", &err);
    else bench_skip(&b, "no data/guard.gguf");

    const int file = mkstemp(path);
    if (file >= 0) close(file);
    if (st == NN_OK && (st = write_guard(path, &err)) == NN_OK) st = measure(&b, "10m int8", parapet, path, &err);
    unlink(path);
    if (st != NN_OK) fprintf(stderr, "bench_start: %s\n", err.text);
    return st == NN_OK ? bench_end(&b) : 1;
}
