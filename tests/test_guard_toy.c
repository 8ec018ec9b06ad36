#include "tests/test_guard_toy.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

guard_wide_options toy_wide_options(void)
{
    guard_wide_options o = guard_wide_default();

    o.bits = 12;
    return o;
}

guard_wide *toy_wide(const guard_corpus *c)
{
    const guard_wide_options o = toy_wide_options();
    const nn_par par = nn_par_one();
    guard_wide *w = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_wide_train(&w, c, NULL, &o, &par, &err), &err);
    return w;
}

guard_classifier *toy_guard(const guard_corpus *c, const nn_tok *tok, bool decoder)
{
    guard_parts p = {.name = "toy",
                     .taxonomy = *toy_taxonomy(),
                     .window = 64,
                     .stride = 32,
                     .threshold = {0.5f, 0.5f, 0.5f, 0.5f},
                     .calibrate_a = 1.0};
    const int32_t *pairs = NULL;
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    const size_t n_merges = nn_tok_merges(tok, &pairs);
    expect_ok(nn_tok_from_merges(&p.tok, pairs, n_merges, &err), &err);
    p.wide = toy_wide(c);
    if (decoder) {
        nn_config m = toy_options().model;

        m.vocab = nn_tok_vocab(tok);
        m.max_t = p.window;
        m.lm_head = m.tied = false;
        m.n_class = 2;
        expect_ok(nn_model_build(&p.m, &m, &err), &err);
        nn_model_init(p.m, 9);
    }
    expect_ok(guard_classifier_build(&g, &p, &err), &err);
    return g;
}

double column_at(const guard_corpus *c, const char *name, size_t row)
{
    const guard_column *col = guard_corpus_find(c, name);

    cr_assert_not_null(col, "no column %s", name);
    cr_assert(row < c->n && col->kind != GUARD_COL_STR);
    return col->num[row];
}

void add_toy_row(guard_corpus *c, const char *id, int label, const char *text)
{
    guard_row row = {.label = label, .text = {text, strlen(text)}};
    nn_err err = {NN_OK, ""};

    snprintf(row.id, sizeof row.id, "%s", id);
    expect_ok(guard_corpus_add(c, &row, &err), &err);
}
