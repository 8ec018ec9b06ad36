/* answer.c - a model's text, read by the declared grammar. Every reader is linear in the text.
 *
 * Reads: answer.h, nn/unicode.h; JSON by jansson.   Read next: ask.c.
 */
#include "guard/ask/answer.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

/* A part of the answer. */
typedef struct {
    const char *s;
    size_t n;
} span;

/* --- parts ---------------------------------------------------------------------------------- */

static uint32_t code_at(span t, size_t i, size_t *used)
{
    uint32_t cp = 0;
    bool bad = false;

    *used = nn_utf8_decode((const unsigned char *)t.s + i, t.n - i, &cp, &bad);
    return cp;
}

/* The code point that ends before i > 0: at most three bytes that go on lie behind its first. */
static uint32_t code_before(span t, size_t i)
{
    size_t at = i - 1, used = 0;

    while (at > 0 && i - at < 4 && ((unsigned char)t.s[at] & 0xc0) == 0x80) at--;
    const uint32_t cp = code_at(t, at, &used);
    return at + used == i ? cp : 0xfffd;
}

static size_t last_used(span t)
{
    size_t n = 1;

    while (n < t.n && n < 4 && ((unsigned char)t.s[t.n - n] & 0xc0) == 0x80) n++;
    return n;
}

static span trim(span t)
{
    size_t used = 0;

    while (t.n > 0 && nn_uni_is_space(code_at(t, 0, &used))) t = (span){t.s + used, t.n - used};
    while (t.n > 0 && nn_uni_is_space(code_before(t, t.n))) t.n -= last_used(t);
    return t;
}

static bool begins_with(span t, const char *word)
{
    const size_t n = strlen(word);

    return t.n >= n && memcmp(t.s, word, n) == 0;
}

/* The next line of *left, without its end; false: there is none. */
static bool next_line(span *line, span *left)
{
    if (left->n == 0) return false;
    const char *end = memchr(left->s, '\n', left->n);
    const size_t n = end ? (size_t)(end - left->s) : left->n;

    *line = (span){left->s, n};
    *left = (span){left->s + n + (end != NULL), left->n - n - (end != NULL)};
    return true;
}

/* What comes after the thoughts; false: they have no end. */
static bool after_thoughts(span *t)
{
    static const char begin[] = "<think>", end[] = "</think>";

    *t = trim(*t);
    if (!begins_with(*t, begin)) return true;
    for (size_t i = sizeof begin - 1; i + sizeof end - 1 <= t->n; i++) {
        const span rest = {t->s + i, t->n - i};
        if (rest.s[0] != '<' || !begins_with(rest, end)) continue;
        *t = trim((span){rest.s + sizeof end - 1, rest.n - (sizeof end - 1)});
        return true;
    }
    return false;
}

/* --- what is found -------------------------------------------------------------------------- */

/* Texts one behind the other, until their number is known. */
typedef struct {
    guard_buf bytes; /* each with a zero byte behind it */
    size_t *len;
    size_t n, cap;
} found;

static void found_free(found *f)
{
    guard_buf_free(&f->bytes);
    nn_free(f->len);
}

static nn_status add(found *f, const char *s, size_t n, nn_err *err)
{
    const nn_status st = nn_grow((void **)&f->len, &f->cap, f->n + 1, sizeof *f->len, err);

    if (st != NN_OK) return st;
    guard_buf_add(&f->bytes, s, n);
    guard_buf_add(&f->bytes, "", 1);
    f->len[f->n++] = n;
    return guard_buf_status(&f->bytes, err);
}

/* Texts and their bytes in one block. */
static nn_status keep(guard_answer *a, const found *f, nn_err *err)
{
    const size_t head = f->n * sizeof *a->text;
    const nn_status st = nn_alloc((void **)&a->text, head + f->bytes.len, 1, err);

    if (st != NN_OK) return st;
    char *at = (char *)a->text + head;
    if (f->bytes.len) memcpy(at, f->bytes.bytes, f->bytes.len);
    for (size_t i = 0; i < f->n; i++) {
        a->text[i] = (guard_text){at, f->len[i]};
        at += f->len[i] + 1;
    }
    a->n = f->n;
    return NN_OK;
}

