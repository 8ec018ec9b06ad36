#include "guard/minhash.h"
#include "guard/text.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include <stdlib.h>
#include <string.h>

/* --- one text -------------------------------------------------------------------------------------------- */

void guard_shingles_free(guard_shingles *s)
{
    nn_free(s->gram);
    nn_free(s->word);
    nn_free(s->scratch);
    memset(s, 0, sizeof *s);
}

static bool in_word(uint32_t cp)
{
    return cp == 0x27u || nn_uni_is_letter(cp) || nn_uni_is_mark(cp) || nn_uni_is_number(cp);
}

/* Hashes of the words of normalised text, behind those that are there. */
static nn_status add_words(guard_shingles *s, const char *text, size_t len, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t at = 0, begin = SIZE_MAX; at <= len && st == NN_OK;) {
        uint32_t cp = ' ';
        bool bad = false;
        const size_t used = at < len ? nn_utf8_decode((const unsigned char *)text + at, len - at, &cp, &bad) : 1;

        if (in_word(cp)) {
            if (begin == SIZE_MAX) begin = at;
        } else if (begin != SIZE_MAX) {
            if ((st = nn_grow((void **)&s->word, &s->word_cap, s->words + 1, sizeof *s->word, err)) == NN_OK)
                s->word[s->words++] = nn_hash64(text + begin, at - begin, 0);
            begin = SIZE_MAX;
        }
        at += used;
    }
    return st;
}

static nn_status add_grams(guard_shingles *s, size_t first_word, size_t order, nn_err *err)
{
    const size_t n = s->words - first_word, of = n < order ? n : order;
    nn_status st;

    if (n == 0) return NN_OK;
    if ((st = nn_grow((void **)&s->gram, &s->cap, s->total + n - of + 1, sizeof *s->gram, err)) != NN_OK) return st;
    for (size_t i = first_word; i + of <= s->words; i++)
        s->gram[s->total++] = nn_hash64(s->word + i, of * sizeof *s->word, order);
    return NN_OK;
}

