/* Tests of guard/corpus.h: rows and columns survive every step; no result depends on the order of rows. */
#include "guard/corpus.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static guard_text text(const char *s)
{
    return (guard_text){s, s ? strlen(s) : 0};
}

static void add(guard_corpus *c, const char *what, const char *concept, int label)
{
    nn_err err = {NN_OK, ""};
    const guard_row row = {.label = label, .text = text(what), .concept = text(concept), .source = text("test")};

    expect_ok(guard_corpus_add(c, &row, &err), &err);
}

static guard_corpus *numbered(size_t n)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};
    char what[32], concept[32];

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) {
        snprintf(what, sizeof what, "text %zu", i);
        snprintf(concept, sizeof concept, "concept %zu", i / 3);
        add(c, what, concept, (int)(i % 2));
    }
    return c;
}

static guard_column *column(guard_corpus *c, const char *name, const char *stage, guard_col_kind kind)
{
    nn_err err = {NN_OK, ""};
    guard_column *col = NULL;

    expect_ok(guard_corpus_column(c, name, stage, kind, &col, &err), &err);
    return col;
}

static void set_text(guard_corpus *c, guard_column *col, size_t row, const char *s)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_set_str(c, col, row, s, strlen(s), &err), &err);
}

/* Every kind of field and column, with the values that are easy to lose. */
static guard_corpus *of_everything(void)
{
    static const char odd[] = "zero \0 byte, \"quotes\", \xc3\xa9\n";
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};
    guard_row row = {.label = GUARD_UNSAFE,
                     .text = {odd, sizeof odd - 1},
                     .response = text(""),
                     .context = text("before"),
                     .category = text("fraud,malware"),
                     .lang = text("en"),
                     .source = text("test"),
                     .concept = text("parcel_scam"),
                     .parents = text("0123456789abcdef,fedcba9876543210"),
                     .ops = text("[{\"op\":\"frame\",\"draw\":3}]"),
                     .extra = text("{\"type\":\"homonyms\",\"big\":18446744073709551615,\"x\":0.10}")};

    expect_ok(guard_corpus_build(&c, &err), &err);
    expect_ok(guard_corpus_add(c, &row, &err), &err);
    add(c, "plain", NULL, GUARD_LABEL_NONE);
    row = (guard_row){.label = GUARD_SAFE, .text = text("known to be in no category"), .category = text("")};
    expect_ok(guard_corpus_add(c, &row, &err), &err);

    guard_column *loss = column(c, "loss@epoch", "03_train", GUARD_COL_NUM);
    loss->num[0] = 1.0 / 3.0;
    loss->num[2] = -0.0;
    column(c, "kept", "04_curate", GUARD_COL_BOOL)->num[1] = 1.0;
    set_text(c, column(c, "why", "04_curate", GUARD_COL_STR), 2, "too easy");
    column(c, "empty", "05_none", GUARD_COL_NUM);
    return c;
}

Test(corpus, a_row_is_named_by_what_it_says)
{
    guard_corpus *c = numbered(0);
    char id[GUARD_ID_LEN], again[GUARD_ID_LEN];

    add(c, "one", "a", 1);
    add(c, "two", "a", 1);
    add(c, "one", "b", 0);
    cr_expect_eq(strlen(c->row[0].id), 16u);
    cr_expect_str_eq(c->row[0].id, c->row[2].id);
    cr_expect_str_neq(c->row[0].id, c->row[1].id);

    guard_row_id(id, "augment", "p", "frame", 1);
    guard_row_id(again, "augment", "pf", "rame", 1);
    cr_expect_str_neq(id, again);
    guard_row_id(again, "augment", "p", "frame", 2);
    cr_expect_str_neq(id, again);
    /* sha256("augment\0p\0frame\0" + 1 as 8 bytes little-endian), by Python's hashlib */
    cr_expect_str_eq(id, "9873dd213b861ce1");
    guard_corpus_free(c);
}

Test(corpus, strings_stay_where_they_are)
{
    guard_corpus *c = numbered(1);
    const char *first = c->row[0].text.s;
    char *big = calloc(200001, 1);

    cr_assert(big != NULL);
    memset(big, 'x', 200000);
    add(c, big, NULL, 0);
    for (size_t i = 0; i < 5000; i++) add(c, "another text of some length", "again", 0);
    cr_expect(c->row[0].text.s == first);
    cr_expect_str_eq(first, "text 0");
    cr_expect_eq(c->row[1].text.n, 200000u);
    cr_expect_str_eq(c->row[5001].concept.s, "again");
    free(big);
    guard_corpus_free(c);
}

