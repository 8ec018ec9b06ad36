/* check_overlap.c - the written corpus: what tells twins by their surface, what stands twice, what stands in a test. */
#include "guard/minhash.h"
#include "guard/wide.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include "tests/check_data.h"
#include <stdlib.h>
#include <string.h>

/* The words of what the row is judged by: a prompt may stand before several responses, and several prompts before a
 * response of a word or three ("No."), which has none here. */
static guard_text read_body(check_words *w, const guard_row *r)
{
    enum { TELLING = 4 };
    const guard_text body = r->response.n > 0 ? r->response : r->text;

    check_words_read(w, body.s, body.n);
    if (r->response.n > 0 && w->n < TELLING) w->n = 0;
    return body;
}

/* --- artefacts of unsafe rows against twins ---------------------------------------------------------------------- */

/* Marks: neither letter nor digit nor blank. *last: the text's last character if it is one, else 0. */
static size_t marks_of(const guard_text *t, uint32_t *last)
{
    size_t n = 0;

    *last = 0;
    for (size_t at = 0; at < t->n;) {
        uint32_t cp = 0;
        bool bad = false;

        at += nn_utf8_decode((const unsigned char *)t->s + at, t->n - at, &cp, &bad);
        if (nn_uni_is_space(cp)) continue;
        const bool mark = !nn_uni_is_letter(cp) && !nn_uni_is_mark(cp) && !nn_uni_is_number(cp);
        n += mark;
        *last = mark ? cp : 0;
    }
    return n;
}

enum { BYTES, WORDS, MARKS, MEASURED };          /* scores as they are */
enum { FIRST, LAST, WRAPPER, SOURCE, LEARNED };  /* keys whose score comes from the other folds */
typedef struct {
    int *label;
    size_t *fold, n;
    double *measured[MEASURED];
    uint64_t *key[LEARNED];
} surface;

static void take_row(surface *s, const guard_row *r, const check_facts *f, check_words *w)
{
    const size_t i = s->n++;
    uint32_t last = 0;

    check_words_read(w, r->text.s, r->text.n);
    s->label[i] = r->label;
    s->fold[i] = guard_fold(r, CHECK_FOLDS, 1);
    s->measured[BYTES][i] = (double)r->text.n;
    s->measured[WORDS][i] = (double)w->n;
    s->measured[MARKS][i] = (double)marks_of(&r->text, &last);
    s->key[FIRST][i] = w->n > 0 ? w->word[0] : 0;
    s->key[LAST][i] = last;
    s->key[WRAPPER][i] = f->structure;
    s->key[SOURCE][i] = f->file;
}

void check_artefacts(check_report *r, const check_rows *x)
{
    static const char *const measured[MEASURED] = {"length in bytes, against twins", "length in words, against twins",
                                                   "punctuation marks, against twins"};
    static const char *const learned[LEARNED] = {"first word, against twins", "last mark, against twins",
                                                 "structure, against twins", "file, against twins"};
    const size_t n = x->c->n;
    surface s = {check_alloc(n, sizeof *s.label), check_alloc(n, sizeof *s.fold), 0, {0}, {0}};
    double *score = check_alloc(n, sizeof *score);
    check_words w = {0};

    for (size_t k = 0; k < MEASURED; k++) s.measured[k] = check_alloc(n, sizeof(double));
    for (size_t k = 0; k < LEARNED; k++) s.key[k] = check_alloc(n, sizeof(uint64_t));
    for (size_t i = 0; i < n; i++) /* a controversial row tells nothing, nor does its twin without it */
        if (x->fact[i].kind == CHECK_UNSAFE ? x->c->row[i].label == GUARD_UNSAFE
                                            : x->fact[i].kind == CHECK_TWIN && x->fact[i].parent < n &&
                                                  x->c->row[x->fact[i].parent].label == GUARD_UNSAFE)
            take_row(&s, &x->c->row[i], &x->fact[i], &w);
    for (size_t k = 0; k < MEASURED; k++) check_baseline(r, measured[k], s.label, s.measured[k], s.n);
    for (size_t k = 0; k < LEARNED; k++) {
        check_learn(score, s.key[k], s.fold, s.label, s.n, 1.0, 2.0);
        check_baseline(r, learned[k], s.label, score, s.n);
    }
    for (size_t k = 0; k < MEASURED; k++) nn_free(s.measured[k]);
    for (size_t k = 0; k < LEARNED; k++) nn_free(s.key[k]);
    nn_free(s.label);
    nn_free(s.fold);
    nn_free(score);
    check_words_free(&w);
}

