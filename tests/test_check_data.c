/* Tests of make check-data: each rule on the written corpus, seen on made-up rows that break it. */
#include "guard/buf.h"
#include "nn/arena.h"
#include "tests/check_data.h"
#include "tests/support.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING ((guard_corpus){0})

/* --- made-up folders --------------------------------------------------------------------------------------------- */

typedef struct {
    const char *dir;
    check_rows x;
    check_report r;
    char *said;
    size_t said_len;
    char last[GUARD_ID_LEN]; /* id of the unsafe row written last */
} made;

static made open_made(void)
{
    return (made){.dir = temp_dir()};
}

/* A row that keeps every rule, then `changes` (JSON members, null takes one away) over it, at the end of a file. */
static void add_row(made *m, const char *file, const char *kind, const char *text, const char *changes)
{
    const bool unsafe = strcmp(kind, "unsafe") == 0, twin = strcmp(kind, "twin") == 0;
    const bool response = strcmp(kind, "response") == 0;
    json_t *row = json_pack("{ss si ss ss++ ss ss}", "text", text, "label", (int)unsafe, "lang", "en", "source",
                            "corpus", "/", kind, "concept", "c1", "kind", kind);
    json_t *more = json_loads(changes, 0, NULL);
    char id[GUARD_ID_LEN];

    cr_assert(row != NULL && more != NULL, "%s", changes);
    if (unsafe || twin) json_object_set_new(row, "category", json_pack("[s]", "violence"));
    if (unsafe) json_object_set_new(row, "severity", json_integer(2));
    if (twin) json_object_set_new(row, "parent", json_pack("[s]", m->last));
    if (response) json_object_set_new(row, "response", json_string("so it is"));
    if (!response) {
        json_object_set_new(row, "structure", json_string(unsafe || twin ? "direct" : "travel"));
        json_object_set_new(row, "voice", json_string("plain"));
    }
    const char *answer = json_string_value(json_object_get(more, "response"));
    guard_row_id(id, "corpus", answer != NULL ? answer : response ? "so it is" : "", text, 0);
    json_object_set_new(row, "id", json_string(id));
    json_object_update(row, more);
    if (unsafe) memcpy(m->last, id, sizeof id);

    FILE *f = fopen(path_in(m->dir, file), "a");
    cr_assert(f != NULL);
    json_dumpf(row, f, JSON_COMPACT);
    fputc('\n', f);
    fclose(f);
    json_decref(row);
    json_decref(more);
}

static void read_made(made *m)
{
    m->r.out = open_memstream(&m->said, &m->said_len);
    cr_assert(m->r.out != NULL);
    cr_assert(check_rows_read(&m->x, &m->r, m->dir, "scripts/taxonomy.lua"));
}

static const char *said(made *m)
{
    fflush(m->r.out);
    return m->said;
}

static void close_made(made *m)
{
    check_rows_free(&m->x);
    fclose(m->r.out);
    free(m->said);
}

static void expect_finding(made *m, const char *part)
{
    cr_expect(m->r.findings > 0, "no finding; want \"%s\"", part);
    cr_expect(strstr(said(m), part) != NULL, "\"%s\" lacks \"%s\"", said(m), part);
}

static void expect_quiet(made *m)
{
    cr_expect(m->r.findings == 0, "%zu findings: %s", m->r.findings, said(m));
}

/* --- schema ------------------------------------------------------------------------------------------------------ */

