/* report_rows.c - reads every corpus of a run once, a row at a time: counts, a few examples, scores for the curves.
 *
 * Why streamed: a corpus may hold hundreds of thousands of rows and a run dozens of corpora; what a report says about
 * one fits in a few kilobytes. Examples are the rows with the smallest draws of (seed, "report", id), so they do not
 * depend on the order of rows.
 */
#include "guard/report_impl.h"
#include "nn/arena.h"
#include "nn/plat.h"
#include "nn/rng.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Never on a page, not even behind a click: such rows are named by their hash. */
static const char *const never_shown[] = {"child_safety", "sexual/minors", "child_sexual_exploitation"};

/* Scores of the guards that an evaluate stage names, for its curves. */
typedef struct {
    size_t first, width; /* of f->result */
    int *label;
    double *p; /* [n, width]; NaN: none */
    size_t n, label_cap, p_cap;
} score_table;

typedef struct {
    report_facts *f;
    report_file *c;
    const guard_entry *e;
    score_table t;
} reader;

/* --- a row -------------------------------------------------------------------------------- */

static guard_text text_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return (guard_text){json_string_value(v), json_string_length(v)};
}

static int label_of(const json_t *o)
{
    const json_t *v = json_object_get(o, "label");

    return json_is_integer(v) ? (json_integer_value(v) == 1 ? GUARD_UNSAFE : GUARD_SAFE) : GUARD_LABEL_NONE;
}

static bool is_dropped(const report_file *c, const json_t *cols)
{
    return c->ruled && json_is_false(json_object_get(cols, "kept"));
}

static bool is_never_shown(const json_t *category)
{
    for (size_t i = 0; i < json_array_size(category); i++) {
        const char *name = json_string_value(json_array_get(category, i));

        for (size_t k = 0; name && k < sizeof never_shown / sizeof *never_shown; k++) {
            if (strcmp(name, never_shown[k]) == 0) return true;
        }
    }
    return false;
}

/* --- counts ------------------------------------------------------------------------------- */

static void count_flow(report_file *c, const json_t *cols, bool dropped)
{
    const guard_text tier = text_of(cols, "tier"), reason = text_of(cols, "reason");
    size_t from = report_counts_add(&c->tier, tier.s ? tier.s : "", tier.n), to = 0;

    if (from > REPORT_TIERS) from = REPORT_TIERS;
    if (dropped && reason.n) to = 1 + report_counts_add(&c->reason, reason.s, reason.n);
    else if (dropped) to = 1 + report_counts_add(&c->reason, "no reason given", 15);
    c->flow[from][to]++;
}

static void count_row(report_file *c, const json_t *o, const json_t *cols)
{
    const json_t *category = json_object_get(o, "category");
    const guard_text lang = text_of(o, "lang");
    const int label = label_of(o);
    const bool dropped = is_dropped(c, cols);

    c->rows++;
    c->fooled += json_is_true(json_object_get(cols, "fooled"));
    count_flow(c, cols, dropped);
    if (dropped) return;
    c->kept++;
    if (label == GUARD_UNSAFE) c->unsafe++;
    else if (label == GUARD_SAFE) c->safe++;
    else c->unlabelled++;
    report_counts_add(&c->lang, lang.s ? lang.s : "not stated", lang.s ? lang.n : 10);
    for (size_t i = 0; i < json_array_size(category); i++) {
        const json_t *name = json_array_get(category, i);

        if (!json_is_string(name) || label == GUARD_LABEL_NONE) continue;
        report_counts_add(label == GUARD_UNSAFE ? &c->unsafe_category : &c->safe_category, json_string_value(name),
                          json_string_length(name));
    }
}

/* --- examples ----------------------------------------------------------------------------- */

/* Which group a row may stand for; "" for none. */
static const char *group_name(const reader *r, const json_t *cols, bool dropped)
{
    const guard_text tier = text_of(cols, "tier");

    if (strcmp(r->e->name, "augment") == 0 && r->c->has_tier) return tier.n ? tier.s : "human-written";
    if (r->c->ruled && r->c->has_round) return dropped ? "" : "hard negatives";
    if (strcmp(r->e->name, "curate") == 0) return dropped ? "dropped" : "";
    return strcmp(r->e->name, "attack") == 0 ? "rollouts of the last step" : "";
}

static nn_status group_of(report_group **out, report_file *c, const char *name, nn_err *err)
{
    void *list = c->group;
    nn_status st = NN_OK;

    *out = NULL;
    for (size_t i = 0; i < c->n_group; i++) {
        if (strncmp(c->group[i].name, name, REPORT_NAME - 1) == 0) *out = c->group + i;
    }
    if (*out || c->n_group > REPORT_TIERS) return NN_OK;
    st = nn_grow(&list, &c->group_cap, c->n_group + 1, sizeof *c->group, err);
    c->group = list;
    if (st != NN_OK) return st;
    *out = c->group + c->n_group++;
    memset(*out, 0, sizeof **out);
    memcpy((*out)->name, name, report_cut(name, strlen(name), REPORT_NAME - 1));
    return NN_OK;
}

