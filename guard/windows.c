#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include <string.h>

#define UTF8_TAIL_MAX 3u  /* continuation bytes of one character */
#define REPLACED_BYTES 3u /* of U+FFFD */

struct guard_windows {
    nn_tok_buf judged; /* tokens of the judged text; start: bytes of the text as it came */
    char *repaired;    /* one piece */
    size_t repaired_cap;
    int32_t *ids; /* [window] the window last asked for; its first n_lead ids are those of every window */
    size_t ids_cap, n_lead;
    const int32_t *tail; /* [n_tail] of every window; borrowed from the parts */
    size_t n_tail;
    guard_window_form form;
    uint32_t *table;        /* [n_slot] open addressing over windows: number + 1 */
    unsigned char *repeats; /* [count] */
    size_t table_cap, n_slot, repeats_cap;
    size_t room, step, count, len, replaced;
};

nn_status guard_windows_build(guard_windows **out, nn_err *err)
{
    return nn_alloc((void **)out, 1, sizeof **out, err);
}

void guard_windows_free(guard_windows *w)
{
    if (!w) return;
    nn_tok_buf_free(&w->judged);
    nn_free(w->repaired);
    nn_free(w->ids);
    nn_free(w->table);
    nn_free(w->repeats);
    nn_free(w);
}

/* --- tokens ---------------------------------------------------------------------------------------- */

/* Whether our pre-tokenizer cuts before s[i] whatever follows: a blank after something that is none. WHY not
 * nn_tok_cuts_before, which says no before tabs and line ends: a text without other blanks would be cut elsewhere,
 * and get other tokens than it always had. */
static bool always_cuts(const char *s, size_t i)
{
    size_t from = i - 1;
    uint32_t cp = 0;
    bool bad = false;

    if (s[i] != ' ' && s[i] != '\n' && s[i] != '\t' && s[i] != '\r') return false;
    for (size_t k = 0; k < UTF8_TAIL_MAX && from > 0 && ((unsigned char)s[from] & 0xC0) == 0x80; k++) from--;
    (void)nn_utf8_decode((const unsigned char *)s + from, i - from, &cp, &bad);
    return !nn_uni_is_space(cp);
}

/* Bytes of the piece that begins at s: all, or up to the last sure cut, or a whole number of characters. */
static size_t piece_len(const nn_tok *tok, const char *s, size_t len)
{
    size_t n = GUARD_PIECE;

    if (len <= GUARD_PIECE) return len;
    for (size_t i = GUARD_PIECE; i > 1; i--)
        if (nn_tok_is_own(tok) ? always_cuts(s, i) : nn_tok_cuts_before(tok, s, i)) return i;
    for (size_t i = 0; i < UTF8_TAIL_MAX && ((unsigned char)s[n] & 0xC0) == 0x80; i++) n--;
    return ((unsigned char)s[n] & 0xC0) == 0x80 ? GUARD_PIECE : n;
}

/* Token starts of a repaired piece become bytes of the text as it came; one inside U+FFFD begins where the
 * ill-formed part did. */
static void map_starts(uint32_t *start, size_t n, const char *piece, size_t len, size_t base, bool repaired)
{
    size_t from = 0, to = 0; /* the same place before and after the repair */

    for (size_t i = 0; i < n; i++) {
        if (!repaired) {
            start[i] += (uint32_t)base;
            continue;
        }
        uint32_t cp = 0;
        bool bad = false;
        size_t used = nn_utf8_decode((const unsigned char *)piece + from, len - from, &cp, &bad);

        while (to + (bad ? REPLACED_BYTES : used) <= start[i]) {
            to += bad ? REPLACED_BYTES : used;
            from += used;
            used = nn_utf8_decode((const unsigned char *)piece + from, len - from, &cp, &bad);
        }
        start[i] = (uint32_t)(base + from + (bad ? 0 : start[i] - to));
    }
}