Test(check_data, a_row_that_breaks_the_schema_is_named)
{
    static const struct {
        const char *kind, *changes, *want;
    } bad[] = {
        {"ordinary", "{\"id\": \"0123456789abcdef\"}", "id is not SHA-256"},
        {"response", "{\"response\": null}", "id is not SHA-256"},
        {"ordinary", "{\"kind\": \"plain\"}", "kind is none of"},
        {"unsafe", "{\"label\": 0}", "label does not fit"},
        {"twin", "{\"label\": 1}", "label does not fit"},
        {"ordinary", "{\"label\": null}", "label does not fit"},
        {"ordinary", "{\"source\": \"corpus\"}", "source is not"},
        {"ordinary", "{\"source\": \"copies/ordinary\"}", "source is not"},
        {"ordinary", "{\"source\": \"corpus/twin\"}", "source is not"},
        {"ordinary", "{\"lang\": \"\"}", "concept or lang is missing"},
        {"ordinary", "{\"concept\": \"\"}", "concept or lang is missing"},
        {"ordinary", "{\"response\": \"yes\"}", "want a response"},
        {"twin", "{\"severity\": 2}", "severity on a row"},
        {"response", "{\"category\": [\"weather\"]}", "category is not one"},
        {"ordinary", "{\"voice\": \"loud\"}", "voice is none"},
        {"ordinary", "{\"category\": [\"violence\"]}", "an ordinary row has a category"},
        {"ordinary", "{\"structure\": \"\"}", "no subject"},
        {"unsafe", "{\"category\": [\"weather\"]}", "category is not one"},
        {"unsafe", "{\"category\": [\"violence\", \"hate\"]}", "category is not one"},
        {"unsafe", "{\"structure\": \"poem\"}", "structure is none"},
        {"unsafe", "{\"severity\": 4}", "severity is not 1, 2 or 3"},
        {"unsafe", "{\"parent\": [\"0123456789abcdef\"]}", "an unsafe row names a parent"},
        {"twin", "{\"parent\": [\"0123456789abcdef\"]}", "names no unsafe parent"},
        {"twin", "{\"concept\": \"c2\"}", "differ in concept"},
        {"twin", "{\"category\": [\"hate\"]}", "differ in category"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        made m = open_made();

        add_row(&m, "a.jsonl", "unsafe", "hurt the goat", "{}");
        add_row(&m, "b.jsonl", bad[i].kind, "feed the goat", bad[i].changes);
        read_made(&m);
        check_schema(&m.r, &m.x);
        expect_finding(&m, bad[i].want);
        cr_expect(m.r.findings == 1, "%s: %s", bad[i].changes, said(&m));
        close_made(&m);
    }
}

Test(check_data, rows_that_keep_the_schema_are_quiet)
{
    made m = open_made();

    add_row(&m, "a.jsonl", "unsafe", "hurt the goat", "{\"label\": null}");
    add_row(&m, "a.jsonl", "twin", "feed the goat", "{}");
    add_row(&m, "b.jsonl", "ordinary", "trains to the lake", "{}");
    add_row(&m, "b.jsonl", "response", "is the lake wet", "{\"label\": 1, \"category\": [\"hate\"]}");
    read_made(&m);
    check_schema(&m.r, &m.x);
    expect_quiet(&m);
    cr_expect(m.x.n_file == 2 && m.x.fact[1].parent == 0 && m.x.n_category == 18);
    close_made(&m);
}

Test(check_data, a_text_that_stands_twice_is_named)
{
    made m = open_made();

    add_row(&m, "a.jsonl", "ordinary", "trains to the lake", "{}");
    add_row(&m, "b.jsonl", "ordinary", "trains to the lake", "{}");
    read_made(&m);
    expect_finding(&m, "stands twice");
    close_made(&m);
}

/* --- counts ------------------------------------------------------------------------------------------------------ */

Test(check_data, a_short_cell_is_a_finding_of_a_complete_corpus_only)
{
    made m = open_made();

    for (int i = 0; i < 5; i++) {
        char text[32];

        snprintf(text, sizeof text, "hurt goat %d", i);
        add_row(&m, "a.jsonl", "unsafe", text, "{\"structure\": \"continuation\"}");
        add_row(&m, "a.jsonl", "unsafe", text + 1, i < 4 ? "{\"structure\": \"continuation\", \"category\": [\"hate\"]}"
                                                        : "{\"structure\": \"form\"}");
    }
    read_made(&m);
    check_counts(&m.r, &m.x, false);
    expect_quiet(&m);
    check_counts(&m.r, &m.x, true);
    expect_finding(&m, "short: hate, continuation: 4 rows, the plan says 10\n");
    expect_finding(&m, "short: violence, severity 3: 0 rows");
    expect_finding(&m, "short: ja, twin: 0 rows, the plan says 40");
    cr_expect(strstr(said(&m), "short: violence, continuation") == NULL, "half of the plan's is enough");
    close_made(&m);
}

Test(check_data, the_grid_is_that_of_the_plan)
{
    char *plan = read_bytes("docs/corpus.md", NULL), line[64];

    for (size_t i = 0; i < CHECK_STRUCTURES; i++) {
        snprintf(line, sizeof line, "\n| %s | %zu |", check_structure[i].name, check_structure[i].want);
        cr_expect(strstr(plan, line) != NULL, "docs/corpus.md lacks%s", line);
    }
    free(plan);
}

Test(check_data, new_words_are_counted_once)
{
    made m = open_made();

    add_row(&m, "a.jsonl", "ordinary", "goats eat grass", "{}");
    add_row(&m, "a.jsonl", "ordinary", "Goats eat; goats sleep.", "{}");
    add_row(&m, "a.jsonl", "ordinary", "\xe5\xb1\xb1\xe7\xbe\x8a\xe5\xb1\xb1", "{\"lang\": \"zh\"}");
    read_made(&m);
    check_growth(&m.r, &m.x);
    cr_expect_str_eq(said(&m), "new words in each thousand rows: 6 (the last of 3 rows)\n");
    close_made(&m);
}

/* --- artefacts --------------------------------------------------------------------------------------------------- */

/* What 120 pairs of "<head>v7<tail>" and "<head>w7<tail>" look like. */
typedef struct {
    const char *want, *head, *tail, *twin_head, *twin_tail, *twin_file, *twin_structure;
} look;

static void add_pairs(made *m, const look *l)
{
    for (int i = 0; i < 120; i++) {
        char text[96], changes[96];

        snprintf(text, sizeof text, "%sv%d%s", l->head, i, l->tail);
        snprintf(changes, sizeof changes, "{\"concept\": \"c%d\"}", i);
        add_row(m, "a.jsonl", "unsafe", text, changes);
        snprintf(text, sizeof text, "%sw%d%s", l->twin_head, i, l->twin_tail);
        snprintf(changes, sizeof changes, "{\"concept\": \"c%d\", \"structure\": \"%s\"}", i, l->twin_structure);
        add_row(m, l->twin_file, "twin", text, changes);
    }
    read_made(m);
    check_schema(&m->r, &m->x);
    expect_quiet(m);
    check_artefacts(&m->r, &m->x);
}

Test(check_data, what_tells_twins_by_their_surface_is_named)
{
    static const look looks[] = {
        {"length in bytes", "", "", "", "zzz", "a.jsonl", "direct"},
        {"length in words", "", " a b c d", "", " abcdefg", "a.jsonl", "direct"},
        {"punctuation marks", "", " , , ,x", "", " abcdex", "a.jsonl", "direct"},
        {"first word", "aaa ", "", "bbb ", "", "a.jsonl", "direct"},
        {"last mark", "", "!", "", "?", "a.jsonl", "direct"},
        {"last mark", "", ".", "", "", "a.jsonl", "direct"},
        {"structure", "", "", "", "", "a.jsonl", "form"},
        {"file", "", "", "", "", "b.jsonl", "direct"},
    };

    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        made m = open_made();

        add_pairs(&m, &looks[i]);
        cr_expect(m.r.findings > 0, "%s: nothing found", looks[i].want);
        const char *line = strstr(said(&m), looks[i].want), *end = line != NULL ? strchr(line, '\n') : NULL;
        const char *tells = line != NULL ? strstr(line, "betrays the label") : NULL;
        cr_expect(tells != NULL && tells < end, "%s: %s", looks[i].want, said(&m));
        close_made(&m);
    }
}

