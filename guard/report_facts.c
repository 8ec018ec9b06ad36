/* report_facts.c - what a run folder says about its run: the ledger's stages, results, rounds and the shipped guard. */
#include "guard/gguard.h"
#include "guard/report_impl.h"
#include "nn/arena.h"
#include "nn/gguf.h"
#include "nn/plat.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- asking ------------------------------------------------------------------------------- */

void report_stage_label(char out[64], const guard_entry *e)
{
    snprintf(out, 64, "%02zu %s", e->ordinal, e->name);
}

const char *report_head(const report_facts *f)
{
    return f->n_entry ? f->ledger.entry[f->n_entry - 1].sha256 : guard_ledger_first;
}

uint64_t report_tokens(const report_facts *f)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < f->n_entry; i++) sum += f->ledger.entry[i].tokens;
    return sum;
}

const report_file *report_file_of(const report_facts *f, size_t entry, size_t output)
{
    for (size_t i = 0; i < f->n_file; i++) {
        if (f->file[i]->entry == entry && f->file[i]->output == output) return f->file[i];
    }
    return NULL;
}

size_t report_writer(const report_facts *f, size_t entry, const char *sha256, size_t *output)
{
    for (size_t i = entry; i-- > 0;) {
        const guard_entry *e = f->ledger.entry + i;

        for (size_t k = 0; !e->rule && k < e->out.n; k++) {
            if (strcmp(e->out.at[k].sha256, sha256) != 0) continue;
            *output = k;
            return i;
        }
    }
    return REPORT_NOWHERE;
}

bool report_input_used(const report_facts *f, size_t input)
{
    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;

        for (size_t k = 0; k < e->n_in; k++) {
            if (strcmp(e->in[k], f->run.inputs.at[input].sha256) == 0) return true;
        }
    }
    return false;
}

void report_guard_names(char out[REPORT_NAME], const report_facts *f, const guard_entry *e)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < f->n_result; i++) {
        const report_result *x = f->result[i];
        const size_t len = strlen(x->r.guard);
        bool mine = false, told = false;

        for (size_t k = 0; k < e->out.n; k++) mine = mine || strcmp(e->out.at[k].sha256, x->model) == 0;
        for (size_t k = 0; k < i && mine; k++) told = told || strcmp(f->result[k]->r.guard, x->r.guard) == 0;
        if (!mine || told || used + len + 3 > REPORT_NAME) continue;
        used += (size_t)snprintf(out + used, REPORT_NAME - used, "%s%s", used ? "; " : "", x->r.guard);
    }
}

const report_result *report_final(const report_facts *f)
{
    const guard_entry *ship = NULL;
    const report_result *found = NULL;

    for (size_t i = 0; i < f->n_entry; i++) {
        if (strcmp(f->ledger.entry[i].name, "ship") == 0) ship = f->ledger.entry + i;
    }
    for (size_t i = 0; i < f->n_result && ship && ship->n_in; i++) {
        const report_result *x = f->result[i];

        if (strcmp(x->model, ship->in[0]) == 0 && (!found || strcmp(x->r.set, found->r.set) == 0)) found = x;
    }
    return found || !f->n_result ? found : f->result[f->n_result - 1];
}

static json_t *note_of(const guard_entry *e)
{
    json_error_t why;

    return e->note ? json_loads(e->note, 0, &why) : NULL;
}

double report_note_number(const guard_entry *e, const char *key)
{
    json_t *o = note_of(e);
    const json_t *v = json_object_get(o, key);
    const double got = json_is_number(v) ? json_number_value(v) : json_is_boolean(v) ? json_is_true(v) : (double)NAN;

    json_decref(o);
    return got;
}

static void copy_text(char *out, size_t cap, const json_t *v)
{
    const char *s = json_string_value(v);
    const size_t n = s ? report_cut(s, strlen(s), cap - 1) : 0;

    if (n) memcpy(out, s, n);
    out[n] = '\0';
}

void report_note_text(char *out, size_t cap, const guard_entry *e, const char *key)
{
    json_t *o = note_of(e);

    copy_text(out, cap, json_object_get(o, key));
    json_decref(o);
}

void report_note_backend(char kind[16], char model[64], const guard_entry *e)
{
    json_t *o = note_of(e);
    const json_t *b = json_object_get(o, "backend");

    copy_text(kind, 16, json_object_get(b, "kind"));
    copy_text(model, strcmp(kind, "local") == 0 ? 13 : 64, json_object_get(b, "model")); /* a hash: as much as of others */
    json_decref(o);
}

