/* windows.h - a text as windows of ids, and a window as the texts and slots that its ids stand for.
 *
 * Reads: classify.h.   Read next: windows.c, window_batch.h (its user).
 * Format (format.h), where T is the judged text: lead T tail, or lead prompt-tail mid T tail with at most a quarter of
 * the window for the prompt's last tokens. T has the rest of the window as its room; windows begin every `stride`
 * tokens, or every half room when that is less, until one reaches the end. An empty text is one window of the
 * format's ids.
 * Why a window is a function of its ids and its form: equal windows have equal logits, so they are scored once, and
 * training needs to keep no text. The form says which ids are whose: a text may spell the format's own ids, where those
 * are ordinary tokens, and must not so choose what is judged.
 * Tokens: the text goes through the tokenizer in pieces of at most GUARD_PIECE bytes, cut where no token reaches over,
 * so that its scratch does not grow with the text. Private to guard/ and its tests.
 */
#ifndef GUARD_WINDOWS_H
#define GUARD_WINDOWS_H
#include "guard/classify.h"
#include "guard/ngram.h"

#define GUARD_PIECE 8192u /* bytes */
enum { GUARD_WINDOW_MIN = 16, GUARD_WINDOW_MAX = 4096 };

NN_CHECKED nn_status guard_windows_of_text(guard_windows *w, const guard_parts *p, const char *text, size_t len,
                                           const char *response, size_t response_len, nn_err *err);
/* Afterwards texts of up to max_bytes allocate nothing. */
NN_CHECKED nn_status guard_windows_reserve(guard_windows *w, const guard_parts *p, size_t max_bytes, nn_err *err);
bool guard_windows_repeats(const guard_windows *w, size_t i); /* a window before i has the same ids */
size_t guard_windows_tokens(const guard_windows *w);          /* of the judged text */
size_t guard_windows_replaced(const guard_windows *w);        /* ill-formed parts of prompt and response */

/* Longest token in bytes: a window's texts together are no longer than window times this. */
size_t guard_token_bytes(const nn_tok *tok);

/* Which ids of a window of n are what. */
typedef struct {
    size_t lead, context, mid, text, tail; /* one after the other; context and mid are 0 unless response */
} guard_window_spans;
guard_window_spans guard_window_spans_of(const guard_format *f, guard_window_form form, size_t n);

/* The texts of a window's ids, in out (room as above). response is NULL when the prompt is judged. */
typedef struct {
    const char *text, *response;
    size_t len, response_len;
} guard_window_text;
void guard_window_decode(guard_window_text *t, char *out, size_t cap, const guard_parts *p, guard_window_form form,
                         const int32_t *ids, size_t n);
/* Appends the memory slots of a window's n positions; t as decoded from the same ids, start [n] is scratch. */
NN_CHECKED nn_status guard_window_slots(guard_slots *s, const guard_window_text *t, const guard_parts *p,
                                        guard_window_form form, const int32_t *ids, size_t n, uint32_t *start,
                                        size_t rows, nn_err *err);
#endif
