/* report_svg.c - charts as inline SVG: axes with round ticks, lines told apart by dashes and marks as well as colour.
 *
 * A chart has a title and a description for who cannot see it, its legend is text, and its colours are the page's
 * variables, so that it follows light and dark. Numbers that stand in the file have one decimal: the same bytes
 * everywhere.
 */
#include "guard/report_impl.h"
#include <math.h>
#include <string.h>

#define W 480.0
#define H 280.0
#define LEFT 52.0
#define RIGHT 466.0
#define TOP 12.0
#define BOTTOM 236.0
#define STYLES 8u

/* --- ticks -------------------------------------------------------------------------------- */

typedef struct {
    double lo, hi, step;
    int digits;
} axis;

/* The smallest of 1, 2, 5 times a power of ten that cuts the range into at most `most` pieces. The step is a quotient
 * or product of whole numbers, so that its multiples print as they should. */
static void set_step(axis *a, double range, double most)
{
    static const double lead[] = {1.0, 2.0, 5.0};

    for (int e = -9; e <= 15; e++) {
        double power = 1.0;

        for (int i = 0; i < (e < 0 ? -e : e); i++) power *= 10.0;
        for (size_t k = 0; k < 3; k++) {
            a->step = e < 0 ? lead[k] / power : lead[k] * power;
            a->digits = e < 0 ? -e : 0;
            if (range / a->step <= most) return;
        }
    }
}

/* Round ends when they are asked for; otherwise the ends are those of the data. */
static axis make_axis(double lo, double hi, double most, bool round_ends)
{
    axis a = {lo, hi, 1.0, 0};

    if (!(hi > lo)) {
        a.lo = lo - (lo != 0.0 ? fabs(lo) * 0.5 : 0.5);
        a.hi = lo + (lo != 0.0 ? fabs(lo) * 0.5 : 0.5);
    }
    set_step(&a, a.hi - a.lo, most);
    if (!round_ends) return a;
    a.lo = floor(a.lo / a.step) * a.step;
    a.hi = ceil(a.hi / a.step) * a.step;
    return a;
}

static double at_x(const axis *a, double v)
{
    return LEFT + (v - a->lo) / (a->hi - a->lo) * (RIGHT - LEFT);
}

/* What is outside stays at the edge: only the band of extremes can be. */
static double at_y(const axis *a, double v)
{
    const double y = BOTTOM - (v - a->lo) / (a->hi - a->lo) * (BOTTOM - TOP);

    return y < TOP ? TOP : y > BOTTOM ? BOTTOM : y;
}

static void put_xy(guard_buf *b, char letter, double x, double y)
{
    const char s[2] = {letter, '\0'};

    guard_buf_str(b, s);
    report_put_fixed(b, x, 1);
    guard_buf_str(b, " ");
    report_put_fixed(b, y, 1);
}

static void put_attribute(guard_buf *b, const char *name, double v)
{
    guard_buf_fmt(b, " %s=\"", name);
    report_put_fixed(b, v, 1);
    guard_buf_str(b, "\"");
}

static void put_label(guard_buf *b, const char *class, double x, double y)
{
    guard_buf_fmt(b, "<text class=\"%s\"", class);
    put_attribute(b, "x", x);
    put_attribute(b, "y", y);
    guard_buf_str(b, ">");
}

static void put_axes(guard_buf *b, const axis *x, const axis *y, const report_chart *c)
{
    for (double k = rint(y->lo / y->step) + 0.0; k * y->step <= y->hi + y->step * 1e-6; k += 1.0) {
        guard_buf_str(b, "<path class=\"grid-line\" d=\"");
        put_xy(b, 'M', LEFT, at_y(y, k * y->step));
        put_xy(b, 'L', RIGHT, at_y(y, k * y->step));
        guard_buf_str(b, "\"/>");
        put_label(b, "end", LEFT - 6.0, at_y(y, k * y->step) + 4.0);
        report_put_fixed(b, k * y->step, y->digits);
        guard_buf_str(b, "</text>");
    }
    for (double k = ceil(x->lo / x->step - 1e-6) + 0.0; k * x->step <= x->hi + x->step * 1e-6; k += 1.0) {
        put_label(b, "mid", at_x(x, k * x->step), BOTTOM + 16.0);
        report_put_fixed(b, k * x->step, x->digits);
        guard_buf_str(b, "</text>");
    }
    guard_buf_str(b, "<path class=\"axis\" d=\"");
    put_xy(b, 'M', LEFT, TOP);
    put_xy(b, 'L', LEFT, BOTTOM);
    put_xy(b, 'L', RIGHT, BOTTOM);
    guard_buf_str(b, "\"/>");
    put_label(b, "mid", (LEFT + RIGHT) / 2.0, H - 6.0);
    report_puts(b, c->x_label);
    guard_buf_str(b, "</text><text class=\"mid\" transform=\"translate(13 ");
    report_put_fixed(b, (TOP + BOTTOM) / 2.0, 1);
    guard_buf_str(b, ") rotate(-90)\">");
    report_puts(b, c->y_label);
    guard_buf_str(b, "</text>");
}

