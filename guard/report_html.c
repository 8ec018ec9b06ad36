/* report_html.c - report.html: the page, what the run is, its stages, and what its numbers cannot say. */
#include "guard/report_impl.h"
#include <math.h>
#include <string.h>

/* --- small pieces ------------------------------------------------------------------------- */

static void put_hash(guard_buf *b, const char *sha256)
{
    guard_buf_str(b, "<code>");
    report_puts(b, sha256);
    guard_buf_str(b, "</code>");
}

static void put_short_hash(guard_buf *b, const char *sha256)
{
    guard_buf_fmt(b, "<code>%.12s</code>", sha256);
}

static void put_tile(guard_buf *b, uint64_t n, const char *what)
{
    guard_buf_str(b, "<li><b>");
    report_put_count(b, n);
    guard_buf_fmt(b, "</b> <span>%s</span></li>\n", what);
}

static size_t stage_count(const report_facts *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n_entry; i++) n += !f->ledger.entry[i].rule;
    return n;
}

/* --- the page's head ---------------------------------------------------------------------- */

static void put_title(guard_buf *b, const report_facts *f)
{
    report_puts(b, f->run.script);
    guard_buf_str(b, ", seed ");
    guard_json_u64(b, f->run.seed);
}

static void put_head(guard_buf *b, const report_facts *f)
{
    const char *line = NULL;

    guard_buf_str(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                     "<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, "
                     "initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
                     "'none'; style-src 'unsafe-inline'\">\n<title>");
    put_title(b, f);
    guard_buf_str(b, ": a Parapet run</title>\n<style>\n");
    for (size_t i = 0; (line = report_style_line(i)) != NULL; i++) guard_buf_fmt(b, "%s\n", line);
    guard_buf_str(b, "</style>\n</head>\n<body>\n");
}

static void put_final_tile(guard_buf *b, const report_facts *f)
{
    const report_result *x = report_final(f);

    if (!x) return;
    const bool ap = !isnan(x->r.all.average_precision);
    const bool recall = !isnan(x->r.all.recall);
    const double v = ap ? x->r.all.average_precision : recall ? x->r.all.recall : x->r.all.fpr;
    guard_buf_str(b, "<li><b>");
    report_put_fixed(b, v, 3);
    guard_buf_fmt(b, "</b> <span>%s: ", ap ? "average precision" : recall ? "recall" : "false-positive rate");
    report_puts(b, x->r.guard);
    guard_buf_str(b, ", on ");
    report_puts(b, x->r.set);
    guard_buf_str(b, "</span></li>\n");
}

static void put_header(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "<header>\n<h1>");
    put_title(b, f);
    guard_buf_str(b, "</h1>\n<p class=\"dim\">A run of Parapet: from seeds to a safety guard that was attacked, "
                     "hardened and measured. Made from the run folder alone; the same folder gives the same "
                     "page.</p>\n<ul class=\"tiles\">\n");
    put_final_tile(b, f);
    put_tile(b, stage_count(f), "stages");
    put_tile(b, report_tokens(f), "tokens of training and writing");
    put_tile(b, f->n_round, f->n_round == 1 ? "adversarial round" : "adversarial rounds");
    guard_buf_str(b, "</ul>\n<nav aria-label=\"Sections\"><ul>\n<li><a href=\"#run\">This run</a></li>\n"
                     "<li><a href=\"#results\">Results</a></li>\n<li><a href=\"#training\">Training</a></li>\n"
                     "<li><a href=\"#rounds\">The adversary</a></li>\n"
                     "<li><a href=\"#flow\">What came from what</a></li>\n"
                     "<li><a href=\"#examples\">Examples</a></li>\n"
                     "<li><a href=\"#stages\">Stages</a></li>\n<li><a href=\"#limits\">Limits</a></li>\n"
                     "</ul></nav>\n</header>\n<main>\n");
}

/* --- this run ----------------------------------------------------------------------------- */

static void put_inputs(guard_buf *b, const report_facts *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->run.inputs.n; i++) n += report_input_used(f, i);
    if (n == 0) {
        guard_buf_str(b, "<p>No input file was read.</p>\n");
        return;
    }
    report_table_open(b, "Inputs", "", "file|SHA-256");
    for (size_t i = 0; i < f->run.inputs.n; i++) {
        if (!report_input_used(f, i)) continue;
        guard_buf_str(b, "<tr><th scope=\"row\">");
        report_puts(b, f->run.inputs.at[i].path);
        guard_buf_str(b, "</th><td>");
        put_hash(b, f->run.inputs.at[i].sha256);
        guard_buf_str(b, "</td></tr>\n");
    }
    report_table_close(b);
}

