/* Tests of guard/text.h: each rule, twice is once, the room is never left. */
#include "guard/text.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include "tests/support.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void expect_text(const char *in, const char *want)
{
    char scratch[GUARD_TEXT_ROOM(256)], got[GUARD_TEXT_ROOM(256)];
    const size_t n = guard_text_normalise(got, sizeof got - 1, in, strlen(in), scratch);

    cr_assert(n < sizeof got);
    got[n] = '\0';
    cr_expect_str_eq(got, want, "'%s' became '%s', want '%s'", in, got, want);
}

Test(text, case_forms_and_lookalikes_are_folded)
{
    expect_text("Hello WORLD", "hello world");
    expect_text("\xEF\xBC\xA8\xD0\xBEt te\xE2\x80\x8B" "a", "hot tea"); /* full width H, Cyrillic o, zero width space */
}

Test(text, urls_are_dropped_to_the_next_blank)
{
    expect_text("see http://a.b/c?d=e#f now", "see now");
    expect_text("see HTTPS://a.b, now", "see now");
    expect_text("(https://a.b) end", "( end");
    expect_text("xhttp://a", "x");
    expect_text("http://", "");
    expect_text("www.a.b and awww.that", "and awww.that");
    expect_text("http:/a https:b http", "http:/a https:b http");
}

Test(text, mentions_are_dropped_where_a_word_begins)
{
    expect_text("@bob_7 hi", "hi");
    expect_text("hi (@bob), ok", "hi ( ), ok");
    expect_text("thanks @Zo\xC3\xAB!", "thanks!");
    expect_text("mail a@b.c", "mail a@b.c");
    expect_text("5 @ 3, @!", "5 @ 3, @!");
    expect_text("@a@b c", "c");
}

Test(text, blanks_before_punctuation_are_joined)
{
    expect_text("well , yes . no ! why ? so ; thus :", "well, yes. no! why? so; thus:");
    expect_text("a - b ( c )", "a - b ( c )");
    expect_text("a . . . . b", "a... b");
}

Test(text, blanks_of_any_kind_become_one_and_ends_lose_theirs)
{
    expect_text("  a\t\n b\xC2\xA0\xE2\x80\xA8" "c\xE3\x80\x80 ", "a b c");
    expect_text(" \n ", "");
    expect_text("", "");
}

Test(text, long_runs_are_cut_to_three)
{
    expect_text("soooooo goood!!!!!", "sooo goood!!!");
    expect_text("aabb 1000000", "aabb 1000");
    expect_text("\xD1\x8F\xD1\x8F\xD1\x8F\xD1\x8F\xD1\x8F", "\xD1\x8F\xD1\x8F\xD1\x8F"); /* five times ya */
    expect_text("abababab", "abababab");
}

/* What one rule leaves may not be what another would take. */
Test(text, rules_that_meet_leave_nothing_for_a_second_pass)
{
    expect_text("http ://a b", "b");            /* joining makes a URL */
    expect_text("wwwww.a b", "b");              /* so does cutting */
    expect_text("www @x .a b", "b");            /* and dropping */
    expect_text("httphttp://x ://y z", "z");
    expect_text("!!!@b !!!", "!!!");
}

static size_t normalised(char *out, size_t cap, const char *s, size_t len)
{
    char *scratch = malloc(GUARD_TEXT_ROOM(len));

    cr_assert(scratch != NULL);
    const size_t n = guard_text_normalise(out, cap, s, len, scratch);
    cr_assert_leq(n, GUARD_TEXT_ROOM(len));
    free(scratch);
    return n;
}

static size_t random_text(char *s, uint64_t row)
{
    static const char *const piece[] = {
        "http", "s", "://", "/", "www", "w", ".", "@", "a", "b_", " ", " ", ",", "!", ":", "=", "7", "\t", "\xFF",
        "\xCC\x81", "\xCC\x96", "\xCC\xB8", "\xCD\x85", "\xCD\x8F",                     /* marks and a joiner */
        "\xE2\x80\x8B", "\xD0\xB0", "\xEF\xB7\xBA", "\xE3\x8C\x96", "\xEA\xB0\x80", "\xE1\x86\xA8"};
    nn_rng r = nn_rng_at(4, "text", row);
    const size_t n = nn_rng_below(&r, 24);
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        const char *p = piece[nn_rng_below(&r, sizeof piece / sizeof *piece)];
        const size_t times = nn_rng_below(&r, 8) ? 1 : 5;
        for (size_t k = 0; k < times; k++, len += strlen(p)) memcpy(s + len, p, strlen(p));
    }
    return len;
}

Test(text, normalising_twice_changes_nothing)
{
    for (uint64_t row = 0; row < 50000; row++) {
        char s[1024], once[GUARD_TEXT_ROOM(1024)], twice[GUARD_TEXT_ROOM(GUARD_TEXT_ROOM(1024))];
        const size_t len = random_text(s, row);
        const size_t n = normalised(once, sizeof once, s, len), m = normalised(twice, sizeof twice, once, n);

        cr_assert(n == m && memcmp(once, twice, n) == 0, "row %lu: '%.*s' then '%.*s'", (unsigned long)row, (int)n,
                  once, (int)m, twice);
    }
}

Test(text, every_code_point_stays_in_its_room)
{
    char s[4 * 64], out[GUARD_TEXT_ROOM(4 * 64)];

    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        size_t len = 0;

        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        for (size_t i = 0; i < 64; i++) { /* an a between, so that runs are not cut */
            len = i % 2 ? len + nn_utf8_encode('a', s + len) : len + nn_utf8_encode(cp, s + len);
        }
        (void)normalised(out, sizeof out, s, len);
    }
}

Test(text, a_small_room_is_kept_and_the_need_is_said)
{
    char scratch[GUARD_TEXT_ROOM(8)], out[8];

    memset(out, '#', sizeof out);
    cr_expect_eq(guard_text_normalise(out, 3, "ab\xC3\xA9z", 5, scratch), 5);
    cr_expect_arr_eq(out, "ab######", 8);
    cr_expect_eq(guard_text_normalise(NULL, 0, "ab", 2, scratch), 2);
    cr_expect_eq(guard_text_normalise(NULL, 0, "ab", 2, NULL), GUARD_TEXT_ROOM(2));
}

Test(text, scratch_may_be_the_result)
{
    char out[GUARD_TEXT_ROOM(16)];
    const size_t n = guard_text_normalise(out, sizeof out, "One , TWO @x", 12, out);

    cr_expect_eq(n, 8);
    cr_expect_arr_eq(out, "one, two", 8);
}

Test(text, a_megabyte_takes_well_under_a_second)
{
    static const char pattern[] =
        "Sooo, how do I (really) whittle a Wooden Sp\xC3\xB6\xC3\xB6n ? @carver http://wood.example/x\n";
    const size_t len = 1u << 20;
    char *s = malloc(len), *out = malloc(GUARD_TEXT_ROOM(len)), *scratch = malloc(GUARD_TEXT_ROOM(len));

    cr_assert(s && out && scratch);
    for (size_t i = 0; i < len; i++) s[i] = pattern[i % (sizeof pattern - 1)];
    const clock_t start = clock();
    const size_t n = guard_text_normalise(out, GUARD_TEXT_ROOM(len), s, len, scratch);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    cr_expect(n > len / 3 && n < len);
    cr_expect_lt(seconds, 1.0, "%.2f s", seconds);
    free(s);
    free(out);
    free(scratch);
}
