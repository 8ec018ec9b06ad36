/* test_ask_support.c - see test_ask_support.h. */
#include "tests/test_ask_support.h"
#include "tests/support.h"

guard_store *store;
nn_err err;

void open_store(void)
{
    err = (nn_err){NN_OK, ""};
    expect_ok(guard_store_build(&store, &err), &err);
}

void close_store(void)
{
    guard_store_free(store);
}

void fresh_store(void)
{
    close_store();
    open_store();
}
