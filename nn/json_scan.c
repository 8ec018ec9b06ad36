#include "nn/json_scan.h"
#include "nn/decimal.h"
#include "nn/unicode.h"
#include <float.h>
#include <string.h>

/* The next byte without consuming it; -1 at the end or after an error. */
static int peek(const nn_cursor *c)
{
    return c->status == NN_OK && c->pos < c->len ? c->bytes[c->pos] : -1;
}

static void skip_blanks(nn_cursor *c)
{
    for (int b = peek(c); b == ' ' || b == '\t' || b == '\n' || b == '\r'; b = peek(c)) c->pos++;
}

bool nn_json_take(nn_cursor *c, char ch)
{
    skip_blanks(c);
    if (peek(c) != ch) return false;
    c->pos++;
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

nn_json_kind nn_json_peek(nn_cursor *c)
{
    skip_blanks(c);
    const int b = peek(c);

    switch (b) {
    case 'n': return NN_JSON_NULL;
    case 't':
    case 'f': return NN_JSON_BOOL;
    case '"': return NN_JSON_STRING;
    case '[': return NN_JSON_ARRAY;
    case '{': return NN_JSON_OBJECT;
    default: return b == '-' || (b >= '0' && b <= '9') ? NN_JSON_NUMBER : NN_JSON_NOTHING;
    }
}

/* --- strings --------------------------------------------------------------------------------------------- */

/* pool NULL: checked, and kept nowhere. */
static void put(nn_json_pool *pool, const void *bytes, size_t n)
{
    if (!pool) return;
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

/* Bytes from here on that stand for themselves. */
static size_t plain_run(const nn_cursor *c)
{
    size_t end = c->pos;

    for (; end < c->len; end++) {
        const unsigned char b = c->bytes[end];

        if (b < 0x20 || b == '"' || b == '\\' || b >= 0x80) break;
    }
    return end - c->pos;
}

static void string_part(nn_cursor *c, nn_json_pool *pool)
{
    const int b = peek(c);
    const size_t plain = plain_run(c);
    bool bad = false;
    uint32_t cp = 0;

    if (plain > 0) {
        put(pool, nn_cursor_bytes(c, plain), plain);
    } else if (b < 0) {
        nn_cursor_fail(c, "a string without its closing quote");
    } else if (b < 0x20) {
        nn_cursor_fail(c, "a control character inside a string");
    } else if (b == '\\') {
        c->pos++;
        escape(c, pool);
    } else {
        const size_t used = nn_utf8_decode(c->bytes + c->pos, nn_cursor_left(c), &cp, &bad);

        if (bad) nn_cursor_fail(c, "ill-formed UTF-8 inside a string");
        else put(pool, nn_cursor_bytes(c, used), used);
    }
}

static void scan_string(nn_cursor *c, nn_json_pool *pool)
{
    nn_json_expect(c, '"');
    while (c->status == NN_OK && peek(c) != '"') string_part(c, pool);
    nn_json_expect(c, '"');
}

const char *nn_json_text(nn_cursor *c, nn_json_pool *pool, size_t *len)
{
    const size_t start = pool->used;

    *len = 0;
    scan_string(c, pool);
    if (c->status != NN_OK) return NULL;
    *len = pool->used - start;
    put(pool, "", 1);
    return pool->bytes + start;
}

const char *nn_json_string(nn_cursor *c, nn_json_pool *pool)
{
    size_t len = 0;
    const char *s = nn_json_text(c, pool, &len);

    if (s && strlen(s) != len) {
        nn_cursor_fail(c, "a string with a zero byte");
        return NULL;
    }
    return s;
}

/* --- numbers and words ----------------------------------------------------------------------------------- */

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
        c->pos++;
        if (first == '0') break; /* "01" then fails as "1" where , or ] is expected */
    }
    return c->status == NN_OK ? v : 0;
}

