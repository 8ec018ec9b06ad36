/* Tests of the command line over models that others trained: generate, tokenize, perplexity, inspect
 * (docs/models.md). */
#include "nn/gguf.h"
#include "nn/rng.h"
#include "nn/unicode.h"
#include "tests/support.h"
#include "tests/test_cli_support.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORIES "fixtures/stories260K/"
#define XS "fixtures/llama2xs/"
#define SPM "fixtures/tokenizer/ggml-vocab-llama-spm.gguf"
#define GPT2 "fixtures/hf/tiny-random-gpt2/"

static const char *stories(void)
{
    skip_unless_fixture(STORIES "stories260K.gguf");
    return shared_path(STORIES "stories260K.gguf");
}

#define GREEDY(...) CLI(NULL, "generate", "--model", stories(), "--temperature", "0", __VA_ARGS__)

static void expect_refused(const cli_result *r, int status, const char *part)
{
    expect_status(r, status);
    expect_says(r->err, part);
    cr_expect_eq(r->out_len, 0, "it printed %.200s", r->out);
}

/* --- generate ------------------------------------------------------------------------------------------------- */

Test(cli_models, greedy_text_is_the_published_one_byte_for_byte)
{
    static const char *const format[] = {STORIES "stories260K.bin", STORIES "stories260K.gguf",
                                         STORIES "stories260K_F16.gguf", STORIES "stories260K_BF16.gguf"};
    size_t len = 0;

    skip_unless_fixture(STORIES "expected_greedy_200.txt");
    char *want = read_bytes(shared_path(STORIES "expected_greedy_200.txt"), &len);
    for (size_t i = 0; i < sizeof format / sizeof *format; i++) {
        const cli_result r = CLI(NULL, "generate", "--model", shared_path(format[i]), "--temperature", "0",
                                 "--max-tokens", "200", "--threads", i == 0 ? "1" : "2");
        expect_status(&r, 0);
        cr_expect(r.out_len == len && memcmp(r.out, want, len) == 0, "%s: %s", format[i], r.out);
        cr_expect_eq(r.err[0], '\0', "it said %s", r.err);
    }
    free(want);
}

Test(cli_models, the_prompt_is_not_printed_and_may_come_from_standard_input)
{
    static const char prompt[] = "Once upon a"; /* what comes next begins with a blank, which is text */
    cli_options in = {.in = prompt, .in_len = sizeof prompt - 1};
    const cli_result none = GREEDY("--max-tokens", "40"), word = GREEDY("--max-tokens", "20", "--prompt", prompt);
    const cli_result given = CLI(&in, "generate", "--model", stories(), "--temperature", "0", "--max-tokens", "20",
                                 "--prompt", "-");

    expect_status(&word, 0);
    cr_expect_str_eq(word.out, given.out);
    cr_expect(strncmp(none.out, prompt, sizeof prompt - 1) == 0, "%s", none.out);
    cr_expect(strncmp(none.out + sizeof prompt - 1, word.out, word.out_len) == 0, "%s after %s", word.out, none.out);
}

Test(cli_models, draws_follow_the_seed_alone)
{
    const char *model = stories();
    const cli_result a = CLI(NULL, "generate", "--model", model, "--seed", "7", "--max-tokens", "60");
    const cli_result b = CLI(NULL, "generate", "--model", model, "--seed", "7", "--max-tokens", "60", "--threads", "2");
    const cli_result c = CLI(NULL, "generate", "--model", model, "--seed", "8", "--max-tokens", "60");
    const cli_result cut = CLI(NULL, "generate", "--model", model, "--top-k", "1", "--max-tokens", "60");
    const cli_result greedy = GREEDY("--max-tokens", "60");

    expect_status(&a, 0);
    cr_expect_str_eq(a.out, b.out);
    cr_expect_str_neq(a.out, c.out);
    cr_expect_str_eq(cut.out, greedy.out);
}

