/* Tests of nn/tok.h: the pre-tokenizer's rules, encoding against the textbook loop, training, published cases. */
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/tok.h"
#include "nn/tok_impl.h"
#include "tests/support.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- the pre-tokenizer ------------------------------------------------------------------------------- */

static void expect_pieces(const char *text, const char *const *want, size_t n)
{
    const size_t len = strlen(text);
    size_t at = 0, i = 0;

    for (; at < len; i++) {
        const size_t bytes = nn_tok_pretoken(text + at, len - at);

        cr_assert(bytes > 0 && bytes <= len - at);
        cr_assert(i < n && strlen(want[i]) == bytes && memcmp(want[i], text + at, bytes) == 0,
                  "'%s': piece %zu is '%.*s'", text, i, (int)bytes, text + at);
        at += bytes;
    }
    cr_expect_eq(i, n, "'%s': %zu pieces, want %zu", text, i, n);
}

#define PIECES(text, ...)                                                                          \
    do {                                                                                           \
        static const char *const want[] = {__VA_ARGS__};                                           \
        expect_pieces(text, want, sizeof want / sizeof *want);                                     \
    } while (0)

Test(tok, words_take_the_blank_before_them)
{
    PIECES("Hello world 42x", "Hello", " world", " 42", "x");
    PIECES("a.b, ...c", "a", ".", "b", ",", " ...", "c");
    PIECES("\xC3\xA9t\xC3\xA9 \xD9\xA1\xD9\xA2 \xE2\x82\xAC", "\xC3\xA9t\xC3\xA9", " \xD9\xA1\xD9\xA2",
           " \xE2\x82\xAC"); /* an accented word, Arabic digits, a sign */
    PIECES("e\xCC\x81t", "e", "\xCC\x81", "t"); /* a mark is neither letter nor number */
}

Test(tok, the_last_blank_of_a_run_stays_for_the_word)
{
    PIECES("a   b", "a", "  ", " b");
    PIECES("a \n b", "a", " \n", " b");
    PIECES("a\nb", "a", "\n", "b");
    PIECES("a\n\nb", "a", "\n", "\n", "b");
    PIECES("a  ", "a", "  ");
    PIECES(" ", " ");
    PIECES("\xC2\xA0x", "\xC2\xA0", "x"); /* only U+0020 joins a word */
    PIECES("\t\xE3\x80\x80 x", "\t\xE3\x80\x80", " x");
}

Test(tok, contractions_are_pieces_of_their_own)
{
    PIECES("it's we'll they'd've", "it", "'s", " we", "'ll", " they", "'d", "'ve");
    PIECES("I'm can't you're", "I", "'m", " can", "'t", " you", "'re");
    PIECES("'S 'l '", "'", "S", " '", "l", " '");
    PIECES("''s", "''", "s");
    PIECES("'story", "'s", "tory");
}

Test(tok, ill_formed_bytes_are_of_the_other_kind)
{
    PIECES("a\xFF\xFE!b", "a", "\xFF\xFE!", "b");
    PIECES("\xE2\x82 x", "\xE2\x82", " x");
}

/* --- encoding ---------------------------------------------------------------------------------------- */

static nn_tok *build(const int32_t *pairs, size_t n)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_from_merges(&t, pairs, n, &err), &err);
    return t;
}

static nn_tok *train(const char *text, size_t len, size_t vocab)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_train(&t, &text, &len, 1, vocab, &err), &err);
    return t;
}

static void encode(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len)
{
    nn_err err = {NN_OK, ""};

    b->len = 0;
    expect_ok(nn_tok_encode(t, b, text, len, &err), &err);
}

static void expect_round_trip(const nn_tok *t, nn_tok_buf *b, const char *text, size_t len)
{
    char *back = malloc(len + 1);

    cr_assert(back != NULL);
    encode(t, b, text, len);
    const size_t n = nn_tok_decode(t, back, len, b->ids, b->len);
    cr_expect(n == len && memcmp(back, text, len) == 0, "'%.*s' came back otherwise", (int)(len < 80 ? len : 80), text);
    for (size_t i = 0, at = 0, bytes; i < b->len; i++, at += bytes) {
        cr_assert(b->ids[i] >= NN_TOK_BYTES && (size_t)b->ids[i] < nn_tok_vocab(t));
        cr_assert_eq(b->start[i], at, "token %zu begins at %lu, want %zu", i, (unsigned long)b->start[i], at);
        (void)nn_tok_bytes(t, b->ids[i], &bytes);
    }
    free(back);
}

