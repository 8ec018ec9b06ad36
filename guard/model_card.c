/* model_card.c - model_card.md: what the guard is for, what it learnt from, how good it is and where it fails.
 *
 * Every fact is read from the folder; what holds for any guard of this kind is said once, in plain sentences.
 */
#include "guard/report_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LANGUAGES 12u /* named; the others are counted */

/* --- the guard ------------------------------------------------------------------------------ */

static void put_summary(guard_buf *b, const report_facts *f)
{
    const report_model *m = &f->model;

    guard_buf_str(b, "# Model card: ");
    report_put_md(b, m->name[0] ? m->name : f->run.script);
    guard_buf_str(b, "\n\n");
    if (!m->there) {
        guard_buf_str(b, "This run shipped no guard; the numbers below are of guards inside the run folder.\n\n");
        return;
    }
    guard_buf_str(b, "A guard that says of a text whether it is a safe or an unsafe request to a language model, "
                     "with a probability for each category of its taxonomy.\n\n"
                     "- file: `guard.gguf`, ");
    report_put_count(b, m->bytes);
    guard_buf_str(b, " bytes, ");
    report_put_count(b, m->weights);
    guard_buf_fmt(b, " weights\n- SHA-256: `%s`\n", m->sha256);
    if (m->window)
        guard_buf_fmt(b, "- reads windows of %zu tokens; the verdict is the worst window\n", (size_t)m->window);
    guard_buf_str(b, "\n");
}

static void put_use(guard_buf *b)
{
    guard_buf_str(
        b, "## Intended use\n\n"
           "Screening of prompts (and of responses, when it was trained on them) before or after a language model, "
           "on the machine where that model runs, as one layer of several; research on small guards.\n\n"
           "## Out of scope\n\n"
           "- the only safeguard of a product, or a decision about a person\n"
           "- text in languages or registers that the training rows lack\n"
           "- evidence of intent: a verdict is about words\n"
           "- making unsafe text: the generator of this run is not part of what ships\n\n");
}

/* --- data ----------------------------------------------------------------------------------- */

/* The corpus that the shipped guard was trained on, else what the last trained guard was. */
static const report_file *trained_on(const report_facts *f)
{
    const char *model = NULL;
    const report_file *found = NULL;

    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;

        if (strcmp(e->name, "ship") == 0 && e->n_in) model = e->in[0];
    }
    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;
        size_t output = 0;

        if (e->rule || strcmp(e->name, "train_guard") != 0 || e->n_in == 0) continue;
        if (model && !(e->out.n && strcmp(e->out.at[0].sha256, model) == 0)) continue;
        const size_t from = report_writer(f, i, e->in[0], &output);
        if (from != REPORT_NOWHERE) found = report_file_of(f, from, output);
    }
    return found;
}

static void put_corpus(guard_buf *b, const report_file *c)
{
    size_t order[REPORT_NAMES];

    guard_buf_str(b, "The guard was trained on ");
    report_put_count(b, c->kept);
    guard_buf_str(b, " rows: ");
    report_put_count(b, c->unsafe);
    guard_buf_str(b, " unsafe, ");
    report_put_count(b, c->safe);
    guard_buf_str(b, " safe");
    if (c->unlabelled) guard_buf_str(b, ", ");
    if (c->unlabelled) report_put_count(b, c->unlabelled);
    guard_buf_str(b, c->unlabelled ? " unlabelled.\n" : ".\n");
    guard_buf_str(b, "Languages, as the rows state them:");
    report_counts_order(order, &c->lang);
    for (size_t i = 0; i < c->lang.n && i < LANGUAGES; i++) {
        guard_buf_str(b, i ? ", " : " ");
        report_put_md(b, c->lang.at[order[i]].name);
        guard_buf_str(b, " ");
        report_put_count(b, c->lang.at[order[i]].n);
    }
    guard_buf_str(b, c->lang.n > LANGUAGES ? " and others.\n\n" : ".\n\n");
    if (c->unsafe_category.n == 0) return;
    guard_buf_str(b, "| category | unsafe rows | safe rows that share it |\n|---|---:|---:|\n");
    for (size_t i = 0; i < c->unsafe_category.n; i++) {
        uint64_t safe = 0;

        for (size_t k = 0; k < c->safe_category.n; k++) {
            const report_count *x = c->safe_category.at + k;

            if (strcmp(x->name, c->unsafe_category.at[i].name) == 0) safe = x->n;
        }
        guard_buf_str(b, "| ");
        report_put_md(b, c->unsafe_category.at[i].name);
        guard_buf_str(b, " | ");
        report_put_count(b, c->unsafe_category.at[i].n);
        guard_buf_str(b, " | ");
        report_put_count(b, safe);
        guard_buf_str(b, " |\n");
    }
    guard_buf_str(b, "\n");
}

