/* Tests of guard/ask/answer.h: what counts as an answer, and that nothing that does not fit is guessed at. */
#include "guard/ask/answer.h"
#include "nn/arena.h"
#include "tests/support.h"
#include <stdlib.h>
#include <string.h>

static const char *const verdicts[] = {"safe", "unsafe"};
static const char *const longer[] = {"safe", "not", "not safe", "0", "1"};
static const guard_answer_grammar text_grammar = {.kind = GUARD_ANSWER_TEXT};
static const guard_answer_grammar verdict = {.kind = GUARD_ANSWER_ONE_OF, .word = verdicts, .n_word = 2};
static const guard_answer_grammar wider = {.kind = GUARD_ANSWER_ONE_OF, .word = longer, .n_word = 5};
static const guard_answer_field fields[] = {
    {"label", GUARD_FIELD_STRING}, {"score", GUARD_FIELD_NUMBER}, {"sure", GUARD_FIELD_BOOLEAN}};
static const guard_answer_grammar three_fields = {.kind = GUARD_ANSWER_JSON, .field = fields, .n_field = 3};
static const guard_answer_grammar one_field = {.kind = GUARD_ANSWER_JSON, .field = fields, .n_field = 1};
static const guard_answer_grammar three_items = {.kind = GUARD_ANSWER_LIST, .max_items = 3};
static const guard_answer_grammar all_items = {.kind = GUARD_ANSWER_LIST};

/* The answer's texts with a bar between two; "-" when it does not fit. Of an exact block, so that a sanitizer sees the
 * end. */
static char *read_len(const guard_answer_grammar *g, const char *text, size_t len)
{
    static char out[4096];
    char *block = malloc(len ? len : 1);
    guard_answer a;
    nn_err err = {NN_OK, ""};
    bool fits = false;

    memcpy(block, text, len);
    expect_ok(guard_answer_parse(&a, &fits, g, block, len, &err), &err);
    strcpy(out, fits ? "" : "-");
    for (size_t i = 0; i < a.n; i++) {
        cr_assert(fits && strlen(a.text[i].s) == a.text[i].n);
        if (i) strcat(out, "|");
        strcat(out, a.text[i].s);
    }
    cr_assert(!fits || a.n > 0);
    if (fits && g->kind == GUARD_ANSWER_ONE_OF) cr_assert_str_eq(out, g->word[a.which]);
    guard_answer_free(&a);
    free(block);
    return out;
}

static char *read_as(const guard_answer_grammar *g, const char *text)
{
    return read_len(g, text, strlen(text));
}

typedef struct {
    const char *text, *want;
} reading;

static void expect_readings(const guard_answer_grammar *g, const reading *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_expect_str_eq(read_as(g, r[i].text), r[i].want, "%zu '%s': got '%s', want '%s'", i, r[i].text,
                         read_as(g, r[i].text), r[i].want);
}
#define READ(g, r) expect_readings(&(g), r, sizeof(r) / sizeof *(r))

Test(ask_answer, a_text_is_what_stands_between_blanks_and_behind_thoughts)
{
    static const reading r[] = {
        {" \n Hello there.\n\n", "Hello there."},
        {"\xc2\xa0 x \xe3\x80\x80", "x"},
        {"", "-"},
        {" \t\r\n", "-"},
        {"<think>\nIs it?\n</think>\n\nYes.", "Yes."},
        {"\n<think></think>Yes.", "Yes."},
        {"<think>a < b</think>Yes.", "Yes."},
        {"<think>Is it", "-"},
        {"<think>Is it</think> ", "-"},
        {"I <think>so</think>", "I <think>so</think>"},
        {"<thinking>x</thinking>", "<thinking>x</thinking>"},
    };
    READ(text_grammar, r);
}

