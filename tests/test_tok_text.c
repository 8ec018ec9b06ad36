/* Tests of what stands around merging: USER pieces, normalisation, streams. */
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_tok_support.h"
#include <stdio.h>
#include <string.h>

/* --- USER pieces ------------------------------------------------------------------------------------- */

Test(tok_text, user_pieces_are_found_in_text_and_control_pieces_are_not)
{
    nn_vocab v = byte_level();
    nn_tok *t = toy_build(&v);

    expect_ids(t, "ab<x>ab", "256 258 256");
    expect_ids(t, "<x><y><x><x>", "259 258 258");
    expect_ids(t, "<x", "60 120");
    expect_ids(t, "<|end|>", "60 124 101 110 100 124 62");
    expect_ids(t, "abc", "256 99");
    cr_expect_eq(nn_tok_find(t, "<|end|>", 7), 257);
    cr_expect(!nn_tok_cuts_before(t, "<x> <x>", 1));
    nn_tok_free(t);
    v.ignore_merges = true;
    t = toy_build(&v);
    expect_ids(t, "abc ab", "260 32 256");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_text, a_text_is_not_cut_inside_a_user_piece)
{
    nn_vocab v = byte_level();

    toy_add(&v, "b c", 0.0f, NN_PIECE_USER);
    nn_tok *t = toy_build(&v);
    cr_expect(!nn_tok_cuts_before(t, "ab cd", 2)); /* it may go on so */
    cr_expect(nn_tok_cuts_before(t, "aa cd", 2));
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_text, of_equal_texts_the_first_is_made_and_a_control_piece_is_found)
{
    nn_vocab v = byte_level();

    toy_add(&v, "zz", 0.0f, NN_PIECE_CONTROL); /* 261 */
    toy_add(&v, "zz", 0.0f, NN_PIECE_NORMAL);
    toy_add(&v, "zz", 0.0f, NN_PIECE_NORMAL);
    v.ignore_merges = true;
    nn_tok *t = toy_build(&v);
    expect_ids(t, "zz", "262");
    cr_expect_eq(nn_tok_find(t, "zz", 2), 261);
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_text, a_byte_without_a_piece_is_unknown_or_left_out)
{
    nn_vocab v = byte_level();

    v.piece['.'].type = NN_PIECE_UNUSED;
    nn_tok *t = toy_build(&v);
    expect_ids(t, "a.b", "97 98");
    expect_ids(t, "<.>", "60 62");
    expect_ids(t, ".", "");
    nn_tok_free(t);
    v.unk = 257; /* a control piece is not made from text */
    t = toy_build(&v);
    expect_ids(t, "<.>", "60 62");
    nn_tok_free(t);
    v.unk = 256;
    t = toy_build(&v);
    expect_ids(t, "<.>", "60 256 62");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_text, a_user_piece_takes_the_white_space_it_asks_for)
{
    nn_vocab v = byte_level();
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};

    v.piece[258].lstrip = true;
    v.piece[259].rstrip = true;
    nn_tok *t = toy_build(&v);
    expect_ids(t, "a \xE3\x80\x80<x> b", "97 258 32 98");
    expect_ids(t, "a <x><y> \nb", "97 32 259 98");
    memset(&b, 0, sizeof b);
    expect_ok(nn_tok_encode(t, &b, "a  <x>b", 7, &err), &err);
    cr_expect(b.len == 3 && b.start[0] == 0 && b.start[1] == 1 && b.start[2] == 6);
    cr_expect(!nn_tok_cuts_before(t, "a b", 1));
    nn_tok_buf_free(&b);
    nn_tok_free(t);
    nn_vocab_free(&v);
}

/* --- normalisation ----------------------------------------------------------------------------------- */

static void expect_norm(const nn_vocab *v, const char *text, const char *want, const char *starts)
{
    nn_tok *t = toy_build(v);
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};
    char out[128], at[256] = "";

    memset(&b, 0, sizeof b);
    expect_ok(nn_tok_encode(t, &b, text, strlen(text), &err), &err);
    size_t n = 0;
    for (size_t i = 0; i < b.len; i++) {
        size_t len;
        const char *bytes = nn_tok_bytes(t, b.ids[i], &len);
        memcpy(out + n, bytes, len);
        n += len;
        (void)snprintf(at + strlen(at), sizeof at - strlen(at), "%s%d", i ? " " : "", (int)b.start[i]);
    }
    const bool same = n == strlen(want) && memcmp(out, want, n) == 0;
    cr_expect(same, "'%s' becomes '%.*s', want '%s'", text, (int)n, out, want);
    cr_expect_str_eq(at, starts, "'%s': %s, want %s", text, at, starts);
    nn_tok_buf_free(&b);
    nn_tok_free(t);
}

