#include "tests/test_guard_support.h"
#include "guard/metrics.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const plain[] = {"the",    "small",   "garden", "paints", "every",  "river", "song",
                                    "over",   "bread",   "table",  "walks",  "slowly", "green", "letter",
                                    "window", "morning", "bakes",  "reads",  "quiet",  "stone"};
static const char *const marked[] = {"blick", "zorn", "quafe", "drumpt"};

static const char *word_from(nn_rng *r, const char *const *list, size_t n)
{
    return list[nn_rng_below(r, n)];
}

static void plain_words(char *out, size_t cap, nn_rng *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(out);

        snprintf(out + len, cap - len, "%s%s", len ? " " : "", word_from(r, plain, COUNT(plain)));
    }
}

static void add_word(char *out, size_t cap, const char *word)
{
    const size_t len = strlen(out);

    snprintf(out + len, cap - len, "%s%s", len ? " " : "", word);
}

/* Two filler words keep the two words of the xor rule out of each other's bigrams. */
static void xor_text(char *out, size_t cap, nn_rng *r, bool unsafe)
{
    const bool first = nn_rng_below(r, 2) != 0, second = first != unsafe;

    add_word(out, cap, first ? "blick" : "zorn");
    plain_words(out, cap, r, 2);
    add_word(out, cap, second ? "quafe" : "drumpt");
}

guard_row row_of(const char *text, const char *response, int label)
{
    guard_row row = {.label = label};

    row.text = (guard_text){text, strlen(text)};
    if (response) row.response = (guard_text){response, strlen(response)};
    return row;
}

guard_corpus *corpus_of(const guard_row *row, size_t n)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) expect_ok(guard_corpus_add(c, &row[i], &err), &err);
    return c;
}

guard_corpus *word_corpus(size_t n, uint64_t seed, bool xor_rule)
{
    guard_corpus *c = corpus_of(NULL, 0);
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < n; i++) {
        nn_rng r = nn_rng_at(seed, "words", i);
        const bool unsafe = i % 2 == 1;
        char text[512] = "";
        const size_t before = (size_t)nn_rng_below(&r, 4);

        plain_words(text, sizeof text, &r, before + 1);
        if (xor_rule) xor_text(text, sizeof text, &r, unsafe);
        else if (unsafe) add_word(text, sizeof text, word_from(&r, marked, COUNT(marked)));
        plain_words(text, sizeof text, &r, 2);
        guard_row row = row_of(text, NULL, unsafe ? GUARD_UNSAFE : GUARD_SAFE);
        snprintf(row.id, sizeof row.id, "%016llx", (unsigned long long)nn_mix64(seed * 1000003u + i));
        if (unsafe)
            row.category = (guard_text){strstr(text, "zorn") ? "second" : "first", strstr(text, "zorn") ? 6 : 5};
        expect_ok(guard_corpus_add(c, &row, &err), &err);
    }
    return c;
}

nn_tok *word_tok(size_t vocab)
{
    guard_corpus *c = word_corpus(200, 99, false);
    const char **text = calloc(c->n, sizeof *text);
    size_t *len = calloc(c->n, sizeof *len);
    nn_tok *tok = NULL;
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < c->n; i++) {
        text[i] = c->row[i].text.s;
        len[i] = c->row[i].text.n;
    }
    expect_ok(nn_tok_train(&tok, text, len, c->n, vocab, &err), &err);
    free((void *)text);
    free(len);
    guard_corpus_free(c);
    return tok;
}

guard_taxonomy two_categories(void)
{
    guard_taxonomy t = {.n = 2};

    t.category[0] = (guard_category){"first",         "words", "rows with a word of the first kind",
                                     "hate,violence", "s1",    2};
    t.category[1] = (guard_category){"second", "words", "rows with a word of the second kind", "", "s2,s3", 3};
    return t;
}

static nn_model *random_model(size_t vocab, uint64_t seed)
{
    nn_config c = nn_config_default();
    nn_model *m = NULL;
    nn_err err = {NN_OK, ""};

    c.vocab = vocab;
    c.layers = 2;
    c.width = 32;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 8;
    c.ff = 48; /* not a multiple of 32: ffn_down stays F32 in a Q8_0 file */
    c.max_t = 32;
    c.lm_head = c.tied = false;
    c.memory_rows = 512;
    c.n_class = c.n_category = 2;
    c.pool = NN_POOL_MEAN_MAX;
    expect_ok(nn_model_build(&m, &c, &err), &err);
    for (size_t i = 0; i < nn_model_tensors(m); i++) {
        const nn_tensor t = nn_model_tensor(m, i);
        nn_rng rng = nn_rng_at(seed, t.name, 0);

        for (size_t j = 0; j < t.rows * t.cols; j++) {
            const double z = nn_rng_normal(&rng);
            t.data[j] = (t.rows == 1 ? 1.0f : 0.0f) + 0.2f * (float)z;
        }
    }
    return m;
}

