/* cmd_run.c - parapet run and parapet plan: a script's two passes, and what is said at the end.
 *
 * Reads: guard/lua/host.h, guard/run.h.   Why here: this is where the plan pass, the run folder and the real pass meet.
 */
#include "guard/cmd.h"
#include "guard/evaluate.h"
#include "guard/folder.h"
#include "guard/lua/host.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag run_flags[] = {
    {"--out", "DIR", "runs/<script>", "run folder to make"},
    {"--seed", "N", "the script's", "seed of every draw"},
    {"--resume", NULL, NULL, "go on with the run in --out, to the same bytes"},
    {"--set", "NAME=VALUE", NULL, "parapet.set.NAME in the script, and a root it may open files below; repeatable"},
    {"--allow-net", NULL, NULL, "language models on servers (run:backend) may be asked, with keys from the environment"},
    {"--answers", "RUN", NULL, "folder of another run: what language models answered there is not asked for again"},
    {"--threads", "N", "all", "threads; they change no byte"},
    {"--kernels", "NAME", "best", "kernel table: base, avx2, neon; it changes no byte"},
    {"--quiet", NULL, NULL, "neither progress nor the script's print on stderr"},
    {"--json", NULL, NULL, "results as JSON"},
    {NULL, NULL, NULL, NULL}};

static const cmd_flag plan_flags[] = {{"--set", "NAME=VALUE", NULL, "as for parapet run; repeatable"},
                                      {"--seed", "N", "the script's", "as for parapet run"},
                                      {"--json", NULL, NULL, "as JSON"},
                                      {NULL, NULL, NULL, NULL}};

/* runs/<script's name without .lua> */
static void default_out(char *out, size_t cap, const char *script)
{
    const char *slash = strrchr(script, '/'), *name = slash != NULL ? slash + 1 : script;
    const size_t n = strlen(name), cut = n > 4 && strcmp(name + n - 4, ".lua") == 0 ? n - 4 : n;
    snprintf(out, cap, "runs/%.*s", (int)cut, name);
}

/* --- the plan ----------------------------------------------------------------------------- */
static void count_text(char out[24], uint64_t n)
{
    char d[24];
    if (n == 0) snprintf(out, 24, "-");
    else if (n < 10000) snprintf(out, 24, "%llu", (unsigned long long)n);
    else {
        guard_fmt_fixed(d, n < 1000000 ? (double)n / 1e3 : (double)n / 1e6, 1);
        snprintf(out, 24, "%.18s%c", d, n < 1000000 ? 'k' : 'M');
    }
}

static void print_plan(const lua_host *h)
{
    char rows[24], tokens[24], params[24], bytes[24];
    uint64_t total = 0;
    size_t peak = 0;
    printf("  #  %-16s %-36s %9s %9s %9s %9s\n", "stage", "", "rows", "tokens", "weights", "memory");
    for (size_t i = 0; i < h->plan.n; i++) {
        const host_plan_stage *s = &h->plan.stage[i];
        count_text(rows, s->rows);
        count_text(tokens, s->tokens);
        count_text(params, s->params);
        count_text(bytes, s->bytes);
        printf("%3zu  %-16s %-36s %9s %9s %9s %9s\n", i + 1, s->name, s->detail, rows, tokens, params, bytes);
        total += s->tokens;
        if (s->bytes > peak) peak = s->bytes;
    }
    count_text(tokens, total);
    count_text(bytes, peak);
    printf("\ntraining tokens %s, largest trainer %s bytes; rows and tokens are upper estimates made before any data "
           "is read\n",
           tokens, bytes);
    for (size_t i = 0; i < h->n_budget; i++)
        printf("budget %-12s %llu of %llu tokens planned\n", h->budget[i].name,
               (unsigned long long)h->budget[i].planned, (unsigned long long)h->budget[i].declared);
}

static nn_status print_plan_json(const lua_host *h, nn_err *err)
{
    guard_buf b = {0};
    guard_buf_str(&b, "{\"stages\":[");
    for (size_t i = 0; i < h->plan.n; i++) {
        const host_plan_stage *s = &h->plan.stage[i];
        guard_json_comma(&b);
        guard_buf_str(&b, "{");
        guard_json_key(&b, "stage");
        guard_json_str(&b, s->name, strlen(s->name));
        guard_json_key(&b, "detail");
        guard_json_str(&b, s->detail, strlen(s->detail));
        guard_json_key(&b, "rows");
        guard_json_u64(&b, s->rows);
        guard_json_key(&b, "tokens");
        guard_json_u64(&b, s->tokens);
        guard_json_key(&b, "weights");
        guard_json_u64(&b, s->params);
        guard_json_key(&b, "bytes");
        guard_json_u64(&b, s->bytes);
        guard_buf_str(&b, "}");
    }
    guard_buf_str(&b, "]}\n");
    const nn_status st = guard_buf_status(&b, err);
    if (st == NN_OK) fwrite(b.bytes, 1, b.len, stdout);
    guard_buf_free(&b);
    return st;
}