/* --- lines -------------------------------------------------------------------------------- */

/* Marks of the styles around 0 0. */
static const char *const mark[STYLES] = {"M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z", "M-4 -4H4V4H-4Z",
                                         "M0 -5L5 4H-5Z", "M0 -5.5L5 0L0 5.5L-5 0Z",
                                         "M-5 -4H5L0 5Z", "M-5 -1.5H-1.5V-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5Z",
                                         "M-5 -2H5V2H-5Z", "M-2 -5H2V5H-2Z"};

static void put_mark(guard_buf *b, size_t style, double x, double y)
{
    guard_buf_fmt(b, "<path class=\"mark f%u\" transform=\"translate(", (unsigned)(style % STYLES));
    report_put_fixed(b, x, 1);
    guard_buf_str(b, " ");
    report_put_fixed(b, y, 1);
    guard_buf_fmt(b, ")\" d=\"%s\"/>", mark[style % STYLES]);
}

/* The extremes behind the points, when some point stands for several values. */
static void put_band(guard_buf *b, const axis *x, const axis *y, const report_line *l)
{
    bool wide = false;

    for (size_t i = 0; i < l->n; i++) wide = wide || l->at[i].lo < l->at[i].hi;
    if (!wide) return;
    guard_buf_fmt(b, "<path class=\"band f%u\" d=\"", (unsigned)(l->style % STYLES));
    for (size_t i = 0; i < l->n; i++) put_xy(b, i ? 'L' : 'M', at_x(x, l->at[i].x), at_y(y, l->at[i].hi));
    for (size_t i = l->n; i-- > 0;) put_xy(b, 'L', at_x(x, l->at[i].x), at_y(y, l->at[i].lo));
    guard_buf_str(b, "Z\"/>");
}

static void put_line(guard_buf *b, const axis *x, const axis *y, const report_line *l)
{
    if (l->n == 1 && !l->step) put_mark(b, l->style, at_x(x, l->at[0].x), at_y(y, l->at[0].y));
    guard_buf_fmt(b, "<path class=\"line l%u\" d=\"", (unsigned)(l->style % STYLES));
    if (l->step && l->n) put_xy(b, 'M', at_x(x, x->lo), at_y(y, l->at[0].y));
    for (size_t i = 0; i < l->n; i++) {
        if (l->step && i) put_xy(b, 'L', at_x(x, l->at[i - 1].x), at_y(y, l->at[i].y));
        put_xy(b, i || l->step ? 'L' : 'M', at_x(x, l->at[i].x), at_y(y, l->at[i].y));
    }
    guard_buf_str(b, "\"/>");
}

static void put_legend(guard_buf *b, const report_chart *c)
{
    guard_buf_str(b, "<ul class=\"legend\">\n");
    for (size_t i = 0; i < c->n; i++) {
        const report_line *l = c->line + i;

        guard_buf_str(b, "<li><svg width=\"40\" height=\"14\" viewBox=\"0 0 40 14\" aria-hidden=\"true\">");
        guard_buf_fmt(b, "<path class=\"line l%u\" d=\"M1 7H39\"/>", (unsigned)(l->style % STYLES));
        if (l->mark) put_mark(b, l->style, 20.0, 7.0);
        guard_buf_str(b, "</svg> ");
        report_puts(b, l->label);
        guard_buf_str(b, "</li>\n");
    }
    guard_buf_str(b, "</ul>\n");
}

/* --- a chart ------------------------------------------------------------------------------ */

static axis data_axis(const report_chart *c, bool of_y)
{
    double lo = 0.0, hi = 1.0;
    bool any = false;

    for (size_t i = 0; i < c->n; i++) {
        for (size_t k = 0; k < c->line[i].n; k++) {
            const double v = of_y ? c->line[i].at[k].y : c->line[i].at[k].x;

            if (!any || v < lo) lo = v;
            if (!any || v > hi) hi = v;
            any = true;
        }
    }
    if (c->unit || (c->share && of_y)) return make_axis(0.0, 1.0, 5.0, true);
    return make_axis(lo, hi, 5.0, of_y);
}