guard_classifier *random_guard(bool wide, bool decoder, uint64_t seed)
{
    guard_parts p = {.tok = word_tok(400),
                     .taxonomy = two_categories(),
                     .window = 32,
                     .stride = 16,
                     .ledger = "",
                     .corpus = "c0ffee"};
    guard_corpus *c = word_corpus(60, seed, false);
    guard_wide_options o = guard_wide_default();
    const nn_par par = nn_par_one();
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    o.bits = 12;
    guard_parts_uncalibrated(&p);
    snprintf(p.name, sizeof p.name, "random");
    if (wide) expect_ok(guard_wide_train(&p.wide, c, NULL, &o, &par, &err), &err);
    if (decoder) p.m = random_model(nn_tok_vocab(p.tok), seed);
    expect_ok(guard_classifier_build(&g, &p, &err), &err);
    guard_corpus_free(c);
    return g;
}

guard_train_options small_options(void)
{
    guard_train_options o = guard_train_default();

    o.wide_options.bits = 12;
    o.folds = 3;
    o.model.layers = 1;
    o.model.width = 32;
    o.model.heads = 2;
    o.model.kv_heads = 1;
    o.model.head_dim = 16;
    o.model.ff = 64;
    o.window = 32;
    o.stride = 16;
    o.batch_tokens = 256;
    o.epochs = 6.0;
    o.adam.lr = 4e-3f;
    o.patience = 0;
    return o;
}

guard_classifier *trained_guard(const guard_train_options *o, bool xor_rule, guard_job *job)
{
    guard_corpus *train = word_corpus(240, 1, xor_rule), *valid = word_corpus(80, 2, xor_rule);
    const guard_taxonomy t = two_categories();
    guard_classifier *g = NULL;
    nn_tok *tok = word_tok(400);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_train(&g, train, valid, NULL, tok, &t, NULL, o, job, &err), &err);
    nn_tok_free(tok);
    guard_corpus_free(train);
    guard_corpus_free(valid);
    return g;
}

nn_exec open_exec(size_t threads)
{
    nn_exec x;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_exec_open(&x, NULL, threads, 64, &err), &err);
    return x;
}

guard_job job_of(const nn_exec *x)
{
    return (guard_job){.exec = x, .seed = 7, .stream = "01.test"};
}

double average_precision_of(const guard_classifier *g, const guard_corpus *c, guard_job *job)
{
    guard_verdict *v = calloc(c->n, sizeof *v);
    double *p = calloc(c->n, sizeof *p);
    int *label = calloc(c->n, sizeof *label);
    guard_metrics m = {0};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_score(g, c, v, job, &err), &err);
    for (size_t i = 0; i < c->n; i++) {
        p[i] = (double)v[i].logit;
        label[i] = c->row[i].label;
    }
    expect_ok(guard_metrics_compute(&m, label, p, c->n, 0.0, &err), &err);
    free(label);
    free(p);
    free(v);
    return m.average_precision;
}

void expect_same_verdict(const char *what, const guard_verdict *a, const guard_verdict *b)
{
    char name[96];
    const float x[] = {a->p_unsafe, a->threshold, a->logit, a->wide_logit, a->decoder_logit};
    const float y[] = {b->p_unsafe, b->threshold, b->logit, b->wide_logit, b->decoder_logit};

    snprintf(name, sizeof name, "%s: p, threshold, logits", what);
    expect_same_floats(name, x, y, COUNT(x));
    snprintf(name, sizeof name, "%s: categories", what);
    cr_expect_eq(a->n_category, b->n_category, "%s", name);
    expect_same_floats(name, a->category, b->category, a->n_category);
    cr_expect(
        a->flagged == b->flagged && a->window_index == b->window_index && a->window_count == b->window_count &&
            a->window_start == b->window_start && a->window_end == b->window_end && a->tokens == b->tokens &&
            a->bytes_replaced == b->bytes_replaced,
        "%s: window %zu of %zu [%zu, %zu) against %zu of %zu [%zu, %zu)", what, a->window_index, a->window_count,
        a->window_start, a->window_end, b->window_index, b->window_count, b->window_start, b->window_end);
}

char *hash_of(const guard_classifier *g)
{
    static char ring[8][65];
    static size_t next = 0;
    const guard_parts *p = guard_classifier_parts(g);
    char model[65] = "", *hex = ring[next++ % COUNT(ring)];
    nn_sha256 s;

    nn_sha256_init(&s);
    if (p->m) nn_model_hash(p->m, model);
    nn_sha256_add(&s, model, sizeof model);
    if (p->wide) {
        nn_sha256_add(&s, p->wide->weight, ((size_t)1 << p->wide->bits) * sizeof *p->wide->weight);
        nn_sha256_add(&s, p->wide->idf, ((size_t)1 << p->wide->bits) * sizeof *p->wide->idf);
        nn_sha256_add(&s, &p->wide->bias, sizeof p->wide->bias);
    }
    nn_sha256_add(&s, p->threshold, sizeof p->threshold);
    nn_sha256_add(&s, &p->calibrate_a, sizeof p->calibrate_a);
    nn_sha256_add(&s, &p->calibrate_b, sizeof p->calibrate_b);
    nn_sha256_end_hex(&s, hex);
    return hex;
}
