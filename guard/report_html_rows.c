/* report_html_rows.c - report.html: what came from what, counted; and a few rows to look at. */
#include "guard/report_impl.h"
#include <stdio.h>
#include <string.h>

#define COLUMNS 8u  /* corpora beside each other in the table of categories */
#define FLOWS 6u    /* pictures of what a rule kept */

/* --- the flow ----------------------------------------------------------------------------- */

static void put_stage_title(char out[192], const report_facts *f, const report_file *c, const char *what)
{
    char label[64];

    report_stage_label(label, f->ledger.entry + c->entry);
    snprintf(out, 192, "%s: %s", label, what);
}

/* The rule that decided about the rows, "" for none: several stages may have the same name. */
static const char *rule_name(const report_facts *f, const report_file *c)
{
    for (size_t i = 0; i < c->entry; i++) {
        const guard_entry *e = f->ledger.entry + i;

        if (e->rule && e->ordinal == f->ledger.entry[c->entry].ordinal) return e->name;
    }
    return "";
}

static void put_number(guard_buf *b, uint64_t n)
{
    guard_buf_str(b, "<td class=\"n\">");
    report_put_count(b, n);
    guard_buf_str(b, "</td>");
}

/* The numbers behind the picture: a line an outcome, a column a tier. */
static void put_flow_line(guard_buf *b, const report_file *c, const char *name, size_t outcome)
{
    guard_buf_str(b, "<tr><th scope=\"row\">");
    report_puts(b, name);
    guard_buf_str(b, "</th>");
    for (size_t i = 0; i < c->tier.n && i <= REPORT_TIERS; i++) put_number(b, c->flow[i][outcome]);
    guard_buf_str(b, "</tr>\n");
}

static void put_flow_table(guard_buf *b, const report_file *c, const char *title)
{
    size_t order[REPORT_NAMES];

    report_counts_order(order, &c->reason);
    guard_buf_str(b, "<details>\n<summary>The same as a table</summary>\n");
    report_table_open(b, title, "", NULL);
    report_put_th(b, "outcome", false);
    for (size_t i = 0; i < c->tier.n && i <= REPORT_TIERS; i++)
        report_put_th(b, i == REPORT_TIERS ? "other tiers" : report_tier_name(c->tier.at + i), true);
    guard_buf_str(b, "</tr></thead>\n<tbody>\n");
    put_flow_line(b, c, "kept", 0);
    for (size_t k = 0; k < c->reason.n; k++) put_flow_line(b, c, c->reason.at[order[k]].name, order[k] + 1);
    if (c->reason.other) put_flow_line(b, c, "other reasons", REPORT_NAMES + 1);
    report_table_close(b);
    guard_buf_str(b, "</details>\n");
}

static void put_flows(guard_buf *b, const report_facts *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n_file && n < FLOWS; i++) {
        const report_file *c = f->file[i];
        char what[96], title[192];

        if (!c->ruled || !c->has_tier || c->rows == 0 || c->has_round) continue;
        snprintf(what, sizeof what, "what rule %s made of each tier", rule_name(f, c));
        put_stage_title(title, f, c, what);
        report_svg_flow(b, c, title);
        put_flow_table(b, c, title);
        n++;
    }
}

/* --- hard negatives ----------------------------------------------------------------------- */

static void put_hard(guard_buf *b, const report_facts *f)
{
    report_table_open(b, "Hard negatives", "written by the generator, confirmed by a rule",
                      "round|#written|#kept|#unsafe|#safe|dropped, by reason");
    for (size_t i = 0; i < f->n_round; i++) {
        const report_file *c =
            f->round[i].hard == REPORT_NOWHERE ? NULL : report_file_of(f, f->round[i].hard, 0);
        size_t order[REPORT_NAMES];

        if (!c) continue;
        report_counts_order(order, &c->reason);
        guard_buf_fmt(b, "<tr><th scope=\"row\">%zu</th>", i + 1);
        put_number(b, c->rows);
        put_number(b, c->kept);
        put_number(b, c->unsafe);
        put_number(b, c->safe);
        guard_buf_str(b, "<td>");
        for (size_t k = 0; k < c->reason.n; k++) {
            guard_buf_str(b, k ? "; " : "");
            report_puts(b, c->reason.at[order[k]].name);
            guard_buf_str(b, " ");
            report_put_count(b, c->reason.at[order[k]].n);
        }
        guard_buf_str(b, "</td></tr>\n");
    }
    report_table_close(b);
}

