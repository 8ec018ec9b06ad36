/* test_guard_toy.h - a guard for the toy requests: a wide part that was trained, a decoder that was not. */
#ifndef TEST_GUARD_TOY_H
#define TEST_GUARD_TOY_H
#include "guard/classify.h"
#include "tests/test_lm_support.h"

guard_wide_options toy_wide_options(void);
guard_wide *toy_wide(const guard_corpus *c);
/* decoder: with random weights, so embeddings exist and its logit says little. Owns copies of everything. */
guard_classifier *toy_guard(const guard_corpus *c, const nn_tok *tok, bool decoder);
double column_at(const guard_corpus *c, const char *name, size_t row);
void add_toy_row(guard_corpus *c, const char *id, int label, const char *text);
#endif
