/* check_seeds.c - the seeds' schema and the artefacts a model could learn instead of the task. */
#include "guard/metrics.h"
#include "guard/wide.h"
#include "nn/arena.h"
#include "tests/check_data.h"
#include <jansson.h>
#include <string.h>

/* --- schema ------------------------------------------------------------------------------------------------------ */

static const char *kind_of(const guard_row *r, char out[64])
{
    json_t *o = r->extra.s != NULL ? json_loadb(r->extra.s, r->extra.n, 0, NULL) : NULL;
    const char *v = json_string_value(json_object_get(o, "kind"));

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

static void check_row(check_report *rep, const guard_corpus *c, size_t i)
{
    const guard_row *r = &c->row[i];
    char kind[64], id[GUARD_ID_LEN];
    const char *bad = NULL;

    kind_of(r, kind);
    guard_row_id(id, "seed", "", r->text.s, 0);
    const bool unsafe = strcmp(kind, "unsafe") == 0, twin = strcmp(kind, "twin") == 0;
    const bool ordinary = strcmp(kind, "ordinary") == 0;
    if (strcmp(id, r->id) != 0) bad = "id is not SHA-256 of (\"seed\", text)";
    else if (!unsafe && !twin && !ordinary) bad = "kind is none of unsafe, twin, ordinary";
    else if (unsafe != (r->label == GUARD_UNSAFE)) bad = "label does not fit its kind";
    else if (r->concept.n == 0 || r->lang.n == 0 || r->source.n == 0) bad = "concept, lang or source is missing";
    else if (ordinary == (r->category.n > 0)) bad = "want a category on unsafe rows and twins, none on ordinary rows";
    else if (twin) {
        const size_t p = find_id(c, r->parents);

        if (p == c->n || c->row[p].label != GUARD_UNSAFE) bad = "a twin names no unsafe parent";
        else if (c->row[p].concept.n != r->concept.n ||
                 memcmp(c->row[p].concept.s, r->concept.s, r->concept.n) != 0)
            bad = "a twin and its parent differ in concept";
    }
    if (bad != NULL) check_finding(rep, "%s: %s", r->id, bad);
}

/* --- near-duplicates, sentences ---------------------------------------------------------------------------------- */

static bool are_pair(const void *ctx, size_t a, size_t b)
{
    const guard_corpus *c = ctx;
    const guard_text pa = c->row[a].parents, pb = c->row[b].parents;

    return (pa.n > 0 && strncmp(pa.s, c->row[b].id, pa.n) == 0) || (pb.n > 0 && strncmp(pb.s, c->row[a].id, pb.n) == 0);
}

static void check_copies(check_report *rep, const guard_corpus *c, char *const *document, size_t n_document)
{
    check_index three = {0}, sentence = {0};
    check_words w = {0};
    const char **name = check_alloc(c->n, sizeof *name);

    for (size_t i = 0; i < c->n; i++) {
        name[i] = c->row[i].id;
        check_words_read(&w, c->row[i].text.s, c->row[i].text.n);
        check_index_add(&three, &w, 3, 1, i);
        check_index_add(&sentence, &w, CHECK_SHINGLE, CHECK_SHINGLE, i);
    }
    check_index_sort(&three, c->n);
    check_index_sort(&sentence, c->n);
    check_duplicates(rep, &three, name, are_pair, c);
    for (size_t i = 0; i < n_document; i++) check_document(rep, &sentence, CHECK_SHINGLE, name, document[i]);
    check_index_free(&three);
    check_index_free(&sentence);
    check_words_free(&w);
    nn_free(name);
}

/* --- baselines --------------------------------------------------------------------------------------------------- */

static void check_first_word(check_report *rep, const guard_corpus *c, const int *label, double *score)
{
    uint64_t *first = check_alloc(c->n, sizeof *first);
    size_t *fold = check_alloc(c->n, sizeof *fold);
    check_words w = {0};

    for (size_t i = 0; i < c->n; i++) {
        check_words_read(&w, c->row[i].text.s, c->row[i].text.n);
        first[i] = w.n > 0 ? w.word[0] : 0;
        fold[i] = guard_fold(&c->row[i], CHECK_FOLDS, 1);
    }
    check_learn(score, first, fold, label, c->n, 1.0, 3.0); /* a third of the seeds is unsafe */
    check_baseline(rep, "first word, against all safe", label, score, c->n);
    check_words_free(&w);
    nn_free(first);
    nn_free(fold);
}

static void check_baselines(check_report *rep, const guard_corpus *c)
{
    int *label = check_alloc(c->n, sizeof *label);
    double *score = check_alloc(c->n, sizeof *score);
    char kind[64];
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        label[i] = c->row[i].label;
        score[i] = (double)c->row[i].text.n;
    }
    check_baseline(rep, "length, against all safe", label, score, c->n);
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(kind_of(&c->row[i], kind), "ordinary") == 0) continue;
        label[n] = c->row[i].label;
        score[n++] = (double)c->row[i].text.n;
    }
    check_baseline(rep, "length, against twins", label, score, n);
    for (size_t i = 0; i < c->n; i++) label[i] = c->row[i].label;
    check_first_word(rep, c, label, score);
    nn_free(label);
    nn_free(score);
}

void check_seeds(check_report *rep, const guard_corpus *c, char *const *document, size_t n_document)
{
    for (size_t i = 0; i < c->n; i++) check_row(rep, c, i);
    check_baselines(rep, c);
    check_copies(rep, c, document, n_document);
}
