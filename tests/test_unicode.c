/* Tests of nn/unicode.h: UTF-8 against published cases, normal forms against utf8proc, folding against its rules. */
#include "nn/rng.h"
#include "nn/unicode.h"
#include "nn/unicode_tables.h"
#include "tests/support.h"
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- the oracle: utf8proc, loaded when it is there, so that nothing needs it to build ---------------- */

typedef long (*proc_map_fn)(const unsigned char *s, long len, unsigned char **out, int options);
typedef int (*proc_category_fn)(int32_t cp);
typedef int32_t (*proc_lower_fn)(int32_t cp);
typedef const char *(*proc_text_fn)(void);
enum { PROC_STABLE = 2, PROC_COMPAT = 4, PROC_COMPOSE = 8 };

typedef struct {
    proc_map_fn map;
    proc_category_fn category;
    proc_lower_fn lower;
    proc_text_fn category_text;
} oracle;

static void *symbol(void *library, const char *name)
{
    void *p = dlsym(library, name);

    cr_assert(p != NULL, "libutf8proc lacks %s", name);
    return p;
}

static oracle open_oracle(void)
{
    void *library = dlopen("libutf8proc.so.2", RTLD_NOW);
    oracle o = {NULL, NULL, NULL, NULL};
    proc_text_fn version;
    void *p;

    if (!library) library = dlopen("libutf8proc.so", RTLD_NOW);
    if (!library) skip_test("utf8proc, the oracle of normal forms, is not installed");
    p = symbol(library, "utf8proc_map");
    memcpy(&o.map, &p, sizeof p);
    p = symbol(library, "utf8proc_category");
    memcpy(&o.category, &p, sizeof p);
    p = symbol(library, "utf8proc_tolower");
    memcpy(&o.lower, &p, sizeof p);
    p = symbol(library, "utf8proc_unicode_version");
    memcpy(&version, &p, sizeof p);
    if (strcmp(version(), nn_uni_version) != 0)
        fprintf(stderr, "note: utf8proc has Unicode %s, the tables %s; only points assigned in both are compared\n",
                version(), nn_uni_version);
    return o;
}

/* Assigned in the tables (scalar values only: their ranges ascend). */
static bool assigned(uint32_t cp)
{
    size_t low = 0, high = nn_uni_class.n;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (nn_uni_class.range[mid].last < cp) low = mid + 1;
        else high = mid;
    }
    return low < nn_uni_class.n && nn_uni_class.range[low].first <= cp;
}

/* Only points assigned in both are compared. UTF8PROC_CATEGORY: 0 Cn, 1-5 L*, 6-8 M*, 9-11 N*, 12-18 P*. */
static bool comparable(const oracle *o, uint32_t cp)
{
    return assigned(cp) && o->category((int32_t)cp) != 0;
}

static bool same_form(const oracle *o, const char *s, size_t len, bool compatible)
{
    unsigned char *want = NULL;
    const int form = PROC_STABLE | PROC_COMPOSE | (compatible ? PROC_COMPAT : 0);
    const long n = o->map((const unsigned char *)s, (long)len, &want, form);
    char *got = malloc(18 * len + 4);

    cr_assert(n >= 0 && got != NULL);
    const size_t need = nn_uni_compose(got, NULL, 18 * len + 4, s, len, compatible);
    bool same = need == (size_t)n && memcmp(got, want, need) == 0;
    if (compatible) same = same && nn_uni_nfkc(got, 18 * len + 4, s, len) == need && memcmp(got, want, need) == 0;
    free(want);
    free(got);
    return same;
}

static bool same_nfkc(const oracle *o, const char *s, size_t len)
{
    return same_form(o, s, len, true);
}

