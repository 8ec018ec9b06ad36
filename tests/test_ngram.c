/* Tests of guard/ngram.c: which grams a text has, their order, and that memory slots never look
 * ahead. */
#include "guard/ngram.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <stdlib.h>
#include <string.h>

#define BITS 24u /* so many slots that the few grams below do not meet */

static guard_features features(const char *text)
{
    guard_features f = {0};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_features_of(&f, text, strlen(text), BITS, &err), &err);
    return f;
}

static size_t count_of(const char *text)
{
    guard_features f = features(text);
    const size_t n = f.n;

    guard_features_free(&f);
    return n;
}

static bool same_features(const char *x, const char *y)
{
    guard_features a = features(x), b = features(y);
    const bool same = a.n == b.n && (a.n == 0 || (memcmp(a.slot, b.slot, a.n * sizeof *a.slot) == 0 &&
                                                  memcmp(a.value, b.value, a.n * sizeof *a.value) == 0));

    guard_features_free(&a);
    guard_features_free(&b);
    return same;
}

Test(ngram, a_text_has_the_grams_one_counts_by_hand)
{
    cr_expect_eq(count_of(""), 0u);
    cr_expect_eq(count_of(" \t\n"), 0u);
    cr_expect_eq(count_of("a"), 4u);    /* a; <a a>; <a> */
    cr_expect_eq(count_of("ab"), 7u);   /* ab; <a ab b>; <ab ab>; <ab> */
    cr_expect_eq(count_of("abcd"), 15u); /* abcd; 5 of two, 4 of three, 3 of four, 2 of five characters */
    cr_expect_eq(count_of("a b"), 9u);  /* 4 each and the pair */
    cr_expect_eq(count_of("!?"), 3u);   /* two words of one character and their pair */
    cr_expect_eq(count_of("a!"), 6u);
    cr_expect_eq(count_of("\xc3\xa9"), 4u); /* one letter, whatever its bytes */
    cr_expect_eq(count_of("\xe4\xbd\xa0\xe5\xa5\xbd"), 3u); /* two Han words and their pair */
    cr_expect_eq(count_of("\xe3\x82\xab\xe3\x83\xa1"), 7u); /* katakana spells words, as "ab" */
}

Test(ngram, words_are_letters_marks_digits_and_apostrophes)
{
    cr_expect_eq(count_of("don't"), 1u + 6 + 5 + 4 + 3);
    cr_expect(same_features("don't", "don\xe2\x80\x99t"), "both apostrophes are one");
    cr_expect(!same_features("dont", "don't"));
    cr_expect_eq(count_of("e\xcc\x81 9"), 1u + 3 + 2 + 1 + 4 + 1); /* e with a combining accent, a digit, a pair */
    cr_expect(same_features("a  b", "a b"));
    cr_expect(!same_features("a b", "b a"));
}

Test(ngram, slots_ascend_and_values_count_repeats)
{
    guard_features f = features("ab ab"), one = features("ab");
    const float twice = 1.0f + nn_logf(2.0f);
    size_t doubled = 0;

    cr_assert_eq(f.n, one.n + 1); /* and the pair */
    for (size_t i = 0; i < f.n; i++) {
        cr_expect(i == 0 || f.slot[i - 1] < f.slot[i]);
        cr_expect(f.slot[i] < 1u << BITS && (f.value[i] == 1.0f || f.value[i] == twice));
        doubled += f.value[i] == twice;
    }
    cr_expect_eq(doubled, one.n);
    guard_features_free(&f);
    guard_features_free(&one);
}

static uint64_t digest(const uint32_t *slot, size_t n)
{
    uint64_t h = n;

    for (size_t i = 0; i < n; i++) h = nn_mix64(h ^ slot[i]);
    return h;
}

/* The slots of a fixed text are part of the model format: a trained weight means nothing under
 * another hash. */
Test(ngram, slots_are_these_on_every_machine)
{
    const char *text = "How do I kill a process that isn't responding? \xe4\xbd\xa0\xe5\xa5\xbd 42!";
    const int32_t ids[] = {300, 7, 300, 512};
    const uint32_t start[] = {0, 4, 20, 30};
    guard_features f = {0};
    guard_slots s = {0};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_features_of(&f, text, strlen(text), 18, &err), &err);
    cr_expect(f.n == 163 && digest(f.slot, f.n) == 0x0e1777d9ee9770c9u, "%zu features, digest %llx", f.n,
              (unsigned long long)digest(f.slot, f.n));
    expect_ok(guard_slots_add(&s, text, strlen(text), ids, start, 4, 0, 0, 65536, &err), &err);
    cr_expect(s.n_slot == 133 && digest(s.slot, s.n_slot) == 0xf0e471ab17e1f168u, "%zu slots, digest %llx",
              s.n_slot,
              (unsigned long long)digest(s.slot, s.n_slot));
    guard_features_free(&f);
    guard_slots_free(&s);
}

Test(ngram, bits_out_of_range_are_refused)
{
    guard_features f = {0};
    nn_err err = {NN_OK, ""};

    expect_fails(guard_features_of(&f, "a", 1, 25, &err), NN_USAGE, &err, "bits 25");
    err.status = NN_OK;
    expect_fails(guard_features_of(&f, "a", 1, 3, &err), NN_USAGE, &err, "bits 3");
    expect_ok(guard_features_of(&f, "a b c", 5, 4, NULL), NULL);
    cr_expect(f.n <= 16);
    guard_features_free(&f);
}

