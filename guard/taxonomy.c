#include "guard/taxonomy.h"
#include <stdbool.h>
#include <string.h>

/* The next name of a comma list from *at on, without blanks around it; false at the end. */
static bool next_name(const char **name, size_t *n, const char *list, size_t len, size_t *at)
{
    if (*at >= len) return false;

    const char *start = list + *at;
    const char *comma = memchr(start, ',', len - *at);
    size_t used = comma ? (size_t)(comma - start) : len - *at;

    *at += used + 1;
    while (used && *start == ' ') start++, used--;
    while (used && start[used - 1] == ' ') used--;
    *name = start;
    *n = used;
    return true;
}

static bool holds(const char *list, const char *want, size_t want_len)
{
    const char *name = NULL;
    size_t n = 0, at = 0;

    while (next_name(&name, &n, list, strlen(list), &at)) {
        if (n && n == want_len && memcmp(name, want, n) == 0) return true;
    }
    return false;
}

size_t guard_taxonomy_index(const guard_taxonomy *t, const char *name, size_t len)
{
    size_t found = GUARD_MAX_CATEGORY;

    for (size_t i = 0; i < t->n; i++) {
        const char *own = t->category[i].name;
        if (strlen(own) == len && memcmp(own, name, len) == 0) return i;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (!holds(t->category[i].openai, name, len) && !holds(t->category[i].mlcommons, name, len)) continue;
        if (found != GUARD_MAX_CATEGORY) return GUARD_MAX_CATEGORY; /* two of ours share it: it says neither */
        found = i;
    }
    return found;
}

uint64_t guard_taxonomy_mask(const guard_taxonomy *t, const char *list, size_t len, size_t *unknown)
{
    const char *name = NULL;
    size_t n = 0, at = 0;
    uint64_t mask = 0;

    while (list && next_name(&name, &n, list, len, &at)) {
        const size_t i = guard_taxonomy_index(t, name, n);

        if (i < GUARD_MAX_CATEGORY) mask |= (uint64_t)1 << i;
        else if (unknown) (*unknown)++;
    }
    return mask;
}