Test(unicode, classes_agree_with_utf8proc_on_every_assigned_point)
{
    const oracle o = open_oracle();
    size_t n = 0, wrong = 0;
    uint32_t first = 0;

    for (uint32_t cp = 0x110000; cp-- > 0;) {
        if (!comparable(&o, cp)) continue;
        const int c = o.category((int32_t)cp);
        const bool same = nn_uni_is_letter(cp) == (c >= 1 && c <= 5) && nn_uni_is_mark(cp) == (c >= 6 && c <= 8) &&
                          nn_uni_is_number(cp) == (c >= 9 && c <= 11) && nn_uni_is_punct(cp) == (c >= 12 && c <= 18);
        if (!same) first = cp;
        wrong += !same;
        n++;
    }
    cr_expect_eq(wrong, 0, "%zu points differ, first U+%04X", wrong, first);
    cr_expect_gt(n, 280000);
}

Test(unicode, nfc_agrees_with_utf8proc_on_every_assigned_point)
{
    const oracle o = open_oracle();
    size_t wrong = 0;
    uint32_t first = 0;

    for (uint32_t cp = 0x110000; cp-- > 1;) {
        char s[4];

        if (!comparable(&o, cp) || same_form(&o, s, nn_utf8_encode(cp, s), false)) continue;
        first = cp;
        wrong++;
    }
    cr_expect_eq(wrong, 0, "%zu points differ, first U+%04X", wrong, first);
}

Test(unicode, lower_case_agrees_with_utf8proc_on_every_assigned_point)
{
    const oracle o = open_oracle();
    size_t wrong = 0;
    uint32_t first = 0, seq[NN_UNI_LOWER_MAX];

    for (uint32_t cp = 0x110000; cp-- > 0;) {
        if (!comparable(&o, cp) || cp == 0x130) continue; /* the one of two code points */
        if (nn_uni_lower(seq, cp) == 1 && seq[0] == (uint32_t)o.lower((int32_t)cp)) continue;
        first = cp;
        wrong++;
    }
    cr_expect_eq(wrong, 0, "%zu points differ, first U+%04X", wrong, first);
    cr_expect(nn_uni_lower(seq, 0x130) == 2 && seq[0] == 'i' && seq[1] == 0x307);
}

Test(unicode, nfkc_agrees_with_utf8proc_on_every_assigned_point)
{
    const oracle o = open_oracle();
    size_t wrong = 0;
    uint32_t first = 0;

    for (uint32_t cp = 0x110000; cp-- > 1;) {
        char s[4];

        if (!comparable(&o, cp) || same_nfkc(&o, s, nn_utf8_encode(cp, s))) continue;
        first = cp;
        wrong++;
    }
    cr_expect_eq(wrong, 0, "%zu points differ, first U+%04X", wrong, first);
}

/* Points that interact: bases, marks of several classes, Hangul, Indic vowel parts, ligatures; else any below 3000. */
static uint32_t draw_point(nn_rng *r, const oracle *o)
{
    static const uint32_t hot[] = {'a',    'e',    'u',    'O',    0x300,  0x301,  0x302,  0x308,  0x323,   0x327,
                                   0x328,  0x338,  0x345,  0x34F,  0x3B1,  0x3C9,  0x1100, 0x1161, 0x11A8,  0xAC00,
                                   0xAC01, 0x9C7,  0x9BE,  0x9D7,  0xFDFA, 0xFB03, 0x1E9B, 0x200D, 0x5B0,   0x64B,
                                   0x64E,  0x651,  0x3099, 0x30AB, 0x1F82, 0xDDA,  0xDCF,  0x1D15E};
    uint32_t cp;

    if (nn_rng_below(r, 4) > 0) return hot[nn_rng_below(r, sizeof hot / sizeof *hot)];
    do cp = 1 + (uint32_t)nn_rng_below(r, 0x2FFF);
    while (!comparable(o, cp));
    return cp;
}

/* Where a byte comes from changes, what is before it is the normal form of what is before that place. */
static void expect_sources(const char *s, size_t len, bool compatible)
{
    static char out[16384], before[16384];
    static uint32_t from[16384];
    const size_t n = nn_uni_compose(out, from, sizeof out, s, len, compatible);

    cr_assert(n <= sizeof out);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && from[i] == from[i - 1]) continue;
        cr_assert(from[i] < len && (i == 0 || from[i] > from[i - 1]));
        cr_assert(nn_uni_compose(before, NULL, sizeof before, s, from[i], compatible) == i);
        cr_assert(memcmp(before, out, i) == 0);
    }
}