static nn_status add_text(guard_shingles *s, const guard_text *t, size_t order, nn_err *err)
{
    const size_t first = s->words;
    nn_status st;

    if (t->n > SIZE_MAX / 64) return nn_fail(err, NN_LIMIT, "word n-grams: a text of %zu bytes", t->n);
    const size_t whole = nn_utf8_repair(NULL, t->s, t->n, NULL), room = GUARD_TEXT_ROOM(whole);
    if ((st = nn_grow(&s->scratch, &s->scratch_cap, 2 * room + whole, 1, err)) != NN_OK) return st;
    char *const out = s->scratch, *const work = out + room, *const repaired = work + room;
    (void)nn_utf8_repair(repaired, t->s, t->n, NULL);
    const size_t n = guard_text_normalise(out, room, repaired, whole, work);
    if ((st = add_words(s, out, n, err)) != NN_OK) return st;
    return add_grams(s, first, order, err);
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

nn_status guard_shingles_of(guard_shingles *s, const guard_row *row, size_t order, nn_err *err)
{
    nn_status st;

    s->n = s->total = s->words = 0;
    if (row->text.s && (st = add_text(s, &row->text, order, err)) != NN_OK) return st;
    if (row->response.s && (st = add_text(s, &row->response, order, err)) != NN_OK) return st;
    if (s->total > 0) qsort(s->gram, s->total, sizeof *s->gram, ascending);
    for (size_t i = 0; i < s->total; i++)
        if (i == 0 || s->gram[i] != s->gram[i - 1]) s->gram[s->n++] = s->gram[i];
    return NN_OK;
}

/* --- all rows -------------------------------------------------------------------------------------------- */

nn_status guard_shingle_sets_build(guard_shingle_sets *s, const guard_corpus *c, size_t order, nn_err *err)
{
    guard_shingles one = {0};
    nn_status st;

    memset(s, 0, sizeof *s);
    st = nn_alloc((void **)&s->start, c->n + 1, sizeof *s->start, err);
    for (size_t i = 0; i < c->n && st == NN_OK; i++) {
        if ((st = guard_shingles_of(&one, &c->row[i], order, err)) != NN_OK) break;
        if ((st = nn_grow((void **)&s->gram, &s->cap, s->start[i] + one.n, sizeof *s->gram, err)) != NN_OK) break;
        if (one.n > 0) memcpy(s->gram + s->start[i], one.gram, one.n * sizeof *s->gram);
        s->start[i + 1] = s->start[i] + one.n;
    }
    s->n = c->n;
    guard_shingles_free(&one);
    if (st != NN_OK) guard_shingle_sets_free(s);
    return st;
}

void guard_shingle_sets_free(guard_shingle_sets *s)
{
    nn_free(s->gram);
    nn_free(s->start);
    memset(s, 0, sizeof *s);
}

size_t guard_shingles_common(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    size_t common = 0;

    for (size_t i = 0, j = 0; i < n_a && j < n_b;) {
        common += a[i] == b[j];
        const bool step_a = a[i] <= b[j], step_b = b[j] <= a[i];
        i += step_a;
        j += step_b;
    }
    return common;
}

/* --- the exact index --------------------------------------------------------------------------------------- */

typedef struct guard_shingle_place {
    uint64_t gram;
    uint32_t row;
} place;

static int by_gram(const void *a, const void *b)
{
    const place *x = a, *y = b;

    if (x->gram != y->gram) return x->gram < y->gram ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

nn_status guard_shingle_index_build(guard_shingle_index *x, const guard_shingle_sets *s, nn_err *err)
{
    nn_status st;

    memset(x, 0, sizeof *x);
    if (s->n > UINT32_MAX) return nn_fail(err, NN_LIMIT, "word n-grams: %zu rows", s->n);
    x->rows = s->n;
    if ((st = nn_alloc((void **)&x->place, s->start[s->n], sizeof *x->place, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&x->count, s->n, sizeof *x->count, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&x->seen, s->n, sizeof *x->seen, err)) != NN_OK) goto done;
    for (size_t row = 0; row < s->n; row++)
        for (size_t i = s->start[row]; i < s->start[row + 1]; i++)
            x->place[x->n++] = (place){s->gram[i], (uint32_t)row};
    qsort(x->place, x->n, sizeof *x->place, by_gram);
done:
    if (st != NN_OK) guard_shingle_index_free(x);
    return st;
}

void guard_shingle_index_free(guard_shingle_index *x)
{
    nn_free(x->place);
    nn_free(x->count);
    nn_free(x->seen);
    memset(x, 0, sizeof *x);
}

/* The first place of a gram that is not smaller. */
static size_t place_of(const guard_shingle_index *x, uint64_t gram)
{
    size_t low = 0, high = x->n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (x->place[mid].gram < gram)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t guard_shingle_index_most(guard_shingle_index *x, const uint64_t *gram, size_t n)
{
    size_t n_seen = 0, most = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = place_of(x, gram[i]); j < x->n && x->place[j].gram == gram[i]; j++) {
            const uint32_t row = x->place[j].row;

            if (x->count[row]++ == 0) x->seen[n_seen++] = row;
        }
    for (size_t i = 0; i < n_seen; i++) {
        if (x->count[x->seen[i]] > most) most = x->count[x->seen[i]];
        x->count[x->seen[i]] = 0;
    }
    return most;
}

/* --- MinHash ------------------------------------------------------------------------------------------------ */

/* Two hashes a band: rows whose sets resemble each other by J agree in a band with probability J^2, in one of 32 with
 * 1 - (1 - J^2)^32. */
enum { BANDS = 32, IN_BAND = 2 };

typedef struct {
    uint64_t key;
    uint32_t row;
} bucket;

static int by_key(const void *a, const void *b)
{
    const bucket *x = a, *y = b;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

typedef struct {
    const guard_shingle_sets *s;
    bucket *band;    /* [BANDS, n] sorted by key, then row */
    uint32_t *first; /* [BANDS, n] where the run of row's key begins */
    uint32_t *asked; /* [threads, n] the last row that looked at this one, plus 1 */
    double *share;
} minhash;

static uint64_t smallest(const uint64_t *gram, size_t n, uint64_t hash)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < n; i++) {
        const uint64_t h = nn_mix64(gram[i] ^ nn_mix64(hash + 1));

        if (h < least) least = h;
    }
    return least;
}

static void sign_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const minhash *m = ctx;
    const guard_shingle_sets *s = m->s;

    (void)thread;
    for (size_t b = first; b < last; b++) {
        bucket *band = m->band + b * s->n;

        for (size_t i = 0; i < s->n; i++) {
            const size_t n = s->start[i + 1] - s->start[i];
            uint64_t value[IN_BAND];

            for (size_t k = 0; k < IN_BAND; k++) value[k] = smallest(s->gram + s->start[i], n, b * IN_BAND + k);
            band[i] = (bucket){nn_hash64(value, sizeof value, b), (uint32_t)i};
        }
        qsort(band, s->n, sizeof *band, by_key);
        for (size_t i = 0, run = 0; i < s->n; i++) {
            if (band[i].key != band[run].key) run = i;
            m->first[b * s->n + band[i].row] = (uint32_t)run;
        }
    }
}