/* The textbook: while a pair has a rank, merge the leftmost occurrence of the lowest. */
static size_t encode_by_loop(const nn_tok *t, int32_t *id, const char *s, size_t len)
{
    size_t n = len;

    for (size_t i = 0; i < len; i++) id[i] = NN_TOK_BYTES + (int32_t)(unsigned char)s[i];
    while (true) {
        uint32_t best = NN_TOK_NO_RANK;
        size_t at = 0;

        for (size_t i = 0; i + 1 < n; i++) {
            const uint32_t rank = nn_tok_merge_of(t, (uint32_t)id[i], (uint32_t)id[i + 1])->rank;
            if (rank < best) {
                best = rank;
                at = i;
            }
        }
        if (best == NN_TOK_NO_RANK) return n;
        id[at] = NN_TOK_MERGES + (int32_t)best;
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

Test(tok, encode_is_the_textbook_loop_on_random_merges)
{
    nn_tok_buf b;

    memset(&b, 0, sizeof b);
    for (uint64_t row = 0; row < 300; row++) {
        nn_rng r = nn_rng_at(5, "tok", row);
        char s[400];
        int32_t want[400];

        for (size_t i = 0; i < sizeof s; i++) s[i] = (char)('a' + (int)nn_rng_below(&r, 3));
        nn_tok *t = train(s, 1 + nn_rng_below(&r, sizeof s), NN_TOK_MERGES + nn_rng_below(&r, 60));
        const size_t len = 1 + nn_rng_below(&r, sizeof s), n = encode_by_loop(t, want, s, len);
        encode(t, &b, s, len);
        cr_assert_eq(b.len, n);
        cr_assert_arr_eq(b.ids, want, n * sizeof *want);
        expect_round_trip(t, &b, s, len);
        nn_tok_free(t);
    }
    nn_tok_buf_free(&b);
}

Test(tok, encode_appends_and_never_makes_a_special_token)
{
    nn_tok *t = build(NULL, 0);
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};

    memset(&b, 0, sizeof b);
    encode(t, &b, "<|pad|>", 7);
    cr_expect_eq(b.len, 7);
    expect_ok(nn_tok_encode(t, &b, "\0x", 2, &err), &err);
    cr_expect_eq(b.len, 9);
    cr_expect_eq(b.ids[7], NN_TOK_BYTES);
    cr_expect_eq(b.start[8], 1);
    expect_ok(nn_tok_encode(t, &b, "", 0, &err), &err);
    cr_expect_eq(b.len, 9);
    nn_tok_buf_free(&b);
    nn_tok_free(t);
}

/* --- training ---------------------------------------------------------------------------------------- */

static void expect_merges(const char *text, size_t vocab, const int32_t *want, size_t n)
{
    nn_tok *t = train(text, strlen(text), vocab);
    const int32_t *pairs;

    cr_expect_eq(nn_tok_merges(t, &pairs), n, "'%s': %zu merges, want %zu", text, nn_tok_merges(t, &pairs), n);
    for (size_t i = 0; i < 2 * n && i < 2 * nn_tok_merges(t, &pairs); i++)
        cr_expect_eq(pairs[i], want[i], "'%s': merge %zu has %ld, want %ld", text, i / 2, (long)pairs[i],
                     (long)want[i]);
    nn_tok_free(t);
}

#define ID(c) (NN_TOK_BYTES + (c))

Test(tok, training_takes_the_most_frequent_pair_first)
{
    const int32_t want[] = {ID('l'), ID('o'), ID(' '), 320, 321, ID('w')}; /* " low" twice and "low" once */

    expect_merges("low low low lo x", 323, want, 3);
}

Test(tok, equal_counts_go_to_the_smaller_ids)
{
    const int32_t want[] = {ID(' '), ID('c'), ID('a'), ID('b'), 320, ID('d')};

    expect_merges("ab cd ab cd cd ab", 322, want, 2);
}

Test(tok, training_stops_when_no_pair_occurs_twice)
{
    const int32_t want[] = {ID('a'), ID('a')};

    expect_merges("aaa", 400, want, 1); /* side by side twice; then one pair is left */
    expect_merges("abc", 400, NULL, 0);
    expect_merges("", 400, NULL, 0);
}

Test(tok, training_does_not_depend_on_the_order_of_texts)
{
    const char *one[] = {"the cat sat", "on the mat", "the end", "\xFF\xFE\xFF\xFE"};
    const char *two[] = {"\xFF\xFE\xFF\xFE", "the end", "on the mat", "the cat sat"};
    const size_t len_one[] = {11, 10, 7, 4}, len_two[] = {4, 7, 10, 11};
    nn_tok *a = NULL, *b = NULL;
    char hash_a[65], hash_b[65];
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_train(&a, one, len_one, 4, 330, &err), &err);
    expect_ok(nn_tok_train(&b, two, len_two, 4, 330, &err), &err);
    nn_tok_hash(a, hash_a);
    nn_tok_hash(b, hash_b);
    cr_expect_str_eq(hash_a, hash_b);
    nn_tok_free(a);
    a = build(NULL, 0);
    nn_tok_hash(a, hash_a);
    cr_expect_str_neq(hash_a, hash_b);
    nn_tok_free(a);
    nn_tok_free(b);
}

