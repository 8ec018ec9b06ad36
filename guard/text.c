#include "guard/text.h"
#include "nn/unicode.h"
#include <string.h>

#define RUN_MAX 3 /* equal characters in a row */

/* What has been written so far, in place at the front of the folded text: it never overtakes what has been read. */
typedef struct {
    char *s;
    size_t len;
    bool blank; /* one is due before the next character */
} written;

static bool is_word(uint32_t cp)
{
    return cp == '_' || nn_uni_is_letter(cp) || nn_uni_is_number(cp) || nn_uni_is_mark(cp);
}

static bool joins_to_the_left(uint32_t cp)
{
    return cp == ',' || cp == '.' || cp == '!' || cp == '?' || cp == ';' || cp == ':';
}

static bool word_ends_at(const written *w, size_t at)
{
    size_t from = at;
    uint32_t cp = 0;
    bool bad;

    if (at == 0) return false;
    do from--;
    while (from > 0 && ((unsigned char)w->s[from] & 0xC0) == 0x80);
    (void)nn_utf8_decode((const unsigned char *)w->s + from, at - from, &cp, &bad);
    return is_word(cp);
}

static bool ends_with(const written *w, const char *tail)
{
    const size_t n = strlen(tail);

    return w->len >= n && memcmp(w->s + w->len - n, tail, n) == 0;
}

/* Bytes at the end of w that begin a URL, 0 for none. */
static size_t url_tail(const written *w, uint32_t last)
{
    if (last == '/' && ends_with(w, "http://")) return 7;
    if (last == '/' && ends_with(w, "https://")) return 8;
    if (last == '.' && ends_with(w, "www.") && !word_ends_at(w, w->len - 4)) return 4;
    return 0;
}

/* Bytes at the end of w, whose last character has n bytes, that begin a mention; 0 for none. */
static size_t mention_tail(const written *w, uint32_t last, size_t n)
{
    if (w->len < n + 1 || w->s[w->len - n - 1] != '@' || !is_word(last)) return 0;
    return word_ends_at(w, w->len - n - 1) ? 0 : n + 1;
}

static void drop_tail(written *w, size_t n)
{
    w->len -= n;
    if (w->len > 0 && w->s[w->len - 1] == ' ') w->len--;
    w->blank = true;
}

/* Whether the n bytes at c would be one too many of the same. */
static bool run_is_full(const written *w, const char *c, size_t n)
{
    if (w->len < RUN_MAX * n) return false;
    for (size_t i = 1; i <= RUN_MAX; i++)
        if (memcmp(w->s + w->len - i * n, c, n) != 0) return false;
    return true;
}

static void write_char(written *w, uint32_t cp, const char *c, size_t n)
{
    if (w->blank && w->len > 0 && !joins_to_the_left(cp)) w->s[w->len++] = ' ';
    w->blank = false;
    if (run_is_full(w, c, n)) return;
    memmove(w->s + w->len, c, n);
    w->len += n;
}

/* Applies all rules after folding to the n bytes at s, in place; returns what is left. */
static size_t tidy(char *s, size_t n)
{
    enum { KEEP, IN_URL, IN_MENTION } state = KEEP;
    written w = {s, 0, false};

    for (size_t i = 0, used; i < n; i += used) {
        uint32_t cp;
        bool bad;
        used = nn_utf8_decode((const unsigned char *)s + i, n - i, &cp, &bad);
        const bool space = nn_uni_is_space(cp);

        if ((state == IN_URL && !space) || (state == IN_MENTION && is_word(cp))) continue;
        state = KEEP;
        if (space) {
            w.blank = true;
            continue;
        }
        write_char(&w, cp, s + i, used);
        const size_t url = url_tail(&w, cp), mention = mention_tail(&w, cp, used);
        if (url + mention > 0) {
            drop_tail(&w, url + mention);
            state = url ? IN_URL : IN_MENTION;
        }
    }
    return w.len;
}

size_t guard_text_normalise(char *out, size_t cap, const char *s, size_t len, char *scratch)
{
    if (!scratch) return GUARD_TEXT_ROOM(len);

    const size_t n = tidy(scratch, nn_uni_fold(scratch, GUARD_TEXT_ROOM(len), s, len));
    size_t fits = n < cap ? n : cap;
    while (fits > 0 && fits < n && ((unsigned char)scratch[fits] & 0xC0) == 0x80) fits--;
    if (fits > 0) memmove(out, scratch, fits);
    return n;
}
