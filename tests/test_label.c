/* Guards over other people's models: templates, label tokens, their files, training from them. */
#include "guard/label.h"
#include "guard/windows.h"
#include "nn/arena.h"
#include "nn/rng.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include "tests/test_guard_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK "stone: {prompt}\nbread is"

/* --- windows ----------------------------------------------------------------------------------------------- */

/* Ids of all windows, put together again without what they share, are the ids of the whole text. */
static void expect_covered(nn_tok_model model, const char *prompt)
{
    guard_parts p = {.window = 48, .stride = 24, .tok = foreign_tok(model, true)};
    guard_windows *w = NULL;
    nn_tok_buf whole = {0};
    char *text = calloc(20000, 1);
    int32_t label[2];
    size_t len = 0, covered = 0;
    nn_err err = {NN_OK, ""};

    for (size_t i = 0; len < 19000; i++) {
        static const char *const word[] = {"river", "stone", "bread", "zorn", "corn", "x", "\xc3\xa9t\xc3\xa9"};
        nn_rng r = nn_rng_at(3, "word", i);

        len += (size_t)sprintf(text + len, "%s%s", i ? " " : "", word[nn_rng_below(&r, 7)]);
    }
    expect_ok(foreign_format(&p.format, label, p.tok, prompt, NULL, NULL, NULL, &err), &err);
    expect_ok(guard_windows_build(&w, &err), &err);
    expect_ok(guard_windows_of_text(w, &p, text, len, NULL, 0, &err), &err);
    char *given = malloc(len + 1);
    memcpy(given + 1, text, len);
    given[0] = ' ';
    const bool blank = p.format.prompt == GUARD_PLACE_BLANK;
    if (p.format.prompt == GUARD_PLACE_FIRST) expect_ok(nn_tok_encode(p.tok, &whole, text, len, &err), &err);
    else expect_ok(nn_tok_encode_more(p.tok, &whole, blank ? given : text, len + blank, &err), &err);
    cr_assert_eq(guard_windows_tokens(w), whole.len);
    const guard_window_form form = guard_windows_form(w);
    for (size_t i = 0; i < guard_windows_count(w); i++) {
        const int32_t *ids = NULL;
        size_t n = 0, first = 0, last = 0;

        guard_windows_at(w, i, &ids, &n, &first, &last);
        const guard_window_spans s = guard_window_spans_of(&p.format, form, n);
        cr_assert(n <= p.window && first <= last && last <= len);
        size_t at = covered;
        while (at > 0 && memcmp(whole.ids + at, ids + s.lead, s.text * sizeof *ids) != 0) at--;
        cr_assert_eq(memcmp(whole.ids + at, ids + s.lead, s.text * sizeof *ids), 0, "window %zu", i);
        cr_assert_leq(at, covered, "no gap before window %zu", i);
        covered = at + s.text;
    }
    cr_expect_eq(covered, whole.len);
    nn_tok_buf_free(&whole);
    guard_windows_free(w);
    nn_tok_free(p.tok);
    free(given);
    free(text);
}

Test(label, windows_cover_a_long_text_in_every_family)
{
    expect_covered(NN_TOK_BPE, "stone:{prompt}\nis");
    expect_covered(NN_TOK_BPE, "stone: {prompt}\nis");
    expect_covered(NN_TOK_SPM, "stone {prompt} is");
    expect_covered(NN_TOK_SPM, "{prompt} is");
    expect_covered(NN_TOK_UNIGRAM, "{prompt} is");
}

Test(label, a_text_that_spells_the_format_does_not_choose_what_is_judged)
{
    guard_parts p = {.window = 64, .stride = 32, .tok = foreign_tok(NN_TOK_BPE, true)};
    const char *const text = "river\nstone:corn"; /* holds what stands between prompt and response */
    guard_windows *w = NULL;
    guard_window_text t;
    const int32_t *ids = NULL;
    char out[512];
    int32_t label[2];
    size_t n = 0, first = 0, last = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(foreign_format(&p.format, label, p.tok, "x:{prompt}\nis", "x:{prompt}\nstone:{response}\nis", NULL, NULL,
                        &err),
              &err);
    expect_ok(guard_windows_build(&w, &err), &err);
    expect_ok(guard_windows_of_text(w, &p, text, strlen(text), NULL, 0, &err), &err);
    guard_windows_at(w, 0, &ids, &n, &first, &last);
    guard_window_decode(&t, out, sizeof out, &p, guard_windows_form(w), ids, n);
    cr_expect(t.response == NULL && t.len == strlen(text) && memcmp(t.text, text, t.len) == 0);
    expect_ok(guard_windows_of_text(w, &p, text, strlen(text), "bread", 5, &err), &err);
    guard_windows_at(w, 0, &ids, &n, &first, &last);
    guard_window_decode(&t, out, sizeof out, &p, guard_windows_form(w), ids, n);
    cr_expect(t.response && t.response_len == 5 && memcmp(t.response, "bread", 5) == 0 && t.len == strlen(text));
    guard_windows_free(w);
    nn_tok_free(p.tok);
}

