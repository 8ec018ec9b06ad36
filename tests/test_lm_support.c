#include "tests/test_lm_support.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

guard_corpus *toy_corpus(size_t n)
{
    static const char *const thing[] = {"a lock",     "the bread", "my phone", "an old door",
                                        "some glass", "the cake",  "a window", "our roof"};
    static const char *const start[] = {"how do I", "please tell me how to", "show me how to",
                                        "can you explain how to"};
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) {
        const bool unsafe = i % 2 == 1;
        const char *category = i / 2 % 2 ? "malware" : "fraud";
        char text[128], concept[32];
        guard_row row = {.label = unsafe ? GUARD_UNSAFE : GUARD_SAFE};

        snprintf(text, sizeof text, "%s %s %s", start[i / 3 % 4], unsafe ? "break" : "bake", thing[i / 2 % 8]);
        snprintf(concept, sizeof concept, "c%u", (unsigned)(i / 2 % 12));
        snprintf(row.id, sizeof row.id, "%016u", (unsigned)i + 1);
        row.text = (guard_text){text, strlen(text)};
        row.category = (guard_text){category, strlen(category)};
        row.concept = (guard_text){concept, strlen(concept)};
        row.source = (guard_text){"toy", 3};
        expect_ok(guard_corpus_add(c, &row, &err), &err);
    }
    return c;
}

const guard_taxonomy *toy_taxonomy(void)
{
    static const guard_taxonomy t = {
        .category = {{.name = "fraud", .severity = 1}, {.name = "malware", .severity = 2}}, .n = 2};

    return &t;
}

nn_tok *toy_tok(const guard_corpus *c)
{
    const char *text[256];
    size_t len[256];
    nn_tok *tok = NULL;
    nn_err err = {NN_OK, ""};

    cr_assert(c->n <= 256);
    for (size_t i = 0; i < c->n; i++) {
        text[i] = c->row[i].text.s;
        len[i] = c->row[i].text.n;
    }
    expect_ok(nn_tok_train(&tok, text, len, c->n, 360, &err), &err);
    return tok;
}

guard_lm_options toy_options(void)
{
    guard_lm_options o = guard_lm_default();

    o.model.layers = 1;
    o.model.width = 32;
    o.model.heads = 2;
    o.model.kv_heads = 1;
    o.model.head_dim = 16;
    o.model.ff = 64;
    o.epochs = 12.0;
    o.batch_tokens = 256;
    o.max_tokens = 24;
    o.adam.lr = 1e-2f;
    o.model_seed = 5;
    return o;
}

/* --- the job ---------------------------------------------------------------------------------- */

static bool toy_progress(void *ctx, uint64_t done, uint64_t total, const char *unit)
{
    toy_job *t = ctx;

    cr_expect(done <= total, "%llu of %llu %s", (unsigned long long)done, (unsigned long long)total, unit);
    return ++t->calls != t->stop_at;
}

static nn_status toy_keep(void *ctx, uint64_t step, const char *name, double value, nn_err *err)
{
    toy_job *t = ctx;

    if (t->fail_at_step && step == t->fail_at_step) return nn_fail(err, NN_LIMIT, "the disk is full");
    cr_assert(t->n < TOY_METRICS);
    t->step[t->n] = step;
    snprintf(t->name[t->n], sizeof t->name[0], "%s", name);
    t->value[t->n++] = value;
    return NN_OK;
}

static uint64_t toy_mark(void *ctx)
{
    return ((const toy_job *)ctx)->n;
}

static nn_status toy_rewind(void *ctx, uint64_t mark, nn_err *err)
{
    toy_job *t = ctx;

    if (mark > t->n) return nn_fail(err, NN_FILE, "a mark beyond the end");
    t->n = (size_t)mark;
    return NN_OK;
}

void toy_job_open(toy_job *t, size_t threads, const char *checkpoint)
{
    nn_err err = {NN_OK, ""};

    memset(t, 0, sizeof *t);
    expect_ok(nn_exec_open(&t->exec, NULL, threads, 256, &err), &err);
    t->job = (guard_job){.exec = &t->exec,
                         .seed = 3,
                         .stream = "07.toy",
                         .checkpoint = checkpoint,
                         .ctx = t,
                         .progress = toy_progress,
                         .metric = toy_keep,
                         .metrics_mark = toy_mark,
                         .metrics_rewind = toy_rewind};
}

void toy_job_close(toy_job *t)
{
    nn_exec_free(&t->exec);
}

double toy_metric(const toy_job *t, const char *name, bool last)
{
    size_t found = SIZE_MAX;

    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->name[i], name) == 0 && (last || found == SIZE_MAX)) found = i;
    cr_assert(found != SIZE_MAX, "no metric %s", name);
    return t->value[found];
}

void expect_same_metrics(const toy_job *a, const toy_job *b)
{
    cr_assert_eq(a->n, b->n, "%zu metrics and %zu", a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        cr_assert(a->step[i] == b->step[i] && strcmp(a->name[i], b->name[i]) == 0);
        cr_assert(memcmp(&a->value[i], &b->value[i], sizeof(double)) == 0, "%s of step %llu: %.17g and %.17g",
                  a->name[i], (unsigned long long)a->step[i], a->value[i], b->value[i]);
    }
}

/* --- the generator ---------------------------------------------------------------------------- */

guard_lm *toy_lm(const guard_corpus *c, const nn_tok *tok, const guard_lm_options *o)
{
    static toy_job t;
    guard_lm *g = NULL;
    nn_err err = {NN_OK, ""};

    toy_job_open(&t, 1, NULL);
    expect_ok(guard_lm_train(&g, c, NULL, tok, toy_taxonomy(), NULL, o, &t.job, &err), &err);
    toy_job_close(&t);
    return g;
}

void expect_same_model(const char *what, guard_lm *a, guard_lm *b)
{
    char x[65], y[65];

    nn_model_hash(guard_lm_model(a), x);
    nn_model_hash(guard_lm_model(b), y);
    cr_assert_str_eq(x, y, "%s: other weights", what);
}

void expect_hostile_files_refused(const char *path, size_t most, size_t step, size_t share)
{
    size_t len = 0, refused = 0, tried = 0;
    char *bytes = read_bytes(path, &len);
    guard_lm *h = NULL;

    for (size_t cut = 0; cut < len; cut += 1 + cut / 3) {
        nn_err err = {NN_OK, ""};

        write_bytes(path, bytes, cut);
        cr_assert_eq(guard_lm_open(&h, path, &err), NN_FILE, "cut at %zu of %zu", cut, len);
        cr_assert_null(h);
    }
    for (size_t i = 0; i < most && i < len; i += step) {
        nn_err err = {NN_OK, ""};

        bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
        write_bytes(path, bytes, len);
        const nn_status st = guard_lm_open(&h, path, &err);
        cr_assert(st == NN_OK || st == NN_FILE || st == NN_LIMIT, "byte %zu: %s", i, err.text);
        refused += st != NN_OK;
        tried++;
        guard_lm_free(h);
        bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
    }
    cr_assert(share * refused > tried, "%zu of %zu flips were refused; the rest are names and weights", refused, tried);
    free(bytes);
}
