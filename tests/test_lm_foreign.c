/* Tests of guard/lm.h over other people's models: what asks for a request, where training begins, what is drawn, the
 * file. */
#include "guard/lm_impl.h"
#include "guard/policy.h"
#include "nn/arena.h"
#include "tests/support.h"
#include "tests/test_foreign.h"
#include "tests/test_lm_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_DRAW = 12, LONGEST = 16 };

static const struct {
    const char *name;
    nn_tok_model tok;
    bool tied;
} kinds[] = {{"llama", NN_TOK_SPM, true},
             {"mistral", NN_TOK_SPM, false},
             {"llama3", NN_TOK_BPE, true},
             {"qwen2", NN_TOK_BPE, true},
             {"qwen3", NN_TOK_UNIGRAM, false}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static nn_err err;
static guard_corpus *corpus;
static nn_pretrained *base;
static nn_tok *tok;
static toy_job job;

static void open_kind(size_t i)
{
    base = foreign_open(foreign_file(kinds[i].name, kinds[i].tok, kinds[i].tied, NN_F16, 3), &tok);
}

static void close_kind(void)
{
    nn_tok_free(tok);
    nn_pretrained_close(base);
    tok = NULL;
    base = NULL;
}

static void make_world(void)
{
    err = (nn_err){NN_OK, ""};
    corpus = toy_corpus(48);
    toy_job_open(&job, 1, NULL);
}

static void drop_world(void)
{
    toy_job_close(&job);
    guard_corpus_free(corpus);
}

TestSuite(lm_foreign, .init = make_world, .fini = drop_world);

static guard_lm_options options(uint64_t steps)
{
    guard_lm_options o = guard_lm_default();

    o.base = base;
    o.epochs = steps ? 8.0 : 0.0;
    o.steps = steps;
    o.batch_tokens = 128;
    o.max_tokens = 40;
    o.adam.lr = 1e-3f;
    return o;
}

static guard_lm *trained(uint64_t steps)
{
    const guard_lm_options o = options(steps);
    guard_lm *g = NULL;

    expect_ok(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &job.job, &err), &err);
    return g;
}

/* --- what asks for a request -------------------------------------------------------------------------- */

static void expect_prefix(const guard_lm *g, int label, size_t category, const char *text)
{
    nn_tok_buf b = {0};
    size_t n = 0;
    const int32_t *ids = guard_lm_prefix(g, label, category, &n);

    expect_ok(nn_tok_encode(tok, &b, text, strlen(text), &err), &err);
    cr_assert_eq(n, b.len + 1, "%s", text);
    cr_assert_eq(ids[0], nn_tok_bos(tok));
    cr_assert(memcmp(ids + 1, b.ids, b.len * sizeof *ids) == 0, "%s", text);
    nn_tok_buf_free(&b);
}

Test(lm_foreign, a_sentence_asks_for_label_and_category)
{
    for (size_t i = 0; i < KINDS; i++) {
        open_kind(i);
        guard_lm_options o = options(0);
        guard_lm *g = trained(0);

        expect_prefix(g, GUARD_SAFE, 0, "safe request about fraud:\n");
        expect_prefix(g, GUARD_UNSAFE, 1, "unsafe request about malware:\n");
        expect_prefix(g, GUARD_UNSAFE, GUARD_MAX_CATEGORY, "unsafe request about anything:\n");
        expect_prefix(g, GUARD_LABEL_NONE, 2, "any request about anything:\n");
        guard_lm_free(g);
        o.prompt = "{category}, {category}{label}. ";
        expect_ok(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &job.job, &err), &err);
        expect_prefix(g, GUARD_SAFE, 1, "malware, malwaresafe. ");
        cr_assert_str_eq(guard_lm_prompt_text(g), o.prompt);
        guard_lm_free(g);
        close_kind();
    }
}

