/* test_guard_support.h - small guards and corpora for the tests of guard/. */
#ifndef TEST_GUARD_SUPPORT_H
#define TEST_GUARD_SUPPORT_H
#include "guard/classify_impl.h"
#include "guard/train_guard.h"

/* n rows about invented words, half of them unsafe: a row is unsafe when it holds a word of the unsafe kind
 * ("blick", "zorn", ...). xor: unsafe when exactly one of two words stands in it, apart from each other, which
 * no sum over n-grams can tell. */
guard_corpus *word_corpus(size_t n, uint64_t seed, bool xor_rule);
guard_corpus *corpus_of(const guard_row *row, size_t n);
guard_row row_of(const char *text, const char *response, int label);
nn_tok *word_tok(size_t vocab); /* trained on word_corpus */
guard_taxonomy two_categories(void);

/* A guard of random weights (large enough that verdicts differ): window 32, memory, two categories. */
guard_classifier *random_guard(bool wide, bool decoder, uint64_t seed);

/* One layer of width 32, window 32, a few thousand tokens: seconds. */
guard_train_options small_options(void);
guard_classifier *trained_guard(const guard_train_options *o, bool xor_rule, guard_job *job);

nn_exec open_exec(size_t threads);
guard_job job_of(const nn_exec *x);
double average_precision_of(const guard_classifier *g, const guard_corpus *c, guard_job *job);
void expect_same_verdict(const char *what, const guard_verdict *a, const guard_verdict *b);
char *
hash_of(const guard_classifier *g); /* of all weights, thresholds and calibration; lives until the test ends */
#endif