/* --- results ------------------------------------------------------------------------------ */

static double number_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static size_t count_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_integer(v) && json_integer_value(v) > 0 ? (size_t)json_integer_value(v) : 0;
}

/* [low, high], or null. */
static guard_interval interval_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key), *low = json_array_get(v, 0), *high = json_array_get(v, 1);

    if (!json_is_number(low) || !json_is_number(high)) return (guard_interval){(double)NAN, (double)NAN};
    return (guard_interval){json_number_value(low), json_number_value(high)};
}

static void copy_member(char *out, size_t cap, const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    const size_t n = s ? report_cut(s, strlen(s), cap - 1) : 0;

    if (n) memcpy(out, s, n);
    out[n] = '\0';
}

/* What guard_result_json wrote. */
static void read_result(guard_result *r, const json_t *o)
{
    const struct {
        const char *key;
        double *value;
        guard_interval *ci;
    } field[] = {{"precision", &r->all.precision, &r->ci.precision},
                 {"recall", &r->all.recall, &r->ci.recall},
                 {"f1", &r->all.f1, &r->ci.f1},
                 {"average_precision", &r->all.average_precision, &r->ci.average_precision},
                 {"roc_auc", &r->all.roc_auc, &r->ci.roc_auc},
                 {"fpr", &r->all.fpr, &r->ci.fpr},
                 {"fpr_twins", &r->fpr_twins, &r->ci_twins},
                 {"fpr_ordinary", &r->fpr_ordinary, &r->ci_ordinary}};
    const json_t *ci = json_object_get(o, "ci");

    copy_member(r->guard, sizeof r->guard, o, "guard");
    copy_member(r->set, sizeof r->set, o, "set");
    r->all.n = count_of(o, "n");
    r->all.positive = count_of(o, "positive");
    r->all.flagged = count_of(o, "flagged");
    r->n_twins = count_of(o, "n_twins");
    r->n_ordinary = count_of(o, "n_ordinary");
    r->target_fpr = number_of(o, "target_fpr");
    r->all.threshold = number_of(o, "threshold");
    r->all.log_loss = number_of(o, "log_loss");
    r->all.brier = number_of(o, "brier");
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        *field[i].value = number_of(o, field[i].key);
        *field[i].ci = interval_of(ci, field[i].key);
    }
}

/* A stage that evaluates reads the set first and then its guards, in the order of its results. */
static nn_status add_results(report_facts *f, size_t entry, nn_err *err)
{
    const guard_entry *e = f->ledger.entry + entry;
    json_t *o = note_of(e);
    const json_t *list = json_object_get(o, "results");
    nn_status st = NN_OK;

    for (size_t i = 0; i < json_array_size(list) && st == NN_OK; i++) {
        void *all = f->result, *block = NULL;

        st = nn_grow(&all, &f->result_cap, f->n_result + 1, sizeof *f->result, err);
        f->result = all;
        if (st != NN_OK || (st = nn_alloc(&block, 1, sizeof **f->result, err)) != NN_OK) break;
        report_result *x = f->result[f->n_result++] = block;
        x->entry = entry;
        if (i + 1 < e->n_in) memcpy(x->model, e->in[i + 1], sizeof x->model);
        read_result(&x->r, json_array_get(list, i));
    }
    json_decref(o);
    return st;
}

/* --- rounds ------------------------------------------------------------------------------- */

static bool is_round_rule(const report_facts *f, size_t entry)
{
    const report_file *c = report_file_of(f, entry, 0);

    return c && c->ruled && c->has_round;
}

/* A round begins with an attack and owns the first stage of each kind until the next one. */
static nn_status find_rounds(report_facts *f, nn_err *err)
{
    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;
        report_round *r = f->n_round ? f->round + f->n_round - 1 : NULL;
        size_t *slot = NULL;

        if (e->rule) continue;
        if (strcmp(e->name, "attack") == 0) {
            void *list = f->round;
            const nn_status st = nn_grow(&list, &f->round_cap, f->n_round + 1, sizeof *f->round, err);

            f->round = list;
            if (st != NN_OK) return st;
            f->round[f->n_round++] =
                (report_round){i, REPORT_NOWHERE, REPORT_NOWHERE, REPORT_NOWHERE, REPORT_NOWHERE};
            continue;
        }
        if (!r) continue;
        if (strcmp(e->name, "harvest") == 0) slot = &r->harvest;
        else if (strcmp(e->name, "train_guard") == 0) slot = &r->train;
        else if (strcmp(e->name, "accept") == 0) slot = &r->accept;
        else if (is_round_rule(f, i)) slot = &r->hard;
        if (slot && *slot == REPORT_NOWHERE) *slot = i;
    }
    return NN_OK;
}

