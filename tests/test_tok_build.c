/* Tests of vocabularies that become tokenizers: SentencePiece's blanks, copies, names, and vocabularies that cannot
 * be. */
#include "nn/arena.h"
#include "tests/support.h"
#include "tests/test_tok_support.h"
#include <stdio.h>
#include <string.h>

Test(tok_build, a_text_begins_with_a_blank_and_a_continuation_does_not)
{
    nn_vocab v = llama_like();
    nn_tok *t = toy_build(&v);

    expect_ids(t, "hi", "2");
    cr_expect_str_eq(ids_of(t, "hi", true), "3");
    expect_ids(t, " hi", "4 2");
    expect_ids(t, "", "");
    expect_ids(t, BLANK "hi", "4 2"); /* U+2581 is a blank */
    expect_ids(t, "hi\n", "2 19");    /* a byte */
    expect_ids(t, "\xC3\xA9", "4 204 178");
    expect_ids(t, "\xC3", "4 204");
    nn_tok_free(t);
    nn_vocab_free(&v);
}

Test(tok_build, decoding_drops_the_blank_before_the_text_alone)
{
    nn_vocab v = llama_like();
    nn_tok *t = toy_build(&v);
    const int32_t ids[] = {1, 2, 2, 19};
    char out[16];

    cr_expect(nn_tok_decode(t, out, sizeof out, ids, 4) == 6 && memcmp(out, "hi hi\n", 6) == 0);
    size_t len;
    cr_expect(memcmp(nn_tok_bytes(t, 2, &len), " hi", 3) == 0 && len == 3);
    (void)nn_tok_bytes(t, 1, &len);
    cr_expect(len == 0 && nn_tok_is_control(t, 1) && !nn_tok_is_control(t, 2));
    cr_expect(nn_tok_find(t, "<s>", 3) == 1 && nn_tok_find(t, BLANK "hi", 5) == 2 && nn_tok_find(t, "hi", 2) == 3);
    cr_expect(nn_tok_find(t, "his", 3) == -1);
    cr_expect(nn_tok_spelling(t, 2, out, sizeof out) == 5 && memcmp(out, BLANK "hi", 5) == 0);
    cr_expect(nn_tok_spelling(t, 19, out, sizeof out) == 6 && memcmp(out, "<0x0A>", 6) == 0);
    cr_expect(nn_tok_spelling(t, 1, out, sizeof out) == 3 && memcmp(out, "<s>", 3) == 0);
    nn_tok_free(t);
    nn_vocab_free(&v);
}

/* --- copies, names, refusals ------------------------------------------------------------------------- */

Test(tok_build, a_copy_is_the_same_tokenizer)
{
    static unsigned char map[CHARSMAP_ROOM];
    nn_vocab v[3] = {llama_like(), byte_level(), random_vocab(NN_TOK_UNIGRAM, 5, 9, 0)};

    v[0].charsmap = map;
    v[0].charsmap_len = small_charsmap(map);
    for (size_t i = 0; i < 3; i++) {
        nn_tok *t = toy_build(v + i), *c = NULL;
        nn_err err = {NN_OK, ""};
        char a[65], b[65], ids[1024];
        expect_ok(nn_tok_clone(&c, t, &err), &err);
        nn_tok_hash(t, a);
        strcpy(ids, ids_of(t, "ab hi<x> ab aba", false));
        nn_tok_free(t);
        nn_tok_hash(c, b);
        cr_expect_str_eq(a, b);
        expect_ids(c, "ab hi<x> ab aba", ids);
        nn_tok_free(c);
        nn_vocab_free(v + i);
    }
}

Test(tok_build, the_name_depends_on_all_that_matters)
{
    nn_vocab v = llama_like();
    char a[65], b[65];
    nn_tok *t = toy_build(&v);

    nn_tok_hash(t, a);
    nn_tok_free(t);
    for (size_t i = 0; i < 4; i++) {
        if (i == 0) v.piece[3].score -= 0.5f;
        if (i == 1) v.prefix_space = false;
        if (i == 2) v.piece[4].type = NN_PIECE_USER;
        if (i == 3) v.bos = -1;
        t = toy_build(&v);
        nn_tok_hash(t, b);
        cr_expect(strcmp(a, b) != 0 && strlen(b) == 64, "change %zu", i);
        strcpy(a, b);
        nn_tok_free(t);
    }
    nn_vocab_free(&v);
}

