#include "tests/test_tok_support.h"
#include "nn/rng.h"
#include "tests/support.h"
#include <stdio.h>
#include <string.h>

void toy_add(nn_vocab *v, const char *text, float score, nn_piece_type type)
{
    nn_err err = {NN_OK, ""};

    expect_ok(nn_vocab_add(v, text, strlen(text), score, type, &err), &err);
}

static void add_all(nn_vocab *v, const char *const *text, size_t n, nn_piece_type type)
{
    for (size_t i = 0; i < n; i++) toy_add(v, text[i], -(float)i, type);
}

nn_tok *toy_build(const nn_vocab *v)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_ok(nn_tok_build(&t, v, &err), &err);
    return t;
}

nn_vocab vocab_of(nn_tok_model model)
{
    nn_vocab v;

    nn_vocab_init(&v);
    v.model = model;
    toy_add(&v, "<unk>", 0.0f, NN_PIECE_UNKNOWN);
    toy_add(&v, "<s>", 0.0f, NN_PIECE_CONTROL);
    v.unk = 0;
    v.bos = 1;
    return v;
}

/* The ids of text as "3 4 5". */
const char *ids_of(const nn_tok *t, const char *text, bool more)
{
    static char out[1024];
    nn_tok_buf b;
    nn_err err = {NN_OK, ""};
    size_t n = 0;

    memset(&b, 0, sizeof b);
    out[0] = '\0';
    expect_ok((more ? nn_tok_encode_more : nn_tok_encode)(t, &b, text, strlen(text), &err), &err);
    for (size_t i = 0; i < b.len; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%d", i ? " " : "", (int)b.ids[i]);
    nn_tok_buf_free(&b);
    return out;
}

nn_vocab llama_like(void)
{
    static const char *const piece[] = {BLANK "hi", "hi", BLANK, "h", "i", "l", BLANK "h"}; /* ids 2 to 8 */
    nn_vocab v = vocab_of(NN_TOK_SPM);
    nn_err err = {NN_OK, ""};

    add_all(&v, piece, sizeof piece / sizeof *piece, NN_PIECE_NORMAL);
    for (unsigned b = 0; b < 256; b++) { /* ids 9 to 264 */
        const char c = (char)(unsigned char)b;
        expect_ok(nn_vocab_add(&v, &c, 1, 0.0f, NN_PIECE_BYTE, &err), &err);
    }
    v.prefix_space = true;
    return v;
}

nn_vocab random_vocab(nn_tok_model model, uint64_t seed, size_t n, unsigned scores)
{
    static const char *const letter[] = {"a", "b", "\xC3\xA9", BLANK};
    nn_vocab v = vocab_of(model);
    nn_rng r = nn_rng_at(seed, "pieces", 0);

    for (size_t i = 0; i < 4; i++) toy_add(&v, letter[i], -20.0f, NN_PIECE_NORMAL);
    for (size_t i = 0; i < n; i++) {
        char text[16] = "";
        for (size_t k = 2 + (size_t)nn_rng_below(&r, 3); k > 0; k--) {
            const size_t c = (size_t)nn_rng_below(&r, 4);
            if (strlen(text) + strlen(letter[c]) < sizeof text) strcat(text, letter[c]);
        }
        const float score = scores ? -(float)nn_rng_below(&r, scores) : -10.0f * nn_rng_float(&r);
        toy_add(&v, text, score, NN_PIECE_NORMAL);
    }
    return v;
}

nn_vocab byte_level(void)
{
    nn_vocab v;
    nn_err err = {NN_OK, ""};

    nn_vocab_init(&v);
    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)(unsigned char)b;
        expect_ok(nn_vocab_add(&v, &c, 1, 0.0f, NN_PIECE_NORMAL, &err), &err);
    }
    toy_add(&v, "ab", 0.0f, NN_PIECE_NORMAL);        /* 256 */
    toy_add(&v, "<|end|>", 0.0f, NN_PIECE_CONTROL);  /* 257 */
    toy_add(&v, "<x>", 0.0f, NN_PIECE_USER);         /* 258 */
    toy_add(&v, "<x><y>", 0.0f, NN_PIECE_USER);      /* 259 */
    toy_add(&v, "abc", 0.0f, NN_PIECE_NORMAL);       /* 260 */
    expect_ok(nn_vocab_add_merge(&v, 'a', 'b', 256, &err), &err);
    return v;
}

static void put_u32(unsigned char *at, uint32_t x)
{
    for (size_t i = 0; i < 4; i++) at[i] = (unsigned char)(x >> 8 * i & 0xFF);
}

/* A double array by hand: "h" becomes "i", "hl" becomes "". Root at 0 with offset 256: 'h' is at 256 ^ 'h', its
 * children at that ^ 512; a value stands at the children's base. */
size_t small_charsmap(unsigned char *out)
{
    static const char text[] = "i\0"; /* at 0: "i", at 2: "" (the zero that the array itself ends with) */
    const uint32_t h = 256 ^ 'h', base = h ^ 512, l = base ^ 'l', end = l ^ 512;

    memset(out, 0, 4 + 4 * 1024);
    put_u32(out, 4 * 1024);
    put_u32(out + 4, 256u << 10);
    put_u32(out + 4 + 4 * h, 512u << 10 | 1u << 8 | 'h');
    put_u32(out + 4 + 4 * base, 1u << 31 | 0u);
    put_u32(out + 4 + 4 * l, 512u << 10 | 1u << 8 | 'l');
    put_u32(out + 4 + 4 * end, 1u << 31 | 1u);
    memcpy(out + 4 + 4 * 1024, text, sizeof text);
    return 4 + 4 * 1024 + sizeof text;
}
