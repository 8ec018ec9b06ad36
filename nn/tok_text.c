#include "nn/arena.h"
#include "nn/tok_impl.h"
#include "nn/unicode.h"

/* Encoding with other people's tokenizers: USER pieces are found in the text as it came, what is between is normalised
 * and then goes to one of the three algorithms; at the end, offsets are led back to the caller's text. */

/* --- USER pieces ------------------------------------------------------------------------------------- */

typedef struct {
    size_t at, end; /* the text it takes, white space beside it included */
    int32_t id;     /* -1: none */
} match;

/* The longest USER piece that stands at text[at]. */
static match match_at(const nn_tok_other *o, const char *text, size_t len, size_t at)
{
    match m = {at, at, -1};
    uint32_t node = 0;

    if (!o->user_first[(unsigned char)text[at]]) return m;
    for (size_t i = at; i < len && (node = nn_tok_trie_step(&o->user, node, (unsigned char)text[i])) != 0; i++) {
        if (o->user.id[node] < 0) continue;
        m.id = o->user.id[node];
        m.end = i + 1;
    }
    return m;
}

static size_t blank_at(const char *text, size_t len, size_t at)
{
    uint32_t cp;
    bool bad;
    const size_t n = nn_utf8_decode((const unsigned char *)text + at, len - at, &cp, &bad);

    return nn_uni_is_space(cp) ? n : 0;
}

/* Bytes of the blank that ends before text[at], 0 for none; it does not begin before `low`. */
static size_t blank_before(const char *text, size_t low, size_t at)
{
    for (size_t n = 1; n <= 3 && low + n <= at; n++)
        if (blank_at(text, at, at - n) == n) return n;
    return 0;
}

/* The first match from `at` on; with id -1 its `at` is len. */
static match next_match(const nn_tok_other *o, const char *text, size_t len, size_t at)
{
    for (size_t i = at; i < len; i++) {
        match m = match_at(o, text, len, i);
        size_t n;

        if (m.id < 0) continue;
        if (o->type[m.id] & NN_TOK_LSTRIP)
            while ((n = blank_before(text, at, m.at)) > 0) m.at -= n;
        if (o->type[m.id] & NN_TOK_RSTRIP)
            while (m.end < len && (n = blank_at(text, len, m.end)) > 0) m.end += n;
        return m;
    }
    return (match){len, len, -1};
}

/* --- one part ---------------------------------------------------------------------------------------- */

size_t nn_tok_word_end(const nn_tok *t, const char *s, size_t len, size_t at)
{
    if (!t->other->words) return len;
    for (size_t i = at + 1; i < len; i++)
        if (s[i] == ' ' && s[i - 1] != ' ') return i;
    return len;
}

void nn_tok_append_unknown(const nn_tok *t, nn_tok_buf *b, const char *s, size_t at, size_t n, size_t first)
{
    const nn_tok_other *o = t->other;
    bool bytes = true;

    for (size_t i = 0; i < n; i++) bytes = bytes && o->byte_id[(unsigned char)s[at + i]] >= 0;
    if (bytes)
        for (size_t i = 0; i < n; i++) nn_tok_append(b, (uint32_t)o->byte_id[(unsigned char)s[at + i]], at + i);
    else if (b->len == first || b->ids[b->len - 1] != o->unk)
        nn_tok_append(b, (uint32_t)o->unk, at);
}

static nn_status bpe_encode(const nn_tok *t, nn_tok_buf *buf, const char *s, size_t len, nn_err *err)
{
    const nn_tok_other *o = t->other;
    nn_tok_cutter c = nn_tok_cutter_at(o->pre, s, len);
    nn_status st = NN_OK;

    for (size_t at = 0, n; (n = nn_tok_cutter_next(&c)) > 0; at += n) {
        if ((st = nn_tok_buf_reserve(buf, n, n, err)) != NN_OK) return st;
        const int32_t whole = o->ignore_merges && n > 1 ? nn_tok_lookup(t, s + at, n, NN_TOK_MADE) : -1;
        if (whole >= 0) nn_tok_append(buf, (uint32_t)whole, at);
        else nn_tok_merge_bytes(t, buf, (const unsigned char *)s + at, n, at);
    }
    return NN_OK;
}

static size_t origin(const nn_tok_view *v, size_t i)
{
    if (v->from) return v->from[i];
    return v->base + (i > v->lead ? i - v->lead : 0);
}

static nn_status encode_part(const nn_tok *t, nn_tok_buf *buf, const nn_tok_view *v, nn_err *err)
{
    const size_t before = buf->len;
    nn_status st = NN_OK;

    if (t->other->model == NN_TOK_BPE) st = bpe_encode(t, buf, v->s, v->len, err);
    else if (t->other->model == NN_TOK_SPM) st = nn_tok_spm_encode(t, buf, v->s, v->len, err);
    else st = nn_tok_unigram_encode(t, buf, v->s, v->len, err);
    for (size_t i = before; i < buf->len; i++) buf->start[i] = (uint32_t)origin(v, buf->start[i]);
    return st;
}

nn_status nn_tok_other_encode(const nn_tok *t, nn_tok_buf *buf, const char *text, size_t len, bool begins, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t at = 0; at < len;) {
        const match m = next_match(t->other, text, len, at);

        if (m.at > at) {
            const bool first = begins && at == 0, last = m.at == len;
            nn_tok_view v;
            if ((st = nn_tok_normalise(&v, t, buf, text, at, m.at, first, last, err)) != NN_OK) return st;
            if ((st = encode_part(t, buf, &v, err)) != NN_OK) return st;
        }
        if (m.id >= 0) {
            if ((st = nn_tok_buf_reserve(buf, 1, 0, err)) != NN_OK) return st;
            nn_tok_append(buf, (uint32_t)m.id, m.at);
        }
        at = m.id >= 0 ? m.end : len;
    }
    return NN_OK;
}

/* --- cutting ----------------------------------------------------------------------------------------- */

/* Some USER piece stands, or may go on to stand, over the place before text[i]. */
static bool user_over(const nn_tok_other *o, const char *text, size_t i)
{
    const size_t low = i > o->longest ? i - o->longest : 0;

    for (size_t at = low; at < i; at++) {
        uint32_t node = 0;
        if (!o->user_first[(unsigned char)text[at]]) continue;
        for (size_t k = at; k <= i && (k == at || node != 0); k++)
            node = nn_tok_trie_step(&o->user, node, (unsigned char)text[k]);
        if (node != 0) return true;
    }
    return false;
}

bool nn_tok_other_cuts(const nn_tok *t, const char *text, size_t i)
{
    const nn_tok_other *o = t->other;

    if (o->strips || o->squeeze || o->charsmap.n_unit > 0) return false;
    if (o->user.n_edge > 0 && user_over(o, text, i)) return false;
    if (o->model == NN_TOK_BPE) return nn_tok_pre_cuts(text, i);
    /* A blank after anything that becomes no blank; U+2581 and, normalised, U+3000 and its like do. */
    return o->words && text[i] == ' ' && (unsigned char)text[i - 1] > ' ' && (unsigned char)text[i - 1] < 0x7F;
}
