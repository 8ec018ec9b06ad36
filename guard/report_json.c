/* report_json.c - report.json: what report.html says, as data, in a fixed order of keys.
 *
 * Hashes and the seed are strings, undefined numbers null. A text is there when the page shows it without a click;
 * otherwise text is null and sha256 names it.
 */
#include "guard/report_impl.h"
#include <math.h>
#include <string.h>

static void put_double(guard_buf *b, const char *key, double v)
{
    guard_json_key(b, key);
    if (isnan(v)) guard_json_null(b);
    else guard_json_double(b, v);
}

static void put_bool(guard_buf *b, const char *key, bool v)
{
    guard_json_key(b, key);
    guard_json_bool(b, v);
}

static void open_list(guard_buf *b, const char *key)
{
    guard_json_key(b, key);
    guard_buf_str(b, "[");
}

static void open_item(guard_buf *b)
{
    guard_json_comma(b);
    guard_buf_str(b, "{");
}

static void put_counts(guard_buf *b, const char *key, const report_counts *c)
{
    guard_json_key(b, key);
    guard_buf_str(b, "{");
    for (size_t i = 0; i < c->n; i++) guard_put_u64(b, c->at[i].name, c->at[i].n);
    guard_buf_str(b, "}");
}

/* --- the run and its stages ------------------------------------------------------------------ */

static void put_run(guard_buf *b, const report_facts *f)
{
    guard_json_key(b, "run");
    guard_buf_str(b, "{");
    guard_put_str(b, "script", f->run.script);
    guard_buf_str(b, ",\"seed\":\"");
    guard_json_u64(b, f->run.seed);
    guard_buf_str(b, "\"");
    open_list(b, "set");
    for (size_t i = 0; i < f->run.n_set; i++) {
        guard_json_comma(b);
        guard_json_str(b, f->run.set[i], strlen(f->run.set[i]));
    }
    guard_buf_str(b, "]");
    guard_put_hashes(b, "scripts", &f->run.scripts);
    open_list(b, "inputs");
    for (size_t i = 0; i < f->run.inputs.n; i++) {
        if (!report_input_used(f, i)) continue;
        open_item(b);
        guard_put_str(b, "path", f->run.inputs.at[i].path);
        guard_put_str(b, "sha256", f->run.inputs.at[i].sha256);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]");
    guard_put_u64(b, "entries", f->n_entry);
    guard_put_str(b, "head", report_head(f));
    guard_put_u64(b, "tokens", report_tokens(f));
    guard_buf_str(b, "}");
}

/* Rows of the file by tier and outcome, when a rule decided. */
static void put_flow(guard_buf *b, const report_file *c)
{
    open_list(b, "tiers");
    for (size_t i = 0; i < c->tier.n && i < REPORT_TIERS; i++) {
        open_item(b);
        guard_put_str(b, "tier", report_tier_name(c->tier.at + i));
        guard_put_u64(b, "kept", c->flow[i][0]);
        guard_json_key(b, "dropped");
        guard_buf_str(b, "{");
        for (size_t k = 0; k < c->reason.n; k++) {
            if (c->flow[i][k + 1]) guard_put_u64(b, c->reason.at[k].name, c->flow[i][k + 1]);
        }
        guard_buf_str(b, "}}");
    }
    guard_buf_str(b, "]");
}

static void put_file(guard_buf *b, const report_facts *f, const report_file *c)
{
    const guard_hash *file = f->ledger.entry[c->entry].out.at + c->output;

    open_item(b);
    guard_put_str(b, "path", file->path);
    guard_put_u64(b, "rows", c->rows);
    guard_put_u64(b, "kept", c->kept);
    guard_put_u64(b, "unsafe", c->unsafe);
    guard_put_u64(b, "safe", c->safe);
    guard_put_u64(b, "unlabelled", c->unlabelled);
    if (c->has_fooled) guard_put_u64(b, "fooled", c->fooled);
    put_counts(b, "unsafe_by_category", &c->unsafe_category);
    put_counts(b, "safe_by_category", &c->safe_category);
    put_counts(b, "languages", &c->lang);
    if (c->ruled && c->has_tier) put_flow(b, c);
    else if (c->ruled) put_counts(b, "dropped", &c->reason);
    guard_buf_str(b, "}");
}

