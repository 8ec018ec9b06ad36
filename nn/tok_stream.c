#include "nn/tok_impl.h"
#include "nn/unicode.h"
#include <string.h>

#define HELD_MAX 3u       /* bytes: a character of four that lacks its last */
#define UNKNOWN_BYTES 3u  /* U+FFFD, the most that one byte becomes */

void nn_tok_stream_init(nn_tok_stream *s, const nn_tok *tok)
{
    memset(s, 0, sizeof *s);
    s->tok = tok;
    s->begun = !(tok->other && tok->other->prefix_space);
}

void nn_tok_stream_continue(nn_tok_stream *s, const nn_tok *tok)
{
    nn_tok_stream_init(s, tok);
    s->begun = true;
}

/* Whether s, ill-formed as it stands, is the beginning of a character. */
static bool may_go_on(const unsigned char *s, size_t len)
{
    const size_t want = s[0] < 0xE0 ? 2 : (s[0] < 0xF0 ? 3 : 4);

    return s[0] >= 0xC2 && s[0] <= 0xF4 && len < want;
}

/* Appends s to out with ill-formed parts as U+FFFD; a beginning of a character at the end is held when `more` may
 * come. */
static size_t put(nn_tok_stream *st, char *out, const unsigned char *s, size_t len, bool more)
{
    size_t n = 0;

    for (size_t i = 0, part; i < len; i += part) {
        uint32_t cp;
        bool bad;

        part = nn_utf8_decode(s + i, len - i, &cp, &bad);
        if (bad && more && part == len - i && may_go_on(s + i, part)) {
            memcpy(st->held, s + i, part);
            st->n_held = part;
            return n;
        }
        n += nn_utf8_encode(cp, out + n);
    }
    st->n_held = 0;
    return n;
}

/* Adds bytes of s to what is held, one by one, until nothing is held. [out] n: bytes put out; returns how many of s
 * were used. */
static size_t finish_held(nn_tok_stream *st, char *out, size_t *n, const unsigned char *s, size_t len)
{
    size_t used = 0;

    for (*n = 0; st->n_held > 0 && used < len; used++) {
        unsigned char part[HELD_MAX + 1];
        const size_t had = st->n_held;

        memcpy(part, st->held, had);
        part[had] = s[used];
        *n += put(st, out + *n, part, had + 1, true);
    }
    return used;
}

size_t nn_tok_stream_add(nn_tok_stream *s, char *out, int32_t id)
{
    size_t len, n;
    const unsigned char *bytes = (const unsigned char *)nn_tok_bytes(s->tok, id, &len);

    if (len == 0) return 0;
    if (!s->begun) {
        s->begun = true;
        const size_t own = bytes[0] == ' ' ? 1 : 0;
        bytes += own;
        len -= own;
    }
    const size_t used = finish_held(s, out, &n, bytes, len);
    if (used == len) return n;
    return n + put(s, out + n, bytes + used, len - used, true);
}

size_t nn_tok_stream_end(nn_tok_stream *s, char *out)
{
    unsigned char held[sizeof s->held];
    const size_t n = s->n_held;

    memcpy(held, s->held, n);
    return n > 0 ? put(s, out, held, n, false) : 0;
}

size_t nn_tok_stream_room(const nn_tok *tok)
{
    const size_t longest = tok->other ? tok->other->longest : NN_TOK_LONGEST;

    return UNKNOWN_BYTES * (longest + HELD_MAX + 1);
}
