/* Tests of nn/err.h: the first cause is kept, messages never overflow. */
#include "nn/err.h"
#include "tests/support.h"
#include <string.h>

Test(err, fail_writes_the_sentence_and_returns_the_status)
{
    nn_err err = {NN_OK, ""};

    cr_assert(nn_fail(&err, NN_FILE, "%s: length %d, want %d", "a.bin", 7, 8) == NN_FILE);
    cr_expect(err.status == NN_FILE);
    cr_expect_str_eq(err.text, "a.bin: length 7, want 8");
}

Test(err, first_cause_stays)
{
    nn_err err = {NN_OK, ""};

    nn_fail(&err, NN_CONTENT, "first");
    cr_expect(nn_fail(&err, NN_LIMIT, "second") == NN_LIMIT);
    cr_expect(err.status == NN_CONTENT);
    cr_expect_str_eq(err.text, "first");
}

Test(err, null_err_is_fine)
{
    cr_expect(nn_fail(NULL, NN_USAGE, "nobody listens") == NN_USAGE);
    nn_err_prefix(NULL, "x");
}

Test(err, prefix_names_the_object)
{
    nn_err err = {NN_OK, ""};

    nn_err_prefix(&err, "quiet");
    cr_expect_str_eq(err.text, "");
    nn_fail(&err, NN_FILE, "truncated");
    nn_err_prefix(&err, "model.gguf");
    cr_expect_str_eq(err.text, "model.gguf: truncated");
}

Test(err, long_texts_are_cut_not_overrun)
{
    nn_err err = {NN_OK, ""};
    char longer[2 * NN_ERR_MAX];

    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    nn_fail(&err, NN_FILE, "%s", longer);
    cr_expect_eq(strlen(err.text), (size_t)NN_ERR_MAX - 1);
    nn_err_prefix(&err, "p");
    cr_expect_eq(strlen(err.text), (size_t)NN_ERR_MAX - 1);
    cr_expect(strncmp(err.text, "p: xx", 5) == 0);
    nn_err_prefix(&err, longer);
    cr_expect_eq(strlen(err.text), (size_t)NN_ERR_MAX - 1);
}

Test(err, every_status_has_a_text)
{
    cr_expect_str_eq(nn_status_text(NN_OK), "done");
    cr_expect_str_eq(nn_status_text(NN_STOP), "stopped on request; what was finished is saved");
    cr_expect_str_eq(nn_status_text((nn_status)77), "unknown status");
}
