/* ngram.c - words and characters to slots.
 *
 * One walker reads code points and emits grams; the wide part closes a word where it ends, the
 * memory also where a token ends, so that position t never depends on token t+1. Hashes are sums
 * of code points times odd constants (a gram that slides costs one multiplication for each
 * length), finished by nn_mix64 under a key of the gram's kind.
 */
#include "guard/ngram.h"
#include "guard/ngram_impl.h"
#include "nn/arena.h"
#include "nn/mathf.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include <string.h>

#define CHARS_MAX 5u       /* longest character gram */
#define WIDE_CHARS_MIN 2u  /* shortest of the wide part */
#define SLOTS_CHARS_MIN 3u /* shortest of the memory */
#define APOSTROPHE 0x27u
#define RIGHT_QUOTE 0x2019u

typedef enum { KIND_WORD, KIND_PAIR, KIND_CHARS, KIND_TOKEN, KIND_TOKENS_2, KIND_TOKENS_3, KIND_FLAG,
              KIND_COUNT } gram_kind;

/* Odd multipliers of the characters before the last one, and of words: the first outputs of
 * splitmix64 from seed 1, made odd. */
static const uint64_t step_of[CHARS_MAX] = {1u, 0x910a2dec89025cc1u, 0xbeeb8da1658eec67u, 0xf893a2eefb32555fu,
                                            0x71c18690ee42c90bu};
#define WORD_STEP 0x71bb54d8d101b5b9u
#define PAIR_STEP 0xc34d0bff90150281u

typedef struct {
    uint32_t *out; /* room was made by the caller */
    size_t n;
    uint64_t rows; /* slots are 0..rows-1 */
    uint64_t key[KIND_COUNT];
    size_t chars_min;
    uint64_t recent[CHARS_MAX]; /* the word's last characters, newest first, '<' before the first */
    size_t n_recent;
    uint64_t word, before; /* hash of the open word and of the one before it */
    bool open, fresh, has_before; /* fresh: characters since the last close */
} walker;

static void walker_init(walker *k, uint32_t *out, uint64_t rows, uint64_t salt, size_t chars_min)
{
    memset(k, 0, sizeof *k);
    k->out = out;
    k->rows = rows;
    k->chars_min = chars_min;
    for (size_t i = 0; i < KIND_COUNT; i++) k->key[i] = nn_mix64(nn_mix64(salt + 1) + i + 1);
}

static void emit(walker *k, gram_kind kind, uint64_t hash)
{
    const uint64_t h = nn_mix64(hash ^ k->key[kind]);

    k->out[k->n++] = (uint32_t)((h >> 32) * k->rows >> 32); /* for rows = 2^bits: the top bits */
}

/* Character grams that end with c, which follows the newest of `recent`. */
static void emit_chars(walker *k, uint64_t c)
{
    uint64_t sum = c;

    for (size_t len = 2; len <= CHARS_MAX && len - 1 <= k->n_recent; len++) {
        sum += step_of[len - 1] * k->recent[len - 2];
        if (len >= k->chars_min) emit(k, KIND_CHARS, sum);
    }
}

static void emit_word(walker *k)
{
    emit(k, KIND_WORD, k->word);
    if (k->has_before) emit(k, KIND_PAIR, k->before * PAIR_STEP + k->word);
}

/* The grams of the word as it stands, with '>' at its end; the word stays open. */
static void close_word(walker *k)
{
    if (!k->fresh) return;
    emit_chars(k, '>');
    emit_word(k);
    k->fresh = false;
}

static void end_word(walker *k)
{
    close_word(k);
    if (!k->open) return;
    k->open = false;
    k->before = k->word;
    k->has_before = true;
}

static void word_char(walker *k, uint32_t cp)
{
    if (!k->open) {
        k->open = true;
        k->word = 0;
        k->recent[0] = '<';
        k->n_recent = 1;
    }
    emit_chars(k, cp);
    for (size_t i = CHARS_MAX - 1; i > 0; i--) k->recent[i] = k->recent[i - 1];
    k->recent[0] = cp;
    if (k->n_recent < CHARS_MAX) k->n_recent++;
    k->word = (k->word + cp) * WORD_STEP;
    k->fresh = true;
}

/* A character that is a word by itself: its own gram and the pair with the word before, no
 * character grams. */
static void lone_char(walker *k, uint32_t cp)
{
    k->word = (uint64_t)cp * WORD_STEP;
    emit_word(k);
    k->before = k->word;
    k->has_before = true;
}