Test(lm_foreign, texts_are_learnt_after_the_sentence_and_up_to_the_end)
{
    for (size_t i = 0; i < KINDS; i++) {
        open_kind(i);
        guard_lm_options o = options(0);
        guard_lm *g = trained(0);
        guard_lm_units u = {0}, plain = {0};
        int32_t next[256];
        size_t n_prefix = 0;

        expect_ok(guard_lm_units_add(&u, g, corpus, &o, &err), &err);
        cr_assert_eq(u.n, corpus->n);
        (void)guard_lm_prefix(g, GUARD_SAFE, 0, &n_prefix);
        const size_t n = u.start[1], targets = guard_lm_unit_targets(next, &u, 0);
        cr_assert_eq(u.prefix[0], n_prefix);
        cr_assert_eq(targets, n - n_prefix + u.end[0]);
        cr_assert_eq(next[n_prefix - 2], -1);
        cr_assert_eq(next[n_prefix - 1], u.ids[n_prefix]);
        if (u.end[0]) cr_assert_eq(next[n - 1], nn_tok_eos(tok));
        for (size_t t = n_prefix, at = 0, len = 0; t < n; t++, at += len) { /* no blank that the text has not */
            const char *bytes = nn_tok_bytes(tok, u.ids[t], &len);
            cr_assert(memcmp(bytes, corpus->row[0].text.s + at, len) == 0, "%s: token %zu", kinds[i].name, t);
        }
        o.plain = true;
        expect_ok(guard_lm_units_add(&plain, g, corpus, &o, &err), &err);
        cr_assert_eq(plain.prefix[0], 1);
        cr_assert_eq(plain.ids[0], nn_tok_bos(tok));
        guard_lm_units_free(&u);
        guard_lm_units_free(&plain);
        guard_lm_free(g);
        close_kind();
    }
}

/* --- training ------------------------------------------------------------------------------------------- */

Test(lm_foreign, training_begins_with_the_weights_on_disk_and_learns)
{
    for (size_t i = 0; i < KINDS; i++) {
        char want[65], got[65];
        nn_model *m = NULL;

        open_kind(i);
        guard_lm *g = trained(0);
        const nn_load_options load = {.floats = true};
        expect_ok(nn_pretrained_load(&m, base, &load, &err), &err);
        nn_model_hash(m, want);
        nn_model_hash(guard_lm_model(g), got);
        cr_assert_str_eq(want, got, "%s", kinds[i].name);
        guard_lm_free(g);
        job.n = 0;
        g = trained(30);
        cr_assert(toy_metric(&job, "loss", true) < 0.8 * toy_metric(&job, "loss", false), "%s: %g to %g", kinds[i].name,
                  toy_metric(&job, "loss", false), toy_metric(&job, "loss", true));
        cr_assert_eq(job.step[job.n - 1], 30, "steps at most");
        guard_lm_free(g);
        nn_model_free(m);
        close_kind();
    }
}

Test(lm_foreign, a_stopped_training_resumes_to_the_same_bytes)
{
    static toy_job part;

    open_kind(1);
    const guard_lm_options o = options(12);
    guard_lm *want = trained(12), *g = NULL;
    toy_job_open(&part, 3, path_in(temp_dir(), "lm.safetensors"));
    part.stop_at = 5;
    cr_assert_eq(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &part.job, &err), NN_STOP);
    err = (nn_err){NN_OK, ""};
    expect_ok(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, &o, &part.job, &err), &err);
    expect_same_model("resume", want, g);
    toy_job_close(&part);
    guard_lm_free(g);
    guard_lm_free(want);
    close_kind();
}

static void refuse(const guard_lm_options *o, const nn_tok *t, const char *want)
{
    guard_lm *g = NULL;

    err = (nn_err){NN_OK, ""};
    expect_fails(guard_lm_train(&g, corpus, NULL, t, toy_taxonomy(), NULL, o, &job.job, &err), NN_USAGE, &err, want);
    cr_assert_null(g);
}

/* A tokenizer of bytes, without a token that ends a text. */
static nn_tok *endless_tok(void)
{
    nn_vocab v;
    nn_tok *t = NULL;

    nn_vocab_init(&v);
    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)(unsigned char)b;

        expect_ok(nn_vocab_add(&v, &c, 1, 0.0f, NN_PIECE_NORMAL, &err), &err);
    }
    expect_ok(nn_tok_build(&t, &v, &err), &err);
    nn_vocab_free(&v);
    return t;
}

Test(lm_foreign, what_cannot_be_a_generator_is_refused)
{
    guard_lm_options o = guard_lm_default();
    nn_tok *own = toy_tok(corpus), *endless = endless_tok();

    o.prompt = "{label}";
    refuse(&o, own, "tokenizer of our own");
    open_kind(3);
    o.prompt = "request: ";
    refuse(&o, tok, "the place {label}");
    o = options(1);
    refuse(&o, own, "one vocabulary");
    refuse(&o, endless, "ends a text (EOS)");
    nn_tok_free(endless);
    nn_tok_free(own);
    close_kind();
}

/* --- drawing -------------------------------------------------------------------------------------------- */

static guard_corpus *draw(const guard_lm *g, size_t threads, guard_rollout *r)
{
    static toy_job t;
    guard_corpus *c = NULL;
    int label[N_DRAW];
    size_t category[N_DRAW];
    const nn_sampler s = nn_sampler_default();

    for (size_t i = 0; i < N_DRAW; i++) {
        label[i] = i % 2 ? GUARD_UNSAFE : GUARD_SAFE;
        category[i] = i % 3;
    }
    toy_job_open(&t, threads, NULL);
    expect_ok(guard_corpus_build(&c, &err), &err);
    expect_ok(guard_lm_generate(g, c, r, label, category, N_DRAW, &s, LONGEST, 0, &t.job, &err), &err);
    toy_job_close(&t);
    return c;
}

