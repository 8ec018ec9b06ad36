/* Tests of guard/minhash.h: words, sets, the exact index, and that MinHash finds what brute force finds. */
#include "guard/minhash.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nn_err err;

static guard_row row_of(const char *text, const char *response)
{
    guard_row r = {.label = GUARD_SAFE, .text = {text, strlen(text)}};

    if (response) r.response = (guard_text){response, strlen(response)};
    return r;
}

static void shingle(guard_shingles *s, const char *text, const char *response, size_t order)
{
    const guard_row r = row_of(text, response);

    expect_ok(guard_shingles_of(s, &r, order, &err), &err);
}

Test(minhash, words_are_folded_runs_of_letters_digits_and_apostrophes)
{
    guard_shingles a = {0}, b = {0};

    shingle(&a, "Don't STOP, the 3 trains!", NULL, 3);
    shingle(&b, "don't stop the 3 trains", NULL, 3);
    cr_assert_eq(a.words, 5);
    cr_assert_eq(a.total, 3);
    cr_assert_eq(a.n, 3);
    cr_assert_eq(guard_shingles_common(a.gram, a.n, b.gram, b.n), 3, "case and punctuation do not count");
    shingle(&b, "the 3 trains stop", NULL, 3);
    cr_assert_eq(guard_shingles_common(a.gram, a.n, b.gram, b.n), 1, "order does");
    guard_shingles_free(&a);
    guard_shingles_free(&b);
}

Test(minhash, short_empty_and_repeating_texts)
{
    guard_shingles s = {0};

    shingle(&s, "", NULL, 3);
    cr_assert(s.n == 0 && s.words == 0);
    shingle(&s, " ... !", NULL, 3);
    cr_assert(s.n == 0 && s.words == 0);
    shingle(&s, "two words", NULL, 3);
    cr_assert(s.n == 1 && s.total == 1 && s.words == 2);
    shingle(&s, "a b a b a b a b", NULL, 3);
    cr_assert(s.n == 2 && s.total == 6);
    shingle(&s, "one two three", "four five six", 3);
    cr_assert(s.n == 2 && s.words == 6, "no gram spans prompt and response");
    shingle(&s, "broken \xff\xfe bytes here", NULL, 3);
    cr_assert_eq(s.words, 3);
    guard_shingles_free(&s);
}

/* n texts of drawn words; some are changed copies of earlier ones. */
static guard_corpus *drawn_corpus(size_t n)
{
    guard_corpus *c = NULL;

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < n; i++) {
        nn_rng rng = nn_rng_at(4, "texts", i);
        const size_t of = i > 3 ? (size_t)nn_rng_below(&rng, i) : i;
        nn_rng words = nn_rng_at(4, "words", i % 3 == 2 ? of : i);
        char text[256] = "", word[16], id[GUARD_ID_LEN];
        guard_row r;

        for (size_t w = 0; w < 14; w++) {
            const unsigned drawn = (unsigned)nn_rng_below(&words, 60), other = (unsigned)nn_rng_below(&rng, 12);
            snprintf(word, sizeof word, "%sw%u", w ? " " : "", other == 0 ? drawn + 60u : drawn);
            strcat(text, word);
        }
        snprintf(id, sizeof id, "%016u", (unsigned)i);
        r = row_of(text, NULL);
        memcpy(r.id, id, sizeof id);
        expect_ok(guard_corpus_add(c, &r, &err), &err);
    }
    return c;
}

Test(minhash, the_index_finds_the_most_by_looking_at_few)
{
    guard_corpus *c = drawn_corpus(120);
    guard_shingle_sets s;
    guard_shingle_index x;

    expect_ok(guard_shingle_sets_build(&s, c, 2, &err), &err);
    expect_ok(guard_shingle_index_build(&x, &s, &err), &err);
    for (size_t i = 0; i < 60; i++) {
        const uint64_t *set = s.gram + s.start[2 * i];
        const size_t n = s.start[2 * i + 1] - s.start[2 * i] - i % 4; /* a part of a row */
        size_t most = 0;

        for (size_t j = 0; j < s.n; j++) {
            const size_t common = guard_shingles_common(set, n, s.gram + s.start[j], s.start[j + 1] - s.start[j]);
            most = common > most ? common : most;
        }
        cr_assert_eq(guard_shingle_index_most(&x, set, n), most);
    }
    cr_assert_eq(guard_shingle_index_most(&x, NULL, 0), 0);
    guard_shingle_index_free(&x);
    guard_shingle_sets_free(&s);
    guard_corpus_free(c);
}

Test(minhash, similar_earlier_rows_are_found_and_counted_exactly)
{
    enum { N = 400 };
    guard_corpus *c = drawn_corpus(N);
    guard_shingle_sets s;
    double got[N], threads[N];
    size_t similar = 0, missed = 0;
    const nn_par one = nn_par_one();
    nn_par three;

    expect_ok(nn_par_open(&three, 3, &err), &err);
    expect_ok(guard_shingle_sets_build(&s, c, 3, &err), &err);
    expect_ok(guard_minhash_earlier(got, &s, &one, &err), &err);
    expect_ok(guard_minhash_earlier(threads, &s, &three, &err), &err);
    nn_par_close(&three);
    cr_assert(memcmp(got, threads, sizeof got) == 0);
    for (size_t i = 0; i < N; i++) {
        double want = 0.0;

        for (size_t j = 0; j < i; j++) {
            const size_t a = s.start[i + 1] - s.start[i], b = s.start[j + 1] - s.start[j];
            const size_t common = guard_shingles_common(s.gram + s.start[i], a, s.gram + s.start[j], b);
            const double share = (double)common / (double)(a + b - common);
            want = share > want ? share : want;
        }
        cr_assert(got[i] <= want, "row %zu", i);
        if (want < 0.3) continue;
        similar++;
        missed += got[i] != want;
    }
    cr_assert(similar > 60, "%zu similar rows", similar);
    cr_assert(20 * missed <= similar, "%zu of %zu missed", missed, similar);
    guard_shingle_sets_free(&s);
    guard_corpus_free(c);
}