/* The stop text is cut anywhere in the text: within a token, over several, at its very end. */
Test(cli_models, a_stop_text_is_not_printed_wherever_tokens_end)
{
    const cli_result all = GREEDY("--max-tokens", "60");

    expect_status(&all, 0);
    for (size_t at = 1; at + 12 < all.out_len; at += 7) {
        char stop[13] = "";
        memcpy(stop, all.out + at, 12);
        const char *first = strstr(all.out, stop);
        const cli_result r = GREEDY("--max-tokens", "60", "--stop", stop);
        expect_status(&r, 0);
        cr_expect(r.out_len == (size_t)(first - all.out) && memcmp(r.out, all.out, r.out_len) == 0,
                  "stop \"%s\": \"%s\"", stop, r.out);
    }
    char longer[8] = ""; /* its beginning is the text's end: what was held back comes out */
    snprintf(longer, sizeof longer, "%s#", all.out + all.out_len - 3);
    const cli_result none = GREEDY("--max-tokens", "60", "--stop", longer), empty = GREEDY("--stop", "");
    cr_expect_str_eq(none.out, all.out);
    expect_refused(&empty, 2, "--stop: no text");
}

Test(cli_models, more_than_the_context_is_refused_with_both_numbers)
{
    const cli_result r = GREEDY("--max-tokens", "2049"), fits = GREEDY("--max-tokens", "2048", "--stop", "Once");
    char *text = malloc(10001);

    cr_assert(text != NULL);
    memset(text, 'x', 10000);
    text[10000] = '\0';
    const cli_result longer = GREEDY("--prompt", text);
    free(text);
    expect_refused(&r, 5, "--max-tokens 2049: the model's context of 2048 has room for 2048");
    expect_status(&fits, 0);
    expect_refused(&longer, 5, "want at most the model's context, 2048");
}

Test(cli_models, flags_of_the_other_kind_of_model_are_refused_by_name)
{
    char requests[600];
    const cli_result label = GREEDY("--label", "safe"), n = GREEDY("--n", "2"), word = GREEDY("text");
    const cli_result system = GREEDY("--system", "x");

    snprintf(requests, sizeof requests, "%s/models/11_train_generator.gguf", small_run());
    const cli_result prompt = CLI(NULL, "generate", "--model", requests, "--prompt", "x");
    const cli_result chat = CLI(NULL, "generate", "--model", requests, "--chat");
    expect_refused(&label, 2, "--label: it means nothing to a language model");
    expect_refused(&n, 2, "--n: it means nothing");
    expect_refused(&word, 2, "with --prompt");
    expect_refused(&system, 2, "--system: it needs --chat");
    expect_refused(&prompt, 2, "--prompt: it means nothing to the generator of a run");
    expect_refused(&chat, 2, "--chat: it means nothing");
}

Test(cli_models, a_chat_wants_a_family_and_its_marks)
{
    const cli_result none = GREEDY("--chat", "--prompt", "x"), far = GREEDY("--chat", "nosuch", "--prompt", "x");
    const cli_result marks = GREEDY("--chat", "chatml", "--prompt", "x"), empty = GREEDY("--chat", "llama2");
    const cli_result ok = GREEDY("--chat=llama2", "--system", "Be brief.", "--prompt", "Hi", "--max-tokens", "5");
    const cli_result same =
        GREEDY("--prompt", "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]", "--max-tokens", "5");

    expect_refused(&none, 2, "has no chat template, want --chat NAME: chatml");
    expect_refused(&far, 2, "--chat: 'nosuch' is no family");
    expect_refused(&marks, 3, "no token '<|im_start|>'");
    expect_refused(&empty, 2, "no message");
    expect_status(&ok, 0);
    cr_expect_str_eq(ok.out, same.out);
}