static void put_model(guard_buf *b, const report_model *m)
{
    if (!m->there) return;
    guard_buf_str(b, "<dt>shipped guard</dt><dd>");
    report_puts(b, m->name[0] ? m->name : "guard.gguf");
    guard_buf_str(b, ", ");
    report_put_count(b, m->weights);
    guard_buf_str(b, " weights, ");
    report_put_count(b, m->bytes);
    guard_buf_str(b, " bytes, ");
    put_hash(b, m->sha256);
    guard_buf_str(b, "</dd>\n");
}

static void put_run(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "<section id=\"run\">\n<h2>This run</h2>\n<dl class=\"facts\">\n<dt>script</dt><dd>");
    report_puts(b, f->run.script);
    guard_buf_str(b, "</dd>\n<dt>seed</dt><dd>");
    guard_json_u64(b, f->run.seed);
    guard_buf_str(b, "</dd>\n<dt>options</dt><dd>");
    if (f->run.n_set == 0) guard_buf_str(b, "none");
    for (size_t i = 0; i < f->run.n_set; i++) {
        guard_buf_str(b, i ? ", <code>" : "<code>");
        report_puts(b, f->run.set[i]);
        guard_buf_str(b, "</code>");
    }
    guard_buf_str(b, "</dd>\n<dt>scripts</dt><dd>");
    if (f->run.scripts.n == 0) guard_buf_str(b, "none saved");
    for (size_t i = 0; i < f->run.scripts.n; i++) {
        guard_buf_str(b, i ? ", " : "");
        report_puts(b, f->run.scripts.at[i].path);
        guard_buf_str(b, " ");
        put_short_hash(b, f->run.scripts.at[i].sha256);
    }
    guard_buf_str(b, "</dd>\n");
    put_model(b, &f->model);
    guard_buf_str(b, "<dt>ledger</dt><dd>");
    report_put_count(b, f->n_entry);
    guard_buf_str(b, " entries before this report, head ");
    put_hash(b, report_head(f));
    guard_buf_str(b, "</dd>\n</dl>\n");
    put_inputs(b, f);
    guard_buf_str(b, "</section>\n");
}

/* --- stages ------------------------------------------------------------------------------- */

static void put_reads(guard_buf *b, const report_facts *f, size_t entry)
{
    const guard_entry *e = f->ledger.entry + entry;
    bool any = false;

    for (size_t i = 0; i < e->n_in; i++) {
        size_t output = 0;
        const size_t from = report_writer(f, entry, e->in[i], &output);
        bool told = false;

        for (size_t k = 0; k < i; k++) told = told || strcmp(e->in[k], e->in[i]) == 0;
        if (told) continue;
        if (from != REPORT_NOWHERE) {
            const guard_entry *w = f->ledger.entry + from;
            char label[64];

            report_stage_label(label, w);
            guard_buf_fmt(b, "%s<a href=\"#stage-%zu\">", any ? ", " : "", w->ordinal);
            report_puts(b, label);
            guard_buf_str(b, "</a>");
            if (w->out.n > 1) guard_buf_fmt(b, " (%zu of %zu)", output + 1, w->out.n);
            any = true;
            continue;
        }
        for (size_t k = 0; k < f->run.inputs.n; k++) {
            if (strcmp(f->run.inputs.at[k].sha256, e->in[i]) != 0) continue;
            guard_buf_str(b, any ? ", " : "");
            report_puts(b, f->run.inputs.at[k].path);
            any = true;
            break;
        }
    }
}

static void put_rules(guard_buf *b, const report_facts *f, size_t ordinal)
{
    bool any = false;

    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;

        if (!e->rule || e->ordinal != ordinal) continue;
        guard_buf_str(b, any ? "; " : "");
        report_puts(b, e->name);
        guard_buf_str(b, ": kept ");
        report_put_fixed(b, report_note_number(e, "kept"), 0);
        guard_buf_str(b, ", dropped ");
        report_put_fixed(b, report_note_number(e, "dropped"), 0);
        any = true;
    }
}

