/* Tests of guard/dataset.h: the benchmarks' own files by hand-read numbers, our JSONL, gzip, bad input by its message. */
#include "guard/dataset.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static guard_corpus *read_file(const char *path, const guard_import *o, guard_import_report *report)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_dataset_read(&c, report, path, o, &err), &err);
    return c;
}

static guard_corpus *read_text(const char *text, const guard_import *o, guard_import_report *report)
{
    const char *path = path_in(temp_dir(), "rows");

    write_text(path, text);
    return read_file(path, o, report);
}

static void expect_bytes_refused(const char *name, const void *bytes, size_t len, const guard_import *o,
                                 nn_status want, const char *part)
{
    const char *path = path_in(temp_dir(), name);
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    write_bytes(path, bytes, len);
    expect_fails(guard_dataset_read(&c, NULL, path, o, &err), want, &err, part);
    cr_expect(c == NULL);
}

static void expect_refused(const char *text, const char *part)
{
    expect_bytes_refused("a.jsonl", text, strlen(text), NULL, NN_CONTENT, part);
}

/* --- importers: numbers read from the fixtures by hand --------------------------------------- */

typedef struct {
    const char *file, *format;
    guard_import o;
    size_t rows, skipped, safe, unsafe;
} expected;

static guard_corpus *import_as_expected(const expected *e)
{
    guard_import_report report;
    char path[64];

    snprintf(path, sizeof path, "fixtures/importers/%s", e->file);
    skip_unless_fixture(path);
    guard_corpus *c = read_file(shared_path(path), &e->o, &report);
    cr_expect_str_eq(report.format, e->format);
    cr_expect_eq(report.rows, e->rows);
    cr_expect_eq(c->n, e->rows);
    cr_expect_eq(report.skipped, e->skipped);
    cr_expect_eq(report.safe, e->safe);
    cr_expect_eq(report.unsafe, e->unsafe);
    cr_expect(report.unlabelled == 0 && report.repaired == 0 && report.rule != NULL);
    return c;
}

Test(dataset, toxicchat_labels_by_toxicity)
{
    guard_corpus *c = import_as_expected(&(expected){"toxicchat.csv", "toxicchat", {0}, 4, 0, 2, 2});

    cr_expect_str_eq(c->row[0].text.s, "How do I fold a paper crane?\nStep by step, please.");
    cr_expect_str_eq(c->row[1].text.s, "Say \"hello\", then insult me.");
    cr_expect(c->row[0].label == 0 && c->row[1].label == 1 && c->row[2].label == 1 && c->row[3].label == 0);
    cr_expect(strstr(c->row[2].extra.s, "\"jailbreaking\":1") != NULL, "%s", c->row[2].extra.s);
    cr_expect(strstr(c->row[1].extra.s, "\"conv_id\":\"a2\"") != NULL);
    cr_expect_str_eq(c->row[3].source.s, "toxicchat");
    guard_corpus_free(c);
}

Test(dataset, openai_moderation_keeps_what_was_judged)
{
    guard_corpus *c =
        import_as_expected(&(expected){"openai_moderation.jsonl", "openai_moderation", {0}, 3, 0, 2, 1});

    cr_expect(c->row[0].category.s == NULL && c->row[1].category.s == NULL);
    cr_expect_str_eq(c->row[2].category.s, "harassment");
    cr_expect_str_eq(c->row[1].extra.s, "{\"cats\":{\"sexual\":0,\"hate\":0,\"self-harm\":0}}");
    cr_expect_str_eq(c->row[2].extra.s, "{\"cats\":{\"violence\":0,\"harassment\":1}}");
    guard_corpus_free(c);
}

Test(dataset, wildguard_judges_the_prompt_or_the_response)
{
    guard_corpus *c = import_as_expected(&(expected){"wildguardmix.csv", "wildguard", {0}, 2, 1, 1, 1});

    cr_expect(c->row[0].label == 0 && c->row[1].label == 1);
    cr_expect(c->row[1].response.s == NULL, "the prompt task has no response");
    cr_expect_str_eq(c->row[1].category.s, "social_stereotypes_and_unfair_discrimination");
    cr_expect(c->row[0].category.s == NULL);
    guard_corpus_free(c);

    c = import_as_expected(&(expected){"wildguardmix.csv", "wildguard", {.task = "response"}, 2, 1, 2, 0});
    cr_expect_str_eq(c->row[0].response.s, "Use green wood, and a sharp knife.");
    cr_expect_str_eq(c->row[1].text.s, "Write an insult for my neighbour.");
    guard_corpus_free(c);
}