/* --- near-duplicates --------------------------------------------------------------------------------------------- */

/* A pair may be alike, and pairs of seeds are the seeds' own matter. */
static bool may_be_alike(const void *ctx, size_t a, size_t b)
{
    const check_rows *x = ctx;
    const size_t n = x->c->n;

    if (a >= n || b >= n) return a >= n && b >= n;
    return x->fact[a].parent == b || x->fact[b].parent == a;
}

/* A second opinion, on the guard's own words (guard/minhash.h), without rows of one kind so that no pair is left. */
static void check_minhash(check_report *r, const check_rows *x, const guard_corpus *seeds, check_kind without,
                          bool *told)
{
    check_words w = {0};
    guard_shingle_sets sets = {0};
    guard_corpus *c = NULL;
    nn_err err = {0};
    size_t *from = check_alloc(x->c->n + seeds->n, sizeof *from);

    check_need(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < seeds->n; i++)
        check_need(guard_corpus_add(c, &(guard_row){.text = seeds->row[i].text}, &err), &err);
    for (size_t i = 0; i < x->c->n; i++) {
        const guard_text body = read_body(&w, &x->c->row[i]);

        if (x->fact[i].kind == without || w.n == 0) continue;
        from[c->n] = i;
        check_need(guard_corpus_add(c, &(guard_row){.text = body}, &err), &err);
    }
    double *share = check_alloc(c->n, sizeof *share);
    const nn_par one = nn_par_one();
    check_need(guard_shingle_sets_build(&sets, c, 3, &err), &err);
    check_need(guard_minhash_earlier(share, &sets, &one, &err), &err);
    for (size_t i = seeds->n; i < c->n; i++) {
        if (!(share[i] >= 0.5) || sets.start[i + 1] == sets.start[i] || told[from[i]]) continue;
        check_finding(r, "%s resembles an earlier row by %.2f of their word trigrams", x->name[from[i]], share[i]);
        told[from[i]] = true;
    }
    check_words_free(&w);
    guard_shingle_sets_free(&sets);
    guard_corpus_free(c);
    nn_free(from);
    nn_free(share);
}

void check_near(check_report *r, const check_rows *x, const guard_corpus *seeds)
{
    const size_t n = x->c->n, before = r->findings;
    const char **name = check_alloc(n + seeds->n, sizeof *name);
    check_index three = {0};
    check_words w = {0};

    for (size_t i = 0; i < n + seeds->n; i++) {
        const guard_row *row = i < n ? &x->c->row[i] : &seeds->row[i - n];

        name[i] = row->id;
        (void)read_body(&w, row);
        check_index_add(&three, &w, 3, 1, i);
    }
    check_index_sort(&three, n + seeds->n);
    check_duplicates(r, &three, name, may_be_alike, x);
    const size_t exact = r->findings - before;
    bool *told = check_alloc(n, sizeof *told);
    check_minhash(r, x, seeds, CHECK_TWIN, told);
    check_minhash(r, x, seeds, CHECK_UNSAFE, told);
    nn_free(told);
    fprintf(r->out, "near-duplicates: %zu pairs by shared trigrams, %zu rows by MinHash\n", exact,
            r->findings - before - exact);
    check_index_free(&three);
    check_words_free(&w);
    nn_free(name);
}

/* --- sentences --------------------------------------------------------------------------------------------------- */