static void expect_refused(const nn_vocab *v, const char *part)
{
    nn_tok *t = NULL;
    nn_err err = {NN_OK, ""};

    expect_fails(nn_tok_build(&t, v, &err), NN_FILE, &err, part);
    cr_expect_null(t);
}

Test(tok_build, vocabularies_that_cannot_be_are_refused)
{
    nn_vocab v = byte_level();
    nn_err err = {NN_OK, ""};

    v.eos = 261;
    expect_refused(&v, "EOS is id 261, want one below 261");
    v.eos = -1;
    v.merge[2] = 260;
    expect_refused(&v, "merge 0: id 260 is not the text of 97 and 98");
    v.merge[1] = 1000;
    expect_refused(&v, "merge 0: id 1000, want one below 261");
    v.merge[1] = -1;
    expect_refused(&v, "merge 0: id -1");
    nn_vocab_free(&v);
    v = byte_level();
    v.piece[100].len = 0;
    expect_refused(&v, "id 100: no text (a hole)");
    nn_vocab_free(&v);
    v = llama_like();
    v.piece[5].score = 0.0f / (1.0f - v.piece[2].score * v.piece[2].score - 1.0f);
    expect_refused(&v, "id 5: its score is not finite");
    v.piece[5].score = -3.0f;
    v.unk = -1;
    v.piece[50].type = NN_PIECE_NORMAL;
    expect_refused(&v, "255 bytes have a piece, want 256 or an unknown piece");
    v.piece[50].type = NN_PIECE_BYTE;
    v.model = NN_TOK_UNIGRAM;
    expect_refused(&v, "unigram without an unknown piece");
    nn_vocab_free(&v);
    nn_vocab_init(&v);
    expect_refused(&v, "0 pieces");
    toy_add(&v, "<s>", 0.0f, NN_PIECE_CONTROL);
    expect_refused(&v, "0 bytes have a piece");
    static char longest[NN_PIECE_LONGEST + 1];
    memset(longest, 'a', sizeof longest);
    expect_ok(nn_vocab_add(&v, longest, sizeof longest, 0.0f, NN_PIECE_NORMAL, &err), &err);
    expect_refused(&v, "id 1: a piece of 2049 bytes");
    nn_vocab_free(&v);
    v = llama_like();
    const size_t at = v.n;
    char want[64];
    expect_ok(nn_vocab_add(&v, longest, NN_PIECE_LONGEST_SPM + 1, 0.0f, NN_PIECE_NORMAL, &err), &err);
    snprintf(want, sizeof want, "id %zu: a piece of 513 bytes, want at most 512", at);
    expect_refused(&v, want);
    nn_vocab_free(&v);
}

Test(tok_build, building_and_encoding_survive_every_failed_allocation)
{
    static unsigned char map[CHARSMAP_ROOM];
    static const char text[] = "Ab <x> \xC3\xA9 bah";
    nn_vocab v = random_vocab(NN_TOK_UNIGRAM, 5, 9, 0);
    nn_status st = NN_LIMIT;

    v.charsmap = map;
    v.charsmap_len = small_charsmap(map);
    v.nfkc = v.lowercase = v.prefix_space = true;
    toy_add(&v, "<x>", 0.0f, NN_PIECE_USER);
    for (long n = 0; st != NN_OK; n++) {
        nn_tok *t = NULL, *c = NULL;
        nn_tok_buf b;
        nn_err err = {NN_OK, ""};
        memset(&b, 0, sizeof b);
        nn_alloc_fail_at(n);
        st = nn_tok_build(&t, &v, &err);
        if (st == NN_OK) st = nn_tok_clone(&c, t, &err);
        if (st == NN_OK) st = nn_tok_encode(c, &b, text, sizeof text - 1, &err);
        nn_alloc_fail_at(-1);
        cr_assert(st == NN_OK || st == NN_LIMIT);
        cr_assert(n < 200 && (st == NN_OK || err.text[0] != '\0'));
        nn_tok_buf_free(&b);
        nn_tok_free(t);
        nn_tok_free(c);
    }
    nn_vocab_free(&v);
}
