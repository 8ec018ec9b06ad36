/* check_corpus.c - data/corpus/: the files as one table of rows, and the schema of docs/corpus.md ("A row"). */
#include "guard/buf.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "tests/check_data.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char *const check_kind_name[CHECK_KINDS] = {"unsafe", "twin", "ordinary", "response"};
/* The plan's grid, docs/corpus.md: rows of a structure that each category should have. */
const struct check_cell check_structure[CHECK_STRUCTURES] = {
    {"direct", 60},    {"content", 25},   {"oblique", 22}, {"euphemism", 18}, {"justified", 20},    {"roleplay", 14},
    {"multistep", 14}, {"buried", 12},    {"dialogue", 12}, {"continuation", 10}, {"form", 18}};
static const char *const voices[CHECK_VOICES] = {"plain",   "terse", "polite",  "official", "casual",    "teen",
                                                 "elderly", "angry", "learner", "typos",    "technical", "slangy"};

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* Names of scripts/taxonomy.lua: what stands behind each `name = "`. */
static void read_taxonomy(check_rows *x, const char *path)
{
    static const char mark[] = "name = \"";
    char *text = NULL;
    size_t len = 0, room = 0;
    nn_err err = {0};

    check_need(guard_slurp(&text, &len, path, 1 << 20, &err), &err);
    char *copy = check_alloc(len, 1); /* with a zero byte behind */
    memcpy(copy, text, len);
    for (const char *s = copy; (s = strstr(s, mark)) != NULL;) {
        s += sizeof mark - 1;
        check_need(nn_grow((void **)&x->category, &room, x->n_category + 1, sizeof *x->category, &err), &err);
        snprintf(x->category[x->n_category++], sizeof *x->category, "%.*s", (int)strcspn(s, "\""), s);
    }
    nn_free(copy);
    nn_free(text);
}

static size_t structure_of(const char *name)
{
    size_t i = 0;

    while (i < CHECK_STRUCTURES && strcmp(check_structure[i].name, name) != 0) i++;
    return i;
}

static size_t voice_of(const char *name)
{
    size_t i = 0;

    while (i < CHECK_VOICES && strcmp(voices[i], name) != 0) i++;
    return i;
}

