/* taxonomy.h - the categories: names in a fixed order, with severity, definition and mappings to other taxonomies. */
#ifndef GUARD_TAXONOMY_H
#define GUARD_TAXONOMY_H
#include "nn/err.h"
#include <stdint.h>

#define GUARD_MAX_CATEGORY 48

typedef struct {
    char name[32], domain[32];
    char definition[256];
    char openai[96], mlcommons[96]; /* comma lists of their names */
    int severity;                   /* 1..3 */
} guard_category;

typedef struct {
    guard_category category[GUARD_MAX_CATEGORY];
    size_t n;
} guard_taxonomy;

/* Index of a name: ours, or one that maps to exactly one of ours; GUARD_MAX_CATEGORY when unknown. */
size_t guard_taxonomy_index(const guard_taxonomy *t, const char *name, size_t len);
/* Bit mask of a row's comma list; unknown names are ignored and counted in *unknown (may be NULL). */
uint64_t guard_taxonomy_mask(const guard_taxonomy *t, const char *list, size_t len, size_t *unknown);
#endif