/* A number on its way to decimal.h: leading zeros are no digits, and digits beyond its limit leave one trace. */
typedef struct {
    char digit[NN_DECIMAL_DIGITS + 1];
    size_t n;
    int64_t exp10;
    bool cut_some; /* a digit other than 0 went */
} decimal;

static void add_digit(decimal *d, char digit, bool fraction)
{
    if (d->n == 0 && digit == '0') {
        d->exp10 -= fraction;
    } else if (d->n < NN_DECIMAL_DIGITS) {
        d->digit[d->n++] = digit;
        d->exp10 -= fraction;
    } else {
        d->cut_some = d->cut_some || digit != '0';
        d->exp10 += !fraction;
    }
}

/* At least one digit, as JSON wants after a sign, a point or an exponent's letter. */
static void scan_digits(nn_cursor *c, decimal *d, bool fraction)
{
    if (peek(c) < '0' || peek(c) > '9') nn_cursor_fail(c, "a number without a digit here");
    for (; peek(c) >= '0' && peek(c) <= '9'; c->pos++)
        if (d) add_digit(d, (char)peek(c), fraction);
}

/* The exponent after its letter; beyond a billion it no longer matters (a file is shorter than that). */
static int64_t scan_exponent(nn_cursor *c)
{
    const bool minus = peek(c) == '-';
    int64_t e = 0;

    if (minus || peek(c) == '+') c->pos++;
    if (peek(c) < '0' || peek(c) > '9') nn_cursor_fail(c, "a number without a digit here");
    for (; peek(c) >= '0' && peek(c) <= '9'; c->pos++)
        if (e < INT64_C(1000000000000)) e = 10 * e + (peek(c) - '0');
    return minus ? -e : e;
}

/* The grammar of RFC 8259, section 6; d NULL only checks. True when a minus sign stands before it. */
static bool scan_number(nn_cursor *c, decimal *d)
{
    skip_blanks(c);
    const bool minus = peek(c) == '-';

    if (minus) c->pos++;
    if (peek(c) == '0') c->pos++; /* "01" then fails as "1" where , or ] is expected */
    else scan_digits(c, d, false);
    if (peek(c) == '.') {
        c->pos++;
        scan_digits(c, d, true);
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        c->pos++;
        const int64_t e = scan_exponent(c);
        if (d) d->exp10 += e;
    }
    return minus;
}

double nn_json_f64(nn_cursor *c)
{
    decimal d = {"", 0, 0, false};
    const bool minus = scan_number(c, &d);
    if (c->status != NN_OK) return 0.0;
    if (d.cut_some) {
        d.digit[d.n++] = '1';
        d.exp10--;
    }
    const double v = nn_decimal_f64(d.digit, d.n, d.exp10);
    if (v > DBL_MAX) nn_cursor_fail(c, "a number beyond the largest double");
    if (c->status != NN_OK) return 0.0;
    return minus ? -v : v;
}

static bool take_word(nn_cursor *c, const char *word)
{
    const size_t n = strlen(word);

    skip_blanks(c);
    if (nn_cursor_left(c) < n || memcmp(c->bytes + c->pos, word, n) != 0) return false;
    c->pos += n;
    return true;
}

bool nn_json_null(nn_cursor *c)
{
    return take_word(c, "null");
}

bool nn_json_bool(nn_cursor *c)
{
    if (take_word(c, "true")) return true;
    if (!take_word(c, "false")) nn_cursor_fail(c, "neither true nor false here");
    return false;
}

/* --- arrays and objects ---------------------------------------------------------------------------------- */

static bool next_of(nn_cursor *c, size_t *n, char open, char close)
{
    if (*n == 0) {
        nn_json_expect(c, open);
        if (nn_json_take(c, close)) return false;
    } else if (!nn_json_take(c, ',')) {
        nn_json_expect(c, close);
        return false;
    }
    ++*n;
    return c->status == NN_OK;
}

bool nn_json_item(nn_cursor *c, size_t *n)
{
    return next_of(c, n, '[', ']');
}

