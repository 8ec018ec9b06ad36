#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include <string.h>

#define LEAD 2u           /* BOS and the task before the text */
#define UTF8_TAIL_MAX 3u  /* continuation bytes of one character */
#define REPLACED_BYTES 3u /* of U+FFFD */

struct guard_windows {
    nn_tok_buf judged; /* tokens of the judged text; start: bytes of the text as it came */
    char *repaired;    /* one piece */
    size_t repaired_cap;
    int32_t *ids; /* [window] the window last asked for; its first n_lead ids are those of every window */
    size_t ids_cap, n_lead;
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

/* Whether the pre-tokenizer cuts before s[i] whatever follows: a blank after something that is none. */
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
static size_t piece_len(const char *s, size_t len)
{
    size_t n = GUARD_PIECE;

    if (len <= GUARD_PIECE) return len;
    for (size_t i = GUARD_PIECE; i > 1; i--)
        if (always_cuts(s, i)) return i;
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

static nn_status add_piece(guard_windows *w, const nn_tok *tok, const char *piece, size_t len, size_t base,
                           nn_err *err)
{
    const size_t first = w->judged.len;
    size_t replaced = 0;
    const size_t whole = nn_utf8_repair(NULL, piece, len, &replaced);
    const char *text = piece;
    nn_status st;

    if (replaced) {
        if ((st = nn_grow((void **)&w->repaired, &w->repaired_cap, whole, 1, err)) != NN_OK) return st;
        (void)nn_utf8_repair(w->repaired, piece, len, NULL);
        text = w->repaired;
    }
    w->replaced += replaced;
    if ((st = nn_tok_encode(tok, &w->judged, text, whole, err)) != NN_OK) return st;
    map_starts(w->judged.start + first, w->judged.len - first, piece, len, base, replaced > 0);
    return NN_OK;
}

static nn_status encode(guard_windows *w, const nn_tok *tok, const char *text, size_t len, nn_err *err)
{
    nn_status st = NN_OK;

    if (len >= UINT32_MAX) return nn_fail(err, NN_LIMIT, "windows: a text of %zu bytes, want less than 4 GiB", len);
    w->judged.len = 0;
    w->len = len;
    for (size_t at = 0, n = 0; at < len && st == NN_OK; at += n) {
        n = piece_len(text + at, len - at);
        st = add_piece(w, tok, text + at, n, at, err);
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

/* The ids before the judged text, from the prompt's tokens in w->judged when there is a response. */
static void set_lead(guard_windows *w, size_t window, bool response)
{
    const size_t most = window / 4, tail = w->judged.len < most ? w->judged.len : most;

    w->ids[0] = NN_TOK_BOS;
    w->ids[1] = response ? NN_TOK_TASK_RESPONSE : NN_TOK_TASK_PROMPT;
    w->n_lead = LEAD;
    if (!response) return;
    if (tail > 0) memcpy(w->ids + LEAD, w->judged.ids + w->judged.len - tail, tail * sizeof *w->ids);
    w->ids[LEAD + tail] = NN_TOK_RESPONSE;
    w->n_lead = LEAD + tail + 1;
}

nn_status guard_windows_of_text(guard_windows *w, const guard_parts *p, const char *text, size_t len,
                                const char *response, size_t response_len, nn_err *err)
{
    nn_status st;

    NN_ASSERT(p->window >= GUARD_WINDOW_MIN && p->stride > 0);
    w->replaced = 0;
    if ((st = nn_grow((void **)&w->ids, &w->ids_cap, p->window, sizeof *w->ids, err)) != NN_OK) return st;
    if ((st = encode(w, p->tok, text, len, err)) != NN_OK) return st;
    set_lead(w, p->window, response != NULL);
    if (response && (st = encode(w, p->tok, response, response_len, err)) != NN_OK) return st;
    w->room = p->window - w->n_lead - 1;
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
    w->ids[w->n_lead + n_text] = NN_TOK_LABEL;
    *ids = w->ids;
    *n = w->n_lead + n_text + 1;
    *first_byte = first < w->judged.len ? w->judged.start[first] : 0;
    *last_byte = end < w->judged.len ? w->judged.start[end] : w->len;
}

/* --- room for the longest text ----------------------------------------------------------------------- */

/* Every byte may be ill-formed and become three, each a token. A response's windows have the least room. */
nn_status guard_windows_reserve(guard_windows *w, const guard_parts *p, size_t max_bytes, nn_err *err)
{
    const size_t piece = max_bytes < GUARD_PIECE ? max_bytes : GUARD_PIECE;
    nn_status st;

    if (max_bytes > UINT32_MAX / 8)
        return nn_fail(err, NN_LIMIT, "windows: texts of %zu bytes, want at most 512 MiB", max_bytes);
    if ((st = nn_grow((void **)&w->repaired, &w->repaired_cap, NN_UTF8_REPAIR_ROOM(piece) + 1, 1, err)) != NN_OK)
        return st;
    const size_t tokens = NN_UTF8_REPAIR_ROOM(max_bytes) + 1; /* a whole piece may be one pre-token */
    w->judged.len = 0;
    if ((st = nn_tok_buf_reserve(&w->judged, tokens, NN_UTF8_REPAIR_ROOM(piece) + 1, err)) != NN_OK) return st;

    const size_t least_room = p->window - LEAD - p->window / 4 - 2, half = (least_room + 1) / 2;
    const size_t count = 2 + tokens / (p->stride < half ? p->stride : half);
    if ((st = nn_grow((void **)&w->ids, &w->ids_cap, p->window, sizeof *w->ids, err)) != NN_OK) return st;
    if ((st = nn_grow((void **)&w->repeats, &w->repeats_cap, count, 1, err)) != NN_OK) return st;
    return nn_grow((void **)&w->table, &w->table_cap, table_size(count), sizeof *w->table, err);
}

/* --- what the ids of a window stand for ----------------------------------------------------------------- */

size_t guard_token_bytes(const nn_tok *tok)
{
    size_t most = 0;

    for (size_t id = NN_TOK_BYTES; id < nn_tok_vocab(tok); id++) {
        size_t len = 0;

        (void)nn_tok_bytes(tok, (int32_t)id, &len);
        most = len > most ? len : most;
    }
    return most;
}

/* Where the run of text tokens that begins at `from` ends. */
static size_t text_end(const int32_t *ids, size_t n, size_t from)
{
    while (from < n && ids[from] >= NN_TOK_BYTES) from++;
    return from;
}

void guard_window_decode(guard_window_text *t, char *out, size_t cap, const nn_tok *tok, const int32_t *ids,
                         size_t n)
{
    const size_t end = text_end(ids, n, LEAD);

    memset(t, 0, sizeof *t);
    t->text = out;
    t->len = nn_tok_decode(tok, out, cap, ids + LEAD, end - LEAD);
    NN_ASSERT(t->len <= cap);
    if (ids[end] != NN_TOK_RESPONSE) return;
    t->response = out + t->len;
    t->response_len = nn_tok_decode(tok, out + t->len, cap - t->len, ids + end + 1,
                                    text_end(ids, n, end + 1) - end - 1);
    NN_ASSERT(t->len + t->response_len <= cap);
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

nn_status guard_window_slots(guard_slots *s, const guard_window_text *t, const nn_tok *tok, const int32_t *ids,
                             size_t n, uint32_t *start, size_t rows, nn_err *err)
{
    const size_t end = text_end(ids, n, LEAD);
    nn_status st;

    if (!t->response) return add_run(s, t->text, t->len, tok, ids + LEAD, end - LEAD, start, LEAD, 1, rows, err);
    if ((st = add_run(s, t->text, t->len, tok, ids + LEAD, end - LEAD, start, LEAD, 0, rows, err)) != NN_OK)
        return st;
    return add_run(s, t->response, t->response_len, tok, ids + end + 1, n - 1 - (end + 1), start, 1, 1, rows, err);
}