Test(lm_foreign, no_control_token_is_drawn_and_threads_change_nothing)
{
    for (size_t i = 0; i < KINDS; i++) {
        guard_rollout r = {0};
        char a[65], b[65];
        size_t banned = 0;

        open_kind(i);
        guard_lm *g = trained(0);
        for (size_t id = 0; id < nn_model_config(guard_lm_model(g))->vocab; id++) {
            banned += g->banned[id];
            cr_assert_eq(g->banned[id], nn_tok_is_control(tok, (int32_t)id), "%s: id %zu", kinds[i].name, id);
        }
        cr_assert_eq(banned, 4);
        guard_corpus *c = draw(g, 1, &r), *same = draw(g, 3, NULL);
        guard_corpus_hash(c, a);
        guard_corpus_hash(same, b);
        cr_assert_str_eq(a, b);
        for (size_t k = 0; k < r.n; k++)
            for (size_t t = r.start[k] + r.prefix[k]; t < r.start[k + 1]; t++)
                cr_assert(!g->banned[r.ids[t]] || (r.ids[t] == nn_tok_eos(tok) && t + 1 == r.start[k + 1]));
        guard_rollout_free(&r);
        guard_corpus_free(c);
        guard_corpus_free(same);
        guard_lm_free(g);
        close_kind();
    }
}

/* Attention, window, divided frequencies and biases: what decoding says of a token, training says bit for bit. */
Test(lm_foreign, the_ratio_of_the_first_pass_is_exactly_one)
{
    static float ref[N_DRAW * 128];
    const guard_policy_options po = {1e-3f, 0.2f, 0.1f, 1, 256};
    double advantage[N_DRAW];

    for (size_t i = 0; i < N_DRAW; i++) advantage[i] = i % 2 ? 1.0 : -1.0;
    for (size_t i = 0; i < KINDS; i++) {
        guard_policy_stats s;
        guard_policy *p = NULL;
        guard_rollout r = {0};
        guard_lm *frozen = NULL;

        open_kind(i);
        guard_lm *g = trained(3);
        expect_ok(guard_lm_clone(&frozen, g, &err), &err);
        guard_corpus_free(draw(g, 1, &r));
        cr_assert(r.start[r.n] <= sizeof ref / sizeof *ref);
        expect_ok(guard_policy_build(&p, g->m, frozen->m, &po, &err), &err);
        guard_policy_reference(p, &job.exec, &r, ref);
        cr_assert_eq(guard_policy_kl(&r, ref), 0.0, "%s", kinds[i].name);
        guard_policy_gradient(p, &job.exec, &r, ref, advantage, &s);
        cr_assert(s.ratio_low == 1.0 && s.ratio_high == 1.0, "%s: %g to %g", kinds[i].name, s.ratio_low, s.ratio_high);
        guard_policy_free(p);
        guard_rollout_free(&r);
        guard_lm_free(frozen);
        guard_lm_free(g);
        close_kind();
    }
}

/* --- the file ------------------------------------------------------------------------------------------- */

Test(lm_foreign, a_saved_generator_is_the_same_generator)
{
    for (size_t i = 0; i < KINDS; i++) {
        const char *dir = temp_dir(), *first = path_in(dir, "a.gguf"), *second = path_in(dir, "b.gguf");
        char a[65], b[65];
        size_t len = 0;
        guard_lm *h = NULL;

        open_kind(i);
        guard_lm *g = trained(1);
        expect_ok(guard_lm_save(g, first, &err), &err);
        expect_ok(guard_lm_open(&h, first, &err), &err);
        expect_same_model(kinds[i].name, g, h);
        nn_tok_hash(guard_lm_tok(h), a);
        nn_tok_hash(tok, b);
        cr_assert_str_eq(a, b);
        cr_assert_str_eq(guard_lm_prompt_text(h), GUARD_LM_PROMPT);
        guard_corpus *x = draw(g, 1, NULL), *y = draw(h, 1, NULL);
        guard_corpus_hash(x, a);
        guard_corpus_hash(y, b);
        cr_assert_str_eq(a, b, "%s: other draws", kinds[i].name);
        expect_ok(guard_lm_save(h, second, &err), &err);
        char *bytes = read_bytes(first, &len);
        cr_assert(bytes_equal_file(second, bytes, len), "%s", kinds[i].name);
        free(bytes);
        guard_corpus_free(x);
        guard_corpus_free(y);
        guard_lm_free(g);
        guard_lm_free(h);
        close_kind();
    }
}

