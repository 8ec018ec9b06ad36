#include "nn/json_scan.h"
#include "nn/unicode.h"
#include <string.h>

/* The next byte without consuming it; -1 at the end or after an error. */
static int peek(const nn_cursor *c)
{
    return c->status == NN_OK && nn_cursor_left(c) > 0 ? c->bytes[c->pos] : -1;
}

static void skip_blanks(nn_cursor *c)
{
    for (int b = peek(c); b == ' ' || b == '\t' || b == '\n' || b == '\r'; b = peek(c)) (void)nn_cursor_u8(c);
}

bool nn_json_take(nn_cursor *c, char ch)
{
    skip_blanks(c);
    if (peek(c) != ch) return false;
    (void)nn_cursor_u8(c);
    return true;
}

void nn_json_expect(nn_cursor *c, char ch)
{
    if (!nn_json_take(c, ch)) nn_cursor_fail(c, "JSON without '%c' here", ch);
}

void nn_json_end(nn_cursor *c)
{
    skip_blanks(c);
    if (peek(c) >= 0) nn_cursor_fail(c, "more text after the JSON value");
}

static void put(nn_json_pool *pool, const char *bytes, size_t n)
{
    NN_ASSERT(n <= pool->cap - pool->used);
    memcpy(pool->bytes + pool->used, bytes, n);
    pool->used += n;
}

static void put_code_point(nn_json_pool *pool, uint32_t cp)
{
    char utf8[4];
    const size_t n = nn_utf8_encode(cp, utf8);

    put(pool, utf8, n);
}

/* Four hexadecimal digits. */
static uint32_t hex4(nn_cursor *c)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++) {
        const uint32_t b = nn_cursor_u8(c);

        if (b >= '0' && b <= '9') v = v << 4 | (b - '0');
        else if ((b | 32u) >= 'a' && (b | 32u) <= 'f') v = v << 4 | ((b | 32u) - 'a' + 10u);
        else nn_cursor_fail(c, "\\u without four hexadecimal digits");
    }
    return v;
}

/* After "\u": one code point, which takes two escapes above U+FFFF. */
static void unicode_escape(nn_cursor *c, nn_json_pool *pool)
{
    uint32_t cp = hex4(c);

    if (cp >= 0xd800u && cp < 0xdc00u) {
        const uint8_t back = nn_cursor_u8(c);
        const uint8_t letter = nn_cursor_u8(c);
        const uint32_t low = back == '\\' && letter == 'u' ? hex4(c) : 0;

        if (low < 0xdc00u || low > 0xdfffu) nn_cursor_fail(c, "a high surrogate without its low one");
        cp = 0x10000u + ((cp - 0xd800u) << 10) + (low & 0x3ffu);
    } else if (cp >= 0xdc00u && cp < 0xe000u) {
        nn_cursor_fail(c, "a low surrogate alone");
    } else if (cp == 0) {
        nn_cursor_fail(c, "a name with a zero byte");
    }
    if (c->status == NN_OK) put_code_point(pool, cp);
}

static void escape(nn_cursor *c, nn_json_pool *pool)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const uint8_t b = nn_cursor_u8(c);
    const char *at = b ? strchr(letters, b) : NULL;

    if (b == 'u') unicode_escape(c, pool);
    else if (at) put(pool, meant + (at - letters), 1);
    else nn_cursor_fail(c, "an escape that JSON does not know");
}

const char *nn_json_string(nn_cursor *c, nn_json_pool *pool)
{
    const char *start = pool->bytes + pool->used;

    nn_json_expect(c, '"');
    while (c->status == NN_OK && peek(c) != '"') {
        const int b = peek(c);
        bool bad = false;
        uint32_t cp = 0;

        if (b < 0) {
            nn_cursor_fail(c, "a string without its closing quote");
        } else if (b < 0x20) {
            nn_cursor_fail(c, "a control character inside a string");
        } else if (b == '\\') {
            (void)nn_cursor_u8(c);
            escape(c, pool);
        } else {
            const size_t used = nn_utf8_decode(c->bytes + c->pos, nn_cursor_left(c), &cp, &bad);

            if (bad) nn_cursor_fail(c, "ill-formed UTF-8 inside a string");
            else put(pool, (const char *)nn_cursor_bytes(c, used), used);
        }
    }
    nn_json_expect(c, '"');
    if (c->status != NN_OK) return NULL;
    put(pool, "", 1);
    return start;
}

uint64_t nn_json_u64(nn_cursor *c)
{
    uint64_t v = 0;

    skip_blanks(c);
    const int first = peek(c);
    if (first < '0' || first > '9') nn_cursor_fail(c, "no non-negative integer here");
    for (int b = first; b >= '0' && b <= '9'; b = peek(c)) {
        const uint64_t digit = (uint64_t)(b - '0');

        if (v > (UINT64_MAX - digit) / 10) {
            nn_cursor_fail(c, "an integer of more than 64 bits");
            break;
        }
        v = 10 * v + digit;
        (void)nn_cursor_u8(c);
        if (first == '0') break; /* "01" then fails as "1" where , or ] is expected */
    }
    return c->status == NN_OK ? v : 0;
}
