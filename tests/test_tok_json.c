/* Tests of nn/tok_json*.c: real tokenizer.json files, small ones of every kind that is run, refusals by name. */
#include "nn/arena.h"
#include "nn/tok_read_impl.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- real files ------------------------------------------------------------------------------------------ */

static void read_fixture(nn_vocab *v, const char *name, const char *config_name)
{
    nn_err err = {NN_OK, ""};
    size_t len = 0, config_len = 0;
    char *config = NULL;

    skip_unless_fixture(name);
    char *bytes = read_bytes(shared_path(name), &len);
    if (config_name) config = read_bytes(shared_path(config_name), &config_len);
    nn_vocab_init(v);
    expect_ok(nn_vocab_from_json(v, bytes, len, config, config_len, "tokenizer.json", &err), &err);
    free(bytes);
    free(config);
}

Test(tok_json, llama2_is_what_its_gguf_says)
{
    nn_err err = {NN_OK, ""};
    nn_gguf *g = NULL;
    nn_vocab a, b;

    skip_unless_fixture("fixtures/tokenizer/ggml-vocab-llama-spm.gguf");
    read_fixture(&a, "fixtures/tokenizer/llama2-tokenizer.json", NULL);
    nn_vocab_init(&b);
    expect_ok(nn_gguf_open(&g, shared_path("fixtures/tokenizer/ggml-vocab-llama-spm.gguf"), &err), &err);
    expect_ok(nn_vocab_from_gguf(&b, g, "x", &err), &err);
    cr_assert(a.model == NN_TOK_SPM && a.n == b.n && a.n_merge == 61249);
    cr_expect(a.unk == 0 && a.bos == 1 && a.add_bos && !a.add_eos && a.prefix_space && !a.prefix_unless_blank);
    for (size_t i = 0; i < a.n; i++) {
        const nn_piece *p = &a.piece[i], *q = &b.piece[i];

        cr_assert(p->len == q->len && memcmp(p->text, q->text, p->len) == 0 && p->type == q->type, "token %zu", i);
    }
    nn_vocab_free(&a);
    nn_vocab_free(&b);
    nn_gguf_close(g);
}

Test(tok_json, tiny_random_gpt2)
{
    nn_vocab v;

    read_fixture(&v, "fixtures/hf/tiny-random-gpt2/tokenizer.json",
                 "fixtures/hf/tiny-random-gpt2/tokenizer_config.json");
    cr_expect(v.model == NN_TOK_BPE && v.pre == NN_PRE_GPT2 && v.n == 1000 && v.n_merge == 806);
    cr_expect(v.bos == 0 && v.eos == 0 && v.unk == -1 && v.pad == -1);
    cr_expect(!v.add_bos && !v.add_eos && !v.prefix_space);
    cr_expect(v.piece[0].type == NN_PIECE_CONTROL && v.piece[1].type == NN_PIECE_NORMAL);
    nn_vocab_free(&v);
}

/* --- small files, written as the families write them -------------------------------------------------------- */

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define BYTES_ONLY "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}"
#define SPLIT(regex) \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define LIST(parts) "{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define LLAMA3 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}" \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define QWEN2 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define BPE "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3},\"merges\":[\"a b\"]}"
#define MARK "\\u2581"
#define SPM \
    "{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"<unk>\",\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2," \
    "\"<0x0A>\":3,\"" MARK "\":4,\"a\":5,\"" MARK "a\":6},\"merges\":[[\"" MARK "\",\"a\"]]}"
#define MARKED "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"}," \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]}"
#define UNMARKED \
    "{\"type\":\"Sequence\",\"decoders\":[" \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK "\"},\"content\":\" \"}," \
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"
#define SPACED(scheme) \
    "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"" scheme "\",\"split\":false}"

typedef struct {
    const char *normalizer, *pre, *post, *decoder, *model, *added, *config; /* NULL: the usual one */
} file;