Test(lm_foreign, a_hostile_file_is_refused_or_harmless)
{
    const char *path = path_in(temp_dir(), "hostile.gguf");

    open_kind(2);
    guard_lm *g = trained(0);
    expect_ok(guard_lm_save(g, path, &err), &err);
    expect_hostile_files_refused(path, 24000, 41, 5); /* keys, tokenizer, tensors' places */
    guard_lm_free(g);
    close_kind();
}

/* --- adapters ------------------------------------------------------------------------------------------ */

static guard_lm *adapted(const guard_lm *init, const char *file)
{
    guard_lm_options o = options(2);
    guard_lm *g = NULL;

    o.lora = nn_lora_default();
    o.lora.rank = 2;
    o.adam.lr = 0.05f;
    o.file = file;
    expect_ok(guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), init, &o, &job.job, &err), &err);
    return g;
}

static void expect_same_draws(const guard_lm *a, const guard_lm *b)
{
    guard_corpus *x = draw(a, 1, NULL), *y = draw(b, 1, NULL);
    char p[65], q[65];

    guard_corpus_hash(x, p);
    guard_corpus_hash(y, q);
    cr_expect_str_eq(p, q);
    guard_corpus_free(x);
    guard_corpus_free(y);
}

/* Through a file, which then holds the weights, and in memory: the same generator, which needs its base no more. */
Test(lm_foreign, adapters_come_out_merged_through_a_file_as_in_memory)
{
    for (size_t i = 0; i < KINDS; i++) {
        const char *dir = temp_dir(), *file = path_in(dir, "file.gguf"), *tuned = path_in(dir, "tuned.gguf");
        guard_lm *clone = NULL;
        size_t len = 0;

        open_kind(i);
        guard_lm *plain = trained(0), *here = adapted(NULL, NULL), *there = adapted(NULL, file);
        cr_expect(!nn_model_is_stored(here->m) && nn_model_is_stored(there->m) && there->file);
        expect_same_model(kinds[i].name, here, there);
        nn_tensor was, is;
        cr_assert(nn_model_find(plain->m, "blk.0.attn_q.weight", &was) && nn_model_find(here->m, was.name, &is));
        cr_expect(memcmp(was.data, is.data, was.cols * sizeof *was.data) != 0, "it learnt nothing");
        guard_lm *again = adapted(here, NULL), *on_file = adapted(there, tuned);
        expect_same_model("tuned", again, on_file);
        close_kind();
        guard_lm_free(plain);
        guard_lm_free(again);
        guard_lm_free(there); /* what was tuned lies in its own file */
        expect_ok(guard_lm_clone(&clone, on_file, &err), &err);
        cr_expect(!nn_model_is_stored(clone->m), "a copy can be trained");
        expect_same_draws(clone, on_file);
        expect_ok(guard_lm_save(here, tuned, &err), &err); /* over the file that on_file lies in */
        char *bytes = read_bytes(tuned, &len);
        cr_expect(bytes_equal_file(file, bytes, len), "%s", kinds[i].name);
        expect_same_draws(clone, on_file);
        free(bytes);
        guard_lm_free(here);
        guard_lm_free(clone);
        guard_lm_free(on_file);
        job.n = 0;
    }
}

static void expect_failing_allocations_said(const guard_lm_options *o, const char *path)
{
    nn_status st = NN_LIMIT;

    for (long n = 0; st != NN_OK; n++) {
        guard_lm *g = NULL;

        cr_assert(n < 10000);
        err = (nn_err){NN_OK, ""};
        nn_alloc_fail_at(n);
        st = guard_lm_train(&g, corpus, NULL, tok, toy_taxonomy(), NULL, o, &job.job, &err);
        if (st == NN_OK) st = guard_lm_save(g, path, &err);
        guard_lm_free(g);
        if (st == NN_OK) st = guard_lm_open(&g, path, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT, "allocation %ld: %s", n, err.text);
        if (st == NN_OK) guard_lm_free(g);
        job.n = 0;
    }
}

Test(lm_foreign, every_failing_allocation_is_reported)
{
    open_kind(2);
    guard_lm_options o = options(1);
    expect_failing_allocations_said(&o, path_in(temp_dir(), "oom.gguf"));
    o.lora = nn_lora_default();
    expect_failing_allocations_said(&o, path_in(temp_dir(), "memory.gguf"));
    o.file = path_in(temp_dir(), "file.gguf");
    expect_failing_allocations_said(&o, path_in(temp_dir(), "again.gguf"));
    close_kind();
}