Test(corpus, new_rows_have_no_value_in_columns)
{
    guard_corpus *c = numbered(3);
    guard_column *col = column(c, "loss", "train", GUARD_COL_NUM);

    col->num[2] = 7.0;
    set_text(c, column(c, "why", "rule", GUARD_COL_STR), 1, "short");
    for (size_t i = 0; i < 200; i++) add(c, "more", NULL, 0);
    cr_expect(guard_corpus_find(c, "loss")->num[2] == 7.0);
    cr_expect(isnan(guard_corpus_find(c, "loss")->num[0]));
    cr_expect(isnan(guard_corpus_find(c, "loss")->num[202]));
    cr_expect(guard_corpus_find(c, "why")->str[202].s == NULL);
    cr_expect_str_eq(guard_corpus_find(c, "why")->str[1].s, "short");
    cr_expect(guard_corpus_find(c, "nothing") == NULL);

    col = column(c, "loss", "second", GUARD_COL_STR); /* replaced, its kind too */
    cr_expect(c->n_col == 2 && col->str[2].s == NULL);
    cr_expect_str_eq(col->stage, "second");
    guard_corpus_free(c);
}

Test(corpus, a_written_corpus_reads_back_to_the_same_bytes)
{
    const char *dir = temp_dir(), *a = path_in(dir, "a.jsonl"), *b = path_in(dir, "b.jsonl");
    guard_corpus *c = of_everything(), *back = NULL;
    nn_err err = {NN_OK, ""};
    char hash[65], again[65], of[65];
    size_t len = 0;

    expect_ok(guard_corpus_write(c, a, hash, &err), &err);
    expect_ok(guard_corpus_read(&back, a, &err), &err);
    expect_ok(guard_corpus_write(back, b, again, &err), &err);
    char *bytes = read_bytes(a, &len);
    cr_expect(bytes_equal_file(b, bytes, len));
    cr_expect_str_eq(hash, again);
    guard_corpus_hash(back, of);
    cr_expect_str_eq(hash, of);

    cr_expect_eq(back->n, 3u);
    cr_expect_eq(back->row[0].text.n, c->row[0].text.n);
    cr_expect(memcmp(back->row[0].text.s, c->row[0].text.s, c->row[0].text.n) == 0);
    cr_expect(back->row[0].response.s && back->row[0].response.n == 0);
    cr_expect(back->row[1].label == GUARD_LABEL_NONE && back->row[1].category.s == NULL);
    cr_expect(back->row[2].category.s && back->row[2].category.n == 0);
    cr_expect_str_eq(back->row[0].extra.s, c->row[0].extra.s);
    const guard_column *loss = guard_corpus_find(back, "loss@epoch"), *empty = guard_corpus_find(back, "empty");
    cr_assert(loss && empty);
    cr_expect_str_eq(loss->stage, "03_train");
    cr_expect(loss->num[0] == 1.0 / 3.0 && isnan(loss->num[1]) && loss->num[2] == 0.0 && signbit(loss->num[2]));
    cr_expect_str_eq(guard_corpus_find(back, "why")->str[2].s, "too easy");
    free(bytes);
    guard_corpus_free(c);
    guard_corpus_free(back);
}

Test(corpus, a_line_of_a_written_corpus_reads_like_this)
{
    const char *path = path_in(temp_dir(), "c.jsonl");
    guard_corpus *c = numbered(0);
    nn_err err = {NN_OK, ""};

    add(c, "a", "k", 0);
    column(c, "p", "score", GUARD_COL_NUM)->num[0] = 0.5;
    strcpy(c->row[0].id, "00000000000000ff");
    expect_ok(guard_corpus_write(c, path, NULL, &err), &err);
    char *bytes = read_bytes(path, NULL);
    cr_expect_str_eq(
        bytes, "{\"columns\":[[\"p\",\"score\",\"num\"]]}\n"
               "{\"id\":\"00000000000000ff\",\"text\":\"a\",\"label\":0,\"concept\":\"k\",\"source\":\"test\","
               "\"cols\":{\"p\":0.5}}\n");
    free(bytes);
    guard_corpus_free(c);
}

