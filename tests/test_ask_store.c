/* Tests of guard/ask/store.h: addresses, files, journals. */
#include "guard/ask/store.h"
#include "nn/plat.h"
#include "nn/sha256.h"
#include "tests/support.h"
#include "tests/test_ask_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ask_store, .init = open_store, .fini = close_store);

static void address_of(char address[65], uint64_t i)
{
    nn_sha256_hex(&i, sizeof i, address);
}

Test(ask_store, thousands_of_addresses_are_found_and_no_others)
{
    char address[65], text[24];

    for (uint64_t i = 0; i < 4000; i++) {
        address_of(address, i);
        cr_assert_null(guard_store_find(store, address));
        const int n = snprintf(text, sizeof text, "answer %u", (unsigned)i);
        expect_ok(guard_store_put(store, address, i % 3 == 0, text, (size_t)n, &err), &err);
    }
    for (uint64_t i = 0; i < 4000; i++) {
        address_of(address, i);
        const guard_stored *s = guard_store_find(store, address);
        snprintf(text, sizeof text, "answer %u", (unsigned)i);
        cr_assert(s && s->refused == (i % 3 == 0) && s->len == strlen(text));
        cr_assert_str_eq(s->text, text);
    }
    address_of(address, 4000);
    cr_assert_null(guard_store_find(store, address));
}

/* Addresses that differ in one bit each: the deepest tree there is. */
Test(ask_store, chosen_addresses_are_as_good_as_any)
{
    char address[65];

    for (size_t i = 0; i < 64; i++) {
        memset(address, '0', 64);
        address[64] = '\0';
        address[i] = '1';
        expect_ok(guard_store_put(store, address, false, address, 64, &err), &err);
    }
    for (size_t i = 64; i-- > 0;) {
        memset(address, '0', 64);
        address[i] = '1';
        const guard_stored *s = guard_store_find(store, address);
        cr_assert(s && strcmp(s->text, address) == 0, "%zu", i);
        address[i] = '3';
        cr_assert_null(guard_store_find(store, address));
    }
}

static const char *file_of(const char *text)
{
    const char *path = path_in(temp_dir(), "answers.jsonl");

    write_text(path, text);
    return path;
}

#define A "{\"address\":\"0000000000000000000000000000000000000000000000000000000000000001\","

Test(ask_store, texts_of_every_kind_survive_the_file)
{
    static const char odd[] = "line\nquote \" back \\ tab\t\xc3\xa9 \xf0\x9f\x98\x80\0zero\x01";
    const char *path = path_in(temp_dir(), "used.jsonl"), *again = path_in(temp_dir(), "again.jsonl");
    char address[3][65];
    size_t len = 0;

    for (uint64_t i = 0; i < 3; i++) address_of(address[i], i);
    expect_ok(guard_store_put(store, address[0], false, odd, sizeof odd - 1, &err), &err);
    expect_ok(guard_store_put(store, address[1], true, "", 0, &err), &err);
    expect_ok(guard_store_put(store, address[2], false, "unused", 6, &err), &err);
    expect_ok(guard_store_used(store, address[1], &err), &err);
    expect_ok(guard_store_used(store, address[0], &err), &err);
    expect_ok(guard_store_used(store, address[1], &err), &err);
    expect_ok(guard_store_write_used(store, path, &err), &err);
    fresh_store();
    expect_ok(guard_store_read(store, path, false, &err), &err);
    cr_assert_eq(guard_store_count(store), 2);
    const guard_stored *s = guard_store_find(store, address[0]);
    cr_assert(s && !s->refused && s->len == sizeof odd - 1 && memcmp(s->text, odd, sizeof odd) == 0);
    cr_assert(guard_store_find(store, address[1])->refused);
    expect_ok(guard_store_used(store, address[1], &err), &err);
    expect_ok(guard_store_used(store, address[0], &err), &err);
    expect_ok(guard_store_write_used(store, again, &err), &err);
    char *bytes = read_bytes(path, &len);
    cr_assert(bytes_equal_file(again, bytes, len));
    free(bytes);
    expect_ok(guard_store_write_used(store, again, &err), &err);
    cr_assert(bytes_equal_file(again, "", 0), "what was written is not written again");
}

Test(ask_store, a_bad_line_is_refused_with_file_and_line)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {A "\"end\":\"answered\",\"text\":\"x\"}\n{}\n", "answers.jsonl:2: no answer"},
        {A "\"end\":\"answered\"}\n", "answers.jsonl:1: no answer"},
        {A "\"end\":\"answered\",\"text\":\"x\",\"more\":1}\n", "no answer"},
        {A "\"end\":\"answered\",\"text\":\"x\",\"text\":\"y\"}\n", "duplicate"},
        {A "\"end\":\"maybe\",\"text\":\"x\"}\n", "end: want"},
        {A "\"end\":1,\"text\":\"x\"}\n", "end: want"},
        {A "\"end\":\"refused\",\"text\":null}\n", "text: want"},
        {"{\"address\":\"01\",\"end\":\"refused\",\"text\":\"\"}\n", "address: want"},
        {"{\"address\":1,\"end\":\"refused\",\"text\":\"\"}\n", "address: want"},
        {"\n", "JSON"},
        {"[1,2,3]\n", "no answer"},
        {A "\"end\":\"answered\",\"text\":\"x\"}", "cut short"},
        {A "\"end\":\"answered\",\"text\":\"x\"}\n" A "\"end\":\"refused\",\"text\":\"x\"}\n", "another answer"},
        {A "\"end\":\"answered\",\"text\":\"x\"}\n" A "\"end\":\"answered\",\"text\":\"xy\"}\n", "another answer"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = file_of(bad[i].text);

        fresh_store();
        const nn_status st = guard_store_read(store, path, false, &err);
        cr_assert(st == NN_FILE || st == NN_CONTENT, "%zu", i);
        cr_assert(strstr(err.text, "answers.jsonl:") || strstr(err.text, "another"), "%zu: %s", i, err.text);
        cr_assert(strstr(err.text, bad[i].part) != NULL, "%zu: %s", i, err.text);
    }
}