/* Of a stage that asked a language model: which one, and what became of its questions. */
static void put_questions(guard_buf *b, const guard_entry *e)
{
    static const char *const of[][2] = {{"asked", "asked"}, {"retried", "retried"}, {"refused", "refused"},
                                        {"dropped", "unanswered"}};
    char kind[16], model[64];

    if (isnan(report_note_number(e, "asked"))) return;
    report_note_backend(kind, model, e);
    guard_buf_str(b, "<br>");
    report_puts(b, kind);
    guard_buf_str(b, model[0] ? " " : "");
    report_puts(b, model);
    guard_buf_str(b, ": ");
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        guard_buf_fmt(b, "%s%s ", i ? ", " : "", of[i][1]);
        report_put_fixed(b, report_note_number(e, of[i][0]), 0);
    }
}

/* Rows handed on, one number for each corpus. */
static void put_rows(guard_buf *b, const report_facts *f, size_t entry)
{
    bool any = false;

    for (size_t k = 0; k < f->ledger.entry[entry].out.n; k++) {
        const report_file *c = report_file_of(f, entry, k);

        if (!c) continue;
        guard_buf_str(b, any ? " + " : "");
        report_put_count(b, c->kept);
        any = true;
    }
}

static void put_stages(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "<section id=\"stages\">\n<h2>Stages</h2>\n<p>Each stage is an entry of the ledger and "
                     "carries the hash of the entry before it; <code>parapet audit</code> finds a changed byte, "
                     "<code>parapet lineage</code> follows a row.</p>\n");
    report_table_open(b, "Ledger", "rows: handed on to later stages", "stage|reads|#rows|#tokens|rules|entry");
    for (size_t i = 0; i < f->n_entry; i++) {
        const guard_entry *e = f->ledger.entry + i;
        char label[64];

        if (e->rule) continue;
        report_stage_label(label, e);
        guard_buf_fmt(b, "<tr id=\"stage-%zu\"><th scope=\"row\" class=\"m\">", e->ordinal);
        report_puts(b, label);
        guard_buf_str(b, "</th><td>");
        put_reads(b, f, i);
        guard_buf_str(b, "</td><td class=\"n\">");
        put_rows(b, f, i);
        guard_buf_str(b, "</td><td class=\"n\">");
        if (e->tokens) report_put_count(b, e->tokens);
        guard_buf_str(b, "</td><td>");
        put_rules(b, f, e->ordinal);
        put_questions(b, e);
        guard_buf_fmt(b, "</td><td>%zu ", e->n);
        put_short_hash(b, e->sha256);
        guard_buf_str(b, "</td></tr>\n");
    }
    report_table_close(b);
    guard_buf_str(b, "</section>\n");
}

/* --- limits ------------------------------------------------------------------------------- */

static void put_limits(guard_buf *b)
{
    guard_buf_str(
        b, "<section id=\"limits\">\n<h2>Limits</h2>\n<p>Intervals say how much the numbers would move with other "
           "rows of the same kind; they say nothing about other kinds of text, other languages or later attacks. "
           "Rows written by templates or by the generator carry the label that was asked for, confirmed by judges "
           "at best, not by people. A threshold keeps its false-positive rate on text like the validation rows, "
           "and safe requests that share their words with unsafe ones are flagged more often than others. The "
           "adversary here is small: what it does not find, somebody else will. A guard of this size is one layer "
           "of several, and its verdict is no proof.</p>\n"
           "<p>Unsafe text on this page is folded away, in some categories it is named by its hash alone. What is "
           "not shown stands in the run folder.</p>\n</section>\n");
}

void report_html(guard_buf *b, const report_facts *f)
{
    put_head(b, f);
    put_header(b, f);
    put_run(b, f);
    report_html_results(b, f);
    report_html_training(b, f);
    report_html_rounds(b, f);
    report_html_flow(b, f);
    report_html_examples(b, f);
    put_stages(b, f);
    put_limits(b);
    guard_buf_str(b, "</main>\n<footer><p>Ledger head before this report: ");
    put_hash(b, report_head(f));
    guard_buf_str(b, ". The same facts as data: report.json. The guard's model card: model_card.md.</p></footer>\n"
                     "</body>\n</html>\n");
}
