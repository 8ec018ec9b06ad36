/* augment_style.c - style mutations (tier 3): the surface of a text, never what it asks for.
 *
 * All work is on code points, so no character is ever broken; a letter with combining marks is left alone. A
 * mutation with a rate first draws which of the letters it could change are touched, at least one, then changes those.
 */
#include "guard/augment_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <string.h>

void guard_style_room_free(guard_style_room *room)
{
    nn_free(room->cp);
    nn_free(room->touched);
    *room = (guard_style_room){NULL, NULL, 0, 0};
}

bool guard_style_any_language(guard_style_kind kind)
{
    return kind == GUARD_STYLE_LOWER || kind == GUARD_STYLE_UPPER || kind == GUARD_STYLE_TYPO ||
           kind == GUARD_STYLE_DROP_PUNCTUATION || kind == GUARD_STYLE_STRETCH;
}

/* --- case --------------------------------------------------------------------------------- */

/* Runs of code points whose upper and lower case stand `step` apart; step 1: pairs that begin at `first`, upper before
 * lower. */
static const struct {
    uint32_t first, last, step;
} case_runs[] = {
    {'A', 'Z', 32},         {0xC0, 0xD6, 32},     {0xD8, 0xDE, 32},     {0x100, 0x12F, 1},    {0x132, 0x137, 1},
    {0x139, 0x148, 1},      {0x14A, 0x177, 1},    {0x179, 0x17E, 1},    {0x386, 0x386, 38},   {0x388, 0x38A, 37},
    {0x38C, 0x38C, 64},     {0x38E, 0x38F, 63},   {0x391, 0x3A1, 32},   {0x3A3, 0x3AB, 32},   {0x400, 0x40F, 80},
    {0x410, 0x42F, 32},     {0x490, 0x4BF, 1},
};
enum { CASE_RUNS = sizeof case_runs / sizeof *case_runs };

uint32_t guard_letter_lower(uint32_t cp)
{
    for (size_t i = 0; i < CASE_RUNS; i++) {
        const uint32_t first = case_runs[i].first, step = case_runs[i].step;

        if (cp < first || cp > case_runs[i].last) continue;
        return step > 1 || (cp - first) % 2 == 0 ? cp + step : cp;
    }
    return cp;
}

uint32_t guard_letter_upper(uint32_t cp)
{
    for (size_t i = 0; i < CASE_RUNS; i++) {
        const uint32_t first = case_runs[i].first, step = case_runs[i].step;

        if (step == 1 && cp >= first && cp <= case_runs[i].last) return (cp - first) % 2 ? cp - 1 : cp;
        if (step > 1 && cp >= first + step && cp <= case_runs[i].last + step) return cp - step;
    }
    return cp;
}

/* --- which places are touched ------------------------------------------------------------- */

/* A text as code points; those beyond both ends read as 0. */
typedef struct {
    const guard_style *style;
    const uint32_t *cp;
    bool *touched;
    size_t n;
    nn_rng *rng;
    guard_buf *out;
} mutation;

static uint32_t at(const mutation *m, size_t i)
{
    return i < m->n ? m->cp[i] : 0;
}

static uint32_t before(const mutation *m, size_t i)
{
    return i > 0 ? at(m, i - 1) : 0;
}

static void emit(const mutation *m, uint32_t cp)
{
    char bytes[4];
    const size_t n = nn_utf8_encode(cp, bytes);

    guard_buf_add(m->out, bytes, n);
}

static bool plain_letter(const mutation *m, size_t i)
{
    return nn_uni_is_letter(at(m, i)) && !nn_uni_is_mark(at(m, i + 1));
}

static bool word_char(uint32_t cp)
{
    return cp == '_' || nn_uni_is_letter(cp) || nn_uni_is_number(cp) || nn_uni_is_mark(cp);
}

typedef bool can_change(const mutation *m, size_t i);

