/* Tests of the command line that writes models for other programs: convert, and quantize of models that are no guards
 * (docs/models.md). */
#include "guard/lm_impl.h"
#include "nn/model_write.h"
#include "nn/quantize.h"
#include "tests/strict_gguf.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include "tests/test_foreign.h"
#include "tests/test_guard_support.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STORIES "fixtures/stories260K/"

static const char *stories(void)
{
    skip_unless_fixture(STORIES "stories260K.bin");
    return shared_path(STORIES "stories260K.bin");
}

static cli_result tell(const char *model, const char *tokenizer)
{
    return CLI(NULL, "generate", "--model", model, "--temperature", "0", "--max-tokens", "60", "--exact", "--tokenizer",
               tokenizer);
}

Test(cli_convert, a_story_is_the_same_after_a_way_through_every_format)
{
    const char *dir = temp_dir(), *gguf = path_in(dir, "a.gguf"), *hf = path_in(dir, "hf/");
    const char *back = path_in(dir, "b.gguf");
    const char *tok = shared_path(STORIES "tok512.bin");
    const cli_result first = tell(stories(), tok), to = CLI(NULL, "convert", stories(), gguf);
    const cli_result folder = CLI(NULL, "convert", gguf, hf);
    const cli_result again = CLI(NULL, "convert", hf, back, "--tokenizer", gguf, "--for", "llama.cpp");

    expect_status(&first, 0);
    expect_status(&to, 0);
    cr_expect_str_eq(to.err, "");
    expect_status(&folder, 0);
    cr_expect_str_eq(folder.err, "");
    expect_says(folder.out, "hf/model.safetensors: ");
    expect_status(&again, 0);
    const cli_result a = CLI(NULL, "generate", "--model", gguf, "--temperature", "0", "--max-tokens", "60", "--exact");
    const cli_result b = tell(hf, path_in(hf, "tokenizer.json")), c = tell(back, gguf);
    cr_expect(first.out_len > 100);
    cr_expect_str_eq(a.out, first.out);
    cr_expect_str_eq(b.out, first.out);
    cr_expect_str_eq(c.out, first.out);
    size_t len = 0;
    char *bytes = read_bytes(gguf, &len);
    cr_expect(bytes_equal_file(back, bytes, len), "rows turned twice, the same file");
    free(bytes);
}

Test(cli_convert, tokenizer_files_go_from_folder_to_folder)
{
    const char *dir = temp_dir(), *a = path_in(dir, "a"), *b = path_in(dir, "b");
    const cli_result made = CLI(NULL, "convert", stories(), a);

    expect_status(&made, 0);
    write_text(path_in(a, "tokenizer.json"), "{\"what\": 1}");
    const cli_result r = CLI(NULL, "convert", a, b, "--type", "bf16");
    expect_status(&r, 0);
    cr_expect_str_eq(r.err, "");
    cr_expect(bytes_equal_file(path_in(b, "tokenizer.json"), "{\"what\": 1}", 11));
}

Test(cli_convert, a_vocabulary_in_gguf_becomes_a_tokenizer_json)
{
    const char *dir = temp_dir(), *hf = path_in(dir, "hf"), *back = path_in(dir, "b.gguf");
    const char *from = foreign_file("qwen3", NN_TOK_BPE, true, NN_F32, 1);
    const cli_result bad = CLI(NULL, "convert", from, path_in(dir, "bad"));

    expect_status(&bad, 0);
    expect_says(bad.err, "tokenizer.json cannot say"); /* a piece that is nothing but unknown */
    guard_lm *g = NULL;
    nn_tok *tok = word_tok(400);
    nn_model *m = NULL;
    nn_config c = nn_config_default();
    const guard_taxonomy t = two_categories();
    nn_err err = {NN_OK, ""};

    c.vocab = nn_tok_vocab(tok);
    expect_ok(nn_model_build(&m, &c, &err), &err);
    nn_model_init(m, 1);
    expect_ok(guard_lm_build(&g, m, tok, &t, NULL, &err), &err);
    expect_ok(guard_lm_save(g, path_in(dir, "lm.gguf"), &err), &err);
    const cli_result r = CLI(NULL, "convert", path_in(dir, "lm.gguf"), hf);
    expect_status(&r, 0);
    cr_expect_str_eq(r.err, "");
    const cli_result again = CLI(NULL, "convert", hf, back, "--for", "llama.cpp");
    expect_status(&again, 0);
    cr_expect_str_eq(again.err, "");
    guard_lm_free(g);
    nn_tok_free(tok);
}

