/* nearest.c - see nearest.h. Distance: Levenshtein 1966, one row at a time. */
#include "guard/nearest.h"
#include <string.h>

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[65];
    const size_t na = strlen(a), nb = strlen(b);
    if (na > 64 || nb > 64) return 64;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            const size_t above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
            size_t best = above + 1 < row[j - 1] + 1 ? above + 1 : row[j - 1] + 1;
            if (change < best) best = change;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[nb];
}

const char *guard_nearest(const char *wrong, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(wrong) / 2 + 1;
    for (size_t i = 0; i < n; i++) {
        const size_t d = edit_distance(wrong, names[i]);
        if (d < best_distance || (d == best_distance && best != NULL && strcmp(names[i], best) < 0)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