static nn_status read(nn_vocab *v, const file *f, nn_err *err)
{
    char text[8192];

    snprintf(text, sizeof text,
             "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[%s],\"normalizer\":%s,"
             "\"pre_tokenizer\":%s,\"post_processor\":%s,\"decoder\":%s,\"model\":%s}",
             f->added ? f->added : "", f->normalizer ? f->normalizer : "null", f->pre ? f->pre : BYTE_LEVEL,
             f->post ? f->post : "null", f->decoder ? f->decoder : BYTE_LEVEL, f->model ? f->model : BPE);
    nn_vocab_init(v);
    return nn_vocab_from_json(v, text, strlen(text), f->config, f->config ? strlen(f->config) : 0, "tokenizer.json",
                              err);
}

static nn_vocab taken(const file *f)
{
    nn_err err = {NN_OK, ""};
    nn_vocab v;

    expect_ok(read(&v, f, &err), &err);
    return v;
}

static void expect_refused(file f, const char *part)
{
    nn_err err = {NN_OK, ""};
    nn_vocab v;

    expect_fails(read(&v, &f, &err), NN_FILE, &err, part);
    cr_expect(strncmp(err.text, "tokenizer.json: ", 16) == 0, "%s", err.text);
    nn_vocab_free(&v);
}

Test(tok_json, pre_tokenizers_come_to_the_families)
{
    const struct {
        const char *pre;
        nn_tok_pre want;
    } cases[] = {
        {BYTE_LEVEL, NN_PRE_GPT2},
        {LIST(BYTE_LEVEL), NN_PRE_GPT2},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}", NN_PRE_GPT2},
        {LIST(SPLIT(LLAMA3) "," BYTES_ONLY), NN_PRE_LLAMA3},
        {LIST(SPLIT(QWEN2) "," BYTES_ONLY), NN_PRE_QWEN2},
        {LIST("{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL), NN_PRE_STARCODER},
        {LIST("{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}," BYTE_LEVEL
              ",{\"type\":\"Digits\",\"individual_digits\":false}," SPLIT("[0-9][0-9][0-9]")),
         NN_PRE_FALCON},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_vocab v = taken(&(file){.pre = cases[i].pre});

        cr_expect(v.model == NN_TOK_BPE && v.pre == cases[i].want, "case %zu: %d", i, (int)v.pre);
        nn_vocab_free(&v);
    }
    expect_refused((file){.pre = LIST(SPLIT(LLAMA3) "," BYTE_LEVEL)}, "these parts in this order are not run");
    expect_refused((file){.pre = LIST(BYTE_LEVEL ",{\"type\":\"Digits\",\"individual_digits\":true}")},
                   "these parts in this order are not run");
    expect_refused((file){.pre = LIST(SPLIT("\\\\p{L}+") "," BYTES_ONLY)},
                   "Split by \"\\p{L}+\" (Isolated) is not run");
    expect_refused((file){.pre = "{\"type\":\"BertPreTokenizer\"}"}, "pre-tokenizer \"BertPreTokenizer\" is not run");
    expect_refused((file){.pre = "{\"type\":\"ByteLevel\",\"colour\":1}"}, "option \"colour\" is not run");
    expect_refused((file){.pre = "null"}, "neither byte-level nor with blanks as U+2581");
}

Test(tok_json, normalizers_are_run_or_refused_by_name)
{
    nn_vocab v = taken(&(file){.normalizer = "{\"type\":\"NFC\"}"});
    cr_expect(v.nfc && !v.nfkc && !v.lowercase);
    nn_vocab_free(&v);
    v = taken(&(file){.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},"
                                    "{\"type\":\"Lowercase\"}]}"});
    cr_expect(!v.nfc && v.nfkc && v.lowercase);
    nn_vocab_free(&v);
    expect_refused((file){.normalizer = "{\"type\":\"BertNormalizer\",\"strip_accents\":null}"},
                   "option \"strip_accents\" is not run");
    expect_refused((file){.normalizer = "{\"type\":\"StripAccents\"}"}, "normalizer \"StripAccents\" is not run");
    expect_refused((file){.normalizer = "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}"},
                   "normalizer \"Strip\" is not run");
    expect_refused((file){.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"y\"}"},
                   "normalizer Replace \"x\" is not run");
    expect_refused((file){.normalizer = MARKED}, "byte-level BPE with SentencePiece's blanks is not run");
    expect_refused((file){.normalizer = "{\"kind\":\"NFC\"}"}, "option \"kind\" is not run");
    expect_refused((file){.normalizer = "{}"}, "a part without \"type\"");
}

