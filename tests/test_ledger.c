/* Tests of guard/ledger.h: one line an entry, each with the hash of the one before; what a crash leaves is not counted.
 */
#include "guard/ledger.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char key[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static guard_entry entry_of(size_t ordinal, bool rule, const char *name, const char *note)
{
    const char *const in[2] = {key, key};
    nn_err err = {NN_OK, ""};
    guard_entry e;

    memset(&e, 0, sizeof e);
    e.ordinal = ordinal;
    e.rule = rule;
    strcpy(e.name, name);
    strcpy(e.key, key);
    strcpy(e.args, key);
    e.tokens = 5;
    e.metrics = 100 * ordinal;
    expect_ok(guard_entry_input(&e, in, 2, &err), &err);
    expect_ok(guard_hashes_add(&e.out, "corpus/01_load.jsonl", key, &err), &err);
    if (note) expect_ok(guard_text_copy(&e.note, note, strlen(note), &err), &err);
    return e;
}

/* A ledger of three stages, the second with a rule: four lines. */
static void write_ledger(const char *path)
{
    static const char note[] =
        "{\"why\":\"a ,\\\"note\\\": and ,\\\"tokens\\\": inside\", \"deep\":{\"note\":1,\"tokens\":2}}";
    guard_ledger l = {NULL, 0, 0, 0};
    nn_err err = {NN_OK, ""};
    guard_entry one = entry_of(1, false, "load", note), three = entry_of(3, false, "train", NULL);
    guard_entry two[2] = {entry_of(2, true, "keep", "{\"kept\":3,\"dropped\":1}"), entry_of(2, false, "curate", NULL)};

    expect_ok(guard_ledger_append(&l, path, &one, 1, &err), &err);
    expect_ok(guard_ledger_append(&l, path, two, 2, &err), &err);
    expect_ok(guard_ledger_append(&l, path, &three, 1, &err), &err);
    guard_ledger_free(&l);
}

static const char *ledger_in(const char *dir)
{
    return path_in(dir, "ledger.jsonl");
}

Test(ledger, lines_are_json_with_fixed_keys_and_the_hash_before)
{
    static const char *const keys[] = {"n",  "kind", "ordinal", "name",   "key",     "args",
                                       "in", "out",  "note",    "tokens", "metrics", "prev"};
    const char *path = ledger_in(temp_dir());
    char prev[65];

    write_ledger(path);
    strcpy(prev, guard_ledger_first);
    char *text = read_bytes(path, NULL);
    json_int_t n = 1;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++) {
        json_error_t why;
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &why);
        size_t i = 0;
        const char *k = NULL;
        json_t *v = NULL;

        cr_assert(o != NULL, "%s", why.text);
        json_object_foreach(o, k, v)
        {
            cr_assert(i < sizeof keys / sizeof *keys);
            cr_expect_str_eq(k, keys[i]);
            i++;
        }
        cr_expect_eq(json_integer_value(json_object_get(o, "n")), n);
        cr_expect_str_eq(json_string_value(json_object_get(o, "prev")), prev);
        nn_sha256_hex(line, strlen(line), prev);
        json_decref(o);
    }
    cr_expect(n == 5);
    free(text);
}

Test(ledger, reads_back_what_was_written)
{
    const char *path = ledger_in(temp_dir());
    guard_ledger l;
    nn_err err = {NN_OK, ""};
    uint64_t len = 0;

    write_ledger(path);
    expect_ok(guard_ledger_read(&l, path, &err), &err);
    cr_assert(l.n == 4);
    cr_expect(l.entry[1].rule && l.entry[1].ordinal == 2 && l.entry[1].n == 2);
    cr_expect_str_eq(l.entry[0].note,
                     "{\"why\":\"a ,\\\"note\\\": and ,\\\"tokens\\\": inside\", \"deep\":{\"note\":1,\"tokens\":2}}");
    cr_expect(l.entry[2].note == NULL);
    cr_expect(l.entry[3].tokens == 5 && l.entry[3].metrics == 300 && l.entry[3].n_in == 2 && l.entry[3].out.n == 1);
    cr_expect(guard_ledger_stage(&l, 2) == l.entry + 2);
    cr_expect(guard_ledger_stage(&l, 4) == NULL);
    cr_expect_str_eq(guard_ledger_head(&l), l.entry[3].sha256);
    expect_ok(nn_file_size(path, &len, &err), &err);
    cr_expect_eq(l.bytes, len);
    guard_ledger_free(&l);
}

