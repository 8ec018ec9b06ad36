/* window_batch.h - windows of many texts through the wide part and the decoder together, and the verdicts they
 * make.
 *
 * Reads: windows.h, classify_impl.h.   Read next: window_batch.c, check.c (one text), score.c (a corpus).
 * Why: one engine for a single check and for a corpus, so that both give the same bytes; a result does not
 * depend on its neighbours in the batch (CONTRACTS 1). Everything is sized at build: adding and running
 * allocate nothing.
 *
 * The wide part reads the window's own text, not the whole text. WHY: its features have norm 1, so over a whole
 * text one harmful sentence is divided by everything around it; over windows it weighs as much as in a short
 * text. Training and calibration see windows too (train_impl.h), so the two parts always judge the same words.
 *
 * Windows go through the decoder in groups of GROUP_ROWS positions. WHY: eight windows at once need more room than a
 * core's cache; one after the other, long texts take 8 to 25% less. Threads take groups, one region for all of them; a
 * group that is alone is one thread's work, unless it is large (window_batch.c).
 * Private to guard/ and its tests.
 */
#ifndef GUARD_WINDOW_BATCH_H
#define GUARD_WINDOW_BATCH_H
#include "guard/classify_impl.h"
#include "guard/windows.h"

typedef struct guard_window_batch guard_window_batch;

/* Room for max_windows windows of together max_rows positions (at least one window). Borrows p and x. */
NN_CHECKED nn_status guard_window_batch_build(guard_window_batch **out, const guard_parts *p, const nn_exec *x,
                                              size_t max_rows, size_t max_windows, nn_err *err);
void guard_window_batch_free(guard_window_batch *b);

/* --- verdicts --------------------------------------------------------------------------------------- */
/* Sets what is known of v before any window is run, then adds all windows of w that do not repeat; runs the
 * batch whenever it is full. v is complete after the next guard_window_batch_flush. */
NN_CHECKED nn_status guard_window_batch_push(guard_window_batch *b, guard_verdict *v, guard_windows *w,
                                             nn_err *err);
NN_CHECKED nn_status guard_window_batch_flush(guard_window_batch *b, nn_err *err);

/* --- the steps themselves ------------------------------------------------------------------------------ */
bool guard_window_batch_fits(const guard_window_batch *b, size_t n);
NN_CHECKED nn_status guard_window_batch_add(guard_window_batch *b, guard_window_form form, const int32_t *ids, size_t n,
                                            nn_err *err);
void guard_window_batch_clear(guard_window_batch *b);
/* Decoder alone: fn sees every window's hidden states [rows, width] once, windows in any order, in any thread. */
typedef void (*guard_window_fn)(void *ctx, size_t window, const float *hidden, size_t rows);
void guard_window_batch_hidden(guard_window_batch *b, guard_window_fn fn, void *ctx);
#endif
