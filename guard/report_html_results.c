/* report_html_results.c - report.html: tables and precision-recall curves by set, losses, the adversary's rounds. */
#include "guard/report_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LINES 8u /* in one chart; styles repeat after them */

/* --- results ------------------------------------------------------------------------------ */

static void put_cell(guard_buf *b, double v, guard_interval ci)
{
    guard_buf_str(b, "<td class=\"m\">");
    report_put_fixed(b, v, 3);
    if (!isnan(v) && !isnan(ci.low)) {
        guard_buf_str(b, " <small>");
        report_put_fixed(b, ci.low, 2);
        guard_buf_str(b, "\xe2\x80\x93");
        report_put_fixed(b, ci.high, 2);
        guard_buf_str(b, "</small>");
    }
    if (!isnan(v)) report_svg_dot(b, v, ci);
    guard_buf_str(b, "</td>");
}

/* Columns of the table; some stand only where the set defines them. */
typedef struct {
    const char *title;
    double v;
    guard_interval ci;
} cell;

#define CELLS 8u
static void cells_of(cell out[CELLS], const guard_result *r)
{
    const cell all[CELLS] = {{"precision", r->all.precision, r->ci.precision},
                             {"recall", r->all.recall, r->ci.recall},
                             {"F1", r->all.f1, r->ci.f1},
                             {"average precision", r->all.average_precision, r->ci.average_precision},
                             {"ROC AUC", r->all.roc_auc, r->ci.roc_auc},
                             {"FPR", r->all.fpr, r->ci.fpr},
                             {"FPR, safe twins", r->fpr_twins, r->ci_twins},
                             {"FPR, ordinary", r->fpr_ordinary, r->ci_ordinary}};

    memcpy(out, all, sizeof all);
}

static void set_note(guard_buf *b, const guard_result *r)
{
    report_put_count(b, r->all.n);
    guard_buf_str(b, " rows, ");
    report_put_count(b, r->all.positive);
    guard_buf_str(b, " unsafe; stored threshold for a false-positive rate of ");
    report_put_fixed(b, r->target_fpr * 100.0, 1);
    guard_buf_str(b, "% on validation rows; 95% intervals by bootstrap over rows");
}

/* The results of one evaluate stage from index `first` on; returns how many. */
static size_t stage_results(const report_facts *f, size_t first)
{
    size_t n = 1;

    while (first + n < f->n_result && f->result[first + n]->entry == f->result[first]->entry) n++;
    return n;
}

static void put_table(guard_buf *b, const report_facts *f, size_t first, size_t n)
{
    guard_buf note = {NULL, 0, 0, NN_OK};
    bool shown[CELLS] = {false};
    cell c[CELLS];

    for (size_t i = first; i < first + n; i++) {
        cells_of(c, &f->result[i]->r);
        for (size_t k = 0; k < CELLS; k++) shown[k] = shown[k] || !isnan(c[k].v);
    }
    set_note(&note, &f->result[first]->r);
    if (b->status == NN_OK) b->status = note.status;
    report_table_open(b, f->result[first]->r.set, note.bytes ? note.bytes : "", NULL);
    report_put_th(b, "guard", false);
    for (size_t k = 0; k < CELLS; k++) {
        if (shown[k]) report_put_th(b, c[k].title, false);
    }
    guard_buf_str(b, "</tr></thead>\n<tbody>\n");
    for (size_t i = first; i < first + n; i++) {
        cells_of(c, &f->result[i]->r);
        guard_buf_str(b, "<tr><th scope=\"row\">");
        report_puts(b, f->result[i]->r.guard);
        guard_buf_str(b, "</th>");
        for (size_t k = 0; k < CELLS; k++) {
            if (shown[k]) put_cell(b, c[k].v, c[k].ci);
        }
        guard_buf_str(b, "</tr>\n");
    }
    report_table_close(b);
    guard_buf_free(&note);
}

/* At most LINES guards a chart, more charts for more guards. */
static void put_curves(guard_buf *b, const report_facts *f, size_t first, size_t n)
{
    report_line line[LINES];
    char title[160];

    for (size_t i = first; i < first + n;) {
        report_chart c = {title, "recall", "precision", true, false, line, 0};

        for (; i < first + n && c.n < LINES; i++) {
            const report_result *x = f->result[i];
            const bool mark = !isnan(x->r.all.recall) && !isnan(x->r.all.precision);

            if (x->n_curve == 0) continue;
            line[c.n] = (report_line){x->r.guard, x->curve, x->n_curve, c.n, true, mark, x->r.all.recall,
                                      x->r.all.precision};
            c.n++;
        }
        snprintf(title, sizeof title, "Precision and recall: %s", f->result[first]->r.set);
        if (c.n) report_svg_chart(b, &c);
    }
}