/* Counts every pair again before each merge, the slow way, and compares the whole list of merges. */
static size_t learn_by_loop(int32_t *pairs, size_t most, const char *s, size_t len)
{
    int32_t id[600];
    size_t piece[600], n = len, n_merges = 0;

    for (size_t at = 0, bytes, k = 0; at < len; at += bytes, k++) {
        bytes = nn_tok_pretoken(s + at, len - at);
        for (size_t i = at; i < at + bytes; i++) {
            id[i] = ID((unsigned char)s[i]);
            piece[i] = k;
        }
    }
    for (; n_merges < most; n_merges++) {
        size_t best = 1, at = n;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t count = 0;
            if (piece[i] != piece[i + 1]) continue;
            for (size_t k = 0; k + 1 < n; k++)
                count += piece[k] == piece[k + 1] && id[k] == id[i] && id[k + 1] == id[i + 1];
            const bool smaller = at < n && (id[i] < id[at] || (id[i] == id[at] && id[i + 1] < id[at + 1]));
            if (count > best || (count == best && smaller)) {
                best = count;
                at = i;
            }
        }
        if (at == n) break;
        const int32_t a = id[at], b = id[at + 1];
        pairs[2 * n_merges] = a;
        pairs[2 * n_merges + 1] = b;
        size_t to = 0;
        for (size_t i = 0; i < n; i++, to++) {
            const bool here = i + 1 < n && piece[i] == piece[i + 1] && id[i] == a && id[i + 1] == b;
            piece[to] = piece[i];
            id[to] = here ? NN_TOK_MERGES + (int32_t)n_merges : id[i];
            i += here;
        }
        n = to;
    }
    return n_merges;
}

Test(tok, training_is_the_textbook_loop)
{
    for (uint64_t row = 0; row < 60; row++) {
        nn_rng r = nn_rng_at(6, "learn", row);
        const size_t kinds = 2 + nn_rng_below(&r, 4), len = nn_rng_below(&r, 600);
        char s[600];
        int32_t want[2 * 40];
        const int32_t *pairs;

        for (size_t i = 0; i < len; i++) s[i] = " abcd"[nn_rng_below(&r, kinds)];
        const size_t n = learn_by_loop(want, 40, s, len);
        nn_tok *t = train(s, len, NN_TOK_MERGES + 40);
        cr_assert_eq(nn_tok_merges(t, &pairs), n, "row %lu", (unsigned long)row);
        if (n > 0) cr_assert_arr_eq(pairs, want, 2 * n * sizeof *want, "row %lu", (unsigned long)row);
        nn_tok_free(t);
    }
}

Test(tok, no_token_grows_beyond_its_limit)
{
    char *s = malloc(4096);
    size_t longest = 0;

    cr_assert(s != NULL);
    memset(s, 'a', 4096);
    nn_tok *t = train(s, 4096, 1000);
    for (int32_t id = 0; (size_t)id < nn_tok_vocab(t); id++) {
        size_t n;
        (void)nn_tok_bytes(t, id, &n);
        if (n > longest) longest = n;
    }
    cr_expect_eq(longest, NN_TOK_LONGEST);
    nn_tok_free(t);
    free(s);
}

