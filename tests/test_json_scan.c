/* Tests of nn/json_scan.h and nn/decimal.h: JSONTestSuite as a whole, numbers to the last bit, what is refused. */
#include "nn/arena.h"
#include "nn/json_scan.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_status skip_all(const char *bytes, size_t len, nn_err *err)
{
    nn_cursor c;

    nn_cursor_init(&c, bytes, len, "x", err);
    nn_json_skip(&c);
    nn_json_end(&c);
    return c.status;
}

/* --- reading all of a value, as a caller would ---------------------------------------------------------- */

static void read_value(nn_cursor *c, nn_json_pool *pool, size_t depth)
{
    size_t n = 0, len = 0;

    switch (nn_json_peek(c)) {
    case NN_JSON_NULL:
        if (!nn_json_null(c)) nn_cursor_fail(c, "no null");
        break;
    case NN_JSON_BOOL: (void)nn_json_bool(c); break;
    case NN_JSON_NUMBER: (void)nn_json_f64(c); break;
    case NN_JSON_STRING: (void)nn_json_text(c, pool, &len); break;
    case NN_JSON_ARRAY:
        if (depth > 600) nn_cursor_fail(c, "too deep");
        while (nn_json_item(c, &n)) read_value(c, pool, depth + 1);
        break;
    case NN_JSON_OBJECT:
        if (depth > 600) nn_cursor_fail(c, "too deep");
        while (nn_json_member(c, pool, &n, &len)) read_value(c, pool, depth + 1);
        break;
    case NN_JSON_NOTHING: nn_cursor_fail(c, "nothing"); break;
    }
}

static nn_status read_all(const char *bytes, size_t len, nn_err *err)
{
    nn_json_pool pool = {malloc(len + 1), 0, len + 1};
    nn_cursor c;

    nn_cursor_init(&c, bytes, len, "x", err);
    read_value(&c, &pool, 0);
    nn_json_end(&c);
    free(pool.bytes);
    return c.status;
}

Test(json_scan, the_test_suite_is_decided_as_written)
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
        const nn_status skipped = skip_all(bytes, len, NULL), read = read_all(bytes, len, NULL);

        if (name[i][0] == 'y') cr_expect(skipped == NN_OK && read == NN_OK, "%s refused", name[i]);
        if (name[i][0] == 'n') cr_expect(skipped == NN_FILE && read == NN_FILE, "%s taken", name[i]);
        taken += name[i][0] == 'y';
        refused += name[i][0] == 'n';
        free(bytes);
        nn_free(name[i]);
    }
    nn_free(name);
    cr_expect(taken == 95 && refused == 188, "%zu y_ and %zu n_ files, want 95 and 188", taken, refused);
}

Test(json_scan, a_text_cut_anywhere_is_refused)
{
    static const char text[] = " {\"a\": [1.5e-3, true, null, \"\\u00e9\\ud83d\\ude00\xc3\xa9\"], \"b\": {\"c\": []}}";

    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *exact = malloc(len + 1); /* so that a sanitizer sees a step too far */

        memcpy(exact, text, len);
        cr_expect(skip_all(exact, len, NULL) == NN_FILE, "%zu bytes taken", len);
        cr_expect(read_all(exact, len, NULL) == NN_FILE, "%zu bytes taken", len);
        free(exact);
    }
    cr_expect(skip_all(text, sizeof text - 1, NULL) == NN_OK);
    cr_expect(read_all(text, sizeof text - 1, NULL) == NN_OK);
}

Test(json_scan, depth_has_a_limit_with_a_name)
{
    char text[2 * (NN_JSON_DEPTH + 1)];
    nn_err err = {NN_OK, ""};

    memset(text, '[', NN_JSON_DEPTH + 1);
    memset(text + NN_JSON_DEPTH + 1, ']', NN_JSON_DEPTH + 1);
    cr_expect(skip_all(text + 1, 2 * NN_JSON_DEPTH, NULL) == NN_OK);
    expect_fails(skip_all(text, sizeof text, &err), NN_FILE, &err, "JSON more than 256 levels deep");
}

/* --- numbers --------------------------------------------------------------------------------------------- */

