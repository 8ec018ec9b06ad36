/* Tests of every reader of files against files that are wrong on purpose: cut at each byte, each bit of the header
 * flipped, an impossible length at each place, a lie of each kind. What is tried is a seed of tests/corpus through its
 * fuzz target (fuzz.h), which also ends the process when a file makes a reader ask for more memory than its bytes pay
 * for. */
#include "nn/arena.h"
#include "nn/pretrained_impl.h"
#include "tests/fuzz.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *target, *file;
    bool whole;    /* any part of it is refused; else a part may be a file of its own, and fewer are tried */
    size_t header; /* bytes whose bits are flipped and where lengths are written */
} victim;

static const victim victims[] = {
    {"safetensors", "ok_types", true, 400},       {"gguf", "ok_values", true, 400},
    {"gguf", "ok_floats", true, 300},             {"tok_gguf", "ok_llama", true, 300},
    {"tok_gguf", "ok_t5", true, 100},             {"tok_json", "ok_unigram", true, 150},
    {"tok_json", "ok_llama", true, 100},          {"tok_model", "ok_bpe", false, 330},
    {"tok_model", "ok_charsmap", false, 100},     {"tok_llama2c", "ok_small", false, 120},
    {"llama2c", "ok_tied", true, 28},             {"llama2c", "ok_version1", true, 40},
    {"model_gguf", "ok_qwen3", true, 400},        {"hf_folder", "ok_linear", false, 60},
    {"json", "ok_values", false, 100},            {"jsonl", "ok_rows", false, 50},
    {"tok_parts", "ok_qwen2", false, 150},        {"csv", "ok_xstest", false, 30},
    {"guard", "ok_foreign", true, 150},
};
enum { VICTIMS = sizeof victims / sizeof *victims };

/* A block of exactly len bytes, so that a sanitizer sees the end. */
static nn_status try(const char *target, const uint8_t *bytes, size_t len, nn_err *err)
{
    uint8_t *copy = malloc(len ? len : 1);

    cr_assert(copy != NULL);
    memcpy(copy, bytes, len);
    const nn_status st = fuzz_once(fuzz_find(target), copy, len, err);
    free(copy);
    return st;
}

static uint8_t *seed_of(const char *target, const char *file, size_t *len)
{
    nn_err err;
    uint8_t *bytes = (uint8_t *)read_bytes(path_in(path_in("tests/corpus", target), file), len);

    cr_assert(try(target, bytes, *len, &err) == NN_OK, "%s/%s: %s", target, file, err.text);
    return bytes;
}

Test(hostile, a_file_cut_at_any_byte_is_refused)
{
    for (size_t i = 0; i < VICTIMS; i++) {
        size_t len = 0, taken = 0;
        uint8_t *bytes = seed_of(victims[i].target, victims[i].file, &len);

        for (size_t n = 0; n < (victims[i].whole ? len : victims[i].header); n++) {
            nn_err err;

            taken += try(victims[i].target, bytes, n, &err) == NN_OK;
        }
        cr_expect(!victims[i].whole || taken == 0, "%s/%s: taken when cut at %zu of %zu bytes", victims[i].target,
                  victims[i].file, taken, len);
        free(bytes);
    }
}

/* Refused, or taken for what it then is: whatever is taken was used by the target. */
Test(hostile, no_flipped_bit_of_a_header_harms)
{
    for (size_t i = 0; i < VICTIMS; i++) {
        size_t len = 0, refused = 0;
        uint8_t *bytes = seed_of(victims[i].target, victims[i].file, &len);
        const size_t header = victims[i].header < len ? victims[i].header : len;

        for (size_t bit = 0; bit < 8 * header; bit++) {
            nn_err err;

            bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
            refused += try(victims[i].target, bytes, len, &err) != NN_OK;
            bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
        }
        cr_expect(refused > header / 8, "%s/%s: only %zu of %zu flips were refused", victims[i].target, victims[i].file,
                  refused, 8 * header);
        free(bytes);
    }
}

/* At every byte, so at every field that holds a length, a count or an offset. */
Test(hostile, no_impossible_length_is_believed)
{
    static const uint64_t lie[] = {(uint64_t)1 << 63, UINT64_MAX, UINT32_MAX};

    for (size_t i = 0; i < VICTIMS; i++) {
        size_t len = 0;
        uint8_t *bytes = seed_of(victims[i].target, victims[i].file, &len);
        const size_t header = victims[i].header < len - 8 ? victims[i].header : len - 8;

        for (size_t at = 0; at < header * (sizeof lie / sizeof *lie); at++) {
            uint8_t kept[8], *field = bytes + at % header;
            nn_err err;

            memcpy(kept, field, 8);
            for (size_t k = 0; k < 8; k++) field[k] = (uint8_t)(lie[at / header] >> 8 * k & 0xff);
            (void)try(victims[i].target, bytes, len, &err);
            memcpy(field, kept, 8);
        }
        free(bytes);
    }
}

/* --- lies, by kind ------------------------------------------------------------------------------- */