Test(cli_convert, what_is_there_stays_unless_forced_and_what_is_read_stays_always)
{
    const char *dir = temp_dir(), *gguf = path_in(dir, "a.gguf"), *hf = path_in(dir, "hf");
    const cli_result made = CLI(NULL, "convert", stories(), gguf), folder = CLI(NULL, "convert", gguf, hf);
    const cli_result twice = CLI(NULL, "convert", stories(), gguf, "--type", "f16");
    const cli_result into = CLI(NULL, "convert", stories(), hf), itself = CLI(NULL, "convert", gguf, gguf, "--force");
    const cli_result self = CLI(NULL, "convert", hf, path_in(hf, "../hf/"), "--force");
    const cli_result forced = CLI(NULL, "convert", stories(), gguf, "--type", "f16", "--force");

    expect_status(&made, 0);
    expect_status(&folder, 0);
    expect_status(&twice, 2);
    expect_says(twice.err, "a.gguf: is there already, want another path or --force");
    expect_status(&into, 2);
    expect_says(into.err, "is there already");
    expect_status(&itself, 2);
    expect_says(itself.err, "the model that is read");
    expect_status(&self, 2);
    expect_says(self.err, "the model that is read");
    expect_status(&forced, 0);
    expect_says(forced.out, "weights F16");
}

Test(cli_convert, a_replaced_folder_keeps_nothing_of_the_model_before)
{
    const char *dir = temp_dir(), *hf = path_in(dir, "hf"), *bare = path_in(dir, "bare.gguf");
    static const char *const old[] = {"tokenizer.json", "tokenizer.model", "merges.txt", "generation_config.json",
                                      "model.safetensors.index.json"};
    const nn_config c = foreign_config("llama", 40);
    nn_model *m = NULL;
    nn_write_options o = nn_write_default();
    nn_err err = {NN_OK, ""};

    expect_ok(nn_model_build(&m, &c, &err), &err);
    nn_model_init(m, 1);
    expect_ok(nn_model_write_gguf(bare, m, NULL, &o, &err), &err);
    const cli_result first = CLI(NULL, "convert", stories(), hf);
    expect_status(&first, 0);
    for (size_t i = 1; i < sizeof old / sizeof *old; i++) write_text(path_in(hf, old[i]), "{\"eos_token_id\": 7}");
    write_text(path_in(hf, "README.md"), "mine");
    write_text(path_in(hf, "m.gguf"), "");
    const cli_result in = CLI(NULL, "convert", path_in(hf, "m.gguf"), hf, "--force");
    const cli_result tok = CLI(NULL, "convert", stories(), hf, "--force", "--tokenizer", hf);
    const cli_result other = CLI(NULL, "convert", stories(), hf, "--force", "--type", "q8_0");
    expect_status(&in, 2);
    expect_says(in.err, "holds the model that is read");
    expect_status(&tok, 2);
    expect_says(tok.err, "hf: the tokenizer that is read");
    expect_status(&other, 2);
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) cr_expect(nn_path_exists(path_in(hf, old[i])), "%s", old[i]);
    const cli_result second = CLI(NULL, "convert", bare, hf, "--force");
    expect_status(&second, 0);
    expect_says(second.err, "no tokenizer in");
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) cr_expect(!nn_path_exists(path_in(hf, old[i])), "%s", old[i]);
    cr_expect(bytes_equal_file(path_in(hf, "README.md"), "mine", 4));
    nn_model_free(m);
}

Test(cli_convert, ends_of_a_text_that_gguf_has_no_key_for_are_said)
{
    const char *dir = temp_dir(), *hf = path_in(dir, "hf"), *gguf = path_in(dir, "a.gguf");
    const cli_result folder = CLI(NULL, "convert", stories(), hf, "--tokenizer", shared_path(STORIES "tok512.bin"));

    expect_status(&folder, 0);
    write_text(path_in(hf, "generation_config.json"), "{\"eos_token_id\": [2, 13, 14]}");
    const cli_result three = CLI(NULL, "convert", hf, gguf);
    cr_expect_str_eq(three.err, "");
    write_text(path_in(hf, "generation_config.json"), "{\"eos_token_id\": [2, 13, 14, 15]}");
    const cli_result four = CLI(NULL, "convert", hf, gguf, "--force");
    expect_status(&four, 0);
    expect_says(four.err, "1 of the 4 ids that end a text are left out");
}

/* A file that may not grow any more is an error like a full disk, not the end of the process. */
Test(cli_convert, a_limit_on_files_is_said_and_leaves_nothing)
{
    const char *dir = temp_dir(), *gguf = path_in(dir, "a.gguf"), *hf = path_in(dir, "hf");
    struct rlimit was, low;

    (void)stories();
    cr_assert(getrlimit(RLIMIT_FSIZE, &was) == 0);
    low = was;
    low.rlim_cur = 300 * 1024;
    cr_assert(setrlimit(RLIMIT_FSIZE, &low) == 0);
    const cli_result file = CLI(NULL, "convert", stories(), gguf), folder = CLI(NULL, "convert", stories(), hf);
    cr_assert(setrlimit(RLIMIT_FSIZE, &was) == 0);
    expect_status(&file, NN_LIMIT);
    expect_says(file.err, "a.gguf: cannot write");
    expect_status(&folder, NN_LIMIT);
    expect_says(folder.err, "model.safetensors: cannot write");
    cr_expect(nn_dir_empty(hf));
    cr_expect(rmdir(hf) == 0 && nn_dir_empty(dir));
}

