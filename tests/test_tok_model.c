/* Tests of nn/tok_model.c: SentencePiece files written here, field by field, and what is refused. */
#include "nn/arena.h"
#include "nn/tok_read_impl.h"
#include "tests/support.h"
#include <stdlib.h>
#include <string.h>

/* A protocol buffer under construction. */
typedef struct {
    unsigned char bytes[4096];
    size_t len;
} proto;

static void put_varint(proto *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) p->bytes[p->len++] = (unsigned char)((v & 0x7f) | 0x80);
    p->bytes[p->len++] = (unsigned char)v;
}

static void put_number(proto *p, uint64_t field, uint64_t v)
{
    put_varint(p, field << 3);
    put_varint(p, v);
}

static void put_string(proto *p, uint64_t field, const void *bytes, size_t len)
{
    put_varint(p, field << 3 | 2);
    put_varint(p, len);
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static void put_float(proto *p, uint64_t field, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_varint(p, field << 3 | 5);
    for (unsigned i = 0; i < 4; i++) p->bytes[p->len++] = (unsigned char)(bits >> 8 * i & 0xff);
}

static void put_piece(proto *p, const char *text, float score, uint64_t type)
{
    proto piece = {{0}, 0};

    put_string(&piece, 1, text, strlen(text));
    put_float(&piece, 2, score);
    if (type != 1) put_number(&piece, 3, type); /* 1 is the default */
    put_string(p, 1, piece.bytes, piece.len);
}

static void put_message(proto *p, uint64_t field, const proto *message)
{
    put_string(p, field, message->bytes, message->len);
}

/* Llama's way: BPE with byte fallback. */
static void small_model(proto *p, uint64_t type)
{
    proto trainer = {{0}, 0}, normalizer = {{0}, 0};

    p->len = 0;
    put_piece(p, "<unk>", 0, 2);
    put_piece(p, "<s>", 0, 3);
    put_piece(p, "</s>", 0, 3);
    put_piece(p, "<0x0A>", 0, 6);
    put_piece(p, "\xe2\x96\x81t", -1.5f, 1);
    put_piece(p, "t", -2, 1);
    put_piece(p, "<user>", 0, 4);
    put_piece(p, "<gone>", 0, 5);
    put_string(&trainer, 1, "corpus.txt", 10); /* fields nobody asks for, of every wire type */
    put_float(&trainer, 10, 0.9995f);
    put_number(&trainer, 35, 1);
    put_number(&trainer, 43, UINT64_MAX); /* pad_id -1 */
    put_varint(&trainer, 99 << 3 | 1);
    memcpy(trainer.bytes + trainer.len, "12345678", 8);
    trainer.len += 8;
    put_number(&trainer, 3, type);
    put_message(p, 2, &trainer);
    put_string(&normalizer, 1, "identity", 8);
    put_number(&normalizer, 3, 1);
    put_number(&normalizer, 4, 0);
    put_number(&normalizer, 5, 1);
    put_message(p, 3, &normalizer);
}

static nn_status read(nn_vocab *v, const proto *p, nn_err *err)
{
    nn_vocab_init(v);
    return nn_vocab_from_sentencepiece(v, p->bytes, p->len, "tokenizer.model", err);
}

Test(tok_model, pieces_and_options_are_read)
{
    static const nn_piece_type types[] = {NN_PIECE_UNKNOWN, NN_PIECE_CONTROL, NN_PIECE_CONTROL, NN_PIECE_BYTE,
                                          NN_PIECE_NORMAL,  NN_PIECE_NORMAL,  NN_PIECE_USER,    NN_PIECE_UNUSED};
    nn_err err = {NN_OK, ""};
    proto p;
    nn_vocab v;

    small_model(&p, 2);
    expect_ok(read(&v, &p, &err), &err);
    cr_assert(v.model == NN_TOK_SPM && v.n == 8 && v.n_merge == 0);
    for (size_t i = 0; i < 8; i++) cr_expect(v.piece[i].type == types[i], "token %zu", i);
    cr_expect(v.piece[3].len == 1 && v.piece[3].text[0] == '\n');
    cr_expect(v.piece[4].len == 4 && v.piece[4].score == -1.5f);
    cr_expect(v.unk == 0 && v.bos == 1 && v.eos == 2 && v.pad == -1);
    cr_expect(v.add_bos && !v.add_eos && v.prefix_space && !v.squeeze && !v.charsmap);
    nn_vocab_free(&v);
}

Test(tok_model, defaults_of_the_message_hold_where_fields_are_absent)
{
    nn_err err = {NN_OK, ""};
    proto p = {{0}, 0}, normalizer = {{0}, 0};
    nn_vocab v;

    put_string(&normalizer, 2, "charsmap", 8);
    put_message(&p, 3, &normalizer); /* before the pieces: any order */
    put_piece(&p, "<pad>", 0, 3);
    put_piece(&p, "</s>", 0, 3);
    put_piece(&p, "<unk>", 0, 2);
    put_piece(&p, "a", -1, 1);
    expect_ok(read(&v, &p, &err), &err);
    cr_expect(v.model == NN_TOK_UNIGRAM && v.prefix_space && v.squeeze);
    cr_expect(v.unk == 2 && v.bos == -1 && v.eos == 1 && v.pad == 0 && v.add_eos && !v.add_bos);
    cr_expect(v.charsmap_len == 8 && memcmp(v.charsmap, "charsmap", 8) == 0);
    nn_vocab_free(&v);
}

Test(tok_model, special_tokens_are_found_by_the_texts_the_trainer_gave_them)
{
    nn_err err = {NN_OK, ""};
    proto p = {{0}, 0}, trainer = {{0}, 0};
    nn_vocab v;

    put_piece(&p, "<unk>", 0, 2);
    put_piece(&p, "[B]", 0, 3);
    put_piece(&p, "[E]", 0, 3);
    put_piece(&p, "<s>", 0, 1); /* a normal one of that text is not it */
    put_string(&trainer, 46, "[B]", 3);
    put_string(&trainer, 47, "[E]", 3);
    put_message(&p, 2, &trainer);
    expect_ok(read(&v, &p, &err), &err);
    cr_expect(v.bos == 1 && v.eos == 2);
    nn_vocab_free(&v);
    trainer.len = 0;
    put_string(&trainer, 46, "<s>", 3);
    put_message(&p, 2, &trainer);
    expect_ok(read(&v, &p, &err), &err);
    cr_expect(v.bos == -1 && v.eos == 2);
    nn_vocab_free(&v);
}

/* --- hostile files --------------------------------------------------------------------------------------- */

static void expect_refused(const proto *p, const char *part)
{
    nn_err err = {NN_OK, ""};
    nn_vocab v;

    expect_fails(read(&v, p, &err), NN_FILE, &err, part);
    cr_expect(strncmp(err.text, "tokenizer.model: ", 17) == 0, "%s", err.text);
    nn_vocab_free(&v);
}

Test(tok_model, what_is_not_run_or_wrong_is_refused_by_name)
{
    proto p, m = {{0}, 0};

    small_model(&p, 3);
    expect_refused(&p, "model type 3 is not run, want 1 (unigram) or 2 (BPE)");
    small_model(&p, 2);
    put_piece(&p, "<unk2>", 0, 2);
    expect_refused(&p, "tokens 0 and 8 are both unknown");
    small_model(&p, 2);
    put_piece(&p, "x", 0, 7);
    expect_refused(&p, "token 8 has type 7, want 1 to 6");
    small_model(&p, 2);
    put_piece(&p, "x", 0, 6);
    expect_refused(&p, "token 8 is a byte, but not spelled <0x00>");
    small_model(&p, 2);
    put_number(&m, 5, 0);
    put_message(&p, 3, &m);
    expect_refused(&p, "escape_whitespaces off is not run");
    small_model(&p, 2);
    m.len = 0;
    put_number(&m, 24, 1);
    put_message(&p, 2, &m);
    expect_refused(&p, "treat_whitespace_as_suffix is not run");
    small_model(&p, 2);
    put_number(&p, 1, 5);
    expect_refused(&p, "field 1 of wire type 0, want 2");
    p.len = 0;
    expect_refused(&p, "no tokens");
}

Test(tok_model, a_broken_wire_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *part;
    } bad[] = {
        {"\x0b", 1, "field 1 of wire type 3, want 0, 1, 2 or 5"}, /* a group */
        {"\x0f", 1, "field 1 of wire type 7"},
        {"\x02\x01x", 3, "no field number"},
        {"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, "field: 9223372036854775808 claimed, at most 0 fit"},
        {"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "a number of more than 64 bits"},
        {"\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 12, "a number of more than 64 bits"},
        {"\x0a\x05\x0a\x04x", 5, "field: 5 claimed, at most 3 fit"},
        {"\x0a\x03\x0a\x04x", 5, "field: 4 claimed, at most 1 fit"}, /* beyond its message */
        {"\x0a\x05\x15\x00\x00\xc0\x7f", 7, "token 0 has no finite score"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        proto p = {{0}, bad[i].len};

        memcpy(p.bytes, bad[i].bytes, bad[i].len);
        expect_refused(&p, bad[i].part);
    }
}

Test(tok_model, cut_files_and_flipped_bits_do_no_harm)
{
    proto p;
    nn_vocab v;

    small_model(&p, 2);
    for (size_t len = 0; len < p.len; len++) {
        unsigned char *exact = malloc(len + 1);

        memcpy(exact + 1, p.bytes, len); /* ends where the block ends */
        nn_vocab_init(&v);
        const nn_status st = nn_vocab_from_sentencepiece(&v, exact + 1, len, "x", NULL);
        cr_expect(st == NN_OK || st == NN_FILE); /* whole pieces are a file too: there is no count */
        nn_vocab_free(&v);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * p.len; bit++) {
        p.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        const nn_status st = read(&v, &p, NULL);
        cr_expect(st == NN_OK || st == NN_FILE, "bit %zu: %d", bit, (int)st);
        nn_vocab_free(&v);
        p.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

Test(tok_model, any_allocation_may_fail)
{
    nn_err err = {NN_OK, ""};
    proto p;
    nn_vocab v;
    long n = 0;

    small_model(&p, 2);
    for (;; n++) {
        nn_alloc_fail_at(n);
        const nn_status st = read(&v, &p, &err);
        nn_alloc_fail_at(-1);
        nn_vocab_free(&v);
        if (st == NN_OK) break;
        cr_expect(st == NN_LIMIT, "allocation %ld", n);
    }
    cr_expect(n > 1, "%ld", n);
}