/* Moving to more room frees the entry whose hash stands in the next line; the sanitizers see who reads it after. */
Test(ledger, a_long_ledger_keeps_its_chain_while_it_grows)
{
    const char *path = ledger_in(temp_dir());
    guard_ledger l = {NULL, 0, 0, 0}, again;
    nn_err err = {NN_OK, ""};

    for (size_t i = 1; i <= 40; i++) {
        guard_entry e = entry_of(i, false, "stage", NULL);

        expect_ok(guard_ledger_append(&l, path, &e, 1, &err), &err);
        if (i > 1) cr_expect_str_eq(l.entry[i - 1].prev, l.entry[i - 2].sha256, "entry %zu", i);
    }
    expect_ok(guard_ledger_read(&again, path, &err), &err);
    cr_expect_eq(again.n, 40);
    cr_expect_str_eq(guard_ledger_head(&again), guard_ledger_head(&l));
    guard_ledger_free(&again);
    guard_ledger_free(&l);
}

Test(ledger, absent_file_is_an_empty_ledger)
{
    guard_ledger l;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_ledger_read(&l, ledger_in(temp_dir()), &err), &err);
    cr_expect(l.n == 0 && l.bytes == 0);
    cr_expect_str_eq(guard_ledger_head(&l), guard_ledger_first);
    guard_ledger_free(&l);
}

Test(ledger, cut_at_any_byte_keeps_the_whole_stages_before_it)
{
    const char *dir = temp_dir();
    char path[300], cut[300];
    size_t len = 0;

    snprintf(path, sizeof path, "%s/ledger.jsonl", dir);
    snprintf(cut, sizeof cut, "%s/cut.jsonl", dir);
    write_ledger(path);
    char *text = read_bytes(path, &len);
    for (size_t at = 0; at <= len; at += at % 7 + 1) {
        guard_ledger l;
        nn_err err = {NN_OK, ""};
        size_t lines = 0;

        for (size_t i = 0; i < at; i++) lines += text[i] == '\n';
        write_bytes(cut, text, at);
        expect_ok(guard_ledger_read(&l, cut, &err), &err);
        cr_assert(l.n == (lines == 2 ? 1 : lines), "cut at %zu: %zu entries of %zu lines", at, l.n,
                  lines); /* line 2 is a rule */
        cr_assert(l.bytes <= at);
        guard_ledger_free(&l);
    }
    free(text);
}

Test(ledger, any_changed_bit_before_the_last_line_is_refused)
{
    const char *dir = temp_dir();
    char path[300];
    size_t len = 0;

    snprintf(path, sizeof path, "%s/ledger.jsonl", dir);
    write_ledger(path);
    char *text = read_bytes(path, &len);
    size_t last = len - 1;
    while (text[last - 1] != '\n') last--;
    for (size_t i = 0; i < last; i += 3) {
        guard_ledger l;
        nn_err err = {NN_OK, ""};

        text[i] = (char)(text[i] ^ 2);
        write_bytes(path, text, len);
        text[i] = (char)(text[i] ^ 2);
        cr_assert(guard_ledger_read(&l, path, &err) == NN_FILE, "byte %zu", i);
        cr_assert(strstr(err.text, "ledger.jsonl: entry ") != NULL, "%s", err.text);
    }
    free(text);
}

Test(ledger, hostile_lines_are_refused_with_their_place)
{
    static const char *const lines[] = {
        "[]\n",
        "\n",
        "{\"n\":1}\n",
        "null\n",
        "{\"n\":1,\"kind\":\"stage\",\"ordinal\":1,\"name\":\"x\",\"tokens\":0,\"metrics\":0,\"key\":\"short\"}\n",
        "{\"n\":-1,\"kind\":\"stage\",\"ordinal\":1,\"name\":\"x\"}\n",
        "{\"n\":1,\"n\":2,\"kind\":\"stage\"}\n"};
    const char *path = ledger_in(temp_dir());

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        guard_ledger l;
        nn_err err = {NN_OK, ""};

        write_text(path, lines[i]);
        expect_fails(guard_ledger_read(&l, path, &err), NN_FILE, &err, "ledger.jsonl: entry 1: ");
        cr_expect(l.n == 0 && l.entry == NULL);
    }
}

Test(ledger, output_path_that_leaves_the_folder_is_refused)
{
    const char *path = ledger_in(temp_dir());
    guard_ledger l;
    nn_err err = {NN_OK, ""};
    size_t len = 0;

    write_ledger(path);
    char *text = read_bytes(path, &len);
    char *at = strstr(text, "corpus/01_load.jsonl");
    memcpy(at, "../../../etc/passwd0", 20);
    write_bytes(path, text, len);
    free(text);
    expect_fails(guard_ledger_read(&l, path, &err), NN_FILE, &err, "entry 1: an output path that leaves the folder");
}