static void put_data(guard_buf *b, const report_facts *f)
{
    const report_file *c = trained_on(f);
    bool any = false;

    guard_buf_str(b, "## Training data\n\n");
    for (size_t i = 0; i < f->run.inputs.n; i++) {
        if (!report_input_used(f, i)) continue;
        if (!any) guard_buf_str(b, "Files that the run read, for training or for evaluation:\n\n"
                                   "| input | SHA-256 |\n|---|---|\n");
        any = true;
        guard_buf_str(b, "| ");
        report_put_md(b, f->run.inputs.at[i].path);
        guard_buf_fmt(b, " | `%s` |\n", f->run.inputs.at[i].sha256);
    }
    guard_buf_str(b, any ? "\n" : "The run read no file.\n\n");
    if (c) put_corpus(b, c);
}

/* --- numbers -------------------------------------------------------------------------------- */

static void put_cell(guard_buf *b, double v, guard_interval ci)
{
    guard_buf_str(b, " ");
    report_put_fixed(b, v, 3);
    if (!isnan(v) && !isnan(ci.low)) {
        guard_buf_str(b, " (");
        report_put_fixed(b, ci.low, 2);
        guard_buf_str(b, "\xe2\x80\x93");
        report_put_fixed(b, ci.high, 2);
        guard_buf_str(b, ")");
    }
    guard_buf_str(b, " |");
}

static void put_numbers(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "## Numbers\n\n");
    if (f->n_result == 0) {
        guard_buf_str(b, "The run evaluated no guard.\n\n");
        return;
    }
    guard_buf_str(b, "At the stored threshold, with 95% intervals by bootstrap over rows. FPR: share of safe rows "
                     "that are flagged; twins share their alarming words with an unsafe row.\n\n"
                     "| set | guard | rows | precision | recall | F1 | average precision | FPR | FPR twins | FPR "
                     "ordinary |\n|---|---|---:|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < f->n_result; i++) {
        const guard_result *r = &f->result[i]->r;

        guard_buf_str(b, "| ");
        report_put_md(b, r->set);
        guard_buf_str(b, " | ");
        report_put_md(b, r->guard);
        guard_buf_str(b, " | ");
        report_put_count(b, r->all.n);
        guard_buf_str(b, " |");
        put_cell(b, r->all.precision, r->ci.precision);
        put_cell(b, r->all.recall, r->ci.recall);
        put_cell(b, r->all.f1, r->ci.f1);
        put_cell(b, r->all.average_precision, r->ci.average_precision);
        put_cell(b, r->all.fpr, r->ci.fpr);
        put_cell(b, r->fpr_twins, r->ci_twins);
        put_cell(b, r->fpr_ordinary, r->ci_ordinary);
        guard_buf_str(b, "\n");
    }
    guard_buf_str(b, "\n");
}

static void put_thresholds(guard_buf *b, const report_model *m)
{
    guard_buf_str(b, "## Thresholds\n\nA text is flagged when its calibrated probability reaches the threshold. A "
                     "threshold is chosen on validation rows, so that at most the stated share of their safe rows "
                     "is flagged; on other text that share differs. A lower rate finds less.\n\n");
    if (m->n_rate == 0) return;
    guard_buf_str(b, "| false-positive rate on validation rows | threshold |\n|---:|---:|\n");
    for (size_t i = 0; i < m->n_rate; i++) {
        guard_buf_str(b, "| ");
        report_put_fixed(b, m->rate[i] * 100.0, 1);
        guard_buf_str(b, "% | ");
        report_put_fixed(b, m->threshold[i], 4);
        guard_buf_str(b, " |\n");
    }
    guard_buf_str(b, "\n");
}

/* --- limits ---------------------------------------------------------------------------------- */

