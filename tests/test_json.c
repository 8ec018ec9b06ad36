/* Tests of the row reader's JSON: JSONTestSuite as a whole, and what a row adds to it. */
#include "guard/import.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "tests/support.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static nn_status parse(const char *bytes, size_t len, bool unique, nn_err *err)
{
    json_t *root = NULL;
    const nn_status st = guard_json_parse(&root, bytes, len, unique, "x", err);

    cr_expect((st == NN_OK) == (root != NULL));
    json_decref(root);
    return st;
}

static nn_status parse_text(const char *s, bool unique, nn_err *err)
{
    return parse(s, strlen(s), unique, err);
}

Test(json, the_test_suite_is_decided_as_written)
{
    char **name = NULL;
    size_t n = 0, taken = 0, refused = 0;
    nn_err err = {NN_OK, ""};

    skip_unless_fixture("fixtures/text/json/y_array_empty.json");
    const char *dir = shared_path("fixtures/text/json");
    expect_ok(nn_dir_list(&name, &n, dir, &err), &err);
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        char *bytes = read_bytes(path_in(dir, name[i]), &len);
        const nn_status st = parse(bytes, len, false, NULL);

        if (name[i][0] == 'y') cr_expect(st == NN_OK, "%s refused", name[i]);
        if (name[i][0] == 'n') cr_expect(st == NN_CONTENT, "%s taken", name[i]);
        taken += name[i][0] == 'y';
        refused += name[i][0] == 'n';
        free(bytes);
        nn_free(name[i]);
    }
    nn_free(name);
    cr_expect(taken == 95 && refused == 188, "%zu y_ and %zu n_ files, want 95 and 188", taken, refused);
}

/* No way to write a row may lead outside the text: with a sanitizer this would show. */
Test(json, the_test_suite_harms_no_row)
{
    char **name = NULL;
    size_t n = 0;
    nn_err err = {NN_OK, ""};
    guard_corpus *c = NULL;

    skip_unless_fixture("fixtures/text/json/y_array_empty.json");
    const char *dir = shared_path("fixtures/text/json");
    expect_ok(nn_dir_list(&name, &n, dir, &err), &err);
    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) {
        guard_buf b = {0};
        size_t len = 0;
        char *bytes = read_bytes(path_in(dir, name[i]), &len);

        guard_buf_str(&b, "{\"text\":\"t\",\"label\":1,\"x\":");
        guard_buf_add(&b, bytes, len);
        guard_buf_str(&b, "}");
        const nn_status st = guard_dataset_line(c, b.bytes, b.len, "x", NULL);
        cr_expect(st == NN_OK || st == NN_CONTENT, "%s", name[i]);
        guard_buf_free(&b);
        free(bytes);
        nn_free(name[i]);
    }
    nn_free(name);
    cr_expect(c->n >= 90, "%zu", c->n);
    guard_corpus_free(c);
}

Test(json, a_key_that_stands_twice_is_refused_in_a_row)
{
    nn_err err = {NN_OK, ""};

    expect_ok(parse_text("{\"a\":1,\"a\":2}", false, &err), &err);
    expect_fails(parse_text("{\"a\":1,\"a\":2}", true, &err), NN_CONTENT, &err, "x: JSON: duplicate object key");
}

Test(json, a_zero_byte_in_a_key_becomes_the_replacement_character)
{
    static const char s[] = "{\"\\\\u0000\": \"\\u0000\", \"a\\u0000\" : {\"b\\u0000\":1}}";
    json_t *root = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_json_parse(&root, s, sizeof s - 1, true, "x", &err), &err);
    cr_expect_eq(json_string_length(json_object_get(root, "\\u0000")), 1u);
    cr_expect(json_is_object(json_object_get(root, "a\xef\xbf\xbd")));
    json_decref(root);
}

Test(json, members_are_the_text_between_the_commas)
{
    static const char s[] = " { \"a\" : [1, {\"x\":\"}\\\"\"} ] ,\"b\\\"\":-1.5e3,\"c\":\"\\\\\", \"d\": null } ";
    static const char *const key[] = {"\"a\"", "\"b\\\"\"", "\"c\"", "\"d\""};
    static const char *const value[] = {"[1, {\"x\":\"}\\\"\"} ]", "-1.5e3", "\"\\\\\"", "null"};
    guard_members m;

    guard_members_open(&m, s, sizeof s - 1);
    for (size_t i = 0; i < 4; i++) {
        cr_assert(guard_members_next(&m));
        cr_expect(guard_text_is(m.key, key[i]), "%.*s", (int)m.key.n, m.key.s);
        cr_expect(guard_text_is(m.value, value[i]), "%.*s", (int)m.value.n, m.value.s);
    }
    cr_expect_not(guard_members_next(&m));
    guard_members_open(&m, "{}", 2);
    cr_expect_not(guard_members_next(&m));
}