static const char *string_in(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static check_facts facts_of(const check_rows *x, const guard_row *r)
{
    check_facts f = {CHECK_KINDS, 0, 0, 0, 0, false, false, 0, 0};
    json_t *o = r->extra.s != NULL ? json_loadb(r->extra.s, r->extra.n, 0, NULL) : NULL;

    for (size_t k = 0; k < CHECK_KINDS; k++)
        if (strcmp(string_in(o, "kind"), check_kind_name[k]) == 0) f.kind = (check_kind)k;
    const json_int_t severity = json_integer_value(json_object_get(o, "severity"));
    f.severity = severity >= 1 && severity <= 3 ? (int)severity : 0;
    f.has_severity = json_object_get(o, "severity") != NULL;
    f.has_subject = string_in(o, "structure")[0] != '\0';
    f.structure = structure_of(string_in(o, "structure"));
    f.voice = voice_of(string_in(o, "voice"));
    while (f.category < x->n_category && (r->category.s == NULL || strcmp(x->category[f.category], r->category.s) != 0))
        f.category++;
    json_decref(o);
    return f;
}

static void read_file(check_rows *x, check_report *r, const char *path)
{
    const guard_import o = {.format = "jsonl"};
    guard_import_report report;
    guard_corpus *c = NULL;
    nn_err err = {0};

    if (guard_dataset_read(&c, &report, path, &o, &err) != NN_OK) {
        check_finding(r, "%s", err.text);
        return;
    }
    check_need(nn_grow((void **)&x->fact, &x->fact_cap, x->c->n + c->n, sizeof *x->fact, &err), &err);
    for (size_t i = 0; i < c->n; i++) {
        x->fact[x->c->n] = facts_of(x, &c->row[i]);
        x->fact[x->c->n].file = x->n_file;
        check_need(guard_corpus_add(x->c, &c->row[i], &err), &err);
    }
    x->n_file++;
    guard_corpus_free(c);
}

typedef struct {
    const char *id;
    size_t row;
} named;

static int by_id(const void *a, const void *b)
{
    const named *x = a, *y = b;
    const int order = strcmp(x->id, y->id);

    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

static int same_id(const void *a, const void *b)
{
    return strcmp(((const named *)a)->id, ((const named *)b)->id);
}

/* Parents by name; a name that stands twice is a text that stands twice. */
static void link_rows(check_rows *x, check_report *r)
{
    const size_t n = x->c->n;
    named *by = check_alloc(n, sizeof *by);

    x->name = check_alloc(n, sizeof *x->name);
    for (size_t i = 0; i < n; i++) by[i] = (named){x->name[i] = x->c->row[i].id, i};
    qsort(by, n, sizeof *by, by_id);
    for (size_t i = 1; i < n; i++)
        if (strcmp(by[i - 1].id, by[i].id) == 0) check_finding(r, "%s: stands twice", by[i].id);
    for (size_t i = 0; i < n; i++) {
        const guard_text parent = x->c->row[i].parents;
        const named want = {parent.s != NULL ? parent.s : "", 0},
                    *at = bsearch(&want, by, n, sizeof *by, same_id);

        x->fact[i].parent = at != NULL ? at->row : n;
    }
    nn_free(by);
}

bool check_rows_read(check_rows *x, check_report *r, const char *folder, const char *taxonomy)
{
    guard_buf path = {0};
    char **file = NULL;
    size_t n = 0;
    nn_err err = {0};

    *x = (check_rows){0};
    read_taxonomy(x, taxonomy);
    check_need(guard_corpus_build(&x->c, &err), &err);
    check_need(nn_dir_list(&file, &n, folder, &err), &err);
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(file[i]);

        guard_buf_clear(&path);
        guard_buf_fmt(&path, "%s/%s", folder, file[i]);
        check_need(guard_buf_status(&path, &err), &err);
        if (len > 6 && strcmp(file[i] + len - 6, ".jsonl") == 0) read_file(x, r, path.bytes);
        nn_free(file[i]);
    }
    nn_free(file);
    guard_buf_free(&path);
    link_rows(x, r);
    if (x->c->n == 0) check_finding(r, "%s: no row in any *.jsonl", folder);
    return x->c->n > 0;
}

void check_rows_free(check_rows *x)
{
    guard_corpus_free(x->c);
    nn_free(x->fact);
    nn_free(x->name);
    nn_free(x->category);
    *x = (check_rows){0};
}

/* --- schema ------------------------------------------------------------------------------------------------------ */

static bool label_fits(check_kind kind, int label)
{
    return kind == CHECK_UNSAFE ? label != GUARD_SAFE : kind == CHECK_RESPONSE || label == GUARD_SAFE;
}

static const char *pair_problem(const check_rows *x, size_t i)
{
    const guard_corpus *c = x->c;
    const check_facts *f = &x->fact[i];

    if (f->category == x->n_category) return "category is not one of the taxonomy's";
    if (f->structure == CHECK_STRUCTURES) return "structure is none of the grid's";
    if (f->kind == CHECK_UNSAFE) {
        if (f->severity == 0) return "severity is not 1, 2 or 3";
        return c->row[i].parents.n > 0 ? "an unsafe row names a parent" : NULL;
    }
    if (f->parent == c->n || x->fact[f->parent].kind != CHECK_UNSAFE) return "a twin names no unsafe parent";
    if (c->row[i].concept.n == 0 || strcmp(c->row[i].concept.s, c->row[f->parent].concept.s) != 0)
        return "a twin and its parent differ in concept";
    return f->category != x->fact[f->parent].category ? "a twin and its parent differ in category" : NULL;
}

static const char *row_problem(const check_rows *x, size_t i)
{
    const guard_row *r = &x->c->row[i];
    const check_facts *f = &x->fact[i];
    char id[GUARD_ID_LEN];

    guard_row_id(id, "corpus", r->response.s != NULL ? r->response.s : "", r->text.s, 0);
    if (strcmp(id, r->id) != 0) return "id is not SHA-256 of (\"corpus\", response, text)";
    if (f->kind == CHECK_KINDS) return "kind is none of unsafe, twin, ordinary, response";
    if (!label_fits(f->kind, r->label)) return "label does not fit its kind";
    if (r->source.s == NULL || strncmp(r->source.s, "corpus/", 7) != 0 ||
        strcmp(r->source.s + 7, check_kind_name[f->kind]) != 0)
        return "source is not \"corpus/\" and the kind";
    if (r->concept.n == 0 || r->lang.n == 0) return "concept or lang is missing";
    if ((f->kind == CHECK_RESPONSE) != (r->response.n > 0)) return "want a response on rows of that kind, on no other";
    if (f->has_severity && f->kind != CHECK_UNSAFE) return "severity on a row that is not of kind unsafe";
    if (f->kind == CHECK_RESPONSE)
        return r->category.n > 0 && f->category == x->n_category ? "category is not one of the taxonomy's" : NULL;
    if (f->voice == CHECK_VOICES) return "voice is none of the plan's";
    if (f->kind != CHECK_ORDINARY) return pair_problem(x, i);
    if (r->category.n > 0) return "an ordinary row has a category";
    return f->has_subject ? NULL : "an ordinary row has no subject in structure";
}

void check_schema(check_report *r, const check_rows *x)
{
    for (size_t i = 0; i < x->c->n; i++) {
        const char *bad = row_problem(x, i);

        if (bad != NULL) check_finding(r, "%s: %s", x->name[i], bad);
    }
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

void check_corpus(check_report *r, const check_corpus_options *o)
{
    check_rows x;

    if (check_rows_read(&x, r, o->folder, o->taxonomy)) {
        check_schema(r, &x);
        check_counts(r, &x, o->complete);
        check_growth(r, &x);
        check_artefacts(r, &x);
        check_near(r, &x, o->seeds);
        check_dev(r, &x, o->dev);
        check_sentences(r, &x, o->document, o->n_document);
    }
    check_rows_free(&x);
}
