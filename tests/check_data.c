/* check_data.c - make check-data: the seeds' schema and the artefacts a model could learn instead of the task.
 *
 * Fails (exit 1, one line a finding) when a row breaks the schema of data/README.md; when two seeds outside a twin pair share half of their word
 * trigrams; when the label can be guessed better than chance from the length or from the first word (the 95% bootstrap interval of ROC AUC
 * does not hold 0.5); when a sentence of README, docs/ or tests/ (8 words in a row) stands in a text.
 * usage: check_data SEEDS DOCUMENT...
 */
#include "guard/dataset.h"
#include "guard/metrics.h"
#include "guard/wide.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDS 5
#define SHINGLE 8 /* words of a documentation sentence */

static size_t findings;

/* --- words as hashes: letters, digits and bytes above ASCII, lower case ------------------------------------- */
typedef struct {
    uint64_t *word;
    size_t n, cap;
} words;

static void read_words(words *w, const char *s, size_t len)
{
    nn_err err = {0};
    w->n = 0;
    for (size_t i = 0; i < len;) {
        char lower[256];
        size_t k = 0;
        while (i < len && !isalnum((unsigned char)s[i]) && (unsigned char)s[i] < 128) i++;
        for (; i < len && (isalnum((unsigned char)s[i]) || (unsigned char)s[i] >= 128); i++)
            if (k < sizeof lower) lower[k++] = (char)tolower((unsigned char)s[i]);
        if (k == 0) continue;
        if (nn_grow((void **)&w->word, &w->cap, w->n + 1, sizeof *w->word, &err) != NN_OK) exit(5);
        w->word[w->n++] = nn_hash64(lower, k, 0);
    }
}

/* Hash of n words from at; order matters. */
static uint64_t gram(const words *w, size_t at, size_t n)
{
    return nn_hash64(w->word + at, n * sizeof *w->word, n);
}

typedef struct {
    uint64_t gram;
    size_t row;
} posting;

static int by_gram(const void *a, const void *b)
{
    const posting *x = a, *y = b;
    if (x->gram != y->gram) return x->gram < y->gram ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* --- schema ------------------------------------------------------------------------------------------------------ */
static const char *extra_string(const guard_row *r, const char *key, char out[64])
{
    json_t *o = r->extra.s != NULL ? json_loadb(r->extra.s, r->extra.n, 0, NULL) : NULL;
    const char *v = json_string_value(json_object_get(o, key));
    snprintf(out, 64, "%s", v != NULL ? v : "");
    json_decref(o);
    return out;
}

static size_t find_id(const guard_corpus *c, guard_text id)
{
    for (size_t i = 0; i < c->n; i++)
        if (id.n == GUARD_ID_LEN - 1 && memcmp(c->row[i].id, id.s, id.n) == 0) return i;
    return c->n;
}

static void check_row(const guard_corpus *c, size_t i)
{
    const guard_row *r = &c->row[i];
    char kind[64], id[GUARD_ID_LEN];
    const char *bad = NULL;
    extra_string(r, "kind", kind);
    guard_row_id(id, "seed", "", r->text.s, 0);
    const bool unsafe = strcmp(kind, "unsafe") == 0, twin = strcmp(kind, "twin") == 0, ordinary = strcmp(kind, "ordinary") == 0;
    if (strcmp(id, r->id) != 0) bad = "id is not SHA-256 of (\"seed\", text)";
    else if (!unsafe && !twin && !ordinary) bad = "kind is none of unsafe, twin, ordinary";
    else if (unsafe != (r->label == GUARD_UNSAFE)) bad = "label does not fit its kind";
    else if (r->concept.n == 0 || r->lang.n == 0 || r->source.n == 0) bad = "concept, lang or source is missing";
    else if (ordinary == (r->category.n > 0)) bad = "want a category on unsafe rows and twins, none on ordinary rows";
    else if (twin) {
        const size_t p = find_id(c, r->parents);
        if (p == c->n || c->row[p].label != GUARD_UNSAFE) bad = "a twin names no unsafe parent";
        else if (c->row[p].concept.n != r->concept.n || memcmp(c->row[p].concept.s, r->concept.s, r->concept.n) != 0)
            bad = "a twin and its parent differ in concept";
    }
    if (bad == NULL) return;
    printf("%s: %s\n", r->id, bad);
    findings++;
}

/* --- near-duplicates ------------------------------------------------------------------------------------------------ */
static bool are_pair(const guard_corpus *c, size_t a, size_t b)
{
    const guard_text pa = c->row[a].parents, pb = c->row[b].parents;
    return (pa.n > 0 && strncmp(pa.s, c->row[b].id, pa.n) == 0) || (pb.n > 0 && strncmp(pb.s, c->row[a].id, pb.n) == 0);
}

static size_t unique_grams(posting *p, size_t n)
{
    size_t kept = 0;
    qsort(p, n, sizeof *p, by_gram);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || p[kept - 1].gram != p[i].gram || p[kept - 1].row != p[i].row) p[kept++] = p[i];
    return kept;
}

