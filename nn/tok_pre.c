#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include <string.h>

/* Pre-tokenizers, written out over code points instead of run through a regular-expression engine: every alternative of
 * the published patterns is a run of one kind with something before or after it, so a cut costs one pass. */

typedef enum { LETTER, NUMBER, BLANK, OTHER } kind;

/* [out] n: bytes of the code point at s. */
static kind kind_at(size_t *n, const unsigned char *s, size_t len)
{
    uint32_t cp;
    bool bad;

    *n = nn_utf8_decode(s, len, &cp, &bad); /* U+FFFD is of the kind OTHER */
    if (nn_uni_is_letter(cp)) return LETTER;
    if (nn_uni_is_space(cp)) return BLANK;
    return nn_uni_is_number(cp) ? NUMBER : OTHER;
}

/* Where the run of `want` from `at` ends; [out] last: where its last code point begins. */
static size_t run_end(size_t *last, const unsigned char *s, size_t len, size_t at, kind want)
{
    size_t n;

    *last = at;
    while (at < len && kind_at(&n, s + at, len - at) == want) {
        *last = at;
        at += n;
    }
    return at;
}

/* --- GPT-2 ------------------------------------------------------------------------------------------- */

/* Bytes of 's 't 'm 'd 're 've 'll at s, 0 for none. */
static size_t contraction(const unsigned char *s, size_t len)
{
    if (len < 2 || s[0] != '\'') return 0;
    if (s[1] == 's' || s[1] == 't' || s[1] == 'm' || s[1] == 'd') return 2;
    if (len < 3) return 0;
    if ((s[1] == 'r' || s[1] == 'v') && s[2] == 'e') return 3;
    return s[1] == 'l' && s[2] == 'l' ? 3 : 0;
}

size_t nn_tok_pretoken(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t short_form = contraction(s, len);
    size_t n, last;

    if (short_form) return short_form;
    const size_t lead = s[0] == ' ' && len > 1 ? 1 : 0;
    const kind k = kind_at(&n, s + lead, len - lead);
    if (k != BLANK) return run_end(&last, s, len, lead, k);
    const size_t end = run_end(&last, s, len, 0, BLANK);
    return end == len || last == 0 ? end : last; /* the last blank before a word belongs to the word */
}

/* --- Llama-3 and Qwen2 ------------------------------------------------------------------------------- */

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) at s. U+017F is a small s to a pattern that ignores case. */
static size_t any_case_contraction(const unsigned char *s, size_t len)
{
    if (len < 2 || s[0] != '\'') return 0;
    const unsigned char a = s[1] | 0x20u, b = len > 2 ? s[2] | 0x20u : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (len > 2 && s[1] == 0xC5 && s[2] == 0xBF) return 3;
    if ((a == 'r' || a == 'v') && b == 'e') return 3;
    return a == 'l' && b == 'l' ? 3 : 0;
}

static bool is_newline(unsigned char c)
{
    return c == '\r' || c == '\n';
}

