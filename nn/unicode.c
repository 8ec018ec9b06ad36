#include "nn/unicode.h"
#include "nn/err.h"
#include "nn/unicode_tables.h"
#include <string.h>

/* --- UTF-8 (Unicode 15, tables 3-7 and 3-8) --------------------------------------------------------- */

size_t nn_utf8_decode(const unsigned char *s, size_t len, uint32_t *cp, bool *bad)
{
    const unsigned char c = s[0];
    unsigned char low = 0x80, high = 0xBF; /* of the second byte; what keeps out overlong forms and surrogates */
    size_t more;

    *bad = false;
    *cp = c;
    if (c < 0x80) return 1;
    *bad = true;
    *cp = 0xFFFD;
    if (c < 0xC2 || c > 0xF4) return 1;
    more = c < 0xE0 ? 1 : (c < 0xF0 ? 2 : 3);
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;

    uint32_t value = c & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if (i >= len || s[i] < low || s[i] > high) return i; /* a maximal ill-formed part ends here */
        value = value << 6 | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *cp = value;
    *bad = false;
    return more + 1;
}

size_t nn_utf8_encode(uint32_t cp, char out[4])
{
    const size_t n = cp < 0x80 ? 1 : (cp < 0x800 ? 2 : (cp < 0x10000 ? 3 : 4));
    static const unsigned char lead[5] = {0, 0x00, 0xC0, 0xE0, 0xF0};

    for (size_t i = n; i-- > 1;) {
        out[i] = (char)(unsigned char)(0x80u | (cp & 0x3Fu));
        cp >>= 6;
    }
    out[0] = (char)(unsigned char)(lead[n] | cp);
    return n;
}

size_t nn_utf8_repair(char *out, const char *s, size_t len, size_t *replaced)
{
    size_t need = 0, parts = 0;

    for (size_t i = 0; i < len;) {
        uint32_t cp;
        bool bad;
        char bytes[4];
        i += nn_utf8_decode((const unsigned char *)s + i, len - i, &cp, &bad);
        const size_t n = nn_utf8_encode(cp, bytes);
        if (out) memcpy(out + need, bytes, n);
        need += n;
        parts += bad;
    }
    if (replaced) *replaced = parts;
    return need;
}

/* --- tables ------------------------------------------------------------------------------------------ */

static const nn_uni_range *find(const nn_uni_table *t, uint32_t cp)
{
    size_t low = 0, high = t->n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (cp > t->range[mid].last) low = mid + 1;
        else if (cp < t->range[mid].first) high = mid;
        else return t->range + mid;
    }
    return NULL;
}

/* [out] seq: the mapped code points, or NULL. Returns their number. */
static size_t map_find(const uint32_t **seq, const nn_uni_map *m, uint32_t cp)
{
    const nn_uni_range *r = find(&m->table, cp);

    *seq = NULL;
    if (!r) return 0;
    const size_t i = r->value + (cp - r->first);
    *seq = m->pool + m->start[i];
    return (size_t)(m->start[i + 1] - m->start[i]);
}

static uint32_t class_of(uint32_t cp)
{
    const nn_uni_range *r;

    if (cp < 0x80) {
        if ((cp | 0x20) - 'a' < 26) return NN_UNI_LETTER;
        if (cp - '0' < 10) return NN_UNI_NUMBER;
        return cp == ' ' || cp - '\t' < 5 ? NN_UNI_SPACE : 0;
    }
    r = find(&nn_uni_class, cp);
    return r ? r->value : 0;
}

bool nn_uni_is_letter(uint32_t cp)
{
    return class_of(cp) == NN_UNI_LETTER;
}

bool nn_uni_is_number(uint32_t cp)
{
    return class_of(cp) == NN_UNI_NUMBER;
}

bool nn_uni_is_space(uint32_t cp)
{
    return class_of(cp) == NN_UNI_SPACE;
}

bool nn_uni_is_mark(uint32_t cp)
{
    return class_of(cp) == NN_UNI_MARK;
}

bool nn_uni_is_punct(uint32_t cp)
{
    return find(&nn_uni_punct, cp) != NULL;
}

/* Canonical combining class: marks of different classes commute, so normal forms sort by it. 0: a starter. */
static unsigned ccc_of(uint32_t cp)
{
    const nn_uni_range *r = cp < 0x300 ? NULL : find(&nn_uni_ccc, cp);

    return r ? (unsigned)r->value : 0;
}

/* --- decomposition: the source as a stream of decomposed code points -------------------------------- */

/* Hangul syllables follow arithmetic (Unicode 15, section 3.12). */
enum { HANGUL = 0xAC00, JAMO_L = 0x1100, JAMO_V = 0x1161, JAMO_T = 0x11A7, N_L = 19, N_V = 21, N_T = 28 };
#define YPOGEGRAMMENI 0x345u /* the one mark that case folding turns into a letter */
#define FOLD_GROWTH 4u /* times its own UTF-8 bytes, at most */