Test(cli_convert, quantize_writes_other_models_too)
{
    const char *dir = temp_dir(), *q4 = path_in(dir, "q4.gguf");
    const cli_result made = CLI(NULL, "quantize", stories(), q4, "--type", "q4_0");
    const cli_result told = CLI(NULL, "generate", "--model", q4, "--temperature", "0", "--max-tokens", "20");
    const cli_result none = CLI(NULL, "quantize", stories(), path_in(dir, "x.gguf"));
    const cli_result int8 = CLI(NULL, "quantize", stories(), path_in(dir, "x.gguf"), "--type", "int8");
    const cli_result name = CLI(NULL, "quantize", stories(), path_in(dir, "x"), "--type", "q4_0");

    expect_status(&made, 0);
    expect_says(made.out, "weights Q4_0");
    expect_status(&told, 0);
    cr_expect_gt(told.out_len, 20);
    expect_status(&none, 2);
    expect_says(none.err, "want --type q8_0, q4_0");
    expect_status(&int8, 2);
    expect_status(&name, 2);
    expect_says(name.err, "want a name in .gguf");
}

Test(cli_convert, wrong_use_is_refused_by_name)
{
    const char *dir = temp_dir(), *hf = path_in(dir, "hf");
    const cli_result type = CLI(NULL, "convert", stories(), hf, "--type", "q5_0");
    const cli_result blocks = CLI(NULL, "convert", stories(), hf, "--type", "q8_0");
    const cli_result program = CLI(NULL, "convert", stories(), hf, "--for", "ollama");
    const cli_result folder = CLI(NULL, "convert", stories(), hf, "--for", "llama.cpp");
    const cli_result one = CLI(NULL, "convert", stories()), gone = CLI(NULL, "convert", "nosuch.gguf", hf);

    expect_status(&type, 2);
    expect_says(type.err, "want f32, f16, bf16, q8_0 or q4_0");
    expect_status(&blocks, 2);
    expect_says(blocks.err, "F32, F16 or BF16 in a Hugging Face folder");
    expect_status(&program, 2);
    expect_says(program.err, "want llama.cpp");
    expect_status(&folder, 2);
    expect_says(folder.err, "want a name in .gguf");
    expect_status(&one, 2);
    expect_status(&gone, 4);
}

/* Of an int8 guard goes out what its products read: scale * q, and it is said. */
static void expect_int8_as_floats(guard_classifier *g, const char *from, const char *to)
{
    nn_gguf *f = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(guard_classifier_save(g, from, NN_I8, &err), &err);
    const nn_tensor i8 = nn_model_tensor(g->parts.m, 3);
    const cli_result r = CLI(NULL, "convert", from, to, "--for", "llama.cpp", "--force");
    expect_status(&r, 0);
    expect_says(r.err, "its weights are int8; written is what they stand for, scale * q");
    expect_ok(nn_gguf_open(&f, to, &err), &err);
    const nn_st_tensor *t = nn_gguf_find(f, i8.gguf);
    cr_assert(i8.i8 && t && t->type == NN_F32 && t->count == i8.rows * i8.cols, "%s", i8.gguf);
    float *row = malloc(i8.cols * sizeof *row), *got = malloc(i8.cols * sizeof *got);
    for (size_t n = 0; n < i8.rows; n++) {
        nn_i8_row(row, i8.i8->panels, i8.i8->scale, i8.cols, n);
        expect_ok(nn_dtype_to_f32(got, NN_F32, t->data + n * i8.cols * 4, i8.cols, &err), &err);
        expect_same_floats(i8.gguf, got, row, i8.cols);
    }
    free(row);
    free(got);
    nn_gguf_close(f);
}

Test(cli_convert, a_guard_goes_out_as_a_classifier_and_what_stays_behind_is_said)
{
    const char *from = path_in(temp_dir(), "guard.gguf"), *to = path_in(temp_dir(), "cpp.gguf");
    guard_classifier *g = random_guard(true, true, 3), *wide = random_guard(true, false, 3);
    char why[256] = "";
    size_t len = 0;
    nn_err err = {NN_OK, ""};

    nn_config c = *nn_model_config(g->parts.m);
    c.pool = NN_POOL_LAST;
    nn_model_free(g->parts.m);
    expect_ok(nn_model_build(&g->parts.m, &c, &err), &err);
    nn_model_init(g->parts.m, 1);
    expect_ok(guard_classifier_save(g, from, NN_F32, &err), &err);
    const cli_result r = CLI(NULL, "convert", from, to, "--for", "llama.cpp", "--type", "q8_0");
    expect_status(&r, 0);
    for (const char *const *part = (const char *const[]){"wide part", "n-gram memory", "category head", "thresholds",
                                                         "prompt format", "keys under guard.*", NULL};
         *part; part++)
        expect_says(r.err, *part);
    char *bytes = read_bytes(to, &len);
    cr_expect(strict_gguf((unsigned char *)bytes, len, why, sizeof why), "%s", why);
    free(bytes);
    expect_int8_as_floats(g, from, to);
    expect_ok(guard_classifier_save(wide, from, NN_F32, &err), &err);
    const cli_result none = CLI(NULL, "convert", from, to, "--for", "llama.cpp", "--force");
    expect_status(&none, 2);
    expect_says(none.err, "a guard without a decoder");
    guard_classifier_close(g);
    guard_classifier_close(wide);
}
