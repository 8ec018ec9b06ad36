/* report_impl.h - the facts of a run as its report tells them: who gathers them and who prints them.
 *
 * Reads: report.h, evaluate.h, ledger.h, manifest.h.
 * Gathered by: report_facts.c (stages, results, rounds, model), report_rows.c (corpora), report_pr.c (curves),
 * report_series.c (metrics). Printed by: report_html*.c with report_svg.c and report_text.c, report_json.c,
 * model_card.c. Read next: report.c.
 * Ownership: report_facts owns everything below it; report_facts_free. A zeroed one is empty.
 */
#ifndef GUARD_REPORT_IMPL_H
#define GUARD_REPORT_IMPL_H
#include "guard/evaluate.h"
#include "guard/ledger.h"
#include "guard/manifest.h"
#include "guard/report.h"

#define REPORT_NAME 96u     /* bytes of a name that is counted, zero byte included */
#define REPORT_NAMES 48u    /* names counted apart; more are counted together */
#define REPORT_TIERS 8u     /* rows of a flow, likewise */
#define REPORT_BUCKETS 256u /* points of a curve by step */
#define REPORT_CURVE 202u   /* points of a precision-recall curve */
#define REPORT_SERIES 4096u /* curves by step of one run; more are counted and left out */
#define REPORT_SHOWN 5u     /* example rows of a group */
#define REPORT_TEXT 600u    /* bytes of a text that is shown */
#define REPORT_NOWHERE ((size_t)-1)

typedef struct {
    char name[REPORT_NAME];
    uint64_t n;
} report_count;

/* In the order of first appearance. */
typedef struct {
    report_count at[REPORT_NAMES];
    size_t n;
    uint64_t other;
} report_counts;

typedef struct {
    double x, y, lo, hi; /* lo and hi: extremes of what stands behind the point */
    uint64_t n;          /* values behind it */
} report_point;

/* A metric by step. */
typedef struct {
    size_t ordinal; /* of its stage */
    char name[48];
    report_point at[REPORT_BUCKETS];
    size_t n;
    uint64_t count, per; /* values seen; values a bucket */
    double first, last, min, max;
} report_series;

/* A row picked by the run's seed. */
typedef struct {
    char id[17], sha256[NN_SHA256_HEX]; /* hash of text and response */
    uint64_t draw;
    int label;
    bool hidden; /* until clicked */
    bool never;  /* named by hash alone */
    char text[REPORT_TEXT + 1], response[REPORT_TEXT + 1];
    size_t text_len, text_bytes, response_len, response_bytes; /* shown, whole */
    char category[REPORT_NAME], ops[256], reason[REPORT_NAME];
} report_example;

typedef struct {
    char name[REPORT_NAME];
    uint64_t rows;
    report_example at[REPORT_SHOWN];
    size_t n;
} report_group;

/* A corpus file. Labels, categories and languages are those of the rows that the stage handed on. */
typedef struct {
    size_t entry, output; /* ledger.entry[entry].out.at[output] */
    bool ruled;           /* a rule wrote the column kept */
    bool has_tier, has_round, has_fooled;
    uint64_t rows, kept, safe, unsafe, unlabelled, fooled;
    report_counts lang, unsafe_category, safe_category, tier, reason;
    uint64_t flow[REPORT_TIERS + 1][REPORT_NAMES + 2]; /* tier by outcome: kept, reasons, other reasons */
    report_group *group;
    size_t n_group, group_cap;
} report_file;

/* A guard on a set. */
typedef struct {
    size_t entry;
    char model[NN_SHA256_HEX]; /* hash of the guard's file, "" unknown */
    guard_result r;
    report_point curve[REPORT_CURVE]; /* x recall, y precision; empty for a one-class set */
    size_t n_curve;
} report_result;

/* Indices into ledger.entry, REPORT_NOWHERE when the round had no such stage. */
typedef struct {
    size_t attack, harvest, hard, train, accept;
} report_round;

/* guard.gguf, when a stage shipped one. */
typedef struct {
    bool there;
    char name[REPORT_NAME], licence[REPORT_NAME], sha256[NN_SHA256_HEX];
    uint64_t bytes, weights, window;
    double rate[GUARD_RATES], threshold[GUARD_RATES];
    size_t n_rate;
} report_model;

typedef struct {
    const char *dir; /* borrowed */
    guard_manifest run;
    guard_ledger ledger;
    size_t n_entry; /* entries before the report's own */
    report_file **file;
    size_t n_file, file_cap;
    report_series **series;
    size_t n_series, series_cap, series_at; /* at: where the last metric was found */
    uint64_t series_left_out;
    report_result **result;
    size_t n_result, result_cap;
    report_round *round;
    size_t n_round, round_cap;
    report_model model;
} report_facts;