static double number_of(const char *text)
{
    nn_cursor c;

    nn_cursor_init(&c, text, strlen(text), "x", NULL);
    const double v = nn_json_f64(&c);
    nn_json_end(&c);
    cr_expect(c.status == NN_OK, "%s refused", text);
    return v;
}

/* The C library's own conversion is the judge; bits, so that -0 counts. */
static void expect_nearest(const char *text)
{
    const double got = number_of(text), want = strtod(text, NULL);

    cr_expect(memcmp(&got, &want, sizeof got) == 0, "%s: got %a, want %a", text, got, want);
}

Test(json_scan, numbers_are_the_nearest_double)
{
    static const char *const hard[] = {
        "0", "-0", "-0.0", "0e99", "1", "-1.5", "1e0", "1E+2", "100000000000000000000000", "0.1", "123456789.123456789",
        "9007199254740993", "9007199254740992.99999999999999999999", "9007199254740993.00000000000000000000000000001",
        "2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308", "4.9406564584124654e-324",
        "2.4703282292062327e-324", "2.4703282292062328e-324", "1e-324", "1e-400", "1e-99999999999999999999",
        "1.7976931348623157e308", "1.7976931348623158e308", "17976931348623158e292",
        "0.000000000000000000000000001e+300", "8.5e-309", "6.631236846766476e-316", "3.5844466002796428e298", "1e23",
        "-11.512925148010254", "-3.4028234663852886e38",
        "0.0000000000000000000000000000000000000000000000000000000001"};

    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) expect_nearest(hard[i]);
}

Test(json_scan, random_numbers_are_the_nearest_double)
{
    nn_rng rng = nn_rng_at(7, "decimal", 0);
    char text[64];

    for (size_t i = 0; i < 20000; i++) {
        const uint64_t bits = nn_rng_u64(&rng);
        double v;

        memcpy(&v, &bits, sizeof v);
        if (!(fabs(v) <= 1.7e308)) continue;
        snprintf(text, sizeof text, "%.*g", (int)(1 + i % 25), v);
        if (fabs(strtod(text, NULL)) <= 1.7e308) expect_nearest(text);
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(bits >> 40),
                 (unsigned long long)(bits & 0xffffff), (int)(bits % 40) - 20);
        expect_nearest(text);
    }
}

/* 2^-1074 / 2 in full has 751 digits: exactly half of the smallest double, which is a tie that goes to 0. */
Test(json_scan, digits_without_end_decide_a_tie)
{
    char *text = malloc(4000);
    const int n = snprintf(text, 4000, "%.1100f", 0x1p-1074);

    for (int i = 2; i < n; i++) cr_assert(text[i] >= '0' && text[i] <= '9');
    expect_nearest(text);
    /* 1 + 2^-53, between two doubles */
    snprintf(text, 4000, "1.00000000000000011102230246251565404236316680908203125");
    expect_nearest(text);
    size_t len = strlen(text);
    memset(text + len, '0', 1000);
    text[len + 1000] = '\0';
    expect_nearest(text);
    memcpy(text + len + 1000, "1", 2); /* beyond all kept digits, and it decides */
    expect_nearest(text);
    cr_expect(number_of(text) > 1.0);
    memset(text, '7', 3000);
    memcpy(text + 3000, "e-2990", 7);
    expect_nearest(text);
    free(text);
}

Test(json_scan, numbers_beyond_the_largest_double_are_refused)
{
    static const char *const bad[] = {"1e309", "-1e309", "1.7976931348623159e308", "1e99999999999999999999", "+1", ".5",
                                      "1.", "1e", "- 1", "NaN", "0x10", "\"1\"", ""};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_cursor c;

        nn_cursor_init(&c, bad[i], strlen(bad[i]), "x", NULL);
        cr_expect(nn_json_f64(&c) == 0.0);
        nn_json_end(&c);
        cr_expect(c.status == NN_FILE, "%s taken", bad[i]);
    }
}

/* --- objects with known keys ----------------------------------------------------------------------------- */

typedef struct {
    uint64_t dim;
    double sum;
    char name[8], unknown[64];
} config;