Test(check_data, twins_of_one_look_are_quiet)
{
    made m = open_made();

    add_pairs(&m, &(look){"", "tell me of ", "?", "tell me of ", "?", "a.jsonl", "direct"});
    expect_quiet(&m);
    close_made(&m);
}

/* --- texts that stand in two places ------------------------------------------------------------------------------ */

/* A row with a response is judged by that: its prompt may stand elsewhere. */
Test(check_data, half_of_the_trigrams_is_a_near_duplicate_outside_a_pair)
{
    made m = open_made();

    add_row(&m, "a.jsonl", "unsafe", "one two three four five six", "{}");
    add_row(&m, "a.jsonl", "twin", "one two three four five seven", "{}");
    add_row(&m, "a.jsonl", "ordinary", "red two three four blue green", "{}"); /* one of four */
    add_row(&m, "a.jsonl", "response", "one two three four five six", "{\"response\": \"so it is\"}");
    add_row(&m, "a.jsonl", "response", "up or down", "{\"response\": \"so it is\"}");
    add_row(&m, "a.jsonl", "ordinary", "blue green brown white", "{}");
    add_row(&m, "a.jsonl", "ordinary", "so the sea is blue green brown or grey", "{}"); /* one of two, and chance */
    read_made(&m);
    check_near(&m.r, &m.x, &NOTHING);
    expect_quiet(&m);
    close_made(&m);

    made n = open_made();
    add_row(&n, "a.jsonl", "ordinary", "one two three four five six", "{}");
    add_row(&n, "b.jsonl", "ordinary", "seven ONE two, three four eight", "{}");
    read_made(&n);
    check_near(&n.r, &n.x, &NOTHING);
    expect_finding(&n, "share 2 of 4 word trigrams");
    cr_expect(n.r.findings == 1, "a third of both rows' is no resemblance: %s", said(&n));
    close_made(&n);
}