static void put_stage(guard_buf *b, const report_facts *f, size_t entry)
{
    const guard_entry *e = f->ledger.entry + entry;

    open_item(b);
    guard_put_u64(b, "ordinal", e->ordinal);
    guard_put_str(b, "name", e->name);
    guard_put_u64(b, "entry", e->n);
    guard_put_str(b, "sha256", e->sha256);
    guard_put_u64(b, "tokens", e->tokens);
    open_list(b, "reads");
    for (size_t i = 0; i < e->n_in; i++) {
        size_t output = 0;
        const size_t from = report_writer(f, entry, e->in[i], &output);

        if (from == REPORT_NOWHERE) continue;
        guard_json_comma(b);
        const char *path = f->ledger.entry[from].out.at[output].path;
        guard_json_str(b, path, strlen(path));
    }
    guard_buf_str(b, "]");
    guard_put_hashes(b, "writes", &e->out);
    if (!isnan(report_note_number(e, "asked"))) { /* a language model: who answered, and what became of the questions */
        guard_json_key(b, "questions");
        guard_buf_str(b, e->note);
    }
    open_list(b, "corpora");
    for (size_t k = 0; k < e->out.n; k++) {
        const report_file *c = report_file_of(f, entry, k);

        if (c) put_file(b, f, c);
    }
    guard_buf_str(b, "]}");
}

