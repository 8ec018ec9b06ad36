/* Tests of the style mutations: each does what its name says, to whole characters only. */
#include "guard/augment_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include "tests/support.h"
#include <string.h>

/* The mutated text; valid until the next call. */
static const char *styled(const guard_style *s, const char *text, uint64_t draw)
{
    static guard_buf out;
    guard_style_room room = {NULL, NULL, 0, 0};
    nn_rng rng = nn_rng_at(7, "style", draw);
    nn_err err = {NN_OK, ""};

    expect_ok(guard_style_apply(&out, s, 0, text, strlen(text), &rng, &room, &err), &err);
    guard_style_room_free(&room);
    return out.bytes;
}

static void expect_styled(guard_style_kind kind, double rate, const char *text, const char *want)
{
    const guard_style s = {"x", kind, 1, rate, NULL, NULL, 0};
    const char *got = styled(&s, text, 1);

    cr_expect_str_eq(got, want, "'%s' became '%s', want '%s'", text, got, want);
}

static size_t length(const char *s)
{
    size_t n = 0;

    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

Test(style, case_changes_in_latin_greek_and_cyrillic)
{
    expect_styled(GUARD_STYLE_LOWER, 0, "Hello \xC3\x84\xC3\x97 \xCE\x91 \xD0\x96 \xC5\xBD \xC5\x98!", "hello \xC3\xA4\xC3\x97 \xCE\xB1 \xD0\xB6 \xC5\xBE \xC5\x99!");
    expect_styled(GUARD_STYLE_UPPER, 0, "hello \xC3\xA4\xC3\xB7 \xCE\xB1 \xD0\xB6 \xC5\xBE \xC5\x99 \xC3\x9F \xE6\xBC\xA2!",
                  "HELLO \xC3\x84\xC3\xB7 \xCE\x91 \xD0\x96 \xC5\xBD \xC5\x98 \xC3\x9F \xE6\xBC\xA2!");
}

Test(style, punctuation_goes_but_not_from_numbers_and_words)
{
    expect_styled(GUARD_STYLE_DROP_PUNCTUATION, 0, "\xC2\xBF" "Well, 3.5 or a.b \xE2\x80\x9Cit's\xE2\x80\x9D (no)?!", "Well 3.5 or a.b it's no");
}

Test(style, full_rates_touch_every_letter_they_can)
{
    expect_styled(GUARD_STYLE_LEET, 1, "Taste it, bold one", "74573 17, b0ld 0n3");
    expect_styled(GUARD_STYLE_SPACES, 1, "so it is, 42", "s o i t i s, 42");
    expect_styled(GUARD_STYLE_HOMOGLYPH, 1, "ace PH", "\xD0\xB0\xD1\x81\xD0\xB5 \xD0\xA0\xD0\x9D");
}

Test(style, a_small_rate_touches_at_least_one_letter)
{
    static const guard_style_kind kinds[] = {GUARD_STYLE_TYPO, GUARD_STYLE_LEET, GUARD_STYLE_SPACES, GUARD_STYLE_STRETCH, GUARD_STYLE_HOMOGLYPH};
    const char *text = "a steady tone";

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const guard_style s = {"x", kinds[k], 1, 0.0, NULL, NULL, 0};

        for (uint64_t draw = 0; draw < 50; draw++) cr_expect_str_neq(styled(&s, text, draw), text, "kind %d", (int)kinds[k]);
    }
}

Test(style, stretch_repeats_vowels_only)
{
    const guard_style s = {"x", GUARD_STYLE_STRETCH, 1, 1.0, NULL, NULL, 0};
    const char *got = styled(&s, "n\xC3\xB6 bye", 3);
    size_t o = 0, e = 0;

    for (const char *at = got; (at = strstr(at, "\xC3\xB6")) != NULL; at += 2) o++;
    for (const char *at = got; (at = strchr(at, 'e')) != NULL; at++) e++;
    cr_expect(o >= 3 && o <= 5 && e >= 3 && e <= 5, "'%s'", got);
    cr_expect_eq(length(got), 4 + o + e, "'%s'", got);
}

Test(style, typos_are_small_slips)
{
    const guard_style s = {"x", GUARD_STYLE_TYPO, 1, 0.0, NULL, NULL, 0};
    bool shorter = false, longer = false, same = false;

    for (uint64_t draw = 0; draw < 200; draw++) {
        const size_t n = length(styled(&s, "I whisk eggs", draw));

        cr_expect(n >= 11 && n <= 13);
        shorter = shorter || n == 11;
        longer = longer || n == 13;
        same = same || n == 12;
    }
    cr_expect(shorter && longer && same, "drops, doubles, swaps and neighbours all happen");
    for (uint64_t draw = 0; draw < 200; draw++) cr_expect_geq(length(styled(&s, "I", draw)), 1u);
}

Test(style, words_are_replaced_whole_and_longest_first)
{
    static const char *const from[] = {"don't know", "know", "want", "want to", "you"}, *const to[] = {"dunno", "kno", "wish", "wanna", "u"};
    const guard_style s = {"x", GUARD_STYLE_REPLACE, 1, 0, from, to, 5};

    cr_expect_str_eq(styled(&s, "You want to KNOW? I don't know, you're unknown to you.", 1), "U wanna Kno? I dunno, you're unknown to u.");
    cr_expect_str_eq(styled(&s, "wanted youth", 1), "wanted youth");
}

Test(style, pieces_go_before_and_after)
{
    static const char *const pieces[] = {"Hey, "};
    const guard_style before = {"x", GUARD_STYLE_PREFIX, 1, 0, pieces, NULL, 1}, after = {"x", GUARD_STYLE_SUFFIX, 1, 0, pieces, NULL, 1};

    cr_expect_str_eq(styled(&before, "you", 1), "Hey, you");
    cr_expect_str_eq(styled(&after, "you ", 1), "you Hey, ");
}

/* Random text of several scripts, marks and ill-formed bytes: the result is always well-formed, and nothing grows without bound. */
Test(style, no_character_is_broken)
{
    static const char *const atoms[] = {"a", "E", " ", "\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80", "e\xCC\x81", "\xE0\xA4\x95\xE0\xA4\xBF", "'", "\xFF", ".", "you", "\xD8\xB3"};
    static const char *const from[] = {"you", "a"}, *const to[] = {"u", "\xC3\xA9"};
    char text[256];

    for (int kind = GUARD_STYLE_LOWER; kind <= GUARD_STYLE_SUFFIX; kind++) {
        const guard_style s = {"x", (guard_style_kind)kind, 1, 0.5, from, to, 2};

        for (uint64_t draw = 0; draw < 100; draw++) {
            nn_rng rng = nn_rng_at(1, "text", draw);
            size_t replaced = 1;

            text[0] = '\0';
            for (size_t i = 0; i < 20; i++) strcat(text, atoms[nn_rng_below(&rng, sizeof atoms / sizeof *atoms)]);
            const char *got = styled(&s, text, draw);
            (void)nn_utf8_repair(NULL, got, strlen(got), &replaced);
            cr_expect_eq(replaced, 0u, "kind %d: '%s'", kind, got);
        }
    }
}

Test(style, marks_stay_on_their_letter)
{
    const guard_style s = {"x", GUARD_STYLE_TYPO, 1, 1.0, NULL, NULL, 0};

    for (uint64_t draw = 0; draw < 100; draw++) cr_expect_str_eq(styled(&s, "e\xCC\x81 \xE0\xA4\x95\xE0\xA4\xBF", draw), "e\xCC\x81 \xE0\xA4\x95\xE0\xA4\xBF");
}