Test(tok_json, sentencepiece_in_both_spellings)
{
    const file prepend = {.normalizer = MARKED, .pre = "null", .decoder = UNMARKED, .model = SPM};
    const file metaspace = {.pre = SPACED("first"), .decoder = UNMARKED, .model = SPM};
    nn_vocab v = taken(&prepend);

    cr_expect(v.model == NN_TOK_SPM && v.n == 7 && v.n_merge == 1 && v.prefix_space && !v.prefix_unless_blank);
    cr_expect(v.unk == 0 && v.piece[0].type == NN_PIECE_UNKNOWN);
    cr_expect(v.piece[3].type == NN_PIECE_BYTE && v.piece[3].len == 1 && v.piece[3].text[0] == '\n');
    cr_expect(v.merge[0] == 4 && v.merge[1] == 5 && v.merge[2] == 6);
    nn_vocab_free(&v);
    v = taken(&metaspace);
    cr_expect(v.model == NN_TOK_SPM && v.prefix_space && v.prefix_unless_blank);
    nn_vocab_free(&v);
    expect_refused((file){.normalizer = MARKED, .pre = "null", .model = SPM},
                   "decoder: U+2581 is to become a blank again");
    expect_refused((file){.pre = SPACED("never"), .decoder = UNMARKED, .model = SPM}, "decoder: strips a first blank");
    expect_refused((file){.pre = SPACED("last"), .decoder = UNMARKED, .model = SPM}, "prepend_scheme \"last\"");
    expect_refused((file){.normalizer = MARKED, .decoder = UNMARKED, .model = SPM},
                   "byte-level BPE with SentencePiece's");
}

#define UNIGRAM(more) \
    "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0.0],[\"" MARK "\",-2.5],[\"a\",-3]" more "]}"
#define UNI_DECODER "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"always\",\"split\":true}"

Test(tok_json, unigram)
{
    nn_vocab v = taken(&(file){.pre = UNI_DECODER, .decoder = UNI_DECODER, .model = UNIGRAM("")});

    cr_expect(v.model == NN_TOK_UNIGRAM && v.n == 3 && v.unk == 0 && v.n_merge == 0 && v.prefix_space);
    cr_expect(v.piece[0].type == NN_PIECE_UNKNOWN && v.piece[1].score == -2.5f && v.piece[2].score == -3.0f);
    nn_vocab_free(&v);
    v = taken(&(file){.normalizer = "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAECAwQ=\"}",
                      .pre = LIST("{\"type\":\"WhitespaceSplit\"}," UNI_DECODER),
                      .decoder = UNI_DECODER,
                      .model = UNIGRAM("")});
    cr_expect(v.charsmap_len == 5 && memcmp(v.charsmap, "\0\1\2\3\4", 5) == 0 && v.squeeze);
    nn_vocab_free(&v);
    expect_refused((file){.pre = UNI_DECODER, .decoder = UNI_DECODER, .model = UNIGRAM(",[\"a" MARK "a\",-9]")},
                   "token 3 has a blank inside");
    expect_refused((file){.model = UNIGRAM("")}, "Unigram with ByteLevel is not run");
    expect_refused((file){.pre = UNI_DECODER, .decoder = UNI_DECODER, .model = UNIGRAM(",[\"b\",1e60]")},
                   "a score beyond the largest float");
    expect_refused((file){.pre = UNI_DECODER,
                          .decoder = UNI_DECODER,
                          .model = "{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}"},
                   "unk_id 1, want below 1");
    expect_refused((file){.normalizer = "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"A*==\"}",
                          .pre = UNI_DECODER, .decoder = UNI_DECODER, .model = UNIGRAM("")},
                   "no base64");
}

#define ADDED(id, text, special, more) \
    "{\"id\":" id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":true," \
    "\"normalized\":false,\"special\":" special more "}"