static void put_stages(guard_buf *b, const report_facts *f)
{
    open_list(b, "stages");
    for (size_t i = 0; i < f->n_entry; i++) {
        if (!f->ledger.entry[i].rule) put_stage(b, f, i);
    }
    guard_buf_str(b, "]");
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void put_results(guard_buf *b, const report_facts *f)
{
    open_list(b, "results");
    for (size_t i = 0; i < f->n_result; i++) {
        guard_json_comma(b);
        guard_result_json(b, &f->result[i]->r);
    }
    guard_buf_str(b, "]");
    open_list(b, "curves");
    for (size_t i = 0; i < f->n_result; i++) {
        const report_result *x = f->result[i];

        if (x->n_curve == 0) continue;
        open_item(b);
        guard_put_str(b, "guard", x->r.guard);
        guard_put_str(b, "set", x->r.set);
        open_list(b, "recall_precision");
        for (size_t k = 0; k < x->n_curve; k++) {
            guard_json_comma(b);
            guard_buf_str(b, "[");
            guard_json_double(b, x->curve[k].x);
            guard_buf_str(b, ",");
            guard_json_double(b, x->curve[k].y);
            guard_buf_str(b, "]");
        }
        guard_buf_str(b, "]}");
    }
    guard_buf_str(b, "]");
}

static void put_series(guard_buf *b, const report_series *s)
{
    open_item(b);
    guard_put_u64(b, "ordinal", s->ordinal);
    guard_put_str(b, "metric", s->name);
    guard_put_u64(b, "values", s->count);
    put_double(b, "first", s->first);
    put_double(b, "last", s->last);
    put_double(b, "min", s->min);
    put_double(b, "max", s->max);
    open_list(b, "step_mean_low_high");
    for (size_t i = 0; i < s->n; i++) {
        const double v[4] = {s->at[i].x, s->at[i].y, s->at[i].lo, s->at[i].hi};

        guard_json_comma(b);
        guard_buf_str(b, "[");
        for (size_t k = 0; k < 4; k++) {
            guard_json_comma(b);
            guard_json_double(b, v[k]);
        }
        guard_buf_str(b, "]");
    }
    guard_buf_str(b, "]}");
}

static void put_ordinal(guard_buf *b, const report_facts *f, const char *key, size_t entry)
{
    guard_json_key(b, key);
    if (entry == REPORT_NOWHERE) guard_json_null(b);
    else guard_json_u64(b, f->ledger.entry[entry].ordinal);
}

static void put_rounds(guard_buf *b, const report_facts *f)
{
    open_list(b, "rounds");
    for (size_t i = 0; i < f->n_round; i++) {
        const report_round *r = f->round + i;
        const guard_entry *accept = r->accept == REPORT_NOWHERE ? NULL : f->ledger.entry + r->accept;
        char stopped[160];

        report_note_text(stopped, sizeof stopped, f->ledger.entry + r->attack, "stopped");
        open_item(b);
        put_ordinal(b, f, "attack", r->attack);
        put_ordinal(b, f, "harvest", r->harvest);
        put_ordinal(b, f, "hard_negatives", r->hard);
        put_ordinal(b, f, "train_guard", r->train);
        guard_put_str(b, "stopped", stopped);
        guard_json_key(b, "accepted");
        if (accept) guard_json_bool(b, report_note_number(accept, "accepted") > 0.0);
        else guard_json_null(b);
        put_double(b, "recall", accept ? report_note_number(accept, "recall") : (double)NAN);
        put_double(b, "recall_before", accept ? report_note_number(accept, "recall_before") : (double)NAN);
        put_double(b, "target_fpr", accept ? report_note_number(accept, "target_fpr") : (double)NAN);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]");
}

/* --- rows and the model ------------------------------------------------------------------------ */

static void put_example(guard_buf *b, const report_facts *f, const report_file *c, const report_group *g,
                        const report_example *x)
{
    open_item(b);
    guard_put_u64(b, "ordinal", f->ledger.entry[c->entry].ordinal);
    guard_put_str(b, "group", g->name);
    guard_put_str(b, "id", x->id);
    guard_json_key(b, "label");
    if (x->label == GUARD_LABEL_NONE) guard_json_null(b);
    else guard_json_u64(b, (uint64_t)x->label);
    guard_put_str(b, "category", x->category);
    guard_put_str(b, "ops", x->ops);
    guard_put_str(b, "reason", x->reason);
    guard_put_u64(b, "bytes", x->text_bytes + x->response_bytes);
    guard_put_str(b, "sha256", x->sha256);
    guard_json_key(b, "text");
    if (x->hidden) guard_json_null(b);
    else guard_json_str(b, x->text, x->text_len);
    put_bool(b, "whole", !x->hidden && x->text_len == x->text_bytes && x->response_bytes == 0);
    guard_buf_str(b, "}");
}

static void put_examples(guard_buf *b, const report_facts *f)
{
    open_list(b, "examples");
    for (size_t i = 0; i < f->n_file; i++) {
        for (size_t k = 0; k < f->file[i]->n_group; k++) {
            const report_group *g = f->file[i]->group + k;

            for (size_t j = 0; j < g->n; j++) put_example(b, f, f->file[i], g, g->at + j);
        }
    }
    guard_buf_str(b, "]");
}

static void put_model(guard_buf *b, const report_model *m)
{
    guard_json_key(b, "model");
    if (!m->there) {
        guard_json_null(b);
        return;
    }
    guard_buf_str(b, "{");
    guard_put_str(b, "name", m->name);
    guard_put_str(b, "licence", m->licence);
    guard_put_str(b, "sha256", m->sha256);
    guard_put_u64(b, "bytes", m->bytes);
    guard_put_u64(b, "weights", m->weights);
    guard_put_u64(b, "window", m->window);
    open_list(b, "thresholds");
    for (size_t i = 0; i < m->n_rate; i++) {
        open_item(b);
        put_double(b, "target_fpr", m->rate[i]);
        put_double(b, "threshold", m->threshold[i]);
        guard_buf_str(b, "}");
    }
    guard_buf_str(b, "]}");
}

void report_json(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "{\"format\":1");
    put_run(b, f);
    put_model(b, &f->model);
    put_results(b, f);
    put_rounds(b, f);
    put_stages(b, f);
    open_list(b, "metrics");
    for (size_t i = 0; i < f->n_series; i++) put_series(b, f->series[i]);
    guard_buf_str(b, "]");
    guard_put_u64(b, "metrics_left_out", f->series_left_out);
    put_examples(b, f);
    guard_buf_str(b, "}\n");
}