typedef struct {
    const unsigned char *s;
    size_t len, pos; /* pos: the next byte */
    size_t from;     /* byte of the code point whose expansion is in seq */
    bool fold, canonical; /* canonical: compatibility decompositions stay whole */
    size_t n, at;
    uint32_t seq[NN_UNI_DECOMPOSED_MAX * NN_UNI_FOLDED_MAX];
} source;

static void push(source *in, uint32_t cp)
{
    const uint32_t *seq;

    if (in->fold) {
        if (cp < 0x80) {
            if (cp - 'A' < 26) cp += 'a' - 'A';
        } else {
            if (find(&nn_uni_ignorable, cp)) return;
            const size_t n = cp == YPOGEGRAMMENI ? 0 : map_find(&seq, &nn_uni_folded, cp);
            for (size_t i = 0; i < n; i++) in->seq[in->n++] = seq[i];
            if (n > 0) return;
        }
    }
    in->seq[in->n++] = cp;
}

static size_t utf8_bytes(const uint32_t *seq, size_t n)
{
    char bytes[4];
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) sum += nn_utf8_encode(seq[i], bytes);
    return sum;
}

static size_t decomposition(const uint32_t **seq, const source *in, uint32_t cp)
{
    if (in->canonical) {
        const size_t n = map_find(seq, &nn_uni_canonical, cp);
        if (n > 0 || find(&nn_uni_compatible, cp)) return n;
    }
    return map_find(seq, &nn_uni_decomposed, cp);
}

static void push_decomposed(source *in, uint32_t cp)
{
    const uint32_t *seq = NULL;
    const uint32_t h = cp - HANGUL;

    if (h < N_L * N_V * N_T) {
        push(in, JAMO_L + h / (N_V * N_T));
        push(in, JAMO_V + h / N_T % N_V);
        if (h % N_T) push(in, JAMO_T + h % N_T);
        return;
    }
    const size_t n = cp < 0xA0 ? 0 : decomposition(&seq, in, cp);
    /* WHY: a ligature such as U+FDFA is 18 letters. Left whole, a folded text fits a room known beforehand. */
    const bool whole = in->fold && n > FOLD_GROWTH && utf8_bytes(seq, n) > FOLD_GROWTH * utf8_bytes(&cp, 1);
    if (n == 0 || whole) push(in, cp);
    else for (size_t i = 0; i < n; i++) push(in, seq[i]);
}

static bool source_next(source *in, uint32_t *out)
{
    while (in->at == in->n) {
        uint32_t cp;
        bool bad;

        if (in->pos >= in->len) return false;
        in->from = in->pos;
        in->pos += nn_utf8_decode(in->s + in->pos, in->len - in->pos, &cp, &bad);
        in->n = in->at = 0;
        push_decomposed(in, cp);
    }
    *out = in->seq[in->at++];
    return true;
}

/* --- ordering and composition: one starter with its marks at a time --------------------------------- */

#define TAKEN_MAX 3 /* marks that a starter can swallow: the longest canonical decomposition has 4 code points */

typedef struct {
    source in;
    char *out;
    size_t cap, need;
    uint32_t *from; /* [cap] where each byte's starter stands in the source, or NULL */
    size_t starter_from;
    bool has_starter;
    uint32_t starter;
    size_t n_marks;         /* marks after the starter, in the order of the source ... */
    size_t mark_from, mark_at; /* ... where the first of them is read again */
    uint32_t classes[8];    /* which combining classes they have, a bit each */
    size_t n_taken, taken[TAKEN_MAX]; /* marks composed into the starter */
} composer;

static void put(composer *c, uint32_t cp)
{
    char bytes[4];
    const size_t n = nn_utf8_encode(cp, bytes);

    if (c->need + n <= c->cap) {
        memcpy(c->out + c->need, bytes, n);
        for (size_t i = 0; c->from && i < n; i++) c->from[c->need + i] = (uint32_t)c->starter_from;
    }
    c->need += n; /* beyond cap from the first that does not fit: no gap */
}

/* Whether a followed by b composes to *ab. */
static bool compose(uint32_t *ab, uint32_t a, uint32_t b)
{
    size_t low = 0, high = nn_uni_n_composed;

    if (b < 0x300) return false;
    if (a - JAMO_L < N_L && b - JAMO_V < N_V) {
        *ab = HANGUL + ((a - JAMO_L) * N_V + (b - JAMO_V)) * N_T;
        return true;
    }
    if (a - HANGUL < N_L * N_V * N_T && (a - HANGUL) % N_T == 0 && b - JAMO_T - 1 < N_T - 1) {
        *ab = a + (b - JAMO_T);
        return true;
    }
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const nn_uni_pair *p = nn_uni_composed + mid;

        if (a > p->a || (a == p->a && b > p->b)) low = mid + 1;
        else if (a < p->a || b < p->b) high = mid;
        else return *ab = p->ab, true;
    }
    return false;
}

static source marks_again(const composer *c)
{
    source in = {c->in.s, c->in.len, c->mark_from, 0, c->in.fold, c->in.canonical, 0, 0, {0}};
    uint32_t cp;

    for (size_t i = 0; i < c->mark_at; i++) (void)source_next(&in, &cp);
    return in;
}