/* One piece: `blank` puts one before it, which is no byte of the text. */
static nn_status add_piece(guard_windows *w, const nn_tok *tok, guard_place place, const char *piece, size_t len,
                           size_t base, nn_err *err)
{
    const size_t first = w->judged.len, blank = place == GUARD_PLACE_BLANK;
    size_t replaced = 0;
    const size_t whole = nn_utf8_repair(NULL, piece, len, &replaced);
    const char *text = piece;
    nn_status st;

    if (replaced || blank) {
        if ((st = nn_grow((void **)&w->repaired, &w->repaired_cap, whole + 1, 1, err)) != NN_OK) return st;
        w->repaired[0] = ' ';
        (void)nn_utf8_repair(w->repaired + blank, piece, len, NULL);
        text = w->repaired;
    }
    w->replaced += replaced;
    st = place == GUARD_PLACE_FIRST ? nn_tok_encode(tok, &w->judged, text, whole, err)
                                    : nn_tok_encode_more(tok, &w->judged, text, whole + blank, err);
    if (st != NN_OK) return st;
    uint32_t *start = w->judged.start + first;
    for (size_t i = 0; blank && i < w->judged.len - first; i++) start[i] -= start[i] > 0;
    map_starts(start, w->judged.len - first, piece, len, base, replaced > 0);
    return NN_OK;
}

static nn_status encode(guard_windows *w, const nn_tok *tok, guard_place place, const char *text, size_t len,
                        nn_err *err)
{
    nn_status st = NN_OK;

    if (len >= UINT32_MAX) return nn_fail(err, NN_LIMIT, "windows: a text of %zu bytes, want less than 4 GiB", len);
    w->judged.len = 0;
    w->len = len;
    for (size_t at = 0, n = 0; at < len && st == NN_OK; at += n) {
        n = piece_len(tok, text + at, len - at);
        st = add_piece(w, tok, at == 0 ? place : GUARD_PLACE_MORE, text + at, n, at, err);
    }
    return st;
}

/* --- windows --------------------------------------------------------------------------------------- */

static size_t window_first(const guard_windows *w, size_t i)
{
    return i * w->step;
}

static size_t window_tokens(const guard_windows *w, size_t i)
{
    const size_t left = w->judged.len - window_first(w, i);

    return left < w->room ? left : w->room;
}

static size_t count_windows(const guard_windows *w, size_t tokens)
{
    return tokens <= w->room ? 1 : 1 + (tokens - w->room + w->step - 1) / w->step;
}

static size_t table_size(size_t count)
{
    size_t n = 16;

    while (n < 2 * count) n *= 2;
    return n;
}

static bool same_window(const guard_windows *w, size_t a, size_t b)
{
    const size_t n = window_tokens(w, a);
    const int32_t *ids = w->judged.ids;

    return n == window_tokens(w, b) &&
           memcmp(ids + window_first(w, a), ids + window_first(w, b), n * sizeof *ids) == 0;
}

/* Marks windows that stand there before. The hash only says where to look: an adversary may know it, so ids are
 * compared. */
static nn_status find_repeats(guard_windows *w, nn_err *err)
{
    nn_status st;

    w->n_slot = table_size(w->count);
    if ((st = nn_grow((void **)&w->repeats, &w->repeats_cap, w->count, 1, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&w->table, &w->table_cap, w->n_slot, sizeof *w->table, err)) != NN_OK) return st;
    memset(w->repeats, 0, w->count);
    memset(w->table, 0, w->n_slot * sizeof *w->table);
    for (size_t i = 0; i < w->count && w->count > 1; i++) {
        const int32_t *ids = w->judged.ids + window_first(w, i);
        size_t slot = (size_t)nn_hash64(ids, window_tokens(w, i) * sizeof *ids, 0) & (w->n_slot - 1);

        while (w->table[slot] != 0 && !same_window(w, w->table[slot] - 1, i)) slot = (slot + 1) & (w->n_slot - 1);
        if (w->table[slot] != 0) w->repeats[i] = 1;
        else w->table[slot] = (uint32_t)(i + 1);
    }
    return NN_OK;
}

static void add_lead(guard_windows *w, const int32_t *ids, size_t n)
{
    if (n > 0) memcpy(w->ids + w->n_lead, ids, n * sizeof *ids);
    w->n_lead += n;
}