void guard_answer_free(guard_answer *a)
{
    if (!a) return;
    nn_free(a->text);
    nn_free(a->num);
    memset(a, 0, sizeof *a);
}

/* --- one of several words ------------------------------------------------------------------- */

static bool is_letter(uint32_t cp)
{
    return nn_uni_is_letter(cp) || nn_uni_is_number(cp) || nn_uni_is_mark(cp);
}

/* Between two letters these make one word of both: un-safe, not_safe, safe's. */
static bool joins(uint32_t cp)
{
    return cp == '-' || cp == '_' || cp == '\'' || cp == 0x2010 || cp == 0x2011 || cp == 0x2019;
}

/* Whether a word goes on over the place before t.s[i]. */
static bool goes_on_before(span t, size_t i)
{
    if (i == 0) return false;
    const uint32_t cp = code_before(t, i);
    if (!joins(cp)) return is_letter(cp);
    const size_t at = i - last_used((span){t.s, i});
    return at > 0 && is_letter(code_before(t, at));
}

static bool goes_on_after(span t, size_t i)
{
    size_t used = 0;

    if (i >= t.n) return false;
    const uint32_t cp = code_at(t, i, &used);
    if (!joins(cp)) return is_letter(cp);
    return i + used < t.n && is_letter(code_at(t, i + used, &used));
}

static bool same_letter(uint32_t a, uint32_t b)
{
    uint32_t x[NN_UNI_LOWER_MAX], y[NN_UNI_LOWER_MAX];

    if (a == b) return true;
    const size_t n = nn_uni_lower(x, a), m = nn_uni_lower(y, b);
    return n == m && memcmp(x, y, n * sizeof *x) == 0;
}

/* Bytes of t at i that say the word, as a word of its own; 0: they do not. */
static size_t says(span t, size_t i, const char *word)
{
    const span w = {word, strlen(word)};
    size_t at = i, a = 0, b = 0;

    for (size_t j = 0; j < w.n; j += b, at += a) {
        if (at >= t.n || !same_letter(code_at(t, at, &a), code_at(w, j, &b))) return 0;
    }
    return at == i || goes_on_before(t, i) || goes_on_after(t, at) ? 0 : at - i;
}

static bool has_letters(span line)
{
    size_t used = 0;

    for (size_t i = 0; i < line.n; i += used) {
        const uint32_t cp = code_at(line, i, &used);
        if (nn_uni_is_letter(cp) || nn_uni_is_number(cp)) return true;
    }
    return false;
}

static bool one_of(size_t *which, span t, const guard_answer_grammar *g)
{
    span line = {NULL, 0};
    size_t n = 0, used = 0;

    while (next_line(&line, &t) && !has_letters(line)) continue;
    for (size_t i = 0; i < line.n;) {
        size_t longest = 0, k = 0;

        for (size_t w = 0; w < g->n_word; w++) {
            const size_t len = says(line, i, g->word[w]);
            if (len > longest) k = w, longest = len;
        }
        if (longest) {
            if (n > 0 && *which != k) return false;
            *which = k;
            n++;
            i += longest;
        } else {
            (void)code_at(line, i, &used);
            i += used;
        }
    }
    return n > 0;
}

static bool same_word(const char *a, const char *b)
{
    const span s = {a, strlen(a)};

    return says(s, 0, b) == s.n;
}

nn_status guard_answer_check(const guard_answer_grammar *g, nn_err *err)
{
    if (g->kind != GUARD_ANSWER_ONE_OF) return NN_OK;
    for (size_t i = 0; i < g->n_word; i++) {
        const span w = {g->word[i], strlen(g->word[i])};
        size_t bad = 0;

        nn_utf8_repair(NULL, w.s, w.n, &bad);
        if (bad) return nn_fail(err, NN_USAGE, "word %zu: not UTF-8, want text", i + 1);
        if (w.n == 0 || trim(w).n != w.n || memchr(w.s, '\n', w.n))
            return nn_fail(err, NN_USAGE, "word %zu: '%.60s', want one line without blanks around it", i + 1, w.s);
        for (size_t k = 0; k < i; k++)
            if (same_word(g->word[k], w.s)) return nn_fail(err, NN_USAGE, "'%.60s' twice, want each word once", w.s);
    }
    return NN_OK;
}