void report_html_results(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "<section id=\"results\">\n<h2>Results</h2>\n");
    if (f->n_result == 0) {
        guard_buf_str(b, "<p>This run evaluated no guard.</p>\n</section>\n");
        return;
    }
    guard_buf_str(b, "<p>FPR is the false-positive rate: the share of safe rows that are flagged. Safe twins share "
                     "their alarming words with an unsafe row. A set with one class has a recall or a "
                     "false-positive rate and nothing else.</p>\n");
    for (size_t i = 0; i < f->n_result; i += stage_results(f, i)) put_table(b, f, i, stage_results(f, i));
    guard_buf_str(b, "<h3>Precision and recall at every threshold</h3>\n"
                     "<p>Steps, not interpolated; a mark is the stored threshold.</p>\n"
                     "<div class=\"grid\">\n");
    for (size_t i = 0; i < f->n_result; i += stage_results(f, i)) put_curves(b, f, i, stage_results(f, i));
    guard_buf_str(b, "</div>\n</section>\n");
}

/* --- training ----------------------------------------------------------------------------- */

static bool add_line(report_chart *c, report_line *line, const report_facts *f, size_t ordinal, const char *metric,
                     const char *label)
{
    const report_series *s = report_series_find(f, ordinal, metric);

    if (!s || s->n == 0) return false;
    line[c->n] = (report_line){label, s->at, s->n, c->n, false, false, 0.0, 0.0};
    c->n++;
    return true;
}

static void put_losses(guard_buf *b, const report_facts *f, const guard_entry *e)
{
    report_line line[3];
    char label[64], names[REPORT_NAME], title[256];
    report_chart c = {title, "step", "loss", false, false, line, 0};

    add_line(&c, line, f, e->ordinal, "loss", "training loss");
    add_line(&c, line, f, e->ordinal, "valid_loss", "validation loss");
    if (c.n == 0) return;
    report_stage_label(label, e);
    report_guard_names(names, f, e);
    snprintf(title, sizeof title, "%s%s%s", label, names[0] ? ": " : "", names);
    report_svg_chart(b, &c);
}

/* Learning rate and gradient norm: for who wonders why a loss looks as it does. */
static void put_other_metrics(guard_buf *b, const report_facts *f, const guard_entry *e)
{
    static const char *const metric[] = {"lr", "grad_norm"}, *const name[] = {"learning rate", "gradient norm"};
    char label[64], title[128];

    report_stage_label(label, e);
    for (size_t i = 0; i < 2; i++) {
        report_line line[1];
        report_chart c = {title, "step", name[i], false, false, line, 0};

        snprintf(title, sizeof title, "%s: %s", label, name[i]);
        if (add_line(&c, line, f, e->ordinal, metric[i], name[i])) report_svg_chart(b, &c);
    }
}

void report_html_training(guard_buf *b, const report_facts *f)
{
    bool any = false;

    guard_buf_str(b, "<section id=\"training\">\n<h2>Training</h2>\n");
    for (size_t i = 0; i < f->n_entry; i++)
        any = any || (!f->ledger.entry[i].rule && report_series_find(f, f->ledger.entry[i].ordinal, "loss"));
    if (!any) {
        guard_buf_str(b, "<p>No stage of this run recorded a loss.</p>\n</section>\n");
        return;
    }
    guard_buf_str(b, "<p>Mean loss by step. Where a point stands for several steps, the shade behind the line "
                     "reaches from the lowest to the highest of them.</p>\n"
                     "<div class=\"grid\">\n");
    for (size_t i = 0; i < f->n_entry; i++) {
        if (!f->ledger.entry[i].rule) put_losses(b, f, f->ledger.entry + i);
    }
    guard_buf_str(b, "</div>\n<details>\n<summary>Learning rates and gradient norms</summary>\n"
                     "<div class=\"grid\">\n");
    for (size_t i = 0; i < f->n_entry; i++) {
        if (!f->ledger.entry[i].rule) put_other_metrics(b, f, f->ledger.entry + i);
    }
    guard_buf_str(b, "</div>\n</details>\n");
    if (f->series_left_out) {
        guard_buf_str(b, "<p>Metrics left out, beyond the first 4,096 curves: ");
        report_put_count(b, f->series_left_out);
        guard_buf_str(b, " values.</p>\n");
    }
    guard_buf_str(b, "</section>\n");
}

/* --- the adversary ------------------------------------------------------------------------ */

static void put_change(guard_buf *b, const report_facts *f, size_t ordinal, const char *metric)
{
    const report_series *s = report_series_find(f, ordinal, metric);

    guard_buf_str(b, "<td class=\"m\">");
    report_put_fixed(b, s ? s->first : (double)NAN, 2);
    guard_buf_str(b, " \xe2\x86\x92 ");
    report_put_fixed(b, s ? s->last : (double)NAN, 2);
    guard_buf_str(b, "</td>");
}

static void put_file_count(guard_buf *b, const report_facts *f, size_t entry, bool fooled)
{
    const report_file *c = entry == REPORT_NOWHERE ? NULL : report_file_of(f, entry, 0);

    guard_buf_str(b, "<td class=\"n\">");
    if (c) report_put_count(b, fooled ? c->fooled : c->kept);
    else guard_buf_str(b, "\xe2\x80\x93");
    guard_buf_str(b, "</td>");
}