Test(tok, training_survives_every_failed_allocation)
{
    const char *text = "to be or not to be, that is the question: whether 'tis nobler in the mind to suffer";
    const size_t len = strlen(text);
    nn_status st = NN_LIMIT;
    long n = 0;

    for (; st != NN_OK && n < 1000; n++) {
        nn_tok *t = NULL;
        nn_err err = {NN_OK, ""};
        nn_alloc_fail_at(n);
        st = nn_tok_train(&t, &text, &len, 1, 340, &err);
        nn_alloc_fail_at(-1);
        cr_expect(st == NN_OK ? t != NULL : t == NULL && st == NN_LIMIT && err.text[0] != '\0');
        nn_tok_free(t);
    }
    cr_expect(st == NN_OK && n > 10);
}

Test(tok, encoding_survives_every_failed_allocation)
{
    nn_tok *t = train("low low low", 11, 330);
    nn_status st = NN_LIMIT;
    long n = 0;

    for (; st != NN_OK && n < 100; n++) {
        nn_tok_buf b;
        nn_err err = {NN_OK, ""};
        memset(&b, 0, sizeof b);
        nn_alloc_fail_at(n);
        st = nn_tok_encode(t, &b, "low lower lowest of all the words", 33, &err);
        nn_alloc_fail_at(-1);
        cr_expect(st == NN_OK || st == NN_LIMIT);
        nn_tok_buf_free(&b);
    }
    cr_expect(st == NN_OK && n > 3);
    nn_tok_free(t);
}

/* --- files and spelling ------------------------------------------------------------------------------ */

static void expect_refused(const int32_t *pairs, size_t n, const char *part)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_tok_from_merges(&t, pairs, n, &err), NN_FILE, &err, part);
    cr_expect_null(t);
}

Test(tok, merges_that_cannot_be_are_refused)
{
    const int32_t low[] = {63, 64}, later[] = {64, 65, 321, 64}, negative[] = {64, -1};
    const int32_t twice[] = {64, 65, 66, 67, 64, 65};
    int32_t longer[2 * 9] = {64, 64};

    expect_refused(low, 1, "merge 0: ids 63 and 64, want 64 to 319");
    expect_refused(later, 2, "merge 1: ids 321 and 64, want 64 to 320");
    expect_refused(negative, 1, "merge 0");
    expect_refused(twice, 3, "merge 2: the pair of merge 0 again");
    for (int32_t i = 1; i < 9; i++) longer[2 * i] = longer[2 * i + 1] = 319 + i; /* 2, 4, ... 512 bytes */
    expect_refused(longer, 9, "merge 8: a token of 512 bytes");
    expect_refused(NULL, (size_t)1 << 40, "merges, want at most");
}

Test(tok, a_vocabulary_without_room_for_bytes_is_refused)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_tok_train(&t, NULL, NULL, 0, 319, &err), NN_USAGE, &err, "a vocabulary of 319, want 320");
}

Test(tok, merges_written_and_read_give_the_same_tokenizer)
{
    nn_tok *a = train("so much depends upon a red wheel barrow so much", 47, 340);
    const int32_t *pairs;
    const size_t n = nn_tok_merges(a, &pairs);
    nn_tok *b = build(pairs, n);
    char hash_a[65], hash_b[65];

    cr_expect_gt(n, 3);
    nn_tok_hash(a, hash_a);
    nn_tok_hash(b, hash_b);
    cr_expect_str_eq(hash_a, hash_b);
    for (int32_t id = 0; (size_t)id < nn_tok_vocab(a); id++) {
        size_t len_a, len_b;
        const char *bytes_a = nn_tok_bytes(a, id, &len_a), *bytes_b = nn_tok_bytes(b, id, &len_b);
        cr_expect(len_a == len_b && memcmp(bytes_a, bytes_b, len_a) == 0);
    }
    nn_tok_free(a);
    nn_tok_free(b);
}

static void expect_spelling(const nn_tok *t, int32_t id, const char *want)
{
    char got[64];
    const size_t n = nn_tok_spelling(t, id, got, sizeof got - 1);

    cr_assert(n < sizeof got);
    got[n] = '\0';
    cr_expect_str_eq(got, want);
}