/* The ids around the judged text; before it the prompt's last tokens, from w->judged, when there is a response. */
static void set_frame(guard_windows *w, const guard_format *f, size_t window, bool response)
{
    const size_t most = window / 4, context = w->judged.len < most ? w->judged.len : most;
    size_t n = 0;
    const int32_t *ids = guard_format_ids(f, response ? GUARD_RESPONSE_LEAD : GUARD_PROMPT_LEAD, &n);

    w->n_lead = 0;
    w->form = (guard_window_form){response, response ? (uint32_t)context : 0};
    add_lead(w, ids, n);
    w->tail = guard_format_ids(f, response ? GUARD_RESPONSE_TAIL : GUARD_PROMPT_TAIL, &w->n_tail);
    if (!response) return;
    add_lead(w, w->judged.ids + w->judged.len - context, context);
    ids = guard_format_ids(f, GUARD_RESPONSE_MID, &n);
    add_lead(w, ids, n);
}

nn_status guard_windows_of_text(guard_windows *w, const guard_parts *p, const char *text, size_t len,
                                const char *response, size_t response_len, nn_err *err)
{
    nn_status st;

    const guard_format *f = &p->format;

    NN_ASSERT(p->window >= GUARD_WINDOW_MIN && p->stride > 0 && !guard_format_empty(f));
    if (response && !f->response)
        return nn_fail(err, NN_CONTENT, "guard %s: a response, want prompts alone: its template has no place for one",
                       p->name);
    w->replaced = 0;
    if ((st = nn_grow((void **)&w->ids, &w->ids_cap, p->window, sizeof *w->ids, err)) != NN_OK) return st;
    if ((st = encode(w, p->tok, response ? f->context : f->prompt, text, len, err)) != NN_OK) return st;
    set_frame(w, f, p->window, response != NULL);
    if (response && (st = encode(w, p->tok, f->answer, response, response_len, err)) != NN_OK) return st;
    w->room = p->window - w->n_lead - w->n_tail;
    w->step = p->stride < (w->room + 1) / 2 ? p->stride : (w->room + 1) / 2;
    w->count = count_windows(w, w->judged.len);
    return find_repeats(w, err);
}

nn_status guard_windows_of(guard_windows *w, const guard_parts *p, const guard_row *row, nn_err *err)
{
    return guard_windows_of_text(w, p, row->text.s ? row->text.s : "", row->text.n, row->response.s,
                                 row->response.n, err);
}

size_t guard_windows_count(const guard_windows *w)
{
    return w->count;
}

guard_window_form guard_windows_form(const guard_windows *w)
{
    return w->form;
}

size_t guard_windows_tokens(const guard_windows *w)
{
    return w->judged.len;
}

size_t guard_windows_replaced(const guard_windows *w)
{
    return w->replaced;
}

bool guard_windows_repeats(const guard_windows *w, size_t i)
{
    NN_ASSERT(i < w->count);
    return w->repeats[i] != 0;
}

void guard_windows_at(guard_windows *w, size_t i, const int32_t **ids, size_t *n, size_t *first_byte,
                      size_t *last_byte)
{
    NN_ASSERT(i < w->count);
    const size_t first = window_first(w, i), n_text = window_tokens(w, i), end = first + n_text;

    if (n_text > 0) memcpy(w->ids + w->n_lead, w->judged.ids + first, n_text * sizeof *w->ids);
    if (w->n_tail > 0) memcpy(w->ids + w->n_lead + n_text, w->tail, w->n_tail * sizeof *w->ids);
    *ids = w->ids;
    *n = w->n_lead + n_text + w->n_tail;
    *first_byte = first < w->judged.len ? w->judged.start[first] : 0;
    *last_byte = end < w->judged.len ? w->judged.start[end] : w->len;
}

/* --- room for the longest text ----------------------------------------------------------------------- */

/* The smallest room that a window leaves for the judged text. */
static size_t least_text(const guard_parts *p)
{
    const size_t prompt = p->window - guard_format_fixed(&p->format, false);
    const size_t response = p->window - guard_format_fixed(&p->format, true) - p->window / 4;

    return p->format.response && response < prompt ? response : prompt;
}