static void put_verdict(guard_buf *b, const report_facts *f, size_t accept)
{
    if (accept == REPORT_NOWHERE) {
        guard_buf_str(b, "<td>not asked</td>");
        return;
    }
    const guard_entry *e = f->ledger.entry + accept;
    guard_buf_str(b, "<td>");
    guard_buf_str(b, report_note_number(e, "accepted") > 0.0 ? "accepted" : "refused");
    guard_buf_str(b, ": recall ");
    report_put_fixed(b, report_note_number(e, "recall_before"), 3);
    guard_buf_str(b, " \xe2\x86\x92 ");
    report_put_fixed(b, report_note_number(e, "recall"), 3);
    guard_buf_str(b, " at FPR ");
    report_put_fixed(b, report_note_number(e, "target_fpr"), 2);
    guard_buf_str(b, "</td>");
}

static void put_round_table(guard_buf *b, const report_facts *f)
{
    report_table_open(b, "Rounds", "first step \xe2\x86\x92 last step; recall on validation rows",
                      "round|reward|fooled|paid judge|judges not paid|#written|#of these fooled|"
                      "#hard negatives|new guard|why it ended");
    for (size_t i = 0; i < f->n_round; i++) {
        const report_round *r = f->round + i;
        const guard_entry *attack = f->ledger.entry + r->attack;
        char stopped[160];

        guard_buf_fmt(b, "<tr><th scope=\"row\">%zu</th>", i + 1);
        put_change(b, f, attack->ordinal, "reward");
        put_change(b, f, attack->ordinal, "fooled");
        put_change(b, f, attack->ordinal, "reward_judge");
        put_change(b, f, attack->ordinal, "held_judges");
        put_file_count(b, f, r->harvest, false);
        put_file_count(b, f, r->harvest, true);
        put_file_count(b, f, r->hard, false);
        put_verdict(b, f, r->accept);
        report_note_text(stopped, sizeof stopped, attack, "stopped");
        guard_buf_str(b, "<td>");
        report_puts(b, stopped[0] ? stopped : "all updates done");
        guard_buf_str(b, "</td></tr>\n");
    }
    report_table_close(b);
}

static void put_round_charts(guard_buf *b, const report_facts *f, size_t round)
{
    const size_t ordinal = f->ledger.entry[f->round[round].attack].ordinal;
    report_line line[3];
    char title[96];
    report_chart watch = {title, "policy update", "share", false, true, line, 0};

    snprintf(title, sizeof title, "Round %zu: who believes the label", round + 1);
    add_line(&watch, line, f, ordinal, "reward_judge", "judge that is paid for");
    add_line(&watch, line, f, ordinal, "held_judges", "judges that are not paid for");
    add_line(&watch, line, f, ordinal, "fooled", "guard fooled");
    if (watch.n) report_svg_chart(b, &watch);
    snprintf(title, sizeof title, "Round %zu: reward", round + 1);
    report_chart reward = {title, "policy update", "mean reward", false, false, line, 0};
    if (add_line(&reward, line, f, ordinal, "reward", "mean reward")) report_svg_chart(b, &reward);
}

/* Signs of a policy that collapses, leaves its reference or repeats itself. */
static void put_round_signs(guard_buf *b, const report_facts *f, size_t round)
{
    static const char *const metric[] = {"kl", "distinct2", "repetition", "length", "empty"};
    static const char *const name[] = {"KL to the reference", "distinct bigrams", "repetition", "length", "empty"};
    const size_t ordinal = f->ledger.entry[f->round[round].attack].ordinal;

    for (size_t i = 0; i < sizeof metric / sizeof *metric; i++) {
        report_line line[1];
        char title[96];
        report_chart c = {title, "policy update", name[i], false, false, line, 0};

        snprintf(title, sizeof title, "Round %zu: %s", round + 1, name[i]);
        if (add_line(&c, line, f, ordinal, metric[i], name[i])) report_svg_chart(b, &c);
    }
}

void report_html_rounds(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "<section id=\"rounds\">\n<h2>The adversary</h2>\n");
    if (f->n_round == 0) {
        guard_buf_str(b, "<p>This run had no adversarial round.</p>\n</section>\n");
        return;
    }
    guard_buf_str(b, "<p>The generator is paid for requests that the guard gets wrong while one judge believes "
                     "their label. The judges that are not paid for are the watch: when the paid judge believes "
                     "and they do not, the reward is being gamed and not the guard.</p>\n");
    put_round_table(b, f);
    guard_buf_str(b, "<div class=\"grid\">\n");
    for (size_t i = 0; i < f->n_round; i++) put_round_charts(b, f, i);
    guard_buf_str(b, "</div>\n<details>\n<summary>Other signs: KL, variety, repetition, length, empty "
                     "texts</summary>\n<div class=\"grid\">\n");
    for (size_t i = 0; i < f->n_round; i++) put_round_signs(b, f, i);
    guard_buf_str(b, "</div>\n</details>\n</section>\n");
}