Test(tok, spellings_are_those_of_gpt2_and_unique)
{
    const int32_t pairs[] = {ID(' '), ID('a')};
    nn_tok *t = build(pairs, 1);
    char seen[NN_TOK_MERGES][32];

    expect_spelling(t, ID('A'), "A");
    expect_spelling(t, ID(' '), "\xC4\xA0");
    expect_spelling(t, ID('\n'), "\xC4\x8A");
    expect_spelling(t, ID(0), "\xC4\x80");
    expect_spelling(t, ID(0xAD), "\xC5\x83");
    expect_spelling(t, ID(0xE9), "\xC3\xA9");
    expect_spelling(t, 320, "\xC4\xA0" "a");
    expect_spelling(t, NN_TOK_UNSAFE, "<|unsafe|>");
    expect_spelling(t, NN_TOK_CATEGORY + 3, "<|category_3|>");
    expect_spelling(t, 9999, "");
    for (int32_t id = 0; id < NN_TOK_MERGES; id++) {
        const size_t n = nn_tok_spelling(t, id, seen[id], sizeof seen[id] - 1);
        cr_assert(n > 0 && n < sizeof seen[id]);
        seen[id][n] = '\0';
        for (int32_t other = 0; other < id; other++) cr_assert_str_neq(seen[id], seen[other]);
    }
    nn_tok_free(t);
}

Test(tok, unprintable_bytes_are_spelled_in_order)
{
    nn_tok *t = build(NULL, 0);
    uint32_t next = 0x100;

    for (uint32_t b = 0; b < 256; b++) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        const uint32_t cp = printable ? b : next++;
        const char two[] = {(char)(0xC0 | cp >> 6), (char)(0x80 | (cp & 0x3F)), 0}, one[] = {(char)cp, 0};

        expect_spelling(t, ID((int32_t)b), cp < 0x80 ? one : two);
    }
    nn_tok_free(t);
}

Test(tok, decoding_measures_and_keeps_to_its_room)
{
    nn_tok *t = build(NULL, 0);
    const int32_t ids[] = {ID('a'), NN_TOK_EOS, ID('b'), ID('c'), 9999, -1};
    char out[4] = {'#', '#', '#', '#'};

    cr_expect_eq(nn_tok_decode(t, NULL, 0, ids, 6), 3);
    cr_expect_eq(nn_tok_decode(t, out, 2, ids, 6), 3);
    cr_expect_arr_eq(out, "ab##", 4);
    nn_tok_free(t);
}

/* --- size -------------------------------------------------------------------------------------------- */

static double seconds_to_encode(const nn_tok *t, const char *s, size_t len)
{
    nn_tok_buf b;
    const clock_t start = clock();

    memset(&b, 0, sizeof b);
    encode(t, &b, s, len);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    expect_round_trip(t, &b, s, len);
    nn_tok_buf_free(&b);
    return seconds;
}

Test(tok, a_megabyte_in_one_piece_or_of_noise_is_fast)
{
    const size_t len = 1u << 20;
    char *s = malloc(len);
    nn_rng r = nn_rng_at(7, "noise", 0);

    cr_assert(s != NULL);
    memset(s, 'a', len);
    nn_tok *t = train(s, len, 400);
    cr_expect_lt(seconds_to_encode(t, s, len), 2.0);
    nn_tok_free(t);
    for (size_t i = 0; i < len; i++) s[i] = (char)(unsigned char)nn_rng_below(&r, 256);
    t = train(s, len, 1024);
    cr_expect_lt(seconds_to_encode(t, s, len), 2.0);
    for (size_t i = 0; i < len; i++) s[i] = (char)('a' + (int)nn_rng_below(&r, 26)); /* one word */
    nn_tok_free(t);
    t = train(s, len, 1024);
    cr_expect_lt(seconds_to_encode(t, s, len), 2.0);
    nn_tok_free(t);
    free(s);
}

/* --- published cases --------------------------------------------------------------------------------- */

Test(tok, naughty_strings_come_back_byte_for_byte)
{
    nn_tok_buf b;

    skip_unless_fixture("fixtures/text/blns.json");
    json_t *list = json_load_file(shared_path("fixtures/text/blns.json"), JSON_ALLOW_NUL, NULL);
    cr_assert(json_is_array(list));
    memset(&b, 0, sizeof b);
    nn_tok *plain = build(NULL, 0), *t = train("the quick brown fox of the scripts and the strings", 50, 340);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        expect_round_trip(plain, &b, json_string_value(s), json_string_length(s));
        expect_round_trip(t, &b, json_string_value(s), json_string_length(s));
    }
    cr_expect_gt(json_array_size(list), 400);
    nn_tok_free(plain);
    nn_tok_free(t);
    nn_tok_buf_free(&b);
    json_decref(list);
}
