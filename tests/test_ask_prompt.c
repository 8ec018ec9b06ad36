/* Tests of guard/ask/prompt.h: places, braces, and texts that look like places. */
#include "guard/ask/prompt.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <string.h>

static guard_message user(const char *text)
{
    return (guard_message){GUARD_ROLE_USER, text, strlen(text)};
}

static guard_corpus *two_rows(void)
{
    static const char zero[] = "a\0b";
    const guard_row row[] = {{.label = GUARD_UNSAFE, .text = {"say {label} {{", 14}, .category = {"a,b", 3}},
                             {.label = GUARD_LABEL_NONE, .text = {zero, 3}}};
    guard_corpus *c = NULL;
    guard_column *col = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_corpus_build(&c, &err), &err);
    for (size_t i = 0; i < 2; i++) expect_ok(guard_corpus_add(c, &row[i], &err), &err);
    expect_ok(guard_corpus_column(c, "score", "t", GUARD_COL_NUM, &col, &err), &err);
    col->num[0] = 0.1;
    expect_ok(guard_corpus_column(c, "sure", "t", GUARD_COL_BOOL, &col, &err), &err);
    col->num[0] = 1.0;
    expect_ok(guard_corpus_column(c, "p@guard", "t", GUARD_COL_STR, &col, &err), &err);
    expect_ok(guard_corpus_set_str(c, col, 0, "{text}", 6, &err), &err);
    return c;
}

Test(ask_prompt, places_are_filled_once_and_a_filled_text_is_never_read_again)
{
    const guard_message m[] = {{GUARD_ROLE_SYSTEM, "{{{category}}", 13},
                               user("{label}: {text} [{score} {sure} {p@guard}] {{label}")};
    guard_corpus *c = two_rows();
    guard_questions q = {0};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_prompt_check(m, 2, c, &err), &err);
    for (size_t i = 0; i < c->n; i++) expect_ok(guard_questions_fill(&q, m, 2, c, i, &err), &err);
    expect_ok(guard_questions_seal(&q, 2, c, 1, "test", &err), &err);
    const guard_question *first = &q.question[1], *second = &q.question[2];
    cr_expect_eq(first->n_message, 2);
    cr_expect_str_eq(first->message[0].text, "{a,b}");
    cr_expect(first->message[0].role == GUARD_ROLE_SYSTEM && first->message[1].role == GUARD_ROLE_USER);
    cr_expect_str_eq(first->message[1].text, "unsafe: say {label} {{ [0.1 true {text}] {label}");
    cr_expect(second->message[1].len == 18 && memcmp(second->message[1].text, ": a\0b [  ] {label}", 18) == 0,
              "%zu bytes: %s", second->message[1].len, second->message[1].text);
    cr_expect(q.question[0].seed != first->seed && first->seed != second->seed);
    guard_questions_free(&q);
    guard_corpus_free(c);
}

Test(ask_prompt, a_place_that_nothing_fills_is_named)
{
    const struct {
        const char *text, *part;
    } bad[] = {{"{scor}", "did you mean {score}?"},
               {"{nothing_like_it_at_all}", "no such column"},
               {"a {", "not closed"},
               {"{}", "not the name"}, {"{a\nb", "not closed"}, {"x {text", "not closed"}};
    guard_corpus *c = two_rows();

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const guard_message m = user(bad[i].text);
        nn_err err = {NN_OK, ""};

        expect_fails(guard_prompt_check(&m, 1, c, &err), NN_CONTENT, &err, bad[i].part);
    }
    guard_corpus_free(c);
}

Test(ask_prompt, any_allocation_may_fail)
{
    const guard_message m = user("{text} {score}");
    guard_corpus *c = two_rows();
    nn_status st = NN_LIMIT;

    for (long k = 0; st != NN_OK; k++) {
        guard_questions q = {0};
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(k);
        st = NN_OK;
        for (size_t i = 0; i < c->n && st == NN_OK; i++) st = guard_questions_fill(&q, &m, 1, c, i, &err);
        if (st == NN_OK) st = guard_questions_seal(&q, 3, c, 1, "test", &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "%s", err.text);
        guard_questions_free(&q);
        cr_assert_lt(k, 100);
    }
    guard_corpus_free(c);
}