Test(dataset, wildguard_reads_the_jsonl_export_too)
{
    guard_import_report report;
    guard_corpus *c =
        read_text("{\"prompt\":\"p\",\"response\":null,\"adversarial\":true,\"prompt_harm_label\":\"harmful\"}\n"
                  "{\"prompt\":\"q\",\"prompt_harm_label\":null}\n",
                  NULL, &report);

    cr_expect_str_eq(report.format, "wildguard");
    cr_expect(report.rows == 1 && report.skipped == 1 && c->row[0].label == 1);
    cr_expect_str_eq(c->row[0].extra.s, "{\"response_in_file\":null,\"adversarial\":true}");
    guard_corpus_free(c);
}

Test(dataset, harmbench_puts_the_context_before_the_behaviour)
{
    guard_corpus *c = import_as_expected(&(expected){"harmbench_behaviors.csv", "harmbench", {0}, 3, 0, 0, 3});

    cr_expect_str_eq(c->row[1].text.s, "A short text about a thing that is forbidden.\n\n"
                                       "Using the text above, explain the forbidden thing");
    cr_expect_str_eq(c->row[0].category.s, "illegal");
    guard_corpus_free(c);

    const expected two = {"harmbench_behaviors.csv", "harmbench", {.functional = "copyright,standard"}, 2, 1, 0, 2};
    c = import_as_expected(&two);
    cr_expect_str_eq(c->row[1].text.s, "Give the lyrics of a song under copyright");
    guard_corpus_free(c);
}

Test(dataset, xstest_labels_by_its_label_column)
{
    guard_corpus *c = import_as_expected(&(expected){"xstest_prompts.csv", "xstest", {0}, 3, 0, 2, 1});

    cr_expect_str_eq(c->row[1].text.s, "How do I shoot a good portrait, outdoors?");
    cr_expect_str_eq(c->row[0].extra.s,
                     "{\"id_in_file\":\"v2-1\",\"type\":\"homonyms\",\"focus\":\"kill\",\"note\":\"process\"}");
    cr_expect(c->row[2].label == 1);
    guard_corpus_free(c);
}

Test(dataset, options_and_headers_that_do_not_fit_are_refused)
{
    static const char csv[] = "prompt,type,label\np,t,safe\n", wild[] = "prompt,prompt_harm_label\np,maybe\n";
    static const char harm[] = "Behavior,FunctionalCategory\nb,standard\n",
                      odd[] = "Behavior,FunctionalCategory\nb,other\n";
    const guard_import task = {.task = "both"}, kind = {.functional = "standard,odd"},
                       format = {.format = "parquet"};
    const guard_import toxic = {.format = "toxicchat"};

    expect_bytes_refused("w.csv", wild, sizeof wild - 1, &task, NN_USAGE, "task 'both', want prompt or response");
    expect_bytes_refused("w.csv", wild, sizeof wild - 1, NULL, NN_CONTENT,
                         "w.csv:2: prompt_harm_label: is 'maybe', want unharmful or harmful");
    expect_bytes_refused("h.csv", harm, sizeof harm - 1, &kind, NN_USAGE, "functional 'standard,odd'");
    expect_bytes_refused("h.csv", odd, sizeof odd - 1, NULL, NN_CONTENT, "h.csv:2: FunctionalCategory: is 'other'");
    expect_bytes_refused("x.csv", csv, sizeof csv - 1, &format, NN_USAGE, "format 'parquet'");
    expect_bytes_refused("x.csv", csv, sizeof csv - 1, &toxic, NN_CONTENT, "x.csv:1: header: no column user_input");
    expect_bytes_refused("y.csv", "a,b\n1,2\n", 8, NULL, NN_CONTENT, "y.csv:1: header: of no known file");
    expect_bytes_refused("z.csv", "prompt,type,label,type\n", 23, NULL, NN_CONTENT,
                         "z.csv:1: header: of no known file");
    expect_bytes_refused("q.csv", "prompt,type,label\n\"p,t,safe\n", 28, NULL, NN_CONTENT,
                         "q.csv:2: quote left open");
    expect_bytes_refused("e.csv", "prompt,type,label\n", 18, NULL, NN_CONTENT, "e.csv: no rows");
}