static nn_status read_config(config *f, const char *text, nn_err *err)
{
    static const char *const names[] = {"dim", "name", "sizes"};
    char bytes[128];
    nn_json_pool pool = {bytes, 0, sizeof bytes};
    nn_json_fields fields = {names, 3, 0, 0, ""};
    nn_cursor c;

    memset(f, 0, sizeof *f);
    nn_cursor_init(&c, text, strlen(text), "config.json", err);
    for (int k = nn_json_field(&c, &pool, &fields); k != NN_JSON_DONE; k = nn_json_field(&c, &pool, &fields)) {
        if (k == 0) {
            f->dim = nn_json_u64(&c);
        } else if (k == 1) {
            const char *s = nn_json_string(&c, &pool);
            if (s) snprintf(f->name, sizeof f->name, "%s", s);
        } else if (k == 2) {
            for (size_t n = 0; nn_json_item(&c, &n);) f->sum += nn_json_f64(&c);
        } else {
            memcpy(f->unknown, fields.key, sizeof f->unknown);
            nn_json_skip(&c);
        }
    }
    nn_json_end(&c);
    return c.status;
}

Test(json_scan, objects_are_read_by_name)
{
    nn_err err = {NN_OK, ""};
    config f;

    const char *text = "{\"sizes\": [1, 2.5, -1], \"other\": {\"dim\": [3]}, \"name\": \"a\\nb\", \"dim\":64}";
    expect_ok(read_config(&f, text, &err), &err);
    cr_expect(f.dim == 64 && f.sum == 2.5);
    cr_expect_str_eq(f.name, "a\nb");
    cr_expect_str_eq(f.unknown, "other");
    expect_ok(read_config(&f, "{}", &err), &err);
    expect_ok(read_config(&f, "{\"sizes\": []}", &err), &err);
    expect_fails(read_config(&f, "{\"dim\": 1, \"\\u0064im\": 2}", &err), NN_FILE, &err,
                 "config.json: byte 22: key \"dim\" twice");
}

Test(json_scan, what_is_no_object_of_that_kind_is_refused)
{
    static const char *const bad[] = {
        "[]", "{\"dim\": -1}", "{\"dim\": 1.0}", "{\"name\": \"\\u0000\"}", "{\"sizes\": {}}", "{\"sizes\": [1 2]}",
        "{\"sizes\": [1,]}", "{\"dim\": 1,}", "{\"dim\" 1}", "{dim: 1}", "{\"x\": tru}", "{\"x\": nul", "{\"x\": }",
        "{} {}", "{\"dim\": 18446744073709551616}"};
    config f;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(read_config(&f, bad[i], NULL) == NN_FILE, "%s taken", bad[i]);
}

Test(json_scan, a_long_key_is_no_known_one)
{
    char text[200];
    config f;

    snprintf(text, sizeof text, "{\"%.100d\": 1, \"name\\u0000\": 2, \"dim\": 3}", 0);
    expect_ok(read_config(&f, text, NULL), NULL);
    cr_expect(f.dim == 3 && f.name[0] == '\0');
    cr_expect(strlen(f.unknown) == 4, "the second unknown one, up to its zero byte");
}

Test(json_scan, texts_may_hold_zero_bytes_where_the_caller_says_so)
{
    static const char text[] = "\"a\\u0000b\" null true false 3";
    char bytes[64];
    nn_json_pool pool = {bytes, 0, sizeof bytes};
    size_t len = 0;
    nn_cursor c;

    nn_cursor_init(&c, text, sizeof text - 1, "x", NULL);
    cr_expect(nn_json_peek(&c) == NN_JSON_STRING);
    const char *s = nn_json_text(&c, &pool, &len);
    cr_assert(s && len == 3 && memcmp(s, "a\0b", 4) == 0);
    cr_expect(nn_json_peek(&c) == NN_JSON_NULL && nn_json_null(&c) && !nn_json_null(&c));
    cr_expect(nn_json_peek(&c) == NN_JSON_BOOL && nn_json_bool(&c) && !nn_json_bool(&c));
    cr_expect(nn_json_peek(&c) == NN_JSON_NUMBER && nn_json_u64(&c) == 3);
    cr_expect(c.status == NN_OK && nn_json_peek(&c) == NN_JSON_NOTHING);
}