/* Each place that can change is touched with probability rate; when none was, one of them is. */
static void touch(const mutation *m, can_change *can)
{
    size_t places = 0, touched = 0;

    for (size_t i = 0; i < m->n; i++) {
        m->touched[i] = false;
        if (!can(m, i)) continue;
        places++;
        m->touched[i] = nn_rng_double(m->rng) < m->style->rate;
        touched += m->touched[i];
    }
    if (touched > 0 || places == 0) return;
    size_t left = (size_t)nn_rng_below(m->rng, places);
    for (size_t i = 0; i < m->n; i++) {
        if (!can(m, i) || left-- > 0) continue;
        m->touched[i] = true;
        return;
    }
}

/* --- mutations of letters ----------------------------------------------------------------- */

static void change_case(const mutation *m, uint32_t (*letter)(uint32_t))
{
    for (size_t i = 0; i < m->n; i++) emit(m, letter(m->cp[i]));
}

/* The key to the left or to the right of a letter on a keyboard of three rows; 0 for a letter without a key. */
static uint32_t neighbour_key(uint32_t cp, bool right)
{
    static const char *const rows[] = {"qwertyuiop", "asdfghjkl", "zxcvbnm"};
    const uint32_t low = guard_letter_lower(cp);

    for (size_t r = 0; r < 3 && low > 0 && low < 128; r++) {
        const char *key = strchr(rows[r], (int)low);

        if (!key) continue;
        const bool first = key == rows[r], last = key[1] == '\0';
        const uint32_t near = (uint32_t)(unsigned char)(last || (!right && !first) ? key[-1] : key[1]);
        return low == cp ? near : guard_letter_upper(near);
    }
    return 0;
}

/* A slip at letter i; returns how many code points it consumed. A slip that is not possible here doubles the letter; a
 * word of one letter is never dropped. */
static size_t slip(const mutation *m, size_t i)
{
    enum { SWAP, DROP, NEIGHBOUR, DOUBLE, SLIPS };
    const uint32_t cp = m->cp[i], next = at(m, i + 1);
    const uint64_t kind = nn_rng_below(m->rng, SLIPS);
    const bool right = nn_rng_below(m->rng, 2) == 1;
    const uint32_t near = neighbour_key(cp, right);

    if (kind == SWAP && plain_letter(m, i + 1) && next != cp) {
        emit(m, next);
        emit(m, cp);
        return 2;
    }
    if (kind == DROP && (word_char(before(m, i)) || word_char(next))) return 1;
    if (kind == NEIGHBOUR && near) {
        emit(m, near);
        return 1;
    }
    emit(m, cp);
    emit(m, cp);
    return 1;
}

static void typo(const mutation *m)
{
    touch(m, plain_letter);
    for (size_t i = 0; i < m->n;) {
        if (m->touched[i]) {
            i += slip(m, i);
        } else {
            emit(m, m->cp[i++]);
        }
    }
}

/* Pairs of code points: what is written, what it becomes. */
typedef struct {
    uint32_t from, to;
} swap_pair;

static const swap_pair leet_pairs[] = {{'a', '4'}, {'e', '3'}, {'i', '1'}, {'o', '0'}, {'s', '5'}, {'t', '7'},
                                       {'A', '4'}, {'E', '3'}, {'I', '1'}, {'O', '0'}, {'S', '5'}, {'T', '7'}, {0, 0}};
/* Latin letters and the Cyrillic or Greek ones that look the same (Unicode's confusables, UTS 39). */
static const swap_pair lookalike_pairs[] = {
    {'a', 0x430}, {'c', 0x441}, {'e', 0x435}, {'i', 0x456}, {'j', 0x458}, {'o', 0x3BF}, {'p', 0x440}, {'s', 0x455},
    {'v', 0x3BD}, {'x', 0x445}, {'y', 0x443}, {'A', 0x391}, {'B', 0x412}, {'C', 0x421}, {'E', 0x395}, {'H', 0x41D},
    {'K', 0x39A}, {'M', 0x41C}, {'N', 0x39D}, {'O', 0x41E}, {'P', 0x420}, {'T', 0x422}, {'X', 0x425}, {0, 0}};

