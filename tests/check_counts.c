/* check_counts.c - the written corpus against its plan: rows by kind, category, structure, severity; its vocabulary. */
#include "guard/buf.h"
#include "nn/arena.h"
#include "tests/check_data.h"
#include <stdlib.h>
#include <string.h>

enum { PER_CATEGORY = 225, ORDINARY = 4000, RESPONSES = 1500, PER_LANGUAGE = 40 }; /* docs/corpus.md, "The grid" */
static const char *const languages[CHECK_LANGUAGES] = {"es", "fr", "de", "pt", "it", "ru", "ar", "hi", "zh", "ja"};

typedef struct {
    check_report *r;
    guard_buf list; /* the short cells, a line each */
    size_t n_short;
} tally;

/* Prints a count; a short one has a star. */
static void count_cell(tally *t, size_t got, size_t want, const char *row, const char *column)
{
    const bool is_short = got == 0 || 2 * got < want;

    fprintf(t->r->out, " %5zu%c", got, is_short ? '*' : ' ');
    if (!is_short) return;
    t->n_short++;
    guard_buf_fmt(&t->list, "short: %s, %s: %zu rows, the plan says %zu\n", row, column, got, want);
}

static bool is_lang(const guard_row *r, const char *lang)
{
    return r->lang.s != NULL && strcmp(r->lang.s, lang) == 0;
}

/* Rows of a kind in a language; any language but English when lang is NULL. */
static size_t rows_of(const check_rows *x, check_kind kind, const char *lang)
{
    size_t n = 0;

    for (size_t i = 0; i < x->c->n; i++)
        n += x->fact[i].kind == kind && (lang != NULL ? is_lang(&x->c->row[i], lang) : !is_lang(&x->c->row[i], "en"));
    return n;
}

static void count_kinds(tally *t, const check_rows *x)
{
    const size_t pairs = PER_CATEGORY * x->n_category, want[CHECK_KINDS] = {pairs, pairs, ORDINARY, RESPONSES};

    fprintf(t->r->out, "rows by kind          ");
    for (size_t k = 0; k < CHECK_KINDS; k++) fprintf(t->r->out, " %s", check_kind_name[k]);
    fprintf(t->r->out, "\n%-22s", "en");
    for (size_t k = 0; k < CHECK_KINDS; k++) {
        const size_t got = rows_of(x, (check_kind)k, "en");

        count_cell(t, got, want[k], "en", check_kind_name[k]);
    }
    for (size_t l = 0; l < CHECK_LANGUAGES; l++) {
        fprintf(t->r->out, "\n%-22s", languages[l]);
        for (size_t k = 0; k <= CHECK_ORDINARY; k++)
            count_cell(t, rows_of(x, (check_kind)k, languages[l]), PER_LANGUAGE, languages[l], check_kind_name[k]);
    }
    fputc('\n', t->r->out);
}

/* Columns of the grid: structures, then severities 1 to 3, then twins. */
enum { SEVERITIES = 3, COLUMNS = CHECK_STRUCTURES + SEVERITIES + 1 };

static size_t *count_grid(const check_rows *x)
{
    size_t *n = check_alloc(x->n_category * COLUMNS, sizeof *n);

    for (size_t i = 0; i < x->c->n; i++) {
        const check_facts *f = &x->fact[i];
        size_t *row = n + f->category * COLUMNS;

        if (f->category == x->n_category || !is_lang(&x->c->row[i], "en")) continue;
        if (f->kind == CHECK_TWIN) row[COLUMNS - 1]++;
        if (f->kind != CHECK_UNSAFE) continue;
        if (f->structure < CHECK_STRUCTURES) row[f->structure]++;
        if (f->severity > 0) row[CHECK_STRUCTURES + (size_t)f->severity - 1]++;
    }
    return n;
}

static void print_grid(tally *t, const check_rows *x)
{
    static const char *const more[] = {"severity 1", "severity 2", "severity 3", "twins"};
    static const char *const head[] = {"sev1", "sev2", "sev3", "twins"};
    size_t *n = count_grid(x);

    fprintf(t->r->out, "%-22s", "unsafe rows, English");
    for (size_t s = 0; s < CHECK_STRUCTURES; s++) fprintf(t->r->out, " %6.6s", check_structure[s].name);
    for (size_t s = 0; s <= SEVERITIES; s++) fprintf(t->r->out, " %6s", head[s]);
    fprintf(t->r->out, "\n%-22s", "the plan");
    for (size_t s = 0; s < CHECK_STRUCTURES; s++) fprintf(t->r->out, " %5zu ", check_structure[s].want);
    fprintf(t->r->out, "%28d\n", PER_CATEGORY);
    for (size_t k = 0; k < x->n_category; k++) {
        const size_t *row = n + k * COLUMNS;

        fprintf(t->r->out, "%-22s", x->category[k]);
        for (size_t s = 0; s < CHECK_STRUCTURES; s++)
            count_cell(t, row[s], check_structure[s].want, x->category[k], check_structure[s].name);
        for (size_t s = 0; s < SEVERITIES; s++) count_cell(t, row[CHECK_STRUCTURES + s], 1, x->category[k], more[s]);
        count_cell(t, row[COLUMNS - 1], PER_CATEGORY, x->category[k], more[SEVERITIES]);
        fputc('\n', t->r->out);
    }
    nn_free(n);
}

void check_counts(check_report *r, const check_rows *x, bool complete)
{
    tally t = {r, {0}, 0};
    nn_err err = {0};
    size_t foreign = 0;

    count_kinds(&t, x);
    print_grid(&t, x);
    for (size_t k = 0; k < CHECK_KINDS; k++) foreign += rows_of(x, (check_kind)k, NULL);
    fprintf(r->out, "%zu rows, %zu not in English; %zu cells short (*: none, or under half of the plan's)\n", x->c->n,
            foreign, t.n_short);
    check_need(guard_buf_status(&t.list, &err), &err);
    if (complete && t.n_short > 0) {
        fputs(t.list.bytes, r->out);
        r->findings += t.n_short;
    }
    guard_buf_free(&t.list);
}

/* --- vocabulary -------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Words that each thousand rows bring. Rows in the order of their ids, which are hashes: as good as drawn, so that no
 * file stands at the end. */
void check_growth(check_report *r, const check_rows *x)
{
    const size_t n = x->c->n, per = 1000;
    size_t *fresh = check_alloc(n / per + 1, sizeof *fresh);
    const char **order = check_alloc(n, sizeof *order);
    check_index seen = {0};
    check_words w = {0};

    memcpy(order, x->name, n * sizeof *order);
    qsort(order, n, sizeof *order, by_name);
    for (size_t i = 0; i < n; i++) {
        const char *const *at = bsearch(&x->name[i], order, n, sizeof *order, by_name);

        check_words_read(&w, x->c->row[i].text.s, x->c->row[i].text.n);
        check_index_add(&seen, &w, 1, 1, (size_t)(at - order));
    }
    check_index_sort(&seen, n);
    for (size_t i = 0; i < seen.n; i++)
        if (i == 0 || seen.place[i - 1].gram != seen.place[i].gram) fresh[seen.place[i].row / per]++;
    fprintf(r->out, "new words in each thousand rows:");
    for (size_t i = 0; i < n; i += per) fprintf(r->out, " %zu", fresh[i / per]);
    if (n % per != 0) fprintf(r->out, " (the last of %zu rows)", n % per);
    fputc('\n', r->out);
    check_index_free(&seen);
    check_words_free(&w);
    nn_free(order);
    nn_free(fresh);
}
