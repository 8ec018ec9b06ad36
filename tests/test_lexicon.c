/* Tests of the lexicon reader: phrases as they stand, a sentence for each thing that is wrong, every allocation. */
#include "guard/augment.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <string.h>

static const char good[] =
    "{\"category\":\"fraud\",\"concept\":\"fake_invoice\",\"acts\":[\"forge an invoice\",\"bill for nothing\"],"
    "\"twins\":[\"spot a forged invoice\"]}\n"
    "\n"
    "{\"category\":\"\",\"acts\":[\"bake bread\",\"d\\u00e9corer la table\"]}\n";

static nn_status read_text(guard_lexicon **l, const char *text, nn_err *err)
{
    const char *path = path_in(temp_dir(), "lexicon.jsonl");

    write_text(path, text);
    return guard_lexicon_read(l, path, err);
}

Test(lexicon, phrases_come_back_as_they_stand)
{
    guard_lexicon *l = NULL;
    nn_err err = {NN_OK, ""};
    size_t n = 0;

    expect_ok(read_text(&l, good, &err), &err);
    const guard_concept *c = guard_lexicon_concepts(l, &n);
    cr_assert_eq(n, 2u);
    cr_expect_str_eq(c[0].category, "fraud");
    cr_expect_str_eq(c[0].concept, "fake_invoice");
    cr_assert_eq(c[0].n_act, 2u);
    cr_expect_str_eq(c[0].act[1], "bill for nothing");
    cr_assert_eq(c[0].n_twin, 1u);
    cr_expect_str_eq(c[0].twin[0], "spot a forged invoice");
    cr_expect_str_eq(c[1].category, "");
    cr_expect_str_eq(c[1].concept, "");
    cr_assert_eq(c[1].n_act, 2u);
    cr_expect_eq(c[1].n_twin, 0u);
    cr_expect_str_eq(c[1].act[1], "d\xC3\xA9" "corer la table");
    guard_lexicon_free(l);
}

Test(lexicon, phrases_become_rows_and_pairs_stay_pairs)
{
    guard_lexicon *l = NULL;
    guard_corpus *c = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(read_text(&l, good, &err), &err);
    expect_ok(guard_lexicon_rows(&c, l, &err), &err);
    guard_lexicon_free(l);
    cr_assert_eq(c->n, 5u);
    const guard_row *act = &c->row[0], *twin = &c->row[2], *ordinary = &c->row[3];
    cr_expect_str_eq(act->text.s, "forge an invoice");
    cr_expect(act->label == GUARD_UNSAFE && twin->label == GUARD_SAFE && ordinary->label == GUARD_SAFE);
    cr_expect_str_eq(act->category.s, "fraud");
    cr_expect_str_eq(twin->concept.s, "fake_invoice");
    cr_expect_str_eq(twin->parents.s, act->id);
    cr_expect_str_eq(act->source.s, "lexicon/act");
    cr_expect_str_eq(twin->source.s, "lexicon/twin");
    cr_expect_str_eq(ordinary->source.s, "lexicon/ordinary");
    cr_expect(!c->row[1].parents.s && !ordinary->parents.s && !ordinary->category.s);
    cr_expect_str_eq(act->lang.s, "en");
    guard_corpus_free(c);
}

Test(lexicon, a_bad_line_is_named_with_its_field)
{
    static const struct {
        const char *line, *part;
    } bad[] = {
        {"[1]", ":1: line: not an object"},
        {"{\"category\":\"fraud\"", ":1: "},
        {"\n{\"category\":7,\"concept\":\"x\",\"acts\":[\"a\"],\"twins\":[\"b\"]}", ":2: category"},
        {"{\"category\":\"fraud\",\"acts\":[\"a\"],\"twins\":[\"b\"]}", "concept"},
        {"{\"category\":\"fraud\",\"concept\":\"x\",\"twins\":[\"b\"]}", "acts"},
        {"{\"category\":\"fraud\",\"concept\":\"x\",\"acts\":[\"a\"]}", "twins"},
        {"{\"category\":\"fraud\",\"concept\":\"x\",\"acts\":[\"a\",\"\"],\"twins\":[\"b\"]}", "acts[1]"},
        {"{\"category\":\"fraud\",\"concept\":\"x\",\"acts\":[\"a\"],\"twins\":[\"b\\u0000c\"]}", "twins[0]"},
        {"{\"category\":\"\",\"acts\":[\"a\"],\"twins\":[\"b\"]}", "twins"},
        {"{\"category\":\"\",\"act\":[\"a\"]}", "field 'act'"},
        {"{\"category\":\"\",\"lang\":7,\"acts\":[\"a\"]}", "lang"},
        {"{\"category\":\"\",\"lang\":\"es\",\"acts\":[\"a\"]}\n{\"category\":\"\",\"lang\":\"fr\",\"acts\":[\"a\"]}", ":2: lang: 'fr', want 'es'"},
        {"{\"category\":\"\",\"lang\":\"es\",\"acts\":[\"a\"]}\n{\"category\":\"\",\"acts\":[\"a\"]}", ":2: lang: '', want 'es'"},
        {"{\"category\":\"\",\"acts\":[\"a\"]}\n{\"category\":\"\",\"lang\":\"fr\",\"acts\":[\"a\"]}", ":2: lang: 'fr', want ''"},
        {"\n \n", "no concepts"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        guard_lexicon *l = NULL;
        nn_err err = {NN_OK, ""};

        expect_fails(read_text(&l, bad[i].line, &err), NN_CONTENT, &err, bad[i].part);
        cr_expect_null(l);
    }
}

Test(lexicon, a_lexicon_has_one_language)
{
    static const char two[] = "{\"category\":\"\",\"lang\":\"es\",\"acts\":[\"leer un mapa\"]}\n"
                              "{\"category\":\"\",\"lang\":\"es\",\"acts\":[\"pintar la valla\"]}\n";
    guard_lexicon *l = NULL;
    nn_err err = {NN_OK, ""};
    size_t n = 0;

    expect_ok(read_text(&l, two, &err), &err);
    cr_expect_str_eq(guard_lexicon_lang(l), "es");
    cr_expect_str_eq(guard_lexicon_concepts(l, &n)[1].act[0], "pintar la valla");
    guard_lexicon_free(l);
    expect_ok(read_text(&l, good, &err), &err);
    cr_expect_null(guard_lexicon_lang(l));
    guard_lexicon_free(l);
}

Test(lexicon, a_missing_file_is_named)
{
    guard_lexicon *l = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_lexicon_read(&l, "no/such/lexicon.jsonl", &err), NN_FILE, &err, "no/such/lexicon.jsonl");
}

Test(lexicon, every_allocation_may_fail)
{
    const char *path = path_in(temp_dir(), "lexicon.jsonl");
    nn_status st = NN_LIMIT;
    long n = 0;

    write_text(path, good);
    for (; st != NN_OK; n++) {
        guard_lexicon *l = NULL;
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        st = guard_lexicon_read(&l, path, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && !l), "allocation %ld: status %d", n, (int)st);
        guard_lexicon_free(l);
        cr_assert_lt(n, 200);
    }
    cr_expect_gt(n, 4);
}