Test(tok_json, added_tokens_take_their_ids)
{
    nn_vocab v = taken(&(file){.added = ADDED("4", "<|e|>", "true", "") "," ADDED("1", "b", "false", "")});

    cr_assert(v.n == 5);
    cr_expect(v.piece[4].type == NN_PIECE_CONTROL && v.piece[4].len == 5 && v.piece[4].rstrip && !v.piece[4].lstrip);
    cr_expect(v.piece[1].type == NN_PIECE_USER && v.piece[0].type == NN_PIECE_NORMAL && !v.piece[0].rstrip);
    nn_vocab_free(&v);
    expect_refused((file){.added = ADDED("5", "<|e|>", "true", "")}, "has id 5, but there are at most 5 ids");
    expect_refused((file){.added = ADDED("5", "x", "true", "") "," ADDED("0", "a", "true", "")},
                   "id 4 has no token, but id 5 has");
    expect_refused((file){.added = ADDED("0", "x", "true", "")}, "added token 0 \"x\" is \"a\" in the vocabulary");
    expect_refused((file){.added = ADDED("4", "x", "true", "") "," ADDED("4", "x", "true", "")}, "id 4 twice");
    expect_refused((file){.added = ADDED("4", "a", "true", "")}, "token 4: \"a\" is token 0 already");
    expect_refused((file){.added = ADDED("4", "x", "true", ",\"colour\":1")}, "option \"colour\", which is not run");
    expect_refused((file){.added = "{\"id\":4,\"content\":\"x\",\"single_word\":true,\"special\":false}"},
                   "single_word");
    expect_refused((file){.added = "{\"id\":4}"}, "an added token without id or content");
    expect_refused((file){.normalizer = "{\"type\":\"Lowercase\"}",
                          .added = "{\"id\":4,\"content\":\"X\",\"normalized\":true,\"special\":false}"},
                   "is matched after normalizing, which is not run");
}

#define TEMPLATE(parts) "{\"type\":\"TemplateProcessing\",\"single\":[" parts "],\"pair\":[],\"special_tokens\":{}}"
#define SPECIAL(text) "{\"SpecialToken\":{\"id\":\"" text "\",\"type_id\":0}}"
#define TEXT "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"

Test(tok_json, templates_and_configs_name_bos_and_eos)
{
    const char *list = "{\"type\":\"Sequence\",\"processors\":[" BYTE_LEVEL "," TEMPLATE(SPECIAL("a") "," TEXT) "]}";
    nn_vocab v = taken(&(file){.post = list});

    cr_expect(v.bos == 0 && v.add_bos && v.eos == -1 && !v.add_eos);
    nn_vocab_free(&v);
    v = taken(&(file){.post = TEMPLATE(TEXT "," SPECIAL("b"))});
    cr_expect(v.bos == -1 && !v.add_bos && v.eos == 1 && v.add_eos);
    nn_vocab_free(&v);
    v = taken(&(file){.post = list,
                      .config = "{\"add_bos_token\":false,\"bos_token\":{\"content\":\"b\",\"lstrip\":false},"
                                "\"eos_token\":\"ab\",\"pad_token\":null,\"chat_template\":\"{{ x }}\","
                                "\"add_prefix_space\":true}"});
    cr_expect(v.bos == 1 && !v.add_bos && v.eos == 2 && v.pad == -1 && v.prefix_space);
    nn_vocab_free(&v);
    expect_refused((file){.post = TEMPLATE(SPECIAL("a") "," SPECIAL("b") "," TEXT)}, "two tokens on a side");
    expect_refused((file){.post = TEMPLATE(TEXT "," TEXT)}, "the text twice");
    expect_refused((file){.post = TEMPLATE(SPECIAL("a"))}, "without the text");
    expect_refused((file){.post = TEMPLATE(SPECIAL("c") "," TEXT)}, "\"c\" is no token");
    expect_refused((file){.post = "{\"type\":\"BertProcessing\"}"}, "post_processor \"BertProcessing\" is not run");
    expect_refused((file){.config = "{\"add_bos_token\":true}"}, "a BOS is to be added, but none is named");
    expect_refused((file){.config = "{\"bos_token\":3}"}, "tokenizer_config.json: byte 13");
    expect_refused((file){.config = "[]"}, "tokenizer_config.json: byte 0");
}