Test(check_data, minhash_sees_what_the_index_sees)
{
    static const char *const kinds[] = {"unsafe", "twin", "ordinary"};

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        made m = open_made();

        add_row(&m, "a.jsonl", kinds[k], "one two three four five six seven", "{}");
        add_row(&m, "b.jsonl", kinds[k], "one two three four five six eight", "{}");
        read_made(&m);
        check_near(&m.r, &m.x, &NOTHING);
        expect_finding(&m, "share 4 of 5 word trigrams");
        expect_finding(&m, "resembles an earlier row by 0.67");
        cr_expect(m.r.findings == 2, "%s: %s", kinds[k], said(&m));
        close_made(&m);
    }
}

Test(check_data, seeds_are_not_to_be_written_again)
{
    made m = open_made();
    guard_corpus *seeds = NULL;
    nn_err err = {0};

    expect_ok(guard_corpus_build(&seeds, &err), &err);
    for (int i = 0; i < 2; i++) /* alike among themselves: their own matter */
        expect_ok(guard_corpus_add(seeds, &(guard_row){.text = {"trains to the lake", 18}, .label = 0}, &err), &err);
    add_row(&m, "a.jsonl", "ordinary", "boats across the sea", "{}");
    read_made(&m);
    check_near(&m.r, &m.x, seeds);
    expect_quiet(&m);
    close_made(&m);

    made n = open_made();
    add_row(&n, "a.jsonl", "ordinary", "trains to the lake?", "{}");
    read_made(&n);
    check_near(&n.r, &n.x, seeds);
    expect_finding(&n, "share 2 of 2 word trigrams");
    expect_finding(&n, "resembles");
    close_made(&n);
    guard_corpus_free(seeds);
}

/* In place: the stream keeps the address of what it writes. */
static void read_sentences(made *m)
{
    *m = open_made();
    add_row(m, "a.jsonl", "ordinary", "where do the herons of the old harbour sleep tonight", "{}");
    add_row(m, "a.jsonl", "ordinary", "herons sleep on stilts", "{}");
    add_row(m, "a.jsonl", "ordinary", "herons wake", "{}");
    read_made(m);
}

Test(check_data, a_sentence_of_an_evaluation_set_is_found_and_not_printed)
{
    made m;
    const char *dev = temp_dir();

    read_sentences(&m);
    write_text(path_in(dev, "one_dev.jsonl"),
               "{\"text\": \"Say: where do the herons of the old harbour go\", \"label\": 0}\n"
               "{\"text\": \"so\", \"response\": \"Herons sleep on stilts.\", \"label\": 0}\n"
               "{\"text\": \"herons wake\", \"label\": 0}\n"); /* too short to tell */
    check_dev(&m.r, &m.x, dev);
    cr_expect(m.r.findings == 2, "%s", said(&m));
    expect_finding(&m, m.x.name[0]);
    expect_finding(&m, m.x.name[1]);
    expect_finding(&m, "3 texts, 2 of our rows");
    cr_expect(strstr(said(&m), "heron") == NULL && strstr(said(&m), "Heron") == NULL, "%s", said(&m));
    close_made(&m);
}

Test(check_data, seven_words_of_an_evaluation_set_are_chance)
{
    made m;
    const char *dev = temp_dir();

    read_sentences(&m);
    write_text(path_in(dev, "one_dev.jsonl"), "{\"text\": \"where do the herons of the old barn\", \"label\": 0}\n"
                                              "{\"text\": \"big herons sleep on stilts\", \"label\": 0}\n");
    check_dev(&m.r, &m.x, dev);
    expect_quiet(&m);
    close_made(&m);
}

Test(check_data, an_absent_folder_of_evaluation_sets_is_a_counted_skip)
{
    made m;

    read_sentences(&m);
    check_dev(&m.r, &m.x, path_in(temp_dir(), "none"));
    check_dev(&m.r, &m.x, NULL);
    expect_quiet(&m);
    cr_expect(m.r.skips == 2 && strstr(said(&m), "skip: ") != NULL);
    close_made(&m);
}

Test(check_data, a_sentence_of_the_documentation_is_found)
{
    made m;
    char *path = (char *)path_in(temp_dir(), "page.md");

    read_sentences(&m);
    write_text(path, "Example: *where do the herons of the old* harbour, and so on.\n");
    check_sentences(&m.r, &m.x, &path, 1);
    expect_finding(&m, "a sentence of it stands in row");
    close_made(&m);

    made n;
    read_sentences(&n);
    write_text(path, "Herons sleep on stilts. Where do the herons of the old go?\n");
    check_sentences(&n.r, &n.x, &path, 1);
    expect_quiet(&n);
    close_made(&n);
}