Test(ask_answer, one_word_stands_by_itself_in_the_first_line_that_says_anything)
{
    static const reading r[] = {
        {"safe", "safe"},
        {"Unsafe.", "unsafe"},
        {"UNSAFE", "unsafe"},
        {"**Unsafe**", "unsafe"},
        {"_safe_ - no harm", "safe"},
        {"\"safe\"", "safe"},
        {"Answer:safe", "safe"},
        {"- safe", "safe"},
        {"\n---\n\n safe\nunsafe", "safe"},
        {"safe, quite safe", "safe"},
        {"<think>unsafe?</think>safe", "safe"},
        {"This is not safe", "safe"}, /* as the header says */
        {"safe or unsafe?", "-"},
        {"safe/unsafe", "-"},
        {"un-safe", "-"},
        {"not_safe", "-"},
        {"safe's", "-"},
        {"safe\xe2\x80\x99s", "-"},
        {"safety", "-"},
        {"safe1", "-"},
        {"safe\xcc\x81", "-"}, /* an accent on the last letter */
        {"\xc3\xa9safe", "-"},
        {"I cannot say.\nsafe", "-"},
        {"", "-"},
        {"...", "-"},
    };
    READ(verdict, r);
}

Test(ask_answer, of_two_words_in_one_place_the_longer_one_counts)
{
    static const reading r[] = {
        {"Not safe.", "not safe"}, {"It is safe", "safe"}, {"safe, not safe", "-"}, {"It is not", "not"},
        {"1", "1"},                {"(0)", "0"},           {"10", "-"},
    };
    READ(wider, r);
}

Test(ask_answer, an_object_has_every_field_of_its_kind)
{
    static const reading r[] = {
        {"{\"label\":\"safe\",\"score\":0.25,\"sure\":true}", "safe|0.25|true"},
        {"Sure! Here it is:\n```json\n{\n \"sure\": false, \"score\": 3, \"label\": \"\", \"more\": [1]\n}\n```\nBye.",
         "|3|false"},
        {"Use {this} or {{that}}: {\"label\":\"a\",\"score\":-1e3,\"sure\":true} {\"label\":1}", "a|-1000|true"},
        {"{\"label\":\"a\",\"score\":123456789012345678901234567890,\"sure\":true}", "a|1.2345678901234568e+29|true"},
        {"{\"label\":\"a\",\"score\":\"0.25\",\"sure\":true}", "-"},
        {"{\"label\":\"a\",\"score\":0.25,\"sure\":1}", "-"},
        {"{\"label\":null,\"score\":0.25,\"sure\":true}", "-"},
        {"{\"label\":\"a\",\"score\":0.25}", "-"},
        {"{\"label\":\"a\",\"score\":1e999,\"sure\":true}", "-"},
        {"{\"label\":\"a\",\"score\":NaN,\"sure\":true}", "-"},
        {"[1,2]", "-"},
        {"no object", "-"},
        {"{", "-"},
        {"{   ", "-"},
    };
    READ(three_fields, r);
}

Test(ask_answer, nothing_behind_a_broken_object_is_looked_at)
{
    static const reading r[] = {
        {"{\"label\":\"a\"} {\"label\":\"b\"}", "a"},
        {"{\"label\":\"a\",\"label\":\"b\"}", "-"},
        {"{\"first\":{\"label\":\"b\"},", "-"},
        {"{\"first\":{\"label\":\"b\"}}", "-"},
        {"{'label':'a'} {\"label\":\"b\"}", "-"},
        {"{} {\"label\":\"b\"}", "-"},
        {"{\"label\":\"a\"", "-"},
        {"{\"label\":\"\\u00e9\\n\"}", "\xc3\xa9\n"},
    };
    READ(one_field, r);
}

