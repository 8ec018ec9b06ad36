/* Tests of guard/ask's rules that answer: what is drawn, that it ends, and which rules are none. */
#include "guard/ask/backend.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

enum { N = 12 };

static nn_err err;
static const guard_ask_options cold = {.top_p = 1.0f, .max_tokens = 8};

typedef struct {
    char text[N][2048];
    guard_answer_end end[N];
    size_t len[N];
} heard;

static nn_status hear(void *ctx, size_t i, guard_answer_end end, const char *text, size_t len, nn_err *e)
{
    heard *h = ctx;

    (void)e;
    cr_assert(i < N && text[len] == '\0');
    h->end[i] = end;
    h->len[i] = len;
    snprintf(h->text[i], sizeof h->text[i], "%s", text);
    return NN_OK;
}

static void expand(heard *h, const guard_symbol *s, size_t n, const char *prompt, const guard_ask_options *o)
{
    const guard_message m = {GUARD_ROLE_USER, prompt, strlen(prompt)};
    guard_question q[N];
    guard_backend *b = NULL;

    for (size_t i = 0; i < N; i++) q[i] = (guard_question){&m, 1, i};
    expect_ok(guard_backend_grammar(&b, s, n, &err), &err);
    expect_ok(guard_backend_ask(b, q, N, o, hear, h, NULL, &err), &err);
    guard_backend_free(b);
}

static const guard_alternative greetings[] = {{"{verb} this {{now}: {prompt}{end}", 1.0}, {"I {verb}{end}", 3.0}};
static const guard_alternative verbs[] = {{"read", 1.0}, {"write", 1.0}, {"sing", 0.5}};
static const guard_alternative ends[] = {{".", 1.0}, {", and {verb}{end}", 1.0}};
static const guard_symbol greeting[] = {{"start", greetings, 2}, {"verb", verbs, 3}, {"end", ends, 2}};

Test(ask_rules, draws_are_pinned_by_the_seed)
{
    static const char *const want[N] = {
        "write this {now}: a text, and write, and write.",
        "I read.",
        "I write, and write.",
        "I write, and read.",
        "I write.",
        "I read.",
        "I sing.",
        "I read, and read, and read.",
        "I read.",
        "I write, and read.",
        "I sing, and sing.",
        "I write, and sing.",
    };
    static heard h;

    expand(&h, greeting, 3, "a text", &cold);
    for (size_t i = 0; i < N; i++) cr_assert_str_eq(h.text[i], want[i], "%zu: '%s'", i, h.text[i]);
}

Test(ask_rules, an_answer_ends_before_its_stop)
{
    static const guard_alternative a[] = {{"one, two, three", 1.0}};
    static const guard_symbol s[] = {{"start", a, 1}};
    static heard h;
    guard_ask_options o = cold;

    o.stop = ", t";
    expand(&h, s, 1, "", &o);
    cr_assert_str_eq(h.text[0], "one");
    o.stop = "four";
    expand(&h, s, 1, "", &o);
    cr_assert_str_eq(h.text[0], "one, two, three");
}

/* Each step makes two of one, nine times out of ten. */
Test(ask_rules, rules_that_grow_without_end_end)
{
    static const guard_alternative a[] = {{"({start}{start})", 9.0}, {"x", 1.0}};
    static const guard_symbol s[] = {{"start", a, 2}};
    static heard h;
    size_t longest = 0;

    expand(&h, s, 1, "", &cold);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(h.end[i], GUARD_ANSWERED);
        if (h.len[i] > longest) longest = h.len[i];
    }
    cr_assert(longest > GUARD_GRAMMAR_STEPS && longest < 2 * GUARD_GRAMMAR_STEPS, "%zu", longest);
}

Test(ask_rules, an_answer_that_is_too_long_is_refused)
{
    static const guard_alternative a[] = {{"{prompt}{prompt}", 1.0}};
    static const guard_symbol s[] = {{"start", a, 1}};
    static char prompt[GUARD_GRAMMAR_BYTES / 2 + 2];
    static heard h;

    memset(prompt, 'x', sizeof prompt - 2);
    expand(&h, s, 1, prompt, &cold);
    cr_assert(h.end[0] == GUARD_ANSWERED && h.len[0] == GUARD_GRAMMAR_BYTES);
    memset(prompt, 'x', sizeof prompt - 1);
    expand(&h, s, 1, prompt, &cold);
    cr_assert(h.end[0] == GUARD_REFUSED && strstr(h.text[0], "mebibyte"));
}