/* --- the verdict ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *path;
    nn_pretrained *p;
    nn_tok *tok;
    guard_classifier *g;
    int32_t label[2];
    guard_format f;
} labelled;

static labelled label_guard(const char *kind, nn_tok_model model, bool tied, nn_dtype type)
{
    labelled l = {.path = foreign_file(kind, model, tied, type, 9)};
    const guard_taxonomy t = two_categories();
    const guard_label_options o = {"labels", 48, 24, &t};
    nn_err err = {NN_OK, ""};

    l.p = foreign_open(l.path, &l.tok);
    expect_ok(foreign_format(&l.f, l.label, l.tok, "stone {prompt} is", "stone {prompt} corn {response} is", " safe",
                        " unsafe", &err),
              &err);
    expect_ok(guard_from_labels(&l.g, l.p, l.tok, &l.f, l.label, &o, &err), &err);
    return l;
}

static void labelled_free(labelled *l)
{
    guard_classifier_close(l->g);
    nn_tok_free(l->tok);
    nn_pretrained_close(l->p);
}

static guard_verdict verdict_of(const guard_classifier *g, const char *text, const char *response)
{
    guard_session *s = NULL;
    guard_verdict v;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_session_open(&s, g, NULL, &err), &err);
    expect_ok(guard_check(s, text, strlen(text), response, response ? strlen(response) : 0, &v, &err), &err);
    guard_session_close(s);
    return v;
}

/* The two logits that the model itself gives after the window's ids. */
static float lm_difference(const labelled *l, const char *text)
{
    const nn_load_options o = {.floats = true};
    const guard_parts *parts = guard_classifier_parts(l->g);
    guard_windows *w = NULL;
    nn_model *m = NULL;
    nn_state *s = NULL;
    nn_exec x = open_exec(1);
    const int32_t *ids = NULL;
    size_t n = 0, first = 0, last = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_windows_build(&w, &err), &err);
    expect_ok(guard_windows_of_text(w, parts, text, strlen(text), NULL, 0, &err), &err);
    guard_windows_at(w, 0, &ids, &n, &first, &last);
    expect_ok(nn_pretrained_load(&m, l->p, &o, &err), &err);
    expect_ok(nn_state_build(&s, m, 64, 1, &err), &err);
    const size_t start[2] = {0, n}, row = n - 1;
    const nn_batch b = {ids, {start, 1}, NULL, NULL};
    nn_model_fwd(m, s, &x, &b);
    float *logit = malloc(nn_model_config(m)->vocab * sizeof *logit);
    nn_state_lm_logits(m, s, &x, logit, &row, 1);
    const float d = logit[l->label[1]] - logit[l->label[0]];
    free(logit);
    nn_state_free(s);
    nn_model_free(m);
    nn_exec_free(&x);
    guard_windows_free(w);
    return d;
}

Test(label, the_verdicts_logit_is_the_models_own)
{
    static const char *const kinds[] = {"llama", "mistral", "llama3", "qwen2", "qwen3"};

    for (size_t i = 0; i < 5; i++) {
        labelled l = label_guard(kinds[i], i % 2 ? NN_TOK_BPE : NN_TOK_SPM, i % 2 == 0, i < 3 ? NN_F16 : NN_Q8_0);
        const char *text = "river of bread, zorn and blick, all of it a stone";
        const float got = verdict_of(l.g, text, NULL).decoder_logit, want = lm_difference(&l, text);

        expect_same_floats(kinds[i], &got, &want, 1);
        cr_expect(fabsf(got) > 1e-3f);
        labelled_free(&l);
    }
}

/* --- files ------------------------------------------------------------------------------------------------- */