Test(cli_models, what_is_no_language_model_is_refused_as_a_file)
{
    skip_unless_fixture(GPT2 "config.json");
    const cli_result gpt2 = CLI(NULL, "generate", "--model", shared_path(GPT2));
    const cli_result guard = CLI(NULL, "generate", "--model", small_guard());
    const cli_result gone = CLI(NULL, "generate", "--model", "x");
    const cli_result not_one = CLI(NULL, "generate", "--model", "Makefile");

    expect_refused(&gpt2, 4, "gpt2");
    expect_refused(&gone, 4, "x");
    expect_refused(&guard, 4, "guard");
    expect_refused(&not_one, 4, "Makefile");
}

Test(cli_models, an_interrupt_ends_the_text_with_status_130)
{
    const cli_options o = {.signal = SIGINT, .times = 1, .after = 0.3};

    setenv("NN_KERNELS", "base", 1); /* slow enough to be caught: seconds */
    const cli_result r = CLI(&o, "generate", "--model", stories(), "--max-tokens", "2000", "--seed", "3");
    expect_status(&r, 130);
}

/* --- a model with a chat template, written here ---------------------------------------------------------------- */

#define WIDTH 32
#define MARKS 3 /* <|endoftext|>, <|im_start|>, <|im_end|> after the 256 bytes */

/* Weights large enough for what was said first to matter. */
static void put_tensor(nn_gguf_writer *w, const char *name, size_t rows, size_t cols)
{
    static float data[(256 + MARKS) * WIDTH];
    nn_rng rng = nn_rng_at(1, name, 0);

    for (size_t i = 0; i < (rows ? rows : 1) * cols; i++) data[i] = rows ? 2.0f * nn_rng_float(&rng) - 1.0f : 1.0f;
    nn_gguf_put_tensor(w, name, NN_F32, data, rows, cols);
}

/* GPT-2's spelling of a byte: itself when it prints, else U+0100 and on in order. */
static size_t spell_byte(char out[4], int byte)
{
    const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    int before = 0;

    for (int b = 0; b < byte; b++) before += !((b >= 33 && b <= 126) || (b >= 161 && b != 173));
    return nn_utf8_encode(prints ? (uint32_t)byte : 256u + (uint32_t)before, out);
}

static void put_vocabulary(nn_gguf_writer *w)
{
    static const char *const mark[MARKS] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    static char spelling[256][4];
    static const char *text[256 + MARKS];
    static size_t len[256 + MARKS];
    static int32_t type[256 + MARKS];

    for (int i = 0; i < 256 + MARKS; i++) {
        text[i] = i < 256 ? spelling[i] : mark[i - 256];
        len[i] = i < 256 ? spell_byte(spelling[i], i) : strlen(mark[i - 256]);
        type[i] = i < 256 ? 1 : 3;
    }
    nn_gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    nn_gguf_put_str(w, "tokenizer.ggml.pre", "qwen2");
    nn_gguf_put_strs(w, "tokenizer.ggml.tokens", text, len, 256 + MARKS);
    nn_gguf_put_i32s(w, "tokenizer.ggml.token_type", type, 256 + MARKS);
    nn_gguf_put_strs(w, "tokenizer.ggml.merges", text, len, 0);
    nn_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 256);
}

