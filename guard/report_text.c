/* report_text.c - hostile text made harmless for HTML and Markdown, and numbers as people read them. */
#include "guard/report_impl.h"
#include "nn/unicode.h"
#include <math.h>
#include <string.h>

/* --- text --------------------------------------------------------------------------------- */

/* Characters that do not show, or that turn the direction of what stands around them: a reader must see that they are
 * there. Joiners stay, Indic scripts and emoji need them. */
static bool is_trick(uint32_t cp)
{
    return cp == 0x061c || cp == 0x200b || cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) ||
           (cp >= 0x2060 && cp <= 0x2069) || cp == 0xfeff || (cp >= 0xe0000 && cp <= 0xe007f);
}

/* Code points that HTML forbids although they can be encoded. */
static bool is_forbidden(uint32_t cp)
{
    return (cp >= 0x80 && cp <= 0x9f) || (cp >= 0xfdd0 && cp <= 0xfdef) || (cp & 0xfffe) == 0xfffe;
}

static bool is_plain(uint32_t cp)
{
    if (cp < 0x20) return cp == '\n' || cp == '\t';
    if (cp < 0x80) return cp != 0x7f && !strchr("&<>\"'", (int)cp);
    return !is_forbidden(cp) && !is_trick(cp);
}

static void put_cp(guard_buf *b, uint32_t cp)
{
    char utf8[4];

    guard_buf_add(b, utf8, nn_utf8_encode(cp, utf8));
}

static void put_special(guard_buf *b, uint32_t cp)
{
    switch (cp) {
    case '&': guard_buf_str(b, "&amp;"); return;
    case '<': guard_buf_str(b, "&lt;"); return;
    case '>': guard_buf_str(b, "&gt;"); return;
    case '"': guard_buf_str(b, "&quot;"); return;
    case '\'': guard_buf_str(b, "&#39;"); return;
    default: break;
    }
    if (cp < 0x20) put_cp(b, 0x2400 + cp); /* the picture of the control character */
    else if (cp == 0x7f) put_cp(b, 0x2421);
    else if (is_trick(cp)) guard_buf_fmt(b, "[U+%04X]", (unsigned)cp);
    else put_cp(b, 0xfffd);
}

void report_put(guard_buf *b, const char *s, size_t len)
{
    size_t start = 0; /* of the run not yet copied */

    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        bool bad = false;
        const size_t at = i;

        i += nn_utf8_decode((const unsigned char *)s + i, len - i, &cp, &bad);
        if (!bad && is_plain(cp)) continue;
        guard_buf_add(b, s + start, at - start);
        put_special(b, bad ? 0xffff : cp);
        start = i;
    }
    guard_buf_add(b, s + start, len - start);
}

void report_puts(guard_buf *b, const char *s)
{
    report_put(b, s, strlen(s));
}

size_t report_cut(const char *s, size_t len, size_t cap)
{
    if (len <= cap) return len;
    while (cap > 0 && ((unsigned char)s[cap] & 0xc0) == 0x80) cap--;
    return cap;
}

/* Control characters become blanks, and whatever could begin markup gets a backslash. HTML inside Markdown would be
 * markup too, so < > & are written as entities; so are the characters that turn the direction of text. */
void report_put_md(guard_buf *b, const char *s)
{
    const size_t len = strlen(s);

    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        bool bad = false;
        const size_t at = i;

        i += nn_utf8_decode((const unsigned char *)s + i, len - i, &cp, &bad);
        if (cp < 0x20 || cp == 0x7f) {
            guard_buf_str(b, " ");
        } else if (cp < 0x80 && strchr("\\`*_[]|~#!", (int)cp)) {
            guard_buf_fmt(b, "\\%c", (int)cp);
        } else if (!bad && is_plain(cp)) {
            guard_buf_add(b, s + at, i - at);
        } else {
            put_special(b, bad ? 0xffff : cp);
        }
    }
}

/* --- tables ------------------------------------------------------------------------------- */

static void put_th(guard_buf *b, const char *s, size_t len, bool number)
{
    guard_buf_str(b, number ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">");
    report_put(b, s, len);
    guard_buf_str(b, "</th>");
}

void report_put_th(guard_buf *b, const char *text, bool number)
{
    put_th(b, text, strlen(text), number);
}

void report_table_open(guard_buf *b, const char *caption, const char *note, const char *columns)
{
    guard_buf_str(b, "<div class=\"scroll\"><table>\n<caption>");
    report_puts(b, caption);
    if (note[0]) {
        guard_buf_str(b, " <span>");
        report_puts(b, note);
        guard_buf_str(b, "</span>");
    }
    guard_buf_str(b, "</caption>\n<thead><tr>");
    while (columns && *columns) {
        const bool number = columns[0] == '#';
        const size_t len = strcspn(columns + number, "|");

        put_th(b, columns + number, len, number);
        columns += number + len;
        columns += *columns == '|';
    }
    if (columns) guard_buf_str(b, "</tr></thead>\n<tbody>\n");
}

void report_table_close(guard_buf *b)
{
    guard_buf_str(b, "</tbody>\n</table></div>\n");
}

/* --- numbers ------------------------------------------------------------------------------ */

void report_put_fixed(guard_buf *b, double v, int digits)
{
    char text[32];

    if (isnan(v)) {
        guard_buf_str(b, "\xe2\x80\x93");
        return;
    }
    guard_fmt_fixed(text, v, digits);
    guard_buf_str(b, text);
}

void report_put_count(guard_buf *b, uint64_t n)
{
    char digit[20];
    size_t len = 0;

    do {
        digit[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    while (len-- > 0) {
        guard_buf_add(b, digit + len, 1);
        if (len && len % 3 == 0) guard_buf_str(b, ",");
    }
}

void report_put_short(guard_buf *b, double v)
{
    const double size = fabs(v);
    int digits = 0;

    for (double bound = 100.0; digits < 6 && size < bound && size > 0.0; bound /= 10.0) digits++;
    report_put_fixed(b, v, digits);
}

/* --- counted names ------------------------------------------------------------------------ */

size_t report_counts_add(report_counts *c, const char *name, size_t len)
{
    const size_t n = report_cut(name, len, REPORT_NAME - 1);
    size_t i = 0;

    while (i < c->n && !(strncmp(c->at[i].name, name, n) == 0 && c->at[i].name[n] == '\0')) i++;
    if (i == REPORT_NAMES) {
        c->other++;
        return i;
    }
    if (i == c->n) {
        memcpy(c->at[i].name, name, n);
        c->at[i].name[n] = '\0';
        c->at[i].n = 0;
        c->n++;
    }
    c->at[i].n++;
    return i;
}

void report_counts_order(size_t order[REPORT_NAMES], const report_counts *c)
{
    for (size_t i = 0; i < c->n; i++) {
        size_t at = i;

        for (; at > 0; at--) {
            const report_count *a = c->at + order[at - 1], *x = c->at + i;

            if (a->n > x->n || (a->n == x->n && strcmp(a->name, x->name) <= 0)) break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}