Test(corpus, a_corpus_cut_short_is_refused_at_every_byte)
{
    const char *dir = temp_dir(), *whole = path_in(dir, "whole.jsonl"), *cut = path_in(dir, "cut.jsonl");
    guard_corpus *c = of_everything(), *back = NULL;
    nn_err err = {NN_OK, ""};
    size_t len = 0;

    expect_ok(guard_corpus_write(c, whole, NULL, &err), &err);
    char *bytes = read_bytes(whole, &len);
    for (size_t n = 1; n < len; n++) {
        if (bytes[n - 1] == '\n') continue; /* whole lines: the hash in the ledger says what is missing */
        write_bytes(cut, bytes, n);
        err = (nn_err){NN_OK, ""};
        expect_fails(guard_corpus_read(&back, cut, &err), NN_FILE, &err, "cut short");
        cr_assert(back == NULL);
    }
    free(bytes);
    guard_corpus_free(c);
}

Test(corpus, a_value_that_is_not_finite_is_not_written)
{
    const char *path = path_in(temp_dir(), "bad.jsonl");
    guard_corpus *c = numbered(1);
    nn_err err = {NN_OK, ""};

    column(c, "p", "score", GUARD_COL_NUM)->num[0] = (double)INFINITY;
    expect_fails(guard_corpus_write(c, path, NULL, &err), NN_CONTENT, &err, "bad.jsonl: number: not finite");
    FILE *f = fopen(path, "rb");
    cr_expect(f == NULL);
    guard_corpus_free(c);
}

Test(corpus, pick_takes_rows_with_their_columns_in_order)
{
    static const size_t want[] = {4, 0, 4};
    guard_corpus *c = numbered(5), *p = NULL;
    nn_err err = {NN_OK, ""};
    guard_column *loss = column(c, "loss", "train", GUARD_COL_NUM);

    loss->num[4] = 0.25;
    set_text(c, column(c, "why", "rule", GUARD_COL_STR), 0, "first");
    expect_ok(guard_corpus_pick(&p, c, want, 3, &err), &err);
    guard_corpus_free(c); /* the copy owns what it holds */
    cr_expect_eq(p->n, 3u);
    cr_expect_str_eq(p->row[0].text.s, "text 4");
    cr_expect(p->col[0].num[0] == 0.25 && isnan(p->col[0].num[1]) && p->col[0].num[2] == 0.25);
    cr_expect_str_eq(p->col[1].str[1].s, "first");
    cr_expect_str_eq(p->col[0].stage, "train");
    guard_corpus_free(p);
}

Test(corpus, concat_skips_rows_that_are_there_and_unites_columns)
{
    guard_corpus *a = numbered(3), *b = numbered(5), *ab = NULL;
    nn_err err = {NN_OK, ""};

    column(a, "p", "one", GUARD_COL_NUM)->num[1] = 0.5;
    column(b, "p", "two", GUARD_COL_NUM)->num[4] = 0.75;
    column(b, "kept", "two", GUARD_COL_BOOL)->num[3] = 1.0;
    expect_ok(guard_corpus_concat(&ab, a, b, &err), &err);
    cr_expect_eq(ab->n, 5u);
    cr_expect_str_eq(ab->row[3].text.s, "text 3");
    const guard_column *p = guard_corpus_find(ab, "p"), *kept = guard_corpus_find(ab, "kept");
    cr_expect(p->num[1] == 0.5 && isnan(p->num[3]) && p->num[4] == 0.75);
    cr_expect(isnan(kept->num[0]) && kept->num[3] == 1.0);
    guard_corpus_free(ab);

    column(b, "p", "two", GUARD_COL_STR);
    expect_fails(guard_corpus_concat(&ab, a, b, &err), NN_CONTENT, &err,
                 "column p: number in one corpus, text in the other");
    cr_expect(ab == NULL);
    guard_corpus_free(a);
    guard_corpus_free(b);
}

/* Part of each row, by text. */
static size_t part_with(guard_corpus *const *part, size_t n_part, const char *what)
{
    for (size_t p = 0; p < n_part; p++) {
        for (size_t i = 0; i < part[p]->n; i++) {
            if (strcmp(part[p]->row[i].text.s, what) == 0) return p;
        }
    }
    return SIZE_MAX;
}