/* The plan pass: stages check their arguments, rules meet a probe row. *stages and *seed get what the real pass needs.
 */
static nn_status plan_pass(const host_options *o, size_t *stages, uint64_t *seed, bool print, nn_err *err)
{
    lua_host h;
    host_options plan = *o;
    plan.planning = true;
    nn_status st = lua_host_open(&h, &plan, err);
    if (st == NN_OK) st = lua_host_run(&h, err);
    *stages = h.plan.n;
    *seed = h.seed;
    if (st == NN_OK && print && o->json) st = print_plan_json(&h, err);
    else if (st == NN_OK && print) print_plan(&h);
    lua_host_close(&h);
    return st;
}

/* --- what a run says at its end ----------------------------------------------------------- */
/* All results of all sets as one table: the notes of the evaluate stages are read back, so that a resumed run prints
 * the same. */
static nn_status print_results(const lua_host *h, bool json, nn_err *err)
{
    guard_buf b = {0};
    nn_status st = NN_OK;
    if (json && h->evaluations.len > 0) {
        guard_buf_add(&b, h->evaluations.bytes, h->evaluations.len);
        guard_buf_str(&b, "\n");
    } else if (h->evaluations.len > 0) {
        st = guard_results_print(&b, h->evaluations.bytes, err);
    }
    if (st == NN_OK && h->verdicts.len > 0 && !json) {
        guard_buf_str(&b, "\nverdicts on held-out rows, drawn by the run:\n");
        guard_buf_add(&b, h->verdicts.bytes, h->verdicts.len);
    }
    for (size_t i = 0; i < h->n_budget && !json; i++)
        guard_buf_fmt(&b, "%stokens %-12s %llu used of %llu\n", i == 0 ? "\n" : "", h->budget[i].name,
                      (unsigned long long)h->budget[i].used, (unsigned long long)h->budget[i].declared);
    if (st == NN_OK) st = guard_buf_status(&b, err);
    if (st == NN_OK && b.len > 0) fwrite(b.bytes, 1, b.len, stdout);
    guard_buf_free(&b);
    return st;
}

/* What does not belong to the reproducible half: machine.json. */
static nn_status record_machine(guard_run *run, const lua_host *h, nn_err *err)
{
    char kernels[64], threads[32];
    snprintf(kernels, sizeof kernels, "\"%s\"", h->exec.k->name);
    snprintf(threads, sizeof threads, "%zu", h->exec.par.threads);
    const nn_status st = guard_run_fact(run, "kernels", kernels, err);
    return st == NN_OK ? guard_run_fact(run, "threads", threads, err) : st;
}

static nn_status real_pass(const host_options *o, size_t stages, uint64_t seed, nn_err *err)
{
    lua_host h;
    char head[65];
    size_t count = 0;
    guard_run *run = NULL;
    const guard_run_options ro = {o->out, seed, o->resume, o->script, o->set, o->n_set};
    nn_status st = lua_host_open(&h, o, err);
    if (st == NN_OK) st = guard_run_open(&run, &ro, err);
    if (st == NN_OK) st = record_machine(run, &h, err);
    h.run = run;
    h.seed = seed;
    h.o.seed_given = true;
    h.stage_total = stages;
    if (st == NN_OK) st = lua_host_run(&h, err);
    if (st == NN_OK) st = guard_run_finish(run, err);
    if (st == NN_OK) st = print_results(&h, o->json, err);
    if (st == NN_OK) {
        guard_run_head(run, head, &count);
        printf("%srun %s  ledger %zu entries  head %s\n", o->json ? "" : "\n", o->out, count, head);
    }
    lua_host_close(&h);
    guard_run_close(run);
    return st;
}

/* The saved copy of the entry script: scripts/NAME or one folder below. */
static nn_status find_saved(char script[1024], const char *out, const char *name, nn_err *err)
{
    char dir[512];
    char **entry = NULL;
    size_t n = 0;
    snprintf(dir, sizeof dir, "%s/scripts", out);
    snprintf(script, 1024, "%s/%s", dir, name);
    if (nn_path_exists(script)) return NN_OK;
    nn_status st = nn_dir_list(&entry, &n, dir, err);
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        if (!found) {
            snprintf(script, 1024, "%s/%s/%s", dir, entry[i], name);
            found = nn_path_exists(script);
        }
        nn_free(entry[i]);
    }
    nn_free(entry);
    if (st == NN_OK && !found)
        st = nn_fail(err, NN_FILE, "%s: no %s below it, want the script that began the run", dir, name);
    return st;
}