Test(ngram, nothing_is_allocated_for_a_text_no_longer_than_before)
{
    guard_features f = {0};
    nn_err err = {NN_OK, ""};
    char text[256];

    memset(text, 'x', sizeof text);
    expect_ok(guard_features_of(&f, text, sizeof text, 18, &err), &err);
    for (size_t i = 0; i < sizeof text; i += 2) text[i] = ' ';
    nn_alloc_fail_at(0);
    const nn_status st = guard_features_of(&f, text, sizeof text, 18, &err);
    nn_alloc_fail_at(-1);
    expect_ok(st, &err);
    guard_features_free(&f);
}

Test(ngram, a_word_of_a_megabyte_takes_linear_time_and_room)
{
    const size_t len = 1u << 20;
    char *text = malloc(len);
    guard_features f = {0};
    guard_slots s = {0};
    const int32_t id = 70;
    const uint32_t start = 0;
    nn_err err = {NN_OK, ""};

    cr_assert(text != NULL);
    for (size_t i = 0; i < len; i++) text[i] = (char)('a' + i * i % 26);
    expect_ok(guard_features_of(&f, text, len, 20, &err), &err);
    cr_expect(f.n > 50 && f.n < 1u << 20);
    expect_ok(guard_slots_add(&s, text, len, &id, &start, 1, 0, 0, 1000, &err), &err);
    cr_expect(s.n_slot > 2 * len && s.n_slot < 4 * len);
    guard_features_free(&f);
    guard_slots_free(&s);
    free(text);
}

/* --- memory slots ------------------------------------------------------------------------- */

Test(ngram, each_position_holds_its_tokens_words_and_characters)
{
    const int32_t ids[] = {10, 11, 12};
    const uint32_t start[] = {0, 2, 3};
    guard_slots s = {0};
    nn_err err = {NN_OK, ""};

    /* "ab" | " " | "c" with two positions before and one after */
    expect_ok(guard_slots_add(&s, "ab c", 4, ids, start, 3, 2, 1, 1u << 30, &err), &err);
    cr_assert_eq(s.n_pos, 6u);
    /* tokens; <ab, ab> <ab>, ab / tokens / tokens; <c>; c, pair */
    const size_t want[] = {0, 0, 1 + 1 + 2 + 1, 2, 3 + 1 + 2, 0};
    for (size_t i = 0; i < 6; i++) cr_expect_eq(s.start[i + 1] - s.start[i], want[i], "position %zu: %zu", i,
                                                s.start[i + 1] - s.start[i]);
    for (size_t i = 0; i < s.n_slot; i++) cr_expect(s.slot[i] < 1u << 30);

    /* the same text again, appended: the same slots */
    expect_ok(guard_slots_add(&s, "ab c", 4, ids, start, 3, 0, 0, 1u << 30, &err), &err);
    cr_assert(s.n_pos == 9 && s.start[9] == s.n_slot && s.n_slot == 2 * 13);
    cr_expect(memcmp(s.slot, s.slot + 13, 13 * sizeof *s.slot) == 0);
    guard_slots_clear(&s);
    cr_expect(s.n_pos == 0 && s.n_slot == 0);
    expect_ok(guard_slots_add(&s, "", 0, NULL, NULL, 0, 1, 0, 7, &err), &err);
    cr_expect(s.n_pos == 1 && s.start[0] == 0 && s.start[1] == 0);
    guard_slots_free(&s);
}

/* Slots of the first tokens alone are the first slots of the whole, wherever the tokens are cut,
 * even inside a character. */
Test(ngram, no_position_sees_a_later_token)
{
    static const char text[] = "It isn't caf\xc3\xa9-time: \xe4\xbd\xa0\xe5\xa5\xbd, o\xcc\x82k?! \xf0\x9f\x98\x80"
                               "x \xff\xc3 end\xe2\x80\x99s";
    const size_t len = sizeof text - 1;

    for (uint64_t draw = 0; draw < 200; draw++) {
        int32_t ids[sizeof text];
        uint32_t start[sizeof text];
        nn_rng r = nn_rng_at(1, "cuts", draw);
        guard_slots whole = {0}, part = {0};
        nn_err err = {NN_OK, ""};
        size_t n = 0;

        for (size_t at = 0; at < len;) {
            start[n] = (uint32_t)at;
            ids[n++] = (int32_t)nn_rng_below(&r, 500);
            at += 1 + (size_t)nn_rng_below(&r, draw % 7 + 1);
        }
        expect_ok(guard_slots_add(&whole, text, len, ids, start, n, 0, 0, 99991, &err), &err);
        for (size_t t = 1; t <= n; t++) {
            guard_slots_clear(&part);
            expect_ok(guard_slots_add(&part, text, t < n ? start[t] : len, ids, start, t, 0, 0, 99991, &err), &err);
            const bool starts = memcmp(part.start, whole.start, (t + 1) * sizeof *part.start) == 0;
            const bool slots = memcmp(part.slot, whole.slot, part.n_slot * sizeof *part.slot) == 0;

            cr_assert(part.n_slot == whole.start[t] && starts && slots, "draw %d, token %zu", (int)draw, t);
        }
        guard_slots_free(&whole);
        guard_slots_free(&part);
    }
}

Test(ngram, each_failed_allocation_is_reported)
{
    const int32_t ids[] = {1, 2};
    const uint32_t start[] = {0, 1};
    nn_status st = NN_LIMIT;
    nn_err err;

    for (long n = 0; st != NN_OK; n++) {
        guard_features f = {0};
        guard_slots s = {0};

        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = guard_features_of(&f, "ab", 2, 18, &err);
        if (st == NN_OK) st = guard_slots_add(&s, "ab", 2, ids, start, 2, 0, 0, 100, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || (st == NN_LIMIT && err.text[0]), "allocation %ld", n);
        guard_features_free(&f);
        guard_slots_free(&s);
    }
}