/* --- JSON ----------------------------------------------------------------------------------- */

/* Only memory is an error; text that is no such JSON is NULL. Integers as numbers of any size. */
static nn_status parse(json_t **out, span t, nn_err *err)
{
    json_error_t e = {0};

    *out = json_loadb(t.s, t.n,
                      JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &e);
    if (!*out && json_error_code(&e) == json_error_out_of_memory)
        return nn_fail(err, NN_LIMIT, "memory: no room for the JSON of an answer of %zu bytes", t.n);
    return NN_OK;
}

/* What stands behind t.s[i] and blanks of JSON; 0: nothing. */
static char next_mark(span t, size_t i)
{
    for (i++; i < t.n; i++) {
        if (!strchr(" \t\r\n", t.s[i])) return t.s[i];
        if (t.s[i] == '\0') return 0;
    }
    return 0;
}

/* The rest from where the first object begins; empty: there is none. */
static span object_begin(span t)
{
    for (size_t i = 0; i < t.n; i++) {
        const char next = t.s[i] == '{' ? next_mark(t, i) : '\0';
        if (next == '"' || next == '\'' || next == '}') return (span){t.s + i, t.n - i};
    }
    return (span){t.s + t.n, 0};
}

static bool is_kind(const json_t *v, guard_field_kind kind)
{
    switch (kind) {
    case GUARD_FIELD_STRING: return json_is_string(v);
    case GUARD_FIELD_NUMBER: return json_is_number(v) && isfinite(json_number_value(v));
    default: return json_is_boolean(v);
    }
}

static nn_status add_field(found *f, double *num, const json_t *v, guard_field_kind kind, nn_err *err)
{
    char text[32];

    if (kind == GUARD_FIELD_STRING) return add(f, json_string_value(v), json_string_length(v), err);
    *num = kind == GUARD_FIELD_NUMBER ? json_number_value(v) : json_is_true(v) ? 1.0 : 0.0;
    if (kind == GUARD_FIELD_NUMBER) guard_fmt_double(text, *num);
    else strcpy(text, json_is_true(v) ? "true" : "false");
    return add(f, text, strlen(text), err);
}

static nn_status object(guard_answer *a, bool *fits, found *f, span t, const guard_answer_grammar *g, nn_err *err)
{
    const span begin = object_begin(t);
    json_t *o = NULL;
    nn_status st = begin.n ? parse(&o, begin, err) : NN_OK;

    *fits = o && json_is_object(o);
    for (size_t i = 0; i < g->n_field && *fits; i++)
        *fits = is_kind(json_object_get(o, g->field[i].name), g->field[i].kind);
    if (*fits && st == NN_OK) st = nn_alloc((void **)&a->num, g->n_field, sizeof *a->num, err);
    for (size_t i = 0; i < g->n_field && *fits && st == NN_OK; i++)
        st = add_field(f, a->num + i, json_object_get(o, g->field[i].name), g->field[i].kind, err);
    json_decref(o);
    return st;
}

/* --- lists ---------------------------------------------------------------------------------- */

static span skip(span t, size_t n)
{
    return (span){t.s + n, t.n - n};
}

/* Bytes of the mark that begins the line, with the blank behind it; 0: none. */
static size_t mark_len(span line)
{
    static const char *const dash[] = {"-", "*", "+", "\xe2\x80\xa2", "\xe2\x80\x93", "\xe2\x80\x94"};
    size_t n = 0, used = 0;

    for (size_t i = 0; i < sizeof dash / sizeof *dash && n == 0; i++)
        if (begins_with(line, dash[i])) n = strlen(dash[i]);
    if (n == 0) {
        const size_t open = line.n > 0 && line.s[0] == '(';
        size_t digits = 0;

        while (open + digits < line.n && line.s[open + digits] >= '0' && line.s[open + digits] <= '9') digits++;
        n = open + digits;
        if (digits == 0 || digits > 3 || n >= line.n || !strchr(open ? ")" : ".):", line.s[n]) || !line.s[n]) return 0;
        n++;
    }
    if (n == line.n) return n;
    return nn_uni_is_space(code_at(line, n, &used)) ? n + used : 0;
}