Test(ask_store, files_that_disagree_are_both_named)
{
    const char *dir = temp_dir();

    expect_ok(nn_dir_make(path_in(dir, "answers"), &err), &err);
    write_text(path_in(dir, "answers/01_ask.jsonl"), A "\"end\":\"answered\",\"text\":\"x\"}\n");
    write_text(path_in(dir, "answers/02_ask.jsonl"), A "\"end\":\"answered\",\"text\":\"x\"}\n");
    write_text(path_in(dir, "answers/notes.txt"), "no answers");
    expect_ok(guard_store_read_run(store, dir, &err), &err);
    cr_assert_eq(guard_store_count(store), 1);
    write_text(path_in(dir, "answers/02_ask.jsonl"), A "\"end\":\"answered\",\"text\":\"y\"}\n");
    fresh_store();
    expect_fails(guard_store_read_run(store, dir, &err), NN_CONTENT, &err, "01_ask.jsonl");
    cr_assert(strstr(err.text, "02_ask.jsonl") != NULL, "%s", err.text);
}

Test(ask_store, a_run_without_answers_has_none)
{
    expect_ok(guard_store_read_run(store, temp_dir(), &err), &err);
    cr_assert_eq(guard_store_count(store), 0);
}

Test(ask_store, a_journal_holds_each_answer_as_soon_as_it_came)
{
    const char *journal = path_in(temp_dir(), "journal");
    char address[2][65];
    size_t len = 0, more = 0;

    address_of(address[0], 0);
    address_of(address[1], 1);
    expect_ok(guard_store_journal(store, journal, &err), &err);
    expect_ok(guard_store_put(store, address[0], false, "x", 1, &err), &err);
    free(read_bytes(journal, &len));
    cr_assert_gt(len, 64);
    expect_ok(guard_store_put(store, address[0], false, "x", 1, &err), &err);
    free(read_bytes(journal, &more));
    cr_assert_eq(more, len, "one line an answer");
    expect_ok(guard_store_read(store, file_of(A "\"end\":\"answered\",\"text\":\"x\"}\n"), false, &err), &err);
    free(read_bytes(journal, &more));
    cr_assert_eq(more, len, "what stands in a file already");
    expect_ok(guard_store_journal(store, NULL, &err), &err);
    expect_ok(guard_store_put(store, address[1], false, "x", 1, &err), &err);
    free(read_bytes(journal, &more));
    cr_assert_eq(more, len, "a closed journal gets nothing");
}

/* Cut at every byte of its last line: what was whole is there, and going on makes a whole file. */
Test(ask_store, a_torn_journal_loses_its_last_line_alone)
{
    const char *journal = path_in(temp_dir(), "journal");
    char address[3][65];
    size_t len = 0, one = 0;

    for (uint64_t i = 0; i < 3; i++) address_of(address[i], i);
    expect_ok(guard_store_journal(store, journal, &err), &err);
    expect_ok(guard_store_put(store, address[0], false, "first", 5, &err), &err);
    free(read_bytes(journal, &one));
    expect_ok(guard_store_put(store, address[1], true, "second", 6, &err), &err);
    char *bytes = read_bytes(journal, &len);
    for (size_t cut = one; cut < len; cut++) {
        write_bytes(journal, bytes, cut);
        fresh_store();
        if (cut > one) {
            expect_fails(guard_store_read(store, journal, false, &err), NN_FILE, &err, "cut short");
            fresh_store();
        }
        expect_ok(guard_store_read(store, journal, true, &err), &err);
        cr_assert(guard_store_count(store) == 1 && guard_store_find(store, address[0]));
        expect_ok(guard_store_journal(store, journal, &err), &err);
        expect_ok(guard_store_put(store, address[2], false, "third", 5, &err), &err);
        fresh_store();
        expect_ok(guard_store_read(store, journal, false, &err), &err);
        cr_assert(guard_store_count(store) == 2 && guard_store_find(store, address[2]));
    }
    free(bytes);
}

Test(ask_store, an_answer_is_text_and_has_one_address)
{
    char address[65];

    address_of(address, 0);
    expect_fails(guard_store_put(store, address, false, "\xc3", 1, &err), NN_CONTENT, &err, "not UTF-8");
    err = (nn_err){NN_OK, ""};
    expect_ok(guard_store_put(store, address, false, "a", 1, &err), &err);
    expect_fails(guard_store_put(store, address, false, "b", 1, &err), NN_CONTENT, &err, "this run");
}

Test(ask_store, what_cannot_be_read_or_written_is_named)
{
    const char *dir = temp_dir();

    expect_fails(guard_store_read(store, path_in(dir, "none.jsonl"), true, &err), NN_FILE, &err, "none.jsonl");
    err = (nn_err){NN_OK, ""};
    expect_fails(guard_store_journal(store, path_in(dir, "no/journal"), &err), NN_FILE, &err, "no/journal");
}
