/* cmd_generate.c - parapet generate: requests from a generator of a run, for people who study what the guard is up
 * against. */
#include "guard/cmd.h"
#include "guard/lm.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include <stdio.h>
#include <string.h>

static const cmd_flag generate_flags[] = {{"--model", "FILE", NULL, "generator of a run: models/NN_attack.gguf"},
                                          {"--label", "NAME", "safe", "safe or unsafe: what is asked for"},
                                          {"--category", "NAME", "none", "category of the taxonomy"},
                                          {"--n", "N", "1", "how many"},
                                          {"--max-tokens", "N", "48", "tokens of one request"},
                                          {"--temperature", "T", "1", "0 is greedy"},
                                          {"--top-k", "K", "0", "0: all"},
                                          {"--top-p", "P", "1", "1: all"},
                                          {"--seed", "N", "1", "seed of the draws"},
                                          {"--threads", "N", "1", "threads; they change no byte"},
                                          {NULL, NULL, NULL, NULL}};

typedef struct {
    uint64_t n, max_tokens, top_k, seed, threads;
    double temperature, top_p;
    int label;
} wishes;

static nn_status read_wishes(wishes *w, const cmd_line *line, nn_err *err)
{
    const char *label = cmd_given(line, "--label");
    nn_status st = cmd_number(line, "--n", 1, 100000, 1, &w->n, err);
    if (st == NN_OK) st = cmd_number(line, "--max-tokens", 1, 4096, 48, &w->max_tokens, err);
    if (st == NN_OK) st = cmd_number(line, "--top-k", 0, 1000000, 0, &w->top_k, err);
    if (st == NN_OK) st = cmd_number(line, "--seed", 0, UINT64_MAX, 1, &w->seed, err);
    if (st == NN_OK) st = cmd_number(line, "--threads", 1, NN_PAR_MAX, 1, &w->threads, err);
    if (st == NN_OK) st = cmd_real(line, "--temperature", 0.0, 100.0, 1.0, &w->temperature, err);
    if (st == NN_OK) st = cmd_real(line, "--top-p", 0.0, 1.0, 1.0, &w->top_p, err);
    w->label = label != NULL && strcmp(label, "unsafe") == 0 ? GUARD_UNSAFE : GUARD_SAFE;
    if (st == NN_OK && label != NULL && strcmp(label, "unsafe") != 0 && strcmp(label, "safe") != 0)
        st = nn_fail(err, NN_USAGE, "--label: '%s', want safe or unsafe", label);
    if (st == NN_OK && cmd_given(line, "--model") == NULL)
        st = nn_fail(err, NN_USAGE,
                     "no --model, want a generator of a run (models/NN_train_generator.gguf or a later one)");
    return st;
}

static nn_status find_category(size_t *out, const guard_lm *g, const char *name, nn_err *err)
{
    *out = GUARD_MAX_CATEGORY;
    if (name == NULL) return NN_OK;
    const guard_taxonomy *t = guard_lm_taxonomy(g);
    *out = guard_taxonomy_index(t, name, strlen(name));
    return *out < t->n ? NN_OK : nn_fail(err, NN_USAGE, "--category: '%s' is none of the model's taxonomy", name);
}

/* One text a line, and nothing in it that moves the terminal's cursor. */
static void print_line(guard_text t)
{
    for (size_t i = 0; i < t.n; i++) putchar((unsigned char)t.s[i] < 32 || t.s[i] == 127 ? ' ' : t.s[i]);
    putchar('\n');
}

static nn_status write_texts(const guard_lm *g, const wishes *w, size_t category, nn_exec *exec, nn_err *err)
{
    int *label = NULL;
    size_t *cat = NULL;
    guard_corpus *c = NULL;
    guard_job job = {0};
    nn_sampler s = nn_sampler_default();
    s.temperature = (float)w->temperature;
    s.top_k = (size_t)w->top_k;
    s.top_p = (float)w->top_p;
    job.exec = exec;
    job.seed = w->seed;
    job.stream = "generate";
    nn_status st = guard_corpus_build(&c, err);
    if (st == NN_OK) st = nn_alloc((void **)&label, (size_t)w->n, sizeof *label, err);
    if (st == NN_OK) st = nn_alloc((void **)&cat, (size_t)w->n, sizeof *cat, err);
    for (size_t i = 0; st == NN_OK && i < w->n; i++) {
        label[i] = w->label;
        cat[i] = category;
    }
    if (st == NN_OK)
        st = guard_lm_generate(g, c, NULL, label, cat, (size_t)w->n, &s, (size_t)w->max_tokens, 0, &job, err);
    for (size_t i = 0; st == NN_OK && i < c->n; i++) print_line(c->row[i].text);
    guard_corpus_free(c);
    nn_free(label);
    nn_free(cat);
    return st;
}

static int generate_main(int argc, char **argv)
{
    cmd_line line;
    wishes w;
    guard_lm *g = NULL;
    nn_exec exec = {0};
    size_t category = 0;
    nn_err err = {0};
    nn_status st = cmd_parse(&line, &cmd_generate, argc, argv, &err);
    if (st == NN_OK) st = read_wishes(&w, &line, &err);
    if (st == NN_OK) st = guard_lm_open(&g, cmd_given(&line, "--model"), &err);
    if (st == NN_OK) st = find_category(&category, g, cmd_given(&line, "--category"), &err);
    if (st == NN_OK) st = nn_exec_open(&exec, NULL, (size_t)w.threads, 4096, &err);
    if (st == NN_OK) st = write_texts(g, &w, category, &exec, &err);
    nn_exec_free(&exec);
    guard_lm_free(g);
    return cmd_end("generate", st, 0, &err);
}

const cmd_verb cmd_generate = {"generate", "--model FILE",
                               "Writes requests with a run's generator, one a line. It writes requests, never answers.",
                               generate_flags, generate_main};
