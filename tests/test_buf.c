/* Tests of guard/buf.h: one format for every number, whatever the locale; escapes, commas, sticky failures. */
#include "guard/buf.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_text(guard_buf *b, const char *want)
{
    nn_err err = {NN_OK, ""};

    expect_ok(guard_buf_status(b, &err), &err);
    cr_expect_str_eq(b->bytes, want);
    cr_expect_eq(b->len, strlen(want));
    guard_buf_free(b);
}

Test(buf, keys_and_commas_make_an_object)
{
    guard_buf b = {0};

    guard_buf_str(&b, "{");
    guard_json_key(&b, "a");
    guard_json_u64(&b, 0);
    guard_json_key(&b, "b");
    guard_buf_str(&b, "[");
    guard_json_comma(&b);
    guard_json_bool(&b, true);
    guard_json_comma(&b);
    guard_json_null(&b);
    guard_buf_str(&b, "]");
    guard_json_key(&b, "c");
    guard_json_u64(&b, UINT64_MAX);
    guard_buf_str(&b, "}\n");
    guard_json_comma(&b);
    expect_text(&b, "{\"a\":0,\"b\":[true,null],\"c\":18446744073709551615}\n");
}

Test(buf, strings_are_escaped_and_repaired)
{
    guard_buf b = {0};
    static const char s[] = "a\"\\\n\t\x01\x7f\xc3\xa9\xff\xe2\x82z\0end";

    guard_json_str(&b, s, sizeof s - 1);
    expect_text(&b, "\"a\\\"\\\\\\n\\t\\u0001\x7f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdz\\u0000end\"");
}

Test(buf, numbers_come_back_bit_for_bit)
{
    static const double v[] = {
        0.0, -0.0, 0.1, 1.0 / 3.0, 1e22, -1e-300, 5e-324, 1.7976931348623157e308, 123456789012345678.0};

    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        guard_buf b = {0};
        guard_json_double(&b, v[i]);
        const double back = strtod(b.bytes, NULL);
        cr_expect(memcmp(&back, &v[i], sizeof back) == 0, "%s", b.bytes);
        guard_buf_free(&b);
    }
    guard_buf b = {0};
    guard_json_float(&b, 0.1f);
    guard_buf_str(&b, " ");
    guard_json_float(&b, -0.0f);
    expect_text(&b, "0.100000001 -0.0");
}

Test(buf, fixed_digits_fit_a_table)
{
    char out[32];

    guard_fmt_fixed(out, -1234.5, 3);
    cr_expect_str_eq(out, "-1234.500");
    guard_fmt_fixed(out, 1e300, 3);
    cr_expect_str_eq(out, "1.000e+300");
    guard_fmt_fixed(out, (double)NAN, 3);
    cr_expect_str_eq(out, "nan");
    guard_fmt_double(out, -(double)INFINITY);
    cr_expect_str_eq(out, "-inf");
}

/* A locale with a decimal comma, installed or made in a scratch folder. */
static bool decimal_comma(void)
{
    const char *dir = temp_dir();
    char command[512];

    if (setlocale(LC_ALL, "de_DE.UTF-8")) return true;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", dir);
    if (system(command) != 0 || setenv("LOCPATH", dir, 1) != 0) return false;
    return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

Test(buf, a_decimal_comma_changes_no_byte)
{
    guard_buf b = {0};
    char out[32];

    if (!decimal_comma()) skip_test("no locale with a decimal comma");
    snprintf(out, sizeof out, "%.1f", 0.5);
    cr_assert_str_eq(out, "0,5", "the locale is not what the test needs");
    guard_json_double(&b, 0.5);
    guard_json_comma(&b);
    guard_json_float(&b, -1.5e-20f);
    guard_fmt_fixed(out, 1234.5, 2);
    cr_expect_str_eq(out, "1234.50");
    expect_text(&b, "0.5,-1.49999995e-20");
}

Test(buf, a_number_that_is_not_finite_sticks)
{
    guard_buf b = {0};
    nn_err err = {NN_OK, ""};

    guard_buf_str(&b, "[");
    guard_json_double(&b, (double)NAN);
    guard_buf_str(&b, "]");
    cr_expect_str_eq(b.bytes, "[");
    expect_fails(guard_buf_status(&b, &err), NN_CONTENT, &err, "not finite");
    guard_buf_clear(&b);
    guard_json_float(&b, -INFINITY);
    cr_expect(b.status == NN_CONTENT);
    guard_buf_free(&b);
}

Test(buf, no_memory_sticks_and_frees)
{
    guard_buf b = {0};
    nn_err err = {NN_OK, ""};

    nn_alloc_fail_at(0);
    guard_buf_fmt(&b, "%d", 7);
    guard_buf_str(&b, "later");
    nn_alloc_fail_at(-1);
    expect_fails(guard_buf_status(&b, &err), NN_LIMIT, &err, "memory");
    cr_expect_eq(b.len, 0u);
    guard_buf_free(&b);
}
