/* test_ask_support.h - the store that each test of asking begins with, empty. */
#ifndef TEST_ASK_SUPPORT_H
#define TEST_ASK_SUPPORT_H
#include "guard/ask/store.h"

extern guard_store *store;
extern nn_err err; /* clean whenever a store is opened */
void open_store(void);
void close_store(void);
void fresh_store(void);
#endif