static void refuse(const guard_symbol *s, size_t n, const char *part)
{
    guard_backend *b = NULL;

    err = (nn_err){NN_OK, ""};
    expect_fails(guard_backend_grammar(&b, s, n, &err), NN_USAGE, &err, part);
    cr_assert_null(b);
}

Test(ask_rules, rules_that_say_nothing_are_refused_by_name)
{
    static const guard_alternative plain[] = {{"x", 1.0}}, unknown[] = {{"x", 1.0}, {"{nobody}", 1.0}},
                                   open[] = {{"a {place", 1.0}}, self[] = {{"a {loop}", 1.0}},
                                   each[] = {{"{b}", 1.0}}, other[] = {{"{a}", 1.0}}, zero[] = {{"x", 0.0}},
                                   negative[] = {{"x", -1.0}}, huge[] = {{"x", 1e308}, {"y", 1e308}},
                                   bytes[] = {{"\xff", 1.0}};
    const guard_symbol none[] = {{"start", plain, 0}}, s1[] = {{"start", unknown, 2}}, s2[] = {{"start", open, 1}},
                       s3[] = {{"start", plain, 1}, {"loop", self, 1}}, s4[] = {{"a", each, 1}, {"b", other, 1}},
                       s5[] = {{"start", zero, 1}}, s6[] = {{"start", negative, 1}}, s7[] = {{"start", huge, 2}},
                       s8[] = {{"start", plain, 1}, {"start", plain, 1}}, s9[] = {{"prompt", plain, 1}},
                       s10[] = {{"", plain, 1}}, s11[] = {{"a{b", plain, 1}}, s12[] = {{"start", bytes, 1}};

    refuse(none, 0, "no symbol");
    refuse(none, 1, "start: no alternative");
    refuse(s1, 1, "start: alternative 2: {nobody} is no symbol");
    refuse(s2, 1, "place without an end");
    refuse(s3, 2, "loop never ends");
    refuse(s4, 2, "a never ends");
    refuse(s5, 1, "weight 0");
    refuse(s6, 1, "weight -1");
    refuse(s7, 1, "alternative 2: weight");
    refuse(s8, 2, "two symbols");
    refuse(s9, 1, "'prompt'");
    refuse(s10, 1, "''");
    refuse(s11, 1, "'a{b'");
    refuse(s12, 1, "not UTF-8");
}

/* Sixteen symbols, each twice the one below: more steps than there may be, though each ends. */
Test(ask_rules, rules_that_end_too_late_are_refused)
{
    static char name[16][4], text[16][12];
    static guard_alternative a[16];
    static guard_symbol s[16];

    for (size_t i = 0; i < 16; i++) {
        snprintf(name[i], sizeof name[i], "s%zu", i);
        snprintf(text[i], sizeof text[i], i < 15 ? "{s%zu}{s%zu}" : "x", i + 1, i + 1);
        a[i] = (guard_alternative){text[i], 1.0};
        s[i] = (guard_symbol){name[i], a + i, 1};
    }
    refuse(s, 16, "s0 ends in no fewer than 4097 steps");
}

Test(ask_rules, the_identity_is_of_every_word_and_weight)
{
    static const guard_alternative a[] = {{"x", 1.0}}, b[] = {{"x", 2.0}}, c[] = {{"y", 1.0}};
    const guard_symbol s[] = {{"start", a, 1}, {"start", b, 1}, {"start", c, 1}, {"begin", a, 1}};
    char id[4][128];

    for (size_t i = 0; i < 4; i++) {
        guard_backend *g = NULL;

        expect_ok(guard_backend_grammar(&g, s + i, 1, &err), &err);
        snprintf(id[i], sizeof id[i], "%s", guard_backend_identity(g));
        cr_assert(!guard_backend_completes(g));
        guard_backend_free(g);
        for (size_t k = 0; k < i; k++) cr_assert_str_neq(id[i], id[k]);
    }
    cr_assert_eq(strncmp(id[0], "{\"kind\":\"grammar\",\"rules\":\"", 27), 0);
}