static void check_duplicates(const guard_corpus *c)
{
    words w = {0};
    posting *p = NULL;
    size_t n = 0, cap = 0;
    nn_err err = {0};
    size_t *size = calloc(c->n + 1, sizeof *size);
    unsigned short *shared = calloc(c->n * c->n + 1, sizeof *shared);
    if (size == NULL || shared == NULL) exit(5);
    for (size_t i = 0; i < c->n; i++) {
        read_words(&w, c->row[i].text.s, c->row[i].text.n);
        const size_t grams = w.n >= 3 ? w.n - 2 : 1, first = n;
        if (nn_grow((void **)&p, &cap, n + grams, sizeof *p, &err) != NN_OK) exit(5);
        for (size_t g = 0; g < grams; g++) p[n++] = (posting){gram(&w, g, w.n >= 3 ? 3 : w.n), i};
        n = first + unique_grams(p + first, n - first);
        size[i] = n - first;
    }
    qsort(p, n, sizeof *p, by_gram);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n && p[j].gram == p[i].gram; j++) shared[p[i].row * c->n + p[j].row]++;
    for (size_t a = 0; a < c->n; a++)
        for (size_t b = a + 1; b < c->n; b++) {
            const size_t least = size[a] < size[b] ? size[a] : size[b];
            const size_t both = (size_t)shared[a * c->n + b] + shared[b * c->n + a];
            if (2 * both < least || both == 0 || are_pair(c, a, b)) continue;
            printf("%s and %s share %zu of %zu word trigrams\n", c->row[a].id, c->row[b].id, both, least);
            findings++;
        }
    nn_free(p);
    nn_free(w.word);
    free(size);
    free(shared);
}

/* --- baselines -------------------------------------------------------------------------------------------------------- */
static void check_baseline(const char *name, const int *label, const double *score, size_t n)
{
    guard_metrics m;
    guard_intervals ci;
    nn_err err = {0};
    if (guard_metrics_compute(&m, label, score, n, 0.5, &err) != NN_OK || guard_metrics_bootstrap(&ci, label, score, n, 0.5, 1000, 1, &err) != NN_OK) {
        printf("%s: %s\n", name, err.text);
        findings++;
        return;
    }
    const bool fair = ci.roc_auc.low <= 0.5 && ci.roc_auc.high >= 0.5;
    printf("baseline %-28s ROC AUC %.3f [%.3f %.3f]%s\n", name, m.roc_auc, ci.roc_auc.low, ci.roc_auc.high, fair ? "" : "  betrays the label");
    findings += !fair;
}

/* Score of a row: share of unsafe rows with its first word in the other folds (by concept), smoothed by one of each. */
static void first_word_scores(const guard_corpus *c, double *score)
{
    words w = {0};
    uint64_t *first = calloc(c->n + 1, sizeof *first);
    if (first == NULL) exit(5);
    for (size_t i = 0; i < c->n; i++) {
        read_words(&w, c->row[i].text.s, c->row[i].text.n);
        first[i] = w.n > 0 ? w.word[0] : 0;
    }
    for (size_t i = 0; i < c->n; i++) {
        double unsafe = 1.0, all = 3.0; /* a third of the seeds is unsafe */
        for (size_t k = 0; k < c->n; k++) {
            if (first[k] != first[i] || guard_fold(&c->row[k], FOLDS, 1) == guard_fold(&c->row[i], FOLDS, 1)) continue;
            unsafe += c->row[k].label == GUARD_UNSAFE;
            all += 1.0;
        }
        score[i] = unsafe / all;
    }
    nn_free(w.word);
    free(first);
}