static double resemblance(const guard_shingle_sets *s, size_t a, size_t b)
{
    const size_t n_a = s->start[a + 1] - s->start[a], n_b = s->start[b + 1] - s->start[b];
    const size_t common = guard_shingles_common(s->gram + s->start[a], n_a, s->gram + s->start[b], n_b);

    return (double)common / (double)(n_a + n_b - common);
}

/* Rows of each run before row i; a row is counted once, and nothing is nearer than an equal one. */
static double nearest_earlier(const minhash *m, size_t i, uint32_t *asked)
{
    const guard_shingle_sets *s = m->s;
    double best = 0.0;

    for (size_t b = 0; b < BANDS; b++) {
        const bucket *band = m->band + b * s->n;

        for (size_t j = m->first[b * s->n + i]; band[j].row < i; j++) {
            if (asked[band[j].row] == (uint32_t)i + 1) continue;
            asked[band[j].row] = (uint32_t)i + 1;
            const double share = resemblance(s, i, band[j].row);

            if (share > best) best = share;
            if (best >= 1.0) return best;
        }
    }
    return best;
}

static void find_rows(void *ctx, size_t first, size_t last, size_t thread)
{
    const minhash *m = ctx;

    for (size_t i = first; i < last; i++)
        m->share[i] = m->s->start[i + 1] > m->s->start[i] ? nearest_earlier(m, i, m->asked + thread * m->s->n) : 0.0;
}

nn_status guard_minhash_earlier(double *share, const guard_shingle_sets *s, const nn_par *par, nn_err *err)
{
    minhash m = {s, NULL, NULL, NULL, share};
    nn_status st;

    if (s->n >= UINT32_MAX / BANDS)
        return nn_fail(err, NN_LIMIT, "duplicates: %zu rows, want fewer than %lu", s->n,
                       (unsigned long)UINT32_MAX / BANDS);
    if ((st = nn_alloc((void **)&m.band, BANDS * s->n, sizeof *m.band, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&m.first, BANDS * s->n, sizeof *m.first, err)) != NN_OK) goto done;
    if ((st = nn_alloc((void **)&m.asked, par->threads * s->n, sizeof *m.asked, err)) != NN_OK) goto done;
    nn_par_run(par, BANDS, 1, sign_rows, &m);
    nn_par_run(par, s->n, 64, find_rows, &m);
done:
    nn_free(m.band);
    nn_free(m.first);
    nn_free(m.asked);
    return st;
}