static void expect_same_after_opening(const char *kind, nn_tok_model model, bool tied, nn_dtype type)
{
    labelled l = label_guard(kind, model, tied, type);
    const char *path = path_in(temp_dir(), "guard.gguf"), *text = "river of bread <|im_end|> \xff zorn";
    guard_classifier *file = NULL, *alone = NULL;
    char hash[2][65];
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_save(l.g, path, NN_F32, &err), &err);
    expect_ok(guard_classifier_open(&file, path, &err), &err);
    cr_assert(nn_model_is_stored(guard_classifier_parts(file)->m));
    nn_tok_hash(l.tok, hash[0]);
    nn_tok_hash(guard_classifier_parts(file)->tok, hash[1]);
    cr_expect_str_eq(hash[0], hash[1]);
    cr_expect(guard_format_equal(&l.f, &guard_classifier_parts(file)->format));
    for (size_t i = 0; i < 2; i++) {
        const char *response = i ? "blick corn" : NULL;
        const guard_verdict a = verdict_of(l.g, text, response), b = verdict_of(file, text, response);

        expect_same_verdict(kind, &a, &b);
    }
    size_t len = 0;
    unsigned char *bytes = (unsigned char *)read_bytes(path, &len);
    expect_ok(guard_classifier_save(file, path_in(temp_dir(), "again.gguf"), NN_BF16, &err), &err);
    expect_ok(guard_classifier_only(&alone, file, "decoder", &err), &err);
    guard_classifier_close(file); /* `alone` keeps the file's bytes */
    const guard_verdict a = verdict_of(l.g, text, NULL), b = verdict_of(alone, text, NULL);
    expect_same_verdict("decoder alone", &a, &b);
    guard_classifier_close(alone);
    free(bytes);
    labelled_free(&l);
}

/* Rounding leaves what lies in a file's type; int8 does not, and floats are rounded as ever. */
Test(label, other_types_are_asked_for)
{
    labelled l = label_guard("llama", NN_TOK_SPM, true, NN_F16);
    const char *path = path_in(temp_dir(), "guard.gguf");
    const nn_dtype types[] = {NN_Q8_0, NN_I8};
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_round(l.g, NN_Q8_0, &err), &err);
    cr_expect(nn_model_is_stored(guard_classifier_parts(l.g)->m));
    for (size_t i = 0; i < 2; i++) {
        guard_classifier *g = NULL, *file = NULL;
        nn_gguf *f = NULL;

        expect_ok(guard_classifier_save(l.g, path, NN_F32, &err), &err);
        expect_ok(guard_classifier_open(&g, path, &err), &err);
        if (types[i] != NN_I8) expect_ok(guard_classifier_floats(g, &err), &err);
        const char *to = path_in(temp_dir(), "rounded.gguf");
        expect_ok(guard_classifier_save(g, to, types[i], &err), &err);
        expect_ok(guard_classifier_open(&file, to, &err), &err);
        expect_ok(nn_gguf_open(&f, to, &err), &err);
        cr_expect_eq(nn_gguf_find(f, "blk.0.attn_q.weight")->type, types[i]);
        const guard_verdict a = verdict_of(g, "river zorn", NULL), b = verdict_of(file, "river zorn", NULL);
        expect_same_verdict("rounded", &a, &b);
        nn_gguf_close(f);
        guard_classifier_close(file);
        guard_classifier_close(g);
    }
    labelled_free(&l);
}

Test(label, a_saved_guard_opens_to_the_same_verdicts)
{
    expect_same_after_opening("llama", NN_TOK_SPM, false, NN_F32);
    expect_same_after_opening("mistral", NN_TOK_SPM, true, NN_BF16);
    expect_same_after_opening("llama3", NN_TOK_BPE, false, NN_Q8_0);
    expect_same_after_opening("qwen2", NN_TOK_BPE, true, NN_F16);
    expect_same_after_opening("qwen3", NN_TOK_UNIGRAM, true, NN_F32);
}

Test(label, the_fixtures_models_become_guards_whose_files_say_the_same)
{
    static const char *const files[] = {"fixtures/stories260K/stories260K.gguf", "fixtures/stories260K/stories260K.bin",
                                        "fixtures/llama2xs/llama2xs_Q5_1.gguf", "fixtures/llama2xs/llama2xs_Q4_0.gguf"};

    for (size_t i = 0; i < 4; i++) skip_unless_fixture(files[i]);
    for (size_t i = 0; i < 4; i++) {
        labelled l = {.path = shared_path(files[i])};
        const guard_label_options o = {"labels", 128, 64, NULL};
        const char *path = path_in(temp_dir(), "guard.gguf"), *text = "Once upon a time there was a little girl.";
        guard_classifier *file = NULL;
        nn_err err = {NN_OK, ""};

        l.p = foreign_open(l.path, &l.tok);
        expect_ok(foreign_format(&l.f, l.label, l.tok, "Text: {prompt}\nThis is", NULL, " safe", " unsafe", &err), &err);
        expect_ok(guard_from_labels(&l.g, l.p, l.tok, &l.f, l.label, &o, &err), &err);
        expect_ok(guard_classifier_save(l.g, path, NN_F32, &err), &err);
        expect_ok(guard_classifier_open(&file, path, &err), &err);
        const guard_verdict a = verdict_of(l.g, text, NULL), b = verdict_of(file, text, NULL);
        const float want = lm_difference(&l, text);
        expect_same_verdict(files[i], &a, &b);
        expect_same_floats(files[i], &a.decoder_logit, &want, 1);
        guard_classifier_close(file);
        labelled_free(&l);
    }
}