static void put_description(guard_buf *b, const report_chart *c)
{
    report_puts(b, c->y_label);
    guard_buf_str(b, " by ");
    report_puts(b, c->x_label);
    guard_buf_str(b, ". ");
    for (size_t i = 0; i < c->n; i++) {
        const report_line *l = c->line + i;

        if (l->n == 0) continue;
        report_puts(b, l->label);
        guard_buf_str(b, ": from ");
        report_put_short(b, l->at[0].y);
        guard_buf_str(b, " to ");
        report_put_short(b, l->at[l->n - 1].y);
        guard_buf_str(b, ". ");
    }
}

void report_svg_chart(guard_buf *b, const report_chart *c)
{
    const axis x = data_axis(c, false), y = data_axis(c, true);

    guard_buf_str(b, "<figure>\n<figcaption>");
    report_puts(b, c->title);
    guard_buf_str(b, "</figcaption>\n<svg class=\"chart\" viewBox=\"0 0 480 280\" role=\"img\"><title>");
    report_puts(b, c->title);
    guard_buf_str(b, "</title><desc>");
    put_description(b, c);
    guard_buf_str(b, "</desc>\n");
    put_axes(b, &x, &y, c);
    for (size_t i = 0; i < c->n; i++) put_band(b, &x, &y, c->line + i);
    for (size_t i = 0; i < c->n; i++) put_line(b, &x, &y, c->line + i);
    for (size_t i = 0; i < c->n; i++) {
        const report_line *l = c->line + i;

        if (l->mark) put_mark(b, l->style, at_x(&x, l->mark_x), at_y(&y, l->mark_y));
    }
    guard_buf_str(b, "</svg>\n");
    put_legend(b, c);
    guard_buf_str(b, "</figure>\n");
}

void report_svg_dot(guard_buf *b, double v, guard_interval ci)
{
    guard_buf_str(b, "<svg class=\"dot\" width=\"74\" height=\"10\" viewBox=\"0 0 74 10\" "
                     "aria-hidden=\"true\"><path class=\"grid-line\" d=\"M4 5H70M4 2V8M70 2V8\"/>");
    if (!isnan(ci.low)) {
        guard_buf_str(b, "<path class=\"whisker\" d=\"");
        put_xy(b, 'M', 4.0 + 66.0 * ci.low, 5.0);
        put_xy(b, 'L', 4.0 + 66.0 * ci.high, 5.0);
        guard_buf_str(b, "\"/>");
    }
    if (!isnan(v)) {
        guard_buf_str(b, "<circle class=\"f0\" cy=\"5\" r=\"3\"");
        put_attribute(b, "cx", 4.0 + 66.0 * v);
        guard_buf_str(b, "/>");
    }
    guard_buf_str(b, "</svg>");
}

/* --- the flow from tiers to what became of their rows --------------------------------------- */

#define FLOW_BAND 240.0 /* height that all rows share */
#define FLOW_LEFT 160.0
#define FLOW_RIGHT 370.0
#define FLOW_NODE 10.0
#define FLOW_LABEL 36u   /* bytes of a name that fit beside a node */
#define FLOW_ENDS 9u /* kept, seven reasons, the rest */

typedef struct {
    const char *label;
    uint64_t n;
    double top, used; /* of the node; used: where the next band begins */
} node;

typedef struct {
    node from[REPORT_TIERS + 1], to[FLOW_ENDS];
    size_t n_from, n_to;
    uint64_t n[REPORT_TIERS + 1][FLOW_ENDS];
    double scale, height;
} flow;

const char *report_tier_name(const report_count *c)
{
    return c->name[0] ? c->name : "human-written";
}

/* Outcome 0 is kept; reasons by count; what does not fit is one node. */
static void flow_fill(flow *w, const report_file *c)
{
    size_t order[REPORT_NAMES];

    w->n_from = c->tier.n < REPORT_TIERS ? c->tier.n : REPORT_TIERS;
    for (size_t i = 0; i < w->n_from; i++) w->from[i].label = report_tier_name(c->tier.at + i);
    if (c->tier.n > REPORT_TIERS) w->from[w->n_from++].label = "other tiers";
    report_counts_order(order, &c->reason);
    w->to[w->n_to++].label = "kept";
    for (size_t k = 0; k < c->reason.n && w->n_to + 1 < FLOW_ENDS; k++)
        w->to[w->n_to++].label = c->reason.at[order[k]].name;
    const size_t named = w->n_to - 1;
    if (c->reason.n > named || c->reason.other) w->to[w->n_to++].label = "other reasons";
    for (size_t i = 0; i < w->n_from; i++) {
        for (size_t k = 0; k <= c->reason.n + (c->reason.other > 0); k++) {
            size_t end = k == 0 ? 0 : w->n_to - 1;

            for (size_t j = 0; j < named; j++) end = k > 0 && order[j] == k - 1 ? j + 1 : end;
            const uint64_t n = c->flow[i][k > c->reason.n ? REPORT_NAMES + 1 : k];
            w->n[i][end] += n;
            w->from[i].n += n;
            w->to[end].n += n;
        }
    }
}