static void put_twins(guard_buf *b, const report_result *x)
{
    if (!x || isnan(x->r.fpr_twins) || isnan(x->r.fpr_ordinary)) return;
    guard_buf_str(b, " Here (");
    report_put_md(b, x->r.guard);
    guard_buf_str(b, " on ");
    report_put_md(b, x->r.set);
    guard_buf_str(b, "): ");
    report_put_fixed(b, x->r.fpr_twins * 100.0, 1);
    guard_buf_str(b, "% of the twins, ");
    report_put_fixed(b, x->r.fpr_ordinary * 100.0, 1);
    guard_buf_str(b, "% of ordinary requests.");
}

static void put_limits(guard_buf *b, const report_facts *f)
{
    size_t accepted = 0;

    for (size_t i = 0; i < f->n_round; i++) {
        const size_t at = f->round[i].accept;

        accepted += at != REPORT_NOWHERE && report_note_number(f->ledger.entry + at, "accepted") > 0.0;
    }
    guard_buf_str(b, "## Limits\n\n- Languages: what the training rows lack was not learnt and not measured.\n"
                     "- False positives: safe requests that share words with unsafe ones are flagged more often.");
    put_twins(b, report_final(f));
    guard_buf_str(b, "\n- Adversaries: ");
    if (f->n_round == 0) guard_buf_str(b, "the guard was not attacked in this run.");
    else
        guard_buf_fmt(b, "the guard went through %zu round%s against a small generator, and %zu of the guards "
                         "trained on what was found %s accepted.",
                      f->n_round, f->n_round == 1 ? "" : "s", accepted, accepted == 1 ? "was" : "were");
    guard_buf_str(b, " Larger or human adversaries will find more.\n"
                     "- Labels of written rows are those asked for, confirmed by judges at best.\n\n");
}

static void put_licence(guard_buf *b, const report_model *m)
{
    guard_buf_str(b, "## Licence\n\nWeights: ");
    if (m->licence[0]) report_put_md(b, m->licence);
    else guard_buf_str(b, "not stated in the file; those of the inputs above apply");
    guard_buf_str(b, ". Code of Parapet: MIT.\n\n");
}

/* --- again ------------------------------------------------------------------------------------ */

/* One word of a command line inside a code block: quoted for a shell unless it is plain, on one line. */
static void put_word(guard_buf *b, const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";

    if (s[0] && s[strspn(s, plain)] == '\0') {
        guard_buf_str(b, s);
        return;
    }
    guard_buf_str(b, "'");
    for (; *s; s++) {
        if (*s == '\'') guard_buf_str(b, "'\\''");
        else if ((unsigned char)*s < 0x20) guard_buf_str(b, " ");
        else guard_buf_add(b, s, 1);
    }
    guard_buf_str(b, "'");
}

/* Where the script stands among the saved ones. */
static const char *script_path(const report_facts *f)
{
    for (size_t i = 0; i < f->run.scripts.n; i++) {
        const char *slash = strrchr(f->run.scripts.at[i].path, '/');

        if (slash && strcmp(slash + 1, f->run.script) == 0) return f->run.scripts.at[i].path;
    }
    return f->run.script;
}

static void put_again(guard_buf *b, const report_facts *f)
{
    char seed[21];

    guard_buf_str(b, "## How to reproduce\n\n    parapet run ");
    put_word(b, script_path(f));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)f->run.seed);
    guard_buf_fmt(b, " --seed %s", seed);
    for (size_t i = 0; i < f->run.n_set; i++) {
        guard_buf_str(b, " --set ");
        put_word(b, f->run.set[i]);
    }
    guard_buf_str(b, " --out runs/again\n    parapet audit THIS_FOLDER runs/again\n\n"
                     "with the inputs and scripts named in run.json: the second command says that both folders "
                     "hold the same bytes.\n\nLedger head when this card was written: ");
    guard_buf_fmt(b, "`%s` (%zu entries).\n", report_head(f), f->n_entry);
}

void report_card(guard_buf *b, const report_facts *f)
{
    put_summary(b, f);
    put_use(b);
    put_data(b, f);
    put_numbers(b, f);
    put_thresholds(b, &f->model);
    put_limits(b, f);
    put_licence(b, &f->model);
    put_again(b, f);
}
