/* Tests of the readers of vocabularies in GGUF and llama2.c files: real ones, small ones, hostile ones. */
#include "nn/arena.h"
#include "nn/tok_read_impl.h"
#include "tests/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- real vocabularies ----------------------------------------------------------------------------------- */

static void read_fixture(nn_vocab *v, nn_gguf **g, const char *name)
{
    nn_err err = {NN_OK, ""};

    skip_unless_fixture(name);
    expect_ok(nn_gguf_open(g, shared_path(name), &err), &err);
    nn_vocab_init(v);
    expect_ok(nn_vocab_from_gguf(v, *g, "x.gguf", &err), &err);
}

static void expect_piece(const nn_vocab *v, size_t id, const char *text, nn_piece_type type)
{
    const nn_piece *p = &v->piece[id];

    cr_expect(p->type == type, "token %zu has type %d", id, (int)p->type);
    cr_expect(p->len == strlen(text) && memcmp(p->text, text, p->len) == 0, "token %zu is \"%.*s\"", id, (int)p->len,
              p->text);
}

static void expect_merge(const nn_vocab *v, size_t i, const char *left, const char *right)
{
    const int32_t *m = v->merge + 3 * i;
    const nn_piece *a = &v->piece[m[0]], *b = &v->piece[m[1]], *both = &v->piece[m[2]];

    cr_expect(a->len == strlen(left) && memcmp(a->text, left, a->len) == 0);
    cr_expect(b->len == strlen(right) && memcmp(b->text, right, b->len) == 0);
    cr_expect(both->len == a->len + b->len && memcmp(both->text, a->text, a->len) == 0);
}

Test(tok_read, gpt2_in_gguf)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-gpt-2.gguf");
    cr_expect(v.model == NN_TOK_BPE && v.pre == NN_PRE_GPT2 && v.n == 50257 && v.n_merge == 50000);
    cr_expect(v.bos == 50256 && v.eos == 50256 && v.unk == -1 && v.pad == -1);
    cr_expect(!v.add_bos && !v.add_eos && !v.prefix_space && !v.ignore_merges && !v.squeeze);
    expect_piece(&v, 0, "!", NN_PIECE_NORMAL);
    expect_piece(&v, 189, "\x01", NN_PIECE_NORMAL); /* byte-level spelling undone */
    expect_piece(&v, 220, " ", NN_PIECE_NORMAL);
    expect_piece(&v, 50255, " gazed", NN_PIECE_NORMAL);
    expect_piece(&v, 50256, "<|endoftext|>", NN_PIECE_CONTROL);
    expect_merge(&v, 0, " ", "t");
    expect_merge(&v, 49999, " g", "azed");
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

Test(tok_read, starcoder_and_falcon_in_gguf)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-starcoder.gguf");
    cr_expect(v.pre == NN_PRE_STARCODER && v.n == 49152 && v.n_merge == 48872 && v.unk == 0);
    expect_piece(&v, 0, "<|endoftext|>", NN_PIECE_CONTROL);
    expect_merge(&v, 2, "    ", "    ");
    nn_vocab_free(&v);
    nn_gguf_close(g);
    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-falcon.gguf");
    cr_expect(v.pre == NN_PRE_FALCON && v.n == 65024 && v.n_merge == 64784 && v.bos == 11);
    expect_piece(&v, 0, ">>TITLE<<", NN_PIECE_CONTROL);
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

Test(tok_read, llama_in_gguf)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/tokenizer/ggml-vocab-llama-spm.gguf");
    cr_expect(v.model == NN_TOK_SPM && v.n == 32000 && v.n_merge == 0);
    cr_expect(v.unk == 0 && v.bos == 1 && v.eos == 2 && v.pad == -1);
    cr_expect(v.add_bos && !v.add_eos && v.prefix_space && !v.squeeze);
    expect_piece(&v, 0, "<unk>", NN_PIECE_UNKNOWN);
    expect_piece(&v, 1, "<s>", NN_PIECE_CONTROL);
    cr_expect(v.piece[3].len == 1 && v.piece[3].text[0] == 0 && v.piece[3].type == NN_PIECE_BYTE);
    cr_expect(v.piece[258].len == 1 && (unsigned char)v.piece[258].text[0] == 255);
    expect_piece(&v, 259, "\xe2\x96\x81\xe2\x96\x81", NN_PIECE_NORMAL);
    cr_expect(v.piece[31999].score == -31740.0f);
    nn_vocab_free(&v);
    nn_gguf_close(g);
}

Test(tok_read, defaults_of_the_llama_family_hold_without_keys)
{
    nn_gguf *g = NULL;
    nn_vocab v;

    read_fixture(&v, &g, "fixtures/stories260K/stories260K.gguf");
    cr_expect(v.model == NN_TOK_SPM && v.n == 512 && v.bos == 1 && v.eos == 2 && v.unk == 0);
    cr_expect(v.pad == -1, "4294967295 says that there is none");
    cr_expect(v.add_bos && !v.add_eos && v.prefix_space);
    nn_vocab_free(&v);
    nn_gguf_close(g);
}