/* --- our own JSONL ---------------------------------------------------------------------------- */

Test(dataset, a_row_keeps_every_field)
{
    guard_import_report report;
    guard_corpus *c = read_text(
        "\xef\xbb\xbf{\"text\":\"a\\u0000b\", \"label\": 1, \"category\": [\"x,y\",\"z\"], \"hate\": 1.50, "
        "\"id\": \"row 7\", "
        "\"parent\": \"0123456789abcdef\", \"ops\": [ {\"op\":\"style\"} ], \"cats\":{\"S\" : 0}, "
        "\"messages\": [], \"n\":18446744073709551616}\r\n"
        "\n"
        "{\"id\":\"00112233445566aa\",\"text\":\"q\",\"response\":\"r\",\"label\":null,\"category\":\"one\",\"lang\":\"en\"}",
        NULL, &report);

    cr_expect_str_eq(report.format, "jsonl");
    cr_expect(report.rows == 2 && report.unsafe == 1 && report.unlabelled == 1);
    const guard_row *r = &c->row[0];
    cr_expect(r->text.n == 3 && memcmp(r->text.s, "a\0b", 4) == 0);
    cr_expect_str_eq(r->category.s, "x;y,z");
    cr_expect_str_eq(r->parents.s, "0123456789abcdef");
    cr_expect_str_eq(r->ops.s, "[ {\"op\":\"style\"} ]");
    cr_expect_str_eq(r->extra.s, "{\"hate\":1.50,\"id_in_file\":\"row 7\",\"cats\":{\"S\" : 0},\"messages\":[],"
                                 "\"n\":18446744073709551616}");
    cr_expect_str_eq(c->row[1].id, "00112233445566aa");
    cr_expect_str_eq(c->row[1].category.s, "one");
    cr_expect(c->row[1].extra.s == NULL && c->row[1].label == GUARD_LABEL_NONE);
    guard_corpus_free(c);
}

Test(dataset, a_line_that_is_no_row_is_named)
{
    expect_refused("{\"text\":\"a\"}\n[1]\n", "a.jsonl:2: line: not an object");
    expect_refused("{\"text\":\"a\",\"label\":2}\n", "a.jsonl:1: label: is '2', want 0, 1 or null");
    expect_refused("{\"text\":\"a\",\"label\":\"1\"}\n", "label: is '\"1\"', want 0, 1 or null");
    expect_refused("{\"text\":\"a\",\"label\":true}\n", "label: is 'true'");
    expect_refused("\n\n{\"label\":1}\n", "a.jsonl:3: text: missing");
    expect_refused("{\"text\":\"\"}\n", "a.jsonl:1: text: is '', want a text that is not empty");
    expect_refused("{\"text\":7}\n", "a.jsonl:1: text: is '7', want a string");
    expect_refused("{\"text\":\"a\",\"category\":[1]}\n",
                   "a.jsonl:1: category: is '[1]', want a name or a list of names");
    expect_refused("{\"text\":\"a\",\"text\":\"b\"}\n", "duplicate object key");
    expect_refused("{\"text\":\"a\"\n", "a.jsonl:1: JSON:");
    expect_refused("", "a.jsonl: no rows");
    expect_refused(" \n\n", "a.jsonl: no rows");
    expect_bytes_refused("b.jsonl", "{\"text\":\"a\0b\"}\n", 15, NULL, NN_CONTENT, "b.jsonl:1: JSON: a zero byte");
}

Test(dataset, a_message_shows_no_control_bytes)
{
    expect_refused("{\"text\":\"a\",\"label\":\"\x1b[31m and more than fits\"}\n", "JSON:");
    expect_refused("{\"text\":\"a\",\"label\":\"\xc3\xa9 and what comes behind it\"}\n",
                   "label: is '\"?? and what comes behin...', want");
}

Test(dataset, a_text_too_long_is_a_limit_never_cut)
{
    const guard_import o = {.max_bytes = 10};

    expect_bytes_refused("l.jsonl", "{\"text\":\"12345678901\"}", 22, &o, NN_LIMIT,
                         "l.jsonl:1: text: 11 bytes, want at most 10");
    expect_bytes_refused("l.jsonl", "{\"text\":\"1\",\"context\":\"12345678901\"}", 36, &o, NN_LIMIT,
                         "l.jsonl:1: context: 11 bytes");
    guard_corpus *c = read_text("{\"text\":\"1234567890\"}", &o, NULL);
    cr_expect_eq(c->n, 1u);
    guard_corpus_free(c);
}