static size_t copy_text(char out[REPORT_TEXT + 1], guard_text t)
{
    const size_t n = report_cut(t.s, t.n, REPORT_TEXT);

    if (n) memcpy(out, t.s, n);
    out[n] = '\0';
    return n;
}

static void copy_name(char *out, size_t cap, guard_text t)
{
    const size_t n = report_cut(t.s, t.n, cap - 1);

    if (n) memcpy(out, t.s, n);
    out[n] = '\0';
}

/* "fraud, cyber" */
static void copy_categories(char out[REPORT_NAME], const json_t *category)
{
    size_t used = 0;

    for (size_t i = 0; i < json_array_size(category); i++) {
        const char *name = json_string_value(json_array_get(category, i));
        const size_t len = name ? strlen(name) : 0;

        if (!len || used + len + 3 > REPORT_NAME) continue;
        used += (size_t)snprintf(out + used, REPORT_NAME - used, "%s%s", used ? ", " : "", name);
    }
}

static void fill_example(report_example *x, const json_t *o, const json_t *cols, bool dropped)
{
    const json_t *category = json_object_get(o, "category"), *ops = json_object_get(o, "ops");
    const guard_text text = text_of(o, "text"), response = text_of(o, "response"), source = text_of(o, "source");
    nn_sha256 hash;

    nn_sha256_init(&hash);
    nn_sha256_add(&hash, text.s, text.n);
    if (response.s) nn_sha256_add(&hash, response.s, response.n);
    nn_sha256_end_hex(&hash, x->sha256);
    x->label = label_of(o);
    x->never = is_never_shown(category) && (x->label != GUARD_SAFE || dropped);
    /* A label is only asked for in what a generator wrote, and doubted in what was dropped. */
    x->hidden = x->label != GUARD_SAFE || dropped || (source.s && strcmp(source.s, "generator") == 0);
    x->text_bytes = text.n;
    x->response_bytes = response.n;
    if (!x->never) x->text_len = copy_text(x->text, text);
    if (!x->never) x->response_len = copy_text(x->response, response);
    copy_categories(x->category, category);
    copy_name(x->reason, sizeof x->reason, text_of(cols, "reason"));
    const size_t n = ops ? json_dumpb(ops, x->ops, sizeof x->ops - 1, JSON_COMPACT | JSON_ENCODE_ANY) : 0;
    x->ops[n < sizeof x->ops ? n : 0] = '\0'; /* what is too long to be shown is in the corpus */
}

static void keep_example(report_group *g, const json_t *o, const json_t *cols, const char *id, uint64_t draw,
                         bool dropped)
{
    size_t at = g->n;

    for (; at > 0; at--) {
        const report_example *a = g->at + at - 1;

        if (a->draw < draw || (a->draw == draw && strcmp(a->id, id) <= 0)) break;
    }
    if (at == REPORT_SHOWN) return;
    if (g->n < REPORT_SHOWN) g->n++;
    memmove(g->at + at + 1, g->at + at, (g->n - at - 1) * sizeof *g->at);
    memset(g->at + at, 0, sizeof *g->at);
    memcpy(g->at[at].id, id, strlen(id) + 1);
    g->at[at].draw = draw;
    fill_example(g->at + at, o, cols, dropped);
}

static nn_status add_example(reader *r, const json_t *o, const json_t *cols, nn_err *err)
{
    const bool dropped = is_dropped(r->c, cols);
    const char *name = group_name(r, cols, dropped);
    const guard_text id = text_of(o, "id");
    report_group *g = NULL;

    if (!name[0] || id.n != 16) return NN_OK;
    const nn_status st = group_of(&g, r->c, name, err);
    if (st != NN_OK || !g) return st;
    nn_rng rng = nn_rng_at(r->f->run.seed, "report", nn_hash64(id.s, id.n, 0));
    g->rows++;
    keep_example(g, o, cols, id.s, nn_rng_u64(&rng), dropped);
    return NN_OK;
}

/* --- scores ------------------------------------------------------------------------------- */

