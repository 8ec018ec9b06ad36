#include "nn/arena.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include <string.h>

#define KEY_MAX 64u    /* bytes that one rule of a charsmap replaces; SentencePiece's own have at most 20 */
#define VALUE_MAX 256u /* bytes that it puts there */
#define BLANK_SIGN "\xE2\x96\x81" /* U+2581, SentencePiece's blank */

/* --- a text under way --------------------------------------------------------------------------------- */

/* Each pass reads the part of buf->text that the pass before has written and writes behind it. */
typedef struct {
    nn_tok_buf *b;
    size_t at, end; /* what is read */
    size_t len;     /* of all that is written */
} work;

static nn_status room(work *w, size_t n, nn_err *err)
{
    void *text = w->b->text, *from = w->b->from;
    nn_status st = NN_OK;

    if (n > SIZE_MAX / 8 - w->len) return nn_fail(err, NN_LIMIT, "tokenizer: a text of %zu bytes, normalised", n);
    st = nn_grow(&text, &w->b->text_cap, w->len + n, 1, err);
    w->b->text = text;
    if (st != NN_OK) return st;
    st = nn_grow(&from, &w->b->from_cap, w->len + n, sizeof *w->b->from, err);
    w->b->from = from;
    return st;
}

static nn_status put(work *w, const char *s, size_t n, uint32_t from, nn_err *err)
{
    const nn_status st = room(w, n, err);

    if (st != NN_OK) return st;
    for (size_t i = 0; i < n; i++) {
        w->b->text[w->len] = s[i];
        w->b->from[w->len++] = from;
    }
    return NN_OK;
}

/* What was written becomes what is read. */
static void turn(work *w)
{
    w->at = w->end;
    w->end = w->len;
}

/* --- passes ------------------------------------------------------------------------------------------ */

static nn_status take_text(work *w, const nn_tok_other *o, const char *text, size_t at, size_t end, nn_err *err)
{
    nn_status st = NN_OK;
    size_t n = end - at;

    if (o->nfc || o->nfkc) {
        n = nn_uni_compose(NULL, NULL, 0, text + at, end - at, o->nfkc);
        if ((st = room(w, n, err)) != NN_OK) return st;
        (void)nn_uni_compose(w->b->text, w->b->from, n, text + at, end - at, o->nfkc);
        for (size_t i = 0; i < n; i++) w->b->from[i] += (uint32_t)at;
    } else {
        if ((st = room(w, n, err)) != NN_OK) return st;
        memcpy(w->b->text, text + at, n);
        for (size_t i = 0; i < n; i++) w->b->from[i] = (uint32_t)(at + i);
    }
    w->len = n;
    turn(w);
    return NN_OK;
}

static nn_status lower(work *w, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = w->at, n; i < w->end && st == NN_OK; i += n) {
        uint32_t cp, seq[NN_UNI_LOWER_MAX];
        bool bad;
        char utf8[4 * NN_UNI_LOWER_MAX];
        size_t len = 0;

        n = nn_utf8_decode((const unsigned char *)w->b->text + i, w->end - i, &cp, &bad);
        const size_t n_seq = nn_uni_lower(seq, cp);
        for (size_t k = 0; k < n_seq; k++) len += nn_utf8_encode(seq[k], utf8 + len);
        if (bad) memcpy(utf8, w->b->text + i, len = n);
        st = put(w, utf8, len, w->b->from[i], err);
    }
    turn(w);
    return st;
}

/* The longest rule of the charsmap at s: returns the bytes it replaces, 0 for none; *value: what comes there instead.
 * A unit of the double array: bits 0..7 the label (bit 31 too: a unit that holds a value), 8 whether a value follows, 9
 * whether the offset is in units of 256, 10..30 the offset (darts-clone, as SentencePiece uses it). */
static size_t rule_at(const char **value, const nn_tok_charsmap *m, const unsigned char *s, size_t len)
{
    size_t node = 0, found = 0;

    if (m->n_unit == 0) return 0;
    for (size_t i = 0; i <= len && i <= KEY_MAX; i++) {
        const uint32_t unit = m->unit[node];
        const size_t offset = (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);

        if (i > 0 && (unit & (1u << 31 | 0xFFu)) != s[i - 1]) break;
        node ^= offset;
        if (i > 0 && (unit >> 8 & 1u) && node < m->n_unit) {
            const size_t at = m->unit[node] & 0x7FFFFFFFu;
            if (at < m->text_len) {
                *value = m->text + at;
                found = i;
            }
        }
        if (i == len) break;
        node ^= s[i];
        if (node >= m->n_unit) break;
    }
    return found;
}

static nn_status map_chars(work *w, const nn_tok_charsmap *m, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = w->at, n; i < w->end && st == NN_OK; i += n) {
        const unsigned char *s = (const unsigned char *)w->b->text + i;
        const char *value = NULL;
        char utf8[4];
        uint32_t cp;
        bool bad;

        n = rule_at(&value, m, s, w->end - i);
        if (n > 0) {
            st = put(w, value, strlen(value), w->b->from[i], err);
        } else {
            n = nn_utf8_decode(s, w->end - i, &cp, &bad);
            st = put(w, utf8, nn_utf8_encode(cp, utf8), w->b->from[i], err);
        }
    }
    turn(w);
    return st;
}