Test(tok_text, text_is_normalised_and_tokens_know_where_they_come_from)
{
    nn_vocab v = byte_level();

    v.nfc = true;
    expect_norm(&v, "xe\xCC\x81y", "x\xC3\xA9y", "0 1 1 4");
    expect_norm(&v, "\xEF\xAC\x81", "\xEF\xAC\x81", "0 0 0"); /* a ligature stays in NFC ... */
    expect_norm(&v, "\xE1\xBA\x9B\xCC\xA3", "\xE1\xBA\x9B\xCC\xA3", "0 0 0 0 0");
    v.nfc = false;
    v.nfkc = true;
    expect_norm(&v, "a\xEF\xAC\x81", "afi", "0 1 1");
    v.lowercase = true;
    expect_norm(&v, "A\xC3\x89 \xC4\xB0", "a\xC3\xA9 i\xCC\x87", "0 1 1 3 4 4 4");
    v.prefix_space = true;
    expect_norm(&v, "A", " a", "0 0");
    expect_norm(&v, " A", " a", "0 1");
    nn_vocab_free(&v);
}

Test(tok_text, runs_of_blanks_become_one)
{
    nn_vocab v = llama_like();

    v.squeeze = true;
    expect_norm(&v, "  hi   h ", " hi h", "2 4");
    expect_norm(&v, "   ", "", "");
    v.prefix_space = false;
    expect_norm(&v, " hi  ", "hi", "1");
    nn_vocab_free(&v);
}

Test(tok_text, a_charsmap_replaces_the_longest_match)
{
    static unsigned char map[CHARSMAP_ROOM];
    nn_vocab v = llama_like();

    v.charsmap = map;
    v.charsmap_len = small_charsmap(map);
    expect_norm(&v, "lhhli", " lii", "0 0 1 4");
    nn_vocab_free(&v);
}

Test(tok_text, hostile_charsmaps_do_no_harm)
{
    static unsigned char map[CHARSMAP_ROOM], bad[CHARSMAP_ROOM];
    const size_t len = small_charsmap(map);
    nn_vocab v = llama_like();
    nn_rng r = nn_rng_at(3, "charsmap", 0);
    size_t refused = 0;

    for (size_t i = 0; i < 300; i++) {
        nn_tok *t = NULL;
        memcpy(bad, map, len);
        for (size_t k = 0; k < 600; k++) {
            const size_t at = 4 + (size_t)nn_rng_below(&r, 4096);
            bad[at] = (unsigned char)nn_rng_below(&r, 256);
        }
        v.charsmap = bad;
        v.charsmap_len = i % 3 ? len : (size_t)nn_rng_below(&r, len);
        if (nn_tok_build(&t, &v, NULL) == NN_OK) (void)ids_of(t, "lhhli hhhhhhhhl\xC3\xA9", false);
        else refused++;
        nn_tok_free(t);
    }
    cr_expect(refused > 50 && refused < 250, "%zu", refused);
    nn_vocab_free(&v);
}

/* --- streams ----------------------------------------------------------------------------------------- */

static void expect_stream(const nn_tok *t, bool goes_on, const int32_t *ids, size_t n, const char *const *want)
{
    nn_tok_stream s;
    char out[256];

    cr_assert(nn_tok_stream_room(t) <= sizeof out);
    (goes_on ? nn_tok_stream_continue : nn_tok_stream_init)(&s, t);
    for (size_t i = 0; i <= n; i++) {
        const size_t len = i < n ? nn_tok_stream_add(&s, out, ids[i]) : nn_tok_stream_end(&s, out);
        cr_expect(len == strlen(want[i]) && memcmp(out, want[i], len) == 0, "%zu: '%.*s'", i, (int)len, out);
    }
}

#define STREAM(t, goes_on, ids, ...)                                                     \
    do {                                                                                 \
        static const char *const want[] = {__VA_ARGS__};                                 \
        cr_assert_eq(sizeof want / sizeof *want, sizeof ids / sizeof *ids + 1);           \
        expect_stream(t, goes_on, ids, sizeof ids / sizeof *ids, want);                  \
    } while (0)

#define BYTE(b) (9 + (b)) /* in llama_like() */

Test(tok_text, a_stream_gives_whole_characters)
{
    nn_vocab v = llama_like();
    nn_tok *t = toy_build(&v);
    const int32_t words[] = {1, 2, 2, 4}, smile[] = {BYTE(0xF0), BYTE(0x9F), BYTE(0x98), BYTE(0x80), BYTE('a')};
    const int32_t broken[] = {BYTE(0xE2), BYTE(0x82), 5,          BYTE(0xFF), BYTE(0xC3),
                              BYTE(0xC3), BYTE(0xA9), BYTE(0xF0), BYTE(0x9F)};

    STREAM(t, false, words, "", "hi", " hi", " ", "");
    STREAM(t, true, words, "", " hi", " hi", " ", "");
    STREAM(t, false, smile, "", "", "", "\xF0\x9F\x98\x80", "a", "");
    STREAM(t, false, broken, "", "", "\xEF\xBF\xBD" "h", "\xEF\xBF\xBD", "", "\xEF\xBF\xBD", "\xC3\xA9", "", "",
           "\xEF\xBF\xBD");
    nn_tok_free(t);
    nn_vocab_free(&v);
}