static uint32_t partner_in(const swap_pair *pairs, uint32_t cp)
{
    while (pairs->from && pairs->from != cp) pairs++;
    return pairs->to;
}

static bool has_leet(const mutation *m, size_t i)
{
    return plain_letter(m, i) && partner_in(leet_pairs, m->cp[i]) != 0;
}

static bool has_lookalike(const mutation *m, size_t i)
{
    return plain_letter(m, i) && partner_in(lookalike_pairs, m->cp[i]) != 0;
}

static void substitute(const mutation *m, can_change *can, const swap_pair *pairs)
{
    touch(m, can);
    for (size_t i = 0; i < m->n; i++) emit(m, m->touched[i] ? partner_in(pairs, m->cp[i]) : m->cp[i]);
}

static bool inside_word(const mutation *m, size_t i)
{
    return plain_letter(m, i) && nn_uni_is_letter(at(m, i + 1));
}

static void spaces(const mutation *m)
{
    touch(m, inside_word);
    for (size_t i = 0; i < m->n; i++) {
        emit(m, m->cp[i]);
        if (m->touched[i]) emit(m, ' ');
    }
}

static bool vowel(const mutation *m, size_t i)
{
    static const uint32_t vowels[] = {'a',  'e',  'i',  'o',  'u',  0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE8, 0xE9, 0xEA,
                                      0xEB, 0xEC, 0xED, 0xEE, 0xEF, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF9, 0xFA, 0xFB,
                                      0xFC};
    const uint32_t low = guard_letter_lower(m->cp[i]);

    for (size_t k = 0; k < sizeof vowels / sizeof *vowels; k++) {
        if (vowels[k] == low) return plain_letter(m, i);
    }
    return false;
}

static void stretch(const mutation *m)
{
    touch(m, vowel);
    for (size_t i = 0; i < m->n; i++) {
        const uint64_t times = m->touched[i] ? 3 + nn_rng_below(m->rng, 3) : 1;

        for (uint64_t k = 0; k < times; k++) emit(m, m->cp[i]);
    }
}

/* --- mutations of words and punctuation --------------------------------------------------- */

/* Marks of sentences and quotation; what stands inside a number or a name ("3.5", "a.b.org") stays. */
static bool drops(const mutation *m, size_t i)
{
    static const uint32_t marks[] = {'.',  ',',  '!',    '?',    ';',    ':',    '"',    '(',    ')',
                                     0xA1, 0xBF, 0xAB,   0xBB,   0x2026, 0x201C, 0x201D, 0x201E};
    const bool inside = word_char(before(m, i)) && word_char(at(m, i + 1));

    for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
        if (marks[k] == m->cp[i]) return !inside;
    }
    return false;
}

static void drop_punctuation(const mutation *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (!drops(m, i)) emit(m, m->cp[i]);
    }
}

static uint32_t next_of(const char *s, size_t len, size_t *used)
{
    uint32_t cp = 0;
    bool bad;

    *used += nn_utf8_decode((const unsigned char *)s + *used, len - *used, &cp, &bad);
    return cp;
}

/* An apostrophe between letters belongs to the word: "you" does not stand in "you're". */
static bool word_ends(const mutation *m, size_t i)
{
    const bool apostrophe = at(m, i) == '\'' || at(m, i) == 0x2019;

    return !word_char(at(m, i)) && !(apostrophe && nn_uni_is_letter(at(m, i + 1)));
}

static bool word_begins(const mutation *m, size_t i)
{
    const bool apostrophe = before(m, i) == '\'' || before(m, i) == 0x2019;

    return i == 0 || (!word_char(before(m, i)) && !(apostrophe && i > 1 && nn_uni_is_letter(m->cp[i - 2])));
}