/* A llama of one layer, whose text means nothing. */
static const char *chat_model(const char *chat_template)
{
    static const char *const wide[] = {"blk.0.attn_q.weight", "blk.0.attn_output.weight", "blk.0.ffn_gate.weight",
                                       "blk.0.ffn_up.weight", "blk.0.ffn_down.weight"};
    const char *path = path_in(temp_dir(), "chat.gguf");
    nn_gguf_writer *w = NULL;
    nn_err err = {0};

    expect_ok(nn_gguf_writer_build(&w, &err), &err);
    nn_gguf_put_str(w, "general.architecture", "llama");
    nn_gguf_put_u32(w, "llama.context_length", 128);
    nn_gguf_put_u32(w, "llama.embedding_length", WIDTH);
    nn_gguf_put_u32(w, "llama.block_count", 1);
    nn_gguf_put_u32(w, "llama.feed_forward_length", WIDTH);
    nn_gguf_put_u32(w, "llama.attention.head_count", 2);
    nn_gguf_put_u32(w, "llama.attention.head_count_kv", 1);
    nn_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (chat_template) nn_gguf_put_str(w, "tokenizer.chat_template", chat_template);
    put_vocabulary(w);
    put_tensor(w, "token_embd.weight", 256 + MARKS, WIDTH);
    put_tensor(w, "output_norm.weight", 0, WIDTH);
    put_tensor(w, "blk.0.attn_norm.weight", 0, WIDTH);
    put_tensor(w, "blk.0.ffn_norm.weight", 0, WIDTH);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) put_tensor(w, wide[i], WIDTH, WIDTH);
    put_tensor(w, "blk.0.attn_k.weight", WIDTH / 2, WIDTH);
    put_tensor(w, "blk.0.attn_v.weight", WIDTH / 2, WIDTH);
    expect_ok(nn_gguf_save(w, path, &err), &err);
    nn_gguf_writer_free(w);
    return path;
}

#define SAY(model, ...) CLI(NULL, "generate", "--model", model, "--max-tokens", "12", "--seed", "5", __VA_ARGS__)

Test(cli_models, the_chat_template_of_the_file_is_used_when_it_is_known)
{
    const char *known = chat_model("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                                   "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt "
                                   "%}{{ '<|im_start|>assistant\n' }}{% endif %}");
    const char *unknown = chat_model("{{ messages[0]['content'] }}");
    const cli_result own = SAY(known, "--prompt", "Hi", "--chat"), named = SAY(known, "--prompt", "Hi", "--chat", "chatml");
    const cli_result other = SAY(known, "--prompt", "Hi", "--chat", "qwen2"), plain = SAY(known, "--prompt", "Hi");
    const cli_result refused = SAY(unknown, "--prompt", "Hi", "--chat"), none = SAY(known, "--temperature", "0");
    const cli_result by_name = SAY(unknown, "--prompt", "Hi", "--chat", "chatml");
    const cli_result says = CLI(NULL, "inspect", known), says_not = CLI(NULL, "inspect", unknown);

    expect_status(&own, 0);
    cr_expect_gt(own.out_len, 0);
    cr_expect_str_eq(own.out, named.out);
    cr_expect_str_neq(own.out, other.out);
    cr_expect_str_neq(own.out, plain.out);
    expect_refused(&refused, 3, "want a family by name: chatml");
    cr_expect_str_eq(by_name.out, own.out);
    expect_refused(&none, 2, "no token that begins a text, want --prompt");
    expect_says(strstr(says.out, "chat_format") ? strstr(says.out, "chat_format") : "", "chatml\n");
    expect_says(says_not.out, "unknown: use --chat NAME");
    expect_says(says_not.out, "chat_template_sha256");
    expect_says(says.out, "byte-level BPE, qwen2");
}

/* --- tokenize ---------------------------------------------------------------------------------------------------- */

#define TOKENIZE(...) CLI(NULL, "tokenize", "--tokenizer", shared_path(SPM), __VA_ARGS__)

Test(cli_models, tokenize_prints_ids_bytes_and_pieces)
{
    skip_unless_fixture(SPM);
    const cli_result r = TOKENIZE("Hello w\xc3\xb6rld"), ids = TOKENIZE("--ids", "Hello w\xc3\xb6rld");
    const cli_result bos = TOKENIZE("--ids", "--bos", "Hello w\xc3\xb6rld"), line = TOKENIZE("a\nb\\");

    expect_status(&r, 0);
    cr_expect_str_eq(r.out, "15043\t0-5\t Hello\n281\t5-7\t w\n1340\t7-10\t\xc3\xb6r\n430\t10-12\tld\n");
    cr_expect_str_eq(ids.out, "15043 281 1340 430\n");
    cr_expect_str_eq(bos.out, "1 15043 281 1340 430\n");
    expect_says(line.out, "\t1-2\t\\n\n");
    expect_says(line.out, "\\\\\n");
}

