/* lexicon.c - phrases for tier 1: a line a concept, {"category","concept","lang","acts":[..],"twins":[..]}. */
#include "guard/augment.h"
#include "guard/import.h"
#include "nn/arena.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LEXICON_MAX_BYTES ((size_t)64 << 20)

/* Each concept's phrases and their pointers are one block: pointers first, then bytes. */
struct guard_lexicon {
    guard_concept *concept;
    void **block;
    const char *lang; /* of the first line and so of all; in its block, NULL when it says none */
    size_t n, concept_cap, block_cap;
};

void guard_lexicon_free(guard_lexicon *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) nn_free(l->block[i]);
    nn_free(l->block);
    nn_free(l->concept);
    nn_free(l);
}

const guard_concept *guard_lexicon_concepts(const guard_lexicon *l, size_t *n)
{
    *n = l->n;
    return l->concept;
}

const char *guard_lexicon_lang(const guard_lexicon *l)
{
    return l->lang;
}

/* --- a line ------------------------------------------------------------------------------- */

typedef struct {
    const json_t *category, *concept, *lang, *acts, *twins; /* twins, lang NULL: none */
} line_fields;

static nn_status check_name(const json_t *v, const char *where, const char *field, bool or_empty, nn_err *err)
{
    const char *s = json_string_value(v);

    if (!s || strlen(s) != json_string_length(v) || (!or_empty && !s[0]))
        return nn_fail(err, NN_CONTENT, "%s: %s: missing, empty or no string, want a name", where, field);
    return NN_OK;
}

static nn_status check_phrases(const json_t *v, const char *where, const char *field, nn_err *err)
{
    const size_t n = json_array_size(v);

    if (n == 0) return nn_fail(err, NN_CONTENT, "%s: %s: missing or empty, want a list of phrases", where, field);
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(v, i);
        const char *s = json_string_value(p);

        if (!s || !s[0] || strlen(s) != json_string_length(p))
            return nn_fail(err, NN_CONTENT, "%s: %s[%zu]: empty or no string, want a phrase", where, field, i);
    }
    return NN_OK;
}

static nn_status check_keys(json_t *root, const char *where, nn_err *err)
{
    static const char *const known[] = {"category", "concept", "lang", "acts", "twins"};
    const char *key;
    json_t *v;

    json_object_foreach(root, key, v)
    {
        bool found = false;

        for (size_t i = 0; i < sizeof known / sizeof *known; i++) found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return nn_fail(err, NN_CONTENT, "%s: field '%.40s': not known; want category, concept, lang, acts, twins",
                           where, key);
    }
    return NN_OK;
}

/* Ordinary acts (category "") need neither a concept nor twins: they are safe themselves. */
static nn_status check_line(line_fields *f, json_t *root, const char *where, nn_err *err)
{
    nn_status st = NN_OK;

    if (!json_is_object(root))
        return nn_fail(err, NN_CONTENT, "%s: line: not an object, want one JSON object a line", where);
    if ((st = check_keys(root, where, err)) != NN_OK) return st;
    *f = (line_fields){json_object_get(root, "category"), json_object_get(root, "concept"),
                       json_object_get(root, "lang"), json_object_get(root, "acts"), json_object_get(root, "twins")};
    if ((st = check_name(f->category, where, "category", true, err)) != NN_OK) return st;
    const bool ordinary = json_string_length(f->category) == 0;
    if (f->concept || !ordinary) st = check_name(f->concept, where, "concept", ordinary, err);
    if (st == NN_OK && f->lang) st = check_name(f->lang, where, "lang", false, err);
    if (st == NN_OK) st = check_phrases(f->acts, where, "acts", err);
    if (st != NN_OK || (ordinary && !f->twins)) return st;
    if (!ordinary) return check_phrases(f->twins, where, "twins", err);
    if (json_is_array(f->twins) && json_array_size(f->twins) == 0) return NN_OK;
    return nn_fail(err, NN_CONTENT, "%s: twins: given for ordinary acts, want none", where);
}

/* Frames are written for one language, so a lexicon has one. */
static nn_status check_lang(const guard_lexicon *l, const json_t *lang, const char *where, nn_err *err)
{
    const char *now = lang ? json_string_value(lang) : "", *first = l->lang ? l->lang : "";

    if (l->n == 0 || strcmp(now, first) == 0) return NN_OK;
    return nn_fail(err, NN_CONTENT, "%s: lang: '%.40s', want '%.40s' as in the first line", where, now, first);
}

static size_t bytes_of(const json_t *list)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list); i++) n += json_string_length(json_array_get(list, i)) + 1;
    return n;
}

static const char *put(char **to, const char *s)
{
    char *at = *to;

    strcpy(at, s);
    *to += strlen(s) + 1;
    return at;
}

static void put_all(const char **ptr, char **to, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) ptr[i] = put(to, json_string_value(json_array_get(list, i)));
}

