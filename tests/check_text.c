#include "tests/check_text.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void check_finding(check_report *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(r->out, fmt, args);
    va_end(args);
    fputc('\n', r->out);
    r->findings++;
}

void check_need(nn_status st, const nn_err *err)
{
    if (st == NN_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit((int)st);
}

void *check_alloc(size_t count, size_t bytes)
{
    nn_err err = {0};
    void *out = NULL;

    check_need(nn_alloc(&out, count + 1, bytes, &err), &err);
    return out;
}

/* --- words ------------------------------------------------------------------------------------------------------- */

/* Kana and Han: scripts without blanks, whose characters stand for words. */
static bool is_whole_word(uint32_t cp)
{
    return (cp >= 0x3040 && cp <= 0x30FF) || (cp >= 0x3400 && cp <= 0x9FFF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x20000 && cp <= 0x323AF);
}

static void add_word(check_words *w, const char *s, size_t len)
{
    nn_err err = {0};

    if (len == 0) return;
    check_need(nn_grow((void **)&w->word, &w->cap, w->n + 1, sizeof *w->word, &err), &err);
    w->word[w->n++] = nn_hash64(s, len, 0);
}

void check_words_read(check_words *w, const char *s, size_t len)
{
    const size_t room = NN_UNI_FOLD_ROOM(NN_UTF8_REPAIR_ROOM(len)) + 1;
    nn_err err = {0};
    size_t begin = 0, used = 0;

    check_need(nn_grow((void **)&w->fold, &w->fold_cap, room, 1, &err), &err);
    const size_t n = nn_uni_fold(w->fold, room, s, len);
    w->n = 0;
    for (size_t at = 0; at < n; at += used) {
        uint32_t cp = 0;
        bool bad = false;

        used = nn_utf8_decode((const unsigned char *)w->fold + at, n - at, &cp, &bad);
        const bool letter = nn_uni_is_letter(cp) || nn_uni_is_mark(cp) || nn_uni_is_number(cp);
        const bool whole = letter && is_whole_word(cp);
        if (letter && !whole) continue;
        add_word(w, w->fold + begin, at - begin);
        if (whole) add_word(w, w->fold + at, used);
        begin = at + used;
    }
    add_word(w, w->fold + begin, n - begin);
}

void check_words_free(check_words *w)
{
    nn_free(w->word);
    nn_free(w->fold);
    *w = (check_words){0};
}

/* --- grams ------------------------------------------------------------------------------------------------------- */

/* Order matters. */
uint64_t check_gram(const uint64_t *word, size_t n)
{
    return nn_hash64(word, n * sizeof *word, n);
}

void check_index_add(check_index *x, const check_words *w, size_t order, size_t least, size_t row)
{
    const size_t of = w->n < order ? w->n : order;
    nn_err err = {0};

    if (w->n == 0 || w->n < least) return;
    check_need(nn_grow((void **)&x->place, &x->cap, x->n + w->n - of + 1, sizeof *x->place, &err), &err);
    for (size_t i = 0; i + of <= w->n; i++)
        x->place[x->n++] = (check_place){check_gram(w->word + i, of), (uint32_t)row};
}

static int by_gram(const void *a, const void *b)
{
    const check_place *x = a, *y = b;

    if (x->gram != y->gram) return x->gram < y->gram ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

void check_index_sort(check_index *x, size_t rows)
{
    size_t kept = 0;

    x->rows = rows;
    x->size = check_alloc(rows, sizeof *x->size);
    if (x->n > 0) qsort(x->place, x->n, sizeof *x->place, by_gram);
    for (size_t i = 0; i < x->n; i++) {
        if (kept > 0 && by_gram(&x->place[kept - 1], &x->place[i]) == 0) continue;
        x->size[x->place[i].row]++;
        x->place[kept++] = x->place[i];
    }
    x->n = kept;
}

size_t check_index_find(const check_index *x, uint64_t gram)
{
    size_t low = 0, high = x->n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (x->place[mid].gram < gram) low = mid + 1;
        else high = mid;
    }
    return low;
}

void check_index_free(check_index *x)
{
    nn_free(x->place);
    nn_free(x->size);
    *x = (check_index){0};
}

/* --- near-duplicates --------------------------------------------------------------------------------------------- */

/* Places of each row: row i has at[start[i]..start[i+1]). */
static size_t *places_by_row(const check_index *x, size_t **start)
{
    size_t *at = check_alloc(x->n, sizeof *at), *from = check_alloc(x->rows + 1, sizeof *from);

    for (size_t i = 0; i < x->rows; i++) from[i + 1] = from[i] + x->size[i];
    size_t *next = check_alloc(x->rows, sizeof *next);
    memcpy(next, from, x->rows * sizeof *next);
    for (size_t i = 0; i < x->n; i++) at[next[x->place[i].row]++] = i;
    nn_free(next);
    *start = from;
    return at;
}

/* Half of the smaller text's grams. Of a short one also half of the larger's: of the first 13,395 rows 107 pairs shared
 * one gram of two, and it was "all of them" or "what's the". */
static bool are_alike(size_t both, size_t n_a, size_t n_b)
{
    enum { SHORT = 5 };
    const size_t least = n_a < n_b ? n_a : n_b, most = n_a < n_b ? n_b : n_a;

    return 2 * both >= least && (least >= SHORT || 2 * both >= most);
}

void check_duplicates(check_report *r, const check_index *x, const char *const *name, check_fine fine, const void *ctx)
{
    size_t *start = NULL, *at = places_by_row(x, &start);
    uint32_t *shared = check_alloc(x->rows, sizeof *shared), *seen = check_alloc(x->rows, sizeof *seen);

    for (size_t a = 0; a < x->rows; a++) {
        size_t n_seen = 0;

        for (size_t k = start[a]; k < start[a + 1]; k++)
            for (size_t j = at[k] + 1; j < x->n && x->place[j].gram == x->place[at[k]].gram; j++)
                if (shared[x->place[j].row]++ == 0) seen[n_seen++] = x->place[j].row;
        for (size_t k = 0; k < n_seen; k++) {
            const size_t b = seen[k], both = shared[b], least = x->size[a] < x->size[b] ? x->size[a] : x->size[b];

            shared[b] = 0;
            if (are_alike(both, x->size[a], x->size[b]) && !fine(ctx, a, b))
                check_finding(r, "%s and %s share %zu of %zu word trigrams", name[a], name[b], both, least);
        }
    }
    nn_free(start);
    nn_free(at);
    nn_free(shared);
    nn_free(seen);
}

/* --- documentation ----------------------------------------------------------------------------------------------- */

void check_document(check_report *r, const check_index *x, size_t order, const char *const *name, const char *path)
{
    nn_file f = {0};
    nn_err err = {0};
    check_words w = {0};

    if (nn_file_open(&f, path, &err) != NN_OK) {
        check_finding(r, "%s", err.text);
        return;
    }
    check_words_read(&w, (const char *)f.bytes, f.len);
    for (size_t i = 0; i + order <= w.n; i++) {
        const uint64_t gram = check_gram(w.word + i, order);
        const size_t at = check_index_find(x, gram);

        if (at == x->n || x->place[at].gram != gram) continue;
        check_finding(r, "%s: a sentence of it stands in row %s", path, name[x->place[at].row]);
        break;
    }
    nn_file_close(&f);
    check_words_free(&w);
}