Test(cli_models, tokenize_decodes_what_it_encoded)
{
    static const char text[] = " two  blanks,\n\ttabs, \xf0\x9f\x98\x80 and 123 ";
    cli_options in = {.in = text, .in_len = sizeof text - 1};

    skip_unless_fixture(SPM);
    const cli_result ids = CLI(&in, "tokenize", "--tokenizer", shared_path(SPM), "--ids", "-");
    const cli_options back = {.in = ids.out, .in_len = ids.out_len};
    const cli_result r = CLI(&back, "tokenize", "--tokenizer", shared_path(SPM), "--decode", "-");
    const cli_result words = TOKENIZE("--decode", "15043", "281,1340", "430");
    const cli_result over = TOKENIZE("--decode", "15043 32000"), none = TOKENIZE("--decode", "x");

    expect_status(&r, 0);
    cr_expect_str_eq(r.out, text);
    cr_expect_str_eq(words.out, "Hello w\xc3\xb6rld");
    expect_refused(&over, 3, "'32000', want ids from 0 to 31999");
    expect_refused(&none, 3, "'x'");
}

Test(cli_models, tokenize_reads_our_own_guards_and_says_json)
{
    const cli_result r = CLI(NULL, "tokenize", "--model", small_guard(), "--json", "hello");
    json_t *o = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL), *tokens = json_object_get(o, "tokens");

    expect_status(&r, 0);
    cr_assert_gt(json_array_size(tokens), 0);
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(tokens, 0), "start")), 0);
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(tokens, json_array_size(tokens) - 1), "end")), 5);
    json_decref(o);
}

Test(cli_models, tokenize_wants_one_tokenizer_and_one_text)
{
    const cli_result none = CLI(NULL, "tokenize", "x"), text = CLI(NULL, "tokenize", "--model", "a");
    const cli_result both = CLI(NULL, "tokenize", "--model", "a", "--tokenizer", "b", "x");
    const cli_result gone = CLI(NULL, "tokenize", "--model", "nosuch", "x");

    expect_refused(&none, 2, "want --model or --tokenizer");
    expect_refused(&both, 2, "not both");
    expect_refused(&text, 2, "0 texts");
    expect_refused(&gone, 4, "nosuch");
}

/* --- perplexity ---------------------------------------------------------------------------------------------------- */

static double perplexity_of(const char *model, const char *flag)
{
    const cli_result r = CLI(NULL, "perplexity", "--model", shared_path(model), "--context", "256", "--json",
                             "--threads", "2", shared_path(XS "ppl_text.txt"), flag);
    json_t *o = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL);
    const double value = json_real_value(json_object_get(o, "perplexity"));

    expect_status(&r, 0);
    expect_says(r.err, "is for a context of 128");
    cr_expect_gt(json_real_value(json_object_get(o, "error")), 1.0);
    json_decref(o);
    return value;
}

Test(cli_models, perplexity_is_the_published_one)
{
    skip_unless_fixture(XS "ppl_text.txt");
    const double f32 = perplexity_of(XS "llama2xs_f32.gguf", NULL), q5 = perplexity_of(XS "llama2xs_Q5_0.gguf", NULL);
    const double exact = perplexity_of(XS "llama2xs_Q5_0.gguf", "--exact");

    cr_expect(f32 > 154.46 * 0.999 && f32 < 154.46 * 1.001, "F32: %g", f32);
    cr_expect(q5 > 166.6584 * 0.99 && q5 < 166.6584 * 1.01, "Q5_0: %g", q5);
    cr_expect(exact < q5 - 1.0, "Q5_0 without rounding: %g", exact);
}

Test(cli_models, perplexity_refuses_what_it_cannot_measure)
{
    const cli_result model = CLI(NULL, "perplexity", "x"), text = CLI(NULL, "perplexity", "--model", stories());
    const cli_result gone = CLI(NULL, "perplexity", "--model", stories(), "nosuch"),
                     tiny = CLI(NULL, "perplexity", "--model", stories(), "--context", "4", "Makefile");

    expect_refused(&model, 2, "no --model");
    expect_refused(&text, 2, "0 texts");
    expect_refused(&gone, 4, "nosuch");
    expect_refused(&tiny, 2, "--context: '4'");
}