static nn_status add_concept(guard_lexicon *l, const line_fields *f, nn_err *err)
{
    const char *category = json_string_value(f->category);
    const char *concept = f->concept ? json_string_value(f->concept) : "";
    const size_t n_act = json_array_size(f->acts), n_twin = f->twins ? json_array_size(f->twins) : 0;
    const char *lang = f->lang ? json_string_value(f->lang) : NULL;
    const size_t names = strlen(category) + strlen(concept) + 2 + (lang ? strlen(lang) + 1 : 0);
    const size_t bytes = names + bytes_of(f->acts) + (f->twins ? bytes_of(f->twins) : 0);
    void *concepts = l->concept, *blocks = l->block, *block = NULL;
    nn_status st = nn_grow(&concepts, &l->concept_cap, l->n + 1, sizeof *l->concept, err);

    l->concept = concepts;
    if (st != NN_OK) return st;
    st = nn_grow(&blocks, &l->block_cap, l->n + 1, sizeof *l->block, err);
    l->block = blocks;
    if (st != NN_OK) return st;
    if ((st = nn_alloc(&block, (n_act + n_twin) * sizeof(char *) + bytes, 1, err)) != NN_OK) return st;

    const char **ptr = block;
    char *to = (char *)(ptr + n_act + n_twin);
    put_all(ptr, &to, f->acts);
    if (f->twins) put_all(ptr + n_act, &to, f->twins);
    const char *kept = put(&to, category);
    l->concept[l->n] = (guard_concept){kept, put(&to, concept), ptr, n_act, ptr + n_act, n_twin};
    if (l->n == 0 && lang) l->lang = put(&to, lang);
    l->block[l->n++] = block;
    return NN_OK;
}

static nn_status read_line(guard_lexicon *l, const char *line, size_t len, const char *where, nn_err *err)
{
    line_fields f = {NULL, NULL, NULL, NULL, NULL};
    json_t *root = NULL;
    nn_status st = guard_json_parse(&root, line, len, true, where, err);

    if (st == NN_OK) st = check_line(&f, root, where, err);
    if (st == NN_OK) st = check_lang(l, f.lang, where, err);
    if (st == NN_OK) st = add_concept(l, &f, err);
    json_decref(root);
    return st;
}

/* --- the file ----------------------------------------------------------------------------- */

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!memchr(" \t\r", s[i], 3)) return false;
    }
    return true;
}

static nn_status read_lines(guard_lexicon *l, const char *bytes, size_t len, const char *path, nn_err *err)
{
    char where[256];
    nn_status st = NN_OK;

    for (size_t at = 0, number = 1; at < len && st == NN_OK; number++) {
        const char *end = memchr(bytes + at, '\n', len - at);
        const size_t n = end ? (size_t)(end - bytes) - at : len - at;

        snprintf(where, sizeof where, "%.200s:%zu", path, number);
        if (!is_blank(bytes + at, n)) st = read_line(l, bytes + at, n, where, err);
        at += n + 1;
    }
    if (st == NN_OK && l->n == 0) st = nn_fail(err, NN_CONTENT, "%s: no concepts, want at least one line", path);
    return st;
}

nn_status guard_lexicon_read(guard_lexicon **out, const char *path, nn_err *err)
{
    void *block = NULL;
    char *bytes = NULL;
    size_t len = 0;
    nn_status st = NN_OK;

    *out = NULL;
    if ((st = guard_slurp(&bytes, &len, path, LEXICON_MAX_BYTES, err)) != NN_OK) return st;
    if ((st = nn_alloc(&block, 1, sizeof **out, err)) == NN_OK) st = read_lines(block, bytes, len, path, err);
    nn_free(bytes);
    if (st == NN_OK) *out = block;
    else guard_lexicon_free(block);
    return st;
}

/* --- phrases as rows ---------------------------------------------------------------------- */

static guard_text text_of(const char *s)
{
    return (guard_text){s && s[0] ? s : NULL, s ? strlen(s) : 0};
}

/* A twin's parent is the act of its number: a pair stays one, whatever is done with it later. */
static nn_status add_phrases(guard_corpus *out, const guard_concept *c, const char *lang, nn_err *err)
{
    const bool ordinary = !c->category[0];
    const size_t first = out->n;
    nn_status st = NN_OK;

    for (size_t i = 0; i < c->n_act + c->n_twin && st == NN_OK; i++) {
        const bool twin = i >= c->n_act;
        const size_t at = twin ? i - c->n_act : i;
        const char *source = ordinary ? "lexicon/ordinary" : twin ? "lexicon/twin" : "lexicon/act";
        guard_row row = {.label = twin || ordinary ? GUARD_SAFE : GUARD_UNSAFE,
                         .text = text_of(twin ? c->twin[at] : c->act[at]),
                         .category = text_of(c->category),
                         .lang = text_of(lang ? lang : "en"),
                         .source = text_of(source),
                         .concept = text_of(c->concept),
                         .extra = twin ? text_of("{\"kind\":\"twin\"}") : (guard_text){NULL, 0}};
        char parent[GUARD_ID_LEN];

        if (twin && at < c->n_act) {
            memcpy(parent, out->row[first + at].id, sizeof parent);
            row.parents = text_of(parent);
        }
        st = guard_corpus_add(out, &row, err);
    }
    return st;
}

nn_status guard_lexicon_rows(guard_corpus **out, const guard_lexicon *l, nn_err *err)
{
    nn_status st = guard_corpus_build(out, err);

    for (size_t i = 0; i < l->n && st == NN_OK; i++) st = add_phrases(*out, &l->concept[i], l->lang, err);
    if (st == NN_OK || !*out) return st;
    guard_corpus_free(*out);
    *out = NULL;
    return st;
}