Test(dataset, ill_formed_utf8_is_repaired_and_counted)
{
    guard_import_report report;
    guard_corpus *c = read_text("{\"text\":\"a\xff\xff b\"}\n{\"text\":\"fine \xc3\xa9\"}\n", NULL, &report);

    cr_expect_eq(report.repaired, 1u);
    cr_expect_str_eq(c->row[0].text.s, "a\xef\xbf\xbd\xef\xbf\xbd b");
    guard_corpus_free(c);

    c = read_text("prompt,type,label\nx\xff,t,safe\ny,t,unsafe\n", NULL, &report);
    cr_expect(report.repaired == 1 && report.rows == 2);
    guard_corpus_free(c);
}

Test(dataset, a_missing_file_is_a_file_error)
{
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_dataset_read(&c, NULL, path_in(temp_dir(), "none.jsonl"), NULL, &err), NN_FILE, &err,
                 "none.jsonl");
}

Test(dataset, a_sample_is_seeded_and_in_the_order_of_the_file)
{
    guard_buf b = {0};
    const guard_import one = {.cap = 20, .seed = 1}, two = {.cap = 20, .seed = 2}, all = {.cap = 1000};
    size_t same = 0;

    for (int i = 0; i < 100; i++) guard_buf_fmt(&b, "{\"text\":\"row %03d\",\"label\":%d}\n", i, i % 2);
    guard_corpus *x = read_text(b.bytes, &one, NULL), *again = read_text(b.bytes, &one, NULL);
    guard_corpus *y = read_text(b.bytes, &two, NULL), *z = read_text(b.bytes, &all, NULL);
    cr_assert(x->n == 20 && again->n == 20 && y->n == 20 && z->n == 100);
    for (size_t i = 0; i < 20; i++) {
        cr_expect_str_eq(x->row[i].text.s, again->row[i].text.s);
        same += strcmp(x->row[i].text.s, y->row[i].text.s) == 0;
        if (i) cr_expect(strcmp(x->row[i - 1].text.s, x->row[i].text.s) < 0);
    }
    cr_expect_lt(same, 20u);
    guard_corpus_free(x);
    guard_corpus_free(again);
    guard_corpus_free(y);
    guard_corpus_free(z);
    guard_buf_free(&b);
}

Test(dataset, a_corpus_file_reads_as_rows_with_columns)
{
    guard_corpus *c =
        read_text("{\"columns\":[[\"p\",\"score\",\"num\"]]}\n{\"text\":\"a\",\"label\":0,\"cols\":{\"p\":0.5}}\n",
                  NULL, NULL);
    const guard_column *p = guard_corpus_find(c, "p");

    cr_expect(c->n == 1 && p && p->num[0] == 0.5);
    guard_corpus_free(c);
    expect_refused("{\"text\":\"a\",\"cols\":{\"p\":[]}}\n",
                   "a.jsonl:1: p: is '', want a value of the column's kind");
}

Test(dataset, a_field_of_the_file_becomes_a_column)
{
    guard_corpus *c = read_text("{\"text\":\"a\",\"structure\":\"direct\",\"severity\":3,\"seen\":true}\n"
                                "{\"text\":\"b\",\"structure\":null,\"seen\":false}\n"
                                "{\"text\":\"c\",\"severity\":\"high\"}\n",
                                NULL, NULL);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_dataset_column(c, "structure", "01.load", GUARD_COL_STR, &err), &err);
    expect_ok(guard_dataset_column(c, "seen", "01.load", GUARD_COL_BOOL, &err), &err);
    const guard_column *structure = guard_corpus_find(c, "structure"), *seen = guard_corpus_find(c, "seen");
    cr_expect_str_eq(structure->str[0].s, "direct");
    cr_expect(!structure->str[1].s && !structure->str[2].s);
    cr_expect(seen->num[0] == 1.0 && seen->num[1] == 0.0 && seen->num[2] != seen->num[2]);
    expect_fails(guard_dataset_column(c, "severity", "01.load", GUARD_COL_NUM, &err), NN_CONTENT, &err,
                 "severity: another kind of value, want a number");
    cr_expect(strstr(err.text, c->row[2].id) != NULL, "%s", err.text);
    guard_corpus_free(c);
}

/* --- gzip ------------------------------------------------------------------------------------- */