/* --- inspect ------------------------------------------------------------------------------------------------------- */

Test(cli_models, inspect_says_what_a_model_is_and_what_it_costs)
{
    static const char *const facts[] = {
        "format", "GGUF", "architecture", "llama", "kv_heads", "SentencePiece BPE", "<s>", "run_2048_tokens",
        "train_256_tokens", "chat_format", "general.architecture", "blk.0.attn_q.weight", "[64, 64]",
        "48 tensors, 292800 weights, 1171200 bytes"};
    const cli_result r = CLI(NULL, "inspect", stories()), keys = CLI(NULL, "inspect", "--keys", stories());

    expect_status(&r, 0);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) expect_says(r.out, facts[i]);
    expect_status(&keys, 0);
    cr_expect(strstr(keys.out, "attn_q.weight") == NULL);
}

static json_t *inspect_json(const char *path, int status)
{
    const cli_result r = CLI(NULL, "inspect", "--json", path);
    json_t *o = json_loads(r.out, JSON_REJECT_DUPLICATES, NULL);

    expect_status(&r, status);
    cr_assert(json_is_object(o), "not an object: %.300s", r.out);
    cr_expect_eq(json_integer_value(json_object_get(o, "version")), 1);
    return o;
}

Test(cli_models, inspect_says_the_same_in_json_for_every_format)
{
    static const char *const path[] = {STORIES "stories260K.bin", STORIES "stories260K.gguf",
                                       "fixtures/hf/llama2xs-bf16", XS "llama2xs_Q4_0.gguf"};

    skip_unless_fixture(STORIES "stories260K.bin");
    for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
        json_t *o = inspect_json(shared_path(path[i]), 0);
        const json_t *config = json_object_get(o, "configuration"), *memory = json_object_get(o, "memory");

        cr_expect_eq(json_integer_value(json_object_get(config, "layers")), 5, "%s", path[i]);
        cr_expect_gt(json_integer_value(json_object_get(memory, "mapped")), 0);
        cr_expect_gt(json_array_size(json_object_get(o, "tensors")), 40);
        cr_expect(json_object_get(o, "tokenizer") != NULL);
        json_decref(o);
    }
}

Test(cli_models, inspect_shows_what_it_refuses)
{
    skip_unless_fixture(GPT2 "config.json");
    json_t *folder = inspect_json(shared_path(GPT2), 4), *vocab;
    const cli_result text = CLI(NULL, "inspect", shared_path(GPT2));

    expect_says(json_string_value(json_object_get(folder, "refused")), "gpt2");
    cr_expect_gt(json_array_size(json_object_get(folder, "tensors")), 10);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(folder, "metadata"), "n_embd")), 32);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(folder, "tokenizer"), "ids")), 1000);
    expect_status(&text, 4);
    expect_says(text.out, "transformer.h.0.attn.c_attn.weight");
    expect_says(text.err, "gpt2");
    vocab = inspect_json(shared_path("fixtures/tokenizer/ggml-vocab-gpt-2.gguf"), 4);
    expect_says(json_string_value(json_object_get(vocab, "refused")), "gpt2");
    json_decref(vocab);
    json_decref(folder);
}

Test(cli_models, inspect_knows_what_is_ours)
{
    char requests[600];

    snprintf(requests, sizeof requests, "%s/models/11_train_generator.gguf", small_run());
    json_t *guard = inspect_json(small_guard(), 0), *generator = inspect_json(requests, 0);
    expect_says(json_string_value(json_object_get(guard, "format")), "a guard of parapet");
    expect_says(json_string_value(json_object_get(generator, "format")), "the generator of a run");
    json_decref(generator);
    json_decref(guard);
}