Test(hostile, each_lie_is_refused_by_its_name)
{
    static const struct {
        const char *target, *file, *part;
    } lie[] = {
        {"safetensors", "bad_length", "header length 9223372036854775808"},
        {"safetensors", "bad_overlap", "no overlap"},
        {"safetensors", "bad_hole", "no hole"},
        {"safetensors", "bad_shape", "product overflows"},
        {"safetensors", "bad_beyond", "product overflows"},
        {"gguf", "bad_version2", "version 2, want 3"},
        {"gguf", "bad_order", "big-endian"},
        {"gguf", "bad_count", "at most 0 fit"},
        {"gguf", "bad_array", "array elements: 2305843009213693952 claimed"},
        {"gguf", "bad_offset", "beyond the data"},
        {"gguf", "bad_shape", "product overflows"},
        {"gguf", "bad_twice", "key k twice"},
        {"gguf", "bad_tensor_twice", "tensor f twice"},
        {"tok_gguf", "bad_merge", "merge 0: \"no\" is no token"},
        {"tok_gguf", "bad_hole", "id 8"},
        {"tok_gguf", "bad_pre", "nobody-knows"},
        {"tok_gguf", "bad_model", "rwkv"},
        {"tok_gguf", "bad_special", "bos_token_id: 1000, want below 25"},
        {"tok_json", "bad_merge", "merge 0: \"no\" is no token"},
        {"tok_json", "bad_hole", "id 4000"},
        {"tok_json", "bad_type", "WordPiece"},
        {"tok_json", "bad_normalizer", "Strip"},
        {"tok_parts", "bad_class", "RobertaTokenizer"},
        {"tok_parts", "bad_merge", "merge 0: \"no\" is no token"},
        {"tok_parts", "bad_hole", "id 4000"},
        {"tok_parts", "bad_id", "added token \"-1\", want an id"},
        {"tok_model", "bad_length", "9223372036854775808 claimed"},
        {"tok_model", "bad_hole", "id 8"},
        {"tok_model", "bad_group", "wire type 3"},
        {"tok_llama2c", "bad_length", "4294967295 bytes"},
        {"tok_llama2c", "bad_hole", "id 8"},
        {"llama2c", "bad_longer", "3805 bytes, want 3804"},
        {"llama2c", "bad_version2", "version 2 (int8)"},
        {"llama2c", "bad_numbers", "dim is 1073741824"},
        {"model_gguf", "bad_arch", "architecture gpt2"},
        {"model_gguf", "bad_shape", "shape [9, 8], want [10, 8]"},
        {"model_gguf", "bad_layers", "blk.1.attn_norm.weight is missing"},
        {"hf_folder", "bad_arch", "GPT2LMHeadModel"},
        {"hf_folder", "bad_missing", "model.embed_tokens.weight is missing, want [9, 8]"},
        {"hf_folder", "bad_scaling", "yarn"},
        {"hf_folder", "bad_path", "../second.safetensors"},
    };

    for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
        size_t len = 0;
        nn_err err;
        char *bytes = read_bytes(path_in(path_in("tests/corpus", lie[i].target), lie[i].file), &len);
        const nn_status st = try(lie[i].target, (uint8_t *)bytes, len, &err);

        cr_expect(st == NN_FILE && strstr(err.text, lie[i].part), "%s/%s: status %d, \"%s\" lacks \"%s\"",
                  lie[i].target, lie[i].file, (int)st, err.text, lie[i].part);
        cr_expect(strncmp(err.text, "x: ", 3) == 0 || strstr(err.text, fuzz_folder()) == err.text,
                  "%s/%s: \"%s\" does not begin with the file", lie[i].target, lie[i].file, err.text);
        free(bytes);
    }
}

/* --- weights that are no numbers ------------------------------------------------------------------ */

/* Opened as if nothing were wrong, refused when loaded, as floats and as they lie, by tensor and index. */
static void load_refused(const nn_pretrained *p, const char *tensor)
{
    for (int as_floats = 0; as_floats < 2; as_floats++) {
        const nn_load_options o = {.floats = as_floats, .max_t = 8};
        nn_model *m = NULL;
        nn_err err = {NN_OK, ""};

        expect_fails(nn_pretrained_load(&m, p, &o, &err), NN_FILE, &err, tensor);
        cr_expect(m == NULL && strstr(err.text, "number 3") != NULL, "%s", err.text);
    }
}

static void spoil(const char *target, const char *file, const char *tensor, const unsigned char *bits, size_t width)
{
    size_t len = 0;
    uint8_t *bytes = seed_of(target, file, &len);
    nn_pretrained *p = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_pretrained_open_memory(&p, bytes, len, "x", &err), &err);
    const nn_st_tensor *t = nn_pretrained_find(p, tensor);
    cr_assert(t != NULL && t->count > 3, "%s has no %s", file, tensor);
    memcpy(bytes + (t->data - bytes) + 3 * width, bits, width); /* the file is borrowed */
    load_refused(p, tensor);
    nn_pretrained_close(p);
    free(bytes);
}

Test(hostile, weights_that_are_no_numbers_are_refused)
{
    static const unsigned char nan32[] = {0, 0, 0xc0, 0x7f}, inf32[] = {0, 0, 0x80, 0xff}, nan16[] = {1, 0x7e},
                               inf16b[] = {0x80, 0x7f};

    spoil("model_gguf", "ok_llama", "blk.0.ffn_up.weight", nan32, 4);
    spoil("model_gguf", "ok_qwen3", "blk.0.attn_k_norm.weight", inf32, 4);
    spoil("model_gguf", "ok_untied", "output.weight", nan16, 2);
    spoil("model_gguf", "ok_qwen2", "token_embd.weight", inf16b, 2);
    spoil("llama2c", "ok_tied", "blk.1.attn_v.weight", nan32, 4);
    spoil("llama2c", "ok_version1_untied", "output.weight", inf32, 4);
}