Test(unicode, nfkc_agrees_with_utf8proc_on_random_strings)
{
    const oracle o = open_oracle();

    for (uint64_t row = 0; row < 20000; row++) {
        nn_rng r = nn_rng_at(1, "nfkc", row);
        const size_t n = 1 + nn_rng_below(&r, row % 100 == 0 ? 200 : 12);
        char s[4 * 201];
        size_t len = 0;

        for (size_t i = 0; i < n; i++) len += nn_utf8_encode(draw_point(&r, &o), s + len);
        cr_assert(same_nfkc(&o, s, len), "row %lu differs", (unsigned long)row);
        cr_assert(same_form(&o, s, len, false), "row %lu differs in NFC", (unsigned long)row);
        expect_sources(s, len, row % 2 == 0);
    }
}

Test(unicode, a_long_run_of_marks_is_sorted_without_memory)
{
    const oracle o = open_oracle();
    static const uint32_t marks[] = {0x301, 0x323, 0x327, 0x338, 0x345, 0x308};
    char s[4000];
    size_t len = nn_utf8_encode('u', s);
    nn_rng r = nn_rng_at(2, "marks", 0);

    for (size_t i = 0; i < 900; i++) len += nn_utf8_encode(marks[nn_rng_below(&r, 6)], s + len);
    cr_expect(same_nfkc(&o, s, len));
}

/* --- UTF-8 ------------------------------------------------------------------------------------------- */

Test(unicode, encode_and_decode_are_inverse_for_every_scalar_value)
{
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char s[4];
        uint32_t back = 0;
        bool bad = false;
        const size_t n = nn_utf8_encode(cp, s);
        const size_t used = nn_utf8_decode((const unsigned char *)s, n, &back, &bad);
        const bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;

        cr_assert(surrogate ? bad && back == 0xFFFD && used == 1 : !bad && back == cp && used == n, "U+%04X", cp);
    }
}

/* [out] bytes of "C3 A9" or "c3a9", blanks anywhere; "nothing" is empty. Returns their number. */
static size_t from_hex(char *out, const char *hex, const char *end)
{
    size_t n = 0;
    unsigned value = 0, digits = 0;

    if (strncmp(hex, "nothing", 7) == 0) return 0;
    for (; hex < end; hex++) {
        if (!isxdigit((unsigned char)*hex)) continue;
        const int c = tolower((unsigned char)*hex);
        value = value * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        if (++digits % 2 == 0) {
            out[n++] = (char)(unsigned char)value;
            value = 0;
        }
    }
    return n;
}

/* "num:valid:text", "num:valid hex:XX", "num:invalid hex:XX:skipped:replaced". Returns 1 for a case, 0 for none. */
static size_t check_case(const char *line, const char *end)
{
    const char *kind = memchr(line, ':', (size_t)(end - line));
    char in[128], want[256], got[256];
    size_t n, n_want, bad = 0;

    if (*line == '#' || !kind) return 0;
    const char *data = memchr(kind + 1, ':', (size_t)(end - kind - 1));
    cr_assert(data != NULL && end - data < 250);
    const bool valid = kind[1] == 'v' || kind[2] == 'v', hex = memcmp(data - 3, "hex", 3) == 0;
    const char *first_end = valid ? end : memchr(data + 1, ':', (size_t)(end - data - 1));
    if (hex) n = from_hex(in, data + 1, first_end);
    else memcpy(in, data + 1, n = (size_t)(end - data - 1));
    if (valid) {
        memcpy(want, in, n_want = n);
    } else {
        const char *last = memchr(first_end + 1, ':', (size_t)(end - first_end - 1));
        n_want = from_hex(want, last + 1, end);
    }
    const size_t need = nn_utf8_repair(NULL, in, n, NULL);
    cr_assert(need <= sizeof got);
    cr_expect_eq(nn_utf8_repair(got, in, n, &bad), need);
    cr_expect(need == n_want && memcmp(got, want, need) == 0 && valid == (bad == 0), "%.*s", (int)(end - line), line);
    return 1;
}