Test(tok_json, models_are_run_or_refused_by_name)
{
    nn_vocab v = taken(&(file){.model = "{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[[\"a\",\"b\"]],"
                                        "\"dropout\":null,\"unk_token\":\"\",\"continuing_subword_prefix\":\"\","
                                        "\"ignore_merges\":true}"});
    cr_expect(v.n == 3 && v.n_merge == 1 && v.ignore_merges && v.unk == -1);
    nn_vocab_free(&v);
    expect_refused((file){.model = "{\"type\":\"WordPiece\",\"vocab\":{}}"}, "model \"WordPiece\" is not run");
    expect_refused((file){.model = "{\"vocab\":{}}"}, "model \"\" is not run");
    expect_refused((file){.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0}}"}, "model BPE without \"merges\"");
    expect_refused((file){.model = "{\"type\":\"BPE\",\"merges\":[]}"}, "model without \"vocab\"");
    expect_refused((file){.model = "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}"}, "no tokens");
    static const struct {
        const char *rest, *part;
    } bad[] = {
        {"{\"a\":0,\"b\":2},\"merges\":[]", "has id 2, but there are at most 2"},
        {"{\"a\":0,\"b\":0},\"merges\":[]", "id 0 twice"},
        {"{\"a\":0,\"a\":1},\"merges\":[]", "is token 0 already"},
        {"{\"a\":9223372036854775808},\"merges\":[]", "has id 92233"},
        {"{\"a\":0},\"merges\":[\"a a\"]", "merge 0: \"aa\" is no token"},
        {"{\"a\":0},\"merges\":[[\"a\",\"b\"]]", "\"b\" is no token"},
        {"{\"a\":0},\"merges\":[],\"dropout\":0.1", "model with dropout"},
        {"{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"", "model with end_of_word_suffix"},
        {"{\"a\":0},\"merges\":[],\"unk_token\":\"u\"", "unk_token \"u\" is no token"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char model[256];

        snprintf(model, sizeof model, "{\"type\":\"BPE\",\"vocab\":%s}", bad[i].rest);
        expect_refused((file){.model = model}, bad[i].part);
    }
    expect_refused((file){.model = "{\"type\":\"BPE\",\"type\":\"BPE\"}"}, "key \"type\" twice");
}

/* --- hostile files --------------------------------------------------------------------------------------- */

static const char whole[] =
    "{\"added_tokens\":[" ADDED("7", "<|e|>", "true", "") "],\"normalizer\":" MARKED ",\"pre_tokenizer\":null,"
    "\"post_processor\":" TEMPLATE(SPECIAL("<s>") "," TEXT) ",\"decoder\":" UNMARKED ",\"model\":" SPM "}";

static nn_status read_whole(const char *bytes, size_t len, nn_err *err)
{
    char *exact = malloc(len + 1); /* ends where the block ends, for the sanitizer */
    nn_vocab v;

    memcpy(exact + 1, bytes, len);
    nn_vocab_init(&v);
    const nn_status st = nn_vocab_from_json(&v, exact + 1, len, NULL, 0, "x", err);
    nn_vocab_free(&v);
    free(exact);
    return st;
}

Test(tok_json, cut_files_and_flipped_bits_do_no_harm)
{
    char copy[sizeof whole];
    const size_t len = sizeof whole - 1;

    expect_ok(read_whole(whole, len, NULL), NULL);
    for (size_t n = 0; n < len; n++) cr_expect(read_whole(whole, n, NULL) == NN_FILE, "%zu bytes taken", n);
    memcpy(copy, whole, sizeof whole);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        copy[bit / 8] = (char)((unsigned char)copy[bit / 8] ^ 1u << bit % 8);
        const nn_status st = read_whole(copy, len, NULL);
        cr_expect(st == NN_OK || st == NN_FILE, "bit %zu: %d", bit, (int)st);
        copy[bit / 8] = whole[bit / 8];
    }
}

Test(tok_json, any_allocation_may_fail)
{
    long n = 0;

    for (;; n++) {
        nn_err err = {NN_OK, ""};

        nn_alloc_fail_at(n);
        const nn_status st = read_whole(whole, sizeof whole - 1, &err);
        nn_alloc_fail_at(-1);
        if (st == NN_OK) break;
        cr_expect(st == NN_LIMIT, "allocation %ld: %s", n, err.text);
    }
    cr_expect(n > 8, "%ld", n);
}