static bool has_hard(const report_facts *f)
{
    for (size_t i = 0; i < f->n_round; i++) {
        if (f->round[i].hard != REPORT_NOWHERE) return true;
    }
    return false;
}

/* --- categories --------------------------------------------------------------------------- */

/* The corpora that training passes through: what augmentation read and wrote, what curation kept, what came back from
 * rounds; without augmentation the files that were loaded. */
static size_t key_files(const report_file *out[COLUMNS], const report_facts *f)
{
    bool augmented = false;
    size_t n = 0;

    for (size_t i = 0; i < f->n_entry; i++) augmented = augmented || strcmp(f->ledger.entry[i].name, "augment") == 0;
    for (size_t i = 0; i < f->n_file && n < COLUMNS; i++) {
        const report_file *c = f->file[i];
        const guard_entry *e = f->ledger.entry + c->entry;
        bool key = strcmp(e->name, "augment") == 0 || strcmp(e->name, "curate") == 0 || (c->ruled && c->has_round);

        if (!augmented) key = key || strcmp(e->name, "load") == 0;
        for (size_t k = c->entry; augmented && k < f->n_entry && !key; k++) {
            const guard_entry *a = f->ledger.entry + k;

            key = strcmp(a->name, "augment") == 0 && a->n_in && strcmp(a->in[0], e->out.at[c->output].sha256) == 0;
        }
        if (key) out[n++] = c;
    }
    return n;
}

static uint64_t count_of(const report_counts *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->at[i].name, name) == 0) return c->at[i].n;
    }
    return 0;
}

static void put_pair(guard_buf *b, uint64_t unsafe, uint64_t safe)
{
    guard_buf_str(b, "<td class=\"n m\">");
    report_put_count(b, unsafe);
    guard_buf_str(b, " <small>/ ");
    report_put_count(b, safe);
    guard_buf_str(b, "</small></td>");
}

static void put_categories(guard_buf *b, const report_facts *f)
{
    const report_file *file[COLUMNS];
    const size_t n = key_files(file, f);
    report_counts names;

    memset(&names, 0, sizeof names);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < file[i]->unsafe_category.n; k++)
            report_counts_add(&names, file[i]->unsafe_category.at[k].name, strlen(file[i]->unsafe_category.at[k].name));
    }
    if (n == 0) return;
    report_table_open(b, "Rows by category",
                      "unsafe rows / safe rows that share the category; a row may have several", NULL);
    report_put_th(b, "category", false);
    for (size_t i = 0; i < n; i++) {
        char label[64], title[160], part[32] = "";
        const char *rule = rule_name(f, file[i]);

        report_stage_label(label, f->ledger.entry + file[i]->entry);
        if (f->ledger.entry[file[i]->entry].out.n > 1) snprintf(part, sizeof part, " (%zu)", file[i]->output + 1);
        snprintf(title, sizeof title, "%s%s%s%s", label, rule[0] ? ": " : "", rule, part);
        report_put_th(b, title, true);
    }
    guard_buf_str(b, "</tr></thead>\n<tbody>\n<tr><th scope=\"row\">all rows</th>");
    for (size_t i = 0; i < n; i++) put_pair(b, file[i]->unsafe, file[i]->safe);
    guard_buf_str(b, "</tr>\n");
    for (size_t k = 0; k < names.n; k++) {
        guard_buf_str(b, "<tr><th scope=\"row\">");
        report_puts(b, names.at[k].name);
        guard_buf_str(b, "</th>");
        for (size_t i = 0; i < n; i++)
            put_pair(b, count_of(&file[i]->unsafe_category, names.at[k].name),
                     count_of(&file[i]->safe_category, names.at[k].name));
        guard_buf_str(b, "</tr>\n");
    }
    report_table_close(b);
}

void report_html_flow(guard_buf *b, const report_facts *f)
{
    guard_buf_str(b, "<section id=\"flow\">\n<h2>What came from what</h2>\n");
    if (f->n_file == 0) {
        guard_buf_str(b, "<p>This run wrote no corpus.</p>\n</section>\n");
        return;
    }
    guard_buf_str(b, "<p>Every synthetic row names its parents and the operations that made it. Rules decide what "
                     "stays; what they drop stays in the corpus file with its reason.</p>\n");
    put_flows(b, f);
    if (has_hard(f)) put_hard(b, f);
    put_categories(b, f);
    guard_buf_str(b, "</section>\n");
}