/* Places nodes below each other, each at least as high as its label; returns the height. */
static double stack(node *at, size_t n, double scale)
{
    double y = 8.0;

    for (size_t i = 0; i < n; i++) {
        const double h = (double)at[i].n * scale;

        at[i].top = at[i].used = y + (h < 18.0 ? (18.0 - h) / 2.0 : 0.0);
        y += (h < 18.0 ? 18.0 : h) + 8.0;
    }
    return y;
}

static void put_node(guard_buf *b, const node *at, double x, double scale, bool left)
{
    const double h = (double)at->n * scale, middle = at->top + h / 2.0 + 4.0;

    guard_buf_str(b, "<rect class=\"node\"");
    put_attribute(b, "x", x);
    put_attribute(b, "y", at->top);
    put_attribute(b, "width", FLOW_NODE);
    put_attribute(b, "height", h < 1.0 ? 1.0 : h);
    guard_buf_str(b, "/>");
    const size_t len = strlen(at->label), cut = report_cut(at->label, len, FLOW_LABEL);

    put_label(b, left ? "end" : "start", left ? x - 6.0 : x + FLOW_NODE + 6.0, middle);
    report_put_count(b, at->n);
    guard_buf_str(b, " ");
    report_put(b, at->label, cut);
    guard_buf_str(b, cut < len ? "\xe2\x80\xa6</text>" : "</text>");
}

/* A band of constant height along a curve that is level at both ends. */
static void put_flow_band(guard_buf *b, node *from, node *to, uint64_t n, double scale, bool kept)
{
    const double h = (double)n * scale, x0 = FLOW_LEFT + FLOW_NODE, x1 = FLOW_RIGHT, half = (x0 + x1) / 2.0;

    if (n == 0) return;
    guard_buf_fmt(b, "<path class=\"%s\" d=\"", kept ? "flow-kept" : "flow-dropped");
    put_xy(b, 'M', x0, from->used);
    put_xy(b, 'C', half, from->used);
    put_xy(b, ' ', half, to->used);
    put_xy(b, ' ', x1, to->used);
    put_xy(b, 'L', x1, to->used + h);
    put_xy(b, 'C', half, to->used + h);
    put_xy(b, ' ', half, from->used + h);
    put_xy(b, ' ', x0, from->used + h);
    guard_buf_str(b, "Z\"/>");
    from->used += h;
    to->used += h;
}

void report_svg_flow(guard_buf *b, const report_file *c, const char *title)
{
    flow w;

    memset(&w, 0, sizeof w);
    flow_fill(&w, c);
    w.scale = c->rows ? FLOW_BAND / (double)c->rows : 0.0;
    const double left = stack(w.from, w.n_from, w.scale), right = stack(w.to, w.n_to, w.scale);
    w.height = left > right ? left : right;
    guard_buf_str(b, "<figure>\n<figcaption>");
    report_puts(b, title);
    guard_buf_str(b, "</figcaption>\n<div class=\"scroll\"><svg class=\"flow\" role=\"img\" viewBox=\"0 0 680 ");
    report_put_fixed(b, w.height, 1);
    guard_buf_str(b, "\"><title>");
    report_puts(b, title);
    guard_buf_str(b, "</title><desc>Bands from the tiers of augmentation to what became of their rows; the table "
                     "below has the numbers.</desc>\n");
    for (size_t i = 0; i < w.n_from; i++) {
        for (size_t k = 0; k < w.n_to; k++)
            put_flow_band(b, w.from + i, w.to + k, w.n[i][k], w.scale, k == 0);
    }
    for (size_t i = 0; i < w.n_from; i++) put_node(b, w.from + i, FLOW_LEFT, w.scale, true);
    for (size_t k = 0; k < w.n_to; k++) put_node(b, w.to + k, FLOW_RIGHT, w.scale, false);
    guard_buf_str(b, "</svg></div>\n</figure>\n");
}