/* --resume: what was not given again is what the run was started with; without a script its saved copy runs. */
static nn_status read_saved(host_options *o, const cmd_line *line, guard_run_saved *saved, char script[1024],
                            nn_err *err)
{
    bool found = false;
    const nn_status st = guard_run_saved_read(saved, &found, o->out, err);
    if (st != NN_OK) return st;
    if (!found) {
        if (line->n_word == 0)
            return nn_fail(err, NN_USAGE, "%s: no run to resume, want a script to begin one", o->out);
        return NN_OK;
    }
    if (line->n_word == 0 && find_saved(script, o->out, saved->script, err) != NN_OK) return NN_FILE;
    if (line->n_word == 0) o->script = script;
    if (line->n_set == 0) {
        o->set = (const char *const *)saved->set;
        o->n_set = saved->n_set;
    }
    if (!o->seed_given) o->seed = saved->seed;
    o->seed_given = true;
    return NN_OK;
}

/* A folder that has none would be read as a run that asked nothing. */
static nn_status check_answers(const char *run, nn_err *err)
{
    char *path = NULL;
    if (!nn_path_exists(run))
        return nn_fail(err, NN_USAGE, "--answers: %s is not there, want the folder of a run", run);
    nn_status st = guard_path_join(&path, run, "answers", err);
    if (st == NN_OK && !nn_path_exists(path))
        st = nn_fail(err, NN_USAGE, "--answers: %s has no answers/ in it, want the folder of a run that asked", run);
    nn_free(path);
    return st;
}

static nn_status read_options(host_options *o, const cmd_line *line, char *out, size_t cap, nn_err *err)
{
    uint64_t threads = 0;
    const bool resume = line->verb == &cmd_run && cmd_given(line, "--resume") != NULL;
    memset(o, 0, sizeof *o);
    if (line->n_word != 1 && !(resume && line->n_word == 0))
        return nn_fail(err, NN_USAGE, "%zu scripts, want one", line->n_word);
    if (line->n_word == 0 && cmd_given(line, "--out") == NULL)
        return nn_fail(err, NN_USAGE, "--resume: no script and no --out, want one of them");
    o->script = line->n_word == 1 ? line->word[0] : NULL;
    o->set = line->set;
    o->n_set = line->n_set;
    o->json = cmd_given(line, "--json") != NULL;
    o->seed_given = cmd_given(line, "--seed") != NULL;
    nn_status st = cmd_number(line, "--seed", 0, (uint64_t)1 << 53, 1, &o->seed, err);
    if (st != NN_OK || line->verb == &cmd_plan) return st;
    st = cmd_number(line, "--threads", 1, NN_PAR_MAX, 0, &threads, err);
    o->threads = (size_t)threads;
    o->kernels = cmd_given(line, "--kernels");
    o->quiet = cmd_given(line, "--quiet") != NULL;
    o->resume = cmd_given(line, "--resume") != NULL;
    o->allow_net = cmd_given(line, "--allow-net") != NULL;
    o->answers = cmd_given(line, "--answers");
    if (st == NN_OK && o->answers != NULL) st = check_answers(o->answers, err);
    if (cmd_given(line, "--out") != NULL) snprintf(out, cap, "%s", cmd_given(line, "--out"));
    else default_out(out, cap, o->script);
    o->out = out;
    return st;
}

static int run_main(int argc, char **argv)
{
    cmd_line line;
    host_options o;
    guard_run_saved saved = {0};
    char out[512], script[1024];
    size_t stages = 0;
    uint64_t seed = 0;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_run, argc, argv, &err);
    if (st == NN_OK) st = read_options(&o, &line, out, sizeof out, &err);
    if (st == NN_OK && o.resume) st = read_saved(&o, &line, &saved, script, &err);
    if (st == NN_OK) st = plan_pass(&o, &stages, &seed, false, &err);
    if (st == NN_OK) st = real_pass(&o, stages, seed, &err);
    guard_run_saved_free(&saved);
    return cmd_end("run", st, 0, &err);
}

static int plan_main(int argc, char **argv)
{
    cmd_line line;
    host_options o;
    size_t stages = 0;
    uint64_t seed = 0;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_plan, argc, argv, &err);
    if (st == NN_OK) st = read_options(&o, &line, NULL, 0, &err);
    if (st == NN_OK) st = plan_pass(&o, &stages, &seed, true, &err);
    return cmd_end("plan", st, 0, &err);
}

const cmd_verb cmd_run = {"run", "SCRIPT [--out DIR] | --resume --out DIR", "Runs an experiment into a run folder.",
                          run_flags, run_main};
const cmd_verb cmd_plan = {"plan", "SCRIPT", "Says what a script will do and cost, before it runs.", plan_flags,
                           plan_main};