/* A character of these scripts is a word here, and twice as many say as much. */
static size_t shingle_of(const guard_row *r)
{
    const bool dense = r->lang.s != NULL && (strcmp(r->lang.s, "zh") == 0 || strcmp(r->lang.s, "ja") == 0);

    return dense ? 2 * CHECK_SHINGLE : CHECK_SHINGLE;
}

/* least: texts of fewer words than a shingle, but at least so many, count whole. */
static void add_sentences(check_index *s, const check_rows *x, size_t least)
{
    check_words w = {0};

    for (size_t i = 0; i < x->c->n; i++) {
        const guard_row *row = &x->c->row[i];

        check_words_read(&w, row->text.s, row->text.n);
        check_index_add(s, &w, shingle_of(row), least, i);
        check_words_read(&w, row->response.s, row->response.n);
        check_index_add(s, &w, shingle_of(row), least, i);
    }
    check_index_sort(s, x->c->n);
    check_words_free(&w);
}

void check_sentences(check_report *r, const check_rows *x, char *const *document, size_t n_document)
{
    check_index s = {0};

    add_sentences(&s, x, CHECK_SHINGLE);
    for (size_t i = 0; i < n_document; i++) check_document(r, &s, CHECK_SHINGLE, x->name, document[i]);
    check_index_free(&s);
}

/* Marks the rows that share a shingle with a text; a text of fewer words is one of its own. */
static void mark_shared(bool *hit, const check_index *s, const check_words *w)
{
    for (size_t order = CHECK_SHINGLE; order <= 2 * CHECK_SHINGLE; order += CHECK_SHINGLE) {
        const size_t of = w->n < order ? w->n : order;

        for (size_t i = 0; of > 0 && i + of <= w->n; i++) {
            const uint64_t gram = check_gram(w->word + i, of);

            for (size_t at = check_index_find(s, gram); at < s->n && s->place[at].gram == gram; at++)
                hit[s->place[at].row] = true;
        }
    }
}

/* Prints counts and our rows' ids, never a word of the set. */
static void check_set(check_report *r, const check_rows *x, const check_index *s, const char *folder, const char *file)
{
    char path[1024];
    const guard_import o = {0};
    guard_import_report report;
    guard_corpus *c = NULL;
    nn_err err = {0};
    check_words w = {0};
    bool *hit = check_alloc(x->c->n, sizeof *hit);
    size_t n = 0;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (guard_dataset_read(&c, &report, path, &o, &err) != NN_OK) {
        check_finding(r, "%s: cannot be read (status %d)", file, (int)err.status);
        goto done;
    }
    for (size_t i = 0; i < c->n; i++) {
        const guard_text *part[] = {&c->row[i].text, &c->row[i].response, &c->row[i].context};

        for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
            check_words_read(&w, part[k]->s, part[k]->n);
            mark_shared(hit, s, &w);
        }
    }
    for (size_t i = 0; i < x->c->n; i++) {
        if (hit[i]) check_finding(r, "%s: shares a sentence with %s", x->name[i], file);
        n += hit[i];
    }
    fprintf(r->out, "%-36s %6zu texts, %zu of our rows share a sentence\n", file, c->n, n);
done:
    guard_corpus_free(c);
    check_words_free(&w);
    nn_free(hit);
}

void check_dev(check_report *r, const check_rows *x, const char *dev)
{
    enum { WHOLE = 4 }; /* a shorter text alike is chance */
    check_index s = {0};
    char **file = NULL;
    size_t n = 0;
    nn_err err = {0};

    if (dev == NULL || !nn_path_exists(dev)) {
        fprintf(r->out, "skip: no folder of evaluation sets, so no look for sentences in both\n");
        r->skips++;
        return;
    }
    add_sentences(&s, x, WHOLE);
    check_need(nn_dir_list(&file, &n, dev, &err), &err);
    for (size_t i = 0; i < n; i++) {
        if (strstr(file[i], ".jsonl") != NULL) check_set(r, x, &s, dev, file[i]);
        nn_free(file[i]);
    }
    nn_free(file);
    check_index_free(&s);
}