Test(unicode, published_utf8_cases_give_the_expected_replacements)
{
    size_t len, n = 0;

    skip_unless_fixture("fixtures/text/utf8tests.txt");
    char *text = read_bytes(shared_path("fixtures/text/utf8tests.txt"), &len);
    for (char *line = text; line < text + len;) {
        char *end = memchr(line, '\n', (size_t)(text + len - line));

        if (!end) end = text + len;
        if (end > line) n += check_case(line, end);
        line = end + 1;
    }
    cr_expect_gt(n, 200);
    free(text);
}

Test(unicode, compiled_utf8_cases_are_valid_where_they_say_so)
{
    size_t len, n = 0;

    skip_unless_fixture("fixtures/text/utf8tests.bin");
    char *text = read_bytes(shared_path("fixtures/text/utf8tests.bin"), &len);
    for (char *line = text; line < text + len;) {
        char *end = memchr(line, '\n', (size_t)(text + len - line));
        size_t bad = 0;

        cr_assert(end != NULL);
        const char *kind = memchr(line, ':', (size_t)(end - line));
        cr_assert(kind != NULL);
        (void)nn_utf8_repair(NULL, line, (size_t)(end - line), &bad);
        cr_expect((kind[1] == 'v') == (bad == 0), "%.*s", (int)(kind - line), line);
        n++;
        line = end + 1;
    }
    cr_expect_gt(n, 200);
    free(text);
}

Test(unicode, truncated_text_is_one_replacement)
{
    size_t bad = 0;
    char out[8];

    cr_expect_eq(nn_utf8_repair(out, "a\xF0\x9F\x98", 4, &bad), 4);
    cr_expect_eq(bad, 1);
    cr_expect_arr_eq(out, "a\xEF\xBF\xBD", 4);
    cr_expect_eq(nn_utf8_repair(NULL, "", 0, &bad), 0);
    cr_expect_eq(bad, 0);
}

Test(unicode, white_space_is_the_property_and_not_more)
{
    static const uint32_t space[] = {9,      10,     11,     12,     13,     32,     0x85,   0xA0,  0x1680,
                                     0x2000, 0x2005, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    size_t n = 0;

    for (size_t i = 0; i < sizeof space / sizeof *space; i++) cr_expect(nn_uni_is_space(space[i]), "U+%04X", space[i]);
    for (uint32_t cp = 0; cp < 0x110000; cp++) n += nn_uni_is_space(cp);
    cr_expect_eq(n, 25);
}

/* --- folding ----------------------------------------------------------------------------------------- */

static void expect_fold(const char *in, const char *want)
{
    char got[256];
    const size_t n = nn_uni_fold(got, sizeof got - 1, in, strlen(in));

    cr_assert(n < sizeof got);
    got[n] = '\0';
    cr_expect_str_eq(got, want, "fold(%s) is %s, want %s", in, got, want);
}

Test(unicode, fold_lowers_and_undoes_compatibility_forms)
{
    expect_fold("Hello, World 10I", "hello, world 10i");
    expect_fold("\xEF\xBC\xA8\xEF\xBD\x85\xEF\xBD\x99\xE3\x80\x80\xEF\xBC\x91", "hey 1"); /* full width */
    expect_fold("\xEF\xAC\x83x", "ffix");                                               /* a ligature */
    expect_fold("\xF0\x9D\x94\x8E\xF0\x9D\x95\x9A", "ki");                              /* mathematical letters */
    expect_fold("Stra\xC3\x9F" "e \xC3\x89", "strasse \xC3\xA9");
    expect_fold("E\xCC\x81", "\xC3\xA9");                                               /* decomposed e acute */
}

Test(unicode, fold_maps_lookalikes_and_foreign_digits)
{
    expect_fold("\xD1\x80\xD0\xB0\xD1\x83\xD1\x80\xD0\xB0l", "paypal");  /* Cyrillic er, a, u, er, a */
    expect_fold("\xD0\x90\xCE\x91\xCE\x9F", "aao");                      /* capitals fold first */
    expect_fold("\xD9\xA1\xDB\xB2\xE0\xA5\xA9", "123");                  /* Arabic, Persian, Devanagari */
    expect_fold("m 1 0 | I", "m 1 0 | i");                               /* ASCII keeps its own */
    expect_fold("\xEC\x9D\xB4", "\xEC\x9D\xB4");                         /* Hangul stays */
    expect_fold("\xE3\x82\xAB\xE3\x82\x99", "\xE3\x82\xAC");             /* ka + voiced mark */
}

Test(unicode, fold_drops_what_nobody_sees)
{
    expect_fold("b\xE2\x80\x8Bo\xC2\xADm\xEF\xBB\xBF" "b\xE2\x80\xAE", "bomb");
    expect_fold("e\xCD\x8F\xCC\x81", "\xC3\xA9"); /* the joiner goes, so the accent composes */
    expect_fold("", "");
}

Test(unicode, fold_turns_iota_subscript_into_a_letter)
{
    expect_fold("\xE1\xBE\xB3", "ai");                               /* alpha with subscript: a, i */
    expect_fold("\xCE\xB1\xCD\x85\xCC\x81", "\xC3\xA1i");                   /* whatever the order of marks */
    expect_fold("\xCE\xB1\xCC\x81\xCD\x85", "\xC3\xA1i");
}

static size_t fold_of(char *out, size_t cap, const char *s, size_t len)
{
    const size_t n = nn_uni_fold(out, cap, s, len);

    cr_assert(n <= NN_UNI_FOLD_ROOM(len) && n <= cap, "%zu bytes fold to %zu", len, n);
    return n;
}

Test(unicode, folding_twice_changes_nothing_and_fits_its_room)
{
    char s[4], once[16], twice[64];

    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        const size_t len = nn_utf8_encode(cp, s);
        const size_t n = fold_of(once, sizeof once, s, len);
        const size_t m = fold_of(twice, sizeof twice, once, n);
        cr_assert(n == m && memcmp(once, twice, n) == 0, "U+%04X", cp);
    }
}