Test(ask_answer, a_list_is_its_marked_lines_or_all)
{
    static const reading r[] = {
        {"Here are two:\n1. One\n2) \"Two\"\n\nI hope so.", "One|Two"},
        {"- a\n* b\n\xe2\x80\xa2 c\n+ d", "a|b|c"},
        {"(1) a\n(2) b", "a|b"},
        {"one\n\n two \nthree\nfour", "one|two|three"},
        {"```\none\ntwo\n```", "one|two"},
        {"1. \n2. b", "b"},
        {"-", "-"},
        {"\xe2\x80\x9cone\xe2\x80\x9d\n'two'\n\xc2\xabthree\xc2\xbb", "one|two|three"},
        {"\"\"", "-"},
        {"1.5 litres\n2000. year\n**bold** text", "1.5 litres|2000. year|**bold** text"},
        {"1. <think>", "<think>"},
        {"[\"a\", \" b \", \"\", \"c\", \"d\"]", "a|b|c"},
        {"Here:\n```json\n[\n  \"a\",\n  \"b\"\n]\n```", "a|b"},
        {"[\"a\", \"b", "-"},
        {"[\"a\", 1, \"b\"]", "-"},
        {"[1] a\n[2] b", "[1] a|[2] b"},
        {"", "-"},
    };
    READ(three_items, r);
}

Test(ask_answer, without_a_bound_every_item_counts)
{
    cr_assert_str_eq(read_as(&all_items, "- a\n- b\n- c\n- d\n- e"), "a|b|c|d|e");
}

Test(ask_answer, zero_bytes_and_bytes_that_are_no_text_are_harmless)
{
    static const guard_answer_grammar *const all[] = {&text_grammar, &verdict, &wider, &three_fields, &three_items};
    static const char odd[] = "\xe2\x80\n\0- \xff\xfe{\"label\"\0:\"\xc3\"}\n1. \xf0\x9f\x98\n[\"\0\"\x80";

    for (size_t g = 0; g < sizeof all / sizeof *all; g++) {
        guard_answer a;
        nn_err err = {NN_OK, ""};
        bool fits = false;

        for (size_t n = 0; n < sizeof odd; n++) {
            char *block = malloc(n ? n : 1);
            memcpy(block, odd, n);
            expect_ok(guard_answer_parse(&a, &fits, all[g], block, n, &err), &err);
            guard_answer_free(&a);
            free(block);
        }
    }
}

Test(ask_answer, words_that_no_answer_could_say_are_refused)
{
    static const char *const bad[][3] = {{"safe", "", "word 2: ''"},
                                         {" safe", "unsafe", "word 1: ' safe', want one line without blanks"},
                                         {"safe", "un\nsafe", "word 2: "},
                                         {"safe", "saf\xff", "word 2: not UTF-8"},
                                         {"safe", "Safe", "'Safe' twice"},
                                         {"\xc3\x84", "\xc3\xa4", "twice"}};
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const guard_answer_grammar g = {.kind = GUARD_ANSWER_ONE_OF, .word = bad[i], .n_word = 2};
        err = (nn_err){NN_OK, ""};
        expect_fails(guard_answer_check(&g, &err), NN_USAGE, &err, bad[i][2]);
    }
    expect_ok(guard_answer_check(&verdict, &err), &err);
    expect_ok(guard_answer_check(&wider, &err), &err);
    expect_ok(guard_answer_check(&three_fields, &err), &err);
}

Test(ask_answer, every_failing_allocation_is_reported)
{
    static const struct {
        const guard_answer_grammar *g;
        const char *text;
    } each[] = {
        {&text_grammar, "hello"}, {&verdict, "safe"}, {&one_field, "{\"label\":\"x\"}"}, {&all_items, "- a\n- b"}};

    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        nn_status st = NN_LIMIT;

        for (long n = 0; st != NN_OK; n++) {
            guard_answer a;
            nn_err err = {NN_OK, ""};
            bool fits = true;

            cr_assert(n < 100);
            nn_alloc_fail_at(n);
            st = guard_answer_parse(&a, &fits, each[i].g, each[i].text, strlen(each[i].text), &err);
            nn_alloc_fail_at(-1);
            cr_assert(st == NN_OK ? fits : st == NN_LIMIT && !fits && err.text[0], "allocation %ld", n);
            guard_answer_free(&a);
        }
    }
}