/* \p{N}{1,most} */
static size_t some_digits(const unsigned char *s, size_t len, size_t most)
{
    size_t at = 0, n;

    for (size_t i = 0; i < most && at < len && kind_at(&n, s + at, len - at) == NUMBER; i++) at += n;
    return at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ for a text that begins with white space: up to its run's last newline; without one, the
 * whole run at the end of the text, else all but the last blank of it. */
static size_t blanks(const unsigned char *s, size_t len)
{
    size_t last, after_newline = 0;
    const size_t end = run_end(&last, s, len, 0, BLANK);

    for (size_t i = 0; i < end; i++)
        if (is_newline(s[i])) after_newline = i + 1; /* no byte of a longer character looks like one */
    if (after_newline > 0) return after_newline;
    return end == len || last == 0 ? end : last;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * (Meta's Llama-3 and, with \p{N} for \p{N}{1,3}, Qwen2's tokenizer.json); the first alternative that matches wins. */
static size_t llama3_pretoken(const unsigned char *s, size_t len, size_t most_digits)
{
    const size_t short_form = any_case_contraction(s, len);
    size_t n, m, last;

    if (short_form) return short_form;
    const kind k = kind_at(&n, s, len);
    if (k == LETTER) return run_end(&last, s, len, 0, LETTER);
    if (k == NUMBER) return some_digits(s, len, most_digits);
    const kind after = n < len ? kind_at(&m, s + n, len - n) : BLANK;
    if (after == LETTER && !is_newline(s[0])) return run_end(&last, s, len, n, LETTER);
    if (k == OTHER || (s[0] == ' ' && after == OTHER)) {
        size_t end = run_end(&last, s, len, k == OTHER ? 0 : 1, OTHER);
        while (end < len && is_newline(s[end])) end++;
        return end;
    }
    return blanks(s, len);
}

/* --- StarCoder and Falcon: one pattern after the other ------------------------------------------------ */

/* Whether the family's first pattern takes the code point at s; GPT-2's sees what is between those.
 *   StarCoder \p{N}    Falcon [\p{P}\$\+<=>\^~\|`]+
 * (Digits and Punctuation in their tokenizer.json.) [out] n: its bytes. */
static bool first_at(size_t *n, nn_tok_pre pre, const unsigned char *s, size_t len)
{
    uint32_t cp;
    bool bad;

    *n = nn_utf8_decode(s, len, &cp, &bad);
    if (pre == NN_PRE_STARCODER) return nn_uni_is_number(cp);
    return nn_uni_is_punct(cp) || (cp > 0 && cp < 0x80 && strchr("$+<=>^~|`", (int)cp) != NULL);
}

/* Where the run ends of code points that the first pattern takes, or does not. */
static size_t part_end(const nn_tok_cutter *c, bool first)
{
    const unsigned char *s = (const unsigned char *)c->s;
    size_t at = c->at, n;

    while (at < c->len && first_at(&n, c->pre, s + at, c->len - at) == first) at += n;
    return at;
}

/* Bytes of s up to the first [0-9][0-9][0-9], or that. */
static size_t up_to_three_digits(const unsigned char *s, size_t len)
{
    size_t run = 0;

    for (size_t i = 0; i < len; i++) {
        run = (unsigned)s[i] - '0' < 10u ? run + 1 : 0;
        if (run == 3) return i == 2 ? 3 : i - 2;
    }
    return len;
}

static size_t two_patterns_next(nn_tok_cutter *c)
{
    const unsigned char *s = (const unsigned char *)c->s;
    size_t n;

    if (c->at >= c->part) {
        if (first_at(&n, c->pre, s + c->at, c->len - c->at))
            return c->pre == NN_PRE_STARCODER ? n : part_end(c, true) - c->at;
        c->part = part_end(c, false);
    }
    if (c->pre == NN_PRE_STARCODER) return nn_tok_pretoken(c->s + c->at, c->part - c->at);
    if (c->at >= c->token) c->token = c->at + nn_tok_pretoken(c->s + c->at, c->part - c->at);
    return up_to_three_digits(s + c->at, c->token - c->at);
}

/* --- all --------------------------------------------------------------------------------------------- */

nn_tok_cutter nn_tok_cutter_at(nn_tok_pre pre, const char *s, size_t len)
{
    return (nn_tok_cutter){s, len, 0, 0, 0, pre};
}

size_t nn_tok_cutter_next(nn_tok_cutter *c)
{
    const char *s = c->s + c->at;
    const size_t len = c->len - c->at;
    size_t n = 0;

    if (len == 0) return 0;
    if (c->pre == NN_PRE_GPT2) n = nn_tok_pretoken(s, len);
    else if (c->pre == NN_PRE_LLAMA3) n = llama3_pretoken((const unsigned char *)s, len, 3);
    else if (c->pre == NN_PRE_QWEN2) n = llama3_pretoken((const unsigned char *)s, len, 1);
    else n = two_patterns_next(c);
    c->at += n;
    return n;
}

/* The character that ends before s[i] is white space. */
static bool blank_before(const unsigned char *s, size_t i)
{
    uint32_t cp;
    bool bad;

    for (size_t n = 1; n <= 4 && n <= i; n++) {
        if ((s[i - n] & 0xC0u) == 0x80) continue; /* inside a character */
        return nn_utf8_decode(s + i - n, n, &cp, &bad) == n && nn_uni_is_space(cp);
    }
    return false;
}

/* A blank after something else begins a pre-token in all patterns, and so does whatever follows a newline: white space
 * stands nowhere else than first, newlines may also be last. */
bool nn_tok_pre_cuts(const char *text, size_t i)
{
    const unsigned char *s = (const unsigned char *)text;

    if (s[i] == ' ') return !blank_before(s, i);
    return s[i - 1] == '\n' && s[i] > ' ' && s[i] < 0x7F;
}