Test(unicode, folding_random_strings_twice_changes_nothing)
{
    for (uint64_t row = 0; row < 20000; row++) {
        nn_rng r = nn_rng_at(3, "fold", row);
        const size_t n = nn_rng_below(&r, 16);
        char s[64], once[256], twice[1024];
        size_t len = 0;

        for (size_t i = 0; i < n; i++) {
            const uint32_t cp = (uint32_t)nn_rng_below(&r, nn_rng_below(&r, 2) ? 0x400 : 0x20000);
            if (cp < 0xD800 || cp > 0xDFFF) len += nn_utf8_encode(cp, s + len);
        }
        const size_t a = fold_of(once, sizeof once, s, len);
        const size_t b = fold_of(twice, sizeof twice, once, a);
        cr_assert(a == b && memcmp(once, twice, a) == 0, "row %lu", (unsigned long)row);
    }
}

Test(unicode, a_small_room_gets_whole_code_points_and_the_need)
{
    char out[8];

    memset(out, '#', sizeof out);
    cr_expect_eq(nn_uni_nfkc(out, 4, "ab\xE2\x82\xACz", 6), 6); /* the euro sign does not fit, so z must not follow */
    cr_expect_arr_eq(out, "ab######", 8);
    cr_expect_eq(nn_uni_nfkc(NULL, 0, "ab\xE2\x82\xACz", 6), 6);
    cr_expect_eq(nn_uni_nfkc(NULL, 0, "\xEF\xB7\xBA", 3), 33);
    cr_expect_eq(nn_uni_fold(NULL, 0, "\xEF\xB7\xBA", 3), 3);
}

Test(unicode, a_megabyte_of_marks_takes_linear_time)
{
    const size_t len = 1u << 20;
    char *s = malloc(len), *out = malloc(len);
    const clock_t start = clock();

    cr_assert(s != NULL && out != NULL);
    for (size_t i = 0; i < len; i += 2) nn_utf8_encode(i % 3 ? 0x301 : 0x323, s + i);
    cr_expect_eq(nn_uni_fold(out, len, s, len), len);
    cr_expect_lt((double)(clock() - start) / CLOCKS_PER_SEC, 5.0);
    free(s);
    free(out);
}