/* --- gathering ---------------------------------------------------------------------------- */
NN_CHECKED nn_status report_facts_read(report_facts *f, const char *dir, nn_err *err);
void report_facts_free(report_facts *f);
NN_CHECKED nn_status report_model_read(report_facts *f, nn_err *err);
NN_CHECKED nn_status report_rows_read(report_facts *f, nn_err *err);
NN_CHECKED nn_status report_series_read(report_facts *f, nn_err *err);
/* Points of the curve of n rows (label 0 or 1, p not NaN), 0 when one class is missing. */
NN_CHECKED nn_status report_pr(report_point out[REPORT_CURVE], size_t *n_out, const int *label, const double *p,
                               size_t n, nn_err *err);

/* --- asking ------------------------------------------------------------------------------- */
/* Index of the name, added when new; REPORT_NAMES when it is counted with the others. */
size_t report_counts_add(report_counts *c, const char *name, size_t len);
/* Indices of c by count, most first, ties by name. */
void report_counts_order(size_t order[REPORT_NAMES], const report_counts *c);
const report_series *report_series_find(const report_facts *f, size_t ordinal, const char *name); /* NULL when absent */
const report_file *report_file_of(const report_facts *f, size_t entry, size_t output);            /* NULL when none */
const char *report_head(const report_facts *f);   /* hash of the last entry that the report speaks of */
uint64_t report_tokens(const report_facts *f);    /* of all stages */
/* "05 curate". */
void report_stage_label(char out[64], const guard_entry *e);
/* Guards of the results whose file a stage wrote, "a; b"; "" when none was evaluated. */
void report_guard_names(char out[REPORT_NAME], const report_facts *f, const guard_entry *e);
/* The shipped guard on the first set it was evaluated on, under the last of its names: parts of it come before the
 * whole. Without one the last result; NULL when nothing was evaluated. */
const report_result *report_final(const report_facts *f);
/* The stage before `entry` that wrote the file of that hash; REPORT_NOWHERE for an input or a hash of no file. */
size_t report_writer(const report_facts *f, size_t entry, const char *sha256, size_t *output);
bool report_input_used(const report_facts *f, size_t input); /* an entry names its hash */
/* A number of the note of an entry; NAN when absent. A text likewise, "" when absent. */
double report_note_number(const guard_entry *e, const char *key);
/* Which language model a stage asked: its kind, and its name or the beginning of its hash ("" of rules). */
void report_note_backend(char kind[16], char model[64], const guard_entry *e);
void report_note_text(char *out, size_t cap, const guard_entry *e, const char *key);

/* --- printing ----------------------------------------------------------------------------- */
void report_html(guard_buf *b, const report_facts *f);
void report_json(guard_buf *b, const report_facts *f);
void report_card(guard_buf *b, const report_facts *f);

/* Escaped for text and attributes; control characters and those that turn the direction of text become visible. */
void report_put(guard_buf *b, const char *s, size_t len);
void report_puts(guard_buf *b, const char *s);
void report_put_fixed(guard_buf *b, double v, int digits); /* a dash when NaN */
void report_put_count(guard_buf *b, uint64_t n);           /* 12,345 */
void report_put_short(guard_buf *b, double v);             /* three digits that matter */
void report_put_md(guard_buf *b, const char *s);           /* for Markdown outside code */
/* Bytes of s up to cap that end with a whole code point. */
size_t report_cut(const char *s, size_t len, size_t cap);
/* A table with its caption (escaped) and a dim note beside it; columns "stage|reads|#rows", # for numbers, NULL for a
 * caller who writes the head. The caller writes rows and calls close. */
void report_table_open(guard_buf *b, const char *caption, const char *note, const char *columns);
void report_table_close(guard_buf *b);
void report_put_th(guard_buf *b, const char *text, bool number); /* head of a column */
const char *report_style_line(size_t i); /* of the page's CSS; NULL after the last */

void report_html_results(guard_buf *b, const report_facts *f);
void report_html_training(guard_buf *b, const report_facts *f);
void report_html_rounds(guard_buf *b, const report_facts *f);
void report_html_flow(guard_buf *b, const report_facts *f);
void report_html_examples(guard_buf *b, const report_facts *f);

/* --- pictures ----------------------------------------------------------------------------- */
typedef struct {
    const char *label;
    const report_point *at;
    size_t n;
    size_t style; /* colour, dashes and marker: told apart without colour too */
    bool step;    /* horizontal to the next x, as precision-recall is defined */
    bool mark;    /* an operating point */
    double mark_x, mark_y;
} report_line;

typedef struct {
    const char *title, *x_label, *y_label;
    bool unit; /* both axes from 0 to 1; otherwise y from the data */
    bool share; /* y from 0 to 1 */
    const report_line *line;
    size_t n;
} report_chart;

void report_svg_chart(guard_buf *b, const report_chart *c); /* with its legend */
void report_svg_dot(guard_buf *b, double v, guard_interval ci); /* a dot with whiskers on 0 .. 1 */
/* Bands from tiers on the left to kept and dropped on the right. */
void report_svg_flow(guard_buf *b, const report_file *c, const char *title);
const char *report_tier_name(const report_count *c); /* "" is what people wrote */
#endif
