/* cmd_generate_lm.c - requests from a generator of a run.
 *
 * Reads: cmd_generate.h, lm.h.
 */
#include "guard/cmd_generate.h"
#include "guard/lm.h"
#include "nn/arena.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    uint64_t n, max_tokens;
    int label;
    size_t category;
} requests;

static nn_status read_requests(requests *r, const cmd_line *line, nn_err *err)
{
    const char *label = cmd_given(line, "--label");
    nn_status st = cmd_number(line, "--n", 1, 100000, 1, &r->n, err);

    if (st == NN_OK) st = cmd_number(line, "--max-tokens", 1, 4096, 48, &r->max_tokens, err);
    r->label = label && strcmp(label, "unsafe") == 0 ? GUARD_UNSAFE : GUARD_SAFE;
    if (st == NN_OK && label && strcmp(label, "unsafe") != 0 && strcmp(label, "safe") != 0)
        st = nn_fail(err, NN_USAGE, "--label: '%s', want safe or unsafe", label);
    return st;
}

static nn_status find_category(size_t *out, const guard_lm *g, const char *name, nn_err *err)
{
    const guard_taxonomy *t = guard_lm_taxonomy(g);

    *out = GUARD_MAX_CATEGORY;
    if (!name) return NN_OK;
    *out = guard_taxonomy_index(t, name, strlen(name));
    return *out < t->n ? NN_OK : nn_fail(err, NN_USAGE, "--category: '%s' is none of the model's taxonomy", name);
}

/* One text a line, and nothing in it that moves the terminal's cursor. */
static void print_line(guard_text t)
{
    for (size_t i = 0; i < t.n; i++) putchar((unsigned char)t.s[i] < 32 || t.s[i] == 127 ? ' ' : t.s[i]);
    putchar('\n');
}

static nn_status write_requests(const guard_lm *g, const requests *r, const generate_wishes *w, nn_exec *exec,
                                nn_err *err)
{
    const size_t n = (size_t)r->n;
    int *label = NULL;
    size_t *category = NULL;
    guard_corpus *c = NULL;
    guard_job job = {.exec = exec, .seed = w->seed, .stream = "generate"};
    nn_status st = guard_corpus_build(&c, err);

    if (st == NN_OK) st = nn_alloc((void **)&label, n, sizeof *label, err);
    if (st == NN_OK) st = nn_alloc((void **)&category, n, sizeof *category, err);
    for (size_t i = 0; st == NN_OK && i < n; i++) {
        label[i] = r->label;
        category[i] = r->category;
    }
    if (st == NN_OK)
        st = guard_lm_generate(g, c, NULL, label, category, n, &w->sampler, (size_t)r->max_tokens, 0, &job, err);
    for (size_t i = 0; st == NN_OK && i < c->n; i++) print_line(c->row[i].text);
    guard_corpus_free(c);
    nn_free(label);
    nn_free(category);
    return st;
}

nn_status generate_requests(const cmd_line *line, const char *model, const generate_wishes *w, nn_err *err)
{
    guard_lm *g = NULL;
    nn_exec exec = {0};
    requests r = {0};
    nn_status st = read_requests(&r, line, err);

    if (st == NN_OK) st = guard_lm_open(&g, model, err);
    if (st == NN_OK) st = find_category(&r.category, g, cmd_given(line, "--category"), err);
    if (st == NN_OK) st = nn_exec_open(&exec, NULL, (size_t)w->threads, 4096, err);
    if (st == NN_OK) st = write_requests(g, &r, w, &exec, err);
    nn_exec_free(&exec);
    guard_lm_free(g);
    return st;
}
