/* unicode_tables.h - what nn/unicode.c looks up; the data is generated, this page is not.
 *
 * Read next: unicode.c (the only reader), tests/gen/unicode_tables.py (the writer).
 * Why ranges: the properties of 1.1 million code points fit a few thousand sorted ranges; a binary search
 * costs about ten steps, and ASCII never comes here.
 */
#ifndef NN_UNICODE_TABLES_H
#define NN_UNICODE_TABLES_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t first, last; /* both in the range; ranges ascend and do not overlap */
    uint32_t value;
} nn_uni_range;

typedef struct {
    const nn_uni_range *range;
    size_t n;
} nn_uni_table;

/* A map from code points to sequences: range.value + (cp - range.first) is an index i into `start`;
 * the sequence is pool[start[i]] .. pool[start[i + 1] - 1]. */
typedef struct {
    nn_uni_table table;
    const uint16_t *start;
    const uint32_t *pool;
} nn_uni_map;

typedef struct {
    uint32_t a, b, ab; /* a followed by b composes to ab; sorted by (a, b) */
} nn_uni_pair;

#define NN_UNI_LETTER 1u
#define NN_UNI_NUMBER 2u
#define NN_UNI_MARK 3u
#define NN_UNI_SPACE 4u
#define NN_UNI_OTHER 5u /* assigned, and none of these */

#define NN_UNI_DECOMPOSED_MAX 18u /* code points of the longest full compatibility decomposition */
#define NN_UNI_FOLDED_MAX 2u      /* code points that one decomposed code point folds to */

extern const char nn_uni_version[];
extern const nn_uni_table nn_uni_class;     /* NN_UNI_*; unassigned points are absent */
extern const nn_uni_table nn_uni_ccc;       /* canonical combining class where it is not 0 */
extern const nn_uni_table nn_uni_ignorable; /* Default_Ignorable_Code_Point */
extern const nn_uni_map nn_uni_decomposed;  /* full compatibility decomposition, Hangul syllables excepted */
extern const nn_uni_map nn_uni_canonical;   /* full canonical decomposition where it is not that one */
extern const nn_uni_table nn_uni_compatible; /* decomposed by compatibility alone */
extern const nn_uni_table nn_uni_punct;     /* \p{P} */
extern const nn_uni_map nn_uni_lower_map;   /* lower case of one code point */
extern const nn_uni_map nn_uni_folded;      /* of a decomposed code point: case, digits, confusables */
extern const nn_uni_pair nn_uni_composed[]; /* primary composites, Hangul syllables excepted */
extern const size_t nn_uni_n_composed;
#endif