static bool in_words(uint32_t cp)
{
    if (cp < 0x80) return (cp | 32u) - 'a' < 26u || cp - '0' < 10u || cp == APOSTROPHE;
    return nn_uni_is_letter(cp) || nn_uni_is_mark(cp) || nn_uni_is_number(cp);
}

/* Han and hiragana are written without blanks: a run of them is a sentence, not a word. */
static bool unspaced(uint32_t cp)
{
    return (cp >= 0x3041u && cp <= 0x309fu) || (cp >= 0x3400u && cp <= 0x9fffu) || (cp >= 0xf900u && cp <= 0xfaffu) ||
           (cp >= 0x20000u && cp <= 0x3ffffu);
}

static void walk(walker *k, uint32_t cp)
{
    if (cp == RIGHT_QUOTE) cp = APOSTROPHE;
    if (in_words(cp) && !unspaced(cp)) {
        word_char(k, cp);
    } else {
        end_word(k);
        if (!nn_uni_is_space(cp)) lone_char(k, cp);
    }
}

/* --- features of the wide part ------------------------------------------------------------ */

static nn_status features_room(guard_features *f, size_t need, nn_err *err)
{
    size_t slot_cap = f->cap, value_cap = f->cap;
    nn_status st;

    if ((st = nn_grow((void **)&f->slot, &slot_cap, need, sizeof *f->slot, err)) != NN_OK ||
        (st = nn_grow((void **)&f->value, &value_cap, need, sizeof *f->value, err)) != NN_OK)
        return st;
    f->cap = slot_cap;
    return NN_OK;
}

nn_status guard_features_scratch(guard_features *f, size_t bytes, nn_err *err)
{
    return nn_grow(&f->scratch, &f->scratch_cap, bytes, 1, err);
}

nn_status guard_grams_add(guard_features *f, const char *text, size_t len, unsigned bits, uint64_t salt,
                          nn_err *err)
{
    walker k;
    bool bad = false;
    nn_status st;

    if (bits < GUARD_BITS_MIN || bits > GUARD_BITS_MAX)
        return nn_fail(err, NN_USAGE, "n-gram features: bits %u, want %u to %u", bits, GUARD_BITS_MIN,
                       GUARD_BITS_MAX);
    /* A word of L characters has at most 4 L + 2 grams, and 6 when L = 1. */
    if (len > (SIZE_MAX / 16 - f->n) / 6) return nn_fail(err, NN_LIMIT, "n-gram features: a text of %zu bytes",
                                                         len);
    if ((st = features_room(f, f->n + 6 * len + 1, err)) != NN_OK) return st;
    walker_init(&k, f->slot + f->n, 1ull << bits, salt, WIDE_CHARS_MIN);
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;

        i += nn_utf8_decode((const unsigned char *)text + i, len - i, &cp, &bad);
        walk(&k, cp);
    }
    end_word(&k);
    f->n += k.n;
    return NN_OK;
}

nn_status guard_grams_flag(guard_features *f, uint64_t what, unsigned bits, nn_err *err)
{
    walker k;
    nn_status st;

    if ((st = features_room(f, f->n + 1, err)) != NN_OK) return st;
    walker_init(&k, f->slot + f->n, 1ull << bits, 0, WIDE_CHARS_MIN);
    emit(&k, KIND_FLAG, what);
    f->n++;
    return NN_OK;
}

/* Least significant digit first, one counting pass for each 12 bits or less. */
nn_status guard_grams_sort(guard_features *f, unsigned bits, nn_err *err)
{
    const unsigned half = (bits + 1) / 2;
    const size_t digits = (size_t)1 << half;
    nn_status st;

    if ((st = guard_features_scratch(f, (f->n + digits) * sizeof *f->slot, err)) != NN_OK) return st;
    uint32_t *const count = f->scratch;
    uint32_t *from = f->slot, *to = count + digits;
    for (unsigned shift = 0; shift <= half; shift += half) {
        uint32_t at = 0;

        memset(count, 0, digits * sizeof *count);
        for (size_t i = 0; i < f->n; i++) count[from[i] >> shift & (digits - 1)]++;
        for (size_t d = 0; d < digits; d++) {
            const uint32_t here = count[d];

            count[d] = at;
            at += here;
        }
        for (size_t i = 0; i < f->n; i++) to[count[from[i] >> shift & (digits - 1)]++] = from[i];
        uint32_t *const swap = from;
        from = to;
        to = swap;
    }
    return NN_OK; /* two passes: the result is in f->slot again */
}

