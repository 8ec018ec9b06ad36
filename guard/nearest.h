/* nearest.h - the name somebody probably meant: for typos in flags, options, columns and globals. */
#ifndef GUARD_NEAREST_H
#define GUARD_NEAREST_H
#include <stddef.h>

/* The name among names[n] nearest to `wrong` by edit distance (ties: the first in byte order), or NULL when none is
 * near. */
const char *guard_nearest(const char *wrong, const char *const *names, size_t n);
#endif
