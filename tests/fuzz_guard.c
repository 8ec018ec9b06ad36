/* fuzz_guard.c - a guard's own file, then verdicts on a few texts. */
#include "guard/classify_impl.h"
#include "guard/parapet.h"
#include "tests/fuzz.h"
#include <string.h>

#define WIDEST 64u /* tokens of a window that is still judged: a session's memory grows with it */

static void judge(const guard_classifier *g, const uint8_t *bytes, size_t len)
{
    static const char text[] = "a flagged request, and then a story about a crane \xf0\x9f\x98\x80 that is longer "
                               "than one window";
    const guard_session_options o = {.max_bytes = 4096};
    const size_t n = len < 200 ? len : 200;
    guard_session *s = NULL;
    guard_verdict v;
    nn_err err = {NN_OK, ""};

    fuzz_must(guard_session_open(&s, g, &o, &err) == NN_OK, err.text);
    fuzz_must(guard_check(s, text, sizeof text - 1, NULL, 0, &v, &err) == NN_OK, err.text);
    fuzz_must(v.window_index < v.window_count && v.window_start <= v.window_end && v.window_end <= sizeof text - 1,
              "a window lies inside the text");
    fuzz_must(v.n_category == guard_classifier_taxonomy(g)->n || v.n_category == 0, "as many categories as names");
    (void)!guard_check(s, text, sizeof text - 1, text, 20, &v, NULL); /* not every format judges responses */
    fuzz_must(guard_check(s, (const char *)bytes + (len - n), n, NULL, 0, &v, &err) == NN_OK || err.text[0],
              "a refusal says why");
    guard_session_close(s);
}

nn_status fuzz_guard(const uint8_t *bytes, size_t len, nn_err *err)
{
    guard_classifier *g = NULL;
    char hex[65];
    const nn_status st = guard_classifier_open_memory(&g, bytes, len, err);

    fuzz_must((st == NN_OK) == (g != NULL), "a guard exactly when it opens");
    fuzz_opened();
    if (!g) return st;
    guard_classifier_sha256(g, hex);
    fuzz_must(strlen(hex) == 64, "a file has a hash");
    (void)guard_classifier_threshold(g, 0.01);
    if (guard_classifier_parts(g)->window <= WIDEST) judge(g, bytes, len);
    guard_classifier_close(g);
    return st;
}