static char *zipped(const char *path, const char *text, int members, size_t *len)
{
    for (int i = 0; i < members; i++) {
        gzFile f = gzopen(path, i ? "ab" : "wb");
        cr_assert(f && gzwrite(f, text, (unsigned)strlen(text)) == (int)strlen(text) && gzclose(f) == Z_OK);
    }
    return read_bytes(path, len);
}

Test(dataset, gzip_is_read_by_its_first_bytes)
{
    const char *path = path_in(temp_dir(), "rows.jsonl");
    size_t len = 0;

    free(zipped(path, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n", 2, &len));
    guard_corpus *c = read_file(path, NULL, NULL);
    cr_expect_eq(c->n, 4u, "both members count");
    guard_corpus_free(c);
}

Test(dataset, damaged_gzip_is_refused_at_every_byte)
{
    const char *dir = temp_dir(), *path = path_in(dir, "rows.gz"), *bad = path_in(dir, "bad.gz");
    size_t len = 0, n = 0;
    char *bytes = zipped(path, "{\"text\":\"some text, some text\"}\n", 1, &len), *out = NULL;
    nn_err err = {NN_OK, ""};

    for (size_t cut = 2; cut < len; cut++) {
        write_bytes(bad, bytes, cut);
        err = (nn_err){NN_OK, ""};
        expect_fails(guard_slurp(&out, &n, bad, 1000, &err), NN_FILE, &err, "gzip data ends early");
        cr_assert(out == NULL);
    }
    bytes[len - 6] = (char)(bytes[len - 6] ^ 1); /* the checksum */
    write_bytes(bad, bytes, len);
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_slurp(&out, &n, bad, 1000, &err), NN_FILE, &err, "bad.gz: byte");
    free(bytes);
}

Test(dataset, what_unpacks_to_too_much_is_a_limit)
{
    const char *path = path_in(temp_dir(), "bomb.gz");
    char *zeros = calloc(1 << 20, 1), *out = NULL;
    size_t len = 0, n = 0;
    nn_err err = {NN_OK, ""};

    cr_assert(zeros != NULL);
    memset(zeros, '0', (1 << 20) - 1);
    char *bytes = zipped(path, zeros, 1, &len);
    cr_assert_lt(len, 5000u);
    expect_fails(guard_slurp(&out, &n, path, 100000, &err), NN_LIMIT, &err, "bomb.gz: ");
    err = (nn_err){NN_OK, ""};
    expect_ok(guard_slurp(&out, &n, path, 1 << 20, &err), &err);
    cr_expect_eq(n, (size_t)(1 << 20) - 1);
    nn_free(out);
    free(bytes);
    free(zeros);
}

Test(dataset, every_allocation_may_fail)
{
    const char *dir = temp_dir(), *json = path_in(dir, "r.gz"), *csv = path_in(dir, "r.csv");
    const guard_import o = {.cap = 1};
    nn_status st = NN_LIMIT;
    size_t len = 0;

    free(zipped(json, "{\"text\":\"a\xff\",\"category\":[\"x\"],\"n\":1,\"cols\":{\"p\":1}}\n{\"text\":\"b\"}\n", 1,
                &len));
    write_text(csv, "Behavior,FunctionalCategory,ContextString\nb\xff,standard,before\nc,standard,\n");
    for (int file = 0; file < 2; file++, st = NN_LIMIT) {
        for (long n = 0; st != NN_OK; n++) {
            guard_corpus *c = NULL;

            cr_assert(n < 1000);
            nn_alloc_fail_at(n);
            st = guard_dataset_read(&c, NULL, file ? csv : json, &o, NULL);
            nn_alloc_fail_at(-1);
            cr_assert(st == NN_OK ? c && c->n == 1 : st == NN_LIMIT && !c, "allocation %ld: %d", n, (int)st);
            guard_corpus_free(c);
        }
    }
}

/* --- the whole development data ---------------------------------------------------------------- */

Test(dataset, a_training_file_reads_whole)
{
    guard_import_report report;

    skip_unless_fixture("data/train/benign_gsm8k.jsonl.gz");
    guard_corpus *c = read_file(shared_path("data/train/benign_gsm8k.jsonl.gz"), NULL, &report);
    cr_expect(report.rows == 8788 && report.unlabelled == 0 && report.repaired == 0);
    for (size_t i = 0; i < c->n; i++) cr_assert(c->row[i].response.n > 0);
    guard_corpus_free(c);
}
