/* Tests of guard/csv.h: RFC 4180 with its line ends, and what it forbids refused with the line. */
#include "guard/csv.h"
#include "tests/support.h"
#include <string.h>

/* Reads all records, joining fields with '|' and records with '/'. */
static nn_status flat(char *out, const char *bytes, size_t len, nn_err *err)
{
    guard_csv csv;
    bool more = true;
    nn_status st = NN_OK;

    out[0] = '\0';
    guard_csv_init(&csv, bytes, len, "a.csv");
    while ((st = guard_csv_next(&csv, &more, err)) == NN_OK && more) {
        if (out[0]) strcat(out, "/");
        for (size_t i = 0; i < csv.n_field; i++) {
            if (i) strcat(out, "|");
            strcat(out, csv.field[i].s);
        }
    }
    guard_csv_free(&csv);
    return st;
}

static void expect_flat(const char *bytes, const char *want)
{
    nn_err err = {NN_OK, ""};
    char got[256];

    expect_ok(flat(got, bytes, strlen(bytes), &err), &err);
    cr_expect_str_eq(got, want);
}

static void expect_refused(const char *bytes, const char *part)
{
    nn_err err = {NN_OK, ""};
    char got[256];

    expect_fails(flat(got, bytes, strlen(bytes), &err), NN_CONTENT, &err, part);
}

Test(csv, fields_quotes_and_line_ends)
{
    expect_flat("a,b\n1,2\n", "a|b/1|2");
    expect_flat("a,b\r\n1,2", "a|b/1|2");
    expect_flat("a,b\r1,2\r", "a|b/1|2");
    expect_flat("\xef\xbb\xbf"
                "a,b\n,\n",
                "a|b/|");
    expect_flat("a\n\"x\ny\r\nz\"\n", "a/x\ny\r\nz");
    expect_flat("a,b\n\"say \"\"hi\"\"\",\"\"\n", "a|b/say \"hi\"|");
    expect_flat("a,b\n\"x,y\",5\" pipe\n", "a|b/x,y|5\" pipe");
    expect_flat("a,b\n\n\r\n1,2\n\n", "a|b/1|2");
    expect_flat("", "");
}

Test(csv, a_record_knows_its_line)
{
    static const char bytes[] = "a\n\"two\nlines\"\n\nlast\n";
    guard_csv csv;
    nn_err err = {NN_OK, ""};
    bool more = false;
    static const size_t want[] = {1, 2, 5};

    guard_csv_init(&csv, bytes, sizeof bytes - 1, "a.csv");
    for (size_t i = 0; i < 3; i++) {
        expect_ok(guard_csv_next(&csv, &more, &err), &err);
        cr_expect(more && csv.at_line == want[i], "%zu", csv.at_line);
    }
    guard_csv_free(&csv);
}

Test(csv, what_the_rfc_forbids_is_refused)
{
    expect_refused("a\n1\n\"open\nfor ever\n", "a.csv:3: quote left open");
    expect_refused("a,b\n\"x\"y,1\n", "a.csv:2: field 1: text after its closing quote");
    expect_refused("a,b\n1,2,3\n", "a.csv:2: 3 fields, want 2");
    expect_refused("a,b\n1\n", "a.csv:2: 1 fields, want 2");
}

Test(csv, zero_bytes_are_refused_and_bad_utf8_is_repaired)
{
    nn_err err = {NN_OK, ""};
    char got[256];
    guard_csv csv;
    bool more = false;

    expect_fails(flat(got, "a\nx\0y\n", 6, &err), NN_CONTENT, &err, "a.csv:2: field 1: a zero byte");

    err = (nn_err){NN_OK, ""};
    guard_csv_init(&csv, "x\xff,\"\xc3\",z\n1,2,3\n", 17, "a.csv");
    expect_ok(guard_csv_next(&csv, &more, &err), &err);
    cr_expect(more && csv.repaired);
    cr_expect_str_eq(csv.field[0].s, "x\xef\xbf\xbd");
    cr_expect_str_eq(csv.field[1].s, "\xef\xbf\xbd");
    cr_expect_str_eq(csv.field[2].s, "z");
    expect_ok(guard_csv_next(&csv, &more, &err), &err);
    cr_expect(more && !csv.repaired);
    cr_expect_str_eq(csv.field[2].s, "3");
    guard_csv_free(&csv);
}