/* --- the shipped guard -------------------------------------------------------------------- */

static void copy_key(char *out, size_t cap, const nn_gguf *g, const char *key)
{
    const char *s = NULL;
    size_t len = 0, n = 0;

    if (nn_gguf_str(g, key, &s, &len)) n = report_cut(s, len, cap - 1);
    if (n) memcpy(out, s, n);
    out[n] = '\0';
}

static void read_model(report_model *m, const nn_gguf *g)
{
    m->there = true;
    copy_key(m->name, sizeof m->name, g, "general.name");
    copy_key(m->licence, sizeof m->licence, g, "general.license");
    if (!nn_gguf_u64(g, GUARD_KEY_WINDOW, &m->window)) m->window = 0;
    for (size_t i = 0; i < nn_gguf_tensors(g); i++) {
        const nn_st_tensor *t = nn_gguf_tensor(g, i);
        uint64_t n = 1;

        for (size_t k = 0; k < t->n_dim; k++) n *= t->dim[k];
        m->weights += n;
    }
    for (size_t i = 0; i < GUARD_RATES; i++) {
        if (!nn_gguf_array_f64(g, GUARD_KEY_RATES, i, m->rate + i)) break;
        if (!nn_gguf_array_f64(g, GUARD_KEY_THRESHOLDS, i, m->threshold + i)) break;
        m->n_rate = i + 1;
    }
}

nn_status report_model_read(report_facts *f, nn_err *err)
{
    const guard_hash *file = NULL;
    char *path = NULL;
    nn_gguf *g = NULL;
    nn_status st = NN_OK;

    for (size_t i = 0; i < f->n_entry && !file; i++) {
        if (strcmp(f->ledger.entry[i].name, "ship") == 0)
            file = guard_hashes_find(&f->ledger.entry[i].out, "guard.gguf");
    }
    if (!file) return NN_OK;
    if ((st = guard_path_join(&path, f->dir, file->path, err)) != NN_OK) goto done;
    if ((st = nn_file_size(path, &f->model.bytes, err)) != NN_OK) goto done;
    if ((st = nn_gguf_open(&g, path, err)) != NN_OK) goto done;
    memcpy(f->model.sha256, file->sha256, sizeof f->model.sha256);
    read_model(&f->model, g);
done:
    nn_gguf_close(g);
    nn_free(path);
    return st;
}

/* --- all of it ---------------------------------------------------------------------------- */

static bool is_report(const guard_entry *e)
{
    return !e->rule && strcmp(e->name, "report") == 0;
}

nn_status report_facts_read(report_facts *f, const char *dir, nn_err *err)
{
    char *path = NULL;
    nn_status st = NN_OK;

    memset(f, 0, sizeof *f);
    f->dir = dir;
    if ((st = guard_manifest_read(&f->run, dir, err)) != NN_OK) return st;
    if ((st = guard_path_join(&path, dir, "ledger.jsonl", err)) != NN_OK) return st;
    st = guard_ledger_read(&f->ledger, path, err);
    nn_free(path);
    if (st != NN_OK) return st;
    while (f->n_entry < f->ledger.n && !is_report(f->ledger.entry + f->n_entry)) f->n_entry++;
    for (size_t i = 0; i < f->n_entry && st == NN_OK; i++) {
        if (strcmp(f->ledger.entry[i].name, "evaluate") == 0) st = add_results(f, i, err);
    }
    if (st == NN_OK) st = report_rows_read(f, err);
    if (st == NN_OK) st = report_series_read(f, err);
    if (st == NN_OK) st = find_rounds(f, err);
    return st == NN_OK ? report_model_read(f, err) : st;
}

void report_facts_free(report_facts *f)
{
    for (size_t i = 0; i < f->n_file; i++) {
        nn_free(f->file[i]->group);
        nn_free(f->file[i]);
    }
    for (size_t i = 0; i < f->n_series; i++) nn_free(f->series[i]);
    for (size_t i = 0; i < f->n_result; i++) nn_free(f->result[i]);
    nn_free(f->file);
    nn_free(f->series);
    nn_free(f->result);
    nn_free(f->round);
    guard_ledger_free(&f->ledger);
    guard_manifest_free(&f->run);
    memset(f, 0, sizeof *f);
}