static void check_baselines(const guard_corpus *c)
{
    int *label = calloc(c->n + 1, sizeof *label);
    double *score = calloc(c->n + 1, sizeof *score);
    char kind[64];
    size_t n = 0;
    if (label == NULL || score == NULL) exit(5);
    for (size_t i = 0; i < c->n; i++) {
        label[i] = c->row[i].label;
        score[i] = (double)c->row[i].text.n;
    }
    check_baseline("length, against all safe", label, score, c->n);
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(extra_string(&c->row[i], "kind", kind), "ordinary") == 0) continue;
        label[n] = c->row[i].label;
        score[n++] = (double)c->row[i].text.n;
    }
    check_baseline("length, against twins", label, score, n);
    for (size_t i = 0; i < c->n; i++) label[i] = c->row[i].label;
    first_word_scores(c, score);
    check_baseline("first word, against all safe", label, score, c->n);
    free(label);
    free(score);
}

/* --- documentation ------------------------------------------------------------------------------------------------------ */
static void check_document(const guard_corpus *c, const char *path, posting *grams, size_t n)
{
    nn_file f = {0};
    nn_err err = {0};
    words w = {0};
    if (nn_file_open(&f, path, &err) != NN_OK) {
        printf("%s\n", err.text);
        findings++;
        return;
    }
    read_words(&w, (const char *)f.bytes, f.len);
    for (size_t i = 0; i + SHINGLE <= w.n; i++) {
        const posting want = {gram(&w, i, SHINGLE), 0};
        size_t lo = 0, hi = n;
        while (lo < hi) {
            const size_t mid = lo + (hi - lo) / 2;
            if (grams[mid].gram < want.gram) lo = mid + 1;
            else hi = mid;
        }
        if (lo == n || grams[lo].gram != want.gram) continue;
        printf("%s: a sentence of it stands in seed %s\n", path, c->row[grams[lo].row].id);
        findings++;
        break;
    }
    nn_file_close(&f);
    nn_free(w.word);
}

static void check_documents(const guard_corpus *c, char *const *path, size_t n_path)
{
    words w = {0};
    posting *p = NULL;
    size_t n = 0, cap = 0;
    nn_err err = {0};
    for (size_t i = 0; i < c->n; i++) {
        read_words(&w, c->row[i].text.s, c->row[i].text.n);
        for (size_t g = 0; g + SHINGLE <= w.n; g++) {
            if (nn_grow((void **)&p, &cap, n + 1, sizeof *p, &err) != NN_OK) exit(5);
            p[n++] = (posting){gram(&w, g, SHINGLE), i};
        }
    }
    qsort(p, n, sizeof *p, by_gram);
    for (size_t i = 0; i < n_path; i++) check_document(c, path[i], p, n);
    nn_free(p);
    nn_free(w.word);
}

int main(int argc, char **argv)
{
    guard_corpus *c = NULL;
    guard_import_report report;
    const guard_import o = {0};
    nn_err err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: check_data SEEDS DOCUMENT...\n");
        return 2;
    }
    if (guard_dataset_read(&c, &report, argv[1], &o, &err) != NN_OK) {
        fprintf(stderr, "%s\n", err.text);
        return (int)err.status;
    }
    for (size_t i = 0; i < c->n; i++) check_row(c, i);
    check_duplicates(c);
    check_baselines(c);
    check_documents(c, argv + 2, (size_t)argc - 2);
    printf("%s: %zu rows, %zu unsafe, %zu findings\n", argv[1], c->n, report.unsafe, findings);
    guard_corpus_free(c);
    return findings > 0 ? 1 : 0;
}
