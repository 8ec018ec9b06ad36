/* Prompt templates: which ids they become, and what is wrong with one. */
#include "guard/template.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include <string.h>

#define ASK "stone: {prompt}\nbread is"

static void expect_refused(const nn_tok *tok, const char *prompt, const char *response, const char *safe,
                           const char *unsafe, const char *want)
{
    guard_format f;
    int32_t label[2];
    nn_err err = {NN_OK, ""};

    expect_fails(foreign_format(&f, label, tok, prompt, response, safe, unsafe, &err), NN_CONTENT, &err, want);
}

static bool ids_are(const guard_format *f, guard_format_part part, const nn_tok *tok, const char *text)
{
    size_t n = 0, at = 0;
    char spelling[64];
    const int32_t *ids = guard_format_ids(f, part, &n);

    for (size_t i = 0; i < n; i++) {
        const size_t len = nn_tok_spelling(tok, ids[i], spelling, sizeof spelling);

        if (i > 0 && text[at++] != '|') return false;
        if (strncmp(text + at, spelling, len) != 0) return false;
        at += len;
    }
    return text[at] == '\0';
}

Test(template, a_template_becomes_ids_and_blanks_go_to_what_follows)
{
    nn_tok *tok = foreign_tok(NN_TOK_BPE, true);
    guard_format f;
    int32_t label[2];
    nn_err err = {NN_OK, ""};

    expect_ok(foreign_format(&f, label, tok, "stone: {prompt}\nbread ", "river:{prompt} stone: {response} ", "safe",
                        "unsafe", &err),
              &err);
    cr_expect(ids_are(&f, GUARD_PROMPT_LEAD, tok, "<s>|stone|:"));
    cr_expect(ids_are(&f, GUARD_PROMPT_TAIL, tok, "\xc4\x8a|bread"));
    cr_expect(ids_are(&f, GUARD_RESPONSE_LEAD, tok, "<s>|river|:"));
    cr_expect(ids_are(&f, GUARD_RESPONSE_MID, tok, "\xc4\xa0stone|:"));
    cr_expect_eq(guard_format_count(&f, GUARD_RESPONSE_TAIL), 0);
    cr_expect(f.prompt == GUARD_PLACE_BLANK && f.context == GUARD_PLACE_MORE && f.answer == GUARD_PLACE_BLANK);
    cr_expect_eq(label[0], nn_tok_find(tok, " safe", 5), "the blank is the label's");
    cr_expect_eq(label[1], nn_tok_find(tok, " unsafe", 7));
    nn_tok_free(tok);
}

Test(template, sentencepieces_blank_stands_where_a_text_begins)
{
    nn_tok *tok = foreign_tok(NN_TOK_SPM, true);
    guard_format f;
    int32_t label[2];
    nn_err err = {NN_OK, ""};

    expect_ok(foreign_format(&f, label, tok, "stone {prompt} is", NULL, " safe", " unsafe", &err), &err);
    cr_expect(ids_are(&f, GUARD_PROMPT_LEAD, tok, "<s>|\xe2\x96\x81stone"));
    cr_expect_eq(label[0], nn_tok_find(tok, " safe", 5));
    cr_expect(f.prompt == GUARD_PLACE_BLANK && !f.response);
    expect_ok(foreign_format(&f, label, tok, "{prompt} is", NULL, " safe", " unsafe", &err), &err);
    cr_expect_eq(f.prompt, GUARD_PLACE_FIRST);
    nn_tok_free(tok);
}

Test(template, special_tokens_go_in_by_name_and_are_never_made_from_text)
{
    nn_tok *tok = foreign_tok(NN_TOK_BPE, true);
    guard_template t = {0}, marked = {0};
    guard_format f, g;
    int32_t label[2];
    nn_err err = {NN_OK, ""};

    expect_ok(guard_template_special(&t, "<s>", 3, &err), &err);
    expect_ok(guard_template_special(&t, "<|im_start|>", 12, &err), &err);
    expect_ok(guard_template_text(&t, "stone {prompt}", 14, &err), &err);
    expect_ok(guard_template_special(&t, "<|im_end|>", 10, &err), &err);
    expect_ok(guard_format_of_templates(&f, label, tok, &t, NULL, NULL, NULL, &err), &err);
    cr_expect(ids_are(&f, GUARD_PROMPT_LEAD, tok, "<s>|<|im_start|>|stone"), "BOS once");
    cr_expect(ids_are(&f, GUARD_PROMPT_TAIL, tok, "<|im_end|>"));
    cr_expect(label[0] == -1 && label[1] == -1);

    const char *spelled = "<s><|im_start|>stone {prompt}<|im_end|>";
    expect_ok(guard_template_marked(&marked, tok, spelled, strlen(spelled), &err), &err);
    expect_ok(guard_format_of_templates(&g, label, tok, &marked, NULL, NULL, NULL, &err), &err);
    cr_expect(guard_format_equal(&f, &g));
    expect_ok(foreign_format(&f, label, tok, "<|im_start|> {prompt}", NULL, NULL, NULL, &err), &err);
    cr_expect_gt(guard_format_count(&f, GUARD_PROMPT_LEAD), 8, "text, letter by letter");
    expect_ok(guard_template_special(&t, "<|nobody|>", 10, &err), &err);
    expect_fails(guard_format_of_templates(&f, label, tok, &t, NULL, NULL, NULL, &err), NN_CONTENT, &err, "<|nobody|>");
    guard_template_free(&t);
    guard_template_free(&marked);
    nn_tok_free(tok);
}

Test(template, what_is_wrong_with_a_template_is_said)
{
    nn_tok *tok = foreign_tok(NN_TOK_BPE, false);

    expect_refused(tok, "no place", NULL, NULL, NULL, "no place {prompt}");
    expect_refused(tok, "{prompt} {prompt}", NULL, NULL, NULL, "{prompt} once");
    expect_refused(tok, "{prompt} {response}", NULL, NULL, NULL, "no {response}");
    expect_refused(tok, "{prompt}", "{response} {prompt}", NULL, NULL, "then {response} once");
    expect_refused(tok, "{prompt}", "{prompt}.", NULL, NULL, "no place {response}");
    expect_refused(tok, ASK, NULL, " safe", " safe", "same token");
    expect_refused(tok, ASK, NULL, "", " unsafe", "no token of its own");
    expect_refused(tok, "{prompt} sa", NULL, "fe", "x", "label \"fe\"");
    expect_refused(tok, "{prompt} is", "{prompt}{response} is ", "safe", "unsafe", "other first tokens");
    nn_tok_free(tok);
}