/* The next class after k that a mark of this segment has; 256 at the end. */
static unsigned next_class(const composer *c, unsigned k)
{
    for (k++; k < 256; k++) {
        const uint32_t rest = c->classes[k / 32] >> (k % 32);

        if (rest & 1u) return k;
        if (rest == 0) k |= 31;
    }
    return 256;
}

static bool is_taken(const composer *c, size_t mark)
{
    for (size_t i = 0; i < c->n_taken; i++)
        if (c->taken[i] == mark) return true;
    return false;
}

/* Composes the starter with its marks, visited in canonical order: by class, equal classes as they came. A mark is
 * blocked once one of its class stayed. WHY: marks are read again per class present, not sorted in a buffer, so a run
 * of any length needs no memory and linear time. */
static void compose_marks(composer *c)
{
    for (unsigned k = next_class(c, 0); k < 256 && c->has_starter; k = next_class(c, k)) {
        source in = marks_again(c);
        for (size_t i = 0; i < c->n_marks; i++) {
            uint32_t mark = 0, ab;
            (void)source_next(&in, &mark);
            if (ccc_of(mark) != k) continue;
            const bool letter = in.fold && mark == YPOGEGRAMMENI;
            if (letter || c->n_taken == TAKEN_MAX || !compose(&ab, c->starter, mark)) break;
            c->starter = ab;
            c->taken[c->n_taken++] = i;
        }
    }
}

static void put_mark(composer *c, uint32_t mark)
{
    const uint32_t *letter;

    if (c->in.fold && mark == YPOGEGRAMMENI && map_find(&letter, &nn_uni_folded, mark) > 0) mark = letter[0];
    put(c, mark);
}

static void put_marks(composer *c)
{
    for (unsigned k = next_class(c, 0); k < 256 && c->n_taken < c->n_marks; k = next_class(c, k)) {
        source in = marks_again(c);
        for (size_t i = 0; i < c->n_marks; i++) {
            uint32_t mark = 0;
            (void)source_next(&in, &mark);
            if (ccc_of(mark) == k && !is_taken(c, i)) put_mark(c, mark);
        }
    }
}

static void add_mark(composer *c, unsigned k)
{
    if (c->n_marks == 0) {
        memset(c->classes, 0, sizeof c->classes);
        c->n_taken = 0;
        c->mark_from = c->in.from;
        c->mark_at = c->in.at - 1;
    }
    c->classes[k / 32] |= 1u << (k % 32);
    c->n_marks++;
}

static void put_segment(composer *c)
{
    if (c->has_starter) put(c, c->starter);
    if (c->n_marks > 0) put_marks(c);
}

/* [out] out: at most cap bytes of in's text, composed (Unicode Standard Annex 15); from as in composer. */
static size_t normalise(char *out, uint32_t *from, size_t cap, const source *in)
{
    composer c = {*in, out, cap, 0, from, 0, false, 0, 0, 0, 0, {0}, 0, {0}};
    uint32_t cp, ab;

    while (source_next(&c.in, &cp)) {
        const unsigned k = ccc_of(cp);

        if (k > 0) {
            add_mark(&c, k);
            continue;
        }
        if (c.n_marks > 0) compose_marks(&c);
        const bool adjacent = c.has_starter && (c.n_marks == 0 || c.n_taken == c.n_marks);
        c.n_marks = adjacent ? 0 : c.n_marks;
        if (adjacent && compose(&ab, c.starter, cp)) {
            c.starter = ab;
            continue;
        }
        put_segment(&c);
        c.has_starter = true;
        c.starter_from = c.in.from;
        c.starter = cp;
        c.n_marks = 0;
    }
    if (c.n_marks > 0) compose_marks(&c);
    put_segment(&c);
    return c.need;
}

static source source_of(const char *s, size_t len, bool fold, bool canonical)
{
    return (source){(const unsigned char *)s, len, 0, 0, fold, canonical, 0, 0, {0}};
}

size_t nn_uni_nfkc(char *out, size_t cap, const char *s, size_t len)
{
    const source in = source_of(s, len, false, false);
    return normalise(out, NULL, cap, &in);
}

size_t nn_uni_compose(char *out, uint32_t *from, size_t cap, const char *s, size_t len, bool compatible)
{
    const source in = source_of(s, len, false, !compatible);
    return normalise(out, from, cap, &in);
}

size_t nn_uni_fold(char *out, size_t cap, const char *s, size_t len)
{
    const source in = source_of(s, len, true, false);
    return normalise(out, NULL, cap, &in);
}

size_t nn_uni_lower(uint32_t out[NN_UNI_LOWER_MAX], uint32_t cp)
{
    const uint32_t *seq;
    const size_t n = cp < 0x80 ? 0 : map_find(&seq, &nn_uni_lower_map, cp);

    out[0] = cp - 'A' < 26 ? cp + ('a' - 'A') : cp;
    for (size_t i = 0; i < n; i++) out[i] = seq[i];
    return n > 0 ? n : 1;
}