static span without_quotes(span t)
{
    static const char *const pair[][2] = {{"\"", "\""},
                                          {"'", "'"},
                                          {"`", "`"},
                                          {"\xe2\x80\x9c", "\xe2\x80\x9d"},
                                          {"\xe2\x80\x98", "\xe2\x80\x99"},
                                          {"\xc2\xab", "\xc2\xbb"},
                                          {"\xe2\x80\x9e", "\xe2\x80\x9c"}};

    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        const size_t a = strlen(pair[i][0]), b = strlen(pair[i][1]);
        if (t.n < a + b || !begins_with(t, pair[i][0]) || memcmp(t.s + t.n - b, pair[i][1], b) != 0) continue;
        return trim((span){t.s + a, t.n - a - b});
    }
    return t;
}

static bool is_full(const found *f, const guard_answer_grammar *g)
{
    return g->max_items > 0 && f->n >= g->max_items;
}

static nn_status lines(found *f, span t, bool marked, const guard_answer_grammar *g, nn_err *err)
{
    span line = {NULL, 0};
    nn_status st = NN_OK;

    while (st == NN_OK && !is_full(f, g) && next_line(&line, &t)) {
        line = trim(line);
        const size_t mark = mark_len(line);
        if (begins_with(line, "```") || (marked && mark == 0)) continue;
        line = without_quotes(trim(skip(line, mark)));
        if (line.n) st = add(f, line.s, line.n, err);
    }
    return st;
}

static bool any_marked(span t)
{
    span line = {NULL, 0};

    while (next_line(&line, &t))
        if (mark_len(trim(line)) > 0) return true;
    return false;
}

/* The rest from where a JSON array of strings begins, at the beginning of a line; empty: nowhere. */
static span array_begin(span t)
{
    span line = {NULL, 0}, left = t;

    while (next_line(&line, &left)) {
        line = trim(line);
        const span rest = {line.s, (size_t)(t.s + t.n - line.s)};
        if (rest.n > 0 && rest.s[0] == '[' && next_mark(rest, 0) == '"') return rest;
    }
    return (span){t.s + t.n, 0};
}

static nn_status array(found *f, span t, const guard_answer_grammar *g, nn_err *err)
{
    json_t *o = NULL;
    nn_status st = parse(&o, t, err);
    const size_t n = json_array_size(o); /* 0 when there is none */
    bool strings = true;

    for (size_t i = 0; i < n; i++) strings = strings && json_is_string(json_array_get(o, i));
    for (size_t i = 0; i < n && strings && st == NN_OK && !is_full(f, g); i++) {
        const json_t *v = json_array_get(o, i);
        const span item = trim((span){json_string_value(v), json_string_length(v)});
        if (item.n) st = add(f, item.s, item.n, err);
    }
    json_decref(o);
    return st;
}

static nn_status list(bool *fits, found *f, span t, const guard_answer_grammar *g, nn_err *err)
{
    const span a = array_begin(t);
    const nn_status st = a.n ? array(f, a, g, err) : lines(f, t, any_marked(t), g, err);

    *fits = f->n > 0;
    return st;
}

/* --- together ------------------------------------------------------------------------------- */

nn_status guard_answer_parse(guard_answer *a, bool *fits, const guard_answer_grammar *g, const char *text, size_t len,
                             nn_err *err)
{
    span t = {text, len};
    found f = {0};
    nn_status st = NN_OK;

    memset(a, 0, sizeof *a);
    *fits = after_thoughts(&t) && t.n > 0;
    if (!*fits) return NN_OK;
    switch (g->kind) {
    case GUARD_ANSWER_TEXT: st = add(&f, t.s, t.n, err); break;
    case GUARD_ANSWER_ONE_OF:
        *fits = one_of(&a->which, t, g);
        if (*fits) st = add(&f, g->word[a->which], strlen(g->word[a->which]), err);
        break;
    case GUARD_ANSWER_JSON: st = object(a, fits, &f, t, g, err); break;
    default: st = list(fits, &f, t, g, err);
    }
    if (st == NN_OK && *fits) st = keep(a, &f, err);
    found_free(&f);
    if (st != NN_OK || !*fits) guard_answer_free(a);
    if (st != NN_OK) *fits = false;
    return st;
}
