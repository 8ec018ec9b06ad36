/* Which table of kernels a program gets. */
#include "nn/kern.h"
#include "tests/support.h"
#include <stdlib.h>
#include <string.h>

Test(kern, pick_takes_the_named_table)
{
    const nn_kern *k = NULL;
    nn_err err = {0};

    expect_ok(nn_kern_pick(&k, "base", &err), &err);
    cr_assert_str_eq(k->name, "base");
}

Test(kern, pick_takes_the_best_when_nothing_is_named)
{
    const nn_kern *k = NULL, *last = NULL, *best = NULL;
    bool supported = false;
    nn_err err = {0};

    cr_assert_eq(unsetenv("NN_KERNELS"), 0);
    for (size_t t = 0; (last = nn_kern_at(t, &supported)) != NULL; t++)
        if (supported) best = last;
    expect_ok(nn_kern_pick(&k, NULL, &err), &err);
    cr_assert_eq(k, best);
}

Test(kern, environment_names_the_table)
{
    const nn_kern *k = NULL;
    nn_err err = {0};

    cr_assert_eq(setenv("NN_KERNELS", "base", 1), 0);
    expect_ok(nn_kern_pick(&k, NULL, &err), &err);
    cr_assert_str_eq(k->name, "base");
}

Test(kern, an_unknown_table_is_refused_with_the_names_that_would_do)
{
    const nn_kern *k = NULL;
    nn_err err = {0};

    cr_assert_eq(setenv("NN_KERNELS", "avx1024", 1), 0);
    expect_fails(nn_kern_pick(&k, NULL, &err), NN_USAGE, &err, "NN_KERNELS=avx1024");
    cr_assert_not_null(strstr(err.text, "want one of base"));
    cr_assert_null(k);
}