/* Code points of the text that `word` covers from i on, case aside; 0 when it is not there. */
static size_t match(const mutation *m, size_t i, const char *word)
{
    const size_t len = strlen(word);
    size_t n = 0;

    for (size_t used = 0; used < len; n++) {
        const uint32_t want = next_of(word, len, &used);
        if (i + n >= m->n || guard_letter_lower(m->cp[i + n]) != guard_letter_lower(want)) return 0;
    }
    return word_ends(m, i + n) ? n : 0;
}

/* A capital at the start of what is replaced stays one. */
static void emit_word(const mutation *m, const char *word, bool capital)
{
    const size_t len = strlen(word);

    for (size_t used = 0; used < len;) {
        const bool first = used == 0;
        const uint32_t cp = next_of(word, len, &used);
        emit(m, first && capital ? guard_letter_upper(cp) : cp);
    }
}

/* Every word of the list, the longest that matches first. */
static void replace(const mutation *m)
{
    for (size_t i = 0; i < m->n;) {
        size_t longest = 0, word = 0;

        for (size_t k = 0; k < m->style->n && word_begins(m, i); k++) {
            const size_t n = match(m, i, m->style->from[k]);
            if (n > longest) {
                longest = n;
                word = k;
            }
        }
        if (longest == 0) {
            emit(m, m->cp[i++]);
            continue;
        }
        emit_word(m, m->style->to[word], guard_letter_lower(m->cp[i]) != m->cp[i]);
        i += longest;
    }
}

/* --- a text ------------------------------------------------------------------------------- */

static void mutate(const mutation *m, const char *piece)
{
    switch (m->style->kind) {
    case GUARD_STYLE_LOWER: change_case(m, guard_letter_lower); break;
    case GUARD_STYLE_UPPER: change_case(m, guard_letter_upper); break;
    case GUARD_STYLE_TYPO: typo(m); break;
    case GUARD_STYLE_DROP_PUNCTUATION: drop_punctuation(m); break;
    case GUARD_STYLE_LEET: substitute(m, has_leet, leet_pairs); break;
    case GUARD_STYLE_SPACES: spaces(m); break;
    case GUARD_STYLE_STRETCH: stretch(m); break;
    case GUARD_STYLE_HOMOGLYPH: substitute(m, has_lookalike, lookalike_pairs); break;
    case GUARD_STYLE_REPLACE: replace(m); break;
    case GUARD_STYLE_PREFIX:
    case GUARD_STYLE_SUFFIX:
        if (m->style->kind == GUARD_STYLE_PREFIX) guard_buf_str(m->out, piece);
        for (size_t i = 0; i < m->n; i++) emit(m, m->cp[i]);
        if (m->style->kind == GUARD_STYLE_SUFFIX) guard_buf_str(m->out, piece);
        break;
    }
}

nn_status guard_style_apply(guard_buf *out, const guard_style *s, size_t piece, const char *text, size_t n,
                            nn_rng *rng, guard_style_room *room, nn_err *err)
{
    const bool pieces = s->kind == GUARD_STYLE_PREFIX || s->kind == GUARD_STYLE_SUFFIX;
    void *cp = room->cp, *touched = room->touched;
    nn_status st = nn_grow(&cp, &room->cp_cap, n + 1, sizeof *room->cp, err);

    room->cp = cp;
    if (st != NN_OK) return st;
    st = nn_grow(&touched, &room->touched_cap, n + 1, sizeof *room->touched, err);
    room->touched = touched;
    if (st != NN_OK) return st;

    mutation m = {s, room->cp, room->touched, 0, rng, out};
    for (size_t used = 0; used < n;) room->cp[m.n++] = next_of(text, n, &used);
    guard_buf_clear(out);
    mutate(&m, pieces && piece < s->n ? s->from[piece] : "");
    return guard_buf_status(out, err);
}