Test(label, a_guard_without_its_place_for_responses_refuses_one)
{
    labelled l = label_guard("llama", NN_TOK_SPM, true, NN_F32);
    guard_parts p = *guard_classifier_parts(l.g);
    guard_windows *w = NULL;
    nn_err err = {NN_OK, ""};

    p.format.response = false;
    expect_ok(guard_windows_build(&w, &err), &err);
    expect_fails(guard_windows_of_text(w, &p, "x", 1, "y", 1, &err), NN_CONTENT, &err, "prompts alone");
    guard_windows_free(w);
    labelled_free(&l);
}

Test(label, a_window_that_does_not_fit_is_refused)
{
    labelled l = label_guard("llama", NN_TOK_SPM, true, NN_F32);
    guard_label_options o = {"labels", 200, 24, NULL};
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_from_labels(&g, l.p, l.tok, &l.f, l.label, &o, &err), NN_USAGE, &err, "context of 192 tokens");
    o.window = 16;
    o.stride = 8;
    err = (nn_err){NN_OK, ""};
    l.f.start[GUARD_FORMAT_PARTS] = l.f.start[GUARD_RESPONSE_TAIL] = l.f.start[GUARD_RESPONSE_MID] + 14;
    expect_fails(guard_from_labels(&g, l.p, l.tok, &l.f, l.label, &o, &err), NN_USAGE, &err, "want a window");
    cr_expect_null(g);
    labelled_free(&l);
}

/* --- hostile bytes ----------------------------------------------------------------------------------------- */

Test(label, flipped_bits_of_a_foreign_guards_file_never_break_the_reader)
{
    labelled l = label_guard("llama3", NN_TOK_SPM, true, NN_Q8_0);
    const char *path = path_in(temp_dir(), "guard.gguf");
    size_t len = 0, refused = 0, tried = 0;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_save(l.g, path, NN_F32, &err), &err);
    unsigned char *bytes = (unsigned char *)read_bytes(path, &len);
    for (size_t i = 0; i < len; i += 1 + i / 100) {
        nn_rng r = nn_rng_at(5, "flip", i);
        const unsigned char bit = (unsigned char)(1u << nn_rng_below(&r, 8));
        guard_classifier *g = NULL;

        err = (nn_err){NN_OK, ""};
        bytes[i] ^= bit;
        const nn_status st = guard_classifier_open_memory(&g, bytes, len, &err);
        bytes[i] ^= bit;
        tried++;
        refused += st != NN_OK;
        cr_assert(st == NN_OK || (st == NN_FILE && !g && err.text[0] != '\0'), "byte %zu: %d %s", i, (int)st, err.text);
        guard_classifier_close(g);
    }
    cr_expect(tried > 200 && refused > tried / 4, "%zu of %zu refused", refused, tried);
    free(bytes);
    labelled_free(&l);
}

Test(label, a_language_model_is_no_guard_and_the_way_is_said)
{
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(guard_classifier_open(&g, foreign_file("llama", NN_TOK_SPM, true, NN_F32, 1), &err), NN_FILE, &err,
                 "run:label_guard");
}

/* --- training ---------------------------------------------------------------------------------------------- */

static guard_train_options base_options(const labelled *l)
{
    guard_train_options o = small_options();

    o.model = *nn_pretrained_config(l->p);
    o.model.pool = NN_POOL_LAST;
    o.base = l->p;
    o.format = &l->f;
    o.label[0] = l->label[0];
    o.label[1] = l->label[1];
    o.window = 48;
    o.stride = 24;
    o.store = NN_BF16;
    o.adam.lr = 1e-3f;
    o.steps = 6;
    return o;
}