/* --- examples ----------------------------------------------------------------------------- */

static const char *label_name(int label)
{
    return label == GUARD_UNSAFE ? "unsafe" : label == GUARD_SAFE ? "safe" : "unlabelled";
}

static void put_one_text(guard_buf *b, const char *what, const char *text, size_t len, size_t whole)
{
    guard_buf_fmt(b, "<p class=\"text\" dir=\"auto\">%s", what);
    report_put(b, text, len);
    if (len < whole) {
        guard_buf_str(b, " \xe2\x80\xa6 (");
        report_put_count(b, whole);
        guard_buf_str(b, " bytes)");
    }
    guard_buf_str(b, "</p>");
}

static void put_text(guard_buf *b, const report_example *x)
{
    put_one_text(b, "", x->text, x->text_len, x->text_bytes);
    if (x->response_bytes) put_one_text(b, "response: ", x->response, x->response_len, x->response_bytes);
}

static void put_origin(guard_buf *b, const report_example *x)
{
    guard_buf_str(b, "<div class=\"dim\"><span class=\"id\">");
    report_puts(b, x->id);
    guard_buf_str(b, "</span>");
    if (x->ops[0]) {
        guard_buf_str(b, " made by <code>");
        report_puts(b, x->ops);
        guard_buf_str(b, "</code>");
    }
    if (x->reason[0]) {
        guard_buf_str(b, " dropped: ");
        report_puts(b, x->reason);
    }
    guard_buf_str(b, "</div>");
}

static void put_example(guard_buf *b, const report_example *x)
{
    guard_buf_fmt(b, "<li%s>", x->label == GUARD_SAFE ? "" : " class=\"unsafe\"");
    if (x->hidden && !x->never) guard_buf_str(b, "<details class=\"unsafe\"><summary>");
    else guard_buf_str(b, "<div class=\"tag\">");
    guard_buf_fmt(b, "%s, ", label_name(x->label));
    report_puts(b, x->category[0] ? x->category : "no category");
    guard_buf_str(b, ", ");
    report_put_count(b, x->text_bytes + x->response_bytes);
    guard_buf_str(b, " bytes");
    if (x->never) guard_buf_fmt(b, ", never shown: <code>%.16s</code>", x->sha256);
    guard_buf_str(b, x->hidden && !x->never ? "</summary>" : "</div>");
    if (!x->never) put_text(b, x);
    if (x->hidden && !x->never) guard_buf_str(b, "</details>");
    put_origin(b, x);
    guard_buf_str(b, "</li>\n");
}

static void put_group(guard_buf *b, const report_facts *f, const report_file *c, const report_group *g)
{
    char title[192];

    put_stage_title(title, f, c, g->name);
    guard_buf_str(b, "<h3>");
    report_puts(b, title);
    guard_buf_str(b, "</h3>\n<p class=\"dim\">");
    report_put_count(b, g->n);
    guard_buf_str(b, " of ");
    report_put_count(b, g->rows);
    guard_buf_str(b, " rows</p>\n<ul class=\"rows\">\n");
    for (size_t i = 0; i < g->n; i++) put_example(b, g->at + i);
    guard_buf_str(b, "</ul>\n");
}

void report_html_examples(guard_buf *b, const report_facts *f)
{
    bool any = false;

    guard_buf_str(b, "<section id=\"examples\">\n<h2>Examples</h2>\n");
    for (size_t i = 0; i < f->n_file; i++) any = any || f->file[i]->n_group > 0;
    guard_buf_str(b, any ? "<p>Rows drawn by the run's seed. Unsafe, dropped and generated texts open with a "
                           "click; marks like [U+202E] stand for characters that do not show.</p>\n"
                         : "<p>No stage of this run augments, curates or attacks.</p>\n");
    for (size_t i = 0; i < f->n_file; i++) {
        for (size_t k = 0; k < f->file[i]->n_group; k++) put_group(b, f, f->file[i], f->file[i]->group + k);
    }
    guard_buf_str(b, "</section>\n");
}
