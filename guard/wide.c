/* wide.c - a row's logit. No corpus, no training: what an embedded machine needs of the wide part. */
#include "guard/wide.h"
#include "guard/text.h"
#include "guard/wide_impl.h"
#include "nn/arena.h"
#include "nn/unicode.h"
#include <math.h>

void guard_wide_free(guard_wide *w)
{
    if (!w) return;
    nn_free(w->weight);
    nn_free(w->idf);
    nn_free(w);
}

/* Repairs, normalises, adds the grams. The three texts stand in f->scratch, which the sort uses
 * again afterwards. */
static nn_status add_text(guard_features *f, unsigned bits, const char *text, size_t len, uint64_t salt,
                          nn_err *err)
{
    size_t replaced = 0;
    const size_t whole = nn_utf8_repair(NULL, text, len, &replaced);
    nn_status st;

    if (whole > SIZE_MAX / 16) return nn_fail(err, NN_LIMIT, "wide part: a text of %zu bytes", len);
    const size_t room = GUARD_TEXT_ROOM(whole);
    if ((st = guard_features_scratch(f, 2 * room + whole, err)) != NN_OK) return st;
    char *const out = f->scratch, *const scratch = out + room, *const repaired = scratch + room;
    if (replaced) {
        (void)nn_utf8_repair(repaired, text, len, NULL);
        text = repaired;
    }
    const size_t n = guard_text_normalise(out, room, text, whole, scratch);
    NN_ASSERT(n <= room);
    return guard_grams_add(f, out, n, bits, salt, err);
}

nn_status guard_wide_grams(guard_features *f, unsigned bits, const char *text, size_t len, const char *response,
                           size_t response_len, nn_err *err)
{
    nn_status st;

    f->n = 0;
    if ((st = add_text(f, bits, text, len, response ? GUARD_SALT_PROMPT : GUARD_SALT_JUDGED,
                       err)) != NN_OK) return st;
    if (response) {
        if ((st = add_text(f, bits, response, response_len, GUARD_SALT_JUDGED, err)) != NN_OK) return st;
        if ((st = guard_grams_flag(f, 1, bits, err)) != NN_OK) return st;
    }
    return guard_grams_sort(f, bits, err);
}

/* z = bias + sum_j weight_j idf_j v_j / |idf v|, slots ascending, sums in double: one order, one
 * value. */
nn_status guard_wide_text_logit(const guard_wide *w, guard_features *f, const char *text, size_t len,
                                const char *response, size_t response_len, float *z, nn_err *err)
{
    double dot = 0.0, square = 0.0;
    nn_status st;

    if ((st = guard_wide_grams(f, w->bits, text, len, response, response_len, err)) != NN_OK) return st;
    guard_grams_count(f);
    for (size_t i = 0; i < f->n; i++) {
        const float x = f->value[i] * w->idf[f->slot[i]];

        dot += (double)x * (double)w->weight[f->slot[i]];
        square += (double)x * (double)x;
    }
    *z = (float)((double)w->bias + (square > 0.0 ? dot / sqrt(square) : 0.0));
    return NN_OK;
}

nn_status guard_wide_logit(const guard_wide *w, guard_features *f, const guard_row *row, float *z, nn_err *err)
{
    return guard_wide_text_logit(w, f, row->text.s ? row->text.s : "", row->text.n, row->response.s,
                                 row->response.n, z, err);
}
