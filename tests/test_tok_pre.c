/* Tests of the pre-tokenizers of other people's models: each alternative of their patterns, and where a text may be
 * cut. */
#include "nn/rng.h"
#include "nn/tok_impl.h"
#include "tests/support.h"
#include <string.h>

/* want: the pieces with a bar between them. */
static void expect_cut(nn_tok_pre pre, const char *want)
{
    char text[256], got[512];
    size_t len = 0, n, at = 0, n_got = 0;

    for (const char *s = want; *s; s++)
        if (*s != '|') text[len++] = *s;
    text[len] = '\0';
    nn_tok_cutter c = nn_tok_cutter_at(pre, text, len);
    while ((n = nn_tok_cutter_next(&c)) > 0) {
        if (at > 0) got[n_got++] = '|';
        memcpy(got + n_got, text + at, n);
        n_got += n;
        at += n;
    }
    got[n_got] = '\0';
    cr_expect_str_eq(got, want, "cut as '%s', want '%s'", got, want);
}

Test(tok_pre, llama3_words_take_one_other_character_before_them)
{
    expect_cut(NN_PRE_LLAMA3, "Hello| world|.x|(abc|)");
    expect_cut(NN_PRE_LLAMA3, "a|\tb| |\tc|  | d");
    expect_cut(NN_PRE_LLAMA3, "\xC3\xA9t\xC3\xA9|\xE2\x82\xACx"); /* a sign and a letter */
    expect_cut(NN_PRE_LLAMA3, "e|\xCC\x81t");                  /* a mark may lead, but is no letter */
    expect_cut(NN_PRE_LLAMA3, "a|\n|b|\r\n|c");
}

Test(tok_pre, llama3_contractions_ignore_case)
{
    expect_cut(NN_PRE_LLAMA3, "it|'s| WE|'LL| they|'D|'ve| I|'M|'Re|'t");
    expect_cut(NN_PRE_LLAMA3, "it|'\xC5\xBF|x"); /* U+017F, a long s */
    expect_cut(NN_PRE_LLAMA3, "l|'lx|'r| ''|x");
}

Test(tok_pre, llama3_numbers_come_in_threes_and_qwen2s_alone)
{
    expect_cut(NN_PRE_LLAMA3, "x|123|456|7|y| |12");
    expect_cut(NN_PRE_LLAMA3, "\xD9\xA1\xD9\xA2\xC2\xBD|3");
    expect_cut(NN_PRE_QWEN2, "x|1|2|3|y| |1|\xC2\xBD");
}

Test(tok_pre, llama3_newlines_go_with_what_is_before_them)
{
    expect_cut(NN_PRE_LLAMA3, "a|.\n\n|b| !?\r\n| x");
    expect_cut(NN_PRE_LLAMA3, "a| \n \n|  | b");
    expect_cut(NN_PRE_LLAMA3, "a|\n\n|  ");
    expect_cut(NN_PRE_LLAMA3, "a| \t ");
    expect_cut(NN_PRE_LLAMA3, " | |1");
}

Test(tok_pre, starcoder_takes_numbers_out_first)
{
    expect_cut(NN_PRE_STARCODER, "a|1|2|b| |3| c| ...");
    expect_cut(NN_PRE_STARCODER, "a|  |3|'|4|'s| we|'ll");
}

Test(tok_pre, falcon_takes_punctuation_out_first_and_threes_last)
{
    expect_cut(NN_PRE_FALCON, "it|'|s| a|.,$|b| |(|c|)");
    expect_cut(NN_PRE_FALCON, " |123|456|7|+|12| 1");
    expect_cut(NN_PRE_FALCON, "a| \xE2\x82\xAC|\xE2\x80\xA6\xE2\x80\x9C|x");
}

/* Texts of the characters that the patterns tell apart. */
static size_t random_text(char *out, size_t room, uint64_t row)
{
    static const char *const part[] = {"a", "S", "'", "'s", "1", "23", " ", "  ", "\n", "\r\n", "\t", ".", "$",
                                       "\xC3\xA9", "\xCC\x81", "\xE3\x80\x80", "\xC2\xA0", "\xE2\x80\xA6", "\xFF",
                                       "\xE3\x80"};
    nn_rng r = nn_rng_at(7, "pre-tokens", row);
    size_t len = 0;

    for (size_t n = 1 + (size_t)nn_rng_below(&r, 24); n > 0; n--) {
        const char *s = part[nn_rng_below(&r, sizeof part / sizeof *part)];
        if (len + strlen(s) > room) break;
        memcpy(out + len, s, strlen(s));
        len += strlen(s);
    }
    return len;
}

/* Marks in cut[i] where a pre-token begins. */
static void mark(bool *cut, nn_tok_pre pre, const char *text, size_t len)
{
    nn_tok_cutter c = nn_tok_cutter_at(pre, text, len);

    memset(cut, 0, len + 1);
    for (size_t at = 0, n; (n = nn_tok_cutter_next(&c)) > 0; cut[at += n] = true) cr_assert(n <= len - at);
    cr_assert(len == 0 || cut[len]);
}

Test(tok_pre, where_a_text_may_be_cut_a_pretoken_begins)
{
    char text[128];
    bool whole[129], right[129];
    size_t n_cuts = 0;

    for (uint64_t row = 0; row < 4000; row++) {
        const size_t len = random_text(text, sizeof text, row);
        for (unsigned p = NN_PRE_GPT2; p <= NN_PRE_FALCON; p++) {
            mark(whole, (nn_tok_pre)p, text, len);
            for (size_t i = 1; i < len; i++) {
                if (!nn_tok_pre_cuts(text, i)) continue;
                cr_assert(whole[i], "pattern %u, row %lu, byte %zu", p, (unsigned long)row, i);
                mark(right, (nn_tok_pre)p, text + i, len - i);
                cr_assert(memcmp(whole + i + 1, right + 1, len - i) == 0);
                n_cuts++;
            }
        }
    }
    cr_expect_gt(n_cuts, 10000);
}

Test(tok_pre, gpt2_is_our_own_pattern)
{
    char text[128];
    bool cut[129];

    for (uint64_t row = 0; row < 1000; row++) {
        const size_t len = random_text(text, sizeof text, row);
        mark(cut, NN_PRE_GPT2, text, len);
        for (size_t at = 0; at < len;) {
            const size_t n = nn_tok_pretoken(text + at, len - at);
            for (size_t i = 1; i <= n; i++) cr_assert_eq(cut[at + i], i == n);
            at += n;
        }
    }
}