static nn_status add_scores(reader *r, const json_t *o, const json_t *cols, nn_err *err)
{
    score_table *t = &r->t;
    void *label = t->label, *p = t->p;
    const int y = label_of(o);
    nn_status st = NN_OK;

    if (t->width == 0 || y == GUARD_LABEL_NONE) return NN_OK;
    st = nn_grow(&label, &t->label_cap, t->n + 1, sizeof *t->label, err);
    t->label = label;
    if (st != NN_OK) return st;
    st = nn_grow(&p, &t->p_cap, (t->n + 1) * t->width, sizeof *t->p, err);
    t->p = p;
    if (st != NN_OK) return st;
    t->label[t->n] = y;
    for (size_t k = 0; k < t->width; k++) {
        char name[48];

        snprintf(name, sizeof name, "p@%.30s", r->f->result[t->first + k]->r.guard);
        const json_t *v = json_object_get(cols, name);
        t->p[t->n * t->width + k] = json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    t->n++;
    return NN_OK;
}

static nn_status draw_curves(reader *r, nn_err *err)
{
    score_table *t = &r->t;
    void *label = NULL, *p = NULL;
    nn_status st = nn_alloc(&label, t->n + 1, sizeof(int), err);

    if (st == NN_OK) st = nn_alloc(&p, t->n + 1, sizeof(double), err);
    for (size_t k = 0; k < t->width && st == NN_OK; k++) {
        report_result *x = r->f->result[t->first + k];
        size_t n = 0;

        for (size_t i = 0; i < t->n; i++) {
            const double v = t->p[i * t->width + k];

            if (isnan(v)) continue;
            ((int *)label)[n] = t->label[i];
            ((double *)p)[n++] = v;
        }
        st = report_pr(x->curve, &x->n_curve, label, p, n, err);
    }
    nn_free(label);
    nn_free(p);
    return st;
}

/* --- a file ------------------------------------------------------------------------------- */

static void declare_columns(report_file *c, const json_t *columns)
{
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const char *name = json_string_value(json_array_get(json_array_get(columns, i), 0));

        if (!name) continue;
        if (strcmp(name, "tier") == 0) c->has_tier = true;
        if (strcmp(name, "round") == 0) c->has_round = true;
        if (strcmp(name, "fooled") == 0) c->has_fooled = true;
    }
}

static nn_status read_line(reader *r, const char *line, size_t len, const char *where, nn_err *err)
{
    json_error_t why;
    json_t *o = json_loadb(line, len, JSON_ALLOW_NUL, &why);
    const json_t *columns = json_object_get(o, "columns"), *cols = json_object_get(o, "cols");
    nn_status st = NN_OK;

    if (json_is_string(json_object_get(o, "text"))) {
        count_row(r->c, o, cols);
        if ((st = add_example(r, o, cols, err)) == NN_OK) st = add_scores(r, o, cols, err);
    } else if (json_is_array(columns)) {
        declare_columns(r->c, columns);
    } else {
        st = nn_fail(err, NN_FILE, "%s: not a row, want a JSON object with a text", where);
    }
    json_decref(o);
    return st;
}

static nn_status read_lines(reader *r, const char *path, nn_err *err)
{
    nn_file file = {NULL, 0, NULL, NULL};
    char where[400];
    size_t at = 0;
    nn_status st = nn_file_open(&file, path, err);

    for (size_t line = 1; st == NN_OK && at < file.len; line++) {
        const char *text = (const char *)file.bytes + at;
        const char *end = memchr(text, '\n', file.len - at);
        const size_t len = end ? (size_t)(end - text) : file.len - at;

        snprintf(where, sizeof where, "%s:%zu", path, line);
        st = read_line(r, text, len, where, err);
        at += len + 1;
    }
    nn_file_close(&file);
    return st;
}

static bool has_rule(const report_facts *f, const guard_entry *e)
{
    for (size_t i = 0; i < f->n_entry; i++) {
        if (f->ledger.entry[i].rule && f->ledger.entry[i].ordinal == e->ordinal) return true;
    }
    return false;
}

static nn_status read_file(report_facts *f, size_t entry, size_t output, nn_err *err)
{
    reader r = {f, NULL, f->ledger.entry + entry, {0, 0, NULL, NULL, 0, 0, 0}};
    void *list = f->file, *block = NULL;
    char *path = NULL;
    nn_status st = nn_grow(&list, &f->file_cap, f->n_file + 1, sizeof *f->file, err);

    f->file = list;
    if (st != NN_OK || (st = nn_alloc(&block, 1, sizeof **f->file, err)) != NN_OK) return st;
    r.c = f->file[f->n_file++] = block;
    r.c->entry = entry;
    r.c->output = output;
    r.c->ruled = has_rule(f, r.e);
    for (size_t i = f->n_result; i-- > 0;) {
        if (f->result[i]->entry != entry) continue;
        r.t.first = i;
        r.t.width++;
    }
    st = guard_path_join(&path, f->dir, r.e->out.at[output].path, err);
    if (st == NN_OK) st = read_lines(&r, path, err);
    if (st == NN_OK && r.t.width) st = draw_curves(&r, err);
    nn_free(path);
    nn_free(r.t.label);
    nn_free(r.t.p);
    return st;
}

static bool is_corpus(const char *path)
{
    const size_t len = strlen(path);

    return strncmp(path, "corpus/", 7) == 0 && len > 13 && strcmp(path + len - 6, ".jsonl") == 0;
}

nn_status report_rows_read(report_facts *f, nn_err *err)
{
    nn_status st = NN_OK;

    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;

        for (size_t k = 0; !e->rule && k < e->out.n && st == NN_OK; k++) {
            if (is_corpus(e->out.at[k].path)) st = read_file(f, i, k, err);
        }
    }
    return st;
}