size_t guard_grams_run(const guard_features *f, size_t i, size_t *next)
{
    size_t end = i + 1;

    while (end < f->n && f->slot[end] == f->slot[i]) end++;
    *next = end;
    return end - i < GUARD_TF_MAX ? end - i : GUARD_TF_MAX;
}

void guard_grams_count(guard_features *f)
{
    size_t unique = 0;

    for (size_t i = 0, next = 0; i < f->n; i = next) {
        const size_t tf = guard_grams_run(f, i, &next);

        f->slot[unique] = f->slot[i];
        f->value[unique++] = tf == 1 ? 1.0f : 1.0f + nn_logf((float)tf);
    }
    f->n = unique;
}

nn_status guard_features_of(guard_features *f, const char *text, size_t len, unsigned bits, nn_err *err)
{
    nn_status st;

    f->n = 0;
    if ((st = guard_grams_add(f, text, len, bits, 0, err)) != NN_OK) return st;
    if ((st = guard_grams_sort(f, bits, err)) != NN_OK) return st;
    guard_grams_count(f);
    return NN_OK;
}

void guard_features_free(guard_features *f)
{
    if (!f) return;
    nn_free(f->slot);
    nn_free(f->value);
    nn_free(f->scratch);
    memset(f, 0, sizeof *f);
}

/* --- slots of the memory ------------------------------------------------------------------ */

static void emit_tokens(walker *k, const int32_t *ids, size_t t)
{
    static const gram_kind kind[] = {KIND_TOKEN, KIND_TOKENS_2, KIND_TOKENS_3};
    uint64_t sum = 0;

    for (size_t i = 0; i < 3 && i <= t; i++) {
        sum += step_of[i] * ((uint64_t)ids[t - i] + 1);
        emit(k, kind[i], sum);
    }
}

/* Characters whose last byte lies before `end`; one that token t begins and a later token ends
 * waits for that token. Ill-formed bytes end a word and have no gram, so that a text cut inside a
 * character has the slots of the whole. */
static size_t walk_to(walker *k, const char *text, size_t len, size_t at, size_t end)
{
    while (at < end) {
        uint32_t cp = 0;
        bool bad = false;
        const size_t used = nn_utf8_decode((const unsigned char *)text + at, len - at, &cp, &bad);

        if (at + used > end) break;
        if (bad) end_word(k);
        else walk(k, cp);
        at += used;
    }
    return at;
}

nn_status guard_slots_add(guard_slots *s, const char *text, size_t len, const int32_t *ids,
                          const uint32_t *start, size_t n, size_t lead, size_t tail, size_t rows, nn_err *err)
{
    const size_t positions = lead + n + tail;
    size_t at = n ? start[0] : 0;
    walker k;
    nn_status st;

    NN_ASSERT(rows > 0 && rows <= UINT32_MAX);
    /* A token has 3 grams of tokens and at its end 5 of the word so far; a byte at most 8. */
    if (len > SIZE_MAX / 256 || n > SIZE_MAX / 256) return nn_fail(err, NN_LIMIT,
                                                                   "n-gram memory: a text of %zu bytes", len);
    if ((st = nn_grow((void **)&s->start, &s->pos_cap, s->n_pos + positions + 1, sizeof *s->start, err)) != NN_OK ||
        (st = nn_grow((void **)&s->slot, &s->slot_cap, s->n_slot + 8 * (n + len) + 1, sizeof *s->slot,
                      err)) != NN_OK)
        return st;
    walker_init(&k, s->slot + s->n_slot, rows, 0, SLOTS_CHARS_MIN);
    if (s->n_pos == 0) s->start[0] = 0;
    size_t *end_of = s->start + s->n_pos + 1;
    for (size_t i = 0; i < lead; i++) *end_of++ = s->n_slot;
    for (size_t t = 0; t < n; t++) {
        emit_tokens(&k, ids, t);
        at = walk_to(&k, text, len, at, t + 1 < n ? start[t + 1] : len);
        close_word(&k);
        *end_of++ = s->n_slot + k.n;
    }
    s->n_slot += k.n;
    for (size_t i = 0; i < tail; i++) *end_of++ = s->n_slot;
    s->n_pos += positions;
    return NN_OK;
}

void guard_slots_clear(guard_slots *s)
{
    s->n_slot = 0;
    s->n_pos = 0;
}

void guard_slots_free(guard_slots *s)
{
    if (!s) return;
    nn_free(s->slot);
    nn_free(s->start);
    memset(s, 0, sizeof *s);
}