const char *nn_json_member(nn_cursor *c, nn_json_pool *pool, size_t *n, size_t *len)
{
    *len = 0;
    if (!next_of(c, n, '{', '}')) return NULL;
    const char *key = nn_json_text(c, pool, len);
    nn_json_expect(c, ':');
    return c->status == NN_OK ? key : NULL;
}

int nn_json_field(nn_cursor *c, nn_json_pool *pool, nn_json_fields *f)
{
    const size_t used = pool->used;
    size_t len = 0, i = 0;
    const char *key = nn_json_member(c, pool, &f->n, &len);

    NN_ASSERT(f->n_name <= 64);
    pool->used = used;
    if (!key) return NN_JSON_DONE;
    const size_t kept = len < sizeof f->key ? len : sizeof f->key - 1;
    memcpy(f->key, key, kept);
    f->key[kept] = '\0';
    while (i < f->n_name && (strlen(f->name[i]) != len || memcmp(f->name[i], key, len) != 0)) i++;
    if (i == f->n_name) return (int)i;
    if (f->seen >> i & 1) {
        nn_cursor_fail(c, "key \"%s\" twice", f->key);
        return NN_JSON_DONE;
    }
    f->seen |= UINT64_C(1) << i;
    return (int)i;
}

/* What is open while skipping: one bit each, so that depth costs no stack. */
typedef struct {
    uint32_t is_object[NN_JSON_DEPTH / 32];
    size_t n;
} open_values;

static bool top_is_object(const open_values *o)
{
    return o->is_object[(o->n - 1) / 32] >> ((o->n - 1) % 32) & 1u;
}

static void push_open(nn_cursor *c, open_values *o, bool object)
{
    if (o->n == NN_JSON_DEPTH) {
        nn_cursor_fail(c, "JSON more than %u levels deep", NN_JSON_DEPTH);
        return;
    }
    const uint32_t bit = 1u << (o->n % 32);
    uint32_t *word = &o->is_object[o->n / 32];

    *word = object ? *word | bit : *word & ~bit;
    o->n++;
}

static void skip_key(nn_cursor *c)
{
    scan_string(c, NULL);
    nn_json_expect(c, ':');
}

/* After a value: closes what ends here. False when nothing is open any more. */
static bool next_value(nn_cursor *c, open_values *o)
{
    while (o->n > 0 && c->status == NN_OK) {
        const bool object = top_is_object(o);

        if (nn_json_take(c, ',')) {
            if (object) skip_key(c);
            return true;
        }
        nn_json_expect(c, object ? '}' : ']');
        o->n--;
    }
    return false;
}

/* A value that holds no other one is passed whole; of the others only the bracket. True when it waits for elements. */
static bool begin_value(nn_cursor *c, open_values *o)
{
    switch (nn_json_peek(c)) {
    case NN_JSON_NOTHING: nn_cursor_fail(c, "no JSON value here"); break;
    case NN_JSON_NULL:
        if (!nn_json_null(c)) nn_cursor_fail(c, "no JSON value here");
        break;
    case NN_JSON_BOOL: (void)nn_json_bool(c); break;
    case NN_JSON_NUMBER: (void)scan_number(c, NULL); break;
    case NN_JSON_STRING: scan_string(c, NULL); break;
    case NN_JSON_ARRAY:
        c->pos++;
        push_open(c, o, false);
        if (!nn_json_take(c, ']')) return true;
        o->n--;
        break;
    case NN_JSON_OBJECT:
        c->pos++;
        push_open(c, o, true);
        if (!nn_json_take(c, '}')) {
            skip_key(c);
            return true;
        }
        o->n--;
        break;
    }
    return false;
}

void nn_json_skip(nn_cursor *c)
{
    open_values open = {{0}, 0};

    for (bool more = true; more && c->status == NN_OK;) {
        const bool inside = begin_value(c, &open);

        more = inside || next_value(c, &open);
    }
}