/* Every byte may be ill-formed and become three, each a token. */
nn_status guard_windows_reserve(guard_windows *w, const guard_parts *p, size_t max_bytes, nn_err *err)
{
    const size_t piece = max_bytes < GUARD_PIECE ? max_bytes : GUARD_PIECE;
    nn_status st;

    if (max_bytes > UINT32_MAX / 8)
        return nn_fail(err, NN_LIMIT, "windows: texts of %zu bytes, want at most 512 MiB", max_bytes);
    if ((st = nn_grow((void **)&w->repaired, &w->repaired_cap, NN_UTF8_REPAIR_ROOM(piece) + 2, 1, err)) != NN_OK)
        return st;
    const size_t tokens = NN_UTF8_REPAIR_ROOM(max_bytes) + 1; /* a whole piece may be one pre-token */
    w->judged.len = 0;
    if ((st = nn_tok_buf_reserve(&w->judged, tokens, NN_UTF8_REPAIR_ROOM(piece) + 2, err)) != NN_OK) return st;

    const size_t least_room = least_text(p), half = (least_room + 1) / 2;
    const size_t count = 2 + tokens / (p->stride < half ? p->stride : half);
    if ((st = nn_grow((void **)&w->ids, &w->ids_cap, p->window, sizeof *w->ids, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&w->repeats, &w->repeats_cap, count, 1, err)) != NN_OK) return st;
    return nn_grow((void **)&w->table, &w->table_cap, table_size(count), sizeof *w->table, err);
}

/* --- what the ids of a window stand for ----------------------------------------------------------------- */

size_t guard_token_bytes(const nn_tok *tok)
{
    size_t most = 0;

    for (size_t id = 0; id < nn_tok_vocab(tok); id++) {
        size_t len = 0;

        (void)nn_tok_bytes(tok, (int32_t)id, &len);
        most = len > most ? len : most;
    }
    return most;
}

guard_window_spans guard_window_spans_of(const guard_format *f, guard_window_form form, size_t n)
{
    guard_window_spans s = {.lead = guard_format_count(f, form.response ? GUARD_RESPONSE_LEAD : GUARD_PROMPT_LEAD),
                            .context = form.context,
                            .mid = form.response ? guard_format_count(f, GUARD_RESPONSE_MID) : 0,
                            .tail = guard_format_count(f, form.response ? GUARD_RESPONSE_TAIL : GUARD_PROMPT_TAIL)};
    const size_t others = s.lead + s.context + s.mid + s.tail;

    NN_ASSERT(others <= n);
    s.text = n - others;
    return s;
}

void guard_window_decode(guard_window_text *t, char *out, size_t cap, const guard_parts *p, guard_window_form form,
                         const int32_t *ids, size_t n)
{
    const guard_window_spans s = guard_window_spans_of(&p->format, form, n);
    const size_t context = form.response ? nn_tok_decode(p->tok, out, cap, ids + s.lead, s.context) : 0;

    memset(t, 0, sizeof *t);
    NN_ASSERT(context <= cap);
    char *judged = out + context;
    const size_t len = nn_tok_decode(p->tok, judged, cap - context, ids + s.lead + s.context + s.mid, s.text);
    NN_ASSERT(len <= cap - context);
    *t = form.response ? (guard_window_text){out, judged, context, len} : (guard_window_text){out, NULL, len, 0};
}

static nn_status add_run(guard_slots *s, const char *text, size_t len, const nn_tok *tok, const int32_t *ids,
                         size_t n, uint32_t *start, size_t lead, size_t tail, size_t rows, nn_err *err)
{
    uint32_t at = 0;

    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;

        start[i] = at;
        (void)nn_tok_bytes(tok, ids[i], &bytes);
        at += (uint32_t)bytes;
    }
    return guard_slots_add(s, text, len, ids, start, n, lead, tail, rows, err);
}

nn_status guard_window_slots(guard_slots *slots, const guard_window_text *t, const guard_parts *p,
                             guard_window_form form, const int32_t *ids, size_t n, uint32_t *start, size_t rows,
                             nn_err *err)
{
    const guard_window_spans s = guard_window_spans_of(&p->format, form, n);
    const int32_t *first = ids + s.lead;
    nn_status st;

    if (!t->response)
        return add_run(slots, t->text, t->len, p->tok, first, s.text, start, s.lead, s.tail, rows, err);
    if ((st = add_run(slots, t->text, t->len, p->tok, first, s.context, start, s.lead, 0, rows, err)) != NN_OK)
        return st;
    return add_run(slots, t->response, t->response_len, p->tok, first + s.context + s.mid, s.text, start, s.mid, s.tail,
                   rows, err);
}