/* With no step taken, the decoder says what the label guard says. */
Test(label, training_begins_as_the_model_and_ends_after_its_steps)
{
    labelled l = label_guard("mistral", NN_TOK_SPM, false, NN_F32);
    guard_train_options o = base_options(&l);
    guard_corpus *train = word_corpus(120, 1, false), *valid = word_corpus(60, 2, false);
    const guard_taxonomy t = two_categories();
    nn_exec x = open_exec(2);
    guard_job job = job_of(&x);
    guard_classifier *g = NULL, *file = NULL;
    const char *path = path_in(temp_dir(), "guard.gguf");
    nn_err err = {NN_OK, ""};

    o.wide = false;
    o.adam.lr = 0.0f;
    o.store = NN_F32;
    expect_ok(guard_train(&g, train, valid, NULL, l.tok, &t, NULL, &o, &job, &err), &err);
    const float was = verdict_of(l.g, "river zorn", NULL).decoder_logit;
    const float is = verdict_of(g, "river zorn", NULL).decoder_logit;
    expect_same_floats("before a step", &is, &was, 1);
    guard_classifier_close(g);

    o = base_options(&l);
    job.tokens_used = 0;
    expect_ok(guard_train(&g, train, valid, NULL, l.tok, &t, NULL, &o, &job, &err), &err);
    cr_expect(job.tokens_used > 0 && job.tokens_used <= 6 * o.batch_tokens, "%zu tokens", (size_t)job.tokens_used);
    expect_ok(guard_classifier_save(g, path, o.store, &err), &err);
    expect_ok(guard_classifier_open(&file, path, &err), &err);
    const guard_verdict a = verdict_of(g, "river zorn", "bread"), b = verdict_of(file, "river zorn", "bread");
    expect_same_verdict("wide and foreign decoder", &a, &b);
    cr_expect(a.wide_logit != 0.0f && a.decoder_logit != was);

    guard_classifier *more = NULL; /* its file's matrices become floats again */
    expect_ok(guard_train(&more, train, valid, NULL, l.tok, &t, file, &o, &job, &err), &err);
    guard_classifier_close(more);
    guard_classifier_close(file);
    guard_classifier_close(g);
    guard_corpus_free(train);
    guard_corpus_free(valid);
    nn_exec_free(&x);
    labelled_free(&l);
}

Test(label, a_guard_of_our_own_shape_may_have_another_tokenizer)
{
    nn_tok *tok = foreign_tok(NN_TOK_BPE, false);
    guard_train_options o = small_options();
    guard_corpus *train = word_corpus(120, 1, false), *valid = word_corpus(60, 2, false);
    const guard_taxonomy t = two_categories();
    nn_exec x = open_exec(1);
    guard_job job = job_of(&x);
    guard_classifier *g = NULL;
    nn_err err = {NN_OK, ""};

    o.window = 64;
    o.steps = 3;
    expect_ok(guard_train(&g, train, valid, NULL, tok, &t, NULL, &o, &job, &err), &err);
    cr_expect(guard_classifier_parts(g)->format.response);
    guard_classifier_close(g);
    const uint64_t spent = job.tokens_used;
    o.model.memory_rows = 64;
    expect_fails(guard_train(&g, train, valid, NULL, tok, &t, NULL, &o, &job, &err), NN_USAGE, &err, "memory");
    cr_expect_eq(job.tokens_used, spent, "before any work");
    guard_corpus_free(train);
    guard_corpus_free(valid);
    nn_exec_free(&x);
    nn_tok_free(tok);
}

Test(label, every_failing_allocation_is_said)
{
    labelled l = label_guard("llama3", NN_TOK_SPM, true, NN_Q8_0);
    const guard_label_options o = {"labels", 48, 24, NULL};
    const char *path = path_in(temp_dir(), "guard.gguf");
    nn_err err = {NN_OK, ""};
    long n = 0;

    for (nn_status st = NN_LIMIT; st != NN_OK; n++) {
        guard_classifier *g = NULL;

        nn_alloc_fail_at(n);
        st = guard_from_labels(&g, l.p, l.tok, &l.f, l.label, &o, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK ? g != NULL : st == NN_LIMIT && g == NULL, "allocation %ld: %d", n, (int)st);
        guard_classifier_close(g);
    }
    cr_expect_gt(n, 15);
    err = (nn_err){NN_OK, ""};
    expect_ok(guard_classifier_save(l.g, path, NN_F32, &err), &err);
    n = 0;
    for (nn_status st = NN_LIMIT; st != NN_OK; n++) {
        guard_classifier *g = NULL;

        nn_alloc_fail_at(n);
        st = guard_classifier_open(&g, path, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK ? g != NULL : st == NN_LIMIT && g == NULL, "allocation %ld: %d", n, (int)st);
        guard_classifier_close(g);
    }
    cr_expect_gt(n, 15);
    labelled_free(&l);
}