Test(corpus, split_keeps_concepts_together_in_any_order_of_rows)
{
    static const double parts[] = {0.6, 0.2, 0.2};
    guard_corpus *c = numbered(600), *turned = NULL, *a[3], *b[3];
    nn_err err = {NN_OK, ""};
    size_t pick[600];
    char what[32], other[32];

    for (size_t i = 0; i < 600; i++) pick[i] = 599 - i;
    expect_ok(guard_corpus_pick(&turned, c, pick, 600, &err), &err);
    expect_ok(guard_corpus_split(a, c, "concept", parts, 3, 1, &err), &err);
    expect_ok(guard_corpus_split(b, turned, "concept", parts, 3, 1, &err), &err);
    cr_expect_eq(a[0]->n + a[1]->n + a[2]->n, 600u);
    cr_expect(a[0]->n > 300 && a[0]->n < 420 && a[1]->n > 60 && a[2]->n > 60, "%zu %zu", a[0]->n, a[1]->n);
    for (size_t i = 0; i < 600; i++) {
        snprintf(what, sizeof what, "text %zu", i);
        snprintf(other, sizeof other, "text %zu", i / 3 * 3);
        cr_expect_eq(part_with(a, 3, what), part_with(a, 3, other));
        cr_expect_eq(part_with(a, 3, what), part_with(b, 3, what));
    }
    for (size_t p = 0; p < 3; p++) {
        guard_corpus_free(a[p]);
        guard_corpus_free(b[p]);
    }
    guard_corpus_free(c);
    guard_corpus_free(turned);
}

Test(corpus, split_by_id_never_parts_a_pair)
{
    static const double parts[] = {0.5, 0.5};
    guard_corpus *c = numbered(0), *part[2];
    nn_err err = {NN_OK, ""};
    char what[32], twin[32];

    for (size_t i = 0; i < 100; i++) {
        snprintf(what, sizeof what, "unsafe %zu", i);
        add(c, what, NULL, GUARD_UNSAFE);
        snprintf(twin, sizeof twin, "twin %zu", i);
        const guard_row row = {.label = GUARD_SAFE, .text = text(twin), .parents = text(c->row[c->n - 1].id)};
        expect_ok(guard_corpus_add(c, &row, &err), &err);
    }
    expect_ok(guard_corpus_split(part, c, "id", parts, 2, 9, &err), &err);
    cr_expect(part[0]->n > 50 && part[1]->n > 50);
    for (size_t i = 0; i < 100; i++) {
        snprintf(what, sizeof what, "unsafe %zu", i);
        snprintf(twin, sizeof twin, "twin %zu", i);
        cr_expect_eq(part_with(part, 2, what), part_with(part, 2, twin));
    }
    guard_corpus_free(part[0]);
    guard_corpus_free(part[1]);
    guard_corpus_free(c);
}

Test(corpus, split_refuses_parts_that_are_not_shares)
{
    static const double parts[] = {0.5, 0.4};
    guard_corpus *c = numbered(2), *part[2];
    nn_err err = {NN_OK, ""};

    expect_fails(guard_corpus_split(part, c, "id", parts, 2, 1, &err), NN_USAGE, &err, "sum to 1");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_corpus_split(part, c, "colour", parts, 2, 1, &err), NN_USAGE, &err, "want concept or id");
    cr_expect(part[0] == NULL && part[1] == NULL);
    guard_corpus_free(c);
}

Test(corpus, categories_are_whole_names)
{
    const guard_row row = {.category = text("self-harm,hate/threatening")};

    cr_expect(guard_row_has_category(&row, "self-harm"));
    cr_expect(guard_row_has_category(&row, "hate/threatening"));
    cr_expect_not(guard_row_has_category(&row, "hate"));
    cr_expect_not(guard_row_has_category(&(guard_row){0}, "hate"));
}

Test(corpus, every_allocation_may_fail)
{
    static const double parts[] = {0.5, 0.5};
    guard_corpus *c = of_everything(), *part[2] = {NULL, NULL};
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        cr_assert(n < 1000);
        nn_alloc_fail_at(n);
        st = guard_corpus_split(part, c, "concept", parts, 2, 1, NULL);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !part[0] && !part[1]));
    }
    cr_expect_eq(part[0]->n + part[1]->n, 3u);
    guard_corpus_free(part[0]);
    guard_corpus_free(part[1]);
    guard_corpus_free(c);
}