/* What keeps a blank of the tokenizer's own away; one that is squeezed out does not. */
static bool begins_blank(const nn_tok_other *o, const char *s, size_t len)
{
    return (s[0] == ' ' && !o->squeeze) || (len >= 3 && memcmp(s, BLANK_SIGN, 3) == 0);
}

/* Blanks: one before the text, runs of them made one, those at its ends dropped, U+2581 read as one. */
static nn_status blanks(work *w, const nn_tok_other *o, bool first, bool last, nn_err *err)
{
    bool after_blank = first, prefix = first && o->prefix_space && w->at < w->end;
    const size_t begin = w->len;
    nn_status st = NN_OK;

    if (prefix && o->prefix_unless_blank) prefix = !begins_blank(o, w->b->text + w->at, w->end - w->at);
    for (size_t i = w->at, n; i < w->end && st == NN_OK; i += n) {
        const char *s = w->b->text + i;
        const bool sign = o->model != NN_TOK_BPE && w->end - i >= 3 && memcmp(s, BLANK_SIGN, 3) == 0;
        const char c = *s;

        n = sign ? 3 : 1;
        if (o->squeeze && c == ' ' && after_blank) continue;
        if (prefix) st = put(w, " ", 1, w->b->from[i], err);
        prefix = false;
        after_blank = c == ' ';
        if (st == NN_OK) st = put(w, sign ? " " : &c, 1, w->b->from[i], err);
    }
    if (o->squeeze && last && after_blank && w->len > begin) w->len--;
    turn(w);
    return st;
}

static nn_status all_passes(work *w, const nn_tok_other *o, const char *text, size_t at, size_t end, bool first,
                            bool last, nn_err *err)
{
    nn_status st = take_text(w, o, text, at, end, err);

    if (st == NN_OK && o->charsmap.n_unit > 0) st = map_chars(w, &o->charsmap, err);
    if (st == NN_OK && o->lowercase) st = lower(w, err);
    return st == NN_OK ? blanks(w, o, first, last, err) : st;
}

static bool has_blank_sign(const char *s, size_t len)
{
    const char *end = s + len;

    while (s < end && (s = memchr(s, 0xE2, (size_t)(end - s))) != NULL) {
        if (end - s >= 3 && memcmp(s, BLANK_SIGN, 3) == 0) return true;
        s++;
    }
    return false;
}

nn_status nn_tok_normalise(nn_tok_view *v, const nn_tok *t, nn_tok_buf *buf, const char *text, size_t at, size_t end,
                           bool first, bool last, nn_err *err)
{
    const nn_tok_other *o = t->other;
    const bool changes = o->nfc || o->nfkc || o->lowercase || o->squeeze || o->charsmap.n_unit > 0 ||
                         (o->model != NN_TOK_BPE && has_blank_sign(text + at, end - at));
    const bool prefix = first && o->prefix_space && !(o->prefix_unless_blank && begins_blank(o, text + at, end - at));
    work w = {buf, 0, 0, 0};
    nn_status st = NN_OK;

    *v = (nn_tok_view){text + at, end - at, NULL, at, 0};
    if (changes) {
        if ((st = all_passes(&w, o, text, at, end, first, last, err)) != NN_OK) return st;
        *v = (nn_tok_view){buf->text + w.at, w.end - w.at, buf->from + w.at, 0, 0};
    } else if (prefix) { /* the usual case of SentencePiece's families needs no map */
        if ((st = room(&w, end - at + 1, err)) != NN_OK) return st;
        buf->text[0] = ' ';
        memcpy(buf->text + 1, text + at, end - at);
        *v = (nn_tok_view){buf->text, end - at + 1, NULL, at, 1};
    }
    return NN_OK;
}

/* --- the charsmap ------------------------------------------------------------------------------------ */

static uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The file: u32 bytes of the double array, its units (u32 each, little-endian), the strings. */
nn_status nn_tok_charsmap_build(nn_tok_charsmap *m, const unsigned char *bytes, size_t len, nn_err *err)
{
    nn_status st = NN_OK;
    void *p = NULL;
    const size_t trie = len >= 4 ? u32_at(bytes) : 0;

    if (len < 8 || trie % 4 != 0 || trie == 0 || trie > len - 4)
        return nn_fail(err, NN_FILE, "tokenizer: charsmap of %zu bytes: a trie of %zu, want a multiple of 4 that fits",
                       len, trie);
    m->text_len = len - 4 - trie;
    for (size_t i = 0, run = 0; i < m->text_len; i++) {
        run = bytes[4 + trie + i] == 0 ? 0 : run + 1;
        if (run > VALUE_MAX)
            return nn_fail(err, NN_FILE, "tokenizer: charsmap: a replacement of more than %u bytes", VALUE_MAX);
    }
    if ((st = nn_alloc(&p, m->text_len + 1, 1, err)) != NN_OK) return st; /* one more zero: the last string ends */
    m->text = p;
    if (m->text_len > 0) memcpy(m->text, bytes + 4 + trie, m->text_len);
    if ((st = nn_alloc(&p, trie / 4, sizeof *m->unit, err)) != NN_OK) return st;
    m->unit = p;
    m->n_unit = trie / 4;
    for (size_t i = 0; i < m->n_unit; i++) m->unit[i] = u32_at(bytes + 4 + 4 * i);
    return NN_OK;
}

void nn_tok_charsmap_free(nn_tok_charsmap *m)
{
    nn_free(m->unit);
    nn_free(m->text);
}
